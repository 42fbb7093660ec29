"""Encoding of mixed tables for classifiers, fitted inside a fold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.linear_model import LogisticRegression, Ridge

from synth_estimators.preprocessing._columns import MixedTable

__all__ = ["NATIVE_TREES", "FoldEncoder", "feature_importance", "make_model"]

_XGB_PRESET = {
    "n_estimators": 200,
    "max_depth": 5,
    "learning_rate": 0.1,
    "subsample": 0.9,
    "colsample_bytree": 0.9,
    "tree_method": "hist",
    "n_jobs": 1,
}

#: Presets that handle missing cells themselves.
NATIVE_TREES = ("xgb",)

# Rarer categories than these many most frequent ones get no indicator.
_MAX_CATEGORIES = 256


class FoldEncoder:
    """Standardise, impute and one-hot encode, with what the fitted rows know.

    Parameters
    ----------
    impute : bool
        Fill missing cells by the median and flag them; else they stay NaN.
    """

    def __init__(self, *, impute):
        self.impute = impute

    def fit(self, table: MixedTable) -> FoldEncoder:
        """Learn scales, medians and categories."""
        values = table.continuous
        missing = np.isnan(values)
        count = np.maximum(1, (~missing).sum(axis=0))
        self._mean = np.where(missing, 0.0, values).sum(axis=0) / count
        deviation = np.where(missing, 0.0, values - self._mean)
        scale = np.sqrt((deviation**2).sum(axis=0) / count)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._flagged = np.flatnonzero(missing.any(axis=0)) if self.impute else np.empty(0, int)
        self._fill = np.zeros(values.shape[1])
        for j in self._flagged:
            observed = deviation[~missing[:, j], j]
            self._fill[j] = np.median(observed) / self._scale[j] if observed.size else 0.0
        self._known = []
        for k, labels in enumerate(table.categories):
            counts = np.bincount(table.codes[:, k], minlength=len(labels))
            frequent = np.argsort(-counts, kind="stable")[:_MAX_CATEGORIES]
            self._known.append(np.sort(frequent[counts[frequent] > 0]))
        sizes = [len(known) for known in self._known]
        #: Column of the table that each encoded feature comes from.
        self.origin = np.concatenate(
            [
                np.flatnonzero(~table.discrete),
                np.flatnonzero(~table.discrete)[self._flagged],
                np.repeat(np.flatnonzero(table.discrete), sizes),
            ]
        ).astype(np.intp)
        return self

    def transform(self, table: MixedTable) -> np.ndarray:
        """Encode rows; categories unknown to fit become zeros."""
        scaled = (table.continuous - self._mean) / self._scale
        blocks = [scaled]
        if self.impute:
            missing = np.isnan(scaled)
            blocks = [
                np.where(missing, self._fill, scaled),
                missing[:, self._flagged].astype(float),
            ]
        blocks += [
            (table.codes[:, k][:, None] == known).astype(float)
            for k, known in enumerate(self._known)
        ]
        return np.hstack(blocks)


def make_model(estimator: Any, seed: int, *, regression: bool = False) -> Any:
    """Return an unfitted model for a preset name, or a seeded clone of an estimator."""
    if isinstance(estimator, str):
        if estimator == "xgb":
            import xgboost

            kind = xgboost.XGBRegressor if regression else xgboost.XGBClassifier
            return kind(**_XGB_PRESET, random_state=seed)
        if estimator == "logistic":
            return Ridge(alpha=1.0) if regression else LogisticRegression(C=1.0, max_iter=1000)
        raise ValueError(
            f"estimator={estimator!r} is unknown; use 'xgb', 'logistic' or a scikit-learn "
            f"{'regressor' if regression else 'classifier'}."
        )
    if not hasattr(estimator, "fit"):
        raise TypeError(f"estimator must be a preset name or have fit, got {estimator!r}.")
    if regression != is_regressor(estimator):
        raise ValueError(
            f"{type(estimator).__name__} is {'no' if regression else 'a'} regressor, but the task "
            f"is {'regression' if regression else 'classification'}."
        )
    model = clone(estimator)
    seeds = [key for key in model.get_params() if key.rsplit("__", 1)[-1] == "random_state"]
    unset = {key: seed for key in seeds if model.get_params()[key] is None}
    return model.set_params(**unset) if unset else model


def feature_importance(model: Any, origin: np.ndarray, n_columns: int) -> np.ndarray:
    """Importance of every column of the table as a share of 1; NaN where the model has none."""
    if hasattr(model, "coef_"):
        values = np.abs(np.atleast_2d(model.coef_)).sum(axis=0)
    elif hasattr(model, "feature_importances_"):
        values = np.asarray(model.feature_importances_, dtype=np.float64)
    else:
        return np.full(n_columns, np.nan)
    if values.shape != origin.shape:
        return np.full(n_columns, np.nan)
    total = np.bincount(origin, weights=values, minlength=n_columns)
    return total / total.sum() if total.sum() > 0 else total
