"""Functions that compare synthetic with real tables.

Compare with real rows that the generator has not seen wherever there are any: comparison with its
training rows rewards copying.
"""

from synth_estimators.metrics._adversarial_accuracy import nn_adversarial_accuracy, privacy_loss
from synth_estimators.metrics._association import association_distance, marginal_k_similarity
from synth_estimators.metrics._attack_rates import attack_rate, residual_risk
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
from synth_estimators.metrics._expression_mixing import kbet_acceptance, lisi
from synth_estimators.metrics._expression_structure import (
    correlation_noise_floor,
    gene_correlation_distance,
)
from synth_estimators.metrics._fidelity import (
    column_shapes_score,
    ks_complement,
    shape_noise_floor,
    tv_complement,
)
from synth_estimators.metrics._kernels import mmd, mmd_test
from synth_estimators.metrics._manifold import alpha_precision_beta_recall, energy_distance, prdc
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
from synth_estimators.metrics._panel import Panel
from synth_estimators.metrics._privacy import dcr_overfitting_protection, dcr_share
from synth_estimators.metrics._privacy_distances import (
    dcr_baseline_protection,
    dcr_quantile_ratio,
    identifiability_score,
    nndr,
)
from synth_estimators.metrics._registry import METRICS, MetricInfo
from synth_estimators.metrics._similarities import (
    contingency_similarity,
    correlation_similarity,
    quality_score,
)
from synth_estimators.metrics._singling_out import singling_out_risk
from synth_estimators.metrics._split_half import split_half_value
from synth_estimators.metrics._tables import ConstantColumnWarning
from synth_estimators.metrics._transport import sliced_wasserstein_distance, wasserstein_exact
from synth_estimators.metrics._two_sample import c2st_auc, c2st_score, pca_c2st_auc
from synth_estimators.metrics._two_sample_test import c2st_test
from synth_estimators.metrics._utility import trtr_score, tstr_score, utility_gap, utility_ratio
from synth_estimators.metrics._utility_columns import (
    all_targets_utility,
    feature_importance_agreement,
)
from synth_estimators.metrics._utility_gain import augmentation_gain, calibration_gap, trts_score

__all__ = [
    "METRICS",
    "ConstantColumnWarning",
    "MetricInfo",
    "Panel",
    "all_targets_utility",
    "alpha_precision",
    "alpha_precision_beta_recall",
    "association_distance",
    "attack_rate",
    "augmentation_gain",
    "authenticity",
    "beta_recall",
    "boundary_adherence",
    "c2st_auc",
    "c2st_score",
    "c2st_test",
    "calibration_gap",
    "category_adherence",
    "category_coverage",
    "cluster_agreement",
    "column_pair_trends_score",
    "column_shapes_score",
    "contingency_similarity",
    "correlation_distance",
    "correlation_noise_floor",
    "correlation_similarity",
    "dcr_baseline_protection",
    "dcr_overfitting_protection",
    "dcr_quantile_ratio",
    "dcr_share",
    "de_agreement",
    "energy_distance",
    "exact_copy_share",
    "feature_importance_agreement",
    "gene_correlation_distance",
    "gene_ks_distance",
    "gene_moment_agreement",
    "identifiability_score",
    "inference_risk",
    "jensen_shannon_distance",
    "kbet_acceptance",
    "ks_complement",
    "library_size_distance",
    "linkability_risk",
    "lisi",
    "marginal_k_similarity",
    "mean_variance_trend_distance",
    "membership_auc",
    "membership_tpr_at_fpr",
    "missing_value_similarity",
    "mmd",
    "mmd_test",
    "new_row_score",
    "nn_adversarial_accuracy",
    "nndr",
    "pca_c2st_auc",
    "prdc",
    "prdc_coverage",
    "prdc_density",
    "prdc_precision",
    "prdc_recall",
    "privacy_loss",
    "quality_score",
    "range_coverage",
    "residual_risk",
    "shape_noise_floor",
    "singling_out_risk",
    "sliced_wasserstein_distance",
    "split_half_value",
    "statistic_similarity",
    "trtr_score",
    "trts_score",
    "tstr_score",
    "tv_complement",
    "utility_gap",
    "utility_ratio",
    "wasserstein_1d",
    "wasserstein_exact",
    "zero_fraction_distance",
]
