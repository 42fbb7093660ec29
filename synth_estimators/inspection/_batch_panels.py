"""Panels of the display of batch effects."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth_estimators._optional import require
from synth_estimators._random import draw_seed
from synth_estimators.batch_effects._batch_rows import principal_axes
from synth_estimators.inspection._common import MARK_COLOR, MARKERS, merged
from synth_estimators.inspection._marginals import _shortened

__all__ = ["embed", "legend", "make_grid", "number", "scatter", "verdict"]

# The palette of Okabe and Ito without its yellow, which is lost on white.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
_WORSE_COLOR = "#D55E00"
_MAX_LEGEND = 12


def embed(rows, method, random_state):
    """Two coordinates of the rows, and the names of the axes."""
    rows = rows - rows.mean(axis=0)
    if method == "pca":
        scores, squares = principal_axes(rows)
        shares = [f"{share:.0%}" for share in squares[:2] / squares.sum()] + ["0%"]
        if scores.shape[1] < 2:
            scores = np.column_stack([scores, np.zeros(len(rows))])
        return scores[:, :2], [f"PC{k + 1} ({shares[k]} of the variance)" for k in range(2)]
    umap = require("umap", extra="plot", purpose="BatchEffectDisplay with method='umap'")
    model = umap.UMAP(
        n_neighbors=min(15, len(rows) - 1), random_state=draw_seed(random_state), n_jobs=1
    )
    return model.fit_transform(rows), ["UMAP 1", "UMAP 2"]


def _sorted(labels):
    found = pd.unique(np.asarray(labels)).tolist()
    try:
        return sorted(found)
    except TypeError:
        return sorted(found, key=str)


def scatter(axes, Z, labels, scatter_kw):
    size = float(np.clip(4000 / max(1, len(Z)), 6, 28))
    labels = np.asarray(labels)
    for k, label in enumerate(_sorted(labels)):
        look = {
            "color": _COLORS[k % len(_COLORS)],
            "marker": MARKERS[k % len(MARKERS)],
            "s": size,
            "alpha": 0.75,
            "linewidths": 0,
            "label": _shortened(str(label), 18),
        }
        part = Z[labels == label]
        axes.scatter(part[:, 0], part[:, 1], **merged(look, scatter_kw))


def legend(axes, title):
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > _MAX_LEGEND:
        title = f"{title} ({len(handles)})"
        handles, labels = handles[:_MAX_LEGEND], [*labels[: _MAX_LEGEND - 1], "..."]
    axes.legend(
        handles,
        labels,
        title=title,
        fontsize="x-small",
        title_fontsize="x-small",
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
    )


def verdict(greater_is_better, before, after):
    """Arrow of the wanted direction, mark and colour of what has happened."""
    arrow = {True: "↑", False: "↓", None: ""}[greater_is_better]
    if greater_is_better is None or np.isnan(before) or np.isnan(after):
        return arrow, "", "black"
    if np.isclose(before, after, rtol=1e-6, atol=1e-9):
        return arrow, "=", "black"
    if (after > before) == greater_is_better:
        return arrow, "✓", MARK_COLOR
    return arrow, "✗", _WORSE_COLOR


def number(value):
    if np.isnan(value):
        return "–"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else "<0.001"


def make_grid(plt, ax, n_columns):
    """Axes in two rows, ordered as ``axes_`` is: embeddings row by row, then the last column."""
    n_panels = 2 * n_columns
    if isinstance(ax, np.ndarray | list | tuple):
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) != n_panels:
            raise ValueError(f"ax holds {len(axes)} axes, but {n_panels} panels are shown.")
        return axes
    if ax is None:
        widths = [1.0, 1.0, 1.15][:n_columns]
        _, grid = plt.subplots(
            2,
            n_columns,
            figsize=(4.3 * n_columns + 0.4, 7.2),
            layout="constrained",
            gridspec_kw={"width_ratios": widths},
        )
    else:
        ax.set_axis_off()
        spec = ax.get_subplotspec().subgridspec(2, n_columns, wspace=0.6, hspace=0.4)
        grid = np.array(
            [[ax.figure.add_subplot(spec[i, j]) for j in range(n_columns)] for i in range(2)],
            dtype=object,
        )
    if n_columns == 2:
        return grid.ravel()
    return np.array([*grid[:, :2].ravel(), *grid[:, 2]], dtype=object)
