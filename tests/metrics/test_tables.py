"""What every metric makes of names, kinds of columns, missing and infinite cells."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.metrics import METRICS, column_shapes_score, tv_complement
from synth_estimators.preprocessing._columns import category_label, read_tables

FAST = {
    "c2st_auc": {"estimator": "logistic", "cv": 3},
    "c2st_score": {"estimator": "logistic", "cv": 3},
    "c2st_test": {"estimator": "logistic", "cv": 3},
    "pca_c2st_auc": {"estimator": "logistic", "cv": 3},
    "tstr_score": {"estimator": "logistic", "target": "label"},
    "trtr_score": {"estimator": "logistic", "target": "label"},
    "utility_ratio": {"estimator": "logistic", "target": "label"},
    "utility_gap": {"estimator": "logistic", "target": "label"},
    "trts_score": {"estimator": "logistic", "target": "label"},
    "augmentation_gain": {"estimator": "logistic", "target": "label"},
    "feature_importance_agreement": {
        "estimator": "logistic",
        "target": "label",
        "n_permutations": 1,
    },
    "all_targets_utility": {"estimator": "logistic"},
    "calibration_gap": {"estimator": "logistic", "target": "label"},
}
# Folds, permutations and targets of attacks are drawn by row number.
DRAWN_BY_ROW = {"mmd_test", "feature_importance_agreement"}
# Expression metrics take counts; tests/metrics/test_expression*.py say the same of them.
WHOLE_TABLE = [
    name
    for name, info in METRICS.items()
    if "column" not in info.needs and "_expression" not in info.function.__module__
]


# What a table has to hold for a value.
N_CONTINUOUS = {
    "boundary_adherence": 1,
    "correlation_distance": 2,
    "correlation_similarity": 2,
    "range_coverage": 1,
    "statistic_similarity": 1,
    "wasserstein_1d": 1,
    # Every combination of a few categories has its double: distances are 0, nobody stands out.
    **dict.fromkeys(
        [
            "authenticity",
            "dcr_baseline_protection",
            "dcr_quantile_ratio",
            "nn_adversarial_accuracy",
            "prdc_coverage",
            "prdc_density",
            "prdc_precision",
            "prdc_recall",
            "privacy_loss",
            "singling_out_risk",
        ],
        1,
    ),
}
OF_CATEGORIES = {"category_adherence", "category_coverage"}
OF_PAIRS = {
    "all_targets_utility",
    "association_distance",
    "column_pair_trends_score",
    "contingency_similarity",
    "inference_risk",
    "linkability_risk",
    "quality_score",
}


def _mixed(n_rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_rows)
    frame = pd.DataFrame(
        {
            "x": x,
            "z": 2 * x + rng.normal(size=n_rows),
            "k": rng.integers(0, 6, n_rows),
            "group": rng.choice(["a", "b", "c"], n_rows),
            "label": np.where(x + rng.normal(size=n_rows) > 0, "yes", "no"),
        }
    )
    frame.loc[frame.index[::9], "z"] = np.nan
    return frame


REAL, SYNTH, TRAIN = _mixed(60, 0), _mixed(60, 1), _mixed(60, 2)


def _call(name, real, synth, train=TRAIN, **more):
    options = {**FAST.get(name, {}), **more}
    if "X_train" in METRICS[name].needs:
        options["X_train"] = train
    if "random_state" in METRICS[name].function.__kwdefaults__:
        options["random_state"] = 0
    return METRICS[name].function(real, synth, **options)


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_breakdown_has_the_plain_value_and_a_frame(name):
    score = _call(name, REAL, SYNTH)
    assert isinstance(score, float)
    outcome = _call(name, REAL, SYNTH, breakdown=True)
    assert float(outcome.score) == score
    assert isinstance(outcome.details, pd.DataFrame)
    assert METRICS[name].low <= score <= METRICS[name].high


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_column_order_and_index_do_not_matter(name):
    shuffled = SYNTH[SYNTH.columns[::-1]].set_axis(np.arange(60) * 3 + 5, axis=0)
    assert _call(name, REAL, shuffled) == _call(name, REAL, SYNTH)


@pytest.mark.parametrize(
    "name", [name for name in WHOLE_TABLE if "c2st" not in name and name not in DRAWN_BY_ROW]
)
def test_row_order_does_not_matter(name):
    score = _call(name, REAL, SYNTH)
    permuted = _call(
        name, REAL.sample(frac=1, random_state=0), SYNTH.sample(frac=1, random_state=1)
    )
    assert permuted == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("name", WHOLE_TABLE)
@pytest.mark.parametrize("kind", ["float32", "nullable"])
def test_types_of_numbers_do_not_matter(name, kind):
    # Values that single precision holds exactly; granularity is a defect that trees may see.
    def prepare(frame):
        return frame.assign(x=(frame["x"] * 64).round() / 64, z=(frame["z"] * 64).round() / 64)

    real, synth, train = prepare(REAL), prepare(SYNTH), prepare(TRAIN)
    if kind == "float32":
        other = synth.astype({"x": "float32", "z": "float32", "k": "float32"})
    else:
        other = synth.astype({"x": "Float64", "z": "Float64", "k": "Int64", "group": "string"})
    expected = _call(name, real, synth, train)
    assert _call(name, real, other, train) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_mismatched_columns_are_named(name):
    with pytest.raises(ValueError, match=r"lacks the columns \['z'\]"):
        _call(name, REAL, SYNTH.drop(columns="z"))
    with pytest.raises(ValueError, match=r"has the columns \['new'\]"):
        _call(name, REAL, SYNTH.assign(new=1.0))


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_empty_tables_and_infinite_real_cells_are_refused(name):
    with pytest.raises(ValueError, match="X_synth is empty"):
        _call(name, REAL, SYNTH.iloc[:0])
    broken = REAL.assign(x=np.where(REAL.index == 3, np.inf, REAL["x"]))
    with pytest.raises(ValueError, match=r"Column 'x' of X_(real|train|holdout) contains infinity"):
        _call(name, broken, SYNTH, train=broken)


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_infinite_synthetic_cells_count_as_missing(name):
    infinite = SYNTH.assign(z=SYNTH["z"].fillna(-np.inf))
    assert _call(name, REAL, infinite) == _call(name, REAL, SYNTH)


def test_infinite_synthetic_cells_are_counted():
    infinite = SYNTH.assign(x=np.where(SYNTH.index < 4, np.inf, SYNTH["x"]))
    details = column_shapes_score(REAL, infinite, breakdown=True).details.set_index("column")
    assert details["n_nonfinite"].to_dict() == {"x": 4, "z": 0, "k": 0, "group": 0, "label": 0}


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_a_single_row_gives_a_value_or_nan_with_a_warning(name):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        value = _call(name, REAL.iloc[:1], SYNTH.iloc[:1], TRAIN.iloc[:1])
    undefined = [item for item in record if issubclass(item.category, UndefinedMetricWarning)]
    assert not np.isnan(value) or undefined


@pytest.mark.parametrize(
    "name", [name for name in WHOLE_TABLE if "target" not in METRICS[name].needs]
)
@pytest.mark.parametrize("columns", [["x"], ["group"], ["group", "label"], ["x", "k"]])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_tables_of_one_kind_or_one_column(name, columns):
    value = _call(name, REAL[columns], SYNTH[columns], TRAIN[columns])
    kinds = {"x": "continuous", "k": "continuous", "group": "discrete", "label": "discrete"}
    there = [kinds[column] for column in columns]
    # A single number may be taken as a category, but text is never a number.
    undefined = there.count("continuous") < N_CONTINUOUS.get(name, 0)
    undefined |= name in OF_CATEGORIES and "discrete" not in there and len(columns) > 1
    undefined |= name in OF_PAIRS and len(columns) == 1
    assert np.isnan(value) == undefined


def test_arrays_get_names_by_position():
    real, synth = REAL[["x", "k"]], SYNTH[["x", "k"]]
    expected = column_shapes_score(real, synth)
    assert column_shapes_score(real.to_numpy(), synth.to_numpy()) == expected
    assert column_shapes_score(real, synth.to_numpy()) == expected
    assert column_shapes_score(real.to_numpy(), synth) == expected
    details = column_shapes_score(real.to_numpy(), synth.to_numpy(), breakdown=True).details
    assert details["column"].tolist() == ["x0", "x1"]
    with pytest.raises(ValueError, match="2 columns, but X_synth has 3"):
        column_shapes_score(real.to_numpy(), SYNTH[["x", "k", "z"]])


@pytest.mark.parametrize(
    "values",
    [[1, 0, 1], [1.0, 0.0, 1.0], ["1", "0", "1"], [True, False, True], [" 1", "0 ", "1.0"]],
)
def test_forms_of_one_category_agree(values):
    reference = np.array([1, 0, 1])
    assert tv_complement(reference, values) == 1.0
    assert tv_complement(pd.Series(values, dtype="category"), reference) == 1.0
    frame, other = pd.DataFrame({"k": reference}), pd.DataFrame({"k": values})
    assert column_shapes_score(frame, other, discrete_columns=["k"]) == 1.0


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (None, "<NA>"),
        (np.nan, "<NA>"),
        (pd.NaT, "<NA>"),
        (np.float32(0.1), "0.1"),
        (0.1, "0.1"),
        (np.int8(-3), "-3"),
        ("01", "01"),
        (" a ", "a"),
        (b"a", "a"),
    ],
)
def test_category_labels(value, label):
    assert category_label(value) == label


def test_missing_is_a_category():
    assert tv_complement(["a", None, "b", None], ["a", np.nan, "b", pd.NA]) == 1.0
    assert tv_complement(["a", None, "b", None], ["a", "a", "b", "b"]) == 0.5


def test_kinds_of_columns_follow_the_real_table():
    real = pd.DataFrame(
        {"flag": [True, False], "when": pd.to_datetime(["2020-01-01", "2020-01-03"])}
    )
    synth = pd.DataFrame({"flag": ["1", "0"], "when": ["2020-01-01", "2020-01-03"]})
    details = column_shapes_score(real, synth, breakdown=True).details
    assert details["metric"].tolist() == ["tv_complement", "ks_complement"]
    assert details["score"].tolist() == [1.0, 1.0]


def test_datetimes_are_nanoseconds_and_missing_ones_are_missing():
    coarse = pd.DataFrame({"when": pd.Series(["2020-01-01", None], dtype="datetime64[s]")})
    fine = pd.DataFrame({"when": pd.to_datetime(["2020-01-01", None])})
    tables = read_tables({"X_real": coarse, "X_synth": fine})
    np.testing.assert_array_equal(tables["X_real"].continuous, tables["X_synth"].continuous)
    assert tables["X_real"].continuous[0, 0] == pd.Timestamp("2020-01-01").value


def test_text_in_a_continuous_column_is_named():
    with pytest.raises(ValueError, match="Column 'x' of X_synth holds text"):
        column_shapes_score(REAL[["x"]], pd.DataFrame({"x": ["1.5", "high"]}))


def test_discrete_columns_can_be_listed_or_masked():
    mask = [False, False, True, True, True]
    listed = column_shapes_score(REAL, SYNTH, discrete_columns=["k", "group", "label"])
    assert column_shapes_score(REAL, SYNTH, discrete_columns=mask) == listed
    outcome = column_shapes_score(REAL, SYNTH, discrete_columns=mask, breakdown=True)
    assert outcome.details["metric"].tolist() == ["ks_complement"] * 2 + ["tv_complement"] * 3
    with pytest.raises(ValueError, match="names 'q', which is not a column"):
        column_shapes_score(REAL, SYNTH, discrete_columns=["q"])
    with pytest.raises(ValueError, match="mask of length 2"):
        column_shapes_score(REAL, SYNTH, discrete_columns=[True, False])


def test_duplicated_names_are_refused():
    twice = pd.DataFrame(np.ones((3, 2)), columns=["a", "a"])
    with pytest.raises(ValueError, match=r"duplicated column names \['a'\]"):
        column_shapes_score(twice, twice)


def test_columns_missing_altogether():
    real = pd.DataFrame({"x": [1.0, 2.0], "g": ["a", "b"], "both": [np.nan, np.nan]})
    synth = real.assign(x=np.nan, g=None)
    details = column_shapes_score(real, synth, breakdown=True).details
    np.testing.assert_array_equal(details["score"], [0.0, 0.0, np.nan])
    with pytest.warns(UndefinedMetricWarning, match="column_shapes_score is undefined"):
        assert np.isnan(column_shapes_score(real[["both"]], real[["both"]]))


def test_polars_tables_are_read():
    polars = pytest.importorskip("polars")
    synth = polars.DataFrame(
        {name: [None if pd.isna(v) else v for v in SYNTH[name].tolist()] for name in SYNTH}
    )
    assert column_shapes_score(REAL, synth) == column_shapes_score(REAL, SYNTH)


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_global_generator_is_left_alone(name):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    _call(name, REAL, SYNTH.iloc[:40], TRAIN.iloc[:50])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("name", WHOLE_TABLE)
def test_int_seed_repeats_where_rows_are_cut(name):
    smaller = SYNTH.iloc[:41]
    assert _call(name, REAL, smaller, TRAIN.iloc[:50]) == _call(
        name, REAL, smaller, TRAIN.iloc[:50]
    )
