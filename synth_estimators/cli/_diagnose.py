"""The task diagnose of the verb batch: how far the numbers of a table depend on the batch."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth_estimators.cli._batch import check_outputs, columns_of, numeric_features
from synth_estimators.cli._io import CliError, read_table, write_figure, write_text

if TYPE_CHECKING:
    import pandas as pd

_WANTED = {True: "higher", False: "lower", None: "-"}
_HEADINGS = {
    None: "batches: mixed",
    "label": "classes: kept apart",
    "before": "rows: neighbours and distances kept",
}


def run_diagnose(arguments: argparse.Namespace) -> int:
    """Measure batch effects, before and after a correction where both tables are there."""
    from synth_estimators.batch_effects import batch_metrics

    outputs = {"figure": (".png",), "json": (".json",)}
    check_outputs(arguments, outputs, ["data", "before"])
    if arguments.figure is not None and arguments.before is None:
        raise CliError("--figure shows a table before and after a correction; pass --before too.")
    frame = read_table(arguments.data, option="--data")
    batch, label = _labels(frame, arguments)
    values = {"data": _features(frame, arguments, option="--data")}
    if arguments.before is not None:
        earlier = read_table(arguments.before, option="--before")
        if len(earlier) != len(frame):
            raise CliError(
                f"--before {arguments.before} has {len(earlier)} rows, --data {len(frame)}; "
                "expected the same rows before and after."
            )
        values["before"] = _features(earlier, arguments, option="--before")
    words = {"label": label, "n_pcs": arguments.n_pcs, "random_state": arguments.seed}
    found = {
        name: batch_metrics(
            table, batch, before=values.get("before") if name == "data" else None, **words
        )
        for name, table in values.items()
    }
    print(_head(frame, values["data"], arguments) + "\n")
    print(_table(found))
    print("\n" + _reading(found, batch, label))
    if arguments.json is not None:
        _write_json(arguments, found)
    if arguments.figure is not None:
        _draw(arguments, values, batch, label)
    return 0


def _labels(frame, arguments):
    """Return the columns of batches and classes."""
    source = arguments.data
    named = columns_of(frame, arguments.batch, option="--batch", source=source)
    classes = columns_of(frame, arguments.label, option="--label", source=source)
    for option, columns in (("--batch", named), ("--label", classes)):
        if len(columns) > 1:
            raise CliError(f"{option} takes one column, got {len(columns)}.")
    if named == classes:
        raise CliError(f"column {named[0]!r} is named twice; --batch and --label must differ.")
    for name in [*named, *classes]:
        if frame[name].isna().any():
            n_empty = int(frame[name].isna().sum())
            raise CliError(f"column {name!r} is empty in {n_empty} rows; fill or remove these.")
    return frame[named[0]], frame[classes[0]] if classes else None


def _features(frame: pd.DataFrame, arguments: argparse.Namespace, *, option: str) -> pd.DataFrame:
    """Return the numeric columns, on the scale that was asked for."""
    import numpy as np

    path: Path = getattr(arguments, option.lstrip("-"))
    kept = [
        name
        for text in arguments.keep
        for name in columns_of(frame, text, option="--keep", source=path)
    ]
    names = numeric_features(frame, [arguments.batch, arguments.label, *kept], purpose="measure")
    table = frame[names]
    empty = table.isna().to_numpy().any(axis=0)
    if empty.any():
        raise CliError(
            f"{option} {path}: column {names[int(empty.argmax())]!r} has empty cells; fill them "
            "or leave such columns out with --keep."
        )
    if not arguments.log2:
        return table
    negative = (table.to_numpy() < 0).any(axis=0)
    if negative.any():
        raise CliError(
            f"{option} {path}: column {names[int(negative.argmax())]!r} holds negative values, so "
            "--log2 cannot be taken; leave it out if the table is logarithmic already."
        )
    return np.log2(table + 1.0)


def _head(frame, table, arguments):
    n_batches = frame[arguments.batch].nunique()
    classes = ""
    if arguments.label is not None:
        classes = f", {frame[arguments.label].nunique()} classes in {arguments.label!r}"
    return (
        f"{len(frame)} rows x {table.shape[1]} columns, {n_batches} batches in "
        f"{arguments.batch!r}{classes}"
    )


def _table(found: dict[str, dict[str, float]]) -> str:
    """Lay out a line a metric, with the way that is wanted."""
    from synth_estimators.batch_effects import BATCH_METRICS

    both = "before" in found
    lines = [["", *(["before", "after"] if both else ["value"]), "wanted"]]
    for needs, heading in _HEADINGS.items():
        rows = [
            [f"  {info.title}", *_cells(found, key, both=both), _WANTED[info.greater_is_better]]
            for key, info in BATCH_METRICS.items()
            if info.needs == needs and key in found["data"]
        ]
        if rows:
            lines += [[heading, *[""] * (len(lines[0]) - 1)], *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            [line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:-1]), line[-1]]
        ).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]])


def _cells(found, key, *, both):
    values = [found["before"].get(key)] if both else []
    return [_number(value) for value in [*values, found["data"][key]]]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if math.isnan(value):
        return "n/a"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def _reading(found, batch, label) -> str:
    """Say in a sentence or two what the numbers amount to."""
    import textwrap

    chance = (batch.nunique() - 1) / (len(batch) - 1)
    parts = {"before": found.get("before"), "after" if "before" in found else "": found["data"]}

    def told(key):
        return " and ".join(
            f"{metrics[key]:.0%} {name}".rstrip() for name, metrics in parts.items() if metrics
        )

    text = (
        f"Share of the variance that lies between batches: {told('batch_variance_fraction')}; "
        f"labels given by chance would have {chance:.0%}. Neighbourhoods whose batches differ from "
        f"the whole table's: {told('kbet_rejection')}; by chance "
        f"{found['data']['kbet_rejection_permuted']:.0%}."
    )
    if label is not None:
        from scipy.stats.contingency import association, crosstab

        strength = association(crosstab(batch.astype(str), label.astype(str)).count)
        text += (
            f" Batches and classes go together with Cramer's V {strength:.2f} (0: independent, 1: "
            "the same split)."
        )
        if strength > 0.5:
            text += " Much of what looks like a batch effect may be the classes, and vice versa."
    return textwrap.fill(text, 100)


def _write_json(arguments, found):
    content: dict[str, Any] = {
        "files": {"data": str(arguments.data)},
        "batch": arguments.batch,
        "label": arguments.label,
    }
    if arguments.before is not None:
        content["files"]["before"] = str(arguments.before)
    for name, metrics in found.items():
        content[name] = {
            key: None if math.isnan(value) else float(value) for key, value in metrics.items()
        }
    write_text(json.dumps(content, indent=2) + "\n", arguments.json, force=arguments.force)
    print(f"Numbers written to {arguments.json}.")


def _draw(arguments, values, batch, label):
    from synth_estimators.inspection import BatchEffectDisplay

    display = BatchEffectDisplay.from_data(
        before=values["before"],
        after=values["data"],
        batch=batch,
        label=label,
        n_pcs=arguments.n_pcs,
        random_state=arguments.seed,
    )
    write_figure(display.figure_, arguments.figure, force=arguments.force)
    print(f"Figure written to {arguments.figure}.")
