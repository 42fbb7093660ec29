"""Columns whose value follows from another column (a code beside its name)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["find_determined"]

_MIN_COUNT = 10
_PROBE = 500


def find_determined(
    codes: Sequence[np.ndarray], *, exclude: Sequence[int] = (), min_count: int = _MIN_COUNT
) -> dict[int, int]:
    """Find the columns that can be looked up from another one.

    A column is determined by another if every value of that one goes with a single value of it.
    The other column has at least as many values, and at most one for every ``min_count`` rows; the
    determined one has at least two, each in at least ``min_count`` rows, so that the rule is not
    an accident of few rows.

    Parameters
    ----------
    codes : sequence of ndarray of int of shape (n_rows,)
        Index of the value of every cell of a column, from 0 on without gaps; a missing cell is a
        value.

    exclude : sequence of int, default=()
        Columns that are not to be looked up.

    min_count : int, default=10
        Smallest number of rows of a value.

    Returns
    -------
    determined_by : dict
        Determined column -> the column it follows from, which itself is not determined.

    Examples
    --------
    >>> import numpy as np
    >>> day = np.repeat(np.arange(4), 25)
    >>> find_determined([day, day // 2])
    {1: 0}
    """
    counts = [np.bincount(column) for column in codes]
    n_values = np.array([len(count) for count in counts])
    n_rows = len(codes[0])
    determined: dict[int, int] = {}
    for c in np.argsort(n_values, kind="stable").tolist():
        if c in exclude or n_values[c] < 2 or counts[c].min() < min_count:
            continue
        candidates = np.flatnonzero(
            (n_values >= n_values[c]) & (n_values <= n_rows / min_count)
        ).tolist()
        for p in sorted(candidates, key=lambda column: -n_values[column]):
            if p != c and p not in determined and _follows(codes[c], codes[p], n_values[p]):
                determined[c] = p
                break
    return {c: _last(determined, p) for c, p in determined.items()}


def _last(determined, column):
    """End of a chain: a column found early may follow from one that was itself found later."""
    while column in determined:
        column = determined[column]
    return column


def _follows(column, other, n_values):
    """Whether every value of ``other`` goes with one value of ``column``."""
    value = np.empty(n_values, dtype=column.dtype)
    # Most pairs fail within a few rows.
    for rows in (slice(_PROBE), slice(None)):
        value[other[rows]] = column[rows]
        if not np.array_equal(value[other[rows]], column[rows]):
            return False
    return True
