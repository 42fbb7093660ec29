"""One call and one page that say how good and how safe synthetic rows are."""

from synth_estimators.report._evaluate import evaluate_synthetic
from synth_estimators.report._judgement import Finding
from synth_estimators.report._report import EvaluationReport

__all__ = ["EvaluationReport", "Finding", "evaluate_synthetic"]
