"""Write the table of the README from the numbers in ``benchmarks/results/``.

``python benchmarks/readme_table.py`` prints the block; ``--write`` puts it into README.md between
its markers; ``--check`` fails if README.md holds anything else.
"""

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "benchmarks/results/quality_expression.csv"
START = f"<!-- table: {SOURCE} -->"
END = "<!-- end of table -->"

# Column of the file, header in the table, decimals.
SCORES = (
    ("mean_ks", "mean KS", 3),
    ("corr_mae", "corr. error", 3),
    ("c2st_xgb", "tree C2ST", 2),
    ("coverage", "coverage", 2),
    ("dcr_share", "DCR share", 2),
    ("membership_auc", "membership", 2),
    ("fit_sample_cpu_s", "seconds", 1),
)


def main():
    """Print, write or check the block."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", default="SKCMPositive_4", help="value of the column `table`")
    parser.add_argument(
        "--stratified", action="store_true", help="stratified instead of independent rows"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    args = parser.parse_args()
    block = make_block(pd.read_csv(ROOT / SOURCE), table=args.table, stratified=args.stratified)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"README.md lacks the markers {START} and {END}.")
    updated = pattern.sub(lambda _: block, text)
    if args.write:
        readme.write_text(updated, encoding="utf-8")
    elif args.check:
        if updated != text:
            sys.exit("The table of README.md is not that of the file; run with --write.")
    else:
        print(block)


def make_block(results, *, table, stratified):
    """Return the markdown block: one row a generator, mean and spread over the splits."""
    wanted = {"table", "generator", *(name for name, _, _ in SCORES)}
    missing = sorted(wanted - set(results.columns))
    if missing:
        sys.exit(f"{SOURCE} lacks the columns {missing}; it has {list(results.columns)}.")
    names = results["generator"]
    # Limits, such as the training rows, and baselines without a mode are drawn in one way only.
    is_wanted = names.str.contains("stratified") == stratified
    rows = results[(results["table"] == table) & (is_wanted | names.str.contains("limit"))]
    if rows.empty:
        sys.exit(f"{SOURCE} has no such rows of the table {table!r}.")
    lines = [
        "| generator | " + " | ".join(header for _, header, _ in SCORES) + " |",
        "|---|" + "---|" * len(SCORES),
    ]
    for generator, group in rows.groupby("generator", sort=False):
        cells = [spread(group[name], decimals) for name, _, decimals in SCORES]
        lines.append(f"| {generator} | " + " | ".join(cells) + " |")
    return "\n".join([START, *lines, END])


def spread(values, decimals):
    """Mean and standard deviation over the splits as text."""
    mean = f"{values.mean():.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{decimals}f}"


if __name__ == "__main__":
    main()
