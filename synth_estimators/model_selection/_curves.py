"""Alternatives to the inverse power law, and the choice between them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.isotonic import isotonic_regression
from sklearn.utils import Bunch

from synth_estimators._compat import StrOptions
from synth_estimators.model_selection._curve_base import BaseCurve, check_sizes
from synth_estimators.model_selection._curve_families import (
    ExponentialShape,
    LogarithmicShape,
    ShiftedPowerShape,
)
from synth_estimators.model_selection._power_law import InversePowerLaw
from synth_estimators.model_selection._subsets import check_count

__all__ = [
    "ExponentialCurve",
    "FourParameterPowerLaw",
    "IsotonicCurve",
    "LogarithmicCurve",
    "select_curve",
]


# Errors that differ by this share of the largest score are equal.
_ROUNDING = 1e-9


class ExponentialCurve(BaseCurve):
    r"""Learning curve that approaches its asymptote exponentially.

    .. math:: s(n) = a - b\,e^{-c n}, \qquad b \ge 0,\; c > 0.

    Learning curves of classifiers mostly have heavier tails; this one is too sure of its
    asymptote, and stands here for comparison.

    Parameters
    ----------
    loss : bool, default=False
        Whether the metric is a loss, which falls with the number of rows.

    lower, upper : float or None, default=0.0 and 1.0
        Range of the metric; None for no bound.

    weights : {"inverse_variance", "n"} or None, default="inverse_variance"
        Weight of a score, as in ``InversePowerLaw``.

    known_variance : bool, default=False
        Whether ``sample_weight`` holds the reciprocals of known variances.

    Attributes
    ----------
    a_, b_, c_ : float
        Asymptote, gain and rate.

    covariance_ : ndarray of shape (3, 3)
        Covariance of (a, b, c).

    degenerate_, sizes_, means_, weights_, draw_variance_, rss_, r2_, aic_, n_features_in_
        As in ``InversePowerLaw``.

    See Also
    --------
    InversePowerLaw : The usual curve.
    select_curve : Choose between shapes of curves.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import ExponentialCurve
    >>> n = np.array([20, 40, 80, 160, 320])
    >>> curve = ExponentialCurve().fit(n, 0.9 - 0.3 * np.exp(-0.02 * n))
    >>> print(f"{curve.a_:.3f} {curve.b_:.3f} {curve.c_:.3f}")
    0.900 0.300 0.020
    """

    _shape_class = ExponentialShape
    _names = ("a", "b", "c")


class LogarithmicCurve(BaseCurve):
    r"""Learning curve that gains the same with every doubling of the rows.

    .. math:: s(n) = a + b\,\ln n, \qquad b \ge 0,

    cut off at the range of the metric. It has no asymptote, so that it reaches every score.

    Parameters
    ----------
    loss : bool, default=False
        Whether the metric is a loss, which falls with the number of rows.

    lower, upper : float or None, default=0.0 and 1.0
        Range of the metric; None for no bound.

    weights : {"inverse_variance", "n"} or None, default="inverse_variance"
        Weight of a score, as in ``InversePowerLaw``.

    known_variance : bool, default=False
        Whether ``sample_weight`` holds the reciprocals of known variances.

    Attributes
    ----------
    a_, b_ : float
        Score at one row and gain.

    covariance_ : ndarray of shape (2, 2)
        Covariance of (a, b).

    degenerate_, sizes_, means_, weights_, draw_variance_, rss_, r2_, aic_, n_features_in_
        As in ``InversePowerLaw``.

    See Also
    --------
    InversePowerLaw : The usual curve.
    select_curve : Choose between shapes of curves.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import LogarithmicCurve
    >>> n = np.array([20, 40, 80, 160])
    >>> curve = LogarithmicCurve().fit(n, 0.5 + 0.05 * np.log(n))
    >>> print(f"{curve.a_:.3f} {curve.b_:.3f}")
    0.500 0.050
    """

    _shape_class = LogarithmicShape
    _names = ("a", "b")

    def _predict_batch(self, state, n):
        return np.clip(super()._predict_batch(state, n), *self._inner_bounds())

    def _predict_own(self, state, n):
        return np.clip(super()._predict_own(state, n), *self._inner_bounds())

    def _solve_batch(self, state, target):
        size = super()._solve_batch(state, target)
        return np.where(target > self._inner_bounds()[1], np.inf, size)


class FourParameterPowerLaw(BaseCurve):
    r"""Inverse power law with a shifted origin, for curves that start slowly.

    .. math:: s(n) = a - b\,(n + d)^{-c}, \qquad b \ge 0,\; 0.001 \le c \le 5,\; d \ge 0.

    Parameters
    ----------
    loss : bool, default=False
        Whether the metric is a loss, which falls with the number of rows.

    lower, upper : float or None, default=0.0 and 1.0
        Range of the metric; None for no bound.

    weights : {"inverse_variance", "n"} or None, default="inverse_variance"
        Weight of a score, as in ``InversePowerLaw``.

    known_variance : bool, default=False
        Whether ``sample_weight`` holds the reciprocals of known variances.

    Attributes
    ----------
    a_, b_, c_, d_ : float
        Asymptote, gain, rate and shift (at most ten times the largest size).

    covariance_ : ndarray of shape (4, 4)
        Covariance of (a, b, c, d).

    degenerate_, sizes_, means_, weights_, draw_variance_, rss_, r2_, aic_, n_features_in_
        As in ``InversePowerLaw``.

    See Also
    --------
    InversePowerLaw : The usual curve.
    select_curve : Choose between shapes of curves.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import FourParameterPowerLaw
    >>> n = np.array([20, 40, 80, 160, 320])
    >>> curve = FourParameterPowerLaw().fit(n, 0.9 - 5.0 * (n + 30.0) ** -0.8)
    >>> print(f"{curve.a_:.3f} {curve.b_:.3f} {curve.c_:.3f} {curve.d_:.2f}")
    0.900 5.000 0.800 30.00
    """

    _shape_class = ShiftedPowerShape
    _names = ("a", "b", "c", "d")


class IsotonicCurve(BaseCurve):
    """Learning curve that assumes no more than that scores do not fall.

    Isotonic regression of the means, linear between the sizes. It does not extrapolate, and has
    no interval of its own: ``LearningCurveFit`` gives one from the draws.

    Parameters
    ----------
    out_of_bounds : {"nan", "clip"}, default="nan"
        Prediction outside the observed sizes: NaN with a warning, or the value at the nearest
        size.

    loss : bool, default=False
        Whether the metric is a loss, which falls with the number of rows.

    lower, upper : float or None, default=0.0 and 1.0
        Range of the metric; None for no bound.

    weights : {"inverse_variance", "n"} or None, default="inverse_variance"
        Weight of a score, as in ``InversePowerLaw``.

    known_variance : bool, default=False
        Whether ``sample_weight`` holds the reciprocals of known variances.

    Attributes
    ----------
    levels_ : ndarray of shape (n_sizes,)
        Score of the curve at every size.

    degenerate_, sizes_, means_, weights_, draw_variance_, rss_, r2_, n_features_in_
        As in ``InversePowerLaw``.

    See Also
    --------
    InversePowerLaw : The usual curve.
    LearningCurveFit : Bands from repeated draws.

    Examples
    --------
    >>> from synth_estimators.model_selection import IsotonicCurve
    >>> curve = IsotonicCurve().fit([20, 40, 80], [0.7, 0.8, 0.76])
    >>> curve.levels_.round(2).tolist()
    [0.7, 0.78, 0.78]
    >>> curve.required_n(0.9).n
    inf
    """

    _names = ()
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseCurve._parameter_constraints,
        "out_of_bounds": [StrOptions({"nan", "clip"})],
    }

    def __init__(
        self,
        *,
        out_of_bounds="nan",
        loss=False,
        lower=0.0,
        upper=1.0,
        weights="inverse_variance",
        known_variance=False,
    ):
        super().__init__(
            loss=loss,
            lower=lower,
            upper=upper,
            weights=weights,
            known_variance=known_variance,
        )
        self.out_of_bounds = out_of_bounds

    @property
    def _least_sizes(self):
        return 2

    @property
    def _has_interval(self):
        return False

    @property
    def _can_resample(self):
        return True

    def _fit_batch(self, sizes, scores, weight):
        levels = [
            isotonic_regression(row, sample_weight=w) if (w > 0).all() else _pooled(row, w)
            for row, w in zip(scores, np.broadcast_to(weight, scores.shape), strict=True)
        ]
        return sizes, np.array(levels)

    def _predict_batch(self, state, n):
        sizes, levels = state
        return np.array([np.interp(n, sizes, row) for row in levels])

    def _predict_own(self, state, n):
        sizes, levels = state
        return np.array([np.interp(own, sizes, row) for own, row in zip(n, levels, strict=True)])

    def _solve_batch(self, state, target):
        sizes, levels = state
        needed = np.full(len(levels), np.inf)
        for k, row in enumerate(levels):
            reached = np.flatnonzero(row >= target)
            if len(reached):
                first = reached[0]
                needed[k] = sizes[first]
                if first > 0:
                    share = (target - row[first - 1]) / (row[first] - row[first - 1])
                    needed[k] = sizes[first - 1] + share * (sizes[first] - sizes[first - 1])
        return needed

    def _reaches_batch(self, state, target):
        return state[1][:, -1] >= target

    def _solve(self):
        scores = self._sign * self.means_
        self._state = self._fit_batch(self.sizes_, scores[None], self.weights_[None])
        inner = self._state[1][0]
        self.levels_ = self._sign * inner
        self.degenerate_ = bool(inner[0] == inner[-1])
        spread = float(((scores - scores.mean()) ** 2).sum())
        self.rss_ = float(((scores - inner) ** 2).sum())
        self.r2_ = 1.0 - self.rss_ / spread if spread > 0 else float(self.rss_ == 0)
        self.aic_ = np.nan
        self._noise = np.nan

    def _std(self, n):
        return np.full(len(n), np.nan)

    def _inner_interval(self, n, level, kind="confidence", df=None):
        return np.full(len(n), np.nan), np.full(len(n), np.nan)

    def _draw_noise(self, n):
        return self._draw_variance(n) if self.draw_variance_ is not None else np.zeros(len(n))

    def _no_interval_reason(self):
        return (
            "IsotonicCurve has no interval of its own; it is NaN. LearningCurveFit gives one from "
            "the draws."
        )

    def predict(self, n, return_std=False):
        """Score of the curve at given numbers of rows.

        Parameters
        ----------
        n : array-like of shape (n_points,)
            Numbers of rows, larger than 0.

        return_std : bool, default=False
            Also return the standard errors, which are NaN.

        Returns
        -------
        score : ndarray of shape (n_points,)
            Expected score.

        std : ndarray of shape (n_points,)
            NaN, if ``return_std=True``.
        """
        found = super().predict(n, return_std=return_std)
        score = found[0] if return_std else found
        sizes = check_sizes(n)
        outside = (sizes < self.sizes_[0]) | (sizes > self.sizes_[-1])
        if self.out_of_bounds == "nan" and outside.any():
            score[outside] = np.nan
            warnings.warn(
                f"IsotonicCurve does not extrapolate beyond the sizes {self.sizes_[0]:g} to "
                f"{self.sizes_[-1]:g}; the prediction is NaN there. Use out_of_bounds='clip' or a "
                "curve with an asymptote.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
        return found


def _pooled(scores, weight):
    """Isotonic levels where some points have no weight: they take the level before them."""
    used = np.flatnonzero(weight > 0)
    levels = isotonic_regression(scores[used], sample_weight=weight[used])
    return np.interp(np.arange(len(scores)), used, levels)


def select_curve(
    n: Any,
    score: Any,
    *,
    curves: Mapping[str, BaseCurve] | None = None,
    n_left_out: int = 1,
    sample_weight: Any = None,
) -> Bunch:
    """Choose the shape of a learning curve by how well it foretells the largest size.

    Every curve is fitted without the largest size and judged by its error there.

    Parameters
    ----------
    n : array-like of shape (n_points,)
        Rows that were trained on.

    score : array-like of shape (n_points,)
        Scores, any number of draws at each size.

    curves : dict of name to curve, default=None
        Unfitted curves; None takes the inverse power law, the exponential, the logarithmic, the
        four-parameter and the isotonic curve for a score between 0 and 1. Among equal errors the
        first wins.

    n_left_out : int, default=1
        Foretell each of so many largest sizes from the sizes below it, and average the errors.

    sample_weight : array-like of shape (n_points,), default=None
        Weights of the points.

    Returns
    -------
    result : Bunch
        ``name`` and ``curve`` of the best, fitted to all points, and ``table``: for every curve
        ``error`` (mean absolute error, NaN where the sizes are too few), ``aic``, ``r2`` and
        ``note``.

    Raises
    ------
    ValueError
        When no curve can be fitted without the largest sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import select_curve
    >>> n = np.array([20, 40, 80, 160, 320, 640])
    >>> select_curve(n, 0.9 - 0.8 * n**-0.5).name
    'inverse_power_law'
    """
    if curves is None:
        curves = {
            "inverse_power_law": InversePowerLaw(),
            "exponential": ExponentialCurve(),
            "logarithmic": LogarithmicCurve(),
            "four_parameter_power_law": FourParameterPowerLaw(),
            "isotonic": IsotonicCurve(out_of_bounds="clip"),
        }
    n_left_out = check_count(n_left_out, name="n_left_out")
    sizes, score = check_sizes(n), np.asarray(score, dtype=np.float64).ravel()
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    distinct = np.unique(sizes)
    records, fitted = [], {}
    for name, curve in curves.items():
        try:
            fitted[name] = clone(curve).fit(sizes, score, weight)
            errors = [
                _error_at(curve, size, sizes, score, weight) for size in distinct[-n_left_out:]
            ]
        except ValueError as exc:
            if name not in fitted and len(distinct) >= curve._least_sizes:
                raise
            records.append({"curve": name, "error": np.nan, "note": str(exc)})
            continue
        record = {"curve": name, "error": float(np.mean(errors)), "note": ""}
        records.append(record | {"aic": fitted[name].aic_, "r2": fitted[name].r2_})
    table = pd.DataFrame(records, columns=["curve", "error", "aic", "r2", "note"])
    table = table.set_index("curve")
    if table["error"].isna().all():
        raise ValueError(
            f"No curve can be fitted without the {n_left_out} largest of {len(distinct)} sizes; "
            "pass more sizes."
        )
    # Rounding errors decide nothing: the simpler curves stand first.
    good_enough = table["error"].min() + _ROUNDING * np.abs(score).max()
    best = table.index[table["error"] <= good_enough][0]
    return Bunch(name=best, curve=fitted[best], table=table)


def _error_at(curve, size, sizes, score, weight):
    """Error at one size of a curve fitted to the smaller sizes."""
    below = sizes < size
    smaller = clone(curve).fit(
        sizes[below], score[below], None if weight is None else weight[below]
    )
    if isinstance(smaller, IsotonicCurve):
        smaller.out_of_bounds = "clip"
    there = sizes == size
    observed = np.average(score[there], weights=None if weight is None else weight[there])
    return abs(float(smaller.predict([size])[0]) - observed)
