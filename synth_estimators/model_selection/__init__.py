"""Choosing generators: scorers for scikit-learn's searches."""

from synth_estimators.model_selection._calibrated import CalibratedMetric, calibrated
from synth_estimators.model_selection._compare import compare_generators, compare_tables
from synth_estimators.model_selection._comparison import ComparisonResult
from synth_estimators.model_selection._cross_validate import cross_validate_generator
from synth_estimators.model_selection._curve_analysis import compare_regimes
from synth_estimators.model_selection._curve_fit import LearningCurveFit, fit_curve
from synth_estimators.model_selection._curves import (
    ExponentialCurve,
    FourParameterPowerLaw,
    IsotonicCurve,
    LogarithmicCurve,
    select_curve,
)
from synth_estimators.model_selection._generator_curve import GeneratorLearningCurve
from synth_estimators.model_selection._pilot import PilotStudy, load_pilot_study, pilot_study
from synth_estimators.model_selection._power_law import InversePowerLaw
from synth_estimators.model_selection._sample_sizes import evaluate_sample_sizes
from synth_estimators.model_selection._scorer import GeneratorScorer, make_generator_scorer
from synth_estimators.model_selection._scorers import (
    GENERATOR_SCORERS,
    ConstrainedScorer,
    GeneratorScorers,
    get_generator_scorer,
    make_constrained_scorer,
)
from synth_estimators.model_selection._synthetic_curve import synthetic_learning_curve

__all__ = [
    "GENERATOR_SCORERS",
    "CalibratedMetric",
    "ComparisonResult",
    "ConstrainedScorer",
    "ExponentialCurve",
    "FourParameterPowerLaw",
    "GeneratorLearningCurve",
    "GeneratorScorer",
    "GeneratorScorers",
    "InversePowerLaw",
    "IsotonicCurve",
    "LearningCurveFit",
    "LogarithmicCurve",
    "PilotStudy",
    "calibrated",
    "compare_generators",
    "compare_regimes",
    "compare_tables",
    "cross_validate_generator",
    "evaluate_sample_sizes",
    "fit_curve",
    "get_generator_scorer",
    "load_pilot_study",
    "make_constrained_scorer",
    "make_generator_scorer",
    "pilot_study",
    "select_curve",
    "synthetic_learning_curve",
]
