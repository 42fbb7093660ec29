"""ComBatGAM: ComBat that keeps smooth effects of covariates."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

from synth_estimators._compat import Interval
from synth_estimators.batch_effects._base import SampleRows
from synth_estimators.batch_effects._combat import ComBat
from synth_estimators.batch_effects._smooth_covariates import SmoothTerms

__all__ = ["ComBatGAM"]


class ComBatGAM(ComBat):
    r"""ComBat with smooth effects of numeric covariates (Pomponio and others).

    The linear effect :math:`c\,\beta_g` of a covariate, such as age, becomes a curve,

    .. math:: x_g = \alpha_g + \sum_k B_k(c)\,\beta_{gk} + \gamma_{ig} + \delta_{ig}\,\varepsilon_g,

    with cubic B-splines :math:`B_k` whose knots are quantiles of the training values. Batches
    whose members differ in the covariate are then not adjusted for the bend of its effect.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of ``X`` that holds the batch labels, by name or position. A keyword ``batch=`` of
        the methods comes first.

    covariates : list of str or int, or None, default=None
        Columns of ``X`` whose effects are kept, smooth ones included. They are needed in
        ``transform`` too.

    smooth_terms : list, default=()
        Numeric covariates with a smooth effect; the others are linear or categories.

    n_splines : int, default=10
        Functions of the basis of every smooth term, at least 4. The first one is left out beside
        the batches, so that a term costs ``n_splines - 1`` coefficients.

    categorical : list or None, default=None
        Covariates to take as categories although they hold numbers.

    parametric : bool, default=True
        Prior of the effects of batches, as in ``ComBat``.

    mean_only : bool, default=False
        Adjust the location only.

    reference_batch : label or None, default=None
        Batch that stays as it is and to which the others are adjusted.

    preserve_y : {"fit_only"} or None, default=None
        "fit_only" keeps differences that the target ``y`` explains, as in ``ComBat``;
        ``transform`` needs no target.

    shrink : bool, default=True
        False uses the estimates of every feature as they are.

    convergence : {"sva", "strict"}, default="sva"
        When the iteration stops, as in ``ComBat``.

    tol : float, default=1e-4
        Relative change at which the iteration stops.

    max_iter : int, default=10000
        Largest number of rounds.

    unseen : {"error", "passthrough", "estimate"}, default="error"
        What ``transform`` does with rows of batches that ``fit`` has not seen, as in ``ComBat``.

    singleton : {"mean_only", "error"}, default="mean_only"
        What to do with a batch of one row, as in ``ComBat``.

    missing : {"sva", "error"}, default="sva"
        What to do with NaN among the features, as in ``ComBat``.

    keep_metadata : bool, default=False
        Append the columns of labels to the output.

    Attributes
    ----------
    splines_ : dict
        Fitted :class:`~sklearn.preprocessing.SplineTransformer` of every smooth term.

    coef_ : ndarray of shape (n_columns, n_kept)
        Coefficients of the coded covariates and of the splines; their names are in
        ``covariate_names_``.

    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted. This and ``n_per_batch_``, ``kept_features_``, ``grand_mean_``,
        ``pooled_var_``, ``gamma_hat_``, ``delta_hat_``, ``gamma_star_``, ``delta_star_``,
        ``prior_``, ``n_iter_``, ``mean_only_`` and ``identity_`` are those of ``ComBat``.

    n_features_in_ : int
        Number of columns seen during ``fit``, columns of labels included.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : Linear effects only.

    Notes
    -----
    The curves are not penalised: they need many rows a coefficient. Where knots coincide because
    values are tied, they are merged and the basis is smaller. Values beyond the training range
    count as its nearer end: a curve is not continued where no row has been seen.

    References
    ----------
    .. [1] :doi:`Pomponio et al. (2020). "Harmonization of large MRI datasets for the analysis of
       brain imaging patterns throughout the lifespan". <10.1016/j.neuroimage.2019.116450>`

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from synth_estimators.batch_effects import ComBatGAM
    >>> rng = np.random.default_rng(0)
    >>> batch, age = np.repeat(["a", "b"], 60), rng.uniform(20, 80, 120)
    >>> truth = np.square(age - 50)[:, None] / 300 + rng.normal(size=(120, 5))
    >>> table = pd.DataFrame(truth).add_prefix("volume")
    >>> table += 2.0 * (batch == "b")[:, None]
    >>> table = table.assign(batch=batch, age=age)
    >>> gam = ComBatGAM(covariates=["age"], smooth_terms=["age"], n_splines=6)
    >>> gap = gam.fit_transform(table).to_numpy() - truth
    >>> bool(abs(gap[batch == "b"].mean() - gap[batch == "a"].mean()) < 0.2)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **ComBat._parameter_constraints,
        "smooth_terms": ["array-like"],
        "n_splines": [Interval(Integral, 4, None, closed="left")],
    }

    def __init__(
        self,
        batch="batch",
        *,
        covariates=None,
        smooth_terms=(),
        n_splines=10,
        categorical=None,
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
        missing="sva",
        keep_metadata=False,
    ):
        self.batch = batch
        self.covariates = covariates
        self.smooth_terms = smooth_terms
        self.n_splines = n_splines
        self.categorical = categorical
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
        self.missing = missing
        self.keep_metadata = keep_metadata

    def _fit(self, rows, y):
        self._fit_smooth_terms(rows.covariates)
        super()._fit(self._smooth(rows), y)

    def _fit_smooth_terms(self, covariates):
        terms = list(self.smooth_terms)
        categorical = [] if self.categorical is None else list(self.categorical)
        both = [term for term in terms if term in categorical]
        if both:
            raise ValueError(
                f"{both!r} stand in smooth_terms and in categorical; a covariate is either smooth "
                "or a category."
            )
        if terms and covariates is None:
            raise ValueError(
                f"smooth_terms names {terms!r}, which are not among the covariates: there are "
                "none. Name these columns in covariates as well, or pass covariates=."
            )
        self._smooth_terms = SmoothTerms(terms, self.n_splines)
        self.splines_ = self._smooth_terms.fit(covariates).splines if terms else {}

    def _smooth(self, rows):
        """The same rows with the spline basis among their covariates."""
        if not self.splines_:
            return rows
        if rows.covariates is None:
            raise ValueError(
                f"{type(self).__name__} was fitted with the smooth terms {list(self.splines_)}; "
                "pass the covariates here too, as columns of X or as covariates=."
            )
        covariates = self._smooth_terms.transform(rows.covariates)
        return SampleRows(rows.X, {**rows.labels, "covariates": covariates})

    def _transform(self, rows):
        return super()._transform(self._smooth(rows))
