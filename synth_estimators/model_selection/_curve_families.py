"""Shapes of learning curves and their least squares, for many curves at once.

Every shape is a - b·φ(n; u) with b ≥ 0, where φ falls with n and u are its parameters in the
coordinates in which the solver walks. For fixed u the best (a, b) within the bounds has a closed
form, so the search runs over u alone (variable projection): a grid, smaller grids around the
best point, and last a few Gauss-Newton steps in all parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "ExponentialShape",
    "Fits",
    "LogarithmicShape",
    "PowerShape",
    "ShiftedPowerShape",
    "fit_shapes",
    "gradients",
    "predict_shapes",
    "solve_shapes",
]

_GRID = 60
_ZOOMS = 6
_STEPS = 25

# A curve that rises by less than this share of its level over all sizes is flat.
_FLAT = 1e-9


class PowerShape:
    """φ = (n/n0)^(-c), where n0 is the smallest size; u = ln c."""

    n_shape = 1
    bounded = True
    rate_bounds = (1e-3, 5.0)

    def __init__(self, sizes):
        self.origin = float(sizes[0])
        self.low, self.high = np.log([self.rate_bounds])[0][:, None]

    def grid(self):
        return np.linspace(self.low, self.high, _GRID)

    def phi(self, n, u):
        return np.exp(-np.exp(u) * np.log(n / self.origin))

    def slopes(self, n, u):
        """Derivative of φ in u, the parameters along the last axis."""
        rate = np.exp(u) * np.log(n / self.origin)
        return (-rate * np.exp(-rate))[..., None]

    def solve(self, ratio, u):
        """Size at which φ has the value ``ratio``."""
        with np.errstate(over="ignore", divide="ignore"):
            return self.origin * np.exp(-np.log(ratio) / np.exp(u[..., 0]))

    def natural(self, a, b, u):
        """Parameters of the published form and their Jacobian in (a, b, u)."""
        c = np.exp(u[0])
        scale = self.origin**c
        jacobian = np.diag([1.0, scale, c])
        jacobian[1, 2] = b * scale * np.log(self.origin) * c
        return np.array([a, b * scale, c]), jacobian


class ExponentialShape:
    """φ = exp(-c (n - n0)); u = ln c."""

    n_shape = 1
    bounded = True

    def __init__(self, sizes):
        self.origin = float(sizes[0])
        span = float(sizes[-1] - sizes[0])
        step = float(np.diff(sizes).min())
        self.low, self.high = np.log([[1e-2 / span], [20.0 / step]])

    def grid(self):
        return np.linspace(self.low, self.high, _GRID)

    def phi(self, n, u):
        return np.exp(-np.exp(u) * (n - self.origin))

    def slopes(self, n, u):
        """Derivative of φ in u, the parameters along the last axis."""
        rate = np.exp(u) * (n - self.origin)
        return (-rate * np.exp(-rate))[..., None]

    def solve(self, ratio, u):
        """Size at which φ has the value ``ratio``."""
        with np.errstate(divide="ignore"):
            return self.origin - np.log(ratio) / np.exp(u[..., 0])

    def natural(self, a, b, u):
        """Parameters of the published form and their Jacobian in (a, b, u)."""
        c = np.exp(u[0])
        scale = np.exp(c * self.origin)
        jacobian = np.diag([1.0, scale, c])
        jacobian[1, 2] = b * scale * self.origin * c
        return np.array([a, b * scale, c]), jacobian


class LogarithmicShape:
    """φ = -ln(n/n0): no parameter of its own, no asymptote."""

    n_shape = 0
    bounded = False

    def __init__(self, sizes):
        self.origin = float(sizes[0])
        self.low = self.high = np.zeros(0)

    def grid(self):
        return np.zeros((1, 0))

    def phi(self, n, u):
        return -np.log(n / self.origin) * np.ones((*np.shape(u)[:-1], 1))

    def slopes(self, n, u):
        """Derivative of φ in u, the parameters along the last axis."""
        return np.zeros((*np.broadcast_shapes(np.shape(n), (*np.shape(u)[:-1], 1)), 0))

    def solve(self, ratio, u):
        """Size at which φ has the value ``ratio``."""
        with np.errstate(over="ignore"):
            return self.origin * np.exp(-ratio)

    def natural(self, a, b, u):
        """Parameters of the published form and their Jacobian in (a, b)."""
        log_origin = np.log(self.origin)
        return np.array([a - b * log_origin, b]), np.array([[1.0, -log_origin], [0.0, 1.0]])


class ShiftedPowerShape:
    """φ = ((n + d)/(n0 + d))^(-c); u = (ln c, ln(n0 + d)) with d ≥ 0."""

    n_shape = 2
    bounded = True

    def __init__(self, sizes):
        self.origin = float(sizes[0])
        reach = self.origin + 10.0 * float(sizes[-1])
        self.low = np.log([PowerShape.rate_bounds[0], self.origin])
        self.high = np.log([PowerShape.rate_bounds[1], reach])

    def grid(self):
        rates = np.linspace(self.low[0], self.high[0], 40)
        starts = np.linspace(self.low[1], self.high[1], 15)
        return np.stack(np.meshgrid(rates, starts, indexing="ij"), axis=-1).reshape(-1, 2)

    def _logs(self, n, u):
        """Logarithm of (n + d)/(n0 + d)."""
        return np.log1p((n - self.origin) * np.exp(-u[..., 1:]))

    def phi(self, n, u):
        return np.exp(-np.exp(u[..., :1]) * self._logs(n, u))

    def slopes(self, n, u):
        """Derivative of φ in u, the parameters along the last axis."""
        c = np.exp(u[..., :1])
        logs = self._logs(n, u)
        phi = np.exp(-c * logs)
        return np.stack([-c * logs * phi, c * phi * -np.expm1(-logs)], axis=-1)

    def solve(self, ratio, u):
        """Size at which φ has the value ``ratio``."""
        start = np.exp(u[..., 1])
        with np.errstate(over="ignore", divide="ignore"):
            return self.origin + start * np.expm1(-np.log(ratio) / np.exp(u[..., 0]))

    def natural(self, a, b, u):
        """Parameters of the published form and their Jacobian in (a, b, u)."""
        c, start = np.exp(u)
        scale = start**c
        jacobian = np.diag([1.0, scale, c, start])
        jacobian[1, 2] = b * scale * np.log(start) * c
        jacobian[1, 3] = b * scale * c
        return np.array([a, b * scale, c, start - self.origin]), jacobian


class Fits(NamedTuple):
    """Least-squares curves: one row for every row of scores."""

    a: np.ndarray
    b: np.ndarray
    u: np.ndarray
    flat: np.ndarray


def _level_and_gain(phi, scores, weight, lower, upper):
    """Best a in [lower, upper] and b ≥ 0 for given φ, and the weighted sum of squares."""
    total = weight.sum(axis=-1)
    mean_phi = (weight * phi).sum(axis=-1) / total
    mean = (weight * scores).sum(axis=-1) / total
    phi = phi - mean_phi[..., None]
    scores = scores - mean[..., None]
    s_pp = (weight * phi * phi).sum(axis=-1)
    s_py = (weight * phi * scores).sum(axis=-1)
    s_yy = (weight * scores * scores).sum(axis=-1)

    def loss(a, b):
        return s_yy + total * (mean - a + b * mean_phi) ** 2 + b * (2.0 * s_py + b * s_pp)

    def gain_at(a):
        """Best b ≥ 0 for a fixed level."""
        square = s_pp + total * mean_phi**2
        cross = total * mean_phi * (a - mean) - s_py
        return np.maximum(cross / np.where(square > 0, square, 1.0), 0.0)

    b = -s_py / np.where(s_pp > 0, s_pp, 1.0)
    a = mean + b * mean_phi
    inside = (b >= 0) & (a >= lower) & (a <= upper)
    best_loss = np.where(inside, loss(a, b), np.inf)
    # Outside the bounds the optimum of a convex function lies on one of the edges.
    edges = [(np.clip(mean, lower, upper), np.zeros_like(mean))]
    edges += [
        (np.full_like(mean, bound), gain_at(bound))
        for bound in (lower, upper)
        if np.isfinite(bound)
    ]
    for edge_a, edge_b in edges:
        edge_loss = np.where(inside, np.inf, loss(edge_a, edge_b))
        better = edge_loss < best_loss
        a, b = np.where(better, edge_a, a), np.where(better, edge_b, b)
        best_loss = np.where(better, edge_loss, best_loss)
    return a, b, best_loss


def _search(shape, sizes, scores, weight, lower, upper):
    """Best shape parameters on a grid, then on ever smaller grids around the best point."""

    def best_of(candidates):
        phi = shape.phi(sizes, candidates)
        a, b, loss = _level_and_gain(phi, scores[:, None], weight[:, None], lower, upper)
        place = loss.argmin(axis=1)
        rows = np.arange(len(scores))
        u = np.broadcast_to(candidates, (len(scores), *candidates.shape[-2:]))[rows, place]
        return a[rows, place], b[rows, place], u

    first = shape.grid()
    a, b, u = best_of(first[None])
    if shape.n_shape == 0:
        return a, b, u
    if shape.n_shape == 1:
        offsets = np.linspace(-1.0, 1.0, 17)[:, None]
        reach, shrink = (shape.high - shape.low) / (len(first) - 1), 0.15
    else:
        side = np.linspace(-1.0, 1.0, 7)
        offsets = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
        reach, shrink = (shape.high - shape.low) / np.array([39.0, 14.0]), 0.5
    for _ in range(_ZOOMS):
        a, b, u = best_of(np.clip(u[:, None] + offsets * reach, shape.low, shape.high))
        reach = reach * shrink
    return a, b, u


def _polish(shape, sizes, scores, weight, lower, upper, a, b, u):
    """Damped Gauss-Newton steps in all parameters; those at a bound stay there."""
    theta = np.column_stack([a, b, u])
    low = np.concatenate([[lower, 0.0], shape.low])
    high = np.concatenate([[upper, np.inf], shape.high])
    damping = np.full(len(theta), 1e-6)

    def residuals(theta):
        return scores - theta[:, :1] + theta[:, 1:2] * shape.phi(sizes, theta[:, 2:])

    error = residuals(theta)
    loss = (weight * error**2).sum(axis=1)
    for _ in range(_STEPS):
        jacobian = gradients(shape, sizes, theta[:, 1], theta[:, 2:])  # (curves, sizes, params)
        slope = np.einsum("rk,rk,rkp->rp", weight, error, jacobian)
        pinned = ((theta <= low) & (slope < 0)) | ((theta >= high) & (slope > 0))
        jacobian = np.where(pinned[:, None], 0.0, jacobian)
        normal = np.einsum("rk,rkp,rkq->rpq", weight, jacobian, jacobian)
        scale = np.sqrt(np.einsum("rpp->rp", normal))
        scale[scale == 0] = 1.0
        normal /= scale[:, :, None] * scale[:, None, :]
        diagonal = np.arange(theta.shape[1])
        normal[:, diagonal, diagonal] = 1.0 + damping[:, None]
        step = np.linalg.solve(normal, (np.where(pinned, 0.0, slope) / scale)[..., None])[..., 0]
        moved = np.clip(theta + step / scale, low, high)
        new_error = residuals(moved)
        new_loss = (weight * new_error**2).sum(axis=1)
        better = new_loss < loss
        theta = np.where(better[:, None], moved, theta)
        error = np.where(better[:, None], new_error, error)
        gain = np.where(better, loss - new_loss, 0.0)
        done = gain <= 1e-15 * loss
        loss = np.where(better, new_loss, loss)
        damping = np.where(better, np.maximum(damping * 0.1, 1e-15), damping * 30.0)
        if (done & (better | (damping > 1e3))).all():
            break
    return theta[:, 0], theta[:, 1], theta[:, 2:]


def predict_shapes(shape, fits, n):
    """Value of every curve at every size, of shape (curves, sizes)."""
    value = fits.a[:, None] - fits.b[:, None] * shape.phi(n, fits.u)
    return np.where(fits.flat[:, None], fits.a[:, None], value)


def solve_shapes(shape, fits, target):
    """Size at which every curve reaches ``target``: inf where none does, 0 for a flat one above."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (fits.a - target) / fits.b
        size = shape.solve(np.where(ratio > 0, ratio, 1.0) if shape.bounded else ratio, fits.u)
    if shape.bounded:
        size = np.where(fits.a > target, np.maximum(size, 0.0), np.inf)
    return np.where(fits.flat, np.where(fits.a >= target, 0.0, np.inf), size)


def gradients(shape, sizes, b, u):
    """Derivatives of a - b·φ in (a, b, u), of shape (curves, sizes, parameters)."""
    phi = shape.phi(sizes, u)
    slopes = shape.slopes(sizes, u)
    ones = np.ones((*phi.shape, 1))
    return np.concatenate([ones, -phi[..., None], -b[:, None, None] * slopes], axis=-1)


def fit_shapes(shape, sizes, scores, weight, lower, upper):
    """Fit one curve to every row of scores by weighted least squares.

    ``scores`` and ``weight`` have the shape (curves, sizes); a weight of 0 leaves a point out.
    """
    if not shape.bounded:
        lower, upper = -np.inf, np.inf
    scores = np.asarray(scores, dtype=np.float64)
    weight = np.broadcast_to(np.asarray(weight, dtype=np.float64), scores.shape)
    weight = weight / weight.max(axis=1, keepdims=True)
    a, b, u = _search(shape, sizes, scores, weight, lower, upper)
    if shape.n_shape:
        a, b, u = _polish(shape, sizes, scores, weight, lower, upper, a, b, u)
    rise = b * np.ptp(shape.phi(sizes, u), axis=1)
    flat = rise <= _FLAT * np.abs(scores).max(axis=1)
    total = weight.sum(axis=1)
    level = np.clip((weight * scores).sum(axis=1) / total, lower, upper)
    return Fits(np.where(flat, level, a), np.where(flat, 0.0, b), u, flat)
