"""Agreement of whole rows: support, density and energy distance."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from synth_estimators import _distances
from synth_estimators._distances import euclidean_distances, nearest_rows, row_blocks
from synth_estimators.metrics._tables import (
    all_tied,
    equal_sizes,
    read_pair,
    result,
    to_space,
    undefined,
)

__all__ = ["alpha_precision_beta_recall", "energy_distance", "prdc"]

_N_LEVELS = 30


def _embed(
    X_real,
    X_synth,
    *,
    space,
    discrete_columns,
    match_size,
    max_rows,
    random_state,
    sample_weight=None,
):
    real, synth = read_pair(
        X_real, X_synth, discrete_columns=discrete_columns, sample_weight=sample_weight
    )
    cut = equal_sizes(
        real, synth, match_size=match_size, max_rows=max_rows, random_state=random_state
    )
    # The scales are those of the whole real table, whatever rows are compared.
    fitted, rows = to_space(real, *cut, space=space)
    return fitted, rows[0], rows[1], synth, cut[0].weight


def prdc(
    X_real: Any,
    X_synth: Any,
    *,
    k: int = 5,
    space: str = "standard",
    discrete_columns: Any = "auto",
    match_size: bool = True,
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Bunch:
    r"""Precision, recall, density and coverage from nearest-neighbour balls.

    With :math:`r_k(x)` the distance from a row to its k-th neighbour in its own table: precision
    is the share of synthetic rows inside some real ball, recall the share of real rows inside some
    synthetic ball, density the mean number of real balls a synthetic row lies in, divided by k,
    and coverage the share of real rows whose ball holds a synthetic row.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    k : int, default=5
        Neighbour that sets the radius; lowered with a warning where a table is too small.

    space : {"standard", "gower", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    match_size : bool, default=True
        Cut both tables to the same number of rows; all four values depend on it.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Add ``details``, one row for every real row (``covered``, ``recalled``).

    Returns
    -------
    scores : Bunch
        ``precision``, ``recall``, ``density``, ``coverage``, ``coverage_limit`` (expected for
        equal laws), ``k``, ``n_real``, ``n_synth``.

    Notes
    -----
    For equal laws density is 1 and coverage ``coverage_limit`` (0.969 with k = 5 and many rows).
    Rows that occur more than k times have a ball without content: the values fall with their share
    (a warning says so), and are NaN where there are no others.
    Cost grows with the product of the numbers of rows; memory is bounded.

    References
    ----------
    .. [1] Kynkäänniemi et al. (2019). "Improved Precision and Recall Metric for Assessing
       Generative Models". NeurIPS.

    .. [2] Naeem et al. (2020). "Reliable Fidelity and Diversity Metrics for Generative Models".
       ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import prdc
    >>> rng = np.random.default_rng(0)
    >>> real, synth = rng.normal(size=(200, 3)), 0.1 * rng.normal(size=(200, 3))
    >>> scores = prdc(real, synth)
    >>> bool(scores.precision > 0.95), bool(scores.coverage < 0.5)
    (True, True)
    """
    if k < 1:
        raise ValueError(f"k={k!r} must be at least 1.")
    fitted, real, synth, _, _ = _embed(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        match_size=match_size,
        max_rows=max_rows,
        random_state=random_state,
    )
    n_real, n_synth = len(real), len(synth)
    usable = min(k, n_real - 1, n_synth - 1)
    if usable < 1:
        value = undefined("prdc", "each table needs at least two rows")
        names = ("precision", "recall", "density", "coverage", "coverage_limit")
        scores = Bunch(**dict.fromkeys(names, value), k=0, n_real=n_real, n_synth=n_synth)
        if breakdown:
            scores.details = pd.DataFrame({"covered": [], "recalled": []})
        return scores
    if usable < k:
        warnings.warn(
            f"k={k} is too large for {n_real} real and {n_synth} synthetic rows; "
            f"k={usable} is used.",
            stacklevel=2,
        )
    distances = fitted._between
    radius_real = nearest_rows(real, real, k=usable, exclude_self=True, distances=distances)[0][
        :, -1
    ]
    radius_synth = nearest_rows(synth, synth, k=usable, exclude_self=True, distances=distances)[0][
        :, -1
    ]
    inside = np.zeros(n_synth, dtype=np.int64)
    recalled, covered = np.zeros(n_real, dtype=bool), np.zeros(n_real, dtype=bool)
    for part in row_blocks(n_real, n_synth):
        block = distances(real[part], synth)
        in_real_ball = block < radius_real[part, None]
        inside += in_real_ball.sum(axis=0)
        covered[part] = in_real_ball.any(axis=1)
        recalled[part] = (block < radius_synth[None, :]).any(axis=1)
    steps = np.arange(1, usable + 1)
    precision, recall = float((inside > 0).mean()), float(recalled.mean())
    density, coverage = float(inside.sum() / (usable * n_synth)), float(covered.mean())
    if all_tied(radius_real, "prdc"):
        precision = density = coverage = undefined("prdc", "no real row has a ball, all are tied")
        recall = recall if radius_synth.any() else precision
    scores = Bunch(
        precision=precision,
        recall=recall,
        density=density,
        coverage=coverage,
        coverage_limit=float(1 - np.prod((n_real - steps) / (n_real + n_synth - steps))),
        k=usable,
        n_real=n_real,
        n_synth=n_synth,
    )
    if breakdown:
        scores.details = pd.DataFrame({"covered": covered, "recalled": recalled})
    return scores


def alpha_precision_beta_recall(
    X_real: Any,
    X_synth: Any,
    *,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Bunch:
    r"""Alpha-precision, beta-recall and authenticity.

    At 30 levels :math:`\alpha`, the share of synthetic rows in the ball around the real mean that
    holds the share :math:`\alpha` of the real rows is compared with :math:`\alpha` (precision);
    the same is done for the real rows that have a synthetic neighbour at least as near as their
    nearest real one, in balls around the synthetic mean (recall). Authenticity is the share of
    synthetic rows whose nearest real row has a nearer real neighbour.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order; cut to the same number of rows.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Add ``details``, one row for every level.

    Returns
    -------
    scores : Bunch
        ``alpha_precision``, ``beta_recall``, ``authenticity``, ``n_rows``.

    Notes
    -----
    An independent real sample has alpha-precision near 1, but beta-recall near 0.5 and
    authenticity between 0.5 and 0.6. A beta-recall clearly above 0.5 or an authenticity clearly
    below 0.45 means that rows were copied or interpolated. Alpha-precision does not see whether
    columns belong together.

    References
    ----------
    .. [1] Alaa et al. (2022). "How Faithful is your Synthetic Data? Sample-level Metrics for
       Evaluating and Auditing Generative Models". ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import alpha_precision_beta_recall
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> scores = alpha_precision_beta_recall(X, X)
    >>> scores.authenticity, round(scores.alpha_precision, 2)
    (0.0, 1.0)
    """
    if space == "gower":
        raise ValueError("space='gower' has no centre; use space='standard' or 'identity'.")
    _, real, synth, _, _ = _embed(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        match_size=True,
        max_rows=max_rows,
        random_state=random_state,
    )
    if len(real) < 2:
        value = undefined("alpha_precision_beta_recall", "each table needs at least two rows")
        scores = Bunch(
            alpha_precision=value, beta_recall=value, authenticity=value, n_rows=len(real)
        )
        if breakdown:
            scores.details = pd.DataFrame({"level": [], "alpha": [], "beta": []})
        return scores
    levels = np.linspace(0.0, 1.0, _N_LEVELS)
    centre_real, centre_synth = real.mean(axis=0)[None, :], synth.mean(axis=0)[None, :]
    radii = np.quantile(euclidean_distances(real, centre_real)[:, 0], levels)
    alpha = (euclidean_distances(synth, centre_real) <= radii[None, :]).mean(axis=0)

    own = nearest_rows(real, real, exclude_self=True)[0][:, 0]
    to_synth, nearest_synth = (part[:, 0] for part in nearest_rows(real, synth))
    from_centre = euclidean_distances(synth[nearest_synth], centre_synth)[:, 0]
    radii_synth = np.quantile(from_centre, levels)
    close = to_synth <= own
    beta = (close[:, None] & (from_centre[:, None] <= radii_synth[None, :])).mean(axis=0)

    to_real, nearest_real = (part[:, 0] for part in nearest_rows(synth, real))
    authenticity = float((own[nearest_real] < to_real).mean())
    if all_tied(own, "authenticity"):
        authenticity = undefined("authenticity", "every real row equals another one")
    precision, recall = (
        float(1 - np.abs(levels - shares).sum() / levels.sum()) for shares in (alpha, beta)
    )
    if not np.ptp(real, axis=0).any():
        precision = recall = undefined("alpha_precision_beta_recall", "all real rows are equal")
    scores = Bunch(
        alpha_precision=precision,
        beta_recall=recall,
        authenticity=authenticity,
        n_rows=len(real),
    )
    if breakdown:
        scores.details = pd.DataFrame({"level": levels, "alpha": alpha, "beta": beta})
    return scores


def _energy_1d(real, synth, weight=None):
    """Energy distance of one column: twice the integral of the squared difference of the laws."""
    points = np.sort(np.concatenate([real, synth]))
    order = np.argsort(real)
    shares = np.arange(len(real) + 1) if weight is None else np.r_[0.0, np.cumsum(weight[order])]
    share_real = shares[np.searchsorted(real[order], points, side="right")] / shares[-1]
    share_synth = np.searchsorted(np.sort(synth), points, side="right") / len(synth)
    return float(2.0 * ((share_real - share_synth)[:-1] ** 2 @ np.diff(points)))


def _energy_discrete(real, synth, weight=None):
    """Energy distance of one column of indicators, by the shares of the categories."""
    corners = np.vstack([np.eye(real.shape[1]) * np.sqrt(0.5), np.zeros(real.shape[1])])
    shares = [
        np.r_[np.average(real, axis=0, weights=weight) / np.sqrt(0.5), 0.0],
        np.r_[synth.mean(axis=0) / np.sqrt(0.5), 0.0],
    ]
    for share in shares:
        # What is left are the categories that the real table lacks.
        share[-1] = max(0.0, 1.0 - share.sum())
    return max(
        0.0, _distances.energy_distance(corners, corners, weight_x=shares[0], weight_y=shares[1])
    )


def energy_distance(
    X_real: Any,
    X_synth: Any,
    *,
    space: str = "standard",
    discrete_columns: Any = "auto",
    sample_weight: Any = None,
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Energy distance between the rows of two tables (V-statistic).

    ``2 E|x - s| - E|x - x'| - E|s - s'|`` over pairs of rows; 0 for equal tables only.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    sample_weight : array-like of shape (n_real_samples,), default=None
        Weights of the real rows.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (the distance of each column of the space on its
        own), ``n_real`` and ``n_synth`` instead of a number.

    Returns
    -------
    distance : float or Bunch
        At least 0, the best.

    References
    ----------
    .. [1] Székely, G. J. and Rizzo, M. L. (2013). "Energy statistics: A class of statistics based
       on distances". Journal of Statistical Planning and Inference 143(8), 1249-1272.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import energy_distance
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> energy_distance(X, X), bool(energy_distance(X, X + 1.0) > 0.3)
    (0.0, True)
    """
    if space == "gower":
        raise ValueError("The energy distance is Euclidean; use space='standard' or 'identity'.")
    fitted, real, synth, table, weight = _embed(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        match_size=False,
        max_rows=max_rows,
        random_state=random_state,
        sample_weight=sample_weight,
    )
    score = max(0.0, _distances.energy_distance(real, synth, weight_x=weight))

    def details():
        n_continuous = fitted.n_continuous_
        scores = np.empty(len(table.names))
        scores[~table.discrete] = [
            _energy_1d(real[:, j], synth[:, j], weight) for j in range(n_continuous)
        ]
        stop, sizes = real.shape[1], [len(present) for present in fitted._present]
        for place, size in zip(np.flatnonzero(table.discrete)[::-1], sizes[::-1], strict=True):
            part = slice(stop - size, stop)
            scores[place] = _energy_discrete(real[:, part], synth[:, part], weight)
            stop -= size
        return pd.DataFrame({"column": table.names, "score": scores})

    return result(score, breakdown, details, n_real=len(real), n_synth=len(synth))
