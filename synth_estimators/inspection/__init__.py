"""Figures that show how a generator trained and how real its rows look."""

from synth_estimators.inspection._batch_effect import BatchEffectDisplay
from synth_estimators.inspection._embedding import EmbeddingDisplay
from synth_estimators.inspection._heatmap import HeatmapDisplay
from synth_estimators.inspection._importance import FeatureImportanceDisplay
from synth_estimators.inspection._learning_curve import SynthLearningCurveDisplay
from synth_estimators.inspection._loss_curve import LossCurveDisplay
from synth_estimators.inspection._marginals import MarginalsDisplay
from synth_estimators.inspection._pair_trends import PairTrendsDisplay
from synth_estimators.inspection._privacy import PrivacyDisplay

__all__ = [
    "BatchEffectDisplay",
    "EmbeddingDisplay",
    "FeatureImportanceDisplay",
    "HeatmapDisplay",
    "LossCurveDisplay",
    "MarginalsDisplay",
    "PairTrendsDisplay",
    "PrivacyDisplay",
    "SynthLearningCurveDisplay",
]
