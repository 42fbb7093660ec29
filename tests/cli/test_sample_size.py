import re

import numpy as np
import pandas as pd
import pytest

from synth_estimators.cli import main


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture
def pilot(tmp_path):
    """Two normal classes whose means are 1.5 standard deviations apart: AUC at most 0.856."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 100)
    X = rng.normal(size=(200, 6))
    X[:, 0] += 1.5 * (labels == "b")
    path = tmp_path / "pilot.csv"
    pd.DataFrame(X, columns=list("uvwxyz")).assign(kind=labels).to_csv(path, index=False)
    return path


def test_goal_within_the_curve_gets_a_number_and_an_interval(pilot, tmp_path, capsys):
    scores, figure = tmp_path / "scores.csv", tmp_path / "curves.png"
    words = ["sample-size", "--data", pilot, "--target", "kind", "--goal", "0.75", "--draws", "4"]
    words += ["--method", "logis", "--sizes", "20,30,50,80,130,200"]
    assert run(*words, "--output", scores, "--figure", figure) == 0
    out = capsys.readouterr().out
    found = re.search(
        r"You need about (\d+) samples to train on for AUC 0.75 with logistic regression, 95 % "
        r"interval (?:under )?(\d+) to (\d+)",
        out,
    )
    assert found
    need, low, high = map(int, found.groups())
    assert low <= need <= high
    assert 10 < need < 160
    table = pd.read_csv(scores)
    assert len(table) == 24
    assert sorted(table["n_train"].unique()) == [16, 24, 40, 64, 104, 160]
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_goal_above_the_ceiling_is_not_reachable(pilot, capsys):
    words = ["sample-size", "--data", pilot, "--target", "kind", "--goal", "0.995"]
    words += ["--method", "knn", "--draws", "3", "--sizes", "20,40,80,160"]
    assert run(*words) == 0
    out = capsys.readouterr().out
    assert "is not reachable with nearest neighbours" in out


def test_low_goals_are_met_by_the_smallest_subsets(pilot, capsys):
    words = ["sample-size", "--data", pilot, "--target", "kind", "--goal", "0.2"]
    words += ["--method", "knn", "--draws", "3", "--sizes", "20,40,80,160", "--metric", "accuracy"]
    assert run(*words) == 0
    assert "by the smallest subsets already: 16 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--goal", "2"], "--goal 2 must lie between 0 and 1"),
        (["--method", "GBM"], "--method: no classifier 'GBM'"),
        (["--sizes", "a,b"], "must be whole numbers with commas"),
        (["--sizes", "20,40,80,400"], "400"),
        (["--drop", "q"], "--drop: no column 'q'"),
        (["--figure", "curves.gif"], "--figure"),
    ],
)
def test_bad_requests_are_one_line(pilot, words, message, capsys):
    base = ["sample-size", "--data", pilot, "--target", "kind", "--draws", "2"]
    assert run(*base, *words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("synth-estimators: error: ")


def test_rare_classes_are_refused_by_name(pilot, tmp_path, capsys):
    frame = pd.read_csv(pilot)
    frame.loc[:4, "kind"] = "rare"
    path = tmp_path / "rare.csv"
    frame.to_csv(path, index=False)
    assert run("sample-size", "--data", path, "--target", "kind") == 2
    assert "class 'rare' has 5 of 200 rows" in capsys.readouterr().err


def test_three_sizes_have_no_share_of_curves(pilot, capsys):
    words = ["sample-size", "--data", pilot, "--target", "kind", "--goal", "0.995"]
    assert run(*words, "--method", "knn", "--draws", "1", "--sizes", "20,40,80") == 0
    out = capsys.readouterr().out
    assert "nan" not in out
    assert "Four sizes or more would say how sure that is" in out
