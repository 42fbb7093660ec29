"""The single values of the manifold metrics, each a metric of its own."""

from __future__ import annotations

from typing import Any

from sklearn.utils import Bunch

from synth_estimators.metrics._manifold import alpha_precision_beta_recall, prdc

__all__ = [
    "alpha_precision",
    "authenticity",
    "beta_recall",
    "prdc_coverage",
    "prdc_density",
    "prdc_precision",
    "prdc_recall",
]


def _pick(scores, name, breakdown):
    return Bunch(score=scores[name], **scores) if breakdown else scores[name]


def alpha_precision(
    X_real: Any,
    X_synth: Any,
    *,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Agreement of synthetic and real rows in balls around the real mean.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and what ``alpha_precision_beta_recall`` returns.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best. Dependence between columns is hardly seen.

    See Also
    --------
    alpha_precision_beta_recall : All values of this kind at once, with the definitions.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import alpha_precision
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> bool(alpha_precision(X, X) > 0.95)
    True
    """
    scores = alpha_precision_beta_recall(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    return _pick(scores, "alpha_precision", breakdown)


def beta_recall(
    X_real: Any,
    X_synth: Any,
    *,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the real rows that synthetic rows stand for, over balls around the synthetic mean.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and what ``alpha_precision_beta_recall`` returns.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1; 0.5 for fresh real rows, clearly more where rows were copied.

    See Also
    --------
    alpha_precision_beta_recall : All values of this kind at once, with the definitions.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import beta_recall
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> beta_recall(X, X + 100.0)
    0.0
    """
    scores = alpha_precision_beta_recall(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    return _pick(scores, "beta_recall", breakdown)


def authenticity(
    X_real: Any,
    X_synth: Any,
    *,
    space: str = "standard",
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the synthetic rows that are no near-copies of a real row.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    space : {"standard", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and what ``alpha_precision_beta_recall`` returns.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1; about 0.55 for fresh real rows, 0 for copies.

    See Also
    --------
    alpha_precision_beta_recall : All values of this kind at once, with the definitions.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import authenticity
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> authenticity(X, X)
    0.0
    """
    scores = alpha_precision_beta_recall(
        X_real,
        X_synth,
        space=space,
        discrete_columns=discrete_columns,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    return _pick(scores, "authenticity", breakdown)


def prdc_precision(
    X_real: Any,
    X_synth: Any,
    *,
    k: int = 5,
    space: str = "standard",
    discrete_columns: Any = "auto",
    match_size: bool = True,
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the synthetic rows inside the real manifold.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    k : int, default=5
        Neighbour that sets the radius.

    space : {"standard", "gower", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    match_size : bool, default=True
        Cut both tables to the same number of rows; the value depends on it.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and what ``prdc`` returns.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best.

    See Also
    --------
    prdc : All values of this kind at once, with the definitions.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import prdc_precision
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> prdc_precision(X, X)
    1.0
    """
    scores = prdc(
        X_real,
        X_synth,
        k=k,
        space=space,
        discrete_columns=discrete_columns,
        match_size=match_size,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    return _pick(scores, "precision", breakdown)


def prdc_recall(
    X_real: Any,
    X_synth: Any,
    *,
    k: int = 5,
    space: str = "standard",
    discrete_columns: Any = "auto",
    match_size: bool = True,
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the real rows inside the synthetic manifold.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    k : int, default=5
        Neighbour that sets the radius.

    space : {"standard", "gower", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    match_size : bool, default=True
        Cut both tables to the same number of rows; the value depends on it.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and what ``prdc`` returns.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1, the best. Dependence between columns is hardly seen: the balls of
        synthetic rows without it are wide.

    See Also
    --------
    prdc : All values of this kind at once, with the definitions.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import prdc_recall
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> prdc_recall(X, X)
    1.0
    """
    scores = prdc(
        X_real,
        X_synth,
        k=k,
        space=space,
        discrete_columns=discrete_columns,
        match_size=match_size,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    return _pick(scores, "recall", breakdown)


def prdc_density(
    X_real: Any,
    X_synth: Any,
    *,
    k: int = 5,
    space: str = "standard",
    discrete_columns: Any = "auto",
    match_size: bool = True,
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Mean number of real balls around a synthetic row, divided by k.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    k : int, default=5
        Neighbour that sets the radius.

    space : {"standard", "gower", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    match_size : bool, default=True
        Cut both tables to the same number of rows; the value depends on it.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and what ``prdc`` returns.

    Returns
    -------
    score : float or Bunch
        At least 0; 1 for fresh real rows, can exceed 1.

    See Also
    --------
    prdc : All values of this kind at once, with the definitions.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import prdc_density
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> prdc_density(X, X)
    1.0
    """
    scores = prdc(
        X_real,
        X_synth,
        k=k,
        space=space,
        discrete_columns=discrete_columns,
        match_size=match_size,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    return _pick(scores, "density", breakdown)


def prdc_coverage(
    X_real: Any,
    X_synth: Any,
    *,
    k: int = 5,
    space: str = "standard",
    discrete_columns: Any = "auto",
    match_size: bool = True,
    max_rows: int | None = 10_000,
    random_state: Any = None,
    breakdown: bool = False,
) -> Any:
    """Share of the real rows whose ball holds a synthetic row.

    Parameters
    ----------
    X_real, X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Tables with the same columns, in any order.

    k : int, default=5
        Neighbour that sets the radius.

    space : {"standard", "gower", "identity"}, default="standard"
        Space the distances are taken in, see ``MixedSpace``.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the real table as discrete.

    match_size : bool, default=True
        Cut both tables to the same number of rows; the value depends on it.

    max_rows : int or None, default=10_000
        Most rows of each table that are used.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows where a table is cut.

    breakdown : bool, default=False
        Return a Bunch with ``score`` and what ``prdc`` returns.

    Returns
    -------
    score : float or Bunch
        Between 0 and 1; 0.969 for many fresh real rows with k = 5.

    See Also
    --------
    prdc : All values of this kind at once, with the definitions.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import prdc_coverage
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> prdc_coverage(X, X)
    1.0
    """
    scores = prdc(
        X_real,
        X_synth,
        k=k,
        space=space,
        discrete_columns=discrete_columns,
        match_size=match_size,
        max_rows=max_rows,
        random_state=random_state,
        breakdown=breakdown,
    )
    return _pick(scores, "coverage", breakdown)
