"""Real and synthetic rows in two dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._optional import require
from synth_estimators._random import draw_seed
from synth_estimators.inspection._common import (
    MARKERS,
    REAL_COLOR,
    SYNTH_COLOR,
    as_frames,
    draw,
    merged,
    pyplot,
)
from synth_estimators.preprocessing._columns import read_tables
from synth_estimators.preprocessing._mixed_space import MixedSpace

__all__ = ["EmbeddingDisplay"]


def _checked_labels(y: Any, n_rows: int, *, name: str) -> np.ndarray | None:
    if y is None:
        return None
    labels = np.asarray(y)
    if labels.shape != (n_rows,):
        raise ValueError(
            f"{name} has shape {labels.shape} but there are {n_rows} rows; pass one label per row."
        )
    return labels


def _as_numbers(real: pd.DataFrame, synth: pd.DataFrame) -> list[np.ndarray]:
    """Both tables in the space of the metrics, scaled by the real rows."""
    tables = read_tables({"X_real": real, "X_synth": synth})
    space = MixedSpace()._fit_table(tables["X_real"])
    return [space._transform_table(table) for table in tables.values()]


def _embed(method: str, real: np.ndarray, synth: np.ndarray, random_state: Any):
    """Fit the map on the real rows alone and apply it to both tables."""
    if method == "pca":
        from sklearn.decomposition import PCA

        n_components = min(2, *real.shape)
        model = PCA(n_components=n_components, random_state=draw_seed(random_state)).fit(real)
        codes = [model.transform(real), model.transform(synth)]
        if n_components < 2:
            codes = [np.column_stack([part, np.zeros(len(part))]) for part in codes]
        shares = [f"{share:.0%}" for share in model.explained_variance_ratio_] + ["0%"]
        return codes[0], codes[1], [f"PC{k + 1} ({shares[k]} of real variance)" for k in range(2)]
    umap = require("umap", extra="plot", purpose="EmbeddingDisplay with method='umap'")
    n_neighbors = min(15, len(real) - 1)
    if n_neighbors < 2:
        raise ValueError(f"X_real has {len(real)} rows; method='umap' needs at least 3.")
    model = umap.UMAP(n_neighbors=n_neighbors, random_state=draw_seed(random_state), n_jobs=1).fit(
        real
    )
    return model.embedding_, model.transform(synth), ["UMAP 1", "UMAP 2"]


class EmbeddingDisplay:
    """Real and synthetic rows as two clouds in two dimensions.

    The map is fitted on the real rows alone, so that the synthetic ones cannot bend it. Create
    the display with :meth:`from_estimator` or :meth:`from_predictions`; the parameters are kept as
    attributes.

    Parameters
    ----------
    Z_real, Z_synth : ndarray of shape (n_rows, 2)
        Coordinates of the rows.

    y_real, y_synth : array-like of shape (n_rows,), default=None
        Labels, drawn as marker shapes.

    axis_labels : list of str, default=None
        Names of the two dimensions.

    estimator_name : str, default=None
        Name of the generator, shown in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the clouds.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    MarginalsDisplay : Looks at one column at a time.

    Notes
    -----
    Two clouds that agree are no proof of fidelity: PCA shows two directions of many and UMAP
    distorts distances. Use the two-sample test of ``synth_estimators.metrics`` beside it. With many
    more columns than rows the map fits the noise of the real rows, and even fresh real rows come
    out nearer to the centre.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from synth_estimators.inspection import EmbeddingDisplay
    >>> rng = np.random.default_rng(0)
    >>> X_real, X_synth = rng.normal(size=(50, 4)), rng.normal(size=(60, 4))
    >>> display = EmbeddingDisplay.from_predictions(X_real, X_synth)
    >>> display.Z_synth.shape
    (60, 2)
    """

    def __init__(
        self,
        Z_real: Any,
        Z_synth: Any,
        *,
        y_real: Any = None,
        y_synth: Any = None,
        axis_labels: list[str] | None = None,
        estimator_name: str | None = None,
    ) -> None:
        self.Z_real = Z_real
        self.Z_synth = Z_synth
        self.y_real = y_real
        self.y_synth = y_synth
        self.axis_labels = axis_labels
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        generator: Any,
        X_real: Any,
        y: Any = None,
        *,
        n_samples: int | None = None,
        method: str = "pca",
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        real_kw: dict | None = None,
        synth_kw: dict | None = None,
    ) -> EmbeddingDisplay:
        """Draw rows from a fitted generator and plot them over real rows.

        Parameters
        ----------
        generator : estimator instance
            A fitted generator, or a fitted search over one.

        X_real : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real rows.

        y : array-like of shape (n_rows,), default=None
            Labels of the real rows; the generator then draws labelled rows, and labels are shown
            as marker shapes.

        n_samples : int or None, default=None
            Rows to draw; None draws as many as ``X_real`` has.

        method : {"pca", "umap"}, default="pca"
            The map to two dimensions, fitted on the standardised real rows. "umap" needs
            umap-learn.

        random_state : int, RandomState instance or None, default=None
            Seeds the draw and the map.

        name : str, default=None
            Name for the legend; None uses the class name.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        real_kw, synth_kw : dict, default=None
            Keywords of ``Axes.scatter`` for real and synthetic rows.

        Returns
        -------
        display : EmbeddingDisplay
            The display, already plotted.
        """
        seed = draw_seed(random_state)
        X_synth, y_synth = draw(
            generator,
            X_real,
            n_samples=n_samples,
            random_state=seed,
            y=y,
            owner="EmbeddingDisplay.from_estimator",
        )
        return cls.from_predictions(
            X_real,
            X_synth,
            y_real=y,
            y_synth=y_synth,
            method=method,
            random_state=seed,
            name=type(generator).__name__ if name is None else name,
            ax=ax,
            real_kw=real_kw,
            synth_kw=synth_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        X_real: Any,
        X_synth: Any,
        *,
        y_real: Any = None,
        y_synth: Any = None,
        method: str = "pca",
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        real_kw: dict | None = None,
        synth_kw: dict | None = None,
    ) -> EmbeddingDisplay:
        """Plot two tables that are already at hand.

        Parameters
        ----------
        X_real, X_synth : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real and synthetic rows with the same columns. Categories are one-hot coded, missing
            cells filled by the real median and flagged.

        y_real, y_synth : array-like of shape (n_rows,), default=None
            Labels, drawn as marker shapes; give both or none.

        method : {"pca", "umap"}, default="pca"
            The map to two dimensions, fitted on the standardised real rows. "umap" needs
            umap-learn.

        random_state : int, RandomState instance or None, default=None
            Seeds the map.

        name : str, default=None
            Name of the generator for the legend.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        real_kw, synth_kw : dict, default=None
            Keywords of ``Axes.scatter`` for real and synthetic rows.

        Returns
        -------
        display : EmbeddingDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            For an unknown method, different columns, or labels of one table only.
        """
        if method not in ("pca", "umap"):
            raise ValueError(f"method={method!r} is unknown; expected 'pca' or 'umap'.")
        if (y_real is None) != (y_synth is None):
            given, other = ("y_real", "y_synth") if y_synth is None else ("y_synth", "y_real")
            raise ValueError(f"{given} was given without {other}; pass the labels of both tables.")
        real, synth = as_frames(X_real, X_synth)
        Z_real, Z_synth, axis_labels = _embed(method, *_as_numbers(real, synth), random_state)
        display = cls(
            Z_real,
            Z_synth,
            y_real=_checked_labels(y_real, len(real), name="y_real"),
            y_synth=_checked_labels(y_synth, len(synth), name="y_synth"),
            axis_labels=axis_labels,
            estimator_name=name,
        )
        return display.plot(ax=ax, real_kw=real_kw, synth_kw=synth_kw)

    def plot(
        self, ax: Any = None, *, real_kw: dict | None = None, synth_kw: dict | None = None
    ) -> EmbeddingDisplay:
        """Draw the two clouds.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        real_kw, synth_kw : dict, default=None
            Keywords of ``Axes.scatter`` for real and synthetic rows.

        Returns
        -------
        self : EmbeddingDisplay
            The display with ``ax_`` and ``figure_`` set.
        """
        plt = pyplot("EmbeddingDisplay.plot")
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_ = ax
        self.figure_ = ax.figure
        size = float(np.clip(6000 / max(1, len(self.Z_real) + len(self.Z_synth)), 8, 30))
        real_look = merged(
            {"color": REAL_COLOR, "alpha": 0.7, "s": 1.3 * size, "linewidths": 0}, real_kw
        )
        synth_look = merged(
            {
                "facecolors": "none",
                "edgecolors": SYNTH_COLOR,
                "alpha": 0.85,
                "s": size,
                "linewidths": 0.9,
            },
            synth_kw,
        )
        if "color" in (synth_kw or {}):
            synth_look.pop("edgecolors")
        synth_name = self.estimator_name or "synthetic"
        classes = self._classes()
        for k, label in enumerate(classes):
            marker = MARKERS[k % len(MARKERS)]
            suffix = "" if label is None else f", {label}"
            for Z, y, look, name in (
                (self.Z_real, self.y_real, real_look, "real"),
                (self.Z_synth, self.y_synth, synth_look, synth_name),
            ):
                rows = slice(None) if label is None else np.asarray(y) == label
                part = np.asarray(Z)[rows]
                look = {"marker": marker, "label": f"{name}{suffix}", **look}
                ax.scatter(part[:, 0], part[:, 1], **look)
        labels = self.axis_labels or ["dimension 1", "dimension 2"]
        ax.set_xlabel(labels[0])
        ax.set_ylabel(labels[1])
        ax.legend(loc="center left" if len(classes) > 2 else "best", **self._legend_place(classes))
        return self

    def _classes(self):
        if self.y_real is None or self.y_synth is None:
            return [None]
        found = set(np.asarray(self.y_real).tolist()) | set(np.asarray(self.y_synth).tolist())
        try:
            return sorted(found)
        except TypeError:
            return sorted(found, key=str)

    @staticmethod
    def _legend_place(classes):
        return {"bbox_to_anchor": (1.0, 0.5)} if len(classes) > 2 else {}
