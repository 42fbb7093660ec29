"""Batch labels and covariates as the columns of a design matrix."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._validation import from_polars, is_polars

__all__ = [
    "BatchLevels",
    "CovariateCoder",
    "as_labels",
    "check_confounding",
    "match_batches",
]

# Columns whose share outside the span of the others is below this count as dependent.
_RANK_TOLERANCE = 1e-7


def _shown(values, limit=10):
    """Labels for a message, cut after ``limit``."""
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if len(values) <= limit:
        return repr(values)
    return f"{values[:limit]!r} and {len(values) - limit} more"


def as_labels(values: Any, *, n_samples: int, name: str) -> np.ndarray:
    """Return labels as a one-dimensional array without missing values.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
        Labels: text, whole numbers, booleans, categories.

    n_samples : int
        Number of rows they belong to.

    name : str
        What the labels are called in messages.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        Numbers as they are, text as objects.

    Raises
    ------
    ValueError
        For another length or shape, missing labels, or labels of several types.
    """
    if is_polars(values):
        values = from_polars(values) if hasattr(values, "columns") else values.to_list()
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    columns = pd.Series | pd.Index | pd.api.extensions.ExtensionArray
    if not isinstance(values, columns) or isinstance(values, pd.MultiIndex):
        shape = values.to_frame().shape if isinstance(values, pd.MultiIndex) else np.shape(values)
        if len(shape) == 2 and shape[1] == 1:
            values = np.asarray(values)[:, 0]
        elif len(shape) != 1:
            raise ValueError(
                f"{name} has shape {shape}; expected one label a row, shape ({n_samples},)."
            )
    labels = pd.Series(values).reset_index(drop=True)
    if len(labels) != n_samples:
        raise ValueError(
            f"{name} has {len(labels)} labels but X has {n_samples} rows; pass one label a row."
        )
    missing = np.flatnonzero(labels.isna())
    if missing.size:
        raise ValueError(
            f"{name} is missing in {missing.size} of {n_samples} rows (first in row "
            f"{int(missing[0])}); drop these rows or give them a label of their own."
        )
    array = np.asarray(labels)
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind in "mM":
        # As objects of pandas they are equal whatever their unit is.
        return pd.Series(array).astype(object).to_numpy()
    array = array.astype(object)
    _refuse_mixed_types(array, name)
    numbers = pd.Series(array).infer_objects().to_numpy()
    return numbers if numbers.dtype.kind in "biuf" else array


def _refuse_mixed_types(array, name):
    kinds = {_kind(value) for value in array}
    if len(kinds) > 1:
        examples = [next(v for v in array if _kind(v) == kind) for kind in sorted(kinds)]
        raise ValueError(
            f"{name} mixes types of labels, for example {_shown(examples)}; 1 and '1' are not the "
            "same label. Convert them to one type, for example with astype(str)."
        )


def _kind(value):
    if isinstance(value, str | bytes):
        return "text"
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return "number"
    return type(value).__name__


@dataclass
class BatchLevels:
    """Sorted levels of batch labels and the number of the level of every row.

    Attributes
    ----------
    levels : ndarray of shape (n_batches,)
        Distinct labels, sorted.

    codes : ndarray of int of shape (n_samples,)
        Index into ``levels`` of every row.
    """

    levels: np.ndarray
    codes: np.ndarray

    @classmethod
    def from_labels(cls, labels: np.ndarray) -> BatchLevels:
        """Read levels and codes from labels without missing values."""
        levels, codes = np.unique(labels, return_inverse=True)
        return cls(levels, codes.astype(np.intp, copy=False).ravel())

    @property
    def counts(self) -> np.ndarray:
        """Rows of every level."""
        return np.bincount(self.codes, minlength=len(self.levels))


def match_batches(
    labels: np.ndarray, levels: np.ndarray, *, unseen: str, owner: str, name: str = "batch"
) -> np.ndarray:
    """Return the index of the fitted batch of every row, -1 for batches unseen during fit.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Labels without missing values.

    levels : ndarray of shape (n_batches,)
        Batches seen during fit.

    unseen : {"error", "passthrough", "estimate"}
        "error" raises for unseen batches, "passthrough" warns that their rows stay as they are.

    owner : str
        Name of the corrector, for messages.

    name : str, default="batch"
        What the labels are called, for messages.

    Returns
    -------
    codes : ndarray of int of shape (n_samples,)

    Raises
    ------
    ValueError
        For unseen batches with ``unseen="error"``.
    """
    position = {level: index for index, level in enumerate(levels.tolist())}
    numbers, found = pd.factorize(labels)
    known = np.array([position.get(label, -1) for label in found.tolist()], dtype=np.intp)
    if (known < 0).any() and unseen != "estimate":
        new = _shown([label for label, code in zip(found.tolist(), known, strict=True) if code < 0])
        if unseen == "error":
            raise ValueError(
                f"{name} holds labels unseen during fit: {new}; {owner} knows "
                f"{_shown(levels.tolist())}. Fit it on rows of these batches, or choose another "
                "value of 'unseen'."
            )
        warnings.warn(
            f"{name} holds labels unseen during fit: {new}; {owner}(unseen='passthrough') leaves "
            f"{int((known[numbers] < 0).sum())} rows as they are.",
            UserWarning,
            stacklevel=3,
        )
    return known[numbers]


class CovariateCoder:
    """Covariates as columns of numbers, with the levels seen during fit.

    A categorical covariate gets one column of zeros and ones for every level but the first (in
    sorted order); a numeric one stays as it is. Columns that are constant during fit are left out.

    Parameters
    ----------
    categorical : list or None
        Covariates to take as categories although they hold numbers; None goes by the dtype.

    Attributes
    ----------
    columns : list
        The covariates.

    levels : dict
        Sorted levels of every categorical covariate.

    names : list of str
        One name for every coded column, for example ``"sex=M"``.

    sources : list
        The covariate of every coded column.
    """

    def __init__(self, categorical: Any = None):
        self.categorical = categorical

    def fit(self, frame: pd.DataFrame) -> CovariateCoder:
        """Learn the levels of the categorical columns of ``frame``."""
        self.columns = list(frame.columns)
        wanted = [] if self.categorical is None else list(self.categorical)
        unknown = [name for name in wanted if name not in self.columns]
        if unknown:
            raise ValueError(
                f"categorical names {_shown(unknown)}, which are not among the covariates "
                f"{_shown(self.columns)}."
            )
        self.levels, self.names, self.sources, self._varying = {}, [], [], {}
        for column in self.columns:
            values = frame[column]
            if column in wanted or not _is_number(values):
                labels = as_labels(values, n_samples=len(frame), name=f"Covariate {column!r}")
                self.levels[column] = np.unique(labels)
                names = [f"{column}={level}" for level in self.levels[column][1:]]
            else:
                numbers = self._numbers(values, column)
                rounding = 8 * np.finfo(np.float64).eps * np.abs(numbers).max(initial=0.0)
                self._varying[column] = bool(len(numbers)) and bool(np.ptp(numbers) > rounding)
                names = [str(column)] if self._varying[column] else []
            self.names += names
            self.sources += [column] * len(names)
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the coded columns, with the levels of ``fit``."""
        absent = [column for column in self.columns if column not in frame.columns]
        if absent:
            raise ValueError(
                f"covariates lack {_shown(absent)}, which were there during fit; pass all of "
                f"{_shown(self.columns)}."
            )
        parts = [np.empty((len(frame), 0))]
        for column in self.columns:
            if column in self.levels:
                parts.append(self._indicators(frame[column], column))
            else:
                numbers = self._numbers(frame[column], column)
                if self._varying[column]:
                    parts.append(numbers[:, None])
        return np.hstack(parts)

    def _numbers(self, values, column):
        if not _is_number(values):
            raise ValueError(
                f"Covariate {column!r} held numbers during fit, but now has dtype {values.dtype}."
            )
        numbers = pd.Series(values).to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.flatnonzero(~np.isfinite(numbers))
        if bad.size:
            raise ValueError(
                f"Covariate {column!r} is missing or infinite in {bad.size} of {len(numbers)} rows "
                f"(first in row {int(bad[0])}); impute it or drop these rows."
            )
        return numbers

    def _indicators(self, values, column):
        labels = as_labels(values, n_samples=len(values), name=f"Covariate {column!r}")
        levels = self.levels[column].tolist()
        position = {level: index for index, level in enumerate(levels)}
        numbers, found = pd.factorize(labels)
        codes = np.array([position.get(label, -1) for label in found.tolist()], dtype=np.intp)
        if (codes < 0).any():
            new = [label for label in found.tolist() if label not in position]
            raise ValueError(
                f"Covariate {column!r} holds levels unseen during fit: {_shown(new)}; known are "
                f"{_shown(levels)}."
            )
        return (codes[numbers][:, None] == np.arange(1, len(levels))).astype(np.float64)


def _is_number(values):
    dtype = values.dtype
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _dependent(columns):
    """Whether unit-scaled columns are linearly dependent."""
    if columns.shape[1] == 0:
        return False
    norms = np.linalg.norm(columns, axis=0)
    if (norms == 0).any() or columns.shape[1] > columns.shape[0]:
        return True
    singular = np.linalg.svd(columns / norms, compute_uv=False)
    return bool(singular[-1] < _RANK_TOLERANCE)


def _within_batches(columns, codes, n_batches):
    """Deviations from the means of the batches; what rounding leaves of constants is 0."""
    counts = np.maximum(np.bincount(codes, minlength=n_batches), 1)
    means = np.zeros((n_batches, columns.shape[1]))
    np.add.at(means, codes, columns)
    deviation = columns - (means / counts[:, None])[codes]
    centred = columns - columns.mean(axis=0)
    small = np.linalg.norm(deviation, axis=0) <= _RANK_TOLERANCE * np.linalg.norm(centred, axis=0)
    deviation[:, small] = 0.0
    return deviation


def check_confounding(
    codes: np.ndarray, n_batches: int, C: np.ndarray, coder: CovariateCoder
) -> None:
    """Raise if the effects of batches and covariates cannot be told apart.

    Parameters
    ----------
    codes : ndarray of int of shape (n_samples,)
        Batch of every row.

    n_batches : int
        Number of batches.

    C : ndarray of shape (n_samples, n_columns)
        Coded covariates.

    coder : CovariateCoder
        Names the columns.

    Raises
    ------
    ValueError
        Naming the covariates that are confounded with batch or among themselves.
    """
    if C.shape[1] == 0:
        return
    within = _within_batches(C, codes, n_batches)
    if not _dependent(within):
        return
    columns = list(dict.fromkeys(coder.sources))
    advice = (
        "Their effects cannot be told apart; drop the covariate, or merge batches so that each "
        "holds several of its values."
    )
    for name in columns:
        n_columns = coder.sources.count(name)
        if n_columns > max(1, len(C) // 2):
            advice += (
                f" {name!r} is taken as a category with {n_columns + 1} levels in {len(C)} rows; "
                "pass numbers if it is a quantity or a date."
            )
    if C.shape[1] == 1:
        raise ValueError(f"The covariate {columns[0]!r} is confounded with batch. {advice}")
    if _dependent(C - C.mean(axis=0)):
        raise ValueError(
            f"The covariates {_shown(_smallest_dependent(C - C.mean(axis=0), coder))} are "
            "confounded among themselves: some are linear combinations of others. Drop those."
        )
    raise ValueError(
        f"At least one covariate is confounded with batch: "
        f"{_shown(_smallest_dependent(within, coder))}. {advice}"
    )


def _smallest_dependent(columns, coder):
    """A covariate that is dependent by itself, else a small set that is so together."""
    sources = np.array([list(coder.columns).index(source) for source in coder.sources])
    names = list(dict.fromkeys(coder.sources))
    numbers = [list(coder.columns).index(name) for name in names]
    alone = [
        name
        for name, number in zip(names, numbers, strict=True)
        if _dependent(columns[:, sources == number])
    ]
    if alone:
        return alone
    kept = list(numbers)
    for number in numbers:
        rest = [other for other in kept if other != number]
        if _dependent(columns[:, np.isin(sources, rest)]):
            kept = rest
    return [name for name, number in zip(names, numbers, strict=True) if number in kept]
