"""Columns of numbers and dates as floats that keep their rounding, bounds, unit and zone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._validation import clip_to_integers
from synth_estimators.preprocessing._column_checks import check_numeric
from synth_estimators.preprocessing._numbers import time_steps

__all__ = ["NumberField", "TimeField", "rounding_step"]

_MAX_DECIMALS = 14
_SAMPLE = 1000

# Whole numbers up to here have a double of their own.
_EXACT = 2.0**53

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
    dtype = np.dtype(getattr(dtype, "numpy_dtype", dtype))
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
        values = self.read(column)
        known = values[~np.isnan(values)] if np.isnan(values).any() else values
        if pd.api.types.is_integer_dtype(self.dtype) and not rounding:
            self.step = (1, 0)
        else:
            self.step = rounding_step(known, self.dtype) if rounding else None
        self.bounds = (known.min(), known.max()) if bounds and known.size else None

    def read(self, column: pd.Series) -> np.ndarray:
        """Return the cells as floats, missing ones as NaN."""
        try:
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            check_numeric(column, label=self.label, name="X")
            raise

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
        if pd.api.types.is_bool_dtype(self.dtype):
            values = values >= 0.5
        elif pd.api.types.is_integer_dtype(self.dtype):
            values = clip_to_integers(values, self.dtype)
        return pd.Series(values).astype(self.dtype)


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
