"""Variational autoencoder of mixed tables."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import Interval, StrOptions, fit_context, with_callbacks
from synth_estimators._random import torch_generator
from synth_estimators._validation import check_table
from synth_estimators.base import LatentMixin
from synth_estimators.tabular._base import TABULAR_CONSTRAINTS, BaseTabularGenerator, compact_rows
from synth_estimators.tabular._spans import silent_levels, span_shares

__all__ = ["TVAE"]

_LEAST_VARIANCE = 1e-6
_BATCH_SIZES = {"reference": 500, "tuned": 100}


class TVAE(LatentMixin, BaseTabularGenerator):
    r"""Variational autoencoder for mixed tables.

    Rows are encoded by :class:`~synth_estimators.preprocessing.TabularEncoder`; the network
    maximises

    .. math:: w\,E_q[\log p(x|z)] - \mathrm{KL}(q(z|x)\,\|\,N(0, I)),

    with Gaussian scalars of learned standard deviation, Bernoulli bits and categorical levels. All
    of them are drawn when sampling.

    Read more in the :ref:`User Guide <tabular>`.

    Parameters
    ----------
    latent_dim : int, default=128
        Width of the latent space.

    hidden : tuple of int, default=(128, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them.

    reconstruction_weight : float, default=2.0
        Weight :math:`w` of the reconstruction.

    kl_weight : float, default=1.0
        Weight of the divergence.

    preset : {"tuned", "reference"}, default="tuned"
        "reference": codes are drawn from :math:`N(0, I)` and the network starts at random, as
        published. "tuned": codes come from a Gaussian with the mean and covariance of the training
        codes, and the last layer starts at the shares of the training table.

    discrete_columns : array-like or None, default=None
        Columns of levels whatever their type. None: text, categories, booleans, and numbers that
        are zeros and ones.

    max_clusters : int, default=10
        Most modes of a column of numbers.

    weight_threshold : float, default=0.005
        Modes of a smaller share are dropped.

    spike_threshold : float, default=0.02
        A number that at least this share of the rows hold becomes a mode of zero width.

    constraints : list of constraints or callables, default=None
        Rules that sampled rows meet, for example ``[Inequality("start", "end")]``.

    calibrate : bool, default=False
        Choose the rows of ``sample`` from four times as many, so that levels of discrete columns
        and missing cells have their shares in the training table. Left out where rows are
        rejected: with conditions, clauses, and constraints not kept by construction.

    epoch_callback : callable or None, default=None
        Called with an ``EpochInfo`` after every epoch.

    max_epochs : int, default=300
        Largest number of passes over the training rows; 0 leaves the network untrained.

    batch_size : int or None, default=None
        Rows a step; lowered to the number of rows where there are fewer. None is 500 as published
        with ``preset="reference"``, and 100 otherwise: more steps an epoch.

    lr : float, default=0.001
        Learning rate.

    lr_schedule : {"constant", "cosine"}, default="constant"
        "cosine": from epoch to epoch the learning rate falls along half a cosine, which ends at
        zero after ``max_epochs``.

    weight_decay : float, default=1e-5
        Weight decay.

    optimizer : {"adam", "adamw", "sgd", "rmsprop", "adagrad"}, default="adam"
        Optimizer, in its fused form where torch has one.

    clip_norm : float or None, default=None
        Largest norm of the gradient of one step.

    validation_fraction : float or None, default=0.1
        Share of the rows held out for early stopping.

    early_stopping : bool, default=False
        Stop when held-out rows say so and keep the best weights. False trains on all rows.

    monitor : {"valid_loss", "quality", "c2st"} or callable, default="valid_loss"
        What held-out rows say: the loss; the similarity of columns and pairs to sampled rows;
        whether boosted trees tell them from sampled rows; or a function of a real and a sampled
        table that returns a number, larger for better rows.

    eval_every : int, default=5
        Epochs between two evaluations; "valid_loss" is evaluated after every epoch.

    patience : int, default=20
        Evaluations without an improvement after which training stops.

    tol : float, default=0.0
        Smallest gain that counts as an improvement.

    matmul : {"default", "auto"}, default="default"
        "auto" lets large products use oneDNN where that is exact and faster; results then differ
        in the last digits.

    random_state : int, RandomState instance or None, default=None
        Seeds modes, weights, mini-batches, the validation split and draws. No global generator is
        touched. Pass an int for reproducible output. See :term:`Glossary <random_state>`.

    device : str, default="cpu"
        Torch device, for example "cuda".

    callbacks : list or None, default=None
        skorch callbacks; copied before use.

    net_params : dict or None, default=None
        Further parameters of the skorch net, for example ``{"optimizer__betas": (0.8, 0.99)}``.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the previous weights.

    verbose : int, default=0
        From 2 on, skorch prints a line an epoch.

    Attributes
    ----------
    encoder_ : TabularEncoder
        Fitted encoder of the rows.

    constraints_ : list of Constraint
        Fitted copies of ``constraints``.

    n_iter_ : int
        Number of epochs run.

    loss_curve_ : list of float of length n_iter_
        Mean training loss of a row after each epoch.

    validation_loss_curve_ : list of float or None
        The same on the held-out rows; only with ``monitor="valid_loss"``.

    history_ : pandas DataFrame of shape (n_iter_, n_columns)
        One row an epoch.

    best_epoch_ : int
        Epoch whose weights were kept; only with early stopping.

    sampling_report_ : SamplingReport
        Tries and acceptance of the last request that needed rejection.

    net_ : EpochEngine
        The skorch net.

    n_features_in_ : int
        Number of columns.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only when all are strings.

    See Also
    --------
    synth_estimators.autoencoders.VAE : For numeric tables.

    Notes
    -----
    Conditions are met by rejection. The published model decodes the largest level of every
    column, which loses rare ones; here levels are drawn. Scalars of rows whose mode is an exact
    number, or whose cell is missing, cost nothing.

    References
    ----------
    .. [1] :doi:`Xu, Skoularidou, Cuesta-Infante and Veeramachaneni (2019). "Modeling Tabular Data
       using Conditional GAN". <10.48550/arXiv.1907.00503>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.tabular import TVAE
    >>> X = pd.DataFrame({"age": [20, 41, 67, 35] * 20, "sex": ["f", "m", None, "f"] * 20})
    >>> model = TVAE(latent_dim=4, hidden=(16,), max_epochs=3, random_state=0).fit(X)
    >>> rows = model.sample(5, conditions={"sex": "m"})
    >>> rows.shape, rows["sex"].unique().tolist()
    ((5, 2), ['m'])
    """

    _architecture = ("latent_dim", "hidden", "preset", "constraints")
    _collapse_advice = "Raise max_epochs or latent_dim, or try TabularAR."

    _parameter_constraints: ClassVar[dict] = {
        **TABULAR_CONSTRAINTS,
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "hidden": [tuple, list],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "kl_weight": [Interval(Real, 0, None, closed="left")],
        "monitor": [StrOptions({"valid_loss", "quality", "c2st"}), callable],
    }

    def __init__(
        self,
        latent_dim=128,
        *,
        hidden=(128, 128),
        reconstruction_weight=2.0,
        kl_weight=1.0,
        preset="tuned",
        discrete_columns=None,
        max_clusters=10,
        weight_threshold=0.005,
        spike_threshold=0.02,
        constraints=None,
        calibrate=False,
        epoch_callback=None,
        max_epochs=300,
        batch_size=None,
        lr=1e-3,
        lr_schedule="constant",
        weight_decay=1e-5,
        optimizer="adam",
        clip_norm=None,
        validation_fraction=0.1,
        early_stopping=False,
        monitor="valid_loss",
        eval_every=5,
        patience=20,
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
        self.reconstruction_weight = reconstruction_weight
        self.kl_weight = kl_weight
        self.preset = preset
        self.discrete_columns = discrete_columns
        self.max_clusters = max_clusters
        self.weight_threshold = weight_threshold
        self.spike_threshold = spike_threshold
        self.constraints = constraints
        self.calibrate = calibrate
        self.epoch_callback = epoch_callback
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.monitor = monitor
        self.eval_every = eval_every
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
    def fit(self, X: Any, y: Any = None) -> TVAE:
        """Train the model.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame} of shape (n_samples, n_features)
            Table of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency. Make the target a column of ``X``.

        Returns
        -------
        self : TVAE

        Raises
        ------
        ValueError
            For infinite cells, columns that ``X`` lacks, rows that break a constraint, and
            parameters that contradict each other.

        FloatingPointError
            When the training loss stops being finite.
        """
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit_table(X, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def _check_tabular(self):
        super()._check_tabular()
        widths = self.hidden
        if not all(isinstance(w, Integral) and not isinstance(w, bool) and w > 0 for w in widths):
            raise ValueError(f"hidden must hold positive integers, got {widths!r}.")

    def _module_class(self):
        from synth_estimators._networks.tabular import TabularVAEModule

        return TabularVAEModule

    def _train_codes(self, codes, valid, seed, context, *, warm):
        from synth_estimators._engine import Rows, TrainingRows

        by_loss = valid is not None and self.monitor == "valid_loss"
        rows = TrainingRows(
            Rows(compact_rows(codes)), Rows(compact_rows(valid)) if by_loss else None
        )
        batch_size = min(int(self.batch_size or _BATCH_SIZES[self.preset]), len(codes))
        self._n_features_out = int(self.latent_dim)
        with self._torch_rng(seed):
            if warm:
                self._continue_net()
                self.net_.set_params(batch_size=batch_size)
            else:
                self._start_net(codes, batch_size)
            self._training_codes = codes
            try:
                self._run(rows, epochs=self.max_epochs, context=context, valid=valid)
            finally:
                del self._training_codes

    def _start_net(self, codes, batch_size):
        layout = self.encoder_.layout_
        widths = {
            kind: [span.width for span in layout.spans if span.kind == kind]
            for kind in ("binary", "one_hot")
        }
        self._module_params = {
            "n_scalars": layout.n_scalars,
            "bit_widths": tuple(widths["binary"]),
            "level_widths": tuple(widths["one_hot"]),
            "latent_dim": int(self.latent_dim),
            "hidden": tuple(int(width) for width in self.hidden),
            "silent": silent_levels(layout),
            "reconstruction_weight": float(self.reconstruction_weight),
            "kl_weight": float(self.kl_weight),
        }
        self.net_ = self._build_net(self._module_class(), self._module_params, batch_size)
        self.n_iter_ = 0
        self._code_mean = np.zeros(self.latent_dim)
        self._code_factor = np.eye(self.latent_dim)
        if self.preset == "tuned":
            self.net_.module_.start_at_shares(
                codes.scalars.mean(axis=0, dtype=np.float64), span_shares(layout, codes)
            )

    def _after_training(self):
        self.net_.module_.clamp_sd()
        if self.preset == "tuned":
            self._fit_prior(self._training_codes)

    def _fit_prior(self, codes):
        """Mean and covariance of the codes of the training rows."""

        def moments(module, batch):
            mean, logvar = module.encode(module.table.expand(batch))
            return mean, logvar.exp()

        rows = compact_rows(codes)
        mean, variance = self._apply(rows, moments, like=rows)
        self._code_mean = mean.mean(axis=0, dtype=np.float64)
        centred = mean - self._code_mean
        covariance = centred.T @ centred / len(centred)
        covariance += np.diag(variance.mean(axis=0, dtype=np.float64) + _LEAST_VARIANCE)
        self._code_factor = np.linalg.cholesky(covariance)

    def _draw(self, n_samples, rng, conditions=None):
        import torch

        net = self.net_
        module = net.module_.eval()
        generator = torch_generator(rng, net.device)
        mean = torch.as_tensor(self._code_mean, dtype=torch.float32, device=net.device)
        factor = torch.as_tensor(self._code_factor.T, dtype=torch.float32, device=net.device)

        def draw(noise, rows):
            return module.draw(torch.addmm(mean, noise, factor), generator=generator)

        return self._draw_codes(n_samples, draw, body=module.decoder, generator=generator)

    # Latent space

    def transform(self, X: Any) -> np.ndarray:
        """Map rows to latent codes (posterior means).

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim)
            Codes; deterministic and row by row. ``float32`` input gives ``float32`` codes.
        """
        check_is_fitted(self)
        frame = check_table(self, X, reset=False)
        single = all(dtype == np.float32 for dtype in frame.dtypes)
        like = np.empty(0, dtype=np.float32 if single else np.float64)
        return self._encode_frame(frame, like)

    def _encode_frame(self, frame, like):
        rows = self.encoder_.transform(self._rules.to_model(frame))
        return self._apply(rows, _posterior_mean, like=like)[0]

    def inverse_transform(self, Z: Any) -> Any:
        """Decode latent codes: the means of scalars and the likeliest levels.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        X : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container and dtypes of the table given to ``fit``.
        """
        codes = self._check_codes(Z)
        outputs = self._apply(codes, _decoded_outputs, like=codes)[0]
        frame = self._decoded(self.encoder_._codes_from_outputs(outputs))
        return self._schema.restore_frame(frame, names=getattr(self, "feature_names_in_", None))

    def reconstruct(self, X: Any) -> Any:
        """Encode and decode rows; row ``i`` of the result belongs to row ``i`` of ``X``.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        X_rec : ndarray or data frame of shape (n_samples, n_features)
            Decoded rows, in the container given to ``fit``.
        """
        check_is_fitted(self)
        frame = check_table(self, X, reset=False)
        codes = self._encode_frame(frame, np.empty(0))
        outputs = self._apply(codes, _decoded_outputs, like=codes)[0]
        return self._wrap(self._decoded(self.encoder_._codes_from_outputs(outputs)))


def _posterior_mean(module, batch):
    return (module.encode(batch)[0],)


def _decoded_outputs(module, batch):
    return (module.table.activate(module.decode(batch)),)
