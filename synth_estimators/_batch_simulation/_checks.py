"""What the functions of the simulation refuse, in one wording."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "check_choice",
    "check_class_labels",
    "check_count",
    "check_generator",
    "check_share",
    "check_strength",
    "normalized_proportions",
]


def check_count(value: Any, *, name: str, minimum: int) -> int:
    """Return a whole number of at least ``minimum`` as an int."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}.")
    return int(value)


def check_generator(rng: Any) -> np.random.Generator:
    """Refuse seeds and generators of other kinds: the stream is part of the result."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {rng!r}; pass "
            "numpy.random.default_rng(seed)."
        )
    return rng


def _number(value, name):
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    return float(value)


def check_share(value: Any, *, name: str) -> float:
    """Return a number between 0 and 1."""
    share = _number(value, name)
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, got {value!r}.")
    return share


def check_strength(value: Any, *, name: str = "effect_strength") -> float:
    """Return a finite number of at least 0."""
    strength = _number(value, name)
    if not np.isfinite(strength) or strength < 0:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}.")
    return strength


def check_choice(value: Any, choices: tuple[str, ...], *, name: str) -> str:
    """Refuse words that are not among the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r} is not known; expected one of {list(choices)}.")
    return value


def normalized_proportions(proportions: Any, n_batches: int) -> np.ndarray | None:
    """Relative batch sizes divided by their sum, or None."""
    if proportions is None:
        return None
    try:
        weights = np.asarray(proportions, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"proportions={proportions!r} holds values that are not numbers; pass {n_batches} "
            "numbers of at least 0."
        ) from None
    if weights.shape != (n_batches,) or not weights.size:
        raise ValueError(
            f"proportions has shape {weights.shape}, but n_batches={n_batches}; pass one number a "
            "batch."
        )
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError(
            f"proportions={proportions!r} holds negative, missing or infinite values; pass numbers "
            "of at least 0."
        )
    total = weights.sum()
    if total == 0:
        raise ValueError("proportions sum to 0; at least one batch needs a number above 0.")
    return weights / total


def check_class_labels(class_labels: Any, *, n_samples: int | None = None) -> np.ndarray:
    """Return class labels as a one-dimensional array without missing values."""
    labels = np.asarray(class_labels)
    if labels.ndim != 1:
        raise ValueError(
            f"class_labels must be one-dimensional with one label a row, got shape {labels.shape}."
        )
    if labels.size == 0:
        raise ValueError("class_labels is empty; pass one label a row.")
    if n_samples is not None and len(labels) != n_samples:
        raise ValueError(
            f"class_labels has {len(labels)} entries, but there are {n_samples} samples; pass one "
            "label a row."
        )
    missing = np.flatnonzero(pd.isna(labels))
    if missing.size:
        raise ValueError(
            f"class_labels holds {missing.size} missing values (first in row {missing[0]}); drop "
            "these rows or give them a class of their own."
        )
    return labels
