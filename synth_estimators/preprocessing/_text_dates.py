"""Dates and times written as text: the format is found from the values, and written again."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["DateFormat", "find_date_format"]

_SEPARATOR = r"[/.\-,\sT+]+"
_NAME = r"[A-Za-z]{3,9}"
_DATE = (
    rf"(?:(?P<weekday>{_NAME})(?P<gap>{_SEPARATOR}))?"
    rf"(?P<first>\d{{1,4}}|{_NAME})(?P<one>{_SEPARATOR})"
    rf"(?P<second>\d{{1,4}}|{_NAME})(?P<two>{_SEPARATOR})(?P<third>\d{{1,4}}|{_NAME})"
)
_TIME = (
    r"\d{1,2}:\d{2}(?P<seconds>:\d{2}(?:(?P<point>[.,\s])(?P<fraction>\d{1,9}))?)?"
    r"(?:(?P<blank>\s*)(?P<half>[AaPp][Mm]))?(?:(?P<space>\s*)(?P<zone>Z|[+-]\d{2}:?\d{2}|[A-Z]{3,4}))?"
)
_SHAPE = re.compile(rf"(?:{_DATE})?(?P<join>(?:[T,]\s*|\s+|-)?)(?:{_TIME})?")
_OFFSET = re.compile(r"(Z|[+-]\d{2}:?\d{2})$")
_WHOLE = re.compile(r"[+-]?\d+")

# Orders of year, month and day by what they are tried: of two that fit, the first one wins.
_ORDERS = (("%Y", "ymd"), ("%Y", "mdy"), ("%Y", "dmy"), ("%y", "mdy"), ("%y", "dmy"), ("%y", "ymd"))

_DIRECTIVE = re.compile(r"(%[A-Za-z])")
_FEW = 20
_WIDTHS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%H": 2, "%I": 2, "%M": 2, "%S": 2}
_PADDED = ("%m", "%d", "%H", "%I")


def find_date_format(column: pd.Series, *, label: str) -> DateFormat | None:
    """Find the format that fits every cell of a column of text.

    Parameters
    ----------
    column : pandas Series
        Text; missing cells are skipped.

    label : str
        Name of the column for the warning.

    Returns
    -------
    found : DateFormat or None
        None if the column does not hold dates.

    Warns
    -----
    UserWarning
        If the month can come before the day or after it; the former is taken.
    """
    values = pd.unique(column.dropna())
    if not len(values) or not all(isinstance(value, str) for value in values):
        return None
    if max(map(len, values)) <= 2 or all(_WHOLE.fullmatch(value) for value in values[:_FEW]):
        return None
    shape = _SHAPE.fullmatch(values[0].strip())
    if shape is None or values[0] != values[0].strip():
        return None
    few, fitting = values[:_FEW], []
    for text in _candidates(shape, values):
        if _fits(text, few) and _fits(text, values):
            fitting.append(text)
            if not _may_be_ambiguous(text, fitting[0]):
                break
    if not fitting:
        return None
    if len(fitting) > 1:
        warnings.warn(
            f"The dates of column {label!r} fit {fitting[0]!r} and {fitting[1]!r}; the month is "
            f"taken to come first. Pass field_types={{{label!r}: {{'type': 'datetime', 'format': "
            f"{fitting[1]!r}}}}} if it is the day.",
            stacklevel=4,
        )
    return DateFormat(fitting[0]).learn_style(values)


def _may_be_ambiguous(text, first):
    """Whether another order of month and day has to be tried: in digits, month first."""
    position = {directive: first.find(directive) for directive in ("%m", "%d", "%Y", "%y")}
    year = max(position["%Y"], position["%y"])
    return text == first and 0 <= position["%m"] < position["%d"] < year


def _candidates(shape, values) -> Iterator[str]:
    """Formats with the separators of the first value, in a fixed order."""
    part = {name: text or "" for name, text in shape.groupdict().items()}
    times = _time_formats(part, values)
    if not part["first"]:
        yield from (time for time in times if time and not part["join"])
        return
    prefixes = [""]
    if part["weekday"]:
        prefixes = [directive + part["gap"].replace("%", "%%") for directive in ("%a", "%A")]
    tokens = [part["first"], part["second"], part["third"]]
    for year, order in _ORDERS:
        for month in ("%m", "%b", "%B"):
            directives = {"y": year, "m": month, "d": "%d"}
            if not _plausible(tokens, order, year, month):
                continue
            first, second, third = (directives[role] for role in order)
            date = f"{first}{part['one']}{second}{part['two']}{third}"
            for prefix in prefixes:
                for time in times:
                    yield prefix + date + part["join"] + time


def _plausible(tokens, order, year, month):
    for token, role in zip(tokens, order, strict=True):
        if token.isdigit() != (role != "m" or month == "%m"):
            return False
        if token.isdigit() and len(token) > (4 if role == "y" and year == "%Y" else 2):
            return False
        if role == "y" and year == "%Y" and len(token) != 4:
            return False
    return True


def _time_formats(part, values):
    if part["seconds"] == "" and ":" not in _after_date(part, values[0]):
        return [""]
    hour = "%I" if part["half"] else "%H"
    time = f"{hour}:%M"
    if part["seconds"]:
        time += ":%S"
    if part["fraction"]:
        time += f"{part['point']}%f"
    if part["half"]:
        time += f"{part['blank']}%p"
    if not part["zone"]:
        return [time]
    # One zone for all values is a piece of text; several ones are read and written as UTC.
    zone = part["space"] + part["zone"]
    if all(value.endswith(zone) for value in values):
        return [time + zone]
    return [f"{time}{part['space']}%z"] if _OFFSET.search(zone) else []


def _after_date(part: dict, value: str) -> str:
    date = "".join(
        part[name] for name in ("weekday", "gap", "first", "one", "second", "two", "third")
    )
    return value[len(date) :]


def _fits(text, values):
    return not _parse(text, values).isna().any()


def _parse(text, values):
    parsed = pd.to_datetime(
        pd.Series(values, dtype=object), format=text, errors="coerce", utc="%z" in text
    )
    return pd.DatetimeIndex(parsed)


class DateFormat:
    """A format of dates as text: reads them, and writes them as they were written.

    Parameters
    ----------
    text : str
        Format in the notation of ``strftime``.
    """

    def __init__(self, text: str):
        self.text = text
        self._padded = True
        self._digits = 6
        self._case = None

    def learn_style(self, values: Any) -> DateFormat:
        """Learn zeros in front of numbers, digits of fractions and the case of names."""
        values = list(values)
        if "%f" in self.text:
            cut = re.compile(r":\d{2}[.,\s](\d{1,9})")
            digits = [len(found.group(1)) for value in values if (found := cut.search(value))]
            self._digits = max(digits, default=6)
        names = re.compile(_NAME)
        for value in values[:1]:
            words = names.findall(value) or re.findall(r"[AaPp][Mm]", value)
            if words and any(d in self.text for d in ("%a", "%A", "%b", "%B", "%p")):
                self._case = "upper" if words[0].isupper() else None
                self._case = "lower" if words[0].islower() else self._case
        few = values[:1000]
        index = _parse(self.text, few)
        padded = sum(a == b for a, b in zip(self._strings(index), few, strict=True))
        self._padded = False
        bare = sum(a == b for a, b in zip(self._strings(index), few, strict=True))
        self._padded = padded >= bare
        return self

    def parse(self, column: pd.Series, *, label: str) -> pd.DatetimeIndex:
        """Return the dates of a column of text.

        Raises
        ------
        ValueError
            If a cell is not written in the format.
        """
        codes, values = pd.factorize(column)
        index = _parse(self.text, values)
        if index.isna().any():
            raise ValueError(
                f"Column {label!r} of X holds {values[int(np.flatnonzero(index.isna())[0])]!r}, "
                f"which is not a date of the format {self.text!r}; write it in this format or "
                "leave the cell missing."
            )
        if not len(index):
            return pd.DatetimeIndex([pd.NaT] * len(column))
        return index.take(codes, allow_fill=True, fill_value=pd.NaT)

    def write(self, index: pd.DatetimeIndex, dtype: Any, *, missing: Any = np.nan) -> pd.Series:
        """Return dates as a column of text, with ``missing`` where there is none."""
        codes, distinct = pd.factorize(index)
        cells = np.empty(len(distinct) + 1, dtype=object)
        cells[:-1] = self._strings(pd.DatetimeIndex(distinct))
        cells[-1] = missing
        return pd.Series(cells[codes], dtype=object).astype(dtype)

    def _strings(self, index):
        strings = np.full(len(index), "", dtype=object)
        for piece in _DIRECTIVE.split(self.text):
            strings = strings + (self._piece(piece, index) if piece[:1] == "%" else piece)
        return strings

    def _piece(self, directive, index):
        if directive == "%f":
            nanoseconds = index.microsecond.to_numpy() * 1000 + index.nanosecond.to_numpy()
            return _numbers(nanoseconds // 10 ** (9 - self._digits), self._digits)
        if directive in ("%b", "%B", "%a", "%A"):
            names = index.month_name() if directive in ("%b", "%B") else index.day_name()
            names = names.str[:3] if directive in ("%b", "%a") else names
            return self._cased(names)
        if directive == "%p":
            return self._cased(pd.Index(np.where(index.hour < 12, "AM", "PM")))
        if directive == "%z":
            return np.full(len(index), "+00:00", dtype=object)
        numbers = {
            "%Y": index.year,
            "%y": index.year % 100,
            "%m": index.month,
            "%d": index.day,
            "%H": index.hour,
            "%I": (index.hour - 1) % 12 + 1,
            "%M": index.minute,
            "%S": index.second,
        }[directive].to_numpy()
        is_padded = self._padded or directive not in _PADDED
        return _numbers(numbers, _WIDTHS[directive] if is_padded else 1)

    def _cased(self, names):
        names = names.astype(object)
        if self._case is not None:
            names = getattr(names.str, self._case)()
        return names.to_numpy(dtype=object)


def _numbers(values, width):
    """Whole numbers as text of at least ``width`` digits."""
    distinct, place = np.unique(values, return_inverse=True)
    return np.array([f"{value:0{width}d}" for value in distinct], dtype=object)[place]
