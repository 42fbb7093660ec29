"""Networks that the benchmarks train, with and without the engine."""

from itertools import pairwise

import torch
from torch import nn


def block(n_inputs, n_outputs):
    return [nn.Linear(n_inputs, n_outputs), nn.BatchNorm1d(n_outputs), nn.ReLU()]


def decoder(n_features, hidden=(256, 128, 64), latent_dim=32):
    widths = (latent_dim, *reversed(hidden))
    layers = [layer for a, b in pairwise(widths) for layer in block(a, b)]
    return nn.Sequential(*layers, nn.Linear(hidden[0], n_features))


class PlainVAE(nn.Module):
    """The VAE n_features-256-128-64-32 with batch normalisation and ReLU."""

    def __init__(self, n_features, hidden=(256, 128, 64), latent_dim=32):
        super().__init__()
        widths = (n_features, *hidden)
        layers = [layer for a, b in pairwise(widths) for layer in block(a, b)]
        self.encoder = nn.Sequential(*layers)
        self.mean = nn.Linear(hidden[-1], latent_dim)
        self.logvar = nn.Linear(hidden[-1], latent_dim)
        self.decoder = decoder(n_features, hidden, latent_dim)

    def forward(self, X):
        features = self.encoder(X)
        mean, logvar = self.mean(features), self.logvar(features)
        codes = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar) if self.training else mean
        return self.decoder(codes), mean, logvar

    def objective(self, output, X):
        return vae_losses(output, X)


def vae_losses(output, X):
    """Squared error plus divergence of every row."""
    decoded, mean, logvar = output
    divergence = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(dim=1)
    return (decoded - X).square().sum(dim=1) + divergence


class VAELoss(nn.Module):
    """The same loss as a criterion."""

    def forward(self, output, X):
        return vae_losses(output, X).mean()


class Linear(nn.Module):
    """One layer, trained to reproduce its input."""

    def __init__(self, n_features=20):
        super().__init__()
        self.layer = nn.Linear(n_features, n_features)

    def forward(self, X):
        return self.layer(X)
