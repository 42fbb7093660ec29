"""Simulated expression counts."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._compat import Interval, validate_params
from synth_estimators._random import local_rng

__all__ = ["make_expression_counts"]

_LOG2 = np.log(2.0)
_BASE_SPREAD = 1.5
_ACTIVE_SHARE = 0.3


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 1, None, closed="left")],
        "class_weights": ["array-like", None],
        "n_informative": [Interval(Integral, 0, None, closed="left"), None],
        "class_effect": [Interval(Real, 0, None, closed="left")],
        "n_modules": [Interval(Integral, 0, None, closed="left")],
        "module_sd": [Interval(Real, 0, None, closed="left")],
        "dispersion": [Interval(Real, 0, None, closed="left")],
        "mean_count": [Interval(Real, 0, None, closed="neither")],
        "library_sd": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_expression_counts(
    n_samples: int = 200,
    n_features: int = 500,
    *,
    n_classes: int = 2,
    class_weights: Any = None,
    n_informative: int | None = None,
    class_effect: float = 1.0,
    n_modules: int = 8,
    module_sd: float = 0.6,
    dispersion: float = 0.15,
    mean_count: float = 100.0,
    library_sd: float = 0.3,
    random_state: Any = None,
) -> tuple[pd.DataFrame, pd.Series]:
    r"""Simulate a bulk expression table with gene modules, library sizes and classes.

    Count :math:`j` of sample :math:`i` of class :math:`k` is negative binomial,

    .. math::

        x_{ij} \sim \mathrm{NB}(s_i\, \mu_{ij}, \alpha), \qquad
        \log_2 \mu_{ij} = b_j + z_i^\top w_j + d_{kj},

    with log-normal library sizes :math:`s_i`, module activities :math:`z_i`, sparse gene loadings
    :math:`w_j` and class effects :math:`d_{kj}` on the informative genes. The variance is
    :math:`m + \alpha m^2` at mean :math:`m`.

    Parameters
    ----------
    n_samples : int, default=200
        Number of samples (rows).

    n_features : int, default=500
        Number of genes (columns).

    n_classes : int, default=2
        Number of classes; ``n_samples`` must be at least as large.

    class_weights : array-like of shape (n_classes,), default=None
        Expected share of each class, up to a factor; None makes them equal. Each class gets at
        least one sample.

    n_informative : int or None, default=None
        Genes whose mean depends on the class; None takes a tenth of them, at least one.

    class_effect : float, default=1.0
        Standard deviation of the class effects, in log2 fold change.

    n_modules : int, default=8
        Number of groups of genes that rise and fall together.

    module_sd : float, default=0.6
        Standard deviation of the share of the modules in log2 expression of a gene that belongs to
        one module.

    dispersion : float, default=0.15
        :math:`\alpha` of the negative binomial; 0 gives Poisson counts.

    mean_count : float, default=100.0
        Mean count of a gene over the table, in expectation.

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

    Raises
    ------
    ValueError
        For more classes than samples, more informative genes than genes, or weights that do not
        fit the classes.

    Notes
    -----
    Real tables hold outliers, batches and nonlinear dependence that this one lacks; use it to try
    code and to check that a known truth is found, not to rank generators.

    Examples
    --------
    >>> from synth_estimators.datasets import make_expression_counts
    >>> X, y = make_expression_counts(6, 4, n_classes=3, random_state=0)
    >>> X.shape, sorted(y.unique().tolist())
    ((6, 4), [0, 1, 2])
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
    labels = _draw_classes(n_samples, shares, rng)

    base = rng.normal(0.0, _BASE_SPREAD, n_features)
    loadings = _module_loadings(n_modules, n_features, module_sd, rng)
    effects = np.zeros((n_classes, n_features))
    informative = rng.choice(n_features, size=n_informative, replace=False)
    effects[:, informative] = rng.normal(0.0, class_effect, (n_classes, n_informative))
    log2_mean = base + rng.normal(size=(n_samples, n_modules)) @ loadings + effects[labels]

    mean = np.exp(_LOG2 * log2_mean)
    mean *= mean_count / mean.mean()
    mean *= np.exp(rng.normal(-0.5 * library_sd**2, library_sd, (n_samples, 1)))
    if dispersion > 0:
        mean = rng.gamma(1.0 / dispersion, dispersion * mean)
    # numpy draws Poisson numbers up to about 9.2e18; means beyond that have no use as counts.
    counts = rng.poisson(np.minimum(mean, 1e15)).astype(np.int64, copy=False)
    X = pd.DataFrame(counts, columns=[f"gene_{j}" for j in range(n_features)])
    return X, pd.Series(labels.astype(np.int64), name="class")


def _checked_weights(class_weights, n_classes):
    if class_weights is None:
        return np.full(n_classes, 1.0 / n_classes)
    weights = np.asarray(class_weights, dtype=np.float64)
    if weights.shape != (n_classes,) or not np.isfinite(weights).all() or weights.min() <= 0:
        raise ValueError(
            f"class_weights={class_weights!r} does not fit; expected {n_classes} finite numbers "
            "above 0, one a class."
        )
    return weights / weights.sum()


def _draw_classes(n_samples, shares, rng):
    n_classes = len(shares)
    rest = rng.choice(n_classes, size=n_samples - n_classes, p=shares)
    return rng.permutation(np.concatenate([np.arange(n_classes), rest]))


def _module_loadings(n_modules, n_features, module_sd, rng):
    """Loadings of shape (n_modules, n_features): each gene belongs to a few modules."""
    sizes = rng.normal(0.0, module_sd, (n_modules, n_features))
    return np.where(rng.random((n_modules, n_features)) < _ACTIVE_SHARE, sizes, 0.0)
