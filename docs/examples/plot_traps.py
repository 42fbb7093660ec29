"""
Four traps of synthetic data
============================

Shuffled columns, copied rows, interpolated rows and collapsed columns each look perfect to some
metrics. Which numbers give them away?
"""

# %%
# A real table is cut in three: rows that "generators" are fitted to, rows to judge against, and
# fresh rows that show what an honest generator could reach at best.

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

frame = load_breast_cancer(as_frame=True).frame
frame["target"] = frame["target"].map({0: "malignant", 1: "benign"})
train, rest = train_test_split(frame, train_size=190, stratify=frame["target"], random_state=0)
holdout, fresh = train_test_split(rest, train_size=190, stratify=rest["target"], random_state=0)

# %%
# The traps take no model at all. Interpolated rows lie between a training row and one of its
# neighbours; the collapsed table returns the mean of every second column.

from synth_estimators import BootstrapRows, IndependentColumns, NeighborInterpolation

collapsed = BootstrapRows(random_state=1).fit(train).sample(len(train))
for name in train.columns[:-1:2]:
    collapsed[name] = train[name].mean()

tables = {
    "fresh real rows": fresh,
    "shuffled columns": IndependentColumns(random_state=0).fit(train).sample(len(train)),
    "copied rows": BootstrapRows(random_state=0).fit(train).sample(len(train)),
    "interpolated rows": NeighborInterpolation(random_state=0).fit(train).sample(len(train)),
    "collapsed columns": collapsed,
}

# %%
# One call judges a table. The numbers below are metrics that are often read alone, and then the
# ones that see each trap.

import warnings

from synth_estimators.report import evaluate_synthetic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    reports = {
        name: evaluate_synthetic(train, holdout, table, target="target", random_state=0)
        for name, table in tables.items()
    }
shown = [
    "column_shapes_score",
    "alpha_precision",
    "utility_ratio",
    "exact_copy_share",
    "column_pair_trends_score",
    "prdc_coverage",
    "c2st_auc",
    "dcr_share",
    "membership_auc",
]
values = pd.DataFrame({name: report.table["value"] for name, report in reports.items()})
values.loc[shown].round(2)

# %%
# Each report says in words what it objects to. Fresh rows raise no objection.

import textwrap

for name, report in reports.items():
    print(f"{name}:" if report.warnings else f"{name}: no objection")
    for finding in report.warnings:
        print(textwrap.fill(str(finding), 78, initial_indent="  - ", subsequent_indent="    "))

# %%
# Distances show two of the traps at a glance. For honest rows the distance to the nearest
# training row is distributed as that to the nearest held-out row; copies have a spike at zero,
# and interpolated rows a curve far to the left.

import matplotlib.pyplot as plt

from synth_estimators.inspection import PrivacyDisplay

figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained", sharex=True)
for ax, name in zip(axes, ["fresh real rows", "copied rows", "interpolated rows"], strict=True):
    PrivacyDisplay.from_predictions(train, holdout, tables[name], ax=ax)
    ax.set_title(name)
