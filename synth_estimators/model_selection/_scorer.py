"""Scorers that let GridSearchCV judge a generator by the rows it samples."""

from __future__ import annotations

import inspect
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics import METRICS, MetricInfo
from synth_estimators.model_selection._sampling import (
    as_tables,
    draw_rows,
    free_name,
    is_conditional,
    label_column,
    own_discrete,
    remaining_rows,
    resolve,
    standardise,
    with_label,
)

__all__ = ["GeneratorScorer", "make_generator_scorer"]

_NEGATION = "neg_"

# Names that go without the word for what they are.
_SHORT_NAMES = {"sliced_wasserstein": "sliced_wasserstein_distance"}

# Failures of one candidate on one fold; anything else is a mistake in the call and is raised.
_CANDIDATE_ERRORS = (ValueError, ArithmeticError, RuntimeError)


class GeneratorScorer:
    """Scores a fitted generator by comparing sampled with held-out rows; higher is better.

    Made by ``make_generator_scorer``, which describes the parameters.

    Parameters
    ----------
    metric : str or callable
        Name in ``METRICS`` or ``metric(X_real, X_synth, ...) -> float``.

    n_samples : "match", int or float, default="match"
        Rows to sample.

    n_repeats : int, default=1
        Samples that are averaged.

    random_state : int, RandomState instance or None, default=0
        Seeds the samples.

    greater_is_better : bool or None, default=None
        Direction of the metric.

    conditional : {"auto", "prior"}, default="auto"
        Labels of conditional generators.

    space : {"data", "standard"}, default="data"
        Units in which the tables are compared.

    error_score : "raise" or float, default=nan
        Value of a candidate that fails.

    X_all : {array-like, pandas DataFrame}, default=None
        Table that is split into training and held-out rows.

    metric_kwargs : dict, default=None
        Further keywords of the metric.

    See Also
    --------
    make_generator_scorer : The way to make one.

    Examples
    --------
    >>> from synth_estimators.model_selection import GeneratorScorer
    >>> GeneratorScorer("neg_energy_distance", n_repeats=3)
    make_generator_scorer('neg_energy_distance', n_repeats=3)
    """

    def __init__(
        self,
        metric,
        *,
        n_samples="match",
        n_repeats=1,
        random_state=0,
        greater_is_better=None,
        conditional="auto",
        space="data",
        error_score=np.nan,
        X_all=None,
        metric_kwargs=None,
    ):
        self.metric = metric
        self.n_samples = n_samples
        self.n_repeats = n_repeats
        self.random_state = random_state
        self.greater_is_better = greater_is_better
        self.conditional = conditional
        self.space = space
        self.error_score = error_score
        self.X_all = X_all
        self.metric_kwargs = dict(metric_kwargs or {})
        self._check()

    @property
    def _info(self) -> MetricInfo | None:
        """Entry of the table of metrics, None for a callable."""
        if callable(self.metric):
            return next((info for info in METRICS.values() if info.function is self.metric), None)
        return METRICS[_plain_name(self.metric)]

    @property
    def _function(self) -> Callable:
        return self.metric if callable(self.metric) else METRICS[_plain_name(self.metric)].function

    @property
    def _larger_wins(self) -> bool:
        if self.greater_is_better is not None:
            return bool(self.greater_is_better)
        return True if self._info is None else self._info.greater_is_better

    @property
    def _inner_ideal(self) -> float | None:
        """Best value where it lies inside the range of the metric."""
        info = self._info
        if (
            self.greater_is_better is None
            and info is not None
            and info.low < info.ideal < info.high
        ):
            return info.ideal
        return None

    @property
    def _sign(self) -> int:
        """1 if the score grows with the metric, -1 if it falls or peaks inside the range."""
        return 1 if self._larger_wins and self._inner_ideal is None else -1

    def _check(self):
        self._check_metric()
        if isinstance(self.n_samples, bool) or not (
            self.n_samples == "match"
            or (isinstance(self.n_samples, numbers.Real) and self.n_samples > 0)
        ):
            raise ValueError(
                f"n_samples={self.n_samples!r} must be 'match', a number of rows (int) or a factor "
                "of the number of test rows (float) above 0."
            )
        if not isinstance(self.n_repeats, numbers.Integral) or self.n_repeats < 1:
            raise ValueError(f"n_repeats={self.n_repeats!r} must be an integer of at least 1.")
        if self.conditional not in ("auto", "prior"):
            raise ValueError(f"conditional={self.conditional!r} is unknown; use 'auto' or 'prior'.")
        if self.space not in ("data", "standard"):
            raise ValueError(f"space={self.space!r} is unknown; use 'data' or 'standard'.")
        if self.error_score != "raise" and not isinstance(self.error_score, numbers.Real):
            raise ValueError(f"error_score={self.error_score!r} must be 'raise' or a number.")

    def _check_metric(self):
        if not callable(self.metric) and _plain_name(self.metric) not in METRICS:
            raise ValueError(
                f"metric={self.metric!r} is unknown; use one of {sorted(METRICS)}, the same with "
                "'neg_' before a distance, or a callable metric(X_real, X_synth) -> float."
            )
        info = self._info
        if info is None:
            return
        negated = not callable(self.metric) and self.metric not in METRICS
        if negated and info.greater_is_better and self._inner_ideal is None:
            raise ValueError(
                f"metric={self.metric!r} negates a metric that is better when larger; use "
                f"{_plain_name(self.metric)!r}."
            )
        # The test rows are the holdout, and the labels the target.
        given = {*self.metric_kwargs, "X_holdout", "target"}
        if self.X_all is not None:
            given.add("X_train")
        missing = [name for name in info.needs if name not in given]
        if "column" in missing:
            raise ValueError(
                f"metric={self.metric!r} compares single columns; use 'column_shapes_score'."
            )
        if missing:
            raise ValueError(
                f"metric={self.metric!r} needs {missing}, which a scorer does not receive; pass "
                "them as keywords of make_generator_scorer (for X_train in a search X_all=, the "
                "whole table that is split), or use cross_validate_generator."
            )

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score a fitted generator on held-out rows.

        Parameters
        ----------
        estimator : estimator
            Fitted generator, pipeline that ends in one, or search over them.

        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Held-out rows.

        y : array-like of shape (n_samples,), default=None
            Their labels; used by conditional generators only.

        Returns
        -------
        score : float
            Higher is better.
        """
        generator, inverses = resolve(estimator)
        train = self._training_rows(X)
        try:
            draws = self._draws(generator, inverses, X, y)
        except _CANDIDATE_ERRORS as exc:
            return self._failed(exc)
        return self._judge(X, y, generator, draws, train)

    def _judge(self, X, y, generator, draws, train):
        """Score of drawn rows, or the error score."""
        try:
            score = self._turn(self._value(X, y, generator, draws, train))
        except _CANDIDATE_ERRORS as exc:
            return self._failed(exc)
        if np.isfinite(score):
            return score
        return self._failed(
            ValueError(f"the metric {self._name!r} returned {score}; it has no value here.")
        )

    def _failed(self, error):
        if self.error_score == "raise":
            raise error
        warnings.warn(
            f"Scoring with {self._name!r} failed and counts as error_score={self.error_score!r}: "
            f"{type(error).__name__}: {error}",
            UserWarning,
            stacklevel=4,
        )
        return float(self.error_score)

    @property
    def _name(self):
        return getattr(self.metric, "__name__", self.metric)

    def _training_rows(self, X):
        """Rows of the whole table that are not held out, if a metric wants them."""
        if self.X_all is None or "X_train" not in inspect.signature(self._function).parameters:
            return None
        return remaining_rows(self.X_all, X)

    def _draws(self, generator, inverses, X, y):
        """Rows, labels and a seed for the metric, once for every repeat."""
        labelled = is_conditional(generator) and y is not None
        n_rows = self._n_rows(X.shape[0] if hasattr(X, "shape") else len(X))
        draws = []
        seeds = spawn_seeds(self.random_state, 2 * self.n_repeats)
        for sample_seed, metric_seed in zip(seeds[::2], seeds[1::2], strict=True):
            rows, labels = draw_rows(
                generator,
                n_rows,
                y=y if labelled else None,
                seed=sample_seed,
                conditional=self.conditional,
            )
            for inverse in inverses:
                rows = inverse(rows)
            draws.append((rows, labels, metric_seed))
        return draws

    def _value(self, X, y, generator, draws, train):
        """Mean of the metric itself over the draws."""
        values = [
            self._compare(X, rows, y, labels, generator, seed, train)
            for rows, labels, seed in draws
        ]
        return float(np.mean(values))

    def _turn(self, value):
        ideal = self._inner_ideal
        if ideal is not None:
            return -abs(float(value) - ideal)
        return float(value) if self._larger_wins else -float(value)

    def _n_rows(self, n_test):
        if self.n_samples == "match":
            return n_test
        if isinstance(self.n_samples, numbers.Integral):
            return int(self.n_samples)
        return max(1, round(float(self.n_samples) * n_test))

    def _compare(self, X, rows, y, labels, generator, seed, train):
        """Value of the metric between the held-out and the sampled rows."""
        real, synth = as_tables(X, rows)
        keywords = dict(self.metric_kwargs)
        accepted = inspect.signature(self._function).parameters
        if train is not None:
            keywords.setdefault("X_train", train)
        others = _same_columns(keywords, real)
        if self.space == "standard":
            real, synth, *scaled = standardise(real, synth, *others.values())
            others = dict(zip(others, scaled, strict=True))
        keywords |= others
        if "discrete_columns" in accepted and "discrete_columns" not in keywords:
            # Columns that the generator itself takes as discrete.
            listed = own_discrete(generator, real)
            if listed is not None:
                keywords["discrete_columns"] = listed
        # Labels of the other real rows are not known here, so they cannot join only two tables.
        if labels is not None and not others:
            name = free_name(real)
            real = real.assign(**{name: label_column(y)})
            synth = synth.assign(**{name: label_column(labels)})
            if "discrete_columns" in keywords:
                keywords["discrete_columns"] = with_label(keywords["discrete_columns"], name)
            if "target" in accepted:
                keywords.setdefault("target", name)
        elif self._info is not None and "target" in self._info.needs and "target" not in keywords:
            raise ValueError(
                f"metric={self.metric!r} needs a target: pass target= to make_generator_scorer, or "
                "fit a conditional generator with labels."
            )
        if "random_state" in accepted:
            keywords.setdefault("random_state", seed)
        return self._function(real, synth, **keywords)

    def __repr__(self):
        defaults = inspect.signature(type(self).__init__).parameters
        shown = [repr(self.metric) if isinstance(self.metric, str) else self._name]
        for name, parameter in list(defaults.items())[2:-1]:
            text = _short(getattr(self, name))
            if text != repr(parameter.default):
                shown.append(f"{name}={text}")
        shown += [f"{name}={_short(value)}" for name, value in self.metric_kwargs.items()]
        return f"make_generator_scorer({', '.join(shown)})"


def _short(value):
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"<{type(value).__name__} of shape {shape}>"


def _same_columns(keywords, real):
    """Further real tables among the keywords that have the columns of the held-out rows."""
    tables = {}
    for name in ("X_train", "X_holdout"):
        table = keywords.get(name)
        if table is not None and np.shape(table)[1:] == real.shape[1:]:
            tables[name] = as_tables(table, real)[0]
    return tables


def _plain_name(metric):
    if isinstance(metric, str) and metric not in METRICS and metric.startswith(_NEGATION):
        metric = metric[len(_NEGATION) :]
        return _SHORT_NAMES.get(metric, metric)
    return metric


def make_generator_scorer(
    metric: str | Callable,
    *,
    n_samples: Any = "match",
    n_repeats: int = 1,
    random_state: Any = 0,
    greater_is_better: bool | None = None,
    conditional: str = "auto",
    space: str = "data",
    error_score: Any = np.nan,
    X_all: Any = None,
    **metric_kwargs: Any,
) -> GeneratorScorer:
    """Make a scorer for GridSearchCV and its kin out of a metric that compares tables.

    The scorer samples rows from the fitted generator, brings them back to data units through the
    steps of a pipeline, and compares them with the held-out rows.

    Parameters
    ----------
    metric : str or callable
        Name in ``synth_estimators.metrics.METRICS``, with ``"neg_"`` before a distance if you
        like, or ``metric(X_real, X_synth, **metric_kwargs) -> float``.

    n_samples : "match", int or float, default="match"
        Rows to sample: as many as there are held-out rows, a number, or a factor of theirs.

    n_repeats : int, default=1
        Samples that are drawn and averaged.

    random_state : int, RandomState instance or None, default=0
        Seeds the samples. With an int all candidates and folds are judged on the same random
        numbers, so that their differences are not sampling noise.

    greater_is_better : bool or None, default=None
        Direction of the metric. None reads it from ``METRICS`` (True for a callable). A metric
        whose ideal value lies inside its range scores minus the distance from it.

    conditional : {"auto", "prior"}, default="auto"
        Labels of generators fitted with ``y``: those of the held-out rows, or drawn in the
        training proportions, to judge the balance of the classes too. The labels join both tables
        as a discrete column ``y``, the default ``target`` of the metrics that have one.

    space : {"data", "standard"}, default="data"
        Compare the tables as they are, or numeric columns in units of the mean and standard
        deviation of the held-out rows.

    error_score : "raise" or float, default=nan
        Score of a candidate whose sample or metric fails or is not finite, with a warning.

    X_all : {array-like, pandas DataFrame}, default=None
        The whole table that a search splits. Metrics that need the training rows (``X_train``)
        get the rows of it that are not among the held-out ones. Labels take no part then.

    **metric_kwargs : dict
        Further keywords of the metric.

    Returns
    -------
    scorer : GeneratorScorer
        ``scorer(estimator, X, y=None) -> float``; higher is better. Can be pickled.

    Raises
    ------
    ValueError
        For an unknown metric, or one that needs rows a scorer does not receive.

    TypeError
        When called: for an estimator that cannot sample, or a pipeline step without
        ``inverse_transform``, named in the message.

    Notes
    -----
    Sampling does not change the fitted estimator. To tune, prefer ``"c2st_score"`` (with
    ``estimator="logistic"`` below 500 rows) or ``"neg_energy_distance"`` where speed matters;
    ``"column_shapes_score"`` alone does not see dependence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.neighbors import KernelDensity
    >>> from synth_estimators.model_selection import make_generator_scorer
    >>> X = np.random.default_rng(0).normal(size=(90, 2))
    >>> scorer = make_generator_scorer("neg_energy_distance")
    >>> narrow, wide = KernelDensity(bandwidth=0.3), KernelDensity(bandwidth=9.0)
    >>> scores = [cross_val_score(kde, X, cv=3, scoring=scorer).mean() for kde in (narrow, wide)]
    >>> bool(scores[0] > scores[1])
    True
    """
    return GeneratorScorer(
        metric,
        n_samples=n_samples,
        n_repeats=n_repeats,
        random_state=random_state,
        greater_is_better=greater_is_better,
        conditional=conditional,
        space=space,
        error_score=error_score,
        X_all=X_all,
        metric_kwargs=metric_kwargs,
    )
