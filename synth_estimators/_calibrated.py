"""Sampling through the calibrated frame, shared by every generator that returns rows that way."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from synth_estimators.base import ClassConditionalMixin, largest_remainder

__all__ = ["CalibratedSamplingMixin", "OptionalLabelsMixin", "matches_prior", "one_hot"]

_MIN_STRATIFIED = 30


def one_hot(label_idx, n_classes):
    """Indicator matrix of class indices."""
    indicators = np.zeros((len(label_idx), n_classes))
    indicators[np.arange(len(label_idx)), label_idx] = 1.0
    return indicators


def matches_prior(estimator, label_idx):
    """Whether labels have the training proportions, up to one row a class."""
    expected = largest_remainder(estimator.class_prior_, len(label_idx))
    counts = np.bincount(label_idx, minlength=len(expected))
    return bool(np.abs(counts - expected).max(initial=0) <= 1)


class CalibratedSamplingMixin:
    """Draw rows through ``frame_``.

    The estimator implements ``_draw_scores(n_samples, rng, design)``, which returns standard
    scores and what lies beside their directions (None: to be drawn from the frame's covariance).
    """

    def _frame_rows(self, n_samples, rng, design, *, stratified, matches_training=True):
        """Return rows in data units for given design terms."""
        frame = self.frame_
        if stratified and n_samples >= _MIN_STRATIFIED:
            target = None
            if not matches_training:
                wanted = design[rng.integers(len(design), size=max(n_samples, 2_000))]
                target = self._standard_rows(len(wanted), rng, wanted, stratified=False)
            rows = self._standard_rows(n_samples, rng, design, stratified=True)
            return frame.to_data(rows, stratified=True, target=target, clip=self.clip)
        result = np.empty((n_samples, len(frame.constant_)))
        chunk = max(1, self._chunk_elements // max(1, result.shape[1]))
        for start in range(0, n_samples, chunk):
            part = slice(start, min(start + chunk, n_samples))
            terms = None if design is None else design[part]
            rows = self._standard_rows(part.stop - part.start, rng, terms, stratified=False)
            result[part] = frame.to_data(rows, clip=self.clip)
        return result

    def _standard_rows(self, n_samples, rng, design, *, stratified):
        scores, beside = self._draw_scores(n_samples, rng, design)
        return self.frame_.assemble(scores, design, rng, beside=beside, stratified=stratified)


def _fitted_with_labels(estimator):
    return hasattr(estimator, "classes_")


class OptionalLabelsMixin(ClassConditionalMixin):
    """Labels for generators that model classes when ``fit`` is given ``y``."""

    def _label_design(self, y, n_samples, rng, *, stratified):
        """Return the one-hot design of wanted rows and whether it matches the training shares."""
        if not _fitted_with_labels(self):
            if y is not None:
                raise ValueError(
                    f"y was given to sample, but this {type(self).__name__} was fitted without "
                    "labels; fit it with y."
                )
            return None, True
        label_idx = self._wanted_labels(y, n_samples, rng, stratified=stratified)
        return one_hot(label_idx, len(self.classes_)), matches_prior(self, label_idx)

    def sample(
        self,
        n_samples: int = 1,
        *,
        y: Any = None,
        stratified: bool = False,
        random_state: Any = None,
    ) -> Any:
        """Draw new rows, of given classes if asked.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        y : label or array-like of shape (n_samples,), default=None
            One label for all rows, or one label a row; only after a fit with labels. None draws
            labels in the training proportions.

        stratified : bool, default=False
            Draw the table as a whole so that its margins (and class shares) are those of the
            model without sampling noise. Single rows are still draws from the model and stand in
            random order, but they are not independent: means over the table vary less than in
            independent rows, so leave it off for standard errors or a bootstrap. Tables of fewer
            than 30 rows are always drawn independently.

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container and dtypes of the table given to ``fit``.
        """
        return self._sample_rows(n_samples, random_state, y=y, stratified=stratified)

    @available_if(_fitted_with_labels)
    def sample_labeled(
        self,
        n_samples: int | None = 1,
        *,
        class_counts: Any = None,
        random_state: Any = None,
        stratified: bool = False,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows together with their labels; only after a fit with labels.

        Parameters
        ----------
        n_samples : int or None, default=1
            Number of rows; may be None when ``class_counts`` is given.

        class_counts : dict, default=None
            Exact number of rows of each class, ``{label: count}``. None draws labels in the
            training proportions.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``.

        stratified : bool, default=False
            As in ``sample``.

        Returns
        -------
        X_gen : ndarray or data frame of shape (n_samples, n_features)
            The rows, in random order.

        y_gen : ndarray of shape (n_samples,)
            The label of each row.
        """
        return super().sample_labeled(
            n_samples,
            class_counts=class_counts,
            random_state=random_state,
            stratified=stratified,
        )
