"""Published models by the names their authors gave them."""

from __future__ import annotations

import re
from typing import Any

from synth_estimators.autoencoders._ae import AE
from synth_estimators.autoencoders._cvae import CVAE
from synth_estimators.autoencoders._vae import VAE

__all__ = ["from_spec"]

_PATTERN = re.compile(r"(AE|VAE|CVAE)(?:(\d+(?:\.\d+)?)[-+](\d+(?:\.\d+)?))?", re.IGNORECASE)
_PUBLISHED = {
    "network": "published",
    "calibration": None,
    "clip": None,
    "max_epochs": 1000,
    "batch_size": 0.1,
    "lr": 5e-4,
    "weight_decay": 0.0,
    "optimizer": "adam",
    "clip_norm": None,
    "validation_fraction": 0.2,
    "early_stopping": True,
    "patience": 30,
}


def from_spec(spec: str, *, wide: bool = False, **params: Any) -> AE | VAE | CVAE:
    """Make an autoencoder with the published settings of SyNG-BTS from its model string.

    Parameters
    ----------
    spec : str
        "AE", "VAE1-10" or "CVAE1-20": family, weight of the reconstruction and weight of the
        Kullback-Leibler term. Case does not matter; weights may have any number of digits.

    wide : bool, default=False
        The wide network of the published CVAE.

    **params : dict
        Parameters of the estimator that replace the published ones.

    Returns
    -------
    generator : AE, VAE or CVAE
        Unfitted; expects data on the log2(x + 1) scale.

    Raises
    ------
    ValueError
        When ``spec`` names no model of the family.

    Examples
    --------
    >>> from synth_estimators import from_spec
    >>> model = from_spec("cvae1-20")
    >>> type(model).__name__, model.kl_weight, model.latent_dim
    ('CVAE', 20.0, 32)
    """
    match = _PATTERN.fullmatch(spec) if isinstance(spec, str) else None
    if match is None:
        raise ValueError(
            f"Unknown model {spec!r}; expected 'AE', 'VAE<a>-<b>' or 'CVAE<a>-<b>' with the "
            "weights of reconstruction and Kullback-Leibler term, for example 'VAE1-10'."
        )
    family = match[1].upper()
    weights = (match[2], match[3])
    if family == "AE":
        if weights[0] is not None:
            raise ValueError(f"Model {spec!r} has weights, but AE has one loss term; use 'AE'.")
        settings = {
            **_PUBLISHED,
            "latent_dim": 64,
            "hidden": (256, 128),
            "code_density": "standard",
        }
        return AE(**{**settings, **params})
    if wide and family != "CVAE":
        raise ValueError("wide=True belongs to CVAE; set hidden=(512, 256, 128, 64) for a VAE.")
    settings = {
        **_PUBLISHED,
        "latent_dim": 32,
        "hidden": (512, 256, 128, 64) if wide else (256, 128, 64),
        "noise": None,
        "prior": "standard",
        "reconstruction_weight": float(weights[0] or 1.0),
        "kl_weight": float(weights[1] or 1.0),
    }
    return (VAE if family == "VAE" else CVAE)(**{**settings, **params})
