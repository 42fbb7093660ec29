"""The table of metrics that scorers and reports read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from synth_estimators.metrics._fidelity import column_shapes_score, ks_complement, tv_complement
from synth_estimators.metrics._manifold import energy_distance
from synth_estimators.metrics._manifold_scores import (
    alpha_precision,
    authenticity,
    beta_recall,
    prdc_coverage,
    prdc_density,
    prdc_precision,
    prdc_recall,
)
from synth_estimators.metrics._pairs import column_pair_trends_score, correlation_distance
from synth_estimators.metrics._privacy import dcr_share, exact_copy_share, membership_auc
from synth_estimators.metrics._two_sample import c2st_auc, c2st_score, pca_c2st_auc
from synth_estimators.metrics._utility import trtr_score, tstr_score, utility_gap, utility_ratio

__all__ = ["METRICS", "MetricInfo"]


class MetricInfo(NamedTuple):
    """What scorers and reports need to know of a metric.

    Attributes
    ----------
    function : callable
        ``function(X_real, X_synth, **keywords)``.

    greater_is_better : bool
        Whether larger values are better; up to ``ideal`` where that lies inside the range.

    low, high : float
        Range of the values.

    ideal : float
        Value of fresh real rows, or the best end of the range.

    needs : tuple of str
        Keywords that must be given besides the two tables; "column" says that the tables hold one
        column.

    sees_dependence : bool
        Whether columns shuffled independently score worse than real rows.
    """

    function: Callable
    greater_is_better: bool
    low: float
    high: float
    ideal: float
    needs: tuple[str, ...] = ()
    sees_dependence: bool = True


_INF = np.inf
_PRIVACY = ("X_train", "X_holdout")

#: Name -> MetricInfo.
METRICS: dict[str, MetricInfo] = {
    "ks_complement": MetricInfo(ks_complement, True, 0.0, 1.0, 1.0, ("column",), False),
    "tv_complement": MetricInfo(tv_complement, True, 0.0, 1.0, 1.0, ("column",), False),
    "column_shapes_score": MetricInfo(column_shapes_score, True, 0.0, 1.0, 1.0, (), False),
    "column_pair_trends_score": MetricInfo(column_pair_trends_score, True, 0.0, 1.0, 1.0),
    "correlation_distance": MetricInfo(correlation_distance, False, 0.0, 2.0, 0.0),
    "energy_distance": MetricInfo(energy_distance, False, 0.0, _INF, 0.0),
    "prdc_precision": MetricInfo(prdc_precision, True, 0.0, 1.0, 1.0),
    "prdc_recall": MetricInfo(prdc_recall, True, 0.0, 1.0, 1.0),
    "prdc_density": MetricInfo(prdc_density, True, 0.0, _INF, 1.0),
    "prdc_coverage": MetricInfo(prdc_coverage, True, 0.0, 1.0, 1.0),
    "alpha_precision": MetricInfo(alpha_precision, True, 0.0, 1.0, 1.0, (), False),
    "beta_recall": MetricInfo(beta_recall, True, 0.0, 1.0, 0.5),
    "authenticity": MetricInfo(authenticity, True, 0.0, 1.0, 0.55, (), False),
    "c2st_auc": MetricInfo(c2st_auc, False, 0.0, 1.0, 0.5),
    "c2st_score": MetricInfo(c2st_score, True, 0.0, 1.0, 1.0),
    "pca_c2st_auc": MetricInfo(pca_c2st_auc, False, 0.0, 1.0, 0.5),
    "tstr_score": MetricInfo(tstr_score, True, -_INF, 1.0, 1.0, ("target",)),
    "trtr_score": MetricInfo(trtr_score, True, -_INF, 1.0, 1.0, ("X_train", "target"), False),
    "utility_ratio": MetricInfo(utility_ratio, True, -_INF, _INF, 1.0, ("X_train", "target")),
    "utility_gap": MetricInfo(utility_gap, False, -_INF, _INF, 0.0, ("X_train", "target")),
    "dcr_share": MetricInfo(dcr_share, False, 0.0, 1.0, 0.5, _PRIVACY, False),
    "membership_auc": MetricInfo(membership_auc, False, 0.0, 1.0, 0.5, _PRIVACY, False),
    "exact_copy_share": MetricInfo(exact_copy_share, False, 0.0, 1.0, 0.0, ("X_train",), False),
}
