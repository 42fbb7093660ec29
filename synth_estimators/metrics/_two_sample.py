"""Classifier two-sample tests."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics._encoding import (
    NATIVE_TREES,
    FoldEncoder,
    feature_importance,
    make_model,
)
from synth_estimators.metrics._tables import (
    check_values,
    equal_sizes,
    rank_auc,
    read_pair,
    result,
    undefined,
)
from synth_estimators.preprocessing._columns import MixedTable, read_tables
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = ["c2st_auc", "c2st_score", "pca_c2st_auc"]


def _stack(real, synth):
    continuous = np.vstack([real.continuous, synth.continuous])
    # Values of a column that lost digits in one table only are compared without them.
    single = real.single | synth.single
    continuous[:, single] = continuous[:, single].astype(np.float32)
    return MixedTable(
        real.names,
        real.discrete,
        continuous,
        np.vstack([real.codes, synth.codes]),
        real.categories,
        synth.n_nonfinite,
        real.single,
    )


def _positive_scores(model, X):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)[:, 1]
    if hasattr(model, "decision_function"):
        return model.decision_function(X)
    raise TypeError(f"{type(model).__name__} has neither predict_proba nor decision_function.")


def _one_fold(table, labels, train, test, estimator, seed):
    impute = not (isinstance(estimator, str) and estimator in NATIVE_TREES)
    rows = table.take(train)
    # Trees keep the order only; ranks keep the granularity of the values too.
    encoder = FoldEncoder(impute=impute, ranks=not impute).fit(rows)
    model = make_model(estimator, seed).fit(encoder.transform(rows), labels[train])
    scores = _positive_scores(model, encoder.transform(table.take(test)))
    importance = feature_importance(model, encoder.origin, len(table.names))
    return rank_auc(scores, labels[test] == 1), importance, scores


def _fold_aucs(real, synth, *, estimator, cv, repeats, random_state, n_jobs, metric):
    """AUC and importances of every fold of every repeat."""
    if cv < 2:
        raise ValueError(f"cv={cv!r} must be at least 2.")
    if repeats < 1:
        raise ValueError(f"repeats={repeats!r} must be at least 1.")
    folds = min(cv, len(real), len(synth))
    if folds < 2:
        undefined(metric, "each table needs at least two rows")
        return np.full(1, np.nan), np.full((1, len(real.names)), np.nan)
    if folds < cv:
        warnings.warn(
            f"cv={cv} is too large for {len(real)} real and {len(synth)} synthetic rows; {metric} "
            f"uses {folds} folds, and says little.",
            stacklevel=4,
        )
    table = _stack(real, synth)
    labels = np.r_[np.zeros(len(real), dtype=int), np.ones(len(synth), dtype=int)]
    jobs = []
    for seed in spawn_seeds(random_state, repeats):
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        for number, (train, test) in enumerate(splitter.split(labels, labels)):
            jobs.append((train, test, seed + number))
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_one_fold)(table, labels, train, test, estimator, seed)
        for train, test, seed in jobs
    )
    aucs, importances, _ = zip(*parts, strict=True)
    return np.array(aucs), np.array(importances)


def _closeness(aucs):
    return 1.0 - (2.0 * np.maximum(0.5, aucs) - 1.0)


def _test(X_real, X_synth, score_folds, metric, *, discrete_columns, match_size, breakdown, **test):
    real, synth = read_pair(X_real, X_synth, discrete_columns=discrete_columns)
    check_values(real, "X_real")
    seeds = spawn_seeds(test.pop("random_state"), 2)
    real, synth = equal_sizes(real, synth, match_size=match_size, random_state=seeds[0])
    aucs, importances = _fold_aucs(real, synth, random_state=seeds[1], metric=metric, **test)

    def details():
        frame = pd.DataFrame(
            {
                "column": real.names,
                "importance": importances.mean(axis=0),
                "n_nonfinite": synth.n_nonfinite,
            }
        )
        return frame.sort_values("importance", ascending=False, ignore_index=True, kind="stable")

    return result(
        score_folds(aucs).mean(),
        breakdown,
        details,
        fold_auc=aucs,
        n_real=len(real),
        n_synth=len(synth),
    )


def c2st_auc(
    X_real: Any,
    X_synth: Any,
    *,
    estimator: Any = "xgb",
    cv: int = 5,
    repeats: int = 1,
    match_size: bool = True,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    n_jobs: int | None = None,
    breakdown: bool = False,
) -> Any:
    """How well a classifier tells synthetic from real rows: cross-validated ROC AUC.

    0.5 is ideal: the classifier sees no difference; 1 means that every row is recognised.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns. Use real rows that the generator has not seen: against its
        training rows a copying generator looks better than perfect.

    estimator : {"xgb", "logistic"} or classifier, default="xgb"
        "xgb" is 200 trees of depth 5 on one core; they see dependence between columns and the
        granularity of values. "logistic" is a linear model, blind to dependence. A classifier is
        cloned; it receives imputed, standardised and one-hot encoded columns.

    cv : int, default=5
        Number of stratified, shuffled folds; at most the number of rows of a table.

    repeats : int, default=1
        Number of times the folds are drawn anew.

    match_size : bool, default=True
        Cut both tables to the same number of rows; the value depends on it.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows, folds and trees.

    n_jobs : int or None, default=None
        Folds fitted at a time. The result does not depend on it.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (importance of every column: which ones give the
        synthetic rows away), ``fold_auc``, ``n_real`` and ``n_synth`` instead of a number.

    Returns
    -------
    auc : float or Bunch
        Mean over the folds, between 0 and 1; below 0.5 happens by chance on small tables.

    Notes
    -----
    Encoders are fitted inside each fold. Trees get missing cells as they are, so a wrong share of
    missing cells gives rows away.

    References
    ----------
    .. [1] Lopez-Paz, D. and Oquab, M. (2017). "Revisiting Classifier Two-Sample Tests". ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import c2st_auc
    >>> rng = np.random.default_rng(0)
    >>> real, synth = rng.normal(size=(200, 3)), rng.normal(size=(200, 3))
    >>> bool(abs(c2st_auc(real, synth, estimator="logistic", random_state=0) - 0.5) < 0.15)
    True
    >>> c2st_auc(real, synth + 9.0, estimator="logistic", random_state=0)
    1.0
    """
    return _test(
        X_real,
        X_synth,
        np.asarray,
        "c2st_auc",
        estimator=estimator,
        cv=cv,
        repeats=repeats,
        match_size=match_size,
        discrete_columns=discrete_columns,
        random_state=random_state,
        n_jobs=n_jobs,
        breakdown=breakdown,
    )


def c2st_score(
    X_real: Any,
    X_synth: Any,
    *,
    estimator: Any = "xgb",
    cv: int = 5,
    repeats: int = 1,
    match_size: bool = True,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    n_jobs: int | None = None,
    breakdown: bool = False,
) -> Any:
    r"""Indistinguishability of synthetic and real rows; higher is better.

    .. math:: 1 - (2 \max(\tfrac12, \text{AUC}) - 1), averaged over the folds of ``c2st_auc``.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns. Use real rows that the generator has not seen.

    estimator : {"xgb", "logistic"} or classifier, default="xgb"
        As in ``c2st_auc``.

    cv : int, default=5
        Number of stratified, shuffled folds.

    repeats : int, default=1
        Number of times the folds are drawn anew.

    match_size : bool, default=True
        Cut both tables to the same number of rows.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows, folds and trees.

    n_jobs : int or None, default=None
        Folds fitted at a time. The result does not depend on it.

    breakdown : bool, default=False
        Return a Bunch, as ``c2st_auc`` does, instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    See Also
    --------
    c2st_auc : The area under the curve itself.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import c2st_score
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> c2st_score(X, X + 9.0, estimator="logistic", random_state=0)
    0.0
    """
    return _test(
        X_real,
        X_synth,
        _closeness,
        "c2st_score",
        estimator=estimator,
        cv=cv,
        repeats=repeats,
        match_size=match_size,
        discrete_columns=discrete_columns,
        random_state=random_state,
        n_jobs=n_jobs,
        breakdown=breakdown,
    )


def pca_c2st_auc(
    X_real: Any,
    X_synth: Any,
    *,
    X_train: Any = None,
    n_components: int = 50,
    estimator: Any = "xgb",
    cv: int = 5,
    repeats: int = 1,
    match_size: bool = True,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    n_jobs: int | None = None,
    breakdown: bool = False,
) -> Any:
    """Classifier two-sample test on the principal components of the training rows.

    Columns are standardised and projected by what the training rows say; then as ``c2st_auc``.
    Small components show what noise with a wrong covariance gives away.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns; real rows that the generator has not seen.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that scales and components come from; None uses ``X_real``.

    n_components : int, default=50
        Number of components, at most the rows of the training table minus 1 and its columns.

    estimator : {"xgb", "logistic"} or classifier, default="xgb"
        As in ``c2st_auc``.

    cv : int, default=5
        Number of stratified, shuffled folds.

    repeats : int, default=1
        Number of times the folds are drawn anew.

    match_size : bool, default=True
        Cut both tables to the same number of rows.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows, folds and trees.

    n_jobs : int or None, default=None
        Folds fitted at a time. The result does not depend on it.

    breakdown : bool, default=False
        Return a Bunch, as ``c2st_auc`` does, with ``details`` for the components.

    Returns
    -------
    auc : float or Bunch
        Mean over the folds, between 0 and 1; 0.5 is ideal.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import pca_c2st_auc
    >>> X = np.random.default_rng(0).normal(size=(100, 4))
    >>> pca_c2st_auc(X, X + 9.0, estimator="logistic", random_state=0)
    1.0
    """
    if n_components < 1:
        raise ValueError(f"n_components={n_components!r} must be at least 1.")
    train = X_real if X_train is None else X_train
    tables = read_tables(
        {"X_train": train, "X_real": X_real, "X_synth": X_synth}, discrete_columns=discrete_columns
    )
    check_values(tables["X_train"], "The real table")
    space = MixedSpace()._fit_table(tables["X_train"])
    rows = {name: space._transform_table(table) for name, table in tables.items()}
    limit = min(n_components, len(rows["X_train"]) - 1, rows["X_train"].shape[1])
    if limit < 1:
        score = undefined("pca_c2st_auc", "the training table has one row only")
        return result(score, breakdown, {"column": [], "importance": [], "n_nonfinite": []})
    if not np.ptp(rows["X_train"], axis=0).any():
        score = undefined("pca_c2st_auc", "no column of the training table varies")
        return result(score, breakdown, {"column": [], "importance": [], "n_nonfinite": []})
    seeds = spawn_seeds(random_state, 2)
    pca = PCA(n_components=limit, random_state=seeds[0]).fit(rows["X_train"])
    names = [f"pca{j}" for j in range(limit)]
    real, synth = (
        pd.DataFrame(pca.transform(rows[name]), columns=names) for name in ("X_real", "X_synth")
    )
    return _test(
        real,
        synth,
        np.asarray,
        "pca_c2st_auc",
        estimator=estimator,
        cv=cv,
        repeats=repeats,
        match_size=match_size,
        discrete_columns=None,
        random_state=seeds[1],
        n_jobs=n_jobs,
        breakdown=breakdown,
    )
