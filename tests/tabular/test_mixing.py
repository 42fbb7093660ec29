"""Weights of two densities by held-out likelihood."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from synth_estimators.tabular._mixing import mixed_log_density, mixing_weight


def test_weight_of_a_known_mixture_is_found():
    rng = np.random.default_rng(0)
    first = rng.random(20_000) < 0.3
    values = np.where(first, rng.normal(0, 1, 20_000), rng.normal(4, 1, 20_000))
    log_first, log_second = norm.logpdf(values), norm.logpdf(values, 4)
    weight, _, _ = mixing_weight(log_first[None], log_second)
    # Four standard errors of the share of well separated components.
    assert weight == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 20_000))


def test_weight_maximises_the_likelihood_and_candidates_are_compared_by_it():
    rng = np.random.default_rng(1)
    candidates, other = np.log(rng.random((3, 500))), np.log(rng.random(500))

    def loss(weight, candidate):
        return -mixed_log_density(weight, candidates[candidate], other).mean()

    best = [minimize_scalar(loss, (0, 1), args=(c,), bounds=(0, 1)).fun for c in range(3)]
    weight, candidate, log_likelihood = mixing_weight(candidates, other)
    assert candidate == int(np.argmin(best))
    assert log_likelihood == pytest.approx(-min(best), abs=1e-4)
    assert log_likelihood == pytest.approx(-loss(weight, candidate))


def test_a_density_that_is_always_smaller_gets_no_share():
    weight, _, _ = mixing_weight(np.full((1, 50), -40.0), np.zeros(50))
    assert weight < 1e-12


def test_equal_densities_are_left_at_the_middle():
    weight, _, log_likelihood = mixing_weight(np.full((1, 50), -1.0), np.full(50, -1.0))
    assert weight == pytest.approx(0.5)
    assert log_likelihood == pytest.approx(-1.0)


@pytest.mark.parametrize(("weight", "expected"), [(0.0, -2.0), (1.0, -1.0)])
def test_the_mixture_ends_at_its_parts(weight, expected):
    assert mixed_log_density(weight, np.array(-1.0), np.array(-2.0)) == pytest.approx(expected)
