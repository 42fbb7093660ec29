"""Models tested on synthetic rows, trained on both kinds of rows, and their calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._random import local_rng, spawn_seeds
from synth_estimators.metrics._tables import result, undefined
from synth_estimators.metrics._utility_task import (
    TaskModel,
    UtilityTask,
    class_details,
    train_and_test,
)

__all__ = ["augmentation_gain", "calibration_gap", "trts_score"]

_BINS = 15


def _check_given(metric, **tables):
    for name, table in tables.items():
        if table is None:
            raise ValueError(f"{metric} needs {name}; pass {name}=.")


def trts_score(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any,
    X_train: Any = None,
    estimator: Any = "xgb",
    scoring: Any = None,
    task: str = "auto",
    match_size: bool = True,
    repeats: int = 1,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Train on real rows, test on synthetic ones.

    High when the synthetic labels follow from their rows as in the real table, but also when they
    are too clean: never report it alone, only beside ``tstr_score`` and ``trtr_score``.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows, the target among the columns; the model is fitted to them if ``X_train`` is not
        given.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns.

    target : column name or int
        Column that is predicted.

    X_train : {array-like, pandas DataFrame}, default=None
        Real training rows; if given, the model is fitted to them.

    estimator : {"xgb", "logistic"} or estimator, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic or ridge
        regression. Encoders are fitted to the training rows.

    scoring : {"roc_auc", "f1_macro", "accuracy", "r2"}, other scorer name or callable, default=None
        None is ROC AUC (several classes: mean over the classes present among the test rows, each
        against the rest), or R2 for a numeric target.

    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, categories, booleans and up to 10 different whole numbers as classes.

    match_size : bool, default=True
        Cut the real training and the synthetic table to the same number of rows.

    repeats : int, default=1
        Models that are fitted with seeds of their own and averaged.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows and trees.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a class), ``measures``, ``scores`` and
        ``dropped`` instead of a number.

    Returns
    -------
    score : float or Bunch
        Higher is better as long as it stays below ``trtr_score``.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import trts_score
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2, 200))
    >>> real, synth = (np.column_stack([row, row > 0]) for row in x)
    >>> round(trts_score(real, synth, target="x1", estimator="logistic"), 2)
    1.0
    """
    _check_given("trts_score", X_real=X_real, X_synth=X_synth)
    tables = {"X_real": X_real, "X_train": X_train, "X_synth": X_synth}
    utility = UtilityTask(
        {name: table for name, table in tables.items() if table is not None},
        target=target,
        task=task,
        discrete_columns=discrete_columns,
    )
    seeds = spawn_seeds(random_state, 2)
    train_name = "X_real" if X_train is None else "X_train"
    if match_size:
        utility.match(["X_synth", train_name], seeds[0])
    outcome = train_and_test(
        utility,
        train_name,
        test_name="X_synth",
        estimator=estimator,
        scoring=scoring,
        repeats=repeats,
        random_state=seeds[1],
        metric="trts_score",
    )
    return result(
        outcome.score,
        breakdown,
        lambda: class_details(utility, outcome, train_name, "X_synth"),
        measures=outcome.measures,
        scores=outcome.scores,
        dropped=utility.dropped,
    )


def augmentation_gain(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any,
    X_train: Any,
    estimator: Any = "xgb",
    scoring: Any = None,
    task: str = "auto",
    match_size: bool = True,
    repeats: int = 1,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """What synthetic rows add to the real training rows.

    Score of a model trained on real and synthetic rows together minus that of one trained on the
    real rows alone, both on the same real test rows.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real test rows, the target among the columns.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns.

    target : column name or int
        Column that is predicted.

    X_train : {array-like, pandas DataFrame}
        Real training rows.

    estimator : {"xgb", "logistic"} or estimator, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic or ridge
        regression. Encoders are fitted to the training rows.

    scoring : {"roc_auc", "f1_macro", "accuracy", "r2"}, other scorer name or callable, default=None
        None is ROC AUC (several classes: mean over the classes present among the test rows, each
        against the rest), or R2 for a numeric target.

    task : {"auto", "classification", "regression"}, default="auto"
        "auto" takes text, categories, booleans and up to 10 different whole numbers as classes.

    match_size : bool, default=True
        Add at most as many synthetic rows as there are training rows; these are left whole.

    repeats : int, default=1
        Models that are fitted with seeds of their own and averaged.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows and trees.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (one row a class and model), ``augmented``,
        ``real`` (the two scores) and ``dropped`` instead of a number.

    Returns
    -------
    gain : float or Bunch
        Higher is better; 0 means that the synthetic rows add nothing. NaN with a warning if no
        synthetic row has a usable target.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import augmentation_gain
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 200))
    >>> test, train, synth = (np.column_stack([row, row > 0]) for row in x)
    >>> gain = augmentation_gain(test, synth, X_train=train, target="x1", estimator="logistic")
    >>> bool(abs(gain) < 0.05)
    True
    """
    _check_given("augmentation_gain", X_synth=X_synth, X_train=X_train)
    utility = UtilityTask(
        {"X_real": X_real, "X_train": X_train, "X_synth": X_synth},
        target=target,
        task=task,
        discrete_columns=discrete_columns,
    )
    seeds = spawn_seeds(random_state, 2)
    if match_size:
        utility.cut("X_synth", len(utility.parts["X_train"][1]), local_rng(seeds[0]))
    if len(utility.parts["X_synth"][1]) == 0:
        score = undefined("augmentation_gain", "no synthetic row has a usable target")
        return result(score, breakdown, {"class": []}, dropped=utility.dropped)
    utility.pool(["X_train", "X_synth"], "augmented")
    outcomes = {
        name: train_and_test(
            utility,
            train_name,
            estimator=estimator,
            scoring=scoring,
            repeats=repeats,
            # One seed for both, so that the same trees are drawn.
            random_state=seeds[1],
            metric="augmentation_gain",
        )
        for name, train_name in (("augmented", "augmented"), ("real", "X_train"))
    }
    scores = {name: outcome.score for name, outcome in outcomes.items()}

    def details():
        frames = [
            class_details(utility, outcomes[name], train_name).assign(trained_on=name)
            for name, train_name in (("augmented", "augmented"), ("real", "X_train"))
        ]
        return pd.concat(frames, ignore_index=True)

    gain = scores["augmented"] - scores["real"]
    return result(gain, breakdown, details, **scores, dropped=utility.dropped)


def _calibration_error(probability, outcome):
    """Expected calibration error in bins of equal mass; equal probabilities share a bin."""
    n_rows = len(probability)
    ordered = np.sort(probability)
    lower = np.searchsorted(ordered, probability, side="left")
    bins = lower * min(_BINS, n_rows) // n_rows
    counts = np.bincount(bins)
    gaps = np.bincount(bins, weights=probability) - np.bincount(bins, weights=outcome)
    return float(np.abs(gaps[counts > 0]).sum() / n_rows)


def _calibration(utility, train_name, judged, *, estimator, seeds):
    """Calibration and Brier errors of every judged class, averaged over models."""
    features, y = utility.parts["X_real"]
    errors = np.zeros((len(judged), 2))
    for seed in seeds:
        model = TaskModel(utility, train_name, estimator=estimator, seed=seed)
        scores = model.class_scores(features, probabilities=True)
        for row, c in enumerate(judged):
            outcome = (y == c).astype(float)
            brier = float(np.mean((scores[:, c] - outcome) ** 2))
            errors[row] += np.array([_calibration_error(scores[:, c], outcome), brier]) / len(seeds)
    return errors


def calibration_gap(
    X_real: Any,
    X_synth: Any,
    *,
    target: Any,
    X_train: Any,
    estimator: Any = "xgb",
    match_size: bool = True,
    repeats: int = 1,
    discrete_columns: Any = "auto",
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """How much worse calibrated a model trained on synthetic rows is than one trained on real rows.

    Difference of the expected calibration errors (15 bins of equal mass) of the probabilities that
    both models give to the real test rows.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real test rows, the target among the columns.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns.

    target : column name or int
        Column of classes that is predicted.

    X_train : {array-like, pandas DataFrame}
        Real training rows.

    estimator : {"xgb", "logistic"} or classifier, default="xgb"
        "xgb" is 200 boosted trees of depth 5 on one core, "logistic" a logistic regression. A
        classifier must have ``predict_proba``.

    match_size : bool, default=True
        Cut the synthetic and the real training table to the same number of rows.

    repeats : int, default=1
        Models that are fitted with seeds of their own and averaged.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    random_state : int, RandomState instance or None, default=None
        Draws rows and trees.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``brier_gap`` (difference of the Brier scores),
        ``ece_synth``, ``ece_real``, ``brier_synth``, ``brier_real``, ``details`` (one row a class
        and model) and ``dropped`` instead of a number.

    Returns
    -------
    gap : float or Bunch
        Smaller is better; 0 is ideal and below 0 the synthetic rows train the better calibrated
        model.

    Notes
    -----
    Of two classes the second one is judged; of several each against the rest, and the errors are
    averaged. Rows of equal probability share a bin.

    References
    ----------
    .. [1] Naeini, M. P., Cooper, G. F. and Hauskrecht, M. (2015). "Obtaining Well Calibrated
       Probabilities Using Bayesian Binning". AAAI.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import calibration_gap
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 300))
    >>> test, train, synth = (np.column_stack([row, row > rng.normal(size=300)]) for row in x)
    >>> gap = calibration_gap(test, synth, X_train=train, target="x1", estimator="logistic")
    >>> bool(abs(gap) < 0.1)
    True
    """
    _check_given("calibration_gap", X_synth=X_synth, X_train=X_train)
    if repeats < 1:
        raise ValueError(f"repeats={repeats!r} must be at least 1.")
    utility = UtilityTask(
        {"X_real": X_real, "X_synth": X_synth, "X_train": X_train},
        target=target,
        task="auto",
        discrete_columns=discrete_columns,
    )
    if not utility.classification:
        raise ValueError(
            f"calibration_gap needs classes, but the target {utility.target!r} is numeric; name it "
            "in discrete_columns if its values are classes."
        )
    seeds = spawn_seeds(random_state, 1 + repeats)
    if match_size:
        utility.match(["X_synth", "X_train"], seeds[0])
    empty = [name for name, (_, y) in utility.parts.items() if len(y) == 0]
    if empty:
        score = undefined("calibration_gap", f"no row of {empty[0]} has a usable target")
        return result(score, breakdown, {"class": []}, dropped=utility.dropped)
    known = utility.known_classes()
    if len(known) < 2:
        score = undefined("calibration_gap", "the real rows hold one class only")
        return result(score, breakdown, {"class": []}, dropped=utility.dropped)
    judged = known[-1:] if len(known) <= 2 else known
    errors = {
        name: _calibration(utility, table, judged, estimator=estimator, seeds=seeds[1:])
        for name, table in (("synthetic", "X_synth"), ("real", "X_train"))
    }
    means = {name: values.mean(axis=0) for name, values in errors.items()}
    gap, brier_gap = (means["synthetic"] - means["real"]).tolist()
    details = pd.DataFrame(
        {
            "class": np.tile(utility.classes[judged], 2),
            "ece": np.concatenate([values[:, 0] for values in errors.values()]),
            "brier": np.concatenate([values[:, 1] for values in errors.values()]),
            "trained_on": np.repeat(list(errors), len(judged)),
        }
    )
    return result(
        gap,
        breakdown,
        details,
        brier_gap=brier_gap,
        ece_synth=float(means["synthetic"][0]),
        ece_real=float(means["real"][0]),
        brier_synth=float(means["synthetic"][1]),
        brier_real=float(means["real"][1]),
        dropped=utility.dropped,
    )
