"""Batch effects in the covariance: ComBat on the leading scores of what ComBat leaves.

Kept apart from the estimator so that it works on arrays alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth_estimators._distances import row_blocks
from synth_estimators.batch_effects._combat_model import (
    CombatModel,
    CombatOptions,
    apply_combat,
    estimate_effects,
    fit_combat,
)

__all__ = ["CovarianceModel", "apply_covariance", "fit_covariance"]

# Eigenvalues of the smaller Gram matrix below this share of the largest are rounding errors.
_RANK_TOLERANCE = 1e-13


@dataclass
class CovarianceModel:
    """Fitted numbers; p' features, k components."""

    center: np.ndarray  # (p',) means of the residuals
    scale: np.ndarray  # (p',) standard deviations of the residuals, or ones
    components: np.ndarray  # (k, p') orthonormal rows
    variance_share: np.ndarray  # (k,)
    scores: CombatModel  # location and scale of the scores of every batch


def fit_covariance(
    combat: CombatModel,
    adjusted: np.ndarray,
    codes: np.ndarray,
    C: np.ndarray,
    *,
    percent_var: float,
    scale: bool,
    options: CombatOptions,
) -> CovarianceModel:
    """Learn the components of an adjusted table, and what batches do to their scores.

    Parameters
    ----------
    combat : CombatModel
        Model by which the table was adjusted.

    adjusted : ndarray of shape (n_samples, n_features)
        Table without the effects of ``combat``; written to.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row.

    C : ndarray of shape (n_samples, n_columns)
        Coded covariates.

    percent_var : float
        As many components are taken as explain more than this share of the variance.

    scale : bool
        Whether every feature is brought to variance 1 before.

    options : CombatOptions
        How batches are estimated on the scores.

    Returns
    -------
    model : CovarianceModel
    """
    # In the place of the table where all features are kept, which saves a copy of it.
    every = combat.kept.all()
    residuals = adjusted if every else np.empty((len(adjusted), len(combat.grand_mean)))
    for rows in row_blocks(*adjusted.shape):
        residuals[rows] = _residuals(combat, adjusted[rows], C[rows])
    center = residuals.mean(axis=0)
    residuals -= center
    spread = np.ones(residuals.shape[1])
    if scale:
        spread = np.sqrt(np.einsum("ij,ij->j", residuals, residuals) / (len(residuals) - 1))
        spread[spread == 0] = 1.0
        residuals /= spread
    components, share = _leading_components(residuals, percent_var)
    scores = fit_combat(residuals @ components.T, codes, len(combat.n_per_batch), None, options)
    return CovarianceModel(center, spread, components, share, scores)


def apply_covariance(
    model: CovarianceModel,
    combat: CombatModel,
    adjusted: np.ndarray,
    codes: np.ndarray,
    C: np.ndarray,
    *,
    new_codes: np.ndarray | None = None,
    options: CombatOptions | None = None,
) -> None:
    """Adjust the leading scores of a table in place.

    Parameters
    ----------
    model, combat
        Fitted numbers of both steps.

    adjusted : ndarray of shape (n_samples, n_features)
        Table without the effects of ``combat``; written to.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row, negative for unseen batches.

    C : ndarray of shape (n_samples, n_columns)
        Coded covariates.

    new_codes : ndarray of int or None
        Number of the unseen batch of every row with a negative code, 0 and upwards; the effects
        of these batches are estimated from their rows. With None the rows stay as they are.

    options : CombatOptions or None
        How unseen batches are estimated.
    """
    blocks = list(row_blocks(*adjusted.shape))
    scores = np.empty((len(adjusted), len(model.components)))
    for rows in blocks:
        standard = _residuals(combat, adjusted[rows], C[rows])
        standard -= model.center
        standard /= model.scale
        scores[rows] = standard @ model.components.T
    change = apply_combat(model.scores, scores, codes, None)
    if new_codes is not None and options is not None:
        new = codes < 0
        change[new] = _adjust_new(model.scores, scores[new], new_codes, options)
    change -= scores
    # What the components do not span stays as it is, and so do rows whose scores do.
    for rows in blocks:
        adjusted[rows, combat.kept] += (change[rows] @ model.components) * model.scale


def _residuals(combat, adjusted, C):
    """What is left beside the kept effects, for the kept features."""
    residuals = adjusted[:, combat.kept]
    residuals -= np.einsum("ij,jk->ik", C, combat.coef)
    residuals -= combat.grand_mean
    return residuals


def _adjust_new(model, scores, codes, options):
    kept = model.kept
    scale = np.sqrt(model.pooled_var)
    standard = (scores[:, kept] - model.grand_mean) / scale
    effects = estimate_effects(standard, codes, int(codes.max()) + 1, options)
    gamma, delta = effects[2], effects[3]
    # A score that does not vary among the rows of a batch keeps its scale.
    delta = np.where(delta > 0, delta, 1.0)
    result = scores.copy()
    result[:, kept] = (standard - gamma[codes]) / np.sqrt(delta[codes]) * scale + model.grand_mean
    return result


def _leading_components(rows, percent_var):
    """Right singular vectors of centred rows, up to the wanted share of the variance."""
    n_samples, n_features = rows.shape
    if not n_features:
        return np.zeros((1, 0)), np.zeros(1)
    wide = n_features > n_samples
    # The smaller Gram matrix is far cheaper than a singular value decomposition, and exact for
    # the leading components.
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = max(1, int((values > _RANK_TOLERANCE * values[0]).sum()))
    total = values[:rank].sum()
    share = values[:rank] / total if total > 0 else np.zeros(rank)
    n_components = min(rank, int((np.cumsum(share) <= percent_var).sum()) + 1)
    values, vectors = values[:n_components], vectors[:, :n_components]
    if wide:
        lengths = np.sqrt(np.where(values > 0, values, 1.0))
        vectors = rows.T @ (vectors / lengths)
    return vectors.T, share[:n_components]
