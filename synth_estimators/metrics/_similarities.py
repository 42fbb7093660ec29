"""Agreement of pairs of columns by one measure, and the mean of shapes and trends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, rankdata

from synth_estimators.metrics._fidelity import _column_details, _column_scores
from synth_estimators.metrics._pairs import (
    _contingency_pairs,
    _Correlations,
    _correlations,
    _numeric_pairs,
    _pair_details,
    _PairScores,
    _trend_details,
    _trend_pairs,
)
from synth_estimators.metrics._tables import mean_or_undefined, read_pair, result

__all__ = ["contingency_similarity", "correlation_similarity", "quality_score"]


class _Stored:
    """Correlations that were computed pair by pair."""

    def __init__(self, matrix, base):
        self.matrix = matrix
        self.constant, self.empty = base.constant, base.empty
        self.n_columns = base.n_columns

    def block(self, rows, columns):
        return self.matrix[rows, columns].copy()


def _midranks(values, weight):
    """Ranks with ties at their mean; with weights, ranks of rows repeated so many times."""
    if weight is None:
        return rankdata(values, axis=0)
    ranks = np.empty_like(values)
    for j, column in enumerate(values.T):
        _, place = np.unique(column, return_inverse=True)
        mass = np.bincount(place, weights=weight)
        ranks[:, j] = (np.cumsum(mass) - 0.5 * mass)[place]
    return ranks


def _of_ranks(base, values, weight, coefficient):
    """Rank correlations; pairs with a missing cell are ranked on their complete rows."""
    missing = np.isnan(values).any(axis=0)
    n_columns = values.shape[1]
    matrix = np.full((n_columns, n_columns), np.nan)
    complete = np.flatnonzero(~missing)
    if coefficient == "spearman" and complete.size:
        ranked = _Correlations(_midranks(values[:, complete], weight), weight)
        matrix[np.ix_(complete, complete)] = ranked.block(slice(None), slice(None))
    for a in range(n_columns):
        for b in range(a + 1, n_columns):
            if base.constant[a] or base.constant[b]:
                continue
            if coefficient == "kendall":
                matrix[a, b] = kendalltau(values[:, a], values[:, b], nan_policy="omit").statistic
            elif missing[a] or missing[b]:
                matrix[a, b] = _spearman_of_pair(values[:, [a, b]], weight)
    return _Stored(matrix, base)


def _spearman_of_pair(pair, weight):
    rows = ~np.isnan(pair).any(axis=1)
    if not rows.any():
        return np.nan
    weight = None if weight is None else weight[rows]
    ranked = _Correlations(_midranks(pair[rows], weight), weight)
    return ranked.block(slice(0, 1), slice(1, 2))[0, 0]


def correlation_similarity(
    X_real: Any,
    X_synth: Any,
    *,
    coefficient: str = "pearson",
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Agreement of the correlations between continuous columns, averaged over the pairs.

    .. math:: 1 - |r_\text{real} - r_\text{synth}| / 2

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    coefficient : {"pearson", "spearman", "kendall"}, default="pearson"
        Kendall's is tau-b.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are left out.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows; not for Kendall's coefficient.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a pair) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    Warns
    -----
    ConstantColumnWarning
        If a column is constant in the synthetic table only; its correlations count as 0 there.

    Notes
    -----
    Correlations are those of the rows complete in each pair; pairs with a column that is constant
    in the real table are left out. Kendall's coefficient, and Spearman's for columns with missing
    cells, are computed pair by pair, which takes milliseconds a pair.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import correlation_similarity
    >>> x = np.arange(5.0)
    >>> real, synth = np.column_stack([x, x]), np.column_stack([x, -(x**3)])
    >>> round(correlation_similarity(real, synth, coefficient="spearman"), 6)
    0.0
    """
    if coefficient not in ("pearson", "spearman", "kendall"):
        raise ValueError(
            f"coefficient={coefficient!r} is unknown; use 'pearson', 'spearman' or 'kendall'."
        )
    if coefficient == "kendall" and sample_weight is not None:
        raise ValueError(
            "coefficient='kendall' takes no sample_weight; use 'pearson' or 'spearman'."
        )
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    left, right = _correlations(real, synth)
    if coefficient != "pearson":
        left = _of_ranks(left, real.continuous, real.weight, coefficient)
        right = _of_ranks(right, synth.continuous, None, coefficient)
    collect = _PairScores(left.n_columns, breakdown)
    _numeric_pairs(collect, left, right, np.arange(left.n_columns))

    def details():
        metric = np.full((left.n_columns, left.n_columns), "correlation_similarity")
        return _pair_details(collect, real.continuous_names, metric)

    return result(collect.mean("correlation_similarity"), breakdown, details)


def contingency_similarity(
    X_real: Any,
    X_synth: Any,
    *,
    binning: str = "real",
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Agreement of the joint frequencies of two columns, averaged over all pairs.

    .. math:: 1 - \tfrac12 \sum_{a,b} |p_{ab} - q_{ab}|

    A continuous column is cut into 10 bins of equal width; missing is a bin of its own.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    binning : {"real", "own"}, default="real"
        "real" cuts both tables by the edges of the real column, the outer bins open. "own" cuts
        each table by its own edges.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a pair) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    See Also
    --------
    column_pair_trends_score : The same for pairs with a discrete column, correlations for others.

    Notes
    -----
    Two samples of one law score below 1 by chance, more so with few rows and many cells. Pairs
    with a column that is constant in the real table are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.metrics import contingency_similarity
    >>> real = pd.DataFrame({"a": ["u", "u", "v", "v"], "b": ["x", "x", "y", "y"]})
    >>> synth = pd.DataFrame({"a": ["u", "u", "v", "v"], "b": ["x", "y", "x", "y"]})
    >>> contingency_similarity(real, synth)
    0.5
    """
    if binning not in ("real", "own"):
        raise ValueError(f"binning={binning!r} is unknown; use 'real' or 'own'.")
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    collect = _PairScores(len(real.names), breakdown)
    left, right = _Correlations(real.continuous), _Correlations(synth.continuous)
    _contingency_pairs(collect, real, synth, left, right, binning=binning, all_pairs=True)

    def details():
        metric = np.full((len(real.names), len(real.names)), "contingency_similarity")
        frame = _pair_details(collect, real.names, metric)
        return frame.drop(columns=["correlation_real", "correlation_synth"])

    return result(collect.mean("contingency_similarity"), breakdown, details)


def quality_score(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    """Mean of ``column_shapes_score`` and ``column_pair_trends_score``.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (the rows of both scores, columns first),
        ``column_shapes`` and ``column_pair_trends`` instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best. NaN if no pair of columns can be compared.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import quality_score
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> quality_score(X, X)
    1.0
    """
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    scores = _column_scores(real, synth)
    shapes = mean_or_undefined(scores, "column_shapes_score")
    collect = _trend_pairs(
        real,
        synth,
        binning="real",
        correlation_threshold=0.0,
        association_threshold=0.0,
        keep=breakdown,
    )
    trends = collect.mean("column_pair_trends_score")

    def details():
        columns = _column_details(real, synth, scores).rename(columns={"column": "column_1"})
        return pd.concat([columns, _trend_details(collect, real)], ignore_index=True)[
            ["column_1", "column_2", "metric", "score"]
        ]

    return result(
        0.5 * (shapes + trends),
        breakdown,
        details,
        column_shapes=shapes,
        column_pair_trends=trends,
    )
