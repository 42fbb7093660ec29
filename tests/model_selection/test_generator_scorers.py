import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators import (
    BootstrapRows,
    ClassConditionalGenerator,
    GaussianCopula,
    IndependentColumns,
)
from synth_estimators.metrics import METRICS, dcr_share, energy_distance
from synth_estimators.model_selection import (
    GENERATOR_SCORERS,
    GeneratorScorers,
    get_generator_scorer,
    make_constrained_scorer,
    make_generator_scorer,
)
from synth_estimators.model_selection._sampling import remaining_rows
from synth_estimators.utils.estimator_checks import check_generator_scorer_pure

NAMES = ["column_shapes_score", "neg_energy_distance", "beta_recall"]
GRID = {"n_components": [1, 3]}


@pytest.fixture
def clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    return centres[rng.integers(0, 3, 180)] + rng.normal(size=(180, 2))


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(120) < 0.3, "case", "control")
    X = rng.normal(size=(120, 3)) + np.where(y == "case", 2.0, 0.0)[:, None]
    return pd.DataFrame(X, columns=["a", "b", "c"]), y


class Counting(KernelDensity):
    """Counts its samples in a list that clones share."""

    calls = []

    def sample(self, n_samples=1, random_state=None):
        self.calls.append(n_samples)
        return super().sample(n_samples, random_state)


def test_scores_equal_those_of_single_scorers(clusters):
    generator = KernelDensity().fit(clusters[:90])
    scores = GeneratorScorers(NAMES, n_repeats=2)(generator, clusters[90:])
    assert list(scores) == NAMES
    for name in NAMES:
        single = make_generator_scorer(name, n_repeats=2)
        assert scores[name] == single(generator, clusters[90:])


def test_rows_are_drawn_once(clusters):
    Counting.calls.clear()
    GeneratorScorers(NAMES)(Counting().fit(clusters), clusters)
    assert Counting.calls == [180]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_searches_take_several_scores_and_refit_by_one(clusters, n_jobs):
    scoring = GeneratorScorers(NAMES)
    search = GridSearchCV(
        GaussianMixture(random_state=0), GRID, scoring=scoring, refit=NAMES[1], cv=3, n_jobs=n_jobs
    ).fit(clusters)
    assert search.best_params_ == {"n_components": 3}
    for name in NAMES:
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()


def test_results_do_not_depend_on_the_backend(clusters):
    scoring = GeneratorScorers(NAMES, X_all=clusters)
    results = [
        cross_validate(KernelDensity(), clusters, scoring=scoring, cv=3, n_jobs=n_jobs)
        for n_jobs in (1, 2)
    ]
    for name in NAMES:
        np.testing.assert_array_equal(*(result[f"test_{name}"] for result in results))


def test_randomized_and_halving_searches(clusters):
    scorer = get_generator_scorer("neg_energy_distance")
    halving = HalvingGridSearchCV(
        GaussianMixture(random_state=0),
        GRID,
        scoring=scorer,
        cv=3,
        random_state=0,
        min_resources=60,
    ).fit(clusters)
    assert halving.best_params_ == {"n_components": 3}
    randomized = RandomizedSearchCV(
        GaussianMixture(random_state=0),
        GRID,
        scoring=GeneratorScorers(NAMES),
        refit=NAMES[1],
        n_iter=2,
        cv=3,
        random_state=0,
    ).fit(clusters)
    assert randomized.best_params_ == {"n_components": 3}


def test_optuna_objective_finds_the_number_of_clusters(clusters):
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        mixture = GaussianMixture(trial.suggest_int("n_components", 1, 3), random_state=0)
        scorer = get_generator_scorer("neg_energy_distance")
        return cross_val_score(mixture, clusters, scoring=scorer, cv=3).mean()

    sampler = optuna.samplers.GridSampler({"n_components": [1, 2, 3]}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=3)
    assert study.best_params == {"n_components": 3}


def test_optuna_search_takes_a_scorer(clusters):
    integration = pytest.importorskip(
        "optuna_integration", reason="OptunaSearchCV is in the package optuna-integration"
    )
    optuna = pytest.importorskip("optuna")
    search = integration.OptunaSearchCV(
        GaussianMixture(random_state=0),
        {"n_components": optuna.distributions.IntDistribution(1, 3)},
        scoring=get_generator_scorer("neg_energy_distance"),
        cv=3,
        n_trials=6,
        random_state=0,
    ).fit(clusters)
    assert search.best_params_ == {"n_components": 3}


def test_a_pipeline_in_standard_space_scores_as_the_generator_on_standardised_rows(clusters):
    skewed = clusters * [1.0, 50.0]
    train, test = skewed[:120], skewed[120:]
    scaler = StandardScaler().fit(train)
    scorers = GeneratorScorers({"energy": _plain_energy}, space="standard")
    pipeline = make_pipeline(StandardScaler(), KernelDensity(bandwidth=0.2)).fit(train)
    alone = KernelDensity(bandwidth=0.2).fit(scaler.transform(train))
    scores = scorers(pipeline, test), scorers(alone, scaler.transform(test))
    assert scores[0]["energy"] == pytest.approx(scores[1]["energy"])


def _plain_energy(X_real, X_synth):
    return energy_distance(X_real, X_synth, space="identity")


def test_conditional_generators_are_judged_with_labels(labelled):
    X, y = labelled
    scorers = GeneratorScorers(
        ["tstr_score", "column_shapes_score"],
        metric_kwargs={"tstr_score": {"estimator": "logistic"}},
    )
    model = ClassConditionalGenerator(GaussianCopula(), random_state=0)
    scores = cross_validate(model, X, y, scoring=scorers, cv=3)
    assert (scores["test_tstr_score"] > 0.9).all()


def test_a_metric_that_fails_leaves_the_others_alone(clusters):
    generator = KernelDensity().fit(clusters)
    scorers = GeneratorScorers({"bad": _fails, "good": "column_shapes_score"})
    with pytest.warns(UserWarning, match="counts as error_score=nan: ValueError: no value"):
        scores = scorers(generator, clusters)
    assert np.isnan(scores["bad"])
    assert scores["good"] > 0.5
    with pytest.raises(ValueError, match="no value"):
        GeneratorScorers({"bad": _fails}, error_score="raise")(generator, clusters)


def _fails(X_real, X_synth):
    raise ValueError("no value")


def test_samples_that_fail_give_the_error_score_to_all(clusters):
    class Broken(KernelDensity):
        def sample(self, n_samples=1, random_state=None):
            raise ValueError("no rows today")

    with pytest.warns(UserWarning, match="no rows today"):
        scores = GeneratorScorers(NAMES, error_score=-1.0)(Broken().fit(clusters), clusters)
    assert scores == dict.fromkeys(NAMES, -1.0)


def test_scorers_may_be_members_with_keywords_of_their_own(clusters):
    member = make_generator_scorer("c2st_score", estimator="logistic")
    generator = KernelDensity().fit(clusters)
    scores = GeneratorScorers([member, "neg_energy_distance"])(generator, clusters)
    assert scores["c2st_score"] == member(generator, clusters)


@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        ([], {}, "metrics is empty"),
        (["nonsense"], {}, "metric='nonsense' is unknown"),
        (["c2st_score", "c2st_score"], {}, "more than once"),
        (["c2st_score"], {"metric_kwargs": {"other": {}}}, r"metric_kwargs names \['other'\]"),
        (["c2st_score"], {"n_repeats": 0}, "n_repeats=0"),
        ([make_generator_scorer("c2st_score", n_repeats=3)], {}, r"has \['n_repeats'\] of its own"),
        (
            [make_generator_scorer("c2st_score")],
            {"metric_kwargs": {"c2st_score": {"cv": 3}}},
            "a scorer with keywords of its own",
        ),
        (["dcr_share"], {}, r"needs \['X_train'\].*X_all="),
    ],
)
def test_bad_metrics_are_refused(metrics, options, message):
    with pytest.raises(ValueError, match=message):
        GeneratorScorers(metrics, **options)


def test_repr_and_pickle(clusters):
    scorers = GeneratorScorers(["c2st_score"], n_repeats=2, X_all=clusters)
    assert repr(scorers) == (
        "GeneratorScorers(['c2st_score'], n_repeats=2, X_all=<ndarray of shape (180, 2)>)"
    )
    assert repr(pickle.loads(pickle.dumps(scorers))) == repr(scorers)


def test_every_named_scorer_is_larger_for_better_rows(clusters):
    assert list(GENERATOR_SCORERS) == sorted(GENERATOR_SCORERS)
    for name in ("c2st_score", "neg_energy_distance", "c2st_auc", "c2st_logistic_score"):
        scorer = get_generator_scorer(name)
        good, bad = (KernelDensity(bandwidth=width).fit(clusters) for width in (0.3, 9.0))
        assert scorer(good, clusters) > scorer(bad, clusters), name


def test_named_scorers_cover_the_metrics_that_need_no_other_rows():
    for name, info in METRICS.items():
        known = name in GENERATOR_SCORERS or f"neg_{name}" in GENERATOR_SCORERS
        assert known == (set(info.needs) <= {"X_holdout", "target"}), name
    assert "quality_score" in GENERATOR_SCORERS
    assert "neg_sliced_wasserstein" in GENERATOR_SCORERS


def test_short_names_mean_the_distance(clusters):
    generator = KernelDensity().fit(clusters)
    scores = [
        make_generator_scorer(name)(generator, clusters)
        for name in ("neg_sliced_wasserstein", "neg_sliced_wasserstein_distance")
    ]
    assert scores[0] == scores[1] < 0


def test_named_scorers_are_copies():
    get_generator_scorer("c2st_score").metric_kwargs["cv"] = 2
    assert get_generator_scorer("c2st_score").metric_kwargs == {}
    assert get_generator_scorer(len) is len


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "scoring='nonsense' is no scorer of generators"),
        ("energy_distance", "Its scorer is called 'neg_energy_distance'"),
        ("dcr_share", "needs .*X_train.*cross_validate_generator"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        get_generator_scorer(name)


def test_training_rows_are_the_whole_table_less_the_held_out_rows():
    frame = pd.DataFrame({"a": [1.0, 1.0, 2.0, np.nan], "b": ["u", "u", "v", None]})
    rest = remaining_rows(frame, frame.iloc[[1, 3]])
    pd.testing.assert_frame_equal(rest, frame.iloc[[0, 2]].reset_index(drop=True))
    numbers = np.arange(12).reshape(6, 2)
    np.testing.assert_array_equal(remaining_rows(numbers, numbers[::2]), numbers[1::2])
    with pytest.raises(ValueError, match="1 of the 1 rows to judge are not rows of X_all"):
        remaining_rows(numbers, numbers[:1] + 1)
    with pytest.raises(ValueError, match="no rows besides"):
        remaining_rows(numbers, numbers)


def test_privacy_scores_in_a_search_see_the_training_rows_of_each_fold(clusters):
    scorer = make_generator_scorer("dcr_share", X_all=clusters)
    train, test = train_test_split(clusters, test_size=0.5, random_state=0)
    kernel = KernelDensity(bandwidth=1e-6).fit(train)
    assert scorer(kernel, test) == -0.5
    seen = []

    def spy(X_real, X_synth, X_train=None):
        seen.append(np.asarray(X_train))
        return dcr_share(X_real, X_synth, X_train=X_train)

    make_generator_scorer(spy, X_all=clusters)(kernel, test)
    order = np.lexsort(train.T)
    np.testing.assert_array_equal(seen[0][np.lexsort(seen[0].T)], train[order])


def test_rows_of_another_table_are_an_error_not_a_failed_candidate(clusters):
    scorer = make_generator_scorer("dcr_share", X_all=clusters)
    with pytest.raises(ValueError, match="not rows of X_all"):
        scorer(KernelDensity().fit(clusters), clusters + 1)


def test_privacy_of_conditional_generators_is_judged_without_labels(labelled):
    X, y = labelled
    model = ClassConditionalGenerator(BootstrapRows(), random_state=0).fit(X[:60], y[:60])
    assert make_generator_scorer("dcr_share", X_all=X)(model, X[60:], y[60:]) == -0.5


def test_a_guard_turns_the_choice_away_from_copies(clusters):
    grid = {"bandwidth": [1e-6, 0.5]}
    options = {"cv": 2, "n_jobs": 1}
    main = make_generator_scorer("c2st_score", estimator="logistic")
    free = GridSearchCV(KernelDensity(), grid, scoring="neg_energy_distance", **options)
    free.scoring = make_generator_scorer(_copying_pays)
    assert free.fit(clusters).best_params_ == {"bandwidth": 1e-6}
    scorer = make_constrained_scorer(
        make_generator_scorer(_copying_pays), "dcr_share", 0.6, X_all=clusters
    )
    guarded = GridSearchCV(KernelDensity(), grid, scoring=scorer, **options).fit(clusters)
    assert guarded.best_params_ == {"bandwidth": 0.5}
    assert repr(make_constrained_scorer(main, "energy_distance", 0.1)) == (
        "make_constrained_scorer(make_generator_scorer('c2st_score', estimator='logistic'), "
        "'energy_distance', bound=0.1, penalty=10.0)"
    )


def _copying_pays(X_real, X_synth):
    # Narrow kernels win: minus the smallest spread between neighbouring values.
    return -float(np.median(np.diff(np.sort(np.asarray(X_synth)[:, 0]))))


def test_penalty_is_the_amount_beyond_the_bound(clusters):
    generator = KernelDensity().fit(clusters)
    main = make_generator_scorer("column_shapes_score")
    base = main(generator, clusters)
    smaller = make_generator_scorer(_third, greater_is_better=False)
    for bound, beyond in ((0.5, 0.0), (0.2, 0.1)):
        scorer = make_constrained_scorer(main, smaller, bound, 2.0)
        assert scorer(generator, clusters) == pytest.approx(base - 2.0 * beyond)
    scorer = make_constrained_scorer(main, _third, 0.5, 2.0)
    assert scorer(generator, clusters) == pytest.approx(base - 2.0 * 0.2)
    with pytest.warns(UserWarning, match="constraint '_none' returned NaN"):
        assert np.isnan(make_constrained_scorer(main, _none, 0.5)(generator, clusters))


def _third(X_real, X_synth):
    return 0.3


def _none(X_real, X_synth):
    return float("nan")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": np.nan}, "bound=nan"),
        ({"bound": "0.6"}, "bound='0.6'"),
        ({"bound": 0.6, "penalty": -1}, "penalty=-1"),
        ({"bound": 0.6, "penalty": np.inf}, "penalty=inf"),
    ],
)
def test_bad_bounds_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_constrained_scorer("c2st_score", "energy_distance", **options)


@pytest.mark.parametrize(
    "scorer",
    [
        make_generator_scorer("neg_energy_distance"),
        GeneratorScorers(NAMES),
        make_constrained_scorer("column_shapes_score", "energy_distance", 0.1),
    ],
    ids=["one", "several", "guarded"],
)
def test_scoring_leaves_no_trace(scorer, clusters):
    for model in (IndependentColumns(), GaussianCopula(), KernelDensity()):
        check_generator_scorer_pure(scorer, model.fit(clusters), clusters)


def test_traces_are_found(clusters):
    model = KernelDensity().fit(clusters)
    with pytest.raises(AssertionError, match="changed the state of the fitted KernelDensity"):
        check_generator_scorer_pure(_leaves_mark, model, clusters)
    with pytest.raises(AssertionError, match=r"moved the global random generators of \['numpy'\]"):
        check_generator_scorer_pure(_moves_numpy, model, clusters)
    fresh = make_generator_scorer("neg_energy_distance", random_state=None)
    with pytest.raises(AssertionError, match="A second call gave"):
        check_generator_scorer_pure(fresh, model, clusters)
    with pytest.raises(AssertionError, match="must be a float"):
        check_generator_scorer_pure(_text, model, clusters)


def _leaves_mark(estimator, X, y=None):
    estimator.mark_ = 1
    return 0.0


def _moves_numpy(estimator, X, y=None):
    return float(np.random.rand())  # noqa: NPY002


def _text(estimator, X, y=None):
    return "good"
