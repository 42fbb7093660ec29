"""Several scores of one sample, scorers by name, and scores with a guard."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from synth_estimators.metrics import METRICS
from synth_estimators.model_selection._sampling import resolve
from synth_estimators.model_selection._scorer import (
    _CANDIDATE_ERRORS,
    GeneratorScorer,
    _short,
    make_generator_scorer,
)

__all__ = [
    "GENERATOR_SCORERS",
    "ConstrainedScorer",
    "GeneratorScorers",
    "get_generator_scorer",
    "make_constrained_scorer",
]

# What decides which rows are drawn.
_DRAW = ("n_samples", "n_repeats", "random_state", "conditional")


class GeneratorScorers:
    """Several scores of the same sampled rows, for searches with more than one metric.

    Rows are drawn once and judged by every metric, so the scores belong together and cost one
    sample.

    Parameters
    ----------
    metrics : list or dict
        Names in ``METRICS`` (with ``"neg_"`` before a distance if you like), callables
        ``metric(X_real, X_synth) -> float``, or scorers made by ``make_generator_scorer``. A dict
        gives the names of the scores, ``{name: metric}``.

    n_samples : "match", int or float, default="match"
        Rows to sample: as many as there are held-out rows, a number, or a factor of theirs.

    n_repeats : int, default=1
        Samples that are drawn and averaged.

    random_state : int, RandomState instance or None, default=0
        Seeds the samples; with an int the same for all candidates and folds.

    conditional : {"auto", "prior"}, default="auto"
        Labels of generators fitted with ``y``, as in ``make_generator_scorer``.

    space : {"data", "standard"}, default="data"
        Units in which the tables are compared.

    error_score : "raise" or float, default=nan
        Score of a candidate that fails. A metric that fails does not touch the others.

    X_all : {array-like, pandas DataFrame}, default=None
        The whole table that a search splits, for metrics that need the training rows.

    metric_kwargs : dict of dict, default=None
        Further keywords of the metrics, ``{name: {keyword: value}}``.

    Attributes
    ----------
    scorers : dict of GeneratorScorer
        By the name of the score.

    See Also
    --------
    make_generator_scorer : A scorer with one metric.

    Notes
    -----
    ``GridSearchCV`` needs ``refit="<name>"`` to know which score chooses the candidate. Each score
    equals the one of ``make_generator_scorer`` with the same settings. ``HalvingGridSearchCV``
    takes one score only.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neighbors import KernelDensity
    >>> from synth_estimators.model_selection import GeneratorScorers
    >>> X = np.random.default_rng(0).normal(size=(90, 2))
    >>> scoring = GeneratorScorers(["column_shapes_score", "neg_energy_distance"])
    >>> search = GridSearchCV(
    ...     KernelDensity(), {"bandwidth": [0.3, 9.0]}, scoring=scoring, refit="neg_energy_distance"
    ... ).fit(X)
    >>> search.best_params_
    {'bandwidth': 0.3}
    """

    def __init__(
        self,
        metrics,
        *,
        n_samples="match",
        n_repeats=1,
        random_state=0,
        conditional="auto",
        space="data",
        error_score=np.nan,
        X_all=None,
        metric_kwargs=None,
    ):
        self.metrics = metrics
        self.n_samples = n_samples
        self.n_repeats = n_repeats
        self.random_state = random_state
        self.conditional = conditional
        self.space = space
        self.error_score = error_score
        self.X_all = X_all
        self.metric_kwargs = metric_kwargs
        self.scorers = self._make_scorers()

    def _make_scorers(self):
        named = _named_metrics(self.metrics)
        keywords = dict(self.metric_kwargs or {})
        unknown = sorted(set(keywords) - set(named))
        if unknown:
            raise ValueError(f"metric_kwargs names {unknown}; the scores are {list(named)}.")
        settings = {name: getattr(self, name) for name in (*_DRAW, "space", "error_score", "X_all")}
        scorers = {}
        for name, metric in named.items():
            if not isinstance(metric, GeneratorScorer):
                scorers[name] = GeneratorScorer(
                    metric, **settings, metric_kwargs=keywords.get(name)
                )
                continue
            differing = [key for key in _DRAW if getattr(metric, key) != settings[key]]
            if differing:
                raise ValueError(
                    f"The scorer {name!r} has {differing} of its own, but all scores share one "
                    "sample; give them to GeneratorScorers and not to the scorer, or to both."
                )
            if name in keywords:
                raise ValueError(
                    f"metric_kwargs has keywords for {name!r}, which is a scorer with keywords of "
                    "its own; give them to that scorer."
                )
            scorers[name] = metric
        return scorers

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> dict[str, float]:
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
        scores : dict of float
            By name; higher is better.
        """
        generator, inverses = resolve(estimator)
        trains = {name: scorer._training_rows(X) for name, scorer in self.scorers.items()}
        first = next(iter(self.scorers.values()))
        try:
            draws = first._draws(generator, inverses, X, y)
        except _CANDIDATE_ERRORS as exc:
            return {name: scorer._failed(exc) for name, scorer in self.scorers.items()}
        return {
            name: scorer._judge(X, y, generator, draws, trains[name])
            for name, scorer in self.scorers.items()
        }

    def __repr__(self):
        shown = [repr(self.metrics)]
        for name, default in (*zip(_DRAW, ("match", 1, 0, "auto"), strict=True), ("space", "data")):
            if repr(getattr(self, name)) != repr(default):
                shown.append(f"{name}={getattr(self, name)!r}")
        if repr(self.error_score) != "nan":
            shown.append(f"error_score={self.error_score!r}")
        if self.X_all is not None:
            shown.append(f"X_all={_short(self.X_all)}")
        if self.metric_kwargs:
            shown.append(f"metric_kwargs={self.metric_kwargs!r}")
        return f"GeneratorScorers({', '.join(shown)})"


def _named_metrics(metrics):
    """Map names to metrics; a list takes the names of its metrics."""
    if isinstance(metrics, str) or callable(metrics):
        metrics = [metrics]
    if not isinstance(metrics, Mapping):
        metrics = list(metrics)
        names = [_metric_name(metric) for metric in metrics]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(
                f"metrics holds {repeated} more than once; name the scores with a dict."
            )
        metrics = dict(zip(names, metrics, strict=True))
    if not metrics:
        raise ValueError("metrics is empty; pass at least one name of METRICS.")
    return dict(metrics)


def _metric_name(metric):
    metric = metric.metric if isinstance(metric, GeneratorScorer) else metric
    return metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric))


class ConstrainedScorer:
    """A score that falls when a guard is violated.

    Made by ``make_constrained_scorer``, which describes the parameters.

    Parameters
    ----------
    main : GeneratorScorer
        What is maximised.

    constraint : GeneratorScorer
        What is guarded.

    bound : float
        Worst value of the constraint that is allowed.

    penalty : float
        Taken off for every unit beyond the bound.

    See Also
    --------
    make_constrained_scorer : The way to make one.

    Examples
    --------
    >>> from synth_estimators.model_selection import make_constrained_scorer
    >>> make_constrained_scorer("c2st_score", "energy_distance", bound=0.1)
    make_constrained_scorer('c2st_score', 'energy_distance', bound=0.1, penalty=10.0)
    """

    def __init__(self, main, constraint, *, bound, penalty):
        for name, value, low in (("bound", bound, -np.inf), ("penalty", penalty, 0.0)):
            if not (isinstance(value, numbers.Real) and np.isfinite(value) and value >= low):
                least = " of at least 0" if low == 0 else ""
                raise ValueError(f"{name}={value!r} must be a finite number{least}.")
        self.main = main
        self.constraint = constraint
        self.bound = float(bound)
        self.penalty = float(penalty)
        self._shared = all(getattr(main, key) == getattr(constraint, key) for key in _DRAW)

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
        main, guard = self.main, self.constraint
        generator, inverses = resolve(estimator)
        trains = [scorer._training_rows(X) for scorer in (main, guard)]
        try:
            draws = main._draws(generator, inverses, X, y)
            guarded = draws if self._shared else guard._draws(generator, inverses, X, y)
            value = guard._value(X, y, generator, guarded, trains[1])
            if np.isnan(value):
                raise ValueError(f"the constraint {guard._name!r} returned NaN.")
        except _CANDIDATE_ERRORS as exc:
            return main._failed(exc)
        beyond = self.bound - value if guard._larger_wins else value - self.bound
        return main._judge(X, y, generator, draws, trains[0]) - self.penalty * max(0.0, beyond)

    def __repr__(self):
        parts = [_shown(self.main), _shown(self.constraint)]
        parts += [f"bound={self.bound!r}", f"penalty={self.penalty!r}"]
        return f"make_constrained_scorer({', '.join(parts)})"


def _shown(scorer):
    """Name of a scorer with default settings, else the call that makes it."""
    text = repr(scorer)
    start, end = "make_generator_scorer(", ")"
    inner = text[len(start) : -len(end)]
    return inner if inner in (repr(scorer.metric), scorer._name) else text


def make_constrained_scorer(
    main: Any, constraint: Any, bound: float, penalty: float = 10.0, *, X_all: Any = None
) -> ConstrainedScorer:
    """Make a scorer that maximises one metric while another one keeps a bound.

    The score is that of ``main``, less ``penalty`` times the amount by which the metric of
    ``constraint`` is beyond the bound. Meant for tuning on fidelity under a guard on privacy: the
    best fidelity is that of a copy.

    Parameters
    ----------
    main : str, callable or GeneratorScorer
        What is maximised: a name or metric as in ``make_generator_scorer``, or such a scorer.

    constraint : str, callable or GeneratorScorer
        What is guarded. Its metric is compared with the bound as it is, not its score.

    bound : float
        Largest value allowed of a metric that is better when smaller (``dcr_share``,
        ``membership_auc``), smallest value allowed of one that is better when larger.

    penalty : float, default=10.0
        Taken off for every unit beyond the bound. The default turns 0.1 beyond the bound into a
        whole point.

    X_all : {array-like, pandas DataFrame}, default=None
        The whole table that the search splits; privacy metrics take from it the training rows of
        each fold.

    Returns
    -------
    scorer : ConstrainedScorer
        ``scorer(estimator, X, y=None) -> float``; higher is better. Can be pickled.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neighbors import KernelDensity
    >>> from synth_estimators.model_selection import make_constrained_scorer
    >>> X = np.random.default_rng(0).normal(size=(90, 2))
    >>> guarded = make_constrained_scorer("neg_energy_distance", "dcr_share", 0.6, X_all=X)
    >>> grid = {"bandwidth": [0.001, 0.3]}
    >>> GridSearchCV(KernelDensity(), grid, scoring=guarded, cv=2).fit(X).best_params_
    {'bandwidth': 0.3}
    """
    made = [
        scorer
        if isinstance(scorer, GeneratorScorer)
        else make_generator_scorer(scorer, X_all=X_all)
        for scorer in (main, constraint)
    ]
    return ConstrainedScorer(*made, bound=bound, penalty=penalty)


def _named_scorers():
    """One scorer for every metric that needs no rows besides the held-out ones."""
    named = {}
    for name, info in METRICS.items():
        if not set(info.needs) <= {"X_holdout", "target"}:
            continue
        scorer = make_generator_scorer(name)
        distance = not info.greater_is_better and scorer._inner_ideal is None
        named[f"neg_{name}" if distance else name] = scorer
    for name in ("neg_sliced_wasserstein",):
        if f"{name}_distance" in named:
            named[name] = named[f"{name}_distance"]
    named["c2st_logistic_score"] = make_generator_scorer("c2st_score", estimator="logistic")
    return dict(sorted(named.items()))


#: Name -> GeneratorScorer, with ``"neg_"`` before metrics that are better when smaller.
GENERATOR_SCORERS: dict[str, GeneratorScorer] = _named_scorers()


def get_generator_scorer(scoring: Any) -> Any:
    """Get a scorer of generators by its name.

    Parameters
    ----------
    scoring : str or callable
        A key of ``GENERATOR_SCORERS``; a callable is returned as it is.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None) -> float``; higher is better. A copy, so that changes do
        not reach other users.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> from synth_estimators.model_selection import GENERATOR_SCORERS, get_generator_scorer
    >>> get_generator_scorer("neg_energy_distance")
    make_generator_scorer('energy_distance')
    >>> "c2st_score" in GENERATOR_SCORERS
    True
    """
    if callable(scoring):
        return scoring
    if scoring not in GENERATOR_SCORERS:
        hint = ""
        if isinstance(scoring, str) and scoring in METRICS:
            if f"neg_{scoring}" in GENERATOR_SCORERS:
                hint = f" Its scorer is called 'neg_{scoring}'."
            else:
                hint = (
                    f" {scoring!r} needs {list(METRICS[scoring].needs)}: use "
                    "make_generator_scorer with keywords, or cross_validate_generator."
                )
        raise ValueError(
            f"scoring={scoring!r} is no scorer of generators; the names are "
            f"{list(GENERATOR_SCORERS)}.{hint}"
        )
    return copy.deepcopy(GENERATOR_SCORERS[scoring])
