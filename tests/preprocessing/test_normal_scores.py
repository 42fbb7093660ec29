import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.utils import estimator_checks

from synth_estimators.preprocessing import NormalScores


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@estimator_checks.parametrize_with_checks(
    [NormalScores(), NormalScores(tails="clip"), NormalScores(n_quantiles=5)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
        estimator_checks.check_set_output_transform_polars,
        estimator_checks.check_global_output_transform_pandas,
        estimator_checks.check_dataframe_column_names_consistency,
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_param_validation,
    ],
)
def test_transformer_checks_beyond_check_estimator(check):
    check("NormalScores", NormalScores())


def test_training_rows_get_the_quantiles_of_their_mid_ranks(rng):
    X = np.column_stack([rng.lognormal(size=200), rng.integers(0, 6, size=200), -np.arange(200)])
    expected = stats.norm.ppf((stats.rankdata(X, axis=0) - 0.5) / 200)
    np.testing.assert_allclose(NormalScores().fit_transform(X), expected, atol=1e-12)


@pytest.mark.parametrize("tails", ["smooth", "clip"])
@pytest.mark.parametrize("n_quantiles", [2, 7, 1000])
def test_inverse_brings_training_and_held_out_rows_back(rng, tails, n_quantiles):
    X = _mixed_table(rng, 300)
    scores = NormalScores(tails=tails, n_quantiles=n_quantiles).fit(X)
    held_out = np.clip(_mixed_table(rng, 500), X.min(axis=0), X.max(axis=0))
    for rows in (X, held_out):
        back = scores.inverse_transform(scores.transform(rows))
        np.testing.assert_allclose(back, rows, rtol=1e-9, atol=1e-9)


def test_values_between_neighbouring_masses_come_back():
    scores = NormalScores().fit(np.repeat([0.0, 1.0, 7.0], 50)[:, None])
    between = np.array([0.25, 0.5, 1.5, 6.999])[:, None]
    mapped = scores.transform(between)
    assert (np.diff(mapped.ravel()) > 0).all()
    np.testing.assert_allclose(scores.inverse_transform(mapped), between, rtol=1e-8)


def test_smooth_tails_are_strictly_monotone_with_exact_inverse(rng):
    X = _mixed_table(rng, 100)
    scores = NormalScores(tails="smooth").fit(X)
    width = np.ptp(X, axis=0) + 1
    steps = np.linspace(-1, 2, 301)[:, None]
    grid = X.min(axis=0) + steps * width
    mapped = scores.transform(grid)
    assert (np.diff(mapped, axis=0) > 0).all()
    np.testing.assert_allclose(scores.inverse_transform(mapped), grid, rtol=1e-8, atol=1e-8)


def test_smooth_tails_go_on_with_the_slope_of_the_outer_tenth():
    # For exact normal quantiles, mean 10 and sd 3, the map is a straight line everywhere.
    X = 10 + 3 * stats.norm.ppf((np.arange(400) + 0.5) / 400)[:, None]
    scores = NormalScores().fit(X)
    far = np.array([[-20.0], [40.0]])
    np.testing.assert_allclose(scores.transform(far), (far - 10) / 3, rtol=1e-9)


def test_smooth_tails_use_the_outer_tenth_of_any_column(rng):
    X = np.sort(rng.lognormal(size=(100, 1)), axis=0)
    scores = NormalScores().fit(X)
    mapped = scores.transform(X)
    # Mid-ranks 0.105 and 0.895 are the first ones at least a tenth away from the ends.
    for end, inner, beyond in [(0, 10, -5.0), (99, 89, 500.0)]:
        slope = (mapped[end] - mapped[inner]) / (X[end] - X[inner])
        expected = mapped[end] + slope * (beyond - X[end])
        np.testing.assert_allclose(scores.transform([[beyond]])[0], expected, rtol=1e-9)


def test_tails_beyond_a_mass_go_by_the_range_of_the_column():
    scores = NormalScores().fit(np.repeat([[0.0], [2.0]], 20, axis=0))
    np.testing.assert_allclose(scores.transform([[-2.0], [4.0]]).ravel(), [-12.2, 12.2])
    one_sided = NormalScores().fit(np.array([[0.0], [0.0], [0.0], [0.0], [2.0]]))
    inner, end = stats.norm.ppf([0.8, 0.9])
    expected = end + (end - inner)
    np.testing.assert_allclose(one_sided.transform([[4.0]]).ravel(), expected)


def test_clipped_tails_stay_in_the_training_range(rng):
    X = rng.normal(size=(50, 3))
    scores = NormalScores(tails="clip").fit(X)
    far = np.array([[-9.0] * 3, [9.0] * 3])
    ends = np.array([X.min(axis=0), X.max(axis=0)])
    np.testing.assert_array_equal(scores.transform(far), scores.transform(ends))
    np.testing.assert_array_equal(scores.inverse_transform(far), ends)


def test_a_mass_owns_its_interval_and_gets_its_middle_rank(rng):
    X = np.concatenate([np.zeros(60), rng.lognormal(size=140)])[:, None]
    scores = NormalScores().fit(X)
    np.testing.assert_allclose(scores.transform([[0.0]]), stats.norm.ppf(0.15))
    border = stats.norm.ppf(0.3)
    inside = np.linspace(-9, border - 1e-6, 500)[:, None]
    assert (scores.inverse_transform(inside)[inside > -8.2] == 0).all()
    assert scores.inverse_transform([[border + 1e-3]]) > 0


def test_normal_draws_restore_the_shares_of_the_masses(rng):
    values = np.repeat([0.0, 1.0, 2.0, 5.0], [500, 250, 249, 1])[:, None]
    scores = NormalScores().fit(values)
    drawn = scores.inverse_transform(rng.standard_normal((200_000, 1))).ravel()
    found, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(found, [0, 1, 2, 5])
    # Standard error of a share of 200,000 draws is at most 0.0011.
    np.testing.assert_allclose(counts / 200_000, [0.5, 0.25, 0.249, 0.001], atol=0.004)


def test_normal_draws_restore_a_continuous_column(rng):
    X = rng.gamma(2.0, size=(400, 1))
    drawn = NormalScores().fit(X).inverse_transform(rng.standard_normal((20_000, 1)))
    # The KS distance to the training rows is sampling noise: 1.63 / sqrt(20000) at 1 %.
    assert stats.ks_2samp(X.ravel(), drawn.ravel()).statistic < 0.0115 + 1 / 400


def test_accidental_ties_are_no_point_masses(rng):
    X = rng.normal(size=(500, 1))
    X[1] = X[0]
    scores = NormalScores(atom_share=0.01).fit(X)
    drawn = scores.inverse_transform(rng.standard_normal((5000, 1)))
    assert (drawn == X[0]).sum() == 0
    np.testing.assert_allclose(scores.inverse_transform(scores.transform(X)), X, rtol=1e-9)
    as_mass = NormalScores(atom_share=0.0).fit(X)
    # Expected 5000 * 2 / 500 = 20 hits.
    assert 5 < (as_mass.inverse_transform(rng.standard_normal((5000, 1))) == X[0]).sum() < 45


def test_a_few_zeros_are_a_mass(rng):
    X = np.concatenate([[0.0, 0.0], rng.lognormal(size=998)])[:, None]
    drawn = NormalScores(atom_share=0.01).fit(X).inverse_transform(rng.standard_normal((20_000, 1)))
    # Expected 40 zeros.
    assert 15 < (drawn == 0).sum() < 75


def test_thinning_keeps_the_neighbours_of_a_mass(rng):
    X = np.concatenate([np.zeros(100), rng.uniform(1, 9, 900), np.full(500, 10.0)])[:, None]
    drawn = NormalScores(n_quantiles=4).fit(X).inverse_transform(rng.standard_normal((30_000, 1)))
    # Half a row of 1500 lies on each side, between the mass and the next value: 10 of 30,000.
    assert ((drawn > 0) & (drawn < 0.99)).sum() < 30
    assert ((drawn > 9.01) & (drawn < 10)).sum() < 30


def test_thinning_keeps_holes_in_the_data_empty(rng):
    X = np.concatenate([rng.normal(0, 1, 500), rng.normal(100, 1, 500)])[:, None]
    drawn = NormalScores(n_quantiles=20).fit(X).inverse_transform(rng.standard_normal((20_000, 1)))
    # Only the step between the two groups, one row of 1000, may lie in the hole.
    assert ((drawn > 10) & (drawn < 90)).mean() < 0.003


def test_constant_columns_become_zero_and_come_back(rng):
    X = np.column_stack([np.full(20, 0.1), rng.normal(size=20), np.full(20, -1e12)])
    scores = NormalScores().fit(X)
    mapped = scores.transform(X)
    np.testing.assert_array_equal(mapped[:, [0, 2]], 0)
    drawn = scores.inverse_transform(rng.standard_normal((50, 3)))
    assert (drawn[:, 0] == 0.1).all()
    assert (drawn[:, 2] == -1e12).all()


def test_two_rows_are_enough():
    X = np.array([[1.0, 5.0], [2.0, 5.0]])
    scores = NormalScores().fit(X)
    np.testing.assert_allclose(scores.transform(X)[:, 0], stats.norm.ppf([0.25, 0.75]))
    np.testing.assert_allclose(scores.inverse_transform(scores.transform(X)), X)


def test_one_row_is_refused():
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        NormalScores().fit([[1.0, 2.0]])


@pytest.mark.parametrize("tails", ["smooth", "clip"])
def test_density_of_a_continuous_column_integrates_to_one(rng, tails):
    X = np.sort(rng.lognormal(size=60))[:, None]
    scores = NormalScores(tails=tails).fit(X)
    x = X.ravel()
    inner = [np.linspace(*ends, 30) for ends in pairwise(x)]
    fine = np.unique(
        np.concatenate([np.linspace(-30, x[0], 4000), *inner, np.linspace(x[-1], 99, 9000)])
    )
    middle = 0.5 * (fine[1:] + fine[:-1])
    density = np.exp(scores.log_density(middle[:, None])).ravel()
    # With clipped tails half a row at each end sits on the end points.
    expected = 1.0 if tails == "smooth" else 1 - 1 / 60
    np.testing.assert_allclose((density * np.diff(fine)).sum(), expected, atol=2e-4)


def test_density_with_masses_adds_up_to_one(rng):
    X = np.concatenate([np.zeros(30), rng.uniform(1, 2, size=70)])[:, None]
    scores = NormalScores().fit(X)
    mass = np.exp(scores.log_density([[0.0]]))[0, 0]
    np.testing.assert_allclose(mass, 0.3, rtol=1e-9)
    grid = np.linspace(1e-6, 4, 400_001)
    middle = 0.5 * (grid[1:] + grid[:-1])[:, None]
    rest = np.exp(scores.log_density(middle)).sum() * (grid[1] - grid[0])
    np.testing.assert_allclose(mass + rest, 1.0, atol=1e-3)


def test_clipped_ends_are_masses_of_half_a_row(rng):
    X = rng.normal(size=(40, 1))
    scores = NormalScores(tails="clip").fit(X)
    ends = np.array([X.min(), X.max(), 50.0])[:, None]
    found = np.exp(scores.log_density(ends)).ravel()
    np.testing.assert_allclose(found, [0.5 / 40, 0.5 / 40, 0.0])


def test_density_is_near_that_of_a_normal_column(rng):
    X = 5 + 2 * rng.normal(size=(4000, 1))
    scores = NormalScores(n_quantiles=60).fit(X)
    fresh = 5 + 2 * rng.normal(size=(2000, 1))
    truth = stats.norm(5, 2).logpdf(fresh)
    # 67 rows between knots: the log density has a standard deviation of about 1/sqrt(67) = 0.12.
    assert np.abs(scores.log_density(fresh) - truth).mean() < 0.15


def test_twenty_thousand_columns_take_seconds(rng):
    X = rng.normal(size=(200, 20_000))
    X[rng.random(X.shape) < 0.3] = 0
    began = time.perf_counter()
    scores = NormalScores()
    mapped = scores.fit(X).transform(X)
    assert time.perf_counter() - began < 8  # about 0.7 s on an idle core
    np.testing.assert_allclose(scores.inverse_transform(mapped), X, rtol=1e-9)


def test_float32_stays_float32(rng):
    X = _mixed_table(rng, 100).astype(np.float32)
    scores = NormalScores().fit(X)
    mapped = scores.transform(X)
    back = scores.inverse_transform(mapped)
    assert mapped.dtype == back.dtype == np.float32
    np.testing.assert_allclose(back, X, rtol=2e-5, atol=2e-5)


def test_blocks_of_columns_do_not_show(rng, monkeypatch):
    X = _mixed_table(rng, 50)
    whole = NormalScores().fit(X)
    monkeypatch.setattr("synth_estimators.preprocessing._normal_scores._BLOCK_ELEMENTS", 100)
    split = NormalScores().fit(X)
    fresh = _mixed_table(rng, 50)
    np.testing.assert_array_equal(whole.transform(fresh), split.transform(fresh))
    np.testing.assert_array_equal(whole.log_density(fresh), split.log_density(fresh))


def test_extreme_values_stay_finite():
    X = np.array([[-1.7e308, 5e-324], [0.0, 0.0], [1.7e308, 1e-323]])
    scores = NormalScores().fit(X)
    far = np.array([[1.79e308, 1e308], [-1.79e308, -1e308]])
    mapped = scores.transform(far)
    assert np.isfinite(mapped).all()
    assert np.isfinite(scores.inverse_transform(mapped)).all()
    assert np.isfinite(scores.inverse_transform(np.array([[50.0, -50.0]]))).all()


def test_nan_and_infinity_are_refused_with_the_column_named():
    frame = pd.DataFrame({"age": [1.0, 2.0], "dose": [3.0, np.nan]})
    with pytest.raises(ValueError, match=r"NaN in column 'dose'"):
        NormalScores().fit(frame)
    scores = NormalScores().fit(frame.fillna(0))
    with pytest.raises(ValueError, match=r"infinity in column 'dose'"):
        scores.transform(frame.fillna(np.inf))
    with pytest.raises(ValueError, match="NaN"):
        scores.inverse_transform([[np.nan, 0.0]])


def test_inverse_of_a_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"Z has 1 columns, but NormalScores was fitted on 2"):
        NormalScores().fit(np.eye(2)).inverse_transform([[1.0]])


@settings(max_examples=60, deadline=None)
@given(
    X=hnp.arrays(
        np.float64,
        st.tuples(st.integers(2, 30), st.integers(1, 4)),
        elements=st.one_of(
            st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, allow_subnormal=False)
        ),
    ),
    tails=st.sampled_from(["smooth", "clip"]),
    n_quantiles=st.integers(2, 12),
)
def test_any_table_comes_back_in_order(X, tails, n_quantiles):
    scores = NormalScores(tails=tails, n_quantiles=n_quantiles).fit(X)
    mapped = scores.transform(X)
    assert np.isfinite(mapped).all()
    scale = np.ptp(X, axis=0) + np.abs(X).max(axis=0)
    assert (np.abs(scores.inverse_transform(mapped) - X) <= 1e-9 * scale).all()
    order = np.argsort(X, axis=0)
    steps = np.diff(np.take_along_axis(mapped, order, axis=0), axis=0)
    assert (steps >= 0).all()


def _mixed_table(rng, n_rows):
    zeros = rng.lognormal(size=n_rows) * (rng.random(n_rows) < 0.4)
    return np.column_stack(
        [
            rng.normal(size=n_rows),
            zeros,
            rng.poisson(4, size=n_rows),
            rng.integers(0, 2, size=n_rows),
            np.round(rng.normal(size=n_rows), 1),
            rng.standard_t(2, size=n_rows),
            np.full(n_rows, 3.0),
            np.log2(rng.negative_binomial(1, 0.01, size=n_rows) + 1),
        ]
    )
