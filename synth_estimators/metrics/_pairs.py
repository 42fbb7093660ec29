"""Agreement of pairs of columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from synth_estimators.metrics._tables import (
    ConstantColumnWarning,
    read_pair,
    result,
    undefined,
)
from synth_estimators.preprocessing._columns import MISSING, MixedTable

__all__ = ["column_pair_trends_score", "correlation_distance"]

_N_BINS = 10

# Relative variance below which a column counts as constant on the rows complete in a pair.
_NO_VARIANCE = 1e-12

_BLOCK_COLUMNS = 512

# Most indicators that are held as a dense matrix (200 MB).
_DENSE_ELEMENTS = 50_000_000

# Pairs the report of sdmetrics averages over: |r| and Cramer's V of the real table above these.
_PEER_CORRELATION = 0.5
_PEER_ASSOCIATION = 0.3


class _Correlations:
    """Pearson correlations of a block of columns, on the rows complete in each pair."""

    def __init__(self, values, weight=None):
        missing = np.isnan(values)
        self.n_columns = values.shape[1]
        self.empty = missing.all(axis=0)
        self.complete = not missing.any()
        low = np.where(missing, np.inf, values).min(axis=0, initial=np.inf)
        high = np.where(missing, -np.inf, values).max(axis=0, initial=-np.inf)
        self.constant = ~(high > low)
        weight = None if weight is None else weight[:, None]
        self.observed = (~missing).astype(np.float64)
        self.mass = self.observed if weight is None else self.observed * weight
        count = self.mass.sum(axis=0)
        count[self.empty] = 1.0
        centred = np.where(missing, 0.0, values)
        total = (centred if weight is None else centred * weight).sum(axis=0)
        centred = np.where(missing, 0.0, values - total / count)
        squares = centred**2
        norm = np.sqrt((squares if weight is None else squares * weight).sum(axis=0))
        self.constant |= norm == 0
        self.scaled = centred / np.where(self.constant, 1.0, norm / np.sqrt(count))
        self.scaled[:, self.constant] = 0.0
        #: Scaled values times the weights of their rows, and the sum of these weights.
        self.weighted = self.scaled if weight is None else self.scaled * weight
        self.total = len(values) if weight is None else weight.sum()

    def block(self, rows, columns):
        """Correlations of columns ``rows`` with ``columns``; NaN where undefined."""
        Z, left = self.scaled[:, columns], self.weighted[:, rows]
        if self.complete:
            r = left.T @ Z / self.total
        else:
            W, mass = self.observed[:, columns], self.mass[:, rows]
            n = mass.T @ W
            sum_a, sum_b = left.T @ W, mass.T @ Z
            var_a = n * ((left * self.scaled[:, rows]).T @ W) - sum_a**2
            var_b = n * (mass.T @ (Z**2)) - sum_b**2
            flat = (var_a <= _NO_VARIANCE * n**2) | (var_b <= _NO_VARIANCE * n**2)
            product = np.where(flat, 1.0, var_a) * np.where(flat, 1.0, var_b)
            r = (n * (left.T @ Z) - sum_a * sum_b) / np.sqrt(product)
            r[flat] = np.nan
        np.clip(r, -1.0, 1.0, out=r)
        r[self.constant[rows], :] = np.nan
        r[:, self.constant[columns]] = np.nan
        return r


def _column_blocks(n_columns):
    for start in range(0, n_columns, _BLOCK_COLUMNS):
        yield slice(start, min(start + _BLOCK_COLUMNS, n_columns)), slice(start, n_columns)


def _correlation_blocks(real, synth):
    """Yield the upper triangles of both correlation matrices in blocks of columns.

    Both are NaN where the real correlation is undefined; where only the synthetic one is, it is 0.
    """
    for rows, columns in _column_blocks(real.n_columns):
        r_real, r_synth = real.block(rows, columns), synth.block(rows, columns)
        height, width = r_real.shape
        outside = np.arange(width)[None, :] <= np.arange(height)[:, None]
        r_real[outside] = np.nan
        r_synth[np.isnan(r_synth)] = 0.0
        r_synth[np.isnan(r_real)] = np.nan
        yield rows, columns, r_real, r_synth


def _warn_constant(real, synth, names):
    only_synth = np.flatnonzero(synth.constant & ~synth.empty & ~real.constant)
    if only_synth.size:
        shown = [str(names[j]) for j in only_synth[:5]]
        warnings.warn(
            f"{only_synth.size} columns are constant in the synthetic table only (first: {shown}); "
            "their correlations there are taken as 0.",
            ConstantColumnWarning,
            stacklevel=3,
        )


def _bin_codes(real, synth, binning):
    """Cut the continuous columns of both tables into equal-width bins.

    Returns one pair of code arrays and the number of codes for every column.
    """
    cut = _bins_of_real if binning == "real" else _bins_of_own
    return [cut(a, b) for a, b in zip(real.continuous.T, synth.continuous.T, strict=True)]


def _bins_of_real(a, b):
    observed = a[~np.isnan(a)]
    if observed.size == 0:
        return np.isnan(a).astype(np.intp), np.isnan(b).astype(np.intp), 2
    edges = np.histogram_bin_edges(observed, bins=_N_BINS)[1:-1]
    if observed.min() == observed.max():
        edges = np.array([observed[0], np.nextafter(observed[0], np.inf)])
    return _digitize(a, edges), _digitize(b, edges), len(edges) + 2


def _bins_of_own(a, b):
    """Every table by its own edges; maximum and missing cells share one more bin."""
    coded = []
    for values in (a, b):
        observed = values[~np.isnan(values)]
        edges = np.histogram_bin_edges(observed if observed.size else np.zeros(1), bins=_N_BINS)
        coded.append(np.digitize(values, edges))
    return coded[0], coded[1], _N_BINS + 2


def _digitize(values, edges):
    codes = np.digitize(values, edges)
    codes[np.isnan(values)] = len(edges) + 1
    return codes


class _OneHot:
    """Categories and bins of a table as indicators; discrete columns come first."""

    def __init__(self, code_columns, sizes, weight=None):
        codes = np.column_stack(code_columns)
        self.n_rows, n_columns = codes.shape
        self.offsets = np.r_[0, np.cumsum(sizes)]
        indices = codes + self.offsets[:-1]
        shape = (self.n_rows, int(self.offsets[-1]))
        self.dense = shape[0] * shape[1] <= _DENSE_ELEMENTS
        self.weight = weight
        if self.dense:
            # Single precision holds counts up to 2 ** 24.
            dtype = np.float32 if weight is None else np.float64
            self.matrix = np.zeros(shape[::-1], dtype=dtype)
            self.matrix[indices, np.arange(self.n_rows)[:, None]] = 1.0
        else:
            pointers = np.arange(0, indices.size + 1, n_columns)
            self.matrix = sparse.csr_array(
                (np.ones(indices.size), indices.ravel(), pointers), shape=shape
            ).tocsc()

    def joint(self, column):
        """Joint counts (sums of the weights) of one column with all that follow it."""
        start, stop = self.offsets[column], self.offsets[column + 1]
        if self.dense:
            own = self.matrix[start:stop]
            own = own if self.weight is None else own * self.weight
            return (own @ self.matrix[stop:].T).astype(np.float64)
        own = self.matrix[:, start:stop].T
        own = own if self.weight is None else own @ sparse.diags_array(self.weight)
        return (own @ self.matrix[:, stop:]).tocsr()


def _contingency_scores(real, synth, n_first, binned, *, with_association):
    """Yield for each of the first columns its similarity with every column after it.

    Discrete columns come before the binned ones.
    """
    sizes = [len(labels) for labels in real.categories] + [size for _, _, size in binned]
    one_hot_real = _OneHot([*real.codes.T, *(a for a, _, _ in binned)], sizes, real.weight)
    one_hot_synth = _OneHot([*synth.codes.T, *(b for _, b, _ in binned)], sizes)
    for column in range(n_first):
        starts = one_hot_real.offsets[column + 1 : -1] - one_hot_real.offsets[column + 1]
        if not starts.size:
            return
        joint, joint_synth = one_hot_real.joint(column), one_hot_synth.joint(column)
        if one_hot_real.dense != one_hot_synth.dense:
            joint, joint_synth = sparse.csr_array(joint), sparse.csr_array(joint_synth)
        gap = abs(joint / one_hot_real.n_rows - joint_synth / one_hot_synth.n_rows)
        total = np.asarray(gap.sum(axis=0)).ravel()
        scores = 1.0 - 0.5 * np.add.reduceat(total, starts)
        yield column, scores, _cramers_v(joint, starts) if with_association else None


def _cramers_v(joint, starts):
    """Cramer's V between one column (rows of the joint counts) and each block of columns."""
    joint = sparse.csr_array(joint)
    row_sums = np.asarray(joint.sum(axis=1)).ravel()
    n_rows = row_sums.sum() / len(starts)
    row_sums = row_sums / len(starts)
    column_sums = np.asarray(joint.sum(axis=0)).ravel()
    scaled = sparse.diags_array(1.0 / np.where(row_sums > 0, row_sums, 1.0)) @ (joint * joint)
    ratio = np.asarray(scaled.sum(axis=0)).ravel() / np.where(column_sums > 0, column_sums, 1.0)
    n_columns = np.add.reduceat((column_sums > 0).astype(float), starts)
    smaller = np.minimum(n_columns, (row_sums > 0).sum()) - 1
    chi2 = n_rows * (np.add.reduceat(ratio, starts) - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(smaller > 0, np.sqrt(np.maximum(chi2, 0.0) / (n_rows * smaller)), np.nan)


def _discrete_states(table: MixedTable):
    """Which discrete columns hold one category only, and which are entirely missing."""
    constant, empty = [], []
    for k, labels in enumerate(table.categories):
        first = table.codes[0, k]
        constant.append(bool((table.codes[:, k] == first).all()))
        empty.append(constant[-1] and labels[first] == MISSING)
    return np.array(constant, dtype=bool), np.array(empty, dtype=bool)


class _PairScores:
    """Sum, count and, if wanted, the full table of the scores of the pairs."""

    def __init__(self, n_columns, keep):
        self.total, self.count = 0.0, 0
        shape = (n_columns, n_columns)
        self.scores = np.full(shape, np.nan) if keep else None
        self.real = np.full(shape, np.nan) if keep else None
        self.synth = np.full(shape, np.nan) if keep else None

    def add(self, rows, columns, scores, r_real=None, r_synth=None):
        valid = ~np.isnan(scores)
        self.total += float(scores[valid].sum())
        self.count += int(valid.sum())
        if self.scores is None:
            return
        for target, values in (
            (self.scores, scores),
            (self.real, r_real),
            (self.synth, r_synth),
        ):
            if values is not None:
                place = np.ix_(rows, columns)
                target[place] = np.where(np.isnan(values), target[place], values)

    def mean(self, metric):
        """Mean over the pairs that can be compared."""
        if self.count == 0:
            return undefined(metric, "no pair of columns can be compared")
        return self.total / self.count


def _correlations(real, synth):
    """Correlations of the continuous columns of both tables."""
    left = _Correlations(real.continuous, real.weight)
    right = _Correlations(synth.continuous)
    _warn_constant(left, right, real.continuous_names)
    return left, right


def _numeric_pairs(collect, left, right, place, threshold=0.0):
    """Add the correlation similarity of all pairs of continuous columns."""
    one_empty, both_empty = left.empty ^ right.empty, left.empty & right.empty
    any_empty = bool((left.empty | right.empty).any())
    for rows, columns, r_real, r_synth in _correlation_blocks(left, right):
        scores = 1.0 - 0.5 * np.abs(r_real - r_synth)
        if threshold > 0:
            scores[~(np.abs(r_real) > threshold)] = np.nan
        if any_empty:
            height, width = scores.shape
            upper = np.arange(width)[None, :] > np.arange(height)[:, None]
            scores[(one_empty[rows, None] | one_empty[None, columns]) & upper] = 0.0
            scores[both_empty[rows, None] | both_empty[None, columns]] = np.nan
        collect.add(place[rows], place[columns], scores, r_real, r_synth)


def _contingency_pairs(
    collect, real, synth, left, right, *, binning, all_pairs=False, threshold=0.0
):
    """Add the contingency similarity of the pairs with a discrete column, or of all pairs."""
    numeric, discrete = np.flatnonzero(~real.discrete), np.flatnonzero(real.discrete)
    constant, real_empty = _discrete_states(real)
    synth_empty = _discrete_states(synth)[1]
    constant = np.r_[constant, left.constant]
    one_empty = np.r_[real_empty ^ synth_empty, left.empty ^ right.empty]
    both_empty = np.r_[real_empty & synth_empty, left.empty & right.empty]
    place = np.r_[discrete, numeric]
    pairs = _contingency_scores(
        real,
        synth,
        len(place) if all_pairs else len(discrete),
        _bin_codes(real, synth, binning),
        with_association=threshold > 0,
    )
    for column, scores, association in pairs:
        rest = slice(column + 1, None)
        scores = np.clip(scores, 0.0, 1.0)
        if association is not None:
            scores[~(association > threshold)] = np.nan
        scores[constant[rest] | constant[column]] = np.nan
        scores[one_empty[rest] | one_empty[column]] = 0.0
        scores[both_empty[rest] | both_empty[column]] = np.nan
        collect.add(place[[column]], place[rest], scores[None, :])


def _trend_pairs(real, synth, *, binning, correlation_threshold, association_threshold, keep):
    """Scores of all pairs of columns."""
    collect = _PairScores(len(real.names), keep)
    left, right = _correlations(real, synth)
    _numeric_pairs(collect, left, right, np.flatnonzero(~real.discrete), correlation_threshold)
    if real.discrete.any():
        _contingency_pairs(
            collect, real, synth, left, right, binning=binning, threshold=association_threshold
        )
    return collect


def _trend_details(collect, table):
    both_continuous = ~(table.discrete[:, None] | table.discrete[None, :])
    metric = np.where(both_continuous, "correlation_similarity", "contingency_similarity")
    return _pair_details(collect, table.names, metric)


def _pair_details(collect, names, metric):
    """One row for every pair of the columns with these names."""
    first, second = np.triu_indices(len(names), k=1)
    names = np.array([*names, None], dtype=object)[:-1]

    def upper(values):
        return np.where(
            np.isnan(values[first, second]), values[second, first], values[first, second]
        )

    return pd.DataFrame(
        {
            "column_1": names[first],
            "column_2": names[second],
            "metric": metric[first, second],
            "score": upper(collect.scores),
            "correlation_real": upper(collect.real),
            "correlation_synth": upper(collect.synth),
        }
    )


def column_pair_trends_score(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any = "auto",
    binning: str = "real",
    correlation_threshold: float | None = None,
    association_threshold: float | None = None,
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Mean agreement of the dependence in all pairs of columns.

    Two continuous columns score :math:`1 - |r_\text{real} - r_\text{synth}| / 2` (Pearson, on the
    rows complete in the pair). Pairs with a discrete column score
    :math:`1 - \frac12 \sum |p_{ab} - q_{ab}|` over their joint table, a continuous partner being
    cut into 10 bins of equal width; missing is a bin of its own.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    binning : {"real", "own"}, default="real"
        "real" cuts both tables by the edges of the real column, the outer bins open. "own" cuts
        each table by its own edges and reproduces the report of sdmetrics: a shift goes unnoticed.

    correlation_threshold, association_threshold : float or None, default=None
        Only pairs whose correlation (absolute) or Cramer's V in the real table lies above these
        are averaged. None is 0 (all pairs) with ``binning="real"`` and the 0.5 and 0.3 of
        sdmetrics with ``binning="own"``.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a pair) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    Warns
    -----
    ConstantColumnWarning
        If a column is constant in the synthetic table only; its correlations count as 0 there.

    Notes
    -----
    A pair with a column that is constant in the real table has no trend and is left out. One that
    is entirely missing in one table scores 0. The continuous columns are handled by one
    correlation matrix a table, in blocks of columns.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import column_pair_trends_score
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=300)
    >>> real = np.column_stack([x, x])
    >>> shuffled = np.column_stack([x, rng.permutation(x)])
    >>> column_pair_trends_score(real, real), bool(column_pair_trends_score(real, shuffled) < 0.6)
    (1.0, True)
    """
    if binning not in ("real", "own"):
        raise ValueError(f"binning={binning!r} is unknown; use 'real' or 'own'.")
    if correlation_threshold is None:
        correlation_threshold = 0.0 if binning == "real" else _PEER_CORRELATION
    if association_threshold is None:
        association_threshold = 0.0 if binning == "real" else _PEER_ASSOCIATION
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    collect = _trend_pairs(
        real,
        synth,
        binning=binning,
        correlation_threshold=correlation_threshold,
        association_threshold=association_threshold,
        keep=breakdown,
    )
    score = collect.mean("column_pair_trends_score")
    return result(score, breakdown, lambda: _trend_details(collect, real))


def correlation_distance(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    """Mean absolute difference of the correlations between continuous columns.

    Off-diagonal Pearson correlations over the columns that are not constant in the real table.
    For expression data pass log2 values.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are left out.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (mean difference of each column), ``pearson``
        (correlation between the correlations), ``frobenius_relative`` (norm of the difference of
        the matrices over the norm of the real one) and ``n_columns``.

    Returns
    -------
    distance : float or Bunch
        Between 0, the best, and 2.

    Warns
    -----
    ConstantColumnWarning
        If a column is constant in the synthetic table only; its correlations count as 0 there.

    Notes
    -----
    Two samples of n rows of one law differ by about ``1.13 / sqrt(n)`` where correlations are
    small.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import correlation_distance
    >>> x = np.arange(5.0)
    >>> real, synth = np.column_stack([x, x]), np.column_stack([x, -x])
    >>> round(correlation_distance(real, synth), 6)
    2.0
    """
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    left, right = _correlations(real, synth)
    n_columns = real.continuous.shape[1]
    per_column, per_count = np.zeros(n_columns), np.zeros(n_columns)
    sums = np.zeros(6)
    for rows, columns, r_real, r_synth in _correlation_blocks(left, right):
        gap = np.abs(r_real - r_synth)
        valid = ~np.isnan(gap)
        gap[~valid] = 0.0
        a, b = r_real[valid], r_synth[valid]
        sums += [len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b]
        per_column[rows] += gap.sum(axis=1)
        per_column[columns] += gap.sum(axis=0)
        per_count[rows] += valid.sum(axis=1)
        per_count[columns] += valid.sum(axis=0)
    if sums[0] == 0:
        score = undefined(
            "correlation_distance", "fewer than two continuous columns vary in the real table"
        )
    else:
        score = per_column.sum() / per_count.sum()

    def details():
        means = np.full(n_columns, np.nan)
        np.divide(per_column, per_count, out=means, where=per_count > 0)
        return pd.DataFrame(
            {
                "column": real.continuous_names,
                "score": means,
                "n_nonfinite": synth.n_nonfinite[~real.discrete],
            }
        )

    pearson, frobenius = _matrix_agreement(sums, int((~left.constant).sum()))
    return result(
        score,
        breakdown,
        details,
        pearson=pearson,
        frobenius_relative=frobenius,
        n_columns=int((~left.constant).sum()),
    )


def _matrix_agreement(sums, n_columns):
    """Pearson between the triangles and relative Frobenius norm of the difference."""
    count, sum_a, sum_b, aa, bb, ab = sums
    if count == 0:
        return float("nan"), float("nan")
    spread = (aa - sum_a**2 / count) * (bb - sum_b**2 / count)
    pearson = (ab - sum_a * sum_b / count) / np.sqrt(spread) if spread > 0 else float("nan")
    difference = 2.0 * max(0.0, aa + bb - 2.0 * ab)
    return float(pearson), float(np.sqrt(difference / (2.0 * aa + n_columns)))
