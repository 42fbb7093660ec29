"""A generator behind an invertible transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import HasMethods, fit_context, routing_enabled
from synth_estimators._validation import (
    TableSchema,
    check_n_samples,
    check_rows,
    check_table,
    from_polars,
    is_polars,
)
from synth_estimators.base import BaseGenerator
from synth_estimators.compose._parts import (
    check_keywords,
    generator_has,
    has_jacobian,
    inner_score_kind,
    input_tags,
    log_abs_det_jacobian,
    negative_energy,
    negative_mixed_energy,
    takes,
    takes_mixed,
)

__all__ = ["TransformedGenerator"]


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
        as they are. With one that takes text and categories, such as
        :class:`~synth_estimators.preprocessing.TabularEncoder`, the table may be mixed.

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
    many sampled rows (drawn with one fixed seed), and ``score_samples`` is not available; rows of
    a mixed table are compared in the standard space of
    :class:`~synth_estimators.preprocessing.MixedSpace`. The attribute ``score_kind`` tells which
    one applies.

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
        kind = inner_score_kind(generator)
        return kind if kind is not None and has_jacobian(transformer) else "neg_energy"

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
            Numeric table; a mixed one if the transformer takes it.

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
        data = self._validated(X, reset=True)
        self._schema = TableSchema.from_data(X, mixed=self._mixed)

        if self.transformer is None:
            self.transformer_ = FunctionTransformer()
        else:
            self.transformer_ = clone(self.transformer)
        Xt = self._named(X, data)
        self.transformer_.fit(Xt, y, **routed["transformer"]["fit"])
        Xt = self.transformer_.transform(Xt, **routed["transformer"]["transform"])

        self.generator_ = clone(self.generator)
        self._configure_output()
        check_keywords(self.generator_, "fit", routed["generator"]["fit"])
        self.generator_.fit(Xt, y, **routed["generator"]["fit"])
        return self

    @property
    def _mixed(self):
        """Whether the transformer brings mixed tables to numbers."""
        return takes_mixed(getattr(self, "transformer_", self.transformer))

    def _validated(self, X, *, reset):
        if self._mixed:
            return check_table(self, X, reset=reset)
        return check_rows(self, X, reset=reset, allow_nan=input_tags(self).allow_nan)

    def _named(self, X, data):
        """Return the table for the transformer: the user's frame, or the validated array."""
        if self._mixed and isinstance(X, np.ndarray):
            return X
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
        data = self._validated(X, reset=False)
        return self.transformer_.transform(self._named(X, data), **params), data

    def _to_data_space(self, Xt):
        rows = self.transformer_.inverse_transform(Xt)
        if self._mixed:
            rows = from_polars(rows) if is_polars(rows) else rows
            return rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
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
        check_keywords(self.generator_, "sample", request)
        Xt = self.generator_.sample(n_samples, random_state=random_state, **request)
        return self._to_data_space(Xt) if n_samples else self._no_rows(Xt)

    def _no_rows(self, Xt):
        # The transformers of scikit-learn refuse empty tables.
        return self._to_data_space(Xt) if self._mixed else np.empty((0, self.n_features_in_))

    @available_if(generator_has("sample_labeled"))
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
            return self._wrap(self._no_rows(Xt)), y_gen
        return self._wrap(self._to_data_space(Xt)), y_gen

    @available_if(generator_has("sample_iter"))
    def sample_iter(
        self,
        n_samples: int,
        *,
        chunk_size: int | None = None,
        random_state: Any = None,
        **request: Any,
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

        **request : dict
            Further keywords of ``sample_iter`` of the generator, for example ``y``.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Rows in the container ``sample`` would return.
        """
        check_is_fitted(self)
        chunks = self.generator_.sample_iter(
            n_samples, chunk_size=chunk_size, random_state=random_state, **request
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
        jacobian = log_abs_det_jacobian(self.transformer_, self._named(X, data))
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
            check_keywords(self.generator_, "score", keywords)
            jacobian = log_abs_det_jacobian(self.transformer_, self._named(X, data))
            inner = self.generator_.score(Xt, y, **keywords)
            return float(inner + np.average(jacobian, weights=sample_weight))
        request = {name: value for name, value in keywords.items() if name != "sample_weight"}
        if y is not None and hasattr(self, "classes_") and takes(self.generator_, "sample", "y"):
            request["y"] = y
        rows = self._sample_values(len(data), 0, request)
        energy = negative_mixed_energy if self._mixed else negative_energy
        return energy(data, rows, sample_weight)

    @available_if(generator_has("transform"))
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

    @available_if(generator_has("transform"))
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

    @available_if(generator_has("inverse_transform"))
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

    @available_if(generator_has("reconstruct"))
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

    @available_if(generator_has("get_feature_names_out"))
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
        inner = input_tags(self.generator)
        outer = inner if self.transformer is None else input_tags(self.transformer)
        if inner is not None and outer is not None:
            tags.input_tags.allow_nan = inner.allow_nan and outer.allow_nan
            tags.input_tags.positive_only = outer.positive_only
        if outer is not None and self._mixed:
            tags.input_tags.allow_nan = outer.allow_nan
            tags.input_tags.string = tags.input_tags.categorical = True
        if inner is not None:
            generator_tags = get_tags(self.generator)
            tags.target_tags.required = generator_tags.target_tags.required
            tags.transformer_tags = generator_tags.transformer_tags
            tags.non_deterministic = generator_tags.non_deterministic
        return tags
