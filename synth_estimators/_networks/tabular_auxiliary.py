"""Further losses of a generator of encoded mixed rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from synth_estimators._networks._mlp import dense_stack
from synth_estimators._networks.tabular import SpanTable

__all__ = ["TargetPredictor", "moment_distance"]


def moment_distance(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    r"""Squared distance between the first two moments of two batches of rows.

    With rows taken from the mean of the real ones, this estimates

    .. math:: \lVert E[x] - E[y] \rVert^2 + \lVert E[x x^T] - E[y y^T] \rVert_F^2

    almost without bias: no row is compared with itself, or the loss would fall with the variance of
    the fakes. It therefore also takes small negative values where the moments agree. It costs
    products of the batch with itself, and no covariance matrix.

    Parameters
    ----------
    real, fake : tensor of shape (batch, width)
        Encoded rows; ``real`` carries no gradient.

    Returns
    -------
    distance : scalar tensor

    Examples
    --------
    >>> import torch
    >>> rows = torch.tensor([[0.0], [2.0], [0.0], [2.0]])
    >>> float(moment_distance(rows, rows + 3.0)) > 9.0
    True
    """
    centre = real.mean(dim=0)
    real, fake = real - centre, fake - centre
    return _within(fake) + _within(real) - 2.0 * _products(real, fake).mean()


def _products(first, second):
    inner = first @ second.t()
    return inner + inner.square()


def _within(rows):
    products = _products(rows, rows)
    n_rows = len(rows)
    return (products.sum() - products.diagonal().sum()) / (n_rows * (n_rows - 1))


class TargetPredictor(nn.Module):
    """Predict the cells of one column of the table from all others.

    Its loss on generated rows has gradients in the predicting cells alone. With gradients in the
    predicted ones, a generator would do best with the likeliest level everywhere.

    Parameters
    ----------
    width : int
        Width of an encoded row.

    places : sequence of int
        Encoded columns of the predicted column: scalars, bits, one-hot levels.

    n_scalars, bit_widths, level_widths
        What they are, as in ``SpanTable``.

    hidden : tuple of int, default=(128,)
        Widths of the layers.

    Examples
    --------
    >>> import torch
    >>> predictor = TargetPredictor(5, (3, 4), 0, (), (2,), hidden=(8,))
    >>> predictor(torch.zeros(6, 5)).shape
    torch.Size([])
    """

    own: torch.Tensor
    others: torch.Tensor

    def __init__(
        self,
        width: int,
        places: Any,
        n_scalars: int,
        bit_widths: Any,
        level_widths: Any,
        *,
        hidden: Any = (128,),
    ) -> None:
        super().__init__()
        own = torch.tensor(list(places), dtype=torch.long)
        others = torch.ones(width, dtype=torch.bool).index_fill(0, own, False)
        self.register_buffer("own", own, persistent=False)
        self.register_buffer("others", others.nonzero().squeeze(1), persistent=False)
        self.table = SpanTable(n_scalars, bit_widths, level_widths)
        widths = (len(self.others), *hidden)
        self.body = dense_stack(widths, activation="relu")
        self.last = nn.Linear(widths[-1], self.table.width)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Mean loss of rows: squared error of scalars, cross entropy of bits and levels."""
        raw = self.last(self.body(rows.index_select(1, self.others)))
        wanted = rows.detach().index_select(1, self.own)
        return self.table.reconstruction(raw, wanted).sum(dim=1).mean()
