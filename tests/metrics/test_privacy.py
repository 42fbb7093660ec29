import time

import numpy as np
import pandas as pd
import pytest

from synth_estimators.metrics import dcr_share, exact_copy_share, membership_auc


@pytest.fixture
def tables():
    """Training, holdout and two more tables of one law, 400 mixed rows each."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(4):
        frame = pd.DataFrame(rng.normal(size=(400, 4)), columns=list("abcd"))
        frame.loc[rng.random(400) < 0.1, "d"] = np.nan
        frames.append(frame.assign(g=rng.choice(["u", "v", "w"], 400)))
    return frames


@pytest.mark.parametrize("space", ["gower", "standard"])
def test_copies_are_found(tables, space):
    train, holdout, *_ = tables
    options = {
        "X_train": train,
        "X_holdout": holdout,
        "X_synth": train.sample(frac=1, random_state=0),
    }
    assert dcr_share(space=space, **options) == 1.0
    assert membership_auc(space=space, **options) == 1.0
    assert exact_copy_share(**options) == 1.0


@pytest.mark.parametrize("space", ["gower", "standard"])
def test_fresh_rows_look_private(tables, space):
    train, holdout, synth, _ = tables
    options = {"X_train": train, "X_holdout": holdout, "X_synth": synth, "space": space}
    # The sd of both numbers is below 0.03.
    assert dcr_share(**options) == pytest.approx(0.5, abs=0.1)
    assert membership_auc(**options) == pytest.approx(0.5, abs=0.1)
    assert exact_copy_share(X_train=train, X_synth=synth) == 0.0


def test_one_extreme_value_does_not_make_a_table_look_nearer(tables):
    train, holdout, synth, _ = tables
    extreme = holdout.copy()
    column = extreme.select_dtypes("number").columns[0]
    extreme.loc[extreme.index[0], column] = 1e3 * extreme[column].abs().max()
    options = {"X_train": train, "X_synth": synth}
    assert dcr_share(X_holdout=extreme, **options) == pytest.approx(0.5, abs=0.1)
    # With ranges of its own the holdout looks nearer to every row.
    assert dcr_share(X_holdout=extreme, ranges="searched", **options) < 0.35
    with pytest.raises(ValueError, match="ranges='own' is unknown"):
        dcr_share(X_holdout=holdout, ranges="own", **options)


def test_unequal_sizes_are_equalised(tables):
    train, holdout, synth, more = tables
    train = pd.concat([train, more], ignore_index=True)
    outcome = dcr_share(
        X_train=train, X_holdout=holdout[:100], X_synth=synth, random_state=0, breakdown=True
    )
    assert outcome.score == pytest.approx(0.5, abs=0.1)
    # With all rows the larger table is nearer by chance: 800 against 100.
    assert outcome.dcr_share_full > 0.8
    assert outcome.full_chance_level == pytest.approx(800 / 900)
    assert len(outcome.draws) == 5
    assert outcome.score == outcome.draws.mean()
    whole = dcr_share(X_train=train, X_holdout=holdout[:100], X_synth=synth, match_size=False)
    assert whole == outcome.dcr_share_full
    swapped = dcr_share(X_train=holdout[:100], X_holdout=train, X_synth=synth, random_state=0)
    assert swapped == pytest.approx(0.5, abs=0.1)


def test_the_plain_value_does_not_depend_on_the_breakdown(tables):
    train, holdout, synth, _ = tables
    for cut in (holdout[:150], holdout):
        options = {"X_train": train, "X_holdout": cut, "X_synth": synth, "random_state": 0}
        assert dcr_share(**options) == dcr_share(breakdown=True, **options).score
        assert membership_auc(**options) == membership_auc(breakdown=True, **options).score


def test_real_rows_stand_in_for_the_table_that_is_not_named(tables):
    train, holdout, synth, _ = tables
    for function in (dcr_share, membership_auc):
        expected = function(X_train=train, X_holdout=holdout, X_synth=synth)
        assert function(holdout, synth, X_train=train) == expected
        assert function(train, synth, X_holdout=holdout) == expected
        assert function(None, synth, X_train=train, X_holdout=holdout) == expected
        with pytest.raises(ValueError, match="X_holdout is missing"):
            function(train, synth)


def test_ties_count_one_half_or_nothing():
    rows = np.arange(12.0).reshape(6, 2)
    options = {"X_train": rows, "X_holdout": rows, "X_synth": rows + 0.25}
    assert dcr_share(**options) == 0.5
    assert dcr_share(ties="strict", **options) == 0.0
    assert membership_auc(**options) == 0.5
    with pytest.raises(ValueError, match="ties='all' is unknown"):
        dcr_share(ties="all", **options)


def test_row_cap_leaves_the_searched_rows_whole(tables):
    train, holdout, *_ = tables
    options = {"X_train": train, "X_holdout": holdout, "X_synth": train, "max_rows": 40}
    outcome = dcr_share(random_state=0, breakdown=True, **options)
    assert (outcome.n_synth, outcome.n_train) == (40, 400)
    assert outcome.score == 1.0
    assert membership_auc(random_state=0, **options) == 1.0


def test_copies_among_the_rows_are_counted(tables):
    train, holdout, synth, _ = tables
    synth = pd.concat([synth.iloc[:90], train.iloc[5:15]], ignore_index=True)
    holdout = pd.concat([holdout.iloc[:99], train.iloc[:1]], ignore_index=True)
    outcome = exact_copy_share(X_train=train, X_holdout=holdout, X_synth=synth, breakdown=True)
    assert outcome.score == 0.1
    assert outcome.holdout_share == 0.01
    assert outcome.details["copied"].tolist() == [False] * 90 + [True] * 10
    assert exact_copy_share(train, synth, tolerance=0.0) == 0.1


def test_copies_are_compared_to_six_decimals_or_by_tolerance():
    train = pd.DataFrame({"a": [1.0, 200.0, 0.0], "k": [1, 2, 3]})
    near = train.assign(a=train["a"] + 1e-7)
    assert exact_copy_share(train, near) == 1.0
    assert exact_copy_share(train, near, tolerance=0.0) == 0.0
    # Relative: 201 is within one per cent of 200, and nothing is near 0.
    moved = train.assign(a=[1.005, 201.0, 0.001])
    assert exact_copy_share(train, moved) == 0.0
    assert exact_copy_share(train, moved, tolerance=0.01) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="tolerance=-1"):
        exact_copy_share(train, near, tolerance=-1)


def test_copies_in_single_precision_and_other_types_are_copies():
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"a": rng.normal(12, 3, 50), "k": rng.integers(0, 9, 50), "g": ["x"] * 50})
    assert exact_copy_share(train, train.astype({"a": "float32", "k": float})) == 1.0
    assert exact_copy_share(train * 1, train.assign(a=-0.0)) == 0.0


def test_negative_zero_and_missing_cells_equal_themselves():
    train = pd.DataFrame({"a": [0.0, np.nan], "g": ["x", None]})
    assert exact_copy_share(train, train.assign(a=[-0.0, np.nan])) == 1.0
    assert exact_copy_share(train, train.assign(a=[-0.0, np.nan]), tolerance=0.0) == 1.0


def test_wide_tables_are_fast():
    train, holdout, synth = np.random.default_rng(0).normal(size=(3, 1000, 300))
    start = time.perf_counter()
    dcr_share(X_train=train, X_holdout=holdout, X_synth=synth)
    membership_auc(X_train=train, X_holdout=holdout, X_synth=synth)
    # 0.4 s together on one core; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 2.0
