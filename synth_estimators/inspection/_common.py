"""What the displays share: matplotlib on demand, colours, tables, rows drawn from an estimator."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from synth_estimators._optional import require
from synth_estimators._validation import check_n_samples

# Blue, orange and bluish green of the Okabe-Ito palette: told apart with every common kind of
# colour blindness and, by their lightness, in grey print.
REAL_COLOR = "#0072B2"
SYNTH_COLOR = "#E69F00"
MARK_COLOR = "#009E73"

MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "*")


def pyplot(owner: str) -> Any:
    """Import ``matplotlib.pyplot`` or say which extra installs it."""
    require("matplotlib", extra="plot", purpose=owner)
    return importlib.import_module("matplotlib.pyplot")


def merged(defaults: dict, user: dict | None) -> dict:
    """Keywords of an artist, the user's words last; ``c``, ``ls`` and ``lw`` replace long names."""
    aliases = {"c": "color", "ls": "linestyle", "lw": "linewidth", "ms": "markersize"}
    given = {aliases.get(key, key): value for key, value in (user or {}).items()}
    return {**defaults, **given}


def as_frame(X: Any, *, name: str, columns: Any = None) -> pd.DataFrame:
    """Return a table as a data frame; columns of an array are called ``x0``, ``x1``, ..."""
    if isinstance(X, pd.DataFrame):
        frame = X
    elif type(X).__module__.split(".")[0] == "polars":
        frame = pd.DataFrame({c: X[c].to_numpy() for c in X.columns})
    else:
        array = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        if array.ndim != 2:
            raise ValueError(
                f"{name} must be a table with rows and columns, got an array of shape "
                f"{array.shape}."
            )
        if columns is None or len(columns) != array.shape[1]:
            columns = [f"x{j}" for j in range(array.shape[1])]
        frame = pd.DataFrame(array, columns=pd.Index(columns))
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise ValueError(
            f"{name} has shape {frame.shape}; expected at least one row and one column."
        )
    if not frame.columns.is_unique:
        repeated = sorted({str(c) for c in frame.columns[frame.columns.duplicated()]})
        raise ValueError(f"{name} has duplicated column names {repeated}; rename them.")
    return frame


def as_frames(X_real: Any, X_synth: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables with the columns of the real one, or say which columns differ.

    An array beside a data frame is taken to hold the frame's columns in their order.
    """
    real_names = getattr(X_real, "columns", None)
    synth_names = getattr(X_synth, "columns", None)
    real = as_frame(X_real, name="X_real", columns=synth_names)
    synth = as_frame(X_synth, name="X_synth", columns=real_names)
    missing = [c for c in real.columns if c not in synth.columns]
    extra = [c for c in synth.columns if c not in real.columns]
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"X_synth lacks {_shortened(missing)}")
        if extra:
            parts.append(f"X_real lacks {_shortened(extra)}")
        raise ValueError(f"{' and '.join(parts)}; expected the same columns in both tables.")
    return real, synth[list(real.columns)]


def _shortened(names: list, limit: int = 5) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:limit])
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"column{'s' if len(names) > 1 else ''} {shown}{more}"


def inner_estimators(estimator: Any) -> list[Any]:
    """List the estimator and what it wraps: searches, pipelines, meta-estimators."""
    chain = [estimator]
    while True:
        outer = chain[-1]
        if hasattr(outer, "best_estimator_"):
            chain.append(outer.best_estimator_)
        elif getattr(outer, "steps", None):
            chain.append(outer.steps[-1][1])
        elif hasattr(outer, "generator_"):
            chain.append(outer.generator_)
        else:
            return chain


def sampler_of(estimator: Any, *, owner: str) -> Any:
    """Return the estimator, or the best one of a search, that has ``sample``."""
    check_is_fitted(estimator)
    if not hasattr(estimator, "sample") and hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    if not hasattr(estimator, "sample"):
        raise TypeError(
            f"{owner} needs a generator with a 'sample' method, got "
            f"{type(estimator).__name__}; wrap preprocessing and generator in a "
            "SynthesisPipeline or TransformedGenerator."
        )
    return estimator


def draw(
    estimator: Any, X_real: Any, *, n_samples: int | None, random_state: Any, y: Any, owner: str
) -> tuple[Any, Any]:
    """Draw rows to compare with ``X_real``, with labels where ``y`` is given."""
    sampler = sampler_of(estimator, owner=owner)
    n_rows = len(X_real) if n_samples is None else check_n_samples(n_samples)
    if n_rows == 0:
        raise ValueError(f"n_samples=0 leaves nothing to draw in {owner}; pass at least 1.")
    if y is None:
        return sampler.sample(n_rows, random_state=random_state), None
    if not hasattr(sampler, "sample_labeled"):
        raise TypeError(
            f"y was given, but {type(sampler).__name__} draws no labels; fit a conditional "
            "generator (CVAE, ClassConditionalGenerator) or leave y out."
        )
    return sampler.sample_labeled(n_rows, random_state=random_state)
