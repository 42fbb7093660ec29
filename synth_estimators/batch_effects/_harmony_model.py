"""Numerics of Harmony: soft clusters that mix the batches, and a ridge regression in each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

__all__ = ["HarmonyModel", "HarmonyOptions", "HarmonyRound", "apply_harmony", "fit_harmony"]

_AUTO_RIDGE = 0.2  # of the rows of a batch that a cluster would hold if batches were mixed
_EMPTY = 1e-8  # rows expected in a cluster without any
_PATIENCE = 2  # rounds without improvement that end a fit: one is often a plateau
_SEED_ROUNDS = 3  # Lloyd iterations for the first centroids: soft iterations follow
_SEED_TABLE = 1000  # rows up to which the first centroids depend much on their seeds,
_SEED_STARTS = 5  # so that several are tried; larger tables give a sample of them,
_SEED_ROWS = 15  # at least this many for each centroid
_CHUNK_CELLS = 2**20  # rows times clusters assigned at once
_KEPT_CELLS = 2**24  # rows times clusters up to which memberships are kept, not computed twice
# Exponents lie at most this far below the largest of their row, so that no row underflows.
_SPAN = 300.0
_MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class HarmonyOptions:
    """Settings of ``fit_harmony``; ``HarmonyEmbedding`` tells what they mean."""

    n_clusters: int
    diversity_weight: float = 2.0
    penalty: str = "bounded"
    ridge: float | str = 1.0
    bandwidth: float = 0.1
    block_size: float = 0.05
    max_iter: int = 10
    max_iter_cluster: int = 4
    tol: float = 2e-3
    tol_cluster: float = 1e-3


@dataclass(frozen=True)
class HarmonyRound:
    """One round: what assigns a row to the clusters, and what each of them subtracts."""

    centroids: np.ndarray  # (n_clusters, n_components), unit length
    log_penalty: np.ndarray  # (n_batches, n_clusters)
    shifts: np.ndarray  # (n_batches, n_clusters, n_components)


@dataclass(frozen=True)
class HarmonyModel:
    """The rounds in their order, and the course of the fit."""

    rounds: list[HarmonyRound]
    objective: list[float]
    n_iter_cluster: list[int]
    converged: bool
    bandwidth: float


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows scaled to length 1; rows of zeros stay as they are."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    length[length == 0.0] = 1.0
    return rows / length[:, None]


def _exponentiate(logits, sharpness):
    """Exponentials in place; return what was subtracted from every row before, or None."""
    offset = None
    if sharpness > _SPAN:
        offset = logits.max(axis=1, keepdims=True)
        logits -= offset
    np.exp(logits, out=logits)
    return offset


class _Clustering:
    """Soft spherical k-means of the rows, with a penalty on clusters that hold few batches.

    Rows are visited in blocks. Indicators of the batches stand beside the rows, so that one
    product gives the exponents with the penalty, and one the sums for centroids and counts.
    """

    def __init__(self, codes, order, n_batches, options, rng):
        n_rows = len(codes)
        self.options = options
        self.rng = rng
        self.order = order
        n_blocks = min(max(round(1.0 / options.block_size), 1), n_rows)
        edges = np.linspace(0, n_rows, n_blocks + 1).astype(int).tolist()
        self.blocks = [slice(*pair) for pair in pairwise(edges)]
        self.shares = (np.bincount(codes, minlength=n_batches) / n_rows)[:, None]
        self.indicators = np.eye(n_batches)[codes[self.order]]
        self.sharpness = 2.0 / options.bandwidth
        self.largest_log_ratio = np.log(n_rows + 1.0)

    def load(self, unit):
        """Take the directions of the rows, which turn with every round."""
        self.rows = np.hstack([unit[self.order], self.indicators])

    def start(self, centroids):
        """Assign all rows by their distances alone."""
        self.centroids = centroids
        self.counts = np.zeros((self.indicators.shape[1], len(centroids)))
        self.block_counts = [0.0] * len(self.blocks)
        self.visit(range(len(self.blocks)), weight=0.0)

    def log_penalty(self, weight):
        """Log weight of every batch and cluster, up to a term that its batch has in common."""
        log_penalty = self._log_ratio(weight)
        if weight * self.largest_log_ratio > _SPAN:
            log_penalty -= log_penalty.max(axis=1, keepdims=True)
            np.maximum(log_penalty, -_SPAN, out=log_penalty)
        return log_penalty

    def _log_ratio(self, weight):
        expected = self.shares * np.add.reduce(self.counts, axis=0)
        if self.options.penalty == "ratio":
            ratio = (expected + 1.0) / (self.counts + 1.0)
        else:
            expected += _EMPTY
            ratio = expected / (self.counts + expected)
        np.log(ratio, out=ratio)
        ratio *= weight
        return ratio

    def visit(self, order, *, weight):
        """Assign the blocks one after the other and move the centroids; return the objective.

        With memberships r = g p / s (kernel, penalty, sum of the row), distances and entropy add
        up to the sums of r log p and of log s, which need no pass over rows and clusters.
        """
        n_components = self.rows.shape[1] - len(self.shares)
        factors = np.zeros((self.rows.shape[1], len(self.centroids)))
        factors[:n_components] = self.sharpness * self.centroids.T
        penalty = factors[n_components:]
        sums = np.zeros((len(self.centroids), self.rows.shape[1]))
        ones, totals = np.ones(len(self.centroids)), np.empty(len(self.rows))
        value = 0.0
        for block in order:
            rows = self.rows[self.blocks[block]]
            self.counts -= self.block_counts[block]
            penalty[:] = self.log_penalty(weight)
            share = rows @ factors
            offset = _exponentiate(share, self.sharpness)
            total = np.matmul(share, ones, out=totals[self.blocks[block]])
            block_sums = share.T @ (rows / total[:, None])
            sums += block_sums
            counts = block_sums[:, n_components:].T
            self.block_counts[block] = counts
            self.counts += counts
            value += np.vdot(counts, penalty)
            if offset is not None:
                value -= offset.sum()
        self.centroids = unit_rows(sums[:, :n_components])
        value -= np.log(totals).sum() + np.vdot(self.counts, self._log_ratio(weight))
        return 2.0 + self.options.bandwidth * value / len(self.rows)

    def settle(self):
        """Visit all blocks until the objective settles; return it and the number of visits."""
        options, course = self.options, []
        for _ in range(options.max_iter_cluster):
            order = self.rng.permutation(len(self.blocks))
            course.append(self.visit(order, weight=options.diversity_weight))
            if len(course) > 1:
                before, after = course[-2:]
                if abs(before - after) <= options.tol_cluster * abs(before):
                    break
        return course[-1], len(course)


class _ByBatch:
    """Rows sorted by batch, so that the rows of a batch are a slice."""

    def __init__(self, codes, n_batches):
        self.order = np.argsort(codes, kind="stable")
        self.inverse = np.empty_like(self.order)
        self.inverse[self.order] = np.arange(len(codes))
        ends = np.searchsorted(codes[self.order], np.arange(n_batches + 1))
        self.slices = [slice(*pair) for pair in pairwise(ends)]

    def memberships(self, unit, centroids, log_penalty, bandwidth):
        """Yield batch, rows and shares of the clusters, in chunks of bounded size."""
        sharpness = 2.0 / bandwidth
        factors = sharpness * centroids.T
        size = max(_CHUNK_CELLS // len(centroids), 1)
        for batch, part in enumerate(self.slices):
            for start in range(part.start, part.stop, size):
                rows = slice(start, min(start + size, part.stop))
                share = unit[rows] @ factors
                share += log_penalty[batch]
                _exponentiate(share, sharpness)
                share /= share.sum(axis=1, keepdims=True)
                yield batch, rows, share


def _first_centroids(unit, options, rng):
    """Centroids of k-means, of unit length."""
    seed = int(rng.integers(_MAX_SEED))
    n_init = _SEED_STARTS if len(unit) <= _SEED_TABLE else 1
    n_rows = max(_SEED_ROWS * options.n_clusters, _SEED_TABLE)
    if n_rows < len(unit):
        unit = unit[rng.choice(len(unit), n_rows, replace=False)]
    kmeans = KMeans(options.n_clusters, n_init=n_init, max_iter=_SEED_ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        # Rows of one direction leave clusters without rows, which do no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        centers = kmeans.fit(unit).cluster_centers_
    return unit_rows(centers)


def _ridge_shifts(mass, sums, ridge):
    """Batch coefficients of the weighted ridge regressions of all clusters.

    ``mass`` (n_batches, n_clusters) and ``sums`` (n_batches, n_clusters, n_components) are the
    weights and weighted sums of the rows. With one batch a row the normal equations have a closed
    solution: the free intercept is the mean of the batch means with weights
    ridge * mass / (mass + ridge), and a batch departs from it by a shrunken difference.
    """
    inverse = np.divide(1.0, mass + ridge, out=np.zeros_like(mass), where=mass > 0)
    # A common ridge cancels, and without it this is the limit of a small one.
    pull = inverse if np.ndim(ridge) == 0 else inverse * ridge
    weight = (pull * mass).sum(axis=0)
    weight[weight == 0.0] = 1.0
    intercept = np.einsum("bk,bkd->kd", pull, sums) / weight[:, None]
    return (sums - mass[:, :, None] * intercept) * inverse[:, :, None]


def _learn_round(X, unit, by_batch, clustering):
    """Assign all rows with the settled clusters, regress, and return the round and moved rows."""
    options, centroids = clustering.options, clustering.centroids
    log_penalty = clustering.log_penalty(options.diversity_weight)

    def assigned():
        return by_batch.memberships(unit, centroids, log_penalty, options.bandwidth)

    kept = list(assigned()) if len(X) * len(centroids) <= _KEPT_CELLS else None
    mass = np.zeros(log_penalty.shape)
    sums = np.zeros((len(mass), *centroids.shape))
    for batch, rows, share in kept or assigned():
        mass[batch] += share.sum(axis=0)
        sums[batch] += share.T @ X[rows]
    ridge: Any = options.ridge
    if ridge == "auto":
        ridge = _AUTO_RIDGE * clustering.shares * mass.sum(axis=0)
    shifts = _ridge_shifts(mass, sums, ridge)
    moved = X.copy()
    for batch, rows, share in kept or assigned():
        moved[rows] -= share @ shifts[batch]
    return HarmonyRound(centroids, log_penalty, shifts), moved


def _row_order(X):
    """An order that depends on the values alone, so that the given order plays no part."""
    order = np.argsort(X[:, 0], kind="stable")
    first = X[order, 0]
    return np.lexsort(X.T[::-1]) if (first[1:] == first[:-1]).any() else order


def fit_harmony(
    X: np.ndarray,
    codes: np.ndarray,
    n_batches: int,
    options: HarmonyOptions,
    rng: np.random.Generator,
) -> HarmonyModel:
    """Learn the rounds that move the rows of all batches together.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_components)
        Scores, float64.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row, 0 to ``n_batches - 1``.

    n_batches : int
        Number of batches.

    options : HarmonyOptions
        Settings.

    rng : numpy Generator
        Draws the first centroids and the blocks.

    Returns
    -------
    model : HarmonyModel
        The rounds, ready for ``apply_harmony``.
    """
    order = _row_order(X)
    by_batch = _ByBatch(codes[order], n_batches)
    X, codes = X[order][by_batch.order], codes[order][by_batch.order]
    # What is drawn refers to the order of the values, on which names of batches have no bearing.
    visited = by_batch.inverse[rng.permutation(len(X))]
    clustering = _Clustering(codes, visited, n_batches, options, rng)
    unit = unit_rows(X)
    clustering.load(unit)
    clustering.start(_first_centroids(unit[by_batch.inverse], options, rng))

    rounds: list[HarmonyRound] = []
    objective, n_iter_cluster = [], []
    moved, best, stale = X, np.inf, 0
    while len(rounds) < options.max_iter and stale < _PATIENCE:
        unit = unit_rows(moved)
        clustering.load(unit)
        value, n_visits = clustering.settle()
        step, moved = _learn_round(X, unit, by_batch, clustering)
        improved = not rounds or best - value >= options.tol * abs(best)
        best, stale = (value, 0) if improved else (best, stale + 1)
        rounds.append(step)
        objective.append(float(value))
        n_iter_cluster.append(n_visits)
    converged = stale == _PATIENCE
    return HarmonyModel(rounds, objective, n_iter_cluster, converged, options.bandwidth)


def apply_harmony(model: HarmonyModel, X: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Move rows of known batches along frozen rounds, each row by itself.

    Parameters
    ----------
    model : HarmonyModel
        What ``fit_harmony`` learned.

    X : ndarray of shape (n_samples, n_components)
        Scores, float64.

    codes : ndarray of int of shape (n_samples,)
        Batch of every row; rows with a code below 0 stay as they are.

    Returns
    -------
    moved : ndarray of shape (n_samples, n_components)
        A new array.
    """
    by_batch = _ByBatch(codes, len(model.rounds[0].shifts))
    X = X[by_batch.order]
    moved = X
    for step in model.rounds:
        unit, moved = unit_rows(moved), X.copy()
        for batch, rows, share in by_batch.memberships(
            unit, step.centroids, step.log_penalty, model.bandwidth
        ):
            moved[rows] -= share @ step.shifts[batch]
    return moved[by_batch.inverse]
