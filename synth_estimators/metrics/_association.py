"""Association of columns of all kinds, and joint frequencies of several columns."""

from __future__ import annotations

import warnings
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from synth_estimators._random import local_rng
from synth_estimators.metrics._pairs import (
    _Correlations,
    _discrete_states,
    _OneHot,
)
from synth_estimators.metrics._tables import (
    ConstantColumnWarning,
    check_values,
    mean_or_undefined,
    read_pair,
    result,
)

__all__ = ["association_distance", "marginal_k_similarity"]


def _corrected_v(joint, starts, n_rows):
    """Bias-corrected Cramér's V of one column (rows of the joint counts) and blocks of columns."""
    joint = sparse.csr_array(joint)
    row_sums = np.asarray(joint.sum(axis=1)).ravel() / len(starts)
    column_sums = np.asarray(joint.sum(axis=0)).ravel()
    inverse = sparse.diags_array(1.0 / np.where(row_sums > 0, row_sums, 1.0))
    ratio = np.asarray((inverse @ (joint * joint)).sum(axis=0)).ravel()
    ratio = ratio / np.where(column_sums > 0, column_sums, 1.0)
    phi2 = np.add.reduceat(ratio, starts) - 1.0
    n_left = float((row_sums > 0).sum())
    n_right = np.add.reduceat((column_sums > 0).astype(np.float64), starts)
    rest = max(1.0, n_rows - 1.0)
    phi2 = np.maximum(0.0, phi2 - (n_left - 1.0) * (n_right - 1.0) / rest)
    left = n_left - (n_left - 1.0) ** 2 / rest
    right = n_right - (n_right - 1.0) ** 2 / rest
    smaller = np.minimum(left, right) - 1.0
    # A category for every row, or one for all, leaves nothing to correct.
    defined = smaller > 1e-12
    return np.where(defined, np.sqrt(phi2 / np.where(defined, smaller, 1.0)), np.nan).clip(max=1.0)


def _correlation_ratios(one_hot, column, correlations):
    """Correlation ratio of every continuous column given one discrete column."""
    start, stop = one_hot.offsets[column], one_hot.offsets[column + 1]
    groups = one_hot.matrix[start:stop] if one_hot.dense else one_hot.matrix[:, start:stop].T
    values, observed = correlations.scaled, correlations.observed
    counts, sums = groups @ observed, groups @ values
    n, total = observed.sum(axis=0), values.sum(axis=0)
    n = np.where(n > 0, n, 1.0)
    all_squares = (values**2).sum(axis=0) - total**2 / n
    between = sums**2 / np.where(counts > 0, counts, 1.0)
    between = between.sum(axis=0) - total**2 / n
    varies = all_squares > 1e-12 * n
    ratio = np.where(varies, between / np.where(varies, all_squares, 1.0), np.nan)
    return np.sqrt(ratio.clip(0.0, 1.0))


def _associations(table):
    """Matrix of associations, NaN where one is undefined; discrete columns come first."""
    n_discrete = len(table.categories)
    correlations = _Correlations(table.continuous)
    matrix = np.full((len(table.names),) * 2, np.nan)
    matrix[n_discrete:, n_discrete:] = np.abs(correlations.block(slice(None), slice(None)))
    if n_discrete:
        one_hot = _OneHot(list(table.codes.T), [len(labels) for labels in table.categories])
        for column in range(n_discrete):
            starts = one_hot.offsets[column + 1 : -1] - one_hot.offsets[column + 1]
            if starts.size:
                joint = one_hot.joint(column)
                matrix[column, column + 1 : n_discrete] = _corrected_v(joint, starts, len(table))
            if table.continuous.shape[1]:
                matrix[column, n_discrete:] = _correlation_ratios(one_hot, column, correlations)
        constant = np.r_[_discrete_states(table)[0], correlations.constant]
        matrix[constant], matrix[:, constant] = np.nan, np.nan
    return matrix


def association_distance(
    X_real: Any, X_synth: Any, *, discrete_columns: Any = "auto", breakdown: bool = False
) -> Any:
    """Mean absolute difference of the associations between all pairs of columns.

    The association is the absolute Pearson correlation of two continuous columns, the
    bias-corrected V of Cramér of two discrete ones, and the correlation ratio of a continuous
    column given a discrete one.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a pair, with both associations)
        instead of a number.

    Returns
    -------
    distance : float or Bunch
        Between 0, the best, and 1.

    Warns
    -----
    ConstantColumnWarning
        If a column is constant in the synthetic table only; its associations count as 0 there.

    Notes
    -----
    Pairs whose association is undefined in the real table (a constant column, a category for
    every row) are left out. The sign of a correlation is not seen.

    References
    ----------
    .. [1] Bergsma, W. (2013). "A bias-correction for Cramér's V and Tschuprow's T". Journal of the
       Korean Statistical Society 42(3), 323-328.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators.metrics import association_distance
    >>> real = pd.DataFrame({"x": [0.0, 0.0, 1.0, 1.0], "g": ["a", "a", "b", "b"]})
    >>> association_distance(real, real.assign(x=[0.0, 1.0, 0.0, 1.0]))
    1.0
    """
    real, synth = read_pair(X_real, X_synth, discrete_columns=discrete_columns)
    place = np.r_[np.flatnonzero(real.discrete), np.flatnonzero(~real.discrete)]
    a, b = _associations(real), _associations(synth)
    lost = np.flatnonzero(_varies(real) & ~_varies(synth))
    if lost.size:
        shown = [str(real.names[place[j]]) for j in lost[:5]]
        warnings.warn(
            f"{lost.size} columns are constant in the synthetic table only (first: {shown}); "
            "their associations there are taken as 0.",
            ConstantColumnWarning,
            stacklevel=2,
        )
    first, second = np.triu_indices(len(place), k=1)
    in_real = a[first, second]
    in_synth = np.where(np.isnan(in_real), np.nan, np.nan_to_num(b[first, second]))
    gaps = np.abs(in_real - in_synth)

    def details():
        one, two = place[first], place[second]
        frame = pd.DataFrame(
            {
                "column_1": [real.names[j] for j in np.minimum(one, two)],
                "column_2": [real.names[j] for j in np.maximum(one, two)],
                "score": gaps,
                "association_real": in_real,
                "association_synth": in_synth,
            }
        )
        order = np.lexsort((np.maximum(one, two), np.minimum(one, two)))
        return frame.iloc[order].reset_index(drop=True)

    return result(mean_or_undefined(gaps, "association_distance"), breakdown, details)


def _varies(table):
    """Which columns hold several values; discrete columns come first."""
    return ~np.r_[_discrete_states(table)[0], _Correlations(table.continuous).constant]


def _quantile_codes(a, b, weight):
    """Both columns cut into ten parts of the real one; missing is a part of its own."""
    observed = ~np.isnan(a)
    edges = np.empty(0)
    if observed.any():
        edges = np.quantile(
            a[observed],
            np.arange(1, 10) / 10,
            method="inverted_cdf",
            weights=None if weight is None else weight[observed],
        )
        edges = np.unique(edges)
        if np.ptp(a[observed]) == 0:
            edges = np.array([np.nextafter(edges[0], -np.inf), edges[0]])
    codes = []
    for values in (a, b):
        part = np.searchsorted(edges, values)
        part[np.isnan(values)] = len(edges) + 1
        codes.append(part)
    return codes[0], codes[1], len(edges) + 2


def _tuples(n_columns, k, n_tuples, rng):
    """All combinations of k columns, or as many different ones drawn at random."""
    if comb(n_columns, k) <= n_tuples:
        return list(combinations(range(n_columns), k))
    drawn = {}
    while len(drawn) < n_tuples:
        drawn[tuple(sorted(rng.choice(n_columns, k, replace=False).tolist()))] = None
    return list(drawn)


def _joint_similarity(columns, weight):
    """1 minus the total variation distance of the joint law of some coded columns."""
    joint_real = joint_synth = 0
    for real, synth, _ in columns:
        # Renumbered after each column, so that the numbers stay small.
        size = max(int(real.max()), int(synth.max())) + 1
        both = np.concatenate([joint_real * size + real, joint_synth * size + synth])
        both = np.unique(both, return_inverse=True)[1]
        joint_real, joint_synth = both[: len(real)], both[len(real) :]
    n_cells = int(both.max()) + 1
    p = np.bincount(joint_real, weights=weight, minlength=n_cells)
    q = np.bincount(joint_synth, minlength=n_cells) / len(joint_synth)
    return 1.0 - 0.5 * float(np.abs(p / p.sum() - q).sum())


def marginal_k_similarity(
    X_real: Any,
    X_synth: Any,
    *,
    k: int = 3,
    n_tuples: int = 200,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Agreement of the joint frequencies of k columns, averaged over sets of columns.

    1 minus the total variation distance between the joint laws; a continuous column is cut into
    ten parts that hold equal shares of the real column, and missing is a part of its own.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    k : int, default=3
        Columns in a set; lowered with a warning where the table has fewer.

    n_tuples : int, default=200
        Most sets that are looked at; drawn at random where there are more.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    random_state : int, RandomState instance or None, default=None
        Draws the sets.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a set), ``k``, ``n_real`` and
        ``n_synth`` instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    Notes
    -----
    Two samples of one law score below 1, the more so the fewer rows there are for the up to
    :math:`11^k` cells: compare with the value of fresh real rows.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import marginal_k_similarity
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> marginal_k_similarity(X, X, random_state=0)
    1.0
    """
    if k < 1:
        raise ValueError(f"k={k!r} must be at least 1.")
    if n_tuples < 1:
        raise ValueError(f"n_tuples={n_tuples!r} must be at least 1.")
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    check_values(real, "X_real")
    n_columns = len(real.names)
    usable = min(k, n_columns)
    if usable < k:
        warnings.warn(
            f"k={k} is too large for {n_columns} columns; k={usable} is used.", stacklevel=2
        )
    chosen = _tuples(n_columns, usable, n_tuples, local_rng(random_state))
    coded = {}
    continuous, discrete = np.cumsum(~real.discrete) - 1, np.cumsum(real.discrete) - 1
    for j in {j for columns in chosen for j in columns}:
        if real.discrete[j]:
            place = discrete[j]
            coded[j] = real.codes[:, place], synth.codes[:, place], len(real.categories[place])
        else:
            place = continuous[j]
            coded[j] = _quantile_codes(
                real.continuous[:, place], synth.continuous[:, place], real.weight
            )
    scores = [_joint_similarity([coded[j] for j in columns], real.weight) for columns in chosen]

    def details():
        return pd.DataFrame(
            {"columns": [tuple(real.names[j] for j in c) for c in chosen], "score": scores}
        )

    # Differences of shares may leave a little less than nothing.
    score = max(0.0, np.mean(scores))
    return result(score, breakdown, details, k=usable, n_real=len(real), n_synth=len(synth))
