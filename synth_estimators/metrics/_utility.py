"""Are models trained on synthetic rows as good as models trained on real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._random import draw_seed, spawn_seeds
from synth_estimators.metrics._tables import result, undefined
from synth_estimators.metrics._utility_task import UtilityTask, class_details, train_and_test

__all__ = ["trtr_score", "tstr_score", "utility_gap", "utility_ratio"]


def _utility(X_real, trained, train_name, *, match_size, breakdown, metric, **options):
    """Score of a model trained on ``trained[train_name]``; the other tables set the row number."""
    task = UtilityTask(
        {"X_real": X_real, **trained},
        target=options["target"],
        task=options["task"],
        discrete_columns=options["discrete_columns"],
    )
    seeds = spawn_seeds(options["random_state"], 2)
    if match_size and len(trained) > 1:
        task.match(sorted(trained), seeds[0])
    outcome = train_and_test(
        task,
        train_name,
        estimator=options["estimator"],
        scoring=options["scoring"],
        repeats=options["repeats"],
        random_state=seeds[1],
        metric=metric,
    )
    return result(
        outcome.score,
        breakdown,
        lambda: class_details(task, outcome, train_name),
        measures=outcome.measures,
        scores=outcome.scores,
        dropped=task.dropped,
    )


def _check_given(table, name, metric):
    if table is None:
        raise ValueError(f"{metric} needs {name}; pass {name}=.")


def _tables(**tables):
    return {name: table for name, table in tables.items() if table is not None}


def tstr_score(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any,
    X_train: Any = None,
    estimator: Any = "xgb",
    scoring: Any = None,
    task: str = "auto",
    match_size: bool = True,
    repeats: int = 1,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Train on synthetic rows, test on real ones.

    A model is fitted to the synthetic table and scored on real rows that neither it nor the
    generator has seen. Read it beside ``trtr_score``: alone it says little.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real test rows, the target among the columns.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns.

    target : column name or int
        Column that is predicted.

    X_train : {array-like, pandas DataFrame}, default=None
        Real training rows; if given, the synthetic table is cut to their number.

    estimator : {"xgb", "logistic"} or estimator, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic or ridge
        regression. Encoders are fitted to the training rows.

    scoring : {"roc_auc", "f1_macro", "accuracy", "r2"}, other scorer name or callable, default=None
        None is ROC AUC (several classes: mean over the classes present among the test rows, each
        against the rest), or R2 for a numeric target.

    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, categories, booleans and up to 10 different whole numbers as classes.

    match_size : bool, default=True
        Cut the synthetic and the real training table to the same number of rows.

    repeats : int, default=1
        Models that are fitted with seeds of their own and averaged.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows and trees.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a class) and more instead of a number.

    Returns
    -------
    score : float or Bunch
        Higher is better, except for the gap.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import tstr_score
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2, 200))
    >>> real, synth = (np.column_stack([row, row > 0]) for row in x)
    >>> round(tstr_score(real, synth, target="x1", estimator="logistic"), 2)
    1.0
    """
    _check_given(X_synth, "X_synth", "tstr_score")
    return _utility(
        X_real,
        _tables(X_synth=X_synth, X_train=X_train),
        "X_synth",
        metric="tstr_score",
        target=target,
        estimator=estimator,
        scoring=scoring,
        task=task,
        match_size=match_size,
        repeats=repeats,
        discrete_columns=discrete_columns,
        random_state=random_state,
        breakdown=breakdown,
    )


def trtr_score(
    X_real: Any,
    X_synth: Any = None,
    *,
    target: Any,
    X_train: Any = None,
    estimator: Any = "xgb",
    scoring: Any = None,
    task: str = "auto",
    match_size: bool = True,
    repeats: int = 1,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Train on real rows, test on real rows: what ``tstr_score`` is held against.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real test rows, the target among the columns.

    X_synth : {array-like, pandas DataFrame}, default=None
        Synthetic rows; the training rows are cut to their number. Taken as the training rows if
        ``X_train`` is not given, so that ``trtr_score(X_test, X_train, target=...)`` works.

    target : column name or int
        Column that is predicted.

    X_train : {array-like, pandas DataFrame}, default=None
        Real training rows.

    estimator : {"xgb", "logistic"} or estimator, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic or ridge
        regression. Encoders are fitted to the training rows.

    scoring : {"roc_auc", "f1_macro", "accuracy", "r2"}, other scorer name or callable, default=None
        None is ROC AUC (several classes: mean over the classes present among the test rows, each
        against the rest), or R2 for a numeric target.

    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, categories, booleans and up to 10 different whole numbers as classes.

    match_size : bool, default=True
        Cut the synthetic and the real training table to the same number of rows.

    repeats : int, default=1
        Models that are fitted with seeds of their own and averaged.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows and trees.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a class) and more instead of a number.

    Returns
    -------
    score : float or Bunch
        Higher is better, except for the gap.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import trtr_score
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2, 200))
    >>> test, train = (np.column_stack([row, row > 0]) for row in x)
    >>> round(trtr_score(test, train, target="x1", estimator="logistic"), 2)
    1.0
    """
    if X_train is None:
        X_train, X_synth = X_synth, None
    _check_given(X_train, "X_train", "trtr_score")
    return _utility(
        X_real,
        _tables(X_train=X_train, X_synth=X_synth),
        "X_train",
        metric="trtr_score",
        target=target,
        estimator=estimator,
        scoring=scoring,
        task=task,
        match_size=match_size,
        repeats=repeats,
        discrete_columns=discrete_columns,
        random_state=random_state,
        breakdown=breakdown,
    )


def _both(X_real, X_synth, X_train, *, metric, **options):
    _check_given(X_synth, "X_synth", metric)
    _check_given(X_train, "X_train", metric)
    options = {**options, "breakdown": True}
    trained = {"X_synth": X_synth, "X_train": X_train}
    # One seed for both, so that the same rows are cut and the same trees drawn.
    options["random_state"] = draw_seed(options["random_state"])
    tstr = _utility(X_real, trained, "X_synth", metric=metric, **options)
    trtr = _utility(X_real, trained, "X_train", metric=metric, **options)
    details = pd.concat(
        [tstr.details.assign(trained_on="synthetic"), trtr.details.assign(trained_on="real")],
        ignore_index=True,
    )
    return tstr, trtr, details


def utility_ratio(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any,
    X_train: Any,
    estimator: Any = "xgb",
    scoring: Any = None,
    task: str = "auto",
    match_size: bool = True,
    repeats: int = 1,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Score of a model trained on synthetic rows over that of one trained on real rows.

    Both are scored on the same real test rows, ``tstr_score / trtr_score``.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real test rows, the target among the columns.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns.

    target : column name or int
        Column that is predicted.

    X_train : {array-like, pandas DataFrame}
        Real training rows.

    estimator : {"xgb", "logistic"} or estimator, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic or ridge
        regression. Encoders are fitted to the training rows.

    scoring : {"roc_auc", "f1_macro", "accuracy", "r2"}, other scorer name or callable, default=None
        None is ROC AUC (several classes: mean over the classes present among the test rows, each
        against the rest), or R2 for a numeric target.

    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, categories, booleans and up to 10 different whole numbers as classes.

    match_size : bool, default=True
        Cut the synthetic and the real training table to the same number of rows.

    repeats : int, default=1
        Models that are fitted with seeds of their own and averaged.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows and trees.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a class) and more instead of a number.

    Returns
    -------
    score : float or Bunch
        Higher is better, except for the gap.

    Notes
    -----
    NaN where the real score is not positive (R2); look at ``utility_gap`` then. With
    ``breakdown=True`` the Bunch holds ``tstr`` and ``trtr``.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import utility_ratio
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 200))
    >>> test, train, synth = (np.column_stack([row, row > 0]) for row in x)
    >>> ratio = utility_ratio(test, synth, X_train=train, target="x1", estimator="logistic")
    >>> round(ratio, 2)
    1.0
    """
    tstr, trtr, details = _both(
        X_real,
        X_synth,
        X_train,
        metric="utility_ratio",
        target=target,
        estimator=estimator,
        scoring=scoring,
        task=task,
        match_size=match_size,
        repeats=repeats,
        discrete_columns=discrete_columns,
        random_state=random_state,
        breakdown=breakdown,
    )
    if trtr.score > 0:
        ratio = tstr.score / trtr.score
    elif np.isnan(trtr.score):
        ratio = float("nan")
    else:
        ratio = undefined("utility_ratio", "the real score is not positive; use utility_gap")
    return result(ratio, breakdown, details, tstr=tstr.score, trtr=trtr.score)


def utility_gap(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any,
    X_train: Any,
    estimator: Any = "xgb",
    scoring: Any = None,
    task: str = "auto",
    match_size: bool = True,
    repeats: int = 1,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Score of a model trained on real rows minus that of one trained on synthetic rows.

    Both are scored on the same real test rows, ``trtr_score - tstr_score``.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real test rows, the target among the columns.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns.

    target : column name or int
        Column that is predicted.

    X_train : {array-like, pandas DataFrame}
        Real training rows.

    estimator : {"xgb", "logistic"} or estimator, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic or ridge
        regression. Encoders are fitted to the training rows.

    scoring : {"roc_auc", "f1_macro", "accuracy", "r2"}, other scorer name or callable, default=None
        None is ROC AUC (several classes: mean over the classes present among the test rows, each
        against the rest), or R2 for a numeric target.

    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, categories, booleans and up to 10 different whole numbers as classes.

    match_size : bool, default=True
        Cut the synthetic and the real training table to the same number of rows.

    repeats : int, default=1
        Models that are fitted with seeds of their own and averaged.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows and trees.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a class) and more instead of a number.

    Returns
    -------
    score : float or Bunch
        Higher is better, except for the gap.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import utility_gap
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 200))
    >>> test, train, synth = (np.column_stack([row, row > 0]) for row in x)
    >>> gap = utility_gap(test, synth, X_train=train, target="x1", estimator="logistic")
    >>> bool(abs(gap) < 0.05)
    True
    """
    tstr, trtr, details = _both(
        X_real,
        X_synth,
        X_train,
        metric="utility_gap",
        target=target,
        estimator=estimator,
        scoring=scoring,
        task=task,
        match_size=match_size,
        repeats=repeats,
        discrete_columns=discrete_columns,
        random_state=random_state,
        breakdown=breakdown,
    )
    return result(trtr.score - tstr.score, breakdown, details, tstr=tstr.score, trtr=trtr.score)
