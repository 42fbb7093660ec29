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
        }
    )
    frame.loc[::7, "gain"] = np.nan
    frame.loc[::9, "job"] = None
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
    ],
)
def test_clauses_on_every_type(frame, text, wanted):
    np.testing.assert_array_equal(where_clause(text, frame.columns)(frame), wanted(frame))


@pytest.mark.parametrize(
    ("text", "message"),
    [("age>old", "type int64"), ("job>a", "unordered"), ("tall=maybe", "maybe"), ("day>x", "day")],
)
def test_clauses_that_make_no_sense_are_refused(frame, text, message):
    with pytest.raises(ValueError, match=message):
        where_clause(text, frame.columns)(frame)


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
