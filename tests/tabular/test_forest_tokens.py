"""The forest of sequential trees as a density of tokens."""

import numpy as np
import pytest
from scipy.special import ndtri

from synth_estimators.preprocessing._forest import CellColumn, DonorForest
from synth_estimators.tabular._forest_tokens import (
    BANDWIDTHS,
    ColumnTokens,
    TokenForest,
    smoothing_matrix,
)

N_ROWS = 300


def level_tokens(levels, n_levels):
    return ColumnTokens(CellColumn(levels, n_levels, levels), levels, n_levels)


@pytest.fixture
def columns():
    """A level, a number with a spike at 0 and twenty intervals, and a level of both."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, N_ROWS)
    values = np.where(rng.random(N_ROWS) < 0.3, 0.0, np.exp(rng.normal(size=N_ROWS) + kind))
    labels = np.unique(values, return_inverse=True)[1]
    shares = np.linspace(0, 1, 21)
    ranks = values[values > 0].argsort().argsort()
    tokens = np.zeros(N_ROWS, dtype=np.intp)
    tokens[values > 0] = 1 + ranks * 20 // len(ranks)
    number = ColumnTokens(CellColumn.of_numbers(labels.astype(float), labels), tokens, 21, shares)
    late = ((values > 2) & (rng.random(N_ROWS) < 0.9)).astype(np.intp)
    return [level_tokens(kind, 3), number, level_tokens(late, 2)]


@pytest.fixture
def forest(columns):
    return TokenForest(columns, 0)


@pytest.fixture
def cells(columns):
    return [column.cells.cells for column in columns]


def test_laws_of_nodes_are_the_recursive_estimate_of_back_off(columns, cells):
    target = columns[2]
    forest = DonorForest(n_trees=1, honest=True, min_samples_leaf=20, backoff=5.0)
    forest.fit([column.cells for column in columns[:2]], target.cells, 3)
    tree = forest.trees_[0]
    leaf = tree.leaves(cells[:2], tree._donors)
    expected = np.zeros((len(tree._count), 2))
    for node in range(len(tree._count)):
        path = [node]
        while path[-1] != 0:
            path.append(tree._parent[path[-1]])
        law = None
        for v in path[::-1]:
            below = np.zeros(len(tree._count), dtype=bool)
            below[v] = True
            for other in range(v + 1, len(below)):
                below[other] = below[tree._parent[other]]
            counts = np.bincount(target.tokens[tree._donors[below[leaf]]], minlength=2)
            if law is None:
                law = counts / counts.sum()
            elif counts.max() < 10 or counts.min() > 0:  # a full and pure node is not left
                law = (counts + 5.0 * law) / (5.0 + counts.sum())
            else:
                law = counts / counts.sum()
        expected[node] = law
    np.testing.assert_allclose(tree.laws(target.tokens, 2), expected, atol=1e-6)


def test_shares_are_the_frequencies_of_draws(columns, cells):
    forest = DonorForest(n_trees=4, honest=True, min_samples_leaf=5, backoff=5.0)
    forest.fit([column.cells for column in columns[:2]], columns[2].cells, 1)
    row = [np.repeat(cell[:1], 20_000) for cell in cells[:2]]
    drawn = columns[2].tokens[forest.draw(row, 20_000, np.random.default_rng(0))]
    share = forest.shares([cell[:1] for cell in row], 1, columns[2].tokens, 2)[0, 1]
    # Four standard errors of a share over 20,000 draws.
    assert drawn.mean() == pytest.approx(share, abs=4 * 0.5 / np.sqrt(20_000))


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
def test_laws_sum_to_one_and_keep_every_token_possible(forest, columns, cells, bandwidth):
    for j, column in enumerate(columns):
        law = forest.law(j, cells, N_ROWS, bandwidth)
        assert law.shape == (N_ROWS, column.n_tokens)
        np.testing.assert_allclose(law.sum(axis=1), 1.0, atol=1e-5)
        assert law.min() > 0


def test_first_column_has_the_law_of_its_margin(forest, columns, cells):
    margin = np.bincount(columns[0].tokens) / N_ROWS
    np.testing.assert_allclose(forest.law(0, cells, 2), [margin, margin], atol=1e-6)


def test_densities_are_the_entries_of_the_law(forest, columns, cells):
    for j, column in enumerate(columns):
        found = forest.densities(j, cells, column.tokens, column.bandwidths)
        for density, bandwidth in zip(found, column.bandwidths, strict=True):
            law = forest.law(j, cells, N_ROWS, bandwidth)
            expected = law[np.arange(N_ROWS), column.tokens]
            np.testing.assert_allclose(density, expected, rtol=1e-4)


def test_draws_follow_the_law(forest, columns, cells):
    n_draws = 40_000
    for j, bandwidth in ((1, 0.2), (2, 0.0)):
        row = [np.repeat(cell[:1], n_draws) for cell in cells]
        drawn = forest.draw(j, row, n_draws, np.random.default_rng(0), bandwidth)
        found = np.bincount(drawn, minlength=columns[j].n_tokens) / n_draws
        law = forest.law(j, [cell[:1] for cell in cells], 1, bandwidth)[0]
        # Five standard errors of the largest possible share.
        np.testing.assert_allclose(found, law, atol=5 * 0.5 / np.sqrt(n_draws))


def test_smoothing_moves_by_a_normal_step_between_the_ends_of_intervals():
    shares = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    matrix = smoothing_matrix(shares, 0.3)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-6)
    steps = ndtri(0.35) + 0.3 * np.random.default_rng(0).standard_normal(100_000)
    reached = np.bincount(np.searchsorted(ndtri(shares[1:-1]), steps), minlength=4) / 100_000
    np.testing.assert_allclose(matrix[1], reached, atol=0.008)


def test_smoothing_leaves_spikes_and_levels_alone(forest, columns, cells):
    plain = forest.law(1, cells, N_ROWS)
    smooth = forest.law(1, cells, N_ROWS, 0.4)
    np.testing.assert_allclose(smooth[:, 0], plain[:, 0], rtol=1e-6)
    assert columns[2].bandwidths == (0.0,)


def test_a_part_of_the_rows_keeps_the_tokens_of_all(columns):
    part = [column.take(np.arange(40)) for column in columns]
    cells = [column.cells.cells for column in columns]
    forest = TokenForest(part, 0)
    for j, column in enumerate(columns):
        assert forest.law(j, cells, N_ROWS).shape == (N_ROWS, column.n_tokens)


def test_the_law_of_a_column_ignores_the_columns_after_it(forest, cells):
    other = [cells[0], np.zeros_like(cells[1]), cells[2][::-1]]
    np.testing.assert_array_equal(forest.law(1, other, N_ROWS), forest.law(1, cells, N_ROWS))
