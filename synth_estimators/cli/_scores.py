"""The tables of scores that ``demo`` and ``evaluate`` print."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class Column(NamedTuple):
    """A column of the printed table."""

    key: str
    header: str
    decimals: int
    meaning: str


COLUMNS = (
    Column("shapes", "shapes", 2, "agreement of single columns; ideal 1"),
    Column("trends", "trends", 2, "agreement of pairs of columns; ideal 1"),
    Column(
        "c2st_auc",
        "tree C2ST",
        2,
        "AUC of boosted trees that tell the rows from held-out ones; ideal 0.5, 1 = always told",
    ),
    Column(
        "tstr_ratio",
        "TSTR ratio",
        2,
        "AUC on held-out rows of a model trained on the rows, over that of real ones; ideal 1",
    ),
    Column(
        "dcr_share",
        "DCR share",
        2,
        "share of rows nearer to a training row than to a held-out one; ideal 0.5, 1 = copies",
    ),
    Column(
        "membership_auc",
        "membership",
        2,
        "AUC of telling training rows from held-out ones by these rows; ideal 0.5, 1 = copies",
    ),
    Column("fit_seconds", "fit s", 1, "seconds to fit"),
)


class Judge:
    """Compares tables with held-out real rows.

    Parameters
    ----------
    train : pandas DataFrame
        Rows that the generators were fitted on.

    holdout : pandas DataFrame
        Real rows that no generator has seen, with the same columns.

    target : str or None
        Column with class labels.

    seed : int
        Seeds classifiers and subsamples.
    """

    def __init__(
        self, train: pd.DataFrame, holdout: pd.DataFrame, *, target: str | None, seed: int
    ) -> None:
        self.target = target
        self.seed = seed
        self.train = self._prepared(train)
        self.holdout = self._prepared(holdout)

    def _prepared(self, table: pd.DataFrame) -> pd.DataFrame:
        """Turn labels into text, so that every metric takes them for categories."""
        if self.target is None:
            return table
        return table.assign(**{self.target: table[self.target].astype(str)})

    def scores(self, table: pd.DataFrame) -> dict[str, float]:
        """Return the scores of a table, by the keys of ``COLUMNS`` and some more."""
        from synth_estimators import metrics

        rows = self._prepared(table)
        seed = self.seed
        found = {
            "shapes": metrics.column_shapes_score(self.holdout, rows),
            "trends": metrics.column_pair_trends_score(self.holdout, rows),
            "c2st_auc": metrics.c2st_auc(self.holdout, rows, estimator="xgb", random_state=seed),
        }
        if self.target is not None:
            utility = metrics.utility_ratio(
                self.holdout,
                rows,
                X_train=self.train,
                target=self.target,
                random_state=seed,
                breakdown=True,
            )
            found |= {
                "tstr_ratio": utility.score,
                "tstr_auc": utility.tstr,
                "trtr_auc": utility.trtr,
            }
        privacy = {"X_train": self.train, "X_holdout": self.holdout, "X_synth": rows}
        found["dcr_share"] = metrics.dcr_share(**privacy, random_state=seed)
        found["membership_auc"] = metrics.membership_auc(**privacy, random_state=seed)
        found["exact_copy_share"] = metrics.exact_copy_share(X_train=self.train, X_synth=rows)
        return {key: float(value) for key, value in found.items()}


def shuffled_columns(table: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Shuffle every column on its own: real columns without dependence."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {name: table[name].array[rng.permutation(len(table))] for name in table.columns}
    )


def shown_columns(scores: Mapping[str, Mapping[str, float]]) -> list[Column]:
    """List the columns that at least one row has a value for."""
    return [column for column in COLUMNS if any(column.key in row for row in scores.values())]


def format_scores(scores: Mapping[str, Mapping[str, float]], *, first_column: str) -> str:
    """Lay the table out in aligned text columns."""
    columns = shown_columns(scores)
    lines = [[first_column, *(column.header for column in columns)]]
    lines += [
        [name, *(_cell(row.get(column.key), column.decimals) for column in columns)]
        for name, row in scores.items()
    ]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * len(texts[0]), *texts[1:]])


def format_report(report: Any) -> str:
    """Lay out an evaluation: one line a metric, then the verdict and what speaks against it."""
    import textwrap

    from synth_estimators.report._definitions import define

    header = (
        "metric",
        "synthetic rows",
        "training rows (limit)",
        "shuffled columns (floor)",
        "score",
        "reading",
    )
    lines = [list(header)]
    for name, row in report.table.iterrows():
        numbers = [_number(row[key]) for key in ("value", "limit", "floor")]
        score = "-" if math.isnan(row["calibrated"]) else f"{row['calibrated']:.2f}"
        lines.append([define(str(name)).title, *numbers, score, row["reading"]])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            [line[0].ljust(widths[0]), *map(str.rjust, line[1:5], widths[1:5]), line[5]]
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, texts))
    notes = [
        textwrap.fill(finding.text, 100, initial_indent="- ", subsequent_indent="  ")
        for finding in report.warnings
    ]
    explained = (
        "Score: 0 at the floor, 1 at the limit; - where the two cannot be told apart. Privacy "
        "metrics have the value of fresh rows as their limit. The page of --html defines every "
        "metric."
    )
    parts = [texts[0], rule, *texts[1:], "", textwrap.fill(explained, 100), "", report.verdict]
    return "\n".join([*parts, *notes])


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    if 0 < abs(value) < 0.001:
        return f"{value:.1g}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return "-"
    return "n/a" if math.isnan(value) else f"{value:.{decimals}f}"


def legend(scores: Mapping[str, Mapping[str, float]], *, n_rows: int, n_rounds: int = 1) -> str:
    """Say in a line a column what it means and what is ideal."""
    columns = shown_columns(scores)
    width = max(len(column.header) for column in columns)
    lines = [f"  {column.header.ljust(width)}  {column.meaning}." for column in columns]
    # Standard error of an AUC under equal laws, from the variance of the rank-sum statistic.
    noise = math.sqrt((2 * n_rows + 1) / (12 * n_rows * n_rows * n_rounds))
    lines.append(
        f"All against held-out rows. With {n_rows} rows a side, chance alone moves a tree C2ST by "
        f"about {noise:.2f}."
    )
    return "\n".join(lines)
