"""Location and scale of batches with empirical Bayes: the numbers behind ComBat.

The model of a value x of feature g in a row of batch i with covariates c is

    x = alpha_g + c beta_g + gamma_ig + delta_ig * noise

Least squares give alpha, beta and the means of the batches, and the residuals their variances;
the standardised table itself is never stored, since all that follows needs only its means and
variances within batches. Features are read in blocks that stay in the cache, sorted by batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from synth_estimators.batch_effects._combat_shrinkage import (
    CombatOptions,
    estimate_effects,
    shrink_effects,
)

__all__ = [
    "CombatModel",
    "CombatOptions",
    "apply_combat",
    "constant_features",
    "estimate_effects",
    "fit_combat",
    "shrink_effects",
]

# Numbers of a block that stays in the cache (1 MB).
_BLOCK_ELEMENTS = 131_072
_MIN_COLUMNS = 32

# Residuals this much smaller than the values they come from are rounding errors.
_EXACT_FIT = 1e-13

# Eigenvalues below this share of the largest mark a feature whose observed rows cannot carry the
# design.
_SINGULAR = 1e-10


@dataclass
class CombatModel:
    """Fitted numbers. Arrays with a last axis p' hold the kept features only.

    Attributes
    ----------
    kept : ndarray of bool of shape (n_features,)
        Features that are adjusted; the others are returned as they come.

    n_per_batch : ndarray of int of shape (n_batches,)
        Rows of every batch.

    grand_mean, pooled_var : ndarray of shape (p',)
        Mean over batches, and residual variance.

    coef : ndarray of shape (n_columns, p')
        Coefficients of the coded covariates.

    gamma_hat, delta_hat, gamma_star, delta_star : ndarray of shape (n_batches, p')
        Shift and variance of every batch in standardised units, before and after shrinkage.

    prior : dict of ndarray of shape (n_batches,)
        ``gamma_bar``, ``tau2``, ``a`` and ``b``.

    n_iter : ndarray of int of shape (n_batches,)
        Rounds of the parametric iteration; closed forms count as one.

    reference : int or None
        Batch whose rows stay as they are.
    """

    kept: np.ndarray
    n_per_batch: np.ndarray
    grand_mean: np.ndarray
    pooled_var: np.ndarray
    coef: np.ndarray
    gamma_hat: np.ndarray
    delta_hat: np.ndarray
    gamma_star: np.ndarray
    delta_star: np.ndarray
    prior: dict = field(default_factory=dict)
    n_iter: np.ndarray | None = None
    reference: int | None = None


@dataclass
class _Moments:
    """Least squares of every feature: means of batches, coefficients, squares within batches."""

    means: np.ndarray  # (n_batches, n_features), the batch coefficients
    coef: np.ndarray  # (n_columns, n_features)
    squares: np.ndarray  # (n_batches, n_features), sums of squared residuals
    observed: np.ndarray  # (n_batches, n_features)
    kept: np.ndarray  # (n_features,)
    missing: bool  # whether any value of the table is missing


class _Design:
    """Rows sorted by batch, and the part of the covariates that batches do not explain."""

    def __init__(self, codes, n_batches, C):
        self.order = np.argsort(codes, kind="stable")
        self.counts = np.bincount(codes, minlength=n_batches)
        self.ends = np.cumsum(self.counts)
        self.starts = self.ends - self.counts
        self.n_columns = 0 if C is None else C.shape[1]
        if not self.n_columns:
            return
        C = C[self.order]
        self.centres = np.stack([C[rows].mean(axis=0) for rows in self.parts()])
        within = C - np.repeat(self.centres, self.counts, axis=0)
        # Columns of length 1, so that units of the covariates do not matter.
        self.lengths = np.linalg.norm(within, axis=0)
        self.basis, self.triangle = np.linalg.qr(within / self.lengths)

    def parts(self):
        for start, end in zip(self.starts, self.ends, strict=True):
            yield slice(start, end)

    def coefficients(self, scores):
        """Coefficients of the covariates from those of the orthonormal basis."""
        return np.linalg.solve(self.triangle, scores) / self.lengths[:, None]

    def sizes(self, means, coef):
        """Size of the fitted values of each feature, beside which rounding errors are small."""
        spread = 0.0
        if self.n_columns:
            means = means + self.centres @ coef
            spread = self.lengths @ np.abs(coef) / np.sqrt(len(self.order))
        return np.abs(means).max(axis=0) + np.sqrt(means.var(axis=0)) + spread

    def solve(self, block, means, coef, squares):
        """Fit full columns; the block is left with the residuals."""
        for batch, rows in enumerate(self.parts()):
            np.mean(block[rows], axis=0, out=means[batch])
            block[rows] -= means[batch]
        if self.n_columns:
            scores = self.basis.T @ block
            block -= self.basis @ scores
            coef[...] = self.coefficients(scores)
            means -= self.centres @ coef
        for batch, rows in enumerate(self.parts()):
            np.einsum("ij,ij->j", block[rows], block[rows], out=squares[batch])

    def solve_missing(self, block, mean_only):
        """Fit columns with gaps, each on its observed rows."""
        n_batches, n_columns = len(self.counts), self.n_columns
        indicators = np.repeat(np.eye(n_batches), self.counts, axis=0)
        design = np.hstack([indicators, self.basis]) if n_columns else indicators
        seen = ~np.isnan(block)
        filled = np.where(seen, block, 0.0)
        width = design.shape[1]
        products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
        normal = (seen.T.astype(np.float64) @ products).reshape(-1, width, width)
        values = np.linalg.eigvalsh(normal)
        solvable = values[:, 0] > _SINGULAR * values[:, -1]
        normal[~solvable] = np.eye(width)
        solution = np.linalg.solve(normal, (filled.T @ design)[:, :, None])[:, :, 0].T
        residuals = np.where(seen, block - design @ solution, 0.0)
        coef = self.coefficients(solution[n_batches:]) if n_columns else solution[n_batches:]
        means = solution[:n_batches]
        if n_columns:
            means = means - self.centres @ coef
        observed = np.stack([seen[rows].sum(axis=0) for rows in self.parts()])
        needed = np.minimum(self.counts, 1 if mean_only else 2)[:, None]
        return _Moments(
            means=means,
            coef=coef,
            squares=np.stack([(residuals[rows] ** 2).sum(axis=0) for rows in self.parts()]),
            observed=observed,
            kept=solvable & (observed >= needed).all(axis=0),
            missing=True,
        )

    def constant(self, block):
        """Columns without any variation inside some batch of more than one row."""
        found = np.zeros(block.shape[1], dtype=bool)
        for rows in self.parts():
            if rows.stop - rows.start < 2:
                continue
            part = block[rows]
            columns = np.flatnonzero(part[0] == part[1])
            if columns.size:
                found[columns] |= (part[:, columns] == part[0, columns]).all(axis=0)
        return found


def _column_blocks(n_rows, n_columns):
    step = max(_MIN_COLUMNS, _BLOCK_ELEMENTS // max(n_rows, 1))
    for start in range(0, n_columns, step):
        yield slice(start, min(start + step, n_columns))


def _sorted_block(X, order, part, buffer):
    """Rows of a block of columns in the order of the batches, as float64."""
    width = part.stop - part.start
    block = buffer[: len(order) * width].reshape(len(order), width)
    if X.dtype == np.float64:
        np.take(X[:, part], order, axis=0, out=block, mode="clip")
    else:
        block[...] = X[order, part]
    return block


def _least_squares(X, design, mean_only):
    n_samples, n_features = X.shape
    n_batches = len(design.counts)
    moments = _Moments(
        means=np.empty((n_batches, n_features)),
        coef=np.empty((design.n_columns, n_features)),
        squares=np.empty((n_batches, n_features)),
        observed=np.broadcast_to(design.counts[:, None], (n_batches, n_features)),
        kept=np.ones(n_features, dtype=bool),
        missing=False,
    )
    parts = list(_column_blocks(n_samples, n_features))
    buffer = np.empty(n_samples * (parts[0].stop - parts[0].start))
    for part in parts:
        block = _sorted_block(X, design.order, part, buffer)
        moments.kept[part] = ~design.constant(block)
        gaps = np.flatnonzero(np.isnan(block.sum(axis=0))) if np.isnan(block.sum()) else ()
        gappy = design.solve_missing(block[:, gaps], mean_only) if len(gaps) else None
        design.solve(block, moments.means[:, part], moments.coef[:, part], moments.squares[:, part])
        if gappy is None:
            continue
        if not moments.missing:
            moments.missing = True
            moments.observed = moments.observed.copy()
        columns = part.start + gaps
        moments.means[:, columns] = gappy.means
        moments.coef[:, columns] = gappy.coef
        moments.squares[:, columns] = gappy.squares
        moments.observed[:, columns] = gappy.observed
        moments.kept[columns] &= gappy.kept
    return moments


def constant_features(X: np.ndarray, codes: np.ndarray, n_batches: int) -> np.ndarray:
    """Features without any variation inside some batch of more than one row.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Values; a feature with a missing value in a batch counts as varying there.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row.

    n_batches : int
        Number of batches.

    Returns
    -------
    constant : ndarray of bool of shape (n_features,)
    """
    design = _Design(codes, n_batches, None)
    constant = np.zeros(X.shape[1], dtype=bool)
    for part in _column_blocks(*X.shape):
        constant[part] = design.constant(X[design.order, part])
    return constant


def fit_combat(
    X: np.ndarray,
    codes: np.ndarray,
    n_batches: int,
    C: np.ndarray | None,
    options: CombatOptions,
) -> CombatModel:
    """Estimate the model.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Values, float64 or float32; NaN is a missing value.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row, every batch at least once.

    n_batches : int
        Number of batches.

    C : ndarray of shape (n_samples, n_columns) or None
        Coded covariates, not confounded with batch.

    options : CombatOptions
        How to estimate.

    Returns
    -------
    model : CombatModel
    """
    if n_batches == 1:
        options = replace(options, reference=0)  # nothing to adjust it to
    design = _Design(codes, n_batches, C)
    moments = _least_squares(X, design, options.mean_only)
    reference = options.reference
    n_per_batch = design.counts
    if reference is None:
        squares, observed = moments.squares.sum(axis=0), moments.observed.sum(axis=0)
        grand_mean = (n_per_batch / len(codes)) @ moments.means
    else:
        squares, observed = moments.squares[reference], moments.observed[reference]
        grand_mean = moments.means[reference]
    # As in sva, one missing value anywhere changes the divisor for all features.
    divisor = np.maximum(observed - 1, 1) if moments.missing else observed
    pooled_var = squares / divisor
    with np.errstate(invalid="ignore"):
        size = design.sizes(moments.means, moments.coef)
        kept = moments.kept & (np.sqrt(pooled_var) > _EXACT_FIT * size)
    means, squares = moments.means[:, kept], moments.squares[:, kept]
    grand_mean, pooled_var = grand_mean[kept], pooled_var[kept]
    observed = moments.observed[:, kept]
    gamma_hat = (means - grand_mean) / np.sqrt(pooled_var)
    if options.mean_only:
        delta_hat = np.ones_like(gamma_hat)
    else:
        delta_hat = squares / np.maximum(observed - 1, 1) / pooled_var
    gamma_star, delta_star, prior, n_iter = shrink_effects(gamma_hat, delta_hat, observed, options)
    return CombatModel(
        kept=kept,
        n_per_batch=n_per_batch,
        grand_mean=grand_mean,
        pooled_var=pooled_var,
        coef=moments.coef[:, kept],
        gamma_hat=gamma_hat,
        delta_hat=delta_hat,
        gamma_star=gamma_star,
        delta_star=delta_star,
        prior=prior,
        n_iter=n_iter,
        reference=reference,
    )


def apply_combat(
    model: CombatModel,
    X: np.ndarray,
    codes: np.ndarray,
    C: np.ndarray | None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Adjust rows with fitted numbers; every row is treated by itself.

    Parameters
    ----------
    model : CombatModel
        Fitted numbers.

    X : ndarray of shape (n_samples, n_features)
        Values; never changed.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row; rows with a negative code are copied.

    C : ndarray of shape (n_samples, n_columns) or None
        Coded covariates.

    out : ndarray of shape (n_samples, n_features) or None
        Where to write.

    Returns
    -------
    Y : ndarray of shape (n_samples, n_features)
        In the dtype of ``X``; computed in float64.
    """
    n_samples, n_features = X.shape
    out = np.empty((n_samples, n_features), dtype=X.dtype) if out is None else out
    full = _FullWidth(model, n_features)
    step = max(1, _BLOCK_ELEMENTS // (2 * n_features))
    buffer = np.empty((min(step, n_samples), n_features))
    order = np.argsort(codes, kind="stable")
    for batch in np.unique(codes):
        rows = order[slice(*np.searchsorted(codes[order], [batch, batch + 1]))]
        for start in range(0, len(rows), step):
            chosen = rows[start : start + step]
            if batch < 0 or batch == model.reference:
                out[chosen] = X[chosen]
                continue
            values = buffer[: len(chosen)]
            values[...] = X[chosen] if len(chosen) > 1 else X[chosen[0]]
            full.adjust(values, batch, None if C is None else C[chosen])
            if len(chosen) > 1:
                out[chosen] = values
            else:
                out[chosen[0]] = values[0]
    return out


class _FullWidth:
    """Parameters for all features; those that are not adjusted get factor 1 and shift 0."""

    def __init__(self, model, n_features):
        n_batches = len(model.n_per_batch)
        self.factor = np.ones((n_batches, n_features))
        self.shift = np.zeros((n_batches, n_features))
        self.centre = np.zeros(n_features)
        self.coef = np.zeros((len(model.coef), n_features))
        factor = 1.0 / np.sqrt(model.delta_star)
        self.factor[:, model.kept] = factor
        self.shift[:, model.kept] = model.gamma_star * np.sqrt(model.pooled_var) * factor
        self.centre[model.kept] = model.grand_mean
        self.coef[:, model.kept] = model.coef
        # Without covariates the whole adjustment is one product and one sum.
        self.offset = self.centre - self.centre * self.factor - self.shift

    def adjust(self, values, batch, C):
        if C is None or C.shape[1] == 0:
            values *= self.factor[batch]
            values += self.offset[batch]
            return
        # einsum adds the columns in the same order whatever the number of rows.
        expected = np.einsum("ij,jk->ik", C, self.coef)
        expected += self.centre
        values -= expected
        values *= self.factor[batch]
        expected -= self.shift[batch]
        values += expected
