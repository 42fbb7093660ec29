import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from synth_estimators.batch_effects import pvca
from synth_estimators.batch_effects._variance_components import fit_components

TABLES = {
    "raw": "norm_X",
    "combat_param_group": "exp_combat_param_group",
    "limma_group": "exp_limma_group",
}


def restricted_deviance(log_variances, y, codes):
    """Minus twice the restricted log-likelihood by the dense formula, less a constant."""
    variances = np.exp(log_variances)
    covariance = variances[-1] * np.eye(len(y))
    for variance, code in zip(variances, codes, strict=False):
        covariance += variance * np.equal.outer(code, code)
    inverse = np.linalg.inv(covariance)
    precision = inverse.sum()
    residual = y - inverse.sum(axis=0) @ y / precision
    return np.linalg.slogdet(covariance)[1] + np.log(precision) + residual @ inverse @ residual


@pytest.fixture
def unbalanced():
    rng = np.random.default_rng(0)
    batch, group = rng.integers(4, size=60), rng.integers(3, size=60)
    codes = [batch, group, batch * 3 + group]
    Y = np.column_stack(
        [
            rng.normal(size=4)[batch] * 3 + rng.normal(size=12)[codes[2]] + rng.normal(size=60),
            rng.normal(size=3)[group] * 5 + rng.normal(size=60),
            rng.normal(size=60),
        ]
    )
    return Y, codes


@pytest.mark.parametrize("table", list(TABLES))
def test_pvca_equals_the_reference(batch_data, table):
    meta = batch_data.meta("norm")
    expected = batch_data.json("metrics_expected")["values"][table]["pvca_pct60"]
    found = pvca(
        batch_data.table(TABLES[table]),
        {"batch": meta["batch"], "group": meta["group"]},
        breakdown=True,
    )
    assert found.n_components == expected["k"]
    names = {"batch": "batch", "group": "group", "batch x group": "batch_x_group"}
    for name, key in {**names, "residual": "residual"}.items():
        # The published shares come from an optimiser that stops at 1e-6.
        assert found.shares[name] == pytest.approx(expected[key], abs=5e-6)
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_the_better_of_two_maxima_is_found():
    # Few rows share a cell: the likelihood has a maximum without interaction, and a higher one
    # with the small residual that these rows show.
    rng = np.random.default_rng(31)
    first, second, third = (rng.integers(k, size=22) for k in (4, 4, 5))
    codes = [first, second, third, first * 4 + second]
    y = sum(rng.normal(size=code.max() + 1)[code] for code in codes) * 2
    y += 0.02 * rng.normal(size=22)
    found = fit_components(y[:, None], codes)[0]
    assert found[-1] < 0.01
    assert found[-2] > 1
    other = np.log([0.7, 7.5, 0.3, 1e-9, 0.5])
    assert restricted_deviance(np.log(found), y, codes) < restricted_deviance(other, y, codes) - 1


def test_no_other_variances_are_more_likely(unbalanced):
    Y, codes = unbalanced
    for y, variances in zip(Y.T, fit_components(Y, codes), strict=True):
        best = restricted_deviance(np.log(np.maximum(variances, 1e-12)), y, codes)
        starts = [np.zeros(4), np.array([3.0, -3.0, -3.0, 0.0]), np.array([-3.0, 3.0, -3.0, 0.0])]
        for start in starts:
            other = minimize(
                restricted_deviance,
                start,
                args=(y, codes),
                method="L-BFGS-B",
                bounds=[(-25, 10)] * 4,
            )
            assert best <= other.fun + 1e-7


def test_balanced_one_way_estimates_have_their_closed_form():
    rng = np.random.default_rng(1)
    code = np.repeat(np.arange(6), 10)
    y = 4.0 * rng.normal(size=6)[code] + rng.normal(size=60)
    groups = y.reshape(6, 10)
    within = groups.var(axis=1, ddof=1).mean()
    between = (10 * groups.mean(axis=1).var(ddof=1) - within) / 10
    np.testing.assert_allclose(fit_components(y[:, None], [code])[0], [between, within], rtol=1e-9)


def test_a_factor_without_effect_has_no_variance():
    # Every batch has the same mean: the analysis of variance estimate is below 0.
    code = np.repeat([0, 1, 2], 4)
    y = np.tile([-3.0, -1.0, 1.0, 3.0], 3)
    variances = fit_components(y[:, None], [code])[0]
    np.testing.assert_allclose(variances, [0.0, y.var(ddof=1)], rtol=1e-9)


def test_estimates_scale_with_the_units(unbalanced):
    Y, codes = unbalanced
    plain = fit_components(Y, codes)
    for scale in (1e-6, 1e6):
        scaled = fit_components(scale * Y + 7.0 * scale, codes)
        np.testing.assert_allclose(scaled, scale**2 * plain, rtol=1e-6, atol=1e-9 * scale**2)


def test_known_shares_are_recovered():
    rng = np.random.default_rng(2)
    batch, group = np.tile(np.arange(12), 16), np.repeat(np.arange(8), 24)
    effects = 2.0 * rng.normal(size=(12, 300))[batch] + rng.normal(size=(8, 300))[group]
    shares = pvca(
        effects + rng.normal(size=(192, 300)), {"batch": batch, "group": group}, threshold=1.0
    )
    # True variances 4, 1, 0 and 1; 300 features with 12 and 8 effects each.
    assert shares["batch"] == pytest.approx(4 / 6, abs=0.05)
    assert shares["group"] == pytest.approx(1 / 6, abs=0.04)
    assert shares["batch x group"] < 0.02


def test_shares_do_not_depend_on_names_and_order_of_labels(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    shares = pvca(X, meta[["batch", "group"]])
    order = np.random.default_rng(0).permutation(30)
    renamed = meta.replace({"b1": "z", "b3": "a"}).iloc[order]
    other = pvca(X.iloc[order], {"group": renamed["group"], "batch": renamed["batch"]})
    assert other["batch"] == pytest.approx(shares["batch"], abs=1e-9)
    assert other["group x batch"] == pytest.approx(shares["batch x group"], abs=1e-9)


def test_one_array_is_the_batch(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    assert list(pvca(X, meta["batch"])) == ["batch", "residual"]
    assert pvca(X, meta["batch"]) == pvca(X, {"batch": meta["batch"]})
    assert "batch x group" not in pvca(X, meta[["batch", "group"]], interactions=False)


def test_three_factors_have_three_pairs(batch_data):
    shares = pvca(batch_data.table("norm_X"), batch_data.meta("norm")[["batch", "group", "sex"]])
    assert list(shares)[3:] == ["batch x group", "batch x sex", "group x sex", "residual"]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_pair_that_cannot_be_told_apart_has_no_share():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(24, 30))
    batch = np.repeat(np.arange(4), 6)
    # Every batch holds one class: the pair is the batch.
    nested = pvca(X, {"batch": batch, "group": batch // 2})
    assert nested["batch x group"] == 0.0
    # Every cell of the table holds one row: the pair is the residual.
    single = pvca(X, {"batch": batch, "group": np.tile(np.arange(6), 4)})
    assert single["batch x group"] == 0.0
    assert sum(single.values()) == pytest.approx(1.0)


def test_rows_without_noise_leave_no_residual():
    batch = np.tile([0, 1, 2], 5)
    shares = pvca(np.random.default_rng(4).normal(size=(3, 20))[batch], batch)
    assert shares["batch"] == pytest.approx(1.0)


def test_bad_factors_are_refused(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    with pytest.raises(ValueError, match="batch and site split the rows in the same way"):
        pvca(X, {"batch": meta["batch"], "site": meta["batch"].str.upper()})
    with pytest.raises(ValueError, match="batch holds the label 'b1' only"):
        pvca(X, np.full(30, "b1"))
    with pytest.raises(ValueError, match="sample has a label of its own in each of the 30 rows"):
        pvca(X, {"sample": meta.index})
    with pytest.raises(ValueError, match="factors is empty"):
        pvca(X, {})
    with pytest.raises(ValueError, match="threshold=0"):
        pvca(X, meta["batch"], threshold=0)
    with pytest.raises(ValueError, match="X has one feature"):
        pvca(X.iloc[:, :1], meta["batch"])
    with pytest.raises(ValueError, match="group is missing in 1 of 30 rows"):
        pvca(X, pd.DataFrame({"group": [None, *meta["group"][1:]]}))
