"""Agreement of what tells groups of samples apart: differential expression and clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics._expression import pearson
from synth_estimators.metrics._expression_structure import concordance
from synth_estimators.metrics._expression_tables import (
    known_labels,
    moments,
    most_variable,
    read_genes,
    read_groups,
)
from synth_estimators.metrics._tables import result, undefined
from synth_estimators.preprocessing._columns import MISSING, category_label

__all__ = ["cluster_agreement", "de_agreement"]

# Smallest p-value whose logarithm is taken.
_TINY = 1e-300


class _GroupTests:
    """Welch's t of every gene between two groups of rows."""

    def __init__(self, table, first, second):
        n_genes = len(table.names)
        self.difference = np.full(n_genes, np.nan)
        self.t = np.full(n_genes, np.nan)
        self.p = np.full(n_genes, np.nan)
        for part, block in table.blocks():
            self.difference[part], self.t[part], self.p[part] = _welch(block[first], block[second])

    @property
    def p_filled(self):
        """P-values with 1 for genes that cannot be tested."""
        return np.where(np.isnan(self.p), 1.0, self.p)


def _mean_and_error(block):
    """Mean, squared standard error and degrees of freedom of the columns."""
    missing = np.isnan(block)
    count = (~missing).sum(axis=0)
    filled = np.where(missing, 0.0, block)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    squares = (np.where(missing, 0.0, filled - mean) ** 2).sum(axis=0)
    low = np.where(missing, np.inf, block).min(axis=0, initial=np.inf)
    high = np.where(missing, -np.inf, block).max(axis=0, initial=-np.inf)
    # Rounding of the mean must not pass for a spread.
    squares[~(high > low)] = 0.0
    freedom = np.where(count > 1, count - 1.0, np.nan)
    return np.where(count > 0, mean, np.nan), squares / freedom / np.maximum(count, 1), freedom


def _welch(first, second):
    """Difference of the means (second minus first), t and two-sided p of every column."""
    mean_a, error_a, freedom_a = _mean_and_error(first)
    mean_b, error_b, freedom_b = _mean_and_error(second)
    difference, error = mean_b - mean_a, error_a + error_b
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(error)
        freedom = error**2 / (error_a**2 / freedom_a + error_b**2 / freedom_b)
    # Without any spread the ratio is 0 / 0, or infinite and then certain.
    freedom = np.where(np.isnan(freedom), 1.0, freedom)
    return difference, t, 2.0 * stdtr(freedom, -np.abs(t))


def _discoveries(p, level):
    """Genes found at this false discovery rate by the Benjamini-Hochberg rule."""
    order = np.argsort(p, kind="stable")
    below = np.flatnonzero(p[order] <= level * np.arange(1, len(p) + 1) / len(p))
    found = np.zeros(len(p), dtype=bool)
    if below.size:
        found[order[: below[-1] + 1]] = True
    return found


def _two_groups(labels_real, labels_synth, order):
    """Return the two labels that are compared."""
    known = known_labels(labels_real)
    if order is None:
        if len(known) == 2:
            return known
        raise ValueError(
            f"X_real holds {len(known)} groups {known[:8]}, but de_agreement compares two; pass "
            "order=(first, second) to choose them."
        )
    chosen = [category_label(value) for value in order]
    if len(chosen) != 2 or chosen[0] == chosen[1]:
        raise ValueError(f"order={order!r} must hold two different groups.")
    unknown = [value for value in chosen if value not in known]
    if unknown:
        raise ValueError(
            f"order names the group {unknown[0]!r}, which X_real lacks; it holds {known[:8]}."
        )
    return chosen


def de_agreement(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any = None,
    y_real: Any = None,
    y_synth: Any = None,
    order: Any = None,
    scale: str = "log2p1",
    level: float = 0.05,
    discrete_columns: Any = "auto",
    breakdown: bool = False,
) -> Any:
    """Agreement of differential expression between two groups: correlation of the differences.

    Every gene is tested between the groups in each table by Welch's t. The score is the Pearson
    correlation of the mean differences; the breakdown adds the agreement of tests and findings.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order.

    target : column name or int, default=None
        Column of both tables that holds the groups.

    y_real, y_synth : array-like of shape (n_samples,), default=None
        The groups, if they are no column of the tables.

    order : pair of labels, default=None
        The groups to compare; differences are second minus first. None takes the two groups of the
        real table in sorted order. Samples of other groups are left out.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        Scale of the values, as in ``gene_ks_distance``. On a log2 scale the differences are log
        fold changes.

    level : float, default=0.05
        False discovery rate of the Benjamini-Hochberg rule.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out.

    breakdown : bool, default=False
        Return a Bunch instead of a number, see Notes.

    Returns
    -------
    agreement : float or Bunch
        Between -1 and 1, the best. NaN with a warning if a group has fewer than two samples in one
        of the tables, or the differences do not vary.

    Notes
    -----
    The Bunch holds ``score``, ``details`` (difference, t and p of every gene in both tables) and

    - ``lfc_pearson``, the score, and ``t_spearman``, the rank correlation of the t statistics;
    - ``n_sig_real`` and ``n_sig_synth``, numbers of genes found, ``jaccard``, the overlap of the
      two sets (NaN if both are empty), and ``sign_agreement``, the share of the genes found in the
      real table whose difference has the same sign in the synthetic one (NaN if there are none);
    - ``ccc_log2FC`` and ``ccc_log10pvalue``, Lin's concordance of the differences and of -log10 p;
    - ``fail_prop``, the share of the genes testable in the real table that cannot be tested in the
      synthetic one since they do not vary there;
    - ``n_dropped``, samples of other groups or without a group, in both tables, ``n_genes`` and
      ``n_negative``.

    Genes that cannot be tested have p = 1, and their t counts as 0 in ``t_spearman``. Groups are
    compared as text, so that ``1``, ``1.0`` and ``"1"`` are one group.

    References
    ----------
    .. [1] Benjamini, Y. and Hochberg, Y. (1995). "Controlling the False Discovery Rate". Journal
       of the Royal Statistical Society B 57(1), 289-300.
    .. [2] Lin, L. I. (1989). "A Concordance Correlation Coefficient to Evaluate Reproducibility".
       Biometrics 45(1), 255-268.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import de_agreement
    >>> rng = np.random.default_rng(0)
    >>> groups = np.repeat(["case", "control"], 30)
    >>> rate = np.where(groups[:, None] == "case", [50, 20, 5], [20, 50, 5])
    >>> real, synth = rng.poisson(rate), rng.poisson(rate)
    >>> bool(de_agreement(real, synth, y_real=groups, y_synth=groups) > 0.99)
    True
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} must be between 0 and 1.")
    real, synth = read_genes(
        X_real, X_synth, scale=scale, discrete_columns=discrete_columns, target=target
    )
    labels = read_groups(
        X_real, X_synth, target=target, y_real=y_real, y_synth=y_synth, metric="de_agreement"
    )
    first, second = _two_groups(*labels, order)
    left, right = (
        _GroupTests(table, values == first, values == second)
        for table, values in zip((real, synth), labels, strict=True)
    )
    found = _de_numbers(left, right, level)
    short = [
        f"{name} has {int((values == group).sum())} samples of group {group!r}"
        for name, values in zip(("X_real", "X_synth"), labels, strict=True)
        for group in (first, second)
        if (values == group).sum() < 2
    ]
    score = found["lfc_pearson"]
    if short:
        score = undefined("de_agreement", f"{short[0]}; expected at least 2")
    elif np.isnan(score):
        score = undefined("de_agreement", "the differences between the groups do not vary")
    return result(
        score,
        breakdown,
        lambda: pd.DataFrame(
            {
                "column": synth.names,
                **{
                    f"{name}_{side}": getattr(tests, name)
                    for name in ("difference", "t", "p")
                    for side, tests in (("real", left), ("synth", right))
                },
                "n_negative": synth.n_negative,
                "n_nonfinite": synth.n_nonfinite,
            }
        ),
        n_dropped=sum(int((~np.isin(values, [first, second])).sum()) for values in labels),
        n_genes=len(real.names),
        n_negative=int(synth.n_negative.sum()),
        **found,
    )


def _de_numbers(left, right, level):
    hits_real, hits_synth = (_discoveries(tests.p_filled, level) for tests in (left, right))
    either, both = (hits_real | hits_synth).sum(), (hits_real & hits_synth).sum()
    same_sign = np.sign(left.difference) == np.sign(right.difference)
    testable = ~np.isnan(left.p)
    ranks = [
        rankdata(np.nan_to_num(tests.t, posinf=np.inf, neginf=-np.inf)) for tests in (left, right)
    ]
    nan = float("nan")
    return {
        "lfc_pearson": pearson(left.difference, right.difference),
        "t_spearman": pearson(*ranks),
        "n_sig_real": int(hits_real.sum()),
        "n_sig_synth": int(hits_synth.sum()),
        "jaccard": float(both / either) if either else nan,
        "sign_agreement": float(same_sign[hits_real].mean()) if hits_real.any() else nan,
        "ccc_log2FC": concordance(left.difference, right.difference),
        "ccc_log10pvalue": concordance(
            *(-np.log10(np.maximum(tests.p_filled, _TINY)) for tests in (left, right))
        ),
        "fail_prop": float(np.isnan(right.p[testable]).mean()) if testable.any() else nan,
    }


def cluster_agreement(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any = None,
    y_real: Any = None,
    y_synth: Any = None,
    scale: str = "log2p1",
    max_genes: int | None = 2000,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Difference between the tables in how well clusters recover the groups.

    k-means with as many clusters as the real table has groups is fitted on the real samples and
    applied to both tables; the score is the absolute difference of the two adjusted Rand indices
    between clusters and groups.

    Parameters
    ----------
    X_real, X_synth : {array-like, sparse matrix, pandas DataFrame} of shape (n_samples, n_genes)
        Tables with the same genes, in any order.

    target : column name or int, default=None
        Column of both tables that holds the groups.

    y_real, y_synth : array-like of shape (n_samples,), default=None
        The groups, if they are no column of the tables.

    scale : {"log2p1", "logcpm", "none"}, default="log2p1"
        Scale of the values, as in ``gene_ks_distance``.

    max_genes : int or None, default=2000
        Genes that clusters are made of: those with the largest variance in the real table. None
        takes all.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        Columns that are no genes and left out.

    random_state : int, RandomState instance or None, default=None
        Seeds k-means.

    breakdown : bool, default=False
        Return a Bunch instead of a number. It holds ``score``, ``details`` (``table``, ``group``
        and ``cluster`` of every sample), ``ari_real`` and ``ari_synth``, ``complementary_ari`` (1
        minus the absolute adjusted Rand index between clusters of both tables together and
        real-or-synthetic: 1 if clusters do not tell the tables apart), ``ari_joint`` (those
        clusters against the groups), ``n_clusters``, ``n_dropped`` (samples without a group),
        ``n_genes`` and ``n_negative``.

    Returns
    -------
    difference : float or Bunch
        Between 0, the best, and 2.

    Notes
    -----
    Missing values are filled by the mean of the gene in the real table.

    References
    ----------
    .. [1] Hubert, L. and Arabie, P. (1985). "Comparing Partitions". Journal of Classification 2,
       193-218.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import cluster_agreement
    >>> groups = np.repeat([0, 1], 20)
    >>> real = np.random.default_rng(0).poisson(np.where(groups[:, None] == 0, [9, 90], [90, 9]))
    >>> cluster_agreement(real, real, y_real=groups, y_synth=groups, random_state=0)
    0.0
    """
    real, synth = read_genes(
        X_real, X_synth, scale=scale, discrete_columns=discrete_columns, target=target
    )
    labels = read_groups(
        X_real, X_synth, target=target, y_real=y_real, y_synth=y_synth, metric="cluster_agreement"
    )
    kept = [values != MISSING for values in labels]
    groups = [values[keep] for values, keep in zip(labels, kept, strict=True)]
    n_clusters = len(known_labels(groups[0]))
    if n_clusters < 2:
        raise ValueError(
            f"X_real holds {n_clusters} group(s); cluster_agreement needs at least two."
        )
    found = moments(real)
    genes = most_variable(np.nan_to_num(found.sd), np.arange(len(real.names)), max_genes)
    rows = [
        _filled(table.dense(genes), found.mean[genes])[keep]
        for table, keep in zip((real, synth), kept, strict=True)
    ]
    seeds = spawn_seeds(random_state, 2)
    model = KMeans(n_clusters, n_init=10, random_state=seeds[0]).fit(rows[0])
    more: dict[str, Any] = {}
    if len(rows[1]) == 0:
        clusters = [model.labels_, np.empty(0, dtype=model.labels_.dtype)]
        score = undefined("cluster_agreement", "no synthetic sample has a group")
    else:
        clusters = [model.labels_, model.predict(rows[1])]
        ari = [adjusted_rand_score(*pair) for pair in zip(groups, clusters, strict=True)]
        score = abs(ari[0] - ari[1])
        more = {"ari_real": float(ari[0]), "ari_synth": float(ari[1])}
        if breakdown:
            more |= _joint_clusters(rows, groups, n_clusters, seeds[1])
    return result(
        score,
        breakdown,
        lambda: {
            "table": np.repeat(["real", "synth"], [len(values) for values in groups]),
            "group": np.concatenate(groups),
            "cluster": np.concatenate(clusters),
        },
        n_clusters=n_clusters,
        n_dropped=sum(int((~keep).sum()) for keep in kept),
        n_genes=len(genes),
        n_negative=int(synth.n_negative.sum()),
        **more,
    )


def _filled(block, means):
    return np.where(np.isnan(block), np.nan_to_num(means), block)


def _joint_clusters(rows, groups, n_clusters, seed):
    """Clusters of both tables together, against their origin and against the groups."""
    clusters = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(np.vstack(rows))
    origin = np.repeat([0, 1], [len(part) for part in rows])
    return {
        "complementary_ari": float(1.0 - abs(adjusted_rand_score(origin, clusters))),
        "ari_joint": float(adjusted_rand_score(np.concatenate(groups), clusters)),
    }
