"""How the machine multiplies matrices and how many threads a fit may use."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["fast_matmul", "limit_threads_in_workers", "settle_allocator"]

_THRESHOLD_FLOP = 3e8
_LARGEST_ERROR = 2e-6
_SMALLEST_GAIN = 1.3


# Just below the largest block that glibc learns from.
_LESSON_BYTES = 32 * 2**20 - 2**16


def settle_allocator() -> None:
    """Let the C allocator keep the memory that the gradients of every step need.

    glibc gives blocks of more than 128 kB back to the kernel when they are freed and takes the
    pages anew in the next step, a sizeable part of the time of a medium-sized net. It stops doing
    so for all sizes up to the largest block it has seen freed; one block, never touched, is enough.
    Without effect on other allocators.
    """
    np.empty(_LESSON_BYTES, dtype=np.uint8)


class _SharedSetting:
    """A process-wide setting that the first user switches and the last user restores."""

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._read, self._write = read, write
        self._lock = threading.RLock()
        self._users, self._before = 0, None
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self):
        self._lock = threading.RLock()

    @contextmanager
    def switched(self, value: Any, *, unless: Callable[[Any], bool]) -> Iterator[bool]:
        """Hold the setting at ``value``; no-op when ``unless`` is true of the user's value."""
        with self._lock:
            before = self._before if self._users else self._read()
            switch = not unless(before)
            if switch:
                if not self._users:
                    self._before = before
                self._write(value)
                self._users += 1
        try:
            yield switch
        finally:
            if switch:
                with self._lock:
                    self._users -= 1
                    if not self._users:
                        self._write(self._before)


def _read_precision():
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set through torch.backends instead: the user decided
        return None


_precision = _SharedSetting(_read_precision, torch.set_float32_matmul_precision)
_threads = _SharedSetting(torch.get_num_threads, torch.set_num_threads)
_probe_answer: bool | None = None


def _time_of(A, B):
    start = time.perf_counter()
    A @ B
    return time.perf_counter() - start


def _measure() -> bool:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(128, 512, generator=generator)
    B = torch.randn(512, 256, generator=generator)
    exact = A.double() @ B.double()
    before = torch.get_float32_matmul_precision()
    seconds: dict[str, list[float]] = {"highest": [], "medium": []}
    try:
        for _ in range(9):
            for name, values in seconds.items():
                torch.set_float32_matmul_precision(name)
                values.append(_time_of(A, B))
        product = A @ B
    finally:
        torch.set_float32_matmul_precision(before)
    error = float((product.double() - exact).norm() / exact.norm())
    default, onednn = (sorted(values)[4] for values in seconds.values())
    return error < _LARGEST_ERROR and default >= _SMALLEST_GAIN * onednn


def _probe() -> bool:
    """Whether oneDNN multiplies float32 matrices exactly and faster here; asked once a process."""
    global _probe_answer
    if _probe_answer is None:
        with _precision._lock:
            if _probe_answer is None:
                _probe_answer = _measure()
    return _probe_answer


@contextmanager
def fast_matmul(flop_per_step: float, mode: str = "auto", *, device: Any = "cpu") -> Iterator[str]:
    """Send float32 matrix products to oneDNN where they stay exact and get faster.

    The setting belongs to the process. It is restored when the last user leaves, also after an
    exception; users in several threads are counted.

    Parameters
    ----------
    flop_per_step : float
        Floating point operations of one step: 6 x weights x batch for training a dense net,
        2 x weights x rows for a forward pass. Below 300 million the switch does not pay.

    mode : {"auto", "default"}, default="auto"
        "default" never switches: results do not depend on a timing.

    device : str or torch.device, default="cpu"
        Device of the products. Elsewhere than on the CPU the same setting would lower the
        precision, so nothing is switched.

    Yields
    ------
    str
        "onednn" or "default": what multiplies inside the block.

    Examples
    --------
    >>> with fast_matmul(1e6) as matmul:
    ...     print(matmul)
    default
    """
    if mode not in ("auto", "default"):
        raise ValueError(f"matmul must be 'auto' or 'default', got {mode!r}.")
    wanted = (
        mode == "auto"
        and flop_per_step >= _THRESHOLD_FLOP
        and torch.device("cpu" if device is None else device).type == "cpu"
    )
    if not wanted:
        yield "default"
        return
    # The user's own choice of precision stands; the probe runs before the switch.
    if (not _precision._users and _read_precision() != "highest") or not _probe():
        yield "default"
        return
    with _precision.switched("medium", unless=lambda value: value != "highest") as switched:
        yield "onednn" if switched else "default"


def _in_worker_process() -> bool:
    """Whether this process was started by joblib, multiprocessing, Dask or Ray to do a share."""
    if multiprocessing.parent_process() is not None:
        return True
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        worker = getattr(ray.get_runtime_context(), "worker", None)
        return getattr(worker, "mode", None) == getattr(ray, "WORKER_MODE", 1)
    return "distributed.cli.dask_worker" in sys.modules


@contextmanager
def limit_threads_in_workers() -> Iterator[None]:
    """Give torch one thread while a worker process trains or samples.

    Several worker processes with several threads each wait for one another. In the main process
    nothing changes; the earlier number of threads comes back at the end.
    """
    if not _in_worker_process():
        yield
        return
    with _threads.switched(1, unless=lambda threads: threads == 1):
        yield
