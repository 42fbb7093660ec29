"""Metrics of single columns: continuous, discrete, missing cells."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import (
    METRICS,
    boundary_adherence,
    category_adherence,
    category_coverage,
    jensen_shannon_distance,
    missing_value_similarity,
    range_coverage,
    statistic_similarity,
    wasserstein_1d,
)

CONTINUOUS = ["boundary_adherence", "range_coverage", "statistic_similarity", "wasserstein_1d"]
DISCRETE = ["category_adherence", "category_coverage"]
ANY = ["jensen_shannon_distance", "missing_value_similarity"]


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    return rng.gamma(2.0, size=90), rng.gamma(3.0, size=70)


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    return [
        pd.DataFrame(
            {
                "x": rng.normal(size=n),
                "g": rng.choice(list("abc"), n),
                "k": rng.poisson(4, n),
                "h": rng.random(n) < 0.3,
            }
        )
        for n in (80, 60)
    ]


@pytest.mark.parametrize("name", CONTINUOUS + DISCRETE + ANY)
def test_a_table_is_the_mean_of_its_columns(name, tables):
    function = METRICS[name].function
    outcome = function(*tables, breakdown=True)
    wanted = {"c": ["x", "k"], "d": ["g", "h"], "a": ["x", "g", "k", "h"]}
    kind = "c" if name in CONTINUOUS else "d" if name in DISCRETE else "a"
    assert outcome.details["column"].tolist() == wanted[kind]
    single = [function(tables[0][column], tables[1][column]) for column in wanted[kind]]
    assert outcome.details["score"].tolist() == single
    assert outcome.score == pytest.approx(np.mean(single))


@pytest.mark.parametrize("name", CONTINUOUS + DISCRETE + ANY)
def test_one_column_may_come_in_several_shapes(name):
    function = METRICS[name].function
    a, b = np.array([1, 2, 2, 3]), np.array([1, 1, 2, 5])
    expected = function(a, b)
    assert function(pd.Series(a, name="a"), b.tolist()) == expected
    assert function(a.reshape(-1, 1), b.reshape(-1, 1)) == expected
    frames = pd.DataFrame({"k": a}), pd.DataFrame({"k": b})
    outcome = function(*frames, breakdown=True)
    assert outcome.score == expected
    assert outcome.details["column"].tolist() == ["k"]


@pytest.mark.parametrize("scale", [None, "range", "real_sd"])
def test_wasserstein_1d_agrees_with_scipy(columns, scale):
    real, synth = columns
    unit = {None: 1.0, "range": np.ptp(real), "real_sd": real.std()}[scale]
    expected = wasserstein_distance(real, synth) / unit
    assert wasserstein_1d(real, synth, scale=scale) == pytest.approx(expected)
    weight = np.random.default_rng(1).random(90)
    weighted = wasserstein_1d(real, synth, scale=None, sample_weight=weight)
    assert weighted == pytest.approx(wasserstein_distance(real, synth, weight))
    with pytest.raises(ValueError, match="scale='iqr' is unknown"):
        wasserstein_1d(real, synth, scale="iqr")


def test_jensen_shannon_agrees_with_scipy():
    real, synth = list("aabbbcd"), list("abbccc")
    p, q = np.array([2, 3, 1, 1]) / 7, np.array([1, 2, 3, 0]) / 6
    assert jensen_shannon_distance(real, synth) == pytest.approx(jensenshannon(p, q))
    assert jensen_shannon_distance(synth, real) == pytest.approx(jensenshannon(p, q))


def test_quantile_bins_of_the_real_column(columns):
    real, synth = columns
    edges = np.sort(real)[np.arange(9, 90, 9)[:9] - 1]
    p = np.histogram(real, np.r_[-np.inf, np.nextafter(edges, np.inf), np.inf])[0]
    q = np.histogram(synth, np.r_[-np.inf, np.nextafter(edges, np.inf), np.inf])[0]
    assert p.tolist() == [9] * 10
    score = jensen_shannon_distance(real, synth, n_bins=10)
    assert score == pytest.approx(jensenshannon(p / 90, q / 70))
    # Rank metrics do not change with a monotone map.
    assert jensen_shannon_distance(np.log(real), np.log(synth), n_bins=10) == score
    with pytest.raises(ValueError, match="n_bins=1 must be at least 2"):
        jensen_shannon_distance(real, synth, n_bins=1)


def test_columns_without_common_support_are_as_far_as_can_be(columns):
    assert jensen_shannon_distance(columns[0], columns[0] + 99) > 0.7
    assert jensen_shannon_distance([3.0, 3.0], [2.0]) == pytest.approx(np.sqrt(np.log(2)))
    assert jensen_shannon_distance([3.0, 3.0], [4.0]) == pytest.approx(np.sqrt(np.log(2)))
    assert jensen_shannon_distance([3.0, 3.0], [3.0]) == 0.0


def test_ranges_by_hand():
    assert boundary_adherence([0.0, 10.0], [-1.0, 0.0, 10.0, 11.0]) == 0.5
    assert range_coverage([0.0, 10.0], [-5.0, 15.0]) == 1.0
    assert range_coverage([0.0, 10.0], [20.0, 30.0]) == 0.0
    with pytest.warns(UndefinedMetricWarning, match="range_coverage is undefined"):
        assert np.isnan(range_coverage([3.0, 3.0], [3.0, 4.0]))


def test_single_precision_does_not_leave_the_range():
    real = pd.DataFrame({"x": [0.0, 0.1]})
    synth = real.astype("float32")
    assert float(synth["x"].max()) > 0.1
    assert boundary_adherence(real, synth) == 1.0


@pytest.mark.parametrize("statistic", ["mean", "median", "std"])
def test_constant_columns_compare(statistic):
    same = statistic_similarity([2.0, 2.0], [2.0, 2.0], statistic=statistic)
    other = statistic_similarity([2.0, 2.0], [3.0, 5.0], statistic=statistic)
    assert (same, other) == (1.0, 0.0)
    assert boundary_adherence([2.0, 2.0], [2.0]) == 1.0
    assert boundary_adherence([2.0, 2.0], [3.0]) == 0.0
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(wasserstein_1d([2.0, 2.0], [3.0]))
    assert wasserstein_1d([2.0, 2.0], [3.0], scale=None) == 1.0


def test_unknown_statistic_and_one_row_of_std():
    with pytest.raises(ValueError, match="statistic='mode' is unknown"):
        statistic_similarity([1.0], [1.0], statistic="mode")
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(statistic_similarity([1.0, 2.0], [1.0], statistic="std"))


def test_categories_by_hand():
    real, synth = ["a", "a", "b", None], ["a", "a", "z", "z"]
    assert category_coverage(real, synth) == pytest.approx(1 / 3)
    assert category_adherence(real, synth) == 0.5
    assert category_coverage([1, 2], ["2.0", True]) == 1.0


def test_missing_cells_of_both_kinds():
    real = pd.DataFrame({"x": [1.0, None, 3.0, 4.0], "g": ["a", None, None, "b"]})
    synth = pd.DataFrame({"x": [1.0, np.inf, np.nan, 4.0], "g": ["a", "a", "a", "b"]})
    details = missing_value_similarity(real, synth, breakdown=True).details
    assert details["score"].tolist() == [0.75, 0.5]
    assert details["n_nonfinite"].tolist() == [1, 0]
    assert missing_value_similarity(real["g"], real["g"], sample_weight=[1, 0, 0, 3]) == 0.5


@pytest.mark.parametrize(
    ("name", "worst"),
    [
        ("boundary_adherence", 0.0),
        ("range_coverage", 0.0),
        ("statistic_similarity", 0.0),
        ("wasserstein_1d", np.inf),
        ("jensen_shannon_distance", np.sqrt(np.log(2))),
    ],
)
def test_a_column_missing_altogether_is_the_worst(name, worst):
    function, full, empty = METRICS[name].function, [1.0, 2.0, 4.0], [np.nan, np.nan]
    assert function(full, empty) == pytest.approx(worst)
    assert function(empty, full) == pytest.approx(worst)
    with pytest.warns(UndefinedMetricWarning, match=f"{name} is undefined"):
        assert np.isnan(function(empty, empty))


def test_discrete_columns_missing_in_both_tables_are_left_out():
    real = pd.DataFrame({"g": ["a", "b"], "both": [None, None]})
    details = jensen_shannon_distance(real, real, breakdown=True).details
    np.testing.assert_array_equal(details["score"], [0.0, np.nan])


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], r"shape \(2,\), but X_real has 3 rows"),
        ([1.0, -1.0, 1.0], "at least 0"),
        ([0.0, 0.0, 0.0], "not all 0"),
        ([1.0, np.nan, 1.0], "finite weights"),
    ],
)
def test_weights_are_checked(weight, message):
    with pytest.raises(ValueError, match=message):
        wasserstein_1d([1.0, 2.0, 3.0], [1.0], sample_weight=weight)
