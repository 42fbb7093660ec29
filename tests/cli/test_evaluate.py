"""The verb evaluate and its table of scores."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from synth_estimators.cli import main
from synth_estimators.cli._scores import format_scores, shuffled_columns


def _draw(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, size=n)
    X = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.9, 0.8], [0.0, 0.4, 0.6]]) + 1.5 * y[:, None]
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=np.where(y, "p", "n"))


@pytest.fixture
def files(tmp_path):
    paths = {}
    for seed, name in enumerate(["train", "holdout", "synthetic"]):
        paths[name] = tmp_path / f"{name}.csv"
        _draw(120, seed).to_csv(paths[name], index=False)
    return paths


def _words(files, **changed):
    files = {**files, **changed}
    return ["evaluate", *(str(w) for k, path in files.items() for w in (f"--{k}", path))]


def test_prints_and_writes_the_scores(files, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert main([*_words(files), "--target", "kind", "--json", str(report)]) == 0
    out = capsys.readouterr().out
    for text in [
        "tree C2ST",
        "synthetic rows",
        "training rows (limit)",
        "shuffled columns (floor)",
    ]:
        assert text in out
    content = json.loads(report.read_text())
    assert content["n_rows"] == {"train": 120, "holdout": 120, "synthetic": 120}
    scores = content["scores"]
    rows, train, floor = (scores[k] for k in scores)
    # The synthetic rows are of the same law as the real ones: 0.5 within four standard errors.
    assert abs(rows["c2st_auc"] - 0.5) < 0.16
    assert abs(rows["dcr_share"] - 0.5) < 0.2
    assert rows["exact_copy_share"] == 0
    assert train["dcr_share"] == train["membership_auc"] == train["exact_copy_share"] == 1
    assert train["tstr_ratio"] == pytest.approx(1.0)
    assert floor["c2st_auc"] > 0.65
    assert floor["trends"] < rows["trends"]
    assert floor["tstr_auc"] < rows["tstr_auc"] - 0.1


def test_copies_are_told(files, capsys):
    assert main(_words(files, synthetic=files["train"])) == 0
    out = capsys.readouterr().out
    assert "100.0% of the synthetic rows are exact copies of training rows" in out
    assert "TSTR" not in out


def test_text_columns_and_column_order_are_fine(files, tmp_path):
    synthetic = tmp_path / "s.parquet"
    _draw(60, 9)[["kind", "c", "a", "b"]].to_parquet(synthetic)
    assert main(_words(files, synthetic=synthetic)) == 0


def test_uneven_halves_are_noted(files, tmp_path, capsys):
    small = tmp_path / "small.csv"
    _draw(50, 5).to_csv(small, index=False)
    assert main(_words(files, holdout=small)) == 0
    assert "--train has 120 rows and --holdout 50" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, ["--target", "kin"], "has no column 'kin'; did you mean 'kind'?"),
        ({}, ["--json", "report.txt"], "expected .json"),
        ({"synthetic": "nowhere.csv"}, [], "--synthetic nowhere.csv does not exist"),
    ],
)
def test_bad_requests(files, capsys, change, words, message):
    assert main([*_words(files, **change), *words]) == 2
    assert message in capsys.readouterr().err


def test_different_columns_and_existing_json_are_refused(files, tmp_path, capsys):
    other = tmp_path / "other.csv"
    _draw(20, 0).drop(columns="b").to_csv(other, index=False)
    assert main(_words(files, synthetic=other)) == 2
    assert "lacks the column 'b' of --train" in capsys.readouterr().err
    _draw(20, 0).assign(z=1).to_csv(other, index=False)
    assert main(_words(files, holdout=other)) == 2
    assert "has a column 'z' that --train lacks" in capsys.readouterr().err
    report = tmp_path / "report.json"
    report.write_text("{}")
    assert main([*_words(files), "--json", str(report)]) == 2
    assert "report.json exists; pass --force" in capsys.readouterr().err
    assert report.read_text() == "{}"


def test_shuffled_columns_keep_the_margins():
    table = _draw(50, 0)
    shuffled = shuffled_columns(table, seed=0)
    for name in table.columns:
        assert sorted(shuffled[name]) == sorted(table[name])
    assert not shuffled.equals(table)


def test_table_is_aligned_and_marks_what_is_missing():
    scores = {"one": {"shapes": 0.912, "fit_seconds": 12.34}, "two": {"shapes": math.nan}}
    assert format_scores(scores, first_column="rows").splitlines() == [
        "rows  shapes  fit s",
        "-------------------",
        "one     0.91   12.3",
        "two      n/a      -",
    ]
