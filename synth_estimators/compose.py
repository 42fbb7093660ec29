"""Generators built around other generators."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import (
    HasMethods,
    InvalidParameterError,
    fit_context,
    routing_enabled,
)
from synth_estimators._distances import energy_distance
from synth_estimators._random import spawn_seeds
from synth_estimators._validation import (
    TableSchema,
    check_n_samples,
    check_rows,
    encode_labels,
)
from synth_estimators.base import BaseGenerator, ClassConditionalMixin

__all__ = ["ClassConditionalGenerator", "TransformedGenerator"]


def _generator_has(name):
    """Return a check for ``available_if``: the fitted generator, or else the given one, has it."""

    def check(self):
        generator = getattr(self, "generator_", None)
        if generator is None:
            generator = next(iter(getattr(self, "generators_", ())), self.generator)
        return hasattr(generator, name)

    return check


def _check_keywords(estimator, method, request):
    """Refuse keywords that ``estimator.method`` does not take, naming those it takes."""
    if not request:
        return
    parameters = inspect.signature(getattr(estimator, method)).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    unknown = sorted(set(request) - set(parameters))
    if unknown:
        raise TypeError(
            f"{type(estimator).__name__}.{method} takes no keyword {unknown[0]!r}; "
            f"it takes {list(parameters)}."
        )


def _takes(estimator, method, keyword):
    parameters = inspect.signature(getattr(estimator, method)).parameters
    return keyword in parameters


def _input_tags(estimator):
    """Input tags of a part, or None while a parameter holds something else than an estimator."""
    return get_tags(estimator).input_tags if hasattr(estimator, "__sklearn_tags__") else None


def _log_abs_det_jacobian(transformer, X):
    """Log absolute Jacobian determinant of ``transformer.transform`` at each row, or None.

    A transformer can offer ``log_abs_det_jacobian(X)``; the column-wise scalers of scikit-learn
    and pipelines of such steps are known here.
    """
    n_rows = len(X)
    if transformer is None or transformer == "passthrough":
        return np.zeros(n_rows)
    if hasattr(transformer, "log_abs_det_jacobian"):
        return np.asarray(transformer.log_abs_det_jacobian(X), dtype=np.float64)
    if isinstance(transformer, Pipeline):
        total = np.zeros(n_rows)
        for _, step in transformer.steps:
            part = _log_abs_det_jacobian(step, X)
            if part is None:
                return None
            total += part
            if step is not None and step != "passthrough":
                X = step.transform(X)
        return total
    if isinstance(transformer, StandardScaler | RobustScaler | MaxAbsScaler):
        scale = transformer.scale_
        return np.full(n_rows, 0.0 if scale is None else -np.log(np.abs(scale)).sum())
    if isinstance(transformer, MinMaxScaler):
        return np.full(n_rows, np.log(np.abs(transformer.scale_)).sum())
    if isinstance(transformer, FunctionTransformer) and transformer.func is None:
        return np.zeros(n_rows)
    return None


def _has_jacobian(transformer):
    if transformer is None or transformer == "passthrough":
        return True
    if isinstance(transformer, Pipeline):
        return all(_has_jacobian(step) for _, step in transformer.steps)
    if isinstance(transformer, FunctionTransformer):
        return transformer.func is None
    if isinstance(transformer, MinMaxScaler):
        return not transformer.clip
    return hasattr(transformer, "log_abs_det_jacobian") or isinstance(
        transformer, StandardScaler | RobustScaler | MaxAbsScaler
    )


def _inner_score_kind(generator):
    kind = getattr(generator, "score_kind", None)
    return kind if kind in ("loglik", "elbo") and hasattr(generator, "score_samples") else None


def _negative_energy(X, X_gen, sample_weight):
    """Minus the energy distance, columns divided by the standard deviations of ``X``."""
    scale = X.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    return -energy_distance(X / scale, X_gen / scale, weight_x=sample_weight)


class TransformedGenerator(MetaEstimatorMixin, BaseGenerator):
    r"""Generator that works on transformed columns and samples in data units.

    The transformer is fitted on ``X``, the generator on the transformed rows; sampled rows return
    through ``inverse_transform`` into the container and dtypes of ``X``. Both parts are cloned,
    so the given ones stay unfitted. It is the counterpart of
    :class:`~sklearn.compose.TransformedTargetRegressor` for generators.

    Read more in the :ref:`User Guide <compose>`.

    Parameters
    ----------
    generator : estimator
        Generator with ``fit`` and ``sample``.

    transformer : estimator, default=None
        Transformer with ``fit``, ``transform`` and ``inverse_transform``. None leaves the columns
        as they are.

    Attributes
    ----------
    transformer_ : estimator
        Fitted clone of ``transformer``; the identity when that is None.

    generator_ : estimator
        Fitted clone of ``generator``.

    n_features_in_ : int
        Number of columns of the table given to ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when all of them are strings.

    classes_ : ndarray of shape (n_classes,)
        Labels seen by ``generator_``; only if that one has them.

    See Also
    --------
    synth_estimators.pipeline.SynthesisPipeline : The same for people who think in pipelines.
    ClassConditionalGenerator : One clone of a generator for each class.

    Notes
    -----
    ``score`` judges in data units, so generators behind different transformers compare. When the
    generator has a density (``score_kind`` "loglik" or "elbo") and the transformer a known
    Jacobian, it is

    .. math:: \log p(x) = \log p_g(t(x)) + \log |\det \partial t / \partial x|.

    Known are transformers with a method ``log_abs_det_jacobian(X)`` (one value a row),
    ``StandardScaler``, ``RobustScaler``, ``MaxAbsScaler``, ``MinMaxScaler`` and pipelines of
    these. With any other transformer ``score`` is minus the energy distance between ``X`` and as
    many sampled rows (drawn with one fixed seed), and ``score_samples`` is not available. The
    attribute ``score_kind`` tells which one applies.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> from synth_estimators import IndependentColumns, TransformedGenerator
    >>> X = load_iris(as_frame=True).data
    >>> model = TransformedGenerator(
    ...     IndependentColumns(random_state=0), transformer=StandardScaler()
    ... ).fit(X)
    >>> model.sample(2).shape
    (2, 4)
    """

    _parameter_constraints: dict = {
        "generator": [HasMethods(["fit", "sample"])],
        "transformer": [HasMethods(["fit", "transform", "inverse_transform"]), None],
    }

    def __init__(self, generator, *, transformer=None):
        self.generator = generator
        self.transformer = transformer

    @property
    def score_kind(self) -> str:
        """What ``score`` measures: "loglik", "elbo" or "neg_energy"."""
        generator = getattr(self, "generator_", self.generator)
        transformer = getattr(self, "transformer_", self.transformer)
        kind = _inner_score_kind(generator)
        return kind if kind is not None and _has_jacobian(transformer) else "neg_energy"

    @property
    def classes_(self) -> np.ndarray:
        """Labels seen during fit; only with a generator that has them."""
        return self._fitted_part("classes_")

    @property
    def class_prior_(self) -> np.ndarray:
        """Training share of each class; only with a generator that has it."""
        return self._fitted_part("class_prior_")

    def _fitted_part(self, name):
        generator = self.__dict__.get("generator_")
        if generator is None or not hasattr(generator, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(generator, name)

    @property
    def _n_features_out(self):
        return self._fitted_part("_n_features_out")

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> TransformedGenerator:
        """Fit the transformer on ``X`` and the generator on the transformed rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Numeric table.

        y : array-like of shape (n_samples,), default=None
            Labels for a conditional generator; passed on to both parts.

        **fit_params : dict
            Further keywords of ``generator.fit``, for example ``conditions``. With metadata
            routing they are routed to the part that requested them.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        routed = self._routed("fit", fit_params)
        allow_nan = _input_tags(self).allow_nan
        data = check_rows(self, X, reset=True, allow_nan=allow_nan)
        self._schema = TableSchema.from_data(X)

        if self.transformer is None:
            self.transformer_ = FunctionTransformer()
        else:
            self.transformer_ = clone(self.transformer)
        Xt = self._named(X, data)
        self.transformer_.fit(Xt, y, **routed["transformer"]["fit"])
        Xt = self.transformer_.transform(Xt, **routed["transformer"]["transform"])

        self.generator_ = clone(self.generator)
        self._configure_output()
        _check_keywords(self.generator_, "fit", routed["generator"]["fit"])
        self.generator_.fit(Xt, y, **routed["generator"]["fit"])
        return self

    def _named(self, X, data):
        """Return the table for the transformer: the user's frame, or the validated array."""
        return X if hasattr(X, "columns") else data

    def _routed(self, method, params):
        """Return the keywords of both parts, from routing or all of them for the generator."""
        empty = {"fit": {}, "transform": {}, "score": {}}
        if routing_enabled():
            routed = process_routing(self, method, **params)
            return {
                part: {**empty, **routed.get(part, {})} for part in ("generator", "transformer")
            }
        return {"generator": {**empty, method: params}, "transformer": empty}

    def _transformed(self, X, **params):
        data = check_rows(self, X, reset=False, allow_nan=_input_tags(self).allow_nan)
        return self.transformer_.transform(self._named(X, data), **params), data

    def _to_data_space(self, Xt):
        rows = self.transformer_.inverse_transform(Xt)
        rows = rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows)
        return rows if rows.dtype.kind == "f" else rows.astype(np.float64)

    def sample(self, n_samples: int = 1, *, random_state: Any = None, **request: Any) -> Any:
        """Draw rows from the generator and bring them back to data units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        random_state : int, RandomState instance or None, default=None
            As in ``sample`` of the generator.

        **request : dict
            Further keywords of ``generator.sample``, for example ``y``, ``conditions`` or
            ``stratified``.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container, column order and dtypes of the table given to ``fit``;
            ``set_output`` overrides the container.
        """
        check_is_fitted(self)
        return self._wrap(self._sample_values(n_samples, random_state, request))

    def _sample_values(self, n_samples, random_state, request):
        n_samples = check_n_samples(n_samples)
        _check_keywords(self.generator_, "sample", request)
        if n_samples == 0:
            self.generator_.sample(0, random_state=random_state, **request)
            return np.empty((0, self.n_features_in_))
        return self._to_data_space(
            self.generator_.sample(n_samples, random_state=random_state, **request)
        )

    @available_if(_generator_has("sample_labeled"))
    def sample_labeled(
        self,
        n_samples: int | None = 1,
        *,
        class_counts: Mapping | None = None,
        random_state: Any = None,
        **request: Any,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows together with their labels.

        Parameters
        ----------
        n_samples : int or None, default=1
            Number of rows; may be None when ``class_counts`` is given.

        class_counts : dict, default=None
            Exact number of rows of each class, ``{label: count}``.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``.

        **request : dict
            Further keywords of ``generator.sample_labeled``.

        Returns
        -------
        X_gen : ndarray or data frame of shape (n_samples, n_features)
            The rows.

        y_gen : ndarray of shape (n_samples,)
            The label of each row.
        """
        check_is_fitted(self)
        Xt, y_gen = self.generator_.sample_labeled(
            n_samples, class_counts=class_counts, random_state=random_state, **request
        )
        if len(y_gen) == 0:
            return self._wrap(np.empty((0, self.n_features_in_))), y_gen
        return self._wrap(self._to_data_space(Xt)), y_gen

    @available_if(_generator_has("sample_iter"))
    def sample_iter(
        self, n_samples: int, *, chunk_size: int | None = None, random_state: Any = None
    ) -> Iterator[Any]:
        """Draw rows in chunks, for results that do not fit in memory.

        Parameters
        ----------
        n_samples : int
            Number of rows in total.

        chunk_size : int or None, default=None
            Rows a chunk; None lets the generator choose.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. One stream runs through all chunks.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Rows in the container ``sample`` would return.
        """
        check_is_fitted(self)
        chunks = self.generator_.sample_iter(
            n_samples, chunk_size=chunk_size, random_state=random_state
        )
        return (self._wrap(self._to_data_space(chunk)) for chunk in chunks)

    def _has_density(self):
        return self.score_kind != "neg_energy"

    @available_if(_has_density)
    def score_samples(self, X: Any) -> np.ndarray:
        """Return the log-likelihood of each row in data units, or the bound the generator gives.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Log-density, with the Jacobian of the transformer.
        """
        check_is_fitted(self)
        Xt, data = self._transformed(X)
        jacobian = _log_abs_det_jacobian(self.transformer_, self._named(X, data))
        return np.asarray(self.generator_.score_samples(Xt)) + jacobian

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, **score_params: Any) -> float:
        """Judge how well the model describes fresh rows, in data units; higher is better.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows that were not used in ``fit``.

        y : array-like of shape (n_samples,), default=None
            Labels of the rows, for conditional generators.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row of ``X``.

        **score_params : dict
            Further keywords of ``generator.score``, for example ``conditions``. With metadata
            routing they are routed to the part that requested them.

        Returns
        -------
        score : float
            Mean log-likelihood (or bound) when ``score_kind`` is "loglik" or "elbo", else minus
            the energy distance to as many sampled rows.
        """
        check_is_fitted(self)
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        routed = self._routed("score", {**score_params, **weight})
        keywords = routed["generator"]["score"]
        Xt, data = self._transformed(X, **routed["transformer"]["transform"])
        if self._has_density():
            _check_keywords(self.generator_, "score", keywords)
            jacobian = _log_abs_det_jacobian(self.transformer_, self._named(X, data))
            inner = self.generator_.score(Xt, y, **keywords)
            return float(inner + np.average(jacobian, weights=sample_weight))
        request = {name: value for name, value in keywords.items() if name != "sample_weight"}
        if y is not None and hasattr(self, "classes_") and _takes(self.generator_, "sample", "y"):
            request["y"] = y
        rows = self._sample_values(len(data), 0, request)
        return _negative_energy(data, rows, sample_weight)

    @available_if(_generator_has("transform"))
    def transform(self, X: Any) -> Any:
        """Map rows in data units to the latent codes of the generator.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, latent_dim)
            Latent codes.
        """
        check_is_fitted(self)
        codes = self.generator_.transform(self._transformed(X)[0])
        # The transformer may have lost the index on the way.
        if isinstance(codes, pd.DataFrame) and isinstance(X, pd.DataFrame):
            codes.index = X.index
        return codes

    @available_if(_generator_has("transform"))
    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit on ``X`` and return its latent codes.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Numeric table.

        y : array-like of shape (n_samples,), default=None
            Labels for a conditional generator.

        **fit_params : dict
            As in ``fit``.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, latent_dim)
            Latent codes.
        """
        return self.fit(X, y, **fit_params).transform(X)

    @available_if(_generator_has("inverse_transform"))
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Map latent codes to decoded rows in data units.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
            Latent codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Decoded rows.
        """
        check_is_fitted(self)
        return self._to_data_space(self.generator_.inverse_transform(Z))

    @available_if(_generator_has("reconstruct"))
    def reconstruct(self, X: Any) -> Any:
        """Encode and decode rows; row ``i`` of the result belongs to row ``i`` of ``X``.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        X_rec : ndarray or data frame of shape (n_samples, n_features)
            Decoded rows, in the container given to ``fit``.
        """
        check_is_fitted(self)
        return self._wrap(self._to_data_space(self.generator_.reconstruct(self._transformed(X)[0])))

    @available_if(_generator_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the latent codes.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            If given, it has to be the columns of the table given to ``fit``.

        Returns
        -------
        feature_names_out : ndarray of str
            Names of the columns that ``transform`` returns.
        """
        check_is_fitted(self)
        if input_features is not None:
            self._check_input_features(np.asarray(input_features, dtype=object))
        return self.generator_.get_feature_names_out()

    def _check_input_features(self, names):
        known = getattr(self, "feature_names_in_", None)
        if known is not None and not np.array_equal(known, names):
            raise ValueError(f"input_features is not equal to feature_names_in_: {list(known)}.")
        if len(names) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(names)}."
            )

    def set_output(self, *, transform: str | None = None) -> TransformedGenerator:
        """Choose the container that ``sample`` (and ``transform``, if any) returns.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            "default" is the container given to ``fit``; None leaves the configuration unchanged.

        Returns
        -------
        self : estimator instance
        """
        super().set_output(transform=transform)
        self._configure_output()
        return self

    def _configure_output(self):
        """Pass the container asked for on to the generator, whose ``transform`` we return."""
        asked = getattr(self, "_sklearn_output_config", {}).get("transform")
        generator = getattr(self, "generator_", None)
        if asked is not None and hasattr(generator, "set_output"):
            generator.set_output(transform=asked)

    def get_metadata_routing(self) -> MetadataRouter:
        """Tell which part takes which metadata.

        Returns
        -------
        routing : MetadataRouter
            Routing of ``fit`` and ``score`` to the transformer and the generator.
        """
        router = MetadataRouter(owner=self).add(
            generator=self.generator,
            method_mapping=MethodMapping()
            .add(caller="fit", callee="fit")
            .add(caller="score", callee="score"),
        )
        if self.transformer is not None:
            router.add(
                transformer=self.transformer,
                method_mapping=MethodMapping()
                .add(caller="fit", callee="fit")
                .add(caller="fit", callee="transform")
                .add(caller="score", callee="transform"),
            )
        return router

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = _input_tags(self.generator)
        outer = inner if self.transformer is None else _input_tags(self.transformer)
        if inner is not None and outer is not None:
            tags.input_tags.allow_nan = inner.allow_nan and outer.allow_nan
            tags.input_tags.positive_only = outer.positive_only
        if inner is not None:
            generator_tags = get_tags(self.generator)
            tags.target_tags.required = generator_tags.target_tags.required
            tags.transformer_tags = generator_tags.transformer_tags
            tags.non_deterministic = generator_tags.non_deterministic
        return tags


def _set_seeds(estimator, seed):
    """Give every ``random_state`` parameter of an estimator and its parts a seed of its own."""
    names = sorted(
        name
        for name in estimator.get_params(deep=True)
        if name == "random_state" or name.endswith("__random_state")
    )
    seeds = spawn_seeds(seed, len(names))
    return estimator.set_params(**dict(zip(names, seeds, strict=True))) if names else estimator


def _take(values, rows, n_rows):
    """Rows of a table or of metadata; values without one entry a row are left alone."""
    if hasattr(values, "iloc"):
        return values.iloc[rows] if len(values) == n_rows else values
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        return values
    if len(values) != n_rows:
        return values
    return values[rows] if hasattr(values, "__array__") else [values[row] for row in rows]


class ClassConditionalGenerator(ClassConditionalMixin, MetaEstimatorMixin, BaseGenerator):
    r"""One clone of a generator for each class: labels for any generator.

    The model is the mixture

    .. math:: p(x) = \sum_c \pi_c \, p_c(x),

    with the training shares :math:`\pi_c` and one generator :math:`p_c` fitted on the rows of
    each class, so a row always belongs to its label.

    Read more in the :ref:`User Guide <compose>`.

    Parameters
    ----------
    generator : estimator
        Generator with ``fit`` and ``sample``.

    random_state : int, RandomState instance or None, default=None
        Every clone gets seeds of its own, spawned from this one; ``random_state`` of
        ``generator`` itself is not used. Pass an int for reproducible output.
        See :term:`Glossary <random_state>`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.

    class_prior_ : ndarray of shape (n_classes,)
        Share of each class in the training rows.

    generators_ : list of estimators of length n_classes
        Fitted clones, in the order of ``classes_``.

    n_features_in_ : int
        Number of columns of the table given to ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when all of them are strings.

    See Also
    --------
    TransformedGenerator : A generator behind an invertible transformer.

    Notes
    -----
    Cost and memory are those of one generator per class. Classes share nothing, so rare classes
    need enough rows for a generator of their own; models that are conditional themselves (such as
    ``CVAE``) share strength between classes.

    ``score(X, y)`` uses the density of each row's own class, ``score(X)`` the mixture. When the
    generator has no density, it is minus the energy distance between ``X`` and as many sampled
    rows, of the same labels if ``y`` is given.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from synth_estimators import ClassConditionalGenerator, IndependentColumns
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ClassConditionalGenerator(IndependentColumns(), random_state=0).fit(X, y)
    >>> X_gen, y_gen = model.sample_labeled(class_counts={0: 2, 2: 1}, n_samples=None)
    >>> X_gen.shape, sorted(y_gen.tolist())
    ((3, 4), [0, 0, 2])
    """

    _parameter_constraints: dict = {
        "generator": [HasMethods(["fit", "sample"])],
        "random_state": ["random_state"],
    }

    def __init__(self, generator, *, random_state=None):
        self.generator = generator
        self.random_state = random_state

    @property
    def score_kind(self) -> str:
        """What ``score`` measures: "loglik", "elbo" or "neg_energy"."""
        generator = next(iter(getattr(self, "generators_", ())), self.generator)
        return _inner_score_kind(generator) or "neg_energy"

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> ClassConditionalGenerator:
        """Fit one clone of the generator on the rows of each class.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Numeric table.

        y : array-like of shape (n_samples,)
            Class labels; one class is enough.

        **fit_params : dict
            Further keywords of ``generator.fit``; values with one entry a row are split with the
            rows. With metadata routing they are routed to the generator that requested them.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            When labels are missing, or a class has too few rows for the generator.
        """
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None. Pass one class label per row of X, or fit the generator itself if "
                "there are no classes."
            )
        if routing_enabled():
            fit_params = process_routing(self, "fit", **fit_params).generator.fit
        data, fit_seed = self._start_fit(X, allow_nan=_input_tags(self).allow_nan)
        label_idx = self._fit_labels(y, len(data))
        self._refuse_small_classes(np.bincount(label_idx, minlength=len(self.classes_)))
        _check_keywords(self.generator, "fit", fit_params)

        table = X if hasattr(X, "columns") else data
        self.generators_ = []
        for index, seed in enumerate(spawn_seeds(fit_seed, len(self.classes_))):
            rows = np.flatnonzero(label_idx == index)
            params = {name: _take(value, rows, len(data)) for name, value in fit_params.items()}
            self.generators_.append(
                self._fit_class(index, _take(table, rows, len(data)), seed, params)
            )
        return self

    def _refuse_small_classes(self, counts):
        least = getattr(self.generator, "_min_samples", 1)
        for label, count in zip(self.classes_.tolist(), counts, strict=True):
            if count < least:
                sample = "sample" if count == 1 else "samples"
                raise ValueError(
                    f"Class {label!r} has {count} {sample}, but {type(self.generator).__name__} "
                    f"needs at least {least}; merge it with another class or drop it."
                )

    def _fit_class(self, index, rows, seed, params):
        generator = _set_seeds(clone(self.generator), seed)
        try:
            return generator.fit(rows, **params)
        except InvalidParameterError:
            raise
        except ValueError as exc:
            raise ValueError(
                f"{type(generator).__name__} could not be fitted on the {len(rows)} rows of class "
                f"{self.classes_.tolist()[index]!r}: {exc}"
            ) from exc

    def _draw_labels(self, n_samples, rng, *, stratified=False):
        if not stratified:
            return super()._draw_labels(n_samples, rng)
        counts = self._apportion(n_samples)
        return rng.permutation(np.repeat(np.arange(len(counts)), counts))

    def _apportion(self, n_samples):
        """Rows of each class in the training proportions, by largest remainders."""
        wanted = n_samples * self.class_prior_
        counts = np.floor(wanted).astype(np.intp)
        largest = np.argsort(counts - wanted, kind="stable")[: n_samples - counts.sum()]
        counts[largest] += 1
        return counts

    def _sample(self, n_samples, rng, *, y=None, **request):
        _check_keywords(self.generators_[0], "sample", request)
        if y is None:
            stratified = bool(request.get("stratified", False))
            label_idx = self._draw_labels(n_samples, rng, stratified=stratified)
        else:
            label_idx = encode_labels(y, self.classes_, n_samples=n_samples)
        seeds = rng.integers(2**31 - 1, size=len(self.classes_))
        X_gen = np.empty((n_samples, self.n_features_in_))
        for index, generator in enumerate(self.generators_):
            rows = np.flatnonzero(label_idx == index)
            if rows.size:
                X_gen[rows] = generator.sample(len(rows), random_state=int(seeds[index]), **request)
        return X_gen

    def sample(
        self, n_samples: int = 1, *, y: Any = None, random_state: Any = None, **request: Any
    ) -> Any:
        """Draw new rows, of given classes if asked.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        y : label or array-like of shape (n_samples,), default=None
            One label for all rows, or one label a row. None draws labels in the training
            proportions (exactly in these, up to rounding, with ``stratified=True``).

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        **request : dict
            Further keywords of ``generator.sample``, for example ``stratified``.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Row ``i`` belongs to label ``y[i]``.
        """
        return self._sample_rows(n_samples, random_state, y=y, **request)

    def sample_labeled(
        self,
        n_samples: int | None = 1,
        *,
        class_counts: Mapping | None = None,
        random_state: Any = None,
        **request: Any,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows together with their labels.

        Parameters
        ----------
        n_samples : int or None, default=1
            Number of rows; may be None when ``class_counts`` is given.

        class_counts : dict, default=None
            Exact number of rows of each class, ``{label: count}``. None draws labels in the
            training proportions (exactly in these, up to rounding, with ``stratified=True``).

        random_state : int, RandomState instance or None, default=None
            As in ``sample``.

        **request : dict
            Further keywords of ``generator.sample``, for example ``stratified``.

        Returns
        -------
        X_gen : ndarray or data frame of shape (n_samples, n_features)
            The rows, in random order.

        y_gen : ndarray of shape (n_samples,)
            The label of each row.
        """
        check_is_fitted(self)
        if class_counts is None and n_samples is not None and request.get("stratified"):
            counts = self._apportion(check_n_samples(n_samples))
            class_counts = dict(zip(self.classes_.tolist(), counts.tolist(), strict=True))
        return super().sample_labeled(
            n_samples, class_counts=class_counts, random_state=random_state, **request
        )

    def _has_density(self):
        return self.score_kind != "neg_energy"

    def _class_densities(self, X):
        """Log-density of every row under every class, of shape (n_samples, n_classes)."""
        return np.column_stack([generator.score_samples(X) for generator in self.generators_])

    @available_if(_has_density)
    def score_samples(self, X: Any) -> np.ndarray:
        """Return the log-likelihood of each row under the mixture of all classes.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Log-density, or the bound that the generator gives.
        """
        check_is_fitted(self)
        table, _ = self._checked(X)
        return logsumexp(self._class_densities(table) + np.log(self.class_prior_), axis=1)

    def _checked(self, X):
        data = check_rows(self, X, reset=False, allow_nan=_input_tags(self).allow_nan)
        return (X if hasattr(X, "columns") else data), data

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Judge how well the model describes fresh rows; higher is better.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows that were not used in ``fit``.

        y : array-like of shape (n_samples,), default=None
            Labels of the rows; with them each row is judged by its own class, without them by
            the mixture.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row of ``X``.

        Returns
        -------
        score : float
            Mean log-likelihood (or bound) when ``score_kind`` is "loglik" or "elbo", else minus
            the energy distance to as many sampled rows.
        """
        check_is_fitted(self)
        table, data = self._checked(X)
        labels = None if y is None else encode_labels(y, self.classes_, n_samples=len(data))
        if not self._has_density():
            rng = np.random.default_rng(self._sample_seed)
            wanted = None if labels is None else self.classes_[labels]
            return _negative_energy(data, self._sample(len(data), rng, y=wanted), sample_weight)
        if labels is None:
            return float(np.average(self.score_samples(X), weights=sample_weight))
        density = np.empty(len(data))
        for index in np.unique(labels):
            rows = np.flatnonzero(labels == index)
            density[rows] = self.generators_[index].score_samples(_take(table, rows, len(data)))
        return float(np.average(density, weights=sample_weight))

    def get_metadata_routing(self) -> MetadataRouter:
        """Tell which part takes which metadata.

        Returns
        -------
        routing : MetadataRouter
            Routing of ``fit`` to the generator.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                generator=self.generator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        inner = _input_tags(self.generator)
        if inner is not None:
            tags.input_tags.allow_nan = inner.allow_nan
            tags.input_tags.positive_only = inner.positive_only
        return tags
