"""What all learning curves share: reading points, weights, intervals, sizes for a target."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy import optimize, stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators.model_selection._curve_families import (
    fit_shapes,
    gradients,
    predict_shapes,
    solve_shapes,
)

__all__ = [
    "BaseCurve",
    "check_level",
    "check_sizes",
    "check_target",
    "invert_band",
    "is_extrapolated",
    "smooth_draw_variance",
]

# Sizes between which a band is searched for a target, in units of the smallest observed size.
_SEARCH = np.logspace(-3, 9, 481)

# Larger answers, in units of the largest observed size, are marked as extrapolated.
_TRUSTED_REACH = 10.0


def check_sizes(n: Any, *, name: str = "n") -> np.ndarray:
    """Read numbers of rows as a 1-d array of positive floats."""
    values = np.asarray(n)
    if values.dtype.kind not in "iufbO":
        raise ValueError(f"{name} must hold numbers of rows, got the dtype {values.dtype}.")
    values = values.astype(np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim > 1:
        raise ValueError(
            f"{name} has the shape {values.shape}; expected one number of rows per point, of shape "
            "(n_points,)."
        )
    values = np.atleast_1d(values)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"{name} must hold finite numbers of rows larger than 0.")
    return values


def check_level(level: Any) -> float:
    """Return the confidence level or raise a clear error."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level={level!r} must lie between 0 and 1, such as 0.95.")
    return float(level)


def check_target(target: Any, *, name: str = "target") -> float:
    """Return a finite score or raise a clear error."""
    if isinstance(target, bool) or not isinstance(target, Real) or not np.isfinite(target):
        raise ValueError(f"{name}={target!r} must be a finite number.")
    return float(target)


def is_extrapolated(n: float, sizes: np.ndarray) -> bool:
    """Whether a size is far beyond the largest observed one."""
    return bool(n > _TRUSTED_REACH * sizes[-1])


def smooth_draw_variance(sizes: np.ndarray, variance: np.ndarray, df: np.ndarray) -> Any:
    """Fit v0 + v1/n with v0, v1 ≥ 0 to the variances between draws; None if they are all 0.

    A variance estimate is the more uncertain the larger it is, so the points are reweighted by
    the fitted variance (quasi-likelihood of a gamma law).
    """
    known = df > 0
    if not known.any() or not variance[known].any():
        return None
    sizes, variance, df = sizes[known], variance[known], df[known]
    design = np.column_stack([np.ones_like(sizes), 1.0 / sizes])
    fitted = np.full(len(sizes), np.average(variance, weights=df))
    floor = 1e-3 * fitted[0]
    for _ in range(20):
        root = np.sqrt(df) / np.maximum(fitted, floor)
        coefficients, _ = optimize.nnls(design * root[:, None], variance * root)
        fitted = design @ coefficients
    return coefficients


def invert_band(band: Any, target: float, n: float, origin: float) -> tuple[float, float]:
    """Sizes around ``n`` at which the upper and the lower edge of a band reach the target.

    Parameters
    ----------
    band : callable
        ``band(sizes) -> (low, high)`` edges, for scores that rise with the size.

    target : float
        Score to reach.

    n : float
        Size at which the curve itself reaches the target, inf if it never does.

    origin : float
        Smallest observed size, the unit of the search.

    Returns
    -------
    low, high : float
        0 where the upper edge is above the target at any smaller size, inf where the lower edge
        never gets there.
    """
    grid = _SEARCH * origin

    def crossing(edge, first):
        """Size between two points of the grid from which the edge is above the target."""
        left, right = np.log(grid[first : first + 2])
        for _ in range(40):
            middle = 0.5 * (left + right)
            if band(np.exp([middle]))[edge][0] >= target:
                right = middle
            else:
                left = middle
        return float(np.exp(right))

    lower_edge, upper_edge = band(grid)
    below = np.flatnonzero((upper_edge < target) & (grid <= n))
    if len(below) == 0:
        low = 0.0
    elif below[-1] == len(grid) - 1:
        low = np.inf
    else:
        place = below[-1]
        low = crossing(1, place) if upper_edge[place + 1] >= target else n
    above = np.flatnonzero((lower_edge >= target) & (grid >= n))
    if len(above) == 0:
        high = np.inf
    elif above[0] == 0:
        high = 0.0
    else:
        place = above[0]
        high = crossing(0, place - 1) if lower_edge[place - 1] < target else n
    return min(low, n), max(high, n)


class BaseCurve(RegressorMixin, BaseEstimator):
    """A learning curve a - b·φ(n) fitted to scores at several numbers of rows.

    Subclasses set ``_shape_class`` and the names of the parameters.
    """

    _shape_class: ClassVar[Any] = None
    _names: ClassVar[tuple[str, ...]] = ()

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": ["boolean"],
        "lower": [Interval(Real, None, None, closed="neither"), None],
        "upper": [Interval(Real, None, None, closed="neither"), None],
        "weights": [StrOptions({"n", "inverse_variance"}), None],
        "known_variance": ["boolean"],
    }

    def __init__(
        self,
        *,
        loss=False,
        lower=0.0,
        upper=1.0,
        weights="inverse_variance",
        known_variance=False,
    ):
        self.loss = loss
        self.lower = lower
        self.upper = upper
        self.weights = weights
        self.known_variance = known_variance

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.positive_only = True
        return tags

    @property
    def _n_params(self):
        return len(self._names)

    @property
    def _least_sizes(self):
        return self._n_params

    @property
    def _sign(self):
        """Inside, scores rise; losses are negated."""
        return -1.0 if self.loss else 1.0

    def _bounds(self):
        """Range of the metric, as the user gave it."""
        lower = -np.inf if self.lower is None else float(self.lower)
        upper = np.inf if self.upper is None else float(self.upper)
        if not lower < upper:
            raise ValueError(f"lower={self.lower!r} must be less than upper={self.upper!r}.")
        return lower, upper

    def _inner_bounds(self):
        lower, upper = self._bounds()
        return (-upper, -lower) if self.loss else (lower, upper)

    def _check_range(self, score):
        lower, upper = self._bounds()
        slack = 1e-9
        if score.min() < lower - slack or score.max() > upper + slack:
            outside = score.min() if score.min() < lower - slack else score.max()
            raise ValueError(
                f"The scores hold {outside:g}, outside lower={self.lower} and upper={self.upper}; "
                "set lower= and upper= to the range of the metric (None for no bound)."
            )

    # Many curves at once: the rows of ``scores`` are curves; scores rise.
    def _fit_batch(self, sizes, scores, weight):
        shape = self._shape_class(sizes)
        return shape, fit_shapes(shape, sizes, scores, weight, *self._inner_bounds())

    def _predict_batch(self, state, n):
        return predict_shapes(*state, n)

    def _predict_own(self, state, n):
        """Value of the i-th curve at the i-th size."""
        shape, fits = state
        value = fits.a - fits.b * shape.phi(n[:, None], fits.u)[:, 0]
        return np.where(fits.flat, fits.a, value)

    def _solve_batch(self, state, target):
        return solve_shapes(*state, target)

    def _reaches_batch(self, state, target):
        shape, fits = state
        if shape.bounded:
            return fits.a > target
        return np.where(fits.flat, fits.a > target, target < self._inner_bounds()[1])

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, n, score, sample_weight=None):
        """Fit the curve to scores at several numbers of rows.

        Scores at the same number of rows are draws; the curve goes through their means.

        Parameters
        ----------
        n : array-like of shape (n_points,) or (n_points, 1)
            Rows that were trained on, larger than 0.

        score : array-like of shape (n_points,)
            Score (or loss) reached with them.

        sample_weight : array-like of shape (n_points,), default=None
            Weights of the points; 0 leaves a point out. With ``known_variance=True`` these are
            the reciprocals of their variances.

        Returns
        -------
        self : object
            The fitted curve.
        """
        sizes, score = check_sizes(n), np.asarray(score, dtype=np.float64).ravel()
        if len(score) != len(sizes):
            raise ValueError(f"score holds {len(score)} values, but n holds {len(sizes)}.")
        if not np.isfinite(score).all():
            raise ValueError("score holds NaN or infinity; drop these points.")
        point_weight = _check_weight(sample_weight, len(score), needed=self.known_variance)
        used = point_weight > 0
        sizes, score, point_weight = sizes[used], score[used], point_weight[used]
        self._summarise(sizes, score, point_weight)
        self._check_range(score)
        self._solve()
        self.n_features_in_ = 1
        return self

    def _summarise(self, sizes, score, point_weight):
        """Means, weights and variances of the draws at every distinct size."""
        self.sizes_, place = np.unique(sizes, return_inverse=True)
        if len(self.sizes_) < self._least_sizes:
            raise ValueError(
                f"{type(self).__name__} needs at least {self._least_sizes} distinct sizes (and one "
                f"more for an interval), but the points cover {len(self.sizes_)}."
            )
        total = np.bincount(place, weights=point_weight)
        self.means_ = np.bincount(place, weights=point_weight * score) / total
        counts = np.bincount(place)
        squares = np.bincount(place, weights=(score - self.means_[place]) ** 2)
        variance = squares / np.maximum(counts - 1, 1)
        self.draw_variance_ = smooth_draw_variance(self.sizes_, variance, counts - 1)
        self.weights_ = total * self._size_weight(self.sizes_)

    def _size_weight(self, sizes):
        """Weight of one score at each size, up to a common factor."""
        if self.known_variance or self.weights is None:
            return np.ones_like(sizes)
        if self.weights == "n":
            return sizes / sizes.mean()
        if self.draw_variance_ is None:
            return np.ones_like(sizes)
        return 1.0 / self._draw_variance(sizes)

    def _draw_variance(self, n):
        return self.draw_variance_[0] + self.draw_variance_[1] / n

    def _solve(self):
        """Fit the means and set the attributes."""
        scores = self._sign * self.means_
        self._state = self._fit_batch(self.sizes_, scores[None], self.weights_[None])
        shape, fits = self._state
        self.degenerate_ = bool(fits.flat[0])
        values, jacobian = shape.natural(fits.a[0], fits.b[0], fits.u[0])
        values[0] *= self._sign
        jacobian[0] *= self._sign
        if self.degenerate_:
            values[1], values[2:] = 0.0, np.nan
        for name, value in zip(self._names, values, strict=True):
            setattr(self, f"{name}_", float(value))

        error = scores - self._predict_batch(self._state, self.sizes_)[0]
        spread = float(((self.means_ - self.means_.mean()) ** 2).sum())
        self.rss_ = float((error**2).sum())
        self.r2_ = 1.0 - self.rss_ / spread if spread > 0 else float(self.rss_ == 0)
        self._set_covariance(error, jacobian)

    def _set_covariance(self, error, jacobian):
        n_sizes, weight = len(self.sizes_), self.weights_
        n_params = 1 if self.degenerate_ else self._n_params
        self._df = n_sizes - n_params
        weighted = float((weight * error**2).sum())
        level = max(weighted / n_sizes, np.finfo(np.float64).tiny)
        self.aic_ = float(
            n_sizes * (np.log(2 * np.pi * level) + 1) - np.log(weight).sum() + 2 * (n_params + 1)
        )
        self._noise = np.nan
        if self._has_interval:
            self._noise = 1.0 if self.known_variance else weighted / self._df
        slopes = self._gradient(self.sizes_)
        normal = (slopes * weight[:, None]).T @ slopes
        scale = np.sqrt(np.diag(normal))
        scale[scale == 0] = 1.0
        inverse = np.linalg.pinv(normal / np.outer(scale, scale), hermitian=True, rcond=1e-14)
        self._inner_covariance = self._noise * inverse / np.outer(scale, scale)
        if self.degenerate_:
            self.covariance_ = np.full((self._n_params, self._n_params), np.nan)
            self.covariance_[0, 0] = self._inner_covariance[0, 0]
        else:
            self.covariance_ = jacobian @ self._inner_covariance @ jacobian.T

    def _gradient(self, n):
        """Derivatives of the curve in its inner parameters, of shape (sizes, parameters)."""
        if self.degenerate_:
            return np.ones((len(n), 1))
        shape, fits = self._state
        return gradients(shape, n, fits.b, fits.u)[0]

    def _std(self, n):
        slopes = self._gradient(n)
        variance = np.einsum("np,pq,nq->n", slopes, self._inner_covariance, slopes)
        return np.sqrt(np.maximum(variance, 0.0))

    @property
    def _has_interval(self):
        """Whether there are more sizes than parameters."""
        return len(self.sizes_) > self._n_params

    @property
    def _can_resample(self):
        """Whether resampled draws tell more than the curve through all of them."""
        return self._has_interval

    def _no_interval_reason(self):
        return (
            f"{type(self).__name__} was fitted on {len(self.sizes_)} sizes, which leaves nothing "
            f"to judge its error by; its interval is NaN. Pass at least {self._least_sizes + 1} "
            "distinct sizes."
        )

    def _warn_no_interval(self):
        if not self._has_interval:
            warnings.warn(self._no_interval_reason(), UndefinedMetricWarning, stacklevel=3)

    def predict(self, n, return_std=False):
        """Score of the curve at given numbers of rows.

        Parameters
        ----------
        n : array-like of shape (n_points,)
            Numbers of rows, larger than 0.

        return_std : bool, default=False
            Also return the standard error of the curve (delta method).

        Returns
        -------
        score : ndarray of shape (n_points,)
            Expected score.

        std : ndarray of shape (n_points,)
            Standard errors, if ``return_std=True``.
        """
        check_is_fitted(self)
        sizes = check_sizes(n)
        score = self._sign * self._predict_batch(self._state, sizes)[0]
        if not return_std:
            return score
        self._warn_no_interval()
        return score, self._std(sizes)

    def interval(self, n, *, level=0.95, kind="confidence", df=None):
        """Interval of the score by the delta method.

        Parameters
        ----------
        n : array-like of shape (n_points,)
            Numbers of rows, larger than 0.

        level : float, default=0.95
            Confidence.

        kind : {"confidence", "prediction"}, default="confidence"
            Interval of the expected score, or of the score of one further draw.

        df : float, default=None
            Degrees of freedom of the t quantile: None takes the number of sizes less the number
            of parameters (inf with known variances), ``numpy.inf`` the normal quantile.

        Returns
        -------
        low, high : ndarray of shape (n_points,)
            Edges, inside the range of the metric.
        """
        check_is_fitted(self)
        sizes, level = check_sizes(n), check_level(level)
        if kind not in ("confidence", "prediction"):
            raise ValueError(f"kind={kind!r} is unknown; use 'confidence' or 'prediction'.")
        self._warn_no_interval()
        low, high = self._inner_interval(sizes, level, kind, df)
        return (-high, -low) if self.loss else (low, high)

    def _inner_interval(self, n, level, kind="confidence", df=None):
        variance = self._std(n) ** 2
        if kind == "prediction":
            variance = variance + self._draw_noise(n)
        if df is None:
            df = np.inf if self.known_variance else max(self._df, 1)
        half = stats.t.ppf(0.5 + level / 2, df) * np.sqrt(variance)
        center = self._predict_batch(self._state, n)[0]
        return tuple(np.clip([center - half, center + half], *self._inner_bounds()))

    def _draw_noise(self, n):
        """Variance of one further score at each size."""
        if self.draw_variance_ is not None:
            return self._draw_variance(n)
        typical = self.weights_.mean() / self._size_weight(self.sizes_).mean()
        return self._noise / (typical * self._size_weight(n))

    def required_n(self, target, *, level=0.95):
        """Number of rows at which the curve reaches a score.

        Parameters
        ----------
        target : float
            Score (or loss) to reach.

        level : float, default=0.95
            Confidence of the interval.

        Returns
        -------
        result : Bunch
            ``n`` (inf if the curve never gets there), ``low`` and ``high`` (where the edges of
            the confidence band get there, which agrees to first order with the delta interval of
            ln n, and stays valid near the asymptote), ``extrapolated`` (whether n is more than
            ten times the largest observed size) and ``p_reachable`` (confidence that the
            asymptote lies beyond the target).
        """
        check_is_fitted(self)
        level, goal = check_level(level), self._sign * check_target(target)
        n = float(self._solve_batch(self._state, goal)[0])
        low = high = p_reachable = np.nan
        self._warn_no_interval()
        if self._has_interval:
            low, high = invert_band(
                lambda sizes: self._inner_interval(sizes, level), goal, n, self.sizes_[0]
            )
            p_reachable = self._p_reachable(goal)
        return Bunch(
            n=n,
            low=low,
            high=high,
            extrapolated=is_extrapolated(n, self.sizes_),
            p_reachable=p_reachable,
        )

    def _p_reachable(self, goal):
        shape, fits = self._state
        if not shape.bounded and not self.degenerate_:
            return float(self._reaches_batch(self._state, goal)[0])
        error = np.sqrt(max(self._inner_covariance[0, 0], 0.0))
        if error == 0:
            return float(fits.a[0] > goal)
        df = np.inf if self.known_variance else self._df
        return float(stats.t.cdf((fits.a[0] - goal) / error, df))


def _check_weight(sample_weight, n_points, *, needed):
    if sample_weight is None:
        if needed:
            raise ValueError(
                "known_variance=True needs sample_weight: the reciprocal of the variance of each "
                "score."
            )
        return np.ones(n_points)
    weight = np.asarray(sample_weight, dtype=np.float64).ravel()
    if weight.shape != (n_points,):
        raise ValueError(f"sample_weight holds {len(weight)} values, but n holds {n_points}.")
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.max() <= 0:
        raise ValueError("sample_weight must hold finite weights of at least 0, not all 0.")
    return weight
