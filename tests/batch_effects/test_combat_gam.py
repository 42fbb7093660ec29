import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import BSpline

from synth_estimators.batch_effects import ComBat, ComBatGAM


@pytest.fixture
def norm(batch_data):
    """Table with the labels as columns."""
    return batch_data.table("norm_X").join(batch_data.meta("norm"))


def features(frame):
    return frame.loc[:, "g001":"g040"]


def clamped_basis(values, n_splines):
    """The textbook basis: boundary knots repeated, inner knots at quantiles."""
    inner = np.quantile(values, np.linspace(0, 1, n_splines - 2)[1:-1])
    knots = np.concatenate([[values.min()] * 4, inner, [values.max()] * 4])
    return BSpline.design_matrix(values, knots, 3).toarray()[:, 1:]


def test_result_equals_combat_on_the_columns_of_a_textbook_basis(norm):
    age = norm["age"].to_numpy()
    basis = pd.DataFrame(clamped_basis(age, 10), index=norm.index).add_prefix("s")
    expected = ComBat().fit_transform(
        features(norm), batch=norm["batch"], covariates=basis.assign(sex=norm["sex"])
    )
    table = norm[[*features(norm).columns, "batch", "sex", "age"]]
    gam = ComBatGAM(covariates=["sex", "age"], smooth_terms=["age"])
    pd.testing.assert_frame_equal(gam.fit_transform(table), expected, rtol=0, atol=1e-8)
    assert len(gam.coef_) == 10  # sex and nine functions of age


def test_without_smooth_terms_it_is_combat(norm):
    table = norm[[*features(norm).columns, "batch", "group", "age"]]
    covariates = ["group", "age"]
    pd.testing.assert_frame_equal(
        ComBatGAM(covariates=covariates).fit_transform(table),
        ComBat(covariates=covariates).fit_transform(table),
    )


def test_values_beyond_the_training_range_count_as_its_ends(norm):
    table = norm[[*features(norm).columns, "batch", "age"]]
    gam = ComBatGAM(covariates=["age"], smooth_terms=["age"], n_splines=5).fit(table)
    ends = table.assign(age=np.where(np.arange(30) % 2, table["age"].min(), table["age"].max()))
    beyond = ends.assign(age=np.where(np.arange(30) % 2, -1000.0, 1000.0))
    np.testing.assert_allclose(gam.transform(beyond), gam.transform(ends), atol=1e-10)


def test_curved_effect_is_kept_where_a_straight_line_takes_it_for_batch():
    """Batches of different ages, and an effect of age that is a parabola."""
    rng = np.random.default_rng(0)
    batch = np.repeat(["a", "b", "c"], 60)
    age = rng.uniform(20, 80, 180)
    age[batch == "a"] = rng.uniform(20, 55, 60)
    age[batch == "b"] = rng.uniform(40, 80, 60)
    slope = rng.normal(size=30)
    truth = ((age - 50) / 15)[:, None] ** 2 * slope + rng.normal(size=(180, 30))
    shift = {"a": -1.0, "b": 0.5, "c": 1.5}
    table = pd.DataFrame(truth + np.array([shift[label] for label in batch])[:, None])
    table.columns = [f"f{number}" for number in range(30)]
    table = table.assign(batch=batch, age=age)

    def error(corrector):
        corrected = corrector.fit_transform(table).to_numpy()
        gap = corrected - truth
        return np.sqrt(np.mean((gap - gap.mean(axis=0)) ** 2))

    smooth = error(ComBatGAM(covariates=["age"], smooth_terms=["age"]))
    straight = error(ComBat(covariates=["age"]))
    assert smooth < 0.35
    assert straight > 2 * smooth


def test_tied_values_merge_their_knots(norm):
    ages = norm["age"].round(-1) + np.tile([0, 0, 0, 0, 0, 0, 0, 1, 2, 3], 3)
    table = norm[[*features(norm).columns, "batch"]].assign(age=ages)
    gam = ComBatGAM(covariates=["age"], smooth_terms=["age"], n_splines=7).fit(table)
    assert 3 <= len(gam.coef_) <= 6
    assert np.isfinite(gam.transform(table).to_numpy()).all()


def test_rows_are_treated_one_by_one(norm):
    table = norm[[*features(norm).columns, "batch", "age"]]
    gam = ComBatGAM(covariates=["age"], smooth_terms=["age"]).fit(table)
    whole = gam.transform(table)
    np.testing.assert_allclose(gam.transform(table.iloc[[4]]), whole.iloc[[4]], atol=1e-12)


def test_covariates_by_keyword(norm):
    table = norm[[*features(norm).columns, "batch", "age"]]
    by_column = ComBatGAM(covariates=["age"], smooth_terms=["age"]).fit_transform(table)
    by_keyword = ComBatGAM(smooth_terms=["age"]).fit_transform(
        features(norm), batch=norm["batch"], covariates=norm[["age"]]
    )
    pd.testing.assert_frame_equal(by_column, by_keyword)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariates": ["sex"], "smooth_terms": ["age"]}, "not among the covariates"),
        ({"smooth_terms": ["age"]}, "not among the covariates"),
        ({"covariates": ["sex"], "smooth_terms": ["sex"]}, "does not hold numbers"),
        (
            {"covariates": ["age"], "categorical": ["age"], "smooth_terms": ["age"]},
            "either smooth or a category",
        ),
        ({"covariates": ["half"], "smooth_terms": ["half"]}, r"fewer distinct values \(2\)"),
        ({"covariates": ["one"], "smooth_terms": ["one"]}, r"fewer distinct values \(1\)"),
        ({"covariates": ["age"], "smooth_terms": ["age"], "n_splines": 3}, "n_splines"),
    ],
)
def test_smooth_terms_that_cannot_be_are_refused(norm, options, message):
    names = list(dict.fromkeys([*options.get("covariates", []), *options["smooth_terms"]]))
    extra = norm.assign(half=np.arange(30) % 2, one=1.0)[names if "covariates" in options else []]
    table = norm[[*features(norm).columns, "batch"]].join(extra)
    with pytest.raises(ValueError, match=message):
        ComBatGAM(**options).fit(table)


def test_smooth_term_confounded_with_batch_is_named(norm):
    ranges = norm["batch"].map({"b1": 0, "b2": 100, "b3": 200})
    table = norm[[*features(norm).columns, "batch"]].assign(dose=ranges + np.arange(30) * 1e-9)
    with pytest.raises(ValueError, match="dose"):
        ComBatGAM(covariates=["dose"], smooth_terms=["dose"]).fit(table)
