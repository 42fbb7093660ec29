"""Figures of a report: small numbers first, inline SVG when the page is rendered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.preprocessing._columns import MISSING, MixedTable
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = [
    "bars_svg",
    "column_figures",
    "curves_svg",
    "distance_figure",
    "embedding_figure",
    "points_svg",
    "steps_svg",
]

_N_BINS = 30
_N_CATEGORIES = 10
_N_POINTS = 400
_N_STEPS = 60


def _continuous(table: MixedTable, place: int) -> np.ndarray:
    values = table.continuous[:, int((~table.discrete[:place]).sum())]
    return values[~np.isnan(values)]


def column_figures(real: MixedTable, synth: MixedTable, place: int) -> dict | None:
    """Shares of bins or categories of one column in both tables."""
    if real.discrete[place]:
        k = int(real.discrete[:place].sum())
        labels = real.categories[k]
        p = np.bincount(real.codes[:, k], minlength=len(labels)) / len(real)
        q = np.bincount(synth.codes[:, k], minlength=len(labels)) / len(synth)
        order = np.argsort(-np.maximum(p, q), kind="stable")
        shown = order[:_N_CATEGORIES]
        rest = order[_N_CATEGORIES:]
        labels = ["missing" if label == MISSING else label for label in labels]
        names, p_shown, q_shown = [labels[j] for j in shown], p[shown].tolist(), q[shown].tolist()
        if rest.size:
            names.append(f"{rest.size} more")
            p_shown.append(float(p[rest].sum()))
            q_shown.append(float(q[rest].sum()))
        return {"kind": "categories", "labels": names, "real": p_shown, "synth": q_shown}
    a, b = _continuous(real, place), _continuous(synth, place)
    if a.size == 0 or b.size == 0:
        return None
    low, high = np.quantile(np.concatenate([a, b]), [0.005, 0.995])
    values = np.unique(a)
    if values.size <= _N_BINS:
        low, high = min(low, values[0]), max(high, values[-1])
    if high <= low:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, _N_BINS + 1)
    # Cells beyond the ends are counted in the outer bins.
    p = np.histogram(np.clip(a, low, high), edges)[0] / a.size
    q = np.histogram(np.clip(b, low, high), edges)[0] / b.size
    return {
        "kind": "histogram",
        "low": float(low),
        "high": float(high),
        "real": p.tolist(),
        "synth": q.tolist(),
    }


def distance_figure(details: pd.DataFrame | None) -> dict | None:
    """Distribution functions of the distances to the nearest training and held-out row."""
    if details is None or not {"distance_train", "distance_holdout"} <= set(details.columns):
        return None
    train, holdout = (
        details[name].to_numpy(dtype=float) for name in ("distance_train", "distance_holdout")
    )
    high = float(np.quantile(np.concatenate([train, holdout]), 0.99))
    if not np.isfinite(high) or high <= 0:
        high = 1.0
    grid = np.linspace(0.0, high, _N_STEPS)
    return {
        "high": high,
        "train": [float((train <= x).mean()) for x in grid],
        "holdout": [float((holdout <= x).mean()) for x in grid],
    }


def embedding_figure(real: MixedTable, synth: MixedTable, *, seed: int) -> dict | None:
    """Draw rows of both tables on the first two principal components of the real one."""
    if len(real) < 3 or len(real.names) < 2:
        return None
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(seed)
    parts = [table.take(rng.permutation(len(table))[: 4 * _N_POINTS]) for table in (real, synth)]
    space = MixedSpace()._fit_table(parts[0])
    rows = [space._transform_table(part) for part in parts]
    if min(rows[0].shape) < 2:
        return None
    pca = PCA(2, random_state=seed).fit(rows[0])
    points = [pca.transform(part)[:_N_POINTS] for part in rows]
    low, high = np.quantile(points[0], [0.005, 0.995], axis=0)
    margin = 0.15 * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    scaled = [np.clip((part - low) / (high - low), 0.0, 1.0).round(4) for part in points]
    return {
        "real": scaled[0].tolist(),
        "synth": scaled[1].tolist(),
        "explained": float(pca.explained_variance_ratio_.sum()),
    }


def _number(value: float) -> str:
    """Short decimal form of a coordinate."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def steps_svg(figure: dict[str, Any], title: str) -> dict[str, Any]:
    """Paths of two histograms drawn over each other, in a box of 320 by 110."""
    width, height = 320.0, 110.0
    top = max([*figure["real"], *figure["synth"], 1e-9])
    step = width / len(figure["real"])

    def path(shares, closed):
        points = []
        for j, share in enumerate(shares):
            y = height - height * share / top
            points += [
                f"{_number(j * step)},{_number(y)}",
                f"{_number((j + 1) * step)},{_number(y)}",
            ]
        if closed:
            points = [f"0,{_number(height)}", *points, f"{_number(width)},{_number(height)}"]
        return "M" + "L".join(points)

    return {
        "title": title,
        "real": path(figure["real"], True) + "Z",
        "synth": path(figure["synth"], False),
        "low": f"{figure['low']:.4g}",
        "high": f"{figure['high']:.4g}",
    }


def bars_svg(figure: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of bars in per cent of the largest share."""
    top = max([*figure["real"], *figure["synth"], 1e-9])
    return [
        {
            "label": label,
            "real": p,
            "synth": q,
            "real_width": round(100 * p / top, 1),
            "synth_width": round(100 * q / top, 1),
        }
        for label, p, q in zip(figure["labels"], figure["real"], figure["synth"], strict=True)
    ]


def curves_svg(figure: dict[str, Any]) -> dict[str, str]:
    """Paths of two distribution functions in a box of 320 by 160."""
    width, height = 320.0, 160.0

    def path(shares):
        step = width / (len(shares) - 1)
        points = [f"{_number(j * step)},{_number(height * (1 - s))}" for j, s in enumerate(shares)]
        return "M" + "L".join(points)

    return {
        "train": path(figure["train"]),
        "holdout": path(figure["holdout"]),
        "high": f"{figure['high']:.3g}",
    }


def points_svg(figure: dict[str, Any]) -> dict[str, str]:
    """Dots of two clouds as one path each, in a box of 320 by 240."""
    width, height = 320.0, 240.0

    def path(points):
        return "".join(f"M{_number(width * x)},{_number(height * (1 - y))}h0" for x, y in points)

    return {"real": path(figure["real"]), "synth": path(figure["synth"])}
