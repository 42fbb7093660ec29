"""The epoch loop: a skorch net without the cost per batch."""

from __future__ import annotations

import math
from traceback import walk_tb
from typing import Any, ClassVar

import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
from skorch.history import History
from torch.nn.modules.batchnorm import _BatchNorm

from synth_estimators._engine._adam import AdamSteps
from synth_estimators._engine._callbacks import StopTraining
from synth_estimators._engine._machine import settle_allocator
from synth_estimators._engine._rows import (
    Rows,
    RowStream,
    TensorBatches,
    TrainingRows,
    chunk_rows,
)

__all__ = ["EpochEngine"]

_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
_WITH_FUSED_STEP = (
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.SGD,
    torch.optim.Adagrad,
)


def clear_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Drop the gradients, without the profiler hook of ``zero_grad``."""
    if type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad:
        optimizer.zero_grad(set_to_none=True)
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


class EpochHistory(History):
    """A history whose epochs may hold no batches."""

    def __getitem__(self, i: Any) -> Any:
        """Look up epochs, columns and batches; the last batch of none is an empty record."""
        try:
            return super().__getitem__(i)
        except IndexError:
            # Checkpoint asks for the last batch to format the names of its files.
            if isinstance(i, tuple) and i[1:] == ("batches", -1) and not self[i[0], "batches"]:
                return {}
            raise


def _within_own_callback(exc: BaseException) -> bool:
    """Whether an exception left a callback of this package."""
    names = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(exc.__traceback__))
    package = __name__.partition(".")[0]
    return any(name.startswith(f"{package}.") and name != __name__ for name in names)


class EpochEngine(NeuralNet):
    """A skorch net whose work per batch is forward, backward and one optimizer step.

    The module brings its own loss: ``module.objective(output, X)`` returns one loss per row.
    Row weights travel as ``y``. One host synchronisation an epoch reads the mean loss; a callback
    that listens to batches gets skorch's own loop, with bit-equal parameters.

    Parameters
    ----------
    module : torch.nn.Module class or instance
        ``module(X)`` gives the output, ``module.objective(output, X)`` the losses (batch,).

    optimizer : class, default=torch.optim.AdamW
        Adam, AdamW, SGD and Adagrad run fused unless ``optimizer__fused`` says otherwise.

    lr : float, default=1e-3
        Step size.

    max_epochs : int, default=10
        Epochs of ``fit``; ``partial_fit(..., epochs=k)`` runs ``k``.

    batch_size : int, default=128
        Rows per training batch. Validation uses chunks of its own (``iterator_valid__batch_size``).

    iterator_train, iterator_valid : class, default=TensorBatches
        Cut the batches. ``DataLoader`` works too.

    callbacks : list or None, default=None
        skorch callbacks.

    clip_norm : float or None, default=None
        Upper bound of the norm of all gradients together, applied in the step.

    owner : str, default="EpochEngine"
        Name used in messages: the estimator's.

    verbose : int, default=0
        Print the table of losses when above 0.

    device : str, default="cpu"
        Where module and rows live.

    **kwargs : dict
        Further parameters of ``skorch.NeuralNet``.

    Attributes
    ----------
    module_ : torch.nn.Module

    optimizer_ : torch.optim.Optimizer

    history : skorch.history.History
        Per epoch ``train_loss``, ``train_loss_best``, ``train_batch_count``, ``dur``, and the
        same for ``valid`` where rows are held out.

    interrupted_ : bool
        Whether the user's Ctrl-C ended the last training.
    """

    #: Further entries of a training step that the history records as ``train_<name>``.
    extra_losses: ClassVar[tuple[str, ...]] = ()

    #: True: skorch's own loop with its events per batch. Decided for the length of a fit.
    batch_events_ = True

    interrupted_ = False

    def __init__(
        self,
        module: Any,
        criterion: Any = torch.nn.Identity,
        optimizer: Any = torch.optim.AdamW,
        lr: float = 1e-3,
        max_epochs: int = 10,
        batch_size: int = 128,
        iterator_train: Any = TensorBatches,
        iterator_valid: Any = TensorBatches,
        dataset: Any = Rows,
        train_split: Any = None,
        callbacks: Any = None,
        *,
        clip_norm: float | None = None,
        owner: str = "EpochEngine",
        verbose: int = 0,
        device: Any = "cpu",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("iterator_train__shuffle", True)
        super().__init__(
            module,
            criterion,
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            iterator_train=iterator_train,
            iterator_valid=iterator_valid,
            dataset=dataset,
            train_split=train_split,
            callbacks=callbacks,
            verbose=verbose,
            device=device,
            **kwargs,
        )
        self.clip_norm = clip_norm
        self.owner = owner

    @property
    def _default_callbacks(self):
        on_train = [f"train_{name}" for name in ("loss", *self.extra_losses)]
        callbacks = [
            ("epoch_timer", EpochTimer()),
            *((name, PassthroughScoring(name, on_train=True)) for name in on_train),
            ("valid_loss", PassthroughScoring("valid_loss")),
        ]
        if self.verbose > 0:
            callbacks.append(("print_log", PrintLog()))
        return callbacks

    @property
    def history(self) -> Any:
        """Losses of the epochs."""
        return self.history_

    @history.setter
    def history(self, value: Any) -> None:
        self.history_ = value if value is None else EpochHistory(value)

    def initialize_history(self) -> EpochEngine:
        """Forget earlier epochs."""
        self.history_ = EpochHistory()
        return self

    # Data

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Return the rows as a dataset on the device of the net."""
        dataset = super().get_dataset(X, y)
        return dataset.to(self.device) if isinstance(dataset, Rows | RowStream) else dataset

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Return training and validation rows; ``TrainingRows`` are taken as they are."""
        if not isinstance(X, TrainingRows):
            return super().get_split_datasets(X, y, **fit_params)
        valid = None if X.valid is None else self.get_dataset(X.valid)
        return self.get_dataset(X.train), valid

    def _modules_contain(self, kind):
        modules = (getattr(self, f"{name}_") for name in self._modules)
        return any(isinstance(part, kind) for module in modules for part in module.modules())

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Cut ``dataset`` into training batches, or into larger chunks for evaluation."""
        iterator = self.iterator_train if training else self.iterator_valid
        if not (isinstance(iterator, type) and issubclass(iterator, TensorBatches)):
            return super().get_iterator(dataset, training=training)
        kwargs = self.get_params_for("iterator_train" if training else "iterator_valid")
        if training:
            kwargs.setdefault("batch_size", self.batch_size)
            kwargs.setdefault("drop_single", self._modules_contain(_BatchNorm))
        elif "batch_size" not in kwargs:
            shape = getattr(getattr(dataset, "X", None), "shape", (0, 1024))
            kwargs["batch_size"] = chunk_rows(int(shape[-1]))
        return iterator(dataset, **kwargs)

    # Optimizer

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> Any:
        """Collect optimizer arguments and ask for the fused step where there is one."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        decided = {"fused", "foreach", "capturable", "differentiable"} & kwargs.keys()
        if not decided and getattr(self, prefix) in _WITH_FUSED_STEP:
            kwargs["fused"] = True
        return args, kwargs

    def _new_optimizer(self, prefix, named_parameters):
        named_parameters = list(named_parameters)
        args, kwargs = self.get_params_for_optimizer(prefix, named_parameters)
        asked = f"{prefix}__fused" in vars(self)
        try:
            return getattr(self, prefix)(*args, **kwargs)
        except RuntimeError:  # no fused step on this device or for these parameters
            if asked or not kwargs.pop("fused", False):
                raise
            args, _ = super().get_params_for_optimizer(prefix, named_parameters)
            return getattr(self, prefix)(*args, **kwargs)

    def initialize_optimizer(self, triggered_directly: Any = None) -> EpochEngine:
        """Create the optimizer."""
        self.optimizer_ = self._new_optimizer("optimizer", self.get_all_learnable_params())
        return self

    def _clip(self, optimizer):
        if self.clip_norm is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    # Loss and steps

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Push rows that are on the device already through the module."""
        return self.module_(x, **fit_params)

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Any:
        """Average the losses of the rows, weighted by ``y_true`` unless it is None."""
        losses = self.module_.objective(y_pred, X)
        if y_true is None:
            return losses.mean()
        # A batch whose weights are all zero has loss 0, not 0 / 0.
        return (losses * y_true).sum() / y_true.sum().clamp_min(torch.finfo(losses.dtype).tiny)

    def _take_step(self):
        """Step the optimizer; replaced by a quicker way for the length of an epoch."""
        self.optimizer_.step()

    def _set_training(self, training=True):
        """Switch all modules, without a recursion through ``Module.__setattr__``."""
        for name in self._modules:
            module = getattr(self, f"{name}_")
            if not isinstance(module, torch.nn.Module) or module.training == training:
                continue
            parts = list(module.modules())
            if all(type(part).train is torch.nn.Module.train for part in parts):
                for part in parts:
                    vars(part)["training"] = training
            else:
                module.train(training)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Go forward and backward in skorch's own loop, with clipping."""
        step = super().train_step_single(batch, **fit_params)
        self._clip(self.optimizer_)
        return step

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take one optimizer step."""
        if self.batch_events_:
            return super().train_step(batch, **fit_params)
        X, weight = batch
        optimizer = self.optimizer_
        clear_gradients(optimizer)
        output = self.infer(X, **fit_params)
        loss = self.get_loss(output, weight, X=X, training=True)
        loss.backward()
        if self.clip_norm is not None:
            self._clip(optimizer)
        self._take_step()
        return {"loss": loss, "y_pred": output}

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the loss of held-out rows."""
        if self.batch_events_:
            return super().validation_step(batch, **fit_params)
        X, weight = batch
        output = self.infer(X, **fit_params)
        return {"loss": self.get_loss(output, weight, X=X, training=False), "y_pred": output}

    # Epochs

    def _needs_batches(self, callback):
        if isinstance(callback, PassthroughScoring):
            recorded = {"train_loss", "valid_loss", *(f"train_{x}" for x in self.extra_losses)}
            return callback.name not in recorded
        if isinstance(callback, LRScheduler) and callback.step_every == "epoch":
            return False
        if isinstance(callback, Checkpoint):
            names = [value for key, value in vars(callback).items() if key.startswith("f_")]
            return any(isinstance(name, str) and "{last_batch" in name for name in names)
        if isinstance(callback, EpochScoring):
            cached = callback.use_caching if self.use_caching == "auto" else self.use_caching
            if not cached:
                return False
        kind = type(callback)
        return any(
            getattr(kind, name, None) not in (None, getattr(Callback, name))
            for name in _BATCH_EVENTS
        )

    def _batch_events_wanted(self):
        own = any(getattr(type(self), x) is not getattr(NeuralNet, x) for x in _BATCH_EVENTS)
        closure = any(
            isinstance(getattr(self, f"{name}_"), torch.optim.LBFGS) for name in self._optimizers
        )
        return own or closure or any(self._needs_batches(cb) for _, cb in self.callbacks_)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; a stop that any of them asks for is a ``StopTraining``."""
        try:
            super().notify(method_name, **cb_kwargs)
        except StopTraining:
            raise
        except KeyboardInterrupt as exc:
            if _within_own_callback(exc):
                raise  # ours ask for a stop by StopTraining, so this is Ctrl-C
            raise StopTraining from exc

    def fit_loop(self, *args: Any, **kwargs: Any) -> EpochEngine:
        """Run the epochs. Ctrl-C sets ``interrupted_``; a callback's stop does not."""
        self.interrupted_ = False
        self.batch_events_ = self._batch_events_wanted()
        settle_allocator()
        try:
            return super().fit_loop(*args, **kwargs)
        except StopTraining:
            return self
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise
        finally:
            self.batch_events_ = True

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Go through the batches once and record the mean loss."""
        if iterator is None:
            return
        if self.batch_events_:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            if training:
                self._check_batches()
            return
        self._set_training(training)
        if training:
            steps = AdamSteps(self.optimizer_)
            vars(self)["_take_step"] = steps
            try:
                means, n_batches = self._run_training(iterator, step_fn, fit_params)
            finally:
                steps.close()
                del vars(self)["_take_step"]
        else:
            with torch.inference_mode():
                means, n_batches = self._run_validation(iterator, step_fn, fit_params)
        for name, mean in means.items():
            self._record_mean(f"{prefix}_{name}", mean)
        self.history.record(f"{prefix}_batch_count", n_batches)
        if training:
            for name, mean in means.items():
                self._check_finite(name, mean)

    def _zero(self):
        on_mps = torch.device(self.device or "cpu").type == "mps"
        return torch.zeros((), dtype=torch.float32 if on_mps else torch.float64, device=self.device)

    def _run_training(self, iterator, step_fn, fit_params):
        extra = self.extra_losses
        totals = [self._zero() for _ in range(1 + len(extra))]
        loss_total = totals[0]
        n_rows = n_batches = 0
        for batch in iterator:
            step = step_fn(batch, **fit_params)
            size = len(batch[0])
            loss_total.add_(step["loss"].detach(), alpha=size)
            if extra:
                for total, name in zip(totals[1:], extra, strict=True):
                    total.add_(step[name].detach(), alpha=size)
            n_rows += size
            n_batches += 1
        # The only synchronisation of the epoch.
        values = torch.stack(totals).tolist() if extra else [float(loss_total)]
        return {
            name: value / n_rows for name, value in zip(("loss", *extra), values, strict=True)
        }, n_batches

    def _run_validation(self, iterator, step_fn, fit_params):
        total, mass = self._zero(), self._zero()
        n_batches = 0
        for batch in iterator:
            loss = step_fn(batch, **fit_params)["loss"].detach()
            weight = len(batch[0]) if batch[1] is None else batch[1].sum(dtype=mass.dtype)
            total.add_(loss * weight)
            mass.add_(weight)
            n_batches += 1
        return {"loss": float(total / mass)}, n_batches

    def _record_mean(self, name, mean):
        self.history.record(name, mean)
        for _, callback in self.callbacks_:
            if isinstance(callback, PassthroughScoring) and callback.name == name:
                best = bool(mean < callback.best_score_)
                if best:
                    callback.best_score_ = mean
                self.history.record(f"{name}_best", best)

    def _check_batches(self):
        batches = self.history[-1, "batches"]
        for name in ("loss", *self.extra_losses):
            for batch in batches:
                if f"train_{name}" in batch:
                    self._check_finite(name, batch[f"train_{name}"])

    def _check_finite(self, name, value):
        if math.isfinite(value):
            return
        lr = self.optimizer_.param_groups[0]["lr"]
        what = "training loss" if name == "loss" else name.replace("_", " ")
        raise FloatingPointError(
            f"{self.owner}: {what} became {value} in epoch {len(self.history)}; lower lr "
            f"(now {float(lr):g}) or scale X."
        )
