"""Formats of dates written as text."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators.preprocessing._text_dates import DateFormat, find_date_format

MOMENTS = pd.to_datetime(
    ["2013-01-31 09:05:03", "1999-12-05 23:59:59", "2024-02-29 00:00:00", "2005-07-14 12:30:45"]
)


@pytest.mark.parametrize(
    "text",
    [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%d.%m.%Y",
        "%m/%d/%Y",
        "%m-%d-%y",
        "%d %b %Y",
        "%B %d, %Y",
        "%a %d %b %Y",
        "%A, %B %d, %Y",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%d %I:%M:%S %p",
        "%m/%d/%Y %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S+05:30",
        "%Y-%m-%d %H:%M:%S UTC",
        "%H:%M:%S",
        "%H:%M",
        "%I:%M %p",
    ],
)
def test_formats_are_found_and_written_again(text):
    column = pd.Series([*MOMENTS.strftime(text), None], dtype=object)
    found = find_date_format(column, label="x")
    assert found is not None
    assert found.text == text
    index = found.parse(column, label="x")
    expected = pd.to_datetime(MOMENTS.strftime(text), format=text).tz_localize(None)
    if "+05:30" not in text:
        assert (index[:4] == expected).all()
    assert index.isna()[-1]
    back = found.write(index, object, missing=None)
    assert back.tolist() == column.tolist()


@pytest.mark.parametrize(
    "cells",
    [
        ["1/5/2013 7:05", "12/25/2013 17:30", "3/31/2014 0:00"],
        ["2013-01-01 10:00:00.125", "2013-01-01 10:00:01.250"],
        ["2013-01-01T10:00:00.123456789Z", "2013-01-01T10:00:01.000000001Z"],
        ["5 JAN 2013", "17 FEB 2014"],
        ["3:05 pm", "11:30 am"],
    ],
)
def test_style_is_kept(cells):
    found = find_date_format(pd.Series(cells), label="x")
    index = found.parse(pd.Series(cells), label="x")
    assert found.write(index, object).tolist() == cells


@pytest.mark.parametrize(
    "cells",
    [
        ["20130101", "20130102"],
        ["12", "11"],
        ["2013-01-01", "soon"],
        ["2013-01-01", "01/02/2013"],
        ["2013-13-01", "2013-14-01"],
        ["red", "green"],
        ["10.0.0.1", "10.0.0.2"],
        ["555-01-9999", "123-45-6789"],
        ["", "2013-01-01"],
        ["1-2", "3-4"],
    ],
)
def test_other_text_is_no_date(cells):
    assert find_date_format(pd.Series(cells), label="x") is None


def test_month_comes_first_where_both_orders_fit():
    cells = pd.Series(["05/01/2024", "06/02/2024"])
    with pytest.warns(UserWarning, match="fit '%m/%d/%Y' and '%d/%m/%Y'; the month is taken"):
        found = find_date_format(cells, label="day")
    assert found.parse(cells, label="day")[0] == pd.Timestamp("2024-05-01")


@pytest.mark.filterwarnings("error")
def test_one_day_above_twelve_settles_the_order():
    found = find_date_format(pd.Series(["05/01/2024", "16/02/2024"]), label="day")
    assert found.text == "%d/%m/%Y"


def test_mixed_offsets_become_utc():
    cells = pd.Series(["2013-01-01T10:00:00+01:00", "2013-07-01T10:00:00+02:00"])
    found = find_date_format(cells, label="x")
    index = found.parse(cells, label="x")
    assert index[0] == pd.Timestamp("2013-01-01T09:00Z")
    assert found.write(index, object).tolist() == [
        "2013-01-01T09:00:00+00:00",
        "2013-07-01T08:00:00+00:00",
    ]


def test_text_types_are_kept():
    cells = pd.Series(["2013-01-01", None, "2013-01-02"], dtype="string")
    found = find_date_format(cells, label="x")
    back = found.write(found.parse(cells, label="x"), cells.dtype)
    pd.testing.assert_series_equal(back, cells)


def test_strange_cells_are_named():
    with pytest.raises(ValueError, match="'x' of X holds '2013', which is not a date of the form"):
        DateFormat("%Y-%m-%d").parse(pd.Series(["2013-01-01", "2013"]), label="x")


def test_all_cells_missing():
    index = DateFormat("%Y-%m-%d").parse(pd.Series([None, None], dtype=object), label="x")
    assert np.asarray(index.isna()).all()
