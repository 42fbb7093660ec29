"""Simulated biomarker tables with known roles of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._batch_simulation import BatchEffectsConfig, apply_batch_effects
from synth_estimators._batch_simulation._config import config_of, draw_batches
from synth_estimators._batch_simulation._effects import affected_positions
from synth_estimators._compat import Interval, StrOptions, validate_params
from synth_estimators._random import local_rng
from synth_estimators.datasets._biomedical_parts import (
    DISTRIBUTIONS,
    BiomedicalClass,
    CorrelatedCluster,
    InformativeGroup,
    centred_offsets,
    class_index,
    cluster_correlations,
    cluster_matrix,
    draw_from,
    read_classes,
    read_clusters,
    read_groups,
)
from synth_estimators.datasets._truth import as_plain

__all__ = [
    "BiomedicalClass",
    "BiomedicalMeta",
    "CorrelatedCluster",
    "InformativeGroup",
    "make_biomedical",
]


@dataclass
class BiomedicalMeta:
    """What is true of a table of :func:`make_biomedical`.

    Attributes
    ----------
    feature_names : list of str
        Names of the columns.

    roles : list of str
        Role of every column: "informative", "anchor", "proxy" or "noise".

    informative_indices : ndarray of int
        Columns that carry the class themselves: those of the informative groups, and the anchors
        of clusters with an effect.

    noise_indices : ndarray of int
        Columns that depend on nothing.

    clusters : list of dict
        One entry a cluster: name, columns, structure, correlation in every class, effect.

    class_names : list
        Label of every class.

    class_labels : ndarray of shape (n_samples,)
        Class of every row.

    class_offsets : ndarray of shape (n_classes, n_features)
        What the class adds to the columns.

    batch_labels : ndarray of int of shape (n_samples,)
        Batch of every row; 0 without batches.

    batch_effects : ndarray of shape (n_batches, n_affected)
        Shifts or factors of the batches; empty without batches.

    affected_indices : ndarray of int of shape (n_affected,)
        Columns that the batches change.

    batch_config : BatchEffectsConfig or None
        Description of the batches.
    """

    feature_names: list
    roles: list
    informative_indices: np.ndarray
    noise_indices: np.ndarray
    clusters: list
    class_names: list
    class_labels: np.ndarray
    class_offsets: np.ndarray
    batch_labels: np.ndarray
    batch_effects: np.ndarray
    affected_indices: np.ndarray
    batch_config: BatchEffectsConfig | None

    def to_dict(self) -> dict:
        """Return the truth as a dict of lists, numbers and text that JSON can hold."""
        return as_plain(self)


@validate_params(
    {
        "classes": ["array-like"],
        "informative": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "class_sep": [Real, "array-like"],
        "clusters": ["array-like"],
        "n_noise": [Interval(Integral, 0, None, closed="left")],
        "noise_distribution": [StrOptions(set(DISTRIBUTIONS))],
        "noise_params": [Mapping, None],
        "batch_effects": "no_validation",
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_biomedical(
    classes: Any = (50, 50),
    *,
    informative: Any = 5,
    class_sep: Any = 1.0,
    clusters: Any = (),
    n_noise: int = 10,
    noise_distribution: str = "normal",
    noise_params: Any = None,
    batch_effects: Any = None,
    random_state: Any = None,
) -> tuple[pd.DataFrame, pd.Series, BiomedicalMeta]:
    r"""Simulate biomarkers: informative, correlated and noise columns, with classes and batches.

    An informative feature of class :math:`k` is drawn from the distribution of the class and moved
    by the offset of the class, a cluster is normal with a correlation matrix that may depend on
    the class, and noise depends on nothing. Batch effects come last.

    Parameters
    ----------
    classes : sequence of BiomedicalClass, mapping or int, default=(50, 50)
        The classes, in the order of the rows. A number is a class of so many rows.

    informative : int or sequence of InformativeGroup, mapping or int, default=5
        Informative features outside of clusters. One number is one group separated by
        ``class_sep``; a list of groups has a separation for each.

    class_sep : float or sequence of shape (n_classes - 1,), default=1.0
        Gaps between neighbouring classes where ``informative`` is a number.

    clusters : sequence of CorrelatedCluster, mapping or int, default=()
        Groups of correlated features, each an anchor and its proxies.

    n_noise : int, default=10
        Number of noise features.

    noise_distribution : str, default="normal"
        Distribution of the noise, as in :class:`BiomedicalClass`.

    noise_params : mapping or None, default=None
        Parameters of this distribution.

    batch_effects : BatchEffectsConfig, mapping or None, default=None
        Batches and their effects. ``affected_features="informative"`` means
        ``informative_indices`` of the truth; confounding ties class number :math:`k` in the
        order of ``classes`` to batch :math:`k \bmod B`.

    random_state : int, RandomState instance or None, default=None
        Seeds the simulation. Pass an int for reproducible output.

    Returns
    -------
    X : pandas DataFrame of shape (n_samples, n_features)
        Columns ``i1``, ``i2``, ... (informative), ``corr1_anchor``, ``corr1_2``, ... (clusters),
        ``n1``, ``n2``, ... (noise), in this order; rows class by class.

    y : pandas Series of shape (n_samples,)
        Class of each row, called ``class``.

    meta : BiomedicalMeta
        The truth: roles, effects, batches.

    Raises
    ------
    ValueError
        For unknown fields, distributions and classes, correlations that give no correlation
        matrix, and gaps that do not fit the classes.

    See Also
    --------
    make_bulk_counts : Counts with library sizes, classes and batches.
    synth_estimators.batch_effects.BatchEffectSimulator : Batch effects on any table.

    Notes
    -----
    One generator draws, in this order: informative features class by class, each cluster class
    by class, noise, batch labels, batch effects. Adding noise columns or batches therefore leaves
    the informative features as they are.

    Examples
    --------
    >>> from synth_estimators.datasets import make_biomedical
    >>> X, y, meta = make_biomedical(
    ...     [{"n_samples": 30, "label": "healthy"}, {"n_samples": 20, "label": "case"}],
    ...     informative=2,
    ...     clusters=[{"n_features": 3, "correlation": {"case": 0.9}, "effect": 1.0}],
    ...     n_noise=1,
    ...     batch_effects={"n_batches": 2, "confounding_with_class": 0.8},
    ...     random_state=0,
    ... )
    >>> list(X.columns)
    ['i1', 'i2', 'corr1_anchor', 'corr1_2', 'corr1_3', 'n1']
    >>> meta.informative_indices, meta.batch_effects.shape
    (array([0, 1, 2]), (2, 6))
    """
    parts = read_classes(classes)
    labels = [part.label for part in parts]
    groups = read_groups(informative, class_sep)
    blocks = read_clusters(clusters)
    offsets = _informative_offsets(groups, len(parts))
    plans = [_plan_cluster(block, labels) for block in blocks]
    rng = local_rng(random_state)

    codes = np.repeat(np.arange(len(parts)), [part.n_samples for part in parts])
    columns = [_draw_informative(parts, offsets, rng)]
    columns += [_draw_cluster(plan, parts, rng) for plan in plans]
    columns.append(draw_from(noise_distribution, noise_params, (len(codes), n_noise), rng))
    names, roles = _describe(offsets.shape[1], blocks, n_noise)
    if not names:
        raise ValueError(
            "The table would have no columns; ask for informative, cluster or noise features."
        )
    X = pd.DataFrame(np.hstack(columns), columns=names)
    class_offsets = np.hstack(
        [offsets, *(plan[1] for plan in plans), np.zeros((len(parts), n_noise))]
    )

    starts = np.cumsum([offsets.shape[1], *(block.n_features for block in blocks)])
    carriers = [*range(offsets.shape[1])]
    carriers += [int(s) for s, block in zip(starts, blocks, strict=False) if block.effect != 0]
    informative_indices = np.array(carriers, dtype=np.intp)
    X, batches = _overlay(X, codes, batch_effects, informative_indices, rng)
    y = pd.Series([labels[code] for code in codes], name="class")
    meta = BiomedicalMeta(
        feature_names=names,
        roles=roles,
        informative_indices=informative_indices,
        noise_indices=np.arange(len(names) - n_noise, len(names)),
        clusters=[
            _cluster_truth(number, block, plan, int(start), labels)
            for number, (block, plan, start) in enumerate(
                zip(blocks, plans, starts[:-1], strict=True), start=1
            )
        ],
        class_names=labels,
        class_labels=y.to_numpy(),
        class_offsets=class_offsets,
        **batches,
    )
    return X, y, meta


def _informative_offsets(groups, n_classes):
    """Offsets of shape (n_classes, n_informative)."""
    parts = [
        np.repeat(centred_offsets(group.class_sep, n_classes)[:, None], group.n_features, axis=1)
        for group in groups
    ]
    return np.hstack(parts) if parts else np.zeros((n_classes, 0))


def _draw_informative(classes, offsets, rng):
    drawn = [
        draw_from(part.distribution, part.params, (part.n_samples, offsets.shape[1]), rng) + offset
        for part, offset in zip(classes, offsets, strict=True)
    ]
    return np.vstack(drawn)


def _plan_cluster(cluster, labels):
    """Correlation matrices of the classes, and offsets of shape (n_classes, n_features)."""
    correlations = cluster_correlations(cluster, labels)
    matrices = [cluster_matrix(cluster.structure, cluster.n_features, r) for r in correlations]
    offsets = np.zeros((len(labels), cluster.n_features))
    shifted = labels[-1] if cluster.effect_class is None else cluster.effect_class
    position = class_index(shifted, labels, name="effect_class of a cluster")
    offsets[position] = cluster.effect * cluster.attenuation * matrices[position][0]
    offsets[position, 0] = cluster.effect
    return matrices, offsets


def _draw_cluster(plan, classes, rng):
    matrices, offsets = plan
    drawn = []
    for part, matrix, offset in zip(classes, matrices, offsets, strict=True):
        values = rng.normal(size=(part.n_samples, len(matrix)))
        drawn.append(values @ np.linalg.cholesky(matrix).T + offset)
    return np.vstack(drawn)


def _describe(n_informative, clusters, n_noise):
    names = [f"i{j}" for j in range(1, n_informative + 1)]
    roles = ["informative"] * n_informative
    for number, cluster in enumerate(clusters, start=1):
        names.append(f"corr{number}_anchor")
        names += [f"corr{number}_{j}" for j in range(2, cluster.n_features + 1)]
        roles += ["anchor"] + ["proxy"] * (cluster.n_features - 1)
    names += [f"n{j}" for j in range(1, n_noise + 1)]
    return names, roles + ["noise"] * n_noise


def _cluster_truth(number, cluster, plan, start, labels):
    _, offsets = plan
    shifted = labels[-1] if cluster.effect_class is None else cluster.effect_class
    return {
        "name": f"corr{number}",
        "indices": list(range(start, start + cluster.n_features)),
        "anchor": start,
        "structure": cluster.structure,
        "correlation": cluster_correlations(cluster, labels),
        "effect": cluster.effect,
        "effect_class": shifted,
        "attenuation": cluster.attenuation,
        "effects": offsets[labels.index(shifted)].tolist(),
    }


def _overlay(X, codes, batch_effects, informative_indices, rng):
    """The table with batch effects, and what is true of them."""
    config = None if batch_effects is None else config_of(batch_effects)
    truth = {
        "batch_labels": np.zeros(len(X), dtype=np.int64),
        "batch_effects": np.zeros((0, 0)),
        "affected_indices": np.zeros(0, dtype=np.intp),
        "batch_config": config,
    }
    if config is None or config.n_batches <= 1:
        return X, truth
    batch, affected = draw_batches(config, len(X), codes, rng, informative_indices)
    X, _, effects = apply_batch_effects(
        X,
        batch,
        rng,
        effect_type=config.effect_type,
        effect_strength=config.effect_strength,
        affected_features=affected,
        effect_granularity=config.effect_granularity,
        n_batches=config.n_batches,
        return_effects=True,
    )
    positions = affected_positions(affected, X.shape[1], X.columns)
    truth.update(batch_labels=batch, batch_effects=effects, affected_indices=positions)
    return X, truth
