"""Order in which the columns of a table are drawn one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["column_position", "order_columns"]


def column_position(labels: Sequence[Any], label: Any, parameter: str) -> int:
    """Index of a column that a parameter names, or an error that lists the columns."""
    try:
        return list(labels).index(label)
    except ValueError:
        raise ValueError(
            f"{parameter} names {label!r}, which is not a column of X; its columns are "
            f"{list(labels)}."
        ) from None


def order_columns(
    labels: Sequence[Any],
    n_values: Sequence[int],
    *,
    column_order: Any = "given",
    target: int | None = None,
    target_first: bool = True,
    first: Sequence[Any] = (),
) -> list[int]:
    """Indices of the columns in the order they are drawn.

    Parameters
    ----------
    labels : sequence
        Labels of the columns.

    n_values : sequence of int
        Distinct values of every column.

    column_order : {"given", "cardinality"} or list of column names, default="given"
        "given" is the order of the table; "cardinality" sorts by the number of distinct values. A
        list names the columns that come first.

    target : int or None, default=None
        Column that comes first or last whatever ``column_order`` is, unless a list names it.

    target_first : bool, default=True
        Where the target comes.

    first : sequence, default=()
        Labels of columns before all others.

    Returns
    -------
    order : list of int

    Raises
    ------
    ValueError
        For names that are not columns, and for names given twice.

    Examples
    --------
    >>> order_columns(["a", "b", "c"], [9, 5, 2], column_order="cardinality", target=1)
    [1, 2, 0]
    """
    order = list(range(len(labels)))
    named = [("condition_columns", label) for label in first]
    if not isinstance(column_order, str):
        listed = [("column_order", label) for label in column_order]
        if len({label for _, label in listed}) < len(listed):
            raise ValueError(f"column_order names a column twice: {list(column_order)}.")
        named += [item for item in listed if item[1] not in list(first)]
    elif column_order == "cardinality":
        order.sort(key=lambda j: n_values[j])
    if target is not None:
        order.remove(target)
        order.insert(0 if target_first else len(order), target)
    positions = [column_position(labels, label, parameter) for parameter, label in named]
    if len(set(positions)) < len(positions):
        raise ValueError(f"condition_columns names a column twice: {list(first)}.")
    return positions + [j for j in order if j not in positions]
