"""What learning curves say: fits, comparisons of regimes, the worth of a synthetic row."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators._random import local_rng
from synth_estimators.model_selection._curve_base import check_level
from synth_estimators.model_selection._curve_fit import LearningCurveFit
from synth_estimators.model_selection._power_law import InversePowerLaw
from synth_estimators.model_selection._statistics import (
    corrected_resampled_ttest,
    correlated_bayesian_ttest,
    holm,
)

__all__ = ["CURVE_KEYS", "compare_regimes", "exchange_rates", "fit_curves", "split_scores"]

CURVE_KEYS = ("regime", "classifier", "metric")

# Sizes that a curve needs.
_CURVE_SIZES = 3

_SPLIT = ["repeat", "fold"]
_COLUMNS = ("repeat", "fold", "draw", "n_train", "regime", "classifier", "metric", "score")


# Metrics whose values lie between 0 and 1.
_SHARES = ("roc_auc", "f1", "accuracy", "precision", "recall", "balanced_accuracy", "jaccard")


def metric_bounds(metric: str) -> tuple[float | None, float | None]:
    """Lowest and highest value of a metric, as far as its name tells."""
    if metric.startswith(_SHARES):
        return 0.0, 1.0
    return (None, 0.0) if metric.startswith("neg_") else (None, None)


def _checked_results(results):
    missing = [name for name in _COLUMNS if name not in getattr(results, "columns", ())]
    if missing:
        raise ValueError(
            f"results lacks the columns {missing}; pass results_ of a GeneratorLearningCurve."
        )
    return results


def _chosen(results, column, value):
    known = list(dict.fromkeys(results[column]))
    if value not in known:
        raise ValueError(f"Unknown {column} {value!r}; results hold {known}.")
    return results.loc[results[column] == value]


def split_scores(results: pd.DataFrame) -> pd.DataFrame:
    """Mean score over the draws: one row an outer fold, one column a size."""
    return results.groupby([*_SPLIT, "n_train"])["score"].mean().unstack("n_train")


def compare_regimes(
    results: pd.DataFrame,
    regime: str,
    other: str,
    *,
    n_train: float,
    n_test: float,
    classifier: str | None = None,
    metric: str | None = None,
    rope: float | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Test at every size whether two regimes differ on the same test rows.

    A corrected resampled t-test over the outer folds, each the mean of its draws, with p-values
    adjusted over the sizes of a curve by Holm's rule.

    Parameters
    ----------
    results : DataFrame
        ``results_`` of a ``GeneratorLearningCurve``.

    regime, other : str
        Names in ``results["regime"]``.

    n_train, n_test : float
        Rows in the training and in the test part of an outer fold.

    classifier, metric : str, default=None
        Keep these only; None compares all.

    rope : float or None, default=None
        Half-width of the region of practical equivalence; adds ``p_worse``, ``p_equivalent`` and
        ``p_better`` of a Bayesian correlated t-test. 0.01 is usual.

    level : float, default=0.95
        Confidence of the interval.

    Returns
    -------
    table : DataFrame
        One row for each classifier, metric and size: ``mean`` and ``mean_other``,
        ``difference`` (the first minus the second), ``low``, ``high``, ``statistic``, ``pvalue``,
        ``pvalue_holm`` and ``n_splits``.

    Raises
    ------
    ValueError
        For a regime, classifier or metric that the results do not hold.

    Notes
    -----
    Folds share training rows, and the correction depends on the sizes of the parts of the outer
    fold, not on the subset of n rows drawn from it: subsets overlap less than the parts, so the
    test errs on the safe side.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003). "Inference for the Generalization Error". Machine
       Learning 52, 239-281.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.model_selection import compare_regimes
    >>> rows = [
    ...     (0, fold, 0, 50, regime, "KNN", "accuracy", score + 0.01 * fold)
    ...     for fold in range(5)
    ...     for regime, score in [("real", 0.80), ("synth", 0.70 + 0.002 * fold)]
    ... ]
    >>> names = ["repeat", "fold", "draw", "n_train", "regime", "classifier", "metric", "score"]
    >>> results = pd.DataFrame(rows, columns=names)
    >>> table = compare_regimes(results, "real", "synth", n_train=80, n_test=20)
    >>> table[["difference", "pvalue_holm"]].round(4).values.tolist()
    [[0.096, 0.0]]
    """
    results = _checked_results(results)
    if regime == other:
        raise ValueError(f"regime and other are both {regime!r}; name two regimes.")
    if classifier is not None:
        results = _chosen(results, "classifier", classifier)
    if metric is not None:
        results = _chosen(results, "metric", metric)
    first, second = (_chosen(results, "regime", name) for name in (regime, other))
    tables = []
    for (name, measure), part in first.groupby(["classifier", "metric"], sort=False):
        partner = second.loc[(second["classifier"] == name) & (second["metric"] == measure)]
        if not set(part["n_train"]) & set(partner["n_train"]):
            raise ValueError(
                f"{regime!r} and {other!r} have no size in common for {name} and {measure}; pass "
                "classifier= and metric= to choose what both were scored with."
            )
        rows = _compare_curve(part, partner, n_train, n_test, rope, level)
        rows.insert(0, "classifier", name)
        rows.insert(1, "metric", measure)
        tables.append(rows)
    return pd.concat(tables, ignore_index=True)


def _compare_curve(first, second, n_train, n_test, rope, level):
    """Tests of one classifier and metric over the sizes that both regimes have."""
    a, b = split_scores(first), split_scores(second)
    sizes = [size for size in a.columns if size in b.columns]
    rows = []
    for size in sizes:
        pair = pd.concat([a[size], b[size]], axis=1, keys=["a", "b"]).dropna()
        differences = (pair["a"] - pair["b"]).to_numpy()
        test = corrected_resampled_ttest(differences, n_train, n_test, level=level)
        row = {
            "n_train": size,
            "mean": pair["a"].mean(),
            "mean_other": pair["b"].mean(),
            "difference": test.mean,
            "low": test.low,
            "high": test.high,
            "statistic": test.statistic,
            "pvalue": test.pvalue,
            "n_splits": test.n_splits,
        }
        if rope is not None:
            bayes = correlated_bayesian_ttest(differences, n_train, n_test, rope=rope, level=level)
            row |= {key: bayes[key] for key in ("p_worse", "p_equivalent", "p_better")}
        rows.append(row)
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("pvalue") + 1, "pvalue_holm", holm(table["pvalue"]))
    return table


def exchange_rates(
    results: pd.DataFrame,
    curves: dict,
    regime: str,
    *,
    level: float = 0.95,
    n_bootstrap: int = 500,
    random_state: Any = None,
) -> pd.DataFrame:
    """Real rows that give the score of n rows of another regime, by the real curve.

    Parameters and columns are those of ``GeneratorLearningCurve.exchange_rate``.
    """
    results = _checked_results(results)
    rng, level = local_rng(random_state), check_level(level)
    real, other = _chosen(results, "regime", "real"), _chosen(results, "regime", regime)
    tables = []
    for (name, metric), part in other.groupby(["classifier", "metric"], sort=False):
        key = ("real", name, metric)
        if key not in curves:
            raise ValueError(
                f"The regime 'real' has no curve for {name} and {metric}; it needs three sizes "
                "with a score."
            )
        mine = real.loc[(real["classifier"] == name) & (real["metric"] == metric)]
        table = _exchange(
            curves[key], split_scores(mine), split_scores(part), level, n_bootstrap, rng
        )
        table.insert(0, "classifier", name)
        table.insert(1, "metric", metric)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _exchange(curve, real, other, level, n_bootstrap, rng):
    """Rates of one classifier and metric; the band resamples the outer folds of both regimes."""
    both = pd.concat([real[curve.sizes_], other.dropna(axis=1, how="all")], axis=1).to_numpy()
    means = _resampled_means(both, curve.variance_inflation, n_bootstrap, rng)
    real_means, scores = np.split(means, [len(curve.sizes_)], axis=1)
    weight = np.broadcast_to(curve.curve_.weights_, real_means.shape)
    state = curve.curve_._fit_batch(curve.sizes_, real_means, weight)
    start = curve.curve_._predict_batch(state, curve.sizes_[:1])
    needed = np.column_stack([curve.curve_._solve_batch(state, column) for column in scores.T])
    sizes = other.dropna(axis=1, how="all").columns.to_numpy()
    needed = np.where(scores < start, 0.0, needed)
    rates = needed / sizes
    low = high = np.full(len(sizes), np.nan)
    if len(rates) > 1:
        tail = (1 - level) / 2
        # Replicates may be infinite, so quantiles are replicates, not mixtures of two.
        low, high = np.quantile(rates[1:], [tail, 1 - tail], axis=0, method="inverted_cdf")
    return pd.DataFrame(
        {
            "n_train": sizes,
            "score": scores[0],
            "n_equivalent": needed[0],
            "exchange_rate": rates[0],
            "low": np.minimum(low, rates[0]),
            "high": np.maximum(high, rates[0]),
        }
    )


def _resampled_means(scores, inflation, n_resamples, rng):
    """Column means, and below them means moved by multipliers as ``LearningCurveFit`` does."""
    center = np.nanmean(scores, axis=0)
    n_rows = len(scores)
    counts = (~np.isnan(scores)).sum(axis=0)
    if n_resamples == 0:
        return center[None]
    if n_rows < 2 or counts.min() < 2:
        warnings.warn(
            "The band of an exchange rate resamples the outer folds, and a size has a score on "
            "fewer than two of them; the band is NaN.",
            UndefinedMetricWarning,
            stacklevel=5,
        )
        return center[None]
    deviation = np.nan_to_num(scores - center)
    scale = np.sqrt(inflation / (counts * (counts - 1.0)))
    multiplier = rng.standard_normal((n_resamples, n_rows))
    spread = np.sqrt(rng.chisquare(n_rows - 1, (n_resamples, 1)) / (n_rows - 1))
    return np.vstack([center, center + multiplier / spread @ deviation * scale])


def fit_curves(
    results: pd.DataFrame, *, n_train: float, n_test: float, random_state: Any
) -> dict[tuple[str, str, str], LearningCurveFit]:
    """Fit a power law to every regime, classifier and metric with scores at three sizes.

    Parameters
    ----------
    results : DataFrame
        ``results_`` of a ``GeneratorLearningCurve``.

    n_train, n_test : float
        Rows in the training and in the test part of an outer fold.

    random_state : int
        Seeds the resamples of the bands.

    Returns
    -------
    curves : dict
        ``{(regime, classifier, metric): LearningCurveFit}``.
    """
    curves = {}
    for key, part in results.groupby(list(CURVE_KEYS), sort=False):
        scores = split_scores(part).dropna(axis=1, how="all")
        if scores.shape[1] < _CURVE_SIZES:
            continue
        inflation = 1.0
        if len(scores) > 1:
            # The folds share training rows.
            inflation += len(scores) * n_test / n_train
        else:
            scores = part.groupby(["draw", "n_train"])["score"].mean().unstack("n_train")
        lower, upper = metric_bounds(key[2])
        # A score outside, such as an error_score, says that the range is another one.
        if lower is not None and part["score"].min() < lower:
            lower = None
        if upper is not None and part["score"].max() > upper:
            upper = None
        curves[key] = LearningCurveFit(
            InversePowerLaw(lower=lower, upper=upper),
            variance_inflation=inflation,
            random_state=random_state,
        ).fit(scores.columns.to_numpy(), scores.to_numpy())
    return curves
