"""A table of rows with its batches, as the metrics of batch effects read it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.sparse import issparse

from synth_estimators._validation import is_polars
from synth_estimators.batch_effects._design import BatchLevels, as_labels

__all__ = ["BatchRows", "principal_axes", "read_levels", "read_matrix"]

_NULL_EIGENVALUE = 1e-13


def read_matrix(X: Any, name: str) -> np.ndarray:
    """Return a table of finite numbers as float64, or say which column is none.

    Parameters
    ----------
    X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape (n_samples, n_features)
        The table.

    name : str
        What it is called in messages.

    Returns
    -------
    values : ndarray of shape (n_samples, n_features)
        May share memory with ``X``.

    Raises
    ------
    TypeError
        For sparse matrices.

    ValueError
        For text columns, NaN, infinity, other than two dimensions, or rows that are all equal.
    """
    if type(X).__module__.split(".")[0] == "anndata":
        X = X.X
    if issparse(X):
        raise TypeError(
            f"{name} is sparse; pass {name}.toarray(), or principal components of a large table."
        )
    if is_polars(X):
        X = X.to_pandas() if any(not d.is_numeric() for d in X.dtypes) else X.to_numpy()
    columns = None
    if isinstance(X, pd.DataFrame):
        columns = X.columns
        text = [c for c, dtype in zip(columns, X.dtypes, strict=True) if not _is_number(dtype)]
        if text:
            raise ValueError(
                f"{name} holds columns that are no numbers: {[str(c) for c in text[:5]]}; pass the "
                "numeric features alone and the labels as arrays."
            )
        X = X.to_numpy(dtype=np.float64, na_value=np.nan)
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"{name} has shape {values.shape}; expected a table with rows and columns."
        )
    bad = ~np.isfinite(values)
    if bad.any():
        column = int(np.flatnonzero(bad.any(axis=0))[0])
        what = "NaN" if np.isnan(values[bad[:, column], column][0]) else "infinity"
        label = f"x{column}" if columns is None else repr(str(columns[column]))
        raise ValueError(
            f"{name} contains {what} in column {label}; the metrics of batches need finite values. "
            "Impute or drop these cells first."
        )
    if len(values) < 2 or not (values != values[0]).any():
        raise ValueError(
            f"{name} is constant: all {len(values)} rows are equal, so that no distance or share "
            "of variance is defined."
        )
    return values


def _is_number(dtype):
    return pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)


def principal_axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of centred rows on all their principal axes, and the sums of squares of the scores.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Centred rows.

    Returns
    -------
    scores : ndarray of shape (n_samples, rank)
        Have the distances of the rows.

    squares : ndarray of shape (rank,)
        In descending order.

    Notes
    -----
    Takes the eigenvectors of the smaller of the two cross products, which costs the cube of the
    smaller side and not of the larger one.
    """
    n_samples, n_features = rows.shape
    product = rows @ rows.T if n_samples < n_features else rows.T @ rows
    squares, vectors = eigh(product, check_finite=False)
    squares, vectors = squares[::-1], vectors[:, ::-1]
    kept = squares > _NULL_EIGENVALUE * len(squares) * squares[0]
    squares, vectors = squares[kept], vectors[:, kept]
    scores = vectors * np.sqrt(squares) if n_samples < n_features else rows @ vectors
    return scores, squares


class BatchRows:
    """A table and its batches, with what several metrics need of them.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, without missing cells.

    batch : array-like of shape (n_samples,)
        Batch of every row.

    metric : str
        Who asks, for messages.

    name : str, default="batch"
        What the labels are called in messages.

    n_pcs : int or None, default=None
        Principal components that stand for the rows; None takes the rows as they are.
    """

    def __init__(self, X, batch, *, metric, name="batch", n_pcs=None):
        values = read_matrix(X, "X")
        found = read_levels(batch, n_samples=len(values), name=name, metric=metric)
        self.levels, self.codes, self.counts = found.levels, found.codes, found.counts
        self.centred = values - values.mean(axis=0)
        # The mean of equal numbers may differ from them by a rounding error.
        self.centred[:, (values == values[0]).all(axis=0)] = 0.0
        most = min(len(values) - 1, values.shape[1])
        if n_pcs is not None and not 1 <= n_pcs <= most:
            raise ValueError(
                f"n_pcs={n_pcs!r} must be between 1 and {most} for {len(values)} rows and "
                f"{values.shape[1]} features, or None."
            )
        self.n_pcs = n_pcs

    @cached_property
    def axes(self):
        """Scores on all principal axes and their sums of squares."""
        return principal_axes(self.centred)

    @cached_property
    def rows(self):
        """Rows with the distances that are measured: features, or the first components."""
        return self.whole if self.n_pcs is None else self.axes[0][:, : self.n_pcs]

    @cached_property
    def whole(self):
        """Rows with the distances of all features, in no more columns than there are rows."""
        n_samples, n_features = self.centred.shape
        return self.centred if n_features <= n_samples else self.axes[0]

    def sums(self, rows):
        """Sums of the rows of every batch."""
        return _indicators(self.codes, len(self.levels)).T @ rows


def _indicators(codes, n_levels):
    return (codes[:, None] == np.arange(n_levels)).astype(np.float64)


def read_levels(labels: Any, *, n_samples: int, name: str, metric: str) -> BatchLevels:
    """Read labels of at least two levels of which one has several rows."""
    found = BatchLevels.from_labels(as_labels(labels, n_samples=n_samples, name=name))
    if len(found.levels) < 2:
        raise ValueError(
            f"{name} holds the label {found.levels.tolist()[0]!r} only; {metric} compares at least "
            "two."
        )
    if len(found.levels) == n_samples:
        raise ValueError(
            f"{name} has a label of its own in each of the {n_samples} rows; {metric} needs labels "
            "that repeat."
        )
    return found
