"""What the spans of encoded rows say of each other and of the training table."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["silent_levels", "span_shares"]


def silent_levels(layout: Any) -> list[tuple[int, int]]:
    """Pairs of a scalar and a one-hot level beside which the scalar says nothing.

    Parameters
    ----------
    layout : EncodedLayout
        Layout of the encoder.

    Returns
    -------
    pairs : list of (int, int)
        Index among the scalars, index among the one-hot levels.
    """
    named = {(span.column, span.name): span for span in layout.spans}
    first = layout.n_scalars + layout.n_bits
    pairs = []
    for span in layout.spans:
        if span.kind != "scalar" or not span.name.endswith(".value"):
            continue
        stem = span.name.removesuffix("value")
        mode = named.get((span.column, f"{stem}mode"))
        if mode is not None and mode.kind == "one_hot":
            spikes = range(mode.stop - mode.n_spikes, mode.stop)
            pairs.extend((span.start, level - first) for level in spikes)
        null = named.get((span.column, f"{stem}is_null"))
        if null is not None and null.kind == "one_hot":
            pairs.append((span.start, null.stop - 1 - first))
    return pairs


def span_shares(layout: Any, codes: Any) -> np.ndarray:
    """Mean of every bit and one-hot level over rows, in the order of the encoded columns."""
    shares = []
    for span, part in zip(layout.coded_spans, codes.codes, strict=True):
        counts = np.bincount(part, minlength=span.n_codes)[: span.n_codes] / max(1, len(part))
        if span.kind == "binary":
            places = np.arange(span.width - 1, -1, -1)
            bits = (np.arange(1, span.n_codes + 1)[:, None] >> places) & 1
            counts = counts @ bits
        shares.append(counts)
    return np.concatenate(shares) if shares else np.empty(0)
