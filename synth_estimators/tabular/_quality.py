"""How alike held-out and sampled rows are, for early stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from synth_estimators.tabular._known_columns import KnownColumns

__all__ = ["TableQuality", "detection_score"]

_N_BINS = 10
_MAX_PAIRS = 300


class TableQuality:
    """Mean of the similarity of columns and that of pairs of columns; 1 is best.

    A column of numbers scores one minus the Kolmogorov-Smirnov statistic, one of levels one minus
    the total variation; a pair of numbers one minus half the difference of its correlations, any
    other pair one minus the total variation of its two-way table, numbers cut into ten bins.

    Parameters
    ----------
    real : pandas DataFrame of shape (n_rows, n_columns)
        Rows to compare with.

    known : KnownColumns
        What the training table held.
    """

    def __init__(self, real: pd.DataFrame, known: KnownColumns) -> None:
        self.known = known
        values = self.values(real)
        self.numeric = [known.levels(label) is None for label in known.labels]
        self.edges = [
            np.unique(np.nanquantile(column, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
            if numeric and not np.isnan(column).all()
            else None
            for column, numeric in zip(values, self.numeric, strict=True)
        ]
        n_columns = len(values)
        pairs = [(i, j) for i in range(n_columns) for j in range(i + 1, n_columns)]
        if len(pairs) > _MAX_PAIRS:
            chosen = np.random.default_rng(0).choice(len(pairs), _MAX_PAIRS, replace=False)
            pairs = [pairs[k] for k in np.sort(chosen)]
        self.pairs = pairs
        self.real = values
        self.bins = self.binned(values)

    def values(self, frame: pd.DataFrame) -> list[np.ndarray]:
        """Columns of a table as floats that compare; missing is NaN."""
        return [self.known.codes(frame[label], label) for label in self.known.labels]

    def binned(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Small whole numbers: bins or levels, a missing cell being one of its own."""
        found = []
        for column, edges in zip(values, self.edges, strict=True):
            codes = column if edges is None else np.searchsorted(edges, column, side="right")
            found.append(np.where(np.isnan(column), -1, codes).astype(np.int64) + 2)
        return found

    def __call__(self, frame: pd.DataFrame) -> float:
        """Score sampled rows."""
        values = self.values(frame)
        bins = self.binned(values)
        shapes = [
            1.0 - (_ks(a, b) if numeric else _total_variation(p, q))
            for a, b, p, q, numeric in zip(
                self.real, values, self.bins, bins, self.numeric, strict=True
            )
        ]
        trends = [self._pair(i, j, values, bins) for i, j in self.pairs]
        return float(np.mean([np.mean(shapes), np.mean(trends)] if trends else shapes))

    def _pair(self, i, j, values, bins):
        if self.numeric[i] and self.numeric[j]:
            real = _correlation(self.real[i], self.real[j])
            return 1.0 - 0.5 * abs(real - _correlation(values[i], values[j]))
        width = int(max(self.bins[j].max(), bins[j].max(initial=0))) + 1
        joint = self.bins[i] * width + self.bins[j]
        return 1.0 - _total_variation(joint, bins[i] * width + bins[j])


def _ks(first, second):
    first = np.sort(np.where(np.isnan(first), -np.inf, first))
    second = np.sort(np.where(np.isnan(second), -np.inf, second))
    points = np.concatenate([first, second])
    below = [np.searchsorted(x, points, side="right") / len(x) for x in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def _total_variation(first, second):
    codes, inverse = np.unique(np.concatenate([first, second]), return_inverse=True)
    shares = [
        np.bincount(part, minlength=len(codes)) / len(part)
        for part in (inverse[: len(first)], inverse[len(first) :])
    ]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def _correlation(first, second):
    both = ~(np.isnan(first) | np.isnan(second))
    a, b = first[both], second[both]
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def detection_score(real: pd.DataFrame, synthetic: pd.DataFrame, known: KnownColumns) -> float:
    r"""One minus how far boosted trees tell the two tables apart; 1 means not at all.

    Parameters
    ----------
    real, synthetic : pandas DataFrame
        Tables with the columns of ``known``.

    known : KnownColumns
        What the training table held.

    Returns
    -------
    score : float
        :math:`1 - (2 \max(\text{AUC}, 1/2) - 1)`, in three folds.
    """
    rows = [
        np.column_stack([known.codes(frame[label], label) for label in known.labels])
        for frame in (real, synthetic)
    ]
    X, y = np.concatenate(rows), np.repeat([0, 1], [len(part) for part in rows])
    model: Any = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    chance = cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
    return 1.0 - (2.0 * max(float(roc_auc_score(y, chance)), 0.5) - 1.0)
