"""Conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from synth_estimators._calibrated import matches_prior, one_hot
from synth_estimators._compat import fit_context, with_callbacks
from synth_estimators._validation import check_labels, encode_labels
from synth_estimators.autoencoders._vae import BaseVAE
from synth_estimators.base import ClassConditionalMixin
from synth_estimators.preprocessing._metadata import MetadataEncoder

__all__ = ["CVAE"]


class CVAE(ClassConditionalMixin, BaseVAE):
    r"""Conditional variational autoencoder for numeric tables with labels or conditions.

    The evidence lower bound of :class:`VAE` with encoder and decoder that also see the class
    (one indicator a class, any number of classes) and the condition columns,

    .. math:: E_q[\log p(x|z, c)] - \beta\,\mathrm{KL}(q(z|x, c)\,\|\,p(z)),

    inside a frame whose location is the linear effect of the same terms.

    Read more in the :ref:`User Guide <cvae>`.

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
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; only after a fit with ``y``.

    class_prior_ : ndarray of shape (n_classes,)
        Training shares of the classes; only after a fit with ``y``.

    condition_names_ : list of str
        Names of the condition columns; empty without conditions.

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
    VAE : The same without labels.
    synth_estimators.compose.ClassConditionalGenerator : One model a class.

    Notes
    -----
    The published network (:func:`from_spec`) feeds the label as one number; here it is one
    indicator a class. ``hidden=(512, 256, 128, 64)`` is its wide form.

    References
    ----------
    .. [1] Sohn, Lee and Yan (2015). "Learning Structured Output Representation using Deep
       Conditional Generative Models". Advances in Neural Information Processing Systems 28.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import CVAE
    >>> X, y = load_iris(return_X_y=True)
    >>> cvae = CVAE(latent_dim=2, max_epochs=3, random_state=0).fit(X, y)
    >>> X_gen, y_gen = cvae.sample_labeled(class_counts={0: 2, 2: 4}, n_samples=None)
    >>> X_gen.shape, sorted(y_gen.tolist())
    ((6, 4), [0, 0, 2, 2, 2, 2])
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
    def fit(self, X: Any, y: Any = None, *, conditions: Any = None) -> CVAE:
        """Train the model.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training rows, at least 3, finite.

        y : array-like of shape (n_samples,), default=None
            Class labels, any number of classes. May be None when ``conditions`` are given.


        conditions : data frame or dict of shape (n_samples, n_conditions), default=None
            Numeric and categorical columns that rows depend on, one row of conditions a row.

        Returns
        -------
        self : CVAE

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
        self._fit(X, y, conditions, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        classes: Any = None,
        conditions: Any = None,
        n_epochs: int = 1,
    ) -> CVAE:
        """Train on more rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows; the same columns in every call.

        y : array-like of shape (n_samples,), default=None
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            All labels that will come; needed in the first call if its rows lack some.

        conditions : data frame or dict of shape (n_samples, n_conditions), default=None
            Condition columns.

        n_epochs : int, default=1
            Passes over these rows. No rows are held out.

        Returns
        -------
        self : CVAE
        """
        return self._partial_fit(X, y, conditions, n_epochs, classes)

    def _fit_terms(self, y, conditions, n_samples, *, warm, classes=None):
        if y is None and conditions is None:
            raise ValueError(
                "CVAE requires y to be passed, but the target y is None; pass labels y, "
                "conditions, or both (VAE needs neither)."
            )
        if warm:
            return self._known_terms(y, conditions, n_samples)
        for name in ("classes_", "class_prior_"):
            self.__dict__.pop(name, None)
        blocks, label_idx = [], None
        if y is not None:
            label_idx = self._fit_labels(y, n_samples)
            if classes is not None:
                labels = self.classes_[label_idx]
                self.classes_ = np.unique(np.asarray(classes))
                label_idx = encode_labels(labels, self.classes_, n_samples=None)
                counts = np.bincount(label_idx, minlength=len(self.classes_))
                self.class_prior_ = counts / counts.sum()
            blocks.append(one_hot(label_idx, len(self.classes_)))
        self._conditions, self.condition_names_ = None, []
        if conditions is not None:
            self._conditions = MetadataEncoder().fit(conditions, n_samples)
            self.condition_names_ = list(self._conditions.columns_)
            blocks.append(self._conditions.transform(conditions, n_samples))
        design = np.hstack(blocks)
        self._mean_design = design.mean(axis=0, keepdims=True)
        return label_idx, design

    def _known_terms(self, y, conditions, n_samples):
        self._refuse_unknown_terms(y, conditions)
        blocks, label_idx = [], None
        if hasattr(self, "classes_"):
            if y is None:
                raise ValueError("y is None, but the model was fitted with labels; pass y.")
            labels = check_labels(y, n_samples=n_samples, owner=type(self).__name__)
            label_idx = encode_labels(labels, self.classes_, n_samples=n_samples)
            blocks.append(one_hot(label_idx, len(self.classes_)))
        if self._conditions is not None:
            if conditions is None:
                raise ValueError(
                    "CVAE was fitted with conditions; pass conditions= with columns "
                    f"{self.condition_names_}."
                )
            blocks.append(self._conditions.transform(conditions, n_samples))
        return label_idx, np.hstack(blocks)

    def _refuse_unknown_terms(self, y, conditions):
        if y is not None and not hasattr(self, "classes_"):
            raise ValueError("y was given, but this CVAE was fitted without labels; fit it with y.")
        if conditions is not None and self._conditions is None:
            raise ValueError(
                "conditions were given, but this CVAE was fitted without; fit it with conditions."
            )

    def sample(
        self,
        n_samples: int = 1,
        *,
        y: Any = None,
        conditions: Any = None,
        stratified: bool = False,
        random_state: Any = None,
    ) -> Any:
        """Draw new rows, of given classes and conditions if asked.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        y : label or array-like of shape (n_samples,), default=None
            One label for all rows, or one label a row. None draws labels in the training
            proportions.

        conditions : dict or data frame, default=None
            Column to value, the same for all rows, or one row of conditions a wanted row. Columns
            left out are drawn from the training rows.

        stratified : bool, default=False
            Draw the table as a whole so that its margins (and class shares) are those of the
            model without sampling noise; rows are then not independent. Needs ``calibration``.

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container and dtypes of the table given to ``fit``.

        Raises
        ------
        ValueError
            For an unknown label, condition column or value, or a wrong number of them.
        """
        return self._sample_rows(
            n_samples, random_state, y=y, conditions=conditions, stratified=stratified
        )

    def sample_iter(
        self,
        n_samples: int,
        *,
        y: Any = None,
        conditions: Any = None,
        chunk_size: int | None = None,
        random_state: Any = None,
    ) -> Iterator[Any]:
        """Draw rows in chunks, for results that do not fit in memory.

        Parameters
        ----------
        n_samples : int
            Number of rows in total.

        y : label or array-like of shape (n_samples,), default=None
            As in ``sample``.

        conditions : dict or data frame, default=None
            As in ``sample``.

        chunk_size : int or None, default=None
            Rows a chunk; None keeps a chunk near two million numbers.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. One stream runs through all chunks.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Independent rows, in the container ``sample`` would return.
        """
        return self._sample_chunks(n_samples, chunk_size, random_state, y=y, conditions=conditions)

    def _sample(self, n_samples, rng, *, y=None, conditions=None, stratified=False):
        self._refuse_unknown_terms(y, conditions)
        blocks, matches = [], conditions is None
        if hasattr(self, "classes_"):
            label_idx = self._wanted_labels(y, n_samples, rng, stratified=stratified)
            matches &= matches_prior(self, label_idx)
            blocks.append(one_hot(label_idx, len(self.classes_)))
        if self._conditions is not None:
            if conditions is None:
                blocks.append(self._conditions.draw(n_samples, rng))
            else:
                blocks.append(self._conditions.transform(conditions, n_samples, rng))
        return self._sample_design(n_samples, rng, np.hstack(blocks), stratified, matches)

    def transform(self, X: Any, *, y: Any = None, conditions: Any = None) -> Any:
        """Map rows to latent codes (posterior means).

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        y : array-like of shape (n_samples,), default=None
            Labels. None weights the codes under every class by the class probabilities of the
            row.

        conditions : data frame or dict, default=None
            Conditions; needed if the model was fitted with them.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, latent_dim)
            Codes.
        """
        data = self._checked(X)
        if y is None and hasattr(self, "classes_"):
            weights, codes = self._class_weights(data, conditions), 0.0
            for k, label in enumerate(self.classes_):
                design = self._known_terms(np.repeat([label], len(data)), conditions, len(data))[1]
                codes = codes + weights[:, [k]] * self._encode(data, design)
            return codes.astype(data.dtype, copy=False)
        return self._encode(data, self._known_terms(y, conditions, len(data))[1])

    def fit_transform(self, X: Any, y: Any = None, *, conditions: Any = None) -> Any:
        """Fit, then map the same rows to latent codes as ``transform(X)`` would.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training rows.

        y : array-like of shape (n_samples,), default=None
            Class labels for ``fit``.

        conditions : data frame or dict, default=None
            Conditions.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, latent_dim)
            Codes.
        """
        return self.fit(X, y, conditions=conditions).transform(X, conditions=conditions)

    def inverse_transform(self, Z: Any, *, y: Any = None, conditions: Any = None) -> np.ndarray:
        """Map latent codes to decoded means in data units.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
            Codes.

        y : array-like of shape (n_samples,), default=None
            Labels. Without labels and conditions the training average of both is decoded.

        conditions : data frame or dict, default=None
            Conditions.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Decoded rows.
        """
        codes = self._check_codes(Z)
        if y is None and conditions is None:
            design = np.repeat(self._mean_design, len(codes), axis=0)
        else:
            design = self._known_terms(y, conditions, len(codes))[1]
        return self._decode(codes, design)

    def reconstruct(self, X: Any, *, y: Any = None, conditions: Any = None) -> Any:
        """Encode and decode rows; row ``i`` of the result belongs to row ``i`` of ``X``.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        y : array-like of shape (n_samples,), default=None
            Labels. None takes the most probable class of each row.

        conditions : data frame or dict, default=None
            Conditions; needed if the model was fitted with them.

        Returns
        -------
        X_rec : ndarray or data frame of shape (n_samples, n_features)
            Decoded means, in the container given to ``fit``.
        """
        data = self._checked(X)
        if y is None and hasattr(self, "classes_"):
            y = self.classes_[self._class_weights(data, conditions).argmax(axis=1)]
        design = self._known_terms(y, conditions, len(data))[1]
        return self._wrap(self._decode(self._encode(data, design), design))

    def _class_bounds(self, data, conditions):
        """Bound of log p(x | class) for every row and class."""
        columns = []
        for label in self.classes_:
            design = self._known_terms(np.repeat([label], len(data)), conditions, len(data))[1]
            columns.append(self._log_bound(data, design))
        return np.column_stack(columns)

    def _class_weights(self, data, conditions):
        with np.errstate(divide="ignore"):
            prior = np.log(self.class_prior_)
        weights = softmax(self._class_bounds(data, conditions) + prior, axis=1)
        return weights.astype(data.dtype)

    def score_samples(self, X: Any, *, y: Any = None, conditions: Any = None) -> np.ndarray:
        """Importance-weighted lower bound of the log-likelihood of each row.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        y : array-like of shape (n_samples,), default=None
            Labels: the bound of log p(x | y). None: of log p(x), averaged over the classes.

        conditions : data frame or dict, default=None
            Conditions; needed if the model was fitted with them.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            In nats, in data units, with 50 fixed draws of the code.
        """
        data = self._checked(X)
        if y is None and hasattr(self, "classes_"):
            with np.errstate(divide="ignore"):
                prior = np.log(self.class_prior_)
            return logsumexp(self._class_bounds(data, conditions) + prior, axis=1)
        return self._log_bound(data, self._known_terms(y, conditions, len(data))[1])

    def score(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, conditions: Any = None
    ) -> float:
        """Mean importance-weighted bound of fresh rows; higher is better.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows that were not used in ``fit``.

        y : array-like of shape (n_samples,), default=None
            Their labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        conditions : data frame or dict, default=None
            Conditions; needed if the model was fitted with them.

        Returns
        -------
        score : float
            Mean bound of a row in nats.
        """
        values = self.score_samples(X, y=y, conditions=conditions)
        return float(np.average(values, weights=sample_weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
