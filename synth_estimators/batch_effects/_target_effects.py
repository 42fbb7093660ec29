"""Differences between classes, shrunk over features, for ``preserve_y="fit_only"``.

Where batch and class go together, the estimates of their effects err in opposite directions: a
class effect that is taken over as estimated leaves the opposite error behind in the batches, and a
classifier finds the two in training rows and the batches in new ones. Most features do not differ
between classes, so estimates are pulled to zero by what all features say:

    estimate = effect + noise,     effect = 0 with probability 1 - w, else normal(0, A)
"""

from __future__ import annotations

import numpy as np

from synth_estimators.batch_effects._least_squares import least_squares_observed

__all__ = ["shrink_target_effects", "without_target"]

# Columns fitted at a time, so that residuals of a wide table need little memory.
_BLOCK_COLUMNS = 1_024

_MAX_ROUNDS = 500
_TOLERANCE = 1e-7
# Starts of the iteration: share of features with an effect, and its variance beside the noise.
_STARTS = ((0.05, 20.0), (0.3, 5.0))
_SMALLEST_SHARE = 1e-3


def without_target(
    X: np.ndarray, nuisance: np.ndarray, target: np.ndarray, left_alone: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Take the effects of the target out of a table, as far as all features bear them out.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Table; NaN marks missing cells. It is not changed.

    nuisance : ndarray of shape (n_samples, n_other)
        Columns whose effects are estimated at the same time: batches and covariates.

    target : ndarray of shape (n_samples, n_columns)
        Coded target.

    left_alone : ndarray of bool of shape (n_features,) or None, default=None
        Features whose values are to stay as they are.

    Returns
    -------
    X_without : ndarray of shape (n_samples, n_features)
        Table in which every row has the mean of the target.

    effects : ndarray of shape (n_columns, n_features)
        What was taken out, by unit of the coded target.

    Raises
    ------
    ValueError
        If the target cannot be told apart from the other columns.
    """
    design = np.hstack([nuisance, target])
    n_target = target.shape[1]
    first = design.shape[1] - n_target
    n_features = X.shape[1]
    coef, variance = np.empty((n_target, n_features)), np.empty(n_features)
    for start in range(0, n_features, _BLOCK_COLUMNS):
        part = slice(start, min(start + _BLOCK_COLUMNS, n_features))
        rows = np.asarray(X[:, part], dtype=np.float64)
        found, taken = least_squares_observed(design, rows)
        if not set(range(first, design.shape[1])) <= set(taken):
            raise ValueError(
                "The target y is confounded with batch or with the covariates, so its effect "
                "cannot be preserved; set preserve_y=None, or leave out what goes with it."
            )
        coef[:, part] = found[first:]
        residuals = rows - design @ found
        observed = (~np.isnan(residuals)).sum(axis=0)
        variance[part] = np.nansum(residuals**2, axis=0) / np.maximum(observed - len(taken), 1)
    covariance = np.linalg.pinv(design.T @ design)[first:, first:]
    effects = np.zeros((n_target, n_features))
    usable = variance > 0
    if left_alone is not None:
        usable &= ~left_alone
    if usable.any():
        effects[:, usable] = shrink_target_effects(coef[:, usable], covariance, variance[usable])
    return X - (target - target.mean(axis=0)) @ effects, effects


def shrink_target_effects(
    coef: np.ndarray, covariance: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """Return the posterior means of effects.

    Parameters
    ----------
    coef : ndarray of shape (n_columns, n_features)
        Least-squares estimates.

    covariance : ndarray of shape (n_columns, n_columns)
        Their covariance where residuals have variance 1.

    variance : ndarray of shape (n_features,)
        Residual variance of every feature.

    Returns
    -------
    effects : ndarray of shape (n_columns, n_features)
        They do not depend on which class is the base of the coding.
    """
    root = np.linalg.cholesky(covariance)
    scale = np.sqrt(variance)
    white = np.linalg.solve(root, coef / scale)  # (n_columns, n_features), noise of variance 1
    _, effects = max((_posterior(white, *start) for start in _STARTS), key=lambda found: found[0])
    return root @ effects * scale


def _posterior(white, share, size):
    """Fit the mixture by expectation-maximisation; return its log-likelihood and the means."""
    n_columns = len(white)
    vectors, extra = np.eye(n_columns), np.full(n_columns, size)
    previous = -np.inf
    for _ in range(_MAX_ROUNDS):
        turned = vectors.T @ white
        kept = extra / (1.0 + extra)
        odds = 0.5 * (kept @ turned**2 - np.log1p(extra).sum())
        evidence = np.logaddexp(np.log1p(-share), np.log(share) + odds)
        with_effect = np.exp(np.log(share) + odds - evidence)
        effects = with_effect * (vectors @ (kept[:, None] * turned))
        likelihood = evidence.mean()
        if likelihood - previous < _TOLERANCE:
            break
        previous = likelihood
        share = np.clip(with_effect.mean(), _SMALLEST_SHARE, 1.0 - _SMALLEST_SHARE)
        second = (white * with_effect) @ white.T / with_effect.sum()
        values, vectors = np.linalg.eigh(second)
        extra = np.maximum(values - 1.0, 0.0)
    return likelihood, effects
