"""How labels mix among the neighbours of rows: what the metrics of batches and cell types share."""

from __future__ import annotations

import numpy as np

from synth_estimators._distances import (
    _WIDE,
    _product_distances,
    euclidean_distances,
    nearest_rows,
)

__all__ = [
    "chi_squared_mixture",
    "inverse_simpson",
    "nearest_others",
    "neighbor_weights",
    "others_nearest",
]

_SEARCH_STEPS = 50
_SEARCH_TOLERANCE = 1e-5


def neighbor_weights(distance: np.ndarray, perplexity: float) -> np.ndarray:
    """Gaussian weights of the neighbours whose entropy is the log of the perplexity.

    Parameters
    ----------
    distance : ndarray of shape (n_rows, n_neighbors)
        Distances to the neighbours, in ascending order.

    perplexity : float
        Effective number of neighbours.

    Returns
    -------
    weight : ndarray of shape (n_rows, n_neighbors)
        The weights of a row have the sum 1.

    Notes
    -----
    The bandwidth is found by bisection, in 50 steps or to a difference of 1e-5 in entropy.
    """
    # A shift of the distances leaves the weights as they are and keeps their sum above 0.
    distance = distance - distance[:, :1]
    n_rows = len(distance)
    rate, low, high = np.ones(n_rows), np.zeros(n_rows), np.full(n_rows, np.inf)
    target = np.log(perplexity)
    weight = np.empty_like(distance)
    open_rows = np.arange(n_rows)
    for _ in range(_SEARCH_STEPS + 1):
        part = np.exp(-distance[open_rows] * rate[open_rows, None])
        total = part.sum(axis=1)
        mean = (part * distance[open_rows]).sum(axis=1) / total
        entropy = np.log(total) + rate[open_rows] * mean
        weight[open_rows] = part / total[:, None]
        miss = entropy - target
        wide = miss > 0
        low[open_rows[wide]] = rate[open_rows[wide]]
        high[open_rows[~wide]] = rate[open_rows[~wide]]
        open_rows = open_rows[np.abs(miss) > _SEARCH_TOLERANCE]
        if not open_rows.size:
            break
        bounded = np.isfinite(high[open_rows])
        rate[open_rows] = np.where(
            bounded, 0.5 * (low[open_rows] + high[open_rows]), 2.0 * rate[open_rows]
        )
    return weight


def inverse_simpson(neighbor_codes: np.ndarray, weight: np.ndarray, n_labels: int) -> np.ndarray:
    """Effective number of labels among the weighted neighbours of every row.

    Parameters
    ----------
    neighbor_codes : ndarray of shape (n_rows, n_neighbors)
        Number of the label of every neighbour.

    weight : ndarray of shape (n_rows, n_neighbors)
        Weights with the sum 1 in every row.

    n_labels : int
        Number of labels.

    Returns
    -------
    index : ndarray of shape (n_rows,)
        Between 1 and ``n_labels``.
    """
    simpson = np.zeros(len(weight))
    for label in range(n_labels):
        simpson += np.where(neighbor_codes == label, weight, 0.0).sum(axis=1) ** 2
    # Sums of weights are 1 up to rounding.
    return np.clip(1.0 / simpson, 1.0, n_labels)


def chi_squared_mixture(neighbor_codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Chi-squared statistic of the labels among neighbours against the shares of all rows.

    Parameters
    ----------
    neighbor_codes : ndarray of shape (n_rows, n_neighbors)
        Number of the label of every neighbour.

    sizes : ndarray of shape (n_labels,)
        Rows of every label in the whole table.

    Returns
    -------
    statistic : ndarray of shape (n_rows,)
        Has one degree of freedom less than there are labels.
    """
    expected = neighbor_codes.shape[1] * sizes / sizes.sum()
    statistic = np.zeros(len(neighbor_codes))
    for label, count in enumerate(expected):
        statistic += ((neighbor_codes == label).sum(axis=1) - count) ** 2 / count
    return statistic


def nearest_others(rows: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest other rows of every row, by matrix products where there are many columns.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        All rows.

    n_neighbors : int
        At most the number of rows less one.

    Returns
    -------
    distance, index : ndarray of shape (n_rows, n_neighbors)
        Distances in ascending order and the numbers of the rows.
    """
    wide = rows.shape[1] > _WIDE
    distances = _product_distances if wide else euclidean_distances
    return nearest_rows(rows, rows, k=n_neighbors, exclude_self=True, distances=distances)


def others_nearest(rows: np.ndarray, chosen: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Nearest rows of the chosen ones, themselves left out.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        All rows.

    chosen : ndarray of shape (n_chosen,)
        Numbers of the rows whose neighbours are wanted.

    n_neighbors : int
        At most the number of rows less one.

    Returns
    -------
    index : ndarray of shape (n_chosen, n_neighbors)
        Numbers of the neighbours, in ascending order of their distance.
    """
    _, index = nearest_rows(rows[chosen], rows, k=n_neighbors + 1)
    keep = index != chosen[:, None]
    # Among many copies of a row it may not be its own neighbour; then the farthest one goes.
    keep[keep.all(axis=1), -1] = False
    return index[keep].reshape(len(chosen), n_neighbors)
