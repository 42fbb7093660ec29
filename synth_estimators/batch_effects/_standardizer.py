"""Batch means and spreads brought to common ones."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.metadata_routing import UNUSED

from synth_estimators._compat import StrOptions, fit_context
from synth_estimators.batch_effects._base import BaseBatchCorrector
from synth_estimators.batch_effects._combat import reference_code, warn_about_sizes
from synth_estimators.batch_effects._design import BatchLevels, match_batches
from synth_estimators.batch_effects._new_batches import new_batch_rows

__all__ = ["BatchStandardizer"]


def _moments(X):
    """Observed cells, mean and sum of squared deviations of each column; NaN is skipped.

    The mean of a column without observed cells is NaN. A sum of squares that rounding explains
    counts as 0.
    """
    missing = np.isnan(X)
    gaps = missing.any()
    count = (len(X) - missing.sum(axis=0)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = (np.nansum(X, axis=0) if gaps else X.sum(axis=0)) / count
    deviations = X - mean
    deviations[missing] = 0.0
    squares = np.square(deviations, out=deviations).sum(axis=0)
    rounding = np.nan_to_num(mean) * (8 * np.finfo(np.float64).eps)
    return count, mean, np.where(squares <= count * rounding**2, 0.0, squares)


def _spread(squares, degrees):
    """Standard deviation; 0 where there are no degrees of freedom."""
    return np.sqrt(squares / np.maximum(degrees, 1)) * (degrees > 0)


class BatchStandardizer(BaseBatchCorrector):
    r"""Batches centred, and on request scaled, to a common mean and spread.

    For a row of batch :math:`i` and feature :math:`g`, with the mean :math:`m_{ig}` and the
    standard deviation :math:`s_{ig}` of the batch and the targets :math:`m_g` and :math:`s_g`,

    .. math:: \tilde x = (x - m_{ig}) \frac{s_g}{s_{ig}} + m_g.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of X that holds the batch labels: its name, or its position. The keyword ``batch``
        of the methods comes first.

    center : bool, default=True
        Move the mean of each batch to the target. If False it stays where it is.

    scale : bool, default=False
        Bring the standard deviation of each batch to the target. If False,
        :math:`s_g / s_{ig}` counts as 1.

    target : {"grand", "reference"}, default="grand"
        "grand": the mean of the batch means weighted by the size of the batches, and the pooled
        standard deviation within batches. "reference": mean and standard deviation of
        ``reference_batch``, whose rows are returned unchanged.

    reference_batch : label or None, default=None
        The batch to which the others are brought, for ``target="reference"``.

    unseen : {"error", "passthrough", "estimate"}, default="error"
        What ``transform`` does with rows of a batch that ``fit`` has not seen: refuse them, return
        them as they are with a warning, or take mean and standard deviation from the rows of the
        new batch, of which there must be at least two.

    keep_metadata : bool, default=False
        Append the column of labels, unchanged, to the result.

    Attributes
    ----------
    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted.

    n_per_batch_ : ndarray of shape (n_batches,)
        Rows of each batch in ``fit``.

    mean_ : ndarray of shape (n_batches, n_features)
        Batch means; NaN where a batch has no observed cell.

    sd_ : ndarray of shape (n_batches, n_features)
        Batch standard deviations (divisor: observed cells - 1); 0 below two observed cells.

    target_mean_ : ndarray of shape (n_features,)
        Mean to which batches are moved.

    target_sd_ : ndarray of shape (n_features,)
        Standard deviation to which batches are brought.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : The same idea with estimates shrunk over features, for small batches.
    LimmaBatchRemover : Batch means beside a design whose effect is kept.

    Notes
    -----
    What differs between batches for biological reasons is removed with them: when the classes are
    unequally spread over the batches use ComBat with covariates or LimmaBatchRemover with a
    design. A feature that is constant within a batch, or in the target, is moved but not scaled.
    Missing cells are skipped and stay missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.batch_effects import BatchStandardizer
    >>> X = pd.DataFrame({"gene": [1.0, 3.0, 7.0, 9.0], "batch": ["a", "a", "b", "b"]})
    >>> BatchStandardizer().fit_transform(X)
       gene
    0   4.0
    1   6.0
    2   4.0
    3   6.0
    """

    __metadata_request__fit: ClassVar[dict] = {"covariates": UNUSED}
    __metadata_request__transform: ClassVar[dict] = {"covariates": UNUSED}

    _parameter_constraints: ClassVar[dict] = {
        "batch": [str, Integral, None],
        "center": ["boolean"],
        "scale": ["boolean"],
        "target": [StrOptions({"grand", "reference"})],
        "reference_batch": "no_validation",
        "unseen": [StrOptions({"error", "passthrough", "estimate"})],
        "keep_metadata": ["boolean"],
    }
    _roles = ("batch",)
    _allow_nan = True

    def __init__(
        self,
        batch="batch",
        *,
        center=True,
        scale=False,
        target="grand",
        reference_batch=None,
        unseen="error",
        keep_metadata=False,
    ):
        self.batch = batch
        self.center = center
        self.scale = scale
        self.target = target
        self.reference_batch = reference_batch
        self.unseen = unseen
        self.keep_metadata = keep_metadata

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, batch: Any = None) -> BatchStandardizer:
        """Learn mean and standard deviation of each batch, and the targets.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            The table, with or without the column of labels. NaN marks missing cells.

        y : None
            Ignored, present for API consistency.

        batch : array-like of shape (n_samples,), default=None
            Batch labels, instead of the column ``batch``.

        Returns
        -------
        self : BatchStandardizer
            The fitted transformer.

        Raises
        ------
        ValueError
            For missing labels, infinite values, and a reference batch that has no rows.
        """
        return self._fit_rows(X, y, batch=batch)

    def transform(self, X: Any, *, batch: Any = None) -> Any:
        """Bring rows to the targets with the mean and standard deviation of their batch.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows with the columns seen during ``fit``.

        batch : array-like of shape (n_samples,), default=None
            Batch labels, instead of the column ``batch``.

        Returns
        -------
        X_corrected : ndarray or data frame of shape (n_samples, n_features)
            The rows on the common scale.

        Raises
        ------
        ValueError
            For missing labels, and for unseen batches as ``unseen`` says.
        """
        return self._transform_rows(X, batch=batch)

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any = None) -> Any:
        """Fit, and return the rows on the common scale.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            The table.

        y, batch
            As in ``fit``.

        Returns
        -------
        X_corrected : ndarray or data frame of shape (n_samples, n_features)
            The rows on the common scale.
        """
        return self.fit(X, y, batch=batch)._transform_rows(X, batch=batch)

    def _fit(self, rows, y):
        X = np.asarray(rows.X, dtype=np.float64)
        batches = BatchLevels.from_labels(rows.batch)
        reference = self._reference_code(batches.levels)
        moments = [_moments(X[batches.codes == code]) for code in range(len(batches.levels))]
        count, mean, squares = (np.array(part) for part in zip(*moments, strict=True))

        self.batches_ = batches.levels
        self.n_per_batch_ = batches.counts
        warn_about_sizes(self.batches_, self.n_per_batch_, owner=type(self).__name__)
        self.mean_ = mean
        self.sd_ = _spread(squares, count - 1)
        if reference is not None:
            self.target_mean_, self.target_sd_ = mean[reference], self.sd_[reference]
            return
        total = count.sum(axis=0)
        with np.errstate(invalid="ignore"):
            self.target_mean_ = (count * np.nan_to_num(mean)).sum(axis=0) / total
        self.target_sd_ = _spread(squares.sum(axis=0), total - (count > 0).sum(axis=0))

    def _reference_code(self, levels):
        """Index of the reference batch, or None for the grand target."""
        if self.target == "grand":
            if self.reference_batch is not None:
                raise ValueError(
                    f"reference_batch={self.reference_batch!r} was given with target='grand'; set "
                    "target='reference' to bring the batches to it."
                )
            return None
        if self.reference_batch is None:
            raise ValueError(
                "target='reference' needs reference_batch; name the batch to which the others are "
                "brought, or set target='grand'."
            )
        return reference_code(self.reference_batch, levels)

    def _transform(self, rows):
        corrected = np.array(rows.X, dtype=np.float64)
        owner = type(self).__name__
        codes = match_batches(rows.batch, self.batches_, unseen=self.unseen, owner=owner)
        reference = self._reference_code(self.batches_)
        for code in np.unique(codes[codes >= 0]):
            if code != reference:
                members = codes == code
                corrected[members] = self._adjusted(
                    corrected[members], self.mean_[code], self.sd_[code]
                )
        if self.unseen == "estimate":
            for members in new_batch_rows(rows.batch, codes, owner=owner):
                count, mean, squares = _moments(corrected[members])
                sd = _spread(squares, count - 1)
                corrected[members] = self._adjusted(corrected[members], mean, sd)
        return corrected

    def _adjusted(self, X, mean, sd):
        """Rows of one batch on the scale of the targets; features without a mean unchanged."""
        known = ~np.isnan(mean) & ~np.isnan(self.target_mean_)
        centre = np.where(known, mean, 0.0)
        goal = np.where(known, self.target_mean_, 0.0) if self.center else centre
        if not self.scale:
            return X + (goal - centre)
        scaled = known & (sd > 0) & (self.target_sd_ > 0)
        factor = np.divide(self.target_sd_, sd, out=np.ones_like(sd), where=scaled)
        return (X - centre) * factor + goal
