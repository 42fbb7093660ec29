"""Times and values of the metrics, beside sdmetrics and synthcity where they compute the same.

Parts: ``sdmetrics`` and ``synthcity`` compare the same definitions on the same tables,
``pairs`` times 2,000 numeric columns, ``distances`` the distance to the closest record of
50,000 x 15 rows, ``report`` the one-call report on 10,000 x 15 rows. synthcity needs an environment
of its own: set SYNTHCITY_PYTHON to its interpreter, or the part is left out.

    python benchmarks/metrics.py [--quick] [--rounds 7] [--only sdmetrics pairs]
"""

import _protocol  # first: limits the threads

# isort: split

import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _protocol import Target, Task

from synth_estimators.metrics import (
    alpha_precision_beta_recall,
    column_pair_trends_score,
    column_shapes_score,
    dcr_overfitting_protection,
    jensen_shannon_distance,
    mmd,
    new_row_score,
    prdc,
    quality_score,
)
from synth_estimators.preprocessing import MixedSpace

PAIR_COLUMNS, PAIR_SECONDS = 2_000, 2.0
REPORT_SECONDS = {"fast": 5.0, "standard": 60.0}


def mixed_table(n_rows, seed):
    """15 columns: correlated numbers, counts, skewed amounts with gaps, categories."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n_rows, 3))
    table = {f"x{j}": factors @ [1.0, j / 5, -0.3] + rng.normal(size=n_rows) for j in range(5)}
    table |= {f"k{j}": rng.poisson(np.exp(0.4 * factors[:, j])) for j in range(3)}
    for j in range(2):
        amount = np.exp(factors[:, j] + 0.5 * rng.normal(size=n_rows)).round(2)
        table[f"amount{j}"] = np.where(rng.random(n_rows) < 0.05, np.nan, amount)
    for j, n_levels in enumerate((2, 3, 5, 9, 16)):
        level = np.digitize(
            factors[:, j % 3] + rng.normal(size=n_rows), np.linspace(-2, 2, n_levels - 1)
        )
        table[f"g{j}"] = np.array([f"level {k}" for k in range(n_levels)])[level]
    return pd.DataFrame(table)


def sdmetrics_metadata(table):
    return {
        "columns": {
            name: {"sdtype": "categorical" if table[name].dtype == object else "numerical"}
            for name in table
        }
    }


def compare(name, variants, options, *, clock=time.process_time, **notes):
    """Time variants that return their values; ``ours`` is one of them."""
    values = {}

    def keep(label, variant):
        def run():
            values[label] = variant()

        return run

    task = Task(name, "call", options.rounds)
    task.run({label: keep(label, v) for label, v in variants.items()}, units=1, clock=clock)
    peer = next(label for label in variants if label != "ours")
    shared = values["ours"].keys() & values[peer].keys()
    task.notes = {
        "values": values,
        "largest_difference": max(abs(values["ours"][k] - values[peer][k]) for k in shared),
        "times_faster": task.ratio(peer, "ours"),
        **notes,
    }
    return task


def run_sdmetrics(options):
    from sdmetrics.reports.single_table import QualityReport
    from sdmetrics.single_table import DCROverfittingProtection, NewRowSynthesis

    n_rows, n_distances = (1_000, 300) if options.quick else (10_000, 1_000)
    real, synth, holdout = (mixed_table(n_rows, seed) for seed in range(3))
    synth = synth.assign(x0=1.3 * synth["x0"], g1=synth["g1"].to_numpy()[::-1])
    metadata = sdmetrics_metadata(real)

    def report():
        peer = QualityReport()
        peer.generate(real, synth, metadata, verbose=False)
        scores = peer.get_properties().set_index("Property")["Score"]
        return {"shapes": scores["Column Shapes"], "trends": scores["Column Pair Trends"]}

    def ours():
        return {
            "shapes": column_shapes_score(real, synth),
            "trends": column_pair_trends_score(real, synth, binning="own"),
        }

    tasks = [
        compare(
            f"column shapes and pair trends, {n_rows} x 15",
            {"ours": ours, "sdmetrics QualityReport": report},
            options,
        )
    ]
    small = [table.head(n_distances) for table in (real, synth, holdout)]
    tasks.append(
        compare(
            f"DCR overfitting protection, {n_distances} x 15",
            {
                "ours": lambda: {
                    "score": dcr_overfitting_protection(
                        X_train=small[0],
                        X_synth=small[1],
                        X_holdout=small[2],
                        ties="strict",
                        match_size=False,
                        ranges="searched",
                    )
                },
                "sdmetrics": lambda: {
                    "score": DCROverfittingProtection.compute_breakdown(*small, metadata, None)[
                        "score"
                    ]
                },
            },
            options,
        )
    )
    copies = small[1].copy()
    copies.iloc[: n_distances // 10] = small[0].iloc[: n_distances // 10]
    tasks.append(
        compare(
            f"share of new rows, {n_distances} x 15",
            {
                "ours": lambda: {"score": new_row_score(X_train=small[0], X_synth=copies)},
                "sdmetrics": lambda: {
                    "score": NewRowSynthesis.compute(
                        small[0], copies, metadata, None, numerical_match_tolerance=0.0
                    )
                },
            },
            options,
        )
    )
    return tasks, []


class Synthcity:
    """synthcity in a process of its own environment."""

    def __init__(self, python, real, synth):
        self.cpu = 0.0
        server = Path(__file__).with_name("_synthcity_server.py")
        self.process = subprocess.Popen(
            [python, str(server)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder) / name) for name in ("real.csv", "synth.csv")]
            for path, table in zip(paths, (real, synth), strict=True):
                table.to_csv(path, index=False)
            self.ask({"tables": paths})

    def ask(self, order):
        """Send an order and return the values of the answer."""
        print(json.dumps(order), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        self.cpu = answer["cpu"]
        return answer["values"]

    def clock(self):
        """Processor seconds of this process and of the other one."""
        return time.process_time() + self.cpu

    def stop(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def run_synthcity(options):
    python = os.environ.get("SYNTHCITY_PYTHON")
    if not python:
        print("SYNTHCITY_PYTHON is not set: nothing is compared with synthcity.")
        return [], []
    n_rows, n_columns = (200, 5) if options.quick else (2_000, 10)
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(n_columns, n_columns))
    names = [f"x{j}" for j in range(n_columns)]
    real = pd.DataFrame(rng.normal(size=(n_rows, n_columns)) @ mix, columns=names)
    synth = pd.DataFrame(0.8 * rng.normal(size=(n_rows, n_columns)) @ mix + 0.1, columns=names)
    peer = Synthcity(python, real, synth)
    plain = {"space": "identity", "max_rows": None}

    def alpha_beta():
        scores = alpha_precision_beta_recall(real, synth, **plain)
        return {name: scores[name] for name in ("alpha_precision", "beta_recall", "authenticity")}

    def four():
        scores = prdc(real, synth, **plain)
        return {name: scores[name] for name in ("precision", "recall", "density", "coverage")}

    ours = {
        "prdc": (four, "the same definition"),
        "alpha_precision_beta_recall": (
            alpha_beta,
            "authenticity differs: the peer takes the distance of the wrong real row",
        ),
        "ks": (lambda: {"marginal": column_shapes_score(real, synth)}, "the same definition"),
        "mmd": (
            lambda: {"joint": mmd(real, synth, gamma=1.0, **plain)},
            "the same definition with gamma = 1 on rows as they are",
        ),
        "jensen_shannon": (
            lambda: {"marginal": jensen_shannon_distance(real, synth)},
            "differs: the peer adds 1 to normalised frequencies",
        ),
    }
    tasks = []
    try:
        for name, (variant, note) in ours.items():
            variants = {
                "ours": variant,
                "synthcity": lambda name=name: peer.ask({"metric": name}),
            }
            title = f"{name}, {n_rows} x {n_columns}"
            tasks.append(compare(title, variants, options, clock=peer.clock, definition=note))
    finally:
        peer.stop()
    return tasks, []


def run_pairs(options):
    n_columns = 200 if options.quick else PAIR_COLUMNS
    real, synth = np.random.default_rng(0).normal(size=(2, 1_000, n_columns))
    task = Task(f"pair trends of {n_columns} numeric columns, 1000 rows", "call", options.rounds)
    task.run(
        {
            "column_pair_trends_score": lambda: column_pair_trends_score(real, synth),
            "quality_score": lambda: quality_score(real, synth),
        },
        units=1,
    )
    seconds = task.time_of("column_pair_trends_score")
    return [task], [Target(task.name, seconds, PAIR_SECONDS, at_most=True, unit="s")]


def run_distances(options):
    n_rows = 2_000 if options.quick else 50_000
    real, synth = mixed_table(n_rows, 0), mixed_table(n_rows, 1)
    space = MixedSpace(space="gower").fit(real)

    def nearest():
        space.kneighbors(synth, real)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    task = Task(f"distance to the closest record, {n_rows} x 15 against {n_rows}", "call", 1)
    task.run({"MixedSpace.kneighbors": nearest}, units=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    matrix = 8 * n_rows**2 / 2**20
    task.notes = {
        "peak_memory_mib": peak / 1024,
        "peak_memory_above_start_mib": (peak - before) / 1024,
        "memory_of_the_whole_matrix_mib": matrix,
    }
    above = (peak - before) / 1024
    target = Target(f"{task.name}: peak memory above start", above, 1024, at_most=True, unit="MiB")
    return [task], [target]


def run_report(options):
    from synth_estimators.report import evaluate_synthetic

    n_rows = 500 if options.quick else 10_000
    tables = [mixed_table(n_rows, seed) for seed in range(3)]
    tasks, targets = [], []
    for kind, limit in REPORT_SECONDS.items():
        task = Task(f"report, metrics={kind!r}, {n_rows} x 15", "call", 1)

        def report(kind=kind):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                evaluate_synthetic(*tables, metrics=kind, random_state=0)

        task.run({"evaluate_synthetic": report}, units=1)
        seconds = task.time_of("evaluate_synthetic")
        tasks.append(task)
        targets.append(Target(task.name, seconds, limit, at_most=True, unit="s"))
    return tasks, targets


# Memory is read before the other parts have taken any.
PARTS = {
    "distances": run_distances,
    "pairs": run_pairs,
    "report": run_report,
    "sdmetrics": run_sdmetrics,
    "synthcity": run_synthcity,
}


def peer_versions():
    versions = {}
    try:
        versions["sdmetrics"] = importlib.metadata.version("sdmetrics")
    except importlib.metadata.PackageNotFoundError:
        versions["sdmetrics"] = "not installed"
    python = os.environ.get("SYNTHCITY_PYTHON")
    if python:
        script = "import importlib.metadata as m; print(m.version('synthcity'))"
        found = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
        versions["synthcity"] = found.stdout.strip()
    return versions


def main():
    options = _protocol.arguments(__doc__.splitlines()[0])
    warnings.filterwarnings("ignore", module="sdmetrics")
    chosen = options.only or list(PARTS)
    unknown = sorted(set(chosen) - PARTS.keys())
    if unknown:
        sys.exit(f"Unknown parts {unknown}; choose from {sorted(PARTS)}.")
    tasks, targets = [], []
    for name in chosen:
        part_tasks, part_targets = PARTS[name](options)
        tasks += part_tasks
        targets += part_targets
    for task in tasks:
        task.print()
        if "largest_difference" in task.notes:
            print(f"  largest difference of the values {task.notes['largest_difference']:.2g}")
    _protocol.print_targets(targets)
    path = _protocol.save(
        "metrics",
        tasks=tasks,
        targets=targets,
        quick=options.quick or options.only is not None,
        peers=peer_versions(),
    )
    print(f"\nraw numbers: {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    main()
