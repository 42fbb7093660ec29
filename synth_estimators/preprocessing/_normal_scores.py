"""Ranks to normal quantiles, column by column, and exactly back."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators._validation import check_rows

__all__ = ["NormalScores"]

_BLOCK_ELEMENTS = 1_000_000
_HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))

# A point mass at the end of a column reaches this far: the normal mass beyond it is 1e-16.
_REACH = 8.2

# Room between two neighbouring point masses, in normal quantiles. It takes less than 4e-7 of the
# probability and holds enough doubles to bring a value between the two masses back to 1e-9.
_ROOM = 1e-6

# Share of the rows from which the slope of a tail is read.
_TAIL_SHARE = 0.1

# A column of at most so many distinct values, each held by five rows on average, is discrete.
_FEW_VALUES = 10


class _Runs(NamedTuple):
    """Distinct values of sorted columns, one after the other: column 0, column 1, and so on."""

    value: np.ndarray
    column: np.ndarray
    below: np.ndarray  # rows of the column with a smaller value
    count: np.ndarray  # rows of the column with this value
    is_atom: np.ndarray


def _is_first(column):
    return np.concatenate([[True], column[1:] != column[:-1]])


def _is_last(column):
    return np.concatenate([column[1:] != column[:-1], [True]])


def _find_runs(ordered, atom_share):
    """Distinct values of ``ordered``, of shape (n_columns, n_rows), sorted along its rows."""
    n_columns, n_rows = ordered.shape
    is_new = np.ones(ordered.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_new[:, 1:])
    start = np.flatnonzero(is_new)
    count = np.diff(start, append=ordered.size)
    column = start // n_rows
    value = ordered.ravel()[start]
    few = np.bincount(column, minlength=n_columns) <= min(_FEW_VALUES, n_rows / 5)
    massive = (count >= atom_share * n_rows - 1e-9) | (value == 0)
    is_atom = (count >= 2) & massive | few[column]
    return _Runs(value, column, start - column * n_rows, count, is_atom)


def _thin(runs, n_rows, n_quantiles):
    """Keep about ``n_quantiles`` knots in columns with more distinct values than that.

    All point masses stay, with the values next to them (else probability would leak into the
    space around a mass), and so do the two sides of a hole in the data.
    """
    n_distinct = np.bincount(runs.column)
    if n_distinct.max() <= n_quantiles:
        return runs
    bucket = ((runs.below + 0.5 * runs.count) * (n_quantiles / n_rows)).astype(np.intp)
    first, last = _is_first(runs.column), _is_last(runs.column)
    head = first | np.concatenate([[True], bucket[1:] != bucket[:-1]])
    keep = head | last | runs.is_atom | (n_distinct <= n_quantiles)[runs.column]
    keep[1:] |= runs.is_atom[:-1]
    keep[:-1] |= runs.is_atom[1:]

    begin = np.flatnonzero(head)
    end = np.append(begin[1:], len(head))
    end -= np.append(first, True)[end]  # a bucket ends inside its own column
    with np.errstate(over="ignore", invalid="ignore"):
        width = runs.value[end] - runs.value[begin]
        gap = np.diff(runs.value, append=np.inf)
        bucket_idx = np.cumsum(head) - 1
        hole = (gap > 0.5 * width[bucket_idx]) & ((end - begin) >= 4)[bucket_idx] & ~last
    keep |= hole
    keep[1:] |= hole[:-1]
    return _Runs(*(part[keep] for part in runs))


def _make_room(column, left, right):
    """Move touching point masses of a column apart, so that the map stays strictly monotone."""
    touching = np.flatnonzero((right[:-1] >= left[1:]) & (column[1:] == column[:-1]))
    half = np.minimum(0.5 * _ROOM, 0.125 * (right - left))
    right[touching] -= half[touching]
    left[touching + 1] += half[touching + 1]


def _slope(rise, x_from, x_to):
    """Rise over run, finite and positive also where the run overflows or underflows."""
    info = np.finfo(np.float64)
    with np.errstate(over="ignore", divide="ignore"):
        return np.clip(0.5 * rise / (0.5 * x_to - 0.5 * x_from), info.tiny, info.max)


class NormalScores(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Ranks of every column turned into quantiles of the standard normal distribution.

    A training value of mid-rank :math:`r` among :math:`n` rows (the average rank of its ties,
    starting at 1) becomes :math:`z = \Phi^{-1}((r - 1/2)/n)`. Between training values the map is
    linear in :math:`z`, so that it is strictly increasing and has an exact inverse for held-out
    rows, too.

    A value that holds a positive share of the distribution (zeros of a count table, codes of a
    category) is a *point mass*. It owns the whole interval of quantiles between the share of
    the rows below it and the share of the rows up to it: ``transform`` returns the middle rank
    of the interval and ``inverse_transform`` returns exactly the value for every quantile in it,
    so that a standard normal variable restores the share of the value.

    Parameters
    ----------
    tails : {"smooth", "clip"}, default="smooth"
        Values outside the training range. "smooth" goes on with a straight line (normal tails),
        the slope of which is that of the outer tenth of the training rows. "clip" moves
        values, and on the way back quantiles, to the end of the training range.

    n_quantiles : int, default=1000
        Number of knots of the map of a column with more distinct values than that. Fewer knots
        give a smoother density; point masses, the ends and the borders of holes in the data are
        always kept.

    atom_share : float, default=0.01
        A value is a point mass if at least two rows and this share of the rows hold it. Zero
        is one as soon as two rows hold it, and so is every value of a column of at most 10
        distinct values that are held by five rows on average.

    Attributes
    ----------
    data_min_ : ndarray of shape (n_features_in_,)
        Smallest training value of each column.

    data_max_ : ndarray of shape (n_features_in_,)
        Largest training value of each column.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    synth_estimators.baselines.GaussianCopula : A generator on normal scores.
    sklearn.preprocessing.QuantileTransformer : A similar map without point masses, tails and
        exact inverse.

    Notes
    -----
    Constant columns become 0 and come back exactly. Outside the training range a column that
    ends in a point mass has quantiles beyond :math:`\pm 8.2`, which a normal variable does not
    reach: discrete columns are not extrapolated when sampled.

    ``inverse_transform(transform(X))`` equals ``X`` up to rounding, about 1e-9 of the distance
    between the knots around a value. With ``float32`` input the quantiles are ``float32``: a
    held-out value between two neighbouring point masses may then come back as one of them.

    ``fit`` sorts each column, ``transform`` looks up each value: :math:`O(n p \log n)`.

    References
    ----------
    .. [1] van der Waerden (1952). "Order tests for the two-sample problem and their power".
       Indagationes Mathematicae 14, 453-458.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.preprocessing import NormalScores
    >>> X = np.array([[0.0], [0.0], [1.0], [5.0]])
    >>> scores = NormalScores().fit(X)
    >>> scores.transform(X).round(2).ravel()
    array([-0.67, -0.67,  0.32,  1.15])
    >>> scores.inverse_transform([[-3.0], [-0.1]]).ravel()
    array([0., 0.])
    """

    _parameter_constraints: ClassVar[dict] = {
        "tails": [StrOptions({"smooth", "clip"})],
        "n_quantiles": [Interval(Integral, 2, None, closed="left")],
        "atom_share": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, *, tails="smooth", n_quantiles=1000, atom_share=0.01):
        self.tails = tails
        self.n_quantiles = n_quantiles
        self.atom_share = atom_share

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> NormalScores:
        """Learn the map of every column.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            At least two rows.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : NormalScores
            The fitted transformer.
        """
        data = check_rows(self, X, reset=True, min_samples=2)
        n_rows, n_columns = data.shape
        # Quantile of every half rank: mid-ranks and borders of masses are multiples of 1/2.
        quantiles = np.clip(ndtri(np.arange(2 * n_rows + 1) / (2 * n_rows)), -_REACH, _REACH)
        parts = []
        for columns in self._blocks(n_rows, n_columns):
            ordered = np.sort(data[:, columns].T.astype(np.float64), axis=1)
            runs = _thin(_find_runs(ordered, self.atom_share), n_rows, self.n_quantiles)
            parts.append(self._fit_block(runs, n_rows, quantiles))
        for name, *arrays in zip(_FITTED, *parts, strict=True):
            setattr(self, name, np.concatenate(arrays))
        self._offsets = np.concatenate([[0], np.cumsum(self._n_knots)])
        self.data_min_ = self._values[self._offsets[:-1]]
        self.data_max_ = self._values[self._offsets[1:] - 1]
        self._clips = self.tails == "clip"
        return self

    def _fit_block(self, runs, n_rows, quantiles):
        """Knots of a block of columns, in the order of ``_FITTED``."""
        mid_rank = 2 * runs.below + runs.count
        middle = quantiles[mid_rank]
        left = np.where(runs.is_atom, quantiles[2 * runs.below], middle)
        right = np.where(runs.is_atom, quantiles[2 * (runs.below + runs.count)], middle)
        _make_room(runs.column, left, right)

        start = np.flatnonzero(_is_first(runs.column))
        stop = np.flatnonzero(_is_last(runs.column))
        slope = np.empty_like(left)
        slope[:-1] = _slope(left[1:] - right[:-1], runs.value[:-1], runs.value[1:])
        share = mid_rank / (2 * n_rows)
        knot = np.arange(len(share))
        inner = np.minimum.reduceat(np.where(share >= _TAIL_SHARE, knot, len(knot)), start)
        inner = np.minimum(np.maximum(inner, start + 1), stop)
        low_slope = self._tail_slope(runs, left, right, start, inner, (start, stop), start)
        inner = np.maximum.reduceat(np.where(share <= 1 - _TAIL_SHARE, knot, -1), start)
        inner = np.maximum(np.minimum(inner, stop - 1), start)
        slope[stop] = self._tail_slope(runs, left, right, inner, stop, (start, stop), stop)
        if self.tails == "clip":
            left[start] = -np.inf
            right[stop] = np.inf
        return runs.value, left, middle, right, slope, low_slope, stop - start + 1

    @staticmethod
    def _tail_slope(runs, left, right, lower, upper, ends, tail):
        """Slope of a tail from the knots ``lower`` and ``upper`` of each column.

        Where the tail begins at a point mass any slope will do; the range of the column gives it
        a unit, and a constant column takes its size.
        """
        value = runs.value
        start, stop = ends
        slope = _slope(left[upper] - right[lower], value[lower], value[upper])
        by_range = _slope(np.full(len(start), 4.0), value[start], value[stop])
        slope = np.where(runs.is_atom[tail], by_range, slope)
        return np.where(start == stop, 1.0 / np.maximum(np.abs(value[start]), 1.0), slope)

    @staticmethod
    def _blocks(n_rows, n_columns):
        step = max(1, _BLOCK_ELEMENTS // max(1, n_rows))
        for begin in range(0, n_columns, step):
            yield slice(begin, min(begin + step, n_columns))

    def _locate(self, knots, block, columns):
        """Index of the last knot not above each value, or that of the first if there is none."""
        offsets = self._offsets[columns.start : columns.stop + 1]
        knot_idx = np.empty(block.shape, dtype=np.intp)
        for row, (begin, end) in enumerate(pairwise(offsets)):
            knot_idx[row] = knots[begin:end].searchsorted(block[row], side="right")
        knot_idx += offsets[:-1, None] - 1
        is_below = knot_idx < offsets[:-1, None]
        knot_idx += is_below
        return knot_idx, is_below

    def _next(self, knots, knot_idx, is_below, columns):
        """Bound of each segment above, so that rounding never leads past the next knot."""
        last = self._offsets[columns.start + 1 : columns.stop + 1, None] - 1
        bound = knots[np.minimum(knot_idx + ~is_below, last)]
        bound[(knot_idx == last) & ~is_below] = np.inf
        return bound

    def _score_block(self, block, columns, with_density):
        """Quantiles, and log densities if asked, of ``block`` of shape (n_columns, n_rows)."""
        is_outside = None
        if self._clips:
            low, high = self.data_min_[columns, None], self.data_max_[columns, None]
            is_outside = (block < low) | (block > high)
            block = np.clip(block, low, high)
        knot_idx, is_below = self._locate(self._values, block, columns)
        with np.errstate(over="ignore"):
            distance = block - self._values[knot_idx]
        slope = np.where(is_below, self._low_slopes[columns, None], self._slopes[knot_idx])
        base = np.where(is_below, self._left[knot_idx], self._right[knot_idx])
        is_knot = distance == 0
        with np.errstate(over="ignore"):
            score = base + slope * distance
        np.minimum(score, self._next(self._left, knot_idx, is_below, columns), out=score)
        score = np.where(is_knot, self._middle[knot_idx], score)
        if not with_density:
            return score, None
        with np.errstate(over="ignore"):
            density = np.log(slope) - 0.5 * np.square(score) - _HALF_LOG_2PI
        mass_idx = knot_idx[is_knot]
        mass = ndtr(self._right[mass_idx]) - ndtr(self._left[mass_idx])
        with np.errstate(divide="ignore"):
            density[is_knot] = np.where(mass > 0, np.log(mass), density[is_knot])
        if is_outside is not None:
            density[is_outside] = -np.inf
        return score, density

    def _score(self, data, *, with_density):
        scores = np.empty(data.shape, dtype=data.dtype)
        densities = np.empty(data.shape) if with_density else None
        largest = np.finfo(data.dtype).max
        for columns in self._blocks(*data.shape):
            block = np.ascontiguousarray(data[:, columns].T, dtype=np.float64)
            score, density = self._score_block(block, columns, with_density)
            scores[:, columns] = np.clip(score, -largest, largest).T
            if with_density:
                densities[:, columns] = density.T
        return scores, densities

    def _unscore(self, scores):
        values = np.empty(scores.shape, dtype=scores.dtype)
        largest = np.finfo(scores.dtype).max
        for columns in self._blocks(*scores.shape):
            block = np.ascontiguousarray(scores[:, columns].T, dtype=np.float64)
            knot_idx, is_below = self._locate(self._left, block, columns)
            slope = np.where(is_below, self._low_slopes[columns, None], self._slopes[knot_idx])
            base = np.where(is_below, self._left[knot_idx], self._right[knot_idx])
            inside = ~is_below & (block <= base)
            with np.errstate(over="ignore", invalid="ignore"):
                step = np.where(inside, 0.0, (block - base) / slope)
                value = self._values[knot_idx] + step
            upper = self._next(self._values, knot_idx, is_below, columns)
            values[:, columns] = np.clip(value, -largest, np.minimum(upper, largest)).T
        return values

    def transform(self, X: Any) -> Any:
        """Map values to normal quantiles.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows, seen during ``fit`` or not.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, n_features)
            Normal quantiles; ``float32`` input gives ``float32``.
        """
        check_is_fitted(self)
        return self._score(check_rows(self, X, reset=False), with_density=False)[0]

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Map normal quantiles to values.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_features)
            Normal quantiles.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Values in data units.
        """
        check_is_fitted(self)
        scores = check_array(
            Z, dtype=[np.float64, np.float32], estimator=self, input_name="Z", order="C"
        )
        if scores.shape[1] != self.n_features_in_:
            raise ValueError(
                f"Z has {scores.shape[1]} columns, but NormalScores was fitted on "
                f"{self.n_features_in_}; pass the columns that transform returns."
            )
        return self._unscore(scores)

    def log_density(self, X: Any) -> np.ndarray:
        r"""Log density of every value in the distribution of its column.

        It is the density of ``inverse_transform`` of a standard normal variable: between the
        knots and in the tails :math:`\log\varphi(z(x)) + \log|dz/dx|`, a density that
        integrates to 1 minus the share of the point masses; at a point mass the logarithm of its
        probability. With ``tails="clip"`` the two end points are point masses and values outside
        have the density 0.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        log_density : ndarray of shape (n_samples, n_features)
            In nats.
        """
        check_is_fitted(self)
        return self._score(check_rows(self, X, reset=False), with_density=True)[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


_FITTED = ("_values", "_left", "_middle", "_right", "_slopes", "_low_slopes", "_n_knots")
