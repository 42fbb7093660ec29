"""Agreement of the dependence between genes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.metrics._expression_tables import moments, most_variable, read_genes
from synth_estimators.metrics._pairs import (
    _correlation_blocks,
    _Correlations,
    _matrix_agreement,
)
from synth_estimators.metrics._tables import ConstantColumnWarning, result, undefined

__all__ = ["concordance", "correlation_noise_floor", "gene_correlation_distance"]


def concordance(a: np.ndarray, b: np.ndarray) -> float:
    """Lin's concordance correlation of two vectors; NaN for fewer than two places or no spread."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    return _concordance_of_sums(
        np.array([len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b], dtype=np.float64)
    )


def _concordance_of_sums(sums):
    count, sum_a, sum_b, aa, bb, ab = sums
    if count < 2:
        return float("nan")
    mean_a, mean_b = sum_a / count, sum_b / count
    spread = aa / count - mean_a**2 + bb / count - mean_b**2 + (mean_a - mean_b) ** 2
    if spread <= 0:
        return float("nan")
    return float(2.0 * (ab / count - mean_a * mean_b) / spread)


def correlation_noise_floor(n_real: int, n_synth: int) -> float:
    r"""Expected ``gene_correlation_distance`` of two samples of one law, for weak correlations.

    .. math:: \sqrt{2 / \pi} \sqrt{1 / (n - 3) + 1 / (m - 3)}

    Parameters
    ----------
    n_real, n_synth : int
        Numbers of samples, at least 4.

    Returns
    -------
    floor : float

    Notes
    -----
    Sampling errors shrink with :math:`1 - r^2`, so that tables with strong correlations can come
    out below the floor. ``split_half_value`` measures it on the real table itself.

    Examples
    --------
    >>> from synth_estimators.metrics import correlation_noise_floor
    >>> round(correlation_noise_floor(60, 60), 3)
    0.149
    """
    if n_real < 4 or n_synth < 4:
        raise ValueError(f"n_real={n_real!r} and n_synth={n_synth!r} must be at least 4.")
    return float(np.sqrt(2.0 / np.pi) * np.sqrt(1.0 / (n_real - 3) + 1.0 / (n_synth - 3)))


def gene_correlation_distance(
    X_real: Any,
    X_synth: Any,
    *,
    scale: str = "log2p1",
    max_genes: int | None = 2000,
    gene_groups: Any = None,
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Mean absolute difference of the correlations between genes.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        Scale of the values, as in ``gene_ks_distance``.

    max_genes : int or None, default=2000
        Genes that are compared: those with the largest variance in the real table, among the ones
        that vary in both. None takes all; correlations are held in blocks whatever the number, but
        time grows with its square.

    gene_groups : array-like of shape (n_genes,), default=None
        Group of every gene (a cluster on the chromosome, a pathway), in the order of the genes of
        ``X_real``. ``ccc_pos`` then is over pairs of genes of one group.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out.

    breakdown : bool, default=False
        Return a Bunch instead of a number. It holds ``score``, ``details`` (mean difference of
        every gene), ``pearson`` (correlation between the correlations), ``frobenius_relative``
        (norm of the difference of the matrices over the norm of the real one), ``ccc_pos`` (Lin's
        concordance over the pairs that correlate positively in the real table), ``noise_floor``
        (``correlation_noise_floor``), ``n_genes`` (compared), ``n_constant`` (constant in one of
        the tables), ``n_constant_synth`` (in the synthetic one only) and ``n_negative``.

    Returns
    -------
    distance : float or Bunch
        Between 0, the best, and 2. NaN with a warning if fewer than two genes vary in both tables.

    Warns
    -----
    ConstantColumnWarning
        If a gene is constant in the synthetic table only. Such genes are left out, so that a table
        with many of them looks better than it is.

    See Also
    --------
    correlation_noise_floor : What two samples of one law differ by.

    Notes
    -----
    Pearson correlations on the samples complete in each pair.

    References
    ----------
    .. [1] Lin, L. I. (1989). "A Concordance Correlation Coefficient to Evaluate Reproducibility".
       Biometrics 45(1), 255-268.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import gene_correlation_distance
    >>> x = np.arange(5.0)
    >>> real, synth = np.column_stack([x, x]), np.column_stack([x, 4 - x])
    >>> round(gene_correlation_distance(real, synth, scale="none"), 6)
    2.0
    """
    real, synth = read_genes(X_real, X_synth, scale=scale, discrete_columns=discrete_columns)
    groups = _checked_groups(gene_groups, len(real.names))
    left, right = moments(real), moments(synth)
    constant = left.constant | right.constant
    only_synth = right.constant & (right.count > 0) & ~left.constant
    if only_synth.any():
        shown = [str(real.names[j]) for j in np.flatnonzero(only_synth)[:5]]
        warnings.warn(
            f"{int(only_synth.sum())} genes are constant in the synthetic table only (first: "
            f"{shown}) and left out of gene_correlation_distance.",
            ConstantColumnWarning,
            stacklevel=2,
        )
    genes = most_variable(np.nan_to_num(left.sd), np.flatnonzero(~constant), max_genes)
    found = _Comparison(len(genes), None if groups is None else groups[genes])
    if len(genes) >= 2:
        found.add_all(_Correlations(real.dense(genes)), _Correlations(synth.dense(genes)))
    score = found.mean()
    if np.isnan(score):
        score = undefined("gene_correlation_distance", "fewer than two genes vary in both tables")
    pearson, frobenius = _matrix_agreement(found.sums, len(genes))
    sizes = len(real), len(synth)
    return result(
        score,
        breakdown,
        lambda: pd.DataFrame(
            {
                "column": [real.names[j] for j in genes],
                "score": found.per_gene(),
                "n_negative": synth.n_negative[genes],
                "n_nonfinite": synth.n_nonfinite[genes],
            }
        ),
        pearson=pearson,
        frobenius_relative=frobenius,
        ccc_pos=_concordance_of_sums(found.positive),
        noise_floor=correlation_noise_floor(*sizes) if min(sizes) > 3 else float("nan"),
        n_genes=len(genes),
        n_constant=int(constant.sum()),
        n_constant_synth=int(only_synth.sum()),
        n_negative=int(synth.n_negative.sum()),
    )


def _checked_groups(gene_groups, n_genes):
    if gene_groups is None:
        return None
    groups = np.asarray(gene_groups)
    if groups.shape != (n_genes,):
        raise ValueError(
            f"gene_groups has shape {groups.shape}, but the tables hold {n_genes} genes; pass one "
            "group a gene."
        )
    return np.unique(groups, return_inverse=True)[1]


class _Comparison:
    """Sums over the pairs of genes, block by block."""

    def __init__(self, n_genes, groups):
        self.groups = groups
        self.sums, self.positive = np.zeros(6), np.zeros(6)
        self.gap, self.count = np.zeros(n_genes), np.zeros(n_genes)

    def add_all(self, real, synth):
        for rows, columns, r_real, r_synth in _correlation_blocks(real, synth):
            gap = np.abs(r_real - r_synth)
            valid = ~np.isnan(gap)
            gap[~valid] = 0.0
            self.gap[rows] += gap.sum(axis=1)
            self.gap[columns] += gap.sum(axis=0)
            self.count[rows] += valid.sum(axis=1)
            self.count[columns] += valid.sum(axis=0)
            self.sums += _sums(r_real[valid], r_synth[valid])
            close = valid & (r_real > 0)
            if self.groups is not None:
                close &= self.groups[rows][:, None] == self.groups[columns][None, :]
            self.positive += _sums(r_real[close], r_synth[close])

    def mean(self):
        return self.gap.sum() / self.count.sum() if self.count.any() else float("nan")

    def per_gene(self):
        means = np.full(len(self.gap), np.nan)
        np.divide(self.gap, self.count, out=means, where=self.count > 0)
        return means


def _sums(a, b):
    return np.array([len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b], dtype=np.float64)
