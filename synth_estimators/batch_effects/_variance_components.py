"""Shares of the variance that batches and other factors explain, by random-effect models."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import nnls
from sklearn.utils import Bunch

from synth_estimators.batch_effects._batch_rows import principal_axes, read_matrix
from synth_estimators.batch_effects._design import BatchLevels, as_labels

__all__ = ["fit_components", "pvca"]

_MIN_COMPONENTS = 3
_MAX_ROUNDS = 500
_MAX_HALVINGS = 30
_TOLERANCE = 1e-11
# Differences of the deviance below this are rounding errors.
_DEVIANCE_NOISE = 1e-13
# A residual variance of 0 would leave the covariance of the rows singular.
_SMALLEST_SHARE = 1e-12
# When a second maximum of the likelihood is looked for, and its smallest residual to begin with.
_SUSPECT = 0.1
_SMALLEST_START = 1e-6


class _Cells:
    """Rows summed up by the cells of a table of factors, which is all that REML needs of them.

    Parameters
    ----------
    codes : list of ndarray of int of shape (n_samples,)
        Level of every row, one array a random term.
    """

    def __init__(self, codes):
        _, first, cells, counts = np.unique(
            np.column_stack(codes),
            axis=0,
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        self.cells, self.counts = cells.ravel(), counts
        self.root = np.sqrt(counts)
        self.n_rows = len(self.cells)
        # Coordinates along the unit vectors of the cells have the covariance
        # sum_f variance_f * loadings[f] @ loadings[f].T + residual_variance * I.
        self.loadings = [_loading(code[first]) * self.root[:, None] for code in codes]
        self.kernels = [loading @ loading.T for loading in self.loadings]
        self.loadings.append(np.eye(len(counts)))
        self.kernels.append(self.loadings[-1])

    def reduce(self, y):
        """Coordinates of ``y`` along the cells, and its sum of squares within them."""
        means = np.bincount(self.cells, weights=y) / self.counts
        return means * self.root, float(((y - means[self.cells]) ** 2).sum())


def _loading(code):
    """Indicators of the levels that occur."""
    return np.equal.outer(code, np.unique(code)).astype(np.float64)


def _criterion(cells, variances, z, within):
    """Restricted deviance, and the projector of the generalised least squares residuals."""
    covariance = sum(v * kernel for v, kernel in zip(variances, cells.kernels, strict=True))
    factor = cho_factor(covariance, lower=True)
    inverse = cho_solve(factor, np.eye(len(z)))
    ones = inverse @ cells.root
    precision = float(cells.root @ ones)
    projector = inverse - np.outer(ones, ones) / precision
    free = cells.n_rows - len(z)
    deviance = (
        2.0 * np.log(np.diag(factor[0])).sum()
        + np.log(precision)
        + float(z @ projector @ z)
        + free * np.log(variances[-1])
        + within / variances[-1]
    )
    return deviance, projector


def _scored(cells, variances, projector, z, within):
    """Variances that solve the scoring equations at the present ones, none below 0."""
    folded = [loading.T @ projector for loading in cells.loadings]
    information = np.array(
        [[((left @ loading) ** 2).sum() for loading in cells.loadings] for left in folded]
    )
    residual = projector @ z
    target = np.array([((loading.T @ residual) ** 2).sum() for loading in cells.loadings])
    information[-1, -1] += (cells.n_rows - len(z)) / variances[-1] ** 2
    target[-1] += within / variances[-1] ** 2
    # Non-negative least squares of the quadratic form, in the units of the variances.
    scale = np.sqrt(np.diag(information))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    kept = values > 1e-13 * values[-1]
    root = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    aim = (vectors[:, kept].T @ (target / scale)) / np.sqrt(values[kept])
    return nnls(root, aim)[0] / scale


def _fit_one(cells, y):
    """Restricted maximum likelihood estimates of the variances of one variable."""
    z, within = cells.reduce(y)
    total = float(np.var(y, ddof=1))
    if total == 0.0:
        return np.zeros(len(cells.kernels))
    floor = _SMALLEST_SHARE * total
    start = np.full(len(cells.kernels), total / len(cells.kernels))
    variances, deviance = _climb(cells, start, z, within, floor)
    free = cells.n_rows - len(z)
    # Where rows of a cell agree far better than this residual says, the likelihood may have
    # another maximum, with the residual that they show.
    shown = max(within / free, _SMALLEST_START * total) if free else np.inf
    if shown < _SUSPECT * variances[-1]:
        start[-1] = shown
        other, its_deviance = _climb(cells, start, z, within, floor)
        if its_deviance < deviance:
            return other
    return variances


def _climb(cells, variances, z, within, floor):
    """Nearest maximum of the likelihood, and its deviance."""
    deviance, projector = _criterion(cells, variances, z, within)
    for _ in range(_MAX_ROUNDS):
        step = _scored(cells, variances, projector, z, within) - variances
        size = 1.0
        for _ in range(_MAX_HALVINGS):
            trial = np.maximum(variances + size * step, 0.0)
            trial[-1] = max(trial[-1], floor)
            trial_deviance, trial_projector = _criterion(cells, trial, z, within)
            if trial_deviance <= deviance + _DEVIANCE_NOISE * (cells.n_rows + abs(deviance)):
                break
            size /= 2.0
        else:
            break
        moved = np.abs(trial - variances).max()
        variances, deviance, projector = trial, trial_deviance, trial_projector
        if moved <= _TOLERANCE * variances.sum():
            break
    return variances, deviance


def fit_components(Y: np.ndarray, codes: list[np.ndarray]) -> np.ndarray:
    """Variances of random effects and residual of every column, by REML.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_variables)
        Variables, each with a mean of its own and independent of the others.

    codes : list of ndarray of int of shape (n_samples,)
        Level of every row, one array a random term.

    Returns
    -------
    variances : ndarray of shape (n_variables, n_terms + 1)
        None is below 0; the residual variance comes last.

    Notes
    -----
    Fisher scoring whose steps stay in the non-negative quadrant and are halved until the deviance
    falls. Rows with the same levels enter by their mean and sum of squares, so that the cost goes
    with the cube of the number of occupied cells, not of rows.
    """
    cells = _Cells(codes)
    return np.array([_fit_one(cells, y) for y in Y.T])


def _read_factors(factors, n_samples):
    """Number of the level of every row, one array a factor."""
    if isinstance(factors, Mapping | pd.DataFrame):
        columns = {str(name): factors[name] for name in factors}
    else:
        columns = {"batch": factors}
    if not columns:
        raise ValueError("factors is empty; pass at least one column of labels.")
    codes = {}
    for name, values in columns.items():
        found = BatchLevels.from_labels(as_labels(values, n_samples=n_samples, name=name))
        if len(found.levels) < 2:
            raise ValueError(
                f"{name} holds the label {found.levels.tolist()[0]!r} only; pvca needs factors of "
                "at least two levels."
            )
        if len(found.levels) == n_samples:
            raise ValueError(
                f"{name} has a label of its own in each of the {n_samples} rows, which cannot be "
                "told from the residual; pass a factor that repeats."
            )
        codes[name] = found.codes
    return codes


def _same_partition(first, second):
    pairs = np.unique(np.column_stack([first, second]), axis=0)
    return len(pairs) == len(np.unique(first)) == len(np.unique(second))


def _terms(codes, interactions):
    """Codes of the terms of the model, and the names of the interactions that cannot be told."""
    for first, second in combinations(codes, 2):
        if _same_partition(codes[first], codes[second]):
            raise ValueError(
                f"{first} and {second} split the rows in the same way, so that their shares cannot "
                "be told apart; leave one of them out."
            )
    terms, absent = dict(codes), []
    n_samples = len(next(iter(codes.values())))
    for first, second in combinations(codes, 2) if interactions else ():
        name = f"{first} x {second}"
        joint = BatchLevels.from_labels(codes[first] * (codes[second].max() + 1) + codes[second])
        known = any(_same_partition(joint.codes, other) for other in terms.values())
        if known or len(joint.levels) == n_samples:
            absent.append(name)
        else:
            terms[name] = joint.codes
    return terms, absent


def pvca(
    X: Any,
    factors: Any,
    *,
    threshold: float = 0.6,
    interactions: bool = True,
    breakdown: bool = False,
) -> Any:
    r"""Principal variance component analysis: shares of the variance that factors explain.

    The first principal components of the correlations between rows are each split by the model

    .. math:: z = \mu + \sum_f u_f + e, \quad u_f \sim N(0, \sigma_f^2), \; e \sim N(0, \sigma^2)

    with one random effect a level of every factor and of every pair of factors; the shares of the
    components are averaged with their eigenvalues as weights.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

    Parameters
    ----------
    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Rows, at least three, and at least two features.

    factors : {mapping, pandas DataFrame} of columns, or array-like of shape (n_samples,)
        Labels of every row by the name of the factor; one array is called "batch".

    threshold : float, default=0.6
        Share of the sum of the eigenvalues that the components reach; at least three are taken.

    interactions : bool, default=True
        Give every pair of factors a term of its own.

    breakdown : bool, default=False
        Return a Bunch with ``shares``, ``n_components`` and ``details`` (``eigenvalue`` and
        variances of every component) instead of the shares alone.

    Returns
    -------
    shares : dict or Bunch
        Share of every factor, of every pair (``"batch x group"``) and of ``"residual"``, with the
        sum 1. A pair that cannot be told from a factor or from the residual has the share 0.

    Raises
    ------
    ValueError
        For a factor with one level or with a level a row, two factors that split the rows alike,
        missing cells or labels, and rows that are all equal.

    Notes
    -----
    The variances are restricted maximum likelihood estimates, never below 0. Small shares of a
    factor with two or three levels are uncertain: they rest on as many random effects.

    References
    ----------
    .. [1] Li, J., Bushel, P. R., Chu, T.-M. and Wolfinger, R. D. (2009). "Principal variance
       components analysis: estimating batch effects in microarray gene expression data". In:
       Batch Effects and Noise in Microarray Experiments, Wiley, 141-154.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import pvca
    >>> rng = np.random.default_rng(0)
    >>> batch = np.tile(["a", "b", "c"], 20)
    >>> shift = rng.normal(size=(3, 50))[np.tile([0, 1, 2], 20)]
    >>> shares = pvca(rng.normal(size=(60, 50)) + 3.0 * shift, batch)
    >>> {name: round(share, 2) for name, share in shares.items()}
    {'batch': 0.99, 'residual': 0.01}
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r} must be above 0 and at most 1.")
    rows = read_matrix(X, "X")
    if rows.shape[1] < 2:
        raise ValueError("X has one feature; pvca needs at least two to correlate rows.")
    codes = _read_factors(factors, len(rows))
    terms, absent = _terms(codes, interactions)
    rows = rows - rows.mean(axis=0)
    rows -= rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    # A row at the centre has no correlation with any other.
    rows /= np.where(norms > 0, norms, 1.0)
    scores, eigenvalues = principal_axes(rows)
    if not len(eigenvalues):
        raise ValueError("X has no variance between rows that pvca could split.")
    reached = np.cumsum(eigenvalues) / eigenvalues.sum()
    n_components = int(np.searchsorted(reached, threshold * (1.0 - 1e-12))) + 1
    n_components = min(max(n_components, _MIN_COMPONENTS), len(eigenvalues))
    variances = fit_components(
        scores[:, :n_components] / np.sqrt(eigenvalues[:n_components]), list(terms.values())
    )
    parts = variances / variances.sum(axis=1, keepdims=True)
    mean = np.average(parts, axis=0, weights=eigenvalues[:n_components])
    names = [*terms, "residual"]
    found = dict(zip(names, mean.tolist(), strict=True))
    order = [*codes, *(n for n in (*terms, *absent) if n not in codes), "residual"]
    shares = {name: found.get(name, 0.0) for name in order}
    if not breakdown:
        return shares
    details = pd.DataFrame(variances, columns=names)
    details.insert(0, "eigenvalue", eigenvalues[:n_components])
    return Bunch(shares=shares, n_components=n_components, details=details)
