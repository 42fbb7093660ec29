"""Reading mixed tables: names, kinds of columns, categories, missing and infinite cells."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from synth_estimators.preprocessing._column_checks import (
    check_numeric,
    take_infinite,
    warn_of_empty_columns,
    warn_of_foreign_categories,
    warn_of_hidden_numbers,
    warn_of_infinite,
)
from synth_estimators.preprocessing._numbers import nanoseconds

__all__ = [
    "MISSING",
    "MixedTable",
    "as_frame",
    "category_label",
    "is_discrete_dtype",
    "read_tables",
]

#: Category of a missing cell in a discrete column.
MISSING = "<NA>"

_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")
_SHOWN = 5

# Columns with another category in this share of more cells than so many hold identifiers.
_IDENTIFIER, _FEW_CELLS = 0.9, 20


@dataclass
class MixedTable:
    """The cells of one table as two blocks of numbers.

    Attributes
    ----------
    names : list
        Column labels, in the order of the reference table.

    discrete : ndarray of bool of shape (n_columns,)
        True for discrete columns.

    continuous : ndarray of shape (n_rows, n_continuous)
        Continuous columns; missing cells are NaN, datetimes are nanoseconds.

    codes : ndarray of int of shape (n_rows, n_discrete)
        Category index of every cell of the discrete columns.

    categories : list of list of str
        Category labels of every discrete column, shared by all tables read together.

    n_nonfinite : ndarray of int of shape (n_columns,)
        Infinite cells that were taken as missing.

    single : ndarray of bool of shape (n_continuous,)
        Continuous columns that came in single precision.

    weight : ndarray of shape (n_rows,) or None
        Weights of the rows.
    """

    names: list
    discrete: np.ndarray
    continuous: np.ndarray
    codes: np.ndarray
    categories: list = field(repr=False)
    n_nonfinite: np.ndarray = field(repr=False)
    single: np.ndarray = field(repr=False)
    weight: np.ndarray | None = field(default=None, repr=False)

    def __len__(self):
        return len(self.continuous)

    def take(self, rows: Any) -> MixedTable:
        """Return the chosen rows as a new table."""
        weight = None if self.weight is None else self.weight[rows]
        return replace(
            self, continuous=self.continuous[rows], codes=self.codes[rows], weight=weight
        )

    @property
    def continuous_names(self) -> list:
        """Labels of the continuous columns."""
        return [name for name, flag in zip(self.names, self.discrete, strict=True) if not flag]

    @property
    def discrete_names(self) -> list:
        """Labels of the discrete columns."""
        return [name for name, flag in zip(self.names, self.discrete, strict=True) if flag]


def as_frame(X: Any, *, name: str = "X") -> tuple[pd.DataFrame, bool]:
    """Return ``X`` as a data frame and whether it brought column names of its own."""
    if isinstance(X, pd.DataFrame):
        frame, named = X, True
    elif isinstance(X, pd.Series):
        frame, named = X.to_frame(X.name if X.name is not None else "x0"), X.name is not None
    elif type(X).__module__.split(".")[0] == "polars":
        frame, named = pd.DataFrame(X.to_dict(as_series=False)), True
    else:
        values = _as_array(X)
        if values.ndim == 0:
            raise ValueError(
                f"{name} must be a data frame or a 2-D array, got {type(X).__name__}; pass rows "
                "and columns, for example pd.DataFrame(...)."
            )
        if values.ndim != 2:
            raise ValueError(
                f"{name} must be a data frame or a 2-D array, got an array of shape "
                f"{values.shape}; reshape one column with X.reshape(-1, 1)."
            )
        frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])])
        if values.dtype == object:
            frame = frame.infer_objects()
        named = False
    if not frame.columns.is_unique:
        repeated = sorted({str(label) for label in frame.columns[frame.columns.duplicated()]})
        raise ValueError(f"{name} has duplicated column names {repeated}; rename them.")
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise ValueError(
            f"{name} is empty (shape {frame.shape}); expected at least one row and one column."
        )
    return frame, named


def _as_array(X):
    values = X.toarray() if sparse.issparse(X) else np.asarray(X)
    if values.dtype.kind in "US" and not isinstance(X, np.ndarray):
        # A list of mixed rows: numbers stay numbers.
        values = np.asarray(X, dtype=object)
    return values


def category_label(value: Any) -> str:
    """Return the normal form of a category: ``1``, ``1.0``, ``"1"`` and True agree."""
    if value is None or value is pd.NA or value is pd.NaT:
        return MISSING
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        text = value.strip()
        whole = _WHOLE_NUMBER.fullmatch(text)
        return whole.group(1) if whole else {"True": "1", "False": "0"}.get(text, text)
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return MISSING
        return str(int(value)) if np.isfinite(value) and value == int(value) else str(value)
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
        return MISSING if value is pd.NaT else str(value)
    return str(value).strip()


def _labels(column):
    """Row-wise index into the distinct category labels of one column."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        raw, values = column.cat.codes.to_numpy(dtype=np.intp), column.cat.categories
    else:
        try:
            raw, values = pd.factorize(column)
        except TypeError:
            raw, values = pd.factorize(column.map(str))
    labels = [category_label(value) for value in values]
    infinite = [isinstance(value, (float, np.floating)) and np.isinf(value) for value in values]
    if np.any(raw < 0):
        labels.append(MISSING)
        infinite.append(False)
        raw = np.where(raw < 0, len(labels) - 1, raw)
    return raw, labels, infinite


def is_discrete_dtype(dtype: Any) -> bool:
    """Whether columns of this type are discrete by default: text, categories, booleans."""
    return (
        pd.api.types.is_object_dtype(dtype)
        or isinstance(dtype, pd.CategoricalDtype)
        or pd.api.types.is_string_dtype(dtype)
        or pd.api.types.is_bool_dtype(dtype)
    )


def _discrete_mask(frame, discrete_columns):
    columns = list(frame.columns)
    if isinstance(discrete_columns, str):
        if discrete_columns == "auto":
            return np.array([is_discrete_dtype(dtype) for dtype in frame.dtypes], dtype=bool)
        raise ValueError(
            f"discrete_columns={discrete_columns!r} is not understood; pass 'auto', a list of "
            "column names or a boolean mask."
        )
    chosen = [] if discrete_columns is None else list(discrete_columns)
    if chosen and all(isinstance(item, (bool, np.bool_)) for item in chosen):
        if len(chosen) != len(columns):
            raise ValueError(
                f"discrete_columns is a mask of length {len(chosen)}, but the table has "
                f"{len(columns)} columns."
            )
        return np.array(chosen, dtype=bool)
    mask = np.zeros(len(columns), dtype=bool)
    position = {label: index for index, label in enumerate(columns)}
    for item in chosen:
        is_position = isinstance(item, (int, np.integer)) and -len(columns) <= item < len(columns)
        if item in position:
            mask[position[item]] = True
        elif is_position:
            mask[item] = True
        else:
            raise ValueError(
                f"discrete_columns names {item!r}, which is not a column of the real table; its "
                f"columns are {_shown(columns)}."
            )
    return mask


def _shown(labels):
    labels = [str(label) for label in labels]
    return f"{labels[:_SHOWN]}" + (
        f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    )


def _align(frame, columns, *, named, name, reference_name):
    """Bring the columns of ``frame`` into the given order."""
    if not named:
        if frame.shape[1] != len(columns):
            raise ValueError(
                f"{name} has {frame.shape[1]} columns, but {reference_name} has {len(columns)}; "
                "both tables need the same columns."
            )
        return frame.set_axis(columns, axis=1)
    if list(frame.columns) == columns:
        return frame
    missing = [label for label in columns if label not in frame.columns]
    known = set(columns)
    extra = [label for label in frame.columns if label not in known]
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"lacks the columns {_shown(missing)} of {reference_name}")
        if extra:
            parts.append(f"has the columns {_shown(extra)} that {reference_name} lacks")
        raise ValueError(f"{name} {' and '.join(parts)}; both tables need the same column names.")
    return frame[columns]


def _temporal(column, *, label, name, delta):
    if column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
        parse = pd.to_timedelta if delta else pd.to_datetime
        parsed = parse(column, errors="coerce")
        if (parsed.isna() & column.notna()).any():
            raise ValueError(f"Column {str(label)!r} of {name} holds text that is no date or time.")
        column = parsed
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return nanoseconds(pd.TimedeltaIndex(column) if delta else pd.DatetimeIndex(column))


def _numeric(column, *, label, name):
    if is_discrete_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        original, column = column, pd.to_numeric(column.astype(object), errors="coerce")
        bad = column.isna() & original.notna()
        if bad.any():
            raise ValueError(
                f"Column {str(label)!r} of {name} holds text (for example "
                f"{original[bad].iloc[0]!r}) but is taken as continuous; convert it or name it in "
                "discrete_columns."
            )
    check_numeric(column, label=label, name=name)
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or column.dtype.kind == "m":
        return np.full(len(column), np.nan)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _continuous_block(frame, reference, *, name):
    """Float block of the columns of ``frame``; kinds of time are decided by ``reference``."""
    dtypes = list(frame.dtypes)
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in dtypes):
        # One memory layout, so that sums do not depend on the container.
        return np.ascontiguousarray(frame.to_numpy(dtype=np.float64))
    block = np.empty(frame.shape, dtype=np.float64)
    for j, label in enumerate(frame.columns):
        column, kind = frame.iloc[:, j], reference.dtypes.iloc[j]
        delta = pd.api.types.is_timedelta64_dtype(kind)
        if delta or pd.api.types.is_datetime64_any_dtype(kind):
            block[:, j] = _temporal(column, label=label, name=name, delta=delta)
        else:
            block[:, j] = _numeric(column, label=label, name=name)
    return block


def _blank_infinite_categories(labels, infinite, *, column, name, real):
    if any(infinite) and real:
        raise ValueError(
            f"Column {str(column)!r} of {name} contains infinity; real tables must be finite. "
            "Replace these cells by a missing value or drop the rows."
        )
    return [MISSING if flag else label for label, flag in zip(labels, infinite, strict=True)]


def read_tables(
    tables: dict[str, Any],
    *,
    discrete_columns: Any = "auto",
    synthetic: tuple[str, ...] = ("X_synth",),
    also_discrete: tuple = (),
    known_categories: list | None = None,
) -> dict[str, MixedTable]:
    """Read tables with the same columns; the first one is the reference.

    Parameters
    ----------
    tables : dict
        Name for messages -> data frame or 2-D array. A table without names of its own takes
        those of the first named table, position by position.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the reference table as discrete.

    synthetic : tuple of str, default=("X_synth",)
        Names of the tables in which infinite cells are counted instead of refused.

    also_discrete : tuple, default=()
        Columns that are discrete whatever ``discrete_columns`` says.

    known_categories : list of list of str, default=None
        Category labels that come first, one list for each discrete column.

    Returns
    -------
    tables : dict of MixedTable

    Raises
    ------
    ValueError
        For empty tables, columns that do not match, text in a continuous column, or infinite
        cells of a real table.

    Warns
    -----
    UserWarning
        For infinite cells of a synthetic table, columns that are missing altogether in one table
        only, columns without a known category, and numbers or dates in columns of type object.
    """
    read = {name: as_frame(table, name=name) for name, table in tables.items()}
    first, source = next(iter(read)), next((name for name in read if read[name][1]), None)
    source = first if source is None else source
    columns = list(read[source][0].columns)
    frames = {
        name: _align(frame, columns, named=named, name=name, reference_name=source)
        for name, (frame, named) in read.items()
    }
    reference = frames[first]
    mask = _discrete_mask(reference, discrete_columns)
    if isinstance(discrete_columns, str):
        warn_of_hidden_numbers(reference, name=first)
    for label in also_discrete:
        mask[columns.index(label)] = True
    return _split(frames, reference, columns, mask, synthetic, known_categories)


def _split(frames, reference, columns, mask, synthetic, known_categories):
    continuous_columns = [label for label, flag in zip(columns, mask, strict=True) if not flag]
    blocks, counts, singles = {}, {}, {}
    for name, frame in frames.items():
        part = frame if not mask.any() else frame.loc[:, ~mask]
        block = _continuous_block(part, reference.loc[:, ~mask], name=name)
        counts[name] = np.zeros(len(columns), dtype=int)
        blocks[name], counts[name][~mask] = take_infinite(
            block, continuous_columns, name=name, real=name not in synthetic
        )
        singles[name] = np.array([_is_single(dtype) for dtype in part.dtypes], dtype=bool)

    codes = {
        name: np.empty((len(frame), int(mask.sum())), dtype=np.intp)
        for name, frame in frames.items()
    }
    has_values = {name: np.ones(len(columns), dtype=bool) for name in frames}
    for name, block in blocks.items():
        has_values[name][~mask] = ~np.isnan(block).all(axis=0)
    categories = []
    for k, j in enumerate(np.flatnonzero(mask)):
        known = list(known_categories[k]) if known_categories is not None else []
        found = {}
        for name, frame in frames.items():
            raw, labels, infinite = _labels(frame.iloc[:, j])
            labels = _blank_infinite_categories(
                labels, infinite, column=columns[j], name=name, real=name not in synthetic
            )
            if any(infinite):
                counts[name][j] = int(np.isin(raw, np.flatnonzero(infinite)).sum())
                warn_of_infinite(counts[name][[j]], [columns[j]], name=name)
            used = np.zeros(len(labels), dtype=bool)
            used[raw] = True
            found[name] = (raw, labels, used)
        seen_in = {
            name: {label for label, u in zip(labels, used, strict=True) if u}
            for name, (_, labels, used) in found.items()
        }
        seen = set().union(*seen_in.values())
        there = {name: labels - {MISSING} for name, labels in seen_in.items()}
        for name, labels in there.items():
            has_values[name][j] = bool(labels)
            if name in synthetic:
                real = set(known) - {MISSING}
                real = real.union(*(there[other] for other in there if other not in synthetic))
                n_cells = sum(len(frames[other]) for other in there if other not in synthetic)
                warn_of_foreign_categories(
                    real,
                    labels,
                    label=columns[j],
                    name=name,
                    identifier=n_cells > _FEW_CELLS and len(real) >= _IDENTIFIER * n_cells,
                )
        ordered = known + sorted(seen.difference(known))
        lookup = {label: index for index, label in enumerate(ordered)}
        for name, (raw, labels, _) in found.items():
            translate = np.array([lookup.get(label, -1) for label in labels], dtype=np.intp)
            codes[name][:, k] = translate[raw]
        categories.append(ordered)
    if known_categories is None:
        # Else the first table is a template of one row, and its gaps mean nothing.
        warn_of_empty_columns(has_values, columns)
    return {
        name: MixedTable(
            columns, mask, blocks[name], codes[name], categories, counts[name], singles[name]
        )
        for name in frames
    }


def _is_single(dtype):
    dtype = getattr(dtype, "numpy_dtype", dtype)
    return isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8
