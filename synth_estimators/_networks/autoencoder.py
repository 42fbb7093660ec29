"""Modules of the autoencoder family.

A batch is one tensor: the features first, then the condition columns, so that a training set is
one resident tensor. ``objective`` returns one loss a row.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from synth_estimators._networks._mlp import dense_stack

__all__ = ["AutoencoderModule", "GaussianVAEModule"]

_LOG_2PI = math.log(2.0 * math.pi)
_LOGVAR_RANGE = (-8.0, 4.0)


class _SquaredErrorBound(torch.autograd.Function):
    r"""Weighted squared error plus weighted divergence from N(0, I) of each row.

    One node of the graph instead of thirteen, which small nets feel:
    ``w_r |x - d|^2 + w_k / 2 sum(mean^2 + exp(logvar) - logvar - 1)``.
    """

    @staticmethod
    def forward(ctx, features, decoded, mean, logvar, reconstruction_weight, kl_weight):
        residual = decoded - features
        variance = logvar.exp()
        ctx.save_for_backward(residual, mean, variance)
        ctx.weights = reconstruction_weight, kl_weight
        divergence = torch.addcmul(variance - logvar, mean, mean).sum(dim=1)
        loss = torch.linalg.vecdot(residual, residual)
        if reconstruction_weight != 1.0:
            loss *= reconstruction_weight
        loss.add_(divergence, alpha=0.5 * kl_weight)
        return loss.sub_(0.5 * kl_weight * mean.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        residual, mean, variance = ctx.saved_tensors
        reconstruction_weight, kl_weight = ctx.weights
        row = gradient[:, None]
        scale = row * kl_weight
        return (
            None,
            residual * (row * (2.0 * reconstruction_weight)),
            scale * mean,
            (variance - 1.0).mul_(scale).mul_(0.5),
            None,
            None,
        )


class _Decoder(nn.Module):
    """Codes (and conditions) to features: a dense stack, plus a linear path when ``skip``."""

    def __init__(
        self, n_inputs, hidden, n_features, *, activation, batch_norm, skip, output, n_skip
    ):
        super().__init__()
        widths = (n_inputs, *reversed(hidden))
        self.stack = dense_stack(widths, activation=activation, batch_norm=batch_norm)
        self.last = nn.Linear(widths[-1], n_features)
        self.linear = nn.Linear(n_skip, n_features, bias=False) if skip else None
        self.n_skip = n_skip
        self.output = output
        if skip:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, codes):  # (batch, n_inputs)
        features = self.last(self.stack(codes))
        if self.linear is not None:
            features = features + self.linear(codes[:, : self.n_skip])
        return torch.relu_(features) if self.output == "relu" else features


class _FeatureModule(nn.Module):
    """What the modules of the family share: features, conditions and starts."""

    #: Parameters with one slice a feature, and the axis of the features; for transfer by name.
    feature_axes = {
        "encoder.0.weight": 1,
        "decoder.last.weight": 0,
        "decoder.last.bias": 0,
        "decoder.linear.weight": 0,
        "log_sd": 0,
    }

    def split(self, batch):
        """Split a batch into features and conditions (None without any)."""
        if batch.shape[1] == self.n_features:
            return batch, None
        return batch[:, : self.n_features], batch[:, self.n_features :]

    def start_at_means(self, means):
        """Start the last bias of the decoder at the column means."""
        with torch.no_grad():
            self.decoder.last.bias.copy_(torch.as_tensor(means))


class GaussianVAEModule(_FeatureModule):
    r"""Variational autoencoder with Gaussian features.

    Parameters
    ----------
    n_features, n_conditions : int
        Widths of the two parts of a batch.

    latent_dim : int
        Width of the code.

    hidden : tuple of int
        Encoder widths; the decoder mirrors them.

    activation : str
        Activation of the hidden layers.

    batch_norm : bool
        Whether hidden layers are normalised over the batch.

    skip : bool
        Whether a linear map runs beside the decoder.

    noise : {"feature", None}
        Learned noise of every feature, or plain squared error.

    output : {"linear", "relu"}
        Head of the decoder.

    kl_weight, reconstruction_weight : float
        Weights of the two terms of the loss.
    """

    def __init__(
        self,
        n_features,
        *,
        n_conditions=0,
        latent_dim=16,
        hidden=(128,),
        activation="silu",
        batch_norm=False,
        skip=True,
        noise="feature",
        output="linear",
        kl_weight=1.0,
        reconstruction_weight=1.0,
    ):
        super().__init__()
        self.n_features = n_features
        self.latent_dim = latent_dim
        self.kl_weight = kl_weight
        self.reconstruction_weight = reconstruction_weight
        self.clamp_logvar = noise == "feature"
        self.encoder = dense_stack(
            (n_features + n_conditions, *hidden), activation=activation, batch_norm=batch_norm
        )
        width = hidden[-1] if hidden else n_features + n_conditions
        # both heads in one product: mean first, then log-variance
        self.code_head = nn.Linear(width, 2 * latent_dim)
        self.decoder = _Decoder(
            latent_dim + n_conditions,
            hidden,
            n_features,
            activation=activation,
            batch_norm=batch_norm,
            skip=skip,
            output=output,
            n_skip=latent_dim,
        )
        self.log_sd = nn.Parameter(torch.zeros(n_features)) if noise == "feature" else None

    def encode(self, batch):
        """Mean and log-variance of the code, each of shape (batch, latent_dim)."""
        mean, logvar = self.code_head(self.encoder(batch)).chunk(2, dim=1)
        if self.clamp_logvar:
            logvar = logvar.clamp(*_LOGVAR_RANGE)
        return mean, logvar

    def decode(self, codes, conditions=None):
        """Mean of the features, of shape (batch, n_features)."""
        if conditions is not None and conditions.shape[1]:
            codes = torch.cat([codes, conditions], dim=1)
        return self.decoder(codes)

    def forward(self, batch):
        _, conditions = self.split(batch)
        mean, logvar = self.encode(batch)
        codes = mean
        if self.training:
            codes = torch.addcmul(mean, torch.randn_like(mean), torch.exp(0.5 * logvar))
        return self.decode(codes, conditions), mean, logvar

    def reconstruction(self, features, decoded):
        """Reconstruction term of each row: Gaussian negative log-likelihood or squared error."""
        if self.log_sd is None:
            return (features - decoded).square().sum(dim=1)
        scaled = (features - decoded) * torch.exp(-self.log_sd)
        constant = self.log_sd.sum() + 0.5 * _LOG_2PI * self.n_features
        return 0.5 * scaled.square().sum(dim=1) + constant

    def objective(self, output, batch):
        """Negative evidence lower bound of each row, with the weights of its terms."""
        features, _ = self.split(batch)
        decoded, mean, logvar = output
        if self.log_sd is None:
            return _SquaredErrorBound.apply(
                features, decoded, mean, logvar, self.reconstruction_weight, self.kl_weight
            )
        divergence = 0.5 * (mean.square() + logvar.exp() - logvar - 1.0).sum(dim=1)
        likelihood = self.reconstruction(features, decoded)
        return self.reconstruction_weight * likelihood + self.kl_weight * divergence

    def start_from_factors(self, loadings, psi):
        """Start the linear path and the noise at a factor analysis of the data."""
        with torch.no_grad():
            n_factors = loadings.shape[1]
            self.decoder.linear.weight.zero_()
            self.decoder.linear.weight[:, :n_factors] = torch.as_tensor(loadings)
            if self.log_sd is not None:
                self.log_sd.copy_(0.5 * torch.log(torch.as_tensor(psi).clamp(min=0.02)))

    def log_bound(self, batch, noise):
        """Importance-weighted bound of the log-likelihood of each row.

        Parameters
        ----------
        batch : tensor of shape (batch, n_features + n_conditions)
            Rows.

        noise : tensor of shape (n_draws, latent_dim)
            Standard normal draws, the same for every row.
        """
        features, conditions = self.split(batch)
        mean, logvar = self.encode(batch)
        sd = torch.exp(0.5 * logvar)
        terms = []
        for draw in noise:
            codes = mean + sd * draw
            log_prior = -0.5 * (codes.square() + _LOG_2PI).sum(dim=1)
            log_posterior = -0.5 * (draw.square() + logvar + _LOG_2PI).sum(dim=1)
            log_likelihood = -self._negative_log_likelihood(
                features, self.decode(codes, conditions)
            )
            terms.append(log_likelihood + log_prior - log_posterior)
        return torch.logsumexp(torch.stack(terms), dim=0) - math.log(len(noise))

    def _negative_log_likelihood(self, features, decoded):
        if self.log_sd is not None:
            return self.reconstruction(features, decoded)
        # Squared error with weights (w_r, w_k) is a Gaussian of variance w_k / (2 w_r).
        variance = max(self.kl_weight, 1e-12) / (2.0 * self.reconstruction_weight)
        constant = 0.5 * self.n_features * (_LOG_2PI + math.log(variance))
        return 0.5 * self.reconstruction(features, decoded) / variance + constant


class AutoencoderModule(_FeatureModule):
    """Deterministic autoencoder with squared error.

    Parameters
    ----------
    n_features, n_conditions, latent_dim, hidden, activation, batch_norm, skip, output
        As in ``GaussianVAEModule``.

    code_activation : bool
        Whether the code passes through the activation, as in the published network.
    """

    feature_axes = {
        **_FeatureModule.feature_axes,
        "encoder_linear.weight": 1,
    }

    def __init__(
        self,
        n_features,
        *,
        n_conditions=0,
        latent_dim=16,
        hidden=(128,),
        activation="silu",
        batch_norm=False,
        skip=True,
        output="linear",
        code_activation=False,
    ):
        super().__init__()
        self.n_features = n_features
        self.latent_dim = latent_dim
        self.encoder = dense_stack(
            (n_features + n_conditions, *hidden), activation=activation, batch_norm=batch_norm
        )
        width = hidden[-1] if hidden else n_features + n_conditions
        self.code_head = nn.Linear(width, latent_dim)
        self.code_activation = code_activation
        self.encoder_linear = nn.Linear(n_features, latent_dim, bias=False) if skip else None
        if skip:
            nn.init.zeros_(self.code_head.weight)
            nn.init.zeros_(self.code_head.bias)
        self.decoder = _Decoder(
            latent_dim + n_conditions,
            hidden,
            n_features,
            activation=activation,
            batch_norm=batch_norm,
            skip=skip,
            output=output,
            n_skip=latent_dim,
        )

    def encode(self, batch):
        """Code of each row and None, for it has no variance."""
        features, _ = self.split(batch)
        codes = self.code_head(self.encoder(batch))
        if self.encoder_linear is not None:
            codes = codes + self.encoder_linear(features)
        return (torch.relu(codes) if self.code_activation else codes), None

    def decode(self, codes, conditions=None):
        """Decoded features, of shape (batch, n_features)."""
        if conditions is not None and conditions.shape[1]:
            codes = torch.cat([codes, conditions], dim=1)
        return self.decoder(codes)

    def forward(self, batch):
        _, conditions = self.split(batch)
        codes, _ = self.encode(batch)
        return self.decode(codes, conditions)

    def objective(self, output, batch):
        """Squared error of each row, summed over the features."""
        features, _ = self.split(batch)
        return (features - output).square().sum(dim=1)

    def start_from_components(self, components):
        """Start both linear paths at the leading principal directions."""
        with torch.no_grad():
            n_components = components.shape[1]
            self.encoder_linear.weight.zero_()
            self.decoder.linear.weight.zero_()
            self.encoder_linear.weight[:n_components] = torch.as_tensor(components.T.copy())
            self.decoder.linear.weight[:, :n_components] = torch.as_tensor(components.copy())
