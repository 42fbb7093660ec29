import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import levene
from sklearn.decomposition import PCA
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators import batch_effects
from synth_estimators.batch_effects import (
    BATCH_METRICS,
    batch_metrics,
    batch_variance_fraction,
    centroid_distance,
    gpca,
    kbet_rejection,
    kept_structure,
    levene_median,
    lisi_batch,
    pc_regression,
    pvca,
    silhouette_batch,
    silhouette_label,
    variance_ratio,
)

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


def test_shares_of_the_variance_equal_the_reference(case):
    X, meta, expected = case
    batch = meta["batch"]
    pairs = {
        "variance_ratio_F": variance_ratio(X, batch),
        "pc_regression_R2Var": pc_regression(X, batch),
        "batch_variance_fraction": batch_variance_fraction(X, batch),
        "gpca_delta": gpca(X, batch, n_permutations=0).delta,
        "centroid_distance": centroid_distance(X, batch),
        "levene_median": levene_median(X, batch),
    }
    for key, value in pairs.items():
        assert value == pytest.approx(expected[key], abs=1e-9), key


def test_the_dictionary_equals_the_reference(case):
    X, meta, expected = case
    found = batch_metrics(X, meta["batch"], meta["group"], random_state=0)
    pairs = {
        "silhouette_batch": "silhouette_features",
        "davies_bouldin_batch": "davies_bouldin_features",
        "kbet_rejection": "kbet_rejection_k10_selfin",
        "variance_ratio": "variance_ratio_F",
        "batch_variance_fraction": "batch_variance_fraction",
        "pc_regression": "pc_regression_R2Var",
        "gpca_delta": "gpca_delta",
        "centroid_distance": "centroid_distance",
        "levene_median": "levene_median",
    }
    for key, name in pairs.items():
        assert found[key] == pytest.approx(expected[name], abs=1e-9), key
    shares = expected["pvca_pct60"]
    for key, name in {"batch": "batch", "label": "group", "residual": "residual"}.items():
        assert found[f"pvca_{key}"] == pytest.approx(shares[name], abs=5e-6)
    assert found["pvca_interaction"] == pytest.approx(shares["batch_x_group"], abs=5e-6)


def test_first_components_equal_the_reference(case):
    X, meta, expected = case
    found = batch_metrics(X, meta["batch"], n_pcs=3)
    assert found["silhouette_batch"] == pytest.approx(expected["silhouette_pc3"], abs=1e-9)
    assert found["asw_batch"] == pytest.approx(expected["asw_batch_scib_style"], abs=1e-9)
    assert found["davies_bouldin_batch"] == pytest.approx(expected["davies_bouldin_pc3"], abs=1e-8)
    # Of the parts that look at the features nothing changes.
    assert found["levene_median"] == pytest.approx(expected["levene_median"], abs=1e-9)
    assert found["batch_variance_fraction"] == pytest.approx(
        expected["batch_variance_fraction"], abs=1e-9
    )


def test_every_value_is_that_of_its_function(batch_data):
    X, meta = batch_data.table("exp_combat_param_group"), batch_data.meta("norm")
    before, batch, group = batch_data.table("norm_X"), meta["batch"], meta["group"]
    found = batch_metrics(X, batch, group, before=before, random_state=0)
    for name in ("silhouette_batch", "asw_batch", "davies_bouldin_batch", "levene_median"):
        assert found[name] == pytest.approx(getattr(batch_effects, name)(X, batch))
    for name in ("variance_ratio", "batch_variance_fraction", "centroid_distance"):
        assert found[name] == pytest.approx(getattr(batch_effects, name)(X, batch))
    assert found["kbet_rejection"] == kbet_rejection(X, batch)
    lisi = lisi_batch(X, batch, perplexity=10, breakdown=True)
    assert (found["lisi_mean"], found["lisi_median"]) == (lisi.score, lisi.median)
    assert found["silhouette_label"] == pytest.approx(silhouette_label(X, group))
    shares = pvca(X, {"batch": batch, "label": group})
    assert found["pvca_interaction"] == pytest.approx(shares["batch x label"], abs=1e-9)
    kept = kept_structure(X, before)
    assert {name: found[name] for name in kept} == pytest.approx(kept)


def test_keys_are_those_of_the_table_of_metrics(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    X = pd.concat([X, X + 0.5], ignore_index=True)  # enough rows for fifty neighbours
    meta = pd.concat([meta, meta], ignore_index=True)
    found = batch_metrics(X, meta["batch"], meta["group"], before=X)
    assert list(found) == list(BATCH_METRICS)
    plain = {name for name, info in BATCH_METRICS.items() if info.needs is None}
    assert set(batch_metrics(X, meta["batch"])) == plain
    for name, info in BATCH_METRICS.items():
        assert info.low <= found[name] <= info.high
        assert type(found[name]) is float


def test_directions_hold_for_a_removed_batch_effect():
    rng = np.random.default_rng(0)
    batch, group = np.tile([0, 1, 2], 60), np.repeat([0, 1], 90)
    clean = rng.normal(size=(180, 60)) + 0.5 * rng.normal(size=(2, 60))[group]
    spread = rng.uniform(0.3, 3.0, size=(3, 60))[batch]
    effect = 3.0 * rng.normal(size=(3, 60))[batch]
    raw = batch_metrics(clean * spread + effect, batch, group, before=clean, random_state=0)
    good = batch_metrics(clean, batch, group, before=clean, random_state=0)
    for name, info in BATCH_METRICS.items():
        if info.greater_is_better is None or name == "pvca_interaction":
            continue
        assert (good[name] > raw[name]) == info.greater_is_better, name


def test_parts_with_options_move_no_random_stream(batch_data):
    X, meta = batch_data.table("exp_combat_param"), batch_data.meta("norm")
    plain = batch_metrics(X, meta["batch"], random_state=3)
    more = batch_metrics(X, meta["batch"], meta["group"], before=X, random_state=3)
    for name in ("kbet_rejection_permuted", "gpca_p_value"):
        assert plain[name] == more[name]


def test_names_and_order_of_batches_change_nothing(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    order = np.random.default_rng(0).permutation(30)
    batch = meta["batch"].map({"b1": 7, "b2": 2, "b3": 5})
    first = batch_metrics(X, meta["batch"], meta["group"])
    second = batch_metrics(X.iloc[order], batch.iloc[order], meta["group"].iloc[order])
    for name in set(first) - {"kbet_rejection_permuted", "gpca_p_value"}:
        assert second[name] == pytest.approx(first[name], abs=1e-8), name


def test_regression_on_all_components_is_the_share_between_batches():
    rng = np.random.default_rng(1)
    batch = rng.integers(4, size=50)
    for n_features in (7, 200):
        X = rng.normal(size=(50, n_features)) + batch[:, None] * rng.normal(size=n_features)
        assert pc_regression(X, batch) == pytest.approx(batch_variance_fraction(X, batch))


def test_regression_on_components_equals_a_linear_model():
    rng = np.random.default_rng(2)
    batch = rng.integers(3, size=60)
    X = rng.normal(size=(60, 9)) + batch[:, None]
    found = pc_regression(X, batch, n_pcs=4, breakdown=True)
    model = PCA(4).fit(X)
    scores = model.transform(X)
    fitted = pd.DataFrame(scores).groupby(batch).transform("mean").to_numpy()
    r2 = fitted.var(axis=0) / scores.var(axis=0)
    np.testing.assert_allclose(found.details["r2"], r2)
    np.testing.assert_allclose(found.details["variance_share"], model.explained_variance_ratio_)
    assert found.score == pytest.approx(np.average(r2, weights=model.explained_variance_ratio_))


def test_guided_components_equal_the_dense_formula():
    rng = np.random.default_rng(3)
    batch = rng.integers(3, size=40)
    for n_features in (6, 90):
        X = rng.normal(size=(40, n_features)) * np.linspace(1, 3, n_features) + batch[:, None]
        centred = X - X.mean(axis=0)
        marks = np.eye(3)[batch]
        guided = np.linalg.svd(marks.T @ centred)[2][0]
        first = np.linalg.svd(centred)[2][0]
        expected = np.var(centred @ guided) / np.var(centred @ first)
        assert gpca(X, batch, n_permutations=0).delta == pytest.approx(expected)


def test_guided_p_values_are_uniform_without_and_small_with_an_effect():
    rng = np.random.default_rng(4)
    batch = np.tile([0, 1, 2], 20)
    p_values = []
    for _ in range(60):
        X = rng.normal(size=(60, 10))
        p_values.append(gpca(X, batch, n_permutations=99, random_state=rng.integers(99)).p_value)
    # 60 p-values of mean 0.5 and standard deviation 0.29: three standard errors are 0.11.
    assert abs(np.mean(p_values) - 0.5) < 0.11
    shifted = gpca(X + 2.0 * batch[:, None], batch, n_permutations=199, random_state=0)
    assert shifted.p_value == 0.0
    assert len(shifted.permuted) == 199
    repeated = gpca(X + 2.0 * batch[:, None], batch, n_permutations=199, random_state=0)
    np.testing.assert_array_equal(shifted.permuted, repeated.permuted)


def test_equal_means_of_batches_guide_nowhere():
    rng = np.random.default_rng(5)
    batch = np.repeat([0, 1], 30)
    X = rng.normal(size=(60, 5)) * np.array([9.0, 1, 1, 1, 1])
    X -= pd.DataFrame(X).groupby(batch).transform("mean").to_numpy()
    found = gpca(X, batch, n_permutations=20, random_state=0)
    assert (found.delta, found.p_value) == (0.0, 1.0)
    assert np.isnan(gpca(X, batch, n_permutations=0).p_value)


def test_levene_is_that_of_scipy():
    rng = np.random.default_rng(6)
    batch = rng.integers(3, size=50)
    X = rng.normal(size=(50, 7)) * (1 + batch[:, None])
    X = np.column_stack([X, np.full(50, 0.1)])
    expected = [levene(*(column[batch == b] for b in range(3))).statistic for column in X.T[:7]]
    assert levene_median(X, batch) == pytest.approx(np.median(expected))


def test_rows_that_are_equal_within_batches():
    batch = np.tile([0, 1, 2], 8)
    X = np.random.default_rng(7).normal(size=(3, 5))[batch]
    assert variance_ratio(X, batch) == np.inf
    assert batch_variance_fraction(X, batch) == pytest.approx(1.0)
    with pytest.warns(UndefinedMetricWarning, match="no feature varies within a batch"):
        assert np.isnan(levene_median(X, batch))


def test_confounded_labels_leave_variance_components_undefined(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    with pytest.warns(UndefinedMetricWarning, match="split the rows in the same way"):
        found = batch_metrics(X, meta["batch"], meta["batch"].str.upper())
    assert all(np.isnan(found[name]) for name in found if name.startswith("pvca"))
    assert found["silhouette_label"] == pytest.approx(silhouette_batch(X, meta["batch"]))


def test_one_feature_and_small_batches_have_values():
    rng = np.random.default_rng(8)
    batch = np.array([0, 0, 0, 1, 1, 2])
    with pytest.warns(UndefinedMetricWarning, match="one feature"):
        found = batch_metrics(rng.normal(size=(6, 1)), batch)
    assert np.isnan(found["pvca_batch"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = batch_metrics(rng.normal(size=(6, 3)), batch, before=rng.normal(size=(6, 8)))
    assert np.isfinite(list(found.values())).all()
    assert "knn_overlap_5" not in found


def test_bad_input_is_refused(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    batch = meta["batch"]
    with pytest.raises(ValueError, match="'b1' only; batch_metrics compares"):
        batch_metrics(X, np.full(30, "b1"))
    with pytest.raises(ValueError, match="label of its own"):
        batch_metrics(X, np.arange(30))
    with pytest.raises(ValueError, match="X contains NaN in column 'g001'"):
        batch_metrics(X.assign(g001=np.nan), batch)
    with pytest.raises(ValueError, match="X is constant"):
        batch_metrics(np.ones((30, 4)), batch)
    with pytest.raises(ValueError, match="label holds the label 'x' only"):
        batch_metrics(X, batch, np.full(30, "x"))
    with pytest.raises(ValueError, match="before has 29"):
        batch_metrics(X, batch, before=X[1:])
    with pytest.raises(ValueError, match="n_permutations=-1"):
        gpca(X, batch, n_permutations=-1)


def test_dtype_of_the_table_does_not_matter(batch_data):
    X, meta = batch_data.table("norm_X"), batch_data.meta("norm")
    rounded = X.to_numpy(dtype=np.float32)
    found = batch_metrics(rounded, meta["batch"], meta["group"])
    expected = batch_metrics(rounded.astype(np.float64), meta["batch"], meta["group"])
    for name in set(found) - {"kbet_rejection_permuted", "gpca_p_value"}:
        assert found[name] == expected[name]
