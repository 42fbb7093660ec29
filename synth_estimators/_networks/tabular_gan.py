"""Generator and critic of conditional GANs on encoded mixed rows."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from synth_estimators._networks.tabular import SpanTable

__all__ = ["ConditionalGenerator", "PackedCritic"]

_TINY = 1e-12


class _ConditionedLinear(nn.Module):
    """A linear layer of inputs and a condition, without joining the two.

    The condition is a dense tensor, or the index of the only entry that is one: its product with
    the weights is then a row of them.
    """

    def __init__(self, n_inputs: int, n_conditions: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(1, n_inputs + n_conditions))
        self.weight = nn.Parameter(torch.empty(n_outputs, n_inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_outputs).uniform_(-bound, bound))
        self.condition = None
        if n_conditions:
            start = torch.empty(n_conditions, n_outputs).uniform_(-bound, bound)
            self.condition = nn.Parameter(start)

    def forward(self, inputs: torch.Tensor, condition: Any) -> torch.Tensor:
        outputs = functional.linear(inputs, self.weight, self.bias)
        if self.condition is None:
            return outputs
        if condition.is_floating_point():
            return torch.addmm(outputs, condition, self.condition)
        return outputs + functional.embedding(condition, self.condition)


class _ResidualBody(nn.Module):
    """Blocks whose outputs join their inputs, and a last linear layer."""

    def __init__(self, latent_dim: int, hidden: Any, n_conditions: int, width: int) -> None:
        super().__init__()
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        n_inputs = latent_dim
        for n_units in hidden:
            self.layers.append(_ConditionedLinear(n_inputs, n_conditions, n_units))
            self.norms.append(nn.BatchNorm1d(n_units))
            n_inputs += n_units
        self.last = _ConditionedLinear(n_inputs, n_conditions, width)

    def forward(self, codes: torch.Tensor, condition: Any) -> torch.Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            joined = torch.relu(norm(layer(codes, condition)))
            codes = torch.cat([joined, codes], dim=1)
        return self.last(codes, condition)


class ConditionalGenerator(nn.Module):
    """Residual generator of encoded mixed rows under a condition.

    Conditions are of one of two kinds. With ``fields``, a condition is one level of one one-hot
    span, given by its index among the levels of all these spans. With ``columns``, it is a row of
    which some columns are known: a pair of one number a span and a mask of columns.

    Parameters
    ----------
    n_scalars, bit_widths, level_widths
        As in ``SpanTable``.

    latent_dim : int
        Width of the noise.

    hidden : tuple of int
        Widths of the residual blocks.

    fields : sequence of int, default=()
        One-hot spans whose levels are conditions.

    columns : sequence of int, default=()
        Column of the table of every span.

    flags : bool, default=False
        Whether a condition of the second kind also says by one number a column which are known.

    silent : sequence of pairs (scalar, level), default=()
        A scalar is 0 in rows that have the level, which says all there is to say: a value of its
        own, or a missing cell. Levels count from the first one-hot column.

    tau : float, default=0.2
        Temperature of the Gumbel-softmax.

    averaged : bool, default=False
        Whether rows outside training come from a running average of the weights.

    Examples
    --------
    >>> import torch
    >>> generator = ConditionalGenerator(1, (), (2, 3), 4, (8,), fields=(1,))
    >>> generator.n_conditions
    3
    >>> generator.draw(torch.zeros(5, 4), torch.zeros(5, dtype=torch.long)).shape
    torch.Size([5, 6])
    """

    average: Any
    field_columns: torch.Tensor
    field_padding: torch.Tensor
    condition_field: torch.Tensor
    condition_level: torch.Tensor
    span_column: torch.Tensor
    encoded_column: torch.Tensor
    silent_scalar: torch.Tensor
    silent_level: torch.Tensor

    def __init__(
        self,
        n_scalars: int,
        bit_widths: Any,
        level_widths: Any,
        latent_dim: int,
        hidden: Any,
        *,
        fields: Any = (),
        columns: Any = (),
        flags: bool = False,
        silent: Any = (),
        tau: float = 0.2,
        averaged: bool = False,
    ) -> None:
        super().__init__()
        self.table = SpanTable(n_scalars, bit_widths, level_widths)
        self.latent_dim = latent_dim
        self.tau = tau
        self.flags = flags
        self.n_conditions = 0
        if len(fields):
            self._place_fields([int(field) for field in fields])
        elif len(columns):
            self._place_columns([int(column) for column in columns])
        pairs = torch.tensor(list(silent), dtype=torch.long).reshape(-1, 2)
        self._constant("silent_scalar", pairs[:, 0].clone())
        self._constant("silent_level", pairs[:, 1] + self.table.n_dense)
        self.body = _ResidualBody(latent_dim, hidden, self.n_conditions, self.table.width)
        self.average = None
        if averaged:
            self.average = copy.deepcopy(self.body).requires_grad_(False)
            for norm in self.average.norms:
                norm.momentum = None

    def _constant(self, name, value):
        self.register_buffer(name, value, persistent=False)

    def _place_fields(self, fields):
        table = self.table
        widths = torch.tensor([table.level_widths[field] for field in fields])
        starts = table.level_start[torch.tensor(fields)]
        self.n_conditions = int(widths.sum())
        places = torch.arange(int(widths.max()))
        inside = places < widths[:, None]
        self._constant("field_columns", torch.where(inside, starts[:, None] + places, 0))
        self._constant("field_padding", ~inside)
        field = torch.repeat_interleave(torch.arange(len(fields)), widths)
        self._constant("condition_field", field)
        first = torch.cumsum(widths, 0) - widths
        self._constant("condition_level", torch.arange(self.n_conditions) - first[field])

    def _place_columns(self, columns):
        table = self.table
        widths = [1] * table.n_scalars + [*table.bit_widths, *table.level_widths]
        of_span = torch.tensor(columns)
        self._constant("span_column", of_span)
        self._constant("encoded_column", torch.repeat_interleave(of_span, torch.tensor(widths)))
        self.n_conditions = table.width + (int(of_span.max()) + 1 if self.flags else 0)

    @property
    def by_field(self) -> bool:
        """Whether conditions are levels of single spans."""
        return hasattr(self, "field_columns")

    # Rows and conditions

    def silence(self, rows: torch.Tensor) -> torch.Tensor:
        """Set the scalars to 0 beside levels that leave them nothing to say."""
        if not len(self.silent_scalar):
            return rows
        n_scalars = self.table.n_scalars
        heard = rows.new_ones((len(rows), n_scalars))
        heard = heard.index_add(1, self.silent_scalar, rows[:, self.silent_level], alpha=-1.0)
        scalars = rows[:, :n_scalars] * heard.clamp(min=0.0)
        return torch.cat([scalars, rows[:, n_scalars:]], dim=1)

    def expand(self, compact: torch.Tensor) -> torch.Tensor:
        """Encoded rows from one number a span."""
        return self.silence(self.table.expand(compact))

    def condition(self, wanted: Any, rows: Any = None) -> Any:
        """What the networks are told of a condition.

        Parameters
        ----------
        wanted : tensor of int of shape (batch,), pair of tensors, or None
            Index of a level; or one number a span (batch, n_spans) and the mask of known columns
            (batch, n_columns).

        rows : tensor of shape (batch, width) or None, default=None
            The first of the pair as encoded rows, where they are at hand.

        Returns
        -------
        condition : tensor or None
        """
        if not isinstance(wanted, tuple):
            return wanted
        compact, mask = wanted
        rows = self.expand(compact) if rows is None else rows
        known = rows * mask.index_select(1, self.encoded_column)
        return torch.cat([known, mask], dim=1) if self.flags else known

    def condition_losses(self, raw: torch.Tensor, wanted: Any, condition: Any) -> torch.Tensor:
        """How far rows are from their conditions: (batch,).

        Parameters
        ----------
        raw : tensor of shape (batch, width)
            Outputs of the last layer.

        wanted, condition
            The condition, and what ``condition`` made of it.
        """
        if self.by_field:
            field = self.condition_field[wanted]
            logits = raw.gather(1, self.field_columns[field])
            logits = logits.masked_fill(self.field_padding[field], -torch.inf)
            return functional.cross_entropy(logits, self.condition_level[wanted], reduction="none")
        mask = wanted[1].index_select(1, self.span_column)
        known = condition[:, : self.table.width]
        losses = self.table.reconstruction(raw, known) * mask
        if len(self.silent_scalar):
            heard = torch.ones_like(losses)
            levels = known[:, self.silent_level]
            losses = losses * heard.index_add(1, self.silent_scalar, levels, alpha=-1.0).clamp_(0)
        return losses.sum(dim=1)

    # Outputs

    def raw(self, noise: torch.Tensor, condition: Any = None) -> torch.Tensor:
        """Outputs of the last layer; outside training those of the averaged weights."""
        body = self.body if self.training or self.average is None else self.average
        return body(noise, condition)

    def activate(self, raw: torch.Tensor) -> torch.Tensor:
        """Soft rows from the outputs of the last layer, with Gumbel noise of their own."""
        noise = self.table.gumbel_noise(len(raw)) if self.table.n_levels else None
        return self.silence(self.table.activate(raw, tau=self.tau, noise=noise))

    def forward(self, noise: torch.Tensor, condition: Any = None) -> torch.Tensor:
        """Soft rows from noise."""
        return self.activate(self.raw(noise, condition))

    def draw(self, noise: Any, condition: Any = None, *, generator: Any = None) -> torch.Tensor:
        """Scalars, probabilities of bits, and logits of levels whose largest one is the draw."""
        table = self.table
        raw = self.raw(noise, condition)
        torch.tanh_(raw[:, : table.n_scalars])
        torch.sigmoid_(raw[:, table.n_scalars : table.n_dense])
        if table.n_levels:
            raw[:, table.n_dense :] += table.gumbel_noise(
                len(raw), generator=generator, by_row=True
            )
        return raw

    # Start and average

    def start_at_shares(self, means: Any, shares: Any) -> None:
        """Start the last bias at the column means of the scalars and the shares of the others.

        Parameters
        ----------
        means : array-like of shape (n_scalars,)

        shares : array-like of shape (n_bits + n_levels,)
            Mean of every bit and level over the training rows.
        """
        table = self.table
        means = torch.as_tensor(means, dtype=torch.float32).clamp(-0.99, 0.99)
        shares = torch.as_tensor(shares, dtype=torch.float32).clamp(1e-4, 1.0 - 1e-4)
        bits, levels = shares[: table.n_bits], shares[table.n_bits :]
        start = torch.cat([torch.atanh(means), torch.logit(bits), levels.log()])
        with torch.no_grad():
            for body in (self.body, self.average):
                if body is not None:
                    body.last.bias.copy_(start)

    def average_weights(self, decay: float) -> None:
        """Move the average towards the present weights by ``1 - decay``."""
        if self.average is None:
            return
        with torch.no_grad():
            kept: Any = list(self.average.parameters())
            now: Any = list(self.body.parameters())
            torch._foreach_lerp_(kept, now, 1.0 - decay)

    def settle_average(self, batches: Any) -> None:
        """Compute the normalisation of the averaged weights anew from pairs (noise, condition)."""
        if self.average is None:
            return
        self.average.train()
        for norm in self.average.norms:
            norm.reset_running_stats()
        with torch.no_grad():
            for noise, condition in batches:
                self.average(noise, condition)
        self.average.eval()


class PackedCritic(nn.Module):
    """A critic that judges packs of rows together with their conditions.

    Parameters
    ----------
    width : int
        Width of an encoded row.

    n_conditions : int
        Width of a condition.

    hidden : tuple of int
        Widths of the layers.

    pac : int, default=10
        Rows of a pack.

    slope : float, default=0.2
        Slope of the activation below zero.

    dropout : float, default=0.5
        Share of units left out in training.

    Examples
    --------
    >>> import torch
    >>> critic = PackedCritic(6, 3, (8,), pac=5)
    >>> critic(torch.zeros(20, 6), torch.zeros(20, dtype=torch.long)).shape
    torch.Size([4])
    """

    def __init__(
        self,
        width: int,
        n_conditions: int,
        hidden: Any,
        *,
        pac: int = 10,
        slope: float = 0.2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.pac, self.n_conditions = pac, n_conditions
        self.slope, self.dropout = slope, dropout
        widths = [*hidden, 1]
        self.first = _ConditionedLinear(pac * width, pac * n_conditions, widths[0])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def _enter(self, rows, condition):
        """Outputs of the first layer, a row a pack."""
        packs = rows.reshape(len(rows) // self.pac, -1)
        first = self.first
        if first.condition is None:
            return first(packs, None)
        if condition.is_floating_point():
            return first(packs, condition.reshape(len(packs), -1))
        places = torch.arange(self.pac, device=condition.device) * self.n_conditions
        index = condition.reshape(len(packs), self.pac) + places
        outputs = functional.linear(packs, first.weight, first.bias)
        return outputs + functional.embedding_bag(index, first.condition, mode="sum")

    def _slopes(self, outputs):
        """Derivative of activation and dropout, which are linear on either side of zero."""
        kept = 1.0 - self.dropout if self.training else 1.0
        with torch.no_grad():
            slopes = torch.where(outputs > 0, 1.0 / kept, self.slope / kept)
            return slopes if kept == 1.0 else slopes.mul_(torch.rand_like(slopes) < kept)

    def _leave(self, outputs):
        for layer in self.layers:
            outputs = layer(outputs * self._slopes(outputs))
        return outputs.squeeze(1)

    def forward(self, rows: Any, condition: Any = None) -> torch.Tensor:
        """One value a pack: (batch, width) -> (batch / pac,)."""
        return self._leave(self._enter(rows, condition))

    def gap_and_penalty(
        self, real: Any, real_condition: Any, fake: Any, fake_condition: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How much higher fakes are valued than real rows, and the penalty of the gradient.

        The gradient is taken at random points between a real and a fake pack and should have
        length one. The critic is linear around every point, so that the gradient is a product of
        weights and needs no second differentiation; and the first layer is linear everywhere, so
        that its outputs at the points between lie between those at the ends.

        Parameters
        ----------
        real, fake : tensor of shape (batch, width)

        real_condition, fake_condition
            Conditions of these rows.

        Returns
        -------
        gap, penalty : scalar tensors
        """
        condition = None
        if real_condition is not None:
            condition = torch.cat([real_condition, fake_condition])
        entered = self._enter(torch.cat([real, fake]), condition)
        values = self._leave(entered)
        n_packs = len(entered) // 2
        gap = values[n_packs:].mean() - values[:n_packs].mean()
        with torch.no_grad():
            share = torch.rand(n_packs, 1, dtype=entered.dtype, device=entered.device)
            between = torch.lerp(entered[n_packs:], entered[:n_packs], share)
        return gap, self._penalty(between)

    def _penalty(self, entered):
        slopes = []
        with torch.no_grad():
            outputs = entered
            for layer in self.layers:
                slopes.append(self._slopes(outputs))
                outputs = layer(outputs * slopes[-1])
        upper = entered.new_ones((len(entered), 1))
        for layer, slope in zip(reversed(self.layers), reversed(slopes), strict=True):
            upper = (upper @ layer.weight) * slope
        squares = (upper @ self.first.weight).square().sum(dim=1)
        if self.first.condition is not None:
            squares = squares + (upper @ self.first.condition.t()).square().sum(dim=1)
        return (squares.clamp(min=_TINY).sqrt() - 1.0).square().mean()
