"""Empirical Bayes shrinkage of the shifts and variances of batches."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

__all__ = ["CombatOptions", "estimate_effects", "shrink_effects"]

# Numbers of a block of likelihoods (4 MB).
_BLOCK_ELEMENTS = 524_288

# Deviations this much smaller than the values they come from are rounding errors.
_EXACT_FIT = 1e-13


@dataclass
class CombatOptions:
    """How batch effects are estimated; the words are those of ``ComBat``.

    ``reference`` is the index of the reference batch, or None.
    """

    parametric: bool = True
    mean_only: bool = False
    reference: int | None = None
    shrink: bool = True
    convergence: str = "sva"
    tol: float = 1e-4
    max_iter: int = 10_000


def estimate_effects(
    S: np.ndarray, codes: np.ndarray, n_batches: int, options: CombatOptions
) -> tuple:
    """Estimate batch effects of a standardised table.

    Parameters
    ----------
    S : ndarray of shape (n_samples, n_features)
        Standardised values; NaN is a missing value.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row, every batch at least once.

    n_batches : int
        Number of batches.

    options : CombatOptions
        How to estimate.

    Returns
    -------
    gamma_hat, delta_hat, gamma_star, delta_star : ndarray of shape (n_batches, n_features)
        Shift and variance of every batch, before and after shrinkage.

    prior : dict of ndarray of shape (n_batches,)

    n_iter : ndarray of int of shape (n_batches,)
    """
    shape = (n_batches, S.shape[1])
    gamma_hat, delta_hat, observed = np.empty(shape), np.ones(shape), np.empty(shape, dtype=int)
    for batch in range(n_batches):
        rows = S[codes == batch]
        seen = ~np.isnan(rows)
        observed[batch] = seen.sum(axis=0)
        gamma_hat[batch] = np.where(seen, rows, 0.0).sum(axis=0) / np.maximum(observed[batch], 1)
        if not options.mean_only:
            deviation = np.where(seen, rows - gamma_hat[batch], 0.0)
            squares = np.einsum("ij,ij->j", deviation, deviation)
            delta_hat[batch] = squares / np.maximum(observed[batch] - 1, 1)
    return gamma_hat, delta_hat, *shrink_effects(gamma_hat, delta_hat, observed, options)


def shrink_effects(
    gamma_hat: np.ndarray, delta_hat: np.ndarray, observed: np.ndarray, options: CombatOptions
) -> tuple:
    """Shrink the estimates of every batch towards what its features have in common.

    Parameters
    ----------
    gamma_hat, delta_hat : ndarray of shape (n_batches, n_features)
        Shift and variance of every batch in standardised units.

    observed : ndarray of int of shape (n_batches, n_features)
        Values behind every estimate.

    options : CombatOptions
        How to shrink.

    Returns
    -------
    gamma_star, delta_star : ndarray of shape (n_batches, n_features)

    prior : dict of ndarray of shape (n_batches,)

    n_iter : ndarray of int of shape (n_batches,)
    """
    n_batches, n_features = gamma_hat.shape
    # What rounding leaves of equal values is no variance.
    exact = delta_hat <= (_EXACT_FIT * (1.0 + np.abs(gamma_hat))) ** 2
    delta_hat = np.where(exact, 0.0, delta_hat)
    prior = _priors(gamma_hat, delta_hat)
    n_iter = np.ones(n_batches, dtype=np.intp)
    gamma_star, delta_star = gamma_hat.copy(), delta_hat.copy()
    if n_features == 1 and options.shrink:
        warnings.warn(
            "Only one feature can be adjusted, so there is nothing to learn a prior from; its "
            "estimates are used without shrinkage.",
            UserWarning,
            stacklevel=2,
        )
    if options.shrink and n_features > 1:
        for batch in range(n_batches):
            if batch == options.reference:
                continue
            given = {name: values[batch] for name, values in prior.items()}
            numbers = gamma_hat[batch], delta_hat[batch], observed[batch]
            if not options.parametric:
                gamma_star[batch], delta_star[batch] = _posterior_by_features(*numbers)
            elif options.mean_only:
                tau2 = given["tau2"]
                gamma_star[batch] = (tau2 * gamma_hat[batch] + given["gamma_bar"]) / (tau2 + 1)
            else:
                gamma_star[batch], delta_star[batch], n_iter[batch] = _posterior(
                    *numbers, given, options
                )
    if options.mean_only:
        delta_star[...] = 1.0
    # A feature whose observed rows of a batch are equal shows no scale: it keeps its own.
    delta_star[delta_star == 0] = 1.0
    if options.reference is not None:
        gamma_star[options.reference] = 0.0
        delta_star[options.reference] = 1.0
    return gamma_star, delta_star, prior, n_iter


def _priors(gamma_hat, delta_hat):
    """Moments over features of the normal and the inverse gamma prior of every batch."""
    n_batches, n_features = gamma_hat.shape
    if n_features < 2:
        return {name: np.full(n_batches, np.nan) for name in ("gamma_bar", "tau2", "a", "b")}
    mean = delta_hat.mean(axis=1)
    spread = delta_hat.var(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (2.0 * spread + mean**2) / spread
        b = (mean * spread + mean**3) / spread
    return {
        "gamma_bar": gamma_hat.mean(axis=1),
        "tau2": gamma_hat.var(axis=1, ddof=1),
        "a": a,
        "b": b,
    }


def _relative_change(new, old, signed):
    """Largest relative change; 0/0 counts as none. sva divides by the signed old value."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(new - old) / (old if signed else np.abs(old))
    return np.max(np.where(np.isnan(ratio), 0.0, ratio))


def _posterior(gamma_hat, delta_hat, observed, prior, options):
    """Posterior modes of shift and variance of one batch, by turns."""
    gamma_bar, tau2, a, b = (prior[name] for name in ("gamma_bar", "tau2", "a", "b"))
    signed = options.convergence == "sva"
    gamma, delta = gamma_hat, delta_hat
    within = (observed - 1) * delta_hat
    pull = observed * tau2
    half = observed / 2.0 + a - 1.0
    for round_ in range(1, options.max_iter + 1):
        if tau2 > 0:
            new_gamma = (pull * gamma_hat + delta * gamma_bar) / (pull + delta)
        else:
            new_gamma = np.full_like(gamma_hat, gamma_bar)
        if np.isfinite(a):
            squares = within + observed * (gamma_hat - new_gamma) ** 2
            new_delta = (0.5 * squares + b) / half
        else:
            # All features have the same variance: the prior is that value.
            new_delta = np.full_like(delta_hat, delta_hat.mean())
        change = max(
            _relative_change(new_gamma, gamma, signed), _relative_change(new_delta, delta, signed)
        )
        gamma, delta = new_gamma, new_delta
        if change <= options.tol:
            return gamma, delta, round_
    warnings.warn(
        f"The iteration of the batch effects did not reach tol={options.tol:g} in "
        f"{options.max_iter} rounds (last change {change:.2g}); raise max_iter or tol.",
        ConvergenceWarning,
        stacklevel=2,
    )
    return gamma, delta, options.max_iter


def _posterior_by_features(gamma_hat, delta_hat, observed):
    """Mean of the estimates of all other features, weighted by the likelihood they give."""
    n_features = len(gamma_hat)
    usable = np.flatnonzero(delta_hat > 0)
    if len(usable) < 2:
        return gamma_hat, delta_hat
    gamma_other, delta_other = gamma_hat[usable], delta_hat[usable]
    targets = np.column_stack([gamma_other, delta_other])
    squares = (observed - 1) * delta_hat + observed * gamma_hat**2
    # log L = -n/2 log(2 pi d) - (squares_g - 2 n c_g c_h + n c_h^2) / (2 d_h), a product of ranks.
    right = np.stack(
        [
            -0.5 / delta_other,
            gamma_other / delta_other,
            -0.5 * (gamma_other**2 / delta_other + np.log(2.0 * np.pi * delta_other)),
        ]
    )
    left = np.stack([squares, observed * gamma_hat, observed], axis=1)
    own = np.full(n_features, -1)
    own[usable] = np.arange(len(usable))
    result = np.empty((n_features, 2))
    step = max(1, _BLOCK_ELEMENTS // max(len(usable), 1))
    for start in range(0, n_features, step):
        part = slice(start, min(start + step, n_features))
        logs = left[part] @ right
        mine = own[part]
        rows = np.flatnonzero(mine >= 0)
        logs[rows, mine[rows]] = -np.inf
        logs -= logs.max(axis=1, keepdims=True)
        np.exp(logs, out=logs)
        result[part] = (logs @ targets) / logs.sum(axis=1, keepdims=True)
    return result[:, 0], result[:, 1]
