"""Location and scale of batches with empirical Bayes: the numbers behind ComBat.

The model of a value x of feature g in a row of batch i with covariates c is

    x = alpha_g + c beta_g + gamma_ig + delta_ig * noise

Least squares give alpha, beta and the means of the batches, and the residuals their variances;
the standardised table itself is never stored, since all that follows needs only its means and
variances within batches. Features are read in blocks that stay in the cache, sorted by batch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CombatModel",
    "CombatOptions",
    "apply_combat",
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
        size = np.abs(moments.means).max(axis=0) + np.sqrt(moments.means.var(axis=0))
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
    with np.errstate(divide="ignore"):
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
    step = max(1, 4 * _BLOCK_ELEMENTS // max(len(usable), 1))
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
