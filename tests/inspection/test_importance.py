import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from synth_estimators.inspection import FeatureImportanceDisplay
from synth_estimators.metrics import c2st_auc, c2st_score

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    real = pd.DataFrame(rng.normal(size=(80, 4)), columns=list("abcd"))
    synth = pd.DataFrame(rng.normal(size=(80, 4)), columns=list("abcd"))
    for table in (real, synth):
        table["kind"] = rng.choice(["x", "y"], size=80)
    synth["c"] += 2.0
    return real, synth


class Shifted(BaseEstimator):
    def fit(self, X, y=None):
        self.rows_ = X
        return self

    def sample(self, n_samples=1, *, random_state=None):
        rows = self.rows_.sample(n_samples, replace=True, random_state=random_state)
        return rows.assign(b=rows["b"] + 9.0)


def test_the_column_that_gives_rows_away_is_on_top(tables):
    display = FeatureImportanceDisplay.from_predictions(*tables, random_state=0)
    assert display.importances.idxmax() == "c"
    assert display.ax_.get_yticklabels()[0].get_text() == "c"
    assert display.auc == c2st_auc(*tables, random_state=0)
    widths = [bar.get_width() for bar in display.ax_.patches]
    assert widths == sorted(widths, reverse=True)
    assert len(widths) == 5


@pytest.mark.parametrize("metric", [c2st_auc, c2st_score])
def test_breakdowns_of_the_metrics_are_shown_as_they_are(tables, metric):
    outcome = metric(*tables, estimator="logistic", random_state=0, breakdown=True)
    display = FeatureImportanceDisplay.from_breakdown(outcome, name="mine")
    assert display.importances.to_dict() == dict(
        zip(outcome.details["column"], outcome.details["importance"], strict=True)
    )
    assert display.auc == pytest.approx(outcome.fold_auc.mean())
    assert display.ax_.get_title().startswith(f"mine against real rows: AUC {display.auc:.2f}")


def test_draws_from_an_estimator_and_into_given_axes(tables):
    real, _ = tables
    _, axes = plt.subplots()
    display = FeatureImportanceDisplay.from_estimator(
        Shifted().fit(real), real, estimator="logistic", random_state=0, ax=axes
    )
    assert display.ax_ is axes
    assert display.importances.idxmax() == "b"
    assert display.auc > 0.99
    assert "Shifted" in axes.get_title()


def test_many_columns_show_twenty_bars(monkeypatch):
    from synth_estimators.inspection import _importance

    monkeypatch.setattr(_importance, "_MAX_COLUMNS", 30)
    rng = np.random.default_rng(0)
    real, synth = rng.normal(size=(2, 60, 50)) * np.linspace(1, 5, 50)
    display = FeatureImportanceDisplay.from_predictions(
        real, synth, estimator="logistic", discrete_columns=["x3"], random_state=0
    )
    assert len(display.ax_.patches) == 20
    assert display.importances.size == 30
    # Fifty columns of one law: the choice of columns must not give the rows away.
    assert abs(display.auc - 0.5) < 0.2
    assert display.ax_.get_xlabel() == "importance, 20 of 30 columns (judged: 30 of 50)"


def test_other_results_are_refused():
    with pytest.raises(ValueError, match="holds no importances"):
        FeatureImportanceDisplay.from_breakdown(Bunch(score=0.5, details=pd.DataFrame()))
