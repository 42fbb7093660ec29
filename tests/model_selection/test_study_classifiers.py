"""The five classifiers against scikit-learn's and XGBoost's own on fixed folds."""

import pickle
import warnings

import numpy as np
import pytest
import xgboost
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from synth_estimators import _compat
from synth_estimators.model_selection._classifiers import (
    CLASSIFIER_NAMES,
    judge_fold,
    macro_f1,
    make_classifier,
    pairwise_auc,
)
from synth_estimators.model_selection._fold_trees import fit_boosted, fit_forest
from synth_estimators.model_selection._kernel_svm import couple_pairs, fit_sigmoid
from synth_estimators.model_selection._ridge_logistic import STRENGTHS

# narrow, wide, more rows than bins, three classes
SHAPES = [(90, 12, 2), (60, 150, 2), (120, 220, 2), (120, 20, 3)]
shapes = pytest.mark.parametrize(("n_rows", "n_columns", "n_classes"), SHAPES)


def make_fold(n_rows, n_columns, n_classes, *, seed=0, counts=False):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows + 50, n_columns))
    if counts:
        X = np.log2(1 + np.floor(np.exp(X + 1)))
    score = 1.5 * (X[:, 0] + X[:, 1]) + rng.standard_normal(len(X))
    codes = np.searchsorted(np.quantile(score, np.arange(1, n_classes) / n_classes), score)
    train = X[:n_rows]
    X = (X - train.mean(axis=0)) / train.std(axis=0)
    return X[:n_rows], codes[:n_rows], X[n_rows:], codes[n_rows:]


def published_logistic():
    return LogisticRegressionCV(
        Cs=10,
        cv=5,
        solver="liblinear",
        scoring="accuracy",
        max_iter=1000,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )


@pytest.mark.parametrize(("n_rows", "n_columns"), [(90, 12), (60, 150), (120, 60)])
@pytest.mark.parametrize("seed", range(3))
def test_logistic_is_the_published_one(n_rows, n_columns, seed):
    X, y, X_test, _ = make_fold(n_rows, n_columns, 2, seed=seed)
    ours, published = make_classifier("LOGIS").fit(X, y), published_logistic().fit(X, y)
    # Strengths of equal accuracy may differ by one row that lies on the border.
    scores = np.asarray(published.scores_).reshape(-1, 5, 10).mean(axis=(0, 1))
    chosen = np.flatnonzero(np.isclose(STRENGTHS, ours.C_[0]))[0]
    assert scores[chosen] >= scores.max() - 1.5 / n_rows
    exact = LogisticRegression(C=ours.C_[0], solver="liblinear", tol=1e-10, max_iter=10_000)
    exact.fit(X, y)
    expected = exact.decision_function(X_test)
    found = X_test @ ours.coef_[0] + ours.intercept_[0]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(ours.predict_proba(X_test), exact.predict_proba(X_test), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(X_test), exact.predict(X_test))


def test_logistic_of_three_classes_is_one_against_rest():
    X, y, X_test, _ = make_fold(120, 20, 3)
    ours = make_classifier("LOGIS").fit(X, y)
    models = [
        LogisticRegression(C=c, solver="liblinear", tol=1e-10, max_iter=10_000).fit(X, y == k)
        for k, c in enumerate(ours.C_)
    ]
    chance = np.column_stack([model.predict_proba(X_test)[:, 1] for model in models])
    expected = chance / chance.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours.predict_proba(X_test), expected, atol=1e-4)
    one_against_rest = OneVsRestClassifier(published_logistic()).fit(X, y)
    assert np.mean(ours.predict(X_test) == one_against_rest.predict(X_test)) > 0.9


def test_logistic_of_separable_rows_converges():
    # The loss has no minimum without the penalty, and 1e4 is hardly any.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 300))
    y = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make_classifier("LOGIS").fit(X, y)
    assert (model.predict(X) == y).all()


@shapes
def test_svm_decides_as_the_published_one(n_rows, n_columns, n_classes):
    X, y, X_test, _ = make_fold(n_rows, n_columns, n_classes)
    ours = make_classifier("SVM", random_state=0).fit(X, y)
    np.testing.assert_array_equal(ours.predict(X_test), SVC().fit(X, y).predict(X_test))


@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
@pytest.mark.parametrize(("n_columns", "n_classes"), [(12, 2), (12, 3)])
def test_svm_probabilities_scatter_around_the_published_ones(n_columns, n_classes):
    # Both shuffle inner folds, so means over seeds are compared.
    X, y, X_test, _ = make_fold(120, n_columns, n_classes)
    ours = [
        make_classifier("SVM", random_state=s).fit(X, y).predict_proba(X_test) for s in range(24)
    ]
    published = [
        SVC(probability=True, random_state=s).fit(X, y).predict_proba(X_test) for s in range(24)
    ]
    np.testing.assert_allclose(np.mean(ours, axis=0), np.mean(published, axis=0), atol=0.05)
    np.testing.assert_allclose(np.sum(ours[0], axis=1), 1)


def test_sigmoid_is_the_maximum_likelihood_with_smoothed_targets():
    rng = np.random.default_rng(0)
    decisions = rng.standard_normal(200)
    positive = rng.random(200) < 1 / (1 + np.exp(-2 * decisions + 0.5))
    slope, offset = fit_sigmoid(decisions, positive)
    # scikit-learn's own implementation of the same likelihood.
    from sklearn.calibration import _SigmoidCalibration

    peer = _SigmoidCalibration().fit(decisions, positive.astype(float))
    assert (slope, offset) == pytest.approx((peer.a_, peer.b_), abs=1e-3)


def test_coupling_gives_back_consistent_probabilities():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(4), size=20)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    chance = np.column_stack([shares[:, i] / (shares[:, i] + shares[:, j]) for i, j in pairs])
    np.testing.assert_allclose(couple_pairs(chance, 4), shares, atol=1e-9)


@shapes
def test_neighbors_are_scikit_learns(n_rows, n_columns, n_classes):
    X, y, X_test, _ = make_fold(n_rows, n_columns, n_classes)
    ours, peer = make_classifier("KNN").fit(X, y), KNeighborsClassifier(5).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X_test), peer.predict_proba(X_test))
    np.testing.assert_array_equal(ours.predict(X_test), peer.predict(X_test))


@shapes
@pytest.mark.parametrize("fast", [True, False])
def test_forest_is_scikit_learns_bit_by_bit(n_rows, n_columns, n_classes, fast, monkeypatch):
    if not fast:
        monkeypatch.setattr(_compat, "tree_builder", lambda: None)
    X, y, X_test, _ = make_fold(n_rows, n_columns, n_classes)
    peer = RandomForestClassifier(n_estimators=100, random_state=7).fit(X, y)
    ours = fit_forest(X, y, n_classes, 7)
    np.testing.assert_array_equal(ours.probabilities(X_test), peer.predict_proba(X_test))


def test_the_fast_forest_is_in_use():
    assert _compat.tree_builder() is not None


@shapes
@pytest.mark.parametrize("counts", [True, False])
def test_boosting_is_xgboosts_bit_by_bit(n_rows, n_columns, n_classes, counts):
    X, y, X_test, _ = make_fold(n_rows, n_columns, n_classes, counts=counts)
    if n_classes == 2:
        parameters = {"objective": "binary:logistic", "nthread": 1}
    else:
        parameters = {"objective": "multi:softprob", "num_class": n_classes, "nthread": 1}
    peer = xgboost.train(parameters, xgboost.DMatrix(X, label=y), num_boost_round=10)
    expected = peer.predict(xgboost.DMatrix(X_test))
    if n_classes == 2:
        expected = np.column_stack([1 - expected, expected])
    np.testing.assert_array_equal(fit_boosted(X, y, n_classes, 0).probabilities(X_test), expected)


@shapes
def test_scores_are_scikit_learns(n_rows, n_columns, n_classes):
    rng = np.random.default_rng(0)
    codes, predicted = rng.integers(n_classes, size=(2, 60))
    shares = rng.dirichlet(np.ones(n_classes), size=60).round(1)
    assert macro_f1(codes, predicted, n_classes) == pytest.approx(
        f1_score(codes, predicted, average="macro")
    )
    shares = shares / shares.sum(axis=1, keepdims=True)
    score = shares[:, 1] if n_classes == 2 else shares
    expected = roc_auc_score(codes, score, multi_class="ovo", average="macro")
    assert pairwise_auc(codes, shares) == pytest.approx(expected)


def test_scores_of_absent_classes():
    assert np.isnan(pairwise_auc(np.zeros(5, dtype=int), np.full((5, 2), 0.5)))
    # Class 2 is neither true nor predicted and has no F1.
    assert macro_f1(np.array([0, 1]), np.array([0, 1]), 3) == 1


def test_judge_fold_scores_every_method():
    X, y, X_test, y_test = make_fold(90, 12, 2)
    scores = judge_fold(X, y, X_test, y_test, 2, CLASSIFIER_NAMES, [0] * 5)
    for name in CLASSIFIER_NAMES:
        model = make_classifier(name, random_state=0).fit(X, y)
        shares, predicted = model.predict_proba(X_test), model.predict(X_test)
        assert scores[name] == pytest.approx(
            (
                f1_score(y_test, predicted, average="macro"),
                accuracy_score(y_test, predicted),
                roc_auc_score(y_test, shares[:, 1]),
            )
        )


def test_judge_fold_returns_the_error_of_a_failed_fit():
    X, y, X_test, y_test = make_fold(90, 12, 2)
    few = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:3]])
    scores = judge_fold(X[few], y[few], X_test, y_test, 2, ["LOGIS", "KNN"], [0, 0])
    assert isinstance(scores["LOGIS"], ValueError)
    assert len(scores["KNN"]) == 3


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_classifiers_are_scikit_learn_estimators(name):
    X, y, X_test, _ = make_fold(60, 8, 2)
    labels = np.array(["sick", "well"])[y]
    model = clone(make_classifier(name)).fit(X, labels)
    assert set(model.predict(X_test)) <= {"sick", "well"}
    assert model.predict_proba(X_test).shape == (50, 2)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X_test), model.predict_proba(X_test))
    with pytest.raises(ValueError, match="one class"):
        model.fit(X, np.zeros(60))
    with pytest.raises(ValueError, match="8 features"):
        make_classifier(name).fit(X, y).predict(X_test[:, :5])


@pytest.mark.parametrize("name", ["SVM", "KNN"])
def test_many_rows_need_no_matrix_of_products(name, monkeypatch):
    from synth_estimators.model_selection import _classifiers

    X, y, X_test, _ = make_fold(120, 12, 3)
    expected = make_classifier(name, random_state=0).fit(X, y).predict_proba(X_test)
    monkeypatch.setattr(_classifiers, "_MAX_KERNEL_ROWS", 50)
    monkeypatch.setattr(_classifiers, "_BLOCK_ROWS", 7)
    found = make_classifier(name, random_state=0).fit(X, y).predict_proba(X_test)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_names_and_aliases():
    assert type(make_classifier("xgboost")) is type(make_classifier("XGB"))
    assert type(make_classifier("lr")) is type(make_classifier("LOGIS"))
    with pytest.raises(ValueError, match=r"Unknown classifier 'MLP'; use some of \['LOGIS'"):
        make_classifier("MLP")
