"""How close synthetic rows come to the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth_estimators._distances import nearest_rows
from synth_estimators._random import draw_seed, local_rng
from synth_estimators.inspection._common import (
    MARK_COLOR,
    REAL_COLOR,
    SYNTH_COLOR,
    draw,
    merged,
    pyplot,
)
from synth_estimators.metrics._privacy_common import shared_space
from synth_estimators.preprocessing._columns import read_tables

__all__ = ["PrivacyDisplay"]

_LABELS = {
    "synth_to_train": ("{name} to training rows", SYNTH_COLOR, "-"),
    "synth_to_holdout": ("{name} to holdout rows", REAL_COLOR, "--"),
    "holdout_to_train": ("holdout to training rows", MARK_COLOR, "-."),
}

# Share of the distances that is inside the axes.
_SHOWN_SHARE = 0.995


class PrivacyDisplay:
    """Distances to the closest record: synthetic to training, to holdout, holdout to training.

    If the generator kept its training rows to itself, its rows are as far from them as from
    holdout rows, and no closer than holdout rows are: the three curves agree. Copies stand at
    distance 0 of the first curve. Create the display with :meth:`from_estimator` or
    :meth:`from_predictions`; the parameters are kept as attributes.

    Parameters
    ----------
    synth_to_train, synth_to_holdout, holdout_to_train : ndarray
        Distance of every row to its nearest one in the other table.

    space : str, default="gower"
        Space of the distances.

    estimator_name : str, default=None
        Name of the generator, shown in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    share_closer_ : float
        Share of the synthetic rows that are closer to the training than to the holdout rows, ties
        counted one half; 0.5 is ideal.

    Notes
    -----
    Training and holdout rows are cut to the same number, since a larger table is nearer by chance.
    None of this is a guarantee; only differential privacy is.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from synth_estimators.inspection import PrivacyDisplay
    >>> train, holdout = np.random.default_rng(0).normal(size=(2, 50, 3))
    >>> display = PrivacyDisplay.from_predictions(train, holdout, train[:20])
    >>> float(display.synth_to_train.max()), display.share_closer_
    (0.0, 1.0)
    """

    def __init__(
        self,
        synth_to_train: np.ndarray,
        synth_to_holdout: np.ndarray,
        holdout_to_train: np.ndarray,
        *,
        space: str = "gower",
        estimator_name: str | None = None,
    ) -> None:
        self.synth_to_train = synth_to_train
        self.synth_to_holdout = synth_to_holdout
        self.holdout_to_train = holdout_to_train
        self.space = space
        self.estimator_name = estimator_name

    @property
    def share_closer_(self) -> float:
        """Share of the synthetic rows that are closer to the training rows."""
        closer = self.synth_to_train < self.synth_to_holdout
        ties = self.synth_to_train == self.synth_to_holdout
        return float(closer.mean() + 0.5 * ties.mean())

    @classmethod
    def from_estimator(
        cls,
        generator: Any,
        X_train: Any,
        X_holdout: Any,
        *,
        n_samples: int | None = None,
        space: str = "gower",
        discrete_columns: Any = "auto",
        max_rows: int | None = 5000,
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        line_kw: dict | None = None,
    ) -> PrivacyDisplay:
        """Draw rows from a fitted generator and measure how close they come.

        Parameters
        ----------
        generator : estimator instance
            A fitted generator, or a fitted search over one.

        X_train : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Rows that the generator was fitted to.

        X_holdout : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Rows of the same law that it has not seen.

        n_samples : int or None, default=None
            Rows to draw; None draws as many as ``X_holdout`` has.

        space : {"gower", "standard"}, default="gower"
            Space of the distances.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        max_rows : int or None, default=5000
            Most rows of each table that are used.

        random_state : int, RandomState instance or None, default=None
            Seeds the draw and the choice of rows.

        name : str, default=None
            Name for the legend; None uses the class name.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        line_kw : dict, default=None
            Keywords of ``Axes.ecdf`` for all curves.

        Returns
        -------
        display : PrivacyDisplay
            The display, already plotted.
        """
        seed = draw_seed(random_state)
        X_synth, _ = draw(
            generator,
            X_holdout,
            n_samples=n_samples,
            random_state=seed,
            y=None,
            owner="PrivacyDisplay.from_estimator",
        )
        return cls.from_predictions(
            X_train,
            X_holdout,
            X_synth,
            space=space,
            discrete_columns=discrete_columns,
            max_rows=max_rows,
            random_state=seed,
            name=type(generator).__name__ if name is None else name,
            ax=ax,
            line_kw=line_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        X_train: Any,
        X_holdout: Any,
        X_synth: Any,
        *,
        space: str = "gower",
        discrete_columns: Any = "auto",
        max_rows: int | None = 5000,
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        line_kw: dict | None = None,
    ) -> PrivacyDisplay:
        """Measure tables that are already at hand.

        Parameters
        ----------
        X_train, X_holdout, X_synth : {array-like, pandas DataFrame} of shape (n_rows, n_features)
            Training, holdout and synthetic rows with the same columns, in any order.

        space : {"gower", "standard"}, default="gower"
            Space of the distances. "standard" takes its scales from the training rows, "gower"
            the ranges of training and holdout rows together.

        discrete_columns : "auto", list of column names or boolean mask, default="auto"
            Columns that hold categories; "auto" takes text, categories and booleans.

        max_rows : int or None, default=5000
            Most rows of each table that are used.

        random_state : int, RandomState instance or None, default=None
            Seeds the choice of rows.

        name : str, default=None
            Name of the generator for the legend.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        line_kw : dict, default=None
            Keywords of ``Axes.ecdf`` for all curves.

        Returns
        -------
        display : PrivacyDisplay
            The display, already plotted.
        """
        if space not in ("gower", "standard"):
            raise ValueError(f"space={space!r} is unknown; use 'gower' or 'standard'.")
        if max_rows is not None and max_rows < 1:
            raise ValueError(f"max_rows={max_rows!r} must be at least 1 or None.")
        tables = read_tables(
            {"X_train": X_train, "X_holdout": X_holdout, "X_synth": X_synth},
            discrete_columns=discrete_columns,
        )
        size = min(len(tables["X_train"]), len(tables["X_holdout"]))
        size = size if max_rows is None else min(size, max_rows)
        fitted = shared_space(tables["X_train"], tables["X_holdout"], space)
        rng = local_rng(random_state)
        rows = {}
        for key, limit in (("X_train", size), ("X_holdout", size), ("X_synth", max_rows)):
            table = tables[key]
            if limit is not None and len(table) > limit:
                table = table.take(np.sort(rng.permutation(len(table))[:limit]))
            rows[key] = table
        display = cls(
            _nearest(rows["X_synth"], rows["X_train"], fitted),
            _nearest(rows["X_synth"], rows["X_holdout"], fitted),
            _nearest(rows["X_holdout"], rows["X_train"], fitted),
            space=space,
            estimator_name=name,
        )
        return display.plot(ax=ax, line_kw=line_kw)

    def plot(self, ax: Any = None, *, line_kw: dict | None = None) -> PrivacyDisplay:
        """Draw the share of rows within each distance, one curve a pair of tables.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        line_kw : dict, default=None
            Keywords of ``Axes.ecdf`` for all curves.

        Returns
        -------
        self : PrivacyDisplay
            The display with ``ax_`` and ``figure_`` set.
        """
        plt = pyplot("PrivacyDisplay.plot")
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_ = ax
        self.figure_ = ax.figure
        low, high = np.inf, 0.0
        for key, (label, color, style) in _LABELS.items():
            values = np.asarray(getattr(self, key), dtype=np.float64)
            text = label.format(name=self.estimator_name or "synthetic")
            text = f"{text}, median {np.median(values):.3g}"
            defaults = {"color": color, "linestyle": style, "linewidth": 1.8, "label": text}
            ax.ecdf(values, **merged(defaults, line_kw))
            low = min(low, float(values.min()))
            high = max(high, float(np.quantile(values, _SHOWN_SHARE)))
        # Copies at distance 0 stay visible; in many dimensions all distances are far from it.
        low = low if low > 0.5 * high else 0.0
        margin = 0.02 * (high - low) if high > low else 0.01
        ax.set_xlim(low - margin, high + margin)
        kind = "Gower distance" if self.space == "gower" else "distance in standard deviations"
        ax.set_xlabel(f"{kind} to the closest record")
        ax.set_ylabel("share of rows within the distance")
        ax.set_title(
            f"closer to training than to holdout rows: {self.share_closer_:.0%} (50% is ideal)",
            fontsize="medium",
        )
        ax.legend(fontsize="small", loc="lower right")
        return self


def _nearest(queries, reference, fitted):
    rows = fitted._transform_table(queries), fitted._transform_table(reference)
    return nearest_rows(*rows, distances=fitted._between)[0][:, 0]
