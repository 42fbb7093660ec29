"""Dependence between pairs of columns in both tables."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.inspection._common import as_frames, draw, merged, pyplot
from synth_estimators.inspection._heatmap import _of_shown
from synth_estimators.inspection._panels import (
    clustered,
    label_columns,
    make_panels,
    shown_columns,
)
from synth_estimators.metrics import (
    ConstantColumnWarning,
    association_distance,
    column_pair_trends_score,
)

__all__ = ["PairTrendsDisplay"]

_MAX_COLUMNS = 50
_MIN_DIFFERENCE = 0.2
_UNDEFINED_COLOR = "0.85"


def _matrices(real, synth, discrete_columns):
    """Correlations of numbers, association of the other pairs, in both tables."""
    with warnings.catch_warnings():
        # The picture shows what the warning says: a column without any trend.
        warnings.simplefilter("ignore", ConstantColumnWarning)
        trends, associations = (
            metric(real, synth, discrete_columns=discrete_columns, breakdown=True).details
            for metric in (column_pair_trends_score, association_distance)
        )
    keys = ["column_1", "column_2"]
    pairs = associations.set_index(keys)
    signed = trends.set_index(keys).reindex(pairs.index)
    numeric = (signed["metric"] == "correlation_similarity").to_numpy()
    place = {name: j for j, name in enumerate(real.columns)}
    first = np.array([place[name] for name in associations["column_1"]])
    second = np.array([place[name] for name in associations["column_2"]])
    found = []
    for side in ("real", "synth"):
        values = np.where(numeric, signed[f"correlation_{side}"], pairs[f"association_{side}"])
        matrix = np.full((len(place), len(place)), np.nan)
        matrix[first, second] = matrix[second, first] = values.astype(np.float64)
        found.append(matrix)
    return found


class PairTrendsDisplay:
    r"""Dependence between all pairs of columns: real, synthetic and the difference.

    Two columns of numbers have their Pearson correlation, two of categories the bias-corrected V
    of Cramér, one of each kind the correlation ratio :math:`\eta`. Create the display with
    :meth:`from_estimator` or :meth:`from_predictions`; the parameters are kept as attributes.

    Parameters
    ----------
    real, synth : pandas DataFrame of shape (n_columns, n_columns)
        Matrices of the trends; NaN on the diagonal and where a trend is undefined.

    n_columns : int, default=None
        Number of columns of the whole table; None if all are shown.

    estimator_name : str, default=None
        Name of the generator, shown as a title.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (3,)
        Axes of the real, the synthetic and the difference matrix.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    difference : pandas DataFrame of shape (n_columns, n_columns)
        Synthetic minus real.

    See Also
    --------
    HeatmapDisplay : The rows themselves.

    Notes
    -----
    The columns are ordered by clusters of the real matrix. Of wide tables up to 50 columns are
    shown: categories, then the columns of largest variance.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from synth_estimators.inspection import PairTrendsDisplay
    >>> x = np.random.default_rng(0).normal(size=(60, 1))
    >>> X_real, X_synth = np.hstack([x, x, -x]), np.hstack([x, x, x])
    >>> display = PairTrendsDisplay.from_predictions(X_real, X_synth)
    >>> round(float(display.difference.loc["x0", "x2"]), 6)
    2.0
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

    @property
    def difference(self) -> pd.DataFrame:
        """Synthetic minus real trends."""
        return self.synth - self.real

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
        image_kw: dict | None = None,
    ) -> PairTrendsDisplay:
        """Draw rows from a fitted generator and compare their trends with those of real rows.

        Parameters
        ----------
        generator : estimator instance
            A fitted generator, or a fitted search over one.

        X_real : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real rows, best ones that were not used in ``fit``.

        n_samples : int or None, default=None
            Rows to draw; None draws as many as ``X_real`` has.

        columns : list, default=None
            Columns to show; None shows up to 50.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        random_state : int, RandomState instance or None, default=None
            Seeds the draw.

        name : str, default=None
            Name for the title; None uses the class name.

        ax : matplotlib Axes or three Axes, default=None
            Three axes, or one whose area is divided; None creates a figure.

        image_kw : dict, default=None
            Keywords of ``Axes.imshow`` for all three matrices.

        Returns
        -------
        display : PairTrendsDisplay
            The display, already plotted.
        """
        X_synth, _ = draw(
            generator,
            X_real,
            n_samples=n_samples,
            random_state=random_state,
            y=None,
            owner="PairTrendsDisplay.from_estimator",
        )
        return cls.from_predictions(
            X_real,
            X_synth,
            columns=columns,
            discrete_columns=discrete_columns,
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
        name: str | None = None,
        ax: Any = None,
        image_kw: dict | None = None,
    ) -> PairTrendsDisplay:
        """Compare two tables that are already at hand.

        Parameters
        ----------
        X_real, X_synth : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real and synthetic rows with the same columns, in any order.

        columns : list, default=None
            Columns to show; None shows up to 50.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        name : str, default=None
            Name of the generator for the title.

        ax : matplotlib Axes or three Axes, default=None
            Three axes, or one whose area is divided; None creates a figure.

        image_kw : dict, default=None
            Keywords of ``Axes.imshow`` for all three matrices.

        Returns
        -------
        display : PairTrendsDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            When the tables have different columns, or fewer than two are shown.
        """
        real, synth = as_frames(X_real, X_synth)
        shown = shown_columns(real, columns, _MAX_COLUMNS)
        if len(shown) < 2:
            raise ValueError(
                f"{len(shown)} column is shown; PairTrendsDisplay compares pairs and needs at "
                "least two."
            )
        if discrete_columns is not None and not isinstance(discrete_columns, str):
            discrete_columns = _of_shown(discrete_columns, list(real.columns), shown)
        matrices = _matrices(real[shown], synth[shown], discrete_columns)
        # Columns that depend on the same others in the same way come together.
        order = clustered(np.nan_to_num(matrices[0]) + np.eye(len(shown)))
        labels = [shown[j] for j in order]
        frames = [pd.DataFrame(m[np.ix_(order, order)], labels, labels) for m in matrices]
        display = cls(
            *frames,
            n_columns=real.shape[1] if len(shown) < real.shape[1] else None,
            estimator_name=name,
        )
        return display.plot(ax=ax, image_kw=image_kw)

    def plot(self, ax: Any = None, *, image_kw: dict | None = None) -> PairTrendsDisplay:
        """Draw the three matrices; the first two share their colours.

        Parameters
        ----------
        ax : matplotlib Axes or three Axes, default=None
            Three axes, or one whose area is divided; None creates a figure.

        image_kw : dict, default=None
            Keywords of ``Axes.imshow`` for all three matrices.

        Returns
        -------
        self : PairTrendsDisplay
            The display with ``axes_`` and ``figure_`` set.
        """
        plt = pyplot("PairTrendsDisplay.plot")
        n_shown = len(self.real)
        side = float(np.clip(2.2 + 0.1 * n_shown, 3.0, 5.0))
        self.axes_ = make_panels(plt, ax, 3, size=(3 * side + 1.6, side + 0.6), gap=0.6)
        self.figure_ = self.axes_[0].figure
        gap = self.difference.to_numpy()
        found = np.abs(gap[np.isfinite(gap)])
        largest = max(_MIN_DIFFERENCE, float(found.max())) if found.size else _MIN_DIFFERENCE
        mean = f"mean {found.mean():.2g}" if found.size else "undefined"
        parts = (
            ("real", self.real.to_numpy(), 1.0, "RdBu_r"),
            (self.estimator_name or "synthetic", self.synth.to_numpy(), 1.0, "RdBu_r"),
            (f"difference, {mean}", np.abs(gap), largest, "Purples"),
        )
        images = []
        for axes, (title, matrix, limit, cmap) in zip(self.axes_, parts, strict=True):
            low = 0.0 if cmap == "Purples" else -limit
            look = merged({"cmap": cmap, "vmin": low, "vmax": limit, "aspect": "equal"}, image_kw)
            images.append(axes.imshow(np.ma.masked_invalid(matrix), **look))
            axes.set_facecolor(_UNDEFINED_COLOR)
            axes.set_title(title, fontsize="medium")
            label_columns(axes.xaxis, list(self.real.columns))
            if axes is self.axes_[0]:
                label_columns(axes.yaxis, list(self.real.columns), vertical=True)
            else:
                axes.set_yticks([])
            if self.n_columns is not None:
                axes.set_xlabel(f"{n_shown} of {self.n_columns:,} columns", fontsize="small")
        bar = self.figure_.colorbar(images[0], ax=list(self.axes_[:2]), shrink=0.7)
        bar.set_label("correlation or association", fontsize="small")
        bar = self.figure_.colorbar(images[2], ax=self.axes_[2], shrink=0.7)
        bar.set_label("absolute difference", fontsize="small")
        return self
