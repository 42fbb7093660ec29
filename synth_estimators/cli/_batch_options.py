"""The words of ``batch simulate``, ``batch correct`` and ``batch diagnose``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from synth_estimators.cli._options import TABLE_HELP, Parser, common_options, output_option

# Word of --method -> class of synth_estimators.batch_effects.
CORRECTORS = {
    "combat": "ComBat",
    "combat-seq": "ComBatSeq",
    "limma": "LimmaBatchRemover",
    "standardize": "BatchStandardizer",
    "quantile": "QuantileAligner",
    "covbat": "CovBat",
    "combat-gam": "ComBatGAM",
    "nested": "NestedComBat",
    "longitudinal": "LongitudinalComBat",
    "harmony": "HarmonyEmbedding",
}

_METHODS_HELP = (
    "combat (log-scale values), combat-seq (counts), limma (means only, exact), standardize "
    "(mean and spread without shrinkage), quantile (whole distributions), covbat (correlations "
    "too), combat-gam (curved covariates), nested (several --batch columns), longitudinal "
    "(repeated samples of a --subject), harmony (principal components)"
)


def add_batch_parser(verbs: Any) -> None:
    """Add the verb batch with its three tasks."""
    parser = verbs.add_parser(
        "batch",
        help="simulate, correct and measure batch effects",
        description=(
            "Batch effects: put them into a table to see what they do (simulate), take them out "
            "without looking at held-out rows (correct), measure what is there (diagnose)."
        ),
        epilog="Every task has its own --help.",
    )
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True, parser_class=Parser)
    for add in (_simulate_parser, _correct_parser, _diagnose_parser):
        add(tasks)


def _simulate_parser(tasks: Any) -> None:
    parser = tasks.add_parser(
        "simulate",
        help="put batch effects into a table",
        description=(
            "Assign rows to batches and shift or scale the numbers of each batch. The table is "
            "written with a column of batch labels; --effects keeps the true effects."
        ),
        epilog=(
            "Example: synth-estimators batch simulate --data table.csv --n-batches 3 --strength 1 "
            "--target outcome --confounding 0.8 --effects truth.json --output batches.csv"
        ),
    )
    _data_option(parser)
    output_option(parser, "table to write, ending in .csv or .parquet")
    parser.add_argument(
        "--batch",
        default="batch",
        metavar="COLUMN",
        help="name of the column of labels to add (default: %(default)s)",
    )
    parser.add_argument(
        "--n-batches", type=int, default=2, metavar="N", help="batches (default: %(default)s)"
    )
    parser.add_argument(
        "--proportions", metavar="P,P,...", help="shares of the batches (default: equal)"
    )
    parser.add_argument(
        "--effect-type",
        choices=("additive", "multiplicative", "both"),
        default="additive",
        help="shift, scale, or scale and shift (default: %(default)s)",
    )
    parser.add_argument(
        "--strength",
        type=float,
        default=0.5,
        metavar="SD",
        help=(
            "standard deviation of the effects, in the units of the table for shifts "
            "(default: %(default)s)"
        ),
    )
    parser.add_argument(
        "--scalar",
        action="store_true",
        help="one effect a batch for all columns (default: one a batch and column)",
    )
    parser.add_argument(
        "--positive-factors",
        action="store_true",
        help="draw factors as exp(normal), which are never negative (default: 1 + normal)",
    )
    parser.add_argument(
        "--features", metavar="COLUMN,...", help="columns affected (default: all numeric columns)"
    )
    parser.add_argument(
        "--target", metavar="COLUMN", help="column with class labels, left unchanged"
    )
    parser.add_argument(
        "--confounding",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="how far batches follow the classes of --target, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--assignment",
        choices=("redistribute", "mixture"),
        default="redistribute",
        help=(
            "how confounding moves rows; mixture is exact for unequal --proportions "
            "(default: %(default)s)"
        ),
    )
    _keep_option(parser)
    parser.add_argument(
        "--effects", type=Path, metavar="FILE", help="also write the true effects as JSON"
    )
    common_options(parser, default_seed="labels and effects")


def _correct_parser(tasks: Any) -> None:
    parser = tasks.add_parser(
        "correct",
        help="remove batch effects from a table",
        description=(
            "Remove the effects of known batches from the numeric columns. Text columns, labels, "
            "covariates and --keep columns come back unchanged, in their places. To judge a model "
            "on held-out rows, fit the correction on the training rows alone (--fit-on, or "
            "--save-model and --model)."
        ),
        epilog=(
            "Examples: synth-estimators batch correct --data table.csv --batch site --covariates "
            "sex,age --keep outcome --output corrected.csv | synth-estimators batch correct "
            "--data test.csv --fit-on train.csv --batch site --keep outcome --output test_c.csv. "
            "Loading a model runs code stored in the file (it is a pickle): only load models that "
            "you made yourself or whose source you trust."
        ),
    )
    _data_option(parser)
    output_option(parser, "table to write, ending in .csv or .parquet")
    parser.add_argument(
        "--method",
        choices=tuple(CORRECTORS),
        metavar="NAME",
        help=f"{_METHODS_HELP} (default: combat)",
    )
    parser.add_argument(
        "--batch",
        metavar="COLUMN",
        help="column with batch labels; for nested several, with commas between",
    )
    parser.add_argument(
        "--covariates",
        metavar="COLUMN,...",
        help=(
            "columns whose effect stays in the data, known for every row to come: never the "
            "label that a model will predict"
        ),
    )
    parser.add_argument(
        "--smooth",
        metavar="COLUMN,...",
        help="those of --covariates whose effect is a curve, for combat-gam",
    )
    parser.add_argument(
        "--protect",
        metavar="COLUMN,...",
        help=(
            "columns whose effect stays in the data and that new rows need not have, such as an "
            "outcome (combat takes one, limma any number); with batches that follow the outcome, "
            "part of the batch effect stays too"
        ),
    )
    parser.add_argument(
        "--remove",
        metavar="COLUMN,...",
        help="further columns whose effect goes (limma): one of text, any number of numbers",
    )
    parser.add_argument("--reference", metavar="LABEL", help="batch that stays as it is")
    parser.add_argument("--subject", metavar="COLUMN", help="column with subjects, longitudinal")
    parser.add_argument(
        "--unseen",
        choices=("error", "passthrough", "estimate"),
        help=(
            "rows of batches that were not there at the fit: refuse, leave unchanged, or estimate "
            "their effect from themselves (default: error)"
        ),
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="set another parameter of the method, such as mean_only=true; repeat for more",
    )
    _keep_option(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--fit-on", type=Path, metavar="FILE", help="rows to learn the correction from"
    )
    source.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="correction written by --save-model; only load trusted files",
    )
    parser.add_argument(
        "--save-model", type=Path, metavar="FILE", help="also write the fitted correction (.joblib)"
    )
    common_options(parser, default_seed="methods that draw (harmony)")


def _diagnose_parser(tasks: Any) -> None:
    parser = tasks.add_parser(
        "diagnose",
        help="measure batch effects in a table",
        description=(
            "Measure how far the numeric columns depend on the batch, and say for every number "
            "which way is better. With --before, the table before correction stands beside it."
        ),
        epilog=(
            "Example: synth-estimators batch diagnose --data corrected.csv --before table.csv "
            "--batch site --label outcome --figure batches.png"
        ),
    )
    _data_option(parser)
    parser.add_argument("--batch", required=True, metavar="COLUMN", help="column with batch labels")
    parser.add_argument(
        "--label", metavar="COLUMN", help="column with classes, which should stay apart"
    )
    parser.add_argument(
        "--before", type=Path, metavar="FILE", help="the same rows before correction"
    )
    parser.add_argument(
        "--n-pcs",
        type=int,
        metavar="N",
        help="measure distances on so many principal components (default: on all columns)",
    )
    parser.add_argument(
        "--log2", action="store_true", help="measure log2(x + 1), for counts and expression values"
    )
    _keep_option(parser, text="leave out a numeric column that is no measurement; repeat for more")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="also draw both tables (.png); needs --before"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON")
    common_options(parser, default_seed="permutations and subsamples")


def _data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help=TABLE_HELP)


def _keep_option(
    parser: argparse.ArgumentParser,
    *,
    text: str = "leave a numeric column as it is, for example an outcome; repeat for more",
) -> None:
    parser.add_argument("--keep", action="append", default=[], metavar="COLUMN", help=text)
