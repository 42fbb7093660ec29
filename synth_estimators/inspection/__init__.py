"""Figures that show how a generator trained and how real its rows look."""

from synth_estimators.inspection._embedding import EmbeddingDisplay
from synth_estimators.inspection._loss_curve import LossCurveDisplay
from synth_estimators.inspection._marginals import MarginalsDisplay

__all__ = ["EmbeddingDisplay", "LossCurveDisplay", "MarginalsDisplay"]
