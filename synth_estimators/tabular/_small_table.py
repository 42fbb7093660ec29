"""Small tables: networks trained on folds, averaged, and mixed with a forest column by column.

With few rows one network wastes those it is validated on and depends on its seed, and a forest has
rough densities. Each of several networks leaves out one fold, on which it is validated; their
average is mixed with the trees of ``SequentialCART``, with one weight a column that maximises the
likelihood of the rows that were left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import ndtri

from synth_estimators._random import spawn_seeds
from synth_estimators.preprocessing._forest import CellColumn
from synth_estimators.tabular._ar_codes import CellCodes
from synth_estimators.tabular._ar_sampling import NetConditionals, RowState
from synth_estimators.tabular._forest_tokens import ColumnTokens, TokenForest
from synth_estimators.tabular._mixing import mixed_log_density, mixing_weight

__all__ = ["MixedConditionals", "fit_small_table", "fold_rows", "member_rows", "spike_limit"]

_ROWS_PER_LEVEL = 50
_FEW_LEVELS = 10
_EVALUATED_ROWS = 2_048

# Half of the trees: quicker, and the forest should not look better beside one network than it will
# beside the average of all.
_N_FOLD_TREES = 5


def spike_limit(max_levels: int, n_rows: int) -> int:
    """Most distinct values a column of numbers may have to be levels in a small table.

    A softmax over many numbers with few rows each forgets that neighbours are alike.

    Examples
    --------
    >>> spike_limit(100, 1_000), spike_limit(100, 5_000)
    (20, 100)
    """
    return min(max_levels, max(_FEW_LEVELS, n_rows // _ROWS_PER_LEVEL))


def fold_rows(n_rows: int, n_folds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split rows in folds, each of which one network leaves out.

    Parameters
    ----------
    n_rows : int
        Number of rows, at least ``n_folds``.

    n_folds : int
        Number of folds, at least 2.

    rng : numpy Generator

    Returns
    -------
    train : ndarray of int of shape (n_train, n_folds)
        Rows of every network; where folds differ by a row, one row stands twice.

    valid : ndarray of int of shape (n_valid, n_folds)
        Rows that it leaves out, filled up likewise.

    Examples
    --------
    >>> import numpy as np
    >>> train, valid = fold_rows(6, 3, np.random.default_rng(0))
    >>> sorted(valid.ravel().tolist())
    [0, 1, 2, 3, 4, 5]
    >>> set(train[:, 0]) & set(valid[:, 0])
    set()
    """
    folds = np.array_split(rng.permutation(n_rows), n_folds)
    others = [np.concatenate(folds[:k] + folds[k + 1 :]) for k in range(n_folds)]
    # Shuffled, as the networks see their rows side by side.
    others = [rng.permutation(rows) for rows in others]
    return tuple(
        np.stack([np.resize(rows, max(map(len, parts))) for rows in parts], axis=1)
        for parts in (others, folds)
    )


def member_rows(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows for a net of several members, side by side.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_parts)
        Packed rows.

    rows : ndarray of int of shape (n_chosen, n_members)
        Row of every member.

    Returns
    -------
    X : ndarray of shape (n_chosen, n_members * n_parts)
    """
    return X[rows].reshape(len(rows), -1)


def _tree_cells(column, cells):
    """Cells as the trees split them: levels, or ranks that keep the order of numbers."""
    if column.discrete:
        return cells
    if not len(column.distinct):
        return np.full(len(cells), np.nan, dtype=np.float32)
    ranks = np.interp(cells, column.distinct, np.arange(len(column.distinct)))
    return np.where(np.isnan(cells), np.nan, ranks).astype(np.float32)


def _tokens(column, choice, interval):
    """Index among all choices, the last one of numbers being split in its intervals."""
    return np.where(column.continuous & (choice == column.n_choices - 1), choice + interval, choice)


def _column_tokens(column, cells, codes):
    tokens = _tokens(column, codes.choice, codes.interval)
    if column.discrete:
        seen = CellColumn(cells, column.n_values, cells)
    else:
        seen = CellColumn.of_numbers(_tree_cells(column, cells), column.labels(cells))
    if not column.continuous:
        return ColumnTokens(seen, tokens, column.n_choices)
    shares = column.interval_ends
    return ColumnTokens(seen, tokens, column.n_choices - 1 + len(shares) - 1, shares)


def fit_small_table(
    columns: list,
    cells: list[np.ndarray],
    codes: list[CellCodes],
    X: np.ndarray,
    valid: np.ndarray,
    module: Any,
    *,
    seed: int,
    temperature: float = 1.0,
    device: Any = "cpu",
) -> MixedConditionals:
    """Mix trained networks with a forest.

    Parameters
    ----------
    columns : list of LevelCodes, NumberCodes or LookedUpCodes
        Columns in the order of the model.

    cells : list of ndarray of shape (n_rows,)
        Training cells of these columns.

    codes : list of CellCodes
        The same in the terms of the model.

    X : ndarray of shape (n_rows, n_parts)
        The same, packed for a net of one member.

    valid : ndarray of int of shape (n_valid, n_members)
        Rows that every member has left out, each row once (``fold_rows``).

    module : AutoregressiveNet
        Trained net with a member a fold.

    seed : int
        Seeds the trees.

    temperature : float, default=1.0
        Divides the logits of the choices.

    device : str, default="cpu"
        Where the net lives.

    Returns
    -------
    conditionals : MixedConditionals
        What to draw from in the place of ``NetConditionals``.
    """
    n_rows, n_folds = len(X), valid.shape[1]
    tokens = [_column_tokens(*parts) for parts in zip(columns, cells, codes, strict=True)]
    heads = [j for j, column in enumerate(columns) if column.source is None]
    log_net = np.empty((len(heads), n_rows))
    left_out = torch.as_tensor(member_rows(X, valid), device=device)
    with torch.inference_mode():
        blocks = [module.cells(part).cpu().numpy() for part in left_out.split(_EVALUATED_ROWS)]
    log_cells = np.concatenate(blocks, axis=1)  # (members, rows, heads)
    log_forest = [np.empty((len(tokens[j].bandwidths), n_rows)) for j in heads]
    *fold_seeds, last_seed = spawn_seeds(seed, n_folds + 1)
    for fold, fold_seed in enumerate(fold_seeds):
        rows = valid[:, fold]
        log_net[:, rows] = log_cells[fold].T
        others = np.delete(np.arange(n_rows), rows)
        forest = TokenForest(
            [column.take(others) for column in tokens], fold_seed, n_trees=_N_FOLD_TREES
        )
        seen = [column.cells.cells[rows] for column in tokens]
        for log_density, j in zip(log_forest, heads, strict=True):
            column = tokens[j]
            density = forest.densities(j, seen, column.tokens[rows], column.bandwidths)
            with np.errstate(divide="ignore"):  # a token of the left-out rows alone
                log_density[:, rows] = np.log(density)
    weights, bandwidths, log_likelihood = np.zeros(len(columns)), [0.0] * len(columns), 0.0
    for j, *densities in zip(heads, log_forest, log_net, strict=True):
        weights[j], candidate, found = mixing_weight(*densities)
        bandwidths[j] = tokens[j].bandwidths[candidate]
        log_likelihood += found
    return MixedConditionals(
        NetConditionals(columns, module, temperature=temperature, device=device),
        TokenForest(tokens, last_seed),
        weights=weights,
        bandwidths=bandwidths,
        log_likelihood=log_likelihood,
    )


class MixedConditionals:
    """Draws and densities of every column given those before it, from networks and a forest.

    Offers what ``NetConditionals`` does.

    Parameters
    ----------
    net : NetConditionals
        The networks, averaged.

    forest : TokenForest
        The forest, grown on all rows.

    weights : ndarray of shape (n_columns,)
        Share of the forest in every column; 0 in those that are looked up.

    bandwidths : list of float
        Smoothing of the forest in every column.

    log_likelihood : float
        Mean of the rows left out, in nats per row, one network each.
    """

    def __init__(
        self,
        net: NetConditionals,
        forest: TokenForest,
        *,
        weights: np.ndarray,
        bandwidths: list[float],
        log_likelihood: float,
    ):
        self.net = net
        self.forest = forest
        self.columns = net.columns
        self.weights = weights
        self.bandwidths = bandwidths
        self.log_likelihood = log_likelihood

    def draw(
        self,
        position: int,
        state: RowState,
        rng: np.random.Generator,
        rows: np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the cells of one column; parameters and results are those of the networks."""
        rows = np.arange(len(state)) if rows is None else rows
        if allowed is not None:
            return self._draw_allowed(position, state, rng, rows, allowed)
        from_forest = rng.random(len(rows)) < self.weights[position]
        trees, nets = np.flatnonzero(from_forest), np.flatnonzero(~from_forest)
        seen = self._seen(position, state, rows[trees])
        tokens = self.forest.draw(position, seen, len(trees), rng, self.bandwidths[position])
        drawn = self._decode(position, tokens, rng)
        cells = np.empty(len(rows), dtype=drawn.dtype)
        cells[trees] = drawn
        if nets.size:
            cells[nets], _ = self.net.draw(position, state, rng, rows[nets])
        return cells, np.zeros(len(rows))

    def _draw_allowed(self, position, state, rng, rows, allowed):
        tempered = {"temperature": self.net.temperature}
        law = np.exp(self.log_choices(position, state, rows, **tempered))
        choice, _ = self._split(position, np.arange(law.shape[1]))
        law *= allowed[:, choice]
        mass = law.sum(axis=1)
        with np.errstate(divide="ignore"):
            log_mass = np.log(np.minimum(mass, 1.0))
        cumulative = np.cumsum(law, axis=1)
        uniform = rng.random(len(rows)) * mass
        tokens = (cumulative <= uniform[:, None]).sum(axis=1).clip(max=law.shape[1] - 1)
        return self._decode(position, tokens, rng), log_mass

    def log_prob(
        self, position: int, state: RowState, codes: CellCodes, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Log-likelihood of the given cells of one column, of shape (n_rows,)."""
        rows = np.arange(len(state)) if rows is None else rows
        tokens = _tokens(self.columns[position], codes.choice, codes.interval)
        density = self.forest.densities(
            position,
            self._seen(position, state, rows),
            tokens,
            (self.bandwidths[position],),
        )[0]
        density = density * codes.remainder(self.columns[position].edges)
        log_net = self.net.log_prob(position, state, codes, rows)
        with np.errstate(divide="ignore"):
            return mixed_log_density(self.weights[position], np.log(density), log_net)

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
        seen = self._seen(position, state, rows)
        law = self.forest.law(position, seen, len(rows), self.bandwidths[position])
        log_net = self.net.log_choices(position, state, rows, temperature=temperature)
        with np.errstate(divide="ignore"):
            return mixed_log_density(self.weights[position], np.log(law), log_net)

    def _seen(self, position, state, rows):
        return [
            _tree_cells(column, cells[rows])
            for column, cells in zip(self.columns[:position], state.cells, strict=False)
        ]

    def _split(self, position, tokens):
        """Choices and intervals of tokens."""
        column = self.columns[position]
        last = column.n_choices - 1
        if not column.continuous:
            return tokens, np.zeros_like(tokens)
        return np.minimum(tokens, last), np.maximum(tokens - last, 0)

    def _decode(self, position, tokens, rng):
        """Cells of tokens; numbers lie anywhere in their interval."""
        column = self.columns[position]
        choice, interval = self._split(position, tokens)
        score = np.zeros(len(tokens))
        if column.continuous:
            ends = column.interval_ends
            share = ends[interval] + (ends[interval + 1] - ends[interval]) * rng.random(len(tokens))
            score = ndtri(np.clip(share, 1e-9, 1 - 1e-9))
        return column.decode(choice, score)
