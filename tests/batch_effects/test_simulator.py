import pickle
import warnings

import numpy as np
import pandas as pd
import polars
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from synth_estimators.batch_effects import (
    BatchEffectsConfig,
    BatchEffectSimulator,
    apply_batch_effects_from_config,
)

TYPES = ("additive", "multiplicative", "both")


@pytest.fixture
def X():
    return np.random.default_rng(7).normal(5, 2, size=(24, 6))


@pytest.fixture
def y():
    return np.repeat(["case", "control"], 12)


@pytest.mark.parametrize("effect_type", ["additive", "multiplicative"])
@pytest.mark.parametrize("granularity", ["per_feature", "scalar"])
def test_simulator_has_the_stream_of_the_functions(X, y, effect_type, granularity):
    config = BatchEffectsConfig(
        3,
        effect_type=effect_type,
        effect_granularity=granularity,
        affected_features=[0, 4],
        proportions=[3, 2, 1],
        confounding_with_class=0.6,
    )
    expected, labels, summary = apply_batch_effects_from_config(
        X, y, config, np.random.default_rng(11)
    )
    simulator = BatchEffectSimulator(
        3,
        effect_type=effect_type,
        effect_granularity=granularity,
        affected_features=[0, 4],
        proportions=[3, 2, 1],
        confounding_with_class=0.6,
        random_state=11,
    )
    np.testing.assert_array_equal(simulator.fit_transform(X, y), expected)
    np.testing.assert_array_equal(simulator.labels_, labels)
    np.testing.assert_allclose(simulator.batch_effects_, summary, atol=1e-15)


@pytest.mark.parametrize("effect_type", TYPES)
@pytest.mark.parametrize("granularity", ["per_feature", "scalar"])
@pytest.mark.parametrize("features", ["all", [1, 3]])
def test_inverse_is_exact(X, effect_type, granularity, features):
    simulator = BatchEffectSimulator(
        3,
        effect_type=effect_type,
        effect_granularity=granularity,
        affected_features=features,
        effect_strength=2.0,
        random_state=3,
    )
    affected = simulator.fit_transform(X)
    assert np.abs(affected - X).max() > 0.1
    undone = simulator.inverse_transform(affected, simulator.labels_)
    assert np.abs(undone - X).max() <= 1e-12 * np.abs(affected).max()
    np.testing.assert_array_equal(simulator.inverse_transform(affected), undone)


def test_both_draws_factors_before_shifts(X):
    simulator = BatchEffectSimulator(2, effect_type="both", random_state=0).fit(X)
    rng = np.random.default_rng(0)
    rng.shuffle(np.arange(24))
    np.testing.assert_array_equal(simulator.factors_, 1 + rng.normal(0, 0.5, (2, 6)))
    np.testing.assert_array_equal(simulator.shifts_, rng.normal(0, 0.5, (2, 6)))
    batch = np.arange(24) % 2
    np.testing.assert_allclose(
        simulator.transform(X, batch=batch),
        X * simulator.factors_[batch] + simulator.shifts_[batch],
        atol=1e-14,
    )


@pytest.mark.parametrize(
    ("effect_type", "used"), [("additive", "shifts_"), ("multiplicative", "factors_")]
)
def test_effects_are_those_of_the_type(X, effect_type, used):
    simulator = BatchEffectSimulator(3, effect_type=effect_type, random_state=0).fit(X)
    np.testing.assert_array_equal(simulator.effects_, getattr(simulator, used))
    other = simulator.factors_ == 1 if used == "shifts_" else simulator.shifts_ == 0
    assert other.all()
    assert simulator.effects_.shape == (3, 6)


def test_scalar_effects_repeat_over_the_features(X):
    effects = BatchEffectSimulator(effect_granularity="scalar", random_state=0).fit(X).effects_
    assert effects.shape == (2, 6)
    assert (effects == effects[:, :1]).all()


def test_factors_around_1_flip_signs_and_positive_ones_do_not(X):
    wide = np.ones((4, 2000))
    kwargs = {"effect_type": "multiplicative", "effect_strength": 1.0, "random_state": 0}
    negative = (BatchEffectSimulator(2, **kwargs).fit(wide).factors_ <= 0).mean()
    # P(N(1, 1) <= 0) = 0.1587; 4000 draws have a standard error of 0.006.
    assert abs(negative - 0.1587) < 0.02
    factors = BatchEffectSimulator(2, positive_factors=True, **kwargs).fit(wide).factors_
    assert (factors > 0).all()
    assert abs(np.log(factors).mean()) < 0.06
    assert abs(np.log(factors).std() - 1) < 0.05


def test_drawn_labels_of_transform_repeat_and_are_kept(X):
    simulator = BatchEffectSimulator(3, random_state=0).fit(X)
    first = simulator.transform(X[:10])
    labels = simulator.last_labels_
    assert np.bincount(labels).tolist() == [4, 3, 3]
    np.testing.assert_array_equal(simulator.transform(X[:10]), first)
    np.testing.assert_array_equal(first, X[:10] + simulator.effects_[labels])


@pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(3)])
def test_fit_transform_equals_fit_then_transform(X, random_state):
    simulator = BatchEffectSimulator(3, random_state=random_state)
    affected = simulator.fit_transform(X)
    np.testing.assert_array_equal(simulator.transform(X), affected)
    np.testing.assert_array_equal(simulator.last_labels_, simulator.labels_)


def test_same_seed_same_effects_in_clones(X):
    simulator = BatchEffectSimulator(3, random_state=4)
    np.testing.assert_array_equal(simulator.fit(X).effects_, clone(simulator).fit(X).effects_)


def test_transform_sets_no_attribute(X):
    simulator = BatchEffectSimulator(random_state=0).fit(X)
    before = dict(vars(simulator))
    simulator.transform(X[:4])
    assert vars(simulator).keys() == before.keys()
    assert all(vars(simulator)[name] is value for name, value in before.items())
    assert len(simulator.last_labels_) == 4


def test_given_labels_name_the_batches(X):
    batch = np.array(["s2", "s10", "s1"] * 8)
    simulator = BatchEffectSimulator(random_state=0)
    affected = simulator.fit_transform(X, batch=batch)
    assert simulator.batches_.tolist() == ["s1", "s10", "s2"]
    np.testing.assert_array_equal(simulator.labels_, batch)
    codes = np.searchsorted(simulator.batches_, batch)
    np.testing.assert_array_equal(affected, X + simulator.effects_[codes])
    np.testing.assert_array_equal(
        simulator.transform(X[:2], batch=["s1", "s1"]), X[:2] + simulator.effects_[0]
    )


def test_given_numbers_keep_empty_batches(X):
    few = BatchEffectSimulator(5, random_state=0).fit(X, batch=[0, 2] * 12)
    assert few.batches_.tolist() == [0, 1, 2, 3, 4]
    assert few.effects_.shape == (5, 6)
    many = BatchEffectSimulator(2, random_state=0).fit(X, batch=[10, 20, 30] * 8)
    assert many.batches_.tolist() == [10, 20, 30]


def test_labels_come_from_a_named_column(X):
    batch = np.array(["a", "b", "c"] * 8)
    frame = pd.DataFrame(X, columns=[f"g{j}" for j in range(6)], index=np.arange(24) + 100)
    frame.insert(2, "site", batch)
    before = frame.copy()
    simulator = BatchEffectSimulator(batch="site", affected_features=["g2"], random_state=0)
    affected = simulator.fit_transform(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert list(affected.columns) == [f"g{j}" for j in range(6)]
    assert affected.index.equals(frame.index)
    assert simulator.affected_features_.tolist() == [2]
    expected = BatchEffectSimulator(affected_features=[2], random_state=0)
    np.testing.assert_array_equal(affected, expected.fit_transform(X, batch=batch))
    np.testing.assert_array_equal(simulator.transform(frame[5:9]), affected[5:9])
    assert simulator.get_feature_names_out().tolist() == list(affected.columns)
    assert simulator.get_feature_names_out(list(frame.columns)).tolist() == list(affected.columns)
    with_labels = affected.assign(site=batch)[list(frame.columns)]
    for table in (affected, with_labels):
        np.testing.assert_allclose(
            simulator.inverse_transform(table, batch=batch), X, rtol=0, atol=1e-12
        )
    np.testing.assert_allclose(simulator.inverse_transform(with_labels), X, rtol=0, atol=1e-12)


def test_labels_come_from_a_position_of_an_array(X):
    batch = np.arange(24) % 3
    table = np.insert(X, 1, batch, axis=1)
    simulator = BatchEffectSimulator(3, batch=1, random_state=0)
    affected = simulator.fit_transform(table)
    assert affected.shape == X.shape
    np.testing.assert_allclose(affected, X + simulator.effects_[batch], atol=1e-14)
    np.testing.assert_allclose(simulator.inverse_transform(affected, batch), X, atol=1e-12)
    with pytest.raises(ValueError, match="X has 3 columns, but BatchEffectSimulator returns 6"):
        simulator.inverse_transform(affected[:, :3], batch)


def test_keyword_goes_before_the_column(X):
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(site=["u", "v"] * 12)
    simulator = BatchEffectSimulator(batch="site", random_state=0)
    simulator.fit(frame, batch=["k", "l", "m"] * 8)
    assert simulator.batches_.tolist() == ["k", "l", "m"]
    assert simulator.transform(frame[:1], batch=["k"]).columns.tolist() == list("abcdef")


def test_missing_column_is_refused(X):
    with pytest.raises(ValueError, match="batch='site'"):
        BatchEffectSimulator(batch="site").fit(pd.DataFrame(X, columns=list("abcdef")))
    with pytest.raises(ValueError, match="batch=9"):
        BatchEffectSimulator(batch=9).fit(X)


def test_containers_and_dtypes_are_kept(X):
    frame = pd.DataFrame(X, columns=list("abcdef"), index=pd.Index(range(24), name="row"))
    simulator = BatchEffectSimulator(random_state=0)
    expected = simulator.fit_transform(X)
    assert isinstance(expected, np.ndarray)
    found = simulator.fit_transform(frame)
    assert found.index.equals(frame.index)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        simulator.fit_transform(polars.DataFrame(X, schema=list("abcdef"))).to_numpy(), expected
    )
    single = simulator.fit_transform(X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-6)
    assert simulator.inverse_transform(single).dtype == np.float32


def test_set_output_is_honoured(X):
    simulator = BatchEffectSimulator(random_state=0).set_output(transform="pandas")
    for found in (simulator.fit_transform(X), simulator.transform(X)):
        assert isinstance(found, pd.DataFrame)
        assert found.columns.tolist() == [f"x{j}" for j in range(6)]


def test_missing_cells_stay_missing(X):
    X[2, 3] = np.nan
    affected = BatchEffectSimulator(random_state=0).fit_transform(X)
    np.testing.assert_array_equal(np.isnan(affected), np.isnan(X))


def test_input_is_not_changed(X):
    before = X.copy()
    simulator = BatchEffectSimulator(effect_type="both", random_state=0)
    affected = simulator.fit_transform(X)
    kept = affected.copy()
    simulator.inverse_transform(affected)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(affected, kept)


def test_one_drawn_batch_or_strength_0_has_no_effect(X):
    for simulator in (BatchEffectSimulator(1), BatchEffectSimulator(3, effect_strength=0)):
        np.testing.assert_array_equal(simulator.fit_transform(X), X)
        assert (simulator.effects_ == 0).all()


def test_confounding_follows_the_classes(X, y):
    simulator = BatchEffectSimulator(confounding_with_class=1.0, random_state=0).fit(X, y)
    np.testing.assert_array_equal(simulator.labels_, (y == "control").astype(int))
    shares = BatchEffectSimulator(
        2, confounding_with_class=1.0, proportions=[0.9, 0.1], assignment="mixture", random_state=0
    ).fit(X, y)
    np.testing.assert_array_equal(shares.labels_, simulator.labels_)


def test_confounding_without_classes_is_refused(X):
    with pytest.raises(ValueError, match="needs class_labels"):
        BatchEffectSimulator(confounding_with_class=0.5).fit(X)


def test_transform_warns_that_it_does_not_know_the_classes(X, y):
    simulator = BatchEffectSimulator(confounding_with_class=1.0, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="does not know the classes"):
        simulator.transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulator.transform(X, batch=simulator.labels_)
        simulator.fit_transform(X, y)


def test_unknown_labels_are_refused(X):
    simulator = BatchEffectSimulator(random_state=0).fit(X, batch=["a", "b"] * 12)
    with pytest.raises(ValueError, match="'c'"):
        simulator.transform(X[:2], batch=["a", "c"])
    with pytest.raises(ValueError, match="needs them here too"):
        simulator.transform(X)
    with pytest.raises(ValueError, match="3 labels but X has 2 rows"):
        simulator.transform(X[:2], batch=["a", "a", "b"])


def test_missing_and_mixed_labels_are_refused(X):
    with pytest.raises(ValueError, match=r"missing in 1 of 24 rows \(first in row 23\)"):
        BatchEffectSimulator().fit(X, batch=["a"] * 23 + [None])
    with pytest.raises(ValueError, match="mixes types"):
        BatchEffectSimulator().fit(X, batch=["a"] * 23 + [1])


def test_inverse_needs_the_labels(X):
    simulator = BatchEffectSimulator(random_state=0)
    affected = simulator.fit_transform(X)
    with pytest.raises(ValueError, match="X has 5 rows, but the last call of transform had 24"):
        simulator.inverse_transform(affected[:5])
    with pytest.raises(ValueError, match="unseen"):
        simulator.inverse_transform(affected[:1], batch=[7])


def test_factors_of_almost_0_cannot_be_undone(X):
    simulator = BatchEffectSimulator(effect_type="multiplicative", random_state=0)
    affected = simulator.fit_transform(X)
    simulator.factors_[1, 2] = 1e-9
    with pytest.raises(ValueError, match="factor of 1e-09 cannot be undone"):
        simulator.inverse_transform(affected)
    rows = simulator.labels_ == 0
    np.testing.assert_allclose(
        simulator.inverse_transform(affected[rows], simulator.labels_[rows]), X[rows], atol=1e-12
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"proportions": [1, 2, 3]}, "proportions has shape"),
        ({"effect_strength": np.inf}, "effect_strength"),
        ({"n_batches": 0}, "n_batches"),
        ({"affected_features": ["q"]}, "affected_features"),
        ({"assignment": "half"}, "assignment"),
    ],
)
def test_bad_parameters_are_refused(X, params, message):
    with pytest.raises(ValueError, match=message):
        BatchEffectSimulator(**params).fit(X)


def test_bad_tables_are_refused(X):
    with pytest.raises(TypeError, match="toarray"):
        BatchEffectSimulator().fit(sparse.csr_array(X))
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity in column 'x0'"):
        BatchEffectSimulator().fit(X)


def test_pickle_round_trip(X):
    simulator = BatchEffectSimulator(effect_type="both", random_state=0).fit(X)
    copy = pickle.loads(pickle.dumps(simulator))
    np.testing.assert_array_equal(copy.transform(X), simulator.transform(X))


def test_simulator_works_in_pipelines_and_folds(X, y):
    pipeline = make_pipeline(BatchEffectSimulator(random_state=0), LogisticRegression())
    assert len(cross_val_score(pipeline, X, y, cv=3, scoring="roc_auc")) == 3
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(site=["u", "v"] * 12)
    pipeline.set_params(batcheffectsimulator__batch="site")
    assert cross_val_predict(pipeline, frame, y, cv=3).shape == (24,)


def test_labels_are_routed(X, y):
    batch = np.array(["a", "b"] * 12)
    with sklearn.config_context(enable_metadata_routing=True):
        simulator = BatchEffectSimulator(random_state=0)
        pipeline = make_pipeline(simulator, LogisticRegression()).fit(X, y, batch=batch)
        assert pipeline[0].batches_.tolist() == ["a", "b"]
        assert pipeline.predict(X[:2], batch=batch[:2]).shape == (2,)
        np.testing.assert_array_equal(pipeline[0].last_labels_, batch[:2])


def test_anndata_keeps_its_observations(X):
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"site": ["u", "v"] * 12}, index=[f"s{row}" for row in range(24)])
    table = anndata.AnnData(X, obs=obs)
    simulator = BatchEffectSimulator(batch="site", random_state=0)
    found = simulator.fit_transform(table)
    assert found.obs["site"].tolist() == ["u", "v"] * 12
    np.testing.assert_array_equal(found.X, X + simulator.effects_[np.arange(24) % 2])
    np.testing.assert_allclose(simulator.inverse_transform(found), X, atol=1e-12)


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float64", "object"])
def test_whole_numbers_of_any_dtype_are_numbers_of_batches(X, dtype):
    labels = pd.Series([0, 2] * 12, dtype=dtype)
    few = BatchEffectSimulator(5, random_state=0).fit(X, batch=labels)
    assert few.batches_.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(few.labels_, [0, 2] * 12)


def test_effects_beyond_float64_are_refused(X):
    simulator = BatchEffectSimulator(
        effect_type="multiplicative", positive_factors=True, effect_strength=1e4, random_state=0
    )
    with pytest.raises(ValueError, match=r"effect_strength=10000.0 gives effects that are too"):
        simulator.fit(X)
