import numpy as np
import pandas as pd
import pytest
from sklearn.utils import estimator_checks

from synth_estimators.preprocessing import Log2Transformer

NAME = "Log2Transformer"
COUNTS = np.array([[0, 3, 10], [7, 1, 40], [15, 0, 5], [1023, 2, 7]])


@estimator_checks.parametrize_with_checks(
    [Log2Transformer(), Log2Transformer(library_size="median")]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
        estimator_checks.check_set_output_transform_polars,
        estimator_checks.check_global_output_transform_pandas,
        estimator_checks.check_dataframe_column_names_consistency,
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_param_validation,
    ],
)
def test_transformer_checks_beyond_check_estimator(check):
    check(NAME, Log2Transformer())


def test_transform_is_log2_of_x_plus_1():
    logs = Log2Transformer().fit_transform(COUNTS)
    np.testing.assert_allclose(logs, np.log2(COUNTS + 1.0), rtol=1e-15)
    assert logs[0, 1] == 2.0
    assert logs[3, 0] == 10.0


def test_inverse_brings_values_back():
    X = np.random.default_rng(0).lognormal(0, 6, size=(50, 4))
    log2 = Log2Transformer().fit(X)
    np.testing.assert_allclose(log2.inverse_transform(log2.transform(X)), X, rtol=1e-13)


def test_inverse_gives_whole_counts_with_round_counts():
    log2 = Log2Transformer(round_counts=True).fit(COUNTS)
    back = log2.inverse_transform(log2.transform(COUNTS))
    np.testing.assert_array_equal(back, COUNTS)
    noisy = log2.inverse_transform(log2.transform(COUNTS) + 0.05)
    np.testing.assert_array_equal(noisy, np.rint(noisy))


def test_inverse_of_negative_logarithms_is_zero():
    log2 = Log2Transformer().fit(COUNTS)
    np.testing.assert_array_equal(log2.inverse_transform([[-3.0, -1e-9, 1.0]]), [[0, 0, 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("round_counts", [False, True])
def test_inverse_of_huge_logarithms_is_the_largest_finite_number(dtype, round_counts):
    log2 = Log2Transformer(round_counts=round_counts).fit(COUNTS.astype(dtype))
    huge = np.array([[5000.0, 1e30, 1.0]], dtype=dtype)
    back = log2.inverse_transform(huge)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back[0], np.array([np.finfo(dtype).max] * 2 + [1], dtype=dtype))


def test_median_library_size_is_that_of_the_training_rows():
    log2 = Log2Transformer(library_size="median").fit(COUNTS)
    assert log2.library_size_ == np.median(COUNTS.sum(axis=1))
    back = log2.inverse_transform(log2.transform(COUNTS * 3))
    np.testing.assert_allclose(back.sum(axis=1), log2.library_size_)
    np.testing.assert_allclose(back / back.sum(axis=1, keepdims=True), _shares(COUNTS), atol=1e-12)


def test_library_size_can_be_a_number():
    log2 = Log2Transformer(library_size=1e6).fit(COUNTS)
    expected = np.log2(1e6 * _shares(COUNTS) + 1)
    np.testing.assert_allclose(log2.transform(COUNTS), expected, rtol=1e-12)


def test_empty_rows_stay_empty_with_library_size():
    X = np.vstack([COUNTS, np.zeros(3)])
    log2 = Log2Transformer(library_size="median").fit(X)
    assert log2.library_size_ == np.median(COUNTS.sum(axis=1))
    np.testing.assert_array_equal(log2.transform(X)[-1], 0)


def test_median_library_size_of_empty_rows_is_refused():
    with pytest.raises(ValueError, match="All rows of X have the total 0"):
        Log2Transformer(library_size="median").fit(np.zeros((3, 2)))


def test_fractions_are_refused_with_the_column_named():
    frame = pd.DataFrame({"TP53": [1.0, 2.0], "MYC": [3.0, 2.5]})
    with pytest.raises(ValueError, match=r"Column 'MYC' holds 2.5 in row 1.*whole numbers"):
        Log2Transformer(round_counts=True).fit(frame)


def test_negative_values_are_refused_with_the_column_named():
    frame = pd.DataFrame({"TP53": [1, 2], "MYC": [3, -2]})
    with pytest.raises(ValueError, match=r"column 'MYC' has minimum -2"):
        Log2Transformer().fit(frame)
    log2 = Log2Transformer().fit(frame.abs())
    with pytest.raises(ValueError, match=r"column 'MYC' has minimum -2"):
        log2.transform(frame)


def test_nan_is_refused_with_the_column_named():
    frame = pd.DataFrame({"TP53": [1, 2], "MYC": [3, np.nan]})
    with pytest.raises(ValueError, match=r"NaN in column 'MYC'"):
        Log2Transformer().fit(frame)


def test_inverse_of_a_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"Z has 2 columns, but Log2Transformer was fitted on 3"):
        Log2Transformer().fit(COUNTS).inverse_transform([[1.0, 2.0]])


def test_integer_frame_becomes_float_and_inverse_is_an_array():
    frame = pd.DataFrame(COUNTS, columns=["a", "b", "c"])
    log2 = Log2Transformer().set_output(transform="pandas").fit(frame)
    logs = log2.transform(frame)
    assert list(logs.columns) == ["a", "b", "c"]
    assert (logs.dtypes == np.float64).all()
    assert isinstance(log2.inverse_transform(logs), np.ndarray)


def test_transform_leaves_its_input_alone():
    X = COUNTS.astype(float)
    log2 = Log2Transformer(library_size=10.0).fit(X)
    logs = log2.transform(X)
    kept = logs.copy()
    log2.inverse_transform(logs)
    np.testing.assert_array_equal(X, COUNTS)
    np.testing.assert_array_equal(logs, kept)


def _shares(X):
    return X / X.sum(axis=1, keepdims=True)


def test_jacobian_turns_log_scale_densities_into_data_units():
    """A density on the log2 scale, carried over, integrates to one in data units."""
    transformer = Log2Transformer().fit(np.ones((2, 1)))
    grid = np.linspace(0, 400, 400_001)[:, None]
    logs = transformer.transform(grid)[:, 0]
    log_normal = -0.5 * ((logs - 5.0) / 0.5) ** 2 - np.log(0.5 * np.sqrt(2 * np.pi))
    density = np.exp(log_normal + transformer.log_abs_det_jacobian(grid))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1.0, abs=1e-3)
    assert not hasattr(Log2Transformer(library_size="median"), "log_abs_det_jacobian")
