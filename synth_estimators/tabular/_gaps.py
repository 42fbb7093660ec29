"""Distances between columns as columns of their own."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.preprocessing._numbers import NumberColumn

__all__ = ["Gap", "free_label", "numbers_of", "replaced"]


def free_label(label: Any, taken: list) -> Any:
    """Return a label like ``label`` for a column beside those ``taken``, and add it to them.

    Tables whose labels are no text get a number, since labels of two kinds do not go together.
    """
    if not all(isinstance(other, str) for other in taken):
        numbers = [int(other) for other in taken if isinstance(other, Integral)]
        label = 1 + max(numbers, default=-1)
    while label in taken:
        label += "_"
    taken.append(label)
    return label


def numbers_of(column: pd.Series) -> np.ndarray:
    """Floats of a column of numbers or dates; missing is NaN."""
    return NumberColumn(column).values


def replaced(
    frame: pd.DataFrame, removed: Any, label: Any, values: Any, *, at: Any
) -> pd.DataFrame:
    """Return the table without ``removed`` and with a column ``label`` in the place of ``at``."""
    parts = {}
    for name in frame.columns:
        if name == at:
            parts[label] = values
        elif name not in removed:
            parts[name] = frame[name]
    return pd.DataFrame(parts, index=frame.index)


class Gap:
    """Distance of one column above another, as a number whose exponential it is."""

    def __init__(self, low: pd.Series, high: pd.Series, *, strict: bool):
        self.low, self.high = low.name, high.name
        self.label = f"{low.name} to {high.name}"
        self.column = NumberColumn(high)
        values = self.column.values
        self.bounds = float(values.min()), float(values.max())
        self.step = self._step(numbers_of(low), values) if strict else 0.0
        # Gaps in units of their median, so that dates and amounts come to one scale.
        gaps = values - numbers_of(low) - self.step
        self.unit = max(float(np.median(gaps)), float(gaps.max()) * 1e-6) or 1.0
        if self.column.decimals == 0 and not pd.api.types.is_datetime64_any_dtype(high.dtype):
            self.unit = 1.0
        del self.column.values

    def _step(self, low, high):
        """Smallest distance that a strict inequality allows."""
        if self.column.decimals is not None and not self._times():
            return 10.0**-self.column.decimals
        gaps = high - low
        return float(gaps[gaps > 0].min(initial=np.inf)) if (gaps > 0).any() else 0.0

    def _times(self):
        dtype = self.column.dtype
        return pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(
            dtype
        )

    def to_model(self, frame):
        gap = numbers_of(frame[self.high]) - numbers_of(frame[self.low]) - self.step
        values = np.log1p(np.maximum(gap, 0.0) / self.unit)
        values = pd.Series(values, index=frame.index)
        return replaced(frame, (), self.label, values, at=self.high)

    def from_model(self, frame):
        gap = np.expm1(frame[self.label].to_numpy(dtype=np.float64)) * self.unit
        low = numbers_of(frame[self.low])
        floor = low + self.step
        values = np.maximum(np.clip(floor + np.maximum(gap, 0.0), *self.bounds), floor)
        restored = self._at_least(values, floor)
        series = pd.Series(restored, index=frame.index)
        return replaced(frame, (), self.high, series, at=self.label)

    def _at_least(self, values, floor):
        """Round as the column is rounded, but not below what is allowed."""
        array = self.column.restore(values)
        got = numbers_of(pd.Series(array))
        short = got < floor
        if short.any():
            decimals = self.column.decimals
            if self._times() or decimals is None:
                return self.column.restore(np.where(short, np.maximum(floor, values), values))
            up = np.ceil(floor * 10.0**decimals - 1e-9) / 10.0**decimals
            array = self.column.restore(np.where(short, up, values))
        return array
