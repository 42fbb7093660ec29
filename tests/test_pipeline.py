"""SynthesisPipeline."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from synth_estimators.base import BaseGenerator, LatentMixin
from synth_estimators.baselines import GaussianCopula
from synth_estimators.compose import ClassConditionalGenerator
from synth_estimators.pipeline import SynthesisPipeline, make_synthesis_pipeline


class Gaussian(BaseGenerator):
    """Multivariate normal distribution."""

    score_kind = "loglik"

    def __init__(self, *, shrink=1e-9, random_state=None):
        self.shrink = shrink
        self.random_state = random_state

    def fit(self, X, y=None, *, conditions=None):
        data, _ = self._start_fit(X)
        self.mean_ = data.mean(axis=0)
        self.covariance_ = np.cov(data.T) + self.shrink * np.eye(data.shape[1])
        self.conditions_ = conditions
        return self

    def _sample(self, n_samples, rng):
        return rng.multivariate_normal(self.mean_, self.covariance_, size=n_samples)

    def score_samples(self, X):
        centred = np.asarray(X) - self.mean_
        distance = (centred @ np.linalg.inv(self.covariance_) * centred).sum(axis=1)
        return -0.5 * (distance + np.linalg.slogdet(2 * np.pi * self.covariance_)[1])


class Halves(LatentMixin, Gaussian):
    """Latent generator whose codes are the centred rows divided by two."""

    def fit(self, X, y=None):
        super().fit(X)
        self._n_features_out = self.n_features_in_
        return self

    def _encode(self, rows):
        return (rows - self.mean_) / 2

    def _decode(self, codes):
        return codes * 2 + self.mean_


def log1p():
    return FunctionTransformer(np.log1p, np.expm1, check_inverse=False)


def test_rows_go_back_through_all_steps(small_table):
    positive = small_table - small_table.min(axis=0)
    pipe = make_synthesis_pipeline(log1p(), StandardScaler(), Gaussian(random_state=0))
    rows = pipe.fit(positive).sample(300)
    inner = pipe[-1].sample(300)
    assert_allclose(rows, np.expm1(pipe[1].inverse_transform(inner)))
    assert abs(np.log1p(rows).mean() - np.log1p(positive).mean()) < 0.2


def test_frame_in_frame_out(mixed_frame):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0)).fit(mixed_frame)
    rows = pipe.sample(5)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)
    assert rows.columns.tolist() == mixed_frame.columns.tolist()
    assert rows.index.tolist() == [0, 1, 2, 3, 4]
    assert (rows["age"] == rows["age"].round()).all()


def test_array_in_array_out(small_table):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0))
    rows = pipe.fit(small_table.astype(np.float32)).sample(5)
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == np.float32


@pytest.mark.parametrize("hole", [None, "passthrough"])
def test_empty_steps_are_skipped(small_table, hole):
    pipe = SynthesisPipeline(
        [("scale", StandardScaler()), ("hole", hole), ("model", Gaussian(random_state=0))]
    ).fit(small_table)
    expected = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0)).fit(small_table)
    assert_array_equal(pipe.sample(3), expected.sample(3))


def test_only_empty_steps_before_the_generator(mixed_frame):
    pipe = SynthesisPipeline([("hole", "passthrough"), ("model", Gaussian(random_state=0))])
    rows = pipe.fit(mixed_frame).sample(3)
    pd.testing.assert_frame_equal(rows, Gaussian(random_state=0).fit(mixed_frame).sample(3))


@pytest.mark.parametrize("method", ["sample", "sample_iter"])
def test_step_without_inverse_is_named(small_table, method):
    pipe = SynthesisPipeline(
        [("odd", FunctionTransformer()), ("selectkbest", _NoInverse()), ("model", Gaussian())]
    ).fit(small_table)
    message = (
        rf"step 'selectkbest' has no inverse_transform, so pipe\.{method}\(\) cannot return to "
        "input space"
    )
    with pytest.raises(AttributeError, match=message):
        getattr(pipe, method)(3)


class _NoInverse(PCA):
    @property
    def inverse_transform(self):
        raise AttributeError("no way back")


def test_selection_of_columns_can_be_undone(mixed_frame):
    pipe = make_synthesis_pipeline(VarianceThreshold(1.0), Gaussian(random_state=0))
    rows = pipe.fit(mixed_frame).sample(4)
    assert rows.columns.tolist() == mixed_frame.columns.tolist()


def test_sample_is_there_only_when_the_last_step_has_it(small_table):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian()).fit(small_table)
    assert hasattr(pipe, "sample")
    assert not hasattr(pipe, "sample_labeled")
    assert not hasattr(pipe, "reconstruct")
    assert not hasattr(pipe, "transform")
    head = pipe[:1]
    assert type(head) is SynthesisPipeline
    for name in ("sample", "sample_iter", "sample_labeled"):
        assert not hasattr(head, name)
    with pytest.raises(AttributeError, match="has no attribute 'sample'"):
        head.sample(2)


def test_slice_keeps_the_way_back_to_its_own_input(mixed_frame):
    scaler = StandardScaler().set_output(transform="pandas")
    pipe = make_synthesis_pipeline(scaler, PCA(), Gaussian(random_state=0)).fit(mixed_frame)
    tail = pipe[1:]
    rows = tail.sample(3)
    assert rows.columns.tolist() == mixed_frame.columns.tolist()
    assert_allclose(rows, pipe[1].inverse_transform(pipe[2].sample(3)))


def test_before_fit_sample_says_not_fitted():
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian())
    with pytest.raises(NotFittedError):
        pipe.sample(2)
    with pytest.raises(NotFittedError):
        pipe.sample_iter(2)


def test_labels_come_with_their_rows(small_table, small_labels):
    shifted = small_table + 100.0 * (small_labels == "case")[:, None]
    pipe = make_synthesis_pipeline(
        StandardScaler(), ClassConditionalGenerator(Gaussian(), random_state=0)
    ).fit(shifted, small_labels)
    X_gen, y_gen = pipe.sample_labeled(None, class_counts={"case": 5, "control": 7})
    assert_array_equal(X_gen[:, 0] > 50, y_gen == "case")
    assert (pipe.sample(9, y="control")[:, 0] < 50).all()
    assert_array_equal(pipe.classes_, ["case", "control"])
    assert pipe.score(shifted, small_labels) > pipe.score(shifted)


def test_chunks_add_up(mixed_frame):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0)).fit(mixed_frame)
    chunks = list(pipe.sample_iter(7, chunk_size=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert all((chunk.dtypes == mixed_frame.dtypes).all() for chunk in chunks)


def test_no_rows_is_an_empty_table(mixed_frame):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0)).fit(mixed_frame)
    rows = pipe.sample(0)
    assert rows.shape == (0, 6)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)
    assert make_synthesis_pipeline(PCA(2), Gaussian()).fit(mixed_frame).sample(0).shape == (0, 6)


def test_set_output_reaches_a_generator_without_transform(small_table):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0)).fit(small_table)
    rows = pipe.set_output(transform="pandas").sample(2)
    assert rows.columns.tolist() == [f"x{j}" for j in range(6)]
    again = clone(pipe).fit(small_table).sample(2)
    pd.testing.assert_frame_equal(rows, again)


def test_latent_last_step_works_in_input_space(mixed_frame):
    pipe = make_synthesis_pipeline(StandardScaler(), Halves(random_state=0))
    codes = pipe.fit_transform(mixed_frame)
    assert_allclose(codes, StandardScaler().fit_transform(mixed_frame) / 2, atol=1e-6)
    assert_allclose(pipe.inverse_transform(codes), mixed_frame, rtol=1e-5, atol=1e-5)
    rows = pipe.reconstruct(mixed_frame)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)
    assert_allclose(rows, mixed_frame, rtol=1e-5, atol=1e-5)
    pd.testing.assert_series_equal(pipe.sample(3).dtypes, mixed_frame.dtypes)


def test_text_columns_come_back_through_an_encoder():
    table = pd.DataFrame(
        {
            "colour": pd.Categorical(["red", "blue"] * 20),
            "size": np.repeat(["S", "L"], 20).astype(object),
            "count": np.tile([1, 2, 3, 4], 10),
        }
    )
    pipe = make_synthesis_pipeline(
        OrdinalEncoder(), FunctionTransformer(inverse_func=_nearest_code), Gaussian(random_state=0)
    ).fit(table)
    rows = pipe.sample(10)
    pd.testing.assert_series_equal(rows.dtypes, table.dtypes)
    assert set(rows["colour"]) <= {"red", "blue"}
    assert set(rows["size"]) <= {"S", "L"}


def _nearest_code(codes):
    return np.clip(np.rint(codes), 0, 1)


def test_search_over_steps(small_table):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0))
    grid = {"gaussian__shrink": [1e-6, 100.0], "standardscaler__with_mean": [True, False]}
    search = GridSearchCV(pipe, grid, cv=3).fit(small_table)
    assert search.best_params_["gaussian__shrink"] == 1e-6
    assert search.best_estimator_.sample(2).shape == (2, 6)


def test_parameters_and_diagram(small_table):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(shrink=0.5), verbose=False)
    assert pipe.get_params()["gaussian__shrink"] == 0.5
    assert clone(pipe).set_params(gaussian__shrink=2)["gaussian"].shrink == 2
    html = pipe.fit(small_table)._repr_html_()
    assert "StandardScaler" in html
    assert "Gaussian" in html


def test_pickle_keeps_the_table(mixed_frame):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0)).fit(mixed_frame)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(pipe)).sample(4), pipe.sample(4))


def test_memory_caches_transformers(tmp_path, small_table):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0), memory=str(tmp_path))
    first = pipe.fit(small_table).sample(3)
    assert_array_equal(first, clone(pipe).fit(small_table).sample(3))
    assert any(tmp_path.iterdir())


def test_conditions_with_and_without_routing(small_table, small_conditions):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian())
    pipe.fit(small_table, gaussian__conditions=small_conditions)
    assert pipe[-1].conditions_ is small_conditions
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_synthesis_pipeline(
            StandardScaler(), Gaussian().set_fit_request(conditions=True)
        )
        pipe.fit(small_table, conditions=small_conditions)
        assert pipe[-1].conditions_ is small_conditions
        assert np.isfinite(pipe.score(small_table))


def test_two_dimensional_list_gives_arrays(small_table):
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0))
    assert isinstance(pipe.fit(small_table.tolist()).sample(2), np.ndarray)


def test_polars_frame_in_polars_frame_out(small_table):
    polars = pytest.importorskip("polars")
    table = polars.DataFrame(small_table, schema=list("abcdef"))
    table = table.with_columns(polars.col("b").round().cast(polars.Int32))
    pipe = make_synthesis_pipeline(StandardScaler(), Gaussian(random_state=0)).fit(table)
    assert pipe.sample(3).schema == table.schema


def test_chunks_of_a_pipeline_follow_the_labels():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    X = rng.normal(size=(80, 3)) + 10.0 * y[:, None]
    pipe = make_synthesis_pipeline(
        StandardScaler(), ClassConditionalGenerator(GaussianCopula(), random_state=0)
    ).fit(X, y)
    wanted = np.repeat([1, 0], [30, 20])
    rows = np.concatenate(list(pipe.sample_iter(50, y=wanted, chunk_size=16)))
    assert_array_equal(rows.mean(axis=1) > 5, wanted == 1)
