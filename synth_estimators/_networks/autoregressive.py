"""One small network a column, all trained at once: column after column given those before it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["N_PARTS", "AutoregressiveNet", "log_mixture"]

#: Numbers a cell: token, choice, score, lower and upper end of its interval.
N_PARTS = 5

_TOKEN, _CHOICE, _SCORE, _LOW, _HIGH = range(N_PARTS)

# Heads of one product: those of a group skip the inputs behind them.
_GROUP = 8
_WIDTH_RATIO = 4
_IMPOSSIBLE = -1e9
_PRIOR_COUNT = 0.1
_MIN_LOG_SD, _MAX_LOG_SD = -4.5, 3.0
_SMALLEST_MASS = 1e-6
_LARGEST_SCORE = 4.3
_MIN_LOG_MASS = -60.0


def log_mixture(mixture, low, high, dim):
    """Logarithm of the mass of intervals under mixtures of Gaussians.

    Parameters
    ----------
    mixture : tensor
        Logits, means and log standard deviations, one after another along ``dim``.

    low, high : tensor
        Ends of the intervals; like ``mixture`` with one entry along ``dim``.

    dim : int
        Axis of the components.

    Returns
    -------
    tensor
        Like ``low`` without ``dim``.
    """
    logits, mean, log_sd = mixture.chunk(3, dim)
    log_sd = log_sd.clamp(_MIN_LOG_SD, _MAX_LOG_SD)
    inverse_sd = torch.exp(-log_sd)
    left, right = (low - mean) * inverse_sd, (high - mean) * inverse_sd
    # Both ends on the lower tail, where differences are exact.
    flip = left > 0
    left, right = torch.where(flip, -right, left), torch.where(flip, -left, right)
    mass = torch.special.ndtr(right) - torch.special.ndtr(left)
    start, stop = (end.clamp(-_LARGEST_SCORE, _LARGEST_SCORE) for end in (low, high))
    middle = (0.5 * (start + stop) - mean) * inverse_sd
    width = (stop - start).clamp_min(_SMALLEST_MASS)
    density = width.log() - log_sd - 0.5 * middle.square() - 0.5 * math.log(2 * math.pi)
    log_mass = torch.where(
        mass > _SMALLEST_MASS,
        mass.clamp_min(_SMALLEST_MASS).log(),
        density.clamp_min(_MIN_LOG_MASS),
    )
    return torch.logsumexp(F.log_softmax(logits, dim) + log_mass, dim)


def _normal(shape, sd):
    return nn.Parameter(sd * torch.randn(shape))


def _buckets(widths):
    """Columns whose heads are about equally wide, narrow ones first."""
    order = sorted(range(len(widths)), key=lambda j: widths[j])
    buckets = []
    for j in order:
        if not buckets or widths[j] > max(_WIDTH_RATIO * widths[buckets[-1][0]], 16):
            buckets.append([])
        buckets[-1].append(j)
    return buckets


class _Core(nn.Module):
    """The networks of all columns as batched products; rows are the last axis."""

    def __init__(self, n_tokens, n_choices, continuous, embedding_dim, hidden, n_components, n):
        super().__init__()
        n_columns, width = len(n_tokens), hidden[0]
        self.n_members, self.n_columns, self.width = n, n_columns, width
        self.embedding_dim = embedding_dim
        self.columns = [j for j in range(n_columns) if n_choices[j] > 0]
        n_heads = len(self.columns)
        n_choices = [n_choices[j] for j in self.columns]
        continuous = [continuous[j] for j in self.columns]
        self.n_choices = n_choices
        starts = [sum(n_tokens[:j]) for j in range(n_columns + 1)]
        self.starts = starts
        first = torch.tensor(starts[:-1])[:, None] + starts[-1] * torch.arange(n)[:, None, None]
        self.register_buffer("first_token", first, persistent=False)  # (members, columns, 1)
        self.embedding = _normal((n, starts[-1], embedding_dim), 0.3)
        self.slope = _normal((n, n_columns, embedding_dim), 0.3)
        sd = 1.0 / math.sqrt(max(1.0, n_columns * embedding_dim / 2))
        self.weight_in = nn.ParameterList()
        for group, start in enumerate(range(0, n_heads, _GROUP)):
            columns = torch.tensor(self.columns[start : start + _GROUP])
            stop = int(columns[-1]) + 1
            mask = (torch.arange(stop)[None, :] < columns[:, None]).float()
            mask = mask.repeat_interleave(width, 0).repeat_interleave(embedding_dim, 1)
            self.register_buffer(f"mask_{group}", mask, persistent=False)
            self.weight_in.append(_normal((n, *mask.shape), sd))
        self.bias_in = nn.Parameter(torch.zeros(n, n_heads * width, 1))
        self.weight_hidden, self.bias_hidden = nn.ParameterList(), nn.ParameterList()
        for _ in hidden[1:]:
            shape = (n, n_heads, width, width)
            self.weight_hidden.append(_normal(shape, 0.7 / math.sqrt(width)))
            self.bias_hidden.append(nn.Parameter(torch.zeros(n, n_heads, width, 1)))
        self.buckets = _buckets(n_choices)
        self.weight_out, self.bias_out = nn.ParameterList(), nn.ParameterList()
        for number, heads in enumerate(self.buckets):
            widest = max(n_choices[h] for h in heads)
            weight = 0.02 * torch.randn(n, len(heads), widest, width)
            bias = torch.full((n, len(heads), widest, 1), _IMPOSSIBLE)
            for place, h in enumerate(heads):
                weight[:, place, n_choices[h] :] = 0.0
                bias[:, place, : n_choices[h]] = 0.0
            self.weight_out.append(nn.Parameter(weight))
            self.bias_out.append(nn.Parameter(bias))
            self.register_buffer(f"bucket_{number}", torch.tensor(heads), persistent=False)
        place = torch.argsort(torch.tensor([h for heads in self.buckets for h in heads]))
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("column", torch.tensor(self.columns), persistent=False)
        self.numbers = [h for h in range(n_heads) if continuous[h]]
        self.register_buffer("number", torch.tensor(self.numbers).long(), persistent=False)
        last = torch.tensor([n_choices[h] - 1 for h in self.numbers]).long()
        self.register_buffer("last_choice", last[:, None], persistent=False)
        self.weight_mix = _normal((n, len(self.numbers), 3 * n_components, width), 0.02)
        bias = torch.zeros(n, len(self.numbers), 3 * n_components, 1)
        if n_components > 1:
            means = torch.linspace(-1.5, 1.5, n_components)
            bias[:, :, n_components : 2 * n_components, 0] = means
        bias[:, :, 2 * n_components :] = -0.5
        self.bias_mix = nn.Parameter(bias)

    def forward(self, X):
        """Log-likelihood of every modelled cell, of shape (members, heads, rows)."""
        parts = X.view(len(X), self.n_members, N_PARTS, self.n_columns).permute(2, 1, 3, 0)
        hidden = self._hidden(parts[_TOKEN].long(), parts[_SCORE])
        choice = parts[_CHOICE].index_select(1, self.column).long()
        cells = []
        for number, (weight, bias) in enumerate(zip(self.weight_out, self.bias_out, strict=True)):
            heads = getattr(self, f"bucket_{number}")
            logits = self._outputs(hidden.index_select(1, heads), weight, bias)
            wanted = choice.index_select(1, heads).flatten(0, 1)
            losses = F.cross_entropy(logits, wanted, reduction="none")
            cells.append(-losses.unflatten(0, (self.n_members, -1)))
        cells = torch.cat(cells, 1).index_select(1, self.place)
        if not self.numbers:
            return cells
        mixture = self._outputs(
            hidden.index_select(1, self.number), self.weight_mix, self.bias_mix
        ).unflatten(0, (self.n_members, -1))
        column = self.column[self.number]
        low, high = (parts[k].index_select(1, column)[:, :, None] for k in (_LOW, _HIGH))
        inside = choice.index_select(1, self.number) == self.last_choice
        values = log_mixture(mixture, low, high, 2)
        return cells.index_add(1, self.number, values.where(inside, torch.zeros_like(values)))

    def _hidden(self, tokens, scores):
        inputs = F.embedding(tokens + self.first_token, self.embedding.flatten(0, 1))
        inputs = inputs + scores[..., None] * self.slope[:, :, None]
        inputs = inputs.transpose(2, 3).flatten(1, 2)  # (members, columns * embedding, rows)
        first = [
            torch.bmm(weight * (mask := getattr(self, f"mask_{group}")), inputs[:, : mask.shape[1]])
            for group, weight in enumerate(self.weight_in)
        ]
        hidden = F.silu(torch.cat(first, 1) + self.bias_in)
        hidden = hidden.unflatten(1, (-1, self.width)).flatten(0, 1)
        for weight, bias in zip(self.weight_hidden, self.bias_hidden, strict=True):
            product = torch.baddbmm(bias.flatten(0, 1), weight.flatten(0, 1), hidden)
            hidden = hidden + F.silu(product)
        return hidden.unflatten(0, (self.n_members, -1))

    @staticmethod
    def _outputs(hidden, weight, bias):
        return torch.baddbmm(bias.flatten(0, 1), weight.flatten(0, 1), hidden.flatten(0, 1))

    def slices(self, head):
        """The parts of all tensors that belong to one modelled column, members first."""
        group, place = divmod(head, _GROUP)
        rows = slice(place * self.width, (place + 1) * self.width)
        bucket = next(b for b, heads in enumerate(self.buckets) if head in heads)
        place, n_choices = self.buckets[bucket].index(head), self.n_choices[head]
        column = self.columns[head]
        parts = {
            "embedding": self.embedding[:, : self.starts[column]],
            "slope": self.slope[:, :column],
            "weight_in": self.weight_in[group][:, rows, : column * self.embedding_dim],
            "bias_in": self.bias_in[:, head * self.width : (head + 1) * self.width, 0],
            "weight_out": self.weight_out[bucket][:, place, :n_choices],
            "bias_out": self.bias_out[bucket][:, place, :n_choices, 0],
        }
        for layer, weight in enumerate(self.weight_hidden):
            parts[f"weight_hidden_{layer}"] = weight[:, head]
            parts[f"bias_hidden_{layer}"] = self.bias_hidden[layer][:, head, :, 0]
        if head in self.numbers:
            parts["weight_mix"] = self.weight_mix[:, self.numbers.index(head)]
            parts["bias_mix"] = self.bias_mix[:, self.numbers.index(head), :, 0]
        return parts


class ColumnHead(nn.Module):
    """The network of one column with weights of its own, embeddings included."""

    def __init__(self, slices, starts, n_layers):
        super().__init__()
        for name, part in slices.items():
            self.register_buffer(name, part.detach().clone())
        self.starts = starts
        self.n_layers = n_layers

    def forward(self, tokens, scores, member=0):
        """Logits of the choices and, for numbers, the mixture.

        Parameters
        ----------
        tokens : tensor of int of shape (rows, columns before this one)

        scores : tensor of shape (rows, columns before this one)

        member : int, default=0

        Returns
        -------
        logits : tensor of shape (rows, choices)

        mixture : tensor of shape (rows, 3 * components) or None
        """
        hidden = self.bias_in[member].expand(len(tokens), -1)
        if self.slope.shape[1]:
            first = torch.tensor(self.starts, device=tokens.device)
            inputs = F.embedding(tokens + first, self.embedding[member])
            inputs = inputs + scores[..., None] * self.slope[member]
            hidden = F.linear(inputs.flatten(1), self.weight_in[member], self.bias_in[member])
        hidden = F.silu(hidden)
        for layer in range(self.n_layers):
            weight = getattr(self, f"weight_hidden_{layer}")[member]
            bias = getattr(self, f"bias_hidden_{layer}")[member]
            hidden = hidden + F.silu(F.linear(hidden, weight, bias))
        logits = F.linear(hidden, self.weight_out[member], self.bias_out[member])
        if not hasattr(self, "weight_mix"):
            return logits, None
        return logits, F.linear(hidden, self.weight_mix[member], self.bias_mix[member])

    def log_prob(self, tokens, scores, choice, low, high, member=0):
        """Log-likelihood of the cells of this column, of shape (rows,)."""
        logits, mixture = self(tokens, scores, member)
        result = -F.cross_entropy(logits, choice, reduction="none")
        if mixture is not None:
            values = log_mixture(mixture, low[:, None], high[:, None], 1)
            inside = choice == logits.shape[1] - 1
            result = result + values.where(inside, torch.zeros_like(values))
        return result


class AutoregressiveNet(nn.Module):
    r"""Density of rows of codes, :math:`p(x) = \prod_j p(x_j | x_1, \dots, x_{j-1})`.

    Every column has a network of its own over embeddings that all share. Its output is a softmax
    over choices; the last choice of a column of numbers is "in an interval", whose score has a
    mixture of Gaussians. Beside the weights that are trained stand their running average and, for
    every column, the weights that were best for it (``heads``), which are the model.

    Rows are ``n_parts * n_columns`` numbers a member: tokens, choices, scores, lower ends and upper
    ends of the intervals.

    Parameters
    ----------
    n_tokens : sequence of int
        Inputs that are told apart in every column.

    n_choices : sequence of int
        Width of the softmax of every column; 0 for one that only later columns see. At least one
        column has some.

    continuous : sequence of bool
        Whether the last choice of the column is "in an interval".

    embedding_dim : int, default=8
        Width of a column's embedding.

    hidden : sequence of int, default=(64, 64, 64)
        Widths of the layers, all equal; those after the first are residual.

    n_components : int, default=10
        Components of a mixture.

    n_members : int, default=1
        Networks that are trained side by side, each on rows of its own.
    """

    def __init__(
        self,
        n_tokens: Sequence[int],
        n_choices: Sequence[int],
        continuous: Sequence[bool],
        *,
        embedding_dim: int = 8,
        hidden: Sequence[int] = (64, 64, 64),
        n_components: int = 10,
        n_members: int = 1,
    ) -> None:
        super().__init__()
        self.n_columns = len(n_tokens)
        self.n_members = n_members
        self.core = _Core(
            list(n_tokens),
            list(n_choices),
            list(continuous),
            embedding_dim,
            tuple(hidden),
            n_components,
            n_members,
        )
        self.average = copy.deepcopy(self.core).requires_grad_(False)
        self.heads = nn.ModuleList(
            ColumnHead(self.core.slices(head), self.core.starts[:j], len(hidden) - 1)
            for head, j in enumerate(self.core.columns)
        )

    def head(self, column: int) -> ColumnHead:
        """Return the network of a modelled column."""
        return self.heads[self.core.columns.index(column)]

    @torch.no_grad()
    def start(self, counts: Sequence[Sequence]) -> None:
        """Start at the product of the margins.

        Parameters
        ----------
        counts : sequence of array-like of shape (n_members, n_choices)
            Training cells of the choices of every modelled column.
        """
        for bucket, heads in enumerate(self.core.buckets):
            for place, head in enumerate(heads):
                shares = torch.tensor([list(member) for member in counts[head]]) + _PRIOR_COUNT
                log_share = torch.log(shares / shares.sum(1, keepdim=True))
                self.core.bias_out[bucket][:, place, : shares.shape[1], 0] = log_share
                # Exactly the margin: the first weights add noise to it only.
                self.core.weight_out[bucket][:, place].zero_()
        self.average.load_state_dict(self.core.state_dict())
        self.keep_average()

    def forward(self, X):
        """Log-likelihood of every modelled cell under the weights in training."""
        return self.core(X)

    def objective(self, output, X):
        """Negative log-likelihood of every row, averaged over the members."""
        return -output.sum(1).mean(0)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the running average towards the weights in training."""
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.core.parameters()), 1.0 - decay
        )

    @torch.no_grad()
    def keep_average(self, better: torch.Tensor | None = None) -> None:
        """Take the running average over as the model.

        Parameters
        ----------
        better : tensor of bool of shape (members, heads) or None, default=None
            Modelled columns to take over; None takes all.
        """
        for number, head in enumerate(self.heads):
            if better is not None and not better[:, number].any():
                continue
            for name, part in self.average.slices(number).items():
                kept = getattr(head, name)
                for member in range(self.n_members):
                    if better is None or better[member, number]:
                        kept[member].copy_(part[member])

    def cells(self, X: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of modelled cells under the model, of shape (members, rows, heads)."""
        parts = X.view(len(X), self.n_members, N_PARTS, self.n_columns)
        result = X.new_empty(self.n_members, len(X), len(self.heads))
        for member in range(self.n_members):
            tokens = parts[:, member, _TOKEN].long()
            choice = parts[:, member, _CHOICE].long()
            scores, low, high = (parts[:, member, k] for k in (_SCORE, _LOW, _HIGH))
            for number, (j, head) in enumerate(zip(self.core.columns, self.heads, strict=True)):
                result[member, :, number] = head.log_prob(
                    tokens[:, :j], scores[:, :j], choice[:, j], low[:, j], high[:, j], member
                )
        return result
