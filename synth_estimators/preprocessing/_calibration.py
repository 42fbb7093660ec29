"""The calibrated frame: margins and second moments in closed form, under any numeric generator."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr
from sklearn.isotonic import isotonic_regression

from synth_estimators.preprocessing._margins import (
    QuantileTable,
    column_quantiles,
    interpolate_columns,
    rank_positions,
)

__all__ = ["CalibratedFrame", "LowRankCovariance", "fit_covariance", "ledoit_wolf_spectrum"]

_MAX_SCORES = 50
_LEADING = 10
_REFERENCE_ROWS = 3_000
_CDF_POINTS = 513
_SPARSE_SHARE = 0.2
_MIN_CLASS_ROWS = 10


class LowRankCovariance:
    """Covariance ``V diag(w) V' + w0 (I - VV')`` that is never formed.

    Attributes
    ----------
    components : ndarray of shape (n_features, rank)
        Orthonormal columns ``V``, in decreasing order of ``w``.

    variances : ndarray of shape (rank,)
        ``w``.

    floor : float
        ``w0``, the variance of every other direction.
    """

    def __init__(self, components, variances, floor):
        self.components = components
        self.variances = variances
        self.floor = floor

    @property
    def rank(self):
        """Number of directions that are stored."""
        return len(self.variances)

    def trace(self):
        """Sum of the variances."""
        return self.variances.sum() + self.floor * (len(self.components) - self.rank)

    def draw(self, n_samples, rng, *, skip=0):
        """Draw centred normal rows without the first ``skip`` directions."""
        return self.lift(self.draw_scores(n_samples, rng, skip=skip), rng)

    def draw_scores(self, n_samples, rng, *, skip=0):
        """Draw scores along the stored directions; the first ``skip`` are zero."""
        scores = np.zeros((n_samples, self.rank))
        scores[:, skip:] = rng.standard_normal((n_samples, self.rank - skip))
        scores[:, skip:] *= np.sqrt(self.variances[skip:])
        return scores

    def lift(self, scores, rng=None):
        """Return rows with the given scores, plus the floor's noise when ``rng`` is given."""
        if rng is None or self.floor <= 0 or self.rank == len(self.components):
            return scores @ self.components.T
        noise = rng.standard_normal((len(scores), len(self.components)))
        noise *= np.sqrt(self.floor)
        return (scores - noise @ self.components) @ self.components.T + noise


def _thin_directions(rows):
    """Right singular vectors and squared singular values of ``rows``, largest first."""
    n_rows, n_columns = rows.shape
    wide = n_columns > n_rows
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    tolerance = 1e-12 if rows.dtype == np.float64 else 1e-6
    keep = np.flatnonzero(values > max(values.max(initial=0.0), 0.0) * tolerance)[::-1]
    values, vectors = values[keep], vectors[:, keep]
    if wide:
        vectors = rows.T @ (vectors / np.sqrt(values))
    if vectors.shape[1]:
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.ascontiguousarray(vectors), values


def ledoit_wolf_spectrum(rows, squared_singular):
    """Ledoit-Wolf shrinkage of the covariance of centred ``rows``.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Centred rows.

    squared_singular : ndarray of shape (rank,)
        Squared singular values of ``rows``.

    Returns
    -------
    variances : ndarray of shape (rank,)
        Shrunk variances along the right singular vectors.

    floor : float
        Variance of every other direction.

    shrinkage : float
        Weight of the scaled identity, in [0, 1].
    """
    n_rows, n_columns = rows.shape
    if n_columns == 0:
        return np.empty(0), 0.0, 0.0
    squared_norms = np.einsum("ij,ij->i", rows, rows)
    mean_variance = squared_singular.sum() / (n_rows * n_columns)
    energy = (squared_singular**2).sum() / n_rows**2
    distance = energy / n_columns - mean_variance**2
    error = ((squared_norms**2).sum() / n_rows**2 - energy / n_rows) / n_columns
    error = min(max(error, 0.0), distance)
    shrinkage = error / distance if distance > 0 and error > 0 else 0.0
    floor = shrinkage * mean_variance
    return (1.0 - shrinkage) * squared_singular / n_rows + floor, floor, shrinkage


def _held_out_spectrum(rows, n_directions, rng, n_folds=10):
    """Mean squared held-out score along each singular direction of the training part."""
    n_rows = len(rows)
    fold = rng.permutation(np.arange(n_rows) % min(n_folds, n_rows))
    total = np.zeros(n_directions)
    for k in range(fold.max() + 1):
        held_out = fold == k
        vectors, _ = _thin_directions(rows[~held_out])
        scores = rows[held_out] @ vectors[:, :n_directions]
        total[: scores.shape[1]] += (scores**2).sum(axis=0)
    return isotonic_regression(total / n_rows, y_min=0.0, increasing=False)


def fit_covariance(rows, rng):
    """Covariance of centred ``rows``: Ledoit-Wolf below 3 p rows, held-out eigenvalues above."""
    n_rows, n_columns = rows.shape
    vectors, squared = _thin_directions(rows)
    if n_rows >= 3 * n_columns and len(squared):
        variances, floor = _held_out_spectrum(rows, len(squared), rng), 0.0
    else:
        variances, floor, _ = ledoit_wolf_spectrum(rows, squared)
    return LowRankCovariance(vectors, variances, floor)


def _log_residual_variance(rows, fold, n_folds):
    """Variance over rows of the log mean squared residual beside ten principal components."""
    logs = np.empty(len(rows))
    for k in range(n_folds):
        held_out = fold == k
        vectors, _ = _thin_directions(rows[~held_out])
        vectors = vectors[:, :_LEADING]
        part = rows[held_out]
        residual = np.einsum("ij,ij->i", part, part) - ((part @ vectors) ** 2).sum(axis=1)
        logs[held_out] = np.log(np.maximum(residual, 1e-12))
    return logs.var()


def estimate_row_scale(rows, covariance, rng, *, n_folds=5):
    """Standard deviation of the log noise scale of rows, beyond what a normal table shows."""
    n_rows, n_columns = rows.shape
    if n_rows < 4 * n_folds or n_columns <= _LEADING + 2:
        return 0.0
    fold = rng.permutation(np.arange(n_rows) % n_folds)
    observed = _log_residual_variance(rows, fold, n_folds)
    expected = _log_residual_variance(covariance.draw(n_rows, rng), fold, n_folds)
    return 0.5 * np.sqrt(max(0.0, observed - expected))


def _whiten(scores):
    """Give the scores of a whole table mean zero and (as far as n allows) unit covariance."""
    n_rows, n_columns = scores.shape
    centred = scores - scores.mean(axis=0)
    if n_rows > 2 * n_columns and n_columns:
        values, vectors = np.linalg.eigh(centred.T @ centred / n_rows)
        if values[0] > 1e-10:
            return centred @ (vectors / np.sqrt(values)) @ vectors.T
    spread = centred.std(axis=0)
    return centred / np.where(spread > 0, spread, 1.0)


def _class_log_spread(rows, members):
    """Log ratio of the spread of each class to that of all rows, shrunk by empirical Bayes.

    The log variance ratio of a class of ``m`` rows has sampling variance ``2 / (m - 1)``; what the
    ratios of its columns vary beyond that is kept, the rest is drawn to their mean.
    """
    pooled = rows.var(axis=0)
    logs = np.zeros((members.shape[1], rows.shape[1]))
    for k, member in enumerate(members.T):
        n_rows = int(member.sum())
        if n_rows < _MIN_CLASS_ROWS:
            continue
        own = rows[member].var(axis=0, ddof=1)
        valid = (own > 0) & (pooled > 0)
        if not valid.any():
            continue
        ratio = np.log(own[valid] / pooled[valid])
        sampling = 2.0 / (n_rows - 1)
        between = max(0.0, ratio.var() - sampling)
        mean = ratio.mean()
        logs[k, valid] = 0.5 * (mean + (ratio - mean) * between / (between + sampling))
    return np.clip(logs, -1.0, 1.0)


class CalibratedFrame:
    """Location, covariance, scores, margins and row-wise noise of a numeric table.

    The frame turns rows into standardised residuals (what a network may learn) and model
    residuals back into data: score margins by quantile tables, one noise scale a row beside the
    ten leading directions, column margins by quantile tables.

    Parameters
    ----------
    margin_bandwidth : float, default=0.2
        Kernel width of the column margins.

    score_bandwidth : float, default=0.3
        Kernel width of the score margins.

    row_scale : float, default=1.5
        Factor on the estimated standard deviation of the log noise scale; 0 switches it off.

    sparse_scale_power : float, default=0.3
        Power of the row scale in columns with at least 20 % of their rows at the lowest value.
    """

    def __init__(
        self, *, margin_bandwidth=0.2, score_bandwidth=0.3, row_scale=1.5, sparse_scale_power=0.3
    ):
        self.margin_bandwidth = margin_bandwidth
        self.score_bandwidth = score_bandwidth
        self.row_scale = row_scale
        self.sparse_scale_power = sparse_scale_power
        self.normal_scores_ = False

    def fit(self, X, design, rng, *, n_classes=0):
        """Fit everything but the reference tables.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Rows in data units.

        design : ndarray of shape (n_samples, n_terms) or None
            Terms whose linear effect is the location of a row (one-hot classes, conditions).

        rng : numpy.random.Generator
            For folds and simulated tables.

        n_classes : int, default=0
            Number of leading design terms that are class indicators; classes of at least ten rows
            are given spreads of their own.
        """
        X = np.asarray(X, dtype=np.float64)
        self.constant_ = X[0].copy()
        self.varying_ = np.flatnonzero(np.ptp(X, axis=0) > 0)
        values = X[:, self.varying_]
        self.margins_ = QuantileTable(self.margin_bandwidth).fit(values)
        self.mean_ = values.mean(axis=0)
        self.scale_ = values.std(axis=0)
        tiny = ~(self.scale_ > 0)
        self.scale_[tiny] = 1.0
        rows = (values - self.mean_) / self.scale_
        if design is None:
            self.coef_ = None
        else:
            self.coef_ = np.linalg.lstsq(design, rows, rcond=1e-10)[0]
            rows = rows - design @ self.coef_
        self.log_spread_ = None
        if n_classes > 1:
            self.log_spread_ = np.zeros((design.shape[1], rows.shape[1]))
            self.log_spread_[:n_classes] = _class_log_spread(rows, design[:, :n_classes] > 0)
            rows = rows / self.spread(design)
        self.covariance_ = fit_covariance(rows, rng)
        n_rows, rank = len(rows), self.covariance_.rank
        self.n_scores_ = max(0, min(_MAX_SCORES, rank - 1, n_rows // 3))
        self._fit_scores(rows)
        self._fit_row_scale(rows, rng)
        return self

    def _fit_scores(self, rows):
        k = self.n_scores_
        scores = rows @ self.covariance_.components[:, :k]
        spread = scores.std(axis=0)
        scores = scores / np.where(spread > 0, spread, 1.0)
        scores -= scores.mean(axis=0)
        self.score_margins_ = QuantileTable(self.score_bandwidth, atoms=False).fit(scores)

    def _fit_row_scale(self, rows, rng):
        sparse = self.margins_.zero_share_ >= _SPARSE_SHARE
        self.scale_power_ = np.where(sparse, self.sparse_scale_power, 1.0)
        self.tau_ = 0.0
        if self.row_scale > 0:
            dense = np.flatnonzero(~sparse)
            if len(dense) < 10 or len(dense) == rows.shape[1]:
                estimate = estimate_row_scale(rows, self.covariance_, rng)
            else:
                part = rows[:, dense]
                estimate = estimate_row_scale(part, fit_covariance(part, rng), rng)
            self.tau_ = float(np.clip(self.row_scale * estimate, 0.0, 0.35))

    def standardise(self, X):
        """Return the varying columns of ``X`` in units of the training standard deviations."""
        return (np.asarray(X, dtype=np.float64)[:, self.varying_] - self.mean_) / self.scale_

    def location(self, design):
        """Return the location of rows with the given design terms, or 0."""
        return 0.0 if self.coef_ is None else design @ self.coef_

    def spread(self, design):
        """Return the spread of rows with the given design terms, or 1."""
        return 1.0 if self.log_spread_ is None else np.exp(design @ self.log_spread_)

    def residuals(self, X, design):
        """Return standardised rows less their location, in units of their spread."""
        return (self.standardise(X) - self.location(design)) / self.spread(design)

    def relocate(self, residuals, design):
        """Return standardised rows with the given residuals."""
        return residuals * self.spread(design) + self.location(design)

    def standard_scores(self, residuals):
        """Scores of residual rows along the calibrated directions, in model units."""
        k = self.n_scores_
        return residuals @ self.covariance_.components[:, :k] / self._score_sd()

    def _score_sd(self):
        return np.sqrt(np.maximum(self.covariance_.variances[: self.n_scores_], 1e-300))

    def split_rows(self, residuals):
        """Split residual rows into standard scores and what lies beside their directions."""
        components = self.covariance_.components[:, : self.n_scores_]
        scores = residuals @ components
        return scores / self._score_sd(), residuals - scores @ components.T

    def split_span(self, coordinates, rng):
        """Split span coordinates likewise, with the floor's noise outside the span."""
        k = self.n_scores_
        rest = coordinates.copy()
        rest[:, :k] = 0.0
        return coordinates[:, :k] / self._score_sd(), self.covariance_.lift(rest, rng)

    def assemble(self, scores, design, rng, *, beside=None, stratified=False):
        """Turn standard scores into standardised rows.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_scores)
            Standard scores, in order of the directions.

        design : ndarray of shape (n_samples, n_terms) or None
            Design terms of each row.

        rng : numpy.random.Generator
            For the row scale and the remaining directions.

        beside : ndarray of shape (n_samples, n_features), default=None
            Part of the rows beside the scored directions; None draws it from the covariance.

        stratified : bool, default=False
            Whether the scores of the whole table are given their margins by rank.
        """
        n_rows, k = scores.shape
        covariance = self.covariance_
        if stratified:
            levels = rank_positions(_whiten(scores))
        elif self.score_cdf_ is None:
            levels = ndtr(scores)
        else:
            levels = interpolate_columns(scores, *self.score_cdf_)
        scaled = self.score_margins_.quantile(levels) * self._score_sd()
        lead = min(_LEADING, k)
        if beside is None:
            rest = covariance.draw_scores(n_rows, rng, skip=k)
            rest[:, lead:k] = scaled[:, lead:]
            noise = covariance.lift(rest, rng)
        else:
            noise = beside + scaled[:, lead:] @ covariance.components[:, lead:k].T
        if self.tau_ > 0:
            log_scale = self.tau_ * rng.standard_normal(n_rows) - self.tau_**2
            noise *= np.exp(log_scale[:, None] * self.scale_power_)
        noise += scaled[:, :lead] @ covariance.components[:, :lead].T
        return self.relocate(noise, design)

    def reference_rows(self):
        """Number of model rows behind the tabulated distributions."""
        n_columns = max(1, len(self.varying_))
        wanted = np.clip(1_500_000 // n_columns, _REFERENCE_ROWS, 20_000)
        return int(np.clip(20_000_000 // n_columns, 1_000, wanted))

    def fit_reference(self, draw, design, rng):
        """Tabulate the distribution of model scores and model columns.

        Parameters
        ----------
        draw : callable
            ``draw(n_samples, rng, design)`` returns ``(scores, beside)`` as ``assemble`` takes
            them.

        design : ndarray of shape (n_samples, n_terms) or None
            Training design; the reference rows are drawn from it with replacement.

        rng : numpy.random.Generator
            For the reference rows.
        """
        n_rows = self.reference_rows()
        positions = np.linspace(0.5 / n_rows, 1.0 - 0.5 / n_rows, _CDF_POINTS)
        part = None if design is None else design[rng.integers(len(design), size=n_rows)]
        scores, beside = draw(n_rows, rng, part)
        self.score_cdf_ = None
        if not self.normal_scores_ and scores.shape[1]:
            self.score_cdf_ = (column_quantiles(scores, positions), positions)
        return self.tabulate(self.assemble(scores, part, rng, beside=beside))

    def tabulate(self, rows):
        """Tabulate the distribution of each column of standardised model rows."""
        positions = np.linspace(0.5 / len(rows), 1.0 - 0.5 / len(rows), _CDF_POINTS)
        table = column_quantiles(rows, positions)
        self.column_cdf_ = (table.astype(self.margins_.table_.dtype), positions)
        return self

    def to_data(self, rows, *, stratified=False, target=None, clip="range"):
        """Give standardised rows the column margins and return them in data units.

        Parameters
        ----------
        rows : ndarray of shape (n_samples, n_varying)
            Standardised model rows.

        stratified : bool, default=False
            Whether margins are given by rank within this table.

        target : ndarray of shape (n_reference, n_varying), default=None
            Standardised reference rows of the same composition; with ``stratified`` their
            margins replace those of the training table.

        clip : {"range", None}, default="range"
            Whether to stay inside the observed range.
        """
        if stratified:
            levels = rank_positions(rows)
            if target is not None:
                reference = column_quantiles(target, np.linspace(0, 1, _CDF_POINTS))
                grid = np.linspace(0, 1, _CDF_POINTS)
                matched = np.empty_like(rows)
                for column in range(rows.shape[1]):
                    matched[:, column] = np.interp(levels[:, column], grid, reference[:, column])
                levels = interpolate_columns(matched, *self.column_cdf_)
        else:
            levels = interpolate_columns(rows, *self.column_cdf_)
        values = self.margins_.quantile(levels)
        if clip == "range":
            np.clip(values, self.margins_.low_, self.margins_.high_, out=values)
        return self._fill(values)

    def decode_mean(self, rows):
        """Map standardised means to data units through normal levels and the column margins."""
        return self._fill(self.margins_.quantile(ndtr(rows)))

    def _fill(self, values):
        if len(self.varying_) == len(self.constant_):
            return np.asarray(values, dtype=np.float64)
        full = np.tile(self.constant_, (len(values), 1))
        full[:, self.varying_] = values
        return full
