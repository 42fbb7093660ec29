"""Cross-validation of one generator by metrics that see training and held-out rows."""

from __future__ import annotations

import inspect
import time
import warnings
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning

from synth_estimators._random import draw_seed, spawn_seeds
from synth_estimators.metrics import Panel
from synth_estimators.metrics._panel_groups import is_privacy
from synth_estimators.model_selection._fold import (
    check_n_samples,
    fit_and_sample,
    make_splits,
    metric_functions,
    take_rows,
    with_labels,
)
from synth_estimators.model_selection._sampling import (
    as_tables,
    free_name,
    own_discrete,
    resolve,
    with_label,
)

__all__ = ["cross_validate_generator"]

# Failures of one metric on one split; anything else is a mistake in the call and is raised.
_METRIC_ERRORS = (ValueError, ArithmeticError, RuntimeError)


def cross_validate_generator(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    metrics: Any = "fast",
    target: Any = None,
    groups: Any = None,
    discrete_columns: Any = "auto",
    n_samples: Any = "match",
    conditional: str = "auto",
    return_train_score: bool = True,
    return_samples: bool = False,
    return_estimator: bool = False,
    n_jobs: int | None = None,
    random_state: Any = 0,
    error_score: Any = np.nan,
    verbose: int = 0,
    pre_dispatch: Any = "2*n_jobs",
) -> dict[str, Any]:
    """Judge a generator on splits of a table, with the training rows at hand.

    On each split a clone is fitted on the training rows and sampled; the sample is compared with
    the held-out rows. Unlike the scorers of a search, the metrics get the training rows too, so
    privacy and ratios to real rows can be had.

    Parameters
    ----------
    estimator : estimator
        Generator, pipeline that ends in one, or search over them.

    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows.

    y : array-like of shape (n_samples,), default=None
        Labels. A conditional generator is judged with them: they join all tables as a discrete
        column ``y``, the default ``target``. Other generators get them in ``fit`` only.

    cv : int, splitter or iterable, default=5
        An int shuffles, and stratifies by ``y`` or a discrete ``target``; else as in
        :func:`sklearn.model_selection.cross_validate`.

    metrics : {"fast", "standard", "all"}, str, callable, list of these or dict, default="fast"
        A preset, names in ``METRICS``, or callables ``metric(X_real, X_synth) -> float``, which
        get ``X_train``, ``X_holdout``, ``target`` and ``random_state`` if they take them. A dict
        names its callables.

    target : column name, default=None
        Column that models predict in metrics of utility.

    groups : array-like of shape (n_samples,), default=None
        Groups for splitters that keep them together.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans as discrete, and what the generator itself
        takes as discrete.

    n_samples : "match", "train", int or float, default="match"
        Rows to sample: as many as held-out rows, as training rows, a number, or a factor of the
        held-out rows.

    conditional : {"auto", "prior"}, default="auto"
        Labels of conditional generators: those of the held-out rows, or drawn in the training
        proportions.

    return_train_score : bool, default=True
        Compute ``train_<metric>``.

    return_samples : bool, default=False
        Keep the sampled rows, with their labels as a tuple ``(X_gen, y_gen)`` where there are any.

    return_estimator : bool, default=False
        Keep the fitted clones.

    n_jobs : int or None, default=None
        Splits worked on at a time. Results do not depend on it.

    random_state : int, RandomState instance or None, default=0
        Seeds the splits of an int ``cv``, the samples, the metrics, and those ``random_state``
        parameters of the estimator that are None. The same for every estimator.

    error_score : "raise" or float, default=nan
        Value of all metrics on a split where fitting or sampling fails or gives rows that cannot
        be compared, with a ``FitFailedWarning``, and of a metric that cannot be computed.

    verbose : int, default=0
        Passed to joblib.

    pre_dispatch : int or str, default="2*n_jobs"
        Jobs dispatched ahead, passed to joblib.

    Returns
    -------
    results : dict
        One entry a split:

        ``fit_time``, ``sample_time``, ``score_time`` : ndarray of float
            Seconds.

        ``test_<metric>`` : ndarray of float
            The metric between the held-out rows and the sample, as it is (a distance is not
            negated).

        ``train_<metric>`` : ndarray of float
            The metric of the same sample with the training rows in the place of the held-out ones.
            Clearly better than ``test_<metric>``: the generator repeats its training rows.
            Not for metrics that compare training with held-out rows by themselves.

        ``samples``, ``estimator`` : list
            If asked for.

    Raises
    ------
    ValueError
        For unknown metrics, a target that is not there, unsuitable splits, or when all fits fail.

    See Also
    --------
    make_generator_scorer : Scores for the searches of scikit-learn.
    compare_generators : Several generators beside the baselines.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators import GaussianCopula
    >>> from synth_estimators.model_selection import cross_validate_generator
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(150, 1)) + 0.3 * rng.normal(size=(150, 3))
    >>> results = cross_validate_generator(
    ...     GaussianCopula(), X, cv=3, metrics=["column_pair_trends_score", "dcr_share"]
    ... )
    >>> sorted(results)
    ['fit_time', 'sample_time', 'score_time', 'test_column_pair_trends_score', 'test_dcr_share',
     'train_column_pair_trends_score']
    >>> bool(results["test_column_pair_trends_score"].mean() > 0.9)
    True
    """
    check_n_samples(n_samples)
    if conditional not in ("auto", "prior"):
        raise ValueError(f"conditional={conditional!r} is unknown; use 'auto' or 'prior'.")
    if error_score != "raise" and not isinstance(error_score, (int, float, np.number)):
        raise ValueError(f"error_score={error_score!r} must be 'raise' or a number.")
    names, functions = metric_functions(metrics)
    split_seed = draw_seed(random_state)
    splits = make_splits(X, y, cv=cv, target=target, groups=groups, random_state=split_seed)
    seeds = spawn_seeds(split_seed, len(splits))
    _check_early(X, y, splits[0], names, target=target, discrete_columns=discrete_columns)
    judge = {
        "names": names,
        "functions": functions,
        "target": target,
        "discrete_columns": discrete_columns,
        "train_score": return_train_score,
        "strict": error_score == "raise",
    }
    runs = Parallel(n_jobs=n_jobs, verbose=verbose, pre_dispatch=pre_dispatch)(
        delayed(_one_split)(
            estimator,
            X,
            y,
            train,
            test,
            n_samples=n_samples,
            conditional=conditional,
            seed=seed,
            judge=judge,
            keep=(return_samples, return_estimator),
        )
        for (train, test), seed in zip(splits, seeds, strict=True)
    )
    _report(runs, error_score)
    return _collect(runs, error_score, return_samples, return_estimator)


def _check_early(X, y, split, names, *, target, discrete_columns):
    """Refuse metrics, targets and tables that cannot be judged before anything is fitted."""
    if not names:
        return
    first, _ = as_tables(take_rows(X, split[0]), take_rows(X, split[0]))
    if target is None and y is not None:
        target = free_name(first)
        first = with_labels(first, take_rows(y, split[0]), target)
        discrete_columns = with_label(discrete_columns, target)
    Panel(first, first, metrics=names, target=target, discrete_columns=discrete_columns)


def _one_split(estimator, X, y, train, test, *, n_samples, conditional, seed, judge, keep):
    run = fit_and_sample(
        estimator, X, y, train, test, n_samples=n_samples, conditional=conditional, seed=seed
    )
    run.scores, run.score_time = {}, np.nan
    if run.error is None:
        start = time.perf_counter()
        real = take_rows(X, train), take_rows(X, test)
        labels = None if run.labels is None else (take_rows(y, train), take_rows(y, test))
        try:
            run.scores, messages = _judge(run, real, labels, seed=seed, **judge)
            run.messages += messages
        except ValueError as exc:
            # Rows that cannot be compared are the generator's failure on this split.
            run.error = exc
        run.score_time = time.perf_counter() - start
    keep_samples, keep_estimator = keep
    if keep_samples and run.labels is not None:
        run.rows = (run.rows, run.labels)
    if not keep_samples:
        run.rows = run.labels = None
    if not keep_estimator:
        run.estimator = None
    return run


def _judge(
    run, real, labels, *, names, functions, target, discrete_columns, train_score, strict, seed
):
    """Metrics of one sample; ``train_`` ones have the training rows in place of the held-out."""
    train, synth = as_tables(real[0], run.rows)
    holdout, _ = as_tables(real[1], train)
    listed = own_discrete(resolve(run.estimator)[0], train)
    if isinstance(discrete_columns, str) and discrete_columns == "auto" and listed is not None:
        discrete_columns = listed
    if labels is not None:
        name = free_name(train)
        train, holdout, synth = (
            with_labels(table, values, name)
            for table, values in zip((train, holdout, synth), (*labels, run.labels), strict=True)
        )
        discrete_columns = with_label(discrete_columns, name)
        target = name if target is None else target
    options = {"target": target, "discrete_columns": discrete_columns, "random_state": seed}
    scores, messages = {}, []
    sides = [("test", train, holdout)] + ([("train", train, train)] if train_score else [])
    for side, rows, judged in sides:
        found, texts = _panel_scores(names, rows, judged, synth, side=side, options=options)
        keywords = options | {"X_train": rows, "X_holdout": judged}
        for name, function in functions.items():
            try:
                found[name] = _call(function, judged, synth, keywords)
            except _METRIC_ERRORS as exc:
                if strict:
                    raise
                found[name] = np.nan
                text = f"{side}_{name} has no value: {type(exc).__name__}: {exc}"
                messages.append((UndefinedMetricWarning, text))
        scores |= {f"{side}_{name}": value for name, value in found.items()}
        messages += texts
    return scores, list(dict.fromkeys(messages))


def _panel_scores(names, train, judged, synth, *, side, options):
    if not isinstance(names, str):
        names = list(names)
        if side == "train":
            names = [name for name in names if not is_privacy(name)]
        if not names:
            return {}, []
    panel = Panel(train, judged, metrics=names, **options)
    if side == "train" and isinstance(names, str):
        # Kept as a preset, so that the limits of rows are the same on both sides.
        panel.names = [name for name in panel.names if not is_privacy(name)]
    measured = panel.measure(synth)
    return measured.scores, [text for part in measured.messages.values() for text in part]


def _call(function, real, synth, keywords):
    accepted = inspect.signature(function).parameters
    given = {name: value for name, value in keywords.items() if name in accepted}
    return float(function(real, synth, **given))


def _report(runs, error_score):
    """Raise or warn for the splits that failed, and pass on the warnings of the others."""
    failed = [(split, run.error) for split, run in enumerate(runs) if run.error is not None]
    if failed:
        split, error = failed[0]
        if error_score == "raise":
            raise error
        text = f"split {split}: {type(error).__name__}: {error}"
        if len(failed) == len(runs):
            raise ValueError(
                f"All the {len(runs)} fits failed, first {text}. Pass error_score='raise' to see "
                "where."
            ) from error
        warnings.warn(
            f"{len(failed)} of {len(runs)} fits failed and count as error_score={error_score!r}; "
            f"first {text}",
            FitFailedWarning,
            stacklevel=3,
        )
    for category, text in dict.fromkeys(message for run in runs for message in run.messages):
        warnings.warn(text, category, stacklevel=3)


def _collect(runs, error_score, return_samples, return_estimator):
    results = {
        name: np.array([run[name] for run in runs])
        for name in ("fit_time", "sample_time", "score_time")
    }
    keys = dict.fromkeys(key for run in runs for key in run.scores)
    for key in keys:
        values = np.array([run.scores.get(key, np.nan) for run in runs], dtype=np.float64)
        missing = np.isnan(values)
        if missing.any() and error_score == "raise":
            raise ValueError(f"{key} has no value on split {int(np.flatnonzero(missing)[0])}.")
        results[key] = np.where(missing, np.nan if error_score == "raise" else error_score, values)
    if return_samples:
        results["samples"] = [run.rows for run in runs]
    if return_estimator:
        results["estimator"] = [run.estimator for run in runs]
    return results
