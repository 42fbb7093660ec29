"""What generators trained by gradient steps share."""

from __future__ import annotations

import copy
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from synth_estimators import _weights
from synth_estimators._compat import CallbackSupportMixin, Interval, RealNotInt, StrOptions
from synth_estimators._random import torch_rng
from synth_estimators.base import BaseGenerator

__all__ = ["NEURAL_CONSTRAINTS", "NeuralGenerator"]

#: Constraints of the parameters that every neural generator takes.
NEURAL_CONSTRAINTS = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [
        StrOptions({"auto"}),
        Interval(Integral, 1, None, closed="left"),
        Interval(RealNotInt, 0, 1, closed="right"),
    ],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "optimizer": [StrOptions({"adam", "adamw", "sgd", "rmsprop", "adagrad"})],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
    "early_stopping": ["boolean"],
    "patience": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "matmul": [StrOptions({"default", "auto"})],
    "random_state": ["random_state"],
    "device": [str],
    "callbacks": [list, None],
    "net_params": [dict, None],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
}

_OPTIMIZERS = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
}
_DEFAULT_BATCH = 64
_CODE_ROWS = 4_096


class NeuralGenerator(CallbackSupportMixin, BaseGenerator):
    """Base class of generators that train a network through skorch.

    The subclass builds a module and calls ``_build_net`` and ``_train``; this class keeps the
    parameters of the network searchable (``net__optimizer__weight_decay``), continues training,
    and writes weights.
    """

    #: Parameters that fix the shape of the network; they cannot change in a warm start.
    _architecture: ClassVar[tuple[str, ...]] = ()

    def get_params(self, deep: bool = True) -> dict:
        """Return the parameters, with those of ``net_params`` as ``net__<name>``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the entries of ``net_params``.

        Returns
        -------
        params : dict
        """
        params = super().get_params(deep=deep)
        if deep and isinstance(self.net_params, dict):
            params |= {f"net__{name}": value for name, value in self.net_params.items()}
        return params

    def set_params(self, **params: Any) -> NeuralGenerator:
        """Set parameters; ``net__<name>`` sets an entry of ``net_params``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : estimator instance
        """
        net = {name[5:]: params.pop(name) for name in list(params) if name.startswith("net__")}
        super().set_params(**params)
        if net:
            self.net_params = {**(self.net_params or {}), **net}
        return self

    def _check_training(self) -> None:
        from synth_estimators._engine import check_callbacks

        if self.early_stopping and self.validation_fraction is None:
            raise ValueError(
                "early_stopping=True monitors 'valid_loss' but validation_fraction is None; set "
                "validation_fraction=0.2 or early_stopping=False."
            )
        check_callbacks(self.callbacks, self.validation_fraction is not None)

    def _resolve_batch_size(self, n_train: int, *, lower: bool = False) -> int:
        if self.batch_size == "auto":
            return min(_DEFAULT_BATCH, n_train)
        if isinstance(self.batch_size, Integral):
            if self.batch_size > n_train and not lower:
                raise ValueError(
                    f"batch_size={self.batch_size!r} is larger than the {n_train} training rows; "
                    f"use batch_size={n_train} or less, or 'auto'."
                )
            return min(int(self.batch_size), n_train)
        return int(np.clip(round(self.batch_size * n_train), min(2, n_train), n_train))

    def _split_validation(self, n_rows, label_idx, rng):
        """Return training and validation row numbers, stratified by label."""
        if self.validation_fraction is None:
            return np.arange(n_rows), None
        order = rng.permutation(n_rows)
        if label_idx is not None:
            order = order[np.argsort(label_idx[order], kind="stable")]
        n_valid = int(np.clip(round(self.validation_fraction * n_rows), 1, n_rows - 1))
        picked = np.floor((np.arange(n_valid) + rng.random()) * n_rows / n_valid).astype(np.intp)
        chosen = np.zeros(n_rows, dtype=bool)
        chosen[order[np.minimum(picked, n_rows - 1)]] = True
        return np.flatnonzero(~chosen), np.flatnonzero(chosen)

    def _build_net(self, module: Any, module_params: dict, batch_size: int) -> Any:
        """Return an initialised engine; call inside ``torch_rng``."""
        import torch

        from synth_estimators._engine import EpochEngine

        settings = {
            "module": module,
            "optimizer": getattr(torch.optim, _OPTIMIZERS[self.optimizer]),
            "optimizer__weight_decay": float(self.weight_decay),
            "lr": self._learning_rate(),
            "max_epochs": int(self.max_epochs),
            "batch_size": batch_size,
            "device": self.device,
            "clip_norm": self.clip_norm,
            "owner": type(self).__name__,
            "verbose": max(0, int(self.verbose) - 1),
            "callbacks": copy.deepcopy(self.callbacks) or [],
            **{f"module__{name}": value for name, value in module_params.items()},
        }
        net = EpochEngine(**{**settings, **(self.net_params or {})})
        net.initialize()
        return net

    def _train(self, rows: Any, *, epochs: int, context: Any = None, monitor: bool = True) -> None:
        """Train ``net_`` for some epochs and refresh the curves; call inside ``torch_rng``."""
        from synth_estimators._engine import (
            BestWeights,
            EpochBridge,
            fast_matmul,
            limit_threads_in_workers,
        )

        net = self.net_
        added = []
        if monitor and self.early_stopping and rows.valid is not None:
            added.append(("best_weights", BestWeights(patience=self.patience, tol=self.tol)))
        if context is not None:
            added.append(("sklearn_bridge", EpochBridge(self, context)))
        for _, callback in added:
            callback.initialize()
        regular = list(net.callbacks_)
        net.callbacks_ = [*regular, *added]
        n_weights = sum(parameter.numel() for parameter in net.module_.parameters())
        try:
            with (
                fast_matmul(
                    6 * n_weights * net.batch_size, mode=self.matmul, device=self.device
                ) as backend,
                limit_threads_in_workers(),
            ):
                net.partial_fit(rows, epochs=epochs)
        finally:
            net.callbacks_ = regular
        if net.interrupted_:
            raise KeyboardInterrupt
        net.module_.eval()
        self.fit_info_ = {"matmul": backend}
        if added and added[0][0] == "best_weights":
            self.best_epoch_ = added[0][1].best_epoch_
        self._read_history()

    def _read_history(self):
        records = [
            {name: value for name, value in epoch.items() if name != "batches"}
            for epoch in self.net_.history
        ]
        self.history_ = pd.DataFrame(records)
        self.n_iter_ = len(records)
        self.loss_curve_ = [float(record["train_loss"]) for record in records]
        validated = [float(record["valid_loss"]) for record in records if "valid_loss" in record]
        self.validation_loss_curve_ = validated or None

    def _learning_rate(self) -> float:
        return float(self.lr)

    def _refuse_compact(self) -> None:
        """A copy without optimizer state cannot go on."""
        if getattr(self.net_, "_trimmed_for_prediction", False):
            raise ValueError(
                f"This {type(self).__name__} comes from compact() and cannot be trained further; "
                "train the model it was made of, or refit with warm_start=False."
            )

    def _continue_net(self) -> None:
        """Carry changed training parameters into a net that goes on training."""
        self._refuse_compact()
        before = self._trained_params
        for name in self._architecture:
            now, then = getattr(self, name), before[name]
            if now != then:
                raise ValueError(
                    f"warm_start=True cannot change {name} ({then!r} → {now!r}); refit with "
                    "warm_start=False."
                )
        changed = {}
        if self.lr != before["lr"]:
            changed["lr"] = self._learning_rate()
        if self.weight_decay != before["weight_decay"]:
            changed["optimizer__weight_decay"] = float(self.weight_decay)
        if self.clip_norm != before["clip_norm"]:
            changed["clip_norm"] = self.clip_norm
        if changed:
            self.net_.set_params(**changed)
            for group in self.net_.optimizer_.param_groups:
                group["lr"] = self._learning_rate()
                group["weight_decay"] = float(self.weight_decay)
        for name, value in (("kl_weight", None), ("reconstruction_weight", None)):
            value = getattr(self, name, None)
            if value is not None and hasattr(self.net_.module_, name):
                setattr(self.net_.module_, name, float(value))

    def _apply(self, rows: np.ndarray, function: Any, *, like: np.ndarray) -> list[np.ndarray]:
        """Run ``function(module, batch)`` over chunks of rows in evaluation mode.

        ``float64`` data go through a double copy of the module, so that results do not depend on
        how the rows were cut; ``function`` returns a tuple of tensors with one row a row.
        """
        import torch

        module = self.net_.module_
        double = like.dtype == np.float64
        if double:
            module = copy.deepcopy(module).double()
        module.eval()
        dtype = torch.float64 if double else torch.float32
        device = self.net_.device
        parts: list[list[np.ndarray]] = []
        with torch.inference_mode():
            for start in range(0, max(1, len(rows)), _CODE_ROWS):
                block = np.array(rows[start : start + _CODE_ROWS])
                batch = torch.as_tensor(block, dtype=dtype, device=device)
                parts.append([part.cpu().numpy() for part in function(module, batch)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _torch_rng(self, seed: int) -> Any:
        return torch_rng(seed, self.device)

    def compact(self) -> NeuralGenerator:
        """Return a copy without optimizer state, about a third as large on disk.

        Returns
        -------
        estimator : same class
            It samples and transforms as before but cannot be trained further.
        """
        check_is_fitted(self)
        small = copy.deepcopy(self)
        small.net_.trim_for_prediction()
        return small

    def save_weights(self, path: Any) -> None:
        """Write the fitted model as ``path.safetensors`` and ``path.json``.

        Nothing in the two files is executable; ``load_weights`` never unpickles.

        Parameters
        ----------
        path : str or path-like
            File name without suffix.
        """
        check_is_fitted(self)
        state = {
            name: value
            for name, value in vars(self).items()
            if (name.endswith("_") or name.startswith("_"))
            and name not in {"net_", "_sklearn_output_config", "_skl_callbacks"}
        }
        params = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in {"callbacks", "net_params", "init_from", "random_state"}
        }
        module = {k: v.detach().cpu().numpy() for k, v in self.net_.module_.state_dict().items()}
        _weights.write(path, type(self).__name__, {"params": params, "state": state}, module)

    def load_weights(self, path: Any) -> NeuralGenerator:
        """Restore a model written by ``save_weights`` into this estimator.

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

        tree, module = _weights.read(path, type(self).__name__)
        self.set_params(**tree["params"])
        for name, value in tree["state"].items():
            setattr(self, name, value)
        with self._torch_rng(0):
            self.net_ = self._build_net(
                self._module_class(), self._module_params, batch_size=_DEFAULT_BATCH
            )
        self.net_.module_.load_state_dict({k: torch.as_tensor(v) for k, v in module.items()})
        self.net_.module_.eval()
        return self
