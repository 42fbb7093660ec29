import numpy as np
import pytest
from scipy import stats

from synth_estimators.model_selection._statistics import (
    corrected_resampled_ttest,
    correlated_bayesian_ttest,
    holm,
)

DIFFERENCES = np.array([0.02, 0.05, 0.03, 0.04, 0.01])


def test_statistic_follows_the_formula():
    test = corrected_resampled_ttest(DIFFERENCES, 80, 20)
    # D = 0.03, s² = 0.00025: t = 0.03 / sqrt((1/5 + 1/4) * 0.00025).
    assert test.statistic == pytest.approx(0.03 / np.sqrt(0.45 * 0.00025))
    assert test.pvalue == pytest.approx(2 * stats.t.sf(test.statistic, 4))
    assert (test.df, test.n_splits) == (4, 5)
    assert (test.low + test.high) / 2 == pytest.approx(0.03)


def test_without_test_rows_it_is_the_plain_t_test():
    test = corrected_resampled_ttest(DIFFERENCES, 1e12, 1)
    plain = stats.ttest_1samp(DIFFERENCES, 0)
    assert test.pvalue == pytest.approx(plain.pvalue)
    interval = plain.confidence_interval(0.95)
    np.testing.assert_allclose([test.low, test.high], [interval.low, interval.high], rtol=1e-9)


def test_sign_turns_with_the_order_of_the_methods():
    test, other = (corrected_resampled_ttest(s * DIFFERENCES, 80, 20) for s in (1, -1))
    assert test.statistic == -other.statistic
    assert test.pvalue == other.pvalue
    bayes, mirror = (correlated_bayesian_ttest(s * DIFFERENCES, 80, 20) for s in (1, -1))
    assert bayes.p_better == pytest.approx(mirror.p_worse)


def test_level_of_the_corrected_test_under_equal_methods():
    # Differences of splits that share rows: correlation n_test / (n_test + n_train).
    rng = np.random.default_rng(0)
    n_splits, rho = 10, 0.2
    shared = rng.normal(size=(800, 1)) * np.sqrt(rho)
    draws = shared + rng.normal(size=(800, n_splits)) * np.sqrt(1 - rho)
    corrected = [corrected_resampled_ttest(row, 80, 20).pvalue < 0.05 for row in draws]
    plain = [stats.ttest_1samp(row, 0).pvalue < 0.05 for row in draws]
    # Three standard errors of a share of 0.05 in 800 draws are 0.023.
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.023)
    assert np.mean(plain) > 0.15


def test_equal_differences_have_no_variance():
    assert corrected_resampled_ttest([0.0] * 4, 8, 2).pvalue == 1.0
    test = corrected_resampled_ttest([0.1] * 4, 8, 2)
    assert (test.statistic, test.pvalue) == (np.inf, 0.0)
    bayes = correlated_bayesian_ttest([0.1] * 4, 8, 2)
    assert (bayes.p_better, bayes.p_equivalent) == (1.0, 0.0)


def test_too_few_splits_have_no_test():
    for values in ([], [0.1], [0.1, np.nan]):
        assert np.isnan(corrected_resampled_ttest(values, 8, 2).pvalue)
        assert np.isnan(correlated_bayesian_ttest(values, 8, 2).p_better)
    assert corrected_resampled_ttest([0.1], 8, 2).mean == 0.1


def test_missing_splits_are_left_out():
    with_gap = corrected_resampled_ttest([*DIFFERENCES, np.nan], 80, 20)
    assert with_gap.pvalue == corrected_resampled_ttest(DIFFERENCES, 80, 20).pvalue


def test_posterior_probabilities_follow_the_t_distribution():
    test = correlated_bayesian_ttest(DIFFERENCES, 80, 20, rope=0.01)
    posterior = stats.t(4, loc=0.03, scale=np.sqrt((1 / 5 + 1 / 4) * 0.00025))
    assert test.p_worse == pytest.approx(posterior.cdf(-0.01))
    assert test.p_equivalent == pytest.approx(posterior.cdf(0.01) - posterior.cdf(-0.01))
    assert test.p_worse + test.p_equivalent + test.p_better == pytest.approx(1)


def test_holm_agrees_with_a_worked_example():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, made monotone.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: corrected_resampled_ttest([[0.1]], 8, 2), "one difference per split"),
        (lambda: corrected_resampled_ttest([0.1], 0, 2), "numbers of rows above 0"),
        (lambda: corrected_resampled_ttest([0.1, np.inf], 8, 2), "must be finite or NaN"),
        (lambda: corrected_resampled_ttest([0.1], 8, 2, level=1.0), "level=1.0"),
        (lambda: correlated_bayesian_ttest([0.1], 8, 2, rope=-1), "rope=-1"),
        (lambda: holm([0.1, 1.2]), "between 0 and 1"),
        (lambda: holm([[0.1]]), "one p-value per test"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
