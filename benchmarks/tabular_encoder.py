"""The encoder of mixed tables beside ctgan's, and its mixtures beside scikit-learn's, in turn.

Parts: ``adult`` (fit, transform and inverse of 26,048 rows x 15 columns, ctgan in the environment
whose interpreter ``PEER_PYTHON`` names) and ``million`` (mixtures of 1,000,000 rows x 10 simulated
columns; scikit-learn fits one mixture a column, on all rows, for the first columns only, and its
time is multiplied to ten). Every variant runs in a process of its own; they take turns, and the
first round is thrown away (of ``adult`` only: a mixture of a million rows takes a minute).

    SYNTH_ESTIMATORS_DATA=... PEER_PYTHON=... python benchmarks/tabular_encoder.py
        [--quick] [--rounds 7] [--only adult million]
"""

import _protocol  # first: limits the threads

# isort: split

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from _batch_peers import Worker
from _protocol import Target, Task
from _tabular import pack, read_split

SCRIPT = Path(__file__).parent / "_encoder_workers.py"
SCORED = 100_000
PEER_COLUMNS = 2


def peer_python():
    """Return the interpreter of the environment that has ctgan."""
    peer = os.environ.get("PEER_PYTHON")
    if not peer:
        sys.exit("Set PEER_PYTHON to the interpreter of an environment that has ctgan==0.12.1.")
    return peer


def in_turn(pythons, data, tasks, *, rounds, warm=True):
    """Run every method in its process, in turn; return its last answer and the versions."""
    told, versions = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "data.npz", Path(folder) / "out.npz"
        np.savez(path, **data)
        workers = {
            method: Worker(python, method, path, script=SCRIPT)
            for method, python in pythons.items()
        }
        try:
            for index in range(rounds + warm):
                for method, worker in workers.items():
                    answer = worker.run(out=out)
                    with np.load(out) as file:
                        told[method] = {key: file[key] for key in file.files}
                    if index < warm:
                        continue
                    for step, task in tasks.items():
                        task.seconds.setdefault(method, []).append(float(told[method][step]))
                        task.wall.setdefault(method, []).append(answer["wall"])
            versions = {method: worker.versions for method, worker in workers.items()}
        finally:
            for worker in workers.values():
                worker.stop()
    for task in tasks.values():
        task.notes["versions"] = versions
    return told


def run_adult(options):
    table, _ = read_split("adult", 0)
    pythons = {"TabularEncoder": sys.executable, "DataTransformer (ctgan)": peer_python()}
    tasks = {
        step: Task(f"adult: {step}", "table", options.rounds)
        for step in ("fit", "transform", "inverse")
    }
    in_turn(pythons, pack(table), tasks, rounds=options.rounds)
    ours, peer = pythons
    targets = [
        Target(f"adult: {step}, over ctgan", tasks[step].ratio(peer, ours), 10.0)
        for step in ("fit", "transform")
    ]
    return list(tasks.values()), targets, {}


def simulated(n_rows):
    """Ten columns of shapes that one Gaussian does not fit."""
    rng = np.random.default_rng(0)
    component = rng.integers(0, 4, n_rows)
    return np.column_stack(
        [
            rng.lognormal(size=n_rows),
            rng.normal(np.array([-6.0, -1.0, 2.0, 8.0])[component], 0.8),
            rng.exponential(size=n_rows),
            rng.standard_t(4, n_rows),
            rng.uniform(size=n_rows),
            rng.gamma(0.8, 1e3, n_rows),
            rng.normal(size=n_rows),
            rng.beta(0.5, 2.0, n_rows),
            rng.normal(0, np.array([0.1, 1.0, 3.0, 10.0])[component]),
            rng.normal(size=n_rows) ** 2 - rng.exponential(size=n_rows),
        ]
    )


def run_million(options):
    n_rows = 50_000 if options.quick else 1_000_000
    columns = 1 if options.quick else PEER_COLUMNS
    data = {"X": simulated(n_rows), "scored": SCORED, "peer_columns": columns}
    ours, peer = "TabularEncoder (all columns)", "BayesianGaussianMixture (one by one)"
    task = Task(f"{n_rows} rows x 10 columns: fit", "table", 1)
    told = in_turn(
        dict.fromkeys((ours, peer), sys.executable), data, {"fit": task}, rounds=1, warm=False
    )
    task.notes["columns of the peer"] = columns
    loss = float(np.max(told[peer]["loglik"] - told[ours]["loglik"][:columns]))
    targets = [
        Target(f"{n_rows} x 10: fit, over scikit-learn", task.ratio(peer, ours), 100.0),
        Target("log-likelihood below scikit-learn's", loss, 0.02, at_most=True, unit="nats"),
    ]
    found = {method: values["loglik"].tolist() for method, values in told.items()}
    return [task], targets, found


PARTS = {"adult": run_adult, "million": run_million}


def main():
    options = _protocol.arguments(__doc__)
    tasks, targets, loglik = [], [], {}
    for part in options.only or PARTS:
        ran, kept, found = PARTS[part](options)
        tasks += ran
        targets += kept
        loglik |= found
    for task in tasks:
        task.print()
    _protocol.print_targets(targets)
    path = _protocol.save(
        "tabular_encoder",
        tasks=tasks,
        targets=targets,
        quick=options.quick or options.only is not None,
        log_likelihood=loglik,
    )
    print(f"raw numbers in {path}")


if __name__ == "__main__":
    main()
