"""Metrics placed between independent columns and real rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics import METRICS
from synth_estimators.metrics._panel import calibrate, shuffle_columns
from synth_estimators.metrics._tables import cut_rows, undefined
from synth_estimators.preprocessing._columns import as_frame

__all__ = ["CalibratedMetric", "calibrated"]

# A limit and a floor closer than this many standard deviations of the floor say nothing.
_NOISE = 3.0


class CalibratedMetric:
    """A metric on the scale from independent columns (0) to real rows (1).

    Made by ``calibrated``, which describes the parameters.

    Parameters
    ----------
    metric : str or callable
        Name in ``METRICS`` or ``metric(X_real, X_synth, ...) -> float``.

    n_shuffles : int, default=5
        Tables of independent columns.

    random_state : int, RandomState instance or None, default=0
        Seeds the shuffles and the metric.

    metric_kwargs : dict, default=None
        Further keywords of the metric.

    See Also
    --------
    calibrated : The way to make one.

    Examples
    --------
    >>> from synth_estimators.model_selection import calibrated
    >>> calibrated("c2st_score", estimator="logistic")
    calibrated('c2st_score', estimator='logistic')
    """

    def __init__(self, metric, *, n_shuffles=5, random_state=0, metric_kwargs=None):
        self.metric = metric
        self.n_shuffles = n_shuffles
        self.random_state = random_state
        self.metric_kwargs = dict(metric_kwargs or {})
        self._check()

    def _check(self):
        if not isinstance(self.n_shuffles, (int, np.integer)) or self.n_shuffles < 2:
            raise ValueError(f"n_shuffles={self.n_shuffles!r} must be an integer of at least 2.")
        name = self._table_name
        if name is None:
            return
        if "X_holdout" in METRICS[name].needs or not METRICS[name].sees_dependence:
            raise ValueError(
                f"metric={name!r} does not see dependence between columns, so independent columns "
                "are no floor for it; use it as it is."
            )
        given = {*self.metric_kwargs, "X_train"}
        missing = [need for need in METRICS[name].needs if need not in given]
        if missing:
            raise ValueError(
                f"metric={name!r} needs {missing}; pass them as keywords of calibrated."
            )

    @property
    def _table_name(self):
        """Name in the table of metrics, None for other callables."""
        if callable(self.metric):
            return next(
                (name for name, info in METRICS.items() if info.function is self.metric), None
            )
        if self.metric not in METRICS:
            raise ValueError(
                f"metric={self.metric!r} is unknown; use one of {sorted(METRICS)} or a callable "
                "metric(X_real, X_synth) -> float."
            )
        return self.metric

    def __call__(
        self, X_train: Any, X_holdout: Any, X_synth: Any, *, breakdown: bool = False
    ) -> Any:
        """Place synthetic rows between independent columns and real rows.

        Parameters
        ----------
        X_train : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Real rows that the generator was fitted to.

        X_holdout : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Real rows that the generator has not seen.

        X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Synthetic rows.

        breakdown : bool, default=False
            Return a Bunch with ``score``, ``value``, ``limit`` and ``floors`` instead of a number.

        Returns
        -------
        score : float or Bunch
            0 for independent columns, 1 for real rows; NaN with a warning where both are too
            close to tell.
        """
        train, _ = as_frame(X_train, name="X_train")
        train = train.reset_index(drop=True)
        cut_seed, metric_seed, *seeds = spawn_seeds(self.random_state, self.n_shuffles + 2)
        n_synth = as_frame(X_synth, name="X_synth")[0].shape[0]
        # Limit and floor from as many rows as the synthetic table has.
        rows = cut_rows(len(train), n_synth, np.random.default_rng(cut_seed))
        rows = train.iloc[rows].reset_index(drop=True)

        def measure(table):
            return self._measure(X_holdout, table, X_train, metric_seed)

        value, limit = measure(X_synth), measure(rows)
        floors = np.array([measure(shuffle_columns(rows, seed)) for seed in seeds])
        score = self._place(value, limit, floors)
        if np.isnan(score):
            undefined(
                repr(self),
                f"real rows ({limit:.4g}) and independent columns ({floors.mean():.4g}) differ by "
                "less than three standard deviations of the latter"
                if np.isfinite(value)
                else "the metric has no value for the synthetic rows",
            )
        if not breakdown:
            return score
        return Bunch(score=score, value=value, limit=limit, floors=floors)

    def _measure(self, X_holdout, table, X_train, seed):
        function = self.metric if callable(self.metric) else METRICS[self.metric].function
        accepted = inspect.signature(function).parameters
        keywords = dict(self.metric_kwargs)
        if "X_train" in accepted:
            keywords.setdefault("X_train", X_train)
        if "random_state" in accepted:
            keywords.setdefault("random_state", seed)
        return float(function(X_holdout, table, **keywords))

    def _place(self, value, limit, floors):
        name = self._table_name
        if name is not None:
            return calibrate(name, value, limit, floors)
        spread = limit - floors.mean()
        if not np.isfinite(spread) or spread == 0 or abs(spread) < _NOISE * floors.std(ddof=1):
            return float("nan")
        return float((value - floors.mean()) / spread)

    def __repr__(self):
        shown = [
            repr(self.metric)
            if isinstance(self.metric, str)
            else getattr(self.metric, "__name__", repr(self.metric))
        ]
        if self.n_shuffles != 5:
            shown.append(f"n_shuffles={self.n_shuffles!r}")
        if self.random_state != 0:
            shown.append(f"random_state={self.random_state!r}")
        shown += [f"{name}={value!r}" for name, value in self.metric_kwargs.items()]
        return f"calibrated({', '.join(shown)})"


def calibrated(
    metric: str | Callable, *, n_shuffles: int = 5, random_state: Any = 0, **metric_kwargs: Any
) -> CalibratedMetric:
    r"""Put a metric on a scale that compares over tables.

    With S the synthetic, T the training and H the held-out rows, and N a table of the training
    rows in which every column was shuffled on its own, the score is

    .. math:: \frac{m(H, S) - m(H, N)}{m(H, T) - m(H, N)},

    so that 0 is what independent columns reach and 1 what real rows reach. Metrics whose ideal
    lies inside their range count by their distance from it.

    Parameters
    ----------
    metric : str or callable
        Name in ``METRICS`` of a metric that sees dependence, or
        ``metric(X_real, X_synth, **metric_kwargs) -> float``.

    n_shuffles : int, default=5
        Tables of independent columns, at least 2.

    random_state : int, RandomState instance or None, default=0
        Seeds the shuffles and the metric, the same for all three tables.

    **metric_kwargs : dict
        Further keywords of the metric, for example ``target``.

    Returns
    -------
    calibrated_metric : CalibratedMetric
        ``calibrated_metric(X_train, X_holdout, X_synth) -> float``. Can be pickled.

    Raises
    ------
    ValueError
        For metrics that independent columns are no floor of (privacy, single columns).

    Notes
    -----
    NaN with a warning where real rows and independent columns differ by less than three standard
    deviations of the shuffles: such a table or metric has no dependence to lose.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import calibrated
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(3, 200, 1))
    >>> train, holdout, fresh = shared + 0.3 * rng.normal(size=(3, 200, 3))
    >>> trends = calibrated("column_pair_trends_score")
    >>> bool(abs(trends(train, holdout, fresh) - 1) < 0.1)
    True
    >>> bool(abs(trends(train, holdout, rng.permuted(train, axis=0))) < 0.1)
    True
    """
    return CalibratedMetric(
        metric, n_shuffles=n_shuffles, random_state=random_state, metric_kwargs=metric_kwargs
    )
