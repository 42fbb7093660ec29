"""Choosing generators: scorers for scikit-learn's searches."""

from synth_estimators.model_selection._scorer import GeneratorScorer, make_generator_scorer

__all__ = ["GeneratorScorer", "make_generator_scorer"]
