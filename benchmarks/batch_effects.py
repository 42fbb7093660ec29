"""Removal and simulation of batch effects beside the packages that do the same.

Parts: ``combat`` times ComBat without covariates at four sizes beside neuroHarmonize, neuroCombat,
inmoose, combatlearn, scanpy and combat, with the peak memory at each; ``covariate`` adds one
covariate; ``seq`` times ComBatSeq beside inmoose; ``simulation`` the batch effects beside
biomedical-data-generator; ``harmony`` HarmonyEmbedding beside harmonypy. Every method has a
process of its own and the processes take turns, so that all times of a line come from the same
minutes. The largest difference of the values stands beside the times: methods that do not compute
the same cannot be compared by time alone.

The peers need an environment of their own (``pip install neuroCombat neuroHarmonize inmoose
combatlearn combat scanpy harmonypy biomedical-data-generator "numpy<2"``): set PEER_PYTHON to its
interpreter, or only our own times are taken.

    PEER_PYTHON=... python benchmarks/batch_effects.py [--quick] [--rounds 5] [--only combat seq]
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

N_BATCHES = 3
SIZES = ((200, 1_000), (2_000, 1_000), (200, 20_000), (2_000, 20_000))
QUICK_SIZES = ((60, 300), (200, 1_000))
SEQ_SIZES = ((60, 1_000), (200, 1_000))
PEAK_MIB = 1_500
COMBAT_PEERS = (
    "neuroHarmonize",
    "neuroCombat",
    "inmoose",
    "combatlearn johnson",
    "combatlearn fortin",
    "scanpy",
    "combat",
)
# takes no covariates
WITHOUT_COVARIATES = ("combatlearn johnson",)


def expression(n_samples, n_features, *, seed=0):
    """Log-scale expression in three batches with shifts, scales and two groups."""
    rng = np.random.default_rng(seed)
    batch = rng.permutation(np.arange(n_samples) % N_BATCHES)
    group = rng.integers(0, 2, n_samples)
    X = rng.normal(size=(n_samples, n_features))
    X *= np.exp(rng.normal(0.0, 0.2, (N_BATCHES, n_features)))[batch]
    X += rng.normal(0.0, 0.7, (N_BATCHES, n_features))[batch]
    X += np.outer(group, rng.normal(0.0, 0.5, n_features))
    X += rng.normal(8.0, 2.0, n_features)
    return {"X": X, "batch": batch}, {"group": group}


def counts(n_samples, n_features, *, seed=0):
    """Negative-binomial counts in three batches with shifts and two groups."""
    rng = np.random.default_rng(seed)
    batch = rng.permutation(np.arange(n_samples) % N_BATCHES)
    group = rng.integers(0, 2, n_samples)
    log_mean = rng.normal(4.0, 1.5, n_features) + rng.normal(0.0, 0.3, (n_samples, 1))
    log_mean += rng.normal(0.0, 0.5, (N_BATCHES, n_features))[batch]
    log_mean += np.outer(group, rng.normal(0.0, 0.3, n_features))
    dispersion = rng.gamma(4.0, 0.05, (N_BATCHES, n_features))[batch]
    X = rng.poisson(rng.gamma(1.0 / dispersion, np.exp(log_mean) * dispersion))
    return {"X": X, "batch": batch}, {"group": group}


class Contest:
    """Methods on the same table, each in its own process.

    Parameters
    ----------
    name : str
        What is done.

    methods : tuple of str
        Names in the table of the script; the first is the one the others are compared with.

    data : dict of ndarray
        The task.

    options : Namespace
        Rounds and the interpreter of the peers.

    ours : tuple of str
        Methods that run in the environment of the suite.

    script : path-like, default=None
        The script of the methods; ``_batch_peers.py`` by default.
    """

    def __init__(self, name, methods, data, options, *, ours, script=None):
        self.task = Task(name, "call", options.rounds)
        self.options, self.ours = options, ours
        self.methods = [m for m in methods if m in ours or options.peer_python]
        self.script = {} if script is None else {"script": script}
        self.data = data
        self.values = {}

    def run(self):
        """Take the times in turn; fill the task with them, memory and value differences."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.npz"
            np.savez(path, **self.data)
            workers = {method: self.start(method, path) for method in self.methods}
            try:
                self.take_turns(workers, Path(folder))
            finally:
                for worker in workers.values():
                    worker.stop()
        return self.task

    def start(self, method, path):
        """Start the process of a method."""
        python = sys.executable if method in self.ours else self.options.peer_python
        return Worker(python, method, path, **self.script)

    def take_turns(self, workers, folder):
        """Run every method once a round; the first round gives values and memory."""
        notes = {"peak_mib": {}, "difference": {}, "versions": {}}
        for index in range(self.task.rounds + 1):
            for method, worker in workers.items():
                out = folder / f"{self.methods.index(method)}.npy" if index == 0 else None
                answer = worker.run(out=out)
                if index == 0:
                    notes["peak_mib"][method] = answer["peak_mib"]
                    notes["difference"][method] = self.difference(out)
                    notes["versions"][method] = worker.versions
                    continue
                self.task.seconds.setdefault(method, []).append(answer["cpu"])
                self.task.wall.setdefault(method, []).append(answer["wall"])
        self.task.notes = notes

    def difference(self, out):
        """Largest absolute difference from the values of the first method."""
        values = np.load(out)
        out.unlink()
        self.values.setdefault("first", values)
        return float(np.nanmax(np.abs(values - self.values["first"])))

    def fastest_peer(self):
        """Return the peer with the smallest time, or None without peers."""
        peers = [method for method in self.methods if method not in self.ours]
        return min(peers, key=self.task.time_of, default=None)

    def times_faster(self, method, limit):
        """Return the target that ``method`` beats the fastest peer ``limit`` times."""
        peer = self.fastest_peer()
        if peer is None:
            return []
        name = f"{self.task.name}: faster than {peer}"
        return [Target(name, self.task.ratio(peer, method), limit)]


def run_combat(options):
    tasks, targets = [], []
    sizes = QUICK_SIZES if options.quick else SIZES
    for size in sizes:
        data, _ = expression(*size)
        contest = Contest(
            "ComBat, {} x {}".format(*size),
            ("ComBat", "ComBat, column", *COMBAT_PEERS),
            data,
            options,
            ours=("ComBat", "ComBat, column"),
        )
        task = contest.run()
        tasks.append(task)
        if size in SIZES:
            targets += contest.times_faster("ComBat", 2.0)
        if size == SIZES[-1]:
            peak = task.notes["peak_mib"]["ComBat"]
            name = f"{task.name}: peak memory"
            targets.append(Target(name, peak, PEAK_MIB, at_most=True, unit="MiB"))
    return tasks, targets


def run_covariate(options):
    tasks, targets = [], []
    sizes = QUICK_SIZES[:1] if options.quick else SIZES[:2]
    peers = tuple(peer for peer in COMBAT_PEERS if peer not in WITHOUT_COVARIATES)
    for size in sizes:
        data, group = expression(*size)
        name = "ComBat with one covariate, {} x {}".format(*size)
        contest = Contest(name, ("ComBat", *peers), data | group, options, ours=("ComBat",))
        tasks.append(contest.run())
        if size in SIZES:
            targets += contest.times_faster("ComBat", 2.0)
    return tasks, targets


def run_seq(options):
    tasks, targets = [], []
    sizes = [(60, 300)] if options.quick else SEQ_SIZES
    for size in sizes:
        data, group = counts(*size)
        for title, more in (("ComBatSeq", {}), ("ComBatSeq with one covariate", group)):
            contest = Contest(
                "{}, {} x {}".format(title, *size),
                ("ComBatSeq", "inmoose seq"),
                data | more,
                options,
                ours=("ComBatSeq",),
            )
            tasks.append(contest.run())
            if size in SEQ_SIZES:
                targets += contest.times_faster("ComBatSeq", 2.0)
    return tasks, targets


def run_simulation(options):
    tasks, targets = [], []
    sizes = QUICK_SIZES if options.quick else SIZES
    function = "apply_batch_effects"
    for size in sizes:
        for kind, granularity in (("additive", "per_feature"), ("multiplicative", "scalar")):
            data, _ = expression(*size)
            words = {"effect_type": np.array(kind), "granularity": np.array(granularity)}
            contest = Contest(
                "simulation, {} {}, {} x {}".format(kind, granularity, *size),
                (function, f"peer {function}"),
                data | words,
                options,
                ours=(function,),
            )
            tasks.append(contest.run())
            if size in SIZES:
                targets += contest.times_faster(function, 1.0)
    function = "confounded_batch_assignment"
    n_samples = 20_000 if options.quick else 100_000
    y = np.random.default_rng(0).integers(0, 4, n_samples)
    contest = Contest(
        f"assignment, {n_samples} rows, 4 classes, 5 batches",
        (function, f"peer {function}"),
        {"y": y},
        options,
        ours=(function,),
    )
    tasks.append(contest.run())
    return tasks, targets + contest.times_faster(function, 1.0)


def run_harmony(options):
    from _harmony_peer import run_harmony as compare

    return compare(options)


PARTS = {
    "combat": run_combat,
    "covariate": run_covariate,
    "seq": run_seq,
    "simulation": run_simulation,
    "harmony": run_harmony,
}


def print_task(task):
    """Print the times beside memory and the difference from our values."""
    notes = task.notes
    if "difference" not in notes:
        task.print()
        return
    print(f"\n{task.name}")
    print(f"  {'':<34}{'cpu ms':>11}{'wall ms':>11}{'MiB':>8}{'difference':>12}{'faster':>9}")
    first = next(iter(task.seconds))
    for method in task.seconds:
        times = (_protocol.q25(values[method]) for values in (task.seconds, task.wall))
        print(
            f"  {method:<34}"
            + "".join(f"{1e3 * value:11.2f}" for value in times)
            + f"{notes['peak_mib'][method]:8.0f}{notes['difference'][method]:12.1e}"
            + f"{task.ratio(method, first):8.2f}x"
        )


def main():
    options = _protocol.arguments(__doc__.splitlines()[0])
    options.peer_python = os.environ.get("PEER_PYTHON")
    if not options.peer_python:
        print("PEER_PYTHON is not set: nothing is compared with the peers.")
    chosen = options.only or list(PARTS)
    unknown = sorted(set(chosen) - PARTS.keys())
    if unknown:
        sys.exit(f"Unknown parts {unknown}; choose from {sorted(PARTS)}.")
    tasks, targets = [], []
    for name in chosen:
        part_tasks, part_targets = PARTS[name](options)
        for task in part_tasks:
            print_task(task)
        tasks += part_tasks
        targets += part_targets
    _protocol.print_targets(targets)
    path = _protocol.save(
        "batch_effects",
        tasks=tasks,
        targets=targets,
        quick=options.quick or options.only is not None or not options.peer_python,
    )
    print(f"\nraw numbers: {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    main()
