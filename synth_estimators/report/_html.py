"""The page of a report: jinja2 templates filled with plain numbers and words."""

from __future__ import annotations

import html
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._optional import require
from synth_estimators.metrics import METRICS
from synth_estimators.report._definitions import SECTIONS, define
from synth_estimators.report._figures import bars_svg, curves_svg, points_svg, steps_svg
from synth_estimators.report._judgement import LIGHTS

__all__ = ["render_fragment", "render_page"]

# Columns listed in the compact table below those with a section of their own.
_N_LISTED = 200

# Smaller numbers are what rounding leaves of 0.
_ROUNDING = 1e-12

_SHOWN_NUMBERS = ("missing", "distinct", "mean", "sd", "min", "median", "max")


def _number(value: Any, digits: int = 3) -> str:
    """Show a number in a cell of a table."""
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return "–"
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}"
    value = float(value)
    if abs(value) < _ROUNDING:
        return "0"
    if abs(value) >= 1e6:
        return f"{value:.2e}"
    if abs(value) < 10.0**-digits:
        return f"{value:.1g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _environment():
    jinja2 = require("jinja2", extra="report", purpose="The page of a report")
    folder = resources.files("synth_estimators.report") / "templates"

    def load(name):
        path = folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else None

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": _number, "percent": _percent}
    return environment


def _metric_rows(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Rows of the table of metrics by section."""
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS}
    for name, row in table.iterrows():
        definition = define(name)
        info = METRICS.get(name)
        sections[definition.section].append(
            {
                "name": name,
                "title": definition.title,
                "text": definition.text,
                "blind": info is not None
                and not info.sees_dependence
                and definition.section not in ("privacy", "use"),
                "sign": LIGHTS[row["light"]][0],
                **row.to_dict(),
            }
        )
    return {name: rows for name, rows in sections.items() if rows}


def _column_sections(report) -> list[dict[str, Any]]:
    """What is shown of the most suspicious columns."""
    scores = report.columns.set_index("column")
    sections = []
    for part in report._figures.get("sections", []):
        row, figure = scores.loc[part["column"]], part["figure"]
        drawn = None
        if figure is not None and figure["kind"] == "histogram":
            drawn = {"kind": "histogram", **steps_svg(figure, str(part["column"]))}
        elif figure is not None:
            drawn = {"kind": "categories", "bars": bars_svg(figure)}
        tables = part["numbers"]
        shown = [
            key for key in _SHOWN_NUMBERS if any(key in numbers for numbers in tables.values())
        ]
        sections.append(
            {
                "column": str(part["column"]),
                "kind": row["kind"],
                "score": row["score"],
                "limit": row["limit"],
                "importance": row["importance"],
                "collapsed": row["collapsed"],
                "n_nonfinite": int(row["n_nonfinite"]),
                "light": _column_light(row),
                "sign": LIGHTS[_column_light(row)][0],
                "reading": _column_reading(row),
                "figure": drawn,
                "tables": list(tables),
                "numbers": [
                    {
                        "name": key,
                        "cells": [
                            _percent(numbers[key])
                            if key == "missing"
                            else _number(numbers.get(key))
                            for numbers in tables.values()
                        ],
                    }
                    for key in shown
                ],
            }
        )
    return sections


def _column_light(row) -> str:
    if row["collapsed"]:
        return "poor"
    if np.isnan(row["score"]):
        return "none"
    loss = (1.0 if np.isnan(row["limit"]) else row["limit"]) - row["score"]
    if row["suspicion"] >= 0.25 or loss >= 0.15:
        return "poor"
    return "fair" if row["suspicion"] >= 0.08 or loss >= 0.05 else "good"


def _column_reading(row) -> str:
    if row["collapsed"]:
        return "collapsed"
    light = _column_light(row)
    loss = np.nan_to_num(row["limit"], nan=1.0) - row["score"]
    if light in ("fair", "poor") and loss < 0.05:
        return "gives rows away"
    return LIGHTS[light][1]


def _context(report) -> dict[str, Any]:
    sections = _column_sections(report)
    n_columns = len(report.columns)
    listed = report.columns.iloc[len(sections) : len(sections) + _N_LISTED]
    embedding, distances = (report._figures.get(name) for name in ("embedding", "distances"))
    return {
        "report": report,
        "questions": SECTIONS,
        "metrics": _metric_rows(report.table),
        "sections": sections,
        "listed": listed.to_dict("records"),
        "n_columns": n_columns,
        "n_hidden": n_columns - len(sections) - len(listed),
        "pairs": report.pairs.to_dict("records"),
        "pair_correlations": bool(
            report.pairs.get("correlation_real", pd.Series(dtype=float)).head(10).notna().any()
        ),
        "importances": report.importances.head(10).to_dict("records"),
        "embedding": None if embedding is None else points_svg(embedding),
        "explained": None if embedding is None else embedding["explained"],
        "distances": None if distances is None else curves_svg(distances),
        "left_out": report.settings.get("left_out", {}),
        "messages": report.settings.get("messages", []),
        "has_holdout": report.settings.get("holdout", True),
    }


def render_page(report: Any) -> str:
    """Render the whole document."""
    return _environment().get_template("page.html.j2").render(**_context(report))


def render_fragment(report: Any) -> str:
    """Render verdict and table for a notebook; without jinja2 the plain table."""
    try:
        environment = _environment()
    except ImportError:
        findings = "".join(f"<li>{html.escape(finding.text)}</li>" for finding in report.warnings)
        head = f"<p><b>{html.escape(report.verdict)}</b></p><ul>{findings}</ul>"
        return head + report.table[["value", "limit", "floor", "calibrated", "reading"]].to_html()
    return environment.get_template("fragment.html.j2").render(**_context(report))
