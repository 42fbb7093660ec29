"""What a report knows of every column."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth_estimators.preprocessing._columns import MISSING, MixedTable

__all__ = ["collapsed_columns", "column_scores", "summarise_column"]

# A column collapses when it keeps less than this share of the distinct values, the spread or the
# effective number of categories of the training column.
_COLLAPSED = 0.2

# Training columns with fewer distinct values are judged by their categories.
_FEW_VALUES = 10

# A training column that varies this rarely may be constant in a sample by chance.
_CHANCE = 1e-4

_QUANTILES = (0.05, 0.95)


def _shares(values):
    """Shares of the distinct values, missing ones apart."""
    observed = values[~pd.isna(values)]
    if len(observed) == 0:
        return np.zeros(0)
    return np.unique(observed, return_counts=True)[1] / len(observed)


def _effective(shares):
    """Effective number of categories: the exponential of the entropy."""
    positive = shares[shares > 0]
    return float(np.exp(-(positive * np.log(positive)).sum())) if positive.size else 0.0


def _column(table: MixedTable, place: int):
    """Cells of one column: floats, or category codes with NaN where missing."""
    if not table.discrete[place]:
        return table.continuous[:, int((~table.discrete[:place]).sum())]
    k = int(table.discrete[:place].sum())
    codes, labels = table.codes[:, k].astype(np.float64), table.categories[k]
    if MISSING in labels:
        codes[codes == labels.index(MISSING)] = np.nan
    return codes


def _distinct(values, size):
    """Distinct values among ``size`` seeded ones."""
    if len(values) > size:
        values = np.random.default_rng(0).permutation(values)[:size]
    return len(np.unique(values))


def _collapse(train, synth, *, discrete):
    """Say how a column collapsed, or return an empty text."""
    real, fake = _shares(train), _shares(synth)
    if len(real) < 2 or (~np.isnan(train)).sum() == 0:
        return ""
    n = int((~np.isnan(synth)).sum())
    if n == 0:
        return "is empty"
    # Probability that n fresh cells all show the most frequent value.
    if len(fake) == 1:
        return "is constant" if real.max() ** n < _CHANCE else ""
    if n < _FEW_VALUES:
        return ""
    if discrete or len(real) < _FEW_VALUES:
        before, after = _effective(real) - 1, _effective(fake) - 1
        rare = 1 - real.max()
        if after < _COLLAPSED * before and rare * n >= _FEW_VALUES:
            return f"shows almost only one value ({fake.max():.0%} of the cells)"
        return ""
    observed, kept = train[~np.isnan(train)], synth[~np.isnan(synth)]
    size = min(len(kept), len(observed))
    distinct = [_distinct(values, size) for values in (observed, kept)]
    if distinct[1] < _COLLAPSED * distinct[0]:
        return f"has {distinct[1]} different values where {size} real rows have {distinct[0]}"
    # Columns that are mostly one value have quantiles that jump, so both spreads have to agree.
    if kept.std() < _COLLAPSED * observed.std():
        low, high = np.quantile(observed, _QUANTILES)
        width = np.diff(np.quantile(kept, _QUANTILES))[0]
        if width < _COLLAPSED * (high - low):
            return f"spreads over {width / (high - low):.0%} of the real range (5 % to 95 %)"
    return ""


def collapsed_columns(train: MixedTable, synth: MixedTable) -> dict:
    """Name the columns that lost nearly all of their variation, and how."""
    found = {}
    for place, name in enumerate(train.names):
        text = _collapse(
            _column(train, place), _column(synth, place), discrete=bool(train.discrete[place])
        )
        if text:
            found[name] = text
    return found


def _numbers(values):
    observed = values[~np.isnan(values)]
    if observed.size == 0:
        return dict.fromkeys(("mean", "sd", "min", "median", "max"), float("nan"))
    return {
        "mean": float(observed.mean()),
        "sd": float(observed.std(ddof=1)) if observed.size > 1 else 0.0,
        "min": float(observed.min()),
        "median": float(np.median(observed)),
        "max": float(observed.max()),
    }


def summarise_column(tables: dict[str, MixedTable], place: int) -> dict:
    """Numbers of one column in every table, side by side."""
    summary = {}
    for name, table in tables.items():
        values = _column(table, place)
        numbers = {"missing": float(np.isnan(values).mean()), "distinct": len(_shares(values))}
        if not table.discrete[place]:
            numbers |= _numbers(values)
        summary[name] = numbers
    return summary


def column_scores(value, limit, importance, auc) -> pd.DataFrame:
    """One row a column, the most suspicious first.

    Parameters
    ----------
    value, limit : DataFrame
        Details of ``column_shapes_score`` of the synthetic and of the training rows.

    importance : DataFrame or None
        Details of the two-sample test.

    auc : float
        Value of the two-sample test.

    Returns
    -------
    columns : DataFrame
        ``column``, ``kind``, ``score``, ``limit``, ``importance``, ``n_nonfinite``,
        ``suspicion``: what the column loses against real rows, or its part in what gives the rows
        away, whichever is larger.
    """
    frame = pd.DataFrame(
        {
            "column": value["column"],
            "kind": np.where(value["metric"] == "tv_complement", "discrete", "continuous"),
            "score": value["score"],
            "limit": limit["score"] if limit is not None else np.nan,
        }
    )
    frame["importance"] = np.nan
    frame["n_nonfinite"] = value["n_nonfinite"].to_numpy()
    weight = np.zeros(len(frame))
    if importance is not None and len(importance):
        shares = importance.set_index("column")["importance"]
        frame["importance"] = shares.reindex(frame["column"]).to_numpy()
        excess = max(0.0, 2 * auc - 1) if np.isfinite(auc) else 0.0
        weight = np.nan_to_num(frame["importance"].to_numpy()) * excess
    best = frame["limit"].fillna(1.0)
    loss = np.clip(np.nan_to_num((best - frame["score"]).to_numpy()), 0.0, None)
    frame["suspicion"] = np.maximum(loss, weight)
    return frame.sort_values("suspicion", ascending=False, kind="stable", ignore_index=True)
