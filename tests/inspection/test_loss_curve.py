import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators.inspection import LossCurveDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


class Trained(BaseEstimator):
    def __init__(self, validation=True):
        self.validation = validation

    def fit(self, X, y=None):
        self.loss_curve_ = [5.0, 4.0, 3.0, 2.0]
        self.validation_loss_curve_ = [5.0, 3.5, 3.9, 4.4] if self.validation else None
        return self


class Untrained(BaseEstimator):
    def fit(self, X, y=None):
        self.mean_ = 0.0
        return self


X = np.zeros((4, 2))


def test_best_epoch_is_that_of_the_validation_loss():
    display = LossCurveDisplay.from_estimator(Trained().fit(X))
    assert display.best_epoch_ == 2
    assert display.best_loss_ == 3.5
    train, validation = display.lines_
    np.testing.assert_array_equal(train.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(train.get_ydata(), [5, 4, 3, 2])
    np.testing.assert_array_equal(validation.get_ydata(), [5.0, 3.5, 3.9, 4.4])
    assert display.ax_.get_title() == "Trained"
    assert display.figure_ is display.ax_.figure
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["training", "validation", "best epoch: 2"]


def test_without_validation_the_training_loss_decides():
    display = LossCurveDisplay.from_estimator(Trained(validation=False).fit(X), name="mine")
    assert display.best_epoch_ == 4
    assert len(display.lines_) == 1
    assert display.ax_.get_title() == "mine"


def test_nan_epochs_are_passed_over():
    display = LossCurveDisplay.from_curves([3.0, np.nan, 1.0], [np.nan, np.nan, np.nan])
    assert display.best_epoch_ == 3
    assert len(display.lines_) == 1


def test_finds_the_generator_inside_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), Trained()).fit(X)
    assert LossCurveDisplay.from_estimator(pipeline).ax_.get_title() == "Trained"


def test_plots_on_the_given_axes_with_the_given_keywords():
    _, axes = plt.subplots()
    display = LossCurveDisplay.from_curves([2.0, 1.0], ax=axes, train_kw={"c": "red", "label": "t"})
    assert display.ax_ is axes
    assert display.lines_[0].get_color() == "red"
    assert display.lines_[0].get_label() == "t"


def test_generator_without_curve_is_refused():
    with pytest.raises(TypeError, match="Untrained has no loss_curve_"):
        LossCurveDisplay.from_estimator(Untrained().fit(X))


def test_unfitted_generator_is_refused():
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(Trained())


def test_curve_without_finite_loss_is_refused():
    with pytest.raises(ValueError, match="holds no finite loss"):
        LossCurveDisplay.from_curves([np.nan, np.inf])


def test_plotting_changes_no_style_and_shows_nothing(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: pytest.fail("plt.show was called"))
    before = dict(matplotlib.rcParams)
    LossCurveDisplay.from_curves([2.0, 1.0])
    assert dict(matplotlib.rcParams) == before


def test_missing_matplotlib_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"LossCurveDisplay.*synth-estimators\[plot\]"):
        LossCurveDisplay.from_curves([2.0, 1.0])


def test_steep_start_of_a_long_run_does_not_flatten_the_rest():
    curve = [1e4, *np.linspace(10, 5, 59)]
    assert LossCurveDisplay.from_curves(curve).ax_.get_ylim()[1] < 12
    _, axes = plt.subplots()
    assert LossCurveDisplay.from_curves(curve, ax=axes).ax_.get_ylim()[1] > 1e4
