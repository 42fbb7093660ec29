"""Conditions: columns beside the table that tell a conditional generator what to make."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["MetadataEncoder"]


def _as_frame(conditions, n_samples):
    if isinstance(conditions, pd.DataFrame):
        frame = conditions
    elif isinstance(conditions, pd.Series):
        frame = conditions.to_frame(conditions.name if conditions.name is not None else "c0")
    elif type(conditions).__module__.split(".")[0] == "polars":
        frame = conditions.to_pandas()
    elif isinstance(conditions, dict):
        frame = pd.DataFrame(
            {
                name: [value] * n_samples if np.ndim(value) == 0 else list(value)
                for name, value in conditions.items()
            },
            index=range(n_samples) if all(np.ndim(v) == 0 for v in conditions.values()) else None,
        )
    else:
        array = np.asarray(conditions)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise ValueError(
                f"conditions must be a table with one row per row of X, got shape {array.shape}."
            )
        frame = pd.DataFrame(array, columns=[f"c{j}" for j in range(array.shape[1])])
        frame = frame.infer_objects()
    if len(frame) != n_samples:
        raise ValueError(
            f"conditions has {len(frame)} rows but {n_samples} are wanted; pass one condition per "
            "row, or a mapping from column to value."
        )
    if not frame.columns.is_unique:
        raise ValueError("conditions has duplicated column names; rename them.")
    return frame.reset_index(drop=True)


def _key(value):
    """Compare categories by value and kind: 1 and 1.0 are one category, "1" is another."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


class MetadataEncoder:
    """Numeric conditions standardised, categorical ones as indicators.

    Attributes
    ----------
    columns_ : list
        Names of the condition columns.

    categories_ : dict
        Column to its sorted categories; numeric columns are absent.

    width_ : int
        Number of encoded columns.
    """

    def fit(self, conditions, n_samples):
        """Learn columns, categories, means and scales from one row of conditions a row of X."""
        frame = _as_frame(conditions, n_samples)
        if frame.shape[1] == 0:
            raise ValueError("conditions has no columns; pass at least one.")
        self.columns_ = [str(name) for name in frame.columns]
        self.categories_, self.mean_, self.scale_, self.values_ = {}, {}, {}, {}
        for name, (_, column) in zip(self.columns_, frame.items(), strict=True):
            if column.isna().any():
                row = int(np.flatnonzero(column.isna())[0])
                raise ValueError(
                    f"conditions column {name!r} has missing values (first in row {row}); fill or "
                    "drop these rows."
                )
            if self._is_numeric(column):
                values = column.to_numpy(dtype=np.float64)
                if not np.isfinite(values).all():
                    raise ValueError(f"conditions column {name!r} contains infinity.")
                self.mean_[name] = float(values.mean())
                self.scale_[name] = float(values.std()) or 1.0
                self.values_[name] = values
            else:
                keys = [_key(value) for value in column]
                self.categories_[name] = sorted(set(keys), key=lambda v: (str(type(v)), v))
                self.values_[name] = np.array(keys, dtype=object)
        self.width_ = sum(
            len(self.categories_[name]) if name in self.categories_ else 1 for name in self.columns_
        )
        return self

    @staticmethod
    def _is_numeric(column):
        return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)

    def transform(self, conditions, n_samples, rng=None):
        """Encode conditions; columns left out are drawn from the training rows with ``rng``."""
        frame = _as_frame(conditions, n_samples)
        given = {str(name): column for name, column in frame.items()}
        unknown = [name for name in given if name not in self.columns_]
        if unknown:
            raise ValueError(
                f"Unknown condition column {unknown[0]!r}; seen during fit: {self.columns_}."
            )
        left_out = [name for name in self.columns_ if name not in given]
        if left_out and rng is None:
            raise ValueError(
                f"conditions lacks column {left_out[0]!r}; expected all of {self.columns_}."
            )
        if left_out:
            drawn = rng.integers(len(self.values_[left_out[0]]), size=n_samples)
        blocks = []
        for name in self.columns_:
            values = given[name] if name in given else self.values_[name][drawn]
            blocks.append(self._encode(name, values))
        return np.hstack(blocks)

    def draw(self, n_samples, rng):
        """Encode condition rows drawn from the training rows."""
        rows = rng.integers(len(self.values_[self.columns_[0]]), size=n_samples)
        return np.hstack([self._encode(n, self.values_[n][rows]) for n in self.columns_])

    def _encode(self, name, values):
        if name not in self.categories_:
            try:
                values = np.asarray(values, dtype=np.float64)
            except (TypeError, ValueError):
                raise ValueError(
                    f"Condition column {name!r} is numeric, got {next(iter(values))!r}."
                ) from None
            if not np.isfinite(values).all():
                raise ValueError(f"Condition column {name!r} contains missing or infinite values.")
            return ((values - self.mean_[name]) / self.scale_[name])[:, None]
        lookup = {value: index for index, value in enumerate(self.categories_[name])}
        codes = [lookup.get(_key(value), -1) for value in values]
        if -1 in codes:
            unseen = list(values)[codes.index(-1)]
            unseen = unseen.item() if isinstance(unseen, np.generic) else unseen
            raise ValueError(
                f"Unknown condition {unseen!r} for column {name!r}; seen during fit: "
                f"{self.categories_[name]}."
            )
        indicators = np.zeros((len(codes), len(lookup)))
        indicators[np.arange(len(codes)), codes] = 1.0
        return indicators
