"""The mixed tables of the quality benchmarks and how they are split.

This module needs numpy and pandas alone, so that scripts that run a peer in an environment of its
own can use it.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

#: Column that the utility is measured on.
TARGETS = {
    "adult": "income",
    "shoppers": "Revenue",
    "magic": "class",
    "bikeshare": "bikers",
    "default": "default_next_month",
    "wage": "wage",
}
_LEFT_OUT = {"bikeshare": ["casual", "registered"], "wage": ["logwage", "region"]}
_MAGIC_ROWS = 10_000
_MISSING = "missing"


def data_folder():
    """Return the folder with the tables, or leave with a message."""
    folder = os.environ.get("SYNTH_ESTIMATORS_DATA")
    if not folder:
        sys.exit("Set SYNTH_ESTIMATORS_DATA to the folder that holds tabular/ with the tables.")
    return Path(folder) / "tabular"


def read_table(name, path=None):
    """Read a table; missing cells of text columns become a level of their own."""
    table = pd.read_csv(path or data_folder() / f"{name}.csv")
    table = table.drop(columns=[c for c in _LEFT_OUT.get(name, []) if c in table])
    if path is None and name == "magic":
        table = table.head(_MAGIC_ROWS)
    text = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
    table[text] = table[text].fillna(_MISSING)
    return table


def split_table(table, split):
    """70 % of the rows to train on, the others held out."""
    order = np.random.RandomState(split).permutation(len(table))
    n_train = int(0.7 * len(table))
    return (
        table.iloc[order[:n_train]].reset_index(drop=True),
        table.iloc[order[n_train:]].reset_index(drop=True),
    )


def discrete_names(table):
    """Columns of text, of truth values, and of at most two numbers."""
    return [
        name
        for name in table
        if not pd.api.types.is_numeric_dtype(table[name])
        or pd.api.types.is_bool_dtype(table[name])
        or table[name].nunique() <= 2
    ]
