import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from synth_estimators.inspection import PairTrendsDisplay
from synth_estimators.metrics import association_distance

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _mixed(seed, n_rows=120):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_rows)
    return pd.DataFrame(
        {
            "x": x,
            "kind": np.where(x + 0.5 * rng.normal(size=n_rows) > 0, "up", "down"),
            "y": -x + rng.normal(size=n_rows),
            "code": np.where(x > 0, "p", "q"),
        }
    )


class Sampler(BaseEstimator):
    def fit(self, X, y=None):
        self.rows_ = X
        return self

    def sample(self, n_samples=1, *, random_state=None):
        return self.rows_.sample(n_samples, replace=True, random_state=random_state)


def test_numbers_have_signed_correlations():
    rng = np.random.default_rng(0)
    real, synth = (
        pd.DataFrame(rng.normal(size=(50, 3)) @ rng.normal(size=(3, 5))) for _ in range(2)
    )
    real.columns = synth.columns = list("abcde")
    display = PairTrendsDisplay.from_predictions(real, synth[list("ecbda")])
    for found, table in ((display.real, real), (display.synth, synth)):
        expected = table.corr().loc[found.index, found.columns].to_numpy().copy()
        np.fill_diagonal(expected, np.nan)
        np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(display.difference, display.synth - display.real)


def test_other_pairs_have_their_association():
    real, synth = _mixed(0), _mixed(1)
    display = PairTrendsDisplay.from_predictions(real, synth)
    details = association_distance(real, synth, breakdown=True).details
    for row in details.itertuples():
        value = display.synth.loc[row.column_2, row.column_1]
        assert display.synth.loc[row.column_1, row.column_2] == value
        assert abs(value) == pytest.approx(row.association_synth)
    assert display.real.loc["x", "y"] < 0 < display.real.loc["x", "kind"]


def test_columns_that_go_together_are_neighbours():
    rng = np.random.default_rng(0)
    factor = np.resize([0, 1], 8)
    real = rng.normal(size=(80, 2))[:, factor] + 0.3 * rng.normal(size=(80, 8))
    display = PairTrendsDisplay.from_predictions(real, real)
    parity = [int(name[1:]) % 2 for name in display.real.columns]
    assert parity in ([0] * 4 + [1] * 4, [1] * 4 + [0] * 4)


def test_first_two_matrices_share_their_colours():
    display = PairTrendsDisplay.from_predictions(_mixed(0), _mixed(1), name="copy")
    limits = [axes.images[0].get_clim() for axes in display.axes_]
    assert limits[:2] == [(-1.0, 1.0)] * 2
    assert limits[2][0] == 0.0
    assert [axes.get_title() for axes in display.axes_[:2]] == ["real", "copy"]


def test_wide_tables_are_cut_to_the_most_variable_columns():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(30, 3000)) * np.linspace(1, 9, 3000)
    display = PairTrendsDisplay.from_predictions(real, real)
    assert display.real.shape == (50, 50)
    assert display.axes_[2].get_xlabel() == "50 of 3,000 columns"
    assert np.nanmax(np.abs(display.difference.to_numpy())) == 0.0


def test_constant_columns_are_undefined_without_a_warning():
    real = _mixed(0).assign(flat=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = PairTrendsDisplay.from_predictions(real, real.assign(x=2.0))
    assert display.real["flat"].isna().all()
    assert display.synth.loc["x", "y"] == 0.0


def test_draws_from_an_estimator_and_into_given_axes():
    real = _mixed(0)
    display = PairTrendsDisplay.from_estimator(Sampler().fit(real), real, random_state=0)
    assert display.estimator_name == "Sampler"
    figure, (left, _) = plt.subplots(1, 2)
    assert display.plot(ax=left).figure_ is figure


def test_bad_requests_are_refused():
    real = _mixed(0)
    with pytest.raises(ValueError, match="at least two"):
        PairTrendsDisplay.from_predictions(real[["x"]], real[["x"]])
    with pytest.raises(ValueError, match="X_synth lacks column 'x'"):
        PairTrendsDisplay.from_predictions(real, real.drop(columns="x"))
