"""The inverse power law of learning curves."""

from __future__ import annotations

from synth_estimators.model_selection._curve_base import BaseCurve
from synth_estimators.model_selection._curve_families import PowerShape

__all__ = ["InversePowerLaw"]


class InversePowerLaw(BaseCurve):
    r"""Learning curve that approaches its asymptote as a power of the number of rows.

    .. math:: s(n) = a - b\,n^{-c}, \qquad b \ge 0,\; 0.001 \le c \le 5,

    with the asymptote :math:`a` inside the range of the metric; a loss falls as
    :math:`a + b\,n^{-c}`. The published form :math:`(1-a') - b\,n^{c'}` is the same curve with
    :math:`a = 1 - a'` and :math:`c = -c'`.

    Parameters
    ----------
    loss : bool, default=False
        Whether the metric is a loss, which falls with the number of rows.

    lower, upper : float or None, default=0.0 and 1.0
        Range of the metric; None for no bound. The asymptote and all intervals stay inside.

    weights : {"inverse_variance", "n"} or None, default="inverse_variance"
        Weight of a score. "inverse_variance" takes the variance between the draws, smoothed
        over the sizes as :math:`v_0 + v_1/n` (equal weights if no size has two draws), "n" the
        number of rows, None equal weights.

    known_variance : bool, default=False
        Whether ``sample_weight`` holds the reciprocals of known variances. Else the spread of
        the points around the curve says how large the error is.

    Attributes
    ----------
    a_, b_, c_ : float
        Asymptote, gain and rate. A flat curve has ``b_ = 0`` and ``c_ = nan``.

    covariance_ : ndarray of shape (3, 3)
        Covariance of (a, b, c); NaN when only three sizes were given.

    degenerate_ : bool
        Whether the curve is flat: the scores do not rise with the number of rows.

    sizes_, means_, weights_ : ndarray of shape (n_sizes,)
        Distinct sizes, mean score and weight at each.

    draw_variance_ : ndarray of shape (2,) or None
        :math:`v_0` and :math:`v_1` of the variance between draws.

    rss_, r2_, aic_ : float
        Sum of squares of the means around the curve, share of their variance that it explains,
        and Akaike's information criterion.

    n_features_in_ : int
        Always 1.

    See Also
    --------
    LearningCurveFit : Curve through repeated draws, with bootstrap bands.
    select_curve : Choose between shapes of curves.

    Notes
    -----
    Variable projection: for every rate on a grid the best asymptote and gain within the bounds
    are known in closed form; the best rate is refined by smaller grids and Gauss-Newton steps.
    There is no random start and no failure to converge. Four distinct sizes give an interval,
    three a curve without one.

    ``interval`` and ``required_n`` use the delta method. They describe the scatter of the given
    means; extrapolated far beyond the largest size with a small rate they are too narrow, and
    ``LearningCurveFit`` should be preferred wherever there are draws.

    References
    ----------
    .. [1] Mukherjee, S. et al. (2003). "Estimating dataset size requirements for classifying DNA
       microarray data". Journal of Computational Biology 10, 119-142.
    .. [2] Figueroa, R. L. et al. (2012). "Predicting sample size required for classification
       performance". BMC Medical Informatics and Decision Making 12, 8.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import InversePowerLaw
    >>> n = np.array([20, 40, 80, 160, 320])
    >>> curve = InversePowerLaw().fit(n, 0.9 - 0.8 * n**-0.5)
    >>> print(f"{curve.a_:.3f} {curve.b_:.3f} {curve.c_:.3f}")
    0.900 0.800 0.500
    >>> print(f"{curve.required_n(0.86).n:.1f}")
    400.0
    >>> curve.required_n(0.95).n
    inf
    """

    _shape_class = PowerShape
    _names = ("a", "b", "c")
