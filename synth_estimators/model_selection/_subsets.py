"""Stratified subsets of a table, nested where curves need them."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold, check_cv

from synth_estimators.base import largest_remainder

__all__ = [
    "check_count",
    "check_train_sizes",
    "outer_splits",
    "place_seed",
    "stratified_order",
    "stratified_rows",
]

_PURPOSES = ("folds", "rows", "generator", "sample", "added", "classifier", "metric")


def place_seed(entropy: int, purpose: str, *place: int) -> int:
    """Seed of one step of a study, the same whatever else runs beside it.

    Parameters
    ----------
    entropy : int
        Seed of the whole study.

    purpose : str
        What the seed is for; steps with another purpose are independent.

    *place : int
        Repeat, fold, draw, size, ...: non-negative numbers that tell the steps apart.

    Returns
    -------
    seed : int
        Between 0 and 2**31 - 1.
    """
    key = (_PURPOSES.index(purpose), *(int(number) for number in place))
    return int(np.random.SeedSequence(entropy, spawn_key=key).generate_state(1)[0] >> 1)


def stratified_order(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle rows so that every prefix holds the classes in nearly their shares.

    Parameters
    ----------
    codes : ndarray of int of shape (n_samples,)
        Class of each row.

    rng : numpy Generator
        Shuffles the rows of each class.

    Returns
    -------
    order : ndarray of int of shape (n_samples,)
        A permutation. With two classes, the first n rows hold each of them within one row of n
        times its share.
    """
    place = np.empty(len(codes))
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        # Middles of equal steps: the i-th row of a class comes when its share has filled so far.
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.lexsort((rng.random(len(codes)), place))


def stratified_rows(codes: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows without replacement, classes in their shares by largest remainders.

    With the same seed, a larger draw holds the smaller one but for single rows that the rounding
    of the class counts moves.
    """
    order = rng.permutation(len(codes))
    classes, counts = np.unique(codes, return_counts=True)
    wanted = largest_remainder(counts / counts.sum(), n_rows)
    taken = np.zeros(len(codes), dtype=bool)
    for code, count in zip(classes, wanted, strict=True):
        taken[order[codes[order] == code][:count]] = True
    return order[taken[order]]


def check_train_sizes(train_sizes: Any, n_max: int, *, name: str = "train_sizes") -> list[int]:
    """Turn shares or numbers of rows into sorted, distinct numbers of rows.

    Parameters
    ----------
    train_sizes : array-like
        Whole numbers of rows, or shares of ``n_max`` in (0, 1].

    n_max : int
        Rows that are there.

    name : str, default="train_sizes"
        Word of the caller for the error messages.

    Returns
    -------
    sizes : list of int
    """
    sizes = np.unique(np.asarray(train_sizes).ravel())
    if sizes.size == 0:
        raise ValueError(f"{name} is empty; pass at least one number of rows.")
    if sizes.dtype.kind not in "iuf":
        raise ValueError(f"{name}={train_sizes!r} must hold numbers of rows or shares of the rows.")
    if sizes.dtype.kind == "f" and not np.isfinite(sizes).all():
        raise ValueError(f"{name}={train_sizes!r} holds NaN or infinity.")
    whole = np.all(sizes == np.floor(sizes)) and not (sizes.dtype.kind == "f" and sizes.max() <= 1)
    if not whole:
        if sizes.min() <= 0 or sizes.max() > 1:
            raise ValueError(
                f"{name}={train_sizes!r} mixes shares and numbers; pass shares in (0, 1] or whole "
                "numbers of rows."
            )
        sizes = np.maximum(1, np.floor(sizes * n_max + 1e-9).astype(np.intp))
    if sizes.min() < 1:
        raise ValueError(f"{name} holds {sizes.min():g}; every size must be at least 1 row.")
    if sizes.max() > n_max:
        raise ValueError(
            f"{name} holds {int(sizes.max())}, but only {n_max} rows are there to train on; use "
            f"sizes of at most {n_max}."
        )
    return [int(size) for size in np.unique(sizes)]


def check_count(value: Any, *, name: str, least: int = 1) -> int:
    """Return a whole number of at least ``least`` or raise a clear error."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}.")
    return int(value)


def outer_splits(
    X: Any, codes: np.ndarray, classes: np.ndarray, *, cv: Any, n_repeats: int, entropy: int
) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """Return (repeat, fold, train, test) of every outer fold.

    An integer ``cv`` is a stratified, shuffled split that is new in each repeat.
    """
    if isinstance(cv, numbers.Integral) and not isinstance(cv, bool):
        counts = np.bincount(codes)
        if counts.min() < cv:
            raise ValueError(
                f"Class {classes.tolist()[int(counts.argmin())]!r} has {counts.min()} rows, fewer "
                f"than the {cv} outer folds; use cv={max(2, counts.min())} or less, or merge the "
                "class with another."
            )
        splits = []
        for repeat in range(n_repeats):
            seed = place_seed(entropy, "folds", repeat)
            folds = StratifiedKFold(int(cv), shuffle=True, random_state=seed)
            for fold, (train, test) in enumerate(folds.split(codes, codes)):
                splits.append((repeat, fold, train, test))
        return splits
    if n_repeats > 1:
        raise ValueError(
            f"n_repeats={n_repeats} repeats the folds of an integer cv; pass a splitter that "
            "repeats, such as RepeatedStratifiedKFold, with n_repeats=1."
        )
    splitter = check_cv(cv, codes, classifier=True)
    parts = splitter.split(X, classes[codes])
    return [(0, fold, train, test) for fold, (train, test) in enumerate(parts)]
