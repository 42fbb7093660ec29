"""Which columns models use, and how well every column is predicted."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators._random import local_rng, spawn_seeds
from synth_estimators.metrics._tables import cut_rows, mean_or_undefined, result, undefined
from synth_estimators.metrics._utility_task import (
    TaskModel,
    UtilityTask,
    judge,
    train_and_test,
)
from synth_estimators.preprocessing._columns import as_frame, read_tables

__all__ = ["all_targets_utility", "feature_importance_agreement"]


def _permuted(features, place, rows):
    """The table with the cells of one column in another order."""
    k = int(features.discrete[:place].sum())
    if features.discrete[place]:
        codes = features.codes.copy()
        codes[:, k] = codes[rows, k]
        return replace(features, codes=codes)
    values = features.continuous.copy()
    values[:, place - k] = values[rows, place - k]
    return replace(features, continuous=values)


def _score(model, features, y, metric):
    return next(iter(judge(model, features, y, metric=metric)[0].values()))


def _importances(model, features, y, orders, metric):
    """Mean drop of the score when a column is permuted."""
    base = _score(model, features, y, metric)
    return np.array(
        [
            base
            - np.mean([_score(model, _permuted(features, j, rows), y, metric) for rows in orders])
            for j in range(len(features.names))
        ]
    )


def feature_importance_agreement(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any,
    X_train: Any,
    estimator: Any = "xgb",
    task: str = "auto",
    n_permutations: int = 5,
    match_size: bool = True,
    discrete_columns: Any = "auto",
    max_rows: int | None = 2_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Whether models trained on synthetic and on real rows use the same columns.

    Spearman correlation of the permutation importances of both models on the real test rows.

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

    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, categories, booleans and up to 10 different whole numbers as classes.

    n_permutations : int, default=5
        Times that each column is permuted; the same permutations for both models.

    match_size : bool, default=True
        Cut the synthetic and the real training table to the same number of rows.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=2_000
        Most test rows.

    random_state : int, RandomState instance or None, default=None
        Draws rows, trees and permutations.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``importance_real`` and ``importance_synth`` of
        every column: the mean drop of ROC AUC or R2) and ``dropped`` instead of a number.

    Returns
    -------
    correlation : float or Bunch
        Between -1 and 1, the best. NaN with a warning if there are fewer than two columns beside
        the target or a model uses none.

    Notes
    -----
    Costs a prediction for every column, permutation and model. Columns that matter little are
    ranked by chance, so two models of real rows do not reach 1 either.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import feature_importance_agreement
    >>> rng = np.random.default_rng(0)
    >>> tables = [rng.normal(size=(200, 3)) for _ in range(3)]
    >>> tables = [np.column_stack([X, X @ [3.0, 1.0, 0.1]]) for X in tables]
    >>> test, train, synth = tables
    >>> options = {"X_train": train, "target": "x3", "estimator": "logistic", "random_state": 0}
    >>> round(feature_importance_agreement(test, synth, **options), 2)
    1.0
    """
    metric = "feature_importance_agreement"
    for name, table in (("X_synth", X_synth), ("X_train", X_train)):
        if table is None:
            raise ValueError(f"{metric} needs {name}; pass {name}=.")
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations!r} must be at least 1.")
    utility = UtilityTask(
        {"X_real": X_real, "X_synth": X_synth, "X_train": X_train},
        target=target,
        task=task,
        discrete_columns=discrete_columns,
    )
    seeds = spawn_seeds(random_state, 3)
    if match_size:
        utility.match(["X_synth", "X_train"], seeds[0])
    rng = local_rng(seeds[1])
    if max_rows is not None:
        utility.cut("X_real", max_rows, rng)
    features, y = utility.parts["X_real"]
    empty = [name for name, (_, targets) in utility.parts.items() if len(targets) == 0]
    enough = len(y) > 1 and (not utility.classification or len(np.unique(y)) > 1)
    importances = np.full((2, len(features.names)), np.nan)
    if empty:
        score = undefined(metric, f"no row of {empty[0]} has a usable target")
    elif not enough:
        score = undefined(metric, "the test rows hold one row or one class only")
    else:
        orders = [rng.permutation(len(y)) for _ in range(n_permutations)]
        for row, name in enumerate(("X_train", "X_synth")):
            model = TaskModel(utility, name, estimator=estimator, seed=seeds[2])
            importances[row] = _importances(model, features, y, orders, metric)
        score = _rank_correlation(importances, metric)
    return result(
        score,
        breakdown,
        {
            "column": features.names,
            "importance_real": importances[0],
            "importance_synth": importances[1],
        },
        dropped=utility.dropped,
    )


def _rank_correlation(importances, metric):
    ranks = rankdata(importances, axis=1)
    if ranks.shape[1] < 2 or np.any(np.ptp(ranks, axis=1) == 0):
        return undefined(metric, "fewer than two columns differ in their importance")
    return float(np.corrcoef(ranks)[0, 1])


def _one_target(tables, target, *, models, match_size, discrete_columns, max_classes, seed):
    """Scores of both models for one target, and why they have none."""
    metric = "all_targets_utility"
    seeds = spawn_seeds(seed, 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        utility = UtilityTask(tables, target=target, task="auto", discrete_columns=discrete_columns)
        if utility.classification:
            utility.merge_rare_classes(max_classes)
        if match_size:
            utility.match(["X_synth", "X_train"], seeds[0])
        kind = "classification" if utility.classification else "regression"
        scores = {
            short: train_and_test(
                utility,
                name,
                estimator=models[kind],
                scoring=None,
                repeats=1,
                random_state=seeds[1],
                metric=metric,
            ).score
            for short, name in (("tstr", "X_synth"), ("trtr", "X_train"))
        }
    notes = [str(w.message) for w in caught if issubclass(w.category, UndefinedMetricWarning)]
    note = "; ".join(dict.fromkeys(notes))
    gap = scores["trtr"] - scores["tstr"]
    return {"target": target, "task": kind, **scores, "gap": gap, "note": note}


def _common_names(tables):
    """Data frames of which those without names have the names of the first that has some."""
    frames = {name: as_frame(table, name=name) for name, table in tables.items()}
    named = [frame.columns for frame, has_names in frames.values() if has_names]
    return {
        name: frame
        if has_names or not named or len(named[0]) != frame.shape[1]
        else frame.set_axis(named[0], axis=1)
        for name, (frame, has_names) in frames.items()
    }


def all_targets_utility(
    X_real: Any,
    X_synth: Any,
    *,
    X_train: Any,
    estimator: Any = "xgb",
    match_size: bool = True,
    max_targets: int | None = 50,
    max_classes: int = 10,
    discrete_columns: Any = "auto",
    max_rows: int | None = 3_000,
    random_state: Any = None,
    n_jobs: int | None = None,
    breakdown: bool = False,
) -> Any:
    """Mean utility gap over all columns, each taken as target in turn.

    Needs no chosen target and is the strictest measure of utility: all conditional relations must
    be right.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real test rows.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns.

    X_train : {array-like, pandas DataFrame}
        Real training rows.

    estimator : {"xgb", "logistic"} or pair of estimators, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic or ridge
        regression; or a classifier and a regressor. Encoders are fitted to the training rows.

    match_size : bool, default=True
        Cut the synthetic and the real training table to the same number of rows.

    max_targets : int or None, default=50
        Most columns that are predicted; a wider table is sampled.

    max_classes : int, default=10
        All but the most frequent classes of a column are judged as one.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=3_000
        Most rows of each table.

    random_state : int, RandomState instance or None, default=None
        Draws rows, columns and trees.

    n_jobs : int or None, default=None
        Targets worked on at a time. The result does not depend on it.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``median_gap`` and ``details`` (``task``, ``tstr``, ``trtr``,
        ``gap`` and a ``note`` where a score is undefined, for every target) instead of a number.

    Returns
    -------
    gap : float or Bunch
        Score of the models trained on real rows minus that of those trained on synthetic rows (ROC
        AUC, or R2 of a numeric column), averaged. Smaller is better, 0 is ideal. NaN with a warning
        for a table of one column.

    See Also
    --------
    utility_gap : The gap for one target.

    Notes
    -----
    R2 has no lower end: a column that models of synthetic rows predict far worse than its mean
    dominates the mean; look at ``median_gap`` beside it.

    References
    ----------
    .. [1] Jiang, X., Simidjievski, N. and Jamnik, M. (2025). "TabStruct: Measuring Structural
       Fidelity of Tabular Data".

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import all_targets_utility
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 200, 1))
    >>> test, train, synth = x + 0.2 * rng.normal(size=(3, 200, 3))
    >>> shuffled = rng.permuted(train, axis=0)
    >>> options = {"X_train": train, "estimator": "logistic", "random_state": 0}
    >>> all_targets_utility(test, synth, **options) < 0.05
    True
    >>> all_targets_utility(test, shuffled, **options) > 0.5
    True
    """
    metric = "all_targets_utility"
    for name, table in (("X_synth", X_synth), ("X_train", X_train)):
        if table is None:
            raise ValueError(f"{metric} needs {name}; pass {name}=.")
    for name, limit, least in (("max_targets", max_targets, 1), ("max_classes", max_classes, 2)):
        if limit is not None and limit < least:
            raise ValueError(f"{name}={limit!r} must be at least {least}.")
    seeds = spawn_seeds(random_state, 3)
    models = estimator
    if isinstance(estimator, str):
        models = (estimator, estimator)
    if not isinstance(models, (tuple, list)) or len(models) != 2:
        raise ValueError(
            f"estimator={estimator!r} must be 'xgb', 'logistic' or a pair of a classifier and a "
            "regressor, since columns of both kinds are predicted."
        )
    frames = _common_names({"X_real": X_real, "X_train": X_train, "X_synth": X_synth})
    # What is wrong with the tables is said once, before any model is fitted.
    columns = read_tables(frames, discrete_columns=discrete_columns)["X_real"].names
    if len(columns) < 2:
        score = undefined(metric, "the tables have one column, which nothing can predict")
        return result(score, breakdown, {"target": []}, median_gap=float("nan"))
    rng = local_rng(seeds[0])
    chosen = np.sort(cut_rows(len(columns), max_targets or len(columns), rng))
    if max_rows is not None:
        frames = {
            name: frame.iloc[cut_rows(len(frame), max_rows, rng)] for name, frame in frames.items()
        }
    found = Parallel(n_jobs=n_jobs)(
        delayed(_one_target)(
            frames,
            columns[j],
            models=dict(zip(("classification", "regression"), models, strict=True)),
            match_size=match_size,
            discrete_columns=discrete_columns,
            max_classes=max_classes,
            seed=seed,
        )
        for j, seed in zip(chosen, spawn_seeds(seeds[1], len(chosen)), strict=True)
    )
    gaps = np.array([row["gap"] for row in found])
    known = gaps[~np.isnan(gaps)]
    return result(
        mean_or_undefined(gaps, metric),
        breakdown,
        found,
        median_gap=float(np.median(known)) if known.size else float("nan"),
    )
