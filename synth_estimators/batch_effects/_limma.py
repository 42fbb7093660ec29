"""Batch effects removed by least squares, as limma's removeBatchEffect does."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from synth_estimators._compat import StrOptions, fit_context
from synth_estimators._validation import is_polars
from synth_estimators.batch_effects._base import BaseBatchCorrector, BatchLabelWarning
from synth_estimators.batch_effects._combat import target_frame, warn_about_sizes
from synth_estimators.batch_effects._design import BatchLevels, CovariateCoder, match_batches
from synth_estimators.batch_effects._least_squares import least_squares_observed
from synth_estimators.batch_effects._target_effects import without_target

__all__ = ["LimmaBatchRemover"]


def _sum_to_zero(n_levels):
    """Rows of the sum-to-zero coding: one column a level but the last, which is -1 throughout."""
    return np.vstack([np.eye(n_levels - 1), np.full((1, n_levels - 1), -1.0)])


class LimmaBatchRemover(BaseBatchCorrector):
    r"""Removal of batch effects by one least-squares fit a feature, as limma does.

    With :math:`Q` the design to keep (an intercept and the columns named in ``design``) and
    :math:`S` the batches in sum-to-zero coding, a second factor in the same coding and numeric
    covariates,

    .. math:: x = Q\beta + S\gamma + \varepsilon, \qquad \tilde x = x - S\hat\gamma.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of X that holds the batch labels: its name, or its position. The keyword ``batch``
        of the methods comes first. With None, and no keyword, only ``batch2`` and the covariates
        are removed.

    batch2 : str, int or None, default=None
        Column with a second factor to remove, such as the technician.

    covariates : list of str or int, or None, default=None
        Numeric columns whose effect is **removed** as well, such as a quality score. Unlike in
        ComBat they are not protected: what should stay belongs into ``design``.

    design : list of str or int, or None, default=None
        Columns whose effect is kept. They are read by ``fit`` alone, so the target may be one of
        them.

    categorical : list of str or int, or None, default=None
        Columns of ``design`` that are categories although they hold numbers. Text and categories
        are recognised.

    preserve_y : {"fit_only"} or None, default=None
        "fit_only" keeps differences that the target of ``fit`` explains (whole numbers of few
        values and text count as classes, other numbers as they are). Unlike those of ``design``,
        its effects are shrunk over features, so that noise in them does not turn into a trace of
        the batches in new rows. ``transform`` needs no target.

    unseen : {"error", "passthrough"}, default="error"
        What ``transform`` does with rows of a batch, or a level of ``batch2``, that ``fit`` has
        not seen: refuse them, or return them as they are with a warning.

    keep_metadata : bool, default=False
        Append the columns read as labels and covariates, unchanged, to the result.

    Attributes
    ----------
    batches_ : ndarray of shape (n_batches,) or None
        Batch labels, sorted.

    n_per_batch_ : ndarray of shape (n_batches,) or None
        Rows of each batch in ``fit``.

    batch_effects_ : ndarray of shape (n_batches, n_features) or None
        What is subtracted from the rows of each batch; the effects of the batches add up to 0.

    batches2_ : ndarray of shape (n_levels,) or None
        Levels of the second factor.

    batch2_effects_ : ndarray of shape (n_levels, n_features) or None
        What is subtracted for each level of the second factor.

    coef_ : ndarray of shape (n_covariates, n_features)
        Slopes of the covariates.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : Location and scale of batches, shrunk towards what features have in common.
    BatchStandardizer : Batch means and spreads without a design.

    Notes
    -----
    A column that is a combination of the columns before it has no estimable effect: its
    coefficient is 0, as in limma, and a warning names it. A batch that coincides with a column of
    ``design`` is therefore left in the data.

    Missing cells are skipped, feature by feature, and stay missing. The result is meant for
    plots, clustering and prediction; for a test of differential expression put the batch into the
    design of the test.

    References
    ----------
    .. [1] :doi:`Ritchie et al. (2015). "limma powers differential expression analyses for
       RNA-sequencing and microarray studies". <10.1093/nar/gkv007>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.batch_effects import LimmaBatchRemover
    >>> X = pd.DataFrame({"gene": [1.0, 2.0, 5.0, 6.0], "batch": ["a", "a", "b", "b"]})
    >>> LimmaBatchRemover().fit_transform(X)
       gene
    0   3.0
    1   4.0
    2   3.0
    3   4.0
    """

    __metadata_request__fit: ClassVar[dict] = {"batch2": True, "design": True}
    __metadata_request__transform: ClassVar[dict] = {"batch2": True}

    _parameter_constraints: ClassVar[dict] = {
        "batch": [str, Integral, None],
        "batch2": [str, Integral, None],
        "covariates": ["array-like", None],
        "design": ["array-like", None],
        "categorical": ["array-like", None],
        "preserve_y": [StrOptions({"fit_only"}), None],
        "unseen": [StrOptions({"error", "passthrough"})],
        "keep_metadata": ["boolean"],
    }
    _roles = (*BaseBatchCorrector._roles, "batch2", "design")
    _fit_only_roles = ("design",)
    _table_roles = (*BaseBatchCorrector._table_roles, "design")
    _allow_nan = True
    _needs_batch = False

    def __init__(
        self,
        batch="batch",
        *,
        batch2=None,
        covariates=None,
        design=None,
        categorical=None,
        preserve_y=None,
        unseen="error",
        keep_metadata=False,
    ):
        self.batch = batch
        self.batch2 = batch2
        self.covariates = covariates
        self.design = design
        self.categorical = categorical
        self.preserve_y = preserve_y
        self.unseen = unseen
        self.keep_metadata = keep_metadata

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        batch: Any = None,
        covariates: Any = None,
        batch2: Any = None,
        design: Any = None,
    ) -> LimmaBatchRemover:
        """Learn the effects of batches and covariates beside the design to keep.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            The table, with or without the columns of labels. NaN marks missing cells.

        y : array-like of shape (n_samples,) or None, default=None
            Target, read with ``preserve_y="fit_only"``.

        batch : array-like of shape (n_samples,), default=None
            Batch labels, instead of the column ``batch``.

        covariates : array-like or pandas DataFrame of shape (n_samples, n_covariates), default=None
            Numeric covariates to remove, instead of the columns ``covariates``.

        batch2 : array-like of shape (n_samples,), default=None
            Second factor to remove, instead of the column ``batch2``.

        design : array-like or pandas DataFrame of shape (n_samples, n_columns), default=None
            Columns to keep, instead of the columns ``design``. Class labels may be passed.

        Returns
        -------
        self : LimmaBatchRemover
            The fitted remover.

        Raises
        ------
        ValueError
            For missing labels, infinite values, and covariates that are not numbers.
        """
        return self._fit_rows(
            X, y, batch=batch, covariates=covariates, batch2=batch2, design=design
        )

    def transform(
        self, X: Any, *, batch: Any = None, covariates: Any = None, batch2: Any = None
    ) -> Any:
        """Subtract the fitted effects; ``design`` is not needed.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows with the columns seen during ``fit``; those of ``design`` may be left out.

        batch, covariates, batch2
            As in ``fit``.

        Returns
        -------
        X_corrected : ndarray or data frame of shape (n_samples, n_features)
            The rows without the effects.

        Raises
        ------
        ValueError
            For missing labels, and for levels that ``fit`` has not seen unless
            ``unseen="passthrough"``.
        """
        X = self._with_design_columns(X)
        return self._transform_rows(X, batch=batch, covariates=covariates, batch2=batch2)

    def _with_design_columns(self, X):
        """A frame that lacks columns of the design gets empty ones, which nobody reads."""
        names = list(getattr(self, "feature_names_in_", ()))
        if not names or not (isinstance(X, pd.DataFrame) or is_polars(X)):
            return X
        design = {names[position] for position in self._positions.get("design", ())}
        absent = [name for name in names if name not in set(X.columns)]
        if not absent or not set(absent) <= design:
            return X
        if list(X.columns) != [name for name in names if name not in absent]:
            return X
        if is_polars(X):
            import polars

            return X.with_columns(polars.lit(None).alias(name) for name in absent).select(names)
        return X.reindex(columns=names)

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        batch: Any = None,
        covariates: Any = None,
        batch2: Any = None,
        design: Any = None,
    ) -> Any:
        """Fit, and return the rows without the effects.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            The table.

        y, batch, covariates, batch2, design
            As in ``fit``.

        Returns
        -------
        X_corrected : ndarray or data frame of shape (n_samples, n_features)
            The rows without the effects.
        """
        labels = {"batch": batch, "covariates": covariates, "batch2": batch2}
        return self.fit(X, y, **labels, design=design)._transform_rows(X, **labels)

    def _fit(self, rows, y):
        n_samples = rows.X.shape[0]
        first = None if rows.batch is None else BatchLevels.from_labels(rows.batch)
        labels = rows.labels.get("batch2")
        second = None if labels is None else BatchLevels.from_labels(labels)
        blocks = {
            "batch": _coded(first, n_samples),
            "batch2": _coded(second, n_samples),
            "covariates": self._covariate_columns(rows.covariates, n_samples, reset=True),
        }
        kept = self._kept_design(rows.labels.get("design"), n_samples)
        self._warn_about_labels(rows, first)

        D = np.hstack([kept, *blocks.values()])
        X = np.asarray(rows.X, dtype=np.float64)
        if self.preserve_y is not None:
            X, self.target_effects_ = without_target(X, D, self._coded_target(y))
        coef, taken = least_squares_observed(D, X)
        start = kept.shape[1]
        parts, lost = {}, []
        for name, block in blocks.items():
            columns = range(start, start + block.shape[1])
            parts[name] = coef[columns]
            lost += [] if set(columns) <= set(taken) else [name]
            start += block.shape[1]
        _warn_not_estimable(lost)

        self.batches_ = self.n_per_batch_ = self.batch_effects_ = None
        if first is not None:
            self.batches_, self.n_per_batch_ = first.levels, first.counts
            self.batch_effects_ = _sum_to_zero(len(first.levels)) @ parts["batch"]
        self.batches2_ = self.batch2_effects_ = None
        if second is not None:
            self.batches2_ = second.levels
            self.batch2_effects_ = _sum_to_zero(len(second.levels)) @ parts["batch2"]
        self.coef_ = parts["covariates"]

    def _kept_design(self, design, n_samples):
        columns = [np.ones((n_samples, 1))]
        if design is not None:
            frame = design if isinstance(design, pd.DataFrame) else pd.DataFrame({"design": design})
            columns.append(CovariateCoder(self.categorical).fit(frame).transform(frame))
        return np.hstack(columns)

    @staticmethod
    def _coded_target(y):
        if y is None:
            raise ValueError(
                "LimmaBatchRemover(preserve_y='fit_only') needs the target: call fit(X, y)."
            )
        frame, categorical = target_frame(y)
        return CovariateCoder(categorical).fit(frame).transform(frame)

    def _warn_about_labels(self, rows, first):
        alone = rows.labels.get("batch2") is None and rows.covariates is None
        if first is not None and (alone or len(first.levels) > 1):
            warn_about_sizes(first.levels, first.counts, owner=type(self).__name__)
        elif first is None and alone:
            warnings.warn(
                "LimmaBatchRemover was fitted without batch labels and without covariates, so it "
                "leaves every table as it is.",
                BatchLabelWarning,
                stacklevel=2,
            )

    def _transform(self, rows):
        corrected = np.array(rows.X, dtype=np.float64)
        known = np.ones(len(corrected), dtype=bool)
        for role, levels, effects in (
            ("batch", self.batches_, self.batch_effects_),
            ("batch2", self.batches2_, self.batch2_effects_),
        ):
            labels = rows.labels.get(role)
            self._compare_roles(role, seen=effects is not None, given=labels is not None)
            if effects is not None:
                owner = type(self).__name__
                codes = match_batches(labels, levels, unseen=self.unseen, owner=owner, name=role)
                for code in np.unique(codes[codes >= 0]):
                    corrected[codes == code] -= effects[code]
                known &= codes >= 0
        values = self._covariate_columns(rows.covariates, len(corrected), reset=False)
        # One column at a time: the same sums whatever rows stand beside a row.
        for column, slopes in zip(values.T, self.coef_, strict=True):
            corrected -= column[:, None] * slopes
        if not known.all():
            corrected[~known] = rows.X[~known]
        return corrected

    @staticmethod
    def _compare_roles(role, *, seen, given):
        if seen and not given:
            raise ValueError(
                f"LimmaBatchRemover was fitted with labels for {role}, so it needs them here too: "
                f"pass {role}=, or a table with their column."
            )
        if given and not seen:
            raise ValueError(
                f"LimmaBatchRemover was fitted without labels for {role}, so it knows no effect "
                f"of them to remove; fit it with {role}, or leave {role} out here."
            )

    def _covariate_columns(self, frame, n_samples, *, reset):
        """Covariates as columns of numbers, those of ``fit`` in their order."""
        if reset:
            self._covariate_names = [] if frame is None else list(frame.columns)
        names = self._covariate_names
        given = [] if frame is None else list(frame.columns)
        if sorted(map(str, given)) != sorted(map(str, names)):
            raise ValueError(
                f"LimmaBatchRemover was fitted with the covariates {names}, but got {given}; pass "
                "the same ones here, as columns of X or as covariates=."
            )
        return np.column_stack([np.empty((n_samples, 0)), *(_numbers(frame[n], n) for n in names)])


def _coded(factor, n_samples):
    """Sum-to-zero columns of a factor; none without the factor."""
    if factor is None:
        return np.empty((n_samples, 0))
    return _sum_to_zero(len(factor.levels))[factor.codes]


def _numbers(column, name):
    """One covariate as finite numbers."""
    try:
        numbers = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise ValueError(
            f"Covariate {name!r} holds {column.iloc[0]!r}, but LimmaBatchRemover removes numeric "
            "covariates only. Pass a second factor to remove as batch2; name columns whose effect "
            "should stay in design."
        ) from exc
    if np.isinf(numbers).any():
        raise ValueError(
            f"Covariate {name!r} is infinite in row {int(np.flatnonzero(np.isinf(numbers))[0])}; "
            "replace these values or drop the rows."
        )
    return numbers


def _warn_not_estimable(lost):
    if lost:
        warnings.warn(
            f"Some effects of {' and '.join(lost)} are not estimable: they are combinations of the "
            "design, or of effects before them, and are left in the data. Drop columns of design "
            "or covariates that coincide with batches.",
            UserWarning,
            stacklevel=3,
        )
