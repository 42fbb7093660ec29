"""One generator of mixed tables, ours or a peer's, fitted and sampled in a process of its own.

``tabular_vs_ctgan.py`` and ``quality_tabular.py`` start this script through ``Worker`` of
``_batch_peers.py``. A call fits anew and samples; what it returns are the CPU seconds of both, the
CPU clock at the start and the end of every epoch, and the resident memory before the first call,
with the libraries loaded and the table read. The table and the settings come as an ``.npz`` file
(``pack`` of ``_tabular.py``, ``epochs``, ``batch_size``, ``n_samples``).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib
import time

import numpy as np
from _batch_peers import serve
from _tabular import discrete_names, unpack

#: CPU clock at the ends of the epochs of the present call; callbacks are copied before they run.
MARKS = []


def resident_mib():
    """Return the resident memory of this process now, in MiB."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no line 'VmRSS'; memory needs Linux.")


def timed(build, table, data):
    """Return the call that fits and samples, and tells what both took."""
    import torch

    torch.set_num_threads(1)
    n_samples = int(data["n_samples"])
    base = resident_mib()

    def call():
        MARKS.clear()
        start = time.process_time()
        fit, sample = build()
        fit(table)
        fitted = time.process_time()
        sampled = 0.0
        if n_samples:
            rows = sample(n_samples)
            sampled = time.process_time() - fitted
            if len(rows) != n_samples:
                raise RuntimeError(f"{len(rows)} rows came back, {n_samples} were asked for.")
        return {
            "fit": fitted - start,
            "sample": sampled,
            "marks": np.asarray(MARKS),
            "base_mib": base,
        }

    return call


class _Clock:
    """In the place of the progress bar of ctgan: notes the clock before every epoch."""

    def __init__(self, epochs, **_):
        self.epochs = epochs

    def __iter__(self):
        for epoch in self.epochs:
            MARKS.append(time.process_time())
            yield epoch
        MARKS.append(time.process_time())


def _ctgan(name):
    def prepare(data):
        package = importlib.import_module("ctgan")
        importlib.import_module(f"ctgan.synthesizers.{name.lower()}").tqdm = _Clock
        table = unpack(data)
        discrete = discrete_names(table)
        options = {"epochs": int(data["epochs"]), "batch_size": int(data["batch_size"])}

        def build():
            model = getattr(package, name)(enable_gpu=False, **options)
            model.set_random_state(0)
            return lambda rows: model.fit(rows, discrete_columns=discrete), model.sample

        return timed(build, table, data)

    return prepare


def _callback():
    from skorch.callbacks import Callback

    class Clock(Callback):
        """Notes the clock at the ends of training's epochs."""

        def on_train_begin(self, net, **kwargs):
            MARKS.append(time.process_time())

        def on_epoch_end(self, net, **kwargs):
            MARKS.append(time.process_time())

    return Clock()


def _suite(name, **fixed):
    def prepare(data):
        # with all that it imports, so that this does not count as memory of the fit
        kind = getattr(importlib.import_module("synth_estimators.tabular"), name)
        table = unpack(data)
        options = {"random_state": 0, "callbacks": [_callback()], **fixed}
        if int(data["epochs"]):
            options |= {"max_epochs": int(data["epochs"]), "batch_size": int(data["batch_size"])}
        if name != "TabularAR":
            options["discrete_columns"] = discrete_names(table)

        def build():
            model = kind(**options)
            return model.fit, model.sample

        return timed(build, table, data)

    return prepare


#: The networks of the published programs, whatever our own defaults are.
_GAN = {
    "preset": "reference",
    "latent_dim": 128,
    "generator_hidden": (256, 256),
    "critic_hidden": (256, 256),
    "n_critic": 1,
    "pac": 10,
}
_VAE = {"preset": "reference", "latent_dim": 128, "hidden": (128, 128)}
_SUITE = ("synth-estimators", "torch", "skorch")
METHODS = {
    "CTGAN": (_suite("CTGAN", **_GAN), _SUITE),
    "ACTGAN": (_suite("ACTGAN", **_GAN), _SUITE),
    "TVAE": (_suite("TVAE", **_VAE), _SUITE),
    "TabularAR": (_suite("TabularAR"), _SUITE),
    "CTGAN (ctgan)": (_ctgan("CTGAN"), ("ctgan", "torch")),
    "TVAE (ctgan)": (_ctgan("TVAE"), ("ctgan", "torch")),
}


if __name__ == "__main__":
    serve(METHODS)
