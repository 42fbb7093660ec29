"""
Counts of gene expression
=========================

A simulated table of counts with more genes than samples goes through a logarithm into a
variational autoencoder and comes back as counts. What is the difference between independent and
stratified rows?
"""

# %%
# The counts are negative binomial, with two groups of genes that rise and fall together and library
# sizes that vary.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
n_samples, n_genes = 240, 300
activity = rng.normal(size=(n_samples, 2))
loadings = np.zeros((2, n_genes))
loadings[0, :100] = rng.normal(0.5, 0.2, 100)
loadings[1, 80:180] = rng.normal(0.4, 0.2, 100)

log_mean = rng.normal(4.0, 1.2, n_genes) + activity @ loadings
mean = np.exp(log_mean + rng.normal(0.0, 0.2, (n_samples, 1)))
dispersion = 0.2
counts = pd.DataFrame(
    rng.negative_binomial(1 / dispersion, 1 / (1 + dispersion * mean)),
    columns=[f"gene_{index}" for index in range(n_genes)],
)
counts.iloc[:3, :6]

# %%
# ``Log2Transformer`` takes the table to the scale on which networks learn, and sampled rows back
# to whole numbers.

from synth_estimators import VAE, Log2Transformer, make_synthesis_pipeline

train, holdout = counts[:120], counts[120:]
pipe = make_synthesis_pipeline(Log2Transformer(round_counts=True), VAE(random_state=0))
pipe.fit(train)
pipe.sample(3).iloc[:, :6]

# %%
# Training stopped when the loss of validation rows no longer fell, and the weights of the marked
# epoch were kept.

from synth_estimators.inspection import EmbeddingDisplay, LossCurveDisplay

LossCurveDisplay.from_estimator(pipe)

# %%
# ``sample`` draws independent rows. ``stratified=True`` draws the table as a whole, so that the
# margins of its genes carry no sampling noise. The largest difference between the distribution
# functions of fresh real counts and sampled counts, averaged over genes, shows the effect; half
# of the rows of a stratified table are independent rows again, or nearly so.

from synth_estimators.metrics import column_shapes_score

independent = pipe.sample(len(holdout), random_state=1)
stratified = pipe.sample(len(holdout), stratified=True, random_state=1)
half = pipe.sample(2 * len(holdout), stratified=True, random_state=1).iloc[::2]
pd.Series(
    {
        "independent": 1 - column_shapes_score(holdout, independent),
        "stratified": 1 - column_shapes_score(holdout, stratified),
        "every second row of a stratified table": 1 - column_shapes_score(holdout, half),
        "training rows": 1 - column_shapes_score(holdout, train),
    },
    name="mean KS distance",
).round(3)

# %%
# On the logarithmic scale and along the first two principal components, which are the two groups of
# genes, sampled rows spread over the region of the held-out ones.

log_holdout, log_rows = np.log2(holdout + 1), np.log2(independent + 1)
EmbeddingDisplay.from_predictions(log_holdout, log_rows, random_state=0)
