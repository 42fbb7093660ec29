"""Negative binomial regression with batches: the numbers behind ComBatSeq.

The count of feature g in a row of batch i with covariates c and total N is negative binomial with

    log mu = log N + alpha_g + c beta_g + gamma_ig

and dispersion phi_ig. Without the batch, the mean is mu exp(-gamma_ig) and the dispersion the mean
of phi_ig over the batches; a count moves to the same quantile of that distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from synth_estimators.batch_effects._nb_dispersion import common_dispersion, featurewise_dispersion
from synth_estimators.batch_effects._nb_glm import (
    OrthonormalDesign,
    add_prior_count,
    feature_blocks,
    fit_glm,
    log_rising,
)
from synth_estimators.batch_effects._nb_quantile import map_quantiles

__all__ = ["CountModel", "apply_counts", "fit_counts"]

_PRIOR_COUNT = 1e-4

# Logarithms of means stay within this range, so that quantiles are whole numbers in float64; only
# effects that cannot be estimated lead beyond it.
_SMALLEST_LOG, _LARGEST_LOG = -300.0, 27.0


@dataclass
class CountModel:
    """Fitted numbers. Arrays with a last axis p' hold the kept features only.

    Attributes
    ----------
    kept : ndarray of bool of shape (n_features,)
        Features with counts in every batch; the others are returned as they come.

    n_per_batch : ndarray of int of shape (n_batches,)
        Rows of every batch.

    log_rate : ndarray of shape (p',)
        alpha, logarithm of the share of a feature in the total of a row, averaged over batches.

    coef : ndarray of shape (n_columns, p')
        beta, coefficients of the coded covariates.

    gamma_fit : ndarray of shape (n_batches, p')
        Coefficients of the batches by maximum likelihood, which give the fitted means.

    gamma_hat, gamma_star : ndarray of shape (n_batches, p')
        Coefficients of the batches with the prior count, which are removed, before and after
        shrinkage.

    common_dispersion : ndarray of shape (n_batches,)
        Dispersion that all features of a batch share.

    dispersion : ndarray of shape (n_batches, p')
        Dispersion of every feature in every batch.

    dispersion_star : ndarray of shape (p',)
        Dispersion after the correction.

    largest : ndarray of shape (p',)
        Largest count of every feature in the training rows.
    """

    kept: np.ndarray
    n_per_batch: np.ndarray
    log_rate: np.ndarray
    coef: np.ndarray
    gamma_fit: np.ndarray
    gamma_hat: np.ndarray
    gamma_star: np.ndarray
    common_dispersion: np.ndarray
    dispersion: np.ndarray
    dispersion_star: np.ndarray
    largest: np.ndarray


def fit_counts(
    X: np.ndarray,
    codes: np.ndarray,
    n_batches: int,
    C: np.ndarray,
    *,
    shrink: bool = False,
    shrink_disp: bool = False,
) -> CountModel:
    """Fit dispersions and coefficients.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Counts.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row.

    n_batches : int
        Number of batches, each with at least two rows.

    C : ndarray of shape (n_samples, n_columns)
        Coded covariates, not confounded with the batches.

    shrink, shrink_disp : bool, default=False
        Whether to shrink the coefficients of the batches, and also the dispersions.

    Returns
    -------
    model : CountModel

    Raises
    ------
    ValueError
        If no feature has counts in every batch, or a row has none.
    """
    members = [np.flatnonzero(codes == batch) for batch in range(n_batches)]
    n_per_batch = np.array([len(rows) for rows in members])
    kept = np.all([(X[rows] > 0).any(axis=0) for rows in members], axis=0)
    if not kept.any():
        raise ValueError(
            "No feature of X has counts in every batch, so that batches cannot be compared; check "
            "the batch labels, or merge batches."
        )
    counts = np.array(X[:, kept], dtype=np.float64, order="C")
    offset = _log_totals(counts.sum(axis=1), np.arange(len(counts)))
    common, dispersion = _dispersions(counts, members, C)
    parts = [
        _fit_block(counts[:, block], codes, n_per_batch, C, offset, dispersion[:, block])
        for block in feature_blocks(*counts.shape)
    ]
    log_rate, coef, gamma_fit, gamma_hat = (
        np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)
    )
    model = CountModel(
        kept=kept,
        n_per_batch=n_per_batch,
        log_rate=log_rate,
        coef=coef,
        gamma_fit=gamma_fit,
        gamma_hat=gamma_hat,
        gamma_star=gamma_hat,
        common_dispersion=common,
        dispersion=dispersion,
        dispersion_star=dispersion.mean(axis=0),
        largest=counts.max(axis=0),
    )
    if shrink and counts.shape[1] > 1:
        _shrink(model, counts, members, C, offset, shrink_disp)
    return model


def apply_counts(model: CountModel, X: np.ndarray, codes: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Move counts to the distribution without batches.

    Parameters
    ----------
    model : CountModel
        Fitted numbers.

    X : ndarray of shape (n_samples, n_features)
        Counts.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row, -1 for rows to leave as they are.

    C : ndarray of shape (n_samples, n_columns)
        Coded covariates.

    Returns
    -------
    adjusted : ndarray of shape (n_samples, n_features)
        Whole numbers, in a new array.

    Raises
    ------
    ValueError
        If a row to adjust has no counts.
    """
    adjusted = np.array(X, dtype=np.float64)
    if len(model.n_per_batch) == 1:
        return adjusted
    kept = np.flatnonzero(model.kept)
    known = np.flatnonzero(codes >= 0)
    offset = np.zeros((len(adjusted), 1))
    offset[known] = _log_totals(adjusted @ model.kept.astype(np.float64), known)
    for batch in np.unique(codes[known]):
        rows = np.flatnonzero(codes == batch)
        for block in feature_blocks(len(rows), len(kept)):
            eta = _log_means(model, batch, C[rows], offset[rows], block)
            cells = np.ix_(rows, kept[block])
            adjusted[cells] = map_quantiles(
                adjusted[cells],
                _bounded_exp(eta),
                model.dispersion[batch, block],
                _bounded_exp(eta - model.gamma_star[batch, block]),
                model.dispersion_star[block],
            )
    return adjusted


def _log_totals(totals, rows):
    """Logarithms of the totals of the given rows, (len(rows), 1)."""
    totals = totals[rows, None]
    empty = rows[totals[:, 0] == 0]
    if empty.size:
        raise ValueError(
            f"X has {empty.size} rows without any count in the features that are adjusted (first "
            f"in row {int(empty[0])}); every row needs a positive total. Drop these rows."
        )
    return np.log(totals)


def _dispersions(counts, members, C):
    """Common and feature-wise dispersions of every batch."""
    common, dispersion = np.empty(len(members)), np.empty((len(members), counts.shape[1]))
    for batch, rows in enumerate(members):
        of_batch = np.ascontiguousarray(counts[rows])
        offset = np.log(of_batch.sum(axis=1, keepdims=True))
        design = np.column_stack([np.ones(len(rows)), C[rows]])
        if len(rows) <= design.shape[1] or _rank(design) < design.shape[1]:
            common[batch] = common_dispersion(of_batch, np.ones((len(rows), 1)), offset)
            dispersion[batch] = common[batch]
        else:
            common[batch] = common_dispersion(of_batch, design, offset)
            dispersion[batch] = featurewise_dispersion(of_batch, design, offset, common[batch])
    return common, dispersion


def _rank(design):
    """Rank of a design, whatever the units and origins of its covariates."""
    covariates = design[:, 1:] - design[:, 1:].mean(axis=0)
    scale = np.abs(design[:, 1:]).max(axis=0, initial=0.0)
    return 1 + np.linalg.matrix_rank(covariates / np.where(scale > 0, scale, 1.0), tol=1e-7)


def _fit_block(counts, codes, n_per_batch, C, offset, dispersion):
    """Coefficients of a block of features: log_rate, coef, gamma_fit, gamma_hat."""
    n_batches = len(n_per_batch)
    indicators = (codes[:, None] == np.arange(n_batches)).astype(np.float64)
    design = OrthonormalDesign(np.hstack([indicators, C]))
    spread = dispersion[codes]

    with_prior = add_prior_count(counts, offset, _PRIOR_COUNT)
    first = fit_glm(with_prior[0], design, with_prior[1], spread)[0]
    first = design.to_coefficients(first)
    log_rate = n_per_batch / len(codes) @ first[:n_batches]

    first[:n_batches] -= log_rate
    start = design.from_coefficients(first)
    centred = offset + log_rate
    fitted = fit_glm(counts, design, centred, spread, start=start)[0]
    fitted = design.to_coefficients(fitted)
    with_prior = add_prior_count(counts, centred, _PRIOR_COUNT)
    removed = fit_glm(with_prior[0], design, with_prior[1], spread, start=start)[0]
    removed = design.to_coefficients(removed)
    return log_rate, fitted[n_batches:], fitted[:n_batches], removed[:n_batches]


def _log_means(model, batch, C, offset, block=slice(None)):
    """Logarithms of the fitted means of rows of one batch."""
    level = model.log_rate[block] + model.gamma_fit[batch, block]
    # Not a matrix product: its rounding would depend on the rows beside a row.
    return offset + level + np.einsum("ij,jk->ik", C, model.coef[:, block])


def _bounded_exp(values):
    """Exponential of values cut to the range of logarithms of means."""
    return np.exp(np.clip(values, _SMALLEST_LOG, _LARGEST_LOG))


def _shrink(model, counts, members, C, offset, shrink_disp):
    """Replace the effects of every feature by means over the features that explain its counts."""
    gamma, dispersion = np.empty_like(model.gamma_hat), np.empty_like(model.dispersion)
    for batch, rows in enumerate(members):
        of_batch = counts[rows]
        mean = _bounded_exp(_log_means(model, batch, C[rows], offset[rows]))
        effects = np.vstack([model.gamma_hat[batch], model.dispersion[batch]])
        gamma[batch], dispersion[batch] = _posterior_means(
            of_batch, mean, model.dispersion[batch], effects
        )
    model.gamma_star = gamma
    if shrink_disp:
        model.dispersion_star = dispersion.mean(axis=0)


def _posterior_means(counts, mean, dispersion, effects):
    """Means of the effects of the other features, weighted by the likelihood they give.

    The weight of feature h for feature g is the likelihood of the counts of g under the means and
    the dispersion of h. Counts repeat, so that the gamma functions are evaluated for distinct
    counts; features h come in blocks, with a running maximum of the log weights.
    """
    n_samples, n_features = counts.shape
    distinct, places = np.unique(counts, return_inverse=True)
    features = np.tile(np.arange(n_features), n_samples)
    times = csr_array(
        (np.ones(counts.size), (features, np.ravel(places))),
        shape=(n_features, len(distinct)),
    )
    largest = np.full(n_features, -np.inf)
    total, sums = np.zeros(n_features), np.zeros((len(effects), n_features))
    for block in feature_blocks(n_features, n_features):
        center, spread = mean[:, block], dispersion[block]
        growth = np.log1p(spread * center)
        log_weight = times @ log_rising(distinct[:, None], spread)
        log_weight += counts.T @ (np.log(center) - growth)
        log_weight -= (growth / spread).sum(axis=0)
        itself = np.arange(n_features)[block]
        log_weight[itself, np.arange(len(itself))] = -np.inf
        top = np.maximum(largest, log_weight.max(axis=1))
        weight = np.exp(log_weight - top[:, None])
        rescale = np.exp(largest - top)
        total = total * rescale + weight.sum(axis=1)
        sums = sums * rescale + (weight @ effects[:, block].T).T
        largest = top
    return sums / total
