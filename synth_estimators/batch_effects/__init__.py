"""Batch effects: simulate them, remove them without leakage, measure what is left."""

from synth_estimators._batch_simulation import (
    BatchEffectsConfig,
    apply_batch_effects,
    apply_batch_effects_from_config,
    confounded_batch_assignment,
    generate_batch_assignments,
    random_batch_assignment,
)
from synth_estimators.batch_effects._base import BaseBatchCorrector, BatchLabelWarning
from synth_estimators.batch_effects._batch_metrics import (
    BATCH_METRICS,
    BatchMetricInfo,
    batch_metrics,
)
from synth_estimators.batch_effects._batch_variance import (
    batch_variance_fraction,
    centroid_distance,
    gpca,
    levene_median,
    pc_regression,
    variance_ratio,
)
from synth_estimators.batch_effects._combat import ComBat
from synth_estimators.batch_effects._combat_gam import ComBatGAM
from synth_estimators.batch_effects._combat_seq import ComBatSeq
from synth_estimators.batch_effects._containers import attach_batch
from synth_estimators.batch_effects._covbat import CovBat
from synth_estimators.batch_effects._diagnostics import (
    asw_batch,
    davies_bouldin_batch,
    kbet_rejection,
    lisi_batch,
    silhouette_batch,
    silhouette_label,
)
from synth_estimators.batch_effects._harmony import HarmonyEmbedding
from synth_estimators.batch_effects._kept_structure import kept_structure
from synth_estimators.batch_effects._limma import LimmaBatchRemover
from synth_estimators.batch_effects._longitudinal import LongitudinalComBat
from synth_estimators.batch_effects._nested_combat import NestedComBat
from synth_estimators.batch_effects._quantile import QuantileAligner
from synth_estimators.batch_effects._simulator import BatchEffectSimulator
from synth_estimators.batch_effects._standardizer import BatchStandardizer
from synth_estimators.batch_effects._variance_components import pvca

__all__ = [
    "BATCH_METRICS",
    "BaseBatchCorrector",
    "BatchEffectSimulator",
    "BatchEffectsConfig",
    "BatchLabelWarning",
    "BatchMetricInfo",
    "BatchStandardizer",
    "ComBat",
    "ComBatGAM",
    "ComBatSeq",
    "CovBat",
    "HarmonyEmbedding",
    "LimmaBatchRemover",
    "LongitudinalComBat",
    "NestedComBat",
    "QuantileAligner",
    "apply_batch_effects",
    "apply_batch_effects_from_config",
    "asw_batch",
    "attach_batch",
    "batch_metrics",
    "batch_variance_fraction",
    "centroid_distance",
    "confounded_batch_assignment",
    "davies_bouldin_batch",
    "generate_batch_assignments",
    "gpca",
    "kbet_rejection",
    "kept_structure",
    "levene_median",
    "lisi_batch",
    "pc_regression",
    "pvca",
    "random_batch_assignment",
    "silhouette_batch",
    "silhouette_label",
    "variance_ratio",
]
