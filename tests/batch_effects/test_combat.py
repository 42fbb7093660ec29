"""ComBat: equal to sva, frozen on new rows, and stable under what should not matter."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from synth_estimators.batch_effects import BatchLabelWarning, ComBat, attach_batch

# The files hold 15 significant digits.
EXACT = {"rtol": 0, "atol": 1e-8}


CASES = {
    "exp_combat_param": {},
    "exp_combat_param_group": {"covariates": ["group"]},
    "exp_combat_param_group_age_sex": {"covariates": ["group", "age", "sex"]},
    "exp_combat_nonparam": {"parametric": False},
    "exp_combat_nonparam_group": {"parametric": False, "covariates": ["group"]},
    "exp_combat_meanonly": {"mean_only": True},
    "exp_combat_meanonly_group": {"mean_only": True, "covariates": ["group"]},
    "exp_combat_nonparam_meanonly": {"mean_only": True, "parametric": False},
    "exp_combat_ref_b2": {"reference_batch": "b2"},
    "exp_combat_ref_b2_group": {"reference_batch": "b2", "covariates": ["group"]},
}


def columns_of(settings, table, meta):
    return table.join(meta[["batch", *(settings.get("covariates") or [])]])


@pytest.mark.parametrize("name", CASES)
def test_equals_sva(batch_data, name):
    settings = CASES[name]
    X = columns_of(settings, batch_data.table("norm_X"), batch_data.meta("norm"))
    adjusted = ComBat(**settings).fit_transform(X)
    expected = batch_data.table(name)
    assert list(adjusted.columns) == list(expected.columns)
    assert_allclose(adjusted.to_numpy(), expected.to_numpy(), **EXACT)


@pytest.mark.parametrize("name", CASES)
def test_labels_by_keyword_give_the_same(batch_data, name):
    settings = {key: value for key, value in CASES[name].items() if key != "covariates"}
    meta = batch_data.meta("norm")
    covariates = CASES[name].get("covariates")
    adjusted = ComBat(**settings).fit_transform(
        batch_data.table("norm_X").to_numpy(),
        batch=meta["batch"],
        covariates=None if covariates is None else meta[covariates],
    )
    assert_allclose(adjusted, batch_data.table(name).to_numpy(), **EXACT)


def test_batch_of_one_row_adjusts_means_only(batch_data):
    X = batch_data.table("norm_X").join(batch_data.meta("norm")["batch"])
    X.loc[X.index[0], "batch"] = "solo"
    with pytest.warns(UserWarning, match="'solo' has one row only"):
        adjusted = ComBat().fit_transform(X)
    expected = batch_data.table("exp_combat_solo_batch").to_numpy()
    assert_allclose(adjusted.to_numpy(), expected, **EXACT)
    with pytest.raises(ValueError, match="'solo' has one row only"):
        ComBat(singleton="error").fit(X)


def test_feature_constant_in_a_batch_is_left_alone(batch_data):
    X = batch_data.table("norm_X").join(batch_data.meta("norm")["batch"])
    X.loc[X["batch"] == "b1", "g003"] = 5.0
    combat = ComBat().fit(X)
    adjusted = combat.transform(X)
    expected = batch_data.table("exp_combat_constfeat")
    assert_allclose(adjusted.to_numpy(), expected.to_numpy(), **EXACT)
    assert_array_equal(adjusted["g003"], X["g003"])
    assert_array_equal(np.flatnonzero(~combat.kept_features_), [2])


def test_missing_values_equal_sva_and_stay_missing(batch_data):
    X = batch_data.table("norm_X").join(batch_data.meta("norm")[["batch", "group"]])
    X.loc["S001", "g002"] = np.nan
    X.loc[["S007", "S008"], "g005"] = np.nan
    adjusted = ComBat(covariates=["group"]).fit_transform(X)
    expected = batch_data.table("exp_combat_missing_group")
    assert_array_equal(adjusted.isna(), expected.isna())
    assert_allclose(adjusted.to_numpy(), expected.to_numpy(), **EXACT)
    with pytest.raises(ValueError, match="NaN in column 'g002'"):
        ComBat(covariates=["group"], missing="error").fit(X)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tt_combat_param", {}),
        ("tt_combat_param_group_age_sex", {"covariates": ["group", "age", "sex"]}),
        ("tt_combat_nonparam", {"parametric": False}),
        ("tt_combat_ref_b2", {"reference_batch": "b2"}),
    ],
)
def test_frozen_use_on_new_rows(batch_data, name, settings):
    X = columns_of(settings, batch_data.table("norm_X"), batch_data.meta("norm"))
    combat = ComBat(**settings).fit(X.iloc[:20])
    assert_allclose(combat.transform(X).to_numpy(), batch_data.table(name).to_numpy(), **EXACT)


def test_fitted_numbers_equal_sva(batch_data):
    X = batch_data.table("norm_X").join(batch_data.meta("norm")["batch"])
    combat = ComBat().fit(X.iloc[:20])
    expected = batch_data.table("tt_combat_param_fitted")
    found = {
        "grand_mean": combat.grand_mean_,
        "var_pooled": combat.pooled_var_,
        **{f"gamma_star_{b}": g for b, g in zip(combat.batches_, combat.gamma_star_, strict=True)},
        **{f"delta_star_{b}": d for b, d in zip(combat.batches_, combat.delta_star_, strict=True)},
        **{f"gamma_hat_{b}": g for b, g in zip(combat.batches_, combat.gamma_hat_, strict=True)},
        **{f"delta_hat_{b}": d for b, d in zip(combat.batches_, combat.delta_hat_, strict=True)},
    }
    looked_at = [name for name in expected.index if name in found]
    assert {"grand_mean", "var_pooled"} < set(looked_at)
    for name in looked_at:
        assert_allclose(found[name], expected.loc[name].to_numpy(), **EXACT, err_msg=name)


@pytest.mark.parametrize(
    "settings", [{}, {"shrink": False}, {"parametric": False}, {"mean_only": True}]
)
def test_features_that_do_not_vary_in_a_new_batch_keep_their_scale(settings):
    rng = np.random.default_rng(0)
    combat = ComBat(unseen="estimate", **settings)
    combat.fit(rng.normal(size=(30, 6)), batch=np.repeat(["a", "b"], 15))
    new = rng.normal(size=(9, 6))
    new[:, 2] = 1.7
    copies = np.tile(new[0], (3, 1))
    for rows in (new, copies):
        adjusted = combat.transform(rows, batch=["c"] * len(rows))
        assert np.isfinite(adjusted).all()
        assert np.ptp(adjusted[:, 2]) < 1e-12
    if settings.get("shrink") is False:
        assert_allclose(adjusted, np.tile(combat.grand_mean_, (3, 1)))


def test_observed_values_that_are_equal_in_a_batch_do_not_become_missing():
    rng = np.random.default_rng(1)
    X, batch = rng.normal(size=(30, 6)), np.repeat(["a", "b"], 15)
    X[:15, 1], X[3, 1] = 1.7, np.nan
    adjusted = ComBat(shrink=False).fit_transform(X, batch=batch)
    assert_array_equal(np.isnan(adjusted), np.isnan(X))
    assert np.nanmax(np.abs(adjusted)) < 10
    assert np.ptp(np.delete(adjusted[:15, 1], 3)) < 1e-12


def test_unseen_batch_is_estimated_from_its_own_rows(batch_data):
    train = batch_data.table("new_batch_train_b3_absent")
    expected = batch_data.table("new_batch_b3_estimate")
    X = batch_data.table("norm_X").join(batch_data.meta("norm")["batch"])
    combat = ComBat(unseen="estimate").fit(X[X["batch"] != "b3"])
    adjusted = combat.transform(X)
    assert_allclose(adjusted.loc[expected.index].to_numpy(), expected.to_numpy(), **EXACT)
    assert_allclose(adjusted.loc[train.index].to_numpy(), train.to_numpy(), **EXACT)


def test_unseen_batch_is_refused_or_passed_through(batch_data):
    X = batch_data.table("norm_X").join(batch_data.meta("norm")["batch"])
    train, new = X[X["batch"] != "b3"], X[X["batch"] == "b3"]
    with pytest.raises(ValueError, match=r"unseen during fit: \['b3'\]; ComBat knows \['b1', 'b2'"):
        ComBat().fit(train).transform(X)
    combat = ComBat(unseen="passthrough").fit(train)
    with pytest.warns(UserWarning, match="leaves 8 rows as they are"):
        adjusted = combat.transform(X)
    assert_array_equal(adjusted.loc[new.index], new.drop(columns="batch"))
    estimating = ComBat(unseen="estimate").fit(train)
    with pytest.raises(ValueError, match="'b3' has one row only"):
        estimating.transform(new.iloc[:1])


def test_published_values_of_svas_own_test(batch_data):
    expected = batch_data.table("svasim_gene1_expected")
    X, meta = batch_data.table("svasim_X"), batch_data.meta("svasim")
    mask = batch_data.table("svasim_observed_mask").to_numpy() == 0
    seen = 0
    for case in expected.index:
        words = case.split("_")
        settings = {
            "parametric": "nonparam" not in case,
            "mean_only": "mean" in case,
            "covariates": ["treat"] if any(w in ("treat", "cov", "mod") for w in words) else None,
        }
        table = X.mask(mask) if "miss" in case or "NA" in case else X
        labels = ["batch", *(settings["covariates"] or [])]
        adjusted = ComBat(**settings).fit_transform(table.join(meta[labels]))
        assert_allclose(
            adjusted.iloc[:, 0].to_numpy(),
            expected.loc[case].to_numpy(dtype=float),
            **EXACT,
            err_msg=case,
        )
        seen += 1
    assert seen == 7


@pytest.mark.parametrize(
    ("name", "settings"),
    [("exp_combat_param_cancer", {}), ("exp_combat_ref1_cancer", {"reference_batch": 1})],
)
def test_bladder_cancer_set(batch_data, name, settings):
    X = batch_data.bladder("X").join(batch_data.bladder("meta"))
    adjusted = ComBat(covariates=["cancer"], **settings).fit_transform(X)
    assert_allclose(adjusted.to_numpy(), batch_data.bladder(name).to_numpy(), **EXACT)


@pytest.fixture
def simulated():
    """90 rows x 25 features, three batches that differ in location and scale."""
    rng = np.random.default_rng(3)
    batch = rng.permutation(np.repeat(["a", "b", "c"], [40, 30, 20]))
    code = np.unique(batch, return_inverse=True)[1]
    shift, scale = rng.normal(size=(3, 25)), rng.uniform(0.5, 2.0, size=(3, 25))
    X = shift[code] + scale[code] * rng.normal(size=(90, 25))
    return X, batch


@pytest.mark.parametrize("settings", [{}, {"parametric": False}, {"mean_only": True}])
def test_row_order_does_not_matter(simulated, settings):
    X, batch = simulated
    order = np.random.default_rng(0).permutation(len(X))
    whole = ComBat(**settings).fit_transform(X, batch=batch)
    shuffled = ComBat(**settings).fit_transform(X[order], batch=batch[order])
    assert_allclose(shuffled, whole[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"parametric": False}, {"mean_only": True}])
def test_scale_and_origin_of_features_do_not_matter(simulated, settings):
    X, batch = simulated
    scale = np.linspace(0.1, 30.0, X.shape[1])
    origin = np.linspace(-5.0, 9.0, X.shape[1])
    whole = ComBat(**settings).fit_transform(X, batch=batch)
    moved = ComBat(**settings).fit_transform(X * scale + origin, batch=batch)
    assert_allclose((moved - origin) / scale, whole, rtol=0, atol=1e-11)


def test_base_level_of_a_covariate_does_not_matter(simulated):
    X, batch = simulated
    group = np.random.default_rng(1).choice(["x", "y", "z"], len(X))
    renamed = pd.Series(group).map({"x": "3", "y": "1", "z": "2"})
    first = ComBat().fit_transform(X, batch=batch, covariates={"group": group})
    second = ComBat().fit_transform(X, batch=batch, covariates={"group": renamed})
    assert_allclose(first, second, rtol=0, atol=1e-11)


def test_single_row_with_covariates_equals_the_row_of_the_table(batch_data):
    X = batch_data.table("norm_X").join(batch_data.meta("norm")[["batch", "group", "age"]])
    combat = ComBat(covariates=["group", "age"]).fit(X.iloc[:20])
    whole = combat.transform(X)
    for row in (0, 7, 29):
        assert_array_equal(combat.transform(X.iloc[[row]]), whole.iloc[[row]])


def test_means_of_batches_are_shrunk_not_equal(simulated):
    X, batch = simulated
    adjusted = ComBat().fit_transform(X, batch=batch)
    unshrunk = ComBat(shrink=False).fit_transform(X, batch=batch)

    def spread(table):
        return np.ptp([table[batch == b].mean(axis=0) for b in "abc"], axis=0).max()

    assert 1e-3 < spread(adjusted) < 0.3 * spread(X)
    assert spread(unshrunk) < 1e-12
    sds = [unshrunk[batch == b].std(axis=0, ddof=1) for b in "abc"]
    assert_allclose(sds[0], sds[1], rtol=1e-10)


def test_strict_convergence_is_a_fixed_point(simulated):
    X, batch = simulated
    combat = ComBat(convergence="strict").fit(X, batch=batch)
    loose = ComBat().fit(X, batch=batch)
    for i in range(3):
        tau2, a, b = (combat.prior_[name][i] for name in ("tau2", "a", "b"))
        n = combat.n_per_batch_[i]
        gamma, delta = combat.gamma_star_[i], combat.delta_star_[i]
        gamma_hat, delta_hat = combat.gamma_hat_[i], combat.delta_hat_[i]
        pulled = (n * tau2 * gamma_hat + delta * combat.prior_["gamma_bar"][i]) / (n * tau2 + delta)
        squares = (n - 1) * delta_hat + n * (gamma_hat - gamma) ** 2
        assert_allclose(gamma, pulled, rtol=1e-8)
        assert_allclose(delta, (0.5 * squares + b) / (n / 2 + a - 1), rtol=1e-8)
    assert (combat.n_iter_ > loose.n_iter_).all()
    with pytest.warns(ConvergenceWarning, match="raise max_iter or tol"):
        ComBat(convergence="strict", max_iter=2).fit(X, batch=batch)


def test_non_parametric_weights_do_not_underflow():
    rng = np.random.default_rng(0)
    batch = np.repeat(["a", "b"], 500)
    X = rng.normal(size=(1000, 12)) + (batch == "b")[:, None] * rng.normal(2, 1, 12)
    adjusted = ComBat(parametric=False).fit_transform(X, batch=batch)
    assert np.isfinite(adjusted).all()


def test_non_parametric_equals_the_formula(simulated):
    X, batch = simulated
    combat = ComBat(parametric=False).fit(X, batch=batch)
    standard = (X - combat.grand_mean_) / np.sqrt(combat.pooled_var_)
    rows = standard[batch == "b"]
    n = len(rows)
    gamma_hat, delta_hat = combat.gamma_hat_[1], combat.delta_hat_[1]
    for g in (0, 11, 24):
        others = np.arange(X.shape[1]) != g
        likelihood = np.array(
            [
                (2 * np.pi * d) ** (-n / 2) * np.exp(-((rows[:, g] - c) ** 2).sum() / (2 * d))
                for c, d in zip(gamma_hat[others], delta_hat[others], strict=True)
            ]
        )
        weights = likelihood / likelihood.sum()
        assert_allclose(combat.gamma_star_[1, g], weights @ gamma_hat[others], rtol=1e-9)
        assert_allclose(combat.delta_star_[1, g], weights @ delta_hat[others], rtol=1e-9)


def test_preserve_y_needs_no_target_at_transform(simulated):
    X, batch = simulated
    y = np.random.default_rng(2).integers(0, 2, len(X))
    X = X + 3.0 * y[:, None]
    combat = ComBat(preserve_y="fit_only").fit(X, y, batch=batch)
    adjusted = combat.transform(X, batch=batch)
    assert_array_equal(ComBat(preserve_y="fit_only").fit_transform(X, y, batch=batch), adjusted)
    assert combat.covariate_names_ == []
    assert_allclose(combat.target_effects_.mean(), 3.0, atol=0.3)
    gaps = [
        adjusted[(batch == b) & (y == 1)].mean() - adjusted[(batch == b) & (y == 0)].mean()
        for b in "abc"
    ]
    assert_allclose(gaps, 3.0, atol=0.6)  # means of 500 values with sd up to 2
    with pytest.raises(ValueError, match=r"needs the target: call fit\(X, y\)"):
        ComBat(preserve_y="fit_only").fit(X, batch=batch)


def test_target_as_a_covariate_is_refused(simulated):
    X, batch = simulated
    y = np.arange(len(X)) % 2
    with pytest.raises(ValueError, match=r"'sex' is the target y.*preserve_y='fit_only'"):
        ComBat().fit(X, y, batch=batch, covariates={"sex": y})


def test_without_labels_it_is_the_identity(simulated):
    X, batch = simulated
    with pytest.warns(BatchLabelWarning, match="without batch labels"):
        combat = ComBat().fit(X)
    assert combat.identity_
    assert_array_equal(combat.transform(X), X)
    with pytest.raises(ValueError, match="fitted without batch labels"):
        combat.transform(X, batch=batch)


def test_one_batch_is_the_identity(simulated):
    X, _ = simulated
    with pytest.warns(UserWarning, match="All rows are of batch 'a'"):
        adjusted = ComBat().fit_transform(X, batch=["a"] * len(X))
    assert_array_equal(adjusted, X)


def test_float32_is_computed_in_float64(simulated):
    X, batch = simulated
    single = X.astype(np.float32)
    adjusted = ComBat().fit_transform(single, batch=batch)
    exact = ComBat().fit_transform(single.astype(np.float64), batch=batch)
    assert adjusted.dtype == np.float32
    assert_array_equal(adjusted, exact.astype(np.float32))


def test_one_feature_is_not_shrunk(simulated):
    X, batch = simulated
    with pytest.warns(UserWarning, match="without shrinkage"):
        adjusted = ComBat().fit_transform(X[:, :1], batch=batch)
    unshrunk = ComBat(shrink=False).fit_transform(X[:, :1], batch=batch)
    assert_array_equal(adjusted, unshrunk)


def test_column_missing_throughout_a_batch_is_left_alone(simulated):
    X, batch = simulated
    X = X.copy()
    X[batch == "b", 4] = np.nan
    combat = ComBat().fit(X, batch=batch)
    adjusted = combat.transform(X, batch=batch)
    assert_array_equal(adjusted[:, 4], X[:, 4])
    assert np.isfinite(np.delete(adjusted, 4, axis=1)).all()
    assert_array_equal(np.flatnonzero(~combat.kept_features_), [4])


def test_feature_explained_by_a_covariate_is_left_alone(simulated):
    X, batch = simulated
    age = np.random.default_rng(0).normal(50, 9, len(X))
    X = np.column_stack([X, 2 * age + 1])
    combat = ComBat().fit(X, batch=batch, covariates={"age": age})
    adjusted = combat.transform(X, batch=batch, covariates={"age": age})
    assert_array_equal(adjusted[:, -1], X[:, -1])


def test_identical_features_have_a_prior_without_spread(simulated):
    X, batch = simulated
    X = np.repeat(X[:, :1], 4, axis=1)
    adjusted = ComBat().fit_transform(X, batch=batch)
    unshrunk = ComBat(shrink=False).fit_transform(X, batch=batch)
    assert_allclose(adjusted, unshrunk, atol=1e-10)


def test_columns_and_attach_batch_agree(simulated):
    X, batch = simulated
    adjusted = ComBat().fit_transform(attach_batch(X, batch))
    assert_array_equal(adjusted.to_numpy(), ComBat().fit_transform(X, batch=batch))
    assert list(adjusted.columns) == [f"x{j}" for j in range(X.shape[1])]


@pytest.mark.parametrize("slope", [1.0, 3.0, 1e6])
def test_feature_explained_by_a_centred_covariate_spoils_no_prior(simulated, slope):
    X, batch = simulated
    age = np.random.default_rng(0).normal(size=len(X))
    table = np.column_stack([X, slope * age])
    combat = ComBat().fit(table, batch=batch, covariates={"age": age})
    assert_array_equal(np.flatnonzero(~combat.kept_features_), [X.shape[1]])
    alone = ComBat().fit(X, batch=batch, covariates={"age": age})
    for name, values in alone.prior_.items():
        assert_allclose(combat.prior_[name], values, rtol=1e-9)


def test_origin_of_a_covariate_does_not_matter(simulated):
    X, batch = simulated
    age = np.random.default_rng(0).integers(20, 80, len(X)).astype(float)
    near = ComBat().fit_transform(X, batch=batch, covariates={"age": age})
    far = ComBat().fit(X, batch=batch, covariates={"age": age + 1e12})
    assert far.kept_features_.all()
    adjusted = far.transform(X, batch=batch, covariates={"age": age + 1e12})
    assert_allclose(adjusted, near, atol=1e-2)  # the slope times 1e12 has 3 digits after the point


@pytest.mark.parametrize("settings", [{}, {"parametric": False}, {"mean_only": True}])
def test_feature_missing_in_a_new_batch_changes_no_other(simulated, settings):
    X, batch = simulated
    combat = ComBat(unseen="estimate", **settings).fit(X, batch=batch)
    new = np.random.default_rng(5).normal(2, 3, size=(9, X.shape[1]))
    new[:, 3] = np.nan
    adjusted = combat.transform(new, batch=["z"] * 9)
    assert np.isnan(adjusted[:, 3]).all()
    rest = np.arange(X.shape[1]) != 3
    without = ComBat(unseen="estimate", **settings).fit(X[:, rest], batch=batch)
    expected = without.transform(new[:, rest], batch=["z"] * 9)
    assert_allclose(adjusted[:, rest], expected, rtol=0, atol=1e-10)


def test_nothing_to_adjust_is_said(simulated):
    X, batch = simulated
    with pytest.warns(UserWarning, match="No feature can be adjusted: each is constant in some"):
        ComBat().fit(np.ones_like(X), batch=batch)
    one = np.where(np.arange(len(X)) == 0, "solo", batch)
    with (
        pytest.warns(UserWarning, match="'solo' has one row only"),
        pytest.warns(UserWarning, match="Batch 'a' has 40 rows"),
        pytest.warns(UserWarning, match="constant in the reference or another batch"),
    ):
        adjusted = ComBat(reference_batch="solo").fit_transform(X, batch=one)
    assert_array_equal(adjusted, X)


def test_target_of_several_columns_cannot_be_preserved(simulated):
    X, batch = simulated
    with pytest.raises(ValueError, match=r"y has shape \(90, 2\), but preserve_y='fit_only' takes"):
        ComBat(preserve_y="fit_only").fit(X, np.ones((90, 2)), batch=batch)


@pytest.mark.parametrize("n_covariates", [0, 1, 5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_are_adjusted_one_by_one_to_the_last_bit(simulated, n_covariates, dtype):
    X, batch = simulated
    X = np.asfortranarray(X, dtype=dtype)
    covariates = pd.DataFrame(np.random.default_rng(0).normal(size=(90, n_covariates)))
    given = None if n_covariates == 0 else covariates
    combat = ComBat().fit(X, batch=batch, covariates=given)
    whole = combat.transform(X, batch=batch, covariates=given)
    for rows in ([0], [1, 0], [88, 3, 40], np.arange(0, 90, 2)):
        part = None if given is None else given.iloc[rows]
        found = combat.transform(X[rows], batch=batch[rows], covariates=part)
        assert_array_equal(found, whole[rows])


def test_preserve_y_leaves_constant_features_alone(simulated):
    X, batch = simulated
    X = X.copy()
    X[batch == "b", 3] = 5.0
    y = np.random.default_rng(2).integers(0, 2, len(X))
    X[:, 3] += np.where(batch == "b", 0.0, 4.0 * y)
    combat = ComBat(preserve_y="fit_only").fit(X, y, batch=batch)
    assert_array_equal(np.flatnonzero(~combat.kept_features_), [3])
    assert_array_equal(combat.transform(X, batch=batch)[:, 3], X[:, 3])
