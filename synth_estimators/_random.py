"""Seeds and local random generators; no global generator is ever touched."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["draw_seed", "local_rng", "spawn_seeds", "torch_generator", "torch_rng"]

_MAX_SEED = 2**31 - 1

# torch has one default generator per process; training borrows it, so fits in threads take turns.
_TORCH_LOCK = threading.RLock()


def _reset_lock_after_fork() -> None:
    global _TORCH_LOCK
    _TORCH_LOCK = threading.RLock()


os.register_at_fork(after_in_child=_reset_lock_after_fork)


def draw_seed(random_state: Any) -> int:
    """Draw one integer seed from ``random_state``.

    An int gives the same seed each time, a ``RandomState`` instance moves on, None is fresh.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0] % _MAX_SEED)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_MAX_SEED))
    return int(check_random_state(random_state).randint(_MAX_SEED))


def local_rng(random_state: Any, *, fallback_seed: int | None = None) -> np.random.Generator:
    """Return a numpy generator of its own for one call.

    ``fallback_seed`` stands in when ``random_state`` is None (the estimator's own stream).
    """
    if random_state is None and fallback_seed is not None:
        return np.random.default_rng(fallback_seed)
    return np.random.default_rng(draw_seed(random_state))


def spawn_seeds(random_state: Any, n_seeds: int) -> list[int]:
    """Draw ``n_seeds`` statistically independent integer seeds."""
    sequence = np.random.SeedSequence(draw_seed(random_state))
    return [int(child.generate_state(1)[0] % _MAX_SEED) for child in sequence.spawn(n_seeds)]


def torch_generator(rng: np.random.Generator, device: Any = "cpu") -> Any:
    """Return a ``torch.Generator`` seeded from a numpy generator."""
    import torch

    return torch.Generator(device=device).manual_seed(int(rng.integers(_MAX_SEED)))


@contextmanager
def torch_rng(seed: int, device: Any = "cpu") -> Iterator[None]:
    """Seed torch's default generators inside the block and restore them afterwards.

    Weight initialisation, dropout, shuffling and ``randn_like`` draw from the process-wide
    generators of torch; the lock makes fits in several threads independent of each other.
    """
    import torch

    device = torch.device(device)
    cuda = [device.index or 0] if device.type == "cuda" else []
    with _TORCH_LOCK, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
