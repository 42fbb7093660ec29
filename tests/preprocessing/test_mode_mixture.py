"""Batched variational mixtures, against scikit-learn's of one column."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.mixture import BayesianGaussianMixture

from synth_estimators.preprocessing._mode_mixture import Support, fit_mixtures
from synth_estimators.preprocessing._value_codes import fit_value_codes


def support_of(values):
    return Support.from_counts(*np.unique(values, return_counts=True))


def fit(columns, n_components=10, seed=0):
    supports = [support_of(values) for values in columns]
    return fit_mixtures(supports, n_components=n_components, rng=np.random.default_rng(seed))


def mean_log_likelihood(values, weights, means, deviations):
    logs = norm.logpdf(values[:, None], means, deviations)
    with np.errstate(divide="ignore"):
        return logsumexp(logs + np.log(weights), axis=1).mean()


def columns_of_all_shapes(n_rows):
    rng = np.random.default_rng(0)
    draw = [
        lambda: rng.normal(size=n_rows),
        lambda: rng.normal(1e6, 1e-2, n_rows),
        lambda: rng.exponential(size=n_rows),
        lambda: rng.lognormal(size=n_rows),
        lambda: rng.standard_t(3, n_rows),
        lambda: rng.uniform(-1, 1, n_rows),
        lambda: np.where(rng.random(n_rows) < 0.3, rng.normal(-4, 0.3, n_rows), rng.normal(2, 1)),
        lambda: rng.normal(rng.choice([-5.0, 0.0, 5.0, 20.0], n_rows), 0.7),
        lambda: rng.integers(0, 100, n_rows).astype(float),
        lambda: rng.gamma(0.7, 100.0, n_rows),
    ]
    return [column() for column in draw + draw]


@pytest.mark.parametrize("n_rows", [600, pytest.param(4000, marks=pytest.mark.slow)])
def test_likelihood_is_that_of_scikit_learn(n_rows):
    columns = columns_of_all_shapes(n_rows)
    worse = []
    for values, mixture in zip(columns, fit(columns), strict=True):
        peer = BayesianGaussianMixture(
            n_components=10,
            weight_concentration_prior_type="dirichlet_process",
            weight_concentration_prior=1e-3,
            random_state=0,
        )
        # In standard units, where the added variance of 1e-6 means the same to both.
        scale = values.std()
        z = (values - values.mean()) / scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(z[:, None])
        theirs = mean_log_likelihood(
            z, peer.weights_, peer.means_[:, 0], np.sqrt(peer.covariances_[:, 0, 0])
        )
        ours = mean_log_likelihood(
            values, mixture.weights, mixture.means, mixture.deviations
        ) + np.log(scale)
        worse.append(theirs - ours)
    assert max(worse) < 0.02


def test_one_update_is_that_of_scikit_learn():
    """Two far groups: nothing is left to the start, and both programs find one optimum."""
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(0, 1, 300), rng.normal(50, 2, 100)]
    (mixture,) = fit([values], n_components=2)
    z = (values - values.mean()) / values.std()
    peer = BayesianGaussianMixture(
        n_components=2,
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=1e-3,
        # scikit-learn divides the variance of the prior by n - 1.
        covariance_prior=[[1.0]],
        tol=1e-10,
        max_iter=500,
        random_state=0,
    ).fit(z[:, None])
    order, peers = np.argsort(mixture.means), np.argsort(peer.means_[:, 0])
    means = values.mean() + values.std() * peer.means_[peers, 0]
    assert_allclose(mixture.means[order], means, rtol=1e-6, atol=1e-6)
    spread = values.std() * np.sqrt(peer.covariances_[peers, 0, 0])
    assert_allclose(mixture.deviations[order], spread, rtol=1e-5)
    assert_allclose(mixture.weights[order], peer.weights_[peers], rtol=1e-5)
    # The responsibilities, too, expectations of logarithms included.
    x = np.linspace(-0.2, 0.9, 40)
    score = ((values.mean() + values.std() * x)[:, None] - mixture.means) / mixture.deviations
    logs = mixture.log_scale - 0.5 * score**2
    ours = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    assert_allclose(ours[:, order], peer.predict_proba(x[:, None])[:, peers], atol=1e-5)


def test_known_mixture_is_recovered():
    rng = np.random.default_rng(1)
    values = np.r_[rng.normal(-3, 0.5, 20_000), rng.normal(4, 1.5, 60_000)]
    (mixture,) = fit([values], n_components=2)
    order = np.argsort(mixture.means)
    # Standard errors are below 0.01.
    assert_allclose(mixture.means[order], [-3, 4], atol=0.04)
    assert_allclose(mixture.deviations[order], [0.5, 1.5], atol=0.04)
    assert_allclose(mixture.weights[order], [0.25, 0.75], atol=0.01)


def test_points_keep_mean_and_variance():
    values = np.random.default_rng(0).lognormal(size=30_000)
    support = support_of(values)
    assert len(support.points) <= 512
    share = support.counts / support.counts.sum()
    mean = (share * support.points).sum()
    assert_allclose(mean, values.mean())
    square = share * ((support.points - mean) ** 2 + support.spread)
    assert_allclose(square.sum(), values.var())


def test_columns_do_not_disturb_each_other():
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=300), rng.exponential(size=2000), np.arange(30.0)]
    # One component has one optimum, whatever the start.
    together = fit(columns, n_components=1)
    for values, mixture in zip(columns, together, strict=True):
        (alone,) = fit([values], n_components=1)
        assert_allclose(mixture.means, alone.means, rtol=1e-10, atol=1e-12)
        assert_allclose(mixture.deviations, alone.deviations, rtol=1e-10)


def test_scale_and_centre_do_not_matter():
    values = np.random.default_rng(0).gamma(2.0, size=800)
    (plain,) = fit([values])
    (moved,) = fit([1e-5 * values - 7.0])
    assert_allclose(moved.means, 1e-5 * plain.means - 7.0, atol=1e-9)
    assert_allclose(moved.weights, plain.weights, atol=1e-6)


def test_values_out_of_reach_get_a_component():
    values = np.r_[np.random.default_rng(0).normal(size=3000), 80.0, 500.0, -90.0]
    settings = {"max_clusters": 3, "weight_threshold": 0.005, "spike_threshold": 0.02}
    (codes,) = fit_value_codes([values], numeric="modes", rng=np.random.default_rng(0), **settings)
    uniform = np.random.default_rng(1).random(len(values))
    scalars, found = codes.encode(values, uniform)
    assert np.abs(scalars).max() <= 0.99
    assert_allclose(codes.decode(scalars, found), values, atol=1e-4)
