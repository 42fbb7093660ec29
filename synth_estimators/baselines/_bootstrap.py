"""The copier: training rows drawn with replacement."""

from __future__ import annotations

from typing import Any, ClassVar

from synth_estimators._compat import fit_context
from synth_estimators.base import BaseGenerator
from synth_estimators.preprocessing._donors import DonorTable

__all__ = ["BootstrapRows"]


class BootstrapRows(BaseGenerator):
    """Copies of training rows, drawn with replacement.

    The upper limit of fidelity and the lower limit of privacy: every sampled row is the record of
    a training row.

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
    IndependentColumns : Draws every column on its own, so that columns are independent.

    Notes
    -----
    ``fit`` keeps one copy of the table.

    References
    ----------
    .. [1] :doi:`Efron (1979). "Bootstrap Methods: Another Look at the Jackknife".
       <10.1214/aos/1176344552>`

    Examples
    --------
    >>> from synth_estimators.baselines import BootstrapRows
    >>> rows = BootstrapRows(random_state=0).fit([[1, 10], [2, 20]]).sample(50)
    >>> sorted({tuple(row) for row in rows.tolist()})
    [(1, 10), (2, 20)]
    """

    _mixed: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict] = {"random_state": ["random_state"]}

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> BootstrapRows:
        """Remember the training rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Table of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : BootstrapRows
            The fitted generator.
        """
        frame, _ = self._start_fit_table(X)
        self._rows = DonorTable(frame)
        return self

    def _sample(self, n_samples, rng, **request):
        return self._rows.take_rows(rng.integers(len(self._rows), size=n_samples))
