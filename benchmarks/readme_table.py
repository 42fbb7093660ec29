"""Write the tables of the README from the numbers in ``benchmarks/results/``.

``python benchmarks/readme_table.py`` prints them; ``--write`` puts them into README.md between
their markers; ``--check`` fails if README.md holds anything else.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
END = "<!-- end of table -->"


@dataclass
class Block:
    """One table: its file, the rows of it, and (column, header, decimals) of each score."""

    source: str
    table: str
    scores: tuple
    first: tuple = ()
    left_out: str = "stratified"

    @property
    def start(self):
        """Line of README.md before the table."""
        return f"<!-- table: {self.source} -->"

    def render(self):
        """Return the markdown: one row a generator, mean and spread over the splits."""
        results = pd.read_csv(ROOT / self.source)
        wanted = {"table", "generator", *(name for name, _, _ in self.scores)}
        missing = sorted(wanted - set(results.columns))
        if missing:
            sys.exit(f"{self.source} lacks the columns {missing}; it has {list(results.columns)}.")
        rows = results[results["table"] == self.table]
        rows = rows[~rows["generator"].str.contains(self.left_out)]
        if rows.empty:
            sys.exit(f"{self.source} has no rows of the table {self.table!r}.")
        lines = [
            "| generator | " + " | ".join(header for _, header, _ in self.scores) + " |",
            "|---|" + "---|" * len(self.scores),
        ]
        for generator in self.ordered(rows["generator"].unique()):
            group = rows[rows["generator"] == generator]
            cells = [spread(group[name], decimals) for name, _, decimals in self.scores]
            lines.append(f"| {generator} | " + " | ".join(cells) + " |")
        return "\n".join([self.start, *lines, END])

    def ordered(self, names):
        """Generators named in ``first`` come first."""
        return [*(name for name in self.first if name in names)] + [
            name for name in names if name not in self.first
        ]


BLOCKS = (
    Block(
        "benchmarks/results/quality_expression.csv",
        "SKCMPositive_4",
        (
            ("mean_ks", "mean KS", 3),
            ("corr_mae", "corr. error", 3),
            ("c2st_xgb", "tree C2ST", 2),
            ("coverage", "coverage", 2),
            ("dcr_share", "DCR share", 2),
            ("membership_auc", "membership", 2),
            ("fit_sample_cpu_s", "seconds", 1),
        ),
    ),
    Block(
        "benchmarks/results/quality_tabular.csv",
        "adult",
        (
            ("c2st_xgb", "tree C2ST", 3),
            ("trends", "pair trends", 3),
            ("tstr_ratio", "TSTR ratio", 3),
            ("dcr_share", "DCR share", 3),
            ("membership_auc", "membership", 3),
            ("cpu_s", "seconds", 1),
        ),
        first=(
            "fresh real rows (limit)",
            "TabularAR",
            "SequentialCART",
            "SequentialCART, classic",
            "TabularARGN (mostlyai-engine 2.7.3)",
        ),
        left_out="epochs",
    ),
)


def main():
    """Print, write or check the blocks."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    text = updated = readme.read_text(encoding="utf-8")
    for block in BLOCKS:
        rendered = block.render()
        pattern = re.compile(re.escape(block.start) + ".*?" + re.escape(END), re.DOTALL)
        if not pattern.search(updated):
            sys.exit(f"README.md lacks the markers {block.start} and {END}.")
        updated = pattern.sub(lambda _, rendered=rendered: rendered, updated)
        if not (args.write or args.check):
            print(rendered)
    if args.write:
        readme.write_text(updated, encoding="utf-8")
    elif args.check and updated != text:
        sys.exit("A table of README.md is not that of its file; run with --write.")


def spread(values, decimals):
    """Mean and standard deviation over the splits as text."""
    mean = f"{values.mean():.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{decimals}f}"


if __name__ == "__main__":
    main()
