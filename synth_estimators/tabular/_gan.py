"""What CTGAN and ACTGAN share: networks, training and draws."""

from __future__ import annotations

import copy
import math
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import Interval
from synth_estimators._neural import _OPTIMIZERS
from synth_estimators._random import torch_generator
from synth_estimators.tabular._base import (
    TABULAR_CONSTRAINTS,
    BaseTabularGenerator,
    EpochInfo,
    compact_rows,
)
from synth_estimators.tabular._spans import silent_levels, span_shares

__all__ = ["GAN_CONSTRAINTS", "BaseTabularGAN"]

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")

#: Constraints of the parameters that both estimators take.
GAN_CONSTRAINTS: dict[str, Any] = {
    **TABULAR_CONSTRAINTS,
    "generator_hidden": [tuple, list],
    "critic_hidden": [tuple, list],
    "pac": [_COUNT, None],
    "lr": [_POSITIVE, None],
    "batch_size": [_COUNT, None],
    "n_critic": [_COUNT, None],
    "log_frequency": ["boolean"],
    "gradient_penalty": [_NOT_NEGATIVE],
    "reconstruction_weight": [_NOT_NEGATIVE],
    "tau": [_POSITIVE],
    "leaky_slope": [_NOT_NEGATIVE],
    "critic_dropout": [Interval(Real, 0, 1, closed="left"), None],
    "average_decay": [Interval(Real, 0, 1, closed="left"), None],
    "critic_lr": [_POSITIVE, None],
    "critic_weight_decay": [_NOT_NEGATIVE],
    "auxiliary": [tuple, list],
    "auxiliary_weight": [_NOT_NEGATIVE],
    "target": "no_validation",
    "betas": [tuple, list],
}

_AUXILIARY = ("information", "target")
_PREDICTOR_LR = 1e-3

# What a preset says where a parameter is None.
_PRESETS: dict[str, dict[str, Any]] = {
    "reference": {
        "pac": 10,
        "batch_size": 500,
        "n_critic": 1,
        "lr": 2e-4,
        "critic_lr": None,
        "critic_dropout": 0.5,
        "average_decay": 0.0,
    },
    "tuned": {
        "pac": 1,
        "batch_size": 100,
        "n_critic": 2,
        "lr": 5e-4,
        "critic_lr": 5e-4,
        "critic_dropout": 0.2,
        "average_decay": 0.999,
    },
}


class BaseTabularGAN(BaseTabularGenerator):
    """Base class of conditional GANs: a residual generator against a packed Wasserstein critic."""

    _architecture: ClassVar[tuple[str, ...]] = (
        "latent_dim",
        "generator_hidden",
        "critic_hidden",
        "pac",
        "preset",
        "constraints",
        "auxiliary",
        "target",
    )

    conditional_vector_type = "single_discrete"
    condition_mask = False
    _collapse_advice = "Train for more epochs, lower critic_lr, use a larger pac, or try TabularAR."

    def _preset(self, name):
        """Value of a parameter that the preset decides when it is None."""
        value = getattr(self, name)
        return _PRESETS[self.preset][name] if value is None else value

    def _learning_rate(self):
        return float(self._preset("lr"))

    def _critic_lr(self):
        lr = self._preset("critic_lr")
        return None if lr is None else float(lr)

    def _check_tabular(self):
        super()._check_tabular()
        for name in ("generator_hidden", "critic_hidden"):
            widths = getattr(self, name)
            if not all(
                isinstance(w, Integral) and not isinstance(w, bool) and w > 0 for w in widths
            ):
                raise ValueError(f"{name} must hold positive integers, got {widths!r}.")
        self._check_batch_size()
        self._check_auxiliary()
        betas = tuple(self.betas)
        if len(betas) != 2 or not all(isinstance(b, Real) and 0 <= b < 1 for b in betas):
            raise ValueError(f"betas must be two numbers from 0 to below 1, got {self.betas!r}.")

    def _check_auxiliary(self):
        unknown = [name for name in self.auxiliary if name not in _AUXILIARY]
        if unknown:
            raise ValueError(f"auxiliary must hold some of {_AUXILIARY}, got {self.auxiliary!r}.")
        if ("target" in self.auxiliary) != (self.target is not None):
            raise ValueError(
                "auxiliary=('target',) and target, the label of a column, go together; got "
                f"auxiliary={self.auxiliary!r} and target={self.target!r}."
            )

    def _check_batch_size(self):
        if self.batch_size is None:
            return
        if self.batch_size % 2:
            raise ValueError(
                f"batch_size must be divisible by 2, got {self.batch_size!r}; use "
                f"{self.batch_size + 1} or {max(2, self.batch_size - 1)}."
            )
        pac = self._preset("pac")
        if self.batch_size % pac:
            raise ValueError(
                f"batch_size must be divisible by pac, got batch_size={self.batch_size!r} and "
                f"pac={pac!r}; use pac=1 or a multiple of {pac}."
            )

    # Networks

    def _module_class(self):
        from synth_estimators._networks.tabular_gan import ConditionalGenerator

        return ConditionalGenerator

    def _build_net(self, module, module_params, batch_size):
        import torch

        from synth_estimators._networks.tabular_gan import PackedCritic
        from synth_estimators.tabular._gan_net import TabularGANEngine

        settings = {
            "module": module,
            "critic": PackedCritic,
            "optimizer": getattr(torch.optim, _OPTIMIZERS[self.optimizer]),
            "optimizer_critic": getattr(torch.optim, _OPTIMIZERS[self.optimizer]),
            "optimizer__weight_decay": float(self.weight_decay),
            "optimizer_critic__weight_decay": float(self.critic_weight_decay),
            "lr": self._learning_rate(),
            "lr_critic": self._critic_lr(),
            "n_critic": int(self._preset("n_critic")),
            "gradient_penalty": float(self.gradient_penalty),
            "reconstruction_weight": float(self.reconstruction_weight),
            "average_decay": float(self._preset("average_decay")),
            "max_epochs": int(self.max_epochs),
            "batch_size": batch_size,
            "device": self.device,
            "clip_norm": self.clip_norm,
            "owner": type(self).__name__,
            "verbose": max(0, int(self.verbose) - 1),
            "callbacks": copy.deepcopy(self.callbacks) or [],
            **{f"module__{name}": value for name, value in module_params.items()},
            **{f"critic__{name}": value for name, value in self._critic_params.items()},
            **self._auxiliary_settings(),
        }
        if self.optimizer in ("adam", "adamw"):
            betas = tuple(float(beta) for beta in self.betas)
            settings |= {"optimizer__betas": betas, "optimizer_critic__betas": betas}
        net = TabularGANEngine(**{**settings, **(self.net_params or {})})
        net.initialize()
        return net

    def _auxiliary_settings(self):
        """Further losses, and the network that one of them needs."""
        if not self.auxiliary:
            return {}
        names = tuple(dict.fromkeys(self.auxiliary))
        settings = {"auxiliary": names, "auxiliary_weight": float(self.auxiliary_weight)}
        if "target" in names:
            from synth_estimators._networks.tabular_auxiliary import TargetPredictor

            params = self._predictor_params()
            settings |= {f"predictor__{name}": value for name, value in params.items()}
            settings |= {"predictor": TargetPredictor, "optimizer_predictor__lr": _PREDICTOR_LR}
        return settings

    def _predictor_params(self):
        layout, labels = self.encoder_.layout_, self._model_labels
        if self.target not in labels or len(labels) < 2:
            raise ValueError(
                f"target={self.target!r} is no column that can be predicted from others; the model "
                f"learns the columns {labels}."
            )
        spans = layout.spans_of(labels.index(self.target))
        widths = {
            kind: tuple(span.width for span in spans if span.kind == kind)
            for kind in ("scalar", "binary", "one_hot")
        }
        return {
            "width": layout.width,
            "places": tuple(k for span in spans for k in range(span.start, span.stop)),
            "n_scalars": sum(widths["scalar"]),
            "bit_widths": widths["binary"],
            "level_widths": widths["one_hot"],
        }

    def _start_net(self, codes, batch_size):
        layout = self.encoder_.layout_
        widths = {
            kind: [span.width for span in layout.spans if span.kind == kind]
            for kind in ("binary", "one_hot")
        }
        anyway = self.conditional_vector_type == "anyway"
        n_binary = len(widths["binary"])
        self._module_params = {
            "n_scalars": layout.n_scalars,
            "bit_widths": tuple(widths["binary"]),
            "level_widths": tuple(widths["one_hot"]),
            "latent_dim": int(self.latent_dim),
            "hidden": tuple(int(width) for width in self.generator_hidden),
            "fields": () if anyway else tuple(int(p) - n_binary for p in self._fields.places),
            "columns": tuple(span.column for span in layout.spans) if anyway else (),
            "flags": bool(self.condition_mask),
            "silent": silent_levels(layout),
            "tau": float(self.tau),
            "averaged": self._preset("average_decay") > 0,
        }
        if anyway:
            n_conditions = layout.width + len(self._model_labels) * bool(self.condition_mask)
        else:
            n_conditions = self._fields.n_conditions
        self._critic_params = {
            "width": layout.width,
            "n_conditions": n_conditions,
            "hidden": tuple(int(width) for width in self.critic_hidden),
            "pac": int(self._preset("pac")),
            "slope": float(self.leaky_slope),
            "dropout": float(self._preset("critic_dropout")),
        }
        self.net_ = self._build_net(self._module_class(), self._module_params, batch_size)
        self.n_iter_ = 0
        if self.preset == "tuned":
            self.net_.module_.start_at_shares(
                codes.scalars.mean(axis=0, dtype=np.float64), span_shares(layout, codes)
            )

    def _continue_net(self):
        super()._continue_net()
        net, lr = self.net_, self._critic_lr()
        net.set_params(lr_critic=lr)
        for group in net.optimizer_critic_.param_groups:
            group["lr"] = self._learning_rate() if lr is None else lr
            group["weight_decay"] = float(self.critic_weight_decay)
        net.n_critic = int(self._preset("n_critic"))
        net.gradient_penalty = float(self.gradient_penalty)
        net.reconstruction_weight = float(self.reconstruction_weight)
        net.auxiliary_weight = float(self.auxiliary_weight)

    # Training

    def _gan_batch_size(self, n_rows):
        """Rows a step: a multiple of ``pac``, drawn with replacement where there are few."""
        wanted, pac = int(self._preset("batch_size")), int(self._preset("pac"))
        if self.batch_size is None:
            step = math.lcm(2, pac)
            wanted = max(wanted // step, 1) * step
        if n_rows >= wanted:
            return wanted
        return max(n_rows // pac, 2) * pac

    def _training_rows(self, codes):
        """Dataset that draws rows together with conditions."""
        from synth_estimators.tabular._condition_vectors import LevelFields, LevelRows

        self._fields = LevelFields(self.encoder_.layout_, codes)
        return LevelRows(codes, self._fields, log_frequency=self.log_frequency)

    def _train_codes(self, codes, valid, seed, context, *, warm):
        from synth_estimators._engine import TrainingRows

        batch_size = self._gan_batch_size(len(codes))
        with self._torch_rng(seed):
            rows = self._training_rows(codes).to(self.device)
            if warm:
                self._continue_net()
                self.net_.set_params(batch_size=batch_size)
            else:
                self._start_net(codes, batch_size)
            self._rows_in_training = rows
            try:
                self._run(TrainingRows(rows), epochs=self.max_epochs, context=context, valid=valid)
            except FloatingPointError:
                self._keep_finite()
                raise
            finally:
                del self._rows_in_training

    def _keep_finite(self):
        """Make what is left of a diverged run usable."""
        self.net_.history.pop()
        self.net_.module_.eval()
        self._read_history()
        self._after_training()

    def _after_training(self):
        self.net_.settle(self._rows_in_training)

    def _epoch_info(self, record):
        losses = [float(record[f"train_{name}"]) for name in ("loss", "critic_loss")]
        return EpochInfo(
            record["epoch"],
            round(losses[0], 4),
            round(losses[1], 4),
            float(record["train_reconstruction_loss"]),
        )

    # Files

    def save_weights(self, path: Any) -> None:
        """Write the fitted model, with its critic, as ``path.safetensors`` and ``path.json``.

        Nothing in the two files is executable; ``load_weights`` never unpickles.

        Parameters
        ----------
        path : str or path-like
            File name without suffix.
        """
        check_is_fitted(self)
        net = self.net_
        opponents = {name: getattr(net, f"{name}_") for name in net._modules if name != "module"}
        self._opponents = {
            name: {key: value.detach().cpu().numpy() for key, value in part.state_dict().items()}
            for name, part in opponents.items()
        }
        self._steps_taken = (net.steps_, net.critic_steps_)
        try:
            super().save_weights(path)
        finally:
            del self._opponents, self._steps_taken

    def load_weights(self, path: Any) -> BaseTabularGAN:
        """Restore a model written by ``save_weights`` into this estimator, critic included.

        Training goes on from there with ``warm_start=True``; only the moments of the optimizers
        start anew.

        Parameters
        ----------
        path : str or path-like
            File name without suffix.

        Returns
        -------
        self : fitted estimator
            With the parameters of the saved model.

        Raises
        ------
        ValueError
            When the files hold another class, are damaged or come from a newer version.
        """
        import torch

        super().load_weights(path)
        net = self.net_
        for name, state in vars(self).pop("_opponents", {}).items():
            part = getattr(net, f"{name}_")
            part.load_state_dict({key: torch.as_tensor(value) for key, value in state.items()})
        net.steps_, net.critic_steps_ = vars(self).pop("_steps_taken", (0, 0))
        net.settled_ = net.steps_
        return self

    # Draws

    def _follows(self, columns):
        return self._fields.follows(list(columns))

    def _condition(self, n_samples, rng, conditions):
        """What the generator is told, as a tensor or None."""
        import torch

        if not len(self._fields):
            return None
        if conditions is None or not self._fields.follows(list(conditions.columns)):
            index = self._fields.draw(n_samples, rng)
        else:
            index = self._fields.wanted(conditions.codes, list(conditions.columns))
        return torch.as_tensor(index, dtype=torch.long, device=self.net_.device)

    def _draw(self, n_samples, rng, conditions=None):
        net = self.net_
        if hasattr(self, "_rows_in_training"):
            net.settle(self._rows_in_training)
        module = net.module_.eval()
        generator = torch_generator(rng, net.device)
        condition = self._condition(n_samples, rng, conditions)

        def draw(noise, rows):
            known = None if condition is None else condition[rows]
            return module.draw(noise, known, generator=generator)

        return self._draw_codes(n_samples, draw, body=module.body, generator=generator)


def known_rows(codes: Any, columns: Any, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """One number a span, and the mask of known columns, of wanted rows.

    Parameters
    ----------
    codes : RowCodes
        Wanted rows, complete.

    columns : sequence of int
        Columns whose cells are asked for.

    n_columns : int
        Columns of the table.

    Returns
    -------
    compact : ndarray of float32 of shape (n_rows, n_spans)

    mask : ndarray of float32 of shape (n_rows, n_columns)
    """
    mask = np.zeros((len(codes), n_columns), dtype=np.float32)
    mask[:, list(columns)] = 1.0
    return compact_rows(codes), mask
