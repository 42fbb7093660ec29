"""Maximum-likelihood factor analysis by EM, as a start for the decoders."""

from __future__ import annotations

import numpy as np

__all__ = ["factor_analysis"]


def factor_analysis(rows, n_factors, *, n_steps=20):
    """Loadings and noise variances of centred rows.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Centred data.

    n_factors : int
        Number of factors, at most ``min(n_samples, n_features)``.

    n_steps : int, default=20
        EM steps from a start at the principal components.

    Returns
    -------
    loadings : ndarray of shape (n_features, n_factors)

    noise : ndarray of shape (n_features,)
        Variances, at least 1e-6.

    References
    ----------
    .. [1] Rubin and Thayer (1982). "EM algorithms for ML factor analysis". Psychometrika 47.
    """
    n_samples, n_features = rows.shape
    variances = np.einsum("ij,ij->j", rows, rows) / n_samples
    if n_features <= n_samples:
        values, vectors = np.linalg.eigh(rows.T @ rows / n_samples)
        values, vectors = values[::-1][:n_factors], vectors[:, ::-1][:, :n_factors]
    else:
        values, left = np.linalg.eigh(rows @ rows.T / n_samples)
        values, left = values[::-1][:n_factors], left[:, ::-1][:, :n_factors]
        vectors = rows.T @ left / np.sqrt(np.maximum(values * n_samples, 1e-12))
    values = np.maximum(values, 1e-12)
    left_over = max(float(variances.sum() - values.sum()) / max(n_features - n_factors, 1), 1e-6)
    loadings = vectors * np.sqrt(np.maximum(values - left_over, 1e-3 * values))
    noise = np.maximum(variances - (loadings**2).sum(axis=1), 1e-2 * variances + 1e-6)
    for _ in range(n_steps):
        weighted = loadings / noise[:, None]
        posterior = np.linalg.inv(np.eye(n_factors) + loadings.T @ weighted)
        scores = rows @ (weighted @ posterior)
        second = posterior + scores.T @ scores / n_samples
        cross = rows.T @ scores / n_samples
        loadings = np.linalg.solve(second, cross.T).T
        noise = np.maximum(variances - (loadings * cross).sum(axis=1), 1e-6)
    return loadings, noise
