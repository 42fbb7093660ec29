"""The verbs fit and sample on mixed tables: types of columns, dates, clauses."""

import re

import joblib
import numpy as np
import pandas as pd
import pytest

from synth_estimators.cli import main

SMALL = {
    "TabularAR": ["max_epochs=2", "small_table=false", "hidden=(8,)", "n_components=2"],
    "TVAE": ["max_epochs=2", "hidden=(8,)", "latent_dim=2"],
    "SequentialCART": [],
    "ACTGAN": ["max_epochs=1", "generator_hidden=(8,)", "critic_hidden=(8,)", "latent_dim=2"],
}


def run(*words):
    return main([str(word) for word in words])


def error_of(capsys, *words):
    capsys.readouterr()
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


def make_frame(n_rows=120):
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 1000, n_rows), "D")
    kids = rng.integers(0, 4, n_rows).astype(float)
    kids[::4] = np.nan
    return pd.DataFrame(
        {
            "age": rng.integers(20, 70, n_rows),
            "income": np.where(rng.random(n_rows) < 0.4, ">50K", "<=50K"),
            "kids": kids,
            "hired": days.strftime("%d.%m.%Y"),
            "member": rng.random(n_rows) < 0.5,
        }
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "people.csv"
    make_frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module", params=["TabularAR", "TVAE", "SequentialCART"])
def model(request, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / f"{request.param}.joblib"
    settings = [word for setting in SMALL[request.param] for word in ("--set", setting)]
    words = ["--generator", request.param, *settings, "--output", path]
    assert run("fit", "--data", data, *words) == 0
    return path


def sample(model, output, *clauses, n_samples=20):
    words = [word for clause in clauses for word in ("--where", clause)]
    request = ["--model", model, "--n-samples", n_samples, "--output", output, "--force"]
    return ["sample", *request, *words]


def test_fit_prints_what_columns_are_taken_for(data, tmp_path, capsys):
    words = ["--generator", "SequentialCART", "--output", tmp_path / "m.joblib"]
    assert run("fit", "--data", data, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    frame = make_frame()
    assert lines[0] == "120 rows, 5 columns:"
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:6]}
    assert told["age"] == f"whole numbers, {frame['age'].min()} to {frame['age'].max()}"
    first, second = frame["income"].value_counts().index
    assert told["income"] == f"2 levels: {first}, {second}"
    assert told["kids"] == "whole numbers, 0 to 3; 25.0 % empty"
    assert re.fullmatch(r"dates written as %d\.%m\.%Y, 2015-01-\d\d to 2017-09-\d\d", told["hired"])
    assert told["member"].startswith("2 levels: ")


@pytest.mark.parametrize("name", ["TabularAR", "TVAE", "ACTGAN"])
def test_printed_kinds_are_those_of_the_fitted_generator(name):
    import synth_estimators as se
    from synth_estimators.cli._commands import parse_settings
    from synth_estimators.cli._schema import _kinds, read_types

    frame = make_frame().assign(flag=np.arange(120) % 2, two=np.arange(120) % 2 + 5.5, none=np.nan)
    generator = getattr(se, name)(random_state=0)
    generator.set_params(**parse_settings(SMALL[name], generator))
    frame, dates = read_types(frame, generator, typed=False)
    assert list(dates) == ["hired"]
    told = _kinds(frame, generator)
    generator.fit(frame)
    if name != "TabularAR":
        words = {"numeric": "numbers", "datetime": "dates", "empty": "empty cells"}
        taken = {k: words.get(v, "levels") for k, v in generator.encoder_.column_kinds_.items()}
    else:
        codes = zip(frame.columns, generator._table.columns, strict=True)
        taken = {k: "levels" if code.discrete else "numbers" for k, code in codes}
        taken |= {"hired": "dates", "none": "empty cells"}
    assert told == taken
    assert told["two"] == ("levels" if name == "TabularAR" else "numbers")


def test_identifiers_and_many_columns_are_told(capsys):
    from synth_estimators import TVAE
    from synth_estimators.cli._schema import print_schema

    frame = pd.DataFrame(np.arange(50)[:, None] + np.arange(70) / 2)
    frame.columns = [f"x{j}" for j in range(70)]
    frame.insert(0, "id", [f"p{i}" for i in range(50)])
    frame["x0"] = 2013
    print_schema(frame, TVAE(), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("another level in each row: an identifier? Leave it out with --drop")
    assert lines[2] == "  x0   whole numbers, always 2013"
    assert lines[61] == "  and 11 more: 11 of numbers"


def test_declared_levels_are_not_read_as_dates():
    from synth_estimators import TVAE
    from synth_estimators.cli._schema import read_types

    frame, dates = read_types(make_frame(), TVAE(discrete_columns=["hired", "kids"]), typed=False)
    assert dates == {}
    assert frame["kids"].dtype == np.float64
    frame, dates = read_types(make_frame(), TVAE(), typed=True)
    assert (list(dates), frame["kids"].dtype) == (["hired"], np.float64)


def test_unclear_dates_are_noted(capsys):
    from synth_estimators import TVAE
    from synth_estimators.cli._schema import read_types

    frame, _ = read_types(pd.DataFrame({"when": ["01/02/2020"] * 3}), TVAE(), typed=False)
    assert frame["when"][0] == pd.Timestamp("2020-01-02")
    assert "month or the day first; read as %m/%d/%Y" in capsys.readouterr().err


def test_rows_are_written_as_the_table_was(model, data, tmp_path):
    output = tmp_path / "rows.csv"
    assert run(*sample(model, output, n_samples=100)) == 0
    rows, real = pd.read_csv(output, dtype=str), pd.read_csv(data, dtype=str)
    assert list(rows.columns) == list(real.columns)
    assert 0 < rows["kids"].isna().sum() < 100
    # pandas wrote the column with gaps as floats; it holds whole numbers.
    assert set(rows["kids"].dropna()) <= {"0", "1", "2", "3"}
    assert rows["hired"].str.fullmatch(r"\d\d\.\d\d\.\d{4}").all()


def test_clauses_are_met_together(model, tmp_path):
    output = tmp_path / "rows.csv"
    assert run(*sample(model, output, "income=>50K", "age>=35", "hired<01.06.2017")) == 0
    rows = pd.read_csv(output)
    assert len(rows) == 20
    assert set(rows["income"]) == {">50K"}
    assert rows["age"].min() >= 35
    assert (pd.to_datetime(rows["hired"], format="%d.%m.%Y") < "2017-06-01").all()


def test_clauses_on_missing_cells_booleans_and_numbers(model, tmp_path):
    output = tmp_path / "rows.parquet"
    assert run(*sample(model, output, "kids=", "member=TRUE")) == 0
    rows = pd.read_parquet(output)
    assert len(rows) == 20
    assert rows["kids"].isna().all()
    assert rows["member"].all()
    assert run(*sample(model, output, "kids=2", "member!=true", n_samples=5)) == 0
    rows = pd.read_parquet(output)
    assert rows["kids"].tolist() == [2] * 5
    assert not rows["member"].any()


def test_clauses_repeat_with_the_seed(model, tmp_path):
    one, again, two = (tmp_path / f"{name}.csv" for name in ("one", "again", "two"))
    for path, seed in [(one, 1), (again, 1), (two, 2)]:
        assert run(*sample(model, path, "age>=35"), "--seed", seed) == 0
    assert one.read_text() == again.read_text() != two.read_text()


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ("incme=1", "no column 'incme'; did you mean 'income'?"),
        ("age", "'age' is no clause; write a column"),
        ("age>", "lacks a value"),
        ("hired<soon", "hired<soon needs a date such as those written as %d.%m.%Y."),
        ("income>5", "which holds text or unordered categories; use = or != there."),
    ],
)
def test_wrong_clauses_are_one_line(model, tmp_path, capsys, clause, message):
    assert message in error_of(capsys, *sample(model, tmp_path / "rows.csv", clause))
    assert not (tmp_path / "rows.csv").exists()


def test_unknown_levels_are_one_line(model, tmp_path, capsys, monkeypatch):
    from synth_estimators.cli import _where

    monkeypatch.setattr(_where, "_MAX_TRIES", 2)
    message = error_of(capsys, *sample(model, tmp_path / "rows.csv", "income=many"))
    assert "'many'" in message or "meets income=many" in message


def test_too_rare_clauses_get_advice_of_the_command_line(data, tmp_path, capsys):
    model, output = tmp_path / "m.joblib", tmp_path / "rows.csv"
    settings = [word for setting in SMALL["TVAE"] for word in ("--set", setting)]
    words = ["--generator", "TVAE", *settings, "--output", model]
    assert run("fit", "--data", data, *words) == 0
    message = error_of(capsys, *sample(model, output, "age>=200", n_samples=2))
    assert message.startswith(
        "synth-estimators: error: --where: Unable to sample any rows with age>"
    )
    assert message.endswith("met the request. Ask for something less rare.\n")
    assert "max_tries" not in message


def test_clauses_on_booleans_with_empty_cells(tmp_path):
    table = make_frame().astype({"member": object})
    table.loc[::5, "member"] = None
    data, model, output = (tmp_path / name for name in ("d.csv", "m.joblib", "rows.csv"))
    table.to_csv(data, index=False)
    settings = [word for setting in SMALL["TVAE"] for word in ("--set", setting)]
    assert run("fit", "--data", data, "--generator", "TVAE", *settings, "--output", model) == 0
    assert run(*sample(model, output, "member=true")) == 0
    assert pd.read_csv(output)["member"].tolist() == [True] * 20
    assert run(*sample(model, output, "member!=true")) == 0
    assert set(pd.read_csv(output)["member"].dropna()) == {False}


def test_folder_that_takes_no_files_is_told_before_the_fit(data, tmp_path, capsys, monkeypatch):
    from synth_estimators.cli import _io

    def refuse(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(_io.tempfile, "TemporaryFile", refuse)
    message = error_of(capsys, "fit", "--data", data, "--output", tmp_path / "m.joblib")
    assert f"cannot write to folder {tmp_path}: Read-only file system." in message


def test_too_rare_clauses_give_fewer_rows_or_an_error(data, tmp_path, capsys, monkeypatch):
    from synth_estimators.cli import _where

    monkeypatch.setattr(_where, "_MAX_TRIES", 1)
    model, output = tmp_path / "m.joblib", tmp_path / "rows.csv"
    words = ["--generator", "SequentialCART", "--output", model]
    assert run("fit", "--data", data, *words) == 0
    message = error_of(capsys, *sample(model, output, "age>=35", "age<20"))
    assert "none of 20 drawn rows meets age>=35 and age<20" in message
    assert run(*sample(model, output, "income=>50K", n_samples=50)) == 0
    captured = capsys.readouterr()
    rows = pd.read_csv(output)
    assert 0 < len(rows) < 50
    assert f"only {len(rows)} of 50 drawn rows meet income=>50K." in captured.err
    assert f"{len(rows)} rows written" in captured.out


def test_labelled_models_have_no_clauses(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    frame["kind"] = np.repeat(["cat", "dog"], 20)
    data, model = tmp_path / "d.csv", tmp_path / "m.joblib"
    frame.to_csv(data, index=False)
    words = ["--target", "kind", "--generator", "GaussianCopula", "--output", model]
    assert run("fit", "--data", data, *words) == 0
    message = error_of(capsys, *sample(model, tmp_path / "rows.csv", "a>0"))
    assert "draws labels and rows apart; take --label" in message


def test_target_is_a_column_like_the_others(data, tmp_path, capsys):
    model = tmp_path / "m.joblib"
    settings = [word for setting in SMALL["TabularAR"] for word in ("--set", setting)]
    words = ["--generator", "TabularAR", *settings, "--target", "age", "--output", model]
    assert run("fit", "--data", data, *words) == 0
    assert joblib.load(model)["model"].target == "age"
    message = error_of(
        capsys, "sample", "--model", model, "--n-samples", 1, "--label", 40, "--output",
        tmp_path / "rows.csv",
    )  # fmt: skip
    assert "ask for values of any column with --where COLUMN=VALUE" in message
    assert "--log2 is for tables of numbers" in error_of(
        capsys, "fit", "--data", data, *words, "--log2", "--force"
    )


def test_interrupted_training_is_saved(data, tmp_path, capsys, monkeypatch):
    from synth_estimators._engine import EpochEngine

    run_epoch = EpochEngine.run_single_epoch

    def stop(self, *words, **more):
        if len(self.history) == 3:
            raise KeyboardInterrupt
        return run_epoch(self, *words, **more)

    monkeypatch.setattr(EpochEngine, "run_single_epoch", stop)
    model = tmp_path / "m.joblib"
    words = ["--generator", "TVAE", "--set", "hidden=(8,)", "--output", model]
    assert run("fit", "--data", data, *words) == 0
    assert "interrupted after 2 of 300 epochs" in capsys.readouterr().err
    assert run(*sample(model, tmp_path / "rows.csv")) == 0
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 20
