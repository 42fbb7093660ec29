"""Values that other implementations give for privacy metrics on the tables of tests/data."""

import json
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from synth_estimators.metrics import (
    attack_rate,
    dcr_overfitting_protection,
    dcr_share,
    identifiability_score,
    inference_risk,
    linkability_risk,
    new_row_score,
    residual_risk,
    singling_out_risk,
)

FOLDER = Path(__file__).parents[1] / "data" / "evaluation"
ENTRIES = json.loads((FOLDER / "expected.json").read_text())["entries"]
DISCRETE = ["c", "b", "target"]


@cache
def _read(stem):
    return pd.read_csv(FOLDER / f"{stem}.csv")


def _entries(metric):
    chosen = [entry for entry in ENTRIES if entry["metric"] == metric]
    assert chosen
    return pytest.mark.parametrize("entry", chosen)


def _three(entry):
    drop = entry["args"].get("drop", [])
    return {
        "X_train": _read(entry["real"]).drop(columns=drop),
        "X_holdout": _read(entry["args"].get("holdout", "mixed_holdout")).drop(columns=drop),
        "X_synth": _read(entry["synth"]).drop(columns=drop),
        "discrete_columns": DISCRETE,
    }


@_entries("attack_rate_wilson")
def test_attack_rate(entry):
    found = attack_rate(**entry["args"])
    assert [found.rate, found.error] == pytest.approx(entry["value"], abs=entry["tol"])


@_entries("residual_risk")
def test_residual_risk(entry):
    found = residual_risk(**entry["args"])
    assert [found.value, found.error] == pytest.approx(entry["value"], abs=entry["tol"])


@_entries("privacy_risk_bound")
def test_bounds_of_the_risk(entry):
    found = residual_risk(**entry["args"])
    risk, interval = entry["value"]
    assert found.risk == pytest.approx(risk, abs=entry["tol"])
    assert [found.low, found.high] == pytest.approx(interval, abs=entry["tol"])


@_entries("dcr_overfitting_protection")
def test_dcr_overfitting_protection(entry):
    options = {**_three(entry), "ties": "strict", "match_size": False, "ranges": "searched"}
    score = dcr_overfitting_protection(**options)
    assert score == pytest.approx(entry["value"]["score"], abs=entry["tol"])
    closer = entry["value"]["synthetic_data_percentages"]["closer_to_training"]
    assert dcr_share(**options) == pytest.approx(closer, abs=entry["tol"])


@_entries("new_row_synthesis")
def test_new_row_score(entry):
    tables = _three(entry)
    score = new_row_score(**tables, tolerance=entry["args"]["tolerance"])
    assert score == pytest.approx(entry["value"], abs=entry["tol"])


@_entries("identifiability_score")
def test_identifiability_score(entry):
    score = identifiability_score(
        _read(entry["real"]),
        _read(entry["synth"]),
        space=entry["args"]["embedding"],
        ties="strict",
        match_size=False,
    )
    assert score == pytest.approx(entry["value"]["score"], abs=entry["tol"])


def _compare(found, expected, tol, *, baseline=True):
    assert found.attack_rate == pytest.approx(expected["attack"], abs=tol)
    assert found.control_rate == pytest.approx(expected["control"], abs=tol)
    assert found.score == pytest.approx(expected["risk"], abs=tol)
    if baseline:
        assert found.baseline_rate == pytest.approx(expected["baseline"], abs=tol)


# Attacks draw random targets; the tolerance of the entries is two standard errors of a rate.
@_entries("linkability_risk")
def test_linkability_risk(entry):
    args = entry["args"]
    found = linkability_risk(
        **_three(entry),
        aux=args["aux"],
        n_neighbors=args["k"],
        n_attacks=args["n_attacks"],
        random_state=0,
        breakdown=True,
    )
    _compare(found, entry["value"], entry["tol"])


@_entries("inference_risk")
def test_inference_risk(entry):
    found = inference_risk(**_three(entry), **entry["args"], random_state=1, breakdown=True)
    _compare(found, entry["value"], entry["tol"], baseline=False)
    # A guess of a label is right every other time. The peer aligns its guesses with the targets by
    # row number, so that four in ten of them are missing and count as wrong.
    assert found.baseline_rate == pytest.approx(0.5, abs=entry["tol"])
    assert entry["value"]["baseline"] < 0.3


@_entries("singling_out_risk")
def test_singling_out_risk(entry):
    found = singling_out_risk(**_three(entry), **entry["args"], random_state=0, breakdown=True)
    _compare(found, entry["value"], entry["tol"])
