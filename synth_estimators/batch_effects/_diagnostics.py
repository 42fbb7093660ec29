"""How far batches stand apart, and how well their rows mix."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2
from sklearn.metrics import davies_bouldin_score, silhouette_samples
from sklearn.utils import Bunch

from synth_estimators._mixing import (
    chi_squared_mixture,
    inverse_simpson,
    nearest_others,
    neighbor_weights,
)
from synth_estimators._random import local_rng
from synth_estimators.batch_effects._batch_rows import BatchRows

__all__ = [
    "asw_batch",
    "davies_bouldin_batch",
    "kbet_rejection",
    "lisi_batch",
    "silhouette_batch",
    "silhouette_label",
]

_NEIGHBORS_PER_PERPLEXITY = 3
_MIN_NEIGHBORS = 10
_BATCH_SHARE = 0.75
_PERMUTATIONS = 20


def silhouettes(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Silhouette of every row with the labels as clusters; 0 for a label with one row."""
    return silhouette_samples(rows, codes)


def silhouette_batch(X: Any, batch: Any, *, n_pcs: int | None = None) -> float:
    r"""Mean silhouette of the rows with the batches as clusters.

    With :math:`a` the mean distance of a row to the others of its batch and :math:`b` the smallest
    mean distance to another batch, its silhouette is :math:`(b - a) / \max(a, b)`.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

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
    silhouette : float
        Between -1 and 1: near 1 where batches stand apart, about 0 or below where they mix.
        Correction should lower it.

    See Also
    --------
    asw_batch : The same where more is better.
    silhouette_label : Classes in the place of batches.

    References
    ----------
    .. [1] Rousseeuw, P. J. (1987). "Silhouettes: a graphical aid to the interpretation and
       validation of cluster analysis". Journal of Computational and Applied Mathematics 20, 53-65.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import silhouette_batch
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> batch = np.tile(["a", "b"], 30)
    >>> round(silhouette_batch(X, batch), 2)
    0.01
    >>> round(silhouette_batch(X + 9.0 * (batch == "b")[:, None], batch), 2)
    0.85
    """
    table = BatchRows(X, batch, metric="silhouette_batch", n_pcs=n_pcs)
    return float(silhouettes(table.rows, table.codes).mean())


def silhouette_label(X: Any, label: Any, *, n_pcs: int | None = None) -> float:
    """Mean silhouette of the rows with the classes as clusters.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    label : array-like of shape (n_samples,)
        Class of every row: cell type, disease, what a correction has to keep.

    n_pcs : int or None, default=None
        Measure on the first principal components; None takes the features.

    Returns
    -------
    silhouette : float
        Between -1 and 1. Correction should raise it, or leave it as it is.

    See Also
    --------
    silhouette_batch : Batches in the place of classes.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import silhouette_label
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> label = np.tile(["case", "control"], 30)
    >>> round(silhouette_label(X + 9.0 * (label == "case")[:, None], label), 2)
    0.85
    """
    table = BatchRows(X, label, metric="silhouette_label", name="label", n_pcs=n_pcs)
    return float(silhouettes(table.rows, table.codes).mean())


def asw_batch(X: Any, batch: Any, *, n_pcs: int | None = None) -> float:
    """Average silhouette width of batches, turned so that mixed batches come near 1.

    The mean over the rows of 1 minus the absolute value of their silhouette.

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
    width : float
        Between 0 and 1. Correction should raise it.

    See Also
    --------
    silhouette_batch : The silhouette itself.

    References
    ----------
    .. [1] Luecken, M. D. et al. (2022). "Benchmarking atlas-level data integration in single-cell
       genomics". Nature Methods 19, 41-50.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import asw_batch
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> batch = np.tile(["a", "b"], 30)
    >>> round(asw_batch(X, batch), 2)
    0.92
    """
    table = BatchRows(X, batch, metric="asw_batch", n_pcs=n_pcs)
    return float((1.0 - np.abs(silhouettes(table.rows, table.codes))).mean())


def davies_bouldin_batch(X: Any, batch: Any, *, n_pcs: int | None = None) -> float:
    r"""Davies-Bouldin index with the batches as clusters: rises when batches merge.

    With :math:`s_i` the mean distance of the rows of batch i to their centroid and :math:`d_{ij}`
    the distance of two centroids, it is the mean over i of
    :math:`\max_{j \ne i} (s_i + s_j) / d_{ij}`.

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
    index : float
        At least 0, without an upper bound. Correction should raise it: a low value says that the
        batches are compact and far from each other.

    References
    ----------
    .. [1] Davies, D. L. and Bouldin, D. W. (1979). "A cluster separation measure". IEEE
       Transactions on Pattern Analysis and Machine Intelligence 1, 224-227.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import davies_bouldin_batch
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> batch = np.tile(["a", "b"], 30)
    >>> apart = X + 9.0 * (batch == "b")[:, None]
    >>> davies_bouldin_batch(X, batch) > 10 * davies_bouldin_batch(apart, batch)
    True
    """
    table = BatchRows(X, batch, metric="davies_bouldin_batch", n_pcs=n_pcs)
    return float(davies_bouldin_score(table.rows, table.codes))


def neighborhood_size(counts: np.ndarray) -> int:
    """Size of a neighbourhood: three quarters of the mean batch size, at least 10."""
    return max(_MIN_NEIGHBORS, int(_BATCH_SHARE * counts.mean()))


def rejections(index: np.ndarray, codes: np.ndarray, counts: np.ndarray, *, level: float) -> Any:
    """Statistic and p-value of every neighbourhood, and the share that is rejected."""
    # Small integers: the labels of all neighbours are one large array.
    small = codes.astype(np.min_scalar_type(len(counts)))
    statistic = chi_squared_mixture(small[index], counts)
    p = chi2.sf(statistic, len(counts) - 1)
    return statistic, p, float((p < level).mean())


def permuted_rejection(
    index: np.ndarray, codes: np.ndarray, counts: np.ndarray, rng: Any, *, level: float
) -> float:
    """Mean share of rejected neighbourhoods when the labels are permuted."""
    rates = [
        rejections(index, rng.permutation(codes), counts, level=level)[2]
        for _ in range(_PERMUTATIONS)
    ]
    return float(np.mean(rates))


def with_self(index: np.ndarray) -> np.ndarray:
    """Put the row itself before its neighbours."""
    return np.column_stack([np.arange(len(index)), index])


def kbet_rejection(
    X: Any,
    batch: Any,
    *,
    n_neighbors: int | None = None,
    include_self: bool = True,
    level: float = 0.05,
    n_pcs: int | None = None,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Share of the neighbourhoods whose batches differ from the mixture of all rows.

    With :math:`O_b` the rows of batch b among the :math:`k` rows of a neighbourhood and
    :math:`f_b` its share of all rows, :math:`\sum_b (O_b - k f_b)^2 / (k f_b)` is compared with
    the chi-squared law of one degree of freedom less than there are batches.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    n_neighbors : int or None, default=None
        Size of a neighbourhood; None is three quarters of the mean batch size, at least 10.

    include_self : bool, default=True
        Count the row itself among the ``n_neighbors``.

    level : float, default=0.05
        A neighbourhood is rejected if its p-value is below this.

    n_pcs : int or None, default=None
        Measure on the first principal components; None takes the features.

    random_state : int, RandomState instance or None, default=None
        Permutes the labels for ``permuted``.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``permuted`` (mean rate of 20 permutations of the labels),
        ``details`` (``chi2`` and ``p`` of every row) and ``n_neighbors`` instead of a number.

    Returns
    -------
    rate : float or Bunch
        Between 0 and 1. Correction should lower it, to the rate under permuted labels.

    See Also
    --------
    synth_estimators.metrics.kbet_acceptance : Share of accepted rows in tables of mixed columns.

    Notes
    -----
    A neighbourhood is drawn from the rows without replacement. The larger its share of them, the
    less its batches vary, and the further the rate of well-mixed batches lies below ``level``.

    References
    ----------
    .. [1] Büttner, M., Miao, Z., Wolf, F. A., Teichmann, S. A. and Theis, F. J. (2019). "A test
       metric for assessing single-cell RNA-seq batch correction". Nature Methods 16, 43-49.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import kbet_rejection
    >>> X = np.random.default_rng(0).normal(size=(90, 5))
    >>> batch = np.tile(["a", "b"], 45)
    >>> kbet_rejection(X, batch) < 0.1
    True
    >>> kbet_rejection(X + 9.0 * (batch == "b")[:, None], batch)
    1.0
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} must be between 0 and 1.")
    smallest = 2 if include_self else 1
    if n_neighbors is not None and n_neighbors < smallest:
        raise ValueError(f"n_neighbors={n_neighbors!r} must be at least {smallest} or None.")
    table = BatchRows(X, batch, metric="kbet_rejection", n_pcs=n_pcs)
    size = neighborhood_size(table.counts) if n_neighbors is None else int(n_neighbors)
    size = min(size, len(table.codes) - (not include_self))
    _, index = nearest_others(table.rows, size - include_self)
    if include_self:
        index = with_self(index)
    statistic, p, rate = rejections(index, table.codes, table.counts, level=level)
    if not breakdown:
        return rate
    rng = local_rng(random_state)
    return Bunch(
        score=rate,
        permuted=permuted_rejection(index, table.codes, table.counts, rng, level=level),
        details=pd.DataFrame({"chi2": statistic, "p": p}),
        n_neighbors=size,
    )


def lisi_neighbors(n_samples: int, perplexity: float) -> tuple[float, int]:
    """Perplexity that the rows allow, and the number of neighbours it takes."""
    if _NEIGHBORS_PER_PERPLEXITY * perplexity > n_samples:
        perplexity = n_samples // _NEIGHBORS_PER_PERPLEXITY
    return float(perplexity), max(1, int(_NEIGHBORS_PER_PERPLEXITY * perplexity) - 1)


def lisi_values(
    distance: np.ndarray, index: np.ndarray, codes: np.ndarray, n_labels: int, perplexity: float
) -> np.ndarray:
    """Effective number of labels around every row."""
    return inverse_simpson(codes[index], neighbor_weights(distance, perplexity), n_labels)


def lisi_batch(
    X: Any,
    batch: Any,
    *,
    perplexity: float = 30.0,
    n_pcs: int | None = None,
    breakdown: bool = False,
) -> Any:
    r"""Local inverse Simpson index: the effective number of batches around a row.

    With :math:`p_b` the weight of batch b among the neighbours of a row, its index is
    :math:`1 / \sum_b p_b^2`; the score is the mean over the rows.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    perplexity : float, default=30.0
        Effective number of neighbours; three times as many, the row itself among them, are looked
        at.

    n_pcs : int or None, default=None
        Measure on the first principal components; None takes the features.

    breakdown : bool, default=False
        Return a Bunch with ``score`` (the mean), ``median``, ``details`` (``lisi`` of every row)
        and ``perplexity`` instead of a number.

    Returns
    -------
    index : float or Bunch
        Between 1 and the number of batches. Correction should raise it.

    Warns
    -----
    UserWarning
        If there are fewer rows than three times the perplexity, which is then lowered to a third
        of the number of rows.

    See Also
    --------
    synth_estimators.metrics.lisi : Median over the rows of tables of mixed columns.

    References
    ----------
    .. [1] Korsunsky, I. et al. (2019). "Fast, sensitive and accurate integration of single-cell
       data with Harmony". Nature Methods 16, 1289-1296.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import lisi_batch
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> batch = np.tile(["a", "b"], 150)
    >>> lisi_batch(X, batch) > 1.8, lisi_batch(X + 99.0 * (batch == "a")[:, None], batch)
    (True, 1.0)
    """
    if not perplexity > 1:
        raise ValueError(f"perplexity={perplexity!r} must be above 1.")
    table = BatchRows(X, batch, metric="lisi_batch", n_pcs=n_pcs)
    used, n_neighbors = lisi_neighbors(len(table.codes), perplexity)
    if used < perplexity:
        warnings.warn(
            f"X has {len(table.codes)} rows, too few for perplexity={perplexity:g}; it is lowered "
            f"to {used:g}.",
            UserWarning,
            stacklevel=2,
        )
    distance, index = nearest_others(table.rows, n_neighbors)
    values = lisi_values(distance, index, table.codes, len(table.levels), used)
    if not breakdown:
        return float(values.mean())
    return Bunch(
        score=float(values.mean()),
        median=float(np.median(values)),
        details=pd.DataFrame({"lisi": values}),
        perplexity=used,
    )
