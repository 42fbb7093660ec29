"""Autoregressive density of mixed tables, trained by likelihood."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from synth_estimators._compat import Interval, StrOptions, fit_context, with_callbacks
from synth_estimators._neural import NEURAL_CONSTRAINTS, NeuralGenerator
from synth_estimators.tabular._ar_rows import ARRowsMixin
from synth_estimators.tabular._ar_training import ARTrainingMixin

__all__ = ["TabularAR"]

_POSITIVE = Interval(Integral, 1, None, closed="left")


class TabularAR(ARTrainingMixin, ARRowsMixin, NeuralGenerator):
    r"""Autoregressive network over the columns of a mixed table.

    The density of a row is a product over its columns,

    .. math:: p(x) = \prod_j p(x_j \mid x_1, \dots, x_{j-1}),

    with a small network for every factor, all trained at once by likelihood. Levels, values that
    stand out and missing cells are classes; the other numbers are normal scores with a mixture of
    Gaussians. Every column keeps the weights of the epoch that was best for it on held-out rows.

    Read more in the :ref:`User Guide <tabular>`.

    Parameters
    ----------
    embedding_dim : int, default=8
        Width of the embedding of a cell.

    hidden : tuple of int or "auto", default="auto"
        Widths of a column's layers, all equal; those after the first are residual. "auto" is
        (64, 64, 64), and (32, 32, 32) for small tables.

    n_components : int, default=10
        Gaussians in the mixture of a column of numbers.

    discrete_columns : list of column names, boolean mask or None, default=None
        Columns whose cells are levels. None: text, categories, booleans and columns of at most two
        values. Text, categories and booleans are levels whatever is given here.

    target : column name or None, default=None
        Column that has a place of its own in the order.

    target_position : {"auto", "first", "last"}, default="auto"
        Where the target is drawn. "auto": last, and first if it is discrete and the table is small
        (see ``small_table``) or most of its other columns are numbers of more than ``max_levels``
        values.

    column_order : {"given", "cardinality"} or list of column names, default="given"
        "given" is the order of the table, "cardinality" draws columns with few distinct values
        first, a list names the columns that come first.

    condition_columns : list of column names or None, default=None
        Columns drawn before all others, so that conditions on them are exact.

    max_levels : int, default=100
        Numbers with at most this many distinct values are drawn from these values. Below 5,000 rows
        the limit is lower, a fiftieth of the rows but at least ten.

    max_value_embeddings : int, default=400
        Numbers with at most this many distinct values, and a tenth of the rows, have an embedding
        for every value.

    n_bins : int, default=256
        Intervals of the likelihood of a column of numbers.

    n_input_bins : int, default=24
        Embeddings of a column of numbers with more values.

    spike_share : float, default=0.01
        Share of the cells that a value must hold to be drawn as a class of its own.

    spike_prominence : float, default=4.0
        The same as a multiple of the median share of the neighbouring values.

    small_table : {"auto"} or bool, default="auto"
        Whether to train five networks, each without a fifth of the rows that stops it, and mix
        their average with the forest of ``SequentialCART``, column by column and by the likelihood
        of the rows left out. "auto" does so below 5,000 rows if ``early_stopping`` is on.

    ema : float, default=0.99
        Decay of the running average of the weights, which is what is used.

    constraints : list of constraints or callables, default=None
        Rules that sampled rows meet, for example ``[Inequality("start", "end")]``. Rows that break
        one are drawn again; densities are those before.

    temperature : float, default=1.0
        Divides the logits of classes in ``sample``. Below 1 rare classes become rarer; leave it at
        1 for rows that follow the table.

    max_seconds : float or None, default=None
        Training stops after so many seconds and keeps the best weights.

    max_epochs : int, default=150
        Largest number of passes over the training rows.

    batch_size : int, float or "auto", default="auto"
        Rows a step, or a fraction of the training rows. "auto" is 256, 128 below 10,000 rows and 64
        for small tables.

    lr : float, default=0.004
        Learning rate, reached linearly in 50 steps.

    weight_decay : float or "auto", default="auto"
        Weight decay of all weights but biases. "auto" is 0.1, and 0.4 below 10,000 rows.

    validation_fraction : float or None, default=0.1
        Share of the rows held out to stop every column. Needed by early stopping. For small tables
        the folds take its place.

    early_stopping : bool, default=True
        Stop after ``patience`` epochs without a better validation loss and keep, column by column,
        the best weights. It is also a privacy measure: without it the network learns single rows.

    patience : int, default=6
        Epochs to wait for an improvement.

    tol : float, default=0.005
        Nats a row by which the sum of the columns' best losses must fall to count as one.

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
        Whether ``fit`` goes on from the previous weights, with the columns as they were read then.

    verbose : int, default=0
        From 2 on, skorch prints a line an epoch.

    Attributes
    ----------
    column_order_ : list
        Names of the columns that are drawn, in this order.

    determined_by_ : dict
        Column -> the column it follows from. Such columns are not drawn but looked up; those that
        have fewer values than the other are also seen by the columns after it.

    constraints_ : list of constraints
        Fitted rules.

    sampling_report_ : SamplingReport
        Rows drawn and accepted in the last call with conditions, clauses or constraints.

    column_values_ : dict
        Column -> values that ``predict_proba`` gives probabilities of, in their order.

    best_epochs_ : dict
        Column -> epoch whose weights were kept, averaged over the networks of a small table; 0 is
        the margin of the training rows.

    forest_shares_ : dict
        Column -> share of the forest in its mixture with the networks; only for small tables.

    n_iter_ : int
        Number of epochs run.

    loss_curve_ : list of float of length n_iter_
        Mean training loss of a row in each epoch (negative log-likelihood, nats).

    validation_loss_curve_ : list of float or None
        The same for the averaged weights on the validation rows.

    history_ : pandas DataFrame of shape (n_iter_, n_columns)
        One row an epoch.

    net_ : AREngine
        The skorch net.

    n_features_in_ : int
        Number of columns.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only when all are strings.

    See Also
    --------
    synth_estimators.baselines.SequentialCART : Trees in the place of networks, in seconds.

    Notes
    -----
    Rows under conditions hold the given values in any case. Given values of the first columns of
    ``column_order_`` (see ``condition_columns``), the other cells follow their exact law. For
    conditions on other columns twenty candidates a row are drawn and resampled by the likelihood of
    the given cells, which is exact in the limit of many candidates and good for common values.
    Clauses (``where``) and constraints are met by drawing again.

    A number has the likelihood of an interval that holds about 1 / ``n_bins`` of the training
    cells, so scores of models are comparable only if they were fitted to the same rows. A column
    that follows from another one has no part in the score.

    For small tables the density is that of the mixture, which is exact as well; sampling takes
    every cell from a random tree or a random network.

    Below 20 rows nothing is trained and the columns are independent.

    A step costs about six times rows times columns times (columns times ``embedding_dim`` times
    width, plus the layers, plus the classes) operations: made for up to some 50 columns.

    References
    ----------
    .. [1] :doi:`Uria, Cote, Gregor, Murray and Larochelle (2016). "Neural Autoregressive
       Distribution Estimation". <10.48550/arXiv.1605.02226>`

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.tabular import TabularAR
    >>> fruit = pd.Series(["apple", "melon"] * 100)
    >>> table = pd.DataFrame({"fruit": fruit, "grams": range(100, 300)})
    >>> table.loc[fruit == "melon", "grams"] += 800
    >>> model = TabularAR(max_epochs=20, random_state=0).fit(table)
    >>> model.column_order_
    ['fruit', 'grams']
    >>> rows = model.sample(200, conditions={"fruit": "melon"})
    >>> rows["fruit"].unique().tolist()
    ['melon']
    >>> bool(rows["grams"].median() > 900)
    True
    """

    score_kind = "loglik"

    _mixed: ClassVar[bool] = True
    _architecture = (
        "embedding_dim",
        "hidden",
        "n_components",
        "discrete_columns",
        "target",
        "target_position",
        "column_order",
        "condition_columns",
        "max_levels",
        "max_value_embeddings",
        "n_bins",
        "n_input_bins",
        "spike_share",
        "spike_prominence",
        "small_table",
    )
    matmul: ClassVar[str] = "default"

    _parameter_constraints: ClassVar[dict] = {
        "embedding_dim": [_POSITIVE],
        "hidden": [StrOptions({"auto"}), tuple, list],
        "n_components": [_POSITIVE],
        "discrete_columns": ["array-like", None],
        "target": "no_validation",
        "target_position": [StrOptions({"auto", "first", "last"})],
        "column_order": [StrOptions({"given", "cardinality"}), "array-like"],
        "condition_columns": ["array-like", None],
        "max_levels": [_POSITIVE],
        "max_value_embeddings": [Interval(Integral, 0, None, closed="left")],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "n_input_bins": [_POSITIVE],
        "spike_share": [Interval(Real, 0, 1, closed="right")],
        "spike_prominence": [Interval(Real, 0, None, closed="left")],
        "small_table": [StrOptions({"auto"}), "boolean"],
        "ema": [Interval(Real, 0, 1, closed="left")],
        "constraints": [list, tuple, None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        **{
            name: NEURAL_CONSTRAINTS[name]
            for name in NEURAL_CONSTRAINTS
            if name not in ("optimizer", "clip_norm", "matmul")
        },
        "weight_decay": [StrOptions({"auto"}), *NEURAL_CONSTRAINTS["weight_decay"]],
    }

    def __init__(
        self,
        *,
        embedding_dim=8,
        hidden="auto",
        n_components=10,
        discrete_columns=None,
        target=None,
        target_position="auto",
        column_order="given",
        condition_columns=None,
        max_levels=100,
        max_value_embeddings=400,
        n_bins=256,
        n_input_bins=24,
        spike_share=0.01,
        spike_prominence=4.0,
        small_table="auto",
        ema=0.99,
        constraints=None,
        temperature=1.0,
        max_seconds=None,
        max_epochs=150,
        batch_size="auto",
        lr=4e-3,
        weight_decay="auto",
        validation_fraction=0.1,
        early_stopping=True,
        patience=6,
        tol=5e-3,
        random_state=None,
        device="cpu",
        callbacks=None,
        net_params=None,
        warm_start=False,
        verbose=0,
    ):
        self.embedding_dim = embedding_dim
        self.hidden = hidden
        self.n_components = n_components
        self.discrete_columns = discrete_columns
        self.target = target
        self.target_position = target_position
        self.column_order = column_order
        self.condition_columns = condition_columns
        self.max_levels = max_levels
        self.max_value_embeddings = max_value_embeddings
        self.n_bins = n_bins
        self.n_input_bins = n_input_bins
        self.spike_share = spike_share
        self.spike_prominence = spike_prominence
        self.small_table = small_table
        self.ema = ema
        self.constraints = constraints
        self.temperature = temperature
        self.max_seconds = max_seconds
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.tol = tol
        self.random_state = random_state
        self.device = device
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.verbose = verbose

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> TabularAR:
        """Train the networks of all columns.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Table of any column types; missing cells are allowed.

        y : None
            Ignored, present for API consistency. Make the target a column of ``X`` and name it in
            ``target``.

        Returns
        -------
        self : TabularAR

        Raises
        ------
        ValueError
            For names in ``target``, ``column_order``, ``condition_columns`` or
            ``discrete_columns`` that ``X`` lacks, and parameters that contradict each other.
        FloatingPointError
            When the training loss stops being finite.
        KeyboardInterrupt
            When training is broken off by Ctrl-C: the best weights so far are kept, with a warning,
            and the estimator can be used.
        """
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit(X, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self
