"""Batch effects as a transformer that knows the truth."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_array, check_is_fitted

from synth_estimators._batch_simulation._assignment import (
    ASSIGNMENTS,
    generate_batch_assignments,
)
from synth_estimators._batch_simulation._effects import (
    GRANULARITIES,
    add_effects,
    affected_positions,
    draw_effects,
    summarize,
)
from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators._random import draw_seed
from synth_estimators.batch_effects._base import BaseBatchCorrector, SampleRows
from synth_estimators.batch_effects._design import BatchLevels, as_labels, match_batches

__all__ = ["BatchEffectSimulator"]


class _Last:
    """Labels of the last call, in a box of their own: ``transform`` sets no attribute."""

    def __init__(self, labels):
        self.labels = labels


# Division by a smaller factor would turn rounding errors into values.
_SMALLEST_FACTOR = 1e-8


class BatchEffectSimulator(BaseBatchCorrector):
    r"""Puts known batch effects on a table, and takes them off again.

    Row :math:`i` of batch :math:`b` becomes

    .. math:: x_{ij}\, g_{bj} + e_{bj}

    with factors :math:`g \sim N(1, s^2)` and shifts :math:`e \sim N(0, s^2)` drawn in ``fit``, one
    for each batch and feature or one for each batch. "additive" effects have no factors,
    "multiplicative" effects no shifts.

    Read more in the :ref:`User Guide <batch_simulation>`.

    Parameters
    ----------
    n_batches : int, default=2
        Number of batches to draw labels from; 1 means no effects. Labels passed to ``fit`` name the
        batches themselves: whole numbers from 0 to ``n_batches - 1`` are those of ``n_batches``
        batches, any other labels are the batches, in sorted order.

    effect_type : {"additive", "multiplicative", "both"}, default="additive"
        Shifts, factors, or factors followed by shifts.

    effect_strength : float, default=0.5
        Standard deviation :math:`s`. Shifts are in units of the features.

    effect_granularity : {"per_feature", "scalar"}, default="per_feature"
        One effect for each batch and affected feature, or one for each batch.

    affected_features : "all" or array-like of int, bool or names, default="all"
        Features that batches change: positions among the features, a mask with one boolean a
        feature, or names of columns.

    proportions : array-like of shape (n_batches,), default=None
        Relative sizes of the drawn batches; None makes them equal.

    confounding_with_class : float, default=0.0
        Dependence of the drawn batches on the classes ``y``, from 0 (none) to 1.

    assignment : {"redistribute", "mixture"}, default="redistribute"
        How the batches depend on the classes, see :func:`confounded_batch_assignment`.

    positive_factors : bool, default=False
        Draw factors :math:`g = \exp(N(0, s^2))`. Factors around 1 can be negative and then flip
        the sign of a feature.

    batch : str, int or None, default=None
        Column of ``X`` that holds the batch labels: its name, or its position. It is no feature
        and not part of the output. None: there is no such column.

    random_state : int, RandomState instance or None, default=None
        Seeds labels and effects. The integer ``s`` gives the stream of
        ``numpy.random.default_rng(s)``, as in :func:`apply_batch_effects_from_config`.

    Attributes
    ----------
    batches_ : ndarray of shape (n_batches,)
        Labels of the batches.

    labels_ : ndarray of shape (n_samples,)
        Batch of every row seen during ``fit``, drawn or given.

    last_labels_ : ndarray
        Batch of every row of the last call of ``transform`` or ``fit_transform``.

    effects_ : ndarray of shape (n_batches, n_affected)
        Drawn factors if ``effect_type="multiplicative"``, else shifts.

    shifts_, factors_ : ndarray of shape (n_batches, n_affected)
        Shifts and factors; 0 and 1 where the type of effect has none.

    batch_effects_ : ndarray of shape (n_batches,)
        Mean shift of every batch, or its mean factor minus 1.

    affected_features_ : ndarray of shape (n_affected,)
        Positions of the features that batches change.

    n_features_in_ : int
        Number of columns seen during ``fit``, with that of the labels.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    apply_batch_effects : The same as a function.
    synth_estimators.datasets.make_biomedical : Tables with classes, correlated features and
        batches.

    Notes
    -----
    Labels are taken from the keyword ``batch``, else from the column ``batch``, else they are
    drawn. Labels that ``transform`` draws do not depend on classes, which it does not know; it
    warns if they did during ``fit``. Drawn labels belong to the position of a row, so the same
    rows in another order get other effects; pass labels to rule this out. Missing cells stay
    missing.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import BatchEffectSimulator
    >>> X = np.zeros((6, 2))
    >>> simulator = BatchEffectSimulator(n_batches=2, random_state=0)
    >>> X_affected = simulator.fit_transform(X)
    >>> np.array_equal(X_affected, simulator.effects_[simulator.labels_])
    True
    >>> float(np.abs(simulator.inverse_transform(X_affected, batch=simulator.labels_)).max())
    0.0
    """

    __metadata_request__fit = {"covariates": UNUSED}
    __metadata_request__transform = {"covariates": UNUSED}
    __metadata_request__inverse_transform = {"batch": True}

    _roles = ("batch",)
    _needs_batch = False
    _allow_nan = True

    _parameter_constraints: ClassVar[dict] = {
        "n_batches": [Interval(Integral, 1, None, closed="left")],
        "effect_type": [StrOptions({"additive", "multiplicative", "both"})],
        "effect_strength": [Interval(Real, 0, None, closed="left")],
        "effect_granularity": [StrOptions(set(GRANULARITIES))],
        "affected_features": [StrOptions({"all"}), "array-like"],
        "proportions": ["array-like", None],
        "confounding_with_class": [Interval(Real, 0, 1, closed="both")],
        "assignment": [StrOptions(set(ASSIGNMENTS))],
        "positive_factors": ["boolean"],
        "batch": [str, Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_batches=2,
        *,
        effect_type="additive",
        effect_strength=0.5,
        effect_granularity="per_feature",
        affected_features="all",
        proportions=None,
        confounding_with_class=0.0,
        assignment="redistribute",
        positive_factors=False,
        batch=None,
        random_state=None,
    ):
        self.n_batches = n_batches
        self.effect_type = effect_type
        self.effect_strength = effect_strength
        self.effect_granularity = effect_granularity
        self.affected_features = affected_features
        self.proportions = proportions
        self.confounding_with_class = confounding_with_class
        self.assignment = assignment
        self.positive_factors = positive_factors
        self.batch = batch
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, batch: Any = None) -> BatchEffectSimulator:
        """Draw the effects, and the labels of the rows unless they are given.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            The table, with or without a column of labels.

        y : array-like of shape (n_samples,) or None, default=None
            Classes; read only if labels are drawn and ``confounding_with_class`` is above 0.

        batch : array-like of shape (n_samples,) or None, default=None
            Batch of every row, instead of a column of ``X``.

        Returns
        -------
        self : BatchEffectSimulator
            The fitted simulator.

        Raises
        ------
        ValueError
            For confounding without classes, labels that are missing or of several types, and a
            column of labels that ``X`` does not have.
        """
        return self._fit_checked(X, y, batch)

    @fit_context(prefer_skip_nested_validation=True)
    def _fit_checked(self, X, y, batch):
        return self._fit_rows(X, y, batch=batch)

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any = None) -> Any:
        """Draw the effects, and return the same rows with the effects of ``labels_``.

        Parameters
        ----------
        X, y, batch
            As in ``fit``.

        Returns
        -------
        X_affected : ndarray, pandas DataFrame, polars DataFrame or AnnData
            As in ``transform``.
        """
        self._fit_checked(X, y, batch)
        rows, source = self._read(X, {"batch": batch}, reset=False)
        values = self._affected(rows.X, self._codes_of(self.labels_))
        return self._wrap(values, source)

    def transform(self, X: Any, *, batch: Any = None) -> Any:
        """Return the rows with the effects of their batches.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            Rows with the columns seen during ``fit``.

        batch : array-like of shape (n_samples,) or None, default=None
            Batch of every row, among ``batches_``. Without labels here or in a column, new ones are
            drawn, the same in every call.

        Returns
        -------
        X_affected : ndarray, pandas DataFrame, polars DataFrame or AnnData
            Features with effects in the container of ``X``, without the column of labels:
            ``float32`` for ``float32``, else ``float64``. ``set_output`` overrides the container.

        Raises
        ------
        ValueError
            For labels that are unknown, missing, or not one a row.
        """
        return self._transform_rows(X, batch=batch)

    def inverse_transform(self, X: Any, batch: Any = None) -> np.ndarray:
        """Return the rows without the effects of their batches.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows with effects, with or without the column of labels.

        batch : array-like of shape (n_samples,) or None, default=None
            Batch of every row; None takes the column of labels, else ``last_labels_`` if it has
            the length of ``X``.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Features as they were, up to rounding.

        Raises
        ------
        ValueError
            Without labels, and for factors too close to 0 to be undone.
        """
        check_is_fitted(self)
        data, labels = self._read_affected(X, batch)
        if labels is None:
            labels = self._last_labels_for(len(data))
        codes = self._codes_of(labels)
        used = np.abs(self.factors_[np.unique(codes)])
        if used.size and used.min() < _SMALLEST_FACTOR:
            raise ValueError(
                f"A factor of {used.min():g} cannot be undone: it leaves nothing of the feature. "
                "Use another random_state or positive_factors=True."
            )
        values = np.array(data)
        positions = self.affected_features_
        values[:, positions] = self._effects.undo(data[:, positions], codes)
        return values

    def _fit(self, rows: SampleRows, y: Any) -> None:
        n_samples, n_features = rows.X.shape
        self._seed = _seed_of(self.random_state)
        rng = np.random.default_rng(self._seed)
        if rows.batch is None:
            self.batches_ = np.arange(self.n_batches)
            codes = self._draw_labels(n_samples, rng, y, float(self.confounding_with_class))
        else:
            self.batches_, codes = self._read_levels(rows.batch)
        self.labels_ = self.batches_[codes]
        self._last = _Last(self.labels_)

        self.affected_features_ = affected_positions(
            self.affected_features, n_features, self._names()
        )
        # One batch differs from no other, unless it was named.
        alone = rows.batch is None and self.n_batches == 1
        with np.errstate(over="ignore"):
            self._effects = draw_effects(
                len(self.batches_),
                len(self.affected_features_),
                rng,
                effect_type=self.effect_type,
                effect_strength=0.0 if alone else float(self.effect_strength),
                effect_granularity=self.effect_granularity,
                positive_factors=self.positive_factors,
            )
        shape = len(self.batches_), len(self.affected_features_)
        self.shifts_, self.factors_ = self._effects.full(*shape)
        if not (np.isfinite(self.shifts_).all() and np.isfinite(self.factors_).all()):
            raise ValueError(
                f"effect_strength={self.effect_strength!r} gives effects that are too large for "
                "float64; pass a smaller one."
            )
        self.effects_ = self.factors_ if self.effect_type == "multiplicative" else self.shifts_
        self.batch_effects_ = summarize(self._effects, len(self.batches_))

    def _names(self):
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else pd.Index(np.delete(names, self._label_positions))

    def _draw_labels(self, n_samples, rng, y, confounding):
        return generate_batch_assignments(
            n_samples,
            self.n_batches,
            rng,
            self.proportions,
            y if confounding > 0 else None,
            confounding,
            method=self.assignment,
        )

    def _read_levels(self, labels):
        whole = labels.dtype.kind in "iuf" and bool((labels % 1 == 0).all())
        if whole and labels.min() >= 0 and labels.max() < self.n_batches:
            return np.arange(self.n_batches), labels.astype(np.intp)
        read = BatchLevels.from_labels(labels)
        return read.levels, read.codes

    def _transform(self, rows: SampleRows) -> np.ndarray:
        batch = rows.batch
        codes = self._new_codes(len(rows.X)) if batch is None else self._codes_of(batch)
        self._last.labels = self.batches_[codes]
        return self._affected(rows.X, codes)

    def _affected(self, X, codes):
        return add_effects(X, self.affected_features_, self._effects, codes)

    def _new_codes(self, n_samples):
        if not np.array_equal(self.batches_, np.arange(self.n_batches)):
            raise ValueError(
                f"BatchEffectSimulator was fitted with labels of its own ({len(self.batches_)} "
                "batches), so it needs them here too; pass batch= with one label a row."
            )
        if self.confounding_with_class > 0 and self.n_batches > 1:
            warnings.warn(
                "transform does not know the classes of its rows: it draws batches that do not "
                f"depend on them, although confounding_with_class={self.confounding_with_class}. "
                "Pass batch= to choose the batches.",
                UserWarning,
                stacklevel=5,
            )
        return self._draw_labels(n_samples, np.random.default_rng(self._seed), None, 0.0)

    def _codes_of(self, labels):
        return match_batches(labels, self.batches_, unseen="error", owner=type(self).__name__)

    def _read_affected(self, X, batch):
        """Features and labels (or None) of rows that may lack the column of labels."""
        names = getattr(X, "columns", None)
        whole = not self._label_positions or np.shape(X)[1:] == (self.n_features_in_,)
        if whole:
            rows, _ = self._read(X, {"batch": batch}, reset=False)
            return rows.X, rows.batch
        expected = self._names()
        if names is not None and expected is not None and list(names) != list(expected):
            raise ValueError(
                "The columns of X are not those that transform returns; pass its result, in the "
                "same order."
            )
        data = check_array(
            X,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            estimator=self,
            input_name="X",
        )
        n_features = self.n_features_in_ - len(self._label_positions)
        if data.shape[1] != n_features:
            raise ValueError(
                f"X has {data.shape[1]} columns, but BatchEffectSimulator returns {n_features}; "
                "pass the columns that transform returns."
            )
        labels = None if batch is None else as_labels(batch, n_samples=len(data), name="batch")
        return data, labels

    @property
    def last_labels_(self) -> np.ndarray:
        """Batch of every row of the last call of ``transform`` or ``fit_transform``."""
        check_is_fitted(self)
        return self._last.labels

    def _last_labels_for(self, n_samples):
        if len(self.last_labels_) != n_samples:
            raise ValueError(
                f"X has {n_samples} rows, but the last call of transform had "
                f"{len(self.last_labels_)}; pass batch= with one label a row."
            )
        return self.last_labels_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Drawn labels belong to the position of a row, as the draws of DummyClassifier do.
        tags.non_deterministic = True
        return tags


def _seed_of(random_state):
    return int(random_state) if isinstance(random_state, Integral) else draw_seed(random_state)
