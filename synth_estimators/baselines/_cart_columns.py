"""Columns of a mixed table as sequential trees see them, and conditions on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from synth_estimators._validation import integer_range
from synth_estimators.preprocessing._columns import _discrete_mask, is_discrete_dtype
from synth_estimators.preprocessing._forest import CellColumn
from synth_estimators.preprocessing._numbers import NumberColumn

__all__ = ["DiscreteColumn", "ValueColumn", "read_columns"]

_SPIKE_SHARE = 0.01
_SMOOTH_SD = 0.1
_SHOWN = 5


def _key(value):
    """Missing cells of all kinds are one level, which no text can be taken for."""
    return None if pd.isna(value) else value


def _is_temporal(dtype):
    return pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype)


def _as_dtype(values, dtype, label):
    """Given dates, durations or numbers in the dtype of their column; numbers may be floats."""
    try:
        if not _is_temporal(dtype):
            numbers = pd.to_numeric(values)
            whole = isinstance(numbers.dtype, np.dtype) and numbers.dtype.kind in "iu"
            return numbers if whole else numbers.astype(float)
        if any(isinstance(value, int | float) and not pd.isna(value) for value in values):
            raise TypeError("numbers are no dates")
        return values.astype(dtype)
    except (TypeError, ValueError) as exc:
        raise ValueError(
            f"Condition column {str(label)!r} has dtype {dtype}, got {values.iloc[0]!r}."
        ) from exc


class DiscreteColumn:
    """A column whose cells are levels; a missing cell is a level."""

    smooth = False

    def __init__(self, column: pd.Series):
        self._dtype = column.dtype
        levels, values = pd.factorize(column, use_na_sentinel=False)
        self._level_of = {_key(value): level for level, value in enumerate(values)}
        _, self._first_row = np.unique(levels, return_index=True)
        self.coded = CellColumn.of_levels(levels.astype(np.intp))
        self.n_values = len(values)

    def given(self, values: pd.Series, label: Any) -> tuple[np.ndarray, np.ndarray, None]:
        """Cells of given values, and training rows with these values."""
        if _is_temporal(self._dtype):
            values = _as_dtype(values, self._dtype, label)
        raw, distinct = pd.factorize(values, use_na_sentinel=False)
        levels = [self._level_of.get(_key(value), -1) for value in distinct]
        if -1 in levels:
            known = [v.item() if isinstance(v, np.generic) else v for v in self._level_of]
            shown = f"{known[:_SHOWN]}" + (
                f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            )
            raise ValueError(
                f"Unknown condition {distinct[levels.index(-1)]!r} for column {str(label)!r}; seen "
                f"during fit: {shown}."
            )
        cells = np.array(levels, dtype=np.intp)[raw]
        return cells, self._first_row[cells], None


class ValueColumn:
    """A column of numbers, dates or durations; cells are ranks of the distinct values."""

    def __init__(self, column: pd.Series, *, smooth: bool = False):
        self._numbers = NumberColumn(column)
        values = self._numbers.values
        missing = np.isnan(values)
        self._distinct, ranks, counts = np.unique(
            values[~missing], return_inverse=True, return_counts=True
        )
        self._has_missing = bool(missing.any())
        self.n_values = len(self._distinct) + self._has_missing
        labels = np.full(len(values), len(self._distinct), dtype=np.intp)
        labels[~missing] = ranks
        _, self._first_row = np.unique(labels, return_index=True)
        self.coded = CellColumn.of_numbers(np.where(missing, np.nan, labels), labels)
        self.smooth = smooth and 2 * len(self._distinct) > len(ranks)
        if self.smooth:
            self._fit_smooth(counts, len(values))

    def _fit_smooth(self, counts, n_rows):
        """Distribution function of the values that are not spikes."""
        self._spike = counts >= max(2, _SPIKE_SHARE * n_rows)
        counts = counts[~self._spike]
        self._smooth_values = self._distinct[~self._spike]
        self._scores = ndtri((np.cumsum(counts) - 0.5 * counts) / max(1, counts.sum()))
        self.smooth = len(counts) > 1

    def dithered(self, donors: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Any]:
        """Cells and values near those of the donors; spikes and missing cells stay."""
        labels = self.coded.labels[donors]
        values = np.append(self._distinct, np.nan)[labels]
        move = ~np.append(self._spike, True)[labels]
        scores = np.interp(values[move], self._smooth_values, self._scores)
        scores = scores + _SMOOTH_SD * rng.standard_normal(len(scores))
        scores /= np.sqrt(1.0 + _SMOOTH_SD**2)
        # Reflected at the ends: clipping would hand out the extreme values of the table.
        low, high = self._scores[[0, -1]]
        scores = np.where(scores < low, 2 * low - scores, scores)
        scores = np.where(scores > high, 2 * high - scores, scores)
        values[move] = np.interp(scores, self._scores, self._smooth_values)
        return self._rank(values), self._numbers.restore(values)

    def _rank(self, values):
        """Cells of any values, between the ranks of their neighbours."""
        if len(self._distinct) == 0:
            return np.full(len(values), np.nan, dtype=np.float32)
        ranks = np.interp(values, self._distinct, np.arange(len(self._distinct)))
        return ranks.astype(np.float32)

    def given(self, values: pd.Series, label: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """Cells of given values, training rows with the nearest ones, and the values."""
        dtype = self._numbers.dtype
        column = _as_dtype(values, dtype, label)
        numbers = NumberColumn(column).values
        if pd.api.types.is_integer_dtype(dtype):
            limits = integer_range(dtype)
            beyond = (column < limits.min) | (column > limits.max)
            if beyond.any():
                raise ValueError(
                    f"Condition column {str(label)!r} has dtype {dtype}, which cannot hold "
                    f"{column[beyond].tolist()[0]!r}."
                )
        missing = np.isnan(numbers)
        if np.isinf(numbers).any() or (missing.any() and not self._has_missing):
            what = "infinite" if np.isinf(numbers).any() else "missing"
            raise ValueError(
                f"Condition column {str(label)!r} holds {what} values, which the column did not "
                "hold during fit; pass numbers or dates as seen there."
            )
        cells = self._rank(numbers)
        nearest = np.where(missing, len(self._distinct), np.rint(np.nan_to_num(cells)))
        return cells, self._first_row[nearest.astype(np.intp)], column.array


def read_columns(
    frame: pd.DataFrame, *, discrete_columns: Any = None, smooth: bool = False
) -> list[DiscreteColumn | ValueColumn]:
    """Read the columns of a validated table.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Training table.

    discrete_columns : list of column names, boolean mask or None, default=None
        Columns to take as levels beside text, categories and booleans. None: those of at most two
        values.

    smooth : bool, default=False
        Prepare near-continuous columns for dithering.
    """
    chosen = None if discrete_columns is None else _discrete_mask(frame, discrete_columns)
    columns: list[DiscreteColumn | ValueColumn] = []
    for j, dtype in enumerate(frame.dtypes):
        column = frame.iloc[:, j]
        discrete = is_discrete_dtype(dtype)
        if not discrete:
            discrete = column.nunique() <= 2 if chosen is None else chosen[j]
        columns.append(DiscreteColumn(column) if discrete else ValueColumn(column, smooth=smooth))
    return columns
