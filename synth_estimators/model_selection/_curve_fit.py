"""Learning curves through repeated draws: bands, sizes for a target, plateaus."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators._random import local_rng
from synth_estimators.model_selection._curve_base import (
    BaseCurve,
    check_level,
    check_sizes,
    check_target,
    invert_band,
    is_extrapolated,
)
from synth_estimators.model_selection._power_law import InversePowerLaw

__all__ = ["LearningCurveFit", "fit_curve"]

# Columns of a long table that tell the draws apart, and those that tell curves apart.
_UNITS = ("repeat", "fold", "draw")
_CURVES = ("method", "classifier", "regime", "metric", "ratio")


class LearningCurveFit(BaseEstimator):
    r"""Learning curve through the means of several draws, with a bootstrap band.

    Every draw is scored at every number of rows. Scores of one draw may be correlated (nested
    subsets), so whole draws are resampled and the curve is fitted again to each resample.

    Parameters
    ----------
    curve : curve or None, default=None
        Unfitted curve, such as ``InversePowerLaw(loss=True)``. None is ``InversePowerLaw()``.

    resampling : {"multiplier", "percentile", "bca", "delta"}, default="multiplier"
        "multiplier" adds the deviations of the draws from their mean with random multipliers
        whose law is that of Student's t (see Notes). "percentile" and "bca" draw whole draws
        with replacement; with few draws their bands are too narrow. "delta" takes the interval
        of the curve itself.

    n_resamples : int, default=500
        Number of resamples.

    variance_inflation : float, default=1.0
        Factor of the variance between draws. Scores over the J splits of a cross-validation
        share training rows; ``1 + J * n_test / n_train`` corrects for that.

    random_state : int, RandomState instance or None, default=0
        Seeds the resamples.

    Attributes
    ----------
    curve_ : curve
        Curve fitted to all draws.

    sizes_ : ndarray of shape (n_sizes,)
        Numbers of rows, ascending.

    draws_ : ndarray of shape (n_draws, n_sizes)
        Scores; NaN where a draw has none.

    means_, sd_ : ndarray of shape (n_sizes,)
        Mean and standard deviation of the draws.

    n_draws_ : int
        Number of draws.

    degenerate_ : bool
        Whether the curve is flat.

    See Also
    --------
    fit_curve : The same from a long table.
    InversePowerLaw : The default curve.

    Notes
    -----
    With D draws :math:`y_d` and their mean :math:`\bar y`, a resample of "multiplier" is

    .. math:: \bar y + \frac{1}{\sqrt{D(D-1)}} \sum_d \varepsilon_d\,(y_d - \bar y) \Big/
        \sqrt{\chi^2_{D-1}/(D-1)}, \qquad \varepsilon_d \sim N(0, 1).

    Every linear function of it has exactly the spread of the t interval of that function on
    D - 1 degrees of freedom, whatever the correlation between the sizes; the curve adds its
    bounds and its bend. Drawing with replacement instead underestimates the variance by the
    factor (D - 1)/D and knows no t quantile, which matters for five draws.

    The bands describe draws from the given table, not further tables.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import LearningCurveFit
    >>> rng = np.random.default_rng(0)
    >>> sizes = np.array([20, 40, 80, 160, 320])
    >>> draws = 0.9 - 0.8 * sizes**-0.5 + 0.01 * rng.standard_normal((5, 5))
    >>> fit = LearningCurveFit().fit(sizes, draws)
    >>> low, high = fit.interval(640)
    >>> bool(low[0] < 0.9 - 0.8 * 640**-0.5 < high[0])
    True
    >>> fit.required_n(0.99).n
    inf
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "curve": [BaseCurve, None],
        "resampling": [StrOptions({"multiplier", "percentile", "bca", "delta"})],
        "n_resamples": [Interval(Integral, 2, None, closed="left")],
        "variance_inflation": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        curve=None,
        *,
        resampling="multiplier",
        n_resamples=500,
        variance_inflation=1.0,
        random_state=0,
    ):
        self.curve = curve
        self.resampling = resampling
        self.n_resamples = n_resamples
        self.variance_inflation = variance_inflation
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.positive_only = True
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, sizes, draws, *, groups=None):
        """Fit the curve and its resamples.

        Parameters
        ----------
        sizes : array-like of shape (n_sizes,)
            Distinct numbers of rows.

        draws : array-like of shape (n_draws, n_sizes)
            Score of every draw at every size, NaN where there is none.

        groups : array-like of shape (n_draws,), default=None
            Draws of one group (such as a fold) depend on each other: they are averaged and the
            groups are resampled.

        Returns
        -------
        self : object
            The fitted curve.
        """
        self.sizes_, self.draws_ = sizes, draws = _check_draws(sizes, draws, groups)
        self.n_draws_ = len(draws)
        present = ~np.isnan(draws)
        self._counts = present.sum(axis=0)
        place = np.nonzero(present)[1]
        curve = InversePowerLaw() if self.curve is None else clone(self.curve)
        self.curve_ = curve.fit(sizes[place], draws[present])
        self.means_ = self.curve_.means_
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            self.sd_ = np.nanstd(draws, axis=0, ddof=1) if len(draws) > 1 else sizes * np.nan
        self.degenerate_ = self.curve_.degenerate_
        self._state = None
        if self.resampling != "delta":
            self._resample()
        return self

    def _resample(self):
        """Fit the curve to every resample."""
        if not self.curve_._can_resample:
            return
        if self.n_draws_ < 2 or self._counts.min() < 2:
            warnings.warn(
                "A size with fewer than two draws cannot be resampled; the band is that of the "
                "delta method. Use n_draws=2 or more, better 5.",
                UndefinedMetricWarning,
                stacklevel=4,
            )
            return
        rng = local_rng(self.random_state)
        scores = self.curve_._sign * self.draws_
        multiply = self.resampling == "multiplier"
        means = (self._multiplied if multiply else self._redrawn)(scores, rng)
        weight = self.curve_.weights_ * (np.isfinite(means) if multiply else self._shares)
        self._state = self._refit(means, weight)
        if self.resampling == "bca":
            self._leave_one_out(scores)

    def _refit(self, means, weight):
        usable = (weight > 0).sum(axis=1) >= self.curve_._least_sizes
        means, weight = means[usable], weight[usable]
        return self.curve_._fit_batch(self.sizes_, np.where(weight > 0, means, 0.0), weight)

    def _multiplied(self, scores, rng):
        n_draws, inflation = self.n_draws_, np.sqrt(self.variance_inflation)
        center = np.nanmean(scores, axis=0)
        deviation = np.nan_to_num(scores - center)
        scale = inflation / np.sqrt(self._counts * (self._counts - 1.0))
        multiplier = rng.standard_normal((self.n_resamples, n_draws))
        spread = np.sqrt(rng.chisquare(n_draws - 1, (self.n_resamples, 1)) / (n_draws - 1))
        return center + multiplier / spread @ deviation * scale

    def _redrawn(self, scores, rng):
        n_draws, inflation = self.n_draws_, np.sqrt(self.variance_inflation)
        times = rng.multinomial(n_draws, np.full(n_draws, 1.0 / n_draws), self.n_resamples)
        filled, present = np.nan_to_num(scores), ~np.isnan(scores)
        counts = times @ present
        means = times @ filled / np.maximum(counts, 1)
        self._shares = counts / self._counts
        center = np.nanmean(scores, axis=0)
        return center + inflation * (means - center)

    def _leave_one_out(self, scores):
        rows = ~np.eye(self.n_draws_, dtype=bool)
        counts = rows.astype(float) @ ~np.isnan(scores)
        means = rows.astype(float) @ np.nan_to_num(scores) / np.maximum(counts, 1)
        self._jackknife = self._refit(means, self.curve_.weights_ * counts / self._counts)

    def predict(self, n, return_std=False):
        """Score of the curve at given numbers of rows.

        Parameters
        ----------
        n : array-like of shape (n_points,)
            Numbers of rows, larger than 0.

        return_std : bool, default=False
            Also return the standard deviation over the resamples.

        Returns
        -------
        score : ndarray of shape (n_points,)
            Expected score.

        std : ndarray of shape (n_points,)
            Standard errors, if ``return_std=True``.
        """
        check_is_fitted(self)
        if not return_std or self._state is None:
            return self.curve_.predict(n, return_std=return_std)
        replicates = self.curve_._predict_batch(self._state, check_sizes(n))
        return self.curve_.predict(n), replicates.std(axis=0, ddof=1)

    def interval(self, n, *, level=0.95, kind="confidence"):
        """Bootstrap interval of the score.

        Parameters
        ----------
        n : array-like of shape (n_points,)
            Numbers of rows, larger than 0.

        level : float, default=0.95
            Confidence.

        kind : {"confidence", "prediction"}, default="confidence"
            Interval of the expected score, or of the score of one further draw.

        Returns
        -------
        low, high : ndarray of shape (n_points,)
            Edges, inside the range of the metric. NaN, with a warning, when the sizes are too
            few for an interval.
        """
        check_is_fitted(self)
        if self._state is None:
            return self.curve_.interval(n, level=level, kind=kind)
        sizes, level = check_sizes(n), check_level(level)
        if kind not in ("confidence", "prediction"):
            raise ValueError(f"kind={kind!r} is unknown; use 'confidence' or 'prediction'.")
        low, high = self._inner_interval(sizes, level, kind)
        # A curve that does not extrapolate has no band out there either.
        outside = np.isnan(self.curve_.predict(sizes))
        low[outside] = high[outside] = np.nan
        return (-high, -low) if self.curve_.loss else (low, high)

    def _inner_interval(self, n, level, kind="confidence"):
        curve = self.curve_
        replicates = curve._predict_batch(self._state, n)
        tails = np.array([[0.5 - level / 2], [0.5 + level / 2]])
        if kind == "prediction":
            rng = local_rng(self.random_state)
            noise = rng.standard_t(self.n_draws_ - 1, replicates.shape)
            replicates = replicates + noise * np.sqrt(curve._draw_noise(n))
        elif self.resampling == "bca":
            tails = self._bca_tails(replicates, n, tails)
        edges = _quantiles(replicates, np.broadcast_to(tails, (2, len(n))))
        return tuple(np.clip(edges, *curve._inner_bounds()))

    def _bca_tails(self, replicates, n, tails):
        """Tails corrected for the bias and the skewness of the replicates."""
        center = self.curve_._predict_batch(self.curve_._state, n)[0]
        below = (replicates < center).mean(axis=0) + 0.5 * (replicates == center).mean(axis=0)
        n_replicates = len(replicates)
        bias = stats.norm.ppf(np.clip(below, 1 / (n_replicates + 1), 1 - 1 / (n_replicates + 1)))
        left_out = self.curve_._predict_batch(self._jackknife, n)
        influence = left_out.mean(axis=0) - left_out
        spread = (influence**2).sum(axis=0) ** 1.5
        skew = (influence**3).sum(axis=0) / np.where(spread > 0, 6.0 * spread, np.inf)
        shifted = bias + stats.norm.ppf(tails)
        return stats.norm.cdf(bias + shifted / np.maximum(1.0 - skew * shifted, 1e-3))

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
            ``n`` (inf if the curve never gets there), ``low`` and ``high`` (interval, inf where
            the resamples never get there), ``extrapolated`` (whether n is more than ten times
            the largest size) and ``p_reachable`` (share of resamples that ever get there).
        """
        check_is_fitted(self)
        curve = self.curve_
        if self._state is None:
            return curve.required_n(target, level=level)
        level, goal = check_level(level), curve._sign * check_target(target)
        n = float(curve._solve_batch(curve._state, goal)[0])
        if self.resampling == "bca":
            low, high = invert_band(
                lambda sizes: self._inner_interval(sizes, level), goal, n, self.sizes_[0]
            )
        else:
            # The curves rise, so these are the sizes at which the edges of the band get there.
            needed = np.sort(curve._solve_batch(self._state, goal))
            low = needed[int(np.floor((0.5 - level / 2) * (len(needed) - 1)))]
            high = needed[int(np.ceil((0.5 + level / 2) * (len(needed) - 1)))]
        return Bunch(
            n=n,
            low=float(min(low, n)),
            high=float(max(high, n)),
            extrapolated=is_extrapolated(n, self.sizes_),
            p_reachable=float(curve._reaches_batch(self._state, goal).mean()),
        )

    def plateau_n(self, gain=0.01, *, probability=0.9):
        """Smallest number of rows from which doubling it gains little.

        Parameters
        ----------
        gain : float, default=0.01
            Gain of score that is worth doubling the rows.

        probability : float, default=0.9
            Share of the resamples that must gain less.

        Returns
        -------
        n : float
            Number of rows, at least 1; inf if there is none. Without resamples, the size at
            which the curve itself gains less.
        """
        check_is_fitted(self)
        gain, probability = check_target(gain, name="gain"), check_level(probability)
        if gain <= 0:
            raise ValueError(f"gain={gain!r} must be larger than 0.")
        curve = self.curve_
        state = curve._state if self._state is None else self._state
        needed = np.sort(_plateaus(curve, state, gain, self.sizes_))
        return float(needed[int(np.ceil(probability * len(needed))) - 1])


def _quantiles(replicates, tails):
    """Quantiles of each column, at tails of shape (n_quantiles, n_columns)."""
    ordered = np.sort(replicates, axis=0)
    place = tails * (len(ordered) - 1)
    base = np.minimum(place.astype(np.intp), len(ordered) - 2)
    columns = np.arange(ordered.shape[1])
    left, right = ordered[base, columns], ordered[base + 1, columns]
    return left + (place - base) * (right - left)


def _plateaus(curve, state, gain, sizes):
    """Size of every curve beyond which doubling gains less than ``gain``."""
    grid = np.log(np.logspace(0.0, np.log10(sizes[-1]) + 9.0, 400))
    doubled = curve._predict_batch(state, np.exp(grid + np.log(2.0)))
    steep = doubled - curve._predict_batch(state, np.exp(grid)) >= gain
    last = np.where(steep.any(axis=1), steep.shape[1] - 1 - steep[:, ::-1].argmax(axis=1), -1)
    inner = np.clip(last, 0, len(grid) - 2)
    low, high = grid[inner], grid[inner + 1]
    for _ in range(50):
        middle = 0.5 * (low + high)
        size = np.exp(middle)
        rise = curve._predict_own(state, 2.0 * size) - curve._predict_own(state, size)
        low, high = np.where(rise >= gain, middle, low), np.where(rise >= gain, high, middle)
    found = np.where(last < 0, 1.0, np.exp(high))
    return np.where(last == len(grid) - 1, np.inf, found)


def _check_draws(sizes, draws, groups):
    sizes = check_sizes(sizes, name="sizes")
    draws = np.atleast_2d(np.asarray(draws, dtype=np.float64))
    if draws.ndim != 2 or draws.shape[1] != len(sizes):
        raise ValueError(
            f"draws has the shape {draws.shape}; expected (n_draws, {len(sizes)}): one row a draw, "
            "one column a size."
        )
    if len(np.unique(sizes)) < len(sizes):
        raise ValueError("sizes holds a number of rows twice; pass one column a size.")
    if np.isinf(draws).any():
        raise ValueError("draws holds infinite scores; use NaN for scores that are not there.")
    if groups is not None:
        draws = _average_groups(draws, groups)
    order = np.argsort(sizes)
    sizes, draws = sizes[order], draws[:, order]
    scored = ~np.isnan(draws)
    empty = ~scored.any(axis=0)
    if empty.any():
        warnings.warn(
            f"No draw has a score at the sizes {sizes[empty].astype(int).tolist()}; they are left "
            "out.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        sizes, draws, scored = sizes[~empty], draws[:, ~empty], scored[:, ~empty]
    return sizes, draws[scored.any(axis=1)]


def _average_groups(draws, groups):
    groups = np.asarray(groups)
    if groups.shape != (len(draws),):
        raise ValueError(
            f"groups has the shape {groups.shape}; expected one label for each of the "
            f"{len(draws)} draws."
        )
    _, place = np.unique(groups, return_inverse=True)
    return pd.DataFrame(draws).groupby(place).mean().to_numpy()


def fit_curve(
    table: pd.DataFrame,
    *,
    score: str = "f1_score",
    size: str = "n_train",
    curve: BaseCurve | None = None,
    resampling: str = "multiplier",
    n_resamples: int = 500,
    variance_inflation: float = 1.0,
    random_state: Any = 0,
) -> LearningCurveFit:
    """Fit a learning curve to one method's rows of a long table.

    Parameters
    ----------
    table : DataFrame
        One row for every size and draw, as ``evaluate_sample_sizes`` returns them. The columns
        ``repeat``, ``fold`` and ``draw``, as far as they are there, tell the draws apart. Draws of
        one fold share its test rows: with several folds they are averaged, and the folds are
        resampled.

    score : str, default="f1_score"
        Column with the score.

    size : str, default="n_train"
        Column with the number of rows: the rows trained on, or ``"total_size"``.

    curve : curve or None, default=None
        Unfitted curve; None is ``InversePowerLaw()``.

    resampling, n_resamples, variance_inflation, random_state
        As in ``LearningCurveFit``.

    Returns
    -------
    fit : LearningCurveFit

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from synth_estimators.model_selection import fit_curve
    >>> table = pd.DataFrame(
    ...     [(n, draw) for draw in range(3) for n in (20, 40, 80, 160)],
    ...     columns=["n_train", "draw"],
    ... )
    >>> table["auc"] = 0.9 - 1 / table["n_train"] + 0.001 * table["draw"]
    >>> fit = fit_curve(table, score="auc")
    >>> print(f"{fit.predict([320])[0]:.3f}")
    0.898
    """
    missing = [name for name in (score, size) if name not in table.columns]
    if missing:
        raise ValueError(
            f"The table has no column {missing[0]!r}; its columns are {list(table.columns)}."
        )
    for name in _CURVES:
        if name in table.columns and table[name].nunique() > 1:
            raise ValueError(
                f"The table holds several values of {name!r} ({table[name].unique()[:4].tolist()}"
                "), which have curves of their own; select one, such as "
                f"table[table[{name!r}] == {table[name].iloc[0]!r}]."
            )
    units = [name for name in _UNITS if name in table.columns]
    if table.duplicated([*units, size]).any():
        raise ValueError(
            f"The table has several rows of one draw at one size; the columns {units} should tell "
            "the draws apart."
        )
    if units:
        wide = table.set_index([*units, size])[score].unstack(size)
    else:
        wide = table.set_index(size)[[score]].T
    fit = LearningCurveFit(
        curve,
        resampling=resampling,
        n_resamples=n_resamples,
        variance_inflation=variance_inflation,
        random_state=random_state,
    )
    splits = [name for name in ("repeat", "fold") if name in units]
    groups = None
    if "draw" in units and splits:
        fold = wide.reset_index().groupby(splits).ngroup().to_numpy()
        groups = fold if fold.max() > 0 else None
    return fit.fit(wide.columns.to_numpy(), wide.to_numpy(dtype=np.float64), groups=groups)
