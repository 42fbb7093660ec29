import numpy as np
import pytest
import torch

from synth_estimators._networks.autoregressive import N_PARTS, AutoregressiveNet, log_mixture


@pytest.fixture
def net():
    """Nine columns (two groups of first layers), every third one with numbers in intervals."""
    torch.manual_seed(0)
    n_choices = [3, 2, 1, 30, 4, 2, 5, 2, 3]
    continuous = [j % 3 == 2 for j in range(9)]
    n_tokens = [n + 6 if inside else n for n, inside in zip(n_choices, continuous, strict=True)]
    module = AutoregressiveNet(
        n_tokens, n_choices, continuous, hidden=(8, 8, 8), n_components=3, n_members=2
    )
    with torch.no_grad():
        for parameter in module.core.parameters():
            free = parameter > -1e8  # choices that a column lacks stay impossible
            parameter.copy_(torch.where(free, torch.randn_like(parameter) / 3, parameter))
        module.average.load_state_dict(module.core.state_dict())
    module.keep_average()
    return module


def rows_for(module, n_rows):
    rng = np.random.default_rng(1)
    columns = []
    for _ in range(module.n_members):
        choices = module.core.n_choices
        choice = np.stack([rng.integers(n, size=n_rows) for n in choices], axis=1)
        score = rng.normal(size=choice.shape)
        columns += [choice, choice, score, score - 0.3, score + 0.2]
    return torch.tensor(np.concatenate(columns, axis=1), dtype=torch.float32)


def test_heads_give_what_training_gives(net):
    X = rows_for(net, 20)
    torch.testing.assert_close(net.cells(X).transpose(1, 2), net(X), rtol=1e-4, atol=1e-4)


def test_members_see_their_own_rows_only(net):
    X = rows_for(net, 10)
    before = net(X).detach()
    half = X.shape[1] // 2
    X[:, half:] = X[:, half:].roll(1, 0)
    after = net(X).detach()
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


@pytest.mark.parametrize("changed", range(9))
def test_a_column_is_seen_by_later_columns_only(net, changed):
    X = rows_for(net, 8)
    scores = X.view(8, 2, N_PARTS, 9).clone().requires_grad_(True)
    cells = net(scores.reshape(8, -1))
    for column in range(9):
        gradient = torch.autograd.grad(cells[:, column].sum(), scores, retain_graph=True)[0]
        seen = gradient[:, :, 2, changed].abs().max()  # the score of the changed column
        assert (seen > 0) == (column > changed)


def test_tokens_of_later_columns_do_not_matter(net):
    X = rows_for(net, 8)
    other = X.clone()
    for part in range(2):
        other[:, part * 45 + 5] = 1 - other[:, part * 45 + 5]  # token of column 5
    before, after = net(X), net(other)
    assert torch.equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] != after[:, 6:]).any(-1).any(0).all()


def test_start_is_the_product_of_the_margins():
    module = AutoregressiveNet([2, 3], [2, 3], [False, False], hidden=(4, 4))
    module.start([[[30, 10]], [[1, 1, 2]]])
    X = torch.tensor([[0, 2, 0, 2, 0, 0, 0, 0, 0, 0]], dtype=torch.float32)
    expected = torch.tensor([[[30.1 / 40.2, 2.1 / 4.3]]]).log()
    torch.testing.assert_close(module.cells(X), expected)


def test_only_better_columns_are_taken_over(net):
    X = rows_for(net, 6)
    before = net.cells(X)
    with torch.no_grad():
        for parameter in net.average.parameters():
            parameter.mul_(1.1)
    better = torch.zeros(2, 9, dtype=torch.bool)
    better[1, 4] = True
    net.keep_average(better)
    changed = (net.cells(X) != before).any(1)
    assert torch.equal(changed, better)


def test_mass_of_intervals_sums_to_one():
    mixture = torch.tensor([[0.3, -0.2, 1.5, -2.0, 0.0, -3.0]], dtype=torch.float64)  # 2 Gaussians
    edges = torch.cat([torch.tensor([-8.0]), torch.linspace(-3, 3, 60), torch.tensor([8.0])])
    mass = log_mixture(mixture[:, None], edges[:-1, None].double(), edges[1:, None].double(), 2)
    assert float(mass.exp().sum()) == pytest.approx(1.0, abs=1e-4)


def test_mass_far_in_the_tail_is_finite_with_gradient():
    mixture = torch.tensor([[0.0, -7.0, -4.0]], requires_grad=True)  # one narrow Gaussian at -7
    value = log_mixture(mixture, torch.tensor([[7.0]]), torch.tensor([[8.0]]), 1)
    value.sum().backward()
    assert float(value.detach()) == pytest.approx(-60.0, abs=1e-3)
    assert torch.isfinite(mixture.grad).all()


def test_mass_in_the_upper_tail_equals_that_in_the_lower_one():
    mixture = torch.tensor([[0.0, 0.0, 0.0]])
    upper = log_mixture(mixture, torch.tensor([[4.5]]), torch.tensor([[4.9]]), 1)
    lower = log_mixture(mixture, torch.tensor([[-4.9]]), torch.tensor([[-4.5]]), 1)
    torch.testing.assert_close(upper, lower)
    # Phi(-4.5) - Phi(-4.9) from tables of the normal distribution
    assert float(upper.exp()) == pytest.approx(3.3977e-6 - 4.792e-7, rel=1e-3)
