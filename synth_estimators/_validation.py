"""Rows, labels, conditions and containers on their way in and out."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array, validate_data

__all__ = [
    "TableSchema",
    "check_class_counts",
    "check_labels",
    "check_n_samples",
    "check_request_length",
    "check_rows",
    "check_table",
    "clip_to_integers",
    "column_name",
    "encode_labels",
    "from_polars",
    "integer_range",
    "is_polars",
    "refuse_duplicated_names",
    "refuse_text_columns",
    "slice_request",
]


def column_name(estimator: Any, index: int) -> str:
    """Name of a fitted column for messages: its own name, or ``x3``."""
    names = getattr(estimator, "feature_names_in_", None)
    return repr(str(names[index])) if names is not None else f"x{index}"


def _is_text(dtype):
    return isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(dtype)


def refuse_text_columns(estimator: Any, X: Any) -> None:
    """Raise for columns of a data frame that hold text or categories."""
    if not isinstance(X, pd.DataFrame):
        return
    text = {dtype for dtype in set(X.dtypes) if _is_text(dtype)}
    if not text:
        return
    for label, dtype in zip(X.columns, X.dtypes, strict=True):
        if dtype in text:
            column = X[label]
            plain = isinstance(dtype, np.dtype)
            if plain and pd.to_numeric(column, errors="coerce").notna().all():
                continue
            first = column.dropna().iloc[0] if column.notna().any() else None
            raise ValueError(
                f"Column {str(label)!r} holds text or categories (for example {first!r}); "
                f"{type(estimator).__name__} needs numeric columns. Encode it first (for example "
                "with OrdinalEncoder or OneHotEncoder) or drop it. "
                f"could not convert string to float: {first!r}"
            )


def _one_numeric_dtype(X):
    dtypes = set(X.dtypes)
    return (
        len(dtypes) == 1
        and isinstance(next(iter(dtypes)), np.dtype)
        and (next(iter(dtypes)).kind in "fiu")
    )


def refuse_duplicated_names(X: Any) -> None:
    """Raise for a data frame with two columns of one name."""
    if isinstance(X, pd.DataFrame) and not X.columns.is_unique:
        repeated = sorted({str(name) for name in X.columns[X.columns.duplicated()]})
        raise ValueError(
            f"X has duplicated column names {repeated}; rename them so that every column has a "
            "name of its own."
        )


def _refuse_nonfinite(estimator, X):
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(X)
    if not bad.any():
        return
    column = int(np.flatnonzero(bad.any(axis=0))[0])
    row = int(np.flatnonzero(bad[:, column])[0])
    what = "NaN" if np.isnan(X[row, column]) else "infinity"
    raise ValueError(
        f"Input X contains {what} in column {column_name(estimator, column)} (first in row {row}); "
        f"{type(estimator).__name__} needs finite values. Impute or drop these cells first."
    )


def check_rows(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    min_samples: int = 1,
    non_negative: bool = False,
    float32: bool = False,
    allow_nan: bool = False,
) -> np.ndarray:
    """Validate a numeric table and return it as a C-ordered float array.

    Parameters
    ----------
    estimator : BaseEstimator
        Receives ``n_features_in_`` and ``feature_names_in_`` when ``reset`` is true, else its
        names and width are compared with those of ``X``.

    X : {array-like, pandas DataFrame, polars DataFrame} of shape (n_samples, n_features)
        The table.

    reset : bool
        True in ``fit``, False afterwards.

    min_samples : int, default=1
        Smallest accepted number of rows.

    non_negative : bool, default=False
        Refuse values below zero.

    float32 : bool, default=False
        Refuse values that do not fit into ``float32`` (neural generators train in it).

    allow_nan : bool, default=False
        Let missing cells pass; infinity is refused all the same.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        ``float64``, or ``float32`` when ``X`` is ``float32``. May share memory with ``X``.

    Raises
    ------
    ValueError
        For text columns, duplicated names, NaN or infinity, too few rows, no columns, or a table
        whose columns differ from those seen during fit. The message names the column.
    """
    refuse_duplicated_names(X)
    refuse_text_columns(estimator, X)
    checks = {
        "dtype": [np.float64, np.float32],
        "ensure_min_samples": min_samples,
        "ensure_all_finite": False,
    }
    if isinstance(X, pd.DataFrame) and len(X) and _one_numeric_dtype(X):
        # check_array looks at the dtype of every column, which outlasts the fit of some models
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        data = check_array(X.to_numpy(), input_name="X", estimator=estimator, **checks)
    else:
        data = validate_data(estimator, X, reset=reset, **checks)
    if allow_nan:
        _refuse_nonfinite(estimator, np.where(np.isnan(data), 0.0, data))
    else:
        _refuse_nonfinite(estimator, data)
    if float32 and data.size and data.dtype == np.float64:
        limit = np.finfo(np.float32).max
        if max(abs(data.max()), abs(data.min())) > limit:
            column = int(np.flatnonzero((np.abs(data) > limit).any(axis=0))[0])
            raise ValueError(
                f"Column {column_name(estimator, column)} contains infinity or a value too large "
                "for dtype('float32'); rescale it (for example with StandardScaler) first."
            )
    if non_negative and data.size and data.min() < 0:
        column = int(np.flatnonzero((data < 0).any(axis=0))[0])
        raise ValueError(
            f"Negative values in data passed to {type(estimator).__name__}: column "
            f"{column_name(estimator, column)} has minimum {data[:, column].min():g}; expected "
            "values of at least 0."
        )
    return data


def check_table(estimator: Any, X: Any, *, reset: bool, min_samples: int = 1) -> pd.DataFrame:
    """Validate a table of any column types and return it as a data frame.

    Parameters
    ----------
    estimator : BaseEstimator
        Receives ``n_features_in_`` and ``feature_names_in_`` when ``reset`` is true, else its
        names and width are compared with those of ``X``.

    X : {array-like, pandas DataFrame, polars DataFrame} of shape (n_samples, n_features)
        Numbers, text, categories, booleans, dates; missing cells are allowed.

    reset : bool
        True in ``fit``, False afterwards.

    min_samples : int, default=1
        Smallest accepted number of rows.

    Returns
    -------
    pandas DataFrame of shape (n_samples, n_features)
        Column labels and dtypes of ``X``, a fresh index. May share memory with ``X``.

    Raises
    ------
    TypeError
        For cells that are themselves containers, such as lists.

    ValueError
        For duplicated names, infinite or complex cells, too few rows, no columns, or a table whose
        columns differ from those seen during fit. The message names the column.
    """
    refuse_duplicated_names(X)
    polars_frame = is_polars(X)
    if isinstance(X, pd.DataFrame) or polars_frame:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        frame = from_polars(X) if polars_frame else X.reset_index(drop=True)
        if frame.shape[1] == 0:
            raise ValueError(
                f"0 feature(s) (shape={X.shape}) while a minimum of 1 is required by "
                f"{type(estimator).__name__}."
            )
        if len(frame) < min_samples:
            raise ValueError(
                f"Found array with {len(frame)} sample(s) (shape={X.shape}) while a minimum of "
                f"{min_samples} is required by {type(estimator).__name__}."
            )
    else:
        checks = {"dtype": None, "ensure_min_samples": min_samples, "ensure_all_finite": False}
        if isinstance(X, list | tuple) and np.asarray(X).dtype.kind in "US":
            X = np.asarray(X, dtype=object)  # numbers beside text stay numbers
        data = validate_data(estimator, X, reset=reset, **checks)
        frame = pd.DataFrame(data)
        if data.dtype.kind == "O":
            frame = frame.infer_objects()
    if _one_numeric_dtype(frame) and not np.isinf(frame.to_numpy()).any():
        return frame  # wide tables of numbers are checked in one go
    for index, dtype in enumerate(frame.dtypes):
        _refuse_bad_cells(estimator, frame.iloc[:, index], dtype, index)
    return frame


def is_polars(X: Any) -> bool:
    """Whether ``X`` is a polars table or column; polars itself is not imported."""
    return type(X).__module__.split(".")[0] == "polars"


def from_polars(X: Any) -> pd.DataFrame:
    """Return a polars table as a pandas data frame with the same cells."""
    return pd.DataFrame({name: _column_from_polars(X[name]) for name in X.columns})


def _column_from_polars(column):
    dtype = column.dtype
    if str(dtype) == "Date" or dtype.base_type().__name__ in ("Datetime", "Duration"):
        values = pd.Series(column.to_numpy())
        zone = getattr(dtype, "time_zone", None)
        return values.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else values
    if dtype.is_integer() and column.null_count() and hasattr(pd, f"{dtype}Dtype"):
        return pd.Series(column.to_list(), dtype=str(dtype))  # whole numbers beside missing cells
    return pd.Series(column.to_list())


def _column_to_polars(column, label, dtype):
    import polars

    temporal = pd.api.types.is_datetime64_any_dtype(column.dtype)
    if not temporal and not pd.api.types.is_timedelta64_dtype(column.dtype):
        cells = [None if pd.isna(cell) else cell for cell in column.astype(object)]
        return polars.Series(label, cells, dtype=dtype, strict=False)
    index = pd.DatetimeIndex(column) if temporal else pd.TimedeltaIndex(column)
    zone = getattr(index, "tz", None)
    unit = index.unit if index.unit != "s" else "ms"  # polars has no seconds
    values = (index.tz_convert("UTC").tz_localize(None) if zone else index).as_unit(unit)
    series = polars.Series(label, values.to_numpy())
    if zone:
        series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
    return series if dtype is None else series.cast(dtype)


def _refuse_bad_cells(estimator, column, dtype, index):
    owner = type(estimator).__name__
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(
            f"Complex data not supported: column {column_name(estimator, index)} has dtype {dtype}."
        )
    if pd.api.types.is_float_dtype(dtype):
        infinite = np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan))
    elif pd.api.types.is_object_dtype(dtype):
        if pd.api.types.infer_dtype(column, skipna=True) == "string":
            return  # text alone holds nothing bad, and this is far faster than a look at each cell
        if any(isinstance(cell, (list, dict, set, np.ndarray)) for cell in column):
            raise TypeError(
                f"Column {column_name(estimator, index)} holds lists or other containers; {owner} "
                "needs one value a cell: argument must be a string or a number."
            )
        infinite = np.array([isinstance(cell, float) and np.isinf(cell) for cell in column])
    else:
        return
    if infinite.any():
        raise ValueError(
            f"Input X contains infinity in column {column_name(estimator, index)} (first in row "
            f"{int(np.flatnonzero(infinite)[0])}); {owner} needs finite values. Replace these "
            "cells by NaN or drop the rows."
        )


def integer_range(dtype: Any) -> np.iinfo:
    """Smallest and largest value of an integer dtype of numpy, pandas or Arrow."""
    return np.iinfo(getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)))


def clip_to_integers(values: Any, dtype: Any) -> Any:
    """Round numbers to whole ones that an integer dtype can hold; integers pass unchanged."""
    if pd.api.types.is_integer_dtype(values.dtype):
        return values
    info = integer_range(dtype)
    # The largest integers of 64 bits lie between two floats.
    high = np.float64(info.max) if info.bits < 64 else np.nextafter(np.float64(info.max), 0)
    return np.clip(np.rint(values), np.float64(info.min), high)


def check_n_samples(n_samples: Any, *, name: str = "n_samples") -> int:
    """Return ``n_samples`` as an int of at least 0 or raise a clear error."""
    if isinstance(n_samples, bool) or not isinstance(n_samples, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {n_samples!r}.")
    if n_samples < 0:
        raise ValueError(f"{name} must be at least 0, got {n_samples!r}.")
    return int(n_samples)


def _per_row(value: Any) -> bool:
    """Whether labels or a column of conditions hold one entry a row, not one for all."""
    return not isinstance(value, str | bytes) and np.ndim(value) > 0


def check_request_length(value: Any, n_samples: int) -> None:
    """Refuse labels or conditions whose length is not ``n_samples``."""
    columns = value.values() if isinstance(value, dict) else [value]
    for column in columns:
        if _per_row(column) and len(column) != n_samples:
            raise ValueError(
                f"{len(column)} labels or conditions were given but n_samples={n_samples}; pass "
                "one for all rows, or one per row."
            )


def slice_request(value: Any, part: slice) -> Any:
    """Labels or conditions of the rows ``part``; what holds for all rows stays as it is."""
    if isinstance(value, dict):
        return {name: slice_request(column, part) for name, column in value.items()}
    if not _per_row(value):
        return value
    return value.iloc[part] if hasattr(value, "iloc") else value[part]


def check_labels(y: Any, *, n_samples: int, owner: str) -> np.ndarray:
    """Validate class labels: one-dimensional, one per row, none missing."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.ravel()
    if labels.ndim != 1:
        raise ValueError(
            f"y must be one-dimensional with one label a row, got shape {labels.shape}."
        )
    if len(labels) != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: y has {len(labels)} "
            f"labels but X has {n_samples} rows; pass one label per row of X."
        )
    missing = np.flatnonzero(pd.isna(labels))
    if missing.size:
        raise ValueError(
            f"Input y contains NaN: {missing.size} labels are missing (first in row {missing[0]}); "
            f"{owner} needs a label for every row. Drop these rows or give them a class of "
            "their own."
        )
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError("Input y contains infinity; expected class labels.")
        if np.any(labels != np.floor(labels)):
            raise ValueError(
                f"Unknown label type: y holds continuous values (for example {labels[0]!r}); "
                f"{owner} expects class labels. Bin them, or pass them as a numeric column of "
                "conditions where the generator takes conditions."
            )
    return labels


def encode_labels(y: Any, classes: np.ndarray, *, n_samples: int | None) -> np.ndarray:
    """Turn one label or an array of labels into class indices, refusing labels unseen in fit."""
    is_scalar = isinstance(y, (str, bytes)) or np.ndim(y) == 0
    labels = np.asarray([y] if is_scalar else y)
    if labels.ndim != 1:
        raise ValueError(
            f"y must be one label or a one-dimensional array, got shape {labels.shape}."
        )
    if is_scalar and n_samples is not None:
        labels = np.repeat(labels, n_samples)
    if n_samples is not None and len(labels) != n_samples:
        raise ValueError(
            f"y has {len(labels)} labels but n_samples={n_samples}; pass one label, or one per row."
        )
    lookup = {label: index for index, label in enumerate(classes.tolist())}
    try:
        return np.array([lookup[label] for label in labels.tolist()], dtype=np.intp)
    except (KeyError, TypeError):
        unknown = next(label for label in labels.tolist() if label not in lookup)
        raise ValueError(
            f"Unknown label {unknown!r} in y; seen during fit: {classes.tolist()}."
        ) from None


def check_class_counts(
    class_counts: Any, classes: np.ndarray, *, n_samples: int | None
) -> np.ndarray:
    """Turn ``{label: count}`` into an array of class indices, grouped by class."""
    lookup = {label: index for index, label in enumerate(classes.tolist())}
    indices = []
    for label, count in dict(class_counts).items():
        if label not in lookup:
            raise ValueError(
                f"Unknown label {label!r} in class_counts; seen during fit: {classes.tolist()}."
            )
        count = check_n_samples(count, name=f"class_counts[{label!r}]")
        indices.append(np.full(count, lookup[label], dtype=np.intp))
    drawn = np.concatenate(indices) if indices else np.empty(0, dtype=np.intp)
    if n_samples is not None and len(drawn) != n_samples:
        raise ValueError(
            f"class_counts add up to {len(drawn)} rows but n_samples={n_samples}; make them agree "
            "or pass n_samples=None."
        )
    return drawn


def _same_index(first, second):
    return (
        (type(first) is type(second) or isinstance(second, pd.RangeIndex))
        and first.dtype == second.dtype
        and list(first.names) == list(second.names)
        and first.equals(second)
    )


@dataclass
class TableSchema:
    """What a fitted table looked like, so that sampled rows can be returned in kind.

    Attributes
    ----------
    kind : {"array", "pandas", "polars"}
        Container given to ``fit``.

    columns : list or None
        Column labels of a data frame.

    dtypes : list
        One dtype a column (frames) or one for all (arrays).

    integer : ndarray of bool of shape (n_features,)
        Columns whose sampled values are rounded.

    index : pandas Index or None
        The column labels of a pandas data frame if they have names, levels or a dtype of their
        own.
    """

    kind: str
    columns: list | None
    dtypes: list
    integer: np.ndarray
    index: pd.Index | None = None

    @classmethod
    def from_data(cls, X: Any, *, mixed: bool = False) -> TableSchema:
        """Read the container, labels and dtypes of the table given to ``fit``.

        Arrays of objects or text are restored as arrays of objects if the table is ``mixed``, else
        they count as numbers.
        """
        if isinstance(X, pd.DataFrame):
            whole = {
                d: pd.api.types.is_integer_dtype(d) or pd.api.types.is_bool_dtype(d)
                for d in set(X.dtypes)
            }
            integer = [whole[d] for d in X.dtypes]
            labels = list(X.columns)
            # Kept only where the list alone does not give the index back.
            index = None if _same_index(pd.Index(labels), X.columns) else X.columns.copy()
            return cls("pandas", labels, list(X.dtypes), np.array(integer, dtype=bool), index)
        if is_polars(X):
            integer = [d.is_integer() or str(d) == "Boolean" for d in X.dtypes]
            return cls("polars", list(X.columns), list(X.dtypes), np.array(integer, dtype=bool))
        dtype = getattr(X, "dtype", None)
        dtype = np.dtype(dtype) if isinstance(dtype, np.dtype | type) else np.asarray(X).dtype
        if dtype.kind not in ("fiubmM" if mixed else "fiub"):
            dtype = np.dtype(object if mixed else np.float64)
        n_features = np.asarray(X).shape[1]
        return cls("array", None, [dtype], np.full(n_features, dtype.kind in "iub"))

    def _cast(self, values, dtype):
        if pd.api.types.is_bool_dtype(dtype):
            return values >= 0.5
        if pd.api.types.is_integer_dtype(dtype):
            return clip_to_integers(values, dtype)
        return values

    def _labels(self, columns):
        return pd.Index(columns) if self.index is None else self.index.copy()

    def restore(self, values: np.ndarray, *, output: str = "default", names: Any = None) -> Any:
        """Return model rows in the container and dtypes of the fitted table.

        Parameters
        ----------
        values : ndarray of shape (n_samples, n_features)
            Rows in data units.

        output : {"default", "pandas", "polars"}, default="default"
            Container asked for with ``set_output``; "default" is that of the fitted table.

        names : sequence of str or None, default=None
            Column names to use where the fitted table had none.
        """
        kind = self.kind if output == "default" else output
        if kind == "array":
            return np.asarray(self._cast(values, self.dtypes[0])).astype(self.dtypes[0], copy=False)
        columns = self.columns
        if columns is None:
            columns = (
                list(names) if names is not None else [f"x{j}" for j in range(values.shape[1])]
            )
        if kind == "pandas":
            return self._to_pandas(values, columns)
        import polars

        frame = polars.DataFrame(np.ascontiguousarray(values), schema=[str(c) for c in columns])
        if self.kind != "polars":
            return frame
        casts = []
        for name, dtype, integer in zip(columns, self.dtypes, self.integer, strict=True):
            column = polars.col(name)
            casts.append((column.round() if integer else column.fill_nan(None)).cast(dtype))
        return frame.with_columns(casts)

    def _to_pandas(self, values, columns):
        if self.kind != "pandas":
            if self.kind == "array":
                values = np.asarray(self._cast(values, self.dtypes[0])).astype(self.dtypes[0])
            return pd.DataFrame(values, columns=columns)
        if len(set(self.dtypes)) == 1:
            block = self._cast(values, self.dtypes[0])
            frame = pd.DataFrame(block, columns=pd.RangeIndex(len(columns)), copy=False)
            if frame.shape[1] and frame.dtypes.iloc[0] != self.dtypes[0]:
                frame = frame.astype(self.dtypes[0])
        else:
            frame = pd.DataFrame(
                {
                    j: pd.Series(self._cast(values[:, j], dtype)).astype(dtype)
                    for j, dtype in enumerate(self.dtypes)
                }
            )
        frame.columns = self._labels(columns)
        return frame

    def restore_frame(self, frame: pd.DataFrame, *, output: str = "default", names: Any = None):
        """Return mixed rows in the container and dtypes of the fitted table.

        Parameters
        ----------
        frame : pandas DataFrame of shape (n_samples, n_features)
            Rows in data units, columns in the fitted order.

        output, names
            As in ``restore``.
        """
        kind = self.kind if output == "default" else output
        if kind == "array":
            dtype = self.dtypes[0]
            if dtype.kind == "O":
                return frame.astype(object).to_numpy()
            values = np.empty(frame.shape, dtype=dtype)
            for j in range(frame.shape[1]):
                values[:, j] = self._restored(frame.iloc[:, j], dtype)
            return values
        dtypes = self.dtypes if len(self.dtypes) == frame.shape[1] else self.dtypes * frame.shape[1]
        columns = self.columns
        if columns is None:
            columns = list(names) if names is not None else [f"x{j}" for j in range(frame.shape[1])]
        if kind == "pandas":
            if self.kind == "polars":
                return frame.set_axis(columns, axis=1)
            parts = {j: self._restored(frame.iloc[:, j], dtypes[j]) for j in range(len(columns))}
            return pd.DataFrame(parts, index=frame.index).set_axis(self._labels(columns), axis=1)
        import polars

        wanted = dtypes if self.kind == "polars" else [None] * len(columns)
        return polars.DataFrame(
            [
                _column_to_polars(frame.iloc[:, j], str(label), wanted[j])
                for j, label in enumerate(columns)
            ]
        )

    def _restored(self, column, dtype):
        # Arrays of dates may have units that pandas lacks.
        if column.dtype == dtype or (self.kind == "array" and dtype.kind in "mM"):
            return column
        if pd.api.types.is_numeric_dtype(dtype) and pd.api.types.is_numeric_dtype(column.dtype):
            column = self._cast(column, dtype)
        return column.astype(dtype)
