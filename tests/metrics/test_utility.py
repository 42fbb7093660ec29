import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, r2_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from synth_estimators.metrics import trtr_score, tstr_score, utility_gap, utility_ratio

OPTIONS = {"target": "y", "estimator": "logistic", "random_state": 0}


def _table(seed, n_rows=150, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    value = X[:, 0] - X[:, 1] + noise * rng.normal(size=n_rows)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    return frame.assign(y=np.where(value > 0, "case", "control"))


TEST, TRAIN, SYNTH = _table(0), _table(1), _table(2, noise=2.0)


def _by_hand(train, test):
    scaler = StandardScaler().fit(train[["a", "b", "c"]])
    model = LogisticRegression(max_iter=1000).fit(
        scaler.transform(train[["a", "b", "c"]]), train["y"]
    )
    return model, scaler.transform(test[["a", "b", "c"]])


def test_binary_score_is_the_roc_auc_on_the_test_rows():
    model, X = _by_hand(SYNTH, TEST)
    expected = roc_auc_score(TEST["y"] == "control", model.predict_proba(X)[:, 1])
    assert tstr_score(TEST, SYNTH, **OPTIONS) == pytest.approx(expected)
    outcome = tstr_score(TEST, SYNTH, breakdown=True, **OPTIONS)
    assert outcome.measures["f1_macro"] == pytest.approx(
        f1_score(TEST["y"], model.predict(X), average="macro")
    )
    assert outcome.details["class"].tolist() == ["case", "control"]


def test_ratio_and_gap_put_synthetic_beside_real():
    real = trtr_score(TEST, TRAIN, **OPTIONS)
    synthetic = tstr_score(TEST, SYNTH, **OPTIONS)
    assert trtr_score(TEST, SYNTH, X_train=TRAIN, **OPTIONS) == real
    assert utility_ratio(TEST, SYNTH, X_train=TRAIN, **OPTIONS) == pytest.approx(synthetic / real)
    assert utility_gap(TEST, SYNTH, X_train=TRAIN, **OPTIONS) == pytest.approx(real - synthetic)
    outcome = utility_ratio(TEST, SYNTH, X_train=TRAIN, breakdown=True, **OPTIONS)
    assert (outcome.tstr, outcome.trtr) == pytest.approx((synthetic, real))
    assert set(outcome.details["trained_on"]) == {"real", "synthetic"}


def test_rows_are_matched_in_number():
    more = pd.concat([SYNTH, SYNTH], ignore_index=True)
    outcome = utility_gap(TEST, more, X_train=TRAIN, breakdown=True, **OPTIONS)
    assert outcome.details.groupby("trained_on")["n_train"].sum().tolist() == [150, 150]
    free = utility_gap(TEST, more, X_train=TRAIN, breakdown=True, match_size=False, **OPTIONS)
    assert free.details.groupby("trained_on")["n_train"].sum().tolist() == [150, 300]


def test_several_classes_are_judged_one_against_the_rest():
    rng = np.random.default_rng(0)
    tables = []
    for n_rows in (120, 150):
        y = rng.integers(0, 3, n_rows)
        tables.append(
            pd.DataFrame({"a": y + rng.normal(size=n_rows), "b": rng.normal(size=n_rows), "y": y})
        )
    test, synth = tables
    scaler = StandardScaler().fit(synth[["a", "b"]])
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(synth[["a", "b"]]), synth["y"])
    probability = model.predict_proba(scaler.transform(test[["a", "b"]]))
    expected = roc_auc_score(test["y"], probability, multi_class="ovr")
    assert tstr_score(test, synth, **OPTIONS) == pytest.approx(expected)
    # A class that the synthetic rows lack gets probability 0, so its AUC is one half.
    outcome = tstr_score(test, synth[synth["y"] < 2], breakdown=True, **OPTIONS)
    assert outcome.details["roc_auc"].tolist()[2] == 0.5


def test_numeric_target_is_judged_by_r2():
    test, synth = TEST.assign(y=TEST["a"] * 2 + 1), SYNTH.assign(y=SYNTH["a"] * 2 + 1)
    assert tstr_score(test, synth, **OPTIONS) > 0.99
    noise = synth.assign(y=np.random.default_rng(0).normal(size=150))
    outcome = tstr_score(test, noise, breakdown=True, **OPTIONS)
    assert outcome.score < 0.1
    with pytest.warns(UndefinedMetricWarning, match="use utility_gap"):
        assert np.isnan(
            utility_ratio(test, synth, X_train=noise.assign(y=noise["y"] + 9), **OPTIONS)
        )
    forest = RandomForestRegressor(10)
    model_score = tstr_score(test, synth, target="y", estimator=forest, random_state=0)
    assert model_score > 0.8
    assert r2_score(test["y"], test["y"]) == 1.0


def test_task_follows_the_target_column():
    counts = TEST.assign(y=np.arange(150) % 7)
    assert "roc_auc" in tstr_score(counts, counts, breakdown=True, **OPTIONS).measures
    many = TEST.assign(y=np.arange(150))
    assert "r2" in tstr_score(many, many, breakdown=True, **OPTIONS).measures
    forced = tstr_score(counts, counts, task="regression", breakdown=True, **OPTIONS)
    assert "r2" in forced.measures
    with pytest.raises(ValueError, match="'y' is discrete, but task='regression'"):
        tstr_score(TEST, SYNTH, task="regression", **OPTIONS)
    with pytest.raises(ValueError, match="task='both' is unknown"):
        tstr_score(TEST, SYNTH, task="both", **OPTIONS)


def test_one_synthetic_class_gives_one_half_and_a_warning():
    with pytest.warns(UndefinedMetricWarning, match="one class only"):
        assert tstr_score(TEST, SYNTH.assign(y="case"), **OPTIONS) == 0.5


@pytest.mark.filterwarnings("ignore:X_synth holds one class only")
def test_one_test_class_is_undefined():
    with pytest.warns(UndefinedMetricWarning, match="test rows hold one class"):
        assert np.isnan(tstr_score(TEST[TEST["y"] == "case"], SYNTH, **OPTIONS))


def test_unknown_classes_and_missing_targets_are_dropped_and_counted():
    synth = SYNTH.copy()
    synth.loc[:4, "y"] = "other"
    synth.loc[5:7, "y"] = None
    outcome = tstr_score(TEST, synth, breakdown=True, **OPTIONS)
    assert outcome.dropped["X_synth"] == {"missing": 3, "unknown": 5}
    assert outcome.score == tstr_score(TEST, SYNTH.iloc[8:], **OPTIONS)


def test_labels_of_another_type_are_the_same_labels():
    test, synth = (
        TEST.assign(y=(TEST["y"] == "case") * 1),
        SYNTH.assign(y=(SYNTH["y"] == "case") * 1),
    )
    expected = tstr_score(test, synth, **OPTIONS)
    assert tstr_score(test, synth.assign(y=synth["y"].astype(float)), **OPTIONS) == expected
    assert tstr_score(test, synth.assign(y=synth["y"].astype(str)), **OPTIONS) == expected


@pytest.mark.parametrize("scoring", ["f1_macro", "accuracy", "neg_log_loss", "balanced_accuracy"])
def test_other_scorings(scoring):
    value = tstr_score(TEST, SYNTH, scoring=scoring, **OPTIONS)
    assert value < 1
    assert value != tstr_score(TEST, SYNTH, **OPTIONS)


def test_scoring_may_be_a_callable_and_must_fit_the_target():
    def count_rows(model, X, y):
        return len(X)

    assert tstr_score(TEST, SYNTH, scoring=count_rows, **OPTIONS) == 150
    with pytest.raises(ValueError, match="scoring='r2' does not fit a classification target"):
        tstr_score(TEST, SYNTH, scoring="r2", **OPTIONS)


def test_other_models_and_repeats():
    for model in (RandomForestClassifier(10), LinearSVC(), "xgb"):
        options = {**OPTIONS, "estimator": model}
        value = tstr_score(TEST, SYNTH, **options)
        assert 0.6 < value < 1
        assert tstr_score(TEST, SYNTH, **options) == value
    forest = {**OPTIONS, "estimator": RandomForestClassifier(5)}
    scores = tstr_score(TEST, SYNTH, repeats=3, breakdown=True, **forest).scores
    assert len(set(scores)) > 1


def test_target_may_be_a_position_and_must_exist():
    arrays = [
        table.assign(y=(table["y"] == "case") * 1.0).to_numpy(float) for table in (TEST, SYNTH)
    ]
    by_position = tstr_score(*arrays, target=3, estimator="logistic", random_state=0)
    assert by_position == tstr_score(*arrays, target="x3", estimator="logistic", random_state=0)
    assert by_position == tstr_score(*arrays, target=-1, estimator="logistic", random_state=0)
    with pytest.raises(ValueError, match="target='q' is not a column of X_real"):
        tstr_score(TEST, SYNTH, target="q")
    with pytest.raises(ValueError, match="hold the target only"):
        tstr_score(TEST[["y"]], SYNTH[["y"]], target="y")
    with pytest.raises(ValueError, match="trtr_score needs X_train"):
        trtr_score(TEST, target="y")
