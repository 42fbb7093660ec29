"""Distances between tables, in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.spatial.distance import cdist

__all__ = [
    "energy_distance",
    "euclidean_distances",
    "gower_distances",
    "nearest_rows",
    "row_blocks",
]

# Numbers of a block that stays in the cache (4 MB). Blocks of few rows may be eight times as large.
_BLOCK_ELEMENTS = 500_000
_FEW_ROWS = 64

# From this width on, matrix products are faster than the direct formula.
_WIDE = 48

# Squared distances below this share of the squared norms are recomputed without cancellation.
_CANCELLATION = 1e-4


def row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield slices of rows so that a block of ``n_columns`` has at most 32 MB, mostly 4 MB.

    Parameters
    ----------
    n_rows : int
        Rows to cut into blocks.

    n_columns : int
        Numbers a row.

    Yields
    ------
    part : slice
        Consecutive rows.
    """
    n_columns = max(1, n_columns)
    step = max(_FEW_ROWS, _BLOCK_ELEMENTS // n_columns)
    step = max(1, min(step, 8 * _BLOCK_ELEMENTS // n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def euclidean_distances(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Euclidean distances by the direct formula: the same for (a, b) and (b, a), 0 for copies.

    Parameters
    ----------
    A, B : ndarray of shape (n_rows, n_features)
        The two sets of rows.

    Returns
    -------
    distances : ndarray of shape (n_rows_a, n_rows_b)
    """
    return cdist(A, B)


def _product_distances(A, B):
    """Euclidean distances by a matrix product, near-copies corrected."""
    squares_a = np.einsum("ij,ij->i", A, A)
    squares_b = np.einsum("ij,ij->i", B, B)
    squared = A @ B.T
    squared *= -2.0
    squared += squares_a[:, None]
    squared += squares_b[None, :]
    limit = _CANCELLATION * (squares_a[:, None] + squares_b[None, :])
    close_a, close_b = np.nonzero(squared <= limit)
    for part in row_blocks(len(close_a), A.shape[1]):
        difference = A[close_a[part]] - B[close_b[part]]
        squared[close_a[part], close_b[part]] = np.einsum("ij,ij->i", difference, difference)
    return np.sqrt(squared, out=squared)


def gower_distances(A: np.ndarray, B: np.ndarray, *, n_continuous: int) -> np.ndarray:
    """Gower distances between rows of the mixed space.

    Parameters
    ----------
    A, B : ndarray of shape (n_rows, n_features)
        Continuous columns, divided by their range, come first, NaN where missing; the others are
        compared for equality and hold no NaN.

    n_continuous : int
        Number of leading continuous columns.

    Returns
    -------
    distances : ndarray of shape (n_rows_a, n_rows_b)
        Mean over the columns of ``min(|a - b|, 1)``, or of 1 where the cells differ. One missing
        cell counts 1, two count 0.
    """
    n_features = A.shape[1]
    n_equality = n_features - n_continuous
    total = None
    if n_continuous:
        total = _clipped_cityblock(A[:, :n_continuous], B[:, :n_continuous])
    if n_equality:
        mismatches = cdist(A[:, n_continuous:], B[:, n_continuous:], "hamming")
        mismatches *= n_equality
        np.rint(mismatches, out=mismatches)
        total = mismatches if total is None else np.add(total, mismatches, out=total)
    total /= n_features
    return total


def _clipped_cityblock(A, B):
    missing_a, missing_b = np.isnan(A), np.isnan(B)
    filled_a, filled_b = np.where(missing_a, 0.0, A), np.where(missing_b, 0.0, B)
    total = cdist(filled_a, filled_b, "cityblock")
    columns = np.flatnonzero(missing_a.any(axis=0) | missing_b.any(axis=0))
    if columns.size:
        # A missing cell was filled by 0 and gave |other|; what is wanted is 1, and 0 for two.
        gap_a, gap_b = missing_a[:, columns].astype(float), missing_b[:, columns].astype(float)
        rest_a = (1.0 - gap_a) * (1.0 - np.abs(filled_a[:, columns]))
        rest_b = (1.0 - gap_b) * (1.0 - np.abs(filled_b[:, columns]))
        total += np.hstack([rest_a, gap_a]) @ np.hstack([gap_b, rest_b]).T
    low_a, high_a = _extremes(A)
    low_b, high_b = _extremes(B)
    for j in np.flatnonzero((high_a - low_b > 1.0) | (high_b - low_a > 1.0)):
        # Cells outside the range of the other table can be more than one range apart.
        rows = np.flatnonzero((A[:, j] - low_b[j] > 1.0) | (high_b[j] - A[:, j] > 1.0))
        excess = np.abs(A[rows, j][:, None] - B[:, j][None, :]) - 1.0
        total[rows] -= np.fmax(excess, 0.0)
    return total


def _extremes(block):
    finite = np.where(np.isnan(block), np.inf, block).min(axis=0)
    return finite, np.where(np.isnan(block), -np.inf, block).max(axis=0)


def nearest_rows(
    A: np.ndarray,
    B: np.ndarray,
    *,
    k: int = 1,
    exclude_self: bool = False,
    distances: Callable[[np.ndarray, np.ndarray], np.ndarray] = euclidean_distances,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``k`` nearest rows of ``B`` for every row of ``A``.

    Parameters
    ----------
    A, B : ndarray of shape (n_rows, n_features)
        Queries and candidates.

    k : int, default=1
        Number of neighbours, at most the number of candidates.

    exclude_self : bool, default=False
        ``A`` is ``B`` and a row is not its own neighbour.

    distances : callable, default=euclidean_distances
        Gives the distances between two sets of rows.

    Returns
    -------
    distance : ndarray of shape (n_rows_a, k)
        In ascending order.

    index : ndarray of shape (n_rows_a, k)
        Row numbers in ``B``.
    """
    distance, index = np.empty((len(A), k)), np.empty((len(A), k), dtype=np.intp)
    for part in row_blocks(len(A), len(B)):
        block = distances(A[part], B)
        rows = np.arange(len(block))
        if exclude_self:
            block[rows, rows + part.start] = np.inf
        if k == 1:
            chosen = block.argmin(axis=1)[:, None]
        else:
            chosen = np.argpartition(block, k - 1, axis=1)[:, :k]
        near = block[rows[:, None], chosen]
        order = np.argsort(near, axis=1, kind="stable")
        distance[part] = np.take_along_axis(near, order, axis=1)
        index[part] = np.take_along_axis(chosen, order, axis=1)
    return distance, index


def _mean_distance(A, B, weight_a, weight_b):
    distances = _product_distances if A.shape[1] > _WIDE else cdist
    total = 0.0
    for part in row_blocks(len(A), len(B)):
        total += float(weight_a[part] @ (distances(A[part], B) @ weight_b))
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
        At least 0 up to rounding; 0 when both sets hold the same rows.

    Notes
    -----
    Costs the product of both numbers of rows and the number of columns; memory is bounded.
    """
    X = np.asarray(X, dtype=np.float64)
    Y = np.asarray(Y, dtype=np.float64)
    weight_x = _normalised(weight_x, len(X), "weight_x")
    weight_y = _normalised(weight_y, len(Y), "weight_y")
    if X.shape[1] > _WIDE:
        # Distances do not change, and the product formula keeps its digits.
        centre = X.mean(axis=0)
        X, Y = X - centre, Y - centre
    return (
        2.0 * _mean_distance(X, Y, weight_x, weight_y)
        - _mean_distance(X, X, weight_x, weight_x)
        - _mean_distance(Y, Y, weight_y, weight_y)
    )
