"""All metrics of batch effects in one dictionary."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import davies_bouldin_score

from synth_estimators._mixing import nearest_others
from synth_estimators._random import spawn_seeds
from synth_estimators.batch_effects._batch_rows import (
    BatchRows,
    principal_axes,
    read_levels,
    read_matrix,
)
from synth_estimators.batch_effects._batch_variance import (
    _batch_variance_fraction,
    _centroid_distance,
    _gpca,
    _levene_median,
    _pc_regression,
    _variance_ratio,
)
from synth_estimators.batch_effects._diagnostics import (
    lisi_neighbors,
    lisi_values,
    neighborhood_size,
    permuted_rejection,
    rejections,
    silhouettes,
    with_self,
)
from synth_estimators.batch_effects._kept_structure import check_pair, compare_structure
from synth_estimators.batch_effects._variance_components import pvca

__all__ = ["BATCH_METRICS", "BatchMetricInfo", "batch_metrics"]

_PERPLEXITY = 30.0
_LEVEL = 0.05
_GPCA_PERMUTATIONS = 1000
_OVERLAPS = (5, 10, 50)
_MAX_ROWS = 2000
_INF = float("inf")


class BatchMetricInfo(NamedTuple):
    """What displays and the command line need to know of a metric of batch effects.

    Attributes
    ----------
    title : str
        A few words that say what it is.

    greater_is_better : bool or None
        Whether correction should raise the value; None for values to compare others with.

    low, high : float
        Range of the values; infinity where it has no end.

    needs : str or None
        "label" or "before" where the metric takes more than rows and batches.
    """

    title: str
    greater_is_better: bool | None
    low: float
    high: float
    needs: str | None = None


#: Key of ``batch_metrics`` -> BatchMetricInfo.
BATCH_METRICS: dict[str, BatchMetricInfo] = {
    "silhouette_batch": BatchMetricInfo("silhouette of batches", False, -1.0, 1.0),
    "asw_batch": BatchMetricInfo("1 - |silhouette| of batches", True, 0.0, 1.0),
    "davies_bouldin_batch": BatchMetricInfo("Davies-Bouldin of batches", True, 0.0, _INF),
    "kbet_rejection": BatchMetricInfo("kBET rejection rate", False, 0.0, 1.0),
    "kbet_rejection_permuted": BatchMetricInfo("kBET, labels permuted", None, 0.0, 1.0),
    "lisi_mean": BatchMetricInfo("mean LISI of batches", True, 1.0, _INF),
    "lisi_median": BatchMetricInfo("median LISI of batches", True, 1.0, _INF),
    "variance_ratio": BatchMetricInfo("variance between / within", False, 0.0, _INF),
    "batch_variance_fraction": BatchMetricInfo("variance between batches", False, 0.0, 1.0),
    "pc_regression": BatchMetricInfo("batch share of PCs", False, 0.0, 1.0),
    "pvca_batch": BatchMetricInfo("PVCA, batch", False, 0.0, 1.0),
    "pvca_label": BatchMetricInfo("PVCA, class", True, 0.0, 1.0, "label"),
    "pvca_interaction": BatchMetricInfo("PVCA, batch x class", False, 0.0, 1.0, "label"),
    "pvca_residual": BatchMetricInfo("PVCA, residual", None, 0.0, 1.0),
    "gpca_delta": BatchMetricInfo("guided PCA, delta", False, 0.0, 1.0),
    "gpca_p_value": BatchMetricInfo("guided PCA, p-value", True, 0.0, 1.0),
    "centroid_distance": BatchMetricInfo("distance of centroids", False, 0.0, _INF),
    "levene_median": BatchMetricInfo("median Levene statistic", False, 0.0, _INF),
    "silhouette_label": BatchMetricInfo("silhouette of classes", True, -1.0, 1.0, "label"),
    "knn_overlap_5": BatchMetricInfo("5 nearest rows kept", True, 0.0, 1.0, "before"),
    "knn_overlap_10": BatchMetricInfo("10 nearest rows kept", True, 0.0, 1.0, "before"),
    "knn_overlap_50": BatchMetricInfo("50 nearest rows kept", True, 0.0, 1.0, "before"),
    "distance_correlation": BatchMetricInfo(
        "rank correlation of distances", True, -1.0, 1.0, "before"
    ),
}


def _mixing(table, rng):
    """Rejection rates and LISI from one search of the neighbours."""
    n_samples = len(table.codes)
    size = min(neighborhood_size(table.counts), n_samples)
    perplexity, n_neighbors = lisi_neighbors(n_samples, _PERPLEXITY)
    distance, index = nearest_others(table.rows, max(n_neighbors, size - 1))
    around = with_self(index[:, : size - 1])
    labels = table.codes, table.counts
    lisi = lisi_values(
        distance[:, :n_neighbors],
        index[:, :n_neighbors],
        table.codes,
        len(table.levels),
        perplexity,
    )
    return {
        "kbet_rejection": rejections(around, *labels, level=_LEVEL)[2],
        "kbet_rejection_permuted": permuted_rejection(around, *labels, rng, level=_LEVEL),
        "lisi_mean": float(lisi.mean()),
        "lisi_median": float(np.median(lisi)),
    }


def _shares(table, classes):
    """Variance components of batch, class and their interaction."""
    names = ["pvca_batch", "pvca_residual"]
    factors = {"batch": table.codes}
    if classes is not None:
        names[1:1] = ["pvca_label", "pvca_interaction"]
        factors["label"] = classes
        pairs = np.unique(np.column_stack([table.codes, classes]), axis=0)
        if len(pairs) == len(table.levels) == len(np.unique(classes)):
            return _undefined(names, "batch and label split the rows in the same way")
    if table.centred.shape[1] < 2:
        return _undefined(names, "X has one feature")
    return dict(zip(names, pvca(table.centred, factors).values(), strict=True))


def _undefined(names, why):
    warnings.warn(
        f"{', '.join(names)} are undefined and returned as NaN: {why}.",
        UndefinedMetricWarning,
        stacklevel=4,
    )
    return dict.fromkeys(names, float("nan"))


def batch_metrics(
    X: Any,
    batch: Any,
    label: Any = None,
    *,
    before: Any = None,
    n_pcs: int | None = None,
    random_state: Any = None,
) -> dict[str, float]:
    """All metrics of batch effects: how far batches stand apart, and what of the classes is left.

    Call it on the rows before and after a correction and compare; ``BATCH_METRICS`` tells which
    values should rise.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    label : array-like of shape (n_samples,), default=None
        Class of every row, what a correction has to keep; adds the metrics marked L.

    before : {array-like, pandas DataFrame} of shape (n_samples, n_features_before), default=None
        The rows before the correction; adds the metrics marked B.

    n_pcs : int or None, default=None
        Principal components for the metrics marked P; None takes the features (all components
        for ``pc_regression``).

    random_state : int, RandomState instance or None, default=None
        Seeds the permutations, and the choice of rows of large tables.

    Returns
    -------
    metrics : dict of float
        With these keys; in brackets what correction should do to the value.

        - ``silhouette_batch`` [lower], ``asw_batch`` [raise], ``davies_bouldin_batch`` [raise] (P)
        - ``kbet_rejection`` [lower, to ``kbet_rejection_permuted``], the share of rejected
          neighbourhoods, with the own and with permuted labels (P)
        - ``lisi_mean`` and ``lisi_median`` [raise] (P), at perplexity 30, or a third of the number
          of rows where that is less
        - ``variance_ratio`` and ``batch_variance_fraction`` [lower], ``pc_regression`` [lower] (P)
        - ``pvca_batch`` [lower] and ``pvca_residual``; with labels also ``pvca_label`` [raise] and
          ``pvca_interaction`` [lower] (L)
        - ``gpca_delta`` [lower] and ``gpca_p_value`` [raise], of 1,000 permutations
        - ``centroid_distance`` [lower] (P), ``levene_median`` [lower]
        - ``silhouette_label`` [raise] (P, L)
        - ``knn_overlap_5``, ``knn_overlap_10`` and ``knn_overlap_50`` [raise], where there are
          enough rows, and ``distance_correlation`` [raise] of at most 2,000 rows (P, B)

    Raises
    ------
    TypeError
        For sparse matrices.

    ValueError
        For one batch or a batch a row, labels that are missing or too few, NaN or infinity, rows
        that are all equal.

    Warns
    -----
    UndefinedMetricWarning
        Where batch and label split the rows in the same way, there is one feature only, or none
        varies within a batch; the metrics concerned are NaN.

    See Also
    --------
    synth_estimators.inspection.BatchEffectDisplay : Shows them before and after a correction.

    Notes
    -----
    No metric can tell a batch effect from a difference of classes that sit in different batches:
    with confounded labels, a correction that removes the classes looks best. Distances cost the
    square of the number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import ComBat, batch_metrics
    >>> rng = np.random.default_rng(0)
    >>> batch = np.tile(["a", "b", "c"], 20)
    >>> X = rng.normal(size=(60, 30)) + rng.normal(size=(3, 30))[np.tile([0, 1, 2], 20)]
    >>> corrected = ComBat().fit_transform(X, batch=batch)
    >>> for rows in (X, corrected):
    ...     found = batch_metrics(rows, batch, random_state=0)
    ...     print(round(found["kbet_rejection"], 2), round(found["batch_variance_fraction"], 2))
    1.0 0.41
    0.0 0.0
    """
    table = BatchRows(X, batch, metric="batch_metrics", n_pcs=n_pcs)
    classes = None
    if label is not None:
        classes = read_levels(
            label, n_samples=len(table.codes), name="label", metric="batch_metrics"
        ).codes
    earlier = None if before is None else _rows_before(before, table, n_pcs)
    # Every stream of random numbers has a seed of its own, so that optional parts move no other.
    rngs = [np.random.default_rng(seed) for seed in spawn_seeds(random_state, 3)]
    silhouette = silhouettes(table.rows, table.codes)
    guided = _gpca(table, _GPCA_PERMUTATIONS, rngs[1])
    found = {
        "silhouette_batch": float(silhouette.mean()),
        "asw_batch": float((1.0 - np.abs(silhouette)).mean()),
        "davies_bouldin_batch": float(davies_bouldin_score(table.rows, table.codes)),
        **_mixing(table, rngs[0]),
        "variance_ratio": _variance_ratio(table),
        "batch_variance_fraction": _batch_variance_fraction(table),
        "pc_regression": _pc_regression(table, n_pcs)[0],
        **_shares(table, classes),
        "gpca_delta": guided.delta,
        "gpca_p_value": guided.p_value,
        "centroid_distance": _centroid_distance(table),
        "levene_median": _levene_median(table),
    }
    if classes is not None:
        found["silhouette_label"] = float(silhouettes(table.rows, classes).mean())
    if earlier is not None:
        found |= compare_structure(table.rows, earlier, _OVERLAPS, max_rows=_MAX_ROWS, rng=rngs[2])
    return found


def _rows_before(before, table, n_pcs):
    rows = read_matrix(before, "before")
    check_pair(table.centred, rows)
    rows = rows - rows.mean(axis=0)
    if n_pcs is None and rows.shape[1] <= len(rows):
        return rows
    return principal_axes(rows)[0][:, :n_pcs]
