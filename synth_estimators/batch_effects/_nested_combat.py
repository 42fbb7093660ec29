"""NestedComBat: one ComBat after another for several batch columns."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
import pandas as pd

from synth_estimators._compat import StrOptions
from synth_estimators.batch_effects._anderson import anderson_darling, critical_value
from synth_estimators.batch_effects._base import BaseBatchCorrector
from synth_estimators.batch_effects._combat import ComBat
from synth_estimators.batch_effects._design import BatchLevels, match_batches

__all__ = ["NestedComBat"]

# All orders of up to four columns are tried: at most 64 fits.
_MAX_EXHAUSTIVE = 4

_PASSED_ON = (
    "categorical",
    "parametric",
    "mean_only",
    "preserve_y",
    "shrink",
    "convergence",
    "tol",
    "max_iter",
    "unseen",
    "singleton",
    "missing",
)


class NestedComBat(BaseBatchCorrector):
    """ComBat for several batch columns, one after another (Horng and others).

    Site, scanner and protocol are batches of the same rows. The columns are adjusted in turn,
    each ComBat starting from what the one before it returns; new rows go through the same steps.

    Read more in the :ref:`User Guide <batch_effects>`.

    Parameters
    ----------
    batch : list of str or int, str, int or None, default="batch"
        Columns of ``X`` that hold batch labels. A keyword ``batch=`` of the methods, a data frame
        with one column for each, comes first.

    order : {"given", "auto"}, default="given"
        Order of the steps: that of ``batch``, or the one that leaves the fewest features which
        differ between the levels of some batch column.

    covariates : list of str or int, or None, default=None
        Columns of ``X`` whose effects are kept by every step. They are needed in ``transform``.

    categorical : list or None, default=None
        Covariates to take as categories although they hold numbers.

    parametric : bool, default=True
        Prior of the effects of batches, as in ``ComBat``.

    mean_only : bool, default=False
        Adjust the location only.

    preserve_y : {"fit_only"} or None, default=None
        "fit_only" keeps differences that the target ``y`` explains, as in ``ComBat``;
        ``transform`` needs no target.

    shrink : bool, default=True
        False uses the estimates of every feature as they are.

    convergence : {"sva", "strict"}, default="sva"
        When the iteration stops, as in ``ComBat``.

    tol : float, default=1e-4
        Relative change at which the iteration stops.

    max_iter : int, default=10000
        Largest number of rounds.

    unseen : {"error", "passthrough", "estimate"}, default="error"
        What ``transform`` does with rows of levels that ``fit`` has not seen: raise, leave rows
        with a new level in any column as they are, or estimate the new level in its step.

    singleton : {"mean_only", "error"}, default="mean_only"
        What to do with a batch of one row, as in ``ComBat``.

    missing : {"sva", "error"}, default="sva"
        What to do with NaN among the features, as in ``ComBat``.

    keep_metadata : bool, default=False
        Append the columns of labels to the output.

    Attributes
    ----------
    order_ : list
        Batch columns in the order of the steps.

    correctors_ : list of ComBat
        Fitted step of each.

    n_significant_ : int or None
        Features that still differ after the last step; None with ``order="given"``.

    n_iter_ : ndarray of int of shape (n_columns,)
        Rounds of the iteration in each step, those of the slowest batch.

    identity_ : bool
        Whether ``fit`` found no labels, so that every table is left as it is.

    n_features_in_ : int
        Number of columns seen during ``fit``, columns of labels included.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : One batch column.

    Notes
    -----
    A later step can bring back part of what an earlier one has removed, which is why the order
    matters. ``order="auto"`` counts features for which a k-sample Anderson-Darling test at 5 per
    cent rejects that some batch column has no effect on their distribution; columns of one level,
    and features with missing values, are not counted, and ties go to the order given. All orders
    of up to four columns are tried, 64 fits at most; with more columns the best next step is
    taken at a time. The tests are run for all features at once; they look at the training rows
    alone, and at their values, so that classes that differ between batches count as differences.
    The search holds one copy of the table for every column.

    References
    ----------
    .. [1] :doi:`Horng et al. (2022). "Generalized ComBat harmonization methods for radiomic
       features with multi-modal distributions and multiple batch effects".
       <10.1038/s41598-022-08412-9>`

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from synth_estimators.batch_effects import NestedComBat
    >>> rng = np.random.default_rng(0)
    >>> labels = pd.DataFrame({"site": np.arange(60) % 3, "kernel": np.arange(60) // 30})
    >>> X = rng.normal(size=(60, 8)) + labels["site"].to_numpy()[:, None]
    >>> X *= 1 + labels["kernel"].to_numpy()[:, None]
    >>> nested = NestedComBat(["site", "kernel"], order="auto")
    >>> adjusted = nested.fit_transform(X, batch=labels)
    >>> nested.order_, nested.n_significant_
    (['site', 'kernel'], 0)
    """

    _parameter_constraints: ClassVar[dict] = {
        **{
            name: rule
            for name, rule in ComBat._parameter_constraints.items()
            if name != "reference_batch"
        },
        "batch": ["array-like", str, Integral, None],
        "order": [StrOptions({"given", "auto"})],
    }

    def __init__(
        self,
        batch="batch",
        *,
        order="given",
        covariates=None,
        categorical=None,
        parametric=True,
        mean_only=False,
        preserve_y=None,
        shrink=True,
        convergence="sva",
        tol=1e-4,
        max_iter=10000,
        unseen="error",
        singleton="mean_only",
        missing="sva",
        keep_metadata=False,
    ):
        self.batch = batch
        self.order = order
        self.covariates = covariates
        self.categorical = categorical
        self.parametric = parametric
        self.mean_only = mean_only
        self.preserve_y = preserve_y
        self.shrink = shrink
        self.convergence = convergence
        self.tol = tol
        self.max_iter = max_iter
        self.unseen = unseen
        self.singleton = singleton
        self.missing = missing
        self.keep_metadata = keep_metadata

    _table_roles = (*BaseBatchCorrector._table_roles, "batch")

    @property
    def _allow_nan(self):
        return self.missing == "sva"

    def _fit_identity(self):
        self.n_iter_ = np.ones(1, dtype=np.intp)

    def _fit(self, rows, y):
        labels = self._batch_frame(rows)
        search = _OrderSearch(self._fitted_step, labels, rows.covariates, y)
        X = np.asarray(rows.X, dtype=np.float64)
        columns = list(labels.columns)
        if self.order == "given":
            self.correctors_ = search.run(X, columns)
            self.order_, self.n_significant_ = columns, None
        else:
            found = search.best(X, columns)
            self.n_significant_, self.order_, self.correctors_ = found
        self.n_iter_ = np.array([step.n_iter_.max() for step in self.correctors_])

    def _fitted_step(self, X, batch, covariates, y):
        options = {name: getattr(self, name) for name in _PASSED_ON}
        return ComBat(batch=None, **options).fit(X, y, batch=batch, covariates=covariates)

    def _batch_frame(self, rows):
        """Batch columns as a data frame."""
        batch = rows.batch
        if not isinstance(batch, pd.DataFrame):
            return pd.DataFrame({self.batch if self.batch is not None else "batch": batch})
        names = list(self.batch) if _is_several(self.batch) else list(batch.columns)
        if len(set(names)) < len(names):
            raise ValueError(f"batch={names!r} names a column twice; name every column once.")
        return batch

    def _transform(self, rows):
        labels = self._batch_frame(rows)
        absent = [column for column in self.order_ if column not in labels.columns]
        if absent:
            raise ValueError(
                f"batch lacks the columns {absent!r}; {type(self).__name__} was fitted with "
                f"{self.order_!r}, pass all of them."
            )
        adjusted = np.asarray(rows.X, dtype=np.float64)
        unchanged = np.zeros(len(adjusted), dtype=bool)
        for column, corrector in zip(self.order_, self.correctors_, strict=True):
            batch = labels[column].to_numpy()
            adjusted = corrector.transform(adjusted, batch=batch, covariates=rows.covariates)
            if self.unseen == "passthrough":
                known = match_batches(batch, corrector.batches_, unseen="estimate", owner="")
                unchanged |= known < 0
        adjusted[unchanged] = rows.X[unchanged]
        return adjusted


def _is_several(spec):
    return spec is not None and not isinstance(spec, str | Integral)


class _OrderSearch:
    """Orders of batch columns, and how many features each leaves different."""

    def __init__(self, fit_step, labels, covariates, y):
        self.fit_step = fit_step
        self.labels = labels
        self.covariates = covariates
        self.y = y
        levels = {column: BatchLevels.from_labels(labels[column].to_numpy()) for column in labels}
        self.tested = [found for found in levels.values() if len(found.levels) > 1]

    def step(self, X, column):
        """Fitted corrector of one column, and the table it returns."""
        batch = self.labels[column].to_numpy()
        corrector = self.fit_step(X, batch, self.covariates, self.y)
        return corrector, corrector.transform(X, batch=batch, covariates=self.covariates)

    def run(self, X, columns):
        """Correctors of the columns in this order."""
        correctors = []
        for column in columns:
            corrector, X = self.step(X, column)
            correctors.append(corrector)
        return correctors

    def n_significant(self, X):
        """Features whose distribution differs between the levels of some column."""
        gaps = np.isnan(X).any(axis=0)
        X = X[:, ~gaps] if gaps.any() else X
        differs = np.zeros(X.shape[1], dtype=bool)
        if len(X) < 4:
            return 0
        for found in self.tested:
            n_levels = len(found.levels)
            differs |= anderson_darling(X, found.codes, n_levels) > critical_value(n_levels)
        return int(differs.sum())

    def best(self, X, columns):
        """Number of different features, order and correctors of the best order."""
        if len(columns) <= _MAX_EXHAUSTIVE:
            return self._best_of_all(X, columns)
        return self._best_step_by_step(X, columns)

    def _best_of_all(self, X, columns):
        # Orders that start alike share their first steps; the order given comes first.
        if not columns:
            return self.n_significant(X), [], []
        best = None
        for column in columns:
            corrector, adjusted = self.step(X, column)
            rest = [other for other in columns if other != column]
            count, order, correctors = self._best_of_all(adjusted, rest)
            if best is None or count < best[0]:
                best = count, [column, *order], [corrector, *correctors]
        return best

    def _best_step_by_step(self, X, columns):
        order, correctors, left = [], [], list(columns)
        count = 0
        while left:
            tried = [self.step(X, column) for column in left]
            counts = [self.n_significant(adjusted) for _, adjusted in tried]
            best = int(np.argmin(counts))
            count = counts[best]
            corrector, X = tried[best]
            order.append(left.pop(best))
            correctors.append(corrector)
        return count, order, correctors
