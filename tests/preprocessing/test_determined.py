"""Columns that follow from others."""

import numpy as np
import pytest

from synth_estimators.preprocessing._determined import find_determined


@pytest.fixture
def day():
    return np.repeat(np.arange(60), 20)


def test_calendar_columns_follow_from_the_day(day):
    month, season = day // 5, day // 15
    assert find_determined([season, day, month]) == {0: 1, 2: 1}


def test_the_finest_column_is_looked_up_from(day):
    assert find_determined([day // 15, day // 5, day], exclude=[1]) == {0: 2}


def test_of_two_names_of_one_thing_one_is_kept():
    code = np.repeat(np.arange(5), 30)
    assert find_determined([code, 4 - code]) == {0: 1}


def test_three_names_of_one_thing_lead_to_the_one_that_is_kept():
    code = np.repeat(np.arange(5), 30)
    determined = find_determined([code, 4 - code, (code + 2) % 5])
    kept = ({0, 1, 2} - set(determined)).pop()
    assert set(determined.values()) == {kept}


def test_one_exception_breaks_the_rule(day):
    month = day // 5
    month[-1] = 0
    assert find_determined([month, day]) == {}


def test_exception_among_the_first_rows_is_seen(day):
    month = day // 5
    month[0] = 3
    assert find_determined([month, day]) == {}


def test_excluded_columns_are_kept_and_may_be_looked_up_from(day):
    assert find_determined([day // 5, day], exclude=[0]) == {}
    assert find_determined([day // 5, day], exclude=[1]) == {0: 1}


def test_rare_values_are_no_evidence():
    # every value of the second column occurs in 5 rows: fewer than one for ten rows
    fine = np.repeat(np.arange(40), 5)
    assert find_determined([fine // 20, fine]) == {}
    # a value of the first column occurs 9 times
    coarse = np.r_[np.zeros(91, dtype=int), np.ones(9, dtype=int)]
    assert find_determined([coarse, np.r_[np.repeat(np.arange(3), 30), 0, np.full(9, 3)]]) == {}


def test_constant_columns_are_left_alone(day):
    assert find_determined([np.zeros_like(day), day]) == {}


def test_independent_columns_are_left_alone():
    rng = np.random.default_rng(0)
    assert find_determined(list(rng.integers(0, 4, size=(5, 1000)))) == {}
