"""What is refused or warned of when mixed tables are read."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "check_numeric",
    "take_infinite",
    "warn_of_empty_columns",
    "warn_of_foreign_categories",
    "warn_of_hidden_numbers",
    "warn_of_infinite",
]

# Squares and differences of larger numbers leave the range of double precision.
_LARGEST = 1e100

# Kinds of object columns that are numbers or dates behind a type that says nothing of it.
_HIDDEN_NUMBERS = ("floating", "mixed-integer-float", "decimal")
_HIDDEN_DATES = ("date", "datetime", "datetime64", "timedelta", "timedelta64")


def check_numeric(column: pd.Series, *, label: Any, name: str) -> None:
    """Refuse a column that has no numbers to compare, though it is taken as continuous."""
    dtype, what = column.dtype, f"Column {str(label)!r} of {name}"
    temporal = pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(
        dtype
    )
    if temporal and column.notna().any():
        raise ValueError(
            f"{what} holds dates or times, but the real column holds numbers; convert one of them."
        )
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(f"{what} is complex; split it into a real and an imaginary column.")
    if not temporal and not pd.api.types.is_numeric_dtype(dtype):
        fix = ".dt.to_timestamp()" if isinstance(dtype, pd.PeriodDtype) else ".astype(str)"
        raise ValueError(
            f"{what} has the type {dtype}, which is none of numbers, dates, text, categories and "
            f"booleans; convert it with {fix}."
        )


def take_infinite(
    block: np.ndarray, labels: list, *, name: str, real: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Refuse infinite cells of real tables; count and blank those of synthetic ones."""
    infinite = np.abs(block) > _LARGEST
    counts = infinite.sum(axis=0)
    if counts.any():
        if real:
            label = str(labels[int(np.flatnonzero(counts)[0])])
            raise ValueError(
                f"Column {label!r} of {name} contains infinity or numbers beyond {_LARGEST:.0e}; "
                "real tables must be finite. Replace these cells by NaN, drop the rows or rescale "
                "the column."
            )
        warn_of_infinite(counts, labels, name=name)
        block = np.where(infinite, np.nan, block)
    return block, counts


def warn_of_infinite(counts: np.ndarray, labels: list, *, name: str) -> None:
    """Say how many cells are taken as missing."""
    where = [str(label) for label, count in zip(labels, counts, strict=True) if count]
    warnings.warn(
        f"{name} holds {int(np.sum(counts))} infinite cells (or beyond {_LARGEST:.0e}) in "
        f"{len(where)} columns, {where[0]!r} first; they are taken as missing.",
        stacklevel=6,
    )


def warn_of_empty_columns(has_values: dict[str, np.ndarray], columns: list) -> None:
    """Warn of columns that are missing altogether in one table and not in the first one."""
    first = next(iter(has_values))
    for name, there in has_values.items():
        for one, other, lacking in (
            (name, first, has_values[first] & ~there),
            (first, name, there & ~has_values[first]),
        ):
            if lacking.any():
                label = str(columns[int(np.flatnonzero(lacking)[0])])
                warnings.warn(
                    f"{int(lacking.sum())} columns are missing altogether in {one} but not in "
                    f"{other}, {label!r} first; they get the worst score where columns are "
                    "compared.",
                    stacklevel=5,
                )


def warn_of_foreign_categories(
    real: set, synth: set, *, label: Any, name: str, identifier: bool = False
) -> None:
    """Warn of a column none of whose synthetic categories is known, as by another spelling.

    Values of an ``identifier``, other ones in every row, are new in any table.
    """
    if real and synth and not real & synth and not identifier:
        warnings.warn(
            f"No category of column {str(label)!r} of {name} occurs in a real table (real: "
            f"{sorted(real)[:3]}, {name}: {sorted(synth)[:3]}); is it spelt in another way?",
            stacklevel=5,
        )


def warn_of_hidden_numbers(frame: pd.DataFrame, *, name: str) -> None:
    """Warn of columns of type object that hold numbers or dates and are taken as discrete."""
    for j, dtype in enumerate(frame.dtypes):
        if not pd.api.types.is_object_dtype(dtype):
            continue
        column = frame.iloc[:, j].dropna()
        kind = pd.api.types.infer_dtype(column)
        if kind in _HIDDEN_NUMBERS:
            numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
            numbers = numbers[np.isfinite(numbers)]
            hidden, fix = bool(np.any(np.mod(numbers, 1) != 0)), "pd.to_numeric"
        else:
            hidden, fix = kind in _HIDDEN_DATES, "pd.to_datetime"
        if hidden:
            warnings.warn(
                f"Column {str(frame.columns[j])!r} of {name} has the type object and is taken as "
                f"discrete, but its cells are of kind {kind}; convert it with {fix}, or name the "
                "discrete columns in discrete_columns.",
                stacklevel=5,
            )
