"""One unit of a generator's learning curve: the training tables of the regimes and their scores."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import reduce
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from synth_estimators._validation import encode_labels
from synth_estimators.base import largest_remainder
from synth_estimators.baselines import NeighborInterpolation
from synth_estimators.compose import ClassConditionalGenerator
from synth_estimators.compose._class_conditional import _set_seeds
from synth_estimators.model_selection._subsets import place_seed, stratified_order
from synth_estimators.model_selection._trained import encode_pair, fit_classifier, judge

__all__ = [
    "REGIMES",
    "CurvePlan",
    "Regime",
    "expand_regimes",
    "run_unit",
    "take_rows",
]

REGIMES = ("real", "synth", "pilot", "augmented", "bootstrap", "smote")

_WITH_RATIO = ("augmented", "bootstrap", "smote")

# Failures of one table or model; anything else is a mistake in the call and is raised.
CELL_ERRORS = (ValueError, ArithmeticError, RuntimeError)


@dataclass(frozen=True)
class Regime:
    """One way to make a training table out of n rows.

    Attributes
    ----------
    name : str
        Word in the tables, for example ``"augmented_4"``.

    kind : str
        One of ``REGIMES``.

    ratio : float
        Added rows for each real one; 0 where none are added.
    """

    name: str
    kind: str
    ratio: float = 0.0


@dataclass(frozen=True)
class CurvePlan:
    """What every unit of a study needs to know besides its rows."""

    generator: Any
    classifiers: dict
    regimes: tuple
    sizes: tuple
    synth_size: int
    scorers: dict
    preprocess: Any
    entropy: int
    error_score: Any
    train_scores: bool = False
    plain: bool = True


def expand_regimes(regimes: Any, ratios: Any) -> tuple[Regime, ...]:
    """Turn the words of the user into regimes, one for each ratio where rows are added."""
    words = [regimes] if isinstance(regimes, str) else list(regimes)
    unknown = [word for word in words if word not in REGIMES]
    if unknown:
        raise ValueError(f"Unknown regime {unknown[0]!r}; use some of {list(REGIMES)}.")
    if not words:
        raise ValueError(f"regimes is empty; use some of {list(REGIMES)}.")
    ratios = np.unique(np.asarray(ratios, dtype=np.float64).ravel())
    if any(word in _WITH_RATIO for word in words) and not (ratios.size and (ratios > 0).all()):
        raise ValueError("ratios must be numbers above 0: rows added for each real row.")
    expanded = []
    for word in dict.fromkeys(words):
        if word in _WITH_RATIO:
            expanded += [Regime(f"{word}_{ratio:g}", word, float(ratio)) for ratio in ratios]
        else:
            expanded.append(Regime(word, word))
    return tuple(expanded)


def take_rows(table: Any, rows: np.ndarray) -> Any:
    """Rows of a frame, with a fresh index, or of an array."""
    if isinstance(table, pd.DataFrame):
        return table.iloc[rows].reset_index(drop=True)
    return table[rows]


def stack_rows(first: Any, second: Any) -> Any:
    """Rows of two tables below each other, in the container of the first."""
    if isinstance(first, pd.DataFrame):
        return pd.concat([first, _like(first, second)], ignore_index=True)
    return np.vstack([first, np.asarray(second)])


def _like(table, rows):
    """Sampled rows with the columns of a real table, in their order."""
    shape = np.shape(rows)
    if len(shape) != 2 or shape[1] != table.shape[1]:
        raise ValueError(
            f"The generator was fitted on {table.shape[1]} columns, but its rows have the shape "
            f"{shape}."
        )
    if not isinstance(table, pd.DataFrame):
        return rows
    if hasattr(rows, "to_dict"):
        if not isinstance(rows, pd.DataFrame):
            rows = pd.DataFrame(rows.to_dict(as_series=False))
        lost = [label for label in table.columns if label not in rows.columns]
        if lost:
            raise ValueError(f"The rows of the generator lack the column {lost[0]!r}.")
        return rows[list(table.columns)]
    return pd.DataFrame(np.asarray(rows), columns=table.columns)


class _Failed:
    """A table or model that could not be made, with the reason."""

    def __init__(self, error):
        self.error = f"{type(error).__name__}: {error}"


def _failed(plan, error):
    """Keep the reason of a failure, or raise it again if the user wants that."""
    if plan.error_score == "raise":
        raise error
    return _Failed(error)


@dataclass(frozen=True)
class _Training:
    """Rows to train on, with the seconds their generator took."""

    X: Any
    codes: np.ndarray
    n_added: int
    fit_time: float = 0.0
    sample_time: float = 0.0

    def first(self, n_rows):
        """The first rows, all of which were added."""
        part = slice(n_rows)
        X = self.X.iloc[part] if isinstance(self.X, pd.DataFrame) else self.X[part]
        return replace(self, X=X, codes=self.codes[part], n_added=n_rows)


class _Prepared:
    """Real training rows, and the test rows, behind the user's preprocessing."""

    def __init__(self, plan, X, codes, rows, test, batch):
        self.X, self.test = take_rows(X, rows), take_rows(X, test)
        self.codes = codes[rows]
        if plan.preprocess is not None:
            transformer = clone(plan.preprocess)
            keywords = {} if batch is None else {"batch": take_rows(batch, rows)}
            transformer.fit(self.X, self.codes, **keywords)
            self.X = _transform(transformer, self.X, batch, rows)
            self.test = _transform(transformer, self.test, batch, test)


def _transform(transformer, X, batch, rows):
    keywords = {}
    if batch is not None and "batch" in inspect.signature(transformer.transform).parameters:
        keywords["batch"] = take_rows(batch, rows)
    return transformer.transform(X, **keywords)


def fit_generator(generator: Any, X: Any, labels: np.ndarray, *, seed: int) -> Any:
    """Fit a seeded clone that gives rows with labels: as it is, or one clone a class."""
    if hasattr(generator, "sample_labeled"):
        return _set_seeds(clone(generator), seed).fit(X, labels)
    return _set_seeds(ClassConditionalGenerator(clone(generator)), seed).fit(X, labels)


def sample_like(generator: Any, codes: np.ndarray, classes: np.ndarray, n_rows: int, *, seed: int):
    """Sample rows of all classes in the shares of ``codes``; returns them with class positions."""
    present, counts = np.unique(codes, return_counts=True)
    wanted = largest_remainder(counts / counts.sum(), n_rows)
    labels = classes[present].tolist()
    class_counts = {label: int(n) for label, n in zip(labels, wanted, strict=True) if n}
    X_gen, y_gen = generator.sample_labeled(n_rows, class_counts=class_counts, random_state=seed)
    return X_gen, encode_labels(y_gen, classes, n_samples=n_rows)


def _fitted(plan, classes, prepared, place):
    """Fit the generator on the prepared rows; returns it with the seconds, or the failure."""
    started = perf_counter()
    try:
        generator = fit_generator(
            plan.generator,
            prepared.X,
            classes[prepared.codes],
            seed=place_seed(plan.entropy, "generator", *place),
        )
    except CELL_ERRORS as exc:
        return _failed(plan, exc)
    return generator, perf_counter() - started


def _pool(plan, classes, prepared, fitted, n_rows, place):
    """Sampled rows in an order whose prefixes hold the classes in their shares, or the failure."""
    if isinstance(fitted, _Failed):
        return fitted
    generator, fit_time = fitted
    started = perf_counter()
    seed = place_seed(plan.entropy, "sample", *place)
    try:
        X_gen, codes = sample_like(generator, prepared.codes, classes, n_rows, seed=seed)
        X_gen = _like(prepared.X, X_gen)
    except CELL_ERRORS as exc:
        return _failed(plan, exc)
    order = stratified_order(codes, np.random.default_rng(seed))
    sample_time = perf_counter() - started
    return _Training(take_rows(X_gen, order), codes[order], n_rows, fit_time, sample_time)


def _interpolated(prepared, n_rows, seed):
    """Rows between neighbours of the same class, in the shares of the classes."""
    present, counts = np.unique(prepared.codes, return_counts=True)
    wanted = largest_remainder(counts / counts.sum(), n_rows)
    parts, codes = [], []
    for code, count in zip(present, wanted, strict=True):
        rows = np.flatnonzero(prepared.codes == code)
        if count == 0:
            continue
        if len(rows) == 1:
            raise ValueError(
                f"class number {code} has one row among {len(prepared.codes)}; interpolation "
                "needs two rows of a class."
            )
        model = NeighborInterpolation(random_state=int(seed)).fit(take_rows(prepared.X, rows))
        parts.append(model.sample(int(count)))
        codes.append(np.full(count, code))
    return reduce(stack_rows, parts), np.concatenate(codes)


def _added(plan, regime, prepared, pool, place):
    """Training table of a regime that starts from the n real rows, or the failure."""
    n_rows = len(prepared.codes)
    if regime.kind == "real":
        return _Training(prepared.X, prepared.codes, 0)
    if regime.kind in ("pilot", "augmented") and isinstance(pool, _Failed):
        return pool
    if regime.kind == "pilot":
        return pool.first(plan.synth_size)
    n_added = max(1, round(regime.ratio * n_rows))
    times = (0.0, 0.0)
    started = perf_counter()
    try:
        if regime.kind == "augmented":
            more = pool.first(n_added)
            X_more, codes, times = more.X, more.codes, (pool.fit_time, pool.sample_time)
        elif regime.kind == "bootstrap":
            rng = np.random.default_rng(place_seed(plan.entropy, "added", *place))
            rows = rng.integers(n_rows, size=n_added)
            X_more, codes = take_rows(prepared.X, rows), prepared.codes[rows]
        else:
            seed = place_seed(plan.entropy, "added", *place)
            X_more, codes = _interpolated(prepared, n_added, seed)
            times = (0.0, perf_counter() - started)
        stacked = stack_rows(prepared.X, X_more)
    except CELL_ERRORS as exc:
        return _failed(plan, exc)
    return _Training(stacked, np.concatenate([prepared.codes, codes]), n_added, *times)


def _cell(plan, classes, regime, training, prepared, test_codes, *, n_train, place):
    """Result rows of one training table: every classifier and metric."""
    base = {
        "repeat": place[0],
        "fold": place[1],
        "draw": place[2],
        "n_train": n_train,
        "n_synth": np.nan if isinstance(training, _Failed) else training.n_added,
        "regime": regime.name,
    }
    encoded = training
    if not isinstance(training, _Failed):
        try:
            encoded = encode_pair(training.X, prepared.test, plain=plan.plain)
        except CELL_ERRORS as exc:
            encoded = _failed(plan, exc)
    records = []
    for index, (name, classifier) in enumerate(plan.classifiers.items()):
        outcome = _train(
            plan, classes, classifier, encoded, training, test_codes, (*place, n_train, index)
        )
        records += [{**base, "classifier": name, **row} for row in outcome]
    return records


def _train(plan, classes, classifier, encoded, training, test_codes, place):
    """Fit one classifier and score it; a failure counts as ``error_score``."""
    times = {"fit_time": np.nan, "sample_time": np.nan, "train_time": np.nan}
    error, scores, on_train, score_time = "", {}, {}, np.nan
    if isinstance(encoded, _Failed):
        error = encoded.error
    else:
        times["fit_time"], times["sample_time"] = training.fit_time, training.sample_time
        X_train, X_test = encoded
        try:
            # The same seed in every regime: regimes differ in their rows only.
            model, times["train_time"] = fit_classifier(
                classifier,
                X_train,
                training.codes,
                classes,
                seed=place_seed(plan.entropy, "classifier", *place),
            )
            started = perf_counter()
            scores = judge(model, X_test, test_codes, plan.scorers)
            score_time = perf_counter() - started
            if plan.train_scores:
                on_train = judge(model, X_train, training.codes, plan.scorers)
        except CELL_ERRORS as exc:
            error = _failed(plan, exc).error
    default = np.nan if plan.error_score == "raise" else float(plan.error_score)
    rows = []
    for metric in plan.scorers:
        score, reason = scores.get(metric, default), error
        if not reason and np.isnan(score):
            # Such as the ROC AUC of test rows of one class.
            score, reason = default, f"ValueError: {metric} has no value on these test rows"
            if plan.error_score == "raise":
                raise ValueError(f"{metric} has no value on the test rows of the fold {place[1]}.")
        row = {"metric": metric, "score": score, **times, "error": reason}
        if plan.train_scores:
            row |= {"train_score": on_train.get(metric, default), "score_time": score_time}
        rows.append(row)
    return rows


def run_on_draw(plan: CurvePlan, X, codes, classes, batch, train, test, place) -> list[dict]:
    """All regimes that start from the rows of one draw, at every size.

    Parameters
    ----------
    plan : CurvePlan
        The study; only the regimes given there are run.

    X : ndarray or DataFrame of shape (n_samples, n_features)
        The whole table.

    codes, classes : ndarray
        Class position of each row, and the labels.

    batch : ndarray or None
        Batch label of each row, for the preprocessing.

    train, test : ndarray of int
        Rows of the outer fold.

    place : tuple of int
        Repeat, fold and draw.

    Returns
    -------
    records : list of dict
    """
    rng = np.random.default_rng(place_seed(plan.entropy, "rows", *place))
    order = train[stratified_order(codes[train], rng)]
    largest_ratio = max((r.ratio for r in plan.regimes if r.kind == "augmented"), default=0.0)
    generates = any(regime.kind in ("pilot", "augmented") for regime in plan.regimes)
    pilots = any(regime.kind == "pilot" for regime in plan.regimes)
    records = []
    with threadpool_limits(limits=1):
        for n_train in plan.sizes:
            prepared = _Prepared(plan, X, codes, order[:n_train], test, batch)
            pool = None
            if generates:
                n_pool = max(
                    plan.synth_size if pilots else 0, max(1, round(largest_ratio * n_train))
                )
                here = (*place, n_train)
                fitted = _fitted(plan, classes, prepared, here)
                pool = _pool(plan, classes, prepared, fitted, n_pool, here)
            for regime in plan.regimes:
                training = _added(plan, regime, prepared, pool, (*place, n_train))
                records += _cell(
                    plan,
                    classes,
                    regime,
                    training,
                    prepared,
                    codes[test],
                    n_train=n_train,
                    place=place,
                )
    return records


def run_on_fold(plan: CurvePlan, X, codes, classes, batch, train, test, place, draws) -> list[dict]:
    """The regime ``synth`` of one outer fold: one generator, a table of new rows a draw.

    The parameters are those of ``run_on_draw``, with ``place`` the repeat and fold, and the draws.
    """
    regime = Regime("synth", "synth")
    records = []
    with threadpool_limits(limits=1):
        prepared = _Prepared(plan, X, codes, train, test, batch)
        fitted = _fitted(plan, classes, prepared, place)
        for draw in draws:
            pool = _pool(plan, classes, prepared, fitted, max(plan.sizes), (*place, draw))
            for n_train in plan.sizes:
                training = pool
                if not isinstance(pool, _Failed):
                    training = pool.first(n_train)
                records += _cell(
                    plan,
                    classes,
                    regime,
                    training,
                    prepared,
                    codes[test],
                    n_train=n_train,
                    place=(*place, draw),
                )
    return records


def run_unit(kind, split, draws, *, key, plan, data):
    """One unit that can be cached: the regime "synth" of a fold, or the others of one draw.

    Parameters
    ----------
    kind : {"synth", "draw"}
        Which of the two.

    split : tuple
        Repeat, fold, training rows and test rows.

    draws : tuple of int
        Draws of the unit.

    key : str or None
        Stands for ``plan`` and ``data`` in a cache.

    plan : CurvePlan
        The study.

    data : tuple
        Table, class positions, labels and batches.

    Returns
    -------
    records : list of dict
    """
    repeat, fold, train, test = split
    if kind == "synth":
        return run_on_fold(plan, *data, train, test, (repeat, fold), draws)
    return run_on_draw(plan, *data, train, test, (repeat, fold, draws[0]))
