"""One method at a time, ours or a peer's, in a process of the environment that has it.

``batch_effects.py`` starts this script as a child, once for every method, with the interpreter of
the peers (``PEER_PYTHON``) or its own; the suite is imported only by our own methods. A child gets
the path of an ``.npz`` file, brings the table into the container its method asks for, and then
answers orders on standard input with one line of JSON: the CPU and the wall seconds of one call,
and the peak memory (VmHWM) of the process until the end of that call, which counts the imports and
the table itself. The values of a call are written to an ``.npy`` file when asked for.

A script with methods of its own hands its table to ``serve`` and its path to ``Worker``.
"""

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import warnings

import numpy as np

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Worker:
    """A method in a process of its own.

    Parameters
    ----------
    python : str
        Interpreter of the environment the method is installed in.

    method : str
        Key of the table of methods of ``script``.

    data : path-like
        Arrays of the task, an ``.npz`` file: ``X`` and what else the method reads.

    script : path-like, default=this file
        A script that ends in ``serve(METHODS)``.
    """

    def __init__(self, python, method, data, *, script=__file__):
        self.method = method
        self.process = subprocess.Popen(
            [python, str(script), method, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**dict.fromkeys(_THREADS, "1"), **os.environ},
            text=True,
        )
        self.versions = self._answer()["versions"]

    def run(self, *, out=None):
        """Call the method once; return its ``cpu``, ``wall`` and ``peak_mib``.

        ``out`` is the ``.npy`` file the values are written to, after the clocks have stopped.
        """
        print(json.dumps({"out": None if out is None else str(out)}), file=self.process.stdin)
        self.process.stdin.flush()
        return self._answer()

    def stop(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            raise RuntimeError(f"The process of {self.method!r} ended with status {status}.")
        return json.loads(line)


def peak_mib():
    """Return the largest resident memory of this process so far, in MiB."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no line 'VmHWM'; peak memory needs Linux.")


def serve(methods):
    """Answer the orders of a ``Worker`` until its end of the pipe is closed.

    ``methods`` maps a name to ``(prepare, packages)``. ``prepare`` gets a dict of arrays, from
    which it may take what it turns into other containers, and returns the call to be timed;
    the call returns an array or a dict of arrays. ``packages`` are those whose versions are told.
    """
    warnings.simplefilter("ignore")
    name, path = sys.argv[1:]
    prepare, packages = methods[name]
    with np.load(path) as file:
        call = prepare({key: file[key] for key in file.files})
    answers = sys.stdout
    send(answers, versions={package: version(package) for package in packages})
    for line in sys.stdin:
        out = json.loads(line)["out"]
        gc.collect()
        gc.disable()
        with _silence():
            wall, cpu = time.perf_counter(), time.process_time()
            values = call()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        gc.enable()
        peak = peak_mib()
        if out is not None:
            write(out, values)
        del values
        send(answers, cpu=cpu, wall=wall, peak_mib=peak)


def version(package):
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@contextlib.contextmanager
def _silence():
    """Drop what peers print on their way; standard output is for the answers."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def write(out, values):
    """Write an array as ``.npy``, or a dict of arrays as ``.npz``."""
    if isinstance(values, dict):
        np.savez(out, **values)
    else:
        np.save(out, np.asarray(values, dtype=np.float64))


def send(stream, **answer):
    """Write one line of JSON."""
    print(json.dumps(answer), file=stream, flush=True)


def _labels(data):
    """Return batch labels as a list of words and the group as numbers, or None."""
    group = data.get("group")
    return [f"b{code}" for code in data["batch"]], None if group is None else group.astype(float)


def _our_combat(data):
    from synth_estimators.batch_effects import ComBat

    X, (batch, group) = data["X"], _labels(data)
    batch = np.array(batch)
    covariates = None if group is None else group[:, None]
    return lambda: ComBat(batch=None).fit_transform(X, batch=batch, covariates=covariates)


def _our_combat_column(data):
    import pandas as pd

    from synth_estimators.batch_effects import ComBat

    batch, _ = _labels(data)
    X = pd.DataFrame(data.pop("X")).rename(columns=lambda j: f"g{j}")
    X["batch"] = batch
    return lambda: ComBat(batch="batch").fit_transform(X).to_numpy()


def _neurocombat(data):
    import pandas as pd
    from neuroCombat import neuroCombat

    batch, group = _labels(data)
    X = np.ascontiguousarray(data.pop("X").T)
    covars = pd.DataFrame({"batch": batch})
    names = None
    if group is not None:
        covars["group"], names = group, ["group"]
    return lambda: neuroCombat(X, covars, "batch", continuous_cols=names)["data"].T


def _neuroharmonize(data):
    import pandas as pd
    from neuroHarmonize import harmonizationLearn

    X, (batch, group) = data["X"], _labels(data)
    covars = pd.DataFrame({"SITE": batch})
    if group is not None:
        covars["group"] = group
    return lambda: harmonizationLearn(X, covars)[1]


def _inmoose(data):
    from inmoose.pycombat import pycombat_norm

    batch, group = _labels(data)
    X = np.ascontiguousarray(data.pop("X").T)
    model = None if group is None else [group]
    return lambda: np.asarray(pycombat_norm(X, batch, covar_mod=_frame(model))).T


def _frame(columns):
    """Return covariates as a table of words, which peers read as levels."""
    import pandas as pd

    if columns is None:
        return None
    words = [[f"level {value:g}" for value in column] for column in columns]
    return pd.DataFrame({f"c{j}": column for j, column in enumerate(words)})


def _combatlearn(method):
    def prepare(data):
        import pandas as pd
        from combatlearn import ComBat

        batch, group = _labels(data)
        X = pd.DataFrame(data.pop("X")).rename(columns=lambda j: f"g{j}")
        batch = pd.Series(batch, index=X.index)
        more = {}
        if group is not None:
            more["continuous_covariates"] = pd.DataFrame({"group": group}, index=X.index)
        if method == "johnson":
            more = {}  # takes no covariates
        return lambda: np.asarray(ComBat(batch, method=method, **more).fit_transform(X))

    return prepare


def _scanpy(data):
    import anndata
    import pandas as pd
    import scanpy

    batch, group = _labels(data)
    rows = pd.DataFrame({"batch": pd.Categorical(batch)})
    names = None
    if group is not None:
        rows["group"], names = group, ["group"]
    rows.index = rows.index.astype(str)
    table = anndata.AnnData(data.pop("X"), obs=rows)
    return lambda: scanpy.pp.combat(table, key="batch", covariates=names, inplace=False)


def _combat(data):
    import pandas as pd
    from combat.pycombat import pycombat

    batch, group = _labels(data)
    X = pd.DataFrame(np.ascontiguousarray(data.pop("X").T))
    X.columns = [f"s{j}" for j in range(X.shape[1])]
    model = [] if group is None else [[f"level {value:g}" for value in group]]
    return lambda: pycombat(X, batch, mod=model).to_numpy().T


def _our_combat_seq(data):
    from synth_estimators.batch_effects import ComBatSeq

    X, (batch, group) = data["X"], _labels(data)
    batch = np.array(batch)
    covariates = None if group is None else group[:, None]
    return lambda: ComBatSeq(batch=None).fit_transform(X, batch=batch, covariates=covariates)


def _inmoose_seq(data):
    from inmoose.pycombat import pycombat_seq

    batch, group = _labels(data)
    X = np.ascontiguousarray(data.pop("X").T)
    model = None if group is None else [group]
    return lambda: np.asarray(pycombat_seq(X, batch, covar_mod=_frame(model))).T


def _simulate(module):
    """``apply_batch_effects``, which takes the same arguments here and in the peer."""

    def prepare(data):
        apply = importlib.import_module(module).apply_batch_effects
        X, batch = data["X"], data["batch"]
        kind, granularity = (str(data[key]) for key in ("effect_type", "granularity"))
        options = {"effect_type": kind, "effect_granularity": granularity}
        return lambda: apply(X, batch, np.random.default_rng(0), **options)[0]

    return prepare


def _assign(module):
    """``confounded_batch_assignment``, likewise."""

    def prepare(data):
        assign = importlib.import_module(module).confounded_batch_assignment
        y = data["y"]
        return lambda: assign(y, 5, 0.6, np.random.default_rng(0))

    return prepare


_OURS = ("synth-estimators", "numpy")
_PEER_SIMULATION = "biomedical_data_generator.effects.batch"
_PEER_SIMULATOR = ("biomedical-data-generator", "numpy")

# method: (preparation, packages whose versions are told)
METHODS = {
    "ComBat": (_our_combat, _OURS),
    "ComBat, column": (_our_combat_column, _OURS),
    "neuroHarmonize": (_neuroharmonize, ("neuroHarmonize", "numpy")),
    "neuroCombat": (_neurocombat, ("neuroCombat", "numpy")),
    "inmoose": (_inmoose, ("inmoose", "numpy")),
    "combatlearn johnson": (_combatlearn("johnson"), ("combatlearn", "numpy")),
    "combatlearn fortin": (_combatlearn("fortin"), ("combatlearn", "numpy")),
    "scanpy": (_scanpy, ("scanpy", "numpy")),
    "combat": (_combat, ("combat", "numpy")),
    "ComBatSeq": (_our_combat_seq, _OURS),
    "inmoose seq": (_inmoose_seq, ("inmoose", "numpy")),
    "apply_batch_effects": (_simulate("synth_estimators.batch_effects"), _OURS),
    "peer apply_batch_effects": (_simulate(_PEER_SIMULATION), _PEER_SIMULATOR),
    "confounded_batch_assignment": (_assign("synth_estimators.batch_effects"), _OURS),
    "peer confounded_batch_assignment": (_assign(_PEER_SIMULATION), _PEER_SIMULATOR),
}


if __name__ == "__main__":
    serve(METHODS)
