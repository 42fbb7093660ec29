"""Columns of numbers and dates as floats that keep their rounding, bounds, unit and zone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._validation import clip_to_integers, integer_range
from synth_estimators.preprocessing._column_checks import check_numeric
from synth_estimators.preprocessing._numbers import time_steps

__all__ = [
    "NumberField",
    "TimeField",
    "far_origin",
    "large_numbers",
    "rounding_step",
    "whole_cells",
    "whole_distances",
]

_MAX_DECIMALS = 14
_SAMPLE = 1000

# Whole numbers up to here have a double of their own.
_EXACT = 2.0**53

# More large numbers than this are no codes of their own.
_FEW_LARGE = 100

# Squares of numbers out of this range leave that of doubles.
_SMALLEST, _LARGEST = 1e-100, 1e100

# Units in the last place of the largest value that a value may be off its decimals, and the share
# of itself: a tiny number is no error of zero.
_SLACK, _RELATIVE = 4, 1e-9


def rounding_step(values: np.ndarray, dtype: Any = np.float64) -> tuple[int, int] | None:
    """Find the step that all values are multiples of.

    Parameters
    ----------
    values : ndarray of float of shape (n_values,)
        Finite values.

    dtype : dtype, default=float64
        Type in which they were kept.

    Returns
    -------
    step : (int, int) or None
        ``(m, d)`` for multiples of m / 10**d; None if more than 14 decimals are needed.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return None
    dtype = np.dtype(getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)))
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    few = values[:: max(1, len(values) // _SAMPLE)]
    for decimals in range(_MAX_DECIMALS + 1):
        if _has_decimals(few, decimals, dtype) and _has_decimals(values, decimals, dtype):
            break
    else:
        return None
    largest = np.abs(values).max()
    if largest * 10.0**decimals >= _EXACT:
        return 1, decimals
    step = int(np.gcd.reduce(_whole(few, decimals)))
    if step != 1:
        step = int(np.gcd.reduce(_whole(values, decimals)))
    return max(step, 1), decimals


def _has_decimals(values, decimals, dtype):
    rounded = np.round(values, decimals)
    if np.array_equal(rounded.astype(dtype), values.astype(dtype)):
        return True
    # Differences of decimal numbers are a few last places of a larger number off.
    magnitude = np.abs(values)
    slack = _SLACK * float(np.spacing(magnitude.max().astype(dtype)))
    if slack > 1e-3 * 10.0**-decimals:
        return False
    return bool((np.abs(values - rounded) <= np.minimum(slack, _RELATIVE * magnitude)).all())


def _whole(values, decimals):
    return np.rint(values * 10.0**decimals).astype(np.int64)


def far_origin(column: pd.Series) -> int:
    """Return the smallest of whole numbers all of which lie where doubles have gaps, else 0."""
    if not pd.api.types.is_integer_dtype(column.dtype) or not column.notna().any():
        return 0
    low, high = int(column.min()), int(column.max())
    return low if low > _EXACT or high < -_EXACT else 0


def whole_distances(column: pd.Series, origin: int) -> np.ndarray:
    """Return how far whole numbers lie from an origin, as floats with NaN for missing cells."""
    cells = column.astype(object)
    distances = [np.nan if pd.isna(cell) else float(cell - origin) for cell in cells]
    return np.array(distances, dtype=np.float64)


def whole_cells(distances: np.ndarray, origin: int, dtype: Any) -> pd.Series:
    """Return the whole numbers that lie so far from an origin, as cells of an integer dtype."""
    limits = integer_range(dtype)
    cells = [
        pd.NA if np.isnan(step) else min(max(round(step) + origin, limits.min), limits.max)
        for step in distances.tolist()
    ]
    return pd.Series(cells, dtype=dtype)


def large_numbers(column: pd.Series, values: np.ndarray) -> dict[float, int]:
    """Return the whole numbers that have no double of their own by the double next to them.

    Parameters
    ----------
    column : pandas Series
        Cells.

    values : ndarray of float of shape (n_rows,)
        The same as floats.

    Returns
    -------
    numbers : dict
        Empty where there are more than a hundred, which then are no codes or marks.
    """
    if not pd.api.types.is_integer_dtype(column.dtype):
        return {}
    large = np.flatnonzero(np.abs(values) > _EXACT)
    distinct, first = np.unique(values[large], return_index=True)
    if len(distinct) > _FEW_LARGE:
        return {}
    cells = column.iloc[large[first]]
    return {float(value): int(cell) for value, cell in zip(distinct, cells, strict=True)}


class NumberField:
    """Floats of a numeric column and the way back.

    Parameters
    ----------
    column : pandas Series
        Column of the training table.

    label : str
        Its name for messages.

    rounding : bool
        Round restored numbers to the step of the training values.

    bounds : bool
        Keep restored numbers inside the training range.
    """

    def __init__(self, column, *, label, rounding=True, bounds=True):
        self.label, self.dtype = label, column.dtype
        self._unit_size, self._base, self._large = 1.0, far_origin(column), {}
        values = self.read(column)
        known = values[~np.isnan(values)] if np.isnan(values).any() else values
        largest = np.abs(known).max() if known.size else 0.0
        if largest and not _SMALLEST < largest < _LARGEST:
            self._unit_size = 2.0 ** min(np.frexp(largest)[1], 1023)
            known, rounding = known / self._unit_size, False
        elif not self._base and largest > _EXACT:
            self._large = large_numbers(column, values)
        if pd.api.types.is_integer_dtype(self.dtype) and not rounding:
            self.step = (1, 0)
        else:
            self.step = rounding_step(known, self.dtype) if rounding else None
        self.bounds = (known.min(), known.max()) if bounds and known.size else None

    def read(self, column: pd.Series) -> np.ndarray:
        """Return the cells as floats, missing ones as NaN."""
        if self._base and pd.api.types.is_integer_dtype(column.dtype):
            return whole_distances(column, self._base)
        try:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            check_numeric(column, label=self.label, name="X")
            raise
        if self._base:
            return values - self._base
        return values if self._unit_size == 1.0 else values / self._unit_size

    def restore(self, values: np.ndarray) -> pd.Series:
        """Return cells of the column's type; NaN becomes a missing cell.

        Parameters
        ----------
        values : ndarray of float of shape (n_rows,)

        Returns
        -------
        column : pandas Series of shape (n_rows,)
        """
        return self._cast(self._settle(values))

    def _settle(self, values):
        """Clip, round, and clip again, since rounding may leave the range."""
        if self.bounds is not None:
            values = np.clip(values, *self.bounds)
        if self.step is not None:
            multiple, decimals = self.step
            scale = 10.0**decimals
            # A quotient of whole numbers is the double nearest to the decimal number.
            values = np.rint(values * (scale / multiple)) * multiple / scale
            if self.bounds is not None:
                values = np.clip(values, *self.bounds)
        return values

    def _cast(self, values):
        if self._base:
            return whole_cells(values, self._base, self.dtype)
        if self._unit_size != 1.0:
            values = values * self._unit_size
        if self._large:
            return self._cast_large(values)
        if pd.api.types.is_bool_dtype(self.dtype):
            values = values >= 0.5
        elif pd.api.types.is_integer_dtype(self.dtype):
            values = clip_to_integers(values, self.dtype)
        return pd.Series(values).astype(self.dtype)

    def _cast_large(self, values):
        cells = pd.Series(clip_to_integers(values, self.dtype)).astype(self.dtype)
        for value, number in self._large.items():
            cells[values == value] = number
        return cells


class TimeField(NumberField):
    """Steps of the finest unit of a column of dates or durations, counted from the first one.

    Whole steps from the first date have doubles of their own over millions of years of days, or
    centuries of microseconds.

    Parameters
    ----------
    column : pandas Series
        Column of the training table: dates, durations, or text.

    label : str
        Its name for messages.

    rounding, bounds : bool
        As for ``NumberField``.

    text : DateFormat or None, default=None
        Format of a column of text.
    """

    def __init__(self, column, *, label, rounding=True, bounds=True, text=None):
        self.text = text
        self.time_dtype = column.dtype if text is None else None
        index = self._index(column, label)
        if text is not None:
            self.time_dtype = index.dtype
            self._blank = next(iter(column[column.isna()]), np.nan)
        self._unit = index.unit
        ticks = index.asi8[~np.asarray(index.isna())]
        self._origin, self._step = 0, 1
        if ticks.size:
            self._origin, step = time_steps(ticks, self._unit)
            self._step = step if rounding else 1
        super().__init__(column, label=label, rounding=False, bounds=bounds)
        # A double counts no finer than the unit of the column.
        self.step = (1, 0)

    def _index(self, column, label):
        if self.text is not None:
            return self.text.parse(column, label=label)
        if self.time_dtype.kind == "m":
            return pd.TimedeltaIndex(column)
        if not pd.api.types.is_datetime64_any_dtype(column.dtype):
            column = _parsed_dates(column, label, self.time_dtype)
        return pd.DatetimeIndex(column)

    def read(self, column: pd.Series) -> np.ndarray:
        """Return the steps from the first training date, missing ones as NaN."""
        index = self._index(column, self.label)
        ticks = index.as_unit(self._unit).asi8
        steps = (ticks - self._origin) / self._step
        missing = np.asarray(index.isna())
        return np.where(missing, np.nan, steps) if missing.any() else steps

    def _cast(self, values):
        missing = np.isnan(values)
        ticks = np.where(missing, 0.0, values).astype(np.int64) * self._step + self._origin
        ticks[missing] = pd.NaT.value
        if self.time_dtype.kind == "m":
            return pd.Series(ticks.view(f"timedelta64[{self._unit}]")).astype(self.dtype)
        index = pd.DatetimeIndex(ticks.view(f"datetime64[{self._unit}]"))
        if self.text is not None:
            return self.text.write(index, self.dtype, missing=self._blank)
        zone = getattr(self.time_dtype, "tz", None)
        index = index.tz_localize("UTC").tz_convert(zone) if zone else index
        return pd.Series(index).astype(self.dtype)


def _parsed_dates(column, label, dtype):
    """Dates written as text, where fit saw dates."""
    parsed = pd.to_datetime(column, errors="coerce", utc=getattr(dtype, "tz", None) is not None)
    if (parsed.isna() & column.notna()).any() or pd.api.types.is_numeric_dtype(column.dtype):
        raise ValueError(
            f"Column {label!r} of X holds cells that are no dates, but fit saw dates; convert "
            "them with pd.to_datetime."
        )
    return parsed
