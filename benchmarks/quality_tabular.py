"""Quality of generators of mixed tables, on held-out rows, beside baselines, limit and peers.

Six tables of 2,100 to 22,793 training rows and 9 to 24 columns, three random splits of 70 % to
30 %. Every generator sees the training rows alone and is asked for as many rows. Two-sample tests
compare at most 4,000 held-out with as many sampled rows (the value depends on that number), that of
trees with up to four such lots of sampled rows, which are averaged; the privacy numbers at most
5,000 (2,000 in the standardised space). Missing cells of text are a level. The limit is fresh real
rows: one half of the training rows stands in for the sampled ones, the other for the training rows.

    SYNTH_ESTIMATORS_DATA=... python benchmarks/quality_tabular.py [--splits 3] [--tables adult]
        [--peer-samples FOLDER] [--only SequentialCART]

The rows of CTGAN and TVAE are read from the folder that ``peer_ctgan.py`` has written, with the
seconds it took; splits that are not there are left out. Rows of the result that are asked for
replace those of the same table, split and generator; all others are kept.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
import warnings
from pathlib import Path

import pandas as pd
from _protocol import RESULTS, Target, environment, print_targets
from _tabular import TARGETS, discrete_names, read_table, split_table

from synth_estimators import (
    BootstrapRows,
    GaussianCopula,
    IndependentColumns,
    NeighborInterpolation,
    SequentialCART,
)
from synth_estimators import metrics as m

SEED = 0
C2ST_ROWS = 4_000
C2ST_LOTS = 4  # one lot alone has a standard error of up to 0.015
PRIVACY_ROWS = 5_000
STANDARD_ROWS = 2_000  # distances in the standardised space take longer
KEYS = ["table", "split", "generator"]
SHOWN = [
    "c2st_xgb",
    "c2st_logistic",
    "shapes",
    "trends",
    "tstr_ratio",
    "beta_recall",
    "coverage",
    "dcr_share",
    "membership_auc",
    "membership_auc_standard",
    "exact_copies",
    "cpu_s",
]

#: Tree C2ST of the private and the classic form that these are to reproduce, within 0.02.
EXPECTED_C2ST = {
    "adult": (0.521, 0.525),
    "magic": (0.591, 0.592),
    "shoppers": (0.567, 0.569),
    "bikeshare": (0.628, 0.583),
    "default": (0.595, 0.572),
    "wage": (0.547, 0.583),
}


def generators(target, seed):
    """Generators by the name of their row."""
    return {
        "SequentialCART": SequentialCART(target=target, random_state=seed),
        "SequentialCART, classic": SequentialCART(
            privacy="classic", target=target, random_state=seed
        ),
        "GaussianCopula": GaussianCopula(random_state=seed),
        "NeighborInterpolation": NeighborInterpolation(random_state=seed),
        "IndependentColumns": IndependentColumns(random_state=seed),
        "BootstrapRows (copier)": BootstrapRows(random_state=seed),
    }


def as_levels(table, discrete):
    """Make codes of two values text, so that all metrics take them as levels."""
    return table.assign(**{name: table[name].astype(str) for name in discrete})


def judge(train, holdout, rows, target):
    """Numbers of one synthetic table; rows beyond the training size serve the tree C2ST alone."""
    size = min(len(holdout), len(rows), C2ST_ROWS)
    lots = [rows.iloc[k * size : (k + 1) * size] for k in range(C2ST_LOTS)]
    cut, few, rows = holdout.head(size), lots[0], rows.head(len(train))
    trees = [m.c2st_auc(cut, lot, random_state=SEED) for lot in lots if len(lot) == size]
    private = {"X_train": train, "X_holdout": holdout, "X_synth": rows, "random_state": SEED}
    return {
        "c2st_xgb": sum(trees) / len(trees),
        "c2st_logistic": m.c2st_auc(cut, few, estimator="logistic", random_state=SEED),
        "shapes": m.column_shapes_score(holdout, rows),
        "trends": m.column_pair_trends_score(holdout, rows),
        "tstr_ratio": m.utility_ratio(
            holdout, rows, target=target, X_train=train, repeats=3, random_state=SEED
        ),
        "beta_recall": m.beta_recall(cut, few, random_state=SEED),
        "coverage": m.prdc_coverage(cut, few, random_state=SEED),
        "dcr_share": m.dcr_share(**private, max_rows=PRIVACY_ROWS),
        "membership_auc": m.membership_auc(**private, max_rows=PRIVACY_ROWS),
        "membership_auc_standard": m.membership_auc(
            **private, max_rows=STANDARD_ROWS, space="standard"
        ),
        "exact_copies": m.exact_copy_share(X_train=train, X_synth=rows),
    }


def judged(train, holdout, rows, target):
    """Judge tables as they come from their makers."""
    discrete = discrete_names(train)
    return judge(*(as_levels(table, discrete) for table in (train, holdout, rows)), target)


def own_rows(train, target, split, only):
    """Fit and sample the generators of the suite, one after another."""
    for name, generator in generators(target, split).items():
        if only and name not in only:
            continue
        cpu, wall = time.process_time(), time.perf_counter()
        rows = generator.fit(train).sample(len(train))
        seconds = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        missing = C2ST_LOTS * C2ST_ROWS - len(rows)
        if missing > 0:
            more = generator.sample(missing, random_state=1_000 + split)
            rows = pd.concat([rows, more], ignore_index=True)
        yield name, rows, seconds


def peer_rows(folder, table, train, split, only):
    """Read what ``peer_ctgan.py`` has made of this split."""
    for model in ("CTGAN", "TVAE"):
        path = folder / f"{table}-{model}-{split}.csv"
        record = json.loads(path.with_suffix(".json").read_text()) if path.exists() else None
        if record is None or (only and model not in only):
            continue
        rows = read_table(table, path)[list(train)]
        version = record["versions"]["ctgan"]
        seconds = {"cpu_s": record["cpu_seconds"], "wall_s": record["wall_seconds"]}
        yield f"{model} (ctgan {version})", rows, seconds


def run_split(table, split, options):
    """Judge everything on one split."""
    train, holdout = split_table(read_table(table), split)
    target, only = TARGETS[table], options.only
    if not only or "real rows" in only:
        half = len(train) // 2
        limit = judged(train.head(half), holdout, train.tail(half), target)
        yield {"generator": "fresh real rows (limit)", **limit, "cpu_s": 0.0, "wall_s": 0.0}
    everyone = [own_rows(train, target, split, only)]
    if options.peer_samples:
        everyone.append(peer_rows(options.peer_samples, table, train, split, only))
    for source in everyone:
        for name, rows, seconds in source:
            yield {"generator": name, **judged(train, holdout, rows, target), **seconds}


def targets_of(means):
    """What the private and the classic form have to reach, as far as they were run."""
    found = []
    for table, expected in EXPECTED_C2ST.items():
        names = ("SequentialCART", "SequentialCART, classic")
        for name, wanted in zip(names, expected, strict=True):
            if (table, name) in means.index:
                value = float(means.loc[(table, name), "c2st_xgb"])
                title = f"{table}: tree C2ST of {name}"
                found.append(Target(title, value, wanted + 0.02, at_most=True, unit="AUC"))
    if ("adult", "SequentialCART") in means.index:
        adult = means.loc[("adult", "SequentialCART")]
        for column, limit in (("c2st_xgb", 0.54), ("membership_auc", 0.53), ("cpu_s", 10.0)):
            found.append(
                Target(
                    f"adult: {column} of SequentialCART",
                    float(adult[column]),
                    limit,
                    at_most=True,
                    unit="s" if column == "cpu_s" else "AUC",
                )
            )
    if ("adult", "SequentialCART, classic") in means.index:
        leak = float(means.loc[("adult", "SequentialCART, classic"), "membership_auc"])
        found.append(Target("adult: membership of the classic form", leak, 0.53, unit="AUC"))
    return found


def merged(path, records):
    """Put new rows in the place of old ones."""
    new = pd.DataFrame(records)
    if not path.exists():
        return new
    old = pd.read_csv(path)
    replaced = pd.MultiIndex.from_frame(old[KEYS]).isin(pd.MultiIndex.from_frame(new[KEYS]))
    return pd.concat([old[~replaced], new], ignore_index=True)


def write(path, records):
    """Write the table of all rows, and beside it how they were made."""
    table = merged(path, records).sort_values(["table", "generator", "split"])
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False, float_format="%.5f")
    means = table.groupby(["table", "generator"], sort=False)[SHOWN].mean()
    splits = table.groupby(["table", "generator"], sort=False)["split"].nunique()
    targets = targets_of(means)
    document = {
        "benchmark": "quality_tabular",
        "environment": environment(),
        "protocol": {
            "split": "RandomState(split).permutation(n), the first 70 % to train on",
            "two_sample_rows": C2ST_ROWS,
            "two_sample_lots": f"up to {C2ST_LOTS} (trees)",
            "privacy_rows": PRIVACY_ROWS,
            "privacy_rows_standard": STANDARD_ROWS,
            "sampled_rows": "as many as training rows",
            "left_out": "bikeshare: casual, registered; wage: logwage, region",
            "magic": "first 10,000 rows",
            "peers": "ctgan at its defaults, rows and seconds read from files",
        },
        "splits": {" / ".join(key): int(count) for key, count in splits.items()},
        "targets": [target.as_dict() for target in targets],
    }
    path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    return means, targets


def main():
    """Run the splits that are asked for and add them to the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--first-split", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=None, help="names of rows, 'real rows', CTGAN")
    parser.add_argument("--peer-samples", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=RESULTS / "quality_tabular.csv")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    records, means, targets = [], None, []
    for table in options.tables:
        for split in range(options.first_split, options.first_split + options.splits):
            for record in run_split(table, split, options):
                records.append({"table": table, "split": split, **record})
                print(
                    f"{table:10s} {split} {record['generator']:26s}"
                    + "".join(f" {name} {record[name]:.3f}" for name in SHOWN),
                    flush=True,
                )
            # after every split, so that a stopped run leaves what it has
            if records:
                means, targets = write(options.output, records)
    if means is not None:
        print(means.round(3).to_string())
        print_targets(targets)
        print(f"raw numbers in {options.output}")


if __name__ == "__main__":
    main()
