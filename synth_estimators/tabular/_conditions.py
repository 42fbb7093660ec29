"""Conditions on sampled rows: values that cells must have, and clauses that rows must meet."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._validation import check_n_samples
from synth_estimators.tabular._known_columns import (
    KnownColumns,
    refuse_unknown_columns,
    truth_values,
)

__all__ = ["Condition", "Where", "WhereClause", "matches", "parse_conditions", "where_clause"]

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


@dataclass(frozen=True)
class Condition:
    """Values that some rows must have.

    Parameters
    ----------
    column_values : mapping
        Column -> value.

    num_rows : int, default=1
        How many rows are wanted.

    Examples
    --------
    >>> from synth_estimators.tabular import Condition
    >>> Condition({"sex": "Female", "age": 35}, num_rows=10).num_rows
    10
    """

    column_values: Mapping[Any, Any]
    num_rows: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.column_values, Mapping) or not self.column_values:
            raise ValueError(
                "column_values must be a mapping from columns to values with at least one entry, "
                f"got {self.column_values!r}."
            )
        check_n_samples(self.num_rows, name="num_rows")


def parse_conditions(conditions: Any, known: KnownColumns, n_samples: int | None) -> pd.DataFrame:
    """Conditions as a table with one row per wanted row.

    Parameters
    ----------
    conditions : mapping, pandas DataFrame, polars DataFrame, Condition or list of Condition
        A list must name the same columns in every entry.

    known : KnownColumns
        What the training table held.

    n_samples : int or None
        Number of wanted rows; None takes it from the conditions.

    Returns
    -------
    wanted : pandas DataFrame of shape (n_samples, n_conditions)
        In the dtypes of the training table.

    Raises
    ------
    ValueError
        For unknown columns, values that training never had, and wrong numbers of rows.
    """
    if isinstance(conditions, Condition):
        conditions = [conditions]
    if not isinstance(conditions, list | tuple):
        return known.read(conditions, n_samples)
    if not all(isinstance(part, Condition) for part in conditions):
        raise TypeError("conditions must be a list of Condition objects.")
    if not conditions:
        conditions = pd.DataFrame(index=range(n_samples or 0))
        return known.read(conditions, n_samples)
    parts = [known.read(part.column_values, part.num_rows) for part in conditions]
    if any(set(part.columns) != set(parts[0].columns) for part in parts):
        raise ValueError(
            "The conditions name different columns; pass them to sample_conditions, or one by one."
        )
    wanted = pd.concat(parts, ignore_index=True)
    if n_samples is not None and len(wanted) != n_samples:
        raise ValueError(f"The conditions ask for {len(wanted)} rows but n_samples={n_samples}.")
    return wanted


def matches(
    frame: pd.DataFrame, wanted: pd.DataFrame, rtol: float, known: KnownColumns
) -> np.ndarray:
    """Which rows meet their conditions.

    Parameters
    ----------
    frame : pandas DataFrame of shape (n_rows, n_columns)
        Drawn rows.

    wanted : pandas DataFrame of shape (n_rows, n_conditions)
        The row that each of them should be, from ``parse_conditions``.

    rtol : float
        Relative tolerance of floats.

    known : KnownColumns
        What the training table held.

    Returns
    -------
    accepted : ndarray of bool of shape (n_rows,)
    """
    return known.agreement(frame, wanted, rtol).all(axis=1)


@dataclass(frozen=True)
class WhereClause:
    """One comparison of a column with a value, for example ``age>=40``.

    Parameters
    ----------
    column : object
        Label of the column.

    symbol : {"=", "!=", ">", ">=", "<", "<="}
        The operator.

    value : str
        Right-hand side; empty text stands for a missing cell.
    """

    column: Any
    symbol: str
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.symbol}{self.value}"

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row of a table meets the clause."""
        column = frame[self.column]
        if self.value == "":
            missing = column.isna().to_numpy()
            return missing if self.symbol == "=" else ~missing
        left, right = self._sides(column)
        with np.errstate(invalid="ignore"):
            met = _OPERATORS[self.symbol](left, right)
        met = np.asarray(met.fillna(False) if hasattr(met, "fillna") else met, dtype=bool)
        # A missing cell differs from every value and meets no other comparison.
        return np.where(column.isna().to_numpy(), self.symbol == "!=", met)

    def _sides(self, column):
        dtype = column.dtype
        try:
            if pd.api.types.is_bool_dtype(dtype) or _holds_booleans(column):
                return column.astype("boolean"), self._boolean()
            if pd.api.types.is_datetime64_any_dtype(dtype):
                moment = pd.Timestamp(self.value)
                zone = getattr(dtype, "tz", None)
                if zone is not None:
                    naive = moment.tzinfo is None
                    moment = moment.tz_localize(zone) if naive else moment.tz_convert(zone)
                return column, moment
            if pd.api.types.is_timedelta64_dtype(dtype):
                return column, pd.Timedelta(self.value)
            if pd.api.types.is_numeric_dtype(dtype):
                return column.to_numpy(dtype=np.float64, na_value=np.nan), float(self.value)
        except ValueError as exc:
            raise ValueError(
                f"{self} compares column {self.column!r} of type {dtype} with {self.value!r}; give "
                f"a value of that type ({exc})."
            ) from exc
        if self.symbol in ("=", "!="):
            return column.astype(str), self.value
        if isinstance(dtype, pd.CategoricalDtype) and dtype.ordered:
            names = [str(level) for level in dtype.categories]
            if self.value in names:
                return column.cat.codes.to_numpy(), names.index(self.value)
            raise ValueError(f"{self}: {self.value!r} is none of the levels {names}.")
        raise ValueError(
            f"{self} orders column {self.column!r}, which holds text or unordered categories; use "
            "= or != there."
        )

    def _boolean(self):
        text = self.value.lower()
        if self.symbol not in ("=", "!="):
            raise ValueError("booleans have no order, use = or != there")
        if text not in _TRUE | _FALSE:
            raise ValueError(f"{self.value!r} is neither true nor false")
        return text in _TRUE

    def wanted(self, known: KnownColumns) -> Any:
        """Value that an equality asks for, as the column holds it; refuse unseen ones."""
        if self.value == "":
            return None
        dtype, levels = known.dtype(self.column), known.levels(self.column)
        if pd.api.types.is_bool_dtype(dtype) or _are_booleans(levels):
            try:
                return self._boolean()
            except ValueError as exc:
                raise ValueError(f"{self}: {exc}; column {self.column!r} is boolean.") from exc
        if levels is None:
            return self.value
        named = {str(level): level for level in levels if level is not None}
        kind = getattr(dtype, "categories", dtype)
        if self.value not in named and pd.api.types.is_numeric_dtype(kind):
            # "1" means the level 1.0 too.
            with contextlib.suppress(ValueError):
                return float(self.value)
        return named.get(self.value, self.value)


def _are_booleans(levels):
    """Whether levels other than a missing one are all booleans, as text files with gaps give."""
    found = [level for level in levels or () if level is not None]
    return bool(found) and all(isinstance(level, bool | np.bool_) for level in found)


def _holds_booleans(column):
    return column.dtype == object and _are_booleans(list(column.dropna().unique()))


def where_clause(text: str, columns: Iterable[Any] | None = None) -> WhereClause:
    """Read one clause such as ``"age>=40"`` or ``"income=>50K"``.

    Parameters
    ----------
    text : str
        Column, operator (``=``, ``!=``, ``>``, ``>=``, ``<``, ``<=``) and value. The first operator
        counts, so that values may hold one. No value stands for a missing cell.

    columns : iterable or None, default=None
        Known columns; a column whose name holds an operator is found by its name.

    Returns
    -------
    clause : WhereClause
        Called with a table, it says which rows meet it.

    Raises
    ------
    ValueError
        For text without an operator, and for unknown columns.

    Examples
    --------
    >>> import pandas as pd
    >>> clause = where_clause("age>=40")
    >>> clause(pd.DataFrame({"age": [39, 40]})).tolist()
    [False, True]
    >>> where_clause("income=>50K").value
    '>50K'
    """
    known = None if columns is None else list(columns)
    names = {str(label): label for label in known or ()}
    for name in sorted(names, key=len, reverse=True):
        rest = text.removeprefix(name).lstrip() if text.startswith(name) else ""
        symbol = _leading_operator(rest)
        if symbol:
            return _clause(names[name], symbol, rest)
    place = min((i for i in range(len(text)) if _leading_operator(text[i:])), default=0)
    column = text[:place].strip()
    if not column:
        raise ValueError(
            f"{text!r} is no clause; write a column, one of {', '.join(_OPERATORS)} and a value, "
            "for example age>=40."
        )
    if known is not None:
        refuse_unknown_columns([column], known, what=f"the clause {text!r}")
    return _clause(column, _leading_operator(text[place:]), text[place:])


def _leading_operator(text):
    # Two characters come first in the table, so that ">=" is not read as ">".
    return next((symbol for symbol in _OPERATORS if text.startswith(symbol)), None)


def _clause(column, symbol, rest):
    value = rest[len(symbol) :].strip()
    symbol = "=" if symbol == "==" else symbol
    if value == "" and symbol not in ("=", "!="):
        raise ValueError(f"The clause on {column!r} with {symbol} lacks a value.")
    return WhereClause(column, symbol, value)


@dataclass
class Where:
    """Clauses and predicates that rows must meet all together.

    Parameters
    ----------
    clauses : list of WhereClause
        Comparisons.

    predicates : list of callable
        Functions of a table that return one truth value a row.
    """

    clauses: list[WhereClause] = field(default_factory=list)
    predicates: list[Callable[[pd.DataFrame], Any]] = field(default_factory=list)

    @classmethod
    def read(cls, where: Any, columns: Iterable[Any]) -> Where:
        """Read a clause, a callable, or a list of both."""
        parts = [] if where is None else where
        if isinstance(parts, str | WhereClause) or not isinstance(parts, Iterable):
            parts = [parts]
        found = cls()
        for part in parts:
            if isinstance(part, str):
                part = where_clause(part, columns)
            if isinstance(part, WhereClause):
                refuse_unknown_columns([part.column], list(columns), what=f"the clause {part}")
                found.clauses.append(part)
            elif callable(part):
                found.predicates.append(part)
            else:
                raise TypeError(
                    f"where must be text such as 'age>=40', a callable, or a list of these, got "
                    f"{part!r}."
                )
        return found

    def __bool__(self) -> bool:
        return bool(self.clauses or self.predicates)

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether each row meets all of them."""
        met = np.ones(len(frame), dtype=bool)
        for clause in self.clauses:
            met &= clause(frame)
        for predicate in self.predicates:
            # A missing truth value counts as false, like a clause on a missing cell.
            verdict = truth_values(predicate(frame), missing=False)
            if verdict.shape != (len(frame),) or verdict.dtype.kind != "b":
                raise ValueError(
                    "A callable in where must return one bool a row, got an array of shape "
                    f"{verdict.shape} and type {verdict.dtype} for {len(frame)} rows."
                )
            met &= verdict
        return met

    def split(self, known: KnownColumns, taken: Iterable[Any] = ()) -> tuple[dict, Where]:
        """Equalities as conditions, and what is left.

        A second equality on a column, and one on a column in ``taken``, stays a clause.
        """
        values: dict[Any, Any] = {}
        rest = Where(predicates=list(self.predicates))
        taken = set(taken)
        for clause in self.clauses:
            if clause.symbol == "=" and clause.column not in values.keys() | taken:
                values[clause.column] = clause.wanted(known)
            else:
                rest.clauses.append(clause)
        return values, rest
