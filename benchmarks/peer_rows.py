"""Sampled rows of peers, for ``quality_tabular.py``.

Runs in an environment that has the package of the model; the suite is not needed there:

    CTGAN, TVAE     pip install ctgan==0.12.1
    ACTGAN          pip install gretel-synthetics==0.22.20 torch (numpy below 1.24, pandas below 2)
    TabularARGN     pip install torch==2.13.0, then mostlyai-engine==2.7.3; remove torchvision and
                    torchaudio afterwards, whose builds do not match

One file ``<table>-<model>-<split>.csv`` with as many rows as were trained on and more, so that
two-sample tests have several lots, and beside it ``<table>-<model>-<split>.json`` with the seconds
that training and sampling as many rows as were trained on took. With ``--epochs`` the files are
named ``<table>-<model>-<epochs>-<split>``. Files that exist are not made again.

    SYNTH_ESTIMATORS_DATA=... python benchmarks/peer_rows.py --out FOLDER --models CTGAN TVAE
        [--tables adult magic-1000 weak20-1000] [--splits 3] [--epochs 10 50]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib.metadata
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _tabular import SMALL, TARGETS, WEAK, discrete_names, read_split

#: Rows that are sampled in all, where fewer were trained on.
MANY_ROWS = 16_000


def _ctgan(name):
    def build(train, epochs, seed):
        import ctgan

        options = {} if epochs is None else {"epochs": epochs}
        model = getattr(ctgan, name)(enable_gpu=False, **options)
        model.set_random_state(seed)
        discrete = discrete_names(train)
        return lambda: model.fit(train, discrete_columns=discrete), model.sample

    return build


def _actgan(train, epochs, seed):
    from gretel_synthetics.actgan import ACTGAN

    # the model reads the global generators
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    types = {name: {"type": "categorical"} for name in discrete_names(train)}
    options = {} if epochs is None else {"epochs": epochs}
    model = ACTGAN(cuda=False, verbose=False, field_types=types, **options)
    return lambda: model.fit(train), lambda rows: model.sample(rows, randomize_samples=True)


def _argn(train, epochs, seed):
    from mostlyai.engine import TabularARGN

    # rare values and free orders are what the other generators do not offer either
    model = TabularARGN(
        max_epochs=epochs or 100,
        value_protection=False,
        enable_flexible_generation=False,
        device="cpu",
        random_state=seed,
        verbose=0,
    )
    return lambda: model.fit(train), lambda rows: model.sample(rows)


#: How a model is built from the training rows, the epochs and a seed, and the package it is of.
MODELS = {
    "CTGAN": (_ctgan("CTGAN"), "ctgan"),
    "TVAE": (_ctgan("TVAE"), "ctgan"),
    "ACTGAN": (_actgan, "gretel-synthetics"),
    "TabularARGN": (_argn, "mostlyai-engine"),
}


def path_of(folder, table, model, epochs, split):
    """Return the file of the rows of a model."""
    parts = [table, model, *([] if epochs is None else [epochs]), split]
    return folder / f"{'-'.join(map(str, parts))}.csv"


def make(table, name, epochs, split, path):
    """Fit a model on the training rows of a split, write sampled rows and what they took."""
    train, _ = read_split(table, split)
    build, package = MODELS[name]
    fit, sample = build(train, epochs, split)
    clocks = [(time.process_time(), time.perf_counter())]
    fit()
    clocks.append((time.process_time(), time.perf_counter()))
    rows = sample(len(train))
    clocks.append((time.process_time(), time.perf_counter()))
    if len(rows) < MANY_ROWS:
        rows = pd.concat([rows, sample(MANY_ROWS - len(rows))], ignore_index=True)
    record = {
        "table": table,
        "model": name,
        "epochs": epochs,
        "split": split,
        "rows": len(train),
        "cpu_seconds": clocks[2][0] - clocks[0][0],
        "wall_seconds": clocks[2][1] - clocks[0][1],
        "fit_cpu_seconds": clocks[1][0] - clocks[0][0],
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "package": package,
        "versions": {key: importlib.metadata.version(key) for key in (package, "torch")},
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
    parser.add_argument("--models", nargs="+", choices=MODELS, required=True)
    parser.add_argument(
        "--tables", nargs="+", choices=[*TARGETS, *SMALL, *WEAK], default=list(TARGETS)
    )
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--first-split", type=int, default=0)
    parser.add_argument("--epochs", nargs="+", type=int, default=[None])
    parser.add_argument("--out", type=Path, required=True, help="folder of the sampled rows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    # small splits first, so that a stopped run leaves whole columns of the comparison
    for split in range(options.first_split, options.first_split + options.splits):
        for name in options.models:
            for epochs in options.epochs:
                for table in options.tables:
                    path = path_of(options.out, table, name, epochs, split)
                    if path.exists():
                        continue
                    record = make(table, name, epochs, split, path)
                    print(f"{path.name}: {record['cpu_seconds']:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
