import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold

from synth_estimators.model_selection import _sample_sizes as module
from synth_estimators.model_selection import evaluate_sample_sizes, fit_curve

PUBLISHED = ["total_size", "draw", "method", "f1_score", "accuracy", "auc"]
ADDED = [
    "n_train",
    "fold_sd_f1_score",
    "fold_sd_accuracy",
    "fold_sd_auc",
    "n_failed",
    "regime",
]


def make_rows(n_rows=120, n_columns=6, *, seed=0, effect=1.5, n_classes=2):
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % n_classes
    X = rng.standard_normal((n_rows, n_columns))
    X[:, 0] += effect * y
    return pd.DataFrame(X, columns=list("abcdef")[:n_columns]), np.array(["no", "yes", "so"])[y]


def evaluate(*tables, sample_sizes=(40, 80), **kwargs):
    options = {"methods": ["KNN", "XGB"], "n_draws": 2, "random_state": 0}
    return evaluate_sample_sizes(*tables, sample_sizes=sample_sizes, **(options | kwargs))


def test_table_has_the_published_columns_first():
    table = evaluate(*make_rows(), regime="pilot")
    assert list(table.columns) == PUBLISHED + ADDED
    expected = [(n, d, m) for n in (40, 80) for d in (0, 1) for m in ("KNN", "XGB")]
    assert list(zip(table["total_size"], table["draw"], table["method"], strict=True)) == expected
    np.testing.assert_allclose(table["n_train"], 0.8 * table["total_size"])
    assert (table["regime"] == "pilot").all()
    assert (table["n_failed"] == 0).all()
    assert table[["f1_score", "accuracy", "auc"]].min().min() > 0.4
    assert (table["fold_sd_accuracy"] > 0).all()


def test_all_five_methods_by_default():
    rows = make_rows(effect=4.0)
    table = evaluate(*rows, sample_sizes=[60], methods=None, n_draws=1)
    assert table["method"].tolist() == ["LOGIS", "SVM", "KNN", "RF", "XGB"]
    assert (table["auc"] > 0.9).all()


def test_scores_do_not_depend_on_jobs_backend_or_company():
    X, y = make_rows()
    table = evaluate(X, y, methods=["LOGIS", "RF", "SVM"])
    pd.testing.assert_frame_equal(table, evaluate(X, y, methods=["LOGIS", "RF", "SVM"], n_jobs=2))
    import joblib

    with joblib.parallel_config("threading"):
        threads = evaluate(X, y, methods=["LOGIS", "RF", "SVM"], n_jobs=2)
    pd.testing.assert_frame_equal(table, threads)
    alone = evaluate(X, y, methods="RF", sample_sizes=[80])
    expected = table[(table["method"] == "RF") & (table["total_size"] == 80)]
    pd.testing.assert_frame_equal(alone, expected.reset_index(drop=True))


def test_draws_have_seeds_of_their_own():
    table = evaluate(*make_rows(), n_draws=4, methods="KNN", sample_sizes=[120])
    # All rows are in every draw, so that folds alone differ.
    assert table["accuracy"].nunique() > 1
    assert not evaluate(*make_rows(), random_state=1).equals(evaluate(*make_rows()))


def test_an_int_asks_for_equally_spaced_sizes():
    table = evaluate(*make_rows(90), sample_sizes=3, methods="KNN", n_draws=1)
    assert table["total_size"].tolist() == [30, 60, 90]


def test_sizes_can_count_training_rows():
    table = evaluate(*make_rows(), sample_sizes=[32, 64], n_axis="train", methods="KNN")
    assert table["total_size"].unique().tolist() == [40, 80]
    assert table["n_train"].unique().tolist() == [32, 64]
    with pytest.raises(ValueError, match="only 96 rows"):
        evaluate(*make_rows(), sample_sizes=[100], n_axis="train")


def test_fixed_test_rows():
    X, y = make_rows(effect=4.0)
    X_test, y_test = make_rows(seed=1, effect=4.0)
    table = evaluate(X, y, X_test=X_test[list("fedcba")], y_test=y_test)
    np.testing.assert_array_equal(table["n_train"], table["total_size"])
    assert table["fold_sd_auc"].isna().all()
    assert table["auc"].min() > 0.9


def test_test_rows_are_scaled_by_the_training_rows():
    # Test rows shifted as a whole lie on one side; standardising them apart would hide it.
    X, y = make_rows(effect=4.0)
    X_test, y_test = make_rows(seed=1, effect=4.0)
    table = evaluate(X, y, X_test=X_test + 50, y_test=y_test, sample_sizes=[100], methods="LOGIS")
    assert (table["accuracy"] == 0.5).all()


def test_pure_noise_scores_one_half():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((120, 40)), np.arange(120) % 2
    table = evaluate(X, y, sample_sizes=[120], methods=None, n_draws=3)
    assert abs(table["auc"].mean() - 0.5) < 0.1


def test_three_classes():
    table = evaluate(*make_rows(150, n_classes=3), methods=None, sample_sizes=[120], n_draws=1)
    assert table["auc"].between(0.6, 1).all()


def test_labels_of_any_type_are_the_same_classes():
    X, y = make_rows()
    codes = (y == "yes").astype(int)
    tables = [evaluate(X, labels) for labels in (codes, codes.astype(float), codes.astype(str))]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])


def test_counts_are_logged():
    X, y = make_rows()
    counts = np.exp2(X + 5) - 1
    logged = evaluate(counts, y, apply_log=True, methods="KNN")
    pd.testing.assert_frame_equal(logged, evaluate(X + 5, y, methods="KNN"))
    with pytest.raises(ValueError, match="no log2"):
        evaluate(X, y, apply_log=True)


def test_mixed_tables_with_missing_cells():
    X, y = make_rows()
    X["sex"] = np.where(np.arange(120) % 4 < 2, "f", "m")
    X["seen"] = np.where(y == "yes", "often", "never")
    X.loc[::7, "b"] = np.nan
    table = evaluate(X, y, methods=None, n_draws=1)
    assert (table["auc"] > 0.8).all()


def test_constant_columns_do_no_harm():
    X, y = make_rows()
    table = evaluate(X.assign(g=3.0), y, methods=["LOGIS", "KNN", "SVM"])
    pd.testing.assert_frame_equal(table, evaluate(X, y, methods=["LOGIS", "KNN", "SVM"]))


def test_a_splitter_of_its_own():
    cv = RepeatedStratifiedKFold(n_splits=4, n_repeats=2, random_state=0)
    table = evaluate(*make_rows(), cv=cv, methods="KNN")
    np.testing.assert_allclose(table["n_train"], 0.75 * table["total_size"])


def test_curve_of_one_method():
    table = evaluate(*make_rows(400), sample_sizes=[25, 50, 100, 200, 400], methods="KNN")
    fit = fit_curve(table, score="accuracy")
    assert fit.sizes_.tolist() == [20, 40, 80, 160, 320]
    assert 0.5 < fit.predict([1000])[0] <= 1


def fail_sometimes(X, codes, n_classes, seed):
    if len(X) > 40:
        raise ValueError("too many rows")
    return module_forest(X, codes, n_classes, seed)


def module_forest(*args):
    from synth_estimators.model_selection._fold_trees import fit_forest

    return fit_forest(*args)


def test_failed_fits_are_visible(monkeypatch):
    from synth_estimators.model_selection import _classifiers

    monkeypatch.setattr(_classifiers, "fit_forest", fail_sometimes)
    X, y = make_rows()
    with pytest.warns(FitFailedWarning, match="10 fits failed.*RF at 80 rows.*too many rows"):
        table = evaluate(X, y, methods=["KNN", "RF"])
    failed = (table["method"] == "RF") & (table["total_size"] == 80)
    assert table.loc[failed, "auc"].isna().all()
    assert (table.loc[failed, "n_failed"] == 5).all()
    assert table.loc[~failed, "auc"].notna().all()
    with pytest.raises(ValueError, match="too many rows"):
        evaluate(X, y, methods=["KNN", "RF"], error_score="raise")
    with pytest.warns(FitFailedWarning):
        assert evaluate(X, y, methods="RF", error_score=0.0).loc[2, "auc"] == 0


def test_memory_resumes_where_it_stopped(tmp_path, monkeypatch):
    X, y = make_rows()
    expected = evaluate(X, y)
    calls = []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return judge(*args)

    judge = module.judge_fold
    monkeypatch.setattr(module, "judge_fold", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(X, y, memory=str(tmp_path))
    # Two draws of five folds were done; ten folds are left.
    table = evaluate(X, y, memory=str(tmp_path))
    assert len(calls) == 12 + 10
    pd.testing.assert_frame_equal(table, expected)
    evaluate(X, y, memory=str(tmp_path))
    assert len(calls) == 22
    evaluate(X + 1, y, memory=str(tmp_path))
    assert len(calls) == 42
    with pytest.raises(ValueError, match="pass an int as random_state"):
        evaluate(X, y, memory=str(tmp_path), random_state=None)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sample_sizes": [200]}, "holds 200, but only 120 rows"),
        ({"sample_sizes": []}, "sample_sizes is empty"),
        ({"sample_sizes": 121}, "do not fit into 120 rows"),
        ({"sample_sizes": [-5]}, "at least 1 row"),
        ({"sample_sizes": 2.5}, "list of sizes or the number"),
        ({"sample_sizes": [8]}, "has 4 of the class .* 5 folds need 5; use sizes of at least 10"),
        ({"methods": ["SVC"]}, "Unknown classifier 'SVC'"),
        ({"methods": []}, "methods is empty"),
        ({"n_draws": 0}, "n_draws=0"),
        ({"cv": 1}, "cv=1"),
        ({"n_axis": "rows"}, "n_axis='rows'"),
        ({"error_score": "ignore"}, "error_score='ignore'"),
        ({"X_test": make_rows()[0]}, "belong together"),
        ({"X_test": make_rows()[0].iloc[:1], "y_test": ["maybe"]}, "not in y"),
        ({"X_test": make_rows()[0].iloc[:1], "y_test": ["yes"]}, r"no row of the classes \['no'\]"),
        ({"X_test": make_rows()[0][["a"]], "y_test": make_rows()[1]}, "lacks|missing"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        evaluate(*make_rows(), **kwargs)


def test_logistic_regression_needs_rows_for_its_inner_folds():
    with pytest.raises(ValueError, match="inner folds of LOGIS need 7; use sizes of at least 14"):
        evaluate(*make_rows(), sample_sizes=[12], methods="LOGIS")
    evaluate(*make_rows(), sample_sizes=[14], methods="LOGIS")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(120), "one class only"),
        (np.arange(119), "119 labels"),
        ([None] * 60 + ["a"] * 60, "labels are missing"),
    ],
)
def test_bad_labels(y, message):
    with pytest.raises(ValueError, match=message):
        evaluate(make_rows()[0], y)


def test_infinite_cells_are_refused():
    X, y = make_rows()
    X.iloc[3, 2] = np.inf
    with pytest.raises(ValueError, match="'c' of X contains infinity"):
        evaluate(X, y)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
def test_scores_have_the_law_of_the_published_implementation():
    # 24 draws each of one law: the means differ by less than 4 standard errors.
    synthesize = pytest.importorskip("syng_bts.synthesize")
    X, y = make_rows(400, effect=1.0)
    ours = evaluate(X, y, sample_sizes=[60, 120], methods=None, n_draws=24)
    theirs = []
    for seed in range(24):
        table = synthesize.evaluate_sample_sizes(
            X, [60, 120], groups=y, n_draws=1, apply_log=False, verbose=0, random_seed=seed
        )
        theirs.append(table.assign(draw=seed))
    theirs = pd.concat(theirs)
    keys = ["total_size", "method"]
    for metric in ("f1_score", "accuracy", "auc"):
        a, b = (t.groupby(keys)[metric].agg(["mean", "var"]) for t in (ours, theirs))
        error = np.sqrt((a["var"] + b["var"]) / 24)
        assert ((a["mean"] - b["mean"]).abs() / error).max() < 4


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
def test_splitters_without_a_seed_of_their_own_repeat(seed):
    X, y = make_classification(80, 4, random_state=0)
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
    options = {"sample_sizes": [40, 80], "methods": "KNN", "n_draws": 2, "random_state": 0}
    first, second = (evaluate_sample_sizes(X, y, cv=splitter, **options) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
