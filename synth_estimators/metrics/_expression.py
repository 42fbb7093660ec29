"""Agreement of the genes of two expression tables, one gene or one sample at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.metrics._expression_tables import Moments, moments, read_genes
from synth_estimators.metrics._fidelity import _ks_scores
from synth_estimators.metrics._lowess import lowess
from synth_estimators.metrics._tables import mean_or_undefined, result, undefined

__all__ = [
    "gene_ks_distance",
    "gene_moment_agreement",
    "library_size_distance",
    "mean_variance_trend_distance",
    "pearson",
    "zero_fraction_distance",
]

_GRID_POINTS = 50

# A trend through fewer genes is no trend.
_MIN_TREND_GENES = 4


def _gene_details(synth, **columns):
    return pd.DataFrame(
        {
            "column": synth.names,
            **columns,
            "n_negative": synth.n_negative,
            "n_nonfinite": synth.n_nonfinite,
        }
    )


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation over the places where both are finite; NaN where there is none."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def _ks(a, b):
    """KS statistic of the finite values; NaN where one of the sets is empty."""
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not len(a) or not len(b):
        return float("nan")
    return float(1.0 - _ks_scores(a[:, None], b[:, None])[0])


def _mean_gap(a, b):
    gap = np.abs(a - b)
    gap = gap[np.isfinite(gap)]
    return float(gap.mean()) if len(gap) else float("nan")


def gene_ks_distance(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str = "log2p1",
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Mean over the genes of the Kolmogorov-Smirnov statistic.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order. Compare with samples that the generator has not
        seen. Sparse matrices are made dense in blocks of genes.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        "log2p1" takes counts to log2(count + 1), "logcpm" to log2(counts per million + 1); "none"
        takes values as they are. Negative synthetic counts are set to 0.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out; "auto" leaves out text, categories, booleans and
        dates.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a gene), ``n_genes`` and ``n_negative``
        (cells set to 0) instead of a number.

    Returns
    -------
    distance : float or Bunch
        Between 0, the best, and 1.

    See Also
    --------
    shape_noise_floor : What two samples of one law differ by.

    Notes
    -----
    Missing cells are dropped. A gene that is entirely missing in one table counts 1, in both it is
    left out. Dependence between genes is not seen.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import gene_ks_distance
    >>> real = np.array([[0, 5], [1, 7], [3, 9], [8, 12]])
    >>> gene_ks_distance(real, real + [0, 4])
    0.25
    """
    real, synth = read_genes(X_real, X_synth, scale=scale, discrete_columns=discrete_columns)
    distances = np.empty(len(real.names))
    for (part, block), (_, other) in zip(real.blocks(), synth.blocks(), strict=True):
        distances[part] = 1.0 - _ks_scores(block, other)
    score = mean_or_undefined(distances, "gene_ks_distance")
    return result(
        score,
        breakdown,
        lambda: _gene_details(synth, score=distances),
        n_genes=len(real.names),
        n_negative=int(synth.n_negative.sum()),
    )


def gene_moment_agreement(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str = "log2p1",
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Pearson correlation between the mean expression of the genes in both tables.

    The breakdown says the same of standard deviations and coefficients of variation.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        Scale of the values, as in ``gene_ks_distance``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out.

    breakdown : bool, default=False
        Return a Bunch instead of a number. It holds ``score``, ``details`` (moments of every gene)
        and for each of ``mean``, ``sd`` and ``cv``: ``<moment>_pearson``,
        ``<moment>_difference`` (mean absolute difference) and ``<moment>_ks``
        (Kolmogorov-Smirnov statistic between the moments of the genes); ``zero_ks`` is that of the
        shares of zeros, ``n_genes`` and ``n_negative`` are counts. NaN where a moment is not
        defined or does not vary between genes.

    Returns
    -------
    agreement : float or Bunch
        Between -1 and 1, the best.

    Notes
    -----
    Genes differ far more from each other than tables do, so that values near 1 are easy to reach;
    look at the differences too. Standard deviations have n - 1 in the denominator. The coefficient
    of variation is left out where the mean is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import gene_moment_agreement
    >>> real = np.random.default_rng(0).poisson([5, 50, 500], size=(20, 3))
    >>> round(gene_moment_agreement(real, real * 2), 3)
    1.0
    """
    real, synth = read_genes(X_real, X_synth, scale=scale, discrete_columns=discrete_columns)
    left, right = moments(real), moments(synth)
    found = {}
    for name in ("mean", "sd", "cv"):
        a, b = getattr(left, name), getattr(right, name)
        found[f"{name}_pearson"] = pearson(a, b)
        found[f"{name}_difference"] = _mean_gap(a, b)
        found[f"{name}_ks"] = _ks(a, b)
    score = found["mean_pearson"]
    if np.isnan(score):
        score = undefined("gene_moment_agreement", "fewer than two genes differ in their means")
    if breakdown:
        found["zero_ks"] = _ks(_zero_shares(real, 0.0)[0], _zero_shares(synth, 0.0)[0])
    return result(
        score,
        breakdown,
        lambda: _gene_details(synth, **_moment_columns(left, right)),
        n_genes=len(real.names),
        n_negative=int(synth.n_negative.sum()),
        **found,
    )


def _moment_columns(left: Moments, right: Moments):
    return {
        f"{name}_{side}": getattr(table, name)
        for name in ("mean", "sd", "cv")
        for side, table in (("real", left), ("synth", right))
    }


def mean_variance_trend_distance(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str = "log2p1",
    frac: float = 2 / 3,
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Mean absolute difference of the mean-variance trends of both tables.

    A robust locally linear curve of the log variance on the log mean of the genes is drawn for each
    table; the curves are compared at 50 points of their common range.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        Scale of the values whose means and variances are taken, as in ``gene_ks_distance``.
        "none" on raw counts gives the trend of count models.

    frac : float, default=2/3
        Share of the genes in each window of the curve.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (both curves at the 50 points) and
        ``n_genes_real`` and ``n_genes_synth`` (genes with a positive mean and variance) instead of
        a number.

    Returns
    -------
    distance : float or Bunch
        At least 0, the best, in natural logarithms of the variance. NaN with a warning if fewer
        than four genes of a table vary or the ranges of the means do not meet.

    References
    ----------
    .. [1] Cleveland, W. S. (1979). "Robust Locally Weighted Regression and Smoothing
       Scatterplots". Journal of the American Statistical Association 74(368), 829-836.
    .. [2] Cao, Y., Yang, P. and Yang, J. Y. H. (2021). "A benchmark study of simulation methods for
       single-cell RNA sequencing data". Nature Communications 12, 6911.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import mean_variance_trend_distance
    >>> level = np.linspace(1, 400, 50)
    >>> real = np.random.default_rng(0).poisson(level, size=(100, 50))
    >>> synth = np.random.default_rng(1).poisson(level * 4, size=(100, 50)) / 4
    >>> bool(mean_variance_trend_distance(real, synth, scale="none") > 1.0)
    True
    """
    if not 0 < frac <= 1:
        raise ValueError(f"frac={frac!r} must be above 0 and at most 1.")
    real, synth = read_genes(X_real, X_synth, scale=scale, discrete_columns=discrete_columns)
    points = [_log_moments(moments(table)) for table in (real, synth)]
    counts = [len(x) for x, _ in points]
    grid, curves = np.empty(0), [np.empty(0), np.empty(0)]
    if min(counts) < _MIN_TREND_GENES:
        score = undefined(
            "mean_variance_trend_distance",
            f"{min(counts)} genes have a positive mean and variance; expected at least "
            f"{_MIN_TREND_GENES}",
        )
    else:
        low, high = max(x.min() for x, _ in points), min(x.max() for x, _ in points)
        if high <= low:
            score = undefined(
                "mean_variance_trend_distance", "the means of the two tables share no range"
            )
        else:
            grid = np.linspace(low, high, _GRID_POINTS)
            curves = [lowess(x, y, grid, frac=frac) for x, y in points]
            score = np.abs(curves[0] - curves[1]).mean()
    return result(
        score,
        breakdown,
        {"log_mean": grid, "log_variance_real": curves[0], "log_variance_synth": curves[1]},
        n_genes_real=counts[0],
        n_genes_synth=counts[1],
        n_negative=int(synth.n_negative.sum()),
    )


def _log_moments(found):
    keep = (np.nan_to_num(found.mean) > 0) & (np.nan_to_num(found.sd) > 0)
    return np.log(found.mean[keep]), 2.0 * np.log(found.sd[keep])


def _zero_shares(table, tolerance):
    """Share of zeros of every gene, and number of detected genes of every sample."""
    shares, detected = np.full(len(table.names), np.nan), np.zeros(len(table))
    for part, block in table.raw_blocks():
        observed = ~np.isnan(block)
        zero = np.abs(block) <= tolerance
        count = observed.sum(axis=0)
        np.divide(zero.sum(axis=0), count, out=shares[part], where=count > 0)
        detected += (observed & ~zero).sum(axis=1)
    return shares, detected


def zero_fraction_distance(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str = "log2p1",
    tolerance: float = 0.0,
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Mean absolute difference of the shares of zeros of the genes.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        Zeros are counted before scaling; with the first two, negative synthetic counts are zeros.

    tolerance : float, default=0.0
        Values up to it, in either direction, count as zeros. 0.5 judges a generator of real
        numbers as if it had rounded to counts.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (shares of every gene), ``detected_ks``
        (Kolmogorov-Smirnov statistic of the number of detected genes a sample), ``n_genes`` and
        ``n_negative`` instead of a number.

    Returns
    -------
    distance : float or Bunch
        Between 0, the best, and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import zero_fraction_distance
    >>> real = np.array([[0, 5], [0, 7], [3, 9], [8, 0]])
    >>> zero_fraction_distance(real, real + [1, 0])
    0.25
    """
    if tolerance < 0:
        raise ValueError(f"tolerance={tolerance!r} must be at least 0.")
    real, synth = read_genes(X_real, X_synth, scale=scale, discrete_columns=discrete_columns)
    share_real, detected_real = _zero_shares(real, tolerance)
    share_synth, detected_synth = _zero_shares(synth, tolerance)
    gaps = np.abs(share_real - share_synth)
    # A gene that one table lacks altogether cannot agree.
    gaps[np.isnan(share_real) ^ np.isnan(share_synth)] = 1.0
    score = mean_or_undefined(gaps, "zero_fraction_distance")
    return result(
        score,
        breakdown,
        lambda: _gene_details(synth, score=gaps, zero_real=share_real, zero_synth=share_synth),
        detected_ks=_ks(detected_real, detected_synth),
        n_genes=len(real.names),
        n_negative=int(synth.n_negative.sum()),
    )


def library_size_distance(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str = "log2p1",
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Kolmogorov-Smirnov statistic of the log library sizes of the samples.

    The library size of a sample is the sum of its counts. It sees a part of the dependence between
    genes: when columns are shuffled, the sizes draw together.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        Sums are taken before scaling; with the first two, negative synthetic counts are 0. "none"
        sums any values.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``table`` and ``library_size`` of every
        sample), ``median_real``, ``median_synth``, ``n_genes`` and ``n_negative`` instead of a
        number.

    Returns
    -------
    distance : float or Bunch
        Between 0, the best, and 1.

    Notes
    -----
    The statistic depends on ranks alone, so that it is the same for the sums and their logarithms.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import library_size_distance
    >>> real = np.array([[0, 5], [1, 7], [3, 9], [8, 12]])
    >>> library_size_distance(real, real[:, ::-1]), library_size_distance(real, real + [0, 4])
    (0.0, 0.5)
    """
    real, synth = read_genes(X_real, X_synth, scale=scale, discrete_columns=discrete_columns)
    return result(
        _ks(real.totals, synth.totals),
        breakdown,
        lambda: {
            "table": np.repeat(["real", "synth"], [len(real), len(synth)]),
            "library_size": np.concatenate([real.totals, synth.totals]),
        },
        median_real=float(np.median(real.totals)),
        median_synth=float(np.median(synth.totals)),
        n_genes=len(real.names),
        n_negative=int(synth.n_negative.sum()),
    )
