"""Tests of the networks of conditional GANs."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from synth_estimators._networks.tabular_gan import ConditionalGenerator, PackedCritic


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        yield


def make_generator(**options):
    """Two scalars, one code of three bits, one-hot spans of 2, 3 and 4 levels."""
    return ConditionalGenerator(2, (3,), (2, 3, 4), 5, (7, 6), **options)


@pytest.mark.parametrize("dense", [False, True])
def test_condition_acts_as_if_joined_to_the_inputs(dense):
    generator = make_generator(fields=(0, 2)).double()
    index = torch.tensor([0, 5, 3, 2])
    one_hot = functional.one_hot(index, 6).double()
    noise = torch.randn(4, 5, dtype=torch.float64)
    x = noise
    for layer, norm in zip(generator.body.layers, generator.body.norms, strict=True):
        joined = nn.functional.linear(
            torch.cat([x, one_hot], dim=1),
            torch.cat([layer.weight, layer.condition.t()], dim=1),
            layer.bias,
        )
        scaled = (joined - joined.mean(0)) / (joined.var(0, unbiased=False) + norm.eps).sqrt()
        x = torch.cat([torch.relu(scaled), x], dim=1)
    last = generator.body.last
    expected = x @ last.weight.t() + one_hot @ last.condition + last.bias
    found = generator.raw(noise, one_hot if dense else index)
    torch.testing.assert_close(found, expected)


def test_output_adds_the_widths_of_the_blocks():
    generator = make_generator()
    assert [layer.weight.shape[1] for layer in generator.body.layers] == [5, 12]
    assert generator.body.last.weight.shape == (14, 18)


def test_soft_rows_are_scalars_bits_and_levels():
    rows = make_generator()(torch.randn(50, 5))
    assert rows[:, :2].abs().max() < 1
    assert ((rows[:, 2:5] > 0) & (rows[:, 2:5] < 1)).all()
    for start, stop in ((5, 7), (7, 10), (10, 14)):
        torch.testing.assert_close(rows[:, start:stop].sum(dim=1), torch.ones(50))


def test_level_losses_are_cross_entropies_of_the_wanted_field():
    generator = make_generator(fields=(0, 2))
    raw = torch.randn(6, 14, requires_grad=True)
    wanted = torch.tensor([0, 1, 2, 3, 4, 5])
    expected = torch.cat(
        [
            functional.cross_entropy(raw[:2, 5:7], torch.tensor([0, 1]), reduction="none"),
            functional.cross_entropy(raw[2:, 10:14], torch.arange(4), reduction="none"),
        ]
    )
    found = generator.condition_losses(raw, wanted, wanted)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.sum(), raw)
    assert torch.isfinite(gradient).all()
    assert (gradient[:, 7:10] == 0).all()


def test_losses_of_known_columns_are_those_of_their_spans_alone():
    # Column 0: a number with a mode and a flag; column 1: a number; column 2: a code; 3: levels.
    generator = make_generator(columns=(0, 1, 2, 0, 0, 3))
    compact = torch.tensor([[0.5, -0.2, 4.0, 1.0, 2.0, 3.0]])
    raw = torch.randn(1, 14)
    levels = [
        functional.cross_entropy(raw[:, a:b], torch.tensor([k]))
        for a, b, k in ((5, 7, 1), (7, 10, 2), (10, 14, 3))
    ]
    bits = functional.binary_cross_entropy_with_logits(raw[0, 2:5], torch.tensor([1.0, 0.0, 1.0]))
    expected = {
        0: (raw[0, 0].tanh() - 0.5) ** 2 + levels[0] + levels[1],
        1: (raw[0, 1].tanh() + 0.2) ** 2,
        2: bits,
        3: levels[2],
    }
    for column, loss in expected.items():
        mask = torch.zeros(1, 4)
        mask[0, column] = 1.0
        wanted = (compact, mask)
        found = generator.condition_losses(raw, wanted, generator.condition(wanted))
        torch.testing.assert_close(found[0], loss)


def test_known_columns_set_all_their_spans_and_no_other():
    generator = make_generator(columns=(0, 1, 2, 0, 0, 3), flags=True)
    compact = torch.tensor([[0.5, -0.2, 4.0, 1.0, 2.0, 3.0]])
    condition = generator.condition((compact, torch.tensor([[1.0, 0.0, 0.0, 0.0]])))
    assert condition.shape == (1, 14 + 4)
    expected = torch.zeros(18)
    expected[torch.tensor([0, 6, 9, 14])] = torch.tensor([0.5, 1.0, 1.0, 1.0])
    torch.testing.assert_close(condition[0], expected)


def test_scalar_beside_a_silent_level_is_zero_and_costs_nothing():
    generator = make_generator(columns=(0, 1, 2, 0, 0, 3), silent=[(0, 1), (0, 4)])
    compact = torch.tensor([[0.5, -0.2, 4.0, 1.0, 0.0, 3.0], [0.5, -0.2, 4.0, 0.0, 0.0, 3.0]])
    rows = generator.expand(compact)
    torch.testing.assert_close(rows[:, :2], torch.tensor([[0.0, -0.2], [0.5, -0.2]]))
    wanted = (compact, torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(2, 4))
    raw = torch.randn(2, 14)
    condition = generator.condition(wanted)
    before = generator.condition_losses(raw, wanted, condition)
    raw[:, 0] += 1.0
    after = generator.condition_losses(raw, wanted, condition)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_average_follows_the_weights_and_samples_in_their_place():
    generator = make_generator(fields=(1,), averaged=True)
    start = generator.average.last.weight.clone()
    with torch.no_grad():
        generator.body.last.weight.add_(1.0)
    generator.average_weights(0.75)
    torch.testing.assert_close(generator.average.last.weight, start + 0.25)
    batches = [(torch.randn(32, 5) + 3.0, torch.randint(3, (32,))) for _ in range(4)]
    generator.settle_average(batches)
    first = generator.average.layers[0]
    outputs = torch.stack([first(noise, condition).mean(dim=0) for noise, condition in batches])
    torch.testing.assert_close(generator.average.norms[0].running_mean, outputs.mean(dim=0))
    generator.eval()
    noise, condition = torch.randn(3, 5), torch.tensor([0, 1, 2])
    torch.testing.assert_close(generator.raw(noise, condition), generator.average(noise, condition))


def test_start_at_shares_gives_the_shares_without_hidden_units():
    generator = make_generator()
    shares = [0.2, 0.5, 0.7, 0.9, 0.1, 0.2, 0.3, 0.5, 0.1, 0.2, 0.3, 0.4]
    generator.start_at_shares([0.1, -0.4], shares)
    output = generator.table.activate(generator.body.last.bias[None])[0]
    torch.testing.assert_close(output, torch.tensor([0.1, -0.4, *shares]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("hidden", [(), (8,), (8, 7, 5)])
@pytest.mark.parametrize("kind", ["none", "index", "dense"])
def test_penalty_equals_that_of_a_second_differentiation(hidden, kind):
    n_conditions = 0 if kind == "none" else 6
    critic = PackedCritic(4, n_conditions, hidden, pac=3, dropout=0.0).double()
    real, fake = torch.randn(2, 12, 4, dtype=torch.float64)
    index = torch.randint(6, (2, 12))
    one_hot = functional.one_hot(index, 6).double()
    told = {"none": (None, None), "index": index, "dense": one_hot}[kind]
    with torch.random.fork_rng():
        gap, penalty = critic.gap_and_penalty(real, told[0], fake, told[1])
    share = torch.rand(4, 1, dtype=torch.float64)

    def packed(rows, condition):
        whole = rows if kind == "none" else torch.cat([rows, condition], dim=1)
        return whole.reshape(4, -1)

    between = share * packed(real, one_hot[0]) + (1 - share) * packed(fake, one_hot[1])
    between.requires_grad_(True)
    parts = between.reshape(12, -1)
    condition = None if kind == "none" else parts[:, 4:]
    value = critic(parts[:, :4], condition).sum()
    (gradient,) = torch.autograd.grad(value, between, create_graph=True)
    expected = ((gradient.norm(dim=1) - 1) ** 2).mean()
    torch.testing.assert_close(penalty, expected)
    ours = torch.autograd.grad(penalty, list(critic.parameters()), allow_unused=True)
    theirs = torch.autograd.grad(expected, list(critic.parameters()), allow_unused=True)
    for one, other, weight in zip(ours, theirs, critic.parameters(), strict=True):
        none = torch.zeros_like(weight)
        torch.testing.assert_close(
            none if one is None else one, none if other is None else other, atol=1e-10, rtol=1e-7
        )
    told = (None, None) if kind == "none" else told
    expected_gap = critic(fake, told[1]).mean() - critic(real, told[0]).mean()
    torch.testing.assert_close(gap, expected_gap)


def test_dropout_leaves_out_units_in_training_alone():
    critic = PackedCritic(4, 0, (200,), pac=1, dropout=0.5)
    rows = torch.randn(40, 4)
    slopes = critic._slopes(critic._enter(rows, None))
    assert 0.4 < (slopes == 0).float().mean() < 0.6
    torch.testing.assert_close(slopes.max(), torch.tensor(2.0))
    critic.eval()
    torch.testing.assert_close(critic(rows), critic(rows))
    assert critic._slopes(critic._enter(rows, None)).max() == 1.0
