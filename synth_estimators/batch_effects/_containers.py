"""Tables in the containers of the user: where columns of labels are, and what the features are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from synth_estimators._validation import (
    from_polars,
    is_polars,
    refuse_duplicated_names,
    refuse_text_columns,
)

__all__ = ["TableSource", "as_frame", "attach_batch", "is_list", "read_numbers", "without_columns"]


def attach_batch(X: Any, batch: Any, covariates: Any = None) -> pd.DataFrame:
    """Return a table with the batch labels, and covariates if any, as further columns.

    Labels that are columns of the table go with the rows through every split, search and scorer
    of scikit-learn.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Features. Columns of an array are named ``x0``, ``x1`` and so on; other labels than text,
        such as numbers, turn into text, for scikit-learn takes no names of several types.

    batch : array-like of shape (n_samples,)
        Batch of every row; becomes the column ``"batch"``.

    covariates : pandas DataFrame, mapping of columns or None, default=None
        Further columns, under their own names.

    Returns
    -------
    table : pandas DataFrame of shape (n_samples, n_features + 1 + n_covariates)
        Index of ``X``; labels are matched by position. With columns of several levels the new
        ones have their name in the first.

    Raises
    ------
    ValueError
        If lengths differ, or a name is there already.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import attach_batch
    >>> attach_batch(np.eye(2), ["a", "b"], {"age": [50, 61]})
        x0   x1 batch  age
    0  1.0  0.0     a   50
    1  0.0  1.0     b   61
    """
    if is_polars(X):
        X = from_polars(X)
    if not isinstance(X, pd.DataFrame):
        X = np.asarray(X)
        if X.ndim != 2:
            raise ValueError(f"X has shape {X.shape}; expected a table of rows and columns.")
        X = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    several_levels = X.columns.nlevels > 1
    if not several_levels and not all(isinstance(name, str) for name in X.columns):
        X = X.set_axis([str(name) for name in X.columns], axis=1)
    extra = {"batch": batch}
    if covariates is not None:
        frame = as_frame(covariates, n_samples=len(X), name="covariates")
        extra.update({str(name): frame[name] for name in frame.columns})
    for name, values in extra.items():
        if name in X.columns:
            raise ValueError(f"X has a column {name!r} already; rename or drop it first.")
        if len(values) != len(X):
            raise ValueError(f"{name} has {len(values)} labels but X has {len(X)} rows.")
    columns = {name: pd.Series(values).array for name, values in extra.items()}
    labels = pd.DataFrame(columns, index=X.index)
    if several_levels:
        padding = ("",) * (X.columns.nlevels - 1)
        labels.columns = pd.MultiIndex.from_tuples(
            [(name, *padding) for name in labels.columns], names=X.columns.names
        )
    return pd.concat([X, labels], axis=1)


def as_frame(values: Any, *, n_samples: int, name: str, names: list | None = None) -> pd.DataFrame:
    """Labels given by keyword as a data frame with a fresh index.

    Parameters
    ----------
    values : pandas or polars DataFrame or Series, mapping, or array-like
        One row a sample, one column a label.

    n_samples : int
        Number of rows of the table they belong to.

    name : str
        What the labels are called in messages.

    names : list or None, default=None
        Columns that are wanted: values without names get them in this order, others have to have
        them if they are text.

    Returns
    -------
    frame : pandas DataFrame of shape (n_samples, n_columns)

    Raises
    ------
    ValueError
        For another number of rows, duplicated names, and columns that are not there.
    """
    if is_polars(values):
        values = from_polars(values if hasattr(values, "columns") else values.to_frame())
    if isinstance(values, pd.Series):
        default = names[0] if names and len(names) == 1 else f"{name.removesuffix('s')}0"
        values = values.to_frame(values.name if values.name is not None else default)
    elif isinstance(values, dict):
        values = pd.DataFrame({key: pd.Series(column).array for key, column in values.items()})
    elif not isinstance(values, pd.DataFrame):
        values = _named(np.asarray(values), name, names)
    if len(values) != n_samples:
        raise ValueError(
            f"{name} has {len(values)} rows but X has {n_samples}; pass one row for every row of X."
        )
    if not values.columns.is_unique:
        repeated = sorted({str(label) for label in values.columns[values.columns.duplicated()]})
        raise ValueError(f"{name} has duplicated column names {repeated}; name each column once.")
    if names and all(isinstance(label, str) for label in names):
        absent = [label for label in names if label not in values.columns]
        if absent:
            raise ValueError(
                f"{name} lacks the columns {absent!r} of the parameter {name}={names!r}; it has "
                f"{[str(label) for label in values.columns[:10]]}. Pass all that it names."
            )
        values = values[names]
    return values.reset_index(drop=True)


def _named(array, name, names):
    """Columns of labels without names as a data frame."""
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(
            f"{name} has shape {array.shape}; expected one row a sample and one column a label."
        )
    width = array.shape[1]
    if names and len(names) != width:
        raise ValueError(
            f"{name} has {width} columns, but the parameter {name}={names!r} names {len(names)}; "
            "pass these columns, or a data frame with names."
        )
    columns = names or [f"{name.removesuffix('s')}{j}" for j in range(width)]
    return pd.DataFrame(array, columns=columns).infer_objects()


def is_list(spec: Any) -> bool:
    """Whether a parameter names several columns."""
    return isinstance(spec, list | tuple | pd.Index) or (
        isinstance(spec, np.ndarray) and spec.ndim == 1
    )


class TableSource:
    """The table as the user gave it: features, and columns or ``obs`` that hold labels.

    Parameters
    ----------
    X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape (n_samples, n_columns)
        The table.

    owner : str
        Name of the corrector, for messages.

    Raises
    ------
    TypeError
        For sparse tables and for frames whose rows are not there yet.

    ValueError
        For duplicated names.
    """

    def __init__(self, X, owner):
        self.anndata = type(X).__module__.split(".")[0] == "anndata"
        table = X.X if self.anndata else X
        if sparse.issparse(table):
            hint = "X.X.toarray()" if self.anndata else "X.toarray()"
            raise TypeError(
                f"Sparse data was passed, but {owner} needs a dense table: subtracting the effect "
                f"of a batch leaves no zeros. Convert it with {hint}."
            )
        if is_polars(X) and not hasattr(X, "shape"):
            raise TypeError(
                f"X is a {type(X).__name__}, whose rows are not there yet; pass X.collect()."
            )
        if not self.anndata and not isinstance(X, pd.DataFrame) and not is_polars(X):
            array = np.asarray(X)
            if array.dtype.kind in "US":
                array = np.asarray(X, dtype=object)  # numbers beside text stay numbers
            X = array
        self.X = X
        refuse_duplicated_names(X)

    @property
    def columns(self):
        """Names of the columns that may hold labels, or None."""
        if self.anndata:
            return list(self.X.obs.columns)
        return list(self.X.columns) if hasattr(self.X, "columns") else None

    @property
    def width(self):
        """Number of the columns that may hold labels."""
        return self.X.obs.shape[1] if self.anndata else self.X.shape[1]

    def position(self, spec):
        """Position of a column, or None."""
        if isinstance(spec, int | np.integer) and not isinstance(spec, bool):
            return int(spec) % self.width if -self.width <= spec < self.width else None
        columns = self.columns or []
        for name in (spec, self._padded(spec)):
            if name in columns:
                return columns.index(name)
        return None

    def _padded(self, spec):
        """A name as pandas stores it among columns of several levels."""
        index = self.X.columns if isinstance(self.X, pd.DataFrame) else None
        if index is None or index.nlevels == 1 or not isinstance(spec, str):
            return spec
        return (spec, *("",) * (index.nlevels - 1))

    def label(self, position):
        """Name of a column for messages and frames of covariates."""
        columns = self.columns
        if columns is None:
            return position
        name = columns[position]
        if isinstance(name, tuple) and name and not any(name[1:]):
            return name[0]
        return name

    def read(self, position):
        """One column of labels."""
        if self.anndata:
            return self.X.obs.iloc[:, position]
        if isinstance(self.X, pd.DataFrame):
            return self.X.iloc[:, position]
        if is_polars(self.X):
            return from_polars(self.X[:, [position]]).iloc[:, 0]
        return pd.Series(self.X[:, position]).infer_objects()

    def frame(self, positions):
        """Several columns of labels as a data frame with a fresh index."""
        return pd.DataFrame(
            {self.label(p): self.read(p).reset_index(drop=True) for p in positions},
        )


def without_columns(X: Any, positions: list) -> Any:
    """The other columns of a table; a view where the labels stand at one end."""
    if not positions:
        return X
    keep: Any = np.delete(np.arange(X.shape[1]), positions)
    if keep.size and keep[-1] - keep[0] + 1 == keep.size:
        keep = slice(int(keep[0]), int(keep[-1]) + 1)
    if isinstance(X, pd.DataFrame):
        return X.iloc[:, keep]
    return X[:, keep]


def read_numbers(estimator: Any, features: Any) -> Any:
    """Features as an array of numbers; columns of text or dates are errors.

    Parameters
    ----------
    estimator : BaseEstimator
        Named in messages.

    features : {ndarray, pandas DataFrame, polars DataFrame} of shape (n_samples, n_features)
        The features without columns of labels.

    Returns
    -------
    values : ndarray of shape (n_samples, n_features)
        May share memory with ``features``.

    Raises
    ------
    ValueError
        For columns of text, categories, dates or times. The message names the first.
    """
    if is_polars(features):
        if all(dtype.is_numeric() for dtype in features.dtypes):
            return features.to_numpy()
        features = from_polars(features)
    if isinstance(features, pd.DataFrame):
        features = _without_objects(features)
        refuse_text_columns(estimator, features)
        for dtype in set(features.dtypes):
            if dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype):
                name = features.columns[list(features.dtypes).index(dtype)]
                raise ValueError(_dates(estimator, f"Column {str(name)!r}", dtype))
        return _numbers_of_frame(features)
    if isinstance(features, np.ndarray) and features.dtype.kind in "mM":
        raise ValueError(_dates(estimator, "X", features.dtype))
    return features


def _dates(estimator, what, dtype):
    return (
        f"{what} holds dates or times (dtype {dtype}); {type(estimator).__name__} needs numeric "
        "columns. Turn it into numbers, for example days since the first one, or drop it."
    )


def _without_objects(frame):
    """Columns of objects that are numbers, or missing, as numbers."""
    if np.dtype(object) not in set(frame.dtypes):
        return frame
    positions = np.flatnonzero([dtype == np.dtype(object) for dtype in frame.dtypes])
    columns = {j: frame.iloc[:, j] for j in range(frame.shape[1])}
    for j in positions:
        try:
            columns[j] = pd.to_numeric(columns[j])
        except (TypeError, ValueError):
            continue  # text, which has an error of its own
    return pd.DataFrame(columns, index=frame.index, copy=False).set_axis(frame.columns, axis=1)


def _numbers_of_frame(frame):
    if all(isinstance(dtype, np.dtype) for dtype in set(frame.dtypes)):
        return frame.to_numpy()
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
