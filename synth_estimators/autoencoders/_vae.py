"""Variational autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from synth_estimators._compat import StrOptions, fit_context, with_callbacks
from synth_estimators._networks.autoencoder import GaussianVAEModule
from synth_estimators.autoencoders._base import (
    AUTOENCODER_CONSTRAINTS,
    POSITIVE_WEIGHT,
    FramedAutoencoder,
)
from synth_estimators.autoencoders._codes import GaussianCodes
from synth_estimators.autoencoders._factors import factor_analysis

__all__ = ["VAE", "BaseVAE"]

_BOUND_DRAWS = 50
_MIN_NOISE = 0.02


class BaseVAE(FramedAutoencoder):
    """What VAE and CVAE share: module, start, code distribution and bound."""

    score_kind = "elbo"

    _architecture = (*FramedAutoencoder._architecture, "noise")

    _parameter_constraints = {
        **AUTOENCODER_CONSTRAINTS,
        "noise": [StrOptions({"feature"}), None],
        "kl_weight": POSITIVE_WEIGHT,
        "reconstruction_weight": POSITIVE_WEIGHT,
    }

    def _module_class(self):
        return GaussianVAEModule

    def _module_settings(self):
        return {
            "noise": self.noise,
            "kl_weight": float(self.kl_weight),
            "reconstruction_weight": float(self.reconstruction_weight),
        }

    def _start_weights(self, rows):
        n_factors = min(self.latent_dim_, len(rows) - 1, rows.shape[1])
        if n_factors < 1:
            return
        loadings, noise = factor_analysis(rows - rows.mean(axis=0), n_factors)
        self.net_.module_.start_from_factors(
            loadings.astype(np.float32), np.maximum(noise, _MIN_NOISE).astype(np.float32)
        )

    def _fit_codes(self, batch, *, accumulate=False):
        if self.prior == "standard":
            return
        mean, logvar = self._encode_batch(batch)
        codes = self._codes if accumulate else GaussianCodes()
        self._codes = codes.update(mean, np.exp(logvar))

    def _draw_codes(self, n_samples, rng):
        if self.prior == "standard":
            return rng.standard_normal((n_samples, self.latent_dim_))
        return self._codes.draw(n_samples, rng)

    def _network_noise(self):
        log_sd = self.net_.module_.log_sd
        return None if log_sd is None else np.exp(log_sd.detach().cpu().numpy())

    def _log_bound(self, data, design):
        """Importance-weighted bound of each row in data units."""
        noise = np.random.default_rng(0).standard_normal((_BOUND_DRAWS, self.latent_dim_))
        coordinates = self._coordinates(data, design)
        batch = self._batch(coordinates, design)

        def bound(module, block):
            draws = torch.as_tensor(noise, dtype=block.dtype, device=block.device)
            return (module.log_bound(block, draws),)

        values = self._apply(batch, bound, like=data)[0].astype(np.float64)
        if self.frame_ is not None:
            rows = self.frame_.residuals(data, design)
            values -= np.log(self.frame_.scale_).sum()
            if self.frame_.log_spread_ is not None:
                values -= (design @ self.frame_.log_spread_).sum(axis=1)
        else:
            rows = (data - self._center) / self._spread
            values -= np.log(self._spread).sum()
        if self._span is not None:
            values += self._log_density_beside_span(rows, coordinates)
        return values

    def _log_density_beside_span(self, rows, coordinates):
        """Gaussian density, with the floor's variance, of what the span leaves out."""
        n_beside = rows.shape[1] - self._span.rank
        if n_beside == 0:
            return 0.0
        floor = max(self._span.floor, 1e-12)
        residual = np.einsum("ij,ij->i", rows, rows) - np.einsum(
            "ij,ij->i", coordinates, coordinates
        )
        return -0.5 * (np.maximum(residual, 0) / floor + n_beside * np.log(2 * np.pi * floor))


class VAE(BaseVAE):
    r"""Variational autoencoder for numeric tables, inside a calibrated frame.

    Learns :math:`x = A z + B(z) + \varepsilon` with noise :math:`\varepsilon` of its own for every
    column by maximising the evidence lower bound,

    .. math:: E_q[\log p(x|z)] - \beta\,\mathrm{KL}(q(z|x)\,\|\,p(z)),

    draws codes from the aggregate posterior, and returns rows through the frame of
    :class:`~synth_estimators.baselines.CalibratedGaussian`.

    Read more in the :ref:`User Guide <vae>`.

    Parameters
    ----------
    latent_dim : int or "auto", default="auto"
        Width of the latent space. "auto" is a 28th of the rows, between 2 and 16.

    hidden : tuple of int or "auto", default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. "auto" is one layer of a
        seventh of the rows, between 16 and 128: a wide network on few rows learns single rows.

    network : {"factor", "published"}, default="factor"
        "factor": SiLU layers beside a linear path that starts at a factor analysis.
        "published": ReLU layers with batch normalisation as in SyNG-BTS; with
        ``calibration=None`` also its raw scale and ReLU output.

    noise : {"feature", None}, default="feature"
        Learned noise of every feature, or squared error with fixed weights.

    prior : {"aggregate", "standard"}, default="aggregate"
        Where codes are drawn: the aggregate posterior of the training rows, or N(0, I).

    kl_weight : float, default=1.0
        Weight of the Kullback-Leibler term.

    reconstruction_weight : float, default=1.0
        Weight of the reconstruction term.

    calibration : {"full", "margins", None}, default="full"
        How model rows become data rows. "full": the frame of ``CalibratedGaussian`` (class means,
        completed covariance, score margins, row-wise noise scale, column margins); "margins":
        column margins only; None: as the network makes them.

    clip : {"range", None}, default="range"
        Whether samples stay inside the observed range of each column.

    compress : {"span", None}, default=None
        "span" trains in the coordinates of the span of the training rows, an exact rotation for
        squared error and much less work when there are many more columns than rows.

    init_from : fitted estimator, str, path-like or None, default=None
        Model to start from (transfer learning), or the path given to its ``save_weights``.
        Features are matched by name; ``transfer_report_`` says what was copied.

    freeze : tuple of str or None, default=None
        Patterns of parameter names that are not trained, for example ``("encoder.*",)``.

    max_epochs : int, default=300
        Largest number of passes over the training rows.

    batch_size : int, float or "auto", default="auto"
        Rows a step, or a fraction of the training rows. "auto" is 64, or all rows if fewer.

    lr : float, default=0.002
        Learning rate.

    weight_decay : float, default=0.001
        Weight decay.

    optimizer : {"adam", "adamw", "sgd", "rmsprop", "adagrad"}, default="adamw"
        Optimizer, in its fused form where torch has one.

    clip_norm : float or None, default=5.0
        Largest norm of the gradient of one step.

    validation_fraction : float or None, default=0.15
        Share of the rows held out to compute the validation loss. Needed by early stopping.

    early_stopping : bool, default=True
        Stop after ``patience`` epochs without a better validation loss and keep the best weights.
        It is also a privacy measure: without it the network learns single rows.

    patience : int, default=40
        Epochs to wait for an improvement.

    tol : float, default=0.0
        Smallest decrease of the validation loss that counts as an improvement.

    matmul : {"default", "auto"}, default="default"
        "auto" lets large products use oneDNN where that is exact and faster; results then differ
        in the last digits.

    random_state : int, RandomState instance or None, default=None
        Seeds weights, mini-batches, the validation split and draws. No global generator is
        touched. Pass an int for reproducible output. See :term:`Glossary <random_state>`.

    device : str, default="cpu"
        Torch device, for example "cuda".

    callbacks : list or None, default=None
        skorch callbacks; copied before use.

    net_params : dict or None, default=None
        Further parameters of the skorch net, for example ``{"optimizer__betas": (0.8, 0.99)}``.
        Searchable as ``net__optimizer__betas``.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the previous weights.

    verbose : int, default=0
        From 2 on, skorch prints a line an epoch.

    Attributes
    ----------
    n_iter_ : int
        Number of epochs run.

    loss_curve_ : list of float of length n_iter_
        Mean training loss of a row after each epoch (negative evidence lower bound, nats).

    validation_loss_curve_ : list of float or None
        The same on the validation rows.

    history_ : pandas DataFrame of shape (n_iter_, n_columns)
        One row an epoch.

    best_epoch_ : int
        Epoch whose weights were kept; only with early stopping.

    completion_clip_ : float
        Share of the covariance that the network overshoots; only with ``calibration="full"``.

    latent_dim_ : int
        Width of the latent space.

    hidden_ : tuple of int
        Widths of the encoder's hidden layers.

    net_ : EpochEngine
        The skorch net.

    n_features_in_ : int
        Number of columns.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only when all are strings.

    See Also
    --------
    CVAE : The same with labels and conditions.
    synth_estimators.baselines.CalibratedGaussian : The frame without a network.

    Notes
    -----
    ``calibration=None`` with ``network="published"``, ``noise=None`` and ``prior="standard"`` is
    the published model; :func:`from_spec` sets all of its defaults. The default differs in its
    start, its learned noise, the aggregate posterior, and the frame. A step costs six times the
    number of weights times the batch size in floating-point operations.

    References
    ----------
    .. [1] :doi:`Kingma and Welling (2014). "Auto-Encoding Variational Bayes".
       <10.48550/arXiv.1312.6114>`
    .. [2] :doi:`Burda, Grosse and Salakhutdinov (2016). "Importance Weighted Autoencoders".
       <10.48550/arXiv.1509.00519>`

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import VAE
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAE(latent_dim=2, max_epochs=3, random_state=0).fit(X)
    >>> vae.sample(5).shape
    (5, 4)
    >>> vae.transform(X).shape
    (150, 2)
    """

    def __init__(
        self,
        latent_dim="auto",
        *,
        hidden="auto",
        network="factor",
        noise="feature",
        prior="aggregate",
        kl_weight=1.0,
        reconstruction_weight=1.0,
        calibration="full",
        clip="range",
        compress=None,
        init_from=None,
        freeze=None,
        max_epochs=300,
        batch_size="auto",
        lr=2e-3,
        weight_decay=1e-3,
        optimizer="adamw",
        clip_norm=5.0,
        validation_fraction=0.15,
        early_stopping=True,
        patience=40,
        tol=0.0,
        matmul="default",
        random_state=None,
        device="cpu",
        callbacks=None,
        net_params=None,
        warm_start=False,
        verbose=0,
    ):
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.network = network
        self.noise = noise
        self.prior = prior
        self.kl_weight = kl_weight
        self.reconstruction_weight = reconstruction_weight
        self.calibration = calibration
        self.clip = clip
        self.compress = compress
        self.init_from = init_from
        self.freeze = freeze
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.tol = tol
        self.matmul = matmul
        self.random_state = random_state
        self.device = device
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.verbose = verbose

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> VAE:
        """Train the model.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training rows, at least 3, finite.

        y : None
            Ignored, present for API consistency.


        Returns
        -------
        self : VAE

        Raises
        ------
        ValueError
            For NaN, infinite or text cells, parameters that contradict each other, or a batch
            size above the number of training rows.
        FloatingPointError
            When the training loss stops being finite.
        """
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit(X, y, None, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, *, n_epochs: int = 1) -> VAE:
        """Train on more rows.

        The first call fits the frame on its rows, so they should be representative; later calls
        train the network further and update the distribution of codes.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows; the same columns in every call.

        y : None
            Ignored, present for API consistency.

        n_epochs : int, default=1
            Passes over these rows. No rows are held out.

        Returns
        -------
        self : VAE
        """
        return self._partial_fit(X, None, None, n_epochs)

    def score_samples(self, X: Any) -> np.ndarray:
        """Importance-weighted lower bound of the log-likelihood of each row.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            In nats, in data units, with 50 fixed draws of the code. It judges the network before
            calibration; columns that were constant in ``fit`` are left out.
        """
        return self._log_bound(self._checked(X), None)
