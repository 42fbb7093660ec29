import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_curve

from synth_estimators.metrics import (
    dcr_baseline_protection,
    dcr_overfitting_protection,
    dcr_quantile_ratio,
    dcr_share,
    exact_copy_share,
    identifiability_score,
    membership_auc,
    membership_tpr_at_fpr,
    new_row_score,
    nndr,
)
from synth_estimators.metrics._membership import _true_positive_rate

WITH_HOLDOUT = [
    dcr_overfitting_protection,
    dcr_quantile_ratio,
    membership_auc,
    membership_tpr_at_fpr,
]
WITHOUT = [dcr_baseline_protection, exact_copy_share, identifiability_score, new_row_score, nndr]


def _table(rng, n_rows=400):
    frame = pd.DataFrame(rng.normal(size=(n_rows, 4)), columns=list("abcd"))
    frame.loc[rng.random(n_rows) < 0.1, "d"] = np.nan
    return frame.assign(g=rng.choice(["u", "v", "w"], n_rows), k=rng.integers(0, 30, n_rows))


@pytest.fixture(scope="module")
def tables():
    """Training, holdout and synthetic tables of one law, 400 mixed rows each."""
    rng = np.random.default_rng(0)
    return [_table(rng) for _ in range(3)]


@pytest.mark.parametrize("space", ["gower", "standard"])
def test_copies_get_the_worst_values(space, tables):
    train, holdout, _ = tables
    options = {"X_train": train, "X_synth": train.sample(frac=1, random_state=0), "space": space}
    assert dcr_baseline_protection(**options) == 0.0
    assert identifiability_score(**options) == 1.0
    assert nndr(**options) == 0.0
    options["X_holdout"] = holdout
    assert dcr_overfitting_protection(**options) == 0.0
    assert dcr_quantile_ratio(**options) == 0.0
    assert membership_tpr_at_fpr(fpr=0.01, **options) == 1.0
    assert new_row_score(X_train=train, X_synth=train) == 0.0


@pytest.mark.parametrize("space", ["gower", "standard"])
def test_fresh_rows_look_private(space, tables):
    train, holdout, fresh = tables
    options = {"X_train": train, "X_holdout": holdout, "X_synth": fresh, "space": space}
    # Shares and areas of 400 rows have standard deviations below 0.03.
    assert dcr_overfitting_protection(**options) > 0.8
    assert membership_tpr_at_fpr(**options) == pytest.approx(0.1, abs=0.08)
    assert dcr_quantile_ratio(**options) == pytest.approx(1.0, abs=0.3)
    del options["X_holdout"]
    assert identifiability_score(**options) == pytest.approx(0.5, abs=0.1)
    outcome = nndr(**options, X_holdout=holdout, breakdown=True)
    assert outcome.score == pytest.approx(outcome.holdout_score, abs=0.05)
    protection = dcr_baseline_protection(
        **options, X_holdout=holdout, random_state=0, breakdown=True
    )
    assert 0.2 < protection.score < 1.0
    assert protection.score == pytest.approx(protection.holdout_score, abs=0.1)


@pytest.mark.parametrize("function", WITH_HOLDOUT + WITHOUT)
def test_values_repeat_and_do_not_depend_on_the_breakdown(function, tables):
    train, holdout, fresh = tables
    options = {"X_train": train, "X_synth": fresh[:350]}
    if function in WITH_HOLDOUT:
        options["X_holdout"] = holdout[:300]
    if function not in (exact_copy_share, new_row_score):
        options |= {"random_state": 0, "max_rows": 250}
    value = function(**options)
    assert function(**options) == value
    assert function(**options, breakdown=True).score == value


@pytest.mark.parametrize("function", WITH_HOLDOUT + WITHOUT)
def test_order_of_rows_and_columns_and_type_do_not_matter(function, tables):
    train, holdout, fresh = tables
    options = {"X_train": train}
    if function in WITH_HOLDOUT:
        options["X_holdout"] = holdout
    if function not in (exact_copy_share, new_row_score):
        options["random_state"] = 0
    value = function(X_synth=fresh, **options)
    other = fresh.sample(frac=1, random_state=1)[list("kgdcba")]
    other = other.astype({"k": "Float64", "g": "category"})
    assert function(X_synth=other, **options) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("function", [dcr_baseline_protection, nndr, identifiability_score])
def test_training_rows_may_stand_first(function, tables):
    train, _, fresh = tables
    expected = function(X_train=train, X_synth=fresh, random_state=0)
    assert function(train, fresh, random_state=0) == expected
    with pytest.raises(ValueError, match=f"{function.__name__} needs training rows"):
        function(None, fresh)


def test_overfitting_protection_follows_the_share(tables):
    train, holdout, fresh = tables
    mixed = pd.concat([train[:200], fresh[:200]])
    options = {"X_train": train, "X_holdout": holdout, "X_synth": mixed}
    outcome = dcr_overfitting_protection(breakdown=True, **options)
    assert outcome.dcr_share == dcr_share(**options)
    assert outcome.score == pytest.approx(2 * (1 - outcome.dcr_share))
    # Rows nearer to the holdout are forgiven.
    swapped = {"X_train": holdout, "X_holdout": train, "X_synth": mixed}
    assert dcr_overfitting_protection(**swapped) == 1.0


def test_baseline_protection_is_a_ratio_of_medians():
    train = np.arange(0.0, 101.0, 10.0)[:, None]
    outcome = dcr_baseline_protection(train, train + 1.0, random_state=0, breakdown=True)
    # One is one per cent of the range.
    assert outcome.median_synth == pytest.approx(0.01)
    assert outcome.score == pytest.approx(0.01 / outcome.median_uniform)
    # Whole numbers lie 0 to 5 from the next ten, so half of the uniform ones are within 2 or 3.
    many = dcr_baseline_protection(
        np.repeat(train, 300, axis=0), np.repeat(train, 300, axis=0), random_state=0, breakdown=True
    )
    assert many.median_uniform in (pytest.approx(0.02), pytest.approx(0.03))


def test_baseline_of_a_saturated_table_is_undefined():
    table = pd.DataFrame({"g": ["a", "b"] * 20, "e": [np.nan] * 40})
    with pytest.warns(UndefinedMetricWarning, match="uniform random rows are copies"):
        assert np.isnan(dcr_baseline_protection(table, table))


def test_quantile_ratio_by_hand():
    train = np.array([[0.0], [10.0]])
    synth, holdout = np.array([[1.0], [9.0]]), np.array([[2.0], [8.0]])
    options = {"X_train": train, "X_holdout": holdout, "X_synth": synth}
    assert dcr_quantile_ratio(**options) == pytest.approx(0.5)
    assert dcr_quantile_ratio(q=0.9, space="standard", **options) == pytest.approx(0.5)
    options["X_holdout"] = train
    with pytest.warns(UndefinedMetricWarning, match="at least 5% of the holdout rows equal"):
        assert np.isnan(dcr_quantile_ratio(**options))
    with pytest.raises(ValueError, match=r"q=1\.5 must be between 0 and 1"):
        dcr_quantile_ratio(q=1.5, **options)


def test_distance_ratio_by_hand():
    train = np.array([[0.0], [4.0], [4.0], [10.0]])
    outcome = nndr(train, np.array([[1.0], [4.0], [8.0]]), breakdown=True)
    # 1 against 3; two copies of 4 are equally near; 2 against 4.
    assert outcome.details["ratio"].tolist() == pytest.approx([1 / 3, 1.0, 0.5])
    assert outcome.score == pytest.approx(0.5)
    assert np.isnan(outcome.holdout_score)
    assert nndr(train, np.array([[1.0], [4.0], [8.0]]), q=0.0) == pytest.approx(1 / 3)
    with pytest.warns(UndefinedMetricWarning, match="one training row only"):
        assert np.isnan(nndr(train[:1], train))


def test_identifiability_does_not_depend_on_the_number_of_rows():
    rng = np.random.default_rng(0)
    train, synth = rng.normal(size=(300, 3)), rng.normal(size=(1500, 3))
    options = {"random_state": 0}
    # The sd of a share of 300 rows is 0.03.
    assert identifiability_score(train, synth, **options) == pytest.approx(0.5, abs=0.1)
    assert identifiability_score(train, synth[:60], **options) == pytest.approx(0.5, abs=0.12)
    assert identifiability_score(train, synth, match_size=False, **options) > 0.75
    assert identifiability_score(train, synth[:60], match_size=False, **options) < 0.3


def test_ties_of_identifiability():
    table = pd.DataFrame({"g": ["a", "a", "b", "b"]})
    assert identifiability_score(table, table) == 0.5
    assert identifiability_score(table, table, ties="strict") == 0.0
    with pytest.raises(ValueError, match="ties='all' is unknown"):
        identifiability_score(table, table, ties="all")
    with pytest.warns(UndefinedMetricWarning, match="one training row only"):
        assert np.isnan(identifiability_score(table[:1], table))


def test_new_rows_are_those_that_are_no_copies(tables):
    train, holdout, fresh = tables
    synth = pd.concat([fresh[:90], train[:10]])
    holdout = pd.concat([holdout[:98], train[:2]])
    outcome = new_row_score(X_train=train, X_holdout=holdout, X_synth=synth, breakdown=True)
    assert outcome.score == pytest.approx(0.9)
    assert outcome.holdout_score == pytest.approx(0.98)
    assert outcome.details["copied"].sum() == 10
    assert np.isnan(new_row_score(train, synth, breakdown=True).holdout_score)


def test_true_positive_rate_lies_on_the_roc_curve():
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.5
    scores = np.round(rng.normal(size=200) + positive, 1)
    false_rate, true_rate, _ = roc_curve(positive, scores, drop_intermediate=False)
    for fpr in (0.005, 0.1, 0.37, 1.0):
        expected = np.interp(fpr, false_rate, true_rate)
        assert _true_positive_rate(scores, positive, fpr) == pytest.approx(expected)
    # Attacks that know nothing are right as often as they are wrong.
    assert _true_positive_rate(np.zeros(200), positive, 0.1) == pytest.approx(0.1)
    assert _true_positive_rate(positive * 1.0, positive, 0.0) == 1.0


def test_false_positive_rate_is_checked(tables):
    train, holdout, fresh = tables
    with pytest.raises(ValueError, match="fpr=2 must be between 0 and 1"):
        membership_tpr_at_fpr(X_train=train, X_holdout=holdout, X_synth=fresh, fpr=2)


@pytest.mark.parametrize("metric", [membership_auc, membership_tpr_at_fpr])
def test_densities_find_members(metric, tables):
    rng = np.random.default_rng(0)
    train, holdout, fresh = rng.normal(size=(3, 400, 5))
    options = {"X_train": train, "X_holdout": holdout, "method": "density", "random_state": 0}
    idle = 0.5 if metric is membership_auc else 0.1
    assert metric(X_synth=fresh, **options) == pytest.approx(idle, abs=0.1)
    noisy = train + 0.3 * rng.normal(size=train.shape)
    assert metric(X_synth=noisy, **options) > idle + 0.1
    assert metric(X_synth=train, **options) > metric(X_synth=noisy, **options) + 0.1
    mixed = {"X_train": tables[0], "X_holdout": tables[1], "X_synth": tables[2]}
    assert metric(**mixed, method="density") == pytest.approx(idle, abs=0.12)


def test_density_attack_on_small_and_collapsed_tables():
    rng = np.random.default_rng(0)
    train, holdout, fresh = rng.normal(size=(3, 40, 30))
    options = {"X_train": train, "method": "density", "random_state": 0}
    outcome = membership_auc(X_holdout=holdout, X_synth=fresh, breakdown=True, **options)
    assert len(outcome.draws) == 5
    assert len(outcome.details) == 80
    assert 0.2 < outcome.score < 0.8
    collapsed = np.repeat(fresh[:1], 40, axis=0)
    assert 0 <= membership_auc(X_holdout=holdout, X_synth=collapsed, **options) <= 1
    with pytest.warns(UndefinedMetricWarning, match="need four holdout and two synthetic rows"):
        assert np.isnan(membership_auc(X_holdout=holdout[:3], X_synth=fresh, **options))
    with pytest.raises(ValueError, match="method='mlp' is unknown"):
        membership_auc(X_train=train, X_holdout=holdout, X_synth=fresh, method="mlp")
    with pytest.raises(ValueError, match="n_draws=0"):
        membership_auc(X_train=train, X_holdout=holdout, X_synth=fresh, n_draws=0)
