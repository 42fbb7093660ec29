"""What a trained autoregressive model is used for: rows, densities, predictions, filled cells."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from synth_estimators._random import local_rng
from synth_estimators._validation import check_table
from synth_estimators.preprocessing._column_order import column_position
from synth_estimators.tabular._ar_sampling import NetConditionals, draw_rows
from synth_estimators.tabular._ar_scores import choice_probabilities, row_log_prob
from synth_estimators.tabular._sampling import ConditionedSamplingMixin
from synth_estimators.tabular._small_table import MixedConditionals

__all__ = ["ARRowsMixin"]


class ARRowsMixin(ConditionedSamplingMixin):
    """Rows and densities of ``TabularAR``, from its table and its networks."""

    if TYPE_CHECKING:
        _table: Any
        _mixture: Any
        net_: Any
        target: Any
        temperature: float

    @property
    def _conditionals(self):
        """Draws and densities of the columns, one after another."""
        net = NetConditionals(
            self._table.seen,
            self.net_.module_,
            temperature=self.temperature,
            device=self.net_.device,
        )
        return net if self._mixture is None else MixedConditionals(net, **self._mixture)

    @property
    def column_values_(self) -> dict:
        """Values that ``predict_proba`` gives probabilities of, by column."""
        check_is_fitted(self)
        return {
            label: self._values_of(column)
            for label, column in zip(self._table.labels, self._table.columns, strict=True)
        }

    @staticmethod
    def _values_of(column):
        values = column.restore(column.choice_cells()).astype(object)
        return [None if pd.isna(value) else value for value in values]

    def _candidates(self, n_samples, rng, wanted):
        table, given, exact = self._table, {}, []
        if wanted is not None:
            followed = [label for label in wanted.columns if table.takes(label)]
            given = table.given(wanted[followed])
            exact = [table.labels.index(label) for label in followed]
        return table.frame(draw_rows(self._conditionals, n_samples, rng, given=given), exact)

    def _contradictory(self, wanted):
        bad, broken = super()._contradictory(wanted)
        against, rule = self._table.contradictions(wanted)
        return bad | against, broken or rule

    def _steers(self, labels):
        return any(self._table.takes(label) for label in labels)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-likelihood of each row.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows. Levels that were not seen during ``fit`` count as a tenth of a training row and
            are warned of; the columns after them take them for the most frequent level.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats; numbers between spikes count as intervals (see Notes), columns of
            ``determined_by_`` not at all.

        Raises
        ------
        ValueError
            For missing cells in columns of numbers that had none during ``fit``.
        """
        check_is_fitted(self)
        frame = check_table(self, X, reset=False)
        order = self._table.order
        cells, unseen = self._table.fresh_cells(frame)
        unseen = {order.index(j): rows for j, rows in unseen.items() if j in order}
        return row_log_prob(self._conditionals, [cells[j] for j in order], unseen)

    def predict_proba(self, X: Any, column: Any = None) -> np.ndarray:
        """Probability of the values of one column, given all other cells of each row.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows; the cells of ``column`` are not looked at.

        column : column name or None, default=None
            Column to predict. None is the ``target``, or the last column if there is none.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_values)
            Probabilities of ``column_values_[column]``: levels, spikes, a missing cell, and for
            other numbers intervals, which are named by their middle.
        """
        check_is_fitted(self)
        frame = check_table(self, X, reset=False)
        table = self._table
        if column is None:
            column = table.labels[-1] if self.target is None else self.target
        chosen = column_position(table.labels, column, "column")
        cells, _ = table.fresh_cells(frame, without=[chosen])
        return choice_probabilities(self._conditionals, table, cells, chosen, len(frame))

    def impute(self, X: Any, *, random_state: Any = None) -> Any:
        """Fill missing cells by draws given the other cells of their rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows; every missing cell is filled, also where missing cells were seen during ``fit``.
            Only cells for which the training table has no value stay missing, with a warning: those
            of empty columns, and of columns that follow from another cell of the row.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. Several calls with different values give multiple imputations.

        Returns
        -------
        X_filled : ndarray or data frame of shape (n_samples, n_features)
            The rows in the container given to ``fit``, data frames of pandas with their index;
            cells that were there are unchanged.
        """
        check_is_fitted(self)
        frame = check_table(self, X, reset=False)
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        rows = np.flatnonzero(frame.isna().any(axis=1).to_numpy())
        if rows.size:
            drawn = self._filled(frame.iloc[rows].reset_index(drop=True), rng)
            parts = {}
            for j in range(frame.shape[1]):
                gaps = frame.iloc[:, j].isna().to_numpy()
                part, new = frame.iloc[:, j].copy(), drawn.iloc[:, j][gaps[rows]]
                if isinstance(new.dtype, pd.CategoricalDtype) or new.dtype.kind in "mM":
                    part = part.astype(new.dtype)
                part[gaps] = new.array if part.dtype == new.dtype else new.to_numpy()
                parts[j] = part
            frame = pd.DataFrame(parts).set_axis(frame.columns, axis=1)
            self._warn_of_gaps(frame)
        filled = self._wrap(frame)
        if isinstance(X, pd.DataFrame) and isinstance(filled, pd.DataFrame):
            filled.index = X.index
        return filled

    @staticmethod
    def _warn_of_gaps(frame):
        gaps = frame.isna().sum()
        if gaps.any():
            label = next(label for label, count in gaps.items() if count)
            warnings.warn(
                f"{int(gaps.sum())} cells stay missing, those of column {str(label)!r} first: the "
                "training table has no value for them.",
                stacklevel=3,
            )

    def _filled(self, frame, rng):
        table, cells, known = self._table, {}, {}
        for j, column in enumerate(table.columns):
            there = frame.iloc[:, j].notna().to_numpy()
            if not there.any():
                cells[j] = np.repeat(column.choice_cells()[:1], len(frame))
            else:
                read = column.read(frame.iloc[:, j][there])
                cells[j] = np.repeat(read[:1], len(frame))
                cells[j][there] = read
            if not there.all():
                known[j] = there
        given = table.known_cells(cells, known)
        return table.frame(draw_rows(self._conditionals, len(frame), rng, given=given))
