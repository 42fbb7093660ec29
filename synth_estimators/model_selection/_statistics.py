"""Tests for scores of the same splits: corrected resampled t, Holm, correlated Bayesian t."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from sklearn.utils import Bunch

__all__ = ["corrected_resampled_ttest", "correlated_bayesian_ttest", "holm"]


def corrected_resampled_ttest(
    differences: Any, n_train: float, n_test: float, *, level: float = 0.95
) -> Bunch:
    """Test whether the mean difference between two methods over resampled splits is 0.

    The splits share training rows, so their differences are correlated and a plain t test finds
    differences that are not there. With D the mean of the J differences and s² their variance,
    t = D / sqrt((1/J + n_test/n_train) s²) on J - 1 degrees of freedom.

    Parameters
    ----------
    differences : array-like of shape (n_splits,)
        Score of one method minus score of the other on each split; NaN are left out.

    n_train, n_test : float
        Rows in the training and in the test part of a split.

    level : float, default=0.95
        Confidence of the interval.

    Returns
    -------
    result : Bunch
        ``mean``, ``sd``, ``statistic``, ``pvalue`` (two-sided), ``df``, ``low``, ``high`` and
        ``n_splits``. With fewer than two splits everything but the mean is NaN. Differences that
        are all the same have p = 1 if they are 0, else p = 0.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003). "Inference for the Generalization Error". Machine
       Learning 52, 239-281.

    Examples
    --------
    >>> from synth_estimators.model_selection._statistics import corrected_resampled_ttest
    >>> test = corrected_resampled_ttest([0.02, 0.05, 0.03, 0.04, 0.01], n_train=80, n_test=20)
    >>> round(test.statistic, 4), round(test.pvalue, 4)
    (2.8284, 0.0474)
    """
    values, ratio, level = _checked(differences, n_train, n_test, level)
    n_splits = len(values)
    if n_splits < 2:
        mean = float(values[0]) if n_splits else np.nan
        empty = dict.fromkeys(("sd", "statistic", "pvalue", "low", "high"), np.nan)
        return Bunch(mean=mean, df=0, n_splits=n_splits, **empty)
    mean, sd = float(values.mean()), _spread(values)
    error = np.sqrt(1 / n_splits + ratio) * sd
    df = n_splits - 1
    if error > 0:
        statistic = mean / error
        pvalue = 2 * stats.t.sf(abs(statistic), df)
    else:
        statistic = np.sign(mean) * np.inf if mean else 0.0
        pvalue = 0.0 if mean else 1.0
    reach = stats.t.ppf((1 + level) / 2, df) * error
    return Bunch(
        mean=mean,
        sd=sd,
        statistic=float(statistic),
        pvalue=float(pvalue),
        df=df,
        low=mean - float(reach),
        high=mean + float(reach),
        n_splits=n_splits,
    )


def correlated_bayesian_ttest(
    differences: Any, n_train: float, n_test: float, *, rope: float = 0.01, level: float = 0.95
) -> Bunch:
    """Posterior probabilities that one method is worse, equivalent or better.

    The posterior of the mean difference is a t distribution on J - 1 degrees of freedom around
    the mean of the differences, with scale sqrt((1/J + r/(1-r)) s²) and correlation
    r = n_test/(n_test + n_train) between the splits.

    Parameters
    ----------
    differences : array-like of shape (n_splits,)
        Score of one method minus score of the other on each split; NaN are left out.

    n_train, n_test : float
        Rows in the training and in the test part of a split.

    rope : float, default=0.01
        Half-width of the region of practical equivalence around 0.

    level : float, default=0.95
        Probability of the credible interval.

    Returns
    -------
    result : Bunch
        ``p_worse``, ``p_equivalent``, ``p_better`` (they add up to 1), ``mean``, ``low``, ``high``
        and ``n_splits``; NaN but for the mean with fewer than two splits.

    References
    ----------
    .. [1] Corani, G. and Benavoli, A. (2015). "A Bayesian Approach for Comparing Cross-Validated
       Algorithms on Multiple Data Sets". Machine Learning 100, 285-304.

    Examples
    --------
    >>> from synth_estimators.model_selection._statistics import correlated_bayesian_ttest
    >>> test = correlated_bayesian_ttest([0.02, 0.05, 0.03, 0.04, 0.01], n_train=80, n_test=20)
    >>> round(test.p_better, 2)
    0.93
    """
    if not rope >= 0:
        raise ValueError(f"rope={rope!r} must be at least 0.")
    values, ratio, level = _checked(differences, n_train, n_test, level)
    n_splits = len(values)
    if n_splits < 2:
        mean = float(values[0]) if n_splits else np.nan
        names = ("p_worse", "p_equivalent", "p_better", "low", "high")
        return Bunch(mean=mean, n_splits=n_splits, **dict.fromkeys(names, np.nan))
    mean, sd = float(values.mean()), _spread(values)
    # With r = n_test / (n_test + n_train), r / (1 - r) is n_test / n_train.
    scale = float(np.sqrt(1 / n_splits + ratio) * sd)
    if scale > 0:
        posterior = stats.t(n_splits - 1, loc=mean, scale=scale)
        p_worse, p_better = posterior.cdf(-rope), posterior.sf(rope)
        low, high = posterior.interval(level)
    else:
        p_worse, p_better = float(mean < -rope), float(mean > rope)
        low = high = mean
    return Bunch(
        p_worse=float(p_worse),
        p_equivalent=float(1 - p_worse - p_better),
        p_better=float(p_better),
        mean=mean,
        low=float(low),
        high=float(high),
        n_splits=n_splits,
    )


def holm(pvalues: Any) -> np.ndarray:
    """Adjust p-values of a family of tests by Holm's step-down rule.

    Parameters
    ----------
    pvalues : array-like of shape (n_tests,)
        Raw p-values; NaN stay NaN and do not count as tests.

    Returns
    -------
    adjusted : ndarray of shape (n_tests,)
        Compared with the level wanted for the whole family.

    References
    ----------
    .. [1] Holm, S. (1979). "A Simple Sequentially Rejective Multiple Test Procedure".
       Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> from synth_estimators.model_selection._statistics import holm
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(pvalues, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"pvalues has shape {values.shape}; pass one p-value per test.")
    adjusted = np.full(len(values), np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    if np.any((values[tested] < 0) | (values[tested] > 1)):
        raise ValueError("pvalues must lie between 0 and 1.")
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return adjusted


def _spread(values):
    """Standard deviation; rounding noise of equal values counts as none."""
    sd = float(values.std(ddof=1))
    return 0.0 if sd <= 1e-14 * max(1.0, float(np.abs(values).max())) else sd


def _checked(differences, n_train, n_test, level):
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"differences has shape {values.shape}; pass one difference per split.")
    if np.isinf(values).any():
        raise ValueError("differences must be finite or NaN; leave out splits without a value.")
    if not (n_train > 0 and n_test > 0):
        raise ValueError(
            f"n_train={n_train!r} and n_test={n_test!r} must be numbers of rows above 0."
        )
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} must lie between 0 and 1.")
    return values[~np.isnan(values)], n_test / n_train, level
