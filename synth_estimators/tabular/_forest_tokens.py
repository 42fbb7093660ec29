"""A forest over the columns of a table as a density of tokens.

A token is a level, a spike or an interval of numbers. The trees of ``DonorForest`` hand out
training cells; here their exact law is spread over neighbouring intervals and mixed with a little
of the margin, so that every token has a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from synth_estimators._random import spawn_seeds
from synth_estimators.preprocessing._forest import CellColumn, DonorForest

__all__ = ["BANDWIDTHS", "ColumnTokens", "TokenForest", "smoothing_matrix"]

#: Candidate widths of the smoothing of intervals, in normal scores.
BANDWIDTHS = (0.0, 0.05, 0.1, 0.2, 0.4)

_MARGIN_SHARE = 0.02
_SETTINGS = {"honest": True, "min_samples_leaf": 5, "backoff": 5.0}
_BLOCK_ROWS = 8_192


@dataclass
class ColumnTokens:
    """Training cells of one column as tokens.

    Attributes
    ----------
    cells : CellColumn or None
        The cells as the trees see them; None once these are grown.

    tokens : ndarray of int of shape (n_rows,)
        Token of every cell: levels or spikes first, then intervals in ascending order.

    n_tokens : int
        Number of tokens; 0 for a column that only later ones see.

    shares : ndarray of shape (n_intervals + 1,) or None
        Ends of the intervals as shares of the numbers that are no spikes, from 0 to 1; None for
        columns without intervals.
    """

    cells: CellColumn | None
    tokens: np.ndarray
    n_tokens: int
    shares: np.ndarray | None = None

    @property
    def n_intervals(self) -> int:
        """Number of intervals, the last ones of the tokens."""
        return 0 if self.shares is None else len(self.shares) - 1

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """Widths to choose from."""
        return BANDWIDTHS if self.n_intervals > 1 else BANDWIDTHS[:1]

    def take(self, rows: np.ndarray) -> ColumnTokens:
        """Return some of the rows with the tokens of all."""
        cells, labels = self.cells.cells[rows], self.cells.labels[rows]
        if self.cells.n_levels:
            subset = CellColumn(cells, self.cells.n_levels, labels)
        else:
            subset = CellColumn.of_numbers(cells, labels)
        return ColumnTokens(subset, self.tokens[rows], self.n_tokens, self.shares)


def smoothing_matrix(shares: np.ndarray, bandwidth: float) -> np.ndarray:
    """Probability to move from one interval to another by a normal step in normal scores.

    Parameters
    ----------
    shares : ndarray of shape (n_intervals + 1,)
        Ends of the intervals as shares, from 0 to 1.

    bandwidth : float
        Standard deviation of the step from the middle of an interval; 0 stays.

    Returns
    -------
    matrix : ndarray of float32 of shape (n_intervals, n_intervals)
        Rows sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> smoothing_matrix(np.array([0.0, 0.5, 1.0]), 0.0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    n_intervals = len(shares) - 1
    if bandwidth == 0 or n_intervals == 1:
        return np.eye(n_intervals, dtype=np.float32)
    middle = ndtri((shares[1:] + shares[:-1]) / 2)
    ends = np.concatenate([[-np.inf], ndtri(shares[1:-1]), [np.inf]])
    below = ndtr((ends - middle[:, None]) / bandwidth)
    return np.diff(below, axis=1).astype(np.float32)


class TokenForest:
    """Conditional law of every column's token given the columns before it.

    Parameters
    ----------
    columns : sequence of ColumnTokens
        Training cells in the order of the columns.

    seed : int
        Seeds the trees of all columns.

    n_trees : int, default=10
        Trees a column.
    """

    def __init__(self, columns: Sequence[ColumnTokens], seed: int, *, n_trees: int = 10):
        cells = [column.cells for column in columns]
        # The trees hand out tokens: the cells they were grown on are not kept.
        self._columns = [replace(column, cells=None) for column in columns]
        self._forests = [
            DonorForest(n_trees=n_trees, **_SETTINGS).fit(cells[:j], cells[j], child)
            if columns[j].n_tokens
            else None
            for j, child in enumerate(spawn_seeds(seed, len(cells)))
        ]
        self._margins = [
            np.bincount(column.tokens, minlength=column.n_tokens) / len(column.tokens)
            for column in columns
        ]

    def law(
        self, j: int, cells: Sequence[np.ndarray], n_samples: int, bandwidth: float = 0.0
    ) -> np.ndarray:
        """Probabilities of all tokens of column ``j``.

        Parameters
        ----------
        j : int
            Column.

        cells : sequence of ndarray of shape (n_samples,)
            Cells of the columns before ``j`` (further ones are not looked at).

        n_samples : int
            Number of rows.

        bandwidth : float, default=0.0
            Width of the smoothing of intervals.

        Returns
        -------
        law : ndarray of float32 of shape (n_samples, n_tokens)
        """
        return self._smooth(j, self._shares(j, cells, n_samples), bandwidth)

    def _shares(self, j, cells, n_samples):
        column = self._columns[j]
        return self._forests[j].shares(cells[:j], n_samples, column.tokens, column.n_tokens)

    def _smooth(self, j, law, bandwidth):
        column = self._columns[j]
        if bandwidth > 0 and column.n_intervals > 1:
            first = column.n_tokens - column.n_intervals
            law[:, first:] = law[:, first:] @ smoothing_matrix(column.shares, bandwidth)
        law *= 1.0 - _MARGIN_SHARE
        law += (_MARGIN_SHARE * self._margins[j]).astype(np.float32)
        return law

    def densities(
        self,
        j: int,
        cells: Sequence[np.ndarray],
        tokens: np.ndarray,
        bandwidths: Sequence[float] = (0.0,),
    ) -> np.ndarray:
        """Probability of one token a row, for several widths.

        Parameters
        ----------
        j : int
            Column.

        cells : sequence of ndarray of shape (n_rows,)
            Cells of the columns before ``j`` (further ones are not looked at).

        tokens : ndarray of int of shape (n_rows,)
            Token of column ``j`` in every row.

        bandwidths : sequence of float, default=(0.0,)
            Widths of the smoothing.

        Returns
        -------
        densities : ndarray of shape (n_bandwidths, n_rows)
            Above 0 for every token of the training rows.
        """
        column = self._columns[j]
        first = column.n_tokens - column.n_intervals
        kernels = [
            smoothing_matrix(column.shares, width) if width > 0 and column.n_intervals else None
            for width in bandwidths
        ]
        found = np.empty((len(bandwidths), len(tokens)))
        for start in range(0, len(tokens), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            wanted = tokens[part]
            law = self._shares(j, [cell[part] for cell in cells[:j]], len(wanted))
            plain = law[np.arange(len(wanted)), wanted]
            inside = wanted >= first
            for h, kernel in enumerate(kernels):
                found[h, part] = plain
                if kernel is not None and inside.any():
                    reached = kernel[:, wanted[inside] - first].T
                    smooth = np.einsum("ij,ij->i", law[inside, first:], reached)
                    found[h, part][inside] = smooth
        margin = self._margins[j][tokens]
        return (1.0 - _MARGIN_SHARE) * found + _MARGIN_SHARE * margin

    def draw(
        self,
        j: int,
        cells: Sequence[np.ndarray],
        n_samples: int,
        rng: Any,
        bandwidth: float = 0.0,
    ) -> np.ndarray:
        """Draw tokens of column ``j`` from ``law``.

        Parameters
        ----------
        j : int
            Column.

        cells : sequence of ndarray of shape (n_samples,)
            Cells of the columns before ``j`` (further ones are not looked at).

        n_samples : int
            Number of rows.

        rng : numpy Generator

        bandwidth : float, default=0.0
            Width of the smoothing of intervals.

        Returns
        -------
        tokens : ndarray of int of shape (n_samples,)
        """
        column = self._columns[j]
        tokens = column.tokens[self._forests[j].draw(cells[:j], n_samples, rng)]
        first = column.n_tokens - column.n_intervals
        if bandwidth > 0 and column.n_intervals > 1:
            moved = np.flatnonzero(tokens >= first)
            middle = ndtri((column.shares[1:] + column.shares[:-1]) / 2)
            scores = middle[tokens[moved] - first]
            scores += bandwidth * rng.standard_normal(len(moved))
            tokens[moved] = first + np.searchsorted(ndtri(column.shares[1:-1]), scores)
        other = np.flatnonzero(rng.random(n_samples) < _MARGIN_SHARE)
        tokens[other] = column.tokens[rng.integers(len(column.tokens), size=len(other))]
        return tokens
