"""Cells of a training table, handed out again by row number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["DonorTable"]

_BLOCK_ELEMENTS = 1_000_000


class DonorTable:
    """Copy of a table of any column types that gives its cells back.

    Tables of one numeric type are kept as one block, so that wide ones stay fast.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Validated table.
    """

    def __init__(self, frame: pd.DataFrame):
        self.columns = list(frame.columns)
        self._dtypes = list(frame.dtypes)
        dtypes = set(frame.dtypes)
        plain = all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in dtypes)
        self._block: Any = None
        self._cells: Any = None
        if plain and (len(dtypes) == 1 or all(dtype.kind == "f" for dtype in dtypes)):
            self._block = np.array(frame.to_numpy(), order="C")
        else:
            self._cells = [frame.iloc[:, j].array.copy() for j in range(frame.shape[1])]

    def __len__(self):
        return len(self._block) if self._cells is None else len(self._cells[0])

    def take_rows(self, rows: np.ndarray) -> Any:
        """Whole rows: an array for a table of one numeric type, else a data frame."""
        if self._cells is None:
            return self._block[rows]
        return self._frame([self.take_column(j, rows) for j in range(len(self._cells))])

    def take_column(self, j: int, rows: np.ndarray) -> Any:
        """Cells of one column."""
        if self._cells is None:
            return self._block[rows, j]
        # With the dtype, as text would be read anew.
        return pd.Series(self._cells[j].take(rows), dtype=self._dtypes[j])

    def draw_cells(self, n_samples: int, rng: np.random.Generator) -> Any:
        """Every cell from a random row of its own, in the container of ``take_rows``."""
        n_rows = len(self)
        if self._cells is not None:
            return self._frame(
                [
                    self.take_column(j, rng.integers(n_rows, size=n_samples))
                    for j in range(len(self._cells))
                ]
            )
        values = np.empty((n_samples, self._block.shape[1]), dtype=self._block.dtype)
        step = max(1, _BLOCK_ELEMENTS // self._block.shape[1])
        for start in range(0, n_samples, step):
            part = values[start : start + step]
            row_idx = rng.integers(n_rows, size=part.shape)
            part[...] = np.take_along_axis(self._block, row_idx, axis=0)
        return values

    def _frame(self, columns):
        return pd.DataFrame(dict(enumerate(columns))).set_axis(self.columns, axis=1)
