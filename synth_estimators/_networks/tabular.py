"""Activations and losses of encoded mixed tables, all spans in one call, and the module of TVAE.

An encoded row holds its scalars first, then the bits of binary codes, then one-hot levels. The
reductions over spans run on the transposed levels, where every span is a block of whole rows.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from synth_estimators._networks._mlp import dense_stack

__all__ = ["SpanTable", "TabularVAEModule"]

_MIN_SD, _MAX_SD, _START_SD = 0.01, 1.0, 0.1
_TINY = 1e-20


@cache
def _settle_index_reduce():
    """Let torch give its only warning about ``index_reduce_`` where nobody sees it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        index = torch.zeros(1, dtype=torch.long)
        torch.zeros(1, 1).index_reduce_(0, index, torch.zeros(1, 1), "amax")


def _transposed(levels):
    """Copy of the transposed levels; ``contiguous`` makes none of a single row."""
    return levels.t().clone(memory_format=torch.contiguous_format)


def _span_max(levels, span, n_spans):
    """Largest value of every span of transposed levels: (n_levels, batch) -> (n_spans, batch)."""
    start = levels.new_full((n_spans, levels.shape[1]), -torch.inf)
    return start.index_reduce_(0, span, levels, "amax")


def _span_sum(levels, span, n_spans):
    return levels.new_zeros((n_spans, levels.shape[1])).index_add_(0, span, levels)


def _span_softmax(levels, span, n_spans):
    """Softmax within every span of transposed levels, in place."""
    levels.sub_(_span_max(levels, span, n_spans).index_select(0, span)).exp_()
    return levels.mul_(_span_sum(levels, span, n_spans).reciprocal_().index_select(0, span))


class _Activate(torch.autograd.Function):
    """Tanh, sigmoid and softmax with temperature of the three parts of raw outputs."""

    @staticmethod
    def forward(ctx, raw, noise, span, ends, n_spans, tau):
        n_scalars, n_dense = ends
        output = torch.empty_like(raw)
        torch.tanh(raw[:, :n_scalars], out=output[:, :n_scalars])
        torch.sigmoid(raw[:, n_scalars:n_dense], out=output[:, n_scalars:n_dense])
        if n_spans:
            levels = _transposed(raw[:, n_dense:])
            if noise is not None:
                levels = levels.add_(noise)
            if tau != 1.0:
                levels = levels.div_(tau)
            output[:, n_dense:] = _span_softmax(levels, span, n_spans).t()
        ctx.save_for_backward(output, span)
        ctx.settings = ends, n_spans, tau
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        output, span = ctx.saved_tensors
        (n_scalars, n_dense), n_spans, tau = ctx.settings
        result = torch.empty_like(gradient)
        scalars, bits = output[:, :n_scalars], output[:, n_scalars:n_dense]
        result[:, :n_scalars] = gradient[:, :n_scalars] * (1.0 - scalars * scalars)
        result[:, n_scalars:n_dense] = gradient[:, n_scalars:n_dense] * bits * (1.0 - bits)
        if n_spans:
            levels = output[:, n_dense:].t().contiguous()
            upper = _transposed(gradient[:, n_dense:])
            inner = _span_sum(upper * levels, span, n_spans)
            upper = upper.sub_(inner.index_select(0, span)).mul_(levels)
            result[:, n_dense:] = (upper.div_(tau) if tau != 1.0 else upper).t()
        return result, None, None, None, None, None


class _SpanCrossEntropy(torch.autograd.Function):
    """Cross entropy of every span of logits against a one-hot (or soft) target."""

    @staticmethod
    def forward(ctx, logits, target, span, n_spans):
        levels = _transposed(logits)
        wanted = target.t().contiguous()
        top = _span_max(levels, span, n_spans)
        chosen = _span_sum(levels * wanted, span, n_spans)
        levels = levels.sub_(top.index_select(0, span)).exp_()
        total = _span_sum(levels, span, n_spans)
        mass = _span_sum(wanted, span, n_spans)
        ctx.save_for_backward(levels, total, wanted, mass, span)
        return ((total.log() + top) * mass - chosen).t()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        levels, total, wanted, mass, span = ctx.saved_tensors
        upper = gradient.t()
        result = levels * (upper * mass / total).index_select(0, span)
        result.sub_(wanted * upper.index_select(0, span))
        return result.t(), None, None, None


class SpanTable(nn.Module):
    """Where the spans of an encoded row lie, with the activations and losses that follow from it.

    Parameters
    ----------
    n_scalars : int
        Leading columns that hold scalars.

    bit_widths : sequence of int, default=()
        Bits of each binary code, in the order of the columns after the scalars.

    level_widths : sequence of int, default=()
        Levels of each one-hot span, in the order of the columns after the bits.

    Examples
    --------
    >>> import torch
    >>> table = SpanTable(1, level_widths=(2, 3))
    >>> output = table.activate(torch.zeros(4, 6))
    >>> [round(value, 2) for value in output[0].tolist()]
    [0.0, 0.5, 0.5, 0.33, 0.33, 0.33]
    """

    def __init__(self, n_scalars: int, bit_widths: Any = (), level_widths: Any = ()) -> None:
        super().__init__()
        _settle_index_reduce()
        self.n_scalars = int(n_scalars)
        self.bit_widths = tuple(int(width) for width in bit_widths)
        self.level_widths = tuple(int(width) for width in level_widths)
        self.n_bits, self.n_levels = sum(self.bit_widths), sum(self.level_widths)
        self.n_dense = self.n_scalars + self.n_bits
        self.width = self.n_dense + self.n_levels
        self.n_spans = self.n_scalars + len(self.bit_widths) + len(self.level_widths)
        for name, widths in (("bit_span", self.bit_widths), ("level_span", self.level_widths)):
            sizes = torch.tensor(widths, dtype=torch.long)
            index = torch.repeat_interleave(torch.arange(len(widths)), sizes)
            self.register_buffer(name, index, persistent=False)
        places = [width - 1 - k for width in self.bit_widths for k in range(width)]
        sizes = torch.tensor(self.level_widths, dtype=torch.long)
        starts = self.n_dense + torch.cumsum(sizes, 0) - sizes
        self.register_buffer("bit_place", torch.tensor(places, dtype=torch.long), persistent=False)
        self.register_buffer("level_start", starts, persistent=False)
        self.register_buffer(
            "bit_share", 1.0 / torch.tensor(self.bit_widths or (1,)), persistent=False
        )

    @classmethod
    def from_layout(cls, layout: Any) -> SpanTable:
        """Return the table of an ``EncodedLayout``."""
        widths: dict[str, list[int]] = {"scalar": [], "binary": [], "one_hot": []}
        for part in layout.spans:
            widths[part.kind].append(part.stop - part.start)
        return cls(sum(widths["scalar"]), widths["binary"], widths["one_hot"])

    def expand(self, compact: torch.Tensor) -> torch.Tensor:
        """Encoded rows from one number a span.

        Parameters
        ----------
        compact : tensor of shape (batch, n_spans)
            Scalars, then the level index of every binary code and every one-hot span.

        Returns
        -------
        rows : tensor of shape (batch, width)
        """
        n_scalars, n_codes = self.n_scalars, len(self.bit_widths)
        rows = compact.new_zeros((len(compact), self.width))
        rows[:, :n_scalars] = compact[:, :n_scalars]
        if n_codes:
            # Levels are numbered from 1.
            numbers = compact[:, n_scalars : n_scalars + n_codes].long() + 1
            bits = (numbers.index_select(1, self.bit_span) >> self.bit_place) & 1
            rows[:, n_scalars : self.n_dense] = bits.to(rows.dtype)
        if self.level_widths:
            index = compact[:, n_scalars + n_codes :].long() + self.level_start
            rows.scatter_(1, index, 1.0)
        return rows

    def gumbel_noise(
        self, n_rows: int, *, generator: Any = None, by_row: bool = False
    ) -> torch.Tensor:
        """Gumbel noise of all levels, (n_levels, n_rows) or transposed to one row a row."""
        shape = (n_rows, self.n_levels) if by_row else (self.n_levels, n_rows)
        noise = torch.empty(shape, device=self.level_span.device)
        # Four times as fast as the logarithm of exponential numbers.
        noise.uniform_(generator=generator).clamp_(min=_TINY)
        return noise.log_().neg_().log_().neg_()

    def activate(self, raw: Any, *, tau: float = 1.0, noise: Any = None) -> torch.Tensor:
        """Tanh of the scalars, sigmoid of the bits and softmax of every one-hot span.

        Parameters
        ----------
        raw : tensor of shape (batch, width)
            Outputs of the last layer.

        tau : float, default=1.0
            Temperature of the softmax.

        noise : tensor of shape (n_levels, batch), default=None
            Added to the logits; ``gumbel_noise`` makes it the Gumbel-softmax.

        Returns
        -------
        output : tensor of shape (batch, width)
        """
        ends = (self.n_scalars, self.n_dense)
        return _Activate.apply(
            raw, noise, self.level_span, ends, len(self.level_widths), float(tau)
        )

    def level_losses(self, raw: Any, target: Any) -> torch.Tensor:
        """Cross entropy of every one-hot span: (batch, n_one_hot_spans).

        Parameters
        ----------
        raw, target : tensor of shape (batch, width)
            Outputs of the last layer and encoded rows. A span of zeros in ``target`` costs nothing.
        """
        return _SpanCrossEntropy.apply(
            raw[:, self.n_dense :],
            target[:, self.n_dense :],
            self.level_span,
            len(self.level_widths),
        )

    def bit_losses(self, raw: Any, target: Any) -> torch.Tensor:
        """Binary cross entropy of every binary code, summed over its bits: (batch, n_codes)."""
        part = slice(self.n_scalars, self.n_dense)
        losses = functional.binary_cross_entropy_with_logits(
            raw[:, part], target[:, part], reduction="none"
        )
        return losses.new_zeros((len(losses), len(self.bit_widths))).index_add(
            1, self.bit_span, losses
        )

    def reconstruction(self, raw: Any, target: Any) -> torch.Tensor:
        """Loss of every span: squared error, mean bit and level cross entropies.

        Parameters
        ----------
        raw, target : tensor of shape (batch, width)
            Outputs of the last layer and the encoded rows that they should give.

        Returns
        -------
        losses : tensor of shape (batch, n_spans)
            In the order of the spans: scalars, binary codes, one-hot spans.
        """
        scalars = slice(0, self.n_scalars)
        parts = [(torch.tanh(raw[:, scalars]) - target[:, scalars]).square()]
        if self.bit_widths:
            parts.append(self.bit_losses(raw, target) * self.bit_share)
        if self.level_widths:
            parts.append(self.level_losses(raw, target))
        return torch.cat(parts, dim=1)


class TabularVAEModule(nn.Module):
    r"""Variational autoencoder of encoded mixed rows.

    The loss of a row is the weighted negative log-likelihood of its spans, Gaussian for scalars
    (each with a learned standard deviation), Bernoulli for bits and categorical for levels, plus
    the divergence of its code from :math:`N(0, I)`. A batch holds one number a span.

    Parameters
    ----------
    n_scalars, bit_widths, level_widths
        As in ``SpanTable``.

    latent_dim : int
        Width of the code.

    hidden : tuple of int
        Widths of the encoder; the decoder mirrors them.

    silent : sequence of pairs (scalar, level), default=()
        A scalar costs nothing in rows that have the level, which says all there is to say: a value
        of its own, or a missing cell. Levels count from the first one-hot column.

    reconstruction_weight, kl_weight : float
        Weights of the two parts of the loss.
    """

    def __init__(
        self,
        n_scalars: int,
        bit_widths: Any,
        level_widths: Any,
        latent_dim: int,
        hidden: Any,
        *,
        silent: Any = (),
        reconstruction_weight: float = 2.0,
        kl_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.table = SpanTable(n_scalars, bit_widths, level_widths)
        self.latent_dim = latent_dim
        self.reconstruction_weight = reconstruction_weight
        self.kl_weight = kl_weight
        widths = (self.table.width, *hidden)
        self.encoder = dense_stack(widths, activation="relu")
        self.heads = nn.Linear(widths[-1], 2 * latent_dim)
        self.decoder = dense_stack((latent_dim, *reversed(hidden)), activation="relu")
        self.last = nn.Linear(hidden[0] if hidden else latent_dim, self.table.width)
        self.sd = nn.Parameter(torch.full((n_scalars,), _START_SD))
        pairs = torch.tensor(list(silent), dtype=torch.long).reshape(-1, 2)
        self.register_buffer("silent_scalar", pairs[:, 0].clone(), persistent=False)
        self.register_buffer("silent_level", pairs[:, 1] + self.table.n_dense, persistent=False)

    def clamp_sd(self) -> None:
        """Keep the standard deviations within their bounds."""
        with torch.no_grad():
            self.sd.clamp_(_MIN_SD, _MAX_SD)

    def start_at_shares(self, means: Any, shares: Any) -> None:
        """Start the last bias at the column means of the scalars and the shares of the others.

        Parameters
        ----------
        means : array-like of shape (n_scalars,)

        shares : array-like of shape (n_bits + n_levels,)
            Mean of every bit and level over the training rows.
        """
        with torch.no_grad():
            table = self.table
            means = torch.as_tensor(means, dtype=torch.float32).clamp(-0.99, 0.99)
            shares = torch.as_tensor(shares, dtype=torch.float32).clamp(1e-4, 1.0 - 1e-4)
            bits, levels = shares[: table.n_bits], shares[table.n_bits :]
            self.last.bias.copy_(torch.cat([torch.atanh(means), torch.logit(bits), levels.log()]))

    def encode(self, rows: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance of the codes: (batch, width) -> two of (batch, latent_dim)."""
        mean, logvar = self.heads(self.encoder(rows)).chunk(2, dim=1)
        return mean, logvar

    def decode(self, codes: Any) -> torch.Tensor:
        """Raw outputs: (batch, latent_dim) -> (batch, width)."""
        return self.last(self.decoder(codes))

    def forward(self, compact: Any) -> tuple[torch.Tensor, ...]:
        """Encoded rows, raw outputs of drawn codes, mean and log-variance of the codes."""
        if self.training:
            self.clamp_sd()  # after every step, that is, before the next one
        rows = self.table.expand(compact)
        mean, logvar = self.encode(rows)
        codes = torch.addcmul(mean, torch.exp(0.5 * logvar), torch.randn_like(mean))
        return rows, self.decode(codes), mean, logvar

    def objective(self, output: Any, compact: Any) -> torch.Tensor:
        """Loss of every row."""
        rows, raw, mean, logvar = output
        divergence = 0.5 * (mean.square() + logvar.exp() - logvar - 1.0).sum(dim=1)
        loss = self.scalar_losses(raw, rows).sum(dim=1)
        if self.table.bit_widths:
            loss = loss + self.table.bit_losses(raw, rows).sum(dim=1)
        if self.table.level_widths:
            loss = loss + self.table.level_losses(raw, rows).sum(dim=1)
        return self.reconstruction_weight * loss + self.kl_weight * divergence

    def scalar_losses(self, raw: Any, rows: Any) -> torch.Tensor:
        """Gaussian negative log-likelihood of every scalar, without its constant."""
        part = slice(0, self.table.n_scalars)
        residual = (rows[:, part] - torch.tanh(raw[:, part])) / self.sd
        losses = torch.addcmul(self.sd.log(), residual, residual, value=0.5)
        if len(self.silent_scalar):
            heard = torch.ones_like(losses)
            heard.index_add_(1, self.silent_scalar, rows[:, self.silent_level], alpha=-1.0)
            losses = losses * heard.clamp_(min=0.0)
        return losses

    def draw(self, codes: Any, *, generator: Any = None) -> torch.Tensor:
        """Draw encoded rows given codes; every one-hot span is drawn from its softmax.

        Parameters
        ----------
        codes : tensor of shape (batch, latent_dim)

        generator : torch.Generator or None, default=None
            Source of the noise.

        Returns
        -------
        rows : tensor of shape (batch, width)
            Scalars, probabilities of bits, and logits of levels whose largest one is the draw.
        """
        table = self.table
        raw = self.decode(codes)
        scalars = torch.tanh(raw[:, : table.n_scalars])
        noise = torch.empty_like(scalars).normal_(generator=generator)
        bits = torch.sigmoid(raw[:, table.n_scalars : table.n_dense])
        chance = torch.empty_like(bits).uniform_(generator=generator)
        # Drawn bits decide; where no level has them, the probabilities tell which one is near.
        bits = 0.9 * (chance < bits) + 0.1 * bits
        levels = raw[:, table.n_dense :]
        if table.n_levels:
            levels = levels + table.gumbel_noise(len(raw), generator=generator, by_row=True)
        return torch.cat([scalars + noise * self.sd, bits, levels], dim=1)
