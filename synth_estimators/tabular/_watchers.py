"""Callbacks of the training run of tabular generators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback

from synth_estimators._engine import BestWeights

__all__ = ["EpochReport", "TwoSampleStop"]


class TwoSampleStop(BestWeights):
    """Keep the weights whose rows are most alike held-out rows, and stop when none is better.

    Parameters
    ----------
    score : callable
        Called without arguments; draws rows with the present weights and returns a number that is
        larger for better rows.

    every : int, default=5
        Epochs between two evaluations.

    patience : int or None, default=None
        Evaluations without improvement after which training stops.

    tol : float, default=0.0
        Smallest gain that counts as an improvement.
    """

    def __init__(
        self,
        score: Callable[[], float],
        every: int = 5,
        patience: int | None = None,
        tol: float = 0.0,
    ) -> None:
        super().__init__(patience=patience, tol=tol, monitor="two_sample_loss")
        self.score = score
        self.every = every

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Evaluate every few epochs."""
        if net.history[-1, "epoch"] % self.every:
            return
        net.module_.eval()
        value = float(self.score())
        net.history.record("two_sample", value)
        net.history.record("two_sample_loss", -value)
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)


class EpochReport(Callback):
    """Tell the user's function about every epoch.

    Parameters
    ----------
    function : callable
        Called with what ``describe`` returns.

    describe : callable
        Turns the record of an epoch into an ``EpochInfo``.
    """

    def __init__(self, function: Callable[[Any], Any], describe: Callable[[dict], Any]) -> None:
        self.function = function
        self.describe = describe

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Report the last epoch."""
        self.function(self.describe(net.history[-1]))
