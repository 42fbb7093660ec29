"""One clone of a generator for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import (
    HasMethods,
    InvalidParameterError,
    fit_context,
    routing_enabled,
)
from synth_estimators._random import spawn_seeds
from synth_estimators._validation import check_n_samples, check_rows, check_table, encode_labels
from synth_estimators.base import BaseGenerator, ClassConditionalMixin
from synth_estimators.compose._parts import (
    check_keywords,
    inner_score_kind,
    input_tags,
    negative_energy,
)
from synth_estimators.preprocessing._mixed_space import MixedSpace
from synth_estimators.preprocessing._ordinal_codes import needs_codes

__all__ = ["ClassConditionalGenerator"]


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
        return inner_score_kind(generator) or "neg_energy"

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> ClassConditionalGenerator:
        """Fit one clone of the generator on the rows of each class.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Table of the column types that the generator takes.

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
        self._frame_rows = self._mixed and needs_codes(check_table(self, X, reset=True))
        if self._frame_rows:
            data, fit_seed = self._start_fit_table(X)
        else:
            data, fit_seed = self._start_fit(X, allow_nan=input_tags(self).allow_nan)
        label_idx = self._fit_labels(y, len(data))
        self._refuse_small_classes(np.bincount(label_idx, minlength=len(self.classes_)))
        check_keywords(self.generator, "fit", fit_params)

        table = X if hasattr(X, "columns") and not self._frame_rows else data
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
        if self._frame_rows:
            generator.set_output(transform="default")  # frames, whatever is set outside
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
        check_keywords(self.generators_[0], "sample", request)
        if y is None:
            stratified = bool(request.get("stratified", False))
            label_idx = self._draw_labels(n_samples, rng, stratified=stratified)
        else:
            label_idx = encode_labels(y, self.classes_, n_samples=n_samples)
        seeds = rng.integers(2**31 - 1, size=len(self.classes_))
        X_gen = np.empty((0 if self._frame_rows else n_samples, self.n_features_in_))
        parts = []
        for index, generator in enumerate(self.generators_):
            rows = np.flatnonzero(label_idx == index)
            if rows.size or (self._frame_rows and not parts):
                part = generator.sample(len(rows), random_state=int(seeds[index]), **request)
                if self._frame_rows:
                    parts.append(part.set_index(rows))
                else:
                    X_gen[rows] = part
        if not self._frame_rows:
            return X_gen
        filled = [part for part in parts if len(part)] or parts[:1]
        return pd.concat(filled).sort_index().reset_index(drop=True)

    @property
    def _mixed(self):
        return getattr(self.generator, "_mixed", False)

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
        if self._frame_rows:
            frame = check_table(self, X, reset=False)
            return frame, frame
        data = check_rows(self, X, reset=False, allow_nan=input_tags(self).allow_nan)
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
            rows = self._sample(len(data), rng, y=wanted)
            if self._frame_rows:
                space = MixedSpace().fit(data)
                data, rows = space.transform(data), space.transform(rows)
            return negative_energy(data, rows, sample_weight)
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
        inner = input_tags(self.generator)
        if inner is not None:
            tags.input_tags.allow_nan = inner.allow_nan
            tags.input_tags.positive_only = inner.positive_only
            tags.input_tags.string = inner.string
            # Checks for categorical tables round X, which leaves classes of one row.
            tags.input_tags.categorical = False
        return tags
