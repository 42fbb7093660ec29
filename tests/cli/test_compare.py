import json

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from synth_estimators.cli import main
from synth_estimators.cli._compare import _adjusted

REAL = ["--train", "{train}", "--holdout", "{holdout}"]


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)

    def draw(n_rows):
        size = rng.normal(size=n_rows)
        return pd.DataFrame(
            {
                "size": size,
                "weight": size + 0.3 * rng.normal(size=n_rows),
                "kind": np.where(size + 0.3 * rng.normal(size=n_rows) > 0, "cat", "dog"),
            }
        )

    paths = {}
    for name in ("train", "holdout", "fresh"):
        paths[name] = tmp_path / f"{name}.csv"
        draw(200).to_csv(paths[name], index=False)
    shuffled = pd.read_csv(paths["train"])
    shuffled = shuffled.apply(lambda column: rng.permutation(column.to_numpy()))
    paths["shuffled"] = tmp_path / "shuffled.csv"
    shuffled.to_csv(paths["shuffled"], index=False)
    return paths


def test_files_are_ranked_beside_baselines(tables, tmp_path, capsys):
    report, table = tmp_path / "c.json", tmp_path / "c.csv"
    words = ["compare", "--train", tables["train"], "--holdout", tables["holdout"]]
    words += ["--synthetic", f"mine={tables['fresh']}", "--synthetic", tables["shuffled"]]
    words += ["--target", "kind", "--metrics", "fast", "--json", report, "--output", table]
    assert run(*words) == 0
    captured = capsys.readouterr()
    names = [line.split()[0] for line in captured.out.splitlines() if line]
    assert names.index("mine") < names.index("shuffled")
    assert "On one split" in captured.out
    assert "BootstrapRows: close to training rows" in captured.err
    ranked = pd.read_csv(table).set_index("generator")
    assert ranked.loc["mine", "score"] > 0.8 > ranked.loc["shuffled", "score"] + 0.5
    assert "SequentialCART" in ranked.index
    assert {row["generator"] for row in json.loads(report.read_text())["generators"]} == set(
        ranked.index
    )


def test_generators_are_ranked_over_folds(tables, capsys):
    words = ["compare", "--data", tables["train"], "--target", "kind", "--cv", "3"]
    words += ["--metrics", "fast", "--no-baselines"]
    words += ["--generator", "CalibratedGaussian", "--generator", "GaussianCopula:shrinkage=1.0"]
    assert run(*words) == 0
    captured = capsys.readouterr()
    assert "GaussianCopula:shrinkage=1.0" in captured.out
    assert "Over 3 folds, CalibratedGaussian has the highest score" in captured.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --data and --generator, or --train"),
        (["--synthetic", "{fresh}"], "--synthetic needs --train and --holdout"),
        (["--data", "{train}", "--train", "{train}"], "--train and --holdout belong to"),
        (["--data", "{train}", "--generator", "Gauss"], "--generator: no generator 'Gauss'"),
        (["--data", "{train}", "--generator", "CVAE"], "CVAE needs --target"),
        (["--data", "{train}", "--no-baselines"], "nothing to compare"),
        (["--data", "{train}", "--drop", "nope"], "--drop: no column 'nope'"),
        (
            [*REAL, "--synthetic", "{fresh}", "--synthetic", "{fresh}"],
            "two tables are called 'fresh'",
        ),
        (
            [*REAL, "--synthetic", "{fresh}", "--target", "kinds"],
            "did you mean 'kind'",
        ),
    ],
)
def test_bad_requests_are_one_line(tables, words, message, capsys):
    filled = [word.format(**{key: str(path) for key, path in tables.items()}) for word in words]
    assert run("compare", *filled) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_files_with_other_columns_are_named(tables, tmp_path, capsys):
    other = tmp_path / "other.csv"
    pd.read_csv(tables["fresh"]).drop(columns="weight").to_csv(other, index=False)
    words = ["compare", "--train", tables["train"], "--holdout", tables["holdout"]]
    assert run(*words, "--synthetic", other, "--metrics", "fast") == 2
    assert "Table 'other'" in capsys.readouterr().err


def test_existing_results_are_kept(tables, tmp_path, capsys):
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    words = ["compare", "--data", tables["train"], "--generator", "GaussianCopula", "--json", kept]
    assert run(*words) == 2
    assert "kept.json" in capsys.readouterr().err
    assert kept.read_text() == "{}"


def test_the_best_is_chosen_from_the_folds_so_all_pairs_are_one_family():
    class Result:
        def compare(self, first, second):
            return Bunch(pvalue={"ab": 0.02, "ac": 0.03, "bc": 0.9}[first + second])

    assert _adjusted(Result(), "a", ["b", "c"]) == pytest.approx([0.06, 0.06])
    assert _adjusted(Result(), "a", []) == []
