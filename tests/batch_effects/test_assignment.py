import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_estimators._batch_simulation._assignment import _shuffled_labels, class_probabilities
from synth_estimators.batch_effects import (
    confounded_batch_assignment,
    generate_batch_assignments,
    random_batch_assignment,
)

FUNCTIONS = {
    "random_batch_assignment": random_batch_assignment,
    "confounded_batch_assignment": confounded_batch_assignment,
}


def rng(seed=42):
    return np.random.default_rng(seed)


def test_labels_equal_the_published_stream(batch_data):
    cases = [c for c in batch_data.json("effects_expected")["cases"] if c["function"] in FUNCTIONS]
    assert len(cases) == 9
    for case in cases:
        labels = FUNCTIONS[case["function"]](rng=rng(case["seed"]), **case["kwargs"])
        assert labels.dtype == np.int64
        assert labels.tolist() == case["expected"]


def test_class_probabilities_equal_the_published_ones(batch_data):
    cases = batch_data.json("effects_expected")["cases"]
    cases = [case for case in cases if case["function"] == "redistributed_probabilities"]
    assert len(cases) == 6
    for case in cases:
        given_values = case["kwargs"]
        found = class_probabilities(
            given_values["base"], given_values["c"], given_values["preferred"]
        )
        np.testing.assert_allclose(found, case["expected"], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("n_samples", "n_batches", "proportions", "expected"),
    [
        (100, 3, None, [34, 33, 33]),
        (100, 3, [0.5, 0.3, 0.2], [50, 30, 20]),
        (7, 3, [0.5, 0.3, 0.2], [4, 2, 1]),
        (15, 10, [0.1] * 10, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]),
        (5, 10, [0.1] * 10, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
    ],
)
def test_batch_sizes_follow_the_proportions(n_samples, n_batches, proportions, expected):
    labels = random_batch_assignment(n_samples, n_batches, rng(), proportions)
    assert np.bincount(labels, minlength=n_batches).tolist() == expected


def test_first_labels_of_seed_42():
    assert random_batch_assignment(100, 3, rng())[:10].tolist() == [1, 0, 1, 0, 0, 1, 1, 0, 2, 2]


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    n_samples=st.integers(1, 60),
    weights=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=8).filter(lambda w: sum(w) > 1e-3),
)
def test_every_row_gets_a_batch(n_samples, weights):
    labels = random_batch_assignment(n_samples, len(weights), rng(0), weights)
    assert labels.shape == (n_samples,)
    assert set(labels.tolist()) <= set(range(len(weights)))
    expected = np.asarray(weights) / sum(weights) * n_samples
    sizes = np.bincount(labels, minlength=len(weights))
    assert np.abs(sizes - expected).max() <= 1.5


def test_labels_are_drawn_where_sizes_cannot_be_met(monkeypatch):
    module = "synth_estimators._batch_simulation._assignment._batch_sizes"
    monkeypatch.setattr(module, lambda *args: np.array([3, -1]))
    labels = _shuffled_labels(6, 2, np.array([1.0, 0.0]), rng())
    assert labels.tolist() == [0] * 6


def test_random_labels_move_the_generator_by_one_shuffle():
    first, second = rng(), rng()
    random_batch_assignment(10, 3, first)
    second.shuffle(np.arange(10))
    assert first.random() == second.random()


@pytest.mark.parametrize(
    ("confounding", "expected"),
    [(0.5, [[34, 16], [15, 35]]), (0.8, [[46, 4], [6, 44]]), (1.0, [[50, 0], [0, 50]])],
)
def test_confounding_ties_batches_to_classes(confounding, expected):
    y = np.repeat([0, 1], 50)
    batch = generate_batch_assignments(
        100, 2, rng(), class_labels=y, confounding_with_class=confounding
    )
    assert pd.crosstab(y, batch).reindex(columns=[0, 1], fill_value=0).to_numpy().tolist() == (
        expected
    )


def test_redistribution_keeps_rows_out_of_their_preferred_batch():
    np.testing.assert_allclose(
        class_probabilities([0.6, 0.3, 0.1], 1.0, 2), [0.130435, 0, 0.869565], atol=1e-6
    )


@pytest.mark.parametrize(
    ("confounding", "expected"),
    [(1.0, [0, 0, 1]), (0.0, [0.6, 0.3, 0.1]), (0.5, [0.3, 0.15, 0.55])],
)
def test_mixture_is_exact_for_any_proportions(confounding, expected):
    shares = class_probabilities([0.6, 0.3, 0.1], confounding, 2, method="mixture")
    np.testing.assert_allclose(shares, expected, atol=1e-15)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [0.7, 0.3]])
def test_the_two_methods_agree_for_equal_proportions_and_for_two_batches(weights):
    for confounding in (0.2, 0.7, 1.0):
        np.testing.assert_allclose(
            class_probabilities(weights, confounding, 1),
            class_probabilities(weights, confounding, 1, method="mixture"),
            atol=1e-15,
        )


def test_mixture_puts_every_row_into_its_batch_at_full_confounding():
    y = ["a", "b", "c"] * 20
    batch = confounded_batch_assignment(y, 3, 1.0, rng(), [0.6, 0.3, 0.1], method="mixture")
    assert batch.tolist() == [0, 1, 2] * 20


def test_more_classes_than_batches_share_batches():
    batch = confounded_batch_assignment([0, 1, 2, 3], 2, 1.0, rng())
    assert batch.tolist() == [0, 1, 0, 1]


def test_batches_that_no_class_prefers_stay_empty():
    batch = confounded_batch_assignment([0, 1] * 10, 4, 1.0, rng())
    assert set(batch.tolist()) == {0, 1}


def test_text_and_numbers_give_the_same_labels():
    codes = np.array([1, 0, 2, 1, 0, 2, 2])
    names = np.array(["b", "c", "d"])[codes]
    for labels in (names, names.astype(object), pd.Series(names), pd.Categorical(names)):
        np.testing.assert_array_equal(
            confounded_batch_assignment(labels, 2, 0.4, rng()),
            confounded_batch_assignment(codes, 2, 0.4, rng()),
        )


def test_one_batch_draws_nothing():
    generator = rng()
    assert generate_batch_assignments(5, 1, generator).tolist() == [0] * 5
    assert generator.random() == rng().random()


def test_without_confounding_class_labels_change_nothing():
    np.testing.assert_array_equal(
        generate_batch_assignments(9, 2, rng(), class_labels=[0, 1, 2] * 3),
        random_batch_assignment(9, 2, rng()),
    )


def test_confounding_without_classes_is_refused():
    with pytest.raises(ValueError, match="needs class_labels"):
        generate_batch_assignments(10, 2, rng(), confounding_with_class=0.5)


@pytest.mark.parametrize("n_batches", [1, 2])
@pytest.mark.parametrize(
    ("proportions", "message"),
    [
        ([0.2, 0.3, 0.5], r"shape \(3,\), but n_batches="),
        ([[0.5, 0.5]], "shape"),
        ([], "shape"),
        (["a", "b"], "not numbers"),
    ],
)
def test_proportions_that_do_not_fit_are_refused(n_batches, proportions, message):
    with pytest.raises(ValueError, match=message):
        generate_batch_assignments(10, n_batches, rng(), proportions)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1])
def test_bad_proportions_are_named(bad):
    with pytest.raises(ValueError, match=r"proportions=.* negative, missing or infinite"):
        random_batch_assignment(10, 2, rng(), [0.5, bad])
    with pytest.raises(ValueError, match="proportions sum to 0"):
        random_batch_assignment(10, 2, rng(), [0, 0])


@pytest.mark.parametrize("n_samples", [0, -3])
def test_too_few_samples_are_refused(n_samples):
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        random_batch_assignment(n_samples, 2, rng())


def test_too_few_batches_are_refused():
    with pytest.raises(ValueError, match="n_batches must be at least 1, got 0"):
        random_batch_assignment(5, 0, rng())
    with pytest.raises(ValueError, match="n_batches must be at least 2, got 1"):
        confounded_batch_assignment([0, 1], 1, 0.5, rng())


@pytest.mark.parametrize("n_batches", [2.0, "2", True, None])
def test_batches_are_counted_in_whole_numbers(n_batches):
    with pytest.raises(TypeError, match="n_batches must be an integer"):
        random_batch_assignment(5, n_batches, rng())


@pytest.mark.parametrize("confounding", [-0.1, 1.1, np.nan])
def test_confounding_lies_between_0_and_1(confounding):
    with pytest.raises(ValueError, match="confounding_with_class must lie between 0 and 1"):
        confounded_batch_assignment([0, 1], 2, confounding, rng())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "class_labels is empty"),
        ([[0, 1]], "one-dimensional"),
        ([0.0, np.nan], r"1 missing values \(first in row 1\)"),
        (np.array([1, "a"], dtype=object), "mixes types"),
    ],
)
def test_bad_class_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        confounded_batch_assignment(labels, 2, 0.5, rng())


def test_class_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="has 3 entries, but there are 4 samples"):
        generate_batch_assignments(4, 2, rng(), class_labels=[0, 1, 1])


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"method='half' is not known; expected one of"):
        confounded_batch_assignment([0, 1], 2, 0.5, rng(), method="half")


@pytest.mark.parametrize("seed", [0, None, np.random.RandomState(0)])
def test_a_seed_is_no_generator(seed):
    with pytest.raises(TypeError, match="default_rng"):
        random_batch_assignment(5, 2, seed)
