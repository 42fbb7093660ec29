"""Callbacks of the engine and the bridge to those of scikit-learn."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch
from skorch.callbacks import Callback

__all__ = ["BestWeights", "EpochBridge", "StopTraining", "check_callbacks"]


class StopTraining(KeyboardInterrupt):
    """Raised by a callback to end training after the current epoch.

    skorch ends training on ``KeyboardInterrupt``; a class of its own tells a callback's wish from
    the user's Ctrl-C.
    """


class BestWeights(Callback):
    """Keep the weights of the best epoch and stop when nothing improves any more.

    Parameters
    ----------
    patience : int or None, default=None
        Epochs without improvement after which training stops; None never stops.

    tol : float, default=0.0
        A loss must fall by more than this to count as an improvement for ``patience``. The best
        weights are kept whatever the size of the improvement.

    monitor : str, default="valid_loss"
        Column of the history to watch; lower is better.

    restore : bool, default=True
        Put the best weights back into the modules when training ends.

    Attributes
    ----------
    best_epoch_ : int
        Number of the best epoch in the history, from 1; 0 when there was none.

    best_loss_ : float
        Value of ``monitor`` in that epoch.
    """

    def __init__(
        self,
        patience: int | None = None,
        tol: float = 0.0,
        monitor: str = "valid_loss",
        restore: bool = True,
    ) -> None:
        self.patience = patience
        self.tol = tol
        self.monitor = monitor
        self.restore = restore

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Forget earlier training."""
        self.best_epoch_ = 0
        self.best_loss_ = math.inf
        self.reference_ = math.inf
        self.misses_ = 0
        self.kept_: list[torch.Tensor] | None = None

    @staticmethod
    def _state(net):
        modules = (getattr(net, f"{name}_") for name in net._modules)
        return [tensor for module in modules for tensor in module.state_dict().values()]

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Copy the weights when the loss improved; stop when patience is over."""
        loss = net.history[-1, self.monitor]
        if loss < self.best_loss_:
            self.best_loss_ = loss
            self.best_epoch_ = net.history[-1, "epoch"]
            if self.restore:
                self._keep(net)
        if loss < self.reference_ - self.tol:
            self.reference_ = loss
            self.misses_ = 0
        else:
            self.misses_ += 1
        if self.patience is not None and self.misses_ >= self.patience:
            raise StopTraining

    @torch.no_grad()
    def _keep(self, net):
        state = self._state(net)
        if self.kept_ is None:
            self.kept_ = [tensor.detach().clone() for tensor in state]
            return
        for kept, tensor in zip(self.kept_, state, strict=True):
            kept.copy_(tensor)

    @torch.no_grad()
    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Restore the best weights and let the copies go."""
        if self.kept_ is not None and self.best_epoch_ != net.history[-1, "epoch"]:
            for kept, tensor in zip(self.kept_, self._state(net), strict=True):
                tensor.copy_(kept)
        self.kept_ = None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if "kept_" in state:
            state["kept_"] = None
        return state


class EpochBridge(Callback):
    """Report every epoch to the scikit-learn callbacks of an estimator.

    The estimator appends it to ``net.callbacks_`` after ``initialize`` and removes it in a
    ``finally`` clause. Copies and pickles of the bridge are inert.

    Parameters
    ----------
    owner : estimator
        The estimator whose callbacks are called.

    context : sklearn.callback.CallbackContext
        Context of its ``fit``; each epoch becomes a subcontext.

    attributes : callable, default=None
        Called with the net; returns the fitted attributes that make a copy of ``owner`` usable
        as if training had ended. None gives ``{"net_": net}``.
    """

    def __init__(self, owner: Any = None, context: Any = None, attributes: Any = None) -> None:
        self.owner = owner
        self.context = context
        self.attributes = attributes
        self.epoch_: Any = None

    def _fitted(self, net):
        return {"net_": net} if self.attributes is None else self.attributes(net)

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Open the subcontext of the epoch."""
        if self.context is None:
            return
        self.epoch_ = self.context.subcontext(task_name="epoch")
        self.epoch_.call_on_fit_task_begin(estimator=self.owner)

    def _close(self, net):
        epoch, self.epoch_ = self.epoch_, None
        if epoch is None:
            return False
        return epoch.call_on_fit_task_end(
            estimator=self.owner, reconstruction_attributes=lambda: self._fitted(net)
        )

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Close the subcontext; stop when one of the callbacks asks for it."""
        if self._close(net):
            raise StopTraining

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Close an epoch that another callback ended by stopping."""
        self._close(net)

    def __getstate__(self) -> dict[str, Any]:
        return {"owner": None, "context": None, "attributes": None, "epoch_": None}


def _monitor(callback):
    if isinstance(callback, type):
        parameter = inspect.signature(callback).parameters.get("monitor")
        return None if parameter is None else parameter.default
    return getattr(callback, "monitor", None)


def check_callbacks(callbacks: Iterable[Any] | None, validation: Any) -> None:
    """Refuse callbacks that wait for a validation loss when there is none.

    Parameters
    ----------
    callbacks : iterable of callbacks, callback classes or (name, callback) pairs, or None
        What the user passed as ``callbacks``.

    validation : object
        Anything that is true when rows are held out; ``validation_fraction`` will do.

    Raises
    ------
    ValueError
        When a callback monitors a column of the history that starts with ``valid_``.

    Examples
    --------
    >>> from skorch.callbacks import EarlyStopping
    >>> check_callbacks([EarlyStopping(monitor="train_loss")], validation=None)
    """
    if validation or callbacks is None or isinstance(callbacks, str):
        return
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple | list) else item
        monitor = _monitor(callback)
        if isinstance(monitor, str) and monitor.startswith("valid_"):
            kind = callback if isinstance(callback, type) else type(callback)
            raise ValueError(
                f"{kind.__name__} monitors {monitor!r} but validation_fraction is None; set "
                f"validation_fraction=0.2 or monitor={monitor.replace('valid_', 'train_', 1)!r}."
            )
