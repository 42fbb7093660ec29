"""Conditional GAN of mixed tables whose conditions may name columns of any type."""

from __future__ import annotations

import warnings
from enum import StrEnum
from numbers import Real
from typing import Any, ClassVar

from synth_estimators._compat import Interval, StrOptions, fit_context, with_callbacks
from synth_estimators.preprocessing._tabular_encoder import TabularEncoder
from synth_estimators.tabular._gan import GAN_CONSTRAINTS, BaseTabularGAN, known_rows
from synth_estimators.tabular._modelled_columns import ModelledColumnsMixin
from synth_estimators.tabular._table_metadata import TableMetadataMixin

__all__ = ["ACTGAN", "ConditionalVectorType"]

_HIGH_CHANCE = 0.5


class ConditionalVectorType(StrEnum):
    """Kinds of conditions that ``ACTGAN`` learns; members equal their strings."""

    SINGLE_DISCRETE = "single_discrete"
    ANYWAY = "anyway"


class ACTGAN(TableMetadataMixin, ModelledColumnsMixin, BaseTabularGAN):
    r"""Conditional GAN for mixed tables, with conditions on any columns.

    Networks and losses are those of :class:`CTGAN`. With ``conditional_vector_type="anyway"`` the
    condition is a row of which every column is known with some probability; the loss that ties a
    row to it is the squared error of numbers, the cross entropy of levels and modes, and the mean
    cross entropy of the bits of a code, summed over the known columns.

    Read more in the :ref:`User Guide <tabular>`.

    Parameters
    ----------
    latent_dim : int, default=128
        Width of the noise.

    generator_hidden : tuple of int, default=(256, 256)
        Widths of the residual blocks of the generator.

    critic_hidden : tuple of int, default=(256, 256)
        Widths of the layers of the critic.

    pac : int or None, default=None
        Rows that the critic judges together. None: 1 ("tuned") or 10 ("reference").

    n_critic : int or None, default=None
        Critic steps per generator step. None: 2 ("tuned") or 1 ("reference").

    log_frequency : bool, default=True
        Draw the levels that training conditions on by the logarithm of their counts rather than
        by the counts.

    gradient_penalty : float, default=10.0
        Weight of the gradient penalty of the critic.

    reconstruction_weight : float, default=1.0
        Weight of the loss that ties rows to their conditions.

    auxiliary : sequence of {"information", "target"}, default=()
        Further losses of the generator. "information": the squared distance between the means and
        covariances of encoded real and generated rows. "target": the loss on generated rows of a
        network that learns from real ones to predict the column ``target``.

    auxiliary_weight : float, default=1.0
        Weight of these losses.

    target : label or None, default=None
        Column that "target" predicts.

    tau : float, default=0.2
        Temperature of the Gumbel-softmax.

    leaky_slope : float, default=0.2
        Slope of the critic's activation below zero.

    critic_dropout : float or None, default=None
        Share of the critic's units left out in a step. None: 0.2 ("tuned") or 0.5 ("reference").

    average_decay : float or None, default=None
        Decay of a running average of the generator's weights, from which rows are drawn; 0 draws
        from the last weights. None: 0.999 ("tuned") or 0 ("reference").

    preset : {"tuned", "reference"}, default="tuned"
        What parameters that are None stand for. "tuned" also starts the last layer of the
        generator at the shares of the training table; "reference" starts it at random, as
        published.

    conditional_vector_type : {"single_discrete", "anyway"}, default="single_discrete"
        Conditions that the networks learn: one level of one discrete column, or the cells of any
        set of columns of any type.

    conditional_select_mean_columns : float or None, default=None
        Mean number of columns that a condition names in training; "anyway" needs either this or
        the next.

    conditional_select_column_prob : float or None, default=None
        Chance that a condition names a column in training.

    unconditional_share : float, default=0.1
        Share of the training rows whose condition names no column; only of "anyway".

    condition_mask : bool, default=False
        Whether conditions of "anyway" also say which columns they name, so that a zero differs
        from nothing.

    force_conditioning : bool, default=False
        Write the requested values into the rows in place of rejection.

    field_names : list or None, default=None
        Columns to model; None takes all. Sampled tables have these columns alone.

    field_types : dict or None, default=None
        Column -> ``"numerical"``, ``"categorical"``, ``"boolean"`` or ``"datetime"``, or a dict
        ``{"type": ..., "format": ...}``.

    field_transformers : dict or None, default=None
        Column -> name or object, as in ``TabularEncoder``.

    auto_transform_datetimes : bool, default=False
        Take columns of text for dates if one format fits all their cells.

    anonymize_fields : None, default=None
        Not available; only None is accepted.

    primary_key : label or None, default=None
        Column of identifiers. It is not modelled: rows get 0, 1, …, or text of the same pattern.

    table_metadata : dict or None, default=None
        ``field_names``, ``field_types``, ``primary_key``, ``anonymize_fields`` and ``constraints``
        in one place, instead of the parameters of these names.

    binary_encoder_cutoff : int, default=500
        Columns of at least so many levels are coded by the bits of the level's number; they are
        no conditions of "single_discrete".

    binary_encoder_nan_handler : {"mode", "none"} or None, default=None
        What becomes of bits that are the number of no level, as in ``TabularEncoder``.

    max_fit_rows : int or None, default=250_000
        Rows that the mixtures of the columns are fitted on; 0 or None takes all.

    learn_rounding_scheme : bool, default=True
        Round numbers to the step of the training values.

    enforce_min_max_values : bool, default=True
        Keep numbers inside the training range.

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
        Largest number of epochs; 0 leaves the networks untrained. An epoch takes as many
        generator steps as the table has full batches, and at least one.

    batch_size : int or None, default=None
        Rows a step, an even multiple of ``pac``; lowered where the table has fewer rows. None is
        500 as published with ``preset="reference"``, and 100 otherwise: more steps an epoch.

    lr : float or None, default=None
        Learning rate of the generator. None: 5e-4 ("tuned") or 2e-4 ("reference").

    critic_lr : float or None, default=None
        Learning rate of the critic. None: 5e-4 ("tuned") or ``lr`` ("reference").

    lr_schedule : {"constant", "cosine"}, default="constant"
        "cosine": from epoch to epoch learning rates fall along half a cosine, which ends at zero
        after ``max_epochs``.

    weight_decay : float, default=1e-6
        Weight decay of the generator.

    critic_weight_decay : float, default=1e-6
        Weight decay of the critic.

    betas : tuple of two floats, default=(0.5, 0.9)
        Decays of the moments in Adam, of both networks.

    optimizer : {"adam", "adamw", "sgd", "rmsprop", "adagrad"}, default="adam"
        Optimizer, in its fused form where torch has one.

    clip_norm : float or None, default=None
        Largest norm of the gradient of one step.

    validation_fraction : float or None, default=0.1
        Share of the rows held out for early stopping.

    early_stopping : bool, default=False
        Stop when held-out rows say so and keep the best weights. False trains on all rows.

    monitor : {"quality", "c2st"} or callable, default="quality"
        What held-out rows say: the similarity of columns and pairs to sampled rows; whether
        boosted trees tell them from sampled rows; or a function of a real and a sampled table that
        returns a number, larger for better rows.

    eval_every : int, default=5
        Epochs between two evaluations.

    patience : int, default=20
        Evaluations without an improvement after which training stops.

    tol : float, default=1e-3
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
        Further parameters of the skorch net, for example ``{"optimizer__eps": 1e-6}``.

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
        Mean loss of the generator in each epoch.

    history_ : pandas DataFrame of shape (n_iter_, n_columns)
        One row an epoch: ``train_loss`` of the generator, ``train_critic_loss`` without the
        penalty, ``train_reconstruction_loss`` of the conditions; where asked for, also
        ``train_information_loss``, ``train_target_loss``, and the learning rate ``lr``.

    best_epoch_ : int
        Epoch whose weights were kept; only with early stopping.

    sampling_report_ : SamplingReport
        Tries and acceptance of the last request that needed rejection.

    net_ : TabularGANEngine
        The skorch net; ``net_.module_`` is the generator, ``net_.critic_`` the critic.

    n_features_in_ : int
        Number of columns.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only when all are strings.

    See Also
    --------
    CTGAN : The same with conditions on levels alone, and fewer parameters.
    TabularAR : Follows conditions exactly where they name its first columns.

    Notes
    -----
    "single_discrete" follows a condition on one-hot levels, or on missing cells, and meets all
    others by rejection. "anyway" follows all conditions, also several at once, more or less
    closely, and lets rejection see to the rest. The published program never trains on rows
    without a condition when there are many columns, though these are what plain sampling asks for;
    here ``unconditional_share`` of the rows are such.

    Above a chance of one half that a column is named, rows tend to follow the condition and to
    ignore the noise; ``fit`` then warns.

    References
    ----------
    .. [1] :doi:`Xu, Skoularidou, Cuesta-Infante and Veeramachaneni (2019). "Modeling Tabular Data
       using Conditional GAN". <10.48550/arXiv.1907.00503>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.tabular import ACTGAN
    >>> X = pd.DataFrame({"age": [20, 41, 67, 35] * 20, "sex": ["f", "m", None, "f"] * 20})
    >>> model = ACTGAN(latent_dim=4, generator_hidden=(16,), critic_hidden=(16,), max_epochs=3,
    ...                conditional_vector_type="anyway", conditional_select_mean_columns=1,
    ...                batch_size=40, random_state=0).fit(X)
    >>> rows = model.sample(5, conditions={"sex": "m", "age": 41})
    >>> rows.shape, rows["age"].unique().tolist()
    ((5, 2), [41])
    """

    _architecture = (
        *BaseTabularGAN._architecture,
        "conditional_vector_type",
        "condition_mask",
        "field_names",
        "primary_key",
        "table_metadata",
    )

    _parameter_constraints: ClassVar[dict] = {
        **GAN_CONSTRAINTS,
        **{
            name: TabularEncoder._parameter_constraints[name]
            for name in (
                "field_types",
                "field_transformers",
                "auto_transform_datetimes",
                "binary_encoder_cutoff",
                "binary_encoder_nan_handler",
                "max_fit_rows",
                "learn_rounding_scheme",
                "enforce_min_max_values",
            )
        },
        "conditional_vector_type": [StrOptions({"single_discrete", "anyway"})],
        "conditional_select_mean_columns": [Interval(Real, 0, None, closed="left"), None],
        "conditional_select_column_prob": [Interval(Real, 0, 1, closed="both"), None],
        "unconditional_share": [Interval(Real, 0, 1, closed="both")],
        "condition_mask": ["boolean"],
        "force_conditioning": ["boolean"],
        "field_names": [list, tuple, None],
        "anonymize_fields": "no_validation",
        "primary_key": "no_validation",
        "table_metadata": [dict, None],
    }

    def __init__(
        self,
        latent_dim=128,
        *,
        generator_hidden=(256, 256),
        critic_hidden=(256, 256),
        pac=None,
        n_critic=None,
        log_frequency=True,
        gradient_penalty=10.0,
        reconstruction_weight=1.0,
        auxiliary=(),
        auxiliary_weight=1.0,
        target=None,
        tau=0.2,
        leaky_slope=0.2,
        critic_dropout=None,
        average_decay=None,
        preset="tuned",
        conditional_vector_type="single_discrete",
        conditional_select_mean_columns=None,
        conditional_select_column_prob=None,
        unconditional_share=0.1,
        condition_mask=False,
        force_conditioning=False,
        field_names=None,
        field_types=None,
        field_transformers=None,
        auto_transform_datetimes=False,
        anonymize_fields=None,
        primary_key=None,
        table_metadata=None,
        binary_encoder_cutoff=500,
        binary_encoder_nan_handler=None,
        max_fit_rows=250_000,
        learn_rounding_scheme=True,
        enforce_min_max_values=True,
        discrete_columns=None,
        max_clusters=10,
        weight_threshold=0.005,
        spike_threshold=0.02,
        constraints=None,
        calibrate=False,
        epoch_callback=None,
        max_epochs=300,
        batch_size=None,
        lr=None,
        critic_lr=None,
        lr_schedule="constant",
        weight_decay=1e-6,
        critic_weight_decay=1e-6,
        betas=(0.5, 0.9),
        optimizer="adam",
        clip_norm=None,
        validation_fraction=0.1,
        early_stopping=False,
        monitor="quality",
        eval_every=5,
        patience=20,
        tol=1e-3,
        matmul="default",
        random_state=None,
        device="cpu",
        callbacks=None,
        net_params=None,
        warm_start=False,
        verbose=0,
    ):
        self.latent_dim = latent_dim
        self.generator_hidden = generator_hidden
        self.critic_hidden = critic_hidden
        self.pac = pac
        self.n_critic = n_critic
        self.log_frequency = log_frequency
        self.gradient_penalty = gradient_penalty
        self.reconstruction_weight = reconstruction_weight
        self.auxiliary = auxiliary
        self.auxiliary_weight = auxiliary_weight
        self.target = target
        self.tau = tau
        self.leaky_slope = leaky_slope
        self.critic_dropout = critic_dropout
        self.average_decay = average_decay
        self.preset = preset
        self.conditional_vector_type = conditional_vector_type
        self.conditional_select_mean_columns = conditional_select_mean_columns
        self.conditional_select_column_prob = conditional_select_column_prob
        self.unconditional_share = unconditional_share
        self.condition_mask = condition_mask
        self.force_conditioning = force_conditioning
        self.field_names = field_names
        self.field_types = field_types
        self.field_transformers = field_transformers
        self.auto_transform_datetimes = auto_transform_datetimes
        self.anonymize_fields = anonymize_fields
        self.primary_key = primary_key
        self.table_metadata = table_metadata
        self.binary_encoder_cutoff = binary_encoder_cutoff
        self.binary_encoder_nan_handler = binary_encoder_nan_handler
        self.max_fit_rows = max_fit_rows
        self.learn_rounding_scheme = learn_rounding_scheme
        self.enforce_min_max_values = enforce_min_max_values
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
        self.critic_lr = critic_lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.critic_weight_decay = critic_weight_decay
        self.betas = betas
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
    def fit(self, X: Any, y: Any = None) -> ACTGAN:
        """Train the model.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame} of shape (n_samples, n_features)
            Table of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency. Make the target a column of ``X``.

        Returns
        -------
        self : ACTGAN

        Raises
        ------
        ValueError
            For infinite cells, columns that ``X`` lacks, rows that break a constraint, and
            parameters that contradict each other.

        FloatingPointError
            When the losses stop being finite; the last finite weights are kept.
        """
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit_table(X, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    # Parameters

    def _check_tabular(self):
        super()._check_tabular()
        self._check_metadata()
        if self._setting("anonymize_fields") is not None:
            raise NotImplementedError(
                "anonymize_fields accepts None only; replace personal columns before fit, or leave "
                "them out by field_names."
            )
        mean = self.conditional_select_mean_columns
        chance = self.conditional_select_column_prob
        if self.conditional_vector_type == "anyway" and (mean is None) == (chance is None):
            raise ValueError(
                "conditional_vector_type='anyway' needs exactly one of "
                "conditional_select_mean_columns and conditional_select_column_prob, got "
                f"{mean!r} and {chance!r}."
            )

    def _chance(self, n_columns):
        """Chance that a condition names a column in training."""
        chance = self.conditional_select_column_prob
        if chance is None:
            chance = min(1.0, self.conditional_select_mean_columns / n_columns)
        if chance > _HIGH_CHANCE:
            warnings.warn(
                f"A condition names a column with probability {chance:.2g}; above {_HIGH_CHANCE} "
                "the generator may ignore the noise. Lower conditional_select_mean_columns or "
                "conditional_select_column_prob.",
                stacklevel=2,
            )
        return float(chance)

    # Conditions

    def _training_rows(self, codes):
        if self.conditional_vector_type != "anyway":
            return super()._training_rows(codes)
        from synth_estimators.tabular._condition_vectors import MaskedRows

        n_columns = len(self._model_labels)
        chance = self._chance(n_columns)
        return MaskedRows(codes, n_columns, chance, free_share=self.unconditional_share)

    def _follows(self, columns):
        return self.conditional_vector_type == "anyway" or super()._follows(columns)

    def _condition(self, n_samples, rng, conditions):
        if self.conditional_vector_type != "anyway":
            return super()._condition(n_samples, rng, conditions)
        import torch

        net = self.net_
        if conditions is None:
            return torch.zeros((n_samples, net.module_.n_conditions), device=net.device)
        parts = known_rows(conditions.codes, conditions.columns, len(self._model_labels))
        wanted = tuple(torch.as_tensor(part, device=net.device) for part in parts)
        return net.module_.condition(wanted)
