"""Real and synthetic columns, one small panel a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.inspection._common import (
    REAL_COLOR,
    SYNTH_COLOR,
    as_frames,
    draw,
    merged,
    pyplot,
)
from synth_estimators.metrics import column_shapes_score

__all__ = ["MarginalsDisplay"]

_MAX_PANELS = 12
_MAX_BARS = 12
_FEW_VALUES = 10


def _is_text(column: pd.Series) -> bool:
    dtype = column.dtype
    return (
        isinstance(dtype, pd.CategoricalDtype)
        or pd.api.types.is_bool_dtype(dtype)
        or not pd.api.types.is_numeric_dtype(dtype)
    )


def _numbers(column: pd.Series) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.sort(values[np.isfinite(values)])


def _categories(column: pd.Series) -> pd.Series:
    """Values as text, with ``1``, ``1.0`` and ``True`` as one category and gaps as ``<NA>``."""
    if pd.api.types.is_bool_dtype(column.dtype):
        column = column.astype("Int64" if column.isna().any() else "int64")

    def text(value):
        if pd.isna(value):
            return "<NA>"
        if isinstance(value, bool | np.bool_):
            return str(int(value))
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        return str(value).strip()

    return column.astype(object).map(text)


def _shares(real: pd.Series, synth: pd.Series) -> pd.DataFrame:
    """Share of each category in both tables, most frequent real category first."""
    table = pd.DataFrame(
        {
            "real": _categories(real).value_counts(normalize=True),
            "synth": _categories(synth).value_counts(normalize=True),
        }
    ).fillna(0.0)
    return table.sort_values("real", ascending=False, kind="stable")


def _distances(real: pd.DataFrame, synth: pd.DataFrame, discrete: pd.Series) -> pd.Series:
    """KS distance of numeric columns, total variation distance of discrete ones."""
    found = column_shapes_score(
        real, synth, discrete_columns=discrete.to_numpy(dtype=bool), breakdown=True
    )
    # NaN marks columns that are empty in both tables, where there is nothing to tell apart.
    values = 1.0 - found.details["score"].to_numpy(dtype=np.float64)
    return pd.Series(np.nan_to_num(values), index=real.columns, name="distance")


def _listed(names: Any, known: pd.Index, *, parameter: str) -> list:
    names = [names] if isinstance(names, str) or np.ndim(names) == 0 else list(names)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{parameter} names column {str(unknown[0])!r}, which the tables lack; they hold "
            f"{[str(c) for c in known[:8]]}{'...' if len(known) > 8 else ''}."
        )
    return list(dict.fromkeys(names))


class MarginalsDisplay:
    r"""Real and synthetic columns side by side, the least faithful ones first.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`; the parameters are kept as
    attributes.

    Parameters
    ----------
    real : pandas DataFrame
        Real rows, one column a panel.

    synth : pandas DataFrame
        Synthetic rows with the same columns.

    distances : pandas Series
        Distance of each column: Kolmogorov-Smirnov for numbers, total variation for categories.

    discrete : pandas Series of bool
        Columns that hold categories.

    estimator_name : str, default=None
        Name of the generator, shown in the legend.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_columns,)
        One axes a column, in the order of ``real``.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    EmbeddingDisplay : Shows dependence between columns, which margins cannot.

    Notes
    -----
    Compare with rows that the generator has not seen. Even two sets of real rows differ: for
    :math:`n` and :math:`m` rows of one continuous law the expected distance is near
    :math:`0.87\sqrt{(n + m) / (n m)}`, 0.12 for 100 and 100 rows.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from synth_estimators.inspection import MarginalsDisplay
    >>> rng = np.random.default_rng(0)
    >>> X_real, X_synth = rng.normal(size=(80, 3)), rng.normal(size=(80, 3)) + [0, 2, 0]
    >>> display = MarginalsDisplay.from_predictions(X_real, X_synth)
    >>> display.distances.index[0]
    'x1'
    """

    def __init__(
        self,
        real: pd.DataFrame,
        synth: pd.DataFrame,
        *,
        distances: pd.Series,
        discrete: pd.Series,
        estimator_name: str | None = None,
    ) -> None:
        self.real = real
        self.synth = synth
        self.distances = distances
        self.discrete = discrete
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        generator: Any,
        X_real: Any,
        *,
        n_samples: int | None = None,
        columns: Any = None,
        discrete_columns: Any = "auto",
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        kind: str = "hist",
        n_cols: int | None = None,
        real_kw: dict | None = None,
        synth_kw: dict | None = None,
    ) -> MarginalsDisplay:
        """Draw rows from a fitted generator and plot them beside real rows.

        Parameters
        ----------
        generator : estimator instance
            A fitted generator, or a fitted search over one.

        X_real : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real rows, best ones that were not used in ``fit``.

        n_samples : int or None, default=None
            Rows to draw; None draws as many as ``X_real`` has.

        columns : str, int or list, default=None
            Columns to show; None shows up to 12 with the largest distance, largest first.

        discrete_columns : "auto" or list, default="auto"
            Columns that hold categories; "auto" takes text, categorical and boolean ones.

        random_state : int, RandomState instance or None, default=None
            Seeds the draw.

        name : str, default=None
            Name for the legend; None uses the class name.

        ax : matplotlib Axes or array-like of Axes, default=None
            One axes a column, or one axes whose area is divided; None creates a figure.

        kind : {"hist", "ecdf"}, default="hist"
            How numeric columns are drawn.

        n_cols : int or None, default=None
            Panels in a row; None takes up to 4.

        real_kw, synth_kw : dict, default=None
            Keywords of the artists of real and synthetic rows.

        Returns
        -------
        display : MarginalsDisplay
            The display, already plotted.
        """
        X_synth, _ = draw(
            generator,
            X_real,
            n_samples=n_samples,
            random_state=random_state,
            y=None,
            owner="MarginalsDisplay.from_estimator",
        )
        return cls.from_predictions(
            X_real,
            X_synth,
            columns=columns,
            discrete_columns=discrete_columns,
            name=type(generator).__name__ if name is None else name,
            ax=ax,
            kind=kind,
            n_cols=n_cols,
            real_kw=real_kw,
            synth_kw=synth_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        X_real: Any,
        X_synth: Any,
        *,
        columns: Any = None,
        discrete_columns: Any = "auto",
        name: str | None = None,
        ax: Any = None,
        kind: str = "hist",
        n_cols: int | None = None,
        real_kw: dict | None = None,
        synth_kw: dict | None = None,
    ) -> MarginalsDisplay:
        """Plot two tables that are already at hand.

        Parameters
        ----------
        X_real, X_synth : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real and synthetic rows with the same columns, in any order.

        columns : str, int or list, default=None
            Columns to show; None shows up to 12 with the largest distance, largest first.

        discrete_columns : "auto" or list, default="auto"
            Columns that hold categories; "auto" takes text, categorical and boolean ones.

        name : str, default=None
            Name of the generator for the legend.

        ax : matplotlib Axes or array-like of Axes, default=None
            One axes a column, or one axes whose area is divided; None creates a figure.

        kind : {"hist", "ecdf"}, default="hist"
            How numeric columns are drawn.

        n_cols : int or None, default=None
            Panels in a row; None takes up to 4.

        real_kw, synth_kw : dict, default=None
            Keywords of the artists of real and synthetic rows.

        Returns
        -------
        display : MarginalsDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            When the tables have different columns or ``columns`` names an unknown one.
        """
        real, synth = as_frames(X_real, X_synth)
        known = real.columns
        if isinstance(discrete_columns, str) and discrete_columns == "auto":
            discrete = pd.Series([_is_text(real[c]) for c in known], index=known)
        else:
            listed = _listed(discrete_columns, known, parameter="discrete_columns")
            discrete = pd.Series(known.isin(listed), index=known)
        shown = list(known) if columns is None else _listed(columns, known, parameter="columns")
        distances = _distances(real[shown], synth[shown], discrete[shown])
        if columns is None:
            distances = distances.sort_values(ascending=False, kind="stable").head(_MAX_PANELS)
            shown = list(distances.index)
        display = cls(
            real[shown],
            synth[shown],
            distances=distances,
            discrete=discrete[shown],
            estimator_name=name,
        )
        return display.plot(ax=ax, kind=kind, n_cols=n_cols, real_kw=real_kw, synth_kw=synth_kw)

    def plot(
        self,
        ax: Any = None,
        *,
        kind: str = "hist",
        n_cols: int | None = None,
        real_kw: dict | None = None,
        synth_kw: dict | None = None,
    ) -> MarginalsDisplay:
        """Draw one panel a column.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            One axes a column, or one axes whose area is divided; None creates a figure.

        kind : {"hist", "ecdf"}, default="hist"
            How numeric columns are drawn; discrete ones and numeric ones with at most 10 different
            values are drawn as bars.

        n_cols : int or None, default=None
            Panels in a row; None takes up to 4.

        real_kw, synth_kw : dict, default=None
            Keywords of the artists of real and synthetic rows.

        Returns
        -------
        self : MarginalsDisplay
            The display with ``axes_`` and ``figure_`` set.
        """
        if kind not in ("hist", "ecdf"):
            raise ValueError(f"kind={kind!r} is unknown; expected 'hist' or 'ecdf'.")
        plt = pyplot("MarginalsDisplay.plot")
        self._make_axes(plt, ax, n_cols)
        synth_name = "synthetic" if not self.estimator_name else self.estimator_name
        looks = (
            merged({"color": REAL_COLOR, "label": "real"}, real_kw),
            merged({"color": SYNTH_COLOR, "label": synth_name}, synth_kw),
        )
        for column, axes in zip(self.real.columns, self.axes_, strict=True):
            real, synth = self.real[column], self.synth[column]
            few = not self.discrete[column] and _n_values(real, synth) <= _FEW_VALUES
            if self.discrete[column] or few:
                _draw_bars(axes, _shares(real, synth), looks, ordered=few)
            elif kind == "ecdf":
                _draw_steps(axes, _numbers(real), _numbers(synth), looks)
            else:
                _draw_histograms(axes, _numbers(real), _numbers(synth), looks)
            axes.set_title(_shortened(str(column)), fontsize="small")
            symbol = "TV" if self.discrete[column] else "KS"
            axes.set_xlabel(f"{symbol} distance {self.distances[column]:.2f}", fontsize="small")
            axes.tick_params(labelsize="x-small")
            if not (self.discrete[column] or few):
                axes.locator_params(axis="x", nbins=4)
        self.figure_ = self.axes_[0].figure
        handles, labels = self.axes_[0].get_legend_handles_labels()
        if self._owns_figure:
            self.figure_.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
        else:
            self.axes_[0].legend(handles, labels, fontsize="x-small")
        return self

    def _make_axes(self, plt, ax, n_cols):
        n_panels = self.real.shape[1]
        n_cols = min(4, n_panels) if n_cols is None else max(1, min(int(n_cols), n_panels))
        n_rows = -(-n_panels // n_cols)
        self._owns_figure = ax is None
        if ax is None:
            size = (max(4.0, 2.6 * n_cols), 0.5 + 2.1 * n_rows)
            figure = plt.figure(figsize=size, layout="constrained")
            grid = figure.add_gridspec(n_rows, n_cols)
        elif isinstance(ax, np.ndarray | list | tuple):
            axes = np.asarray(ax, dtype=object).ravel()
            if len(axes) != n_panels:
                raise ValueError(f"ax holds {len(axes)} axes but {n_panels} columns are shown.")
            self.axes_ = axes
            return
        elif n_panels == 1:
            self.axes_ = np.array([ax], dtype=object)
            return
        else:
            ax.set_axis_off()
            figure = ax.figure
            grid = ax.get_subplotspec().subgridspec(n_rows, n_cols, hspace=0.8, wspace=0.4)
        axes = [figure.add_subplot(grid[j // n_cols, j % n_cols]) for j in range(n_panels)]
        self.axes_ = np.array(axes, dtype=object)


def _n_values(real: pd.Series, synth: pd.Series) -> int:
    return len(np.unique(np.concatenate([_numbers(real), _numbers(synth)])))


def _shortened(name: str, limit: int = 26) -> str:
    """Cut the middle out of a long name; beginning and end tell similar names apart."""
    if len(name) <= limit:
        return name
    tail = limit // 2 - 1
    return f"{name[: limit - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{name[-tail:]}"


def _bin_edges(real: np.ndarray, synth: np.ndarray) -> np.ndarray:
    """Shared bins: width from the real rows, span of both, with the far tails left in end bins."""
    if len(real) == 0 or len(synth) == 0:
        both = np.concatenate([real, synth])
        return np.histogram_bin_edges(both if len(both) else np.zeros(1), bins=10)
    low, high = np.quantile(real, [0.005, 0.995])
    margin = 0.25 * (high - low)
    low = max(min(real[0], synth[0]), min(low - margin, real[0]))
    high = min(max(real[-1], synth[-1]), max(high + margin, real[-1]))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    n_bins = int(np.clip(2.0 * np.cbrt(len(real)), 8, 40))
    return np.linspace(low, high, n_bins + 1)


def _draw_histograms(axes, real, synth, looks):
    edges = _bin_edges(real, synth)
    width = edges[1] - edges[0]
    for values, look, filled in ((real, looks[0], True), (synth, looks[1], False)):
        if len(values) == 0:
            continue
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
        defaults = {"fill": True, "alpha": 0.45} if filled else {"linewidth": 1.6}
        axes.stairs(counts / (len(values) * width), edges, **{**defaults, **look})
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.set_ylabel("density", fontsize="x-small")


def _draw_steps(axes, real, synth, looks):
    for values, look, style in ((real, looks[0], "-"), (synth, looks[1], "--")):
        if len(values):
            axes.ecdf(values, **{"linestyle": style, "linewidth": 1.5, **look})
    axes.set_ylabel("share of rows", fontsize="x-small")


def _draw_bars(axes, table, looks, *, ordered):
    if ordered:
        table = table.iloc[np.argsort([_order_key(c) for c in table.index], kind="stable")]
    if len(table) > _MAX_BARS:
        rest = table.iloc[_MAX_BARS - 1 :].sum().to_frame(f"{len(table) - _MAX_BARS + 1} others").T
        table = pd.concat([table.iloc[: _MAX_BARS - 1], rest])
    places = np.arange(len(table))
    axes.bar(places - 0.2, table["real"], width=0.4, **{"alpha": 0.6, **looks[0]})
    look = {"facecolor": "none", "edgecolor": looks[1]["color"], "linewidth": 1.6, **looks[1]}
    look.pop("color")
    axes.bar(places + 0.2, table["synth"], width=0.4, **look)
    labels = [_shortened(str(c), 12) for c in table.index]
    crowded = sum(map(len, labels)) > 24
    axes.set_xticks(places, labels, rotation=90 if crowded else 0)
    axes.set_ylabel("share of rows", fontsize="x-small")


def _order_key(category: str) -> float:
    return np.inf if category == "<NA>" else float(category)
