import numpy as np
import pandas as pd
import pytest

from synth_estimators.datasets import make_expression_counts

PLAIN = {"n_modules": 0, "class_effect": 0.0, "library_sd": 0.0}


def test_returns_integer_counts_with_names_and_labels():
    X, y = make_expression_counts(30, 12, n_classes=3, random_state=0)
    assert X.shape == (30, 12)
    assert (X.dtypes == np.int64).all()
    assert X.columns[11] == "gene_11"
    assert X.to_numpy().min() >= 0
    assert isinstance(y, pd.Series)
    assert set(y) == {0, 1, 2}
    assert y.index.equals(X.index)


def test_same_seed_same_table_and_global_state_untouched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    X1, y1 = make_expression_counts(20, 5, random_state=1)
    X2, y2 = make_expression_counts(20, 5, random_state=1)
    X3, _ = make_expression_counts(20, 5, random_state=2)
    pd.testing.assert_frame_equal(X1, X2)
    pd.testing.assert_series_equal(y1, y2)
    assert not X1.equals(X3)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_variance_is_that_of_the_negative_binomial():
    X, _ = make_expression_counts(20_000, 6, dispersion=0.3, random_state=0, **PLAIN)
    mean, variance = X.mean(), X.var()
    # The relative error of a variance over 20,000 draws is about 2 %.
    np.testing.assert_allclose(variance, mean + 0.3 * mean**2, rtol=0.1)


def test_zero_dispersion_gives_poisson_counts():
    X, _ = make_expression_counts(20_000, 6, dispersion=0.0, random_state=0, **PLAIN)
    np.testing.assert_allclose(X.var(), X.mean(), rtol=0.1)


def test_mean_count_sets_the_level():
    X, _ = make_expression_counts(2_000, 40, mean_count=37.0, random_state=0)
    assert X.to_numpy().mean() == pytest.approx(37.0, rel=0.1)


def test_library_sizes_are_log_normal():
    X, _ = make_expression_counts(
        1_000, 300, n_modules=0, class_effect=0.0, library_sd=0.5, random_state=0
    )
    assert np.log(X.sum(axis=1)).std() == pytest.approx(0.5, abs=0.05)


def test_modules_make_genes_move_together():
    wanted = {"class_effect": 0.0, "library_sd": 0.0, "random_state": 0}

    def mean_correlation(**options):
        X, _ = make_expression_counts(400, 30, **wanted, **options)
        correlation = np.abs(np.corrcoef(np.log2(X.to_numpy().T + 1)))
        return correlation[np.triu_indices(30, 1)].mean()

    assert mean_correlation(module_sd=1.5) > 2.5 * mean_correlation(n_modules=0)


def test_class_effects_touch_the_informative_genes_alone():
    X, y = make_expression_counts(
        4_000, 50, n_informative=5, class_effect=2.0, n_modules=0, random_state=0
    )
    log_counts = np.log2(X + 1)
    gap = (log_counts[y == 0].mean() - log_counts[y == 1].mean()).abs()
    # Without an effect the gap is noise of size 0.05 at most over 2,000 samples a class.
    assert 3 <= (gap > 0.2).sum() <= 5


def test_class_weights_set_the_shares():
    _, y = make_expression_counts(4_000, 2, n_classes=2, class_weights=[3, 1], random_state=0)
    assert (y == 0).mean() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 2, "n_classes": 3}, "n_classes=3 is larger than n_samples=2"),
        ({"n_features": 4, "n_informative": 5}, "n_informative=5 is larger than n_features=4"),
        ({"class_weights": [1.0, 0.0]}, "expected 2 finite numbers"),
        ({"n_features": 0}, "n_features"),
        ({"dispersion": -1.0}, "dispersion"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_expression_counts(**options)
