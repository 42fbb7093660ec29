"""The constraints of a generator taken together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.tabular._constraints import Constraint, CustomConstraint

__all__ = ["ConstraintSet"]


class ConstraintSet:
    """The constraints of a generator, in the order in which they can be kept by construction.

    Parameters
    ----------
    constraints : list of Constraint or callable, or None
        A callable is taken for the ``is_valid`` of a ``CustomConstraint``.
    """

    def __init__(self, constraints: Any) -> None:
        given = [] if constraints is None else list(constraints)
        self.all: list[Constraint] = []
        for part in given:
            rule = part if hasattr(part, "is_valid") else None
            if rule is None and callable(part):
                rule = CustomConstraint(part)
            if rule is None or isinstance(rule, type) or not hasattr(rule, "fit_check"):
                raise TypeError(
                    "constraints must hold constraints such as Inequality('low', 'high'), or "
                    f"functions of a table that return one bool a row; got {part!r}."
                )
            self.all.append(copy.deepcopy(rule))
        self.order: list[int] = []
        self.columns: list = []

    def fit(self, frame: pd.DataFrame, *, index: Any = None, build: bool = True) -> ConstraintSet:
        """Check the training table and decide which rules are kept by construction.

        Rows that break a rule are named by ``index``, which is that of the frame by default.
        Without ``build`` no rule is kept by construction.
        """
        self.columns = list(frame.columns)
        labelled = frame if index is None else frame.set_axis(index, axis=0)
        for rule in self.all:
            rule.fit_check(labelled)
        taken = list(frame.columns)
        for rule in self.all:
            rule.choose_labels(taken)
        waiting = [k for k, rule in enumerate(self.all) if build and rule.written()]
        changed: set = set()
        while waiting:
            # A column may be replaced once the rules that read it in its own units have done so.
            free = next((k for k in waiting if self._may_go(k, waiting)), waiting[0])
            waiting.remove(free)
            rule = self.all[free]
            if not changed & set(rule.involved() or rule.written()):
                self.order.append(free)
                changed |= set(rule.written())
        return self

    def _may_go(self, place, waiting):
        read = {label for k in waiting if k != place for label in self.all[k].involved()}
        return not read & set(self.all[place].written())

    @property
    def built(self) -> list[Constraint]:
        """Rules that are kept by construction, in the order in which they change the table."""
        return [self.all[k] for k in self.order]

    @property
    def rejecting(self) -> list[Constraint]:
        """Rules that are kept by drawing again."""
        return [rule for k, rule in enumerate(self.all) if k not in self.order]

    def to_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Bring a table into the columns that the model learns."""
        for rule in self.built:
            frame = rule.to_model(frame)
        return frame

    def from_model(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Bring sampled rows back, in the order of the fitted columns."""
        for rule in reversed(self.built):
            frame = rule.from_model(frame)
        return frame[self.columns] if self.built else frame

    def conditions_to_model(self, wanted: pd.DataFrame) -> pd.DataFrame:
        """Conditions on the columns that the model learns; what it cannot say is left out."""
        for rule in self.built:
            columns = rule.involved() or rule.written()
            if all(label in wanted.columns for label in columns):
                wanted = rule.to_model(wanted)
            else:
                wanted = wanted.drop(columns=[x for x in rule.written() if x in wanted.columns])
        return wanted

    def is_valid(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets the rules that look at one row at a time."""
        valid = np.ones(len(frame), dtype=bool)
        for rule in self.all:
            if not rule.compares_rows:
                valid &= np.asarray(rule.is_valid(frame), dtype=bool)
        return valid

    @property
    def distinct(self) -> Callable[[pd.DataFrame, pd.DataFrame], np.ndarray] | None:
        """Which candidates may stand beside the rows kept so far; None if no rule asks."""
        if not any(rule.compares_rows for rule in self.all):
            return None
        return self._distinct

    def _distinct(self, kept, frame):
        together = pd.concat([kept, frame], ignore_index=True) if len(kept) else frame
        valid = np.ones(len(frame), dtype=bool)
        for rule in self.all:
            if rule.compares_rows:
                verdict = np.asarray(rule.is_valid(together), dtype=bool)
                valid &= verdict[len(together) - len(frame) :]
        return valid
