"""QuantileAligner: equality with limma, ties, mapping between batches, missing cells."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators.batch_effects import QuantileAligner


@pytest.fixture
def table(batch_data):
    return batch_data.table("norm_X"), batch_data.meta("norm")["batch"]


def test_training_rows_equal_limma(batch_data, table):
    X, _ = table
    aligned = QuantileAligner(batch=None).fit_transform(X)
    np.testing.assert_allclose(aligned, batch_data.table("exp_quantile_norm"), atol=1e-10)


def test_labels_are_set_aside_and_change_nothing(batch_data, table):
    X, batch = table
    aligned = QuantileAligner().fit_transform(X.assign(batch=batch))
    np.testing.assert_allclose(aligned, batch_data.table("exp_quantile_norm"), atol=1e-10)
    assert aligned.columns.tolist() == X.columns.tolist()


def test_every_row_has_the_learned_values_afterwards(table):
    X, _ = table
    aligner = QuantileAligner().fit(X[:20])
    aligned = np.sort(aligner.transform(X[20:]).to_numpy(), axis=1)
    np.testing.assert_allclose(aligned, np.tile(aligner.quantiles_, (10, 1)), rtol=1e-12)


def test_ties_get_the_value_at_their_mean_rank():
    aligner = QuantileAligner().fit([[0.0, 1.0, 10.0, 100.0]])
    aligned = aligner.transform([[7.0, 7.0, 3.0, 9.0], [2.0, 2.0, 2.0, 5.0], [4.0] * 4])
    expected = [[5.5, 5.5, 0.0, 100.0], [1.0, 1.0, 1.0, 100.0], [5.5] * 4]
    np.testing.assert_allclose(aligned, expected)


def test_rows_with_gaps_are_stretched_as_in_limma():
    # normalizeQuantiles on the columns (1, 2, 6, 9) and (4, NA, 2, 8): the second is stretched to
    # the ranks 0, 1/3, 2/3, 1, which gives (2, 10/3, 16/3, 8); the mean is (1.5, 8/3, 17/3, 8.5).
    X = np.array([[1.0, 2.0, 6.0, 9.0], [4.0, np.nan, 2.0, 8.0]])
    aligner = QuantileAligner()
    aligned = aligner.fit_transform(X)
    np.testing.assert_allclose(aligner.quantiles_, [1.5, 8 / 3, 17 / 3, 8.5])
    middle = (8 / 3 + 17 / 3) / 2
    np.testing.assert_allclose(aligned, [[1.5, 8 / 3, 17 / 3, 8.5], [middle, np.nan, 1.5, 8.5]])


def test_batches_of_equal_size_get_the_very_values_of_the_reference():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 5))
    X[10:] = 3 * X[10:] + 7
    batch = np.repeat(["a", "b"], 10)
    aligned = QuantileAligner(scope="per_batch", reference_batch="a").fit_transform(X, batch=batch)
    assert np.array_equal(aligned[:10], X[:10])
    np.testing.assert_allclose(np.sort(aligned[10:], axis=0), np.sort(X[:10], axis=0), rtol=1e-12)
    order = np.argsort(X[10:], axis=0)
    assert np.array_equal(np.argsort(aligned[10:], axis=0), order)


def test_quantiles_are_interpolated_by_hand():
    X = np.array([[0.0], [10.0], [20.0], [1.0], [2.0], [4.0], [8.0], [16.0]])
    batch = [0, 0, 0, 1, 1, 1, 1, 1]
    aligner = QuantileAligner(scope="per_batch", reference_batch=0).fit(X, batch=batch)
    new = np.array([[1.0], [3.0], [4.0], [12.0], [16.0]])
    mapped = aligner.transform(new, batch=[1] * 5)
    # Shares 0, .375, .5, .875 and 1 of the distribution 0, 10, 20.
    np.testing.assert_allclose(mapped[:, 0], [0.0, 7.5, 10.0, 17.5, 20.0])


def test_values_beyond_the_training_range_get_the_ends():
    X = np.array([[0.0], [10.0], [1.0], [2.0]])
    aligner = QuantileAligner(scope="per_batch", reference_batch="a")
    aligner.fit(X, batch=["a", "a", "b", "b"])
    mapped = aligner.transform([[-50.0], [99.0], [99.0]], batch=["b", "b", "a"])
    np.testing.assert_allclose(mapped[:, 0], [0.0, 10.0, 99.0])


def test_pooled_target_is_the_distribution_of_all_rows(table):
    X, batch = table
    aligned = QuantileAligner(scope="per_batch").fit_transform(X, batch=batch)
    for name in ("b1", "b2", "b3"):
        rows = aligned[batch == name]
        np.testing.assert_allclose(rows.min(), X.min(), rtol=1e-12)
        np.testing.assert_allclose(rows.max(), X.max(), rtol=1e-12)
    size = (batch == "b1").sum()
    expected = np.quantile(X, np.linspace(0, 1, size), axis=0)
    np.testing.assert_allclose(np.sort(aligned[batch == "b1"], axis=0), expected, rtol=1e-12)


def test_ties_within_a_batch_stay_ties():
    X = np.array([[0.0], [1.0], [2.0], [5.0], [5.0], [5.0], [9.0]])
    batch = ["a"] * 3 + ["b"] * 4
    aligner = QuantileAligner(scope="per_batch", reference_batch="a")
    aligned = aligner.fit_transform(X, batch=batch)
    # Mean rank 1 of 0..3, a third of the way along 0, 1, 2.
    np.testing.assert_allclose(aligned[3:, 0], [2 / 3, 2 / 3, 2 / 3, 2.0])


@pytest.mark.filterwarnings("ignore:All rows are of batch")
def test_one_batch_changes_nothing(table):
    X, _ = table
    rounded = X.round(0)  # with ties
    aligned = QuantileAligner(scope="per_batch").fit_transform(rounded, batch=["only"] * len(X))
    np.testing.assert_allclose(aligned, rounded, rtol=1e-12)


def test_missing_cells_are_skipped_and_stay(table):
    X, batch = table
    holes = X.mask(np.random.default_rng(2).random(X.shape) < 0.2)
    aligned = QuantileAligner(scope="per_batch").fit_transform(holes, batch=batch)
    assert aligned.isna().equals(holes.isna())
    for name in X.columns[:5]:
        seen = holes[name].notna()
        column = QuantileAligner(scope="per_batch").fit_transform(
            holes.loc[seen, [name]], batch=batch[seen]
        )
        np.testing.assert_allclose(aligned.loc[seen, name], column[name], rtol=1e-12)


def test_batch_of_one_row_is_refused(table):
    X, batch = table
    batch = batch.copy()
    batch.iloc[0] = "solo"
    with pytest.raises(ValueError, match=r"at least two rows.*'solo'"):
        QuantileAligner(scope="per_batch").fit(X, batch=batch)


def test_reference_has_to_be_a_batch_and_needs_the_scope(table):
    X, batch = table
    with pytest.raises(ValueError, match=r"reference_batch='b9'.*'b1'"):
        QuantileAligner(scope="per_batch", reference_batch="b9").fit(X, batch=batch)
    with pytest.raises(ValueError, match="scope='per_batch'"):
        QuantileAligner(reference_batch="b1").fit(X, batch=batch)


def test_new_batch_is_estimated_from_its_own_rows(table):
    X, batch = table
    known = (batch != "b3").to_numpy()
    aligner = QuantileAligner(scope="per_batch", unseen="estimate")
    aligner.fit(X[known], batch=batch[known])
    aligned = aligner.transform(X, batch=batch)
    expected = np.quantile(X[known], np.linspace(0, 1, (~known).sum()), axis=0)
    np.testing.assert_allclose(np.sort(aligned[~known], axis=0), expected, rtol=1e-12)
    alone = aligner.transform(X[known], batch=batch[known])
    pd.testing.assert_frame_equal(aligned[known], alone)


def test_refit_with_another_scope_leaves_nothing_behind(table):
    X, batch = table
    aligner = QuantileAligner().fit(X, batch=batch)
    aligner.set_params(scope="per_batch").fit(X, batch=batch)
    fresh = QuantileAligner(scope="per_batch").fit(X, batch=batch)
    assert set(vars(aligner)) == set(vars(fresh))
