"""Agreement of categories and of missing cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth_estimators.metrics._one_kind import column_means, missing_shares, read_kind
from synth_estimators.metrics._tables import category_shares
from synth_estimators.preprocessing._columns import MISSING

__all__ = ["category_adherence", "category_coverage", "missing_value_similarity"]


def _without_empty(scores, real):
    """NaN for columns that are missing altogether in both tables."""
    empty = [labels == [MISSING] for labels in real.categories]
    return np.where(empty, np.nan, scores)


def category_coverage(
    X_real: Any, X_synth: Any, *, discrete_columns: Any = "auto", breakdown: bool = False
) -> Any:
    """Share of the real categories that occur in the synthetic column.

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column, which is taken as discrete, or tables, whose continuous columns are left out.
        ``1``, ``1.0``, ``"1"`` and True are one category; missing is a category.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best; the mean over the columns.

    Notes
    -----
    Rare categories are missed by chance: the score grows with the number of synthetic rows.

    Examples
    --------
    >>> from synth_estimators.metrics import category_coverage
    >>> category_coverage(["a", "b", "c", "d"], ["a", "a", "b", "x"])
    0.5
    """
    real, synth = read_kind(X_real, X_synth, kind="discrete", discrete_columns=discrete_columns)
    scores = np.empty(len(real.categories))
    for k in range(len(scores)):
        wanted = category_shares(real, k) > 0
        scores[k] = (category_shares(synth, k)[wanted] > 0).mean()
    scores = _without_empty(scores, real)
    return column_means("category_coverage", real, synth, scores, real.discrete, breakdown)


def category_adherence(
    X_real: Any, X_synth: Any, *, discrete_columns: Any = "auto", breakdown: bool = False
) -> Any:
    """Share of the synthetic cells whose category occurs in the real column.

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column, which is taken as discrete, or tables, whose continuous columns are left out.
        ``1``, ``1.0``, ``"1"`` and True are one category; missing is a category.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best; the mean over the columns.

    Examples
    --------
    >>> from synth_estimators.metrics import category_adherence
    >>> category_adherence(["a", "b", "c", "d"], ["a", "a", "b", "x"])
    0.75
    """
    real, synth = read_kind(X_real, X_synth, kind="discrete", discrete_columns=discrete_columns)
    scores = np.empty(len(real.categories))
    for k in range(len(scores)):
        known = category_shares(real, k) > 0
        scores[k] = known[synth.codes[:, k]].mean()
    scores = _without_empty(scores, real)
    return column_means("category_adherence", real, synth, scores, real.discrete, breakdown)


def missing_value_similarity(
    X_real: Any,
    X_synth: Any,
    *,
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    breakdown: bool = False,
) -> Any:
    """Agreement of the shares of missing cells: 1 minus their absolute difference.

    Parameters
    ----------
    X_real, X_synth : array-like of shape (n_samples,) or table
        One column or tables. Infinite synthetic cells count as missing.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and ``details`` (one row a column) instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best; the mean over the columns.

    Examples
    --------
    >>> from synth_estimators.metrics import missing_value_similarity
    >>> missing_value_similarity([1.0, None, 3.0, None], [1.0, 2.0, 3.0, None])
    0.75
    """
    real, synth = read_kind(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    scores = 1.0 - np.abs(missing_shares(real) - missing_shares(synth))
    everything = np.ones(len(scores), dtype=bool)
    return column_means("missing_value_similarity", real, synth, scores, everything, breakdown)
