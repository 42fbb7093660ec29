"""What all batch correctors share: where labels come from, and containers in and out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from synth_estimators._compat import check_feature_names_in, dense_output, fit_context
from synth_estimators._distances import row_blocks
from synth_estimators._optional import require
from synth_estimators._validation import (
    from_polars,
    is_polars,
    refuse_duplicated_names,
    refuse_text_columns,
)
from synth_estimators.batch_effects._design import as_labels

__all__ = ["BaseBatchCorrector", "BatchLabelWarning", "SampleRows", "attach_batch"]

# A table without a column of this name has no labels; any other name has to be there.
_DEFAULT_BATCH = "batch"


class BatchLabelWarning(UserWarning):
    """A corrector was fitted without batch labels and leaves every table as it is."""


@dataclass
class SampleRows:
    """A checked table with the labels of its rows.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        Numeric features, float64 or float32. Never to be written to.

    labels : dict
        One entry a role: an array of labels, a data frame for roles of several columns, or None.
    """

    X: np.ndarray
    labels: dict = field(default_factory=dict)

    @property
    def batch(self) -> Any:
        """Batch of every row, or None."""
        return self.labels.get("batch")

    @property
    def covariates(self) -> Any:
        """Covariates as a data frame, or None."""
        return self.labels.get("covariates")


def attach_batch(X: Any, batch: Any, covariates: Any = None) -> pd.DataFrame:
    """Return a table with the batch labels, and covariates if any, as further columns.

    Labels that are columns of the table go with the rows through every split, search and scorer
    of scikit-learn.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Features. Columns of an array are named ``x0``, ``x1`` and so on.

    batch : array-like of shape (n_samples,)
        Batch of every row; becomes the column ``"batch"``.

    covariates : pandas DataFrame, mapping of columns or None, default=None
        Further columns, under their own names.

    Returns
    -------
    table : pandas DataFrame of shape (n_samples, n_features + 1 + n_covariates)
        Index of ``X``; labels are matched by position.

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
    extra = {_DEFAULT_BATCH: batch}
    if covariates is not None:
        frame = _as_frame(covariates, n_samples=len(X), name="covariates")
        extra.update({name: frame[name] for name in frame.columns})
    for name, values in extra.items():
        if name in X.columns:
            raise ValueError(f"X has a column {name!r} already; rename or drop it first.")
        if len(values) != len(X):
            raise ValueError(f"{name} has {len(values)} labels but X has {len(X)} rows.")
    columns = {name: pd.Series(values).array for name, values in extra.items()}
    return pd.concat([X, pd.DataFrame(columns, index=X.index)], axis=1)


def _as_frame(values, *, n_samples, name):
    """Labels given by keyword as a data frame with a fresh index."""
    if is_polars(values):
        values = from_polars(values if hasattr(values, "columns") else values.to_frame())
    if isinstance(values, pd.Series):
        values = values.to_frame(values.name if values.name is not None else "covariate0")
    elif isinstance(values, dict):
        values = pd.DataFrame({key: pd.Series(column).array for key, column in values.items()})
    elif not isinstance(values, pd.DataFrame):
        array = np.asarray(values)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise ValueError(
                f"{name} has shape {array.shape}; expected one row a sample and one column a label."
            )
        values = pd.DataFrame(array, columns=[f"covariate{j}" for j in range(array.shape[1])])
        values = values.infer_objects()
    if len(values) != n_samples:
        raise ValueError(
            f"{name} has {len(values)} rows but X has {n_samples}; pass one row for every row of X."
        )
    return values.reset_index(drop=True)


def _is_anndata(X):
    return type(X).__module__.split(".")[0] == "anndata"


def _is_list(spec):
    return isinstance(spec, list | tuple | pd.Index) or (
        isinstance(spec, np.ndarray) and spec.ndim == 1
    )


class _Source:
    """The table as the user gave it: features, and columns or ``obs`` that hold labels."""

    def __init__(self, X, owner):
        self.anndata = _is_anndata(X)
        table = X.X if self.anndata else X
        if sparse.issparse(table):
            hint = "X.X.toarray()" if self.anndata else "X.toarray()"
            raise TypeError(
                f"Sparse data was passed, but {owner} needs a dense table: subtracting the effect "
                f"of a batch leaves no zeros. Convert it with {hint}."
            )
        if not self.anndata and not isinstance(X, pd.DataFrame) and not is_polars(X):
            X = np.asarray(X)
            if X.dtype.kind in "US":
                X = X.astype(object)
        self.X = X
        refuse_duplicated_names(X)

    @property
    def columns(self):
        """Names of the columns that may hold labels, or None."""
        if self.anndata:
            return list(self.X.obs.columns)
        return list(self.X.columns) if hasattr(self.X, "columns") else None

    def position(self, spec):
        """Position of a column, or None."""
        columns = self.columns
        if isinstance(spec, int | np.integer) and not isinstance(spec, bool):
            width = len(columns) if columns is not None else self.X.shape[1]
            return int(spec) % width if -width <= spec < width else None
        return columns.index(spec) if columns is not None and spec in columns else None

    def label(self, position):
        """Name of a column for messages and frames of covariates."""
        columns = self.columns
        return columns[position] if columns is not None else position

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


def _without(X, positions):
    """The columns of the features; a view where the labels stand at one end."""
    if not positions:
        return X
    width = X.shape[1]
    keep = np.setdiff1d(np.arange(width), positions)
    if keep.size and keep[-1] - keep[0] + 1 == keep.size:
        keep = slice(int(keep[0]), int(keep[-1]) + 1)
    if isinstance(X, pd.DataFrame):
        return X.iloc[:, keep]
    return X[:, keep]


class BaseBatchCorrector(TransformerMixin, BaseEstimator):
    """Base of the batch correctors; a subclass writes ``_fit`` and ``_transform``.

    Labels come from keywords of the methods, else from columns of ``X`` named in the constructor.
    The base takes these columns out of the features, checks labels and features, and returns the
    result in the container of ``X``.
    """

    __metadata_request__fit = {"batch": True, "covariates": True}
    __metadata_request__transform = {"batch": True, "covariates": True}

    # Constructor parameters that name columns of X, and those of them that transform does not read.
    _roles: tuple[str, ...] = ("batch", "covariates")
    _fit_only_roles: tuple[str, ...] = ()
    _needs_batch = True
    _allow_nan = False
    _counts = False

    def _fit(self, rows: SampleRows, y: Any) -> None:
        """Learn from checked rows."""
        raise NotImplementedError(f"{type(self).__name__} must implement _fit.")

    def _fit_identity(self) -> None:
        """Set what a fit without labels has to set."""

    def _transform(self, rows: SampleRows) -> np.ndarray:
        """Return the adjusted features of checked rows as a new array."""
        raise NotImplementedError(f"{type(self).__name__} must implement _transform.")

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, batch: Any = None, covariates: Any = None) -> Any:
        """Learn the effects of the batches.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            One row a sample. Columns named by ``batch`` and ``covariates`` in the constructor
            hold labels, all others are features.

        y : array-like of shape (n_samples,) or None, default=None
            Target; not used unless a parameter says so.

        batch : array-like of shape (n_samples,) or None, default=None
            Batch of every row, instead of a column of ``X``.

        covariates : pandas DataFrame, mapping or array-like with n_samples rows, default=None
            Covariates of every row, instead of columns of ``X``.

        Returns
        -------
        self : object
            The fitted corrector.

        Raises
        ------
        TypeError
            For sparse tables.

        ValueError
            For missing labels, covariates that are confounded with batch, and values that are not
            finite numbers.

        Warns
        -----
        BatchLabelWarning
            If there are no batch labels: the corrector then leaves every table as it is.
        """
        self._fit_rows(X, y, batch=batch, covariates=covariates)
        return self

    def transform(self, X: Any, *, batch: Any = None, covariates: Any = None) -> Any:
        """Remove the learned effects from rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            Rows with the columns seen during ``fit``. They need not have taken part in it.

        batch : array-like of shape (n_samples,) or None, default=None
            Batch of every row, instead of a column of ``X``.

        covariates : pandas DataFrame, mapping or array-like with n_samples rows, default=None
            Covariates of every row, instead of columns of ``X``.

        Returns
        -------
        X_adjusted : ndarray, pandas DataFrame, polars DataFrame or AnnData
            Features in the container of ``X``, without the columns of labels unless
            ``keep_metadata=True``. ``set_output`` overrides the container; a corrector fitted on
            an array returns arrays.
        """
        return self._transform_rows(X, batch=batch, covariates=covariates)

    def fit_transform(
        self, X: Any, y: Any = None, *, batch: Any = None, covariates: Any = None
    ) -> Any:
        """Learn the effects of the batches and remove them from the same rows.

        Parameters
        ----------
        X, y, batch, covariates
            As in ``fit``.

        Returns
        -------
        X_adjusted : ndarray, pandas DataFrame, polars DataFrame or AnnData
            As in ``transform``.
        """
        return self.fit(X, y, batch=batch, covariates=covariates)._transform_rows(
            X, batch=batch, covariates=covariates
        )

    def _fit_rows(self, X: Any, y: Any = None, **given: Any) -> BaseBatchCorrector:
        """Check table and labels, then learn; ``given`` holds labels by keyword."""
        rows, _ = self._read(X, given, reset=True)
        if y is not None and np.asarray(y).shape[:1] != (len(rows.X),):
            raise ValueError(f"y has shape {np.shape(y)} but X has {len(rows.X)} rows.")
        self._refuse_target(rows, y)
        self.identity_ = self._needs_batch and rows.batch is None
        if self.identity_:
            warnings.warn(
                f"{type(self).__name__} was fitted without batch labels and leaves every table as "
                f"it is: X has no column {self.batch!r} and no batch= was passed.",
                BatchLabelWarning,
                stacklevel=3,
            )
            self._fit_identity()
        else:
            self._fit(rows, y)
        return self

    def _transform_rows(self, X: Any, **given: Any) -> Any:
        """Check table and labels, then adjust; ``given`` holds labels by keyword."""
        check_is_fitted(self)
        rows, source = self._read(X, given, reset=False)
        if self.identity_:
            if rows.batch is not None:
                raise ValueError(
                    f"{type(self).__name__} was fitted without batch labels, so it knows no batch "
                    "to remove; fit it with batch labels."
                )
            values = rows.X.copy()
        else:
            if self._needs_batch and rows.batch is None:
                raise ValueError(
                    f"{type(self).__name__} was fitted with batch labels, so it needs them here "
                    f"too: pass batch=, or a table with the column {self.batch!r}."
                )
            values = self._transform(rows)
        return self._wrap(np.asarray(values, dtype=self._result_dtype(rows.X, source)), source)

    def _result_dtype(self, X, source):
        return X.dtype

    def _refuse_target(self, rows, y):
        """A covariate that is the target would have to be known for the rows to predict."""
        covariates = rows.covariates
        if y is None or covariates is None or np.ndim(y) != 1:
            return
        target = np.asarray(y).tolist()
        same = [name for name in covariates.columns if covariates[name].tolist() == target]
        if same:
            offered = "preserve_y" in self.get_params(deep=False)
            raise ValueError(
                f"The covariate {same[0]!r} is the target y. Rows to predict would need their "
                "target to be transformed, and the adjusted table would leak it. Leave it out"
                f"{', or set preserve_y=' + repr('fit_only') if offered else ''}."
            )

    def _read(self, X, given, *, reset):
        source = _Source(X, type(self).__name__)
        X = source.X
        self._check_columns(X, source, reset=reset)
        n_samples = X.shape[0]
        if reset:
            self._fitted_on_array = source.columns is None
            self._positions = self._find_columns(source, given)
            used = {p for found in self._positions.values() for p in found}
            self._label_positions = [] if source.anndata else sorted(used)
        data = self._features(X, source)
        roles = self._roles if reset else [r for r in self._roles if r not in self._fit_only_roles]
        labels = {role: self._labels(role, source, given.get(role), n_samples) for role in roles}
        return SampleRows(data, labels), source

    def _check_columns(self, X, source, *, reset):
        if source.anndata:
            names = np.asarray(X.var_names, dtype=object)
            if reset:
                self.n_features_in_ = X.shape[1]
                self.feature_names_in_ = names
            elif list(names) != list(getattr(self, "feature_names_in_", ())):
                raise ValueError(
                    "The var_names of X differ from the columns seen during fit; pass the same "
                    "features in the same order."
                )
            return
        if not hasattr(X, "columns") and X.ndim != 2:
            check_array(X, dtype=None, estimator=self, input_name="X")  # scikit-learn's own words
        if not hasattr(X, "columns") and X.dtype.kind == "c":
            raise ValueError(f"Complex data not supported: X has dtype {X.dtype}.")
        validate_data(self, X, reset=reset, skip_check_array=True)

    def _find_columns(self, source, given):
        """Positions of the columns of labels, by role; absent names are errors."""
        found = {}
        for role in self._roles:
            spec = getattr(self, role)
            if spec is None or (_is_list(spec) and len(spec) == 0):
                continue
            names = list(spec) if _is_list(spec) else [spec]
            positions = [source.position(name) for name in names]
            absent = [n for n, p in zip(names, positions, strict=True) if p is None]
            optional = given.get(role) is not None or (
                role == "batch" and not _is_list(spec) and spec == _DEFAULT_BATCH
            )
            if absent and not optional:
                raise ValueError(self._absent(role, absent, source))
            found[role] = [position for position in positions if position is not None]
        return {role: positions for role, positions in found.items() if positions}

    def _absent(self, role, absent, source):
        columns = source.columns
        where = "X.obs" if source.anndata else "X"
        if columns is None:
            there = f"{where} is an array of {source.X.shape[1]} columns without names"
        else:
            there = f"{where} has the columns {[str(c) for c in columns[:10]]}"
            there += f" and {len(columns) - 10} more" if len(columns) > 10 else ""
        keyword = f", or pass {role}= to the method" if role in ("batch", "covariates") else ""
        return (
            f"{role}={getattr(self, role)!r} names {absent if len(absent) > 1 else absent[0]!r}, "
            f"but {there}. Name a column that is there{keyword}."
        )

    def _labels(self, role, source, given, n_samples):
        spec = getattr(self, role)
        positions = self._positions.get(role)
        several = role == "covariates" or _is_list(spec)
        if given is None:
            if positions is None:
                return None
            if several:
                frame = source.frame(positions)
                return self._complete(frame, role)
            return as_labels(source.read(positions[0]), n_samples=n_samples, name=role)
        if several or (isinstance(given, pd.DataFrame) and given.shape[1] > 1):
            frame = _as_frame(given, n_samples=n_samples, name=role)
            wanted = list(spec) if _is_list(spec) else []
            if wanted and all(name in frame.columns for name in wanted):
                frame = frame[wanted]
            return self._complete(frame, role)
        return as_labels(given, n_samples=n_samples, name=role)

    def _complete(self, frame, role):
        for name in frame.columns:
            missing = np.flatnonzero(frame[name].isna())
            if missing.size:
                raise ValueError(
                    f"{role} column {name!r} is missing in {missing.size} of {len(frame)} rows "
                    f"(first in row {int(missing[0])}); impute it or drop these rows."
                )
            if role == "batch":
                as_labels(frame[name], n_samples=len(frame), name=f"batch column {name!r}")
        return frame

    def _feature_labels(self, source):
        """Names of the features for messages."""
        if source.anndata:
            return list(source.X.var_names)
        names = source.columns or [f"x{j}" for j in range(source.X.shape[1])]
        return [n for j, n in enumerate(names) if j not in set(self._label_positions)]

    def _features(self, X, source):
        features = X.X if source.anndata else _without(X, self._label_positions)
        if source.anndata or not self._label_positions:
            least = 1
        else:
            least = 0
            if features.shape[1] == 0:
                raise ValueError(
                    f"X has no features left beside its columns of labels; "
                    f"{type(self).__name__} needs at least one numeric column."
                )
        if isinstance(features, pd.DataFrame):
            refuse_text_columns(self, features)
            features = _numbers_of_frame(features)
        elif is_polars(features):
            features = from_polars(features)
            refuse_text_columns(self, features)
            features = _numbers_of_frame(features)
        data = check_array(
            features,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_features=least,
            estimator=self,
            input_name="X",
        )
        self._check_values(data, source)
        return data

    def _check_values(self, data, source):
        with np.errstate(over="ignore", invalid="ignore"):
            finite = bool(np.isfinite(data.sum(dtype=np.float64)))
        if not finite:
            self._refuse_nonfinite(data, source)
        if self._counts:
            self._refuse_non_counts(data, source)

    def _refuse_nonfinite(self, data, source):
        for part in row_blocks(*data.shape):
            block = data[part]
            bad = np.isinf(block) if self._allow_nan else ~np.isfinite(block)
            if not bad.any():
                continue
            row, column = np.argwhere(bad)[0]
            what = "NaN" if np.isnan(block[row, column]) else "infinity"
            raise ValueError(
                f"Input X contains {what} in column {str(self._feature_labels(source)[column])!r} "
                f"(first in row {part.start + int(row)}); {type(self).__name__} needs finite "
                f"values{' or NaN for missing ones' if self._allow_nan else ''}. Impute or drop "
                "these cells first."
            )

    def _refuse_non_counts(self, data, source):
        for part in row_blocks(*data.shape):
            block = data[part]
            bad = (block < 0) | (block != np.floor(block))
            if not bad.any():
                continue
            row, column = np.argwhere(bad)[0]
            value = block[row, column]
            start = "Negative values in data passed to" if value < 0 else "Fractional values in"
            raise ValueError(
                f"{start} {type(self).__name__}: column "
                f"{str(self._feature_labels(source)[column])!r} holds {value:g} in row "
                f"{part.start + int(row)}; expected counts, whole numbers of at least 0. Pass raw "
                "counts; for normalised or logarithmic values use ComBat."
            )

    def _wrap(self, values, source):
        X = source.X
        if source.anndata:
            return self._wrap_anndata(values, X)
        keep = getattr(self, "keep_metadata", False) and bool(self._label_positions)
        if dense_output(self) != "default" and not keep:
            return values  # scikit-learn makes the container
        if isinstance(X, pd.DataFrame) and not self._fitted_on_array:
            return self._wrap_pandas(values, X, keep)
        if is_polars(X) and not self._fitted_on_array:
            import polars

            names = [str(name) for name in self.get_feature_names_out()]
            frame = polars.DataFrame(values, schema=names[: values.shape[1]])
            return (
                polars.concat([frame, X[:, self._label_positions]], how="horizontal")
                if (keep)
                else frame
            )
        if keep:
            extra = X[:, self._label_positions]
            kind = values.dtype if extra.dtype.kind in "biuf" else object
            return np.hstack([values.astype(kind), extra.astype(kind)])
        return values

    def _wrap_pandas(self, values, X, keep):
        features = _without(X, self._label_positions)
        if values.shape[1] == features.shape[1]:
            columns = features.columns
        else:
            columns = self.get_feature_names_out()[: values.shape[1]]
        frame = pd.DataFrame(values, index=X.index, columns=columns, copy=False)
        if keep:
            frame = pd.concat([frame, X.iloc[:, self._label_positions]], axis=1)
        return frame

    def _wrap_anndata(self, values, X):
        anndata = require("anndata", extra="single-cell", purpose="A table of class AnnData")
        if values.shape[1] != X.shape[1]:
            return anndata.AnnData(X=values, obs=X.obs.copy())
        return anndata.AnnData(
            X=values,
            obs=X.obs.copy(),
            var=X.var.copy(),
            uns=dict(X.uns),
            obsm=dict(X.obsm),
            varm=dict(X.varm),
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of all columns of ``X``; None uses those seen during ``fit``.

        Returns
        -------
        names : ndarray of str
            Without the columns of labels unless ``keep_metadata=True``.
        """
        check_is_fitted(self, "n_features_in_")
        names = check_feature_names_in(self, input_features)
        kept = np.setdiff1d(np.arange(len(names)), self._label_positions)
        if getattr(self, "keep_metadata", False):
            kept = np.concatenate([kept, np.asarray(self._label_positions, dtype=np.intp)])
        return names[kept.astype(np.intp)]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "identity_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._allow_nan
        tags.input_tags.positive_only = self._counts
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _numbers_of_frame(frame):
    dtypes = set(frame.dtypes)
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return frame.to_numpy()
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
