"""What all batch correctors share: where labels come from, and containers in and out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from synth_estimators._compat import check_feature_names_in, dense_output, fit_context
from synth_estimators._distances import row_blocks
from synth_estimators._optional import require
from synth_estimators._validation import is_polars
from synth_estimators.batch_effects._containers import (
    TableSource,
    as_frame,
    is_list,
    read_numbers,
    without_columns,
)
from synth_estimators.batch_effects._design import as_labels

__all__ = ["BaseBatchCorrector", "BatchLabelWarning", "SampleRows"]

# A table without a column of this name has no labels; any other name has to be there.
_DEFAULT_BATCH = "batch"

# Mean rows of a class from which on a covariate of the same classes is taken for the target.
_ROWS_OF_A_CLASS = 5


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
    # Roles of which the keyword may pass several columns; the others are one label a row.
    _table_roles: tuple[str, ...] = ("covariates",)
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

    @fit_context(prefer_skip_nested_validation=True)
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
        rows, source = self._read(X, {"batch": batch, "covariates": covariates}, reset=True)
        return self._learn(rows, y)._adjust(rows, source)

    def _fit_rows(self, X: Any, y: Any = None, **given: Any) -> BaseBatchCorrector:
        """Check table and labels, then learn; ``given`` holds labels by keyword."""
        rows, _ = self._read(X, given, reset=True)
        return self._learn(rows, y)

    def _learn(self, rows: SampleRows, y: Any) -> BaseBatchCorrector:
        shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
        if y is not None and shape[:1] != (len(rows.X),):
            raise ValueError(
                f"y has shape {shape} but X has {len(rows.X)} rows; pass one target a row."
            )
        self._refuse_target(rows, y)
        self.identity_ = self._needs_batch and rows.batch is None
        if self.identity_:
            column = "" if self.batch is None else f"X has no column {self.batch!r} and "
            warnings.warn(
                f"{type(self).__name__} was fitted without batch labels and leaves every table as "
                f"it is: {column}no batch= was passed.",
                BatchLabelWarning,
                stacklevel=5,
            )
            self._fit_identity()
        else:
            self._fit(rows, y)
        return self

    def _transform_rows(self, X: Any, **given: Any) -> Any:
        """Check table and labels, then adjust; ``given`` holds labels by keyword."""
        check_is_fitted(self)
        rows, source = self._read(X, given, reset=False)
        return self._adjust(rows, source)

    def _adjust(self, rows: SampleRows, source: TableSource) -> Any:
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
        target = np.asarray(y).reshape(-1)
        if y is None or covariates is None or len(target) != len(rows.X):
            return
        same = [name for name in covariates.columns if _same_labels(covariates[name], target)]
        if same:
            offered = "preserve_y" in self.get_params(deep=False)
            raise ValueError(
                f"The covariate {same[0]!r} is the target y. Rows to predict would need their "
                "target to be transformed, and the adjusted table would leak it. Leave it out"
                f"{', or set preserve_y=' + repr('fit_only') if offered else ''}."
            )

    def _read(self, X, given, *, reset):
        source = TableSource(X, type(self).__name__)
        X = source.X
        self._check_columns(X, source, reset=reset)
        n_samples = X.shape[0]
        if reset:
            self._fitted_on_array = source.columns is None
            found = self._find_columns(source, given, self._roles)
            self._label_names = {
                role: [source.label(p) for p in positions] for role, positions in found.items()
            }
            self._positions = {} if source.anndata else found
            self._label_positions = sorted({p for group in self._positions.values() for p in group})
        data = self._features(X, source)
        roles = self._roles if reset else [r for r in self._roles if r not in self._fit_only_roles]
        # The columns of an obs are in any order, those of a table in the order of fit.
        places = self._positions
        if source.anndata:
            names = None if reset else self._label_names
            places = self._find_columns(source, given, roles, names)
        labels = {
            role: self._labels(role, source, places.get(role), given.get(role), n_samples)
            for role in roles
        }
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

    def _find_columns(self, source, given, roles, fitted_names=None):
        """Positions of the columns of labels, by role; absent names are errors."""
        found = {}
        for role in roles:
            spec = getattr(self, role)
            if spec is None or (is_list(spec) and len(spec) == 0):
                continue
            names = list(spec) if is_list(spec) else [spec]
            if fitted_names is not None:
                names = fitted_names.get(role, names)
            positions = [source.position(name) for name in names]
            absent = [n for n, p in zip(names, positions, strict=True) if p is None]
            optional = given.get(role) is not None or (
                role == "batch" and not is_list(spec) and spec == _DEFAULT_BATCH
            )
            if absent and not optional:
                raise ValueError(self._absent(role, absent, source))
            found[role] = list(dict.fromkeys(p for p in positions if p is not None))
        return {role: positions for role, positions in found.items() if positions}

    def _absent(self, role, absent, source):
        columns = source.columns
        where = "X.obs" if source.anndata else "X"
        if columns is None:
            there = f"{where} is an array of {source.width} columns without names"
        else:
            there = f"{where} has the columns {[str(c) for c in columns[:10]]}"
            there += f" and {len(columns) - 10} more" if len(columns) > 10 else ""
        if any(isinstance(name, int | np.integer) for name in absent):
            there += f"; whole numbers are positions, here from 0 to {source.width - 1}"
        keyword = f", or pass {role}= to the method" if role in ("batch", "covariates") else ""
        return (
            f"{role}={getattr(self, role)!r} names {absent if len(absent) > 1 else absent[0]!r}, "
            f"but {there}. Name a column that is there{keyword}."
        )

    def _labels(self, role, source, positions, given, n_samples):
        spec = getattr(self, role)
        several = role == "covariates" or is_list(spec)
        if given is None:
            if positions is None:
                return None
            if several:
                frame = source.frame(positions)
                frame.columns = self._label_names.get(role, frame.columns)
                return self._complete(frame, role)
            return as_labels(source.read(positions[0]), n_samples=n_samples, name=role)
        wide = role in self._table_roles and len(np.shape(given)) == 2 and np.shape(given)[1] > 1
        if several or wide:
            wanted = list(spec) if is_list(spec) else None
            frame = as_frame(given, n_samples=n_samples, name=role, names=wanted)
            return self._complete(frame, role)
        return as_labels(given, n_samples=n_samples, name=role)

    def _complete(self, frame, role):
        frame = frame.infer_objects()
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
        features = X.X if source.anndata else without_columns(X, self._label_positions)
        if source.anndata or not self._label_positions:
            least = 1
        else:
            least = 0
            if features.shape[1] == 0:
                raise ValueError(
                    f"X has no features left beside its columns of labels; "
                    f"{type(self).__name__} needs at least one numeric column."
                )
        data = check_array(
            read_numbers(self, features),
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
        other = dense_output(self) != "default"  # scikit-learn makes this container
        if source.anndata:
            return self._wrap_anndata(values, X, as_table=other)
        keep = getattr(self, "keep_metadata", False) and bool(self._label_positions)
        if other and not keep:
            return values
        if isinstance(X, pd.DataFrame) and (other or not self._fitted_on_array):
            return self._wrap_pandas(values, X, keep)
        if other:
            labels = source.frame(self._label_positions)
            labels.columns = self.get_feature_names_out()[values.shape[1] :]
            names = self.get_feature_names_out()[: values.shape[1]]
            return pd.concat([pd.DataFrame(values, columns=names, copy=False), labels], axis=1)
        if is_polars(X) and not self._fitted_on_array:
            return self._wrap_polars(values, X, keep)
        if keep:
            extra = X[:, self._label_positions]
            kind = values.dtype if extra.dtype.kind in "biuf" else object
            return np.hstack([values.astype(kind), extra.astype(kind)])
        return values

    def _wrap_polars(self, values, X, keep):
        import polars

        names = [str(name) for name in self.get_feature_names_out()]
        frame = polars.DataFrame(values, schema=names[: values.shape[1]])
        if not keep:
            return frame
        return polars.concat([frame, X[:, self._label_positions]], how="horizontal")

    def _wrap_pandas(self, values, X, keep):
        columns = X.columns.delete(self._label_positions)
        if values.shape[1] != len(columns):
            columns = self.get_feature_names_out()[: values.shape[1]]
        frame = pd.DataFrame(values, index=X.index, columns=columns, copy=False)
        if keep:
            frame = pd.concat([frame, X.iloc[:, self._label_positions]], axis=1)
        return frame

    def _wrap_anndata(self, values, X, *, as_table):
        if as_table:
            return pd.DataFrame(values, index=X.obs_names, columns=self.get_feature_names_out())
        anndata = require("anndata", extra="single-cell", purpose="A table of class AnnData")
        if values.shape[1] != X.shape[1]:
            return anndata.AnnData(X=values, obs=X.obs.copy())
        return anndata.AnnData(
            X=values,
            obs=X.obs.copy(),
            var=X.var.copy(),
            uns=dict(X.uns),
            **{
                name: {key: part.copy() for key, part in getattr(X, name).items()}
                for name in ("obsm", "varm", "obsp", "varp", "layers")
            },
            raw=None if X.raw is None else X.raw.to_adata(),
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
        kept = np.delete(np.arange(len(names)), self._label_positions)
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


def _same_labels(covariate, target):
    """Whether a covariate is the target, under its own or other names of the classes."""
    if covariate.tolist() == target.tolist():
        return True
    codes, levels = pd.factorize(covariate)
    # Values that hardly repeat say nothing: any two such columns could be renamed into each other.
    few = 1 < len(levels) <= len(codes) // _ROWS_OF_A_CLASS
    return few and np.array_equal(codes, pd.factorize(target)[0])
