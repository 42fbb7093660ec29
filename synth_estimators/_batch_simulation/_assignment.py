"""Which row belongs to which batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth_estimators._batch_simulation._checks import (
    check_choice,
    check_class_labels,
    check_count,
    check_generator,
    check_share,
    normalized_proportions,
)

__all__ = [
    "ASSIGNMENTS",
    "class_probabilities",
    "confounded_batch_assignment",
    "generate_batch_assignments",
    "random_batch_assignment",
]

ASSIGNMENTS = ("redistribute", "mixture")


def random_batch_assignment(
    n_samples: int,
    n_batches: int,
    rng: np.random.Generator,
    proportions: Any = None,
) -> np.ndarray:
    """Draw batch labels that do not depend on the classes.

    The sizes of the batches are fixed by ``n_samples`` and ``proportions``; only the order of the
    labels is random.

    Parameters
    ----------
    n_samples : int
        Number of rows, at least 1.

    n_batches : int
        Number of batches, at least 1.

    rng : numpy.random.Generator
        Moves on by one ``shuffle`` of ``n_samples`` labels.

    proportions : array-like of shape (n_batches,), default=None
        Relative sizes of the batches, up to a factor; None makes them equal.

    Returns
    -------
    batch : ndarray of int64 of shape (n_samples,)
        Labels from 0 to ``n_batches - 1``. Batches are empty where there are fewer rows than
        batches.

    Raises
    ------
    ValueError
        For numbers below 1 and for proportions that do not fit the batches.

    TypeError
        For numbers that are not whole and for an ``rng`` that is no ``Generator``.

    See Also
    --------
    confounded_batch_assignment : Labels that follow the classes.
    generate_batch_assignments : Chooses between the two.

    Notes
    -----
    Without proportions the first ``n_samples % n_batches`` batches hold one row more than the
    others. With proportions the expected sizes are rounded half to even and the difference to
    ``n_samples`` goes to the largest batches, one row each.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import random_batch_assignment
    >>> np.bincount(random_batch_assignment(100, 3, np.random.default_rng(42)))
    array([34, 33, 33])
    >>> rng = np.random.default_rng(42)
    >>> np.bincount(random_batch_assignment(100, 3, rng, proportions=[0.5, 0.3, 0.2]))
    array([50, 30, 20])
    """
    n_samples = check_count(n_samples, name="n_samples", minimum=1)
    n_batches = check_count(n_batches, name="n_batches", minimum=1)
    weights = normalized_proportions(proportions, n_batches)
    return _shuffled_labels(n_samples, n_batches, weights, check_generator(rng))


def _shuffled_labels(n_samples, n_batches, weights, rng):
    counts = _batch_sizes(n_samples, n_batches, weights)
    if counts.sum() == n_samples and counts.min() >= 0:
        labels = np.repeat(np.arange(n_batches, dtype=np.int64), counts)
    else:
        labels = rng.choice(n_batches, size=n_samples, p=weights).astype(np.int64, copy=False)
    rng.shuffle(labels)
    return labels


def _batch_sizes(n_samples, n_batches, weights):
    if weights is None:
        quotient, rest = divmod(n_samples, n_batches)
        return quotient + (np.arange(n_batches) < rest).astype(np.int64)
    counts = np.rint(weights * n_samples).astype(np.int64)
    difference = n_samples - int(counts.sum())
    if difference:
        largest = np.argsort(-weights, kind="stable")[: abs(difference)]
        counts[largest] += np.sign(difference)
    return counts


def confounded_batch_assignment(
    class_labels: Any,
    n_batches: int,
    confounding_with_class: float,
    rng: np.random.Generator,
    proportions: Any = None,
    *,
    method: str = "redistribute",
) -> np.ndarray:
    r"""Draw batch labels that follow the classes.

    Class number :math:`k` of the sorted classes prefers batch :math:`m = k \bmod B`. With
    confounding :math:`c` and batch sizes :math:`w` its rows are drawn from

    .. math:: q = (1 - c)\, w + c\, e_m \qquad \text{(mixture)},

    or, with ``method="redistribute"``, from the probabilities that give batch :math:`m` the mass
    :math:`w_m + c (1 - w_m)` and take it in equal parts from the other batches, clipped at 0 and
    divided by their sum.

    Parameters
    ----------
    class_labels : array-like of shape (n_samples,)
        Class of every row: numbers or text.

    n_batches : int
        Number of batches, at least 2.

    confounding_with_class : float
        Strength of the dependence, from 0 (none) to 1.

    rng : numpy.random.Generator
        Moves on by one ``choice`` a class, in the order of the sorted classes.

    proportions : array-like of shape (n_batches,), default=None
        Relative sizes of the batches, up to a factor; None makes them equal.

    method : {"redistribute", "mixture"}, default="redistribute"
        How the probabilities depend on the confounding. The two agree for equal proportions and
        for two batches. Otherwise the clipping of "redistribute" keeps some rows out of their
        preferred batch even at 1, while "mixture" is exact at both ends.

    Returns
    -------
    batch : ndarray of int64 of shape (n_samples,)
        Labels from 0 to ``n_batches - 1``.

    Raises
    ------
    ValueError
        For fewer than 2 batches, confounding outside of 0 to 1, class labels that are empty,
        missing or not one-dimensional, proportions that do not fit, and an unknown method.

    TypeError
        For a number of batches that is not whole and for an ``rng`` that is no ``Generator``.

    See Also
    --------
    generate_batch_assignments : The same with labels that do not depend on the classes.

    Notes
    -----
    With more classes than batches several classes prefer the same batch; with fewer classes than
    batches and a confounding of 1 the batches that no class prefers stay empty.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import confounded_batch_assignment
    >>> y = np.repeat(["case", "control"], 50)
    >>> batch = confounded_batch_assignment(y, 2, 0.8, np.random.default_rng(42))
    >>> np.bincount(batch[y == "case"]), np.bincount(batch[y == "control"])
    (array([46,  4]), array([ 6, 44]))
    """
    labels = check_class_labels(class_labels)
    n_batches = check_count(n_batches, name="n_batches", minimum=2)
    confounding = check_share(confounding_with_class, name="confounding_with_class")
    weights = normalized_proportions(proportions, n_batches)
    check_choice(method, ASSIGNMENTS, name="method")
    check_generator(rng)
    if weights is None:
        weights = np.full(n_batches, 1.0 / n_batches)
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as exc:
        raise ValueError(
            "class_labels mixes types that cannot be sorted; pass all numbers or all text."
        ) from exc
    batch = np.empty(len(labels), dtype=np.int64)
    for class_idx in range(len(classes)):
        rows = np.flatnonzero(codes == class_idx)
        shares = class_probabilities(weights, confounding, class_idx % n_batches, method=method)
        batch[rows] = rng.choice(n_batches, size=len(rows), p=shares)
    return batch


def class_probabilities(
    weights: Any, confounding: float, preferred: int, *, method: str = "redistribute"
) -> np.ndarray:
    """Probabilities of the batches for the rows of a class that prefers one of them."""
    weights = np.asarray(weights, dtype=np.float64)
    weights = weights / weights.sum()
    if method == "mixture":
        shares = (1.0 - confounding) * weights
        shares[preferred] += confounding
        return shares / shares.sum()
    boost = confounding * (1.0 - weights[preferred])
    if boost <= 0:
        return weights
    shares = weights - boost / (len(weights) - 1)
    shares[preferred] = weights[preferred] + boost
    shares = np.clip(shares, 0.0, 1.0)
    total = shares.sum()
    return shares / total if total > 0 else weights


def generate_batch_assignments(
    n_samples: int,
    n_batches: int,
    rng: np.random.Generator,
    proportions: Any = None,
    class_labels: Any = None,
    confounding_with_class: float = 0.0,
    *,
    method: str = "redistribute",
) -> np.ndarray:
    """Draw batch labels, with or without dependence on the classes.

    Parameters
    ----------
    n_samples : int
        Number of rows, at least 1.

    n_batches : int
        Number of batches, at least 1. One batch needs no random number.

    rng : numpy.random.Generator
        Moves on as in :func:`random_batch_assignment` or :func:`confounded_batch_assignment`.

    proportions : array-like of shape (n_batches,), default=None
        Relative sizes of the batches, up to a factor; None makes them equal.

    class_labels : array-like of shape (n_samples,), default=None
        Class of every row; needed with confounding.

    confounding_with_class : float, default=0.0
        Strength of the dependence on the classes, from 0 (none) to 1.

    method : {"redistribute", "mixture"}, default="redistribute"
        See :func:`confounded_batch_assignment`.

    Returns
    -------
    batch : ndarray of int64 of shape (n_samples,)
        Labels from 0 to ``n_batches - 1``.

    Raises
    ------
    ValueError
        For confounding without class labels, and as in the two functions named above.

    TypeError
        For numbers that are not whole and for an ``rng`` that is no ``Generator``.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import generate_batch_assignments
    >>> y = np.repeat([0, 1], 50)
    >>> batch = generate_batch_assignments(
    ...     100, 2, np.random.default_rng(42), class_labels=y, confounding_with_class=1.0
    ... )
    >>> bool((batch == y).all())
    True
    """
    n_samples = check_count(n_samples, name="n_samples", minimum=1)
    n_batches = check_count(n_batches, name="n_batches", minimum=1)
    confounding = check_share(confounding_with_class, name="confounding_with_class")
    weights = normalized_proportions(proportions, n_batches)
    check_choice(method, ASSIGNMENTS, name="method")
    check_generator(rng)
    if class_labels is not None:
        check_class_labels(class_labels, n_samples=n_samples)
    elif confounding > 0:
        raise ValueError(
            f"confounding_with_class={confounding_with_class!r} needs class_labels; pass one label "
            "a row, or confounding_with_class=0."
        )
    if n_batches == 1:
        return np.zeros(n_samples, dtype=np.int64)
    if confounding == 0:
        return _shuffled_labels(n_samples, n_batches, weights, rng)
    return confounded_batch_assignment(
        class_labels, n_batches, confounding, rng, proportions, method=method
    )
