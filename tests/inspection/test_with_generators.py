"""Displays of the generators of the package, also inside pipelines and searches."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from synth_estimators import CVAE, ClassConditionalGenerator, GaussianCopula, SynthesisPipeline
from synth_estimators.inspection import EmbeddingDisplay, LossCurveDisplay, MarginalsDisplay

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = np.tile(["a", "b"], 30)
    X = pd.DataFrame(rng.normal(size=(60, 3)) + (y == "b")[:, None], columns=["u", "v", "w"])
    return X, y


@pytest.fixture(scope="module")
def search(table):
    pipeline = SynthesisPipeline(
        [("scale", StandardScaler()), ("generator", CVAE(max_epochs=4, random_state=0))]
    )
    return GridSearchCV(pipeline, {"generator__latent_dim": [1, 2]}, cv=2).fit(*table)


def test_loss_curve_of_a_search_over_a_pipeline(search):
    display = LossCurveDisplay.from_estimator(search)
    cvae = search.best_estimator_[-1]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), cvae.loss_curve_)
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), cvae.validation_loss_curve_)
    assert display.best_epoch_ == int(np.argmin(cvae.validation_loss_curve_)) + 1


def test_marginals_and_embedding_of_a_search_over_a_pipeline(search, table):
    X, y = table
    marginals = MarginalsDisplay.from_estimator(search, X, random_state=0)
    assert set(marginals.distances.index) == {"u", "v", "w"}
    embedding = EmbeddingDisplay.from_estimator(search, X, y, random_state=0)
    assert set(embedding.y_synth) == {"a", "b"}


def test_class_conditional_generator_has_no_single_loss_curve(table):
    model = ClassConditionalGenerator(GaussianCopula(), random_state=0).fit(*table)
    with pytest.raises(TypeError, match="has no loss_curve_"):
        LossCurveDisplay.from_estimator(model)
    display = EmbeddingDisplay.from_estimator(model, *table, random_state=0)
    assert display.Z_synth.shape == (60, 2)
