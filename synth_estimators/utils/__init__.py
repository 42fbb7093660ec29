"""Helpers for users and for authors of generators."""

from synth_estimators.utils._show_versions import show_versions

__all__ = ["show_versions"]
