"""What the privacy metrics share: training, holdout and synthetic rows, nearest distances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from synth_estimators._distances import nearest_rows
from synth_estimators.metrics._tables import check_values, row_cap
from synth_estimators.preprocessing._columns import MixedTable, read_tables
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = ["cap", "common_space", "nearest", "read_three", "read_trained", "shared_space"]

# Rows that are searched may be this many times more than rows that are judged.
_SEARCHED = 10


def read_three(X_real, X_synth, X_train, X_holdout, *, discrete_columns, metric):
    """Read the training, holdout and synthetic tables; X_real stands in for a missing one."""
    if X_train is None:
        X_train = X_real
    elif X_holdout is None:
        X_holdout = X_real
    missing = [
        name
        for name, table in (("X_train", X_train), ("X_holdout", X_holdout), ("X_synth", X_synth))
        if table is None
    ]
    if missing:
        raise ValueError(
            f"{metric} needs training, holdout and synthetic rows; {', '.join(missing)} is "
            "missing. Pass X_train= and X_holdout= (X_real stands in for one of them)."
        )
    tables = read_tables(
        {"X_train": X_train, "X_holdout": X_holdout, "X_synth": X_synth},
        discrete_columns=discrete_columns,
    )
    check_values(tables["X_train"], "X_train")
    return tables["X_train"], tables["X_holdout"], tables["X_synth"]


def read_trained(X_real, X_synth, X_train, X_holdout, *, discrete_columns, metric):
    """Read the training and synthetic tables, and the holdout table (or None) beside them."""
    if X_train is None:
        X_train = X_real
    elif X_holdout is None:
        X_holdout = X_real
    if X_train is None or X_synth is None:
        raise ValueError(f"{metric} needs training rows (X_train or X_real) and X_synth.")
    given = {"X_train": X_train, "X_holdout": X_holdout, "X_synth": X_synth}
    tables = read_tables(
        {name: table for name, table in given.items() if table is not None},
        discrete_columns=discrete_columns,
    )
    check_values(tables["X_train"], "X_train")
    return tables["X_train"], tables.get("X_holdout"), tables["X_synth"]


def shared_space(first: MixedTable, second: MixedTable, space: str) -> MixedSpace:
    """One space for distances to two tables, which Gower ranges of each alone would bias."""
    if space != "gower":
        return MixedSpace(space=space)._fit_table(first)
    both = replace(
        first,
        continuous=np.vstack([first.continuous, second.continuous]),
        codes=np.vstack([first.codes, second.codes]),
    )
    return MixedSpace(space=space)._fit_table(both)


def common_space(train: MixedTable, space: str) -> MixedSpace | None:
    """Scales that do not depend on the rows searched; None in Gower space."""
    return None if space == "gower" else MixedSpace(space=space)._fit_table(train)


def nearest(
    queries: MixedTable,
    reference: MixedTable,
    space: str,
    fitted: MixedSpace | None = None,
    *,
    k: int = 1,
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from every query to its ``k`` nearest reference rows, and their numbers.

    Gower ranges are those of the reference.
    """
    if fitted is None:
        fitted = MixedSpace(space=space)._fit_table(reference)
    rows = fitted._transform_table(queries), fitted._transform_table(reference)
    return nearest_rows(*rows, k=k, exclude_self=exclude_self, distances=fitted._between)


def cap(table: Any, max_rows: int | None, rng: np.random.Generator, *, searched: bool) -> Any:
    """Cut a table to ``max_rows`` rows, or ten times as many where it is only searched."""
    limit = None if max_rows is None else max_rows * (_SEARCHED if searched else 1)
    return row_cap(table, limit, rng)
