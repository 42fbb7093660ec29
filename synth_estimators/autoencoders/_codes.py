"""Distributions of latent codes."""

from __future__ import annotations

import numpy as np

__all__ = ["GaussianCodes"]


class GaussianCodes:
    """Aggregate posterior as one Gaussian, from running moments.

    Its covariance is that of the posterior means plus the mean posterior variance.
    """

    def __init__(self):
        self.n_rows = 0

    def update(self, mean, variance):
        """Add the posterior means and variances of more rows and return a new distribution."""
        mean = np.asarray(mean, dtype=np.float64)
        new = GaussianCodes()
        new.n_rows = self.n_rows + len(mean)
        total, second = mean.sum(axis=0), mean.T @ mean
        spread = np.asarray(variance, dtype=np.float64).sum(axis=0)
        if self.n_rows:
            total, second = total + self.total, second + self.second
            spread = spread + self.spread
        new.total, new.second, new.spread = total, second, spread
        new.mean = total / new.n_rows
        covariance = second / new.n_rows - np.outer(new.mean, new.mean)
        covariance += np.diag(spread / new.n_rows)
        values, vectors = np.linalg.eigh(covariance)
        new.root = vectors * np.sqrt(np.maximum(values, 0.0))
        return new

    def draw(self, n_samples, rng):
        """Draw codes of shape (n_samples, latent_dim)."""
        return self.mean + rng.standard_normal((n_samples, len(self.mean))) @ self.root.T
