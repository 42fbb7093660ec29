"""Random forests and boosted trees for many small folds, without the ceremony of each fit."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from synth_estimators import _compat

__all__ = ["N_TREES", "fit_boosted", "fit_forest"]

N_TREES = 100
_ROUNDS = 10

# Up to so many rows every distinct value has a bin of its own in the published histograms.
_MAX_BINS = 256

# With fewer rows, columns or distinct values (as a share of the rows) histograms are faster.
_EXACT_ROWS = 100
_EXACT_COLUMNS = 200
_EXACT_DISTINCT = 0.8

_MAX_SEED = 2**31 - 1


class _Forest(NamedTuple):
    """Trees of one forest."""

    trees: list

    def probabilities(self, X):
        """Mean over the trees of the class shares of the leaves."""
        values = np.ascontiguousarray(X, dtype=np.float32)
        total = sum(tree.predict(values) for tree in self.trees)
        return total.reshape(len(values), -1) / len(self.trees)


class _PublicForest(NamedTuple):
    """The same forest, by scikit-learn's estimator."""

    model: RandomForestClassifier

    def probabilities(self, X):
        """Mean over the trees of the class shares of the leaves."""
        return self.model.predict_proba(X)


def fit_forest(X, codes, n_classes, seed):
    """Fit a forest of 100 trees: bit by bit that of ``RandomForestClassifier``."""
    build = _compat.tree_builder()
    if build is None:
        model = RandomForestClassifier(n_estimators=N_TREES, random_state=seed)
        return _PublicForest(model.fit(X, codes))
    n_rows, n_columns = X.shape
    values = np.ascontiguousarray(X, dtype=np.float32)
    target = codes.astype(np.float64)[:, None]
    max_features = max(1, int(np.sqrt(n_columns)))
    state = np.random.RandomState(seed)
    seeds = [state.randint(np.iinfo(np.int32).max) for _ in range(N_TREES)]
    trees = []
    for tree_seed in seeds:
        # Seeding again is fifty times faster than a new generator, and gives the same stream.
        state.seed(tree_seed)
        rows = state.randint(0, n_rows, n_rows, dtype=np.int32)
        weight = np.bincount(rows, minlength=n_rows).astype(np.float64)
        state.seed(tree_seed)
        trees.append(build(values, target, n_classes, weight, max_features, state))
    return _Forest(trees)


class _Boosted(NamedTuple):
    """Trees of a boosted model."""

    model: Any

    def probabilities(self, X):
        """Probability of every class."""
        import xgboost

        data = xgboost.DMatrix(np.asarray(X, dtype=np.float32), nthread=1)
        chance = self.model.predict(data)
        return np.column_stack([1.0 - chance, chance]) if chance.ndim == 1 else chance


def _suits_exact(values):
    """Whether the exact method is faster and finds the same trees."""
    n_rows, n_columns = values.shape
    if not _EXACT_ROWS <= n_rows <= _MAX_BINS or n_columns < _EXACT_COLUMNS:
        return False
    some = values[:, :: n_columns // 32]
    distinct = 1 + (np.diff(np.sort(some, axis=0), axis=0) > 0).sum(axis=0)
    return bool(distinct.mean() >= _EXACT_DISTINCT * n_rows)


def _training_ranks(values):
    """Distinct values of every column and the rank of each row among them, starting at 1."""
    order = values.argsort(axis=0, kind="stable")
    columns = np.arange(values.shape[1])
    arranged = values[order, columns]
    is_new = np.ones(values.shape, dtype=bool)
    np.not_equal(arranged[1:], arranged[:-1], out=is_new[1:])
    ranks = np.empty(values.shape, dtype=np.float32)
    ranks[order, columns] = np.cumsum(is_new, axis=0)
    ordered = [column[new] for column, new in zip(arranged.T, is_new.T, strict=True)]
    return ordered, ranks


def _move_cuts(model, ranks, ordered):
    """Put every cut at the next value above those on its left, where histograms have it."""
    import xgboost

    content = json.loads(model.save_raw("json"))
    for tree in content["learner"]["gradient_booster"]["model"]["trees"]:
        cuts, columns = tree["split_conditions"], tree["split_indices"]
        left, right = tree["left_children"], tree["right_children"]
        waiting = [(0, ranks)]
        while waiting:
            node, rows = waiting.pop()
            if left[node] < 0:
                continue
            values = rows[:, columns[node]]
            goes_left = values < cuts[node]
            # The rank of a value, starting at 1, is the place of the next larger one.
            cuts[node] = float(ordered[columns[node]][int(values[goes_left].max())])
            waiting += [(left[node], rows[goes_left]), (right[node], rows[~goes_left])]
    return xgboost.Booster({"nthread": 1}, model_file=bytearray(json.dumps(content), "utf-8"))


def fit_boosted(X, codes, n_classes, seed):
    """Fit ten rounds of XGBoost with its defaults.

    The default histograms have a bin for every distinct value when there are at most 256 rows. In
    wide tables of continuous columns the exact method finds the same splits in the ranks of the
    values in less time; its cuts lie in the middle between two values and are moved.
    """
    import xgboost

    values = np.asarray(X, dtype=np.float32)
    parameters = {"seed": seed % _MAX_SEED, "nthread": 1, "disable_default_eval_metric": True}
    if n_classes == 2:
        parameters["objective"] = "binary:logistic"
    else:
        parameters |= {"objective": "multi:softprob", "num_class": n_classes}
    if _suits_exact(values):
        ordered, ranks = _training_ranks(values)
        data = xgboost.DMatrix(ranks, label=codes, nthread=1)
        model = xgboost.train(parameters | {"tree_method": "exact"}, data, num_boost_round=_ROUNDS)
        return _Boosted(_move_cuts(model, ranks, ordered))
    data = xgboost.DMatrix(values, label=codes, nthread=1)
    return _Boosted(xgboost.train(parameters, data, num_boost_round=_ROUNDS))
