import time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.model_selection import (
    ExponentialCurve,
    InversePowerLaw,
    IsotonicCurve,
    LearningCurveFit,
    fit_curve,
)

SIZES = np.array([16, 32, 64, 96, 128, 192, 256, 320])


def power(n, a=0.92, b=0.9, c=0.6):
    return a - b * np.asarray(n, dtype=float) ** -c


def make_draws(seed, n_draws=5, correlation=0.0, curve=(0.92, 0.9, 0.6)):
    """Scores whose spread falls with the size; draws may be correlated over the sizes."""
    rng = np.random.default_rng(seed)
    spread = np.sqrt(1e-5 + 0.02 / SIZES)
    common, own = rng.standard_normal((n_draws, 1)), rng.standard_normal((n_draws, len(SIZES)))
    noise = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    return np.clip(power(SIZES, *curve) + spread * noise, 0, 1)


@pytest.fixture(scope="module")
def fit():
    return LearningCurveFit().fit(SIZES, make_draws(0))


def test_curve_goes_through_the_means(fit):
    curve = InversePowerLaw().fit(np.tile(SIZES, 5), make_draws(0).ravel())
    np.testing.assert_allclose(fit.predict([50, 640]), curve.predict([50, 640]))
    np.testing.assert_allclose(fit.means_, make_draws(0).mean(axis=0))
    np.testing.assert_allclose(fit.sd_, make_draws(0).std(axis=0, ddof=1))
    assert fit.n_draws_ == 5


@pytest.mark.parametrize("resampling", ["multiplier", "percentile", "bca"])
def test_same_seed_same_band(resampling):
    def band(seed):
        fit = LearningCurveFit(resampling=resampling, random_state=seed)
        return np.array(fit.fit(SIZES, make_draws(0)).interval([20, 640]))

    np.testing.assert_array_equal(band(3), band(3))
    assert (band(3) != band(4)).any()


def test_multiplier_band_has_the_width_of_a_t_interval():
    # The mean of one size is all that a logarithmic curve of two sizes knows about it.
    from scipy import stats

    from synth_estimators.model_selection import LogarithmicCurve

    rng = np.random.default_rng(1)
    sizes = np.array([10.0, 100.0, 1000.0])
    draws = 0.3 + 0.05 * np.log(sizes) + 0.005 * rng.standard_normal((5, 3))
    fit = LearningCurveFit(LogarithmicCurve(weights=None), n_resamples=20_000).fit(sizes, draws)
    low, high = fit.interval([100])
    # At the middle size the straight line is the mean of all points.
    scores = draws.mean(axis=1)
    half = stats.t.ppf(0.975, 4) * scores.std(ddof=1) / np.sqrt(5)
    assert (high - low)[0] == pytest.approx(2 * half, rel=0.05)


def test_drawing_with_replacement_gives_narrower_bands(fit):
    narrow = LearningCurveFit(resampling="percentile").fit(SIZES, make_draws(0))
    width = np.subtract(*fit.interval(SIZES)[::-1])
    assert (np.subtract(*narrow.interval(SIZES)[::-1]) < width).all()


def test_variance_inflation_widens_the_band(fit):
    wide = LearningCurveFit(variance_inflation=4.0).fit(SIZES, make_draws(0))
    ratio = np.subtract(*wide.interval([96])[::-1]) / np.subtract(*fit.interval([96])[::-1])
    assert ratio[0] == pytest.approx(2, rel=0.15)


def test_band_holds_the_curve_and_stays_in_range(fit):
    n = np.geomspace(10, 1e6, 20)
    low, high = fit.interval(n)
    assert (low <= fit.predict(n)).all()
    assert (fit.predict(n) <= high).all()
    assert high.max() <= 1
    assert (np.diff(low) >= -1e-12).all()
    assert (np.diff(high) >= -1e-12).all()


def test_prediction_band_covers_draws(fit):
    more = make_draws(99, n_draws=200)
    low, high = fit.interval(SIZES, kind="prediction")
    assert ((low <= more) & (more <= high)).mean() > 0.9
    confidence = fit.interval(SIZES)
    assert (low < confidence[0]).all()


def test_required_n_is_the_inverse_of_the_band(fit):
    required = fit.required_n(0.86)
    assert required.low < required.n < required.high
    assert fit.predict([required.n])[0] == pytest.approx(0.86)
    assert fit.interval([required.low])[1][0] == pytest.approx(0.86, abs=2e-3)
    assert fit.interval([required.high])[0][0] == pytest.approx(0.86, abs=2e-3)
    assert required.p_reachable > 0.95


def test_unreachable_targets(fit):
    required = fit.required_n(0.999)
    assert required.n == np.inf
    assert required.high == np.inf
    assert required.p_reachable < 0.2


def test_bca_and_delta_answer_the_same_questions():
    for resampling in ("bca", "delta"):
        fit = LearningCurveFit(resampling=resampling).fit(SIZES, make_draws(0))
        required = fit.required_n(0.86)
        assert required.low < required.n < required.high
        assert fit.predict([640], return_std=True)[1][0] > 0


def test_loss_is_the_mirror_image(fit):
    loss = LearningCurveFit(InversePowerLaw(loss=True)).fit(SIZES, 1 - make_draws(0))
    low, high = loss.interval([100])
    expected = fit.interval([100])
    np.testing.assert_allclose([low, high], [1 - expected[1], 1 - expected[0]], atol=1e-9)
    assert loss.required_n(0.14).n == pytest.approx(fit.required_n(0.86).n)


def test_plateau_of_exact_draws():
    # Doubling n gains b n^-c (1 - 2^-c).
    exact = power(SIZES) + np.array([[1e-12], [-1e-12]])
    fit = LearningCurveFit().fit(SIZES, exact)
    expected = (0.9 * (1 - 2**-0.6) / 0.01) ** (1 / 0.6)
    assert fit.plateau_n() == pytest.approx(expected, rel=1e-4)
    assert fit.plateau_n(gain=0.05) < expected
    assert LearningCurveFit(resampling="delta").fit(SIZES, exact).plateau_n() == pytest.approx(
        expected, rel=1e-4
    )


def test_plateau_is_surer_with_more_probability(fit):
    assert fit.plateau_n(probability=0.5) < fit.plateau_n(probability=0.95)
    assert fit.plateau_n(gain=0.9) == 1


def test_missing_scores_are_left_out(fit):
    draws = make_draws(0)
    draws[2, 3] = np.nan
    holes = LearningCurveFit().fit(SIZES, draws)
    assert holes.predict([640])[0] == pytest.approx(fit.predict([640])[0], abs=0.01)
    draws[:, 1] = np.nan
    with pytest.warns(UndefinedMetricWarning, match=r"\[32\]"):
        assert len(LearningCurveFit().fit(SIZES, draws).sizes_) == 7


def test_groups_are_resampled_as_a_whole():
    draws = np.repeat(make_draws(0), 10, axis=0)
    apart = LearningCurveFit().fit(SIZES, draws)
    together = LearningCurveFit().fit(SIZES, draws, groups=np.repeat(np.arange(5), 10))
    single = LearningCurveFit().fit(SIZES, make_draws(0))
    np.testing.assert_allclose(together.interval([96]), single.interval([96]))
    width = [np.subtract(*f.interval([96])[::-1])[0] for f in (apart, together)]
    assert width[0] < 0.5 * width[1]


def test_one_draw_falls_back_to_the_delta_method():
    with pytest.warns(UndefinedMetricWarning, match="fewer than two draws"):
        fit = LearningCurveFit().fit(SIZES, make_draws(0)[:1])
    np.testing.assert_allclose(fit.interval([100]), fit.curve_.interval([100]))


def test_three_sizes_have_no_band():
    fit = LearningCurveFit().fit(SIZES[:3], make_draws(0)[:, :3])
    with pytest.warns(UndefinedMetricWarning, match="fitted on 3 sizes"):
        assert np.isnan(fit.interval([100])).all()


@pytest.mark.parametrize("curve", [ExponentialCurve(), IsotonicCurve()])
def test_other_curves_have_bands(curve):
    fit = LearningCurveFit(curve).fit(SIZES, make_draws(0))
    low, high = fit.interval([100])
    assert low[0] < high[0]
    required = fit.required_n(0.84)
    assert required.low <= required.n <= required.high


def test_isotonic_bands_end_at_the_largest_size():
    fit = LearningCurveFit(IsotonicCurve()).fit(SIZES, make_draws(0))
    with pytest.warns(UndefinedMetricWarning, match="does not extrapolate"):
        low, high = fit.interval([100, 1000])
    assert np.isnan([low[1], high[1]]).all()
    assert np.isfinite([low[0], high[0]]).all()


def test_five_hundred_refits_are_fast():
    fit = LearningCurveFit()
    start = time.process_time()
    fit.fit(SIZES, make_draws(0))
    assert time.process_time() - start < 2


def test_clone_and_parameters():
    fit = clone(LearningCurveFit(InversePowerLaw(upper=0.95), n_resamples=50))
    assert fit.get_params()["curve__upper"] == 0.95
    with pytest.raises(ValueError, match="'resampling' parameter"):
        LearningCurveFit(resampling="jackknife").fit(SIZES, make_draws(0))


@pytest.mark.parametrize(
    ("sizes", "draws", "message"),
    [
        ([10, 20], np.ones((3, 3)), r"expected \(n_draws, 2\)"),
        ([10, 10, 20], np.ones((3, 3)), "twice"),
        ([10, 20, 40], [[0.5, np.inf, 0.6]], "infinite"),
    ],
)
def test_bad_draws(sizes, draws, message):
    with pytest.raises(ValueError, match=message):
        LearningCurveFit().fit(sizes, draws)


def make_table(**columns):
    table = pd.DataFrame(
        [(n, draw) for draw in range(5) for n in SIZES], columns=["n_train", "draw"]
    )
    return table.assign(f1_score=make_draws(0).ravel(), method="KNN", **columns)


def test_fit_curve_reads_a_long_table(fit):
    shuffled = make_table().sample(frac=1, random_state=0)
    np.testing.assert_allclose(fit_curve(shuffled).interval([640]), fit.interval([640]))
    doubled = make_table().assign(total_size=lambda t: 2 * t["n_train"])
    again = fit_curve(doubled, size="total_size")
    assert again.required_n(0.86).n == pytest.approx(2 * fit.required_n(0.86).n, rel=1e-4)


def test_fit_curve_refuses_what_is_not_one_curve():
    two = pd.concat([make_table(), make_table().assign(method="RF")])
    with pytest.raises(ValueError, match=r"several values of 'method' \(\['KNN', 'RF'\]"):
        fit_curve(two)
    with pytest.raises(ValueError, match="no column 'auc'"):
        fit_curve(make_table(), score="auc")
    with pytest.raises(ValueError, match="several rows of one draw"):
        fit_curve(pd.concat([make_table(), make_table()]))


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("curve", [(0.92, 0.9, 0.6), (0.95, 0.6, 0.25)])
def test_bands_and_required_n_cover(curve, correlation):
    # 200 simulations: the share has a standard error of 0.015 around 0.95.
    grid = np.array([16, 64, 160, 320, 640, 1280])
    truth = power(grid, *curve)
    targets = {160: float(power(160, *curve)), 640: float(power(640, *curve))}
    inside, reached = np.zeros(len(grid)), np.zeros(2)
    for seed in range(200):
        draws = make_draws(1000 + seed, correlation=correlation, curve=curve)
        fit = LearningCurveFit(random_state=seed).fit(SIZES, draws)
        low, high = fit.interval(grid)
        inside += (low <= truth) & (truth <= high)
        for k, (n, target) in enumerate(targets.items()):
            required = fit.required_n(target)
            reached[k] += required.low <= n <= required.high
    assert ((inside / 200 >= 0.90) & (inside / 200 <= 0.98)).all()
    assert ((reached / 200 >= 0.90) & (reached / 200 <= 0.98)).all()


def test_fit_curve_averages_the_draws_of_a_fold():
    folds = pd.concat(
        [make_table(fold=fold).assign(f1_score=make_draws(fold).ravel()) for fold in range(4)]
    )
    fit = fit_curve(folds)
    assert fit.n_draws_ == 4
    means = folds.groupby(["fold", "n_train"])["f1_score"].mean().unstack()
    same = LearningCurveFit().fit(SIZES, means.to_numpy())
    np.testing.assert_allclose(fit.interval([640]), same.interval([640]))
    assert fit_curve(folds[folds["fold"] == 0]).n_draws_ == 5
