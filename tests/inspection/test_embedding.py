import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from synth_estimators.inspection import EmbeddingDisplay

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    return rng.normal(size=(40, 5)) @ mixing, rng.normal(size=(30, 5)) @ mixing + 1.0


class Labeled(BaseEstimator):
    def fit(self, X, y):
        self.rows_, self.labels_ = np.asarray(X), np.asarray(y)
        return self

    def sample(self, n_samples=1, *, random_state=None):
        return self.sample_labeled(n_samples, random_state=random_state)[0]

    def sample_labeled(self, n_samples=1, *, random_state=None):
        idx = np.random.default_rng(random_state).integers(len(self.rows_), size=n_samples)
        return self.rows_[idx], self.labels_[idx]


def test_pca_is_fitted_on_the_standardised_real_rows(tables):
    real, synth = tables
    display = EmbeddingDisplay.from_predictions(real, synth)
    scaler = StandardScaler().fit(real)
    pca = PCA(2).fit(scaler.transform(real))
    expected = pca.transform(scaler.transform(synth))
    np.testing.assert_allclose(np.abs(display.Z_synth), np.abs(expected), atol=1e-8)
    share = f"{pca.explained_variance_ratio_[0]:.0%}"
    assert display.ax_.get_xlabel() == f"PC1 ({share} of real variance)"


def test_synthetic_rows_do_not_move_the_map(tables):
    real, synth = tables
    one = EmbeddingDisplay.from_predictions(real, synth)
    other = EmbeddingDisplay.from_predictions(real, synth[:3] * 100)
    np.testing.assert_array_equal(one.Z_real, other.Z_real)


def test_labels_choose_the_markers(tables):
    real, synth = tables
    y_real, y_synth = np.repeat(["a", "b"], 20), np.repeat(["b", "a"], 15)
    display = EmbeddingDisplay.from_predictions(real, synth, y_real=y_real, y_synth=y_synth)
    points = {c.get_label(): c for c in display.ax_.collections}
    assert set(points) == {"real, a", "real, b", "synthetic, a", "synthetic, b"}
    np.testing.assert_allclose(points["synthetic, a"].get_offsets(), display.Z_synth[15:])
    paths = {name: c.get_paths()[0].vertices for name, c in points.items()}
    assert paths["real, a"].shape != paths["real, b"].shape
    np.testing.assert_array_equal(paths["real, a"], paths["synthetic, a"])


def test_from_estimator_draws_labelled_rows(tables):
    real, _ = tables
    y = np.arange(40) % 3
    generator = Labeled().fit(real, y)
    display = EmbeddingDisplay.from_estimator(generator, real, y, n_samples=9, random_state=0)
    assert display.Z_synth.shape == (9, 2)
    assert len(display.y_synth) == 9
    again = EmbeddingDisplay.from_estimator(generator, real, y, n_samples=9, random_state=0)
    np.testing.assert_array_equal(display.Z_synth, again.Z_synth)


def test_from_estimator_without_labels_draws_one_cloud_each(tables):
    generator = Labeled().fit(tables[0], np.zeros(40))
    display = EmbeddingDisplay.from_estimator(generator, tables[0], random_state=0)
    assert [c.get_label() for c in display.ax_.collections] == ["real", "Labeled"]
    assert len(display.Z_synth) == 40


def test_categories_constants_and_single_columns_are_embedded():
    real = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "x"], "c": 7.0})
    assert EmbeddingDisplay.from_predictions(real, real).Z_real.shape == (3, 2)
    single = EmbeddingDisplay.from_predictions(real[["a"]], real[["a"]])
    np.testing.assert_array_equal(single.Z_real[:, 1], 0.0)


@pytest.mark.slow
def test_umap_is_used_when_installed(tables):
    pytest.importorskip("umap")
    display = EmbeddingDisplay.from_predictions(*tables, method="umap", random_state=0)
    assert display.Z_synth.shape == (30, 2)
    assert display.ax_.get_xlabel() == "UMAP 1"


def test_missing_umap_names_the_extra(tables, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"method='umap'.*synth-estimators\[plot\]"):
        EmbeddingDisplay.from_predictions(*tables, method="umap")


def test_missing_cells_dates_and_categories_find_a_place():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "x": rng.normal(size=40),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(40), unit="D"),
            "kind": np.resize(["a", "b", None], 40),
        }
    )
    table.loc[:4, "x"] = np.nan
    display = EmbeddingDisplay.from_predictions(table, table.iloc[::-1])
    np.testing.assert_allclose(display.Z_synth, np.asarray(display.Z_real)[::-1], atol=1e-9)
    later = table.assign(when=table["when"] + pd.Timedelta(days=4000))
    moved = EmbeddingDisplay.from_predictions(table, later)
    assert np.abs(moved.Z_synth - moved.Z_real).max() > 10


def test_bad_requests_are_refused(tables):
    real, synth = tables
    with pytest.raises(ValueError, match="expected 'pca' or 'umap'"):
        EmbeddingDisplay.from_predictions(real, synth, method="tsne")
    with pytest.raises(ValueError, match="y_real was given without y_synth"):
        EmbeddingDisplay.from_predictions(real, synth, y_real=np.zeros(40))
    with pytest.raises(ValueError, match="y_synth has shape"):
        EmbeddingDisplay.from_predictions(real, synth, y_real=np.zeros(40), y_synth=np.zeros(2))
    broken = real.copy()
    broken[3, 2] = np.inf
    with pytest.raises(ValueError, match="'x2' of X_real contains infinity"):
        EmbeddingDisplay.from_predictions(broken, synth)
    generator = BaseGeneratorWithoutLabels().fit(real)
    with pytest.raises(TypeError, match="draws no labels"):
        EmbeddingDisplay.from_estimator(generator, real, np.zeros(40))


class BaseGeneratorWithoutLabels(BaseEstimator):
    def fit(self, X, y=None):
        self.rows_ = X
        return self

    def sample(self, n_samples=1, *, random_state=None):
        return self.rows_[:n_samples]
