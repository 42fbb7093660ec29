"""Stacks of dense layers."""

from __future__ import annotations

from itertools import pairwise

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
    torch.nn.Sequential
    """
    layers = []
    for n_in, n_out in pairwise(widths):
        layers.append(nn.Linear(n_in, n_out))
        if batch_norm:
            layers.append(nn.BatchNorm1d(n_out))
        layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)
