"""LongitudinalComBat: ComBat for repeated measurements of subjects."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from synth_estimators._compat import fit_context
from synth_estimators._distances import row_blocks
from synth_estimators.batch_effects._base import SampleRows
from synth_estimators.batch_effects._combat import ComBat
from synth_estimators.batch_effects._combat_model import CombatModel, estimate_effects
from synth_estimators.batch_effects._design import BatchLevels, match_batches
from synth_estimators.batch_effects._mixed_model import fit_random_intercept

__all__ = ["LongitudinalComBat"]

# A table without a column of this name has no subjects; any other name has to be there.
_DEFAULT_SUBJECT = "subject"

# Residuals this small beside the values of a feature are rounding errors.
_EXACT_FIT = 1e-11


class LongitudinalComBat(ComBat):
    r"""ComBat with a random intercept for every subject (Beer and others).

    For a row of batch i, subject s and covariates c,

    .. math::
        x_g = \alpha_g + c^\top \beta_g + u_{sg} + \gamma_{ig} + \delta_{ig}\,\varepsilon_g,
        \qquad u_{sg} \sim N(0, \rho_g^2),

    so that what a subject carries from batch to batch is not taken for an effect of the batches.
    Variances are estimated by restricted maximum likelihood, intercepts by their best linear
    unbiased prediction; shifts and scales of the batches are shrunk as in ``ComBat``.

    It is a method for whole cohorts: adjust all visits in one call of ``fit_transform``.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of ``X`` that holds the batch labels, by name or position. A keyword ``batch=`` of
        the methods comes first.

    subject : str, int or None, default="subject"
        Column of ``X`` that names the subject of every row. A keyword ``subject=`` of the methods
        comes first.

    covariates : list of str or int, or None, default=None
        Columns of ``X`` whose effects are kept, such as age or time since the first visit.

    categorical : list or None, default=None
        Covariates to take as categories although they hold numbers.

    parametric : bool, default=True
        Prior of the effects of batches, as in ``ComBat``.

    mean_only : bool, default=False
        Adjust the location only.

    reference_batch : label or None, default=None
        Batch that stays as it is and to which the others are adjusted.

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

    keep_metadata : bool, default=False
        Append the columns of labels to the output.

    Attributes
    ----------
    subjects_ : ndarray of shape (n_subjects,)
        Labels of the subjects, sorted.

    subject_effects_ : ndarray of shape (n_subjects, n_kept)
        Predicted intercepts.

    subject_var_, residual_var_ : ndarray of shape (n_kept,)
        Variance between subjects, and within them.

    grand_mean_ : ndarray of shape (n_kept,)
        Mean over batches, weighted by their rows.

    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted. This and ``n_per_batch_``, ``kept_features_``, ``coef_``,
        ``gamma_hat_``, ``delta_hat_``, ``gamma_star_``, ``delta_star_``, ``prior_``, ``n_iter_``,
        ``mean_only_`` and ``identity_`` are those of ``ComBat``; ``pooled_var_`` is
        ``residual_var_``.

    n_features_in_ : int
        Number of columns seen during ``fit``, columns of labels included.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : For rows of different subjects.

    Notes
    -----
    ``transform`` adjusts rows of known subjects with their intercepts; the intercept of a subject
    that ``fit`` has not seen counts as 0, with a warning, since it cannot be told from noise or
    from the batch. Inside a cross-validation with subjects held out, ``ComBat`` is the method.

    Features without variation inside some batch, or without any inside the subjects, are returned
    as they come. Missing values are not allowed.

    The restricted likelihood is evaluated for all features at once on the eigenvalues of the
    subjects' part of the design: the time is that of a few products of the table with a matrix of
    ``n_subjects`` columns.

    References
    ----------
    .. [1] :doi:`Beer et al. (2020). "Longitudinal ComBat: a method for harmonizing longitudinal
       multi-scanner imaging data". <10.1016/j.neuroimage.2020.117129>`

    Examples
    --------
    Twenty subjects, each seen three times, mostly by one scanner:

    >>> import numpy as np
    >>> from synth_estimators.batch_effects import LongitudinalComBat
    >>> rng = np.random.default_rng(0)
    >>> subject = np.repeat(np.arange(20), 3)
    >>> scanner = np.where(np.tile([True, True, False], 20), subject % 2, 1 - subject % 2)
    >>> truth = 2 * rng.normal(size=(20, 6))[subject] + 0.3 * rng.normal(size=(60, 6))
    >>> X = truth + 1.5 * scanner[:, None]
    >>> adjusted = LongitudinalComBat().fit_transform(X, batch=scanner, subject=subject)
    >>> gap = (adjusted - truth)[scanner == 1].mean() - (adjusted - truth)[scanner == 0].mean()
    >>> bool(abs(gap) < 0.15)
    True
    """

    __metadata_request__fit = {"subject": True}
    __metadata_request__transform = {"subject": True}

    _parameter_constraints: ClassVar[dict] = {
        **{
            key: rule
            for key, rule in ComBat._parameter_constraints.items()
            if key not in ("missing", "preserve_y")
        },
        "subject": [str, Integral, None],
    }
    _roles = (*ComBat._roles, "subject")
    _allow_nan = False
    # Effects of a target would have to be told from those of the subjects.
    preserve_y = None

    def __init__(
        self,
        batch="batch",
        *,
        subject="subject",
        covariates=None,
        categorical=None,
        parametric=True,
        mean_only=False,
        reference_batch=None,
        shrink=True,
        convergence="sva",
        tol=1e-4,
        max_iter=10000,
        unseen="error",
        singleton="mean_only",
        keep_metadata=False,
    ):
        self.batch = batch
        self.subject = subject
        self.covariates = covariates
        self.categorical = categorical
        self.parametric = parametric
        self.mean_only = mean_only
        self.reference_batch = reference_batch
        self.shrink = shrink
        self.convergence = convergence
        self.tol = tol
        self.max_iter = max_iter
        self.unseen = unseen
        self.singleton = singleton
        self.keep_metadata = keep_metadata

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        batch: Any = None,
        covariates: Any = None,
        subject: Any = None,
    ) -> LongitudinalComBat:
        """Learn the effects of batches, and the intercepts of the subjects.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            One row a visit. Columns named in the constructor hold labels, all others are features.

        y : array-like of shape (n_samples,) or None, default=None
            Not used, present for API consistency.

        batch : array-like of shape (n_samples,) or None, default=None
            Batch of every row, instead of a column of ``X``.

        covariates : pandas DataFrame, mapping or array-like with n_samples rows, default=None
            Covariates of every row, instead of columns of ``X``.

        subject : array-like of shape (n_samples,) or None, default=None
            Subject of every row, instead of a column of ``X``.

        Returns
        -------
        self : LongitudinalComBat
            The fitted corrector.

        Raises
        ------
        ValueError
            For missing labels, for covariates that are confounded with batch, and if subjects
            have one row each.
        """
        self._fit_rows(X, y, batch=batch, covariates=covariates, subject=subject)
        return self

    def transform(
        self, X: Any, *, batch: Any = None, covariates: Any = None, subject: Any = None
    ) -> Any:
        """Remove the learned effects from rows of the fitted cohort.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            Rows with the columns seen during ``fit``.

        batch, covariates, subject
            As in ``fit``.

        Returns
        -------
        X_adjusted : ndarray, pandas DataFrame, polars DataFrame or AnnData
            Features in the container of ``X``.

        Warns
        -----
        UserWarning
            For subjects that ``fit`` has not seen: their intercepts count as 0.
        """
        return self._transform_rows(X, batch=batch, covariates=covariates, subject=subject)

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        batch: Any = None,
        covariates: Any = None,
        subject: Any = None,
    ) -> Any:
        """Learn the effects of the batches and remove them from the same rows.

        Parameters
        ----------
        X, y, batch, covariates, subject
            As in ``fit``.

        Returns
        -------
        X_adjusted : ndarray, pandas DataFrame, polars DataFrame or AnnData
            As in ``transform``.
        """
        labels = {"batch": batch, "covariates": covariates, "subject": subject}
        return self.fit(X, y, **labels)._transform_rows(X, **labels)

    def _find_columns(self, source, given, roles, fitted_names=None):
        if self.subject == _DEFAULT_SUBJECT:
            given = {**given, "subject": "may be absent"}
        return super()._find_columns(source, given, roles, fitted_names)

    def _subject_labels(self, rows):
        subject = rows.labels.get("subject")
        if subject is None:
            raise ValueError(
                f"{type(self).__name__} needs the subject of every row: pass subject=, or a table "
                f"with the column {self.subject!r}."
            )
        return subject

    def _fit_model(self, rows, batches, C):
        subjects = BatchLevels.from_labels(self._subject_labels(rows))
        self.subjects_ = subjects.levels
        X = np.asarray(rows.X, dtype=np.float64)
        n_batches, counts = len(batches.levels), batches.counts
        design = np.hstack([np.eye(n_batches)[batches.codes], C])
        fit = fit_random_intercept(X, design, subjects.codes, len(subjects.levels))
        spread = np.sqrt(fit.residual_var)
        kept = ~_constant_in_a_batch(X, batches)
        kept &= np.sqrt(fit.within / len(X)) > _EXACT_FIT * np.abs(X).max(axis=0)
        coef, spread, blup = fit.coef[:, kept], spread[kept], fit.blup[:, kept]
        effects = coef[:n_batches]
        reference = self._reference
        share = counts / len(X) if reference is None else np.eye(n_batches)[reference]
        grand_mean = share @ effects
        standard = X[:, kept]
        for part in row_blocks(*X.shape):
            expected = C[part] @ coef[n_batches:] + blup[subjects.codes[part]]
            standard[part] = (standard[part] - expected - grand_mean) / spread
        options = self._options()
        if n_batches == 1:
            options.reference = reference = 0
        gamma_hat, delta_hat, gamma_star, delta_star, prior, n_iter = estimate_effects(
            standard, batches.codes, n_batches, options
        )
        self.subject_effects_ = blup
        self.residual_var_ = fit.residual_var[kept]
        self.subject_var_ = fit.ratio[kept] * self.residual_var_
        return CombatModel(
            kept=kept,
            n_per_batch=counts,
            grand_mean=grand_mean,
            pooled_var=self.residual_var_,
            coef=coef[n_batches:],
            gamma_hat=gamma_hat,
            delta_hat=delta_hat,
            gamma_star=gamma_star,
            delta_star=delta_star,
            prior=prior,
            n_iter=n_iter,
            reference=reference,
        )

    def _transform(self, rows):
        subjects = self._known_subjects(self._subject_labels(rows))
        # The last row is the intercept of subjects that fit has not seen (code -1).
        intercepts = np.vstack([self.subject_effects_, np.zeros_like(self.grand_mean_)])
        kept = self.kept_features_
        X = np.array(rows.X, dtype=np.float64)
        for part in row_blocks(*X.shape):
            X[part, kept] -= intercepts[subjects[part]]
        adjusted = super()._transform(SampleRows(X, rows.labels))
        for part in row_blocks(*X.shape):
            adjusted[part, kept] += intercepts[subjects[part]]
        codes = match_batches(
            rows.batch, self.batches_, unseen="estimate", owner=type(self).__name__
        )
        reference = self._model.reference
        unchanged = np.zeros(len(codes), dtype=bool) if reference is None else codes == reference
        if self.unseen == "passthrough":
            unchanged |= codes < 0
        # Bit for bit: taking the intercepts away and adding them again rounds.
        adjusted[unchanged] = rows.X[unchanged]
        return adjusted

    def _known_subjects(self, subject):
        """Number of the subject of every row, -1 for those that fit has not seen."""
        codes = match_batches(subject, self.subjects_, unseen="estimate", owner=type(self).__name__)
        new = codes < 0
        if new.any():
            labels = list(dict.fromkeys(subject[new].tolist()))
            warnings.warn(
                f"{len(labels)} subjects were not there during fit, for example {labels[0]!r}; "
                "their intercepts count as 0. Fit LongitudinalComBat on the whole cohort, or use "
                "ComBat for rows of new subjects.",
                UserWarning,
                stacklevel=4,
            )
        return codes


def _constant_in_a_batch(X, batches):
    """Features without any variation inside some batch of more than one row."""
    constant = np.zeros(X.shape[1], dtype=bool)
    for code in np.flatnonzero(batches.counts > 1):
        rows = X[batches.codes == code]
        constant |= (rows == rows[0]).all(axis=0)
    return constant
