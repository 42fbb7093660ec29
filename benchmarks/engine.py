"""The training engine beside stock skorch and a bare torch loop; sampling beside ``predict``.

Parts: ``tiny`` (a one-layer net), ``A``, ``B``, ``C`` (the VAE p-256-128-64-32 at three sizes),
``sampling`` (decoded rows), ``memory`` (a million rows from a fitted VAE). Equal losses, batches,
epochs and step sizes everywhere.

    python benchmarks/engine.py [--quick] [--rounds 7] [--only tiny A]
"""

import _protocol  # first: limits the threads

# isort: split

import gc
import json
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _models import Linear, PlainVAE, VAELoss, decoder
from _protocol import Target, Task
from skorch import NeuralNet
from torch.nn.functional import mse_loss

from synth_estimators._engine import EpochEngine, Rows, TrainingRows, chunk_rows, fast_matmul
from synth_estimators._random import torch_rng

LR = 1e-3
CASES = {"A": (100, 1_000, 10), "B": (500, 1_000, 50), "C": (1_000, 20_000, 100)}


def normal_rows(n_rows, n_columns, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns), dtype=np.float32)


def stock(module, criterion, batch_size, **params):
    """Build skorch with its defaults, silent, without validation."""
    return NeuralNet(
        module,
        criterion,
        optimizer=torch.optim.Adam,
        lr=LR,
        batch_size=batch_size,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
        **params,
    ).initialize()


class SquaredErrorEngine(EpochEngine):
    """An engine with torch's own mean squared error, the loss of the other variants."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Compare rows with their reconstruction."""
        return mse_loss(y_pred, X)


def engine(module, batch_size, kind=EpochEngine):
    return kind(module, optimizer=torch.optim.Adam, lr=LR, batch_size=batch_size).initialize()


def raw_loop(module, loss_of, X, batch_size):
    """Return a function that trains for some epochs in the shortest loop torch allows."""
    X = torch.from_numpy(X)
    optimizer = torch.optim.Adam(module.parameters(), lr=LR, fused=True)

    def train(epochs):
        module.train()
        for _ in range(epochs):
            total = torch.zeros((), dtype=torch.float64)
            for batch in X[torch.randperm(len(X))].split(batch_size):
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(module(batch), batch)
                loss.backward()
                optimizer.step()
                total.add_(loss.detach(), alpha=len(batch))
            float(total)

    return train


def train_in_turn(
    name, module, criterion, X, batch_size, *, epochs, rounds, kind=EpochEngine, switch_flop=None
):
    """Time training steps of stock skorch, the engine and a bare loop."""
    n_steps = epochs * -(-len(X) // batch_size)
    with torch_rng(0):
        nets = {
            "stock skorch": stock(module, criterion, batch_size),
            "stock skorch, fused Adam": stock(module, criterion, batch_size, optimizer__fused=True),
            "engine": engine(module, batch_size, kind),
        }
        loop = raw_loop(module(), criterion(), X, batch_size)
        data = TrainingRows(Rows(X))
        variants = {
            "stock skorch": lambda: nets["stock skorch"].partial_fit(X, X, epochs=epochs),
            "stock skorch, fused Adam": lambda: nets["stock skorch, fused Adam"].partial_fit(
                X, X, epochs=epochs
            ),
            "engine": lambda: nets["engine"].partial_fit(data, epochs=epochs),
            "bare torch loop, fused Adam": lambda: loop(epochs),
        }
        task = Task(name, "step", rounds)
        switch = {}
        if switch_flop is not None:
            nets["engine, fast_matmul"] = engine(module, batch_size, kind)

            def switched():
                with fast_matmul(switch_flop) as switch["fast_matmul"]:
                    nets["engine, fast_matmul"].partial_fit(data, epochs=epochs)

            variants["engine, fast_matmul"] = switched

        def report(name):
            loss = float(nets[name].history[-1, "train_loss"]) if name in nets else None
            return {"last_train_loss": loss, **switch}

        # the engine teaches the allocator of its process to keep memory, which would speed up all
        task.run(variants, units=n_steps, apart=True, report=report)
    task.notes |= {
        "n_rows": len(X),
        "n_columns": X.shape[1],
        "batch_size": batch_size,
        "steps_per_round": n_steps,
        "reports": task.reports,
    }
    task.print()
    return task


def run_tiny(options):
    task = train_in_turn(
        "tiny net (Linear 20-20, batch 32)",
        Linear,
        torch.nn.MSELoss,
        normal_rows(2_016, 20),
        32,
        epochs=1 if options.quick else 8,
        rounds=options.rounds,
        kind=SquaredErrorEngine,
    )
    return [task], [
        Target("tiny net: engine over stock skorch", task.ratio("stock skorch", "engine"), 3.5),
        Target(
            "tiny net: time of the engine over a bare loop",
            task.ratio("engine", "bare torch loop, fused Adam"),
            1.3,
            at_most=True,
        ),
    ]


def run_vae(case, options):
    n_rows, n_columns, batch_size = CASES[case]
    if options.quick and case == "C":
        n_columns = 2_000
    module = partial(PlainVAE, n_columns)
    n_weights = sum(p.numel() for p in module().parameters())
    task = train_in_turn(
        f"VAE {case} (n={n_rows}, p={n_columns}, batch {batch_size})",
        module,
        VAELoss,
        normal_rows(n_rows, n_columns),
        batch_size,
        epochs=1 if options.quick else 4 if case == "C" else 20,
        rounds=options.rounds,
        switch_flop=6 * n_weights * batch_size if case == "C" else None,
    )
    bare = task.ratio("engine", "bare torch loop, fused Adam")
    targets = [Target(f"VAE {case}: time of the engine over a bare loop", bare, 1.1, at_most=True)]
    if case == "C":
        gain = task.ratio("stock skorch", "engine, fast_matmul")
        targets.append(Target("VAE C: engine with fast_matmul over stock skorch", gain, 2.4))
    else:
        gain = task.ratio("stock skorch", "engine")
        limit = {"A": 1.8, "B": 1.5}[case]
        targets.append(Target(f"VAE {case}: engine over stock skorch", gain, limit))
    return [task], targets


def decode_in_chunks(module, codes, n_columns, *, mode):
    """Decode into one preallocated array, in chunks that stay in cache."""
    widest = 256
    chunk = chunk_rows(widest + n_columns)
    n_weights = sum(p.numel() for p in module.parameters())
    result = np.empty((len(codes), n_columns), dtype=np.float32)
    module.eval()
    with torch.inference_mode(), fast_matmul(2 * n_weights * chunk, mode) as matmul:
        for start in range(0, len(codes), chunk):
            part = slice(start, start + chunk)
            result[part] = module(torch.from_numpy(codes[part])).numpy()
    return result, matmul


def run_sampling(options):
    n_columns, n_rows = 1_000, 1_000 if options.quick else 6_000
    codes = normal_rows(n_rows, 32)
    with torch_rng(0):
        net = NeuralNet(
            decoder(n_columns), torch.nn.MSELoss, train_split=None, batch_size=100, verbose=0
        ).initialize()
        module = net.module_.eval()
        expected = net.predict(codes)
        task = Task(f"sampling {n_columns} columns", "1000 rows", options.rounds)
        matmul = {}
        for mode in ("default", "auto"):
            rows, matmul[mode] = decode_in_chunks(module, codes, n_columns, mode=mode)
            np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-4)
        task.run(
            {
                "skorch predict, batch_size=100": lambda: net.predict(codes),
                "chunks": lambda: decode_in_chunks(module, codes, n_columns, mode="default"),
                "chunks, fast_matmul": lambda: decode_in_chunks(
                    module, codes, n_columns, mode="auto"
                ),
            },
            units=n_rows / 1000,
        )
    task.notes = {"n_rows": n_rows, "chunk": chunk_rows(256 + n_columns), "matmul": matmul}
    task.print()
    predict = "skorch predict, batch_size=100"
    return [task], [
        Target("sampling: chunks over skorch predict", task.ratio(predict, "chunks"), 2.0),
        Target(
            "sampling: chunks with fast_matmul over skorch predict",
            task.ratio(predict, "chunks, fast_matmul"),
            2.0,
        ),
    ]


def resident_mb(field):
    """Read ``VmRSS`` (now) or ``VmHWM`` (highest) of this process, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(field)


def measure_memory(n_rows):
    """Fit a VAE, draw ``n_rows`` rows in chunks, and print how far memory grew, as JSON.

    Growth is the highest resident size while drawing, less the size just before; the peak of the
    fit is forgotten first. Linux only.
    """
    from synth_estimators import VAE

    _protocol.one_thread()
    X = normal_rows(2_000, 50).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vae = VAE(max_epochs=5, random_state=0).fit(X)
    vae.sample(10)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mb("VmRSS")
    start = time.process_time()
    n_drawn, n_chunks = 0, 0
    for chunk in vae.sample_iter(n_rows):
        if not np.isfinite(chunk).all():
            raise FloatingPointError("The VAE drew values that are not finite.")
        n_drawn, n_chunks = n_drawn + len(chunk), n_chunks + 1
    seconds = time.process_time() - start
    answer = {
        "n_rows": n_drawn,
        "n_columns": X.shape[1],
        "n_chunks": n_chunks,
        "before_mb": before,
        "growth_mb": resident_mb("VmHWM") - before,
        "cpu_seconds": seconds,
        "rows_per_second": n_drawn / seconds,
    }
    print(json.dumps(answer))


def run_memory(options):
    n_rows = 100_000 if options.quick else 1_000_000
    command = [sys.executable, __file__, "--memory-of", str(n_rows)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        print(f"\nmemory: the run failed and is left out.\n{result.stderr[-2000:]}")
        return [], [], {"memory": {"error": result.stderr.strip().splitlines()[-1:]}}
    answer = json.loads(result.stdout.strip().splitlines()[-1])
    print(
        f"\nmemory: {answer['n_rows']} rows x {answer['n_columns']} columns in "
        f"{answer['n_chunks']} chunks, peak grew by {answer['growth_mb']:.0f} MB, "
        f"{answer['cpu_seconds']:.1f} CPU s"
    )
    name = f"{n_rows} rows x 50 columns: growth of the peak memory in MB"
    target = Target(name, answer["growth_mb"], 600, at_most=True, unit="MB")
    return [], [target], {"memory": answer}


def main():
    options = _protocol.arguments(__doc__.splitlines()[0])
    _protocol.one_thread()
    parts = {
        "tiny": run_tiny,
        "A": lambda options: run_vae("A", options),
        "B": lambda options: run_vae("B", options),
        "C": lambda options: run_vae("C", options),
        "sampling": run_sampling,
        "memory": run_memory,
    }
    chosen = options.only or list(parts)
    unknown = sorted(set(chosen) - parts.keys())
    if unknown:
        sys.exit(f"Unknown parts {unknown}; choose from {sorted(parts)}.")
    tasks, targets, extra = [], [], {}
    for name in chosen:
        part_tasks, part_targets, *rest = parts[name](options)
        tasks += part_tasks
        targets += part_targets
        extra |= rest[0] if rest else {}
    _protocol.print_targets(targets)
    partial = options.quick or options.only is not None
    path = _protocol.save("engine", tasks=tasks, targets=targets, quick=partial, **extra)
    print(f"\nraw numbers: {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory-of"]:
        measure_memory(int(sys.argv[2]))
    else:
        main()
