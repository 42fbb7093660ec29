"""Column types, limits of dtypes and containers that generators of mixed tables must keep."""

import datetime

import numpy as np
import pandas as pd
import pytest
import sklearn

from synth_estimators import ClassConditionalGenerator
from synth_estimators.baselines import (
    BootstrapRows,
    GaussianCopula,
    IndependentColumns,
    NeighborInterpolation,
    SequentialCART,
)

DONORS = pytest.mark.parametrize(
    "generator", [BootstrapRows, IndependentColumns, SequentialCART], ids=lambda g: g.__name__
)
ALL = pytest.mark.parametrize(
    "generator",
    [BootstrapRows, IndependentColumns, SequentialCART, NeighborInterpolation, GaussianCopula],
    ids=lambda g: g.__name__,
)


def sampled(generator, X, n_samples=200):
    return generator(random_state=0).fit(X).sample(n_samples)


# Limits of integers


@ALL
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "UInt8", "uint8[pyarrow]"])
def test_largest_integer_of_a_type_comes_back(generator, dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    numbers = np.iinfo(dtype.split("[")[0].lower())
    frame = pd.DataFrame({"n": pd.array([numbers.min, numbers.max] * 20, dtype=dtype)})
    rows = sampled(generator, frame)
    assert rows["n"].dtype == frame["n"].dtype
    assert {numbers.min, numbers.max} <= set(rows["n"].tolist())


@ALL
def test_largest_integer_of_an_array_comes_back(generator):
    X = np.array([[255, 0], [0, 255]] * 20, dtype=np.uint8)
    rows = sampled(generator, X)
    assert rows.dtype == np.uint8
    assert {0, 255} <= set(rows.ravel().tolist())


@DONORS
@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame])
def test_identifiers_beyond_the_precision_of_floats_are_kept(generator, container):
    numbers = 2**53 + 1 + 2 * np.arange(20)
    X = np.column_stack([numbers, numbers + 1])
    assert set(np.unique(sampled(generator, container(X)))) <= set(X.ravel())


def test_interpolated_unsigned_numbers_do_not_wrap():
    numbers = np.uint64(2**64 - 1) - np.arange(40, dtype=np.uint64)
    frame = pd.DataFrame({"n": numbers, "x": np.arange(40.0)})
    assert sampled(NeighborInterpolation, frame)["n"].min() > 2**63


def test_numbers_outside_the_training_range_do_not_wrap():
    frame = pd.DataFrame({"n": np.arange(256, dtype=np.uint8), "k": ["a", "b"] * 128})
    rows = GaussianCopula(clip=None, random_state=0).fit(frame).sample(5000)
    # normal tails reach beyond both ends; a wrapped -1 would swap the ends of the ranks
    lowest = rows["n"].sort_values().to_numpy()
    assert np.mean(lowest == 0) < 0.02
    assert np.mean(lowest == 255) < 0.02
    assert 2 * 0.9 < lowest.mean() / 63.75 < 2 * 1.1


def test_sparse_integers_pass_through_the_copula():
    counts = pd.arrays.SparseArray([0, 0, 5, 255] * 10, fill_value=0)
    frame = pd.DataFrame({"n": counts, "x": np.arange(40.0)})
    assert sampled(GaussianCopula, frame)["n"].dtype == frame["n"].dtype


# Decimals


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("generator", [NeighborInterpolation, GaussianCopula])
def test_tiny_numbers_are_not_rounded_to_zero(generator, dtype):
    tiny = np.random.default_rng(0).uniform(1, 2, 50) * (1e-13 if dtype == np.float64 else 1e-8)
    frame = pd.DataFrame({"p": tiny.astype(dtype), "k": ["a", "b"] * 25})
    rows = sampled(generator, frame)["p"]
    assert frame["p"].min() <= rows.min() < rows.max() <= frame["p"].max()


def test_dithered_tiny_numbers_are_not_rounded_to_zero():
    frame = pd.DataFrame({"p": np.random.default_rng(0).uniform(1, 2, 50) * 1e-13})
    rows = SequentialCART(smooth="quantile", random_state=0).fit(frame).sample(50)
    assert rows["p"].between(1e-13, 2e-13).all()


# Dates


@ALL
def test_dates_that_nanoseconds_cannot_count(generator):
    ends = pd.Series(np.array(["2020-01-01", "2021-06-01", "9999-12-31"] * 10, "datetime64[s]"))
    frame = pd.DataFrame({"end": ends, "kind": ["a", "b"] * 15})
    fitted = generator(random_state=0).fit(frame)
    rows = fitted.sample(100)
    assert rows["end"].dtype == frame["end"].dtype
    assert rows["end"].between(ends.min(), ends.max()).all()
    assert np.isfinite(fitted.score(frame))


@pytest.mark.parametrize(("unit", "digits"), [("s", 10**9), ("ms", 10**6), ("us", 10**3)])
def test_dates_keep_their_resolution(unit, digits):
    steps = np.random.default_rng(0).integers(0, 10**6, 60)
    frame = pd.DataFrame({"when": pd.Timestamp("2020-01-01") + pd.to_timedelta(steps, unit)})
    frame["when"] = frame["when"].astype("datetime64[ns]")
    rows = sampled(NeighborInterpolation, frame)
    assert (rows["when"].to_numpy().astype(np.int64) % digits == 0).all()


@ALL
def test_arrays_of_dates_stay_so(generator):
    X = np.array([["2020-01-01"], ["2020-02-01"], ["2020-03-01"]] * 4, dtype="datetime64[D]")
    rows = sampled(generator, X, 30)
    assert rows.dtype == X.dtype
    assert (rows >= X.min()).all()
    assert (rows <= X.max()).all()


@pytest.mark.parametrize("generator", [SequentialCART, GaussianCopula, NeighborInterpolation])
def test_periods_are_refused_with_the_column_and_a_way_out(generator):
    frame = pd.DataFrame({"month": pd.period_range("2020-01", periods=12, freq="M")})
    with pytest.raises(ValueError, match=r"Column 'month' of X has the type period.*to_timestamp"):
        generator().fit(frame)


# Text and missing cells


def test_text_that_looks_like_a_missing_cell_is_a_level_of_its_own():
    frame = pd.DataFrame({"a": pd.Series(["<NA>", None, "x"] * 20, dtype=object), "b": range(60)})
    rows = sampled(GaussianCopula, frame, 600)["a"]
    assert rows.isna().mean() == pytest.approx(1 / 3, abs=0.1)
    assert rows.eq("x").mean() == pytest.approx(1 / 3, abs=0.1)
    assert rows.eq("<NA>").mean() == pytest.approx(1 / 3, abs=0.1)
    cart = SequentialCART(random_state=0).fit(frame)
    drawn = cart.sample(3, conditions={"a": [None, "<NA>", "x"]})["a"]
    assert drawn.isna().tolist() == [True, False, False]
    assert drawn.tolist()[1:] == ["<NA>", "x"]


@ALL
def test_missing_cells_of_objects_stay_none(generator):
    frame = pd.DataFrame({"a": pd.Series(["x", None] * 20, dtype=object), "b": range(40)})
    missing = sampled(generator, frame)["a"]
    assert all(cell is None for cell in missing[missing.isna()])


@ALL
def test_numbers_beside_text_in_lists_stay_numbers(generator):
    rows = sampled(generator, [["a", 1.5], ["b", 2], ["a", 3]], 20)
    assert rows.dtype == object
    assert all(isinstance(cell, float) and 1.5 <= cell <= 3 for cell in rows[:, 1])


# Labels of columns


@ALL
def test_names_of_column_levels_are_kept(generator):
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")], names=["group", "item"])
    for second in (range(20), list("uv") * 10):
        frame = pd.DataFrame(zip(range(20), second, strict=True), columns=columns)
        pd.testing.assert_index_equal(sampled(generator, frame, 3).columns, columns)


# polars


@ALL
def test_polars_columns_come_back_in_kind(generator):
    polars = pytest.importorskip("polars")
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=i) for i in range(40)]
    moments = [datetime.datetime(2020, 1, 1, 3, 4, 5, i) for i in range(40)]
    frame = polars.DataFrame(
        {
            "x": np.arange(40.0),
            "day": [None if i % 4 == 0 else day for i, day in enumerate(days)],
            "never": [datetime.datetime(9999, 12, 31)] * 20 + moments[20:],
            "zone": polars.Series(moments).dt.replace_time_zone("Europe/Rome"),
            "wait": [datetime.timedelta(seconds=i) for i in range(40)],
            "count": polars.Series([255, None, 0, 3] * 10, dtype=polars.UInt8),
            "level": polars.Series(["a", "b", None, "c"] * 10, dtype=polars.Categorical),
        }
    )
    fitted = generator(random_state=0).fit(frame)
    rows = fitted.sample(200)
    assert rows.schema == frame.schema
    assert fitted.sample(0).schema == frame.schema
    for name in ("day", "never", "zone", "wait", "count"):
        known = frame[name].drop_nulls()
        assert rows[name].drop_nulls().is_between(known.min(), known.max()).all()
        assert bool(rows[name].null_count()) == bool(frame[name].null_count())


def test_polars_dates_are_numbers_to_the_models():
    polars = pytest.importorskip("polars")
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=10 * i + i % 3) for i in range(40)]
    rows = sampled(NeighborInterpolation, polars.DataFrame({"day": days, "x": np.arange(40.0)}))
    assert not set(rows["day"]) <= set(days)


@pytest.mark.parametrize("generator", [BootstrapRows, IndependentColumns])
def test_missing_numbers_of_one_polars_type_stay_missing(generator):
    polars = pytest.importorskip("polars")
    large = 2**53 + 1
    for dtype, value in ((polars.Int64, large), (polars.Float32, 1.5), (polars.UInt8, 255)):
        frame = polars.DataFrame({"n": polars.Series([value, None] * 10, dtype=dtype)})
        rows = sampled(generator, frame)
        assert rows.schema == frame.schema
        assert set(rows["n"].to_list()) == {value, None}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("generator", [BootstrapRows, IndependentColumns])
def test_score_of_named_columns_is_silent(generator):
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) % 7})
    assert generator(random_state=0).fit(frame).score(frame) <= 0


# Classes


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_output_set_outside_does_not_reach_the_classes(output):
    if output == "polars":
        pytest.importorskip("polars")
    frame = pd.DataFrame({"a": ["u", "v"] * 20, "b": np.arange(40.0)})
    labels = np.arange(40) % 3
    with sklearn.config_context(transform_output=output):
        rows = ClassConditionalGenerator(BootstrapRows(), random_state=0).fit(frame, labels)
        assert type(rows.sample(5)).__module__.split(".")[0] == output
    inner = BootstrapRows().set_output(transform=output)
    rows = ClassConditionalGenerator(inner, random_state=0).fit(frame, labels).sample(5)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)


# Conditions


def given(column, value, n_samples=3):
    frame = pd.DataFrame({"x": np.arange(float(len(column))), "c": column})
    cart = SequentialCART(column_order=["c"], random_state=0).fit(frame)
    return cart.sample(n_samples, conditions={"c": value})["c"]


def test_two_dates_can_be_given_as_text():
    dates = pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"] * 10))
    assert (given(dates, "2020-01-01") == dates[0]).all()
    assert (given(dates, dates[1].date()) == dates[1]).all()
    with pytest.raises(ValueError, match=r"has dtype datetime64.*got 'then'"):
        given(dates, "then")


def test_numbers_are_no_dates():
    dates = pd.Series(pd.date_range("2020-01-01", periods=20))
    with pytest.raises(ValueError, match=r"has dtype datetime64.*got .*5"):
        given(dates, 5)


@pytest.mark.parametrize("value", [300, -1])
def test_numbers_that_a_column_cannot_hold_are_refused(value):
    with pytest.raises(ValueError, match=f"dtype uint8, which cannot hold {value}"):
        given(np.arange(40, dtype=np.uint8), value)


def test_given_identifiers_are_exact():
    assert (given(2**60 + np.arange(40), 2**60 + 7) == 2**60 + 7).all()


@pytest.mark.parametrize("value", [None, np.nan, pd.NA])
def test_missing_numbers_can_be_given_in_any_form(value):
    column = pd.array([None if i % 4 == 0 else i for i in range(40)], dtype="Int64")
    assert given(column, value).isna().all()
    assert given(column, [1, value, 3]).tolist() == [1, pd.NA, 3]


def test_unknown_levels_are_told_apart_by_their_kind():
    with pytest.raises(ValueError, match=r"Unknown condition '1' .* seen during fit: \[0, 1\]"):
        given(np.arange(40) % 2, "1")
