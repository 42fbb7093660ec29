"""Pilot studies: one generator and one synthetic table for every size and draw."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_memory
from threadpoolctl import threadpool_limits

from synth_estimators import __version__
from synth_estimators._random import draw_seed
from synth_estimators._validation import check_labels
from synth_estimators.compose._class_conditional import _set_seeds
from synth_estimators.metrics import METRICS
from synth_estimators.metrics._tables import undefined
from synth_estimators.model_selection import _pilot_files
from synth_estimators.model_selection._regimes import CELL_ERRORS, sample_like, take_rows
from synth_estimators.model_selection._subsets import (
    check_count,
    place_seed,
    stratified_rows,
)

__all__ = ["PilotStudy", "load_pilot_study", "pilot_study"]

# Keywords of a metric that the rows of a run can serve.
_SERVED = ("X_train", "X_holdout", "target")


class PilotStudy:
    """Models and synthetic tables of a pilot study, with their scores.

    Made by ``pilot_study`` and ``load_pilot_study``.

    Parameters
    ----------
    results : DataFrame
        One row a run.

    runs : dict
        ``{(size, draw): Bunch}``.

    Attributes
    ----------
    results : DataFrame
        Columns ``pilot_size``, ``draw``, ``n_samples``, ``fit_time`` and ``sample_time`` in
        seconds, one column a score, and ``error`` (empty where the run went well).

    runs : dict
        For every ``(pilot_size, draw)`` a Bunch with ``estimator`` (fitted), ``X_synth``,
        ``y_synth`` (None without labels) and ``indices`` (rows of ``X`` that were drawn). A run
        that failed has None instead of an estimator and of rows.

    See Also
    --------
    pilot_study : The way to make one.
    load_pilot_study : Reads a saved one.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import GaussianCopula
    >>> from synth_estimators.model_selection import pilot_study
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> study = pilot_study(
    ...     GaussianCopula(), X, pilot_sizes=[20, 40], n_draws=2, n_samples=30, random_state=0
    ... )
    >>> sorted(study.runs)
    [(20, 0), (20, 1), (40, 0), (40, 1)]
    >>> study.runs[20, 1].X_synth.shape
    (30, 4)
    """

    def __init__(self, results: pd.DataFrame, runs: dict):
        self.results = results
        self.runs = runs

    def save(self, folder: Any, *, force: bool = False) -> Path:
        """Write the study to a folder of its own.

        Parameters
        ----------
        folder : str or path
            Folder to create. It appears under its name only when everything is written.

        force : bool, default=False
            Replace a study that stands there.

        Returns
        -------
        folder : Path

        Raises
        ------
        FileExistsError
            When the folder exists; with ``force`` when it holds something else than a study.

        Notes
        -----
        Tables are written as Parquet where pyarrow is installed, else as CSV, arrays as NPY, the
        scores as CSV, fitted estimators by joblib. A checksum of every file is kept.
        """
        return _pilot_files.save(self, Path(folder), force=force)

    def __repr__(self):
        sizes = sorted({size for size, _ in self.runs})
        draws = len({draw for _, draw in self.runs})
        return f"PilotStudy({len(self.runs)} runs: sizes {sizes}, {draws} draws)"


@dataclass(frozen=True)
class _Plan:
    """What every run needs to know besides its rows."""

    estimator: Any
    n_samples: int
    evaluate: tuple
    entropy: int
    error_score: Any


def pilot_study(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    pilot_sizes: Any,
    n_draws: int = 5,
    n_samples: int | None = None,
    evaluate: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    n_jobs: int | None = None,
    memory: Any = None,
    error_score: Any = np.nan,
    random_state: Any = None,
    verbose: int = 0,
) -> PilotStudy:
    """Fit a generator to small draws of a table and sample from each.

    Shows how good the rows of a generator are when only a pilot of so many real rows is there.

    Read more in the :ref:`User Guide <pilot_study>`.

    Parameters
    ----------
    estimator : estimator
        Generator with ``fit`` and ``sample``. With ``y`` it is fitted with the labels; one with
        ``sample_labeled`` gives labels of the synthetic rows, in the shares of the draw.

    X : {array-like, pandas DataFrame} of shape (n_rows, n_features)
        Real rows.

    y : array-like of shape (n_rows,), default=None
        Class labels. Draws are stratified by them: every class gets its share of the rows, by
        largest remainders.

    pilot_sizes : array-like of int
        Rows of a pilot, all classes together.

    n_draws : int, default=5
        Draws of each size. Within a draw a larger pilot contains the smaller ones, but for single
        rows that rounding moves between classes.

    n_samples : int or None, default=None
        Synthetic rows of a run; None is the number of rows of ``X``.

    evaluate : None, str, callable or list of them, default=None
        Scores of each run: names in ``METRICS`` or ``metric(X_real, X_synth) -> float``. They are
        called with the real rows that the draw left out, and get ``X_train=`` (the drawn rows),
        ``X_holdout=``, ``target=`` and ``random_state=`` if they take them. Labels join the tables
        as a column ``"y"``, the target.

    X_test, y_test : array-like, default=None
        Real rows, and their labels, to compare with instead of those that the draw left out.

    n_jobs : int or None, default=None
        Workers that share the runs. Results do not depend on it.

    memory : None, str or joblib.Memory, default=None
        Folder in which every finished run is kept; an interrupted study goes on from there.
        Needs a ``random_state``.

    error_score : "raise" or float, default=nan
        Score of a run that fails; the reason stands in ``results``.

    random_state : int, RandomState instance or None, default=None
        Seeds draws, generators and samples; a ``random_state`` of the estimator is not used.

    verbose : int, default=0
        Progress messages of joblib.

    Returns
    -------
    study : PilotStudy
        ``results``, ``runs`` and ``save``.

    Raises
    ------
    ValueError
        For sizes larger than the table, a class that would get no row, or unknown metrics.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import ClassConditionalGenerator, GaussianCopula
    >>> from synth_estimators.model_selection import pilot_study
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> generator = ClassConditionalGenerator(GaussianCopula())
    >>> study = pilot_study(
    ...     generator,
    ...     X,
    ...     y,
    ...     pilot_sizes=[15, 60],
    ...     n_draws=3,
    ...     evaluate="column_shapes_score",
    ...     random_state=0,
    ... )
    >>> means = study.results.groupby("pilot_size")["column_shapes_score"].mean()
    >>> bool(means[60] > means[15])
    True
    """
    memory = check_memory(memory)
    if getattr(memory, "location", True) is not None and random_state is None:
        raise ValueError(
            "memory= keeps finished runs for a later call, which needs the same seeds; pass an "
            "int as random_state."
        )
    if not (hasattr(estimator, "fit") and hasattr(estimator, "sample")):
        raise TypeError(
            f"{estimator!r} is no generator; expected an estimator with fit and sample."
        )
    if error_score != "raise" and not isinstance(error_score, int | float):
        raise ValueError(f"error_score={error_score!r} must be 'raise' or a number.")
    table = _table(X, name="X")
    labels = None
    codes = np.zeros(len(table), dtype=np.intp)
    if y is not None:
        labels = check_labels(y, n_samples=len(table), owner="pilot_study")
        codes = np.unique(labels, return_inverse=True)[1]
    n_draws = check_count(n_draws, name="n_draws")
    sizes = _checked_sizes(pilot_sizes, codes, labels)
    labelled = labels is not None and hasattr(estimator, "sample_labeled")
    scores = _checked_evaluate(evaluate, labelled=labelled)
    test = _checked_test(X_test, y_test, labels)
    n_samples = len(table) if n_samples is None else check_count(n_samples, name="n_samples")
    plan = _Plan(clone(estimator), n_samples, scores, draw_seed(random_state), error_score)
    data = (table, labels, codes, test)
    caches = getattr(memory, "location", True) is not None
    # The rows are hashed once, not once a run.
    key = joblib.hash((plan, data, __version__)) if caches else None
    unit = memory.cache(_run, ignore=["plan", "data"])
    places = [(size, draw) for size in sizes for draw in range(n_draws)]
    # One thread for linear algebra: the same bits whatever runs beside.
    with threadpool_limits(limits=1):
        outcomes = Parallel(n_jobs=n_jobs, verbose=verbose)(
            delayed(unit)(size, draw, key=key, plan=plan, data=data) for size, draw in places
        )
    results = pd.DataFrame([record for record, _ in outcomes])
    results = results[[*(name for name in results.columns if name != "error"), "error"]]
    _warn_of_failures(results)
    return PilotStudy(
        results, {place: run for place, (_, run) in zip(places, outcomes, strict=True)}
    )


def load_pilot_study(folder: Any, *, estimators: bool = True) -> PilotStudy:
    """Read a study that ``PilotStudy.save`` wrote.

    Parameters
    ----------
    folder : str or path
        Folder of the study.

    estimators : bool, default=True
        Load the fitted estimators too. They are unpickled, which can run any code: say False for
        a folder that you do not trust; ``estimator`` of every run is None then.

    Returns
    -------
    study : PilotStudy

    Raises
    ------
    FileNotFoundError
        When there is no such folder or no study in it.

    ValueError
        When a file is missing, damaged, or written by a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import BootstrapRows
    >>> from synth_estimators.model_selection import load_pilot_study, pilot_study
    >>> X, _ = load_iris(return_X_y=True)
    >>> study = pilot_study(BootstrapRows(), X, pilot_sizes=[20], n_draws=2, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = study.save(Path(folder) / "pilot")
    ...     loaded = load_pilot_study(path)
    >>> loaded
    PilotStudy(2 runs: sizes [20], 2 draws)
    """
    results, runs = _pilot_files.load(Path(folder), estimators=estimators)
    return PilotStudy(results, runs)


def _table(X, *, name):
    """Return the rows as a frame with a fresh index, or as an array."""
    if isinstance(X, pd.DataFrame):
        table = X.reset_index(drop=True)
        if not table.columns.is_unique:
            repeated = sorted({str(c) for c in table.columns[table.columns.duplicated()]})
            raise ValueError(f"{name} has duplicated column names {repeated}; rename them.")
    elif hasattr(X, "to_dict"):
        table = pd.DataFrame(X.to_dict(as_series=False))
    else:
        table = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(
            f"{name} has shape {table.shape}; expected a table with at least one row and column."
        )
    return table


def _checked_sizes(pilot_sizes, codes, labels):
    sizes = np.unique(np.asarray(pilot_sizes).ravel())
    if sizes.size == 0:
        raise ValueError("pilot_sizes is empty; pass at least one number of rows.")
    if sizes.dtype.kind not in "iu" or sizes.min() < 1:
        raise ValueError(f"pilot_sizes={pilot_sizes!r} must hold whole numbers of at least 1 row.")
    if sizes.max() > len(codes):
        raise ValueError(
            f"pilot_sizes holds {sizes.max()}, but X has {len(codes)} rows; use sizes of at most "
            f"{len(codes)}."
        )
    if labels is not None:
        drawn = stratified_rows(codes, int(sizes.min()), np.random.default_rng(0))
        counts = np.bincount(codes[drawn], minlength=codes.max() + 1)
        if counts.min() == 0:
            lost = np.unique(labels).tolist()[int(counts.argmin())]
            raise ValueError(
                f"A pilot of {sizes.min()} rows holds no row of class {lost!r} "
                f"({np.bincount(codes).min()} of {len(codes)} rows); use larger sizes or merge "
                "the class with another."
            )
    return [int(size) for size in sizes]


def _checked_evaluate(evaluate, *, labelled):
    """Return pairs (name, function) of the scores."""
    if evaluate is None:
        return ()
    items = [evaluate] if isinstance(evaluate, str) or callable(evaluate) else list(evaluate)
    pairs = []
    for item in items:
        if isinstance(item, str):
            if item not in METRICS:
                raise ValueError(
                    f"evaluate={item!r} is unknown; use one of {sorted(METRICS)} or a callable "
                    "metric(X_real, X_synth) -> float."
                )
            served = [name for name in _SERVED if labelled or name != "target"]
            lacking = [name for name in METRICS[item].needs if name not in served]
            if lacking:
                raise ValueError(
                    f"evaluate={item!r} needs {lacking}, which a run cannot give"
                    + (
                        "; pass y and a generator with sample_labeled."
                        if lacking == ["target"]
                        else "."
                    )
                )
            pairs.append((item, METRICS[item].function))
        elif callable(item):
            pairs.append((getattr(item, "__name__", type(item).__name__), item))
        else:
            raise TypeError(f"evaluate holds {item!r}; expected names of metrics or callables.")
    return tuple(pairs)


def _checked_test(X_test, y_test, labels):
    if X_test is None:
        if y_test is not None:
            raise ValueError("y_test was given without X_test; pass both.")
        return None
    table = _table(X_test, name="X_test")
    if labels is None:
        return table, None
    if y_test is None:
        raise ValueError("X_test was given with y but without y_test; pass the labels of its rows.")
    return table, check_labels(y_test, n_samples=len(table), owner="pilot_study")


def _run(size, draw, *, key, plan, data):
    """Fit and sample one run; returns its row of the results and its Bunch."""
    table, labels, codes, _ = data
    # The seed of the draw only: the pilots of a draw are nested.
    rng = np.random.default_rng(place_seed(plan.entropy, "rows", draw))
    rows = np.sort(stratified_rows(codes, size, rng))
    record = {"pilot_size": size, "draw": draw, "n_samples": plan.n_samples}
    record |= {"fit_time": np.nan, "sample_time": np.nan, "error": ""}
    run = Bunch(estimator=None, X_synth=None, y_synth=None, indices=rows)
    with threadpool_limits(limits=1):
        try:
            _fit_and_sample(plan, table, labels, rows, (size, draw), record, run)
        except CELL_ERRORS as exc:
            if plan.error_score == "raise":
                raise
            record["error"] = f"{type(exc).__name__}: {exc}"
        for name, function in plan.evaluate:
            record |= _score(plan, name, function, data, run, (size, draw), record)
    return record, run


def _fit_and_sample(plan, table, labels, rows, place, record, run):
    generator = _set_seeds(clone(plan.estimator), place_seed(plan.entropy, "generator", *place))
    part = take_rows(table, rows)
    started = perf_counter()
    if labels is None:
        generator.fit(part)
    else:
        generator.fit(part, labels[rows])
    record["fit_time"] = perf_counter() - started
    seed = place_seed(plan.entropy, "sample", *place)
    started = perf_counter()
    if labels is not None and hasattr(generator, "sample_labeled"):
        classes, codes = np.unique(labels[rows], return_inverse=True)
        X_synth, drawn = sample_like(generator, codes, classes, plan.n_samples, seed=seed)
        run.y_synth = classes[drawn]
    else:
        X_synth = generator.sample(plan.n_samples, random_state=seed)
    record["sample_time"] = perf_counter() - started
    run.estimator, run.X_synth = generator, X_synth


def _score(plan, name, function, data, run, place, record):
    """Value of one score as a dict, ``error_score`` where there is none."""
    default = np.nan if plan.error_score == "raise" else float(plan.error_score)
    if run.X_synth is None:
        return {name: default}
    table, labels, _, test = data
    if test is None:
        rest = np.setdiff1d(np.arange(len(table)), run.indices)
        if rest.size == 0:
            why = "the draw took every row of X; pass X_test or smaller sizes"
            return {name: undefined(name, why)}
        test = (take_rows(table, rest), None if labels is None else labels[rest])
    real, target = _with_labels(*test, run.y_synth)
    synth, _ = _with_labels(run.X_synth, run.y_synth, run.y_synth)
    train_labels = None if labels is None else labels[run.indices]
    train, _ = _with_labels(take_rows(table, run.indices), train_labels, run.y_synth)
    accepted = inspect.signature(function).parameters
    offered = {
        "X_train": train,
        "X_holdout": real,
        "target": target,
        "random_state": place_seed(plan.entropy, "metric", *place),
    }
    keywords = {
        key: value for key, value in offered.items() if key in accepted and value is not None
    }
    try:
        value = function(real, synth, **keywords)
    except CELL_ERRORS as exc:
        if plan.error_score == "raise":
            raise
        reason = f"{name}: {type(exc).__name__}: {exc}"
        record["error"] = "; ".join(filter(None, [record["error"], reason]))
        return {name: default}
    return value if isinstance(value, dict) else {name: float(value)}


def _with_labels(X, labels, y_synth):
    """Join labels to a table as a discrete column; without synthetic labels there is none."""
    if labels is None or y_synth is None:
        return X, None
    frame = X.reset_index(drop=True) if isinstance(X, pd.DataFrame) else None
    if frame is None:
        values = np.asarray(X)
        frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])])
    name = "y"
    while name in frame.columns:
        name += "_"
    return frame.assign(**{name: pd.Series(np.asarray(labels)).astype("category")}), name


def _warn_of_failures(results):
    failed = results.loc[results["error"] != "", "error"]
    if len(failed):
        warnings.warn(
            f"{len(failed)} of {len(results)} runs failed or lack a score, the first with "
            f"{failed.iloc[0]!r}. The reasons stand in results['error'].",
            FitFailedWarning,
            stacklevel=3,
        )
