"""Real and synthetic rows as two pictures of coloured cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._distances import nearest_rows
from synth_estimators._random import draw_seed, local_rng
from synth_estimators.inspection._common import as_frames, draw, merged, pyplot
from synth_estimators.inspection._panels import (
    clustered,
    label_columns,
    make_panels,
    shown_columns,
)
from synth_estimators.preprocessing._columns import read_tables

__all__ = ["HeatmapDisplay"]

_MAX_COLUMNS = 100
_MAX_CATEGORIES = 8

# Standard deviations at which the colours end.
_COLOR_LIMIT = 3.0

_MISSING_COLOR = "0.75"


def _cells(real, synth, discrete_columns):
    """Columns in standard deviations of the real table; categories as one column each."""
    tables = read_tables({"X_real": real, "X_synth": synth}, discrete_columns=discrete_columns)
    left, right = tables["X_real"], tables["X_synth"]
    blocks, names, k, j = [], [], 0, 0
    for name, discrete in zip(left.names, left.discrete, strict=True):
        if not discrete:
            blocks.append([table.continuous[:, j] for table in (left, right)])
            names.append(str(name))
            j += 1
            continue
        counts = np.bincount(left.codes[:, k], minlength=len(left.categories[k]))
        for code in np.sort(np.argsort(-counts, kind="stable")[:_MAX_CATEGORIES]):
            blocks.append([(table.codes[:, k] == code).astype(float) for table in (left, right)])
            names.append(f"{name}={left.categories[k][code]}")
        k += 1
    cells = [np.column_stack([block[side] for block in blocks]) for side in (0, 1)]
    observed = ~np.isnan(cells[0])
    count = np.maximum(observed.sum(axis=0), 1)
    centre = np.where(observed, cells[0], 0.0).sum(axis=0) / count
    scale = np.sqrt((np.where(observed, cells[0] - centre, 0.0) ** 2).sum(axis=0) / count)
    scale[scale <= 1e-12 * np.maximum(1.0, np.abs(centre))] = 1.0
    return [(part - centre) / scale for part in cells], names


class HeatmapDisplay:
    """Real rows beside synthetic rows, cells coloured by value.

    Every column is in standard deviations from its mean in the real table. Columns and real rows
    are ordered by clusters of the real table; a synthetic row stands where its nearest real row
    does, so that structure that the generator missed shows as a difference of the pictures. Create
    the display with :meth:`from_estimator` or :meth:`from_predictions`; the parameters are kept as
    attributes.

    Parameters
    ----------
    real, synth : pandas DataFrame
        Cells in the order in which they are shown, in standard deviations; NaN where missing.

    n_columns : int, default=None
        Number of columns of the whole table; None if all are shown.

    estimator_name : str, default=None
        Name of the generator, shown as a title.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        Axes of the real and the synthetic rows.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    PairTrendsDisplay : The dependence between columns itself.

    Notes
    -----
    Of wide tables up to 100 columns are shown: categories, then the columns of largest variance.
    A category is a column of its own, for the 8 most frequent ones of each discrete column.
    Missing cells are grey. Colours end at three standard deviations.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from synth_estimators.inspection import HeatmapDisplay
    >>> rng = np.random.default_rng(0)
    >>> X_real, X_synth = rng.normal(size=(40, 6)), rng.normal(size=(30, 6))
    >>> display = HeatmapDisplay.from_predictions(X_real, X_synth)
    >>> display.real.shape, display.synth.shape
    ((40, 6), (30, 6))
    """

    def __init__(
        self,
        real: pd.DataFrame,
        synth: pd.DataFrame,
        *,
        n_columns: int | None = None,
        estimator_name: str | None = None,
    ) -> None:
        self.real = real
        self.synth = synth
        self.n_columns = n_columns
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
        max_rows: int = 200,
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        image_kw: dict | None = None,
    ) -> HeatmapDisplay:
        """Draw rows from a fitted generator and show them beside real rows.

        Parameters
        ----------
        generator : estimator instance
            A fitted generator, or a fitted search over one.

        X_real : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real rows, best ones that were not used in ``fit``.

        n_samples : int or None, default=None
            Rows to draw; None draws as many as ``X_real`` has.

        columns : str, int or list, default=None
            Columns to show; None shows up to 100.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        max_rows : int, default=200
            Most rows of each table that are shown.

        random_state : int, RandomState instance or None, default=None
            Seeds the draw and the choice of rows.

        name : str, default=None
            Name for the title; None uses the class name.

        ax : matplotlib Axes or pair of Axes, default=None
            Two axes, or one whose area is divided; None creates a figure.

        image_kw : dict, default=None
            Keywords of ``Axes.imshow``.

        Returns
        -------
        display : HeatmapDisplay
            The display, already plotted.
        """
        seed = draw_seed(random_state)
        X_synth, _ = draw(
            generator,
            X_real,
            n_samples=n_samples,
            random_state=seed,
            y=None,
            owner="HeatmapDisplay.from_estimator",
        )
        return cls.from_predictions(
            X_real,
            X_synth,
            columns=columns,
            discrete_columns=discrete_columns,
            max_rows=max_rows,
            random_state=seed,
            name=type(generator).__name__ if name is None else name,
            ax=ax,
            image_kw=image_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        X_real: Any,
        X_synth: Any,
        *,
        columns: Any = None,
        discrete_columns: Any = "auto",
        max_rows: int = 200,
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        image_kw: dict | None = None,
    ) -> HeatmapDisplay:
        """Show two tables that are already at hand.

        Parameters
        ----------
        X_real, X_synth : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real and synthetic rows with the same columns, in any order.

        columns : str, int or list, default=None
            Columns to show; None shows up to 100.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        max_rows : int, default=200
            Most rows of each table that are shown.

        random_state : int, RandomState instance or None, default=None
            Seeds the choice of rows.

        name : str, default=None
            Name of the generator for the title.

        ax : matplotlib Axes or pair of Axes, default=None
            Two axes, or one whose area is divided; None creates a figure.

        image_kw : dict, default=None
            Keywords of ``Axes.imshow``.

        Returns
        -------
        display : HeatmapDisplay
            The display, already plotted.
        """
        if max_rows < 1:
            raise ValueError(f"max_rows={max_rows!r} must be at least 1.")
        real, synth = as_frames(X_real, X_synth)
        shown = shown_columns(real, columns, _MAX_COLUMNS)
        if discrete_columns is not None and not isinstance(discrete_columns, str):
            discrete_columns = _of_shown(discrete_columns, list(real.columns), shown)
        (a, b), names = _cells(real[shown], synth[shown], discrete_columns)
        rng = local_rng(random_state)
        a, b = (
            part if len(part) <= max_rows else part[np.sort(rng.permutation(len(part))[:max_rows])]
            for part in (a, b)
        )
        filled_a, filled_b = np.nan_to_num(a), np.nan_to_num(b)
        order = clustered(filled_a.T)
        row_order = clustered(filled_a)
        nearest = nearest_rows(filled_b, filled_a[row_order])[1][:, 0]
        labels = [names[j] for j in order]
        display = cls(
            pd.DataFrame(a[row_order][:, order], columns=labels),
            pd.DataFrame(b[np.argsort(nearest, kind="stable")][:, order], columns=labels),
            n_columns=real.shape[1] if len(shown) < real.shape[1] else None,
            estimator_name=name,
        )
        return display.plot(ax=ax, image_kw=image_kw)

    def plot(self, ax: Any = None, *, image_kw: dict | None = None) -> HeatmapDisplay:
        """Draw the two pictures on one scale of colours.

        Parameters
        ----------
        ax : matplotlib Axes or pair of Axes, default=None
            Two axes, or one whose area is divided; None creates a figure.

        image_kw : dict, default=None
            Keywords of ``Axes.imshow``.

        Returns
        -------
        self : HeatmapDisplay
            The display with ``axes_`` and ``figure_`` set.
        """
        plt = pyplot("HeatmapDisplay.plot")
        n_shown = self.real.shape[1]
        width = float(np.clip(2.5 + 0.12 * n_shown, 3.0, 6.0))
        self.axes_ = make_panels(plt, ax, 2, size=(2 * width + 0.8, 5.0))
        self.figure_ = self.axes_[0].figure
        look = merged(
            {
                "cmap": "RdBu_r",
                "vmin": -_COLOR_LIMIT,
                "vmax": _COLOR_LIMIT,
                "aspect": "auto",
                "interpolation": "nearest",
            },
            image_kw,
        )
        tables = (("real", self.real), (self.estimator_name or "synthetic", self.synth))
        for axes, (title, table) in zip(self.axes_, tables, strict=True):
            image = axes.imshow(np.ma.masked_invalid(table.to_numpy()), **look)
            axes.set_facecolor(_MISSING_COLOR)
            axes.set_title(f"{title}, {len(table)} rows", fontsize="medium")
            label_columns(axes.xaxis, list(table.columns))
            axes.set_yticks([])
            if self.n_columns is not None:
                axes.set_xlabel(f"{n_shown} of {self.n_columns:,} columns", fontsize="small")
            elif not len(axes.get_xticks()):
                axes.set_xlabel(f"{n_shown} columns", fontsize="small")
        self.axes_[0].set_ylabel("rows, clustered")
        bar = self.figure_.colorbar(image, ax=list(self.axes_), extend="both", shrink=0.8)
        bar.set_label("standard deviations from the real mean", fontsize="small")
        return self


def _of_shown(discrete_columns, columns, shown):
    """Names of the discrete columns among the shown ones."""
    chosen = list(discrete_columns)
    if chosen and all(isinstance(item, bool | np.bool_) for item in chosen):
        chosen = [name for name, flag in zip(columns, chosen, strict=True) if flag]
    return [name for name in chosen if name in shown]
