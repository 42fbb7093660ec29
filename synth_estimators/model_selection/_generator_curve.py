"""Learning curves of classifiers trained on real, synthetic and mixed rows."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, check_memory
from threadpoolctl import threadpool_limits

from synth_estimators import __version__
from synth_estimators._compat import HasMethods, Interval, StrOptions, fit_context
from synth_estimators._random import draw_seed
from synth_estimators._validation import check_labels, check_rows, check_table
from synth_estimators.compose._parts import input_tags
from synth_estimators.model_selection._curve_analysis import (
    CURVE_KEYS,
    compare_regimes,
    exchange_rates,
    fit_curves,
)
from synth_estimators.model_selection._regimes import (
    REGIMES,
    CurvePlan,
    expand_regimes,
    run_unit,
)
from synth_estimators.model_selection._subsets import (
    check_train_sizes,
    outer_splits,
    place_seed,
)
from synth_estimators.model_selection._trained import (
    is_plain,
    resolve_classifiers,
    resolve_scoring,
)

__all__ = ["GeneratorLearningCurve"]

# Sizes that a curve with a band needs.
_BAND_SIZES = 4


class GeneratorLearningCurve(MetaEstimatorMixin, BaseEstimator):
    r"""Learning curves of classifiers trained on real, synthetic and mixed rows.

    Answers which score a classifier reaches with n rows, how many rows a target needs, and what
    synthetic rows add. Every regime is scored on the same real test rows, which neither the
    generator nor the preprocessing nor a classifier has seen.

    Read more in the :ref:`User Guide <generator_learning_curve>`.

    Parameters
    ----------
    generator : estimator
        Generator with ``fit`` and ``sample``. One with ``sample_labeled`` is fitted with the
        labels, any other once for each class, as in ``ClassConditionalGenerator``.

    classifiers : None, str, estimator, list or dict, default=None
        Classifiers to train: names out of "LOGIS", "SVM", "KNN", "RF" and "XGB", estimators, or a
        dict ``{name: estimator}``. None is all five names.

    train_sizes : array-like, default=(0.1, 0.2, 0.4, 0.7, 1.0)
        Sizes n: numbers of rows, or shares of the training part of the outer folds. A curve with
        a band needs four.

    regimes : sequence of str, default=all six
        Ways to make the training table:

        - "real": n real rows;
        - "synth": n synthetic rows of a generator fitted on the whole training part;
        - "pilot": ``synth_size`` synthetic rows of a generator fitted on the n real rows;
        - "augmented": n real rows and r n synthetic ones of a generator fitted on them;
        - "bootstrap": n real rows and r n copies of them, more rows without new information;
        - "smote": n real rows and r n rows between neighbours of the same class.

    ratios : float or sequence of float, default=(1, 4, 9)
        Rows r added for each real one; the regimes are called ``"augmented_4"`` and so on.

    cv : int or cross-validation splitter, default=5
        Outer folds. An int is a stratified, shuffled split, new in each repeat.

    n_repeats : int, default=1
        Repeats of the outer folds.

    n_draws : int, default=5
        Orders of the training rows in each fold. The first n rows of an order are the subset of
        size n, so subsets are nested and their classes stratified.

    synth_size : int or None, default=None
        Rows of the regime "pilot"; None is the size of the training part.

    scoring : None, str, callable, list or dict, default=None
        None is "roc_auc" (several classes: mean over the classes, each against the rest),
        "f1_macro" and "accuracy"; else names of scikit-learn's scorers or
        ``scorer(estimator, X, y)``. Higher is better.

    preprocess : transformer or None, default=None
        Fitted on the real training rows of each subset, with their labels; transforms them before
        the generator is fitted, and the test rows.

    n_jobs : int or None, default=None
        Workers that share the units (repeat, fold, draw). Results do not depend on it.

    memory : None, str or joblib.Memory, default=None
        Folder in which every finished unit is kept; an interrupted ``fit`` goes on from there.
        Needs a ``random_state``.

    error_score : "raise" or float, default=nan
        Score where a generator or a classifier fails or a metric has no value; the reason stands
        in ``results_``.

    verbose : int, default=0
        Progress messages of joblib.

    pre_dispatch : int or str, default="2*n_jobs"
        Units handed to the workers ahead.

    random_state : int, RandomState instance or None, default=None
        Seeds folds, draws, generators and classifiers; a ``random_state`` of theirs is not used.
        Pass an int for reproducible output.

    Attributes
    ----------
    results_ : DataFrame
        One row for each score: ``repeat``, ``fold``, ``draw``, ``n_train`` (size n), ``n_synth``
        (rows of the training table that are not real ones), ``regime``, ``classifier``,
        ``metric``, ``score``, ``fit_time`` and ``sample_time`` of the generator and
        ``train_time`` of the classifier in seconds, ``error``.

    curves_ : dict
        The fitted curve of each (regime, classifier, metric) that has three sizes or more.

    classes_ : ndarray of shape (n_classes,)
        Labels.

    train_sizes_ : list of int
        Sizes n in rows.

    n_splits_ : int
        Outer folds over all repeats.

    n_features_in_ : int
        Number of columns of ``X``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when all of them are strings.

    See Also
    --------
    evaluate_sample_sizes : The published evaluation of one table.
    synthetic_learning_curve : The scores of one regime as arrays.
    synth_estimators.inspection.SynthLearningCurveDisplay : The figure.

    Notes
    -----
    Curves are fitted over the outer folds, each the mean of its draws, so that their bands hold
    the error of the test rows too. They speak of tables like this one, not of other studies.

    Classifiers get the numbers of a complete numeric table as they are. In other tables numeric
    columns are standardised, missing cells filled by medians and flagged, and categories one-hot
    encoded, all by the rows the classifier is trained on. Before the named classifiers the columns
    are standardised by these rows.

    The generator is fitted once a fold for "synth" and once for every fold, draw and size for
    "pilot" and "augmented" together. Linear algebra runs on one thread in every unit, so that
    results are the same bits in one process, in threads and in several processes.

    References
    ----------
    .. [1] Qi, Y., Wang, X. and Qin, L.-X. (2025). "Optimizing sample size for supervised machine
       learning with bulk transcriptomic sequencing: a learning curve approach". Briefings in
       Bioinformatics 26(2), bbaf097.
    .. [2] Viering, T. and Loog, M. (2023). "The Shape of Learning Curves: a Review". IEEE
       Transactions on Pattern Analysis and Machine Intelligence 45, 7799-7819.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from synth_estimators import IndependentColumns
    >>> from synth_estimators.model_selection import GeneratorLearningCurve
    >>> X, y = load_iris(return_X_y=True)
    >>> study = GeneratorLearningCurve(
    ...     IndependentColumns(),
    ...     GaussianNB(),
    ...     train_sizes=[15, 30, 60, 120],
    ...     regimes=("real", "synth"),
    ...     n_draws=2,
    ...     scoring="accuracy",
    ...     random_state=0,
    ... ).fit(X, y)
    >>> table = study.results_.groupby(["regime", "n_train"])["score"].mean().unstack()
    >>> table.shape, bool((table[120] > 0.9).all())
    ((2, 4), True)
    """

    _parameter_constraints: dict = {
        "generator": [HasMethods(["fit", "sample"])],
        "classifiers": [None, str, list, tuple, Mapping, HasMethods(["fit"])],
        "train_sizes": ["array-like"],
        "regimes": ["array-like", str],
        "ratios": ["array-like", Real],
        "cv": ["cv_object"],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "synth_size": [Interval(Integral, 1, None, closed="left"), None],
        "scoring": [None, str, list, tuple, dict, callable],
        "preprocess": [HasMethods(["fit", "transform"]), None],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, HasMethods("cache"), None],
        "error_score": [StrOptions({"raise"}), Real],
        "verbose": ["verbose"],
        "pre_dispatch": [str, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        generator,
        classifiers=None,
        *,
        train_sizes=(0.1, 0.2, 0.4, 0.7, 1.0),
        regimes=REGIMES,
        ratios=(1, 4, 9),
        cv=5,
        n_repeats=1,
        n_draws=5,
        synth_size=None,
        scoring=None,
        preprocess=None,
        n_jobs=None,
        memory=None,
        error_score=np.nan,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
    ):
        self.generator = generator
        self.classifiers = classifiers
        self.train_sizes = train_sizes
        self.regimes = regimes
        self.ratios = ratios
        self.cv = cv
        self.n_repeats = n_repeats
        self.n_draws = n_draws
        self.synth_size = synth_size
        self.scoring = scoring
        self.preprocess = preprocess
        self.n_jobs = n_jobs
        self.memory = memory
        self.error_score = error_score
        self.verbose = verbose
        self.pre_dispatch = pre_dispatch
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, batch: Any = None) -> GeneratorLearningCurve:
        """Train and score the classifiers of all regimes and fit the curves.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Real rows; any column types that the generator takes.

        y : array-like of shape (n_samples,)
            Class labels, at least two classes, each with a row for every outer fold.

        batch : array-like of shape (n_samples,), default=None
            Batch of each row, handed to ``preprocess``.

        Returns
        -------
        self : GeneratorLearningCurve
            The finished study.

        Raises
        ------
        ValueError
            When labels are missing, there is one class, a class has fewer rows than there are
            folds, a size exceeds the training part, or a regime is unknown.
        """
        return self._run(X, y, batch, train_scores=False)

    def _run(self, X, y, batch, *, train_scores):
        memory = check_memory(self.memory)
        if getattr(memory, "location", True) is not None and self.random_state is None:
            raise ValueError(
                "memory= keeps finished units for a later run, which needs the same seeds; pass "
                "an int as random_state."
            )
        table, codes = self._checked(X, y)
        batch = _checked_batch(batch, self.preprocess, len(codes))
        entropy = draw_seed(self.random_state)
        regimes = expand_regimes(self.regimes, self.ratios)
        classifiers = resolve_classifiers(self.classifiers)
        scorers = resolve_scoring(self.scoring)
        splits = outer_splits(
            table, codes, self.classes_, cv=self.cv, n_repeats=self.n_repeats, entropy=entropy
        )
        n_rows = min(len(train) for *_, train, _ in splits)
        self.train_sizes_ = check_train_sizes(self.train_sizes, n_rows)
        _warn_of_few_sizes(self.train_sizes_)
        plan = CurvePlan(
            generator=clone(self.generator),
            classifiers=classifiers,
            regimes=tuple(regime for regime in regimes if regime.kind != "synth"),
            sizes=tuple(self.train_sizes_),
            synth_size=n_rows if self.synth_size is None else int(self.synth_size),
            scorers=scorers,
            preprocess=self.preprocess,
            entropy=entropy,
            error_score=self.error_score,
            train_scores=train_scores,
            # Decided for all folds and sizes at once, so that their classifiers see one encoding.
            plain=self.preprocess is not None or is_plain(table),
        )
        records = self._execute(plan, regimes, table, codes, batch, splits, memory)
        self._collect(records, regimes, plan, splits)
        return self

    def _checked(self, X, y):
        """Validate rows and labels; returns the table and the class position of each row."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None. Pass one class label per row of X."
            )
        tags = input_tags(self.generator)
        mixed = tags is not None and (tags.allow_nan or tags.string)
        data = check_table(self, X, reset=True) if mixed else check_rows(self, X, reset=True)
        n_rows = len(data)
        labels = check_labels(y, n_samples=n_rows, owner=type(self).__name__)
        if isinstance(X, pd.DataFrame):
            table = X.reset_index(drop=True)
        elif mixed and len(set(data.dtypes)) == 1:
            table = data.to_numpy()
        else:
            table = data
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class only ({self.classes_.tolist()[0]!r}); a learning curve of "
                "classifiers needs at least two classes."
            )
        return table, codes

    def _execute(self, plan, regimes, table, codes, batch, splits, memory):
        """Run all units, those with one generator a fold first, and return their rows."""
        data = (table, codes, self.classes_, batch)
        # The rows are hashed once, not once a unit.
        caches = getattr(memory, "location", True) is not None
        key = joblib.hash((plan, data, __version__)) if caches else None
        unit = memory.cache(run_unit, ignore=["plan", "data"])
        tasks = []
        draws = tuple(range(self.n_draws))
        if any(regime.kind == "synth" for regime in regimes):
            tasks += [("synth", split, draws) for split in splits]
        if plan.regimes:
            tasks += [("draw", split, (draw,)) for split in splits for draw in draws]
        # One thread for linear algebra: the same bits whatever runs beside a unit.
        with threadpool_limits(limits=1):
            parts = Parallel(
                n_jobs=self.n_jobs, verbose=self.verbose, pre_dispatch=self.pre_dispatch
            )(
                delayed(unit)(kind, split, draws, key=key, plan=plan, data=data)
                for kind, split, draws in tasks
            )
        return [record for part in parts for record in part]

    def _collect(self, records, regimes, plan, splits):
        order = {regime.name: index for index, regime in enumerate(regimes)}
        table = pd.DataFrame.from_records(records)
        place = table["regime"].map(order)
        keys = ["repeat", "fold", "draw", "n_train"]
        table = table.assign(_place=place).sort_values([*keys, "_place"], kind="stable")
        self.results_ = table.drop(columns="_place").reset_index(drop=True)
        self.results_["n_synth"] = self.results_["n_synth"].astype("Int64")
        self.n_splits_ = len(splits)
        self._n_outer_train = float(np.mean([len(train) for *_, train, _ in splits]))
        self._n_outer_test = float(np.mean([len(test) for *_, test in splits]))
        _warn_of_failures(self.results_)
        self._band_seed = place_seed(plan.entropy, "metric")
        self.curves_ = fit_curves(
            self.results_,
            n_train=self._n_outer_train,
            n_test=self._n_outer_test,
            random_state=self._band_seed,
        )

    def compare(
        self,
        regime: str,
        other: str,
        *,
        classifier: str | None = None,
        metric: str | None = None,
        rope: float | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Test at every size whether two regimes differ on the same test rows.

        Parameters
        ----------
        regime, other : str
            Names in ``results_["regime"]``.

        classifier, metric : str, default=None
            Keep these only; None compares all.

        rope : float or None, default=None
            Half-width of the region of practical equivalence; adds ``p_worse``, ``p_equivalent``
            and ``p_better`` of a Bayesian correlated t-test. 0.01 is usual.

        level : float, default=0.95
            Confidence of the interval.

        Returns
        -------
        table : DataFrame
            As ``compare_regimes`` returns it.
        """
        check_is_fitted(self)
        return compare_regimes(
            self.results_,
            regime,
            other,
            n_train=self._n_outer_train,
            n_test=self._n_outer_test,
            classifier=classifier,
            metric=metric,
            rope=rope,
            level=level,
        )

    def exchange_rate(
        self, regime: str = "synth", *, level: float = 0.95, n_bootstrap: int = 500
    ) -> pd.DataFrame:
        """How many real rows give the score of n rows of another regime.

        Parameters
        ----------
        regime : str, default="synth"
            Name in ``results_["regime"]``.

        level : float, default=0.95
            Probability of the band.

        n_bootstrap : int, default=500
            Resamples of the outer folds; 0 leaves the band out.

        Returns
        -------
        table : DataFrame
            One row for each classifier, metric and size: ``n_train`` (n), ``score``,
            ``n_equivalent`` (size at which the curve of "real" reaches the score),
            ``exchange_rate`` = n_equivalent / n, ``low`` and ``high``. The rate is inf where the
            real curve never gets there, and 0 where the score lies below the start of the real
            curve, its value at the smallest size.
        """
        check_is_fitted(self)
        return exchange_rates(
            self.results_,
            self.curves_,
            regime,
            level=level,
            n_bootstrap=n_bootstrap,
            random_state=self._band_seed,
        )

    def plateau_n(self, *, gain: float = 0.01, probability: float = 0.9) -> pd.DataFrame:
        """Smallest size from which doubling the rows gains less than ``gain``.

        Parameters
        ----------
        gain : float, default=0.01
            Gain that no longer pays, in units of the metric.

        probability : float, default=0.9
            Share of the bootstrap curves in which doubling has to gain less.

        Returns
        -------
        table : DataFrame
            Columns ``regime``, ``classifier``, ``metric`` and ``plateau_n``.
        """
        check_is_fitted(self)
        return pd.DataFrame(
            [
                {
                    **dict(zip(CURVE_KEYS, key, strict=True)),
                    "plateau_n": curve.plateau_n(gain, probability=probability),
                }
                for key, curve in self.curves_.items()
            ],
            columns=[*CURVE_KEYS, "plateau_n"],
        )

    def required_n(self, target: float, *, level: float = 0.95) -> pd.DataFrame:
        """Size at which every curve reaches a score.

        Parameters
        ----------
        target : float
            Score to be reached.

        level : float, default=0.95
            Confidence of the interval.

        Returns
        -------
        table : DataFrame
            Columns ``regime``, ``classifier``, ``metric``, ``n`` (inf where the curve stays below
            the target), ``low``, ``high``, ``extrapolated`` and ``p_reachable``.
        """
        check_is_fitted(self)
        columns = ["n", "low", "high", "extrapolated", "p_reachable"]
        rows = []
        for key, curve in self.curves_.items():
            answer = curve.required_n(target, level=level)
            rows.append(
                {
                    **dict(zip(CURVE_KEYS, key, strict=True)),
                    **{name: answer[name] for name in columns},
                }
            )
        return pd.DataFrame(rows, columns=[*CURVE_KEYS, *columns])

    def plot(self, ax: Any = None, **keywords: Any) -> Any:
        """Draw means, fitted curves and bands of the regimes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        **keywords : dict
            Further keywords of ``SynthLearningCurveDisplay.from_estimator``.

        Returns
        -------
        display : SynthLearningCurveDisplay
            The display, already plotted.
        """
        # Figures live on the same floor, so they are looked up when they are asked for.
        inspection = importlib.import_module("synth_estimators.inspection")
        return inspection.SynthLearningCurveDisplay.from_estimator(self, ax=ax, **keywords)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        inner = input_tags(self.generator)
        if inner is not None:
            tags.input_tags.allow_nan = inner.allow_nan
            tags.input_tags.string = inner.string
            tags.input_tags.positive_only = inner.positive_only
        return tags


def _checked_batch(batch, preprocess, n_rows):
    if batch is None:
        return None
    if preprocess is None:
        raise ValueError(
            "batch is handed to preprocess, but preprocess is None; pass a transformer."
        )
    labels = np.asarray(batch)
    if labels.shape != (n_rows,):
        raise ValueError(
            f"batch has shape {labels.shape}, but X has {n_rows} rows; pass one batch per row."
        )
    return labels


def _warn_of_few_sizes(sizes):
    if len(sizes) < _BAND_SIZES:
        warnings.warn(
            f"train_sizes holds {len(sizes)} sizes; a curve needs three and its band four. "
            "The scores are in results_ all the same.",
            UserWarning,
            stacklevel=4,
        )


def _warn_of_failures(results):
    failed = results.loc[results["error"] != ""]
    if failed.empty:
        return
    reasons = failed["error"].value_counts()
    shown = "; ".join(f"{count} x {reason}" for reason, count in reasons.head(3).items())
    warnings.warn(
        f"{len(failed)} of {len(results)} scores are missing because a generator or a classifier "
        f"failed or a metric has no value: {shown}. The reasons stand in results_['error'].",
        FitFailedWarning,
        stacklevel=4,
    )
