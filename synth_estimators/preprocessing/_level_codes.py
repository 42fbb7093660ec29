"""Columns of levels (text, categories, booleans) as the index of their level, and back."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.preprocessing._row_codes import FieldSpec, code_dtype

__all__ = ["LevelColumn", "distinct_cells"]

_SHOWN = 5


def distinct_cells(column: pd.Series, label: Any, **settings: Any) -> tuple[np.ndarray, Any]:
    """Return the index of the distinct value of every cell, and the values.

    Parameters
    ----------
    column : pandas Series
        Cells.

    label : str
        Name of the column for the message.

    **settings : dict
        Those of ``pandas.factorize``.

    Raises
    ------
    TypeError
        For cells that cannot be told from each other, such as byte arrays.
    """
    try:
        return pd.factorize(column, **settings)
    except TypeError as exc:
        raise TypeError(
            f"Column {str(label)!r} holds cells that cannot be compared ({exc}); convert them to "
            "text or numbers."
        ) from exc


class LevelColumn:
    """Levels of a discrete column in order of first appearance, a missing cell as the last one.

    Parameters
    ----------
    column : pandas Series
        Column of the training table.

    index : int
        Place of the column in the table.

    label : str
        Its name for messages and encoded columns.

    coding : {"one_hot", "binary"} or None
        None decides by the number of levels.

    cutoff : int
        Number of levels from which on they are coded by the bits of their number.

    Attributes
    ----------
    levels : pandas array of shape (n_levels,)
        One cell of each level, in the dtype of the column.
    """

    def __init__(self, column, *, index, label, coding=None, cutoff=500):
        self.index, self.label, self.dtype = index, label, column.dtype
        codes, values = distinct_cells(column, label)
        n_values = len(values)
        if pd.api.types.is_bool_dtype(column.dtype):
            # False comes first, whatever came first in the table.
            rank = np.argsort(np.argsort(np.asarray(values, dtype=bool), kind="stable"))
            codes = np.where(codes < 0, -1, rank[codes])
        codes = np.where(codes < 0, n_values, codes)
        self.counts = np.bincount(codes)
        first = np.empty(len(self.counts), dtype=np.intp)
        first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
        self.levels = column.array.take(first)
        self.has_missing = len(self.levels) > n_values
        self.coding = coding or ("binary" if n_values >= cutoff else "one_hot")
        self._lookup = {_key(value): code for code, value in enumerate(self.levels)}
        # Text is found at once; where other cells equal each other is settled one by one.
        plain = all(isinstance(level, str) or _is_blank(level) for level in self.levels)
        self._index = pd.Index(self.levels, dtype=object) if plain else None

    @property
    def n_levels(self) -> int:
        """Number of levels, missing included."""
        return len(self.levels)

    def fields(self) -> list[FieldSpec]:
        """Return the one field of the column."""
        if self.coding == "binary":
            width = self.n_levels.bit_length()
            labels = [f"{self.label}.bit_{bit}" for bit in range(width)]
        else:
            labels = [f"{self.label}={_shown(level)}" for level in self.levels]
        spec = (self.index, self.label, "level", self.coding, tuple(labels), self.n_levels)
        return [FieldSpec(*spec)]

    def read(self, column: pd.Series, *, unknown: str = "error") -> np.ndarray:
        """Return the level index of every cell.

        Parameters
        ----------
        column : pandas Series
            Cells.

        unknown : {"error", "ignore"}, default="error"
            What becomes of levels unknown to fit: "ignore" gives them the index ``n_levels``.
        """
        if column.dtype == object and self._index is not None:
            # One look at each cell; only tables with anything unusual get a second one.
            with contextlib.suppress(TypeError):  # cells that the second look names
                codes = self._index.get_indexer(pd.Index(column, dtype=object, copy=False))
                if codes.size and codes.min() >= 0:
                    return codes.astype(code_dtype(self.n_levels))
        raw, values = distinct_cells(column, self.label)
        known = [self._lookup.get(_key(value), self.n_levels) for value in values]
        known.append(self._lookup.get(None, self.n_levels))
        codes = np.array(known)[raw]
        if unknown == "error" and (codes == self.n_levels).any():
            self._refuse(column[codes == self.n_levels])
        return codes.astype(code_dtype(self.n_levels))

    def _refuse(self, cells):
        strange = [_shown(value) for value in pd.unique(cells)]
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        seen = [_shown(level) for level in self.levels]
        of = f" of {len(seen)}" if len(seen) > _SHOWN else ""
        raise ValueError(
            f"Unknown values {strange[:_SHOWN]}{more} in column {self.label!r}; seen during fit: "
            f"{seen[:_SHOWN]}{of}. Fit on a table that has them, or use handle_unknown='ignore'."
        )

    def modal_codes(self) -> np.ndarray:
        """Index of the most frequent levels."""
        return np.flatnonzero(self.counts == self.counts.max())

    def restore(self, codes: np.ndarray, rng: np.random.Generator | None = None) -> pd.Series:
        """Return the cells of level indices.

        Parameters
        ----------
        codes : ndarray of int of shape (n_rows,)
            The index ``n_levels`` stands for a code without a level.

        rng : numpy Generator or None, default=None
            Draws the most frequent level for codes without a level; None leaves them missing.
        """
        codes = codes.astype(np.intp)
        impossible = codes >= self.n_levels
        if not impossible.any():
            return pd.Series(self.levels.take(codes), dtype=self.dtype)
        modal = self.modal_codes()
        keeps_numbers = isinstance(self.dtype, np.dtype) and self.dtype.kind in "iub"
        if rng is not None or keeps_numbers:
            drawn = modal[0] if rng is None else rng.choice(modal, size=int(impossible.sum()))
            codes[impossible] = drawn
            return pd.Series(self.levels.take(codes), dtype=self.dtype)
        cells = self.levels.take(np.where(impossible, 0, codes))
        return pd.Series(cells, dtype=self.dtype).mask(impossible)


def _key(value):
    """Missing cells of all kinds are one level, which no text can be taken for."""
    return None if pd.isna(value) else value


def _is_blank(value):
    return value is None or (isinstance(value, float) and value != value)


def _shown(value: Any) -> str:
    return "<NA>" if pd.isna(value) else str(value)
