import re
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from synth_estimators import (
    BootstrapRows,
    CalibratedGaussian,
    ClassConditionalGenerator,
    GaussianCopula,
    IndependentColumns,
)
from synth_estimators.model_selection import (
    GeneratorLearningCurve,
    compare_regimes,
    synthetic_learning_curve,
)
from synth_estimators.model_selection._curve_analysis import fit_curves
from synth_estimators.model_selection._subsets import (
    check_train_sizes,
    place_seed,
    stratified_order,
    stratified_rows,
)

ALL = ("real", "synth", "pilot", "augmented", "bootstrap", "smote")
SIZES = [12, 24, 48, 96]


def classes_apart(n_rows=150, n_columns=3, gap=1.5, seed=0):
    """Two normal classes, 60 and 40 in a hundred, that differ in the mean of every column."""
    rng = np.random.default_rng(seed)
    y = np.resize(["a", "b", "a", "b", "a"], n_rows)
    return rng.standard_normal((n_rows, n_columns)) + gap * (y == "b")[:, None], y


def quick(generator=None, classifier=None, **keywords):
    settings = {"train_sizes": SIZES, "regimes": ALL, "ratios": (1, 3), "cv": 3, "n_draws": 2}
    settings |= {"random_state": 0, **keywords}
    generator = GaussianCopula() if generator is None else generator
    classifier = GaussianNB() if classifier is None else classifier
    return GeneratorLearningCurve(generator, classifier, **settings)


@pytest.fixture(scope="module")
def study():
    return quick().fit(*classes_apart())


class CountingCopies(BootstrapRows):
    """Copies of training rows; every fit leaves a line in a file."""

    def __init__(self, log=None, *, random_state=None):
        super().__init__(random_state=random_state)
        self.log = log

    _parameter_constraints = {**BootstrapRows._parameter_constraints, "log": [str]}

    def fit(self, X, y=None):
        with open(self.log, "a") as file:
            file.write(f"{len(X)}\n")
        return super().fit(X)


def lines(log):
    return len(Path(log).read_text().splitlines()) if Path(log).exists() else 0


# Subsets


def test_every_prefix_of_a_stratified_order_holds_the_classes_in_their_shares():
    codes = np.repeat([0, 1], [70, 30])
    order = stratified_order(codes, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    held = np.cumsum(codes[order] == 1)
    assert np.abs(held - 0.3 * np.arange(1, 101)).max() <= 1
    assert not np.array_equal(order, stratified_order(codes, np.random.default_rng(1)))


def test_stratified_rows_follow_largest_remainders():
    codes = np.repeat([0, 1, 2], [50, 30, 20])
    rows = stratified_rows(codes, 7, np.random.default_rng(0))
    # 3.5, 2.1 and 1.4 rows: the remainder goes to the first class.
    assert np.bincount(codes[rows]).tolist() == [4, 2, 1]
    assert len(set(rows)) == 7


def test_larger_stratified_draws_hold_the_smaller_ones():
    codes = np.repeat([0, 1], [60, 40])
    small, large = (stratified_rows(codes, n, np.random.default_rng(3)) for n in (20, 50))
    assert set(small) <= set(large)


def test_seeds_of_places_are_stable_and_differ():
    seeds = {place_seed(5, purpose, 0, 1, n) for purpose in ("rows", "sample") for n in range(50)}
    assert len(seeds) == 100
    assert place_seed(5, "rows", 0, 1, 2) == place_seed(5, "rows", 0, 1, 2)
    assert place_seed(6, "rows", 0, 1, 2) != place_seed(5, "rows", 0, 1, 2)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([0.1, 0.5, 1.0], [8, 40, 80]),
        ([20, 10, 20], [10, 20]),
        ([1.0], [80]),
        ([5.0, 10.0], [5, 10]),
    ],
)
def test_sizes_are_rows_or_shares(sizes, expected):
    assert check_train_sizes(sizes, 80) == expected


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([], "is empty"),
        ([10, 81], "only 80 rows are there"),
        ([0.5, 1.5], "mixes shares and numbers"),
        ([0, 10], "at least 1 row"),
        (["ten"], "numbers of rows or shares"),
        ([np.nan, 0.5], "NaN"),
    ],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        check_train_sizes(sizes, 80)


# The table of results


def test_results_hold_every_cell_once(study):
    table = study.results_
    columns = ["repeat", "fold", "draw", "n_train", "n_synth", "regime", "classifier", "metric"]
    assert list(table.columns) == [
        *columns,
        "score",
        "fit_time",
        "sample_time",
        "train_time",
        "error",
    ]
    names = ["real", "synth", "pilot", *(f"{w}_{r}" for w in ALL[3:] for r in (1, 3))]
    # 3 folds, 2 draws, 4 sizes, 9 regimes, 3 metrics
    assert len(table) == 3 * 2 * 4 * 9 * 3
    assert not table.duplicated(columns).any()
    assert list(dict.fromkeys(table["regime"])) == names
    assert table["score"].between(0, 1).all()
    assert (table["error"] == "").all()
    assert study.classes_.tolist() == ["a", "b"]
    assert study.train_sizes_ == SIZES


def test_rows_that_are_added_are_counted(study):
    counts = study.results_.groupby(["regime", "n_train"])["n_synth"].unique().map(list)
    assert counts["real", 24] == [0]
    assert counts["synth", 24] == [24]
    assert counts["pilot", 24] == [100]
    for word in ("augmented", "bootstrap", "smote"):
        assert counts[f"{word}_1", 24] == [24]
        assert counts[f"{word}_3", 24] == [72]


def test_scores_are_those_of_a_plain_fit_on_the_same_rows():
    X, y = classes_apart()
    study = quick(regimes=("real",), train_sizes=[1.0], scoring="accuracy", n_draws=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        study.fit(X, y)
    splitter = StratifiedKFold(3, shuffle=True, random_state=place_seed(_entropy(0), "folds", 0))
    expected = [
        GaussianNB().fit(X[train], y[train]).score(X[test], y[test])
        for train, test in splitter.split(X, y)
    ]
    np.testing.assert_allclose(study.results_["score"], expected, rtol=0, atol=1e-12)


def _entropy(seed):
    from synth_estimators._random import draw_seed

    return draw_seed(seed)


def test_a_good_generator_is_worth_about_as_much_as_real_rows(study):
    means = study.results_.query("metric == 'roc_auc' and n_train == 96")
    means = means.groupby("regime")["score"].mean()
    assert abs(means["synth"] - means["real"]) < 0.03


def test_a_generator_that_loses_the_signal_shows_in_synth_only():
    """Classes differ in the product of two columns, which independent columns do not keep."""
    rng = np.random.default_rng(0)
    y = np.resize([0, 1], 200)
    u, v = rng.standard_normal((2, 200))
    X = np.column_stack([u, np.where(y == 1, u, -u) + 0.3 * v])
    study = quick(
        IndependentColumns(),
        KNeighborsClassifier(5),
        regimes=("real", "synth"),
        train_sizes=[30, 60, 90, 130],
        scoring="roc_auc",
        n_draws=1,
    ).fit(X, y)
    means = study.results_.query("n_train == 130").groupby("regime")["score"].mean()
    assert means["real"] > 0.85
    # 0.5 but for the 67 rows of a test fold and chance neighbours: three standard errors.
    assert abs(means["synth"] - 0.5) < 0.13


def test_labels_of_any_kind_give_the_same_scores():
    X, y = classes_apart(90)
    one, other = (
        quick(regimes=("real", "synth"), train_sizes=[10, 20, 30, 40]).fit(X, labels)
        for labels in (y, np.where(y == "a", 3, 7))
    )
    np.testing.assert_array_equal(one.results_["score"], other.results_["score"])
    assert other.classes_.tolist() == [3, 7]


def test_frames_and_arrays_give_the_same_scores():
    X, y = classes_apart(90)
    keywords = {"regimes": ("real", "synth", "smote"), "ratios": 1, "n_draws": 1}
    keywords["train_sizes"] = [10, 20, 30, 40]
    frame = pd.DataFrame(X, columns=["u", "v", "w"], index=np.arange(90) * 3 + 5)
    one, other = quick(**keywords).fit(X, y), quick(**keywords).fit(frame, pd.Series(y))
    np.testing.assert_allclose(one.results_["score"], other.results_["score"], atol=1e-12)
    assert other.feature_names_in_.tolist() == ["u", "v", "w"]


def test_mixed_tables_with_missing_cells():
    rng = np.random.default_rng(0)
    y = np.resize(["ill", "well", "ill"], 120)
    X = pd.DataFrame(
        {
            "dose": rng.standard_normal(120) + 2 * (y == "ill"),
            "sex": rng.choice(["f", "m"], 120),
            "stage": pd.Categorical(np.where(y == "ill", "III", "I")),
        }
    )
    X.loc[::7, "dose"] = np.nan
    study = quick(
        IndependentColumns(),
        LogisticRegression(),
        train_sizes=[15, 30, 50, 70],
        scoring="roc_auc",
        n_draws=1,
        ratios=1,
    ).fit(X, y)
    assert (study.results_["error"] == "").all()
    assert study.results_["score"].min() > 0.9


def test_several_classifiers_and_scorers_by_name():
    X, y = classes_apart(90)
    study = quick(
        classifier={"bayes": GaussianNB(), "none": DummyClassifier()},
        regimes=("real",),
        train_sizes=[10, 20, 30, 40],
        scoring=["roc_auc", "neg_log_loss", "balanced_accuracy"],
    ).fit(X, y)
    means = study.results_.groupby(["classifier", "metric"])["score"].mean()
    assert means["none", "roc_auc"] == 0.5
    assert means["none", "balanced_accuracy"] == 0.5
    assert means["bayes", "roc_auc"] > 0.9
    assert means["bayes", "neg_log_loss"] < 0


def test_three_classes_of_which_small_subsets_lack_one():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [60, 50, 10])
    X = rng.standard_normal((120, 2)) + 4 * y[:, None]
    study = quick(regimes=("real", "bootstrap"), train_sizes=[4, 20, 40, 70], cv=5).fit(X, y)
    means = study.results_.query("metric == 'f1_macro' and regime == 'real'")
    means = means.groupby("n_train")["score"].mean()
    # Four rows hold two of the three classes: at most two thirds of the mean F1.
    assert means[4] < 0.7
    assert means[70] > 0.85
    assert (study.results_["error"] == "").all()


@pytest.mark.parametrize("name", ["LOGIS", "SVM", "KNN", "RF", "XGB"])
@pytest.mark.filterwarnings("ignore:train_sizes holds 1 sizes")
def test_named_classifiers(name):
    X, y = classes_apart(100, gap=3)
    keywords = {"regimes": ("real",), "train_sizes": [40], "n_draws": 1, "cv": 2}
    study = quick(classifier=name.lower(), scoring="roc_auc", **keywords).fit(X * [1, 50, 1e4], y)
    assert study.results_["classifier"].unique().tolist() == [name]
    assert study.results_["score"].mean() > 0.9


# No leak


@pytest.mark.filterwarnings("ignore:train_sizes holds 3 sizes")
def test_a_memoriser_gains_nothing_on_labels_that_are_noise():
    rng = np.random.default_rng(0)
    # The AUC of 400 rows without any signal has a standard deviation of 0.03.
    X, y = rng.standard_normal((400, 4)), np.resize([0, 1], 400)
    rng.shuffle(y)
    study = quick(
        BootstrapRows(),
        LogisticRegression(),
        train_sizes=[20, 80, 320],
        cv=5,
        n_draws=1,
        scoring="roc_auc",
    ).fit(X, y)
    means = study.results_.query("n_train > 20").groupby("regime")["score"].mean()
    assert len(means) == 9
    assert means.between(0.4, 0.6).all(), means


class Spy(TransformerMixin, BaseEstimator):
    """Remembers in a file the first column of the rows and the batches it was fitted on."""

    def __init__(self, log=None):
        self.log = log

    def fit(self, X, y=None, *, batch=None):
        with open(self.log, "a") as file:
            file.write(" ".join(str(int(v)) for v in np.asarray(X)[:, 0]))
            file.write("|" + " ".join(np.asarray(batch).astype(str)) + "\n")
        self.shift_ = 1.0
        return self

    def transform(self, X, *, batch):
        assert len(batch) == len(X)
        return np.asarray(X) + self.shift_


def test_preprocessing_sees_training_rows_and_their_batches_only(tmp_path):
    X, y = classes_apart(60)
    X[:, 0] = np.arange(60)
    batch = np.array([f"b{i}" for i in range(60)])
    log = tmp_path / "spy"
    study = quick(
        preprocess=Spy(str(log)),
        regimes=("real", "synth"),
        train_sizes=[8, 12, 16, 20],
        n_draws=1,
    ).fit(X, y, batch=batch)
    seen = [line.split("|") for line in log.read_text().splitlines()]
    sizes = sorted({len(rows.split()) for rows, _ in seen})
    assert sizes == [8, 12, 16, 20, 40]
    for rows, batches in seen:
        assert [f"b{row}" for row in rows.split()] == batches.split()
    # The rows of all subsets of a fold stay inside its 40 training rows.
    whole = [set(rows.split()) for rows, _ in seen if len(rows.split()) == 40]
    assert len(whole) == 3
    assert all(any(set(rows.split()) <= fold for fold in whole) for rows, _ in seen)
    assert (study.results_["error"] == "").all()


def test_preprocessing_of_rows_changes_scale_free_scores_little():
    X, y = classes_apart(90)
    keywords = {"regimes": ("real",), "train_sizes": [10, 20, 30, 40]}
    plain = quick(**keywords).fit(X, y)
    scaled = quick(preprocess=StandardScaler(), **keywords).fit(X * [1, 100, 1e4], y)
    np.testing.assert_allclose(plain.results_["score"], scaled.results_["score"], atol=1e-9)


# Seeds, workers, memory


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_results_do_not_depend_on_workers(backend):
    table = classes_apart(60)
    keywords = {"train_sizes": [8, 14, 20, 30], "ratios": 1, "cv": 2}
    one = quick(**keywords).fit(*table).results_
    with joblib.parallel_config(backend=backend):
        two = quick(n_jobs=2, **keywords).fit(*table).results_
    times = ["fit_time", "sample_time", "train_time"]
    pd.testing.assert_frame_equal(
        one.drop(columns=times), two.drop(columns=times), check_exact=True
    )


def test_sizes_and_draws_can_be_added_without_changing_the_others():
    X, y = classes_apart()
    small = quick(regimes=("real", "augmented"), n_draws=1).fit(X, y).results_
    large = quick(regimes=("real", "augmented"), train_sizes=[*SIZES, 60], n_draws=2).fit(X, y)
    keys = ["fold", "draw", "n_train", "regime", "metric"]
    both = small.merge(large.results_, on=keys)
    assert len(both) == len(small)
    np.testing.assert_array_equal(both["score_x"], both["score_y"])


def test_global_generator_is_left_alone():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    quick(ratios=1, cv=2, train_sizes=[10, 20, 30, 40], n_draws=1).fit(*classes_apart(90))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_one_generator_a_fold_for_synth_and_one_a_subset_for_the_rest(tmp_path):
    X, y = classes_apart(90)
    log = str(tmp_path / "fits")
    one_class = ClassConditionalGenerator(CountingCopies(log))
    quick(one_class, regimes=("synth",), train_sizes=[10, 20, 30, 40]).fit(X, y)
    assert lines(log) == 3 * 2  # folds, classes
    Path(log).unlink()
    quick(one_class, regimes=("pilot", "augmented"), train_sizes=[10, 20, 30, 40]).fit(X, y)
    assert lines(log) == 3 * 2 * 4 * 2  # folds, draws, sizes, classes


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path):
    X, y = classes_apart(90)
    log = str(tmp_path / "fits")
    keywords = {
        "regimes": ("real", "augmented"),
        "ratios": (1,),
        "train_sizes": [10, 20, 30, 40],
        "memory": str(tmp_path / "memory"),
    }
    whole = quick(CountingCopies(log), **{**keywords, "memory": None}).fit(X, y)
    total = lines(log)
    assert total == 3 * 2 * 4 * 2
    Path(log).unlink()
    # Eight fits a unit: the third unit is interrupted at its second fit.
    Path(log).write_text("")
    interrupted = quick(Interrupted(log, str(tmp_path / "stop")), **keywords)
    Path(tmp_path / "stop").write_text("18")
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(X, y)
    assert lines(log) == 18
    Path(tmp_path / "stop").unlink()
    resumed = clone(interrupted).fit(X, y)
    # Two units were kept; the other four are fitted anew.
    assert lines(log) == 18 + 4 * 8
    np.testing.assert_array_equal(whole.results_["score"], resumed.results_["score"])
    again = clone(interrupted).fit(X, y)
    assert lines(log) == 18 + 4 * 8
    pd.testing.assert_frame_equal(again.results_, resumed.results_)


class Interrupted(CountingCopies):
    """Copies rows until a file asks to stop at a number of fits."""

    def __init__(self, log=None, stop=None, *, random_state=None):
        super().__init__(log, random_state=random_state)
        self.stop = stop

    _parameter_constraints = {**CountingCopies._parameter_constraints, "stop": [str]}

    def fit(self, X, y=None):
        super().fit(X)
        if Path(self.stop).exists() and lines(self.log) >= int(Path(self.stop).read_text()):
            raise KeyboardInterrupt
        return self


def test_memory_without_a_seed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs the same seeds; pass an int"):
        quick(memory=str(tmp_path), random_state=None).fit(*classes_apart(60))


# Failures


class Refuses(BootstrapRows):
    """Fails on fewer than 12 rows."""

    def fit(self, X, y=None):
        if len(X) < 12:
            raise ValueError("too few rows for me")
        return super().fit(X)


def test_a_generator_that_fails_leaves_a_reason_and_nan():
    X, y = classes_apart(90)
    study = quick(Refuses(), regimes=("real", "augmented"), ratios=1, train_sizes=[10, 20, 40, 60])
    with pytest.warns(FitFailedWarning, match="too few rows for me"):
        study.fit(X, y)
    table = study.results_
    failed = table.query("regime == 'augmented_1' and n_train <= 20")
    assert failed["score"].isna().all()
    assert failed["error"].str.contains("too few rows for me").all()
    assert failed["n_synth"].isna().all()
    assert table.query("regime == 'real' or n_train == 60")["score"].notna().all()


def test_error_score_is_used_or_the_failure_raised():
    X, y = classes_apart(90)
    keywords = {"regimes": ("augmented",), "ratios": 1, "train_sizes": [10, 20, 40, 60]}
    with pytest.warns(FitFailedWarning):
        study = quick(Refuses(), error_score=0.25, **keywords).fit(X, y)
    assert (study.results_.query("n_train == 10")["score"] == 0.25).all()
    with pytest.raises(ValueError, match="too few rows for me"):
        quick(Refuses(), error_score="raise", **keywords).fit(X, y)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"regimes": ("real", "dream")}, "Unknown regime 'dream'"),
        ({"regimes": ()}, "regimes is empty"),
        ({"ratios": (0, 1)}, "ratios must be numbers above 0"),
        ({"train_sizes": [10, 61]}, "only 60 rows are there"),
        ({"cv": 40}, r"Class 'b' has 36 rows, fewer than the 40 outer folds"),
        ({"scoring": "beauty"}, "scoring='beauty' is unknown"),
        ({"scoring": []}, "scoring is empty"),
        ({"classifiers": []}, "classifiers is empty"),
        ({"classifiers": [GaussianNB(), GaussianNB()]}, "Two classifiers are called 'GaussianNB'"),
        ({"cv": StratifiedKFold(3), "n_repeats": 2}, "pass a splitter that repeats"),
    ],
)
def test_bad_settings_are_refused(keywords, message):
    study = quick().set_params(**keywords)
    with pytest.raises(ValueError, match=message):
        study.fit(*classes_apart(90))


def test_a_regressor_is_no_classifier():
    from sklearn.linear_model import LinearRegression

    with pytest.raises(TypeError, match="is no classifier"):
        quick(classifier=LinearRegression()).fit(*classes_apart(60))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, None), "requires y to be passed"),
        (lambda X, y: (X, np.full(len(y), "a")), "one class only"),
        (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
        (lambda X, y: (X, np.where(np.arange(len(y)) == 3, None, y)), "labels are missing"),
        (lambda X, y: (np.where(X > 3, np.inf, X), y), "infinity"),
        (lambda X, y: (np.where(X > 1, np.nan, X), y), "NaN"),
        (lambda X, y: (pd.DataFrame(X, columns=list("aab")), y), "duplicated column names"),
        (lambda X, y: (X[:0], y[:0]), "0 sample"),
    ],
)
def test_bad_tables_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        quick(CalibratedGaussian("gaussian")).fit(*change(*classes_apart(60)))


def test_batches_are_checked():
    X, y = classes_apart(60)
    with pytest.raises(ValueError, match="preprocess is None"):
        quick().fit(X, y, batch=y)
    with pytest.raises(ValueError, match="one batch per row"):
        quick(preprocess=StandardScaler()).fit(X, y, batch=y[:3])


def test_few_sizes_warn_and_give_the_table():
    X, y = classes_apart(60)
    study = quick(regimes=("real",), train_sizes=[10, 20])
    with pytest.warns(UserWarning, match="holds 2 sizes; a curve needs three and its band four"):
        study.fit(X, y)
    assert study.curves_ == {}
    assert study.required_n(0.9).empty
    with pytest.raises(ValueError, match="has no curve"):
        study.exchange_rate("real")


def test_splitters_are_taken():
    study = quick(
        cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
        regimes=("real",),
        train_sizes=[10, 20, 30, 40],
    ).fit(*classes_apart(90))
    assert study.n_splits_ == 6
    assert study.results_["fold"].nunique() == 6


# Curves and what they say


def planted(curves, n_folds=6, sizes=(20, 40, 80, 160, 320), noise=0.0, seed=0):
    """Long table in which every regime follows its curve."""
    rng = np.random.default_rng(seed)
    rows = []
    for fold in range(n_folds):
        level = noise * rng.standard_normal()
        for regime, curve in curves.items():
            for n in sizes:
                score = curve(n) + level + 0.3 * noise * rng.standard_normal()
                rows.append((0, fold, 0, n, regime, "KNN", "accuracy", score))
    columns = ["repeat", "fold", "draw", "n_train", "regime", "classifier", "metric", "score"]
    return pd.DataFrame(rows, columns=columns)


def power(a, b, c):
    return lambda n: a - b * n ** (-c)


def as_study(table):
    """A fitted study that holds a planted table."""
    study = quick()
    study.results_ = table
    study.curves_ = fit_curves(table, n_train=400, n_test=80, random_state=0)
    study._n_outer_train, study._n_outer_test, study._band_seed = 400, 80, 0
    return study


def test_curves_recover_what_was_planted():
    study = as_study(planted({"real": power(0.9, 0.8, 0.5)}))
    curve = study.curves_["real", "KNN", "accuracy"].curve_
    np.testing.assert_allclose([curve.a_, curve.b_, curve.c_], [0.9, 0.8, 0.5], atol=1e-5)
    answer = study.required_n(0.86).iloc[0]
    assert answer["n"] == pytest.approx(400, rel=1e-4)
    assert study.required_n(0.95)["n"].tolist() == [np.inf]


def test_exchange_rate_of_rows_worth_a_quarter():
    """Synthetic rows that score as a quarter as many real ones have a rate of 1/4."""
    real = power(0.9, 0.8, 0.5)
    study = as_study(planted({"real": real, "synth": lambda n: real(n / 4)}))
    table = study.exchange_rate()
    far = table.loc[table["n_train"] >= 80]
    np.testing.assert_allclose(far["exchange_rate"], 0.25, rtol=1e-3)
    np.testing.assert_allclose(far["n_equivalent"], far["n_train"] / 4, rtol=1e-3)
    # Below the first real size the worth is 0.
    assert table.loc[table["n_train"] < 80, "exchange_rate"].tolist() == [0, 0]
    np.testing.assert_allclose(far[["low", "high"]], 0.25, rtol=1e-3)


def test_exchange_rate_is_infinite_above_the_real_asymptote():
    study = as_study(planted({"real": power(0.8, 0.8, 0.8), "synth": lambda n: 0.85}))
    assert np.isinf(study.exchange_rate()["exchange_rate"]).all()


def test_exchange_band_holds_the_rate_and_widens_with_noise():
    real = power(0.9, 0.8, 0.5)
    regimes = {"real": real, "synth": lambda n: real(n / 2)}
    widths = []
    for noise in (0.002, 0.01):
        table = as_study(planted(regimes, noise=noise)).exchange_rate().query("n_train == 160")
        assert table["low"].item() <= 0.5 <= table["high"].item()
        widths.append(table["high"].item() - table["low"].item())
    assert widths[0] < widths[1]
    plain = as_study(planted(regimes, noise=0.01)).exchange_rate(n_bootstrap=0)
    assert plain["low"].isna().all()


def test_plateau_of_a_planted_curve():
    table = as_study(planted({"real": power(0.9, 1.0, 0.5)})).plateau_n()
    # b n^-c (1 - 2^-c) = 0.01
    expected = (1.0 * (1 - 2**-0.5) / 0.01) ** 2
    assert table["plateau_n"].item() == pytest.approx(expected, rel=1e-2)


def test_comparison_is_the_corrected_resampled_t():
    table = planted({"real": power(0.9, 0.8, 0.5), "synth": power(0.85, 0.8, 0.5)}, noise=0.02)
    study = as_study(table)
    rows = study.compare("real", "synth")
    wide = table.pivot_table(index="fold", columns=["regime", "n_train"], values="score")
    d = (wide["real"] - wide["synth"]).to_numpy()
    t = d.mean(axis=0) / np.sqrt((1 / 6 + 80 / 400) * d.var(axis=0, ddof=1))
    np.testing.assert_allclose(rows["statistic"], t, rtol=1e-10)
    np.testing.assert_allclose(rows["pvalue"], 2 * stats.t.sf(abs(t), 5), rtol=1e-10)
    # Holm: the smallest p-value times the number of sizes.
    assert rows["pvalue_holm"].min() == pytest.approx(5 * rows["pvalue"].min())
    assert (rows["pvalue_holm"] >= rows["pvalue"]).all()
    other = study.compare("synth", "real")
    np.testing.assert_allclose(other["difference"], -rows["difference"])


def test_comparison_averages_the_draws_of_a_fold():
    table = planted({"real": power(0.9, 0.8, 0.5), "synth": power(0.85, 0.8, 0.5)}, noise=0.02)
    doubled = pd.concat([table, table.assign(draw=1)], ignore_index=True)
    keywords = {"n_train": 400, "n_test": 80}
    pd.testing.assert_frame_equal(
        compare_regimes(table, "real", "synth", **keywords),
        compare_regimes(doubled, "real", "synth", **keywords),
    )


def test_comparison_with_a_region_of_equivalence():
    table = planted({"real": power(0.9, 0.8, 0.5), "synth": power(0.9, 0.8, 0.5)}, noise=1e-4)
    rows = compare_regimes(table, "real", "synth", n_train=400, n_test=80, rope=0.01)
    assert (rows["p_equivalent"] > 0.99).all()
    sums = rows[["p_worse", "p_equivalent", "p_better"]].sum(axis=1)
    np.testing.assert_allclose(sums, 1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"other": "dream"}, "Unknown regime 'dream'"),
        ({"other": "real"}, "are both 'real'"),
        ({"classifier": "SVM"}, "Unknown classifier 'SVM'"),
        ({"metric": "auc"}, "Unknown metric 'auc'"),
    ],
)
def test_bad_comparisons_are_refused(keywords, message):
    table = planted({"real": power(0.9, 0.8, 0.5), "synth": power(0.9, 0.8, 0.5)})
    with pytest.raises(ValueError, match=message):
        as_study(table).compare("real", **{"other": "synth", **keywords})
    with pytest.raises(ValueError, match=re.escape("lacks the columns ['score']")):
        compare_regimes(table.drop(columns="score"), "real", "synth", n_train=4, n_test=1)


# Arrays


def test_arrays_have_the_shapes_of_scikit_learn():
    X, y = classes_apart()
    sizes, train, test = synthetic_learning_curve(
        GaussianCopula(), GaussianNB(), X, y, train_sizes=SIZES, n_draws=2, cv=3, random_state=0
    )
    assert sizes.tolist() == SIZES
    assert train.shape == test.shape == (4, 6)
    # The same seeds as in the study.
    study = quick(regimes=("synth",), scoring="accuracy").fit(X, y)
    wide = study.results_.set_index(["n_train", "fold", "draw"])["score"].unstack("n_train")
    np.testing.assert_array_equal(test, wide.to_numpy().T)
    assert train.mean() > test.mean() - 0.05


def test_arrays_with_times_and_other_regimes():
    X, y = classes_apart(90)
    out = synthetic_learning_curve(
        GaussianCopula(),
        GaussianNB(),
        X,
        y,
        regime="augmented",
        ratio=2,
        train_sizes=[10, 20, 30, 40],
        return_times=True,
        random_state=0,
    )
    assert [part.shape for part in out] == [(4,), *[(4, 5)] * 4]
    assert (out[3] > 0).all()
    assert (out[4] > 0).all()


def test_arrays_hold_one_metric():
    X, y = classes_apart(60)
    with pytest.raises(ValueError, match="scores of one metric"):
        synthetic_learning_curve(
            GaussianCopula(), GaussianNB(), X, y, scoring=None, train_sizes=[5, 10, 20, 30]
        )
    with pytest.raises(TypeError, match="must be one word"):
        synthetic_learning_curve(GaussianCopula(), GaussianNB(), X, y, regime=("real", "synth"))


def test_study_survives_joblib(study, tmp_path):
    joblib.dump(study, tmp_path / "study")
    loaded = joblib.load(tmp_path / "study")
    pd.testing.assert_frame_equal(loaded.results_, study.results_)
    pd.testing.assert_frame_equal(loaded.required_n(0.9), study.required_n(0.9))


class Turned(BaseEstimator):
    """Gives training rows, as a frame with the columns in another order."""

    def __init__(self, n_lost=0, random_state=None):
        self.n_lost = n_lost
        self.random_state = random_state

    def fit(self, X, y):
        self.X_, self.y_ = X, np.asarray(y)
        return self

    def sample(self, n_samples=1, *, random_state=None):
        return self.X_.sample(n_samples, replace=True, random_state=random_state)

    def sample_labeled(self, n_samples=1, *, class_counts=None, random_state=None):
        rng = np.random.default_rng(random_state)
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(self.y_ == c), n) for c, n in class_counts.items()]
        )
        columns = list(self.X_.columns[::-1])[self.n_lost :]
        return self.X_.iloc[rows][columns], self.y_[rows]


def test_columns_of_sampled_rows_go_by_name():
    X, y = classes_apart()
    X = pd.DataFrame(X * [1.0, -1.0, 5.0], columns=["a", "b", "c"])
    results = quick(Turned(), regimes=("real", "synth", "pilot"), scoring="accuracy").fit(X, y)
    means = results.results_.groupby("regime")["score"].mean()
    assert (means > 0.8).all()
    with pytest.warns(FitFailedWarning, match="3 columns, but its rows have the shape"):
        quick(Turned(n_lost=1), regimes=("synth",), scoring="accuracy").fit(X, y)


def test_metric_without_a_value_has_a_reason():
    X, y = classes_apart(100)
    order = np.argsort(y, kind="stable")
    halves = [(order[:70:2], order[1:40:2]), (order[::2], order[1::2])]
    study = quick(regimes=("real",), cv=halves, train_sizes=[8, 16, 24, 32])
    with pytest.warns(FitFailedWarning, match="roc_auc has no value"):
        study.fit(X, y)
    table = study.results_.query("fold == 0").set_index("metric")
    assert table.loc["roc_auc", "score"].isna().all()
    assert (table.loc["roc_auc", "error"] != "").all()
    assert (table.loc["accuracy", "error"] == "").all()
    with pytest.raises(ValueError, match="roc_auc has no value"):
        study.set_params(error_score="raise").fit(X, y)


def test_numeric_error_score_outside_the_range_of_the_metric():
    class Choosy(BootstrapRows):
        def fit(self, X, y=None):
            if len(X) < 8:
                raise ValueError("too few rows")
            return super().fit(X, y)

    with pytest.warns(FitFailedWarning, match="too few rows"):
        study = quick(Choosy(), regimes=("pilot",), scoring="accuracy", error_score=-1.0).fit(
            *classes_apart()
        )
    assert study.results_["score"].min() == -1.0
    assert ("pilot", "GaussianNB", "accuracy") in study.curves_


def test_regimes_without_a_size_in_common(study):
    results = study.results_
    part = results[(results["regime"] != "synth") | (results["metric"] != "accuracy")]
    with pytest.raises(ValueError, match="no size in common for GaussianNB and accuracy"):
        compare_regimes(part, "real", "synth", n_train=100, n_test=50)
    kept = compare_regimes(part, "real", "synth", n_train=100, n_test=50, metric="roc_auc")
    assert kept["n_train"].tolist() == SIZES


def test_exchange_rate_of_one_fold_has_no_band():
    rows = np.arange(150)
    study = quick(regimes=("real", "synth"), cv=[(rows[50:], rows[:50])], scoring="accuracy").fit(
        *classes_apart()
    )
    with pytest.warns(UndefinedMetricWarning, match="fewer than two of them"):
        table = study.exchange_rate()
    assert table["low"].isna().all()
    assert table["exchange_rate"].notna().all()


def test_folds_and_sizes_share_one_encoding():
    X, y = classes_apart()
    X = pd.DataFrame(X * [1.0, 100.0, 0.01], columns=["a", "b", "c"])
    X.loc[149, "b"] = np.nan
    # The first fold never meets the missing cell, the second has it in a test row.
    folds = [(np.arange(70), np.arange(70, 120)), (np.arange(70), np.arange(70, 150))]
    study = quick(
        BootstrapRows(), ColumnScales(), regimes=("real",), cv=folds, train_sizes=[20, 40, 60]
    )
    with pytest.warns(UserWarning, match="holds 3 sizes"):
        study.set_params(scoring=lambda model, X, y: model.estimator.spread_).fit(X, y)
    np.testing.assert_allclose(study.results_["score"], 1.0)


class ColumnScales(GaussianNB):
    """Remembers the largest standard deviation of a column."""

    def fit(self, X, y):
        self.spread_ = float(X.std(axis=0).max())
        return super().fit(X, y)
