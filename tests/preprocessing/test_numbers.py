"""Numbers and dates as floats: dates keep the step that all of them share."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators.preprocessing import TabularEncoder
from synth_estimators.preprocessing._numbers import NumberColumn, time_steps

QUARTERS = pd.Timestamp("2024-03-01 06:05") + pd.to_timedelta(
    15 * np.random.default_rng(0).integers(0, 400, 300), unit="min"
)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_between_steps_are_moved_to_the_next_step(unit):
    dates = pd.Series(QUARTERS.as_unit(unit))
    column = NumberColumn(dates)
    noise = np.random.default_rng(1).uniform(-400e9, 400e9, len(dates))
    np.testing.assert_array_equal(column.restore(column.values + noise), dates.array)


def test_few_dates_have_whole_units_only():
    days = pd.DatetimeIndex(["2024-01-01", "2024-01-31"]).as_unit("s").asi8
    assert time_steps(days, "s") == (days[0], 86_400)
    assert time_steps(np.array([], dtype=np.int64), "s") == (0, 1)


def test_weekly_dates_stay_weekly():
    weeks = pd.date_range("2023-01-04", periods=60, freq="7D").as_unit("us").asi8
    assert time_steps(weeks, "us") == (weeks[0], 7 * 86_400 * 10**6)


def test_encoder_returns_dates_on_their_step():
    frame = pd.DataFrame({"start": QUARTERS, "x": np.arange(300.0)})
    encoder = TabularEncoder(random_state=0).fit(frame)
    rows = encoder.transform(frame)
    noisy = rows + np.random.default_rng(2).normal(0, 0.05, rows.shape).astype(np.float32)
    found = encoder.inverse_transform(noisy)["start"]
    minutes = (found - QUARTERS.min()) / pd.Timedelta(minutes=15)
    assert (minutes % 1 == 0).all()
    assert (found != frame["start"]).any()
