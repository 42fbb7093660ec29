"""Synthetic rows that equal a training row."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth_estimators._distances import row_blocks
from synth_estimators.metrics._privacy_common import read_trained
from synth_estimators.metrics._tables import result

__all__ = ["exact_copy_share", "new_row_score"]

_DECIMALS = 6


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
    train, holdout, synth = read_trained(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="exact_copy_share",
    )
    copied = _copies(synth, train, tolerance)
    holdout_share = float("nan")
    if breakdown and holdout is not None:
        holdout_share = float(_copies(holdout, train, tolerance).mean())
    return result(copied.mean(), breakdown, {"copied": copied}, holdout_share=holdout_share)


def new_row_score(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    tolerance: float | None = None,
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Share of the synthetic rows that equal no training row.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        The training rows if ``X_train`` is not given, else the holdout rows.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows; their own score is reported beside.

    tolerance : float or None, default=None
        None compares numbers rounded to 6 decimals; a number takes ``|a - b| <= tolerance * |a|``
        as equal, a being the synthetic (or holdout) value.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``copied``, for every synthetic row) and
        ``holdout_score`` (NaN without holdout rows) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    See Also
    --------
    exact_copy_share : One minus this.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import new_row_score
    >>> train = np.arange(8.0).reshape(4, 2)
    >>> new_row_score(train, np.vstack([train[:1], train[:1] + 0.5, train[:2] + 0.25]))
    0.75
    """
    copies = exact_copy_share(
        X_real,
        X_synth,
        X_train=X_train,
        X_holdout=X_holdout,
        tolerance=tolerance,
        discrete_columns=discrete_columns,
        breakdown=True,
    )
    return result(
        1.0 - copies.score, breakdown, copies.details, holdout_score=1.0 - copies.holdout_share
    )


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
