"""What a metric says of real rows against real rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import _safe_indexing

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics._registry import METRICS
from synth_estimators.metrics._tables import mean_or_undefined, result
from synth_estimators.preprocessing._columns import as_frame, category_label

__all__ = ["split_half_value"]


def split_half_value(
    metric: str | Callable,
    X_real: Any,
    *,
    y: Any = None,
    n_splits: int = 10,
    metric_params: dict | None = None,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Value of a metric between random halves of a real table: the limit set by its size.

    Parameters
    ----------
    metric : str or callable
        Name from ``METRICS``, or ``metric(X_real, X_synth, **metric_params)``.

    X_real : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_features)
        Real rows, at least four.

    y : array-like of shape (n_samples,), default=None
        Labels of the rows. They are dealt evenly to the halves and given to the metric as
        ``y_real`` and ``y_synth``. A column named by ``target`` in ``metric_params`` is dealt
        evenly too.

    n_splits : int, default=10
        Number of random splits that are averaged.

    metric_params : dict, default=None
        Keywords of the metric.

    random_state : int, RandomState instance or None, default=None
        Draws the splits.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (value of every split), ``sd`` over the splits
        and ``n_half`` (rows of the smaller half) instead of a number.

    Returns
    -------
    value : float or Bunch
        Mean over the splits.

    Notes
    -----
    Halves hold fewer rows than the tables that are judged, so that metrics that shrink with the
    number of rows come out somewhat worse here than for two full tables of one law.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import correlation_noise_floor, split_half_value
    >>> counts = np.random.default_rng(0).poisson(50, size=(60, 40))
    >>> value = split_half_value("gene_correlation_distance", counts, random_state=0)
    >>> bool(abs(value - correlation_noise_floor(30, 30)) < 0.02)
    True
    """
    function = _function_of(metric)
    if n_splits < 1:
        raise ValueError(f"n_splits={n_splits!r} must be at least 1.")
    params = dict(metric_params or {})
    rows = X_real if sparse.issparse(X_real) else as_frame(X_real, name="X_real")[0]
    if sparse.issparse(rows):
        rows = sparse.csr_array(rows)
    n_rows = rows.shape[0]
    if n_rows < 4:
        raise ValueError(f"X_real has {n_rows} rows; halves need at least four.")
    order_by = _order_by(rows, y, params.get("target"))
    values = []
    for seed in spawn_seeds(random_state, n_splits):
        halves = _halves(order_by, seed)
        labels = {}
        if y is not None:
            labels = {
                name: np.asarray(y)[half]
                for name, half in zip(("y_real", "y_synth"), halves, strict=True)
            }
        tables = [_safe_indexing(rows, half) for half in halves]
        values.append(float(function(*tables, **params, **labels)))
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", "the metric")
    return result(
        mean_or_undefined(values, name),
        breakdown,
        lambda: {"split": np.arange(n_splits), "score": values},
        sd=float(np.std(values, ddof=1)) if n_splits > 1 else float("nan"),
        n_half=n_rows // 2,
    )


def _function_of(metric):
    if callable(metric):
        return metric
    if metric not in METRICS:
        raise ValueError(
            f"metric={metric!r} is unknown; use a callable or one of {sorted(METRICS)}."
        )
    return METRICS[metric].function


def _order_by(rows, y, target):
    """Numbers by which rows are dealt to the halves; equal ones are in random order."""
    if y is not None:
        if len(y) != rows.shape[0]:
            raise ValueError(f"y has {len(y)} labels, but X_real has {rows.shape[0]} rows.")
        values = pd.Series(np.asarray(y, dtype=object))
    elif target is None:
        return np.zeros(rows.shape[0])
    elif sparse.issparse(rows):
        raise ValueError("A sparse table has no target column; pass the labels as y=.")
    elif target in rows.columns:
        values = rows[target]
    else:
        raise ValueError(
            f"target={target!r} is not a column of X_real; its columns are "
            f"{[str(label) for label in rows.columns[:8]]}."
        )
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.unique([category_label(value) for value in values], return_inverse=True)[1]


def _halves(order_by, seed):
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(order_by)), order_by))
    first = int(rng.integers(2))
    return np.sort(order[first::2]), np.sort(order[1 - first :: 2])
