"""VAE and CVAE inside scikit-learn's machinery and under joblib's backends."""

import pickle
import random
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators import (
    CVAE,
    VAE,
    ClassConditionalGenerator,
    TransformedGenerator,
    make_synthesis_pipeline,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def vae(**params):
    return VAE(**{"latent_dim": 2, "hidden": (8,), "max_epochs": 2, "random_state": 0, **params})


def cvae(**params):
    return CVAE(**{"latent_dim": 2, "hidden": (8,), "max_epochs": 2, "random_state": 0, **params})


MODELS = pytest.mark.parametrize("model", [vae(), cvae()], ids=["VAE", "CVAE"])


def numpy_state():
    return np.random.get_state(legacy=False)  # noqa: NPY002


def global_states():
    return {
        "python": hash(random.getstate()),
        "numpy": hash(pickle.dumps(numpy_state())),
        "torch": hash(torch.get_rng_state().numpy().tobytes()),
    }


@pytest.fixture(autouse=True)
def _global_random_state_is_left_alone(request):
    """No test of this module may move the global random state of torch, numpy or python."""
    before = global_states()
    yield
    after = global_states()
    if "dask_client" in request.fixturenames:
        # The client itself draws from python's generator in the background.
        del before["python"], after["python"]
    assert after == before


# Pipelines.


@MODELS
def test_last_step_of_a_pipeline(model, small_table, small_labels):
    pipe = make_pipeline(StandardScaler(), clone(model)).fit(small_table, small_labels)
    assert pipe.transform(small_table).shape == (80, 2)
    assert np.isfinite(pipe.score(small_table, small_labels))
    assert pipe.inverse_transform(np.zeros((1, 2))).shape == (1, 6)


@MODELS
def test_first_step_of_a_pipeline(model, small_table, small_labels):
    pipe = make_pipeline(clone(model), StandardScaler()).fit(small_table, small_labels)
    assert pipe.transform(small_table).shape == (80, 2)
    assert pipe[:-1].get_feature_names_out().tolist() == [
        f"{type(model).__name__.lower()}{j}" for j in range(2)
    ]


@MODELS
def test_synthesis_pipeline(model, mixed_frame, small_labels):
    pipe = make_synthesis_pipeline(StandardScaler(), clone(model)).fit(mixed_frame, small_labels)
    rows = pipe.sample(200)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)
    # Calibrated margins: the mean of 200 rows lies within 5 standard errors.
    distance = abs(rows.mean() - mixed_frame.mean()) / mixed_frame.std()
    assert (distance < 5 / np.sqrt(80)).all()
    assert pipe.reconstruct(mixed_frame).shape == mixed_frame.shape


def test_synthesis_pipeline_samples_labels(mixed_frame, small_labels):
    pipe = make_synthesis_pipeline(StandardScaler(), cvae()).fit(mixed_frame, small_labels)
    X_gen, y_gen = pipe.sample_labeled(None, class_counts={"case": 3, "control": 2})
    assert X_gen.shape == (5, 6)
    assert sorted(y_gen) == ["case", "case", "case", "control", "control"]
    assert pipe.sample(4, y="case", random_state=1).shape == (4, 6)


@MODELS
def test_transformed_generator_scores_in_data_units(model, small_table, small_labels):
    plain = clone(model).fit(small_table, small_labels)
    scaled = TransformedGenerator(clone(model), transformer=StandardScaler())
    scaled.fit(small_table, small_labels)
    # The frame standardises, so scaling before it leaves the same model: the bound agrees.
    assert scaled.score_kind == "elbo"
    assert scaled.score(small_table, small_labels) == pytest.approx(
        plain.score(small_table, small_labels), abs=1e-2
    )


def test_one_vae_per_class(small_table, small_labels):
    model = ClassConditionalGenerator(vae(), random_state=0).fit(small_table, small_labels)
    X_gen, y_gen = model.sample_labeled(10, stratified=True)
    assert X_gen.shape == (10, 6)
    assert (y_gen == "case").sum() == 6
    assert np.isfinite(model.score(small_table, small_labels))


# Searches and curves.


@MODELS
def test_grid_search_in_two_processes_equals_serial(model, small_table, small_labels):
    grid = {"latent_dim": [1, 2], "net_params": [None, {"optimizer__betas": (0.8, 0.99)}]}
    scores = [
        GridSearchCV(clone(model), grid, cv=2, n_jobs=n_jobs)
        .fit(small_table, small_labels)
        .cv_results_["mean_test_score"]
        for n_jobs in (None, 2)
    ]
    assert np.isfinite(scores[0]).all()
    assert_allclose(scores[1], scores[0], rtol=1e-5)
    assert len(set(scores[0])) > 1


def test_grid_search_reaches_the_net_by_name(small_table):
    model = vae(net_params={"optimizer__betas": (0.9, 0.999)})
    grid = {"net__optimizer__betas": [(0.5, 0.9), (0.9, 0.999)]}
    search = GridSearchCV(model, grid, cv=2).fit(small_table)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.sample(3).shape == (3, 6)


def test_grid_search_over_a_synthesis_pipeline(mixed_frame):
    pipe = make_synthesis_pipeline(StandardScaler(), vae())
    search = GridSearchCV(pipe, {"vae__latent_dim": [1, 2]}, cv=2).fit(mixed_frame)
    rows = search.best_estimator_.sample(3)
    pd.testing.assert_series_equal(rows.dtypes, mixed_frame.dtypes)


@MODELS
def test_halving_search_over_epochs(model, small_table, small_labels):
    search = HalvingGridSearchCV(
        clone(model),
        {"latent_dim": [1, 2, 3]},
        resource="max_epochs",
        min_resources=1,
        max_resources=3,
        factor=3,
        cv=2,
        random_state=0,
    ).fit(small_table, small_labels)
    assert search.n_resources_ == [1, 3]
    assert np.isfinite(search.best_score_)
    assert search.best_estimator_.max_epochs == 3


@MODELS
def test_learning_curve(model, small_table, small_labels):
    sizes, train, test = learning_curve(
        clone(model), small_table, small_labels, cv=2, train_sizes=[20, 40]
    )
    assert sizes.tolist() == [20, 40]
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()


def test_learning_curve_without_labels(small_table):
    _, _, test = learning_curve(vae(), small_table, None, cv=2, train_sizes=[20, 40])
    assert np.isfinite(test).all()


@MODELS
def test_validation_curve(model, small_table, small_labels):
    train, test = validation_curve(
        clone(model),
        small_table,
        small_labels,
        param_name="max_epochs",
        param_range=[1, 2],
        cv=2,
    )
    assert train.shape == test.shape == (2, 2)
    assert np.isfinite(test).all()


@MODELS
def test_cross_val_score(model, small_table, small_labels):
    scores = cross_val_score(clone(model), small_table, small_labels, cv=3, error_score="raise")
    assert np.isfinite(scores).all()


# Copies.


@MODELS
def test_clone_is_unfitted_and_equal(model, small_table, small_labels):
    fitted = clone(model).fit(small_table, small_labels)
    copy = clone(fitted)
    assert not hasattr(copy, "net_")
    assert copy.get_params() == fitted.get_params()
    assert_array_equal(copy.fit(small_table, small_labels).sample(5), fitted.sample(5))


LOAD_SCRIPT = """
import sys, joblib, numpy as np
model = joblib.load(sys.argv[1])
X = np.load(sys.argv[2])
np.savez(sys.argv[3], rows=model.sample(20), codes=model.transform(X), score=model.score(X))
"""


def test_joblib_dump_is_loaded_in_a_new_process(tmp_path, small_table, small_labels):
    folder = tmp_path
    np.save(folder / "X.npy", small_table)
    model = make_synthesis_pipeline(StandardScaler(), cvae()).fit(small_table, small_labels)
    joblib.dump(model, folder / "model.joblib")
    subprocess.run(
        [sys.executable, "-c", LOAD_SCRIPT, "model.joblib", "X.npy", "out.npz"],
        cwd=folder,
        check=True,
    )
    loaded = np.load(folder / "out.npz")
    assert_allclose(loaded["rows"], model.sample(20), rtol=1e-5)
    assert_allclose(loaded["codes"], model.transform(small_table), rtol=1e-5, atol=1e-7)
    assert_allclose(loaded["score"], model.score(small_table), rtol=1e-5)


@MODELS
def test_set_output_pandas(model, mixed_frame, small_labels):
    fitted = clone(model).set_output(transform="pandas").fit(mixed_frame, small_labels)
    codes = fitted.transform(mixed_frame)
    name = type(model).__name__.lower()
    assert codes.columns.tolist() == [f"{name}0", f"{name}1"]
    assert codes.index.equals(mixed_frame.index)
    assert isinstance(fitted.fit(mixed_frame.to_numpy(), small_labels).sample(2), pd.DataFrame)
    with sklearn.config_context(transform_output="pandas"):
        plain = clone(model).set_output(transform="default").fit(mixed_frame, small_labels)
        assert isinstance(plain.transform(mixed_frame), np.ndarray)
        globally = clone(model).fit(small_array := mixed_frame.to_numpy(), small_labels)
        assert isinstance(globally.transform(small_array), pd.DataFrame)
        assert isinstance(globally.sample(2), pd.DataFrame)


# Metadata routing.


def test_conditions_with_routing(small_table, small_conditions):
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_synthesis_pipeline(
            StandardScaler(),
            cvae().set_fit_request(conditions=True).set_score_request(conditions=True),
        )
        pipe.fit(small_table, conditions=small_conditions)
        assert pipe.sample(5, conditions={"stage": "II", "years": 50.0}).shape == (5, 6)
        search = GridSearchCV(pipe, {"cvae__latent_dim": [1, 2]}, cv=2, error_score="raise")
        search.fit(small_table, conditions=small_conditions)
        assert np.isfinite(search.best_score_)
        result = cross_validate(
            pipe, small_table, cv=2, params={"conditions": small_conditions}, error_score="raise"
        )
        assert np.isfinite(result["test_score"]).all()


def test_conditions_that_nobody_requested_are_refused(small_table, small_conditions):
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_synthesis_pipeline(StandardScaler(), cvae())
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="conditions"):
            pipe.fit(small_table, conditions=small_conditions)


def test_conditions_without_routing(small_table, small_conditions):
    pipe = make_synthesis_pipeline(StandardScaler(), cvae())
    pipe.fit(small_table, cvae__conditions=small_conditions)
    routed_free = pipe.sample(5, conditions={"stage": "II", "years": 50.0})
    with sklearn.config_context(enable_metadata_routing=True):
        routed = make_synthesis_pipeline(StandardScaler(), cvae().set_fit_request(conditions=True))
        routed.fit(small_table, conditions=small_conditions)
        rows = routed.sample(5, conditions={"stage": "II", "years": 50.0})
    assert_array_equal(rows, routed_free)
    with pytest.raises(ValueError, match="does not accept the conditions parameter"):
        pipe.fit(small_table, conditions=small_conditions)


@pytest.mark.parametrize("routing", [False, True])
def test_conditions_through_meta_estimators(small_table, small_labels, small_conditions, routing):
    with sklearn.config_context(enable_metadata_routing=routing):
        inner = cvae().set_fit_request(conditions=True) if routing else cvae()
        model = TransformedGenerator(inner, transformer=StandardScaler())
        model.fit(small_table, conditions=small_conditions)
        wanted = {"stage": "I", "years": 40.0}
        assert model.sample(4, conditions=wanted).shape == (4, 6)
        per_class = ClassConditionalGenerator(inner, random_state=0)
        per_class.fit(small_table, small_labels, conditions=small_conditions)
        assert per_class.sample(4, y="case", conditions=wanted).shape == (4, 6)


@pytest.mark.parametrize("routing", [False, True])
@MODELS
def test_routing_changes_no_number(model, small_table, small_labels, routing):
    expected = make_pipeline(StandardScaler(), clone(model)).fit(small_table, small_labels)
    score = expected.score(small_table, small_labels)
    with sklearn.config_context(enable_metadata_routing=routing):
        pipe = make_pipeline(StandardScaler(), clone(model)).fit(small_table, small_labels)
        assert pipe.score(small_table, small_labels) == score
        scores = cross_val_score(pipe, small_table, small_labels, cv=2, error_score="raise")
    assert np.isfinite(scores).all()


# Backends.


def fit_and_sample(model, X, y, position):
    fitted = clone(model).set_params(random_state=position).fit(X, y)
    return np.asarray(fitted.sample(10)), fitted.score(X, y)


def run(model, X, y, **parallel):
    jobs = (joblib.delayed(fit_and_sample)(model, X, y, position) for position in range(4))
    rows, scores = zip(*joblib.Parallel(**parallel)(jobs), strict=True)
    return np.stack(rows), np.array(scores)


def search_scores(model, X, y, **parallel):
    search = GridSearchCV(clone(model), {"latent_dim": [1, 2]}, cv=2, **parallel).fit(X, y)
    return search.cv_results_["mean_test_score"]


@MODELS
def test_threads_give_the_numbers_of_a_serial_run(model, small_table, small_labels):
    expected = run(model, small_table, small_labels)
    found = run(model, small_table, small_labels, n_jobs=3, backend="threading")
    assert_array_equal(found[0], expected[0])
    assert_array_equal(found[1], expected[1])
    assert _different_rows(expected[0])


def _different_rows(rows):
    return all(not np.array_equal(rows[0], other) for other in rows[1:])


@MODELS
def test_processes_give_the_numbers_of_a_serial_run(model, small_table, small_labels):
    expected = search_scores(model, small_table, small_labels)
    with joblib.parallel_config(backend="loky"):
        found = search_scores(model, small_table, small_labels, n_jobs=2)
    assert_allclose(found, expected, rtol=1e-5)


@MODELS
def test_threads_under_a_search_give_the_numbers_of_a_serial_run(model, small_table, small_labels):
    expected = search_scores(model, small_table, small_labels)
    with joblib.parallel_config(backend="threading"):
        found = search_scores(model, small_table, small_labels, n_jobs=2)
    assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def dask_client():
    """One cluster for the module: its workers take some seconds to start."""
    distributed = pytest.importorskip("dask.distributed", reason="needs the extra 'dask'")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None
    )
    client = distributed.Client(cluster)
    yield client
    client.close()
    cluster.close()


@MODELS
def test_dask_gives_the_numbers_of_a_serial_run(dask_client, model, small_table, small_labels):
    expected = search_scores(model, small_table, small_labels)
    with joblib.parallel_config(backend="dask"):
        found = search_scores(model, small_table, small_labels, n_jobs=2)
    assert_allclose(found, expected, rtol=1e-5)


# Randomness.


@MODELS
def test_no_public_call_touches_the_global_random_state(model, small_table, small_labels):
    def use(call, *args, **kwargs):
        before = global_states()
        result = call(*args, **kwargs)
        assert global_states() == before, call.__name__
        return result

    for random_state in (0, None):
        fitted = clone(model).set_params(random_state=random_state)
        use(fitted.fit, small_table, small_labels)
        use(fitted.sample, 5)
        use(fitted.sample, 5, stratified=True)
        use(lambda fitted=fitted: list(fitted.sample_iter(5, chunk_size=2)))
        codes = use(fitted.transform, small_table)
        use(fitted.inverse_transform, codes)
        use(fitted.reconstruct, small_table)
        use(fitted.score_samples, small_table)
        use(fitted.score, small_table, small_labels)
        use(fitted.partial_fit, small_table, small_labels)
        if isinstance(fitted, CVAE):
            use(fitted.sample, 5, y="case")
            use(fitted.sample_labeled, 5)
        use(clone, fitted)
        use(pickle.loads, pickle.dumps(fitted))
    wrapped = TransformedGenerator(clone(model), transformer=StandardScaler())
    use(wrapped.fit, small_table, small_labels)
    use(wrapped.sample, 3)
    pipe = make_synthesis_pipeline(StandardScaler(), clone(model))
    use(pipe.fit, small_table, small_labels)
    use(pipe.sample, 3)


def test_global_seeds_do_not_change_the_numbers(small_table):
    state = torch.get_rng_state(), numpy_state(), random.getstate()
    try:
        rows = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            rows.append(vae().fit(small_table).sample(5))
        assert_array_equal(rows[0], rows[1])
    finally:
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        random.setstate(state[2])


def test_callbacks_of_scikit_learn_pass_through_a_pipeline(small_table):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    pipe = make_synthesis_pipeline(StandardScaler(), vae())
    pipe.set_callbacks(callback.ProgressBar(max_propagation_depth=2)).fit(small_table)
    assert pipe.sample(2).shape == (2, 6)
    assert isinstance(pipe, Pipeline)
