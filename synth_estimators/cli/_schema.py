"""What the columns of a mixed table are taken for: read from text files, and told to the user."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from synth_estimators.cli._io import note

if TYPE_CHECKING:
    import pandas as pd

_MOST_LINES = 60
_LEVELS_SHOWN = 4
_LONGEST_LEVEL = 24
# A column of text with another value in every row of so many is an identifier.
_IDENTIFIER_ROWS = 20


def read_types(
    frame: pd.DataFrame, generator: Any, *, typed: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read dates written as text and, unless the file tells types, whole numbers with gaps.

    Columns that settings of the generator name are left as they are.

    Returns
    -------
    frame : pandas DataFrame
        The table with columns of datetimes and nullable integers.

    dates : dict
        Column -> ``DateFormat`` that writes its dates as they were.
    """
    from synth_estimators.preprocessing._text_dates import find_date_format

    frame, dates = frame.copy(deep=False), {}
    for name in frame.columns:
        column = frame[name]
        if name in _named(generator):
            continue
        if not typed and _is_whole_with_gaps(column):
            frame[name] = column.astype("Int64")
        elif column.dtype == object or str(column.dtype) in ("str", "string"):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = find_date_format(column, label=name)
            if found is not None:
                frame[name] = found.parse(column, label=name)
                dates[name] = found
                if caught:
                    note(
                        f"column {name!r} holds dates with the month or the day first; read as "
                        f"{found.text}. Write them as year-month-day if that is wrong."
                    )
    return frame, dates


def write_dates(frame: pd.DataFrame, dates: dict[str, Any]) -> pd.DataFrame:
    """Write dates as text again."""
    import pandas as pd

    frame = frame.copy(deep=False)
    for name, found in dates.items():
        frame[name] = found.write(pd.DatetimeIndex(frame[name]), object)
    return frame


def _named(generator):
    """Columns that the settings of a generator declare."""
    named = []
    for parameter in ("discrete_columns", "field_types", "field_transformers"):
        named += list(getattr(generator, parameter, None) or ())
    return named


def _is_whole_with_gaps(column):
    import numpy as np

    if column.dtype.kind != "f" or not column.isna().any():
        return False
    values = column.dropna().to_numpy()
    # Beyond 2**53 floats skip whole numbers.
    return bool(len(values) and (np.abs(values) < 2**53).all() and (values % 1 == 0).all())


def print_schema(frame: pd.DataFrame, generator: Any, dates: dict[str, Any]) -> None:
    """Print what every column is taken for."""
    kinds = _kinds(frame, generator)
    print(f"{_plural(len(frame), 'row')}, {_plural(frame.shape[1], 'column')}:")
    width = max(len(name) for name in frame.columns)
    for name in list(frame.columns)[:_MOST_LINES]:
        text = _describe(frame[name], kinds[name], dates.get(name))
        print(f"  {name:<{width}}  {text}")
    rest = list(frame.columns)[_MOST_LINES:]
    if rest:
        found = [kinds[name] for name in rest]
        counts = {kind: found.count(kind) for kind in dict.fromkeys(found)}
        listed = ", ".join(f"{count} of {kind}" for kind, count in counts.items())
        print(f"  and {len(rest)} more: {listed}")
    print(flush=True)


def _kinds(frame, generator):
    """Column -> "numbers", "dates", "levels" or "empty cells", as the generator will take it."""
    names = {"numeric": "numbers", "datetime": "dates", "empty": "empty cells", "custom": "custom"}
    found = _encoder_kinds(frame, generator)
    if found is None:
        found = {name: _own_kind(frame[name], generator) for name in frame.columns}
    return {name: names.get(kind, "levels") for name, kind in found.items()}


def _encoder_kinds(frame, generator):
    """Kinds of a generator with a ``TabularEncoder``; None for the others."""
    from synth_estimators.preprocessing._field_kinds import field_kinds
    from synth_estimators.tabular._base import BaseTabularGenerator

    if not isinstance(generator, BaseTabularGenerator):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = field_kinds(
            frame,
            list(frame.columns),
            discrete_columns=generator.discrete_columns,
            field_types=getattr(generator, "field_types", None),
            field_transformers=getattr(generator, "field_transformers", None),
            find_dates=getattr(generator, "auto_transform_datetimes", False),
        )
    return {name: kind.kind for name, kind in zip(frame.columns, kinds, strict=True)}


def _own_kind(column, generator):
    from synth_estimators.preprocessing._columns import is_discrete_dtype

    if not column.notna().any():
        return "empty"
    if is_discrete_dtype(column.dtype):
        return "levels"
    if column.dtype.kind in "mM":
        return "datetime"
    chosen = getattr(generator, "discrete_columns", None)
    if chosen is not None:
        return "levels" if column.name in list(chosen) else "numeric"
    return "levels" if column.nunique() <= 2 else "numeric"


def _describe(column, kind, date_format):
    import pandas as pd

    missing = column.isna().mean()
    gaps = f"; {_percent(missing)} empty" if missing else ""
    if kind == "empty cells":
        return "no values"
    if kind in ("numbers", "dates"):
        low, high = column.min(), column.max()
        if kind == "dates":
            how = f" written as {date_format.text}" if date_format is not None else ""
            return f"dates{how}, {_ends(_day(low), _day(high))}{gaps}"
        what = "whole numbers" if pd.api.types.is_integer_dtype(column.dtype) else "numbers"
        return f"{what}, {_ends(_number(low), _number(high))}{gaps}"
    if kind == "custom":
        return f"read by field_transformers{gaps}"
    counts = column.value_counts()
    known = int(column.notna().sum())
    if len(counts) == known >= _IDENTIFIER_ROWS:
        return f"another level in each row{gaps}: an identifier? Leave it out with --drop"
    shown = [_shortened(_number(level)) for level in counts.index[:_LEVELS_SHOWN]]
    more = ", …" if len(counts) > _LEVELS_SHOWN else ""
    return f"{_plural(len(counts), 'level')}: {', '.join(shown)}{more}{gaps}"


def _ends(low, high):
    return f"{low} to {high}" if low != high else f"always {low}"


def _plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _percent(share):
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _number(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _day(moment):
    text = str(moment)
    return text.removesuffix(" 00:00:00")


def _shortened(text):
    return text if len(text) <= _LONGEST_LEVEL else text[: _LONGEST_LEVEL - 1] + "…"
