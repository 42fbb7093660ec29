"""Scores over the number of rows: means, fitted curves, bands and a target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from synth_estimators.inspection._common import MARK_COLOR, MARKERS, merged, pyplot

__all__ = ["SynthLearningCurveDisplay"]

# Okabe-Ito: blue for real rows, orange for synthetic ones, then colours far from these.
_COLORS = (
    "#0072B2",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#000000",
    "#8C6D31",
    "#999999",
    "#332288",
    "#882255",
    "#44AA99",
)
_LINES = ("-", "--", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

# Words for the groups of a table, in the order in which they are looked for.
_GROUPS = ("regime", "method", "classifier")
_SIZES = ("n_train", "total_size")
_UNITS = ("repeat", "fold", "draw")

_POINTS = 200
# Larger sizes say only that a curve is flat.
_MOST = 1_000_000

# More curves than these share one band and no bars, and their legend stands beside the axes.
_FEW = 3


def _first_of(columns, candidates, *, what):
    for name in candidates:
        if name in columns:
            return name
    raise ValueError(f"The table has no column for the {what}; expected one of {list(candidates)}.")


def _sorted_regimes(names):
    """Real rows first, then synthetic ones, then the others as they come."""
    first = [name for name in ("real", "synth") if name in names]
    return first + [name for name in names if name not in first]


def _means(table, size, score):
    """Mean and spread of the scores at every size; draws of one fold are averaged first."""
    units = [name for name in ("repeat", "fold") if name in table.columns]
    if units and table[units].drop_duplicates().shape[0] > 1:
        table = table.groupby([*units, size])[score].mean().reset_index()
    grouped = table.groupby(size)[score]
    return pd.DataFrame({"mean": grouped.mean(), "sd": grouped.std()}).dropna(subset="mean")


class SynthLearningCurveDisplay:
    """Scores over the number of rows, for one or more ways to make the training table.

    Create it with :meth:`from_estimator` or :meth:`from_table`; the parameters are kept as
    attributes.

    Parameters
    ----------
    points : dict
        ``{name: DataFrame}`` with the sizes as index and the columns ``mean`` and ``sd``.

    curves : dict, default=None
        ``{name: fitted curve}`` with ``predict``, ``interval`` and ``required_n``; names without
        a curve are drawn as points joined by lines.

    metric : str, default=None
        Name of the score, the label of the vertical axis.

    title : str, default=None
        Title, such as the name of the classifier.

    xlabel : str, default="Rows trained on"
        Label of the horizontal axis.

    Attributes
    ----------
    required_ : dict
        Size at which each curve reaches the target, ``{name: Bunch}``; empty without a target.

    ax_ : matplotlib Axes
        Axes with the curves.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    lines_ : dict
        The line of each name.

    bands_ : dict
        The band of each name that has one.

    See Also
    --------
    LossCurveDisplay : Losses over the epochs of a training run.
    synth_estimators.model_selection.GeneratorLearningCurve : The study that is drawn.

    Notes
    -----
    Points are means, bars the standard deviations between the outer folds (or the draws, where
    there are no folds), and the shaded area is the confidence band of the fitted curve. With more
    than three curves the bars are left out and only the first curve keeps its band.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> from synth_estimators.inspection import SynthLearningCurveDisplay
    >>> table = pd.DataFrame(
    ...     {"n_train": [20, 40, 80, 160], "draw": 0, "auc": [0.70, 0.78, 0.83, 0.86]}
    ... )
    >>> display = SynthLearningCurveDisplay.from_table(table, score="auc")
    >>> display.ax_.get_ylabel()
    'auc'
    """

    def __init__(
        self,
        points: dict,
        *,
        curves: dict | None = None,
        metric: str | None = None,
        title: str | None = None,
        xlabel: str = "Rows trained on",
    ) -> None:
        self.points = points
        self.curves = curves
        self.metric = metric
        self.title = title
        self.xlabel = xlabel

    @classmethod
    def from_estimator(
        cls,
        study: Any,
        *,
        classifier: str | None = None,
        metric: str | None = None,
        regimes: Any = None,
        target: float | None = None,
        reach: float = 1.0,
        level: float = 0.95,
        title: str | None = None,
        ax: Any = None,
        line_kw: dict | None = None,
        band_kw: dict | None = None,
    ) -> SynthLearningCurveDisplay:
        """Plot a fitted ``GeneratorLearningCurve``.

        Parameters
        ----------
        study : GeneratorLearningCurve
            A fitted study: anything with ``results_`` and ``curves_``.

        classifier, metric : str, default=None
            What to show; None is the first of the study.

        regimes : sequence of str, default=None
            Regimes to show; None is all of them.

        target : float, default=None
            Score to be reached, drawn as a line; the sizes needed are marked.

        reach : float, default=1.0
            How far the curves are drawn, as a multiple of the largest size.

        level : float, default=0.95
            Confidence of the bands.

        title : str, default=None
            Title; None is the name of the classifier.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        line_kw, band_kw : dict, default=None
            Keywords of ``Axes.plot`` and ``Axes.fill_between``.

        Returns
        -------
        display : SynthLearningCurveDisplay
            The display, already plotted.

        Raises
        ------
        TypeError
            When the study has no ``results_``.

        ValueError
            For a classifier, metric or regime that the study does not hold.
        """
        check_is_fitted(study)
        if not (hasattr(study, "results_") and hasattr(study, "curves_")):
            raise TypeError(
                "SynthLearningCurveDisplay needs a fitted GeneratorLearningCurve (results_ and "
                f"curves_), got {type(study).__name__}; tables go to from_table."
            )
        table = study.results_
        classifier = _pick(table, "classifier", classifier)
        metric = _pick(table, "metric", metric)
        table = table.loc[(table["classifier"] == classifier) & (table["metric"] == metric)]
        known = list(dict.fromkeys(table["regime"]))
        wanted = _sorted_regimes(known) if regimes is None else _listed(regimes)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise ValueError(f"Unknown regime {unknown[0]!r}; the study holds {known}.")
        points = {
            name: _means(table.loc[table["regime"] == name], "n_train", "score") for name in wanted
        }
        curves = {
            name: study.curves_[name, classifier, metric]
            for name in wanted
            if (name, classifier, metric) in study.curves_
        }
        display = cls(
            points,
            curves=curves,
            metric=metric,
            title=classifier if title is None else title,
            xlabel="Rows n",
        )
        return display.plot(
            ax=ax, target=target, reach=reach, level=level, line_kw=line_kw, band_kw=band_kw
        )

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        score: str = "score",
        size: str | None = None,
        by: str | None = None,
        curves: dict | Any = None,
        target: float | None = None,
        reach: float = 1.0,
        level: float = 0.95,
        title: str | None = None,
        ax: Any = None,
        line_kw: dict | None = None,
        band_kw: dict | None = None,
    ) -> SynthLearningCurveDisplay:
        """Plot a long table of scores, such as that of ``evaluate_sample_sizes``.

        Parameters
        ----------
        table : DataFrame
            One row for each score.

        score : str, default="score"
            Column with the scores, for example ``"f1_score"``.

        size : str, default=None
            Column with the number of rows; None is ``"n_train"``, else ``"total_size"``.

        by : str, default=None
            Column whose values get lines of their own; None is the first of ``"regime"``,
            ``"method"`` and ``"classifier"`` with more than one value.

        curves : dict or fitted curve, default=None
            Fitted curves by the values of ``by``, or the only one.

        target : float, default=None
            Score to be reached, drawn as a line; the sizes needed are marked.

        reach : float, default=1.0
            How far the curves are drawn, as a multiple of the largest size.

        level : float, default=0.95
            Confidence of the bands.

        title : str, default=None
            Title.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        line_kw, band_kw : dict, default=None
            Keywords of ``Axes.plot`` and ``Axes.fill_between``.

        Returns
        -------
        display : SynthLearningCurveDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            When a column is missing or the table holds no score.
        """
        if len(table) == 0:
            raise ValueError("The table has no rows; expected one row for each score.")
        if score not in table.columns:
            raise ValueError(
                f"The table has no column {score!r}; pass score=, one of {list(table.columns)}."
            )
        size = _first_of(table.columns, _SIZES if size is None else (size,), what="size")
        if by is None:
            several = (
                name for name in _GROUPS if name in table.columns and table[name].nunique() > 1
            )
            by = next(several, None)
        elif by not in table.columns:
            raise ValueError(f"The table has no column {by!r}; pass by=, one of its columns.")
        if by is None:
            parts = {score: table}
        else:
            names = _sorted_regimes(list(dict.fromkeys(table[by])))
            parts = {name: table.loc[table[by] == name] for name in names}
        points = {name: _means(part, size, score) for name, part in parts.items()}
        if curves is not None and not isinstance(curves, dict):
            curves = {next(iter(parts)): curves}
        xlabel = "Rows trained on" if size == "n_train" else "Rows of the table"
        display = cls(points, curves=curves, metric=score, title=title, xlabel=xlabel)
        return display.plot(
            ax=ax, target=target, reach=reach, level=level, line_kw=line_kw, band_kw=band_kw
        )

    def plot(
        self,
        ax: Any = None,
        *,
        target: float | None = None,
        reach: float = 1.0,
        level: float = 0.95,
        line_kw: dict | None = None,
        band_kw: dict | None = None,
    ) -> SynthLearningCurveDisplay:
        """Draw means, fitted curves, bands and the target.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        target : float, default=None
            Score to be reached, drawn as a line; the sizes needed are marked.

        reach : float, default=1.0
            How far the curves are drawn, as a multiple of the largest size.

        level : float, default=0.95
            Confidence of the bands.

        line_kw, band_kw : dict, default=None
            Keywords of ``Axes.plot`` and ``Axes.fill_between``.

        Returns
        -------
        self : SynthLearningCurveDisplay
            The display with ``ax_``, ``figure_``, ``lines_``, ``bands_`` and ``required_`` set.

        Raises
        ------
        ValueError
            When there is no finite score, or ``reach`` is below 1.
        """
        shown = {name: part for name, part in self.points.items() if len(part)}
        if not shown:
            raise ValueError("There is no finite score to draw.")
        if not reach >= 1:
            raise ValueError(f"reach={reach!r} must be at least 1.")
        plt = pyplot("SynthLearningCurveDisplay.plot")
        if ax is None:
            _, ax = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
        sizes = np.unique(np.concatenate([part.index.to_numpy() for part in shown.values()]))
        grid = np.geomspace(sizes[0], sizes[-1] * reach, _POINTS)
        self.lines_, self.bands_, self.required_ = {}, {}, {}
        for index, (name, part) in enumerate(shown.items()):
            color = _COLORS[index % len(_COLORS)]
            self._draw_one(ax, name, part, grid, level, color, index, line_kw, band_kw)
        ax.set_xscale("log")
        if target is not None:
            self._draw_target(ax, target, level, shown)
        self._dress(ax, sizes, grid)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    def _draw_one(self, ax, name, part, grid, level, color, index, line_kw, band_kw):
        """Points with their spread, and the fitted curve with its band."""
        curve = (self.curves or {}).get(name)
        few = len(self.points) <= _FEW
        marker = MARKERS[index % len(MARKERS)]
        ax.errorbar(
            part.index,
            part["mean"],
            yerr=part["sd"].fillna(0.0) if few else None,
            color=color,
            marker=marker,
            markersize=5,
            linestyle="none",
            elinewidth=0.8,
            alpha=0.9,
        )
        look = {"color": color, "linestyle": _LINES[index % len(_LINES)], "linewidth": 1.6}
        look = merged({**look, "label": str(name)}, line_kw)
        if curve is None:
            self.lines_[name] = ax.plot(part.index, part["mean"], marker=marker, **look)[0]
            return
        mean = curve.predict(grid)
        # Without a marker on the line itself, the legend shows the symbol of the points.
        self.lines_[name] = ax.plot(grid, mean, marker=marker, markevery=[], **look)[0]
        if len(part) < 4 or not (few or index == 0):
            return
        low, high = curve.interval(grid, level=level)
        if np.isfinite(low).any():
            keywords = merged({"color": color, "alpha": 0.15, "linewidth": 0}, band_kw)
            self.bands_[name] = ax.fill_between(grid, low, high, **keywords)

    def _draw_target(self, ax, target, level, shown):
        """The target as a line; the sizes at which curves reach it as drops to the axis."""
        ax.axhline(
            target, color=MARK_COLOR, linestyle=":", linewidth=1.4, label=f"target {target:g}"
        )
        left, right = ax.get_xlim()
        for name in shown:
            curve = (self.curves or {}).get(name)
            if curve is None:
                continue
            answer = curve.required_n(target, level=level)
            self.required_[name] = answer
            line = self.lines_[name]
            if np.isinf(answer.n):
                line.set_label(f"{name} (not reached)")
                continue
            far = ", extrapolated" if answer.extrapolated else ""
            n = f"= {int(np.ceil(answer.n)):,}" if answer.n <= _MOST else f"> {_MOST:,}"
            line.set_label(f"{name} (n {n}{far})")
            if left <= answer.n <= right:
                ax.plot(
                    [answer.n, answer.n],
                    [0, target],
                    color=line.get_color(),
                    linestyle=":",
                    linewidth=1.2,
                    scaley=False,
                )

    def _dress(self, ax, sizes, grid):
        """Ticks at the sizes of the study, names of the axes, legend."""
        ticks = sizes if grid[-1] <= sizes[-1] else np.append(sizes, round(grid[-1]))
        ax.set_xticks(ticks, [f"{int(tick):,}" for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel(self.xlabel)
        if self.metric:
            ax.set_ylabel(self.metric)
        if self.title:
            ax.set_title(self.title)
        labels = ax.get_legend_handles_labels()[1]
        if len(labels) > 2 * _FEW:
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
        elif labels != [self.metric]:
            ax.legend(loc="best", fontsize="small")


def _pick(table, column, value):
    known = list(dict.fromkeys(table[column]))
    if value is None:
        return known[0]
    if value not in known:
        raise ValueError(f"Unknown {column} {value!r}; the study holds {known}.")
    return value


def _listed(names):
    return [names] if isinstance(names, str) else list(names)
