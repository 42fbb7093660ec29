"""Which columns of a table hold numbers, dates, levels or nothing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.preprocessing._text_dates import DateFormat, find_date_format

__all__ = ["FieldKind", "chosen_columns", "field_kinds"]

#: Names of transformers that can be declared: kind and coding of the column.
TRANSFORMERS = {
    "FloatFormatter": ("numeric", None),
    "OneHotEncoder": ("categorical", "one_hot"),
    "BinaryEncoder": ("categorical", "binary"),
    "UnixTimestampEncoder": ("datetime", None),
}

_TYPES = {
    "numerical": "numeric",
    "numeric": "numeric",
    "categorical": "categorical",
    "boolean": "boolean",
    "datetime": "datetime",
}

# A column of text with another value in every row of so many is an identifier.
_IDENTIFIER_ROWS = 20


@dataclass
class FieldKind:
    """What a column is taken for.

    Attributes
    ----------
    kind : {"numeric", "datetime", "boolean", "categorical", "empty", "custom"}

    coding : {"one_hot", "binary"} or None
        Declared code of the levels; None leaves it to their number.

    text : DateFormat or None
        Format of dates written as text.

    transformer : object or None
        Transformer of the user's own.
    """

    kind: str
    coding: str | None = None
    text: DateFormat | None = None
    transformer: Any = None


def chosen_columns(chosen: Any, frame: pd.DataFrame, *, name: str) -> set[int]:
    """Return the places of columns given by name, position or mask.

    Raises
    ------
    ValueError
        For columns that the table does not have; the message lists them.
    """
    columns = list(frame.columns)
    chosen = [] if chosen is None else list(chosen)
    if chosen and all(isinstance(item, bool | np.bool_) for item in chosen):
        if len(chosen) != len(columns):
            raise ValueError(
                f"{name} is a mask of length {len(chosen)}, but X has {len(columns)} columns; "
                "pass one entry a column."
            )
        return set(np.flatnonzero(chosen).tolist())
    position = {label: index for index, label in enumerate(columns)}
    found, strange = set(), []
    for item in chosen:
        if item in position:
            found.add(position[item])
        elif isinstance(item, int | np.integer) and -len(columns) <= item < len(columns):
            found.add(int(item) % len(columns))
        else:
            strange.append(item)
    if strange:
        raise ValueError(
            f"Invalid columns found in {name}: {strange}; X has the columns {columns[:5]}"
            f"{' and more' if len(columns) > 5 else ''}."
        )
    return found


def field_kinds(
    frame: pd.DataFrame,
    labels: list[str],
    *,
    discrete_columns: Any = None,
    field_types: dict | None = None,
    field_transformers: dict | None = None,
    find_dates: bool = False,
) -> list[FieldKind]:
    """Decide for every column what it is taken for.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Validated training table.

    labels : list of str
        Names of the columns for messages.

    discrete_columns : array-like or None, default=None
        Columns of levels, by name, position or mask.

    field_types : dict or None, default=None
        Column -> type, or ``{"type": ..., "format": ...}``.

    field_transformers : dict or None, default=None
        Column -> name of a transformer, or one of the user's own.

    find_dates : bool, default=False
        Look for columns of text that hold dates.

    Returns
    -------
    kinds : list of FieldKind
    """
    declared: dict[int, FieldKind] = {}
    for label, spec in (field_types or {}).items():
        (j,) = chosen_columns([label], frame, name="field_types")
        declared[j] = _declared_type(frame.iloc[:, j], labels[j], spec)
    for label, transformer in (field_transformers or {}).items():
        (j,) = chosen_columns([label], frame, name="field_transformers")
        declared[j] = _declared_transformer(frame.iloc[:, j], labels[j], transformer)
    discrete = chosen_columns(discrete_columns, frame, name="discrete_columns")
    kinds = []
    for j, label in enumerate(labels):
        column = frame.iloc[:, j]
        if j in declared:
            kinds.append(declared[j])
        elif j in discrete:
            kinds.append(FieldKind("categorical"))
        else:
            kinds.append(_detected(column, label, find_dates))
        if kinds[-1].kind != "custom" and not column.notna().any():
            kinds[-1] = FieldKind("empty")
    return kinds


def _detected(column, label, find_dates):
    dtype = column.dtype
    if not column.notna().any():
        return FieldKind("empty")
    if pd.api.types.is_bool_dtype(dtype):
        return FieldKind("boolean")
    if pd.api.types.is_numeric_dtype(dtype):
        return FieldKind("categorical" if _is_zero_one(column) else "numeric")
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return FieldKind("datetime")
    if find_dates and (text := find_date_format(column, label=label)) is not None:
        return FieldKind("datetime", text=text)
    n_known = int(column.notna().sum())
    if n_known >= _IDENTIFIER_ROWS and column.nunique() == n_known:
        warnings.warn(
            f"Column {label!r} holds another text in each of its {n_known} rows, as an identifier "
            "does; there is nothing to learn from it. Drop it, or name it as primary_key of the "
            "generator.",
            stacklevel=4,
        )
    return FieldKind("categorical")


def _is_zero_one(column):
    """Whether a column of numbers holds zeros and ones, both, and nothing else."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    head = values[:100]
    if not np.all((head == 0) | (head == 1) | np.isnan(head)):
        return False
    zeros, ones = values == 0, values == 1
    return bool(zeros.any() and ones.any() and (zeros | ones | np.isnan(values)).all())


def _declared_type(column, label, spec):
    spec = {"type": spec} if isinstance(spec, str) else dict(spec)
    kind = _TYPES.get(spec.get("type"))
    if kind is None:
        raise ValueError(
            f"field_types[{label!r}] has the type {spec.get('type')!r}; expected one of "
            f"{sorted(_TYPES)}."
        )
    return _declared_kind(column, label, kind, None, spec.get("format"))


def _declared_transformer(column, label, transformer):
    if isinstance(transformer, str):
        if transformer not in TRANSFORMERS:
            raise ValueError(
                f"field_transformers[{label!r}]={transformer!r} is unknown; use one of "
                f"{sorted(TRANSFORMERS)} or an object with fit, transform and inverse_transform."
            )
        return _declared_kind(column, label, *TRANSFORMERS[transformer], None)
    lacking = [
        method
        for method in ("fit", "transform", "inverse_transform")
        if not hasattr(transformer, method)
    ]
    if lacking:
        raise ValueError(
            f"field_transformers[{label!r}]={transformer!r} has no {lacking[0]}; pass one of the "
            f"names {sorted(TRANSFORMERS)} or an object with fit, transform and inverse_transform."
        )
    return FieldKind("custom", transformer=transformer)


def _declared_kind(column, label, kind, coding, text):
    if kind != "datetime" or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return FieldKind(kind, coding=coding)
    if pd.api.types.is_timedelta64_dtype(column.dtype) or not column.notna().any():
        return FieldKind(kind)
    if pd.api.types.is_numeric_dtype(column.dtype):
        raise ValueError(
            f"Column {label!r} is declared as a datetime but holds numbers; convert it with "
            "pd.to_datetime, or declare it as numerical."
        )
    if text is not None:
        given = DateFormat(text)
        given.parse(column, label=label)
        return FieldKind(kind, text=given.learn_style(pd.unique(column.dropna())))
    found = find_date_format(column, label=label)
    if found is None:
        raise ValueError(
            f"Column {label!r} is declared as a datetime, but no known format fits all its cells; "
            f"pass field_types={{{label!r}: {{'type': 'datetime', 'format': ...}}}}."
        )
    return FieldKind(kind, text=found)
