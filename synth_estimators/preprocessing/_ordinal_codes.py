"""Mixed tables as numbers that keep their order: levels by frequency, flags of missing cells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth_estimators.preprocessing._columns import is_discrete_dtype
from synth_estimators.preprocessing._numbers import NumberColumn

__all__ = ["OrdinalCodes", "needs_codes"]


def needs_codes(frame: pd.DataFrame) -> bool:
    """Whether a table holds anything but finite numbers and booleans."""
    plain = all(pd.api.types.is_numeric_dtype(dtype) for dtype in set(frame.dtypes))
    return not plain or bool(frame.isna().to_numpy().any())


class OrdinalCodes:
    """Code the columns of a mixed table as numbers and decode them again.

    Text, categories and booleans become the rank of their level by frequency, a missing cell being
    a level. Missing numbers are filled by draws from the observed ones, and a column of zeros and
    ones that flags them is appended.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Training table.
    """

    def __init__(self, frame: pd.DataFrame):
        self.columns = list(frame.columns)
        self._dtypes = list(frame.dtypes)
        self._levels = {}
        self._donors = {}
        self._numbers = {}
        for j, dtype in enumerate(frame.dtypes):
            column = frame.iloc[:, j]
            if is_discrete_dtype(dtype):
                codes, values = pd.factorize(column, use_na_sentinel=False)
                order = np.argsort(-np.bincount(codes), kind="stable")
                self._levels[j] = {_key(values[code]): rank for rank, code in enumerate(order)}
                _, first = np.unique(codes, return_index=True)
                self._donors[j] = column.array.take(first[order])
            else:
                self._numbers[j] = NumberColumn(column)
        self._flagged = [j for j, column in self._numbers.items() if np.isnan(column.values).any()]

    def encode(self, frame: pd.DataFrame, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the codes; without ``rng`` missing numbers are refused.

        Parameters
        ----------
        frame : pandas DataFrame of shape (n_rows, n_columns)
            Validated table.

        rng : numpy Generator or None, default=None
            Draws the fillings.

        Returns
        -------
        codes : ndarray of shape (n_rows, n_columns + n_flagged)
        """
        codes = np.empty((len(frame), len(self.columns) + len(self._flagged)))
        for j, levels in self._levels.items():
            raw, values = pd.factorize(frame.iloc[:, j], use_na_sentinel=False)
            ranks = [levels.get(_key(value)) for value in values]
            if None in ranks:
                raise ValueError(
                    f"Unknown value {values[ranks.index(None)]!r} in column "
                    f"{str(self.columns[j])!r}; seen during fit: {list(levels)[:5]}."
                )
            codes[:, j] = np.array(ranks, dtype=np.float64)[raw]
        for j, known in self._numbers.items():
            values = NumberColumn(frame.iloc[:, j]).values
            missing = np.isnan(values)
            if missing.any():
                if rng is None:
                    raise ValueError(
                        f"Column {str(self.columns[j])!r} has missing cells; a density needs "
                        "complete numbers. Impute or drop these rows."
                    )
                observed = known.values[~np.isnan(known.values)]
                pool = observed if observed.size else np.zeros(1)
                values = np.where(missing, rng.choice(pool, size=len(values)), values)
            codes[:, j] = values
            if j in self._flagged:
                codes[:, len(self.columns) + self._flagged.index(j)] = missing
        return codes

    def decode(self, codes: np.ndarray) -> pd.DataFrame:
        """Return the table of rounded codes, in the dtypes of the training table."""
        columns = {}
        for j in range(len(self.columns)):
            if j in self._levels:
                rank = np.clip(np.rint(codes[:, j]), 0, len(self._levels[j]) - 1)
                # With the dtype, as text would be read anew.
                levels = self._donors[j].take(rank.astype(np.intp))
                columns[j] = pd.Series(levels, dtype=self._dtypes[j])
            else:
                values = codes[:, j]
                if j in self._flagged:
                    flags = codes[:, len(self.columns) + self._flagged.index(j)]
                    values = np.where(flags >= 0.5, np.nan, values)
                columns[j] = self._numbers[j].restore(values)
        return pd.DataFrame(columns).set_axis(self.columns, axis=1)


def _key(value):
    """Missing cells of all kinds are one level, which no text can be taken for."""
    return None if pd.isna(value) else value
