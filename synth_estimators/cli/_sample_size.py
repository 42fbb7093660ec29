"""The verb sample-size: learning curves of a pilot table, and the samples a goal needs."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from synth_estimators.cli._commands import _check_features, check_target, drop_missing
from synth_estimators.cli._io import (
    TABLE_SUFFIXES,
    CliError,
    check_output,
    check_suffix,
    known_names,
    note,
    read_table,
    split_target,
    write_figure,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

METHODS = {
    "LOGIS": "logistic regression",
    "SVM": "support vector machine",
    "KNN": "nearest neighbours",
    "RF": "random forest",
    "XGB": "boosted trees",
}
METRICS = {"auc": "AUC", "f1": "macro F1", "accuracy": "accuracy"}
_SCORES = {"auc": "auc", "f1": "f1_score", "accuracy": "accuracy"}
_N_SIZES = 8
# Rows of the rarest class in the smallest subset: five-fold splits inside five-fold splits.
_LEAST_OF_CLASS = 7
# Larger numbers of samples say only that a curve is flat.
_MOST = 1_000_000


def run_sample_size(arguments: argparse.Namespace) -> int:
    """Draw subsets of a pilot, score classifiers on them, and read the curves."""
    outputs = ((arguments.output, TABLE_SUFFIXES, "--output"), (arguments.figure, (".png",), ""))
    for path, suffixes, option in outputs:
        if path is not None:
            check_suffix(path, suffixes, option=option or "--figure")
            check_output(path, force=arguments.force, inputs=[arguments.data])
    X, y = _read(arguments)
    methods = _methods(arguments.method)
    goal = arguments.goal
    if goal is not None and not 0 < goal < 1:
        raise CliError(
            f"--goal {goal:g} must lie between 0 and 1: it is a value of {_name(arguments)}."
        )
    table = _evaluate(arguments, X, y, methods)
    score = _SCORES[arguments.metric]
    curves = _curves(table, methods, score, arguments)
    print(_format(table, curves, score, arguments))
    print()
    print(_conclusion(table, curves, score, arguments))
    if arguments.output is not None:
        write_table(table, arguments.output, force=arguments.force)
    if arguments.figure is not None:
        write_figure(_figure(table, curves, score, goal), arguments.figure, force=arguments.force)
    return 0


def _name(arguments):
    return METRICS[arguments.metric]


def _read(arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.Series]:
    frame = read_table(arguments.data, option="--data")
    for name in arguments.drop:
        if name not in frame.columns:
            raise CliError(f"--drop: no column {name!r}; {known_names(frame.columns, name)}")
    frame = frame.drop(columns=arguments.drop)
    if arguments.drop_missing:
        frame = drop_missing(frame)
    X, y = split_target(frame, arguments.target, source=f"--data {arguments.data}")
    y = check_target(y)
    _check_features(X, way_out="encode it as numbers first")
    return X, y


def _methods(wanted: list[str]) -> list[str]:
    chosen = [name.upper() for name in wanted] or list(METHODS)
    for name in chosen:
        if name not in METHODS:
            raise CliError(f"--method: no classifier {name!r}; {known_names(METHODS, name)}")
    return list(dict.fromkeys(chosen))


def _sizes(text: str | None, y: pd.Series) -> list[int]:
    """Read the sizes, or spread eight evenly on a log scale."""
    import numpy as np

    n_rows = len(y)
    if text is not None:
        try:
            return [int(part) for part in text.split(",")]
        except ValueError:
            raise CliError(
                f"--sizes {text!r} must be whole numbers with commas between, such as 40,80,160."
            ) from None
    rarest = y.value_counts()
    least = math.ceil(_LEAST_OF_CLASS * n_rows / rarest.iloc[-1])
    if least * 2 > n_rows:
        raise CliError(
            f"class {rarest.index[-1]!r} has {rarest.iloc[-1]} of {n_rows} rows; a curve needs "
            f"subsets with at least {_LEAST_OF_CLASS} rows of every class, up to half of the "
            "table. Join classes, or collect more rows."
        )
    return sorted({round(size) for size in np.geomspace(least, n_rows, _N_SIZES)})


def _evaluate(arguments, X, y, methods) -> pd.DataFrame:
    from synth_estimators.model_selection import evaluate_sample_sizes

    sizes = _sizes(arguments.sizes, y)
    note(
        f"{len(sizes)} sizes from {min(sizes)} to {max(sizes)} x {arguments.draws} draws x "
        f"{len(methods)} classifiers, 5-fold cross-validation each."
    )
    return evaluate_sample_sizes(
        X,
        y,
        sample_sizes=sizes,
        methods=methods,
        n_draws=arguments.draws,
        apply_log=arguments.log2,
        n_jobs=arguments.jobs,
        random_state=arguments.seed,
    )


def _curves(table, methods, score, arguments) -> dict[str, Any]:
    from synth_estimators.model_selection import InversePowerLaw, fit_curve

    return {
        method: fit_curve(
            table[table["method"] == method],
            score=score,
            curve=InversePowerLaw(lower=0.0, upper=1.0),
            random_state=arguments.seed,
        )
        for method in methods
    }


def _interval(low: float, high: float, least: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "unknown"
    if math.isinf(low):
        return "-"
    if math.isinf(high):
        return _count(low, least) if low > _MOST else f"{_count(low, least)} or more"
    if low > _MOST:
        return _count(low, least)
    if high < least:
        return _count(high, least)
    return f"{_count(low, least)} to {_count(high, least)}"


def _count(n: float, least: float) -> str:
    """Samples as text; below the sizes that were observed a curve says nothing."""
    if math.isinf(n):
        return "not reachable"
    if n > _MOST:
        return f"over {_MOST:,}"
    return f"under {round(least)}" if n < least else f"{math.ceil(n - 1e-9):,}"


def _format(table, curves, score, arguments) -> str:
    """Lay out a line a classifier: score reached, ceiling of the curve, samples needed."""
    least, largest = table["n_train"].min(), table["n_train"].max()
    header = ["classifier", f"{_name(arguments)} at {round(largest)}", "sd", "ceiling"]
    if arguments.goal is not None:
        header += [f"samples for {arguments.goal:g}", "95 % interval", "reached by"]
    lines = [header]
    for method, curve in curves.items():
        last = table[(table["method"] == method) & (table["n_train"] == largest)][score]
        spread = f"{last.std():.3f}" if last.count() > 1 else "-"
        line = [METHODS[method], f"{last.mean():.3f}", spread]
        line.append(f"{_ceiling(curve):.3f}")
        if arguments.goal is not None:
            need = curve.required_n(arguments.goal)
            line += [
                _count(need.n, least),
                _interval(need.low, need.high, least),
                "unknown" if math.isnan(need.p_reachable) else f"{need.p_reachable:.0%} of curves",
            ]
        lines.append(line)
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]])


def _ceiling(curve):
    """Score that the curve approaches."""
    return float(curve.predict([1e12])[0])


def _conclusion(table, curves, score, arguments) -> str:
    largest = table["n_train"].max()
    means = table[table["n_train"] == largest].groupby("method")[score].mean()
    best = means.reindex(list(curves)).idxmax()
    curve, owner = curves[best], METHODS[best]
    if arguments.goal is None:
        text = f"{owner.capitalize()} is ahead: {_name(arguments)} {means[best]:.3f} at "
        text += f"{round(largest)} samples trained on, and a ceiling of {_ceiling(curve):.3f}. "
        return text + "Name a --goal to learn how many samples it needs."
    need = curve.required_n(arguments.goal)
    goal = f"{_name(arguments)} {arguments.goal:g}"
    if math.isinf(need.n):
        text = f"{goal} is not reachable with {owner}, the best classifier here: its curve levels "
        text += f"off at {_ceiling(curve):.3f}"
        if math.isnan(need.p_reachable):
            return f"{text}. Four sizes or more would say how sure that is."
        return (
            f"{text}, and {need.p_reachable:.0%} of the resampled curves get to {arguments.goal:g}."
        )
    least = table["n_train"].min()
    if need.n < least:
        return (
            f"{goal} is reached with {owner} by the smallest subsets already: {round(least)} "
            "samples trained on."
        )
    text = (
        f"You need about {_count(need.n, least)} samples to train on for {goal} with {owner}, "
        f"95 % interval {_interval(need.low, need.high, least)}."
    )
    if need.extrapolated:
        text += f" That lies far beyond the {round(largest)} rows observed: take it as a guess."
    return text + " The interval is given this table; another pilot would move it further."


def _figure(table, curves, score, goal) -> Any:
    from synth_estimators.inspection import SynthLearningCurveDisplay

    named = {METHODS[method]: curve for method, curve in curves.items()}
    display = SynthLearningCurveDisplay.from_table(
        table.assign(method=table["method"].map(METHODS)),
        score=score,
        by="method",
        curves=named,
        target=goal,
        reach=2.0,
    )
    return display.figure_
