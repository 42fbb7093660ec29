"""What displays of whole tables share: panels, the columns that fit, their order and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from synth_estimators.inspection._marginals import _listed, _shortened
from synth_estimators.preprocessing._columns import is_discrete_dtype

__all__ = ["clustered", "label_columns", "make_panels", "shown_columns"]

# More labels than this overlap.
_MAX_LABELS = 40


def shown_columns(real: pd.DataFrame, columns: Any, limit: int) -> list:
    """Return the columns asked for, or up to ``limit``: categories, then the largest variances."""
    if columns is not None:
        return _listed(columns, real.columns, parameter="columns")
    if real.shape[1] <= limit:
        return list(real.columns)
    numeric = np.array([_is_number(dtype) for dtype in real.dtypes], dtype=bool)
    spread = np.full(real.shape[1], np.inf)
    values = real.loc[:, numeric].to_numpy(dtype=np.float64, na_value=np.nan)
    observed = ~np.isnan(values)
    count = np.maximum(observed.sum(axis=0), 1)
    filled = np.where(observed, values, 0.0)
    mean = filled.sum(axis=0) / count
    spread[numeric] = (np.where(observed, filled - mean, 0.0) ** 2).sum(axis=0) / count
    chosen = np.sort(np.argsort(-spread, kind="stable")[:limit])
    return [real.columns[j] for j in chosen]


def _is_number(dtype):
    return pd.api.types.is_numeric_dtype(dtype) and not is_discrete_dtype(dtype)


def clustered(rows: np.ndarray) -> np.ndarray:
    """Return an order of the rows in which similar ones are neighbours (average linkage)."""
    if len(rows) < 3:
        return np.arange(len(rows))
    return leaves_list(linkage(rows, method="average", optimal_ordering=True))


def make_panels(
    plt: Any, ax: Any, n_panels: int, *, size: tuple[float, float], gap: float = 0.15
) -> np.ndarray:
    """Return axes side by side: new ones, the given ones, or a given one divided."""
    if ax is None:
        _, axes = plt.subplots(1, n_panels, figsize=size, squeeze=False, layout="constrained")
        return axes[0]
    if isinstance(ax, np.ndarray | list | tuple):
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) != n_panels:
            raise ValueError(f"ax holds {len(axes)} axes, but {n_panels} panels are shown.")
        return axes
    ax.set_axis_off()
    grid = ax.get_subplotspec().subgridspec(1, n_panels, wspace=gap)
    panels = [ax.figure.add_subplot(grid[0, j]) for j in range(n_panels)]
    return np.array(panels, dtype=object)


def label_columns(axis: Any, names: list, *, vertical: bool = False) -> None:
    """Write the names of the columns along an axis, or none if there are too many."""
    if len(names) > _MAX_LABELS:
        axis.set_ticks([])
        return
    labels = [_shortened(str(name), 18) for name in names]
    crowded = len(names) > 4 or sum(map(len, labels)) > 30
    rotation = 90 if not vertical and crowded else 0
    axis.set_ticks(np.arange(len(names)), labels, rotation=rotation, fontsize="x-small")
