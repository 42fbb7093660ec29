"""
How many samples, and what is a synthetic one worth
===================================================

A pilot of 120 simulated expression profiles is on the table. How many samples will a study need for
a classifier to reach a given AUC, and do synthetic rows spare any of them?
"""

# %%
# Counts of 100 genes in two groups; every fifth gene differs a little between them.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
n_samples, n_genes = 120, 100
group = np.repeat(["control", "case"], n_samples // 2)
effect = np.where(np.arange(n_genes) % 5 == 0, 0.35, 0.0)
pathways = rng.normal(size=(n_samples, 3)) @ rng.normal(0.0, 0.4, size=(3, n_genes))
log_mean = rng.normal(4.0, 1.0, n_genes) + pathways + np.outer(group == "case", effect)
X = pd.DataFrame(
    rng.negative_binomial(4, 4 / (4 + np.exp(log_mean))),
    columns=[f"gene_{index}" for index in range(n_genes)],
)

# %%
# ``evaluate_sample_sizes`` draws stratified subsets of the pilot and cross-validates classifiers
# on each. One row of the result is one subset and one classifier.

from synth_estimators.model_selection import evaluate_sample_sizes

scores = evaluate_sample_sizes(
    X,
    group,
    sample_sizes=[20, 30, 40, 60, 80, 100, 120],
    methods=["LOGIS", "SVM", "RF"],
    n_draws=8,
    apply_log=True,
    random_state=0,
)
scores.head()

# %%
# A curve through the means of the draws, with a band that resamples the draws, says how many
# samples to train on the goal takes. Every answer comes with an interval, and with the share of
# resampled curves that reach the goal at all.

from synth_estimators.model_selection import fit_curve

goal = 0.9
curves = {
    name: fit_curve(part, score="auc", random_state=0) for name, part in scores.groupby("method")
}
needed = {name: curve.required_n(goal) for name, curve in curves.items()}
pd.DataFrame(needed, index=["n", "low", "high", "p_reachable", "extrapolated"]).T

# %%

from synth_estimators.inspection import SynthLearningCurveDisplay

SynthLearningCurveDisplay.from_table(
    scores, score="auc", curves=curves, by="method", target=goal, reach=3
)

# %%
# Can synthetic rows replace some of them? ``GeneratorLearningCurve`` holds real folds out from
# the generator and the classifiers alike. ``augmented`` adds four synthetic rows to each real
# one; ``bootstrap`` adds as many copies, which is the control for more rows without new
# information.

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synth_estimators import CalibratedGaussian, Log2Transformer, TransformedGenerator
from synth_estimators.model_selection import GeneratorLearningCurve

generator = TransformedGenerator(CalibratedGaussian(), transformer=Log2Transformer())
curve = GeneratorLearningCurve(
    generator,
    {"logistic": make_pipeline(Log2Transformer(), StandardScaler(), LogisticRegression())},
    train_sizes=[24, 36, 54, 80],
    regimes=("real", "augmented", "bootstrap"),
    ratios=(4,),
    cv=4,
    n_draws=3,
    random_state=0,
).fit(X, group)
SynthLearningCurveDisplay.from_estimator(curve)

# %%
# The difference to the bootstrap control, on the same test folds, with an interval that allows
# for the overlap of their training rows. Rows drawn from the pilot itself bring this classifier
# nothing that the pilot did not hold.

curve.compare("augmented_4", "bootstrap_4")[["n_train", "difference", "low", "high", "pvalue_holm"]]
