"""The verb evaluate and its table of scores."""

import json
import math
import sys

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
        "120 synthetic rows against 120 held-out real rows (120 training rows, 4 columns)",
        "Tree two-sample test",
        "synthetic rows",
        "training rows (limit)",
        "shuffled columns (floor)",
        "The synthetic rows look like fresh real rows. They show no sign of repeating",
    ]:
        assert text in out
    content = json.loads(report.read_text())
    assert content["files"]["holdout"] == str(files["holdout"])
    assert content["warnings"] == []
    scores = content["metrics"]
    # The synthetic rows are of the same law as the real ones: 0.5 within four standard errors.
    assert abs(scores["c2st_auc"]["value"] - 0.5) < 0.16
    assert abs(scores["dcr_share"]["value"] - 0.5) < 0.2
    assert scores["exact_copy_share"]["value"] == 0
    assert scores["utility_ratio"]["limit"] == pytest.approx(1.0)
    assert scores["c2st_auc"]["floor"] > 0.65
    trends = scores["column_pair_trends_score"]
    assert trends["floor"] < trends["value"]
    assert scores["tstr_score"]["floor"] < scores["tstr_score"]["value"] - 0.1


def test_copies_are_told(files, capsys):
    assert main([*_words(files, synthetic=files["train"]), "--metrics", "fast"]) == 0
    out = capsys.readouterr().out
    assert "100.0% of the synthetic rows are exact copies of training rows" in out
    assert "They repeat or betray training rows." in out
    assert "Trained on" not in out


def test_page_is_written(files, tmp_path, capsys):
    page = tmp_path / "report.html"
    words = [*_words(files), "--metrics", "fast", "--html", str(page)]
    assert main(words) == 0
    assert f"Page written to {page}" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "look like fresh real rows" in text
    page.write_text("mine")
    assert main(words) == 2
    assert "report.html exists; pass --force" in capsys.readouterr().err
    assert page.read_text() == "mine"


def test_mixed_tables_without_holdout(files, tmp_path, capsys):
    paths = {}
    for seed, name in enumerate(["train", "synthetic"]):
        frame = _draw(80, seed)
        frame.loc[:9, "a"] = np.nan
        frame.loc[5:20, "kind"] = None
        paths[name] = tmp_path / f"mixed_{name}.csv"
        frame.to_csv(paths[name], index=False)
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    assert main(["evaluate", *words, "--metrics", "fast", "--target", "b"]) == 0
    out = capsys.readouterr().out
    assert "80 synthetic rows against training rows" in out
    assert "No held-out rows were given" in out
    assert "could not be judged" in out


def test_page_without_jinja_names_the_extra_before_any_work(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main([*_words(files), "--html", str(tmp_path / "report.html")]) == 2
    captured = capsys.readouterr()
    assert "pip install synth-estimators[report]" in captured.err
    assert captured.out == ""


def test_text_columns_and_column_order_are_fine(files, tmp_path):
    synthetic = tmp_path / "s.parquet"
    _draw(60, 9)[["kind", "c", "a", "b"]].to_parquet(synthetic)
    assert main([*_words(files, synthetic=synthetic), "--metrics", "fast"]) == 0


def test_uneven_halves_are_noted(files, tmp_path, capsys):
    small = tmp_path / "small.csv"
    _draw(50, 5).to_csv(small, index=False)
    assert main([*_words(files, holdout=small), "--metrics", "fast"]) == 0
    assert "120 training and 50 held-out rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, ["--target", "kin"], "has no column 'kin'; did you mean 'kind'?"),
        ({}, ["--json", "report.txt"], "expected .json"),
        ({}, ["--html", "report.pdf"], "expected .html"),
        ({}, ["--metrics", "some"], "invalid choice: 'some'"),
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


def test_columns_can_be_left_out(files, tmp_path, capsys):
    train = pd.read_csv(files["train"])
    train.assign(id=range(len(train))).to_csv(files["train"], index=False)
    assert main([*_words(files), "--metrics", "fast"]) == 2
    assert "lacks the column 'id'" in capsys.readouterr().err
    assert main([*_words(files), "--metrics", "fast", "--drop", "id"]) == 0
    assert main([*_words(files), "--drop", "ids"]) == 2
    assert "did you mean 'id'" in capsys.readouterr().err
