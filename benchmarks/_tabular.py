"""The mixed tables of the quality benchmarks and how they are split.

A table is named by its file ("adult"), by its file and the rows to train on ("adult-1000"), or,
where it is simulated, by the number of its weak predictors and the rows to train on
("weak20-1000"). This module needs numpy and pandas alone, so that scripts that run a peer in an
environment of its own can use it.
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
#: Samples of the larger tables, a small table, and simulated ones (see ``make_weak``).
SMALL = {
    "wage": "wage",
    **{
        f"{name}-{rows}": TARGETS[name]
        for name in ("adult", "shoppers", "default")
        for rows in (1_000, 2_000, 4_000)
    },
}
WEAK = {f"weak{count}-{rows}": "target" for count in (20, 30) for rows in (1_000, 3_500)}
_LEFT_OUT = {"bikeshare": ["casual", "registered"], "wage": ["logwage", "region"]}
_MAGIC_ROWS = 10_000
_MISSING = "missing"
_HELD_OUT = 4_000  # beside a sample of a larger table
_HELD_OUT_WEAK = 12_000  # weak predictors need many rows to tell two models apart


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


def read_split(name, split):
    """Training and held-out rows of a named table."""
    base, _, rows = name.partition("-")
    if name in WEAK:
        count, rows = int(base.removeprefix("weak")), int(rows)
        table = make_weak(rows + _HELD_OUT_WEAK, count, seed=split)
        return table.head(rows), table.tail(_HELD_OUT_WEAK).reset_index(drop=True)
    table = read_table(base)
    if not rows:
        return split_table(table, split)
    order = np.random.RandomState(split).permutation(len(table))
    ends = int(rows), int(rows) + _HELD_OUT
    return (
        table.iloc[order[: ends[0]]].reset_index(drop=True),
        table.iloc[order[ends[0] : ends[1]]].reset_index(drop=True),
    )


def make_weak(n_rows, n_predictors, *, seed):
    """Simulate a binary target, true in 15 % of rows, of which every predictor tells a little.

    The predictors share a common factor. In turn they are normal, skewed amounts rounded to tens,
    amounts with three of four at zero, counts, and (three of seven) levels of unequal shares.
    """
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal(n_rows)
    columns, score = {}, rng.logistic(size=n_rows)
    # the law is the same in every split; only the rows are drawn anew
    law = np.random.default_rng(n_predictors)
    for j in range(n_predictors):
        loading, effect = law.uniform(-0.6, 0.6), law.choice([-1.0, 1.0]) * law.uniform(0.1, 0.4)
        shares = law.dirichlet(np.full(law.integers(2, 7), 3.0))
        latent = loading * factor + np.sqrt(1 - loading**2) * rng.standard_normal(n_rows)
        score += effect * latent
        columns[f"x{j}"] = _weak_column(j % 7, latent, shares, rng)
    target = np.where(score > np.quantile(score, 0.85), "yes", "no")
    return pd.DataFrame({**columns, "target": target})


def _weak_column(kind, latent, shares, rng):
    """Give a standard normal column one of the forms of ``make_weak``."""
    if kind == 0:
        return latent.round(2)
    if kind == 1:
        return 10 * np.exp(4 + 0.8 * latent).round().astype(np.int64)
    if kind == 2:
        return np.where(latent > 0.67, np.exp(5 * latent).round(), 0.0).astype(np.int64)
    if kind == 3:
        return rng.poisson(np.exp(1 + 0.5 * latent))
    edges = np.cumsum(shares)[:-1]
    uniform = pd.Series(latent).rank(pct=True).to_numpy()
    return np.array([f"l{k}" for k in range(len(shares))])[np.searchsorted(edges, uniform)]


def make_wide(n_rows, n_columns, *, seed=0, n_levels=None):
    """Simulate a table in which columns of numbers and of text take turns.

    Eight factors drive all columns. Of four numeric columns one is half zeros and one is rounded;
    text columns have 2 to 50 levels. With ``n_levels`` the last column has so many, of equal
    shares, each at least once.
    """
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_rows, 8))
    columns = {}
    for j in range(n_columns):
        latent = factors @ rng.normal(0, 0.3, 8) + 0.5 * rng.standard_normal(n_rows)
        if j % 2:
            count = int(rng.integers(2, 51))
            edges = np.quantile(latent, np.cumsum(rng.dirichlet(np.ones(count)))[:-1])
            codes, prefix = np.searchsorted(edges, latent), f"c{j}_"
            columns[f"x{j}"] = np.array([f"{prefix}{k}" for k in range(count)])[codes]
        elif j % 8 == 2:
            columns[f"x{j}"] = np.where(latent > 0, np.exp(2 * latent).round(2), 0.0)
        else:
            columns[f"x{j}"] = latent.round(1) if j % 8 == 4 else latent
    if n_levels is not None:
        codes = rng.permutation(np.arange(n_rows) % n_levels)
        columns[f"x{n_columns - 1}"] = np.array([f"level {k}" for k in range(n_levels)])[codes]
    return pd.DataFrame(columns)


def pack(table):
    """Return the columns as arrays that ``np.savez`` keeps without pickling."""
    return {
        f"{position:04d}:{name}": table[name].to_numpy()
        if pd.api.types.is_numeric_dtype(table[name])
        else table[name].to_numpy().astype(str)
        for position, name in enumerate(table)
    }


def unpack(arrays):
    """Return the table of ``pack``; arrays without a position are left.

    Equal texts of a column are one object, as in tables that pandas reads from files.
    """
    names = sorted(name for name in arrays if name[:4].isdigit() and name[4:5] == ":")
    columns = {name[5:]: arrays[name] for name in names}
    for name, values in columns.items():
        if values.dtype.kind == "U":
            codes, levels = pd.factorize(values.astype(object))
            columns[name] = levels[codes]
    return pd.DataFrame(columns)


def discrete_names(table):
    """Columns of text, of truth values, and of at most two numbers."""
    return [
        name
        for name in table
        if not pd.api.types.is_numeric_dtype(table[name])
        or pd.api.types.is_bool_dtype(table[name])
        or table[name].nunique() <= 2
    ]
