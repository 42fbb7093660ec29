import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.utils import get_tags

from synth_estimators.model_selection import InversePowerLaw
from synth_estimators.model_selection._curve_base import smooth_draw_variance

SIZES = np.array([20, 40, 60, 80, 120, 160, 240, 320])
# Errors that no power law takes up.
WIGGLE = 0.004 * np.array([1, -1, -1, 1, 1, -1, 1, -1])


def power(n, a=0.92, b=0.9, c=0.6):
    return a - b * np.asarray(n, dtype=float) ** -c


@pytest.fixture
def curve():
    return InversePowerLaw().fit(SIZES, power(SIZES) + WIGGLE)


@pytest.mark.parametrize(
    ("a", "b", "c"), [(0.92, 0.9, 0.6), (0.99, 0.3, 0.2), (0.7, 9, 1.5), (1.0, 0.5, 0.4)]
)
@pytest.mark.parametrize("weights", [None, "n", "inverse_variance"])
def test_recovers_points_without_noise(a, b, c, weights):
    curve = InversePowerLaw(weights=weights).fit(SIZES, power(SIZES, a, b, c))
    assert (curve.a_, curve.b_, curve.c_) == pytest.approx((a, b, c), rel=1e-6)
    assert curve.r2_ == pytest.approx(1)
    assert curve.rss_ < 1e-15


@settings(max_examples=25, deadline=None)
@given(
    a=st.floats(0.6, 1.0),
    gain=st.floats(0.05, 0.5),
    c=st.floats(0.2, 2.0),
    factor=st.sampled_from([1, 10, 1000]),
)
def test_recovers_any_curve_at_any_scale(a, gain, c, factor):
    sizes = SIZES * factor
    b = gain * float(sizes[0]) ** c
    curve = InversePowerLaw().fit(sizes, power(sizes, a, b, c))
    assert (curve.a_, curve.c_) == pytest.approx((a, c), rel=1e-5)
    assert curve.b_ == pytest.approx(b, rel=1e-4)


def test_loss_is_the_mirror_image():
    loss = 1 - power(SIZES) - WIGGLE
    falling = InversePowerLaw(loss=True).fit(SIZES, loss)
    rising = InversePowerLaw().fit(SIZES, 1 - loss)
    assert falling.a_ == pytest.approx(1 - rising.a_)
    assert (falling.b_, falling.c_) == pytest.approx((rising.b_, rising.c_))
    np.testing.assert_allclose(falling.predict([50, 900]), 1 - rising.predict([50, 900]))
    low, high = falling.interval([50, 900])
    expected = rising.interval([50, 900])
    np.testing.assert_allclose([low, high], [1 - expected[1], 1 - expected[0]])
    assert falling.required_n(0.12).n == pytest.approx(rising.required_n(0.88).n)
    np.testing.assert_allclose(falling.covariance_[1:, 1:], rising.covariance_[1:, 1:])
    assert falling.covariance_[0, 1] == pytest.approx(-rising.covariance_[0, 1])


@pytest.mark.parametrize("n", [3, 20, 219, 5000, 1e6])
def test_required_n_inverts_predict(curve, n):
    assert curve.required_n(float(curve.predict([n])[0])).n == pytest.approx(n, rel=1e-6)


def test_target_beyond_the_asymptote_is_never_reached(curve):
    for target in (curve.a_, curve.a_ + 0.05, 7.0):
        required = curve.required_n(target)
        assert required.n == np.inf
        assert required.high == np.inf
        assert required.extrapolated
    assert curve.required_n(curve.a_).p_reachable == pytest.approx(0.5)
    assert curve.required_n(7.0).p_reachable < 0.01
    assert curve.required_n(0.7).p_reachable > 0.99


def test_required_n_is_where_the_band_reaches_the_target(curve):
    required = curve.required_n(0.87)
    assert curve.interval([required.low])[1][0] == pytest.approx(0.87, abs=1e-6)
    assert curve.interval([required.high])[0][0] == pytest.approx(0.87, abs=1e-6)


def test_required_interval_agrees_with_the_delta_method_of_log_n():
    tight = InversePowerLaw().fit(SIZES, power(SIZES) + 1e-3 * WIGGLE)
    required = tight.required_n(0.88)
    a, b, c = tight.a_, tight.b_, tight.c_
    slopes = np.array([-1 / (c * (a - 0.88)), 1 / (c * b), -np.log(b / (a - 0.88)) / c**2])
    half = stats.t.ppf(0.975, 5) * np.sqrt(slopes @ tight.covariance_ @ slopes)
    assert np.log(required.high / required.n) == pytest.approx(half, rel=0.01)
    assert np.log(required.n / required.low) == pytest.approx(half, rel=0.01)


def test_far_answers_are_marked(curve):
    far = float(curve.predict([5000])[0])
    assert curve.required_n(far).extrapolated
    assert not curve.required_n(0.85).extrapolated


def test_interval_is_the_t_interval_of_the_delta_method(curve):
    n = np.array([50.0, 640.0])
    score, std = curve.predict(n, return_std=True)
    low, high = curve.interval(n, level=0.9)
    half = stats.t.ppf(0.95, len(SIZES) - 3) * std
    np.testing.assert_allclose([low, high], [score - half, score + half])
    slopes = np.column_stack([np.ones(2), -(n**-curve.c_), curve.b_ * n**-curve.c_ * np.log(n)])
    np.testing.assert_allclose(
        std**2, np.einsum("np,pq,nq->n", slopes, curve.covariance_, slopes), rtol=1e-6
    )


def test_prediction_interval_adds_the_spread_of_one_score(curve):
    low, high = curve.interval([100])
    wide_low, wide_high = curve.interval([100], kind="prediction")
    assert wide_low < low < high < wide_high


def test_prediction_interval_covers_single_draws():
    rng = np.random.default_rng(0)
    draws = power(SIZES) + 0.02 * rng.standard_normal((40, len(SIZES)))
    curve = InversePowerLaw(upper=None).fit(np.tile(SIZES, 40), draws.ravel())
    low, high = curve.interval(SIZES, kind="prediction")
    inside = (draws >= low) & (draws <= high)
    assert 0.93 <= inside.mean() <= 0.99


def test_intervals_stay_inside_the_range():
    noisy = InversePowerLaw().fit(SIZES[:4], [0.5, 0.97, 0.9, 0.99])
    low, high = noisy.interval([10, 1e5])
    assert low.min() >= 0
    assert high.max() <= 1


def test_asymptote_stays_inside_the_range():
    steep = 0.5 + 0.08 * np.log2(SIZES / 20)
    assert InversePowerLaw().fit(SIZES, steep).a_ <= 1
    assert InversePowerLaw(upper=0.95).fit(SIZES, steep).a_ == pytest.approx(0.95)
    assert InversePowerLaw(upper=None).fit(SIZES, steep).a_ > 1


def test_bounded_fit_is_the_least_squares_fit():
    # No point of a fine grid inside the bounds is better.
    score = 0.5 + 0.08 * np.log2(SIZES / 20) + WIGGLE
    curve = InversePowerLaw(weights=None).fit(SIZES, score)
    best = np.inf
    for c in np.logspace(-3, np.log10(5), 200):
        for a in np.linspace(0.5, 1, 101):
            x = (SIZES / 20.0) ** -c
            b = max(0, x @ (a - score) / (x @ x))
            best = min(best, ((score - a + b * x) ** 2).sum())
    assert curve.rss_ <= best + 1e-12


def test_flat_curve_is_degenerate():
    curve = InversePowerLaw().fit(SIZES, np.full(8, 0.8))
    assert curve.degenerate_
    assert curve.a_ == pytest.approx(0.8)
    assert curve.b_ == 0
    assert np.isnan(curve.c_)
    np.testing.assert_allclose(curve.predict([1, 1e6]), 0.8)
    assert curve.required_n(0.7).n == 0
    assert curve.required_n(0.81).n == np.inf


def test_falling_scores_give_a_flat_curve_at_their_mean():
    score = 0.9 - 0.001 * np.arange(8)
    curve = InversePowerLaw(weights=None).fit(SIZES, score)
    assert curve.degenerate_
    assert curve.a_ == pytest.approx(score.mean())
    low, high = curve.interval([100])
    assert low[0] < score.mean() < high[0]
    assert curve.required_n(0.5).high == 0


def test_three_sizes_give_a_curve_without_interval():
    curve = InversePowerLaw().fit([20, 80, 320], power([20, 80, 320]))
    assert curve.a_ == pytest.approx(0.92, abs=1e-6)
    assert np.isnan(curve.covariance_).all()
    with pytest.warns(UndefinedMetricWarning, match="at least 4 distinct sizes"):
        low, _ = curve.interval([100])
    assert np.isnan(low).all()
    with pytest.warns(UndefinedMetricWarning, match="fitted on 3 sizes"):
        required = curve.required_n(0.88)
    assert required.n == pytest.approx((0.9 / 0.04) ** (1 / 0.6), rel=1e-5)
    assert np.isnan(required.low)


def test_two_sizes_are_refused():
    with pytest.raises(ValueError, match="at least 3 distinct sizes"):
        InversePowerLaw().fit([20, 20, 40], [0.7, 0.71, 0.8])


def test_draws_at_one_size_count_by_their_mean():
    rng = np.random.default_rng(0)
    draws = power(SIZES) + 0.02 * rng.standard_normal((5, 8))
    every = InversePowerLaw(weights=None).fit(np.tile(SIZES, 5), draws.ravel())
    means = InversePowerLaw(weights=None).fit(SIZES, draws.mean(axis=0))
    assert (every.a_, every.b_, every.c_) == pytest.approx((means.a_, means.b_, means.c_))


def test_inverse_variance_weights_follow_the_draws():
    rng = np.random.default_rng(0)
    spread = 0.5 / np.sqrt(SIZES)
    draws = 0.5 + spread * rng.standard_normal((400, 8))
    curve = InversePowerLaw(upper=None, lower=None).fit(np.tile(SIZES, 400), draws.ravel())
    # The variance falls as 0.25/n, so weights grow as n.
    np.testing.assert_allclose(curve.draw_variance_, [0, 0.25], atol=0.02)
    np.testing.assert_allclose(curve.weights_ / curve.weights_[0], SIZES / 20, rtol=0.15)


def test_smooth_variance_has_no_negative_part():
    growing = smooth_draw_variance(SIZES.astype(float), SIZES / 1e4, np.full(8, 4.0))
    assert growing.min() >= 0
    assert smooth_draw_variance(SIZES.astype(float), np.zeros(8), np.full(8, 4.0)) is None


def test_weight_zero_leaves_a_point_out():
    score = power(SIZES)
    score[3] = 0.1
    weight = np.ones(8)
    weight[3] = 0
    assert InversePowerLaw().fit(SIZES, score, weight).a_ == pytest.approx(0.92, rel=1e-5)


def test_order_of_points_and_shape_of_n_do_not_matter(curve):
    order = np.random.default_rng(0).permutation(8)
    score = power(SIZES) + WIGGLE
    other = InversePowerLaw().fit(SIZES[order][:, None], score[order].tolist())
    assert (other.a_, other.c_) == pytest.approx((curve.a_, curve.c_))


def test_regressor_protocol(curve):
    assert get_tags(curve).input_tags.one_d_array
    assert not get_tags(curve).input_tags.two_d_array
    assert curve.score(SIZES, power(SIZES)) > 0.99
    copy = pickle.loads(pickle.dumps(curve))
    np.testing.assert_array_equal(copy.predict([77]), curve.predict([77]))
    fresh = clone(curve).set_params(upper=0.9)
    assert fresh.get_params() == {
        "loss": False,
        "lower": 0.0,
        "upper": 0.9,
        "weights": "inverse_variance",
        "known_variance": False,
    }
    with pytest.raises(NotFittedError):
        fresh.predict([10])


@pytest.mark.parametrize(
    ("n", "score", "message"),
    [
        ([10, 20, 40, -5], [0.5, 0.6, 0.7, 0.8], "larger than 0"),
        ([10, 20, 40, np.nan], [0.5, 0.6, 0.7, 0.8], "larger than 0"),
        ([10, 20, 40], [0.5, 0.6], "score holds 2 values"),
        ([10, 20, 40, 80], [0.5, 0.6, np.nan, 0.8], "NaN or infinity"),
        ([10, 20, 40, 80], [0.5, 0.6, 0.7, 1.8], "outside lower=0.0 and upper=1.0"),
        (["a", "b", "c"], [0.5, 0.6, 0.7], "numbers of rows"),
        (np.ones((4, 2)), [0.5] * 4, "one number of rows per point"),
    ],
)
def test_bad_points(n, score, message):
    with pytest.raises(ValueError, match=message):
        InversePowerLaw().fit(n, score)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lower": 1.0, "upper": 0.5}, "must be less than upper"),
        ({"weights": "draws"}, "'weights' parameter"),
        ({"known_variance": True}, "needs sample_weight"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        InversePowerLaw(**params).fit(SIZES, power(SIZES))


def test_bad_questions(curve):
    with pytest.raises(ValueError, match="level=95"):
        curve.interval([10], level=95)
    with pytest.raises(ValueError, match="kind='band'"):
        curve.interval([10], kind="band")
    with pytest.raises(ValueError, match="target=nan"):
        curve.required_n(np.nan)
    with pytest.raises(ValueError, match="sample_weight holds 2"):
        InversePowerLaw().fit(SIZES, power(SIZES), [1, 2])


@pytest.mark.parametrize("seed", range(20))
def test_any_scores_give_finite_curves(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 10_000, 5) * 1.0
    sizes[1:] += np.arange(1, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve = InversePowerLaw().fit(sizes, rng.uniform(size=5))
        assert np.isfinite(curve.predict(sizes)).all()
        assert 0 <= curve.a_ <= 1
        assert not np.isnan(curve.required_n(0.9).n)
