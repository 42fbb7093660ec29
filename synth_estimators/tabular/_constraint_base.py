"""What every rule about the rows of a table has, and what rules can compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.tabular._known_columns import refuse_unknown_columns

__all__ = ["ORDERED", "Constraint", "as_list", "check_measures", "measure"]

#: What the cells of columns that have an order count as.
ORDERED = ("numbers", "durations", "dates", "dates with a time zone")


def as_list(columns: Any) -> list:
    """Labels given one by one or as one."""
    return [columns] if isinstance(columns, str) or np.ndim(columns) == 0 else list(columns)


def measure(column: pd.Series) -> str | None:
    """What the cells of a column count as when they are compared; None if they have no order."""
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) or not column.notna().any():
        return "numbers"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "dates" if getattr(dtype, "tz", None) is None else "dates with a time zone"
    return "durations" if pd.api.types.is_timedelta64_dtype(dtype) else None


def check_measures(rule: Constraint, frame: pd.DataFrame, *, allowed: tuple[str, ...]) -> None:
    """Refuse columns that a rule cannot compare, with each other or with zero."""
    found = {}
    for label in rule.involved():
        found[label] = measure(frame[label])
        if found[label] not in allowed:
            raise ValueError(
                f"{rule} compares {', '.join(allowed[:-1])} or {allowed[-1]}, but column {label!r} "
                f"has the type {frame[label].dtype}; convert it, or write the rule as a function "
                "of the table."
            )
    if len(set(found.values())) > 1:
        told = " and ".join(f"{label!r} holds {kind}" for label, kind in found.items())
        raise ValueError(f"{rule} compares columns of one kind, but {told}; convert one of them.")


class Constraint:
    """A rule about the rows of a table.

    A subclass implements ``is_valid``. One that can be kept by construction also implements
    ``to_model``, which brings a table into the columns that the model learns, and ``from_model``,
    which brings sampled rows back. Cells that are missing break no rule.
    """

    #: Whether the rule compares rows with each other.
    compares_rows = False

    def involved(self) -> list:
        """Labels of the columns that the rule reads."""
        return []

    def read_alone(self) -> list:
        """Labels of the columns that ``is_valid`` can do with; none: it may read any."""
        return self.involved()

    def written(self) -> list:
        """Labels of the columns that ``to_model`` replaces; none: the rule is kept by rejection."""
        return []

    def model_labels(self) -> list:
        """Labels of the columns that ``to_model`` puts in their place."""
        return self.written()

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rule.

        Parameters
        ----------
        frame : pandas DataFrame of shape (n_rows, n_columns)

        Returns
        -------
        valid : ndarray of bool of shape (n_rows,)
        """
        raise NotImplementedError(f"{type(self).__name__} must implement is_valid.")

    def fit_check(self, frame: pd.DataFrame) -> Constraint:
        """Learn from the training table and refuse it where it breaks the rule.

        Parameters
        ----------
        frame : pandas DataFrame of shape (n_rows, n_columns)
            Training table.

        Returns
        -------
        self : Constraint

        Raises
        ------
        ValueError
            For columns that the table lacks, and for rows that break the rule; the message names
            the first five.
        """
        refuse_unknown_columns(self.involved(), list(frame.columns), what=str(self))
        if len(set(self.involved())) < len(self.involved()):
            raise ValueError(f"{self} names a column twice; name each column once.")
        self._check(frame)
        self._learn(frame)
        valid = self.is_valid(frame)
        if not valid.all():
            bad = frame.index[~valid][:5].tolist()
            raise ValueError(
                f"{int((~valid).sum())} of {len(frame)} training rows break {self}, among them the "
                f"rows {bad}; correct or drop them, or leave the constraint out."
            )
        return self

    def _check(self, frame: pd.DataFrame) -> None:
        """Refuse columns of types that the rule cannot judge."""

    def _learn(self, frame: pd.DataFrame) -> None:
        """Learn what ``to_model`` and ``is_valid`` need."""

    def choose_labels(self, taken: list) -> None:
        """Give the columns that ``to_model`` makes labels that are not ``taken``, and add them.

        Parameters
        ----------
        taken : list
            Labels of the table, and of the columns that other rules make.
        """

    def to_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Bring a table into the columns that the model learns."""
        return frame

    def from_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Bring sampled rows back into the columns of the table."""
        return frame

    def _settings(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({inner})"

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other) and self._settings() == other._settings()

    __hash__ = None  # type: ignore[assignment]
