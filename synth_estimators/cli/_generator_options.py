"""Options of the verbs fit and sample, and the generators that they know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synth_estimators.cli._options import TABLE_HELP, common_options, count, output_option

__all__ = ["GENERATORS", "add_fit_parser", "add_sample_parser"]

GENERATORS = (
    "CVAE",
    "VAE",
    "TabularAR",
    "CTGAN",
    "ACTGAN",
    "TVAE",
    "SequentialCART",
    "CalibratedGaussian",
    "GaussianCopula",
    "NeighborInterpolation",
    "IndependentColumns",
    "BootstrapRows",
)


def add_fit_parser(verbs: Any) -> None:
    """Add the verb fit."""
    parser = verbs.add_parser(
        "fit",
        help="fit a generator to a table and save it",
        description=(
            "Fit a generator to all rows of a table and save it with joblib. For generators of "
            "mixed tables it first prints what every column is taken for."
        ),
        epilog=(
            "Examples: synth-estimators fit --data train.csv --target subtype --log2 "
            "--set max_epochs=100 --output model.joblib | synth-estimators fit --data adult.csv "
            "--generator TabularAR --output model.joblib"
        ),
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help=TABLE_HELP)
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        help=(
            "column with class labels; sampled rows then carry labels. Generators of mixed tables "
            "learn it as a column like the others, and it may hold numbers"
        ),
    )
    parser.add_argument(
        "--generator",
        choices=GENERATORS,
        metavar="NAME",
        help=(
            f"{', '.join(GENERATORS)} (default: CVAE with --target, VAE without, TabularAR "
            "for tables with text or empty cells)"
        ),
    )
    parser.add_argument(
        "--log2",
        action="store_true",
        help="learn log2(x + 1) of the columns, for counts and expression values",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="set a parameter of the generator, for example latent_dim=16; repeat for more",
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="COLUMN",
        help="leave out a column, for example an identifier; repeat for more",
    )
    parser.add_argument(
        "--drop-missing",
        action="store_true",
        help="leave out rows with empty cells (otherwise they are an error)",
    )
    output_option(parser, "model file to write, ending in .joblib")
    common_options(parser, default_seed="the fit")


def add_sample_parser(verbs: Any) -> None:
    """Add the verb sample."""
    parser = verbs.add_parser(
        "sample",
        help="draw synthetic rows from a saved generator",
        description=(
            "Draw synthetic rows from a model written by 'synth-estimators fit' or "
            "'synth-estimators demo'. Rows are written in chunks, so that millions fit."
        ),
        epilog=(
            "Example: synth-estimators sample --model model.joblib --n-samples 100 "
            "--where 'income=>50K' --where 'age>=35' --output rows.csv. "
            "Loading a model runs code stored in the file (it is a pickle). Only load models that "
            "you made yourself or whose source you trust."
        ),
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FILE", help="model; only load trusted files"
    )
    parser.add_argument(
        "--n-samples", type=count, required=True, metavar="N", help="number of rows to draw"
    )
    parser.add_argument(
        "--label",
        metavar="LABEL",
        help="draw rows of this class only (default: the training proportions)",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CLAUSE",
        help=(
            "draw rows that meet this clause: a column, one of = != > >= < <= and a value, such "
            "as 'income=>50K' or 'age>=35'; nothing after = asks for an empty cell; repeat for "
            "clauses that must all be met"
        ),
    )
    output_option(parser, "table to write, ending in .csv or .parquet")
    common_options(parser, default_seed="the draw; another seed gives other rows")
