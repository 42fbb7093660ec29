"""Training step, sampling and memory of the tabular networks beside ctgan, in turn.

Equal batches, networks and epochs (500 rows, two layers of 256, packs of 10; TVAE two layers of
128). Parts: ``adult`` (15 columns), ``wide`` (100 simulated columns), ``levels`` (50,000 rows with
a column of 10,000 levels, ours alone). Every variant runs in a process of its own, ctgan in the
environment whose interpreter ``PEER_PYTHON`` names; they take turns, and the first round is thrown
away. A step is the CPU time from the end of the first epoch to the end of the last over the steps
between; sampling counts the way back to a table; memory is the peak of the process less what it
held with libraries and table loaded.

    SYNTH_ESTIMATORS_DATA=... PEER_PYTHON=... python benchmarks/tabular_vs_ctgan.py
        [--quick] [--rounds 7] [--only adult wide levels]
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
from _tabular import make_wide, pack, read_split

SCRIPT = Path(__file__).parent / "_tabular_workers.py"
BATCH = 500
LEVELS_ROWS, LEVELS = 50_000, 10_000
PAIRS = {"CTGAN": "CTGAN (ctgan)", "ACTGAN": "CTGAN (ctgan)", "TVAE": "TVAE (ctgan)"}


def python_of(method):
    """Return the interpreter a method runs in."""
    if not method.endswith("(ctgan)"):
        return sys.executable
    peer = os.environ.get("PEER_PYTHON")
    if not peer:
        sys.exit("Set PEER_PYTHON to the interpreter of an environment that has ctgan==0.12.1.")
    return peer


def in_turn(name, table, methods, *, epochs, n_samples, rounds):
    """Fit and sample every method in its process, in turn.

    Returns the tasks of the step and of sampling (seconds a round), and the memory in MiB.
    """
    steps = (epochs - 1) * max(len(table) // BATCH, 1)
    step = Task(f"{name}: training step", "step", rounds)
    drawn = Task(f"{name}: sampled rows", "1000 rows", rounds)
    memory, workers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "table.npz", Path(folder) / "out.npz"
        settings = {"epochs": epochs, "batch_size": BATCH, "n_samples": n_samples}
        np.savez(data, **pack(table), **settings)
        try:
            for method in methods:
                workers[method] = Worker(python_of(method), method, data, script=SCRIPT)
            for index in range(rounds + 1):
                for method, worker in workers.items():
                    answer = worker.run(out=out)
                    with np.load(out) as file:
                        told = {key: file[key] for key in file.files}
                    memory[method] = memory_of(answer, told)
                    if index and steps:
                        seconds = (told["marks"][-1] - told["marks"][1]) / steps
                        note(step, method, seconds, answer["wall"])
                    if index:
                        seconds = 1000 * told["sample"] / n_samples
                        note(drawn, method, seconds, answer["wall"])
        finally:
            for worker in workers.values():
                worker.stop()
    tasks = [task for task in (step, drawn) if task.seconds]
    for task in tasks:
        task.notes |= {
            "rows": len(table),
            "columns": table.shape[1],
            "steps_per_round": steps,
            **settings,
            "wall_seconds": "of the whole call: encoder, training and sampling",
            "versions": {method: worker.versions for method, worker in workers.items()},
        }
        task.print()
    return tasks, memory


def memory_of(answer, told):
    """Return the peak of a process, and what fitting and sampling have added to it."""
    base = float(told["base_mib"])
    peak = answer["peak_mib"]
    return {"peak_mib": peak, "base_mib": base, "added_mib": peak - base}


def note(task, method, seconds, wall):
    task.seconds.setdefault(method, []).append(float(seconds))
    task.wall.setdefault(method, []).append(float(wall))


def beside(name, table, options, *, epochs, n_samples, limit):
    """Compare all with their peers on one table."""
    methods = [*PAIRS, "CTGAN (ctgan)", "TVAE (ctgan)"]
    tasks, memory = in_turn(
        name, table, methods, epochs=epochs, n_samples=n_samples, rounds=options.rounds
    )
    step, drawn = tasks
    targets = []
    for ours, peer in PAIRS.items():
        share = memory[ours]["added_mib"] / memory[peer]["added_mib"]
        targets += [
            Target(f"{name}: training step, {ours} over {peer}", step.ratio(peer, ours), limit),
            Target(f"{name}: sampling, {ours} over {peer}", drawn.ratio(peer, ours), 2.0),
            Target(f"{name}: added memory, {ours} / {peer}", share, 0.5, at_most=True),
        ]
    return tasks, targets, memory


def run_adult(options):
    table, _ = read_split("adult", 0)
    rows, epochs = (4_000, 4) if options.quick else (22_500, 3)  # whole batches
    return beside("adult", table.head(rows), options, epochs=epochs, n_samples=20_000, limit=2.0)


def run_wide(options):
    rows = 1_500 if options.quick else 5_000
    table = make_wide(rows, 100)
    return beside("100 columns", table, options, epochs=5, n_samples=10_000, limit=4.0)


def run_levels(options):
    """One epoch and 10,000 rows with a column of many levels."""
    table = make_wide(LEVELS_ROWS, 5, n_levels=LEVELS)
    found, targets = {}, []
    for method in ("CTGAN", "ACTGAN", "TVAE"):
        _, memory = in_turn(
            f"{LEVELS} levels", table, [method], epochs=1, n_samples=10_000, rounds=1
        )
        found |= memory
        title = f"{LEVELS} levels x {LEVELS_ROWS} rows: peak memory of {method}"
        peak = memory[method]["peak_mib"]
        targets.append(Target(title, peak, 2048.0, at_most=True, unit="MiB"))
    return [], targets, found


PARTS = {"adult": run_adult, "wide": run_wide, "levels": run_levels}


def main():
    options = _protocol.arguments(__doc__)
    tasks, targets, memory = [], [], {}
    for part in options.only or PARTS:
        ran, kept, held = PARTS[part](options)
        tasks += ran
        targets += kept
        memory[part] = held
    _protocol.print_targets(targets)
    path = _protocol.save(
        "tabular_vs_ctgan",
        tasks=tasks,
        targets=targets,
        quick=options.quick or options.only is not None,
        memory_mib=memory,
    )
    print(f"raw numbers in {path}")


if __name__ == "__main__":
    main()
