"""Shifts and factors of batches, drawn and put on a table."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from synth_estimators._batch_simulation._checks import (
    check_choice,
    check_count,
    check_generator,
    check_strength,
)

__all__ = [
    "EFFECT_TYPES",
    "GRANULARITIES",
    "Effects",
    "add_effects",
    "affected_positions",
    "apply_batch_effects",
    "checked_batches",
    "draw_effects",
    "numeric_array",
    "summarize",
]

EFFECT_TYPES = ("additive", "multiplicative")
GRANULARITIES = ("per_feature", "scalar")

# Cells that are worked on at a time, so that the effects of their rows stay in the cache.
_BLOCK_CELLS = 1 << 15


@dataclass
class Effects:
    """Drawn effects of B batches on m features; None where the kind of effect has none.

    Attributes
    ----------
    shifts : ndarray of shape (B, m) or (B, 1), or None
        Numbers added to the affected features.

    factors : ndarray of shape (B, m) or (B, 1), or None
        Numbers by which the affected features are multiplied, before the shifts are added.
    """

    shifts: np.ndarray | None
    factors: np.ndarray | None

    def apply(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the affected columns of the rows with batches ``codes`` as a new array."""
        if self.shifts is None and self.factors is None:
            return np.array(values, dtype=np.float64)
        out = np.empty(values.shape, dtype=np.float64)
        n_rows = max(1, _BLOCK_CELLS // max(1, values.shape[1]))
        for start in range(0, len(values), n_rows):
            rows = slice(start, start + n_rows)
            part = values[rows]
            if self.factors is not None:
                part = np.multiply(part, self.factors[codes[rows]], out=out[rows])
            if self.shifts is not None:
                np.add(part, self.shifts[codes[rows]], out=out[rows])
        return out

    def undo(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the columns without the effects of their batches."""
        out = np.array(values, dtype=np.float64)
        if self.shifts is not None:
            out -= self.shifts[codes]
        if self.factors is not None:
            out /= self.factors[codes]
        return out

    def full(self, n_batches: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
        """Shifts and factors of shape (n_batches, n_features), 0 and 1 where there are none."""
        shape = (n_batches, n_features)
        shifts = np.zeros(shape) if self.shifts is None else self.shifts
        factors = np.ones(shape) if self.factors is None else self.factors
        return np.broadcast_to(shifts, shape).copy(), np.broadcast_to(factors, shape).copy()


def draw_effects(
    n_batches: int,
    n_features: int,
    rng: np.random.Generator,
    *,
    effect_type: str,
    effect_strength: float,
    effect_granularity: str,
    positive_factors: bool = False,
) -> Effects:
    """Draw the effects: factors first, then shifts; nothing is drawn at strength 0."""
    if effect_strength == 0 or n_features == 0:
        return Effects(None, None)
    width = n_features if effect_granularity == "per_feature" else 1
    shifts = factors = None
    if effect_type != "additive":
        draw = rng.normal(0.0, effect_strength, size=(n_batches, width))
        factors = np.exp(draw) if positive_factors else 1.0 + draw
    if effect_type != "multiplicative":
        shifts = rng.normal(0.0, effect_strength, size=(n_batches, width))
    return Effects(shifts, factors)


def _positions_of_name(name, columns):
    try:
        place = columns.get_loc(name)
    except (KeyError, TypeError):
        raise KeyError(
            f"affected_features names the column {name!r}, which X does not have; its columns "
            f"are {list(columns[:10])}{' ...' if len(columns) > 10 else ''}."
        ) from None
    if isinstance(place, slice):
        return list(range(*place.indices(len(columns))))
    return np.flatnonzero(place).tolist() if isinstance(place, np.ndarray) else [int(place)]


def _checked_position(index, n_features):
    if not 0 <= index < n_features:
        raise IndexError(
            f"affected_features holds the position {int(index)}, but X has {n_features} columns; "
            f"expected positions from 0 to {n_features - 1}."
        )
    return int(index)


def affected_positions(
    affected_features: Any, n_features: int, columns: pd.Index | None = None
) -> np.ndarray:
    """Turn "all", positions, a mask or column names into positions, each of them once."""
    if isinstance(affected_features, str):
        if affected_features == "all":
            return np.arange(n_features)
        raise ValueError(
            f"affected_features={affected_features!r} is not known; expected 'all', positions, a "
            "mask of booleans or a list of column names."
        )
    if np.ndim(affected_features) == 0 and not hasattr(affected_features, "__len__"):
        raise ValueError(
            f"affected_features={affected_features!r} is one value; pass a list of positions or "
            "column names, or 'all'."
        )
    items = list(affected_features)
    boolean = [isinstance(item, bool | np.bool_) for item in items]
    if items and all(boolean):
        if len(items) != n_features:
            raise ValueError(
                f"affected_features is a mask of length {len(items)}, but X has {n_features} "
                "columns; pass one boolean a column."
            )
        return np.flatnonzero(items)
    if any(boolean):
        raise ValueError(
            "affected_features mixes booleans with other values; pass a mask of booleans, "
            "positions or column names."
        )
    positions = []
    for item in items:
        if isinstance(item, Integral):
            positions.append(_checked_position(item, n_features))
        elif isinstance(item, float | np.floating):
            raise ValueError(
                f"affected_features holds {item!r}, which is no position; pass whole numbers."
            )
        elif columns is None:
            raise ValueError(
                f"affected_features names the column {item!r}, but X has no column names; pass "
                "positions or a DataFrame."
            )
        else:
            positions.extend(_positions_of_name(item, columns))
    return np.array(list(dict.fromkeys(positions)), dtype=np.intp)


def checked_batches(
    batch_assignments: Any, n_samples: int, n_batches: int | None
) -> tuple[np.ndarray, int]:
    """Return batch numbers as intp and the number of batches."""
    batch = np.asarray(batch_assignments)
    if batch.ndim != 1:
        raise ValueError(
            "batch_assignments must be one-dimensional with one number a row, got shape "
            f"{batch.shape}."
        )
    if len(batch) != n_samples:
        raise ValueError(
            f"batch_assignments has {len(batch)} entries, but X has {n_samples} rows; pass one "
            "number a row."
        )
    try:
        numbers = batch.astype(np.float64)
    except (TypeError, ValueError):
        numbers = np.full(len(batch), np.nan)
    bad = ~np.isfinite(numbers) if batch.dtype.kind in "iufO" else np.ones(len(batch), dtype=bool)
    if bad.any():
        raise ValueError(
            f"batch_assignments holds {batch[bad].tolist()[0]!r}; expected the numbers 0, 1, ... "
            "of the batches. numpy.unique(labels, return_inverse=True)[1] turns other labels into "
            "them."
        )
    if np.any(numbers != np.floor(numbers)):
        odd = numbers[numbers != np.floor(numbers)][0]
        raise ValueError(
            f"batch_assignments holds {odd:g}, which is no whole number; pass the numbers 0, 1, "
            "... of the batches."
        )
    if numbers.min() < 0:
        raise ValueError(
            f"batch_assignments holds the negative number {numbers.min():g}; batches are numbered "
            "from 0."
        )
    codes = numbers.astype(np.intp)
    needed = int(codes.max()) + 1
    if n_batches is None:
        return codes, needed
    n_batches = check_count(n_batches, name="n_batches", minimum=1)
    if n_batches < needed:
        raise ValueError(
            f"n_batches={n_batches}, but batch_assignments goes up to {needed - 1}; pass "
            f"n_batches={needed} or more."
        )
    return codes, n_batches


def numeric_array(X: Any) -> np.ndarray:
    """Return a table of numbers as float32 or float64, or raise a clear error."""
    if issparse(X):
        raise TypeError("X is a sparse matrix, but batch effects need all cells; pass X.toarray().")
    if np.ndim(X) != 2:
        raise ValueError(
            f"X must be two-dimensional with one row a sample, got {np.ndim(X)} dimensions."
        )
    try:
        return np.asarray(X, dtype=_result_dtype(getattr(X, "dtype", None)))
    except (TypeError, ValueError):
        raise ValueError(
            "X holds values that are not numbers; pass numbers, or a DataFrame with the numeric "
            "columns in affected_features."
        ) from None


def _result_dtype(dtype):
    return np.float32 if dtype == np.float32 else np.float64


def _refuse_empty(X):
    if 0 in X.shape:
        raise ValueError(f"X is empty (shape {X.shape}); pass at least one row and one column.")


def add_effects(X: Any, positions: np.ndarray, effects: Effects, codes: np.ndarray) -> Any:
    """Return a copy of a table of numbers or a DataFrame with the effects on some columns."""
    if isinstance(X, pd.DataFrame):
        return _add_to_frame(X, positions, effects, codes)
    if len(positions) == X.shape[1] and np.array_equal(positions, np.arange(X.shape[1])):
        return effects.apply(X, codes).astype(X.dtype, copy=False)
    out = np.array(X)
    if len(positions):
        out[:, positions] = effects.apply(X[:, positions], codes)
    return out


def _add_to_frame(X, positions, effects, codes):
    dtype = X.dtypes.iloc[0]
    if len(set(X.dtypes)) == 1 and isinstance(dtype, np.dtype) and dtype.kind in "fiu":
        values = X.to_numpy().astype(_result_dtype(dtype), copy=False)
        out = add_effects(values, positions, effects, codes)
        return pd.DataFrame(out, index=X.index, columns=X.columns, copy=False)
    parts = {j: X.iloc[:, j] for j in range(X.shape[1])}
    for place, position in enumerate(positions):
        column = X.iloc[:, position]
        try:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise ValueError(
                f"Column {X.columns[position]!r} holds values that are not numbers (for example "
                f"{column.iloc[0]!r}); leave it out of affected_features."
            ) from None
        own = Effects(*(_column_of(part, place) for part in (effects.shifts, effects.factors)))
        shifted = own.apply(values[:, None], codes)[:, 0].astype(_result_dtype(column.dtype))
        parts[position] = pd.Series(shifted, index=X.index)
    out = pd.DataFrame(parts, index=X.index, copy=True)
    out.columns = X.columns
    return out


def _column_of(effects, place):
    if effects is None:
        return None
    return effects[:, [place if effects.shape[1] > 1 else 0]]


def apply_batch_effects(
    X: Any,
    batch_assignments: Any,
    rng: np.random.Generator,
    effect_type: str = "additive",
    effect_strength: float = 0.5,
    affected_features: Any = "all",
    effect_granularity: str = "per_feature",
    n_batches: int | None = None,
    return_effects: bool = False,
) -> tuple:
    r"""Put the effects of batches on a table.

    Row :math:`i` of batch :math:`b` becomes

    .. math:: x_{ij} + e_{bj} \qquad \text{or} \qquad x_{ij}\, g_{bj},

    with shifts :math:`e \sim N(0, s^2)` or factors :math:`g \sim N(1, s^2)`, one for each batch
    and feature or one for each batch.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        The table. It is not changed; missing cells stay missing.

    batch_assignments : array-like of shape (n_samples,)
        Number of the batch of every row, from 0.

    rng : numpy.random.Generator
        Moves on by one draw of normal numbers, of shape (n_batches, n_affected) or (n_batches,).
        Nothing is drawn if the strength is 0 or no feature is affected.

    effect_type : {"additive", "multiplicative"}, default="additive"
        Shifts or factors.

    effect_strength : float, default=0.5
        Standard deviation of the shifts, or of the factors around 1.

    affected_features : "all", array-like of int, bool or names, default="all"
        Columns that batches change: positions, a mask with one boolean a column, or names of
        columns of a DataFrame. What is named twice counts once.

    effect_granularity : {"per_feature", "scalar"}, default="per_feature"
        One effect for each batch and affected feature, or one for each batch.

    n_batches : int, default=None
        Number of batches for which effects are drawn; None takes the largest number of
        ``batch_assignments``. Pass it where trailing batches may be empty, so that the same seed
        gives the same effects.

    return_effects : bool, default=False
        Also return the effect of every batch on every affected feature.

    Returns
    -------
    X_affected : ndarray or pandas DataFrame of shape (n_samples, n_features)
        The table with the effects: ``float32`` for ``float32``, else ``float64``. A DataFrame keeps
        its index and columns; of several dtypes, it also keeps those of the other columns.

    batch_effects : ndarray of shape (n_batches,)
        Effect of each batch, averaged over the affected features: shifts, or factors minus 1.

    effects : ndarray of shape (n_batches, n_affected)
        Shifts or factors of all affected features, in the order of ``affected_features``; only
        with ``return_effects=True``.

    Raises
    ------
    ValueError
        For batch numbers that do not fit the table, an unknown type or granularity, a strength
        that is negative or not finite, and an empty table.

    IndexError
        For positions that the table does not have.

    KeyError
        For names that the table does not have.

    See Also
    --------
    BatchEffectSimulator : The same as a transformer that keeps and undoes the effects.
    apply_batch_effects_from_config : Draws the batches, too.

    Notes
    -----
    Factors around 1 can be negative: 16 % of them are at strength 1.
    ``BatchEffectSimulator(positive_factors=True)`` draws positive ones. The time is that of one
    pass over the table and the memory that of one copy.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import apply_batch_effects
    >>> X = np.arange(12.0).reshape(4, 3)
    >>> batch = [0, 0, 1, 1]
    >>> X_affected, effects = apply_batch_effects(
    ...     X, batch, np.random.default_rng(0), effect_granularity="scalar"
    ... )
    >>> effects.round(4)
    array([ 0.0629, -0.0661])
    >>> (X_affected - X)[:, 0].round(4)
    array([ 0.0629,  0.0629, -0.0661, -0.0661])
    """
    check_choice(effect_type, EFFECT_TYPES, name="effect_type")
    check_choice(effect_granularity, GRANULARITIES, name="effect_granularity")
    strength = check_strength(effect_strength)
    check_generator(rng)
    frame = isinstance(X, pd.DataFrame)
    table = X if frame else numeric_array(X)
    _refuse_empty(table)
    codes, n_batches = checked_batches(batch_assignments, len(table), n_batches)
    columns = table.columns if frame else None
    positions = affected_positions(affected_features, table.shape[1], columns)
    effects = draw_effects(
        n_batches,
        len(positions),
        rng,
        effect_type=effect_type,
        effect_strength=strength,
        effect_granularity=effect_granularity,
    )
    X_affected = add_effects(table, positions, effects, codes)
    summary = summarize(effects, n_batches)
    if not return_effects:
        return X_affected, summary
    shifts, factors = effects.full(n_batches, len(positions))
    return X_affected, summary, factors if effect_type == "multiplicative" else shifts


def summarize(effects: Effects, n_batches: int) -> np.ndarray:
    """Mean shift of every batch, or its mean factor minus 1."""
    if effects.shifts is not None:
        return effects.shifts.mean(axis=1)
    if effects.factors is not None:
        return (effects.factors - 1.0).mean(axis=1)
    return np.zeros(n_batches)
