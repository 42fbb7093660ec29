"""Batches and effects from one description."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._batch_simulation._assignment import (
    ASSIGNMENTS,
    generate_batch_assignments,
)
from synth_estimators._batch_simulation._checks import (
    check_choice,
    check_count,
    check_generator,
    check_share,
    check_strength,
    normalized_proportions,
)
from synth_estimators._batch_simulation._effects import (
    EFFECT_TYPES,
    GRANULARITIES,
    apply_batch_effects,
    numeric_array,
)

__all__ = ["BatchEffectsConfig", "apply_batch_effects_from_config", "config_of", "draw_batches"]


@dataclass
class BatchEffectsConfig:
    """Description of batches and their effects.

    Parameters
    ----------
    n_batches : int, default=0
        Number of batches; 0 and 1 mean no batches.

    effect_strength : float, default=0.5
        Standard deviation of the shifts, or of the factors around 1.

    effect_type : {"additive", "multiplicative"}, default="additive"
        Shifts or factors.

    effect_granularity : {"per_feature", "scalar"}, default="per_feature"
        One effect for each batch and affected feature, or one for each batch.

    confounding_with_class : float, default=0.0
        Dependence of the batches on the classes, from 0 (none) to 1.

    affected_features : "all", "informative", array-like of int, bool or names, default="all"
        Columns that batches change.

    proportions : sequence of float, default=None
        Relative sizes of the batches, stored divided by their sum; None makes them equal.

    assignment : {"redistribute", "mixture"}, default="redistribute"
        How batches depend on classes, see :func:`confounded_batch_assignment`.

    Raises
    ------
    ValueError
        For values outside of their range.

    TypeError
        For unknown fields and for values of another type.

    See Also
    --------
    apply_batch_effects_from_config : Draws batches and effects.

    Examples
    --------
    >>> from synth_estimators.batch_effects import BatchEffectsConfig
    >>> BatchEffectsConfig(n_batches=2, proportions=[3, 1]).proportions
    (0.75, 0.25)
    """

    n_batches: int = 0
    effect_strength: float = 0.5
    effect_type: str = "additive"
    effect_granularity: str = "per_feature"
    confounding_with_class: float = 0.0
    affected_features: Any = "all"
    proportions: Any = None
    assignment: str = "redistribute"

    def __post_init__(self):
        self.n_batches = check_count(self.n_batches, name="n_batches", minimum=0)
        check_strength(self.effect_strength)
        check_choice(self.effect_type, EFFECT_TYPES, name="effect_type")
        check_choice(self.effect_granularity, GRANULARITIES, name="effect_granularity")
        check_share(self.confounding_with_class, name="confounding_with_class")
        check_choice(self.assignment, ASSIGNMENTS, name="assignment")
        if isinstance(self.affected_features, str):
            check_choice(self.affected_features, ("all", "informative"), name="affected_features")
        if self.proportions is not None:
            size = self.n_batches or len(self.proportions)
            self.proportions = tuple(normalized_proportions(self.proportions, size).tolist())


def config_of(batch_config: Any) -> BatchEffectsConfig:
    """Read a description from a mapping or any object with the attributes."""
    if isinstance(batch_config, BatchEffectsConfig):
        return dataclasses.replace(batch_config)
    names = [field.name for field in dataclasses.fields(BatchEffectsConfig)]
    if isinstance(batch_config, Mapping):
        unknown = sorted(str(key) for key in batch_config if key not in names)
        if unknown:
            raise ValueError(
                f"batch_config has unknown fields {unknown}; expected some of {names}."
            )
        return BatchEffectsConfig(**batch_config)
    found = {name: getattr(batch_config, name) for name in names if hasattr(batch_config, name)}
    if "n_batches" not in found:
        raise ValueError(
            f"batch_config={batch_config!r} has no attribute 'n_batches'; pass a "
            "BatchEffectsConfig, a mapping or an object with its attributes."
        )
    return BatchEffectsConfig(**found)


def apply_batch_effects_from_config(
    x: Any,
    y: Any,
    batch_config: Any,
    rng: np.random.Generator,
    informative_indices: Any = None,
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Draw batches and put their effects on a table.

    Parameters
    ----------
    x : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        The table. It is not changed.

    y : array-like of shape (n_samples,) or None
        Class of every row; read only with ``confounding_with_class`` above 0.

    batch_config : BatchEffectsConfig, mapping or object
        The description. An object needs the attributes of :class:`BatchEffectsConfig`; those it
        lacks have their defaults.

    rng : numpy.random.Generator
        Draws the batches first, then the effects of all ``n_batches`` batches.

    informative_indices : array-like of int, default=None
        Columns meant by ``affected_features="informative"``.

    Returns
    -------
    x_affected : ndarray or pandas DataFrame of shape (n_samples, n_features)
        The table with the effects.

    batch_labels : ndarray of int64 of shape (n_samples,)
        Number of the batch of every row.

    batch_effects : ndarray of shape (n_batches,)
        Mean effect of each batch, see :func:`apply_batch_effects`.

    Raises
    ------
    ValueError
        For confounding without classes, "informative" without ``informative_indices``, unknown
        fields of a mapping, and as in the functions that draw batches and effects.

    Notes
    -----
    Without batches (``n_batches`` of 0 or 1) a copy of the table, labels of 0 and one effect of 0
    come back, and nothing is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import (
    ...     BatchEffectsConfig, apply_batch_effects_from_config
    ... )
    >>> config = BatchEffectsConfig(n_batches=2, confounding_with_class=1.0)
    >>> X_affected, batch, effects = apply_batch_effects_from_config(
    ...     np.zeros((4, 3)), [0, 0, 1, 1], config, np.random.default_rng(0)
    ... )
    >>> batch, effects.shape
    (array([0, 0, 1, 1]), (2,))
    """
    config = config_of(batch_config)
    check_generator(rng)
    n_samples = len(x)
    if config.n_batches <= 1:
        affected = x.copy() if isinstance(x, pd.DataFrame) else numeric_array(x).copy()
        return affected, np.zeros(n_samples, dtype=np.int64), np.zeros(1)
    batch, affected_features = draw_batches(config, n_samples, y, rng, informative_indices)
    affected, effects = apply_batch_effects(
        x,
        batch,
        rng,
        effect_type=config.effect_type,
        effect_strength=config.effect_strength,
        affected_features=affected_features,
        effect_granularity=config.effect_granularity,
        n_batches=config.n_batches,
    )
    return affected, batch, effects


def draw_batches(
    config: BatchEffectsConfig,
    n_samples: int,
    y: Any,
    rng: np.random.Generator,
    informative_indices: Any,
) -> tuple[np.ndarray, Any]:
    """Batch of every row, and the affected features with "informative" replaced."""
    affected_features = config.affected_features
    if isinstance(affected_features, str) and affected_features == "informative":
        if informative_indices is None:
            raise ValueError(
                "affected_features='informative' needs informative_indices; pass the positions of "
                "the informative columns, or name the columns in affected_features."
            )
        affected_features = informative_indices
    batch = generate_batch_assignments(
        n_samples,
        config.n_batches,
        rng,
        config.proportions,
        y if config.confounding_with_class > 0 else None,
        config.confounding_with_class,
        method=config.assignment,
    )
    return batch, affected_features
