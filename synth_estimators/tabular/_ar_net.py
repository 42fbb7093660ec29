"""Training of the autoregressive net: averaged weights, and for every column its best epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from skorch.callbacks import Callback

from synth_estimators._engine import EpochEngine, StopTraining, TensorBatches

__all__ = ["AREngine", "BestColumns"]

_WARM_UP = 50
_MIN_GAIN = 1e-4


class AREngine(EpochEngine):
    """The epoch loop with a running average of the weights, which is what is validated.

    Parameters
    ----------
    *args : tuple
        Those of ``EpochEngine``.

    ema : float, default=0.99
        Decay of the average.

    max_seconds : float or None, default=None
        Training ends after so many seconds, within an epoch if need be.

    **kwargs : dict
        Those of ``EpochEngine``.
    """

    steps_ = 0
    _deadline = math.inf

    def __init__(
        self, *args: Any, ema: float = 0.99, max_seconds: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.ema = ema
        self.max_seconds = max_seconds

    def get_all_learnable_params(self) -> Iterator[tuple[str, Any]]:
        """Name the weights in training; those of the average follow them."""
        for name, parameter in super().get_all_learnable_params():
            if parameter.requires_grad:
                yield name, parameter

    def initialize_optimizer(self, triggered_directly: Any = None) -> AREngine:
        """Create the optimizer, which warms up anew."""
        self.steps_ = 0
        super().initialize_optimizer(triggered_directly)
        return self

    def fit_loop(self, *args: Any, **kwargs: Any) -> AREngine:
        """Run the epochs until the seconds are over."""
        if self.max_seconds is not None:
            self._deadline = time.perf_counter() + self.max_seconds
        super().fit_loop(*args, **kwargs)
        return self

    @property
    def out_of_time(self) -> bool:
        """Whether ``max_seconds`` are over."""
        return self.max_seconds is not None and time.perf_counter() > self._deadline

    def _run_training(self, iterator, step_fn, fit_params):
        if self.max_seconds is not None:
            iterator = self._until_deadline(iterator)
        return super()._run_training(iterator, step_fn, fit_params)

    def _until_deadline(self, iterator):
        for number, batch in enumerate(iterator):
            if number and self.out_of_time:
                return
            yield batch

    def _warm_up(self):
        """Reach the learning rate linearly; settled once the steps are taken."""
        if self.steps_ > _WARM_UP:
            return
        steps = vars(self).get("_take_step")
        if hasattr(steps, "close"):  # it reads the learning rate once
            steps.close()
        for group in self.optimizer_.param_groups:
            group["lr"] = self.lr * min(1.0, (self.steps_ + 1) / _WARM_UP)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take one optimizer step and move the average."""
        self._warm_up()
        step = super().train_step(batch, **fit_params)
        self.steps_ += 1
        decay = min(self.ema, (1 + self.steps_) / (10 + self.steps_))
        self.module_.update_average(decay)
        return step

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Forget the validation losses of the last epoch."""
        super().on_epoch_begin(*args, **kwargs)
        self.column_losses_ = None
        self._n_validated = 0

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the loss of held-out rows under the averaged weights, column by column."""
        X, _ = batch
        with torch.no_grad():
            losses = -self.module_.average(X)  # (members, heads, rows)
            total = losses.sum(2, dtype=self._zero().dtype)
            before = 0.0 if self.column_losses_ is None else self.column_losses_ * self._n_validated
            self._n_validated += len(X)
            self.column_losses_ = (before + total) / self._n_validated
            return {"loss": losses.sum(1).mean(), "y_pred": losses}

    @torch.no_grad()
    def kept_losses(self, rows: Any) -> torch.Tensor:
        """Mean loss of every member and column under the model as it stands."""
        dataset = self.get_dataset(rows)
        total = 0.0
        for X, _ in TensorBatches(dataset, batch_size=4_096):
            total = total - self.module_.cells(X).sum(1, dtype=self._zero().dtype)
        return total / len(dataset)


class BestColumns(Callback):
    """Keep for every column the average of its best epoch; stop when nothing improves any more.

    Parameters
    ----------
    patience : int or None, default=None
        Epochs without improvement after which training stops; None never stops.

    tol : float, default=0.0
        Nats a row by which the sum of the best losses must fall to count as an improvement.

    select : bool, default=True
        False takes the average of the last epoch for all columns, also where rows are held out.

    Attributes
    ----------
    best_epochs_ : tensor of int of shape (members, modelled columns)
        Epoch, from 1, that every column was taken from; 0 is the start.

    best_losses_ : tensor of shape (members, modelled columns) or None
        Validation losses of these epochs.
    """

    def __init__(self, patience: int | None = None, tol: float = 0.0, select: bool = True) -> None:
        self.patience = patience
        self.tol = tol
        self.select = select

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Judge the model as it stands: the margins, or what an earlier training has left."""
        valid = getattr(X, "valid", None) if self.select else None
        module = net.module_
        self.best_epochs_ = torch.zeros(module.n_members, len(module.heads), dtype=torch.long)
        self.best_losses_ = None if valid is None else net.kept_losses(valid)
        self.reference_ = math.inf if valid is None else self._total()
        self.misses_ = 0

    def _total(self):
        return float(self.best_losses_.sum(1).mean())

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Take over the columns that have improved; stop when patience or time is over."""
        self._take_over(net, net.history[-1, "epoch"])
        if net.out_of_time or (self.patience is not None and self.misses_ >= self.patience):
            raise StopTraining

    def _take_over(self, net, epoch):
        if self.best_losses_ is None:
            net.module_.keep_average()
            self.best_epochs_.fill_(epoch)
        else:
            losses = net.column_losses_
            better = losses < self.best_losses_ - _MIN_GAIN
            net.module_.keep_average(better)
            self.best_epochs_[better.cpu()] = epoch
            self.best_losses_ = torch.where(better, losses, self.best_losses_)
            total = self._total()
            self.misses_ += 1
            if total < self.reference_ - self.tol:
                self.reference_, self.misses_ = total, 0
