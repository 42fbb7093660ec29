"""What all correctors share: where labels come from, and containers in and out."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from synth_estimators.batch_effects import BatchLabelWarning, ComBat, attach_batch


@pytest.fixture
def rows():
    """40 rows x 6 features in two batches, with a label for every row."""
    rng = np.random.default_rng(0)
    batch = np.repeat(["a", "b"], 20)
    X = rng.normal(size=(40, 6)) + 2.0 * (batch == "b")[:, None]
    return X, batch


@pytest.fixture
def adjusted(rows):
    """The rows adjusted, as an array."""
    X, batch = rows
    return ComBat().fit_transform(X, batch=batch)


def named(X):
    return pd.DataFrame(X, columns=list("uvwxyz"), index=np.arange(len(X)) * 10)


def test_column_by_name_keeps_index_and_columns(rows, adjusted):
    X, batch = rows
    frame = named(X)
    frame.insert(2, "site", batch)
    result = ComBat(batch="site").fit_transform(frame)
    assert_array_equal(result, adjusted)
    pd.testing.assert_index_equal(result.index, frame.index)
    assert list(result.columns) == list("uvwxyz")


@pytest.mark.parametrize("position", [0, 3, -1])
def test_column_by_position(rows, adjusted, position):
    X, batch = rows
    code = (batch == "b").astype(float)
    table = np.insert(X, position % 7, code, axis=1)
    corrector = ComBat(batch=position).fit(table)
    result = corrector.transform(table)
    assert isinstance(result, np.ndarray)
    assert_array_equal(result, adjusted)
    assert corrector.n_features_in_ == 7
    assert len(corrector.get_feature_names_out()) == 6


def test_array_of_objects_with_text_labels(rows, adjusted):
    X, batch = rows
    table = np.column_stack([X.astype(object), batch])
    assert_array_equal(ComBat(batch=-1).fit_transform(table), adjusted)


def test_keyword_comes_before_the_column(rows, adjusted):
    X, batch = rows
    frame = attach_batch(X, np.tile(["p", "q"], 20))
    assert_array_equal(ComBat().fit_transform(frame, batch=batch), adjusted)


@pytest.mark.parametrize(
    "make",
    [
        lambda b: pd.Series(b, index=np.arange(len(b))[::-1]),
        lambda b: pd.Categorical(b),
        lambda b: list(b),
        lambda b: b.reshape(-1, 1),
        lambda b: pd.DataFrame({"anything": b}),
        lambda b: pd.Series(b, dtype="string"),
    ],
    ids=["series", "categorical", "list", "column", "frame", "string dtype"],
)
def test_labels_in_any_container_go_by_position(rows, adjusted, make):
    X, batch = rows
    assert_array_equal(ComBat().fit_transform(X, batch=make(batch)), adjusted)


def test_covariates_by_column_and_by_keyword(rows):
    X, batch = rows
    sex = np.random.default_rng(1).choice(["F", "M"], 40)
    age = np.random.default_rng(2).normal(50, 5, 40)
    frame = attach_batch(X, batch, {"sex": sex, "age": age})
    by_column = ComBat(covariates=["sex", "age"]).fit(frame)
    assert by_column.covariate_names_ == ["sex=M", "age"]
    covariates = pd.DataFrame({"age": age, "more": 0.0, "sex": sex})
    by_keyword = ComBat(covariates=["sex", "age"])
    result = by_keyword.fit_transform(X, batch=batch, covariates=covariates)
    assert_array_equal(by_column.transform(frame), result)
    array = ComBat().fit_transform(X, batch=batch, covariates=np.column_stack([age, sex == "M"]))
    assert_allclose(array, result, atol=1e-12)
    # A covariate made of whole numbers is a number unless it is named categorical.
    code = np.random.default_rng(3).integers(0, 3, 40)
    number = ComBat().fit(X, batch=batch, covariates={"code": code})
    category = ComBat(categorical=["code"]).fit(X, batch=batch, covariates={"code": code})
    assert number.covariate_names_ == ["code"]
    assert category.covariate_names_ == ["code=1", "code=2"]


def test_keep_metadata_appends_the_labels(rows, adjusted):
    X, batch = rows
    frame = named(X)
    frame.insert(0, "batch", batch)
    corrector = ComBat(keep_metadata=True).fit(frame)
    result = corrector.transform(frame)
    assert list(result.columns) == [*"uvwxyz", "batch"]
    assert list(corrector.get_feature_names_out()) == [*"uvwxyz", "batch"]
    assert_array_equal(result["batch"], batch)
    assert_array_equal(result[list("uvwxyz")], adjusted)
    table = np.column_stack([(batch == "b").astype(float), X])
    kept = ComBat(batch=0, keep_metadata=True).fit_transform(table)
    assert_array_equal(kept, np.column_stack([adjusted, table[:, 0]]))


def test_set_output_decides_the_container(rows, adjusted):
    X, batch = rows
    frame = named(X)
    frame["batch"] = batch
    result = ComBat().set_output(transform="polars").fit_transform(frame)
    assert type(result).__module__.startswith("polars")
    assert result.columns == list("uvwxyz")
    table = np.column_stack([X, batch == "b"])
    pandas = ComBat(batch=-1).set_output(transform="pandas").fit_transform(table)
    assert list(pandas.columns) == [f"x{j}" for j in range(6)]
    assert_array_equal(pandas, adjusted)


def test_polars_in_polars_out(rows, adjusted):
    polars = pytest.importorskip("polars")
    X, batch = rows
    frame = polars.from_pandas(named(X).reset_index(drop=True)).with_columns(
        polars.Series("batch", batch)
    )
    result = ComBat().fit_transform(frame)
    assert isinstance(result, polars.DataFrame)
    assert result.columns == list("uvwxyz")
    assert_array_equal(result.to_numpy(), adjusted)


def test_anndata_in_anndata_out(rows, adjusted):
    anndata = pytest.importorskip("anndata")
    X, batch = rows
    obs = pd.DataFrame({"batch": batch, "dose": 1.0}, index=[f"s{i}" for i in range(40)])
    table = anndata.AnnData(X=X.copy(), obs=obs, var=pd.DataFrame(index=list("uvwxyz")))
    corrector = ComBat().fit(table)
    result = corrector.transform(table)
    assert isinstance(result, anndata.AnnData)
    assert_array_equal(result.X, adjusted)
    assert_array_equal(table.X, X)
    assert list(result.obs.columns) == ["batch", "dose"]
    assert list(corrector.get_feature_names_out()) == list("uvwxyz")
    with pytest.raises(ValueError, match="var_names of X differ"):
        corrector.transform(table[:, ::-1].copy())
    table.X = sparse.csr_matrix(table.X)
    with pytest.raises(TypeError, match=r"X\.X\.toarray\(\)"):
        corrector.transform(table)


def test_column_labels_of_any_kind_are_kept(rows, adjusted):
    X, batch = rows
    columns = pd.MultiIndex.from_product([["g", "h"], [1, 2, 3]], names=["set", "number"])
    result = ComBat().fit_transform(pd.DataFrame(X, columns=columns), batch=batch)
    pd.testing.assert_index_equal(result.columns, columns)
    numbers = pd.DataFrame(X, columns=pd.Index(range(6), name="probe"))
    result = ComBat().fit_transform(numbers, batch=batch)
    pd.testing.assert_index_equal(result.columns, numbers.columns)
    assert_array_equal(result, adjusted)


def test_input_is_never_changed(rows):
    X, batch = rows
    before = X.copy()
    X.setflags(write=False)
    ComBat().fit_transform(X, batch=batch)
    assert_array_equal(X, before)


def test_whole_numbers_and_nullable_columns_are_numbers(rows):
    X, batch = rows
    counts = np.rint(10 * X).astype(int)
    frame = pd.DataFrame(counts).astype("Int64").set_axis(list("uvwxyz"), axis=1)
    expected = ComBat().fit_transform(counts.astype(float), batch=batch)
    assert_array_equal(ComBat().fit_transform(counts, batch=batch), expected)
    assert_array_equal(ComBat().fit_transform(frame, batch=batch), expected)
    frame.iloc[0, 0] = pd.NA
    assert np.isnan(ComBat().fit_transform(frame, batch=batch).iloc[0, 0])


def test_no_labels_is_a_warning_for_the_default_name_only(rows):
    X, batch = rows
    with pytest.warns(BatchLabelWarning):
        ComBat().fit(named(X))
    with pytest.raises(ValueError, match="batch='site' names 'site', but X has the columns"):
        ComBat(batch="site").fit(named(X))
    with pytest.raises(ValueError, match="array of 6 columns without names"):
        ComBat(batch="site").fit(X)
    with pytest.raises(ValueError, match="batch=9 names 9"):
        ComBat(batch=9).fit(X)
    assert not ComBat(batch="site").fit(X, batch=batch).identity_
    with pytest.raises(ValueError, match="covariates=\\['age'\\] names 'age'"):
        ComBat(covariates=["age"]).fit(X, batch=batch)


def test_labels_are_needed_again_at_transform(rows):
    X, batch = rows
    corrector = ComBat().fit(X, batch=batch)
    with pytest.raises(ValueError, match="needs them here too: pass batch="):
        corrector.transform(X)
    with_sex = ComBat().fit(X, batch=batch, covariates={"sex": np.tile(["F", "M"], 20)})
    with pytest.raises(ValueError, match="fitted with the covariates \\['sex'\\]"):
        with_sex.transform(X, batch=batch)
    with pytest.raises(ValueError, match="lack \\['sex'\\]"):
        with_sex.transform(X, batch=batch, covariates={"age": np.ones(40)})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 39, "39 labels but X has 40 rows"),
        ([None] + ["b"] * 39, r"batch is missing in 1 of 40 rows \(first in row 0\)"),
        ([1] * 20 + ["1"] * 20, "mixes types of labels"),
        (np.zeros((40, 2)), r"batch has shape \(40, 2\)"),
    ],
)
def test_bad_labels(rows, labels, message):
    X, _ = rows
    with pytest.raises(ValueError, match=message):
        ComBat().fit(X, batch=labels)


def test_number_and_text_are_different_labels(rows):
    X, _ = rows
    corrector = ComBat().fit(X, batch=np.repeat([1, 2], 20))
    corrector.transform(X, batch=np.repeat([1.0, 2.0], 20))
    with pytest.raises(ValueError, match=r"unseen during fit: \['1', '2'\]; ComBat knows \[1, 2\]"):
        corrector.transform(X, batch=np.repeat(["1", "2"], 20))


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        ({"sex": [None] + ["F"] * 39}, "column 'sex' is missing in 1 of 40 rows"),
        ({"age": [np.inf] + [1.0] * 39}, "'age' is missing or infinite"),
        ({"age": np.ones(3)}, "covariates has 3 rows but X has 40"),
    ],
)
def test_bad_covariates(rows, covariates, message):
    X, batch = rows
    with pytest.raises(ValueError, match=message):
        ComBat().fit(X, batch=batch, covariates=covariates)


def test_confounded_covariates_are_named(rows):
    X, batch = rows
    rng = np.random.default_rng(0)
    age = rng.normal(50, 5, 40)
    site = np.where(batch == "a", "x", "y")
    with pytest.raises(ValueError, match="The covariate 'site' is confounded with batch"):
        ComBat().fit(X, batch=batch, covariates={"site": site})
    with pytest.raises(ValueError, match=r"confounded among themselves"):
        ComBat().fit(X, batch=batch, covariates={"age": age, "months": 12 * age})
    with pytest.raises(
        ValueError, match=r"At least one covariate is confounded with batch: \['site'\]"
    ):
        ComBat().fit(X, batch=batch, covariates={"age": age, "site": site})
    three = np.repeat([0.0, 5.0, 9.0], [10, 10, 20])
    with pytest.raises(ValueError, match="'dose' is confounded"):
        ComBat().fit(
            X, batch=np.repeat(["a", "b", "c"], [10, 10, 20]), covariates={"dose": three * 1e-6}
        )


def test_unknown_level_of_a_covariate(rows):
    X, batch = rows
    sex = np.tile(["F", "M"], 20)
    corrector = ComBat().fit(X, batch=batch, covariates={"sex": sex})
    with pytest.raises(ValueError, match=r"'sex' holds levels unseen during fit: \['D'\]"):
        corrector.transform(X[:1], batch=["a"], covariates={"sex": ["D"]})
    corrector.transform(X[:1], batch=["a"], covariates={"sex": ["M"]})


def test_bad_tables(rows):
    X, batch = rows
    with pytest.raises(TypeError, match=r"Sparse data was passed.*toarray"):
        ComBat().fit(sparse.csr_matrix(X), batch=batch)
    frame = named(X)
    frame["batch"] = batch
    bad = frame.copy()
    bad.iloc[5, 3] = np.inf
    with pytest.raises(ValueError, match=r"infinity in column 'x' \(first in row 5\)"):
        ComBat().fit(bad)
    bad = frame.assign(note="text")
    with pytest.raises(ValueError, match="Column 'note' holds text"):
        ComBat().fit(bad)
    with pytest.raises(ValueError, match="no features left beside"):
        ComBat().fit(frame[["batch"]])
    with pytest.raises(ValueError, match="duplicated column names"):
        ComBat().fit(pd.concat([frame, frame[["u"]]], axis=1))
    corrector = ComBat().fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        corrector.transform(frame[frame.columns[::-1]])


def test_attach_batch_refuses_what_does_not_fit(rows):
    X, batch = rows
    table = attach_batch(named(X), batch, pd.DataFrame({"age": np.arange(40.0)}))
    assert list(table.columns) == [*"uvwxyz", "batch", "age"]
    assert_array_equal(table.index, np.arange(40) * 10)
    assert_array_equal(table["age"], np.arange(40.0))
    with pytest.raises(ValueError, match="has a column 'batch' already"):
        attach_batch(table, batch)
    with pytest.raises(ValueError, match="batch has 3 labels but X has 40 rows"):
        attach_batch(X, ["a", "b", "c"])


def test_clone_holds_no_rows(rows):
    X, batch = rows
    fitted = ComBat().fit(X, batch=batch)
    assert not hasattr(clone(fitted), "batches_")
    sizes = [np.size(value) for value in clone(fitted).get_params().values()]
    assert max(sizes) <= 1
