"""Wasserstein distances between rows: along random directions, and exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from synth_estimators._random import local_rng, spawn_seeds
from synth_estimators.metrics._manifold import _embed
from synth_estimators.metrics._tables import result

__all__ = ["sliced_wasserstein_distance", "wasserstein_exact"]

_MOST_ROWS = 2_000

# Numbers of a block of projections (32 MB).
_BLOCK_ELEMENTS = 4_000_000


def _projected_distances(real, synth, directions):
    """Wasserstein distances of the projections onto each direction."""
    n_real, n_synth = len(real), len(synth)
    # Both quantile functions are constant between these common steps.
    ends = np.union1d(np.arange(1, n_real + 1) * n_synth, np.arange(1, n_synth + 1) * n_real)
    widths = np.diff(ends, prepend=0) / (n_real * n_synth)
    place_real, place_synth = (ends - 1) // n_synth, (ends - 1) // n_real
    distances = np.empty(len(directions))
    step = max(1, _BLOCK_ELEMENTS // (n_real + n_synth))
    for start in range(0, len(directions), step):
        part = directions[start : start + step].T
        a, b = np.sort(real @ part, axis=0), np.sort(synth @ part, axis=0)
        distances[start : start + step] = widths @ np.abs(a[place_real] - b[place_synth])
    return distances


def sliced_wasserstein_distance(
    X_real: Any,
    X_synth: Any,
    *,
    n_directions: int = 200,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Mean Wasserstein distance between projections onto random directions.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    n_directions : int, default=200
        Number of unit vectors.

    space : {"standard", "identity"}, default="standard"
        Space the rows are projected in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Draws the directions, and the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (distance along each direction), ``n_real`` and
        ``n_synth`` instead of a number.

    Returns
    -------
    distance : float or Bunch
        At least 0, the best.

    Notes
    -----
    Two samples of one law have a distance above 0 that falls with the root of the number of rows.
    Costs a sort of the rows for every direction: the fastest metric that sees dependence.

    References
    ----------
    .. [1] Bonneel et al. (2015). "Sliced and Radon Wasserstein Barycenters of Measures". Journal
       of Mathematical Imaging and Vision 51, 22-45.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import sliced_wasserstein_distance
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> sliced_wasserstein_distance(X, X, random_state=0)
    0.0
    """
    if space == "gower":
        raise ValueError("space='gower' has no directions; use space='standard' or 'identity'.")
    if n_directions < 1:
        raise ValueError(f"n_directions={n_directions!r} must be at least 1.")
    seeds = spawn_seeds(random_state, 2)
    _, real, synth, _, _ = _embed(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        match_size=False,
        max_rows=max_rows,
        random_state=seeds[0],
    )
    directions = local_rng(seeds[1]).standard_normal((n_directions, real.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distances = _projected_distances(real, synth, directions)
    return result(
        distances.mean(),
        breakdown,
        lambda: pd.DataFrame({"direction": np.arange(n_directions), "score": distances}),
        n_real=len(real),
        n_synth=len(synth),
    )


def wasserstein_exact(
    X_real: Any,
    X_synth: Any,
    *,
    order: int = 1,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int = 2_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Wasserstein distance between rows, by the best assignment of synthetic to real rows.

    .. math:: \left(\min_\pi \tfrac1n \sum_i \|x_i - s_{\pi(i)}\|^p \right)^{1/p}

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order; cut to the same number of rows.

    order : {1, 2}, default=1
        The power p.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int, default=2_000
        Most rows of each table that are used, at most 2,000: the assignment takes about a second
        then, and time grows with the cube.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (distance from every real row to the synthetic
        row assigned to it) and ``n_rows`` instead of a number.

    Returns
    -------
    distance : float or Bunch
        At least 0, the best.

    Notes
    -----
    The value of two samples of one law is far from 0 in many dimensions and depends on the number
    of rows: compare with the value of fresh real rows.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import wasserstein_exact
    >>> X = np.random.default_rng(0).normal(size=(50, 2))
    >>> round(wasserstein_exact(X, X + [3.0, 4.0], order=2, space="identity"), 9)
    5.0
    """
    if space == "gower":
        raise ValueError("The distance is Euclidean; use space='standard' or 'identity'.")
    if order not in (1, 2):
        raise ValueError(f"order={order!r} must be 1 or 2.")
    if max_rows is None or not 1 <= max_rows <= _MOST_ROWS:
        raise ValueError(
            f"max_rows={max_rows!r} must be between 1 and {_MOST_ROWS}; use "
            "sliced_wasserstein_distance for more rows."
        )
    _, real, synth, _, _ = _embed(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        match_size=True,
        max_rows=max_rows,
        random_state=random_state,
    )
    distances = cdist(real, synth)
    cost = distances**2 if order == 2 else distances
    rows, columns = linear_sum_assignment(cost)
    return result(
        cost[rows, columns].mean() ** (1.0 / order),
        breakdown,
        lambda: pd.DataFrame({"distance": distances[rows, columns]}),
        n_rows=len(real),
    )
