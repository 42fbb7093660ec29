"""CalibratedGaussian: known truths, labels, stratified tables and edge cases."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators import CalibratedGaussian


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(226, 5)) @ rng.normal(size=(5, 40)) + rng.normal(size=(226, 40))
    return pd.DataFrame(np.rint(np.exp(5 + rows / 3)).astype(int)).rename(columns="g{}".format)


def test_moments_are_those_of_the_training_table(table):
    X = np.log2(table + 1)
    rows = CalibratedGaussian(random_state=0).fit(X).sample(20_000)
    np.testing.assert_allclose(rows.mean(), X.mean(), atol=0.03)
    np.testing.assert_allclose(rows.std(), X.std(), rtol=0.05)
    error = np.abs(np.corrcoef(rows.T) - np.corrcoef(X.T)).mean()
    assert error < 0.06  # shrinkage moves correlations, independent columns would give 0.3


def test_stratified_table_with_unsmoothed_margins_permutes_the_training_columns(table):
    model = CalibratedGaussian(margin_bandwidth=0.0, random_state=0).fit(table)
    rows = model.sample(len(table), stratified=True)
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(table, axis=0))
    assert not rows.equals(table)


def test_stratified_rows_stand_in_random_order(table):
    model = CalibratedGaussian(random_state=0).fit(table)
    rows = model.sample(2000, stratified=True)
    order = np.arange(2000)
    correlations = [np.corrcoef(order, rows[name])[0, 1] for name in rows]
    assert np.abs(correlations).max() < 0.1  # four standard errors of 2000 rows


def test_independent_rows_vary_more_than_stratified_ones(table):
    model = CalibratedGaussian(random_state=0).fit(table)
    means = {
        mode: np.std(
            [
                np.log2(model.sample(60, stratified=mode, random_state=s) + 1).mean()
                for s in range(20)
            ],
            axis=0,
        ).mean()
        for mode in (False, True)
    }
    assert means[True] < 0.1 * means[False]


def test_classes_keep_their_means_and_shares():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(["a", "b", "c"], [100, 60, 40]))
    centre = {"a": -3.0, "b": 0.0, "c": 5.0}
    X = rng.normal(size=(200, 6)) + np.array([centre[label] for label in y])[:, None]
    model = CalibratedGaussian(random_state=0).fit(X, y)
    rows, labels = model.sample_labeled(3000)
    for label, value in centre.items():
        assert abs(rows[labels == label].mean() - value) < 0.3
    shares = pd.Series(labels).value_counts(normalize=True)
    assert abs(shares["a"] - 0.5) < 0.04
    only = model.sample(200, y="c", stratified=True)
    assert abs(only.mean() - 5.0) < 0.3


def test_stratified_labels_have_exact_shares():
    X, y = np.random.default_rng(0).normal(size=(100, 3)), np.repeat([0, 1], [75, 25])
    _, labels = (
        CalibratedGaussian(random_state=0)
        .fit(X, y)
        .sample_labeled(class_counts={0: 40, 1: 8}, n_samples=48, stratified=True)
    )
    assert np.bincount(labels).tolist() == [40, 8]


def test_labels_are_refused_after_a_fit_without():
    model = CalibratedGaussian(random_state=0).fit(np.random.default_rng(0).normal(size=(20, 3)))
    assert not hasattr(model, "sample_labeled")
    with pytest.raises(ValueError, match="fitted without labels"):
        model.sample(3, y=0)


def test_mixture_finds_two_clouds_that_one_gaussian_misses():
    rng = np.random.default_rng(0)
    centre = np.where(rng.random(600) < 0.5, -3.0, 3.0)[:, None]
    X = centre * np.array([1, 1, 0, 0]) + rng.normal(size=(600, 4))

    def between(score_model):
        rows = CalibratedGaussian(score_model=score_model, random_state=0).fit(X).sample(2000)
        return (np.abs(rows[:, 0] + rows[:, 1]) < 2).mean()

    real = (np.abs(X[:, 0] + X[:, 1]) < 2).mean()
    assert abs(between("gmm") - real) < 0.05
    assert CalibratedGaussian(random_state=0).fit(X).score_model_ == "gmm"
    assert CalibratedGaussian(random_state=0).fit(X[:200]).score_model_ == "gaussian"


def test_clip_keeps_the_observed_range(table):
    X = np.log2(table + 1)
    rows = CalibratedGaussian(random_state=0).fit(X).sample(5000)
    assert (rows.min() >= X.min() - 1e-12).all()
    assert (rows.max() <= X.max() + 1e-12).all()
    free = CalibratedGaussian(clip=None, random_state=0).fit(X).sample(5000)
    assert (free.max() > X.max()).any()


@pytest.mark.parametrize("shape", [(2, 1), (2, 3), (3, 50), (40, 1), (10, 2)])
def test_tiny_tables_fit_and_sample(shape):
    X = np.random.default_rng(0).normal(size=shape)
    rows = CalibratedGaussian(random_state=0).fit(X).sample(7)
    assert rows.shape == (7, shape[1])
    assert np.isfinite(rows).all()


def test_constant_table_comes_back_exactly():
    rows = CalibratedGaussian(random_state=0).fit(np.full((10, 3), 4.5)).sample(4)
    np.testing.assert_array_equal(rows, np.full((4, 3), 4.5))


def test_one_row_is_refused():
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        CalibratedGaussian().fit(np.ones((1, 3)))


def test_twenty_thousand_columns_in_bounded_time():
    X = np.random.default_rng(0).normal(size=(60, 20_000)).astype(np.float32)
    model = CalibratedGaussian(random_state=0).fit(X)
    assert model.frame_.covariance_.components.shape == (20_000, 59)
    assert model.sample(5).shape == (5, 20_000)
