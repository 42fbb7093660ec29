import warnings

import numpy as np
import pytest
from scipy.stats import anderson_ksamp

from synth_estimators.batch_effects._anderson import anderson_darling, critical_value


def scipy_results(X, codes):
    results = []
    for column in X.T:
        groups = [column[codes == code] for code in np.unique(codes)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # p-values outside the table
            results.append(anderson_ksamp(groups))
    return results


@pytest.mark.parametrize("n_groups", [2, 3, 5])
@pytest.mark.parametrize("decimals", [None, 1, 0], ids=["distinct", "some ties", "many ties"])
def test_statistic_equals_scipy_feature_by_feature(n_groups, decimals):
    rng = np.random.default_rng(n_groups)
    codes = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, 30)])
    X = rng.normal(size=(len(codes), 6)) + np.linspace(0, 1, 6) * codes[:, None]
    if decimals is not None:
        X = X.round(decimals)
    expected = [result.statistic for result in scipy_results(X, codes)]
    np.testing.assert_allclose(anderson_darling(X, codes, n_groups), expected, rtol=1e-10)


@pytest.mark.parametrize("n_groups", [2, 3, 6])
def test_critical_value_is_the_published_one(n_groups):
    codes = np.arange(24) % n_groups
    X = np.random.default_rng(0).normal(size=(24, 1))
    # Entries of scipy are for 25, 10, 5, 2.5, 1, 0.5 and 0.1 per cent.
    assert critical_value(n_groups) == pytest.approx(scipy_results(X, codes)[0].critical_values[2])


def test_features_are_the_same_in_blocks_and_alone(monkeypatch):
    X = np.random.default_rng(0).normal(size=(20, 7))
    codes = np.arange(20) % 3
    whole = anderson_darling(X, codes, 3)
    monkeypatch.setattr("synth_estimators.batch_effects._anderson._BLOCK_VALUES", 40)
    np.testing.assert_array_equal(anderson_darling(X, codes, 3), whole)


def test_constant_feature_does_not_differ():
    codes = np.arange(8) % 2
    X = np.column_stack([np.full(8, 3.0), codes])
    statistic = anderson_darling(X, codes, 2)
    assert statistic[0] == 0
    assert statistic[1] > critical_value(2)
