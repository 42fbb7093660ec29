import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.base import BaseEstimator

from synth_estimators.inspection import MarginalsDisplay

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    names = [f"g{j}" for j in range(15)]
    real = pd.DataFrame(rng.normal(size=(60, 15)), columns=names)
    synth = pd.DataFrame(rng.normal(size=(50, 15)) + np.arange(15) / 5, columns=names)
    return real, synth


class Shifted(BaseEstimator):
    def fit(self, X, y=None):
        self.rows_ = X
        return self

    def sample(self, n_samples=1, *, random_state=None):
        return self.rows_.sample(n_samples, replace=True, random_state=random_state) + 10.0


def test_shows_the_twelve_columns_with_the_largest_distance(tables):
    real, synth = tables
    display = MarginalsDisplay.from_predictions(real, synth)
    expected = {c: ks_2samp(real[c], synth[c]).statistic for c in real.columns}
    ranked = sorted(expected, key=expected.get, reverse=True)[:12]
    assert set(display.distances.index) == set(ranked)
    assert display.distances.is_monotonic_decreasing
    for column, value in display.distances.items():
        assert value == pytest.approx(expected[column], abs=1e-12)
    assert len(display.axes_) == 12
    assert display.axes_[0].get_title() == display.distances.index[0]
    assert all(axes.figure is display.figure_ for axes in display.axes_)


def test_named_columns_keep_their_order_and_columns_are_matched_by_name(tables):
    real, synth = tables
    display = MarginalsDisplay.from_predictions(
        real, synth[synth.columns[::-1]], columns=["g3", "g1"]
    )
    assert list(display.real.columns) == ["g3", "g1"]
    assert display.distances["g1"] == pytest.approx(ks_2samp(real["g1"], synth["g1"]).statistic)


def test_identical_tables_have_distance_zero(tables):
    display = MarginalsDisplay.from_predictions(tables[0], tables[0].copy())
    assert (display.distances == 0).all()


def test_histogram_areas_are_one(tables):
    display = MarginalsDisplay.from_predictions(*tables, columns="g14")
    for patch in display.axes_[0].patches:
        values, edges, _ = patch.get_data()
        assert np.sum(values * np.diff(edges)) == pytest.approx(1.0)


def test_ecdf_draws_two_lines(tables):
    display = MarginalsDisplay.from_predictions(*tables, columns=["g0"], kind="ecdf")
    assert [line.get_label() for line in display.axes_[0].lines] == ["real", "synthetic"]


def test_discrete_columns_become_bars_of_shares():
    real = pd.DataFrame({"sex": ["F"] * 3 + ["M"], "code": [1, 1, 2, 2], "flag": [True, False] * 2})
    synth = pd.DataFrame({"sex": ["F", "M"], "code": [1.0, 2.0], "flag": ["1", "0"]})
    display = MarginalsDisplay.from_predictions(real, synth, columns=["sex", "code", "flag"])
    assert display.discrete.tolist() == [True, False, True]
    np.testing.assert_allclose(display.distances.to_numpy(), [0.25, 0.0, 0.0])
    heights = [bar.get_height() for bar in display.axes_[0].patches]
    np.testing.assert_allclose(heights, [0.75, 0.25, 0.5, 0.5])
    assert [t.get_text() for t in display.axes_[1].get_xticklabels()] == ["1", "2"]


def test_many_categories_are_gathered():
    real = pd.DataFrame({"site": [f"s{k:02d}" for k in range(30)]})
    display = MarginalsDisplay.from_predictions(real, real)
    labels = [t.get_text() for t in display.axes_[0].get_xticklabels()]
    assert len(labels) == 12
    assert labels[-1] == "19 others"
    assert sum(bar.get_height() for bar in display.axes_[0].patches) == pytest.approx(2.0)


def test_missing_cells_are_left_out_of_numeric_panels():
    real = pd.DataFrame({"a": [1.0, 2.0, 3.0, np.nan]})
    synth = pd.DataFrame({"a": [np.nan, 1.0, 2.0, 3.0]})
    assert MarginalsDisplay.from_predictions(real, synth).distances["a"] == 0.0


def test_from_estimator_draws_repeatable_rows(tables):
    real, _ = tables
    generator = Shifted().fit(real)
    display = MarginalsDisplay.from_estimator(generator, real, n_samples=7, random_state=3)
    again = MarginalsDisplay.from_estimator(generator, real, n_samples=7, random_state=3)
    assert len(display.synth) == 7
    assert (display.distances == 1.0).all()
    pd.testing.assert_frame_equal(display.synth, again.synth)
    assert display.figure_.legends[0].get_texts()[1].get_text() == "Shifted"


def test_array_columns_are_named():
    X = np.random.default_rng(0).normal(size=(20, 2))
    assert set(MarginalsDisplay.from_predictions(X, X).distances.index) == {"x0", "x1"}


def test_one_axes_is_divided_and_a_list_of_axes_is_used(tables):
    _, axes = plt.subplots()
    display = MarginalsDisplay.from_predictions(*tables, columns=["g0", "g1"], ax=axes)
    assert len(display.axes_) == 2
    assert display.figure_ is axes.figure
    _, pair = plt.subplots(1, 2)
    display = MarginalsDisplay.from_predictions(*tables, columns=["g0", "g1"], ax=pair)
    assert list(display.axes_) == list(pair)
    with pytest.raises(ValueError, match="ax holds 2 axes but 3 columns"):
        MarginalsDisplay.from_predictions(*tables, columns=["g0", "g1", "g2"], ax=pair)


def test_different_columns_are_refused_by_name(tables):
    real, synth = tables
    with pytest.raises(ValueError, match="X_synth lacks column 'g4' and X_real lacks column 'new'"):
        MarginalsDisplay.from_predictions(real, synth.rename(columns={"g4": "new"}))


def test_unknown_column_and_kind_are_refused(tables):
    with pytest.raises(ValueError, match="names column 'nope'"):
        MarginalsDisplay.from_predictions(*tables, columns=["nope"])
    with pytest.raises(ValueError, match="expected 'hist' or 'ecdf'"):
        MarginalsDisplay.from_predictions(*tables, kind="pie")


def test_estimator_without_sample_is_refused(tables):
    from sklearn.decomposition import PCA

    with pytest.raises(TypeError, match="needs a generator with a 'sample' method, got PCA"):
        MarginalsDisplay.from_estimator(PCA().fit(tables[0]), tables[0])
