"""Batch effects before and after a correction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from synth_estimators._random import draw_seed
from synth_estimators.batch_effects import BATCH_METRICS, batch_metrics, pc_regression
from synth_estimators.batch_effects._base import BaseBatchCorrector
from synth_estimators.batch_effects._batch_rows import read_matrix
from synth_estimators.inspection._batch_panels import (
    embed,
    legend,
    make_grid,
    number,
    scatter,
    verdict,
)
from synth_estimators.inspection._common import MARK_COLOR, as_frame, merged, pyplot

__all__ = ["BatchEffectDisplay"]

_BEFORE_COLOR = "0.65"
_N_PCS_SHOWN = 5
_SHARES = {
    "pvca_batch": "batch",
    "pvca_label": "class",
    "pvca_interaction": "batch x class",
    "pvca_residual": "residual",
}
_SHOWN = (
    "silhouette_batch",
    "kbet_rejection",
    "lisi_median",
    "batch_variance_fraction",
    "levene_median",
    "silhouette_label",
    "knn_overlap_10",
    "distance_correlation",
)


def _joined(labels):
    """Labels of several columns as one text a row."""
    if isinstance(labels, pd.DataFrame):
        return labels.astype(str).agg(" / ".join, axis=1).to_numpy()
    return labels


def _column(X, labels, name):
    """Labels given as an array, or by the name of a column of X."""
    if not isinstance(labels, str):
        return labels
    columns = list(getattr(X, "obs", X).columns) if hasattr(X, "columns") or _has_obs(X) else []
    if labels not in columns:
        raise ValueError(
            f"{name}={labels!r} names no column of X; pass the labels as an array, or the name of "
            f"one of {[str(column) for column in columns[:10]]}."
        )
    return np.asarray(X.obs[labels] if _has_obs(X) else X[labels])


def _has_obs(X):
    return type(X).__module__.split(".")[0] == "anndata"


class BatchEffectDisplay:
    """Rows before and after a correction of batch effects, with what the batches explain.

    Shows the rows in two dimensions, coloured by batch and by class, the shares of the variance
    that batch and class explain, and a table of metrics. Create the display with
    :meth:`from_estimator` or :meth:`from_data`; the parameters are kept as attributes.

    Read more in the :ref:`User Guide <batch_diagnostics>`.

    Parameters
    ----------
    Z_before, Z_after : ndarray of shape (n_samples, 2)
        Coordinates of the rows.

    batch : ndarray of shape (n_samples,)
        Batch of every row.

    variance : pandas DataFrame with the columns "before" and "after"
        Shares of the variance, one row a bar.

    metrics : pandas DataFrame with the columns "before" and "after"
        Metrics by their names in ``BATCH_METRICS``.

    label : ndarray of shape (n_samples,), default=None
        Class of every row; None leaves the panels of the classes out.

    axis_labels : pair of lists of str, default=None
        Names of the two dimensions before and after.

    variance_title : str, default=None
        Title of the shares of the variance.

    corrector_name : str, default=None
        Name of the correction, shown as a title.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (4,) or (6,)
        By batch before and after, by class before and after if there are classes, shares of the
        variance, table of metrics.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    synth_estimators.batch_effects.batch_metrics : The metrics.

    Notes
    -----
    Each cloud has its own map, since directions that batches fill before a correction are empty
    after it. Two dimensions show little of many: a batch effect that is gone from them may be
    there in others, which the metrics look at.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from synth_estimators.batch_effects import ComBat
    >>> from synth_estimators.inspection import BatchEffectDisplay
    >>> rng = np.random.default_rng(0)
    >>> batch = np.tile(["a", "b", "c"], 20)
    >>> X = rng.normal(size=(60, 30)) + rng.normal(size=(3, 30))[np.tile([0, 1, 2], 20)]
    >>> combat = ComBat().fit(X, batch=batch)
    >>> display = BatchEffectDisplay.from_estimator(combat, X, batch=batch, random_state=0)
    >>> display.metrics.loc["batch_variance_fraction"].round(2).to_dict()
    {'before': 0.41, 'after': 0.0}
    """

    def __init__(
        self,
        Z_before: np.ndarray,
        Z_after: np.ndarray,
        batch: np.ndarray,
        variance: pd.DataFrame,
        metrics: pd.DataFrame,
        *,
        label: np.ndarray | None = None,
        axis_labels: Any = None,
        variance_title: str | None = None,
        corrector_name: str | None = None,
    ) -> None:
        self.Z_before = Z_before
        self.Z_after = Z_after
        self.batch = batch
        self.variance = variance
        self.metrics = metrics
        self.label = label
        self.axis_labels = axis_labels
        self.variance_title = variance_title
        self.corrector_name = corrector_name

    @classmethod
    def from_estimator(
        cls,
        corrector: Any,
        X: Any,
        *,
        batch: Any = None,
        covariates: Any = None,
        label: Any = None,
        n_pcs: int | None = None,
        method: str = "pca",
        variance: str = "pvca",
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        scatter_kw: dict | None = None,
        bar_kw: dict | None = None,
    ) -> BatchEffectDisplay:
        """Transform rows by a fitted corrector and compare them with what they were.

        Parameters
        ----------
        corrector : estimator instance
            A fitted corrector, or a fitted pipeline with ``transform`` that needs no keywords.

        X : {array-like, pandas DataFrame, AnnData} of shape (n_samples, n_features)
            Rows, best ones that were not used in ``fit``, with the columns of labels that the
            corrector reads.

        batch : array-like of shape (n_samples,) or str, default=None
            Batch of every row, or the column of ``X`` that holds it; None takes the column that
            the corrector reads.

        covariates : pandas DataFrame, mapping or array-like with n_samples rows, default=None
            Covariates for the corrector, instead of columns of ``X``.

        label : array-like of shape (n_samples,) or str, default=None
            Class of every row, or the column of ``X`` that holds it.

        n_pcs : int or None, default=None
            Principal components that the metrics of distances look at; None takes the features.

        method : {"pca", "umap"}, default="pca"
            The map to two dimensions. "umap" needs umap-learn.

        variance : {"pvca", "pcs"}, default="pvca"
            Shares of batch, class and residual by principal variance component analysis, or the
            share of each of the first components that lies between batches.

        random_state : int, RandomState instance or None, default=None
            Seeds the metrics and the map.

        name : str, default=None
            Name for the title; None uses the class name.

        ax : matplotlib Axes or list of Axes, default=None
            One axes a panel, or one whose area is divided; None creates a figure.

        scatter_kw, bar_kw : dict, default=None
            Keywords of ``Axes.scatter`` and of ``Axes.barh``.

        Returns
        -------
        display : BatchEffectDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            If there are no batch labels, or ``batch`` or ``label`` names no column.
        """
        check_is_fitted(corrector)
        owner = type(corrector).__name__
        label_values = _column(X, label, "label")
        if isinstance(corrector, BaseBatchCorrector):
            before, after, labels = _corrected(
                corrector, X, batch=_column(X, batch, "batch"), covariates=covariates
            )
        else:
            if batch is None:
                raise ValueError(
                    f"batch is needed, since {owner} does not say which column of X holds it; pass "
                    "the labels or the name of the column."
                )
            labels = _column(X, batch, "batch")
            before, after = _numeric_part(X, leave_out=(batch, label)), corrector.transform(X)
        return cls.from_data(
            before=before,
            after=after,
            batch=labels,
            label=label_values,
            n_pcs=n_pcs,
            method=method,
            variance=variance,
            random_state=random_state,
            name=owner if name is None else name,
            ax=ax,
            scatter_kw=scatter_kw,
            bar_kw=bar_kw,
        )

    @classmethod
    def from_data(
        cls,
        *,
        before: Any,
        after: Any,
        batch: Any,
        label: Any = None,
        n_pcs: int | None = None,
        method: str = "pca",
        variance: str = "pvca",
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        scatter_kw: dict | None = None,
        bar_kw: dict | None = None,
    ) -> BatchEffectDisplay:
        """Compare two versions of the same rows that are already at hand.

        Parameters
        ----------
        before, after : {array-like, pandas DataFrame, AnnData} of shape (n_samples, n_features)
            The rows before and after the correction, without missing cells.

        batch : array-like of shape (n_samples,)
            Batch of every row.

        label : array-like of shape (n_samples,), default=None
            Class of every row.

        n_pcs : int or None, default=None
            Principal components that the metrics of distances look at; None takes the features.

        method : {"pca", "umap"}, default="pca"
            The map to two dimensions. "umap" needs umap-learn.

        variance : {"pvca", "pcs"}, default="pvca"
            Shares of batch, class and residual by principal variance component analysis, or the
            share of each of the first components that lies between batches. Where batch and class
            cannot be told apart, "pcs" takes the place of "pvca".

        random_state : int, RandomState instance or None, default=None
            Seeds the metrics and the map.

        name : str, default=None
            Name of the correction for the title.

        ax : matplotlib Axes or list of Axes, default=None
            One axes a panel, or one whose area is divided; None creates a figure.

        scatter_kw, bar_kw : dict, default=None
            Keywords of ``Axes.scatter`` and of ``Axes.barh``.

        Returns
        -------
        display : BatchEffectDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            For an unknown method, different numbers of rows, one batch or class, or values that
            are not finite.
        """
        for word, value, known in (
            ("method", method, ("pca", "umap")),
            ("variance", variance, ("pvca", "pcs")),
        ):
            if value not in known:
                raise ValueError(f"{word}={value!r} is unknown; use {known[0]!r} or {known[1]!r}.")
        tables = {"before": read_matrix(before, "before"), "after": read_matrix(after, "after")}
        n_rows = [len(rows) for rows in tables.values()]
        if n_rows[0] != n_rows[1]:
            raise ValueError(
                f"before has {n_rows[0]} rows but after has {n_rows[1]}; pass the same rows twice."
            )
        seed = draw_seed(random_state)
        found = {
            side: batch_metrics(
                rows,
                batch,
                label,
                before=tables["before"] if side == "after" else None,
                n_pcs=n_pcs,
                random_state=seed,
            )
            for side, rows in tables.items()
        }
        values = pd.DataFrame(found).reindex(
            [key for key in BATCH_METRICS if key in found["after"]]
        )
        shares, title = _variance_shares(values, tables, batch, variance)
        maps = {side: embed(rows, method, seed) for side, rows in tables.items()}
        display = cls(
            maps["before"][0],
            maps["after"][0],
            np.asarray(batch),
            shares,
            values,
            label=None if label is None else np.asarray(label),
            axis_labels=(maps["before"][1], maps["after"][1]),
            variance_title=title,
            corrector_name=name,
        )
        return display.plot(ax=ax, scatter_kw=scatter_kw, bar_kw=bar_kw)

    def plot(
        self,
        ax: Any = None,
        *,
        metrics: Any = _SHOWN,
        scatter_kw: dict | None = None,
        bar_kw: dict | None = None,
    ) -> BatchEffectDisplay:
        """Draw the embeddings, the shares of the variance and the table of metrics.

        Parameters
        ----------
        ax : matplotlib Axes or list of Axes, default=None
            One axes a panel, or one whose area is divided; None creates a figure.

        metrics : list of str, default=eight of them
            Rows of the table, of those in ``self.metrics``.

        scatter_kw, bar_kw : dict, default=None
            Keywords of ``Axes.scatter`` and of ``Axes.barh``.

        Returns
        -------
        self : BatchEffectDisplay
            The display with ``axes_`` and ``figure_`` set.
        """
        plt = pyplot("BatchEffectDisplay.plot")
        n_columns = 2 if self.label is None else 3
        self.axes_ = make_grid(plt, ax, n_columns)
        self.figure_ = self.axes_[0].figure
        kinds = [("batch", self.batch)]
        if self.label is not None:
            kinds.append(("class", self.label))
        panels = iter(self.axes_)
        after_name = "after" if self.corrector_name is None else f"after {self.corrector_name}"
        axis_labels = self.axis_labels or [["dimension 1", "dimension 2"]] * 2
        for kind, labels in kinds:
            for Z, title, names in (
                (self.Z_before, "before", axis_labels[0]),
                (self.Z_after, after_name, axis_labels[1]),
            ):
                axes = next(panels)
                scatter(axes, np.asarray(Z), labels, scatter_kw)
                axes.set_title(f"{title}, by {kind}", fontsize="medium")
                axes.set_xlabel(names[0], fontsize="small")
                axes.set_ylabel(names[1], fontsize="small")
                axes.tick_params(labelsize="x-small")
            legend(axes, kind)
        self._plot_variance(next(panels), bar_kw)
        self._plot_table(next(panels), metrics)
        return self

    def _plot_variance(self, axes, bar_kw):
        places = np.arange(len(self.variance))
        for shift, side, color in ((-0.2, "before", _BEFORE_COLOR), (0.2, "after", MARK_COLOR)):
            values = self.variance[side].to_numpy(dtype=np.float64)
            look = merged({"height": 0.38, "color": color, "label": side}, bar_kw)
            bars = axes.barh(places + shift, np.nan_to_num(values), **look)
            texts = ["undefined" if np.isnan(value) else f"{value:.0%}" for value in values]
            axes.bar_label(bars, texts, padding=2, fontsize="x-small")
        axes.set_yticks(places, [str(name) for name in self.variance.index], fontsize="small")
        axes.invert_yaxis()
        axes.set_xlim(0.0, 1.12)
        axes.set_xticks([0.0, 0.5, 1.0], ["0%", "50%", "100%"], fontsize="x-small")
        axes.set_title(self.variance_title or "share of the variance", fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            fontsize="x-small",
            ncols=2,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.06),
            frameon=False,
        )

    def _plot_table(self, axes, metrics):
        unknown = [name for name in metrics if name not in BATCH_METRICS]
        if unknown:
            raise ValueError(f"metrics names {unknown}; expected names of BATCH_METRICS.")
        names = [name for name in metrics if name in self.metrics.index]
        cells, colors = [], []
        for name in names:
            info = BATCH_METRICS[name]
            before, after = self.metrics.loc[name, ["before", "after"]]
            arrow, mark, color = verdict(info.greater_is_better, before, after)
            cells.append([info.title, arrow, number(before), number(after), mark])
            colors.append(color)
        axes.set_axis_off()
        axes.set_title("metrics", fontsize="medium")
        table = axes.table(
            cells,
            colLabels=["", "wanted", "before", "after", ""],
            colWidths=[0.5, 0.14, 0.15, 0.15, 0.06],
            cellLoc="right",
            bbox=[0.0, 0.0, 1.0, 1.0],
            edges="horizontal",
        )
        table.auto_set_font_size(False)
        for (row, column), cell in table.get_celld().items():
            cell.set_edgecolor("0.85")
            cell.set_fontsize(8)
            if column == 0:
                cell.get_text().set_ha("left")
                cell.PAD = 0.02
            if row > 0 and column >= 3:
                cell.get_text().set_color(colors[row - 1])


def _corrected(corrector, X, **given):
    """Features before and after a corrector, and the batch labels."""
    rows, _ = corrector._read(X, given, reset=False)
    if rows.batch is None:
        raise ValueError(
            f"X has no column {corrector.batch!r} and no batch was passed; BatchEffectDisplay "
            "needs the batch of every row."
        )
    after = corrector.transform(X, **{key: v for key, v in given.items() if v is not None})
    if not _has_obs(after):
        n_labels = len(corrector._label_positions) if corrector.keep_metadata else 0
        frame = as_frame(after, name="X")
        after = frame.iloc[:, : frame.shape[1] - n_labels].apply(pd.to_numeric)
    return rows.X, after, _joined(rows.batch)


def _numeric_part(X, *, leave_out):
    """Columns of numbers that hold no labels."""
    if _has_obs(X):
        return X
    frame = as_frame(X, name="X")
    names = [name for name in leave_out if isinstance(name, str)]
    return frame.drop(columns=names).select_dtypes("number")


def _variance_shares(values, tables, batch, variance):
    """Bars of the shares of the variance, and their title."""
    if variance == "pvca":
        shares = values.reindex([key for key in _SHARES if key in values.index]).rename(_SHARES)
        if not shares.isna().any(axis=None):
            return shares, "share of the variance (PVCA)"
    parts = {
        side: pc_regression(rows, batch, breakdown=True).details["r2"]
        for side, rows in tables.items()
    }
    shares = pd.DataFrame(parts).iloc[:_N_PCS_SHOWN]
    shares.index = [f"PC{k + 1}" for k in range(len(shares))]
    return shares, "share between batches, by component"
