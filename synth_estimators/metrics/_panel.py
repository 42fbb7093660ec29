"""A panel of metrics that judges synthetic tables against the same real rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.utils import Bunch

from synth_estimators._random import draw_seed, spawn_seeds
from synth_estimators.metrics._panel_groups import (
    PRESETS,
    group_names,
    is_privacy,
    run_group,
    select_metrics,
)
from synth_estimators.metrics._registry import METRICS
from synth_estimators.metrics._utility_task import _is_classification
from synth_estimators.preprocessing._columns import MISSING, as_frame, read_tables

__all__ = ["Panel", "calibrate", "shuffle_columns"]

_N_SHUFFLES = 3

# A limit and a floor closer than this many standard deviations of the floor say nothing, nor do
# those that rounding separates.
_NOISE = 3.0
_ROUNDING = 1e-9

# Two shuffles suffice where they differ by less than this share of their way to the limit: that is
# fourteen standard deviations or more.
_SETTLED = 0.1


# Their axes fit the training rows better than any others, which so are no example of fresh rows;
# the limit is the theoretical value.
_LEARN_FROM_TRAIN = ("pca_c2st_auc",)

# Below one half nothing was told apart: only chance gets there.
_CHANCE_BELOW = ("c2st_auc", "pca_c2st_auc")

# A target with more labels than this, and in every second row another one, is an identifier.
_MOST_CLASSES = 20

# Fresh rows have p-values of any size.
_P_VALUES = ("c2st_test", "mmd_test")


def shuffle_columns(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Shuffle every column on its own: the same columns without dependence."""
    rng = np.random.default_rng(seed)
    columns = [frame.iloc[:, j].array[rng.permutation(len(frame))] for j in range(frame.shape[1])]
    shuffled = pd.DataFrame(dict(enumerate(columns)))
    shuffled.columns = frame.columns
    return shuffled


def calibrate(name: str, value: float, limit: float, floors: Any) -> float:
    """Place a value between the floor of independent columns (0) and real rows (1).

    Values with an ideal inside their range count by their distance from it, so that rows that are
    nearer to the real ones than real rows are do not score above 1 for it. NaN where the limit and
    the floor differ by less than three standard deviations of the floor, for p-values, and for
    metrics that do not see dependence.
    """
    info = METRICS[name]
    if not info.sees_dependence or is_privacy(name) or name in _P_VALUES:
        return float("nan")
    floors = np.asarray(floors, dtype=np.float64)
    if name in _CHANCE_BELOW:
        value, limit, floors = (np.maximum(part, info.ideal) for part in (value, limit, floors))
    if np.isfinite(info.low) and info.low < info.ideal < info.high:
        value, limit, floors = (-np.abs(part - info.ideal) for part in (value, limit, floors))
    spread = limit - floors.mean()
    noise = floors.std(ddof=1) if floors.size > 1 else 0.0
    least = max(_NOISE * noise, _ROUNDING * max(abs(limit), abs(floors.mean())))
    if not np.isfinite(spread) or abs(spread) <= least:
        return float("nan")
    return float((value - floors.mean()) / spread)


def _settled(runs, limit):
    """Whether two values of the floor are so far from the limit that a third adds nothing."""
    if len(runs) < 2:
        return False
    return abs(runs[0] - runs[1]) < _SETTLED * abs(np.mean(runs) - limit)


def _harmonised(table):
    """Data frame of a table that was read: numbers and categories, one spelling each."""
    columns, j, k = {}, 0, 0
    for place, discrete in enumerate(table.discrete):
        if discrete:
            labels = table.categories[k]
            codes = table.codes[:, k]
            if MISSING in labels:
                gap = labels.index(MISSING)
                codes = np.where(codes == gap, -1, codes - (codes > gap))
                labels = [label for label in labels if label != MISSING]
            columns[place] = pd.Categorical.from_codes(codes, categories=labels)
            k += 1
        else:
            values = table.continuous[:, j]
            columns[place] = values.astype(np.float32) if table.single[j] else values
            j += 1
    frame = pd.DataFrame(columns)
    frame.columns = pd.Index(table.names, dtype=object)
    return frame


class Panel:
    """Judge synthetic tables by many metrics against the same real rows.

    The limit (what fresh real rows reach) and the floor (columns shuffled independently) are
    computed once and kept, so that several synthetic tables are compared at the cost of one pass
    each.

    Parameters
    ----------
    X_train : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows that the generators were fitted to.

    X_holdout : {array-like, pandas DataFrame} or None
        Real rows that no generator has seen, best as many as training rows. None compares with
        the training rows, which rewards copying, and leaves out the metrics that need them.

    target : column name or int, default=None
        Column that models predict in the utility metrics; None leaves these out.

    metrics : {"standard", "fast", "all"} or list of str, default="standard"
        Names from ``METRICS``. "fast" uses at most 1,500 rows where models are fitted or rows
        compared.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    expression : bool, default=False
        The tables are expression matrices (samples in rows, genes in columns): add their metrics.

    max_rows : int or None, default=10_000
        Most rows of each table in metrics that compare rows or fit models. The presets lower it
        for metrics whose cost grows with the square of the rows.

    random_state : int, RandomState instance or None, default=0
        Seeds subsamples, folds, models and shuffles; the same for every table that is judged.

    n_jobs : int or None, default=None
        Metrics computed at a time. Values do not depend on it.

    Attributes
    ----------
    names : list of str
        The metrics, in the order of the table.

    discrete_columns : list
        Columns that are taken as discrete, a target with classes among them.

    left_out : dict
        Metric of the preset that cannot be computed -> what it lacks.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.metrics import Panel
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 100, 1))
    >>> train, holdout, fresh = x + 0.3 * rng.normal(size=(3, 100, 3))
    >>> panel = Panel(train, holdout, metrics=["column_pair_trends_score", "dcr_share"])
    >>> bool(panel.values(fresh)["column_pair_trends_score"] > 0.95)
    True
    >>> panel.table(fresh).loc["dcr_share", "limit"].item()
    0.5
    """

    def __init__(
        self,
        X_train: Any,
        X_holdout: Any,
        *,
        target: Any = None,
        metrics: Any = "standard",
        discrete_columns: Any = "auto",
        expression: bool = False,
        max_rows: int | None = 10_000,
        random_state: Any = 0,
        n_jobs: int | None = None,
    ) -> None:
        if max_rows is not None and max_rows < 1:
            raise ValueError(f"max_rows={max_rows!r} must be at least 1 or None.")
        self.metrics = metrics
        self.max_rows = max_rows
        self.n_jobs = n_jobs
        self.seed = draw_seed(random_state)
        given = {"X_train": X_train, "X_holdout": X_holdout}
        tables = read_tables(
            {name: table for name, table in given.items() if table is not None},
            discrete_columns=discrete_columns,
        )
        self._read_target(X_train, tables["X_train"].names, target, discrete_columns)
        self._given = {name: table for name, table in given.items() if table is not None}
        self.discrete_columns = [*tables["X_train"].discrete_names, *self._class_target]
        self._names = tables["X_train"].names
        keys = ["X_train", *(["X_holdout"] if X_holdout is not None else [])]
        keys += ["target"] if target is not None else []
        self.names = select_metrics(metrics, given=keys, expression=expression)
        everything = select_metrics(
            metrics, given=("X_train", "X_holdout", "target"), expression=expression
        )
        self.left_out = {
            name: sorted(set(METRICS[name].needs) - set(keys))
            for name in everything
            if name not in self.names
        }
        self._frames = {
            name: _harmonised(table)
            for name, table in read_tables(
                self._given, discrete_columns=self.discrete_columns, synthetic=()
            ).items()
        }
        self._limits: dict[int, dict[str, Bunch]] = {}
        self._floors: dict[int, dict[str, np.ndarray]] = {}

    def _read_target(self, X_train, names, target, discrete_columns):
        self.target, self.task, self._class_target = None, None, []
        if target is None:
            return
        frame, _ = as_frame(X_train, name="X_train")
        frame = frame.set_axis(names, axis=1) if len(names) == frame.shape[1] else frame
        if target not in names:
            if not (isinstance(target, (int, np.integer)) and -len(names) <= target < len(names)):
                raise ValueError(
                    f"target={target!r} is not a column of X_train; its columns are "
                    f"{[str(label) for label in names[:8]]}."
                )
            target = names[target]
        self.target = target
        classes = _is_classification(frame[target], discrete_columns, "auto")
        n_values, n_rows = frame[target].nunique(), int(frame[target].notna().sum())
        if classes and n_values > max(_MOST_CLASSES, n_rows / 2):
            raise ValueError(
                f"target={target!r} has {n_values} different values in {n_rows} rows; expected "
                "class labels or numbers. Is it an identifier?"
            )
        self.task = "classification" if classes else "regression"
        self._class_target = [target] if classes else []

    @property
    def max_rows_compared(self) -> int | None:
        """Most rows of each table in metrics whose cost grows with the square of the rows."""
        return self._cap(1)

    def _cap(self, place):
        """Row limit of the preset, at most ``max_rows``."""
        preset = PRESETS.get(self.metrics) if isinstance(self.metrics, str) else None
        limits = [self.max_rows, None if preset is None else preset[place]]
        return min([limit for limit in limits if limit is not None], default=None)

    def _options(self):
        return {
            "target": self.target,
            "task": self.task,
            "random_state": self.seed,
            "max_rows": self._cap(1),
            "max_rows_privacy": self._cap(2),
            "max_rows_models": self._cap(2),
        }

    def _read_synth(self, X_synth):
        """Read a synthetic table by the columns and kinds of the training table."""
        read = read_tables(
            {"X_train": self._given["X_train"], "X_synth": X_synth},
            discrete_columns=self.discrete_columns,
        )
        return _harmonised(read["X_synth"]), read["X_synth"].n_nonfinite

    def frame(self, name: str) -> pd.DataFrame:
        """Return the training or holdout rows as they are compared.

        Parameters
        ----------
        name : {"X_train", "X_holdout"}
            Which rows.

        Returns
        -------
        frame : pandas DataFrame
            Discrete columns are categories in their normal spelling, the others numbers.
        """
        return self._frames[name]

    def _measure(self, synth, names, *, breakdown=False, real=None, trtr=None):
        """Compute metrics for one harmonised table; a Bunch for each, and the warnings."""
        holdout = self._frames.get("X_holdout")
        if real is None:
            real = self._frames["X_train"] if holdout is None else holdout
        tables = {
            "X_real": real,
            "X_synth": synth,
            "X_train": self._frames["X_train"],
            "X_holdout": holdout,
        }
        groups, options = group_names(names), {**self._options(), "trtr": trtr}
        parts = Parallel(n_jobs=self.n_jobs)(
            delayed(run_group)(group, members, tables, options, breakdown)
            for group, members in groups.items()
        )
        found: dict[str, Bunch] = {}
        messages: dict[str, list] = {}
        for members, (results, caught) in zip(groups.values(), parts, strict=True):
            found |= results
            messages |= dict.fromkeys(members, caught)
        return {name: found[name] for name in names}, messages

    def _cut(self, n_rows):
        """Training rows, cut to ``n_rows`` where there are more."""
        frame = self._frames["X_train"]
        if n_rows is None or n_rows >= len(frame):
            return frame
        rows = np.random.default_rng(self.seed).permutation(len(frame))[:n_rows]
        return frame.iloc[rows].reset_index(drop=True)

    def measure(self, X_synth: Any, *, breakdown: bool = False) -> Bunch:
        """Compute all metrics of one table.

        Parameters
        ----------
        X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Synthetic rows.

        breakdown : bool, default=False
            Keep the details of every metric.

        Returns
        -------
        measured : Bunch
            ``scores`` (name -> number), ``breakdowns`` (name -> Bunch), ``messages`` (name ->
            list of (category, text)), ``frame`` (the rows as they are compared), ``n_rows`` and
            ``n_nonfinite`` (infinite cells of every column, which count as missing).
        """
        frame, n_nonfinite = self._read_synth(X_synth)
        found, messages = self._measure(frame, self.names, breakdown=breakdown)
        return Bunch(
            scores={name: float(bunch.score) for name, bunch in found.items()},
            breakdowns=found,
            messages=messages,
            frame=frame,
            n_rows=len(frame),
            n_nonfinite=n_nonfinite,
        )

    def values(self, X_synth: Any) -> dict[str, float]:
        """Compute the metrics of one table.

        Parameters
        ----------
        X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Synthetic rows.

        Returns
        -------
        values : dict of float
            By the name of the metric.
        """
        measured = self.measure(X_synth)
        self.warn(measured)
        return measured.scores

    def warn(self, measured: Bunch) -> None:
        """Issue the warnings that ``measure`` collected.

        Parameters
        ----------
        measured : Bunch
            What ``measure`` returned.
        """
        for category, text in dict.fromkeys(m for part in measured.messages.values() for m in part):
            warnings.warn(text, category, stacklevel=3)

    def limit(self, n_rows: int | None = None) -> dict[str, float]:
        """What fresh real rows reach.

        Training rows against the holdout rows; for privacy metrics the value of rows that nobody
        has seen (holdout rows, or the theoretical value). Without holdout rows the theoretical
        value of all metrics, as always for two-sample tests on components of the training rows.

        Parameters
        ----------
        n_rows : int or None, default=None
            Rows the training table is cut to; None takes all.

        Returns
        -------
        limit : dict of float
        """
        size = len(self._cut(n_rows))
        if size not in self._limits:
            self._limits[size] = self._find_limits(n_rows)
        return dict(self._limits[size])

    def _find_limits(self, n_rows):
        theory = {name: METRICS[name].ideal for name in self.names}
        if "X_holdout" not in self._frames:
            return theory
        privacy = [name for name in self.names if is_privacy(name)]
        known = [name for name in privacy if "X_holdout" in METRICS[name].needs]
        fresh = [name for name in privacy if name not in known]
        judged = [name for name in self.names if name not in (*privacy, *_LEARN_FROM_TRAIN)]
        found, _ = self._measure(self._cut(n_rows), judged)
        # Fresh rows beside the training rows: the holdout in the place of the synthetic table.
        found |= self._measure(self._frames["X_holdout"], fresh)[0]
        values = {name: float(bunch.score) for name, bunch in found.items()}
        return {name: values.get(name, theory[name]) for name in self.names}

    def floor(self, n_rows: int | None = None) -> dict[str, float]:
        """What training rows reach when every column is shuffled on its own.

        Parameters
        ----------
        n_rows : int or None, default=None
            Rows the training table is cut to; None takes all.

        Returns
        -------
        floor : dict of float
            Mean over three shuffles, two where these nearly agree; NaN for privacy metrics, which
            have no such floor.
        """
        floors = self._all_floors(n_rows)
        return {name: float(values.mean()) for name, values in floors.items()}

    def _all_floors(self, n_rows=None):
        frame = self._cut(n_rows)
        if len(frame) not in self._floors:
            judged = [name for name in self.names if not is_privacy(name)]
            blind = {name for name in judged if not METRICS[name].sees_dependence}
            runs: dict[str, list[float]] = {name: [] for name in judged}
            limit = self.limit(n_rows)
            # The model trained on real rows is the same for every table of this many rows.
            trtr = limit.get("trtr_score") if "X_holdout" in self._frames else None
            for number, seed in enumerate(spawn_seeds(self.seed, _N_SHUFFLES)):
                # Metrics blind to dependence need one shuffle to show it.
                names = [
                    name
                    for name in judged
                    if number == 0 or not (name in blind or _settled(runs[name], limit[name]))
                ]
                if not names:
                    continue
                found, _ = self._measure(shuffle_columns(frame, seed), names, trtr=trtr)
                for name, bunch in found.items():
                    runs[name].append(float(bunch.score))
            self._floors[len(frame)] = {
                name: np.array(runs.get(name, [np.nan])) for name in self.names
            }
        return self._floors[len(frame)]

    def table(self, X_synth: Any) -> pd.DataFrame:
        """Compare one table with the limit and the floor.

        Parameters
        ----------
        X_synth : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Synthetic rows.

        Returns
        -------
        table : pandas DataFrame
            One row a metric: ``value``, ``greater_is_better``, ``ideal``, ``limit``, ``floor``,
            ``calibrated`` and ``note``. Calibrated is 0 for independent columns and 1 for real
            rows; NaN where that difference drowns in noise or the metric does not see dependence.
            Limit and floor use as many training rows as there are synthetic ones, at most all.
        """
        measured = self.measure(X_synth)
        self.warn(measured)
        return self.tabulate(measured)

    def tabulate(self, measured: Bunch) -> pd.DataFrame:
        """Lay out what ``measure`` returned, as ``table`` does.

        Parameters
        ----------
        measured : Bunch
            What ``measure`` returned.

        Returns
        -------
        table : pandas DataFrame
        """
        limit, floors = self.limit(measured.n_rows), self._all_floors(measured.n_rows)
        rows = {
            name: {
                "value": measured.scores[name],
                "greater_is_better": METRICS[name].greater_is_better,
                "ideal": METRICS[name].ideal,
                "limit": limit[name],
                "floor": float(floors[name].mean()),
                "calibrated": calibrate(name, measured.scores[name], limit[name], floors[name]),
                "note": self._note(name, measured),
            }
            for name in self.names
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    def _note(self, name, measured):
        notes = []
        refused = measured.breakdowns[name].get("refused")
        if refused:
            notes.append(refused)
        elif np.isnan(measured.scores[name]):
            notes += [text for _, text in measured.messages[name]][:1]
        if is_privacy(name):
            notes.append("privacy; the limit is the value of rows that nobody has seen")
        elif not METRICS[name].sees_dependence:
            notes.append("does not see whether columns belong together")
        return "; ".join(notes)
