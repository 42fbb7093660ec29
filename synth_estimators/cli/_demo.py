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
    write_text,
)
from synth_estimators.cli._progress import progress
from synth_estimators.cli._scores import Judge, format_scores, legend

FIGURES = ("marginals.png", "embedding.png", "losses.png")
FILES = ("synthetic.csv", "scores.csv", "model.joblib", "report.html", *FIGURES)

TUNED = "CVAE (tuned)"
COPIER = "training rows (copier)"
LIMIT = "fresh real rows (limit)"

_MAX_ROWS = 6_000
_MAX_ROWS_OF_THREE_ROUNDS = 1_500
_MAX_COLUMNS = 500
_MIN_CLASS_ROWS = 12
_N_FOLDS = 3
_LATENT_DIMS = (4, 8, 16)


class Table(NamedTuple):
    """A table with labels and the words to call it by."""

    X: pd.DataFrame
    y: pd.Series
    title: str


class Round(NamedTuple):
    """What came out of one assignment of the three parts."""

    search: Any
    synthetic: pd.DataFrame
    train: Table
    holdout: Table
    scores: dict[str, dict[str, float]]


def run_demo(arguments: argparse.Namespace) -> int:
    """Split, tune, sample, judge, print and save."""
    _check_folder(arguments.output, force=arguments.force)
    table = _load(arguments)
    parts = _three_parts(table, seed=arguments.seed)
    n_rounds = 3 if len(table.X) <= _MAX_ROWS_OF_THREE_ROUNDS else 1
    print(
        f"{table.title}: {len(table.X)} rows, {table.X.shape[1]} columns, target {table.y.name!r}"
    )
    print(
        f"Split by class into three parts of {len(parts[0].X)} rows: train (the generators see "
        "it), holdout (judges them),\nfresh (shows what real rows reach)."
        + (" In three rounds every part plays every role; scores are means." * (n_rounds == 3))
    )
    sys.stdout.flush()
    # A round: two steps to tune, one a fit, one a judged table.
    with progress(n_rounds * (2 + 5 + 7), unit="step") as bar:
        rounds = [
            _play(*(parts[(k + role) % 3] for role in range(3)), seed=arguments.seed + k, bar=bar)
            for k in range(n_rounds)
        ]
    scores = {
        name: pd.DataFrame([part.scores[name] for part in rounds]).mean().to_dict()
        for name in rounds[0].scores
    }
    _print_results(scores, rounds, n_rows=len(parts[0].X))
    _save(arguments, rounds, scores, target=table.y.name)
    return 0


def _play(train: Table, holdout: Table, fresh: Table, *, seed: int, bar: Any) -> Round:
    """Tune, fit and judge with one part in each role."""
    bar.set_description(f"tuning {TUNED}")
    search = _tune(train, seed=seed)
    bar.update(2)
    drawn, seconds = {}, {}
    for name, generator in {TUNED: search, **_baselines(seed)}.items():
        bar.set_description(f"fitting {name}")
        drawn[name], seconds[name] = _fit_and_sample(generator, train, seed=seed)
        bar.update()
    judge = Judge(_joined(train), _joined(holdout), target=train.y.name, seed=seed)
    scores = {}
    for name, rows in {**drawn, COPIER: _joined(train), LIMIT: _joined(fresh)}.items():
        bar.set_description(f"judging {name}")
        scores[name] = judge.scores(rows)
        if name in seconds:
            scores[name]["fit_seconds"] = seconds[name]
        bar.update()
    return Round(search, drawn[TUNED], train, holdout, scores)


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
        scoring=make_generator_scorer(
            "neg_energy_distance", n_repeats=3, random_state=seed, error_score="raise"
        ),
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


def _print_results(scores: Mapping[str, dict], rounds: list[Round], *, n_rows: int) -> None:
    widths = [part.search.best_params_["generator__latent_dim"] for part in rounds]
    tried = [p["generator__latent_dim"] for p in rounds[0].search.cv_results_["params"]]
    print(
        f"CVAE tuned by GridSearchCV over latent_dim {tried} in {_N_FOLDS} folds of train; best: "
        f"{', '.join(map(str, widths))}; {rounds[0].search.seconds_:.1f} s a search.\n"
    )
    print(format_scores(scores, first_column="generator"))
    print()
    print(legend(scores, n_rows=n_rows, n_rounds=len(rounds)))
    print(
        "Last row: the limit, real rows that nobody has seen. Row above: what copying looks like,\n"
        "real in every way and no privacy. Rows are drawn independently (not stratified), "
        "labels in\nthe training proportions."
    )
    honest = {
        name: row["c2st_auc"]
        for name, row in scores.items()
        if name not in (COPIER, LIMIT) and row["exact_copy_share"] < 0.5
    }
    best = min(honest, key=lambda name: abs(honest[name] - 0.5), default=TUNED)
    also = "" if best == TUNED else f"; {TUNED} {scores[TUNED]['c2st_auc']:.2f}"
    print(
        "Hardest for trees to tell from real rows, copies aside: "
        f"{best} {scores[best]['c2st_auc']:.2f}{also}."
    )


def _save(arguments, rounds, scores, *, target):
    folder, force = arguments.output, arguments.force
    first = rounds[0]
    table = pd.DataFrame.from_dict(scores, orient="index").rename_axis("generator").reset_index()
    write_table(first.synthetic, folder / "synthetic.csv", force=force)
    write_table(table, folder / "scores.csv", force=force)
    bundle = {
        "model": first.search.best_estimator_,
        "target": target,
        "target_position": first.synthetic.shape[1] - 1,
    }
    write_model(bundle, folder / "model.joblib", force=force)
    written = ["synthetic.csv", "scores.csv", "model.joblib"]
    if importlib.util.find_spec("jinja2") is None:
        note("no page: jinja2 is missing; pip install 'synth-estimators[report]' brings it.")
    else:
        written += _save_page(folder, first, target=target, seed=arguments.seed, force=force)
    if importlib.util.find_spec("matplotlib") is None:
        note("no figures: matplotlib is missing; pip install 'synth-estimators[plot]' brings it.")
    else:
        written += _save_figures(folder, first, target=target, force=force)
    origin = (
        "; model, rows, page and figures are those of the first round" if len(rounds) > 1 else ""
    )
    print(f"\nWritten to {folder}/: {', '.join(written)}{origin}.")
    print(
        f"Next: synth-estimators sample --model {folder / 'model.joblib'} --n-samples 1000 "
        "--output more.csv"
    )


def _save_page(folder, first, *, target, seed, force):
    """Write the report on the rows of the tuned generator."""
    from synth_estimators.report import evaluate_synthetic

    report = evaluate_synthetic(
        _joined(first.train),
        _joined(first.holdout),
        first.synthetic,
        target=target,
        random_state=seed,
    )
    write_text(report.to_html(), folder / "report.html", force=force)
    print(f"\nReport on {TUNED}: {report.verdict}")
    return ["report.html"]


def _save_figures(folder, first, *, target, force):
    if "matplotlib.pyplot" not in sys.modules:
        import matplotlib

        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from synth_estimators.inspection import EmbeddingDisplay, LossCurveDisplay, MarginalsDisplay

    X_synth, y_synth = split_target(first.synthetic, target, source="synthetic rows")
    holdout = first.holdout
    displays = {
        "marginals.png": MarginalsDisplay.from_predictions(holdout.X, X_synth, name=TUNED),
        "embedding.png": EmbeddingDisplay.from_predictions(
            holdout.X, X_synth, y_real=holdout.y, y_synth=y_synth, name=TUNED
        ),
        "losses.png": LossCurveDisplay.from_estimator(first.search, name=TUNED),
    }
    for name, display in displays.items():
        write_figure(display.figure_, folder / name, force=force)
        plt.close(display.figure_)
    return list(displays)
