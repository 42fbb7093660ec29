import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from synth_estimators import _distances
from synth_estimators.metrics import (
    METRICS,
    alpha_precision_beta_recall,
    energy_distance,
    prdc,
    prdc_coverage,
)
from synth_estimators.metrics import _manifold as manifold

SINGLE = ["prdc_precision", "prdc_recall", "prdc_density", "prdc_coverage"]
SINGLE += ["alpha_precision", "beta_recall", "authenticity"]


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(3, 300, 4))


def test_prdc_of_equal_tables_is_ideal(points):
    scores = prdc(points[0], points[0])
    assert (scores.precision, scores.recall, scores.density, scores.coverage) == (1, 1, 1, 1)


def test_prdc_of_fresh_rows_reaches_its_limits(points):
    scores = prdc(points[0], points[1])
    # Binomial noise of 300 rows is 0.01 around the limit of coverage.
    assert scores.coverage == pytest.approx(scores.coverage_limit, abs=0.04)
    assert scores.coverage_limit == pytest.approx(0.969, abs=0.002)
    assert scores.density == pytest.approx(1.0, abs=0.15)


def test_far_rows_have_no_precision_and_a_collapsed_table_no_recall(points):
    assert prdc(points[0], points[0] + 50).precision == 0
    collapsed = prdc(points[0], 0.01 * points[1])
    assert collapsed.precision == 1
    assert collapsed.recall < 0.1
    assert collapsed.coverage < 0.2


def test_k_is_lowered_with_a_warning(points):
    with pytest.warns(UserWarning, match="k=3 is used"):
        assert prdc(points[0][:4], points[1]).k == 3
    with pytest.raises(ValueError, match="at least 1"):
        prdc(points[0], points[1], k=0)


def test_tables_are_cut_to_equal_size_with_a_seed(points):
    scores = prdc(points[0], points[1][:120], random_state=0)
    assert (scores.n_real, scores.n_synth) == (120, 120)
    assert prdc(points[0], points[1][:120], random_state=0) == scores
    assert prdc(points[0], points[1], max_rows=50, random_state=0).n_real == 50
    assert prdc(points[0], points[1][:120], match_size=False).n_real == 300


def test_blocks_of_rows_change_nothing(points, monkeypatch):
    whole = prdc(points[0], points[1]), alpha_precision_beta_recall(points[0], points[1])
    energy = energy_distance(points[0], points[1])
    monkeypatch.setattr(_distances, "_BLOCK_ELEMENTS", 1000)
    assert (prdc(points[0], points[1]), alpha_precision_beta_recall(points[0], points[1])) == whole
    assert energy_distance(points[0], points[1]) == pytest.approx(energy, abs=1e-12)


def test_alpha_beta_and_authenticity_of_fresh_rows_and_of_copies(points):
    fresh = alpha_precision_beta_recall(points[0], points[1])
    # 0.95 on average at 300 rows.
    assert fresh.alpha_precision > 0.88
    assert fresh.beta_recall == pytest.approx(0.5, abs=0.1)
    assert 0.45 < fresh.authenticity < 0.68
    copies = alpha_precision_beta_recall(points[0], points[0])
    assert copies.beta_recall > 0.95
    assert copies.authenticity == 0.0


def test_authenticity_by_the_definition(points):
    real, synth = points[0][:40], points[1][:40]
    scores = alpha_precision_beta_recall(real, synth, space="identity")
    within, across = cdist(real, real) + np.diag([np.inf] * 40), cdist(synth, real)
    nearest = across.argmin(axis=1)
    assert scores.authenticity == np.mean(within.min(axis=1)[nearest] < across.min(axis=1))


@pytest.mark.parametrize("name", SINGLE)
def test_single_values_are_those_of_the_whole(name, points):
    options = {"random_state": 3, "max_rows": 100}
    source = prdc if name.startswith("prdc") else alpha_precision_beta_recall
    expected = source(points[0], points[1], **options)[name.removeprefix("prdc_")]
    assert METRICS[name].function(points[0], points[1], **options) == expected


def test_details_have_one_row_for_every_real_row(points):
    outcome = prdc_coverage(points[0], points[1], breakdown=True)
    assert outcome.details["covered"].mean() == outcome.score


def test_space_has_to_fit_the_metric(points):
    for function in (alpha_precision_beta_recall, energy_distance):
        with pytest.raises(ValueError, match=r"gower|Euclidean"):
            function(points[0], points[1], space="gower")
    with pytest.raises(ValueError, match="space='polar' is unknown"):
        prdc(points[0], points[1], space="polar")
    assert prdc(points[0], points[0], space="gower").coverage == 1.0


def test_energy_distance_is_symmetric_and_zero_for_equal_tables(points):
    a, b = points[0], points[1] + 0.3
    assert energy_distance(a, a[::-1]) == pytest.approx(0.0, abs=1e-12)
    forward = energy_distance(a, b, space="identity")
    assert energy_distance(b, a, space="identity") == pytest.approx(forward, abs=1e-12)
    assert forward > 0.05


def test_energy_details_are_the_distances_of_single_columns():
    rng = np.random.default_rng(0)
    real = pd.DataFrame(
        {"x": rng.normal(size=50), "g": rng.choice(list("ab"), 50), "k": rng.poisson(2, 50)}
    )
    synth = pd.DataFrame(
        {"x": rng.normal(size=40), "g": rng.choice(list("abc"), 40), "k": rng.poisson(3, 40)}
    )
    details = energy_distance(real, synth, breakdown=True).details.set_index("column")["score"]
    for column in real:
        assert details[column] == pytest.approx(energy_distance(real[[column]], synth[[column]]))


def test_wide_energy_distance_agrees_with_the_direct_formula(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 200)) + 30, rng.normal(size=(30, 200)) + 30.2
    b[:5] = a[:5]
    wide = _distances.energy_distance(a, b)
    monkeypatch.setattr(_distances, "_WIDE", 1000)
    assert wide == pytest.approx(_distances.energy_distance(a, b), abs=1e-10)
    assert manifold.energy_distance(a, a) == pytest.approx(0.0, abs=1e-9)
