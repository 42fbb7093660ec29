from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators.batch_effects import (
    BATCH_METRICS,
    ComBat,
    attach_batch,
    batch_metrics,
    pc_regression,
)
from synth_estimators.inspection import BatchEffectDisplay

pytest.importorskip("matplotlib").use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

FOLDER = Path(__file__).parents[1] / "data" / "batch"


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def norm():
    """The table of the expected values with its labels as columns."""
    X = pd.read_csv(FOLDER / "norm_X.csv", index_col=0)
    return X.join(pd.read_csv(FOLDER / "norm_meta.csv", index_col=0)[["batch", "group"]])


def _titles(display):
    return [axes.get_title() for axes in display.axes_]


def _cells(display):
    cells = display.axes_[-1].tables[0].get_celld()
    n_rows = max(row for row, _ in cells)
    return [[cells[row, j].get_text().get_text() for j in range(5)] for row in range(1, n_rows + 1)]


def test_column_mode_reads_the_labels_of_the_corrector(norm):
    combat = ComBat(covariates=["group"]).fit(norm)
    display = BatchEffectDisplay.from_estimator(combat, norm, label="group", random_state=0)
    X, after = norm.iloc[:, :-2], combat.transform(norm)
    for side, rows in (("before", X), ("after", after)):
        found = batch_metrics(
            rows,
            norm["batch"],
            norm["group"],
            before=X if side == "after" else None,
            random_state=0,
        )
        for name, value in found.items():
            if name not in ("kbet_rejection_permuted", "gpca_p_value"):
                assert display.metrics.loc[name, side] == pytest.approx(value, abs=1e-6), name
    assert _titles(display)[:4] == [
        "before, by batch",
        "after ComBat, by batch",
        "before, by class",
        "after ComBat, by class",
    ]
    assert list(display.variance.index) == ["batch", "class", "batch x class", "residual"]
    np.testing.assert_allclose(display.variance.sum(), 1.0)
    assert display.variance.loc["batch", "after"] < 0.01 < display.variance.loc["batch", "before"]


def test_keyword_mode_and_kept_metadata_show_the_same(norm):
    X, batch = norm.iloc[:, :-2], norm["batch"].to_numpy()
    kept = ComBat(keep_metadata=True).fit(norm.drop(columns="group"))
    first = BatchEffectDisplay.from_estimator(kept, norm.drop(columns="group"), random_state=0)
    by_keyword = ComBat().fit(X, batch=batch)
    second = BatchEffectDisplay.from_estimator(by_keyword, X, batch=batch, random_state=0)
    pd.testing.assert_frame_equal(first.metrics, second.metrics)
    array = ComBat().fit(X.to_numpy(), batch=batch)
    third = BatchEffectDisplay.from_estimator(array, X.to_numpy(), batch=batch, random_state=0)
    np.testing.assert_allclose(first.metrics, third.metrics, atol=1e-9)
    assert third.label is None
    assert len(third.axes_) == 4


def test_pipelines_are_told_the_column_of_the_batch(norm):
    table = norm.drop(columns="group")
    model = make_pipeline(ComBat(), StandardScaler()).fit(table)
    display = BatchEffectDisplay.from_estimator(model, table, batch="batch", name="both")
    assert _titles(display)[1] == "after both, by batch"
    np.testing.assert_array_equal(display.batch, norm["batch"])
    with pytest.raises(ValueError, match="batch is needed, since Pipeline"):
        BatchEffectDisplay.from_estimator(model, table)


def test_embeddings_are_principal_components_of_each_table(norm):
    X = norm.iloc[:, :-2].to_numpy()
    after = 2.0 * X[:, ::-1] + np.random.default_rng(0).normal(size=X.shape)
    display = BatchEffectDisplay.from_data(before=X, after=after, batch=norm["batch"])
    for Z, rows, labels in zip(
        (display.Z_before, display.Z_after), (X, after), display.axis_labels, strict=True
    ):
        model = PCA(2).fit(rows)
        np.testing.assert_allclose(np.abs(Z), np.abs(model.transform(rows)), atol=1e-7)
        share = model.explained_variance_ratio_[0]
        assert labels[0] == f"PC1 ({share:.0%} of the variance)"


@pytest.mark.slow
def test_umap_gives_two_other_coordinates(norm):
    pytest.importorskip("umap")
    X = norm.iloc[:, :-2]
    displays = [
        BatchEffectDisplay.from_data(
            before=X, after=X, batch=norm["batch"], method="umap", random_state=0
        )
        for _ in range(2)
    ]
    assert displays[0].axes_[0].get_xlabel() == "UMAP 1"
    np.testing.assert_array_equal(displays[0].Z_before, displays[1].Z_before)


def test_every_row_is_a_point_of_its_batch(norm):
    X = norm.iloc[:, :-2]
    display = BatchEffectDisplay.from_data(before=X, after=X, batch=norm["batch"])
    for axes in display.axes_[:2]:
        sizes = [len(points.get_offsets()) for points in axes.collections]
        assert sizes == [12, 10, 8]
        colors = {tuple(points.get_facecolor()[0]) for points in axes.collections}
        assert len(colors) == 3
    legend = display.axes_[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["b1", "b2", "b3"]
    assert legend.get_title().get_text() == "batch"


def test_bars_are_the_shares(norm):
    combat = ComBat(covariates=["group"]).fit(norm)
    display = BatchEffectDisplay.from_estimator(combat, norm, label="group")
    widths = [bar.get_width() for bar in display.axes_[4].patches]
    np.testing.assert_allclose(widths, display.variance.to_numpy().T.ravel())


def test_components_may_take_the_place_of_variance_components(norm):
    X = norm.iloc[:, :-2]
    display = BatchEffectDisplay.from_data(before=X, after=X, batch=norm["batch"], variance="pcs")
    r2 = pc_regression(X, norm["batch"], breakdown=True).details["r2"]
    np.testing.assert_allclose(display.variance["before"], r2[:5])
    assert list(display.variance.index) == ["PC1", "PC2", "PC3", "PC4", "PC5"]
    assert _titles(display)[2] == "share between batches, by component"


def test_confounded_classes_fall_back_on_components(norm):
    X = norm.iloc[:, :-2]
    with pytest.warns(UndefinedMetricWarning, match="split the rows in the same way"):
        display = BatchEffectDisplay.from_data(
            before=X, after=X, batch=norm["batch"], label=norm["batch"].str.upper()
        )
    assert _titles(display)[4] == "share between batches, by component"


def test_table_says_what_was_wanted_and_what_came(norm):
    combat = ComBat(covariates=["group"]).fit(norm)
    display = BatchEffectDisplay.from_estimator(combat, norm, label="group")
    rows = {row[0]: row[1:] for row in _cells(display)}
    assert rows["silhouette of batches"] == ["↓", "0.245", "-0.0576", "✓"]
    assert rows["median LISI of batches"][0] == "↑"
    assert rows["10 nearest rows kept"] == ["↑", "–", "0.453", ""]
    turned = BatchEffectDisplay.from_data(
        before=combat.transform(norm), after=norm.iloc[:, :-2], batch=norm["batch"]
    )
    assert {row[0]: row[4] for row in _cells(turned)}["kBET rejection rate"] == "✗"
    same = BatchEffectDisplay.from_data(
        before=norm.iloc[:, :-2], after=norm.iloc[:, :-2], batch=norm["batch"]
    )
    assert {row[4] for row in _cells(same)} == {"=", ""}


def test_other_metrics_may_be_shown(norm):
    X = norm.iloc[:, :-2]
    display = BatchEffectDisplay.from_data(before=X, after=X, batch=norm["batch"])
    display.plot(metrics=["gpca_delta", "pvca_label", "lisi_mean"])
    titles = [BATCH_METRICS[name].title for name in ("gpca_delta", "lisi_mean")]
    assert [row[0] for row in _cells(display)] == titles
    with pytest.raises(ValueError, match=r"metrics names \['accuracy'\]"):
        display.plot(metrics=["accuracy"])


def test_draws_into_given_axes(norm):
    X = norm.iloc[:, :-2]
    display = BatchEffectDisplay.from_data(before=X, after=X, batch=norm["batch"])
    figure, axes = plt.subplots(1, 4)
    assert display.plot(ax=axes).figure_ is figure
    assert list(display.axes_) == list(axes)
    figure, (left, _) = plt.subplots(1, 2)
    assert display.plot(ax=left).figure_ is figure
    with pytest.raises(ValueError, match="ax holds 2 axes, but 4 panels"):
        display.plot(ax=plt.subplots(1, 2)[1])


def test_words_for_the_artists_are_passed_on(norm):
    X = norm.iloc[:, :-2]
    display = BatchEffectDisplay.from_data(
        before=X, after=X, batch=norm["batch"], scatter_kw={"s": 3.0}, bar_kw={"color": "red"}
    )
    assert display.axes_[0].collections[0].get_sizes().tolist() == [3.0]
    assert display.axes_[2].patches[0].get_facecolor() == (1.0, 0.0, 0.0, 1.0)


def test_many_batches_have_a_short_legend():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6))
    display = BatchEffectDisplay.from_data(before=X, after=X, batch=np.arange(80) % 16)
    legend = display.axes_[1].get_legend()
    assert len(legend.get_texts()) == 12
    assert legend.get_texts()[-1].get_text() == "..."
    assert legend.get_title().get_text() == "batch (16)"


def test_anndata_columns_hold_labels(norm):
    anndata = pytest.importorskip("anndata")
    X = norm.iloc[:, :-2]
    table = anndata.AnnData(X=X.to_numpy(), obs=norm[["batch", "group"]])
    combat = ComBat().fit(table)
    display = BatchEffectDisplay.from_estimator(combat, table, label="group", random_state=0)
    plain = BatchEffectDisplay.from_estimator(
        ComBat().fit(attach_batch(X, norm["batch"])),
        attach_batch(X, norm["batch"]),
        label=norm["group"],
        random_state=0,
    )
    np.testing.assert_allclose(display.metrics, plain.metrics, atol=1e-8)


def test_bad_requests_are_refused(norm):
    X, batch = norm.iloc[:, :-2], norm["batch"]
    with pytest.raises(ValueError, match="method='tsne' is unknown; use 'pca' or 'umap'"):
        BatchEffectDisplay.from_data(before=X, after=X, batch=batch, method="tsne")
    with pytest.raises(ValueError, match="variance='anova' is unknown"):
        BatchEffectDisplay.from_data(before=X, after=X, batch=batch, variance="anova")
    with pytest.raises(ValueError, match="before has 29 rows but after has 30"):
        BatchEffectDisplay.from_data(before=X[1:], after=X, batch=batch)
    with pytest.raises(ValueError, match="'b1' only"):
        BatchEffectDisplay.from_data(before=X, after=X, batch=["b1"] * 30)
    with pytest.raises(NotFittedError):
        BatchEffectDisplay.from_estimator(ComBat(), X)
    with pytest.raises(ValueError, match="label='kind' names no column of X"):
        BatchEffectDisplay.from_estimator(ComBat().fit(X, batch=batch), X, label="kind")
    with pytest.raises(ValueError, match="no batch was passed"):
        BatchEffectDisplay.from_estimator(ComBat().fit(X, batch=batch), X)
