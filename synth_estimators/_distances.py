"""Distances between tables, in blocks of rows."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

__all__ = ["energy_distance"]

_BLOCK_ELEMENTS = 4_000_000


def _mean_distance(A, B, weight_a, weight_b):
    rows = max(1, _BLOCK_ELEMENTS // max(1, len(B)))
    total = 0.0
    for start in range(0, len(A), rows):
        part = slice(start, start + rows)
        total += float(weight_a[part] @ (cdist(A[part], B) @ weight_b))
    return total


def _normalised(weight, n_rows, name):
    if weight is None:
        return np.full(n_rows, 1.0 / n_rows)
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape != (n_rows,) or weight.min() < 0 or weight.sum() <= 0:
        raise ValueError(f"{name} must hold one weight of at least 0 a row ({n_rows} rows).")
    return weight / weight.sum()


def energy_distance(X, Y, *, weight_x=None, weight_y=None):
    """Energy distance between two sets of rows (V-statistic).

    .. math:: 2 E|x - y| - E|x - x'| - E|y - y'|

    Parameters
    ----------
    X, Y : ndarray of shape (n_rows, n_features)
        The two sets, with the same columns.

    weight_x, weight_y : array-like of shape (n_rows,), default=None
        Row weights.

    Returns
    -------
    distance : float
        At least 0; 0 when both sets hold the same rows.
    """
    X = np.asarray(X, dtype=np.float64)
    Y = np.asarray(Y, dtype=np.float64)
    weight_x = _normalised(weight_x, len(X), "weight_x")
    weight_y = _normalised(weight_y, len(Y), "weight_y")
    return (
        2.0 * _mean_distance(X, Y, weight_x, weight_y)
        - _mean_distance(X, X, weight_x, weight_x)
        - _mean_distance(Y, Y, weight_y, weight_y)
    )
