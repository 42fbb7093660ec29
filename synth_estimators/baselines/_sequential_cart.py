"""Sequential trees: every column drawn from training rows that agree on the columns before it."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators._random import spawn_seeds
from synth_estimators.base import BaseGenerator
from synth_estimators.baselines._cart_columns import DiscreteColumn, read_columns
from synth_estimators.preprocessing._determined import find_determined
from synth_estimators.preprocessing._donors import DonorTable
from synth_estimators.preprocessing._forest import DonorForest
from synth_estimators.preprocessing._metadata import _as_frame

__all__ = ["SequentialCART"]

_PRESETS = {
    "private": {"n_trees": 10, "honest": True, "min_samples_leaf": 5, "backoff": 5.0},
    "classic": {"n_trees": 1, "honest": False, "min_samples_leaf": 5, "backoff": 0.0},
}


class SequentialCART(BaseGenerator):
    r"""Columns drawn one after another by trees over the columns before them.

    Column :math:`j` of a new row is the cell of a training row (a donor) that lies in the same leaf
    of a tree that predicts column :math:`j` from columns :math:`1, \dots, j - 1`. The default draws
    every cell from a random tree of a small forest whose donors had no part in its splits, and
    leaves a node with :math:`d` donors for its parent with probability :math:`m / (m + d)`, so
    that no training row can be followed through a new row.

    Parameters
    ----------
    privacy : {"private", "classic"}, default="private"
        Values of the four parameters below that are None. "private": ``n_trees=10, honest=True,
        min_samples_leaf=5, backoff=5``. "classic" is the published method, one tree whose leaves
        are the donors: ``n_trees=1, honest=False, min_samples_leaf=5, backoff=0``. Its rows lie
        measurably nearer to training rows than to others.

    n_trees : int or None, default=None
        Trees a column; every cell is drawn from one of them at random.

    honest : bool or None, default=None
        Whether a tree makes its splits on a random half of the rows and takes its donors from the
        other half.

    min_samples_leaf : int or None, default=None
        Rows in a leaf, counted on the rows that make the splits.

    backoff : float or None, default=None
        Strength :math:`m` of moving up to ancestors: 0 stays in the leaf, infinity draws every
        column from its margin.

    smooth : {"quantile"} or None, default=None
        "quantile" adds a little noise to the drawn values of columns in which more than half of
        the values are distinct, so that they are not exact values of training rows; values that
        repeat often are kept.

    column_order : {"given", "cardinality"} or list of column names, default="given"
        "given" is the order of the table with a discrete ``target`` first and a numeric one last.
        "cardinality" draws the target first, then columns by their number of distinct values. A
        list names the columns that come first; the others follow as in "given".

    target : column name or None, default=None
        Column that has a place of its own in the order.

    discrete_columns : list of column names, boolean mask or None, default=None
        Columns whose cells are levels. None: text, categories, booleans and columns of at most two
        values. Text, categories and booleans are levels whatever is given here.

    n_jobs : int or None, default=None
        Columns fitted at a time, in threads. The result does not depend on it. None means 1 unless
        in a :obj:`joblib.parallel_backend` context; -1 means all processors.

    random_state : int, RandomState instance or None, default=None
        Seeds the trees and the draws of ``sample``. Pass an int for reproducible output.

    Attributes
    ----------
    column_order_ : list
        Names of the columns that are drawn, in this order.

    determined_by_ : dict
        Column -> the column it follows from. Such columns are not drawn but looked up.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    BootstrapRows : Copies whole training rows.
    GaussianCopula : Smooth margins and one correlation matrix.

    Notes
    -----
    A missing cell is a level of a discrete column. In a column of numbers it is a value that a
    donor can hand on, and its flag is predicted beside the number, so that cells that are missing
    together stay so. As a predictor it may go to either side of a split.

    Levels of a discrete predictor are ordered anew for every column and tree, by how the outcome
    differs in their rows. Numbers are predicted as normal scores, so the result does not depend on
    their scale.

    A column whose every value goes with one value of another column (a code beside its name) is
    looked up from it, if each of its values occurs in ten rows or more; a list ``column_order``
    that puts it before the other column has it drawn all the same.

    A node with at least ten donors that all carry one level, or all lack a number, is not left:
    rules of the table survive the moves to ancestors.

    The cost is that of ``n_trees`` trees a column, each on half of the rows, and grows with the
    square of the number of columns: made for up to some hundred columns. The model holds the
    training table. Every drawn cell is a value of the table unless ``smooth`` is set; names and
    other identifiers do not belong in it.

    References
    ----------
    .. [1] Reiter (2005). "Using CART to Generate Partially Synthetic Public Use Microdata".
       Journal of Official Statistics 21(3), 441-462.

    .. [2] :doi:`Nowok, Raab and Dibben (2016). "synthpop: Bespoke Creation of Synthetic Data in
       R". <10.18637/jss.v074.i11>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.baselines import SequentialCART
    >>> fruit = pd.Series(["apple", "melon"] * 50)
    >>> table = pd.DataFrame({"fruit": fruit, "grams": range(100, 200)})
    >>> table.loc[fruit == "melon", "grams"] += 800
    >>> cart = SequentialCART(random_state=0).fit(table)
    >>> cart.column_order_
    ['fruit', 'grams']
    >>> rows = cart.sample(200, conditions={"fruit": "melon"})
    >>> rows["fruit"].unique().tolist()
    ['melon']
    >>> bool(rows["grams"].median() > 900)
    True
    """

    _mixed: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict] = {
        "privacy": [StrOptions({"private", "classic"})],
        "n_trees": [Interval(Integral, 1, None, closed="left"), None],
        "honest": ["boolean", None],
        "min_samples_leaf": [Interval(Integral, 1, None, closed="left"), None],
        "backoff": [Interval(Real, 0, np.inf, closed="both"), None],
        "smooth": [StrOptions({"quantile"}), None],
        "column_order": [StrOptions({"given", "cardinality"}), "array-like"],
        "target": "no_validation",
        "discrete_columns": ["array-like", None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        privacy="private",
        n_trees=None,
        honest=None,
        min_samples_leaf=None,
        backoff=None,
        smooth=None,
        column_order="given",
        target=None,
        discrete_columns=None,
        n_jobs=None,
        random_state=None,
    ):
        self.privacy = privacy
        self.n_trees = n_trees
        self.honest = honest
        self.min_samples_leaf = min_samples_leaf
        self.backoff = backoff
        self.smooth = smooth
        self.column_order = column_order
        self.target = target
        self.discrete_columns = discrete_columns
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> SequentialCART:
        """Grow the trees of every column.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Table of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency. Make the target a column of ``X`` and name it in
            ``target``.

        Returns
        -------
        self : SequentialCART
            The fitted generator.

        Raises
        ------
        ValueError
            For names in ``target``, ``column_order`` or ``discrete_columns`` that ``X`` lacks.
        """
        frame, seed = self._start_fit_table(X)
        self._labels = list(frame.columns)
        self._columns = read_columns(
            frame, discrete_columns=self.discrete_columns, smooth=self.smooth is not None
        )
        self._rows = DonorTable(frame)
        target = None if self.target is None else self._position(self.target, "target")
        order = self._ordered(target)
        determined = self._find_determined(order, target)
        self._order = [j for j in order if j not in determined]
        self._lookup = determined
        self.column_order_ = [self._labels[j] for j in self._order]
        self.determined_by_ = {self._labels[c]: self._labels[p] for c, p in determined.items()}
        self._forests = self._grow(seed)
        return self

    def _position(self, label, parameter):
        try:
            return self._labels.index(label)
        except ValueError:
            raise ValueError(
                f"{parameter} names {label!r}, which is not a column of X; its columns are "
                f"{self._labels}."
            ) from None

    def _ordered(self, target):
        """Indices of the columns in the order they are drawn, looked-up columns included."""
        given = list(range(len(self._labels)))
        named = not isinstance(self.column_order, str)
        if not named and self.column_order == "cardinality":
            given.sort(key=lambda j: (j != target, self._columns[j].n_values))
            return given
        if target is not None:
            given.remove(target)
            discrete = isinstance(self._columns[target], DiscreteColumn)
            given.insert(0 if discrete else len(given), target)
        if not named:
            return given
        first = [self._position(label, "column_order") for label in self.column_order]
        if len(set(first)) < len(first):
            raise ValueError(f"column_order names a column twice: {list(self.column_order)}.")
        return first + [j for j in given if j not in first]

    def _find_determined(self, order, target):
        exclude = [] if target is None else [target]
        labels = [column.coded.labels for column in self._columns]
        determined = find_determined(labels, exclude=exclude)
        if isinstance(self.column_order, str):
            return determined
        rank = {j: position for position, j in enumerate(order)}
        named = len(self.column_order)
        return {c: p for c, p in determined.items() if rank[c] >= named or rank[p] < rank[c]}

    def _grow(self, seed):
        settings = {
            name: preset if getattr(self, name) is None else getattr(self, name)
            for name, preset in _PRESETS[self.privacy].items()
        }
        coded = [self._columns[j].coded for j in self._order]
        seeds = spawn_seeds(seed, len(self._labels))
        return Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(DonorForest(**settings).fit)(coded[:k], coded[k], seeds[j])
            for k, j in enumerate(self._order)
        )

    def sample(
        self, n_samples: int = 1, *, conditions: Any = None, random_state: Any = None
    ) -> Any:
        """Draw new rows, with given values in the first columns if asked.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        conditions : mapping or DataFrame with n_samples rows, default=None
            Column name -> value for all rows, or one value a row. The columns must be the first
            ones of ``column_order_``, in any order; have others drawn first with the parameter
            ``column_order``.

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container, column order and dtypes of the table given to ``fit``.

        Raises
        ------
        ValueError
            For conditions on unknown columns or on columns that are not drawn first, and for
            levels that were not seen during ``fit``.
        """
        return self._sample_rows(n_samples, random_state, conditions=conditions)

    def sample_iter(
        self,
        n_samples: int,
        *,
        conditions: Any = None,
        chunk_size: int | None = None,
        random_state: Any = None,
    ) -> Iterator[Any]:
        """Draw rows in chunks, for results that do not fit in memory.

        Parameters
        ----------
        n_samples : int
            Number of rows in total.

        conditions : mapping or DataFrame with n_samples rows, default=None
            As in ``sample``.

        chunk_size : int or None, default=None
            Rows a chunk; None keeps a chunk near two million cells.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. One stream runs through all chunks.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Independent rows, in the container ``sample`` would return.
        """
        return self._sample_chunks(n_samples, chunk_size, random_state, conditions=conditions)

    def _sample(self, n_samples, rng, conditions=None, **request):
        check_is_fitted(self)
        given = self._read_conditions(conditions, n_samples)
        donors, values, cells = {}, {}, []
        for j, forest in zip(self._order, self._forests, strict=True):
            column = self._columns[j]
            if j in given:
                cell, donors[j], values[j] = given[j]
            else:
                donors[j] = forest.draw(cells, n_samples, rng)
                cell = column.coded.cells[donors[j]]
                if column.smooth:
                    cell, values[j] = column.dithered(donors[j], rng)
            cells.append(cell)
        for c, p in self._lookup.items():
            donors[c] = donors[p]
        parts = {
            j: self._rows.take_column(j, donors[j]) if values.get(j) is None else values[j]
            for j in range(len(self._labels))
        }
        return pd.DataFrame(parts).set_axis(pd.Index(self._labels), axis=1)

    def _read_conditions(self, conditions, n_samples):
        """Cells, donors and values of the columns that are given."""
        if conditions is None:
            return {}
        frame = _as_frame(conditions, n_samples)
        for label in frame.columns:
            if label not in self._labels:
                raise ValueError(
                    f"Unknown condition column {label!r}; seen during fit: {self._labels}."
                )
            if label in self.determined_by_:
                raise ValueError(
                    f"Column {label!r} is looked up from {self.determined_by_[label]!r}, so it "
                    "cannot be given; give that one, or fit with column_order="
                    f"[{label!r}]."
                )
        if set(frame.columns) != set(self.column_order_[: frame.shape[1]]):
            raise ValueError(
                f"Conditions on {list(frame.columns)} need these columns to be drawn first, but "
                f"the order is {self.column_order_}; fit with "
                f"column_order={list(frame.columns)}."
            )
        positions = {label: self._labels.index(label) for label in frame.columns}
        return {j: self._columns[j].given(frame[label], label) for label, j in positions.items()}
