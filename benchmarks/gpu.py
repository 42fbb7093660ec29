"""The same training step and the same sampling on a GPU and on the processor, in wall seconds.

Ends with a message, and exit status 0, where there is no CUDA device.

    python benchmarks/gpu.py [--quick] [--rounds 7] [--only A C sampling]
"""

import _protocol  # first: limits the threads

# isort: split

import sys
import time
from functools import partial

import torch
from _models import PlainVAE, decoder
from _protocol import Target, Task
from engine import CASES, LR, normal_rows

from synth_estimators._engine import EpochEngine, Rows, TrainingRows, chunk_rows, fast_matmul
from synth_estimators._random import torch_rng


def finished(work):
    """Wait for the device after the work, so that wall time counts all of it."""

    def run():
        work()
        torch.cuda.synchronize()

    return run


def run_step(case, options):
    n_rows, n_columns, batch_size = CASES[case]
    epochs = 2 if options.quick else 20
    X = normal_rows(n_rows, n_columns)
    variants, losses = {}, {}
    for device in ("cpu", "cuda"):
        with torch_rng(0, device):
            net = EpochEngine(
                partial(PlainVAE, n_columns),
                optimizer=torch.optim.Adam,
                lr=LR,
                batch_size=batch_size,
                device=device,
            ).initialize()
            data = TrainingRows(Rows(X).to(device))
            net.partial_fit(data, epochs=epochs)
        losses[device] = float(net.history[-1, "train_loss"])
        flop = 6 * batch_size * sum(p.numel() for p in net.module_.parameters())

        def train(net=net, data=data, flop=flop, device=device):
            with torch_rng(0, device), fast_matmul(flop, device=device):
                net.partial_fit(data, epochs=epochs)

        variants[device] = finished(train)
    task = Task(
        f"VAE {case} (n={n_rows}, p={n_columns}, batch {batch_size})", "step", options.rounds
    )
    task.run(variants, units=epochs * -(-n_rows // batch_size), clock=time.perf_counter)
    task.notes = {"train_loss_after_first_epochs": losses, "clock": "wall"}
    return task


def run_sampling(options):
    n_columns, n_rows = 1_000, 10_000 if options.quick else 100_000
    chunk = chunk_rows(256 + n_columns)
    codes = torch.from_numpy(normal_rows(n_rows, 32))
    with torch_rng(0):
        on_cpu = decoder(n_columns).eval()
    modules = {"cpu": on_cpu}
    with torch_rng(0):
        modules["cuda"] = decoder(n_columns).eval().to("cuda")
    flop = 2 * chunk * sum(p.numel() for p in on_cpu.parameters())
    variants = {}
    for device, module in modules.items():
        size = chunk if device == "cpu" else 65_536
        result = torch.empty(n_rows, n_columns)

        def decode(module=module, device=device, size=size, result=result):
            with torch.inference_mode(), fast_matmul(flop, device=device):
                for start in range(0, n_rows, size):
                    part = slice(start, start + size)
                    result[part] = module(codes[part].to(device)).cpu()

        variants[f"{device}, rows back on the host"] = finished(decode)
    task = Task(f"sampling {n_columns} columns", "1000 rows", options.rounds)
    task.run(variants, units=n_rows / 1000, clock=time.perf_counter)
    task.notes = {"n_rows": n_rows, "clock": "wall"}
    return task


def main():
    options = _protocol.arguments(__doc__.splitlines()[0])
    if not torch.cuda.is_available():
        print("No CUDA device here: nothing to measure.")
        return
    _protocol.one_thread()
    parts = {case: partial(run_step, case) for case in CASES}
    parts["sampling"] = run_sampling
    chosen = options.only or list(parts)
    unknown = sorted(set(chosen) - parts.keys())
    if unknown:
        sys.exit(f"Unknown parts {unknown}; choose from {sorted(parts)}.")
    tasks = [parts[name](options) for name in chosen]
    targets = []
    for task in tasks:
        task.print()
        cpu, cuda = task.seconds
        targets.append(Target(f"{task.name}: cuda over cpu", task.ratio(cpu, cuda), 1.0))
    _protocol.print_targets(targets)
    partial_run = options.quick or options.only is not None
    path = _protocol.save(
        "gpu",
        tasks=tasks,
        targets=targets,
        quick=partial_run,
        device=torch.cuda.get_device_name(),
    )
    print(f"\nraw numbers: {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    main()
