import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    StandardScaler,
)

from synth_estimators.base import BaseGenerator, ClassConditionalMixin
from synth_estimators.metrics import METRICS, c2st_score, column_shapes_score, energy_distance
from synth_estimators.model_selection import GeneratorScorer, make_generator_scorer


class MixtureGenerator(BaseGenerator):
    """Gaussian mixture as a generator."""

    def __init__(self, n_components=1, random_state=0):
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X, y=None):
        data, seed = self._start_fit(X)
        self.mixture_ = GaussianMixture(self.n_components, random_state=seed).fit(data)
        return self

    def _sample(self, n_samples, rng):
        mixture = GaussianMixture(self.n_components, random_state=int(rng.integers(2**31)))
        mixture.weights_, mixture.means_ = self.mixture_.weights_, self.mixture_.means_
        mixture.covariances_ = self.mixture_.covariances_
        mixture.precisions_cholesky_ = self.mixture_.precisions_cholesky_
        return mixture.sample(n_samples)[0] if n_samples else np.empty((0, self.n_features_in_))


class NormalPerClass(ClassConditionalMixin, BaseGenerator):
    """One normal distribution a class."""

    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, X, y):
        data, _ = self._start_fit(X)
        label_idx = self._fit_labels(y, len(data))
        groups = [data[label_idx == index] for index in range(len(self.classes_))]
        self.means_ = np.array([group.mean(axis=0) for group in groups])
        self.scales_ = np.array([group.std(axis=0) for group in groups])
        return self

    def _sample(self, n_samples, rng, y=None):
        label_idx = self._wanted_labels(y, n_samples, rng)
        noise = rng.standard_normal((n_samples, self.n_features_in_))
        return self.means_[label_idx] + self.scales_[label_idx] * noise


@pytest.fixture
def clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    return centres[rng.integers(0, 3, 240)] + rng.normal(size=(240, 2))


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(120) < 0.3, "case", "control")
    X = rng.normal(size=(120, 3)) + np.where(y == "case", 2.0, 0.0)[:, None]
    return pd.DataFrame(X, columns=["a", "b", "c"]), y


SCORER = make_generator_scorer("neg_energy_distance")


def test_grid_search_finds_the_number_of_clusters(clusters):
    grid = {"n_components": [1, 2, 3]}
    results = []
    for n_jobs in (2, 1):
        search = GridSearchCV(MixtureGenerator(), grid, scoring=SCORER, cv=3, n_jobs=n_jobs)
        search.fit(clusters)
        assert search.best_params_ == {"n_components": 3}
        results.append(search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(*results)
    assert np.isfinite(results[0]).all()


def test_score_is_minus_the_metric_of_the_seeded_sample(clusters):
    generator = MixtureGenerator(3).fit(clusters[:120])
    drawn = []
    generator_sample = generator.sample

    def remember(n_samples, random_state):
        drawn.append(generator_sample(n_samples, random_state=random_state))
        return drawn[-1]

    generator.sample = remember
    score = SCORER(generator, clusters[120:])
    assert len(drawn[0]) == 120
    assert score == -energy_distance(clusters[120:], drawn[0])


def test_same_seeds_for_every_call(clusters):
    generator = MixtureGenerator(3).fit(clusters)
    assert SCORER(generator, clusters) == SCORER(generator, clusters)
    other = make_generator_scorer("neg_energy_distance", random_state=1)
    assert other(generator, clusters) != SCORER(generator, clusters)
    fresh = make_generator_scorer("neg_energy_distance", random_state=None)
    assert fresh(generator, clusters) != fresh(generator, clusters)


@pytest.mark.parametrize("metric", ["neg_energy_distance", "c2st_score", "prdc_coverage"])
def test_scoring_leaves_the_estimator_unchanged(metric, clusters):
    generator = MixtureGenerator(3).fit(clusters)
    before = pickle.dumps(generator)
    make_generator_scorer(metric)(generator, clusters)
    assert pickle.dumps(generator) == before


def test_repeats_are_averaged_and_sizes_chosen(clusters):
    generator = MixtureGenerator(2).fit(clusters)
    sizes = []

    def count(X_real, X_synth, random_state):
        sizes.append(len(X_synth))
        return float(random_state % 1000)

    score = GeneratorScorer(count, n_repeats=4, n_samples=2.0)(generator, clusters)
    assert sizes == [480] * 4
    assert score == int(score * 4) / 4
    GeneratorScorer(count, n_samples=7)(generator, clusters)
    assert sizes[-1] == 7


@pytest.mark.parametrize(
    ("metric", "sign"),
    [
        ("column_shapes_score", 1),
        ("energy_distance", -1),
        ("neg_energy_distance", -1),
        ("c2st_auc", -1),
    ],
)
def test_direction_comes_from_the_table(metric, sign, clusters):
    scorer = make_generator_scorer(metric)
    assert scorer._sign == sign
    score = scorer(MixtureGenerator(3).fit(clusters), clusters)
    assert (score > 0) == (sign > 0)


def test_an_inner_ideal_scores_minus_the_distance_from_it(clusters):
    generator = MixtureGenerator(3).fit(clusters)
    plain = make_generator_scorer("beta_recall", greater_is_better=True)(generator, clusters)
    assert make_generator_scorer("beta_recall")(generator, clusters) == -abs(plain - 0.5)
    assert make_generator_scorer("neg_beta_recall")(generator, clusters) == -abs(plain - 0.5)


def test_callables_may_be_metrics_or_anything(clusters):
    generator = MixtureGenerator(3).fit(clusters)
    by_function = make_generator_scorer(energy_distance)
    assert by_function(generator, clusters) == SCORER(generator, clusters)

    def loss(X_real, X_synth, weight=1.0):
        return weight * len(X_real)

    assert make_generator_scorer(loss)(generator, clusters) == 240
    scorer = make_generator_scorer(loss, greater_is_better=False, weight=2.0)
    assert scorer(generator, clusters) == -480
    assert scorer._sign == -1


def test_plain_pipelines_are_scored_in_data_units(clusters):
    frame = pd.DataFrame(clusters * [1.0, 50.0] + 7, columns=["a", "b"])
    pipeline = make_pipeline(StandardScaler(), MinMaxScaler(), MixtureGenerator(3)).fit(frame)
    shapes = make_generator_scorer("column_shapes_score")
    assert shapes(pipeline, frame) > 0.85
    passed = make_pipeline("passthrough", MixtureGenerator(3)).fit(frame)
    alone = MixtureGenerator(3).fit(frame)
    assert shapes(passed, frame) == shapes(alone, frame)


def test_pipeline_in_standard_space_agrees_with_the_generator_on_standardised_data(clusters):
    skewed = clusters * [1.0, 50.0]
    train, test = skewed[:120], skewed[120:]
    scaler = StandardScaler().fit(train)
    scorer = make_generator_scorer(_plain_energy, space="standard", greater_is_better=False)
    pipeline = make_pipeline(StandardScaler(), MixtureGenerator(3)).fit(train)
    alone = MixtureGenerator(3).fit(scaler.transform(train))
    assert scorer(pipeline, test) == pytest.approx(scorer(alone, scaler.transform(test)))
    in_units = make_generator_scorer(_plain_energy, greater_is_better=False)
    assert in_units(pipeline, test) != pytest.approx(in_units(alone, scaler.transform(test)))


def _plain_energy(X_real, X_synth):
    return energy_distance(X_real, X_synth, space="identity")


def test_nested_pipelines_and_searches_are_resolved(clusters):
    inner = make_pipeline(MinMaxScaler(), MixtureGenerator(3))
    nested = make_pipeline(PowerTransformer(), inner).fit(clusters)
    expected = make_pipeline(PowerTransformer(), MinMaxScaler(), MixtureGenerator(3)).fit(clusters)
    assert SCORER(nested, clusters) == SCORER(expected, clusters)
    search = GridSearchCV(inner, {"minmaxscaler__clip": [False]}, scoring=SCORER, cv=2).fit(
        clusters
    )
    assert SCORER(search, clusters) == SCORER(inner.fit(clusters), clusters)


def test_steps_without_a_way_back_are_named(clusters):
    class Forward(FunctionTransformer):
        inverse_transform = property()

    pipeline = make_pipeline(Forward(), MixtureGenerator(2)).fit(clusters)
    with pytest.raises(TypeError, match=r"Step 'forward' \(Forward\) .* no inverse_transform"):
        SCORER(pipeline, clusters)
    with pytest.raises(TypeError, match="StandardScaler cannot be scored as a generator"):
        SCORER(StandardScaler().fit(clusters), clusters)


def test_conditional_generators_get_the_labels_of_the_test_rows(labelled):
    X, y = labelled
    generator = NormalPerClass().fit(X, y)
    seen = []

    def spy(X_real, X_synth):
        seen.append((X_real, X_synth))
        return 0.0

    make_generator_scorer(spy)(generator, X, y)
    real, synth = seen[-1]
    assert real.columns.tolist() == ["a", "b", "c", "y"]
    assert synth["y"].tolist() == y.tolist()
    assert isinstance(synth["y"].dtype, pd.CategoricalDtype)
    gap = synth.groupby("y", observed=True)["a"].mean()
    assert gap["case"] - gap["control"] == pytest.approx(2.0, abs=0.6)

    make_generator_scorer(spy, n_samples=2.5)(generator, X, y)
    shares = seen[-1][1]["y"].value_counts(normalize=True)
    assert shares["case"] == pytest.approx(np.mean(y == "case"), abs=0.03)

    make_generator_scorer(spy, conditional="prior")(generator, X, y)
    assert seen[-1][1]["y"].tolist() != y.tolist()
    assert len(seen[-1][1]) == 120

    make_generator_scorer(spy)(generator, X)
    assert seen[-1][1].columns.tolist() == ["a", "b", "c"]
    make_generator_scorer(spy)(MixtureGenerator(2).fit(X), X, y)
    assert seen[-1][1].columns.tolist() == ["a", "b", "c"]


def test_labels_find_a_free_column_name(labelled):
    X, y = labelled
    X = X.rename(columns={"c": "y"})
    generator = NormalPerClass().fit(X, y)
    scorer = make_generator_scorer("column_shapes_score", discrete_columns=[])
    assert 0.7 < scorer(generator, X, y) < 1
    names = make_generator_scorer(lambda real, synth: float(list(real) == ["a", "b", "y", "y_"]))
    assert names(generator, X, y) == 1.0


def test_utility_takes_the_labels_as_its_target(labelled):
    X, y = labelled
    scorer = make_generator_scorer("tstr_score", estimator="logistic")
    scores = cross_val_score(NormalPerClass(), X, y, scoring=scorer, cv=3)
    assert (scores > 0.9).all()
    with pytest.warns(UserWarning, match="needs a target"):
        assert np.isnan(scorer(MixtureGenerator(2).fit(X), X))


def test_pipelines_hand_labels_to_the_last_step(labelled):
    X, y = labelled
    pipeline = make_pipeline(StandardScaler(), NormalPerClass()).fit(X, y)
    scorer = make_generator_scorer("tstr_score", estimator="logistic")
    assert scorer(pipeline, X, y) > 0.9


def test_scikit_learn_samplers_are_accepted(clusters):
    kernel = KernelDensity(bandwidth=0.3).fit(clusters)
    assert SCORER(kernel, clusters) > -0.05
    mixture = GaussianMixture(3, random_state=np.random.RandomState(0)).fit(clusters)
    before = pickle.dumps(mixture)
    assert SCORER(mixture, clusters) == SCORER(mixture, clusters) > -0.05
    assert pickle.dumps(mixture) == before


def test_a_sampler_without_a_seed_is_refused():
    class Fresh(BaseEstimator):
        def sample(self, n_samples):
            return np.zeros((n_samples, 1))

    with pytest.raises(TypeError, match=r"Fresh.sample takes no random_state"):
        SCORER(Fresh(), np.zeros((5, 1)))


class _Broken(MixtureGenerator):
    def _sample(self, n_samples, rng):
        raise ValueError("no rows today")


def test_failures_become_the_error_score(clusters):
    broken = _Broken(1).fit(clusters)
    with pytest.warns(UserWarning, match=r"counts as error_score=nan: ValueError: no rows today"):
        assert np.isnan(SCORER(broken, clusters))
    scorer = make_generator_scorer("neg_energy_distance", error_score=-9)
    with pytest.warns(UserWarning, match="error_score=-9"):
        assert scorer(broken, clusters) == -9.0
    strict = make_generator_scorer("neg_energy_distance", error_score="raise")
    with pytest.raises(ValueError, match="no rows today"):
        strict(broken, clusters)


def test_values_that_are_not_finite_count_as_failures(clusters):
    generator = MixtureGenerator(1).fit(clusters)
    with pytest.warns(UserWarning, match="'_nan' returned nan"):
        make_generator_scorer(_nan)(generator, clusters)
    with pytest.raises(ValueError, match="'_nan' returned nan"):
        make_generator_scorer(_nan, error_score="raise")(generator, clusters)


def _nan(X_real, X_synth):
    return float("nan")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_scorers_of_all_metrics_can_be_pickled_and_printed(name):
    missing = {need: np.zeros((3, 1)) for need in METRICS[name].needs if need == "X_train"}
    if "column" in METRICS[name].needs:
        with pytest.raises(ValueError, match="compares single columns"):
            make_generator_scorer(name)
        return
    scorer = make_generator_scorer(name, n_repeats=2, **missing)
    again = pickle.loads(pickle.dumps(scorer))
    assert repr(again) == repr(scorer)
    assert repr(scorer).startswith(f"make_generator_scorer({name!r}, n_repeats=2")


def test_repr_names_what_differs_from_the_defaults():
    scorer = make_generator_scorer("c2st_score", space="standard", estimator="logistic")
    assert (
        repr(scorer)
        == "make_generator_scorer('c2st_score', space='standard', estimator='logistic')"
    )
    assert repr(make_generator_scorer(c2st_score)) == "make_generator_scorer(c2st_score)"


def test_privacy_scorers_need_the_training_rows(clusters):
    with pytest.raises(ValueError, match=r"needs \['X_train'\], which a scorer does not receive"):
        make_generator_scorer("dcr_share")
    train, test = clusters[:120], clusters[120:]
    scorer = make_generator_scorer("dcr_share", X_train=train)
    assert -0.15 < scorer(MixtureGenerator(3).fit(train), test) <= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "nonsense"}, "metric='nonsense' is unknown"),
        ({"metric": "neg_c2st_score"}, "negates a metric that is better when larger"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"n_samples": "all"}, "n_samples='all'"),
        ({"n_repeats": 0}, "n_repeats=0"),
        ({"conditional": "never"}, "conditional='never'"),
        ({"space": "latent"}, "space='latent'"),
        ({"error_score": "zero"}, "error_score='zero'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_generator_scorer(options.pop("metric", "c2st_score"), **options)


def test_containers_may_differ(clusters):
    frame = pd.DataFrame(clusters, columns=["a", "b"])
    expected = SCORER(MixtureGenerator(3).fit(clusters), clusters)
    assert SCORER(MixtureGenerator(3).fit(frame), frame) == expected
    assert SCORER(MixtureGenerator(3).fit(clusters), frame) == expected
    wrong = frame.assign(c=1.0)
    with pytest.warns(UserWarning, match="differ in width"):
        SCORER(MixtureGenerator(3).fit(clusters), wrong)


def test_searches_run_with_metadata_routing(clusters):
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(MixtureGenerator(), {"n_components": [1, 3]}, scoring=SCORER, cv=2)
        assert search.fit(clusters).best_params_ == {"n_components": 3}


def test_several_scorers_in_one_search(clusters):
    scoring = {"energy": SCORER, "shapes": make_generator_scorer("column_shapes_score")}
    search = GridSearchCV(
        MixtureGenerator(), {"n_components": [1, 3]}, scoring=scoring, refit="energy", cv=2
    )
    search.fit(clusters)
    assert search.best_params_ == {"n_components": 3}
    assert (search.cv_results_["mean_test_shapes"] > 0.5).all()


def test_scoring_a_good_generator_raises_no_warning(labelled):
    X, y = labelled
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = make_generator_scorer("column_shapes_score")(NormalPerClass().fit(X, y), X, y)
    assert value > 0.8
    assert column_shapes_score(X, X) == 1.0
