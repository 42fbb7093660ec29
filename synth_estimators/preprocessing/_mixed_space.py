"""Maps of mixed tables into spaces in which distances mean something."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from synth_estimators._compat import StrOptions, check_feature_names_in, fit_context
from synth_estimators._distances import euclidean_distances, gower_distances, nearest_rows
from synth_estimators.preprocessing._columns import MixedTable, as_frame, read_tables

__all__ = ["MixedSpace"]

_SPACES = ("standard", "gower", "identity")

# Stands for a missing cell where cells are only compared for equality; real cells are finite.
_MISSING_CELL = np.inf


class MixedSpace(TransformerMixin, BaseEstimator):
    r"""Map a mixed table to rows of numbers between which distances are taken.

    In the space ``"standard"`` a continuous column becomes :math:`(x - \bar x) / s` and a category
    :math:`1/\sqrt 2` at its own place, so that one mismatch adds 1 to the squared Euclidean
    distance. In ``"gower"`` the distance is the mean over the columns of
    :math:`\min(|a - b| / \text{range}, 1)`, or of 1 where two categories differ.

    Parameters
    ----------
    space : {"standard", "gower", "identity"}, default="standard"
        "identity" takes numeric columns as they are.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans as discrete; integers are continuous.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen in fit; only if all of them are text.

    n_continuous_ : int
        Leading columns of the mapped rows that hold scaled numbers; the others are compared for
        equality (space "gower") or are indicators.

    categories_ : list of list of str
        Categories of every discrete column.

    Notes
    -----
    A missing continuous cell is filled by the median and flagged by a column of its own if the
    fitted column has missing cells ("standard"); two missing cells are at distance 0, one is at
    distance 1 from any value ("gower"). A category unknown to fit is a block of zeros
    ("standard"), or different from every known one ("gower").

    References
    ----------
    .. [1] Gower, J. C. (1971). "A general coefficient of similarity and some of its properties".
       Biometrics 27(4), 857-871.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.preprocessing import MixedSpace
    >>> X = pd.DataFrame({"age": [20.0, 40.0, 60.0], "sex": ["f", "m", "f"]})
    >>> space = MixedSpace(space="gower").fit(X)
    >>> space.distances(X, X)[0].tolist()
    [0.0, 0.75, 0.5]
    >>> MixedSpace().fit(X).get_feature_names_out().tolist()
    ['age', 'sex_f', 'sex_m']
    """

    _parameter_constraints: ClassVar[dict] = {
        "space": [StrOptions(set(_SPACES))],
        "discrete_columns": [StrOptions({"auto"}), "array-like", None],
    }

    def __init__(self, *, space="standard", discrete_columns="auto"):
        self.space = space
        self.discrete_columns = discrete_columns

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> MixedSpace:
        """Learn scales, medians and categories from the reference table.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            The reference table, without infinite cells.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : estimator instance
        """
        frame, named = self._read(X, reset=True)
        table = read_tables({"X": frame}, discrete_columns=self.discrete_columns)["X"]
        self._template = frame.iloc[:1].copy()
        self._named = named
        return self._fit_table(table)

    def _read(self, X, *, reset):
        """Return the rows as a frame after the checks of names and numbers of columns."""
        if not hasattr(X, "columns"):
            X = check_array(
                X,
                dtype=None,
                ensure_all_finite=False,
                accept_sparse=True,
                estimator=self,
            )
        validate_data(self, X, reset=reset, skip_check_array=True)
        return as_frame(X)

    def transform(self, X: Any) -> np.ndarray:
        """Map rows into the space.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows with the columns seen in fit.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_features_out)
            Rows of the space. In "gower" missing continuous cells stay NaN.
        """
        return self._rows(X)

    def _rows(self, X):
        check_is_fitted(self, "n_continuous_")
        frame, named = self._read(X, reset=False)
        if not (named and self._named):
            frame = frame.set_axis(self._template.columns, axis=1)
        tables = read_tables(
            {"the table seen in fit": self._template, "X": frame},
            discrete_columns=self._discrete,
            synthetic=("X",),
            known_categories=self.categories_,
        )
        return self._transform_table(_stable_unknown(tables["X"], self.categories_))

    def distances(self, A: Any, B: Any) -> np.ndarray:
        """Distances between the rows of two tables.

        Parameters
        ----------
        A, B : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Tables with the columns seen in fit.

        Returns
        -------
        distances : ndarray of shape (n_samples_a, n_samples_b)
        """
        return self._between(self._rows(A), self._rows(B))

    def kneighbors(self, A: Any, B: Any, *, n_neighbors: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest rows of ``B`` for every row of ``A``, in blocks of bounded memory.

        Parameters
        ----------
        A, B : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Queries and candidates.

        n_neighbors : int, default=1
            Number of neighbours.

        Returns
        -------
        distance, index : ndarray of shape (n_samples_a, n_neighbors)
        """
        return nearest_rows(self._rows(A), self._rows(B), k=n_neighbors, distances=self._between)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of the space.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns seen in fit; None takes ``feature_names_in_``, or ``x0``, ``x1``,
            … where there are none.

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)
            Continuous columns first; ``<column>_missing`` flags missing cells and
            ``<column>_<category>`` is the indicator of a category ("standard").
        """
        check_is_fitted(self, "n_continuous_")
        names = check_feature_names_in(self, input_features)
        discrete = np.array(self._discrete, dtype=bool)
        continuous = names[~discrete]
        if self.space == "identity":
            return continuous
        if self.space == "gower":
            scaled = self._range > 0
            return np.r_[continuous[scaled], continuous[~scaled], names[discrete]]
        flags = [f"{name}_missing" for name in continuous[self._flagged]]
        indicators = [
            f"{name}_{labels[code]}"
            for name, labels, present in zip(
                names[discrete], self.categories_, self._present, strict=True
            )
            for code in present
        ]
        return np.array([*continuous, *flags, *indicators], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _fit_table(self, table: MixedTable) -> MixedSpace:
        if self.space not in _SPACES:
            raise ValueError(f"space={self.space!r} is unknown; use one of {list(_SPACES)}.")
        self.n_features_in_ = len(table.names)
        self._discrete = table.discrete.tolist()
        self.categories_ = [list(labels) for labels in table.categories]
        getattr(self, f"_fit_{self.space}")(table)
        return self

    def _transform_table(self, table: MixedTable) -> np.ndarray:
        return getattr(self, f"_map_{self.space}")(table)

    @property
    def _between(self):
        if self.space == "gower":
            return partial(gower_distances, n_continuous=self.n_continuous_)
        return euclidean_distances

    def _fit_identity(self, table):
        if table.discrete.any():
            raise ValueError(
                f"space='identity' takes numeric columns only, but {table.discrete_names[0]!r} is "
                "discrete; use space='standard' or 'gower'."
            )
        self.n_continuous_ = table.continuous.shape[1]
        self._present = []

    def _map_identity(self, table):
        if np.isnan(table.continuous).any():
            label = table.continuous_names[int(np.isnan(table.continuous).any(axis=0).argmax())]
            raise ValueError(
                f"space='identity' takes complete columns only, but {label!r} has missing cells; "
                "use space='standard' or 'gower'."
            )
        return table.continuous

    def _fit_gower(self, table):
        values = table.continuous
        observed = ~np.isnan(values)
        low = np.where(observed, values, np.inf).min(axis=0, initial=np.inf)
        high = np.where(observed, values, -np.inf).max(axis=0, initial=-np.inf)
        self._low = np.where(np.isfinite(low), low, 0.0)
        self._range = np.where(np.isfinite(low), high - self._low, 0.0)
        self.n_continuous_ = int((self._range > 0).sum())

    def _map_gower(self, table):
        scaled = self._range > 0
        numbers = (table.continuous[:, scaled] - self._low[scaled]) / self._range[scaled]
        constant = table.continuous[:, ~scaled]
        constant = np.where(np.isnan(constant), _MISSING_CELL, constant)
        return np.hstack([numbers, constant, table.codes.astype(np.float64)])

    def _fit_standard(self, table):
        values, weight = table.continuous, table.weight
        missing = np.isnan(values)
        mass = (~missing).astype(np.float64)
        if weight is not None:
            mass *= weight[:, None]
        count = np.where(missing.all(axis=0), 1.0, mass.sum(axis=0))
        self._mean = (np.where(missing, 0.0, values) * mass).sum(axis=0) / count
        deviation = np.where(missing, 0.0, values - self._mean)
        self._scale = np.sqrt((deviation**2 * mass).sum(axis=0) / count)
        constant = np.where(missing, -np.inf, values).max(axis=0, initial=-np.inf) <= np.where(
            missing, np.inf, values
        ).min(axis=0, initial=np.inf)
        self._scale[constant | (self._scale == 0)] = 1.0
        self._median = self._mean.copy()
        complete = ~missing.any(axis=0)
        incomplete = ~missing.all(axis=0) & (~complete | (weight is not None))
        for j in np.flatnonzero(incomplete):
            rows = ~missing[:, j]
            self._median[j] = _median(values[rows, j], None if weight is None else weight[rows])
        if complete.any() and weight is None:
            self._median[complete] = np.median(values[:, complete], axis=0)
        self._flagged = np.flatnonzero(~complete)
        self.n_continuous_ = values.shape[1]
        self._present = [
            np.flatnonzero(np.bincount(table.codes[:, k], minlength=len(labels)))
            for k, labels in enumerate(table.categories)
        ]

    def _map_standard(self, table):
        missing = np.isnan(table.continuous)
        filled = np.where(missing, self._median, table.continuous)
        blocks = [(filled - self._mean) / self._scale, missing[:, self._flagged].astype(np.float64)]
        for k, present in enumerate(self._present):
            blocks.append((table.codes[:, k][:, None] == present) * np.sqrt(0.5))
        return np.hstack(blocks)


def _median(values, weight):
    if weight is None:
        return np.median(values)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order])
    half = 0.5 * below[-1]
    place = np.searchsorted(below, half * (1 - 1e-12))
    after = min(place + (below[place] <= half * (1 + 1e-12)), len(values) - 1)
    return 0.5 * (values[order[place]] + values[order[after]])


def _stable_unknown(table, known_categories):
    """Give categories unknown to fit a code that depends on their label alone."""
    codes = table.codes.copy()
    for k, known in enumerate(known_categories):
        labels = table.categories[k]
        if len(labels) == len(known):
            continue
        unknown = [len(known) + 1 + zlib.crc32(label.encode()) for label in labels[len(known) :]]
        codes[:, k] = np.r_[np.arange(len(known)), unknown][codes[:, k]]
    return replace(table, codes=codes)
