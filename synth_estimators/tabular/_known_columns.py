"""What the columns of the training table can hold, for conditions on them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._validation import check_request_length, from_polars, is_polars
from synth_estimators.preprocessing._columns import is_discrete_dtype
from synth_estimators.preprocessing._numbers import NumberColumn, nanoseconds

__all__ = ["KnownColumns", "refuse_unknown_columns", "truth_values"]

_LISTED = 10


def refuse_unknown_columns(labels: Any, known: list, *, what: str) -> None:
    """Raise for labels that are not columns of the fitted table."""
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise ValueError(
            f"Unexpected column name{'s' * (len(unknown) > 1)} "
            f"{', '.join(map(repr, unknown))} in {what}; the columns seen during fit are {known}."
        )


def truth_values(verdict: Any, *, missing: bool) -> np.ndarray:
    """Verdicts on rows as an array; of nullable booleans the missing ones become ``missing``."""
    dtype = getattr(verdict, "dtype", None)
    if isinstance(dtype, pd.api.extensions.ExtensionDtype) and pd.api.types.is_bool_dtype(dtype):
        verdict = pd.array(verdict, dtype="boolean").fillna(missing).to_numpy(dtype=bool)
    return np.asarray(verdict)


def _key(value):
    """Missing cells of all kinds are one level."""
    return None if np.ndim(value) == 0 and pd.isna(value) else value


def _number(value):
    """A float, or an int that floats may be too coarse for."""
    return int(value) if isinstance(value, Integral) else float(value)


class KnownColumn:
    """One column: its levels, or its range."""

    def __init__(self, column: pd.Series, *, discrete: bool):
        self.dtype = column.dtype
        self.has_missing = bool(column.isna().any())
        self.has_values = bool(column.notna().any())
        self.spread = 0.0
        if discrete:
            self.kind = "level"
            values = column.drop_duplicates()
            self.levels = {_key(value): code for code, value in enumerate(values)}
            self.array = values.array
            return
        self.numbers = NumberColumn(column)
        values = self.numbers.values[~np.isnan(self.numbers.values)]
        del self.numbers.values
        self.low, self.high = (values.min(), values.max()) if values.size else (np.nan, np.nan)
        if values.size:
            self.spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
        self.middle = float(np.median(values)) if values.size else np.nan
        if pd.api.types.is_datetime64_any_dtype(self.dtype):
            self.kind = "time"
        elif pd.api.types.is_timedelta64_dtype(self.dtype):
            self.kind = "duration"
        else:
            self.kind = "integer" if pd.api.types.is_integer_dtype(self.dtype) else "float"

    def codes(self, column: pd.Series) -> np.ndarray:
        """Cells as floats that compare: numbers, nanoseconds or codes of levels; missing is NaN."""
        if self.kind == "level":
            raw, values = pd.factorize(column, use_na_sentinel=False)
            lookup = np.array([self._code(value) for value in values], dtype=np.float64)
            return lookup[raw]
        if self.kind == "time":
            return nanoseconds(pd.DatetimeIndex(column))
        if self.kind == "duration":
            return nanoseconds(pd.TimedeltaIndex(column))
        return column.to_numpy(dtype=np.float64, na_value=np.nan)

    def _code(self, value):
        if pd.isna(value):
            return np.nan
        return self.levels.get(value, -1.0)

    def read(self, values: Any, label: Any, *, in_range: bool) -> pd.Series:
        """Wanted values as a column of the fitted dtype; refuse what training never had."""
        column = pd.Series(values, dtype=object).reset_index(drop=True)
        missing = column.isna().to_numpy()
        if missing.any() and not self.has_missing:
            raise ValueError(
                f"Column {label!r} was never missing during fit, so rows with a missing cell there "
                "cannot be asked for; leave it out of the conditions."
            )
        if not (self.has_values or missing.all()):
            raise ValueError(
                f"Column {label!r} was missing in all rows during fit, so "
                f"{column[~missing].iloc[0]!r} cannot be asked for; leave it out of the conditions."
            )
        if self.kind == "level":
            return self._read_levels(column, label)
        return self._read_numbers(column, missing, label, in_range)

    def _read_levels(self, column, label):
        codes = []
        for value in column:
            try:
                codes.append(self.levels.get(_key(value)))
            except TypeError:  # not hashable
                codes.append(None)
            if codes[-1] is None:
                known = [level for level in self.levels if level is not None]
                more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
                raise ValueError(
                    f"Unknown value {value!r} for column {label!r} in conditions; seen during fit: "
                    f"{known[:_LISTED]}{more}."
                )
        taken = self.array.take(np.array(codes, dtype=np.intp))
        return pd.Series(taken, dtype=self.dtype)

    def _read_numbers(self, column, missing, label, in_range):
        cells = [
            None if gap else self._parsed(value, label)
            for value, gap in zip(column, missing, strict=True)
        ]
        if self.kind in ("time", "duration"):
            values = pd.Series(cells, dtype=self.dtype)
        else:
            self._check_finite(cells, label)
            values = pd.Series([pd.NA if cell is None else cell for cell in cells], dtype=object)
            if not isinstance(self.dtype, pd.api.extensions.ExtensionDtype):
                values = values.where(~missing, np.nan)
            values = values.astype(self.dtype)
        known = self.codes(values)[~missing]
        outside = (known < self.low) | (known > self.high)
        if in_range and outside.any():
            low, high = self.numbers.restore(np.array([self.low, self.high]))
            raise ValueError(
                f"Value {column[~missing][outside].iloc[0]!r} for column {label!r} in conditions "
                f"is outside the range seen during fit, {low} to {high}; ask for a value "
                "within it."
            )
        return values

    def _parsed(self, value, label):
        """One wanted cell as a number, a date in the zone of the column, or a duration."""
        try:
            if self.kind == "time":
                return self._moment(value)
            return pd.Timedelta(value) if self.kind == "duration" else _number(value)
        except (TypeError, ValueError, OverflowError) as exc:
            what = {"time": "a date", "duration": "a duration"}.get(self.kind, "a number")
            raise ValueError(
                f"Column {label!r} needs {what} in conditions, got {value!r}: {exc}."
            ) from exc

    def _moment(self, value):
        moment = pd.Timestamp(value)
        zone = getattr(self.dtype, "tz", None)
        if zone is None and moment.tzinfo is not None:
            raise ValueError("the dates of the column have no time zone, this one has")
        if zone is None:
            return moment
        if moment.tzinfo is None:
            return moment.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        return moment.tz_convert(zone)

    def _check_finite(self, cells, label):
        whole = self.kind == "integer"
        limits = np.iinfo(getattr(self.dtype, "numpy_dtype", self.dtype)) if whole else None
        for cell in cells:
            if cell is None:
                continue
            if not np.isfinite(float(cell)):
                raise ValueError(f"Column {label!r} needs finite numbers in conditions.")
            if limits is None:
                continue
            if cell != int(cell):
                raise ValueError(
                    f"Column {label!r} holds whole numbers, but the conditions ask for {cell!r}."
                )
            if not limits.min <= cell <= limits.max:
                raise ValueError(
                    f"Column {label!r} of type {self.dtype} cannot hold {cell!r}, which the "
                    f"conditions ask for; ask for a value from {limits.min} to {limits.max}."
                )

    def filler(self) -> Any:
        """One plausible cell that belongs to no row in particular."""
        if self.kind == "level":
            return self.array[:1]
        return self.numbers.restore(np.array([self.middle]))


class KnownColumns:
    """Labels, dtypes, levels and ranges of a fitted table.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Validated training table.

    discrete_columns : collection of labels, default=()
        Columns of numbers that are taken as levels. Text, categories and booleans always are.

    in_range : bool, default=True
        Whether conditions outside the training range are refused.
    """

    def __init__(self, frame: pd.DataFrame, *, discrete_columns: Any = (), in_range: bool = True):
        self.labels = list(frame.columns)
        self.in_range = in_range
        named = set(discrete_columns or ())
        self._columns = {
            label: KnownColumn(
                frame.iloc[:, j],
                discrete=label in named or is_discrete_dtype(frame.dtypes.iloc[j]),
            )
            for j, label in enumerate(self.labels)
        }

    def read(self, conditions: Any, n_samples: int | None) -> pd.DataFrame:
        """Conditions as a table with one row per wanted row, in the fitted dtypes.

        Parameters
        ----------
        conditions : mapping, pandas DataFrame or polars DataFrame
            Column -> value for all rows, or one value a row.

        n_samples : int or None
            Number of rows; None takes that of the data frame.
        """
        conditions = from_polars(conditions) if is_polars(conditions) else conditions
        if isinstance(conditions, pd.DataFrame):
            if not conditions.columns.is_unique:
                repeated = conditions.columns[conditions.columns.duplicated()][0]
                raise ValueError(f"conditions has two columns called {repeated!r}; leave one out.")
            if n_samples is not None and len(conditions) != n_samples:
                raise ValueError(
                    f"conditions has {len(conditions)} rows but n_samples={n_samples}; pass one "
                    "row of conditions per wanted row."
                )
            n_samples = len(conditions)
            columns = {label: conditions[label].array for label in conditions.columns}
        elif isinstance(conditions, Mapping):
            columns = dict(conditions)
            check_request_length(columns, n_samples)
        else:
            raise TypeError(
                "conditions must be a mapping from columns to values or a data frame with one row "
                f"per wanted row, got {type(conditions).__name__}."
            )
        refuse_unknown_columns(columns, self.labels, what="conditions")
        if not columns:
            return pd.DataFrame(index=pd.RangeIndex(n_samples or 0))
        parts = {}
        for label, values in columns.items():
            one = isinstance(values, str | bytes) or np.ndim(values) == 0
            cells = [values] if one else values
            column = self._columns[label].read(cells, label, in_range=self.in_range)
            if one:
                column = column.iloc[np.zeros(n_samples, dtype=np.intp)].reset_index(drop=True)
            parts[label] = column
        return pd.DataFrame(parts)

    def agreement(self, frame: pd.DataFrame, wanted: pd.DataFrame, rtol: float) -> np.ndarray:
        """Which cells meet their conditions: bool of shape (n_rows, n_conditions).

        Levels and whole numbers must be equal, floats may differ by ``rtol`` of the wanted value
        or of a tenth of the column's interquartile range, whichever is more, and dates and
        durations by ``rtol`` of the interquartile range. Missing meets missing.
        """
        agree = np.empty((len(frame), wanted.shape[1]), dtype=bool)
        for k, label in enumerate(wanted.columns):
            column = self._columns[label]
            got, goal = column.codes(frame[label]), column.codes(wanted[label])
            if column.kind == "float":
                slack = rtol * np.maximum(np.abs(goal), column.spread / 10)
            else:
                slack = rtol * column.spread if column.kind in ("time", "duration") else 0.0
            missing = np.isnan(goal)
            agree[:, k] = np.where(missing, np.isnan(got), np.abs(got - goal) <= slack)
        return agree

    def write(self, frame: pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
        """Return the table with the wanted values in place of those that were drawn."""
        parts = {}
        for label in frame.columns:
            if label in wanted.columns:
                column = pd.Series(wanted[label].array, index=frame.index)
                drawn = frame[label].dtype
                parts[label] = column if column.dtype == drawn else column.astype(drawn)
            else:
                parts[label] = frame[label]
        return pd.DataFrame(parts).set_axis(frame.columns, axis=1)

    def fill(self, wanted: pd.DataFrame) -> pd.DataFrame:
        """Complete the conditions by cells that mean nothing, so that they can be encoded."""
        index = np.zeros(len(wanted), dtype=np.intp)
        parts = {
            label: wanted[label].array
            if label in wanted.columns
            else pd.Series(column.filler(), dtype=column.dtype).array.take(index)
            for label, column in self._columns.items()
        }
        return pd.DataFrame(parts).set_axis(self.labels, axis=1)

    def codes(self, column: pd.Series, label: Any) -> np.ndarray:
        """Cells of a column as floats that compare; missing is NaN, an unknown level -1."""
        return self._columns[label].codes(column)

    def dtype(self, label: Any) -> Any:
        """Dtype of a fitted column."""
        return self._columns[label].dtype

    def levels(self, label: Any) -> list | None:
        """Levels of a fitted column, None standing for missing; None for numbers and dates."""
        column = self._columns[label]
        return list(column.levels) if column.kind == "level" else None
