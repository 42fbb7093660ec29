"""The verb demo."""

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from synth_estimators.cli import _demo, main

FILES = {
    "synthetic.csv",
    "scores.csv",
    "marginals.png",
    "embedding.png",
    "losses.png",
    "model.joblib",
    "report.html",
}
ROWS = [
    "CVAE (tuned)",
    "CalibratedGaussian",
    "GaussianCopula",
    "IndependentColumns",
    "BootstrapRows",
    "training rows (copier)",
    "fresh real rows (limit)",
]


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=120)
    X = rng.normal(size=(120, 3)) @ rng.normal(size=(3, 4)) + y[:, None]
    frame = pd.DataFrame(X, columns=list("abcd")).assign(
        note="text", outcome=np.where(y, "bad", "good")
    )
    frame.loc[7, "a"] = np.nan
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    return path


def _arguments(**changed):
    return SimpleNamespace(**{"data": None, "target": None, "seed": 0, **changed})


def test_demo_on_own_table(tmp_path, data, monkeypatch, capsys):
    monkeypatch.setattr(_demo, "_LATENT_DIMS", (2,))
    monkeypatch.setattr(_demo, "_MAX_ROWS_OF_THREE_ROUNDS", 0)
    folder = tmp_path / "out" / "demo"
    words = ["demo", "--data", data, "--target", "outcome", "--output", folder]
    assert main([str(w) for w in words]) == 0
    captured = capsys.readouterr()
    assert "columns that hold no numbers are left out: 'note'" in captured.err
    assert "1 of 120 rows have empty cells; left out" in captured.err
    for name in [*ROWS, "shapes", "trends", "tree C2ST", "TSTR ratio", "DCR share", "membership"]:
        assert name in captured.out
    assert {path.name for path in folder.iterdir()} == FILES

    scores = pd.read_csv(folder / "scores.csv").set_index("generator")
    assert list(scores.index) == ROWS
    assert scores.loc["training rows (copier)", ["dcr_share", "membership_auc"]].tolist() == [1, 1]
    assert scores.loc["fresh real rows (limit)", "exact_copy_share"] == 0
    assert scores.loc["fresh real rows (limit)", "c2st_auc"] < 0.8
    assert scores["fit_seconds"].notna().sum() == 5
    synthetic = pd.read_csv(folder / "synthetic.csv")
    assert list(synthetic.columns) == ["a", "b", "c", "d", "outcome"]
    assert set(synthetic["outcome"]) == {"bad", "good"}
    assert (folder / "losses.png").read_bytes().startswith(b"\x89PNG")

    more = tmp_path / "more.csv"
    words = ["sample", "--model", folder / "model.joblib", "--n-samples", 5, "--output", more]
    assert main([str(w) for w in words]) == 0
    assert list(pd.read_csv(more).columns) == list(synthetic.columns)


def test_existing_results_need_force(tmp_path, capsys):
    (tmp_path / "scores.csv").write_text("mine")
    assert main(["demo", "--output", str(tmp_path)]) == 2
    assert "scores.csv exists; pass --force" in capsys.readouterr().err
    assert (tmp_path / "scores.csv").read_text() == "mine"


def test_built_in_table_is_the_breast_cancer_one():
    table = _demo._load(_arguments())
    assert table.X.shape == (569, 30)
    assert table.y.value_counts().to_dict() == {"benign": 357, "malignant": 212}


def test_parts_are_disjoint_equal_and_of_the_same_classes():
    X = pd.DataFrame({"id": np.arange(100)})
    table = _demo.Table(X, pd.Series(np.repeat([0, 1], [70, 30]), name="y"), "t")
    parts = _demo._three_parts(table, seed=0)
    ids = [set(part.X["id"]) for part in parts]
    assert [len(part) for part in ids] == [33, 33, 33]
    assert len(set.union(*ids)) == 99
    for part in parts:
        assert part.y.value_counts().to_dict() == {0: 23, 1: 10}
        assert (part.y.to_numpy() == (part.X["id"] >= 70)).all()


def test_long_and_wide_tables_are_cut_with_a_note(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 6)) * [1, 5, 1, 5, 1, 5], columns=list("abcdef"))
    frame["y"] = np.repeat([0, 1], 100)
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    monkeypatch.setattr(_demo, "_MAX_ROWS", 60)
    monkeypatch.setattr(_demo, "_MAX_COLUMNS", 3)
    table = _demo._load(_arguments(data=path, target="y"))
    assert list(table.X.columns) == ["b", "d", "f"]
    assert table.y.value_counts().to_dict() == {0: 30, 1: 30}
    err = capsys.readouterr().err
    assert "keeps the 3 of 6 columns" in err
    assert "keeps 60 of 200 rows" in err


def test_rare_classes_are_left_out_with_a_note(tmp_path, capsys):
    frame = pd.DataFrame({"a": np.arange(45.0), "b": 1.0, "y": np.repeat(list("pqr"), [20, 20, 5])})
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    table = _demo._load(_arguments(data=path, target="y"))
    assert set(table.y) == {"p", "q"}
    assert "left out: 'r' (5 rows)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "outcome"], "--target needs --data"),
        (["--data", "DATA"], "--data needs --target COLUMN"),
        (["--data", "DATA", "--target", "outcom"], "did you mean 'outcome'?"),
        (["--data", "no.csv", "--target", "y"], "--data no.csv does not exist"),
        (["--data", "DATA", "--target", "note"], "target 'note' has one class ('text')"),
    ],
)
def test_bad_requests(tmp_path, data, capsys, words, message):
    words = [str(data) if word == "DATA" else word for word in words]
    assert main(["demo", *words, "--output", str(tmp_path / "demo")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert captured.err.splitlines()[-1].startswith("synth-estimators: error: ")


@pytest.mark.slow
def test_whole_demo_is_quick_twice_the_same_and_honest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.process_time()
    assert main(["demo"]) == 0
    assert time.process_time() - start < 90
    first = pd.read_csv("results/demo/scores.csv").set_index("generator")
    assert main(["demo", "--force"]) == 0
    second = pd.read_csv("results/demo/scores.csv").set_index("generator")
    pd.testing.assert_frame_equal(
        first.drop(columns="fit_seconds"), second.drop(columns="fit_seconds")
    )
    limit = first.loc["fresh real rows (limit)"]
    # Means over three rounds of 189 rows; a standard error of an AUC is about 0.02.
    assert abs(limit["c2st_auc"] - 0.5) < 0.08
    assert abs(limit["dcr_share"] - 0.5) < 0.1
    assert first.loc["IndependentColumns", "c2st_auc"] > 0.9
    assert first.loc["CVAE (tuned)", "c2st_auc"] < first.loc["IndependentColumns", "c2st_auc"]
