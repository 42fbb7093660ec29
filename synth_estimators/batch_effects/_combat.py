"""ComBat: location and scale of batches, adjusted by empirical Bayes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from synth_estimators._compat import Interval, StrOptions
from synth_estimators.batch_effects._base import BaseBatchCorrector
from synth_estimators.batch_effects._combat_model import (
    CombatOptions,
    apply_combat,
    constant_features,
    fit_combat,
)
from synth_estimators.batch_effects._design import (
    BatchLevels,
    CovariateCoder,
    check_confounding,
    match_batches,
)
from synth_estimators.batch_effects._new_batches import adjust_new_batches
from synth_estimators.batch_effects._target_effects import without_target

__all__ = ["ComBat"]

_STRICT_TOLERANCE = 1e-10
_UNEQUAL_SIZES = 20


class ComBat(BaseBatchCorrector):
    r"""Adjust location and scale of batches by empirical Bayes (Johnson, Li and Rabinovic).

    Feature g of a row of batch i with covariates c is modelled as

    .. math:: x_g = \alpha_g + c^\top \beta_g + \gamma_{ig} + \delta_{ig}\,\varepsilon_g,

    the shifts :math:`\gamma` and scales :math:`\delta` of a batch are shrunk towards what all
    features of the batch have in common, and removed. ``fit`` learns them from its own rows;
    ``transform`` applies them to any rows, one by one, so that nothing leaks from held-out rows.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of ``X`` that holds the batch labels, by name or position. A keyword ``batch=`` of
        the methods comes first. A table without the default column and without the keyword is
        left as it is, with a warning.

    covariates : list of str or int, or None, default=None
        Columns of ``X`` whose effects are kept. They are needed in ``transform`` too.

    categorical : list or None, default=None
        Covariates to take as categories although they hold numbers. Text, categories and booleans
        always are.

    parametric : bool, default=True
        Normal and inverse gamma priors; False takes the other features as the prior, which costs
        a time proportional to the square of the number of features.

    mean_only : bool, default=False
        Adjust the location only.

    reference_batch : label or None, default=None
        Batch that stays as it is and to which the others are adjusted.

    preserve_y : {"fit_only"} or None, default=None
        "fit_only" estimates the effects of the target ``y`` beside those of the batches and takes
        them out of the rows that ``fit`` sees, so that differences between classes are not taken
        for effects of batches. ``transform`` needs no target. The effects are shrunk over
        features, so that noise in them does not turn into a trace of the batches.

    shrink : bool, default=True
        False uses the estimates of every feature as they are.

    convergence : {"sva", "strict"}, default="sva"
        "sva" stops as the R package sva does, where features with a negative shift do not hold up
        the iteration; "strict" iterates all of them to 1e-10 (or ``tol``, if that is smaller).

    tol : float, default=1e-4
        Relative change at which the iteration stops.

    max_iter : int, default=10000
        Largest number of rounds.

    unseen : {"error", "passthrough", "estimate"}, default="error"
        What ``transform`` does with rows of batches that ``fit`` has not seen: raise, leave them
        as they are with a warning, or estimate the effects of each new batch from its own rows
        (two at least) beside the frozen rest of the model.

    singleton : {"mean_only", "error"}, default="mean_only"
        A batch of one row has no variance: adjust the location of all batches only, with a
        warning, or raise.

    missing : {"sva", "error"}, default="sva"
        "sva" takes NaN as missing values and leaves them so; "error" raises.

    keep_metadata : bool, default=False
        Append the columns of labels to the output.

    Attributes
    ----------
    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted.

    n_per_batch_ : ndarray of int of shape (n_batches,)
        Rows of every batch.

    kept_features_ : ndarray of bool of shape (n_features,)
        Features that are adjusted. Those without variation inside some batch are not.

    grand_mean_, pooled_var_ : ndarray of shape (n_kept,)
        Mean over batches and residual variance of the kept features.

    coef_ : ndarray of shape (n_columns, n_kept)
        Coefficients of the coded covariates; their names are in ``covariate_names_``.

    target_effects_ : ndarray of shape (n_columns, n_features)
        Shrunk effects of the coded target; only with ``preserve_y="fit_only"``.

    gamma_hat_, delta_hat_ : ndarray of shape (n_batches, n_kept)
        Estimated shifts and variances in standardised units.

    gamma_star_, delta_star_ : ndarray of shape (n_batches, n_kept)
        The same after shrinkage.

    prior_ : dict of ndarray of shape (n_batches,)
        ``gamma_bar`` and ``tau2`` of the normal prior, ``a`` and ``b`` of the inverse gamma prior.

    n_iter_ : ndarray of int of shape (n_batches,)
        Rounds of the iteration; closed forms count as one.

    mean_only_ : bool
        Whether only the location is adjusted.

    identity_ : bool
        Whether ``fit`` found no labels, so that every table is left as it is.

    n_features_in_ : int
        Number of columns seen during ``fit``, columns of labels included.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBatSeq : The same for counts.
    LimmaBatchRemover : Location only, without shrinkage.

    Notes
    -----
    Results equal those of the R package sva to rounding. If any value is missing, the variances of
    all features have the divisor n - 1 instead of n, as there.

    Batch means are shrunk, not made equal, and a second pass changes values again. If classes are
    spread unevenly over batches, an adjustment that does not know the classes removes part of
    their difference, and one that knows them on all rows, test rows included, invents one.

    Time and memory are linear in the table; beyond input and output it needs a few megabytes, and
    with ``preserve_y`` a copy of the fitted rows.

    References
    ----------
    .. [1] Johnson, W. E., Li, C. and Rabinovic, A. (2007). "Adjusting batch effects in microarray
       expression data using empirical Bayes methods". Biostatistics 8, 118-127.

    .. [2] Nygaard, V., Rødland, E. A. and Hovig, E. (2016). "Methods that remove batch effects
       while retaining group differences may lead to exaggerated confidence in downstream
       analyses". Biostatistics 17, 29-39.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import ComBat, attach_batch
    >>> rng = np.random.default_rng(0)
    >>> batch = np.repeat(["a", "b"], 50)
    >>> X = rng.normal(size=(100, 20)) + 3.0 * (batch == "b")[:, None]
    >>> table = attach_batch(X, batch)
    >>> means = ComBat().fit_transform(table).groupby(batch).mean()
    >>> gap = means.loc["b"].mean() - means.loc["a"].mean()
    >>> bool(abs(gap) < 0.01)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "batch": [str, Integral, None],
        "covariates": ["array-like", None],
        "categorical": ["array-like", None],
        "parametric": ["boolean"],
        "mean_only": ["boolean"],
        "reference_batch": "no_validation",
        "preserve_y": [StrOptions({"fit_only"}), None],
        "shrink": ["boolean"],
        "convergence": [StrOptions({"sva", "strict"})],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "unseen": [StrOptions({"error", "passthrough", "estimate"})],
        "singleton": [StrOptions({"mean_only", "error"})],
        "missing": [StrOptions({"sva", "error"})],
        "keep_metadata": ["boolean"],
    }

    def __init__(
        self,
        batch="batch",
        *,
        covariates=None,
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

    @property
    def _allow_nan(self):
        return self.missing == "sva"

    def _fit_identity(self):
        self.n_iter_ = np.ones(1, dtype=np.intp)

    def _fit(self, rows, y):
        batches = BatchLevels.from_labels(rows.batch)
        self._check_batches(batches)
        C = self._fit_covariates(rows, batches, y)
        if self._target_coder is not None:
            rows = self._without_target(rows, batches, C, y)
        self._store(self._fit_model(rows, batches, C))
        if len(self.batches_) > 1 and not self.kept_features_.any():
            where = "some batch" if self._reference is None else "the reference or another batch"
            warnings.warn(
                f"No feature can be adjusted: each is constant in {where}, has too few observed "
                "values there, or is explained by the covariates. Every table is left as it is.",
                UserWarning,
                stacklevel=2,
            )

    def _check_batches(self, batches):
        """Look at the sizes of the batches; set ``batches_`` and ``mean_only_``."""
        self.batches_, self.n_per_batch_ = batches.levels, batches.counts
        self._reference = reference_code(self.reference_batch, self.batches_)
        warn_about_sizes(self.batches_, self.n_per_batch_, owner=type(self).__name__)
        single = self.batches_[self.n_per_batch_ == 1].tolist()
        self.mean_only_ = bool(self.mean_only)
        if single and not self.mean_only_ and len(self.batches_) > 1:
            if self.singleton == "error":
                raise ValueError(
                    f"batch {single[0]!r} has one row only, so its variance is not known; drop "
                    "it, merge it with another batch, or set mean_only=True."
                )
            warnings.warn(
                f"batch {single[0]!r} has one row only, so its variance is not known: only the "
                "location of all batches is adjusted (mean_only=True).",
                UserWarning,
                stacklevel=2,
            )
            self.mean_only_ = True

    def _fit_covariates(self, rows, batches, y):
        """Return the coded covariates; the target gets a coder of its own."""
        covariates = rows.covariates
        self._coder = CovariateCoder(self.categorical).fit(
            pd.DataFrame(index=range(len(rows.X))) if covariates is None else covariates
        )
        self._target_coder = None
        C, coder = self._coded(rows), self._coder
        self.covariate_names_ = list(coder.names)
        with_target = C
        if self.preserve_y is not None:
            if y is None:
                raise ValueError(
                    f"{type(self).__name__}(preserve_y='fit_only') needs the target: call "
                    "fit(X, y)."
                )
            frame, categorical = target_frame(y)
            self._target_coder = CovariateCoder(categorical).fit(frame)
            with_target = np.hstack([C, self._target_coder.transform(frame)])
            coder = joined_coder(coder, self._target_coder)
        check_confounding(batches.codes, len(batches.levels), with_target, coder)
        return C

    def _without_target(self, rows, batches, C, y):
        """Rows without the effects of the target, which would be taken for effects of batches."""
        target = self._target_coder.transform(target_frame(y)[0])
        n_batches = len(batches.levels)
        others = np.hstack([np.eye(n_batches)[batches.codes], C])
        constant = constant_features(rows.X, batches.codes, n_batches)
        X, self.target_effects_ = without_target(rows.X, others, target, constant)
        return replace(rows, X=X)

    def _coded(self, rows):
        """Coded covariates of rows."""
        if not self._coder.columns:
            return np.empty((len(rows.X), 0))
        if rows.covariates is None:
            raise ValueError(
                f"{type(self).__name__} was fitted with the covariates {self._coder.columns}; "
                "pass them here too, as columns of X or as covariates=."
            )
        return self._coder.transform(rows.covariates)

    def _fit_model(self, rows, batches, C):
        """Estimate the model; ``C`` holds the coded covariates."""
        return fit_combat(rows.X, batches.codes, len(batches.levels), C, self._options())

    def _options(self):
        strict = self.convergence == "strict"
        return CombatOptions(
            parametric=self.parametric,
            mean_only=self.mean_only_,
            reference=self._reference,
            shrink=self.shrink,
            convergence=self.convergence,
            tol=min(self.tol, _STRICT_TOLERANCE) if strict else self.tol,
            max_iter=self.max_iter,
        )

    def _store(self, model):
        self._model = model
        self.kept_features_ = model.kept
        self.grand_mean_, self.pooled_var_ = model.grand_mean, model.pooled_var
        self.coef_ = model.coef
        self.gamma_hat_, self.delta_hat_ = model.gamma_hat, model.delta_hat
        self.gamma_star_, self.delta_star_ = model.gamma_star, model.delta_star
        self.prior_, self.n_iter_ = model.prior, model.n_iter

    def _transform(self, rows):
        codes = match_batches(
            rows.batch, self.batches_, unseen=self.unseen, owner=type(self).__name__
        )
        C = self._coded(rows)
        adjusted = apply_combat(self._model, rows.X, codes, C)
        if self.unseen == "estimate" and (codes < 0).any():
            new = np.flatnonzero(codes < 0)
            adjusted[new] = self._adjust_new(rows.X[new], rows.batch[new], C[new])
        return adjusted

    def _adjust_new(self, X, labels, C):
        """Adjust rows of unseen batches with effects estimated from these rows alone."""
        batches = BatchLevels.from_labels(labels)
        single = batches.levels[batches.counts < 2].tolist()
        if single:
            raise ValueError(
                f"The unseen batch {single[0]!r} has one row only; unseen='estimate' needs at "
                "least two rows of a new batch."
            )
        return adjust_new_batches(self._model, X, batches.codes, C, self._options())


def reference_code(reference: Any, levels: np.ndarray) -> int | None:
    """Index of the reference batch, or None; an unknown label is an error."""
    if reference is None:
        return None
    known = levels.tolist()
    if reference not in known:
        raise ValueError(
            f"reference_batch={reference!r} is not a batch of the fitted rows; choose one of "
            f"{known}."
        )
    return known.index(reference)


def warn_about_sizes(levels: np.ndarray, counts: np.ndarray, *, owner: str) -> None:
    """Warn of a single batch, and of batches too many or too unequal to be estimated well."""
    if len(levels) == 1:
        warnings.warn(
            f"All rows are of batch {levels[0]!r}; {owner} has nothing to adjust and leaves rows "
            "of this batch as they are.",
            UserWarning,
            stacklevel=2,
        )
        return
    if len(levels) > counts.sum() / 2:
        warnings.warn(
            f"There are {len(levels)} batches for {counts.sum()} rows, more than half as many; "
            f"{owner} can hardly tell their effects from noise.",
            UserWarning,
            stacklevel=2,
        )
    if counts.max() > _UNEQUAL_SIZES * counts.min():
        small, large = levels[counts.argmin()], levels[counts.argmax()]
        warnings.warn(
            f"Batch {large!r} has {counts.max()} rows but batch {small!r} has {counts.min()}; the "
            f"estimates of {owner} for the small one are uncertain.",
            UserWarning,
            stacklevel=2,
        )


def target_frame(y: Any) -> tuple[pd.DataFrame, list | None]:
    """The target as a covariate: classes as categories, other numbers as they are."""
    values = np.asarray(y)
    if values.size != len(values):
        raise ValueError(
            f"y has shape {values.shape}, but preserve_y='fit_only' takes one target a row; pass "
            "one column of it."
        )
    target = pd.Series(values.reshape(-1))
    whole = pd.api.types.is_numeric_dtype(target.dtype) and bool((target % 1 == 0).all())
    classes = whole and target.nunique() <= max(2, len(target) // 5)
    return pd.DataFrame({"y": target}), ["y"] if classes else None


def joined_coder(first: CovariateCoder, second: CovariateCoder) -> CovariateCoder:
    """Names and sources of two coders one after the other, for messages."""
    joined = CovariateCoder()
    joined.columns = [*first.columns, *second.columns]
    joined.names = [*first.names, *second.names]
    joined.sources = [*first.sources, *second.sources]
    return joined
