import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics import (
    METRICS,
    Panel,
    alpha_precision_beta_recall,
    c2st_auc,
    c2st_score,
    column_pair_trends_score,
    prdc,
    tstr_score,
    utility_ratio,
)
from synth_estimators.metrics._panel import calibrate, shuffle_columns
from synth_estimators.metrics._panel_groups import EXPRESSION, PRESETS, is_expression, is_privacy

SEEING = "column_pair_trends_score"


def draw(seed, n=150):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    frame = pd.DataFrame({"a": z, "b": z + 0.3 * rng.normal(size=n), "c": rng.normal(size=n)})
    frame.loc[rng.random(n) < 0.1, "c"] = np.nan
    return frame.assign(g=np.where(z > 0.4, "u", "v"), n=rng.integers(0, 3, n))


@pytest.fixture(scope="module")
def tables():
    return [draw(seed) for seed in range(3)]


def test_presets_name_known_metrics_and_see_dependence():
    for names, *_ in PRESETS.values():
        assert set(names) <= set(METRICS)
        assert {"c2st_auc", SEEING} <= set(names)
    assert set(EXPRESSION) <= set(METRICS)


def test_values_equal_the_metrics_called_alone(tables):
    train, holdout, synth = tables
    names = ["prdc_coverage", "beta_recall", "c2st_auc", "c2st_score", "tstr_score"]
    panel = Panel(train, holdout, target="g", metrics=[*names, "utility_ratio", SEEING])
    values = panel.values(synth)
    seed = {"random_state": panel.seed}
    assert list(values) == panel.names
    assert values["prdc_coverage"] == prdc(holdout, synth, **seed).coverage
    assert values["beta_recall"] == alpha_precision_beta_recall(holdout, synth, **seed).beta_recall
    assert values["c2st_auc"] == pytest.approx(c2st_auc(holdout, synth, **seed), abs=1e-12)
    assert values["c2st_score"] == pytest.approx(c2st_score(holdout, synth, **seed), abs=1e-12)
    assert values[SEEING] == pytest.approx(column_pair_trends_score(holdout, synth))
    use = {"X_train": train, "target": "g", **seed}
    assert values["tstr_score"] == pytest.approx(tstr_score(holdout, synth, **use))
    assert values["utility_ratio"] == pytest.approx(utility_ratio(holdout, synth, **use))


def test_calibrated_is_one_for_training_rows_and_zero_for_shuffled_ones(tables):
    train, holdout, _ = tables
    panel = Panel(train, holdout, metrics=["column_shapes_score", SEEING, "c2st_auc"])
    own = panel.table(train)
    assert own.loc[SEEING, "calibrated"] == pytest.approx(1.0)
    assert own.loc[SEEING, "value"] == own.loc[SEEING, "limit"]
    floor = panel.table(shuffle_columns(train, 99)).loc[SEEING, "calibrated"]
    assert abs(floor) < 0.2
    # Blind to dependence: no calibrated score, and the table says so.
    assert np.isnan(own.loc["column_shapes_score", "calibrated"])
    assert "belong together" in own.loc["column_shapes_score", "note"]
    assert own.loc["column_shapes_score", "floor"] == own.loc["column_shapes_score", "limit"]


def test_calibrated_counts_the_distance_from_an_ideal_inside_the_range():
    # Copying raises beta-recall above one half; that is no better than as far below.
    assert calibrate("beta_recall", 0.8, 0.5, [0.1]) == pytest.approx(0.25)
    assert calibrate("beta_recall", 0.2, 0.5, [0.1]) == pytest.approx(0.25)
    assert calibrate(SEEING, 0.95, 0.9, [0.8]) == pytest.approx(1.5)
    # A tree test below one half told nothing apart.
    assert calibrate("c2st_auc", 0.6, 0.4, [1.0]) == pytest.approx(0.8)


def test_calibrated_is_nan_where_floor_and_limit_drown_in_noise():
    assert np.isnan(calibrate(SEEING, 0.9, 0.95, [0.93, 0.90, 0.96]))
    assert np.isnan(calibrate(SEEING, 0.9, 0.9, [0.9]))
    assert np.isnan(calibrate("dcr_share", 0.9, 0.5, [0.5]))


def test_calibrated_is_nan_where_rounding_alone_separates_floor_and_limit():
    limit = 0.0131
    assert np.isnan(calibrate("energy_distance", 0.01, limit, np.full(3, limit * (1 + 1e-15))))


def test_floor_is_the_mean_of_shuffles_and_knows_the_score_of_real_rows(tables):
    train, holdout, _ = tables
    names = ["column_pair_trends_score", "tstr_score", "trtr_score", "utility_gap"]
    panel = Panel(train, holdout, target="g", metrics=names, random_state=0)
    whole = panel.floor()
    apart = [
        panel._measure(shuffle_columns(panel.frame("X_train"), seed), names)[0]
        for seed in spawn_seeds(panel.seed, 3)
    ]
    for name in names:
        runs = panel._all_floors()[name]
        expected = [part[name].score for part in apart][: len(runs)]
        np.testing.assert_allclose(runs, expected)
        assert whole[name] == pytest.approx(np.mean(expected))


def test_axes_of_the_training_rows_do_not_make_the_limit():
    wide = np.random.default_rng(0).normal(size=(3, 40, 80))
    panel = Panel(wide[0], wide[1], metrics=["pca_c2st_auc"])
    assert panel.limit() == {"pca_c2st_auc": 0.5}


def test_limits_of_privacy_are_those_of_fresh_rows(tables):
    train, holdout, _ = tables
    repeated = pd.concat([holdout.iloc[:75], train.iloc[:75]], ignore_index=True)
    panel = Panel(train, repeated, metrics=["dcr_share", "membership_auc", "exact_copy_share"])
    limit = panel.limit()
    assert limit == {"dcr_share": 0.5, "membership_auc": 0.5, "exact_copy_share": 0.5}
    assert all(np.isnan(list(panel.floor().values())))
    assert panel.values(train)["exact_copy_share"] == 1.0


def test_limit_uses_as_many_rows_as_there_are_synthetic_ones(tables):
    train, holdout, synth = tables
    panel = Panel(train, holdout, metrics=["column_shapes_score"])
    small = panel.table(synth.iloc[:20]).loc["column_shapes_score", "limit"]
    assert small < panel.limit()["column_shapes_score"] == panel.limit(150)["column_shapes_score"]


def test_results_do_not_depend_on_n_jobs_nor_on_earlier_calls(tables):
    train, holdout, synth = tables
    options = {"metrics": [SEEING, "prdc_recall", "dcr_share"]}
    first = Panel(train, holdout, **options)
    first.values(train)
    second = Panel(train, holdout, n_jobs=2, **options)
    pd.testing.assert_frame_equal(first.table(synth), second.table(synth))
    pd.testing.assert_frame_equal(
        pickle.loads(pickle.dumps(first)).table(synth), first.table(synth)
    )


def test_spelling_of_categories_and_order_of_columns_do_not_matter(tables):
    train, holdout, synth = tables
    panel = Panel(train, holdout, target="n", metrics=[SEEING, "c2st_auc", "tstr_score"])
    other = synth.assign(n=synth["n"].astype(float).astype(str))[list("ngcba")]
    assert panel.task == "classification"
    assert panel.values(other) == panel.values(synth)


def test_numeric_target_is_a_regression(tables):
    train, holdout, synth = tables
    panel = Panel(train, holdout, target="b", metrics=["tstr_score"])
    assert panel.task == "regression"
    assert panel.values(synth)["tstr_score"] > 0.7


def test_without_holdout_metrics_that_need_it_are_left_out(tables):
    train, _, synth = tables
    panel = Panel(train, None, metrics="fast")
    assert "dcr_share" not in panel.names
    assert panel.left_out["dcr_share"] == ["X_holdout"]
    assert panel.left_out["tstr_score"] == ["target"]
    assert panel.limit()["c2st_auc"] == 0.5
    assert set(panel.values(synth)) == set(panel.names)


def test_all_holds_every_metric_that_can_be_computed(tables):
    train, holdout, _ = tables
    names = Panel(train, holdout, target="g", metrics="all").names
    given = {"X_train", "X_holdout", "target"}
    left = [name for name in METRICS if name not in names]
    assert all(is_expression(name) or set(METRICS[name].needs) - given for name in left)
    assert sum(is_privacy(name) for name in names) >= 3


def test_arrays_and_positions_are_fine():
    rng = np.random.default_rng(0)
    train, holdout, synth = rng.normal(size=(3, 60, 3))
    panel = Panel(train, holdout, target=2, metrics=["tstr_score", SEEING])
    assert panel.target == "x2"
    assert set(panel.values(synth)) == {"tstr_score", SEEING}


def test_infinite_synthetic_cells_are_counted(tables):
    train, holdout, synth = tables
    panel = Panel(train, holdout, metrics=["column_shapes_score"])
    broken = synth.assign(a=np.where(np.arange(150) < 5, np.inf, synth["a"]))
    assert panel.measure(broken).n_nonfinite.tolist() == [5, 0, 0, 0, 0]


def test_metric_without_a_value_is_nan_with_a_warning(tables):
    train, holdout, synth = tables
    panel = Panel(train[["a"]], holdout[["a"]], metrics=[SEEING])
    with pytest.warns(UndefinedMetricWarning, match="no pair of columns"):
        table = panel.table(synth[["a"]])
    assert np.isnan(table.loc[SEEING, "value"])
    assert "no pair" in table.loc[SEEING, "note"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": "quick"}, "metrics='quick' is unknown"),
        ({"metrics": []}, "empty list"),
        ({"metrics": ["shape"]}, "Unknown metric 'shape'"),
        ({"metrics": ["tstr_score"]}, "tstr_score needs target"),
        ({"metrics": ["ks_complement"]}, "compares one column|ks_complement"),
        ({"target": "zz"}, "target='zz' is not a column of X_train"),
        ({"max_rows": 0}, "max_rows=0 must be at least 1"),
    ],
)
def test_bad_requests_say_what_is_wrong(tables, options, message):
    train, holdout, _ = tables
    with pytest.raises(ValueError, match=message):
        Panel(train, holdout, **options)


def test_tables_with_other_columns_are_refused(tables):
    train, holdout, synth = tables
    with pytest.raises(ValueError, match="X_holdout lacks the columns"):
        Panel(train, holdout.drop(columns="a"))
    with pytest.raises(ValueError, match="X_synth lacks the columns"):
        Panel(train, holdout, metrics="fast").values(synth.drop(columns="a"))


def test_wide_tables_keep_to_a_part_of_the_pairs():
    rng = np.random.default_rng(0)
    train, holdout, synth = rng.normal(size=(3, 20, 2500))
    panel = Panel(train, holdout, metrics=["column_shapes_score", SEEING])
    measured = panel.measure(synth, breakdown=True)
    assert len(measured.breakdowns["column_shapes_score"].details) == 2500
    assert "details" not in measured.breakdowns[SEEING]
    assert measured.scores[SEEING] > 0.8
