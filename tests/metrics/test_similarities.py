"""Metrics of pairs and sets of columns."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats.contingency import association
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import (
    ConstantColumnWarning,
    association_distance,
    column_pair_trends_score,
    contingency_similarity,
    correlation_similarity,
    marginal_k_similarity,
    quality_score,
)


def _tables(missing=False):
    rng = np.random.default_rng(0)
    tables = []
    for n in (90, 70):
        x = rng.normal(size=n)
        frame = pd.DataFrame(
            {
                "x": x,
                "g": np.where(x + rng.normal(size=n) > 0, "a", rng.choice(list("bc"), n)),
                "y": x**3 + rng.normal(size=n),
                "h": rng.choice(list("uv"), n),
                "k": rng.poisson(3, n) + (x > 1),
            }
        )
        if missing:
            frame.loc[rng.random(n) < 0.2, "y"] = np.nan
            frame.loc[rng.random(n) < 0.2, "k"] = np.nan
        tables.append(frame)
    return tables


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("coefficient", ["pearson", "spearman", "kendall"])
def test_correlations_agree_with_pandas(coefficient, missing):
    real, synth = _tables(missing)
    outcome = correlation_similarity(real, synth, coefficient=coefficient, breakdown=True)
    a, b = (table[["x", "y", "k"]].corr(coefficient).to_numpy() for table in (real, synth))
    upper = np.triu_indices(3, 1)
    np.testing.assert_allclose(outcome.details["correlation_real"], a[upper], atol=1e-12)
    np.testing.assert_allclose(outcome.details["score"], (1 - np.abs(a - b) / 2)[upper], atol=1e-12)
    assert outcome.score == pytest.approx(outcome.details["score"].mean())
    assert outcome.details["column_1"].tolist() == ["x", "x", "y"]


@pytest.mark.parametrize("coefficient", ["spearman", "kendall"])
def test_rank_correlations_are_invariant_to_monotone_maps(coefficient):
    real, synth = (table[["x", "y", "k"]] for table in _tables())
    expected = correlation_similarity(real, synth, coefficient=coefficient)
    mapped = correlation_similarity(np.exp(real / 5), np.exp(synth / 5), coefficient=coefficient)
    assert mapped == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("coefficient", ["pearson", "spearman", "kendall"])
def test_a_collapsed_column_is_not_forgiven(coefficient):
    x = np.arange(20.0)
    real = pd.DataFrame({"a": x, "b": -x})
    with pytest.warns(ConstantColumnWarning):
        score = correlation_similarity(real, real.assign(b=1.0), coefficient=coefficient)
    assert score == pytest.approx(0.5)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(correlation_similarity(real.assign(b=1.0), real, coefficient=coefficient))


def test_wrong_coefficients_are_refused():
    real, synth = _tables()
    with pytest.raises(ValueError, match="coefficient='phi' is unknown"):
        correlation_similarity(real, synth, coefficient="phi")
    with pytest.raises(ValueError, match="takes no sample_weight"):
        correlation_similarity(real, synth, coefficient="kendall", sample_weight=np.ones(90))
    with pytest.raises(ValueError, match="binning='mine' is unknown"):
        contingency_similarity(real, synth, binning="mine")


def test_contingency_of_two_continuous_columns():
    real, synth = (table[["x", "y"]] for table in _tables())
    edges = [np.histogram_bin_edges(real[c], 10)[1:-1] for c in "xy"]
    joint = []
    for table in (real, synth):
        cells = [np.digitize(table[c], e) for c, e in zip("xy", edges, strict=True)]
        joint.append(np.bincount(cells[0] * 10 + cells[1], minlength=100) / len(table))
    expected = 1 - np.abs(joint[0] - joint[1]).sum() / 2
    assert contingency_similarity(real, synth) == pytest.approx(expected)


def test_pairs_with_a_discrete_column_are_those_of_the_trends():
    real, synth = _tables(missing=True)
    ours = contingency_similarity(real, synth, breakdown=True).details
    trends = column_pair_trends_score(real, synth, breakdown=True).details
    mixed = trends["metric"] == "contingency_similarity"
    assert ours["column_1"].tolist() == trends["column_1"].tolist()
    np.testing.assert_allclose(ours["score"][mixed], trends["score"][mixed])
    assert len(ours) == 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_own_edges_reproduce_the_report_of_sdmetrics():
    reports = pytest.importorskip("sdmetrics.reports.single_table", exc_type=ImportError)
    rng = np.random.default_rng(0)
    # Correlations of all sizes, so that both thresholds are met and missed.
    x = rng.normal(size=(300, 1))
    table = pd.DataFrame(x + rng.normal(size=(300, 6)) * [0.2, 0.5, 0.8, 1.0, 1.3, 2.0])
    table = table.add_prefix("x")
    for j, noise in enumerate((0.1, 0.7, 2.0)):
        table[f"g{j}"] = np.where(x[:, 0] + noise * rng.normal(size=300) > 0, "a", "b")
    real, synth = table.iloc[:150], table.iloc[150:].assign(x2=lambda t: t["x2"] * 2)
    kinds = {name: "categorical" if name[0] == "g" else "numerical" for name in table}
    report = reports.QualityReport()
    columns = {name: {"sdtype": kind} for name, kind in kinds.items()}
    report.generate(real, synth, {"columns": columns}, verbose=False)
    peer = report.get_details("Column Pair Trends")
    ours = column_pair_trends_score(real, synth, binning="own", breakdown=True)
    left = peer.set_index(["Column 1", "Column 2"])["Score"].sort_index()
    right = ours.details.set_index(["column_1", "column_2"])["score"].sort_index()
    np.testing.assert_allclose(right, left, atol=1e-9)
    assert 5 < np.isnan(left).sum() < 30


def test_quality_score_lists_columns_and_pairs():
    real, synth = _tables()
    outcome = quality_score(real, synth, breakdown=True)
    assert len(outcome.details) == 5 + 10
    assert outcome.score == 0.5 * (outcome.column_shapes + outcome.column_pair_trends)
    with pytest.warns(UndefinedMetricWarning, match="no pair"):
        assert np.isnan(quality_score(real[["x"]], synth[["x"]]))


def test_associations_agree_with_direct_formulas():
    real, synth = _tables()
    details = association_distance(real, synth, breakdown=True).details
    found = {(row.column_1, row.column_2): row.association_real for row in details.itertuples()}
    assert list(found) == list(combinations(real.columns, 2))
    assert found["x", "y"] == pytest.approx(abs(np.corrcoef(real["x"], real["y"])[0, 1]))
    for column in ("x", "y", "k"):
        for group in ("g", "h"):
            means = real.groupby(group)[column].transform("mean")
            eta = np.sqrt(means.var(ddof=0) / real[column].var(ddof=0))
            pair = next(key for key in found if set(key) == {column, group})
            assert found[pair] == pytest.approx(eta)
    table = pd.crosstab(real["g"], real["h"]).to_numpy()
    r, k, n = 3, 2, 90
    phi2 = association(table, method="cramer") ** 2 * (k - 1)
    phi2 = max(0, phi2 - (r - 1) * (k - 1) / (n - 1))
    expected = np.sqrt(phi2 / (k - (k - 1) ** 2 / (n - 1) - 1))
    assert found["g", "h"] == pytest.approx(expected)


def test_associations_lie_between_zero_and_one_in_known_cases():
    g = np.repeat(["a", "b", "c"], 20)
    frame = pd.DataFrame({"g": g, "same": g, "x": np.repeat([1.0, 5.0, 2.0], 20)})
    details = association_distance(frame, frame, breakdown=True).details
    np.testing.assert_allclose(details["association_real"], [1.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    shuffled = frame.apply(lambda column: rng.permutation(column))
    assert association_distance(frame, shuffled) > 0.7
    assert association_distance(frame, frame) == 0.0


def test_missing_cells_and_collapsed_columns_in_associations():
    real, synth = _tables(missing=True)
    details = association_distance(real, synth, breakdown=True).details
    pair = details.query("column_1 == 'g' and column_2 == 'y'")["association_real"].item()
    complete = real.dropna(subset=["y"])
    means = complete.groupby("g")["y"].transform("mean")
    assert pair == pytest.approx(np.sqrt(means.var(ddof=0) / complete["y"].var(ddof=0)))
    with pytest.warns(ConstantColumnWarning, match=r"1 columns .*\['g'\]"):
        collapsed = association_distance(real, synth.assign(g="a"), breakdown=True).details
    lost = (collapsed["column_1"] == "g") | (collapsed["column_2"] == "g")
    np.testing.assert_array_equal(collapsed["association_synth"][lost], 0.0)


def test_a_category_for_every_row_has_no_association():
    frame = pd.DataFrame({"id": [f"i{j}" for j in range(40)], "g": np.resize(["a", "b"], 40)})
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(association_distance(frame, frame))


def test_marginal_similarity_of_categories_by_hand():
    real, synth = _tables()
    p = real.groupby(["g", "h"]).size() / 90
    q = synth.groupby(["g", "h"]).size() / 70
    expected = 1 - p.subtract(q, fill_value=0).abs().sum() / 2
    score = marginal_k_similarity(real[["g", "h"]], synth[["g", "h"]], k=2)
    assert score == pytest.approx(expected)


def test_marginal_similarity_draws_sets_of_columns():
    real, synth = _tables(missing=True)
    everything = marginal_k_similarity(real, synth, breakdown=True)
    assert everything.details["columns"].tolist() == list(combinations(real.columns, 3))
    assert everything.score == pytest.approx(everything.details["score"].mean())
    some = marginal_k_similarity(real, synth, n_tuples=4, random_state=0, breakdown=True)
    assert len(set(some.details["columns"])) == 4
    again = marginal_k_similarity(real, synth, n_tuples=4, random_state=0)
    assert again == some.score
    known = dict(zip(everything.details["columns"], everything.details["score"], strict=True))
    assert [known[c] for c in some.details["columns"]] == some.details["score"].tolist()


def test_marginal_similarity_lowers_k_and_checks_it():
    real, synth = _tables()
    with pytest.warns(UserWarning, match="k=2 is used"):
        assert marginal_k_similarity(real[["g", "x"]], synth[["g", "x"]], breakdown=True).k == 2
    with pytest.raises(ValueError, match="k=0"):
        marginal_k_similarity(real, synth, k=0)
    with pytest.raises(ValueError, match="n_tuples=0"):
        marginal_k_similarity(real, synth, n_tuples=0)


def test_marginal_similarity_sees_what_pairs_do_not():
    # The sign of a product of three: all pairs are independent.
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 1], size=(4000, 3))
    signs[:, 2] = signs[:, 0] * signs[:, 1]
    real = pd.DataFrame(signs.astype(str), columns=list("abc"))
    shuffled = real.apply(lambda column: rng.permutation(column))
    assert column_pair_trends_score(real, shuffled) > 0.97
    assert marginal_k_similarity(real, shuffled) < 0.6
