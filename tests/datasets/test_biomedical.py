import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synth_estimators.batch_effects import BatchEffectsConfig, random_batch_assignment
from synth_estimators.datasets import (
    BiomedicalClass,
    CorrelatedCluster,
    InformativeGroup,
    make_biomedical,
)


def test_columns_are_informative_then_clusters_then_noise():
    X, y, meta = make_biomedical((4, 3), informative=2, clusters=[2, 3], n_noise=2, random_state=0)
    assert list(X.columns) == [
        "i1",
        "i2",
        "corr1_anchor",
        "corr1_2",
        "corr2_anchor",
        "corr2_2",
        "corr2_3",
        "n1",
        "n2",
    ]
    assert meta.feature_names == list(X.columns)
    assert (
        meta.roles
        == ["informative"] * 2 + ["anchor", "proxy"] + ["anchor"] + ["proxy"] * 2 + ["noise"] * 2
    )
    assert meta.informative_indices.tolist() == [0, 1]
    assert meta.noise_indices.tolist() == [7, 8]
    assert [cluster["indices"] for cluster in meta.clusters] == [[2, 3], [4, 5, 6]]
    assert y.tolist() == [0] * 4 + [1] * 3
    assert y.name == "class"
    assert (X.dtypes == np.float64).all()


def test_gaps_put_the_classes_around_0():
    _, _, meta = make_biomedical((5, 5, 5), informative=1, class_sep=[1, 1], n_noise=0)
    assert meta.class_offsets[:, 0].tolist() == [-1, 0, 1]
    _, _, meta = make_biomedical(
        (5, 5, 5),
        informative=[InformativeGroup(1, 2.0), {"n_features": 2, "class_sep": [1, 4]}],
        n_noise=1,
    )
    assert meta.class_offsets[:, 0].tolist() == [-2, 0, 2]
    assert meta.class_offsets[:, 1].tolist() == [-2, -1, 3]
    assert meta.class_offsets[:, 3].tolist() == [0, 0, 0]


def test_class_means_follow_the_offsets():
    X, y, meta = make_biomedical(
        (4000, 4000, 4000),
        informative=3,
        class_sep=[0.5, 2.0],
        clusters=[CorrelatedCluster(3, 0.5, effect=1.5, effect_class=1, attenuation=0.8)],
        n_noise=2,
        random_state=0,
    )
    means = X.groupby(y.to_numpy()).mean().to_numpy()
    # Standard error of a mean of 4000 standard normal numbers: 0.016.
    np.testing.assert_allclose(means, meta.class_offsets, atol=0.08)
    np.testing.assert_allclose(meta.class_offsets[1, 3:6], [1.5, 0.6, 0.6])
    assert meta.informative_indices.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("structure", ["equicorrelated", "toeplitz"])
def test_correlations_are_those_of_the_class(structure):
    X, y, meta = make_biomedical(
        [{"n_samples": 6000, "label": "healthy"}, {"n_samples": 6000, "label": "case"}],
        informative=0,
        clusters=[CorrelatedCluster(4, {"case": 0.7}, structure=structure)],
        n_noise=0,
        random_state=1,
    )
    found = {label: np.corrcoef(X[y == label].T) for label in ("healthy", "case")}
    lags = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    expected = 0.7**lags if structure == "toeplitz" else np.where(lags == 0, 1, 0.7)
    # Standard error of a correlation of 6000 rows: below 0.013.
    np.testing.assert_allclose(found["case"], expected, atol=0.05)
    np.testing.assert_allclose(found["healthy"], np.eye(4), atol=0.05)
    np.testing.assert_allclose(X.std(), 1, atol=0.04)
    assert meta.clusters[0]["correlation"] == [0.0, 0.7]


def test_proxies_of_a_chain_get_less_of_the_effect():
    _, _, meta = make_biomedical(
        (5, 5), informative=0, clusters=[CorrelatedCluster(3, 0.5, "toeplitz", 2.0)], n_noise=0
    )
    assert meta.class_offsets.tolist() == [[0, 0, 0], [2, 1, 0.5]]
    assert meta.clusters[0]["effects"] == [2, 1, 0.5]
    assert meta.clusters[0]["effect_class"] == 1


@pytest.mark.parametrize(
    ("distribution", "params", "law"),
    [
        ("normal", {"loc": 1, "scale": 2}, stats.norm(1, 2)),
        ("lognormal", {"sigma": 0.5}, stats.lognorm(0.5)),
        ("exp_normal", {"scale": 0.5}, stats.lognorm(0.5)),
        ("uniform", {"low": -1, "high": 3}, stats.uniform(-1, 4)),
        ("exponential", {"scale": 2}, stats.expon(scale=2)),
        ("laplace", None, stats.laplace()),
    ],
)
def test_distributions_are_the_named_ones(distribution, params, law):
    X, _, _ = make_biomedical(
        [BiomedicalClass(1500, None, distribution, params)],
        informative=1,
        class_sep=0.0,
        n_noise=1,
        noise_distribution=distribution,
        noise_params=params,
        random_state=2,
    )
    for column in X:
        assert stats.kstest(X[column], law.cdf).pvalue > 1e-3


def test_parts_are_drawn_in_the_documented_order():
    seed = 5
    config = {"n_batches": 3, "effect_strength": 2.0}
    X, _, meta = make_biomedical(
        (6, 4),
        informative=2,
        clusters=[CorrelatedCluster(2, 0.5)],
        n_noise=1,
        batch_effects=config,
        random_state=seed,
    )
    rng = np.random.default_rng(np.random.RandomState(seed).randint(2**31 - 1))
    informative = np.vstack([rng.normal(size=(6, 2)) - 0.5, rng.normal(size=(4, 2)) + 0.5])
    factor = np.linalg.cholesky([[1, 0.5], [0.5, 1]])
    cluster = np.vstack([rng.normal(size=(6, 2)) @ factor.T, rng.normal(size=(4, 2)) @ factor.T])
    noise = rng.normal(size=(10, 1))
    batch = random_batch_assignment(10, 3, rng)
    effects = rng.normal(0, 2.0, size=(3, 5))
    expected = np.hstack([informative, cluster, noise]) + effects[batch]
    np.testing.assert_allclose(X, expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(meta.batch_labels, batch)
    np.testing.assert_array_equal(meta.batch_effects, effects)


def test_batches_come_last_and_can_be_taken_off():
    keywords = {"informative": 3, "clusters": [2], "n_noise": 4, "random_state": 3}
    clean, _, _ = make_biomedical((20, 20), **keywords)
    config = BatchEffectsConfig(2, effect_type="multiplicative", affected_features="informative")
    X, _, meta = make_biomedical((20, 20), **keywords, batch_effects=config)
    assert meta.affected_indices.tolist() == meta.informative_indices.tolist() == [0, 1, 2]
    undone = X.to_numpy().copy()
    undone[:, meta.affected_indices] /= meta.batch_effects[meta.batch_labels]
    np.testing.assert_allclose(undone, clean, atol=1e-13)
    np.testing.assert_array_equal(X.iloc[:, 3:], clean.iloc[:, 3:])


def test_confounding_follows_the_order_of_the_classes():
    _, y, meta = make_biomedical(
        [{"n_samples": 5, "label": "healthy"}, {"n_samples": 5, "label": "case"}],
        batch_effects={"n_batches": 2, "confounding_with_class": 1.0},
    )
    np.testing.assert_array_equal(meta.batch_labels, (y == "case").astype(int))


def test_same_seed_same_table():
    first, _, _ = make_biomedical(clusters=[3], batch_effects={"n_batches": 2}, random_state=1)
    second, _, _ = make_biomedical(clusters=[3], batch_effects={"n_batches": 2}, random_state=1)
    other, _, _ = make_biomedical(clusters=[3], batch_effects={"n_batches": 2}, random_state=2)
    pd.testing.assert_frame_equal(first, second)
    assert not np.allclose(first, other)


def test_truth_survives_json():
    _, _, meta = make_biomedical(
        [{"n_samples": 5, "label": "a"}, 4],
        clusters=[{"n_features": 2, "effect": 1}],
        batch_effects={"n_batches": 2, "proportions": [2, 1]},
        random_state=0,
    )
    truth = json.loads(json.dumps(meta.to_dict()))
    assert truth["class_names"] == ["a", "class_1"]
    assert truth["class_labels"] == ["a"] * 5 + ["class_1"] * 4
    assert truth["batch_labels"] == meta.batch_labels.tolist()
    assert truth["batch_effects"] == meta.batch_effects.tolist()
    assert truth["batch_config"]["n_batches"] == 2
    assert truth["clusters"][0]["anchor"] == 5


def test_without_batches_all_rows_are_in_one():
    _, _, meta = make_biomedical((3, 3), random_state=0)
    assert meta.batch_labels.tolist() == [0] * 6
    assert meta.batch_effects.shape == (0, 0)
    assert meta.batch_config is None


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"classes": []}, "classes is empty"),
        ({"classes": [0, 5]}, "n_samples of a class must be at least 1"),
        ({"classes": [{"n_samples": 3, "label": "a"}] * 2}, "repeats labels"),
        ({"classes": [{"n": 3}]}, r"no fields \['n'\]"),
        ({"classes": [{"distribution": "cauchy"}]}, "distribution='cauchy' is not known"),
        ({"classes": [{"params": {"sd": 1}}]}, r"no parameters \['sd'\]"),
        ({"class_sep": [1, 2]}, "class_sep=.* does not fit 2 classes"),
        ({"clusters": [{"n_features": 3, "correlation": -0.5}]}, "above -0.5"),
        ({"clusters": [{"n_features": 3, "correlation": 1.0}]}, "below 1"),
        ({"clusters": [{"n_features": 3, "structure": "block"}]}, "structure='block'"),
        ({"clusters": [{"n_features": 3, "correlation": {"x": 0.5}}]}, "names the class 'x'"),
        ({"clusters": [{"n_features": 3, "effect_class": 9}]}, "effect_class .* names the class 9"),
        ({"informative": 0, "n_noise": 0}, "no columns"),
        ({"noise_distribution": "cauchy"}, "noise_distribution"),
        ({"batch_effects": {"batches": 2}}, "unknown fields"),
    ],
)
def test_bad_descriptions_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        make_biomedical(**keywords)
