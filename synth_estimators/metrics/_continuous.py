"""Agreement of continuous columns beyond their distribution functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import rel_entr

from synth_estimators.metrics._one_kind import (
    column_means,
    continuous_scores,
    missing_shares,
    read_kind,
)
from synth_estimators.metrics._tables import category_shares

__all__ = [
    "boundary_adherence",
    "jensen_shannon_distance",
    "range_coverage",
    "statistic_similarity",
    "wasserstein_1d",
]

_STATISTICS = {
    "mean": np.mean,
    "median": np.median,
    "std": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
}


def _wasserstein(real, synth, weight=None):
    """Area between the distribution functions of two samples."""
    order = np.argsort(real)
    mass = np.arange(len(real) + 1.0) if weight is None else np.r_[0.0, np.cumsum(weight[order])]
    points = np.sort(np.concatenate([real, synth]))
    below_real = mass[np.searchsorted(real[order], points[:-1], side="right")] / mass[-1]
    below_synth = np.searchsorted(np.sort(synth), points[:-1], side="right") / len(synth)
    return float(np.abs(below_real - below_synth) @ np.diff(points))


def wasserstein_1d(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str | None = "real_sd",
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Wasserstein distance of continuous columns, averaged over the columns.

    .. math:: \int_0^1 |F^{-1}_\text{real}(u) - F^{-1}_\text{synth}(u)| \, du

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column, which is taken as continuous, or tables, whose discrete columns are left out.
        Missing cells are dropped in each table.

    scale : {"real_sd", "range"} or None, default="real_sd"
        What the distance is divided by: the standard deviation or the range of the real column.
        None keeps the unit of the column; a mean over columns then mixes units.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    distance : float or Bunch
        At least 0, the best. Infinite if only one of the columns is entirely missing. A column
        that is constant in the real table has no scale: it is left out (NaN) unless ``scale`` is
        None.

    Examples
    --------
    >>> from synth_estimators.metrics import wasserstein_1d
    >>> wasserstein_1d([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], scale=None)
    1.0
    >>> wasserstein_1d([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], scale="range")
    0.5
    """
    if scale not in (None, "real_sd", "range"):
        raise ValueError(f"scale={scale!r} is unknown; use 'real_sd', 'range' or None.")
    real, synth = read_kind(
        X_real,
        X_synth,
        kind="continuous",
        discrete_columns=discrete_columns,
        sample_weight=sample_weight,
    )

    def distance(a, b, weight, _):
        unit = 1.0
        if scale is not None:
            unit = np.ptp(a)
        if scale == "real_sd" and unit > 0:
            centre = np.average(a, weights=weight)
            unit = np.sqrt(np.average((a - centre) ** 2, weights=weight))
        return _wasserstein(a, b, weight) / unit if unit > 0 else np.nan

    scores = continuous_scores(real, synth, distance, one_empty=np.inf)
    return column_means("wasserstein_1d", real, synth, scores, ~real.discrete, breakdown)


def _jensen_shannon(p, q):
    middle = 0.5 * (p + q)
    divergence = 0.5 * (rel_entr(p, middle).sum() + rel_entr(q, middle).sum())
    return float(np.sqrt(max(0.0, divergence)))


def _quantile_shares(real, synth, weight, n_bins):
    """Shares of both columns in bins that hold equal parts of the real one; ends are open."""
    levels = np.arange(1, n_bins) / n_bins
    edges = np.unique(np.quantile(real, levels, method="inverted_cdf", weights=weight))
    if real.min() == real.max():
        # One value on its own, and what lies on either side of it.
        edges = np.array([np.nextafter(real[0], -np.inf), real[0]])
    shares = []
    for values, mass in ((real, weight), (synth, None)):
        counts = np.bincount(np.searchsorted(edges, values), weights=mass, minlength=len(edges) + 1)
        shares.append(counts / counts.sum())
    return shares


def jensen_shannon_distance(
    X_real: Any,
    X_synth: Any,
    *,
    n_bins: int = 20,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Jensen-Shannon distance of the columns, averaged over the columns.

    .. math:: \sqrt{\tfrac12 KL(p \| m) + \tfrac12 KL(q \| m)}, \quad m = (p + q) / 2

    with natural logarithms. A continuous column is cut into bins that hold equal parts of the real
    column; the outer bins are open.

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column, discrete if it holds text, categories or booleans, or tables. Missing cells are
        a category of a discrete column and are dropped from a continuous one.

    n_bins : int, default=20
        Bins of a continuous column; fewer where it has ties.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    distance : float or Bunch
        Between 0, the best, and 0.833 (the root of log 2), which columns without common support
        have and columns that are entirely missing in one table. NaN if they are in both.

    Notes
    -----
    Two samples of one law have a distance above 0 that falls with the root of the number of rows.

    References
    ----------
    .. [1] Endres, D. M. and Schindelin, J. E. (2003). "A New Metric for Probability
       Distributions". IEEE Transactions on Information Theory 49(7), 1858-1860.

    Examples
    --------
    >>> from synth_estimators.metrics import jensen_shannon_distance
    >>> round(jensen_shannon_distance(["a", "a"], ["b", "b"]), 3)
    0.833
    """
    if n_bins < 2:
        raise ValueError(f"n_bins={n_bins!r} must be at least 2.")
    real, synth = read_kind(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    scores = np.empty(len(real.names))
    scores[~real.discrete] = continuous_scores(
        real,
        synth,
        lambda a, b, weight, _: _jensen_shannon(*_quantile_shares(a, b, weight, n_bins)),
        one_empty=np.sqrt(np.log(2.0)),
    )
    scores[real.discrete] = [
        _jensen_shannon(category_shares(real, k), category_shares(synth, k))
        for k in range(len(real.categories))
    ]
    scores[(missing_shares(real) == 1.0) & (missing_shares(synth) == 1.0)] = np.nan
    everything = np.ones(len(scores), dtype=bool)
    return column_means("jensen_shannon_distance", real, synth, scores, everything, breakdown)


def boundary_adherence(
    X_real: Any, X_synth: Any, *, discrete_columns: Any = "auto", breakdown: bool = False
) -> Any:
    """Share of the synthetic values inside the range of the real column.

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column, which is taken as continuous, or tables, whose discrete columns are left out.
        Missing cells do not count.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best; the mean over the columns. 0 if only one of the columns is
        entirely missing.

    Notes
    -----
    Fresh real rows fall outside the range of n others with probability ``2 / (n + 1)``. Columns in
    single precision are compared in single precision.

    Examples
    --------
    >>> from synth_estimators.metrics import boundary_adherence
    >>> boundary_adherence([1.0, 5.0], [0.0, 2.0, 3.0, 5.0])
    0.75
    """
    real, synth = read_kind(X_real, X_synth, kind="continuous", discrete_columns=discrete_columns)
    single = real.single | synth.single

    def inside(a, b, _, column):
        low, high = a.min(), a.max()
        if single[column]:
            low, high, b = np.float32(low), np.float32(high), b.astype(np.float32)
        return ((b >= low) & (b <= high)).mean()

    scores = continuous_scores(real, synth, inside)
    return column_means("boundary_adherence", real, synth, scores, ~real.discrete, breakdown)


def range_coverage(
    X_real: Any, X_synth: Any, *, discrete_columns: Any = "auto", breakdown: bool = False
) -> Any:
    r"""Share of the range of the real column that the synthetic one spans.

    .. math:: \max\left(0, 1 - \max\left(0, \frac{\min_s - \min_r}{\max_r - \min_r}\right)
              - \max\left(0, \frac{\max_r - \max_s}{\max_r - \min_r}\right)\right)

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column, which is taken as continuous, or tables, whose discrete columns are left out.
        Missing cells do not count.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best; the mean over the columns. A column that is constant in the real
        table has no range and is left out (NaN). 0 if only one of the columns is entirely missing.

    Notes
    -----
    Grows with the number of synthetic rows.

    Examples
    --------
    >>> from synth_estimators.metrics import range_coverage
    >>> range_coverage([0.0, 10.0], [2.0, 12.0])
    0.8
    """
    real, synth = read_kind(X_real, X_synth, kind="continuous", discrete_columns=discrete_columns)

    def covered(a, b, *_):
        low, high = a.min(), a.max()
        if high == low:
            return np.nan
        short = max(0.0, b.min() - low) + max(0.0, high - b.max())
        return max(0.0, 1.0 - short / (high - low))

    scores = continuous_scores(real, synth, covered)
    return column_means("range_coverage", real, synth, scores, ~real.discrete, breakdown)


def statistic_similarity(
    X_real: Any,
    X_synth: Any,
    *,
    statistic: str = "mean",
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    r"""Agreement of a statistic of continuous columns, in units of the real range.

    .. math:: \max\left(0, 1 - \frac{|s_r - s_s|}{\max_r - \min_r}\right)

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column, which is taken as continuous, or tables, whose discrete columns are left out.
        Missing cells are dropped in each table.

    statistic : {"mean", "median", "std"}, default="mean"
        What is compared; "std" divides by the number of cells minus 1.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best; the mean over the columns. A column that is constant in the real
        table scores 1 if the statistic is the same and else 0.

    Examples
    --------
    >>> from synth_estimators.metrics import statistic_similarity
    >>> statistic_similarity([0.0, 2.0, 4.0], [1.0, 3.0, 5.0])
    0.75
    """
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic={statistic!r} is unknown; use 'mean', 'median' or 'std'.")
    compute = _STATISTICS[statistic]
    real, synth = read_kind(X_real, X_synth, kind="continuous", discrete_columns=discrete_columns)

    def similar(a, b, *_):
        gap, spread = abs(compute(a) - compute(b)), np.ptp(a)
        if np.isnan(gap):
            return np.nan
        return max(0.0, 1.0 - gap / spread) if spread > 0 else float(gap == 0)

    scores = continuous_scores(real, synth, similar)
    return column_means("statistic_similarity", real, synth, scores, ~real.discrete, breakdown)
