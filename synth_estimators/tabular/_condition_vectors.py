"""Conditions of conditional GANs: how they are drawn in training and in sampling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from synth_estimators._engine import Rows
from synth_estimators.tabular._base import compact_rows

__all__ = ["LevelFields", "LevelRows", "MaskedRows"]

# Rows that are drawn in one go, and row numbers that are kept at most.
_BLOCK_ROWS = 65_536
_MOST_ENTRIES = 200_000_000


class LevelFields:
    """Discrete fields whose levels can be conditions, one level of one field at a time.

    Parameters
    ----------
    layout : EncodedLayout
        Layout of the encoder. Levels and missing flags that are one-hot take part; binary codes
        and modes do not.

    codes : RowCodes
        Training rows.

    Attributes
    ----------
    places : ndarray of int of shape (n_fields,)
        Position of each field among the coded spans.

    columns : ndarray of int of shape (n_fields,)
        Column of the table of each field.

    counts : ndarray of int of shape (n_conditions,)
        Training rows of every level of every field.

    starts : ndarray of int of shape (n_fields + 1,)
        Where the levels of each field start among the conditions.
    """

    def __init__(self, layout: Any, codes: Any) -> None:
        chosen = [
            (place, span)
            for place, span in enumerate(layout.coded_spans)
            if span.kind == "one_hot" and span.field in ("level", "null")
        ]
        self.places = np.array([place for place, _ in chosen], dtype=np.intp)
        self.columns = np.array([span.column for _, span in chosen], dtype=np.intp)
        counts = [
            np.bincount(codes.codes[place], minlength=span.width)[: span.width]
            for place, span in chosen
        ]
        self.counts = np.concatenate([*counts, np.empty(0, dtype=np.int64)])
        self.starts = np.cumsum([0, *(span.width for _, span in chosen)])

    def __len__(self) -> int:
        return len(self.places)

    @property
    def n_conditions(self) -> int:
        """Number of levels of all fields."""
        return int(self.starts[-1])

    def weights(self, *, log_frequency: bool) -> np.ndarray:
        """Return the chance of every level within its field."""
        weights = np.log1p(self.counts) if log_frequency else self.counts.astype(np.float64)
        totals = np.add.reduceat(weights, self.starts[:-1])
        return weights / np.repeat(totals, np.diff(self.starts))

    def draw(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Draw conditions for sampling: a field at random, a level by its true share."""
        fields = rng.integers(len(self), size=n_samples)
        return self._levels(fields, rng.random(n_samples))

    def _levels(self, fields, uniform):
        ends = np.cumsum(self.weights(log_frequency=False))
        found = np.searchsorted(ends, fields + uniform, side="right")
        return np.clip(found, self.starts[fields], self.starts[fields + 1] - 1)

    def follows(self, columns: Any) -> bool:
        """Whether a condition on one of these columns can be followed."""
        return bool(np.isin(self.columns, columns).any())

    def wanted(self, codes: Any, columns: Any) -> np.ndarray:
        """Return the condition of every row: the rarest of the levels that are asked for."""
        fields = np.flatnonzero(np.isin(self.columns, columns))
        levels = [self.starts[field] + codes.codes[self.places[field]] for field in fields]
        asked = np.stack(levels, axis=1).astype(np.intp)
        best = self.counts[asked].argmin(axis=1)
        return asked[np.arange(len(asked)), best]


class _ConditionedRows(Rows):
    """Training rows that are drawn together with conditions, with replacement."""

    def draw(self, n_batches: int, batch_size: int) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Yield real rows, their conditions, and those of the critic's and generator's fakes."""
        raise NotImplementedError(f"{type(self).__name__} must implement draw.")

    def batches(self, batch_size: int, n_critic: int = 1) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Yield the steps of an epoch, ``n_critic`` for each full batch of the table."""
        left = n_critic * max(len(self) // batch_size, 1)
        block = max(1, _BLOCK_ROWS // batch_size)
        while left:
            n_batches = min(left, block)
            yield from self.draw(n_batches, batch_size)
            left -= n_batches

    def conditions(self, n_rows: int) -> Any:
        """Conditions as in training, for fakes alone."""
        return next(iter(self.draw(1, n_rows)))[2]


class LevelRows(_ConditionedRows):
    """Training rows that are drawn by levels of discrete fields.

    Parameters
    ----------
    codes : RowCodes
        Training rows.

    fields : LevelFields
        Fields that take part; none of them gives rows without conditions.

    log_frequency : bool, default=True
        Draw levels by the logarithm of their counts.

    Notes
    -----
    Row numbers sorted by level are kept for every field. Where that would be too much memory, a
    random part of the rows of frequent levels stands for them.
    """

    def __init__(self, codes: Any, fields: LevelFields, *, log_frequency: bool = True) -> None:
        super().__init__(compact_rows(codes))
        self.fields = fields
        if not len(fields):
            return
        weights = fields.weights(log_frequency=log_frequency)
        self.ends = torch.as_tensor(np.cumsum(weights))
        counts, rows = fields.counts, []
        keep = len(self)
        if len(self) * len(fields) > _MOST_ENTRIES:
            keep = max(1, _MOST_ENTRIES // fields.n_conditions)
            counts = np.minimum(counts, keep)
        for field, place in enumerate(fields.places):
            level = codes.codes[place]
            order = torch.randperm(len(level)).numpy() if keep < len(level) else None
            ordered = np.argsort(level if order is None else level[order], kind="stable")
            if order is not None:
                ordered = order[ordered]
                full = fields.counts[fields.starts[field] : fields.starts[field + 1]]
                rank = np.arange(len(level)) - np.repeat(np.cumsum(full) - full, full)
                ordered = ordered[rank < keep]
            rows.append(ordered.astype(np.int32 if len(self) < 2**31 else np.int64))
        self.sorted_rows = torch.as_tensor(np.concatenate(rows))
        self.counts = torch.as_tensor(counts.astype(np.int64))
        self.first = torch.cumsum(self.counts, 0) - self.counts
        self.starts = torch.as_tensor(fields.starts.astype(np.int64))

    def to(self, device: Any) -> LevelRows:
        """Return the rows on ``device``; the same object when they are there already."""
        if device is None or self.X.device == torch.empty(0, device=device).device:
            return self
        moved = object.__new__(type(self))
        vars(moved).update(
            {
                name: value.to(device) if isinstance(value, torch.Tensor) else value
                for name, value in vars(self).items()
            }
        )
        return moved

    def _draw_conditions(self, shape):
        device = self.X.device
        fields = torch.randint(len(self.fields), shape, device=device)
        uniform = torch.rand(shape, device=device, dtype=torch.float64)
        found = torch.searchsorted(self.ends, fields + uniform, right=True)
        return torch.minimum(torch.maximum(found, self.starts[fields]), self.starts[fields + 1] - 1)

    def draw(self, n_batches: int, batch_size: int) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Draw conditions, and for each of them a real row that meets it."""
        shape, device = (n_batches, batch_size), self.X.device
        if not len(self.fields):
            rows = torch.randint(len(self), shape, device=device)
            for part in rows:
                yield self.X.index_select(0, part), None, None, None
            return
        fake, own = self._draw_conditions(shape), self._draw_conditions(shape)
        real = fake.gather(1, torch.rand(shape, device=device).argsort(dim=1))
        counts = self.counts[real]
        uniform = torch.rand(shape, device=device, dtype=torch.float64)
        within = torch.minimum((uniform * counts).long(), counts - 1)
        rows = self.sorted_rows[self.first[real] + within]
        for step in range(n_batches):
            yield self.X.index_select(0, rows[step]), real[step], fake[step], own[step]


class MaskedRows(_ConditionedRows):
    """Training rows of which random columns are the condition.

    Parameters
    ----------
    codes : RowCodes
        Training rows.

    n_columns : int
        Columns of the table.

    chance : float
        Chance that a column is part of the condition.

    free_share : float, default=0.1
        Share of the rows without any condition.
    """

    def __init__(
        self, codes: Any, n_columns: int, chance: float, *, free_share: float = 0.1
    ) -> None:
        super().__init__(compact_rows(codes))
        self.n_columns, self.chance, self.free_share = n_columns, chance, free_share

    def to(self, device: Any) -> MaskedRows:
        """Return the rows on ``device``; the same object when they are there already."""
        if device is None or self.X.device == torch.empty(0, device=device).device:
            return self
        moved = object.__new__(type(self))
        vars(moved).update({**vars(self), "X": self.X.to(device)})
        return moved

    def _mask(self, shape):
        device = self.X.device
        mask = torch.rand((*shape, self.n_columns), device=device) < self.chance
        if self.free_share:
            mask &= torch.rand((*shape, 1), device=device) >= self.free_share
        return mask.float()

    def draw(self, n_batches: int, batch_size: int) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Draw rows and masks; real rows are those of the critic's fakes in another order."""
        shape, device = (n_batches, batch_size), self.X.device
        rows = torch.randint(len(self), (2, *shape), device=device)
        masks = self._mask(shape), self._mask(shape)
        order = torch.rand(shape, device=device).argsort(dim=1)
        for step in range(n_batches):
            known = self.X.index_select(0, rows[0, step])
            real = known.index_select(0, order[step])
            mask = masks[0][step]
            own = self.X.index_select(0, rows[1, step]), masks[1][step]
            yield real, (real, mask.index_select(0, order[step])), (known, mask), own
