"""Rows between neighbouring training rows."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from synth_estimators._compat import Interval, fit_context
from synth_estimators.base import BaseGenerator
from synth_estimators.preprocessing._columns import is_discrete_dtype
from synth_estimators.preprocessing._donors import DonorTable
from synth_estimators.preprocessing._mixed_space import MixedSpace
from synth_estimators.preprocessing._numbers import NumberColumn

__all__ = ["NeighborInterpolation"]


class NeighborInterpolation(BaseGenerator):
    r"""Rows on the segments between training rows and their nearest neighbours.

    The rule of SMOTE, applied to the whole table: a random training row :math:`a`, one of its
    nearest neighbours :math:`b` and a uniform :math:`u` give

    .. math:: x = a + u\,(b - a), \qquad u \sim U(0, 1),

    for numbers, dates and durations; text, categories and booleans are those of :math:`b` with
    probability :math:`u`, else those of :math:`a`. A baseline that is hard to beat in utility and
    easy to beat in privacy: every row lies beside two training rows.

    Read more in the :ref:`User Guide <baselines>`.

    Parameters
    ----------
    n_neighbors : int, default=5
        Neighbours of a row that it is joined with; at most the number of rows less one is used.

    random_state : int, RandomState instance or None, default=None
        Seeds the draws of ``sample``. Pass an int for reproducible output.

    Attributes
    ----------
    n_neighbors_ : int
        Number of neighbours in use.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    BootstrapRows : Copies of training rows.
    SequentialCART : Keeps the dependence of mixed tables without standing beside single rows.

    Notes
    -----
    Neighbours are searched in the standardised space: numbers in standard deviations, each
    mismatch of a category adds 1 to the squared distance, missing numbers are filled by the
    median and flagged. If one of the two numbers is missing, the nearer row of the two decides.
    Numbers are rounded to the decimals of their column. ``fit`` compares all pairs of rows in the
    worst case: :math:`O(n^2 p)` time, :math:`O(n p)` memory.

    References
    ----------
    .. [1] :doi:`Chawla, Bowyer, Hall and Kegelmeyer (2002). "SMOTE: Synthetic Minority
       Over-sampling Technique". <10.1613/jair.953>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.baselines import NeighborInterpolation
    >>> X = pd.DataFrame({"age": [30, 31, 60, 61], "sex": ["f", "f", "m", "m"]})
    >>> rows = NeighborInterpolation(n_neighbors=1, random_state=0).fit(X).sample(100)
    >>> sorted(rows["age"].unique().tolist()), rows.groupby("sex")["age"].max().tolist()
    ([30, 31, 60, 61], [31, 61])
    """

    _mixed: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, n_neighbors=5, *, random_state=None):
        self.n_neighbors = n_neighbors
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> NeighborInterpolation:
        """Find the neighbours of every training row.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Table of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : NeighborInterpolation
            The fitted generator.
        """
        frame, _ = self._start_fit_table(X)
        self.n_neighbors_ = min(self.n_neighbors, len(frame) - 1)
        places = MixedSpace().fit_transform(frame)
        search = NearestNeighbors(n_neighbors=self.n_neighbors_).fit(places)
        # Without a query the rows themselves are not among their neighbours.
        self._neighbors = search.kneighbors(return_distance=False)
        self._table = DonorTable(frame)
        discrete = [is_discrete_dtype(dtype) for dtype in frame.dtypes]
        self._discrete = np.array(discrete, dtype=bool)
        self._numbers = {
            int(j): NumberColumn(frame.iloc[:, j]) for j in np.flatnonzero(~self._discrete)
        }
        return self

    def _sample(self, n_samples, rng, **request):
        start = rng.integers(len(self._neighbors), size=n_samples)
        end = self._neighbors[start, rng.integers(self.n_neighbors_, size=n_samples)]
        share = rng.random(n_samples)
        columns = {}
        for j in range(self.n_features_in_):
            # One decision a cell, so that categories of one row may come from both ends.
            from_end = rng.random(n_samples) < share if self._discrete[j] else share >= 0.5
            donor = np.where(from_end, end, start)
            if self._discrete[j]:
                columns[j] = self._table.take_column(j, donor)
            else:
                columns[j] = self._between(self._numbers[j], start, end, donor, share)
        return pd.DataFrame(columns).set_axis(self._table.columns, axis=1)

    @staticmethod
    def _between(column, start, end, donor, share):
        low, high = column.values[start], column.values[end]
        mixed = low + share * (high - low)
        return column.restore(np.where(np.isnan(mixed), column.values[donor], mixed))
