"""Smoothed quantile tables of many columns at once."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

__all__ = ["QuantileTable", "column_quantiles", "interpolate_columns", "rank_positions"]

_KERNEL_POINTS = 15
_TABLE_NUMBERS = 20_000_000
_BLOCK_NUMBERS = 8_000_000


def rank_positions(values):
    """Return (rank - 1/2) / n of every value within its column."""
    n_rows = len(values)
    order = np.argsort(values, axis=0, kind="stable")
    positions = np.empty(values.shape, dtype=np.float64)
    steps = (np.arange(n_rows) + 0.5) / n_rows
    np.put_along_axis(positions, order, steps[:, None], axis=0)
    return positions


def column_quantiles(values, levels):
    """Quantiles of every column, as ``numpy.quantile`` but by one sort of the whole table."""
    ordered = np.sort(values, axis=0)
    place = np.asarray(levels) * (len(ordered) - 1)
    left = np.minimum(place.astype(np.intp), max(len(ordered) - 2, 0))
    right = np.minimum(left + 1, len(ordered) - 1)
    weight = (place - left)[:, None]
    return ordered[left] * (1.0 - weight) + ordered[right] * weight


def interpolate_columns(values, table, positions):
    """Empirical distribution function of each column, read off a table of its quantiles.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Where to evaluate.

    table : ndarray of shape (n_points, n_columns)
        Non-decreasing quantiles of each column.

    positions : ndarray of shape (n_points,)
        Levels of the quantiles.
    """
    levels = np.empty(values.shape, dtype=np.float64)
    for column in range(values.shape[1]):
        levels[:, column] = np.interp(values[:, column], table[:, column], positions)
    return levels


def _kernel_points():
    points = ndtri((np.arange(_KERNEL_POINTS) + 0.5) / _KERNEL_POINTS)
    return points / points.std()


def _atom_mask(values):
    """Cells that belong to a point mass of their column, and columns that have one at an end."""
    n_rows = len(values)
    mask = np.zeros(values.shape, dtype=bool)
    ordered = np.sort(values, axis=0)
    with_ties = np.flatnonzero((ordered[1:] == ordered[:-1]).any(axis=0)) if n_rows > 1 else []
    share = max(5, int(np.ceil(0.02 * n_rows)))
    for column in with_ties:
        levels, inverse, counts = np.unique(
            values[:, column], return_inverse=True, return_counts=True
        )
        atom = counts >= share
        atom[0] |= counts[0] >= 2
        atom[-1] |= counts[-1] >= 2
        mask[:, column] = atom[inverse]
        if len(levels) == 1:
            mask[:, column] = True
    return mask


class QuantileTable:
    """Smoothed quantile functions of the columns of a table.

    Every value is replaced by fifteen points of a normal kernel of relative width ``bandwidth``
    and drawn back towards the mean so that mean and standard deviation stay as they are. Point
    masses (a value shared by at least 2 % of the rows, or repeated at an end of the column) are
    kept exactly, and the smoothed part never crosses a mass at an end.

    Parameters
    ----------
    bandwidth : float
        Width of the kernel in standard deviations of the column; 0 keeps the observed values.

    atoms : bool, default=True
        Whether to look for point masses.
    """

    def __init__(self, bandwidth, *, atoms=True):
        self.bandwidth = bandwidth
        self.atoms = atoms

    def fit(self, values):
        """Build the table from ``values`` of shape (n_rows, n_columns)."""
        n_rows, n_columns = values.shape
        dtype = np.float64 if n_columns <= 2_000 else np.float32
        limit = int(np.clip(_TABLE_NUMBERS // max(1, n_columns), 256, 1024))
        if self.bandwidth == 0:
            limit = max(limit, 4096) if n_columns <= 2_000 else limit
            n_points = min(n_rows, limit)
        else:
            n_points = min(_KERNEL_POINTS * n_rows, max(limit, min(n_rows, 4096)))
        self.table_ = np.empty((n_points, n_columns), dtype=dtype)
        self.low_ = values.min(axis=0)
        self.high_ = values.max(axis=0)
        self.zero_share_ = np.zeros(n_columns)
        self.atom_ = np.zeros((n_points, n_columns), dtype=bool) if self.atoms else None
        width = max(1, _BLOCK_NUMBERS // (_KERNEL_POINTS * max(1, n_rows)))
        for start in range(0, n_columns, width):
            part = slice(start, start + width)
            self._fit_block(values[:, part], part, n_points)
        if self.atom_ is not None and not self.atom_.any():
            self.atom_ = None
        return self

    def _fit_block(self, values, part, n_points):
        mask = _atom_mask(values) if self.atoms else np.zeros(values.shape, dtype=bool)
        lowest = values == values.min(axis=0)
        self.zero_share_[part] = np.where((mask & lowest).any(axis=0), lowest.mean(axis=0), 0.0)
        free = ~mask
        count = free.sum(axis=0)
        safe = np.maximum(count, 1)
        mean = np.where(free, values, 0.0).sum(axis=0) / safe
        spread = np.sqrt(np.where(free, (values - mean) ** 2, 0.0).sum(axis=0) / safe)
        width = np.where(count >= 10, self.bandwidth, 0.0)
        if self.bandwidth == 0:
            smooth = values
            repeated = mask
        else:
            centred = (values - mean)[:, None, :]
            shifts = (_kernel_points()[:, None] * (width * spread))[None, :, :]
            smooth = mean + (centred + shifts) / np.sqrt(1.0 + width**2)
            smooth = self._keep_beside_atoms(smooth, values, mask)
            smooth = np.where(mask[:, None, :], values[:, None, :], smooth)
            smooth = smooth.reshape(-1, values.shape[1])
            repeated = np.repeat(mask, _KERNEL_POINTS, axis=0)
        order = np.argsort(smooth, axis=0, kind="stable")
        ordered = np.take_along_axis(smooth, order, axis=0)
        flags = np.take_along_axis(repeated, order, axis=0)
        self._resample(ordered, flags, part, n_points)

    @staticmethod
    def _keep_beside_atoms(smooth, values, mask):
        low, high = values.min(axis=0), values.max(axis=0)
        atom_low = (mask & (values == low)).any(axis=0)
        atom_high = (mask & (values == high)).any(axis=0)
        free_low = np.where(mask, np.inf, values).min(axis=0)
        free_high = np.where(mask, -np.inf, values).max(axis=0)
        lower = np.where(atom_low & np.isfinite(free_low), free_low, -np.inf)
        upper = np.where(atom_high & np.isfinite(free_high), free_high, np.inf)
        return np.clip(smooth, lower, upper)

    def _resample(self, ordered, flags, part, n_points):
        size = len(ordered)
        if size == n_points:
            self.table_[:, part] = ordered
            atoms = flags
        else:
            place = np.clip((np.arange(n_points) + 0.5) / n_points * size - 0.5, 0, size - 1)
            left = place.astype(np.intp)
            right = np.minimum(left + 1, size - 1)
            weight = (place - left)[:, None]
            mixed = ordered[left] * (1.0 - weight) + ordered[right] * weight
            nearest = np.where(weight < 0.5, ordered[left], ordered[right])
            beside = (flags[left] | flags[right]) & (ordered[left] != ordered[right])
            self.table_[:, part] = np.where(beside, nearest, mixed)
            atoms = np.where(weight < 0.5, flags[left], flags[right])
        if self.atom_ is not None:
            self.atom_[:, part] = atoms

    def quantile(self, levels):
        """Return the quantile of each column at ``levels`` of shape (n_rows, n_columns)."""
        n_points = len(self.table_)
        place = np.clip(levels * n_points - 0.5, 0, n_points - 1)
        left = place.astype(np.intp)
        right = np.minimum(left + 1, n_points - 1)
        weight = (place - left).astype(self.table_.dtype)
        low = np.take_along_axis(self.table_, left, axis=0)
        high = np.take_along_axis(self.table_, right, axis=0)
        mixed = low + (high - low) * weight
        if self.atom_ is None:
            return mixed
        beside = np.take_along_axis(self.atom_, left, axis=0)
        beside |= np.take_along_axis(self.atom_, right, axis=0)
        return np.where(beside & (low != high), np.where(weight < 0.5, low, high), mixed)
