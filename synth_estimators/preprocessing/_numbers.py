"""Columns of numbers and dates as floats, and back in their dtype, decimals and resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._validation import clip_to_integers
from synth_estimators.preprocessing._column_checks import check_numeric

__all__ = ["NumberColumn", "nanoseconds", "time_steps"]

_MAX_DECIMALS = 6

# Nanoseconds of the units in which dates and durations are kept.
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

# Nanoseconds of a day, an hour, a minute, a second, a millisecond, a microsecond.
_RESOLUTIONS = (86_400_000_000_000, 3_600_000_000_000, 60_000_000_000, 10**9, 10**6, 10**3)

# From so many distinct dates on, among the first ones, a step that all share is no accident.
_DISTINCT_DATES, _MANY_COUNTS = 10, 10_000


def nanoseconds(index: pd.DatetimeIndex | pd.TimedeltaIndex) -> np.ndarray:
    """Dates or durations as floats, also those beyond the years that nanoseconds can count."""
    values = index.asi8.astype(np.float64) * _UNITS[index.unit]
    values[np.asarray(index.isna())] = np.nan
    return values


def time_steps(counts: np.ndarray, unit: str) -> tuple[int, int]:
    """Find the first date of a column and the steps that lie between its dates.

    Parameters
    ----------
    counts : ndarray of int of shape (n_values,)
        Dates or durations as counts of their unit, none missing.

    unit : {"s", "ms", "us", "ns"}
        The unit.

    Returns
    -------
    origin : int
        Smallest count; 0 if there is none.

    step : int
        Largest common step from there, for example of quarters of an hour. A column of few dates
        has whole units only: days, hours, minutes and so on.
    """
    if counts.size == 0:
        return 0, 1
    origin = int(counts.min())
    if len(np.unique(counts[:_MANY_COUNTS])) >= _DISTINCT_DATES:
        return origin, max(1, int(np.gcd.reduce(counts - origin)))
    for step in (resolution // _UNITS[unit] for resolution in _RESOLUTIONS):
        if step > 1 and (counts % step == 0).all():
            return origin, step
    return origin, 1


class NumberColumn:
    """Float values of a column of numbers, dates or durations, and the way back.

    Parameters
    ----------
    column : pandas Series
        Column of a validated table.

    Attributes
    ----------
    values : ndarray of float of shape (n_rows,)
        Missing cells are NaN; dates and durations are nanoseconds.

    decimals : int or None
        Decimals that all values are rounded to; None if there are more than six.

    Raises
    ------
    ValueError
        For columns of other types, such as periods.
    """

    def __init__(self, column: pd.Series):
        self.dtype = column.dtype
        self._temporal = None
        if pd.api.types.is_datetime64_any_dtype(self.dtype):
            self._temporal = pd.DatetimeIndex
        elif pd.api.types.is_timedelta64_dtype(self.dtype):
            self._temporal = pd.TimedeltaIndex
        if self._temporal is not None:
            index = self._temporal(column)
            self.values = nanoseconds(index)
            self.decimals = 0
            self._unit, self._zone = index.unit, getattr(index, "tz", None)
            counts = index.asi8[~np.asarray(index.isna())]
            self._origin, self._step = time_steps(counts, index.unit)
        else:
            self.values = self._floats(column)
            whole = pd.api.types.is_integer_dtype(self.dtype)
            single = getattr(self.dtype, "itemsize", 8) < 8
            self.decimals = 0 if whole else self._count_decimals(self.values, single)

    @staticmethod
    def _floats(column):
        try:
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            check_numeric(column, label=column.name, name="X")
            raise

    @staticmethod
    def _count_decimals(values, single):
        known = values[np.isfinite(values)]
        if known.size == 0 or np.abs(known).max() > 1e15:
            return None
        tolerance = 1e-7 if single else 1e-12
        # Rounding errors are as large as the largest value; tiny values are no errors.
        slack = tolerance * min(1.0, np.abs(known).max())
        for decimals in range(_MAX_DECIMALS + 1):
            if np.allclose(known, np.round(known, decimals), rtol=tolerance, atol=slack):
                return decimals
        return None

    def restore(self, values: np.ndarray) -> Any:
        """Round floats as the column is rounded and return an array of its dtype.

        Parameters
        ----------
        values : ndarray of float of shape (n_samples,)
            NaN becomes a missing cell.

        Returns
        -------
        array : pandas ExtensionArray or ndarray of shape (n_samples,)
        """
        if self._temporal is not None:
            return self._restore_time(values)
        if self.decimals is not None:
            values = np.round(values, self.decimals)
        if pd.api.types.is_integer_dtype(self.dtype):
            values = clip_to_integers(values, self.dtype)
        return pd.Series(values).astype(self.dtype).array

    def _restore_time(self, values):
        missing = np.isnan(values)
        unit = _UNITS[self._unit]
        known = np.where(missing, self._origin * float(unit), values)
        steps = np.rint((known - self._origin * float(unit)) / (self._step * float(unit)))
        counts = steps.astype(np.int64) * self._step + self._origin
        counts[missing] = pd.NaT.value
        if self._temporal is pd.TimedeltaIndex:
            return pd.Series(counts.view(f"timedelta64[{self._unit}]")).astype(self.dtype).array
        index = pd.DatetimeIndex(counts.view(f"datetime64[{self._unit}]"))
        index = index.tz_localize("UTC").tz_convert(self._zone) if self._zone else index
        return pd.Series(index).astype(self.dtype).array
