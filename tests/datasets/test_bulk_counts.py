import json

import numpy as np
import pytest

from synth_estimators.datasets import make_bulk_counts


def test_counts_come_with_names_classes_and_batches():
    X, y, meta = make_bulk_counts(12, 30, n_classes=3, n_batches=3, random_state=0)
    assert X.shape == (12, 30)
    assert (X.dtypes == np.int64).all()
    assert X.to_numpy().min() >= 0
    assert list(X.columns[:2]) == ["gene_0", "gene_1"]
    assert set(y) == {0, 1, 2}
    assert np.bincount(meta.batch_labels).tolist() == [4, 4, 4]
    assert meta.feature_names == list(X.columns)


def test_mean_and_variance_are_those_of_the_truth():
    X, _, meta = make_bulk_counts(
        6000, 12, n_batches=2, library_sd=0.0, batch_effect_strength=1.0, random_state=1
    )
    expected = meta.expected_counts()
    for label in (0, 1):
        for batch in (0, 1):
            rows = (meta.class_labels == label) & (meta.batch_labels == batch)
            mean = expected[rows][0]
            variance = mean + meta.dispersions[batch] * mean**2
            found = X[rows].to_numpy()
            error = np.sqrt(variance / rows.sum())
            assert (np.abs(found.mean(axis=0) - mean) < 5 * error).all()
            # The variance of a gene with a dispersion around 1 has a relative error near 0.1.
            ratio = found.var(axis=0)[mean > 5] / variance[mean > 5]
            assert abs(np.log(ratio)).max() < 0.5


def test_effects_are_ratios_of_expected_counts():
    _, _, meta = make_bulk_counts(20, 50, n_batches=3, random_state=0)
    clean = meta.expected_counts(batches=False)
    ratio = np.log2(meta.expected_counts() / clean)
    np.testing.assert_allclose(ratio, meta.batch_effects[meta.batch_labels], atol=1e-9)
    per_size = clean / meta.library_sizes[:, None] / meta.base_means
    np.testing.assert_allclose(np.log2(per_size), meta.class_effects[meta.class_labels], atol=1e-9)


def test_only_informative_genes_depend_on_the_class():
    _, _, meta = make_bulk_counts(10, 40, n_informative=6, random_state=0)
    changed = np.flatnonzero((meta.class_effects != 0).any(axis=0))
    assert changed.tolist() == meta.informative_indices.tolist()
    assert len(changed) == 6


def test_dispersion_falls_with_the_mean():
    _, _, meta = make_bulk_counts(
        4,
        500,
        dispersion=0.1,
        dispersion_trend=2.0,
        dispersion_sd=0.0,
        random_state=0,
        batch_effect_dispersion=0.0,
    )
    np.testing.assert_allclose(meta.dispersions, [0.1 + 2 / meta.base_means] * 2)
    assert meta.base_means.mean() == pytest.approx(100)


def test_without_dispersion_counts_are_poisson():
    X, _, meta = make_bulk_counts(
        4000,
        5,
        n_classes=1,
        n_batches=1,
        dispersion=0,
        dispersion_trend=0,
        library_sd=0,
        random_state=0,
    )
    assert (meta.dispersions == 0).all()
    ratio = X.var() / X.mean()
    # The ratio of 4000 Poisson counts has a standard error of 0.022.
    assert (abs(ratio - 1) < 0.11).all()


def test_one_batch_has_no_effect():
    _, _, meta = make_bulk_counts(6, 10, n_batches=1, random_state=0)
    assert (meta.batch_effects == 0).all()
    np.testing.assert_array_equal(meta.expected_counts(), meta.expected_counts(batches=False))


def test_batches_follow_the_classes_where_asked():
    _, y, meta = make_bulk_counts(30, 5, confounding_with_class=1.0, random_state=0)
    np.testing.assert_array_equal(meta.batch_labels, y)


def test_library_sizes_scale_whole_samples():
    X, _, meta = make_bulk_counts(40, 2000, library_sd=0.8, random_state=0, n_batches=1)
    totals = X.sum(axis=1)
    assert np.corrcoef(np.log(totals), np.log(meta.library_sizes))[0, 1] > 0.95


def test_same_seed_same_counts():
    first, second = (make_bulk_counts(8, 20, random_state=3)[0] for _ in range(2))
    assert first.equals(second)
    assert not first.equals(make_bulk_counts(8, 20, random_state=4)[0])


def test_truth_survives_json():
    _, _, meta = make_bulk_counts(6, 4, random_state=0)
    truth = json.loads(json.dumps(meta.to_dict()))
    assert truth["batch_effects"] == meta.batch_effects.tolist()
    assert truth["batch_labels"] == meta.batch_labels.tolist()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_samples": 1}, "n_classes=2 is larger than n_samples=1"),
        ({"n_features": 3, "n_informative": 4}, "n_informative=4 is larger"),
        ({"class_weights": [1, 2, 3]}, "class_weights"),
        ({"proportions": [1, 2, 3]}, "proportions has shape"),
        ({"n_batches": 0}, "n_batches"),
        ({"confounding_with_class": 2}, "confounding_with_class"),
        ({"batch_effect_strength": -1}, "batch_effect_strength"),
    ],
)
def test_bad_parameters_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        make_bulk_counts(**{"n_samples": 6, "n_features": 10, **keywords})
