import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from synth_estimators.metrics import c2st_auc, c2st_score, pca_c2st_auc
from synth_estimators.metrics._tables import rank_auc


@pytest.fixture
def correlated():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 200, 1)) + 0.3 * rng.normal(size=(2, 200, 4))


def test_rank_auc_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 80), rng.random(80) < 0.4
    assert rank_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(rank_auc(scores, np.ones(80, dtype=bool)))


def test_fresh_rows_cannot_be_told_apart(correlated):
    # The sd of an AUC of 200 against 200 rows is 0.03.
    assert c2st_auc(*correlated, random_state=0) == pytest.approx(0.5, abs=0.12)
    assert c2st_auc(*correlated, estimator="logistic", random_state=0) == pytest.approx(
        0.5, abs=0.12
    )


def test_trees_see_shuffled_columns_and_a_linear_model_does_not(correlated):
    real, other = correlated
    shuffled = np.random.default_rng(1).permuted(other, axis=0)
    assert c2st_auc(real, shuffled, random_state=0) > 0.8
    assert c2st_auc(real, shuffled, estimator="logistic", random_state=0) < 0.65


def test_a_copy_of_the_real_rows_has_an_ideal_score(correlated):
    assert c2st_auc(correlated[0], correlated[0], random_state=0) < 0.5
    assert c2st_score(correlated[0], correlated[0], random_state=0) == 1.0


def test_score_is_averaged_after_the_maximum(correlated):
    outcome = c2st_score(*correlated, estimator="logistic", random_state=0, breakdown=True)
    expected = np.mean([1 - (2 * max(0.5, auc) - 1) for auc in outcome.fold_auc])
    assert outcome.score == expected
    assert len(outcome.fold_auc) == 5
    auc = c2st_auc(*correlated, estimator="logistic", random_state=0)
    assert auc == np.mean(outcome.fold_auc)


def test_repeats_and_seeds(correlated):
    options = {"estimator": "logistic", "random_state": 3}
    twice = c2st_auc(*correlated, repeats=2, breakdown=True, **options)
    assert len(twice.fold_auc) == 10
    assert not np.array_equal(twice.fold_auc[:5], twice.fold_auc[5:])
    assert c2st_auc(*correlated, repeats=2, **options) == twice.score
    assert c2st_auc(*correlated, estimator="logistic", random_state=4) != c2st_auc(
        *correlated, **options
    )


def test_number_of_jobs_does_not_matter(correlated):
    one = c2st_auc(*correlated, random_state=0, n_jobs=1)
    assert c2st_auc(*correlated, random_state=0, n_jobs=2) == one


def test_importance_names_the_column_that_gives_rows_away(correlated):
    real, synth = (pd.DataFrame(part, columns=list("abcd")) for part in correlated)
    synth["c"] = synth["c"].round(1)
    synth["c"] += 1.0
    for estimator in ("xgb", "logistic", RandomForestClassifier(20)):
        details = c2st_auc(real, synth, estimator=estimator, random_state=0, breakdown=True).details
        assert details["column"].iloc[0] == "c"
        assert details["importance"].sum() == pytest.approx(1.0)


def test_granularity_gives_rows_away():
    rng = np.random.default_rng(0)
    real, synth = rng.integers(0, 100, (150, 2)), rng.integers(0, 100, (150, 2)) + 1e-6
    # Values drawn anew, off by a millionth: exact counts against almost integers.
    assert (
        c2st_auc(np.repeat(real % 4, 2, axis=0), np.repeat(synth % 4, 2, axis=0), random_state=0)
        > 0.9
    )


def test_wrong_share_of_missing_cells_and_unknown_categories_are_seen():
    rng = np.random.default_rng(0)
    real, synth = rng.normal(size=(2, 120, 2))
    synth[:60, 0] = np.nan
    assert c2st_auc(real, synth, random_state=0) > 0.65
    assert c2st_auc(real, synth, estimator="logistic", random_state=0) > 0.65
    letters = pd.DataFrame({"g": rng.choice(list("ab"), 120)})
    other = pd.DataFrame({"g": rng.choice(list("cd"), 120)})
    assert c2st_auc(letters, other, estimator="logistic", random_state=0) == 1.0


def test_own_classifiers_are_cloned_and_seeded(correlated):
    forest = RandomForestClassifier(10)
    first = c2st_auc(*correlated, estimator=forest, random_state=0)
    assert c2st_auc(*correlated, estimator=forest, random_state=0) == first
    assert not hasattr(forest, "classes_")
    assert 0 <= c2st_auc(*correlated, estimator=LinearSVC(), random_state=0) <= 1
    same = c2st_auc(*correlated, estimator=LogisticRegression(C=1.0, max_iter=1000), random_state=0)
    assert same == c2st_auc(*correlated, estimator="logistic", random_state=0)


def test_bad_options_are_refused(correlated):
    with pytest.raises(ValueError, match="estimator='trees' is unknown"):
        c2st_auc(*correlated, estimator="trees")
    with pytest.raises(ValueError, match="Ridge is a regressor"):
        c2st_auc(*correlated, estimator=Ridge())
    with pytest.raises(TypeError, match="must be a preset name or have fit"):
        c2st_auc(*correlated, estimator=3)
    with pytest.raises(ValueError, match="cv=1 must be at least 2"):
        c2st_auc(*correlated, cv=1)
    with pytest.raises(ValueError, match="repeats=0"):
        c2st_auc(*correlated, repeats=0)


def test_sizes_are_matched_and_single_rows_undefined(correlated):
    outcome = c2st_auc(correlated[0], correlated[1][:50], estimator="logistic", breakdown=True)
    assert (outcome.n_real, outcome.n_synth) == (50, 50)
    with pytest.warns(UndefinedMetricWarning, match="at least two rows"):
        assert np.isnan(c2st_auc(correlated[0][:1], correlated[1]))


def test_pca_sees_noise_in_the_small_components():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2, 300, 3)) @ rng.normal(size=(3, 30))
    real, fresh = factors + 0.1 * rng.normal(size=factors.shape)
    noisy = factors[1] + 0.3 * rng.normal(size=fresh.shape)
    options = {"X_train": real, "estimator": "xgb", "cv": 3, "random_state": 0}
    assert pca_c2st_auc(real, noisy, **options) > 0.9
    assert pca_c2st_auc(real, fresh, **options) < 0.65


def test_pca_takes_at_most_what_the_training_rows_allow(correlated):
    outcome = pca_c2st_auc(
        *correlated, X_train=correlated[0][:4], estimator="logistic", breakdown=True, random_state=0
    )
    assert len(outcome.details) == 3
    with pytest.raises(ValueError, match="n_components=0"):
        pca_c2st_auc(*correlated, n_components=0)
