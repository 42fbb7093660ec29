"""Sequential trees on tables of all kinds."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synth_estimators.baselines import SequentialCART
from synth_estimators.baselines._cart_columns import ValueColumn
from synth_estimators.metrics import membership_auc

BOTH = pytest.mark.parametrize("privacy", ["private", "classic"])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mixed(rng):
    """Every kind of column, with dependence and missing cells that occur together."""
    n = 600
    group = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    dose = np.round(rng.gamma(2, 3, n) + 10 * (group == "b"), 2)
    gone = rng.random(n) < np.where(group == "c", 0.5, 0.05)
    frame = pd.DataFrame(
        {
            "group": pd.Categorical(group, categories=["c", "b", "a", "unused"]),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), "D"),
            "dose": dose,
            "visits": rng.poisson(3, n),
            "smoker": rng.random(n) < 0.3,
            "answer": np.where(gone, None, rng.choice(["yes", "no"], n)),
            "level": np.where(gone, np.nan, dose + rng.normal(size=n)),
            "count": pd.array(np.where(gone, None, rng.integers(0, 9, n)), dtype="Int64"),
        }
    )
    return frame.set_index(np.arange(n) + 50)


@BOTH
def test_mixed_table_comes_back_in_kind(mixed, privacy):
    rows = SequentialCART(privacy=privacy, random_state=0).fit(mixed).sample(300)
    assert rows.dtypes.tolist() == mixed.dtypes.tolist()
    assert rows.columns.tolist() == mixed.columns.tolist()
    assert rows["group"].cat.categories.tolist() == ["c", "b", "a", "unused"]
    for name in mixed:
        assert set(rows[name].dropna()) <= set(mixed[name].dropna())


@BOTH
def test_missing_cells_come_back_at_the_training_rate_and_together(mixed, privacy):
    rows = SequentialCART(privacy=privacy, random_state=0).fit(mixed).sample(3000)
    share = mixed["level"].isna().mean()
    # three standard errors of both tables
    margin = 3 * np.sqrt(share * (1 - share) * (1 / 600 + 1 / 3000))
    missing = rows[["answer", "level", "count"]].isna()
    assert missing["level"].mean() == pytest.approx(share, abs=margin)
    assert (missing["level"] == missing["answer"]).mean() > 0.99
    assert (missing["level"] == missing["count"]).mean() > 0.99
    by_group = missing["level"].groupby(rows["group"].astype(str)).mean()
    assert by_group["c"] > 0.4
    assert by_group["a"] < 0.15


@BOTH
def test_dependence_is_kept(mixed, privacy):
    rows = SequentialCART(privacy=privacy, random_state=0).fit(mixed).sample(2000)
    real = mixed[["dose", "level"]].corr(method="spearman").iloc[0, 1]
    drawn = rows[["dose", "level"]].corr(method="spearman").iloc[0, 1]
    assert drawn == pytest.approx(real, abs=0.06)
    means = rows.groupby(rows["group"].astype(str))["dose"].mean()
    assert means["b"] - means["a"] == pytest.approx(10, abs=1.5)


def test_independent_columns_stay_so(rng):
    X = rng.normal(size=(1000, 2))
    rows = SequentialCART(random_state=0).fit(X).sample(2000)
    # the standard error of a correlation of the 1000 training rows is 0.03
    assert np.corrcoef(rows.T)[0, 1] == pytest.approx(np.corrcoef(X.T)[0, 1], abs=0.1)
    assert stats.ks_2samp(rows[:, 0], X[:, 0]).pvalue > 0.01


def test_rows_do_not_depend_on_the_scale_of_numbers(rng):
    X = rng.normal(size=(200, 3))
    X[:, 2] += X[:, 0]
    rows = SequentialCART(random_state=0).fit(X).sample(100)
    tiny = SequentialCART(random_state=0).fit(1e-12 * X).sample(100)
    np.testing.assert_allclose(tiny, 1e-12 * rows)


def test_spikes_constants_and_few_values(rng):
    X = pd.DataFrame(
        {
            "money": np.where(rng.random(2000) < 0.9, 0.0, rng.gamma(2, 100, 2000)),
            "constant": 7,
            "three": rng.choice([1, 5, 9], 2000),
        }
    )
    rows = SequentialCART(random_state=0).fit(X).sample(10_000)
    assert (rows["money"] == 0).mean() == pytest.approx((X["money"] == 0).mean(), abs=0.01)
    assert (rows["constant"] == 7).all()
    assert set(rows["three"]) == {1, 5, 9}


@pytest.mark.parametrize("n_samples", [2, 10, 50])
@BOTH
def test_few_rows(mixed, privacy, n_samples):
    cart = SequentialCART(privacy=privacy, random_state=0).fit(mixed.head(n_samples))
    assert cart.sample(20).shape == (20, 8)


@BOTH
def test_columns_without_any_value_stay_empty(privacy):
    X = pd.DataFrame({"a": [1.0, 2, 3, 4] * 5, "b": np.nan, "c": [None] * 20})
    rows = SequentialCART(privacy=privacy, random_state=0).fit(X).sample(9)
    assert rows[["b", "c"]].isna().all(axis=None)
    assert rows["a"].notna().all()


# Order, look-ups and settings


def test_discrete_target_is_drawn_first_and_numeric_last(mixed):
    columns = mixed.columns.tolist()
    first = SequentialCART(target="smoker", random_state=0).fit(mixed)
    assert first.column_order_[0] == "smoker"
    assert first.column_order_[1:] == [name for name in columns if name != "smoker"]
    last = SequentialCART(target="dose", random_state=0).fit(mixed)
    assert last.column_order_[-1] == "dose"


def test_cardinality_order(mixed):
    cart = SequentialCART(column_order="cardinality", target="visits", random_state=0).fit(mixed)
    assert cart.column_order_[0] == "visits"
    counts = mixed.nunique(dropna=False)[cart.column_order_[1:]].tolist()
    assert counts == sorted(counts)


def test_listed_columns_come_first(mixed):
    cart = SequentialCART(column_order=["dose", "group"], random_state=0).fit(mixed)
    rest = [name for name in mixed if name not in ("dose", "group")]
    assert cart.column_order_ == ["dose", "group", *rest]


def test_columns_of_arrays_are_named_by_position(rng):
    cart = SequentialCART(target=1, column_order=[2], random_state=0).fit(rng.normal(size=(50, 3)))
    assert cart.column_order_ == [2, 0, 1]


@pytest.fixture
def coded(rng):
    school = rng.integers(0, 8, 500)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 60, 500),
            "school": np.array(list("ABCDEFGH"))[school],
            "years": school * 2 + 1,
            "high": school > 5,
        }
    )


@BOTH
def test_determined_columns_are_looked_up(coded, privacy):
    cart = SequentialCART(privacy=privacy, random_state=0).fit(coded)
    assert cart.determined_by_ == {"high": "years", "school": "years"}
    assert cart.column_order_ == ["age", "years"]
    names = ["school", "years", "high"]
    drawn = set(cart.sample(20_000)[names].itertuples(index=False, name=None))
    assert drawn <= set(coded[names].itertuples(index=False, name=None))


def test_target_is_never_looked_up(coded):
    cart = SequentialCART(target="high", random_state=0).fit(coded)
    assert "high" not in cart.determined_by_


def test_columns_listed_before_the_one_that_determines_them_are_drawn(coded):
    early = SequentialCART(column_order=["high"], random_state=0).fit(coded)
    assert early.determined_by_ == {"school": "years"}
    whole = ["age", "years", "school", "high"]
    late = SequentialCART(column_order=whole, random_state=0).fit(coded)
    assert late.determined_by_ == {"high": "years", "school": "years"}


def test_presets_and_what_wins_over_them(mixed):
    def settings(**params):
        forest = SequentialCART(random_state=0, **params).fit(mixed)._forests[-1]
        return forest.n_trees, forest.honest, forest.min_samples_leaf, forest.backoff

    assert settings() == (10, True, 5, 5.0)
    assert settings(privacy="classic") == (1, False, 5, 0.0)
    assert settings(privacy="classic", backoff=2.0, min_samples_leaf=9) == (1, False, 9, 2.0)
    assert settings(honest=False, n_trees=3) == (3, False, 5, 5.0)


def test_infinite_backoff_makes_columns_independent(rng):
    x = rng.normal(size=2000)
    rows = SequentialCART(backoff=np.inf, random_state=0).fit(np.c_[x, x]).sample(4000)
    # four standard errors
    assert abs(np.corrcoef(rows.T)[0, 1]) < 0.065


def test_listed_discrete_columns_are_levels(rng):
    X = pd.DataFrame({"code": rng.choice([10, 20, 30], 300), "size": rng.normal(size=300)})
    assert SequentialCART().fit(X)._columns[0].coded.n_levels == 0
    assert SequentialCART(discrete_columns=["code"]).fit(X)._columns[0].coded.n_levels == 3
    assert SequentialCART(discrete_columns=[True, False]).fit(X)._columns[0].coded.n_levels == 3


def test_private_rows_give_away_less_than_classic_ones(rng):
    factors = rng.normal(size=(1200, 2)) @ rng.normal(size=(2, 6))
    X = factors + 0.3 * rng.normal(size=(1200, 6))
    train, holdout = X[:600], X[600:]

    def leak(privacy):
        rows = SequentialCART(privacy=privacy, random_state=0).fit(train).sample(3000)
        return membership_auc(X_train=train, X_holdout=holdout, X_synth=rows, random_state=0)

    # the standard error of an AUC of 600 against 600 is 0.017
    assert leak("classic") > leak("private") + 0.03


# Seeds and parallel work


def test_result_does_not_depend_on_n_jobs(mixed):
    serial = SequentialCART(random_state=3).fit(mixed).sample(50)
    threads = SequentialCART(random_state=3, n_jobs=2).fit(mixed).sample(50)
    pd.testing.assert_frame_equal(serial, threads)


def test_sampling_leaves_the_model_as_it_is(mixed):
    cart = SequentialCART(random_state=0, smooth="quantile").fit(mixed)
    before = cart.sample(20)
    cart.sample(10, conditions={"group": "a"})
    pd.testing.assert_frame_equal(cart.sample(20), before)


def test_pickled_model_samples_the_same_rows(mixed):
    cart = SequentialCART(random_state=0).fit(mixed)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(cart)).sample(30), cart.sample(30))


def test_halves_of_the_rows_differ_between_columns(mixed):
    forests = SequentialCART(random_state=0).fit(mixed)._forests[1:]
    halves = {tuple(np.sort(forest.trees_[0]._donors)) for forest in forests}
    assert len(halves) == len(forests)


# Dithering


def test_dithered_values_are_new_and_keep_the_margin(rng):
    X = pd.DataFrame({"x": rng.normal(size=2000), "n": rng.integers(0, 20, 2000)})
    X.loc[:299, "x"] = 0.0
    plain = SequentialCART(random_state=0).fit(X).sample(4000)
    rows = SequentialCART(smooth="quantile", random_state=0).fit(X).sample(4000)
    assert plain["x"].isin(X["x"]).all()
    assert not rows.loc[rows["x"] != 0, "x"].isin(X["x"]).any()
    assert (rows["x"] == 0).mean() == pytest.approx(0.15, abs=0.025)
    assert stats.ks_2samp(rows["x"], X["x"]).pvalue > 0.01
    assert rows["n"].isin(range(20)).all()


def test_dithered_values_stay_near_those_of_the_donors(rng):
    values = pd.Series(rng.exponential(size=3000))
    cells, moved = ValueColumn(values, smooth=True).dithered(np.arange(3000), rng)
    # noise of a tenth of a standard deviation
    assert 0.985 < stats.spearmanr(values, moved)[0] < 0.999
    assert 0.985 < stats.spearmanr(cells, values)[0] < 0.999
    np.testing.assert_array_equal(np.argsort(cells), np.argsort(np.asarray(moved)))
    assert np.std(moved) == pytest.approx(values.std(), rel=0.05)


def test_values_that_repeat_are_not_dithered(rng):
    X = pd.DataFrame({"step": 10 * rng.integers(0, 150, 400), "x": rng.normal(size=400)})
    rows = SequentialCART(smooth="quantile", random_state=0).fit(X).sample(500)
    assert rows["step"].isin(X["step"]).all()


def test_dithered_values_keep_decimals_range_and_missing_cells(rng):
    X = pd.DataFrame({"x": np.round(rng.normal(0, 100, 400), 2), "y": rng.normal(size=400)})
    X.loc[rng.random(400) < 0.2, "y"] = np.nan
    rows = SequentialCART(smooth="quantile", random_state=0).fit(X).sample(1000)
    np.testing.assert_allclose(rows["x"], rows["x"].round(2), atol=1e-9)
    assert rows["x"].between(X["x"].min(), X["x"].max()).all()
    assert rows["y"].isna().mean() == pytest.approx(0.2, abs=0.06)


# Conditions


def test_conditions_on_the_first_columns(mixed):
    cart = SequentialCART(column_order=["group", "dose"], random_state=0).fit(mixed)
    rows = cart.sample(500, conditions={"group": "c"})
    assert (rows["group"] == "c").all()
    assert rows["level"].isna().mean() > 0.35
    assert rows.dtypes.tolist() == mixed.dtypes.tolist()
    rows = cart.sample(300, conditions={"dose": 11.25, "group": "b"})
    assert (rows["dose"] == 11.25).all()
    near = mixed["level"][(mixed["dose"] - 11.25).abs() < 4].mean()
    assert rows["level"].mean() == pytest.approx(near, abs=1)


def test_conditions_one_a_row(mixed):
    wanted = pd.DataFrame({"group": ["a", "b", "c"] * 40})
    cart = SequentialCART(random_state=0).fit(mixed)
    rows = cart.sample(120, conditions=wanted)
    assert rows["group"].astype(str).tolist() == wanted["group"].tolist()
    chunks = pd.concat(cart.sample_iter(120, conditions=wanted, chunk_size=50))
    assert chunks["group"].astype(str).tolist() == wanted["group"].tolist()


def test_conditions_on_dates_and_missing_cells(mixed):
    cart = SequentialCART(column_order=["when", "level"], random_state=0).fit(mixed)
    rows = cart.sample(5, conditions={"when": "2024-03-05", "level": None})
    assert (rows["when"] == pd.Timestamp("2024-03-05")).all()
    assert rows["level"].isna().all()
    assert rows["when"].dtype == mixed["when"].dtype


def test_conditioned_column_hands_on_what_follows_from_it(coded):
    cart = SequentialCART(column_order=["years"], random_state=0).fit(coded)
    rows = cart.sample(4, conditions={"years": 15})
    assert rows["school"].tolist() == ["H"] * 4
    assert rows["high"].all()


def test_conditions_that_cannot_be_met(mixed, coded):
    cart = SequentialCART(column_order=["group", "level"], random_state=0).fit(mixed)
    for conditions, message in [
        ({"nonsense": 1}, "Unknown condition column 'nonsense'"),
        ({"dose": 1}, r"the order is \['group', 'level', .*fit with column_order=\['dose'\]"),
        ({"level": 1}, "need these columns to be drawn first"),
        ({"group": "z"}, "Unknown condition 'z' for column 'group'; seen during fit"),
        ({"group": "a", "level": np.inf}, "'level' holds infinite values"),
        ({"group": "a", "level": "much"}, "'level' has dtype float64, got 'much'"),
        ({"group": ["a", "b"]}, "2 rows but 3 are wanted"),
    ]:
        with pytest.raises(ValueError, match=message):
            cart.sample(3, conditions=conditions)
    first = SequentialCART(column_order=["dose"], random_state=0).fit(mixed)
    with pytest.raises(ValueError, match="'dose' holds missing values"):
        first.sample(1, conditions={"dose": None})
    with pytest.raises(ValueError, match="'school' is looked up from 'years'"):
        SequentialCART(random_state=0).fit(coded).sample(1, conditions={"school": "A"})


# Bad input


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"target": "income"}, "target names 'income', which is not a column of X"),
        ({"column_order": ["dose", "income"]}, "column_order names 'income'"),
        ({"column_order": ["dose", "dose"]}, "column_order names a column twice"),
        ({"column_order": "dose"}, "column_order.*must be a str among"),
        ({"discrete_columns": ["income"]}, "discrete_columns names 'income'"),
    ],
)
def test_names_that_are_not_there(mixed, params, message):
    with pytest.raises(ValueError, match=message):
        SequentialCART(**params).fit(mixed)


# Real tables


@pytest.fixture(scope="module")
def adult(data_folder):
    table = pd.read_csv(data_folder / "tabular" / "adult.csv")
    order = np.random.RandomState(0).permutation(len(table))
    n_train = int(0.7 * len(table))
    return table.iloc[order[:n_train]], table.iloc[order[n_train:]]


@pytest.mark.slow
def test_quality_on_adult(adult):
    from synth_estimators.metrics import c2st_auc

    train, holdout = adult
    leak = {}
    for privacy in ("private", "classic"):
        cart = SequentialCART(privacy=privacy, target="income", random_state=0).fit(train)
        assert cart.determined_by_ == {"education": "education-num"}
        rows = cart.sample(len(train))
        leak[privacy] = membership_auc(
            X_train=train, X_holdout=holdout, X_synth=rows, max_rows=5000, random_state=0
        )
        auc = c2st_auc(holdout.head(4000), rows.head(4000), random_state=0)
        assert auc <= 0.55
    assert leak["private"] <= 0.53 <= leak["classic"]
    pairs = ["education", "education-num"]
    drawn = rows[pairs].drop_duplicates()
    assert len(drawn.merge(train[pairs].drop_duplicates())) == len(drawn)


@pytest.mark.slow
def test_flights_with_dates_codes_and_cells_missing_together(data_folder):
    table = pd.read_csv(data_folder / "tabular" / "flights15k.csv", parse_dates=["time_hour"])
    rows = SequentialCART(target="arr_delay", random_state=0).fit(table).sample(len(table))
    assert rows.dtypes.tolist() == table.dtypes.tolist()
    assert (rows["year"] == 2013).all()
    share = table["arr_delay"].isna().mean()
    margin = 3 * np.sqrt(2 * share * (1 - share) / len(table))
    assert rows["arr_delay"].isna().mean() == pytest.approx(share, abs=margin)
    together = rows[["arr_delay", "air_time"]].isna()
    assert (together["arr_delay"] == together["air_time"]).mean() > 0.998
    assert rows["tailnum"].nunique() > 2000
    clock = rows["sched_dep_time"]
    assert (clock // 100 == rows["hour"]).all()
    assert (clock % 100 == rows["minute"]).all()
