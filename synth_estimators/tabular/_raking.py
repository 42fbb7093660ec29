"""Weights that give drawn rows the level shares of the training table."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["level_shares", "rake", "systematic_rows"]

# Levels that fewer rows of a pool are expected to have count as one.
_FEWEST = 5

_MOST_SWEEPS = 50
_TOLERANCE = 1e-4


def level_shares(layout: Any, codes: Any) -> list[np.ndarray | None]:
    """Shares of the levels and of missing cells in training rows.

    Parameters
    ----------
    layout : EncodedLayout
        Layout of the encoder.

    codes : RowCodes
        Training rows.

    Returns
    -------
    shares : list of ndarray or None
        One entry a coded span; None for the modes of numbers.
    """
    return [
        np.bincount(part, minlength=span.n_codes)[: span.n_codes] / max(1, len(part))
        if span.field in ("level", "null")
        else None
        for span, part in zip(layout.coded_spans, codes.codes, strict=True)
    ]


def rake(codes: Any, shares: list[np.ndarray | None]) -> np.ndarray:
    """Weights under which rows have the wanted shares of every span: raking.

    One span after the other is brought to its shares, again and again (iterative proportional
    fitting). Levels too rare for the number of rows are taken together, and levels that no row has
    are left out.

    Parameters
    ----------
    codes : RowCodes
        Drawn rows.

    shares : list of ndarray or None
        Of ``level_shares``.

    Returns
    -------
    weights : ndarray of shape (n_rows,)
        Not negative, sum 1.
    """
    n_rows = len(codes)
    margins = []
    for part, wanted in zip(codes.codes, shares, strict=True):
        if wanted is None:
            continue
        rare = wanted * n_rows < _FEWEST
        group = np.append(np.where(rare, 0, np.cumsum(~rare)), 0)  # the last: no known level
        members = group[part]
        target = np.bincount(group[:-1], weights=wanted)
        target[np.bincount(members, minlength=len(target)) == 0] = 0.0
        if np.count_nonzero(target) > 1:
            margins.append((members, target / target.sum()))
    weights = np.full(n_rows, 1.0 / max(1, n_rows))
    for _ in range(_MOST_SWEEPS):
        gap = 0.0
        for members, target in margins:
            mass = np.bincount(members, weights=weights, minlength=len(target))
            gap = max(gap, float(np.abs(mass - target).max()))
            # Rows without a wanted level may be all that is left of a group.
            factor = np.divide(target, mass, out=np.zeros_like(target), where=mass > 0)
            weights = weights * factor[members]
            weights /= weights.sum()
        if gap < _TOLERANCE:
            break
    return weights


def systematic_rows(weights: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers drawn by weights, each as often as its weight says, up or down to a whole number.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
        Not negative.

    n_samples : int
        Number of rows to draw.

    rng : Generator
        Source of the start and of the order.

    Returns
    -------
    rows : ndarray of int of shape (n_samples,)
        In random order.
    """
    ends = np.cumsum(weights)
    points = (rng.random() + np.arange(n_samples)) * (ends[-1] / max(1, n_samples))
    rows = np.searchsorted(ends, points, side="right")
    return rng.permutation(np.minimum(rows, np.flatnonzero(weights)[-1]))
