"""Hand-written gradients and shortcuts of the autoencoder modules."""

import pytest
import torch
from torch import nn

from synth_estimators._networks._mlp import dense_stack
from synth_estimators._networks.autoencoder import (
    GaussianVAEModule,
    _SquaredErrorBound,
)


@pytest.fixture(autouse=True)
def keep_global_state():
    with torch.random.fork_rng():
        yield


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_value_and_gradient_of_the_squared_error_bound():
    features = torch.randn(4, 3, dtype=torch.float64)
    inputs = double(4, 3), double(4, 2), double(4, 2)

    def loss(decoded, mean, logvar):
        return _SquaredErrorBound.apply(features, decoded, mean, logvar, 1.7, 0.3)

    assert torch.autograd.gradcheck(loss, inputs)
    decoded, mean, logvar = inputs
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * logvar))
    prior = torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    expected = 1.7 * (decoded - features).square().sum(dim=1)
    expected += 0.3 * torch.distributions.kl_divergence(posterior, prior).sum(dim=1)
    torch.testing.assert_close(loss(*inputs), expected)


def test_objective_is_the_negative_bound():
    module = GaussianVAEModule(3, latent_dim=2, hidden=(4,)).double().eval()
    batch = torch.randn(6, 3, dtype=torch.float64)
    decoded, mean, logvar = module(batch)
    likelihood = torch.distributions.Normal(decoded, module.log_sd.exp()).log_prob(batch).sum(1)
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * logvar))
    prior = torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    bound = likelihood - torch.distributions.kl_divergence(posterior, prior).sum(dim=1)
    torch.testing.assert_close(module.objective((decoded, mean, logvar), batch), -bound)


def test_batch_norm_equals_that_of_torch():
    stack = dense_stack((5, 4), activation="relu", batch_norm=True)
    reference = nn.BatchNorm1d(4)
    rows = torch.randn(8, 5)
    for training in (True, True, False):
        stack.train(training)
        reference.train(training)
        expected = torch.relu(reference(stack[0](rows)))
        torch.testing.assert_close(stack(rows), expected)


def test_hooks_inside_a_stack_are_called():
    stack = dense_stack((5, 4), activation="silu")
    seen = []
    stack[0].register_forward_hook(lambda *_: seen.append(1))
    stack(torch.randn(2, 5))
    assert seen == [1]
