"""The verb batch: simulate, correct, diagnose."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth_estimators.cli import main

DATA = Path(__file__).parents[1] / "data" / "batch"


def run(*words):
    return main(["batch", *(str(word) for word in words)])


def features(path):
    return pd.read_csv(path).filter(regex=r"^g\d+$")


@pytest.fixture
def table(tmp_path):
    """The fixture table with its labels: text, numbers and features in one file."""
    frame = pd.read_csv(DATA / "norm_meta.csv").merge(pd.read_csv(DATA / "norm_X.csv"))
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def counts(tmp_path):
    frame = pd.read_csv(DATA / "counts_meta.csv").merge(pd.read_csv(DATA / "counts_X.csv"))
    path = tmp_path / "counts.csv"
    frame.to_csv(path, index=False)
    return path


def expected(name):
    return pd.read_csv(DATA / f"{name}.csv").drop(columns="sample").to_numpy()


def corrected(path, columns):
    frame = pd.read_csv(path)
    return frame.drop(columns=columns).to_numpy()


LABELS = ["sample", "batch", "group", "age", "sex"]
CORRECT = ["--batch", "batch", "--keep", "age"]


@pytest.mark.parametrize(
    ("words", "reference"),
    [
        ([], "exp_combat_param"),
        (["--method", "combat", "--covariates", "group"], "exp_combat_param_group"),
        (["--set", "parametric=false"], "exp_combat_nonparam"),
        (["--reference", "b2"], "exp_combat_ref_b2"),
        (["--method", "limma", "--protect", "group"], "exp_limma_group"),
        (["--method", "covbat"], "exp_covbat"),
        (["--method", "quantile"], "exp_quantile_norm"),
    ],
)
def test_correct_writes_the_published_values(table, tmp_path, words, reference):
    output = tmp_path / "out.csv"
    assert run("correct", "--data", table, "--output", output, *CORRECT, *words) == 0
    np.testing.assert_allclose(corrected(output, LABELS), expected(reference), atol=1e-8)


def test_limma_removes_further_columns(table, tmp_path):
    output = tmp_path / "out.csv"
    words = ["--method", "limma", "--batch", "batch", "--remove", "sex,age", "--protect", "group"]
    assert run("correct", "--data", table, "--output", output, *words) == 0
    reference = expected("exp_limma_batch2_cov_group")
    np.testing.assert_allclose(corrected(output, LABELS), reference, atol=1e-8)


def test_several_covariates_are_named_with_commas(table, tmp_path):
    output = tmp_path / "out.csv"
    words = ["--batch", "batch", "--covariates", "group,age,sex"]
    assert run("correct", "--data", table, "--output", output, *words) == 0
    reference = expected("exp_combat_param_group_age_sex")
    np.testing.assert_allclose(corrected(output, LABELS), reference, atol=1e-8)


def test_counts_stay_counts(counts, tmp_path):
    output = tmp_path / "out.csv"
    words = ["--method", "combat-seq", "--batch", "batch", "--covariates", "group"]
    assert run("correct", "--data", counts, "--output", output, *words) == 0
    frame = pd.read_csv(output).drop(columns=["sample", "batch", "group", "sex"])
    assert (frame.dtypes == "int64").all()
    assert (frame.to_numpy() == expected("exp_seq_group")).mean() >= 0.995


def test_other_columns_keep_their_places_and_values(table, tmp_path, capsys):
    output = tmp_path / "out.csv"
    assert run("correct", "--data", table, "--output", output, *CORRECT) == 0
    before, after = pd.read_csv(table), pd.read_csv(output)
    assert list(after.columns) == list(before.columns)
    pd.testing.assert_frame_equal(after[LABELS], before[LABELS])
    captured = capsys.readouterr()
    assert "left unchanged: 'sample', 'batch', 'group', 'age', 'sex'." in captured.err
    assert (
        "30 rows corrected by ComBat ('batch': b1: 12, b2: 10, b3: 8), 40 columns" in captured.out
    )
    shares = re.search(r"batches of 'batch': (\S+) before, (\S+) after", captured.out)
    assert float(shares[1]) == pytest.approx(0.621, abs=1e-3)
    assert float(shares[2]) < 0.05


def test_parquet_in_and_out(table, tmp_path):
    pytest.importorskip("pyarrow")
    source, output = tmp_path / "t.parquet", tmp_path / "out.parquet"
    pd.read_csv(table).to_parquet(source)
    assert run("correct", "--data", source, "--output", output, *CORRECT) == 0
    values = pd.read_parquet(output).drop(columns=LABELS).to_numpy()
    np.testing.assert_allclose(values, expected("exp_combat_param"), atol=1e-8)


@pytest.fixture
def parts(table, tmp_path):
    """The first 20 rows, and all 30, as the published fixed use has them."""
    train = tmp_path / "train.csv"
    pd.read_csv(table).iloc[:20].to_csv(train, index=False)
    return train, table


def test_fit_on_learns_from_the_named_rows_alone(parts, tmp_path, capsys):
    train, table = parts
    output = tmp_path / "out.csv"
    words = ["--data", table, "--fit-on", train, "--output", output]
    assert run("correct", *words, *CORRECT) == 0
    np.testing.assert_allclose(corrected(output, LABELS), expected("tt_combat_param"), atol=1e-8)
    assert "fitted on all rows" not in capsys.readouterr().err


def test_a_saved_correction_is_applied_to_later_rows(parts, tmp_path, capsys):
    train, table = parts
    model, first, later = tmp_path / "c.joblib", tmp_path / "first.csv", tmp_path / "later.csv"
    words = ["--data", train, "--output", first, "--save-model", model]
    assert run("correct", *words, *CORRECT) == 0
    assert "fitted on all rows of the table" in capsys.readouterr().err
    assert run("correct", "--data", table, "--model", model, "--output", later) == 0
    np.testing.assert_allclose(corrected(later, LABELS), expected("tt_combat_param"), atol=1e-8)


def test_a_protected_outcome_is_not_needed_for_later_rows(table, tmp_path):
    frame = pd.read_csv(table)
    later = tmp_path / "later.csv"
    frame.iloc[20:].drop(columns="group").to_csv(later, index=False)
    for method in ("combat", "limma"):
        model = tmp_path / f"{method}.joblib"
        words = ["--data", table, "--method", method, "--protect", "group", *CORRECT]
        words += ["--output", tmp_path / f"{method}.csv", "--save-model", model]
        assert run("correct", *words) == 0
        output = tmp_path / f"{method}_later.csv"
        assert run("correct", "--data", later, "--model", model, "--output", output) == 0
        pd.testing.assert_frame_equal(
            pd.read_csv(output),
            pd.read_csv(tmp_path / f"{method}.csv")
            .iloc[20:]
            .drop(columns="group")
            .reset_index(drop=True),
        )


def test_batches_that_look_like_numbers_in_later_files_are_found(table, tmp_path):
    frame = pd.read_csv(table)
    frame["batch"] = frame["batch"].map({"b1": "1", "b2": "2", "b3": "pilot"})
    train, later = tmp_path / "train.csv", tmp_path / "later.csv"
    frame.to_csv(train, index=False)
    frame[frame["batch"] != "pilot"].to_csv(later, index=False)
    output = tmp_path / "out.csv"
    words = ["--data", later, "--fit-on", train, "--output", output]
    assert run("correct", *words, *CORRECT) == 0
    assert len(pd.read_csv(output)) == 22


def test_unseen_batches_are_named_passed_or_estimated(table, tmp_path, capsys):
    frame = pd.read_csv(table)
    train, later = tmp_path / "train.csv", tmp_path / "later.csv"
    frame[frame["batch"] != "b3"].to_csv(train, index=False)
    frame[frame["batch"] == "b3"].to_csv(later, index=False)
    output = tmp_path / "out.csv"
    words = ["correct", "--data", later, "--fit-on", train, "--output", output, *CORRECT]
    assert run(*words) == 2
    assert "b3" in capsys.readouterr().err
    assert run(*words, "--unseen", "passthrough") == 0
    np.testing.assert_allclose(corrected(output, LABELS), corrected(later, LABELS))
    assert run(*words, "--unseen", "estimate", "--force") == 0
    reference = pd.read_csv(DATA / "new_batch_b3_estimate.csv").drop(columns="sample").to_numpy()
    np.testing.assert_allclose(corrected(output, LABELS), reference, atol=1e-8)


def test_nested_and_longitudinal_take_their_columns(table, tmp_path):
    frame = pd.read_csv(table).assign(kit=np.resize(["k1", "k2"], 30))
    frame["patient"] = np.repeat([f"p{index}" for index in range(15)], 2)
    source = tmp_path / "more.csv"
    frame.to_csv(source, index=False)
    words = ["correct", "--data", source, "--keep", "age", "--output"]
    nested = ["--method", "nested", "--batch", "batch,kit"]
    assert run(*words, tmp_path / "nested.csv", *nested) == 0
    repeated = ["--method", "longitudinal", "--batch", "batch", "--subject", "patient"]
    assert run(*words, tmp_path / "long.csv", *repeated) == 0
    curved = [
        "--method",
        "combat-gam",
        "--batch",
        "batch",
        "--covariates",
        "age",
        "--smooth",
        "age",
    ]
    assert run("correct", "--data", source, "--output", tmp_path / "gam.csv", *curved) == 0
    changed = (
        features(tmp_path / "nested.csv").to_numpy(),
        features(tmp_path / "long.csv").to_numpy(),
    )
    assert not np.allclose(*changed)


def test_an_embedding_gets_columns_of_its_own(table, tmp_path):
    output = tmp_path / "out.csv"
    words = ["--method", "harmony", "--set", "n_components=3", *CORRECT]
    assert run("correct", "--data", table, "--output", output, *words) == 0
    names = list(pd.read_csv(output).columns)
    assert names == [*LABELS, *(f"harmonyembedding{index}" for index in range(3))]


def test_a_label_stored_as_a_number_is_pointed_at(table, tmp_path, capsys):
    frame = pd.read_csv(table).assign(outcome=np.resize([0, 1], 30))
    source = tmp_path / "labels.csv"
    frame.to_csv(source, index=False)
    words = ["correct", "--data", source, "--output", tmp_path / "out.csv", *CORRECT]
    assert run(*words) == 0
    assert "'outcome'; labels, outcomes and identifiers stay" in capsys.readouterr().err
    assert run(*words, "--keep", "outcome", "--force") == 0
    assert "whole numbers" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--batch is missing"),
        (["--batch", "bath"], "did you mean 'batch'"),
        (["--batch", "batch,sex"], "several need --method nested"),
        (["--batch", "batch", "--covariates", "batch"], "column 'batch' is named twice"),
        (["--batch", "batch", "--reference", "b9"], "--reference: no batch 'b9'"),
        (["--batch", "batch", "--smooth", "age"], "'age' must be one of --covariates"),
        (["--batch", "batch", "--method", "longitudinal"], "needs --subject"),
        (["--batch", "batch", "--subject", "sample"], "combat has no use for --subject"),
        (["--batch", "batch", "--protect", "group,sex"], "can --protect one column, got 2"),
        (["--batch", "batch", "--method", "covbatt"], "invalid choice"),
        (["--batch", "batch", "--set", "shrinks=1"], "did you mean 'shrink'"),
        (["--batch", "batch", "--set", "covariates=['age']"], "use --covariates instead"),
        (["--batch", "batch", "--remove", "age"], "has no use for --remove; limma has"),
        (
            ["--batch", "batch", "--method", "limma", "--covariates", "age"],
            "name columns whose effect stays with --protect",
        ),
        (["--batch", "solo", "--set", "singleton=error"], "has one row only"),
        (
            ["--model", "m.joblib", "--batch", "batch"],
            "--model is fitted already; leave --batch out",
        ),
        (["--model", "m.joblib", "--fit-on", "t.csv"], "not allowed with argument"),
        (["--model", "{table}"], "cannot be loaded"),
    ],
)
def test_bad_requests_are_one_line(table, tmp_path, words, message, capsys):
    output = tmp_path / "out.csv"
    frame = pd.read_csv(table)
    frame.assign(solo=frame["batch"].where(frame.index > 0, "alone")).to_csv(table, index=False)
    filled = [word.format(table=table) for word in words]
    assert run("correct", "--data", table, "--output", output, *filled) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not output.exists()


def test_columns_that_later_rows_lack_are_named(parts, tmp_path, capsys):
    train, table = parts
    less = tmp_path / "less.csv"
    pd.read_csv(table).drop(columns=["g003"]).to_csv(less, index=False)
    words = ["--data", less, "--fit-on", train, "--output", tmp_path / "out.csv"]
    assert run("correct", *words, *CORRECT) == 2
    assert "lacks 1 of the 41 columns" in capsys.readouterr().err


def test_a_generator_is_no_correction(table, tmp_path, capsys):
    model = tmp_path / "g.joblib"
    words = ["fit", "--data", table, "--generator", "SequentialCART", "--output", model]
    assert main([str(word) for word in words]) == 0
    words = ["--data", table, "--model", model, "--output", tmp_path / "out.csv"]
    assert run("correct", *words) == 2
    assert "is no correction" in capsys.readouterr().err


def test_empty_labels_and_confounding_are_one_line(table, tmp_path, capsys):
    frame = pd.read_csv(table)
    source, output = tmp_path / "bad.csv", tmp_path / "out.csv"
    frame.assign(batch=frame["batch"].where(frame.index > 0)).to_csv(source, index=False)
    assert run("correct", "--data", source, "--output", output, *CORRECT) == 2
    frame.assign(twin=frame["batch"]).to_csv(source, index=False)
    words = ["--data", source, "--output", output, *CORRECT, "--covariates", "twin"]
    assert run("correct", *words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 2
    assert "missing" in lines[0]
    assert "twin" in lines[1]


def test_results_are_not_overwritten(table, tmp_path, capsys):
    output = tmp_path / "out.csv"
    output.write_text("mine")
    words = ["--data", table, "--output", output, "--batch", "batch"]
    assert run("correct", *words) == 2
    assert "pass --force" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert run("correct", *words, "--force") == 0


@pytest.fixture
def clean(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 6))).add_prefix("x")
    frame.insert(0, "name", [f"s{index}" for index in range(60)])
    frame["outcome"] = np.repeat([0, 1, 2], 20)
    path = tmp_path / "clean.csv"
    frame.to_csv(path, index=False)
    return path


def test_simulated_effects_are_the_true_ones(clean, tmp_path, capsys):
    output, effects = tmp_path / "out.csv", tmp_path / "truth.json"
    words = ["--data", clean, "--output", output, "--effects", effects, "--target", "outcome"]
    assert run("simulate", *words, "--n-batches", 3, "--strength", 2, "--effect-type", "both") == 0
    before, after = pd.read_csv(clean), pd.read_csv(output)
    assert list(after.columns) == [*before.columns, "batch"]
    pd.testing.assert_frame_equal(after[["name", "outcome"]], before[["name", "outcome"]])
    truth = json.loads(effects.read_text())
    names = truth["columns"]
    assert names == [f"x{index}" for index in range(6)]
    codes = after["batch"].to_numpy()
    undone = (after[names].to_numpy() - np.array(truth["shift"])[codes]) / np.array(
        truth["factor"]
    )[codes]
    np.testing.assert_allclose(undone, before[names].to_numpy(), atol=1e-10)
    assert truth["n_per_batch"] == [20, 20, 20]
    assert (
        "60 rows in 3 batches (0: 20, 1: 20, 2: 20); 6 columns changed" in capsys.readouterr().out
    )


def test_simulated_batches_follow_the_classes(clean, tmp_path):
    output = tmp_path / "out.csv"
    words = ["--data", clean, "--output", output, "--target", "outcome", "--n-batches", "3"]
    assert run("simulate", *words, "--confounding", "1") == 0
    after = pd.read_csv(output)
    assert (after["batch"] == after["outcome"]).all()


def test_simulation_repeats_with_its_seed_and_keeps_columns(clean, tmp_path):
    tables = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        output = tmp_path / f"{name}.csv"
        words = ["--data", clean, "--output", output, "--keep", "outcome", "--features", "x1,x2"]
        assert run("simulate", *words, "--seed", seed) == 0
        tables.append(pd.read_csv(output))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["x1"].equals(tables[2]["x1"])
    pd.testing.assert_series_equal(tables[0]["x3"], pd.read_csv(clean)["x3"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--confounding", "0.5"], "--confounding needs --target"),
        (["--target", "outcome", "--confounding", "2"], "confounding_with_class"),
        (["--n-batches", "0"], "n_batches"),
        (["--proportions", "0.5,half"], "must be numbers with commas"),
        (["--proportions", "0.5,0.2,0.3"], "proportions"),
        (["--batch", "x1"], "has a column 'x1' already"),
        (["--features", "name"], "column 'name' holds no numbers"),
        (["--strength", "-1"], "effect_strength"),
    ],
)
def test_bad_simulations_are_one_line(clean, tmp_path, words, message, capsys):
    assert run("simulate", "--data", clean, "--output", tmp_path / "out.csv", *words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_simulate_then_correct_then_diagnose(clean, tmp_path, capsys):
    noisy, fixed, numbers = tmp_path / "n.csv", tmp_path / "f.csv", tmp_path / "n.json"
    words = ["--target", "outcome", "--strength", "3", "--n-batches", "3"]
    assert run("simulate", "--data", clean, "--output", noisy, *words) == 0
    words = ["--batch", "batch", "--keep", "outcome"]
    assert run("correct", "--data", noisy, "--output", fixed, *words) == 0
    capsys.readouterr()
    words = ["--data", fixed, "--before", noisy, "--batch", "batch", "--label", "outcome"]
    figure = tmp_path / "b.png"
    assert run("diagnose", *words, "--json", numbers, "--figure", figure) == 0
    assert figure.read_bytes()[:4] == b"\x89PNG"
    out = capsys.readouterr().out
    assert re.search(r"before +after", out)
    content = json.loads(numbers.read_text())
    assert content["before"]["variance_ratio"] > 10 > content["data"]["variance_ratio"]


def test_diagnose_gives_the_published_numbers(table, tmp_path, capsys):
    numbers = tmp_path / "n.json"
    words = ["--data", table, "--batch", "batch", "--label", "group", "--keep", "age"]
    assert run("diagnose", *words, "--json", numbers) == 0
    out = capsys.readouterr().out
    content = json.loads(numbers.read_text())["data"]
    assert content["silhouette_batch"] == pytest.approx(0.2452745586, abs=1e-9)
    assert content["batch_variance_fraction"] == pytest.approx(0.6207771738, abs=1e-9)
    assert re.search(r"variance between batches +0\.621  lower", out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch", "bath"], "did you mean 'batch'"),
        (["--batch", "batch", "--label", "batch"], "column 'batch' is named twice"),
        (["--batch", "batch", "--before", "{other}"], "rows"),
        (["--batch", "one"], "compares at least two"),
        (["--batch", "batch", "--figure", "f.pdf"], "expected .png"),
        (["--batch", "batch", "--figure", "f.png"], "pass --before too"),
        (["--batch", "batch", "--log2"], "negative"),
    ],
)
def test_bad_diagnoses_are_one_line(table, tmp_path, words, message, capsys):
    frame = pd.read_csv(table).assign(one="a")
    frame["g001"] -= 100.0
    frame.to_csv(table, index=False)
    other = tmp_path / "other.csv"
    frame.iloc[:7].to_csv(other, index=False)
    assert run("diagnose", "--data", table, *[word.format(other=other) for word in words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("task", [None, "simulate", "correct", "diagnose"])
def test_help(task, capsys):
    assert run(*([task] if task else []), "--help") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(word in out for word in (["simulate", "correct"] if task is None else ["--batch"]))


def test_a_missing_task_is_one_line(capsys):
    assert run() == 2
    assert "required: TASK (see 'synth-estimators batch --help')" in capsys.readouterr().err
