"""Counts to log2(count + 1) and back."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators._validation import check_rows, column_name

__all__ = ["Log2Transformer"]

_LN2 = float(np.log(2.0))


def _keeps_library_size(estimator):
    return estimator.library_size is None


class Log2Transformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Logarithm of counts, :math:`z = \log_2(x + 1)`, with its inverse.

    Parameters
    ----------
    round_counts : bool, default=False
        If True, the table holds counts: ``fit`` refuses values that are not whole numbers and
        ``inverse_transform`` rounds to the nearest whole number.

    library_size : "median", float or None, default=None
        Total to which every row is scaled before the logarithm. "median" is the median total of
        the training rows, a float is the total itself, None leaves the rows as they are. Rows
        whose total is 0 stay 0.

    Attributes
    ----------
    library_size_ : float or None
        Total to which rows are scaled.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    NormalScores : Ranks to normal quantiles, for columns of any shape.

    Notes
    -----
    ``inverse_transform`` returns values between 0 and the largest finite number of the dtype:
    negative logarithms become 0, logarithms too large for the dtype become its largest number, so
    that the result is never infinite. The total of a row is not kept by the transform: with
    ``library_size`` the inverse gives rows of the common total.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.preprocessing import Log2Transformer
    >>> X = np.array([[0, 3], [7, 1]])
    >>> log2 = Log2Transformer(round_counts=True).fit(X)
    >>> log2.transform(X)
    array([[0., 2.],
           [3., 1.]])
    >>> log2.inverse_transform([[0.2, 2.1]])
    array([[0., 3.]])
    """

    _parameter_constraints: ClassVar[dict] = {
        "round_counts": ["boolean"],
        "library_size": [
            None,
            StrOptions({"median"}),
            Interval(Real, 0, None, closed="neither"),
        ],
    }

    def __init__(self, *, round_counts=False, library_size=None):
        self.round_counts = round_counts
        self.library_size = library_size

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Log2Transformer:
        """Check the table and learn the common library size.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Values of at least 0.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : Log2Transformer
            The fitted transformer.

        Raises
        ------
        ValueError
            For negative values, and with ``round_counts=True`` for values that are not whole
            numbers. The message names the column.
        """
        data = check_rows(self, X, reset=True, non_negative=True)
        if self.round_counts:
            self._refuse_fractions(data)
        self.library_size_ = self._target_total(data)
        return self

    def _refuse_fractions(self, data):
        fractional = data != np.floor(data)
        if not fractional.any():
            return
        column = int(np.flatnonzero(fractional.any(axis=0))[0])
        row = int(np.flatnonzero(fractional[:, column])[0])
        raise ValueError(
            f"Column {column_name(self, column)} holds {data[row, column]:g} in row {row}, but "
            "Log2Transformer(round_counts=True) expects counts (whole numbers). Pass raw counts, "
            "or set round_counts=False for normalised values."
        )

    def _target_total(self, data):
        if self.library_size != "median":
            return None if self.library_size is None else float(self.library_size)
        totals = data.sum(axis=1, dtype=np.float64)
        totals = totals[totals > 0]
        if totals.size == 0:
            raise ValueError(
                "All rows of X have the total 0, so library_size='median' has no median; drop "
                "empty rows or set library_size=None."
            )
        return float(np.median(totals))

    def transform(self, X: Any) -> Any:
        """Return ``log2(x + 1)`` of every value.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Values of at least 0, in the columns seen during ``fit``.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, n_features)
            Logarithms; ``float32`` input gives ``float32``, anything else ``float64``.
        """
        check_is_fitted(self)
        data = check_rows(self, X, reset=False, non_negative=True)
        if self.library_size_ is None:
            logs = np.log1p(data)
        else:
            totals = data.sum(axis=1, dtype=np.float64)
            factor = self.library_size_ / np.where(totals > 0, totals, self.library_size_)
            logs = np.log1p(data * factor[:, None].astype(data.dtype))
        logs /= _LN2
        return logs

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return ``2**z - 1`` of every value, between 0 and the largest finite number.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_features)
            Logarithms.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Values of at least 0; whole numbers if ``round_counts=True``.
        """
        check_is_fitted(self)
        logs = check_array(
            Z, dtype=[np.float64, np.float32], estimator=self, input_name="Z", copy=True
        )
        _check_width(self, logs)
        largest = np.finfo(logs.dtype).max
        with np.errstate(over="ignore"):
            logs *= logs.dtype.type(_LN2)
            values = np.expm1(logs, out=logs)
        np.clip(values, 0, largest, out=values)
        return np.rint(values, out=values) if self.round_counts else values

    @available_if(_keeps_library_size)
    def log_abs_det_jacobian(self, X: Any) -> np.ndarray:
        r"""Log absolute determinant of the Jacobian of ``transform`` at each row.

        Adding it to a log density of transformed rows gives one in data units. It is offered
        without ``library_size``, where :math:`\log|J| = -\sum_j \log((x_j + 1) \ln 2)`.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        log_det : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        data = check_rows(self, X, reset=False, non_negative=True)
        return -(np.log1p(data.astype(np.float64)) + np.log(_LN2)).sum(axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_width(estimator, data):
    if data.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"Z has {data.shape[1]} columns, but {type(estimator).__name__} was fitted on "
            f"{estimator.n_features_in_}; pass the columns that transform returns."
        )
