"""Can it be told from the synthetic rows who was in the training table."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.utils import Bunch

from synth_estimators._distances import row_blocks
from synth_estimators._random import draw_seed, local_rng
from synth_estimators.metrics._privacy_common import cap, common_space, nearest, read_three
from synth_estimators.metrics._tables import cut_rows, rank_auc, result, undefined
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = ["membership_auc", "membership_tpr_at_fpr"]

_METHODS = ("distance", "density")
_COMPONENTS = 10

# Overfitting is local: narrower kernels than Scott's rule find copies that it smooths away.
_NARROW = 0.3

# Share of the mean variance that is added to every direction before whitening.
_RIDGE = 1e-6


def _log_density(rows, sample):
    """Logarithm, up to a constant, of a Gaussian kernel density."""
    n_rows, width = sample.shape
    centred = sample - sample.mean(axis=0)
    covariance = centred.T @ centred / max(1, n_rows - 1)
    ridge = _RIDGE * np.trace(covariance) / width
    covariance[np.diag_indices(width)] += ridge if ridge > 0 else 1.0
    bandwidth = _NARROW * n_rows ** (-1.0 / (width + 4))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T / bandwidth
    rows, sample = rows @ whiten, sample @ whiten
    density = np.empty(len(rows))
    for part in row_blocks(len(rows), n_rows):
        exponents = cdist(rows[part], sample, "sqeuclidean")
        exponents *= -0.5
        largest = exponents.max(axis=1)
        exponents -= largest[:, None]
        density[part] = largest + np.log(np.exp(exponents, out=exponents).sum(axis=1))
    return density


def _by_distance(train, holdout, synth, *, space, rng, n_draws):
    """Minus the distance to the nearest synthetic row: the same for all draws."""
    fitted = common_space(train, space)
    if fitted is None:
        fitted = MixedSpace(space=space)._fit_table(synth)
    member, other = (-nearest(table, synth, space, fitted)[0][:, 0] for table in (train, holdout))
    tested = np.arange(len(other))
    return member, other, [(member, other, tested)] * (1 if len(member) == len(other) else n_draws)


def _by_density(train, holdout, synth, *, space, rng, n_draws):
    """Log density of the synthetic rows over that of a holdout half, judged on the other half."""
    fitted = MixedSpace(space="standard" if space == "gower" else space)._fit_table(synth)
    train, holdout, synth = (fitted._transform_table(table) for table in (train, holdout, synth))
    limit = min(_COMPONENTS, synth.shape[1], len(synth) - 1)
    with np.errstate(invalid="ignore"):
        # Synthetic rows that are all the same have no variance to explain.
        pca = PCA(n_components=limit, random_state=draw_seed(rng)).fit(synth)
    train, holdout, synth = (pca.transform(rows) for rows in (train, holdout, synth))
    member, other = _log_density(train, synth), _log_density(holdout, synth)
    draws, mean_member, mean_other = [], np.zeros(len(train)), np.zeros(len(holdout))
    for _ in range(n_draws):
        order = rng.permutation(len(holdout))
        half = len(order) // 2
        reference, tested = holdout[order[:half]], order[half:]
        scores = (
            member - _log_density(train, reference),
            other[tested] - _log_density(holdout[tested], reference),
            tested,
        )
        draws.append(scores)
        mean_member += scores[0] / n_draws
        mean_other[tested] += scores[1]
    times = np.bincount(np.concatenate([tested for *_, tested in draws]), minlength=len(holdout))
    mean_other = np.where(times > 0, mean_other / np.maximum(times, 1), np.nan)
    return mean_member, mean_other, draws


def _attack(X_real, X_synth, X_train, X_holdout, judge, *, metric, method, n_draws, **options):
    """Scores of members and others, and what ``judge`` says of every draw."""
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is unknown; use one of {list(_METHODS)}.")
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws!r} must be at least 1.")
    train, holdout, synth = read_three(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        discrete_columns=options["discrete_columns"],
        metric=metric,
    )
    rng, max_rows = local_rng(options["random_state"]), options["max_rows"]
    train, holdout = (cap(table, max_rows, rng, searched=False) for table in (train, holdout))
    synth = cap(synth, max_rows, rng, searched=method == "distance")
    sizes = {"n_train": len(train), "n_holdout": len(holdout), "n_synth": len(synth)}
    if method == "density" and (len(holdout) < 4 or len(synth) < 2):
        score = undefined(metric, "densities need four holdout and two synthetic rows")
        return Bunch(draws=np.array([score]), member=[], other=[], sizes=sizes)
    attack = _by_density if method == "density" else _by_distance
    member, other, scores = attack(
        train, holdout, synth, space=options["space"], rng=rng, n_draws=n_draws
    )
    draws = []
    for inside, outside, _ in scores:
        size = min(len(inside), len(outside))
        parts = [values[cut_rows(len(values), size, rng)] for values in (inside, outside)]
        draws.append(judge(np.concatenate(parts), np.repeat([True, False], size)))
    return Bunch(draws=np.array(draws), member=member, other=other, sizes=sizes)


def _details(attack, method):
    member = np.repeat([True, False], [len(attack.member), len(attack.other)])
    scores = np.concatenate([attack.member, attack.other])
    return {
        "member": member,
        **({"distance": -scores} if method == "distance" else {}),
        "score": scores,
    }


def membership_auc(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    method: str = "distance",
    space: str = "gower",
    n_draws: int = 5,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    r"""How well the synthetic rows betray who was in the training table.

    ROC AUC of a score of the real rows, training rows (members) against holdout rows
    (non-members). The score is minus the distance to the nearest synthetic row, or
    :math:`\log p_S(z) - \log p_{H'}(z)`.

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

    method : {"distance", "density"}, default="distance"
        "density" compares Gaussian kernel densities of the synthetic rows and of one half of the
        holdout rows, on 10 principal components of the synthetic rows; the other half are the
        non-members. The bandwidth is three tenths of Scott's rule.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``. In Gower space the ranges are those
        of the synthetic table. Densities are taken in "standard" space instead of "gower".

    n_draws : int, default=5
        Subsamples of equal size that are averaged where one of the tables is larger; splits of
        the holdout rows with ``method="density"``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most training and holdout rows that are judged; at most ten times as many synthetic rows
        are searched (as many with ``method="density"``).

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch with ``score``, ``details`` (``member``, ``score`` and, if that is the
        method, ``distance`` of every real row), ``draws`` and row counts instead of a number.

    Returns
    -------
    auc : float or Bunch
        Between 0 and 1; 0.5 is ideal, 1 means that all members are recognised.

    See Also
    --------
    membership_tpr_at_fpr : Share of the members recognised with few false accusations.

    Notes
    -----
    With few rows and many columns any fitted model is nearer to its training rows, so compare with
    a plain baseline such as ``GaussianCopula``. No such number is a guarantee; only differential
    privacy is.

    References
    ----------
    .. [1] van Breugel, B., Sun, H., Qian, Z. and van der Schaar, M. (2023). "Membership Inference
       Attacks against Synthetic Data through Overfitting Detection". AISTATS.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import membership_auc
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> membership_auc(X_train=train, X_holdout=holdout, X_synth=train)
    1.0
    """
    attack = _attack(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        rank_auc,
        metric="membership_auc",
        method=method,
        n_draws=n_draws,
        space=space,
        discrete_columns=discrete_columns,
        max_rows=max_rows,
        random_state=random_state,
    )
    return result(
        attack.draws.mean(),
        breakdown,
        lambda: _details(attack, method),
        draws=attack.draws,
        **attack.sizes,
    )


def _true_positive_rate(scores, positive, fpr):
    """Largest true positive rate at the false positive rate; ties are broken by chance."""
    order = np.argsort(-scores, kind="stable")
    hits = positive[order]
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true_rate = np.r_[0.0, np.cumsum(hits)[last] / hits.sum()]
    false_rate = np.r_[0.0, np.cumsum(~hits)[last] / (~hits).sum()]
    place = int(np.searchsorted(false_rate, fpr, side="right")) - 1
    if place == len(false_rate) - 1:
        return float(true_rate[place])
    step = (fpr - false_rate[place]) / (false_rate[place + 1] - false_rate[place])
    return float(true_rate[place] + step * (true_rate[place + 1] - true_rate[place]))


def membership_tpr_at_fpr(
    X_real: Any = None,
    X_synth: Any = None,
    *,
    X_train: Any = None,
    X_holdout: Any = None,
    fpr: float = 0.1,
    method: str = "distance",
    space: str = "gower",
    n_draws: int = 5,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the training rows that are recognised when few others are taken for members.

    The attack is that of ``membership_auc``; it accuses so many rows that a share ``fpr`` of the
    holdout rows is accused wrongly. This sees the few rows that are fully exposed, which an area
    under the curve averages away.

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

    fpr : float, default=0.1
        False positive rate, between 0 and 1; 0.01 needs thousands of holdout rows.

    method : {"distance", "density"}, default="distance"
        As in ``membership_auc``.

    space : {"gower", "standard", "identity"}, default="gower"
        Space the distances are taken in, see ``MixedSpace``.

    n_draws : int, default=5
        Subsamples of equal size that are averaged where one of the tables is larger.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most training and holdout rows that are judged.

    random_state : int, RandomState instance or None, default=None
        Draws the subsamples.

    breakdown : bool, default=False
        Return a Bunch, as ``membership_auc`` does, instead of a number.

    Returns
    -------
    rate : float or Bunch
        Between 0 and 1; ``fpr`` is ideal, 1 means that all members are recognised.

    Notes
    -----
    Between two thresholds, and among rows at equal distance, the curve is joined by a straight
    line, so that an attack that knows nothing scores ``fpr`` on average.

    References
    ----------
    .. [1] Carlini, N. et al. (2022). "Membership Inference Attacks From First Principles". IEEE
       Symposium on Security and Privacy.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import membership_tpr_at_fpr
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> membership_tpr_at_fpr(X_train=train, X_holdout=holdout, X_synth=train[:50], fpr=0.0)
    0.5
    """
    if not 0.0 <= fpr <= 1.0:
        raise ValueError(f"fpr={fpr!r} must be between 0 and 1.")
    attack = _attack(
        X_real,
        X_synth,
        X_train,
        X_holdout,
        lambda scores, positive: _true_positive_rate(scores, positive, fpr),
        metric="membership_tpr_at_fpr",
        method=method,
        n_draws=n_draws,
        space=space,
        discrete_columns=discrete_columns,
        max_rows=max_rows,
        random_state=random_state,
    )
    return result(
        attack.draws.mean(),
        breakdown,
        lambda: _details(attack, method),
        draws=attack.draws,
        **attack.sizes,
    )
