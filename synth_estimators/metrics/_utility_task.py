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

__all__ = ["TaskModel", "UtilityTask", "class_details", "judge", "train_and_test"]

# A column of whole numbers with at most this many distinct values is a set of classes.
_MAX_CLASSES = 10

_CLASSIFICATION = ("roc_auc", "f1_macro", "accuracy")
_REGRESSION = ("r2",)

_OTHER = "<other>"


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


def _train_target(tables, frame, target):
    """The target among the training rows, if there are any."""
    if tables.get("X_train") is None:
        return []
    train, named = as_frame(tables["X_train"], name="X_train")
    if not named and train.shape[1] == frame.shape[1]:
        train = train.set_axis(frame.columns, axis=1)
    return [train[target]] if target in train.columns else []


def _is_classification(column, discrete_columns, task, columns=()):
    """Whether the target is a set of classes; ``columns`` are the labels that a mask refers to."""
    if task in ("classification", "regression"):
        return task == "classification"
    if task != "auto":
        raise ValueError(f"task={task!r} is unknown; use 'auto', 'classification' or 'regression'.")
    if discrete_columns is not None and not isinstance(discrete_columns, str):
        chosen = list(discrete_columns)
        if chosen and all(isinstance(item, (bool, np.bool_)) for item in chosen):
            chosen = [label for label, flag in zip(columns, chosen, strict=False) if flag]
        if column.name in chosen:
            return True
    dtype = column.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return False
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return True
    values = column.dropna().unique()
    return len(values) <= _MAX_CLASSES and bool(np.all(np.mod(values, 1) == 0))


class UtilityTask:
    """The features and targets of several tables, read together."""

    def __init__(self, tables, *, target, task, discrete_columns):
        frame, self.target = _find_target(tables["X_real"], target)
        # A short test table may hold a few whole numbers of a count by chance.
        columns = [frame[self.target], *_train_target(tables, frame, self.target)]
        self.classification = all(
            _is_classification(column, discrete_columns, task, frame.columns) for column in columns
        )
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
            known = self.known_classes()
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
        """Cut the named tables to the same number of rows; tables without rows do not count."""
        rng = local_rng(seed)
        sizes = [len(self.parts[name][1]) for name in names]
        size = min(filter(None, sizes), default=0)
        for name in names:
            self.cut(name, size, rng)

    def cut(self, name, size, rng):
        """Cut a table to ``size`` rows."""
        features, y = self.parts[name]
        rows = cut_rows(len(y), size, rng)
        self.parts[name] = (features.take(rows), y[rows])

    def pool(self, names, name):
        """Put tables below each other as a new one."""
        parts = [self.parts[part] for part in names]
        pooled = replace(
            parts[0][0],
            continuous=np.vstack([features.continuous for features, _ in parts]),
            codes=np.vstack([features.codes for features, _ in parts]),
        )
        self.parts[name] = (pooled, np.concatenate([y for _, y in parts]))

    def known_classes(self):
        """Numbers of the classes that occur in real rows."""
        real = [y for name, (_, y) in self.parts.items() if name in ("X_real", "X_train")]
        return np.unique(np.concatenate(real))

    def merge_rare_classes(self, limit):
        """Make one class of all but the ``limit - 1`` most frequent classes of the real rows."""
        known = self.known_classes()
        if len(known) <= limit:
            return
        real = [y for name, (_, y) in self.parts.items() if name in ("X_real", "X_train")]
        counts = np.bincount(np.concatenate(real), minlength=len(self.classes))
        kept = np.argsort(-counts, kind="stable")[: limit - 1]
        place = np.full(len(self.classes), len(self.classes))
        place[kept] = kept
        self.classes = np.append(self.classes, _OTHER)
        self.parts = {name: (features, place[y]) for name, (features, y) in self.parts.items()}


class TaskModel:
    """A model fitted to one table of a task, with the encoder of its features.

    ``model`` is None where the table holds one class only.
    """

    def __init__(self, task, train_name, *, estimator, seed):
        features, y = task.parts[train_name]
        impute = not (isinstance(estimator, str) and estimator in NATIVE_TREES)
        self.encoder = FoldEncoder(impute=impute).fit(features)
        self.n_classes = len(task.classes) if task.classification else 0
        self.present = np.unique(y) if task.classification else None
        self.model = make_model(estimator, seed, regression=not task.classification)
        if not task.classification:
            self.model.fit(self.encoder.transform(features), y)
        elif len(self.present) > 1:
            self.model.fit(self.encoder.transform(features), np.searchsorted(self.present, y))
        else:
            self.model = None
            warnings.warn(
                f"{train_name} holds one class only ({task.classes[self.present[0]]!r}); a model "
                "trained on it cannot rank rows, so its ROC AUC is 0.5.",
                UndefinedMetricWarning,
                stacklevel=5,
            )

    def predict(self, features):
        """Predicted values of a numeric target."""
        return self.model.predict(self.encoder.transform(features))

    def class_scores(self, features, *, probabilities=False):
        """Score of every class for every row; classes that were not trained get 0."""
        scores = np.zeros((len(features), self.n_classes))
        if self.model is None:
            scores[:, self.present] = 1.0
            return scores
        X = self.encoder.transform(features)
        if hasattr(self.model, "predict_proba"):
            local = self.model.predict_proba(X)
        elif hasattr(self.model, "decision_function") and not probabilities:
            local = self.model.decision_function(X)
            local = np.column_stack([-local, local]) if local.ndim == 1 else local
        else:
            wanted = "predict_proba" if probabilities else "predict_proba or decision_function"
            raise TypeError(
                f"{type(self.model).__name__} lacks {wanted}; use another estimator, for example "
                "'xgb' or 'logistic'."
            )
        scores[:, self.present] = local
        return scores

    def external_score(self, scorer, features, y):
        """What a scikit-learn scorer says of the rows."""
        X = self.encoder.transform(features)
        if self.present is None:
            return float(scorer(self.model, X, y))
        # Classes that were not trained get a label of their own.
        local = np.searchsorted(self.present, y)
        local[~np.isin(y, self.present)] = len(self.present)
        return float(scorer(self.model, X, local))


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


def judge(model, features, y, *, metric):
    """Judge a model on rows by the measures of its task; the first one is the default score."""
    if model.present is None:
        if len(y) < 2:
            return {"r2": undefined(metric, "R2 needs two test rows")}, {}
        if np.ptp(y) == 0:
            return {"r2": undefined(metric, "R2 needs test rows with different targets")}, {}
        return {"r2": float(r2_score(y, model.predict(features)))}, {}
    scores = model.class_scores(features)
    predicted = model.present[scores[:, model.present].argmax(axis=1)]
    measures, tested, aucs = _judge_classes(y, scores, predicted, metric)
    return measures, {"tested": tested, "aucs": aucs}


def _fit_once(task, train_name, test_name, *, estimator, scoring, seed, metric):
    """Fit one model on a table and judge it on another."""
    y, (test_features, test_y) = task.parts[train_name][1], task.parts[test_name]
    if len(y) == 0 or len(test_y) == 0:
        which = "training" if len(y) == 0 else "test"
        return Bunch(score=undefined(metric, f"no {which} row has a usable target"), measures={})
    model = TaskModel(task, train_name, estimator=estimator, seed=seed)
    external = scoring if callable(scoring) else None
    if isinstance(scoring, str) and scoring not in (*_CLASSIFICATION, *_REGRESSION):
        external = get_scorer(scoring)
    if external is not None:
        if model.model is None:
            score = undefined(metric, f"{train_name} holds one class only, no model can be scored")
        else:
            score = model.external_score(external, test_features, test_y)
        return Bunch(score=score, measures={})
    measures, more = judge(model, test_features, test_y, metric=metric)
    return Bunch(score=measures[scoring or next(iter(measures))], measures=measures, **more)


def train_and_test(
    task, train_name, *, estimator, scoring, repeats, random_state, metric, test_name="X_real"
):
    """Mean over seeds of the score of models trained on one table."""
    if repeats < 1:
        raise ValueError(f"repeats={repeats!r} must be at least 1.")
    allowed = _CLASSIFICATION if task.classification else _REGRESSION
    if scoring in (*_CLASSIFICATION, *_REGRESSION) and scoring not in allowed:
        kind = "classification" if task.classification else "regression"
        raise ValueError(f"scoring={scoring!r} does not fit a {kind} target; use one of {allowed}.")
    runs = [
        _fit_once(
            task,
            train_name,
            test_name,
            estimator=estimator,
            scoring=scoring,
            seed=seed,
            metric=metric,
        )
        for seed in spawn_seeds(random_state, repeats)
    ]
    scores = np.array([run.score for run in runs])
    measures = {
        key: float(np.mean([run.measures[key] for run in runs])) for key in runs[0].measures
    }
    return Bunch(score=float(scores.mean()), scores=scores, measures=measures, runs=runs)


def class_details(task, outcome, train_name, test_name="X_real"):
    """One row for every class of the test rows, or one row for a numeric target."""
    y, test_y = task.parts[train_name][1], task.parts[test_name][1]
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
