"""Generators of mixed tables."""

from synth_estimators.tabular._actgan import ACTGAN, ConditionalVectorType
from synth_estimators.tabular._conditions import Condition
from synth_estimators.tabular._constrained import ConstrainedGenerator
from synth_estimators.tabular._constraints import (
    CustomConstraint,
    FixedCombinations,
    Inequality,
    Negative,
    OneHot,
    Positive,
    Range,
    ScalarRange,
    Unique,
)
from synth_estimators.tabular._ctgan import CTGAN
from synth_estimators.tabular._tabular_ar import TabularAR
from synth_estimators.tabular._tvae import TVAE

__all__ = [
    "ACTGAN",
    "CTGAN",
    "TVAE",
    "Condition",
    "ConditionalVectorType",
    "ConstrainedGenerator",
    "CustomConstraint",
    "FixedCombinations",
    "Inequality",
    "Negative",
    "OneHot",
    "Positive",
    "Range",
    "ScalarRange",
    "TabularAR",
    "Unique",
]
