"""
Generators of mixed tables side by side
=======================================

A sequence of trees, an autoregressive network, an autoencoder and two adversarial networks learn
the same rows. How real do their tables look to boosted trees, do they hold what matters for a
prediction, and how long did it take?
"""

# %%
# Simulated shop visits with what makes real tables hard: a spend that is mostly zero, a count,
# empty cells that depend on another column, a duration that follows from a count up to noise, and
# a target. Half of the rows are held out; they judge.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
n_rows = 3_000
region = rng.choice(["north", "south", "east", "west"], size=n_rows, p=[0.4, 0.3, 0.2, 0.1])
age = np.clip(rng.gamma(9, 4.5, n_rows), 18, 90).round()
pages = rng.poisson(np.where(region == "south", 12, 6))
minutes = (pages * rng.gamma(4, 0.4, n_rows)).round(1)
buys = rng.random(n_rows) < 1 / (1 + np.exp(2.5 - 0.15 * pages - 0.02 * (age - 40)))
spend = np.where(buys, rng.lognormal(3 + 0.01 * age, 0.6, n_rows), 0).round(2)
visits = pd.DataFrame(
    {
        "region": region,
        "age": age,
        "pages": pages,
        "minutes": minutes,
        "spend": spend,
        "member": rng.random(n_rows) < 0.2 + 0.3 * buys,
        "returns": rng.random(n_rows) < 0.15 + 0.5 * buys,
    }
)
visits.loc[(region == "west") & (rng.random(n_rows) < 0.5), "age"] = np.nan
train, holdout = visits[: n_rows // 2], visits[n_rows // 2 :].reset_index(drop=True)
train.head()

# %%
# Every generator is fitted as it comes, but for the epochs of the networks, which are few so that
# this page is made in half a minute. ``BootstrapRows`` copies, ``IndependentColumns`` ignores all
# dependence: ends of the scale.

from time import perf_counter

from synth_estimators.baselines import BootstrapRows, IndependentColumns, SequentialCART
from synth_estimators.tabular import ACTGAN, CTGAN, TVAE, TabularAR

generators = [
    TabularAR(max_epochs=20, random_state=0),
    SequentialCART(random_state=0),
    TVAE(max_epochs=30, random_state=0),
    CTGAN(max_epochs=30, random_state=0),
    ACTGAN(
        conditional_vector_type="anyway",
        conditional_select_mean_columns=2,
        max_epochs=30,
        random_state=0,
    ),
    IndependentColumns(random_state=0),
    BootstrapRows(random_state=0),
]
tables, seconds = {}, {}
for generator in generators:
    start = perf_counter()
    tables[type(generator).__name__] = generator.fit(train).sample(len(holdout))
    seconds[type(generator).__name__] = perf_counter() - start

# %%
# The tree C2ST is the AUC of boosted trees that tell rows from held-out ones: 0.5 is the best.
# The utility is the score of a model that predicts ``returns`` from sampled rows over that of one
# trained on real rows. The DCR share is that of rows nearer to a training row than to any held-out
# one: 0.5 for fresh rows, more for copies.

from synth_estimators.metrics import (
    c2st_auc,
    column_pair_trends_score,
    column_shapes_score,
    dcr_share,
    utility_ratio,
)

scores = pd.DataFrame(
    {
        name: {
            "shapes": column_shapes_score(holdout, rows),
            "trends": column_pair_trends_score(holdout, rows),
            "tree C2ST": c2st_auc(holdout, rows, random_state=0),
            "utility": utility_ratio(
                holdout, rows, X_train=train, target="returns", random_state=0
            ),
            "DCR share": dcr_share(X_train=train, X_holdout=holdout, X_synth=rows, random_state=0),
            "seconds": seconds[name],
        }
        for name, rows in tables.items()
    }
).T
scores.round(2)

# %%
# In the lower left corner are rows that trees take for real and that are not copied.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.axvline(0.5, color="lightgrey")
ax.axhline(0.5, color="lightgrey")
for name, row in scores.iterrows():
    ax.plot(row["DCR share"], row["tree C2ST"], "o", label=name)
ax.legend(frameon=False)
ax.set(xlabel="DCR share (copies: 1)", ylabel="tree C2ST (told apart: 1)")

# %%
# Single columns are nearly right in all of them; what involves several columns tells them apart.
# Adversarial networks need more epochs than they are given here, on longer tables than this one;
# the user guide says what each generator is for.
