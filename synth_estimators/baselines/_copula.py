"""Gaussian copula with shrunk correlations, for tables narrower or wider than they are long."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy import linalg
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators._validation import check_rows, check_table
from synth_estimators.base import BaseGenerator
from synth_estimators.preprocessing import NormalScores
from synth_estimators.preprocessing._ordinal_codes import OrdinalCodes, needs_codes

__all__ = ["GaussianCopula"]

# Least multiple of the identity in the covariance of the scores, as a share of its mean eigenvalue.
_LEAST_IDENTITY = 1e-8


def _principal_axes(centred):
    """Eigenvalues above rounding and eigenvectors of ``centred' centred / n_rows``."""
    n_rows, n_columns = centred.shape
    if n_rows > n_columns:
        values, axes = linalg.eigh(centred.T @ centred / n_rows)
        values, axes = values[::-1], axes[:, ::-1]
    else:
        _, singular, rotation = linalg.svd(centred, full_matrices=False, check_finite=False)
        values, axes = np.square(singular) / n_rows, rotation.T
    positive = values > 1e-14 * max(values.max(initial=0.0), np.finfo(float).tiny)
    return values[positive], np.ascontiguousarray(axes[:, positive])


def _ledoit_wolf(centred, values):
    """Ledoit-Wolf weight of the identity, from the eigenvalues and the row norms alone."""
    n_rows, n_columns = centred.shape
    if n_columns == 1:
        return 0.0
    mean = values.sum() / n_columns
    sum_of_squares = np.square(values).sum()
    distance = sum_of_squares / n_columns - mean**2
    fourth = np.square(np.einsum("ij,ij->i", centred, centred)).sum() / n_rows**2
    error = min((fourth - sum_of_squares / n_rows) / n_columns, distance)
    return float(np.clip(error / distance, 0.0, 1.0)) if error > 0 else 0.0


class GaussianCopula(BaseGenerator):
    r"""Normal dependence between columns of any distribution.

    Every column is mapped to normal quantiles :math:`z_j = \Phi^{-1}(F_j(x_j))` and the scores
    are multivariate normal with correlation :math:`R`. Rows have the density

    .. math:: p(x) = \frac{N(z; 0, R)}{\prod_j \varphi(z_j)} \prod_j f_j(x_j).

    Parameters
    ----------
    shrinkage : "ledoit_wolf" or float, default="ledoit_wolf"
        Weight of a multiple of the identity in the covariance of the scores, between 0 and 1.
        "ledoit_wolf" estimates the weight of the smallest expected squared error. The shrunk
        covariance is then scaled to a correlation.

    tails : {"smooth", "clip"}, default="smooth"
        Distribution of a column outside its training range: normal tails, or none (the share of
        the tails, half a row at each end, sits on the end points).

    clip : "range" or None, default="range"
        "range" moves sampled values to the training range of their column. It acts on ``sample``
        only: densities keep the tails.

    random_state : int, RandomState instance or None, default=None
        Seeds the draws of ``sample``. Pass an int for reproducible output.

    Attributes
    ----------
    margins_ : NormalScores
        The maps of the columns.

    shrinkage_ : float
        Weight of the identity that was used.

    loadings_ : ndarray of shape (n_features_in_, n_components)
        Low-rank part :math:`L` of the correlation, :math:`R = L L^\top + \mathrm{diag}(u)`, with
        at most min(n_samples - 1, n_features_in_) columns.

    uniquenesses_ : ndarray of shape (n_features_in_,)
        Diagonal part :math:`u` of the correlation.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    IndependentColumns : No dependence at all.
    CalibratedGaussian : Normal dependence on the scale of the data, with calibrated margins.

    Notes
    -----
    With n rows and p columns, ``fit`` costs :math:`O(n p \min(n, p))`. For n < p no p by p
    matrix is ever formed: memory is :math:`O(n p)` and a sampled row costs :math:`O(n p)`.

    The maps have about :math:`2\sqrt n` knots a column: that many make the density of a column
    smooth enough to be useful on held-out rows. Point masses are kept exactly.

    Text, categories and booleans enter as the rank of their level by frequency, a missing cell
    being a level; a number with missing cells gets a second column that flags them, so that the
    fitted arrays have an entry more for each such column. Dependence on columns of few levels
    comes back weakened, and that on columns of many levels is only as good as their order.

    Constant columns stand outside the correlation and come back exactly. The multiple of the
    identity is at least 1e-8 of the mean eigenvalue of the covariance, so that the density exists
    even for two rows or for ``shrinkage=0``.

    References
    ----------
    .. [1] :doi:`Ledoit and Wolf (2004). "A well-conditioned estimator for large-dimensional
       covariance matrices". <10.1016/S0047-259X(03)00096-4>`

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators.baselines import GaussianCopula
    >>> X, _ = load_iris(return_X_y=True)
    >>> copula = GaussianCopula(random_state=0).fit(X)
    >>> copula.sample(3).shape
    (3, 4)
    >>> copula.score_samples(X[:2]).shape
    (2,)
    """

    score_kind: ClassVar[str] = "loglik"

    _mixed: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict] = {
        "shrinkage": [StrOptions({"ledoit_wolf"}), Interval(Real, 0, 1, closed="both")],
        "tails": [StrOptions({"smooth", "clip"})],
        "clip": [StrOptions({"range"}), None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, shrinkage="ledoit_wolf", tails="smooth", clip="range", random_state=None):
        self.shrinkage = shrinkage
        self.tails = tails
        self.clip = clip
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> GaussianCopula:
        """Fit the maps of the columns and the correlation of their scores.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Table of at least two rows, of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : GaussianCopula
            The fitted generator.
        """
        frame, seed = self._start_fit_table(X)
        self._codes = OrdinalCodes(frame) if needs_codes(frame) else None
        if self._codes is None:
            data = check_rows(self, X, reset=False)
        else:
            data = self._codes.encode(frame, np.random.default_rng(seed))
        n_quantiles = max(2, round(2 * np.sqrt(len(data))))
        self.margins_ = NormalScores(tails=self.tails, n_quantiles=n_quantiles).fit(data)
        varies = self.margins_.data_min_ < self.margins_.data_max_
        scores, _ = self.margins_._score(data, with_density=False)
        scores = np.asarray(scores[:, varies], dtype=np.float64)
        scores -= scores.mean(axis=0)
        self._fit_correlation(scores, varies)
        return self

    def _fit_correlation(self, centred, varies):
        n_features = len(varies)
        n_varying = centred.shape[1]
        values, axes = np.empty(0), np.empty((n_varying, 0))
        self.shrinkage_ = 0.0 if self.shrinkage == "ledoit_wolf" else float(self.shrinkage)
        if n_varying:
            values, axes = _principal_axes(centred)
            if self.shrinkage == "ledoit_wolf":
                self.shrinkage_ = _ledoit_wolf(centred, values)
        mean = values.sum() / max(1, n_varying)
        values = (1.0 - self.shrinkage_) * values  # beyond the multiple of the identity
        floor = max(self.shrinkage_, _LEAST_IDENTITY) * mean
        diagonal = np.square(axes) @ values + floor
        self.loadings_ = np.zeros((n_features, len(values)))
        self.loadings_[varies] = axes * np.sqrt(values) / np.sqrt(diagonal)[:, None]
        self.uniquenesses_ = np.ones(n_features)
        self.uniquenesses_[varies] = floor / diagonal
        # The density needs the eigenvectors of the covariance: with A = axes and s = diagonal,
        # R = S^-1/2 (A diag(values) A' + floor I) S^-1/2.
        self._varies = varies
        self._axes = axes
        self._eigenvalues = values + floor
        self._floor = floor
        self._scale = np.sqrt(diagonal)

    def get_correlation(self) -> np.ndarray:
        """Return the correlation of the scores as a dense matrix.

        Returns
        -------
        correlation : ndarray of shape (n_features_in_, n_features_in_)
            With a unit diagonal. Meant for narrow tables.
        """
        check_is_fitted(self)
        return self.loadings_ @ self.loadings_.T + np.diag(self.uniquenesses_)

    def _sample(self, n_samples, rng, **request):
        n_features, n_components = self.loadings_.shape  # with flags of missing cells
        rows = np.empty((n_samples, n_features))
        noise_scale = np.sqrt(self.uniquenesses_)
        step = max(1, self._chunk_elements // max(1, n_features))
        for start in range(0, n_samples, step):
            block = rows[start : start + step]
            scores = rng.standard_normal((len(block), n_components)) @ self.loadings_.T
            scores += rng.standard_normal(block.shape) * noise_scale
            block[...] = self.margins_._unscore(scores)
        if self.clip == "range":
            np.clip(rows, self.margins_.data_min_, self.margins_.data_max_, out=rows)
        return rows if self._codes is None else self._codes.decode(rows)

    def score_samples(self, X: Any) -> np.ndarray:
        r"""Log density of every row in data units.

        For continuous columns it is a density that integrates to 1. A column that holds one of
        its point masses (a repeated zero, a category) enters with the probability of the mass
        instead of a density, and the dependence is read at the middle rank of the mass. This
        stands for an integral over the mass, so that rows with several point masses
        have an approximate density.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats; a level counts with its probability. With ``tails="clip"`` a row outside the
            training range has minus infinity.

        Raises
        ------
        ValueError
            For missing numbers or levels that were not seen during ``fit``.
        """
        check_is_fitted(self)
        if self._codes is None:
            data = check_rows(self, X, reset=False)
        else:
            data = self._codes.encode(check_table(self, X, reset=False))
        log_density = np.empty(len(data))
        step = max(1, self._chunk_elements // data.shape[1])
        for start in range(0, len(data), step):
            chunk = data[start : start + step].astype(np.float64)
            scores, margins = self.margins_._score(chunk, with_density=True)
            log_density[start : start + step] = margins.sum(axis=1) + self._log_copula(scores)
        return log_density

    def _log_copula(self, scores):
        scores = scores[:, self._varies]
        n_varying, n_components = self._axes.shape
        if n_varying == 0:
            return np.zeros(len(scores))
        scaled = scores * self._scale
        projected = scaled @ self._axes
        with np.errstate(over="ignore", invalid="ignore"):
            squared = np.square(projected)
            rest = np.einsum("ij,ij->i", scaled, scaled) - squared.sum(axis=1)
            distance = squared @ (1.0 / self._eigenvalues) + np.maximum(rest, 0.0) / self._floor
            distance -= np.einsum("ij,ij->i", scores, scores)
        log_determinant = (
            np.log(self._eigenvalues).sum()
            + (n_varying - n_components) * np.log(self._floor)
            - 2.0 * np.log(self._scale).sum()
        )
        return -0.5 * (log_determinant + distance)
