"""Rows column after column: drawing, given cells, and weights of what was given."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp

from synth_estimators._networks.autoregressive import log_mixture
from synth_estimators.tabular._ar_codes import CellCodes

__all__ = ["Given", "Implied", "NetConditionals", "RowState", "draw_rows"]

_CHUNK_ROWS = 8_192
_END_SCORE = 8.0

# How often cells are drawn again that a known one cannot follow from, and the weight of a first
# draw that failed, so that rows none of whose candidates was right are resampled evenly.
_REDRAWS = 100
_LOG_MISS = -50.0

# Most logits (rows times choices) that are computed at once.
_BLOCK_ENTRIES = 2**24


class RowState:
    """Rows that are drawn up to some column.

    Parameters
    ----------
    n_rows, n_columns : int
        Rows, and columns of the model.

    Attributes
    ----------
    tokens, scores : ndarray of shape (n_rows, n_columns)
        What the later columns see of the cells drawn so far.

    cells : list of ndarray of shape (n_rows,)
        The cells drawn so far.
    """

    def __init__(self, n_rows: int, n_columns: int):
        self.tokens = np.zeros((n_rows, n_columns), dtype=np.int64)
        self.scores = np.zeros((n_rows, n_columns), dtype=np.float32)
        self.cells: list[np.ndarray] = []

    def __len__(self):
        return len(self.tokens)

    def add(self, cells: np.ndarray, codes: CellCodes) -> None:
        """Append the cells of the next column."""
        position = len(self.cells)
        self.tokens[:, position] = codes.token
        self.scores[:, position] = codes.score
        self.cells.append(cells)

    def take(self, rows: np.ndarray) -> None:
        """Go on with the chosen rows."""
        self.tokens, self.scores = self.tokens[rows], self.scores[rows]
        self.cells = [cells[rows] for cells in self.cells]


@dataclass
class Implied:
    """What is known of a column that follows from one that is drawn.

    Attributes
    ----------
    source : LevelCodes or NumberCodes
        The column that is drawn.

    table : ndarray of shape (n_values,)
        Cell of the other column for every value of it.

    cells : ndarray of shape (n_rows,)
        Known cells of the other column.

    known : ndarray of bool of shape (n_rows,)
        Rows whose cell is known; in the others it must not be missing.

    missing : float or int or None
        How a missing cell stands in ``table``; None if there is none.
    """

    source: Any
    table: np.ndarray
    cells: np.ndarray
    known: np.ndarray
    missing: Any

    def part(self, rows: np.ndarray) -> Implied:
        """The same for some of the rows."""
        return Implied(self.source, self.table, self.cells[rows], self.known[rows], self.missing)

    def met(self, cells: np.ndarray) -> np.ndarray:
        """Rows whose drawn cell goes with what is known."""
        found = self.table[self.source.labels(cells)]
        lacking = np.isnan(found) if found.dtype.kind == "f" else found == self.missing
        return np.where(self.known, found == self.cells, ~lacking)


@dataclass
class Given:
    """What is known of one column of the rows to draw.

    Attributes
    ----------
    cells : ndarray of shape (n_rows,) or None
        Given cells.

    known : ndarray of bool of shape (n_rows,) or None
        Rows whose cell is given; None with ``cells`` means all.

    allowed : ndarray of bool of shape (n_rows, n_choices) or None
        Choices to draw the other cells from; None allows all.

    implied : tuple of Implied
        Columns that follow from this one, for whose known cells the other cells are drawn again.
    """

    cells: np.ndarray | None = None
    known: np.ndarray | None = None
    allowed: np.ndarray | None = None
    implied: tuple[Implied, ...] = ()

    def part(self, rows: np.ndarray) -> Given:
        """The same for some of the rows."""
        parts = (
            None if value is None else value[rows]
            for value in (self.cells, self.known, self.allowed)
        )
        return Given(*parts, tuple(what.part(rows) for what in self.implied))

    @property
    def everywhere(self) -> bool:
        """Whether the cells of all rows are given."""
        return self.cells is not None and (self.known is None or bool(self.known.all()))


class NetConditionals:
    """Draws and densities of every column given those before it, from the heads of a net.

    Parameters
    ----------
    columns : list of LevelCodes, NumberCodes or LookedUpCodes
        Columns in the order of the model.

    module : AutoregressiveNet
        The trained net; every row is drawn from a random member of it.

    temperature : float, default=1.0
        Divides the logits of the choices.

    device : str, default="cpu"
        Where the net lives.
    """

    def __init__(
        self, columns: list, module: Any, *, temperature: float = 1.0, device: Any = "cpu"
    ):
        self.columns = columns
        self.module = module
        self.temperature = temperature
        self.device = device

    def _exact_head(self, position):
        """The head in double precision: densities do not depend on how the rows were cut."""
        return copy.deepcopy(self.module.head(position)).double()

    def _inputs(self, position, state, rows, dtype):
        tokens = torch.as_tensor(state.tokens[rows, :position], device=self.device)
        scores = torch.as_tensor(state.scores[rows, :position], dtype=dtype, device=self.device)
        return tokens, scores

    def _head(self, position, state, rows, member, head=None):
        dtype = torch.float32 if head is None else torch.float64
        inputs = self._inputs(position, state, rows, dtype)
        head = self.module.head(position) if head is None else head
        with torch.inference_mode():
            logits, mixture = head(*inputs, member)
        logits = logits.cpu().numpy().astype(np.float64)
        return logits, None if mixture is None else mixture.cpu().numpy()

    def _blocks(self, position, rows):
        """Rows in parts whose logits fit in memory."""
        step = max(1, _BLOCK_ENTRIES // self.columns[position].n_choices)
        return (rows[start : start + step] for start in range(0, len(rows), step))

    def draw(
        self,
        position: int,
        state: RowState,
        rng: np.random.Generator,
        rows: np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the cells of one column.

        Parameters
        ----------
        position : int
            Place of the column in the order of the model.

        state : RowState
            Rows with the columns before it.

        rng : numpy Generator

        rows : ndarray of int or None, default=None
            Rows of ``state`` to draw for; None draws for all.

        allowed : ndarray of bool of shape (n_rows, n_choices) or None, default=None
            Choices to draw from.

        Returns
        -------
        cells : ndarray of shape (n_rows,)
            Drawn cells.

        log_mass : ndarray of shape (n_rows,)
            Logarithm of the probability of the allowed choices.
        """
        rows = np.arange(len(state)) if rows is None else rows
        n_members = self.module.n_members
        member = rng.integers(n_members, size=len(rows)) if n_members > 1 else None
        choice = np.zeros(len(rows), dtype=np.intp)
        score, log_mass = np.zeros(len(rows)), np.zeros(len(rows))
        for index in range(n_members):
            members = np.arange(len(rows)) if member is None else np.flatnonzero(member == index)
            for part in self._blocks(position, members):
                logits, mixture = self._head(position, state, rows[part], index)
                logits /= self.temperature
                total = logsumexp(logits, axis=1)
                if allowed is not None:
                    logits = np.where(allowed[part], logits, -np.inf)
                reached = logsumexp(logits, axis=1)
                log_mass[part] = reached - total
                choice[part] = _choose(logits, reached, rng)
                if mixture is not None:
                    score[part] = _draw_scores(mixture, rng)
        return self.columns[position].decode(choice, score), log_mass

    def log_prob(
        self, position: int, state: RowState, codes: CellCodes, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Log-likelihood of the given cells of one column, of shape (n_rows,)."""
        rows = np.arange(len(state)) if rows is None else rows
        head = self._exact_head(position)
        members = np.empty((self.module.n_members, len(rows)))
        for part in self._blocks(position, np.arange(len(rows))):
            tokens, scores = self._inputs(position, state, rows[part], torch.float64)
            choice, low, high = (
                torch.as_tensor(values[part], device=self.device)
                for values in (codes.choice.astype(np.int64), codes.low, codes.high)
            )
            with torch.inference_mode():
                for member in range(len(members)):
                    found = head.log_prob(tokens, scores, choice, low, high, member)
                    members[member, part] = found.cpu().numpy()
        return logsumexp(members, axis=0) - np.log(len(members))

    def log_choices(
        self,
        position: int,
        state: RowState,
        rows: np.ndarray | None = None,
        *,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Log-probability of every choice, numbers between spikes by interval.

        Parameters
        ----------
        position : int
            Place of the column in the order of the model.

        state : RowState
            Rows with the columns before it.

        rows : ndarray of int or None, default=None
            Rows of ``state``; None takes all.

        temperature : float, default=1.0
            Divides the logits of the networks.

        Returns
        -------
        log_prob : ndarray of shape (n_rows, n_spikes + n_intervals) or (n_rows, n_levels)
        """
        rows = np.arange(len(state)) if rows is None else rows
        column, members = self.columns[position], []
        head = self._exact_head(position)
        edges = torch.as_tensor(column.edges, device=self.device)
        for member in range(self.module.n_members):
            logits, mixture = self._head(position, state, rows, member, head)
            logits /= temperature
            logits -= logsumexp(logits, axis=1)[:, None]
            if mixture is not None:
                with torch.inference_mode():
                    mixture = torch.as_tensor(mixture, device=self.device)[:, None]
                    inside = log_mixture(mixture, edges[:-1, None], edges[1:, None], 2)
                inside = inside.cpu().numpy().astype(np.float64)
                logits = np.hstack([logits[:, :-1], logits[:, -1:] + inside])
            members.append(logits)
        return logsumexp(np.stack(members), axis=0) - np.log(len(members))


def _choose(logits, total, rng):
    """One choice a row, by inversion."""
    cumulative = np.cumsum(np.exp(logits - total[:, None]), axis=1)
    uniform = rng.random(len(logits)) * cumulative[:, -1]
    return (cumulative <= uniform[:, None]).sum(axis=1).clip(max=logits.shape[1] - 1)


def _draw_scores(mixture, rng):
    """One draw a row from mixtures of Gaussians."""
    logits, mean, log_sd = np.split(mixture.astype(np.float64), 3, axis=1)
    component = _choose(logits, logsumexp(logits, axis=1), rng)[:, None]
    mean = np.take_along_axis(mean, component, axis=1)[:, 0]
    log_sd = np.take_along_axis(log_sd, component, axis=1)[:, 0].clip(-4.5, 3.0)
    scores = mean + np.exp(log_sd) * rng.standard_normal(len(mean))
    return scores.clip(-_END_SCORE, _END_SCORE)


def draw_rows(
    conditionals: Any,
    n_rows: int,
    rng: np.random.Generator,
    *,
    given: dict[int, Given] | None = None,
    n_candidates: int = 20,
) -> list[np.ndarray]:
    """Draw rows, some cells of which may be given.

    Cells that are given in the first columns of a row are exact. For others several candidates a
    row are drawn, and after every given cell resampled by its likelihood.

    Parameters
    ----------
    conditionals : NetConditionals or the like
        Has ``columns``, ``draw`` and ``log_prob``.

    n_rows : int
        Number of rows.

    rng : numpy Generator

    given : dict or None, default=None
        Position of a column -> what is known of it.

    n_candidates : int, default=20
        Candidates a row.

    Returns
    -------
    cells : list of ndarray of shape (n_rows,)
        Cells of every column, in the order of the model.
    """
    given = given or {}
    weighted = _weighted_columns(given, conditionals.columns)
    copies = n_candidates if weighted else 1
    step = max(1, _CHUNK_ROWS // copies)
    parts = []
    for start in range(0, max(1, n_rows), step):
        rows = np.arange(start, min(n_rows, start + step))
        known = {position: what.part(rows) for position, what in given.items()}
        parts.append(_draw_chunk(conditionals, len(rows), rng, known, weighted, copies))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _weighted_columns(given, columns):
    """Columns whose given cells stand behind cells that are drawn."""
    prefix = True
    weighted = []
    for position in range(max(given, default=-1) + 1):
        if columns[position].source is not None:
            continue
        what = given.get(position)
        if what is not None and not prefix:
            weighted.append(position)
        prefix = prefix and what is not None and what.everywhere
    return weighted


def _draw_chunk(conditionals, n_rows, rng, given, weighted, copies):
    columns = conditionals.columns
    owner = np.repeat(np.arange(n_rows), copies)
    state = RowState(len(owner), len(columns))
    for position, column in enumerate(columns):
        what = given.get(position)
        if what is None:
            if column.source is None:
                cells, _ = conditionals.draw(position, state, rng)
            else:
                cells = column.follow(state.cells)
            state.add(cells, column.encode(cells))
            continue
        what = what.part(owner)
        cells, log_weight = _partly_given(
            conditionals, position, state, rng, what, position in weighted
        )
        state.add(cells, column.encode(cells))
        if position in weighted:
            last = position == weighted[-1]
            chosen = _resample(log_weight.reshape(n_rows, copies), 1 if last else copies, rng)
            state.take(chosen)
            if last:
                owner = np.arange(n_rows)
                copies = 1
    return state.cells


def _partly_given(conditionals, position, state, rng, what, weighted):
    """Cells of a column, and the log-likelihood of what was given of it."""
    log_weight = np.zeros(len(state))
    drawn = np.ones(len(state), dtype=bool)
    if what.cells is not None:
        drawn = np.zeros(len(state), dtype=bool) if what.known is None else ~what.known
    cells = None if what.cells is None else what.cells.copy()
    free = np.flatnonzero(drawn)
    if free.size or cells is None:
        allowed = None if what.allowed is None else what.allowed[free]
        new, log_mass = conditionals.draw(position, state, rng, free, allowed)
        for again in range(_REDRAWS if what.implied else 0):
            wrong = np.flatnonzero(~np.all([part.part(free).met(new) for part in what.implied], 0))
            if not wrong.size:
                break
            if not again:
                log_mass[wrong] += _LOG_MISS
            part = None if allowed is None else allowed[wrong]
            new[wrong], _ = conditionals.draw(position, state, rng, free[wrong], part)
        cells = np.empty(len(state), dtype=new.dtype) if cells is None else cells
        cells[free] = new
        log_weight[free] = log_mass
    fixed = np.flatnonzero(~drawn)
    if weighted and fixed.size:
        codes = conditionals.columns[position].encode(cells[fixed])
        log_weight[fixed] = conditionals.log_prob(position, state, codes, fixed)
    return cells, log_weight


def _resample(log_weight, n_kept, rng):
    """Row numbers of the candidates to go on with, ``n_kept`` for every row."""
    n_rows, copies = log_weight.shape
    log_weight = np.repeat(log_weight, n_kept, axis=0)
    finite = np.where(np.isfinite(log_weight), log_weight, -1e300)
    chosen = _choose(finite, logsumexp(finite, axis=1), rng)
    return chosen + copies * np.repeat(np.arange(n_rows), n_kept)
