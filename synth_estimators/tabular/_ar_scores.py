"""Densities of whole rows, and of one column given all others."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from synth_estimators.tabular._ar_sampling import RowState

__all__ = ["choice_probabilities", "row_log_prob"]

_CHUNK_ROWS = 8_192
_PRIOR_COUNT = 0.1


def row_log_prob(
    conditionals: Any, cells: list[np.ndarray], unseen: dict[int, np.ndarray] | None = None
) -> np.ndarray:
    """Log-likelihood of rows.

    Parameters
    ----------
    conditionals : NetConditionals or the like
        Has ``columns`` and ``log_prob``.

    cells : list of ndarray of shape (n_rows,)
        Cells of every column, in the order of the model.

    unseen : dict or None, default=None
        Position of a column -> rows whose level the training table lacks. They count as a tenth of
        a training row.

    Returns
    -------
    log_prob : ndarray of shape (n_rows,)
    """
    n_rows = len(cells[0])
    result = np.zeros(n_rows)
    for start in range(0, n_rows, _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        state = RowState(len(result[part]), len(cells))
        for position, column in enumerate(conditionals.columns):
            if column.source is not None:
                looked_up = column.follow(state.cells)
                state.add(looked_up, column.encode(looked_up))
                continue
            codes = column.encode(cells[position][part])
            log_prob = conditionals.log_prob(position, state, codes)
            if unseen and position in unseen:
                log_prob[unseen[position][part]] = np.log(_PRIOR_COUNT / column.counts.sum())
            result[part] += log_prob
            state.add(cells[position][part], codes)
    return result


def choice_probabilities(
    conditionals: Any, table: Any, cells: dict[int, np.ndarray], chosen: int, n_rows: int
) -> np.ndarray:
    """Probabilities of the choices of one column given all other columns.

    Parameters
    ----------
    conditionals : NetConditionals or the like
        Has ``columns``, ``log_choices`` and ``log_prob``.

    table : ModelTable
        Order and looked-up columns.

    cells : dict
        Column -> cells, without the chosen column.

    chosen : int
        Column to predict.

    n_rows : int
        Number of rows.

    Returns
    -------
    proba : ndarray of shape (n_rows, n_values)
    """
    values = table.columns[chosen].choice_cells()
    if chosen in table.lookup:
        p, follows = table.lookup[chosen]
        cell = follows[table.columns[p].labels(cells[p])]
        same = values[None, :] == cell[:, None]
        if values.dtype.kind == "f":
            same |= np.isnan(values)[None, :] & np.isnan(cell)[:, None]
        return same.astype(np.float64)
    log_prob = np.empty((n_rows, len(values)))
    step = max(1, _CHUNK_ROWS // len(values))
    for start in range(0, n_rows, step):
        part = slice(start, min(n_rows, start + step))
        given = {j: column[part] for j, column in cells.items()}
        log_prob[part] = _log_joint(conditionals, table, given, chosen, part.stop - part.start)
    return np.exp(log_prob - logsumexp(log_prob, axis=1, keepdims=True))


def _log_joint(conditionals, table, cells, chosen, n_rows):
    """Log-likelihood of every choice together with the columns after it."""
    columns, place = conditionals.columns, table.order.index(chosen)
    values = columns[place].choice_cells()
    state = RowState(n_rows, len(columns))
    for position in range(place):
        part = cells[table.order[position]]
        state.add(part, columns[position].encode(part))
    log_prob = conditionals.log_choices(place, state)
    candidates = np.tile(values, n_rows)
    owner = np.repeat(np.arange(n_rows), len(values))
    state.take(owner)
    state.add(candidates, columns[place].encode(candidates))
    for position in range(place + 1, len(columns)):
        if columns[position].source is not None:
            part = columns[position].follow(state.cells)
            state.add(part, columns[position].encode(part))
            continue
        part = cells[table.order[position]][owner]
        codes = columns[position].encode(part)
        log_prob += conditionals.log_prob(position, state, codes).reshape(log_prob.shape)
        state.add(part, codes)
    return np.where(_agrees(table, cells, chosen, values, n_rows), log_prob, -np.inf)


def _agrees(table, cells, chosen, values, n_rows):
    """Choices that go with the cells of the columns that follow from this one."""
    result = np.ones((n_rows, len(values)), dtype=bool)
    for c, (p, follows) in table.lookup.items():
        if p != chosen:
            continue
        implied = follows[table.columns[p].labels(values)]
        same = implied[None, :] == cells[c][:, None]
        if implied.dtype.kind == "f":
            same |= np.isnan(implied)[None, :] & np.isnan(cells[c])[:, None]
        result &= same
    result[~result.any(axis=1)] = True
    return result
