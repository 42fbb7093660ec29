"""Tables to try generators on."""

from synth_estimators.datasets._expression import make_expression_counts

__all__ = ["make_expression_counts"]
