import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import cluster_agreement, de_agreement


def _study(seed, n_rows=60, effect=1.5, n_genes=40):
    rng = np.random.default_rng(seed)
    groups = np.resize(["A", "B"], n_rows)
    level = np.exp(np.random.default_rng(99).normal(3.0, 1.0, size=n_genes))
    fold = np.where(np.arange(n_genes) < 10, effect, 1.0)
    rate = level * np.where(groups[:, None] == "B", fold, 1.0) * rng.gamma(9, 1 / 9, (n_rows, 1))
    table = pd.DataFrame(rng.poisson(rate), columns=[f"g{j}" for j in range(n_genes)])
    return table.assign(group=groups)


def test_tests_of_the_genes_are_those_of_scipy():
    real, synth = _study(0), _study(1, n_rows=50)
    details = de_agreement(real, synth, target="group", breakdown=True).details
    for table, side in ((real, "real"), (synth, "synth")):
        logs = np.log2(table.drop(columns="group") + 1)
        first, second = logs[table["group"] == "A"], logs[table["group"] == "B"]
        expected = ttest_ind(second, first, equal_var=False)
        np.testing.assert_allclose(details[f"t_{side}"], expected.statistic, atol=1e-10)
        np.testing.assert_allclose(details[f"p_{side}"], expected.pvalue, atol=1e-10)
        np.testing.assert_allclose(details[f"difference_{side}"], second.mean() - first.mean())


def test_missing_values_are_dropped_gene_by_gene():
    real, synth = _study(0), _study(1).astype({"g0": float})
    synth.loc[:4, "g0"] = np.nan
    details = de_agreement(real, synth, target="group", breakdown=True).details
    logs = np.log2(synth["g0"] + 1)
    expected = ttest_ind(
        logs[synth["group"] == "B"],
        logs[synth["group"] == "A"],
        equal_var=False,
        nan_policy="omit",
    )
    assert details["t_synth"][0] == pytest.approx(expected.statistic)
    assert details["p_synth"][0] == pytest.approx(expected.pvalue)


def test_a_table_agrees_with_itself():
    real = _study(0)
    found = de_agreement(real, real.copy(), target="group", breakdown=True)
    for name in (
        "score",
        "lfc_pearson",
        "t_spearman",
        "jaccard",
        "sign_agreement",
        "ccc_log2FC",
        "ccc_log10pvalue",
    ):
        assert found[name] == pytest.approx(1.0, abs=1e-12), name
    assert found.fail_prop == 0.0
    assert found.n_sig_real == found.n_sig_synth > 0


def test_swapped_labels_turn_the_sign():
    real = _study(0)
    swapped = real.assign(group=real["group"].map({"A": "B", "B": "A"}))
    found = de_agreement(real, swapped, target="group", breakdown=True)
    assert found.score == pytest.approx(-1.0)
    assert found.sign_agreement == 0.0
    assert found.jaccard == 1.0


def test_shuffled_labels_lose_the_agreement():
    real, fresh = _study(0), _study(1)
    lost = fresh.assign(group=np.random.default_rng(0).permutation(fresh["group"]))
    assert de_agreement(real, fresh, target="group") > 0.8
    assert de_agreement(real, lost, target="group") < 0.5


def test_spellings_of_labels_agree():
    real, synth = _study(0), _study(1)
    whole = real.assign(group=(real["group"] == "B").astype(int))
    text = synth.assign(group=np.where(synth["group"] == "B", "1.0", "0"))
    floats = synth.assign(group=(synth["group"] == "B").astype(float))
    value = de_agreement(real, synth, target="group")
    assert de_agreement(whole, text, target="group") == pytest.approx(value)
    assert de_agreement(whole, floats, target="group", order=(0, 1)) == pytest.approx(value)


def test_order_chooses_two_of_several_groups():
    real, synth = _study(0), _study(1)
    value = de_agreement(real, synth, target="group")
    more = pd.concat([real, real.iloc[:6].assign(group="C")], ignore_index=True)
    with pytest.raises(ValueError, match=r"3 groups \['A', 'B', 'C'\].*order="):
        de_agreement(more, synth, target="group")
    found = de_agreement(more, synth, target="group", order=("B", "A"), breakdown=True)
    assert found.score == pytest.approx(value)
    assert found.n_dropped == 6
    with pytest.raises(ValueError, match="names the group 'D'"):
        de_agreement(real, synth, target="group", order=("A", "D"))
    with pytest.raises(ValueError, match="two different groups"):
        de_agreement(real, synth, target="group", order=("A", "A"))


def test_genes_that_died_are_counted():
    real, synth = _study(0), _study(1)
    synth[["g1", "g2"]] = 5
    found = de_agreement(real, synth, target="group", breakdown=True)
    assert found.fail_prop == pytest.approx(2 / 40)
    assert np.isfinite(found.t_spearman)


def test_no_findings_leave_the_overlap_undefined():
    real, synth = _study(0, effect=1.0), _study(1, effect=1.0)
    found = de_agreement(real, synth, target="group", level=1e-6, breakdown=True)
    assert found.n_sig_real == found.n_sig_synth == 0
    assert np.isnan(found.jaccard)
    assert np.isnan(found.sign_agreement)


@pytest.mark.parametrize("metric", [de_agreement, cluster_agreement])
def test_labels_are_asked_for(metric):
    real = _study(0)
    genes = real.drop(columns="group")
    with pytest.raises(ValueError, match="pass target="):
        metric(genes, genes)
    with pytest.raises(ValueError, match="got \\['y_real'\\]"):
        metric(genes, genes, y_real=real["group"])
    with pytest.raises(ValueError, match="y_synth has shape"):
        metric(genes, genes, y_real=real["group"], y_synth=["A"])
    with pytest.raises(ValueError, match="target='sex' is not a column of X_real"):
        metric(real, real, target="sex")


def test_a_group_without_synthetic_samples_is_undefined():
    real, synth = _study(0), _study(1).assign(group="A")
    with pytest.warns(UndefinedMetricWarning, match="X_synth has 0 samples of group 'B'"):
        assert np.isnan(de_agreement(real, synth, target="group"))


def test_clusters_of_real_samples_carry_over():
    real, synth = _study(0, effect=30.0), _study(1, effect=30.0)
    found = cluster_agreement(real, synth, target="group", random_state=0, breakdown=True)
    assert found.ari_real == found.ari_synth == found.ari_joint == 1.0
    assert found.score == 0.0
    assert found.complementary_ari > 0.95
    assert len(found.details) == 120
    lost = synth.assign(group=np.random.default_rng(0).permutation(synth["group"]))
    assert cluster_agreement(real, lost, target="group", random_state=0) > 0.8


def test_clusters_that_tell_the_tables_apart_have_no_complementary_ari():
    real = _study(0, effect=1.0)
    synth = real.copy()
    synth[[c for c in synth if c != "group"]] *= 50
    found = cluster_agreement(real, synth, target="group", random_state=0, breakdown=True)
    assert found.complementary_ari < 0.05


def test_clusters_repeat_and_take_missing_labels_and_values():
    real, synth = _study(0), _study(1).astype({"g3": float})
    synth.loc[2, "group"], synth.loc[5, "g3"] = None, np.nan
    found = cluster_agreement(real, synth, target="group", random_state=3, breakdown=True)
    assert found.score == cluster_agreement(real, synth, target="group", random_state=3)
    assert found.n_dropped == 1
    with pytest.raises(ValueError, match="at least two"):
        cluster_agreement(real.assign(group="A"), synth, target="group")
    with pytest.warns(UndefinedMetricWarning, match="no synthetic sample has a group"):
        cluster_agreement(real, synth.assign(group=None), target="group", random_state=0)
