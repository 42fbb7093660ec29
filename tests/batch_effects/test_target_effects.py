"""Differences between classes are shrunk over features: noise goes, effects stay."""

import numpy as np
import pytest

from synth_estimators.batch_effects._target_effects import shrink_target_effects

COVARIANCE = np.array([[0.10, 0.05], [0.05, 0.10]])


def estimates(n_features, share, seed=0):
    """True effects of some features on two columns, and noisy estimates of them."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((2, n_features))
    n_changed = int(share * n_features)
    truth[:, :n_changed] = rng.normal(0.0, 2.0, (2, n_changed))
    return truth, truth + np.linalg.cholesky(COVARIANCE) @ rng.normal(size=truth.shape)


def error(found, truth):
    return np.sqrt(np.mean((found - truth) ** 2))


def test_pure_noise_is_taken_for_noise():
    truth, coef = estimates(2_000, 0.0)
    found = shrink_target_effects(coef, COVARIANCE, np.ones(2_000))
    assert error(found, truth) < 0.05 * error(coef, truth)


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_sparse_effects_are_kept_and_noise_is_not(share):
    truth, coef = estimates(2_000, share)
    found = shrink_target_effects(coef, COVARIANCE, np.ones(2_000))
    assert error(found, truth) < 0.6 * error(coef, truth)
    large = np.abs(truth).max(axis=0) > 3.0
    np.testing.assert_allclose(found[:, large], coef[:, large], rtol=0.1, atol=0.15)


def test_base_level_does_not_matter():
    _, coef = estimates(500, 0.1)
    recode = np.array([[-1.0, 0.0], [-1.0, 1.0]])
    found = shrink_target_effects(coef, COVARIANCE, np.ones(500))
    other = shrink_target_effects(recode @ coef, recode @ COVARIANCE @ recode.T, np.ones(500))
    np.testing.assert_allclose(other, recode @ found, atol=1e-8)


def test_unit_of_a_feature_does_not_matter():
    _, coef = estimates(500, 0.1)
    scale = np.random.default_rng(1).uniform(0.01, 100.0, 500)
    found = shrink_target_effects(coef, COVARIANCE, np.ones(500))
    other = shrink_target_effects(coef * scale, COVARIANCE, scale**2)
    np.testing.assert_allclose(other, found * scale, rtol=1e-10)


def test_no_effect_at_all():
    found = shrink_target_effects(np.zeros((1, 5)), np.eye(1), np.ones(5))
    np.testing.assert_array_equal(found, 0.0)
