"""Maximum mean discrepancy and its permutation test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist

from synth_estimators._distances import row_blocks
from synth_estimators._random import local_rng, spawn_seeds
from synth_estimators.metrics._manifold import _embed
from synth_estimators.metrics._tables import result, undefined

__all__ = ["mmd", "mmd_test"]

# Factors of 1 / median of the default kernels, each half of the one before.
_N_KERNELS = 3

# Rows whose distances the median is taken over.
_MEDIAN_ROWS = 2_000


def _median_square(real, seed):
    """Median of the squared distances between distinct real rows."""
    if len(real) > _MEDIAN_ROWS:
        real = real[np.random.default_rng(seed).permutation(len(real))[:_MEDIAN_ROWS]]
    squares = pdist(real, "sqeuclidean")
    if squares.size == 0:
        return 1.0
    # Where more than half of the rows are copies the mean stands in.
    return float(np.median(squares)) or float(squares.mean()) or 1.0


class _Kernel:
    """Gaussian kernel, or the mean of three of them."""

    def __init__(self, gamma, real, seed):
        self.single = gamma is not None
        #: Factor of the widest kernel.
        self.gamma = float(gamma) if self.single else 0.5 / _median_square(real, seed)

    @property
    def gammas(self):
        return [self.gamma * 2**step for step in range(1 if self.single else _N_KERNELS)]

    def between(self, A, B):
        values = cdist(A, B, "sqeuclidean")
        values *= -self.gamma
        np.exp(values, out=values)
        if self.single:
            return values
        # exp(-2 g d) is the square of exp(-g d).
        total = values.copy()
        for _ in range(_N_KERNELS - 1):
            values *= values
            total += values
        return np.divide(total, _N_KERNELS, out=total)

    def total(self, A, B):
        """Sum over all pairs of rows, in blocks."""
        return sum(float(self.between(A[part], B).sum()) for part in row_blocks(len(A), len(B)))


def _discrepancy(within_real, within_synth, across, n_real, n_synth, biased):
    """MMD squared from the sums of the kernel over all pairs, those of a row with itself too."""
    if biased:
        means = within_real / n_real**2, within_synth / n_synth**2
    else:
        # The kernel of a row with itself is 1.
        means = (
            (within_real - n_real) / (n_real * (n_real - 1)),
            (within_synth - n_synth) / (n_synth * (n_synth - 1)),
        )
    return means[0] + means[1] - 2.0 * across / (n_real * n_synth)


def _check(space, gamma):
    if space == "gower":
        raise ValueError("The kernel is Euclidean; use space='standard' or 'identity'.")
    if gamma is not None and not gamma > 0:
        raise ValueError(f"gamma={gamma!r} must be larger than 0, or None for the median rule.")


def mmd(
    X_real: Any,
    X_synth: Any,
    *,
    gamma: float | None = None,
    biased: bool = True,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Maximum mean discrepancy (squared) with Gaussian kernels.

    .. math:: E\,k(x, x') + E\,k(s, s') - 2 E\,k(x, s), \quad k(x, y) = e^{-\gamma \|x - y\|^2}

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    gamma : float, default=None
        Factor in the kernel. None is the mean of three kernels with 2, 1 and one half divided by
        the median squared distance between real rows (at most 2,000 of them).

    biased : bool, default=True
        Take pairs of a row with itself too (V-statistic), which is at least 0. False gives the
        unbiased U-statistic, whose mean is 0 for equal laws and which may be negative.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (mean of the kernel within and across the
        tables), ``gammas``, ``n_real`` and ``n_synth`` instead of a number.

    Returns
    -------
    discrepancy : float or Bunch
        0 is ideal.

    Notes
    -----
    The biased value of two samples of one law falls with the number of rows. Memory is bounded.

    References
    ----------
    .. [1] Gretton et al. (2012). "A Kernel Two-Sample Test". Journal of Machine Learning
       Research 13, 723-773.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import mmd
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> mmd(X, X), bool(mmd(X, X + 1.0) > 0.1)
    (0.0, True)
    """
    _check(space, gamma)
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
    kernel = _Kernel(gamma, real, seeds[1])
    sizes = {"n_real": len(real), "n_synth": len(synth)}
    if not biased and min(sizes.values()) < 2:
        score = undefined("mmd", "the unbiased value needs at least two rows in each table")
        return result(score, breakdown, {"pairs": [], "mean_kernel": []}, gammas=[], **sizes)
    sums = kernel.total(real, real), kernel.total(synth, synth), kernel.total(real, synth)
    score = _discrepancy(*sums, len(real), len(synth), biased)
    if biased:
        # Less than 0 only by rounding.
        score = max(0.0, score)

    def details():
        means = np.array(sums) / [len(real) ** 2, len(synth) ** 2, len(real) * len(synth)]
        pairs = ["within real", "within synthetic", "across"]
        return pd.DataFrame({"pairs": pairs, "mean_kernel": means})

    return result(score, breakdown, details, gammas=kernel.gammas, **sizes)


def mmd_test(
    X_real: Any,
    X_synth: Any,
    *,
    gamma: float | None = None,
    n_permutations: int = 200,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 2_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """P-value of a permutation test for equal laws, by the maximum mean discrepancy.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns. Use real rows that the generator has not seen.

    gamma : float, default=None
        As in ``mmd``.

    n_permutations : int, default=200
        Number of times the rows are dealt anew to the two tables.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=2_000
        Most rows of each table that are used; memory grows with the square of it.

    random_state : int, RandomState instance or None, default=None
        Chooses rows and permutations.

    breakdown : bool, default=False
        Return a Bunch with ``score`` (the p-value), ``statistic`` (the unbiased discrepancy),
        ``details`` (that of every permutation), ``n_real`` and ``n_synth`` instead of a number.

    Returns
    -------
    p_value : float or Bunch
        ``(1 + number of permutations that are no smaller) / (1 + n_permutations)``. Uniform
        between 0 and 1 for rows of the same law; near 0 for others.

    Notes
    -----
    With enough rows every generator is told apart: the p-value says whether there is a difference,
    not how large it is.

    References
    ----------
    .. [1] Gretton et al. (2012). "A Kernel Two-Sample Test". Journal of Machine Learning
       Research 13, 723-773.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import mmd_test
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> bool(mmd_test(X, X + 1.0, random_state=0) < 0.01)
    True
    """
    _check(space, gamma)
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations!r} must be at least 1.")
    seeds = spawn_seeds(random_state, 3)
    _, real, synth, _, _ = _embed(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        match_size=False,
        max_rows=max_rows,
        random_state=seeds[0],
    )
    n_real, n_synth = len(real), len(synth)
    sizes = {"n_real": n_real, "n_synth": n_synth}
    if min(n_real, n_synth) < 2:
        score = undefined("mmd_test", "each table needs at least two rows")
        return result(score, breakdown, {"statistic": []}, statistic=float("nan"), **sizes)
    rows = np.vstack([real, synth])
    # The kernel sees the pooled rows, so that a permutation changes the labels alone.
    similar = _Kernel(gamma, rows, seeds[1]).between(rows, rows)
    rng = local_rng(seeds[2])
    chosen = np.zeros((len(rows), 1 + n_permutations))
    chosen[:n_real, 0] = 1.0
    for column in range(1, 1 + n_permutations):
        chosen[rng.permutation(len(rows))[:n_real], column] = 1.0
    to_chosen = similar @ chosen
    everything = similar.sum()
    within_real = (chosen * to_chosen).sum(axis=0)
    across = to_chosen.sum(axis=0) - within_real
    within_synth = everything - within_real - 2.0 * across
    statistics = _discrepancy(within_real, within_synth, across, n_real, n_synth, False)
    # Permutations that give the same tables give the same statistic up to rounding.
    reached = statistics[1:] >= statistics[0] - 1e-12
    score = (1.0 + reached.sum()) / (1.0 + n_permutations)
    return result(
        score,
        breakdown,
        lambda: pd.DataFrame({"statistic": statistics[1:]}),
        statistic=float(statistics[0]),
        **sizes,
    )
