import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from synth_estimators.inspection import HeatmapDisplay

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def blocks():
    """Two groups of rows and two of columns, mixed up."""
    rng = np.random.default_rng(0)
    row, column = rng.permutation(np.repeat([0, 1], 20)), rng.permutation(np.repeat([0, 1], 6))
    values = 8.0 * (row[:, None] == column) + rng.normal(size=(40, 12))
    return pd.DataFrame(values, columns=[f"{'ab'[c]}{j}" for j, c in enumerate(column)])


class Sampler(BaseEstimator):
    def fit(self, X, y=None):
        self.rows_ = X
        return self

    def sample(self, n_samples=1, *, random_state=None):
        return self.rows_.sample(n_samples, replace=True, random_state=random_state)


def test_similar_rows_and_columns_are_neighbours(blocks):
    display = HeatmapDisplay.from_predictions(blocks, blocks)
    letters = "".join(name[0] for name in display.real.columns)
    assert letters in ("a" * 6 + "b" * 6, "b" * 6 + "a" * 6)
    high = (display.real.to_numpy()[:, :6].mean(axis=1) > 0).tolist()
    assert high in ([True] * 20 + [False] * 20, [False] * 20 + [True] * 20)


def test_synthetic_rows_stand_where_their_nearest_real_row_does(blocks):
    turned = blocks.iloc[::-1, ::-1]
    display = HeatmapDisplay.from_predictions(blocks, turned)
    pd.testing.assert_frame_equal(display.synth, display.real)


def test_cells_are_standard_deviations_of_the_real_table(blocks):
    display = HeatmapDisplay.from_predictions(blocks, blocks + 3.0)
    np.testing.assert_allclose(display.real.mean(), 0.0, atol=1e-12)
    np.testing.assert_allclose(display.real.std(ddof=0), 1.0)
    shift = display.synth.mean() * blocks.std(ddof=0)[display.synth.columns].to_numpy()
    np.testing.assert_allclose(shift, 3.0)


def test_both_pictures_share_their_colours(blocks):
    display = HeatmapDisplay.from_predictions(blocks, blocks * 5, name="five")
    limits = {axes.images[0].get_clim() for axes in display.axes_}
    assert limits == {(-3.0, 3.0)}
    assert [axes.get_title() for axes in display.axes_] == ["real, 40 rows", "five, 40 rows"]
    assert display.figure_ is display.axes_[1].figure


def test_mixed_tables_show_categories_dates_and_gaps():
    real = pd.DataFrame(
        {
            "age": [20.0, np.nan, 40.0, 60.0],
            "sex": ["f", "m", None, "f"],
            "day": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-09"]),
            "flag": [True, False, True, True],
        }
    )
    synth = real.assign(sex=["f", "x", "m", "f"])
    display = HeatmapDisplay.from_predictions(real, synth)
    expected = {"age", "day", "sex=f", "sex=m", "sex=x", "sex=<NA>", "flag=1", "flag=0"}
    assert set(display.real.columns) == expected
    assert display.real["age"].isna().sum() == 1
    chosen = HeatmapDisplay.from_predictions(
        real.assign(code=[1, 2, 1, 2]),
        synth.assign(code=[1, 2, 2, 2]),
        columns=["age", "code"],
        discrete_columns=["sex", "flag", "code"],
    )
    assert set(chosen.real.columns) == {"age", "code=1", "code=2"}


def test_wide_and_long_tables_are_cut():
    rng = np.random.default_rng(0)
    real = pd.DataFrame(rng.normal(size=(300, 1500)) * np.linspace(1, 9, 1500))
    real.columns = [f"g{j}" for j in range(1500)]
    display = HeatmapDisplay.from_predictions(real, real[:50], max_rows=60, random_state=0)
    assert display.real.shape == (60, 100)
    assert display.synth.shape == (50, 100)
    assert min(int(name[1:]) for name in display.real.columns) > 1000
    assert display.axes_[0].get_xlabel() == "100 of 1,500 columns"
    again = HeatmapDisplay.from_predictions(real, real[:50], max_rows=60, random_state=0)
    pd.testing.assert_frame_equal(again.real, display.real)


def test_one_row_one_column_and_constant_columns():
    display = HeatmapDisplay.from_predictions([[1.0]], [[2.0]])
    assert display.synth.shape == (1, 1)
    flat = HeatmapDisplay.from_predictions(np.full((4, 2), 0.1), np.full((3, 2), 0.1))
    np.testing.assert_array_equal(flat.synth, 0.0)


def test_draws_from_an_estimator_and_into_given_axes(blocks):
    sampler = Sampler().fit(blocks)
    display = HeatmapDisplay.from_estimator(sampler, blocks, n_samples=15, random_state=1)
    assert display.synth.shape == (15, 12)
    assert display.axes_[1].get_title() == "Sampler, 15 rows"
    _, axes = plt.subplots(1, 2)
    display.plot(ax=axes)
    assert display.axes_.tolist() == axes.tolist()
    figure, (left, _) = plt.subplots(1, 2)
    display.plot(ax=left, image_kw={"cmap": "viridis"})
    assert display.figure_ is figure
    assert display.axes_[0].images[0].get_cmap().name == "viridis"


def test_bad_requests_are_refused(blocks):
    with pytest.raises(ValueError, match="max_rows=0"):
        HeatmapDisplay.from_predictions(blocks, blocks, max_rows=0)
    with pytest.raises(ValueError, match="names column 'z'"):
        HeatmapDisplay.from_predictions(blocks, blocks, columns=["z"])
    display = HeatmapDisplay.from_predictions(blocks, blocks)
    with pytest.raises(ValueError, match="3 axes, but 2 panels"):
        display.plot(ax=plt.subplots(1, 3)[1])
