"""The ``synth-estimators`` command: demo, fit, sample, evaluate."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synth_estimators import __version__
from synth_estimators.cli._batch_options import add_batch_parser
from synth_estimators.cli._generator_options import GENERATORS, add_fit_parser, add_sample_parser
from synth_estimators.cli._options import TABLE_HELP, Parser, common_options, count

__all__ = ["GENERATORS", "main"]


def _demo_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "demo",
        help="split real data, tune a generator, judge it beside baselines, save the results",
        description=(
            "Split a real table in three parts (train, holdout, fresh), tune a CVAE inside a "
            "scikit-learn pipeline on the first, draw synthetic rows, and print how real they "
            "look beside cheap baselines, beside the training rows and beside fresh real rows. "
            "Without --data it uses the breast-cancer table of scikit-learn (569 patients, 30 "
            "columns). Takes about a minute."
        ),
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help=TABLE_HELP)
    parser.add_argument("--target", metavar="COLUMN", help="column of --data with class labels")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/demo"),
        metavar="FOLDER",
        help="folder for the results (default: %(default)s)",
    )
    common_options(parser, default_seed="the split, the fits and the draws")


def _evaluate_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "evaluate",
        help="judge a table of synthetic rows against held-out real rows",
        description=(
            "Compare synthetic rows with real rows that the generator has not seen, and print the "
            "same numbers for the training rows (what real rows reach) and for training rows "
            "with every column shuffled on its own (what rows without dependence reach). Text, "
            "numbers and empty cells are all fine."
        ),
        epilog=(
            "Example: synth-estimators evaluate --train train.csv --holdout holdout.csv "
            "--synthetic rows.csv --target outcome --html report.html"
        ),
    )
    parser.add_argument(
        "--train",
        type=Path,
        required=True,
        metavar="FILE",
        help="real rows that the generator was fitted on; " + TABLE_HELP,
    )
    parser.add_argument(
        "--holdout",
        type=Path,
        metavar="FILE",
        help=(
            "real rows that the generator has not seen, best as many as --train; without them "
            "privacy cannot be judged"
        ),
    )
    parser.add_argument(
        "--synthetic", type=Path, required=True, metavar="FILE", help="rows to judge"
    )
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        help="column to predict; adds how well models trained on the rows predict it",
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="COLUMN",
        help="leave out a column of every table, for example an identifier; repeat for more",
    )
    parser.add_argument(
        "--metrics",
        choices=("fast", "standard", "all"),
        default="standard",
        help="fast takes seconds, standard up to a minute, all more (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also write a page that needs no network"
    )
    common_options(parser, default_seed="classifiers and subsamples")


def _compare_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "compare",
        help="rank generators, or synthetic tables, beside the baselines",
        description=(
            "Fit generators to folds of a table and judge their rows against the rows held out, or "
            "judge synthetic files from any tool against the same real rows; always beside "
            "baselines that take seconds."
        ),
        epilog=(
            "Examples: synth-estimators compare --data table.csv --target y --generator CVAE "
            "--generator CVAE:latent_dim=16,kl_weight=0.5 | synth-estimators compare --train "
            "train.csv --holdout holdout.csv --synthetic a.csv --synthetic other=b.csv"
        ),
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help=TABLE_HELP)
    parser.add_argument(
        "--generator",
        action="append",
        default=[],
        metavar="NAME",
        help=f"{', '.join(GENERATORS)}; settings follow as NAME:KEY=VALUE,...; repeat for more",
    )
    parser.add_argument("--cv", type=count, default=5, help="folds of --data (default: 5)")
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="COLUMN",
        help="leave out a column of every table; repeat for more",
    )
    parser.add_argument(
        "--train", type=Path, metavar="FILE", help="real rows that --synthetic was made from"
    )
    parser.add_argument(
        "--holdout", type=Path, metavar="FILE", help="real rows that no generator has seen"
    )
    parser.add_argument(
        "--synthetic",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="rows to judge; repeat for more",
    )
    parser.add_argument(
        "--target", metavar="COLUMN", help="column that models predict; adds metrics of utility"
    )
    parser.add_argument(
        "--metrics",
        choices=("fast", "standard", "all"),
        default="standard",
        help="how much to compute (default: %(default)s)",
    )
    parser.add_argument(
        "--no-baselines", action="store_true", help="leave out the generators of seconds"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="fits at a time")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="also write the table (.csv, .parquet)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    common_options(parser, default_seed="folds, draws, classifiers and subsamples")


def _sample_size_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "sample-size",
        help="learning curves of a pilot table, and how many samples a goal needs",
        description=(
            "Score classifiers on subsets of a pilot table, fit a learning curve to each, and say "
            "how many samples it takes to reach a goal, with an interval."
        ),
        epilog=(
            "Example: synth-estimators sample-size --data pilot.csv --target subtype --goal 0.9 "
            "--figure curves.png"
        ),
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help=TABLE_HELP)
    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="column with class labels"
    )
    parser.add_argument("--goal", type=float, metavar="SCORE", help="score to reach, such as 0.9")
    parser.add_argument(
        "--metric",
        choices=("auc", "f1", "accuracy"),
        default="auc",
        help="score of the classifiers (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="LOGIS, SVM, KNN, RF or XGB; repeat for more (default: all five)",
    )
    parser.add_argument(
        "--sizes", metavar="N,N,...", help="rows of the subsets (default: eight, up to all rows)"
    )
    parser.add_argument(
        "--draws", type=count, default=5, help="subsets of every size (default: %(default)s)"
    )
    parser.add_argument(
        "--log2", action="store_true", help="classify log2(x + 1), for counts and expression values"
    )
    parser.add_argument(
        "--drop", action="append", default=[], metavar="COLUMN", help="leave out a column"
    )
    parser.add_argument(
        "--drop-missing", action="store_true", help="leave out rows with empty cells"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="fits at a time")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="also write all scores (.csv, .parquet)"
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw the curves (.png)")
    common_options(parser, default_seed="subsets, folds and classifiers")


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="synth-estimators",
        description="Synthetic data: fit generators to tables, sample rows, judge them honestly.",
        epilog="Start with 'synth-estimators demo'. Every command has its own --help.",
    )
    parser.add_argument("--version", action="version", version=f"synth-estimators {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", parser_class=Parser)
    for add in (
        _demo_parser,
        add_fit_parser,
        add_sample_parser,
        _evaluate_parser,
        _compare_parser,
        _sample_size_parser,
        add_batch_parser,
    ):
        add(verbs)
    return parser


def _show_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    print(f"synth-estimators: warning: {_one_line(message)}", file=sys.stderr)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Show warnings as one line each, and those for programmers not at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.showwarning = _show_warning
        yield


@contextlib.contextmanager
def _clean_termination() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that temporary files are removed on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum, frame):
        raise SystemExit(128 + signum)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _run(arguments: argparse.Namespace) -> int:
    if arguments.verb == "demo":
        from synth_estimators.cli._demo import run_demo

        return run_demo(arguments)
    if arguments.verb == "compare":
        from synth_estimators.cli._compare import run_compare

        return run_compare(arguments)
    if arguments.verb == "sample-size":
        from synth_estimators.cli._sample_size import run_sample_size

        return run_sample_size(arguments)
    if arguments.verb == "batch":
        from synth_estimators.cli import _batch, _correct, _diagnose

        tasks = {
            "simulate": _batch.run_simulate,
            "correct": _correct.run_correct,
            "diagnose": _diagnose.run_diagnose,
        }
        return tasks[arguments.task](arguments)
    from synth_estimators.cli import _commands

    run = {
        "fit": _commands.run_fit,
        "sample": _commands.run_sample,
        "evaluate": _commands.run_evaluate,
    }[arguments.verb]
    return run(arguments)


def _fail(exc: BaseException, arguments: argparse.Namespace) -> int:
    if arguments.debug:
        raise exc
    message = _one_line(exc) or type(exc).__name__
    if isinstance(exc, MemoryError):
        message = f"out of memory: {message}"
    print(f"synth-estimators: error: {message}", file=sys.stderr)
    return 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``synth-estimators`` command.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        Arguments without the program's name; None takes them from the command line.

    Returns
    -------
    status : int
        0 on success, 2 after an error, 130 when interrupted from the keyboard.

    Examples
    --------
    >>> from synth_estimators.cli import main
    >>> main(["--version"])
    synth-estimators 0.1.0
    0
    """
    parser = _build_parser()
    try:
        arguments = parser.parse_args(argv)
        if arguments.verb is None:
            parser.error(
                "choose a command: demo, fit, sample, evaluate, compare, sample-size or batch"
            )
    except SystemExit as exc:
        return int(exc.code or 0)
    from synth_estimators.cli._io import CliError

    try:
        with _short_warnings(), _clean_termination():
            status = _run(arguments)
            sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        print("synth-estimators: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of stdout left (for example `| head`); keep the interpreter quiet at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (
        CliError,
        ImportError,
        OSError,
        ValueError,
        TypeError,
        FloatingPointError,
        MemoryError,
    ) as exc:
        return _fail(exc, arguments)
