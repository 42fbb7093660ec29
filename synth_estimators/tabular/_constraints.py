"""Rules that every row of a table meets, kept by construction or by drawing again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.tabular._constraint_base import (
    ORDERED,
    Constraint,
    as_list,
    check_measures,
    measure,
)
from synth_estimators.tabular._gaps import Gap, free_label, numbers_of, replaced
from synth_estimators.tabular._known_columns import truth_values

__all__ = [
    "Constraint",
    "CustomConstraint",
    "FixedCombinations",
    "Inequality",
    "Negative",
    "OneHot",
    "Positive",
    "Range",
    "ScalarRange",
    "Unique",
]


class Inequality(Constraint):
    r"""One column is never above another.

    The model learns :math:`\log(1 + (\text{high} - \text{low}) / u)` in the place of the upper
    column, with one unit :math:`u`, so that no row has to be drawn again. Where either column has
    missing cells, the rule is kept by rejection.

    Parameters
    ----------
    low, high : column labels
        Numbers, or both dates.

    strict : bool, default=False
        Whether equal values break the rule.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.tabular import Inequality
    >>> rule = Inequality("start", "end")
    >>> rule.is_valid(pd.DataFrame({"start": [1, 5], "end": [2, 4]})).tolist()
    [True, False]
    """

    def __init__(self, low: Any, high: Any, *, strict: bool = False) -> None:
        self.low = low
        self.high = high
        self.strict = strict

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return [self.low, self.high]

    def written(self) -> list:
        """Labels of the columns that ``to_model`` replaces."""
        return [] if getattr(self, "gap_", None) is None else [self.high]

    def model_labels(self) -> list:
        """Labels of the columns that ``to_model`` puts in their place."""
        return [self.gap_.label] if self.written() else []

    def choose_labels(self, taken: list) -> None:
        """Give the column of the gap a label that is not taken."""
        if self.written():
            self.gap_.label = free_label(self.gap_.label, taken)

    def _check(self, frame):
        check_measures(self, frame, allowed=ORDERED)

    def _learn(self, frame):
        low, high = frame[self.low], frame[self.high]
        self.gap_ = None
        if not (low.isna().any() or high.isna().any() or not self.is_valid(frame).all()):
            self.gap_ = Gap(low, high, strict=self.strict)

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule."""
        low, high = numbers_of(frame[self.low]), numbers_of(frame[self.high])
        met = low < high if self.strict else low <= high
        return met | np.isnan(low) | np.isnan(high)

    def to_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the upper column by the logarithm of the gap."""
        return self.gap_.to_model(frame)

    def from_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the logarithm of the gap by the upper column."""
        return self.gap_.from_model(frame)


class Range(Constraint):
    """A column lies between two others; kept as two inequalities.

    Parameters
    ----------
    low, mid, high : column labels
        Numbers, or all of them dates.

    strict : bool, default=False
        Whether equal values break the rule.
    """

    def __init__(self, low: Any, mid: Any, high: Any, *, strict: bool = False) -> None:
        self.low = low
        self.mid = mid
        self.high = high
        self.strict = strict

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return [self.low, self.mid, self.high]

    def written(self) -> list:
        """Labels of the columns that ``to_model`` replaces."""
        both = all(part.written() for part in getattr(self, "parts_", ()))
        return [self.mid, self.high] if both and hasattr(self, "parts_") else []

    def model_labels(self) -> list:
        """Labels of the columns that ``to_model`` puts in their place."""
        return [part.gap_.label for part in self.parts_] if self.written() else []

    def choose_labels(self, taken: list) -> None:
        """Give the columns of the gaps labels that are not taken."""
        for part in self.parts_:
            part.choose_labels(taken)

    def _check(self, frame):
        check_measures(self, frame, allowed=ORDERED)

    def _rules(self):
        return [
            Inequality(self.low, self.mid, strict=self.strict),
            Inequality(self.mid, self.high, strict=self.strict),
        ]

    def _learn(self, frame):
        self.parts_ = self._rules()
        for part in self.parts_:
            part._learn(frame)

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule."""
        first, second = self._rules()
        return first.is_valid(frame) & second.is_valid(frame)

    def to_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the upper columns by the logarithms of the gaps."""
        first, second = self.parts_
        return first.to_model(second.to_model(frame))

    def from_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the logarithms of the gaps by the upper columns."""
        first, second = self.parts_
        return second.from_model(first.from_model(frame))


class _Bounded(Constraint):
    """Columns on one side of zero; kept by rejection, which bounds make rare."""

    _sign = 1.0

    def __init__(self, columns: Any, *, strict: bool = False) -> None:
        self.columns = columns
        self.strict = strict

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return as_list(self.columns)

    def _check(self, frame):
        for label in self.involved():
            check_measures(type(self)(label), frame, allowed=("numbers", "durations"))

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule."""
        valid = np.ones(len(frame), dtype=bool)
        for label in self.involved():
            values = self._sign * numbers_of(frame[label])
            valid &= (values > 0 if self.strict else values >= 0) | np.isnan(values)
        return valid


class Positive(_Bounded):
    """Columns hold no negative numbers.

    Parameters
    ----------
    columns : column label or list of column labels
        Numeric columns.

    strict : bool, default=False
        Whether zero breaks the rule.
    """


class Negative(_Bounded):
    """Columns hold no positive numbers.

    Parameters
    ----------
    columns : column label or list of column labels
        Numeric columns.

    strict : bool, default=False
        Whether zero breaks the rule.
    """

    _sign = -1.0


class ScalarRange(Constraint):
    """A column lies between two constants; kept by rejection, which bounds make rare.

    Parameters
    ----------
    column : column label
        Numbers or dates.

    low, high : number, date or None
        Ends of the range; None leaves that side open.

    strict : bool, default=False
        Whether the ends break the rule.
    """

    def __init__(self, column: Any, low: Any, high: Any, *, strict: bool = False) -> None:
        self.column = column
        self.low = low
        self.high = high
        self.strict = strict

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return [self.column]

    def _check(self, frame):
        column = frame[self.column]
        for end in (self.low, self.high):
            try:
                if end is not None:
                    _ = column >= end
            except TypeError as exc:
                raise ValueError(
                    f"{self} compares column {self.column!r} of type {column.dtype} with {end!r}, "
                    "which has another type; give ends of the type of the column."
                ) from exc

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule."""
        column = frame[self.column]
        valid = np.ones(len(frame), dtype=bool)
        if self.low is not None:
            valid &= (column > self.low if self.strict else column >= self.low).to_numpy(
                dtype=bool, na_value=False
            )
        if self.high is not None:
            valid &= (column < self.high if self.strict else column <= self.high).to_numpy(
                dtype=bool, na_value=False
            )
        return valid | column.isna().to_numpy()


class FixedCombinations(Constraint):
    """Columns take together only combinations that the training table holds.

    The model learns them as a single categorical column.

    Parameters
    ----------
    columns : list of column labels
        At least two columns of any type.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.tabular import FixedCombinations
    >>> table = pd.DataFrame({"city": ["Rome", "Oslo"], "country": ["Italy", "Norway"]})
    >>> rule = FixedCombinations(["city", "country"]).fit_check(table)
    >>> rule.is_valid(pd.DataFrame({"city": ["Rome"], "country": ["Norway"]})).tolist()
    [False]
    """

    def __init__(self, columns: Sequence[Any]) -> None:
        self.columns = columns

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return as_list(self.columns)

    def written(self) -> list:
        """Labels of the columns that ``to_model`` replaces."""
        return self.involved()

    def model_labels(self) -> list:
        """Labels of the columns that ``to_model`` puts in their place."""
        return [self.label_]

    def choose_labels(self, taken: list) -> None:
        """Give the column of combinations a label that is not taken."""
        self.label_ = free_label(self.label_, taken)

    def _learn(self, frame):
        if len(self.involved()) < 2:
            raise ValueError(f"{self} needs at least two columns.")
        self.combinations_ = frame[self.involved()].drop_duplicates(ignore_index=True)
        self.label_ = " + ".join(map(str, self.involved()))

    def _codes(self, frame):
        """Number of each row's combination, -1 for one that training lacks."""
        labels = self.involved()
        both = {}
        for label in labels:
            seen = self.combinations_[label]
            cells = pd.concat([seen, frame[label].astype(seen.dtype)], ignore_index=True)
            both[label] = pd.factorize(cells, use_na_sentinel=False)[0]
        codes = pd.DataFrame(both).groupby(labels, sort=False).ngroup().to_numpy()
        known = len(self.combinations_)
        place = np.full(codes.max(initial=-1) + 1, -1)
        place[codes[:known]] = np.arange(known)
        return place[codes[known:]]

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule."""
        return self._codes(frame) >= 0

    def to_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the columns by one of combinations."""
        names = pd.Index([str(code) for code in range(len(self.combinations_))])
        joint = pd.Series(pd.Categorical.from_codes(self._codes(frame), names), index=frame.index)
        first = next(label for label in frame.columns if label in self.involved())
        return replaced(frame, self.involved(), self.label_, joint, at=first)

    def from_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the combinations by their columns."""
        codes = frame[self.label_].astype(str).astype(np.intp).to_numpy()
        cells = self.combinations_.take(codes).set_axis(frame.index, axis=0)
        rest = frame.drop(columns=self.label_)
        return pd.concat([rest, cells], axis=1)


class OneHot(Constraint):
    """Exactly one of the columns is 1 (or True), the others are 0.

    The model learns them as a single categorical column. Where cells are missing, the rule is kept
    by rejection.

    Parameters
    ----------
    columns : list of column labels
        At least two columns of zeros and ones.
    """

    def __init__(self, columns: Sequence[Any]) -> None:
        self.columns = columns

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return as_list(self.columns)

    def written(self) -> list:
        """Labels of the columns that ``to_model`` replaces."""
        return self.involved() if getattr(self, "complete_", True) else []

    def model_labels(self) -> list:
        """Labels of the columns that ``to_model`` puts in their place."""
        return [self.label_] if self.written() else []

    def choose_labels(self, taken: list) -> None:
        """Give the column of choices a label that is not taken."""
        if self.written():
            self.label_ = free_label(self.label_, taken)

    def _check(self, frame):
        for label in self.involved():
            if measure(frame[label]) != "numbers":
                raise ValueError(
                    f"{self} needs columns of zeros and ones or of booleans, but column {label!r} "
                    f"has the type {frame[label].dtype}; convert it."
                )

    def _learn(self, frame):
        if len(self.involved()) < 2:
            raise ValueError(f"{self} needs at least two columns.")
        self.complete_ = bool(frame[self.involved()].notna().all(axis=None))
        self.dtypes_ = [frame[label].dtype for label in self.involved()]
        self.label_ = " or ".join(map(str, self.involved()))

    def _block(self, frame):
        columns = [
            frame[label].to_numpy(dtype=np.float64, na_value=np.nan) for label in self.involved()
        ]
        return np.column_stack(columns)

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule."""
        block = self._block(frame)
        missing = np.isnan(block)
        ones = np.nansum(block, axis=1)
        fits = (ones == 1.0) | (missing.any(axis=1) & (ones < 1.0))
        return fits & (missing | np.isin(block, (0.0, 1.0))).all(axis=1)

    def to_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the columns by one that says which of them is 1."""
        names = pd.Index([str(code) for code in range(len(self.involved()))])
        chosen = self._block(frame).argmax(axis=1)
        joint = pd.Series(pd.Categorical.from_codes(chosen, names), index=frame.index)
        first = next(label for label in frame.columns if label in self.involved())
        return replaced(frame, self.involved(), self.label_, joint, at=first)

    def from_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Replace the choice by columns of zeros and ones."""
        chosen = frame[self.label_].astype(str).astype(np.intp).to_numpy()
        cells = {
            label: pd.Series(chosen == code, index=frame.index).astype(dtype)
            for code, (label, dtype) in enumerate(zip(self.involved(), self.dtypes_, strict=True))
        }
        rest = frame.drop(columns=self.label_)
        return pd.concat([rest, pd.DataFrame(cells)], axis=1)


class Unique(Constraint):
    """No two rows agree in all of the columns; kept by rejection.

    Parameters
    ----------
    columns : column label or list of column labels
        Columns of any type.
    """

    compares_rows = True

    def __init__(self, columns: Any) -> None:
        self.columns = columns

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return as_list(self.columns)

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule: the first one of equal rows does."""
        return ~frame.duplicated(subset=self.involved()).to_numpy()


class CustomConstraint(Constraint):
    """A rule of one's own.

    Parameters
    ----------
    is_valid : callable
        Function of a table that returns one bool a row.

    to_model, from_model : callable or None, default=None
        Functions of a table that bring it into the columns that the model learns, and back. Both
        or none; without them the rule is kept by rejection.

    columns : list of column labels or None, default=None
        Columns that ``to_model`` reads and replaces; None: all.

    Examples
    --------
    >>> from synth_estimators.tabular import CustomConstraint
    >>> rule = CustomConstraint(lambda table: table["a"] + table["b"] <= 10)
    """

    def __init__(
        self,
        is_valid: Callable[[pd.DataFrame], Any],
        *,
        to_model: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
        from_model: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
        columns: Iterable[Any] | None = None,
    ) -> None:
        self._is_valid = is_valid
        self._to_model = to_model
        self._from_model = from_model
        self.columns = columns

    def __repr__(self) -> str:
        return f"CustomConstraint({getattr(self._is_valid, '__qualname__', self._is_valid)})"

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return [] if self.columns is None else as_list(self.columns)

    def read_alone(self) -> list:
        """No labels: the function may read any column."""
        return []

    def written(self) -> list:
        """Labels of the columns that ``to_model`` replaces."""
        return getattr(self, "written_", [])

    def _learn(self, frame):
        pair = (self._to_model, self._from_model)
        if not all(part is None or callable(part) for part in (self._is_valid, *pair)):
            raise TypeError("is_valid, to_model and from_model of CustomConstraint are functions.")
        if (pair[0] is None) != (pair[1] is None):
            raise ValueError("CustomConstraint needs both to_model and from_model, or neither.")
        if pair[0] is not None:
            model = self.to_model(frame)
            if not isinstance(model, pd.DataFrame) or len(model) != len(frame):
                raise ValueError(
                    f"to_model of {self} must return a data frame with as many rows as it was "
                    f"given, {len(frame)}, got {type(model).__name__} of length {np.size(model)}."
                )
            self.written_ = self.involved() or list(frame.columns)

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule."""
        valid = truth_values(self._is_valid(frame), missing=True)
        if valid.shape != (len(frame),) or valid.dtype.kind != "b":
            raise ValueError(
                f"is_valid of {self} must return one bool a row, got an array of shape "
                f"{valid.shape} and type {valid.dtype} for {len(frame)} rows."
            )
        return valid

    def to_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Bring a table into the columns that the model learns."""
        return self._to_model(frame.copy())

    def from_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Bring sampled rows back into the columns of the table."""
        return self._from_model(frame)
