"""Values that direct formulas give on the count tables of tests/data."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth_estimators.metrics import (
    de_agreement,
    gene_correlation_distance,
    gene_ks_distance,
    gene_moment_agreement,
    library_size_distance,
    zero_fraction_distance,
)

FOLDER = Path(__file__).parents[1] / "data" / "evaluation"
ENTRIES = {
    entry["metric"]: entry
    for entry in json.loads((FOLDER / "expected.json").read_text())["entries"]
    if entry["metric"].startswith("omics_")
}
SINGLE = {
    "omics_mean_ks": gene_ks_distance,
    "omics_gene_mean_pearson": gene_moment_agreement,
    "omics_zero_fraction_mae": zero_fraction_distance,
    "omics_library_size_ks": library_size_distance,
}


@cache
def _read(stem):
    return pd.read_csv(FOLDER / f"{stem}.csv")


def _tables(entry):
    return _read(entry["real"]), _read(entry["synth"])


def test_every_entry_is_tested():
    assert set(ENTRIES) == {*SINGLE, "omics_correlation", "omics_de_agreement"}


@pytest.mark.parametrize("name", SINGLE)
def test_metrics_with_one_value(name):
    entry = ENTRIES[name]
    assert SINGLE[name](*_tables(entry)) == pytest.approx(entry["value"], abs=entry["tol"])


def test_gene_correlation_distance():
    entry = ENTRIES["omics_correlation"]
    found = gene_correlation_distance(*_tables(entry), breakdown=True)
    value, tol = entry["value"], entry["tol"]
    assert found.n_genes == value["genes_used"]
    assert found.score == pytest.approx(value["mae"], abs=tol)
    assert found.pearson == pytest.approx(value["pearson"], abs=tol)
    assert found.frobenius_relative == pytest.approx(value["frobenius_relative"], abs=tol)


def test_de_agreement():
    entry = ENTRIES["omics_de_agreement"]
    found = de_agreement(
        *_tables(entry), target=entry["args"]["group"], order=entry["args"]["order"], breakdown=True
    )
    assert found.score == found.lfc_pearson
    for name, value in entry["value"].items():
        assert found[name] == pytest.approx(value, abs=entry["tol"]), name


def test_values_do_not_depend_on_how_the_labels_are_given():
    real, synth = _tables(ENTRIES["omics_de_agreement"])
    by_column = de_agreement(real, synth, target="group")
    arrays = [table.drop(columns="group").to_numpy() for table in (real, synth)]
    by_array = de_agreement(*arrays, y_real=real["group"], y_synth=synth["group"])
    assert by_array == by_column
    assert np.isfinite(by_column)
