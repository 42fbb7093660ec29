"""Callbacks of the training run of tabular generators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from skorch.callbacks import Callback, LRScheduler

from synth_estimators._engine import BestWeights

__all__ = ["CosineRates", "EpochReport", "TwoSampleStop", "sets_rates"]


def sets_rates(callbacks: Iterable[Any] | None) -> bool:
    """Whether one of the user's callbacks is a schedule of the learning rate."""
    given = [item[1] if isinstance(item, tuple | list) else item for item in callbacks or ()]
    kinds = [item if isinstance(item, type) else type(item) for item in given]
    return any(issubclass(kind, LRScheduler) for kind in kinds)


class CosineRates(Callback):
    """Let the learning rates of all optimizers fall along half a cosine, epoch by epoch.

    The quick steps of an epoch read the rates once, so that these change between epochs only.
    ``restore`` puts back the rates from the start, for training that goes on.

    Parameters
    ----------
    n_epochs : int
        Epochs after which the rates would be zero.
    """

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs
        self.rates_: list[tuple[dict, float]] = []

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Note the rates to start from."""
        optimizers = [getattr(net, f"{name}_") for name in net._optimizers]
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self.rates_ = [(group, float(group["lr"])) for group in groups]
        self.done_ = 0

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Set the rates of the epoch."""
        factor = 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.done_ / self.n_epochs)))
        for group, rate in self.rates_:
            group["lr"] = rate * factor
        net.history.record("lr", self.rates_[0][0]["lr"])
        self.done_ += 1

    def restore(self) -> None:
        """Put back the rates from the start."""
        for group, rate in self.rates_:
            group["lr"] = rate


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
