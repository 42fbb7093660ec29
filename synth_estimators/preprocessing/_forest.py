"""Trees that draw a cell from training rows, given the cells of other columns.

Every tree splits one part of the rows and keeps another part as donors. A new row is sent to its
leaf, may move up to an ancestor, and takes its cell from a donor there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

__all__ = ["CellColumn", "DonorForest", "normal_scores"]

_MIN_IMPURITY_DECREASE = 1e-8
_CODE_PRIOR = 5.0
_SECOND_CODE = 0.3
_MAX_CLASSES = 64
_SKETCH = 16
_MIN_PURE = 10
_MAX_SEED = 2**31 - 1


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Normal scores of average ranks, with mean 0 and variance 1; NaN gives 0."""
    scores = np.zeros(len(values))
    known = ~np.isnan(values)
    if known.any():
        raw = ndtri((rankdata(values[known]) - 0.5) / known.sum())
        spread = raw.std()
        scores[known] = (raw - raw.mean()) / (spread if spread > 0 else 1.0)
    return scores


@dataclass
class CellColumn:
    """The training cells of one column as the trees see them.

    Attributes
    ----------
    cells : ndarray of shape (n_rows,)
        Index of the level (discrete columns), or a float32 in the order of the values with NaN for
        a missing cell.

    n_levels : int
        Number of levels; 0 for numbers.

    labels : ndarray of int of shape (n_rows,)
        Index of the distinct value of every cell, a missing cell being a value.

    scores : ndarray of shape (n_rows, 1 or 2) or None
        Numbers only: normal scores and, if there are missing cells, their standardised flags.
    """

    cells: np.ndarray
    n_levels: int
    labels: np.ndarray
    scores: np.ndarray | None = None

    @classmethod
    def of_levels(cls, levels: np.ndarray) -> CellColumn:
        """Make a discrete column of level indices."""
        return cls(levels, int(levels.max()) + 1, levels)

    @classmethod
    def of_numbers(cls, cells: np.ndarray, labels: np.ndarray) -> CellColumn:
        """Make a column of numbers; ``labels`` are the indices of the distinct values."""
        scores = [normal_scores(cells)]
        missing = np.isnan(cells)
        if missing.any() and not missing.all():
            scores.append((missing - missing.mean()) / missing.std())
        return cls(cells.astype(np.float32), 0, labels, np.column_stack(scores))

    @property
    def ruled(self) -> np.ndarray:
        """Cells of which a node full is taken as a rule: levels and missing numbers."""
        return np.ones(len(self.labels), dtype=bool) if self.n_levels else np.isnan(self.cells)

    @property
    def constant(self) -> bool:
        """Whether all cells are equal."""
        return len(self.labels) == 0 or bool((self.labels == self.labels[0]).all())


class DonorForest:
    """Draws the cells of one column from training rows, given the cells of others.

    Parameters
    ----------
    n_trees : int
        Trees; every cell is drawn from one of them at random.

    honest : bool
        Each tree splits a random half of the rows and draws from the other half.

    min_samples_leaf : int
        Rows of the splitting half in a leaf.

    backoff : float
        Strength of moving up to ancestors: a node with d donors is left with probability
        backoff / (backoff + d), unless it has at least ten donors that all carry one level or all
        lack a number.

    Attributes
    ----------
    trees_ : list
        One ``_DonorTree`` a tree; empty if there is nothing to predict from.
    """

    def __init__(self, *, n_trees: int, honest: bool, min_samples_leaf: int, backoff: float):
        self.n_trees = n_trees
        self.honest = honest
        self.min_samples_leaf = min_samples_leaf
        self.backoff = backoff

    def fit(self, predictors: Sequence[CellColumn], target: CellColumn, seed: int) -> DonorForest:
        """Grow the trees.

        Parameters
        ----------
        predictors : sequence of CellColumn
            Columns drawn before; may be empty.

        target : CellColumn
            Column to draw.

        seed : int
            Seeds halves and ties of splits.
        """
        rng = np.random.default_rng(seed)
        self.n_rows_ = len(target.labels)
        self.trees_ = []
        if not predictors or target.constant:
            return self
        for _ in range(self.n_trees):
            structure = donors = np.arange(self.n_rows_)
            if self.honest:
                order = rng.permutation(self.n_rows_)
                half = (self.n_rows_ + 1) // 2
                structure, donors = np.sort(order[:half]), np.sort(order[half:])
            self.trees_.append(self._grow(predictors, target, structure, donors, rng))
        return self

    def _grow(self, predictors, target, structure, donors, rng):
        outcome = _outcome(target, structure, rng)
        encoder = _Encoder(predictors, structure, outcome)
        cells = [column.cells for column in predictors]
        model = DecisionTreeRegressor if outcome.dtype.kind == "f" else DecisionTreeClassifier
        tree = model(
            min_samples_leaf=self.min_samples_leaf,
            min_impurity_decrease=_MIN_IMPURITY_DECREASE,
            random_state=int(rng.integers(_MAX_SEED)),
        ).fit(encoder.encode(cells, structure), outcome)
        tree = _without_values(tree.tree_)
        leaves = tree.apply(encoder.encode(cells, donors))
        return _DonorTree(encoder, tree, leaves, donors, target, self.backoff)

    def draw(self, cells: Sequence[np.ndarray], n_samples: int, rng: Any) -> np.ndarray:
        """Draw donors for new rows.

        Parameters
        ----------
        cells : sequence of ndarray of shape (n_samples,)
            Cells of the predictors, in the coding of ``CellColumn.cells``.

        n_samples : int
            Number of rows.

        rng : numpy Generator

        Returns
        -------
        donors : ndarray of int of shape (n_samples,)
            Training row that each cell is taken from.
        """
        if not self.trees_:
            return rng.integers(self.n_rows_, size=n_samples)
        # A tree of its own for every cell: no training row is followed through all columns.
        assigned = rng.integers(len(self.trees_), size=n_samples)
        drawn = np.empty(n_samples, dtype=np.intp)
        for index, tree in enumerate(self.trees_):
            rows = np.flatnonzero(assigned == index)
            if rows.size:
                drawn[rows] = tree.draw(cells, rows, rng)
        return drawn

    def shares(
        self, cells: Sequence[np.ndarray], n_samples: int, tokens: np.ndarray, n_tokens: int
    ) -> np.ndarray:
        """Law of what ``draw`` hands out, for a property of the training rows.

        Parameters
        ----------
        cells : sequence of ndarray of shape (n_samples,)
            Cells of the predictors, as in ``draw``.

        n_samples : int
            Number of rows.

        tokens : ndarray of int of shape (n_training_rows,)
            Property of every training row, from 0 to ``n_tokens`` - 1.

        n_tokens : int
            Number of values of the property.

        Returns
        -------
        shares : ndarray of float32 of shape (n_samples, n_tokens)
            Probability that the donor of a row has the property.
        """
        if not self.trees_:
            margin = np.bincount(tokens, minlength=n_tokens) / self.n_rows_
            return np.tile(margin.astype(np.float32), (n_samples, 1))
        total = np.zeros((n_samples, n_tokens), dtype=np.float32)
        for tree in self.trees_:
            total += tree.laws(tokens, n_tokens)[tree.leaves(cells, slice(None))]
        return total / len(self.trees_)


def _outcome(target, rows, rng):
    """What a tree predicts: level indices, or columns of numbers."""
    if target.scores is not None:
        return target.scores[rows]
    levels = target.labels[rows]
    if target.n_levels <= _MAX_CLASSES:
        return levels
    # Gini impurity is the variance of the indicators, which random projections keep on average.
    directions = rng.choice((-1.0, 1.0), size=(target.n_levels, _SKETCH)) / np.sqrt(_SKETCH)
    return directions[levels]


def _without_values(tree):
    """The same tree without the predictions of its nodes, which may be wide."""
    state = tree.__getstate__()
    state["values"] = np.zeros((state["node_count"], 1, 1))
    bare = type(tree)(tree.n_features, np.ones(1, dtype=np.intp), 1)
    bare.__setstate__(state)
    return bare


class _Encoder:
    """Predictors as numbers to split at; the codes of levels depend on what is predicted."""

    def __init__(self, predictors, rows, outcome):
        self._codes = []
        for column in predictors:
            codes = None
            if column.n_levels > 2:
                codes = _level_codes(column.cells[rows], column.n_levels, outcome)
            self._codes.append(codes)
        self._width = sum(1 if codes is None else codes.shape[1] for codes in self._codes)

    def encode(self, cells, rows):
        n_rows = len(cells[0][rows])
        features = np.empty((n_rows, self._width), dtype=np.float32)
        first = 0
        for column, codes in zip(cells, self._codes, strict=True):
            if codes is None:
                features[:, first] = column[rows]
                first += 1
            else:
                features[:, first : first + codes.shape[1]] = codes[column[rows]]
                first += codes.shape[1]
        return features


def _level_codes(levels, n_levels, outcome):
    """One or two numbers a level: how the outcome differs in its rows."""
    counts = np.bincount(levels, minlength=n_levels).astype(np.float64)
    if outcome.dtype.kind == "f":
        sums = np.column_stack(
            [np.bincount(levels, weights=part, minlength=n_levels) for part in outcome.T]
        )
    else:
        n_classes = int(outcome.max()) + 1
        pairs = np.bincount(levels * n_classes + outcome, minlength=n_levels * n_classes)
        sums = pairs.reshape(n_levels, n_classes).astype(np.float64)
    mean = sums.sum(axis=0) / len(levels)
    effects = (sums + _CODE_PRIOR * mean) / (counts + _CODE_PRIOR)[:, None] - mean
    if effects.shape[1] > 1:
        weights = np.sqrt(counts / len(levels))[:, None]
        _, singular, directions = np.linalg.svd(weights * effects, full_matrices=False)
        n_codes = 2 if len(singular) > 1 and singular[1] > _SECOND_CODE * singular[0] else 1
        effects = effects @ directions[:n_codes].T
    # On the scale of 1: differences below 1e-7 are none to the trees.
    largest = np.abs(effects).max()
    return (effects / largest if largest > 0 else effects).astype(np.float32)


class _DonorTree:
    """The nodes of a tree with the donors below each and the way up."""

    def __init__(self, encoder, tree, leaves, donors, target, backoff):
        self._encoder = encoder
        self._tree = tree
        order = np.argsort(leaves, kind="stable")
        self._donors = donors[order].astype(np.int32)
        self._parent, last = _ancestry(tree)
        # Nodes are numbered depth first, so the leaves below a node are a range of numbers.
        nodes = np.arange(tree.node_count)
        self._start = np.searchsorted(leaves[order], nodes).astype(np.int32)
        end = np.searchsorted(leaves[order], last, side="right")
        self._count = (end - self._start).astype(np.int32)
        self._leave = self._leaving(target, end, backoff)

    def _leaving(self, target, end, backoff):
        """Probability of moving up from each node."""
        if np.isinf(backoff):
            leave = np.ones(len(end))
        else:
            total = np.maximum(backoff + self._count, np.finfo(float).tiny)
            leave = backoff / total
            labels = target.labels[self._donors]
            changes = np.concatenate([[0], np.cumsum(labels[1:] != labels[:-1])])
            first = np.minimum(self._start, len(labels) - 1)
            pure = changes[np.maximum(end - 1, first)] == changes[first]
            # Equal numbers are often no rule but a heap of the distribution.
            pure &= target.ruled[self._donors[first]]
            leave[pure & (self._count >= _MIN_PURE)] = 0.0
        leave[self._count == 0] = 1.0
        leave[0] = 0.0
        return leave

    def leaves(self, cells, rows):
        """Leaf that each of the rows reaches."""
        return self._tree.apply(self._encoder.encode(cells, rows))

    def laws(self, tokens, n_tokens):
        """Law of the token of the drawn donor from every node, the moves up included."""
        one_hot = np.zeros((len(self._donors) + 1, n_tokens), dtype=np.float32)
        one_hot[np.arange(1, len(one_hot)), tokens[self._donors]] = 1.0
        up_to = np.cumsum(one_hot, axis=0)
        count = np.maximum(self._count, 1)[:, None]
        laws = (up_to[self._start + self._count] - up_to[self._start]) / count
        laws *= (1.0 - self._leave).astype(np.float32)[:, None]
        leave = self._leave.astype(np.float32)[:, None]
        left, right = self._tree.children_left, self._tree.children_right
        level = np.zeros(1, dtype=np.intp)
        while level.size:
            level = level[left[level] >= 0]
            level = np.concatenate([left[level], right[level]])
            laws[level] += leave[level] * laws[self._parent[level]]
        return laws

    def draw(self, cells, rows, rng):
        node = self.leaves(cells, rows)
        moving = np.arange(len(node))
        while moving.size:
            leave = self._leave[node[moving]]
            moving = moving[rng.random(len(moving)) < leave]
            node[moving] = self._parent[node[moving]]
        offset = (rng.random(len(node)) * self._count[node]).astype(np.intp)
        return self._donors[self._start[node] + offset]


def _ancestry(tree):
    """Parent and last descendant of every node."""
    left, right = tree.children_left, tree.children_right
    parent = np.zeros(tree.node_count, dtype=np.int32)
    last = np.zeros(tree.node_count, dtype=np.intp)
    last[0] = tree.node_count - 1
    level = np.zeros(1, dtype=np.intp)
    while level.size:
        level = level[left[level] >= 0]
        parent[left[level]] = parent[right[level]] = level
        last[left[level]] = right[level] - 1
        last[right[level]] = last[level]
        level = np.concatenate([left[level], right[level]])
    return parent, last
