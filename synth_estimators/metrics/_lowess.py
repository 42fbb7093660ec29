"""Locally weighted straight lines."""

from __future__ import annotations

import numpy as np

__all__ = ["lowess"]

# Lines are fitted at points at least this share of the range apart and joined in between.
_STEP = 0.01

# A window whose weighted spread is below this share of the range has no slope.
_NO_SPREAD = 1e-3


def lowess(
    x: np.ndarray, y: np.ndarray, grid: np.ndarray, *, frac: float = 2 / 3, n_iter: int = 3
) -> np.ndarray:
    """Robust local linear regression of ``y`` on ``x``, evaluated at ``grid``.

    Parameters
    ----------
    x, y : ndarray of shape (n_points,)
        The points, without missing values.

    grid : ndarray of shape (n_grid,)
        Places at which the curve is wanted.

    frac : float, default=2/3
        Share of the points in each window.

    n_iter : int, default=3
        Rounds that give points far from the curve less weight.

    Returns
    -------
    curve : ndarray of shape (n_grid,)

    References
    ----------
    .. [1] Cleveland, W. S. (1979). "Robust Locally Weighted Regression and Smoothing
       Scatterplots". Journal of the American Statistical Association 74(368), 829-836.
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    n_near = int(np.clip(int(frac * len(x) + 1e-10), min(2, len(x)), len(x)))
    spread = x[-1] - x[0]
    anchors = _anchors(x, _STEP * spread)
    robust = np.ones(len(x))
    for _ in range(n_iter):
        fitted = [_local_line(x, y, robust, n_near, x[j], spread) for j in anchors]
        residual = np.abs(y - np.interp(x, x[anchors], fitted))
        scale = 6.0 * np.median(residual)
        if scale == 0:
            break
        robust = np.maximum(0.0, 1.0 - (residual / scale) ** 2) ** 2
    return np.array([_local_line(x, y, robust, n_near, place, spread) for place in grid])


def _anchors(x, step):
    """Every point farther than ``step`` from the last one, the last point before it, the ends."""
    chosen, last = [0], len(x) - 1
    while chosen[-1] < last:
        here = chosen[-1]
        reach = int(np.searchsorted(x, x[here] + step, side="right")) - 1
        chosen.append(min(last, max(here + 1, reach)))
    # Ties share one fit.
    return [j for k, j in enumerate(chosen) if k == 0 or x[j] > x[chosen[k - 1]]]


def _local_line(x, y, robust, n_near, place, spread):
    """Value at ``place`` of the line through the nearest points, with tricube weights."""
    start = int(np.searchsorted(x[:-n_near] + x[n_near:], 2.0 * place)) if n_near < len(x) else 0
    near, values = x[start : start + n_near], y[start : start + n_near]
    distance = np.abs(near - place)
    radius = distance.max()
    if radius == 0:
        tricube = np.ones(len(near))
    else:
        tricube = (1.0 - np.minimum(distance / radius, 1.0) ** 3) ** 3
    weight = tricube * robust[start : start + n_near]
    if weight.sum() <= 0:
        weight = tricube if tricube.sum() > 0 else np.ones(len(near))
    weight = weight / weight.sum()
    centre, level = weight @ near, weight @ values
    variance = weight @ (near - centre) ** 2
    if np.sqrt(variance) <= _NO_SPREAD * spread:
        return float(level)
    slope = weight @ ((near - centre) * (values - level)) / variance
    return float(level + slope * (place - centre))
