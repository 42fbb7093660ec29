import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

from synth_estimators.baselines import GaussianCopula, IndependentColumns

CORRELATION = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.1], [-0.3, 0.1, 1.0]])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@parametrize_with_checks([GaussianCopula(), GaussianCopula(shrinkage=0.3, tails="clip", clip=None)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_parameters_are_validated():
    check_param_validation("GaussianCopula", GaussianCopula())


@pytest.mark.parametrize("shape", [(40, 5), (30, 30), (20, 60), (300, 3), (5, 4), (9, 1)])
def test_correlation_is_that_of_scikit_learns_ledoit_wolf(rng, shape):
    X = rng.normal(size=shape) @ rng.normal(size=(shape[1], shape[1]))
    copula = GaussianCopula().fit(X)
    reference = LedoitWolf().fit(copula.margins_.transform(X))
    np.testing.assert_allclose(copula.shrinkage_, reference.shrinkage_, atol=1e-10)
    sd = np.sqrt(np.diag(reference.covariance_))
    expected = reference.covariance_ / np.outer(sd, sd)
    np.testing.assert_allclose(copula.get_correlation(), expected, atol=1e-10)


@pytest.mark.parametrize("shape", [(40, 5), (20, 60)])
@pytest.mark.parametrize("shrinkage", [0.0, 0.25, 1.0])
def test_fixed_shrinkage_weighs_the_identity(rng, shape, shrinkage):
    X = rng.normal(size=shape) @ rng.normal(size=(shape[1], shape[1]))
    copula = GaussianCopula(shrinkage=shrinkage).fit(X)
    scores = copula.margins_.transform(X)
    covariance = np.cov(scores.T, bias=True)
    mean = np.trace(covariance) / shape[1]
    covariance = (1 - shrinkage) * covariance + shrinkage * mean * np.eye(shape[1])
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(copula.get_correlation(), covariance / np.outer(sd, sd), atol=1e-6)
    assert copula.shrinkage_ == shrinkage


def test_sampled_correlation_is_the_true_one(rng):
    X = rng.multivariate_normal(np.zeros(3), CORRELATION, size=3000)
    rows = GaussianCopula(random_state=0).fit(X).sample(20_000)
    # Standard error of a correlation among 3,000 rows: 0.018 at most.
    np.testing.assert_allclose(np.corrcoef(rows.T), CORRELATION, atol=0.05)


@pytest.mark.parametrize("n_columns", [1, 4, 40])
def test_margins_are_recovered(rng, n_columns):
    factor = rng.normal(size=(600, 1))
    X = np.exp(factor + rng.normal(size=(600, n_columns)))
    rows = GaussianCopula(random_state=0).fit(X[:300]).sample(5000)
    distances = [stats.ks_2samp(rows[:, j], X[:300, j]).statistic for j in range(n_columns)]
    # Sampling noise 0.02, and up to 0.02 between the 2 sqrt(300) = 35 knots.
    assert np.mean(distances) < 0.03
    fresh = [stats.ks_2samp(rows[:, j], X[300:, j]).statistic for j in range(n_columns)]
    assert np.mean(fresh) < 0.1


def test_shares_of_zeros_and_codes_are_restored(rng):
    latent = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=1000)
    X = np.column_stack([np.maximum(latent[:, 0], 0), (latent[:, 1] > 1).astype(float)])
    rows = GaussianCopula(random_state=0).fit(X).sample(20_000)
    # Standard error of a share among 20,000 rows: 0.0035.
    assert abs((rows[:, 0] == 0).mean() - (X[:, 0] == 0).mean()) < 0.012
    assert set(rows[:, 1]) == {0.0, 1.0}
    assert abs(rows[:, 1].mean() - X[:, 1].mean()) < 0.012
    assert rows[rows[:, 0] == 0, 1].mean() < 0.3 * rows[rows[:, 0] > 0, 1].mean()


def test_density_of_one_column_integrates_to_one(rng):
    copula = GaussianCopula().fit(rng.normal(size=(80, 1)))
    grid = np.linspace(-25, 25, 200_001)[:, None]
    np.testing.assert_allclose(
        np.exp(copula.score_samples(grid)).sum() * 50 / 200_000, 1, atol=2e-3
    )


def test_density_of_two_columns_integrates_to_one(rng):
    X = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=150)
    X[:, 1] = X[:, 1] ** 3  # not normal
    copula = GaussianCopula().fit(X)
    # The density is smooth between knots, and knots are training values.
    x_edges = np.union1d(np.linspace(-7, 7, 500), X[:, 0])
    y_edges = np.union1d(np.linspace(-7, 7, 800) ** 3, X[:, 1])
    x, width = 0.5 * (x_edges[1:] + x_edges[:-1]), np.diff(x_edges)
    y, height = 0.5 * (y_edges[1:] + y_edges[:-1]), np.diff(y_edges)
    total = 0.0
    for part, part_width in zip(np.array_split(x, 20), np.array_split(width, 20), strict=True):
        grid = np.stack(np.meshgrid(part, y, indexing="ij"), axis=-1).reshape(-1, 2)
        density = np.exp(copula.score_samples(grid)).reshape(len(part), -1)
        total += part_width @ density @ height
    np.testing.assert_allclose(total, 1, atol=0.003)


def test_density_of_normal_rows_is_near_the_true_one(rng):
    X = rng.multivariate_normal([1, 2, 3], CORRELATION, size=4000)
    X[:, 1] *= 10
    fresh = rng.multivariate_normal([1, 2, 3], CORRELATION, size=1000)
    fresh[:, 1] *= 10
    scale = np.diag([1, 10, 1])
    truth = stats.multivariate_normal([1, 20, 3], scale @ CORRELATION @ scale).logpdf(fresh)
    copula = GaussianCopula().fit(X)
    found = copula.score_samples(fresh)
    # About 32 rows between knots cost 1/(2 * 32) nats a column.
    assert -0.12 < (found - truth).mean() < 0.03
    assert np.corrcoef(found, truth)[0, 1] > 0.95
    np.testing.assert_allclose(copula.score(fresh), found.mean())


def test_log_density_matches_the_dense_formula_for_wide_tables(rng):
    X = rng.normal(size=(15, 40)) @ rng.normal(size=(40, 40))
    copula = GaussianCopula().fit(X)
    fresh = rng.normal(size=(7, 40)) * 6
    scores = copula.margins_.transform(fresh)
    dense = stats.multivariate_normal(np.zeros(40), copula.get_correlation()).logpdf(scores)
    expected = dense - stats.norm.logpdf(scores).sum(axis=1)
    expected += copula.margins_.log_density(fresh).sum(axis=1)
    np.testing.assert_allclose(copula.score_samples(fresh), expected, rtol=1e-8)


def test_density_counts_the_probability_of_a_mass():
    X = np.repeat([[0.0], [1.0]], [30, 70], axis=0)
    found = np.exp(GaussianCopula().fit(X).score_samples([[0.0], [1.0]]))
    np.testing.assert_allclose(found, [0.3, 0.7], rtol=1e-5)


def test_dependence_pays_in_held_out_likelihood(rng):
    X = rng.multivariate_normal(np.zeros(3), CORRELATION, size=400)
    with_dependence = cross_val_score(GaussianCopula(), X, cv=3).mean()
    without = cross_val_score(GaussianCopula(shrinkage=1.0), X, cv=3).mean()
    gain = -0.5 * np.log(np.linalg.det(CORRELATION))
    np.testing.assert_allclose(with_dependence - without, gain, atol=0.1)


def test_samples_stay_in_range_with_clip_only(rng):
    X = rng.normal(size=(30, 2))
    inside = GaussianCopula(random_state=0).fit(X).sample(5000)
    assert (inside >= X.min(axis=0)).all()
    assert (inside <= X.max(axis=0)).all()
    beyond = GaussianCopula(clip=None, random_state=0).fit(X).sample(5000)
    # Half a row of 30 lies beyond each end: 83 of 5,000.
    assert 40 < (beyond > X.max(axis=0)).sum(axis=0).min() < 140
    ends = GaussianCopula(clip=None, tails="clip", random_state=0).fit(X).sample(5000)
    assert (ends <= X.max(axis=0)).all()


def test_rows_outside_clipped_tails_have_no_density(rng):
    X = rng.normal(size=(30, 2))
    assert GaussianCopula(tails="clip").fit(X).score_samples([[9.0, 0.0]]) == -np.inf
    assert np.isfinite(GaussianCopula().fit(X).score_samples([[9.0, 0.0]])).all()


def test_constant_columns_come_back_exactly(rng):
    X = np.column_stack([np.full(50, 0.1), rng.normal(size=50), np.zeros(50)])
    copula = GaussianCopula(random_state=0).fit(X)
    rows = copula.sample(100)
    assert (rows[:, 0] == 0.1).all()
    assert (rows[:, 2] == 0).all()
    alone = GaussianCopula(random_state=0).fit(X[:, [1]])
    np.testing.assert_allclose(copula.score_samples(X), alone.score_samples(X[:, [1]]))
    assert (GaussianCopula().fit(np.ones((4, 2))).sample(3) == 1).all()
    score = GaussianCopula().fit(np.ones((4, 2))).score(np.ones((2, 2)))
    np.testing.assert_allclose(score, 0, atol=1e-12)


@pytest.mark.parametrize("shrinkage", ["ledoit_wolf", 0.0, 0.5])
@pytest.mark.parametrize("n_columns", [1, 6])
def test_two_rows_are_enough(rng, shrinkage, n_columns):
    X = rng.normal(size=(2, n_columns))
    copula = GaussianCopula(shrinkage=shrinkage, random_state=0).fit(X)
    assert np.isfinite(copula.sample(20)).all()
    assert np.isfinite(copula.score(X))


def test_identical_columns_stay_nearly_identical(rng):
    column = rng.normal(size=(200, 1))
    rows = GaussianCopula(shrinkage=0.0, random_state=0).fit(np.hstack([column, column])).sample(50)
    np.testing.assert_allclose(rows[:, 0], rows[:, 1], atol=0.01)


def test_same_seed_gives_same_rows(rng):
    X = rng.normal(size=(30, 4))
    copula = GaussianCopula(random_state=3).fit(X)
    np.testing.assert_array_equal(copula.sample(9), copula.sample(9))
    np.testing.assert_array_equal(copula.sample(9), GaussianCopula(random_state=3).fit(X).sample(9))
    assert not np.array_equal(copula.sample(9), copula.sample(9, random_state=1))
    assert copula.sample(0).shape == (0, 4)


def test_container_and_dtypes_come_back(rng):
    frame = pd.DataFrame(
        {
            "count": rng.poisson(30, size=60),
            "flag": rng.random(60) < 0.5,
            "value": rng.normal(size=60).astype(np.float32),
        }
    )
    rows = GaussianCopula(random_state=0).fit(frame).sample(25)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    narrow = GaussianCopula().fit(frame[["value"]].to_numpy())
    assert narrow.sample(3).dtype == np.float32
    assert np.isfinite(narrow.score_samples(frame[["value"]].to_numpy())).all()


def mixed_frame(rng, n_rows):
    size = rng.normal(size=n_rows)
    noise = rng.normal(size=(3, n_rows))
    return pd.DataFrame(
        {
            "size": np.round(size, 2),
            "grade": pd.Categorical(
                np.where(size + noise[0] > 0.8, "high", np.where(size > -3, "low", "none"))
            ),
            "old": size + noise[1] > 0,
            "dose": np.where(size + noise[2] > 0.5, np.nan, 3 * size),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.rint(40 * size), "D"),
        }
    )


def test_mixed_tables_keep_types_shares_and_dependence(rng):
    frame = mixed_frame(rng, 2000)
    rows = GaussianCopula(random_state=0).fit(frame).sample(4000)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    # Four standard errors of the difference of two shares.
    assert (rows["grade"] == "high").mean() == pytest.approx(
        (frame["grade"] == "high").mean(), abs=0.05
    )
    assert rows["dose"].isna().mean() == pytest.approx(frame["dose"].isna().mean(), abs=0.055)
    assert rows["old"].mean() == pytest.approx(frame["old"].mean(), abs=0.055)
    for flag in ("old", "grade", "dose"):
        real = _association(frame, flag)
        assert abs(real) > 0.4
        # Middle ranks of a column of two levels weaken the association; its sign and most stay.
        assert 0.6 < _association(rows, flag) / real < 1.1
    assert rows["size"].corr(rows["day"].astype("int64")) > 0.97


def _association(frame, flag):
    values = {
        "old": frame["old"],
        "grade": frame["grade"] == "high",
        "dose": frame["dose"].isna(),
    }[flag]
    return np.corrcoef(frame["size"], values.astype(float))[0, 1]


def test_density_of_mixed_tables_needs_complete_known_cells(rng):
    frame = mixed_frame(rng, 200)
    copula = GaussianCopula(random_state=0).fit(frame)
    complete = frame[frame["dose"].notna()]
    assert np.isfinite(copula.score_samples(complete)).all()
    with pytest.raises(ValueError, match="Column 'dose' has missing cells"):
        copula.score_samples(frame)
    with pytest.raises(ValueError, match="Unknown value 'other' in column 'grade'"):
        copula.score_samples(complete.assign(grade="other"))


def test_wide_tables_take_seconds_and_no_square_matrix(rng):
    X = np.log2(rng.negative_binomial(1, 0.02, size=(50, 20_000)) + 1.0)
    tracemalloc.start()
    began = time.perf_counter()
    copula = GaussianCopula(random_state=0).fit(X)
    rows = copula.sample(100)
    scores = copula.score_samples(X)
    elapsed = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.shape == (100, 20_000)
    assert np.isfinite(scores).all()
    assert elapsed < 15  # about 1 s on an idle core
    assert peak < 300e6  # a square matrix alone would take 3.2 GB


def test_rows_are_told_apart_less_than_independent_columns(rng):
    X = rng.multivariate_normal(np.zeros(3), CORRELATION, size=600)
    copula = GaussianCopula(random_state=0).fit(X[:300])
    independent = IndependentColumns(random_state=0).fit(X[:300])
    found = np.abs(np.corrcoef(copula.sample(2000).T) - CORRELATION).mean()
    assert found < np.abs(np.corrcoef(independent.sample(2000).T) - CORRELATION).mean() / 3
