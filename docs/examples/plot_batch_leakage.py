"""
Correcting batches without leaking the answer
=============================================

Columns of pure noise, measured in two batches that follow the classes. There is nothing to
predict: an honest cross-validated AUC is near one half. Which ways of correcting get there?
"""

# %%
# Eighty samples of 400 columns. A sample lies in the batch of its class with probability 0.85, and
# each batch shifts every column by a constant of its own. Batch and outcome are columns.

import numpy as np
import pandas as pd


def study(seed, *, follows=0.85, difference=0.0, shift=1.0):
    rng = np.random.default_rng(seed)
    outcome = np.repeat([0, 1], 40)
    batch = np.where(rng.random(80) < follows, outcome, 1 - outcome)
    values = rng.normal(size=(80, 400)) + shift * rng.normal(size=(2, 400))[batch]
    values[:, :20] += difference * outcome[:, None]
    X = pd.DataFrame(values).add_prefix("feature_")
    X["site"] = np.where(batch == 0, "Basel", "Lyon")
    return X, pd.Series(outcome, name="outcome")


X, y = study(0)
pd.crosstab(X["site"], y)

# %%
# The same classifier and folds, four orders of work. ``ComBat`` takes the batch from the column
# named ``site`` and hands on the other columns. Inside the pipeline it is fitted on the training
# rows of each fold; outside, every row has a say in the correction of every other.

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators.batch_effects import ComBat

classifier = make_pipeline(StandardScaler(), LogisticRegression())


def auc(model, X, y, seed):
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return cross_val_score(model, X, y, cv=folds, scoring="roc_auc").mean()


def four_orders(seed):
    X, y = study(seed)
    with_outcome = ComBat(batch="site", covariates=["outcome"])
    return {
        "not corrected": auc(classifier, X.drop(columns="site"), y, seed),
        "all rows, with the outcome": auc(
            classifier, with_outcome.fit_transform(X.assign(outcome=y)), y, seed
        ),
        "all rows, without it": auc(classifier, ComBat(batch="site").fit_transform(X), y, seed),
        "inside the fold": auc(make_pipeline(ComBat(batch="site"), classifier), X, y, seed),
    }


scores = pd.DataFrame([four_orders(seed) for seed in range(15)])
scores.describe().loc[["mean", "std", "min", "max"]].round(2)

# %%
# Uncorrected, the classifier reads the batch, and through it the class. Given the outcome as a
# covariate, ComBat keeps a class difference that is only noise and takes the rest of the batch away
# around it: the features now predict the class almost perfectly. Without the outcome but on all
# rows, the batches have equal means over the whole table; whatever a training fold has too much
# of, its test fold has too little of, and the AUC falls far below one half.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
rng = np.random.default_rng(0)
ax.set(xlabel="cross-validated AUC on pure noise", xlim=(-0.02, 1.02))
ax.set_yticks(range(scores.shape[1]), scores.columns[::-1])
ax.axvline(0.5, color="grey", linestyle="--", linewidth=1)
for position, name in enumerate(scores.columns[::-1]):
    height = position + rng.uniform(-0.15, 0.15, len(scores))
    ax.plot(scores[name], height, "o", alpha=0.5)
    ax.plot(scores[name].mean(), position, "|", color="black", markersize=22)

# %%
# And where there is something to find? Below, twenty columns differ between the classes ("signal"),
# or none do ("noise"), and batches follow the classes by chance, somewhat, or closely. "No batches"
# is the same study without batch effects: what an ideal correction would reach.
# With ``preserve_y="fit_only"`` the fit estimates the differences between the classes beside the
# batches, shrinks them over all columns, and keeps what is left.


def compare(follows, difference):
    rows = []
    for seed in range(6):
        X, y = study(seed, follows=follows, difference=difference)
        clean, _ = study(seed, follows=follows, difference=difference, shift=0.0)
        plain = make_pipeline(ComBat(batch="site"), classifier)
        keeping = make_pipeline(ComBat(batch="site", preserve_y="fit_only"), classifier)
        rows.append(
            {
                "no batches": auc(classifier, clean.drop(columns="site"), y, seed),
                "not corrected": auc(classifier, X.drop(columns="site"), y, seed),
                "ComBat": auc(plain, X, y, seed),
                'preserve_y="fit_only"': auc(keeping, X, y, seed),
            }
        )
    return pd.DataFrame(rows).mean()


shares = [0.5, 0.7, 0.85]
noise, signal = (
    pd.DataFrame({share: compare(share, difference) for share in shares}).T
    for difference in (0.0, 0.6)
)
pd.concat({"noise": noise, "signal": signal}).round(2)

# %%
# Where batches are balanced, either correction gives back what the batches hid. The closer they
# follow the classes, the more of the signal goes with plain ComBat, which errs on the safe side:
# what batches and classes share is taken for the batches. Keeping the clear differences between the
# classes brings the AUC back to that without batches. It is not free: where batches follow the
# classes closely, some noise passes for a difference, and the AUC on noise rises a little above
# one half, though far less than without any correction. No method separates in full what the
# design of a study has tied together.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, (kind, values) in zip(axes, {"noise": noise, "signal": signal}.items(), strict=True):
    for name, marker in zip(values.columns, "sov^", strict=True):
        ax.plot(values.index, values[name], marker=marker, label=name)
    ax.set(title=kind, xlabel="probability of the batch of one's class", xticks=shares)
axes[0].set_ylabel("cross-validated AUC")
_ = axes[0].legend()
