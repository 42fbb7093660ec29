"""Fitting a model to one table and judging it on another."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, f1_score, get_scorer, r2_score
from sklearn.utils import Bunch

from synth_estimators._random import local_rng, spawn_seeds
from synth_estimators.metrics._encoding import NATIVE_TREES, FoldEncoder, make_model
from synth_estimators.metrics._tables import cut_rows, rank_auc, undefined
from synth_estimators.preprocessing._columns import MISSING, as_frame, read_tables

__all__ = ["UtilityTask", "class_details", "train_and_test"]

# A column of whole numbers with at most this many distinct values is a set of classes.
_MAX_CLASSES = 10

_CLASSIFICATION = ("roc_auc", "f1_macro", "accuracy")
_REGRESSION = ("r2",)


def _find_target(X_real, target):
    frame, _ = as_frame(X_real, name="X_real")
    columns = list(frame.columns)
    if target in columns:
        return frame, target
    if isinstance(target, (int, np.integer)) and -len(columns) <= target < len(columns):
        return frame, columns[target]
    raise ValueError(
        f"target={target!r} is not a column of X_real; its columns are "
        f"{[str(label) for label in columns[:8]]}."
    )


def _is_classification(column, discrete_columns, task):
    if task in ("classification", "regression"):
        return task == "classification"
    if task != "auto":
        raise ValueError(f"task={task!r} is unknown; use 'auto', 'classification' or 'regression'.")
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    if not numeric or pd.api.types.is_bool_dtype(column.dtype):
        return not pd.api.types.is_datetime64_any_dtype(column.dtype)
    if isinstance(discrete_columns, (list, tuple)) and column.name in discrete_columns:
        return True
    values = column.dropna().unique()
    return len(values) <= _MAX_CLASSES and bool(np.all(np.mod(values, 1) == 0))


class UtilityTask:
    """The features and targets of several tables, read together."""

    def __init__(self, tables, *, target, task, discrete_columns):
        frame, self.target = _find_target(tables["X_real"], target)
        column = frame[self.target]
        self.classification = _is_classification(column, discrete_columns, task)
        read = read_tables(
            tables,
            discrete_columns=discrete_columns,
            also_discrete=(self.target,) if self.classification else (),
        )
        table = read["X_real"]
        place = table.names.index(self.target)
        if not self.classification and table.discrete[place]:
            raise ValueError(
                f"The target {self.target!r} is discrete, but task='regression'; use "
                "task='classification' or a numeric column."
            )
        if len(table.names) < 2:
            raise ValueError("The tables hold the target only; expected at least one more column.")
        self.parts = {name: self._separate(part, place) for name, part in read.items()}
        self.classes = None
        if self.classification:
            labels = table.categories[int(table.discrete[:place].sum())]
            self.classes = np.array([*labels, None], dtype=object)[:-1]
        self.dropped = {}
        self._drop_missing()

    def _separate(self, table, place):
        """Split a table into features and target."""
        keep = np.delete(np.arange(len(table.names)), place)
        k = int(table.discrete[:place].sum())
        changes = {
            "names": [table.names[j] for j in keep],
            "discrete": table.discrete[keep],
            "n_nonfinite": table.n_nonfinite[keep],
        }
        if self.classification:
            changes["codes"] = np.delete(table.codes, k, axis=1)
            changes["categories"] = [labels for j, labels in enumerate(table.categories) if j != k]
            return replace(table, **changes), table.codes[:, k]
        j = place - k
        changes["continuous"] = np.delete(table.continuous, j, axis=1)
        changes["single"] = np.delete(table.single, j)
        return replace(table, **changes), table.continuous[:, j]

    def _drop_missing(self):
        """Drop rows without a target, and synthetic rows of classes that no real table has."""
        known = None
        if self.classification:
            real = [y for name, (_, y) in self.parts.items() if name != "X_synth"]
            known = np.unique(np.concatenate(real))
            known = known[self.classes[known] != MISSING]
        for name, (features, y) in self.parts.items():
            if not self.classification:
                keep = ~np.isnan(y)
                self.dropped[name] = {"missing": int((~keep).sum()), "unknown": 0}
            else:
                missing = self.classes[y] == MISSING
                keep = np.isin(y, known)
                self.dropped[name] = {
                    "missing": int(missing.sum()),
                    "unknown": int((~keep & ~missing).sum()),
                }
            self.parts[name] = (features.take(keep), y[keep])

    def match(self, names, seed):
        """Cut the named tables to the same number of rows."""
        rng = local_rng(seed)
        size = min(len(self.parts[name][1]) for name in names)
        for name in names:
            features, y = self.parts[name]
            rows = cut_rows(len(y), size, rng)
            self.parts[name] = (features.take(rows), y[rows])


def _class_scores(model, X, present, n_classes):
    """Score of every class for every row; classes that were not trained get 0."""
    if hasattr(model, "predict_proba"):
        local = model.predict_proba(X)
    elif hasattr(model, "decision_function"):
        local = model.decision_function(X)
        local = np.column_stack([-local, local]) if local.ndim == 1 else local
    else:
        raise TypeError(f"{type(model).__name__} has neither predict_proba nor decision_function.")
    scores = np.zeros((len(X), n_classes))
    scores[:, present] = local
    return scores


def _judge_classes(y, scores, predicted, metric):
    """AUC (one class against the rest), macro F1 and accuracy over the classes of the test rows."""
    tested = np.unique(y)
    if len(tested) < 2:
        auc = undefined(metric, "the test rows hold one class only")
        aucs = np.full(len(tested), np.nan)
    else:
        aucs = np.array([rank_auc(scores[:, c], y == c) for c in tested])
        auc = float(aucs.mean())
    f1 = f1_score(y, predicted, labels=tested, average="macro", zero_division=0)
    measures = {
        "roc_auc": auc,
        "f1_macro": float(f1),
        "accuracy": float(accuracy_score(y, predicted)),
    }
    return measures, tested, aucs


def _fit_once(task, train_name, *, estimator, scoring, seed, metric):
    """Fit one model on a table and judge it on the real test rows."""
    features, y = task.parts[train_name]
    test_features, test_y = task.parts["X_real"]
    if len(y) == 0 or len(test_y) == 0:
        which = "training" if len(y) == 0 else "test"
        return Bunch(score=undefined(metric, f"no {which} row has a usable target"), measures={})
    impute = not (isinstance(estimator, str) and estimator in NATIVE_TREES)
    encoder = FoldEncoder(impute=impute).fit(features)
    test = encoder.transform(test_features)
    model = make_model(estimator, seed, regression=not task.classification)
    external = scoring if callable(scoring) else None
    if isinstance(scoring, str) and scoring not in (*_CLASSIFICATION, *_REGRESSION):
        external = get_scorer(scoring)

    if not task.classification:
        model.fit(encoder.transform(features), y)
        if external is not None:
            return Bunch(score=float(external(model, test, test_y)), measures={})
        if len(test_y) < 2:
            return Bunch(score=undefined(metric, "R2 needs two test rows"), measures={})
        value = float(r2_score(test_y, model.predict(test)))
        return Bunch(score=value, measures={"r2": value})

    present = np.unique(y)
    if len(present) == 1:
        warnings.warn(
            f"{train_name} holds one class only ({task.classes[present[0]]!r}); a model trained on "
            "it cannot rank rows, so its ROC AUC is 0.5.",
            UndefinedMetricWarning,
            stacklevel=4,
        )
        scores = np.zeros((len(test), len(task.classes)))
        predicted = np.full(len(test), present[0])
        if external is not None:
            return Bunch(score=float("nan"), measures={})
    else:
        model.fit(encoder.transform(features), np.searchsorted(present, y))
        if external is not None:
            # Classes that were not trained get a label of their own.
            local = np.searchsorted(present, test_y)
            local[~np.isin(test_y, present)] = len(present)
            return Bunch(score=float(external(model, test, local)), measures={})
        scores = _class_scores(model, test, present, len(task.classes))
        predicted = present[scores[:, present].argmax(axis=1)]
    measures, tested, aucs = _judge_classes(test_y, scores, predicted, metric)
    return Bunch(score=measures[scoring or "roc_auc"], measures=measures, tested=tested, aucs=aucs)


def train_and_test(task, train_name, *, estimator, scoring, repeats, random_state, metric):
    """Mean over seeds of the score of models trained on one table."""
    if repeats < 1:
        raise ValueError(f"repeats={repeats!r} must be at least 1.")
    allowed = _CLASSIFICATION if task.classification else _REGRESSION
    if scoring in (*_CLASSIFICATION, *_REGRESSION) and scoring not in allowed:
        kind = "classification" if task.classification else "regression"
        raise ValueError(f"scoring={scoring!r} does not fit a {kind} target; use one of {allowed}.")
    runs = [
        _fit_once(task, train_name, estimator=estimator, scoring=scoring, seed=seed, metric=metric)
        for seed in spawn_seeds(random_state, repeats)
    ]
    scores = np.array([run.score for run in runs])
    measures = {
        key: float(np.mean([run.measures[key] for run in runs])) for key in runs[0].measures
    }
    return Bunch(score=float(scores.mean()), scores=scores, measures=measures, runs=runs)


def class_details(task, outcome, train_name):
    """One row for every class of the test rows, or one row for a numeric target."""
    y, test_y = task.parts[train_name][1], task.parts["X_real"][1]
    if not task.classification or "tested" not in outcome.runs[0]:
        return pd.DataFrame(
            {
                "target": [task.target],
                "n_train": [len(y)],
                "n_test": [len(test_y)],
                "score": [outcome.score],
            }
        )
    tested = outcome.runs[0].tested
    return pd.DataFrame(
        {
            "class": task.classes[tested],
            "n_train": [int((y == c).sum()) for c in tested],
            "n_test": [int((test_y == c).sum()) for c in tested],
            "roc_auc": np.mean([run.aucs for run in outcome.runs], axis=0),
        }
    )
