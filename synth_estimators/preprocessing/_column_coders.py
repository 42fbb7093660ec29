"""The fields of one column: what is read from it, how it is encoded, and how it comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from synth_estimators.preprocessing._field_kinds import FieldKind
from synth_estimators.preprocessing._level_codes import LevelColumn
from synth_estimators.preprocessing._number_fields import NumberField, TimeField
from synth_estimators.preprocessing._row_codes import FieldSpec

__all__ = ["CustomCoder", "EmptyCoder", "LevelCoder", "NumberCoder", "column_coder"]


def column_coder(
    column: pd.Series, kind: FieldKind, *, index: int, label: str, options: dict
) -> Any:
    """Return the coder of a column.

    Parameters
    ----------
    column : pandas Series
        Column of the training table.

    kind : FieldKind
        What the column is taken for.

    index : int
        Place of the column in the table.

    label : str
        Its name.

    options : dict
        ``rounding``, ``bounds`` and ``cutoff``.
    """
    place = {"index": index, "label": label}
    if kind.kind == "empty":
        return EmptyCoder(column, **place)
    if kind.kind == "custom":
        return CustomCoder(column, kind.transformer, **place)
    if kind.kind in ("categorical", "boolean"):
        return LevelCoder(column, **place, coding=kind.coding, cutoff=options["cutoff"])
    settings = {"rounding": options["rounding"], "bounds": options["bounds"]}
    if kind.kind == "datetime":
        field = TimeField(column, label=label, text=kind.text, **settings)
    else:
        field = NumberField(column, label=label, **settings)
    return NumberCoder(column, field, **place)


class LevelCoder(LevelColumn):
    """A column of levels: one field."""

    numbers = ()

    def bits(self, raw: np.ndarray) -> list[np.ndarray]:
        """Return what tells the rows apart."""
        return [raw.astype(np.uint64)]

    def encode(self, raw: np.ndarray, uniform: Any) -> list[np.ndarray]:
        """Return the arrays of the fields."""
        return [raw]

    def decode(self, parts: list[np.ndarray], rng: Any = None) -> pd.Series:
        """Return the column of the arrays of the fields."""
        return self.restore(parts[0], rng)


class NumberCoder:
    """A column of numbers or dates: a scalar, a mode, and a flag of missing cells.

    Parameters
    ----------
    column : pandas Series
        Column of the training table, with at least one value.

    field : NumberField
        Its floats.

    index : int
        Place of the column in the table.

    label : str
        Its name.

    Attributes
    ----------
    codes : ComponentCodes or ScoreCodes
        Set after the fields of all columns were fitted together.
    """

    def __init__(self, column, field, *, index, label):
        self.field, self.index, self.label = field, index, label
        self.codes = None
        values = field.read(column)
        missing = np.isnan(values)
        self.flagged = bool(missing.any())
        self.fill = float(values[~missing].mean())

    @property
    def numbers(self) -> tuple[NumberCoder, ...]:
        """Parts that need codes for their values."""
        return (self,)

    def training_values(self, column: pd.Series, rows: np.ndarray | None) -> np.ndarray:
        """Values to fit the codes on: those of the chosen rows and the two ends."""
        values = self.field.read(column)
        known = values[~np.isnan(values)] if self.flagged else values
        if rows is None:
            return known
        values = values[rows]
        values = values[~np.isnan(values)] if self.flagged else values
        return np.append(values, [known.min(), known.max()])

    def fields(self) -> list[FieldSpec]:
        """Return value, mode (where there are any) and flag (of columns with missing cells)."""
        label, index = self.label, self.index
        specs = [FieldSpec(index, f"{label}.value", "value", "scalar", (f"{label}.value",))]
        if self.codes.n_codes:
            n_modes, n_spikes = self.codes.n_modes, len(self.codes.spikes)
            names = [f"{label}.mode_{mode}" for mode in range(n_modes)]
            names += [f"{label}.spike_{spike}" for spike in range(n_spikes)]
            coded = (tuple(names), self.codes.n_codes, n_spikes)
            specs.append(FieldSpec(index, f"{label}.mode", "mode", "one_hot", *coded))
        if self.flagged:
            names = tuple(f"{label}.is_null={flag}" for flag in (0, 1))
            specs.append(FieldSpec(index, f"{label}.is_null", "null", "one_hot", names, 2))
        return specs

    def read(self, column: pd.Series, *, unknown: str = "error") -> np.ndarray:
        """Return the cells as floats, missing ones as NaN."""
        values = self.field.read(column)
        if not self.flagged and unknown == "error" and np.isnan(values).any():
            raise ValueError(
                f"Column {self.label!r} has missing cells, but there were none in fit; impute or "
                "drop these rows, fit on a table that has them, or use handle_unknown='ignore'."
            )
        return values

    def bits(self, raw: np.ndarray) -> list[np.ndarray]:
        """Return what tells the rows apart."""
        # Adding zero turns the negative zero into the other one.
        return [(np.where(np.isnan(raw), self.fill, raw) + 0.0).view(np.uint64)]

    def encode(self, raw: np.ndarray, uniform: np.ndarray) -> list[np.ndarray]:
        """Return the arrays of the fields; missing cells are encoded as the mean."""
        missing = np.isnan(raw)
        values = np.where(missing, self.fill, raw) if missing.any() else raw
        scalars, codes = self.codes.encode(values, uniform)
        parts = [scalars] if codes is None else [scalars, codes]
        return [*parts, missing] if self.flagged else parts

    def decode(self, parts: list[np.ndarray], rng: Any = None) -> pd.Series:
        """Return the column of the arrays of the fields."""
        return self.field.restore(self.values(parts))

    def values(self, parts: list[np.ndarray]) -> np.ndarray:
        """Return the floats of the arrays of the fields, before rounding."""
        codes = parts[1].astype(np.intp) if self.codes.n_codes else None
        values = self.codes.decode(parts[0], codes)
        return np.where(parts[-1] == 1, np.nan, values) if self.flagged else values


class EmptyCoder:
    """A column without a value: a scalar that is always zero.

    Parameters
    ----------
    column : pandas Series
        Column of the training table.

    index : int
        Place of the column in the table.

    label : str
        Its name.
    """

    numbers = ()

    def __init__(self, column, *, index, label):
        self.index, self.label, self.dtype = index, label, column.dtype
        self._cell = column.array[:1].copy()

    def fields(self) -> list[FieldSpec]:
        """Return the one field of the column."""
        name = f"{self.label}.value"
        return [FieldSpec(self.index, name, "value", "scalar", (name,))]

    def read(self, column: pd.Series, *, unknown: str = "error") -> np.ndarray:
        """Return zeros; values are refused where only missing cells were seen."""
        if unknown == "error" and column.notna().any():
            raise ValueError(
                f"Column {self.label!r} has values, but it was missing altogether in fit; fit on "
                "a table that has them, or use handle_unknown='ignore'."
            )
        return np.zeros(len(column), dtype=np.float32)

    def bits(self, raw: np.ndarray) -> list[np.ndarray]:
        """Return what tells the rows apart: nothing."""
        return []

    def encode(self, raw: np.ndarray, uniform: Any) -> list[np.ndarray]:
        """Return the arrays of the fields."""
        return [raw]

    def decode(self, parts: list[np.ndarray], rng: Any = None) -> pd.Series:
        """Return missing cells."""
        cells = self._cell.take(np.zeros(len(parts[0]), dtype=np.intp))
        return pd.Series(cells, dtype=self.dtype)


class CustomCoder:
    """A column behind a transformer of the user's own: the fields of its output.

    Parameters
    ----------
    column : pandas Series
        Column of the training table.

    transformer : object
        With ``fit``, ``transform`` and ``inverse_transform`` of tables of one column.

    index : int
        Place of the column in the table.

    label : str
        Its name.
    """

    def __init__(self, column, transformer, *, index, label):
        self.index, self.label, self.dtype = index, label, column.dtype
        self.transformer = clone(transformer, safe=False)
        self.transformer.fit(column.to_frame(label))
        self._parts = []
        output = self._output(column)
        for k, values in enumerate(output.T):
            name = label if output.shape[1] == 1 else f"{label}[{k}]"
            part = pd.Series(values)
            known = np.unique(values[~np.isnan(values)])
            if np.array_equal(known, [0.0, 1.0]):
                self._parts.append(LevelCoder(part, index=index, label=name))
            elif not known.size:
                self._parts.append(EmptyCoder(part, index=index, label=name))
            else:
                field = NumberField(part, label=name, rounding=False)
                self._parts.append(NumberCoder(part, field, index=index, label=name))

    def _output(self, column):
        output = self.transformer.transform(column.to_frame(self.label))
        output = output.toarray() if hasattr(output, "toarray") else np.asarray(output)
        try:
            return output.reshape(len(column), -1).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The transformer {self.transformer!r} of column {self.label!r} returned an array "
                f"of shape {output.shape} and type {output.dtype}; expected numbers, one row a "
                "cell."
            ) from error

    @property
    def numbers(self) -> tuple[NumberCoder, ...]:
        """Parts that need codes for their values."""
        return tuple(part for coder in self._parts for part in coder.numbers)

    def training_columns(self, column: pd.Series) -> list[pd.Series]:
        """Columns of the transformer's output that the parts in ``numbers`` are fitted on."""
        return [
            pd.Series(values)
            for coder, values in zip(self._parts, self._output(column).T, strict=True)
            if coder.numbers
        ]

    def fields(self) -> list[FieldSpec]:
        """Return the fields of all parts."""
        return [spec for coder in self._parts for spec in coder.fields()]

    def read(self, column: pd.Series, *, unknown: str = "error") -> list[np.ndarray]:
        """Return what the parts read."""
        return [
            coder.read(pd.Series(values), unknown=unknown)
            for coder, values in zip(self._parts, self._output(column).T, strict=True)
        ]

    def bits(self, raw: list[np.ndarray]) -> list[np.ndarray]:
        """Return what tells the rows apart."""
        pairs = zip(self._parts, raw, strict=True)
        return [bits for coder, part in pairs for bits in coder.bits(part)]

    def encode(self, raw: list[np.ndarray], uniform: np.ndarray) -> list[np.ndarray]:
        """Return the arrays of the fields."""
        pairs = zip(self._parts, raw, strict=True)
        return [array for coder, part in pairs for array in coder.encode(part, uniform)]

    def decode(self, parts: list[np.ndarray], rng: Any = None) -> pd.Series:
        """Return the column that the transformer makes of its output."""
        columns, begin = [], 0
        for coder in self._parts:
            stop = begin + len(coder.fields())
            column = coder.decode(parts[begin:stop], rng)
            columns.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
            begin = stop
        cells = np.asarray(self.transformer.inverse_transform(np.column_stack(columns)))
        return pd.Series(cells.reshape(-1)).astype(self.dtype)
