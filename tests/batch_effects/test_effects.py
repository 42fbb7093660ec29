import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from synth_estimators.batch_effects import (
    BatchEffectsConfig,
    apply_batch_effects,
    apply_batch_effects_from_config,
    random_batch_assignment,
)

X = np.arange(12.0).reshape(4, 3)
BATCH = [0, 0, 1, 1]


def rng(seed=0):
    return np.random.default_rng(seed)


def test_effects_equal_the_published_stream(batch_data):
    cases = batch_data.json("effects_expected")["cases"]
    cases = [case for case in cases if case["function"] == "apply_batch_effects"]
    assert len(cases) == 16
    for case in cases:
        values = {**case["kwargs"], "X": np.array(case["kwargs"]["X"])}
        found, summary = apply_batch_effects(rng=rng(case["seed"]), **values)
        np.testing.assert_allclose(found, case["expected"]["X"], rtol=1e-15, atol=1e-15)
        np.testing.assert_allclose(
            summary, case["expected"]["batch_effects"], rtol=1e-15, atol=1e-15
        )


def test_configuration_gives_the_published_table(batch_data):
    cases = batch_data.json("effects_expected")["cases"]
    (case,) = [c for c in cases if c["function"] == "apply_batch_effects_from_config"]
    values = case["kwargs"]
    for config in (values["config"], BatchEffectsConfig(**values["config"])):
        table = np.array(values.get("X", X))
        found, labels, summary = apply_batch_effects_from_config(
            table, values["y"], config, rng(case["seed"])
        )
        np.testing.assert_allclose(found, case["expected"]["X"], rtol=1e-15, atol=1e-15)
        assert labels.tolist() == case["expected"]["batch_labels"]
        np.testing.assert_allclose(
            summary, case["expected"]["batch_effects"], rtol=1e-15, atol=1e-15
        )


def test_signature_is_the_published_one():
    names = list(inspect.signature(apply_batch_effects).parameters)
    assert names == [
        "X",
        "batch_assignments",
        "rng",
        "effect_type",
        "effect_strength",
        "affected_features",
        "effect_granularity",
        "n_batches",
        "return_effects",
    ]


def test_wide_tables_are_worked_on_in_blocks():
    table = rng(1).normal(size=(90, 1000))
    batch = np.arange(90) % 3
    found, _, effects = apply_batch_effects(table, batch, rng(), return_effects=True)
    np.testing.assert_array_equal(effects, rng().normal(0, 0.5, size=(3, 1000)))
    np.testing.assert_array_equal(found, table + effects[batch])


@pytest.mark.parametrize("granularity", ["per_feature", "scalar"])
def test_effects_come_back_and_undo_the_change(granularity):
    for effect_type in ("additive", "multiplicative"):
        found, summary, effects = apply_batch_effects(
            X,
            BATCH,
            rng(),
            effect_type,
            affected_features=[2, 0],
            effect_granularity=granularity,
            n_batches=3,
            return_effects=True,
        )
        assert effects.shape == (3, 2)
        own = effects[BATCH]
        undone = found[:, [2, 0]] - own if effect_type == "additive" else found[:, [2, 0]] / own
        np.testing.assert_allclose(undone, X[:, [2, 0]], atol=1e-14)
        shift = effects if effect_type == "additive" else effects - 1
        np.testing.assert_allclose(summary, shift.mean(axis=1), atol=1e-15)
        np.testing.assert_array_equal(found[:, 1], X[:, 1])


def test_trailing_empty_batches_do_not_change_the_effects_of_the_others():
    effects = [
        apply_batch_effects(X, BATCH, rng(), n_batches=n, return_effects=True)[2] for n in (2, 5)
    ]
    np.testing.assert_array_equal(effects[0], effects[1][:2])


@pytest.mark.parametrize(
    "features",
    [
        [0, 2],
        np.array([0, 2]),
        (0, 2),
        range(0, 3, 2),
        pd.Index([0, 2]),
        [True, False, True],
        np.array([True, False, True]),
        [0, 2, 0, 2],
    ],
)
def test_positions_and_masks_name_the_same_columns(features):
    expected, _ = apply_batch_effects(X, BATCH, rng(), affected_features=[0, 2])
    found, _ = apply_batch_effects(X, BATCH, rng(), affected_features=features)
    np.testing.assert_array_equal(found, expected)


def test_effects_follow_the_order_of_the_features():
    forward = apply_batch_effects(X, BATCH, rng(), affected_features=[0, 2])[0] - X
    backward = apply_batch_effects(X, BATCH, rng(), affected_features=[2, 0])[0] - X
    np.testing.assert_allclose(forward[:, [0, 2]], backward[:, [2, 0]], atol=1e-14)


def test_a_frame_is_affected_by_column_names():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    expected, _ = apply_batch_effects(X, BATCH, rng(), affected_features=[2, 0])
    for names in (["c", "a"], np.array(["c", "a"]), pd.Index(["c", "a"]), ["c", "a", "c"]):
        found, _ = apply_batch_effects(frame, BATCH, rng(), affected_features=names)
        np.testing.assert_array_equal(found, expected)


def test_a_frame_keeps_index_and_columns():
    columns = pd.MultiIndex.from_tuples(
        [("rna", "a"), ("rna", "b"), ("protein", "c")], names=["kind", "gene"]
    )
    index = pd.Index(list("wxyz"), name="sample")
    frame = pd.DataFrame(X, index=index, columns=columns)
    before = frame.copy()
    found, _ = apply_batch_effects(frame, BATCH, rng(), affected_features=["rna"])
    pd.testing.assert_frame_equal(frame, before)
    assert found.columns.is_(frame.columns)
    assert found.columns.names == ["kind", "gene"]
    assert found.index.equals(index)
    assert found.index.name == "sample"
    changed = (found != frame).any()
    assert changed.tolist() == [True, True, False]


def test_other_columns_of_a_mixed_frame_are_untouched():
    frame = pd.DataFrame(
        {
            "a": [1, 2, 3, 4],
            "b": np.array([1, 2, 3, 4], dtype=np.float32),
            "sex": list("fmfm"),
            "n": [1, 2, 3, 4],
        },
        index=[9, 8, 7, 6],
    )
    found, _ = apply_batch_effects(
        frame, BATCH, rng(), affected_features=["a", "b"], effect_type="multiplicative"
    )
    assert found[["a", "b"]].dtypes.astype(str).tolist() == ["float64", "float32"]
    pd.testing.assert_frame_equal(found[["sex", "n"]], frame[["sex", "n"]])
    factors = 1 + rng().normal(0, 0.5, size=(2, 2))
    np.testing.assert_array_equal(found["a"], frame["a"] * factors[BATCH, 0])


def test_text_columns_cannot_be_affected():
    frame = pd.DataFrame({"a": [1.0, 2.0], "sex": ["f", "m"]})
    with pytest.raises(ValueError, match="Column 'sex' holds values that are not numbers"):
        apply_batch_effects(frame, [0, 1], rng())


def test_float32_stays_and_integers_become_floats():
    expected, _ = apply_batch_effects(X, BATCH, rng())
    single, _ = apply_batch_effects(X.astype(np.float32), BATCH, rng())
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, expected.astype(np.float32))
    whole, _ = apply_batch_effects(X.astype(int), BATCH, rng())
    np.testing.assert_array_equal(whole, expected)


def test_missing_cells_stay_missing():
    table = X.copy()
    table[1, 1] = np.nan
    found, _ = apply_batch_effects(table, BATCH, rng())
    np.testing.assert_array_equal(np.isnan(found), np.isnan(table))


@pytest.mark.parametrize("keywords", [{"effect_strength": 0}, {"affected_features": []}])
@pytest.mark.parametrize("effect_type", ["additive", "multiplicative"])
def test_no_effect_draws_nothing_and_copies(keywords, effect_type):
    generator = rng()
    found, summary, effects = apply_batch_effects(
        X, BATCH, generator, effect_type, **keywords, return_effects=True
    )
    assert generator.random() == rng().random()
    np.testing.assert_array_equal(found, X)
    assert not np.shares_memory(found, X)
    assert summary.tolist() == [0, 0]
    assert effects.shape == (2, 3 if "effect_strength" in keywords else 0)
    assert (effects == (effect_type == "multiplicative")).all()


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    n_rows=st.integers(1, 12),
    width=st.integers(1, 6),
    n_batches=st.integers(1, 4),
    frame=st.booleans(),
    effect_type=st.sampled_from(["additive", "multiplicative"]),
    granularity=st.sampled_from(["per_feature", "scalar"]),
    data=st.data(),
)
def test_rows_of_a_batch_share_their_effects(
    n_rows, width, n_batches, frame, effect_type, granularity, data
):
    batch = np.array(
        data.draw(st.lists(st.integers(0, n_batches - 1), min_size=n_rows, max_size=n_rows))
    )
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=width, max_size=width)))
    table = rng(1).normal(size=(n_rows, width)) + 3
    before = table.copy()
    given_table = pd.DataFrame(table) if frame else table
    found, summary, effects = apply_batch_effects(
        given_table, batch, rng(), effect_type, 0.5, mask, granularity, n_batches, True
    )
    assert type(found) is type(given_table)
    assert summary.shape == (n_batches,)
    found = np.asarray(found)
    np.testing.assert_array_equal(table, before)
    np.testing.assert_array_equal(found[:, ~mask], table[:, ~mask])
    own = effects[batch]
    expected = table[:, mask] + own if effect_type == "additive" else table[:, mask] * own
    np.testing.assert_array_equal(found[:, mask], expected)
    if granularity == "scalar" and mask.any():
        assert (effects == effects[:, :1]).all()


@pytest.mark.parametrize("strength", [0, 0.5])
def test_unknown_words_are_refused_at_any_strength(strength):
    with pytest.raises(ValueError, match="effect_type='shift' is not known"):
        apply_batch_effects(X, BATCH, rng(), "shift", strength)
    with pytest.raises(ValueError, match="effect_granularity='gene' is not known"):
        apply_batch_effects(X, BATCH, rng(), "additive", strength, "all", "gene")


@pytest.mark.parametrize("strength", [-0.1, np.nan, np.inf])
def test_bad_strength_is_refused(strength):
    with pytest.raises(ValueError, match="effect_strength must be a finite number"):
        apply_batch_effects(X, BATCH, rng(), effect_strength=strength)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([0, 1], "has 2 entries, but X has 4 rows"),
        ([[0], [0], [1], [1]], r"one-dimensional .* got shape \(4, 1\)"),
        ([0, 0, 1, -1], "negative number -1"),
        ([0.0, 0.9, 1.0, 1.0], "0.9, which is no whole number"),
        ([0.0, np.nan, 1.0, 1.0], "holds nan"),
        (["a", "a", "b", "b"], "holds 'a'; expected the numbers"),
    ],
)
def test_bad_batch_numbers_are_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        apply_batch_effects(X, batch, rng())


def test_whole_floats_count_as_batch_numbers():
    expected, _ = apply_batch_effects(X, BATCH, rng())
    for batch in (np.array(BATCH, dtype=float), pd.Series(BATCH, index=[3, 2, 1, 0])):
        np.testing.assert_array_equal(apply_batch_effects(X, batch, rng())[0], expected)


def test_too_few_batches_are_refused():
    with pytest.raises(ValueError, match=r"n_batches=1, but batch_assignments goes up to 1"):
        apply_batch_effects(X, BATCH, rng(), n_batches=1)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        ([3], IndexError, "position 3, but X has 3 columns"),
        ([-1], IndexError, "position -1"),
        ("most", ValueError, "affected_features='most' is not known"),
        ("informative", ValueError, "affected_features='informative' is not known"),
        ([True, False], ValueError, "mask of length 2, but X has 3 columns"),
        ([True, 2], ValueError, "mixes booleans"),
        ([0.5], ValueError, "holds 0.5, which is no position"),
        (1, ValueError, "is one value"),
        (["a"], ValueError, "X has no column names"),
    ],
)
def test_bad_features_are_refused(features, error, message):
    with pytest.raises(error, match=message):
        apply_batch_effects(X, BATCH, rng(), affected_features=features)


def test_unknown_names_are_refused():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(KeyError, match="names the column 'd'"):
        apply_batch_effects(frame, BATCH, rng(), affected_features=["a", "d"])


@pytest.mark.parametrize("table", [np.empty((0, 3)), np.empty((4, 0)), pd.DataFrame(index=[0])])
def test_empty_tables_are_refused(table):
    with pytest.raises(ValueError, match="X is empty"):
        apply_batch_effects(table, [], rng())


def test_other_containers_are_refused():
    with pytest.raises(TypeError, match="toarray"):
        apply_batch_effects(sparse.csr_array(X), BATCH, rng())
    with pytest.raises(ValueError, match="two-dimensional"):
        apply_batch_effects(X[0], [0, 0, 1], rng())
    with pytest.raises(ValueError, match="not numbers"):
        apply_batch_effects([["a"], ["b"]], [0, 1], rng())


def test_informative_features_are_affected_alone():
    config = {"n_batches": 2, "affected_features": "informative"}
    found, _, _ = apply_batch_effects_from_config(X, None, config, rng(), [1])
    assert (found != X).all(axis=0).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="needs informative_indices"):
        apply_batch_effects_from_config(X, None, config, rng())


def test_granularity_of_the_configuration_is_honoured():
    config = BatchEffectsConfig(n_batches=2, effect_granularity="scalar")
    found, labels, summary = apply_batch_effects_from_config(X, None, config, rng())
    np.testing.assert_array_equal(found, X + summary[labels][:, None])


@pytest.mark.parametrize("n_batches", [0, 1])
def test_no_batches_change_nothing(n_batches):
    generator = rng()
    frame = pd.DataFrame(X, columns=list("abc"))
    config = BatchEffectsConfig(n_batches=n_batches, confounding_with_class=0.5)
    for table in (X, frame):
        found, labels, summary = apply_batch_effects_from_config(
            table, [0, 1, 0, 1], config, generator
        )
        assert type(found) is type(table)
        np.testing.assert_array_equal(found, X)
        assert labels.tolist() == [0] * 4
        assert summary.tolist() == [0]
    assert generator.random() == rng().random()


def test_one_generator_serves_batches_and_effects():
    config = BatchEffectsConfig(n_batches=4, proportions=[4, 3, 2, 1], effect_strength=2.0)
    generator = rng(5)
    batch = random_batch_assignment(4, 4, generator, [4, 3, 2, 1])
    expected, _ = apply_batch_effects(X, batch, generator, "additive", 2.0, n_batches=4)
    found, labels, _ = apply_batch_effects_from_config(X, None, config, rng(5))
    np.testing.assert_array_equal(labels, batch)
    np.testing.assert_array_equal(found, expected)


def test_any_object_with_the_attributes_describes_batches():
    class Settings:
        n_batches = 2
        proportions = None
        confounding_with_class = 1.0
        effect_type = "multiplicative"
        effect_strength = 0.5
        affected_features = "all"

    _, labels, _ = apply_batch_effects_from_config(X, list("abab"), Settings(), rng())
    assert labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="has no attribute 'n_batches'"):
        apply_batch_effects_from_config(X, None, 3, rng())


def test_confounding_needs_classes():
    config = BatchEffectsConfig(n_batches=2, confounding_with_class=0.5)
    with pytest.raises(ValueError, match="needs class_labels"):
        apply_batch_effects_from_config(X, None, config, rng())


def test_mixture_is_an_option_of_the_configuration():
    config = BatchEffectsConfig(
        3, confounding_with_class=1.0, proportions=[6, 3, 1], assignment="mixture"
    )
    _, labels, _ = apply_batch_effects_from_config(np.zeros((30, 1)), [0, 1, 2] * 10, config, rng())
    assert labels.tolist() == [0, 1, 2] * 10


def test_configuration_has_the_documented_defaults():
    config = BatchEffectsConfig()
    assert (config.n_batches, config.effect_strength, config.effect_type) == (0, 0.5, "additive")
    assert (config.effect_granularity, config.confounding_with_class) == ("per_feature", 0.0)
    assert (config.affected_features, config.proportions) == ("all", None)


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError, match="strength"):
        BatchEffectsConfig(strength=1)
    with pytest.raises(ValueError, match=r"unknown fields \['strength'\]"):
        apply_batch_effects_from_config(X, None, {"n_batches": 2, "strength": 1}, rng())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_batches": -1}, "n_batches must be at least 0"),
        ({"effect_strength": -1}, "effect_strength"),
        ({"effect_type": "shift"}, "effect_type"),
        ({"effect_granularity": "gene"}, "effect_granularity"),
        ({"confounding_with_class": 2}, "confounding_with_class"),
        ({"affected_features": "most"}, "affected_features"),
        ({"assignment": "half"}, "assignment"),
        ({"n_batches": 3, "proportions": [1, 2]}, "proportions"),
        ({"proportions": []}, "proportions"),
    ],
)
def test_fields_outside_of_their_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        BatchEffectsConfig(**fields)
