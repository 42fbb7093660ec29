import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import (
    ConstantColumnWarning,
    correlation_noise_floor,
    gene_correlation_distance,
    gene_ks_distance,
    split_half_value,
    zero_fraction_distance,
)
from synth_estimators.metrics._expression_structure import concordance


def _factors(seed, n_rows=80, n_genes=20):
    loadings = np.random.default_rng(7).normal(size=(2, n_genes))
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, 2)) @ loadings + rng.normal(size=(n_rows, n_genes))


def _upper(table):
    r = np.corrcoef(table, rowvar=False)
    return r[np.triu_indices(len(r), k=1)]


def test_values_of_the_breakdown_are_those_of_the_correlation_matrices():
    real, synth = _factors(0), _factors(1)
    found = gene_correlation_distance(real, synth, scale="none", breakdown=True)
    a, b = _upper(real), _upper(synth)
    assert found.score == pytest.approx(np.abs(a - b).mean())
    assert found.pearson == pytest.approx(np.corrcoef(a, b)[0, 1])
    positive = a > 0
    assert found.ccc_pos == pytest.approx(concordance(a[positive], b[positive]))
    assert found.noise_floor == correlation_noise_floor(80, 80)
    full = [np.corrcoef(table, rowvar=False) for table in (real, synth)]
    np.testing.assert_allclose(
        found.details["score"], np.abs(full[0] - full[1]).sum(axis=0) / (len(full[0]) - 1)
    )


def test_groups_of_genes_limit_the_concordance():
    real, synth = _factors(0), _factors(1)
    groups = np.repeat(["chr1", "chr2"], 10)
    found = gene_correlation_distance(real, synth, scale="none", gene_groups=groups, breakdown=True)
    a, b = _upper(real), _upper(synth)
    first, second = np.triu_indices(20, k=1)
    chosen = (a > 0) & (groups[first] == groups[second])
    assert found.ccc_pos == pytest.approx(concordance(a[chosen], b[chosen]))
    with pytest.raises(ValueError, match="20 genes; pass one group a gene"):
        gene_correlation_distance(real, synth, scale="none", gene_groups=groups[:3])


def test_concordance_of_known_vectors():
    # Lin (1989): 2 cov / (var_a + var_b + (mean_a - mean_b)^2) = 2 * 2/3 / (2/3 + 2/3 + 1).
    assert concordance(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx(4 / 7)
    assert concordance(np.arange(4.0), -np.arange(4.0) + 3) == pytest.approx(-1.0)
    assert np.isnan(concordance(np.ones(3), np.ones(3)))


def test_the_most_variable_genes_are_compared():
    real, synth = _factors(0), _factors(1)
    real[:, [3, 11, 17]] *= 10.0
    found = gene_correlation_distance(real, synth, scale="none", max_genes=3, breakdown=True)
    assert found.details["column"].tolist() == ["x3", "x11", "x17"]
    assert found.score == gene_correlation_distance(
        real[:, [3, 11, 17]], synth[:, [3, 11, 17]], scale="none"
    )
    with pytest.raises(ValueError, match="max_genes=0"):
        gene_correlation_distance(real, synth, scale="none", max_genes=0)


def test_constant_genes_are_left_out_and_counted():
    real, synth = _factors(0), _factors(1)
    real[:, 0], synth[:, 0], synth[:, 5] = 2.0, 3.0, 0.1
    with pytest.warns(ConstantColumnWarning, match=r"1 genes are constant .*\['x5'\]"):
        found = gene_correlation_distance(real, synth, scale="none", breakdown=True)
    assert (found.n_constant, found.n_constant_synth, found.n_genes) == (2, 1, 18)
    kept = np.delete(np.arange(20), [0, 5])
    assert found.score == pytest.approx(
        gene_correlation_distance(real[:, kept], synth[:, kept], scale="none")
    )


def test_fewer_than_two_genes_are_undefined():
    with pytest.warns(UndefinedMetricWarning, match="fewer than two genes vary"):
        assert np.isnan(gene_correlation_distance([[1.0], [2.0]], [[1.0], [3.0]]))


def test_shift_and_scale_of_a_gene_do_not_matter():
    real, synth = _factors(0), _factors(1)
    value = gene_correlation_distance(real, synth, scale="none")
    moved = gene_correlation_distance(real * 5.0 + 3.0, synth * 0.1 - 7.0, scale="none")
    assert moved == pytest.approx(value, abs=1e-12)


def test_pairs_use_the_rows_complete_in_both():
    real, synth = _factors(0), _factors(1)
    real[:7, 2] = np.nan
    a = pd.DataFrame(real).corr().to_numpy()
    b = np.corrcoef(synth, rowvar=False)
    upper = np.triu_indices(20, k=1)
    value = gene_correlation_distance(real, synth, scale="none")
    assert value == pytest.approx(np.abs(a - b)[upper].mean(), abs=1e-12)


def test_noise_floor_is_what_independent_genes_give():
    rng = np.random.default_rng(0)
    real, synth = rng.normal(size=(60, 150)), rng.normal(size=(90, 150))
    value = gene_correlation_distance(real, synth, scale="none")
    # 11,175 pairs: the mean is known to about one per cent.
    assert value == pytest.approx(correlation_noise_floor(60, 90), rel=0.03)
    halves = split_half_value(
        "gene_correlation_distance", real, metric_params={"scale": "none"}, random_state=0
    )
    assert halves == pytest.approx(correlation_noise_floor(30, 30), rel=0.05)
    with pytest.raises(ValueError, match="at least 4"):
        correlation_noise_floor(3, 60)


def test_lost_dependence_is_far_above_the_floor():
    real, fresh = _factors(0, n_rows=300), _factors(1, n_rows=300)
    shuffled = np.random.default_rng(0).permuted(real, axis=0)
    limit = gene_correlation_distance(real, fresh, scale="none")
    assert gene_correlation_distance(real, shuffled, scale="none") > 4 * limit


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::synth_estimators.metrics.ConstantColumnWarning")
def test_twenty_thousand_genes_stay_in_bounded_memory():
    rng = np.random.default_rng(0)
    level = rng.lognormal(0.0, 1.5, 20_000)
    real, synth = (sparse.csr_array(rng.poisson(level * 0.1, (200, 20_000))) for _ in range(2))
    tracemalloc.start()
    for metric in (gene_ks_distance, zero_fraction_distance, gene_correlation_distance):
        assert 0 <= metric(real, synth) < 0.5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Two dense tables take 64 MB, one matrix of all correlations 3,200 MB.
    assert peak < 400e6
