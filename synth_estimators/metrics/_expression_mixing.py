"""How well labels mix among neighbours: batches, or real and synthetic rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.stats import chi2

from synth_estimators._distances import nearest_rows
from synth_estimators._mixing import (
    chi_squared_mixture,
    inverse_simpson,
    neighbor_weights,
    others_nearest,
)
from synth_estimators._random import local_rng
from synth_estimators.metrics._tables import result
from synth_estimators.preprocessing._columns import MISSING, category_label, read_tables
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = ["kbet_acceptance", "lisi"]

_NEIGHBORS_PER_PERPLEXITY = 3
_MIN_NEIGHBORS = 10


def _read_rows(X, labels, *, space, discrete_columns, metric):
    """Map the rows into the space; return them with the number of the label of every row."""
    table = read_tables({"X": X}, discrete_columns=discrete_columns)["X"]
    fitted = MixedSpace(space=space)._fit_table(table)
    values = np.asarray(labels, dtype=object)
    if values.shape != (len(table),):
        raise ValueError(
            f"labels has shape {values.shape}, but X has {len(table)} rows; pass one label a row."
        )
    names, codes = np.unique([category_label(value) for value in values], return_inverse=True)
    if MISSING in names:
        raise ValueError(
            f"labels holds {int((codes == list(names).index(MISSING)).sum())} missing values; "
            "drop these rows or give them a label of their own."
        )
    if len(names) < 2:
        raise ValueError(
            f"labels holds the value {str(names[0])!r} only; {metric} needs at least two labels."
        )
    if len(table) < 3:
        raise ValueError(f"X has {len(table)} rows; {metric} needs at least three.")
    return fitted, fitted._transform_table(table), names, codes


def lisi(
    X: Any,
    labels: Any,
    *,
    perplexity: float = 30.0,
    rescale: bool = False,
    space: str = "identity",
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    r"""Local inverse Simpson index: the effective number of labels among the neighbours of a row.

    With :math:`p_b` the weight of label b among the neighbours of a row, its index is
    :math:`1 / \sum_b p_b^2`; the score is the median over the rows.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, for example principal components of expression.

    labels : array-like of shape (n_samples,)
        Batch of every row (1 is bad mixing), or cell type (1 is good separation). Pass real and
        synthetic rows together, labelled as such, to see whether they mix.

    perplexity : float, default=30.0
        Effective number of neighbours; three times as many are weighted.

    rescale : bool, default=False
        Return (LISI - 1) / (B - 1) for B labels, between 0 and 1.

    space : {"identity", "standard"}, default="identity"
        "identity" takes the columns as they are, "standard" scales them and encodes categories.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``label`` and ``lisi`` of every row), ``lisi``
        and ``rescaled`` (both medians), ``n_labels``, ``n_neighbors`` and ``perplexity`` instead
        of a number.

    Returns
    -------
    index : float or Bunch
        Between 1 and the number of labels; well mixed labels of equal size come near that number.

    Warns
    -----
    UserWarning
        If there are too few rows for the perplexity, which is then lowered.

    Notes
    -----
    The bandwidth of the weights is found by bisection, in 50 steps or to a difference of 1e-5 in
    entropy. Labels of unequal size mix to fewer effective labels: to
    :math:`1 / \sum_b (n_b / n)^2`.

    References
    ----------
    .. [1] Korsunsky, I. et al. (2019). "Fast, sensitive and accurate integration of single-cell
       data with Harmony". Nature Methods 16, 1289-1296.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import lisi
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> batch = np.tile(["a", "b"], 150)
    >>> bool(lisi(X, batch) > 1.9), lisi(X + 99.0 * (batch == "a")[:, None], batch)
    (True, 1.0)
    """
    if space not in ("identity", "standard"):
        raise ValueError(f"space={space!r} is unknown; use 'identity' or 'standard'.")
    if not perplexity > 1:
        raise ValueError(f"perplexity={perplexity!r} must be above 1.")
    _, rows, names, codes = _read_rows(
        X, labels, space=space, discrete_columns=discrete_columns, metric="lisi"
    )
    n_neighbors = int(_NEIGHBORS_PER_PERPLEXITY * perplexity)
    if n_neighbors > len(rows) - 1:
        n_neighbors = len(rows) - 1
        # One neighbour alone has no bandwidth.
        perplexity = max(n_neighbors / _NEIGHBORS_PER_PERPLEXITY, min(1.5, n_neighbors))
        warnings.warn(
            f"X has {len(rows)} rows, too few for the perplexity asked for; it is lowered to "
            f"{perplexity:g}, with {n_neighbors} neighbours.",
            UserWarning,
            stacklevel=2,
        )
    distance, index = nearest_rows(rows, rows, k=n_neighbors, exclude_self=True)
    weight = neighbor_weights(distance, perplexity)
    values = inverse_simpson(codes[index], weight, len(names))
    median = float(np.median(values))
    rescaled = (median - 1.0) / (len(names) - 1.0)
    return result(
        rescaled if rescale else median,
        breakdown,
        lambda: {"label": names[codes], "lisi": values},
        lisi=median,
        rescaled=rescaled,
        n_labels=len(names),
        n_neighbors=n_neighbors,
        perplexity=float(perplexity),
    )


def kbet_acceptance(
    X: Any,
    labels: Any,
    *,
    n_neighbors: int | None = None,
    n_rows: int | None = 100,
    level: float = 0.05,
    space: str = "identity",
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the rows whose neighbours show the global mixture of labels.

    The counts of the labels among the neighbours of a row are tested against the global shares by
    a chi-squared test.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, for example principal components of expression.

    labels : array-like of shape (n_samples,)
        Batch of every row.

    n_neighbors : int or None, default=None
        Size of a neighbourhood; None is a quarter of the smallest batch, at least 10.

    n_rows : int or None, default=100
        Random rows that are tested; None tests all.

    level : float, default=0.05
        A row is accepted if its p-value is above this.

    space : {"identity", "standard"}, default="identity"
        "identity" takes the columns as they are, "standard" scales them and encodes categories.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws the rows.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``row``, ``label``, ``chi2`` and ``p`` of every
        tested row), ``n_labels`` and ``n_neighbors`` instead of a number.

    Returns
    -------
    acceptance : float or Bunch
        Between 0 and 1; near 1 minus ``level`` for batches that mix perfectly.

    Notes
    -----
    Neighbours are drawn without replacement, so that neighbourhoods that hold a good part of the
    table are accepted more often than 1 minus ``level``.

    References
    ----------
    .. [1] Büttner, M., Miao, Z., Wolf, F. A., Teichmann, S. A. and Theis, F. J. (2019). "A test
       metric for assessing single-cell RNA-seq batch correction". Nature Methods 16, 43-49.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import kbet_acceptance
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> batch = np.tile(["a", "b"], 150)
    >>> bool(kbet_acceptance(X, batch, random_state=0) > 0.85)
    True
    >>> kbet_acceptance(X + 99.0 * (batch == "a")[:, None], batch, random_state=0)
    0.0
    """
    if space not in ("identity", "standard"):
        raise ValueError(f"space={space!r} is unknown; use 'identity' or 'standard'.")
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} must be between 0 and 1.")
    for name, value in (("n_neighbors", n_neighbors), ("n_rows", n_rows)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value!r} must be at least 1 or None.")
    _, rows, names, codes = _read_rows(
        X, labels, space=space, discrete_columns=discrete_columns, metric="kbet_acceptance"
    )
    sizes = np.bincount(codes)
    if n_neighbors is None:
        n_neighbors = max(_MIN_NEIGHBORS, int(sizes.min()) // 4)
    n_neighbors = min(int(n_neighbors), len(rows) - 1)
    chosen = np.arange(len(rows))
    if n_rows is not None and n_rows < len(rows):
        chosen = np.sort(local_rng(random_state).choice(len(rows), n_rows, replace=False))
    index = others_nearest(rows, chosen, n_neighbors)
    statistic = chi_squared_mixture(codes[index], sizes)
    p = chi2.sf(statistic, len(names) - 1)
    return result(
        (p > level).mean(),
        breakdown,
        lambda: {"row": chosen, "label": names[codes[chosen]], "chi2": statistic, "p": p},
        n_labels=len(names),
        n_neighbors=n_neighbors,
    )
