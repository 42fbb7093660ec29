"""Sampled rows of CTGAN and TVAE at their defaults, for ``quality_tabular.py``.

Runs in an environment of its own (``pip install ctgan==0.12.1``); the suite is not needed there.
One file ``<table>-<model>-<split>.csv`` with as many rows as were trained on, and beside it
``<table>-<model>-<split>.json`` with the seconds taken. Files that exist are not made again.

    SYNTH_ESTIMATORS_DATA=... python benchmarks/peer_ctgan.py --out FOLDER
        [--tables adult magic] [--splits 3] [--models CTGAN TVAE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib.metadata
import json
import time
import warnings
from pathlib import Path

import ctgan
import torch
from _tabular import TARGETS, discrete_names, read_table, split_table


def make(table, model_name, split, path):
    """Fit a model on the training rows of a split and write as many sampled rows."""
    train, _ = split_table(read_table(table), split)
    discrete = discrete_names(train)
    model = getattr(ctgan, model_name)(enable_gpu=False)
    model.set_random_state(split)
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit(train, discrete_columns=discrete)
    rows = model.sample(len(train))
    record = {
        "table": table,
        "model": model_name,
        "split": split,
        "rows": len(train),
        "discrete_columns": discrete,
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "threads": torch.get_num_threads(),
        "versions": {name: importlib.metadata.version(name) for name in ("ctgan", "torch")},
        "date": time.strftime("%Y-%m-%d"),
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    # the table comes last and in one step: where it stands, the pair is complete
    part = path.with_suffix(".part")
    rows.to_csv(part, index=False)
    part.replace(path)
    return record


def main():
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=("CTGAN", "TVAE"), default=["TVAE", "CTGAN"])
    parser.add_argument("--out", type=Path, required=True, help="folder of the sampled rows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    # small splits first, so that a stopped run leaves whole columns of the comparison
    for split in range(options.splits):
        for model_name in options.models:
            for table in options.tables:
                path = options.out / f"{table}-{model_name}-{split}.csv"
                if path.exists():
                    continue
                record = make(table, model_name, split, path)
                print(f"{path.name}: {record['cpu_seconds']:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
