"""Gaussian mixtures, their size chosen by BIC, drawn with local generators."""

from __future__ import annotations

import numpy as np
from sklearn.mixture import GaussianMixture

__all__ = ["MixtureDensity"]

_MAX_COMPONENTS = 8


class MixtureDensity:
    """Gaussian mixture of one to eight components.

    Parameters
    ----------
    covariance_type : {"tied", "full"}
        One covariance for all components, or one each.

    ridge : float
        Added to the diagonal of the covariances.
    """

    def __init__(self, covariance_type, *, ridge):
        self.covariance_type = covariance_type
        self.ridge = ridge

    def fit(self, rows, seed):
        """Fit every size that the rows can carry and keep the one with the lowest BIC."""
        rows = np.asarray(rows, dtype=np.float64)
        per_component = 2 if self.covariance_type == "tied" else 2 * rows.shape[1]
        most = max(1, min(_MAX_COMPONENTS, len(rows) // per_component))
        candidates = [
            GaussianMixture(
                n_components,
                covariance_type=self.covariance_type,
                reg_covar=self.ridge,
                random_state=seed,
            ).fit(rows)
            for n_components in range(1, most + 1)
        ]
        best = min(candidates, key=lambda mixture: mixture.bic(rows))
        self.weights = best.weights_ / best.weights_.sum()
        self.means = best.means_
        self.roots = np.linalg.cholesky(best.covariances_)
        return self

    def draw(self, n_samples, rng):
        """Draw rows of shape (n_samples, n_columns)."""
        component = rng.choice(len(self.weights), size=n_samples, p=self.weights)
        noise = rng.standard_normal((n_samples, self.means.shape[1]))
        if self.covariance_type == "tied":
            return self.means[component] + noise @ self.roots.T
        return self.means[component] + np.einsum("nij,nj->ni", self.roots[component], noise)
