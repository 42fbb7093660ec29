"""Fused Adam without its bookkeeping per step."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["AdamSteps"]

_PLAIN = ("amsgrad", "maximize", "capturable", "differentiable")
_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


class AdamSteps:
    """Steps of a fused Adam or AdamW over one epoch.

    ``optimizer.step()`` collects its tensors anew each time and advances one counter a parameter,
    which for small nets takes as long as the update. Here the tensors are collected once and share
    a counter; ``close`` writes it back. The update is the same kernel, bit for bit.

    Parameters
    ----------
    optimizer : torch.optim.Adam or torch.optim.AdamW
        Its settings are read once, so they must not change before ``close``.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.groups: list[tuple[Any, ...]] | None = None
        self.suits = _suits(optimizer)

    def __call__(self) -> None:
        """Take one step with the gradients at hand."""
        if self.groups is None and self.suits:
            self._collect()
        if self.groups is None:
            self.optimizer.step()
            return
        gradients = [[p.grad for p in group[0]] for group in self.groups]
        if any(gradient is None for part in gradients for gradient in part):
            self.close()
            self.suits = False
            self.optimizer.step()
            return
        with torch.no_grad():
            self.counter.add_(1)
            for part, group in zip(gradients, self.groups, strict=True):
                parameters, averages, squares, counters, kernel, settings = group
                kernel(parameters, part, averages, squares, [], counters, **settings)

    def _collect(self) -> None:
        """Collect the tensors, once every parameter with a gradient has been stepped before."""
        groups, states = [], []
        for group in self.optimizer.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            found = [self.optimizer.state.get(p) for p in parameters]
            if not parameters or not all(found):
                return
            states += found
            groups.append((group, parameters, found))
        counts = {float(state["step"]) for state in states}
        if len(counts) != 1 or any(p.is_sparse or p.is_complex() for g in groups for p in g[1]):
            self.suits = False
            return
        self.counter = states[0]["step"].clone()
        self.states = states
        self.groups = []
        for group, parameters, found in groups:
            apart = group.get(
                "decoupled_weight_decay", isinstance(self.optimizer, torch.optim.AdamW)
            )
            kernel = torch._fused_adamw_ if apart else torch._fused_adam_
            settings = {
                "lr": group["lr"],
                "beta1": group["betas"][0],
                "beta2": group["betas"][1],
                "weight_decay": group["weight_decay"],
                "eps": group["eps"],
                "amsgrad": False,
                "maximize": False,
            }
            averages = [state["exp_avg"] for state in found]
            squares = [state["exp_avg_sq"] for state in found]
            counters = [self.counter] * len(parameters)
            self.groups.append((parameters, averages, squares, counters, kernel, settings))

    def close(self) -> None:
        """Write the counter back into the state of the optimizer."""
        if self.groups is not None:
            for state in self.states:
                state["step"].copy_(self.counter)
            self.groups = None


def _suits(optimizer):
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    if "step" in vars(optimizer) and not hasattr(optimizer.step, "__wrapped__"):
        return False
    if any(getattr(optimizer, name, None) for name in _HOOKS):
        return False
    if getattr(optimizer, "grad_scale", None) is not None:
        return False
    for group in optimizer.param_groups:
        numbers = (group["lr"], *group["betas"])
        if not group.get("fused") or any(group.get(name) for name in _PLAIN):
            return False
        if any(isinstance(number, torch.Tensor) for number in numbers):
            return False
        if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in group["params"]):
            return False
    return all(hasattr(torch, name) for name in ("_fused_adam_", "_fused_adamw_"))
