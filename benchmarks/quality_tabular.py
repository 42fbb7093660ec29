"""Quality of generators of mixed tables, on held-out rows, beside baselines, limit and peers.

``tables``
    Six tables of 2,100 to 22,793 training rows and 9 to 24 columns, three random splits of 70 % to
    30 %: baselines, TabularAR and its rival TabularARGN, CTGAN and TVAE of ctgan at their defaults.
``epochs``
    CTGAN, ACTGAN and TVAE beside the programs they are named after, at 10 and at 50 epochs.
``small``
    Samples of 1,000 to 4,000 rows and simulated tables with weak predictors: TabularAR beside the
    private SequentialCART.
``cost``
    TabularAR on 100,000 rows x 50 columns: time and memory.
``conditions``
    Share of the rows of ACTGAN that meet a condition before rejection.

Every generator sees the training rows alone and is asked for as many rows. Two-sample tests
compare at most 4,000 held-out with as many sampled rows (the value depends on that number), that of
trees with up to four such lots of sampled rows, which are averaged, as is the utility of up to four
sampled tables where the training rows are few; the privacy numbers at most 5,000 (2,000 in the
standardised space). Missing cells of text are a level. The limit is fresh real rows: one half of
the training rows stands in for the sampled ones, the other for the training rows.

    SYNTH_ESTIMATORS_DATA=... python benchmarks/quality_tabular.py [--parts tables small]
        [--splits 3] [--tables adult] [--only "TabularAR*" "fresh*"] [--quick]
        [--peer-samples FOLDER] [--rival-python PYTHON]

The rows of peers are read from the folder that ``peer_rows.py`` has written, with the seconds they
took; splits that are not there are left out. With ``--rival-python`` (an environment that has
mostlyai-engine) those of TabularARGN are made in the same call. Rows of the result that are asked
for replace those of the same table, split and generator; all others are kept.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import tempfile
import warnings
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
from _protocol import RESULTS, Target, environment, one_thread, print_targets
from _tabular import SMALL, TARGETS, WEAK, read_split
from _tabular_extras import acceptance, cost
from _tabular_generators import (
    baselines,
    likelihood,
    make_rival,
    networks,
    own_rows,
    peer_rows,
)
from _tabular_judge import (
    C2ST_LOTS,
    C2ST_ROWS,
    EPOCHS,
    EPOCHS_TABLES,
    NETWORKS,
    PRIVACY_ROWS,
    SHOWN,
    STANDARD_ROWS,
    UTILITY_LOTS,
    judge,
    merged,
    targets_of,
)

KEYS = ["table", "split", "generator"]
ALL = {**TARGETS, **SMALL, **WEAK}
LIMIT = "fresh real rows (limit)"
PARTS = {
    "tables": tuple(TARGETS),
    "epochs": EPOCHS_TABLES,
    "small": (*SMALL, *WEAK),
}
EXTRAS = {"cost": cost, "conditions": acceptance}


def sources(part, table, train, split, options):
    """Return iterators of name, rows and seconds, of all that a part compares on one split."""
    target, folder, wanted = ALL[table], options.peer_samples, options.wanted
    stored = {"table": table, "train": train, "split": split, "wanted": wanted}
    if part == "epochs":
        yield own_rows(networks(train, split), train, split, wanted)
        if folder:
            yield peer_rows(folder, **stored, models=NETWORKS, epochs=EPOCHS)
        return
    everyone = baselines(target, split)
    if part == "small":
        everyone = {"SequentialCART": everyone["SequentialCART"]}
    yield own_rows(everyone | likelihood(target, split), train, split, wanted)
    if options.rival_python and wanted("TabularARGN"):
        with tempfile.TemporaryDirectory() as made:
            rival = folder or Path(made)
            make_rival(options.rival_python, rival, table, split)
            yield peer_rows(rival, **stored, models=["TabularARGN"])
    elif folder:
        yield peer_rows(folder, **stored, models=["TabularARGN"])
    if folder and part == "tables":
        yield peer_rows(folder, **stored, models=["CTGAN", "TVAE"])


def run_split(part, table, split, options):
    """Judge everything on one split."""
    train, holdout = read_split(table, split)
    target = ALL[table]
    if options.wanted(LIMIT):
        half = len(train) // 2
        limit = judge(train.head(half), holdout, train.tail(half), target)
        yield {"generator": LIMIT, **limit, "cpu_s": 0.0, "wall_s": 0.0}
    for source in sources(part, table, train, split, options):
        for name, rows, seconds in source:
            yield {"generator": name, **judge(train, holdout, rows, target), **seconds}


def extra_targets(extras):
    """Bars of the parts that do not judge rows."""
    found = []
    for record in extras.get("conditions", {}).get("discrete", []):
        title = f"adult: share that meets one condition, ACTGAN {record['mode']}"
        found.append(Target(title, record["mean"], 0.95, unit=""))
    for record in extras.get("conditions", {}).get("kinds", []):
        title = f"{record['condition']} condition, ACTGAN {record['mode']}: rows found"
        found.append(Target(title, record["found"], 1.0, unit=""))
    return found


def write(path, records, extras):
    """Write the table of all rows, and beside it how they were made."""
    table = pd.read_csv(path) if path.exists() else None
    if records:
        table = merged(table, records, KEYS).sort_values(["table", "generator", "split"])
        path.parent.mkdir(exist_ok=True)
        table.to_csv(path, index=False, float_format="%.5f")
    beside = path.with_suffix(".json")
    old = json.loads(beside.read_text()) if beside.exists() else {}
    extras = {name: extras.get(name, old.get(name)) for name in EXTRAS}
    extras = {name: value for name, value in extras.items() if value is not None}
    groups = None if table is None else table.groupby(["table", "generator"], sort=False)
    targets = [*([] if table is None else targets_of(table)), *extra_targets(extras)]
    document = {
        "benchmark": "quality_tabular",
        "environment": environment(),
        "protocol": {
            "split": "RandomState(split).permutation(n), the first 70 % to train on; of samples"
            " the first rows to train on and the next 4,000 held out",
            "two_sample_rows": C2ST_ROWS,
            "two_sample_lots": f"up to {C2ST_LOTS} (trees)",
            "utility_tables": f"up to {UTILITY_LOTS}, where so many rows are sampled",
            "privacy_rows": PRIVACY_ROWS,
            "privacy_rows_standard": STANDARD_ROWS,
            "sampled_rows": "as many as training rows",
            "left_out": "bikeshare: casual, registered; wage: logwage, region",
            "magic": "first 10,000 rows",
            "peers": "at their defaults (TabularARGN: value protection and flexible order off),"
            " or at the epochs in their name; rows and seconds read from files",
        },
        "splits": {}
        if groups is None
        else {" / ".join(key): int(count) for key, count in groups["split"].nunique().items()},
        "targets": [target.as_dict() for target in targets],
        **extras,
    }
    beside.write_text(json.dumps(document, indent=1) + "\n")
    return None if groups is None else groups[SHOWN].mean(), targets


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, *EXTRAS], default=["tables"])
    parser.add_argument("--tables", nargs="+", choices=ALL, default=None)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--first-split", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of names of rows")
    parser.add_argument("--peer-samples", type=Path, default=None)
    parser.add_argument("--rival-python", default=os.environ.get("RIVAL_PYTHON"))
    parser.add_argument("--quick", action="store_true", help="cost and conditions on few rows")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    if options.output is None:
        stem = "quality_tabular.quick" if options.quick else "quality_tabular"
        options.output = RESULTS / f"{stem}.csv"
    options.wanted = lambda name: any(fnmatch(name, pattern) for pattern in options.only)
    return options


def main():
    """Run the parts and splits that are asked for and add them to the result."""
    options = parse()
    one_thread()
    warnings.simplefilter("ignore")
    records, extras, means, targets = [], {}, None, []
    for part in options.parts:
        if part in EXTRAS:
            extras[part] = EXTRAS[part](quick=options.quick)
            print(json.dumps(extras[part], indent=1), flush=True)
            means, targets = write(options.output, records, extras)
            continue
        for table in options.tables or PARTS[part]:
            for split in range(options.first_split, options.first_split + options.splits):
                for record in run_split(part, table, split, options):
                    records.append({"table": table, "split": split, **record})
                    print(
                        f"{table:13s} {split} {record['generator']:36s}"
                        + "".join(f" {name} {record[name]:.3f}" for name in SHOWN),
                        flush=True,
                    )
                # after every split, so that a stopped run leaves what it has
                if records:
                    means, targets = write(options.output, records, extras)
    if means is not None:
        print(means.round(3).to_string())
    print_targets(targets)
    print(f"raw numbers in {options.output}")


if __name__ == "__main__":
    main()
