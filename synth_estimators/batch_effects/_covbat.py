"""CovBat: ComBat that also makes the covariances of batches alike."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import numpy as np

from synth_estimators._compat import Interval
from synth_estimators.batch_effects._base import SampleRows
from synth_estimators.batch_effects._combat import ComBat
from synth_estimators.batch_effects._combat_model import CombatOptions, apply_combat
from synth_estimators.batch_effects._covbat_model import apply_covariance, fit_covariance
from synth_estimators.batch_effects._design import BatchLevels, match_batches

__all__ = ["CovBat"]


class CovBat(ComBat):
    r"""Adjust means, variances and covariances of batches (Chen and others).

    ComBat first. What it leaves beside the kept effects, :math:`R`, is written in principal
    components, :math:`R = T V^\top`; location and scale of the leading scores :math:`T` are made
    the same in all batches, and the table is put together again. All of it is learnt in ``fit``
    and applied to new rows one by one.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of ``X`` that holds the batch labels, by name or position. A keyword ``batch=`` of
        the methods comes first.

    covariates : list of str or int, or None, default=None
        Columns of ``X`` whose effects are kept. They are needed in ``transform`` too.

    categorical : list or None, default=None
        Covariates to take as categories although they hold numbers.

    percent_var : float, default=0.95
        As many components are adjusted as explain more than this share of the variance of the
        training rows, in (0, 1].

    std : bool, default=True
        Bring every feature to variance 1 before the components are taken.

    parametric : bool, default=True
        Prior of the first step, as in ``ComBat``.

    mean_only : bool, default=False
        Adjust only the means, those of the features and those of the scores.

    reference_batch : label or None, default=None
        Batch that stays as it is and to which the others are adjusted.

    preserve_y : {"fit_only"} or None, default=None
        "fit_only" keeps differences that the target ``y`` explains, as in ``ComBat``;
        ``transform`` needs no target.

    shrink : bool, default=True
        Whether the first step shrinks the estimates of the features. Those of the scores are
        never shrunk.

    convergence : {"sva", "strict"}, default="sva"
        When the iteration of the first step stops, as in ``ComBat``.

    tol : float, default=1e-4
        Relative change at which the iteration stops.

    max_iter : int, default=10000
        Largest number of rounds.

    unseen : {"error", "passthrough", "estimate"}, default="error"
        What ``transform`` does with rows of batches that ``fit`` has not seen, as in ``ComBat``.

    singleton : {"mean_only", "error"}, default="mean_only"
        What to do with a batch of one row, as in ``ComBat``.

    keep_metadata : bool, default=False
        Append the columns of labels to the output.

    Attributes
    ----------
    n_components_ : int
        Number of adjusted components.

    components_ : ndarray of shape (n_components_, n_kept)
        Principal axes of the residuals.

    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Share of the variance of each.

    residual_mean_, residual_scale_ : ndarray of shape (n_kept,)
        Mean and standard deviation (1 with ``std=False``) of the residuals.

    score_mean_, score_var_ : ndarray of shape (n_batches, n_components_)
        Mean and variance of the scores of every batch, in units of the pooled scores.

    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted. This and ``n_per_batch_``, ``kept_features_``, ``grand_mean_``,
        ``pooled_var_``, ``coef_``, ``gamma_hat_``, ``delta_hat_``, ``gamma_star_``,
        ``delta_star_``, ``prior_``, ``n_iter_``, ``mean_only_`` and ``identity_`` are those of
        ``ComBat``.

    n_features_in_ : int
        Number of columns seen during ``fit``, columns of labels included.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : Means and variances only.

    Notes
    -----
    Results equal those of the R code of the authors to rounding. Missing values are not allowed.

    The covariance of many features is learnt from few rows: with batches of a dozen rows the
    variances of the later scores are noise, and a lower ``percent_var`` does less harm. Beyond
    ComBat it costs the eigenvectors of the smaller of the two products of the table with itself,
    a time proportional to ``n_samples * n_features * min(n_samples, n_features)``, and in ``fit``
    the memory of one copy of the table, or two if some features are not adjusted, and of the
    components.

    References
    ----------
    .. [1] :doi:`Chen et al. (2022). "Mitigating site effects in covariance for machine learning
       in neuroimaging data". <10.1002/hbm.25688>`

    Examples
    --------
    Two batches that differ in the sign of a correlation, which ComBat does not see:

    >>> import numpy as np
    >>> from synth_estimators.batch_effects import CovBat, attach_batch
    >>> rng = np.random.default_rng(0)
    >>> batch = np.repeat(["a", "b"], 100)
    >>> common = rng.normal(size=200)
    >>> X = rng.normal(size=(200, 2))
    >>> X += 2 * np.column_stack([common, np.where(batch == "a", common, -common)])
    >>> adjusted = CovBat(percent_var=1.0).fit_transform(attach_batch(X, batch))
    >>> [round(float(np.corrcoef(rows.T)[0, 1]), 1) for rows in (X[:100], X[100:])]
    [0.8, -0.8]
    >>> gap = np.corrcoef(adjusted[:100].T) - np.corrcoef(adjusted[100:].T)
    >>> bool(abs(gap[0, 1]) < 0.2)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **{key: rule for key, rule in ComBat._parameter_constraints.items() if key != "missing"},
        "percent_var": [Interval(Real, 0, 1, closed="right")],
        "std": ["boolean"],
    }
    _allow_nan = False

    def __init__(
        self,
        batch="batch",
        *,
        covariates=None,
        categorical=None,
        percent_var=0.95,
        std=True,
        parametric=True,
        mean_only=False,
        reference_batch=None,
        preserve_y=None,
        shrink=True,
        convergence="sva",
        tol=1e-4,
        max_iter=10000,
        unseen="error",
        singleton="mean_only",
        keep_metadata=False,
    ):
        self.batch = batch
        self.covariates = covariates
        self.categorical = categorical
        self.percent_var = percent_var
        self.std = std
        self.parametric = parametric
        self.mean_only = mean_only
        self.reference_batch = reference_batch
        self.preserve_y = preserve_y
        self.shrink = shrink
        self.convergence = convergence
        self.tol = tol
        self.max_iter = max_iter
        self.unseen = unseen
        self.singleton = singleton
        self.keep_metadata = keep_metadata

    def _fit_model(self, rows, batches, C):
        model = super()._fit_model(rows, batches, C)
        wide = np.empty(rows.X.shape)
        covariance = fit_covariance(
            model,
            apply_combat(model, rows.X, batches.codes, C, out=wide),
            batches.codes,
            C,
            percent_var=self.percent_var,
            scale=self.std,
            options=self._score_options(),
        )
        self._covariance = covariance
        self.components_ = covariance.components
        self.n_components_ = len(covariance.components)
        self.explained_variance_ratio_ = covariance.variance_share
        self.residual_mean_, self.residual_scale_ = covariance.center, covariance.scale
        self.score_mean_ = covariance.scores.gamma_star
        self.score_var_ = covariance.scores.delta_star
        return model

    def _score_options(self):
        # A single batch stays as it is, like a reference batch.
        reference = 0 if len(self.batches_) == 1 else self._reference
        return CombatOptions(shrink=False, mean_only=self.mean_only_, reference=reference)

    def _transform(self, rows):
        wide = SampleRows(np.asarray(rows.X, dtype=np.float64), rows.labels)
        adjusted = super()._transform(wide)
        # The first step has refused unseen batches, or warned of them.
        codes = match_batches(
            rows.batch, self.batches_, unseen="estimate", owner=type(self).__name__
        )
        new_codes, options = None, None
        if self.unseen == "estimate" and (codes < 0).any():
            new_codes = BatchLevels.from_labels(rows.batch[codes < 0]).codes
            options = CombatOptions(shrink=False, mean_only=self.mean_only_)
        apply_covariance(
            self._covariance,
            self._model,
            adjusted,
            codes,
            self._coded(rows),
            new_codes=new_codes,
            options=options,
        )
        return adjusted
