"""What generators around other generators ask of their parts."""

from __future__ import annotations

import inspect

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import get_tags

from synth_estimators._distances import energy_distance
from synth_estimators.preprocessing import MixedSpace


def generator_has(name):
    """Return a check for ``available_if``: the fitted generator, or else the given one, has it."""

    def check(self):
        generator = getattr(self, "generator_", None)
        if generator is None:
            generator = next(iter(getattr(self, "generators_", ())), self.generator)
        return hasattr(generator, name)

    return check


def check_keywords(estimator, method, request):
    """Refuse keywords that ``estimator.method`` does not take, naming those it takes."""
    if not request:
        return
    parameters = inspect.signature(getattr(estimator, method)).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    unknown = sorted(set(request) - set(parameters))
    if unknown:
        raise TypeError(
            f"{type(estimator).__name__}.{method} takes no keyword {unknown[0]!r}; "
            f"it takes {list(parameters)}."
        )


def takes(estimator, method, keyword):
    parameters = inspect.signature(getattr(estimator, method)).parameters
    return keyword in parameters


def input_tags(estimator):
    """Input tags of a part, or None while a parameter holds something else than an estimator."""
    return get_tags(estimator).input_tags if hasattr(estimator, "__sklearn_tags__") else None


def takes_mixed(transformer):
    """Whether a transformer (the first step of a pipeline) takes text and categories."""
    while isinstance(transformer, Pipeline) and transformer.steps:
        transformer = transformer.steps[0][1]
    tags = input_tags(transformer)
    return tags is not None and tags.string and tags.categorical


def log_abs_det_jacobian(transformer, X):
    """Log absolute Jacobian determinant of ``transformer.transform`` at each row, or None.

    A transformer can offer ``log_abs_det_jacobian(X)``; the column-wise scalers of scikit-learn
    and pipelines of such steps are known here.
    """
    n_rows = len(X)
    if transformer is None or transformer == "passthrough":
        return np.zeros(n_rows)
    if hasattr(transformer, "log_abs_det_jacobian"):
        return np.asarray(transformer.log_abs_det_jacobian(X), dtype=np.float64)
    if isinstance(transformer, Pipeline):
        total = np.zeros(n_rows)
        for _, step in transformer.steps:
            part = log_abs_det_jacobian(step, X)
            if part is None:
                return None
            total += part
            if step is not None and step != "passthrough":
                X = step.transform(X)
        return total
    if isinstance(transformer, StandardScaler | RobustScaler | MaxAbsScaler):
        scale = transformer.scale_
        return np.full(n_rows, 0.0 if scale is None else -np.log(np.abs(scale)).sum())
    if isinstance(transformer, MinMaxScaler):
        return np.full(n_rows, np.log(np.abs(transformer.scale_)).sum())
    if isinstance(transformer, FunctionTransformer) and transformer.func is None:
        return np.zeros(n_rows)
    return None


def has_jacobian(transformer):
    if transformer is None or transformer == "passthrough":
        return True
    if isinstance(transformer, Pipeline):
        return all(has_jacobian(step) for _, step in transformer.steps)
    if isinstance(transformer, FunctionTransformer):
        return transformer.func is None
    if isinstance(transformer, MinMaxScaler):
        return not transformer.clip
    return hasattr(transformer, "log_abs_det_jacobian") or isinstance(
        transformer, StandardScaler | RobustScaler | MaxAbsScaler
    )


def inner_score_kind(generator):
    kind = getattr(generator, "score_kind", None)
    return kind if kind in ("loglik", "elbo") and hasattr(generator, "score_samples") else None


def negative_energy(X, X_gen, sample_weight):
    """Minus the energy distance, columns divided by the standard deviations of ``X``."""
    scale = X.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    return -energy_distance(X / scale, X_gen / scale, weight_x=sample_weight)


def negative_mixed_energy(frame, rows, sample_weight):
    """Minus the energy distance of mixed tables, in the standard space of ``frame``."""
    space = MixedSpace().fit(frame)
    rows = space.transform(rows.set_axis(frame.columns, axis=1))
    return -energy_distance(space.transform(frame), rows, weight_x=sample_weight)
