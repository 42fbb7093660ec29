"""Agreement of single columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.metrics._tables import category_shares, mean_or_undefined, read_pair, result
from synth_estimators.preprocessing._columns import MISSING, MixedTable

__all__ = ["column_shapes_score", "ks_complement", "shape_noise_floor", "tv_complement"]


def _ks_statistic(real, synth, weight=None):
    """Largest difference of two empirical distribution functions of sorted values."""
    points = np.concatenate([real, synth])
    below_real = np.searchsorted(real, points, side="right")
    below_synth = np.searchsorted(synth, points, side="right")
    if weight is not None:
        shares = np.r_[0.0, np.cumsum(weight) / weight.sum()]
        return np.abs(shares[below_real] - below_synth / len(synth)).max()
    # Counts are compared as integers, so that equal functions give exactly 0.
    return np.abs(below_real * len(synth) - below_synth * len(real)).max() / (
        len(real) * len(synth)
    )


def _ks_scores(real, synth, weight=None):
    """KS complement of every column of two float blocks; NaN where both are empty."""
    scores = np.empty(real.shape[1])
    # NaN sorts to the end.
    if weight is None:
        sorted_real = np.sort(real, axis=0)
    else:
        order = np.argsort(real, axis=0)
        sorted_real = np.take_along_axis(real, order, axis=0)
    sorted_synth = np.sort(synth, axis=0)
    n_real, n_synth = (~np.isnan(real)).sum(axis=0), (~np.isnan(synth)).sum(axis=0)
    for j in range(len(scores)):
        if n_real[j] == 0 or n_synth[j] == 0:
            scores[j] = np.nan if n_real[j] == n_synth[j] else 0.0
            continue
        scores[j] = 1.0 - _ks_statistic(
            np.ascontiguousarray(sorted_real[: n_real[j], j]),
            np.ascontiguousarray(sorted_synth[: n_synth[j], j]),
            None if weight is None else weight[order[: n_real[j], j]],
        )
    return scores


def _tv_scores(real: MixedTable, synth: MixedTable):
    """Total variation complement of every discrete column."""
    scores = np.empty(real.codes.shape[1])
    for k, labels in enumerate(real.categories):
        p, q = category_shares(real, k), category_shares(synth, k)
        empty = _entirely_missing(p, labels), _entirely_missing(q, labels)
        if any(empty):
            scores[k] = np.nan if all(empty) else 0.0
        else:
            scores[k] = 1.0 - 0.5 * np.abs(p - q).sum()
    return scores


def _entirely_missing(shares, labels):
    return MISSING in labels and np.flatnonzero(shares).tolist() == [labels.index(MISSING)]


def _column_scores(real, synth):
    scores = np.empty(len(real.names))
    scores[~real.discrete] = _ks_scores(real.continuous, synth.continuous, real.weight)
    scores[real.discrete] = _tv_scores(real, synth)
    return scores


def _column_details(real, synth, scores):
    return pd.DataFrame(
        {
            "column": real.names,
            "metric": np.where(real.discrete, "tv_complement", "ks_complement"),
            "score": scores,
            "n_nonfinite": synth.n_nonfinite,
        }
    )


def _one_column(values, name):
    """Give a 1-d column the shape of a table."""
    if isinstance(values, (pd.DataFrame, pd.Series)) or hasattr(values, "columns"):
        frame = values.to_frame("x0") if isinstance(values, pd.Series) else values
    else:
        array = np.asarray(values)
        frame = array.reshape(-1, 1) if array.ndim == 1 else array
    if np.ndim(frame) != 2 or frame.shape[1] != 1:
        raise ValueError(
            f"{name} has shape {np.shape(frame)}, but this metric compares one column; pass a 1-d "
            "array, a Series or a table with one column, or use column_shapes_score."
        )
    return frame


def _column_pair(X_real, X_synth, discrete, sample_weight=None):
    real, synth = _one_column(X_real, "X_real"), _one_column(X_synth, "X_synth")
    if not isinstance(X_real, pd.DataFrame) or not isinstance(X_synth, pd.DataFrame):
        real, synth = _nameless(real), _nameless(synth)
    return read_pair(real, synth, discrete_columns=[discrete], sample_weight=sample_weight)


def _nameless(table):
    return table.set_axis(["x0"], axis=1) if isinstance(table, pd.DataFrame) else table


def ks_complement(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Agreement of a continuous column by the Kolmogorov-Smirnov statistic.

    .. math:: 1 - \sup_t |F_\text{real}(t) - F_\text{synth}(t)|

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table with one column
        The column; missing cells are dropped in each table.

    discrete_columns : object, default="auto"
        Ignored: the column is taken as continuous. Present for API consistency.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best. 0 if only one of the columns is entirely missing, NaN if both
        are.

    Notes
    -----
    The expected value for two samples of one law falls below 1 as the samples get smaller, see
    ``shape_noise_floor``.

    References
    ----------
    .. [1] Massey, F. J. (1951). "The Kolmogorov-Smirnov Test for Goodness of Fit". Journal of the
       American Statistical Association 46(253), 68-78.

    Examples
    --------
    >>> from synth_estimators.metrics import ks_complement
    >>> ks_complement([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 9.0])
    0.75
    """
    real, synth = _column_pair(X_real, X_synth, False, sample_weight)
    scores = _ks_scores(real.continuous, synth.continuous, real.weight)
    score = mean_or_undefined(scores, "ks_complement")
    return result(score, breakdown, lambda: _column_details(real, synth, scores))


def tv_complement(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Agreement of a discrete column by the total variation distance.

    .. math:: 1 - \tfrac12 \sum_k |p_k - q_k|

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table with one column
        The column. ``1``, ``1.0``, ``"1"`` and True are one category; missing is a category.

    discrete_columns : object, default="auto"
        Ignored: the column is taken as discrete. Present for API consistency.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best. 0 if only one of the columns is entirely missing, NaN if both
        are.

    Examples
    --------
    >>> from synth_estimators.metrics import tv_complement
    >>> tv_complement(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.75
    """
    real, synth = _column_pair(X_real, X_synth, True, sample_weight)
    scores = _tv_scores(real, synth)
    score = mean_or_undefined(scores, "tv_complement")
    return result(score, breakdown, lambda: _column_details(real, synth, scores))


def column_shapes_score(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    """Mean agreement of the columns, one at a time.

    ``ks_complement`` of the continuous and ``tv_complement`` of the discrete columns. Dependence
    between columns is not seen: columns shuffled independently score like real rows.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order. Compare with rows that the generator has not
        seen; comparison with its training rows rewards copying.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    See Also
    --------
    shape_noise_floor : What two samples of one law lose by chance.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.metrics import column_shapes_score
    >>> real = pd.DataFrame({"age": [20, 30, 40, 50], "sex": ["f", "m", "f", "m"]})
    >>> synth = pd.DataFrame({"age": [20, 30, 40, 40], "sex": ["f", "f", "f", "m"]})
    >>> column_shapes_score(real, synth)
    0.75
    """
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    scores = _column_scores(real, synth)
    score = mean_or_undefined(scores, "column_shapes_score")
    return result(score, breakdown, lambda: _column_details(real, synth, scores))


def shape_noise_floor(n_real: int, n_synth: int) -> float:
    r"""Expected Kolmogorov-Smirnov statistic of two samples of one continuous law.

    .. math:: 0.8687 \sqrt{(n + m) / (n m)}

    Parameters
    ----------
    n_real, n_synth : int
        Numbers of rows, at least 1.

    Returns
    -------
    floor : float
        1 minus the floor is the limit of ``column_shapes_score`` on continuous columns.

    Examples
    --------
    >>> from synth_estimators.metrics import shape_noise_floor
    >>> round(1 - shape_noise_floor(100, 100), 3)
    0.877
    """
    if n_real < 1 or n_synth < 1:
        raise ValueError(f"n_real={n_real!r} and n_synth={n_synth!r} must be at least 1.")
    return float(0.8687 * np.sqrt((n_real + n_synth) / (n_real * n_synth)))
