"""Scores of five classifiers on subsets of a table: how many rows does a study need."""

from __future__ import annotations

import math
import multiprocessing
import warnings
from contextlib import nullcontext
from copy import copy
from numbers import Integral, Real
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_memory
from threadpoolctl import threadpool_limits

from synth_estimators import __version__
from synth_estimators._random import draw_seed
from synth_estimators._validation import check_labels
from synth_estimators.base import largest_remainder
from synth_estimators.metrics._encoding import FoldEncoder
from synth_estimators.model_selection._classifiers import (
    CLASSIFIER_NAMES,
    METRIC_NAMES,
    judge_fold,
    resolve_method,
)
from synth_estimators.model_selection._ridge_logistic import N_INNER_FOLDS
from synth_estimators.model_selection._subsets import (
    check_count,
    check_train_sizes,
    place_seed,
    stratified_rows,
)
from synth_estimators.preprocessing._columns import MixedTable, category_label, read_tables

__all__ = ["evaluate_sample_sizes"]


class _Data(NamedTuple):
    """The table, and the test rows if they are fixed."""

    table: MixedTable
    codes: np.ndarray
    n_classes: int
    test_table: MixedTable | None
    test_codes: np.ndarray | None


def evaluate_sample_sizes(
    X: Any,
    y: Any,
    *,
    sample_sizes: Any,
    X_test: Any = None,
    y_test: Any = None,
    methods: Any = None,
    n_draws: int = 5,
    regime: str = "real",
    n_axis: str = "total",
    apply_log: bool = False,
    discrete_columns: Any = "auto",
    cv: Any = 5,
    n_jobs: int | None = None,
    random_state: Any = None,
    memory: Any = None,
    verbose: int = 0,
    error_score: Any = np.nan,
) -> pd.DataFrame:
    """Score classifiers on stratified subsets of a table, for several numbers of rows.

    For every size and draw a stratified subset is taken without replacement and each classifier
    is judged by stratified cross-validation inside it, or, with ``X_test`` and ``y_test``, trained
    on all of it and judged on the test rows. ``fit_curve`` turns the table into a learning curve.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, real or synthetic. Columns of text, categories and missing cells are encoded with
        what the training rows of a fold know.

    y : array-like of shape (n_samples,)
        Labels of at least two classes.

    sample_sizes : array-like or int
        Numbers of rows (or shares of the rows), or the number of equally spaced sizes up to all
        rows.

    X_test, y_test : table and labels, default=None
        Fixed test rows, which hold every class. Real rows here and synthetic rows in ``X`` say
        what synthetic rows are worth; cross-validation of synthetic rows does not.

    methods : str or list of str, default=None
        Some of "LOGIS", "SVM", "KNN", "RF", "XGB"; None takes all five.

    n_draws : int, default=5
        Subsets for each size.

    regime : str, default="real"
        Value of the column ``regime``, to tell tables apart when they are put together.

    n_axis : {"total", "train"}, default="total"
        What ``sample_sizes`` count: rows of the subset, or rows that the classifiers are fitted
        on, which are fewer inside cross-validation.

    apply_log : bool, default=False
        Replace numeric cells by log2(x + 1), for counts.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans as discrete.

    cv : int or splitter, default=5
        Folds. An int shuffles anew for every draw.

    n_jobs : int, default=None
        Workers over sizes and draws; the scores do not depend on it.

    random_state : int, RandomState instance or None, default=None
        Seeds subsets, folds and classifiers; every draw of every size has seeds of its own.

    memory : str, joblib.Memory or None, default=None
        Folder that keeps every finished draw, so that an interrupted run goes on where it
        stopped; needs an int ``random_state``.

    verbose : int, default=0
        Passed to joblib.

    error_score : "raise" or float, default=nan
        Score of a fold whose fit fails.

    Returns
    -------
    table : DataFrame
        One row for every size, draw and method: ``total_size``, ``draw``, ``method``,
        ``f1_score`` (macro), ``accuracy``, ``auc`` (one against one for more than two classes),
        ``n_train`` (rows fitted on, mean over the folds), ``fold_sd_f1_score``,
        ``fold_sd_accuracy``, ``fold_sd_auc`` (between folds; NaN with fixed test rows),
        ``n_failed`` (folds whose fit failed) and ``regime``.

    Raises
    ------
    ValueError
        When a size is larger than the table, or leaves a class with too few rows for the folds.

    See Also
    --------
    fit_curve : Learning curve of one method.
    GeneratorLearningCurve : Nested test folds and what synthetic rows add.

    Notes
    -----
    Scaling and encoding are learned on the training rows of a fold alone. The classifiers are
    those of the published study (logistic regression with five inner folds over ten strengths,
    RBF support vector machine, five nearest neighbours, 100 trees, ten rounds of boosting) in
    implementations for many small fits: the products of the rows are computed once for three of
    them, and the strengths and inner folds of the logistic regression are solved together.

    References
    ----------
    .. [1] Qi, Y., Wang, X. and Qin, L.-X. (2025). "Optimizing sample size for supervised machine
       learning with bulk transcriptomic sequencing: a learning curve approach". Briefings in
       Bioinformatics 26, bbaf097.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from synth_estimators.model_selection import evaluate_sample_sizes
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> table = evaluate_sample_sizes(
    ...     X, y, sample_sizes=[40, 80], methods="KNN", n_draws=2, random_state=0
    ... )
    >>> table[["total_size", "draw", "method", "n_train"]]
       total_size  draw method  n_train
    0          40     0    KNN     32.0
    1          40     1    KNN     32.0
    2          80     0    KNN     64.0
    3          80     1    KNN     64.0
    """
    memory = check_memory(memory)
    caches = getattr(memory, "location", True) is not None
    if caches and random_state is None:
        raise ValueError(
            "memory= keeps finished draws for a later call, which needs the same seeds; pass an "
            "int as random_state."
        )
    if error_score != "raise" and (isinstance(error_score, bool | str)):
        raise ValueError(f"error_score={error_score!r} must be 'raise' or a number.")
    methods = _checked_methods(methods)
    data, labels = _read(X, y, X_test, y_test, discrete_columns, apply_log=apply_log)
    cv = _checked_cv(cv)
    external = data.test_table is not None
    sizes = _checked_sizes(sample_sizes, len(data.codes), n_axis, cv, external=external)
    n_draws = check_count(n_draws, name="n_draws")
    for size in sizes:
        _check_feasible(size, data, labels, cv, methods, external=external)

    entropy = draw_seed(random_state)
    unit = memory.cache(_score_draw, ignore=["data"])
    key = joblib.hash((tuple(data), __version__)) if caches else None
    places = [(size, draw) for size in sizes for draw in range(n_draws)]
    # The long ones first, so that no worker is left with one at the end.
    order = sorted(range(len(places)), key=lambda k: -places[k][0])
    # One thread for linear algebra: the same bits whatever runs beside.
    with threadpool_limits(limits=1):
        outcomes = Parallel(n_jobs=n_jobs, verbose=verbose)(
            delayed(unit)(*places[k], key=key, data=data, cv=cv, methods=methods, entropy=entropy)
            for k in order
        )
    found = dict(zip(order, outcomes, strict=True))
    return _tabulate(places, [found[k] for k in range(len(places))], methods, regime, error_score)


def _score_draw(size, draw, *, key, data, cv, methods, entropy):
    """Scores of every method on every fold of one subset, and the rows fitted on."""
    in_worker = multiprocessing.parent_process() is not None
    with threadpool_limits(limits=1) if in_worker else nullcontext():
        rng = np.random.default_rng(place_seed(entropy, "rows", size, draw))
        rows = stratified_rows(data.codes, size, rng)
        table, codes = data.table.take(rows), data.codes[rows]
        seeds = [
            place_seed(entropy, "classifier", size, draw, CLASSIFIER_NAMES.index(method))
            for method in methods
        ]
        if data.test_table is not None:
            splits = [(table, codes, data.test_table, data.test_codes)]
        else:
            seed = place_seed(entropy, "folds", size, draw)
            if isinstance(cv, int):
                cv = StratifiedKFold(cv, shuffle=True, random_state=seed)
            elif not isinstance(getattr(cv, "random_state", 0), Integral):
                # A splitter without a seed of its own gets one, so that results repeat.
                cv = copy(cv)
                cv.random_state = seed
            splits = [
                (table.take(train), codes[train], table.take(test), codes[test])
                for train, test in cv.split(np.zeros((len(codes), 1)), codes)
            ]
        folds, n_train = [], []
        for fold, (train, train_codes, test, test_codes) in enumerate(splits):
            encoder = FoldEncoder(impute=True).fit(train)
            folds.append(
                judge_fold(
                    encoder.transform(train),
                    train_codes,
                    encoder.transform(test),
                    test_codes,
                    data.n_classes,
                    methods,
                    [place_seed(seed, "classifier", fold) for seed in seeds],
                )
            )
            n_train.append(len(train_codes))
    return folds, float(np.mean(n_train))


def _tabulate(places, outcomes, methods, regime, error_score):
    """One row for every subset and method; failed fits are counted and reported."""
    records, failures = [], []
    for (size, draw), (folds, n_train) in zip(places, outcomes, strict=True):
        for method in methods:
            failed = [fold[method] for fold in folds if isinstance(fold[method], Exception)]
            if failed and error_score == "raise":
                raise failed[0]
            failures += [f"{method} at {size} rows, draw {draw}: {error}" for error in failed]
            scores = np.array(
                [
                    [error_score] * len(METRIC_NAMES)
                    if isinstance(fold[method], Exception)
                    else fold[method]
                    for fold in folds
                ],
                dtype=np.float64,
            )
            spread = np.full(len(METRIC_NAMES), np.nan)
            if len(folds) > 1:
                spread = scores.std(axis=0, ddof=1)
            records.append(
                {
                    "total_size": size,
                    "draw": draw,
                    "method": method,
                    **dict(zip(METRIC_NAMES, scores.mean(axis=0), strict=True)),
                    "n_train": n_train,
                    **{
                        f"fold_sd_{name}": sd for name, sd in zip(METRIC_NAMES, spread, strict=True)
                    },
                    "n_failed": len(failed),
                    "regime": regime,
                }
            )
    if failures:
        warnings.warn(
            f"{len(failures)} fits failed and have the score {error_score!r}; the first: "
            f"{failures[0]}. Pass error_score='raise' to stop there.",
            FitFailedWarning,
            stacklevel=3,
        )
    return pd.DataFrame(records)


def _checked_methods(methods):
    if methods is None:
        return list(CLASSIFIER_NAMES)
    if isinstance(methods, str):
        methods = [methods]
    resolved = list(dict.fromkeys(resolve_method(name) for name in methods))
    if not resolved:
        raise ValueError(f"methods is empty; use some of {list(CLASSIFIER_NAMES)}.")
    return resolved


def _checked_cv(cv):
    if hasattr(cv, "split"):
        return cv
    if isinstance(cv, bool) or not isinstance(cv, Integral) or cv < 2:
        raise ValueError(f"cv={cv!r} must be an integer of at least 2 or a splitter.")
    return int(cv)


def _read(X, y, X_test, y_test, discrete_columns, *, apply_log):
    """Read tables and labels; labels are compared as text."""
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test belong together; pass both or none.")
    named = {"X": X} if X_test is None else {"X": X, "X_test": X_test}
    tables = read_tables(named, discrete_columns=discrete_columns, synthetic=())
    if apply_log:
        for name, table in tables.items():
            if (table.continuous <= -1).any():
                raise ValueError(
                    f"{name} holds values of -1 or less, which have no log2(x + 1); pass "
                    "apply_log=False for values that are no counts."
                )
            table.continuous = np.log2(table.continuous + 1.0)
    table = tables["X"]
    owner = "evaluate_sample_sizes"
    labels = _text(check_labels(y, n_samples=len(table), owner=owner))
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class only, {str(classes[0])!r}; a learning curve of a classifier needs "
            "at least 2."
        )
    if X_test is None:
        return _Data(table, codes, len(classes), None, None), classes
    test = tables["X_test"]
    test_labels = _text(check_labels(y_test, n_samples=len(test), owner=owner))
    unknown = np.setdiff1d(test_labels, classes).tolist()
    missing = np.setdiff1d(classes, test_labels).tolist()
    if unknown:
        raise ValueError(f"y_test holds the classes {unknown}, which are not in y.")
    if missing:
        raise ValueError(f"y_test has no row of the classes {missing} of y.")
    return _Data(table, codes, len(classes), test, np.searchsorted(classes, test_labels)), classes


def _text(labels):
    """Labels as text, so that 1, 1.0 and "1" are one class."""
    return np.array([category_label(label) for label in labels])


def _checked_sizes(sample_sizes, n_rows, n_axis, cv, *, external):
    """Return numbers of rows of the subsets."""
    if n_axis not in ("total", "train"):
        raise ValueError(f"n_axis={n_axis!r} is unknown; use 'total' or 'train'.")
    share = 1.0
    if n_axis == "train" and not external:
        if not isinstance(cv, int):
            raise ValueError(
                "n_axis='train' needs an integer cv, which says how many rows it fits."
            )
        share = (cv - 1) / cv
    if isinstance(sample_sizes, Real) and not isinstance(sample_sizes, bool | Integral):
        raise ValueError(
            f"sample_sizes={sample_sizes!r} must be a list of sizes or the number of sizes."
        )
    n_max = math.floor(n_rows * share)
    if isinstance(sample_sizes, Integral):
        n_sizes = check_count(sample_sizes, name="sample_sizes")
        if n_sizes > n_max:
            raise ValueError(f"sample_sizes={n_sizes} sizes do not fit into {n_max} rows.")
        sizes = np.round(np.linspace(n_max / n_sizes, n_max, n_sizes)).astype(int).tolist()
    else:
        sizes = check_train_sizes(sample_sizes, n_max, name="sample_sizes")
    return [min(n_rows, math.ceil(size / share - 1e-9)) for size in sizes]


def _check_feasible(size, data, labels, cv, methods, *, external):
    """Every class needs rows in every fold, and LOGIS in every inner fold."""
    shares = np.bincount(data.codes) / len(data.codes)
    counts = largest_remainder(shares, size)
    rarest = counts.argmin()
    least, folds = 1, 0
    if not external and isinstance(cv, int):
        least, folds = cv, cv
    if "LOGIS" in methods:
        while least - (math.ceil(least / folds) if folds else 0) < N_INNER_FOLDS:
            least += 1
    if counts[rarest] < least:
        reason = f"{cv} folds" if not external else "training"
        if "LOGIS" in methods:
            reason += f" and the {N_INNER_FOLDS} inner folds of LOGIS"
        raise ValueError(
            f"A stratified subset of {size} rows has {counts[rarest]} of the class "
            f"{str(labels[rarest])!r}, but {reason} need {least}; use sizes of at least "
            f"{math.ceil(least / shares[rarest])}, or fewer folds."
        )
