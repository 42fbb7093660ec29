"""Generators beside each other and beside the cheap baselines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator

from synth_estimators import baselines as baseline_models
from synth_estimators._random import draw_seed, spawn_seeds
from synth_estimators.compose import ClassConditionalGenerator
from synth_estimators.metrics import Panel
from synth_estimators.metrics._panel import calibrate
from synth_estimators.model_selection._comparison import ComparisonResult
from synth_estimators.model_selection._fold import (
    Sampler,
    check_n_samples,
    fit_and_sample,
    is_class_like,
    make_splits,
    take_rows,
    with_labels,
)
from synth_estimators.model_selection._sampling import as_tables, free_name, with_label
from synth_estimators.preprocessing._columns import as_frame, is_discrete_dtype

__all__ = ["compare_generators", "compare_tables"]

_BASELINES = (
    "IndependentColumns",
    "BootstrapRows",
    "GaussianCopula",
    "CalibratedGaussian",
    "NeighborInterpolation",
    "SequentialCART",
)


def compare_generators(
    generators: Any,
    X: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    metrics: Any = "standard",
    target: Any = None,
    groups: Any = None,
    discrete_columns: Any = "auto",
    expression: bool = False,
    baselines: bool = True,
    n_samples: Any = "train",
    max_rows: int | None = 10_000,
    n_jobs: int | None = None,
    random_state: Any = 0,
    error_score: Any = np.nan,
    verbose: int = 0,
) -> ComparisonResult:
    """Fit generators on splits of a table and rank them by calibrated scores.

    Every generator is fitted on the training rows of each split and judged against the rows held
    out, beside what real rows reach, what independent columns reach, and the baselines that take
    seconds.

    Parameters
    ----------
    generators : dict, list or estimator
        Generators by name; a list takes the names of the classes.

    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows, of any types that the generators take.

    y : array-like of shape (n_samples,), default=None
        Labels. They join all tables as a column ``y``, the default ``target``. Conditional
        generators are fitted with them. Others are fitted once for each class
        (``ClassConditionalGenerator``) where the table is numeric and complete, else on the table
        with that column.

    cv : int, splitter or iterable, default=5
        An int shuffles, and stratifies by ``y`` or a discrete ``target``.

    metrics : {"standard", "fast", "all"} or list of str, default="standard"
        As in ``Panel``.

    target : column name, default=None
        Column that models predict in metrics of utility.

    groups : array-like of shape (n_samples,), default=None
        Groups for splitters that keep them together.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans as discrete.

    expression : bool, default=False
        The table is an expression matrix: add the metrics for these.

    baselines : bool, default=True
        Add ``IndependentColumns``, ``BootstrapRows``, ``GaussianCopula``, ``CalibratedGaussian``,
        ``NeighborInterpolation`` and ``SequentialCART``. One that cannot take the table is listed
        with the reason.

    n_samples : "train", "match", int or float, default="train"
        Rows to sample: as many as training rows, as held-out rows, a number, or a factor of the
        held-out rows.

    max_rows : int or None, default=10_000
        Most rows in costly metrics, as in ``Panel``.

    n_jobs : int or None, default=None
        Fits at a time, over splits and generators. Results do not depend on it.

    random_state : int, RandomState instance or None, default=0
        Seeds the splits of an int ``cv``, the samples, the metrics, and those ``random_state``
        parameters of the generators that are None.

    error_score : "raise" or nan, default=nan
        What to do when a generator of yours fails: raise, or list it with the reason.

    verbose : int, default=0
        Passed to joblib.

    Returns
    -------
    result : ComparisonResult
        ``table``, ``folds``, ``pairwise``, ``references``, ``warnings``, ``to_frame()``,
        ``to_json()``.

    Raises
    ------
    ValueError
        For unknown metrics, a target that is not there, or splits that cannot be made.

    See Also
    --------
    cross_validate_generator : One generator, any metric.
    compare_tables : Tables that are already there.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003). "Inference for the Generalization Error". Machine
       Learning 52, 239-281.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators import GaussianCopula, IndependentColumns
    >>> from synth_estimators.model_selection import compare_generators
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(160, 1)) + 0.3 * rng.normal(size=(160, 3))
    >>> result = compare_generators(
    ...     [IndependentColumns(), GaussianCopula()], X, cv=2, baselines=False,
    ...     metrics=["column_pair_trends_score"],
    ... )
    >>> list(result.table.index)
    ['GaussianCopula', 'IndependentColumns']
    """
    check_n_samples(n_samples)
    if error_score != "raise" and not (isinstance(error_score, float) and np.isnan(error_score)):
        raise ValueError(f"error_score={error_score!r} must be 'raise' or nan.")
    given = _named_generators(generators)
    candidates = _with_baselines(given) if baselines else dict(given)
    seed = draw_seed(random_state)
    splits = make_splits(X, y, cv=cv, target=target, groups=groups, random_state=seed)
    frame, name = _joined(X, y)
    if name is not None:
        discrete_columns = _with_target(discrete_columns, name, is_class_like(y))
        target = name if target is None else target
    prepared, notes = {}, {}
    for key, generator in candidates.items():
        prepared[key], note = _prepare(generator, X, y, frame)
        notes.setdefault(note, []).append(key)

    seeds = spawn_seeds(seed, len(splits))
    panels = []
    for (train, test), split_seed in zip(splits, seeds, strict=True):
        panels.append(
            Panel(
                take_rows(frame, train),
                take_rows(frame, test),
                target=target,
                metrics=metrics,
                discrete_columns=discrete_columns,
                expression=expression,
                max_rows=max_rows,
                random_state=split_seed,
            )
        )
    strict = set(given) if error_score == "raise" else set()
    options = {"n_samples": n_samples, "name": name, "strict": strict}
    work = [
        delayed(_one_run)(key, *prepared[key], split, panels[fold], seeds[fold], options)
        for fold, split in enumerate(splits)
        for key in prepared
    ]
    measured = Parallel(n_jobs=n_jobs, verbose=verbose)(work)
    folds = [fold for fold in range(len(splits)) for _ in prepared]
    return _collect(
        folds,
        list(prepared) * len(splits),
        measured,
        panels,
        n_jobs=n_jobs,
        sizes=[(len(train), len(test)) for train, test in splits],
        notes=[f"{note}: {', '.join(keys)}." for note, keys in notes.items() if note],
        settings={"n_folds": len(splits), "random_state": seed, "n_samples": str(n_samples)},
    )


def compare_tables(
    tables: Mapping[str, Any],
    X_train: Any,
    X_holdout: Any,
    *,
    metrics: Any = "standard",
    target: Any = None,
    discrete_columns: Any = "auto",
    expression: bool = False,
    baselines: bool = True,
    max_rows: int | None = 10_000,
    n_jobs: int | None = None,
    random_state: Any = 0,
) -> ComparisonResult:
    """Rank synthetic tables that are already there, whatever made them.

    Parameters
    ----------
    tables : dict
        Synthetic tables by name, all with the columns of ``X_train``.

    X_train : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows that the tables were made from.

    X_holdout : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows that no generator has seen.

    metrics : {"standard", "fast", "all"} or list of str, default="standard"
        As in ``Panel``.

    target : column name, default=None
        Column that models predict in metrics of utility.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    expression : bool, default=False
        The tables are expression matrices: add the metrics for these.

    baselines : bool, default=True
        Fit the baselines of ``compare_generators`` on the training rows and judge them too.

    max_rows : int or None, default=10_000
        Most rows in costly metrics, as in ``Panel``.

    n_jobs : int or None, default=None
        Tables judged at a time.

    random_state : int, RandomState instance or None, default=0
        Seeds metrics and baselines.

    Returns
    -------
    result : ComparisonResult
        As from ``compare_generators``, with one fold; so without tests between pairs.

    Raises
    ------
    ValueError
        For tables with other columns, unknown metrics or a target that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import compare_tables
    >>> rng = np.random.default_rng(0)
    >>> train, holdout = rng.normal(size=(2, 100, 2))
    >>> result = compare_tables(
    ...     {"copy": train}, train, holdout, metrics=["exact_copy_share"], baselines=False
    ... )
    >>> result.table.loc["copy", "flag"]
    'close to training rows (exact_copy_share 1.00)'
    """
    if not isinstance(tables, Mapping) or not tables:
        raise ValueError("tables must be a dict of at least one table, {name: X_synth}.")
    if X_holdout is None:
        raise ValueError("compare_tables needs X_holdout, real rows that no generator has seen.")
    seed = draw_seed(random_state)
    panel = Panel(
        X_train,
        X_holdout,
        target=target,
        metrics=metrics,
        discrete_columns=discrete_columns,
        expression=expression,
        max_rows=max_rows,
        random_state=seed,
    )
    frame, _ = as_frame(X_train, name="X_train")
    work = [delayed(_judge_table)(name, table, panel) for name, table in tables.items()]
    names = list(tables)
    if baselines:
        models = _with_baselines({}, taken=names)
        options = {"n_samples": "train", "name": None, "strict": ()}
        split = (np.arange(len(frame)), np.arange(len(frame)))
        work += [
            delayed(_one_run)(name, model, frame, None, split, panel, seed, options)
            for name, model in models.items()
        ]
        names += list(models)
    measured = Parallel(n_jobs=n_jobs)(work)
    n_holdout = as_frame(X_holdout, name="X_holdout")[0].shape[0]
    return _collect(
        [0] * len(names),
        names,
        measured,
        [panel],
        n_jobs=None,
        sizes=[(len(frame), n_holdout)],
        notes=[],
        settings={"n_folds": 1, "random_state": seed},
    )


def _named_generators(generators):
    if isinstance(generators, Mapping):
        named = dict(generators)
    else:
        models = list(generators) if isinstance(generators, (list, tuple)) else [generators]
        kinds = [type(model).__name__ for model in models]
        named = {
            f"{kind}-{kinds[: place + 1].count(kind)}" if kinds.count(kind) > 1 else kind: model
            for place, (kind, model) in enumerate(zip(kinds, models, strict=True))
        }
    for name, model in named.items():
        if isinstance(model, type) or not hasattr(model, "fit"):
            raise TypeError(
                f"generators[{name!r}] is {model!r}; pass an unfitted generator, pipeline or "
                "search with fit."
            )
    return named


def _with_baselines(named, *, taken=()):
    """Add the baselines under names that are free, less those that are there as they are."""
    both = dict(named)
    for kind in _BASELINES:
        model = getattr(baseline_models, kind)()
        if any(_same(model, other) for other in named.values()):
            continue
        both[kind if kind not in both and kind not in taken else f"{kind} (baseline)"] = model
    return both


def _same(model, other):
    return type(model) is type(other) and repr(model) == repr(other)


def _joined(X, y):
    """The table that is judged, and the name of the labels in it."""
    frame, _ = as_tables(X, X)
    as_frame(frame)
    if y is None:
        return frame, None
    name = free_name(frame)
    if is_class_like(y):
        return with_labels(frame, y, name), name
    return frame.assign(**{name: pd.Series(np.asarray(y).ravel())}), name


def _with_target(discrete_columns, name, classes):
    """Columns that the user lists as discrete, for the table with the labels."""
    if classes:
        return with_label(discrete_columns, name)
    listed = discrete_columns if isinstance(discrete_columns, str) else list(discrete_columns or ())
    if listed and all(isinstance(item, (bool, np.bool_)) for item in listed):
        return [*listed, False]
    return discrete_columns


def _prepare(generator, X, y, frame):
    """How a generator is fitted: the generator, its table, its labels, and what was changed."""
    if y is None:
        return (generator, X, None), ""
    if _takes_labels(generator):
        return (generator, X, y), ""
    table = frame.iloc[:, :-1]
    plain = not any(is_discrete_dtype(dtype) for dtype in table.dtypes) and not table.isna().any(
        axis=None
    )
    if plain and is_class_like(y):
        by_class = ClassConditionalGenerator(
            generator if hasattr(generator, "sample") else Sampler(generator)
        )
        return (by_class, X, y), "Fitted by class, since they take no labels"
    note = "Fitted with the labels as a column, since they take none"
    return (generator, frame, None), note


def _takes_labels(generator):
    if hasattr(generator, "sample_labeled"):
        return True
    if not isinstance(generator, BaseEstimator):
        return False
    parts = generator.get_params(deep=False)
    inner = parts["steps"][-1][1] if parts.get("steps") else None
    inner = inner or parts.get("generator") or parts.get("estimator")
    return inner is not None and _takes_labels(inner)


def _one_run(key, model, X, y, split, panel, seed, options):
    """Fit, sample and judge one generator on one split."""
    train, test = split
    run = fit_and_sample(
        model, X, y, train, test, n_samples=options["n_samples"], conditional="prior", seed=seed
    )
    if run.error is not None and key in options["strict"]:
        raise run.error
    found = {"fit_time": run.fit_time, "sample_time": run.sample_time, "measured": None}
    texts = [text for _, text in run.messages]
    error = run.error
    if error is None:
        try:
            synth, _ = as_tables(run.rows, take_rows(X, train))
            if run.labels is not None:
                synth = with_labels(synth, run.labels, options["name"])
            start = time.perf_counter()
            found["measured"] = panel.measure(synth)
            found["score_time"] = time.perf_counter() - start
        except ValueError as exc:
            # Rows that cannot be compared are the generator's failure on this split.
            if key in options["strict"]:
                raise
            error = exc
    return {
        "score_time": np.nan,
        **found,
        "texts": texts,
        "error": None if error is None else f"{type(error).__name__}: {error}",
    }


def _judge_table(name, table, panel):
    start = time.perf_counter()
    try:
        measured = panel.measure(table)
    except ValueError as exc:
        raise ValueError(f"Table {name!r}: {exc}") from exc
    return {
        "fit_time": np.nan,
        "sample_time": np.nan,
        "score_time": time.perf_counter() - start,
        "measured": measured,
        "texts": [],
        "error": None,
    }


def _references(panel, n_rows):
    """Limit and floors of a panel for tables of one size."""
    return panel.limit(n_rows), panel._all_floors(n_rows)


def _collect(folds, names, measured, panels, *, n_jobs, sizes, notes, settings):
    """Lay out the runs and calibrate their values."""
    wanted = dict.fromkeys(
        (fold, run["measured"].n_rows)
        for fold, run in zip(folds, measured, strict=True)
        if run["measured"] is not None
    )
    found = Parallel(n_jobs=n_jobs)(
        delayed(_references)(panels[fold], n_rows) for fold, n_rows in wanted
    )
    references = dict(zip(wanted, found, strict=True))
    values, runs, texts, failed = [], [], list(notes), {}
    for fold, name, run in zip(folds, names, measured, strict=True):
        runs.append(
            {
                "fold": fold,
                "generator": name,
                **{key: run[key] for key in ("fit_time", "sample_time", "score_time", "error")},
            }
        )
        texts += [f"{name}: {text}" for text in run["texts"]]
        if run["measured"] is None:
            failed.setdefault(name, []).append(run["error"])
            continue
        limit, floors = references[fold, run["measured"].n_rows]
        for metric, value in run["measured"].scores.items():
            values.append(
                {
                    "fold": fold,
                    "generator": name,
                    "metric": metric,
                    "value": value,
                    "limit": limit[metric],
                    "floor": float(np.mean(floors[metric])),
                    "calibrated": calibrate(metric, value, limit[metric], floors[metric]),
                }
            )
        texts += [
            f"{name}: {text}" for part in run["measured"].messages.values() for _, text in part
        ]
    texts = [f"{name} failed: {errors[0]}" for name, errors in failed.items()] + texts
    columns = ["fold", "generator", "metric", "value", "limit", "floor", "calibrated"]
    for metric, lacking in panels[0].left_out.items():
        texts.append(f"{metric} is left out: it needs {', '.join(lacking)}.")
    return ComparisonResult(
        pd.DataFrame(values, columns=columns),
        pd.DataFrame(runs).astype({"error": object}),
        sizes,
        warnings=list(dict.fromkeys(texts)),
        settings=settings,
    )
