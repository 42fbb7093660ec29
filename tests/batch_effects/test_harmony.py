"""HarmonyEmbedding: the algorithm by brute force, known shifts, frozen rounds, containers."""

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators.batch_effects import BatchLabelWarning, HarmonyEmbedding
from synth_estimators.batch_effects._harmony_model import (
    HarmonyOptions,
    _Clustering,
    _ridge_shifts,
    fit_harmony,
    unit_rows,
)
from synth_estimators.metrics import lisi

N_KINDS, N_BATCHES = 4, 3


def cells(n_samples=400, *, seed=0, shift=3.0, absent=()):
    """Scores of kinds of cells in batches with shifts; ``absent`` pairs (batch, kind) are empty."""
    rng = np.random.default_rng(seed)
    centers = 8.0 * rng.normal(size=(N_KINDS, 6))
    shifts = shift * rng.normal(size=(N_BATCHES, 6))
    batch = rng.integers(0, N_BATCHES, n_samples)
    share = np.ones((N_BATCHES, N_KINDS))
    for pair in absent:
        share[pair] = 0.0
    kind = np.array([rng.choice(N_KINDS, p=share[b] / share[b].sum()) for b in batch])
    scores = centers[kind] + shifts[batch] + rng.normal(size=(n_samples, 6))
    return scores - scores.mean(axis=0), batch, kind


def largest_gap(scores, batch, kind):
    """Largest distance between batch means of one kind of cells."""
    means = [
        [scores[(kind == k) & (batch == b)].mean(axis=0) for b in range(N_BATCHES)]
        for k in range(N_KINDS)
    ]
    return max(
        np.linalg.norm(of_kind[b] - of_kind[0]) for of_kind in means for b in range(N_BATCHES)
    )


def by_hand(model, scores, code):
    """One row through all rounds, cluster by cluster."""
    moved = scores
    for step in model.rounds:
        direction = moved / np.linalg.norm(moved)
        distance = 2.0 * (1.0 - step.centroids @ direction)
        share = np.exp(-distance / 0.1) * np.exp(step.log_penalty[code])
        share /= share.sum()
        moved = scores.copy()
        for cluster, weight in enumerate(share):
            moved -= weight * step.shifts[code, cluster]
    return moved


def test_batches_meet_and_kinds_of_cells_stay_apart():
    scores, batch, kind = cells()
    moved = HarmonyEmbedding(random_state=0).fit_transform(scores, batch=batch)
    assert largest_gap(moved, batch, kind) < 0.2 * largest_gap(scores, batch, kind)
    assert lisi(moved, batch) > 2.5 > lisi(scores, batch)
    assert silhouette_score(moved, kind) > silhouette_score(scores, kind) + 0.1


def test_bounded_penalty_spares_kinds_that_a_batch_lacks():
    scores, batch, kind = cells(600, seed=5, absent=[(0, 0), (1, 0), (2, 1)])
    moved = {
        penalty: HarmonyEmbedding(penalty=penalty, random_state=0).fit_transform(
            scores, batch=batch
        )
        for penalty in ("bounded", "ratio")
    }
    separation = {penalty: silhouette_score(rows, kind) for penalty, rows in moved.items()}
    assert separation["bounded"] > silhouette_score(scores, kind) + 0.1
    assert separation["bounded"] >= separation["ratio"] - 1e-3


def test_transform_equals_the_rounds_by_hand():
    scores, batch, _ = cells(120)
    harmony = HarmonyEmbedding(n_clusters=5, random_state=0).fit(scores, batch=batch)
    moved = harmony.transform(scores, batch=batch)
    expected = [by_hand(harmony._model, scores[row], batch[row]) for row in range(10)]
    np.testing.assert_allclose(moved[:10], expected, atol=1e-10)


@pytest.mark.parametrize("penalty", ["bounded", "ratio"])
@pytest.mark.parametrize("bandwidth", [0.2, 0.004])
def test_visits_and_objective_equal_their_definition(penalty, bandwidth):
    scores, batch, _ = cells(100)
    unit, weight, indicators = unit_rows(scores), 2.0, np.eye(N_BATCHES)[batch]
    frequency = np.bincount(batch)[:, None] / 100
    options = HarmonyOptions(4, penalty=penalty, bandwidth=bandwidth, block_size=0.5)
    clustering = _Clustering(batch, np.arange(100), N_BATCHES, options, np.random.default_rng(0))
    clustering.load(unit)
    clustering.start(unit[:4])
    centroids, counts = clustering.centroids, clustering.counts.copy()
    before = [block.copy() for block in clustering.block_counts]
    value = clustering.visit(range(2), weight=weight)

    def reward(counts):
        expected = frequency * counts.sum(axis=0)
        if penalty == "ratio":
            return (expected + 1) / (counts + 1)
        return (expected + 1e-8) / (counts + expected + 1e-8)

    distance = 2 * (1 - unit @ centroids.T)
    share = np.empty((100, 4))
    for block, rows in enumerate((slice(0, 50), slice(50, 100))):
        counts -= before[block]
        share[rows] = np.exp((distance[rows].min() - distance[rows]) / bandwidth)
        share[rows] *= reward(counts)[batch[rows]] ** weight
        share[rows] /= share[rows].sum(axis=1, keepdims=True)
        counts += indicators[rows].T @ share[rows]
    np.testing.assert_allclose(clustering.counts, counts, atol=1e-9)
    np.testing.assert_allclose(clustering.centroids, unit_rows(share.T @ unit), atol=1e-9)
    entropy = (share * np.log(np.maximum(share, 1e-300))).sum()
    diversity = (counts * np.log(reward(counts))).sum()
    expected = (share * distance).sum() + bandwidth * (entropy - weight * diversity)
    assert value == pytest.approx(expected / 100, rel=1e-9)


@pytest.mark.parametrize("ridge", [0.3, 1.0, "vector"])
def test_shifts_solve_the_weighted_ridge_regression(ridge):
    rng = np.random.default_rng(1)
    batch, share = rng.integers(0, 3, 50), rng.dirichlet(np.ones(2), 50)
    X, indicators = rng.normal(size=(50, 4)), np.eye(3)[batch]
    mass = indicators.T @ share
    sums = np.einsum("ib,ik,id->bkd", indicators, share, X)
    ridge = 0.2 * mass if ridge == "vector" else ridge
    shifts = _ridge_shifts(mass, sums, ridge)
    design = np.hstack([np.ones((50, 1)), indicators])
    for cluster in range(2):
        weights = share[:, [cluster]]
        penalty = np.broadcast_to(ridge, mass.shape)[:, cluster]
        normal = design.T @ (weights * design) + np.diag([0.0, *penalty])
        coefficients = np.linalg.solve(normal, design.T @ (weights * X))
        np.testing.assert_allclose(shifts[:, cluster], coefficients[1:], atol=1e-10)


def test_one_cluster_without_ridge_equalises_the_batch_means():
    scores, batch, _ = cells(150)
    moved = HarmonyEmbedding(n_clusters=1, ridge=0.0, random_state=0).fit_transform(
        scores, batch=batch
    )
    means = [moved[batch == b].mean(axis=0) for b in range(N_BATCHES)]
    np.testing.assert_allclose(means, np.tile(means[0], (N_BATCHES, 1)), atol=1e-10)


def test_a_cluster_that_lacks_a_batch_gets_no_shift_for_it():
    mass = np.array([[4.0, 0.0], [2.0, 3.0]])
    sums = np.array([[[8.0], [0.0]], [[2.0], [6.0]]])
    shifts = _ridge_shifts(mass, sums, 0.0)
    assert shifts[0, 1, 0] == 0.0
    np.testing.assert_allclose(shifts[:, 0, 0], [0.5, -0.5])


def test_larger_diversity_weight_mixes_harder():
    scores, batch, _ = cells(shift=12.0)  # so far apart that clusters by angle hold one batch
    mixing = [
        lisi(
            HarmonyEmbedding(diversity_weight=weight, random_state=0).fit_transform(
                scores, batch=batch
            ),
            batch,
        )
        for weight in (0.0, 4.0)
    ]
    assert mixing[1] > mixing[0] + 0.1


def test_automatic_ridge_moves_rows_less_than_none():
    scores, batch, kind = cells()
    gaps = [
        largest_gap(
            HarmonyEmbedding(ridge=ridge, random_state=0).fit_transform(scores, batch=batch),
            batch,
            kind,
        )
        for ridge in (0.0, "auto")
    ]
    assert gaps[0] < gaps[1] < largest_gap(scores, batch, kind)


def test_same_seed_same_embedding_and_other_seed_another():
    scores, batch, _ = cells(200)
    first, second, other = (
        HarmonyEmbedding(random_state=seed).fit_transform(scores, batch=batch) for seed in (3, 3, 4)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_order_of_rows_and_names_of_batches_play_no_part():
    scores, batch, _ = cells(200)
    expected = HarmonyEmbedding(random_state=0).fit_transform(scores, batch=batch)
    order = np.random.default_rng(1).permutation(200)
    names = np.array(["z", "m", "a"])[batch]
    harmony = HarmonyEmbedding(random_state=0).fit(scores[order], batch=names[order])
    np.testing.assert_allclose(harmony.transform(scores, batch=names), expected, atol=1e-9)


def test_repeated_first_scores_do_not_bring_the_row_order_back():
    scores, batch, _ = cells(200)
    scores[:, 0] = np.round(scores[:, 0])
    order = np.random.default_rng(1).permutation(200)
    expected = HarmonyEmbedding(random_state=0).fit_transform(scores, batch=batch)
    harmony = HarmonyEmbedding(random_state=0).fit(scores[order], batch=batch[order])
    np.testing.assert_allclose(harmony.transform(scores, batch=batch), expected, atol=1e-9)


def test_rows_are_transformed_one_by_one():
    scores, batch, _ = cells(200)
    harmony = HarmonyEmbedding(random_state=0).fit(scores[:150], batch=batch[:150])
    together = harmony.transform(scores, batch=batch)
    alone = np.vstack(
        [harmony.transform(scores[[row]], batch=batch[[row]]) for row in range(145, 155)]
    )
    np.testing.assert_allclose(alone, together[145:155], atol=1e-12)


def test_held_out_rows_meet_the_training_rows():
    scores, batch, kind = cells(600)
    train = np.arange(600) < 400
    harmony = HarmonyEmbedding(random_state=0).fit(scores[train], batch=batch[train])
    moved = harmony.transform(scores, batch=batch)
    assert largest_gap(moved[~train], batch[~train], kind[~train]) < 0.25 * largest_gap(
        scores[~train], batch[~train], kind[~train]
    )
    own = np.linalg.norm(
        [
            moved[train & (kind == k)].mean(axis=0) - moved[~train & (kind == k)].mean(axis=0)
            for k in range(N_KINDS)
        ],
        axis=1,
    )
    assert own.max() < 1.0  # about three standard errors of means of 50 rows in 6 dimensions


def test_fit_transform_equals_fit_and_transform():
    scores, batch, _ = cells(200)
    harmony = HarmonyEmbedding(random_state=0)
    together = harmony.fit_transform(scores, batch=batch)
    assert np.array_equal(together, harmony.transform(scores, batch=batch))


def test_fitted_attributes():
    scores, batch, _ = cells(300)
    names = np.array(["a", "b", "c"])[batch]
    harmony = HarmonyEmbedding(random_state=0).fit(scores, batch=names)
    assert harmony.batches_.tolist() == ["a", "b", "c"]
    assert harmony.n_per_batch_.tolist() == np.bincount(batch).tolist()
    assert harmony.n_clusters_ == 10
    assert harmony.centroids_.shape == (10, 6)
    np.testing.assert_allclose(np.linalg.norm(harmony.centroids_, axis=1), 1.0)
    assert harmony.n_iter_ == len(harmony.objective_) == len(harmony.n_iter_cluster_)
    assert harmony.objective_[-1] < harmony.objective_[0]
    assert max(harmony.n_iter_cluster_) <= 4


@pytest.mark.parametrize(("n_samples", "expected"), [(12, 1), (300, 10), (4000, 100)])
def test_default_number_of_clusters(n_samples, expected):
    assert HarmonyEmbedding()._number_of_clusters(n_samples) == expected


def test_clustering_lowers_the_objective_until_it_settles():
    scores, batch, _ = cells(300)
    options = HarmonyOptions(8, max_iter=1, max_iter_cluster=50)
    long = fit_harmony(scores, batch, N_BATCHES, options, np.random.default_rng(0))
    options = HarmonyOptions(8, max_iter=1, max_iter_cluster=1)
    short = fit_harmony(scores, batch, N_BATCHES, options, np.random.default_rng(0))
    assert long.objective[0] < short.objective[0]
    assert long.n_iter_cluster[0] < 50


def test_components_of_features_in_column_mode():
    scores, batch, _ = cells(200)
    rng = np.random.default_rng(0)
    features = scores @ rng.normal(size=(6, 30)) + 100.0
    table = pd.DataFrame(features, columns=[f"g{j}" for j in range(30)], index=range(5, 205))
    table["batch"] = np.array(["a", "b", "c"])[batch]
    harmony = HarmonyEmbedding(n_components=4, random_state=0)
    moved = harmony.fit_transform(table)
    assert moved.columns.tolist() == [f"harmonyembedding{j}" for j in range(4)]
    assert moved.index.equals(table.index)
    expected = PCA(4).fit_transform(features)
    np.testing.assert_allclose(np.abs(harmony.pca_.transform(features)), np.abs(expected))
    scores_mode = HarmonyEmbedding(random_state=0).fit(expected, batch=table["batch"])
    assert scores_mode.centroids_.shape == harmony.centroids_.shape


def test_as_many_components_as_features_still_get_names_of_their_own():
    scores, batch, _ = cells(100)
    table = pd.DataFrame(scores).rename(columns="g{}".format)
    moved = HarmonyEmbedding(n_components=6, random_state=0).fit_transform(table, batch=batch)
    assert moved.columns[0] == "harmonyembedding0"


def test_scores_keep_their_names_and_labels_on_request():
    scores, batch, _ = cells(100)
    table = pd.DataFrame(scores).rename(columns="PC{}".format).assign(batch=batch)
    harmony = HarmonyEmbedding(keep_metadata=True, random_state=0)
    moved = harmony.fit_transform(table)
    assert moved.columns.tolist() == [*(f"PC{j}" for j in range(6)), "batch"]
    assert moved["batch"].tolist() == batch.tolist()
    assert harmony.get_feature_names_out().tolist() == moved.columns.tolist()
    few = clone(harmony).set_params(n_components=2).fit(table)
    names = ["harmonyembedding0", "harmonyembedding1", "batch"]
    assert few.get_feature_names_out().tolist() == names
    assert few.transform(table).columns.tolist() == names
    assert few.set_output(transform="pandas").transform(table).columns.tolist() == names


def test_pipeline_in_column_mode_predicts_held_out_rows():
    scores, batch, kind = cells(300)
    table = pd.DataFrame(scores).rename(columns="PC{}".format).assign(batch=batch)
    from sklearn.linear_model import LogisticRegression

    model = make_pipeline(
        HarmonyEmbedding(random_state=0), StandardScaler(), LogisticRegression()
    ).fit(table[:200], kind[:200])
    assert model.score(table[200:], kind[200:]) > 0.95


def test_float32_in_float32_out_computed_in_float64():
    scores, batch, _ = cells(100)
    single = scores.astype(np.float32)
    moved = HarmonyEmbedding(random_state=0).fit_transform(single, batch=batch)
    assert moved.dtype == np.float32
    exact = HarmonyEmbedding(random_state=0).fit_transform(single.astype(np.float64), batch=batch)
    np.testing.assert_array_equal(moved, exact.astype(np.float32))


def test_input_is_not_written_to():
    scores, batch, _ = cells(100)
    before = scores.copy()
    scores.setflags(write=False)
    HarmonyEmbedding(random_state=0).fit_transform(scores, batch=batch)
    assert np.array_equal(scores, before)


def test_joblib_round_trip_is_bitwise(tmp_path):
    scores, batch, _ = cells(100)
    harmony = HarmonyEmbedding(random_state=0).fit(scores, batch=batch)
    joblib.dump(harmony, tmp_path / "harmony.joblib")
    again = joblib.load(tmp_path / "harmony.joblib")
    assert np.array_equal(
        again.transform(scores, batch=batch), harmony.transform(scores, batch=batch)
    )


def test_unseen_batch_is_refused_or_passed_through():
    scores, batch, _ = cells(120)
    seen = batch != 2
    harmony = HarmonyEmbedding(random_state=0).fit(scores[seen], batch=batch[seen])
    with pytest.raises(ValueError, match=r"unseen during fit: \[2\]"):
        harmony.transform(scores, batch=batch)
    harmony.set_params(unseen="passthrough")
    with pytest.warns(UserWarning, match="leaves"):
        moved = harmony.transform(scores, batch=batch)
    assert np.array_equal(moved[~seen], scores[~seen])
    np.testing.assert_allclose(
        moved[seen], harmony.transform(scores[seen], batch=batch[seen]), atol=1e-12
    )


def test_a_single_batch_stays_bit_for_bit():
    scores, _, _ = cells(60)
    with pytest.warns(UserWarning, match="nothing to adjust"):
        moved = HarmonyEmbedding(random_state=0).fit_transform(scores, batch=np.zeros(60, int))
    assert np.array_equal(moved, scores)


def test_without_labels_the_table_stays_as_it_is():
    scores, _, _ = cells(50)
    harmony = HarmonyEmbedding(n_components=2)
    with pytest.warns(BatchLabelWarning, match="without batch labels"):
        moved = harmony.fit_transform(scores)
    assert np.array_equal(moved, scores)
    assert harmony.get_feature_names_out().tolist() == [f"x{j}" for j in range(6)]


def test_refit_without_labels_or_components_forgets_the_first_fit():
    scores, batch, _ = cells(80)
    harmony = HarmonyEmbedding(n_components=2, random_state=0).fit(scores, batch=batch)
    harmony.set_params(n_components=None).fit(scores, batch=batch)
    assert not hasattr(harmony, "pca_")
    assert harmony.transform(scores, batch=batch).shape == scores.shape


@pytest.mark.parametrize("bandwidth", [1e-4, 0.1, 100.0])
@pytest.mark.parametrize("weight", [0.0, 2.0, 200.0])
@pytest.mark.parametrize("penalty", ["bounded", "ratio"])
def test_extreme_settings_stay_finite(bandwidth, weight, penalty):
    scores, batch, _ = cells(90)
    harmony = HarmonyEmbedding(
        bandwidth=bandwidth, diversity_weight=weight, penalty=penalty, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        moved = harmony.fit_transform(scores, batch=batch)
    assert np.isfinite(moved).all()
    assert np.isfinite(harmony.objective_).all()


@pytest.mark.parametrize("width", [1, 2])
def test_rows_of_zeros_and_equal_directions_are_no_obstacle(width):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(90, width))
    scores[:5] = 0.0
    batch = np.arange(90) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        moved = HarmonyEmbedding(random_state=0).fit_transform(scores, batch=batch)
    assert np.isfinite(moved).all()


def test_a_batch_of_one_row_is_moved_with_the_others():
    scores, batch, _ = cells(60)
    batch = np.where(np.arange(60) == 0, 7, batch)
    with pytest.warns(UserWarning, match="has 1"):
        moved = HarmonyEmbedding(random_state=0).fit_transform(scores, batch=batch)
    assert np.isfinite(moved).all()
    assert not np.array_equal(moved[0], scores[0])


def test_too_few_rounds_warn():
    scores, batch, _ = cells(100)
    with pytest.warns(ConvergenceWarning, match="in 1 rounds; raise max_iter or tol"):
        HarmonyEmbedding(max_iter=1, random_state=0).fit(scores, batch=batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_clusters": 41}, "n_clusters=41 is larger than the 40 rows"),
        ({"n_components": 7}, "n_components=7 is larger than 6"),
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"penalty": "none"}, "penalty"),
        ({"unseen": "estimate"}, "unseen"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    scores, batch, _ = cells(40)
    with pytest.raises(ValueError, match=message):
        HarmonyEmbedding(**settings).fit(scores, batch=batch)


def test_real_samples_of_five_batches_mix(batch_data):
    X, meta = batch_data.bladder("X"), batch_data.bladder("meta")
    scores = PCA(20).fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        moved = HarmonyEmbedding(random_state=0).fit_transform(scores, batch=meta["batch"])
    assert lisi(moved, meta["batch"], perplexity=10) > lisi(scores, meta["batch"], perplexity=10)
    assert silhouette_score(moved, meta["batch"]) < silhouette_score(scores, meta["batch"]) - 0.05
