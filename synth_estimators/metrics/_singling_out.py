"""Singling out: predicates learnt from synthetic rows that fit exactly one person."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from synth_estimators._random import local_rng
from synth_estimators.metrics._attack_rates import attack_result
from synth_estimators.metrics._privacy_common import cap, read_three
from synth_estimators.metrics._tables import cut_rows, result, undefined

__all__ = ["singling_out_risk"]

_DECIMALS = 6

# Conjunctions that are tried for one that fits a single synthetic row.
_TRIES = 10


class _Condition(NamedTuple):
    """One column compared with a value; ``column`` counts continuous columns before discrete."""

    column: int
    relation: str
    value: float


_RELATIONS = {
    "=": np.equal,
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
}


def _cells(table, single):
    """All cells as numbers in one block: rounded, NaN where missing; codes of the categories."""
    values = table.continuous.copy()
    values[:, single] = values[:, single].astype(np.float32)
    return np.hstack([np.round(values, _DECIMALS), table.codes.astype(np.float64)])


def _fits(cells, predicate):
    """Which rows fit all conditions of a predicate."""
    fits = np.ones(len(cells), dtype=bool)
    for column, relation, value in predicate:
        values = cells[:, column]
        fits &= np.isnan(values) if relation == "missing" else _RELATIONS[relation](values, value)
    return fits


def _single_outs(cells, predicates):
    return np.array([np.count_nonzero(_fits(cells, predicate)) == 1 for predicate in predicates])


def _univariate(cells, n_continuous, n_attacks, rng):
    """Values that occur once, and what lies beyond the ends."""
    predicates = []
    for j in range(cells.shape[1]):
        missing = np.isnan(cells[:, j])
        values, counts = np.unique(cells[~missing, j], return_counts=True)
        predicates += [_Condition(j, "=", value) for value in values[counts == 1]]
        if missing.sum() == 1:
            predicates.append(_Condition(j, "missing", np.nan))
        if j < n_continuous and values.size:
            predicates += [_Condition(j, "<", values[0]), _Condition(j, ">", values[-1])]
    return [(predicates[i],) for i in rng.permutation(len(predicates))[:n_attacks]]


def _condition_of(cells, medians, n_continuous, row, column):
    value = cells[row, column]
    if np.isnan(value):
        return _Condition(column, "missing", np.nan)
    if column >= n_continuous:
        return _Condition(column, "=", value)
    return _Condition(column, ">=" if value >= medians[column] else "<=", value)


def _multivariate(cells, n_continuous, n_attacks, n_columns, rng):
    """Conjunctions that fit one synthetic row only."""
    medians = [
        np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0
        for column in cells[:, :n_continuous].T
    ]
    predicates = {}
    for _ in range(_TRIES * n_attacks):
        row = int(rng.integers(len(cells)))
        columns = np.sort(rng.choice(cells.shape[1], n_columns, replace=False)).tolist()
        predicate = tuple(_condition_of(cells, medians, n_continuous, row, j) for j in columns)
        if predicate not in predicates and np.count_nonzero(_fits(cells, predicate)) == 1:
            predicates[predicate] = None
        if len(predicates) == n_attacks:
            break
    return list(predicates)


def _guesses(cells, n_continuous, n_attacks, n_columns, rng):
    """Random predicates of the same number of columns, with values that occur."""
    relations = ("=", "<=", ">=") if n_columns == 1 else ("<=", ">=")
    predicates = []
    for _ in range(n_attacks):
        predicate = []
        for j in rng.choice(cells.shape[1], n_columns, replace=False):
            value = cells[rng.integers(len(cells)), j]
            if np.isnan(value):
                relation = "missing"
            else:
                relation = "=" if j >= n_continuous else str(rng.choice(relations))
            predicate.append(_Condition(int(j), relation, value))
        predicates.append(tuple(predicate))
    return predicates


def singling_out_risk(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    mode: str = "univariate",
    n_columns: int = 3,
    n_attacks: int = 500,
    match_size: bool = True,
    level: float = 0.95,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Risk that a predicate learnt from the synthetic rows fits exactly one training row.

    "univariate" claims that a value that occurs once in the synthetic table, or a value beyond its
    ends, belongs to one person. "multivariate" joins conditions on several columns of one
    synthetic row: its category, or at least (at most) its value where that lies above (below) the
    median. The same predicates are tried on the holdout rows, see ``residual_risk``.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law.

    mode : {"univariate", "multivariate"}, default="univariate"
        Kind of predicates.

    n_columns : int, default=3
        Columns of a multivariate predicate, at most those of the table.

    n_attacks : int, default=500
        Predicates; fewer if the synthetic table does not offer so many.

    match_size : bool, default=True
        Cut the training and holdout tables to the same number of rows: how many rows a predicate
        fits depends on it.

    level : float, default=0.95
        Coverage of the intervals.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most synthetic rows that predicates are made from; at most ten times as many training and
        holdout rows are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the predicates and the guesses.

    breakdown : bool, default=False
        Return a Bunch with ``score``, its interval (``low``, ``high``), ``value`` and ``error``
        before clipping, ``attack_rate``, ``control_rate``, ``baseline_rate`` (random predicates),
        ``weak_attack`` (the attack is no better than guessing, so a low risk says nothing) and
        ``details`` (counts and rates of the three groups) instead of a number.

    Returns
    -------
    risk : float or Bunch
        Between 0, the best, and 1. NaN with a warning if the synthetic rows offer no predicate.

    Notes
    -----
    Numbers are compared after rounding to 6 decimals. A low risk means that this attack failed,
    not that none can succeed; only differential privacy is a guarantee.

    References
    ----------
    .. [1] Giomi, M., Boenisch, F., Wehmeyer, C. and Tasnadi, B. (2023). "A Unified Framework for
       Quantifying Privacy Risk in Synthetic Data". PETS.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import singling_out_risk
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 200, 4))
    >>> singling_out_risk(X_train=train, X_holdout=holdout, X_synth=train, random_state=0) > 0.9
    True
    """
    if mode not in ("univariate", "multivariate"):
        raise ValueError(f"mode={mode!r} is unknown; use 'univariate' or 'multivariate'.")
    if n_attacks < 1 or n_columns < 1:
        raise ValueError(f"n_attacks={n_attacks!r} and n_columns={n_columns!r} must be at least 1.")
    train, holdout, synth = read_three(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="singling_out_risk",
    )
    rng = local_rng(random_state)
    synth = cap(synth, max_rows, rng, searched=False)
    train, holdout = (cap(table, max_rows, rng, searched=True) for table in (train, holdout))
    if match_size:
        size = min(len(train), len(holdout))
        train, holdout = (table.take(cut_rows(len(table), size, rng)) for table in (train, holdout))
    single = train.single | holdout.single | synth.single
    made_from, members, others = (_cells(table, single) for table in (synth, train, holdout))
    n_continuous = synth.continuous.shape[1]
    n_columns = 1 if mode == "univariate" else min(n_columns, made_from.shape[1])
    if mode == "univariate":
        predicates = _univariate(made_from, n_continuous, n_attacks, rng)
    else:
        predicates = _multivariate(made_from, n_continuous, n_attacks, n_columns, rng)
    if not predicates:
        score = undefined("singling_out_risk", "no predicate fits a single synthetic row")
        return result(score, breakdown, {"group": []}, weak_attack=True)
    guesses = _guesses(made_from, n_continuous, len(predicates), n_columns, rng)
    groups = {
        "attack": _single_outs(members, predicates),
        "control": _single_outs(others, predicates),
        "baseline": _single_outs(members, guesses),
    }
    return attack_result(groups, level=level, breakdown=breakdown)
