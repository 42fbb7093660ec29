"""The verb demo: the whole way from a real table to judged synthetic rows."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from synth_estimators.cli._commands import check_target, drop_missing
from synth_estimators.cli._io import (
    CliError,
    note,
    read_table,
    split_target,
    write_figure,
    write_model,
    write_table,
)
from synth_estimators.cli._progress import progress
from synth_estimators.cli._scores import Judge, format_scores, legend

FIGURES = ("marginals.png", "embedding.png", "losses.png")
FILES = ("synthetic.csv", "scores.csv", "model.joblib", *FIGURES)

TUNED = "CVAE (tuned)"
COPIER = "training rows (copier)"
LIMIT = "fresh real rows (limit)"

_MAX_ROWS = 6_000
_MAX_COLUMNS = 500
_MIN_CLASS_ROWS = 12
_N_FOLDS = 3
_LATENT_DIMS = (4, 8, 16)


class Table(NamedTuple):
    """A table with labels and the words to call it by."""

    X: pd.DataFrame
    y: pd.Series
    title: str


def run_demo(arguments: argparse.Namespace) -> int:
    """Split, tune, sample, judge, print and save."""
    _check_folder(arguments.output, force=arguments.force)
    table = _load(arguments)
    train, holdout, fresh = _three_parts(table, seed=arguments.seed)
    print(
        f"{table.title}: {len(table.X)} rows, {table.X.shape[1]} columns, target {table.y.name!r}"
    )
    print(
        f"Split by class into three parts of {len(train.X)} rows: train (seen by the generators), "
        "holdout (judges them), fresh (shows what real rows reach)."
    )
    baselines = _baselines(arguments.seed)
    with progress(2 * len(baselines) + 6, unit="step") as bar:
        bar.set_description(f"tuning {TUNED}")
        search = _tune(train, seed=arguments.seed)
        bar.update(2)
        drawn, seconds = {}, {}
        for name, generator in {TUNED: search, **baselines}.items():
            bar.set_description(f"fitting {name}")
            drawn[name], seconds[name] = _fit_and_sample(generator, train, seed=arguments.seed)
            bar.update()
        scores = {}
        judge = Judge(_joined(train), _joined(holdout), target=table.y.name, seed=arguments.seed)
        references = {COPIER: _joined(train), LIMIT: _joined(fresh)}
        for name, rows in {**drawn, **references}.items():
            bar.set_description(f"judging {name}")
            scores[name] = judge.scores(rows)
            if name in seconds:
                scores[name]["fit_seconds"] = seconds[name]
            bar.update()
    _print_results(scores, search, n_rows=len(train.X))
    _save(arguments, search, drawn[TUNED], scores, holdout, target=table.y.name)
    return 0


def _check_folder(folder: Path, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise CliError(f"--output {folder} is a file; pass a folder.")
    present = [name for name in FILES if (folder / name).exists()]
    if present and not force:
        raise CliError(
            f"output {folder / present[0]} exists; pass --force to overwrite the files of an "
            "earlier demo, or --output for another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)


def _load(arguments: argparse.Namespace) -> Table:
    if arguments.data is None:
        if arguments.target is not None:
            raise CliError("--target needs --data; the built-in table brings its own target.")
        from sklearn.datasets import load_breast_cancer

        data = load_breast_cancer(as_frame=True)
        y = pd.Series(data.target_names[data.target], name="diagnosis", dtype=object)
        return Table(data.data, y, "Breast cancer Wisconsin (ships with scikit-learn)")
    if arguments.target is None:
        raise CliError("--data needs --target COLUMN, the column with class labels.")
    frame = read_table(arguments.data, option="--data")
    _, y = split_target(frame, arguments.target, source=f"--data {arguments.data}")
    text = [
        name
        for name in frame.columns
        if name != arguments.target and not pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]
    if text:
        shown = ", ".join(repr(name) for name in text[:5])
        more = f" and {len(text) - 5} more" if len(text) > 5 else ""
        note(f"columns that hold no numbers are left out: {shown}{more}.")
        frame = frame.drop(columns=text)
    if frame.shape[1] < 3:
        raise CliError(
            f"--data {arguments.data} has {frame.shape[1] - 1} numeric columns beside the target; "
            "the demo needs at least two."
        )
    frame = drop_missing(frame)
    X, y = split_target(frame, arguments.target, source=f"--data {arguments.data}")
    X, y = _without_rare_classes(X, check_target(y))
    return _cut(Table(X, y, str(arguments.data)), seed=arguments.seed)


def _without_rare_classes(X: pd.DataFrame, y: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
    """Leave out classes too small to be in every part and every fold."""
    counts = y.value_counts()
    rare = counts.index[counts < _MIN_CLASS_ROWS]
    if len(counts) - len(rare) < 2:
        raise CliError(
            f"target {y.name!r} has {len(counts) - len(rare)} classes with at least "
            f"{_MIN_CLASS_ROWS} rows; the demo needs two."
        )
    if len(rare):
        keep = ~y.isin(rare)
        note(
            f"classes with fewer than {_MIN_CLASS_ROWS} rows are left out: "
            f"{', '.join(repr(label) for label in rare[:5])} ({int((~keep).sum())} rows)."
        )
        X, y = X[keep].reset_index(drop=True), y[keep].reset_index(drop=True)
    return X, y


def _cut(table: Table, *, seed: int) -> Table:
    """Keep the demo short: a random part of long tables, the most variable columns of wide ones."""
    X, y, title = table
    if X.shape[1] > _MAX_COLUMNS:
        note(
            f"the demo keeps the {_MAX_COLUMNS} of {X.shape[1]} columns with the largest variance."
        )
        order = np.argsort(-X.var().to_numpy(), kind="stable")[:_MAX_COLUMNS]
        X = X.iloc[:, np.sort(order)]
    if len(X) > _MAX_ROWS:
        note(f"the demo keeps {_MAX_ROWS} of {len(X)} rows, drawn at random within classes.")
        from sklearn.model_selection import train_test_split

        X, _, y, _ = train_test_split(X, y, train_size=_MAX_ROWS, stratify=y, random_state=seed)
        X, y = X.reset_index(drop=True), y.reset_index(drop=True)
    return Table(X, y, title)


def _three_parts(table: Table, *, seed: int) -> list[Table]:
    """Split into three parts of equal size with the same class counts.

    Equal sizes keep the comparison fair: the nearest of many rows is nearer than the nearest of
    few, whatever the generator.
    """
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for label in sorted(table.y.unique().tolist()):
        idx = rng.permutation(np.flatnonzero((table.y == label).to_numpy()))
        size = len(idx) // 3
        for k, part in enumerate(parts):
            part.append(idx[k * size : (k + 1) * size])
    rows = [rng.permutation(np.concatenate(part)) for part in parts]
    return [
        Table(
            table.X.iloc[idx].reset_index(drop=True),
            table.y.iloc[idx].reset_index(drop=True),
            table.title,
        )
        for idx in rows
    ]


def _joined(table: Table) -> pd.DataFrame:
    return table.X.assign(**{table.y.name: table.y})


def _baselines(seed: int) -> dict[str, Any]:
    import synth_estimators as se

    generators = {
        "CalibratedGaussian": se.CalibratedGaussian(random_state=seed),
        "GaussianCopula": se.GaussianCopula(random_state=seed),
        "IndependentColumns": se.IndependentColumns(random_state=seed),
        "BootstrapRows": se.BootstrapRows(random_state=seed),
    }
    return {
        name: generator
        if hasattr(generator, "sample_labeled")
        else se.ClassConditionalGenerator(generator, random_state=seed)
        for name, generator in generators.items()
    }


def _tune(train: Table, *, seed: int) -> Any:
    """Search the width of the latent space with scikit-learn's grid search."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    from synth_estimators import CVAE, SynthesisPipeline
    from synth_estimators.model_selection import make_generator_scorer

    pipeline = SynthesisPipeline(
        [("scale", StandardScaler()), ("generator", CVAE(random_state=seed))]
    )
    widths = sorted({min(width, train.X.shape[1]) for width in _LATENT_DIMS})
    search = GridSearchCV(
        pipeline,
        {"generator__latent_dim": widths},
        scoring=make_generator_scorer("neg_energy_distance", random_state=seed),
        cv=StratifiedKFold(_N_FOLDS, shuffle=True, random_state=seed),
        error_score="raise",
    )
    start = time.perf_counter()
    search.fit(train.X, train.y)
    search.seconds_ = time.perf_counter() - start
    return search


def _fit_and_sample(generator: Any, train: Table, *, seed: int) -> tuple[pd.DataFrame, float]:
    """Fit unless the search has done it, draw as many labelled rows as there are training rows."""
    if hasattr(generator, "best_estimator_"):
        seconds, generator = generator.refit_time_, generator.best_estimator_
    else:
        start = time.perf_counter()
        generator.fit(train.X, train.y)
        seconds = time.perf_counter() - start
    # Another seed than the fit's, so that draws and validation split share no stream.
    X, y = generator.sample_labeled(len(train.X), random_state=seed + 1)
    return X.assign(**{train.y.name: y}), seconds


def _print_results(scores: Mapping[str, dict], search: Any, *, n_rows: int) -> None:
    width = search.best_params_["generator__latent_dim"]
    tried = [p["generator__latent_dim"] for p in search.cv_results_["params"]]
    print(
        f"Tuned by GridSearchCV over latent_dim {tried}, {_N_FOLDS} folds: {width} is best; "
        f"{search.seconds_:.1f} s in all.\n"
    )
    print(format_scores(scores, first_column="generator"))
    print()
    print(legend(scores, n_rows=n_rows))
    print(
        "The last row is the limit: real rows that nobody has seen. The one above shows what "
        "copying looks like: real in every way and no privacy."
    )
    print("Rows are drawn independently (not stratified), labels in the training proportions.")
    honest = {
        name: row["c2st_auc"]
        for name, row in scores.items()
        if name not in (COPIER, LIMIT) and row["exact_copy_share"] < 0.5
    }
    best = min(honest, key=lambda name: abs(honest[name] - 0.5))
    if best == TUNED:
        print(f"Hardest to tell from real rows by trees: {TUNED} ({honest[TUNED]:.2f}).")
    else:
        print(
            f"Hardest to tell from real rows by trees: {best} ({honest[best]:.2f}); "
            f"{TUNED} reaches {honest.get(TUNED, scores[TUNED]['c2st_auc']):.2f}."
        )


def _save(arguments, search, synthetic, scores, holdout, *, target):
    folder, force = arguments.output, arguments.force
    table = pd.DataFrame.from_dict(scores, orient="index").rename_axis("generator").reset_index()
    write_table(synthetic, folder / "synthetic.csv", force=force)
    write_table(table, folder / "scores.csv", force=force)
    bundle = {
        "model": search.best_estimator_,
        "target": target,
        "target_position": synthetic.shape[1] - 1,
    }
    write_model(bundle, folder / "model.joblib", force=force)
    written = ["synthetic.csv", "scores.csv", "model.joblib"]
    if importlib.util.find_spec("matplotlib") is None:
        note("no figures: matplotlib is missing; pip install 'synth-estimators[plot]' brings it.")
    else:
        written += _save_figures(folder, search, synthetic, holdout, target=target, force=force)
    print(f"\nWritten to {folder}/: {', '.join(written)}.")
    print(
        f"Next: synth-estimators sample --model {folder / 'model.joblib'} --n-samples 1000 "
        "--output more.csv"
    )


def _save_figures(folder, search, synthetic, holdout, *, target, force):
    if "matplotlib.pyplot" not in sys.modules:
        import matplotlib

        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from synth_estimators.inspection import EmbeddingDisplay, LossCurveDisplay, MarginalsDisplay

    X_synth = synthetic.drop(columns=target)
    displays = {
        "marginals.png": MarginalsDisplay.from_predictions(holdout.X, X_synth, name=TUNED),
        "embedding.png": EmbeddingDisplay.from_predictions(
            holdout.X, X_synth, y_real=holdout.y, y_synth=synthetic[target], name=TUNED
        ),
        "losses.png": LossCurveDisplay.from_estimator(search, name=TUNED),
    }
    for name, display in displays.items():
        write_figure(display.figure_, folder / name, force=force)
        plt.close(display.figure_)
    return list(displays)
