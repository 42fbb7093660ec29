"""HarmonyEmbedding beside harmonypy: mixing of batches, separation of classes, time.

``batch_effects.py`` calls ``run_harmony``. As a script this file is the child process of one of the
methods, see ``_batch_peers.py``. harmonypy runs on one thread, once at its defaults and once with
the settings of the first release (ridge penalty 1, up to 20 passes, tolerances 1e-5 and 1e-4).
"""

import _batch_peers as peers  # first: limits the threads

# isort: split

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

OURS, PEER, PEER_FIRST = "HarmonyEmbedding", "harmonypy", "harmonypy, first settings"
METHOD_NAMES = (OURS, PEER, PEER_FIRST)
SEEDS = range(5)
FIRST_SETTINGS = {
    "lamb": 1,
    "max_iter_kmeans": 20,
    "epsilon_cluster": 1e-5,
    "epsilon_harmony": 1e-4,
}


def simulated(n_samples, n_components, *, n_batches=4, n_kinds=8, confounded=False, seed=0):
    """Scores of kinds of cells with shifts of each batch, and of each kind within a batch.

    ``confounded`` takes one kind from two batches and leaves another to a single batch.
    """
    rng = np.random.default_rng(seed)
    scale = np.sort(rng.uniform(1.0, 6.0, n_components))[::-1]
    centers = rng.normal(size=(n_kinds, n_components)) * scale
    shifts = rng.normal(size=(n_batches, n_components)) * scale * 0.5
    own = rng.normal(size=(n_batches, n_kinds, n_components)) * scale * 0.25
    shares = rng.dirichlet(np.full(n_kinds, 4.0), size=n_batches)
    if confounded:
        shares[:2, 0] = shares[1:, 1] = 0.0
        shares /= shares.sum(axis=1, keepdims=True)
    batch = rng.choice(n_batches, size=n_samples, p=rng.dirichlet(np.full(n_batches, 5.0)))
    label = np.array([rng.choice(n_kinds, p=shares[b]) for b in batch])
    X = centers[label] + shifts[batch] + own[batch, label]
    return components(X + 1.5 * rng.normal(size=X.shape), n_components), batch, label


def components(X, n_components):
    """Principal component scores."""
    X = X - X.mean(axis=0)
    left, singular, _ = np.linalg.svd(X, full_matrices=False)
    return (left * singular)[:, :n_components]


def counted(name, batch, label):
    """20 components of the logarithms of a set of single-cell counts."""
    import pandas as pd
    from scipy import sparse

    folder = Path(os.environ["SYNTH_ESTIMATORS_DATA"]) / "expression"
    X = sparse.load_npz(folder / f"{name}.counts.npz").toarray().astype(np.float64)
    X = np.log1p(1e4 * X / X.sum(axis=1, keepdims=True))
    rows = pd.read_csv(folder / f"{name}.obs.csv.gz")
    return components(X, 20), codes(rows[batch]), codes(rows[label])


def bladder():
    """20 components of the bladder cancer set."""
    import pandas as pd

    folder = Path(os.environ["SYNTH_ESTIMATORS_DATA"]) / "batch"
    X = pd.read_csv(folder / "bladder_X.csv", index_col=0).to_numpy()
    rows = pd.read_csv(folder / "bladder_meta.csv", index_col=0)
    return components(X, 20), codes(rows["batch"]), codes(rows["cancer"])


def codes(values):
    """Numbers of the distinct values."""
    return np.unique(values, return_inverse=True)[1]


def tables(*, quick):
    """Return scores, batch and label of every set by name; real ones only where they are."""
    made = {"simulated, 600 x 20": simulated(600, 20)}
    if not quick:
        made = {
            "simulated, 3000 x 30": simulated(3_000, 30),
            "simulated, 3000 x 30, confounded": simulated(3_000, 30, confounded=True),
            "simulated, 10000 x 50": simulated(10_000, 50, n_batches=5, n_kinds=10),
        }
    if os.environ.get("SYNTH_ESTIMATORS_DATA"):
        made["five cell lines on three plates, 479 x 20"] = counted(
            "mixology_5cl", "batch", "cell_line"
        )
        made["blood cells of two donors, 1265 x 20"] = counted("kang_ifnb", "donor", "cell_type")
        if not quick:
            made["bladder cancer, 57 x 20"] = bladder()
    return made


def quality(rows, batch, label):
    """Mean LISI of the batches, and silhouettes of labels and batches."""
    from sklearn.metrics import silhouette_score

    from synth_estimators.metrics import lisi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the perplexity of small tables
        by_row = lisi(rows, batch, breakdown=True).details["lisi"]
    return {
        "lisi": float(np.mean(by_row)),
        "silhouette_label": float(silhouette_score(rows, label)),
        "silhouette_batch": float(silhouette_score(rows, batch)),
    }


def run_harmony(options):
    """Compare on all sets; return tasks and targets for ``batch_effects.py``.

    The quality is the mean over five seeds, the times are of the first one.
    """
    tasks, targets = [], []
    for name, (scores, batch, label) in tables(quick=options.quick).items():
        task = compare(f"Harmony, {name}", scores, batch, label, options)
        print_quality(task)
        tasks.append(task)
        if len(task.seconds) > 1:
            targets += targets_of(task)
    return tasks, targets


def compare(name, scores, batch, label, options):
    """Time the methods in turn; keep the mean quality of each in the notes of the task."""
    from _protocol import Task

    task = Task(name, "call", options.rounds)
    names = METHOD_NAMES if options.peer_python else METHOD_NAMES[:1]
    notes = {"quality": {"raw": quality(scores, batch, label)}, "versions": {}, "peak_mib": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, X=scores, batch=batch)
        workers = {}
        try:
            for method in names:
                python = sys.executable if method == OURS else options.peer_python
                workers[method] = peers.Worker(python, method, path, script=__file__)
            for method, worker in workers.items():
                out = Path(folder) / "values.npy"
                figures = []
                for _ in SEEDS:  # a worker moves on to the next seed with every call
                    answer = worker.run(out=out)
                    figures.append(quality(np.load(out), batch, label))
                notes["quality"][method] = {
                    key: float(np.mean([figure[key] for figure in figures])) for key in figures[0]
                }
                notes["versions"][method] = worker.versions
                notes["peak_mib"][method] = answer["peak_mib"]
            for _ in range(options.rounds):
                for method, worker in workers.items():
                    answer = worker.run()
                    task.seconds.setdefault(method, []).append(answer["cpu"])
                    task.wall.setdefault(method, []).append(answer["wall"])
        finally:
            for worker in workers.values():
                worker.stop()
    task.notes = notes
    return task


def print_quality(task):
    """Print the figures of every method."""
    print(f"\n{task.name}: mean LISI of batches, silhouette of labels, of batches")
    for method, figures in task.notes["quality"].items():
        print(f"  {method:<34}" + "".join(f"{value:10.4f}" for value in figures.values()))


def targets_of(task):
    """Return the targets against harmonypy at its defaults."""
    from _protocol import Target

    ours, peer = (task.notes["quality"][method] for method in (OURS, PEER))
    gains = {key: ours[key] - peer[key] for key in ("lisi", "silhouette_label")}
    words = {"lisi": "LISI", "silhouette_label": "label silhouette"}
    found = [
        Target(f"{task.name}: {words[key]} above harmonypy", gain, 0.0, unit="")
        for key, gain in gains.items()
    ]
    faster = task.ratio(PEER, OURS)
    return [*found, Target(f"{task.name}: time against harmonypy", faster, 1.0)]


def _ours(data):
    from synth_estimators.batch_effects import HarmonyEmbedding

    X, batch = data["X"], data["batch"]
    seed = _cycle()
    return lambda: HarmonyEmbedding(random_state=next(seed)).fit_transform(X, batch=batch)


def _harmonypy(**settings):
    def prepare(data):
        import harmonypy
        import pandas as pd

        X, rows = data["X"], pd.DataFrame({"batch": data["batch"].astype(str)})
        seed = _cycle()
        fixed = {"verbose": False, "ncores": 1, **settings}
        return lambda: np.asarray(
            harmonypy.run_harmony(X, rows, "batch", random_state=next(seed), **fixed).Z_corr
        )

    return prepare


def _cycle():
    while True:
        yield from SEEDS


METHODS = {
    OURS: (_ours, ("synth-estimators", "numpy", "scikit-learn")),
    PEER: (_harmonypy(), ("harmonypy", "numpy")),
    PEER_FIRST: (_harmonypy(**FIRST_SETTINGS), ("harmonypy", "numpy")),
}


if __name__ == "__main__":
    peers.serve(METHODS)
