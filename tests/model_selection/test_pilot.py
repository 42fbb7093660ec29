import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning

from synth_estimators import (
    BootstrapRows,
    CalibratedGaussian,
    ClassConditionalGenerator,
    GaussianCopula,
    IndependentColumns,
)
from synth_estimators.metrics import column_shapes_score
from synth_estimators.model_selection import _pilot_files, load_pilot_study, pilot_study


def table(n_rows=100, seed=0):
    rng = np.random.default_rng(seed)
    y = np.resize(["case", "control", "case", "case", "control"], n_rows)
    X = rng.standard_normal((n_rows, 3)) + 2.0 * (y == "case")[:, None]
    return X, y


def copies():
    return ClassConditionalGenerator(BootstrapRows())


class LoggedCopies(BootstrapRows):
    """Copies of rows; every fit leaves a line in a file, which can hold the number to stop at."""

    _parameter_constraints = {**BootstrapRows._parameter_constraints, "log": [str]}

    def __init__(self, log=None, *, random_state=None):
        super().__init__(random_state=random_state)
        self.log = log

    def fit(self, X, y=None):
        with open(self.log, "a") as file:
            file.write(f"{len(X)}\n")
        stop = Path(self.log + ".stop")
        if stop.exists() and fits(self.log) >= int(stop.read_text()):
            raise KeyboardInterrupt
        return super().fit(X)


def fits(log):
    return len(Path(log).read_text().splitlines())


class Refuses(BootstrapRows):
    def fit(self, X, y=None):
        if len(X) < 20:
            raise ValueError("too few rows for me")
        return super().fit(X)


@pytest.fixture(scope="module")
def study():
    X, y = table()
    return pilot_study(copies(), X, y, pilot_sizes=[20, 50], n_draws=3, random_state=0)


def test_every_size_and_draw_has_a_run(study):
    assert list(study.runs) == [(size, draw) for size in (20, 50) for draw in range(3)]
    assert study.results[["pilot_size", "draw", "n_samples"]].to_numpy().tolist() == [
        [size, draw, 100] for size in (20, 50) for draw in range(3)
    ]
    assert (study.results["error"] == "").all()
    assert (study.results[["fit_time", "sample_time"]] > 0).all(axis=None)


def test_draws_are_stratified_by_largest_remainders(study):
    y = table()[1]
    for (size, _), run in study.runs.items():
        assert len(set(run.indices)) == size
        assert (y[run.indices] == "case").sum() == round(0.6 * size)


def test_rows_come_from_the_pilot_and_bear_the_label_of_their_row(study):
    X, y = table()
    for run in study.runs.values():
        owner = {
            tuple(row): label for row, label in zip(X[run.indices], y[run.indices], strict=True)
        }
        assert [owner[tuple(row)] for row in run.X_synth] == run.y_synth.tolist()
        assert (run.y_synth == "case").sum() == 60


def test_larger_pilots_of_a_draw_hold_the_smaller_ones(study):
    for draw in range(3):
        small, large = study.runs[20, draw].indices, study.runs[50, draw].indices
        assert len(set(small) - set(large)) <= 1
    assert set(study.runs[20, 0].indices) != set(study.runs[20, 1].indices)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_results_do_not_depend_on_workers(backend, study):
    X, y = table()
    with joblib.parallel_config(backend=backend):
        other = pilot_study(
            copies(), X, y, pilot_sizes=[50, 20], n_draws=3, random_state=0, n_jobs=2
        )
    for place, run in study.runs.items():
        np.testing.assert_array_equal(run.X_synth, other.runs[place].X_synth)
        np.testing.assert_array_equal(run.y_synth, other.runs[place].y_synth)
        np.testing.assert_array_equal(run.indices, other.runs[place].indices)


def test_without_labels_any_generator_is_taken():
    X, _ = table()
    study = pilot_study(GaussianCopula(), X, pilot_sizes=30, n_draws=2, n_samples=7, random_state=0)
    assert study.runs[30, 1].X_synth.shape == (7, 3)
    assert study.runs[30, 1].y_synth is None
    assert not np.array_equal(study.runs[30, 0].X_synth, study.runs[30, 1].X_synth)


def test_scores_are_those_of_the_metric_on_the_rows_left_out():
    X, _ = table()
    study = pilot_study(
        BootstrapRows(),
        X,
        pilot_sizes=[40],
        n_draws=2,
        evaluate=["column_shapes_score", "exact_copy_share"],
        random_state=0,
    )
    run = study.runs[40, 1]
    rest = np.setdiff1d(np.arange(100), run.indices)
    assert study.results["column_shapes_score"][1] == column_shapes_score(X[rest], run.X_synth)
    # Every row is a copy of a row of the pilot, which the metric gets as X_train.
    assert (study.results["exact_copy_share"] == 1).all()


def test_labels_are_the_target_of_a_metric():
    X, y = table(200)
    study = pilot_study(
        copies(), X, y, pilot_sizes=[60], n_draws=1, evaluate="tstr_score", random_state=0
    )
    assert study.results["tstr_score"].item() > 0.9
    random = pilot_study(
        copies(),
        X,
        np.random.default_rng(0).permutation(y),
        pilot_sizes=[60],
        n_draws=1,
        evaluate="tstr_score",
        random_state=0,
    )
    assert abs(random.results["tstr_score"].item() - 0.5) < 0.2


def test_own_functions_and_rows_to_compare_with():
    X, y = table()

    def first_mean(X_real, X_synth):
        return {"real": float(np.mean(X_real["x0"])), "rows": float(len(X_synth))}

    study = pilot_study(
        copies(),
        X,
        y,
        pilot_sizes=[30],
        n_draws=1,
        evaluate=first_mean,
        X_test=X + 100,
        y_test=y,
        random_state=0,
    )
    assert study.results["real"].item() == pytest.approx(X[:, 0].mean() + 100)
    assert study.results["rows"].item() == 100


def test_a_pilot_of_all_rows_leaves_nothing_to_compare_with():
    X, _ = table(40)
    with pytest.warns(UndefinedMetricWarning, match="the draw took every row of X; pass X_test"):
        study = pilot_study(
            GaussianCopula(), X, pilot_sizes=[40], n_draws=1, evaluate="column_shapes_score"
        )
    assert study.results["column_shapes_score"].isna().all()
    assert study.runs[40, 0].X_synth is not None


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path):
    X, _ = table()
    log = str(tmp_path / "log")
    keywords = {"pilot_sizes": [20, 40], "n_draws": 3, "random_state": 0}
    keywords["memory"] = str(tmp_path / "memory")
    Path(log + ".stop").write_text("4")
    with pytest.raises(KeyboardInterrupt):
        pilot_study(LoggedCopies(log), X, **keywords)
    assert fits(log) == 4
    Path(log + ".stop").unlink()
    study = pilot_study(LoggedCopies(log), X, **keywords)
    # Three runs were finished; the fourth and two more are fitted now.
    assert fits(log) == 4 + 3
    again = pilot_study(LoggedCopies(log), X, **keywords)
    assert fits(log) == 7
    pd.testing.assert_frame_equal(study.results, again.results)
    pilot_study(LoggedCopies(log), X + 1, **keywords)
    assert fits(log) == 13


def test_failures_leave_their_reason():
    X, _ = table()
    with pytest.warns(FitFailedWarning, match="too few rows for me"):
        study = pilot_study(
            Refuses(), X, pilot_sizes=[10, 40], n_draws=2, evaluate="column_shapes_score"
        )
    assert study.results["error"].str.contains("too few rows").tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert study.results["column_shapes_score"].isna().tolist() == [True, True, False, False]
    assert study.runs[10, 0].X_synth is None
    with pytest.raises(ValueError, match="too few rows for me"):
        pilot_study(Refuses(), X, pilot_sizes=[10], n_draws=1, error_score="raise")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"pilot_sizes": [101]}, "X has 100 rows; use sizes of at most 100"),
        ({"pilot_sizes": []}, "pilot_sizes is empty"),
        ({"pilot_sizes": [0, 5]}, "whole numbers of at least 1"),
        ({"pilot_sizes": [0.5]}, "whole numbers of at least 1"),
        ({"n_draws": 0}, "n_draws=0 must be an integer of at least 1"),
        ({"n_samples": 0}, "n_samples=0 must be an integer of at least 1"),
        ({"evaluate": "beauty"}, "evaluate='beauty' is unknown"),
        ({"error_score": "ignore"}, "error_score='ignore'"),
        ({"memory": "somewhere"}, "needs the same seeds"),
        ({"y_test": [1]}, "y_test was given without X_test"),
    ],
)
def test_bad_calls_are_refused(keywords, message):
    X, y = table()
    with pytest.raises(ValueError, match=message):
        pilot_study(copies(), X, y, **{"pilot_sizes": [20], "n_draws": 1, **keywords})


def test_a_class_without_rows_is_named():
    X, _ = table()
    y = np.repeat(["common", "rare"], [97, 3])
    with pytest.raises(ValueError, match=r"A pilot of 10 rows holds no row of class 'rare' \(3 of"):
        pilot_study(copies(), X, y, pilot_sizes=[10, 50])


def test_metrics_that_need_labels_say_so():
    X, y = table()
    with pytest.raises(ValueError, match=r"needs \['target'\].*pass y and a generator with"):
        pilot_study(IndependentColumns(), X, y, pilot_sizes=[20], evaluate="tstr_score")


@pytest.mark.parametrize("X", [np.zeros((0, 3)), np.zeros(4)])
def test_bad_tables_are_refused(X):
    with pytest.raises(ValueError, match="expected a table with at least one row and column"):
        pilot_study(copies(), X, pilot_sizes=[1])


def test_bad_estimators_are_refused():
    with pytest.raises(TypeError, match="is no generator"):
        pilot_study(object(), table()[0], pilot_sizes=[10])


# Saving


def mixed_frame(n_rows=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "dose": rng.standard_normal(n_rows),
            "count": rng.integers(0, 9, n_rows).astype("int16"),
            "sex": rng.choice(["f", "m"], n_rows),
            "stage": pd.Categorical(rng.choice(["I", "II"], n_rows), ["I", "II", "III"]),
            "seen": pd.date_range("2020-01-01", periods=n_rows),
            "ok": rng.random(n_rows) < 0.5,
        }
    )


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("parquet", [True, False])
def test_a_saved_study_comes_back(tmp_path, monkeypatch, parquet, numbered):
    if parquet:
        pytest.importorskip("pyarrow")
    else:
        monkeypatch.setattr(_pilot_files.importlib.util, "find_spec", lambda name: None)
    X = mixed_frame()
    study = pilot_study(
        BootstrapRows(),
        X.set_axis(range(X.shape[1]), axis=1) if numbered else X,
        pilot_sizes=[20],
        n_draws=2,
        evaluate="column_shapes_score",
        random_state=0,
    )
    path = study.save(tmp_path / "made" / "pilot")
    assert any(file.suffix == (".parquet" if parquet else ".csv") for file in path.iterdir())
    loaded = load_pilot_study(path)
    pd.testing.assert_frame_equal(loaded.results, study.results, check_exact=True)
    for place, run in study.runs.items():
        other = loaded.runs[place]
        pd.testing.assert_frame_equal(other.X_synth, run.X_synth, check_exact=True)
        np.testing.assert_array_equal(other.indices, run.indices)
        assert other.y_synth is None
        pd.testing.assert_frame_equal(
            other.estimator.sample(5, random_state=1), run.estimator.sample(5, random_state=1)
        )
    assert repr(loaded) == "PilotStudy(2 runs: sizes [20], 2 draws)"


def test_arrays_labels_and_failures_come_back(tmp_path, study):
    loaded = load_pilot_study(study.save(tmp_path / "pilot"), estimators=False)
    for place, run in study.runs.items():
        np.testing.assert_array_equal(loaded.runs[place].X_synth, run.X_synth)
        np.testing.assert_array_equal(loaded.runs[place].y_synth, run.y_synth)
        assert loaded.runs[place].estimator is None
    with pytest.warns(FitFailedWarning):
        failed = pilot_study(
            Refuses(), table()[0], pilot_sizes=[10], n_draws=1, evaluate="column_shapes_score"
        )
    loaded = load_pilot_study(failed.save(tmp_path / "failed"))
    pd.testing.assert_frame_equal(loaded.results, failed.results)
    assert loaded.runs[10, 0].X_synth is None


def test_an_existing_study_is_replaced_by_force_only(tmp_path, study):
    path = study.save(tmp_path / "pilot")
    with pytest.raises(FileExistsError, match="pass force=True"):
        study.save(path)
    (path / "stray").write_text("old")
    study.save(path, force=True)
    assert not (path / "stray").exists()
    assert len(load_pilot_study(path).runs) == 6
    assert [item.name for item in tmp_path.iterdir()] == ["pilot"]


def test_a_folder_with_other_things_is_never_replaced(tmp_path, study):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds no pilot study; it is not replaced"):
        study.save(tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis" / "chapter1").exists()


def test_a_save_that_fails_leaves_nothing(tmp_path, study, monkeypatch):
    def full(*args, **keywords):
        raise OSError("disk full")

    monkeypatch.setattr(_pilot_files.joblib, "dump", full)
    with pytest.raises(OSError, match="disk full"):
        study.save(tmp_path / "pilot")
    assert list(tmp_path.iterdir()) == []


def damage_rows(path):
    next(path.glob("*_rows.npy")).write_bytes(b"nonsense")


def damage_manifest(path):
    (path / "study.json").write_text("{")


def damage_format(path):
    manifest = json.loads((path / "study.json").read_text())
    (path / "study.json").write_text(json.dumps({**manifest, "format": 99}))


def damage_entries(path):
    manifest = json.loads((path / "study.json").read_text())
    del manifest["runs"][0]["table"]
    (path / "study.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_rows, "its checksum is not the one written with it"),
        (lambda path: next(path.glob("*_indices.npy")).unlink(), "is incomplete: .* is missing"),
        (damage_manifest, "study.json is damaged"),
        (damage_entries, "study.json is damaged"),
        (damage_format, "update the package to read it"),
    ],
)
def test_damaged_folders_are_told(tmp_path, study, damage, message):
    path = study.save(tmp_path / "pilot")
    damage(path)
    with pytest.raises(ValueError, match=message):
        load_pilot_study(path)


def test_a_folder_without_a_study_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no pilot study"):
        load_pilot_study(tmp_path)


def test_conditional_models_are_fitted_with_labels():
    X, y = table()
    study = pilot_study(
        CalibratedGaussian("gaussian"), X, y, pilot_sizes=[60], n_draws=1, random_state=0
    )
    run = study.runs[60, 0]
    assert run.y_synth is None or set(run.y_synth) == {"case", "control"}
