"""Five classifiers over eight sizes and five draws: here and in syng-bts, alternating.

Both judge the same five classifiers by five-fold cross-validation of stratified subsets. One core
is compared by CPU seconds of the process. With two workers, which one small call starts before,
the CPU seconds are those of the calling process and the busier worker, which is what the wall
shows when the cores are free; the wall seconds are kept, too. The scores of both are kept beside
the times: for every size, method and metric the means over draws and the standard error of their
difference. The bootstrap of a curve is timed, too.

    python benchmarks/learning_curve.py [--rounds 2] [--quick]

The table of miRNA counts is read from the folder SYNTH_ESTIMATORS_DATA/syng_bts where it is there.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

import _protocol  # first: limits the threads
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

RESULTS = Path(__file__).parent / "results"
SIZES = [40, 80, 120, 160, 200, 240, 280, 320]
METRICS = ["f1_score", "accuracy", "auc"]


def make_expression(n_samples, n_features, seed=0):
    """Log-scale rows with five shared factors and ten columns that differ between two groups."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n_samples)
    loadings = rng.standard_normal((5, n_features))
    X = rng.standard_normal((n_samples, n_features))
    X += 0.5 * rng.standard_normal((n_samples, 5)) @ loadings
    X[:, :10] += 0.6 * rng.standard_normal((2, 10))[y]
    return pd.DataFrame(X, columns=[f"g{j}" for j in range(n_features)]), y.astype(str)


def read_mirna():
    """Counts of two subtypes, whose smaller one needs larger subsets."""
    folder = Path(os.environ.get("SYNTH_ESTIMATORS_DATA", "")) / "syng_bts"
    if not (folder / "BRCASubtypeSel_train.parquet").is_file():
        return None
    counts = pd.read_parquet(folder / "BRCASubtypeSel_train.parquet").select_dtypes("number")
    groups = pd.read_parquet(folder / "BRCASubtypeSel_train_groups.parquet")
    return np.log2(counts + 1.0), groups.iloc[:, 0].to_numpy()


def cases(quick):
    """Name -> (rows, labels, sizes)."""
    found = {"simulated 400 x 50": (*make_expression(400, 50), SIZES)}
    if not quick:
        found["simulated 400 x 1000"] = (*make_expression(400, 1000), SIZES)
    if (table := read_mirna()) is not None:
        found["miRNA 881 x 47"] = (*table, [size + 40 for size in SIZES])
    return found


def run_peer(X, y, sizes, n_draws, seed):
    from syng_bts import evaluate_sample_sizes

    return evaluate_sample_sizes(
        X, sizes, groups=y, n_draws=n_draws, apply_log=False, verbose=0, random_seed=seed
    )


def run_ours(X, y, sizes, n_draws, seed, n_jobs=None):
    from synth_estimators.model_selection import evaluate_sample_sizes

    return evaluate_sample_sizes(
        X, y, sample_sizes=sizes, n_draws=n_draws, n_jobs=n_jobs, random_state=seed
    )


def worker_seconds(n_jobs):
    """CPU seconds that each worker has taken so far."""
    if n_jobs is None:
        return {}

    def probe():
        time.sleep(0.05)  # so that no worker answers twice
        return os.getpid(), time.process_time()

    return dict(Parallel(n_jobs=n_jobs, batch_size=1)(delayed(probe)() for _ in range(4 * n_jobs)))


def timed(run, *args, n_jobs=None, **kwargs):
    """Result, CPU seconds (of this process and of the busiest worker), wall seconds."""
    if n_jobs is not None:
        kwargs["n_jobs"] = n_jobs
    before = worker_seconds(n_jobs)
    wall, cpu = time.perf_counter(), time.process_time()
    table = run(*args, **kwargs)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    after = worker_seconds(n_jobs)
    return table, cpu + max((after[k] - before.get(k, 0.0) for k in after), default=0.0), wall


def compare_values(ours, theirs):
    """Means of both and the standard error of their difference."""
    keys = ["total_size", "method"]
    rows = []
    for metric in METRICS:
        a, b = (t.groupby(keys)[metric].agg(["mean", "var", "size"]) for t in (ours, theirs))
        error = np.sqrt(a["var"] / a["size"] + b["var"] / b["size"])
        for (size, method), row in a.iterrows():
            rows.append(
                {
                    "metric": metric,
                    "size": int(size),
                    "method": method,
                    "ours": round(float(row["mean"]), 5),
                    "theirs": round(float(b.loc[(size, method), "mean"]), 5),
                    "standard_error": round(float(error[(size, method)]), 5),
                }
            )
    return rows


def measure(X, y, sizes, n_draws, rounds):
    variants = {
        "syng-bts": (run_peer, {}),
        "ours": (run_ours, {}),
        "ours, 2 workers": (run_ours, {"n_jobs": 2}),
    }
    times = {name: {"cpu": [], "wall": []} for name in variants}
    tables = {name: [] for name in variants}
    for index in range(rounds):
        for name, (run, options) in variants.items():
            table, cpu, wall = timed(run, X, y, sizes, n_draws, index, **options)
            times[name]["cpu"].append(cpu)
            times[name]["wall"].append(wall)
            tables[name].append(table.assign(draw=lambda t, i=index: t["draw"] + 1000 * i))
    for first, second in zip(tables["ours"], tables["ours, 2 workers"], strict=True):
        pd.testing.assert_frame_equal(first, second)
    values = compare_values(pd.concat(tables["ours"]), pd.concat(tables["syng-bts"]))
    return times, values


def time_bootstrap():
    """CPU seconds of one curve with 500 resamples of five draws at eight sizes."""
    from synth_estimators.model_selection import LearningCurveFit

    rng = np.random.default_rng(0)
    sizes = np.array(SIZES)
    draws = 0.92 - 0.9 * sizes**-0.6 + 0.01 * rng.standard_normal((5, len(sizes)))
    seconds = []
    for _ in range(7):
        start = time.process_time()
        LearningCurveFit().fit(sizes, draws).interval(sizes)
        seconds.append(time.process_time() - start)
    return {"resamples": 500, "cpu": seconds, "q25": _protocol.q25(seconds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one round and draw, no result file")
    arguments = parser.parse_args()
    rounds, n_draws = (1, 1) if arguments.quick else (arguments.rounds, 5)
    _protocol.one_thread()
    # The peer asks scikit-learn for what is on its way out.
    warnings.filterwarnings("ignore", category=FutureWarning)
    import syng_bts

    report = {
        "environment": _protocol.environment(),
        "syng-bts": getattr(syng_bts, "__version__", "unknown"),
        "draws": n_draws,
        "rounds": rounds,
        "bootstrap": time_bootstrap(),
        "cases": {},
    }
    X, y = make_expression(80, 10)
    run_peer(X, y, [40], 1, 0)
    run_ours(X, y, [40], 2, 0, n_jobs=2)
    run_ours(X, y, [40], 1, 0)
    for title, (X, y, sizes) in cases(arguments.quick).items():
        times, values = measure(X, y, sizes, n_draws, rounds)
        best = {name: {k: min(v) for k, v in seconds.items()} for name, seconds in times.items()}
        one_core = best["syng-bts"]["cpu"] / best["ours"]["cpu"]
        two_workers = best["syng-bts"]["cpu"] / best["ours, 2 workers"]["cpu"]
        scores = [abs(row["ours"] - row["theirs"]) for row in values]
        ratios = [
            abs(row["ours"] - row["theirs"]) / row["standard_error"]
            for row in values
            if row["standard_error"] > 0
        ]
        report["cases"][title] = {
            "sizes": sizes,
            "seconds": times,
            "times_faster_on_one_core": round(one_core, 2),
            "times_faster_with_two_workers": round(two_workers, 2),
            "mean_absolute_difference": round(float(np.mean(scores)), 5),
            "share_within_two_standard_errors": round(float(np.mean(np.array(ratios) < 2)), 3)
            if ratios
            else None,
            "values": values,
        }
        print(f"\n{title}: {len(sizes)} sizes, {n_draws} draws, five classifiers")
        for name, seconds in best.items():
            print(f"  {name:<18}{seconds['cpu']:9.1f} s CPU{seconds['wall']:9.1f} s wall")
        print(f"  {one_core:.1f} times faster on one core, {two_workers:.1f} with two workers")
        print(f"  mean difference of a score {np.mean(scores):.4f}")
    if not arguments.quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / "learning_curve.json"
        path.write_text(json.dumps(report, indent=1) + "\n")
        print(f"\n{path}")


if __name__ == "__main__":
    main()
