import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from synth_estimators.batch_effects import BatchLabelWarning, ComBat, LongitudinalComBat
from synth_estimators.batch_effects._combat_model import CombatOptions, estimate_effects


@pytest.fixture
def cohort():
    """Subjects seen two to four times, mostly at one scanner each; the truth and the table."""
    rng = np.random.default_rng(0)
    n_subjects, n_features = 40, 25
    visits = rng.integers(2, 5, n_subjects)
    subject = np.repeat(np.arange(n_subjects), visits)
    home = np.arange(n_subjects) % 3
    scanner = np.where(rng.random(len(subject)) < 0.75, home[subject], rng.integers(0, 3))
    age = rng.uniform(20, 60, n_subjects)[subject] + np.concatenate([np.arange(v) for v in visits])
    # Subjects of the third scanner differ, which a model without subjects takes for the scanner.
    level = rng.normal(size=(n_subjects, n_features)) + 1.5 * (home == 2)[:, None]
    truth = 0.05 * age[:, None] + level[subject] + 0.4 * rng.normal(size=(len(subject), n_features))
    shift = rng.normal(size=(3, n_features)) + np.array([[-1.0], [0.0], [1.0]])
    table = pd.DataFrame(truth + shift[scanner]).add_prefix("f")
    labels = pd.DataFrame(
        {
            "batch": np.array(["x", "y", "z"])[scanner],
            "age": age,
            "subject": [f"p{number:02d}" for number in subject],
        }
    )
    return truth, table.join(labels)


def features(frame):
    return frame.filter(regex=r"^f\d+$")


def dense_fit(y, design, members, ratio):
    covariance = np.eye(len(y)) + ratio * members @ members.T
    inverse = np.linalg.inv(covariance)
    normal = design.T @ inverse @ design
    coef = np.linalg.solve(normal, design.T @ inverse @ y)
    weighted = inverse @ (y - design @ coef)
    squares = (y - design @ coef) @ weighted
    n_free = len(y) - design.shape[1]
    log_likelihood = -0.5 * (
        n_free * np.log(squares) + np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]
    )
    return log_likelihood, coef, squares / n_free, ratio * members.T @ weighted


def test_result_follows_the_published_steps(cohort):
    _, table = cohort
    corrector = LongitudinalComBat(covariates=["age"])
    corrected = corrector.fit_transform(table).to_numpy()
    X = features(table).to_numpy()
    codes, levels = pd.factorize(table["batch"], sort=True)
    subjects = pd.factorize(table["subject"], sort=True)[0]
    members = np.eye(subjects.max() + 1)[subjects]
    design = np.column_stack([np.eye(len(levels))[codes], table["age"]])
    standard, rebuilt, sds = np.empty_like(X), np.empty_like(X), np.empty(X.shape[1])
    for feature in range(X.shape[1]):
        ratio = corrector.subject_var_[feature] / corrector.residual_var_[feature]
        value, coef, variance, blup = dense_fit(X[:, feature], design, members, ratio)
        # The ratio is where the restricted likelihood is largest.
        for factor in (0.99, 1.01):
            assert dense_fit(X[:, feature], design, members, ratio * factor)[0] < value
        effects = coef[:3] - np.bincount(codes) @ coef[:3] / len(X)
        fixed = X[:, feature] * 0 + np.bincount(codes) @ coef[:3] / len(X) + design[:, 3] * coef[3]
        rebuilt[:, feature] = fixed + blup[subjects]
        sds[feature] = np.sqrt(variance)
        standard[:, feature] = (X[:, feature] - rebuilt[:, feature]) / sds[feature]
        # Centred effects of the batches in units of the residuals are the means of their rows.
        np.testing.assert_allclose(
            corrector.gamma_hat_[:, feature], effects / sds[feature], atol=1e-8
        )
    _, _, gamma, delta, _, _ = estimate_effects(standard, codes, 3, CombatOptions())
    expected = sds * (standard - gamma[codes]) / np.sqrt(delta[codes]) + rebuilt
    np.testing.assert_allclose(corrected, expected, atol=1e-7)


def test_it_comes_closer_to_the_truth_than_combat(cohort):
    truth, table = cohort

    def error(corrected):
        gap = corrected - truth
        return np.sqrt(np.mean((gap - gap.mean(axis=0)) ** 2))

    longitudinal = error(LongitudinalComBat(covariates=["age"]).fit_transform(table).to_numpy())
    plain = error(
        ComBat(covariates=["age"]).fit_transform(table.drop(columns="subject")).to_numpy()
    )
    assert longitudinal < 0.5 * plain


def test_variances_of_the_simulation_are_recovered(cohort):
    _, table = cohort
    corrector = LongitudinalComBat(covariates=["age"]).fit(table)
    # 25 features with a relative sd of the estimates of 0.15 each: the mean is good to 0.03.
    assert abs(corrector.residual_var_.mean() - 0.16) < 0.016
    # Subjects have variance 1 within scanners, and 0.5 between the groups of the home scanners.
    assert 1.0 < corrector.subject_var_.mean() < 2.0


def test_transform_of_the_fitted_cohort_equals_fit_transform(cohort):
    _, table = cohort
    corrector = LongitudinalComBat(covariates=["age"])
    once = corrector.fit_transform(table)
    np.testing.assert_allclose(corrector.transform(table), once, atol=1e-10)
    np.testing.assert_allclose(corrector.transform(table.iloc[[5]]), once.iloc[[5]], atol=1e-10)


def test_new_subject_counts_as_average_with_a_warning(cohort):
    _, table = cohort
    corrector = LongitudinalComBat().fit(table.drop(columns="age"))
    new = table.drop(columns="age").assign(subject="nobody").iloc[:4]
    with pytest.warns(UserWarning, match="'nobody'"):
        corrected = corrector.transform(new).to_numpy()
    codes = pd.factorize(table["batch"], sort=True)[0][:4]
    sd = np.sqrt(corrector.residual_var_)
    standard = (features(new).to_numpy() - corrector.grand_mean_) / sd
    expected = (standard - corrector.gamma_star_[codes]) / np.sqrt(corrector.delta_star_[codes])
    np.testing.assert_allclose(corrected, expected * sd + corrector.grand_mean_, atol=1e-10)


def test_keyword_mode_gives_the_same_as_column_mode(cohort):
    _, table = cohort
    by_column = LongitudinalComBat(covariates=["age"]).fit_transform(table)
    labels = {
        "batch": table["batch"],
        "covariates": table[["age"]],
        "subject": table["subject"].to_numpy(),
    }
    corrector = LongitudinalComBat()
    by_keyword = corrector.fit_transform(features(table), **labels)
    pd.testing.assert_frame_equal(by_column, by_keyword)
    np.testing.assert_allclose(
        corrector.transform(features(table), **labels), by_keyword, atol=1e-10
    )


def test_feature_without_variation_within_subjects_is_returned_as_it_comes(cohort):
    _, table = cohort
    subjects = pd.factorize(table["subject"])[0]
    table = table.assign(f3=np.sin(subjects), f4=2.0)
    corrector = LongitudinalComBat()
    corrected = corrector.fit_transform(table.drop(columns="age"))
    assert corrected[["f3", "f4"]].equals(table[["f3", "f4"]])
    assert corrector.kept_features_.sum() == 23


def test_missing_subjects_are_refused(cohort):
    _, table = cohort
    with pytest.raises(ValueError, match="subject"):
        LongitudinalComBat().fit(table.drop(columns=["subject", "age"]))
    gaps = table.drop(columns="age").assign(subject=table["subject"].mask(table.index == 3))
    with pytest.raises(ValueError, match="subject is missing in 1"):
        LongitudinalComBat().fit(gaps)


def test_one_row_a_subject_is_refused(cohort):
    _, table = cohort
    once = table.drop(columns="age").assign(subject=np.arange(len(table)))
    with pytest.raises(ValueError, match="several rows a subject"):
        LongitudinalComBat().fit(once)


def test_confounded_covariate_is_named(cohort):
    _, table = cohort
    table = table.assign(age=(table["batch"] == "x").astype(float))
    with pytest.raises(ValueError, match=r"'age'.*confounded"):
        LongitudinalComBat(covariates=["age"]).fit(table)


def test_table_without_labels_stays_as_it_is():
    X = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.warns(BatchLabelWarning):
        np.testing.assert_array_equal(LongitudinalComBat().fit_transform(X), X)


def test_rows_of_the_reference_batch_stay_as_they_are(cohort):
    _, table = cohort
    corrector = LongitudinalComBat(covariates=["age"], reference_batch="y")
    corrected = corrector.fit_transform(table)
    chosen = table["batch"] == "y"
    assert corrected[chosen].equals(features(table)[chosen])
    plain = LongitudinalComBat(covariates=["age"]).fit_transform(table)
    # Another reference moves all rows of a feature alike, but for what is shrunk.
    gap = (corrected - plain).to_numpy()
    assert np.abs(gap - gap.mean(axis=0)).mean() < 0.2 * np.abs(gap).mean()


def test_unseen_batch_of_known_subjects_is_estimated(cohort):
    _, table = cohort
    table = table.drop(columns="age")
    seen = table["batch"] != "z"
    corrector = LongitudinalComBat(unseen="estimate").fit(table[seen])
    new = table[~seen & table["subject"].isin(corrector.subjects_)]
    corrected = corrector.transform(new).to_numpy()
    effects = pd.DataFrame(corrector.subject_effects_, index=corrector.subjects_)
    intercepts = effects.loc[new["subject"]].to_numpy()
    sd = np.sqrt(corrector.residual_var_)
    expected = corrector.grand_mean_ + intercepts
    standard = (features(new).to_numpy() - expected) / sd
    zeros = np.zeros(len(new), dtype=int)
    effects = estimate_effects(standard, zeros, 1, CombatOptions())
    standard = (standard - effects[2]) / np.sqrt(effects[3])
    np.testing.assert_allclose(corrected, standard * sd + expected, atol=1e-10)


def test_labels_are_routed_through_pipelines_and_folds(cohort):
    _, table = cohort
    labels = {name: table[name].to_numpy() for name in ("batch", "subject")}
    target = np.arange(len(table)) % 2
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(LongitudinalComBat(), LogisticRegression())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*were not there during fit")
            result = cross_validate(
                pipeline, features(table), target, params=labels, cv=3, error_score="raise"
            )
    assert np.isfinite(result["test_score"]).all()
