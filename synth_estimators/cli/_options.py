"""Options that the parsers of all verbs share; nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

TABLE_HELP = "CSV or Parquet file (.csv, .parquet) with one row a sample and named columns"
FORCE_HELP = "overwrite existing files"


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"synth-estimators: error: {message} (see '{self.prog} --help')\n")


def count(text: str) -> int:
    """Read a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise ValueError
    return value


count.__name__ = "whole number of at least 0"


def output_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the file to write."""
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help=text)


def common_options(parser: argparse.ArgumentParser, *, default_seed: str) -> None:
    """Add seed, force and debug, the last options of every verb."""
    parser.add_argument(
        "--seed", type=count, default=0, help=f"seeds {default_seed} (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help=FORCE_HELP)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
