"""Quick steps are those of the optimizer, bit for bit, and give way where they do not fit."""

import pytest
import torch

from synth_estimators._engine._adam import AdamSteps


@pytest.fixture(autouse=True)
def keep_global_state():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def train(optimizer_class, quick, *, epochs=3, n_steps=5, frozen=False, **settings):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Linear(4, 1))
    if frozen:
        net[0].bias.requires_grad_(False)
    optimizer = optimizer_class(net.parameters(), lr=0.1, **settings)
    rows = torch.randn(30, 6)
    for epoch in range(epochs):
        steps = AdamSteps(optimizer) if quick else None
        for _ in range(n_steps):
            optimizer.zero_grad()
            net(rows).square().mean().backward()
            steps() if quick else optimizer.step()
        if quick:
            steps.close()
        optimizer.param_groups[0]["lr"] *= 0.5 + epoch
    return net, optimizer


@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize(
    "settings",
    [{"fused": True}, {"fused": True, "weight_decay": 0.1}, {"fused": False}, {"foreach": True}],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_quick_steps_equal_those_of_the_optimizer(optimizer_class, settings, frozen):
    net, optimizer = train(optimizer_class, True, frozen=frozen, **settings)
    expected, reference = train(optimizer_class, False, frozen=frozen, **settings)
    for ours, theirs in zip(net.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    states = zip(optimizer.state.values(), reference.state.values(), strict=True)
    for ours, theirs in states:
        assert float(ours["step"]) == float(theirs["step"]) == 15
        assert torch.equal(ours["exp_avg_sq"], theirs["exp_avg_sq"])


def test_other_optimizers_step_as_they_do():
    net, _ = train(torch.optim.SGD, True)
    expected, _ = train(torch.optim.SGD, False)
    assert torch.equal(net[0].weight, expected[0].weight)


@pytest.mark.parametrize("setting", ["amsgrad", "maximize"])
def test_variants_of_adam_are_left_to_the_optimizer(setting):
    net, optimizer = train(torch.optim.Adam, True, fused=True, **{setting: True})
    assert not AdamSteps(optimizer).suits
    expected, _ = train(torch.optim.Adam, False, fused=True, **{setting: True})
    assert torch.equal(net[0].weight, expected[0].weight)


def test_hooks_of_the_optimizer_are_called():
    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    steps = AdamSteps(optimizer)
    for _ in range(3):
        net(torch.ones(1, 2)).sum().backward()
        steps()
    assert len(calls) == 3


def test_parameter_that_loses_its_gradient_stands_still():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    steps = AdamSteps(optimizer)
    for epoch in range(3):
        optimizer.zero_grad()
        net(torch.ones(1, 2)).sum().backward()
        if epoch == 2:
            net[0].weight.grad = None
            before = net[0].weight.clone()
        steps()
    steps.close()
    assert torch.equal(net[0].weight, before)
    assert float(optimizer.state[net[0].weight]["step"]) == 2
    assert float(optimizer.state[net[1].weight]["step"]) == 3
