"""Restricted maximum likelihood of a random intercept, for all features at once.

The model of one feature is ``y = D b + Z u + e`` with one random intercept ``u`` of variance
``ratio * residual_var`` a subject. With ``P`` the projection off the columns of ``D``, the
restricted likelihood depends on ``y`` only through its coordinates on the eigenvectors of
``P Z Z' P`` (eigenvalues ``xi``) and the length of what they leave over, so that it is a sum over
the eigenvalues whose terms are cheap for any number of features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular

__all__ = ["RandomIntercept", "fit_random_intercept"]

_GRID = np.concatenate(([0.0], np.logspace(-4, 6, 31)))
_LARGEST_RATIO = 1e10
_MAX_STEPS = 100
_STEP_TOLERANCE = 1e-11
_BLOCK_VALUES = 2_000_000


@dataclass
class RandomIntercept:
    """Estimates of the random-intercept model, one column or entry a feature."""

    coef: np.ndarray  # (n_columns, n_features) fixed effects
    ratio: np.ndarray  # (n_features,) variance of the intercepts over the residual variance
    residual_var: np.ndarray  # (n_features,)
    within: np.ndarray  # (n_features,) sum of squares that neither design nor subjects explain
    blup: np.ndarray  # (n_subjects, n_features) predicted intercepts


@dataclass
class _Spectrum:
    """What the likelihood needs of the design and of the subjects, the same for all features."""

    basis: np.ndarray  # (n, n_columns) orthonormal columns of D
    triangle: np.ndarray  # (n_columns, n_columns), D = basis @ triangle
    codes: np.ndarray  # (n,) subject of every row
    loadings: np.ndarray  # (n_subjects, n_values): eigenvectors of P Z Z' P are P Z loadings
    values: np.ndarray  # (n_values,) eigenvalues, ascending and above 0
    starts: np.ndarray  # first position of every run of equal eigenvalues
    n_free: int  # rows minus columns of D

    def project(self, rows):
        return rows - self.basis @ (self.basis.T @ rows)

    def subject_sums(self, rows):
        sums = np.zeros((len(self.loadings), rows.shape[1]))
        np.add.at(sums, self.codes, rows)
        return sums

    def expand(self, scores):
        """Rows whose coordinates on the eigenvectors are ``scores``."""
        return self.project((self.loadings @ scores)[self.codes])


def fit_random_intercept(Y, D, codes, n_subjects):
    """Fit the model to every column of ``Y``.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_features)
        Responses, without missing values.

    D : ndarray of shape (n_samples, n_columns)
        Fixed design of full column rank.

    codes : ndarray of shape (n_samples,)
        Subject of every row, 0..n_subjects-1.

    n_subjects : int
        Number of subjects.

    Returns
    -------
    fit : RandomIntercept

    Raises
    ------
    ValueError
        If the two variances cannot be told apart: no subject has two rows that the design does
        not explain, or the design explains all differences between the subjects.
    """
    spectrum = _decompose(D, codes, n_subjects)
    n_features = Y.shape[1]
    fit = RandomIntercept(
        coef=np.empty((D.shape[1], n_features)),
        ratio=np.empty(n_features),
        residual_var=np.empty(n_features),
        within=np.empty(n_features),
        blup=np.empty((n_subjects, n_features)),
    )
    width = max(1, _BLOCK_VALUES // len(Y))
    for start in range(0, n_features, width):
        _fit_block(spectrum, Y, slice(start, start + width), fit)
    return fit


def _decompose(D, codes, n_subjects):
    n_rows, n_columns = D.shape
    basis, triangle = qr(D, mode="economic")
    counts = np.bincount(codes, minlength=n_subjects)
    sums = np.zeros((n_subjects, n_columns))
    np.add.at(sums, codes, basis)
    values, vectors = np.linalg.eigh(np.diag(counts.astype(float)) - sums @ sums.T)
    tolerance = 1e-10 * counts.max()
    kept = values > tolerance
    values, vectors = values[kept], vectors[:, kept]
    n_free = n_rows - n_columns
    if not len(values):
        raise ValueError(
            "Batch and covariates explain all differences between subjects, so that the variance "
            "between subjects cannot be estimated; drop the covariates that are constant within "
            "every subject, or use ComBat."
        )
    if n_free <= len(values):
        raise ValueError(
            f"{n_rows} rows of {n_subjects} subjects leave no variation within subjects beyond "
            "batch and covariates, so that the residual variance cannot be estimated; give "
            "several rows a subject, or use ComBat."
        )
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > tolerance)
    loadings = vectors / np.sqrt(values)
    return _Spectrum(basis, triangle, codes, loadings, values, starts, n_free)


def _fit_block(spectrum, Y, block, fit):
    rows = np.asarray(Y[:, block], dtype=np.float64)
    free = spectrum.project(rows)
    scores = spectrum.loadings.T @ spectrum.subject_sums(free)
    # The length of the rest is summed directly: the difference of two sums of squares would
    # lose all digits where the residual variance is small beside that of the intercepts.
    rest = np.square(free - spectrum.expand(scores)).sum(axis=0)
    energy = np.add.reduceat(scores**2, spectrum.starts, axis=0)
    likelihood = _Likelihood(spectrum, energy, rest)
    ratio = _maximise(likelihood)
    fit.ratio[block], fit.within[block] = ratio, rest
    fit.residual_var[block] = likelihood.residual_var(ratio)
    shrink = 1.0 - 1.0 / (1.0 + spectrum.values[:, None] * ratio)
    residuals = free - spectrum.expand(shrink * scores)
    blup = ratio * spectrum.subject_sums(residuals)
    fit.blup[:, block] = blup
    fixed = spectrum.basis.T @ (rows - blup[spectrum.codes])
    fit.coef[:, block] = solve_triangular(spectrum.triangle, fixed)


class _Likelihood:
    """Restricted log-likelihood of the variance ratio, profiled over everything else."""

    def __init__(self, spectrum, energy, rest):
        self.values = spectrum.values[spectrum.starts, None]
        self.multiplicity = np.diff(spectrum.starts, append=len(spectrum.values))[:, None]
        self.n_free = spectrum.n_free
        self.energy = energy
        self.rest = rest

    def _squares(self, ratio):
        return (self.energy / (1.0 + self.values * ratio)).sum(axis=0) + self.rest

    def residual_var(self, ratio):
        return self._squares(ratio) / self.n_free

    def __call__(self, ratio):
        """Value at one ratio, for all features."""
        log_det = (self.multiplicity * np.log1p(self.values * ratio)).sum()
        # A feature without any residual has no likelihood; -inf keeps it at the ratio 0.
        with np.errstate(divide="ignore"):
            return -0.5 * (self.n_free * np.log(self._squares(ratio)) + log_det)

    def slopes(self, ratio, features):
        """First and second derivative at one ratio a feature."""
        weight = 1.0 / (1.0 + self.values * ratio)
        pull = self.values * weight
        energy = self.energy[:, features] * weight
        squares = energy.sum(axis=0) + self.rest[features]
        first = -(energy * pull).sum(axis=0) / squares
        second = 2.0 * (energy * pull**2).sum(axis=0) / squares
        slope = self.n_free * first + (self.multiplicity * pull).sum(axis=0)
        bend = self.n_free * (second - first**2) - (self.multiplicity * pull**2).sum(axis=0)
        return -0.5 * slope, -0.5 * bend


def _maximise(likelihood):
    """Best ratio of every feature: a grid, then Newton steps kept inside the best cell."""
    n_features = likelihood.energy.shape[1]
    best = np.full(n_features, -np.inf)
    cell = np.zeros(n_features, dtype=np.intp)
    for position, ratio in enumerate(_GRID):
        value = likelihood(ratio)
        better = value > best
        best[better] = value[better]
        cell[better] = position
    edges = np.append(_GRID, _LARGEST_RATIO)
    low, high = edges[np.maximum(cell - 1, 0)], edges[cell + 1]
    ratio = _GRID[cell]
    degenerate = likelihood.rest + likelihood.energy.sum(axis=0) == 0
    active = np.flatnonzero(~degenerate)
    slope, _ = likelihood.slopes(np.zeros(len(active)), active)
    active = active[(cell[active] > 0) | (slope > 0)]
    for _ in range(_MAX_STEPS):
        if not len(active):
            break
        now = ratio[active]
        slope, bend = likelihood.slopes(now, active)
        low[active] = np.where(slope >= 0, now, low[active])
        high[active] = np.where(slope <= 0, now, high[active])
        left, right = low[active], high[active]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = now - slope / bend
        inside = (bend < 0) & (step >= left) & (step <= right)
        middle = np.where(left > 0, np.sqrt(left * right), 0.5 * right)
        ratio[active] = np.where(inside, step, middle)
        moved = np.abs(ratio[active] - now)
        active = active[moved > _STEP_TOLERANCE * (now + 1e-6)]
    return ratio
