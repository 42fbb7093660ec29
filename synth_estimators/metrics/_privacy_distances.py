"""Distances to the training rows, held against uniform rows, fresh rows and second neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from synth_estimators._random import local_rng
from synth_estimators.metrics._privacy_common import (
    cap,
    common_space,
    nearest,
    read_three,
    read_trained,
)
from synth_estimators.metrics._tables import cut_rows, result, undefined
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = [
    "dcr_baseline_protection",
    "dcr_quantile_ratio",
    "identifiability_score",
    "nndr",
]


def _uniform_rows(table, n_rows, rng):
    """Rows whose cells are uniform in the range, or over the categories, of every column."""
    values = np.full((n_rows, table.continuous.shape[1]), np.nan)
    for j, column in enumerate(table.continuous.T):
        observed = column[~np.isnan(column)]
        if observed.size == 0:
            continue
        low, high = observed.min(), observed.max()
        values[:, j] = rng.uniform(low, high, n_rows)
        if np.all(observed == np.rint(observed)):
            values[:, j] = low + np.floor(rng.random(n_rows) * (high - low + 1.0))
    codes = np.empty((n_rows, table.codes.shape[1]), dtype=np.intp)
    for k, column in enumerate(table.codes.T):
        codes[:, k] = rng.choice(np.unique(column), n_rows)
    return replace(table, continuous=values, codes=codes)


def _check_share(value, name):
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}={value!r} must be between 0 and 1.")


def dcr_baseline_protection(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    space: str = "gower",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """How far from the training rows the synthetic rows lie, relative to random rows.

    Median distance to the nearest training row over that of rows drawn uniformly from the range
    and the categories of every column, at most 1. Synthetic rows that copy get 0.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        The training rows if ``X_train`` is not given, else the holdout rows.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows; their own score is reported beside.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most synthetic rows that are judged; at most ten times as many training rows are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the uniform rows and the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``distance_train`` of every synthetic row),
        ``median_synth``, ``median_uniform`` and ``holdout_score`` (NaN without holdout rows)
        instead of a number.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1. Rows of the same law score far below 1 too, since real rows are no uniform
        noise: read it beside ``holdout_score``. NaN with a warning if uniform rows are copies.

    Notes
    -----
    Columns of whole numbers get whole uniform numbers. No such number is a guarantee; only
    differential privacy is.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import dcr_baseline_protection
    >>> train = np.random.default_rng(0).normal(size=(100, 3))
    >>> dcr_baseline_protection(train, train)
    0.0
    """
    train, holdout, synth = read_trained(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="dcr_baseline_protection",
    )
    rng = local_rng(random_state)
    train = cap(train, max_rows, rng, searched=True)
    synth = cap(synth, max_rows, rng, searched=False)
    fitted = common_space(train, space)
    uniform = _uniform_rows(train, len(synth), rng)
    distances = {
        name: nearest(table, train, space, fitted)[0][:, 0]
        for name, table in (("synth", synth), ("uniform", uniform))
    }
    medians = {name: float(np.median(values)) for name, values in distances.items()}
    holdout_score = float("nan")
    if medians["uniform"] > 0:
        score = min(1.0, medians["synth"] / medians["uniform"])
        if breakdown and holdout is not None:
            fresh = cap(holdout, max_rows, rng, searched=False)
            fresh_median = np.median(nearest(fresh, train, space, fitted)[0])
            holdout_score = min(1.0, float(fresh_median) / medians["uniform"])
    else:
        score = undefined(
            "dcr_baseline_protection", "most uniform random rows are copies of training rows"
        )
    return result(
        score,
        breakdown,
        {"distance_train": distances["synth"]},
        median_synth=medians["synth"],
        median_uniform=medians["uniform"],
        holdout_score=holdout_score,
    )


def dcr_quantile_ratio(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    q: float = 0.05,
    space: str = "gower",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Quantile of the distances to the training rows, synthetic rows over fresh rows.

    Below 1 the closest synthetic rows are closer to training rows than the closest fresh ones.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law; any number, since both are searched among the training rows.

    q : float, default=0.05
        The quantile, between 0 and 1.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most synthetic and holdout rows that are judged; at most ten times as many training rows
        are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``synthetic`` and ``distance_train`` of every
        synthetic and holdout row), ``quantile_synth`` and ``quantile_holdout`` instead of a
        number.

    Returns
    -------
    ratio : float or Bunch
        At least 0; 1 is ideal. NaN with a warning if the quantile of the fresh rows is 0, as in
        tables with many duplicates.

    Notes
    -----
    No such number is a guarantee; only differential privacy is.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import dcr_quantile_ratio
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> dcr_quantile_ratio(X_train=train, X_holdout=holdout, X_synth=train)
    0.0
    """
    _check_share(q, "q")
    train, holdout, synth = read_three(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="dcr_quantile_ratio",
    )
    rng = local_rng(random_state)
    train = cap(train, max_rows, rng, searched=True)
    synth, holdout = (cap(table, max_rows, rng, searched=False) for table in (synth, holdout))
    fitted = common_space(train, space)
    distances = [nearest(table, train, space, fitted)[0][:, 0] for table in (synth, holdout)]
    low_synth, low_holdout = (float(np.quantile(values, q)) for values in distances)
    if low_holdout > 0:
        ratio = low_synth / low_holdout
    else:
        ratio = undefined(
            "dcr_quantile_ratio", f"at least {q:.0%} of the holdout rows equal a training row"
        )
    return result(
        ratio,
        breakdown,
        lambda: {
            "synthetic": np.repeat([True, False], [len(synth), len(holdout)]),
            "distance_train": np.concatenate(distances),
        },
        quantile_synth=low_synth,
        quantile_holdout=low_holdout,
    )


def nndr(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    q: float = 0.5,
    space: str = "gower",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Distance to the nearest over that to the second nearest training row (a quantile of it).

    A synthetic row that was made from one training row is much closer to it than to any other, so
    its ratio is small. Compare with the value of fresh rows.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        The training rows if ``X_train`` is not given, else the holdout rows.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to; at least two.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law; their value is reported beside.

    q : float, default=0.5
        Quantile over the rows: 0.5 is the median, 0.05 looks at the most exposed rows.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most synthetic and holdout rows that are judged; at most ten times as many training rows
        are searched.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``synthetic``, ``distance_1``, ``distance_2``
        and ``ratio`` of every synthetic and holdout row) and ``holdout_score`` (NaN without
        holdout rows) instead of a number.

    Returns
    -------
    ratio : float or Bunch
        Between 0 and 1; the value of fresh rows, not 1, is what can be reached. Two distances of
        0 give 1. NaN with a warning if there is one training row only.

    Notes
    -----
    No such number is a guarantee; only differential privacy is.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import nndr
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> nndr(train, train)
    0.0
    >>> bool(nndr(train, holdout) > 0.5)
    True
    """
    _check_share(q, "q")
    train, holdout, synth = read_trained(
        X_real, X_synth, X_train, X_holdout, discrete_columns=discrete_columns, metric="nndr"
    )
    rng = local_rng(random_state)
    train = cap(train, max_rows, rng, searched=True)
    if len(train) < 2:
        score = undefined("nndr", "there is one training row only")
        return result(score, breakdown, {"ratio": []}, holdout_score=float("nan"))
    fitted = common_space(train, space)
    blocks = []
    for table, synthetic in ((synth, True), (holdout, False)):
        if table is None or not (synthetic or breakdown):
            continue
        rows = cap(table, max_rows, rng, searched=False)
        near = nearest(rows, train, space, fitted, k=2)[0]
        ratio = np.divide(near[:, 0], near[:, 1], out=np.ones(len(near)), where=near[:, 1] > 0)
        blocks.append((np.full(len(near), synthetic), near[:, 0], near[:, 1], ratio))
    values = [float(np.quantile(block[-1], q)) for block in blocks]
    names = ("synthetic", "distance_1", "distance_2", "ratio")
    return result(
        values[0],
        breakdown,
        lambda: dict(zip(names, map(np.concatenate, zip(*blocks, strict=True)), strict=True)),
        holdout_score=values[1] if len(values) > 1 else float("nan"),
    )


def _to_others(train, size, space, fitted, rng):
    """Distance from every row to the nearest of ``size`` other rows of the same table."""
    chosen = cut_rows(len(train), size + 1, rng)
    distances = np.empty(len(train))
    distances[chosen] = nearest(
        train.take(chosen), train.take(chosen), space, fitted, exclude_self=True
    )[0][:, 0]
    rest = np.setdiff1d(np.arange(len(train)), chosen)
    if rest.size:
        found = nearest(train.take(rest), train.take(chosen[:size]), space, fitted)
        distances[rest] = found[0][:, 0]
    return distances


def identifiability_score(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    space: str = "gower",
    ties: str = "half",
    match_size: bool = True,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the training rows that have a synthetic row closer than any other training row.

    Rows drawn afresh from the same law give 0.5, copies of the training rows 1.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        The training rows if ``X_train`` is not given; not used else.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to; at least two.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``. Scales are those of the training
        rows.

    ties : {"half", "strict"}, default="half"
        Rows at equal distance count one half, or not at all.

    match_size : bool, default=True
        Search as many synthetic as training rows; the larger table is nearer by chance alone.
        Every training row is judged all the same.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most training and synthetic rows.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``distance_synth`` and ``distance_train`` of
        every training row), ``n_train`` and ``n_synth`` (rows searched) instead of a number.

    Returns
    -------
    share : float or Bunch
        Between 0 and 1; 0.5 is ideal.

    Notes
    -----
    ``ties="strict", match_size=False`` is the published definition. No such number is a
    guarantee; only differential privacy is.

    References
    ----------
    .. [1] Yoon, J., Drumright, L. N. and van der Schaar, M. (2020). "Anonymization Through Data
       Synthesis Using Generative Adversarial Networks (ADS-GAN)". IEEE JBHI 24(8).

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import identifiability_score
    >>> train = np.random.default_rng(0).normal(size=(100, 3))
    >>> identifiability_score(train, train)
    1.0
    """
    if ties not in ("half", "strict"):
        raise ValueError(f"ties={ties!r} is unknown; use 'half' or 'strict'.")
    train, _, synth = read_trained(
        X_real if X_train is None else None,
        X_synth,
        X_train,
        None,
        discrete_columns=discrete_columns,
        metric="identifiability_score",
    )
    rng = local_rng(random_state)
    train, synth = (cap(table, max_rows, rng, searched=False) for table in (train, synth))
    if len(train) < 2:
        score = undefined("identifiability_score", "there is one training row only")
        return result(score, breakdown, {"distance_synth": [], "distance_train": []})
    size = min(len(train), len(synth)) if match_size else len(train)
    if match_size:
        synth = synth.take(cut_rows(len(synth), size, rng))
    fitted = MixedSpace(space=space)._fit_table(train)
    to_synth = nearest(train, synth, space, fitted)[0][:, 0]
    to_train = _to_others(train, min(size, len(train) - 1), space, fitted, rng)
    share = (to_synth < to_train).mean()
    if ties == "half":
        share += 0.5 * (to_synth == to_train).mean()
    return result(
        share,
        breakdown,
        lambda: {"distance_synth": to_synth, "distance_train": to_train},
        n_train=len(train),
        n_synth=len(synth),
    )
