import time

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import (
    attack_rate,
    inference_risk,
    linkability_risk,
    residual_risk,
    singling_out_risk,
)

ATTACKS = [
    (singling_out_risk, {}),
    (singling_out_risk, {"mode": "multivariate"}),
    (linkability_risk, {}),
    (inference_risk, {"secret": "d"}),
    (inference_risk, {}),
]


def _table(rng, n_rows=300):
    frame = pd.DataFrame(rng.normal(size=(n_rows, 4)), columns=list("abcd"))
    frame["b"] += frame["a"]
    frame.loc[rng.random(n_rows) < 0.1, "c"] = np.nan
    return frame.assign(g=rng.choice(["u", "v", "w"], n_rows))


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    return [_table(rng) for _ in range(3)]


@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_copies_are_at_risk_and_fresh_rows_are_not(attack, options, tables):
    train, holdout, fresh = tables
    options = {"X_train": train, "X_holdout": holdout, "random_state": 0, **options}
    shuffled = train.sample(frac=1, random_state=0)
    assert attack(X_synth=shuffled, **options) > 0.85
    # Two standard errors of the difference of two rates of 300 attacks are 0.08 at most.
    assert attack(X_synth=fresh, **options) < 0.1


@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_attacks_repeat_and_state_what_they_found(attack, options, tables):
    train, holdout, fresh = tables
    options = {
        "X_train": train,
        "X_holdout": holdout,
        "X_synth": fresh,
        "n_attacks": 50,
        "random_state": 3,
        **options,
    }
    outcome = attack(breakdown=True, **options)
    assert outcome.score == attack(**options)
    assert isinstance(outcome.weak_attack, bool)
    if "group" not in outcome.details:
        assert outcome.details["column"].tolist() == list(train.columns)
        assert outcome.score == pytest.approx(outcome.details["risk"].mean())
        return
    assert outcome.details["group"].tolist() == ["attack", "control", "baseline"]
    assert outcome.details["n_attacks"].max() <= 50
    assert 0 <= outcome.low <= outcome.score <= outcome.high <= 1
    by_hand = residual_risk(*outcome.details[["n_attacks", "n_success"]].to_numpy().tolist()[:2])
    assert outcome.score == by_hand.risk


def test_rates_have_an_interval_at_any_level():
    narrow, wide = attack_rate(100, 30, level=0.5), attack_rate(100, 30, level=0.99)
    assert narrow.error < wide.error
    for found in (narrow, wide):
        assert 0 < found.rate - found.error < 0.3 < found.rate + found.error < 1
    assert residual_risk((100, 10), (100, 40)).risk == 0.0
    assert residual_risk((100, 10), (100, 40)).value < 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "0 successes of 0 attacks are impossible"),
        ((10, 11), "11 successes of 10 attacks are impossible"),
        ((10, -1), "-1 successes of 10 attacks are impossible"),
    ],
)
def test_impossible_counts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        attack_rate(*arguments)
    with pytest.raises(ValueError, match=r"level=1\.0 must lie between 0 and 1"):
        attack_rate(10, 5, level=1.0)


def test_singling_out_counts_rows_by_hand():
    # The value 7 occurs once among the synthetic rows and once among the training rows; nothing
    # lies beyond the ends 1 and 7.
    synth = pd.DataFrame({"k": [1, 1, 2, 2, 7]})
    train = pd.DataFrame({"k": [1, 2, 2, 3, 7]})
    holdout = pd.DataFrame({"k": [1, 2, 2, 3, 3]})
    outcome = singling_out_risk(
        X_train=train, X_holdout=holdout, X_synth=synth, random_state=0, breakdown=True
    )
    assert outcome.details["n_attacks"].tolist() == [3, 3, 3]
    assert outcome.details["n_success"].tolist()[:2] == [1, 0]
    # A training row below the synthetic minimum is singled out too.
    low = singling_out_risk(
        X_train=train.assign(k=[0, 1, 2, 3, 7]),
        X_holdout=holdout,
        X_synth=synth,
        random_state=0,
        breakdown=True,
    )
    assert low.details["n_success"].tolist()[:2] == [2, 0]


def test_a_missing_cell_can_single_out():
    synth = pd.DataFrame({"k": [1.0, 1.0, np.nan]})
    train, holdout = pd.DataFrame({"k": [1.0, 1.0, np.nan]}), pd.DataFrame({"k": [1.0, 1.0, 1.0]})
    outcome = singling_out_risk(
        X_train=train, X_holdout=holdout, X_synth=synth, random_state=0, breakdown=True
    )
    assert outcome.details["n_success"].tolist()[:2] == [1, 0]


def test_singling_out_without_a_predicate_is_undefined():
    table = pd.DataFrame({"g": ["a", "b"] * 20})
    for mode in ("univariate", "multivariate"):
        with pytest.warns(UndefinedMetricWarning, match="no predicate fits a single synthetic"):
            value = singling_out_risk(table, table, X_holdout=table, mode=mode)
        assert np.isnan(value)


def test_singling_out_sees_equal_sizes(tables):
    train, holdout, fresh = tables
    # All rows of the larger table are searched only if asked for.
    options = {"X_train": train, "X_holdout": holdout[:50], "X_synth": train, "random_state": 0}
    cut = singling_out_risk(breakdown=True, **options)
    whole = singling_out_risk(match_size=False, breakdown=True, **options)
    assert whole.attack_rate > 0.95
    assert cut.attack_rate == pytest.approx(50 / 300, abs=0.06)
    assert singling_out_risk(fresh, fresh, X_holdout=holdout) == pytest.approx(1.0, abs=0.15)


def test_linking_needs_two_disjoint_lists(tables):
    train, holdout, fresh = tables
    options = {"X_train": train, "X_holdout": holdout, "X_synth": fresh}
    with pytest.raises(ValueError, match=r"Both lists of aux name \['a'\]"):
        linkability_risk(aux=(["a", "b"], ["a", "c"]), **options)
    with pytest.raises(ValueError, match="must hold two lists of column names"):
        linkability_risk(aux=["a", "b"], **options)
    with pytest.raises(ValueError, match="aux names 'q', which is not a column"):
        linkability_risk(aux=(["a"], ["q"]), **options)
    with pytest.raises(ValueError, match="aux is empty"):
        linkability_risk(aux=(["a"], []), **options)
    one = {name: table[["a"]] for name, table in options.items()}
    with pytest.warns(UndefinedMetricWarning, match="one column cannot be split"):
        assert np.isnan(linkability_risk(**one))
    with pytest.warns(UndefinedMetricWarning, match="no column"):
        assert np.isnan(inference_risk(**one))
    with pytest.raises(ValueError, match="n_neighbors=0"):
        linkability_risk(n_neighbors=0, **options)


def test_more_neighbours_link_more_by_chance(tables):
    train, holdout, fresh = tables
    options = {"X_train": train, "X_holdout": holdout, "X_synth": fresh, "random_state": 0}
    one = linkability_risk(breakdown=True, **options)
    many = linkability_risk(n_neighbors=20, breakdown=True, **options)
    assert many.baseline_rate > one.baseline_rate + 0.4
    assert many.attack_rate > one.attack_rate


def test_inference_compares_cells_by_their_kind():
    train = pd.DataFrame({"i": np.arange(40.0), "v": 100.0 + np.arange(40), "g": ["a", "b"] * 20})
    holdout = train.assign(i=train["i"] + 1000, v=0.0)
    synth = train.assign(v=train["v"] * 1.04, g="a")
    options = {
        "X_train": train,
        "X_holdout": holdout,
        "X_synth": synth,
        "aux": ["i"],
        "random_state": 0,
        "breakdown": True,
    }
    number = inference_risk(secret="v", **options)
    assert number.details["n_success"].tolist()[:2] == [40, 0]
    strict = inference_risk(secret="v", tolerance=0.03, **options)
    assert strict.details["n_success"].tolist()[:2] == [0, 0]
    label = inference_risk(secret="g", **options)
    assert label.details["n_success"].tolist() == [20, 20, 20]
    assert label.weak_attack


def test_dates_are_inferred_relative_to_their_range():
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(3):
        days = pd.Timestamp("1950-01-01") + pd.to_timedelta(rng.integers(0, 20_000, 200), unit="D")
        tables.append(pd.DataFrame({"born": days, "x": rng.normal(size=200)}))
    train, holdout, synth = tables
    found = inference_risk(
        X_train=train, X_holdout=holdout, X_synth=synth, secret="born", breakdown=True
    )
    # One in ten guesses lies within 5 % of the range; all would within 5 % of the year.
    assert found.attack_rate == pytest.approx(0.1, abs=0.08)


def test_constant_columns_hold_no_secret(tables):
    train, holdout, fresh = (table.assign(one=1) for table in tables)
    options = {"X_train": train, "X_holdout": holdout, "X_synth": fresh, "random_state": 0}
    details = inference_risk(breakdown=True, **options).details.set_index("column")
    assert np.isnan(details.loc["one", "risk"])
    assert details["risk"].notna().sum() == 5
    known = inference_risk(aux=["a", "one"], breakdown=True, **options).details
    assert known["column"].tolist() == ["b", "c", "d", "g"]
    with pytest.raises(ValueError, match="Nothing is known beside the secret 'a'"):
        inference_risk(secret="a", aux=["a"], **options)
    with pytest.raises(ValueError, match="secret names 'q'"):
        inference_risk(secret="q", **options)


@pytest.mark.parametrize(
    ("attack", "options", "message"),
    [
        (singling_out_risk, {"mode": "all"}, "mode='all' is unknown"),
        (singling_out_risk, {"n_attacks": 0}, "n_attacks=0"),
        (linkability_risk, {"n_attacks": 0}, "n_attacks=0 must be at least 1"),
        (inference_risk, {"tolerance": -0.1}, "tolerance=-0.1 must be at least 0"),
        (inference_risk, {"X_holdout": None}, "X_holdout is missing"),
    ],
)
def test_bad_options_are_refused(attack, options, message, tables):
    train, holdout, fresh = tables
    given = {"X_train": train, "X_holdout": holdout, "X_synth": fresh, **options}
    with pytest.raises(ValueError, match=message):
        attack(**given)


@pytest.mark.slow
def test_large_tables_take_seconds():
    rng = np.random.default_rng(0)
    tables = {}
    for name in ("X_train", "X_holdout", "X_synth"):
        frame = pd.DataFrame(rng.normal(size=(10_000, 12)), columns=[f"x{j}" for j in range(12)])
        tables[name] = frame.assign(**{k: rng.choice(list("uvw"), 10_000) for k in "ghi"})
    start = time.perf_counter()
    for attack, options in ATTACKS:
        attack(**tables, random_state=0, **{k: "g" for k in options if k == "secret"})
    assert time.perf_counter() - start < 60.0
