"""Activations and losses of spans against the loop over spans."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from synth_estimators._networks.tabular import SpanTable, TabularVAEModule

BITS, LEVELS = (3, 2), (4, 2, 5, 1)


@pytest.fixture
def table():
    return SpanTable(2, BITS, LEVELS)


def rows_of(table, n_rows=7, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    raw = scale * torch.randn((n_rows, table.width), generator=generator, dtype=torch.float64)
    target = torch.zeros_like(raw)
    target[:, :2] = torch.rand((n_rows, 2), generator=generator, dtype=torch.float64) - 0.5
    target[:, 2:7] = (torch.rand((n_rows, 5), generator=generator) < 0.5).double()
    start = table.n_dense
    for width in table.level_widths:
        chosen = torch.randint(width, (n_rows,), generator=generator)
        target[torch.arange(n_rows), start + chosen] = 1.0
        start += width
    return raw, target


def loop_activation(raw, *, tau=1.0, noise=None):
    logits = raw[:, 7:] if noise is None else raw[:, 7:] + noise.t()
    spans = [torch.softmax(part / tau, 1) for part in logits.split(LEVELS, 1)]
    return torch.cat([torch.tanh(raw[:, :2]), torch.sigmoid(raw[:, 2:7]), *spans], 1)


def test_activation_equals_the_loop_over_spans(table):
    raw, _ = rows_of(table)
    noise = table.gumbel_noise(len(raw), generator=torch.Generator().manual_seed(1)).double()
    got = table.activate(raw, tau=0.2, noise=noise)
    torch.testing.assert_close(got, loop_activation(raw, tau=0.2, noise=noise))


def test_activation_of_distant_spans_does_not_underflow(table):
    raw = torch.zeros(1, table.width)
    raw[:, table.n_dense + 4 :] = -500.0  # one span far below the others
    got = table.activate(raw, tau=0.2)
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got[0, 11:13], torch.tensor([0.5, 0.5]))


def test_gradients_of_activation(table):
    raw, _ = rows_of(table, n_rows=3, scale=1.0)
    raw.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: table.activate(x, tau=0.5), (raw,))


def test_cross_entropy_equals_the_loop_over_spans(table):
    raw, target = rows_of(table)
    got = table.level_losses(raw, target)
    parts = zip(raw[:, 7:].split(LEVELS, 1), target[:, 7:].split(LEVELS, 1), strict=True)
    wanted = [functional.cross_entropy(a, b.argmax(1), reduction="none") for a, b in parts]
    torch.testing.assert_close(got, torch.stack(wanted, 1))


def test_gradients_of_cross_entropy(table):
    raw, target = rows_of(table, n_rows=3, scale=1.0)
    target[0, 7:11] = 0.0  # a span without a target costs nothing
    raw.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: table.level_losses(x, target), (raw,))
    assert table.level_losses(raw, target)[0, 0] == 0.0


def test_reconstruction_has_one_loss_a_span(table):
    raw, target = rows_of(table)
    losses = table.reconstruction(raw, target)
    assert losses.shape == (7, table.n_spans)
    torch.testing.assert_close(losses[:, 0], (torch.tanh(raw[:, 0]) - target[:, 0]) ** 2)
    bits = functional.binary_cross_entropy_with_logits(raw[:, 2:5], target[:, 2:5])
    assert losses[:, 2].mean() == pytest.approx(float(bits))
    torch.testing.assert_close(losses[:, 4:], table.level_losses(raw, target))


def test_gumbel_noise_draws_levels_by_their_softmax():
    table = SpanTable(0, level_widths=(3,))
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1])).expand(20_000, 3)
    noise = table.gumbel_noise(20_000, generator=torch.Generator().manual_seed(0))
    shares = np.bincount(table.activate(logits, tau=0.2, noise=noise).argmax(1), minlength=3)
    # three standard errors of a share of 0.7 among 20,000 rows are 0.01
    np.testing.assert_allclose(shares / 20_000, [0.7, 0.2, 0.1], atol=0.01)


def test_tables_without_a_kind_of_span_work():
    for table in (SpanTable(2), SpanTable(0, (3,)), SpanTable(0, (), (2, 2))):
        raw = torch.randn(4, table.width, generator=torch.Generator().manual_seed(0))
        assert table.activate(raw).shape == raw.shape
        assert table.reconstruction(raw, torch.zeros_like(raw)).shape == (4, table.n_spans)


def test_silent_scalars_cost_nothing():
    module = TabularVAEModule(2, (), (3,), 2, (4,), silent=[(1, 0)])
    rows = torch.zeros(2, 5)
    rows[:, 1] = 0.7
    rows[0, 2] = rows[1, 3] = 1.0
    losses = module.scalar_losses(torch.zeros(2, 5), rows).detach()
    assert losses[0, 1] == 0.0
    assert losses[1, 1] == pytest.approx(np.log(0.1) + 0.5 * (0.7 / 0.1) ** 2)
    assert losses[0, 0] == pytest.approx(np.log(0.1))


def test_vae_starts_at_the_shares_of_the_levels():
    module = TabularVAEModule(1, (), (3,), 2, ())
    shares = np.array([0.6, 0.3, 0.1])
    torch.nn.init.zeros_(module.last.weight)
    module.start_at_shares([0.2], shares)
    output = module.table.activate(module.decode(torch.zeros(1, 2)))[0].detach().numpy()
    np.testing.assert_allclose(output, [0.2, *shares], rtol=1e-5)
