"""Tables and small helpers of the checks of generators."""

from __future__ import annotations

import inspect
import pickle
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import get_tags

N_ROWS = 48
LOCATIONS = np.array([30.0, 500.0, 120.0, 2000.0])
SCALES = np.array([1.0, 20.0, 5.0, 100.0])
NAMES = ["weight", "age", "height", "dose"]
LABELS = np.array(["blue", "green", "red"])


def make_table(*, n_rows: int = N_ROWS, seed: int = 0, labels: Any = None) -> np.ndarray:
    """Correlated positive columns far apart from each other; classes shift them by 8 sd."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_rows, len(LOCATIONS)))
    noise[:, 1] = 0.7 * noise[:, 0] + 0.7 * noise[:, 1]
    if labels is not None:
        noise += 8.0 * (labels == LABELS[1])[:, None] - 8.0 * (labels == LABELS[2])[:, None]
    return np.maximum(LOCATIONS + SCALES * noise, 0.0)


def make_labels(n_rows: int = N_ROWS) -> np.ndarray:
    """Three classes in the proportions 1/2, 1/4, 1/4."""
    return LABELS[np.resize([0, 0, 1, 2], n_rows)]


def make_data(
    estimator: Any, *, n_rows: int = N_ROWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a table and labels; labels are None for generators without classes."""
    labels = make_labels(n_rows) if is_conditional(estimator) else None
    X = make_table(n_rows=n_rows, seed=seed, labels=labels)
    return (np.rint(X) if wants_counts(estimator) else X), labels


def wants_counts(estimator: Any) -> bool:
    return bool(getattr(get_tags(estimator).input_tags, "positive_only", False))


def make_frame(estimator: Any, *, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    """Return the table as a data frame with an integer, a float32 and two float columns."""
    X, labels = make_data(estimator, seed=seed)
    frame = pd.DataFrame(X, columns=NAMES)
    frame["age"] = np.rint(frame["age"]).astype("int64")
    frame["height"] = frame["height"].astype("float32")
    return frame, labels


def is_conditional(estimator: Any) -> bool:
    """Whether ``sample`` takes labels; some generators know only after ``fit``."""
    if hasattr(estimator, "sample_labeled"):
        return True
    parts = estimator.get_params(deep=False)
    inner = parts["steps"][-1][1] if "steps" in parts else parts.get("generator")
    if inner is not None and hasattr(inner, "sample"):
        return is_conditional(inner)
    return "y" in inspect.signature(estimator.sample).parameters


def is_latent(estimator: Any) -> bool:
    return hasattr(estimator, "transform") and hasattr(estimator, "inverse_transform")


def has_parameter(estimator: Any, name: str) -> bool:
    return name in estimator.get_params(deep=False)


def seed_names(estimator: Any) -> list[str]:
    return [
        name
        for name in estimator.get_params(deep=True)
        if name == "random_state" or name.endswith("__random_state")
    ]


def seeded(estimator: Any, random_state: Any = 0) -> Any:
    """Return a clone all of whose ``random_state`` parameters are set."""
    estimator = clone(estimator)
    names = seed_names(estimator)
    return estimator.set_params(**dict.fromkeys(names, random_state)) if names else estimator


def fit(estimator: Any, X: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X) if y is None else estimator.fit(X, y)


def fitted(estimator: Any, *, random_state: Any = 0) -> Any:
    X, y = make_data(estimator)
    return fit(seeded(estimator, random_state), X, y)


def array(rows: Any) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64)


def require(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def require_raises(
    kinds: Any,
    match: str | list[str],
    message: str,
    function: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> None:
    """Require that the call fails with one of ``kinds`` and a text that names each of ``match``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(*args, **kwargs)
    except kinds as exc:
        for text in [match] if isinstance(match, str) else match:
            require(
                text.lower() in str(exc).lower(),
                f"{message}, and the message must contain {text!r}; got: {exc}",
            )
        return
    except Exception as exc:
        raise AssertionError(f"{message}; got {type(exc).__name__}: {exc}") from exc
    raise AssertionError(f"{message}; nothing was raised.")


def call(estimator: Any, method: str, *args: Any) -> Any:
    return getattr(estimator, method)(*args)


def different(A: Any, B: Any) -> bool:
    return not np.array_equal(array(A), array(B))


def numpy_state() -> Any:
    return np.random.get_state(legacy=False)  # noqa: NPY002


def global_random_states() -> dict[str, Any]:
    states: dict[str, Any] = {"python": random.getstate(), "numpy": pickle.dumps(numpy_state())}
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states


def polars() -> Any:
    try:
        import polars
    except ImportError as exc:
        raise SkipTest("polars is not installed") from exc
    return polars
