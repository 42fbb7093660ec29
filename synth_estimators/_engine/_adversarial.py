"""Two networks that train each other in the same epoch loop."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from skorch.utils import TeeGenerator
from torch.nn import functional

from synth_estimators._distances import energy_distance
from synth_estimators._engine._net import EpochEngine, clear_gradients
from synth_estimators._engine._rows import Rows
from synth_estimators._random import torch_rng

__all__ = ["AdversarialEngine"]


@contextmanager
def _without_gradients(module):
    """Keep the weights of ``module`` out of the graph: their gradients would be thrown away."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class AdversarialEngine(EpochEngine):
    """Train a generator against a critic.

    Every batch of rows is one critic step against fresh fakes, made without gradients; after
    every ``n_critic`` critic steps the generator takes one step on fakes of its own. Subclasses
    replace ``critic_loss`` and ``generator_loss`` (the default pair is the non-saturating GAN, on
    logits) and, for conditions, ``make_fake``.

    Parameters
    ----------
    module : torch.nn.Module class or instance
        The generator: ``module(Z)`` gives rows. Its attribute ``latent_dim`` is the width of Z.

    critic : torch.nn.Module class or instance
        ``critic(X)`` gives one value a row. ``critic__<name>`` sets its parameters.

    optimizer : class, default=torch.optim.Adam
        Optimizer of the generator.

    optimizer_critic : class, default=torch.optim.Adam
        Optimizer of the critic. ``optimizer_critic__<name>`` sets its parameters.

    lr_critic : float or None, default=None
        Step size of the critic; None follows ``lr``.

    n_critic : int, default=1
        Critic steps per generator step, counted across epochs.

    **kwargs : dict
        Parameters of ``EpochEngine``. ``clip_norm`` holds for either optimizer.

    Attributes
    ----------
    critic_ : torch.nn.Module

    optimizer_critic_ : torch.optim.Optimizer

    critic_steps_ : int
        Critic steps taken so far.

    history : skorch.history.History
        ``train_loss`` is the generator's, ``train_critic_loss`` the critic's, ``valid_loss`` the
        energy distance between held-out rows and as many fakes, drawn from the same noise at
        every epoch.

    Notes
    -----
    In an epoch or batch without a generator step, its latest loss stands in. Row weights and
    optimizers that need a closure are not supported.
    """

    extra_losses: ClassVar[tuple[str, ...]] = ("critic_loss",)

    cuda_dependent_attributes_: ClassVar[list[str]] = ["latest_loss_"]

    def __init__(
        self,
        module: Any,
        criterion: Any = torch.nn.Identity,
        optimizer: Any = torch.optim.Adam,
        *,
        critic: Any,
        optimizer_critic: Any = torch.optim.Adam,
        lr_critic: float | None = None,
        n_critic: int = 1,
        **kwargs: Any,
    ) -> None:
        # Before skorch's constructor: afterwards it takes modules for components of the net.
        self.critic = critic
        self.optimizer_critic = optimizer_critic
        super().__init__(module, criterion, optimizer, **kwargs)
        self.lr_critic = lr_critic
        self.n_critic = n_critic

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Return the rows as a dataset on the device of the net."""
        dataset = super().get_dataset(X, y)
        if isinstance(dataset, Rows) and dataset.weight is not None:
            raise ValueError(
                f"{self.owner} cannot weigh rows: its losses compare whole batches. Leave the "
                "weights out, or repeat rows in proportion to them."
            )
        return dataset

    # Components

    def initialize_module(self) -> AdversarialEngine:
        """Create generator and critic."""
        super().initialize_module()
        self.critic_ = self.initialized_instance(self.critic, self.get_params_for("critic"))
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> AdversarialEngine:
        """Create both optimizers and start counting steps."""
        if self.n_critic < 1:
            raise ValueError(f"n_critic must be at least 1, got {self.n_critic!r}.")
        for name in ("optimizer", "optimizer_critic"):
            if getattr(self, name) is torch.optim.LBFGS:
                raise ValueError(
                    f"{name}=LBFGS needs a closure, which an adversarial step has not; use Adam."
                )
        self.optimizer_ = self._new_optimizer("optimizer", self.module_.named_parameters())
        self.optimizer_critic_ = self._new_optimizer(
            "optimizer_critic", self.critic_.named_parameters()
        )
        self.critic_steps_ = 0
        self.latest_loss_ = None
        return self

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> Any:
        """Collect optimizer arguments; the critic has a step size of its own."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        own_lr = prefix == "optimizer_critic" and self.lr_critic is not None
        if own_lr and "optimizer_critic__lr" not in vars(self):
            kwargs["lr"] = self.lr_critic
        return args, kwargs

    def set_params(self, **kwargs: Any) -> AdversarialEngine:
        """Set parameters; a new ``lr`` reaches the critic unless it has a step size of its own."""
        super().set_params(**kwargs)
        follows = "optimizer_critic__lr" not in vars(self)
        if self.initialized_ and follows and {"lr", "lr_critic"} & kwargs.keys():
            lr = self.lr if self.lr_critic is None else self.lr_critic
            for group in self.optimizer_critic_.param_groups:
                group["lr"] = lr
        return self

    # What a subclass may replace

    def draw_noise(self, n_rows: int) -> torch.Tensor:
        """Draw standard normal noise of shape (n_rows, latent_dim)."""
        return torch.randn(n_rows, self.module_.latent_dim, device=self.device)

    def make_fake(self, real: torch.Tensor) -> torch.Tensor:
        """Generate as many rows as there are in ``real``."""
        return self.module_(self.draw_noise(len(real)))

    def critic_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Return the loss of the critic, a scalar; ``fake`` carries no gradient."""
        on_real = functional.softplus(-self.critic_(real)).mean()
        return on_real + functional.softplus(self.critic_(fake)).mean()

    def generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        """Return the loss of the generator, a scalar."""
        return functional.softplus(-self.critic_(fake)).mean()

    # Steps

    def _step(self, optimizer, loss, batch):
        clear_gradients(optimizer)
        loss.backward()
        self._clip(optimizer)
        if self.batch_events_:
            self.notify(
                "on_grad_computed",
                named_parameters=TeeGenerator(self.get_all_learnable_params()),
                batch=batch,
                training=True,
            )
        optimizer.step()

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take a critic step and, when it is its turn, a generator step."""
        real = batch[0]
        if self.batch_events_:
            self._set_training(True)
        with torch.no_grad():
            fake = self.make_fake(real)
        critic_loss = self.critic_loss(real, fake)
        self._step(self.optimizer_critic_, critic_loss, batch)
        self.critic_steps_ += 1
        if self.critic_steps_ % self.n_critic == 0:
            with _without_gradients(self.critic_):
                fake = self.make_fake(real)
                loss = self.generator_loss(fake)
                self._step(self.optimizer_, loss, batch)
            self.latest_loss_ = loss.detach()
        elif self.latest_loss_ is None:
            with torch.no_grad():
                self.latest_loss_ = self.generator_loss(fake)
        critic_loss = critic_loss.detach()
        if self.batch_events_ and self.history and self.history[-1, "batches"]:
            self.history.record_batch("train_critic_loss", critic_loss.item())
        return {"loss": self.latest_loss_, "critic_loss": critic_loss, "y_pred": fake.detach()}

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the energy distance between held-out rows and as many fakes."""
        if self.batch_events_:
            self._set_training(False)
        real = batch[0]
        with torch.no_grad(), torch_rng(0, self.device or "cpu"):
            fake = self.make_fake(real)
        distance = energy_distance(real.cpu().numpy(), fake.cpu().numpy())
        return {"loss": torch.tensor(distance, device=self.device), "y_pred": fake}
