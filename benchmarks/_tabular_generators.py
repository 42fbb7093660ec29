"""The generators that are judged on mixed tables: our own, and rows that peers have left."""

import importlib
import json
import os
import subprocess
import time
from pathlib import Path

import pandas as pd
from _tabular import discrete_names, read_table
from _tabular_judge import C2ST_LOTS, C2ST_ROWS, EPOCHS, NETWORKS
from peer_rows import MODELS, path_of

_FOLDER = Path(__file__).parent


def _late(name, **options):
    """Build a generator when it is its turn, so that others do not wait for its imports."""
    return lambda: getattr(importlib.import_module("synth_estimators"), name)(**options)


def baselines(target, seed):
    """Cheap generators, by the name of their row."""
    cart = {"target": target, "random_state": seed}
    return {
        "SequentialCART": _late("SequentialCART", **cart),
        "SequentialCART, classic": _late("SequentialCART", privacy="classic", **cart),
        "GaussianCopula": _late("GaussianCopula", random_state=seed),
        "NeighborInterpolation": _late("NeighborInterpolation", random_state=seed),
        "IndependentColumns": _late("IndependentColumns", random_state=seed),
        "BootstrapRows (copier)": _late("BootstrapRows", random_state=seed),
    }


def likelihood(target, seed):
    """The autoregressive network, and what it has to beat on few rows."""
    return {"TabularAR": _late("TabularAR", target=target, random_state=seed)}


def networks(train, seed):
    """The published networks at equal epochs, as they are tuned and as they were published."""
    found, discrete = {}, discrete_names(train)
    for epochs in EPOCHS:
        for name in NETWORKS:
            options = {"discrete_columns": discrete, "max_epochs": epochs, "random_state": seed}
            found[f"{name}, {epochs} epochs"] = _late(name, **options)
            published = _late(name, preset="reference", **options)
            found[f"{name} as published, {epochs} epochs"] = published
    return found


def own_rows(builders, train, split, wanted):
    """Fit and sample generators, one after another; yield name, rows and seconds."""
    for name, build in builders.items():
        if not wanted(name):
            continue
        generator = build()
        cpu, wall = time.process_time(), time.perf_counter()
        rows = generator.fit(train).sample(len(train))
        seconds = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        missing = C2ST_LOTS * C2ST_ROWS - len(rows)
        if missing > 0:
            more = generator.sample(missing, random_state=1_000 + split)
            rows = pd.concat([rows, more], ignore_index=True)
        yield name, rows, seconds


def peer_rows(folder, table, train, split, wanted, *, models, epochs=(None,)):
    """Read what ``peer_rows.py`` has made of this split; what is not there is left out."""
    for model in models:
        for count in epochs:
            path = path_of(folder, table, model, count, split)
            if not path.exists():
                continue
            record = json.loads(path.with_suffix(".json").read_text())
            package = MODELS[model][1]
            name = model if count is None else f"{model}, {count} epochs"
            name = f"{name} ({package} {record['versions'][package]})"
            if not wanted(name):
                continue
            rows = read_table(table.partition("-")[0], path)[list(train)]
            seconds = {"cpu_s": record["cpu_seconds"], "wall_s": record["wall_seconds"]}
            yield name, rows, seconds


def make_rival(python, folder, table, split):
    """Have the rows of TabularARGN made now, by the interpreter of its environment."""
    path = path_of(folder, table, "TabularARGN", None, split)
    path.unlink(missing_ok=True)
    command = [python, str(_FOLDER / "peer_rows.py"), "--out", str(folder)]
    command += ["--models", "TabularARGN", "--tables", table]
    command += ["--first-split", str(split), "--splits", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, env=environment)
