import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from synth_estimators.batch_effects._mixed_model import fit_random_intercept


def simulate(seed=0, n_subjects=15, n_extra=30, ratios=(0.0, 0.2, 1.0, 9.0, 400.0)):
    """Unbalanced cohort with fixed design of three batches and one number."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(n_subjects), rng.integers(0, n_subjects, n_extra)])
    n_rows = len(codes)
    design = np.column_stack([np.eye(3)[np.arange(n_rows) % 3], rng.normal(size=n_rows)])
    intercepts = rng.normal(size=(n_subjects, len(ratios))) * np.sqrt(ratios)
    coef = rng.normal(size=(4, len(ratios)))
    rows = design @ coef + intercepts[codes] + rng.normal(size=(n_rows, len(ratios)))
    return rows, design, codes, n_subjects


def dense_fit(y, design, codes, n_subjects):
    """REML of one feature with the covariance matrix written out."""
    n_rows, n_columns = design.shape
    members = np.eye(n_subjects)[codes]

    def solve(log_ratio):
        ratio = np.exp(log_ratio)
        covariance = np.eye(n_rows) + ratio * members @ members.T
        inverse = np.linalg.inv(covariance)
        normal = design.T @ inverse @ design
        coef = np.linalg.solve(normal, design.T @ inverse @ y)
        weighted = inverse @ (y - design @ coef)
        squares = (y - design @ coef) @ weighted
        log_dets = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]
        loss = 0.5 * ((n_rows - n_columns) * np.log(squares) + log_dets)
        return loss, coef, squares / (n_rows - n_columns), ratio * members.T @ weighted

    grid = np.linspace(-12, 12, 97)
    best = grid[np.argmin([solve(value)[0] for value in grid])]
    found = minimize_scalar(
        lambda value: solve(value)[0],
        bounds=(best - 0.25, best + 0.25),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return (np.exp(found.x), *solve(found.x)[1:])


def test_estimates_equal_a_dense_search_of_the_restricted_likelihood():
    rows, design, codes, n_subjects = simulate()
    fit = fit_random_intercept(rows, design, codes, n_subjects)
    for feature in range(rows.shape[1]):
        ratio, coef, residual_var, blup = dense_fit(rows[:, feature], design, codes, n_subjects)
        if ratio < 1e-5:
            assert fit.ratio[feature] == 0
            continue
        # A minimum found by function values alone is good to the root of the machine precision.
        np.testing.assert_allclose(fit.ratio[feature], ratio, rtol=1e-6)
        np.testing.assert_allclose(fit.coef[:, feature], coef, atol=1e-6)
        np.testing.assert_allclose(fit.residual_var[feature], residual_var, rtol=1e-6)
        np.testing.assert_allclose(fit.blup[:, feature], blup, atol=1e-5)


def test_balanced_one_way_layout_gives_the_analysis_of_variance_estimates():
    rng = np.random.default_rng(3)
    n_subjects, n_repeats, n_features = 20, 4, 6
    codes = np.repeat(np.arange(n_subjects), n_repeats)
    rows = 2.0 * rng.normal(size=(n_subjects, n_features))[codes]
    rows += rng.normal(size=rows.shape)
    fit = fit_random_intercept(rows, np.ones((len(rows), 1)), codes, n_subjects)
    groups = rows.reshape(n_subjects, n_repeats, n_features)
    means = groups.mean(axis=1)
    within = np.square(groups - means[:, None]).sum(axis=(0, 1)) / (n_subjects * (n_repeats - 1))
    between = n_repeats * means.var(axis=0, ddof=1)
    np.testing.assert_allclose(fit.residual_var, within, rtol=1e-9)
    np.testing.assert_allclose(fit.ratio, (between / within - 1) / n_repeats, rtol=1e-8)
    np.testing.assert_allclose(fit.coef[0], rows.mean(axis=0), rtol=1e-12)
    shrink = n_repeats * fit.ratio / (1 + n_repeats * fit.ratio)
    np.testing.assert_allclose(fit.blup, shrink * (means - means.mean(axis=0)), atol=1e-9)


def test_known_variances_are_recovered_on_average():
    rng = np.random.default_rng(1)
    n_subjects, n_features = 60, 400
    codes = np.repeat(np.arange(n_subjects), 3)
    design = np.eye(3)[np.arange(len(codes)) % 3]
    rows = 1.5 * rng.normal(size=(n_subjects, n_features))[codes]
    rows += 0.5 * rng.normal(size=rows.shape)
    fit = fit_random_intercept(rows, design, codes, n_subjects)
    # The mean of 400 estimates with a relative sd of about 0.13 and 0.19 is good to 1 per cent.
    assert abs(fit.residual_var.mean() - 0.25) < 0.01
    assert abs((fit.ratio * fit.residual_var).mean() - 2.25) < 0.07


def test_negative_association_within_subjects_gives_the_ratio_zero():
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(10), 2)
    rows = rng.normal(size=(10, 3))[codes] * np.tile([1.0, -1.0], 10)[:, None]
    fit = fit_random_intercept(rows, np.ones((20, 1)), codes, 10)
    assert (fit.ratio == 0).all()
    assert (fit.blup == 0).all()
    np.testing.assert_allclose(fit.residual_var, rows.var(axis=0, ddof=1))


def test_result_follows_shift_and_scale_of_a_feature():
    rows, design, codes, n_subjects = simulate()
    fit = fit_random_intercept(rows, design, codes, n_subjects)
    moved = fit_random_intercept(1e4 * rows - 70, design, codes, n_subjects)
    np.testing.assert_allclose(moved.ratio, fit.ratio, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(moved.residual_var, 1e8 * fit.residual_var, rtol=1e-8)


def test_one_row_a_subject_is_refused():
    with pytest.raises(ValueError, match="residual variance cannot be estimated"):
        fit_random_intercept(np.ones((6, 2)), np.ones((6, 1)), np.arange(6), 6)


def test_design_that_explains_the_subjects_is_refused():
    codes = np.repeat([0, 1], 4)
    with pytest.raises(ValueError, match="explain all differences between subjects"):
        fit_random_intercept(np.ones((8, 2)), np.eye(2)[codes], codes, 2)
