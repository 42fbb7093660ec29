import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.model_selection import (
    ExponentialCurve,
    FourParameterPowerLaw,
    InversePowerLaw,
    IsotonicCurve,
    LogarithmicCurve,
    select_curve,
)

SIZES = np.array([20.0, 40, 60, 80, 120, 160, 240, 320])
WIGGLE = 0.004 * np.array([1, -1, -1, 1, 1, -1, 1, -1])
LAWS = {
    "exponential": (ExponentialCurve(), lambda n: 0.9 - 0.3 * np.exp(-0.02 * n), (0.9, 0.3, 0.02)),
    "logarithmic": (LogarithmicCurve(), lambda n: 0.4 + 0.08 * np.log(n), (0.4, 0.08)),
    "shifted": (
        FourParameterPowerLaw(),
        lambda n: 0.9 - 5 * (n + 30) ** -0.8,
        (0.9, 5, 0.8, 30),
    ),
    "power": (InversePowerLaw(), lambda n: 0.9 - 0.8 * n**-0.5, (0.9, 0.8, 0.5)),
}
laws = pytest.mark.parametrize("name", list(LAWS))


@laws
def test_recovers_points_without_noise(name):
    curve, law, expected = LAWS[name]
    curve.fit(SIZES, law(SIZES))
    found = [getattr(curve, f"{letter}_") for letter in "abcd"[: len(expected)]]
    assert found == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(curve.predict([10, 1000]), np.clip(law(np.array([10, 1000])), 0, 1))


@laws
def test_required_n_inverts_predict(name):
    curve, law, _ = LAWS[name]
    curve.fit(SIZES, law(SIZES) + WIGGLE)
    for n in (25.0, 180.0, 300.0):
        assert curve.required_n(float(curve.predict([n])[0])).n == pytest.approx(n, rel=1e-4)


@laws
def test_standard_errors_follow_from_numerical_derivatives(name):
    # Refits to shifted points give the derivative of the curve by the data.
    curve, law, _ = LAWS[name]
    score, n = law(SIZES) + 0.2 * WIGGLE, [50.0, 500.0]
    curve.set_params(weights=None, upper=None)
    curve.fit(SIZES, score)
    noise = curve.rss_ / (len(SIZES) - len(curve.covariance_))
    std = curve.predict(n, return_std=True)[1]
    curve.set_params(upper=1.0)
    covariance = np.linalg.eigvalsh(curve.covariance_)
    assert (covariance > -1e-12 * covariance.max()).all()
    other, slopes = type(curve)(weights=None, upper=None), []
    for k in range(len(SIZES)):
        shift = 1e-6 * (np.arange(len(SIZES)) == k)
        up, down = (other.fit(SIZES, score + s).predict(n) for s in (shift, -shift))
        slopes.append((up - down) / 2e-6)
    # The delta method leaves out the curvature of the model, which matters by a few per cent.
    np.testing.assert_allclose(std, np.sqrt(noise * (np.array(slopes) ** 2).sum(axis=0)), rtol=0.15)


def test_logarithmic_curve_stays_in_range_and_reaches_everything_inside():
    curve = LogarithmicCurve().fit(SIZES, 0.4 + 0.08 * np.log(SIZES))
    assert curve.predict([1e6])[0] == 1
    required = curve.required_n(0.95)
    assert required.n == pytest.approx(np.exp(0.55 / 0.08))
    assert required.p_reachable == 1
    assert curve.required_n(1.2).n == np.inf


def test_flat_curves_are_degenerate():
    for curve in (ExponentialCurve(), LogarithmicCurve(), FourParameterPowerLaw()):
        curve.fit(SIZES, np.full(8, 0.7))
        assert curve.degenerate_
        assert curve.required_n(0.8).n == np.inf
        assert curve.required_n(0.6).n == 0


def test_isotonic_levels_and_limits():
    curve = IsotonicCurve(weights=None).fit([10, 20, 30, 40], [0.5, 0.7, 0.6, 0.8])
    np.testing.assert_allclose(curve.levels_, [0.5, 0.65, 0.65, 0.8])
    assert curve.predict([15])[0] == pytest.approx(0.575)
    with pytest.warns(UndefinedMetricWarning, match="LearningCurveFit gives one"):
        assert curve.required_n(0.725).n == pytest.approx(35)
    with pytest.warns(UndefinedMetricWarning):
        assert curve.required_n(0.9).n == np.inf
    with pytest.warns(UndefinedMetricWarning, match="does not extrapolate"):
        assert np.isnan(curve.predict([50])[0])
    assert curve.set_params(out_of_bounds="clip").predict([50])[0] == pytest.approx(0.8)
    with pytest.warns(UndefinedMetricWarning, match="no interval of its own"):
        assert np.isnan(curve.interval([20])).all()


def test_isotonic_loss_falls():
    curve = IsotonicCurve(loss=True).fit([10, 20, 30], [0.5, 0.6, 0.2])
    np.testing.assert_allclose(curve.levels_, [0.55, 0.55, 0.2])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("power", "inverse_power_law"),
        ("exponential", "exponential"),
        ("logarithmic", "logarithmic"),
        ("shifted", "four_parameter_power_law"),
    ],
)
def test_selection_finds_the_law(name, expected):
    found = select_curve(SIZES, LAWS[name][1](SIZES))
    assert found.name == expected
    assert found.table.loc[expected, "error"] < 1e-6
    assert found.curve.predict([320])[0] == pytest.approx(LAWS[name][1](320.0), abs=1e-6)


def test_selection_judges_at_the_left_out_size():
    law = LAWS["power"][1]
    found = select_curve(SIZES, law(SIZES), curves={"iso": IsotonicCurve()})
    # Isotonic regression carries the last seen score forward.
    assert found.table.loc["iso", "error"] == pytest.approx(law(320.0) - law(240.0))
    two = select_curve(SIZES, law(SIZES), curves={"iso": IsotonicCurve()}, n_left_out=2)
    expected = (law(320.0) - law(240.0) + law(240.0) - law(160.0)) / 2
    assert two.table.loc["iso", "error"] == pytest.approx(expected)


def test_curves_with_too_few_sizes_are_named():
    found = select_curve(SIZES[:4], LAWS["power"][1](SIZES[:4]))
    assert np.isnan(found.table.loc["four_parameter_power_law", "error"])
    assert "at least 4" in found.table.loc["four_parameter_power_law", "note"]
    with pytest.raises(ValueError, match="No curve can be fitted"):
        select_curve(SIZES[:3], [0.5, 0.6, 0.7], curves={"power": InversePowerLaw()})
    with pytest.raises(ValueError, match="outside lower"):
        select_curve(SIZES, SIZES)
