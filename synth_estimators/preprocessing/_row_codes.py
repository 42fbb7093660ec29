"""Rows as compact numbers, and the encoded columns that they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["EncodedLayout", "FieldSpec", "RowCodes", "Span", "code_dtype"]

_KINDS = ("scalar", "binary", "one_hot")

# Most entries of the table (rows x levels) that decodes binary codes at once.
_BLOCK_ENTRIES = 2**24

_LARGEST = float(np.finfo(np.float32).max)

# Probabilities of bits closer to 0 or 1 than this say the same.
_CERTAIN = 1e-6


@dataclass(frozen=True)
class FieldSpec:
    """One field before it is given its place among the encoded columns.

    Attributes
    ----------
    column : int
        Index of the column of the table.

    name : str
        ``age.value``, ``age.mode``, ``age.is_null``; for levels the name of the column.

    field : {"value", "null", "level", "mode"}
        What the field says of its column.

    kind : {"scalar", "binary", "one_hot"}
        How it is encoded.

    labels : tuple of str
        Names of the encoded columns.

    n_codes : int
        Number of different codes; 0 for a scalar.

    n_spikes : int
        Codes, the last ones, that stand for one exact number; only of modes.
    """

    column: int
    name: str
    field: str
    kind: str
    labels: tuple[str, ...]
    n_codes: int = 0
    n_spikes: int = 0


@dataclass(frozen=True)
class Span:
    """Encoded columns of one field, which share one activation.

    Attributes
    ----------
    column : int
        Index of the column of the table.

    name : str
        ``age.value``, ``age.mode``, ``age.is_null``; for levels the name of the column.

    field : {"value", "null", "level", "mode"}
        What the field says of its column.

    kind : {"scalar", "binary", "one_hot"}
        A number, bits of a level's number, or one place a level.

    start, stop : int
        First encoded column, and the one after the last.

    n_codes : int
        Number of different codes; 0 for a scalar.

    n_spikes : int
        Codes, the last ones, that stand for one exact number, so that the scalar beside them says
        nothing; only of modes.
    """

    column: int
    name: str
    field: str
    kind: str
    start: int
    stop: int
    n_codes: int = 0
    n_spikes: int = 0

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return self.stop - self.start


@dataclass(frozen=True)
class EncodedLayout:
    """Which encoded columns belong to which field: scalars first, then bits, then one-hot levels.

    Attributes
    ----------
    spans : tuple of Span
        In the order of the encoded columns.

    names : tuple of str
        Names of the encoded columns.
    """

    spans: tuple[Span, ...]
    names: tuple[str, ...] = field(repr=False)

    @classmethod
    def from_fields(cls, fields: Iterable[FieldSpec]) -> EncodedLayout:
        """Give every field its place."""
        fields = list(fields)
        ordered = [spec for kind in _KINDS for spec in fields if spec.kind == kind]
        spans, names, start = [], [], 0
        for spec in ordered:
            stop = start + len(spec.labels)
            place = (spec.column, spec.name, spec.field, spec.kind, start, stop)
            spans.append(Span(*place, spec.n_codes, spec.n_spikes))
            names.extend(spec.labels)
            start = stop
        return cls(tuple(spans), tuple(names))

    def _count(self, kind):
        return sum(span.width for span in self.spans if span.kind == kind)

    @property
    def n_scalars(self) -> int:
        """Number of encoded columns that are numbers; they come first."""
        return self._count("scalar")

    @property
    def n_bits(self) -> int:
        """Number of encoded columns that are bits."""
        return self._count("binary")

    @property
    def n_levels(self) -> int:
        """Number of encoded columns that are places of one-hot spans."""
        return self._count("one_hot")

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return self.spans[-1].stop if self.spans else 0

    @property
    def coded_spans(self) -> tuple[Span, ...]:
        """Binary and one-hot spans, in the order of ``RowCodes.codes``."""
        return tuple(span for span in self.spans if span.kind != "scalar")

    def spans_of(self, column: int) -> tuple[Span, ...]:
        """Spans of one column of the table."""
        return tuple(span for span in self.spans if span.column == column)

    def dense(self, rows: RowCodes) -> np.ndarray:
        """Return the encoded rows, float32 of shape (n_rows, width)."""
        n_rows = len(rows)
        encoded = np.zeros((n_rows, self.width), dtype=np.float32)
        encoded[:, : rows.scalars.shape[1]] = rows.scalars
        flat, begin = encoded.reshape(-1), np.arange(n_rows) * self.width
        for span, codes in zip(self.coded_spans, rows.codes, strict=True):
            known = codes < span.n_codes
            if span.kind == "binary":
                numbers = np.where(known, codes.astype(np.int64) + 1, 0)
                encoded[:, span.start : span.stop] = _bits(numbers, span.width)
            elif known.all():
                flat[begin + (codes.astype(np.intp) + span.start)] = 1.0
            else:
                flat[(begin + (codes.astype(np.intp) + span.start))[known]] = 1.0
        return encoded

    def codes(self, encoded: np.ndarray, *, likely: bool = True) -> RowCodes:
        """Return the most likely codes of encoded rows or of the outputs of a network.

        Parameters
        ----------
        encoded : ndarray of shape (n_rows, width)
            Scalars, probabilities of bits, and probabilities (or logits) of one-hot places.

        likely : bool, default=True
            Take the level with the largest likelihood of its bits. Otherwise bits are cut at one
            half, and numbers without a level get the code ``n_codes``.

        Returns
        -------
        rows : RowCodes
        """
        scalars = encoded[:, : self.n_scalars]
        if scalars.dtype != np.float32:
            scalars = np.clip(scalars, -_LARGEST, _LARGEST)
        scalars = np.ascontiguousarray(scalars, dtype=np.float32)
        codes = []
        for span in self.coded_spans:
            part = encoded[:, span.start : span.stop]
            found = (
                part.argmax(axis=1)
                if span.kind == "one_hot"
                else _levels_of_bits(part, span.n_codes, likely=likely)
            )
            codes.append(found.astype(code_dtype(span.n_codes)))
        return RowCodes(scalars, codes)


@dataclass
class RowCodes:
    """Rows in memory: one float32 a scalar and one small integer a binary or one-hot span.

    Attributes
    ----------
    scalars : ndarray of float32 of shape (n_rows, n_scalars)
        Scalars in the order of the layout.

    codes : list of ndarray of unsigned int of shape (n_rows,)
        Level index of each binary and one-hot span, in the order of the layout. The number of
        levels itself stands for a level unknown to fit.
    """

    scalars: np.ndarray
    codes: list[np.ndarray]

    def __len__(self):
        return len(self.scalars)

    def take(self, rows: Any) -> RowCodes:
        """Return the chosen rows."""
        return RowCodes(self.scalars[rows], [codes[rows] for codes in self.codes])

    @classmethod
    def joined(cls, parts: list[RowCodes]) -> RowCodes:
        """Return the rows of all parts, one below the other."""
        if len(parts) == 1:
            return parts[0]
        codes = zip(*(part.codes for part in parts), strict=True)
        return cls(
            np.concatenate([part.scalars for part in parts]), [np.concatenate(c) for c in codes]
        )

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.scalars.nbytes + sum(codes.nbytes for codes in self.codes)


def code_dtype(n_codes: int) -> np.dtype:
    """Return the smallest unsigned integer type that holds 0 to ``n_codes``."""
    return np.min_scalar_type(n_codes)


def _bits(numbers, width):
    """Bits of whole numbers, most significant first, of shape (n_numbers, width)."""
    return (numbers[:, None] >> np.arange(width - 1, -1, -1)) & 1


def _levels_of_bits(part, n_codes, *, likely):
    """Level index of rows of bits; levels are numbered from 1."""
    width = part.shape[1]
    # Cut at one half every bit is at its likeliest, so only impossible numbers need a search.
    codes = (part > 0.5) @ (1 << np.arange(width - 1, -1, -1)) - 1
    impossible = np.flatnonzero((codes < 0) | (codes >= n_codes))
    codes[impossible] = n_codes
    if not likely or impossible.size == 0:
        return codes
    table = _bits(np.arange(1, n_codes + 1), width).T.astype(np.float64)
    step = max(1, _BLOCK_ENTRIES // n_codes)
    for begin in range(0, len(impossible), step):
        rows = impossible[begin : begin + step]
        share = np.clip(part[rows].astype(np.float64), _CERTAIN, 1.0 - _CERTAIN)
        codes[rows] = (np.log(share / (1.0 - share)) @ table).argmax(axis=1)
    return codes
