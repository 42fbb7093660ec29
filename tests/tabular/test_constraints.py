"""Constraints: what they accept, what they refuse, and rows that keep them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from synth_estimators import IndependentColumns, SequentialCART
from synth_estimators.tabular import (
    ACTGAN,
    CTGAN,
    Condition,
    ConstrainedGenerator,
    CustomConstraint,
    FixedCombinations,
    Inequality,
    Negative,
    OneHot,
    Positive,
    Range,
    ScalarRange,
    TabularAR,
    Unique,
)
from synth_estimators.tabular._constraint_set import ConstraintSet


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    n = 300
    start = rng.integers(0, 100, n)
    city = rng.integers(0, 4, n)
    kind = rng.integers(0, 3, n)
    begin = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    return pd.DataFrame(
        {
            "start": start,
            "mid": start + rng.integers(0, 5, n),
            "end": start + 5 + rng.gamma(2.0, 3.0, n).round(2),
            "city": np.array(["Oslo", "Bergen", "Rome", "Milan"])[city],
            "country": np.array(["Norway", "Norway", "Italy", "Italy"])[city],
            "is_a": (kind == 0).astype(int),
            "is_b": kind == 1,
            "is_c": (kind == 2).astype(float),
            "begin": begin,
            "finish": begin + pd.to_timedelta(rng.integers(1, 60, n), unit="D"),
            "debt": -rng.gamma(2.0, 1.0, n),
            "id": np.arange(n),
        }
    )


def fit_sample(frame, constraints, n_samples=400, *, generator=None, **request):
    generator = IndependentColumns(random_state=0) if generator is None else generator
    model = ConstrainedGenerator(generator, constraints=constraints, random_state=0).fit(frame)
    return model, model.sample(n_samples, **request)


@pytest.mark.parametrize(
    "rule",
    [
        Inequality("start", "end"),
        Inequality("start", "end", strict=True),
        Inequality("start", "mid"),
        Inequality("begin", "finish", strict=True),
        Range("start", "mid", "end"),
        FixedCombinations(["city", "country"]),
        OneHot(["is_a", "is_b", "is_c"]),
    ],
    ids=str,
)
def test_rules_kept_by_construction_need_no_rejection(frame, rule):
    model, rows = fit_sample(frame, [rule])
    assert model._rules.rejecting == []
    assert not hasattr(model, "sampling_report_")
    assert rule.fit_check(frame).is_valid(rows).all()
    assert (rows.dtypes == frame.dtypes).all()
    assert list(rows.columns) == list(frame.columns)


@pytest.mark.parametrize(
    "rule",
    [
        Inequality("start", "mid"),
        Inequality("begin", "finish"),
        Inequality("start", "end", strict=True),
        Range("start", "mid", "end"),
        FixedCombinations(["city", "country"]),
        OneHot(["is_a", "is_b", "is_c"]),
    ],
    ids=str,
)
def test_model_columns_lead_back_to_the_table(frame, rule):
    rules = ConstraintSet([rule]).fit(frame)
    pd.testing.assert_frame_equal(rules.from_model(rules.to_model(frame)), frame, rtol=1e-9)


def test_inequality_learns_the_logarithm_of_the_gap(frame):
    rule = Inequality("start", "mid").fit_check(frame)
    model = rule.to_model(frame)
    gap = (frame["mid"] - frame["start"]).to_numpy()
    np.testing.assert_allclose(model["start to mid"], np.log(gap + 1.0))
    assert "mid" not in model


def test_chain_of_inequalities_is_kept_by_construction(frame):
    rules = [Inequality("start", "mid"), Inequality("mid", "end", strict=True)]
    for order in (rules, rules[::-1]):
        model, rows = fit_sample(frame, order)
        assert model._rules.rejecting == []
        assert (rows["start"] <= rows["mid"]).all()
        assert (rows["mid"] < rows["end"]).all()


def test_second_rule_on_a_replaced_column_is_kept_by_rejection(frame):
    rules = [Inequality("start", "end"), Inequality("mid", "end")]
    model, rows = fit_sample(frame, rules)
    assert len(model._rules.rejecting) == 1
    assert (rows["mid"] <= rows["end"]).all()
    assert 0 < model.sampling_report_.acceptance < 1


def test_missing_cells_break_no_rule_and_stay(frame):
    frame = frame[["start", "mid", "city"]].astype({"mid": "float64"})
    frame.loc[::5, "mid"] = np.nan
    model, rows = fit_sample(frame, [Inequality("start", "mid")], generator=SequentialCART())
    assert model._rules.rejecting
    assert 0.1 < rows["mid"].isna().mean() < 0.3
    assert ((rows["start"] <= rows["mid"]) | rows["mid"].isna()).all()


@pytest.mark.parametrize(
    "rule",
    [
        Positive(["start", "end"]),
        Negative("debt", strict=True),
        ScalarRange("end", 5.0, None),
        ScalarRange("begin", pd.Timestamp("2020-01-01"), pd.Timestamp("2023-01-01")),
        Unique("id"),
        Unique(["start", "id"]),
        CustomConstraint(lambda table: table["start"] <= table["end"]),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_other_rules_are_kept_by_rejection(frame, rule):
    model, rows = fit_sample(frame, [rule], 200)
    assert len(rows) == 200
    assert np.asarray(rule.is_valid(rows)).all()
    assert model.sampling_report_.accepted == 200


def test_callables_are_constraints(frame):
    def even(table):
        return table["id"] % 2 == 0

    with pytest.raises(ValueError, match=r"150 of 300 training rows break.*rows \[1, 3, 5, 7, 9\]"):
        fit_sample(frame, [even])
    _, rows = fit_sample(frame[frame["id"] % 2 == 0], [even])
    assert (rows["id"] % 2 == 0).all()


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ([Inequality("end", "start")], ValueError, "300 of 300 training rows break Inequality"),
        ([Inequality("start", "stop")], ValueError, "Unexpected column name 'stop'"),
        ([Unique("city")], ValueError, "break Unique"),
        ([OneHot(["is_a", "is_b"])], ValueError, "break OneHot"),
        ([FixedCombinations(["city"])], ValueError, "at least two columns"),
        (["city"], TypeError, "constraints must hold"),
        ([lambda table: 1], ValueError, "one bool a row"),
        ([Inequality], TypeError, "constraints must hold"),
        ([Inequality("start", "start")], ValueError, "names a column twice"),
        ([FixedCombinations(["city", "city"])], ValueError, "names a column twice"),
        ([Inequality("start", "city")], ValueError, "column 'city' has the type"),
        (
            [Inequality("start", "begin")],
            ValueError,
            "'start' holds numbers and 'begin' holds dates",
        ),
        ([Positive("begin")], ValueError, "column 'begin' has the type datetime64"),
        ([ScalarRange("city", 1, 2)], ValueError, "'city' of type .* with 1, which has another"),
        ([OneHot(["city", "country"])], ValueError, "zeros and ones or of booleans"),
        (
            [CustomConstraint(lambda t: t["id"] >= 0, to_model=np.asarray, from_model=abs)],
            ValueError,
            "to_model of .* must return a data frame",
        ),
        ([CustomConstraint(lambda t: t["id"] >= 0, to_model=abs)], ValueError, "both to_model"),
    ],
)
def test_constraints_that_do_not_fit_are_refused(frame, rules, error, message):
    with pytest.raises(error, match=message):
        fit_sample(frame, rules)


def test_custom_constraint_by_construction(frame):
    rule = CustomConstraint(
        lambda table: table["start"] + 5 <= table["end"],
        to_model=lambda table: table.assign(end=table["end"] - table["start"] - 5),
        from_model=lambda table: table.assign(end=table["end"] + table["start"] + 5),
        columns=["start", "end"],
    )
    # the smallest gap is a little above 5, so rounding cannot cross the line
    model, rows = fit_sample(frame, [rule])
    assert model._rules.rejecting == []
    assert (rows["start"] + 5 <= rows["end"] + 1e-9).all()


def fit_gan(frame, **settings):
    layers = {"generator_hidden": (8,), "critic_hidden": (8,), "latent_dim": 2}
    return ACTGAN(**layers, max_epochs=0, random_state=0, **settings).fit(frame)


@pytest.mark.parametrize(
    "rule", [Inequality(0, 1), OneHot([2, 3]), FixedCombinations([2, 3])], ids=str
)
@pytest.mark.parametrize("as_array", [True, False])
def test_columns_without_names_are_kept_by_construction(rule, as_array):
    rng = np.random.default_rng(0)
    low, one = rng.integers(0, 20, 60), rng.integers(0, 2, 60)
    table = np.column_stack([low, low + rng.integers(0, 5, 60), one, 1 - one])
    X = table if as_array else pd.DataFrame(table)
    for model in (fit_gan(X, constraints=[rule]), fit_sample(X, [rule], 1)[0]):
        assert model._rules.rejecting == []
        rows = pd.DataFrame(model.sample(40))
        assert rule.fit_check(pd.DataFrame(table)).is_valid(rows).all()


def test_labels_of_model_columns_do_not_hide_columns(frame):
    table = frame[["start", "mid", "city", "country"]].assign(
        **{"start to mid": 1.5, "city + country": "x"}
    )
    rules = [Inequality("start", "mid"), FixedCombinations(["city", "country"])]
    _, rows = fit_sample(table, rules, 50)
    assert list(rows.columns) == list(table.columns)
    assert (rows["start to mid"] == 1.5).all()
    assert (rows["city + country"] == "x").all()


def test_one_hot_with_missing_cells_is_kept_by_rejection(frame):
    table = frame[["is_a", "is_b", "is_c", "start"]].astype(float)
    table.loc[::5, "is_b"] = np.nan
    model, rows = fit_sample(table, [OneHot(["is_a", "is_b", "is_c"])])
    assert model._rules.rejecting
    assert 0.1 < rows["is_b"].isna().mean() < 0.4
    block = rows[["is_a", "is_b", "is_c"]]
    assert (block.sum(axis=1)[block.notna().all(axis=1)] == 1).all()
    assert (block.sum(axis=1) <= 1).all()


def test_missing_verdicts_of_a_function_break_no_rule(frame):
    table = frame[["start", "mid"]].astype("Int64")
    table.loc[::5, "mid"] = pd.NA
    _, rows = fit_sample(table, [lambda t: t["start"] <= t["mid"]], 100)
    assert rows["mid"].isna().any()


def test_functions_are_named_in_messages(frame):
    def is_even(table):
        return table["id"] % 2 == 0

    with pytest.raises(ValueError, match=r"break CustomConstraint\(.*is_even\)"):
        fit_sample(frame, [is_even])


def test_forced_conditions_keep_the_rules(frame):
    table = frame[["city", "country", "start", "end"]]
    rules = [FixedCombinations(["city", "country"]), Inequality("start", "end")]
    options = {"conditional_vector_type": "anyway", "conditional_select_column_prob": 0.3}
    model = fit_gan(table, constraints=rules, force_conditioning=True, **options)
    low = table["end"].quantile(0.3)
    rows = model.sample(40, conditions={"city": "Rome", "end": low})
    assert (rows["country"] == "Italy").all()
    assert (rows["end"] == low).all()
    assert (rows["start"] <= rows["end"]).all()


def test_forced_conditions_have_a_report_of_their_own(frame):
    model = fit_gan(frame[["city", "start"]], force_conditioning=True)
    model.sample(10, where="start>=50")
    assert model.sampling_report_.drawn > 10
    model.sample(4, conditions={"city": "Rome"})
    report = model.sampling_report_
    assert (report.requested, report.accepted, report.drawn) == (4, 4, 4)


def test_conditions_that_break_a_rule_are_refused_at_once(frame):
    table = frame[["city", "country", "start"]]
    rules = [FixedCombinations(["city", "country"])]
    options = {"conditional_vector_type": "anyway", "conditional_select_column_prob": 0.3}
    wanted = table[["city", "country"]].head(4).copy()
    wanted.iloc[1] = ["Rome", "Norway"]
    for model in (fit_gan(table, constraints=rules, **options), fit_sample(table, rules, 1)[0]):
        with pytest.raises(ValueError, match=r"city='Rome', country='Norway' \(which break"):
            model.sample(3, conditions={"city": "Rome", "country": "Norway"})
        with pytest.warns(UserWarning, match=r"Only 3 of 4 rows .*\(which break Fixed"):
            rows = model.sample(4, conditions=wanted)
        assert rows["city"].tolist() == wanted["city"].iloc[[0, 2, 3]].tolist()
        with pytest.warns(UserWarning, match="1 of 4 rows of known"):
            assert model.sample_remaining_columns(wanted).index.tolist() == [0, 2, 3]
        forced = model.sample_remaining_columns(wanted, on_failure="force")
        pd.testing.assert_frame_equal(forced[["city", "country"]], wanted)


def test_unique_holds_after_wanted_values_are_written(frame):
    table = pd.DataFrame({"x": np.linspace(1, 2, 200), "g": ["a", "b"] * 100})
    model = ConstrainedGenerator(
        IndependentColumns(random_state=0), constraints=[Unique("x")], random_state=0
    ).fit(table)
    with pytest.warns(UserWarning, match="Only 1 of 2 rows"):
        assert model.sample(2, conditions={"x": 1.5}, max_tries=5)["x"].tolist() == [1.5]
    wanted = [Condition({"x": 1.5}), Condition({"x": 1.5, "g": "a"})]
    with pytest.warns(UserWarning, match="Only 1 of 2 rows"):
        assert model.sample_conditions(wanted, max_tries=5)["x"].tolist() == [1.5]


def test_unique_holds_over_all_chunks(frame):
    model, _ = fit_sample(frame[["id", "start"]], [Unique("id")], 1)
    chunks = list(model.sample_iter(90, chunk_size=20, random_state=0))
    assert [len(chunk) for chunk in chunks] == [20, 20, 20, 20, 10]
    assert pd.concat(chunks)["id"].is_unique


def test_forced_rows_keep_rules_where_some_candidate_does(frame):
    table = frame[["start", "mid", "is_a"]]
    model, _ = fit_sample(table, [Inequality("start", "mid")], 1)
    known = pd.DataFrame({"mid": [60] * 20, "is_a": 1})
    rows = model.sample_remaining_columns(known, max_tries=1, batch_size=1, on_failure="force")
    assert (rows["start"] <= 60).all()


def test_unique_request_that_cannot_be_met_returns_fewer_rows(frame):
    model = ConstrainedGenerator(
        IndependentColumns(random_state=0), constraints=[Unique("id")], random_state=0
    ).fit(frame.head(20)[["id", "start"]])
    with pytest.warns(UserWarning, match="Only .* of 40 rows"):
        rows = model.sample(40, max_tries=5)
    assert rows["id"].is_unique
    assert 10 < len(rows) <= 20


def test_constraints_are_not_changed_by_fit(frame):
    rules = [Inequality("start", "end"), FixedCombinations(["city", "country"])]
    before = [dict(vars(rule)) for rule in rules]
    model, _ = fit_sample(frame, rules)
    assert [dict(vars(rule)) for rule in rules] == before
    assert model.constraints_ == rules
    assert clone(model).constraints == rules


# Conditions on any generator


@pytest.fixture(scope="module")
def model(frame):
    rules = [Inequality("start", "end"), FixedCombinations(["city", "country"])]
    generator = SequentialCART(random_state=0)
    return ConstrainedGenerator(generator, constraints=rules, random_state=0).fit(frame)


def test_conditions_and_clauses_together(model):
    rows = model.sample(50, conditions={"country": "Italy"}, where=["start>=20", "is_b=true"])
    assert len(rows) == 50
    assert (rows["country"] == "Italy").all()
    assert (rows["start"] >= 20).all()
    assert rows["is_b"].all()
    assert rows["city"].isin(["Rome", "Milan"]).all()


def test_float_and_date_conditions_are_set_exactly(model, frame):
    goal = {"end": frame["end"].median(), "begin": frame["begin"].median().normalize()}
    for label, value in goal.items():
        rows = model.sample(5, conditions={label: value}, float_rtol=0.05)
        assert (rows[label] == value).all()


def test_conditions_row_by_row(model):
    wanted = pd.DataFrame({"city": ["Rome", "Oslo", "Rome", "Bergen"] * 5})
    rows = model.sample(20, conditions=wanted)
    assert rows["city"].tolist() == wanted["city"].tolist()
    assert rows["country"].tolist() == ["Italy", "Norway", "Italy", "Norway"] * 5


def test_sample_conditions_keeps_the_order(model):
    rows = model.sample_conditions(
        [
            Condition({"city": "Rome"}, 3),
            Condition({"is_b": True, "country": "Norway"}, 2),
            Condition({"city": "Oslo"}),
        ]
    )
    assert rows["country"].tolist() == ["Italy"] * 3 + ["Norway"] * 3
    assert rows["city"].iloc[[0, 5]].tolist() == ["Rome", "Oslo"]
    assert rows["is_b"].iloc[3:5].all()


def test_remaining_columns_keep_order_index_and_values(model, frame):
    known = frame[["city", "is_b"]].sample(30, random_state=0)
    rows = model.sample_remaining_columns(known)
    pd.testing.assert_frame_equal(rows[["city", "is_b"]], known)
    assert list(rows.columns) == list(frame.columns)


def test_remaining_columns_that_are_not_found(model, frame):
    known = pd.DataFrame({"city": ["Rome"] * 2, "id": [3, 4], "start": [99, 1]}, index=["p", "q"])
    options = {"max_tries": 1, "batch_size": 2}
    with pytest.warns(UserWarning, match="2 of 2 rows of known"):
        assert len(model.sample_remaining_columns(known, **options)) == 0
    with pytest.raises(ValueError, match=r"rows \['p', 'q'\]"):
        model.sample_remaining_columns(known, on_failure="raise", **options)
    rows = model.sample_remaining_columns(known, on_failure="force", **options)
    pd.testing.assert_frame_equal(rows[list(known.columns)], known)
    with pytest.raises(ValueError, match="Unexpected column name 'town'"):
        model.sample_remaining_columns(known.rename(columns={"city": "town"}))


def test_impossible_request_names_it_and_says_what_to_do(model):
    with pytest.raises(ValueError, match="Unable to sample any rows with city='Rome', country="):
        model.sample(3, conditions={"city": "Rome", "country": "Norway"}, max_tries=3)


def test_output_file_holds_the_rows_and_is_not_overwritten(model, tmp_path):
    path = tmp_path / "rows.csv"
    rows = model.sample(30, where="city=Rome", output_file_path=path)
    written = pd.read_csv(path)
    assert sorted(written["id"]) == sorted(rows["id"])
    with pytest.raises(FileExistsError, match="exists"):
        model.sample(1, output_file_path=path)


def test_options_are_checked(model):
    for options in ({"max_tries": 0}, {"batch_size": 0}, {"float_rtol": -1.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            model.sample(2, where="city=Rome", **options)
    with pytest.raises(ValueError, match="n_samples must be an integer, got None"):
        model.sample(None)


def test_same_seed_same_rows_and_global_generators_untouched(model):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = model.sample(20, where="is_b=true", random_state=3)
    pd.testing.assert_frame_equal(first, model.sample(20, where="is_b=true", random_state=3))
    assert not first.equals(model.sample(20, where="is_b=true", random_state=4))
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_chunks_meet_the_request(model):
    chunks = list(model.sample_iter(25, where="city=Rome", chunk_size=10, random_state=0))
    assert [len(chunk) for chunk in chunks] == [10, 10, 5]
    assert (pd.concat(chunks)["city"] == "Rome").all()


def test_conditions_in_lists_and_other_containers_run_through_chunks(model):
    wanted = [Condition({"city": "Rome"}, 3), Condition({"city": "Oslo"}, 2)]
    chunks = list(model.sample_iter(5, conditions=wanted, chunk_size=2, random_state=0))
    assert pd.concat(chunks)["city"].tolist() == ["Rome"] * 3 + ["Oslo"] * 2
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"city": ["Rome", "Oslo", "Rome"]})
    assert model.sample(3, conditions=table)["city"].tolist() == ["Rome", "Oslo", "Rome"]
    chunks = model.sample_iter(3, conditions=table, chunk_size=2, random_state=0)
    assert pd.concat(chunks)["city"].tolist() == ["Rome", "Oslo", "Rome"]
    assert model.sample(0, conditions=[]).shape == (0, len(model._known.labels))


def test_one_report_of_all_conditions_and_one_verdict(model):
    lists = [Condition({"city": "Rome"}, 3), Condition({"is_b": True, "id": 7, "start": 0}, 2)]
    with pytest.warns(UserWarning, match="Only 3 of 5 rows .* is_b=True, id=7, start=0"):
        rows = model.sample_conditions(lists, max_tries=2, batch_size=5)
    assert rows["city"].tolist() == ["Rome"] * 3
    report = model.sampling_report_
    assert (report.requested, report.accepted) == (5, 3)
    assert report.tries > 2


def test_known_rows_of_all_or_no_columns(model, frame):
    whole = frame.sample(5, random_state=0)
    pd.testing.assert_frame_equal(model.sample_remaining_columns(whole), whole)
    none = pd.DataFrame(index=["a", "a", 3])
    rows = model.sample_remaining_columns(none)
    assert rows.index.tolist() == ["a", "a", 3]
    assert list(rows.columns) == list(frame.columns)


def test_completed_rows_are_written(model, tmp_path):
    path = tmp_path / "rows.csv"
    rows = model.sample_remaining_columns(
        pd.DataFrame({"city": ["Rome", "Oslo"]}), output_file_path=path
    )
    assert pd.read_csv(path)["id"].tolist() == rows["id"].tolist()


def test_files_are_checked_before_rows_are_drawn(model, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.touch()
    monkeypatch.setattr(model, "_candidates", None)
    with pytest.raises(FileExistsError, match="exists"):
        model.sample_conditions([Condition({"city": "Rome"})], output_file_path=path)
    with pytest.raises(FileNotFoundError, match="folder of output_file_path"):
        model.sample(3, output_file_path=tmp_path / "none" / "rows.csv")


def test_file_holds_the_primary_key(frame, tmp_path):
    path = tmp_path / "rows.csv"
    model = fit_gan(frame[["id", "city", "start"]], primary_key="id")
    model.sample(6, where="start>=20", output_file_path=path)
    written = pd.read_csv(path)
    assert list(written.columns) == ["id", "city", "start"]
    assert written["id"].tolist() == list(range(6))


def test_ranges_are_refused_by_all_generators(frame):
    table = frame[["start", "city"]]
    layers = {"generator_hidden": (8,), "critic_hidden": (8,), "latent_dim": 2}
    models = [
        TabularAR(max_epochs=1, hidden=(8,), small_table=False, random_state=0),
        CTGAN(**layers, max_epochs=0, random_state=0),
    ]
    for model in models:
        with pytest.raises(ValueError, match="outside the range seen during fit, 0 to 99"):
            model.fit(table).sample(2, conditions={"start": 500})
