"""Batch labels and batch effects, drawn from one generator that the caller passes along."""

from synth_estimators._batch_simulation._assignment import (
    confounded_batch_assignment,
    generate_batch_assignments,
    random_batch_assignment,
)
from synth_estimators._batch_simulation._config import (
    BatchEffectsConfig,
    apply_batch_effects_from_config,
)
from synth_estimators._batch_simulation._effects import apply_batch_effects

__all__ = [
    "BatchEffectsConfig",
    "apply_batch_effects",
    "apply_batch_effects_from_config",
    "confounded_batch_assignment",
    "generate_batch_assignments",
    "random_batch_assignment",
]
