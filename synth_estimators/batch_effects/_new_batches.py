"""Rows of batches that were not there during fit, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth_estimators.batch_effects._design import BatchLevels

__all__ = ["new_batch_rows"]


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
