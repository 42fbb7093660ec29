"""How the benchmarks take times, and the files they keep them in.

Import this module first: it asks for one thread before numpy and torch start theirs. Variants of
one task alternate (each runs once a round), the first round is thrown away, and a time is the CPU
time of the process. Variants that would change the process for each other (settings of the memory
allocator, caches) each run in a fork of their own, still in turn. The raw numbers of every round
are kept beside the summaries.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import gc
import importlib.metadata
import json
import multiprocessing
import platform
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
ROUNDS = 7
_PACKAGES = ("synth-estimators", "torch", "skorch", "scikit-learn", "numpy", "scipy", "pandas")


def one_thread():
    """Limit torch to one thread (OpenMP was limited on import)."""
    import torch

    torch.set_num_threads(1)


def environment():
    """Describe what the numbers depend on: versions, processor, threads, load."""
    import torch

    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    versions["torch"] = torch.__version__
    return {
        "versions": versions,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def q25(values):
    """Return the 25 % quantile, by linear interpolation."""
    ordered = sorted(values)
    position = 0.25 * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def _timed(variant, clock):
    """Run once and return the clock's and the wall's seconds."""
    gc.collect()
    gc.disable()
    wall, start = time.perf_counter(), clock()
    variant()
    taken, walled = clock() - start, time.perf_counter() - wall
    gc.enable()
    return taken, walled


def _serve(pipe, variant, clock, report):
    while (order := pipe.recv()) != "stop":
        pipe.send(_timed(variant, clock) if order == "run" else report())


class _Fork:
    """A variant that runs in a process forked off before any variant has run."""

    def __init__(self, variant, clock, report):
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, variant, clock, report))
        self.process.start()

    def ask(self, order):
        self.pipe.send(order)
        return self.pipe.recv()

    def stop(self):
        self.pipe.send("stop")
        self.process.join()


@dataclass
class Task:
    """Times of several variants of one task.

    Parameters
    ----------
    name : str
        What is done.

    unit : str
        What one time is of: "step", "1000 rows", "fit".

    rounds : int
        Rounds that count; one more runs before them.
    """

    name: str
    unit: str
    rounds: int = ROUNDS
    seconds: dict = field(default_factory=dict)
    wall: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    reports: dict = field(default_factory=dict)

    def run(self, variants, *, units, clock=time.process_time, apart=False, report=None):
        """Time the variants in turn.

        Parameters
        ----------
        variants : dict of str to callable
            Each call does ``units`` units of work. At most six: more evict one another from the
            cache.

        units : int
            Units of work in a call.

        clock : callable, default=time.process_time
            Seconds; ``time.perf_counter`` where the work is not done by the processor.

        apart : bool, default=False
            Fork a process for each variant, so that none changes the memory allocator for another.

        report : callable, default=None
            With ``apart``: called with the name of a variant in its process at the end; the
            results are kept in ``reports``.
        """
        if len(variants) > 6:
            raise ValueError(f"{len(variants)} variants are too many at once; at most 6.")
        self.seconds = {name: [] for name in variants}
        self.wall = {name: [] for name in variants}
        forks = {}
        if apart:
            forks = {
                name: _Fork(variant, clock, lambda name=name: report(name) if report else None)
                for name, variant in variants.items()
            }
        for index in range(self.rounds + 1):
            for name, variant in variants.items():
                taken, walled = forks[name].ask("run") if apart else _timed(variant, clock)
                if index:
                    self.seconds[name].append(taken / units)
                    self.wall[name].append(walled / units)
        self.reports = {name: fork.ask("report") for name, fork in forks.items()}
        for fork in forks.values():
            fork.stop()
        return self

    def time_of(self, name):
        """Return the 25 % quantile of a variant, the number that is compared."""
        return q25(self.seconds[name])

    def ratio(self, slow, fast):
        """Return how many times ``fast`` is faster than ``slow``."""
        return self.time_of(slow) / self.time_of(fast)

    def as_dict(self):
        """Return summaries and raw numbers."""
        return {
            "task": self.name,
            "unit": self.unit,
            "rounds": self.rounds,
            "notes": self.notes,
            "variants": {
                name: {
                    "q25": q25(values),
                    "min": min(values),
                    "median": statistics.median(values),
                    "seconds": values,
                    "wall_seconds": self.wall[name],
                }
                for name, values in self.seconds.items()
            },
        }

    def print(self):
        """Print one line a variant."""
        print(f"\n{self.name}, microseconds per {self.unit}")
        print(f"  {'':<34}{'q25':>12}{'min':>12}{'median':>12}{'faster':>9}")
        slowest = max(self.time_of(name) for name in self.seconds)
        for name, values in self.seconds.items():
            times = "".join(
                f"{1e6 * value:12.1f}"
                for value in (q25(values), min(values), statistics.median(values))
            )
            print(f"  {name:<34}{times}{slowest / q25(values):8.2f}x")


@dataclass
class Target:
    """A number that has to reach (or, with ``at_most``, not exceed) a limit."""

    name: str
    value: float
    limit: float
    at_most: bool = False
    unit: str = "x"

    @property
    def met(self):
        """Whether the limit is kept."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def as_dict(self):
        """Return the fields for the file."""
        return {
            "name": self.name,
            "value": self.value,
            "limit": self.limit,
            "kind": "at most" if self.at_most else "at least",
            "unit": self.unit,
            "met": self.met,
        }


def print_targets(targets):
    """Print the table of ratios."""
    print(f"\n{'target':<62}{'value':>9}{'limit':>9}")
    for target in targets:
        sign = "<=" if target.at_most else ">="
        verdict = "met" if target.met else "MISSED"
        print(f"{target.name:<62}{target.value:>9.4g}{sign:>4}{target.limit:>5g} {verdict}")


def save(name, *, tasks=(), targets=(), quick=False, **extra):
    """Write ``results/<name>.json``, and the raw times of every round to ``results/<name>.csv``.

    Quick and partial runs go to files of their own (``<name>.quick.json``): they never replace
    the numbers of a whole run.
    """
    RESULTS.mkdir(exist_ok=True)
    stem = f"{name}.quick" if quick else name
    document = {
        "benchmark": name,
        "quick": quick,
        "environment": environment(),
        "targets": [target.as_dict() for target in targets],
        "tasks": [task.as_dict() for task in tasks],
        **extra,
    }
    path = RESULTS / f"{stem}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    with open(RESULTS / f"{stem}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["task", "variant", "unit", "round", "cpu_seconds", "wall_seconds"])
        for task in tasks:
            for variant, values in task.seconds.items():
                for index, pair in enumerate(zip(values, task.wall[variant], strict=True)):
                    writer.writerow([task.name, variant, task.unit, index + 1, *pair])
    return path


def arguments(description):
    """Parse the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that it runs")
    parser.add_argument("--rounds", type=int, default=None, help=f"rounds that count ({ROUNDS})")
    parser.add_argument("--only", nargs="+", default=None, help="names of the parts to run")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 2 if options.quick else ROUNDS
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options
