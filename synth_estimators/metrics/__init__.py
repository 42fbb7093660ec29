"""Functions that compare synthetic with real tables.

Compare with real rows that the generator has not seen wherever there are any: comparison with its
training rows rewards copying.
"""

from synth_estimators.metrics._fidelity import (
    column_shapes_score,
    ks_complement,
    shape_noise_floor,
    tv_complement,
)
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
from synth_estimators.metrics._pairs import column_pair_trends_score, correlation_distance
from synth_estimators.metrics._privacy import dcr_share, exact_copy_share, membership_auc
from synth_estimators.metrics._registry import METRICS, MetricInfo
from synth_estimators.metrics._tables import ConstantColumnWarning
from synth_estimators.metrics._two_sample import c2st_auc, c2st_score, pca_c2st_auc
from synth_estimators.metrics._utility import trtr_score, tstr_score, utility_gap, utility_ratio

__all__ = [
    "METRICS",
    "ConstantColumnWarning",
    "MetricInfo",
    "alpha_precision",
    "alpha_precision_beta_recall",
    "authenticity",
    "beta_recall",
    "c2st_auc",
    "c2st_score",
    "column_pair_trends_score",
    "column_shapes_score",
    "correlation_distance",
    "dcr_share",
    "energy_distance",
    "exact_copy_share",
    "ks_complement",
    "membership_auc",
    "pca_c2st_auc",
    "prdc",
    "prdc_coverage",
    "prdc_density",
    "prdc_precision",
    "prdc_recall",
    "shape_noise_floor",
    "trtr_score",
    "tstr_score",
    "tv_complement",
    "utility_gap",
    "utility_ratio",
]
