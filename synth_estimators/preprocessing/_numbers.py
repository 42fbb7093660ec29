"""Columns of numbers and dates as floats, and back in their dtype, decimals and resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["NumberColumn"]

_MAX_DECIMALS = 6

# Nanoseconds of a day, an hour, a minute, a second, a millisecond, a microsecond.
_RESOLUTIONS = (86_400_000_000_000, 3_600_000_000_000, 60_000_000_000, 10**9, 10**6, 10**3)


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
            self.values = index.as_unit("ns").asi8.astype(np.float64)
            self.values[np.asarray(index.isna())] = np.nan
            self.decimals = 0
            self._unit = self._resolution(self.values[~np.isnan(self.values)])
        else:
            self.values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            whole = pd.api.types.is_integer_dtype(self.dtype)
            single = getattr(self.dtype, "itemsize", 8) < 8
            self.decimals = 0 if whole else self._count_decimals(self.values, single)
            self._unit = None

    @staticmethod
    def _resolution(values):
        for unit in _RESOLUTIONS:
            if (np.remainder(values, unit) == 0).all():
                return unit
        return 1

    @staticmethod
    def _count_decimals(values, single):
        known = values[np.isfinite(values)]
        if known.size == 0 or np.abs(known).max() > 1e15:
            return None
        for decimals in range(_MAX_DECIMALS + 1):
            tolerance = 1e-7 if single else 1e-12
            if np.allclose(known, np.round(known, decimals), rtol=tolerance, atol=tolerance):
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
        return pd.Series(values).astype(self.dtype).array

    def _restore_time(self, values):
        missing = np.isnan(values)
        whole = np.rint(np.where(missing, 0.0, values) / self._unit).astype(np.int64) * self._unit
        whole[missing] = pd.NaT.value
        if self._temporal is pd.TimedeltaIndex:
            return pd.Series(whole.view("timedelta64[ns]")).astype(self.dtype).array
        zone = getattr(self.dtype, "tz", None)
        index = pd.DatetimeIndex(whole.view("datetime64[ns]"), tz="UTC" if zone else None)
        index = index.tz_convert(zone) if zone else index
        return pd.Series(index).astype(self.dtype).array
