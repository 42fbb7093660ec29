"""Input that is broken or degenerate: a clear error, or a value with a warning."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from synth_estimators.baselines import IndependentColumns
from synth_estimators.metrics import (
    METRICS,
    Panel,
    augmentation_gain,
    calibration_gap,
    column_shapes_score,
    exact_copy_share,
    trts_score,
    tstr_score,
)
from synth_estimators.model_selection import (
    compare_tables,
    cross_validate_generator,
    make_generator_scorer,
)
from synth_estimators.preprocessing._columns import read_tables

CHEAP = {"estimator": "logistic"}
OPTIONS = {
    "c2st_auc": {**CHEAP, "cv": 3},
    "c2st_score": {**CHEAP, "cv": 3},
    "c2st_test": {**CHEAP, "cv": 3},
    "pca_c2st_auc": {**CHEAP, "cv": 3},
    "mmd_test": {"n_permutations": 20},
    "all_targets_utility": CHEAP,
    **{
        name: CHEAP
        for name, info in METRICS.items()
        if "estimator" in info.function.__kwdefaults__ and "target" in info.needs
    },
    "feature_importance_agreement": {**CHEAP, "n_permutations": 1},
}
TABLE_METRICS = [
    name
    for name, info in METRICS.items()
    if "column" not in info.needs and "_expression" not in info.function.__module__
]


def _table(seed, n_rows=40):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_rows)
    return pd.DataFrame(
        {
            "x": x,
            "z": x + rng.normal(size=n_rows),
            "k": rng.integers(0, 4, n_rows),
            "group": rng.choice(["a", "b"], n_rows),
            "flag": rng.random(n_rows) < 0.5,
            "label": np.where(x + rng.normal(size=n_rows) > 0, "yes", "no"),
        }
    )


REAL, SYNTH, TRAIN = _table(0), _table(1), _table(2)


def _call(name, real=REAL, synth=SYNTH, train=TRAIN, **more):
    info = METRICS[name]
    options = {**OPTIONS.get(name, {}), **more}
    if "target" in info.needs:
        options.setdefault("target", "label")
    if "X_train" in info.needs:
        options["X_train"] = train
    if "random_state" in info.function.__kwdefaults__:
        options["random_state"] = 0
    return info.function(real, synth, **options)


REFUSED = {
    "duplicated": (lambda t: pd.concat([t, t[["x"]]], axis=1), r"duplicated column names \['x'\]"),
    "text": (lambda t: t.assign(x="high"), "Column 'x' of X_synth holds text"),
    "dates": (lambda t: t.assign(x=pd.Timestamp("2020-01-01")), "holds dates or times, but the re"),
    "complex": (lambda t: t.assign(x=t["x"] + 1j), "Column 'x' of X_synth is complex"),
    "period": (
        lambda t: t.assign(x=pd.period_range("2020", periods=len(t), freq="M")),
        r"has the type period.*\.dt\.to_timestamp\(\)",
    ),
    "dict": (lambda t: t.to_dict("list"), "X_synth must be a data frame or a 2-D array, got dict"),
    "nothing": (lambda t: 3.0, "X_synth must be a data frame or a 2-D array, got float"),
}


@pytest.mark.parametrize("name", TABLE_METRICS)
@pytest.mark.parametrize("case", REFUSED)
def test_broken_synthetic_tables_are_refused(name, case):
    change, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        _call(name, synth=change(SYNTH))


@pytest.mark.parametrize(
    "form",
    [
        {"k": "float", "flag": "str", "label": "category", "group": "string"},
        {"k": "str", "flag": "float"},
        {"k": "Int64", "flag": "boolean"},
    ],
    ids=["float", "text", "nullable"],
)
@pytest.mark.parametrize("name", TABLE_METRICS)
def test_forms_of_one_value_agree_without_a_word(name, form):
    options = {"discrete_columns": ["k", "flag", "group", "label"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        expected = _call(name, **options)
        value = _call(name, synth=SYNTH.astype(form), **options)
    assert value == expected


def _holes(table, every=3):
    return table.mask(np.broadcast_to(table.index.to_numpy()[:, None] % every == 0, table.shape))


DEGENERATE = {
    "one row": lambda t: t.iloc[:1],
    "constant": lambda t: pd.concat([TRAIN.iloc[[0]]] * len(t), ignore_index=True),
    "one class": lambda t: t.assign(label="yes"),
    "missing column": lambda t: t.assign(z=np.nan, group=None),
    "mixed objects": lambda t: t.assign(group=[[1], "a", 2.5, None] * (len(t) // 4)),
    "missing altogether": lambda t: t.mask(t.notna()),
}
# These need the same columns and kinds in all tables.
OTHER_KINDS = {
    "single column": lambda t: t[["x", "label"]],
    "discrete": lambda t: t[["group", "flag", "label"]],
    "nullable": lambda t: _holes(t.convert_dtypes()),
    "dates": lambda t: _holes(
        t.assign(x=pd.Timestamp("2020-01-01") + pd.to_timedelta(t["x"].round(1), unit="D"))
    ),
}


@pytest.mark.parametrize("case", [*DEGENERATE, *OTHER_KINDS])
@pytest.mark.parametrize("name", TABLE_METRICS)
def test_degenerate_tables_give_a_value_or_an_explained_nan(name, case):
    change = {**DEGENERATE, **OTHER_KINDS}[case]
    everywhere = {"real": change(REAL), "synth": change(SYNTH), "train": change(TRAIN)}
    for tables in [everywhere] + ([{"synth": change(SYNTH)}] if case in DEGENERATE else []):
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            try:
                value = _call(name, **tables)
            except ValueError as exc:
                assert case == "missing altogether"
                assert "holds missing cells only" in str(exc)  # noqa: PT017
                continue
        assert not [item for item in record if issubclass(item.category, RuntimeWarning)]
        undefined = [item for item in record if issubclass(item.category, UndefinedMetricWarning)]
        assert not np.isnan(value) or undefined
        assert np.isnan(value) or METRICS[name].low <= value <= METRICS[name].high


def test_mismatches_of_cells_are_warned_of():
    cases = {
        r"holds 4 infinite cells \(or beyond 1e\+100\) in 1 columns, 'x' first": {
            "x": np.where(SYNTH.index < 4, np.inf, SYNTH["x"])
        },
        "2 columns are missing altogether in X_synth but not in X_real, 'z' first": {
            "z": np.nan,
            "group": None,
        },
        r"No category of column 'label'.*real: \['no', 'yes'\], X_synth: \['No', 'Yes'\]": {
            "label": SYNTH["label"].str.title()
        },
    }
    for message, change in cases.items():
        with pytest.warns(UserWarning, match=message):
            column_shapes_score(REAL, SYNTH.assign(**change))


def test_numbers_beyond_what_can_be_squared_count_as_infinite():
    with pytest.raises(ValueError, match=r"infinity or numbers beyond 1e\+100"):
        column_shapes_score(REAL.assign(x=1e200), SYNTH)
    with pytest.warns(UserWarning, match="40 infinite cells"):
        tables = read_tables({"X_real": REAL, "X_synth": SYNTH.assign(x=-1e200)})
    assert tables["X_synth"].n_nonfinite[0] == 40
    assert np.isnan(tables["X_synth"].continuous[:, 0]).all()


def test_numbers_behind_the_type_object_are_warned_of():
    hidden = REAL.assign(x=REAL["x"].astype(object).where(REAL.index > 2, pd.NA))
    with pytest.warns(UserWarning, match="of kind floating; convert it with pd.to_numeric"):
        column_shapes_score(hidden, SYNTH)
    days = [date.date() for date in pd.date_range("2020-01-01", periods=40)]
    with pytest.warns(UserWarning, match="of kind date; convert it with pd.to_datetime"):
        column_shapes_score(REAL.assign(x=days), SYNTH.assign(x=days))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        column_shapes_score(REAL.assign(k=REAL["k"].astype(object)), SYNTH)


def test_infinity_as_text_is_a_category():
    real, synth = pd.DataFrame({"g": ["inf", "sup"]}), pd.DataFrame({"g": ["inf", "sup"]})
    assert column_shapes_score(real, synth) == 1.0
    with pytest.warns(UserWarning, match="1 infinite cells"):
        assert column_shapes_score(real, pd.DataFrame({"g": [np.inf, "sup"]})) == 0.5
    with pytest.raises(ValueError, match="Column 'g' of X_real contains infinity"):
        column_shapes_score(pd.DataFrame({"g": [np.inf, "sup"]}), synth)


def test_lists_of_mixed_rows_keep_their_numbers():
    names = ["x", "label"]
    rows = SYNTH[names].to_numpy().tolist()
    assert column_shapes_score(REAL[names], rows) == column_shapes_score(REAL[names], SYNTH[names])


@pytest.mark.parametrize("name", [n for n, info in METRICS.items() if "target" in info.needs])
def test_targets_that_are_not_there_are_named(name):
    tables = (SYNTH[["x", "z", "label"]], TRAIN[["x", "z", "label"]])
    if "_expression" in METRICS[name].function.__module__:
        tables = tuple(table.assign(x=1.0, z=2.0) for table in tables)
    with pytest.raises(ValueError, match=r"target='nope' is not a column.*\['x', 'z', 'label'\]"):
        _call(name, tables[0], tables[0], tables[1], target="nope")


def test_synthetic_rows_without_a_usable_target_add_nothing_known():
    unknown = SYNTH.assign(label="maybe")
    options = {"target": "label", "X_train": TRAIN, "estimator": "logistic"}
    with pytest.warns(UndefinedMetricWarning, match="no synthetic row has a usable target"):
        outcome = augmentation_gain(REAL, unknown, breakdown=True, **options)
    assert np.isnan(outcome.score)
    assert outcome.dropped["X_synth"]["unknown"] == 40


def test_one_real_class_has_no_calibration_and_one_target_value_no_r2():
    real, train = (table.assign(label="yes") for table in (REAL, TRAIN))
    with pytest.warns(UndefinedMetricWarning, match="the real rows hold one class only"):
        assert np.isnan(calibration_gap(real, SYNTH, X_train=train, target="label", **CHEAP))
    with pytest.warns(UndefinedMetricWarning, match="R2 needs test rows with different targets"):
        assert np.isnan(tstr_score(REAL.assign(x=1.5), SYNTH, target="x", **CHEAP))


def test_test_rows_are_asked_for():
    with pytest.raises(ValueError, match="trts_score needs X_real"):
        trts_score(None, SYNTH, target="label")


@pytest.mark.parametrize("name", ["prdc_coverage", "authenticity", "nn_adversarial_accuracy"])
def test_tied_real_rows_are_warned_of(name):
    tied = pd.concat([REAL.iloc[:30], REAL.iloc[[0] * 30]], ignore_index=True)
    with pytest.warns(UserWarning, match="of the real rows equal another one"):
        assert not np.isnan(_call(name, tied, SYNTH))
    with pytest.warns(UndefinedMetricWarning, match="tied|equals another one|are equal"):
        assert np.isnan(_call(name, REAL.iloc[[0] * 30], SYNTH))


def test_real_rows_without_a_value_are_refused():
    nothing = REAL.mask(REAL.notna())
    with pytest.raises(ValueError, match="The real table holds missing cells only"):
        _call("energy_distance", nothing, SYNTH)
    with pytest.raises(ValueError, match="X_train holds missing cells only"):
        exact_copy_share(X_train=nothing, X_synth=SYNTH)


@pytest.mark.parametrize("name", ["category_coverage", "category_adherence"])
def test_categories_missing_in_both_tables_are_left_out(name):
    with pytest.warns(UndefinedMetricWarning, match=f"{name} is undefined"):
        assert np.isnan(METRICS[name].function([None, None], [None]))


def test_genes_without_a_count_are_warned_of_or_refused():
    counts = pd.DataFrame(np.random.default_rng(0).poisson(5.0, size=(20, 2)), columns=["g0", "g1"])
    with pytest.warns(UserWarning, match="1 columns are missing altogether in X_synth"):
        METRICS["library_size_distance"].function(counts, counts.assign(**{"g0": np.nan}))
    with pytest.raises(ValueError, match="X_real holds missing cells only"):
        METRICS["library_size_distance"].function(counts * np.nan, counts)


def test_folds_are_lowered_with_a_warning():
    with pytest.warns(UserWarning, match="cv=3 is too large for 2 real and 2 synthetic rows"):
        _call("c2st_auc", REAL, SYNTH.iloc[:2])


NAMES = ["column_shapes_score", "tstr_score", "dcr_share"]


def _panel(real, synth, train, target):
    return Panel(train, real, metrics=NAMES, target=target).table(synth)


def _compare(real, synth, train, target):
    return compare_tables(
        {"one": synth}, train, real, metrics=NAMES, target=target, baselines=False
    )


@pytest.mark.parametrize("judge", [_panel, _compare])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synth": SYNTH.drop(columns="z")}, r"X_synth lacks the columns \['z'\]"),
        ({"synth": SYNTH.iloc[:0]}, "X_synth is empty"),
        ({"synth": None}, "got NoneType"),
        ({"real": REAL.assign(x=np.inf)}, "Column 'x' of X_holdout contains infinity"),
        ({"train": TRAIN.iloc[:0]}, "X_train is empty"),
        ({"target": "nope"}, "target='nope' is not a column of X_train"),
    ],
)
def test_panels_and_comparisons_refuse_broken_input(judge, change, message):
    given = {"real": REAL, "synth": SYNTH, "train": TRAIN, "target": "label", **change}
    with pytest.raises(ValueError, match=message):
        judge(**given)


@pytest.mark.parametrize(
    ("table", "target", "message"),
    [
        (TRAIN, "nope", "target='nope' is not a column"),
        (TRAIN.iloc[:0], "label", "0 rows"),
        (TRAIN.iloc[:3], "label", "3 rows"),
        (TRAIN.assign(x=np.inf), "label", "Column 'x' of X_train contains infinity"),
        (pd.concat([TRAIN, TRAIN[["x"]]], axis=1), "label", r"duplicated column names \['x'\]"),
    ],
)
def test_cross_validation_refuses_broken_tables(table, target, message):
    with pytest.raises(ValueError, match=message):
        cross_validate_generator(IndependentColumns(), table, cv=2, metrics=NAMES, target=target)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (REAL.iloc[:0], "X is empty|X_real is empty|0 row"),
        (REAL.drop(columns="z"), r"\['z'\]"),
        (REAL.assign(x=np.inf), "contains infinity"),
    ],
)
def test_scorers_refuse_broken_test_rows(test, message):
    generator = IndependentColumns(random_state=0).fit(TRAIN)
    scorer = make_generator_scorer("energy_distance", error_score="raise")
    with pytest.raises(ValueError, match=message):
        scorer(generator, test)
