"""
Rows of a kind: conditions on a mixed table
===========================================

A generator is asked for rows with given values, for rows in a range, and for the rest of rows of
which something is known. The table is simulated, so the true answer stands beside every sampled
one: which conditions are exact?
"""

# %%
# Customers of a gym. Whoever is on a dear plan is older and comes more often; many never come.

import numpy as np
import pandas as pd


def make_customers(n_rows, seed):
    rng = np.random.default_rng(seed)
    plan = rng.choice(["basic", "plus", "pro"], size=n_rows, p=[0.6, 0.3, 0.1])
    dear = pd.Series(plan).map({"basic": 0.0, "plus": 1.0, "pro": 2.0}).to_numpy()
    age = np.clip(rng.normal(30 + 8 * dear, 8), 18, 80).round().astype(int)
    visits = np.where(rng.random(n_rows) < 0.4 - 0.15 * dear, 0, rng.poisson(4 + 5 * dear))
    paid = (20 + 15 * dear + 1.5 * visits + rng.gamma(2.0, 4.0, size=n_rows)).round(2)
    paid[rng.random(n_rows) < 0.1] = np.nan
    joined = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, n_rows), "D")
    return pd.DataFrame(
        {"age": age, "joined": joined, "visits": visits, "paid": paid, "plan": plan}
    )


customers = make_customers(6_000, seed=0)
customers.head()

# %%
# ``TabularAR`` draws one column after another, so conditions on the first columns are exact.
# ``condition_columns`` puts columns there; without it the order is that of the table.

from synth_estimators.tabular import TabularAR

model = TabularAR(condition_columns=["plan"], max_epochs=30, random_state=0).fit(customers)
model.column_order_

# %%
# A condition is a value for all rows, or a table with one row for each row wanted.

model.sample(4, conditions={"plan": "pro"})

# %%

wanted = pd.DataFrame({"plan": ["basic", "basic", "pro"], "age": [20, 60, 60]})
model.sample(3, conditions=wanted)

# %%
# A condition on a column further back is met by candidates: twenty rows are drawn and one of them
# is kept, by the likelihood that the model gives to the wanted cell. Values that are common given
# the other cells are as good as exact; the rarest have few candidates to choose from.
#
# Who makes twelve visits? Of the table's customers, so many do; of the simulated ones that serve
# as the truth, as many as we like.

int((customers["visits"] == 12).sum())

# %%

truth = make_customers(300_000, seed=1)
asked = {
    "plan is pro (exact)": ({"plan": "pro"}, truth["plan"] == "pro"),
    "12 visits (resampled)": ({"visits": 12}, truth["visits"] == 12),
    "no visit, basic (both)": (
        {"visits": 0, "plan": "basic"},
        (truth["visits"] == 0) & (truth["plan"] == "basic"),
    ),
}
rows = {name: model.sample(2_000, conditions=given) for name, (given, _) in asked.items()}

# %%
# Ranges and other clauses are met by drawing again until enough rows fit. ``where`` takes clauses
# as the command line does, or functions of a table.

model.sample(4, where=["plan=plus", "age>=50", "visits>0"])

# %%
# ``ConstrainedGenerator`` brings all this to any generator, and keeps rules on the way.

from synth_estimators.baselines import SequentialCART
from synth_estimators.tabular import ConstrainedGenerator, CustomConstraint

gym = ConstrainedGenerator(
    SequentialCART(random_state=0),
    constraints=[CustomConstraint(lambda table: ~(table["paid"] < 20), columns=["paid"])],
    random_state=0,
).fit(customers)
regulars = gym.sample(500, where=["plan=plus", "age>=40", "visits>0"])
regulars.describe().loc[["count", "min", "max"], ["age", "visits", "paid"]]

# %%
# The report says how many rows were drawn for that. Where the share is small, a generator that
# follows conditions saves the difference.

gym.sampling_report_.acceptance

# %%
# Rows of which some columns are known are completed, and keep their index.

known = customers.loc[[5, 17, 42], ["age", "plan"]]
gym.sample_remaining_columns(known)

# %%
# The ages of the three requests above, sampled and true.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
bins = np.arange(18, 82, 4)
for ax, (name, (_, fits)) in zip(axes, asked.items(), strict=True):
    ax.hist(truth.loc[fits, "age"], bins, density=True, color="lightgrey", label="true")
    ax.hist(rows[name]["age"], bins, density=True, histtype="step", lw=1.8, label="sampled")
    ax.set(title=name, xlabel="age")
axes[0].set_ylabel("density")
axes[0].legend(frameon=False)

# %%
# The ages follow the request in all three panels, though the model was trained once and on no
# request in particular.
