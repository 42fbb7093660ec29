"""Rows of batches that were not there during fit, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from synth_estimators.batch_effects._combat_model import (
    CombatModel,
    CombatOptions,
    estimate_effects,
)
from synth_estimators.batch_effects._design import BatchLevels

__all__ = ["adjust_new_batches", "new_batch_rows"]


def new_batch_rows(labels: np.ndarray, codes: np.ndarray, *, owner: str) -> Iterator[np.ndarray]:
    """Yield the row numbers of each batch unseen during fit.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Batch labels.

    codes : ndarray of int of shape (n_samples,)
        Fitted batch of every row, -1 for unseen ones.

    owner : str
        Name of the corrector, for messages.

    Yields
    ------
    rows : ndarray of int
        At least two rows of one batch.

    Raises
    ------
    ValueError
        For a new batch of one row, before the first batch is yielded.
    """
    unknown = np.flatnonzero(codes < 0)
    batches = BatchLevels.from_labels(labels[unknown])
    single = batches.levels[batches.counts < 2].tolist()
    if single:
        raise ValueError(
            f"The unseen batch {single[0]!r} has one row only; {owner}(unseen='estimate') needs at "
            "least two rows of a new batch."
        )
    for code in range(len(batches.levels)):
        yield unknown[batches.codes == code]


def adjust_new_batches(
    model: CombatModel,
    X: np.ndarray,
    codes: np.ndarray,
    C: np.ndarray,
    options: CombatOptions,
) -> np.ndarray:
    """Adjust batches that were not there during the fit, each by effects of its own rows.

    Grand mean, coefficients and residual variances are those of the model. Features with too few
    observed values among the rows of a batch stay as they are there.

    Parameters
    ----------
    model : CombatModel
        Fitted numbers.

    X : ndarray of shape (n_samples, n_features)
        Rows of new batches; never changed.

    codes : ndarray of int of shape (n_samples,)
        New batch of every row.

    C : ndarray of shape (n_samples, n_columns)
        Coded covariates.

    options : CombatOptions
        How to estimate.

    Returns
    -------
    Y : ndarray of shape (n_samples, n_features)
        In the dtype of ``X``; computed in float64.
    """
    options = replace(options, reference=None)
    result = X.copy()
    kept = np.flatnonzero(model.kept)
    for batch in np.unique(codes):
        rows = np.flatnonzero(codes == batch)
        values = X[np.ix_(rows, kept)].astype(np.float64)
        seen = ~np.isnan(values)
        usable = seen.sum(axis=0) >= (1 if options.mean_only else 2)
        if not usable.any():
            continue
        scale = np.sqrt(model.pooled_var[usable])
        expected = np.einsum("ij,jk->ik", C[rows], model.coef[:, usable])
        expected += model.grand_mean[usable]
        standard = (values[:, usable] - expected) / scale
        _, _, gamma, delta, _, _ = estimate_effects(
            standard, np.zeros(len(rows), dtype=np.intp), 1, options
        )
        standard -= gamma[0]
        standard /= np.sqrt(delta[0])
        result[np.ix_(rows, kept[usable])] = standard * scale + expected
    return result
