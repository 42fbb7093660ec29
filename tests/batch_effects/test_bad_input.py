"""What correctors do with tables and labels that are wrong, or hardly enough."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from synth_estimators import batch_effects
from synth_estimators.batch_effects import (
    BatchLabelWarning,
    BatchStandardizer,
    ComBat,
    ComBatSeq,
    LimmaBatchRemover,
    QuantileAligner,
)

# Settings with which every corrector reads the labels of ``make_table``.
SETTINGS = {
    "BatchStandardizer": {"scale": True},
    "ComBat": {},
    "ComBatGAM": {},
    "ComBatSeq": {},
    "CovBat": {},
    "HarmonyEmbedding": {"random_state": 0},
    "LimmaBatchRemover": {},
    "LongitudinalComBat": {},
    "NestedComBat": {"batch": ["batch"]},
    "QuantileAligner": {"scope": "per_batch"},
}
PROTECTS_COVARIATES = [
    "ComBat",
    "ComBatGAM",
    "ComBatSeq",
    "CovBat",
    "LongitudinalComBat",
    "NestedComBat",
]
ESTIMATES_NEW = [
    name
    for name in SETTINGS
    if "estimate"
    in next(iter(getattr(batch_effects, name)._parameter_constraints["unseen"])).options
]

for_all = pytest.mark.parametrize("name", SETTINGS)
quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def make(name, **params):
    return getattr(batch_effects, name)(**{**SETTINGS[name], **params})


def make_table(*, sizes=(7, 8, 6), n_features=5, seed=0):
    """Counts that differ between batches, with batch, sex, age and subject of every row."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    level = 20 * np.exp(rng.normal(scale=0.3, size=(len(sizes), n_features)))
    frame = pd.DataFrame(
        rng.poisson(level[codes]) + 1.0, columns=[f"gene{j}" for j in range(n_features)]
    )
    number = np.arange(len(codes))
    return frame.assign(
        batch=[f"b{code}" for code in codes],
        sex=np.where(number % 2 == 0, "f", "m"),
        age=rng.uniform(30, 80, size=len(codes)),
        subject=[f"s{i}" for i in number % (len(codes) // 3)],
    )


def rows_for(name, table, *extra):
    """The columns that a corrector reads."""
    genes = [column for column in table if column.startswith("gene")]
    subject = ["subject"] if name == "LongitudinalComBat" else []
    return table[[*genes, "batch", *subject, *extra]]


def genes_of(table):
    return table[[column for column in table if column.startswith("gene")]]


# Missing labels


@for_all
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_batch_label_is_refused(name, missing):
    rows = rows_for(name, make_table())
    rows = rows.assign(batch=rows["batch"].astype(object))
    rows.loc[[4, 9], "batch"] = missing
    with pytest.raises(ValueError, match=r"batch.*is missing in 2 of 21 rows \(first in row 4\)"):
        make(name).fit(rows)


@for_all
@quiet
def test_missing_batch_label_is_refused_by_transform_too(name):
    rows = rows_for(name, make_table())
    corrector = make(name).fit(rows)
    rows = rows.assign(batch=rows["batch"].astype(object))
    rows.loc[20, "batch"] = None
    with pytest.raises(ValueError, match=r"batch.*is missing in 1 of 21 rows \(first in row 20\)"):
        corrector.transform(rows)


@for_all
def test_table_without_labels_is_left_alone_with_a_warning(name):
    genes = make_table()[["gene0", "gene1"]]
    keywords = {"subject": np.arange(21)} if name == "LongitudinalComBat" else {}
    corrector = make(name, batch="batch", **({"subject": None} if keywords else {}))
    with pytest.warns(BatchLabelWarning, match="without batch labels"):
        corrector.fit(genes, **keywords)
    pd.testing.assert_frame_equal(corrector.transform(genes, **keywords), genes)


@for_all
def test_named_column_that_is_not_there_is_an_error(name):
    batch = ["center"] if name == "NestedComBat" else "center"
    with pytest.raises(ValueError, match=r"batch=.*'center'.*has the columns"):
        make(name, batch=batch).fit(rows_for(name, make_table()))


@for_all
@quiet
def test_labels_at_fit_are_needed_at_transform(name):
    table = make_table()
    genes = genes_of(table)
    keywords = {"subject": table["subject"]} if name == "LongitudinalComBat" else {}
    batch = table[["batch"]] if name == "NestedComBat" else table["batch"]
    corrector = make(name, **({"subject": None} if keywords else {}))
    corrector.fit(genes, batch=batch, **keywords)
    with pytest.raises(ValueError, match=r"fitted with.*labels.*batch"):
        corrector.transform(genes, **keywords)


@for_all
def test_labels_of_another_length_are_refused(name):
    table = make_table()
    rows = rows_for(name, table).drop(columns="batch")
    batch = table[["batch"]] if name == "NestedComBat" else table["batch"]
    with pytest.raises(ValueError, match=r"batch has 20 (labels|rows).*X has 21"):
        make(name).fit(rows, batch=batch[:20])


@for_all
def test_labels_of_mixed_types_are_refused(name):
    rows = rows_for(name, make_table())
    rows = rows.assign(batch=[1] * 10 + ["1"] * 11)
    with pytest.raises(ValueError, match=r"mixes types of labels.*1 and '1'"):
        make(name).fit(rows)


@pytest.mark.parametrize("name", PROTECTS_COVARIATES)
@pytest.mark.parametrize("column", ["age", "sex"])
def test_missing_covariate_is_refused(name, column):
    table = make_table()
    table[column] = table[column].where(np.arange(21) != 6)
    with pytest.raises(ValueError, match=f"'{column}'.*is missing.*first in row 6"):
        make(name, covariates=[column]).fit(rows_for(name, table, column))


@pytest.mark.parametrize("name", [*PROTECTS_COVARIATES, "LimmaBatchRemover"])
def test_infinite_covariate_is_refused(name):
    table = make_table()
    table.loc[6, "age"] = np.inf
    with pytest.raises(ValueError, match=r"'age'.*infinite.*row 6"):
        make(name, covariates=["age"]).fit(rows_for(name, table, "age"))


@pytest.mark.parametrize("name", PROTECTS_COVARIATES)
def test_unknown_level_of_a_covariate_is_refused(name):
    rows = rows_for(name, make_table(), "sex")
    corrector = make(name, covariates=["sex"]).fit(rows)
    with pytest.raises(ValueError, match=r"'sex'.*unseen during fit: \['x'\].*\['f', 'm'\]"):
        corrector.transform(rows.assign(sex="x"))


# Unseen batches


def unseen(name, **params):
    """A corrector fitted on two of three batches, all rows, and which of them it knows."""
    rows = rows_for(name, make_table())
    known = (rows["batch"] != "b2").to_numpy()
    return make(name, **params).fit(rows[known]), rows, known


@for_all
@quiet
def test_unseen_batch_is_refused_by_name(name):
    corrector, rows, _ = unseen(name)
    with pytest.raises(ValueError, match=r"\['b2'\].*\['b0', 'b1'\]"):
        corrector.transform(rows)


@for_all
@quiet
def test_unseen_batch_passes_through_with_one_warning(name):
    corrector, rows, known = unseen(name, unseen="passthrough")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        corrected = corrector.transform(rows)
    told = [str(warning.message) for warning in caught if "b2" in str(warning.message)]
    assert len(told) == 1
    genes = genes_of(rows)
    np.testing.assert_array_equal(corrected[~known], genes[~known])
    np.testing.assert_array_equal(corrected[known], corrector.transform(rows[known]))


@pytest.mark.parametrize("name", ESTIMATES_NEW)
@quiet
def test_unseen_batch_is_estimated_from_its_own_rows(name):
    corrector, rows, known = unseen(name, unseen="estimate")
    corrected = corrector.transform(rows)
    assert np.isfinite(corrected.to_numpy()).all()
    assert not np.allclose(corrected[~known], genes_of(rows)[~known])
    np.testing.assert_allclose(corrected[known], corrector.transform(rows[known]), rtol=1e-12)
    np.testing.assert_allclose(corrected[~known], corrector.transform(rows[~known]), rtol=1e-12)
    # Two new batches do not look at each other.
    third = rows[~known].assign(batch="b3")
    third[genes_of(third).columns] = 3 * genes_of(third)
    both = corrector.transform(pd.concat([rows, third]))
    np.testing.assert_allclose(both[: len(rows)], corrected, rtol=1e-12)


@pytest.mark.parametrize("name", ESTIMATES_NEW)
@quiet
def test_unseen_batch_of_one_row_cannot_be_estimated(name):
    corrector, rows, known = unseen(name, unseen="estimate")
    with pytest.raises(ValueError, match=r"'b2' has one row only.*at least two rows"):
        corrector.transform(rows[~known].iloc[:1])


# Batches that are few, small or many


@for_all
def test_one_batch_is_returned_with_a_warning(name):
    rows = rows_for(name, make_table(sizes=(12,)))
    with pytest.warns(UserWarning, match="b0"):
        corrected = make(name).fit_transform(rows)
    np.testing.assert_allclose(corrected, genes_of(rows), rtol=1e-9)


@for_all
@quiet
def test_batch_of_one_row_is_refused_or_gives_finite_values(name):
    rows = rows_for(name, make_table(sizes=(7, 8, 1)))
    if name in ("ComBatSeq", "QuantileAligner"):
        with pytest.raises(ValueError, match=r"'b2'.*one|one.*'b2'"):
            make(name).fit(rows)
    else:
        assert np.isfinite(make(name).fit_transform(rows).to_numpy()).all()


def test_combat_tells_that_one_row_makes_it_adjust_means_only():
    rows = rows_for("ComBat", make_table(sizes=(7, 8, 1)))
    with pytest.warns(UserWarning, match=r"'b2' has one row only.*location"):
        corrector = ComBat().fit(rows)
    expected = ComBat(mean_only=True).fit_transform(rows)
    np.testing.assert_array_equal(corrector.transform(rows), expected)
    with pytest.raises(ValueError, match=r"'b2' has one row only.*mean_only=True"):
        ComBat(singleton="error").fit(rows)


@for_all
def test_more_batches_than_half_the_rows_are_warned_of(name):
    # The largest batch keeps ComBatSeq and QuantileAligner from refusing batches of one row.
    sizes = (3, 2, 2, 2) if name in ("ComBatSeq", "QuantileAligner") else (3, 1, 1, 1)
    rows = rows_for(name, make_table(sizes=sizes))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(name).fit(rows)
    told = any("4 batches for" in str(warning.message) for warning in caught)
    assert told == (len(sizes) > len(rows) / 2)


@for_all
def test_batches_of_very_unequal_sizes_are_warned_of(name):
    with pytest.warns(UserWarning, match=r"'b0' has 63 rows but batch 'b1' has 3"):
        make(name).fit(rows_for(name, make_table(sizes=(63, 3))))


# Features that are constant


@for_all
@quiet
def test_constant_feature_is_returned_unchanged(name):
    rows = rows_for(name, make_table()).assign(gene2=7.0)
    corrected = make(name).fit_transform(rows)
    assert np.isfinite(corrected.to_numpy()).all()
    if name != "ComBatSeq":  # a constant count is a different share of each library
        np.testing.assert_allclose(corrected["gene2"], 7.0, rtol=1e-9)


@for_all
@quiet
def test_feature_constant_within_a_batch_gives_finite_values(name):
    rows = rows_for(name, make_table())
    rows.loc[rows["batch"] == "b1", "gene2"] = 5.0
    corrected = make(name).fit_transform(rows)
    assert np.isfinite(corrected.to_numpy()).all()
    inside = corrected.loc[rows["batch"] == "b1", "gene2"]
    if name in ("ComBatSeq", "HarmonyEmbedding"):
        return  # rows are moved by their library sizes, or by the clusters they are in
    np.testing.assert_allclose(inside, inside.iloc[0])
    if name in ("ComBat", "ComBatGAM", "NestedComBat"):
        np.testing.assert_array_equal(corrected["gene2"], rows["gene2"])


@pytest.mark.parametrize("name", ["ComBat", "ComBatGAM"])
def test_a_single_feature_is_adjusted_without_shrinkage(name):
    rows = rows_for(name, make_table(n_features=1))
    with pytest.warns(UserWarning, match=r"one feature|single feature|1 feature"):
        corrected = make(name).fit_transform(rows)
    expected = make(name, shrink=False).fit_transform(rows)
    np.testing.assert_allclose(corrected, expected, rtol=1e-12)


# Confounding


@pytest.mark.parametrize("name", PROTECTS_COVARIATES)
@quiet
def test_confounded_covariate_is_named(name):
    table = make_table(sizes=(7, 8))
    table["center"] = table["batch"].map({"b0": "north", "b1": "south"})
    with pytest.raises(ValueError, match="'center' is confounded with batch"):
        make(name, covariates=["center"]).fit(rows_for(name, table, "center"))


@pytest.mark.parametrize("name", PROTECTS_COVARIATES)
@quiet
def test_covariates_confounded_with_each_other_are_named(name):
    table = make_table()
    table["months"] = 12 * table["age"]
    with pytest.raises(ValueError, match=r"'age', 'months'.*among themselves"):
        make(name, covariates=["sex", "age", "months"]).fit(
            rows_for(name, table, "sex", "age", "months")
        )


@pytest.mark.parametrize("name", PROTECTS_COVARIATES)
@quiet
def test_one_of_several_covariates_confounded_with_batch_is_named(name):
    table = make_table()
    table["center"] = table["batch"].map({"b0": "north", "b1": "south", "b2": "south"})
    with pytest.raises(ValueError, match=r"confounded with batch: \['center'\]"):
        make(name, covariates=["sex", "center"]).fit(rows_for(name, table, "sex", "center"))


def test_limma_names_what_it_cannot_tell_apart():
    table = make_table()
    with pytest.warns(UserWarning, match="effects of batch are not estimable"):
        LimmaBatchRemover().fit(genes_of(table), batch=table["batch"], design=table[["batch"]])


# Values


@for_all
@quiet
def test_infinity_is_refused_by_fit_and_transform(name):
    rows = rows_for(name, make_table())
    bad = rows.copy()
    bad.loc[3, "gene1"] = np.inf
    with pytest.raises(ValueError, match=r"infinity in column 'gene1' \(first in row 3\)"):
        make(name).fit(bad)
    corrector = make(name).fit(rows)
    with pytest.raises(ValueError, match=r"infinity in column 'gene1'"):
        corrector.transform(bad)


@for_all
@quiet
def test_missing_cells_stay_missing_or_are_refused(name):
    rows = rows_for(name, make_table())
    rows.loc[3, "gene1"] = np.nan
    corrector = make(name)
    if not corrector.__sklearn_tags__().input_tags.allow_nan:
        with pytest.raises(ValueError, match=r"NaN in column 'gene1' \(first in row 3\)"):
            corrector.fit(rows)
        return
    corrected = corrector.fit_transform(rows)
    missing = np.zeros(corrected.shape, dtype=bool)
    missing[3, 1] = True
    np.testing.assert_array_equal(corrected.isna(), missing)


def test_those_that_take_missing_cells_are_known():
    taken = {name for name in SETTINGS if make(name).__sklearn_tags__().input_tags.allow_nan}
    assert {"BatchStandardizer", "ComBat", "LimmaBatchRemover", "QuantileAligner"} <= taken
    assert not taken & {"ComBatSeq", "CovBat", "HarmonyEmbedding"}


@for_all
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.coo_array])
def test_sparse_tables_are_refused_with_advice(name, container):
    table = container(genes_of(make_table()).to_numpy())
    with pytest.raises(TypeError, match=r"[Ss]parse.*toarray\(\)"):
        make(name).fit(table, batch=["a"] * 10 + ["b"] * 11)


@for_all
def test_text_among_the_features_is_refused_by_name(name):
    rows = rows_for(name, make_table(), "sex")
    with pytest.raises(ValueError, match="'sex'"):
        make(name).fit(rows)


@for_all
def test_table_of_labels_alone_is_refused(name):
    rows = rows_for(name, make_table())
    with pytest.raises(ValueError, match="no features left"):
        make(name).fit(rows.drop(columns=genes_of(rows).columns))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, "Negative values in data passed to ComBatSeq"),
        (2.5, "Fractional values in ComBatSeq"),
    ],
)
def test_counts_are_whole_numbers_of_at_least_zero(value, message):
    rows = rows_for("ComBatSeq", make_table())
    bad = rows.copy()
    bad.loc[4, "gene1"] = value
    with pytest.raises(ValueError, match=f"{message}: column 'gene1' holds {value:g} in row 4"):
        ComBatSeq().fit(bad)
    with pytest.raises(ValueError, match=message):
        ComBatSeq().fit(rows).transform(bad)


@for_all
@quiet
def test_other_columns_than_at_fit_are_refused(name):
    rows = rows_for(name, make_table())
    corrector = make(name).fit(rows)
    with pytest.raises(ValueError, match="gene1"):
        corrector.transform(rows.drop(columns="gene1"))


@for_all
@quiet
def test_nothing_is_printed(name, capsys):
    make(name).fit_transform(rows_for(name, make_table()))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("corrector", [BatchStandardizer(), QuantileAligner(scope="per_batch")])
def test_covariates_are_no_keyword_where_none_are_read(corrector):
    table = make_table()
    with pytest.raises(TypeError, match="covariates"):
        corrector.fit(genes_of(table), batch=table["batch"], covariates=table[["age"]])
