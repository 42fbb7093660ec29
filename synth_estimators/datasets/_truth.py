"""Ground truth of simulated tables as plain values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

__all__ = ["as_plain"]


def as_plain(value: Any) -> Any:
    """Turn dataclasses, arrays and numbers of numpy into values that JSON can hold."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: as_plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): as_plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [as_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value
