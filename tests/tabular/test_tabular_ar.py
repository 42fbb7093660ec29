import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, kstest

from synth_estimators.tabular._conditions import Condition
from synth_estimators.tabular._constraints import Inequality
from synth_estimators.tabular._tabular_ar import TabularAR

QUICK = {"hidden": (16, 16), "max_epochs": 12, "small_table": False, "random_state": 0}


# Rows


def test_independent_columns_stay_independent():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=2_000), "g": rng.choice(list("abc"), 2_000)})
    rows = TabularAR(**QUICK).fit(X).sample(2_000)
    assert kstest(rows["x"], X["x"]).pvalue > 0.01
    table = pd.crosstab(pd.qcut(rows["x"], 4), rows["g"])
    assert chi2_contingency(table).pvalue > 0.01


def test_dependence_is_learned(mixed, fitted):
    rows = fitted.sample(3_000)
    means = rows.groupby("group", observed=True)["amount"].mean()
    assert means["b"] - means["a"] == pytest.approx(4.0, abs=0.4)
    # within 4 standard errors of the shares
    expected = mixed["group"].value_counts(normalize=True)
    np.testing.assert_allclose(
        rows["group"].value_counts(normalize=True)[expected.index], expected, atol=0.08
    )


def test_rows_come_back_in_dtypes_and_decimals(mixed, fitted):
    rows = fitted.sample(500)
    pd.testing.assert_series_equal(rows.dtypes, mixed.dtypes)
    assert rows["group"].cat.categories.tolist() == ["c", "b", "a"]
    np.testing.assert_allclose(rows["amount"], rows["amount"].round(2))
    assert rows["count"].isin(range(5)).all()
    assert (rows["when"] == rows["when"].dt.normalize()).all()
    assert rows["amount"].between(mixed["amount"].min(), mixed["amount"].max()).all()


def test_missing_cells_come_at_the_training_rate(mixed, fitted):
    rows = fitted.sample(4_000)
    for name in ("group", "level"):
        share = mixed[name].isna().mean()
        # three standard errors of the training share and of the sampled one
        error = 3 * np.sqrt(share * (1 - share) * (1 / 600 + 1 / 4_000))
        assert rows[name].isna().mean() == pytest.approx(share, abs=error)


def test_spikes_and_constants():
    rng = np.random.default_rng(0)
    money = np.where(rng.random(1_000) < 0.9, 0.0, np.round(rng.lognormal(5, 1, 1_000), 2))
    X = pd.DataFrame({"money": money, "same": 7, "three": rng.choice([1.5, 2.5, 9.0], 1_000)})
    rows = TabularAR(**QUICK).fit(X).sample(10_000)
    assert (rows["money"] == 0).mean() == pytest.approx((money == 0).mean(), abs=0.01)
    assert (rows["same"] == 7).all()
    assert sorted(rows["three"].unique()) == [1.5, 2.5, 9.0]


def test_determined_columns_are_looked_up(mixed, fitted, small):
    assert fitted.determined_by_ == {"group": "code"}
    known = set(zip(mixed["group"].astype(str), mixed["code"].astype(str), strict=True))
    for model in (fitted, small):
        rows = model.sample(5_000)
        pairs = set(zip(rows["group"].astype(str), rows["code"].astype(str), strict=True))
        assert pairs <= known


def test_order_of_the_columns(mixed):
    settings = {**QUICK, "max_epochs": 1}
    by_label = TabularAR(target="group", **settings).fit(mixed).column_order_
    assert by_label[-1] == "group"
    small = TabularAR(target="group", **{**settings, "small_table": True}).fit(mixed)
    assert small.column_order_[0] == "group"
    smooth = mixed.assign(other=np.random.default_rng(0).normal(size=len(mixed)))
    smooth = smooth[["amount", "group", "other"]]
    settings_of_smooth = {**settings, "max_levels": 20}
    assert TabularAR(target="group", **settings_of_smooth).fit(smooth).column_order_[0] == "group"
    by_number = TabularAR(target="amount", **settings).fit(mixed).column_order_
    assert by_number[-1] == "amount"
    model = TabularAR(target="amount", target_position="first", **settings).fit(mixed)
    assert model.column_order_[:2] == ["amount", "count"]
    model = TabularAR(condition_columns=["when"], column_order=["flag"], **settings).fit(mixed)
    assert model.column_order_[:3] == ["when", "flag", "amount"]
    sizes = TabularAR(column_order="cardinality", **settings).fit(mixed).column_order_
    assert sizes[:3] == ["flag", "code", "count"]


def test_arrays_and_chunks(small_table):
    model = TabularAR(**{**QUICK, "max_epochs": 2}).fit(small_table)
    assert model.sample(4).shape == (4, 6)
    chunks = list(model.sample_iter(10, chunk_size=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]


# Density


@pytest.mark.parametrize("small_table", [False, True])
def test_density_sums_to_one(small_table):
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 300)
    X = pd.DataFrame(
        {
            "a": first.astype(str),
            "b": np.where(rng.random(300) < 0.7, first % 2, 1).astype(str),
            "c": rng.integers(0, 4, 300).astype(str),
        }
    )
    model = TabularAR(**{**QUICK, "small_table": small_table}).fit(X)
    domain = itertools.product(*(sorted(X[name].unique()) for name in X))
    scores = model.score_samples(pd.DataFrame(list(domain), columns=list(X)))
    assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-5)
    # better than the margins
    entropy = -sum((p := X[name].value_counts(normalize=True)) @ np.log(p) for name in X)
    assert model.score(X) > -entropy + 0.02


def test_score_falls_for_rows_that_break_the_dependence(mixed, fitted):
    broken = mixed.assign(amount=np.random.default_rng(0).permutation(mixed["amount"]))
    assert fitted.score(mixed) > fitted.score(broken) + 0.2


def test_score_does_not_depend_on_the_other_rows(mixed, fitted):
    alone = np.concatenate([fitted.score_samples(mixed.iloc[[i]]) for i in range(5)])
    np.testing.assert_allclose(fitted.score_samples(mixed)[:5], alone, rtol=1e-10)


def test_unseen_levels_are_warned_of_and_missing_numbers_refused(mixed):
    free = mixed[["amount", "count"]].assign(group=mixed["group"].astype(object))
    model = TabularAR(**{**QUICK, "max_epochs": 2}).fit(free)
    with pytest.warns(UserWarning, match="600 cells hold levels .* 'z' in column 'group' first"):
        unseen = model.score_samples(free.assign(group="z"))
    others = model.score_samples(free.assign(group="a"))
    assert (unseen < others).all()
    with pytest.raises(ValueError, match="Column 'amount' holds a missing value"):
        model.score_samples(free.assign(amount=np.nan))


# Conditions


def test_conditions_on_first_columns_are_exact(mixed):
    model = TabularAR(condition_columns=["count", "amount"], **QUICK).fit(mixed)
    wanted = pd.DataFrame({"amount": [3.125, -1.0] * 50, "count": [4, 0] * 50})
    rows = model.sample(100, conditions=wanted)
    assert rows["amount"].tolist() == wanted["amount"].tolist()
    assert rows["count"].tolist() == wanted["count"].tolist()
    assert rows.dtypes.tolist() == mixed.dtypes.tolist()


@pytest.mark.parametrize("which", ["fitted", "small"])
def test_conditions_on_late_columns_weigh_the_early_ones(which, request):
    model = request.getfixturevalue(which)
    assert model.column_order_.index("code") > model.column_order_.index("amount")
    rows = model.sample(600, conditions={"code": 2.0})
    assert (rows["group"] == "b").all()
    assert rows["amount"].mean() == pytest.approx(4.0, abs=0.4)


def test_conditions_on_looked_up_columns(fitted):
    rows = fitted.sample(200, conditions={"group": "c", "flag": True})
    assert (rows["group"] == "c").all()
    assert (rows["code"] == 3.0).all()
    assert rows["flag"].all()
    with pytest.raises(ValueError, match=r"the rule that .* follows from"):
        fitted.sample(2, conditions={"group": "c", "code": 1.0})


def test_conditions_on_dates_missing_cells_and_single_rows(fitted):
    wanted = pd.DataFrame({"when": ["2024-03-05", "2024-07-01"], "level": [None, 0.5]})
    rows = fitted.sample(2, conditions=wanted)
    assert rows["when"].tolist() == [pd.Timestamp("2024-03-05"), pd.Timestamp("2024-07-01")]
    assert rows["level"].isna().tolist() == [True, False]
    assert rows["level"][1] == 0.5


def test_conditions_that_cannot_be_met_are_named(fitted):
    with pytest.raises(ValueError, match="Unexpected column name 'size' in conditions"):
        fitted.sample(2, conditions={"size": 1})
    with pytest.raises(ValueError, match="Unknown value 'z' for column 'group'"):
        fitted.sample(2, conditions={"group": "z"})
    with pytest.raises(ValueError, match="Column 'amount' was never missing"):
        fitted.sample(2, conditions={"amount": None})
    with pytest.raises(ValueError, match="conditions"):
        fitted.sample(3, conditions={"group": ["a", "b"]})


def test_condition_on_a_column_looked_up_from_many_values():
    day = np.tile(np.arange(1, 151), 12)
    X = pd.DataFrame({"day": day, "half": np.where(day < 80, "x", "y")})
    model = TabularAR(**{**QUICK, "max_epochs": 1}).fit(X)
    assert model.determined_by_ == {"half": "day"}
    rows = model.sample(30, conditions={"half": "x"})
    assert len(rows) == 30
    assert (rows["day"] < 80).all()


def test_columns_after_a_looked_up_one_see_it():
    rng = np.random.default_rng(0)
    day = rng.permutation(np.tile(np.arange(1, 101), 20))
    weekend = day % 7 > 4
    X = pd.DataFrame({"day": day, "weekend": weekend, "rides": rng.normal(size=2_000).round(2)})
    X["rides"] += np.where(weekend, 1.5, 0.0)
    train, rest = X[X.index % 2 == 0].reset_index(drop=True), X[X.index % 2 == 1]
    settings = {**QUICK, "max_levels": 20, "max_epochs": 40, "column_order": ["day"]}
    model = TabularAR(**settings).fit(train)
    assert model.determined_by_ == {"weekend": "day"}
    assert model.column_order_ == ["day", "rides"]
    blind = TabularAR(**settings).fit(train[["day", "rides"]])
    assert model.score(rest) > blind.score(rest[["day", "rides"]]) + 0.02
    rows = model.sample(2_000)
    means = rows.groupby("weekend")["rides"].mean()
    assert means[True] - means[False] == pytest.approx(1.5, abs=0.5)
    # the density is that of the law the column follows, whatever stands in it
    swapped = rest.assign(weekend=~rest["weekend"])
    np.testing.assert_array_equal(model.score_samples(rest), model.score_samples(swapped))


@pytest.mark.parametrize("which", ["fitted", "small"])
def test_clauses_are_met_beside_conditions(which, request):
    model = request.getfixturevalue(which)
    rows = model.sample(100, conditions={"flag": True}, where=["amount>=1", "count!=0"])
    assert len(rows) == 100
    assert rows["flag"].all()
    assert (rows["amount"] >= 1).all()
    assert (rows["count"] != 0).all()
    assert model.sampling_report_.accepted == 100


def test_conditions_alone_are_never_drawn_again(fitted):
    fitted.sample(80, conditions={"level": 0.5, "group": "b"})
    assert fitted.sampling_report_.drawn == 80


def test_lists_of_conditions_and_known_columns(fitted):
    wanted = [Condition({"group": "b"}, 3), Condition({"flag": False}, 2)]
    rows = fitted.sample_conditions(wanted)
    assert rows["group"][:3].eq("b").all()
    assert not rows["flag"][3:].any()
    known = pd.DataFrame({"count": [1, 4], "amount": [0.25, 3.5]}, index=["x", "y"])
    rows = fitted.sample_remaining_columns(known)
    assert rows.index.tolist() == ["x", "y"]
    assert rows["count"].tolist() == [1, 4]
    assert rows["amount"].tolist() == [0.25, 3.5]


def test_constraints_are_met_by_drawing_again(mixed):
    table = mixed[["amount", "count"]].assign(more=mixed["amount"].round(1) + mixed["count"])
    free = TabularAR(**QUICK).fit(table)
    model = TabularAR(constraints=[Inequality("amount", "more")], **QUICK)
    with pytest.raises(ValueError, match="Inequality"):
        model.fit(table.assign(more=table["amount"] - 1))
    table = table[table["more"] >= table["amount"]].reset_index(drop=True)
    rows = model.fit(table).sample(500)
    assert (rows["more"] >= rows["amount"]).all()
    assert (free.sample(500).eval("more < amount")).any()
    rows = model.sample(50, conditions={"count": 2})
    assert (rows["count"] == 2).all()
    assert (rows["more"] >= rows["amount"]).all()


# Prediction and imputation


@pytest.mark.parametrize("which", ["fitted", "small"])
def test_probabilities_of_any_column(which, mixed, request):
    model = request.getfixturevalue(which)
    for name in ("count", "level", "amount"):
        proba = model.predict_proba(mixed.head(20), name)
        assert proba.shape == (20, len(model.column_values_[name]))
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)


def test_prediction_uses_columns_on_both_sides(mixed):
    free = mixed[["amount", "flag"]].assign(group=mixed["group"].astype(object))
    model = TabularAR(column_order=["group"], **{**QUICK, "max_epochs": 60}).fit(free)
    proba = model.predict_proba(free, "group")
    values = model.column_values_["group"]
    high = free["amount"].to_numpy() > 3
    # a third of the groups are "b", and nearly all rows with high amounts
    assert proba[high, values.index("b")].mean() > 0.75
    assert proba[~high, values.index("b")].mean() < 0.1
    # by Bayes' rule: proportional to the density of the completed rows
    joint = [model.score_samples(free.head(5).assign(group=value)) for value in values]
    joint = np.exp(np.column_stack(joint))
    np.testing.assert_allclose(proba[:5], joint / joint.sum(axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("which", ["fitted", "small"])
def test_temperature_changes_draws_but_no_probabilities(which, mixed, request):
    model = request.getfixturevalue(which)
    proba, scores = model.predict_proba(mixed.head(20), "count"), model.score_samples(mixed)
    given = {"code": 1.0}
    rows = model.sample(300), model.sample(300, conditions=given)
    try:
        model.set_params(temperature=0.1)
        np.testing.assert_array_equal(model.predict_proba(mixed.head(20), "count"), proba)
        np.testing.assert_array_equal(model.score_samples(mixed), scores)
        assert not model.sample(300).equals(rows[0])
        assert not model.sample(300, conditions=given).equals(rows[1])
    finally:
        model.set_params(temperature=1.0)


def test_wide_columns_are_drawn_and_judged_in_blocks(mixed, fitted, monkeypatch):
    from synth_estimators.tabular import _ar_sampling

    scores, rows = fitted.score_samples(mixed), fitted.sample(4_000)
    monkeypatch.setattr(_ar_sampling, "_BLOCK_ENTRIES", 1_000)
    np.testing.assert_allclose(fitted.score_samples(mixed), scores, rtol=1e-10)
    in_blocks = fitted.sample(4_000)
    assert not in_blocks.equals(rows)
    share = rows["count"].value_counts(normalize=True)
    # four standard errors of the difference of two shares
    np.testing.assert_allclose(
        in_blocks["count"].value_counts(normalize=True)[share.index], share, atol=0.045
    )


def test_probabilities_of_looked_up_columns_and_their_sources(mixed, fitted):
    cells = mixed.head(30)
    proba = fitted.predict_proba(cells, "group")
    named = np.array(fitted.column_values_["group"], dtype=object)[proba.argmax(axis=1)]
    assert set(proba.ravel()) == {0.0, 1.0}
    assert [value if value else None for value in named] == [
        None if pd.isna(value) else value for value in cells["group"]
    ]
    proba = fitted.predict_proba(cells, "code")
    assert (proba.max(axis=1) == 1.0).all()


def test_imputation_fills_every_cell_and_changes_no_other(mixed, fitted):
    gaps = mixed.copy()
    gaps.loc[:99, "amount"] = np.nan
    filled = fitted.impute(gaps, random_state=1)
    assert not filled.isna().any().any()
    assert filled.dtypes.tolist() == mixed.dtypes.tolist()
    kept = gaps.notna()
    pd.testing.assert_frame_equal(filled.where(kept), gaps.where(kept))
    first = filled[:100]
    by_group = first.groupby(mixed["group"][:100].astype(str))["amount"].mean()
    assert by_group["b"] - by_group["a"] == pytest.approx(4.0, abs=1.0)
    pairs = filled[["group", "code"]].astype(str).drop_duplicates()
    assert len(pairs) == 3
    other = fitted.impute(gaps, random_state=2)
    assert not other["amount"].equals(filled["amount"])


def test_imputation_of_complete_rows_returns_them(mixed, fitted):
    complete = mixed.dropna()
    pd.testing.assert_frame_equal(fitted.impute(complete), complete)


def test_imputation_keeps_the_index(mixed, fitted):
    some = mixed.iloc[10:60].set_index(np.arange(50) * 3 + 7)
    filled = fitted.impute(some)
    pd.testing.assert_index_equal(filled.index, some.index)
    assert filled["amount"].equals(some["amount"])


def test_imputation_takes_other_dtypes_of_the_same_cells(mixed):
    zoned = mixed["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    table = mixed.assign(zoned=zoned, span=zoned - zoned[0], whole=mixed["count"].astype("Int16"))
    model = TabularAR(**{**QUICK, "max_epochs": 1}).fit(table)
    rng = np.random.default_rng(0)
    gaps = table.head(60).apply(lambda column: column.where(rng.random(60) < 0.6))
    filled = model.impute(gaps)
    assert filled.notna().all().all()
    assert filled.dtypes.equals(table.dtypes)
    kept = gaps.notna()
    pd.testing.assert_frame_equal(
        filled.astype(object).where(kept), gaps.astype(object).where(kept)
    )
    others = gaps.assign(
        group=pd.Categorical(gaps["group"].astype(object)),  # without the categories it lacks
        when=gaps["when"].astype("datetime64[s]"),
        zoned=gaps["zoned"].dt.tz_convert("UTC"),
        whole=gaps["whole"].astype("float64"),
        flag=gaps["flag"].astype("boolean"),
    )
    pd.testing.assert_frame_equal(model.impute(others), filled)


def test_cells_without_any_value_stay_missing_and_are_named(mixed):
    table = mixed[["amount", "flag"]].assign(empty=np.nan, no_date=pd.NaT)
    model = TabularAR(**{**QUICK, "max_epochs": 1}).fit(table)
    gaps = table.assign(amount=table["amount"].mask(table.index < 5))
    with pytest.warns(UserWarning, match="1200 cells stay missing, those of column 'empty' first"):
        filled = model.impute(gaps)
    assert filled[["amount", "flag"]].notna().all().all()


@pytest.mark.parametrize("small_table", [False, True])
@pytest.mark.parametrize("gap", [["day"], ["half"], ["day", "half"], ["z"]])
def test_imputation_beside_a_column_looked_up_from_many_values(gap, small_table):
    day = np.tile(np.arange(1.0, 151.0), 12)
    z = np.random.default_rng(0).normal(size=len(day))
    X = pd.DataFrame({"z": z, "day": day, "half": np.where(day < 30, "x", "y")})
    settings = {**QUICK, "max_levels": 20, "max_epochs": 1, "small_table": small_table}
    model = TabularAR(**settings).fit(X)
    assert model.determined_by_ == {"half": "day"}
    gaps = X.copy()
    for name in gap:
        gaps.loc[:199, name] = np.nan if name != "half" else None
    filled = model.impute(gaps)
    assert filled.notna().all().all()
    assert ((filled["day"] < 30) == (filled["half"] == "x")).all()
    kept = [name for name in X if name not in gap]
    pd.testing.assert_frame_equal(filled[kept], X[kept])


def test_sources_of_missing_looked_up_cells_are_not_drawn():
    place = np.random.default_rng(0).integers(0, 4, 400)
    X = pd.DataFrame({"place": np.array(list("wxyz"))[place], "x": place % 2 + 0.5})
    X["region"] = X["place"].map({"w": "A", "x": "A", "y": "B", "z": None}).astype(object)
    model = TabularAR(**{**QUICK, "max_epochs": 1}).fit(X)
    assert model.determined_by_["region"] == "place"
    filled = model.impute(X.head(100).assign(place=None, region=None))
    assert filled.notna().all().all()
    assert set(zip(filled["place"], filled["region"], strict=True)) == {
        ("w", "A"),
        ("x", "A"),
        ("y", "B"),
    }
    known = X[X["place"] == "z"].assign(x=np.nan)
    with pytest.warns(UserWarning, match="cells stay missing, those of column 'region' first"):
        assert model.impute(known)["region"].isna().all()


# Training


@pytest.mark.parametrize("n_rows", [2, 10])
def test_tiny_tables_give_the_margins_and_a_warning(n_rows, mixed):
    with pytest.warns(UserWarning, match=f"{n_rows} rows, too few to learn from"):
        model = TabularAR(random_state=0).fit(mixed.head(n_rows))
    rows = model.sample(50)
    assert rows["count"].isin(mixed["count"].head(n_rows)).all()
    assert np.isfinite(model.score(mixed.head(n_rows)))


def test_fifty_rows(mixed):
    model = TabularAR(hidden=(8, 8), max_epochs=5, random_state=0).fit(mixed.head(50))
    assert len(model.sample(20)) == 20
    assert set(model.forest_shares_) == set(model.column_order_)


def test_same_seed_same_rows(mixed, fitted):
    again = TabularAR(**{**QUICK, "max_epochs": 60}).fit(mixed)
    pd.testing.assert_frame_equal(again.sample(30), fitted.sample(30))


def test_every_column_keeps_its_best_epoch(fitted):
    assert set(fitted.best_epochs_) == set(fitted.column_order_)
    assert all(0 <= epoch <= fitted.n_iter_ for epoch in fitted.best_epochs_.values())
    assert len(set(fitted.best_epochs_.values())) > 1
    # the noise columns overfit at once, the amount given the code does not
    assert fitted.best_epochs_["code"] > fitted.best_epochs_["count"]


def test_kept_columns_are_at_least_as_good_as_any_epoch(mixed):
    model = TabularAR(**QUICK).fit(mixed)
    module = model.net_.module_
    assert float(module.heads[0].slope.numel()) == 0  # the first column sees nothing
    assert min(model.validation_loss_curve_) > 0
    assert len(model.history_) == model.n_iter_ == len(model.loss_curve_)


def test_training_stops_after_max_seconds(mixed):
    model = TabularAR(**{**QUICK, "max_epochs": 10_000, "patience": 9_999}, max_seconds=0.3)
    assert model.fit(mixed).n_iter_ < 1_000


@pytest.mark.parametrize("small_table", [False, True])
@pytest.mark.parametrize("place", ["step", "callback"])
def test_interrupted_training_keeps_the_best_weights(mixed, monkeypatch, small_table, place):
    from synth_estimators.tabular._ar_net import AREngine, BestColumns

    name = "train_step" if place == "step" else "_take_over"
    owner = AREngine if place == "step" else BestColumns
    usual = getattr(owner, name)

    def interrupted(self, *args, **params):
        net = self if place == "step" else args[0]
        if len(net.history) == 3:
            raise KeyboardInterrupt
        return usual(self, *args, **params)

    monkeypatch.setattr(owner, name, interrupted)
    model = TabularAR(**{**QUICK, "small_table": small_table})
    with (
        pytest.warns(UserWarning, match=r"interrupted after [23] of 12 epochs; the best weights"),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(mixed)
    assert model.n_iter_ == (2 if place == "step" else 3)
    assert max(model.best_epochs_.values()) <= 2
    assert len(model.sample(5)) == 5
    assert np.isfinite(model.score(mixed))
    monkeypatch.setattr(owner, name, usual)
    assert model.set_params(warm_start=True, max_epochs=1).fit(mixed).n_iter_ >= 3


def test_a_larger_table_leaves_no_shares_of_a_forest(mixed):
    model = TabularAR(**{**QUICK, "max_epochs": 1, "small_table": True}).fit(mixed)
    assert model.forest_shares_
    model.set_params(small_table=False).fit(mixed)
    assert not hasattr(model, "forest_shares_")


def test_warm_start_goes_on_and_refuses_another_shape(mixed):
    model = TabularAR(**{**QUICK, "max_epochs": 2, "warm_start": True}).fit(mixed)
    before = model.n_iter_
    model.fit(mixed)
    assert model.n_iter_ == before + 2
    with pytest.raises(ValueError, match="warm_start=True cannot change n_components"):
        model.set_params(n_components=3).fit(mixed)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"target": "size"}, "target names 'size', which is not a column of X"),
        ({"column_order": ["size"]}, "column_order names 'size'"),
        ({"column_order": ["flag", "flag"]}, "column_order names a column twice"),
        ({"condition_columns": ["size"]}, "condition_columns names 'size'"),
        ({"condition_columns": ["flag", "flag"]}, "condition_columns names a column twice"),
        ({"hidden": (64, 32)}, "hidden must hold equal positive integers"),
        ({"validation_fraction": None}, "early_stopping=True monitors 'valid_loss'"),
    ],
)
def test_bad_parameters_are_named(mixed, params, message):
    with pytest.raises(ValueError, match=message):
        TabularAR(**{**QUICK, **params}).fit(mixed)


@pytest.mark.slow
def test_adult_is_hard_to_tell_from_fresh_rows(data_folder):
    from synth_estimators import metrics

    table = pd.read_csv(data_folder / "tabular" / "adult.csv")
    text = table.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]]
    table[text] = table[text].fillna("missing")
    order = np.random.RandomState(0).permutation(len(table))
    cut = int(0.7 * len(table))
    train = table.iloc[order[:cut]].reset_index(drop=True)
    holdout = table.iloc[order[cut:]].reset_index(drop=True)
    rows = TabularAR(target="income", random_state=0).fit(train).sample(len(train))
    parts = {"X_train": train, "X_holdout": holdout, "X_synth": rows, "random_state": 0}
    assert metrics.c2st_auc(holdout[:4_000], rows[:4_000], random_state=0) <= 0.55
    assert metrics.membership_auc(**parts, max_rows=5_000) <= 0.52
    assert metrics.dcr_share(**parts, max_rows=5_000) <= 0.525


@pytest.mark.slow
def test_missing_cells_of_flights_come_at_their_rate(data_folder):
    flights = pd.read_csv(data_folder / "tabular" / "flights15k.csv", parse_dates=["time_hour"])
    rows = TabularAR(max_epochs=30, random_state=0).fit(flights).sample(len(flights))
    assert rows.dtypes.equals(flights.dtypes)
    assert (rows.isna().mean() - flights.isna().mean()).abs().max() <= 0.01


def test_known_rows_against_the_lookup_are_left_out_alone(fitted):
    """``group`` follows from ``code``; the first known row has another pair."""
    pairs = fitted.sample(200)[["group", "code"]].drop_duplicates()
    good = pairs.iloc[[0]]
    other = pairs[pairs["group"].astype(str) != str(good["group"].iloc[0])]
    bad = good.assign(group=other["group"].to_numpy()[:1])
    known = pd.concat([bad, good]).set_axis([7, 9])
    with pytest.warns(UserWarning, match=r"1 of 2 rows of known .* the rows \[7\]"):
        rows = fitted.sample_remaining_columns(known)
    assert rows.index.tolist() == [9]
    with pytest.warns(UserWarning, match="1 of 2|Only 1 of"):
        assert len(fitted.sample(2, conditions=known)) == 1
