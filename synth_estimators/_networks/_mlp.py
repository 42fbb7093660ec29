"""Stacks of dense layers."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

__all__ = ["ACTIVATIONS", "dense_stack"]

ACTIVATIONS = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}


# Activations whose gradient is computed from their result, so the input may be overwritten.
_INPLACE = ("relu", "elu")


class _BatchNorm(nn.BatchNorm1d):
    """``BatchNorm1d`` without its checks and counter, which take as long as a small layer."""

    def __init__(self, n_features):
        super().__init__(n_features)
        self.num_batches_tracked = None

    def forward(self, values):
        """Normalise by the batch in training, by running moments otherwise."""
        return torch.batch_norm(
            values,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            self.training,
            self.momentum,
            self.eps,
            False,
        )


class DenseStack(nn.Sequential):
    """Layers one after the other, called without the overhead of hooks where there are none."""

    def forward(self, values):
        """Push rows through all layers."""
        for layer in self:
            if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks:
                values = layer(values)
            else:
                values = layer.forward(values)
        return values


def dense_stack(widths, *, activation, batch_norm=False):
    """Linear layers of the given widths, each followed by (batch norm and) the activation.

    Parameters
    ----------
    widths : sequence of int
        Input width, then the width of every layer.

    activation : str
        Name in ``ACTIVATIONS``.

    batch_norm : bool, default=False
        Whether to normalise before the activation.

    Returns
    -------
    DenseStack
    """
    layers = []
    for n_in, n_out in pairwise(widths):
        # batch norm takes away whatever a bias before it adds
        layers.append(nn.Linear(n_in, n_out, bias=not batch_norm))
        if batch_norm:
            layers.append(_BatchNorm(n_out))
        inplace = {"inplace": True} if activation in _INPLACE else {}
        layers.append(ACTIVATIONS[activation](**inplace))
    return DenseStack(*layers)
