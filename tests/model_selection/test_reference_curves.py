"""Learning curves that another solver fitted to the points of tests/data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth_estimators.model_selection import InversePowerLaw

FOLDER = Path(__file__).parents[1] / "data" / "evaluation"
ENTRIES = json.loads((FOLDER / "expected.json").read_text())["entries"]


@pytest.fixture(scope="module")
def points():
    table = pd.read_csv(FOLDER / "curve_points.csv")
    return table.groupby("n_train")["score"].agg(["mean", "std", "size"])


def entries(metric):
    chosen = [entry for entry in ENTRIES if entry["metric"] == metric]
    assert chosen
    return pytest.mark.parametrize("entry", chosen, ids=lambda e: e["args"]["weights"])


def fit(entry, points):
    if entry["args"]["weights"] == "se":
        curve = InversePowerLaw(known_variance=True)
        return curve.fit(points.index, points["mean"], points["size"] / points["std"] ** 2)
    return InversePowerLaw(weights=None).fit(points.index, points["mean"])


@entries("iplf_fit")
def test_parameters_and_predictions(entry, points):
    curve, value = fit(entry, points), entry["value"]
    assert (curve.a_, curve.b_, curve.c_) == pytest.approx(
        (value["a"], value["b"], value["c"]), abs=entry["tol"]
    )
    assert curve.rss_ == pytest.approx(value["rss"], rel=1e-4)
    sizes = [int(n) for n in value["predict"]]
    score, std = curve.predict(sizes, return_std=True)
    np.testing.assert_allclose(score, list(value["predict"].values()), atol=1e-6)
    np.testing.assert_allclose(std, list(value["se_delta"].values()), atol=1e-6)


@entries("iplf_fit")
def test_interval_with_the_normal_quantile(entry, points):
    low, high = fit(entry, points).interval([1000], df=np.inf)
    np.testing.assert_allclose([low[0], high[0]], entry["value"]["ci95_1000"], atol=1e-6)


@entries("iplf_fit")
def test_required_n(entry, points):
    required = fit(entry, points).required_n(0.88)
    assert required.n == pytest.approx(entry["value"]["n_for_0_88"], rel=entry["tol"])
    assert required.low < required.n < required.high
    assert not required.extrapolated


@entries("iplf_fit_peer_form")
def test_published_form_and_its_correct_errors(entry, points):
    value = entry["value"]
    curve = InversePowerLaw(weights=None).fit(points.index, points["mean"])
    assert (1 - curve.a_, curve.b_, -curve.c_) == pytest.approx(
        (value["a"], value["b"], value["c"]), abs=entry["tol"]
    )
    std = curve.predict(value["n"], return_std=True)[1]
    np.testing.assert_allclose(std, value["se_correct"], atol=1e-6)
    # The published errors take the derivative by n; at the largest size they are 435 times less.
    assert std[-1] / value["se_syng_bts_3_6_1"][-1] > 400
