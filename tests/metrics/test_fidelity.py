import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from synth_estimators.metrics import (
    column_shapes_score,
    ks_complement,
    shape_noise_floor,
    tv_complement,
)


def test_ks_complement_agrees_with_scipy_with_ties():
    rng = np.random.default_rng(0)
    real, synth = rng.poisson(3, 70), rng.poisson(4, 50)
    assert ks_complement(real, synth) == pytest.approx(1 - ks_2samp(real, synth).statistic)
    assert ks_complement(synth, real) == ks_complement(real, synth)


def test_equal_columns_score_exactly_one():
    rng = np.random.default_rng(0)
    values = rng.normal(size=97)
    assert ks_complement(values, rng.permutation(values)) == 1.0
    letters = rng.choice(list("abcdefg"), 97)
    assert tv_complement(letters, rng.permutation(letters)) == 1.0


def test_ks_complement_is_invariant_to_monotone_maps():
    rng = np.random.default_rng(0)
    real, synth = rng.normal(size=60), rng.normal(size=50)
    assert ks_complement(np.exp(real), np.exp(synth)) == ks_complement(real, synth)


def test_constant_columns_compare():
    assert ks_complement([2.0, 2.0], [2.0, 2.0, 2.0]) == 1.0
    assert ks_complement([2.0, 2.0], [3.0]) == 0.0
    assert tv_complement(["a", "a"], ["b"]) == 0.0


def test_missing_cells_are_dropped_in_each_table():
    assert ks_complement([1.0, 2.0, np.nan], [1.0, 2.0]) == 1.0


@pytest.mark.parametrize("function", [ks_complement, tv_complement])
def test_one_column_may_come_in_several_shapes(function):
    a, b = np.array([1, 2, 2, 3]), np.array([1, 1, 2, 5])
    expected = function(a, b)
    assert function(pd.Series(a, name="a"), b.tolist()) == expected
    assert function(a.reshape(-1, 1), pd.DataFrame({"other": b})) == expected
    outcome = function(pd.DataFrame({"k": a}), pd.DataFrame({"k": b}), breakdown=True)
    assert outcome.score == expected
    assert outcome.details["column"].tolist() == ["k"]
    with pytest.raises(ValueError, match="compares one column"):
        function(np.ones((4, 2)), np.ones((4, 2)))


def test_noise_floor_is_the_mean_ks_of_two_samples():
    rng = np.random.default_rng(0)
    scores = [ks_complement(rng.normal(size=80), rng.normal(size=120)) for _ in range(400)]
    # The sd of one statistic is 0.036, that of the mean of 400 is 0.002; the law is asymptotic.
    assert 1 - np.mean(scores) == pytest.approx(shape_noise_floor(80, 120), abs=0.008)
    with pytest.raises(ValueError, match="at least 1"):
        shape_noise_floor(0, 5)


def test_column_shapes_do_not_see_dependence():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1)) + 0.1 * rng.normal(size=(100, 3))
    assert column_shapes_score(x, rng.permuted(x, axis=0)) == 1.0
