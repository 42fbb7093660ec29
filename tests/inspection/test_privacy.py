import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from synth_estimators.inspection import PrivacyDisplay
from synth_estimators.metrics import dcr_share

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _table(seed, n_rows=80):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=list("abc"))
    table["kind"] = rng.choice(["x", "y"], size=n_rows)
    table.loc[table.index[::9], "a"] = np.nan
    return table


class Copier(BaseEstimator):
    def fit(self, X, y=None):
        self.rows_ = X
        return self

    def sample(self, n_samples=1, *, random_state=None):
        return self.rows_.sample(n_samples, replace=True, random_state=random_state)


def test_distances_are_those_of_the_metric():
    train, holdout, synth = _table(0), _table(1), _table(2, n_rows=60)
    display = PrivacyDisplay.from_predictions(train, holdout, synth)
    outcome = dcr_share(X_train=train, X_holdout=holdout, X_synth=synth, breakdown=True)
    np.testing.assert_allclose(display.synth_to_train, outcome.details["distance_train"])
    np.testing.assert_allclose(display.synth_to_holdout, outcome.details["distance_holdout"])
    assert display.share_closer_ == pytest.approx(outcome.score)
    assert display.holdout_to_train.shape == (80,)
    assert display.synth_to_holdout.shape == (60,)


def test_copies_stand_at_zero():
    train, holdout = _table(0), _table(1)
    display = PrivacyDisplay.from_estimator(
        Copier().fit(train), train, holdout, n_samples=30, random_state=0
    )
    assert display.share_closer_ == 1.0
    np.testing.assert_array_equal(display.synth_to_train, 0.0)
    assert display.synth_to_holdout.min() > 0
    assert display.ax_.get_xlim()[0] < 0
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[0] == "Copier to training rows, median 0"
    assert "100% (50% is ideal)" in display.ax_.get_title()


def test_fresh_rows_are_as_near_to_both():
    rng = np.random.default_rng(0)
    train, holdout, fresh = rng.normal(size=(3, 300, 3))
    display = PrivacyDisplay.from_predictions(train, holdout, fresh, space="standard")
    # Three standard deviations of a share of 300 rows.
    assert abs(display.share_closer_ - 0.5) < 0.09
    assert np.median(display.holdout_to_train) == pytest.approx(
        np.median(display.synth_to_train), rel=0.25
    )


def test_training_and_holdout_rows_are_cut_to_the_same_number():
    rng = np.random.default_rng(0)
    train, holdout = rng.normal(size=(900, 2)), rng.normal(size=(100, 2))
    fresh = rng.normal(size=(400, 2))
    display = PrivacyDisplay.from_predictions(train, holdout, fresh, random_state=0)
    assert abs(display.share_closer_ - 0.5) < 0.1
    cut = PrivacyDisplay.from_predictions(train, holdout, fresh, max_rows=50, random_state=0)
    assert len(cut.synth_to_train) == len(cut.holdout_to_train) == 50
    again = PrivacyDisplay.from_predictions(train, holdout, fresh, max_rows=50, random_state=0)
    np.testing.assert_array_equal(cut.synth_to_train, again.synth_to_train)


def test_three_curves_go_into_given_axes():
    _, axes = plt.subplots()
    display = PrivacyDisplay.from_predictions(_table(0), _table(1), _table(2), ax=axes)
    assert display.ax_ is axes
    assert len(axes.lines) == 3
    assert "Gower" in axes.get_xlabel()
    display.plot(line_kw={"linewidth": 4})
    assert display.ax_ is not axes
    assert {line.get_linewidth() for line in display.ax_.lines} == {4}


def test_bad_requests_are_refused():
    table = _table(0)
    with pytest.raises(ValueError, match="space='identity'"):
        PrivacyDisplay.from_predictions(table, table, table, space="identity")
    with pytest.raises(ValueError, match="max_rows=0"):
        PrivacyDisplay.from_predictions(table, table, table, max_rows=0)
    with pytest.raises(ValueError, match="X_holdout lacks the columns"):
        PrivacyDisplay.from_predictions(table, table.drop(columns="a"), table)
