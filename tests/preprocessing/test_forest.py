"""Trees that hand out training cells."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from synth_estimators.preprocessing import _forest
from synth_estimators.preprocessing._forest import CellColumn, DonorForest, normal_scores

CLASSIC = {"n_trees": 1, "honest": False, "min_samples_leaf": 5, "backoff": 0.0}
PRIVATE = {"n_trees": 4, "honest": True, "min_samples_leaf": 5, "backoff": 5.0}


def numbers(values):
    values = np.asarray(values, dtype=float)
    missing = np.isnan(values)
    labels = np.unique(values, return_inverse=True)[1]
    return CellColumn.of_numbers(np.where(missing, np.nan, labels), labels)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def predictors(rng):
    return [numbers(rng.normal(size=400)), CellColumn.of_levels(rng.integers(0, 6, 400))]


@pytest.fixture
def target(predictors, rng):
    levels = (predictors[0].cells > 200).astype(int) + (predictors[1].cells > 2)
    return CellColumn.of_levels(np.where(rng.random(400) < 0.8, levels, 0))


def new_cells(predictors, n_samples, rng):
    rows = rng.integers(400, size=n_samples)
    return [column.cells[rows] for column in predictors]


def test_normal_scores_are_standardised_and_monotone(rng):
    values = np.exp(3 * rng.normal(size=500))
    scores = normal_scores(values)
    assert scores.mean() == pytest.approx(0, abs=1e-12)
    assert scores.std() == pytest.approx(1)
    assert (np.diff(scores[np.argsort(values)]) > 0).all()


def test_normal_scores_of_ties_and_missing_cells():
    scores = normal_scores(np.array([1.0, 1.0, 2.0, 2.0, np.nan]))
    assert scores[0] == scores[1] == -scores[2] == -scores[3]
    assert scores[4] == 0
    assert normal_scores(np.full(4, 7.0)).tolist() == [0.0] * 4
    assert normal_scores(np.full(4, np.nan)).tolist() == [0.0] * 4


def test_one_tree_without_backoff_draws_from_the_reached_leaf(predictors, target, rng):
    forest = DonorForest(**CLASSIC).fit(predictors, target, 0)
    (tree,) = forest.trees_
    cells = new_cells(predictors, 300, rng)
    donors = forest.draw(cells, 300, rng)
    encode, everyone = tree._encoder.encode, np.arange(300)
    reached = tree._tree.apply(encode(cells, everyone))
    home = tree._tree.apply(encode([column.cells for column in predictors], np.arange(400)))
    np.testing.assert_array_equal(reached, home[donors])


def test_infinite_backoff_draws_from_the_margin(predictors, target, rng):
    forest = DonorForest(**{**PRIVATE, "backoff": np.inf}).fit(predictors, target, 0)
    lowest = [np.zeros(20_000, dtype=np.float32), np.zeros(20_000, dtype=np.intp)]
    drawn = target.labels[forest.draw(lowest, 20_000, rng)]
    expected = np.bincount(target.labels) / 400
    # four halves of the rows stand for the margin: 2 standard errors of a half are 0.05
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 20_000, expected, atol=0.05)


def test_backoff_moves_a_leaf_with_d_donors_with_probability_m_over_m_plus_d(rng):
    side = CellColumn.of_levels(np.repeat([0, 1], 20))
    target = CellColumn.of_levels(np.r_[np.zeros(20, int), rng.permutation(np.repeat([1, 2], 10))])
    forest = DonorForest(n_trees=1, honest=False, min_samples_leaf=20, backoff=20.0)
    forest.fit([side], target, 0)
    donors = forest.draw([np.ones(40_000, dtype=np.intp)], 40_000, rng)
    # half of the draws leave the leaf, and half of those come from the other one
    assert (donors < 20).mean() == pytest.approx(0.25, abs=0.01)


def test_pure_leaves_of_ten_donors_are_not_left(rng):
    side = CellColumn.of_levels(np.repeat([0, 1], 20))
    target = CellColumn.of_levels(np.repeat([0, 1], 20))
    forest = DonorForest(n_trees=1, honest=False, min_samples_leaf=5, backoff=50.0)
    forest.fit([side], target, 0)
    donors = forest.draw([np.ones(1000, dtype=np.intp)], 1000, rng)
    assert (donors >= 20).all()


def test_honest_trees_draw_from_the_other_half(predictors, target):
    forest = DonorForest(**PRIVATE).fit(predictors, target, 0)
    assert [len(tree._donors) for tree in forest.trees_] == [200] * 4
    assert len({tuple(sorted(tree._donors)) for tree in forest.trees_}) == 4


def test_rows_that_make_the_splits_are_no_donors(predictors, target, monkeypatch):
    halves = []

    class Spy(_forest._Encoder):
        def __init__(self, columns, rows, outcome):
            halves.append(rows)
            super().__init__(columns, rows, outcome)

    monkeypatch.setattr(_forest, "_Encoder", Spy)
    forest = DonorForest(**PRIVATE).fit(predictors, target, 0)
    for structure, tree in zip(halves, forest.trees_, strict=True):
        np.testing.assert_array_equal(np.sort(np.r_[structure, tree._donors]), np.arange(400))


def test_every_cell_is_drawn_from_a_random_tree(predictors, target, rng):
    class Marked:
        def __init__(self, mark):
            self.mark = mark

        def draw(self, cells, rows, rng):
            return np.full(len(rows), self.mark)

    forest = DonorForest(**PRIVATE).fit(predictors, target, 0)
    forest.trees_ = [Marked(mark) for mark in range(4)]
    first, second = (forest.draw([], 10_000, rng) for _ in range(2))
    # five standard errors of a share of 10,000 cells
    np.testing.assert_allclose(np.bincount(first) / 10_000, 0.25, atol=0.022)
    assert (first == second).mean() == pytest.approx(0.25, abs=0.022)


def test_nodes_without_donors_are_left_even_without_backoff(rng):
    x = numbers(rng.normal(size=60))
    forest = DonorForest(n_trees=20, honest=True, min_samples_leaf=1, backoff=0.0)
    forest.fit([x], numbers(rng.normal(size=60)), 0)
    empty = 0
    for tree in forest.trees_:
        empty += int((tree._count == 0).sum())
        assert (tree._leave[tree._count == 0] == 1).all()
        assert (tree._leave[tree._count > 0] == 0).all()
    assert empty > 0
    assert forest.draw([x.cells], 60, rng).max() < 60


def test_subtrees_are_ranges_of_donors(predictors, target):
    """Counts of a node are the sums of its children, those of the root are all donors."""
    tree = DonorForest(**CLASSIC).fit(predictors, target, 0).trees_[0]
    left, right = tree._tree.children_left, tree._tree.children_right
    inner = left >= 0
    assert tree._count[0] == 400
    np.testing.assert_array_equal(
        tree._count[inner], tree._count[left[inner]] + tree._count[right[inner]]
    )
    assert (tree._parent[left[inner]] == np.flatnonzero(inner)).all()
    assert (tree._parent[right[inner]] == np.flatnonzero(inner)).all()
    assert tree._count[~inner].min() >= 5


def test_splits_are_those_of_a_plain_tree(predictors, target):
    numeric = predictors[:1]
    tree = DonorForest(**CLASSIC).fit(numeric, target, 0).trees_[0]
    plain = DecisionTreeClassifier(
        min_samples_leaf=5, min_impurity_decrease=1e-8, random_state=0
    ).fit(numeric[0].cells[:, None], target.labels)
    np.testing.assert_array_equal(tree._tree.threshold, plain.tree_.threshold)


def test_levels_are_ordered_by_the_outcome(rng):
    """One split separates the levels whatever their numbers are."""
    levels = rng.integers(0, 40, 4000)
    high = np.isin(levels, rng.permutation(40)[:20])
    target = numbers(np.where(high, 10.0, 0.0) + rng.normal(size=4000))
    forest = DonorForest(n_trees=1, honest=False, min_samples_leaf=1000, backoff=0.0)
    forest.fit([CellColumn.of_levels(levels)], target, 0)
    tree = forest.trees_[0]
    home = tree._tree.apply(tree._encoder.encode([levels], np.arange(4000)))
    assert len(np.unique(home[high])) <= 2
    assert not set(home[high]) & set(home[~high])


def test_code_of_a_level_is_its_shrunk_mean():
    levels = np.repeat([0, 1, 2], [20, 5, 1])
    outcome = np.repeat([1.0, -1.0, 6.0], [20, 5, 1])[:, None]
    mean = outcome.mean()
    effects = [(n * (value - mean)) / (n + 5) for n, value in ((20, 1), (5, -1), (1, 6))]
    codes = _forest._level_codes(levels, 3, outcome)
    np.testing.assert_allclose(codes[:, 0], effects / np.abs(effects).max(), rtol=1e-6)


def test_levels_get_a_second_code_if_one_does_not_separate_them():
    levels = np.repeat(np.arange(4), 50)
    assert _forest._level_codes(levels, 4, levels).shape == (4, 2)
    assert _forest._level_codes(levels, 4, levels // 2).shape == (4, 1)


def test_targets_of_very_many_levels_keep_their_rule(rng):
    group = rng.integers(0, 4, 3000)
    target = CellColumn.of_levels(100 * group + rng.integers(0, 100, 3000))
    forest = DonorForest(**PRIVATE).fit([CellColumn.of_levels(group)], target, 0)
    wanted = rng.integers(0, 4, 2000)
    drawn = target.labels[forest.draw([wanted], 2000, rng)] // 100
    assert (drawn == wanted).mean() > 0.97


def test_missing_cells_of_a_number_are_predicted(rng):
    side = CellColumn.of_levels(np.repeat([0, 1], 500))
    values = rng.normal(size=1000)
    values[rng.random(1000) < np.repeat([0.1, 0.7], 500)] = np.nan
    target = numbers(values)
    forest = DonorForest(**PRIVATE).fit([side], target, 0)
    for level, share in ((0, 0.1), (1, 0.7)):
        donors = forest.draw([np.full(5000, level)], 5000, rng)
        assert np.isnan(target.cells[donors]).mean() == pytest.approx(share, abs=0.06)


def test_without_predictors_every_row_is_a_donor(target, rng):
    donors = DonorForest(**PRIVATE).fit([], target, 0).draw([], 10_000, rng)
    assert set(donors) == set(range(400))


def test_constant_target_needs_no_tree(predictors, rng):
    forest = DonorForest(**PRIVATE).fit(predictors, CellColumn.of_levels(np.zeros(400, int)), 0)
    assert forest.trees_ == []


def test_equal_numbers_are_no_rule_but_missing_ones_are(rng):
    side = CellColumn.of_levels(np.repeat([0, 1], 20))
    settings = {"n_trees": 1, "honest": False, "min_samples_leaf": 5, "backoff": 50.0}
    wanted = [np.ones(1000, dtype=np.intp)]
    for cell, stays in ((3.0, False), (np.nan, True)):
        target = numbers(np.r_[rng.normal(size=20), np.full(20, cell)])
        forest = DonorForest(**settings).fit([side], target, 0)
        assert (forest.draw(wanted, 1000, rng) >= 20).all() == stays
