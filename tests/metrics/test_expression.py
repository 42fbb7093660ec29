import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import ks_2samp
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import (
    METRICS,
    gene_correlation_distance,
    gene_ks_distance,
    gene_moment_agreement,
    library_size_distance,
    mean_variance_trend_distance,
    split_half_value,
    zero_fraction_distance,
)
from synth_estimators.metrics import _expression_tables as reading
from synth_estimators.metrics._lowess import lowess

TWO_TABLES = [
    gene_ks_distance,
    gene_moment_agreement,
    gene_correlation_distance,
    mean_variance_trend_distance,
    zero_fraction_distance,
    library_size_distance,
]
each_metric = pytest.mark.parametrize("metric", TWO_TABLES, ids=lambda m: m.__name__)


def _counts(seed, n_rows=60, n_genes=30, factor=1.0):
    rng = np.random.default_rng(seed)
    level = np.exp(np.random.default_rng(99).normal(2.0, 1.2, size=n_genes))
    depth = rng.lognormal(0.0, 0.4, size=(n_rows, 1)) * factor
    names = [f"g{j}" for j in range(n_genes)]
    return pd.DataFrame(
        rng.poisson(level * depth * rng.gamma(9.0, 1 / 9, (n_rows, n_genes))), columns=names
    )


@each_metric
def test_a_table_against_itself_is_ideal(metric):
    real = _counts(0)
    assert metric(real, real.copy()) == pytest.approx(METRICS[metric.__name__].ideal, abs=1e-12)


@each_metric
def test_order_of_rows_and_genes_and_the_container_do_not_matter(metric):
    real, synth = _counts(0), _counts(1, n_rows=45)
    value = metric(real, synth)
    turned = synth.iloc[::-1, ::-1].set_axis(np.arange(45) + 7, axis=0)
    assert metric(real, turned) == pytest.approx(value, abs=1e-12)
    assert metric(real.astype("float32"), synth.astype("Int64")) == pytest.approx(value, abs=1e-6)
    assert metric(sparse.csr_matrix(real), sparse.coo_array(synth.to_numpy())) == pytest.approx(
        value, abs=1e-12
    )
    assert metric(real, sparse.csc_array(synth.to_numpy())) == pytest.approx(value, abs=1e-12)
    assert metric(real.astype(pd.SparseDtype("float64", 0)), synth.to_numpy()) == pytest.approx(
        value, abs=1e-12
    )


@each_metric
@pytest.mark.parametrize("scale", ["log2p1", "logcpm", "none"])
def test_blocks_of_genes_do_not_change_values(metric, scale, monkeypatch):
    real, synth = _counts(0), _counts(1, n_rows=45)
    value = metric(real, synth, scale=scale)
    monkeypatch.setattr(reading, "_BLOCK_ELEMENTS", 200)
    assert metric(real, synth, scale=scale) == pytest.approx(value, abs=1e-12)
    assert metric(sparse.csr_array(real.to_numpy()), synth, scale=scale) == pytest.approx(
        value, abs=1e-12
    )


@each_metric
def test_text_and_dates_are_no_genes(metric):
    real, synth = _counts(0), _counts(1)
    value = metric(real, synth)
    for table in (real, synth):
        table["group"] = np.resize(["A", "B"], len(table))
        table["day"] = pd.Timestamp("1960-01-01")
    assert metric(real, synth) == pytest.approx(value, abs=1e-12)
    real["batch"], synth["batch"] = 7, 9
    assert metric(real, synth, discrete_columns=["group", "batch"]) == pytest.approx(
        value, abs=1e-12
    )


@each_metric
def test_negative_synthetic_counts_become_zero_and_are_counted(metric):
    real, synth = _counts(0), _counts(1).astype(float)
    zeros = synth.copy()
    zeros.iloc[3, :4] = 0.0
    synth.iloc[3, :4] = -2.5
    found = metric(real, synth, breakdown=True)
    assert found.score == metric(real, zeros)
    assert found.n_negative == 4


@each_metric
def test_negative_real_counts_are_refused_and_scale_none_takes_them(metric):
    real = _counts(0) - 20
    with pytest.raises(ValueError, match=r"'g\d+' of X_real holds negative values.*scale='none'"):
        metric(real, real)
    if metric is not mean_variance_trend_distance:
        ideal = METRICS[metric.__name__].ideal
        assert metric(real, real, scale="none") == pytest.approx(ideal, abs=1e-12)


@each_metric
def test_missing_and_infinite_synthetic_cells(metric):
    real, synth = _counts(0), _counts(1).astype(float)
    synth.iloc[0, 0], synth.iloc[1, 2] = np.inf, np.nan
    assert np.isfinite(metric(real, synth))
    with pytest.raises(ValueError, match="'g0' of X_real contains infinity"):
        metric(synth, real)


@each_metric
def test_bad_tables_are_named(metric):
    real = _counts(0)
    with pytest.raises(ValueError, match=r"X_synth lacks the columns \['g3'\] of X_real"):
        metric(real, real.drop(columns="g3"))
    with pytest.raises(ValueError, match="X_synth is empty"):
        metric(real, sparse.csr_matrix((0, 30)))
    with pytest.raises(ValueError, match="duplicated column names"):
        metric(real.set_axis(["a"] * 30, axis=1), real)
    with pytest.raises(ValueError, match="scale='log' is unknown"):
        metric(real, real, scale="log")
    with pytest.raises(ValueError, match="no numeric column"):
        metric(pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": ["x", "y"]}))
    with pytest.raises(ValueError, match="holds text"):
        metric(real, real.astype({"g0": object}).assign(g0="many"))


def test_gene_ks_distance_is_the_mean_of_the_statistics():
    real, synth = _counts(0), _counts(1, n_rows=45, factor=1.5)
    found = gene_ks_distance(real, synth, breakdown=True)
    expected = [ks_2samp(real[c], synth[c]).statistic for c in real]
    np.testing.assert_allclose(found.details["score"], expected, atol=1e-12)
    assert found.details["column"].tolist() == list(real.columns)
    # Depth is divided out by counts per million, and the logarithm keeps ranks.
    assert gene_ks_distance(real, synth, scale="none") == pytest.approx(found.score, abs=1e-12)
    assert gene_ks_distance(real, synth, scale="logcpm") < 0.7 * found.score


def test_gene_missing_in_one_table_counts_as_the_worst():
    real, synth = _counts(0, n_genes=2), _counts(1, n_genes=2).astype(float)
    synth["g1"] = np.nan
    details = gene_ks_distance(real, synth, breakdown=True).details
    assert details["score"][1] == 1.0
    assert zero_fraction_distance(real, synth, breakdown=True).details["score"][1] == 1.0
    both = real.astype(float).assign(g1=np.nan)
    assert np.isnan(gene_ks_distance(both, synth, breakdown=True).details["score"][1])


def test_counts_per_million():
    real = np.array([[1, 3], [0, 0], [2, 2]])
    table, _ = reading.read_genes(real, real, scale="logcpm")
    expected = np.log2(np.array([[0.25, 0.75], [0, 0], [0.5, 0.5]]) * 1e6 + 1)
    np.testing.assert_allclose(table.dense(), expected)
    np.testing.assert_array_equal(table.totals, [4, 0, 4])


def test_moments_of_the_breakdown():
    real, synth = _counts(0), _counts(1, n_rows=45, factor=1.5)
    found = gene_moment_agreement(real, synth, breakdown=True)
    logs = np.log2(real + 1), np.log2(synth + 1)
    sd = [table.std() for table in logs]
    cv = [table.std() / table.mean() for table in logs]
    assert found.score == pytest.approx(np.corrcoef(*(t.mean() for t in logs))[0, 1])
    assert found.sd_pearson == pytest.approx(np.corrcoef(*sd)[0, 1])
    assert found.cv_difference == pytest.approx((cv[0] - cv[1]).abs().mean())
    assert found.sd_ks == pytest.approx(ks_2samp(*sd).statistic)
    zero = [(table == 0).mean() for table in (real, synth)]
    assert found.zero_ks == pytest.approx(ks_2samp(*zero).statistic)


def test_moments_of_one_gene_are_undefined():
    with pytest.warns(UndefinedMetricWarning, match="fewer than two genes differ"):
        assert np.isnan(gene_moment_agreement([[1.0], [2.0]], [[1.0], [3.0]]))


def test_library_size_sees_lost_dependence():
    real = _counts(0, n_rows=200)
    rng = np.random.default_rng(0)
    shuffled = real.apply(lambda column: rng.permutation(column))
    assert gene_ks_distance(real, shuffled) == 0.0
    assert library_size_distance(real, shuffled) > 0.25
    found = library_size_distance(real, shuffled, breakdown=True)
    expected = ks_2samp(np.log(real.sum(axis=1) + 1), np.log(shuffled.sum(axis=1) + 1)).statistic
    assert found.score == pytest.approx(expected)
    assert found.median_real == real.sum(axis=1).median()


def test_zeros_of_real_valued_generators():
    real = np.array([[0, 5], [0, 7], [3, 9], [8, 0]])
    synth = real + 0.2
    assert zero_fraction_distance(real, synth) == pytest.approx((0.5 + 0.25) / 2)
    assert zero_fraction_distance(real, synth, tolerance=0.5) == 0.0
    assert zero_fraction_distance(real, synth, breakdown=True).detected_ks == 0.75
    with pytest.raises(ValueError, match="tolerance"):
        zero_fraction_distance(real, synth, tolerance=-1)


def test_lowess_agrees_with_another_implementation():
    x = np.linspace(0, 4, 25) ** 1.3
    y = np.sin(x) + np.where(np.arange(25) % 7 == 3, 3.0, 0.0) + 0.1 * np.cos(9 * x)
    # statsmodels 0.15.0: lowess(y, x, frac=0.5, it=3, xvals=[0.5, 2.0, 3.3, 6.0]).
    expected = [0.44962877, 0.75019335, -0.1064756, -0.77803942]
    np.testing.assert_allclose(
        lowess(x, y, np.array([0.5, 2.0, 3.3, 6.0]), frac=0.5), expected, atol=1e-7
    )


def test_lowess_keeps_straight_lines_whatever_the_outliers():
    x = np.random.default_rng(0).uniform(0, 1, 300)
    y = 2.0 - 3.0 * x
    y[::10] += 50.0
    grid = np.linspace(0.05, 0.95, 7)
    np.testing.assert_allclose(lowess(x, y, grid), 2.0 - 3.0 * grid, atol=1e-6)
    tied = np.repeat([0.0, 1.0], 50)
    np.testing.assert_allclose(lowess(tied, tied * 4, np.array([0.0, 1.0])), [0.0, 4.0], atol=1e-9)


def test_trend_measures_a_factor_in_the_variance():
    rng = np.random.default_rng(0)
    level = np.linspace(50, 500, 200)
    noise = rng.normal(size=(100, 200))
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0, ddof=1)
    real = level + np.sqrt(level) * noise
    synth = level + np.sqrt(3.0 * level) * noise
    found = mean_variance_trend_distance(real, synth, scale="none", breakdown=True)
    assert found.score == pytest.approx(np.log(3.0), abs=1e-6)
    # The variance equals the mean.
    np.testing.assert_allclose(
        found.details["log_variance_real"], found.details["log_mean"], atol=1e-6
    )


def test_trends_without_a_common_range_are_undefined():
    real = np.random.default_rng(0).poisson(np.linspace(1, 9, 20), size=(30, 20))
    with pytest.warns(UndefinedMetricWarning, match="share no range"):
        assert np.isnan(mean_variance_trend_distance(real, real * 1000 + 500, scale="none"))
    with pytest.warns(UndefinedMetricWarning, match="2 genes have a positive mean"):
        mean_variance_trend_distance(real[:, :2], real[:, :2])
    with pytest.raises(ValueError, match="frac"):
        mean_variance_trend_distance(real, real, frac=0)


@each_metric
@pytest.mark.filterwarnings("ignore::synth_estimators.metrics.ConstantColumnWarning")
def test_one_row_gives_a_value_or_nan_with_a_warning(metric):
    real = _counts(0)
    if metric in (gene_correlation_distance, mean_variance_trend_distance):
        with pytest.warns(UndefinedMetricWarning, match=metric.__name__):
            assert np.isnan(metric(real, real.iloc[:1]))
    else:
        assert np.isfinite(metric(real, real.iloc[:1]))


def test_split_half_value_repeats_and_is_better_than_another_law():
    real, synth = _counts(0), _counts(1, factor=3.0)
    limit = split_half_value("gene_ks_distance", real, random_state=0)
    assert limit == split_half_value(gene_ks_distance, real, random_state=0)
    assert limit == split_half_value("gene_ks_distance", sparse.csc_array(real), random_state=0)
    assert limit < 0.6 * gene_ks_distance(real, synth)
    found = split_half_value("gene_ks_distance", real, n_splits=4, random_state=0, breakdown=True)
    assert len(found.details) == 4
    assert found.sd == pytest.approx(found.details["score"].std())
    assert found.n_half == 30


def test_split_half_value_deals_labels_evenly():
    real = _counts(0, n_rows=12).assign(group=["A"] * 4 + ["B"] * 8)
    seen = []

    def shares(X_real, X_synth, *, target=None):
        seen.append([(table[target] == "A").sum() for table in (X_real, X_synth)])
        return 0.0

    split_half_value(shares, real, metric_params={"target": "group"}, random_state=0)
    assert seen == [[2, 2]] * 10
    value = split_half_value(
        "de_agreement", real.drop(columns="group"), y=real["group"], random_state=0
    )
    assert np.isfinite(value)


def test_split_half_value_refuses_bad_input():
    real = _counts(0)
    with pytest.raises(ValueError, match="metric='ks' is unknown"):
        split_half_value("ks", real)
    with pytest.raises(ValueError, match="n_splits=0"):
        split_half_value("gene_ks_distance", real, n_splits=0)
    with pytest.raises(ValueError, match="3 rows"):
        split_half_value("gene_ks_distance", real.iloc[:3])
    with pytest.raises(ValueError, match="y has 2 labels"):
        split_half_value("gene_ks_distance", real, y=["A", "B"])
    with pytest.raises(ValueError, match="target='sex' is not a column"):
        split_half_value("de_agreement", real, metric_params={"target": "sex"})
