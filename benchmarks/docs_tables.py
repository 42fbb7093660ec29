"""Write the tables of ``docs/user_guide/tabular.rst`` from ``benchmarks/results/``.

``python benchmarks/docs_tables.py`` prints them; ``--write`` puts them into the chapter between
their markers; ``--check`` fails if the chapter holds anything else.
"""

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "benchmarks" / "results" / "quality_tabular.csv"
CHAPTER = ROOT / "docs" / "user_guide" / "tabular.rst"

LIMIT = "fresh real rows"
PEERS = {"CTGAN": "ctgan", "ACTGAN": "gretel-synthetics", "TVAE": "ctgan"}
SCORES = {"c2st_xgb": 3, "membership_auc": 3, "tstr_ratio": 2, "cpu_s": 0}
LARGE = {
    "adult": "22,792 x 15",
    "default": "21,000 x 24",
    "shoppers": "8,631 x 18",
    "magic": "7,000 x 11",
    "bikeshare": "6,052 x 13",
    "wage": "2,100 x 9",
}
SMALL = [
    f"{name}-{rows}" for name in ("adult", "shoppers", "default") for rows in (1000, 2000, 4000)
]
WEAK = [f"weak{count}-{rows}" for count in (20, 30) for rows in (1000, 3500)]


def cell(results, table, name, scores):
    """Means over the splits, joined by slashes; a dash where nothing was run."""
    generator = results["generator"]
    chosen = generator == name
    if "epochs" not in name:  # a peer is named without its version
        chosen |= generator.str.startswith(f"{name} (")
    rows = results[(results["table"] == table) & chosen]
    if rows.empty:
        return "–"
    return " / ".join(f"{rows[score].mean():.{digits}f}" for score, digits in scores.items())


def list_table(header, rows):
    """Return a table of reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'* -' if not k else '  -'} {entry}" for k, entry in enumerate(row)]
    return "\n".join(lines)


def large(results):
    """TabularAR beside the forest, the strongest peer and the limit."""
    names = ["TabularAR", "SequentialCART", "TabularARGN", LIMIT]
    return list_table(
        ["rows x columns", "TabularAR", "SequentialCART", "TabularARGN", LIMIT],
        [
            [f"{table}, {size}", *(cell(results, table, name, SCORES) for name in names)]
            for table, size in LARGE.items()
        ],
    )


def small(results):
    """TabularAR beside the forest on few rows."""
    names = ["TabularAR", "SequentialCART"]
    rows = []
    for table in (*SMALL, *WEAK):
        base, _, size = table.partition("-")
        title = f"{base.removeprefix('weak')} weak predictors" if base.startswith("weak") else base
        cells = [cell(results, table, name, SCORES) for name in names]
        rows.append([f"{title}, {int(size):,}", *cells])
    return list_table(["table, rows", *names], rows)


def epochs(results):
    """The published networks beside the programs they are named after."""
    scores = {"shapes": 2, "c2st_xgb": 3, "tstr_ratio": 2}
    rows = []
    for table in ("adult", "shoppers", "magic"):
        for count in (10, 50):
            row = [f"{table}, {count}"]
            for name, package in PEERS.items():
                title = f"{name}, {count} epochs"
                theirs = results["generator"].str.startswith(f"{title} ({package}")
                peer = results["generator"][theirs].unique()
                row.append(cell(results, table, title, scores))
                row.append(cell(results, table, peer[0], scores) if len(peer) else "–")
            rows.append(row)
    header = ["table, epochs"]
    for name, package in PEERS.items():
        header += [name, package]
    return list_table(header, rows)


TABLES = {"large": large, "small": small, "epochs": epochs}


def main():
    """Print, write or check the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    args = parser.parse_args()
    results = pd.read_csv(SOURCE)
    text = updated = CHAPTER.read_text(encoding="utf-8")
    for name, build in TABLES.items():
        start, end = f".. table: {name}\n", f"\n.. end of table: {name}\n"
        block = f"{start}\n{build(results)}\n{end}"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(updated):
            sys.exit(f"{CHAPTER.name} lacks the markers {start!r} and {end!r}.")
        updated = pattern.sub(lambda _, block=block: block, updated)
        if not (args.write or args.check):
            print(block)
    if args.write:
        CHAPTER.write_text(updated, encoding="utf-8")
    elif args.check and updated != text:
        sys.exit("A table of the chapter is not that of its file; run with --write.")


if __name__ == "__main__":
    main()
