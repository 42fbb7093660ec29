"""
Three corrections against the truth
===================================

Known batch effects are put into a clean table and taken out again in three ways. Since the clean
table is there, one can see what each way leaves behind, and what it takes along.
"""

# %%
# 150 samples of three stages of a disease, with ten informative markers, two clusters of
# correlated ones, and noise.

from synth_estimators.datasets import make_biomedical

X, stage, truth = make_biomedical(
    [{"n_samples": 50, "label": name} for name in ("healthy", "mild", "severe")],
    informative=10,
    class_sep=[0.8, 0.8],
    clusters=[
        {"n_features": 6, "correlation": 0.7, "effect": 1.0},
        {"n_features": 6, "correlation": 0.5},
    ],
    n_noise=60,
    random_state=0,
)

# %%
# Three batches shift and scale every column in a way of their own. Batches follow the stages to
# some degree, as they do where samples are measured in the order in which patients come in.

import pandas as pd

from synth_estimators.batch_effects import BatchEffectSimulator, attach_batch

simulator = BatchEffectSimulator(
    n_batches=3,
    effect_type="both",
    effect_strength=0.5,
    positive_factors=True,
    confounding_with_class=0.5,
    random_state=0,
)
measured = attach_batch(simulator.fit_transform(X, stage), simulator.labels_)
pd.crosstab(measured["batch"], stage)

# %%
# ``LimmaBatchRemover`` corrects means, ``ComBat`` means and spreads. Neither knows the stages; with
# ``preserve_y="fit_only"`` the fit does, and the correction of a row still does not ask for its
# stage.

from synth_estimators.batch_effects import ComBat, LimmaBatchRemover

correctors = {
    "limma": LimmaBatchRemover(),
    "ComBat": ComBat(),
    "ComBat, stages kept": ComBat(preserve_y="fit_only"),
}
tables = {"measured": measured.drop(columns="batch")}
tables |= {name: model.fit_transform(measured, stage) for name, model in correctors.items()}
tables["clean"] = X

# %%
# Limma leaves the spreads of the batches apart, which the Levene statistic sees. Plain ComBat
# equalises them and mixes the batches, but a part of the difference between the stages is gone,
# because the stages differ between batches. Distances to the clean table are taken after centring
# every column: nobody can know where it was before all the batches were moved.

from synth_estimators.batch_effects import batch_metrics

rows = {}
for name, table in tables.items():
    found = batch_metrics(table, simulator.labels_, stage, random_state=0)
    gap = (table - table.mean()) - (X - X.mean())
    rows[name] = {
        "share of batch": found["pvca_batch"],
        "share of stage": found["pvca_label"],
        "Levene": found["levene_median"],
        "distance to clean": (gap**2).to_numpy().mean() ** 0.5,
    }
pd.DataFrame(rows).T.round(3)

# %%
# The difference between severe cases and healthy samples, column by column, against that of the
# clean table. Below the diagonal, the correction has taken a part of the disease for the batch.

import matplotlib.pyplot as plt


def difference(table):
    means = table.groupby(stage.to_numpy()).mean()
    return means.loc["severe"] - means.loc["healthy"]


informative = X.columns[truth.informative_indices]
figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes, list(tables)[:-1], strict=True):
    ax.axline((0, 0), slope=1, color="grey", linewidth=1)
    ax.scatter(difference(X), difference(tables[name]), s=10, alpha=0.5, label="all columns")
    ax.scatter(
        difference(X)[informative], difference(tables[name])[informative], s=14, label="informative"
    )
    ax.set(title=name, xlabel="severe - healthy, clean")
axes[0].set_ylabel("severe - healthy, this table")
_ = axes[0].legend()

# %%
# The display of it in one call, for the last of the three. The batches fall together. That the
# silhouette of the stages goes down is no loss: before, batches that follow the stages held them
# apart. Their share of the variance has grown.

from synth_estimators.inspection import BatchEffectDisplay

BatchEffectDisplay.from_data(
    before=tables["measured"],
    after=tables["ComBat, stages kept"],
    batch=simulator.labels_,
    label=stage,
    random_state=0,
)
