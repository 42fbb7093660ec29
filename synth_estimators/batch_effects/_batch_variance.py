"""How much of the variance of a table lies between its batches."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch

from synth_estimators._random import local_rng
from synth_estimators.batch_effects._batch_rows import BatchRows

__all__ = [
    "batch_variance_fraction",
    "centroid_distance",
    "explained_by_axis",
    "gpca",
    "levene_median",
    "pc_regression",
    "variance_ratio",
]

# Numbers of a block of permuted labels (16 MB).
_BLOCK_NUMBERS = 2_000_000
# A guided variance below this share of the total is rounding error.
_NO_SIGNAL = 1e-20
_TIE = 1e-12
# Within batches of equal rows only rounding errors of their means are left.
_EQUAL_ROWS = 1e-28


def _sums_of_squares(table):
    """Between and within sums of squares over all columns."""
    rows = table.whole
    means = table.sums(rows) / table.counts[:, None]
    between = float(table.counts @ (means**2).sum(axis=1))
    within = float(((rows - means[table.codes]) ** 2).sum())
    return between, within


def _variance_ratio(table):
    between, within = _sums_of_squares(table)
    n_samples, n_batches = len(table.codes), len(table.levels)
    if within <= _EQUAL_ROWS * between:
        return float("inf")
    return (between / (n_batches - 1)) / (within / (n_samples - n_batches))


def variance_ratio(X: Any, batch: Any) -> float:
    r"""Variance between batches over the variance within them, over all features.

    .. math:: \frac{\sum_i n_i \|\bar x_i - \bar x\|^2 / (B - 1)}
              {\sum_j \|x_j - \bar x_{i(j)}\|^2 / (n - B)}

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    Returns
    -------
    ratio : float
        At least 0; about 1 for batches drawn at random, infinity where the rows of every batch
        are equal. Correction should lower it.

    Examples
    --------
    >>> from synth_estimators.batch_effects import variance_ratio
    >>> variance_ratio([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    50.0
    """
    return _variance_ratio(BatchRows(X, batch, metric="variance_ratio"))


def _batch_variance_fraction(table):
    between, within = _sums_of_squares(table)
    return between / (between + within)


def batch_variance_fraction(X: Any, batch: Any) -> float:
    """Share of the total sum of squares that lies between the batches.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    Returns
    -------
    fraction : float
        Between 0 and 1; about (B - 1) / (n - 1) for B batches drawn at random. Correction should
        lower it.

    See Also
    --------
    pc_regression : The same on principal components.

    Examples
    --------
    >>> from synth_estimators.batch_effects import batch_variance_fraction
    >>> round(batch_variance_fraction([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"]), 6)
    0.961538
    """
    return _batch_variance_fraction(BatchRows(X, batch, metric="batch_variance_fraction"))


def explained_by_axis(
    scores: np.ndarray, squares: np.ndarray, codes: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Share of the variance of every centred column of scores that lies between the labels."""
    sums = (codes[:, None] == np.arange(len(counts))).astype(np.float64).T @ scores
    return np.clip((sums**2 / counts[:, None]).sum(axis=0) / squares, 0.0, 1.0)


def _pc_regression(table, n_pcs):
    scores, squares = (part[..., :n_pcs] for part in table.axes)
    r2 = explained_by_axis(scores, squares, table.codes, table.counts)
    return float(r2 @ squares / squares.sum()), r2


def pc_regression(X: Any, batch: Any, *, n_pcs: int | None = None, breakdown: bool = False) -> Any:
    r"""Principal component regression: variance of the components that batches explain.

    With :math:`\lambda_k` the variance of component k, the score is
    :math:`\sum_k \lambda_k R^2_k / \sum_k \lambda_k`, where :math:`R^2_k` is the share of its
    variance between the batches.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells. They are centred, not scaled.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    n_pcs : int or None, default=None
        Number of components; None takes all, which gives ``batch_variance_fraction``.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (``variance_share`` among all components and
        ``r2`` of every component) instead of a number.

    Returns
    -------
    share : float or Bunch
        Between 0 and 1. Correction should lower it.

    References
    ----------
    .. [1] Luecken, M. D. et al. (2022). "Benchmarking atlas-level data integration in single-cell
       genomics". Nature Methods 19, 41-50.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import pc_regression
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> batch = np.tile(["a", "b"], 30)
    >>> round(pc_regression(X, batch), 2)
    0.02
    >>> round(pc_regression(X + 9.0 * (batch == "b")[:, None], batch), 2)
    0.95
    """
    table = BatchRows(X, batch, metric="pc_regression", n_pcs=n_pcs)
    score, r2 = _pc_regression(table, n_pcs)
    if not breakdown:
        return score
    shares = table.axes[1] / table.axes[1].sum()
    details = pd.DataFrame({"variance_share": shares[: len(r2)], "r2": r2})
    return Bunch(score=score, details=details)


def _guided_share(sums, squares):
    """Variance along the guided axis over the largest variance, for stacks of sums of batches."""
    products = sums @ np.swapaxes(sums, -1, -2)
    values, vectors = np.linalg.eigh(products)
    strength, axis = values[..., -1], vectors[..., -1]
    loadings = np.einsum("...b,...br->...r", axis, sums)
    guided = loadings**2 @ squares
    none = strength <= _NO_SIGNAL * squares.sum() * squares[0]
    # No axis has more variance than the first, up to rounding.
    return np.minimum(np.where(none, 0.0, guided / np.where(none, 1.0, strength) / squares[0]), 1.0)


def _gpca(table, n_permutations, rng):
    scores, squares = table.axes
    n_samples, n_batches = len(table.codes), len(table.levels)
    delta = float(_guided_share(table.sums(scores), squares))
    block = max(1, _BLOCK_NUMBERS // (n_batches * (n_samples + scores.shape[1])))
    permuted = []
    for start in range(0, n_permutations, block):
        size = min(block, n_permutations - start)
        labels = rng.permuted(np.tile(table.codes, (size, 1)), axis=1)
        marks = (labels[:, None, :] == np.arange(n_batches)[:, None]).astype(np.float64)
        sums = marks.reshape(size * n_batches, n_samples) @ scores
        permuted.append(_guided_share(sums.reshape(size, n_batches, -1), squares))
    permuted = np.concatenate(permuted) if permuted else np.empty(0)
    if not permuted.size:
        p_value = float("nan")
    elif delta == 0.0:
        p_value = 1.0
    else:
        p_value = float((permuted >= delta * (1.0 - _TIE)).mean())
    return Bunch(delta=delta, p_value=p_value, permuted=permuted)


def gpca(X: Any, batch: Any, *, n_permutations: int = 1000, random_state: Any = None) -> Bunch:
    r"""Guided principal components: variance along the batch axis over the largest variance.

    With X centred and Y the indicators of the batches, :math:`v_g` is the first right singular
    vector of :math:`Y^T X`, :math:`v_1` that of :math:`X`, and
    :math:`\delta = \mathrm{var}(X v_g) / \mathrm{var}(X v_1)`.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    n_permutations : int, default=1000
        Permutations of the labels for the p-value; 0 leaves it NaN.

    random_state : int, RandomState instance or None, default=None
        Permutes the labels.

    Returns
    -------
    result : Bunch
        ``delta`` between 0 and 1, ``p_value`` (share of the permutations with a delta at least as
        large) and ``permuted`` (their deltas).

    Notes
    -----
    Judge by the p-value rather than by delta, and by both only beside ``batch_variance_fraction``:
    they tell the direction of the differences between batches, not their size. What little a
    correction leaves may point along an axis of large variance, such as the difference of two
    classes that are unevenly spread over the batches; delta is then large, and the p-value may be
    small. Where the means of the batches are equal, delta is 0 and the p-value 1.

    References
    ----------
    .. [1] Reese, S. E. et al. (2013). "A new statistic for identifying batch effects in
       high-throughput genomic data that uses guided principal component analysis". Bioinformatics
       29, 2877-2883.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import gpca
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> batch = np.tile(["a", "b"], 30)
    >>> found = gpca(X + 9.0 * (batch == "b")[:, None], batch, random_state=0)
    >>> round(found.delta, 2), found.p_value
    (1.0, 0.0)
    >>> gpca(X, batch, random_state=0).p_value > 0.05
    True
    """
    if n_permutations < 0:
        raise ValueError(f"n_permutations={n_permutations!r} must be at least 0.")
    table = BatchRows(X, batch, metric="gpca")
    return _gpca(table, n_permutations, local_rng(random_state))


def _centroid_distance(table):
    return float(pdist(table.sums(table.rows) / table.counts[:, None]).mean())


def centroid_distance(X: Any, batch: Any, *, n_pcs: int | None = None) -> float:
    """Mean Euclidean distance between the centroids of two batches.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    n_pcs : int or None, default=None
        Measure on the first principal components; None takes the features.

    Returns
    -------
    distance : float
        At least 0, in the units of the features. Correction should lower it.

    Examples
    --------
    >>> from synth_estimators.batch_effects import centroid_distance
    >>> centroid_distance([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    10.0
    """
    return _centroid_distance(BatchRows(X, batch, metric="centroid_distance", n_pcs=n_pcs))


def _levene_median(table):
    columns = table.centred
    spread = np.empty_like(columns)
    for code in range(len(table.levels)):
        mine = table.codes == code
        spread[mine] = np.abs(columns[mine] - np.median(columns[mine], axis=0))
    means = table.sums(spread) / table.counts[:, None]
    between = table.counts @ (means - spread.mean(axis=0)) ** 2
    spread -= means[table.codes]
    within = np.einsum("ij,ij->j", spread, spread)
    # Features that are constant in every batch have no spread to compare.
    defined = (between > 0) | (within > 0)
    if not defined.any():
        warnings.warn(
            "levene_median is undefined and returned as NaN: no feature varies within a batch.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        return float("nan")
    with np.errstate(divide="ignore"):
        ratio = between[defined] / within[defined]
    n_samples, n_batches = len(table.codes), len(table.levels)
    return float(np.median(ratio) * (n_samples - n_batches) / (n_batches - 1))


def levene_median(X: Any, batch: Any) -> float:
    """Median over the features of Levene's statistic of equal spread in all batches.

    The statistic is the F of an analysis of variance of the absolute deviations from the median
    of the batch.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    Returns
    -------
    statistic : float
        At least 0; below about 1 where the spreads agree. Correction should lower it; one that
        shifts the batches only leaves it as it is.

    Warns
    -----
    UndefinedMetricWarning
        If no feature varies within a batch; the result is NaN.

    References
    ----------
    .. [1] Brown, M. B. and Forsythe, A. B. (1974). "Robust tests for the equality of variances".
       Journal of the American Statistical Association 69, 364-367.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import levene_median
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> batch = np.tile(["a", "b"], 30)
    >>> uneven = np.where(batch == "a", 9.0, 1.0)[:, None] * X
    >>> levene_median(X, batch) < 4 < levene_median(uneven, batch)
    True
    """
    return _levene_median(BatchRows(X, batch, metric="levene_median"))
