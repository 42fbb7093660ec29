"""Negative binomial regression of many features at once, with known dispersions.

The count y of a feature in a row has mean mu and variance mu + phi mu^2, with
log mu = offset + design row times coefficients. All features share the design; offsets and
dispersions may differ by feature. Arrays have rows of samples and columns of features.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import gammaln
from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "OrthonormalDesign",
    "add_prior_count",
    "feature_blocks",
    "fit_glm",
    "log_det_information",
    "log_likelihood",
    "log_rising",
]

# Numbers of a block of features that stays in the cache (1 MB).
_BLOCK_ELEMENTS = 131_072
_MIN_FEATURES = 32

# Gain of log-likelihood that a Newton step promises at the optimum.
_TOL = 1e-10
_MAX_ITER = 200
_MAX_HALVINGS = 30

# A larger promise means that the optimum is far.
_FAR = 1e-2

# Loss of log-likelihood, relative to its size, that counts as rounding.
_ROUNDING = 1e-10

# Largest rise of the logarithm of a mean above the larger of mean and count in one step.
_LARGEST_RISE = 3.0

# Pivots of the information of unit-scaled columns below this count as no information: the mean of
# a group of rows without counts goes to 0, and where it stops on the way must not matter.
_NO_INFORMATION = 1e-5

# Smaller pivots than this share of the information are rounding errors.
_SMALLEST_PIVOT = 1e-12

# Sizes 1/phi above this take Stirling's series, where the gamma functions would cancel.
_LARGE_SIZE = 1e3


class OrthonormalDesign:
    """Design matrix in a basis whose columns are orthogonal and of unit mean square.

    Coefficients and information are computed in this basis, where the units and origins of
    covariates do not matter.

    Parameters
    ----------
    design : ndarray of shape (n_samples, n_columns)
        Columns that are linearly independent.
    """

    def __init__(self, design: np.ndarray):
        scale = np.sqrt(len(design))
        basis, triangle = np.linalg.qr(design)
        self.basis = np.ascontiguousarray(basis * scale)
        self._triangle = triangle / scale
        rows, columns = np.tril_indices(self.basis.shape[1])
        self._lower = rows, columns
        self._products = np.ascontiguousarray((self.basis[:, rows] * self.basis[:, columns]).T)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.basis.shape[1]

    def information(self, weight: np.ndarray) -> np.ndarray:
        """Return X' W X of every feature, lower triangles, (n_columns, n_columns, n_features)."""
        matrix = np.zeros((self.n_columns, self.n_columns, weight.shape[1]))
        matrix[self._lower] = self._products @ weight
        return matrix

    def to_coefficients(self, coef: np.ndarray) -> np.ndarray:
        """Translate coefficients of the basis into those of the design."""
        return np.linalg.solve(self._triangle, coef)

    def from_coefficients(self, coef: np.ndarray) -> np.ndarray:
        """Translate coefficients of the design into those of the basis."""
        return self._triangle @ coef


def feature_blocks(n_samples: int, n_features: int) -> list[slice]:
    """Cut the features into blocks of few enough columns to stay in the cache."""
    width = max(_MIN_FEATURES, _BLOCK_ELEMENTS // max(n_samples, 1))
    return [slice(start, start + width) for start in range(0, n_features, width)]


def add_prior_count(
    counts: np.ndarray, offset: np.ndarray, prior_count: float
) -> tuple[np.ndarray, np.ndarray]:
    """Add a small count to every cell, in proportion to the library sizes.

    Keeps coefficients finite where a group of rows has no counts.

    Parameters
    ----------
    counts : ndarray of shape (n_samples, n_features)
        Counts.

    offset : ndarray of shape (n_samples, 1) or (n_samples, n_features)
        Logarithms of library sizes.

    prior_count : float
        Count added to a cell of average library size; the library grows by twice as much.

    Returns
    -------
    counts, offset : ndarray
        Counts and offsets to fit.
    """
    library = np.exp(offset)
    prior = prior_count * library / library.mean(axis=0)
    return counts + prior, np.log(library + 2.0 * prior)


def log_likelihood(
    counts: np.ndarray, eta: np.ndarray, mean: np.ndarray, dispersion: np.ndarray | float
) -> np.ndarray:
    """Return the log-likelihood of every feature, without :func:`log_rising` and log(y!).

    Parameters
    ----------
    counts, eta, mean : ndarray of shape (n_samples, n_features)
        Counts, logarithms of the means, and means.

    dispersion : ndarray or float
        Positive dispersions, broadcast against the counts.

    Returns
    -------
    value : ndarray of shape (n_features,)
    """
    value = np.log1p(dispersion * mean)
    value *= counts + 1.0 / dispersion
    np.subtract(counts * eta, value, out=value)
    return value.sum(axis=0)


def log_rising(counts: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """Return log(Gamma(y + r) / (Gamma(r) r^y)) for counts y and sizes r = 1 / dispersion.

    Parameters
    ----------
    counts, dispersion : ndarray
        Counts and positive dispersions, broadcast against each other.

    Returns
    -------
    value : ndarray
    """
    large = dispersion * _LARGE_SIZE <= 1.0
    if not large.any():
        size = 1.0 / dispersion
        return gammaln(counts + size) - gammaln(size) - counts * np.log(size)
    if large.all():
        growth, total = np.log1p(counts * dispersion), counts + 1.0 / dispersion
        value = (counts - 0.5) * growth + (growth / dispersion - counts)
        value += (1.0 / total - dispersion) / 12.0 - (total**-3.0 - dispersion**3) / 360.0
        return value
    counts, dispersion = np.broadcast_arrays(counts, dispersion)
    value = np.empty(counts.shape)
    for part in (dispersion * _LARGE_SIZE <= 1.0, dispersion * _LARGE_SIZE > 1.0):
        value[part] = log_rising(counts[part], dispersion[part])
    return value


def _factor(matrix, smallest):
    """LDL' of every feature's matrix, in place: unit lower factors, and pivots on the diagonal."""
    for j in range(len(matrix)):
        pivot = np.maximum(matrix[j, j], smallest, out=matrix[j, j])
        below = matrix[j + 1 :, j].copy()
        matrix[j + 1 :, j] /= pivot
        for k in range(len(below)):
            matrix[j + 1 + k :, j + 1 + k] -= below[k] * matrix[j + 1 + k :, j]
    return matrix


def _solve(factor, right):
    """Solve with the factors of ``_factor``."""
    solution = right.copy()
    size = len(solution)
    for j in range(size - 1):
        solution[j + 1 :] -= factor[j + 1 :, j] * solution[j]
    solution /= factor[np.arange(size), np.arange(size)]
    for j in range(size - 1, 0, -1):
        solution[:j] -= factor[j, :j] * solution[j]
    return solution


def log_det_information(
    design: OrthonormalDesign, mean: np.ndarray, dispersion: np.ndarray | float
) -> np.ndarray:
    """Return the log determinant of the expected information of every feature.

    Up to a constant of the design. Directions without information count as a constant.
    """
    information = design.information(mean / (1.0 + dispersion * mean))
    factor = _factor(information, _NO_INFORMATION)
    diagonal = np.arange(design.n_columns)
    return np.log(factor[diagonal, diagonal]).sum(axis=0)


def _initial(counts, design, offset):
    """Least squares on logarithms of counts without zeros."""
    rate = np.log(counts + 0.5) - offset
    return design.basis.T @ rate / len(counts)


def fit_glm(
    counts: np.ndarray,
    design: OrthonormalDesign,
    offset: np.ndarray,
    dispersion: np.ndarray | float,
    *,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit the coefficients of every feature by maximum likelihood.

    The log-likelihood is concave in the coefficients for a known dispersion; Newton steps, halved
    where they overshoot, end when a further step promises less than 1e-10.

    Parameters
    ----------
    counts : ndarray of shape (n_samples, n_features)
        Counts, not necessarily whole.

    design : OrthonormalDesign
        Design of the rows.

    offset : ndarray of shape (n_samples, 1) or (n_samples, n_features)
        Added to the logarithms of the means.

    dispersion : float or ndarray of shape (n_samples, n_features)
        Positive dispersions.

    start : ndarray of shape (n_columns, n_features) or None, default=None
        First coefficients, in the basis of ``design``; None takes least squares on logarithms.

    Returns
    -------
    coef : ndarray of shape (n_columns, n_features)
        Coefficients in the basis of ``design``.

    eta, mean : ndarray of shape (n_samples, n_features)
        Logarithms of the fitted means, and fitted means.
    """
    newton = _Newton(counts, design, offset, dispersion)
    if start is None:
        return newton.run(_initial(counts, design, offset), far=True)
    return newton.run(start, far=False)


class _Newton:
    """Newton iteration of a block of features; those that are done leave the working arrays.

    Where a mean is far above its count the log-likelihood has little curvature, and a Newton step
    overshoots; far from the optimum such counts take their expected curvature, which is larger.
    Where a mean is far below, a step leads far beyond the count; it is cut near the count.
    """

    def __init__(self, counts, design, offset, dispersion):
        self.counts, self.design, self.offset, self.dispersion = counts, design, offset, dispersion

    def run(self, start, *, far):
        """Iterate from ``start``; return coefficients, logarithms of means, and means."""
        result = np.array(start, dtype=np.float64)
        whole = self.counts, self.offset, self.dispersion
        active = np.arange(result.shape[1])
        coef, far = result.copy(), np.full(len(active), far)
        eta, mean = self._means(coef)
        value = self._value(eta, mean)
        for _ in range(_MAX_ITER):
            step, gain = self._step(mean, far)
            # Expected curvature promises less than there is to gain.
            done = (gain <= _TOL) & ~far
            result[:, active] = coef + np.where(done, step, 0.0)
            left = np.flatnonzero(~done)
            if not left.size:
                break
            if left.size < len(active):
                self._narrow(left)
                active, coef, step, eta = active[left], coef[:, left], step[:, left], eta[:, left]
                value, gain = value[left], gain[left]
            far = gain > _FAR
            coef, eta, mean, value = self._advance(coef, eta, step, value, far)
            result[:, active] = coef
        else:
            self._warn_if_far(gain)
        self.counts, self.offset, self.dispersion = whole
        return result, *self._means(result)

    def _take(self, array, columns):
        return array if np.ndim(array) == 0 or array.shape[1] == 1 else array[:, columns]

    def _narrow(self, columns):
        """Keep the given columns of the working arrays."""
        self.counts = self.counts[:, columns]
        self.offset = self._take(self.offset, columns)
        self.dispersion = self._take(self.dispersion, columns)

    def _means(self, coef):
        eta = self.design.basis @ coef
        eta += self.offset
        with np.errstate(over="ignore"):
            return eta, np.exp(eta)

    def _value(self, eta, mean, columns=slice(None)):
        with np.errstate(over="ignore", invalid="ignore"):
            value = log_likelihood(
                self.counts[:, columns], eta, mean, self._take(self.dispersion, columns)
            )
        return np.where(np.isfinite(value), value, -np.inf)

    def _step(self, mean, far):
        """Step, and the gain of log-likelihood that it promises."""
        spread = 1.0 / (1.0 + self.dispersion * mean)
        score = self.design.basis.T @ ((self.counts - mean) * spread)
        counts = self.counts
        if far.any():
            counts = np.where(far, np.maximum(counts, mean), counts)
        weight = counts * self.dispersion
        weight += 1.0
        weight *= spread
        weight *= mean
        weight *= spread
        information = self.design.information(weight)
        smallest = _SMALLEST_PIVOT * (1.0 + information[0, 0])
        step = _solve(_factor(information, smallest), score)
        return step, np.abs(np.einsum("kg,kg->g", score, step))

    def _advance(self, coef, eta, step, value, far):
        """Take the step, halved for the features whose log-likelihood would fall."""
        change = self.design.basis @ step
        if far.any():
            size = self._step_size(eta, change)
            step, change = step * size, change * size
        moved, reached_eta = coef + step, eta + change
        with np.errstate(over="ignore"):
            mean = np.exp(reached_eta)
        reached = self._value(reached_eta, mean)
        floor = value - _ROUNDING * (1.0 + np.abs(value))
        worse = np.flatnonzero(reached < floor)
        part = 1.0
        for _ in range(_MAX_HALVINGS):
            if not worse.size:
                break
            part /= 2.0
            moved[:, worse] = coef[:, worse] + part * step[:, worse]
            reached_eta[:, worse] = eta[:, worse] + part * change[:, worse]
            with np.errstate(over="ignore"):
                mean[:, worse] = np.exp(reached_eta[:, worse])
            reached[worse] = self._value(reached_eta[:, worse], mean[:, worse], worse)
            worse = worse[reached[worse] < floor[worse]]
        return moved, reached_eta, mean, reached

    def _step_size(self, eta, change):
        """Share of the step, at most 1, that lifts no mean far above its count."""
        room = np.maximum(np.log1p(self.counts) - eta, 0.0) + _LARGEST_RISE
        return 1.0 / np.maximum(1.0, (change / room).max(axis=0))

    @staticmethod
    def _warn_if_far(gain):
        n_far = int((gain > _FAR).sum())
        if n_far:
            warnings.warn(
                f"The negative binomial regression of {n_far} features did not converge in "
                f"{_MAX_ITER} steps; they have few rows with counts for the covariates of the "
                "model. Drop such features or some covariates.",
                ConvergenceWarning,
                stacklevel=2,
            )
