"""Training of conditional GANs on mixed tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch

from synth_estimators._engine import AdversarialEngine
from synth_estimators._engine._adam import AdamSteps
from synth_estimators._engine._adversarial import _without_gradients
from synth_estimators._engine._net import clear_gradients
from synth_estimators._networks.tabular_auxiliary import moment_distance
from synth_estimators.tabular._condition_vectors import _ConditionedRows

__all__ = ["DivergedError", "TabularGANEngine"]

# The average forgets its start: its decay after t steps is at most (t + 1) / (t + 10).
_WARM_UP = 10
_SETTLING_BATCHES = 20


class DivergedError(FloatingPointError, RuntimeError):
    """The losses of a training run are no longer finite."""


class _EpochBatches:
    """The steps of an epoch, drawn anew in every pass."""

    def __init__(self, rows: Any, batch_size: int, n_critic: int) -> None:
        self.rows, self.batch_size, self.n_critic = rows, batch_size, n_critic

    def __iter__(self) -> Iterator[Any]:
        return self.rows.batches(self.batch_size, self.n_critic)

    def __len__(self) -> int:
        return self.n_critic * max(len(self.rows) // self.batch_size, 1)


class TabularGANEngine(AdversarialEngine):
    """Wasserstein critic with a gradient penalty against a generator that follows conditions.

    Rows come from a dataset that draws them together with conditions. Each epoch has as many
    generator steps as the table has full batches, with ``n_critic`` critic steps before each.

    Parameters
    ----------
    *args : tuple
        Those of ``AdversarialEngine``.

    gradient_penalty : float, default=10.0
        Weight of the penalty.

    reconstruction_weight : float, default=1.0
        Weight of the loss that ties rows to their conditions.

    average_decay : float, default=0.0
        Decay of the running average of the generator's weights.

    auxiliary : sequence of {"information", "target"}, default=()
        Further losses of the generator. "target" is that of the predictor.

    auxiliary_weight : float, default=1.0
        Weight of these losses.

    predictor : torch.nn.Module class or None, default=None
        ``predictor(rows)`` gives a loss. It is trained on real rows, one step before each of the
        generator. ``predictor__<name>`` sets its parameters.

    optimizer_predictor : class, default=torch.optim.Adam
        Optimizer of the predictor. ``optimizer_predictor__<name>`` sets its parameters.

    **kwargs : dict
        Those of ``AdversarialEngine``.

    Attributes
    ----------
    steps_ : int
        Generator steps taken.
    """

    steps_ = 0
    settled_ = 0
    latest_loss_: Any

    def __init__(
        self,
        *args: Any,
        gradient_penalty: float = 10.0,
        reconstruction_weight: float = 1.0,
        average_decay: float = 0.0,
        auxiliary: Any = (),
        auxiliary_weight: float = 1.0,
        predictor: Any = None,
        optimizer_predictor: Any = torch.optim.Adam,
        **kwargs: Any,
    ) -> None:
        # Before skorch's constructor: afterwards it takes modules for components of the net.
        self.predictor = predictor
        self.optimizer_predictor = optimizer_predictor
        self.auxiliary = auxiliary
        super().__init__(*args, **kwargs)
        self.gradient_penalty = gradient_penalty
        self.reconstruction_weight = reconstruction_weight
        self.average_decay = average_decay
        self.auxiliary_weight = auxiliary_weight

    @property
    def extra_losses(self) -> tuple[str, ...]:  # type: ignore[override]
        """Further entries of a training step that the history records."""
        return ("critic_loss", "reconstruction_loss", *(f"{name}_loss" for name in self.auxiliary))

    def initialize_module(self) -> TabularGANEngine:
        """Create generator, critic and, where there is one, predictor."""
        super().initialize_module()
        if self.predictor is not None:
            params = self.get_params_for("predictor")
            self.predictor_ = self.initialized_instance(self.predictor, params)
        return self

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Draw batches from a dataset that brings conditions."""
        if training and isinstance(dataset, _ConditionedRows):
            return _EpochBatches(dataset, self.batch_size, self.n_critic)
        return super().get_iterator(dataset, training=training)

    def initialize_optimizer(self, triggered_directly: Any = None) -> TabularGANEngine:
        """Create the optimizers and start counting steps."""
        super().initialize_optimizer(triggered_directly)
        if self.predictor is not None:
            parameters = self.predictor_.named_parameters()
            self.optimizer_predictor_ = self._new_optimizer("optimizer_predictor", parameters)
        self.steps_ = self.settled_ = 0
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Remember the weights at the start."""
        super().on_train_begin(net, X, y, **kwargs)
        self._remember()

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Remember the weights of an epoch whose losses were finite."""
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
        self._remember()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Let the copies go."""
        super().on_train_end(net, X, y, **kwargs)
        self.__dict__.pop("_finite", None)

    def _weights(self):
        parts = [getattr(self, f"{name}_") for name in self._modules]
        return [tensor for part in parts for tensor in part.state_dict().values()]

    def _remember(self):
        kept = self.__dict__.get("_finite")
        if kept is None:
            self.__dict__["_finite"] = [tensor.clone() for tensor in self._weights()]
            return
        for copy, tensor in zip(kept, self._weights(), strict=True):
            copy.copy_(tensor)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Go through the batches once, with the quick steps of all optimizers."""
        if self.batch_events_ or not training:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            return
        optimizers = [getattr(self, f"{name}_") for name in self._optimizers]
        quick = {id(optimizer): AdamSteps(optimizer) for optimizer in optimizers}
        self.__dict__["_quick_steps"] = quick
        try:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        finally:
            for steps in quick.values():
                steps.close()
            del self.__dict__["_quick_steps"]

    def _step(self, optimizer, loss, batch):
        quick = self.__dict__.get("_quick_steps")
        if quick is None:
            super()._step(optimizer, loss, batch)
            return
        clear_gradients(optimizer)
        loss.backward()
        self._clip(optimizer)
        quick[id(optimizer)]()

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take a critic step and, when it is its turn, a generator step."""
        if self.batch_events_:
            self._set_training(True)
        critic_loss, fake = self._critic_step(batch)
        self.critic_steps_ += 1
        if self.critic_steps_ % self.n_critic == 0:
            self.latest_loss_ = self._generator_step(batch)
        elif self.latest_loss_ is None:
            with torch.no_grad():
                self.latest_loss_ = self._generator_losses(batch)
        loss, *others = self.latest_loss_
        extra = dict(zip(self.extra_losses, (critic_loss, *others), strict=True))
        if self.batch_events_ and self.history and self.history[-1, "batches"]:
            for name, value in extra.items():
                self.history.record_batch(f"train_{name}", value.item())
        return {"loss": loss, **extra, "y_pred": fake}

    def _critic_step(self, batch):
        compact, on_real, on_fake, _ = batch
        module = self.module_
        with torch.no_grad():
            real = module.expand(compact)
            real_condition = module.condition(on_real, real)
            condition = module.condition(on_fake)
            fake = module(self.draw_noise(len(real)), condition)
        gap, penalty = self.critic_.gap_and_penalty(real, real_condition, fake, condition)
        self._step(self.optimizer_critic_, gap + self.gradient_penalty * penalty, batch)
        # As in the published programs, the loss that is told leaves the penalty out.
        return gap.detach(), fake

    def _generator_losses(self, batch):
        compact, wanted = batch[0], batch[3]
        n_rows, module = len(compact), self.module_
        condition = module.condition(wanted)
        raw = module.raw(self.draw_noise(n_rows), condition)
        fake = module.activate(raw)
        loss = -self.critic_(fake, condition).mean()
        tie = torch.zeros_like(loss)
        if condition is not None:
            tie = module.condition_losses(raw, wanted, condition).mean()
            loss = loss + self.reconstruction_weight * tie
        extra = [self._auxiliary_loss(name, compact, fake) for name in self.auxiliary]
        for value in extra:
            loss = loss + self.auxiliary_weight * value
        return loss, tie, *extra

    def _auxiliary_loss(self, name, compact, fake):
        if name == "target":
            return self.predictor_(fake)
        with torch.no_grad():
            real = self.module_.expand(compact)
        return moment_distance(real, fake)

    def _predictor_step(self, batch):
        with torch.no_grad():
            real = self.module_.expand(batch[0])
        self._step(self.optimizer_predictor_, self.predictor_(real), batch)

    def _generator_step(self, batch):
        with ExitStack() as stack:
            stack.enter_context(_without_gradients(self.critic_))
            if self.predictor is not None:
                self._predictor_step(batch)
                stack.enter_context(_without_gradients(self.predictor_))
            losses = self._generator_losses(batch)
            self._step(self.optimizer_, losses[0], batch)
        self.steps_ += 1
        if self.average_decay:
            latest = self.steps_ / (self.steps_ + _WARM_UP - 1)
            self.module_.average_weights(min(self.average_decay, latest))
        return tuple(loss.detach() for loss in losses)

    def settle(self, rows: Any) -> None:
        """Bring the normalisation of the averaged weights up to date; draws from ``rows``."""
        if not self.average_decay or self.settled_ == self.steps_:
            return
        module = self.module_
        size = self.batch_size

        def batches():
            for _ in range(_SETTLING_BATCHES):
                yield self.draw_noise(size), module.condition(rows.conditions(size))

        module.settle_average(batches())
        self.settled_ = self.steps_

    def _check_finite(self, name, value):
        if math.isfinite(value):
            return
        kept = self.__dict__.pop("_finite", None)
        for copy, tensor in zip(kept or (), self._weights(), strict=kept is not None):
            tensor.copy_(copy)
        lr = float(self.optimizer_.param_groups[0]["lr"])
        critic_lr = float(self.optimizer_critic_.param_groups[0]["lr"])
        what = "loss of the generator" if name == "loss" else name.replace("_", " ")
        raise DivergedError(
            f"{self.owner}: {what} became {value} in epoch {len(self.history)}; lower lr "
            f"(now {lr:g}) or critic_lr (now {critic_lr:g}). The last finite weights are kept."
        )
