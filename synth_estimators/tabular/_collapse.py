"""Whether sampled rows have collapsed onto a part of the training table."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from synth_estimators.tabular._quality import TableQuality

__all__ = ["ALARM_EPOCHS", "ALARM_ROWS", "CollapseAlarm"]

#: Networks of fewer epochs are expected to be poor.
ALARM_EPOCHS = 10

#: Rows that are drawn for the alarm alone.
ALARM_ROWS = 1_000

# Fewer rows do not tell.
_FEWEST_ROWS = 50

# Levels of fewer real rows may be absent from a sample by chance.
_CERTAIN = 5


class CollapseAlarm:
    """Warn once when sampled rows repeat, or when levels of a column no longer occur.

    Sampled rows are compared with equally many real ones: the number of distinct rows, and in
    every column that of distinct levels, or of the ten ranges of numbers that each hold a tenth of
    the real rows. Less than half of it is an alarm, with an allowance for rare levels that are
    absent by chance.

    Parameters
    ----------
    quality : TableQuality
        Made of the real rows.

    owner : str
        Name of the estimator.

    advice : str
        What to do about it.
    """

    def __init__(self, quality: TableQuality, *, owner: str, advice: str) -> None:
        self.quality, self.owner, self.advice = quality, owner, advice
        self.rung = False

    def __call__(self, rows: pd.DataFrame, n_epochs: int) -> None:
        """Look at as many sampled rows as there are real ones."""
        if self.rung or n_epochs < ALARM_EPOCHS or len(rows) < _FEWEST_ROWS:
            return
        found = self._repeated(rows) or self._lost(rows)
        if found is None:
            return
        self.rung = True
        warnings.warn(
            f"{self.owner}: after {n_epochs} epochs {found}; the generator has collapsed onto a "
            f"part of the training table. {self.advice}",
            ConvergenceWarning,
            stacklevel=6,
        )

    def _repeated(self, rows):
        real, values = (_row_numbers(x) for x in (self.quality.real, self.quality.values(rows)))
        there, left = _coverage(real, values)
        if left is None:
            return None
        return (
            f"sampled rows repeat, only {left} of {len(rows)} are distinct ({there} of equally "
            "many real rows)"
        )

    def _lost(self, rows):
        known, lost = self.quality.known, []
        bins = self.quality.bins, self.quality.binned(self.quality.values(rows))
        for label, numeric, real, found in zip(
            known.labels, self.quality.numeric, *bins, strict=True
        ):
            there, left = _coverage(real, found)
            if left is not None:
                lost.append((left / there, label, numeric, there, left))
        if not lost:
            return None
        _, label, numeric, there, left = min(lost, key=lambda entry: entry[0])
        what = "ranges of the numbers" if numeric else "levels"
        more = f" (and {len(lost) - 1} more columns alike)" if len(lost) > 1 else ""
        return (
            f"sampled rows hold {left} of the {there} {what} that equally many real rows hold in "
            f"column {label!r}{more}"
        )


def _row_numbers(values: list[np.ndarray]) -> np.ndarray:
    """One number a row, the same for equal rows."""
    frame = pd.DataFrame(dict(enumerate(values)))
    return pd.util.hash_pandas_object(frame, index=False).to_numpy()


def _coverage(real: np.ndarray, found: Any) -> tuple[int, int | None]:
    """Distinct real levels, and distinct sampled ones if they are too few."""
    counts = np.unique(real, return_counts=True)[1]
    there, left = len(counts), len(np.unique(found))
    # Each rare level is there or not: a standard error of one half at most.
    allowance = np.sqrt((counts < _CERTAIN).sum())
    return there, left if left < there / 2 - allowance else None
