"""P-values of classifier two-sample tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.special import ndtr
from sklearn.model_selection import StratifiedKFold

from synth_estimators._random import local_rng, spawn_seeds
from synth_estimators.metrics._tables import equal_sizes, rank_auc, read_pair, result, undefined
from synth_estimators.metrics._two_sample import _one_fold, _stack

__all__ = ["c2st_test"]


def _pooled_auc(table, labels, folds, estimator, seed):
    """AUC of the scores that all rows get while they are held out."""
    scores = np.empty(len(labels))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (train, test) in enumerate(splitter.split(labels, labels)):
        scores[test] = _one_fold(table, labels, train, test, estimator, seed + number)[2]
    return rank_auc(scores, labels == 1)


def c2st_test(
    X_real: Any,
    X_synth: Any,
    *,
    method: str = "z",
    n_permutations: int = 100,
    estimator: Any = "xgb",
    cv: int = 5,
    match_size: bool = True,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    n_jobs: int | None = None,
    breakdown: bool = False,
) -> Any:
    r"""P-value of a classifier two-sample test for equal laws.

    The statistic is the AUC of the scores that the rows get while they are held out, all folds
    together. With m real and n synthetic rows its standard error is
    :math:`\sqrt{(n + m + 1) / (12 n m)}` if the laws are equal.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns. Use real rows that the generator has not seen.

    method : {"z", "permutation"}, default="z"
        "z" takes the statistic as normal: fast, its level is approximate. "permutation" deals the
        labels anew and repeats the cross-validation each time: valid whatever the classifier, and
        a hundred times the work.

    n_permutations : int, default=100
        Number of permutations.

    estimator : {"xgb", "logistic"} or classifier, default="xgb"
        As in ``c2st_auc``.

    cv : int, default=5
        Number of stratified, shuffled folds.

    match_size : bool, default=True
        Cut both tables to the same number of rows.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows, folds, trees and permutations.

    n_jobs : int or None, default=None
        Permutations tried at a time. The result does not depend on it.

    breakdown : bool, default=False
        Return a Bunch with ``score`` (the p-value), ``auc``, ``z``, ``details`` (AUC of every
        permutation), ``n_real`` and ``n_synth`` instead of a number.

    Returns
    -------
    p_value : float or Bunch
        One-sided: near 0 where the rows can be told apart, anywhere between 0 and 1 for rows of
        the same law.

    Notes
    -----
    Rows of a fold share a classifier and classifiers share rows, which "z" does not know of: it
    rejects equal laws somewhat too often, trees more so than linear models. Take "permutation"
    where a decision hangs on the level.

    With enough rows every generator is told apart: the p-value says whether there is a difference,
    ``c2st_auc`` how large it is.

    References
    ----------
    .. [1] Lopez-Paz, D. and Oquab, M. (2017). "Revisiting Classifier Two-Sample Tests". ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import c2st_test
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> bool(c2st_test(X, X + 1.0, estimator="logistic", random_state=0) < 0.001)
    True
    """
    if method not in ("z", "permutation"):
        raise ValueError(f"method={method!r} is unknown; use 'z' or 'permutation'.")
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations!r} must be at least 1.")
    if cv < 2:
        raise ValueError(f"cv={cv!r} must be at least 2.")
    real, synth = read_pair(X_real, X_synth, discrete_columns=discrete_columns)
    seeds = spawn_seeds(random_state, 3)
    real, synth = equal_sizes(real, synth, match_size=match_size, random_state=seeds[0])
    n_real, n_synth = len(real), len(synth)
    folds = min(cv, n_real, n_synth)
    if folds < 2:
        score = undefined("c2st_test", "each table needs at least two rows")
        return result(score, breakdown, {"auc": []}, auc=score, z=score)
    table = _stack(real, synth)
    labels = np.r_[np.zeros(n_real, dtype=int), np.ones(n_synth, dtype=int)]
    auc = _pooled_auc(table, labels, folds, estimator, seeds[1])
    z = (auc - 0.5) / np.sqrt((n_real + n_synth + 1) / (12.0 * n_real * n_synth))
    permuted = []
    if method == "permutation":
        rng = local_rng(seeds[2])
        permuted = Parallel(n_jobs=n_jobs)(
            delayed(_pooled_auc)(table, dealt, folds, estimator, seeds[1])
            for dealt in [rng.permutation(labels) for _ in range(n_permutations)]
        )
        score = (1.0 + sum(value >= auc for value in permuted)) / (1.0 + n_permutations)
    else:
        score = ndtr(-z)
    return result(
        score,
        breakdown,
        lambda: pd.DataFrame({"auc": permuted}),
        auc=auc,
        z=float(z),
        n_real=n_real,
        n_synth=n_synth,
    )
