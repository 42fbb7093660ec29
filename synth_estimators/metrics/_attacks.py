"""Linking split records and inferring secrets with the help of synthetic rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from synth_estimators._random import local_rng
from synth_estimators.metrics._attack_rates import attack_result
from synth_estimators.metrics._privacy_common import cap, nearest, read_three
from synth_estimators.metrics._tables import cut_rows, mean_or_undefined, result, undefined
from synth_estimators.preprocessing._columns import as_frame

__all__ = ["inference_risk", "linkability_risk"]


def _check_attacks(n_attacks):
    if n_attacks < 1:
        raise ValueError(f"n_attacks={n_attacks!r} must be at least 1.")


def _places(table, columns, name):
    """Positions of the named columns (names, or numbers where no column is called so)."""
    places = []
    for column in columns:
        if column in table.names:
            places.append(table.names.index(column))
        elif isinstance(column, (int, np.integer)) and 0 <= column < len(table.names):
            places.append(int(column))
        else:
            raise ValueError(
                f"{name} names {column!r}, which is not a column; the columns are "
                f"{[str(label) for label in table.names[:8]]}."
            )
    if not places:
        raise ValueError(f"{name} is empty; name at least one column.")
    return places


def _select(table, places):
    """The table with some of its columns."""
    keep = np.zeros(len(table.names), dtype=bool)
    keep[places] = True
    of_continuous, of_discrete = keep[~table.discrete], keep[table.discrete]
    return replace(
        table,
        names=[label for label, flag in zip(table.names, keep, strict=True) if flag],
        discrete=table.discrete[keep],
        continuous=table.continuous[:, of_continuous],
        codes=table.codes[:, of_discrete],
        categories=[labels for labels, f in zip(table.categories, of_discrete, strict=True) if f],
        n_nonfinite=table.n_nonfinite[keep],
        single=table.single[of_continuous],
    )


def _targets(train, holdout, n_attacks, rng):
    return [table.take(cut_rows(len(table), n_attacks, rng)) for table in (train, holdout)]


def _halves(table, aux):
    if aux is None:
        order = list(range(len(table.names)))
        return order[::2], order[1::2]
    if isinstance(aux, str) or len(aux) != 2 or any(isinstance(part, str) for part in aux):
        raise ValueError(f"aux={aux!r} must hold two lists of column names.")
    first, second = (_places(table, part, "aux") for part in aux)
    shared = sorted({str(table.names[j]) for j in first} & {str(table.names[j]) for j in second})
    if shared:
        raise ValueError(f"Both lists of aux name {shared}; they must have no column in common.")
    return first, second


def _meet(first, second):
    """Whether two rows of indices have one in common."""
    return (first[:, :, None] == second[:, None, :]).any(axis=(1, 2))


def linkability_risk(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    aux: Any = None,
    n_neighbors: int = 1,
    n_attacks: int = 500,
    level: float = 0.95,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Risk that two parts of one record are linked with the help of the synthetic rows.

    An attacker holds some columns of a person in one list and others in a second list. He links
    them where the nearest synthetic rows of both parts have a row in common. The success on
    training rows is held against that on holdout rows, see ``residual_risk``.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to: targets of the attack.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law: targets of the control attack.

    aux : tuple of two lists of column names, default=None
        The columns of both lists; None takes every other column.

    n_neighbors : int, default=1
        Nearest synthetic rows that are compared, in Gower space.

    n_attacks : int, default=500
        Targets in each group, at most the rows there are.

    level : float, default=0.95
        Coverage of the intervals.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        At most ten times as many synthetic rows are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the targets and the guesses.

    breakdown : bool, default=False
        Return a Bunch with ``score``, its interval (``low``, ``high``), ``value`` and ``error``
        before clipping, ``attack_rate``, ``control_rate``, ``baseline_rate`` (random guesses),
        ``weak_attack`` (the attack is no better than guessing, so a low risk says nothing) and
        ``details`` (counts and rates of the three groups) instead of a number.

    Returns
    -------
    risk : float or Bunch
        Between 0, the best, and 1. NaN with a warning for a table of one column.

    Notes
    -----
    A low risk means that this attack failed, not that none can succeed; only differential privacy
    is a guarantee.

    References
    ----------
    .. [1] Giomi, M., Boenisch, F., Wehmeyer, C. and Tasnadi, B. (2023). "A Unified Framework for
       Quantifying Privacy Risk in Synthetic Data". PETS.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import linkability_risk
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 200, 4))
    >>> linkability_risk(X_train=train, X_holdout=holdout, X_synth=train, random_state=0) > 0.9
    True
    """
    _check_attacks(n_attacks)
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors={n_neighbors!r} must be at least 1.")
    train, holdout, synth = read_three(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="linkability_risk",
    )
    rng = local_rng(random_state)
    synth = cap(synth, max_rows, rng, searched=True)
    if aux is None and len(train.names) < 2:
        score = undefined("linkability_risk", "one column cannot be split into two lists")
        return result(score, breakdown, {"group": []}, weak_attack=True)
    halves = _halves(train, aux)
    k = min(n_neighbors, len(synth))
    groups = {}
    for name, rows in zip(
        ("attack", "control"), _targets(train, holdout, n_attacks, rng), strict=True
    ):
        found = [
            nearest(_select(rows, places), _select(synth, places), "gower", k=k)[1]
            for places in halves
        ]
        groups[name] = _meet(*found)
    guesses = [
        np.array([rng.choice(len(synth), k, replace=False) for _ in groups["attack"]])
        for _ in halves
    ]
    groups["baseline"] = _meet(*guesses)
    return attack_result(groups, level=level, breakdown=breakdown)


def _temporal(X_train):
    """Which columns are dates or times."""
    dtypes = list(as_frame(X_train)[0].dtypes)
    return np.array(
        [
            pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype)
            for dtype in dtypes
        ]
    )


def _cells(table, place):
    """One column, as codes or as numbers."""
    k = int(table.discrete[:place].sum())
    return table.codes[:, k] if table.discrete[place] else table.continuous[:, place - k]


def _n_values(table, place):
    cells = _cells(table, place)
    return (
        len(np.unique(cells)) if table.discrete[place] else len(np.unique(cells[~np.isnan(cells)]))
    )


def _range(table, place):
    cells = _cells(table, place)
    observed = cells[~np.isnan(cells)]
    return float(np.ptp(observed)) if observed.size else 0.0


def _right(guess, truth, *, discrete, tolerance, spread):
    """Whether guesses are right: equal, or near (relative to the truth or to ``spread``)."""
    if discrete:
        return guess == truth
    near = np.abs(guess - truth) <= tolerance * (np.abs(truth) if spread is None else spread)
    return near | (np.isnan(guess) & np.isnan(truth))


def _infer(train, holdout, synth, place, aux, *, tolerance, spread, n_attacks, rng):
    options = {"discrete": train.discrete[place], "tolerance": tolerance, "spread": spread}
    groups, secrets = {}, _cells(synth, place)
    targets = _targets(train, holdout, n_attacks, rng)
    for name, rows in zip(("attack", "control"), targets, strict=True):
        found = nearest(_select(rows, aux), _select(synth, aux), "gower")[1][:, 0]
        groups[name] = _right(secrets[found], _cells(rows, place), **options)
    truth = _cells(targets[0], place)
    groups["baseline"] = _right(rng.choice(secrets, len(truth)), truth, **options)
    return groups


def inference_risk(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    secret: Any = None,
    aux: Any = None,
    tolerance: float = 0.05,
    n_attacks: int = 500,
    level: float = 0.95,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Risk that a secret cell is inferred from the others with the help of the synthetic rows.

    An attacker knows some columns of a person, finds the nearest synthetic row and takes over its
    secret cell. The success on training rows is held against that on holdout rows, see
    ``residual_risk``: what can be predicted of anybody is no leak.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to: targets of the attack.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law: targets of the control attack.

    secret : column name or int, default=None
        The column that is inferred; None takes every column in turn (that is not
        in ``aux``) and returns the mean risk.

    aux : list of column names, default=None
        Columns that the attacker knows; None is all but the secret.

    tolerance : float, default=0.05
        A numeric guess is right within this share of the true value (dates: of the range of the
        training column).

    n_attacks : int, default=500
        Targets in each group, at most the rows there are.

    level : float, default=0.95
        Coverage of the intervals.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        At most ten times as many synthetic rows are searched for one secret, and as many where
        every column is tried.

    random_state : int, RandomState instance or None, default=None
        Draws the targets and the guesses.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``weak_attack`` (the attack is no better than guessing, so a
        low risk says nothing) and ``details`` instead of a number. For one secret the Bunch is
        that of ``linkability_risk``; for all of them ``details`` has the risk, its interval and
        the rates of every column.

    Returns
    -------
    risk : float or Bunch
        Between 0, the best, and 1. NaN with a warning if no column can be a secret.

    Notes
    -----
    Columns that are constant among the training rows hold no secret and are left out of the mean.
    It is of risks that were clipped at 0, so a private table of few rows scores a little above 0.
    A low risk means that this attack failed, not that none can succeed; only differential privacy
    is a guarantee.

    References
    ----------
    .. [1] Giomi, M., Boenisch, F., Wehmeyer, C. and Tasnadi, B. (2023). "A Unified Framework for
       Quantifying Privacy Risk in Synthetic Data". PETS.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import inference_risk
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 200, 4))
    >>> options = {"X_train": train, "X_holdout": holdout, "secret": "x3", "random_state": 0}
    >>> inference_risk(X_synth=train, **options) > 0.9
    True
    """
    _check_attacks(n_attacks)
    if tolerance < 0:
        raise ValueError(f"tolerance={tolerance!r} must be at least 0.")
    train, holdout, synth = read_three(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="inference_risk",
    )
    rng = local_rng(random_state)
    synth = cap(synth, max_rows, rng, searched=secret is not None)
    every = list(range(len(train.names)))
    known = every if aux is None else _places(train, aux, "aux")
    if secret is not None:
        secrets = _places(train, [secret], "secret")
    else:
        secrets = every if aux is None else [j for j in every if j not in known]
    temporal = _temporal(X_real if X_train is None else X_train)
    options = {"tolerance": tolerance, "n_attacks": n_attacks, "rng": rng}
    outcomes = []
    for place in secrets:
        columns = [j for j in known if j != place]
        if not columns and aux is None and secret is None:
            outcomes.append(Bunch(score=np.nan, weak_attack=True))
            continue
        if not columns:
            raise ValueError(
                f"Nothing is known beside the secret {train.names[place]!r}; name other columns "
                "in aux."
            )
        if _n_values(train, place) < 2 and secret is None:
            outcomes.append(Bunch(score=np.nan, weak_attack=True))
            continue
        options["spread"] = _range(train, place) if temporal[place] else None
        groups = _infer(train, holdout, synth, place, columns, **options)
        outcomes.append(attack_result(groups, level=level, breakdown=True))
    if secret is not None:
        return outcomes[0] if breakdown else outcomes[0].score
    shown = ("low", "high", "attack_rate", "control_rate", "baseline_rate")
    details = {
        "column": [train.names[place] for place in secrets],
        "risk": [outcome.score for outcome in outcomes],
        **{key: [outcome.get(key, np.nan) for outcome in outcomes] for key in shown},
        "weak_attack": [outcome.weak_attack for outcome in outcomes],
    }
    return result(
        mean_or_undefined(details["risk"], "inference_risk"),
        breakdown,
        details,
        weak_attack=all(details["weak_attack"]),
    )
