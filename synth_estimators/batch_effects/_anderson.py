"""k-sample Anderson-Darling test of every feature at once."""

from __future__ import annotations

import numpy as np

__all__ = ["anderson_darling", "critical_value"]

_BLOCK_VALUES = 1_000_000

# Scholz and Stephens (1987): the critical value of the standardised statistic at 5 per
# cent is the sum of these over powers of (k - 1) ** -0.5.
_FIVE_PER_CENT = (1.645, 0.678, -0.362)


def critical_value(n_groups):
    """Value of the standardised statistic that is exceeded with a probability of 5 per cent."""
    root = np.sqrt(n_groups - 1)
    constant, linear, square = _FIVE_PER_CENT
    return constant + linear / root + square / root**2


def anderson_darling(X, codes, n_groups):
    """Standardised statistic of the test that all groups have the same distribution.

    The version with mid-ranks, which allows for ties. The cost is that of sorting the columns,
    plus ``n_groups`` passes over them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Values without NaN, at least four rows.

    codes : ndarray of shape (n_samples,)
        Group of every row, 0..n_groups-1, each of them taken.

    n_groups : int
        Number of groups, at least two.

    Returns
    -------
    statistic : ndarray of shape (n_features,)
        Mean 0 and variance 1 where the groups do not differ; 0 for constant features.

    References
    ----------
    .. [1] :doi:`Scholz and Stephens (1987). "K-Sample Anderson-Darling Tests".
       <10.1080/01621459.1987.10478517>`
    """
    n_samples, n_features = X.shape
    counts = np.bincount(codes, minlength=n_groups)
    mean = n_groups - 1
    deviation = np.sqrt(_variance(counts))
    statistic = np.empty(n_features)
    width = max(1, _BLOCK_VALUES // n_samples)
    for start in range(0, n_features, width):
        block = slice(start, start + width)
        statistic[block] = (_raw_statistic(X[:, block], codes, counts) - mean) / deviation
    statistic[(X[0] == X).all(axis=0)] = 0.0
    return statistic


def _raw_statistic(X, codes, counts):
    n_samples = len(X)
    order = np.argsort(X, axis=0, kind="stable")
    values = np.take_along_axis(X, order, axis=0)
    # First and last position of the run of equal values that each position lies in.
    position = np.broadcast_to(np.arange(n_samples)[:, None], X.shape)
    new_run = np.ones(X.shape, dtype=bool)
    new_run[1:] = values[1:] != values[:-1]
    first = np.maximum.accumulate(np.where(new_run, position, 0), axis=0)
    last_of_run = np.ones(X.shape, dtype=bool)
    last_of_run[:-1] = new_run[1:]
    last = np.where(last_of_run, position, n_samples - 1)
    last = np.minimum.accumulate(last[::-1], axis=0)[::-1]
    ties = (last - first + 1).astype(np.float64)
    below = first + 0.5 * ties
    weight = below * (n_samples - below) - 0.25 * n_samples * ties
    # The weight is 0 where all rows are tied only; the caller sets these features to 0.
    weight[weight == 0] = 1.0
    total = np.zeros(X.shape[1])
    groups = codes[order]
    for group, count in enumerate(counts):
        reached = np.zeros((n_samples + 1, X.shape[1]))
        np.cumsum(groups == group, axis=0, out=reached[1:])
        before = np.take_along_axis(reached, first, axis=0)
        among = 0.5 * (before + np.take_along_axis(reached, last + 1, axis=0))
        total += ((n_samples * among - below * count) ** 2 / weight).sum(axis=0) / count
    return total * (n_samples - 1) / n_samples**2


def _variance(counts):
    """Variance of the statistic where the groups do not differ, by Scholz and Stephens (1987)."""
    n, k = int(counts.sum()), len(counts)
    inverse = (1.0 / counts).sum()
    tails = np.cumsum(1.0 / np.arange(n - 1, 1, -1))
    h = tails[-1] + 1.0
    g = (tails / np.arange(2, n)).sum()
    cubic = (4 * g - 6) * (k - 1) + (10 - 6 * g) * inverse
    square = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * inverse - 8 * h + 4 * g - 6
    linear = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * inverse + 4 * h
    constant = (2 * h + 6) * k**2 - 4 * h * k
    numerator = cubic * n**3 + square * n**2 + linear * n + constant
    return numerator / ((n - 1.0) * (n - 2.0) * (n - 3.0))
