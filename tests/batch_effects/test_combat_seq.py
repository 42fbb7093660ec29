"""ComBatSeq: batch effects of counts by negative binomial regression."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaln
from sklearn.base import clone

from synth_estimators.batch_effects import BatchLabelWarning, ComBatSeq, attach_batch
from synth_estimators.batch_effects._combat_seq_model import _posterior_means, fit_counts
from synth_estimators.batch_effects._nb_dispersion import (
    common_dispersion,
    featurewise_dispersion,
    maximise_spline,
)
from synth_estimators.batch_effects._nb_glm import (
    OrthonormalDesign,
    add_prior_count,
    fit_glm,
    log_det_information,
    log_likelihood,
    log_rising,
)
from synth_estimators.batch_effects._nb_quantile import (
    map_quantiles,
    negative_binomial_cdf,
    negative_binomial_quantile,
)


@pytest.fixture(scope="module")
def counts(batch_data):
    return batch_data.table("counts_X")


@pytest.fixture(scope="module")
def meta(batch_data):
    return batch_data.meta("counts")


@pytest.fixture(scope="module")
def table(counts, meta):
    return counts.join(meta)


@pytest.fixture
def simulated():
    """90 rows of 3 batches and 30 features with dispersion 0.2."""
    rng = np.random.default_rng(0)
    batch = np.repeat(["a", "b", "c"], 30)
    effect = rng.normal(0, 0.7, (3, 30)).repeat(30, axis=0)
    mean = np.exp(rng.normal(4, 1, 30) + effect)
    return rng.negative_binomial(5, 5 / (5 + mean)), batch


def kept_counts(counts, meta, batch):
    """Counts of one batch, of the features with counts in every batch, with design and offset."""
    kept = (counts.groupby(meta["batch"]).sum() > 0).all()
    rows = (meta["batch"] == batch).to_numpy()
    Y = counts.loc[rows, kept].to_numpy(dtype=float)
    group = (meta.loc[rows, "group"] == "ctrl").to_numpy(dtype=float)
    design = np.column_stack([np.ones(len(Y)), group])
    return Y, design, np.log(Y.sum(axis=1, keepdims=True))


def covariates_of(name):
    return {"null": None, "group": ["group"], "group_sex": ["group", "sex"]}[name]


@pytest.mark.parametrize(
    ("name", "allowed", "options"),
    [
        ("null", 0, {}),
        ("group", 0, {"covariates": ["group"]}),
        ("group_sex", 2, {"covariates": ["group", "sex"]}),
        ("group_shrink", 1, {"covariates": ["group"], "shrink": True, "shrink_disp": True}),
    ],
)
def test_counts_equal_those_of_sva(batch_data, table, counts, name, allowed, options):
    X = table.drop(columns=[c for c in ("group", "sex") if c not in options.get("covariates", [])])
    adjusted = ComBatSeq(**options).fit_transform(X)
    expected = batch_data.table(f"exp_seq_{name}")
    difference = (adjusted - expected).abs().to_numpy()
    assert difference.max() <= 1
    assert (difference > 0).sum() <= allowed
    assert (adjusted.columns == counts.columns).all()
    assert (adjusted.index == counts.index).all()


def test_new_rows_get_the_frozen_model(batch_data, table):
    model = ComBatSeq(covariates=["group"]).fit(table.drop(columns="sex").iloc[:18])
    adjusted = model.transform(table.drop(columns="sex"))
    expected = batch_data.table("tt_seq_group")
    np.testing.assert_array_equal(adjusted.to_numpy(), expected.to_numpy())


def test_dispersions_equal_those_of_edger(batch_data, counts, meta):
    common = batch_data.table("exp_seq_group_common_disp")["common_dispersion"]
    by_feature = batch_data.table("exp_seq_group_tagwise_disp")
    for batch in ("b1", "b2", "b3"):
        Y, design, offset = kept_counts(counts, meta, batch)
        found = common_dispersion(Y, design, offset)
        assert found == pytest.approx(common[batch], rel=1e-6)
        np.testing.assert_allclose(
            featurewise_dispersion(Y, design, offset, found), by_feature[batch], rtol=1e-6
        )


def test_coefficients_equal_those_of_edger(batch_data, table):
    model = ComBatSeq(covariates=["group"]).fit(table.drop(columns="sex"))
    expected = batch_data.table("exp_seq_group_coef").to_numpy()
    # edgeR stops at a relative change of the deviance of 1e-6.
    np.testing.assert_allclose(model.gamma_hat_.T, expected[:, :3], atol=1e-4)
    base = model.coef_.T
    np.testing.assert_allclose(base, expected[:, 3:], atol=1e-4)
    assert model.covariate_names_ == ["group=ctrl"]


def brute_force(y, D, offset, phi):
    def loss(coef):
        mean = np.exp(offset + D @ coef)
        return -stats.nbinom.logpmf(y, 1 / phi, 1 / (1 + phi * mean)).sum()

    start = np.zeros(D.shape[1])
    start[0] = np.log(y.mean() + 0.1) - offset.mean()
    return minimize(loss, start, method="BFGS", options={"gtol": 1e-8}).x


def test_glm_maximises_the_likelihood():
    rng = np.random.default_rng(1)
    D = np.column_stack([np.ones(20), rng.normal(size=20), np.arange(20) % 2])
    offset = rng.normal(3, 0.5, (20, 1))
    Y = rng.poisson(np.exp(offset) * [0.5, 2.0]).astype(float)
    phi = np.array([[0.3, 0.01]]) * np.ones((20, 1))
    design = OrthonormalDesign(D)
    coef, eta, mean = fit_glm(Y, design, offset, phi)
    np.testing.assert_allclose(mean, np.exp(eta))
    np.testing.assert_allclose(offset + D @ design.to_coefficients(coef), eta, atol=1e-10)
    for j in range(2):
        expected = brute_force(Y[:, j], D, offset[:, 0], phi[0, j])
        np.testing.assert_allclose(design.to_coefficients(coef)[:, j], expected, atol=1e-5)


def test_glm_does_not_depend_on_the_start():
    rng = np.random.default_rng(2)
    design = OrthonormalDesign(np.column_stack([np.ones(12), np.repeat([0.0, 1.0], 6)]))
    Y = rng.negative_binomial(1, 0.01, (12, 40)).astype(float)
    offset = np.zeros((12, 1))
    cold = fit_glm(Y, design, offset, 0.5)[0]
    # The means start at exp(12) and exp(-12), far on either side.
    for level in (12.0, -12.0):
        start = np.zeros((2, 40))
        start[0] = level * np.sign(design.basis[0, 0])
        np.testing.assert_allclose(fit_glm(Y, design, offset, 0.5, start=start)[0], cold, atol=1e-7)


def test_glm_ignores_units_and_origin_of_covariates():
    rng = np.random.default_rng(3)
    x = rng.normal(size=15)
    Y = rng.poisson(20, (15, 4)).astype(float)
    plain = fit_glm(Y, OrthonormalDesign(np.column_stack([np.ones(15), x])), np.zeros((15, 1)), 0.1)
    shifted = np.column_stack([np.ones(15), 2000 + 1e-3 * x])
    moved = fit_glm(Y, OrthonormalDesign(shifted), np.zeros((15, 1)), 0.1)
    np.testing.assert_allclose(moved[2], plain[2], rtol=1e-7)


def test_group_without_counts_keeps_the_fit_of_the_others():
    Y = np.array([[0.0], [0.0], [0.0], [4.0], [6.0], [5.0]])
    D = np.repeat(np.eye(2), 3, axis=0)
    design = OrthonormalDesign(D)
    _, _, mean = fit_glm(Y, design, np.zeros((6, 1)), 0.2)
    assert (mean[:3] < 1e-8).all()
    np.testing.assert_allclose(mean[3:], 5.0, rtol=1e-6)
    # The information of that group vanishes; what remains must not depend on where it stops.
    smaller = mean.copy()
    smaller[:3] *= 1e-6
    np.testing.assert_allclose(
        log_det_information(design, smaller, 0.2), log_det_information(design, mean, 0.2)
    )


def test_log_determinant_equals_numpy():
    rng = np.random.default_rng(4)
    D = np.column_stack([np.ones(10), rng.normal(size=(10, 2))])
    design, mean, phi = OrthonormalDesign(D), rng.uniform(1, 9, (10, 3)), 0.4
    value = log_det_information(design, mean, phi)
    for j in range(3):
        W = np.diag(mean[:, j] / (1 + phi * mean[:, j]))
        expected = np.linalg.slogdet(design.basis.T @ W @ design.basis)[1]
        assert value[j] == pytest.approx(expected)


@pytest.mark.parametrize("phi", [3.0, 0.1, 1.1e-3, 0.9e-3, 1e-6])
def test_likelihood_is_that_of_the_negative_binomial(phi):
    y, mean = np.array([[0.0], [3.0], [1000.0]]), np.array([[2.0], [3.5], [900.0]])
    value = log_likelihood(y, np.log(mean), mean, phi)[0]
    value += (log_rising(y, np.float64(phi)) - gammaln(y + 1)).sum()
    expected = stats.nbinom.logpmf(y, 1 / phi, 1 / (1 + phi * mean)).sum()
    # The gamma functions of scipy cancel for large sizes.
    assert value == pytest.approx(expected, rel=1e-7)


def test_likelihood_tends_to_that_of_the_poisson_distribution():
    y, mean = np.array([[3.0], [120.0]]), np.array([[2.0], [100.0]])
    value = log_likelihood(y, np.log(mean), mean, 1e-20)[0]
    value += (log_rising(y, np.array([1e-20])) - gammaln(y + 1)).sum()
    assert value == pytest.approx(stats.poisson.logpmf(y, mean).sum(), rel=1e-12)


def test_gamma_functions_agree_where_the_formula_changes():
    y = np.array([[1.0], [50.0], [1e5]])
    both = log_rising(y, np.array([1e-3 * (1 + 1e-9), 1e-3 * (1 - 1e-9)]))
    np.testing.assert_allclose(both[:, 0], both[:, 1], rtol=1e-7, atol=1e-9)


def test_prior_count_follows_the_library_sizes():
    offset = np.log([[100.0], [300.0]])
    Y, moved = add_prior_count(np.zeros((2, 1)), offset, 0.5)
    np.testing.assert_allclose(Y[:, 0], [0.25, 0.75])
    np.testing.assert_allclose(np.exp(moved[:, 0]), [100.5, 301.5])


def test_dispersion_of_simulated_counts_is_recovered():
    rng = np.random.default_rng(5)
    size = rng.uniform(0.5, 2, (40, 1))
    mean = size * np.exp(rng.normal(4, 1, 300))
    Y = rng.negative_binomial(4, 4 / (4 + mean)).astype(float)
    found = common_dispersion(Y, np.ones((40, 1)), np.log(size))
    # Over twelve seeds the estimate has a standard deviation of 1.3 % and no bias beyond 1 %.
    assert found == pytest.approx(0.25, rel=0.04)
    by_feature = featurewise_dispersion(Y, np.ones((40, 1)), np.log(size), found)
    assert np.median(by_feature) == pytest.approx(0.25, rel=0.1)


def test_common_dispersion_maximises_the_adjusted_likelihood(counts, meta):
    Y, D, offset = kept_counts(counts, meta, "b2")
    design = OrthonormalDesign(D)

    def loss(phi):
        _, _, mean = fit_glm(Y, design, offset, phi)
        value = stats.nbinom.logpmf(Y, 1 / phi, 1 / (1 + phi * mean)).sum(axis=0)
        return -(value - 0.5 * log_det_information(design, mean, phi)).sum()

    best = minimize_scalar(loss, bounds=(0.05, 1.0), method="bounded", options={"xatol": 1e-10}).x
    assert common_dispersion(Y, D, offset) == pytest.approx(best, rel=1e-4)


def test_features_with_few_counts_keep_the_common_dispersion():
    Y = np.array([[1.0, 50.0], [0.0, 20.0], [2.0, 90.0], [1.0, 10.0]])
    offset = np.zeros((4, 1))
    common = common_dispersion(Y, np.ones((4, 1)), offset)
    assert common == common_dispersion(Y[:, 1:], np.ones((4, 1)), offset)
    assert featurewise_dispersion(Y, np.ones((4, 1)), offset, common)[0] == common


def test_spline_maximum_of_a_cubic_is_exact():
    # A spline with these end conditions reproduces a cubic.
    knots = np.linspace(-6, 6, 11)
    values = np.column_stack([-((knots - 0.7) ** 2), knots - knots**3 / 75, knots**2 * 1.0, -knots])
    np.testing.assert_allclose(maximise_spline(knots, values), [0.7, 5.0, -6.0, -6.0], atol=1e-12)


def test_spline_maximum_is_close_to_that_of_another_spline():
    knots = np.linspace(-6, 6, 11)
    values = np.sin(knots * 0.4 + 0.3)
    fine = np.linspace(-6, 6, 100_001)
    expected = fine[CubicSpline(knots, values)(fine).argmax()]
    assert maximise_spline(knots, values[:, None])[0] == pytest.approx(expected, abs=0.01)


def test_batch_with_few_rows_gets_one_dispersion():
    rng = np.random.default_rng(6)
    X = rng.poisson(50, (14, 6)).astype(float)
    codes = np.repeat([0, 1], [12, 2])
    group = np.tile([0.0, 1.0], 7)[:, None]
    model = fit_counts(X, codes, 2, group)
    assert (model.dispersion[1] == model.common_dispersion[1]).all()
    assert not (model.dispersion[0] == model.common_dispersion[0]).all()


def test_quantiles_are_the_smallest_counts_that_reach_the_probability():
    rng = np.random.default_rng(7)
    mean, phi = np.exp(rng.uniform(-4, 13, 3000)), np.exp(rng.uniform(-20, 3, 3000))
    p = np.concatenate([rng.uniform(0, 0.9999, 2000), 10.0 ** -rng.uniform(0, 30, 1000)])
    found = negative_binomial_quantile(p, mean, phi, mean)
    expected = stats.nbinom.ppf(p, 1 / phi, 1 / (1 + phi * mean))
    np.testing.assert_array_equal(found, expected)
    # A bad first guess costs time, not precision.
    for guess in (np.zeros(3000), np.full(3000, 1e9), np.full(3000, np.nan)):
        np.testing.assert_array_equal(negative_binomial_quantile(p, mean, phi, guess), expected)


def test_quantile_of_the_probability_of_a_count_is_the_count():
    rng = np.random.default_rng(8)
    mean, phi = np.exp(rng.uniform(0, 8, 2000)), np.exp(rng.uniform(-6, 1, 2000))
    count = rng.negative_binomial(1 / phi, 1 / (1 + phi * mean)).astype(float)
    p = negative_binomial_cdf(count, mean, phi)
    inside = p < 0.9999
    found = negative_binomial_quantile(p[inside], mean[inside], phi[inside], mean[inside])
    np.testing.assert_array_equal(found, count[inside])


def test_distribution_function_tends_to_that_of_the_poisson_distribution():
    count, mean = np.array([3.0, 1000.0, 1.0005e6]), np.array([5.0, 980.0, 1e6])
    found = negative_binomial_cdf(count, mean, np.full(3, 1e-18))
    np.testing.assert_allclose(found, stats.poisson.cdf(count, mean), rtol=1e-10)


def test_zeros_ones_and_the_upper_tail_stay():
    X = np.array([[0.0], [1.0], [5000.0], [12.0]])
    mean = np.full((4, 1), 10.0)
    phi = np.array([0.1])
    mapped = map_quantiles(X, mean, phi, 3 * mean, phi)
    np.testing.assert_array_equal(mapped[:3], X[:3])
    assert mapped[3] > 30


def test_batch_effects_vanish_and_counts_stay_counts(simulated):
    X, batch = simulated
    adjusted = ComBatSeq().fit_transform(X, batch=batch)
    assert adjusted.dtype == np.int64
    assert (adjusted >= 0).all()

    def spread(Z):
        share = np.log1p(Z / Z.sum(axis=1, keepdims=True) * 1e4)
        return np.std([share[batch == b].mean(axis=0) for b in "abc"], axis=0).mean()

    assert spread(adjusted) < 0.1 * spread(X)


def test_fit_transform_equals_fit_then_transform(table):
    model = ComBatSeq(covariates=["group", "sex"], shrink=True)
    both = clone(model).fit_transform(table)
    pd.testing.assert_frame_equal(model.fit(table).transform(table), both)
    again = pickle.loads(pickle.dumps(model)).transform(table)
    pd.testing.assert_frame_equal(again, both)


def test_rows_do_not_depend_on_each_other(table):
    model = ComBatSeq(covariates=["group", "sex"]).fit(table)
    whole = model.transform(table)
    for rows in ([3], [20, 5, 11], list(range(25, -1, -1))):
        pd.testing.assert_frame_equal(model.transform(table.iloc[rows]), whole.iloc[rows])


def test_order_of_rows_and_names_of_batches_do_not_matter(table):
    X = table.drop(columns=["group", "sex"])
    expected = ComBatSeq().fit_transform(X)
    turned = ComBatSeq().fit_transform(X.iloc[::-1]).iloc[::-1]
    pd.testing.assert_frame_equal(turned, expected)
    renamed = X.replace({"batch": {"b1": "z", "b2": "y", "b3": "x"}})
    pd.testing.assert_frame_equal(ComBatSeq().fit_transform(renamed), expected)


def test_origin_and_unit_of_a_numeric_covariate_do_not_matter(table):
    rng = np.random.default_rng(9)
    year = pd.Series(rng.normal(size=len(table)), index=table.index)
    X = table.drop(columns=["group", "sex"])
    model = ComBatSeq(covariates=["year"])
    expected = model.fit_transform(X.assign(year=year))
    moved = model.fit_transform(X.assign(year=2000 + 10 * year))
    assert (moved != expected).to_numpy().mean() < 1e-3


def test_features_without_counts_in_a_batch_stay(table, counts):
    model = ComBatSeq(covariates=["group"]).fit(table.drop(columns="sex"))
    assert counts.columns[~model.kept_features_].tolist() == ["g048"]
    adjusted = model.transform(table.drop(columns="sex"))
    pd.testing.assert_series_equal(adjusted["g048"], counts["g048"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.uint16])
def test_dtype_of_the_result(simulated, dtype):
    X, batch = simulated
    adjusted = ComBatSeq().fit_transform(X.astype(dtype), batch=batch)
    assert adjusted.dtype == (dtype if np.dtype(dtype).kind == "f" else np.int64)
    np.testing.assert_array_equal(adjusted, ComBatSeq().fit_transform(X, batch=batch))


def test_integers_stay_integers_beside_labels_in_a_table(simulated):
    X, batch = simulated
    table = attach_batch(X, batch)
    assert (ComBatSeq().fit_transform(table).dtypes == np.int64).all()
    kept = ComBatSeq(keep_metadata=True).fit_transform(table)
    assert kept["batch"].tolist() == batch.tolist()
    table["x3"] = table["x3"].astype(float)
    assert (ComBatSeq().fit_transform(table).dtypes == np.float64).all()


def test_one_batch_stays_as_it_is(simulated):
    X, _ = simulated
    with pytest.warns(UserWarning, match="nothing to adjust"):
        model = ComBatSeq().fit(X, batch=["a"] * 90)
    np.testing.assert_array_equal(model.transform(X, batch=["a"] * 90), X)


def test_huge_counts_are_adjusted():
    rng = np.random.default_rng(10)
    batch = np.repeat(["a", "b"], 10)
    mean = np.array([1e6, 3e6]).repeat(10)[:, None] * np.array([1.0, 1.0, 0.2])
    mean[10:, 2] *= 4
    X = rng.negative_binomial(20, 20 / (20 + mean))
    adjusted = ComBatSeq().fit_transform(X, batch=batch)
    share = adjusted / adjusted.sum(axis=1, keepdims=True)
    assert share[10:, 2].mean() == pytest.approx(share[:10, 2].mean(), rel=0.1)


def test_shrinkage_moves_effects_towards_those_of_similar_features(simulated):
    X, batch = simulated
    plain = ComBatSeq().fit(X, batch=batch)
    shrunk = ComBatSeq(shrink=True).fit(X, batch=batch)
    np.testing.assert_array_equal(shrunk.gamma_hat_, plain.gamma_hat_)
    assert (shrunk.gamma_star_ != plain.gamma_star_).any()
    np.testing.assert_array_equal(shrunk.dispersion_star_, plain.dispersion_star_)
    both = ComBatSeq(shrink=True, shrink_disp=True).fit(X, batch=batch)
    assert (both.dispersion_star_ != plain.dispersion_star_).any()
    for effects, stars in zip(plain.gamma_hat_, shrunk.gamma_star_, strict=True):
        assert effects.min() <= stars.min() <= stars.max() <= effects.max()


def test_posterior_means_equal_the_sum_over_features():
    rng = np.random.default_rng(11)
    Y = rng.poisson(8, (5, 40)).astype(float)
    mean, phi = rng.uniform(5, 12, (5, 40)), rng.uniform(0.05, 0.5, 40)
    phi[:3] = 1e-5
    effects = rng.normal(size=(2, 40))
    found = _posterior_means(Y, mean, phi, effects)
    for g in range(40):
        others = np.arange(40) != g
        density = stats.nbinom.pmf(Y[:, [g]], 1 / phi, 1 / (1 + phi * mean)).prod(axis=0)[others]
        expected = (effects[:, others] * density).sum(axis=1) / density.sum()
        np.testing.assert_allclose(found[:, g], expected, rtol=1e-6)


def test_unseen_batch(simulated):
    X, batch = simulated
    model = ComBatSeq().fit(X[:60], batch=batch[:60])
    with pytest.raises(ValueError, match="unseen during fit: \\['c'\\]"):
        model.transform(X, batch=batch)
    model.set_params(unseen="passthrough")
    with pytest.warns(UserWarning, match="leaves 30 rows as they are"):
        adjusted = model.transform(X, batch=batch)
    np.testing.assert_array_equal(adjusted[60:], X[60:])
    np.testing.assert_array_equal(adjusted[:60], model.transform(X[:60], batch=batch[:60]))


def test_without_labels_every_table_stays():
    X = np.array([[0.5, 2.0], [3.0, 4.0]])
    with pytest.warns(BatchLabelWarning):
        model = ComBatSeq().fit(X)
    np.testing.assert_array_equal(model.transform(X), X)


@pytest.mark.parametrize(
    ("value", "message"),
    [(-1.0, "Negative values in data"), (2.5, "Fractional values .* holds 2.5 in row 3")],
)
def test_what_is_not_a_count_is_refused(simulated, value, message):
    X, batch = simulated
    bad = X.astype(float)
    bad[3, 2] = value
    with pytest.raises(ValueError, match=message):
        ComBatSeq().fit(bad, batch=batch)
    with pytest.raises(ValueError, match=message):
        ComBatSeq().fit(X, batch=batch).transform(bad, batch=batch)


def test_batch_of_one_row_is_refused(simulated):
    X, batch = simulated
    with pytest.raises(ValueError, match="batch 'c' has one row only"):
        ComBatSeq().fit(X[:61], batch=batch[:61])


def test_row_without_counts_is_refused(simulated):
    X, batch = simulated
    bad = X.copy()
    bad[7] = 0
    with pytest.raises(ValueError, match=r"1 rows without any count .* in row 7"):
        ComBatSeq().fit(bad, batch=batch)
    with pytest.raises(ValueError, match=r"1 rows without any count .* in row 7"):
        ComBatSeq().fit(X, batch=batch).transform(bad, batch=batch)


def test_no_feature_with_counts_in_every_batch_is_refused():
    X = np.array([[1, 0], [2, 0], [0, 3], [0, 4]])
    with pytest.raises(ValueError, match="No feature of X has counts in every batch"):
        ComBatSeq().fit(X, batch=["a", "a", "b", "b"])


def test_confounded_covariate_is_refused(simulated):
    X, batch = simulated
    with pytest.raises(ValueError, match="confounded with batch: \\['site'\\]"):
        ComBatSeq().fit(X, batch=batch, covariates=pd.DataFrame({"site": batch}))


def test_covariates_of_fit_are_needed_in_transform(simulated):
    X, batch = simulated
    model = ComBatSeq().fit(X, batch=batch, covariates={"sex": ["F", "M"] * 45})
    with pytest.raises(ValueError, match="was fitted with the covariates \\['sex'\\]"):
        model.transform(X, batch=batch)
    with pytest.raises(ValueError, match="levels unseen during fit: \\['X'\\]"):
        model.transform(X[:1], batch=batch[:1], covariates={"sex": ["X"]})


def exploding():
    """A feature with counts in one row of a batch, and a slope that nothing holds."""
    rng = np.random.default_rng(200)
    X = rng.poisson(100, (9, 5))
    X[:, 0] = [0, 3, 0, 0, 0, 0, 1, 1, 0]
    year = np.array([2017, 2018, 2015, 2009, 2003, 2017, 2018, 2002, 2005.0])
    group = ["y", "n", "n", "y", "n", "y", "y", "n", "y"]
    return X, ["a"] * 5 + ["b"] * 4, pd.DataFrame({"group": group, "year": year})


def test_exploding_counts_are_reported_and_refused():
    X, batch, covariates = exploding()
    given = {"batch": batch, "covariates": covariates}
    with pytest.warns(UserWarning, match=r"adjusted count of 'x0' in row 1 .* largest count of 3"):
        adjusted = ComBatSeq().fit_transform(X, **given)
    assert np.isfinite(adjusted).all()
    assert (adjusted >= 0).all()
    with pytest.raises(ValueError, match=r"'x0' in row 1 .* more than max_factor=50"):
        ComBatSeq(max_factor=50).fit_transform(X, **given)


def test_max_factor_lets_ordinary_counts_pass(simulated):
    X, batch = simulated
    plain = ComBatSeq().fit_transform(X, batch=batch)
    bounded = ComBatSeq(max_factor=20).fit_transform(X, batch=batch)
    np.testing.assert_array_equal(bounded, plain)
    with pytest.raises(ValueError, match=r"max_factor=1\.0"):
        ComBatSeq(max_factor=1.0).fit_transform(X, batch=batch)
