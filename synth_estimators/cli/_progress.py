"""Progress bars on stderr, silent when it is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Silent:
    """Stands in for the bar where tqdm is not installed."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def update(self, n: int = 1) -> None:
        pass

    def set_description(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


def progress(total: int | None, *, unit: str, text: str | None = None) -> Any:
    """Return a progress bar (a context manager) on stderr."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent()
    return tqdm(
        total=total,
        unit=unit,
        desc=text,
        file=sys.stderr,
        disable=None,
        leave=False,
        dynamic_ncols=True,
    )


class EpochBar:
    """Callback of an estimator that draws one step an epoch."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._bar: Any = _Silent()

    def setup(self, estimator: Any, context: Any) -> None:
        """Open the bar when ``fit`` starts."""
        self._bar = progress(context.max_subtasks, unit="epoch", text=self.text)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing at the beginning of an epoch."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Move on after each epoch."""
        if context.parent is not None:
            self._bar.update()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Close the bar when ``fit`` is over."""
        self._bar.close()
        self._bar = _Silent()


@contextmanager
def epoch_bar(generator: Any, text: str) -> Iterator[None]:
    """Show the epochs of a fit of ``generator``, if it has any, and leave no trace in it.

    Clones inherit the callback, so wrappers around ``generator`` show it too.
    """
    if not hasattr(generator, "set_callbacks") or not sys.stderr.isatty():
        yield
        return
    generator.set_callbacks(EpochBar(text))
    try:
        yield
    finally:
        generator.set_callbacks()
