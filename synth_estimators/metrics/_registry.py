"""The table of metrics that scorers and reports read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from synth_estimators.metrics._adversarial_accuracy import nn_adversarial_accuracy, privacy_loss
from synth_estimators.metrics._association import association_distance, marginal_k_similarity
from synth_estimators.metrics._attacks import inference_risk, linkability_risk
from synth_estimators.metrics._cells import (
    category_adherence,
    category_coverage,
    missing_value_similarity,
)
from synth_estimators.metrics._continuous import (
    boundary_adherence,
    jensen_shannon_distance,
    range_coverage,
    statistic_similarity,
    wasserstein_1d,
)
from synth_estimators.metrics._copies import exact_copy_share, new_row_score
from synth_estimators.metrics._expression import (
    gene_ks_distance,
    gene_moment_agreement,
    library_size_distance,
    mean_variance_trend_distance,
    zero_fraction_distance,
)
from synth_estimators.metrics._expression_groups import cluster_agreement, de_agreement
from synth_estimators.metrics._expression_structure import gene_correlation_distance
from synth_estimators.metrics._fidelity import column_shapes_score, ks_complement, tv_complement
from synth_estimators.metrics._kernels import mmd, mmd_test
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
from synth_estimators.metrics._membership import membership_auc, membership_tpr_at_fpr
from synth_estimators.metrics._pairs import column_pair_trends_score, correlation_distance
from synth_estimators.metrics._privacy import dcr_overfitting_protection, dcr_share
from synth_estimators.metrics._privacy_distances import (
    dcr_baseline_protection,
    dcr_quantile_ratio,
    identifiability_score,
    nndr,
)
from synth_estimators.metrics._similarities import (
    contingency_similarity,
    correlation_similarity,
    quality_score,
)
from synth_estimators.metrics._singling_out import singling_out_risk
from synth_estimators.metrics._transport import sliced_wasserstein_distance, wasserstein_exact
from synth_estimators.metrics._two_sample import c2st_auc, c2st_score, pca_c2st_auc
from synth_estimators.metrics._two_sample_test import c2st_test
from synth_estimators.metrics._utility import trtr_score, tstr_score, utility_gap, utility_ratio
from synth_estimators.metrics._utility_columns import (
    all_targets_utility,
    feature_importance_agreement,
)
from synth_estimators.metrics._utility_gain import augmentation_gain, calibration_gap, trts_score

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
    "wasserstein_1d": MetricInfo(wasserstein_1d, False, 0.0, _INF, 0.0, (), False),
    "jensen_shannon_distance": MetricInfo(
        jensen_shannon_distance, False, 0.0, float(np.sqrt(np.log(2.0))), 0.0, (), False
    ),
    "boundary_adherence": MetricInfo(boundary_adherence, True, 0.0, 1.0, 1.0, (), False),
    "range_coverage": MetricInfo(range_coverage, True, 0.0, 1.0, 1.0, (), False),
    "statistic_similarity": MetricInfo(statistic_similarity, True, 0.0, 1.0, 1.0, (), False),
    "category_coverage": MetricInfo(category_coverage, True, 0.0, 1.0, 1.0, (), False),
    "category_adherence": MetricInfo(category_adherence, True, 0.0, 1.0, 1.0, (), False),
    "missing_value_similarity": MetricInfo(
        missing_value_similarity, True, 0.0, 1.0, 1.0, (), False
    ),
    "column_pair_trends_score": MetricInfo(column_pair_trends_score, True, 0.0, 1.0, 1.0),
    "quality_score": MetricInfo(quality_score, True, 0.0, 1.0, 1.0),
    "correlation_similarity": MetricInfo(correlation_similarity, True, 0.0, 1.0, 1.0),
    "contingency_similarity": MetricInfo(contingency_similarity, True, 0.0, 1.0, 1.0),
    "association_distance": MetricInfo(association_distance, False, 0.0, 1.0, 0.0),
    "marginal_k_similarity": MetricInfo(marginal_k_similarity, True, 0.0, 1.0, 1.0),
    "correlation_distance": MetricInfo(correlation_distance, False, 0.0, 2.0, 0.0),
    "energy_distance": MetricInfo(energy_distance, False, 0.0, _INF, 0.0),
    "mmd": MetricInfo(mmd, False, 0.0, 2.0, 0.0),
    "mmd_test": MetricInfo(mmd_test, True, 0.0, 1.0, 0.5),
    "sliced_wasserstein_distance": MetricInfo(sliced_wasserstein_distance, False, 0.0, _INF, 0.0),
    "wasserstein_exact": MetricInfo(wasserstein_exact, False, 0.0, _INF, 0.0),
    "nn_adversarial_accuracy": MetricInfo(nn_adversarial_accuracy, False, 0.0, 1.0, 0.5),
    "prdc_precision": MetricInfo(prdc_precision, True, 0.0, 1.0, 1.0),
    "prdc_recall": MetricInfo(prdc_recall, True, 0.0, 1.0, 1.0, (), False),
    "prdc_density": MetricInfo(prdc_density, True, 0.0, _INF, 1.0),
    "prdc_coverage": MetricInfo(prdc_coverage, True, 0.0, 1.0, 1.0),
    "alpha_precision": MetricInfo(alpha_precision, True, 0.0, 1.0, 1.0, (), False),
    "beta_recall": MetricInfo(beta_recall, True, 0.0, 1.0, 0.5),
    "authenticity": MetricInfo(authenticity, True, 0.0, 1.0, 0.55, (), False),
    "c2st_auc": MetricInfo(c2st_auc, False, 0.0, 1.0, 0.5),
    "c2st_score": MetricInfo(c2st_score, True, 0.0, 1.0, 1.0),
    "c2st_test": MetricInfo(c2st_test, True, 0.0, 1.0, 0.5),
    "pca_c2st_auc": MetricInfo(pca_c2st_auc, False, 0.0, 1.0, 0.5),
    "tstr_score": MetricInfo(tstr_score, True, -_INF, 1.0, 1.0, ("target",)),
    "trtr_score": MetricInfo(trtr_score, True, -_INF, 1.0, 1.0, ("X_train", "target"), False),
    "utility_ratio": MetricInfo(utility_ratio, True, -_INF, _INF, 1.0, ("X_train", "target")),
    "utility_gap": MetricInfo(utility_gap, False, -_INF, _INF, 0.0, ("X_train", "target")),
    "trts_score": MetricInfo(trts_score, True, -_INF, 1.0, 1.0, ("target",)),
    "augmentation_gain": MetricInfo(
        augmentation_gain, True, -_INF, _INF, _INF, ("X_train", "target")
    ),
    "feature_importance_agreement": MetricInfo(
        feature_importance_agreement, True, -1.0, 1.0, 1.0, ("X_train", "target")
    ),
    "all_targets_utility": MetricInfo(all_targets_utility, False, -_INF, _INF, 0.0, ("X_train",)),
    "calibration_gap": MetricInfo(calibration_gap, False, -1.0, 1.0, 0.0, ("X_train", "target")),
    "dcr_share": MetricInfo(dcr_share, False, 0.0, 1.0, 0.5, _PRIVACY, False),
    "privacy_loss": MetricInfo(privacy_loss, False, -1.0, 1.0, 0.0, _PRIVACY, False),
    "membership_auc": MetricInfo(membership_auc, False, 0.0, 1.0, 0.5, _PRIVACY, False),
    "exact_copy_share": MetricInfo(exact_copy_share, False, 0.0, 1.0, 0.0, ("X_train",), False),
    "new_row_score": MetricInfo(new_row_score, True, 0.0, 1.0, 1.0, ("X_train",), False),
    "dcr_overfitting_protection": MetricInfo(
        dcr_overfitting_protection, True, 0.0, 1.0, 1.0, _PRIVACY, False
    ),
    "dcr_baseline_protection": MetricInfo(
        dcr_baseline_protection, True, 0.0, 1.0, 1.0, ("X_train",), False
    ),
    "dcr_quantile_ratio": MetricInfo(dcr_quantile_ratio, True, 0.0, _INF, 1.0, _PRIVACY, False),
    "nndr": MetricInfo(nndr, True, 0.0, 1.0, 1.0, ("X_train",), False),
    "membership_tpr_at_fpr": MetricInfo(
        membership_tpr_at_fpr, False, 0.0, 1.0, 0.1, _PRIVACY, False
    ),
    "identifiability_score": MetricInfo(
        identifiability_score, False, 0.0, 1.0, 0.5, ("X_train",), False
    ),
    "singling_out_risk": MetricInfo(singling_out_risk, False, 0.0, 1.0, 0.0, _PRIVACY, False),
    "linkability_risk": MetricInfo(linkability_risk, False, 0.0, 1.0, 0.0, _PRIVACY, False),
    "inference_risk": MetricInfo(inference_risk, False, 0.0, 1.0, 0.0, _PRIVACY, False),
    "gene_ks_distance": MetricInfo(gene_ks_distance, False, 0.0, 1.0, 0.0, (), False),
    "gene_moment_agreement": MetricInfo(gene_moment_agreement, True, -1.0, 1.0, 1.0, (), False),
    "mean_variance_trend_distance": MetricInfo(
        mean_variance_trend_distance, False, 0.0, _INF, 0.0, (), False
    ),
    "zero_fraction_distance": MetricInfo(zero_fraction_distance, False, 0.0, 1.0, 0.0, (), False),
    "library_size_distance": MetricInfo(library_size_distance, False, 0.0, 1.0, 0.0),
    "gene_correlation_distance": MetricInfo(gene_correlation_distance, False, 0.0, 2.0, 0.0),
    "de_agreement": MetricInfo(de_agreement, True, -1.0, 1.0, 1.0, ("target",)),
    "cluster_agreement": MetricInfo(cluster_agreement, False, 0.0, 2.0, 0.0, ("target",)),
}
