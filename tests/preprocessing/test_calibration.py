"""The calibrated frame: known truths of its parts."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from synth_estimators.preprocessing._calibration import (
    CalibratedFrame,
    estimate_row_scale,
    fit_covariance,
)
from synth_estimators.preprocessing._margins import QuantileTable, rank_positions


def dense(covariance):
    V = covariance.components
    low = V @ np.diag(covariance.variances) @ V.T
    return low + covariance.floor * (np.eye(len(V)) - V @ V.T)


@pytest.mark.parametrize("shape", [(40, 120), (60, 60), (80, 30)])
def test_shrunk_covariance_equals_ledoit_wolf(shape):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=shape) @ np.diag(rng.uniform(0.2, 3, shape[1]))
    rows -= rows.mean(axis=0)
    expected = LedoitWolf(assume_centered=True).fit(rows).covariance_
    np.testing.assert_allclose(dense(fit_covariance(rows, rng)), expected, atol=1e-12)


def test_many_rows_take_held_out_eigenvalues_and_no_floor():
    rng = np.random.default_rng(0)
    truth = np.diag([9.0, 4.0, 1.0, 0.01])
    rows = rng.multivariate_normal(np.zeros(4), truth, size=4000)
    covariance = fit_covariance(rows - rows.mean(axis=0), rng)
    assert covariance.floor == 0.0
    assert np.all(np.diff(covariance.variances) <= 0)
    np.testing.assert_allclose(covariance.variances, np.diag(truth), rtol=0.1)


def test_drawn_rows_have_the_covariance():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(30, 12)) @ rng.normal(size=(12, 12))
    covariance = fit_covariance(rows - rows.mean(axis=0), rng)
    drawn = covariance.draw(200_000, rng)
    expected = dense(covariance)
    np.testing.assert_allclose(drawn.T @ drawn / 200_000, expected, atol=0.02 * expected.max())


def lognormal_scale_table(log_sd, seed):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(300, 10)) @ rng.normal(size=(10, 200))
    noise = rng.normal(size=(300, 200)) * np.exp(log_sd * rng.normal(size=(300, 1)))
    rows = common + noise
    rows -= rows.mean(axis=0)
    return rows / rows.std(axis=0)


@pytest.mark.parametrize(
    ("log_sd", "low", "high"),
    # bounds of quality_expression: near zero on Gaussian data, 0.20 to 0.28 at a true 0.3
    [(0.0, 0.0, 0.05), (0.3, 0.20, 0.28)],
)
def test_row_scale_recovers_the_excess_spread(log_sd, low, high):
    estimates = []
    for seed in range(3):
        rows = lognormal_scale_table(log_sd, seed)
        rng = np.random.default_rng(seed)
        estimates.append(estimate_row_scale(rows, fit_covariance(rows, rng), rng))
    assert low <= np.mean(estimates) <= high


def test_row_scale_is_zero_for_few_columns():
    rng = np.random.default_rng(0)
    rows = rng.standard_t(2, size=(200, 8))
    assert estimate_row_scale(rows, fit_covariance(rows, rng), rng) == 0.0


def test_unsmoothed_margin_is_the_training_column():
    values = np.random.default_rng(0).normal(size=(57, 3))
    table = QuantileTable(0.0).fit(values)
    levels = np.repeat(((np.arange(57) + 0.5) / 57)[:, None], 3, axis=1)
    np.testing.assert_allclose(table.quantile(levels), np.sort(values, axis=0), rtol=1e-12)


def test_smoothing_keeps_mean_and_spread():
    values = np.random.default_rng(0).gamma(2.0, size=(300, 2))
    table = QuantileTable(0.2).fit(values)
    levels = np.repeat(((np.arange(30_000) + 0.5) / 30_000)[:, None], 2, axis=1)
    smooth = table.quantile(levels)
    np.testing.assert_allclose(smooth.mean(axis=0), values.mean(axis=0), rtol=2e-3)
    np.testing.assert_allclose(smooth.std(axis=0), values.std(axis=0), rtol=5e-3)


def test_zero_mass_is_kept_exactly_and_nothing_falls_below_it():
    rng = np.random.default_rng(0)
    column = np.where(rng.random(400) < 0.3, 0.0, 1.0 + rng.gamma(2.0, size=400))
    table = QuantileTable(0.4).fit(column[:, None])
    levels = (np.arange(400) + 0.5)[:, None] / 400
    drawn = table.quantile(levels)[:, 0]
    assert abs((drawn == 0).mean() - (column == 0).mean()) <= 1 / 400
    assert drawn[drawn > 0].min() >= column[column > 0].min()


def test_interior_mass_is_kept():
    rng = np.random.default_rng(0)
    column = np.where(rng.random(500) < 0.2, 2.5, rng.normal(2.0, 1.0, 500))
    drawn = QuantileTable(0.2).fit(column[:, None]).quantile(rng.random((5000, 1)))
    assert abs((drawn == 2.5).mean() - 0.2) < 0.03  # 0.2 +- 5 standard errors of 5000 draws


def test_two_valued_column_returns_its_two_values():
    column = np.repeat([0.0, 1.0], [70, 30])[:, None]
    drawn = QuantileTable(0.2).fit(column).quantile(np.random.default_rng(0).random((1000, 1)))
    assert set(np.unique(drawn)) == {0.0, 1.0}


def test_ranks_are_positions_within_the_column():
    np.testing.assert_allclose(
        rank_positions(np.array([[3.0], [1.0], [2.0]]))[:, 0], [5 / 6, 1 / 6, 3 / 6]
    )


def test_constant_columns_do_not_enter_the_frame():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=50), np.full(50, 7.0), rng.normal(size=50)])
    frame = CalibratedFrame().fit(X, None, rng)
    assert frame.varying_.tolist() == [0, 2]
    assert frame.residuals(X, None).shape == (50, 2)
