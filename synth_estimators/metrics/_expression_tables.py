"""Reading expression tables in blocks of genes: scales, negative counts, labels of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from synth_estimators.preprocessing._column_checks import take_infinite, warn_of_empty_columns
from synth_estimators.preprocessing._columns import (
    MISSING,
    _align,
    _continuous_block,
    _discrete_mask,
    as_frame,
    category_label,
)

__all__ = [
    "GeneTable",
    "Moments",
    "known_labels",
    "moments",
    "most_variable",
    "read_genes",
    "read_groups",
]

_SCALES = ("log2p1", "logcpm", "none")

# Numbers in a dense block of genes (16 MB).
_BLOCK_ELEMENTS = 2_000_000

_PER_MILLION = 1e6


class GeneTable:
    """The genes of one table, dense in blocks of columns only.

    Attributes
    ----------
    names : list
        Gene names, in the order of the real table.

    totals : ndarray of shape (n_rows,)
        Library sizes: sums over the genes, negative counts taken as 0, missing ones left out.

    n_negative : ndarray of int of shape (n_genes,)
        Negative counts that were set to 0.

    n_nonfinite : ndarray of int of shape (n_genes,)
        Infinite cells that were taken as missing.

    has_values : ndarray of bool of shape (n_genes,)
        Genes with at least one cell that is not missing.
    """

    def __init__(self, source, positions, names, *, scale, width, name, real):
        self._source, self._positions, self._width = source, positions, width
        self.names, self._scale, self._name, self._real = names, scale, name, real
        self.n_rows = source.shape[0]
        self.totals = np.zeros(self.n_rows)
        self.n_negative = np.zeros(len(names), dtype=int)
        self.n_nonfinite = np.zeros(len(names), dtype=int)
        self.has_values = np.ones(len(names), dtype=bool)
        for part, block in self._read_blocks():
            self.n_nonfinite[part] = self._infinite_cells(block, part)
            self.n_negative[part] = self._negative_cells(block, part)
            counts = self._clean(block)
            self.has_values[part] = ~np.isnan(counts).all(axis=0)
            self.totals += np.nansum(counts, axis=1)

    def __len__(self):
        return self.n_rows

    def raw_blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield consecutive genes with their values before the scale is applied."""
        for part, block in self._read_blocks():
            yield part, self._clean(block)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield consecutive genes with their scaled values."""
        for part, block in self.raw_blocks():
            yield part, self._scaled(block)

    def dense(self, genes: np.ndarray | None = None) -> np.ndarray:
        """Return the scaled values of the chosen genes as one array."""
        genes = np.arange(len(self.names)) if genes is None else genes
        return self._scaled(self._clean(self._read(genes)))

    def _read_blocks(self):
        for start in range(0, len(self.names), self._width):
            part = slice(start, min(start + self._width, len(self.names)))
            yield part, self._read(np.arange(part.start, part.stop))

    def _read(self, genes):
        positions = self._positions[genes]
        chosen: Any = positions
        if len(positions) and np.array_equal(np.diff(positions), np.ones(len(positions) - 1)):
            # Slices are views of frames and fast in sparse matrices.
            chosen = slice(positions[0], positions[-1] + 1)
        if sparse.issparse(self._source):
            return self._source[:, chosen].toarray().astype(np.float64)
        frame = self._source.iloc[:, chosen]
        return _continuous_block(frame, frame, name=self._name)

    def _infinite_cells(self, block, part):
        return take_infinite(block, self.names[part], name=self._name, real=self._real)[1]

    def _negative_cells(self, block, part):
        if self._scale == "none":
            return 0
        counts = ((block < 0) & np.isfinite(block)).sum(axis=0)
        if self._real and counts.any():
            label = self.names[part][int(np.flatnonzero(counts)[0])]
            raise ValueError(
                f"Column {str(label)!r} of {self._name} holds negative values, but "
                f"scale={self._scale!r} expects counts; pass scale='none' for values that are "
                "already on a logarithmic scale."
            )
        return counts

    def _clean(self, block):
        """Blank infinite cells and set negative counts to 0."""
        finite = np.isfinite(block)
        if not finite.all():
            block = np.where(finite, block, np.nan)
        return block if self._scale == "none" else np.maximum(block, 0.0)

    def _scaled(self, block):
        if self._scale == "none":
            return block
        if self._scale == "logcpm":
            block = block * (_PER_MILLION / np.where(self.totals > 0, self.totals, 1.0))[:, None]
        return np.log2(block + 1.0)


def _open(X, name):
    """Return the cells, the column names and whether the table brought names of its own."""
    if not sparse.issparse(X):
        frame, named = as_frame(X, name=name)
        return frame, frame.iloc[:0], named
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(
            f"{name} is empty (shape {X.shape}); expected at least one row and one column."
        )
    names = [f"x{j}" for j in range(X.shape[1])]
    return sparse.csc_array(X), pd.DataFrame(columns=names, dtype=np.float64), False


def _target_position(target, columns):
    if target is None:
        return None
    if target in columns:
        return columns.index(target)
    if isinstance(target, (int, np.integer)) and -len(columns) <= target < len(columns):
        return int(target) % len(columns)
    raise ValueError(
        f"target={target!r} is not a column of X_real; its columns are "
        f"{[str(label) for label in columns[:8]]}."
    )


def _open_pair(X_real, X_synth):
    """Open both tables; the columns of the first one with names give the order."""
    opened = {name: _open(X, name) for name, X in (("X_real", X_real), ("X_synth", X_synth))}
    source = next((name for name, (_, _, named) in opened.items() if named), "X_real")
    columns = list(opened[source][1].columns)
    placed = {}
    for name, (cells, header, named) in opened.items():
        _align(header, columns, named=named, name=name, reference_name=source)
        order = header.columns.get_indexer(columns) if named else np.arange(len(columns))
        placed[name] = cells, order
    return placed, opened["X_real"][1], columns


def read_genes(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str = "log2p1",
    discrete_columns: Any = "auto",
    target: Any = None,
) -> tuple[GeneTable, GeneTable]:
    """Open two expression tables with the same genes.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame}
        Samples in rows, genes in columns.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        What the blocks of the tables are scaled to.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes; so are dates and durations.

    target : column name or int, default=None
        One more column that is no gene.

    Returns
    -------
    real, synth : GeneTable
    """
    if scale not in _SCALES:
        raise ValueError(f"scale={scale!r} is unknown; use one of {list(_SCALES)}.")
    placed, header, columns = _open_pair(X_real, X_synth)
    left_out = _discrete_mask(header.set_axis(columns, axis=1), discrete_columns)
    left_out |= np.array([dtype.kind in "mM" for dtype in header.dtypes], dtype=bool)
    position = _target_position(target, columns)
    if position is not None:
        left_out[position] = True
    genes = np.flatnonzero(~left_out)
    if not len(genes):
        raise ValueError("The tables hold no numeric column; expected genes in the columns.")
    names = [columns[j] for j in genes]
    # Both tables are cut at the same genes.
    width = max(1, _BLOCK_ELEMENTS // max(cells.shape[0] for cells, _ in placed.values()))
    real, synth = (
        GeneTable(
            cells,
            order[genes],
            names,
            scale=scale,
            width=width,
            name=name,
            real=name == "X_real",
        )
        for name, (cells, order) in placed.items()
    )
    if not real.has_values.any():
        raise ValueError("X_real holds missing cells only; pass rows with at least one value.")
    warn_of_empty_columns({"X_real": real.has_values, "X_synth": synth.has_values}, names)
    return real, synth


def read_groups(
    X_real: Any, X_synth: Any, *, target: Any, y_real: Any, y_synth: Any, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of the rows of both tables in their normal form.

    They come from the column ``target`` or from ``y_real`` and ``y_synth``. Missing labels are
    ``"<NA>"``.
    """
    given = [name for name, y in (("y_real", y_real), ("y_synth", y_synth)) if y is not None]
    if (target is None) == (len(given) < 2) or (target is not None and given):
        raise ValueError(
            f"{metric} needs the labels of the rows: pass target= (a column of both tables), or "
            f"y_real= and y_synth=; got {['target'] * (target is not None) + given}."
        )
    if target is None:
        labels = [np.asarray(y, dtype=object) for y in (y_real, y_synth)]
        for name, y, X in (("y_real", labels[0], X_real), ("y_synth", labels[1], X_synth)):
            n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
            if y.shape != (n_rows,):
                raise ValueError(
                    f"{name} has shape {y.shape}, but the table has {n_rows} rows; pass one label "
                    "a row."
                )
    else:
        placed, _, columns = _open_pair(X_real, X_synth)
        position = _target_position(target, columns)
        labels = []
        for cells, order in placed.values():
            if sparse.issparse(cells):
                labels.append(cells[:, [order[position]]].toarray()[:, 0].astype(object))
            else:
                labels.append(cells.iloc[:, order[position]].to_numpy(dtype=object))
    real, synth = (
        np.array([category_label(value) for value in values], dtype=object) for values in labels
    )
    return real, synth


def known_labels(labels: np.ndarray) -> list:
    """Sorted distinct labels, the missing one left out."""
    return sorted(set(labels.tolist()) - {MISSING})


class Moments:
    """Mean, standard deviation and share of observed cells of every gene of a table."""

    def __init__(self, n_genes):
        self.count = np.zeros(n_genes)
        self.mean = np.full(n_genes, np.nan)
        self.sd = np.full(n_genes, np.nan)
        self.constant = np.ones(n_genes, dtype=bool)

    @property
    def cv(self):
        """Coefficient of variation; NaN where the mean is 0."""
        ratio = np.full(len(self.mean), np.nan)
        np.divide(self.sd, self.mean, out=ratio, where=np.nan_to_num(self.mean) != 0)
        return ratio


def moments(table: GeneTable) -> Moments:
    """Mean and standard deviation (n - 1 in the denominator) of the scaled genes."""
    found = Moments(len(table.names))
    for part, block in table.blocks():
        missing = np.isnan(block)
        count = (~missing).sum(axis=0)
        filled = np.where(missing, 0.0, block)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(missing, 0.0, filled - mean) ** 2).sum(axis=0)
        low = np.where(missing, np.inf, block).min(axis=0)
        high = np.where(missing, -np.inf, block).max(axis=0)
        constant = ~(high > low)
        squares[constant] = 0.0
        found.count[part] = count
        found.mean[part] = np.where(count > 0, mean, np.nan)
        found.sd[part] = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
        found.constant[part] = constant
    return found


def most_variable(sd: np.ndarray, candidates: np.ndarray, limit: int | None) -> np.ndarray:
    """Return up to ``limit`` of the candidate genes with the largest sd, in table order."""
    if limit is not None and limit < 1:
        raise ValueError(f"max_genes={limit!r} must be at least 1 or None.")
    if limit is None or len(candidates) <= limit:
        return candidates
    order = np.argsort(-sd[candidates], kind="stable")[:limit]
    return np.sort(candidates[order])
