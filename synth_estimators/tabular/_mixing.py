"""Weights of two densities of one column, by held-out likelihood."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

__all__ = ["mixed_log_density", "mixing_weight"]

_N_ROUNDS = 60
_START = 0.5
_LARGEST_LOG_ODDS = 500.0


def mixing_weight(log_first: np.ndarray, log_second: np.ndarray) -> tuple[float, int, float]:
    r"""Share of the first of two densities that maximises the likelihood of held-out cells.

    Maximises the mean of :math:`\log(a f + (1 - a) g)` over :math:`a` by the EM algorithm, for
    every candidate of :math:`f`, and takes the candidate with the largest maximum.

    Parameters
    ----------
    log_first : ndarray of shape (n_candidates, n_rows)
        Log-density of the held-out cells under the candidates for the first density.

    log_second : ndarray of shape (n_rows,)
        The same under the second density.

    Returns
    -------
    weight : float
        Share of the first density, between 0 and 1.

    candidate : int
        Index of the chosen candidate.

    log_likelihood : float
        Mean log-density of the mixture, in nats per cell.

    Examples
    --------
    >>> import numpy as np
    >>> equal = np.log([0.5, 0.5])
    >>> weight, candidate, _ = mixing_weight(np.log([[0.1, 0.1], [0.9, 0.9]]), equal)
    >>> candidate, weight > 0.99
    (1, True)
    """
    gap = np.clip(log_first - log_second, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)
    weights = np.full((len(gap), 1), _START)
    for _ in range(_N_ROUNDS):
        weights = expit(logit(weights) + gap).mean(axis=1, keepdims=True)
    means = mixed_log_density(weights, log_first, log_second).mean(axis=1)
    best = int(np.argmax(means))
    return float(weights[best, 0]), best, float(means[best])


def mixed_log_density(
    weight: float | np.ndarray, log_first: np.ndarray, log_second: np.ndarray
) -> np.ndarray:
    """Log of ``weight`` times the first density plus the rest times the second.

    Parameters
    ----------
    weight : float or ndarray
        Share of the first density, between 0 and 1.

    log_first, log_second : ndarray of shape (..., n_rows)
        Log-densities.

    Returns
    -------
    log_density : ndarray of shape (..., n_rows)
    """
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(weight) + log_first, np.log1p(-np.asarray(weight)) + log_second)
