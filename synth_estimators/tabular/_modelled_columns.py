"""Tables of which some columns are left out of the model, identifiers among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synth_estimators._distances import energy_distance
from synth_estimators._random import local_rng
from synth_estimators._validation import check_table, slice_request
from synth_estimators.preprocessing._mixed_space import MixedSpace
from synth_estimators.tabular._primary_key import PrimaryKey

if TYPE_CHECKING:
    from synth_estimators.tabular._base import BaseTabularGenerator as _Base
else:
    _Base = object

__all__ = ["ModelledColumnsMixin"]


class ModelledColumnsMixin(_Base):
    """``field_names`` and ``primary_key`` of a generator of mixed tables."""

    def _modelled(self, X):
        """The columns of a table that the model knows, and the identifiers."""
        names = self._setting("field_names")
        if names is None:
            return X
        labels = list(X.columns) if hasattr(X, "columns") else list(range(np.shape(X)[1]))
        key = self._setting("primary_key")
        unknown = [name for name in names if name not in labels]
        if unknown or not len(names):
            raise ValueError(
                f"Invalid columns found in field_names: {unknown}; name some of the columns of X, "
                f"{labels}."
            )
        kept = [label for label in labels if label in names or label == key]
        return X[kept] if hasattr(X, "columns") else np.asarray(X)[:, kept]

    def _start_fit_table(self, X, *, reset=True):
        labels = list(X.columns) if hasattr(X, "columns") else []
        frame, seed = super()._start_fit_table(self._modelled(X), reset=reset)
        key = self._setting("primary_key")
        kept = [label for label in frame.columns if key is None or label != key]
        self._left_out = [label for label in labels if label not in kept]
        self._key = None
        if key is None:
            return frame, seed
        if len(kept) == frame.shape[1]:
            raise ValueError(
                f"primary_key={key!r} is no column of X; its columns are {list(frame.columns)}."
            )
        if not kept:
            raise ValueError(f"X has no column besides primary_key={key!r}.")
        self._key = PrimaryKey(frame[key])
        self._key_place = list(frame.columns).index(key)
        return frame[kept], seed

    def _with_key(self, rows, start):
        if self._key is None:
            return rows
        rows = rows.copy(deep=False)
        label = self._setting("primary_key")
        rows.insert(self._key_place, label, self._key.make(start, len(rows)))
        return rows

    def _wrap(self, rows):
        return super()._wrap(self._with_key(rows, 0))

    def _for_file(self, rows: Any, start: int) -> Any:
        return self._with_key(rows, start)

    def _iterate(
        self, n_samples: int, chunk_size: int, random_state: Any, request: dict[str, Any]
    ) -> Iterator[Any]:
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        for start in range(0, n_samples, chunk_size):
            part = slice(start, min(start + chunk_size, n_samples))
            wanted = {name: slice_request(value, part) for name, value in request.items()}
            rows = self._sample(part.stop - part.start, rng, **wanted)
            yield super()._wrap(self._with_key(rows, start))

    def _mixed_score(self, X, sample_weight):
        frame = check_table(self, self._modelled(X), reset=False)
        rows = self._sample(len(frame), np.random.default_rng(self._sample_seed))
        frame = frame[list(rows.columns)]
        space = MixedSpace().fit(frame)
        return -energy_distance(
            space.transform(frame), space.transform(rows), weight_x=sample_weight
        )
