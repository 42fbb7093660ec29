import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from synth_estimators.tabular._ar_codes import LevelCodes, NumberCodes, read_columns

SETTINGS = {
    "max_levels": 100,
    "max_value_embeddings": 400,
    "n_bins": 256,
    "n_input_bins": 24,
    "spike_share": 0.01,
    "spike_prominence": 4.0,
}


def number_codes(values, **changed):
    return NumberCodes(pd.Series(values, name="x"), **{**SETTINGS, **changed})


@pytest.fixture
def amounts():
    """2,000 amounts, a third of them 0, some missing, the rest with two decimals."""
    rng = np.random.default_rng(0)
    values = np.round(rng.lognormal(3, 1, 2_000), 2)
    values[rng.random(2_000) < 0.33] = 0.0
    values[rng.random(2_000) < 0.1] = np.nan
    return values


def test_levels_are_ordered_by_frequency_and_missing_is_one():
    codes = LevelCodes(pd.Series(["b", "a", None, "a", "a", None], dtype=object))
    assert codes.levels == ["a", None, "b"]
    assert codes.counts.tolist() == [3, 2, 1]
    assert codes.read(pd.Series([None, "b"])).tolist() == [1, 2]
    assert codes.restore(np.array([1, 0])).tolist() == [None, "a"]


def test_unknown_level_is_named():
    codes = LevelCodes(pd.Series(["b", "a"], name="g"))
    with pytest.raises(ValueError, match=r"Unknown value 'z' for column 'g'; seen during fit: \["):
        codes.read(pd.Series(["a", "z"]))


def test_zeros_of_an_amount_are_a_spike(amounts):
    codes = number_codes(amounts)
    assert codes.spikes.tolist() == [0.0]
    assert codes.continuous
    assert codes.n_choices == 3  # zero, missing, in an interval
    assert codes.counts.sum() == 2_000
    coded = codes.encode(np.array([0.0, np.nan, np.nanmedian(amounts[amounts > 0])]))
    assert coded.choice.tolist() == [0, 1, 2]
    assert coded.score[1] == 0
    assert coded.score[0] == pytest.approx(norm.ppf(0.5 / codes.n_between))
    assert abs(coded.score[2]) < 0.01


def test_values_like_their_neighbours_are_no_spikes():
    ages = np.repeat(np.arange(120), 17)  # each holds 0.8 % of the rows
    ages = np.append(ages, np.repeat(np.arange(20, 40), 40))  # and these about 2.5 %
    assert len(number_codes(ages).spikes) == 0
    heaped = np.append(ages, np.full(800, 65))
    assert number_codes(heaped).spikes.tolist() == [65]


def test_columns_of_few_values_are_all_spikes():
    codes = number_codes(np.repeat([1.5, 2.0, 7.0], 40))
    assert not codes.continuous
    assert codes.encode(np.array([7.0, 1.5, 2.2])).choice.tolist() == [2, 0, 1]
    assert codes.decode(np.array([0, 2]), np.zeros(2)).tolist() == [1.5, 7.0]
    # every value of a handful of rows is no class of its own
    assert number_codes(np.arange(60.0)).continuous


def test_margin_comes_back_from_uniform_shares(amounts):
    codes = number_codes(amounts)
    known = np.sort(amounts[amounts > 0])
    shares = (np.arange(len(known)) + 0.5) / len(known)
    drawn = codes.decode(np.full(len(known), codes.n_choices - 1), norm.ppf(shares))
    np.testing.assert_allclose(drawn, known, atol=0.006)


def test_heaped_numbers_come_back_as_they_were():
    values = np.repeat(np.arange(150) * 10.0, 20)
    codes = number_codes(values, spike_share=0.5)
    assert codes.n_tokens == 150  # an embedding for every value
    shares = np.random.default_rng(0).random(3_000)
    drawn = codes.decode(np.zeros(3_000, dtype=int), norm.ppf(shares))
    assert np.isin(drawn, values).all()
    assert len(np.unique(drawn)) == 150


def test_intervals_hold_about_equal_shares(amounts):
    codes = number_codes(amounts, n_bins=50)
    interval = codes.encode(amounts[amounts > 0]).interval
    counts = np.bincount(interval)
    assert len(counts) == len(codes.edges) - 1 <= 50
    assert counts[:-1].min() >= codes.n_between / 50 - 1
    assert codes.edges[0] == -8
    assert codes.edges[-1] == 8
    assert (np.diff(codes.edges) > 0).all()


def test_numbers_beyond_the_table_stand_for_less_of_their_interval(amounts):
    codes = number_codes(amounts)
    top = np.nanmax(amounts)
    coded = codes.encode(np.array([top, 1.5 * top, 100 * top, -5.0]))
    assert coded.interval[:3].tolist() == [len(codes.edges) - 2] * 3
    remainder = coded.remainder(codes.edges)
    assert remainder[0] == 1.0
    assert 1.0 > remainder[1] > remainder[2] > 0
    assert 1.0 > remainder[3] > 0


def test_drawn_values_take_the_token_of_the_value_below():
    values = np.repeat(np.arange(150) * 10.0, 20)
    codes = number_codes(values, spike_share=0.5)
    assert codes.encode(np.array([10.0, 19.0, 20.0, -3.0])).token.tolist() == [1, 1, 2, 0]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, 3] * 20, dtype="int16"),
        pd.Series([True, False, True] * 20),
        pd.Series([1, None, 3] * 20, dtype="Int64"),
        pd.Series([1.5, np.nan, 3] * 20, dtype="float32"),
        pd.Series(pd.Categorical(["b", None, "a"] * 20, categories=["c", "b", "a"], ordered=True)),
        pd.Series(["x", "y", "z"] * 20, dtype="string"),
        pd.Series(pd.date_range("2024-01-01", periods=60, freq="h", tz="Europe/Paris")),
        pd.Series(pd.to_timedelta(np.arange(60), unit="s")),
        pd.Series([None] * 60, dtype=object),
        pd.Series([np.nan] * 60),
        pd.Series([4.0] * 60),
    ],
    ids=str,
)
def test_cells_come_back_in_their_dtype(column):
    codes = read_columns(column.to_frame("x"), **SETTINGS)[0]
    cells = codes.read(column)
    pd.testing.assert_series_equal(codes.restore(cells), column, check_names=False)
    coded = codes.encode(cells)
    assert coded.choice.max() < codes.n_choices
    assert coded.token.max() < codes.n_tokens
    drawn = codes.restore(codes.decode(coded.choice, coded.score))
    assert drawn.isna().tolist() == column.isna().tolist()
    assert drawn.dtype == column.dtype


def test_given_values_have_to_fit_the_dtype():
    whole = NumberCodes(pd.Series(np.arange(300, dtype="int8") % 100, name="n"), **SETTINGS)
    with pytest.raises(ValueError, match=r"dtype int8, which cannot hold the condition 300\.0"):
        whole.read(pd.Series([300]), role="condition")
    with pytest.raises(ValueError, match=r"cannot hold the condition 2\.5"):
        whole.read(pd.Series([2.5]), role="condition")
    with pytest.raises(ValueError, match="the condition 'many' cannot be read"):
        whole.read(pd.Series(["many"]), role="condition")
    with pytest.raises(ValueError, match="holds a missing value"):
        whole.read(pd.Series([1, None]))
    dates = NumberCodes(pd.Series(pd.date_range("2024", periods=300), name="d"), **SETTINGS)
    with pytest.raises(ValueError, match="Column 'd' has dtype datetime64"):
        dates.read(pd.Series([3.0]))


# Numbers that doubles tell apart only from near by


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.date_range("2020-01-06", periods=60, freq="7D")),  # Mondays
        pd.Series(pd.date_range("2020-01-06 12:00", periods=60, freq="D", tz="Europe/Rome")),
        pd.Series(pd.to_timedelta(np.arange(60) * 7 + 3, "min")),
        pd.Series(pd.to_datetime(1_600_000_000_123_456_789 + np.arange(60) * 7)),
    ],
    ids=["weeks", "noons", "minutes", "nanoseconds"],
)
@pytest.mark.parametrize("max_levels", [100, 5])
def test_dates_keep_their_grid(column, max_levels):
    column = column.repeat(20).reset_index(drop=True)
    codes = NumberCodes(column, **{**SETTINGS, "max_levels": max_levels})
    assert codes.continuous == (max_levels < 60)
    cells = codes.read(column)
    pd.testing.assert_series_equal(codes.restore(cells), column)
    choice = np.full(200, codes.n_choices - 1)
    drawn = codes.decode(choice, np.random.default_rng(0).standard_normal(200))
    assert codes.restore(drawn).isin(column).all()


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64"])
@pytest.mark.parametrize("start", [2**62 + 1, 2**63 - 8])
def test_large_whole_numbers_are_told_apart(dtype, start):
    column = pd.Series(np.tile(start + np.arange(7), 30).astype("uint64")).astype(dtype)
    codes = NumberCodes(column, **SETTINGS)
    assert codes.n_values == 7
    pd.testing.assert_series_equal(codes.restore(codes.read(column)), column)
    assert codes.restore(codes.choice_cells()).tolist() == list(range(start, start + 7))


def test_marks_of_missing_numbers_come_back_exactly():
    column = pd.Series(np.where(np.arange(300) % 3 == 0, 2**63 - 1, np.arange(300)))
    codes = NumberCodes(column, **{**SETTINGS, "max_levels": 10})
    assert codes.continuous
    pd.testing.assert_series_equal(codes.restore(codes.read(column)), column)


def test_cells_that_cannot_be_compared_are_named():
    column = pd.Series(["a", bytearray(b"b")], name="g", dtype=object)
    with pytest.raises(TypeError, match=r"Column 'g' holds cells that cannot be compared"):
        LevelCodes(column)
