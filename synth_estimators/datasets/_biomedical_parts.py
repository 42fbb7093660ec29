"""Classes, informative groups and correlated clusters of simulated biomarker tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = [
    "DISTRIBUTIONS",
    "BiomedicalClass",
    "CorrelatedCluster",
    "InformativeGroup",
    "centred_offsets",
    "class_index",
    "cluster_correlations",
    "cluster_matrix",
    "draw_from",
    "read_classes",
    "read_clusters",
    "read_groups",
]

# Parameters of the distributions with their defaults, named as in numpy.
DISTRIBUTIONS = {
    "normal": {"loc": 0.0, "scale": 1.0},
    "lognormal": {"mean": 0.0, "sigma": 1.0},
    "exp_normal": {"loc": 0.0, "scale": 1.0},
    "uniform": {"low": 0.0, "high": 1.0},
    "exponential": {"scale": 1.0},
    "laplace": {"loc": 0.0, "scale": 1.0},
}
STRUCTURES = ("equicorrelated", "toeplitz")


def _whole(value, name, minimum):
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}.")
    return int(value)


def _finite(value, name):
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}.")
    return float(value)


def check_distribution(distribution: Any, params: Any) -> dict:
    """Return the parameters of a distribution with its defaults filled in."""
    if distribution not in DISTRIBUTIONS:
        raise ValueError(
            f"distribution={distribution!r} is not known; expected one of {list(DISTRIBUTIONS)}."
        )
    known = DISTRIBUTIONS[distribution]
    unknown = sorted(set(params or {}) - set(known))
    if unknown:
        raise ValueError(
            f"distribution={distribution!r} has no parameters {unknown}; expected some of "
            f"{list(known)}."
        )
    return {**known, **(params or {})}


def draw_from(distribution: str, params: Any, shape: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw independent values of a named distribution."""
    params = check_distribution(distribution, params)
    if distribution == "exp_normal":
        return np.exp(rng.normal(params["loc"], params["scale"], shape))
    return getattr(rng, distribution)(**params, size=shape)


@dataclass
class BiomedicalClass:
    """One class of :func:`make_biomedical`.

    Parameters
    ----------
    n_samples : int, default=50
        Rows of the class.

    label : str, int or None, default=None
        Label; None numbers the classes from 0.

    distribution : str, default="normal"
        Distribution of the informative features before the class is added: "normal",
        "lognormal", "exp_normal" (exponential of a normal number), "uniform", "exponential" or
        "laplace".

    params : mapping or None, default=None
        Parameters of the distribution, named as in :class:`numpy.random.Generator`; those of
        "exp_normal" are ``loc`` and ``scale`` of the normal number.

    Examples
    --------
    >>> from synth_estimators.datasets import BiomedicalClass
    >>> BiomedicalClass(30, "case", "lognormal", {"sigma": 0.5}).label
    'case'
    """

    n_samples: int = 50
    label: Any = None
    distribution: str = "normal"
    params: Any = None

    def __post_init__(self):
        self.n_samples = _whole(self.n_samples, "n_samples of a class", 1)
        check_distribution(self.distribution, self.params)


@dataclass
class InformativeGroup:
    """Features of :func:`make_biomedical` that separate the classes, each on its own.

    Parameters
    ----------
    n_features : int
        Number of features.

    class_sep : float or sequence of shape (n_classes - 1,), default=1.0
        Distance of each class from the one before it, one for all gaps or one a gap. The classes
        lie around 0: gaps of ``[1, 1]`` put three classes at -1, 0 and 1.

    Examples
    --------
    >>> from synth_estimators.datasets import InformativeGroup
    >>> InformativeGroup(3, class_sep=[0.5, 2.0]).n_features
    3
    """

    n_features: int
    class_sep: Any = 1.0

    def __post_init__(self):
        self.n_features = _whole(self.n_features, "n_features of an informative group", 1)


@dataclass
class CorrelatedCluster:
    r"""Normal features of :func:`make_biomedical` that move together: an anchor and its proxies.

    The first feature is the anchor. With the correlation matrix :math:`\Sigma` of the class, the
    class ``effect_class`` adds the effect :math:`\delta` to the anchor and
    :math:`a\,\delta\,\Sigma_{1j}` to proxy :math:`j`.

    Parameters
    ----------
    n_features : int
        Number of features, the anchor among them.

    correlation : float or mapping of class to float, default=0.8
        Correlation :math:`\rho`, the same in all classes or by class; classes that the mapping
        leaves out have 0. "equicorrelated" needs values above ``-1 / (n_features - 1)``.

    structure : {"equicorrelated", "toeplitz"}, default="equicorrelated"
        All pairs have :math:`\rho`, or features :math:`i` and :math:`j` have
        :math:`\rho^{|i-j|}`.

    effect : float, default=0.0
        Effect :math:`\delta` of the class on the anchor.

    effect_class : str, int or None, default=None
        Label of the class that is shifted; None takes the last one.

    attenuation : float, default=1.0
        Share :math:`a` of the effect that reaches the proxies through their correlation.

    Examples
    --------
    >>> from synth_estimators.datasets import CorrelatedCluster
    >>> CorrelatedCluster(4, correlation={"case": 0.9}, effect=1.0).structure
    'equicorrelated'
    """

    n_features: int
    correlation: Any = 0.8
    structure: str = "equicorrelated"
    effect: float = 0.0
    effect_class: Any = None
    attenuation: float = 1.0

    def __post_init__(self):
        self.n_features = _whole(self.n_features, "n_features of a cluster", 1)
        self.effect = _finite(self.effect, "effect of a cluster")
        self.attenuation = _finite(self.attenuation, "attenuation of a cluster")
        if self.structure not in STRUCTURES:
            raise ValueError(
                f"structure={self.structure!r} is not known; expected one of {list(STRUCTURES)}."
            )
        mapping = isinstance(self.correlation, Mapping)
        for rho in self.correlation.values() if mapping else [self.correlation]:
            self._check_correlation(rho)

    def _check_correlation(self, rho):
        low = -1.0
        if self.structure == "equicorrelated" and self.n_features > 1:
            low = -1.0 / (self.n_features - 1)
        if not low < _finite(rho, "correlation") < 1.0:
            raise ValueError(
                f"correlation={rho!r} gives no correlation matrix of {self.n_features} "
                f"{self.structure} features; expected a number above {low:g} and below 1."
            )


def _read(cls, item, first):
    """An instance of ``cls`` from itself, a mapping of its fields or its first field."""
    if isinstance(item, cls):
        return dataclasses.replace(item)
    if isinstance(item, Mapping):
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(str(key) for key in item if key not in names)
        if unknown:
            raise ValueError(f"{cls.__name__} has no fields {unknown}; expected some of {names}.")
        return cls(**item)
    return cls(**{first: item})


def read_classes(classes: Any) -> list[BiomedicalClass]:
    """Classes with labels: the numbers 0, 1, ..., or text if any label is text."""
    read = [_read(BiomedicalClass, item, "n_samples") for item in classes]
    if not read:
        raise ValueError("classes is empty; pass at least one class, for example classes=(50, 50).")
    text = any(isinstance(part.label, str) for part in read)
    for position, part in enumerate(read):
        if part.label is None:
            part.label = f"class_{position}" if text else position
    labels = [part.label for part in read]
    if len(set(labels)) < len(labels):
        raise ValueError(f"classes repeats labels: {labels}; give each class a label of its own.")
    return read


def read_groups(informative: Any, class_sep: Any) -> list[InformativeGroup]:
    """Informative groups; a number of features is one group with the common separation."""
    if isinstance(informative, Integral):
        n_features = _whole(informative, "informative", 0)
        return [InformativeGroup(n_features, class_sep)] if n_features else []
    return [_read(InformativeGroup, item, "n_features") for item in informative]


def read_clusters(clusters: Any) -> list[CorrelatedCluster]:
    """Correlated clusters; a number is a cluster of that many features."""
    return [_read(CorrelatedCluster, item, "n_features") for item in clusters]


def centred_offsets(class_sep: Any, n_classes: int) -> np.ndarray:
    """Offsets of the classes around 0 from the gaps between neighbouring classes."""
    gaps = np.asarray(class_sep, dtype=np.float64)
    if gaps.ndim == 0:
        gaps = np.full(n_classes - 1, float(gaps))
    if gaps.shape != (n_classes - 1,) or not np.isfinite(gaps).all():
        raise ValueError(
            f"class_sep={class_sep!r} does not fit {n_classes} classes; pass one finite number, or "
            f"{n_classes - 1} of them, one a gap."
        )
    offsets = np.concatenate([[0.0], np.cumsum(gaps)])
    return offsets - offsets.mean()


def class_index(label: Any, labels: list, *, name: str) -> int:
    """Position of the label of a class."""
    if label not in labels:
        raise ValueError(f"{name} names the class {label!r}; the classes are {labels}.")
    return labels.index(label)


def cluster_correlations(cluster: CorrelatedCluster, labels: list) -> list[float]:
    """Correlation of the cluster in every class."""
    if not isinstance(cluster.correlation, Mapping):
        return [float(cluster.correlation)] * len(labels)
    correlations = [0.0] * len(labels)
    for label, rho in cluster.correlation.items():
        correlations[class_index(label, labels, name="correlation of a cluster")] = float(rho)
    return correlations


def cluster_matrix(structure: str, n_features: int, rho: float) -> np.ndarray:
    """Correlation matrix of a cluster."""
    if structure == "equicorrelated":
        matrix = np.full((n_features, n_features), rho)
        np.fill_diagonal(matrix, 1.0)
        return matrix
    steps = np.arange(n_features)
    return rho ** np.abs(steps[:, None] - steps).astype(np.float64)
