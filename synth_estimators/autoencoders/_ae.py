"""Autoencoder with a fitted code density."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth_estimators._compat import StrOptions, fit_context, with_callbacks
from synth_estimators._networks.autoencoder import AutoencoderModule
from synth_estimators.autoencoders._base import AUTOENCODER_CONSTRAINTS, FramedAutoencoder
from synth_estimators.autoencoders._codes import GaussianCodes
from synth_estimators.preprocessing._mixture import MixtureDensity

__all__ = ["AE"]


class AE(FramedAutoencoder):
    r"""Autoencoder for numeric tables, with a density fitted to its codes.

    Minimises the squared error :math:`\|x - g(f(x))\|^2`; rows are decoded from codes drawn from
    a density of the training codes, and returned through the frame of
    :class:`~synth_estimators.baselines.CalibratedGaussian`.

    Read more in the :ref:`User Guide <ae>`.

    Parameters
    ----------
    latent_dim : int or "auto", default="auto"
        Width of the latent space. "auto" is a 28th of the rows, between 2 and 16.

    hidden : tuple of int or "auto", default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. "auto" is one layer of a
        seventh of the rows, between 16 and 128: a wide network on few rows learns single rows.

    network : {"factor", "published"}, default="factor"
        "factor": SiLU layers beside a linear path that starts at the principal components.
        "published": ReLU layers with batch normalisation as in SyNG-BTS; with
        ``calibration=None`` also its raw scale and ReLU output.

    code_density : {"gaussian", "gmm", "standard"}, default="gaussian"
        Density of the codes: one Gaussian, a Gaussian mixture with one to eight components by
        BIC, or N(0, I) as published (which no training code follows).

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
        Mean training loss of a row after each epoch (squared error, summed over the columns).

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
    VAE : With a distribution of codes that is part of the model.

    Notes
    -----
    ``score`` is minus the energy distance, because the model has no density.

    References
    ----------
    .. [1] :doi:`Hinton and Salakhutdinov (2006). "Reducing the dimensionality of data with neural
       networks". <10.1126/science.1127647>`

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import AE
    >>> X, _ = load_iris(return_X_y=True)
    >>> ae = AE(latent_dim=2, max_epochs=3, random_state=0).fit(X)
    >>> ae.reconstruct(X).shape
    (150, 4)
    """

    score_kind = "neg_energy"

    _published_hidden = (256, 128)

    _parameter_constraints = {
        **{k: v for k, v in AUTOENCODER_CONSTRAINTS.items() if k != "prior"},
        "code_density": [StrOptions({"gaussian", "gmm", "standard"})],
    }

    def __init__(
        self,
        latent_dim="auto",
        *,
        hidden="auto",
        network="factor",
        code_density="gaussian",
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
        self.code_density = code_density
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
    def fit(self, X: Any, y: Any = None) -> AE:
        """Train the model.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training rows, at least 3, finite.

        y : None
            Ignored, present for API consistency.


        Returns
        -------
        self : AE

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
    def partial_fit(self, X: Any, y: Any = None, *, n_epochs: int = 1) -> AE:
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
        self : AE
        """
        return self._partial_fit(X, None, None, n_epochs)

    def _module_class(self):
        return AutoencoderModule

    def _module_settings(self):
        return {"code_activation": self.network == "published"}

    def _start_weights(self, rows):
        centred = rows - rows.mean(axis=0)
        if centred.shape[1] <= len(centred):
            components = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
        else:
            values, left = np.linalg.eigh(centred @ centred.T)
            values, left = values[::-1][:-1], left[:, ::-1][:, :-1]
            components = centred.T @ left / np.sqrt(np.maximum(values, 1e-12))
        components = components[:, : self.latent_dim_].astype(np.float32)
        self.net_.module_.start_from_components(components)

    def _fit_codes(self, batch, *, accumulate=False):
        codes = self._encode_batch(batch)[0]
        if self.code_density == "gmm":
            ridge = 1e-3 * max(float(codes.var(axis=0).mean()), 1e-6)
            self._codes = MixtureDensity("full", ridge=ridge).fit(codes, self._sample_seed)
        else:
            before = self._codes if accumulate else GaussianCodes()
            self._codes = before.update(codes, np.zeros_like(codes))

    def _draw_codes(self, n_samples, rng):
        if self.code_density == "standard":
            return rng.standard_normal((n_samples, self.latent_dim_))
        return self._codes.draw(n_samples, rng)
