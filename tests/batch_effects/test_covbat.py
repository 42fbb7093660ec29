import numpy as np
import pandas as pd
import pytest

from synth_estimators.batch_effects import ComBat, CovBat


@pytest.fixture
def norm(batch_data):
    """Table with the labels as columns."""
    return batch_data.table("norm_X").join(batch_data.meta("norm"))


def features(frame):
    return frame.loc[:, "g001":"g040"]


@pytest.mark.parametrize(
    ("name", "covariates", "options", "n_components"),
    [
        ("exp_covbat", None, {}, 20),
        ("exp_covbat_group", ["group"], {}, 20),
        ("exp_covbat_group_pv90_nostd", ["group"], {"percent_var": 0.9, "std": False}, 15),
    ],
)
def test_result_equals_the_code_of_the_authors(
    batch_data, norm, name, covariates, options, n_components
):
    table = norm[[*features(norm).columns, "batch", *(covariates or [])]]
    covbat = CovBat(covariates=covariates, **options)
    corrected = covbat.fit_transform(table)
    pd.testing.assert_frame_equal(corrected, batch_data.table(name), rtol=0, atol=1e-8)
    assert covbat.n_components_ == n_components
    assert covbat.components_.shape == (n_components, 40)


def test_keyword_mode_gives_the_same_as_column_mode(norm):
    table = norm[[*features(norm).columns, "batch", "group"]]
    by_column = CovBat(covariates=["group"]).fit_transform(table)
    by_keyword = CovBat().fit_transform(
        features(norm), batch=norm["batch"], covariates=norm[["group"]]
    )
    pd.testing.assert_frame_equal(by_column, by_keyword)


def test_transform_of_the_training_rows_equals_fit_transform(norm):
    table = norm[[*features(norm).columns, "batch"]]
    covbat = CovBat()
    once = covbat.fit_transform(table)
    np.testing.assert_allclose(covbat.transform(table), once, atol=1e-12)


def test_new_rows_follow_the_frozen_formula(norm):
    """The second step written out with a singular value decomposition of its own."""
    X, batch = features(norm).to_numpy(), norm["batch"].to_numpy()
    train = slice(0, 20)
    combat = ComBat().fit(X[train], batch=batch[train])
    adjusted = combat.transform(X, batch=batch)
    residuals = adjusted - combat.grand_mean_
    center = residuals[train].mean(axis=0)
    scale = residuals[train].std(axis=0, ddof=1)
    standard = (residuals - center) / scale
    _, singular, rows = np.linalg.svd(standard[train], full_matrices=False)
    share = np.cumsum(singular**2) / np.sum(singular**2)
    n_components = np.flatnonzero(share > 0.95)[0] + 1
    scores = standard @ rows.T
    for component in range(n_components):
        score = scores[train, component]
        labels = batch[train]
        means = {label: score[labels == label].mean() for label in np.unique(labels)}
        grand = np.mean([means[label] for label in labels])
        pooled = np.mean([(s - means[label]) ** 2 for s, label in zip(score, labels, strict=True)])
        for label in means:
            delta = score[labels == label].var(ddof=1) / pooled
            chosen = batch == label
            shifted = scores[chosen, component] - means[label]
            scores[chosen, component] = shifted / np.sqrt(delta) + grand
    expected = scores @ rows + (standard - standard @ rows.T @ rows)
    expected = expected * scale + center + combat.grand_mean_
    covbat = CovBat().fit(X[train], batch=batch[train])
    assert covbat.n_components_ == n_components
    np.testing.assert_allclose(covbat.transform(X, batch=batch), expected, atol=1e-9)


def test_rows_are_treated_one_by_one(norm):
    table = norm[[*features(norm).columns, "batch", "group"]]
    covbat = CovBat(covariates=["group"]).fit(table)
    whole = covbat.transform(table)
    for chosen in ([3], [7, 2], list(range(0, 30, 3))):
        np.testing.assert_allclose(
            covbat.transform(table.iloc[chosen]), whole.iloc[chosen], rtol=0, atol=1e-12
        )


def test_covariances_of_the_batches_become_alike():
    """Two batches with the same variances, but opposite correlations."""
    rng = np.random.default_rng(0)
    n_rows, n_features = 120, 10
    batch = np.repeat(["a", "b"], n_rows)
    signs = np.where(np.arange(n_features) % 2, 1.0, -1.0)
    common = rng.normal(size=(2 * n_rows, 1))
    X = 2.0 * common * np.where(batch == "a", 1.0, 0.3)[:, None]
    X = X + 2.0 * rng.normal(size=(2 * n_rows, 1)) * signs * np.where(batch == "a", 0.3, 1)[:, None]
    X += rng.normal(size=X.shape)

    def gap(table):
        first, second = (np.corrcoef(table[batch == label].T) for label in ("a", "b"))
        return np.abs(first - second).mean()

    assert gap(ComBat().fit_transform(X, batch=batch)) > 0.6
    assert gap(CovBat().fit_transform(X, batch=batch)) < 0.12


def test_rows_of_the_reference_batch_stay_as_they_are(norm):
    table = norm[[*features(norm).columns, "batch"]]
    covbat = CovBat(reference_batch="b2")
    corrected = covbat.fit_transform(table)
    chosen = norm["batch"] == "b2"
    assert corrected[chosen].equals(features(norm)[chosen])
    assert covbat.transform(table)[chosen].equals(features(norm)[chosen])
    # The scores of all batches get the mean and variance of those of the reference batch.
    residuals = corrected.to_numpy() - covbat.grand_mean_
    residuals = (residuals - covbat.residual_mean_) / covbat.residual_scale_
    scores = residuals @ covbat.components_.T
    for label in ("b1", "b3"):
        rows = scores[norm["batch"] == label]
        np.testing.assert_allclose(rows.mean(axis=0), scores[chosen].mean(axis=0), atol=1e-9)
        # Divisors n_i - 1 of the batch and n of the reference batch.
        expected = scores[chosen].var(axis=0, ddof=0)
        np.testing.assert_allclose(rows.var(axis=0, ddof=1), expected, rtol=1e-8)


def test_all_variance_takes_every_component(norm):
    covbat = CovBat(percent_var=1.0).fit(features(norm), batch=norm["batch"])
    assert covbat.n_components_ == 29  # 30 centred rows
    np.testing.assert_allclose(covbat.explained_variance_ratio_.sum(), 1.0)


def test_more_rows_than_features_gives_the_same_components(norm):
    narrow = features(norm).iloc[:, :12]
    covbat = CovBat(percent_var=1.0).fit(narrow, batch=norm["batch"])
    assert covbat.n_components_ == 12
    np.testing.assert_allclose(covbat.components_ @ covbat.components_.T, np.eye(12), atol=1e-12)


def test_constant_features_are_returned_as_they_come(norm):
    table = features(norm).assign(g003=5.0)
    covbat = CovBat().fit(table, batch=norm["batch"])
    assert (covbat.transform(table, batch=norm["batch"])["g003"] == 5.0).all()
    assert covbat.components_.shape[1] == 39


def test_one_row_batch_adjusts_means_only(norm):
    labels = norm["batch"].mask(np.arange(30) == 0, "solo")
    with pytest.warns(UserWarning, match="one row"):
        corrected = CovBat().fit_transform(features(norm), batch=labels)
    assert np.isfinite(corrected.to_numpy()).all()


def test_unseen_batch_is_refused_or_passed_through(norm):
    table = norm[[*features(norm).columns, "batch"]]
    train = table[table["batch"] != "b3"]
    with pytest.raises(ValueError, match="b3"):
        CovBat().fit(train).transform(table)
    with pytest.warns(UserWarning, match="b3"):
        passed = CovBat(unseen="passthrough").fit(train).transform(table)
    new = table["batch"] == "b3"
    assert passed[new].equals(features(table)[new])
    np.testing.assert_allclose(passed[~new], CovBat().fit_transform(train), atol=1e-12)


def test_percent_var_outside_its_range_is_refused(norm):
    with pytest.raises(ValueError, match="percent_var"):
        CovBat(percent_var=95).fit(features(norm), batch=norm["batch"])


def test_unseen_batch_is_estimated_in_both_steps(norm):
    table = norm[[*features(norm).columns, "batch"]]
    train, new = table[table["batch"] != "b3"], table[table["batch"] == "b3"]
    covbat = CovBat(unseen="estimate").fit(train)
    corrected = covbat.transform(table)
    known = table["batch"] != "b3"
    np.testing.assert_allclose(corrected[known], CovBat().fit_transform(train), atol=1e-12)
    np.testing.assert_allclose(covbat.transform(new), corrected[~known], atol=1e-12)
    residuals = corrected.to_numpy() - covbat.grand_mean_
    residuals = (residuals - covbat.residual_mean_) / covbat.residual_scale_
    scores = residuals @ covbat.components_.T
    # The scores are not shrunk, so that the new batch gets the mean and variance of the others.
    first = table["batch"] == "b1"
    np.testing.assert_allclose(scores[~known].mean(axis=0), scores[first].mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(
        scores[~known].var(axis=0, ddof=1), scores[first].var(axis=0, ddof=1), rtol=1e-8
    )


def test_single_batch_stays_as_it_is(norm):
    labels = np.full(30, "only")
    with pytest.warns(UserWarning, match="only"):
        corrected = CovBat().fit_transform(features(norm), batch=labels)
    assert corrected.equals(features(norm))


def test_preserved_target_is_not_needed_for_new_rows():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    batch = np.where(rng.random(200) < np.where(y, 0.8, 0.2), "a", "b")
    effect = 2.0 * y[:, None] * np.ones(15)
    X = rng.normal(size=(200, 15)) + effect + 3.0 * (batch == "b")[:, None]

    def class_gap(table):
        return (table[y == 1].mean(axis=0) - table[y == 0].mean(axis=0)).mean()

    kept = CovBat(preserve_y="fit_only").fit(X, y, batch=batch).transform(X, batch=batch)
    lost = CovBat().fit_transform(X, batch=batch)
    assert class_gap(lost) < 1.6
    assert 1.8 < class_gap(kept) < 2.2


def test_features_that_are_all_constant_are_returned_as_they_come():
    X = np.tile([1.0, 2.0], (8, 1))
    labels = np.repeat(["a", "b"], 4)
    np.testing.assert_array_equal(CovBat().fit_transform(X, batch=labels), X)
