"""Generators built around other generators."""

from synth_estimators.compose._class_conditional import ClassConditionalGenerator
from synth_estimators.compose._transformed import TransformedGenerator

__all__ = ["ClassConditionalGenerator", "TransformedGenerator"]
