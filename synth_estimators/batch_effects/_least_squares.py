"""Least squares with missing cells and dependent columns, resolved as R's lm.fit does."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

__all__ = ["least_squares_observed"]

# A column counts as a combination of the columns before it if less than this share of its norm is
# left beside them; the tolerance of R's lm.fit.
_RANK_TOLERANCE = 1e-7


def _independent_basis(D):
    """Orthonormal basis of the columns of D, and which columns it takes, the first ones first."""
    n_rows, n_columns = D.shape
    basis = np.empty((n_rows, min(n_rows, n_columns)))
    taken = []
    for index in range(n_columns):
        column = D[:, index]
        if len(taken) == n_rows:
            break
        known = basis[:, : len(taken)]
        # Twice is enough: the second round removes what rounding left in the first.
        left = column - known @ (known.T @ column)
        left -= known @ (known.T @ left)
        norm = np.linalg.norm(left)
        if norm > _RANK_TOLERANCE * np.linalg.norm(column):
            basis[:, len(taken)] = left / norm
            taken.append(index)
    return basis[:, : len(taken)], taken


def _least_squares(D, Y):
    """Coefficients of Y on D; those of columns that depend on earlier ones are 0."""
    basis, taken = _independent_basis(D)
    coef = np.zeros((D.shape[1], Y.shape[1]))
    if taken:
        coef[taken] = solve_triangular(basis.T @ D[:, taken], basis.T @ Y)
    return coef, taken


def least_squares_observed(D: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Coefficients of each feature on D from its observed rows.

    Parameters
    ----------
    D : ndarray of shape (n_samples, n_columns)
        Design, without missing cells.

    Y : ndarray of shape (n_samples, n_features)
        Features; NaN marks missing cells. Features with equal gaps share a fit.

    Returns
    -------
    coef : ndarray of shape (n_columns, n_features)
        0 for columns that depend on the columns before them in the rows used.

    taken : list of int
        Columns of D that do not depend on the columns before them in all rows.
    """
    missing = np.isnan(Y)
    if not missing.any():
        return _least_squares(D, Y)
    _, taken = _independent_basis(D)
    patterns, group = np.unique(np.packbits(missing, axis=0), axis=1, return_inverse=True)
    coef = np.empty((D.shape[1], Y.shape[1]))
    order = np.argsort(group.ravel(), kind="stable")
    sizes = np.bincount(group.ravel(), minlength=patterns.shape[1])
    for features in np.split(order, np.cumsum(sizes)[:-1]):
        observed = ~missing[:, features[0]]
        coef[:, features] = _least_squares(D[observed], Y[np.ix_(observed, features)])[0]
    return coef, taken
