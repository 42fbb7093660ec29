"""Networks trained on folds and mixed with a forest."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp

from synth_estimators import metrics as m
from synth_estimators._networks.autoregressive import AutoregressiveNet
from synth_estimators.baselines import SequentialCART
from synth_estimators.tabular._ar_codes import pack, read_columns
from synth_estimators.tabular._ar_sampling import Given, NetConditionals, RowState, draw_rows
from synth_estimators.tabular._ar_scores import row_log_prob
from synth_estimators.tabular._small_table import (
    fit_small_table,
    fold_rows,
    member_rows,
    spike_limit,
)
from synth_estimators.tabular._tabular_ar import TabularAR

N_ROWS = 240
N_FOLDS = 3
SETTINGS = {
    "max_levels": 5,
    "max_value_embeddings": 400,
    "n_bins": 16,
    "n_input_bins": 8,
    "spike_share": 0.01,
    "spike_prominence": 4.0,
}


def mixed_table():
    """A level, an amount with zeros and missing cells, and a level that depends on both."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], N_ROWS)
    amount = np.exp(rng.normal(size=N_ROWS) + (kind == "a")).round(3)
    amount[rng.random(N_ROWS) < 0.2] = 0.0
    amount[rng.random(N_ROWS) < 0.1] = np.nan
    late = (np.nan_to_num(amount) > 1.5) & (kind != "c")
    return pd.DataFrame({"kind": kind, "amount": amount, "late": np.where(late, "yes", "no")})


def small_net(columns, n_members):
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    net = AutoregressiveNet(
        [column.n_tokens for column in columns],
        [column.n_choices for column in columns],
        [column.continuous for column in columns],
        hidden=(8, 8),
        n_components=3,
        n_members=n_members,
    )
    torch.random.set_rng_state(torch_state)
    return net


def model_parts(frame):
    """Codes of a table, an untrained net of three members, and what they leave out."""
    columns = read_columns(frame, **SETTINGS)
    cells = [column.read(frame.iloc[:, j]) for j, column in enumerate(columns)]
    codes = [column.encode(cell) for column, cell in zip(columns, cells, strict=True)]
    _, valid = fold_rows(N_ROWS, N_FOLDS, np.random.default_rng(0))
    return columns, cells, codes, pack(codes), valid, small_net(columns, N_FOLDS)


@pytest.fixture(scope="module")
def parts():
    return model_parts(mixed_table())


@pytest.fixture(scope="module")
def mixed(parts):
    return fit_small_table(*parts, seed=0)


@pytest.fixture
def state(parts):
    """The training rows, drawn up to the last column."""
    columns, cells, codes, *_ = parts
    rows = RowState(N_ROWS, len(columns))
    for cell, code in zip(cells[:2], codes[:2], strict=True):
        rows.add(cell, code)
    return rows


def test_every_row_is_left_out_by_one_network_and_seen_by_all_others():
    train, valid = fold_rows(23, 5, np.random.default_rng(0))
    assert (np.unique(valid) == np.arange(23)).all()
    for k in range(5):
        assert set(train[:, k]) | set(valid[:, k]) == set(range(23))
        assert not set(train[:, k]) & set(valid[:, k])


def test_rows_of_members_stand_side_by_side():
    X = np.arange(12.0).reshape(4, 3)
    rows = member_rows(X, np.array([[0, 3], [2, 1]]))
    np.testing.assert_array_equal(rows, [[0, 1, 2, 9, 10, 11], [6, 7, 8, 3, 4, 5]])


def test_numbers_need_rows_to_be_levels():
    assert spike_limit(100, 5_000) == 100
    assert spike_limit(100, 1_000) == 20
    assert spike_limit(15, 1_000) == 15
    assert spike_limit(100, 20) == 10


def test_densities_are_mixtures_of_the_networks_and_the_forest(mixed, parts, state):
    columns, _, codes, *_, net = parts
    alone = NetConditionals(columns, net).log_prob(2, state, codes[2])
    seen = mixed._seen(2, state, np.arange(N_ROWS))
    law = mixed.forest.law(2, seen, N_ROWS, mixed.bandwidths[2])
    expected = mixed.weights[2] * law[np.arange(N_ROWS), codes[2].choice]
    expected += (1 - mixed.weights[2]) * np.exp(alone)
    np.testing.assert_allclose(np.exp(mixed.log_prob(2, state, codes[2])), expected, rtol=1e-4)


def test_an_untrained_network_leaves_a_learnable_column_to_the_forest(mixed):
    assert mixed.weights[2] > 0.9
    assert ((mixed.weights >= 0) & (mixed.weights <= 1)).all()


def test_choices_have_probability_one_together(mixed, parts):
    columns, cells, codes, *_ = parts
    rows = RowState(N_ROWS, len(columns))
    for position in range(len(columns)):
        log_law = mixed.log_choices(position, rows)
        # The outer ends of the intervals of a net are at 8 standard deviations.
        np.testing.assert_allclose(logsumexp(log_law, axis=1), 0.0, atol=1e-4)
        tokens = codes[position].choice + codes[position].interval
        found = mixed.log_prob(position, rows, codes[position])
        np.testing.assert_allclose(found, log_law[np.arange(N_ROWS), tokens], atol=1e-3)
        rows.add(cells[position], codes[position])


def test_draws_follow_the_density(mixed, parts):
    columns, cells, *_ = parts
    n_draws = 20_000
    state = RowState(n_draws, len(columns))
    first = [np.repeat(cell[:1], n_draws) for cell in cells]
    state.add(first[0], columns[0].encode(first[0]))
    law = np.exp(mixed.log_choices(1, state, np.zeros(1, dtype=int)))[0]
    drawn, log_mass = mixed.draw(1, state, np.random.default_rng(0))
    code = columns[1].encode(drawn)
    found = np.bincount(code.choice + code.interval, minlength=len(law)) / n_draws
    # Five standard errors of the largest possible share.
    np.testing.assert_allclose(found, law, atol=5 * 0.5 / np.sqrt(n_draws))
    assert (log_mass == 0).all()


def test_draws_of_allowed_choices_tell_the_probability_of_these(mixed, parts, state):
    allowed = np.tile([True, False], (N_ROWS, 1))
    drawn, log_mass = mixed.draw(2, state, np.random.default_rng(0), None, allowed)
    assert (drawn == 0).all()
    np.testing.assert_allclose(log_mass, mixed.log_choices(2, state)[:, 0], atol=1e-6)


def test_rows_are_drawn_with_and_without_given_cells(mixed, parts):
    columns, *_ = parts
    cells = draw_rows(mixed, 500, np.random.default_rng(0))
    late = columns[2].levels.index("yes")
    known = dict(zip(columns[0].levels, range(3), strict=True))
    # Rows of kind "c" are never late; a floor of the forest and the network are.
    share = (cells[2][cells[0] == known["c"]] == late).mean()
    assert share < 0.2 < (cells[2][cells[0] == known["a"]] == late).mean()
    given = {2: Given(cells=np.full(500, late))}
    cells = draw_rows(mixed, 500, np.random.default_rng(0), given=given)
    assert (cells[2] == late).all()
    assert (cells[0] == known["c"]).mean() < 0.15


def test_missing_cells_are_drawn_at_their_rate(mixed, parts):
    _, cells, *_ = parts
    drawn = draw_rows(mixed, 4_000, np.random.default_rng(0))[1]
    rate = np.isnan(cells[1]).mean()
    # Four standard errors of 4,000 draws, and what the margins of folds differ.
    assert np.isnan(drawn).mean() == pytest.approx(rate, abs=0.03)


def test_densities_of_all_rows_of_a_small_domain_sum_to_one():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, N_ROWS)
    second = np.where(rng.random(N_ROWS) < 0.7, first, rng.integers(0, 3, N_ROWS))
    frame = pd.DataFrame({"a": first, "b": second, "c": first + second > 2})
    frame = frame.astype(str)
    mixed = fit_small_table(*model_parts(frame), seed=0)
    assert (mixed.weights[1:] > 0.5).all()
    domain = np.array(list(product(range(3), range(3), range(2)))).T
    total = np.exp(row_log_prob(mixed, list(domain))).sum()
    assert total == pytest.approx(1.0, abs=1e-5)


def weak_predictors(n_rows, n_columns, seed):
    """A target with 15 % in its smaller class and many columns that say little about it."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_rows, 3)) @ rng.normal(0, 0.5, (3, n_columns))
    values = factors + rng.standard_normal((n_rows, n_columns))
    values /= values.std(axis=0)
    log_odds = values @ rng.normal(0, 0.35, n_columns) + 0.5 * values[:, 0] * values[:, 1]
    chance = log_odds + rng.logistic(size=n_rows)
    table = {"target": np.where(chance > np.quantile(chance, 0.85), "yes", "no")}
    for j, column in enumerate(values.T):
        if j % 5 == 0:
            table[f"x{j}"] = np.round(40 + 10 * column).astype(int)
        elif j % 5 == 1:
            table[f"x{j}"] = np.exp(3 + 0.6 * column).round(2)
        elif j % 5 == 2:
            table[f"x{j}"] = np.array(list("abcd"))[np.digitize(column, [-1, 0, 1])]
        elif j % 5 == 3:
            table[f"x{j}"] = np.maximum(0, np.round(20 * column)).astype(int)
        else:
            table[f"x{j}"] = np.where(column > 0.5, "u", "w")
    return pd.DataFrame(table)


@pytest.mark.slow
def test_many_weak_predictors_are_learned_from_1000_rows():
    table = weak_predictors(7_000, 30, 0)
    train, holdout = table.iloc[:1_000], table.iloc[1_000:].reset_index(drop=True)
    found = {}
    for generator in (SequentialCART, TabularAR):
        model = generator(target="target", random_state=0).fit(train)
        lots = [model.sample(1_000, random_state=seed) for seed in range(3)]
        utility = [
            m.utility_ratio(holdout, rows, target="target", X_train=train, random_state=0)
            for rows in lots
        ]
        detected = [m.c2st_auc(holdout.head(1_000), rows, random_state=0) for rows in lots]
        found[generator] = np.mean(utility), np.mean(detected)
    assert found[TabularAR][0] > 0.95 * found[SequentialCART][0]
    assert found[TabularAR][1] < found[SequentialCART][1] + 0.01
