"""The scores of one regime as arrays, as scikit-learn's ``learning_curve`` returns them."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth_estimators.model_selection._generator_curve import GeneratorLearningCurve

__all__ = ["synthetic_learning_curve"]


def synthetic_learning_curve(
    generator: Any,
    classifier: Any,
    X: Any,
    y: Any,
    *,
    regime: str = "synth",
    ratio: float = 1,
    train_sizes: Any = (0.1, 0.33, 0.55, 0.78, 1.0),
    cv: Any = 5,
    n_draws: int = 1,
    synth_size: int | None = None,
    scoring: Any = "accuracy",
    preprocess: Any = None,
    n_jobs: int | None = None,
    memory: Any = None,
    error_score: Any = np.nan,
    return_times: bool = False,
    verbose: int = 0,
    pre_dispatch: Any = "2*n_jobs",
    random_state: Any = None,
) -> tuple[np.ndarray, ...]:
    """Scores of a classifier trained on synthetic rows, over the number of rows.

    Test scores are those of real rows that neither the generator nor the classifier has seen.

    Parameters
    ----------
    generator : estimator
        Generator with ``fit`` and ``sample``.

    classifier : str or estimator
        Classifier: "LOGIS", "SVM", "KNN", "RF", "XGB" or an estimator.

    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows.

    y : array-like of shape (n_samples,)
        Class labels.

    regime : {"synth", "real", "pilot", "augmented", "bootstrap", "smote"}, default="synth"
        How the training table is made, as in ``GeneratorLearningCurve``.

    ratio : float, default=1
        Rows added for each real one by "augmented", "bootstrap" and "smote".

    train_sizes : array-like, default=(0.1, 0.33, 0.55, 0.78, 1.0)
        Numbers of rows, or shares of the training part of the folds.

    cv : int or cross-validation splitter, default=5
        Outer folds.

    n_draws : int, default=1
        Orders of the rows in each fold.

    synth_size : int or None, default=None
        Rows of the regime "pilot"; None is the size of the training part.

    scoring : str or callable, default="accuracy"
        One metric, as in ``GeneratorLearningCurve``.

    preprocess : transformer or None, default=None
        Fitted on the real training rows of each subset.

    n_jobs : int or None, default=None
        Workers. Results do not depend on it.

    memory : None, str or joblib.Memory, default=None
        Folder in which every finished unit is kept. Needs a ``random_state``.

    error_score : "raise" or float, default=nan
        Score where a generator or the classifier fails.

    return_times : bool, default=False
        Also return the seconds spent.

    verbose : int, default=0
        Progress messages of joblib.

    pre_dispatch : int or str, default="2*n_jobs"
        Units handed to the workers ahead.

    random_state : int, RandomState instance or None, default=None
        Seeds folds, draws, generators and classifiers. Pass an int for reproducible output.

    Returns
    -------
    train_sizes_abs : ndarray of shape (n_sizes,)
        Numbers of rows.

    train_scores : ndarray of shape (n_sizes, n_folds * n_draws)
        Scores of the rows that were trained on.

    test_scores : ndarray of shape (n_sizes, n_folds * n_draws)
        Scores of the real test rows.

    fit_times : ndarray of shape (n_sizes, n_folds * n_draws)
        Seconds to fit the generator, sample and fit the classifier; if ``return_times=True``.
        With "synth" one fit of the generator serves all sizes and draws of a fold.

    score_times : ndarray of shape (n_sizes, n_folds * n_draws)
        Seconds to score the test rows; if ``return_times=True``.

    See Also
    --------
    GeneratorLearningCurve : Several regimes and classifiers, with curves and comparisons.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from synth_estimators import GaussianCopula
    >>> from synth_estimators.model_selection import synthetic_learning_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> sizes, train_scores, test_scores = synthetic_learning_curve(
    ...     GaussianCopula(), GaussianNB(), X, y, train_sizes=[15, 30, 60, 120], random_state=0
    ... )
    >>> sizes.tolist(), test_scores.shape, bool(test_scores.mean() > 0.9)
    ([15, 30, 60, 120], (4, 5), True)
    """
    if not isinstance(regime, str):
        raise TypeError(f"regime={regime!r} must be one word; use GeneratorLearningCurve for more.")
    study = GeneratorLearningCurve(
        generator,
        classifier,
        train_sizes=train_sizes,
        regimes=(regime,),
        ratios=(ratio,),
        cv=cv,
        n_draws=n_draws,
        synth_size=synth_size,
        scoring=scoring,
        preprocess=preprocess,
        n_jobs=n_jobs,
        memory=memory,
        error_score=error_score,
        verbose=verbose,
        pre_dispatch=pre_dispatch,
        random_state=random_state,
    )
    table = study._run(X, y, None, train_scores=True).results_
    several = [name for name in ("classifier", "metric") if table[name].nunique() > 1]
    if several:
        raise ValueError(
            f"Arrays hold the scores of one {several[0]}; pass one, or use GeneratorLearningCurve."
        )

    def over_sizes(column):
        wide = table.set_index(["n_train", "repeat", "fold", "draw"])[column]
        return wide.unstack("n_train").to_numpy().T

    sizes = np.array(study.train_sizes_)
    scores = sizes, over_sizes("train_score"), over_sizes("score")
    if not return_times:
        return scores
    table["seconds"] = table[["fit_time", "sample_time", "train_time"]].sum(axis=1, skipna=False)
    return *scores, over_sizes("seconds"), over_sizes("score_time")
