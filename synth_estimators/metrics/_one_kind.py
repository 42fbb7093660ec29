"""Reading and averaging for metrics that compare one column at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.metrics._fidelity import _column_pair
from synth_estimators.metrics._tables import mean_or_undefined, read_pair, result
from synth_estimators.preprocessing._columns import MISSING, MixedTable, is_discrete_dtype

__all__ = ["column_means", "continuous_scores", "missing_shares", "read_kind"]


def read_kind(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any,
    kind: str | None = None,
    sample_weight: Any = None,
) -> tuple[MixedTable, MixedTable]:
    """Read two tables; a column on its own is of the kind that the metric is made for.

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column or tables with the same columns.

    discrete_columns : "auto", list of column names or boolean mask
        For tables. "auto" with a table of one column takes it as ``kind``, unless it is text and
        ``kind`` is "continuous".

    kind : {"continuous", "discrete"} or None
        None takes a single column as its type says.

    sample_weight : array-like or None
        Weights of the real rows.
    """
    flat = np.ndim(X_real) == 1 or np.ndim(X_synth) == 1
    single = flat or (np.ndim(X_real) == 2 and np.shape(X_real)[1] == 1)
    automatic = isinstance(discrete_columns, str) and discrete_columns == "auto"
    if single and (flat or automatic):
        discrete = kind == "discrete"
        if kind is None or (kind == "continuous" and not flat):
            discrete = _is_text(X_real)
        return _column_pair(X_real, X_synth, discrete, sample_weight)
    return read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )


def _is_text(column):
    column = column.iloc[:, 0] if isinstance(column, pd.DataFrame) else column
    if not isinstance(column, pd.Series):
        column = pd.Series(np.asarray(column).ravel()).infer_objects()
    return bool(is_discrete_dtype(column.dtype))


def continuous_scores(
    real: MixedTable,
    synth: MixedTable,
    score: Callable[..., float],
    *,
    one_empty: float = 0.0,
) -> np.ndarray:
    """Score every continuous column from the cells that are there.

    Parameters
    ----------
    real, synth : MixedTable
        Tables read together.

    score : callable
        Called with the real cells, the synthetic cells, the weights of the real cells (or None)
        and the number of the column.

    one_empty : float, default=0.0
        Score of a column that is entirely missing in one of the tables; NaN if it is in both.
    """
    scores = np.empty(real.continuous.shape[1])
    for j in range(len(scores)):
        a, b = real.continuous[:, j], synth.continuous[:, j]
        observed, there = ~np.isnan(a), ~np.isnan(b)
        if not observed.any() or not there.any():
            scores[j] = one_empty if observed.any() or there.any() else np.nan
            continue
        weight = None if real.weight is None else real.weight[observed]
        scores[j] = score(a[observed], b[there], weight, j)
    return scores


def missing_shares(table: MixedTable) -> np.ndarray:
    """Share of missing cells of every column."""
    shares = np.zeros(len(table.names))
    weight = np.ones(len(table)) if table.weight is None else table.weight
    shares[~table.discrete] = weight @ np.isnan(table.continuous) / weight.sum()
    for place, codes, labels in zip(
        np.flatnonzero(table.discrete), table.codes.T, table.categories, strict=True
    ):
        if MISSING in labels:
            shares[place] = weight @ (codes == labels.index(MISSING)) / weight.sum()
    return shares


def column_means(
    metric: str,
    real: MixedTable,
    synth: MixedTable,
    scores: np.ndarray,
    chosen: np.ndarray,
    breakdown: bool,
) -> Any:
    """Mean of the scores of the chosen columns, with one row for each in the details."""

    def details():
        names = [name for name, flag in zip(real.names, chosen, strict=True) if flag]
        return pd.DataFrame(
            {"column": names, "score": scores, "n_nonfinite": synth.n_nonfinite[chosen]}
        )

    return result(mean_or_undefined(scores, metric), breakdown, details)
