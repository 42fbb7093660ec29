"""Transformers that bring tables to a scale on which generators learn well, and back."""

from synth_estimators.preprocessing._log2 import Log2Transformer
from synth_estimators.preprocessing._mixed_space import MixedSpace
from synth_estimators.preprocessing._normal_scores import NormalScores
from synth_estimators.preprocessing._tabular_encoder import TabularEncoder

__all__ = ["Log2Transformer", "MixedSpace", "NormalScores", "TabularEncoder"]
