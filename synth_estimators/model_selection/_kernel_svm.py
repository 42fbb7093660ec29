"""Support vector machines on a kernel that is computed once, with Platt's probabilities."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.svm import SVC

__all__ = ["SupportVectors", "couple_pairs", "fit_sigmoid", "fit_svm"]

_PLATT_FOLDS = 5
_LEAST_CHANCE = 1e-7


class SupportVectors(NamedTuple):
    """A fitted machine and the sigmoid (slope, offset) of every pair of classes."""

    machine: SVC
    sigmoids: np.ndarray
    n_classes: int

    def decide(self, rows):
        """Decision value of every pair, positive for its first class.

        ``rows`` are kernels with the training rows, or plain rows if they were fitted on.
        """
        values = self.machine.decision_function(rows)
        # With two classes scikit-learn turns the sign round.
        return -values[:, None] if self.n_classes == 2 else values

    def predict(self, decisions):
        """Class that wins most pairs, the first on ties."""
        if self.n_classes == 2:
            return (decisions[:, 0] < 0).astype(np.intp)
        votes = np.zeros((len(decisions), self.n_classes))
        for k, (first, second) in enumerate(combinations(range(self.n_classes), 2)):
            wins = decisions[:, k] > 0
            votes[:, first] += wins
            votes[:, second] += ~wins
        return votes.argmax(axis=1)

    def probabilities(self, decisions):
        """Probability of every class, coupled from the pairs."""
        slope, offset = self.sigmoids.T
        chance = expit(-(decisions * slope + offset))
        chance = np.clip(chance, _LEAST_CHANCE, 1.0 - _LEAST_CHANCE)
        if self.n_classes == 2:
            return np.column_stack([chance[:, 0], 1.0 - chance[:, 0]])
        return couple_pairs(chance, self.n_classes)


def fit_svm(rows, codes, n_classes, rng, *, gamma=None):
    """Fit a machine with C=1 and the sigmoids of its decisions, by five-fold cross-validation.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_rows) or (n_rows, n_columns)
        Kernel of the training rows, or the rows themselves if ``gamma`` is given.

    codes : ndarray of int of shape (n_rows,)
        Classes 0 to n_classes - 1.

    n_classes : int
        Number of classes.

    rng : numpy Generator
        Shuffles the rows of the inner folds.

    gamma : float, default=None
        Scale of the RBF kernel of rows that are too many for a matrix of kernels.
    """
    options = {"kernel": "precomputed"} if gamma is None else {"kernel": "rbf", "gamma": gamma}
    machine = SVC(**options, decision_function_shape="ovo").fit(rows, codes)
    sigmoids = []
    for first, second in combinations(range(n_classes), 2):
        pair = np.flatnonzero((codes == first) | (codes == second))
        sign = np.where(codes[pair] == first, 1.0, -1.0)
        decisions = _left_out_decisions(rows, pair, sign, options, rng)
        sigmoids.append(fit_sigmoid(decisions, sign > 0))
    return SupportVectors(machine, np.array(sigmoids), n_classes)


def _left_out_decisions(rows, pair, sign, options, rng):
    """Decision of every row of a pair of classes by a machine fitted without its fold."""
    n_rows = len(pair)
    order = rng.permutation(n_rows)
    edges = np.arange(_PLATT_FOLDS + 1) * n_rows // _PLATT_FOLDS
    decisions = np.empty(n_rows)
    precomputed = options["kernel"] == "precomputed"
    for start, stop in pairwise(edges):
        out = order[start:stop]
        rest = np.concatenate([order[:start], order[stop:]])
        if len(out) == 0:
            continue
        if len(np.unique(sign[rest])) < 2:
            decisions[out] = sign[rest[0]] if len(rest) else 0.0
            continue
        columns = pair[rest] if precomputed else np.arange(rows.shape[1])
        machine = SVC(**options).fit(rows[np.ix_(pair[rest], columns)], sign[rest])
        decisions[out] = machine.decision_function(rows[np.ix_(pair[out], columns)])
    return decisions


def fit_sigmoid(decisions, positive):
    """Slope and offset of P(positive) = 1 / (1 + exp(slope * decision + offset)).

    Maximum likelihood with Platt's smoothed targets, by Newton steps with backtracking.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    target = np.where(positive, (n_positive + 1.0) / (n_positive + 2.0), 1.0 / (n_negative + 2.0))
    design = np.column_stack([decisions, np.ones_like(decisions)])
    theta = np.array([0.0, np.log((n_negative + 1.0) / (n_positive + 1.0))])

    def loss(theta):
        score = design @ theta
        return (target * score + np.logaddexp(0.0, -score)).sum()

    value = loss(theta)
    for _ in range(100):
        chance = expit(-(design @ theta))
        gradient = design.T @ (target - chance)
        if np.abs(gradient).max() < 1e-5:
            break
        curvature = chance * (1.0 - chance)
        hessian = (design * curvature[:, None]).T @ design + 1e-12 * np.eye(2)
        step = -np.linalg.solve(hessian, gradient)
        length, slope = 1.0, gradient @ step
        while length >= 1e-10:
            moved = theta + length * step
            new_value = loss(moved)
            if new_value < value + 1e-4 * length * slope:
                break
            length *= 0.5
        else:
            break
        theta, value = moved, new_value
    return theta


def couple_pairs(chance, n_classes):
    """Class probabilities that agree best with the chances of all pairs.

    Minimises Σ over pairs of (r_ji p_i - r_ij p_j)², where r_ij is the chance of class i against
    class j, subject to Σ p = 1: a linear system for every row.
    """
    pairs = np.zeros((len(chance), n_classes, n_classes))
    for k, (first, second) in enumerate(combinations(range(n_classes), 2)):
        pairs[:, first, second] = chance[:, k]
        pairs[:, second, first] = 1.0 - chance[:, k]
    system = -pairs * pairs.transpose(0, 2, 1)
    diagonal = np.arange(n_classes)
    system[:, diagonal, diagonal] = (pairs**2).sum(axis=1)
    bordered = np.zeros((len(chance), n_classes + 1, n_classes + 1))
    bordered[:, :-1, :-1] = system
    bordered[:, :-1, -1] = bordered[:, -1, :-1] = 1.0
    right = np.zeros((len(chance), n_classes + 1, 1))
    right[:, -1] = 1.0
    shares = np.maximum(np.linalg.solve(bordered, right)[:, :-1, 0], 0.0)
    return shares / shares.sum(axis=1, keepdims=True)
