"""Clauses, conditions on every type of column, and rejection."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators.tabular._conditions import Where, matches, parse_conditions, where_clause
from synth_estimators.tabular._known_columns import KnownColumns
from synth_estimators.tabular._rejection import RejectionSampler


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "gain": rng.normal(size=n).round(3),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
            "tall": rng.random(n) < 0.5,
            "day": pd.Timestamp("2013-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D"),
            "grade": pd.Categorical(rng.choice(["b", "a", "c"], n), ["c", "b", "a"], ordered=True),
            "single": np.linspace(0.1, 0.3, n).astype(np.float32),
            "small": rng.integers(0, 200, n).astype(np.uint8),
            "zoned": pd.date_range("2013-01-01", periods=n, freq="D", tz="Europe/Oslo"),
            "sure": pd.Series(rng.random(n) < 0.5, dtype=object),
            "empty": np.nan,
        }
    )
    frame.loc[::7, "gain"] = np.nan
    frame.loc[::9, "job"] = None
    frame.loc[::5, "sure"] = None
    return frame


@pytest.fixture(scope="module")
def known(frame):
    return KnownColumns(frame)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("age>=40", ("age", ">=", "40")),
        ("income=>50K", ("income", "=", ">50K")),
        ("income=<=50K", ("income", "=", "<=50K")),
        ("income==>50K", ("income", "=", ">50K")),
        ("age < 30", ("age", "<", "30")),
        ("job!=clerk", ("job", "!=", "clerk")),
        ("job=", ("job", "=", "")),
    ],
)
def test_clauses_are_read(text, parts):
    clause = where_clause(text)
    assert (clause.column, clause.symbol, clause.value) == parts


def test_column_whose_name_holds_an_operator_is_found():
    clause = where_clause("a>b=3", ["a", "a>b"])
    assert (clause.column, clause.symbol, clause.value) == ("a>b", "=", "3")


@pytest.mark.parametrize("text", ["age", "=3", "age>", ""])
def test_text_that_is_no_clause_is_refused(text):
    with pytest.raises(ValueError, match=r"no clause|lacks a value"):
        where_clause(text)


def test_clauses_are_joined_by_and(frame):
    met = Where.read(["age>=40", "job=nurse", lambda t: t["tall"].to_numpy()], frame.columns)(frame)
    wanted = (frame["age"] >= 40) & (frame["job"] == "nurse") & frame["tall"]
    np.testing.assert_array_equal(met, wanted)
    assert 0 < met.sum() < len(frame)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("gain>0", lambda t: t["gain"] > 0),
        ("gain!=0", lambda t: t["gain"].ne(0)),
        ("gain=", lambda t: t["gain"].isna()),
        ("gain!=", lambda t: t["gain"].notna()),
        ("job!=nurse", lambda t: t["job"].ne("nurse")),
        ("tall=true", lambda t: t["tall"]),
        ("tall!=true", lambda t: ~t["tall"]),
        ("day<2013-03-01", lambda t: t["day"] < "2013-03-01"),
        ("grade>=b", lambda t: t["grade"].isin(["b", "a"])),
        ("sure=TRUE", lambda t: t["sure"].eq(True)),
        ("sure!=true", lambda t: t["sure"].ne(True)),
        ("zoned>=2013-03-01", lambda t: t["zoned"] >= pd.Timestamp("2013-03-01", tz="Europe/Oslo")),
    ],
)
def test_clauses_on_every_type(frame, text, wanted):
    np.testing.assert_array_equal(where_clause(text, frame.columns)(frame), wanted(frame))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age>old", "type int64"),
        ("job>a", "unordered"),
        ("tall=maybe", "maybe"),
        ("tall>true", "booleans have no order"),
        ("day>x", "day"),
    ],
)
def test_clauses_that_make_no_sense_are_refused(frame, text, message):
    with pytest.raises(ValueError, match=message):
        where_clause(text, frame.columns)(frame)


def test_where_that_is_no_clause_is_refused(known):
    with pytest.raises(TypeError, match="where must be text"):
        Where.read(5, known.labels)
    with pytest.raises(TypeError, match="or a list of these, got 7"):
        Where.read(["age>=30", 7], known.labels)


def test_missing_verdicts_of_callables_count_as_false(frame):
    met = Where.read(lambda t: t["gain"].astype("Float64") > 0, frame.columns)(frame)
    np.testing.assert_array_equal(met, frame["gain"] > 0)


def test_equalities_name_levels_as_text_files_write_them():
    frame = pd.DataFrame({"sure": [True, False, None], "rank": [1.0, 2.0, 2.5]}, dtype=object)
    frame["rank"] = frame["rank"].astype(float)
    known = KnownColumns(frame, discrete_columns=["rank"])
    values, _ = Where.read(["sure=true", "rank=1"], known.labels).split(known)
    assert parse_conditions(values, known, 1).to_numpy().tolist() == [[True, 1.0]]


def test_equalities_become_conditions(known):
    where = Where.read(["age=35", "tall=true", "age>=20"], known.labels)
    values, rest = where.split(known, ["tall"])
    assert values == {"age": "35"}
    assert [str(clause) for clause in rest.clauses] == ["tall=true", "age>=20"]
    assert parse_conditions(values, known, 2)["age"].tolist() == [35, 35]


def test_conditions_take_the_fitted_dtypes(frame, known):
    values = {"age": 35, "gain": None, "job": "nurse", "tall": True, "day": "2013-05-01"}
    wanted = parse_conditions(values, known, 3)
    assert wanted.shape == (3, 5)
    assert (wanted.dtypes == frame.dtypes[list(values)]).all()
    assert wanted["gain"].isna().all()


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"wage": 1, "colour": 2}, "'wage', 'colour'.*seen during fit"),
        ({"job": "king"}, "'king' for column 'job'"),
        ({"tall": "x"}, "'x' for column 'tall'"),
        ({"age": 200}, "outside the range seen during fit, 18 to 79"),
        ({"age": 35.5}, "whole numbers"),
        ({"age": "old"}, "needs a number"),
        ({"age": None}, "never missing"),
        ({"gain": np.inf}, "finite"),
        ({"day": "soon"}, "needs a date"),
        ({"age": [30, 40]}, "2 labels or conditions"),
        ({"age": [30, "old", 40]}, "got 'old'"),
        ({"day": pd.Timestamp("2013-05-01", tz="UTC")}, "no time zone, this one has"),
        ({"empty": 3.0}, "'empty' was missing in all rows"),
        ({"small": 300}, "type uint8 cannot hold 300"),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(known, conditions, message):
    with pytest.raises(ValueError, match=message):
        parse_conditions(conditions, known, 3)


def test_wrong_number_of_condition_rows_is_refused(known):
    with pytest.raises(ValueError, match="conditions has 2 rows but n_samples=3"):
        parse_conditions(pd.DataFrame({"age": [30, 40]}), known, 3)
    with pytest.raises(TypeError, match="mapping"):
        parse_conditions("age=3", known, 3)


def test_ends_of_a_column_of_single_precision_are_in_its_range(known):
    wanted = parse_conditions({"single": [0.1, 0.3]}, known, 2)["single"]
    assert wanted.dtype == np.float32
    assert wanted.tolist() == [np.float32(0.1), np.float32(0.3)]


def test_large_whole_numbers_are_kept():
    big = 2**60 + 1
    known = KnownColumns(pd.DataFrame({"id": [big, big + 2, 5]}))
    assert parse_conditions({"id": big}, known, 1)["id"].tolist() == [big]


def test_whole_numbers_do_not_wrap_around_where_any_range_is_allowed(frame):
    known = KnownColumns(frame, in_range=False)
    assert parse_conditions({"small": 250}, known, 1)["small"].tolist() == [250]
    with pytest.raises(ValueError, match="cannot hold -1"):
        parse_conditions({"small": -1}, known, 1)


def test_dates_of_several_notations_and_zones_are_read_one_by_one(known):
    wanted = parse_conditions({"day": ["2013-05-01", "2013-05-01 12:00"]}, known, 2)["day"]
    assert wanted.tolist() == [pd.Timestamp("2013-05-01"), pd.Timestamp("2013-05-01 12:00")]
    utc = pd.Timestamp("2013-05-01", tz="UTC")
    wanted = parse_conditions({"zoned": ["2013-05-01", utc]}, known, 2)["zoned"]
    assert wanted.dt.hour.tolist() == [0, 2]


def test_conditions_in_other_containers(known):
    polars = pytest.importorskip("polars")
    table = pd.DataFrame({"age": [30, 40], "job": ["nurse", None]})
    same = polars.DataFrame({"age": [30, 40], "job": ["nurse", None]})
    wanted = parse_conditions(same, known, 2)
    pd.testing.assert_frame_equal(wanted, parse_conditions(table, known, 2))
    assert parse_conditions([], known, 0).shape == (0, 0)
    with pytest.raises(ValueError, match="two columns called 'age'"):
        parse_conditions(pd.DataFrame([[1, 2]], columns=["age", "age"]), known, 1)


def test_negative_and_zero_floats_have_a_tolerance():
    known = KnownColumns(pd.DataFrame({"x": np.linspace(-10, 10, 101)}))
    drawn = pd.DataFrame({"x": [-5.04, -5.06, 0.009, 0.011, 5.04]})
    wanted = parse_conditions({"x": [-5.0, -5.0, 0.0, 0.0, 5.0]}, known, 5)
    # the interquartile range is 10, so 0 is met within 0.01 * 10 / 10
    assert matches(drawn, wanted, 0.01, known).tolist() == [True, False, True, False, True]


def test_missing_meets_missing_only(frame, known):
    wanted = parse_conditions({"gain": None, "job": None}, known, len(frame))
    met = matches(frame, wanted, 0.01, known)
    np.testing.assert_array_equal(met, frame["gain"].isna() & frame["job"].isna())


def dice(rows, rng):
    return pd.DataFrame({"x": rng.integers(6, size=len(rows))})


def test_rejection_fills_requests_in_their_order():
    wanted = np.array([0, 5, 5, 3, 0, 1])
    groups = np.unique(wanted, return_inverse=True)[1]
    for pooled in (False, True):
        sampler = RejectionSampler(
            dice,
            lambda frame, rows: frame["x"].to_numpy() == wanted[rows],
            groups=groups,
            pooled=pooled,
        )
        frame, rows = sampler.sample(6, np.random.default_rng(0))
        assert frame["x"].tolist() == wanted.tolist()
        assert rows.tolist() == list(range(6))
        assert sampler.report.accepted == 6


def test_pooled_candidates_need_fewer_draws():
    wanted = np.arange(6).repeat(50)
    drawn = {}
    for pooled in (False, True):
        sampler = RejectionSampler(
            dice,
            lambda frame, rows: frame["x"].to_numpy() == wanted[rows],
            groups=wanted,
            pooled=pooled,
        )
        sampler.sample(300, np.random.default_rng(0))
        drawn[pooled] = sampler.report.drawn
    assert drawn[True] < 0.7 * drawn[False]


def test_report_counts_every_row_that_met_some_request():
    # Each candidate meets the request of the other one.
    sampler = RejectionSampler(
        lambda rows, rng: pd.DataFrame({"x": 1 - rows}),
        lambda frame, rows: frame["x"].to_numpy() == rows,
        groups=np.arange(2),
        pooled=True,
    )
    sampler.sample(2, np.random.default_rng(0))
    report = sampler.report
    assert (report.accepted, report.drawn, report.passed) == (2, 2, 2)


def test_rows_are_compared_as_they_are_kept():
    sampler = RejectionSampler(
        dice,
        lambda frame, rows: np.ones(len(frame), dtype=bool),
        finish=lambda frame, rows: frame.assign(x=7),
        distinct=lambda kept, frame: ~pd.concat([kept, frame]).duplicated().to_numpy()[len(kept) :],
        max_tries=3,
    )
    frame, rows = sampler.sample(5, np.random.default_rng(0))
    assert frame["x"].tolist() == [7]
    assert len(rows) == 1


def test_rejection_stops_after_max_tries_and_reports():
    sampler = RejectionSampler(
        dice, lambda frame, rows: np.zeros(len(frame), dtype=bool), max_tries=4
    )
    frame, rows = sampler.sample(3, np.random.default_rng(0))
    assert frame.shape == (0, 1)
    assert len(rows) == 0
    assert sampler.report.tries == 4
    assert sampler.report.acceptance == 0


def test_later_tries_draw_what_the_acceptance_calls_for():
    sizes = []

    def draw(rows, rng):
        sizes.append(len(rows))
        return dice(rows, rng)

    sampler = RejectionSampler(draw, lambda frame, rows: frame["x"].to_numpy() == 0)
    sampler.sample(600, np.random.default_rng(0))
    # the first entry is the empty table that gives the columns
    assert sizes[1] == 600
    assert 2_000 < sizes[2] < 4_500
    assert len(sizes) < 8
