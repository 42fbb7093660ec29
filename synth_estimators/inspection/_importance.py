"""Which columns give synthetic rows away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synth_estimators._random import draw_seed
from synth_estimators.inspection._common import SYNTH_COLOR, as_frames, draw, merged, pyplot
from synth_estimators.inspection._heatmap import _of_shown
from synth_estimators.inspection._marginals import _shortened
from synth_estimators.inspection._panels import shown_columns
from synth_estimators.metrics import c2st_auc

__all__ = ["FeatureImportanceDisplay"]

_MAX_BARS = 20
_MAX_COLUMNS = 2000


class FeatureImportanceDisplay:
    """Importance of the columns for a classifier that tells synthetic from real rows.

    Create it with :meth:`from_estimator`, :meth:`from_predictions` or :meth:`from_breakdown`; the
    parameters are kept as attributes.

    Parameters
    ----------
    importances : pandas Series
        Importance of every column.

    auc : float
        Area under the curve of the classifier: 0.5 means that it sees no difference, and then the
        importances are noise.

    n_columns : int, default=None
        Number of columns of the whole table; None if all were judged.

    estimator_name : str, default=None
        Name of the generator, shown in the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    MarginalsDisplay : How such a column differs.

    Notes
    -----
    A column can be important for its own values or for how it goes with others. Of tables with
    more than 2,000 columns, :meth:`from_predictions` judges categories and the columns of largest
    variance in the real table; a choice by difference would raise the AUC by itself. Pass the
    breakdown of a test on all columns to :meth:`from_breakdown` to see all of them.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from synth_estimators.inspection import FeatureImportanceDisplay
    >>> rng = np.random.default_rng(0)
    >>> X_real, X_synth = rng.normal(size=(80, 3)), rng.normal(size=(80, 3)) + [0, 2, 0]
    >>> display = FeatureImportanceDisplay.from_predictions(X_real, X_synth, random_state=0)
    >>> display.importances.idxmax()
    'x1'
    """

    def __init__(
        self,
        importances: pd.Series,
        *,
        auc: float,
        n_columns: int | None = None,
        estimator_name: str | None = None,
    ) -> None:
        self.importances = importances
        self.auc = auc
        self.n_columns = n_columns
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        generator: Any,
        X_real: Any,
        *,
        n_samples: int | None = None,
        estimator: Any = "xgb",
        cv: int = 5,
        discrete_columns: Any = "auto",
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        bar_kw: dict | None = None,
    ) -> FeatureImportanceDisplay:
        """Draw rows from a fitted generator and test them against real rows.

        Parameters
        ----------
        generator : estimator instance
            A fitted generator, or a fitted search over one.

        X_real : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real rows that were not used in ``fit``.

        n_samples : int or None, default=None
            Rows to draw; None draws as many as ``X_real`` has.

        estimator : {"xgb", "logistic"} or classifier, default="xgb"
            The classifier, as in :func:`synth_estimators.metrics.c2st_auc`.

        cv : int, default=5
            Number of folds.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        random_state : int, RandomState instance or None, default=None
            Seeds the draw, the folds and the classifier.

        name : str, default=None
            Name for the title; None uses the class name.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        bar_kw : dict, default=None
            Keywords of ``Axes.barh``.

        Returns
        -------
        display : FeatureImportanceDisplay
            The display, already plotted.
        """
        seed = draw_seed(random_state)
        X_synth, _ = draw(
            generator,
            X_real,
            n_samples=n_samples,
            random_state=seed,
            y=None,
            owner="FeatureImportanceDisplay.from_estimator",
        )
        return cls.from_predictions(
            X_real,
            X_synth,
            estimator=estimator,
            cv=cv,
            discrete_columns=discrete_columns,
            random_state=seed,
            name=type(generator).__name__ if name is None else name,
            ax=ax,
            bar_kw=bar_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        X_real: Any,
        X_synth: Any,
        *,
        estimator: Any = "xgb",
        cv: int = 5,
        discrete_columns: Any = "auto",
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        bar_kw: dict | None = None,
    ) -> FeatureImportanceDisplay:
        """Test two tables that are already at hand.

        Parameters
        ----------
        X_real, X_synth : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Real and synthetic rows with the same columns, in any order.

        estimator : {"xgb", "logistic"} or classifier, default="xgb"
            The classifier, as in :func:`synth_estimators.metrics.c2st_auc`.

        cv : int, default=5
            Number of folds.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        random_state : int, RandomState instance or None, default=None
            Seeds the folds and the classifier.

        name : str, default=None
            Name of the generator for the title.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        bar_kw : dict, default=None
            Keywords of ``Axes.barh``.

        Returns
        -------
        display : FeatureImportanceDisplay
            The display, already plotted.
        """
        real, synth = as_frames(X_real, X_synth)
        n_columns = real.shape[1]
        if n_columns > _MAX_COLUMNS:
            shown = shown_columns(real, None, _MAX_COLUMNS)
            if discrete_columns is not None and not isinstance(discrete_columns, str):
                discrete_columns = _of_shown(discrete_columns, list(real.columns), shown)
            real, synth = real[shown], synth[shown]
        outcome = c2st_auc(
            real,
            synth,
            estimator=estimator,
            cv=cv,
            discrete_columns=discrete_columns,
            random_state=random_state,
            breakdown=True,
        )
        return cls.from_breakdown(
            outcome,
            n_columns=n_columns if n_columns > _MAX_COLUMNS else None,
            name=name,
            ax=ax,
            bar_kw=bar_kw,
        )

    @classmethod
    def from_breakdown(
        cls,
        outcome: Any,
        *,
        n_columns: int | None = None,
        name: str | None = None,
        ax: Any = None,
        bar_kw: dict | None = None,
    ) -> FeatureImportanceDisplay:
        """Show what a two-sample test with ``breakdown=True`` returned.

        Parameters
        ----------
        outcome : Bunch
            Result of ``c2st_auc``, ``c2st_score`` or ``pca_c2st_auc``; ``fold_auc`` and
            ``details`` are used.

        n_columns : int or None, default=None
            Number of columns of the whole table, if not all were tested.

        name : str, default=None
            Name of the generator for the title.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        bar_kw : dict, default=None
            Keywords of ``Axes.barh``.

        Returns
        -------
        display : FeatureImportanceDisplay
            The display, already plotted.

        Raises
        ------
        ValueError
            If the outcome holds no importances.
        """
        details = getattr(outcome, "details", None)
        if details is None or "importance" not in details or not hasattr(outcome, "fold_auc"):
            raise ValueError(
                "outcome holds no importances; pass what c2st_auc(..., breakdown=True) returns."
            )
        importances = pd.Series(
            details["importance"].to_numpy(dtype=np.float64),
            index=pd.Index(details["column"], dtype=object),
            name="importance",
        )
        display = cls(
            importances,
            auc=float(np.mean(outcome.fold_auc)),
            n_columns=n_columns,
            estimator_name=name,
        )
        return display.plot(ax=ax, bar_kw=bar_kw)

    def plot(self, ax: Any = None, *, bar_kw: dict | None = None) -> FeatureImportanceDisplay:
        """Draw one bar a column, up to 20, the most important one on top.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        bar_kw : dict, default=None
            Keywords of ``Axes.barh``.

        Returns
        -------
        self : FeatureImportanceDisplay
            The display with ``ax_`` and ``figure_`` set.
        """
        plt = pyplot("FeatureImportanceDisplay.plot")
        ranked = self.importances.fillna(0.0).sort_values(ascending=False, kind="stable")
        top = ranked.head(_MAX_BARS)
        if ax is None:
            height = 1.2 + 0.25 * len(top)
            _, ax = plt.subplots(figsize=(6.0, height), layout="constrained")
        self.ax_ = ax
        self.figure_ = ax.figure
        place = np.arange(len(top))
        ax.barh(place, top.to_numpy(), **merged({"color": SYNTH_COLOR}, bar_kw))
        ax.set_yticks(place, [_shortened(str(name)) for name in top.index], fontsize="small")
        ax.invert_yaxis()
        n_judged = len(ranked)
        of_all = "" if self.n_columns is None else f" (judged: {n_judged:,} of {self.n_columns:,})"
        shown = f"{len(top)} of {n_judged:,} columns{of_all}"
        ax.set_xlabel(
            "importance" if len(top) == n_judged and not of_all else f"importance, {shown}"
        )
        ax.set_title(
            f"{self.estimator_name or 'synthetic'} against real rows: AUC {self.auc:.2f} "
            "(0.5 is ideal)",
            fontsize="medium",
        )
        return self
