import time
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats.contingency import association
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import (
    ConstantColumnWarning,
    column_pair_trends_score,
    correlation_distance,
)
from synth_estimators.metrics import _pairs as pairs


def _tables(n_columns=5, missing=False):
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(n_columns, n_columns))
    real, synth = rng.normal(size=(80, n_columns)) @ mix, rng.normal(size=(60, n_columns)) @ mix.T
    if missing:
        real[rng.random(real.shape) < 0.2] = np.nan
        synth[rng.random(synth.shape) < 0.1] = np.nan
    return pd.DataFrame(real), pd.DataFrame(synth)


@pytest.mark.parametrize("missing", [False, True])
def test_numeric_pairs_agree_with_pandas(missing):
    real, synth = _tables(missing=missing)
    a, b = real.corr().to_numpy(), synth.corr().to_numpy()
    upper = np.triu_indices(5, 1)
    expected = (1 - np.abs(a - b) / 2)[upper]
    outcome = column_pair_trends_score(real, synth, breakdown=True)
    np.testing.assert_allclose(outcome.details["score"], expected, atol=1e-12)
    np.testing.assert_allclose(outcome.details["correlation_real"], a[upper], atol=1e-12)
    np.testing.assert_allclose(outcome.details["correlation_synth"], b[upper], atol=1e-12)
    assert column_pair_trends_score(real, synth) == pytest.approx(expected.mean())
    assert correlation_distance(real, synth) == pytest.approx(np.abs(a - b)[upper].mean())


@pytest.mark.parametrize("missing", [False, True])
def test_blocks_of_columns_change_nothing(missing, monkeypatch):
    real, synth = _tables(n_columns=7, missing=missing)
    whole = column_pair_trends_score(real, synth, breakdown=True)
    distance = correlation_distance(real, synth, breakdown=True)
    monkeypatch.setattr(pairs, "_BLOCK_COLUMNS", 3)
    blocked = column_pair_trends_score(real, synth, breakdown=True)
    assert blocked.score == pytest.approx(whole.score, abs=1e-14)
    pd.testing.assert_frame_equal(blocked.details, whole.details)
    again = correlation_distance(real, synth, breakdown=True)
    pd.testing.assert_frame_equal(again.details, distance.details)
    assert again.pearson == pytest.approx(distance.pearson)


def test_equal_tables_are_ideal():
    real, _ = _tables(missing=True)
    mixed = real.assign(group=np.resize(["a", "b", "c"], len(real)))
    permuted = mixed.sample(frac=1, random_state=0)
    assert column_pair_trends_score(mixed, permuted) == pytest.approx(1.0, abs=1e-12)
    assert correlation_distance(mixed, permuted) == pytest.approx(0.0, abs=1e-12)


def test_shift_and_scale_of_the_synthetic_columns_do_not_matter():
    real, synth = _tables()
    moved = synth * [1e-3, 2.0, 5.0, 1e4, 1.0] + [1e3, -7.0, 0.0, 2.0, 1e5]
    assert column_pair_trends_score(real, moved) == pytest.approx(
        column_pair_trends_score(real, synth), abs=1e-9
    )


def test_adding_a_constant_column_changes_nothing():
    real, synth = _tables()
    real["group"], synth["group"] = np.resize(["a", "b"], 80), np.resize(["a", "b", "b"], 60)
    expected = column_pair_trends_score(real, synth), correlation_distance(real, synth)
    real["const"], synth["const"] = 1.5, 1.5
    real["one"], synth["one"] = "q", "q"
    outcome = column_pair_trends_score(real, synth, breakdown=True)
    assert outcome.score == pytest.approx(expected[0], abs=1e-12)
    assert outcome.details.query("column_2 == 'const'")["score"].isna().all()
    assert correlation_distance(real, synth) == pytest.approx(expected[1], abs=1e-12)


def test_a_column_constant_in_the_synthetic_table_has_correlation_zero():
    x = np.arange(20.0)
    real = pd.DataFrame({"a": x, "b": -x})
    synth = real.assign(b=3.0)
    with pytest.warns(ConstantColumnWarning, match=r"1 columns are constant .*\['b'\]"):
        assert column_pair_trends_score(real, synth) == pytest.approx(0.5)
    with pytest.warns(ConstantColumnWarning):
        assert correlation_distance(real, synth) == pytest.approx(1.0)


def test_a_column_missing_in_one_table_scores_zero():
    x = np.arange(20.0)
    real = pd.DataFrame({"a": x, "b": -x, "g": np.resize(["p", "q"], 20)})
    details = column_pair_trends_score(real, real.assign(a=np.nan), breakdown=True).details
    assert details["score"].tolist() == [0.0, 0.0, 1.0]
    both = column_pair_trends_score(real.assign(a=np.nan), real.assign(a=np.nan), breakdown=True)
    np.testing.assert_array_equal(both.details["score"], [np.nan, np.nan, 1.0])


def test_nothing_to_average_is_nan_with_a_warning():
    real, synth = _tables()
    with pytest.warns(UndefinedMetricWarning, match="no pair of columns"):
        assert np.isnan(column_pair_trends_score(real[[0]], synth[[0]]))
    with pytest.warns(UndefinedMetricWarning, match="fewer than two continuous columns"):
        assert np.isnan(correlation_distance(real[[0]], synth[[0]]))


@pytest.mark.parametrize("dense_elements", [0, 80 * 11, 10**6])
def test_contingency_scores_agree_with_crosstabs(dense_elements, monkeypatch):
    monkeypatch.setattr(pairs, "_DENSE_ELEMENTS", dense_elements)
    rng = np.random.default_rng(0)
    tables = []
    for n_rows in (90, 70):
        a = rng.integers(0, 4, n_rows)
        tables.append(
            pd.DataFrame(
                {"a": a, "b": (a + rng.integers(0, 3, n_rows)) % 5, "c": rng.integers(0, 2, n_rows)}
            )
        )
    real, synth = (table.astype(str) for table in tables)
    details = column_pair_trends_score(real, synth, breakdown=True).details
    for row, (one, two) in zip(details.itertuples(), combinations("abc", 2), strict=True):
        p = real.groupby([one, two]).size() / 90
        q = synth.groupby([one, two]).size() / 70
        expected = 1 - p.subtract(q, fill_value=0).abs().sum() / 2
        assert row.score == pytest.approx(expected)


def test_association_threshold_is_cramers_v_of_the_real_table():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 4, 200)
    frame = pd.DataFrame({"a": a, "b": np.where(rng.random(200) < 0.4, a, rng.integers(0, 4, 200))})
    value = association(pd.crosstab(frame["a"], frame["b"]).to_numpy(), method="cramer")
    frame = frame.astype(str)
    score = column_pair_trends_score(frame, frame, association_threshold=value - 1e-9)
    assert score == pytest.approx(1.0)
    with pytest.warns(UndefinedMetricWarning):
        column_pair_trends_score(frame, frame, association_threshold=value + 1e-9)


def test_own_edges_miss_a_shift_that_real_edges_see():
    x = np.linspace(0, 1, 200)
    real = pd.DataFrame({"x": x, "g": np.where(x > 0.5, "a", "b")})
    moved = real.assign(x=x + 0.5)
    options = {"correlation_threshold": 0.0, "association_threshold": 0.0}
    assert column_pair_trends_score(real, moved, binning="own", **options) > 0.99
    assert column_pair_trends_score(real, moved) < 0.6
    with pytest.raises(ValueError, match="binning='mine' is unknown"):
        column_pair_trends_score(real, moved, binning="mine")


def test_a_category_per_row_is_no_burden():
    ids = [f"id{i}" for i in range(3000)]
    table = pd.DataFrame({"id": ids, "g": np.resize(["a", "b"], 3000), "x": np.arange(3000.0)})
    assert column_pair_trends_score(table, table) == pytest.approx(1.0)


def test_two_thousand_numeric_columns_are_fast():
    rng = np.random.default_rng(0)
    real, synth = rng.normal(size=(2, 200, 2000))
    start = time.perf_counter()
    column_pair_trends_score(real, synth)
    # 0.2 s on one core; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 2.0
