"""Simulated bulk counts with classes and batches."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._batch_simulation import generate_batch_assignments
from synth_estimators._compat import Interval, StrOptions, validate_params
from synth_estimators._random import local_rng
from synth_estimators.datasets._expression import _checked_weights, _draw_classes
from synth_estimators.datasets._truth import as_plain

__all__ = ["BulkCountsMeta", "make_bulk_counts"]

_LOG2 = np.log(2.0)
_BASE_SPREAD = 2.0
# numpy draws Poisson numbers up to about 9.2e18; means beyond that have no use as counts.
_LARGEST_MEAN = 1e15


@dataclass
class BulkCountsMeta:
    """What is true of a table of :func:`make_bulk_counts`.

    Attributes
    ----------
    feature_names : list of str
        Names of the genes.

    informative_indices : ndarray of int
        Genes whose mean depends on the class.

    base_means : ndarray of shape (n_features,)
        Mean counts at library size 1, without classes and batches.

    class_labels : ndarray of int of shape (n_samples,)
        Class of every sample.

    class_effects : ndarray of shape (n_classes, n_features)
        Effects of the classes, in log2 fold change.

    batch_labels : ndarray of int of shape (n_samples,)
        Batch of every sample.

    batch_effects : ndarray of shape (n_batches, n_features)
        Effects of the batches, in log2 fold change.

    dispersions : ndarray of shape (n_batches, n_features)
        Dispersion of the negative binomial.

    library_sizes : ndarray of shape (n_samples,)
        Size of every sample, around 1.
    """

    feature_names: list
    informative_indices: np.ndarray
    base_means: np.ndarray
    class_labels: np.ndarray
    class_effects: np.ndarray
    batch_labels: np.ndarray
    batch_effects: np.ndarray
    dispersions: np.ndarray
    library_sizes: np.ndarray

    def expected_counts(self, *, batches: bool = True) -> np.ndarray:
        """Return the mean of every count.

        Parameters
        ----------
        batches : bool, default=True
            Whether batches have their effects; False gives what a perfect correction aims at.

        Returns
        -------
        means : ndarray of shape (n_samples, n_features)
        """
        log2_fold = self.class_effects[self.class_labels]
        if batches:
            log2_fold = log2_fold + self.batch_effects[self.batch_labels]
        return np.exp(_LOG2 * log2_fold) * self.base_means * self.library_sizes[:, None]

    def to_dict(self) -> dict:
        """Return the truth as a dict of lists, numbers and text that JSON can hold."""
        return as_plain(self)


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 1, None, closed="left")],
        "class_weights": ["array-like", None],
        "n_informative": [Interval(Integral, 0, None, closed="left"), None],
        "class_effect": [Interval(Real, 0, None, closed="left")],
        "n_batches": [Interval(Integral, 1, None, closed="left")],
        "proportions": ["array-like", None],
        "batch_effect_strength": [Interval(Real, 0, None, closed="left")],
        "batch_effect_dispersion": [Interval(Real, 0, None, closed="left")],
        "confounding_with_class": [Interval(Real, 0, 1, closed="both")],
        "assignment": [StrOptions({"redistribute", "mixture"})],
        "dispersion": [Interval(Real, 0, None, closed="left")],
        "dispersion_trend": [Interval(Real, 0, None, closed="left")],
        "dispersion_sd": [Interval(Real, 0, None, closed="left")],
        "mean_count": [Interval(Real, 0, None, closed="neither")],
        "library_sd": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_bulk_counts(
    n_samples: int = 60,
    n_features: int = 1000,
    *,
    n_classes: int = 2,
    class_weights: Any = None,
    n_informative: int | None = None,
    class_effect: float = 1.0,
    n_batches: int = 2,
    proportions: Any = None,
    batch_effect_strength: float = 0.5,
    batch_effect_dispersion: float = 0.2,
    confounding_with_class: float = 0.0,
    assignment: str = "redistribute",
    dispersion: float = 0.1,
    dispersion_trend: float = 2.0,
    dispersion_sd: float = 0.4,
    mean_count: float = 100.0,
    library_sd: float = 0.3,
    random_state: Any = None,
) -> tuple[pd.DataFrame, pd.Series, BulkCountsMeta]:
    r"""Simulate bulk counts with library sizes, classes and batches.

    The count of gene :math:`j` in sample :math:`i` of class :math:`k` and batch :math:`b` is
    negative binomial,

    .. math::

        x_{ij} \sim \mathrm{NB}(s_i\, m_j\, 2^{d_{kj} + e_{bj}}, \alpha_{bj}), \qquad
        \alpha_{bj} = \left(\alpha_0 + \frac{\alpha_1}{m_j}\right) \exp(u_j + v_{bj}),

    with log-normal library sizes :math:`s_i` and mean counts :math:`m_j`, normal effects
    :math:`d` of the classes and :math:`e` of the batches, and a dispersion that falls with the
    mean. The variance is :math:`\mu + \alpha \mu^2` at mean :math:`\mu`.

    Parameters
    ----------
    n_samples : int, default=60
        Number of samples (rows).

    n_features : int, default=1000
        Number of genes (columns).

    n_classes : int, default=2
        Number of classes; ``n_samples`` must be at least as large.

    class_weights : array-like of shape (n_classes,), default=None
        Expected share of each class, up to a factor; None makes them equal. Each class gets at
        least one sample.

    n_informative : int or None, default=None
        Genes whose mean depends on the class; None takes a tenth of them, at least one.

    class_effect : float, default=1.0
        Standard deviation of the class effects :math:`d`, in log2 fold change.

    n_batches : int, default=2
        Number of batches; 1 means no batch effects.

    proportions : array-like of shape (n_batches,), default=None
        Relative sizes of the batches; None makes them equal.

    batch_effect_strength : float, default=0.5
        Standard deviation of the batch effects :math:`e`, in log2 fold change.

    batch_effect_dispersion : float, default=0.2
        Standard deviation of :math:`v`, by which the log dispersions of the batches differ.

    confounding_with_class : float, default=0.0
        Dependence of the batches on the classes, from 0 (none) to 1.

    assignment : {"redistribute", "mixture"}, default="redistribute"
        How the batches depend on the classes, see
        :func:`~synth_estimators.batch_effects.confounded_batch_assignment`.

    dispersion : float, default=0.1
        Dispersion :math:`\alpha_0` of genes with large counts.

    dispersion_trend : float, default=2.0
        Rise :math:`\alpha_1` of the dispersion towards small counts.

    dispersion_sd : float, default=0.4
        Standard deviation of :math:`u`, by which the log dispersions of the genes differ.

    mean_count : float, default=100.0
        Mean count of a gene at library size 1, averaged over the genes.

    library_sd : float, default=0.3
        Standard deviation of the natural logarithm of the library sizes.

    random_state : int, RandomState instance or None, default=None
        Seeds the simulation. Pass an int for reproducible output.

    Returns
    -------
    X : pandas DataFrame of int64 of shape (n_samples, n_features)
        Counts; columns are called ``gene_0``, ``gene_1``, ...

    y : pandas Series of int64 of shape (n_samples,)
        Class of each sample, from 0; called ``class``.

    meta : BulkCountsMeta
        The truth: batches, effects, dispersions, library sizes.

    Raises
    ------
    ValueError
        For more classes than samples, more informative genes than genes, and weights or
        proportions that do not fit.

    See Also
    --------
    make_expression_counts : Counts with gene modules, without batches.
    make_biomedical : Normal features with classes and batches.

    Notes
    -----
    Genes are independent given class and batch: the table is a test of corrections for batches,
    not a picture of real dependence. With ``dispersion=0`` and ``dispersion_trend=0`` the counts
    are Poisson.

    Examples
    --------
    >>> from synth_estimators.datasets import make_bulk_counts
    >>> X, y, meta = make_bulk_counts(6, 4, n_batches=3, random_state=0)
    >>> X.shape, sorted(meta.batch_labels.tolist())
    ((6, 4), [0, 0, 1, 1, 2, 2])
    >>> meta.batch_effects.shape, meta.expected_counts(batches=False).shape
    ((3, 4), (6, 4))
    """
    if n_classes > n_samples:
        raise ValueError(
            f"n_classes={n_classes} is larger than n_samples={n_samples}; every class needs a "
            "sample."
        )
    n_informative = max(1, n_features // 10) if n_informative is None else n_informative
    if n_informative > n_features:
        raise ValueError(
            f"n_informative={n_informative} is larger than n_features={n_features}; pass at most "
            f"{n_features}."
        )
    shares = _checked_weights(class_weights, n_classes)
    rng = local_rng(random_state)
    labels = _draw_classes(n_samples, shares, rng).astype(np.int64)
    batch = generate_batch_assignments(
        n_samples,
        n_batches,
        rng,
        proportions,
        labels,
        confounding_with_class,
        method=assignment,
    )

    means = np.exp(_LOG2 * rng.normal(0.0, _BASE_SPREAD, n_features))
    means *= mean_count / means.mean()
    class_effects = np.zeros((n_classes, n_features))
    informative = np.sort(rng.choice(n_features, size=n_informative, replace=False))
    class_effects[:, informative] = rng.normal(0.0, class_effect, (n_classes, n_informative))
    shape = (n_batches, n_features)
    spread = dispersion_sd * rng.normal(size=n_features)
    shifts, widths = np.zeros(shape), np.zeros(shape)
    if n_batches > 1:
        shifts = rng.normal(0.0, batch_effect_strength, shape)
        widths = rng.normal(0.0, batch_effect_dispersion, shape)
    meta = BulkCountsMeta(
        feature_names=[f"gene_{j}" for j in range(n_features)],
        informative_indices=informative,
        base_means=means,
        class_labels=labels,
        class_effects=class_effects,
        batch_labels=batch,
        batch_effects=shifts,
        dispersions=(dispersion + dispersion_trend / means) * np.exp(spread + widths),
        library_sizes=np.exp(rng.normal(-0.5 * library_sd**2, library_sd, n_samples)),
    )
    X = pd.DataFrame(_draw_counts(meta, rng), columns=meta.feature_names)
    return X, pd.Series(labels, name="class"), meta


def _draw_counts(meta, rng):
    means = meta.expected_counts()
    if meta.dispersions.any():
        dispersions = meta.dispersions[meta.batch_labels]
        means = rng.gamma(1.0 / dispersions, dispersions * means)
    return rng.poisson(np.minimum(means, _LARGEST_MEAN)).astype(np.int64, copy=False)
