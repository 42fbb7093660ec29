"""Distribution function and quantiles of negative binomial counts, and maps between two of them."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincc, gammaln, ndtri

from synth_estimators.batch_effects._nb_glm import log_rising

__all__ = ["map_quantiles", "negative_binomial_cdf", "negative_binomial_quantile"]

# Below this ratio of overdispersion to the mean the success probability is too close to 1 to
# carry the mean with full precision; the complement is slower.
_SMALL_OVERDISPERSION = 0.01

# Relative slack that lets a count be the quantile of its own probability.
_SLACK = 64 * np.finfo(np.float64).eps

# Probabilities this close to 1 are not mapped: the count stays.
_UPPER_TAIL = 1e-4

# Relative precision of a probability of one count, by far.
_MASS_PRECISION = 1e-8

# First guesses beyond this are of no use.
_LARGEST_GUESS = 1e13

# Rounds of Newton steps before plain bisection.
_NEWTON_ROUNDS = 12


def negative_binomial_cdf(
    counts: np.ndarray, mean: np.ndarray, dispersion: np.ndarray
) -> np.ndarray:
    """Probability of at most ``counts``, whole numbers of at least 0.

    The three arrays are one-dimensional and of one length; means and dispersions are positive.
    """
    size, excess = 1.0 / dispersion, dispersion * mean
    probability = betainc(size, counts + 1.0, 1.0 / (1.0 + excess))
    near = excess < _SMALL_OVERDISPERSION
    if near.any():
        probability[near] = betaincc(
            counts[near] + 1.0, size[near], excess[near] / (1.0 + excess[near])
        )
    return probability


def _mass(counts, mean, dispersion):
    """Probability of exactly ``counts``."""
    excess = dispersion * mean
    growth = np.log1p(excess)
    log_mass = log_rising(counts, dispersion) - gammaln(counts + 1.0)
    log_mass += counts * (np.log(mean) - growth) - growth / dispersion
    return np.exp(log_mass)


def negative_binomial_quantile(
    probability: np.ndarray, mean: np.ndarray, dispersion: np.ndarray, guess: np.ndarray
) -> np.ndarray:
    """Return the smallest count whose distribution function reaches ``probability``.

    Newton steps on the normal scale from ``guess``, kept inside a bracket, until two neighbouring
    counts enclose the probability.

    Parameters
    ----------
    probability : ndarray of shape (n,)
        Probabilities in [0, 1).

    mean, dispersion : ndarray of shape (n,)
        Positive means and dispersions.

    guess : ndarray of shape (n,)
        First counts.

    Returns
    -------
    counts : ndarray of shape (n,)
        Whole numbers.
    """
    result = np.empty_like(probability)
    target = probability * (1.0 - _SLACK)
    active = np.arange(len(probability))
    low, high = np.full(len(active), -1.0), np.full(len(active), np.inf)
    count = np.floor(np.clip(np.nan_to_num(guess), 0.0, _LARGEST_GUESS))
    n_rounds = 0
    while active.size:
        reached = negative_binomial_cdf(count, mean, dispersion)
        mass = _mass(count, mean, dispersion)
        short = reached < target
        below, above = _neighbours(count, reached, mass, mean, dispersion)
        low = np.where(short, count, np.where(below < target, count - 1.0, low))
        high = np.where(short, np.where(above >= target, count + 1.0, high), count)
        left = np.flatnonzero(high - low > 1.0)
        result[active] = high
        active, low, high, target = active[left], low[left], high[left], target[left]
        count, reached, mass = count[left], reached[left], mass[left]
        mean, dispersion = mean[left], dispersion[left]
        if n_rounds < _NEWTON_ROUNDS:
            count = _newton(count, reached, target, mass)
        else:
            count = np.where(np.isfinite(high), np.floor((low + high) / 2.0), 2.0 * low + 1.0)
        count = np.clip(count, low + 1.0, high - 1.0)
        n_rounds += 1
    return result


def _neighbours(count, reached, mass, mean, dispersion):
    """Bounds of the distribution function one count lower, from above, and higher, from below.

    By the recursion of the masses, which costs little beside the function itself. The slack covers
    its rounding: a bound that decides nothing is followed by an evaluation.
    """
    slack = _MASS_PRECISION * reached
    ratio = (dispersion * count + 1.0) * mean / ((count + 1.0) * (1.0 + dispersion * mean))
    return reached - mass + slack, reached + mass * ratio - slack


def _newton(count, reached, target, mass):
    """Next count; the distribution function is close to normal in the count."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        here, there = ndtri(reached), ndtri(target)
        step = (there - here) * np.exp(-(here**2) / 2.0) / (np.sqrt(2.0 * np.pi) * mass)
    step = np.where(np.isfinite(step), step, np.where(reached < target, count + 1.0, -count / 2.0))
    return np.ceil(count + np.clip(step, -count, 4.0 * count + 16.0))


def map_quantiles(
    counts: np.ndarray,
    mean: np.ndarray,
    dispersion: np.ndarray,
    target_mean: np.ndarray,
    target_dispersion: np.ndarray,
) -> np.ndarray:
    """Map counts from one negative binomial distribution to another of the same probability.

    Counts of 0 and 1, and counts in the upper tail (beyond probability 0.9999), stay.

    Parameters
    ----------
    counts, mean, target_mean : ndarray of shape (n_samples, n_features)
        Counts, their means, and means to map to.

    dispersion, target_dispersion : ndarray of shape (n_features,)
        Their dispersions.

    Returns
    -------
    mapped : ndarray of shape (n_samples, n_features)
        Whole numbers, in a new array.
    """
    mapped = np.array(counts, dtype=np.float64)
    rows, columns = np.nonzero(mapped > 1.0)
    count, center = mapped[rows, columns], mean[rows, columns]
    spread = dispersion[columns]
    probability = negative_binomial_cdf(count - 1.0, center, spread)
    inside = np.flatnonzero(np.abs(probability - 1.0) >= _UPPER_TAIL)
    rows, columns = rows[inside], columns[inside]
    center, target = center[inside], target_mean[rows, columns]
    stretch = np.sqrt(
        _log_variance(target, target_dispersion[columns]) / _log_variance(center, spread[inside])
    )
    with np.errstate(over="ignore", invalid="ignore"):
        guess = target * ((count[inside] - 0.5) / center) ** stretch
    mapped[rows, columns] = 1.0 + negative_binomial_quantile(
        probability[inside], target, target_dispersion[columns], guess
    )
    return mapped


def _log_variance(mean, dispersion):
    """Variance of the logarithm of a count, roughly."""
    return np.log1p(dispersion + 1.0 / mean)
