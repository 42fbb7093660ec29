"""Answers benchmarks/metrics.py from an environment that holds synthcity.

Reads one JSON order a line from standard input: ``{"tables": [CSV, CSV]}`` loads a real and a
synthetic table, ``{"metric": name}`` computes a metric and answers with its values and the
processor seconds of this process so far.
"""

import json
import os
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
warnings.filterwarnings("ignore")

ANSWERS = os.fdopen(os.dup(1), "w")
# Whatever the libraries print goes to standard error.
os.dup2(2, 1)

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from synthcity.metrics import eval_statistical as statistical  # noqa: E402
from synthcity.plugins.core.dataloader import GenericDataLoader  # noqa: E402

torch.set_num_threads(1)


def naive_alpha_precision(real, synth):
    """The values of the rows as they are, without the embedding that is trained first."""
    scores = statistical.AlphaPrecision(use_cache=False).metrics(real.numpy(), synth.numpy())[3:]
    return dict(zip(("alpha_precision", "beta_recall", "authenticity"), scores, strict=True))


def evaluate(kind):
    metric = getattr(statistical, kind)(use_cache=False)
    return lambda real, synth: metric.evaluate(real, synth)


METRICS = {
    "prdc": evaluate("PRDCScore"),
    "alpha_precision_beta_recall": naive_alpha_precision,
    "ks": evaluate("KolmogorovSmirnovTest"),
    "jensen_shannon": evaluate("JensenShannonDistance"),
    "mmd": evaluate("MaximumMeanDiscrepancy"),
}


def main():
    tables = None
    for line in sys.stdin:
        order = json.loads(line)
        values = {}
        if "tables" in order:
            tables = [GenericDataLoader(pd.read_csv(path)) for path in order["tables"]]
        else:
            values = METRICS[order["metric"]](*tables)
        answer = {
            "values": {name: float(value) for name, value in values.items()},
            "cpu": time.process_time(),
        }
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
