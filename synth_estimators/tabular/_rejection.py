"""Draw rows until enough of them are accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["RejectionSampler", "SamplingReport"]

# Rows that a later try may draw, whatever the number of rows wanted.
_LEAST_CAP, _MOST_CAP = 8_192, 500_000


@dataclass
class SamplingReport:
    """How a request with conditions or constraints went.

    Attributes
    ----------
    requested : int
        Rows that were asked for.

    accepted : int
        Rows that were found.

    drawn : int
        Rows that were drawn in all tries together.

    passed : int
        Drawn rows that met the request, whether needed or not.

    tries : int
        Number of tries.
    """

    requested: int
    accepted: int = 0
    drawn: int = 0
    passed: int = 0
    tries: int = 0

    @property
    def acceptance(self) -> float:
        """Share of the drawn rows that met the request; NaN when none was drawn."""
        return self.passed / self.drawn if self.drawn else np.nan


class RejectionSampler:
    """Fill requested rows with accepted candidates.

    Parameters
    ----------
    draw : callable
        ``draw(rows, rng)`` returns a table with one candidate for each entry of ``rows``, the
        numbers of requested rows.

    accept : callable
        ``accept(frame, rows)`` says which candidates may stand for these requested rows.

    max_tries : int, default=100
        Most tries.

    batch_size : int or None, default=None
        Candidates of the first try; later ones draw at most ten times as many, or 8192 if that is
        more. None takes one candidate a requested row.

    groups : ndarray of int of shape (n_requested,) or None, default=None
        Requested rows of one group ask for the same, so any candidate of the group fits. None:
        all rows are one group.

    pooled : bool, default=False
        Candidates do not depend on the request, so each of them is offered to every group.

    finish : callable or None, default=None
        ``finish(frame, rows)`` returns accepted candidates as they are kept for these requested
        rows, for example with the wanted values written in.

    distinct : callable or None, default=None
        ``distinct(kept, frame)`` says which finished candidates may stand beside the rows kept so
        far.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> def draw(rows, rng):
    ...     return pd.DataFrame({"x": rng.integers(6, size=len(rows))})
    >>> sampler = RejectionSampler(draw, lambda frame, rows: frame["x"].to_numpy() == 3)
    >>> frame, rows = sampler.sample(4, np.random.default_rng(0))
    >>> frame["x"].tolist(), rows.tolist(), sampler.report.accepted
    ([3, 3, 3, 3], [0, 1, 2, 3], 4)
    """

    def __init__(
        self,
        draw: Callable[[np.ndarray, np.random.Generator], pd.DataFrame],
        accept: Callable[[pd.DataFrame, np.ndarray], np.ndarray],
        *,
        max_tries: int = 100,
        batch_size: int | None = None,
        groups: np.ndarray | None = None,
        pooled: bool = False,
        finish: Callable[[pd.DataFrame, np.ndarray], pd.DataFrame] | None = None,
        distinct: Callable[[pd.DataFrame, pd.DataFrame], np.ndarray] | None = None,
    ) -> None:
        self.draw = draw
        self.accept = accept
        self.max_tries = max_tries
        self.batch_size = batch_size
        self.groups = groups
        self.pooled = pooled
        self.finish = finish
        self.distinct = distinct

    def sample(
        self, n_samples: int, rng: np.random.Generator, *, on_batch: Any = None
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Draw until every requested row is filled or the tries are over.

        Parameters
        ----------
        n_samples : int
            Requested rows.

        rng : numpy Generator
            Handed to ``draw``.

        on_batch : callable or None, default=None
            Called with the accepted rows of every try, and the numbers of their requests.

        Returns
        -------
        frame : pandas DataFrame of shape (n_filled, n_columns)
            Accepted rows in the order of the request.

        rows : ndarray of int of shape (n_filled,)
            Which requested rows they fill.
        """
        groups = np.zeros(n_samples, dtype=np.intp) if self.groups is None else self.groups
        report = self.report = SamplingReport(requested=n_samples)
        first = n_samples if self.batch_size is None else self.batch_size
        cap = max(min(10 * first, _MOST_CAP), _LEAST_CAP)
        still = np.arange(n_samples)
        kept, filled = [self.draw(still[:0], rng)], [still[:0]]
        size = min(first, n_samples)
        while len(still) and report.tries < self.max_tries:
            rows = still if size == len(still) else np.resize(still, size)
            if size < len(still):
                # Requests that were hard so far must not starve those behind them.
                rows = np.sort(rng.choice(still, size=size, replace=False))
            frame = self.draw(rows, rng)
            fits = np.array(self.accept(frame, rows), dtype=bool)
            if self.distinct is not None and fits.any():
                passed = np.flatnonzero(fits)
                allowed = self.distinct(_joined(kept), self._finished(frame, passed, rows[passed]))
                fits[passed[~np.asarray(allowed)]] = False
            taken, places = _assign(np.flatnonzero(fits), groups[rows], still, groups)
            if self.pooled and len(taken) < len(frame):
                taken, places = self._offer(frame, taken, places, still, groups, kept)
            report.tries += 1
            report.drawn += len(frame)
            fits[taken] = True
            report.passed += int(fits.sum())
            if len(taken):
                part = self._finished(frame, taken, places)
                kept.append(part)
                filled.append(places)
                if on_batch is not None:
                    on_batch(part, places)
                still = np.setdiff1d(still, places, assume_unique=True)
            chance = max(len(taken), 0.5) / len(frame)
            size = int(np.clip(len(still) / chance, len(still), cap))
        report.accepted = n_samples - len(still)
        rows = np.concatenate(filled)
        order = np.argsort(rows, kind="stable")
        return _joined(kept).iloc[order].reset_index(drop=True), rows[order]

    def _finished(self, frame, chosen, rows):
        part = frame.iloc[chosen].reset_index(drop=True)
        return part if self.finish is None else self.finish(part, rows)

    def _offer(self, frame, taken, places, still, groups, kept):
        """Offer candidates that nobody took to the groups that still lack rows."""
        left = np.setdiff1d(np.arange(len(frame)), taken, assume_unique=True)
        lacking = np.setdiff1d(still, places, assume_unique=True)
        chosen, rows = [taken], [places]
        if self.distinct is not None:
            kept = [*kept, self._finished(frame, taken, places)]
        for group in np.unique(groups[lacking]):
            if not len(left):
                break
            open_rows = lacking[groups[lacking] == group]
            request = np.full(len(left), open_rows[0])
            candidates = frame.iloc[left]
            fits = left[np.asarray(self.accept(candidates, request), dtype=bool)]
            if self.distinct is not None and len(fits):
                same = np.full(len(fits), open_rows[0])
                allowed = self.distinct(_joined(kept), self._finished(frame, fits, same))
                fits = fits[np.asarray(allowed)]
            fits = fits[: len(open_rows)]
            if self.distinct is not None:
                kept.append(self._finished(frame, fits, open_rows[: len(fits)]))
            chosen.append(fits)
            rows.append(open_rows[: len(fits)])
            left = np.setdiff1d(left, fits, assume_unique=True)
        return np.concatenate(chosen), np.concatenate(rows)


def _joined(parts):
    parts = [parts[0], *(part for part in parts[1:] if len(part))]
    if len(parts) == 1:
        return parts[0]
    return pd.concat(parts[1:], ignore_index=True)


def _assign(candidates, group_of_row, still, groups):
    """Give accepted candidates to open requests of their group, first come, first served."""
    own = group_of_row[candidates]
    order = np.argsort(own, kind="stable")
    candidates, own = candidates[order], own[order]
    rank = np.arange(len(own)) - np.searchsorted(own, own)
    open_order = still[np.argsort(groups[still], kind="stable")]
    open_groups = groups[open_order]
    start, stop = np.searchsorted(open_groups, own), np.searchsorted(open_groups, own, "right")
    fits = start + rank < stop
    return candidates[fits], open_order[(start + rank)[fits]]
