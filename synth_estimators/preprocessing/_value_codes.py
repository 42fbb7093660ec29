"""One field of numbers as a scalar and the index of a component, and back."""

from __future__ import annotations

import numpy as np

from synth_estimators.preprocessing._mode_mixture import Mixture, Support, fit_mixtures
from synth_estimators.preprocessing._normal_scores import NormalScores

__all__ = ["ComponentCodes", "ScoreCodes", "fit_value_codes"]

# The scalar is the distance from the mean in units of so many standard deviations.
_REACH = 4.0

# Largest scalar of a mode: a network's tanh reaches it.
_LARGEST = 0.99

# Taken from the log-probability of a mode that cannot reach a value.
_OUT_OF_REACH = 1e4

# A value that fewer rows hold is no spike, whatever their share.
_SPIKE_ROWS = 5

_CHUNK_ROWS = 131_072


class ComponentCodes:
    """Components of a field: modes or bins first, then spikes of zero width.

    Parameters
    ----------
    mixture : Mixture or None
        Modes; None where all rows are spikes.

    spikes : ndarray of float of shape (n_spikes,)
        Sorted values that are components of their own.

    edges : ndarray of float of shape (n_bins + 1,) or None, default=None
        Borders of bins, which take the place of the modes.
    """

    def __init__(self, mixture, spikes, *, edges=None):
        self.mixture, self.spikes, self.edges = mixture, spikes, edges
        if edges is not None:
            centre, reach = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
        elif mixture is not None:
            centre, reach = mixture.means, _REACH * mixture.deviations
        else:
            centre = reach = np.empty(0)
        self.n_modes = len(centre)
        self._centre = np.concatenate([centre, spikes])
        self._reach = np.concatenate([reach, np.zeros(len(spikes))])

    @property
    def n_codes(self) -> int:
        """Number of components."""
        return len(self._centre)

    def encode(self, values: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the scalar and the component of every value.

        Parameters
        ----------
        values : ndarray of float of shape (n_rows,)
            Values without NaN.

        uniform : ndarray of float of shape (n_rows,)
            Numbers in [0, 1) that draw the components.

        Returns
        -------
        scalars : ndarray of float32 of shape (n_rows,)

        codes : ndarray of int of shape (n_rows,)
        """
        scalars = np.zeros(len(values), dtype=np.float32)
        codes, free = self._at_spikes(values)
        if free is None:
            free = slice(None)
            codes, scalars = self._in_modes(values, uniform)
        elif free.size:
            codes[free], scalars[free] = self._in_modes(values[free], uniform[free])
        return scalars, codes

    def _at_spikes(self, values):
        """Component of the values at spikes, and the rows of the others; None for all rows."""
        if not len(self.spikes):
            return None, None
        place = np.minimum(self.spikes.searchsorted(values), len(self.spikes) - 1)
        if self.n_modes:
            free = np.flatnonzero(self.spikes[place] != values)
        else:
            # Without a mode the nearest spike is the best that can be said.
            before = np.maximum(place - 1, 0)
            nearer = values - self.spikes[before] < self.spikes[place] - values
            place, free = np.where(nearer, before, place), np.empty(0, dtype=np.intp)
        return place + self.n_modes, free

    def _in_modes(self, values, uniform):
        codes = np.empty(len(values), dtype=np.intp)
        scalars = np.empty(len(values), dtype=np.float32)
        limit = _LARGEST if self.edges is None else 1.0
        for begin in range(0, len(values), _CHUNK_ROWS):
            part = slice(begin, begin + _CHUNK_ROWS)
            chunk = values[part]
            if self.edges is not None:
                found = self.edges[1:-1].searchsorted(chunk, side="right")
            else:
                found = self._draw_modes(chunk, uniform[part])
            codes[part] = found
            scalar = (chunk - self._centre[found]) / self._reach[found]
            scalars[part] = np.clip(scalar, -limit, limit)
        return codes, scalars

    def _draw_modes(self, values, uniform):
        mixture = self.mixture
        if self.n_modes == 1:
            return np.zeros(len(values), dtype=np.intp)
        logs = np.empty((self.n_modes, len(values)), dtype=np.float32)
        score = np.empty(len(values))
        for mode in range(self.n_modes):
            np.subtract(values, mixture.means[mode], out=score)
            np.multiply(score, 1.0 / mixture.deviations[mode], out=logs[mode], casting="same_kind")
        np.square(logs, out=logs)
        # A mode out of reach is drawn only where all are.
        far = (logs > (_LARGEST * _REACH) ** 2) * np.float32(2.0 * _OUT_OF_REACH)
        logs += far
        logs *= -0.5
        logs += mixture.log_scale[:, None].astype(np.float32)
        logs -= logs.max(axis=0)
        np.exp(logs, out=logs)
        for mode in range(1, self.n_modes):
            logs[mode] += logs[mode - 1]
        aim = uniform.astype(np.float32) * logs[-1]
        found = np.zeros(len(values), dtype=np.intp)
        for mode in range(self.n_modes - 1):
            found += logs[mode] <= aim
        return found

    def decode(self, scalars: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the values of scalars and components."""
        position = np.clip(scalars.astype(np.float64), -1.0, 1.0)
        return self._centre[codes] + position * self._reach[codes]


class ScoreCodes:
    """Normal scores of a field, without components.

    Parameters
    ----------
    values : ndarray of float of shape (n_rows,)
        Training values without NaN.

    atom_share : float
        Share of the rows from which on a value is a point mass.
    """

    n_codes = 0
    n_modes = 0
    spikes = np.empty(0)

    def __init__(self, values, atom_share):
        values = np.repeat(values, 2) if len(values) == 1 else values
        self._scores = NormalScores(atom_share=atom_share).fit(values[:, None])

    def encode(self, values: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the normal score of every value."""
        return self._scores.transform(values[:, None])[:, 0].astype(np.float32), None

    def decode(self, scalars: np.ndarray, codes: None) -> np.ndarray:
        """Return the values of normal scores."""
        if not len(scalars):
            return np.empty(0)
        return self._scores.inverse_transform(scalars.astype(np.float64)[:, None])[:, 0]


def fit_value_codes(
    fields: list[np.ndarray],
    *,
    numeric: str,
    max_clusters: int,
    weight_threshold: float,
    spike_threshold: float,
    rng: np.random.Generator,
) -> list[ComponentCodes | ScoreCodes]:
    """Learn the codes of several fields of numbers; their mixtures are fitted together.

    Parameters
    ----------
    fields : list of ndarray of float of shape (n_rows,)
        Values without NaN, at least one each.

    numeric : {"modes", "normal_scores", "quantile_bins"}
        Kind of codes.

    max_clusters : int
        Most modes, or bins.

    weight_threshold : float
        Modes with a smaller share are dropped.

    spike_threshold : float
        Share of the rows from which on a value is a component of its own.

    rng : numpy Generator
        Draws the start of the mixtures.

    Returns
    -------
    codes : list of ComponentCodes or ScoreCodes
    """
    if numeric == "normal_scores":
        return [ScoreCodes(values, spike_threshold) for values in fields]
    found, waiting = [None] * len(fields), []
    for j, values in enumerate(fields):
        distinct, counts = np.unique(values, return_counts=True)
        is_spike = _find_spikes(counts, max_clusters, spike_threshold)
        spikes = distinct[is_spike]
        rest, counts = distinct[~is_spike], counts[~is_spike]
        if not rest.size:
            found[j] = ComponentCodes(None, spikes)
        elif numeric == "quantile_bins":
            found[j] = ComponentCodes(None, spikes, edges=_edges(rest, counts, max_clusters))
        elif len(rest) <= max_clusters:
            found[j] = ComponentCodes(_one_a_value(rest, counts, distinct), spikes)
        else:
            waiting.append((j, rest, counts, spikes))
    supports = [Support.from_counts(rest, counts) for _, rest, counts, _ in waiting]
    mixtures = fit_mixtures(supports, n_components=max_clusters, rng=rng)
    limits = {"threshold": weight_threshold, "reach": _LARGEST * _REACH}
    for (j, rest, counts, spikes), mixture in zip(waiting, mixtures, strict=True):
        found[j] = ComponentCodes(mixture.covering(rest, counts, **limits), spikes)
    return found


def _find_spikes(counts, max_clusters, spike_threshold):
    n_rows = counts.sum()
    if len(counts) == 1:
        return np.ones(1, dtype=bool)
    if len(counts) <= max_clusters and n_rows >= _SPIKE_ROWS * len(counts):
        return np.ones(len(counts), dtype=bool)
    return (counts >= spike_threshold * n_rows) & (counts >= _SPIKE_ROWS)


def _one_a_value(values, counts, distinct):
    """A mode around each of a few values that reaches half way to the next value."""
    if len(distinct) > 1:
        gaps = np.diff(distinct)
        gap = np.minimum(np.append(np.inf, gaps), np.append(gaps, np.inf))
        gap = gap[np.searchsorted(distinct, values)]
    else:
        gap = np.ones(1)
    weights = counts / counts.sum()
    deviations = gap / (2.0 * _REACH)
    log_scale = np.log(weights) - np.log(deviations / deviations.max())
    return Mixture(weights, values.copy(), deviations, log_scale)


def _edges(values, counts, n_bins):
    """Borders of bins of equally many rows; every bin has a width."""
    below = np.cumsum(counts)
    wanted = below[-1] * np.arange(1, n_bins) / n_bins
    inner = values[np.minimum(below.searchsorted(wanted), len(values) - 1)]
    edges = np.unique(np.concatenate([values[:1], inner, values[-1:]]))
    if len(edges) == 1:
        # A single value gets a bin around it.
        edges = edges + 0.5 * np.maximum(np.abs(edges), 1.0) * np.array([-1.0, 1.0])
    return edges
