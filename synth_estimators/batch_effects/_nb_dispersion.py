"""Dispersions of negative binomial counts by Cox-Reid adjusted profile likelihood.

The dispersion phi of a feature maximises the log-likelihood at the fitted means, less half the log
determinant of the information on the coefficients, which corrects for their estimation.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from synth_estimators.batch_effects._nb_glm import (
    OrthonormalDesign,
    feature_blocks,
    fit_glm,
    log_det_information,
    log_likelihood,
    log_rising,
)

__all__ = ["common_dispersion", "featurewise_dispersion"]

# The search runs over the fourth root of the dispersion, in [0, 4^(1/4)].
_LARGEST_ROOT = 4.0**0.25
_SEARCH_TOL = 1e-5

# Features with fewer counts say nothing about the dispersion.
_MIN_TOTAL = 5

# Exponents of 2 by which feature-wise dispersions may differ from the common one.
_GRID = np.linspace(-6.0, 6.0, 11)


class _Profile:
    """Adjusted profile likelihood of the features of one batch at a dispersion they share.

    Every evaluation starts from the coefficients of the last one. Counts repeat, so that the gamma
    functions are evaluated once for every distinct count.
    """

    def __init__(self, counts, design, offset):
        self._design = OrthonormalDesign(design)
        self._offset = offset
        self._blocks = [
            np.ascontiguousarray(counts[:, block]) for block in feature_blocks(*counts.shape)
        ]
        self._coefs = [None] * len(self._blocks)
        self._distinct, places = np.unique(counts, return_inverse=True)
        self._places = np.reshape(places, counts.shape)

    def __call__(self, dispersion):
        """Return the value of every feature, up to a constant of the feature."""
        rising = log_rising(self._distinct, np.float64(dispersion))
        values = [self._block(number, dispersion) for number in range(len(self._blocks))]
        return rising[self._places].sum(axis=0) + np.concatenate(values)

    def _block(self, number, dispersion):
        counts = self._blocks[number]
        coef, eta, mean = fit_glm(
            counts, self._design, self._offset, dispersion, start=self._coefs[number]
        )
        self._coefs[number] = coef
        value = log_likelihood(counts, eta, mean, dispersion)
        return value - 0.5 * log_det_information(self._design, mean, dispersion)


def common_dispersion(counts: np.ndarray, design: np.ndarray, offset: np.ndarray) -> float:
    """Return the dispersion that all features share.

    Parameters
    ----------
    counts : ndarray of shape (n_samples, n_features)
        Counts of one batch.

    design : ndarray of shape (n_samples, n_columns)
        Design of its rows, of full rank.

    offset : ndarray of shape (n_samples, 1)
        Logarithms of the library sizes.

    Returns
    -------
    dispersion : float
        Maximiser of the sum of the adjusted profile likelihoods, at most 4. Features with a total
        below 5 are left out unless there are no others.
    """
    told = counts.sum(axis=0) >= _MIN_TOTAL
    profile = _Profile(counts[:, told] if told.any() else counts, design, offset)
    found = minimize_scalar(
        lambda root: -float(profile(root**4).sum()),
        bounds=(0.0, _LARGEST_ROOT),
        method="bounded",
        options={"xatol": _SEARCH_TOL},
    )
    return float(found.x) ** 4


def featurewise_dispersion(
    counts: np.ndarray, design: np.ndarray, offset: np.ndarray, common: float
) -> np.ndarray:
    """Return a dispersion for every feature.

    Parameters
    ----------
    counts, design, offset : ndarray
        As in :func:`common_dispersion`.

    common : float
        Common dispersion; features with a total below 5 keep it.

    Returns
    -------
    dispersion : ndarray of shape (n_features,)
        Maximiser of the adjusted profile likelihood between ``common / 64`` and ``common * 64``,
        by a cubic spline through 11 values.
    """
    dispersion = np.full(counts.shape[1], common)
    told = counts.sum(axis=0) >= _MIN_TOTAL
    if told.any():
        profile = _Profile(counts[:, told], design, offset)
        values = np.array([profile(common * 2.0**exponent) for exponent in _GRID])
        dispersion[told] = common * 2.0 ** maximise_spline(_GRID, values)
    return dispersion


def _second_derivatives(knots):
    """Matrix from values at equidistant knots to second derivatives of the cubic spline.

    At either end the third derivative is that of the cubic through the four outermost values
    (Forsythe, Malcolm and Moler).
    """
    size, width = len(knots), knots[1] - knots[0]
    left, right = np.zeros((size, size)), np.zeros((size, size))
    for row in range(1, size - 1):
        left[row, row - 1 : row + 2] = 1.0, 4.0, 1.0
        right[row, row - 1 : row + 2] = 6.0, -12.0, 6.0
    left[0, :2] = left[-1, -2:] = -1.0, 1.0
    right[0, :4] = right[-1, -4:] = -1.0, 3.0, -3.0, 1.0
    return np.linalg.solve(left, right / width**2)


def maximise_spline(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where the cubic spline through the values of every feature is largest.

    Parameters
    ----------
    knots : ndarray of shape (n_knots,)
        Equidistant places, at least four.

    values : ndarray of shape (n_knots, n_features)
        Values there.

    Returns
    -------
    place : ndarray of shape (n_features,)
        The best knot, or a maximum between it and a neighbour where that is higher.
    """
    width = knots[1] - knots[0]
    curvature = _second_derivatives(knots) @ values
    best = values.argmax(axis=0)
    features = np.arange(values.shape[1])
    place, height = knots[best], values[best, features]
    for first in (best - 1, best):
        inside = np.flatnonzero((first >= 0) & (first < len(knots) - 1))
        start = first[inside]
        y0, y1 = values[start, inside], values[start + 1, inside]
        c0, c1 = curvature[start, inside], curvature[start + 1, inside]
        linear = (y1 - y0) / width - width * (2.0 * c0 + c1) / 6.0
        cubic = (c1 - c0) / (6.0 * width)
        step = _stationary(linear, c0 / 2.0, cubic)
        value = y0 + step * (linear + step * (c0 / 2.0 + step * cubic))
        higher = (step > 0) & (step < width) & (value > height[inside])
        place[inside[higher]] = knots[start[higher]] + step[higher]
        height[inside[higher]] = value[higher]
    return place


def _stationary(linear, square, cubic):
    """Where linear s + square s^2 + cubic s^3 has its local maximum; NaN where there is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(square**2 - 3.0 * cubic * linear)
        # The second derivative there is -2 root; of the two forms the one that does not cancel.
        plain = (-square - root) / (3.0 * cubic)
        other = linear / (root - square)
        return np.where(square > 0, plain, other)
