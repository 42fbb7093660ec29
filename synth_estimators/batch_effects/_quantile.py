"""Values brought to common quantiles, over samples or over batches."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.metadata_routing import UNUSED

from synth_estimators._compat import StrOptions, fit_context
from synth_estimators._distances import row_blocks
from synth_estimators.batch_effects._base import BaseBatchCorrector
from synth_estimators.batch_effects._combat import reference_code, warn_about_sizes
from synth_estimators.batch_effects._design import BatchLevels, match_batches
from synth_estimators.batch_effects._new_batches import new_batch_rows

__all__ = ["QuantileAligner"]

# Arrays as large as a block of rows that aligning it takes.
_WORK_ARRAYS = 8

_FITTED = ("quantiles_", "batches_", "n_per_batch_", "_sources", "_target")


def _grid(n_points):
    """Shares of the order statistics, from 0 to 1; one half for a single one."""
    return np.linspace(0.0, 1.0, n_points) if n_points > 1 else np.array([0.5])


def _mean_sorted_row(X):
    """Mean over rows of the r-th smallest value; rows with gaps are stretched to full length."""
    n_features = X.shape[1]
    total, n_used = np.zeros(n_features), 0
    for part in row_blocks(*X.shape):
        ordered = np.sort(X[part], axis=1)  # NaN last
        observed = n_features - np.isnan(ordered).sum(axis=1)
        for row in np.flatnonzero((observed > 0) & (observed < n_features)):
            size = observed[row]
            ordered[row] = np.interp(_grid(n_features), _grid(size), ordered[row, :size])
        total += ordered[observed > 0].sum(axis=0)
        n_used += np.count_nonzero(observed)
    return total / n_used if n_used else np.full(n_features, np.nan)


def _mean_ranks(ordered):
    """Ranks, from 0, of the values of sorted rows; equal values have their mean rank."""
    size = ordered.shape[1]
    index = np.arange(size, dtype=np.float64)
    # NaN differs from everything, so that a run of equal values ends before the gaps.
    changes = ordered[:, 1:] != ordered[:, :-1]
    first = np.zeros(ordered.shape)
    np.copyto(first[:, 1:], index[1:], where=changes)
    np.maximum.accumulate(first, axis=1, out=first)
    last = np.full(ordered.shape, size - 1.0)
    np.copyto(last[:, :-1], index[:-1], where=changes)
    np.minimum.accumulate(last[:, ::-1], axis=1, out=last[:, ::-1])
    first += last
    first /= 2
    return first


def _align_rows(X, quantiles):
    """Replace each value by the quantile at its rank in its row; ties get that of the mean rank."""
    n_features = len(quantiles)
    aligned = np.empty(X.shape)
    for part in row_blocks(len(X), _WORK_ARRAYS * n_features):
        order = np.argsort(X[part], axis=1)  # NaN last
        ordered = np.take_along_axis(X[part], order, axis=1)
        missing = np.isnan(ordered)
        observed = n_features - missing.sum(axis=1, keepdims=True)
        ranks = _mean_ranks(ordered)
        # Rows with gaps are stretched to the full number of ranks, a lone value is the middle.
        ranks *= (n_features - 1) / np.maximum(observed - 1, 1)
        ranks[observed[:, 0] == 1] = (n_features - 1) / 2
        values = np.interp(ranks, np.arange(n_features), quantiles)
        values[missing] = np.nan
        np.put_along_axis(aligned[part], order, values, axis=1)
    return aligned


def _sorted_columns(X):
    """Columns in rising order with NaN last, and the observed cells of each."""
    ordered = np.sort(X, axis=0)
    return ordered, len(X) - np.isnan(ordered).sum(axis=0)


def _map_quantiles(X, source, target):
    """Map each column from the distribution of sorted values to that of others, within its ends.

    Columns with fewer than two observed cells on either side stay as they are.
    """
    (values, n_values), (goals, n_goals) = source, target
    # Shares of ranks, between 0 and 1.
    shares = _mean_ranks(values.T).T / np.maximum(n_values - 1, 1)
    mapped = X.copy()
    for feature in np.flatnonzero((n_values > 1) & (n_goals > 1)):
        size, n_goal = n_values[feature], n_goals[feature]
        share = np.interp(X[:, feature], values[:size, feature], shares[:size, feature])
        mapped[:, feature] = np.interp(share, _grid(n_goal), goals[:n_goal, feature])
    return mapped


class QuantileAligner(BaseBatchCorrector):
    r"""Quantile normalisation of samples, or of features from batch to batch.

    With ``scope="all"`` every row is given the same distribution of values, the mean of the
    sorted training rows: a value is replaced by the learned value at its rank in its row. With
    ``scope="per_batch"`` every feature is mapped from its distribution in the batch of the row,
    :math:`F_{ig}`, to a common one,

    .. math:: \tilde x = F_g^{-1}\bigl(F_{ig}(x)\bigr).

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of X that holds the batch labels: its name, or its position. The keyword ``batch``
        of the methods comes first. ``scope="all"`` needs no labels, and sets a column of that
        name aside.

    scope : {"all", "per_batch"}, default="all"
        Normalise the values of a row over its features, or those of a feature over batches.

    reference_batch : label or None, default=None
        For ``scope="per_batch"``: the batch whose distributions the others are given; its rows are
        returned unchanged. If None, the distributions are those of all training rows.

    unseen : {"error", "passthrough", "estimate"}, default="error"
        What ``transform`` with ``scope="per_batch"`` does with rows of a batch that ``fit`` has
        not seen: refuse them, return them as they are with a warning, or take the distributions
        from the rows of the new batch, of which there must be at least two.

    keep_metadata : bool, default=False
        Append the column of labels, unchanged, to the result.

    Attributes
    ----------
    quantiles_ : ndarray of shape (n_features,)
        Mean of the sorted training rows; only with ``scope="all"``.

    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted; only with ``scope="per_batch"``.

    n_per_batch_ : ndarray of shape (n_batches,)
        Rows of each batch in ``fit``; only with ``scope="per_batch"``.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    BatchStandardizer : Mean and spread of batches instead of whole distributions.
    ComBat : Location and scale of batches beside covariates.

    Notes
    -----
    Equal values stay equal: they get the value at their mean rank. ``scope="all"`` on the training
    rows equals ``normalizeQuantiles`` of limma; rows with missing cells are stretched to the full
    number of ranks, as there. It assumes that most features do not differ between samples.

    ``scope="per_batch"`` interpolates linearly between order statistics, takes values beyond those
    of the training batch for the nearest of them, and keeps the sorted training rows in the fitted
    estimator. It assumes that batches differ for technical reasons only. Features with fewer than
    two observed cells in a batch stay as they are there; missing cells stay missing.

    References
    ----------
    .. [1] :doi:`Bolstad et al. (2003). "A comparison of normalization methods for high density
       oligonucleotide array data based on variance and bias". <10.1093/bioinformatics/19.2.185>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.batch_effects import QuantileAligner
    >>> QuantileAligner().fit_transform([[1.0, 2.0, 6.0], [4.0, 9.0, 2.0]])
    array([[1.5, 3. , 7.5],
           [3. , 7.5, 1.5]])
    >>> X = pd.DataFrame({"gene": [1.0, 2.0, 7.0, 9.0], "batch": ["a", "a", "b", "b"]})
    >>> QuantileAligner(scope="per_batch", reference_batch="a").fit_transform(X)
       gene
    0   1.0
    1   2.0
    2   1.0
    3   2.0
    """

    __metadata_request__fit: ClassVar[dict] = {"covariates": UNUSED}
    __metadata_request__transform: ClassVar[dict] = {"covariates": UNUSED}

    _parameter_constraints: ClassVar[dict] = {
        "batch": [str, Integral, None],
        "scope": [StrOptions({"all", "per_batch"})],
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
        scope="all",
        reference_batch=None,
        unseen="error",
        keep_metadata=False,
    ):
        self.batch = batch
        self.scope = scope
        self.reference_batch = reference_batch
        self.unseen = unseen
        self.keep_metadata = keep_metadata

    @property
    def _needs_batch(self):
        return self.scope == "per_batch"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, batch: Any = None) -> QuantileAligner:
        """Learn the distributions.

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
        self : QuantileAligner
            The fitted transformer.

        Raises
        ------
        ValueError
            For missing labels, infinite values, batches of one row, and a reference batch that has
            no rows.
        """
        return self._fit_rows(X, y, batch=batch)

    def transform(self, X: Any, *, batch: Any = None) -> Any:
        """Give rows the learned distributions.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows with the columns seen during ``fit``.

        batch : array-like of shape (n_samples,), default=None
            Batch labels, instead of the column ``batch``.

        Returns
        -------
        X_aligned : ndarray or data frame of shape (n_samples, n_features)
            The rows with values of the learned distributions.

        Raises
        ------
        ValueError
            For missing labels, and for unseen batches as ``unseen`` says.
        """
        return self._transform_rows(X, batch=batch)

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any = None) -> Any:
        """Fit, and return the rows with values of the learned distributions.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            The table.

        y, batch
            As in ``fit``.

        Returns
        -------
        X_aligned : ndarray or data frame of shape (n_samples, n_features)
            The rows with values of the learned distributions.
        """
        return self.fit(X, y, batch=batch)._transform_rows(X, batch=batch)

    def _fit(self, rows, y):
        X = np.asarray(rows.X, dtype=np.float64)
        for name in _FITTED:
            vars(self).pop(name, None)  # of a fit with the other scope
        if self.scope == "all":
            if self.reference_batch is not None:
                raise ValueError(
                    f"reference_batch={self.reference_batch!r} was given with scope='all', which "
                    "knows no batches; set scope='per_batch' or reference_batch=None."
                )
            self.quantiles_ = _mean_sorted_row(X)
            return
        batches = BatchLevels.from_labels(rows.batch)
        single = batches.levels[batches.counts < 2].tolist()
        if single:
            raise ValueError(
                "QuantileAligner(scope='per_batch') needs at least two rows of every batch, but "
                f"the batches {single!r} have one each; merge them with others or drop them."
            )
        reference = reference_code(self.reference_batch, batches.levels)
        self.batches_ = batches.levels
        self.n_per_batch_ = batches.counts
        warn_about_sizes(self.batches_, self.n_per_batch_, owner=type(self).__name__)
        self._sources = [
            _sorted_columns(X[batches.codes == code]) for code in range(len(batches.levels))
        ]
        self._target = _sorted_columns(X) if reference is None else self._sources[reference]

    def _transform(self, rows):
        if self.scope == "all":
            return _align_rows(np.asarray(rows.X, dtype=np.float64), self.quantiles_)
        X = np.array(rows.X, dtype=np.float64)
        owner = type(self).__name__
        codes = match_batches(rows.batch, self.batches_, unseen=self.unseen, owner=owner)
        reference = reference_code(self.reference_batch, self.batches_)
        for code in np.unique(codes[codes >= 0]):
            if code != reference:
                members = codes == code
                X[members] = _map_quantiles(X[members], self._sources[code], self._target)
        if self.unseen == "estimate":
            for members in new_batch_rows(rows.batch, codes, owner=owner):
                X[members] = _map_quantiles(X[members], _sorted_columns(X[members]), self._target)
        return X
