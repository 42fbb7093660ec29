"""Autoencoders: AE, VAE and CVAE, inside a calibrated frame by default."""

from synth_estimators.autoencoders._ae import AE
from synth_estimators.autoencoders._cvae import CVAE
from synth_estimators.autoencoders._spec import from_spec
from synth_estimators.autoencoders._vae import VAE

__all__ = ["AE", "CVAE", "VAE", "from_spec"]
