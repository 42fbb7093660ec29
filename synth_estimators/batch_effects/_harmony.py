"""Harmony: cells of all batches brought together in the space of principal components."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metadata_routing import UNUSED

from synth_estimators._compat import Interval, StrOptions, fit_context
from synth_estimators._random import local_rng
from synth_estimators.batch_effects._base import BaseBatchCorrector
from synth_estimators.batch_effects._combat import warn_about_sizes
from synth_estimators.batch_effects._design import BatchLevels, match_batches
from synth_estimators.batch_effects._harmony_model import (
    HarmonyOptions,
    apply_harmony,
    fit_harmony,
)

__all__ = ["HarmonyEmbedding"]

_ROWS_PER_CLUSTER = 30
_MOST_CLUSTERS = 100
_FITTED = ("centroids_", "n_clusters_", "objective_", "n_iter_cluster_", "pca_", "_model")
_MAX_SEED = 2**31 - 1


class HarmonyEmbedding(BaseBatchCorrector):
    r"""Harmony: cells of all batches brought together in an embedding.

    Rows are assigned softly to clusters by the cosine of their angle to the centroids
    :math:`\mu_k`, with a penalty on clusters in which their batch is frequent: a row
    :math:`z_j` of batch :math:`b` belongs to cluster :math:`k` with the share

    .. math::

        R_{kj} \propto \exp\!\left(-\frac{2\,(1 - \cos(z_j, \mu_k))}{\sigma}\right)
        \left(\frac{E_{bk}}{O_{bk} + E_{bk}}\right)^{\theta},

    where :math:`O_{bk}` rows of the batch are in the cluster and :math:`E_{bk}` would be if all
    clusters held the batches alike. In each cluster a ridge regression of the scores on the
    batches, weighted by :math:`R`, gives the shift of each batch, and a row is moved by the mean
    of the shifts of its clusters. The moved rows are assigned anew, and so on.

    Read more in the :ref:`User Guide <harmony>`.

    Parameters
    ----------
    batch : str, int or None, default="batch"
        Column of X that holds the batch labels: its name, or its position. The keyword ``batch``
        of the methods comes first.

    n_components : int or None, default=None
        Principal components of the features that make up the embedding. With None, the columns
        of X are scores already, for example of a PCA over all batches.

    n_clusters : int or None, default=None
        Number of clusters, more than there are kinds of cells. None makes it the number of rows
        divided by 30, at least 1 and at most 100.

    diversity_weight : float, default=2.0
        The exponent :math:`\theta` of the penalty. 0 assigns rows by angle alone; larger values
        mix the batches harder.

    penalty : {"bounded", "ratio"}, default="bounded"
        "bounded" is the penalty above. "ratio" is
        :math:`((E_{bk} + 1) / (O_{bk} + 1))^\theta` as first published, which draws rows with a
        force that grows with the number of rows into clusters that lack their batch, and so mixes
        kinds of cells that a batch does not have with others.

    ridge : float or "auto", default=1.0
        Penalty of the regressions on the shifts of the batches, in rows. "auto" takes 0.2 rows
        for each row that a cluster would hold of a batch if all were mixed, and so moves rows
        less where a batch is rare.

    bandwidth : float, default=0.1
        Softness :math:`\sigma` of the assignment. Small values assign each row to one cluster.

    block_size : float, default=0.05
        Share of the rows that are assigned at once, between two updates of the penalty.

    max_iter : int, default=10
        Most rounds of clustering and regression.

    max_iter_cluster : int, default=4
        Most passes over the rows in the clustering of one round.

    tol : float, default=2e-3
        The rounds end when two in a row do not lower the smallest objective so far by this share
        of itself.

    tol_cluster : float, default=1e-3
        A clustering ends when a pass changes the objective by at most this share of itself.

    unseen : {"error", "passthrough"}, default="error"
        What ``transform`` does with rows of a batch that ``fit`` has not seen: refuse them, or
        return their scores as they are with a warning.

    keep_metadata : bool, default=False
        Append the column of labels, unchanged, to the result.

    random_state : int, RandomState instance or None, default=None
        Seeds first centroids and blocks. Pass an int for reproducible output. See
        :term:`Glossary <random_state>`.

    Attributes
    ----------
    batches_ : ndarray of shape (n_batches,)
        Batch labels, sorted.

    n_per_batch_ : ndarray of shape (n_batches,)
        Rows of each batch in ``fit``.

    n_clusters_ : int
        Number of clusters.

    centroids_ : ndarray of shape (n_clusters_, n_components)
        Centroids of the last round, of length 1.

    objective_ : list of float of length n_iter_
        Objective per row at the end of the clustering of each round.

    n_iter_ : int
        Number of rounds.

    n_iter_cluster_ : list of int of length n_iter_
        Passes over the rows in each round.

    pca_ : PCA
        The projection; defined only with ``n_components``.

    n_features_in_ : int
        Number of columns seen during ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names seen during ``fit``; defined only when all of them are strings.

    See Also
    --------
    ComBat : Correction of the features themselves.
    synth_estimators.metrics.lisi : Effective number of batches, or kinds of cells, around a row.

    Notes
    -----
    The fit keeps centroids, penalties and shifts of every round. ``transform`` takes each row by
    itself through the same rounds, so that training rows and new rows are treated alike, and
    ``fit_transform`` equals ``fit`` followed by ``transform``. The order of the rows and the names
    of the batches play no part.

    Harmony mixes batches wherever that keeps directions together: what all cells of a batch have
    in common is removed, be it technical or not. It suits hundreds of rows and more; for a few
    dozen samples, clusters hold too few rows of each batch. With a single batch nothing moves.

    The published settings are ``penalty="ratio"``, ``max_iter_cluster=20``, ``tol=1e-4``,
    ``tol_cluster=1e-5``. The cost is :math:`O(n K d)` for
    each pass over n rows with K clusters and d components. Memory beyond a few copies of the
    scores is at most 128 MiB, and a block of rows by clusters.

    References
    ----------
    .. [1] :doi:`Korsunsky, I. et al. (2019). "Fast, sensitive and accurate integration of
       single-cell data with Harmony". Nature Methods 16, 1289-1296. <10.1038/s41592-019-0619-0>`

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import HarmonyEmbedding
    >>> rng = np.random.default_rng(0)
    >>> kind, batch = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    >>> scores = 9.0 * np.eye(3)[kind] + 2.0 * batch[:, None] + rng.normal(size=(300, 3))
    >>> harmony = HarmonyEmbedding(random_state=0)
    >>> moved = harmony.fit_transform(scores, batch=batch)
    >>> def gap(scores):
    ...     means = [scores[(kind == 0) & (batch == b)].mean(axis=0) for b in (0, 1)]
    ...     return float(np.linalg.norm(means[0] - means[1]))
    >>> gap(scores) > 3.0, gap(moved) < 0.5
    (True, True)
    """

    __metadata_request__fit: ClassVar[dict] = {"covariates": UNUSED}
    __metadata_request__transform: ClassVar[dict] = {"covariates": UNUSED}

    _parameter_constraints: ClassVar[dict] = {
        "batch": [str, Integral, None],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "diversity_weight": [Interval(Real, 0, None, closed="left")],
        "penalty": [StrOptions({"bounded", "ratio"})],
        "ridge": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
        "block_size": [Interval(Real, 0, 1, closed="right")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_iter_cluster": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "tol_cluster": [Interval(Real, 0, None, closed="left")],
        "unseen": [StrOptions({"error", "passthrough"})],
        "keep_metadata": ["boolean"],
        "random_state": ["random_state"],
    }
    _roles = ("batch",)

    def __init__(
        self,
        batch="batch",
        *,
        n_components=None,
        n_clusters=None,
        diversity_weight=2.0,
        penalty="bounded",
        ridge=1.0,
        bandwidth=0.1,
        block_size=0.05,
        max_iter=10,
        max_iter_cluster=4,
        tol=2e-3,
        tol_cluster=1e-3,
        unseen="error",
        keep_metadata=False,
        random_state=None,
    ):
        self.batch = batch
        self.n_components = n_components
        self.n_clusters = n_clusters
        self.diversity_weight = diversity_weight
        self.penalty = penalty
        self.ridge = ridge
        self.bandwidth = bandwidth
        self.block_size = block_size
        self.max_iter = max_iter
        self.max_iter_cluster = max_iter_cluster
        self.tol = tol
        self.tol_cluster = tol_cluster
        self.unseen = unseen
        self.keep_metadata = keep_metadata
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, batch: Any = None) -> HarmonyEmbedding:
        """Learn clusters and shifts of the batches.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            Scores, or features with ``n_components``; with or without the column of labels.

        y : None
            Ignored, present for API consistency.

        batch : array-like of shape (n_samples,), default=None
            Batch labels, instead of the column ``batch``.

        Returns
        -------
        self : HarmonyEmbedding
            The fitted transformer.

        Raises
        ------
        ValueError
            For missing labels, values that are not finite, and more clusters or components than
            the table allows.

        Warns
        -----
        BatchLabelWarning
            If there are no batch labels: every table is then left as it is, without components.

        ConvergenceWarning
            If ``max_iter`` rounds do not reach ``tol``.
        """
        return self._fit_rows(X, y, batch=batch)

    def transform(self, X: Any, *, batch: Any = None) -> Any:
        """Move rows as the rows of their batch were moved.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            Rows with the columns seen during ``fit``.

        batch : array-like of shape (n_samples,), default=None
            Batch labels, instead of the column ``batch``.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, n_components)
            The embedding.

        Raises
        ------
        ValueError
            For missing labels, and for unseen batches with ``unseen="error"``.
        """
        return self._transform_rows(X, batch=batch)

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any = None) -> Any:
        """Fit, and return the embedding of the rows.

        Parameters
        ----------
        X : {array-like, pandas DataFrame, polars DataFrame, AnnData} of shape \
                (n_samples, n_features)
            Scores, or features with ``n_components``.

        y, batch
            As in ``fit``.

        Returns
        -------
        Z : ndarray or data frame of shape (n_samples, n_components)
            The embedding.
        """
        return self.fit(X, y, batch=batch)._transform_rows(X, batch=batch)

    def _fit_identity(self):
        self._forget()
        self.n_iter_ = 1

    def _forget(self):
        for name in _FITTED:
            vars(self).pop(name, None)  # of an earlier fit

    def _fit(self, rows, y):
        self._forget()
        batches = BatchLevels.from_labels(rows.batch)
        self.batches_, self.n_per_batch_ = batches.levels, batches.counts
        warn_about_sizes(self.batches_, self.n_per_batch_, owner=type(self).__name__)
        rng = local_rng(self.random_state)
        scores = self._fit_scores(rows, rng)
        self.n_clusters_ = self._number_of_clusters(len(scores))
        self.n_iter_ = 1
        if len(self.batches_) == 1:
            return
        self._model = fit_harmony(scores, batches.codes, len(self.batches_), self._options(), rng)
        self.centroids_ = self._model.rounds[-1].centroids
        self.objective_ = self._model.objective
        self.n_iter_cluster_ = self._model.n_iter_cluster
        self.n_iter_ = len(self.objective_)
        if not self._model.converged:
            warnings.warn(
                f"HarmonyEmbedding did not reach tol={self.tol} in {self.max_iter} rounds; raise "
                "max_iter or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _options(self):
        return HarmonyOptions(
            n_clusters=self.n_clusters_,
            diversity_weight=self.diversity_weight,
            penalty=self.penalty,
            ridge=self.ridge,
            bandwidth=self.bandwidth,
            block_size=self.block_size,
            max_iter=self.max_iter,
            max_iter_cluster=self.max_iter_cluster,
            tol=self.tol,
            tol_cluster=self.tol_cluster,
        )

    def _number_of_clusters(self, n_samples):
        if self.n_clusters is None:
            return max(1, min(round(n_samples / _ROWS_PER_CLUSTER), _MOST_CLUSTERS))
        if self.n_clusters > n_samples:
            raise ValueError(
                f"n_clusters={self.n_clusters} is larger than the {n_samples} rows of X; use "
                f"n_clusters={n_samples} or less."
            )
        return self.n_clusters

    def _fit_scores(self, rows, rng):
        if self.n_components is None:
            return np.asarray(rows.X, dtype=np.float64)
        most = min(rows.X.shape)
        if self.n_components > most:
            raise ValueError(
                f"n_components={self.n_components} is larger than {most}, the smaller of the "
                f"{rows.X.shape[0]} rows and {rows.X.shape[1]} features of X; use "
                f"n_components={most} or less."
            )
        seed = int(rng.integers(_MAX_SEED))
        self.pca_ = PCA(self.n_components, random_state=seed)
        return self.pca_.fit(np.asarray(rows.X, dtype=np.float64)).transform(rows.X)

    def _scores(self, rows):
        X = np.asarray(rows.X, dtype=np.float64)
        return self.pca_.transform(X) if hasattr(self, "pca_") else X

    def _transform(self, rows):
        scores = self._scores(rows)
        codes = match_batches(
            rows.batch, self.batches_, unseen=self.unseen, owner=type(self).__name__
        )
        if not hasattr(self, "_model"):
            return scores.copy()
        return apply_harmony(self._model, scores, codes)

    def _score_names(self):
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{j}" for j in range(self.pca_.n_components_)], dtype=object)

    def _wrap_pandas(self, values, X, keep):
        frame = super()._wrap_pandas(values, X, keep)
        if hasattr(self, "pca_"):
            frame.columns = [*self._score_names(), *frame.columns[values.shape[1] :]]
        return frame

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of all columns of ``X``; None uses those seen during ``fit``.

        Returns
        -------
        names : ndarray of str
            Those of the scores, or ``harmonyembedding0``, ``harmonyembedding1`` and so on with
            ``n_components``; with the column of labels at the end if ``keep_metadata=True``.
        """
        names = super().get_feature_names_out(input_features)
        if not hasattr(self, "pca_"):
            return names
        labels = len(self._label_positions) if self.keep_metadata else 0
        return np.concatenate([self._score_names(), names[len(names) - labels :]])
