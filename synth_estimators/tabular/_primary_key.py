"""Columns of identifiers, made anew."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

__all__ = ["PrimaryKey"]

_DIGITS, _LOWER, _UPPER = (
    "0123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
)
_NUMBERED = re.compile(r"^(.*?)(\d+)(\D*)$", flags=re.DOTALL)


class PrimaryKey:
    """Makes identifiers that look like those of the training table.

    Parameters
    ----------
    column : pandas Series
        Identifiers of the training rows. Numbers give 0, 1, …; text of one length gives text
        that differs where they do, digits in the places of digits and letters in those of
        letters; text such as ``"ID-7"`` keeps what surrounds its number.

    Examples
    --------
    >>> import pandas as pd
    >>> PrimaryKey(pd.Series(["ID-07", "ID-12", "ID-33"])).make(0, 3).tolist()
    ['ID-00', 'ID-01', 'ID-02']
    """

    def __init__(self, column: pd.Series) -> None:
        self.dtype = column.dtype
        if isinstance(self.dtype, pd.CategoricalDtype):
            self.dtype = column.cat.categories.dtype
        self.places: list[str] | None = None
        self.ends: tuple[str, str] | None = None
        cells = column.dropna()
        self.text = bool(len(cells)) and all(isinstance(cell, str) for cell in cells)
        if self.text:
            self._learn([str(cell) for cell in cells])

    def _learn(self, cells):
        if len({len(cell) for cell in cells}) == 1:
            columns = [sorted(set(column)) for column in zip(*cells, strict=True)]
            self.places = [_alphabet(column) for column in columns]
            return
        found = [_NUMBERED.match(cell) for cell in cells]
        ends = {(match[1], match[3]) for match in found if match}
        if all(found) and len(ends) == 1:
            self.ends = ends.pop()

    def make(self, start: int, n_rows: int) -> pd.Series:
        """Return the identifiers number ``start`` to ``start + n_rows - 1``."""
        numbers = range(start, start + n_rows)
        if not self.text:
            values = pd.Series(np.arange(start, start + n_rows))
            if pd.api.types.is_numeric_dtype(self.dtype):
                values = values.astype(self.dtype)
            return values
        if self.places is not None and np.prod([float(len(p)) for p in self.places]) >= n_rows:
            cells = [self._spelled(number) for number in numbers]
        elif self.ends is not None:
            cells = [f"{self.ends[0]}{number}{self.ends[1]}" for number in numbers]
        else:
            cells = [str(number) for number in numbers]
        return pd.Series(cells, dtype=self.dtype)

    def _spelled(self, number):
        letters = []
        for alphabet in reversed(self.places):
            number, place = divmod(number, len(alphabet))
            letters.append(alphabet[place])
        return "".join(reversed(letters))


def _alphabet(found):
    """Characters that may stand where these were found."""
    if len(found) == 1:
        return found[0]
    alphabets = [a for a in (_DIGITS, _UPPER, _LOWER) if any(c in a for c in found)]
    extra = "".join(c for c in found if not any(c in a for a in alphabets))
    return "".join(alphabets) + extra
