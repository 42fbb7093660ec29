import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import anderson_ksamp

from synth_estimators.batch_effects import ComBat, NestedComBat


@pytest.fixture
def norm(batch_data):
    """Table with the batch and a scanner, which shifts and scales some features, as columns."""
    table = batch_data.table("norm_X").join(batch_data.meta("norm"))
    scanner = np.where(np.random.default_rng(5).random(30) < 0.5, "s1", "s2")
    table.loc[scanner == "s2", "g001":"g025"] *= 1.5
    return table.assign(scanner=scanner)


def features(frame):
    return frame.loc[:, "g001":"g040"]


def in_sequence(frame, columns, **options):
    corrected = features(frame)
    for column in columns:
        corrected = ComBat(**options).fit_transform(corrected, batch=frame[column])
    return corrected


def n_significant(table, labels):
    """Features that differ between the groups of some column, by scipy."""
    found = np.zeros(table.shape[1], dtype=bool)
    for column in labels:
        for number, name in enumerate(table):
            groups = [values for _, values in table[name].groupby(labels[column])]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # p-values outside the table
                result = anderson_ksamp(groups)
            found[number] |= result.statistic > result.critical_values[2]
    return int(found.sum())


def test_given_order_is_combat_one_after_another(norm):
    table = norm[[*features(norm).columns, "batch", "scanner"]]
    for order in (["batch", "scanner"], ["scanner", "batch"]):
        nested = NestedComBat(order)
        expected = in_sequence(norm, order)
        pd.testing.assert_frame_equal(nested.fit_transform(table), expected, rtol=0, atol=1e-12)
        assert nested.order_ == order


def test_automatic_order_leaves_the_fewest_significant_features(norm):
    table = norm[[*features(norm).columns, "batch", "scanner", "sex"]]
    columns = ["batch", "scanner", "sex"]
    left = {
        order: n_significant(in_sequence(norm, order), norm[columns])
        for order in itertools.permutations(columns)
    }
    assert len(set(left.values())) > 1
    nested = NestedComBat(columns, order="auto").fit(table)
    assert left[tuple(nested.order_)] == min(left.values())
    assert nested.n_significant_ == min(left.values())
    pd.testing.assert_frame_equal(
        nested.transform(table), in_sequence(norm, nested.order_), rtol=0, atol=1e-12
    )


def test_ties_keep_the_given_order():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    labels = pd.DataFrame({"a": np.arange(40) % 2, "b": np.arange(40) // 20})
    for columns in (["a", "b"], ["b", "a"]):
        nested = NestedComBat(columns, order="auto").fit(X, batch=labels[columns])
        assert nested.n_significant_ == 0
        assert nested.order_ == columns


def test_many_columns_are_ordered_step_by_step():
    rng = np.random.default_rng(1)
    labels = pd.DataFrame(rng.integers(0, 2, size=(60, 5)), columns=list("abcde"))
    X = rng.normal(size=(60, 8)) + labels["c"].to_numpy()[:, None] * 3
    nested = NestedComBat(list("abcde"), order="auto").fit(X, batch=labels)
    assert sorted(nested.order_) == list("abcde")
    assert nested.order_[0] == "c"


def test_new_rows_go_through_the_fitted_steps(norm):
    table = norm[[*features(norm).columns, "batch", "scanner", "group"]]
    train, test = table.iloc[:22], table.iloc[22:]
    nested = NestedComBat(["batch", "scanner"], covariates=["group"]).fit(train)
    corrected, training = features(test), features(train)
    for column in ("batch", "scanner"):
        combat = ComBat().fit(training, batch=train[column], covariates=train[["group"]])
        corrected = combat.transform(corrected, batch=test[column], covariates=test[["group"]])
        training = combat.transform(training, batch=train[column], covariates=train[["group"]])
    pd.testing.assert_frame_equal(nested.transform(test), corrected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        nested.transform(test.iloc[[2]]), corrected.iloc[[2]], rtol=0, atol=1e-12
    )


def test_keyword_mode_gives_the_same_as_column_mode(norm):
    table = norm[[*features(norm).columns, "batch", "scanner"]]
    nested = NestedComBat(["batch", "scanner"])
    by_column = nested.fit_transform(table)
    by_keyword = NestedComBat(["batch", "scanner"]).fit_transform(
        features(norm), batch=norm[["batch", "scanner"]]
    )
    pd.testing.assert_frame_equal(by_column, by_keyword)


def test_one_column_is_combat(norm):
    table = norm[[*features(norm).columns, "batch"]]
    for batch in ("batch", ["batch"]):
        pd.testing.assert_frame_equal(
            NestedComBat(batch).fit_transform(table), ComBat().fit_transform(table)
        )


def test_unseen_level_names_its_column(norm):
    table = norm[[*features(norm).columns, "batch", "scanner"]]
    train = table[table["batch"] != "b3"]
    with pytest.raises(ValueError, match=r"(?s)'b3'"):
        NestedComBat(["scanner", "batch"]).fit(train).transform(table)
    nested = NestedComBat(["scanner", "batch"], unseen="passthrough").fit(train)
    with pytest.warns(UserWarning, match="b3"):
        passed = nested.transform(table)
    new = table["batch"] == "b3"
    assert passed[new].equals(features(table)[new])
    np.testing.assert_allclose(passed[~new], nested.transform(train), atol=1e-12)


def test_same_column_twice_is_refused(norm):
    table = norm[[*features(norm).columns, "batch"]]
    with pytest.raises(ValueError, match="twice"):
        NestedComBat(["batch", "batch"]).fit(table)


def test_new_level_is_estimated_in_its_step(norm):
    table = norm[[*features(norm).columns, "scanner", "batch"]]
    train = table[table["batch"] != "b3"]
    nested = NestedComBat(["scanner", "batch"], unseen="estimate").fit(train)
    first = ComBat().fit(features(train), batch=train["scanner"])
    middle = first.transform(features(table), batch=table["scanner"])
    second = ComBat(unseen="estimate").fit(
        first.transform(features(train), batch=train["scanner"]), batch=train["batch"]
    )
    expected = second.transform(middle, batch=table["batch"])
    pd.testing.assert_frame_equal(nested.transform(table), expected, rtol=0, atol=1e-12)


def test_missing_cells_stay_missing_and_are_not_counted(norm):
    table = norm[[*features(norm).columns, "batch", "scanner"]]
    table.iloc[3, 5] = np.nan
    nested = NestedComBat(["batch", "scanner"], order="auto")
    corrected = nested.fit_transform(table)
    assert corrected.isna().sum().sum() == 1
    assert np.isnan(corrected.iloc[3, 5])
    assert nested.n_significant_ <= 39


def test_absent_batch_column_is_named(norm):
    table = norm[[*features(norm).columns, "batch"]]
    with pytest.raises(ValueError, match="scanner"):
        NestedComBat(["batch", "scanner"]).fit(table)
    nested = NestedComBat(["batch", "scanner"]).fit(
        features(norm), batch=norm[["batch", "scanner"]]
    )
    with pytest.raises(ValueError, match=r"lacks the columns \['scanner'\]"):
        nested.transform(features(norm), batch=norm[["batch"]])
