"""Whole fits: the published VAE here and in syng-bts, alternating.

Each runs in a process of its own, in turn. Both train the same architecture on the same log2
counts for the same number of epochs, with the same batch size, the last incomplete batch dropped
and the same validation share. Times are CPU seconds of the process: ``VAE.fit`` on log2 counts
against ``generate``, which is the peer's only way to fit; "whole" adds what ``generate`` also does
(the log2 step and drawing 100 rows).

    python benchmarks/vae_vs_syng_bts.py [--rounds 5] [--quick]
"""

import argparse
import contextlib
import io
import json
import platform
import warnings
from functools import partial
from pathlib import Path

import _protocol  # first: limits the threads
import numpy as np
import pandas as pd
import torch
from _protocol import Task

RESULTS = Path(__file__).parent / "results"
CASES = {
    "n=100 p=1000, 150 epochs": (100, 1_000, 150),
    "n=300 p=10000, 10 epochs": (300, 10_000, 10),
}


def make_counts(n_samples, n_features, seed=0):
    """Negative-binomial counts with ten shared factors; the seed picks the rows alone."""
    law = np.random.default_rng(0)
    level, loadings = law.normal(4.0, 1.0, n_features), law.normal(0.0, 0.3, (10, n_features))
    rng = np.random.default_rng(seed + 1)
    mean = np.exp(level + rng.normal(size=(n_samples, 10)) @ loadings)
    counts = rng.poisson(rng.gamma(5.0, mean / 5.0))
    return pd.DataFrame(counts, columns=[f"g{j}" for j in range(n_features)])


def run_peer(counts, epochs):
    from syng_bts import generate

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = generate(
            counts, model="VAE1-10", epoch=epochs, new_size=100, random_seed=1, verbose="silent"
        )
    return np.log2(np.asarray(result.generated_data, dtype=np.float64) + 1.0)


def make_vae(n_samples, epochs, **params):
    from synth_estimators import from_spec

    return from_spec(
        "VAE1-10",
        max_epochs=epochs,
        early_stopping=False,
        # the peer's batch size is a share of all rows, before validation rows are set aside
        batch_size=round(0.1 * n_samples),
        net_params={"iterator_train__drop_last": True},
        matmul="auto",
        random_state=1,
        **params,
    )


def run_fit(counts, epochs, **params):
    return make_vae(len(counts), epochs, **params).fit(np.log2(counts + 1.0))


def run_whole(counts, epochs):
    from synth_estimators import Log2Transformer, make_synthesis_pipeline

    vae = make_vae(len(counts), epochs)
    return make_synthesis_pipeline(Log2Transformer(), vae).fit(counts).sample(100)


def describe(rows, reference):
    ks = [
        np.abs(
            np.searchsorted(np.sort(a), grid, "right") / len(a)
            - np.searchsorted(np.sort(b), grid, "right") / len(b)
        ).max()
        for a, b in zip(rows.T, reference.T, strict=True)
        for grid in [np.concatenate([a, b])]
    ]
    ratio = rows.std(axis=0) / np.maximum(reference.std(axis=0), 1e-12)
    return {"mean_ks": float(np.mean(ks)), "sd_ratio": float(np.median(ratio))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds, no result file")
    arguments = parser.parse_args()
    rounds = 2 if arguments.quick else arguments.rounds
    _protocol.one_thread()
    import syng_bts

    variants = {
        "syng-bts": run_peer,
        "VAE.fit": run_fit,
        "VAE.fit span": lambda counts, epochs: run_fit(counts, epochs, compress="span"),
        "VAE whole": run_whole,
    }
    report = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "syng-bts": getattr(syng_bts, "__version__", "unknown"),
        },
        "cases": {},
    }
    for title, (n_samples, n_features, epochs) in CASES.items():
        counts = make_counts(n_samples, n_features)
        fresh = np.log2(make_counts(600, n_features, seed=1).to_numpy() + 1.0)
        made = {}

        def timed(name, run, counts=counts, epochs=epochs, made=made):
            made[name] = run(counts, epochs)

        def judge(name, fresh=fresh, made=made):
            rows = made[name]
            if hasattr(rows, "fit"):
                rows = rows.sample(100)
            elif name == "VAE whole":
                rows = np.log2(rows + 1.0)
            return describe(np.asarray(rows), fresh)

        task = Task(title, "fit", rounds)
        task.run(
            {name: partial(timed, name, run) for name, run in variants.items()},
            units=1,
            apart=True,
            report=judge,
        )
        seconds, quality = task.seconds, task.reports
        low = {name: task.time_of(name) for name in variants}
        ratios = {name: low["syng-bts"] / value for name, value in low.items()}
        report["cases"][title] = {
            "cpu_seconds": seconds,
            "quantile_25": low,
            "ratio": ratios,
            "quality": quality,
        }
        for name in variants:
            print(
                f"{title:28s} {name:12s} {low[name]:7.3f} s  {ratios[name]:6.2f}x  {quality[name]}"
            )
    if not arguments.quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / "vae_vs_syng_bts.json"
        path.write_text(json.dumps(report, indent=1) + "\n")
        print(f"raw numbers in {path}")


if __name__ == "__main__":
    main()
