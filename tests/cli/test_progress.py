"""Progress bars: on a terminal only, and out of the saved model."""

import io
import sys

import numpy as np
import pytest

from synth_estimators import VAE, CalibratedGaussian, TransformedGenerator
from synth_estimators.cli._commands import _forget_callbacks
from synth_estimators.cli._progress import epoch_bar, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(40, 3))


def test_bar_is_silent_when_stderr_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress(3, unit="row") as bar:
        bar.update(3)
    assert sys.stderr.getvalue() == ""


def test_bar_is_drawn_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(3, unit="row", text="sampling") as bar:
        bar.update(3)
    assert "sampling" in sys.stderr.getvalue()


def test_bar_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(3, unit="row") as bar:
        bar.set_description("x")
        bar.update()
    assert sys.stderr.getvalue() == ""


def test_epochs_are_counted_and_leave_no_trace(monkeypatch, table):
    monkeypatch.setattr(sys, "stderr", Terminal())
    inner = VAE(max_epochs=3, early_stopping=False, random_state=0)
    model = TransformedGenerator(inner)
    with epoch_bar(inner, "fitting VAE"):
        model.fit(table)
    _forget_callbacks(model)
    assert "0/3" in sys.stderr.getvalue()
    assert "fitting VAE" in sys.stderr.getvalue()
    for part in (inner, model, model.generator_):
        assert not hasattr(part, "_skl_callbacks")


def test_generators_without_epochs_need_no_bar(monkeypatch, table):
    monkeypatch.setattr(sys, "stderr", Terminal())
    model = CalibratedGaussian()
    with epoch_bar(model, "fitting"):
        model.fit(table)
    assert sys.stderr.getvalue() == ""
