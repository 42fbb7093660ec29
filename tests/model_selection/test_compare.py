import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, KFold, RepeatedKFold
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators import BootstrapRows, GaussianCopula, IndependentColumns
from synth_estimators.metrics import Panel, column_pair_trends_score
from synth_estimators.model_selection import (
    ComparisonResult,
    compare_generators,
    compare_tables,
    make_generator_scorer,
)

TRENDS = "column_pair_trends_score"
METRICS = [TRENDS, "energy_distance"]
BASELINES = {
    "IndependentColumns",
    "BootstrapRows",
    "GaussianCopula",
    "CalibratedGaussian",
    "NeighborInterpolation",
    "SequentialCART",
}


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 1)) + 0.3 * rng.normal(size=(160, 3))
    return pd.DataFrame(X, columns=["a", "b", "c"])


@pytest.fixture
def mixed(numbers):
    kind = np.where(numbers["a"] > 0, "high", "low")
    frame = numbers.assign(kind=kind, day=pd.Timestamp("2024-01-01"))
    frame["day"] += pd.to_timedelta(np.arange(160) % 30, unit="D")
    frame.loc[::7, "b"] = np.nan
    return frame


class Broken(IndependentColumns):
    def fit(self, X, y=None):
        raise ValueError("no fit today")


class Partly(IndependentColumns):
    """Fails where the training table holds row 0."""

    def fit(self, X, y=None):
        if 0 in X.index:
            raise ValueError("row 0 is poison")
        return super().fit(X)


def test_baselines_always_stand_beside(numbers):
    result = compare_generators(
        {"mine": KernelDensity(bandwidth=0.2)}, numbers, cv=2, metrics=METRICS
    )
    assert set(result.table.index) == {"mine", *BASELINES}
    assert result.table["rank"].tolist() == sorted(result.table["rank"])
    assert result.table["score"].is_monotonic_decreasing
    assert result.table.index[-1] == "IndependentColumns"
    # Independent columns are the floor of the scale, and a copula fits this table. An energy
    # distance of 80 rows moves by a third of the scale.
    assert result.table.loc["IndependentColumns", "score"] == pytest.approx(0.0, abs=0.3)
    assert result.table.loc["GaussianCopula", "score"] == pytest.approx(1.0, abs=0.3)
    assert (result.table["fit_time"] > 0).all()
    assert result.scored_metrics == METRICS


def test_values_are_those_of_a_panel_on_the_same_split(numbers):
    train, holdout = np.arange(100), np.arange(100, 160)
    result = compare_generators(
        [BootstrapRows(random_state=0)],
        numbers,
        cv=[(train, holdout)],
        metrics=METRICS,
        baselines=False,
    )
    rows = numbers.iloc[train].reset_index(drop=True)
    limit = column_pair_trends_score(numbers.iloc[holdout], rows)
    assert result.references.loc["limit", TRENDS] == pytest.approx(limit)
    fold = result.folds.set_index("metric").loc[TRENDS]
    panel = Panel(rows, numbers.iloc[holdout], metrics=METRICS)
    assert fold["limit"] == pytest.approx(panel.limit()[TRENDS])
    expected = (fold["value"] - fold["floor"]) / (fold["limit"] - fold["floor"])
    assert fold["calibrated"] == pytest.approx(expected)
    assert result.sizes == [(100, 60)]


def test_mixed_tables_with_missing_cells(mixed):
    result = compare_generators([], mixed, cv=2, metrics=["energy_distance"], target="kind")
    table = result.table
    assert set(table.index) == BASELINES
    # The numeric one is reported with the reason, not dropped.
    assert table["n_failed"].to_dict() == {
        name: 2 * (name == "CalibratedGaussian") for name in table.index
    }
    assert table.loc["CalibratedGaussian", "flag"] == "failed on 2 of 2 folds"
    assert table.loc[["CalibratedGaussian"], "rank"].isna().all()
    assert any(
        text.startswith("CalibratedGaussian failed: ValueError: Column 'kind' holds text")
        for text in result.warnings
    )


def test_copies_are_flagged(numbers):
    result = compare_generators(
        [GaussianCopula()],
        numbers,
        cv=2,
        metrics=[TRENDS, "dcr_share", "membership_auc", "exact_copy_share"],
    )
    flags = result.table["flag"]
    assert flags["BootstrapRows"].startswith("close to training rows (dcr_share 1.00")
    assert "exact_copy_share 1.00" in flags["BootstrapRows"]
    assert flags["GaussianCopula"] == flags["IndependentColumns"] == ""
    # They say nothing of fidelity, so they are not in the score.
    assert result.scored_metrics == [TRENDS]


def test_pairs_are_tested_with_holm(numbers):
    models = {"copula": GaussianCopula(), "columns": IndependentColumns(), "rows": BootstrapRows()}
    cv = RepeatedKFold(n_splits=2, n_repeats=3, random_state=0)
    result = compare_generators(models, numbers, cv=cv, metrics=METRICS, baselines=False)
    pairs = result.pairwise.set_index(["generator", "other"])
    assert len(pairs) == 3
    best = result.table.index[0]
    row = pairs.loc[(best, "columns")]
    assert row["pvalue_holm"] < 0.05
    assert row["low"] > 0
    assert row["p_better"] > 0.95
    assert (pairs["pvalue_holm"] >= pairs["pvalue"]).all()
    scores = result.table["score"]
    assert row["difference"] == pytest.approx(scores[best] - scores["columns"])

    # Equal test and training parts: t = D / sqrt((1/6 + 1) s²).
    values = result.folds[result.folds["metric"] == "energy_distance"]
    wide = values.pivot(index="fold", columns="generator", values="value")
    gap = (wide["copula"] - wide["columns"]).to_numpy()
    test = result.compare("copula", "columns", metric="energy_distance")
    expected = gap.mean() / np.sqrt((1 / 6 + 1) * gap.var(ddof=1))
    assert test.statistic == pytest.approx(expected)
    # A smaller distance is better.
    assert test.mean < 0
    assert test.p_better == pytest.approx(1 - test.p_worse - test.p_equivalent)
    assert test.p_better > 0.5 > test.p_worse


def test_results_do_not_depend_on_the_jobs(numbers):
    results = [
        compare_generators(
            [BootstrapRows()],
            numbers,
            cv=2,
            metrics=METRICS,
            n_jobs=n_jobs,
            baselines=False,
        )
        for n_jobs in (1, 2)
    ]
    pd.testing.assert_frame_equal(results[0].folds, results[1].folds)


def test_labels_are_a_column_of_all_tables(numbers):
    y = np.where(numbers["a"] > 0, "high", "low")
    X = numbers[["b", "c"]]
    result = compare_generators(
        [GaussianCopula(), IndependentColumns()],
        X,
        y,
        cv=2,
        metrics=["tstr_score"],
        baselines=False,
    )
    # One generator a class, so both know the label.
    assert (result.table["tstr_score"] > 0.8).all()
    assert result.warnings[0] == (
        "Fitted by class, since they take no labels: GaussianCopula, IndependentColumns."
    )


def test_labels_that_cannot_split_the_table_become_a_column(mixed):
    y = np.where(mixed["c"] > 0, 1, 0)
    result = compare_generators([], mixed, y, cv=2, metrics=["tstr_score"])
    assert result.table["tstr_score"].drop("CalibratedGaussian").notna().all()
    assert any("Fitted with the labels as a column" in text for text in result.warnings)
    measured = mixed["c"].to_numpy()
    result = compare_generators(
        [BootstrapRows()],
        mixed[["a", "b"]],
        measured,
        cv=2,
        metrics=["tstr_score"],
        baselines=False,
    )
    # A number is predicted: R² of copies of real rows.
    assert 0.5 < result.table.loc["BootstrapRows", "tstr_score"] < 1


def test_arrays_and_pipelines(numbers):
    pipeline = make_pipeline(StandardScaler(), KernelDensity(bandwidth=0.2))
    result = compare_generators(
        {"pipeline": pipeline}, numbers.to_numpy(), cv=2, metrics=METRICS, baselines=False
    )
    assert result.table.loc["pipeline", "score"] > 0.7


def test_lists_are_named_by_class(numbers):
    result = compare_generators(
        [GaussianCopula(), IndependentColumns(), IndependentColumns(random_state=1)],
        numbers,
        cv=2,
        metrics=[TRENDS],
    )
    names = {"GaussianCopula", "IndependentColumns-1", "IndependentColumns-2"}
    # Baselines that are there as they are do not come twice.
    assert set(result.table.index) == names | BASELINES - {"IndependentColumns"}
    other = compare_generators(
        {"GaussianCopula": GaussianCopula(random_state=5)}, numbers, cv=2, metrics=[TRENDS]
    )
    assert {"GaussianCopula", "GaussianCopula (baseline)"} < set(other.table.index)


def test_failures_are_reported_or_raised(numbers):
    models = {"broken": Broken(), "partly": Partly(), "fine": GaussianCopula()}
    options = {"cv": KFold(2), "metrics": METRICS, "baselines": False}
    result = compare_generators(models, numbers, **options)
    assert result.table["flag"].to_dict() == {
        "fine": "",
        "partly": "failed on 1 of 2 folds",
        "broken": "failed on 2 of 2 folds",
    }
    # A mean over other folds than the rivals' would not compare.
    assert result.table["score"].isna().to_dict() == {"fine": False, "partly": True, "broken": True}
    assert "broken failed: ValueError: no fit today" in result.warnings
    assert len(result.pairwise) == 0
    with pytest.raises(ValueError, match="no fit today"):
        compare_generators(models, numbers, error_score="raise", **options)


def test_rows_with_other_columns_are_a_failure_of_the_generator(numbers):
    class Narrow(BaseEstimator):
        def fit(self, X, y=None):
            return self

        def sample(self, n_samples=1, random_state=None):
            return pd.DataFrame(np.zeros((n_samples, 2)), columns=["a", "b"])

    result = compare_generators([Narrow()], numbers, cv=2, metrics=METRICS, baselines=False)
    assert result.table["flag"].tolist() == ["failed on 2 of 2 folds"]
    assert "lacks the columns ['c']" in result.warnings[0]


def by_hand(values, *, floors=0.0, n_folds=2):
    """A result from ``{generator: {metric: (calibrated, ...)}}``."""
    folds = [
        {
            "fold": fold,
            "generator": name,
            "metric": metric,
            "value": value,
            "limit": 1.0,
            "floor": floors,
            "calibrated": value,
        }
        for name, metrics in values.items()
        for metric, series in metrics.items()
        for fold, value in enumerate(series)
    ]
    runs = [
        {
            "fold": fold,
            "generator": name,
            "fit_time": 1.0,
            "sample_time": 0.5,
            "score_time": 0.1,
            "error": None,
        }
        for name in values
        for fold in range(n_folds)
    ]
    return ComparisonResult(pd.DataFrame(folds), pd.DataFrame(runs), [(80, 20)] * n_folds)


def test_scores_are_means_over_the_metrics_calibrated_on_every_fold():
    gap = np.nan
    result = by_hand(
        {
            "first": {"c2st_score": (0.9, 0.7), TRENDS: (0.5, 0.3), "energy_distance": (0.1, gap)},
            "second": {"c2st_score": (0.8, 0.8), TRENDS: (gap, 0.6), "energy_distance": (0.9, gap)},
            "third": {"c2st_score": (-9.0, 0.5), TRENDS: (0.5, 0.5), "energy_distance": (0.9, gap)},
        }
    )
    assert result.scored_metrics == ["c2st_score", TRENDS]
    # A value that is missing for one generator counts as 0, one below -1 as -1.
    expected = {"first": 0.6, "second": (0.4 + 0.7) / 2, "third": (-0.25 + 0.5) / 2}
    assert result.table["score"].to_dict() == pytest.approx(expected)
    assert result.table["rank"].tolist() == [1, 2, 3]
    assert result.warnings == [
        f"second: {TRENDS} has no value on some fold and counts as 0 in the score."
    ]
    assert result.table.loc["first", "score_sd"] == pytest.approx(np.std([0.7, 0.5], ddof=1))


def test_equal_scores_share_a_rank():
    result = by_hand({"a": {TRENDS: (0.5, 0.5)}, "b": {TRENDS: (0.5, 0.5)}, "c": {TRENDS: (0, 0)}})
    assert result.table["rank"].tolist() == [1, 1, 3]


def test_nothing_to_calibrate_leaves_no_score():
    result = by_hand({"a": {TRENDS: (np.nan, np.nan)}, "b": {TRENDS: (np.nan, np.nan)}})
    assert result.scored_metrics == []
    assert result.table["score"].isna().all()
    assert any("No metric could be calibrated" in text for text in result.warnings)
    assert json.loads(result.to_json())["generators"][0]["score"] is None


def test_tables_that_are_there(numbers):
    rng = np.random.default_rng(1)
    train, holdout = numbers[:80], numbers[80:]
    shuffled = pd.DataFrame(rng.permuted(train.to_numpy(), axis=0), columns=train.columns)
    tables = {"shuffled": shuffled, "copula": GaussianCopula(random_state=0).fit(train).sample(80)}
    result = compare_tables(tables, train, holdout, metrics=METRICS)
    assert set(result.table.index) == {*tables, *BASELINES}
    assert result.table.loc["copula", "score"] > 0.7
    assert result.table.loc["shuffled", "score"] < 0.3
    assert np.isnan(result.table.loc["copula", "fit_time"])
    # One split has no test.
    assert result.pairwise["pvalue"].isna().all()
    assert result.sizes == [(80, 80)]
    panel = Panel(train, holdout, metrics=METRICS)
    assert result.table.loc["shuffled", TRENDS] == panel.values(shuffled)[TRENDS]


def test_results_can_be_read_by_people_and_programs(mixed):
    frame = mixed.rename(columns={"a": "<script>"})
    named = {"<b>mine</b>": IndependentColumns()}
    result = compare_generators(named, frame, cv=2, metrics=[*METRICS, "exact_copy_share"])
    content = json.loads(result.to_json())
    assert content["settings"]["n_folds"] == 2
    assert len(content["folds"]) == len(result.folds)
    assert content["generators"][-1]["score"] is None
    assert "NaN" not in result.to_json()
    page = result._repr_html_()
    assert "<script>" not in page
    assert "<b>mine" not in page
    assert "(real rows)" in page
    assert "rank" in repr(result)
    assert "CalibratedGaussian failed" in repr(result)
    copy = result.to_frame()
    copy["score"] = 0.0
    assert (result.table["score"] != 0.0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["nonsense"]}, "Unknown metric 'nonsense'"),
        ({"target": "z"}, "target='z' is not a column"),
        ({"cv": 1}, "cv=1"),
        ({"cv": 81}, "cv=81 must lie between 2 and half the 160 rows"),
        ({"n_samples": -1}, "n_samples=-1"),
        ({"error_score": 0.0}, "error_score=0.0"),
        ({"y": [0, 1]}, "y has 2 labels"),
        ({"max_rows": 0}, "max_rows=0"),
    ],
)
def test_bad_requests_are_refused(numbers, options, message):
    with pytest.raises(ValueError, match=message):
        compare_generators([Broken()], numbers, **{"metrics": METRICS, **options})


def test_bad_generators_and_tables_are_refused(numbers):
    with pytest.raises(TypeError, match="pass an unfitted generator"):
        compare_generators([IndependentColumns], numbers)
    with pytest.raises(ValueError, match="contains infinity"):
        compare_generators([], numbers.replace(numbers.iloc[0, 0], np.inf), metrics=METRICS)
    with pytest.raises(ValueError, match="dict of at least one table"):
        compare_tables({}, numbers, numbers)
    with pytest.raises(ValueError, match="needs X_holdout"):
        compare_tables({"a": numbers}, numbers, None)
    with pytest.raises(ValueError, match="Table 'a': X_synth lacks the columns"):
        compare_tables({"a": numbers[["a"]]}, numbers, numbers, metrics=METRICS)
    result = compare_tables(
        {"a": numbers}, numbers[:80], numbers[80:], metrics=METRICS, baselines=False
    )
    with pytest.raises(ValueError, match="Unknown generator 'b'"):
        result.compare("a", "b")
    with pytest.raises(ValueError, match="Unknown metric 'c2st_auc'"):
        result.compare("a", "a", metric="c2st_auc")


@pytest.mark.parametrize("classes", [True, False])
def test_discrete_columns_of_the_table_without_labels(numbers, classes):
    X = numbers.assign(c=np.arange(160) % 3)
    y = np.where(X["a"] > 0, "yes", "no") if classes else X["a"].to_numpy() * 2.5
    options = {"cv": 2, "metrics": [TRENDS], "baselines": False}
    found = [
        compare_generators([IndependentColumns()], X, y, discrete_columns=chosen, **options)
        for chosen in (["c"], [False, False, True])
    ]
    pd.testing.assert_frame_equal(found[0].folds, found[1].folds)


def test_pipelines_and_searches_without_labels_are_fitted_by_class(numbers):
    y = np.where(numbers["a"] > 0, "yes", "no")
    scoring = make_generator_scorer("neg_energy_distance")
    models = {
        "plain": GaussianCopula(),
        "pipeline": make_pipeline(StandardScaler(), GaussianCopula()),
        "search": GridSearchCV(
            make_pipeline(StandardScaler(), KernelDensity()),
            {"kerneldensity__bandwidth": [0.1, 0.3]},
            scoring=scoring,
            cv=2,
        ),
    }
    result = compare_generators(models, numbers, y, cv=2, metrics=[TRENDS], baselines=False)
    assert (result.table["n_failed"] == 0).all()
    assert (result.table[TRENDS] > 0.8).all()
    assert any(text.startswith("Fitted by class") for text in result.warnings)
