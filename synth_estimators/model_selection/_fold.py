"""One fit and one sample of a generator: what the loops over splits repeat."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import Bunch
from sklearn.utils.multiclass import type_of_target

from synth_estimators._random import draw_seed, spawn_seeds
from synth_estimators.metrics import METRICS
from synth_estimators.model_selection._sampling import (
    draw_rows,
    is_conditional,
    label_column,
    resolve,
    sample,
)
from synth_estimators.preprocessing._columns import as_frame, category_label, is_discrete_dtype

__all__ = [
    "Sampler",
    "check_n_samples",
    "fit_and_sample",
    "is_class_like",
    "make_splits",
    "metric_functions",
    "seed_unset",
    "take_rows",
    "with_labels",
]


class Sampler(BaseEstimator):
    """Gives a pipeline that ends in a generator, or a search over them, a ``sample`` of its own.

    Parameters
    ----------
    estimator : estimator
        Pipeline or search.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y=None):
        """Fit a clone; labels are not used."""
        self.estimator_ = clone(self.estimator).fit(X)
        return self

    def sample(self, n_samples=1, *, random_state=None):
        """Sample rows in data units."""
        generator, inverses = resolve(self.estimator_)
        rows = sample(generator, n_samples, random_state)
        for inverse in inverses:
            rows = inverse(rows)
        return rows


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Rows of a table or of labels, in the same container."""
    if X is None:
        return None
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "shape"):
        return X[rows]
    return np.asarray(X)[rows]


def with_labels(table: pd.DataFrame, labels: Any, name: Any) -> pd.DataFrame:
    """Append labels as a category column."""
    return table.reset_index(drop=True).assign(**{name: label_column(labels)})


def check_n_samples(n_samples: Any) -> None:
    """Refuse sizes of the synthetic table that mean nothing."""
    if n_samples in ("match", "train") or (
        isinstance(n_samples, Real) and not isinstance(n_samples, bool) and n_samples > 0
    ):
        return
    raise ValueError(
        f"n_samples={n_samples!r} must be 'match' (as many as held-out rows), 'train' (as many as "
        "training rows), a number of rows (int) or a factor of the held-out rows (float)."
    )


def _n_rows(n_samples, n_train, n_test):
    if n_samples == "match":
        return n_test
    if n_samples == "train":
        return n_train
    if isinstance(n_samples, Integral):
        return int(n_samples)
    return max(1, round(float(n_samples) * n_test))


def is_class_like(y: Any) -> bool:
    """Whether labels are classes rather than numbers that are measured."""
    column = pd.Series(np.asarray(y).ravel())
    if is_discrete_dtype(column.dtype):
        return True
    return type_of_target(column.dropna().to_numpy()) in ("binary", "multiclass")


def _strata(X, y, target):
    """Integer classes to spread over the folds, or None."""
    if y is not None:
        labels = pd.Series(np.asarray(y).ravel())
        if not is_class_like(labels):
            return None
    elif target is not None:
        frame, _ = as_frame(X)
        if target not in frame.columns:
            return None
        labels = frame[target].reset_index(drop=True)
        if not is_discrete_dtype(labels.dtype):
            return None
    else:
        return None
    return pd.factorize(labels.map(category_label).astype(object))[0]


def make_splits(
    X: Any, y: Any, *, cv: Any, target: Any, groups: Any, random_state: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test row numbers; an integer ``cv`` shuffles, and stratifies by classes."""
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if y is not None and len(y) != n_rows:
        raise ValueError(f"y has {len(y)} labels but X has {n_rows} rows; pass one a row.")
    if n_rows < 4:
        raise ValueError(f"X has {n_rows} rows; a comparison over splits needs at least 4.")
    strata = _strata(X, y, target)
    if isinstance(cv, Integral):
        if not 2 <= cv <= n_rows // 2:
            raise ValueError(
                f"cv={cv!r} must lie between 2 and half the {n_rows} rows of X, so that every "
                "fold has two rows."
            )
        if strata is not None and np.bincount(strata).max() < cv:
            strata = None
        kind = KFold if strata is None else StratifiedKFold
        cv = kind(int(cv), shuffle=True, random_state=draw_seed(random_state))
    else:
        cv = check_cv(cv, strata, classifier=strata is not None)
    with warnings.catch_warnings():
        # Rare classes are spread as far as they reach.
        warnings.filterwarnings("ignore", message="The least populated class")
        splits = list(cv.split(np.zeros((n_rows, 1)), strata, groups))
    if not splits:
        raise ValueError(f"cv={cv!r} makes no splits.")
    for train, test in splits:
        if len(train) == 0 or len(test) == 0:
            raise ValueError(f"cv={cv!r} makes a split without training or without test rows.")
    return splits


def seed_unset(estimator: Any, seed: int) -> Any:
    """Give seeds to the ``random_state`` parameters that are None, so that results repeat."""
    if not hasattr(estimator, "get_params"):
        return estimator
    names = sorted(
        name
        for name, value in estimator.get_params(deep=True).items()
        if (name == "random_state" or name.endswith("__random_state")) and value is None
    )
    seeds = spawn_seeds(seed, len(names))
    return estimator.set_params(**dict(zip(names, seeds, strict=True))) if names else estimator


def fit_and_sample(
    estimator: Any,
    X: Any,
    y: Any,
    train: np.ndarray,
    test: np.ndarray,
    *,
    n_samples: Any,
    conditional: str,
    seed: int,
) -> Bunch:
    """Fit a clone on the training rows and sample once.

    Returns
    -------
    run : Bunch
        ``estimator``, ``rows``, ``labels`` (None for unconditional generators), ``fit_time``,
        ``sample_time``, ``messages`` (warnings as (category, text)), ``error`` (None or the
        exception) .
    """
    fit_seed, sample_seed = spawn_seeds(seed, 2)
    run = Bunch(
        estimator=None, rows=None, labels=None, fit_time=np.nan, sample_time=np.nan, error=None
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            estimator = seed_unset(clone(estimator), fit_seed)
            start = time.perf_counter()
            try:
                rows, labels = take_rows(X, train), take_rows(y, train)
                estimator = estimator.fit(rows) if y is None else estimator.fit(rows, labels)
            finally:
                run.fit_time = time.perf_counter() - start
            start = time.perf_counter()
            generator, inverses = resolve(estimator)
            judged = y if is_conditional(generator) else None
            run.rows, run.labels = draw_rows(
                generator,
                _n_rows(n_samples, len(train), len(test)),
                y=take_rows(judged, test),
                seed=sample_seed,
                conditional=conditional,
            )
            for inverse in inverses:
                run.rows = inverse(run.rows)
            run.sample_time = time.perf_counter() - start
            run.estimator = estimator
        except Exception as exc:
            # One candidate on one split; the caller reports it or raises it again.
            run.error = exc
    run.messages = list(
        dict.fromkeys(
            (warning.category, str(warning.message))
            for warning in caught
            if issubclass(warning.category, UserWarning)
        )
    )
    return run


def metric_functions(metrics: Any) -> tuple[Any, dict[str, Any]]:
    """Split what is asked for into names that a panel takes and callables by name."""
    if isinstance(metrics, str):
        return ([metrics] if metrics in METRICS else metrics), {}
    if callable(metrics):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        items = list(metrics.items())
        wrong = [name for name, metric in items if not callable(metric)]
        if wrong:
            raise ValueError(
                f"metrics maps {wrong} to something that cannot be called; a dict maps names to "
                "callables metric(X_real, X_synth) -> float."
            )
    else:
        items = [(getattr(m, "__name__", repr(m)), m) for m in metrics]
        items = [(m, m) if isinstance(m, str) else (name, m) for name, m in items]
    if not items:
        raise ValueError("metrics is empty; name at least one metric.")
    functions = {}
    names = []
    for name, metric in items:
        known = next((key for key, info in METRICS.items() if info.function is metric), None)
        if isinstance(metric, str) or known == name:
            names.append(name)
        else:
            functions[name] = metric
    return names, functions
