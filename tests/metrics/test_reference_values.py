"""Values that other implementations and direct formulas give on the tables of tests/data."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth_estimators.metrics import (
    alpha_precision_beta_recall,
    c2st_score,
    column_pair_trends_score,
    column_shapes_score,
    correlation_distance,
    dcr_share,
    energy_distance,
    exact_copy_share,
    ks_complement,
    prdc,
    tv_complement,
)
from synth_estimators.preprocessing._mixed_space import MixedSpace

FOLDER = Path(__file__).parents[1] / "data" / "evaluation"
ENTRIES = json.loads((FOLDER / "expected.json").read_text())["entries"]
DISCRETE = ["c", "b", "target"]


@cache
def _read(stem):
    return pd.read_csv(FOLDER / f"{stem}.csv")


def _tables(entry):
    return [
        _read(entry[side]).drop(columns=entry["args"].get("drop", [])) for side in ("real", "synth")
    ]


def _entries(*metrics):
    # The pair metrics use Pearson correlations.
    chosen = [
        entry
        for entry in ENTRIES
        if entry["metric"] in metrics and entry["args"].get("coefficient") != "spearman"
    ]
    names = [
        f"{e['metric']}-{e['synth']}-{e['args'].get('column', e['args'].get('k', ''))}"
        for e in chosen
    ]
    assert chosen
    return pytest.mark.parametrize("entry", chosen, ids=names)


@_entries("ks_complement", "tv_complement")
def test_column_metrics(entry):
    real, synth = _tables(entry)
    column = entry["args"]["column"]
    function = {"ks_complement": ks_complement, "tv_complement": tv_complement}[entry["metric"]]
    # The peer counts a category that the real table lacks as 1e-6 real rows; we count 0.
    tol = 3e-9 if column == "c" else entry["tol"]
    assert function(real[column], synth[column]) == pytest.approx(entry["value"], abs=tol)


@_entries("column_shapes")
def test_column_shapes_score(entry):
    real, synth = _tables(entry)
    score = column_shapes_score(real, synth, discrete_columns=entry["args"]["discrete"])
    assert score == pytest.approx(entry["value"], abs=entry["tol"])


@_entries("column_pair_trends")
def test_column_pair_trends_score(entry):
    real, synth = _tables(entry)
    options = {"discrete_columns": entry["args"]["discrete"], "binning": entry["args"]["binning"]}
    score = column_pair_trends_score(real, synth, **options)
    assert score == pytest.approx(entry["value"], abs=entry["tol"])
    assert column_pair_trends_score(real, synth, breakdown=True, **options).score == score


@_entries("column_pair_trends_details")
def test_scores_of_the_single_pairs(entry):
    real, synth = (table.drop(columns="const") for table in _tables(entry))
    details = column_pair_trends_score(
        real, synth, discrete_columns=DISCRETE, binning="own", breakdown=True
    ).details
    found = {f"{row.column_1}|{row.column_2}": row for row in details.itertuples()}
    assert set(found) == set(entry["value"])
    for pair, (metric, score) in entry["value"].items():
        assert found[pair].metric.replace("_", "") == metric.lower()
        expected = np.nan if score is None else score
        assert found[pair].score == pytest.approx(expected, abs=entry["tol"], nan_ok=True)


@_entries("correlation_similarity", "contingency_similarity")
def test_single_pairs_with_real_edges(entry):
    columns = entry["args"]["columns"]
    real, synth = (table[columns] for table in _tables(entry))
    discrete = [column for column in columns if column in DISCRETE]
    score = column_pair_trends_score(real, synth, discrete_columns=discrete)
    assert score == pytest.approx(entry["value"], abs=entry["tol"])


@_entries("omics_correlation")
def test_correlation_distance(entry):
    real, synth = (np.log2(table.drop(columns="group") + 1) for table in _tables(entry))
    outcome = correlation_distance(real, synth, breakdown=True)
    assert outcome.score == pytest.approx(entry["value"]["mae"], abs=entry["tol"])
    assert outcome.pearson == pytest.approx(entry["value"]["pearson"], abs=entry["tol"])
    assert outcome.frobenius_relative == pytest.approx(
        entry["value"]["frobenius_relative"], abs=entry["tol"]
    )
    assert outcome.n_columns == entry["value"]["genes_used"]


@_entries("prdc")
def test_prdc(entry):
    real, synth = _tables(entry)
    scores = prdc(real, synth, k=entry["args"]["k"], space="identity", match_size=False)
    for name, value in entry["value"].items():
        assert scores[name] == pytest.approx(value, abs=entry["tol"]), name


@_entries("alpha_precision_beta_recall")
def test_alpha_precision_beta_recall(entry):
    real, synth = (table.iloc[: entry["args"]["rows"]] for table in _tables(entry))
    scores = alpha_precision_beta_recall(real, synth, space="identity", breakdown=True)
    assert scores.alpha_precision == pytest.approx(entry["value"]["alpha_precision"], abs=1e-9)
    assert scores.beta_recall == pytest.approx(entry["value"]["beta_recall"], abs=1e-9)
    np.testing.assert_allclose(scores.details["alpha"], entry["value"]["alpha_curve"], atol=1e-9)
    np.testing.assert_allclose(scores.details["beta"], entry["value"]["beta_curve"], atol=1e-9)
    # The peer takes the own distance of the wrong rows.
    assert scores.authenticity != pytest.approx(entry["value"]["authenticity_peer"], abs=1e-3)


@_entries("energy_distance")
def test_energy_distance(entry):
    score = energy_distance(*_tables(entry), space="identity")
    assert score == pytest.approx(entry["value"], abs=entry["tol"])


@_entries("new_row_synthesis")
def test_exact_copy_share(entry):
    real, synth = _tables(entry)
    share = exact_copy_share(real, synth, discrete_columns=DISCRETE, tolerance=0.0)
    assert 1 - share == pytest.approx(entry["value"], abs=entry["tol"])
    assert exact_copy_share(real, synth, discrete_columns=DISCRETE) == share


@_entries("dcr_gower")
def test_distance_to_the_closest_record(entry):
    real, synth = _tables(entry)
    outcome = dcr_share(
        X_train=real,
        X_holdout=_read("mixed_holdout").drop(columns="const"),
        X_synth=synth,
        discrete_columns=DISCRETE,
        ranges="searched",
        ties="strict",
        match_size=False,
        breakdown=True,
    )
    expected, distances = entry["value"], outcome.details["distance_train"]
    np.testing.assert_allclose(distances[:20], expected["first20"], atol=entry["tol"])
    assert distances.median() == pytest.approx(expected["median"], abs=entry["tol"])
    assert distances.mean() == pytest.approx(expected["mean"], abs=entry["tol"])
    to_holdout = outcome.details["distance_holdout"].median()
    assert to_holdout == pytest.approx(expected["median_to_holdout"], abs=entry["tol"])
    assert outcome.score == pytest.approx(
        expected["share_strictly_closer_to_train"], abs=entry["tol"]
    )
    assert outcome.dcr_share_full == outcome.score


@_entries("gower_nearest")
def test_nearest_rows_in_gower_space_find_the_copies(entry):
    columns = entry["args"]["columns"]
    queries, table = (frame[columns] for frame in _tables(entry))
    space = MixedSpace(space="gower", discrete_columns=["c", "b"]).fit(table)
    distance, index = space.kneighbors(queries.iloc[:30], table)
    np.testing.assert_array_equal(index[20:, 0], np.arange(10))
    np.testing.assert_array_equal(distance[20:, 0], 0.0)


@_entries("logistic_detection")
def test_c2st_score_with_the_logistic_preset(entry):
    real, synth = _tables(entry)
    synth = synth.query(entry["args"]["synth_filter"])
    score = c2st_score(
        real,
        synth,
        estimator="logistic",
        cv=entry["args"]["folds"],
        discrete_columns=DISCRETE,
        random_state=0,
    )
    assert score == pytest.approx(entry["value"], abs=entry["tol"])
