"""Losses over the epochs of a training run."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from synth_estimators.inspection._common import (
    MARK_COLOR,
    REAL_COLOR,
    SYNTH_COLOR,
    inner_estimators,
    merged,
    pyplot,
)

__all__ = ["LossCurveDisplay"]

_STEEP_FROM = 30


def _checked_curve(curve: Any, *, name: str) -> np.ndarray | None:
    if curve is None:
        return None
    values = np.asarray(curve, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"{name} must be one-dimensional with one loss an epoch, got {values.shape}."
        )
    return values if np.isfinite(values).any() else None


def _limits_after_the_start(*curves: np.ndarray | None) -> tuple[float | None, float | None]:
    """Range of the losses after the first tenth of the epochs, with a margin."""
    late = np.concatenate([curve[len(curve) // 10 :] for curve in curves if curve is not None])
    late = late[np.isfinite(late)]
    if len(late) == 0 or late.min() == late.max():
        return None, None
    margin = 0.08 * (late.max() - late.min())
    return late.min() - margin, late.max() + margin


class LossCurveDisplay:
    """Training and validation loss over the epochs.

    Create it with :meth:`from_estimator` or :meth:`from_curves`; the parameters are kept as
    attributes.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        Training loss after each epoch.

    validation_loss_curve : array-like of shape (n_epochs,), default=None
        Validation loss after each epoch, if rows were held out.

    estimator_name : str, default=None
        Name of the generator, shown as the title.

    Attributes
    ----------
    best_epoch_ : int
        Epoch, counted from 1, with the lowest validation loss (training loss where there is no
        validation).

    best_loss_ : float
        The loss at that epoch.

    ax_ : matplotlib Axes
        Axes with the curves.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    lines_ : list of matplotlib Line2D
        Training curve, then validation curve if there is one.

    See Also
    --------
    MarginalsDisplay : Real and synthetic columns side by side.
    EmbeddingDisplay : Real and synthetic rows in two dimensions.

    Notes
    -----
    On a figure of its own, a run of 30 epochs or more is shown in the range of its losses after
    the first tenth of the epochs; the steep start would flatten all the rest. ``ax_.set_ylim``
    shows another range.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from synth_estimators.inspection import LossCurveDisplay
    >>> display = LossCurveDisplay.from_curves([3.0, 2.0, 1.5], [3.1, 2.4, 2.6])
    >>> display.best_epoch_
    2
    """

    def __init__(
        self,
        loss_curve: Any,
        *,
        validation_loss_curve: Any = None,
        estimator_name: str | None = None,
    ) -> None:
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        generator: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        train_kw: dict | None = None,
        validation_kw: dict | None = None,
    ) -> LossCurveDisplay:
        """Plot the losses that a fitted generator recorded.

        Parameters
        ----------
        generator : estimator instance
            A fitted generator with ``loss_curve_``, or a search, pipeline or meta-estimator
            around one.

        name : str, default=None
            Name for the title; None uses the class name.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        train_kw, validation_kw : dict, default=None
            Keywords of ``Axes.plot`` for the two curves.

        Returns
        -------
        display : LossCurveDisplay
            The display, already plotted.

        Raises
        ------
        TypeError
            When the generator keeps no ``loss_curve_``.
        """
        check_is_fitted(generator)
        for estimator in inner_estimators(generator):
            if getattr(estimator, "loss_curve_", None) is not None:
                break
        else:
            raise TypeError(
                f"{type(generator).__name__} has no loss_curve_; LossCurveDisplay needs a "
                "generator trained by gradient steps (for example VAE or CVAE)."
            )
        return cls.from_curves(
            estimator.loss_curve_,
            getattr(estimator, "validation_loss_curve_", None),
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            train_kw=train_kw,
            validation_kw=validation_kw,
        )

    @classmethod
    def from_curves(
        cls,
        loss_curve: Any,
        validation_loss_curve: Any = None,
        *,
        name: str | None = None,
        ax: Any = None,
        train_kw: dict | None = None,
        validation_kw: dict | None = None,
    ) -> LossCurveDisplay:
        """Plot losses given as arrays.

        Parameters
        ----------
        loss_curve : array-like of shape (n_epochs,)
            Training loss after each epoch.

        validation_loss_curve : array-like of shape (n_epochs,), default=None
            Validation loss after each epoch.

        name : str, default=None
            Title.

        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        train_kw, validation_kw : dict, default=None
            Keywords of ``Axes.plot`` for the two curves.

        Returns
        -------
        display : LossCurveDisplay
            The display, already plotted.
        """
        display = cls(loss_curve, validation_loss_curve=validation_loss_curve, estimator_name=name)
        return display.plot(ax=ax, train_kw=train_kw, validation_kw=validation_kw)

    def plot(
        self, ax: Any = None, *, train_kw: dict | None = None, validation_kw: dict | None = None
    ) -> LossCurveDisplay:
        """Draw the curves and mark the best epoch.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a figure.

        train_kw, validation_kw : dict, default=None
            Keywords of ``Axes.plot`` for the two curves.

        Returns
        -------
        self : LossCurveDisplay
            The display with ``ax_``, ``figure_`` and ``lines_`` set.

        Raises
        ------
        ValueError
            When no loss is finite.
        """
        train = _checked_curve(self.loss_curve, name="loss_curve")
        validation = _checked_curve(self.validation_loss_curve, name="validation_loss_curve")
        if train is None:
            raise ValueError("loss_curve holds no finite loss; expected one value an epoch.")
        plt = pyplot("LossCurveDisplay.plot")
        owns_figure = ax is None
        if owns_figure:
            _, ax = plt.subplots(layout="constrained")
        judged = train if validation is None else validation
        best_idx = int(np.nanargmin(np.where(np.isfinite(judged), judged, np.nan)))
        self.best_epoch_ = best_idx + 1
        self.best_loss_ = float(judged[best_idx])

        marker = "o" if len(train) == 1 else ""
        curves = [("training", train, merged({"color": REAL_COLOR, "marker": marker}, train_kw))]
        if validation is not None:
            look = {"color": SYNTH_COLOR, "linestyle": "--", "marker": marker}
            curves.append(("validation", validation, merged(look, validation_kw)))
        self.lines_ = [
            ax.plot(np.arange(1, len(curve) + 1), curve, **{"label": label, **keywords})[0]
            for label, curve, keywords in curves
        ]
        ax.axvline(self.best_epoch_, color=MARK_COLOR, linestyle=":", linewidth=1.2, zorder=1)
        ax.plot(
            [self.best_epoch_],
            [self.best_loss_],
            color=MARK_COLOR,
            linestyle="none",
            marker="o",
            label=f"best epoch: {self.best_epoch_}",
            zorder=3,
        )
        ax.set_xlabel("Epoch")
        ax.set_ylabel("Loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if self.estimator_name:
            ax.set_title(self.estimator_name)
        ax.legend(loc="best")
        if owns_figure and len(train) >= _STEEP_FROM:
            ax.set_ylim(*_limits_after_the_start(train, validation))
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
