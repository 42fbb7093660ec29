"""Any generator with constraints and conditions."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pandas as pd
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils import get_tags

from synth_estimators._compat import HasMethods, fit_context
from synth_estimators._random import draw_seed
from synth_estimators._validation import check_table, from_polars, is_polars
from synth_estimators.base import BaseGenerator
from synth_estimators.tabular._constraint_set import ConstraintSet
from synth_estimators.tabular._known_columns import KnownColumns
from synth_estimators.tabular._sampling import ConditionedSamplingMixin

__all__ = ["ConstrainedGenerator"]


class ConstrainedGenerator(ConditionedSamplingMixin, MetaEstimatorMixin, BaseGenerator):
    """Generator whose rows meet constraints, and conditions by drawing again.

    Constraints that can be kept by construction change the columns that the generator learns;
    the others, and conditions, are met by rejection.

    Parameters
    ----------
    generator : estimator
        Generator with ``fit`` and ``sample``. A mixed table needs one that takes mixed tables.

    constraints : list of constraints or callables, default=None
        For example ``[Inequality("start", "end")]``. A callable takes a data frame and returns one
        bool a row.

    random_state : int, RandomState instance or None, default=None
        Seeds the draws. The generator keeps the seed of its own.

    Attributes
    ----------
    generator_ : estimator
        Fitted clone of ``generator``.

    constraints_ : list of Constraint
        Fitted copies of ``constraints``.

    sampling_report_ : SamplingReport
        Tries and acceptance of the last request that needed rejection.

    n_features_in_ : int
        Number of columns.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only when all are strings.

    Examples
    --------
    >>> import pandas as pd
    >>> from synth_estimators import SequentialCART
    >>> from synth_estimators.tabular import ConstrainedGenerator, Inequality
    >>> X = pd.DataFrame({"start": range(40), "end": [i + i % 7 for i in range(40)]})
    >>> model = ConstrainedGenerator(
    ...     SequentialCART(random_state=0), constraints=[Inequality("start", "end")]
    ... ).fit(X)
    >>> rows = model.sample(200, where="start>=10")
    >>> bool((rows["start"] <= rows["end"]).all()), int(rows["start"].min()) >= 10
    (True, True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "generator": [HasMethods(["fit", "sample"])],
        "constraints": [list, tuple, None],
        "random_state": ["random_state"],
    }

    _mixed: ClassVar[bool] = True

    def __init__(self, generator, *, constraints=None, random_state=None):
        self.generator = generator
        self.constraints = constraints
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> ConstrainedGenerator:
        """Check the constraints on the table and fit the generator on it.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Training table.

        y : array-like of shape (n_samples,), default=None
            Passed on to the generator.

        Returns
        -------
        self : ConstrainedGenerator

        Raises
        ------
        ValueError
            When the table breaks a constraint.
        """
        frame, _ = self._start_fit_table(X)
        self._rules = ConstraintSet(self.constraints).fit(
            frame, index=X.index if isinstance(X, pd.DataFrame) else None
        )
        self.constraints_ = self._rules.all
        self._known = KnownColumns(frame, in_range=False)
        model = self._rules.to_model(frame)
        self._from_array = self._schema.kind == "array"
        self.generator_ = clone(self.generator)
        self.generator_.fit(self._for_generator(model), y)
        self._model_columns = list(model.columns)
        return self

    def _for_generator(self, frame):
        plain = not self._rules.built and self._from_array
        return frame.to_numpy() if plain else frame

    def _candidates(self, n_samples, rng, wanted):
        request = {}
        if "random_state" in inspect.signature(self.generator_.sample).parameters:
            request["random_state"] = draw_seed(rng)
        rows = self.generator_.sample(n_samples, **request)
        rows = from_polars(rows) if is_polars(rows) else rows
        frame = pd.DataFrame(rows).set_axis(self._model_columns, axis=1)
        if frame.dtypes.eq(object).any() and not isinstance(rows, pd.DataFrame):
            frame = frame.infer_objects()
        return self._rules.from_model(frame.reset_index(drop=True))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the energy distance between ``X`` and as many sampled rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows that were not used in ``fit``.

        y : None
            Ignored, present for API consistency.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row of ``X``.

        Returns
        -------
        score : float
            Higher is better.
        """
        check_table(self, X, reset=False)
        return super().score(X, None, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.generator)
        tags.input_tags = inner.input_tags
        tags.target_tags.required = inner.target_tags.required
        return tags
