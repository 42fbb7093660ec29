"""The command as a whole: help, version, wrong words, exit status."""

import os
import subprocess
import sys

import pytest

import synth_estimators
from synth_estimators.cli import GENERATORS, main


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"synth-estimators {synth_estimators.__version__}\n"


@pytest.mark.parametrize("verb", [None, "demo", "fit", "sample", "evaluate"])
def test_help(verb, capsys):
    assert main([*([verb] if verb else []), "--help"]) == 0
    out = capsys.readouterr().out
    for word in ["demo", "fit", "sample", "evaluate"] if verb is None else ["--seed", "--force"]:
        assert word in out


def test_help_of_sample_warns_of_foreign_models(capsys):
    main(["sample", "--help"])
    assert "Only load models that you made yourself" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "choose a command: demo, fit, sample, evaluate"),
        (["fitt"], "invalid choice: 'fitt'"),
        (["fit"], "the following arguments are required: --data, --output"),
        (["fit", "--bad"], "required"),
        (
            ["sample", "--model", "m", "--n-samples", "-3", "--output", "o.csv"],
            "argument --n-samples: invalid whole number of at least 0 value: '-3'",
        ),
        (
            ["fit", "--data", "d.csv", "--output", "m.joblib", "--generator", "GPT"],
            "invalid choice: 'GPT'",
        ),
    ],
)
def test_wrong_words_are_one_line_and_status_2(words, message, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("synth-estimators: error: ")
    assert message in captured.err
    assert "--help'" in captured.err


def test_every_generator_offered_exists():
    for name in GENERATORS:
        assert hasattr(getattr(synth_estimators, name), "sample")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from synth_estimators.cli import main; main(['--help']); "
        "sys.exit(len({'numpy', 'pandas', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert process.returncode == 0


def test_debug_shows_the_traceback(tmp_path):
    words = ["fit", "--data", str(tmp_path / "no.csv"), "--output", str(tmp_path / "m.joblib")]
    with pytest.raises(Exception, match="does not exist"):
        main([*words, "--debug"])


def test_interrupt_is_quiet(monkeypatch, capsys, tmp_path):
    from synth_estimators.cli import _commands

    def stop(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(_commands, "run_fit", stop)
    assert main(["fit", "--data", "d.csv", "--output", "m.joblib"]) == 130
    assert capsys.readouterr().err == "synth-estimators: interrupted\n"


def test_library_errors_and_warnings_become_one_line(monkeypatch, capsys):
    import warnings

    from synth_estimators.cli import _commands

    def fail(arguments):
        warnings.warn("first\n  second", UserWarning, stacklevel=1)
        raise FloatingPointError("diverged\nat epoch 3")

    monkeypatch.setattr(_commands, "run_fit", fail)
    assert main(["fit", "--data", "d.csv", "--output", "m.joblib"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "synth-estimators: warning: first second",
        "synth-estimators: error: diverged at epoch 3",
    ]


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_reader_that_leaves_early_causes_no_traceback(tmp_path):
    code = (
        "import sys; from synth_estimators.cli import main, _commands; "
        "_commands.run_fit = lambda a: [print('x' * 1000) for _ in range(1000)] and 0; "
        "sys.exit(main(['fit', '--data', 'd.csv', '--output', 'm.joblib']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait() == 1
    assert stderr == b""
