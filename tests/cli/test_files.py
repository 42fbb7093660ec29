"""Files in and out: clear errors, whole files or none."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from synth_estimators.cli import main
from synth_estimators.cli._io import CliError, TableWriter, atomic_path, read_table, write_table


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=["a", "b", "c"])
    frame["n"] = rng.integers(0, 9, size=40)
    frame.insert(1, "kind", np.repeat(["x", "y"], 20))
    return frame


@pytest.fixture
def model(tmp_path, table):
    """A model file of three columns, fitted in milliseconds."""
    data, path = tmp_path / "fit.csv", tmp_path / "model.joblib"
    table[["a", "b", "c"]].to_csv(data, index=False)
    arguments = ["fit", "--data", str(data), "--generator", "IndependentColumns"]
    assert main([*arguments, "--output", str(path)]) == 0
    return path


def error_of(capsys, *arguments):
    """Run the command, check that it fails with one line, and return the line."""
    capsys.readouterr()
    assert main([str(word) for word in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("synth-estimators: error: ")
    return captured.err


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_survive_a_round_trip(tmp_path, table, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(table, path, force=False)
    again = read_table(path, option="--data")
    pd.testing.assert_frame_equal(again, table, check_exact=suffix == ".parquet")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_chunks_become_one_table(tmp_path, table, suffix):
    path = tmp_path / f"t{suffix}"
    with TableWriter(path, suffix) as writer:
        for start in range(0, 40, 15):
            writer.write(table.iloc[start : start + 15])
    pd.testing.assert_frame_equal(read_table(path, option="--data"), table)


def test_row_names_saved_by_pandas_are_left_out(tmp_path, table, capsys):
    path = tmp_path / "t.csv"
    table.to_csv(path)
    assert list(read_table(path, option="--data").columns) == list(table.columns)
    assert "taken for row names" in capsys.readouterr().err


def test_new_file_gets_the_usual_mode(tmp_path, table):
    mask = os.umask(0o022)
    try:
        write_table(table, tmp_path / "t.csv", force=False)
    finally:
        os.umask(mask)
    assert (tmp_path / "t.csv").stat().st_mode & 0o777 == 0o644


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def fail_half_way():
        with atomic_path(path, force=True) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "t.csv"

    def write_late():
        with atomic_path(path, force=False) as temporary:
            temporary.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(CliError, match="exists; pass --force"):
        write_late()
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_full_disk_is_one_line(tmp_path, model, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TableWriter, "write", full)
    output = tmp_path / "rows.csv"
    message = error_of(capsys, "sample", "--model", model, "--n-samples", 3, "--output", output)
    assert "rows.csv: no space left on the disk" in message
    assert not any(name.startswith(("rows", ".rows")) for name in os.listdir(tmp_path))


def test_missing_and_unreadable_files_are_named(tmp_path, capsys):
    out = ["--output", tmp_path / "m.joblib"]
    assert "does not exist" in error_of(capsys, "fit", "--data", tmp_path / "no.csv", *out)
    assert "is a folder" in error_of(capsys, "fit", "--data", _folder(tmp_path / "d.csv"), *out)
    for name, content, message in [
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"a,b\n", "holds 0 rows"),
        ("torn.csv", b'a,b\n1,"2', "is not a valid CSV file"),
        ("binary.csv", b"a,b\n\xff\xfe,2\n", "is not a valid CSV file"),
        ("twice.parquet", b"not parquet", "Parquet"),
    ]:
        (tmp_path / name).write_bytes(content)
        found = error_of(capsys, "fit", "--data", tmp_path / name, *out)
        assert message.lower() in found.lower()
        assert name in found


def test_forbidden_file_is_named(tmp_path, monkeypatch, capsys):
    path = tmp_path / "secret.csv"
    path.write_text("a\n1\n")
    # A file mode would not stop the tests' user where that is root.
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda name, mode: mode != os.R_OK and allowed(name, mode))
    message = error_of(capsys, "fit", "--data", path, "--output", tmp_path / "m.joblib")
    assert "secret.csv cannot be read: permission denied" in message


def _folder(path):
    path.mkdir()
    return path


def test_wrong_suffixes_name_the_right_ones(tmp_path, model, table, capsys):
    data = tmp_path / "t.csv"
    table.to_csv(data, index=False)
    sample = ["sample", "--model", model, "--n-samples", 2, "--output"]
    assert "expected .csv or .parquet" in error_of(capsys, *sample, tmp_path / "rows.xlsx")
    assert "has no suffix" in error_of(capsys, *sample, tmp_path / "rows")
    fit = ["fit", "--data", data, "--output", tmp_path / "m.pkl"]
    assert "expected .joblib" in error_of(capsys, *fit)
    assert "expected .csv or .parquet" in error_of(
        capsys, "fit", "--data", tmp_path / "t.tsv", "--output", tmp_path / "m.joblib"
    )


def test_existing_output_needs_force(tmp_path, model, capsys):
    output = tmp_path / "rows.csv"
    output.write_text("keep me")
    sample = ["sample", "--model", model, "--n-samples", 2, "--output", output]
    assert "rows.csv exists; pass --force" in error_of(capsys, *sample)
    assert output.read_text() == "keep me"
    assert main([*map(str, sample), "--force"]) == 0
    assert len(pd.read_csv(output)) == 2


def test_output_folder_must_exist_and_input_is_never_overwritten(tmp_path, model, table, capsys):
    gone = tmp_path / "gone" / "rows.csv"
    sample = ["sample", "--model", model, "--n-samples", 2, "--output"]
    assert "gone for the output does not exist" in error_of(capsys, *sample, gone)
    same = tmp_path / "same.joblib"
    table.to_csv(same, index=False)
    fit = ["fit", "--data", same, "--output", same, "--force"]
    assert "is also an input" in error_of(capsys, *fit)


def test_foreign_model_files_are_refused(tmp_path, capsys):
    import joblib

    out = ["--n-samples", 1, "--output", tmp_path / "r.csv"]
    (tmp_path / "text.joblib").write_text("hello")
    message = error_of(capsys, "sample", "--model", tmp_path / "text.joblib", *out)
    assert "cannot be loaded" in message
    joblib.dump([1, 2], tmp_path / "list.joblib")
    message = error_of(capsys, "sample", "--model", tmp_path / "list.joblib", *out)
    assert "holds a list, not a generator" in message
    assert "does not exist" in error_of(capsys, "sample", "--model", tmp_path / "no.joblib", *out)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = error_of(
        capsys, "sample", "--model", model, "--n-samples", 1, "--output", tmp_path / "r.parquet"
    )
    assert "synth-estimators[parquet]" in message
    assert "r.parquet" not in os.listdir(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_run_leaves_no_half_written_file(tmp_path, model, kill):
    output = tmp_path / "rows.csv"
    output.write_text("old")
    command = [sys.executable, "-m", "synth_estimators.cli", "sample", "--model", str(model)]
    command += ["--n-samples", "900000000", "--output", str(output), "--force"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            parts = list(tmp_path.glob(".rows.csv.*"))
            if parts and parts[0].stat().st_size > 100_000:
                break
            time.sleep(0.02)
        else:
            pytest.fail(f"nothing was written: {process.communicate()}")
        process.send_signal(kill)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output.read_text() == "old"
    assert process.returncode != 0
    if kill != signal.SIGKILL:
        assert list(tmp_path.glob(".rows.csv.*")) == []
        assert "Traceback" not in stderr
