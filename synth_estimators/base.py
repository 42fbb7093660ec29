"""The contract that every generator keeps.

A generator is a scikit-learn estimator with ``fit`` and ``sample``. This module holds what all of
them share; ``NeuralGenerator`` adds what the ones trained by gradient steps share.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import dense_output
from synth_estimators._distances import energy_distance
from synth_estimators._random import draw_seed, local_rng
from synth_estimators._validation import (
    TableSchema,
    check_class_counts,
    check_labels,
    check_n_samples,
    check_request_length,
    check_rows,
    check_table,
    encode_labels,
    slice_request,
)
from synth_estimators.preprocessing._mixed_space import MixedSpace

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from synth_estimators._neural import NeuralGenerator

__all__ = ["BaseGenerator", "ClassConditionalMixin", "LatentMixin", "NeuralGenerator"]


def __getattr__(name: str) -> Any:
    if name == "NeuralGenerator":
        from synth_estimators._neural import NeuralGenerator

        return NeuralGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BaseGenerator(BaseEstimator):
    """Base class of all generators.

    A subclass implements ``fit`` and ``_sample``. In ``fit`` it calls ``_start_fit``, which
    validates the table, remembers its container and derives the seeds. ``_sample`` returns plain
    arrays; validation, chunks and containers are handled here.

    See Also
    --------
    synth_estimators.utils.estimator_checks.check_generator : Tests the contract of a generator.
    """

    #: What ``score`` measures: ``"loglik"``, ``"elbo"`` or ``"neg_energy"``; higher is better.
    score_kind: ClassVar[str] = "neg_energy"

    #: Whether ``fit`` takes text, categories, booleans, dates and missing cells.
    _mixed: ClassVar[bool] = False

    #: Smallest number of rows that ``fit`` accepts.
    _min_samples: ClassVar[int] = 2

    #: Most numbers one chunk of sampled rows may hold.
    _chunk_elements: ClassVar[int] = 2_000_000

    def _start_fit(self, X: Any, *, reset: bool = True, **checks: Any) -> tuple[np.ndarray, int]:
        """Validate ``X``, store its schema and return the rows and a seed for training.

        With ``reset=False`` the columns must be those of the previous fit.
        """
        data = check_rows(self, X, reset=reset, min_samples=self._min_samples, **checks)
        self._schema = TableSchema.from_data(X)
        return data, self._start_seeds()

    def _start_fit_table(self, X: Any, *, reset: bool = True) -> tuple[pd.DataFrame, int]:
        """Validate a table of any column types, as ``_start_fit`` does for numbers."""
        frame = check_table(self, X, reset=reset, min_samples=self._min_samples)
        self._schema = TableSchema.from_data(X, mixed=True)
        return frame, self._start_seeds()

    def _start_seeds(self) -> int:
        fit_seed = draw_seed(getattr(self, "random_state", None))
        self._sample_seed = int(np.random.SeedSequence(fit_seed).generate_state(2)[1] >> 1)
        return fit_seed

    def _sample(self, n_samples: int, rng: np.random.Generator, **request: Any) -> Any:
        """Return rows in data units as an array of shape (n_samples, n_features).

        Generators of mixed tables return a data frame.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement _sample.")

    def _sample_rows(self, n_samples: Any, random_state: Any, **request: Any) -> Any:
        """Draw rows and return them in the container given to ``fit``."""
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        return self._wrap(self._sample(n_samples, rng, **request))

    def _wrap(self, rows: Any) -> Any:
        where = {
            "output": dense_output(self),
            "names": getattr(self, "feature_names_in_", None),
        }
        if isinstance(rows, pd.DataFrame):
            return self._schema.restore_frame(rows, **where)
        return self._schema.restore(rows, **where)

    def sample(self, n_samples: int = 1, *, random_state: Any = None) -> Any:
        """Draw new rows from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container, column order and dtypes of the table given to ``fit``;
            ``set_output`` overrides the container.
        """
        return self._sample_rows(n_samples, random_state)

    def sample_iter(
        self, n_samples: int, *, chunk_size: int | None = None, random_state: Any = None
    ) -> Iterator[Any]:
        """Draw rows in chunks, for results that do not fit in memory.

        Parameters
        ----------
        n_samples : int
            Number of rows in total.

        chunk_size : int or None, default=None
            Rows a chunk; None keeps a chunk near two million numbers.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. One stream runs through all chunks.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Independent rows, in the container ``sample`` would return.
        """
        return self._sample_chunks(n_samples, chunk_size, random_state)

    def _sample_chunks(
        self, n_samples: Any, chunk_size: Any, random_state: Any, **request: Any
    ) -> Iterator[Any]:
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        if chunk_size is None:
            chunk_size = max(1, self._chunk_elements // max(1, self.n_features_in_))
        chunk_size = check_n_samples(chunk_size, name="chunk_size")
        if chunk_size == 0:
            raise ValueError("chunk_size must be at least 1, got 0.")
        request = {name: value for name, value in request.items() if value is not None}
        for value in request.values():
            check_request_length(value, n_samples)
        return self._iterate(n_samples, chunk_size, random_state, request)

    def _iterate(
        self, n_samples: int, chunk_size: int, random_state: Any, request: dict[str, Any]
    ) -> Iterator[Any]:
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        for start in range(0, n_samples, chunk_size):
            part = slice(start, min(start + chunk_size, n_samples))
            wanted = {name: slice_request(value, part) for name, value in request.items()}
            yield self._wrap(self._sample(part.stop - part.start, rng, **wanted))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Judge how well the model describes fresh rows; higher is better.

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
            For ``score_kind`` "loglik" and "elbo" the mean log-likelihood of a row, or a lower
            bound of it, in nats; for "neg_energy" minus the energy distance between ``X`` and as
            many sampled rows, columns divided by the standard deviations of ``X``.
        """
        check_is_fitted(self)
        if self.score_kind != "neg_energy":
            return float(np.average(self.score_samples(X), weights=sample_weight))
        if self._mixed:
            return self._mixed_score(X, sample_weight)
        data = check_rows(self, X, reset=False)
        rows = self._sample(len(data), np.random.default_rng(self._sample_seed))
        scale = data.std(axis=0, dtype=np.float64)
        scale[scale == 0] = 1.0
        return -energy_distance(data / scale, rows / scale, weight_x=sample_weight)

    def _mixed_score(self, X: Any, sample_weight: Any) -> float:
        frame = check_table(self, X, reset=False)
        rows = self._sample(len(frame), np.random.default_rng(self._sample_seed))
        if not isinstance(rows, pd.DataFrame):
            rows = pd.DataFrame(rows, columns=frame.columns)
        space = MixedSpace().fit(frame)
        return -energy_distance(
            space.transform(frame), space.transform(rows), weight_x=sample_weight
        )

    def set_output(self, *, transform: str | None = None) -> BaseGenerator:
        """Choose the container that ``sample`` (and ``transform``, if any) returns.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            "default" is the container given to ``fit``; None leaves the configuration unchanged.

        Returns
        -------
        self : estimator instance
        """
        if transform is not None:
            config = getattr(self, "_sklearn_output_config", {})
            self._sklearn_output_config = {**config, "transform": transform}
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.non_deterministic = False
        if self._mixed:
            tags.input_tags.allow_nan = True
            tags.input_tags.string = True
            tags.input_tags.categorical = True
        return tags


def largest_remainder(shares: np.ndarray, n_samples: int) -> np.ndarray:
    """Counts that add up to ``n_samples``, as near to ``shares`` as whole numbers allow."""
    exact = np.asarray(shares) * n_samples
    counts = np.floor(exact).astype(np.intp)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: n_samples - counts.sum()]] += 1
    return counts


class ClassConditionalMixin:
    """Labels for generators that are fitted with ``y``.

    The estimator has ``classes_`` (sorted) and ``class_prior_`` (training shares) and its
    ``_sample`` takes ``y``.
    """

    if TYPE_CHECKING:
        _sample_seed: int
        _sample: Any
        _sample_rows: Any
        _sample_chunks: Any
        _wrap: Any

    def _fit_labels(self, y: Any, n_samples: int) -> np.ndarray:
        """Store ``classes_`` and ``class_prior_`` and return the class index of each row."""
        labels = check_labels(y, n_samples=n_samples, owner=type(self).__name__)
        self.classes_, label_idx = np.unique(labels, return_inverse=True)
        counts = np.bincount(label_idx, minlength=len(self.classes_))
        self.class_prior_ = counts / counts.sum()
        return label_idx

    def _draw_labels(
        self, n_samples: int, rng: np.random.Generator, *, stratified: bool = False
    ) -> np.ndarray:
        """Class indices in the training proportions: exact when stratified, else independent."""
        if stratified:
            counts = largest_remainder(self.class_prior_, n_samples)
            return rng.permutation(np.repeat(np.arange(len(counts)), counts))
        return rng.choice(len(self.classes_), size=n_samples, p=self.class_prior_)

    def _wanted_labels(
        self, y: Any, n_samples: int, rng: np.random.Generator, *, stratified: bool = False
    ) -> np.ndarray:
        if y is None:
            return self._draw_labels(n_samples, rng, stratified=stratified)
        return encode_labels(y, self.classes_, n_samples=n_samples)

    def sample(self, n_samples: int = 1, *, y: Any = None, random_state: Any = None) -> Any:
        """Draw new rows, of given classes if asked.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        y : label or array-like of shape (n_samples,), default=None
            One label for all rows, or one label a row. None draws labels independently in the
            training proportions.

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Row ``i`` belongs to label ``y[i]``.
        """
        return self._sample_rows(n_samples, random_state, y=y)

    def sample_iter(
        self,
        n_samples: int,
        *,
        y: Any = None,
        chunk_size: int | None = None,
        random_state: Any = None,
    ) -> Iterator[Any]:
        """Draw rows in chunks, for results that do not fit in memory.

        Parameters
        ----------
        n_samples : int
            Number of rows in total.

        y : label or array-like of shape (n_samples,), default=None
            As in ``sample``.

        chunk_size : int or None, default=None
            Rows a chunk; None keeps a chunk near two million numbers.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. One stream runs through all chunks.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Independent rows, in the container ``sample`` would return.
        """
        return self._sample_chunks(n_samples, chunk_size, random_state, y=y)

    def sample_labeled(
        self,
        n_samples: int | None = 1,
        *,
        class_counts: Any = None,
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
            training proportions.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``.

        **request : dict
            Further keywords of ``sample`` (for example ``stratified``).

        Returns
        -------
        X_gen : ndarray or data frame of shape (n_samples, n_features)
            The rows, in random order.

        y_gen : ndarray of shape (n_samples,)
            The label of each row.
        """
        check_is_fitted(self)
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        if n_samples is None and class_counts is None:
            raise ValueError("Pass n_samples, class_counts or both.")
        if n_samples is not None:
            n_samples = check_n_samples(n_samples)
        if class_counts is None and n_samples is not None:
            stratified = bool(request.get("stratified", False))
            label_idx = self._draw_labels(n_samples, rng, stratified=stratified)
        else:
            label_idx = check_class_counts(class_counts, self.classes_, n_samples=n_samples)
            rng.shuffle(label_idx)
        labels = self.classes_[label_idx]
        X_gen = self._wrap(self._sample(len(labels), rng, y=labels, **request))
        return X_gen, labels


class LatentMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Rows to latent codes and back, for generators with an encoder.

    The estimator implements ``_encode`` and ``_decode`` on arrays and sets ``_n_features_out``.
    """

    def transform(self, X: Any) -> Any:
        """Map rows to latent codes (posterior means).

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, latent_dim)
            Codes; deterministic and row by row. ``float32`` input gives ``float32`` codes.
        """
        check_is_fitted(self)
        return self._encode(check_rows(self, X, reset=False))

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Map latent codes to decoded means in data units.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Decoded rows.
        """
        return self._decode(self._check_codes(Z))

    def _check_codes(self, Z: Any) -> np.ndarray:
        check_is_fitted(self)
        codes = np.asarray(Z)
        if codes.dtype not in (np.float32, np.float64):
            codes = codes.astype(np.float64)
        if codes.ndim != 2 or codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has shape {codes.shape}, but {type(self).__name__} expects "
                f"(n_samples, {self._n_features_out})."
            )
        return codes

    def reconstruct(self, X: Any) -> Any:
        """Encode and decode rows; row ``i`` of the result belongs to row ``i`` of ``X``.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows in data units.

        Returns
        -------
        X_rec : ndarray or data frame of shape (n_samples, n_features)
            Decoded means, in the container given to ``fit``.
        """
        check_is_fitted(self)
        return self._wrap(self._decode(self._encode(check_rows(self, X, reset=False))))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
