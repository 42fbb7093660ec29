import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from synth_estimators.baselines import NeighborInterpolation
from synth_estimators.metrics import METRICS, ConstantColumnWarning, Panel
from synth_estimators.metrics._panel import shuffle_columns
from synth_estimators.report import EvaluationReport, Finding, evaluate_synthetic
from synth_estimators.report._definitions import SECTIONS, define
from synth_estimators.report._evaluate import _kept_association
from synth_estimators.report._judgement import _dependence, add_lights


def draw(seed, n=300):
    """Mixed rows whose columns hang together, with missing cells and duplicates by nature."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    frame = pd.DataFrame(
        {
            "age": np.clip(45 + 15 * z[:, 0], 18, 90).round(),
            "income": np.exp(10 + 0.5 * z[:, 0] + 0.3 * rng.normal(size=n)),
            "weight": 70 + 10 * z[:, 1] + 3 * rng.normal(size=n),
            "height": 170 + 8 * z[:, 1] + 3 * rng.normal(size=n),
            "sex": np.where(z[:, 1] + 0.5 * rng.normal(size=n) > 0, "m", "f"),
            "job": np.select([z[:, 0] < -0.5, z[:, 0] < 0.7], ["none", "clerk"], "manager"),
        }
    )
    frame.loc[rng.random(n) < 0.15, "weight"] = np.nan
    return frame


# What the traps need beside the tree test, which takes most of the time.
QUICK = (
    "column_shapes_score",
    "missing_value_similarity",
    "column_pair_trends_score",
    "dcr_share",
    "membership_auc",
    "exact_copy_share",
)


def judge(X_synth, train=None, holdout=None, **options):
    options = {"metrics": QUICK, **options}
    train = draw(0) if train is None else train
    return evaluate_synthetic(train, draw(1) if holdout is None else holdout, X_synth, **options)


def kinds(report):
    return [finding.kind for finding in report.warnings]


@pytest.fixture(scope="module")
def fresh():
    return judge(draw(2), metrics="standard", target="job")


def test_fresh_rows_raise_no_flag(fresh):
    assert fresh.warnings == []
    assert (fresh.fidelity, fresh.privacy) == ("good", "good")
    assert "look like fresh real rows" in fresh.verdict
    assert "no sign of repeating" in fresh.verdict
    assert not fresh.table["light"].isin(["poor"]).any()


def test_honest_rows_of_small_tables_raise_no_flag():
    report = evaluate_synthetic(*[draw(30 + part, 60) for part in range(3)], metrics="fast")
    assert kinds(report) == []


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 200, 1000])
def test_honest_rows_raise_no_flag(n):
    for seed in range(10):
        tables = [draw(1000 + 10 * seed + part, n) for part in range(3)]
        report = evaluate_synthetic(*tables, metrics="fast")
        assert kinds(report) == [], seed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target"), [("adult", "income"), ("magic", None), ("shoppers", "Revenue")]
)
def test_traps_on_real_tables(data_folder, name, target):
    table = pd.read_csv(data_folder / "tabular" / f"{name}.csv")
    order = np.random.RandomState(0).permutation(len(table))
    parts = [table.iloc[order[k * 1000 : (k + 1) * 1000]].reset_index(drop=True) for k in range(3)]
    train, holdout, fresh = parts
    traps = {
        "dependence_lost": shuffle_columns(train, 1),
        "copied_rows": train.sample(frac=1, random_state=0),
        "interpolated_rows": NeighborInterpolation(random_state=0).fit(train).sample(1000),
        "collapsed_columns": fresh.assign(**{fresh.columns[0]: fresh.iloc[0, 0]}),
    }
    options = {"metrics": "fast", "target": target}
    assert kinds(evaluate_synthetic(train, holdout, fresh, **options)) == []
    for kind, rows in traps.items():
        assert kind in kinds(evaluate_synthetic(train, holdout, rows, **options)), kind


def test_standard_holds_a_tree_test_a_pair_metric_and_marks_the_blind(fresh):
    assert {"c2st_auc", "column_pair_trends_score"} <= set(fresh.table.index)
    assert "belong together" in fresh.table.loc["column_shapes_score", "note"]
    seeing = fresh.table.index[fresh.table["calibrated"].notna()]
    assert all(METRICS[name].sees_dependence for name in seeing)


def test_every_metric_has_a_section_and_a_definition():
    sections = {name: define(name).section for name in METRICS}
    assert set(sections.values()) <= set(SECTIONS)
    assert all(define(name).text for name in METRICS)
    assert sections["all_targets_utility"] == sections["trts_score"] == "use"
    assert sections["singling_out_risk"] == sections["nndr"] == "privacy"
    assert sections["gene_ks_distance"] == "expression"


def test_shuffled_columns_are_called_lost_dependence():
    report = judge(shuffle_columns(draw(0), 0), metrics="fast")
    first = report.warnings[0]
    assert (first.kind, first.severity) == ("dependence_lost", "serious")
    for words in ("Dependence lost", "looks right on its own", "independent of each other"):
        assert words in first.text
    assert report.fidelity == "poor"
    assert report.table.loc["column_shapes_score", "light"] == "good"
    assert report.table.loc["column_pair_trends_score", "calibrated"] < 0.3


def test_copied_rows_are_called_copies():
    report = judge(draw(0).sample(frac=1, random_state=0))
    assert report.warnings[0].kind == "copied_rows"
    assert "100.0% of the synthetic rows are exact copies of training rows" in str(
        report.warnings[0]
    )
    assert report.privacy == "poor"
    assert "repeat or betray training rows" in report.verdict


def test_a_tenth_of_copies_among_fresh_rows_is_found():
    report = judge(pd.concat([draw(2).iloc[:270], draw(0).iloc[:30]], ignore_index=True))
    assert kinds(report) == ["copied_rows"]
    assert "10.0% of the synthetic rows" in report.warnings[0].text


def test_duplicates_by_nature_are_no_copies():
    tables = [draw(seed)[["sex", "job"]] for seed in range(3)]
    report = evaluate_synthetic(*tables, metrics=QUICK)
    assert report.table.loc["exact_copy_share", "value"] == 1.0
    assert kinds(report) == []


def test_one_copy_in_a_coarse_table_may_be_chance():
    def coarse(seed):
        return pd.DataFrame(np.random.default_rng(seed).integers(0, 60, size=(60, 2)) / 10)

    rows = coarse(2)
    rows.iloc[0] = coarse(0).iloc[0]
    assert kinds(judge(rows, coarse(0), coarse(1))) == []
    rows.iloc[:12] = coarse(0).iloc[:12]
    assert "copied_rows" in kinds(judge(rows, coarse(0), coarse(1)))


def test_noise_in_every_cell_is_not_called_independence():
    rows = draw(2)
    rows["age"] += 0.3 * np.random.default_rng(0).normal(size=len(rows))
    rows["income"] *= 3.0
    table = pd.DataFrame(
        {"value": [0.5], "limit": [0.9], "floor": [0.5], "calibrated": [0.0], "light": ["poor"]},
        index=["column_pair_trends_score"],
    )
    assert _dependence(table, None, lambda: 0.1).kind == "dependence_lost"
    assert _dependence(table, None, lambda: 0.6) is None
    panel = Panel(draw(0), draw(1), metrics=QUICK)

    def kept(frame):
        return _kept_association(panel, Bunch(train=draw(0), synthetic=frame), [])

    assert kept(draw(0)) > 0.9
    assert kept(rows) > 0.7
    assert abs(kept(shuffle_columns(draw(2), 0))) < 0.15


def test_tree_test_below_one_half_is_no_limit_to_reach():
    row = {"value": 0.53, "limit": 0.45, "floor": 0.98, "calibrated": 1.0}
    table = pd.DataFrame([row], index=["c2st_auc"])
    assert add_lights(table, n_rows=1500, n_columns=5)["light"].item() == "good"


def test_few_rows_bring_no_good_verdict():
    report = judge(draw(2, n=8))
    assert kinds(report) == ["few_rows"]
    assert (report.fidelity, report.privacy) == ("none", "none")
    assert "8 rows" in report.verdict
    copies = judge(draw(0).iloc[:8])
    assert "copied_rows" in kinds(copies)
    assert copies.privacy == "poor"


@pytest.mark.filterwarnings("error:No category")
def test_identifiers_are_noted_not_taken_for_another_spelling():
    def named(seed):
        return draw(seed).assign(id=[f"{seed}-{j}" for j in range(300)])

    report = judge(named(2), named(0), named(1))
    assert kinds(report) == ["identifiers"]
    assert "'id'" in str(report.warnings[0])
    with pytest.raises(ValueError, match=r"'id' has 300 different values .* identifier"):
        judge(named(2), named(0), named(1), target="id")


def test_interpolated_rows_are_called_interpolated():
    train = draw(0)
    report = judge(NeighborInterpolation(random_state=0).fit(train).sample(300))
    flag = next(f for f in report.warnings if f.kind == "interpolated_rows")
    for words in ("interpolated between training rows (SMOTE)", "held-out row", "authenticity"):
        assert words in flag.text
    assert report.privacy == "poor"


def test_noisy_copies_are_found():
    rng = np.random.default_rng(0)
    train = draw(0)
    noisy = train.assign(
        **{name: train[name] * (1 + 1e-3 * rng.normal(size=300)) for name in ("income", "height")}
    )
    assert "interpolated_rows" in kinds(judge(noisy))


def test_collapsed_columns_are_named():
    rows = draw(2).assign(age=40.0, sex="m")
    rows["income"] = np.where(np.arange(300) % 2, 20_000.0, 30_000.0)
    with pytest.warns(ConstantColumnWarning, match="age"):
        report = judge(rows)
    flag = next(f for f in report.warnings if f.kind == "collapsed_columns")
    assert "3 columns have lost nearly all variation" in flag.text
    assert "'age' is constant" in flag.text
    assert "'income' has 2 different values where 300 real rows have 300" in flag.text
    assert "dependence_lost" not in kinds(report)
    assert set(report.columns["column"][:3]) == {"age", "sex", "income"}
    assert report.fidelity == "poor"


@pytest.mark.filterwarnings("ignore::synth_estimators.metrics.ConstantColumnWarning")
def test_shuffled_and_collapsed_columns_are_both_found():
    report = judge(shuffle_columns(draw(0), 0).assign(age=40.0))
    assert {"collapsed_columns", "dependence_lost"} <= set(kinds(report))


def test_narrow_column_is_collapsed_and_zero_inflated_column_is_not():
    rng = np.random.default_rng(0)

    def spiky(seed):
        rng = np.random.default_rng(seed)
        gains = np.where(rng.random(300) < 0.05, rng.lognormal(8, 1, 300), 0.0)
        return draw(seed).assign(gain=gains)

    report = judge(spiky(2), train=spiky(0), holdout=spiky(1))
    assert kinds(report) == []
    narrow = spiky(2).assign(height=170 + 0.5 * rng.normal(size=300))
    report = judge(narrow, train=spiky(0), holdout=spiky(1))
    assert "'height' spreads over" in str(report.warnings[0])


def test_rows_that_trees_recognise_name_the_columns():
    rows = draw(2)
    report = judge(rows.assign(height=rows["height"] + 25), metrics="fast")
    flag = next(f for f in report.warnings if f.kind == "distinguishable")
    assert "AUC 1.00" in flag.text
    assert "Most telling columns: 'height'" in flag.text
    assert report.columns["column"][0] == report.importances["column"][0] == "height"


def test_missing_and_infinite_cells_are_told():
    rows = draw(2).assign(income=np.nan)
    assert "missing_cells" in kinds(judge(rows))
    rows = draw(2)
    rows.loc[:4, "height"] = np.inf
    report = judge(rows)
    assert "5 synthetic cells are infinite" in str(report.warnings[-1])


def test_without_holdout_it_says_what_cannot_be_judged():
    report = evaluate_synthetic(draw(0), None, draw(2), metrics="fast")
    assert kinds(report) == ["not_judged"]
    assert "rewards copying" in report.warnings[0].text
    assert report.privacy == "none"
    assert "could not be judged" in report.verdict
    assert "dcr_share" not in report.table.index
    assert "X_holdout" in report.settings["left_out"]["dcr_share"]
    copied = evaluate_synthetic(draw(0), None, draw(0), metrics=["exact_copy_share"])
    assert kinds(copied)[0] == "copied_rows"


def test_uneven_tables_are_noted():
    report = judge(draw(2), holdout=draw(1, 100))
    assert kinds(report) == ["not_judged"]
    assert "300 training and 100 held-out rows" in report.warnings[0].text


def test_json_holds_plain_numbers_versions_and_seeds(fresh, tmp_path):
    path = tmp_path / "report.json"
    text = fresh.to_json(path)
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert json.loads(text) == content
    assert content["seed"] == 0
    assert content["n_rows"] == {"train": 300, "holdout": 300, "synthetic": 300, "columns": 6}
    assert {"synth-estimators", "numpy", "pandas", "scikit-learn"} <= set(content["versions"])
    value = content["metrics"]["c2st_auc"]["value"]
    assert value == fresh.table.loc["c2st_auc", "value"]
    assert content["metrics"]["dcr_share"]["calibrated"] is None
    assert len(content["columns"]) == 6
    with pytest.raises(FileExistsError, match="force=True"):
        fresh.to_json(path)


def test_frame_is_a_copy_and_report_pickles_and_prints(fresh):
    frame = fresh.to_frame()
    frame["value"] = 0.0
    assert not (fresh.table["value"] == 0).all()
    again = pickle.loads(pickle.dumps(fresh))
    assert isinstance(again, EvaluationReport)
    pd.testing.assert_frame_equal(again.table, fresh.table)
    assert fresh.verdict in str(fresh)
    assert "EvaluationReport" in repr(fresh)
    assert str(Finding("copied_rows", "serious", "text")) == "text"


def test_same_call_gives_the_same_report():
    first, again = judge(draw(2)), judge(draw(2))
    assert again.to_json() == first.to_json()
    assert again.to_html() == first.to_html()


def test_arrays_single_columns_and_tiny_tables_work():
    rng = np.random.default_rng(0)
    report = evaluate_synthetic(*rng.normal(size=(3, 40, 3)), metrics=QUICK)
    assert sorted(report.columns["column"]) == ["x0", "x1", "x2"]
    one = evaluate_synthetic(*rng.normal(size=(3, 40, 1)), metrics=["column_shapes_score"])
    assert one.fidelity == "good"
    with pytest.warns(UserWarning, match="at least two rows"):
        tiny = evaluate_synthetic(*rng.normal(size=(3, 1, 2)), metrics="fast")
    assert np.isnan(tiny.table.loc["c2st_auc", "value"])
    assert tiny.table.loc["c2st_auc", "light"] == "none"


def test_expression_tables_add_their_metrics():
    rng = np.random.default_rng(0)
    tables = [rng.poisson(rng.gamma(2.0, 20.0, 30), size=(40, 30)) for _ in range(3)]
    report = evaluate_synthetic(*tables, metrics="fast", expression=True)
    assert {"gene_ks_distance", "library_size_distance"} <= set(report.table.index)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"X_synth": draw(2).drop(columns="age")}, "X_synth lacks the columns"),
        ({"X_synth": draw(2).iloc[:0]}, "X_synth is empty"),
        ({"X_holdout": draw(1).assign(more=1)}, "X_holdout has the columns"),
        ({"X_train": draw(0).assign(age=np.inf)}, "contains infinity"),
        ({"target": "jobs"}, "target='jobs' is not a column"),
        ({"metrics": "everything"}, "metrics='everything' is unknown"),
        ({"X_synth": pd.concat([draw(2), draw(2)[["age"]]], axis=1)}, "duplicated column names"),
    ],
)
def test_bad_tables_are_refused(changed, message):
    given = {"X_train": draw(0), "X_holdout": draw(1), "X_synth": draw(2), "metrics": "fast"}
    with pytest.raises(ValueError, match=message):
        evaluate_synthetic(**{**given, **changed})
