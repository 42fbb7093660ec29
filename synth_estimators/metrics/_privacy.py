"""Do synthetic rows sit closer to the training rows than fresh rows do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from synth_estimators._random import local_rng
from synth_estimators.metrics._privacy_common import cap, nearest, read_three, shared_space
from synth_estimators.metrics._tables import cut_rows, result

__all__ = ["dcr_overfitting_protection", "dcr_share"]


def _share(to_train, to_holdout, ties):
    share = (to_train < to_holdout).mean()
    return share + 0.5 * (to_train == to_holdout).mean() if ties == "half" else share


def dcr_share(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    space: str = "gower",
    ranges: str = "common",
    ties: str = "half",
    match_size: bool = True,
    n_draws: int = 5,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the synthetic rows that are closer to the training than to the holdout rows.

    0.5 is ideal; a generator that copies its training rows gets 1. The larger of the two real
    tables is nearer by chance alone, so both are cut to equal size.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law, best as many as there are training rows.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``.

    ranges : {"common", "searched"}, default="common"
        Ranges of the columns in Gower space: those of training and holdout rows together, or those
        of the table that is searched (see Notes).

    ties : {"half", "strict"}, default="half"
        Rows at equal distance count one half, or not at all.

    match_size : bool, default=True
        Cut the larger of the training and holdout tables; the synthetic table is left whole.

    n_draws : int, default=5
        Subsamples that are averaged where a table is cut.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most synthetic rows that are judged; at most ten times as many training and holdout rows
        are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (distances of every synthetic row),
        ``dcr_share_full`` (all rows), ``full_chance_level`` (its value for a private table),
        ``draws``, ``n_train``, ``n_holdout`` and ``n_synth`` instead of a number.

    Returns
    -------
    share : float or Bunch
        Between 0 and 1; 0.5 is ideal.

    Notes
    -----
    The distances to the two tables are compared with each other, so they need one scale: with the
    ranges of each table for itself ("searched", as a peer has it) a single extreme value in one
    table makes that table look nearer to everything.

    If there are many more training than holdout rows, the row that was copied is often not in the
    subsample; then look at ``dcr_share_full`` beside its chance level too. No such number is a
    guarantee; only differential privacy is.

    References
    ----------
    .. [1] Platzer, M. and Reutterer, T. (2021). "Holdout-Based Empirical Assessment of Mixed-Type
       Synthetic Data". Frontiers in Big Data 4.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import dcr_share
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> dcr_share(X_train=train, X_holdout=holdout, X_synth=train)
    1.0
    """
    if ties not in ("half", "strict"):
        raise ValueError(f"ties={ties!r} is unknown; use 'half' or 'strict'.")
    if ranges not in ("common", "searched"):
        raise ValueError(f"ranges={ranges!r} is unknown; use 'common' or 'searched'.")
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws!r} must be at least 1.")
    train, holdout, synth = read_three(
        X_real, X_synth, X_train, X_holdout, discrete_columns=discrete_columns, metric="dcr_share"
    )
    rng = local_rng(random_state)
    per_table = ranges == "searched" and space == "gower"
    fitted = None if per_table else shared_space(train, holdout, space)
    synth = cap(synth, max_rows, rng, searched=False)
    train, holdout = (cap(table, max_rows, rng, searched=True) for table in (train, holdout))

    size = min(len(train), len(holdout))
    cut = match_size and len(train) != len(holdout)
    full = {}
    if breakdown or not cut or len(train) == size:
        full["train"] = nearest(synth, train, space, fitted)[0][:, 0]
    if breakdown or not cut or len(holdout) == size:
        full["holdout"] = nearest(synth, holdout, space, fitted)[0][:, 0]
    draws = []
    for _ in range(n_draws if cut else 1):
        distances = dict(full)
        for name, table in (("train", train), ("holdout", holdout)):
            if cut and len(table) > size:
                part = table.take(cut_rows(len(table), size, rng))
                distances[name] = nearest(synth, part, space, fitted)[0][:, 0]
        draws.append(_share(distances["train"], distances["holdout"], ties))
    if not breakdown:
        return float(np.mean(draws))
    details = pd.DataFrame({"distance_train": full["train"], "distance_holdout": full["holdout"]})
    return result(
        np.mean(draws),
        True,
        details,
        dcr_share_full=float(_share(full["train"], full["holdout"], ties)),
        full_chance_level=len(train) / (len(train) + len(holdout)),
        draws=np.array(draws),
        n_train=len(train),
        n_holdout=len(holdout),
        n_synth=len(synth),
    )


def dcr_overfitting_protection(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    space: str = "gower",
    ranges: str = "common",
    ties: str = "half",
    match_size: bool = True,
    n_draws: int = 5,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """How far the synthetic rows are from preferring training rows: ``min(1, 2 (1 - dcr_share))``.

    1 is ideal and means that synthetic rows are no closer to the training than to the holdout
    rows; a generator that copies its training rows gets 0.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law, best as many as there are training rows.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``.

    ranges : {"common", "searched"}, default="common"
        Ranges of the columns in Gower space, as in ``dcr_share``.

    ties : {"half", "strict"}, default="half"
        Rows at equal distance count one half, or not at all.

    match_size : bool, default=True
        Cut the larger of the training and holdout tables.

    n_draws : int, default=5
        Subsamples that are averaged where a table is cut.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most synthetic rows that are judged; at most ten times as many training and holdout rows
        are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch, as ``dcr_share`` does, with that share as ``dcr_share``.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    See Also
    --------
    dcr_share : The share itself.

    Notes
    -----
    ``ties="strict", match_size=False, ranges="searched"`` is the definition of the peer that
    named this score. The
    score forgives synthetic rows that are closer to the holdout rows. No such number is a
    guarantee; only differential privacy is.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import dcr_overfitting_protection
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> dcr_overfitting_protection(X_train=train, X_holdout=holdout, X_synth=train)
    0.0
    """
    share = dcr_share(
        X_real,
        X_synth,
        X_train=X_train,
        X_holdout=X_holdout,
        space=space,
        ranges=ranges,
        ties=ties,
        match_size=match_size,
        n_draws=n_draws,
        discrete_columns=discrete_columns,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    if not breakdown:
        return min(1.0, 2.0 * (1.0 - share))
    return Bunch(**{**share, "score": min(1.0, 2.0 * (1.0 - share.score))}, dcr_share=share.score)
