import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

from synth_estimators.baselines import BootstrapRows, IndependentColumns

BOTH = pytest.mark.parametrize("generator", [BootstrapRows, IndependentColumns])


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return rng.multivariate_normal([0, 5], [[1, 0.9], [0.9, 1]], size=300)


@parametrize_with_checks([BootstrapRows(), IndependentColumns()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@BOTH
def test_parameters_are_validated(generator):
    check_param_validation(generator.__name__, generator())


def test_bootstrap_returns_training_rows_in_equal_shares(X):
    rows = BootstrapRows(random_state=0).fit(X).sample(30_000)
    found, counts = np.unique(rows, axis=0, return_counts=True)
    np.testing.assert_array_equal(found, np.unique(X, axis=0))
    # 100 expected of each; the standard deviation is 10 and 300 rows are looked at.
    assert counts.min() > 50
    assert counts.max() < 160


def test_independent_columns_keep_margins_and_lose_dependence(X):
    rows = IndependentColumns(random_state=0).fit(X).sample(20_000)
    for drawn, trained in zip(rows.T, X.T, strict=True):
        assert set(drawn) == set(trained)
        assert stats.ks_2samp(drawn, trained).statistic < 0.0115  # 1.63 / sqrt(20000), 1 %
    # Standard error of a correlation of 0 among 20,000 rows is 0.007.
    assert abs(np.corrcoef(rows.T)[0, 1]) < 0.025
    assert np.corrcoef(X.T)[0, 1] > 0.85


@BOTH
def test_same_seed_gives_same_rows(generator, X):
    fitted = generator(random_state=3).fit(X)
    np.testing.assert_array_equal(fitted.sample(20), fitted.sample(20))
    np.testing.assert_array_equal(fitted.sample(20), generator(random_state=3).fit(X).sample(20))
    assert not np.array_equal(fitted.sample(20), fitted.sample(20, random_state=1))
    assert not np.array_equal(fitted.sample(20), generator(random_state=4).fit(X).sample(20))


@BOTH
def test_container_and_dtypes_come_back(generator):
    frame = pd.DataFrame(
        {
            "count": np.arange(10, dtype=np.int64),
            "flag": np.arange(10) % 2 == 0,
            "value": np.linspace(0, 1, 10, dtype=np.float32),
        },
        index=np.arange(100, 110),
    )
    rows = generator(random_state=0).fit(frame).sample(25)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    pd.testing.assert_index_equal(rows.index, pd.RangeIndex(25))
    assert generator().fit(frame).sample(0).shape == (0, 3)


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_arrays_keep_their_dtype(generator, dtype):
    rows = generator().fit(np.arange(6, dtype=dtype).reshape(3, 2)).sample(4)
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == dtype


@BOTH
def test_narrow_short_and_constant_tables(generator):
    assert set(generator().fit([[1.0], [2.0]]).sample(50).ravel()) == {1.0, 2.0}
    assert (generator().fit(np.full((5, 2), 0.1)).sample(3) == 0.1).all()


@BOTH
def test_infinity_is_refused_with_the_column_named(generator):
    frame = pd.DataFrame({"name": ["a", "b"], "dose": [3.0, np.inf]})
    with pytest.raises(ValueError, match=r"infinity in column 'dose'"):
        generator().fit(frame)


@BOTH
def test_cells_that_hold_lists_are_refused(generator):
    frame = pd.DataFrame({"tags": [["a"], ["b", "c"]]})
    with pytest.raises(TypeError, match=r"Column 'tags' holds lists"):
        generator().fit(frame)


def mixed_frame():
    return pd.DataFrame(
        {
            "sex": ["f", "m", None, "f"] * 5,
            "stage": pd.Categorical(["I", "II", "II", "IV"] * 5, ["I", "II", "III", "IV"]),
            "visit": pd.date_range("2020-01-01", periods=20, tz="UTC"),
            "dose": np.where(np.arange(20) % 4, np.arange(20.0), np.nan),
            "count": pd.array([1, None, 3, 4] * 5, dtype="Int64"),
            "alive": [True, False] * 10,
        }
    )


@BOTH
def test_mixed_tables_come_back_in_their_dtypes(generator):
    frame = mixed_frame()
    rows = generator(random_state=0).fit(frame).sample(400)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    assert list(rows["stage"].cat.categories) == ["I", "II", "III", "IV"]
    for name in frame.columns:
        assert set(rows[name].dropna()) == set(frame[name].dropna())
        # Five standard errors of a share over 400 rows.
        share = frame[name].isna().mean()
        assert rows[name].isna().mean() == pytest.approx(share, abs=0.11)
    assert np.isfinite(generator(random_state=0).fit(frame).score(frame))


def test_mixed_rows_are_whole_under_bootstrap_and_broken_under_independence():
    frame = mixed_frame()
    known = set(frame.map(str).agg("|".join, axis=1))
    copied = BootstrapRows(random_state=0).fit(frame).sample(50)
    mixed = IndependentColumns(random_state=0).fit(frame).sample(50)
    assert set(copied.map(str).agg("|".join, axis=1)) <= known
    assert len(set(mixed.map(str).agg("|".join, axis=1)) & known) < 10


@BOTH
def test_arrays_of_objects_stay_arrays_of_objects(generator):
    X = np.array([["a", 1], ["b", None], ["a", 2]], dtype=object)
    rows = generator(random_state=0).fit(X).sample(30)
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == object
    assert set(rows[:, 0]) == {"a", "b"}


@BOTH
def test_polars_frames_with_text_and_missing_cells(generator):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"name": ["a", "b", None], "count": [1, None, 3]})
    rows = generator(random_state=0).fit(frame).sample(40)
    assert rows.schema == frame.schema
    assert set(rows["count"].to_list()) == {1, None, 3}


@BOTH
def test_training_rows_are_copied(generator, X):
    fitted = generator(random_state=0).fit(X)
    before = fitted.sample(5)
    X[:] = 0
    np.testing.assert_array_equal(fitted.sample(5), before)


def test_fresh_rows_score_better_under_bootstrap_than_under_independence(X):
    fresh = np.random.default_rng(1).multivariate_normal([0, 5], [[1, 0.9], [0.9, 1]], size=300)
    copier, independent = BootstrapRows(random_state=0), IndependentColumns(random_state=0)
    assert copier.score_kind == independent.score_kind == "neg_energy"
    assert independent.fit(X).score(fresh) < copier.fit(X).score(fresh) <= 0


def test_independent_columns_are_fast_and_lean_for_wide_tables():
    X = np.random.default_rng(0).normal(size=(200, 20_000))
    tracemalloc.start()
    began = time.perf_counter()
    rows = IndependentColumns(random_state=0).fit(X).sample(200)
    elapsed = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.shape == X.shape
    assert elapsed < 3  # about 0.1 s on an idle core
    # The kept table, the result and blocks of a million numbers.
    assert peak < 2.7 * X.nbytes
