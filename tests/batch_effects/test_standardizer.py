"""BatchStandardizer: means and spreads by hand, references, missing cells, new batches."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators.batch_effects import BatchStandardizer


@pytest.fixture
def table(batch_data):
    return batch_data.table("norm_X"), batch_data.meta("norm")["batch"]


def by_hand(X, batch, scale):
    """Centre and scale with pandas' own group statistics."""
    groups = X.groupby(batch)
    mean, sd = groups.transform("mean"), groups.transform("std")
    pooled = np.sqrt(((X - mean) ** 2).sum() / (len(X) - batch.nunique()))
    factor = pooled / sd if scale else 1.0
    return (X - mean) * factor + X.mean()


@pytest.mark.parametrize("scale", [False, True])
def test_training_rows_equal_the_formula(table, scale):
    X, batch = table
    corrected = BatchStandardizer(scale=scale).fit_transform(X, batch=batch)
    pd.testing.assert_frame_equal(corrected, by_hand(X, batch, scale), rtol=1e-12)


def test_batches_have_grand_mean_and_pooled_spread_afterwards(table):
    X, batch = table
    standardizer = BatchStandardizer(scale=True)
    corrected = standardizer.fit_transform(X, batch=batch)
    for name in standardizer.batches_:
        rows = corrected[batch == name]
        np.testing.assert_allclose(rows.mean(), standardizer.target_mean_, rtol=1e-12)
        np.testing.assert_allclose(rows.std(), standardizer.target_sd_, rtol=1e-12)


def test_without_centring_only_the_spread_changes(table):
    X, batch = table
    standardizer = BatchStandardizer(center=False, scale=True)
    corrected = standardizer.fit_transform(X, batch=batch)
    np.testing.assert_allclose(corrected.groupby(batch).mean(), X.groupby(batch).mean(), rtol=1e-12)
    spreads = corrected.groupby(batch).std()
    np.testing.assert_allclose(spreads, np.tile(standardizer.target_sd_, (3, 1)), rtol=1e-12)


def test_reference_rows_stay_bit_for_bit_and_others_reach_their_moments(table):
    X, batch = table
    standardizer = BatchStandardizer(scale=True, target="reference", reference_batch="b2")
    corrected = standardizer.fit_transform(X, batch=batch)
    reference = batch == "b2"
    assert np.array_equal(corrected[reference], X[reference])
    for name in ("b1", "b3"):
        rows = corrected[batch == name]
        np.testing.assert_allclose(rows.mean(), X[reference].mean(), rtol=1e-12)
        np.testing.assert_allclose(rows.std(), X[reference].std(), rtol=1e-12)


def test_reference_has_to_be_a_batch(table):
    X, batch = table
    standardizer = BatchStandardizer(target="reference", reference_batch="b9")
    with pytest.raises(ValueError, match=r"reference_batch='b9'.*'b1', 'b2', 'b3'"):
        standardizer.fit(X, batch=batch)


def test_target_and_reference_have_to_agree(table):
    X, batch = table
    with pytest.raises(ValueError, match="needs reference_batch"):
        BatchStandardizer(target="reference").fit(X, batch=batch)
    with pytest.raises(ValueError, match="set target='reference'"):
        BatchStandardizer(reference_batch="b1").fit(X, batch=batch)


def test_new_rows_use_the_fitted_moments(table):
    X, batch = table
    standardizer = BatchStandardizer(scale=True).fit(X[:20], batch=batch[:20])
    new = standardizer.transform(X[20:], batch=batch[20:])
    old = X[:20].groupby(batch[:20])
    pooled = np.sqrt(((X[:20] - old.transform("mean")) ** 2).sum() / (20 - 3))
    mean, sd = old.mean().loc[batch[20:]], old.std().loc[batch[20:]]
    expected = (X[20:].to_numpy() - mean.to_numpy()) * (pooled.to_numpy() / sd.to_numpy())
    np.testing.assert_allclose(new, expected + X[:20].mean().to_numpy(), rtol=1e-10)


@pytest.mark.parametrize("scale", [False, True])
def test_missing_cells_are_skipped_and_stay(table, scale):
    X, batch = table
    holes = X.mask(np.random.default_rng(1).random(X.shape) < 0.15)
    corrected = BatchStandardizer(scale=scale).fit_transform(holes, batch=batch)
    groups = holes.groupby(batch)
    mean, sd = groups.transform("mean"), groups.transform("std")
    pooled = np.sqrt(((holes - mean) ** 2).sum() / (holes.notna().sum() - 3))
    expected = (holes - mean) * (pooled / sd if scale else 1.0) + holes.mean()
    pd.testing.assert_frame_equal(corrected, expected, rtol=1e-12)


def test_feature_never_observed_in_a_batch_is_left_alone_there(table):
    X, batch = table
    holes = X.copy()
    holes.loc[batch == "b1", "g001"] = np.nan
    standardizer = BatchStandardizer(scale=True).fit(holes, batch=batch)
    corrected = standardizer.transform(X, batch=batch)
    inside = batch == "b1"
    assert np.array_equal(corrected.loc[inside, "g001"], X.loc[inside, "g001"])
    assert not np.allclose(corrected.loc[~inside, "g001"], X.loc[~inside, "g001"])


@pytest.mark.parametrize("value", [5.0, 0.1, 1e9 + 0.1])
def test_constant_within_a_batch_is_moved_but_not_scaled(table, value):
    X, batch = table
    fixed = X.copy()
    fixed.loc[batch == "b1", "g003"] = value
    standardizer = BatchStandardizer(scale=True).fit(fixed, batch=batch)
    new = fixed[batch == "b1"].copy()
    new["g003"] = value + 2.0
    corrected = standardizer.transform(new, batch=batch[batch == "b1"])
    expected = standardizer.target_mean_[2] + 2.0
    np.testing.assert_allclose(corrected["g003"], expected, rtol=1e-9)
    assert standardizer.sd_[0, 2] == 0


def test_one_row_batch_moves_to_the_target_without_scaling(table):
    X, batch = table
    batch = batch.copy()
    batch.iloc[0] = "solo"
    standardizer = BatchStandardizer(scale=True)
    corrected = standardizer.fit_transform(X, batch=batch)
    np.testing.assert_allclose(corrected.iloc[0], standardizer.target_mean_, rtol=1e-12)
    assert np.isfinite(corrected.to_numpy()).all()


@pytest.mark.filterwarnings("ignore:All rows are of batch")
def test_one_batch_changes_nothing(table):
    X, _ = table
    corrected = BatchStandardizer(scale=True).fit_transform(X, batch=np.zeros(len(X)))
    np.testing.assert_allclose(corrected, X, rtol=1e-12)


def test_new_batch_is_estimated_from_its_own_rows(table):
    X, batch = table
    known = (batch != "b3").to_numpy()
    standardizer = BatchStandardizer(scale=True, unseen="estimate")
    standardizer.fit(X[known], batch=batch[known])
    corrected = standardizer.transform(X, batch=batch)
    np.testing.assert_allclose(corrected[~known].mean(), standardizer.target_mean_, rtol=1e-12)
    np.testing.assert_allclose(corrected[~known].std(), standardizer.target_sd_, rtol=1e-12)
    alone = standardizer.transform(X[known], batch=batch[known])
    pd.testing.assert_frame_equal(corrected[known], alone)


def test_new_batch_of_one_row_cannot_be_estimated(table):
    X, batch = table
    known = (batch != "b3").to_numpy()
    standardizer = BatchStandardizer(unseen="estimate").fit(X[known], batch=batch[known])
    row = X[~known].iloc[[0]]
    with pytest.raises(ValueError, match=r"'b3' has one row only.*at least two rows"):
        standardizer.transform(row, batch=["b3"])


def test_covariates_are_no_keyword(table):
    X, batch = table
    with pytest.raises(TypeError, match="covariates"):
        BatchStandardizer().fit(X, batch=batch, covariates=X[["g001"]])
