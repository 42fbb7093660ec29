"""L2 logistic regression over a grid of strengths, all strengths and folds at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg
from scipy.special import expit

__all__ = ["N_INNER_FOLDS", "STRENGTHS", "LogisticModel", "fit_logistic_cv"]

STRENGTHS = np.logspace(-4, 4, 10)
N_INNER_FOLDS = 5

# The loss is at least as convex as half the squared coefficients, so a gradient of this share of
# the coefficients bounds their relative error: while strengths are compared, and at the end.
_TOLERANCE = 1e-3
_FINAL_TOLERANCE = 1e-6
_MAX_NEWTON = 100
_MAX_CONJUGATE = 60

# Directions with less than this share of the largest variance carry rounding errors alone.
_RANK_TOLERANCE = 1e-12


class LogisticModel(NamedTuple):
    """One-against-rest models: scores are X @ coef.T + intercept."""

    coef: np.ndarray
    intercept: np.ndarray
    strength: np.ndarray


def _rotate(X, gram):
    """Principal axes of the rows with a constant column, at most as many as rows.

    An L2 penalty does not see rotations, so the models can be fitted in these coordinates. Their
    second moments are diagonal, which makes the diagonal a good preconditioner.
    """
    n_rows, n_columns = X.shape
    if n_columns + 1 <= n_rows:
        full = np.column_stack([X, np.ones(n_rows)])
        moments, axes = linalg.eigh(full.T @ full, check_finite=False)
        kept = moments > _RANK_TOLERANCE * moments[-1]
        axes = axes[:, kept]
        return full @ axes, moments[kept], axes[:-1], axes[-1]
    moments, axes = linalg.eigh(gram + 1.0, check_finite=False)
    kept = moments > _RANK_TOLERANCE * moments[-1]
    scale = np.sqrt(moments[kept])
    rotated = axes[:, kept] * scale
    back = axes[:, kept] / scale
    return rotated, moments[kept], X.T @ back, back.sum(axis=0)


class _Problems:
    """Many logistic regressions on the same rows, one a column."""

    def __init__(self, rows, moments, sign, used, strength):
        self.rows = rows
        self.moments = moments
        self.sign = sign  # (rows, problems)
        self.cost = used * strength  # (rows, problems)
        self.strength = strength

    def take(self, columns):
        part = object.__new__(_Problems)
        part.rows, part.moments = self.rows, self.moments
        part.sign, part.cost = self.sign[:, columns], self.cost[:, columns]
        part.strength = self.strength[columns]
        return part

    def loss(self, coef, margin):
        data = self.cost * np.logaddexp(0.0, -margin)
        return 0.5 * (coef * coef).sum(axis=0) + data.sum(axis=0)

    def newton_step(self, gradient, curvature, limit):
        """Solve (I + Z'DZ) step = -gradient by preconditioned conjugate gradients."""
        n_rows = len(self.rows)
        level = 1.0 + self.moments[:, None] * (curvature.sum(axis=0) / n_rows)
        step = np.zeros_like(gradient)
        residual = -gradient
        scaled = residual / level
        direction = scaled.copy()
        energy = (residual * scaled).sum(axis=0)
        for _ in range(_MAX_CONJUGATE):
            image = direction + self.rows.T @ (curvature * (self.rows @ direction))
            bend = (direction * image).sum(axis=0)
            length = energy / np.where(bend > 0, bend, 1.0)
            step += length * direction
            residual -= length * image
            if (np.sqrt((residual * residual).sum(axis=0)) <= limit).all():
                break
            scaled = residual / level
            previous, energy = energy, (residual * scaled).sum(axis=0)
            direction = scaled + energy / np.where(previous > 0, previous, 1.0) * direction
        return step

    def solve(self, tolerance):
        """Minimise all of them by truncated Newton steps with backtracking."""
        n_problems = self.sign.shape[1]
        coef = np.zeros((self.rows.shape[1], n_problems))
        left = np.arange(n_problems)
        part, values = self, np.zeros_like(coef)
        margin = np.zeros_like(self.sign)
        loss = part.loss(values, margin)
        for _ in range(_MAX_NEWTON):
            chance = expit(-margin)
            gradient = values - part.rows.T @ (part.cost * part.sign * chance)
            norm = np.sqrt((gradient * gradient).sum(axis=0))
            done = norm <= tolerance * np.sqrt((values * values).sum(axis=0))
            if done.any():
                coef[:, left[done]] = values[:, done]
                keep = ~done
                left, part, values = left[keep], part.take(keep), values[:, keep]
                margin, loss, chance = margin[:, keep], loss[keep], chance[:, keep]
                gradient, norm = gradient[:, keep], norm[keep]
                if len(left) == 0:
                    return coef
            curvature = part.cost * chance * (1.0 - chance)
            step = part.newton_step(gradient, curvature, 0.3 * norm)
            values, margin, loss = part.search(values, margin, loss, gradient, step)
        coef[:, left] = values
        return coef

    def search(self, values, margin, loss, gradient, step):
        """Halve the steps of the problems whose loss does not fall enough."""
        change = self.sign * (self.rows @ step)
        slope = (gradient * step).sum(axis=0)
        length = np.ones(len(loss))
        for _ in range(30):
            moved, moved_margin = values + length * step, margin + length * change
            moved_loss = self.loss(moved, moved_margin)
            poor = moved_loss > loss + 1e-4 * length * slope + 1e-12 * np.abs(loss)
            if not poor.any():
                break
            length = np.where(poor, 0.5 * length, length)
        return moved, moved_margin, moved_loss


def fit_logistic_cv(X, codes, n_classes, inner_folds, gram):
    """Choose the strength of every one-against-rest model by accuracy and fit it.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Standardised rows. The constant is penalised like the other columns.

    codes : ndarray of int of shape (n_rows,)
        Classes 0 to n_classes - 1.

    n_classes : int
        Number of classes; two classes need one model.

    inner_folds : list of ndarray of int
        Test rows of the inner folds.

    gram : callable
        ``gram() -> X @ X.T``, asked for when there are fewer rows than columns.

    Returns
    -------
    model : LogisticModel
    """
    n_rows, n_columns = X.shape
    rows, moments, back, constant = _rotate(X, gram() if n_columns + 1 > n_rows else None)
    targets = [1] if n_classes == 2 else range(n_classes)
    signs = np.column_stack([np.where(codes == c, 1.0, -1.0) for c in targets])
    n_targets, n_folds, n_strengths = len(targets), len(inner_folds), len(STRENGTHS)

    # One problem for every (target, fold, strength), the last index fastest.
    used = np.ones((n_rows, n_folds))
    for k, test in enumerate(inner_folds):
        used[test, k] = 0.0
    sign = np.repeat(signs, n_folds * n_strengths, axis=1)
    used = np.tile(np.repeat(used, n_strengths, axis=1), n_targets)
    strength = np.tile(STRENGTHS, n_targets * n_folds)
    coef = _Problems(rows, moments, sign, used, strength).solve(_TOLERANCE)
    right = (rows @ coef > 0) == (sign > 0)
    right = right.reshape(n_rows, n_targets, n_folds, n_strengths)
    accuracy = np.stack([right[test, :, k].mean(axis=0) for k, test in enumerate(inner_folds)])
    chosen = STRENGTHS[accuracy.mean(axis=0).argmax(axis=1)]

    final = _Problems(rows, moments, signs, np.ones_like(signs), chosen).solve(_FINAL_TOLERANCE)
    return LogisticModel((back @ final).T, constant @ final, chosen)
