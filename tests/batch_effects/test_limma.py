"""LimmaBatchRemover: equality with limma, missing cells, undefined effects, frozen use."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from synth_estimators.batch_effects import LimmaBatchRemover, attach_batch


@pytest.fixture
def table(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    return X, meta


def joined(X, meta, *columns):
    return X.join(meta[list(columns)])


def plain_fit(X, kept, removed):
    """Removal by the pseudo-inverse, feature by feature, from observed rows."""
    result = X.copy()
    D = np.column_stack([kept, removed])
    for feature in range(X.shape[1]):
        seen = ~np.isnan(X[:, feature])
        coef = np.linalg.pinv(D[seen]) @ X[seen, feature]
        result[:, feature] -= removed @ coef[kept.shape[1] :]
    return result


def sum_coding(labels):
    levels = sorted(set(labels))
    Z = np.array([[label == level for level in levels] for label in labels], dtype=float)
    return Z[:, :-1] - Z[:, -1:]


def test_equals_limma_with_batches_only(batch_data, table):
    X, meta = table
    corrected = LimmaBatchRemover().fit_transform(joined(X, meta, "batch"))
    np.testing.assert_allclose(corrected, batch_data.table("exp_limma"), atol=1e-10)


def test_equals_limma_with_a_design_to_keep(batch_data, table):
    X, meta = table
    remover = LimmaBatchRemover(design=["group"])
    corrected = remover.fit_transform(joined(X, meta, "batch", "group"))
    np.testing.assert_allclose(corrected, batch_data.table("exp_limma_group"), atol=1e-10)


def test_equals_limma_with_second_factor_covariate_and_design(batch_data, table):
    X, meta = table
    remover = LimmaBatchRemover(batch2="sex", covariates=["age"], design=["group"])
    corrected = remover.fit_transform(joined(X, meta, "batch", "group", "sex", "age"))
    expected = batch_data.table("exp_limma_batch2_cov_group")
    np.testing.assert_allclose(corrected, expected, atol=1e-10)


def test_keywords_give_the_same_as_columns(batch_data, table):
    X, meta = table
    corrected = LimmaBatchRemover().fit_transform(
        X,
        batch=meta["batch"],
        batch2=meta["sex"],
        covariates=meta[["age"]],
        design=meta[["group"]],
    )
    expected = batch_data.table("exp_limma_batch2_cov_group")
    np.testing.assert_allclose(corrected, expected, atol=1e-10)


def test_arrays_with_positions_give_the_same_as_frames(batch_data, table):
    X, meta = table
    age = X.join(meta[["age"]]).join(pd.Series(pd.factorize(meta["batch"])[0], X.index, name="b"))
    corrected = LimmaBatchRemover(41, covariates=[40]).fit_transform(age.to_numpy())
    named = LimmaBatchRemover("b", covariates=["age"]).fit_transform(age)
    assert corrected.shape == X.shape
    np.testing.assert_allclose(corrected, named, atol=1e-12)


def test_batch_means_are_equal_afterwards(table):
    X, meta = table
    corrected = LimmaBatchRemover().fit_transform(X, batch=meta["batch"])
    means = corrected.groupby(meta["batch"]).mean()
    np.testing.assert_allclose(means, np.broadcast_to(means.iloc[0], means.shape), atol=1e-12)


def test_the_design_is_not_needed_by_transform(table):
    X, meta = table
    remover = LimmaBatchRemover(design=["group"]).fit(joined(X, meta, "batch", "group"))
    whole = remover.transform(joined(X, meta, "batch", "group"))
    without = remover.transform(joined(X, meta, "batch"))
    pd.testing.assert_frame_equal(whole, without)
    with pytest.raises(ValueError, match="g001"):
        remover.transform(joined(X, meta, "batch").drop(columns="g001"))


def test_the_design_is_not_needed_in_polars_frames_and_keeps_its_place(table):
    polars = pytest.importorskip("polars")
    X, meta = table
    rows = polars.from_pandas(joined(X, meta, "batch", "group"))
    remover = LimmaBatchRemover(design=["group"], keep_metadata=True).fit(rows)
    without = remover.transform(rows.drop("group"))
    whole = remover.transform(rows)
    assert without.drop("group").equals(whole.drop("group"))
    assert without["group"].null_count() == len(X)


def test_labels_are_routed_and_the_design_to_fit_alone(batch_data, table):
    X, meta = table
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(LimmaBatchRemover(), LogisticRegression(max_iter=2000))
        pipe.fit(X, meta["group"], batch=meta["batch"], design=meta[["group"]])
        corrected = pipe[:-1].transform(X, batch=meta["batch"])
    np.testing.assert_allclose(corrected, batch_data.table("exp_limma_group"), atol=1e-10)


def test_a_preserved_target_is_kept_where_it_is_clear():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    batch = np.where(rng.random(60) < 0.8, y, 1 - y)
    effect = np.zeros(300)
    effect[:30] = 4.0
    X = rng.normal(size=(60, 300)) + np.outer(y, effect) + rng.normal(size=(2, 300))[batch]
    remover = LimmaBatchRemover(preserve_y="fit_only")
    corrected = remover.fit(X, y, batch=batch).transform(X, batch=batch)
    gap = corrected[y == 1].mean(axis=0) - corrected[y == 0].mean(axis=0)
    # the mean of 30 gaps has a standard error of 0.26 / sqrt(30) and more for the shared batches
    np.testing.assert_allclose(gap[:30].mean(), 4.0, atol=0.25)
    assert np.abs(remover.target_effects_[0, 30:]).mean() < 0.05
    rows = attach_batch(X, batch)
    with pytest.raises(ValueError, match="needs the target"):
        remover.fit(rows)


def test_labels_have_to_be_those_of_the_fit(table):
    X, meta = table
    remover = LimmaBatchRemover().fit(X, batch=meta["batch"], covariates=meta[["age"]])
    with pytest.raises(ValueError, match=r"with labels for batch.*pass batch="):
        remover.transform(X, covariates=meta[["age"]])
    with pytest.raises(ValueError, match=r"without labels for batch2"):
        remover.transform(X, batch=meta["batch"], covariates=meta[["age"]], batch2=meta["sex"])
    with pytest.raises(ValueError, match=r"with the covariates \['age'\], but got \[\]"):
        remover.transform(X, batch=meta["batch"])
    swapped = LimmaBatchRemover().fit(X, covariates=meta[["age"]].assign(age2=np.arange(30.0)))
    turned = swapped.transform(
        X, covariates=pd.DataFrame({"age2": np.arange(30.0)}).assign(age=meta["age"].to_numpy())
    )
    straight = swapped.transform(X, covariates=meta[["age"]].assign(age2=np.arange(30.0)))
    pd.testing.assert_frame_equal(turned, straight)


def test_transform_is_frozen_and_works_row_by_row(table):
    X, meta = table
    remover = LimmaBatchRemover(batch2="sex", covariates=["age"])
    rows = joined(X, meta, "batch", "sex", "age")
    remover.fit(rows.iloc[:20])
    whole = remover.transform(rows)
    single = pd.concat([remover.transform(rows.iloc[[row]]) for row in range(len(rows))])
    pd.testing.assert_frame_equal(whole, single, check_exact=True)


def test_effects_are_what_is_subtracted(table):
    X, meta = table
    remover = LimmaBatchRemover()
    corrected = remover.fit_transform(X, batch=meta["batch"])
    codes = np.searchsorted(remover.batches_, meta["batch"])
    np.testing.assert_allclose(X - corrected, remover.batch_effects_[codes], atol=1e-12)
    np.testing.assert_allclose(remover.batch_effects_.sum(axis=0), 0, atol=1e-12)
    assert remover.n_per_batch_.tolist() == [12, 10, 8]


def test_only_a_covariate_can_be_removed(table):
    X, meta = table
    remover = LimmaBatchRemover(batch=None, covariates=["age"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        corrected = remover.fit_transform(joined(X, meta, "age"))
    age = meta["age"].to_numpy()
    slopes = np.polyfit(age, X.to_numpy(), 1)[0]
    np.testing.assert_allclose(corrected, X - np.outer(age, slopes), atol=1e-9)
    np.testing.assert_allclose(remover.coef_, slopes[None], atol=1e-12)


def test_missing_cells_are_skipped_feature_by_feature(table):
    X, meta = table
    gaps = np.random.default_rng(0).random(X.shape) < 0.1
    holes = X.mask(gaps)
    remover = LimmaBatchRemover(design=["group"])
    corrected = remover.fit_transform(holes.join(meta[["batch", "group"]]))
    kept = np.column_stack([np.ones(30), meta["group"] == "ctrl"])
    expected = plain_fit(holes.to_numpy(), kept, sum_coding(meta["batch"]))
    assert np.isnan(corrected.to_numpy()).tolist() == gaps.tolist()
    np.testing.assert_allclose(corrected, expected, atol=1e-10)


def test_gaps_in_one_feature_leave_the_others_alone(batch_data, table):
    X, meta = table
    holes = X.copy()
    holes.iloc[[0, 6], 3] = np.nan
    corrected = LimmaBatchRemover().fit_transform(holes, batch=meta["batch"])
    others = X.columns.drop(X.columns[3])
    np.testing.assert_allclose(corrected[others], batch_data.table("exp_limma")[others], atol=1e-10)


def test_feature_missing_in_a_whole_batch_drops_that_effect(table):
    # R drops the column of the absent batch: with b3 unobserved its row of the coding, which is
    # -1 throughout, is gone, and the two batches left are told apart by one contrast beside the
    # intercept; the second column depends on them and counts as 0.
    X, meta = table
    holes = X.copy()
    last = (meta["batch"] == "b3").to_numpy()
    holes.iloc[last, 0] = np.nan
    corrected = LimmaBatchRemover().fit_transform(holes, batch=meta["batch"])
    first, second = (holes.loc[meta["batch"] == name].iloc[:, 0].mean() for name in ("b1", "b2"))
    removed = (holes - corrected).iloc[:, 0].groupby(meta["batch"]).mean()
    assert removed["b1"] == pytest.approx(first - second)
    assert removed["b2"] == pytest.approx(0)


def test_column_missing_everywhere_stays_missing(table):
    X, meta = table
    holes = X.copy()
    holes.iloc[:, 5] = np.nan
    corrected = LimmaBatchRemover().fit_transform(holes, batch=meta["batch"])
    assert corrected.iloc[:, 5].isna().all()
    assert corrected.drop(columns=corrected.columns[5]).notna().all(axis=None)


def test_batch_that_equals_the_design_is_left_in_the_data_with_a_warning(table):
    X, meta = table
    with pytest.warns(UserWarning, match="effects of batch are not estimable"):
        corrected = LimmaBatchRemover().fit_transform(
            X, batch=meta["batch"], design=meta[["batch"]]
        )
    np.testing.assert_allclose(corrected, X, atol=1e-12)


def test_dependent_columns_count_as_zero_first_come_first_served(table):
    # batch2 repeats batch: batch takes the effect, batch2 nothing, as in lm.fit.
    X, meta = table
    with pytest.warns(UserWarning, match="effects of batch2 are not estimable"):
        remover = LimmaBatchRemover().fit(X, batch=meta["batch"], batch2=meta["batch"])
    alone = LimmaBatchRemover().fit(X, batch=meta["batch"])
    np.testing.assert_allclose(remover.batch_effects_, alone.batch_effects_, atol=1e-12)
    np.testing.assert_allclose(remover.batch2_effects_, 0)


def test_text_covariate_is_refused_with_advice(table):
    X, meta = table
    with pytest.raises(ValueError, match=r"'sex'.*numeric covariates only.*batch2.*design"):
        LimmaBatchRemover(covariates=["sex"]).fit(joined(X, meta, "batch", "sex"))


def test_categorical_marks_numbers_of_the_design_as_levels(table):
    X, meta = table
    meta = meta.assign(grade=np.arange(30) % 3)
    rows = joined(X, meta, "batch", "grade")
    marked = LimmaBatchRemover(design=["grade"], categorical=["grade"]).fit_transform(rows)
    text = rows.assign(grade=rows["grade"].map(lambda grade: f"grade {grade}"))
    expected = LimmaBatchRemover(design=["grade"]).fit_transform(text)
    np.testing.assert_allclose(marked, expected, atol=1e-12)
    linear = LimmaBatchRemover(design=["grade"]).fit_transform(rows)
    assert np.abs(marked - linear).to_numpy().max() > 1e-3


def test_unseen_batch_is_refused_and_passed_through_on_request(table):
    X, meta = table
    known = (meta["batch"] != "b3").to_numpy()
    remover = LimmaBatchRemover().fit(X[known], batch=meta["batch"][known])
    with pytest.raises(ValueError, match=r"'b3'.*'b1', 'b2'"):
        remover.transform(X, batch=meta["batch"])
    remover = clone(remover).set_params(unseen="passthrough")
    remover.fit(X[known], batch=meta["batch"][known])
    with pytest.warns(UserWarning, match="b3"):
        corrected = remover.transform(X, batch=meta["batch"])
    pd.testing.assert_frame_equal(corrected[~known], X[~known])
    expected = remover.transform(X[known], batch=meta["batch"][known])
    pd.testing.assert_frame_equal(corrected[known], expected)


def test_unseen_level_of_the_second_factor_passes_whole_rows(table):
    X, meta = table
    second = meta["sex"].where(~((meta["sex"] == "M") & (meta["age"] > 60)), "M2")
    seen = (second != "M2").to_numpy()
    assert 0 < seen.sum() < len(X)
    remover = LimmaBatchRemover(unseen="passthrough")
    remover.fit(X[seen], batch=meta["batch"][seen], batch2=second[seen])
    with pytest.warns(UserWarning, match="M2"):
        corrected = remover.transform(X, batch=meta["batch"], batch2=second)
    pd.testing.assert_frame_equal(corrected[~seen], X[~seen])


def test_a_constant_added_to_a_feature_comes_back(table):
    X, meta = table
    corrected = LimmaBatchRemover().fit_transform(X, batch=meta["batch"])
    moved = LimmaBatchRemover().fit_transform(3 * X + 100, batch=meta["batch"])
    np.testing.assert_allclose(moved, 3 * corrected + 100, rtol=1e-12)
