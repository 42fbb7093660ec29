import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from synth_estimators.metrics import (
    all_targets_utility,
    augmentation_gain,
    calibration_gap,
    feature_importance_agreement,
    trtr_score,
    trts_score,
    tstr_score,
    utility_gap,
)
from synth_estimators.metrics._utility_gain import _calibration_error

OPTIONS = {"target": "y", "estimator": "logistic", "random_state": 0}


def _table(seed, n_rows=200, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    value = 2 * X[:, 0] - X[:, 1] + noise * rng.normal(size=n_rows)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    return frame.assign(y=np.where(value > 0, "case", "control"))


TEST, TRAIN, SYNTH = _table(0), _table(1), _table(2)


def test_testing_on_synthetic_rows_swaps_the_roles():
    expected = trtr_score(SYNTH, TEST, **OPTIONS)
    assert trts_score(TEST, SYNTH, **OPTIONS) == pytest.approx(expected)
    with_train = trts_score(TEST, SYNTH, X_train=TRAIN, breakdown=True, **OPTIONS)
    assert with_train.score == pytest.approx(trtr_score(SYNTH, TRAIN, **OPTIONS))
    assert with_train.details["n_test"].sum() == 200


def test_labels_that_are_too_clean_score_too_high():
    clean = _table(2, noise=0.0)
    assert trts_score(TEST, clean, **OPTIONS) > tstr_score(TEST, SYNTH, **OPTIONS) + 0.03


def test_unknown_synthetic_classes_are_dropped_from_the_test():
    synth = SYNTH.copy()
    synth.loc[:9, "y"] = "other"
    outcome = trts_score(TEST, synth, breakdown=True, **OPTIONS)
    assert outcome.dropped["X_synth"] == {"missing": 0, "unknown": 10}
    assert outcome.details["class"].tolist() == ["case", "control"]


def test_gain_is_the_difference_of_two_scores():
    outcome = augmentation_gain(TEST, SYNTH, X_train=TRAIN, breakdown=True, **OPTIONS)
    assert outcome.real == pytest.approx(trtr_score(TEST, TRAIN, **OPTIONS))
    both = pd.concat([TRAIN, SYNTH], ignore_index=True)
    assert outcome.augmented == pytest.approx(trtr_score(TEST, both, **OPTIONS))
    assert outcome.score == outcome.augmented - outcome.real
    assert outcome.details.groupby("trained_on")["n_train"].sum().to_dict() == {
        "augmented": 400,
        "real": 200,
    }


def test_more_of_the_same_law_helps_a_small_table_and_wrong_labels_harm():
    few, more = TRAIN[:20], _table(3, n_rows=500)
    forest = {**OPTIONS, "estimator": RandomForestClassifier(30, n_jobs=1), "match_size": False}
    assert augmentation_gain(TEST, more, X_train=few, **forest) > 0.02
    swapped = more.assign(y=np.where(more["y"] == "case", "control", "case"))
    assert augmentation_gain(TEST, swapped, X_train=few, **forest) < -0.3


def test_training_rows_are_left_whole_when_synthetic_rows_are_cut():
    options = {"breakdown": True, **OPTIONS}
    many = pd.concat([SYNTH] * 3, ignore_index=True)
    for synth, expected in ((many, 400), (SYNTH[:50], 250)):
        details = augmentation_gain(TEST, synth, X_train=TRAIN, **options).details
        assert details[details["trained_on"] == "augmented"]["n_train"].sum() == expected
        assert details[details["trained_on"] == "real"]["n_train"].sum() == 200
    free = augmentation_gain(TEST, many, X_train=TRAIN, match_size=False, **options).details
    assert free[free["trained_on"] == "augmented"]["n_train"].sum() == 800


def test_gain_for_a_numeric_target():
    tables = [table.assign(y=table["a"] + 0.1 * table["c"]) for table in (TEST, SYNTH, TRAIN)]
    gain = augmentation_gain(*tables[:2], X_train=tables[2], **OPTIONS)
    assert gain == pytest.approx(0.0, abs=0.01)


def test_calibration_errors_by_hand():
    probability = np.repeat([0.2, 0.8], 50)
    outcome = np.r_[np.repeat([1, 0], [20, 30]), np.repeat([1, 0], [40, 10])]
    # Means 0.4 against 0.2, and 0.8 against 0.8, each in half of the rows.
    assert _calibration_error(probability, outcome) == pytest.approx(0.1)
    order = np.random.default_rng(0).permutation(100)
    assert _calibration_error(probability[order], outcome[order]) == pytest.approx(0.1)
    assert _calibration_error(np.array([0.3]), np.array([1.0])) == pytest.approx(0.7)


def _probabilities(train, test):
    scaler = StandardScaler().fit(train[["a", "b", "c"]])
    model = LogisticRegression(max_iter=1000).fit(
        scaler.transform(train[["a", "b", "c"]]), train["y"] == "control"
    )
    return model.predict_proba(scaler.transform(test[["a", "b", "c"]]))[:, 1]


def test_calibration_gap_compares_both_models():
    test, train, clean = (_table(i, 1000, noise) for i, noise in enumerate((3.0, 3.0, 0.0)))
    outcome = calibration_gap(test, clean, X_train=train, breakdown=True, **OPTIONS)
    truth = (test["y"] == "control").to_numpy(float)
    synthetic, real = _probabilities(clean, test), _probabilities(train, test)
    assert outcome.ece_synth == pytest.approx(_calibration_error(synthetic, truth))
    assert outcome.ece_real == pytest.approx(_calibration_error(real, truth))
    assert outcome.brier_synth == pytest.approx(brier_score_loss(truth, synthetic))
    assert outcome.brier_gap == pytest.approx(
        brier_score_loss(truth, synthetic) - brier_score_loss(truth, real)
    )
    # Labels without noise make a model too sure of itself.
    assert outcome.score == outcome.ece_synth - outcome.ece_real
    assert outcome.score > 0.05
    assert calibration_gap(TEST, SYNTH, X_train=TRAIN, **OPTIONS) == pytest.approx(0.0, abs=0.06)
    assert outcome.details["trained_on"].tolist() == ["synthetic", "real"]


def test_calibration_of_several_classes_and_of_one():
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(3):
        y = rng.integers(0, 3, 150)
        tables.append(pd.DataFrame({"a": y + rng.normal(size=150), "y": y}))
    test, train, synth = tables
    outcome = calibration_gap(test, synth, X_train=train, breakdown=True, **OPTIONS)
    assert outcome.details["class"].tolist() == ["0", "1", "2"] * 2
    assert outcome.ece_real == pytest.approx(outcome.details["ece"][3:].mean())
    # Integer labels may come back as floats or text.
    for kind in (float, str):
        other = synth.assign(y=synth["y"].astype(kind))
        assert calibration_gap(test, other, X_train=train, **OPTIONS) == outcome.score
    with pytest.warns(UndefinedMetricWarning, match="X_synth holds one class only"):
        alone = calibration_gap(test, synth.assign(y=1), X_train=train, **OPTIONS)
    assert alone > 0.2


def test_calibration_needs_classes_and_probabilities():
    numeric = [table.assign(y=table["a"]) for table in (TEST, SYNTH, TRAIN)]
    with pytest.raises(ValueError, match="needs classes, but the target 'y' is numeric"):
        calibration_gap(*numeric[:2], X_train=numeric[2], **OPTIONS)
    with pytest.raises(TypeError, match="LinearSVC lacks predict_proba"):
        calibration_gap(TEST, SYNTH, X_train=TRAIN, target="y", estimator=LinearSVC())
    gone = SYNTH.assign(y=None)
    with pytest.warns(UndefinedMetricWarning, match="no row of X_synth has a usable target"):
        assert np.isnan(calibration_gap(TEST, gone, X_train=TRAIN, **OPTIONS))


def test_importances_agree_where_the_same_columns_matter():
    outcome = feature_importance_agreement(TEST, SYNTH, X_train=TRAIN, breakdown=True, **OPTIONS)
    assert outcome.score == 1.0
    details = outcome.details.set_index("column")
    assert details["importance_real"].idxmax() == "a"
    assert details.loc["c", "importance_synth"] == pytest.approx(0.0, abs=0.02)
    rho = spearmanr(details["importance_real"], details["importance_synth"]).statistic
    assert outcome.score == pytest.approx(rho)
    # Columns with exchanged roles.
    turned = SYNTH.rename(columns={"a": "c", "c": "a"})
    other = feature_importance_agreement(TEST, turned, X_train=TRAIN, breakdown=True, **OPTIONS)
    assert other.score < 1.0
    assert other.details["importance_synth"][0] == pytest.approx(0.0, abs=0.02)


def test_importances_of_categories_and_numeric_targets():
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(3):
        frame = pd.DataFrame({"g": rng.choice(list("uvw"), 200), "x": rng.normal(size=200)})
        frame.loc[:20, "x"] = np.nan
        frame["z"] = rng.normal(size=200)
        tables.append(frame.assign(y=(frame["g"] == "u") * 3 + frame["x"].fillna(0) + 0.0))
    test, train, synth = tables
    for estimator in ("xgb", RandomForestRegressor(20)):
        details = feature_importance_agreement(
            test,
            synth,
            X_train=train,
            target="y",
            estimator=estimator,
            random_state=0,
            breakdown=True,
        ).details
        assert details["importance_real"].tolist() == sorted(
            details["importance_real"], reverse=True
        )
        assert details["importance_synth"].argmax() == 0


def test_importances_of_one_column_are_undefined():
    options = {"X_train": TRAIN[["a", "y"]], **OPTIONS}
    with pytest.warns(UndefinedMetricWarning, match="fewer than two columns differ"):
        value = feature_importance_agreement(TEST[["a", "y"]], SYNTH[["a", "y"]], **options)
    assert np.isnan(value)
    with pytest.warns(UndefinedMetricWarning, match="one row or one class only"):
        value = feature_importance_agreement(TEST[:1], SYNTH, X_train=TRAIN, **OPTIONS)
    assert np.isnan(value)
    with pytest.warns(UndefinedMetricWarning, match="no row of X_train has a usable target"):
        value = feature_importance_agreement(TEST, SYNTH, X_train=TRAIN.assign(y=None), **OPTIONS)
    assert np.isnan(value)


@pytest.fixture(scope="module")
def dependent():
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(3):
        common = rng.normal(size=300)
        tables.append(
            pd.DataFrame(
                {
                    "x": common + 0.3 * rng.normal(size=300),
                    "y": common + 0.3 * rng.normal(size=300),
                    "g": np.where(common + 0.3 * rng.normal(size=300) > 0, "high", "low"),
                    "k": (common > 1).astype(int),
                }
            )
        )
    return tables


def test_every_column_is_predicted(dependent):
    test, train, synth = dependent
    options = {"X_train": train, "estimator": "logistic", "random_state": 0}
    outcome = all_targets_utility(test, synth, breakdown=True, **options)
    assert outcome.score == pytest.approx(0.0, abs=0.03)
    assert outcome.details["target"].tolist() == ["x", "y", "g", "k"]
    assert outcome.details["task"].tolist() == ["regression"] * 2 + ["classification"] * 2
    assert outcome.score == pytest.approx(outcome.details["gap"].mean())
    assert outcome.median_gap == pytest.approx(outcome.details["gap"].median())
    for row in outcome.details.itertuples():
        gap = utility_gap(test, synth, target=row.target, **options)
        assert row.gap == pytest.approx(gap)
    shuffled = synth.apply(lambda column: column.sample(frac=1, random_state=1).to_numpy())
    lost = all_targets_utility(
        test,
        synth.assign(
            **{c: synth[c].sample(frac=1, random_state=i).to_numpy() for i, c in enumerate(synth)}
        ),
        **options,
    )
    assert lost > 0.4
    assert all_targets_utility(test, shuffled, **options) == pytest.approx(0.0, abs=0.05)


@pytest.mark.slow
def test_number_of_jobs_does_not_matter(dependent):
    test, train, synth = dependent
    options = {"X_train": train, "estimator": "logistic", "random_state": 0}
    one = all_targets_utility(test, synth, **options)
    assert all_targets_utility(test, synth, n_jobs=2, **options) == one


def test_targets_may_be_sampled_and_models_given(dependent):
    test, train, synth = dependent
    options = {"X_train": train, "estimator": "logistic", "random_state": 0}
    few = all_targets_utility(test, synth, max_targets=2, max_rows=100, breakdown=True, **options)
    assert len(few.details) == 2
    pair = (RandomForestClassifier(5), RandomForestRegressor(5))
    forests = {**options, "estimator": pair}
    assert all_targets_utility(test, synth, **forests) == all_targets_utility(
        test, synth, **forests
    )


def test_rare_classes_are_judged_as_one():
    rng = np.random.default_rng(0)
    tables = [
        pd.DataFrame({"id": rng.integers(0, 60, 200).astype(str), "x": rng.normal(size=200)})
        for _ in range(3)
    ]
    test, train, synth = tables
    options = {"X_train": train, "estimator": "logistic", "random_state": 0, "max_classes": 3}
    details = all_targets_utility(test, synth, breakdown=True, **options).details
    assert details["trtr"][0] == pytest.approx(0.5, abs=0.15)


def test_columns_that_cannot_be_judged_are_left_out_with_a_note(dependent):
    test, train, synth = (table.assign(one="a", gone=np.nan) for table in dependent)
    options = {"X_train": train, "estimator": "logistic", "random_state": 0, "breakdown": True}
    outcome = all_targets_utility(test, synth, **options)
    details = outcome.details.set_index("target")
    assert details["gap"].isna().tolist() == [False] * 4 + [True, True]
    assert "one class only" in details.loc["one", "note"]
    assert "no training row has a usable target" in details.loc["gone", "note"]
    assert outcome.score == pytest.approx(details["gap"].mean())


def test_all_targets_refuses_what_it_cannot_use(dependent):
    test, train, synth = dependent
    with pytest.raises(ValueError, match="a pair of a classifier and a regressor"):
        all_targets_utility(test, synth, X_train=train, estimator=RandomForestClassifier())
    with pytest.raises(ValueError, match="estimator='trees' is unknown"):
        all_targets_utility(test, synth, X_train=train, estimator="trees")
    with pytest.raises(ValueError, match=r"lacks the columns \['k'\]"):
        all_targets_utility(test, synth.drop(columns="k"), X_train=train)
    with pytest.raises(ValueError, match="contains infinity"):
        all_targets_utility(test, synth, X_train=train.assign(x=np.inf))
    with pytest.warns(UndefinedMetricWarning, match="the tables have one column"):
        assert np.isnan(all_targets_utility(test[["x"]], synth[["x"]], X_train=train[["x"]]))
    with pytest.raises(ValueError, match="max_classes=1 must be at least 2"):
        all_targets_utility(test, synth, X_train=train, max_classes=1)


@pytest.mark.parametrize(
    "metric",
    [augmentation_gain, calibration_gap, feature_importance_agreement, all_targets_utility],
)
def test_missing_tables_are_named(metric):
    target = {} if metric is all_targets_utility else {"target": "y"}
    with pytest.raises(ValueError, match=f"{metric.__name__} needs X_train"):
        metric(TEST, SYNTH, X_train=None, **target)
    with pytest.raises(ValueError, match=f"{metric.__name__} needs X_synth"):
        metric(TEST, None, X_train=TRAIN, **target)


def test_infinite_synthetic_cells_and_targets_are_missing():
    synth = SYNTH.assign(n=np.where(np.arange(200) < 5, np.inf, SYNTH["a"]))
    test, train = TEST.assign(n=TEST["a"]), TRAIN.assign(n=TRAIN["a"])
    options = {**OPTIONS, "target": "n", "X_train": train}
    outcome = augmentation_gain(test, synth, breakdown=True, **options)
    assert outcome.dropped["X_synth"]["missing"] == 5
    assert abs(outcome.score) < 0.1


def test_a_short_test_table_does_not_decide_the_task():
    test, train = TEST[:6].assign(y=range(6)), TRAIN.assign(y=range(200))
    assert "r2" in tstr_score(test, train, X_train=train, breakdown=True, **OPTIONS).measures


def test_trees_predict_targets_far_from_zero():
    tables = [table.assign(y=1e7 + 0.01 * table["a"]) for table in (TEST, TRAIN)]
    assert tstr_score(*tables, target="y", random_state=0) > 0.9


def test_masks_times_and_names_decide_the_kind_of_target():
    counts = TEST.assign(y=np.arange(200) % 40)
    by_name = tstr_score(counts, counts, discrete_columns=["y"], breakdown=True, **OPTIONS)
    assert "roc_auc" in by_name.measures
    for chosen in (np.array([False, False, False, True]), pd.Index(["y"])):
        same = tstr_score(counts, counts, discrete_columns=chosen, breakdown=True, **OPTIONS)
        assert same.score == by_name.score
    for unit in ("datetime64[ns]", "timedelta64[ns]"):
        times = TEST.assign(y=(TEST["a"] * 1e12).astype("int64").astype(unit))
        assert "r2" in tstr_score(times, times, breakdown=True, **OPTIONS).measures
