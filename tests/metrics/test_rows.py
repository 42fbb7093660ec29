"""Discrepancies between tables of rows: kernels, transport, nearest neighbours, p-values."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy.spatial.distance import cdist, pdist
from scipy.stats import kstest, wasserstein_distance
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.naive_bayes import GaussianNB

from synth_estimators import _distances
from synth_estimators.metrics import _transport as transport
from synth_estimators.metrics import (
    c2st_test,
    mmd,
    mmd_test,
    nn_adversarial_accuracy,
    privacy_loss,
    sliced_wasserstein_distance,
    wasserstein_exact,
)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(3, 200, 3))


def test_mmd_by_the_definition(points):
    real, synth = points[0][:60], points[1][:40] + 0.5
    kernels = [rbf_kernel(*pair, gamma=0.3) for pair in ((real, real), (synth, synth))]
    across = rbf_kernel(real, synth, gamma=0.3).mean()
    biased = sum(k.mean() for k in kernels) - 2 * across
    unbiased = sum((k.sum() - len(k)) / len(k) / (len(k) - 1) for k in kernels) - 2 * across
    options = {"gamma": 0.3, "space": "identity"}
    assert mmd(real, synth, **options) == pytest.approx(biased)
    assert mmd(real, synth, biased=False, **options) == pytest.approx(unbiased)
    outcome = mmd(real, synth, breakdown=True, **options)
    means = [kernels[0].mean(), kernels[1].mean(), across]
    np.testing.assert_allclose(outcome.details["mean_kernel"], means)
    assert (outcome.n_real, outcome.n_synth, outcome.gammas) == (60, 40, [0.3])


def test_unbiased_mmd_may_be_negative(points):
    values = [mmd(points[0][i : i + 20], points[1][i : i + 20], biased=False) for i in range(100)]
    assert min(values) < 0 < max(values)


def test_default_kernels_follow_the_median_distance(points):
    outcome = mmd(points[0], points[1], space="identity", breakdown=True)
    median = np.median(pdist(points[0]) ** 2)
    np.testing.assert_allclose(outcome.gammas, np.array([0.5, 1, 2]) / median)
    # Mostly copies: the median is 0.
    copies = np.zeros((50, 2))
    copies[:5] = np.arange(10).reshape(5, 2)
    assert np.isfinite(mmd(copies, points[0][:, :2]))
    assert mmd(np.zeros((5, 1)), np.zeros((5, 1))) == 0.0


def test_blocks_of_rows_do_not_change_mmd(points, monkeypatch):
    whole = mmd(points[0], points[1])
    monkeypatch.setattr(_distances, "_BLOCK_ELEMENTS", 1000)
    assert mmd(points[0], points[1]) == pytest.approx(whole, abs=1e-12)


def test_mmd_test_is_uniform_for_one_law_and_small_for_two():
    rng = np.random.default_rng(0)
    values = []
    for seed in range(50):
        real, synth = rng.normal(size=(2, 40, 2))
        values.append(mmd_test(real, synth, n_permutations=99, random_state=seed))
    # 50 p-values of a correct test; its own p-value falls below 0.001 once in 1000 seeds.
    assert kstest(values, "uniform").pvalue > 0.001
    assert mmd_test(real, synth + 1.5, random_state=0) == pytest.approx(1 / 201)


def test_mmd_test_of_equal_tables_and_of_one_row(points):
    assert mmd_test(points[0], points[0], random_state=0) == 1.0
    with pytest.warns(UndefinedMetricWarning, match="mmd_test is undefined"):
        assert np.isnan(mmd_test(points[0][:1], points[1]))
    with pytest.warns(UndefinedMetricWarning, match="unbiased value needs"):
        assert np.isnan(mmd(points[0][:1], points[1], biased=False))


def test_the_statistic_of_mmd_test_is_the_unbiased_discrepancy(points):
    outcome = mmd_test(
        points[0], points[1] + 0.2, gamma=0.2, random_state=0, n_permutations=20, breakdown=True
    )
    expected = mmd(points[0], points[1] + 0.2, gamma=0.2, biased=False)
    assert outcome.statistic == pytest.approx(expected, abs=1e-12)
    assert len(outcome.details) == 20
    rank = 1 + (outcome.details["statistic"] >= outcome.statistic).sum()
    assert outcome.score == rank / 21


@pytest.mark.parametrize("n_synth", [200, 130, 1])
def test_projections_agree_with_scipy(points, n_synth):
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(7, 3))
    synth = points[1][:n_synth]
    expected = [wasserstein_distance(points[0] @ d, synth @ d) for d in directions]
    found = transport._projected_distances(points[0], synth, directions)
    np.testing.assert_allclose(found, expected)


def test_sliced_distance_of_a_shift_is_known(points):
    # E|u_1| of a unit vector in three dimensions is one half.
    moved = points[0] + [4.0, 0.0, 0.0]
    options = {"space": "identity", "n_directions": 2000, "random_state": 0}
    assert sliced_wasserstein_distance(points[0], moved, **options) == pytest.approx(2.0, abs=0.1)
    outcome = sliced_wasserstein_distance(points[0], points[1], random_state=3, breakdown=True)
    assert len(outcome.details) == 200
    assert sliced_wasserstein_distance(points[0], points[1], random_state=3) == outcome.score


def test_blocks_of_directions_change_nothing(points, monkeypatch):
    whole = sliced_wasserstein_distance(points[0], points[1], random_state=0)
    monkeypatch.setattr(transport, "_BLOCK_ELEMENTS", 1000)
    blocked = sliced_wasserstein_distance(points[0], points[1], random_state=0)
    assert blocked == pytest.approx(whole, abs=1e-13)


def test_exact_distance_in_one_dimension_is_that_of_the_sorted_values(points):
    a, b = points[0][:, :1], points[1][:, :1]
    gaps = np.abs(np.sort(a, axis=0) - np.sort(b, axis=0))
    assert wasserstein_exact(a, b, space="identity") == pytest.approx(gaps.mean())
    second = wasserstein_exact(a, b, order=2, space="identity")
    assert second == pytest.approx(np.sqrt((gaps**2).mean()))


def test_exact_distance_cuts_and_checks(points):
    outcome = wasserstein_exact(points[0], points[1][:30], random_state=0, breakdown=True)
    assert outcome.n_rows == 30
    assert outcome.score == pytest.approx(outcome.details["distance"].mean())
    with pytest.raises(ValueError, match="order=3 must be 1 or 2"):
        wasserstein_exact(points[0], points[1], order=3)
    with pytest.raises(ValueError, match="between 1 and 2000"):
        wasserstein_exact(points[0], points[1], max_rows=10_000)


def test_adversarial_accuracy_by_the_definition(points):
    real, synth = points[0][:50], points[1][:50] * 1.3
    within = [cdist(rows, rows) + np.diag([np.inf] * 50) for rows in (real, synth)]
    across = cdist(real, synth)
    expected = 0.5 * (
        np.mean(across.min(axis=1) > within[0].min(axis=1))
        + np.mean(across.min(axis=0) > within[1].min(axis=1))
    )
    outcome = nn_adversarial_accuracy(real, synth, space="identity", breakdown=True)
    assert outcome.score == expected
    assert outcome.score == 0.5 * (outcome.share_real + outcome.share_synth)
    assert len(outcome.details) == 100


def test_adversarial_accuracy_of_fresh_rows_and_privacy_loss(points):
    train, holdout, fresh = points
    # 400 comparisons have a standard error of 0.03.
    assert nn_adversarial_accuracy(train, fresh) == pytest.approx(0.5, abs=0.1)
    loss = privacy_loss(X_train=train, X_holdout=holdout, X_synth=fresh)
    assert loss == pytest.approx(0.0, abs=0.12)
    near_copies = train + 1e-3
    copied = privacy_loss(X_train=train, X_holdout=holdout, X_synth=near_copies, breakdown=True)
    assert copied.score == pytest.approx(0.5, abs=0.1)
    assert copied.details["accuracy"].iloc[1] == 0.0
    assert privacy_loss(holdout, near_copies, X_train=train) == copied.score
    assert privacy_loss(train, near_copies, X_holdout=holdout) == copied.score
    with pytest.raises(ValueError, match="X_holdout is missing"):
        privacy_loss(train, fresh)


@pytest.mark.parametrize(
    "function", [mmd, mmd_test, sliced_wasserstein_distance, wasserstein_exact]
)
def test_gower_space_is_refused_where_it_has_no_meaning(function, points):
    with pytest.raises(ValueError, match=r"gower|Euclidean"):
        function(points[0], points[1], space="gower")


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (mmd, {"gamma": 0.0}, "gamma=0.0 must be larger than 0"),
        (mmd_test, {"n_permutations": 0}, "n_permutations=0"),
        (sliced_wasserstein_distance, {"n_directions": 0}, "n_directions=0"),
        (c2st_test, {"method": "exact"}, "method='exact' is unknown"),
        (c2st_test, {"n_permutations": 0}, "n_permutations=0"),
        (c2st_test, {"cv": 1}, "cv=1 must be at least 2"),
    ],
)
def test_wrong_options_are_refused(function, options, message, points):
    with pytest.raises(ValueError, match=message):
        function(points[0], points[1], **options)


@pytest.mark.parametrize("method", ["z", "permutation"])
def test_classifier_test_finds_a_shift_and_nothing_in_one_law(method, points):
    options = {"estimator": GaussianNB(), "method": method, "n_permutations": 19}
    assert c2st_test(points[0], points[1] + 1, random_state=0, **options) <= 0.05
    values = [
        c2st_test(points[0][i::4], points[1][i::4], random_state=i, **options) for i in range(4)
    ]
    assert max(values) > 0.2


def test_z_of_the_classifier_test_by_the_formula(points):
    options = {"estimator": "logistic", "random_state": 0, "match_size": False}
    outcome = c2st_test(points[0], points[1][:90] + 0.3, breakdown=True, **options)
    expected = (outcome.auc - 0.5) / np.sqrt((200 + 90 + 1) / (12 * 200 * 90))
    assert outcome.z == pytest.approx(expected)
    assert (outcome.n_real, outcome.n_synth, len(outcome.details)) == (200, 90, 0)


def test_permutations_do_not_depend_on_the_number_of_jobs(points):
    options = {"estimator": GaussianNB(), "method": "permutation", "n_permutations": 6}
    options |= {"random_state": 1, "breakdown": True}
    with parallel_config(backend="threading"):
        runs = [
            c2st_test(points[0][:60], points[1][:60], n_jobs=n_jobs, **options) for n_jobs in (1, 2)
        ]
    pd.testing.assert_frame_equal(runs[0].details, runs[1].details)


@pytest.mark.slow
def test_classifier_test_keeps_its_level():
    rng = np.random.default_rng(0)
    values = [
        c2st_test(*rng.normal(size=(2, 100, 3)), estimator="logistic", random_state=seed)
        for seed in range(200)
    ]
    # 0.05 if rows of a fold were independent; their dependence adds some. Standard error 0.02.
    assert 0.01 < np.mean(np.array(values) < 0.05) < 0.15


@pytest.mark.slow
def test_permutations_keep_their_level():
    rng = np.random.default_rng(0)
    options = {"estimator": GaussianNB(), "method": "permutation", "n_permutations": 19, "cv": 3}
    values = np.array(
        [c2st_test(*rng.normal(size=(2, 30, 2)), random_state=s, **options) for s in range(100)]
    )
    # P-values of a valid test: 0.1 on average below 0.1 and half below 0.5; four standard errors.
    assert np.mean(values <= 0.1) <= 0.1 + 4 * 0.03
    assert np.mean(values <= 0.5) == pytest.approx(0.5, abs=4 * 0.05)
