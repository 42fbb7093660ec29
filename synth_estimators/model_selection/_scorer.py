"""Scorers that let GridSearchCV judge a generator by the rows it samples."""

from __future__ import annotations

import copy
import inspect
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics import METRICS, MetricInfo
from synth_estimators.preprocessing._columns import is_discrete_dtype

__all__ = ["GeneratorScorer", "make_generator_scorer"]

_NEGATION = "neg_"

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
        missing = [name for name in info.needs if name not in given]
        if "column" in missing:
            raise ValueError(
                f"metric={self.metric!r} compares single columns; use 'column_shapes_score'."
            )
        if missing:
            raise ValueError(
                f"metric={self.metric!r} needs {missing}, which a scorer does not receive; pass "
                "them as keywords of make_generator_scorer."
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
        generator, inverses = _resolve(estimator)
        try:
            score = self._score(generator, inverses, X, y)
        except _CANDIDATE_ERRORS as exc:
            if self.error_score == "raise":
                raise
            return self._failed(f"{type(exc).__name__}: {exc}")
        if np.isfinite(score):
            return score
        if self.error_score == "raise":
            raise ValueError(f"The metric {self._name!r} returned {score}; it has no value here.")
        return self._failed(f"the metric returned {score}")

    def _failed(self, why):
        warnings.warn(
            f"Scoring with {self._name!r} failed and counts as error_score={self.error_score!r}: "
            f"{why}",
            UserWarning,
            stacklevel=3,
        )
        return float(self.error_score)

    @property
    def _name(self):
        return getattr(self.metric, "__name__", self.metric)

    def _score(self, generator, inverses, X, y):
        labelled = _is_conditional(generator) and y is not None
        n_rows = self._n_rows(X.shape[0] if hasattr(X, "shape") else len(X))
        values = []
        seeds = spawn_seeds(self.random_state, 2 * self.n_repeats)
        for sample_seed, metric_seed in zip(seeds[::2], seeds[1::2], strict=True):
            rows, labels = self._draw(generator, n_rows, y if labelled else None, sample_seed)
            for inverse in inverses:
                rows = inverse(rows)
            values.append(self._compare(X, rows, y, labels, generator, metric_seed))
        return self._turn(np.mean(values))

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

    def _draw(self, generator, n_rows, y, seed):
        """Sample rows, and labels if the generator is conditional and labels are to be judged."""
        if y is None:
            return _sample(generator, n_rows, seed), None
        if self.conditional == "prior":
            return generator.sample_labeled(n_rows, random_state=seed)
        y = np.asarray(y)
        labels = y if n_rows == len(y) else _spread(y, n_rows, seed)
        return _sample(generator, n_rows, seed, y=labels), labels

    def _compare(self, X, rows, y, labels, generator, seed):
        """Value of the metric between the held-out and the sampled rows."""
        real, synth = _as_tables(X, rows)
        if self.space == "standard":
            real, synth = _standardise(real, synth)
        keywords = dict(self.metric_kwargs)
        accepted = inspect.signature(self._function).parameters
        if "discrete_columns" in accepted and "discrete_columns" not in keywords:
            # Columns that the generator itself takes as discrete.
            listed = getattr(generator, "discrete_columns_", None)
            if listed is not None:
                keywords["discrete_columns"] = _join_discrete(real, listed)
        if labels is not None:
            name = _free_name(real)
            real = real.assign(**{name: _label_column(y)})
            synth = synth.assign(**{name: _label_column(labels)})
            if "discrete_columns" in keywords:
                keywords["discrete_columns"] = _with_label(keywords["discrete_columns"], name)
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
            value = getattr(self, name)
            if repr(value) != repr(parameter.default):
                shown.append(f"{name}={value!r}")
        shown += [f"{name}={_short(value)}" for name, value in self.metric_kwargs.items()]
        return f"make_generator_scorer({', '.join(shown)})"


def _short(value):
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"<{type(value).__name__} of shape {shape}>"


def _plain_name(metric):
    if isinstance(metric, str) and metric not in METRICS and metric.startswith(_NEGATION):
        return metric[len(_NEGATION) :]
    return metric


def _resolve(estimator):
    """Find the generator and the inverse transforms that lead from its rows to data units."""
    inverses = []
    while True:
        if hasattr(estimator, "sample"):
            return estimator, inverses
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            earlier = []
            for name, step in reversed(estimator.steps[:-1]):
                if step is None or step == "passthrough":
                    continue
                if not hasattr(step, "inverse_transform"):
                    raise TypeError(
                        f"Step {name!r} ({type(step).__name__}) of the pipeline has no "
                        "inverse_transform, so sampled rows cannot be brought back to data units; "
                        "use a transformer that has one."
                    )
                earlier.append(step.inverse_transform)
            # The inner pipeline is undone first.
            inverses = earlier + inverses
            estimator = estimator.steps[-1][1]
        else:
            raise TypeError(
                f"{type(estimator).__name__} cannot be scored as a generator: it has no sample "
                "method, is no pipeline that ends in a generator and no fitted search."
            )


def _takes(method, keyword):
    parameters = inspect.signature(method).parameters
    return keyword in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _is_conditional(generator):
    return hasattr(generator, "classes_") and _takes(generator.sample, "y")


def _sample(generator, n_rows, seed, **request):
    """Sample with a seed of its own, so that the fitted estimator stays as it is."""
    if _takes(generator.sample, "random_state"):
        rows = generator.sample(n_rows, random_state=seed, **request)
    elif "random_state" in getattr(generator, "__dict__", {}):
        # scikit-learn's GaussianMixture draws from its own random_state.
        generator = copy.copy(generator)
        generator.random_state = seed
        rows = generator.sample(n_rows, **request)
    else:
        raise TypeError(
            f"{type(generator).__name__}.sample takes no random_state, so its score could not be "
            "repeated; add the keyword."
        )
    return rows[0] if isinstance(rows, tuple) else rows


def _spread(y, n_rows, seed):
    """Labels for another number of rows in the proportions of ``y``."""
    rng = np.random.default_rng(seed)
    whole, rest = divmod(n_rows, len(y))
    return np.concatenate([np.tile(y, whole), rng.permutation(y)[:rest]])


def _as_tables(X, rows):
    """Data frames with the same column names; arrays take those of the other table."""
    real, synth = _frame(X), _frame(rows)
    if real is None and synth is None:
        real, synth = _numbered(X), _numbered(rows)
    elif real is None:
        real = _numbered(X, synth.columns)
    elif synth is None:
        synth = _numbered(rows, real.columns)
    return real, synth


def _frame(X):
    if isinstance(X, pd.DataFrame):
        return X.reset_index(drop=True)
    if type(X).__module__.split(".")[0] == "polars":
        return pd.DataFrame(X.to_dict(as_series=False))
    return None


def _numbered(X, columns=None):
    values = X.toarray() if sparse.issparse(X) else np.asarray(X)
    if values.ndim != 2:
        raise ValueError(f"Expected a table, got an array of shape {values.shape}.")
    if columns is None:
        columns = [f"x{j}" for j in range(values.shape[1])]
    elif len(columns) != values.shape[1]:
        raise ValueError(
            f"Sampled rows and test rows differ in width ({values.shape[1]} and {len(columns)} "
            "columns); they must have the same columns."
        )
    frame = pd.DataFrame(values, columns=columns)
    return frame.infer_objects() if values.dtype == object else frame


def _standardise(real, synth):
    """Divide the numeric columns of both tables by the scale of the real ones."""
    numeric = [
        label
        for label, dtype in real.dtypes.items()
        if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
    ]
    mean, scale = real[numeric].mean(), real[numeric].std(ddof=0)
    scale = scale.where(scale > 0, 1.0)
    real, synth = real.copy(), synth.copy()
    real[numeric] = (real[numeric] - mean) / scale
    synth[numeric] = (synth[numeric] - mean) / scale
    return real, synth


def _free_name(frame):
    name = "y"
    while name in frame.columns:
        name += "_"
    return name


def _label_column(labels):
    return pd.Series(np.asarray(labels)).astype("category")


def _join_discrete(real, listed):
    text = [label for label, dtype in real.dtypes.items() if is_discrete_dtype(dtype)]
    return list(dict.fromkeys([*text, *listed]))


def _with_label(discrete_columns, name):
    if isinstance(discrete_columns, str):
        return discrete_columns
    chosen = [] if discrete_columns is None else list(discrete_columns)
    if chosen and all(isinstance(item, (bool, np.bool_)) for item in chosen):
        return [*chosen, True]
    return [*chosen, name]


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
        metric_kwargs=metric_kwargs,
    )
