"""The verbs fit and sample."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators.cli import main


def run(*words):
    return main([str(word) for word in words])


def error_of(capsys, *words):
    capsys.readouterr()
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)) @ rng.normal(size=(3, 4)), columns=list("abcd"))
    frame.insert(2, "kind", np.repeat(["cat", "dog"], [40, 20]))
    frame.loc[frame["kind"] == "dog", "a"] += 50.0
    frame["count"] = rng.poisson(30, size=60)
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def model(tmp_path, data):
    path = tmp_path / "model.joblib"
    words = ["--target", "kind", "--generator", "GaussianCopula", "--output", path]
    assert run("fit", "--data", data, *words) == 0
    return path


def test_labelled_rows_come_back_in_the_shape_of_the_table(tmp_path, data, model):
    output = tmp_path / "rows.csv"
    assert run("sample", "--model", model, "--n-samples", 500, "--output", output) == 0
    rows, real = pd.read_csv(output), pd.read_csv(data)
    assert list(rows.columns) == list(real.columns)
    assert rows.shape == (500, 6)
    assert rows["count"].dtype.kind == "i"
    # A share of 2/3 over 500 draws has a standard error of 0.021.
    assert (rows["kind"] == "cat").mean() == pytest.approx(2 / 3, abs=0.08)
    # Labels belong to their rows: the classes lie 50 apart in column a.
    assert rows.loc[rows["kind"] == "dog", "a"].min() > rows.loc[rows["kind"] == "cat", "a"].max()


def test_label_picks_a_class(tmp_path, model, capsys):
    output = tmp_path / "rows.csv"
    sample = ["sample", "--model", model, "--n-samples", 7, "--output", output]
    assert run(*sample, "--label", "dog") == 0
    rows = pd.read_csv(output)
    assert rows["kind"].tolist() == ["dog"] * 7
    assert rows["a"].min() > 20
    message = error_of(capsys, *sample, "--label", "dug", "--force")
    assert "no class 'dug'; did you mean 'dog'?" in message


def test_seed_decides_the_rows(tmp_path, model):
    sample = ["sample", "--model", model, "--n-samples", 4, "--output"]
    for name, seed in [("one", 1), ("again", 1), ("two", 2)]:
        assert run(*sample, tmp_path / f"{name}.csv", "--seed", seed) == 0
    one, again, two = (pd.read_csv(tmp_path / f"{n}.csv") for n in ("one", "again", "two"))
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(two)


def test_rows_are_streamed_in_chunks(tmp_path, model, monkeypatch):
    from synth_estimators.cli import _commands
    from synth_estimators.cli._io import TableWriter

    monkeypatch.setattr(_commands, "_CHUNK_ELEMENTS", 50)
    sizes, write = [], TableWriter.write
    monkeypatch.setattr(
        TableWriter, "write", lambda self, frame: (sizes.append(len(frame)), write(self, frame))
    )
    output = tmp_path / "rows.parquet"
    assert run("sample", "--model", model, "--n-samples", 25, "--output", output) == 0
    assert sizes == [10, 10, 5]
    rows = pd.read_parquet(output)
    assert len(rows) == 25
    assert not rows.duplicated().any()


def test_zero_rows_give_a_header(tmp_path, model):
    output = tmp_path / "rows.csv"
    assert run("sample", "--model", model, "--n-samples", 0, "--output", output) == 0
    assert output.read_text() == "a,b,kind,c,d,count\n"


def test_unlabelled_model_with_parquet_and_log2(tmp_path, data, capsys):
    counts = tmp_path / "counts.parquet"
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.poisson(20, size=(50, 3)), columns=["g1", "g2", "g3"]).to_parquet(counts)
    path, output = tmp_path / "m.joblib", tmp_path / "rows.parquet"
    words = ["--log2", "--generator", "CalibratedGaussian", "--output", path]
    assert run("fit", "--data", counts, *words) == 0
    assert run("sample", "--model", path, "--n-samples", 30, "--output", output) == 0
    rows = pd.read_parquet(output)
    assert list(rows.columns) == ["g1", "g2", "g3"]
    assert (rows.dtypes == np.int64).all()
    assert rows.to_numpy().min() >= 0
    message = error_of(
        capsys, "sample", "--model", path, "--n-samples", 1, "--label", "x", "--output", output,
        "--force",
    )  # fmt: skip
    assert "holds no class labels" in message


def test_default_generators_and_settings(tmp_path, data, capsys):
    import joblib

    words = ["fit", "--data", data, "--set", "max_epochs=2", "--set", "hidden=(8,)", "--seed", 3]
    with_labels, without = tmp_path / "l.joblib", tmp_path / "u.joblib"
    assert run(*words, "--target", "kind", "--output", with_labels) == 0
    assert "CVAE fitted on 60 rows x 5 columns, 2 classes" in capsys.readouterr().out
    assert run(*words, "--drop", "kind", "--output", without) == 0
    bundle = joblib.load(with_labels)
    assert bundle["target"] == "kind"
    model = bundle["model"]
    assert (model.max_epochs, model.hidden, model.random_state) == (2, (8,), 3)
    assert type(joblib.load(without)["model"]).__name__ == "VAE"


def test_settings_are_literals_words_or_text():
    from synth_estimators import VAE
    from synth_estimators.cli._commands import parse_settings

    settings = ["early_stopping=false", "validation_fraction = None", "lr=1e-3", "noise=feature"]
    assert parse_settings(settings, VAE()) == {
        "early_stopping": False,
        "validation_fraction": None,
        "lr": 1e-3,
        "noise": "feature",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "kinds"], "has no column 'kinds'; did you mean 'kind'?"),
        (
            ["--generator", "VAE"],
            "column 'kind' holds no numbers (for example 'cat'); name it with --target",
        ),
        (["--drop", "nope"], "--drop: no column 'nope'"),
        (
            ["--target", "a", "--drop", "kind"],
            "holds 60 different numbers with decimals; expected class labels",
        ),
        (["--drop", "kind", "--generator", "CVAE"], "CVAE needs --target"),
        (["--target", "kind", "--set", "laten_dim=2"], "did you mean 'latent_dim'?"),
        (["--target", "kind", "--set", "latent_dim"], "is not KEY=VALUE"),
        (["--target", "kind", "--set", "latent_dim=-1"], "'latent_dim' parameter of CVAE"),
    ],
)
def test_bad_requests_of_fit(tmp_path, data, capsys, words, message):
    output = tmp_path / "m.joblib"
    found = error_of(capsys, "fit", "--data", data, "--output", output, *words)
    assert message in found
    assert found.count("\n") == 1
    assert not output.exists()


def test_target_with_one_class_or_gaps(tmp_path, data, capsys):
    frame = pd.read_csv(data)
    path, fit = tmp_path / "bad.csv", ["--target", "kind", "--output", tmp_path / "m.joblib"]
    frame.assign(kind="cat").to_csv(path, index=False)
    assert "target 'kind' has one class ('cat')" in error_of(capsys, "fit", "--data", path, *fit)
    frame.loc[3, "kind"] = None
    frame.to_csv(path, index=False)
    assert "target 'kind' is empty in 1 rows" in error_of(capsys, "fit", "--data", path, *fit)
    frame.assign(kind=np.arange(60)).to_csv(path, index=False)
    assert "has 60 different values" in error_of(capsys, "fit", "--data", path, *fit)


def test_empty_cells_are_an_error_unless_dropped(tmp_path, data, capsys):
    frame = pd.read_csv(data)
    frame.loc[[1, 5], "b"] = np.nan
    path = tmp_path / "gaps.csv"
    frame.to_csv(path, index=False)
    fit = ["fit", "--data", path, "--target", "kind", "--generator", "CalibratedGaussian"]
    fit += ["--output", tmp_path / "m.joblib"]
    assert "column 'b' has 2 empty cells" in error_of(capsys, *fit)
    assert run(*fit, "--drop-missing") == 0
    captured = capsys.readouterr()
    assert "2 of 60 rows have empty cells; left out" in captured.err
    assert "fitted on 58 rows" in captured.out


def test_bare_generator_saved_with_joblib_can_be_sampled(tmp_path):
    import joblib

    from synth_estimators import IndependentColumns

    X = np.random.default_rng(0).normal(size=(20, 2))
    joblib.dump(IndependentColumns().fit(X), tmp_path / "mine.joblib")
    output = tmp_path / "rows.csv"
    words = ["--n-samples", 3, "--output", output]
    assert run("sample", "--model", tmp_path / "mine.joblib", *words) == 0
    assert list(pd.read_csv(output).columns) == ["x0", "x1"]


@pytest.fixture
def mixed(tmp_path):
    rng = np.random.default_rng(0)
    size = rng.normal(size=120)
    frame = pd.DataFrame(
        {
            "town": np.where(size > 0, "Rome", "Oslo"),
            "size": np.where(rng.random(120) < 0.1, np.nan, size.round(2)),
            "kind": np.where(size + rng.normal(size=120) > 0, "cat", "dog"),
        }
    )
    path = tmp_path / "mixed.csv"
    frame.to_csv(path, index=False)
    return path


def test_tables_with_text_and_empty_cells_go_to_the_likelihood_model(tmp_path, mixed, capsys):
    model, rows = tmp_path / "m.joblib", tmp_path / "rows.csv"
    assert run("fit", "--data", mixed, "--target", "kind", "--output", model) == 0
    assert "holds text or empty cells; using TabularAR" in capsys.readouterr().err
    assert run("sample", "--model", model, "--n-samples", "300", "--output", rows) == 0
    real, drawn = pd.read_csv(mixed), pd.read_csv(rows)
    assert list(drawn.columns) == list(real.columns)
    assert set(drawn["town"]) == {"Rome", "Oslo"}
    # Four standard errors of a share of 0.1 over 300 rows, and as much for the training rows.
    assert abs(drawn["size"].isna().mean() - real["size"].isna().mean()) < 0.1
    assert (drawn["size"] > 0).eq(drawn["town"] == "Rome")[drawn["size"].notna()].mean() > 0.9
    message = error_of(
        capsys,
        "sample",
        "--model",
        model,
        "--n-samples",
        "3",
        "--label",
        "cat",
        "--output",
        rows,
        "--force",
    )
    assert "--label: the model holds no class labels" in message


@pytest.mark.parametrize("generator", ["BootstrapRows", "GaussianCopula", "NeighborInterpolation"])
def test_baselines_learn_mixed_tables_as_a_whole(tmp_path, mixed, generator):
    model, rows = tmp_path / "m.joblib", tmp_path / "rows.csv"
    fit = ["fit", "--data", mixed, "--target", "kind", "--generator", generator, "--output", model]
    assert run(*fit) == 0
    assert run("sample", "--model", model, "--n-samples", "20", "--output", rows) == 0
    assert set(pd.read_csv(rows)["kind"]) == {"cat", "dog"}


def test_log2_is_refused_for_mixed_tables(tmp_path, mixed, capsys):
    fit = ["fit", "--data", mixed, "--log2", "--target", "kind", "--output", tmp_path / "m.joblib"]
    assert "--log2 is for tables of numbers" in error_of(capsys, *fit)
