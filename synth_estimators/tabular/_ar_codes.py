"""Columns of a mixed table as choices, scores and tokens of an autoregressive model, and back.

A cell is a level or a number. Numbers that stand out (spikes), all numbers of columns with few
distinct values, and missing cells are choices like levels; the other numbers share one last choice,
"in an interval", and carry a normal score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from synth_estimators._validation import integer_range
from synth_estimators.preprocessing._columns import _discrete_mask, is_discrete_dtype
from synth_estimators.preprocessing._level_codes import distinct_cells
from synth_estimators.preprocessing._number_fields import (
    TimeField,
    far_origin,
    large_numbers,
    whole_cells,
    whole_distances,
)
from synth_estimators.preprocessing._numbers import NumberColumn

__all__ = ["CellCodes", "LevelCodes", "LookedUpCodes", "NumberCodes", "pack", "read_columns"]

_NEIGHBOURS = 6
_END_SCORE = 8.0
_END_SHARE = 1e-5
_SHOWN = 5

# Every value is a class or has an embedding if it has so many rows on average.
_ROWS_PER_VALUE = 10
_FEW_VALUES = 2


@dataclass
class CellCodes:
    """The cells of one column in the terms of the model.

    Attributes
    ----------
    token : ndarray of int of shape (n_rows,)
        Input: which embedding the later columns see.

    choice : ndarray of int of shape (n_rows,)
        Level, spike, or the last one for a number in an interval.

    score : ndarray of float of shape (n_rows,)
        Normal score that the later columns see beside the token.

    interval : ndarray of int of shape (n_rows,)
        Interval of the likelihood; 0 for levels and spikes.

    low, high : ndarray of float of shape (n_rows,)
        Ends of the interval as normal scores. For a number beyond those of the table it is the part
        of the outer interval that lies beyond that number.
    """

    token: np.ndarray
    choice: np.ndarray
    score: np.ndarray
    interval: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def remainder(self, edges: np.ndarray) -> np.ndarray:
        """Share of its interval that a cell stands for: 1 unless it lies beyond the table."""
        whole = _normal_mass(edges[self.interval], edges[self.interval + 1])
        return _normal_mass(self.low, self.high) / whole


def _normal_mass(low, high):
    """Mass of intervals under the standard normal, from the tail that is exact."""
    flip = low > 0
    return ndtr(np.where(flip, -low, high)) - ndtr(np.where(flip, -high, low))


def _is_temporal(dtype):
    return pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype)


def _key(value):
    """Missing cells of all kinds are one level, which no text can be taken for."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


class LevelCodes:
    """A column of levels, by frequency; a missing cell is a level.

    Parameters
    ----------
    column : pandas Series
        Column of the training table.

    Attributes
    ----------
    n_choices, n_tokens : int
        Number of levels.

    continuous : bool
        False.

    edges : ndarray of shape (2,)
        Ends of the intervals; levels have none.

    counts : ndarray of int of shape (n_choices,)
        Training cells of every choice.
    """

    continuous = False
    discrete = True
    source = None

    def __init__(self, column: pd.Series):
        self.dtype = column.dtype
        self.label = column.name
        raw, values = distinct_cells(column, self.label, use_na_sentinel=False)
        counts = np.bincount(raw, minlength=len(values))
        order = np.argsort(-counts, kind="stable")
        self.levels = [_key(values[code]) for code in order]
        self.counts = counts[order]
        self.n_values = self.n_choices = self.n_tokens = len(self.levels)
        self.edges = np.array([-_END_SCORE, _END_SCORE])

    @property
    def missing_choice(self) -> int | None:
        """Choice that stands for a missing cell."""
        return self.levels.index(None) if None in self.levels else None

    def read(self, column: pd.Series, *, role: str = "value", unseen: bool = False) -> np.ndarray:
        """Cells of a column: indices of its levels.

        ``role`` names the values in the error; with ``unseen`` levels that are none get -1.
        """
        raw, values = distinct_cells(column, self.label, use_na_sentinel=False)
        place = {level: index for index, level in enumerate(self.levels)}
        cells = [place.get(_key(value), -1) for value in values]
        if -1 in cells and not unseen:
            shown = f"{self.levels[:_SHOWN]}"
            if len(self.levels) > _SHOWN:
                shown += f" and {len(self.levels) - _SHOWN} more"
            raise ValueError(
                f"Unknown {role} {_key(values[cells.index(-1)])!r} for column {str(self.label)!r}; "
                f"seen during fit: {shown}."
            )
        return np.array(cells, dtype=np.intp)[raw]

    def labels(self, cells: np.ndarray) -> np.ndarray:
        """Index of the distinct value of every cell."""
        return cells

    def encode(self, cells: np.ndarray) -> CellCodes:
        """Return the codes of cells."""
        none = np.zeros(len(cells))
        low, high = none - _END_SCORE, none + _END_SCORE
        return CellCodes(cells, cells, none, none.astype(np.intp), low, high)

    def decode(self, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Cells of drawn choices."""
        return choice

    def restore(self, cells: np.ndarray, *, exact: bool = False) -> pd.Series:
        """Column of the training dtype."""
        levels = pd.Series(self.levels, dtype=object)
        if not pd.api.types.is_object_dtype(self.dtype):
            levels = levels.astype(self.dtype)
        return levels.take(cells).reset_index(drop=True)

    def choice_cells(self) -> np.ndarray:
        """Cell of every choice."""
        return np.arange(self.n_choices)


class NumberCodes:
    """A column of numbers or dates: spikes, and intervals between them.

    Cells are floats, NaN for missing ones; dates and durations are steps from the first one, and
    whole numbers that doubles cannot tell apart are counted from the smallest.

    Parameters
    ----------
    column : pandas Series
        Column of the training table.

    max_levels : int
        With at most this many distinct values (and a tenth of the rows) every value is a spike.

    max_value_embeddings : int
        With at most this many distinct values (and a tenth of the rows) every value has a token.

    n_bins, n_input_bins : int
        Intervals of the likelihood, and of the tokens of columns with more values.

    spike_share, spike_prominence : float
        A spike holds this share of the cells, and this many times the median of its neighbours.

    Attributes
    ----------
    n_choices, n_tokens : int
        Width of the softmax and number of tokens.

    continuous : bool
        Whether the last choice is "in an interval".

    edges : ndarray of shape (n_intervals + 1,)
        Ends of the intervals as normal scores.

    counts : ndarray of int of shape (n_choices,)
        Training cells of every choice.
    """

    discrete = False
    source = None

    def __init__(
        self,
        column: pd.Series,
        *,
        max_levels: int,
        max_value_embeddings: int,
        n_bins: int,
        n_input_bins: int,
        spike_share: float,
        spike_prominence: float,
    ):
        self.dtype, self.label = column.dtype, column.name
        self._time, self._origin = None, far_origin(column)
        if _is_temporal(column.dtype):
            self._time = TimeField(column, label=str(column.name), bounds=False)
            values, self._decimals = self._time.read(column), 0
        else:
            self._decimals = NumberColumn(column).decimals
            values = self._floats(column)
        missing = np.isnan(values)
        self.has_missing = bool(missing.any())
        self.distinct, counts = np.unique(values[~missing], return_counts=True)
        self.n_values = len(self.distinct) + self.has_missing
        spike = np.ones(len(counts), dtype=bool)
        if len(counts) > min(max_levels, max(_FEW_VALUES, len(values) / _ROWS_PER_VALUE)):
            spike = _spikes(counts / counts.sum(), spike_share, spike_prominence)
        self.spikes = self.distinct[spike]
        self._large = {} if self._origin else large_numbers(column, values)
        self._values, between = self.distinct[~spike], counts[~spike]
        self._cumulative = np.concatenate([[0], np.cumsum(between)])
        self.n_between = int(self._cumulative[-1])
        self.continuous = self.n_between > 0
        # Repeated for interpolation between order statistics where most values are distinct.
        self._smooth = 2 * len(between) > self.n_between
        self._sorted = np.repeat(self._values, between) if self._smooth else None
        self.n_spikes = len(self.spikes) + self.has_missing
        self.n_choices = self.n_spikes + self.continuous
        self.counts = np.concatenate(
            [
                counts[spike],
                [missing.sum()][: self.has_missing],
                [self.n_between][: self.continuous],
            ]
        ).astype(np.intp)
        self._fit_intervals(n_bins)
        few = len(self.distinct) <= min(max_value_embeddings, len(values) / _ROWS_PER_VALUE)
        self._n_input_bins = None if few else n_input_bins
        self.n_tokens = self.n_spikes
        if self.continuous:
            self.n_tokens += len(self._values) if few else n_input_bins

    def _fit_intervals(self, n_bins):
        """Intervals of distinct values that hold a share of about 1 / n_bins each."""
        shares = self._cumulative[1:] / max(1, self.n_between)
        last, start = [], 0.0
        while self.continuous and (not last or last[-1] < len(shares) - 1):
            at = int(np.searchsorted(shares, start + 1.0 / n_bins - 1e-12))
            last.append(min(max(at, last[-1] + 1 if last else 0), len(shares) - 1))
            start = shares[last[-1]]
        ends = shares[last] if last else np.ones(1)
        self.interval_ends = np.concatenate([[0.0], ends])
        self._interval_last = self._values[last] if last else np.zeros(1)
        self.edges = ndtri(np.clip(self.interval_ends, _END_SHARE, 1 - _END_SHARE))
        self.edges[0], self.edges[-1] = -_END_SCORE, _END_SCORE

    def _floats(self, column):
        if not self._origin:
            return NumberColumn(column).values
        return whole_distances(column, self._origin)

    def _numbers(self, values):
        """Cells of the dtype of the column, rounded as it is."""
        if self._time is not None:
            return self._time.restore(values)
        if self._origin:
            return whole_cells(values, self._origin, self.dtype)
        numbers = NumberColumn(pd.Series([], dtype=self.dtype))
        numbers.decimals = self._decimals
        restored = pd.Series(numbers.restore(values))
        for value, number in self._large.items():
            restored[values == value] = number
        return restored

    @property
    def missing_choice(self) -> int | None:
        """Choice that stands for a missing cell."""
        return self.n_spikes - 1 if self.has_missing else None

    def read(self, column: pd.Series, *, role: str = "value") -> np.ndarray:
        """Cells of a column as floats; ``role`` names the values in the error."""
        try:
            if self._time is not None:
                if any(isinstance(value, int | float) and not pd.isna(value) for value in column):
                    raise TypeError("numbers are no dates")
                cells = self._time.read(column.astype(self.dtype))
            else:
                if not pd.api.types.is_numeric_dtype(column.dtype):
                    column = pd.to_numeric(column).astype(float)
                cells = self._floats(column)
        except (TypeError, ValueError) as exc:
            raise ValueError(
                f"Column {str(self.label)!r} has dtype {self.dtype}, but the {role} "
                f"{column.iloc[0]!r} cannot be read as one; pass numbers or dates as in fit."
            ) from exc
        if np.isinf(cells).any() or (not self.has_missing and np.isnan(cells).any()):
            what = "infinite" if np.isinf(cells).any() else "missing"
            raise ValueError(
                f"Column {str(self.label)!r} holds a {what} {role}, which it did not hold during "
                "fit; pass numbers or dates as seen there."
            )
        if pd.api.types.is_integer_dtype(self.dtype):
            limits = integer_range(self.dtype)
            numbers = cells + self._origin
            beyond = (cells != np.rint(cells)) | (numbers < limits.min) | (numbers > limits.max)
            beyond &= ~np.isnan(cells)
            if beyond.any():
                raise ValueError(
                    f"Column {str(self.label)!r} has dtype {self.dtype}, which cannot hold the "
                    f"{role} {float(numbers[beyond][0])!r}."
                )
        return cells

    def labels(self, cells: np.ndarray) -> np.ndarray:
        """Index of the nearest distinct value of every cell; missing cells come last."""
        nearest = _nearest(self.distinct, cells)
        return np.where(np.isnan(cells), len(self.distinct), nearest)

    def encode(self, cells: np.ndarray) -> CellCodes:
        """Return the codes of cells."""
        missing = np.isnan(cells)
        known = np.where(missing, self.distinct[0] if len(self.distinct) else 0.0, cells)
        spike = _nearest(self.spikes, known)
        is_spike = ~missing
        if self.continuous:
            is_spike &= self.spikes[spike] == known if len(self.spikes) else False
        low = self._cumulative[np.searchsorted(self._values, known, side="left")]
        high = self._cumulative[np.searchsorted(self._values, known, side="right")]
        n = max(1, self.n_between)
        share = np.clip((low + high) / (2 * n), 0.5 / n, 1 - 0.5 / n)
        score = np.where(missing | (not self.continuous), 0.0, ndtri(share))
        between = ~missing & ~is_spike
        choice = np.where(is_spike, spike, self.n_spikes - 1)
        choice = np.where(between, self.n_choices - 1, choice)
        interval = np.searchsorted(self._interval_last, known, side="left")
        interval = np.where(between, np.minimum(interval, len(self._interval_last) - 1), 0)
        if self._n_input_bins is None:
            place = np.searchsorted(self._values, known, side="right") - 1
            place = np.maximum(place, 0)
        else:
            place = np.minimum(share * self._n_input_bins, self._n_input_bins - 1).astype(np.intp)
        token = np.where(between, self.n_spikes + place, choice)
        low, high = self.edges[interval], self.edges[interval + 1]
        if self.continuous:
            low = np.where(between, np.maximum(low, self._beyond(known)), low)
            high = np.where(between, np.minimum(high, -self._beyond(-known, -1.0)), high)
        return CellCodes(token, choice, score, interval, low, high)

    def _beyond(self, values, sign=1.0):
        """Normal scores above the largest number (the smallest, for signs turned), else -inf."""
        ends = np.sort(sign * self._values[[0, -1]])
        middle = sign * self.value_at(np.array([0.5]))[0]
        extreme = -ndtri(0.5 / self.n_between) if self.n_between > 1 else 1.0
        scale = max(ends[1] - middle, (ends[1] - ends[0]) / 16) / extreme
        scores = extreme + (values - ends[1]) / (scale if scale > 0 else max(1.0, abs(ends[1])))
        return np.where(values > ends[1], np.minimum(scores, _END_SCORE - 1e-3), -np.inf)

    def decode(self, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Cells of drawn choices and scores, rounded as the column is."""
        table = np.append(self.spikes, [np.nan] * (self.n_choices - len(self.spikes)))
        cells = table[choice]
        between = np.flatnonzero(choice == self.n_choices - 1) if self.continuous else []
        if len(between):
            cells[between] = self._rounded(self.value_at(ndtr(score[between])))
        return cells

    def value_at(self, share: np.ndarray) -> np.ndarray:
        """Quantiles of the numbers between the spikes."""
        position = share * self.n_between
        if self._smooth:
            return np.interp(position - 0.5, np.arange(self.n_between), self._sorted)
        rank = np.minimum(position.astype(np.intp), self.n_between - 1)
        return self._values[np.searchsorted(self._cumulative, rank, side="right") - 1]

    def _rounded(self, values):
        """Numbers as the user will see them."""
        return values if self._decimals is None else np.round(values, self._decimals)

    def restore(self, cells: np.ndarray, *, exact: bool = False) -> pd.Series:
        """Column of the training dtype; ``exact`` keeps decimals beyond those of the table."""
        if exact and pd.api.types.is_float_dtype(self.dtype):
            return pd.Series(cells).astype(self.dtype)
        return self._numbers(cells)

    def choice_cells(self) -> np.ndarray:
        """Cell of every spike, of the missing cell, then the middle of every interval."""
        cells = np.append(self.spikes, [np.nan] * self.has_missing)
        if not self.continuous:
            return cells
        middle = 0.5 * (self.interval_ends[1:] + self.interval_ends[:-1])
        return np.append(cells, self._rounded(self.value_at(middle)))


class LookedUpCodes:
    """A column that follows from another one: never drawn, but seen by the columns after it.

    Parameters
    ----------
    column : LevelCodes or NumberCodes
        The column itself.

    source : int
        Position of the column it follows from, in the order of the model.

    read_from : LevelCodes or NumberCodes
        That column.

    table : ndarray of shape (n_values,)
        Its cell for every value of that column.
    """

    continuous = False
    n_choices = 0

    def __init__(self, column: Any, source: int, read_from: Any, table: np.ndarray):
        self.column = column
        self.source = source
        self.read_from = read_from
        self.table = table
        self.discrete, self.n_tokens = column.discrete, column.n_tokens
        self.n_values, self.distinct = column.n_values, getattr(column, "distinct", None)

    def follow(self, cells: list[np.ndarray]) -> np.ndarray:
        """Cells that go with those of the columns before it."""
        return self.table[self.read_from.labels(cells[self.source])]

    def labels(self, cells: np.ndarray) -> np.ndarray:
        """Index of the distinct value of every cell."""
        return self.column.labels(cells)

    def encode(self, cells: np.ndarray) -> CellCodes:
        """Return the codes of cells."""
        return self.column.encode(cells)


def _nearest(table, values):
    """Index of the nearest entry of a sorted table."""
    if len(table) < 2:
        return np.zeros(len(values), dtype=np.intp)
    above = np.clip(np.searchsorted(table, values), 1, len(table) - 1)
    below_nearer = values - table[above - 1] <= table[above] - values
    return np.where(below_nearer, above - 1, above)


def _spikes(shares, smallest, prominence):
    """Distinct values that stand out from the six below and the six above."""
    spike = np.zeros(len(shares), dtype=bool)
    for at in np.flatnonzero(shares >= smallest):
        around = np.concatenate(
            [shares[max(0, at - _NEIGHBOURS) : at], shares[at + 1 : at + 1 + _NEIGHBOURS]]
        )
        spike[at] = shares[at] >= prominence * np.median(around)
    return spike


def read_columns(
    frame: pd.DataFrame, *, discrete_columns: Any = None, **settings: Any
) -> list[LevelCodes | NumberCodes]:
    """Read the columns of a validated training table.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Training table.

    discrete_columns : list of column names, boolean mask or None, default=None
        Columns to take as levels beside text, categories and booleans. None: numbers of at most
        two values.

    **settings : dict
        Those of ``NumberCodes``.
    """
    chosen = None if discrete_columns is None else _discrete_mask(frame, discrete_columns)
    columns: list[LevelCodes | NumberCodes] = []
    for j, dtype in enumerate(frame.dtypes):
        column = frame.iloc[:, j]
        discrete = is_discrete_dtype(dtype)
        if not discrete and not _is_temporal(dtype):
            discrete = column.nunique() <= 2 if chosen is None else chosen[j]
        columns.append(LevelCodes(column) if discrete else NumberCodes(column, **settings))
    return columns


def pack(codes: list[CellCodes]) -> np.ndarray:
    """Rows for the network: tokens, choices, scores, and ends of the intervals of all columns.

    Parameters
    ----------
    codes : list of CellCodes
        Cells of the columns in the order of the model.

    Returns
    -------
    X : ndarray of float32 of shape (n_rows, 5 * n_columns)
    """
    parts = [
        [code.token for code in codes],
        [code.choice for code in codes],
        [code.score for code in codes],
        [code.low for code in codes],
        [code.high for code in codes],
    ]
    return np.ascontiguousarray(
        np.concatenate([np.stack(part, axis=1) for part in parts], axis=1), dtype=np.float32
    )
