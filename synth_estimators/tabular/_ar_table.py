"""A mixed table as the autoregressive model sees it: order, looked-up columns, cells and back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.preprocessing._determined import find_determined
from synth_estimators.tabular._ar_codes import CellCodes, LookedUpCodes, pack, read_columns
from synth_estimators.tabular._ar_sampling import Given, Implied

__all__ = ["ModelTable"]


class ModelTable:
    """Columns of a training table in the order of the model, and those looked up from others.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Validated training table.

    discrete_columns : list of column names, boolean mask or None
        Columns to take as levels.

    settings : dict
        Those of ``NumberCodes``.

    Attributes
    ----------
    labels : list
        Labels of the columns of the table.

    columns : list of LevelCodes or NumberCodes
        Columns of the table.

    order : list of int
        Columns that the model sees: those it draws in their order, each followed by the looked-up
        columns that tell more than its value alone.

    lookup : dict
        Looked-up column -> the column it follows from, and its cell for every value of that one.
    """

    def __init__(self, frame: pd.DataFrame, *, discrete_columns: Any, settings: dict):
        self.labels = list(frame.columns)
        self.columns = read_columns(frame, discrete_columns=discrete_columns, **settings)
        self.order = list(range(len(self.labels)))
        self.lookup: dict[int, tuple[int, np.ndarray]] = {}

    @property
    def seen(self) -> list:
        """Columns that the model sees, in their order."""
        found: list[Any] = []
        for j in self.order:
            column = self.columns[j]
            if j in self.lookup:
                p, table = self.lookup[j]
                column = LookedUpCodes(column, self.order.index(p), self.columns[p], table)
            found.append(column)
        return found

    @property
    def drawn(self) -> list[int]:
        """Columns that are drawn, in their order."""
        return [j for j in self.order if j not in self.lookup]

    def cells(self, frame: pd.DataFrame) -> list[np.ndarray]:
        """Cells of all columns of a validated table."""
        return [column.read(frame.iloc[:, j]) for j, column in enumerate(self.columns)]

    def fresh_cells(
        self, frame: pd.DataFrame, without: Any = ()
    ) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        """Cells of new rows, where levels that the table lacks stand as its most frequent one.

        Parameters
        ----------
        frame : pandas DataFrame of shape (n_rows, n_columns)
            Validated table.

        without : sequence of int, default=()
            Columns that are not read.

        Returns
        -------
        cells : dict
            Column -> cells.

        unseen : dict
            Column -> rows whose level is none of the training table; a warning names them.
        """
        cells, unseen = {}, {}
        for j, column in enumerate(self.columns):
            if j in without:
                continue
            if not column.discrete:
                cells[j] = column.read(frame.iloc[:, j])
                continue
            cells[j] = column.read(frame.iloc[:, j], unseen=True)
            if (cells[j] < 0).any():
                unseen[j] = cells[j] < 0
                cells[j] = np.maximum(cells[j], 0)
        if unseen:
            j, rows = next(iter(unseen.items()))
            warnings.warn(
                f"{sum(int(rows.sum()) for rows in unseen.values())} cells hold levels that were "
                f"not seen during fit, {frame.iloc[int(np.flatnonzero(rows)[0]), j]!r} in column "
                f"{str(self.labels[j])!r} first; they get the likelihood of a tenth of a row.",
                stacklevel=4,
            )
        return cells, unseen

    def arrange(self, order: list[int], cells: list[np.ndarray], exclude: Any, named: int) -> None:
        """Fix the order of the model and find the columns that can be looked up.

        Parameters
        ----------
        order : list of int
            All columns in the order they would be drawn.

        cells : list of ndarray of shape (n_rows,)
            Training cells.

        exclude : sequence of int
            Columns that are not to be looked up.

        named : int
            So many first columns were named by the user: they are looked up only from columns
            before them.
        """
        # Labels without gaps, also where a level of the dtype does not occur.
        labels = [column.labels(part) for column, part in zip(self.columns, cells, strict=True)]
        rank = {j: position for position, j in enumerate(order)}
        found = find_determined(labels, exclude=exclude)
        for c, p in found.items():
            if rank[c] >= named or rank[p] < rank[c]:
                table = np.zeros(self.columns[p].n_values, dtype=cells[c].dtype)
                table[labels[p]] = cells[c]
                self.lookup[c] = (p, table)
        self.order = []
        for j in order:
            if j not in self.lookup:
                self.order += [j, *(c for c in order if self._adds_to(j, c))]

    def _adds_to(self, p, c):
        """Whether column ``c`` is looked up from ``p`` and says which of its values are alike."""
        if c not in self.lookup or self.lookup[c][0] != p:
            return False
        return self.columns[c].n_values < self.columns[p].n_values

    def pack(self, cells: list[np.ndarray]) -> np.ndarray:
        """Rows for the network, from the cells of all columns."""
        return pack(self.codes(cells))

    def codes(self, cells: list[np.ndarray]) -> list[CellCodes]:
        """Codes of the columns that the model sees, in their order."""
        return [self.columns[j].encode(cells[j]) for j in self.order]

    def frame(self, drawn: list[np.ndarray], exact: Any = ()) -> pd.DataFrame:
        """Table of drawn cells; ``exact`` names columns that keep decimals of their own."""
        cells = dict(zip(self.order, drawn, strict=True))
        for c, (p, table) in self.lookup.items():
            cells[c] = table[self.columns[p].labels(cells[p])]
        parts = {
            j: column.restore(cells[j], exact=j in exact) for j, column in enumerate(self.columns)
        }
        return pd.DataFrame(parts).set_axis(pd.Index(self.labels), axis=1)

    def takes(self, label: Any) -> bool:
        """Whether draws can follow a condition on a column; else rows are to be drawn again."""
        j = self.labels.index(label)
        return j not in self.lookup or not self.columns[self.lookup[j][0]].continuous

    def given(self, conditions: pd.DataFrame) -> dict[int, Given]:
        """Position in the model -> what conditions on some columns say of it."""
        cells = {}
        for label in conditions.columns:
            if label not in self.labels:
                raise ValueError(
                    f"Unknown condition column {label!r}; seen during fit: {self.labels}."
                )
            j = self.labels.index(label)
            cells[j] = self.columns[j].read(conditions[label], role="condition")
        return self.known_cells(cells)

    def contradictions(self, conditions: pd.DataFrame) -> tuple[np.ndarray, str]:
        """Rows whose conditions on a looked-up column and on its source do not go together.

        Returns
        -------
        bad : ndarray of bool of shape (n_rows,)

        what : str
            The rule that they break; empty where there is none.
        """
        bad, what = np.zeros(len(conditions), dtype=bool), ""
        for c, (p, table) in self.lookup.items():
            names = self.labels[c], self.labels[p]
            if not set(names) <= set(conditions.columns):
                continue
            wanted, source = (
                self.columns[j].read(conditions[self.labels[j]], role="condition") for j in (c, p)
            )
            follows = table[self.columns[p].labels(source)]
            equal = follows == wanted
            if table.dtype.kind == "f":
                equal |= np.isnan(follows) & np.isnan(wanted)
            if not equal.all():
                what = what or f"the rule that {names[0]!r} follows from {names[1]!r}"
            bad |= ~equal
        return bad, what

    def known_cells(
        self, cells: dict[int, np.ndarray], known: dict[int, np.ndarray] | None = None
    ) -> dict[int, Given]:
        """Position in the model -> what is known of it.

        Parameters
        ----------
        cells : dict
            Column -> cells of all rows.

        known : dict or None, default=None
            Column -> rows whose cell counts; the other rows are drawn, but not as missing. None:
            all.
        """
        filling, known = known is not None, known or {}
        found = {}
        for position, j in enumerate(self.order):
            if j in cells and j not in self.lookup:
                what = Given(cells[j], known.get(j))
                column = self.columns[j]
                missing = column.missing_choice
                if what.known is not None and missing is not None and column.n_choices > 1:
                    what.allowed = np.ones((len(cells[j]), column.n_choices), dtype=bool)
                    what.allowed[:, missing] = False
                found[position] = what
        for c, (p, table) in self.lookup.items():
            if c not in cells:
                continue
            column, what = self.columns[p], found.setdefault(self.order.index(p), Given())
            counts = known.get(c, np.ones(len(cells[c]), dtype=bool)) if filling else None
            if filling and column.continuous:
                missing = self.columns[c].missing_choice
                what.implied += (Implied(column, table, cells[c], counts, missing),)
                continue
            implied = self._implied(c, p, table, cells, counts)
            mask = implied if what.allowed is None else what.allowed & implied
            if c in known and (lacking := self._lacking(c, table)).any() and not lacking.all():
                mask = mask & ~(lacking & ~known[c][:, None])
            # What another cell implies is kept, also where it is that this one is missing.
            what.allowed = np.where(mask.any(axis=1, keepdims=True), mask, implied)
        return found

    def _lacking(self, c, table):
        """Values of the source of column ``c`` that go with a missing cell of it."""
        if table.dtype.kind == "f":
            return np.isnan(table)
        missing = self.columns[c].missing_choice
        return np.zeros(len(table), dtype=bool) if missing is None else table == missing

    def _implied(self, c, p, table, cells, counts):
        """Choices of column ``p`` that go with the given cells of ``c``, which follows from it."""
        wanted, column, label = cells[c], self.columns[p], self.labels[c]
        everyone = np.ones(len(wanted), dtype=bool) if counts is None else counts
        if column.continuous:
            raise ValueError(
                f"Column {label!r} is looked up from {self.labels[p]!r}, which has too many values "
                f"to choose from; give that one, or fit with condition_columns=[{label!r}]."
            )
        same = table[None, :] == wanted[:, None]
        if table.dtype.kind == "f":
            same |= np.isnan(table)[None, :] & np.isnan(wanted)[:, None]
        never = everyone & ~same.any(axis=1)
        if counts is None and never.any():
            raise ValueError(
                f"Unknown condition {self.columns[c].restore(wanted[never][:1])[0]!r} for column "
                f"{label!r}, which is looked up from {self.labels[p]!r}; use a value seen during "
                "fit."
            )
        if p in cells:
            agrees = same[np.arange(len(wanted)), column.labels(cells[p])]
            if counts is None and not agrees.all():
                raise ValueError(
                    f"The conditions on {label!r} and {self.labels[p]!r} contradict each other: "
                    f"in the table {label!r} follows from {self.labels[p]!r}. Give one of them."
                )
        return same | ~everyone[:, None] | never[:, None]
