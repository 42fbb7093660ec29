import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from synth_estimators.inspection import SynthLearningCurveDisplay
from synth_estimators.model_selection import InversePowerLaw, LearningCurveFit

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SIZES = np.array([20, 40, 80, 160, 320])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def law(n, level=0.9):
    return level - 0.8 * n**-0.5


class Study(BaseEstimator):
    """What a finished study shows: long results, and curves by regime, classifier and metric."""

    def __init__(self, regimes=("synth", "real"), curves=True):
        self.regimes = regimes
        self.curves = curves

    def fit(self):
        rng = np.random.default_rng(0)
        rows, self.curves_ = [], {}
        for index, regime in enumerate(self.regimes):
            for metric in ("roc_auc", "accuracy"):
                draws = law(SIZES, 0.9 - 0.03 * index) + 0.01 * rng.standard_normal((5, 5))
                rows += [
                    (0, fold, 0, n, regime, "KNN", metric, score)
                    for fold in range(5)
                    for n, score in zip(SIZES, draws[fold], strict=True)
                ]
                if self.curves:
                    fit = LearningCurveFit(n_resamples=100).fit(SIZES, draws)
                    self.curves_[regime, "KNN", metric] = fit
        names = ["repeat", "fold", "draw", "n_train", "regime", "classifier", "metric", "score"]
        self.results_ = pd.DataFrame(rows, columns=names)
        return self


def test_study_is_drawn_with_means_curves_and_bands():
    study = Study().fit()
    display = SynthLearningCurveDisplay.from_estimator(study)
    assert list(display.lines_) == ["real", "synth"]
    assert set(display.bands_) == {"real", "synth"}
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "roc_auc"
    assert display.ax_.get_title() == "KNN"
    assert display.figure_ is display.ax_.figure
    chosen = study.results_.query("regime == 'real' and metric == 'roc_auc'")
    means = chosen.groupby("n_train")["score"].mean()
    pd.testing.assert_series_equal(display.points["real"]["mean"], means, check_names=False)
    x, y = display.lines_["real"].get_data()
    curve = study.curves_["real", "KNN", "roc_auc"]
    np.testing.assert_allclose(y, curve.predict(x))
    assert (x[0], x[-1]) == pytest.approx((20, 320))


def test_bars_are_the_spread_between_folds_whatever_the_number_of_draws():
    study = Study().fit()
    plain = SynthLearningCurveDisplay.from_estimator(study).points["real"]
    study.results_ = pd.concat([study.results_, study.results_.assign(draw=1)])
    doubled = SynthLearningCurveDisplay.from_estimator(study).points["real"]
    pd.testing.assert_frame_equal(plain, doubled)


def test_target_is_drawn_and_the_size_marked():
    display = SynthLearningCurveDisplay.from_estimator(
        Study().fit(), metric="accuracy", target=0.82, reach=3
    )
    answer = display.required_["synth"]
    assert np.isfinite(answer.n)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert f"synth (n = {int(np.ceil(answer.n)):,})" in labels
    assert "target 0.82" in labels
    drops = [line for line in display.ax_.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(line.get_xdata(), answer.n) for line in drops)
    assert display.lines_["real"].get_xdata()[-1] == pytest.approx(960)


def test_target_out_of_reach_is_said():
    display = SynthLearningCurveDisplay.from_estimator(Study().fit(), target=0.99)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert "real (not reached)" in labels


def test_many_regimes_share_one_band_and_a_legend_beside_the_axes():
    names = ("real", "synth", *(f"augmented_{r}" for r in range(1, 8)))
    display = SynthLearningCurveDisplay.from_estimator(Study(names).fit())
    assert list(display.bands_) == ["real"]
    assert len({line.get_color() for line in display.lines_.values()}) == 9
    assert display.ax_.get_legend()._get_loc() == 6  # centre left, beside the axes


def test_chosen_regimes_keep_their_order():
    display = SynthLearningCurveDisplay.from_estimator(Study().fit(), regimes=["synth"])
    assert list(display.lines_) == ["synth"]


def test_without_curves_points_are_joined():
    display = SynthLearningCurveDisplay.from_estimator(Study(curves=False).fit(), target=0.8)
    np.testing.assert_array_equal(display.lines_["real"].get_xdata(), SIZES)
    assert display.bands_ == {}
    assert display.required_ == {}


def test_table_of_sample_sizes_is_drawn_by_method():
    table = pd.DataFrame(
        [
            (n, draw, method, law(n) - shift + 0.001 * draw)
            for n in SIZES
            for draw in range(3)
            for method, shift in (("RF", 0.0), ("KNN", 0.1))
        ],
        columns=["total_size", "draw", "method", "f1_score"],
    )
    curve = InversePowerLaw().fit(SIZES, law(SIZES))
    display = SynthLearningCurveDisplay.from_table(
        table, score="f1_score", curves={"RF": curve}, target=0.85, title="Pilot"
    )
    assert list(display.lines_) == ["RF", "KNN"]
    assert list(display.required_) == ["RF"]
    assert display.ax_.get_xlabel() == "Rows of the table"
    assert display.ax_.get_title() == "Pilot"
    np.testing.assert_allclose(display.points["KNN"]["mean"], law(SIZES) - 0.1 + 0.001)
    np.testing.assert_allclose(display.points["KNN"]["sd"], 0.001)


def test_one_curve_needs_no_names():
    table = pd.DataFrame({"n_train": SIZES, "auc": law(SIZES)})
    curve = InversePowerLaw().fit(SIZES, law(SIZES))
    display = SynthLearningCurveDisplay.from_table(table, score="auc", curves=curve)
    assert display.ax_.get_legend() is None
    assert display.ax_.get_xlabel() == "Rows trained on"


def test_user_axes_and_keywords_are_used():
    _, ax = plt.subplots()
    display = SynthLearningCurveDisplay.from_estimator(
        Study().fit(), ax=ax, regimes="real", line_kw={"lw": 4, "c": "red"}, band_kw={"alpha": 0.5}
    )
    assert display.ax_ is ax
    assert display.lines_["real"].get_linewidth() == 4
    assert display.lines_["real"].get_color() == "red"
    assert display.bands_["real"].get_alpha() == 0.5


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"classifier": "SVM"}, "Unknown classifier 'SVM'"),
        ({"metric": "f1"}, "Unknown metric 'f1'"),
        ({"regimes": ["dream"]}, "Unknown regime 'dream'"),
        ({"reach": 0.5}, "reach=0.5 must be at least 1"),
    ],
)
def test_bad_choices_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        SynthLearningCurveDisplay.from_estimator(Study().fit(), **keywords)


def test_bad_studies_and_tables_are_refused():
    with pytest.raises(NotFittedError):
        SynthLearningCurveDisplay.from_estimator(Study())
    with pytest.raises(TypeError, match="needs a fitted GeneratorLearningCurve"):
        SynthLearningCurveDisplay.from_estimator(InversePowerLaw().fit(SIZES, law(SIZES)))
    table = pd.DataFrame({"n_train": SIZES, "auc": np.nan})
    with pytest.raises(ValueError, match="has no rows"):
        SynthLearningCurveDisplay.from_table(table.iloc[:0])
    with pytest.raises(ValueError, match="has no column 'score'"):
        SynthLearningCurveDisplay.from_table(table)
    with pytest.raises(ValueError, match="no column for the size"):
        SynthLearningCurveDisplay.from_table(table, score="auc", size="rows")
    with pytest.raises(ValueError, match="no finite score"):
        SynthLearningCurveDisplay.from_table(table, score="auc")
