"""Variational Gaussian mixtures of many columns at once, each on a few weighted points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, gammaln, psi

__all__ = ["Mixture", "Support", "fit_mixtures"]

# Prior: weight concentration of the Dirichlet process; precision of the mean and degrees of
# freedom are 1, the scale is the variance of the column, which is 1 after standardising.
_CONCENTRATION = 1e-3
_REGULARISATION = 1e-6
_MAX_ITER = 100
_TOL = 1e-4
_LLOYD_STEPS = 10
_N_POINTS = 512

# Most numbers in one array (columns x points x components).
_BLOCK_ELEMENTS = 2**23


@dataclass
class Support:
    """A column of numbers as weighted points.

    Attributes
    ----------
    points, counts, spread : ndarray of shape (n_points,)
        Distinct values, or the means of bins of equally many rows; their rows; and the variance of
        the rows of a bin.
    """

    points: np.ndarray
    counts: np.ndarray
    spread: np.ndarray

    @classmethod
    def from_counts(cls, values: np.ndarray, counts: np.ndarray) -> Support:
        """Reduce sorted distinct values to at most 512 points."""
        counts = counts.astype(np.float64)
        if len(values) <= _N_POINTS:
            return cls(values, counts, np.zeros(len(values)))
        middle = np.cumsum(counts) - 0.5 * counts
        bins = (middle * (_N_POINTS / counts.sum())).astype(np.intp)
        start = np.flatnonzero(np.diff(bins, prepend=-1))
        mass = np.add.reduceat(counts, start)
        means = np.add.reduceat(counts * values, start) / mass
        bin_idx = np.repeat(np.arange(len(start)), np.diff(start, append=len(values)))
        deviation = values - means[bin_idx]
        return cls(means, mass, np.add.reduceat(counts * deviation**2, start) / mass)


@dataclass
class Mixture:
    """Gaussian components of one column.

    Attributes
    ----------
    weights, means, deviations : ndarray of shape (n_components,)
        Shares, means and standard deviations in data units.

    log_scale : ndarray of shape (n_components,)
        Expected logarithm of the share and of the density at the mean, in standard units; with
        minus half the squared standard score it gives the responsibilities.
    """

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    log_scale: np.ndarray

    def take(self, components: np.ndarray) -> Mixture:
        """Return some of the components; the shares are left as they are."""
        return Mixture(
            self.weights[components],
            self.means[components],
            self.deviations[components],
            self.log_scale[components],
        )

    def covering(
        self, values: np.ndarray, counts: np.ndarray, *, threshold: float, reach: float
    ) -> Mixture:
        """Return the components that are kept: all values are within reach of one of them.

        Parameters
        ----------
        values, counts : ndarray of shape (n_values,)
            Distinct values of the column, in ascending order, and their rows.

        threshold : float
            Components of a larger share are kept.

        reach : float
            Largest standard score of a value. Components of a smaller share are kept where they
            alone reach some values; values that none reaches, at the ends of the column, get a
            component of their own.
        """
        distance = np.abs(values - self.means[:, None])
        reached = distance <= reach * self.deviations[:, None]
        kept = self.weights > threshold
        kept[self.weights.argmax()] = True
        while not (covered := reached[kept].any(axis=0)).all():
            gained = (reached & ~covered & ~kept[:, None]) @ counts
            if not gained.any():
                break
            kept[gained.argmax()] = True
        mixture = self.take(np.flatnonzero(kept))
        n_rows = counts.sum()
        low, high = mixture.means.min(), mixture.means.max()
        for part in (values < low, values > high, (values >= low) & (values <= high)):
            lonely = part & ~covered
            if lonely.any():
                mixture = _add_range(mixture, values[lonely], counts[lonely].sum() / n_rows, reach)
        return mixture


def fit_mixtures(
    supports: list[Support], *, n_components: int, rng: np.random.Generator
) -> list[Mixture]:
    r"""Fit one mixture with a Dirichlet process prior of the weights to each column.

    The updates of a variational Gaussian mixture run over all columns together, from two starts
    (quantiles, and k-means++ centres) of which the one with the larger bound is kept. A column
    leaves the computation when its bound has converged.

    Parameters
    ----------
    supports : list of Support
        At least two distinct points each.

    n_components : int
        Most components of a mixture.

    rng : numpy Generator
        Draws the second start.

    Returns
    -------
    mixtures : list of Mixture
        All components, also those of a negligible share.

    Notes
    -----
    With :math:`r_{ik}` the responsibilities of points of weight :math:`c_i`, value :math:`x_i` and
    spread :math:`v_i`, :math:`N_k = \sum_i c_i r_{ik}`, the updates of the normal-gamma and stick
    factors are those of [1]_ and [2]_; a point counts with its mean square
    :math:`(x_i - m_k)^2 + v_i`, as the rows of its bin would with one common responsibility.

    References
    ----------
    .. [1] Bishop (2006). "Pattern Recognition and Machine Learning", section 10.2.
    .. [2] :doi:`Blei and Jordan (2006). "Variational inference for Dirichlet process mixtures".
       Bayesian Analysis 1(1). <10.1214/06-BA104>`
    """
    mixtures = []
    step = max(1, _BLOCK_ELEMENTS // (2 * _N_POINTS * n_components))
    for begin in range(0, len(supports), step):
        mixtures += _fit_block(supports[begin : begin + step], n_components, rng)
    return mixtures


def _fit_block(supports, n_components, rng):
    widest = max(len(support.points) for support in supports)
    points, counts, spread = np.zeros((3, len(supports), widest))
    for row, support in enumerate(supports):
        n_points = len(support.points)
        points[row, :n_points] = support.points
        points[row, n_points:] = support.points[-1]
        counts[row, :n_points] = support.counts
        spread[row, :n_points] = support.spread
    share = counts / counts.sum(axis=1, keepdims=True)
    centre = (share * points).sum(axis=1, keepdims=True)
    scale = np.sqrt((share * ((points - centre) ** 2 + spread)).sum(axis=1, keepdims=True))
    points, spread = (points - centre) / scale, spread / scale**2

    starts = [
        _quantile_centres(points, share, n_components),
        _scattered_centres(points, share, n_components, rng),
    ]
    states, bounds = [], []
    centres = np.concatenate([_lloyd(points, share, start) for start in starts])
    parts = [np.concatenate([part, part]) for part in (points, counts, spread)]
    states, bounds = _variational(*parts, centres)
    n_columns = len(supports)
    best = np.arange(n_columns) + n_columns * (bounds[n_columns:] > bounds[:n_columns])
    return [
        _mixture(states[row], centre[column, 0], scale[column, 0])
        for column, row in enumerate(best)
    ]


def _quantile_centres(points, share, n_components):
    below = np.cumsum(share, axis=1)
    wanted = (np.arange(n_components) + 0.5) / n_components
    place = (below[:, :, None] < wanted).sum(axis=1)
    return np.take_along_axis(points, np.minimum(place, points.shape[1] - 1), axis=1)


def _scattered_centres(points, share, n_components, rng):
    """Centres by k-means++: each new one is drawn by its squared distance to those before."""
    rows = np.arange(len(points))
    chosen = np.empty((len(points), n_components))
    weight = share
    nearest = np.full(points.shape, np.inf)
    for component in range(n_components):
        below = np.cumsum(weight, axis=1)
        aim = rng.random(len(points)) * below[:, -1]
        place = np.minimum((below < aim[:, None]).sum(axis=1), points.shape[1] - 1)
        chosen[:, component] = points[rows, place]
        nearest = np.minimum(nearest, (points - chosen[:, component, None]) ** 2)
        weight = share * nearest
    return np.sort(chosen, axis=1)


def _lloyd(points, share, centres):
    """Move sorted centres to the means of the points next to them."""
    padded = np.zeros((len(points), points.shape[1] + 1))
    mass, moment = padded.copy(), padded
    np.cumsum(share, axis=1, out=mass[:, 1:])
    np.cumsum(share * points, axis=1, out=moment[:, 1:])
    for _ in range(_LLOYD_STEPS):
        cuts = _cuts(points, centres)
        inside = np.diff(np.take_along_axis(mass, cuts, axis=1), axis=1)
        total = np.diff(np.take_along_axis(moment, cuts, axis=1), axis=1)
        occupied = inside > 1e-12
        moved = np.where(occupied, total / np.where(occupied, inside, 1.0), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _cuts(points, centres):
    """First point of each cell of sorted centres, and the number of points at the end."""
    middle = 0.5 * (centres[:, 1:] + centres[:, :-1])
    cuts = np.zeros((len(points), centres.shape[1] + 1), dtype=np.intp)
    for row in range(len(points)):
        cuts[row, 1:-1] = points[row].searchsorted(middle[row])
    cuts[:, -1] = points.shape[1]
    return cuts


def _variational(points, counts, spread, centres):
    """Run the updates from hard assignments; return the state and the bound of every row."""
    n_rows, n_points = points.shape
    n_components = centres.shape[1]
    owner = np.zeros((n_rows, n_points), dtype=np.intp)
    cuts = _cuts(points, centres)
    for component in range(1, n_components):
        owner += np.arange(n_points) >= cuts[:, component, None]
    resp = (owner[:, :, None] == np.arange(n_components)).astype(np.float64)
    # The stick-breaking prior favours early components: the large ones come first.
    size = np.einsum("ps,psk->pk", counts, resp)
    order = np.argsort(-size, axis=1, kind="stable")
    resp = np.take_along_axis(resp, order[:, None, :], axis=2)

    square = points**2 + spread
    basis = np.stack([np.ones_like(points), points, square], axis=2)
    weighted = basis * counts[:, :, None]
    n_rows_of = counts.sum(axis=1)
    states = np.empty((n_rows, 6, n_components))
    bounds = np.full(n_rows, -np.inf)
    active = np.arange(n_rows)
    for _ in range(_MAX_ITER):
        state = _maximise(resp.transpose(0, 2, 1) @ weighted)
        log_resp = basis @ _coefficients(state)
        top = log_resp.max(axis=2, keepdims=True)
        resp = np.exp(log_resp - top)
        total = resp.sum(axis=2, keepdims=True)
        resp /= total
        evidence = ((np.log(total) + top)[:, :, 0] * weighted[:, :, 0]).sum(axis=1)
        bound = evidence - _divergence(state)
        states[active] = state
        gain = np.abs(bound - bounds[active]) / n_rows_of[active]
        bounds[active] = bound
        going = gain > _TOL
        if not going.any():
            break
        if not going.all():
            active, resp, basis, weighted = (
                part[going] for part in (active, resp, basis, weighted)
            )
    return states, bounds


def _maximise(moments):
    """Parameters of the factors from sums of 1, x and x**2 of each component."""
    size = moments[:, :, 0] + 1e-12
    mean = moments[:, :, 1] / size
    variance = np.maximum(moments[:, :, 2] / size - mean**2, 0.0) + _REGULARISATION
    precision, freedom = 1.0 + size, 1.0 + size
    location = size * mean / precision
    scale = (1.0 + size * variance + size / precision * mean**2) / freedom
    after = np.cumsum(size[:, ::-1], axis=1)[:, ::-1] - size
    return np.stack([precision, freedom, location, scale, 1.0 + size, _CONCENTRATION + after], 1)


def _log_weights(a, b):
    total = psi(a + b)
    missed = psi(b) - total
    return psi(a) - total + np.cumsum(missed, axis=1) - missed


def _log_scale(state):
    """Expected logarithm of weight and density at the mean."""
    precision, freedom, _, scale, a, b = np.moveaxis(state, 1, 0)
    spread = np.log(2.0) + psi(0.5 * freedom) - np.log(freedom) - np.log(scale)
    return _log_weights(a, b) + 0.5 * (spread - np.log(2.0 * np.pi) - 1.0 / precision)


def _coefficients(state):
    """Of 1, x and x**2 in the logarithm of the responsibilities."""
    location, scale = state[:, 2], state[:, 3]
    constant = _log_scale(state) - 0.5 * location**2 / scale
    return np.stack([constant, location / scale, -0.5 / scale], axis=1)


def _divergence(state):
    """Kullback-Leibler divergence of the factors from their priors, up to a constant."""
    precision, freedom, location, scale, a, b = np.moveaxis(state, 1, 0)
    total = psi(a + b)
    sticks = (
        betaln(1.0, _CONCENTRATION)
        - betaln(a, b)
        + (a - 1.0) * (psi(a) - total)
        + (b - _CONCENTRATION) * (psi(b) - total)
    )
    # Gamma(freedom / 2, freedom * scale / 2) of the precision against Gamma(1/2, 1/2).
    shape, rate = 0.5 * freedom, 0.5 * freedom * scale
    gamma = (
        (shape - 0.5) * psi(shape)
        - gammaln(shape)
        + 0.5 * np.log(2.0 * rate)
        + shape * (0.5 / rate - 1.0)
    )
    normal = 0.5 * (np.log(precision) + 1.0 / precision + location**2 / scale - 1.0)
    return (sticks + gamma + normal).sum(axis=1)


def _mixture(state, centre, scale):
    _, _, location, variance, a, b = state
    stick = a / (a + b)
    weights = stick * np.concatenate([[1.0], np.cumprod(1.0 - stick)[:-1]])
    log_scale = _log_scale(state[None])[0]
    return Mixture(
        weights / weights.sum(),
        centre + scale * location,
        scale * np.sqrt(variance),
        log_scale,
    )


def _add_range(mixture, values, share, reach):
    """Add a component whose reach has room for some values, and for half as much again."""
    deviation = max(0.75 * np.ptp(values) / reach, 1e-3 * mixture.deviations.max())
    # The others measure their densities on a scale of their own.
    top = mixture.weights.argmax()
    unit = mixture.log_scale[top] + np.log(mixture.deviations[top] / mixture.weights[top])
    return Mixture(
        np.append(mixture.weights, share),
        np.append(mixture.means, 0.5 * (values.min() + values.max())),
        np.append(mixture.deviations, deviation),
        np.append(mixture.log_scale, unit + np.log(share) - np.log(deviation)),
    )
