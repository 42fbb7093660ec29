"""Encoding of mixed tables for classifiers, fitted inside a fold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_regressor
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
    # Adds up over the indicators of a category; the mean gain would favour columns of many.
    "importance_type": "total_gain",
    "n_jobs": 1,
}

#: Presets that handle missing cells themselves.
NATIVE_TREES = ("xgb",)

# Scaled values that agree to so many decimals are one level: rounding noise is no granularity.
_LEVEL_DECIMALS = 9

# Rarer categories than these many most frequent ones get no indicator.
_MAX_CATEGORIES = 256


class FoldEncoder:
    """Standardise, impute and one-hot encode, with what the fitted rows know.

    Parameters
    ----------
    impute : bool
        Fill missing cells by the median and flag them; else they stay NaN.

    ranks : bool, default=False
        Number the values of continuous columns in their order. Trees that work in single precision
        then still tell 37 from 37.000001.
    """

    def __init__(self, *, impute, ranks=False):
        self.impute = impute
        self.ranks = ranks

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
        if self.ranks:
            scaled = np.round(deviation / self._scale, _LEVEL_DECIMALS)
            self._levels = [
                np.unique(column[~gap]) for column, gap in zip(scaled.T, missing.T, strict=True)
            ]
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
        if self.ranks:
            scaled = self._ranked(np.round(scaled, _LEVEL_DECIMALS))
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

    def _ranked(self, scaled):
        """Number of a level of the fitted rows, or one half more between two of them."""
        ranked = np.full(scaled.shape, np.nan)
        for j, levels in enumerate(self._levels):
            observed = np.flatnonzero(~np.isnan(scaled[:, j]))
            values = scaled[observed, j]
            below, upto = (np.searchsorted(levels, values, side=side) for side in ("left", "right"))
            ranked[observed, j] = (below + upto) / 2.0
        return ranked


class _ScaledTarget(RegressorMixin, BaseEstimator):
    """Regressor fitted to a standardised target, for models that work in single precision."""

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y):
        """Fit the regressor."""
        self.mean_ = float(np.mean(y))
        self.scale_ = float(np.std(y)) or 1.0
        self.regressor_ = clone(self.regressor).fit(X, (y - self.mean_) / self.scale_)
        return self

    def predict(self, X):
        """Predict in the units of the target."""
        return self.mean_ + self.scale_ * self.regressor_.predict(X).astype(np.float64)


def make_model(estimator: Any, seed: int, *, regression: bool = False) -> Any:
    """Return an unfitted model for a preset name, or a seeded clone of an estimator."""
    if isinstance(estimator, str):
        if estimator == "xgb":
            import xgboost

            if regression:
                return _ScaledTarget(xgboost.XGBRegressor(**_XGB_PRESET, random_state=seed))
            return xgboost.XGBClassifier(**_XGB_PRESET, random_state=seed)
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
