"""What all correctors share: where labels come from, and containers in and out."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from synth_estimators.batch_effects import (
    BatchLabelWarning,
    ComBat,
    LimmaBatchRemover,
    NestedComBat,
    attach_batch,
)


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


@pytest.fixture
def cells(rows):
    """The rows as AnnData, with two columns of observations."""
    anndata = pytest.importorskip("anndata")
    X, batch = rows
    obs = pd.DataFrame({"batch": batch, "dose": 1.0}, index=[f"s{i}" for i in range(40)])
    return anndata.AnnData(X=X.copy(), obs=obs, var=pd.DataFrame(index=list("uvwxyz")))


def test_observations_of_anndata_are_found_by_name(rows, adjusted, cells):
    X, batch = rows
    corrector = ComBat().fit(cells)
    other = cells.copy()
    other.obs = cells.obs.assign(site=7)[["site", "dose", "batch"]]
    assert_array_equal(corrector.transform(other).X, adjusted)
    by_position = ComBat(batch=0).fit(cells)
    assert_array_equal(by_position.transform(other).X, adjusted)
    other.obs = cells.obs[["dose"]]
    assert_array_equal(corrector.transform(other, batch=batch).X, adjusted)
    for table in (other, named(X)):
        with pytest.raises(ValueError, match="needs them here too: pass batch="):
            corrector.transform(table)
    assert_array_equal(ComBat().fit(named(X), batch=batch).transform(cells).X, adjusted)


def test_anndata_keeps_what_belongs_to_it(adjusted, cells):
    cells.layers["raw"] = cells.X.copy()
    cells.obsp["distances"] = np.eye(40)
    cells.raw = cells.copy()
    result = ComBat().fit_transform(cells)
    assert_array_equal(result.layers["raw"], cells.X)
    assert_array_equal(result.obsp["distances"], np.eye(40))
    assert_array_equal(result.raw.X, cells.X)
    result.layers["raw"][:] = 0.0
    assert cells.layers["raw"].any()
    frame = ComBat().set_output(transform="pandas").fit_transform(cells)
    assert_array_equal(frame, adjusted)
    assert list(frame.index[:2]) == ["s0", "s1"]
    assert list(frame.columns) == list("uvwxyz")


def test_table_with_names_of_any_kind_takes_labels(rows, adjusted):
    X, batch = rows
    table = attach_batch(pd.DataFrame(X), batch)
    assert list(table.columns) == [*"012345", "batch"]
    assert_array_equal(ComBat().fit_transform(table), adjusted)
    columns = pd.MultiIndex.from_product([["g", "h"], [1, 2, 3]], names=["set", "number"])
    wide = pd.DataFrame(X, columns=columns)
    sex = np.tile(["F", "M"], 20)
    table = attach_batch(wide, batch, {"sex": sex})
    with_sex = ComBat(covariates=["sex"]).fit(table)
    assert with_sex.covariate_names_ == ["sex=M"]
    expected = ComBat().fit_transform(X, batch=batch, covariates={"sex": sex})
    assert_array_equal(with_sex.transform(table), expected)
    wide["batch"] = batch
    result = ComBat().fit_transform(wide)
    assert list(result.columns) == list(columns)
    assert_array_equal(result, adjusted)


def test_positions_are_named_as_such(rows):
    frame = pd.DataFrame(rows[0], columns=range(10, 16))
    with pytest.raises(ValueError, match="whole numbers are positions, here from 0 to 5"):
        ComBat(batch=10).fit(frame)


def test_fit_on_names_and_transform_on_an_array(rows):
    X, batch = rows
    covariates = {"sex": np.tile(["F", "M"], 20), "age": np.arange(40.0) % 7}
    frame = attach_batch(X, batch, covariates)
    expected = ComBat().fit_transform(X, batch=batch, covariates=covariates)
    with pytest.warns(UserWarning, match="valid feature names"):
        result = ComBat(covariates=["sex", "age"]).fit(frame).transform(frame.to_numpy())
    assert_array_equal(result, expected)
    by_position = ComBat(batch=6, covariates=[7, 8]).fit(frame.to_numpy())
    with pytest.warns(UserWarning, match="has feature names"):
        assert_array_equal(by_position.transform(frame), expected)


def test_polars_keeps_float32_and_gives_labels(rows, adjusted):
    polars = pytest.importorskip("polars")
    X, batch = rows
    frame = polars.DataFrame(X.astype(np.float32), schema=list("uvwxyz"))
    result = ComBat().fit_transform(frame, batch=polars.DataFrame({"batch": batch}))
    assert set(result.dtypes) == {polars.Float32}
    assert_allclose(result.to_numpy(), adjusted, atol=1e-6)
    gaps = frame.with_columns(polars.when(polars.col("u") < 3).then(polars.col("u")).alias("u"))
    found = ComBat().fit_transform(gaps, batch=batch).to_numpy()
    assert_array_equal(np.isnan(found[:, 0]), X[:, 0] >= 3)
    with pytest.raises(TypeError, match=r"LazyFrame.*pass X\.collect\(\)"):
        ComBat().fit(frame.lazy(), batch=batch)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_kept_labels_leave_numbers_as_numbers(rows, adjusted, output):
    polars = pytest.importorskip("polars")
    X, batch = rows
    frame = named(X)
    frame["batch"] = batch
    for table, column in (
        (np.column_stack([X.astype(object), batch]), -1),
        (polars.from_pandas(frame), "batch"),
        (frame, "batch"),
    ):
        corrector = ComBat(batch=column, keep_metadata=True).set_output(transform=output)
        result = corrector.fit_transform(table)
        assert list(result.columns) == list(corrector.get_feature_names_out())
        features = result[list(result.columns)[:6]].to_numpy()
        assert features.dtype == np.float64
        assert_array_equal(features, adjusted)
        assert result[result.columns[-1]].to_list() == batch.tolist()


def test_dates_are_labels_but_no_features(rows, adjusted):
    X, batch = rows
    days = np.where(batch == "b", np.datetime64("2020-01-02"), np.datetime64("2020-01-01"))
    corrector = ComBat(reference_batch=pd.Timestamp("2020-01-01"))
    corrector.fit(X, batch=pd.Series(days.astype("datetime64[ns]")))
    expected = ComBat(reference_batch="a").fit_transform(X, batch=batch)
    for unit in ("s", "us", "ns"):
        labels = pd.Series(days.astype(f"datetime64[{unit}]"))
        assert_array_equal(corrector.transform(X, batch=labels), expected)
    for dates in (
        pd.date_range("2020", periods=40),
        pd.date_range("2020", periods=40, tz="UTC"),
        pd.to_timedelta(np.arange(40), "D"),
    ):
        with pytest.raises(ValueError, match="Column 'when' holds dates or times"):
            ComBat().fit(named(X).assign(when=dates.array), batch=batch)
    with pytest.raises(ValueError, match="X holds dates or times"):
        ComBat().fit(days[:, None], batch=batch)


def test_objects_that_are_numbers_are_numbers(rows, adjusted):
    X, batch = rows
    frame = named(X).astype(object)
    assert_array_equal(ComBat().fit_transform(frame, batch=batch), adjusted)
    for missing in (None, pd.NA, np.nan):
        frame.iloc[3, 2] = missing
        result = ComBat().fit_transform(frame, batch=batch)
        assert np.flatnonzero(np.isnan(result.to_numpy()).any(axis=1)).tolist() == [3]
    with pytest.raises(ValueError, match="Column 'note' holds text"):
        ComBat().fit(frame.assign(note=["x", None] * 20), batch=batch)
    age = np.random.default_rng(1).normal(50, 9, 40)
    objects = pd.DataFrame({"age": age.astype(object)})
    corrector = ComBat().fit(X, batch=batch, covariates={"age": age})
    assert corrector.covariate_names_ == ["age"]
    expected = corrector.transform(X, batch=batch, covariates={"age": age})
    assert_array_equal(corrector.transform(X, batch=batch, covariates=objects), expected)
    assert_array_equal(ComBat().fit_transform(X, batch=batch, covariates=objects), expected)


def test_covariates_by_keyword_are_those_of_the_parameter(rows):
    X, batch = rows
    age = np.random.default_rng(1).normal(50, 9, 40)
    sex = np.random.default_rng(2).integers(0, 2, 40)
    corrector = ComBat(covariates=["age", "sex"], categorical=["sex"])
    assert corrector.fit(
        X, batch=batch, covariates=np.column_stack([age, sex])
    ).covariate_names_ == ["age", "sex=1.0"]
    with pytest.raises(ValueError, match=r"lacks the columns \['age'\].*it has \['Age', 'sex'\]"):
        corrector.fit(X, batch=batch, covariates={"Age": age, "sex": sex})
    with pytest.raises(ValueError, match=r"has 1 columns, but the parameter .* names 2"):
        corrector.fit(X, batch=batch, covariates=age)
    twice = pd.DataFrame(np.column_stack([age, sex]), columns=["a", "a"])
    with pytest.raises(ValueError, match=r"duplicated column names \['a'\]"):
        ComBat().fit(X, batch=batch, covariates=twice)


def test_several_columns_go_where_they_belong(rows):
    X, batch = rows
    two = pd.DataFrame({"site": batch, "day": np.tile(["p", "q"], 20)})
    with pytest.raises(ValueError, match=r"batch has shape \(40, 2\)"):
        ComBat().fit(X, batch=two)
    with pytest.raises(ValueError, match=r"batch has shape \(40, 2\)"):
        ComBat().fit(X, batch=pd.MultiIndex.from_frame(two))
    expected = NestedComBat(["site", "day"]).fit_transform(X, batch=two)
    assert_array_equal(NestedComBat().fit_transform(X, batch=two), expected)
    assert_array_equal(NestedComBat().fit_transform(X, batch=two.to_numpy()), expected)
    design = np.random.default_rng(0).normal(size=(40, 2))
    frame = pd.DataFrame(design, columns=["p", "q"])
    kept = LimmaBatchRemover().fit_transform(X, batch=batch, design=frame)
    assert_array_equal(LimmaBatchRemover().fit_transform(X, batch=batch, design=design), kept)


def test_target_under_other_names_is_refused(rows):
    X, batch = rows
    y = np.random.default_rng(0).integers(0, 2, 40)
    for target in (np.where(y, "ill", "well"), y[:, None], pd.DataFrame({"y": y}), y.astype(str)):
        with pytest.raises(ValueError, match="'group' is the target y"):
            ComBat().fit(X, target, batch=batch, covariates={"group": y})
    other = np.random.default_rng(1).integers(0, 2, 40)
    ComBat().fit(X, y, batch=batch, covariates={"group": other})
    # All values differ in both, which says nothing.
    ComBat().fit(X, X[:, 0], batch=batch, covariates={"age": X[:, 1]})
    with pytest.raises(ValueError, match=r"y has shape \(5,\) but X has 40 rows"):
        ComBat().fit(X, y[:5], batch=batch)


def test_confounded_category_of_many_levels_is_explained(rows):
    X, batch = rows
    dates = pd.Series(pd.date_range("2020", periods=40))
    with pytest.raises(ValueError, match="'when' is taken as a category with 40 levels in 40 rows"):
        ComBat().fit(X, batch=batch, covariates={"when": dates})
    flat = ComBat().fit(X, batch=batch, covariates={"age": 1.0 + 1e-17 * np.arange(40)})
    assert flat.covariate_names_ == []


def test_text_beside_numbers_in_lists_stays_apart(rows, adjusted):
    X, batch = rows
    numbers = [[*row, int(b == "b"), b] for row, b in zip(X.tolist(), batch, strict=True)]
    corrector = ComBat(batch=6, covariates=[])
    with pytest.raises(ValueError, match="could not convert string to float"):
        corrector.fit(numbers)
    lists = [[*row[:6], row[7]] for row in numbers]
    assert_array_equal(ComBat(batch=-1).fit_transform(lists), adjusted)
    assert ComBat(batch=6).fit([row[:7] for row in numbers]).batches_.tolist() == [0, 1]
