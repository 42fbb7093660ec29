"""Nearest-neighbour adversarial accuracy, and what of it is due to the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._distances import nearest_rows
from synth_estimators.metrics._manifold import _embed
from synth_estimators.metrics._privacy_common import read_three
from synth_estimators.metrics._tables import all_tied, equal_sizes, result, to_space, undefined

__all__ = ["nn_adversarial_accuracy", "privacy_loss"]


def _own_and_other(real, synth, distances):
    """Distances of all rows to the nearest other row of their own and to the other table."""
    own = [
        nearest_rows(rows, rows, exclude_self=True, distances=distances)[0][:, 0]
        for rows in (real, synth)
    ]
    other = [
        nearest_rows(rows, others, distances=distances)[0][:, 0]
        for rows, others in ((real, synth), (synth, real))
    ]
    return own, other


def _accuracy(own, other):
    shares = [float((far > near).mean()) for near, far in zip(own, other, strict=True)]
    return 0.5 * sum(shares), shares


def nn_adversarial_accuracy(
    X_real: Any,
    X_synth: Any,
    *,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""Accuracy of a nearest-neighbour adversary who tells real from synthetic rows.

    .. math:: \tfrac12 \left( P[d(x, S) > d(x, R \setminus x)]
              + P[d(s, R) > d(s, S \setminus s)] \right)

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order; cut to the same number of rows.

    space : {"standard", "gower", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (both distances of every row), ``share_real``
        and ``share_synth`` (the two parts of the mean) and ``n_rows`` instead of a number.

    Returns
    -------
    accuracy : float or Bunch
        Between 0 and 1. 0.5 for fresh real rows, 1 for rows unlike the real ones, near 0 for
        copies of them.

    See Also
    --------
    privacy_loss : The value against holdout rows minus that against training rows.

    References
    ----------
    .. [1] Yale et al. (2020). "Generation and evaluation of privacy preserving synthetic health
       data". Neurocomputing 416, 244-255.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import nn_adversarial_accuracy
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> nn_adversarial_accuracy(X, X), nn_adversarial_accuracy(X, X + 100.0)
    (0.0, 1.0)
    """
    fitted, real, synth, _, _ = _embed(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        match_size=True,
        max_rows=max_rows,
        random_state=random_state,
    )
    if len(real) < 2:
        score = undefined("nn_adversarial_accuracy", "each table needs at least two rows")
        return result(score, breakdown, {"table": []}, n_rows=len(real))
    own, other = _own_and_other(real, synth, fitted._between)
    score, shares = _accuracy(own, other)
    if all_tied(own[0], "nn_adversarial_accuracy"):
        score = undefined("nn_adversarial_accuracy", "every real row equals another one")

    def details():
        return pd.DataFrame(
            {
                "table": np.repeat(["real", "synthetic"], len(real)),
                "distance_own": np.concatenate(own),
                "distance_other": np.concatenate(other),
            }
        )

    return result(
        score, breakdown, details, share_real=shares[0], share_synth=shares[1], n_rows=len(real)
    )


def privacy_loss(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Adversarial accuracy against holdout rows minus that against training rows.

    Parameters
    ----------
    X_real : {array-like, pandas DataFrame}, default=None
        Stands in for the one of ``X_train`` and ``X_holdout`` that is not given.

    X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Synthetic rows.

    X_train : {array-like, pandas DataFrame}, default=None
        Rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame}, default=None
        Fresh rows of the same law.

    space : {"standard", "gower", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``; fitted to the training rows.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used; all three are cut to the same number.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (the accuracy against both tables) and
        ``n_rows`` instead of a number.

    Returns
    -------
    loss : float or Bunch
        Between -1 and 1. 0 is ideal; 0.5 for copies of the training rows.

    Notes
    -----
    No such number is a guarantee; only differential privacy is.

    References
    ----------
    .. [1] Yale et al. (2020). "Generation and evaluation of privacy preserving synthetic health
       data". Neurocomputing 416, 244-255.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import privacy_loss
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 200, 3))
    >>> bool(privacy_loss(X_train=train, X_holdout=holdout, X_synth=train) > 0.3)
    True
    """
    tables = read_three(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=discrete_columns,
        metric="privacy_loss",
    )
    cut = equal_sizes(*tables, max_rows=max_rows, random_state=random_state)
    n_rows = len(cut[0])
    if n_rows < 2:
        score = undefined("privacy_loss", "each table needs at least two rows")
        return result(score, breakdown, {"table": [], "accuracy": []}, n_rows=n_rows)
    fitted, (train, holdout, synth) = to_space(tables[0], *cut, space=space)
    distances = [_own_and_other(rows, synth, fitted._between) for rows in (holdout, train)]
    accuracies = [_accuracy(*pair)[0] for pair in distances]
    score = accuracies[0] - accuracies[1]
    if all_tied(np.concatenate([own[0] for own, _ in distances]), "privacy_loss"):
        score = undefined("privacy_loss", "every real row equals another one")
    return result(
        score,
        breakdown,
        {"table": ["holdout", "train"], "accuracy": accuracies},
        n_rows=n_rows,
    )
