"""What a correction has kept of the structure between rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from synth_estimators._mixing import nearest_others
from synth_estimators._random import local_rng
from synth_estimators.batch_effects._batch_rows import principal_axes, read_matrix

__all__ = ["check_pair", "compare_structure", "kept_structure"]


def shared_neighbors(first: np.ndarray, second: np.ndarray) -> float:
    """Mean share of the neighbours that a row has in both tables."""
    n_rows, size = first.shape
    marks = np.arange(n_rows)[:, None] * n_rows
    both = np.intersect1d(first + marks, second + marks, assume_unique=True)
    return len(both) / (n_rows * size)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman correlation of two vectors; NaN if one of them is constant."""
    ranks = [rankdata(values) for values in (first, second)]
    ranks = [values - values.mean() for values in ranks]
    norms = [float(np.sqrt(values @ values)) for values in ranks]
    if not all(norms):
        return float("nan")
    return float(np.clip(ranks[0] @ ranks[1] / (norms[0] * norms[1]), -1.0, 1.0))


def compare_structure(
    after: np.ndarray, before: np.ndarray, sizes: Any, *, max_rows: int, rng: Any
) -> dict[str, float]:
    """Shares of kept neighbours and the rank correlation of distances of two tables of rows."""
    n_rows = len(after)
    sizes = [int(size) for size in sizes if size < n_rows - 1]
    found = {}
    if sizes:
        near = [nearest_others(rows, max(sizes))[1] for rows in (after, before)]
        for size in sizes:
            found[f"knn_overlap_{size}"] = shared_neighbors(*(index[:, :size] for index in near))
    if n_rows > max_rows:
        chosen = np.sort(rng.choice(n_rows, max_rows, replace=False))
        after, before = after[chosen], before[chosen]
    found["distance_correlation"] = rank_correlation(pdist(after), pdist(before))
    return found


def kept_structure(
    X: Any,
    before: Any,
    *,
    n_neighbors: tuple[int, ...] = (5, 10, 50),
    n_pcs: int | None = None,
    max_rows: int = 2000,
    random_state: Any = None,
) -> dict[str, float]:
    """How much of the neighbourhoods and distances between rows a correction has kept.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Corrected rows, without missing cells.

    before : {array-like, pandas DataFrame} of shape (n_samples, n_features_before)
        The same rows before the correction.

    n_neighbors : tuple of int, default=(5, 10, 50)
        Sizes of neighbourhoods; those of ``n_samples - 1`` or more are left out.

    n_pcs : int or None, default=None
        Measure on the first principal components of either table; None takes the features.

    max_rows : int, default=2000
        Rows whose pairwise distances are compared; of larger tables as many are drawn.

    random_state : int, RandomState instance or None, default=None
        Draws the rows.

    Returns
    -------
    kept : dict of float
        ``knn_overlap_5`` and so on, the mean share of the nearest rows that a row keeps, and
        ``distance_correlation``, the Spearman correlation of the pairwise distances. All are 1
        where nothing has changed.

    Notes
    -----
    Removing a strong batch effect has to change distances: compare the values of corrections with
    each other, not with 1.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import kept_structure
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> found = kept_structure(2.0 * X + 1.0, X)
    >>> round(found["knn_overlap_10"], 6), round(found["distance_correlation"], 6)
    (1.0, 1.0)
    """
    if any(size < 1 for size in n_neighbors):
        raise ValueError(f"n_neighbors={n_neighbors!r} must hold sizes of at least 1.")
    if max_rows < 3:
        raise ValueError(f"max_rows={max_rows!r} must be at least 3.")
    tables = []
    for values, name in ((X, "X"), (before, "before")):
        rows = read_matrix(values, name)
        rows = rows - rows.mean(axis=0)
        if n_pcs is not None or rows.shape[1] > len(rows):
            rows = principal_axes(rows)[0][:, :n_pcs]
        tables.append(rows)
    check_pair(*tables)
    return compare_structure(*tables, n_neighbors, max_rows=max_rows, rng=local_rng(random_state))


def check_pair(after: np.ndarray, before: np.ndarray) -> None:
    """Refuse tables of different rows."""
    if len(after) != len(before):
        raise ValueError(
            f"X has {len(after)} rows but before has {len(before)}; pass the same rows before and "
            "after the correction."
        )
    if len(after) < 3:
        raise ValueError(f"X has {len(after)} rows; distances are compared between three or more.")
