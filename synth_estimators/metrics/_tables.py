"""What all metrics share: reading a pair of tables, equal sizes, results."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch

from synth_estimators._random import local_rng
from synth_estimators.preprocessing._columns import MISSING, MixedTable, read_tables
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = [
    "ConstantColumnWarning",
    "all_tied",
    "category_shares",
    "check_values",
    "equal_sizes",
    "mean_or_undefined",
    "rank_auc",
    "read_pair",
    "result",
    "row_cap",
    "row_weights",
    "to_space",
    "undefined",
]


class ConstantColumnWarning(UserWarning):
    """A column is constant in the synthetic table only; its correlations are taken as 0."""


def read_pair(
    X_real: Any, X_synth: Any, *, discrete_columns: Any = "auto", sample_weight: Any = None
) -> tuple[MixedTable, MixedTable]:
    """Read a real (with the weights of its rows) and a synthetic table with the same columns."""
    tables = read_tables({"X_real": X_real, "X_synth": X_synth}, discrete_columns=discrete_columns)
    real, weight = tables["X_real"], row_weights(sample_weight, len(tables["X_real"]))
    if weight is not None:
        # Rows without weight do not count, not even for ranges and categories; the mean is 1.
        real = replace(real, weight=weight).take(weight > 0)
        real.weight *= len(real) / real.weight.sum()
    return real, tables["X_synth"]


def check_values(table: MixedTable, name: str) -> None:
    """Refuse a real table without any value, to which everything would be equally near."""
    empty = np.isnan(table.continuous).all() and all(
        labels[code] == MISSING
        for codes, labels in zip(table.codes.T, table.categories, strict=True)
        for code in np.unique(codes)
    )
    if empty:
        raise ValueError(f"{name} holds missing cells only; pass rows with at least one value.")


def all_tied(distances: np.ndarray, metric: str) -> bool:
    """Whether no real row differs from its nearest one; warn where that holds for half of them.

    Metrics that ask whether one distance is strictly below another mistake such a table for a bad
    or a copied one, whatever it is compared with.
    """
    share = float((distances == 0).mean())
    if 0.5 <= share < 1.0:
        warnings.warn(
            f"{share:.0%} of the real rows equal another one, so {metric} cannot reach its ideal; "
            "compare with its value for fresh real rows, or add columns.",
            stacklevel=4,
        )
    return share == 1.0


def category_shares(table: MixedTable, column: int) -> np.ndarray:
    """Share of every category of one discrete column, by the weights of the rows."""
    counts = np.bincount(
        table.codes[:, column],
        weights=table.weight,
        minlength=len(table.categories[column]),
    )
    return counts / (len(table) if table.weight is None else table.weight.sum())


def row_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Check the weights of the real rows; None stays None."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has the shape {weight.shape}, but X_real has {n_rows} rows; pass one "
            "weight for each real row."
        )
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.sum() <= 0:
        raise ValueError(
            "sample_weight must hold finite weights of at least 0 that are not all 0; drop rows "
            "whose weight is unknown."
        )
    return weight


def cut_rows(n_rows: int, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of a seeded subsample of at most ``limit`` rows."""
    return np.arange(n_rows) if n_rows <= limit else rng.permutation(n_rows)[:limit]


def row_cap(table: MixedTable, max_rows: int | None, rng: np.random.Generator) -> MixedTable:
    """Cut a table to ``max_rows`` rows by a seeded permutation."""
    if max_rows is None or len(table) <= max_rows:
        return table
    if max_rows < 1:
        raise ValueError(f"max_rows={max_rows!r} must be at least 1 or None.")
    return table.take(cut_rows(len(table), max_rows, rng))


def equal_sizes(
    *tables: MixedTable,
    match_size: bool = True,
    max_rows: int | None = None,
    random_state: Any = None,
) -> list[MixedTable]:
    """Cut tables to the same number of rows, at most ``max_rows``, by seeded permutations."""
    rng = local_rng(random_state)
    limit = min(len(table) for table in tables) if match_size else None
    if max_rows is not None:
        limit = max_rows if limit is None else min(limit, max_rows)
    return [row_cap(table, limit, rng) for table in tables]


def to_space(
    reference: MixedTable, *tables: MixedTable, space: str
) -> tuple[MixedSpace, list[np.ndarray]]:
    """Fit a mixed space to the reference table and map all tables into it."""
    check_values(reference, "The real table")
    fitted = MixedSpace(space=space)._fit_table(reference)
    return fitted, [fitted._transform_table(table) for table in tables]


def rank_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve; ties count one half. NaN if only one class is there."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(scores)
    return float(
        (ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)
    )


def undefined(metric: str, why: str) -> float:
    """Warn that a metric has no value and return NaN."""
    warnings.warn(f"{metric} is undefined and returned as NaN: {why}.", UndefinedMetricWarning, 3)
    return float("nan")


def mean_or_undefined(values: Any, metric: str) -> float:
    """Mean of the values that are not NaN."""
    array = np.asarray(values, dtype=np.float64)
    kept = array[~np.isnan(array)]
    if kept.size == 0:
        return undefined(metric, "no column or pair of columns can be compared")
    return float(kept.mean())


def result(score: Any, breakdown: bool, details: Any, **more: Any) -> Any:
    """Return the plain score, or a Bunch with the details (a callable that builds them)."""
    score = float(score)
    if not breakdown:
        return score
    frame = details() if callable(details) else details
    return Bunch(score=score, details=pd.DataFrame(frame), **more)
