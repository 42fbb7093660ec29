"""Properties that every batch corrector has, on tables of any shape."""

import pickle
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from synth_estimators import batch_effects

# Small tables have few rows a batch, one batch has nothing to adjust, and so on: said elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Case:
    """One corrector with its settings, and which of the properties its method has."""

    name: str
    params: dict = field(default_factory=dict)
    counts: bool = False
    # Rows a batch that the model needs at least.
    rows: int = 3
    # Label of the reference batch whose rows are returned as they are.
    reference: str | None = None
    # The result does not depend on the order of the training rows.
    ordered: bool = True
    # The rows of a single batch are returned as they are.
    identity: bool = True

    def make(self):
        return getattr(batch_effects, self.name)(**self.params)

    def __str__(self):
        values = ",".join(f"{key}={value}" for key, value in self.params.items())
        return f"{self.name}({values})"


COVARIATES = {"covariates": ["age", "sex"]}
CASES = [
    Case("BatchStandardizer"),
    Case("BatchStandardizer", {"scale": True}),
    Case(
        "BatchStandardizer",
        {"scale": True, "target": "reference", "reference_batch": "b1"},
        reference="b1",
    ),
    Case("ComBat"),
    Case("ComBat", COVARIATES),
    Case("ComBat", {"parametric": False}),
    Case("ComBat", {"mean_only": True, **COVARIATES}),
    Case("ComBat", {"shrink": False, "convergence": "strict"}),
    Case("ComBat", {"reference_batch": "b1"}, reference="b1"),
    Case("ComBatGAM", {"covariates": ["age"], "smooth_terms": ["age"]}, rows=20),
    Case("ComBatSeq", counts=True),
    Case("ComBatSeq", {"covariates": ["sex"]}, counts=True, rows=6),
    Case("CovBat"),
    Case("CovBat", COVARIATES),
    # Rows that stand in another order start other centroids.
    Case("HarmonyEmbedding", {"random_state": 0}, ordered=False),
    Case("LimmaBatchRemover"),
    Case("LimmaBatchRemover", {"batch2": "sex", "covariates": ["age"]}, identity=False),
    Case("LimmaBatchRemover", {"design": ["sex"]}),
    Case("LongitudinalComBat", {"covariates": ["age"]}, rows=6),
    Case("NestedComBat", {"batch": ["batch", "site"]}, rows=6),
    # The values of a row are normalised over its features, whatever the batches are.
    Case("QuantileAligner", identity=False),
    Case("QuantileAligner", {"scope": "per_batch"}),
    Case("QuantileAligner", {"scope": "per_batch", "reference_batch": "b1"}, reference="b1"),
]
FEW = settings(max_examples=5, deadline=None, derandomize=True, database=None)

for_every_case = pytest.mark.parametrize("case", CASES, ids=str)


def used_columns(case):
    """Columns of labels that the corrector reads."""
    corrector = case.make()
    used = []
    for role in corrector._roles:
        spec = getattr(corrector, role)
        used += [] if spec is None else list(spec) if isinstance(spec, list | tuple) else [spec]
    return used


@dataclass
class Table:
    """A table with batches ``b0``, ``b1``, ... and the columns of labels a corrector reads."""

    frame: pd.DataFrame
    features: list
    batch: pd.Series


def make_table(case, *, sizes, n_features, seed, dtype=np.float64, index="range"):
    """Simulated values with effects of batches; labels anywhere among the columns."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), np.maximum(sizes, case.rows))
    n_samples = len(codes)
    # Both sexes, sites and several subjects in every batch: nothing is confounded.
    within = np.concatenate([np.arange(size) for size in np.bincount(codes)])
    shifts = rng.normal(scale=2.0, size=(len(sizes), n_features))
    spreads = rng.uniform(0.5, 2.0, size=(len(sizes), n_features))
    values = shifts[codes] + spreads[codes] * rng.normal(size=(n_samples, n_features))
    if case.counts:
        values = rng.poisson(20 * np.exp(0.3 * values.clip(-4, 4))) + 1
    frame = pd.DataFrame(values.astype(dtype), columns=[f"f{j}" for j in range(n_features)])
    features = list(frame.columns)
    labels = pd.DataFrame(
        {
            "batch": [f"b{code}" for code in codes],
            "site": np.where(within % 3 == 0, "east", "west"),
            "subject": [f"s{number}" for number in (within // 2)],
            "age": rng.uniform(30, 80, size=n_samples),
            "sex": np.where(within % 2 == 0, "f", "m"),
        }
    )
    frame = frame.join(labels[used_columns(case)])
    frame = frame[rng.permutation(frame.columns)].sample(frac=1, random_state=seed % 1000)
    if index == "text":
        frame.index = pd.Index([f"row {i}" for i in range(n_samples)], name="sample")
    elif index == "repeated":
        frame.index = np.arange(n_samples) // 2
    elif index == "range":
        frame = frame.reset_index(drop=True)
    features = [column for column in frame.columns if column in features]
    return Table(frame, features, frame["batch"])


tables = {
    "sizes": st.lists(st.integers(3, 7), min_size=2, max_size=4),
    "n_features": st.integers(2, 6),
    "seed": st.integers(0, 2**31 - 1),
}


def close(case, actual, expected, rtol=1e-9):
    """Whether two results are equal but for rounding; counts may not differ at all."""
    if case.counts:
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)


def test_every_corrector_is_tried():
    correctors = {
        name
        for name in batch_effects.__all__
        if isinstance(getattr(batch_effects, name), type)
        and issubclass(getattr(batch_effects, name), batch_effects.BaseBatchCorrector)
    }
    assert correctors - {"BaseBatchCorrector", "BatchEffectSimulator"} == {
        case.name for case in CASES
    }


@for_every_case
@FEW
@given(
    **tables,
    dtype=st.sampled_from(["float32", "float64"]),
    index=st.sampled_from(["range", "shuffled", "text", "repeated"]),
)
def test_shape_index_columns_and_dtype_are_kept(case, sizes, n_features, seed, dtype, index):
    table = make_table(
        case, sizes=sizes, n_features=n_features, seed=seed, dtype=dtype, index=index
    )
    before = table.frame.copy()
    corrector = case.make()
    corrected = corrector.fit_transform(table.frame)
    assert corrected.columns.tolist() == table.features
    assert corrector.get_feature_names_out().tolist() == table.features
    pd.testing.assert_index_equal(corrected.index, table.frame.index)
    assert set(corrected.dtypes) == {np.dtype(dtype)}
    assert np.isfinite(corrected.to_numpy()).all()
    pd.testing.assert_frame_equal(table.frame, before)


@for_every_case
@FEW
@given(**tables, pick=st.integers(0, 2**31 - 1))
def test_transform_of_some_rows_is_some_rows_of_the_transform(case, sizes, n_features, seed, pick):
    table = make_table(case, sizes=sizes, n_features=n_features, seed=seed)
    corrector = case.make().fit(table.frame)
    whole = corrector.transform(table.frame)
    rng = np.random.default_rng(pick)
    n_samples = len(table.frame)
    # Fewer rows in another order, some of them twice; and a single one.
    for rows in (rng.integers(n_samples, size=rng.integers(2, n_samples)), [pick % n_samples]):
        part = corrector.transform(table.frame.iloc[rows])
        close(case, part, whole.iloc[rows], rtol=1e-12)


@for_every_case
@FEW
@given(**tables)
def test_fit_transform_is_fit_then_transform(case, sizes, n_features, seed):
    table = make_table(case, sizes=sizes, n_features=n_features, seed=seed)
    at_once = case.make().fit_transform(table.frame)
    close(case, case.make().fit(table.frame).transform(table.frame), at_once, rtol=1e-12)


@for_every_case
@FEW
@given(**tables, order=st.integers(0, 2**31 - 1))
def test_names_of_batches_do_not_matter(case, sizes, n_features, seed, order):
    table = make_table(case, sizes=sizes, n_features=n_features, seed=seed)
    names = np.random.default_rng(order).permutation([f"run {i}" for i in range(len(sizes))])
    new = dict(zip([f"b{i}" for i in range(len(sizes))], names, strict=True))
    renamed = table.frame.assign(batch=table.batch.map(new))
    corrector = case.make()
    if case.reference is not None:
        corrector.set_params(reference_batch=new[case.reference])
    close(case, corrector.fit_transform(renamed), case.make().fit_transform(table.frame))


@pytest.mark.parametrize("case", [case for case in CASES if case.ordered], ids=str)
@FEW
@given(**tables, order=st.integers(0, 2**31 - 1))
def test_order_of_training_rows_does_not_matter(case, sizes, n_features, seed, order):
    table = make_table(case, sizes=sizes, n_features=n_features, seed=seed)
    rows = np.random.default_rng(order).permutation(len(table.frame))
    turned = case.make().fit_transform(table.frame.iloc[rows])
    close(case, turned, case.make().fit_transform(table.frame).iloc[rows])


@pytest.mark.parametrize("case", [case for case in CASES if case.reference], ids=str)
@FEW
@given(**tables)
def test_reference_batch_is_returned_unchanged(case, sizes, n_features, seed):
    table = make_table(case, sizes=sizes, n_features=n_features, seed=seed)
    corrected = case.make().fit_transform(table.frame)
    reference = (table.batch == case.reference).to_numpy()
    np.testing.assert_array_equal(corrected[reference], table.frame.loc[reference, table.features])
    others = table.frame.loc[~reference, table.features]
    assert not np.allclose(corrected[~reference], others)


@pytest.mark.parametrize("case", [case for case in CASES if case.identity], ids=str)
@FEW
@given(size=st.integers(6, 12), n_features=tables["n_features"], seed=tables["seed"])
def test_a_single_batch_is_returned_unchanged(case, size, n_features, seed):
    table = make_table(case, sizes=[size], n_features=n_features, seed=seed)
    corrector = case.make()
    frame = table.frame.copy()
    if "site" in frame:
        frame["site"] = "east"
    if case.reference is not None:
        corrector.set_params(reference_batch="b0")
    once = corrector.fit_transform(frame)
    close(case, once, frame[table.features])
    twice = clone(corrector).fit_transform(frame.assign(**once))
    close(case, twice, once)


@for_every_case
def test_frames_and_arrays_give_the_same(case):
    table = make_table(case, sizes=[6, 7], n_features=4, seed=1)
    corrected = case.make().fit_transform(table.frame)
    positions = {name: table.frame.columns.get_loc(name) for name in used_columns(case)}
    corrector = case.make()
    numbered = {}
    for role in (*corrector._roles, "smooth_terms"):
        spec = getattr(corrector, role, None)
        if isinstance(spec, list | tuple) and spec:
            numbered[role] = [positions[name] for name in spec]
        elif isinstance(spec, str):
            numbered[role] = positions[spec]
    corrector.set_params(**numbered)
    values = corrector.fit_transform(table.frame.to_numpy())
    assert isinstance(values, np.ndarray)
    np.testing.assert_allclose(values.astype(float), corrected, rtol=1e-12)


@for_every_case
def test_float32_is_computed_in_float64(case):
    table = make_table(case, sizes=[6, 7], n_features=4, seed=2, dtype=np.float32)
    narrow = case.make().fit_transform(table.frame)
    wide = table.frame.astype(dict.fromkeys(table.features, np.float64))
    expected = case.make().fit_transform(wide)
    np.testing.assert_array_equal(narrow, expected.astype(np.float32))


@for_every_case
def test_stored_correctors_give_bitwise_equal_results(case):
    table = make_table(case, sizes=[6, 7], n_features=4, seed=3)
    corrector = case.make().fit(table.frame)
    corrected = corrector.transform(table.frame)
    loaded = pickle.loads(pickle.dumps(corrector))
    pd.testing.assert_frame_equal(loaded.transform(table.frame), corrected, check_exact=True)
    again = clone(corrector).fit(table.frame)
    pd.testing.assert_frame_equal(again.transform(table.frame), corrected, check_exact=True)


@for_every_case
def test_metadata_columns_are_kept_on_request(case):
    table = make_table(case, sizes=[6, 7], n_features=4, seed=4)
    corrected = case.make().fit_transform(table.frame)
    kept = case.make().set_params(keep_metadata=True).fit_transform(table.frame)
    labels = [column for column in table.frame.columns if column not in table.features]
    assert kept.columns.tolist() == table.features + labels
    pd.testing.assert_frame_equal(kept[table.features], corrected)
    pd.testing.assert_frame_equal(kept[labels], table.frame[labels])


@pytest.mark.parametrize(
    "corrector",
    [
        batch_effects.BatchStandardizer(scale=True),
        batch_effects.ComBat(),
        batch_effects.LimmaBatchRemover(),
        batch_effects.QuantileAligner(),
    ],
    ids=lambda corrector: type(corrector).__name__,
)
def test_at_most_three_copies_of_the_table_are_held(corrector):
    X = np.random.default_rng(0).normal(size=(1000, 2000))
    batch = np.arange(1000) % 4
    tracemalloc.start()
    try:
        corrector.fit_transform(X, batch=batch)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The table itself was there before.
    assert peak + X.nbytes < 3.2 * X.nbytes
