"""Do synthetic rows sit closer to the training rows than fresh rows do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._distances import nearest_rows, row_blocks
from synth_estimators._random import local_rng
from synth_estimators.metrics._tables import cut_rows, rank_auc, result, row_cap
from synth_estimators.preprocessing._columns import read_tables
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = ["dcr_share", "exact_copy_share", "membership_auc"]

# Rows that are searched may be this many times more than rows that are judged.
_SEARCHED = 10

_DECIMALS = 6


def _read_three(X_real, X_synth, X_train, X_holdout, *, discrete_columns, metric):
    """Read the training, holdout and synthetic tables; X_real stands in for a missing one."""
    if X_train is None:
        X_train = X_real
    elif X_holdout is None:
        X_holdout = X_real
    missing = [
        name
        for name, table in (("X_train", X_train), ("X_holdout", X_holdout), ("X_synth", X_synth))
        if table is None
    ]
    if missing:
        raise ValueError(
            f"{metric} needs training, holdout and synthetic rows; {', '.join(missing)} is "
            "missing. Pass X_train= and X_holdout= (X_real stands in for one of them)."
        )
    tables = read_tables(
        {"X_train": X_train, "X_holdout": X_holdout, "X_synth": X_synth},
        discrete_columns=discrete_columns,
    )
    return tables["X_train"], tables["X_holdout"], tables["X_synth"]


def _nearest(queries, reference, space, fitted=None):
    """Distance from every query to its nearest reference row; Gower ranges are the reference's."""
    if fitted is None:
        fitted = MixedSpace(space=space)._fit_table(reference)
    rows = fitted._transform_table(queries), fitted._transform_table(reference)
    return nearest_rows(*rows, distances=fitted._between)[0][:, 0]


def _common_space(train, space):
    """Scales that do not depend on the rows searched, except in Gower space."""
    return None if space == "gower" else MixedSpace(space=space)._fit_table(train)


def _share(to_train, to_holdout, ties):
    share = (to_train < to_holdout).mean()
    return share + 0.5 * (to_train == to_holdout).mean() if ties == "half" else share


def _cap(table, max_rows, rng, *, searched):
    limit = None if max_rows is None else max_rows * (_SEARCHED if searched else 1)
    return row_cap(table, limit, rng)


def dcr_share(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    space: str = "gower",
    ties: str = "half",
    match_size: bool = True,
    n_draws: int = 5,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the synthetic rows that are closer to the training than to the holdout rows.

    0.5 is ideal; a generator that copies its training rows gets 1. The larger of the two real
    tables is nearer by chance alone, so both are cut to equal size.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law, best as many as there are training rows.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``. In Gower space the ranges are those
        of the rows that are searched.

    ties : {"half", "strict"}, default="half"
        Rows at equal distance count one half, or not at all.

    match_size : bool, default=True
        Cut the larger of the training and holdout tables; the synthetic table is left whole.

    n_draws : int, default=5
        Subsamples that are averaged where a table is cut.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most synthetic rows that are judged; at most ten times as many training and holdout rows
        are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (distances of every synthetic row),
        ``dcr_share_full`` (all rows), ``full_chance_level`` (its value for a private table),
        ``draws``, ``n_train``, ``n_holdout`` and ``n_synth`` instead of a number.

    Returns
    -------
    share : float or Bunch
        Between 0 and 1; 0.5 is ideal.

    Notes
    -----
    If there are many more training than holdout rows, the row that was copied is often not in the
    subsample; then look at ``dcr_share_full`` beside its chance level too. No such number is a
    guarantee; only differential privacy is.

    References
    ----------
    .. [1] Platzer, M. and Reutterer, T. (2021). "Holdout-Based Empirical Assessment of Mixed-Type
       Synthetic Data". Frontiers in Big Data 4.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import dcr_share
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> dcr_share(X_train=train, X_holdout=holdout, X_synth=train)
    1.0
    """
    if ties not in ("half", "strict"):
        raise ValueError(f"ties={ties!r} is unknown; use 'half' or 'strict'.")
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws!r} must be at least 1.")
    train, holdout, synth = _read_three(
        X_real, X_synth, X_train, X_holdout, discrete_columns=discrete_columns, metric="dcr_share"
    )
    rng = local_rng(random_state)
    fitted = _common_space(train, space)
    synth = _cap(synth, max_rows, rng, searched=False)
    train, holdout = (_cap(table, max_rows, rng, searched=True) for table in (train, holdout))

    size = min(len(train), len(holdout))
    cut = match_size and len(train) != len(holdout)
    full = {}
    if breakdown or not cut or len(train) == size:
        full["train"] = _nearest(synth, train, space, fitted)
    if breakdown or not cut or len(holdout) == size:
        full["holdout"] = _nearest(synth, holdout, space, fitted)
    draws = []
    for _ in range(n_draws if cut else 1):
        distances = dict(full)
        for name, table in (("train", train), ("holdout", holdout)):
            if cut and len(table) > size:
                part = table.take(cut_rows(len(table), size, rng))
                distances[name] = _nearest(synth, part, space, fitted)
        draws.append(_share(distances["train"], distances["holdout"], ties))
    if not breakdown:
        return float(np.mean(draws))
    details = pd.DataFrame({"distance_train": full["train"], "distance_holdout": full["holdout"]})
    return result(
        np.mean(draws),
        True,
        details,
        dcr_share_full=float(_share(full["train"], full["holdout"], ties)),
        full_chance_level=len(train) / (len(train) + len(holdout)),
        draws=np.array(draws),
        n_train=len(train),
        n_holdout=len(holdout),
        n_synth=len(synth),
    )


def membership_auc(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    space: str = "gower",
    n_draws: int = 5,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """How well the distance to the nearest synthetic row betrays who was in the training table.

    ROC AUC of minus that distance, training rows (members) against holdout rows (non-members).

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

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``. In Gower space the ranges are those
        of the synthetic table.

    n_draws : int, default=5
        Subsamples of equal size that are averaged where one of the tables is larger.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most training and holdout rows that are judged; at most ten times as many synthetic rows
        are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``member`` and ``distance`` of every real row),
        ``draws`` and row counts instead of a number.

    Returns
    -------
    auc : float or Bunch
        Between 0 and 1; 0.5 is ideal, 1 means that all members are recognised.

    Notes
    -----
    With few rows and many columns any fitted model is nearer to its training rows, so compare with
    a plain baseline such as ``GaussianCopula``.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import membership_auc
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> membership_auc(X_train=train, X_holdout=holdout, X_synth=train)
    1.0
    """
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws!r} must be at least 1.")
    train, holdout, synth = _read_three(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="membership_auc",
    )
    rng = local_rng(random_state)
    fitted = _common_space(train, space)
    train, holdout = (_cap(table, max_rows, rng, searched=False) for table in (train, holdout))
    synth = _cap(synth, max_rows, rng, searched=True)
    if fitted is None:
        fitted = MixedSpace(space=space)._fit_table(synth)
    member = _nearest(train, synth, space, fitted)
    other = _nearest(holdout, synth, space, fitted)
    size = min(len(member), len(other))
    positive = np.repeat([True, False], size)
    draws = []
    for _ in range(n_draws if len(member) != len(other) else 1):
        part = [values[cut_rows(len(values), size, rng)] for values in (member, other)]
        draws.append(rank_auc(-np.concatenate(part), positive))
    return result(
        np.mean(draws),
        breakdown,
        lambda: {
            "member": np.repeat([True, False], [len(member), len(other)]),
            "distance": np.concatenate([member, other]),
        },
        draws=np.array(draws),
        n_train=len(train),
        n_holdout=len(holdout),
        n_synth=len(synth),
    )


def exact_copy_share(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    tolerance: float | None = None,
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Share of the synthetic rows that equal a training row.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        The training rows if ``X_train`` is not given, else the holdout rows.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows; the share of them that equal a training row is reported beside, since real
        tables hold duplicates.

    tolerance : float or None, default=None
        None compares numbers rounded to 6 decimals; a number takes ``|a - b| <= tolerance * |a|``
        as equal, a being the synthetic (or holdout) value.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``copied``, for every synthetic row) and
        ``holdout_share`` (NaN without holdout rows) instead of a number.

    Returns
    -------
    share : float or Bunch
        Between 0, the best, and 1.

    Notes
    -----
    Missing cells equal missing cells. A column that came in single precision in one of the tables
    is compared in single precision.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import exact_copy_share
    >>> train = np.arange(8.0).reshape(4, 2)
    >>> exact_copy_share(train, np.vstack([train[:1], train[:1] + 0.5]))
    0.5
    """
    if tolerance is not None and tolerance < 0:
        raise ValueError(f"tolerance={tolerance!r} must be at least 0 or None.")
    if X_train is None:
        X_train = X_real
    elif X_holdout is None:
        X_holdout = X_real
    if X_train is None or X_synth is None:
        raise ValueError("exact_copy_share needs training rows (X_train or X_real) and X_synth.")
    given = {"X_train": X_train, "X_holdout": X_holdout, "X_synth": X_synth}
    tables = read_tables(
        {name: table for name, table in given.items() if table is not None},
        discrete_columns=discrete_columns,
    )
    copied = _copies(tables["X_synth"], tables["X_train"], tolerance)
    holdout_share = float("nan")
    if breakdown and "X_holdout" in tables:
        holdout_share = float(_copies(tables["X_holdout"], tables["X_train"], tolerance).mean())
    return result(copied.mean(), breakdown, {"copied": copied}, holdout_share=holdout_share)


def _copies(rows, train, tolerance):
    """Which rows equal some training row."""
    if tolerance is not None:
        return _close_copies(rows, train, tolerance)
    single = rows.single | train.single
    known = set(_row_keys(train, single))
    return np.array([key in known for key in _row_keys(rows, single)], dtype=bool)


def _row_keys(table, single):
    values = table.continuous.copy()
    values[:, single] = values[:, single].astype(np.float32)
    values = np.round(values, _DECIMALS) + 0.0
    # One bit pattern for all missing cells, and no negative zero.
    values[np.isnan(values)] = np.nan
    cells = np.ascontiguousarray(np.hstack([values, table.codes.astype(np.float64)]))
    return [row.tobytes() for row in cells]


def _close_copies(rows, train, tolerance):
    copied = np.zeros(len(rows), dtype=bool)
    for part in row_blocks(len(rows), len(train)):
        block = rows.take(part)
        equal = np.ones((len(block), len(train)), dtype=bool)
        for k in range(block.codes.shape[1]):
            equal &= block.codes[:, k][:, None] == train.codes[:, k]
        for j in range(block.continuous.shape[1]):
            a, b = block.continuous[:, j][:, None], train.continuous[:, j][None, :]
            equal &= (np.abs(a - b) <= tolerance * np.abs(a)) | (np.isnan(a) & np.isnan(b))
        copied[part] = equal.any(axis=1)
    return copied
