import numpy as np
import pandas as pd
import pytest

from synth_estimators.metrics import c2st_auc
from synth_estimators.metrics._encoding import FoldEncoder, feature_importance, make_model
from synth_estimators.preprocessing._columns import read_tables


def _read(frame):
    return read_tables({"X": frame})["X"]


def test_ranks_number_the_levels_of_the_fitted_rows():
    table = _read(pd.DataFrame({"a": [5.0, 1.0, np.nan, 5.0, 9.0]}))
    encoder = FoldEncoder(impute=False, ranks=True).fit(table)
    np.testing.assert_array_equal(encoder.transform(table)[:, 0], [1.5, 0.5, np.nan, 1.5, 2.5])
    # Values between two levels, beyond the ends, and equal up to rounding noise.
    other = _read(pd.DataFrame({"a": [6.0, 0.0, 10.0, 5.0 * (1 + 1e-15)]}))
    np.testing.assert_array_equal(encoder.transform(other)[:, 0], [2.0, 0.0, 3.0, 1.5])


def test_trees_tell_whole_numbers_from_almost_whole_ones():
    rng = np.random.default_rng(0)
    real, synth = (rng.integers(17, 90, (1500, 1)).astype(float) for _ in range(2))
    # 1e-6 is less than single precision resolves near 1 after division by the sd of 21.
    off = synth + 1e-6 * rng.normal(size=synth.shape)
    assert c2st_auc(real, off, random_state=0) > 0.75
    assert c2st_auc(real, synth, random_state=0) < 0.56


def test_rounding_noise_and_single_precision_are_no_granularity():
    rng = np.random.default_rng(0)
    real, synth = (pd.DataFrame(rng.uniform(1, 99, (300, 2)).round(2)) for _ in range(2))
    expected = c2st_auc(real, synth, random_state=0)
    assert c2st_auc(real, np.exp(np.log(synth)), random_state=0) == expected
    assert c2st_auc(real, synth.astype("float32"), random_state=0) == pytest.approx(
        expected, abs=1e-6
    )
    assert c2st_auc(real.astype("float32"), synth, random_state=0) == pytest.approx(
        expected, abs=1e-6
    )


def test_importance_does_not_favour_columns_of_many_categories():
    rng = np.random.default_rng(0)
    real, synth = (
        pd.DataFrame({"x": rng.normal(size=500), "g": rng.integers(0, 40, 500).astype(str)})
        for _ in range(2)
    )
    synth["x"] = synth["x"] * 1.8
    details = c2st_auc(real, synth, random_state=0, breakdown=True).details
    assert details["column"].tolist() == ["x", "g"]
    assert details["importance"][0] > 0.6


def test_importances_of_a_model_without_any_are_missing():
    assert np.isnan(feature_importance(object(), np.arange(3), 3)).all()


def test_tree_preset_of_a_numeric_target_can_be_cloned_and_scored():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    model = make_model("xgb", 0, regression=True).fit(X, 1e9 + X[:, 0])
    assert model.score(X, 1e9 + X[:, 0]) > 0.9
    constant = make_model("xgb", 0, regression=True).fit(X, np.full(200, 7.0))
    assert constant.predict(X) == pytest.approx(np.full(200, 7.0))
