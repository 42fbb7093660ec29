"""Columns drawn independently of each other."""

from __future__ import annotations

from typing import Any, ClassVar

from synth_estimators._compat import fit_context
from synth_estimators.base import BaseGenerator
from synth_estimators.preprocessing._donors import DonorTable

__all__ = ["IndependentColumns"]


class IndependentColumns(BaseGenerator):
    """Training values drawn with replacement, every column on its own.

    Each column keeps its distribution and all dependence between columns is lost: what a
    generator gains over this one, it gains by dependence.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Seeds the draws of ``sample``. Pass an int for reproducible output.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    BootstrapRows : Draws whole training rows.
    GaussianCopula : Adds the dependence of a normal distribution.

    Notes
    -----
    ``fit`` keeps one copy of the table; ``sample`` needs little memory beside its result.

    Examples
    --------
    >>> from synth_estimators.baselines import IndependentColumns
    >>> rows = IndependentColumns(random_state=0).fit([[1, 10], [2, 20]]).sample(50)
    >>> sorted({tuple(row) for row in rows.tolist()})
    [(1, 10), (1, 20), (2, 10), (2, 20)]
    """

    _mixed: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict] = {"random_state": ["random_state"]}

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> IndependentColumns:
        """Remember the training values.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Table of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : IndependentColumns
            The fitted generator.
        """
        frame, _ = self._start_fit_table(X)
        self._rows = DonorTable(frame)
        return self

    def _sample(self, n_samples, rng, **request):
        return self._rows.draw_cells(n_samples, rng)
