"""The calibrated frame as a generator of its own."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from synth_estimators._calibrated import CalibratedSamplingMixin, OptionalLabelsMixin, one_hot
from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators.base import BaseGenerator
from synth_estimators.preprocessing._calibration import CalibratedFrame
from synth_estimators.preprocessing._mixture import MixtureDensity

__all__ = ["CalibratedGaussian"]

_MIXTURE_ROWS = 300
_MIXTURE_SCORES = 10
_RIDGE = 0.05


class CalibratedGaussian(CalibratedSamplingMixin, OptionalLabelsMixin, BaseGenerator):
    r"""Gaussian with shrunk covariance, calibrated scores and margins, and row-wise noise.

    A row is drawn as :math:`z = \mu_y + V_1 a + s\,(V_2 b + e)`: class mean, the ten leading
    directions with their calibrated scores :math:`a`, and everything beside them times one noise
    scale :math:`s` a row; each column is then given its smoothed observed margin.

    Read more in the :ref:`User Guide <calibrated_gaussian>`.

    Parameters
    ----------
    score_model : {"auto", "gaussian", "gmm"}, default="auto"
        How standard scores are drawn: independent normals, or a Gaussian mixture with a shared
        covariance on the ten leading scores (one to eight components by BIC). "auto" takes the
        mixture from 300 training rows on.

    margin_bandwidth : float, default=0.2
        Kernel width of the column margins in standard deviations. 0 returns observed values only.

    row_scale : float, default=1.5
        Factor on the estimated spread of the noise scale of rows. 0 switches it off.

    clip : {"range", None}, default="range"
        Whether samples stay inside the observed range of each column.

    random_state : int, RandomState instance or None, default=None
        Seeds folds and draws. Pass an int for reproducible output.
        See :term:`Glossary <random_state>`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; only after a fit with ``y``.

    class_prior_ : ndarray of shape (n_classes,)
        Training shares of the classes; only after a fit with ``y``.

    score_model_ : {"gaussian", "gmm"}
        The score model in use.

    row_scale_ : float
        Standard deviation of the log noise scale of rows.

    n_scores_ : int
        Number of calibrated directions.

    n_features_in_ : int
        Number of columns.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only when all are strings.

    See Also
    --------
    GaussianCopula : Normal scores and a shrunk correlation, with a true density.
    synth_estimators.autoencoders.VAE : A network inside the same frame.

    Notes
    -----
    Numeric columns only. Up to ``n < 3p`` rows the covariance is that of Ledoit and Wolf, in the
    form of the thin singular value decomposition, so the cost is :math:`O(n^2 p)` time and
    :math:`O(np)` memory; with more rows eigenvalues are cross-validated. With fewer than about
    150 rows and many more columns no model of this kind is private by distance to its training
    rows. ``score`` is minus the energy distance, because the calibrated model has no density.

    References
    ----------
    .. [1] :doi:`Ledoit and Wolf (2004). "A well-conditioned estimator for large-dimensional
       covariance matrices". <10.1016/S0047-259X(03)00096-4>`

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import CalibratedGaussian
    >>> X, y = load_iris(return_X_y=True)
    >>> model = CalibratedGaussian(random_state=0).fit(X, y)
    >>> X_gen, y_gen = model.sample_labeled(60)
    >>> X_gen.shape, y_gen.shape
    ((60, 4), (60,))
    """

    score_kind = "neg_energy"

    _parameter_constraints = {
        "score_model": [StrOptions({"auto", "gaussian", "gmm"})],
        "margin_bandwidth": [Interval(Real, 0, None, closed="left")],
        "row_scale": [Interval(Real, 0, None, closed="left")],
        "clip": [StrOptions({"range"}), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        score_model="auto",
        *,
        margin_bandwidth=0.2,
        row_scale=1.5,
        clip="range",
        random_state=None,
    ):
        self.score_model = score_model
        self.margin_bandwidth = margin_bandwidth
        self.row_scale = row_scale
        self.clip = clip
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> CalibratedGaussian:
        """Fit the frame.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training rows, at least 2.

        y : array-like of shape (n_samples,), default=None
            Class labels. With labels the model keeps class means and ``sample`` takes ``y``.

        Returns
        -------
        self : CalibratedGaussian
        """
        data, seed = self._start_fit(X)
        rng = np.random.default_rng(seed)
        design, n_classes = None, 0
        for name in ("classes_", "class_prior_"):
            self.__dict__.pop(name, None)
        if y is not None:
            label_idx = self._fit_labels(y, len(data))
            n_classes = len(self.classes_)
            design = one_hot(label_idx, n_classes)
        frame = CalibratedFrame(margin_bandwidth=self.margin_bandwidth, row_scale=self.row_scale)
        self.frame_ = frame.fit(data, design, rng, n_classes=n_classes)
        self._fit_score_model(frame.residuals(data, design), seed)
        frame.fit_reference(self._draw_scores, design, rng)
        self.row_scale_ = frame.tau_
        self.n_scores_ = frame.n_scores_
        return self

    def _fit_score_model(self, residuals, seed):
        n_lead = min(_MIXTURE_SCORES, self.frame_.n_scores_)
        kind = self.score_model
        if kind == "auto":
            kind = "gmm" if len(residuals) >= _MIXTURE_ROWS else "gaussian"
        if n_lead == 0 or len(residuals) < 4:
            kind = "gaussian"
        self.score_model_ = kind
        self._mixture = None
        self.frame_.normal_scores_ = kind == "gaussian"
        if kind == "gmm":
            scores = self.frame_.standard_scores(residuals)[:, :n_lead]
            spread = scores.std(axis=0)
            scores = (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
            self._mixture = MixtureDensity("tied", ridge=_RIDGE).fit(scores, seed)

    def _draw_scores(self, n_samples, rng, design):
        scores = rng.standard_normal((n_samples, self.frame_.n_scores_))
        if self._mixture is not None:
            lead = self._mixture.draw(n_samples, rng)
            scores[:, : lead.shape[1]] = lead
        return scores, None

    def _sample(self, n_samples, rng, *, y=None, stratified=False):
        design, matches = self._label_design(y, n_samples, rng, stratified=stratified)
        return self._frame_rows(
            n_samples, rng, design, stratified=stratified, matches_training=matches
        )
