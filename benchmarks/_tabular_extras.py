"""Parts of ``quality_tabular.py`` that judge no rows: cost of a large table, and conditions."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _batch_peers import Worker
from _tabular import discrete_names, make_wide, pack, read_split

_SCRIPT = Path(__file__).parent / "_tabular_workers.py"
_MODES = {
    "single_discrete": {"conditional_vector_type": "single_discrete"},
    "anyway": {"conditional_vector_type": "anyway", "conditional_select_mean_columns": 2},
}
_LEAST_SHARE = 0.01  # levels below have too few training rows


def cost(*, quick=False):
    """Fit TabularAR on 100,000 rows x 50 columns and sample as many; seconds and memory."""
    n_rows, n_columns = (2_000, 10) if quick else (100_000, 50)
    table = make_wide(n_rows, n_columns)
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "table.npz", Path(folder) / "out.npz"
        np.savez(data, **pack(table), epochs=0, batch_size=0, n_samples=n_rows)
        worker = Worker(sys.executable, "TabularAR", data, script=_SCRIPT)
        answer = worker.run(out=out)
        worker.stop()
        with np.load(out) as file:
            told = {name: file[name] for name in file.files}
    return {
        "rows": n_rows,
        "columns": n_columns,
        "fit_cpu_s": float(told["fit"]),
        "sample_cpu_s": float(told["sample"]),
        "epochs": max(len(told["marks"]) - 1, 0),
        "table_mib": table.memory_usage(deep=True).sum() / 2**20,
        "base_mib": float(told["base_mib"]),
        "peak_mib": answer["peak_mib"],
    }


def _fitted(mode, table, *, epochs):
    from synth_estimators.tabular import ACTGAN

    model = ACTGAN(
        discrete_columns=discrete_names(table), max_epochs=epochs, random_state=0, **_MODES[mode]
    )
    return model.fit(table)


def _met(model, conditions, n_rows, *, max_tries):
    """Ask for rows under a condition; return the share found and the share met before rejection."""
    try:
        found = len(
            model.sample(n_rows, conditions=conditions, random_state=0, max_tries=max_tries)
        )
    except ValueError:  # not one row was found
        found = 0
    return found / n_rows, float(model.sampling_report_.acceptance)


def acceptance(*, quick=False):
    """Conditions of every kind in both modes, and every common level of Adult."""
    return {"discrete": _levels_of_adult(quick), "kinds": _kinds(quick)}


def _levels_of_adult(quick):
    """Share of drawn rows that meet a condition on one level, over all common levels."""
    train, _ = read_split("adult", 0)
    epochs = 50
    if quick:
        train, epochs = train.head(2_000), 2
    records = []
    for mode in _MODES:
        start = time.process_time()
        model = _fitted(mode, train, epochs=epochs)
        seconds = time.process_time() - start
        met = {}
        for name in discrete_names(train):
            shares = train[name].value_counts(normalize=True)
            for level in shares.index[shares >= _LEAST_SHARE]:
                met[f"{name}={level}"] = _met(model, {name: level}, 1_000, max_tries=1)[1]
        records.append(
            {
                "mode": mode,
                "epochs": epochs,
                "fit_cpu_s": seconds,
                "mean": float(np.mean(list(met.values()))),
                "least": min(met.values()),
                "levels": met,
            }
        )
    return records


def make_kinds(n_rows, *, seed=0):
    """Simulate a table with a column of every kind that a condition can name."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal(n_rows)
    amount = np.exp(factor + 0.5 * rng.standard_normal(n_rows)).round(1)
    amount[rng.random(n_rows) < 0.2] = np.nan
    days = pd.to_timedelta(rng.integers(0, 30, n_rows), unit="D")
    return pd.DataFrame(
        {
            "balance": (factor - 1).round(1),
            "amount": amount,
            "count": rng.poisson(np.exp(1 + 0.3 * factor)),
            "when": pd.Timestamp("2024-01-01") + days,
            "active": factor + rng.standard_normal(n_rows) > 0,
            "group": np.array(["a", "b", "c"])[rng.integers(0, 3, n_rows)],
        }
    )


def _kinds(quick):
    """Rows found under conditions on every kind of column, of those that were asked for."""
    table = make_kinds(500 if quick else 5_000)
    conditions = {
        "numeric": {"amount": float(table["amount"].median())},
        "negative": {"balance": -1.5},
        "missing": {"amount": np.nan},
        "integer": {"count": 3},
        "datetime": {"when": table["when"].iloc[0]},
        "boolean": {"active": True},
        "text": {"group": "b"},
        "two columns": {"group": "b", "active": False},
    }
    records = []
    for mode in _MODES:
        model = _fitted(mode, table, epochs=2 if quick else 50)
        for name, wanted in conditions.items():
            found, met = _met(model, wanted, 100, max_tries=100)
            records.append({"mode": mode, "condition": name, "found": found, "met": met})
    return records
