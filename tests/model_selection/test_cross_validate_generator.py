import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators import (
    BootstrapRows,
    ClassConditionalGenerator,
    GaussianCopula,
    IndependentColumns,
    SequentialCART,
)
from synth_estimators.metrics import column_pair_trends_score, dcr_share
from synth_estimators.model_selection import (
    calibrated,
    cross_validate_generator,
    get_generator_scorer,
    make_generator_scorer,
)

TRENDS = "column_pair_trends_score"


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 1)) + 0.3 * rng.normal(size=(150, 3))
    return pd.DataFrame(X, columns=["a", "b", "c"])


@pytest.fixture
def labelled(table):
    y = np.where(table["a"] + np.random.default_rng(1).normal(size=150) > 0, "case", "control")
    return table, y


class Fresh(KernelDensity):
    """Fails on training tables that hold row 0."""

    def fit(self, X, y=None):
        if 0 in X.index:
            raise ValueError("row 0 is poison")
        return super().fit(X)


def test_columns_are_those_of_cross_validate(table):
    results = cross_validate_generator(
        GaussianCopula(), table, cv=3, metrics=[TRENDS, "dcr_share", "membership_auc"]
    )
    times = {"fit_time", "sample_time", "score_time"}
    # Metrics that compare training with held-out rows have no train_ side.
    assert set(results) == times | {
        f"test_{TRENDS}",
        f"train_{TRENDS}",
        "test_dcr_share",
        "test_membership_auc",
    }
    frame = pd.DataFrame(results)
    assert frame.shape == (3, 7)
    assert np.isfinite(frame.to_numpy()).all()
    assert (frame["score_time"] > 0).all()


def test_values_are_those_of_the_metrics_on_the_samples(table):
    splits = list(KFold(3).split(table))
    results = cross_validate_generator(
        GaussianCopula(), table, cv=splits, metrics=[TRENDS, "dcr_share"], return_samples=True
    )
    for fold, (train, test) in enumerate(splits):
        rows = results["samples"][fold]
        assert len(rows) == len(test)
        tables = table.iloc[train], table.iloc[test]
        for side, real in zip(("train", "test"), tables, strict=True):
            value = column_pair_trends_score(real, rows)
            assert results[f"{side}_{TRENDS}"][fold] == pytest.approx(value)
        share = dcr_share(X_train=tables[0], X_holdout=tables[1], X_synth=rows, random_state=0)
        # The training rows are cut at random, so the seeds make a small difference.
        assert results["test_dcr_share"][fold] == pytest.approx(share, abs=0.1)


def test_callables_get_the_rows_they_ask_for(table):
    seen = []

    def spy(X_real, X_synth, X_train, X_holdout):
        seen.append((len(X_real), len(X_synth), len(X_train), len(X_holdout)))
        return 1.0

    results = cross_validate_generator(
        IndependentColumns(), table, cv=3, metrics={"spy": spy}, n_samples="train"
    )
    assert seen == [(50, 100, 100, 50), (100, 100, 100, 100)] * 3
    assert results["test_spy"].tolist() == results["train_spy"].tolist() == [1.0] * 3
    both = cross_validate_generator(
        IndependentColumns(), table, cv=2, metrics=[TRENDS, spy], return_train_score=False
    )
    assert {"test_spy", f"test_{TRENDS}"} < set(both)
    assert not any(name.startswith("train_") for name in both)


def test_copies_look_better_against_their_own_rows(table):
    results = cross_validate_generator(
        BootstrapRows(), table, cv=2, metrics=["energy_distance", "exact_copy_share"]
    )
    assert results["test_exact_copy_share"].tolist() == [1.0, 1.0]
    assert (results["train_energy_distance"] < results["test_energy_distance"]).all()


@pytest.mark.parametrize("random_state", [0, np.random.RandomState(0)])
def test_results_do_not_depend_on_the_jobs(table, random_state):
    results = [
        cross_validate_generator(
            BootstrapRows(random_state=None),
            table,
            cv=2,
            metrics=[TRENDS, "energy_distance"],
            n_jobs=n_jobs,
            random_state=state,
        )
        for n_jobs, state in zip((1, 2), _twice(random_state), strict=True)
    ]
    for name in (f"test_{TRENDS}", "test_energy_distance", f"train_{TRENDS}"):
        np.testing.assert_array_equal(*(result[name] for result in results))


def _twice(random_state):
    if isinstance(random_state, int):
        return random_state, random_state
    return np.random.RandomState(0), np.random.RandomState(0)


def test_other_seeds_give_other_splits(table):
    results = [
        cross_validate_generator(GaussianCopula(), table, cv=2, metrics=[TRENDS], random_state=seed)
        for seed in (0, 1)
    ]
    assert (results[0][f"test_{TRENDS}"] != results[1][f"test_{TRENDS}"]).all()


def test_the_estimator_itself_stays_unfitted(table):
    model = GaussianCopula()
    results = cross_validate_generator(model, table, cv=2, metrics=[TRENDS], return_estimator=True)
    assert not hasattr(model, "n_features_in_")
    assert [clone.n_features_in_ for clone in results["estimator"]] == [3, 3]


def test_conditional_generators_bring_their_labels(labelled):
    X, y = labelled
    model = ClassConditionalGenerator(GaussianCopula())
    results = cross_validate_generator(
        model, X, y, cv=3, metrics=["tstr_score", "utility_ratio"], return_samples=True
    )
    assert (results["test_tstr_score"] > 0.6).all()
    rows, labels = results["samples"][0]
    assert len(rows) == len(labels) == 50
    # Stratified: the labels of the held-out rows are those of the sample.
    assert (labels == "case").sum() == pytest.approx((y == "case").sum() / 3, abs=1)


def test_targets_that_are_columns(labelled):
    X, y = labelled
    frame = X.assign(label=y)
    results = cross_validate_generator(
        BootstrapRows(), frame, cv=3, metrics=["tstr_score"], target="label"
    )
    assert (results["test_tstr_score"] > 0.6).all()


def test_pipelines_and_searches_are_judged_in_data_units(table):
    skewed = table * [1.0, 50.0, 1.0] + 7
    pipeline = make_pipeline(StandardScaler(), KernelDensity(bandwidth=0.2))
    results = cross_validate_generator(pipeline, skewed, cv=2, metrics=["column_shapes_score"])
    assert (results["test_column_shapes_score"] > 0.75).all()
    search = GridSearchCV(
        KernelDensity(),
        {"bandwidth": [0.2, 50.0]},
        cv=2,
        scoring=get_generator_scorer("neg_energy_distance"),
    )
    results = cross_validate_generator(search, table, cv=2, metrics=[TRENDS], return_estimator=True)
    assert [found.best_params_["bandwidth"] for found in results["estimator"]] == [0.2, 0.2]


def test_groups_stay_together(table):
    groups = np.repeat(np.arange(5), 30)
    results = cross_validate_generator(
        IndependentColumns(),
        table,
        cv=GroupKFold(5),
        groups=groups,
        metrics={"size": lambda X_real, X_synth: len(X_real)},
    )
    assert results["test_size"].tolist() == [30] * 5


def test_failed_fits_are_seen(table):
    options = {"cv": KFold(3), "metrics": [TRENDS]}
    with pytest.warns(FitFailedWarning, match=r"2 of 3 fits failed .* split 1: ValueError: row 0"):
        results = cross_validate_generator(Fresh(), table, **options)
    assert np.isnan(results[f"test_{TRENDS}"]).tolist() == [False, True, True]
    with pytest.warns(FitFailedWarning):
        results = cross_validate_generator(Fresh(), table, error_score=-1, **options)
    assert results[f"test_{TRENDS}"][1:].tolist() == [-1, -1]
    with pytest.raises(ValueError, match=r"^row 0 is poison"):
        cross_validate_generator(Fresh(), table, error_score="raise", **options)
    with pytest.raises(ValueError, match="All the 2 fits failed"):
        cross_validate_generator(
            Fresh(), table, metrics=[TRENDS], cv=[(np.arange(99), np.arange(99, 150))] * 2
        )


def test_a_good_generator_raises_no_warning(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_validate_generator(GaussianCopula(), table, cv=2, metrics=[TRENDS, "dcr_share"])


def test_splits_follow_rare_classes_without_a_word():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=40), "kind": ["a"] * 38 + ["b"] * 2})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_validate_generator(
            IndependentColumns(), frame, cv=3, metrics=["column_shapes_score"], target="kind"
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["nonsense"]}, "Unknown metric 'nonsense'"),
        ({"metrics": "slow"}, "metrics='slow' is unknown"),
        ({"metrics": []}, "metrics is empty"),
        ({"metrics": {"a": TRENDS}}, r"metrics maps \['a'\]"),
        ({"metrics": ["tstr_score"]}, "tstr_score needs target"),
        ({"metrics": ["ks_complement"]}, "compares one column"),
        ({"metrics": [TRENDS], "target": "z"}, "target='z' is not a column"),
        ({"n_samples": "all"}, "n_samples='all'"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"conditional": "never"}, "conditional='never'"),
        ({"error_score": "zero"}, "error_score='zero'"),
        ({"cv": 1}, "cv=1 must lie between 2 and"),
        ({"cv": 100}, "cv=100 must lie between 2 and"),
        ({"y": np.zeros(3)}, "y has 3 labels but X has 150 rows"),
    ],
)
def test_bad_requests_are_refused_before_any_fit(table, options, message):
    class NeverFitted(IndependentColumns):
        def fit(self, X, y=None):
            raise AssertionError("was fitted")

    with pytest.raises(ValueError, match=message):
        cross_validate_generator(NeverFitted(), table, **options)


def test_infinite_and_tiny_tables_are_refused(table):
    with pytest.raises(ValueError, match="contains infinity"):
        cross_validate_generator(BootstrapRows(), table.replace(table.iloc[0, 0], np.inf))
    with pytest.raises(ValueError, match="X has 3 rows"):
        cross_validate_generator(BootstrapRows(), table[:3])
    with pytest.raises(ValueError, match="duplicated column names"):
        cross_validate_generator(BootstrapRows(), table.set_axis(["a", "a", "b"], axis=1))


def test_calibrated_is_one_for_real_rows_and_zero_for_shuffled_ones(table):
    rng = np.random.default_rng(3)
    train, holdout = table[:75], table[75:]
    metric = calibrated("c2st_auc", estimator="logistic")
    trends = calibrated(column_pair_trends_score)
    shuffled = pd.DataFrame(rng.permuted(train.to_numpy(), axis=0), columns=list("abc"))
    assert trends(train, holdout, train) == pytest.approx(1.0)
    assert trends(train, holdout, shuffled) == pytest.approx(0.0, abs=0.15)
    parts = trends(train, holdout, train, breakdown=True)
    assert parts.value == parts.limit == column_pair_trends_score(holdout, train)
    assert parts.floors.shape == (5,)
    # A linear classifier is blind to dependence, so there is no scale.
    with pytest.warns(UserWarning, match=r"calibrated\('c2st_auc', estimator='logistic'\) is un"):
        assert np.isnan(metric(train, holdout, train))


def test_calibrated_callables_and_their_seeds(table):
    train, holdout = table[:75], table[75:]
    known, plain = calibrated(TRENDS), calibrated(_trends)
    synth = GaussianCopula(random_state=0).fit(train).sample(75)
    assert known(train, holdout, synth) == plain(train, holdout, synth)
    assert known(train, holdout, synth) != calibrated(TRENDS, random_state=1)(train, holdout, synth)


def _trends(X_real, X_synth):
    return column_pair_trends_score(X_real, X_synth)


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("dcr_share", {}, "does not see dependence"),
        ("column_shapes_score", {}, "does not see dependence"),
        ("nonsense", {}, "metric='nonsense' is unknown"),
        ("tstr_score", {}, r"needs \['target'\]"),
        (TRENDS, {"n_shuffles": 1}, "n_shuffles=1"),
    ],
)
def test_metrics_without_such_a_scale_are_refused(metric, options, message):
    with pytest.raises(ValueError, match=message):
        calibrated(metric, **options)


def test_failing_callable_counts_as_error_score(table):
    def odd(X_real, X_synth):
        raise ValueError("odd rows")

    with pytest.warns(UndefinedMetricWarning, match="test_odd has no value: ValueError: odd rows"):
        results = cross_validate_generator(
            GaussianCopula(), table, cv=2, metrics=[odd, TRENDS], error_score=-1.0
        )
    assert (results["test_odd"] == -1.0).all()
    assert (results[f"test_{TRENDS}"] > 0.5).all()
    with pytest.raises(ValueError, match="odd rows"):
        cross_validate_generator(
            GaussianCopula(), table, cv=2, metrics=[odd, TRENDS], error_score="raise"
        )


class Narrow(KernelDensity):
    """Loses a column where the training table holds row 0."""

    def fit(self, X, y=None):
        self.lost_ = int(0 in X.index)
        return super().fit(np.asarray(X))

    def sample(self, n_samples=1, random_state=None):
        return super().sample(n_samples, random_state)[:, self.lost_ :]


def test_rows_that_cannot_be_compared_fail_their_split(table):
    with pytest.warns(FitFailedWarning, match="1 of 2 fits failed .* differ in width"):
        results = cross_validate_generator(Narrow(), table, cv=2, metrics=[TRENDS])
    assert np.isnan(results[f"test_{TRENDS}"]).sum() == 1
    with pytest.raises(ValueError, match="differ in width"):
        cross_validate_generator(Narrow(), table, cv=2, metrics=[TRENDS], error_score="raise")


@pytest.mark.parametrize("listed", [["kind"], [False, True]])
def test_columns_that_the_generator_lists_are_discrete(listed):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=150), "kind": rng.integers(0, 3, 150)})
    generator = SequentialCART(discrete_columns=listed)
    seen = []

    def watch(X_real, X_synth, *, discrete_columns="auto"):
        seen.append(discrete_columns)
        return 0.0

    cross_validate_generator(generator, table, cv=2, metrics=[watch], n_jobs=1)
    make_generator_scorer(watch)(generator.fit(table), table)
    assert len(seen) == 5
    assert all(found == ["kind"] for found in seen)
