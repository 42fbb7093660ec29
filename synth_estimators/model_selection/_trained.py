"""Classifiers of a learning curve: encoding, fitting, scoring on the real test rows."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators.compose._class_conditional import _set_seeds
from synth_estimators.metrics._encoding import FoldEncoder
from synth_estimators.metrics._tables import rank_auc
from synth_estimators.model_selection._classifiers import (
    CLASSIFIER_NAMES,
    macro_f1,
    make_classifier,
    resolve_method,
)
from synth_estimators.preprocessing._columns import read_tables

__all__ = [
    "DEFAULT_SCORING",
    "TrainedClassifier",
    "encode_pair",
    "is_plain",
    "judge",
    "resolve_classifiers",
    "resolve_scoring",
]

DEFAULT_SCORING = ("roc_auc", "f1_macro", "accuracy")


class TrainedClassifier(ClassifierMixin, BaseEstimator):
    """A fitted classifier that knows every class of the study.

    A training table may lack a class, and some classifiers want the labels 0, 1, ...; this view
    answers in the labels of the study, and classes that were not trained have probability 0.

    Parameters
    ----------
    estimator : estimator or None
        Classifier fitted on the positions of the trained classes; None when only one class was
        there to train on.

    classes : ndarray of shape (n_classes,)
        Labels of the study.

    trained : ndarray of int
        Positions in ``classes`` of the classes that were trained.
    """

    def __init__(self, estimator, classes, trained):
        self.estimator = estimator
        self.classes = classes
        self.trained = trained
        self.classes_ = classes

    def __sklearn_is_fitted__(self):
        return True

    def class_scores(self, X):
        """Score of every class for every row, from probabilities or decisions."""
        scores = np.zeros((len(X), len(self.classes)))
        if self.estimator is None:
            scores[:, self.trained] = 1.0
        elif hasattr(self.estimator, "predict_proba"):
            scores[:, self.trained] = self.estimator.predict_proba(X)
        elif hasattr(self.estimator, "decision_function"):
            local = self.estimator.decision_function(X)
            local = np.column_stack([-local, local]) if local.ndim == 1 else local
            scores[:] = local.min() - 1.0
            scores[:, self.trained] = local
        else:
            raise TypeError(
                f"{type(self.estimator).__name__} has neither predict_proba nor "
                "decision_function, which the ROC AUC needs; use scoring='accuracy'."
            )
        return scores

    def predict_proba(self, X):
        """Probability of every class of the study."""
        return self.class_scores(X)

    def predict_idx(self, X):
        """Position of the predicted class."""
        if self.estimator is None:
            return np.full(len(X), self.trained[0])
        return self.trained[np.asarray(self.estimator.predict(X), dtype=np.intp)]

    def predict(self, X):
        """Label of the predicted class."""
        return self.classes[self.predict_idx(X)]


def fit_classifier(
    estimator: Any, X: np.ndarray, codes: np.ndarray, classes: np.ndarray, *, seed: int
) -> tuple[TrainedClassifier, float]:
    """Fit a seeded clone on the classes that are there; returns the view and the seconds."""
    trained, local = np.unique(codes, return_inverse=True)
    started = perf_counter()
    model = None
    if len(trained) > 1:
        model = _set_seeds(clone(estimator), seed)
        model.fit(X, local)
    return TrainedClassifier(model, classes, trained), perf_counter() - started


def resolve_classifiers(classifiers: Any) -> dict[str, Any]:
    """Turn the parameter ``classifiers`` into a dict name -> estimator."""
    if classifiers is None:
        classifiers = CLASSIFIER_NAMES
    if isinstance(classifiers, str) or hasattr(classifiers, "fit"):
        classifiers = [classifiers]
    if isinstance(classifiers, Mapping):
        named = list(classifiers.items())
    else:
        named = [
            (resolve_method(item) if isinstance(item, str) else type(item).__name__, item)
            for item in classifiers
        ]
    if not named:
        raise ValueError("classifiers is empty; pass at least one.")
    resolved = {}
    for name, item in named:
        if isinstance(item, str):
            # The named ones expect columns of one scale.
            item = make_pipeline(StandardScaler(), make_classifier(item))
        elif not (hasattr(item, "fit") and is_classifier(item)):
            raise TypeError(
                f"classifiers holds {item!r}, which is no classifier; pass names, scikit-learn "
                "classifiers or a dict of them."
            )
        if name in resolved:
            raise ValueError(
                f"Two classifiers are called {name!r}; pass a dict {{name: estimator}}."
            )
        resolved[name] = item
    return resolved


def resolve_scoring(scoring: Any) -> dict[str, Any]:
    """Turn the parameter ``scoring`` into a dict name -> None (own measure) or scorer."""
    if scoring is None:
        scoring = DEFAULT_SCORING
    if isinstance(scoring, str) or callable(scoring):
        scoring = [scoring]
    if isinstance(scoring, dict):
        named = dict(scoring)
    else:
        named = {
            item if isinstance(item, str) else getattr(item, "__name__", "score"): item
            for item in scoring
        }
    if not named:
        raise ValueError("scoring is empty; pass at least one metric.")
    resolved = {}
    for name, scorer in named.items():
        if isinstance(scorer, str) and scorer in DEFAULT_SCORING:
            resolved[name] = scorer
        elif isinstance(scorer, str):
            try:
                resolved[name] = get_scorer(scorer)
            except ValueError as exc:
                raise ValueError(
                    f"scoring={scorer!r} is unknown; use {list(DEFAULT_SCORING)}, another name of "
                    "sklearn.metrics.get_scorer_names(), or a callable scorer(estimator, X, y)."
                ) from exc
        elif callable(scorer):
            resolved[name] = scorer
        else:
            raise TypeError(f"scoring holds {scorer!r}; expected names or callables.")
    return resolved


def judge(
    model: TrainedClassifier, X: np.ndarray, codes: np.ndarray, scorers: dict[str, Any]
) -> dict[str, float]:
    """Scores of a fitted classifier on rows with known classes.

    The ROC AUC of several classes is the mean over those of the test rows, each against the rest;
    macro F1 is the mean over the classes that occur among the true or the predicted labels.
    """
    wanted = {scorer for scorer in scorers.values() if isinstance(scorer, str)}
    own = {}
    if "roc_auc" in wanted:
        scores = model.class_scores(X)
        if len(model.classes) == 2:
            own["roc_auc"] = rank_auc(scores[:, 1] - scores[:, 0], codes == 1)
        else:
            areas = [rank_auc(scores[:, c], codes == c) for c in np.unique(codes)]
            own["roc_auc"] = float(np.mean(areas))
    if wanted - {"roc_auc"}:
        predicted = model.predict_idx(X)
        own["accuracy"] = float(np.mean(predicted == codes))
        own["f1_macro"] = macro_f1(codes, predicted, len(model.classes))
    labels = model.classes[codes]
    return {
        name: own[scorer] if isinstance(scorer, str) else float(scorer(model, X, labels))
        for name, scorer in scorers.items()
    }


def is_plain(table):
    """Whether a table is a numeric array without missing cells."""
    if isinstance(table, np.ndarray):
        return table.dtype.kind in "fiub" and bool(np.isfinite(table).all())
    return (
        isinstance(table, pd.DataFrame)
        and all(isinstance(d, np.dtype) and d.kind in "fiub" for d in set(table.dtypes))
        and bool(np.isfinite(table.to_numpy(dtype=np.float64)).all())
    )


def encode_pair(train: Any, test: Any, *, plain: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Numbers for a classifier: as they are, or encoded by what the training rows know.

    Numeric tables without missing cells are passed on, if the table that they come from is one
    (``plain``). In other tables numeric columns are standardised, missing numbers filled by the
    median and flagged, and categories one-hot encoded, all fitted on the training rows.
    """
    if plain and is_plain(train) and is_plain(test):
        return np.asarray(train, dtype=np.float64), np.asarray(test, dtype=np.float64)
    tables = read_tables({"X_train": train, "X_test": test})
    encoder = FoldEncoder(impute=True).fit(tables["X_train"])
    return encoder.transform(tables["X_train"]), encoder.transform(tables["X_test"])
