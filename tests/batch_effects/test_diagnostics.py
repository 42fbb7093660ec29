import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from synth_estimators import metrics
from synth_estimators.batch_effects import (
    asw_batch,
    davies_bouldin_batch,
    kbet_rejection,
    kept_structure,
    lisi_batch,
    silhouette_batch,
    silhouette_label,
)
from synth_estimators.batch_effects._batch_rows import principal_axes, read_matrix

TABLES = {
    "raw": "norm_X",
    "combat_param_group": "exp_combat_param_group",
    "limma_group": "exp_limma_group",
}


@pytest.fixture(params=list(TABLES))
def case(request, batch_data):
    """Rows, their labels and the published values of one table."""
    expected = batch_data.json("metrics_expected")["values"][request.param]
    return batch_data.table(TABLES[request.param]), batch_data.meta("norm"), expected


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 4)), np.tile(["a", "b", "c"], 30)


def test_silhouettes_and_davies_bouldin_equal_the_reference(case):
    X, meta, expected = case
    batch = meta["batch"]
    assert silhouette_batch(X, batch) == pytest.approx(expected["silhouette_features"], abs=1e-9)
    assert silhouette_batch(X, batch, n_pcs=3) == pytest.approx(
        expected["silhouette_pc3"], abs=1e-9
    )
    assert asw_batch(X, batch, n_pcs=3) == pytest.approx(expected["asw_batch_scib_style"], abs=1e-9)
    assert davies_bouldin_batch(X, batch) == pytest.approx(
        expected["davies_bouldin_features"], abs=1e-9
    )
    assert davies_bouldin_batch(X, batch, n_pcs=3) == pytest.approx(
        expected["davies_bouldin_pc3"], abs=1e-8
    )


def test_kbet_equals_the_reference(case):
    X, meta, expected = case
    batch = meta["batch"]
    found = kbet_rejection(X, batch, breakdown=True, random_state=0)
    assert found.n_neighbors == 10
    assert found.score == pytest.approx(expected["kbet_rejection_k10_selfin"], abs=1e-9)
    assert found.details["chi2"].mean() == pytest.approx(
        expected["kbet_meanstat_k10_selfin"], abs=1e-9
    )
    out = kbet_rejection(X, batch, n_neighbors=10, include_self=False)
    assert out == pytest.approx(expected["kbet_rejection_k10_selfout"], abs=1e-9)
    assert 1.0 - out == pytest.approx(expected["combatlearn_kbet_acceptance_k10"], abs=1e-9)
    assert found.permuted < 0.1


def test_lisi_equals_the_reference(case):
    X, meta, expected = case
    found = lisi_batch(X, meta["batch"], perplexity=5, breakdown=True)
    assert found.score == pytest.approx(expected["lisi_perp5_mean"], abs=1e-9)
    assert found.score == pytest.approx(found.details["lisi"].mean())
    assert found.median == found.details["lisi"].median()
    # The peer stops its search of the bandwidth earlier.
    assert found.score == pytest.approx(expected["harmonypy_lisi_perp5_mean"], abs=0.01)


@pytest.mark.parametrize("n_features", [4, 200])
def test_metrics_do_not_change_when_rows_are_rotated_and_shifted(cloud, n_features):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(90, n_features)) + (cloud[1] == "b")[:, None]
    turn = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    moved = 3.0 * X @ turn + 100.0
    for metric in (silhouette_batch, asw_batch, davies_bouldin_batch, kbet_rejection):
        assert metric(moved, cloud[1]) == pytest.approx(metric(X, cloud[1]), abs=1e-9)


def test_many_features_give_the_values_of_the_plain_formula(cloud):
    # More features than rows are measured on their principal scores.
    rng = np.random.default_rng(2)
    batch = cloud[1]
    X = rng.normal(size=(90, 300)) + (batch == "b")[:, None] * rng.normal(size=300)
    distance = cdist(X, X)
    width = []
    for row in range(90):
        means = {b: distance[row][batch == b].sum() for b in "abc"}
        own = means.pop(batch[row]) / 29
        other = min(means.values()) / 30
        width.append((other - own) / max(own, other))
    assert silhouette_batch(X, batch) == pytest.approx(np.mean(width), abs=1e-10)
    order = np.argsort(distance, axis=1)[:, :22]
    count = np.stack([(batch[order] == b).sum(axis=1) for b in "abc"])
    expected = ((count - 22 / 3) ** 2 / (22 / 3)).sum(axis=0)
    found = kbet_rejection(X, batch, breakdown=True)
    np.testing.assert_allclose(found.details["chi2"], expected)


def test_separate_and_mixed_batches_reach_the_ends_of_the_scales(cloud):
    X, batch = cloud
    apart = X + 1e4 * (batch == "b")[:, None] + 2e4 * (batch == "c")[:, None]
    assert silhouette_batch(apart, batch) > 0.999
    assert asw_batch(apart, batch) < 0.001
    assert davies_bouldin_batch(apart, batch) < 0.001
    assert kbet_rejection(apart, batch) == 1.0
    assert lisi_batch(apart, batch, perplexity=9) == 1.0
    assert lisi_batch(X, batch, perplexity=20) > 2.4


def test_small_tables_lower_the_perplexity(cloud):
    X, batch = cloud
    with pytest.warns(UserWarning, match=r"X has 60 rows.*lowered to 20"):
        found = lisi_batch(X[:60], batch[:60], breakdown=True)
    assert found.perplexity == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lisi_batch(X, batch, breakdown=True).perplexity == 30
    with pytest.warns(UserWarning, match="lowered to 1"):
        assert lisi_batch(X[:4], batch[:4]) == pytest.approx(1.0)


def test_classes_have_their_own_silhouette(case):
    X, meta, _ = case
    assert silhouette_label(X, meta["group"]) == silhouette_batch(X, meta["group"])
    with pytest.raises(ValueError, match="label holds the label 'case' only"):
        silhouette_label(X, np.full(len(X), "case"))


def test_lisi_and_kbet_agree_with_the_metrics_of_mixed_tables(cloud):
    X, batch = cloud
    accepted = metrics.kbet_acceptance(X, batch, n_neighbors=22, n_rows=None)
    rejected = kbet_rejection(X, batch, n_neighbors=22, include_self=False)
    assert accepted == pytest.approx(1.0 - rejected)
    # One neighbour more among ninety.
    assert lisi_batch(X, batch, perplexity=20, breakdown=True).median == pytest.approx(
        metrics.lisi(X, batch, perplexity=20), abs=0.02
    )


def test_neighbours_and_distances_of_the_same_rows_are_kept(cloud):
    X, _ = cloud
    found = kept_structure(5.0 * X - 2.0, X)
    assert found == dict.fromkeys(found, pytest.approx(1.0))
    assert list(found) == [
        "knn_overlap_5",
        "knn_overlap_10",
        "knn_overlap_50",
        "distance_correlation",
    ]
    assert "knn_overlap_50" not in kept_structure(X[:51], X[:51])


def test_overlap_and_correlation_follow_their_definitions(cloud):
    X, _ = cloud
    after = X + np.random.default_rng(3).normal(size=X.shape)
    found = kept_structure(after, X, n_neighbors=(7,))
    near = [np.argsort(cdist(rows, rows), axis=1)[:, 1:8] for rows in (after, X)]
    share = np.mean([len(set(a) & set(b)) / 7 for a, b in zip(*near, strict=True)])
    assert found["knn_overlap_7"] == pytest.approx(share)
    upper = np.triu_indices(90, 1)
    expected = spearmanr(cdist(after, after)[upper], cdist(X, X)[upper]).statistic
    assert found["distance_correlation"] == pytest.approx(expected)


def test_distances_of_large_tables_are_compared_on_drawn_rows(cloud):
    X, _ = cloud
    after = X + np.random.default_rng(3).normal(size=X.shape)
    drawn = [
        kept_structure(after, X, max_rows=30, random_state=seed)["distance_correlation"]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == pytest.approx(kept_structure(after, X)["distance_correlation"], abs=0.15)


def test_components_are_those_of_the_singular_value_decomposition():
    rng = np.random.default_rng(4)
    for shape in ((30, 8), (8, 30)):
        rows = rng.normal(size=shape)
        rows -= rows.mean(axis=0)
        scores, squares = principal_axes(rows)
        left, singular, _ = np.linalg.svd(rows, full_matrices=False)
        rank = min(shape[0] - 1, shape[1])
        np.testing.assert_allclose(squares, singular[:rank] ** 2)
        np.testing.assert_allclose(np.abs(scores), np.abs((left * singular)[:, :rank]), atol=1e-9)


@pytest.mark.parametrize(
    "convert", [pd.DataFrame, lambda X: X.astype(np.float32), lambda X: X.tolist()]
)
def test_containers_and_dtypes_give_the_same_value(cloud, convert):
    X, batch = cloud
    value = silhouette_batch(X, batch)
    assert silhouette_batch(convert(X), pd.Series(batch, dtype="category")) == pytest.approx(
        value, abs=1e-6
    )


def test_polars_and_anndata_tables(cloud):
    polars = pytest.importorskip("polars")
    X, batch = cloud
    frame = polars.DataFrame({f"x{j}": X[:, j] for j in range(4)})
    value = pytest.approx(silhouette_batch(X, batch))
    assert silhouette_batch(frame, polars.Series(batch)) == value
    anndata = pytest.importorskip("anndata")
    assert silhouette_batch(anndata.AnnData(X=X), batch) == value


def test_rows_are_not_written_to(cloud):
    X, batch = cloud
    for rows in (X, np.asfortranarray(X)):
        rows.setflags(write=False)
        silhouette_batch(rows, batch)
        kept_structure(rows, rows)


def test_a_batch_of_one_row_counts_as_not_separate(cloud):
    X, batch = cloud
    batch = batch.astype(object)
    batch[0] = "alone"
    for metric in (silhouette_batch, asw_batch, davies_bouldin_batch, kbet_rejection):
        assert np.isfinite(metric(X, batch))


@pytest.mark.parametrize(
    "metric",
    [silhouette_batch, asw_batch, davies_bouldin_batch, kbet_rejection, lisi_batch],
)
def test_bad_input_is_refused(metric, cloud):
    X, batch = cloud
    holes = pd.DataFrame(X).add_prefix("g")
    holes.loc[3, "g2"] = np.nan
    with pytest.raises(ValueError, match="'a' only"):
        metric(X, np.full(90, "a"))
    with pytest.raises(ValueError, match="label of its own in each of the 90 rows"):
        metric(X, np.arange(90))
    with pytest.raises(ValueError, match="X contains NaN in column 'g2'"):
        metric(holes, batch)
    with pytest.raises(ValueError, match="X is constant"):
        metric(np.full((90, 4), 0.1), batch)
    with pytest.raises(ValueError, match="batch has 9 labels but X has 90 rows"):
        metric(X, batch[:9])
    with pytest.raises(ValueError, match="batch is missing in 1 of 90 rows"):
        metric(X, [None, *batch[1:]])
    with pytest.raises(ValueError, match=r"n_pcs=5 must be between 1 and 4"):
        metric(X, batch, n_pcs=5)


def test_tables_that_are_no_numbers_are_refused(cloud):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    X, batch = cloud
    with pytest.raises(TypeError, match=r"X is sparse; pass X\.toarray\(\)"):
        silhouette_batch(scipy_sparse.csr_matrix(X), batch)
    with pytest.raises(ValueError, match=r"no numbers: \['site'\]"):
        silhouette_batch(pd.DataFrame(X).assign(site=batch), batch)
    with pytest.raises(ValueError, match=r"X has shape \(4,\)"):
        read_matrix(X[0], "X")
    X = X.copy()
    X[5, 1] = -np.inf
    with pytest.raises(ValueError, match="X contains infinity in column x1"):
        read_matrix(X, "X")


def test_bad_parameters_are_refused(cloud):
    X, batch = cloud
    with pytest.raises(ValueError, match=r"level=1\.0"):
        kbet_rejection(X, batch, level=1.0)
    with pytest.raises(ValueError, match="n_neighbors=1 must be at least 2"):
        kbet_rejection(X, batch, n_neighbors=1)
    with pytest.raises(ValueError, match="perplexity=1"):
        lisi_batch(X, batch, perplexity=1)
    with pytest.raises(ValueError, match="X has 90 rows but before has 89"):
        kept_structure(X, X[1:])
    with pytest.raises(ValueError, match="sizes of at least 1"):
        kept_structure(X, X, n_neighbors=(0,))
    with pytest.raises(ValueError, match="max_rows=2"):
        kept_structure(X, X, max_rows=2)
