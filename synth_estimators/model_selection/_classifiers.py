"""The five classifiers of published sample-size studies, made for many small fits.

LOGIS, SVM and KNN need the rows through their products alone, so one matrix of products serves
them all; RF and XGB skip what a fit spends on checks. Each is an ordinary scikit-learn
classifier, and ``judge_fold`` fits and scores several on one split.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from synth_estimators._random import draw_seed
from synth_estimators.metrics._tables import rank_auc
from synth_estimators.model_selection._fold_trees import fit_boosted, fit_forest
from synth_estimators.model_selection._kernel_svm import fit_svm
from synth_estimators.model_selection._ridge_logistic import N_INNER_FOLDS, fit_logistic_cv

__all__ = [
    "CLASSIFIER_NAMES",
    "METRIC_NAMES",
    "judge_fold",
    "make_classifier",
    "resolve_method",
]

METRIC_NAMES = ("f1_score", "accuracy", "auc")

_N_NEIGHBORS = 5

# Up to so many training rows a matrix of all their products is kept.
_MAX_KERNEL_ROWS = 4_000
_BLOCK_ROWS = 500

# Failures of one fit on one fold; anything else is a mistake of the library.
_FIT_ERRORS = (ValueError, ArithmeticError, RuntimeError, np.linalg.LinAlgError)


class _Rows:
    """Rows and their products with each other, computed when first asked for."""

    def __init__(self, X):
        self.X = X

    @cached_property
    def products(self):
        return self.X @ self.X.T

    @cached_property
    def squares(self):
        return np.einsum("ij,ij->i", self.X, self.X)

    @cached_property
    def distances(self):
        """Squared distances between the rows."""
        squares = self.squares[:, None] + self.squares - 2.0 * self.products
        np.fill_diagonal(squares, 0.0)
        return np.maximum(squares, 0.0, out=squares)


class _Against:
    """New rows seen from training rows."""

    def __init__(self, X, train):
        self.X = X
        self.train = train

    @cached_property
    def distances(self):
        """Squared distances from the new rows to the training rows."""
        return self._distances(self.X)

    def _distances(self, X):
        squares = np.einsum("ij,ij->i", X, X)[:, None] + self.train.squares
        squares -= 2.0 * (X @ self.train.X.T)
        return np.maximum(squares, 0.0, out=squares)

    def nearest(self, k):
        """Places of the k nearest training rows of every new row."""
        if len(self.train.X) <= _MAX_KERNEL_ROWS:
            return np.argpartition(self.distances, k - 1, axis=1)[:, :k]
        blocks = [
            np.argpartition(self._distances(self.X[start : start + _BLOCK_ROWS]), k - 1, axis=1)
            for start in range(0, len(self.X), _BLOCK_ROWS)
        ]
        return np.concatenate([block[:, :k] for block in blocks])


class _StudyClassifier(ClassifierMixin, BaseEstimator):
    """Base of the five classifiers.

    Subclasses have ``_learn(rows, codes, n_classes)`` and ``_answer(against)``, which returns
    the probabilities and the predicted classes.
    """

    def fit(self, X, y):
        """Fit the classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, standardised for LOGIS, SVM and KNN.

        y : array-like of shape (n_samples,)
            Labels of at least two classes.

        Returns
        -------
        self : object
            The fitted classifier.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes; the data contains one class, "
                f"{self.classes_[0]!r}."
            )
        self._learn(_Rows(X), codes, len(self.classes_))
        return self

    def _judge(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._answer(_Against(X, self._train))

    def predict_proba(self, X):
        """Probability of every class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        return self._judge(X)[0]

    def predict(self, X):
        """Most plausible class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return self.classes_[self._judge(X)[1]]

    # Trees need no training rows to answer.
    _train = None


class _Logistic(_StudyClassifier):
    """L2 logistic regression, strength by accuracy over five inner folds."""

    def _learn(self, rows, codes, n_classes):
        counts = np.bincount(codes)
        if counts.min() < N_INNER_FOLDS:
            raise ValueError(
                f"LOGIS chooses its strength by {N_INNER_FOLDS}-fold cross-validation, but a class "
                f"has {counts.min()} training rows; use larger samples, or leave LOGIS out."
            )
        folds = [test for _, test in StratifiedKFold(N_INNER_FOLDS).split(codes, codes)]
        self._model = fit_logistic_cv(rows.X, codes, n_classes, folds, lambda: rows.products)
        self.coef_, self.intercept_, self.C_ = self._model

    def _answer(self, against):
        scores = against.X @ self.coef_.T + self.intercept_
        if scores.shape[1] == 1:
            chance = expit(scores[:, 0])
            return np.column_stack([1.0 - chance, chance]), (scores[:, 0] > 0).astype(np.intp)
        chance = expit(scores)
        total = chance.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, chance / np.where(total > 0, total, 1.0), 1 / scores.shape[1])
        return shares, scores.argmax(axis=1)


class _Svm(_StudyClassifier):
    """RBF machine with C=1, the published scale of the kernel and Platt's probabilities."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _learn(self, rows, codes, n_classes):
        self._train = rows
        spread = rows.X.var()
        self._width = 1.0 / (rows.X.shape[1] * spread) if spread > 0 else 1.0
        rng = np.random.default_rng(draw_seed(self.random_state))
        if len(codes) > _MAX_KERNEL_ROWS:
            self._model = fit_svm(rows.X, codes, n_classes, rng, gamma=self._width)
        else:
            self._model = fit_svm(np.exp(-self._width * rows.distances), codes, n_classes, rng)

    def _answer(self, against):
        many = len(self._train.X) > _MAX_KERNEL_ROWS
        decisions = self._model.decide(
            against.X if many else np.exp(-self._width * against.distances)
        )
        return self._model.probabilities(decisions), self._model.predict(decisions)


class _Neighbors(_StudyClassifier):
    """Five nearest neighbours."""

    def _learn(self, rows, codes, n_classes):
        self._train, self._codes, self._n_classes = rows, codes, n_classes

    def _answer(self, against):
        k = min(_N_NEIGHBORS, len(self._codes))
        nearest = against.nearest(k)
        votes = (self._codes[nearest][..., None] == np.arange(self._n_classes)).sum(axis=1)
        return votes / k, votes.argmax(axis=1)


class _Forest(_StudyClassifier):
    """Random forest of 100 trees."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _learn(self, rows, codes, n_classes):
        self._model = fit_forest(rows.X, codes, n_classes, draw_seed(self.random_state))

    def _answer(self, against):
        shares = self._model.probabilities(against.X)
        return shares, shares.argmax(axis=1)


class _Boosted(_StudyClassifier):
    """Ten rounds of XGBoost."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _learn(self, rows, codes, n_classes):
        self._model = fit_boosted(rows.X, codes, n_classes, draw_seed(self.random_state))

    def _answer(self, against):
        shares = self._model.probabilities(against.X)
        return shares, shares.argmax(axis=1)


_CLASSIFIERS: dict[str, type[_StudyClassifier]] = {
    "LOGIS": _Logistic,
    "SVM": _Svm,
    "KNN": _Neighbors,
    "RF": _Forest,
    "XGB": _Boosted,
}

CLASSIFIER_NAMES = tuple(_CLASSIFIERS)

_ALIASES: dict[str, str] = {
    "LOGISTIC": "LOGIS",
    "LR": "LOGIS",
    "RANDOM_FOREST": "RF",
    "XGBOOST": "XGB",
}


def resolve_method(name: Any) -> str:
    """Return the canonical name of a classifier; case and aliases do not matter."""
    upper = name.upper() if isinstance(name, str) else name
    canonical = _ALIASES.get(upper, upper) if isinstance(name, str) else None
    if canonical not in _CLASSIFIERS:
        raise ValueError(f"Unknown classifier {name!r}; use some of {list(CLASSIFIER_NAMES)}.")
    return canonical


def make_classifier(name: str, *, random_state: Any = None) -> Any:
    """Make one of the five classifiers by its name.

    Parameters
    ----------
    name : {"LOGIS", "SVM", "KNN", "RF", "XGB"}
        L2 logistic regression with inner cross-validation over 10 strengths, RBF support vector
        machine, 5 nearest neighbours, random forest of 100 trees, XGBoost of 10 rounds.

    random_state : int, RandomState instance or None, default=None
        Seeds SVM, RF and XGB.

    Returns
    -------
    classifier : estimator
        Unfitted classifier with ``predict_proba``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators.model_selection._classifiers import make_classifier
    >>> X, y = load_iris(return_X_y=True)
    >>> make_classifier("KNN").fit(X, y).predict(X[:2]).tolist()
    [0, 0]
    """
    kind = _CLASSIFIERS[resolve_method(name)]
    return kind() if kind in (_Logistic, _Neighbors) else kind(random_state=random_state)


def judge_fold(X_train, y_train, X_test, y_test, n_classes, methods, seeds):
    """Fit classifiers on one split and score them.

    Parameters
    ----------
    X_train, X_test : ndarray of shape (n_rows, n_columns)
        Training and test rows, scaled by the training rows.

    y_train, y_test : ndarray of int of shape (n_rows,)
        Classes 0 to n_classes - 1; every class occurs in the training rows.

    n_classes : int
        Number of classes.

    methods : list of str
        Canonical names.

    seeds : list of int
        One seed a method.

    Returns
    -------
    scores : dict
        Method to (macro F1, accuracy, AUC), or to the exception that its fit raised.
    """
    rows = _Rows(X_train)
    against = _Against(X_test, rows)
    scores = {}
    # The rows are checked; checking them again takes longer than a small fit.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for method, seed in zip(methods, seeds, strict=True):
            model = make_classifier(method, random_state=seed)
            try:
                model._learn(rows, y_train, n_classes)
                shares, predicted = model._answer(against)
            except _FIT_ERRORS as exc:
                scores[method] = exc
                continue
            scores[method] = (
                macro_f1(y_test, predicted, n_classes),
                float((y_test == predicted).mean()),
                pairwise_auc(y_test, shares),
            )
    return scores


def macro_f1(codes, predicted, n_classes):
    """Mean F1 over the classes that occur among the true or the predicted labels."""
    true_count = np.bincount(codes, minlength=n_classes)
    predicted_count = np.bincount(predicted, minlength=n_classes)
    hits = np.bincount(codes[codes == predicted], minlength=n_classes)
    total = true_count + predicted_count
    present = total > 0
    return float((2.0 * hits[present] / total[present]).mean())


def pairwise_auc(codes, shares):
    """ROC AUC; with more than two classes the mean over all pairs, each seen from both sides.

    Pairs without test rows of both classes are left out; NaN if there is no pair.
    """
    if shares.shape[1] == 2:
        return rank_auc(shares[:, 1], codes == 1)
    areas = []
    for first, second in combinations(np.unique(codes), 2):
        pair = (codes == first) | (codes == second)
        is_first = codes[pair] == first
        areas.append(rank_auc(shares[pair, first], is_first))
        areas.append(rank_auc(shares[pair, second], ~is_first))
    return float(np.mean(areas)) if areas else float("nan")
