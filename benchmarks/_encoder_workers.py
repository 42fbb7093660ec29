"""Encoders that ``tabular_encoder.py`` times, each in a process of the environment that has it.

A call fits, encodes and decodes the table of the task once and returns the CPU seconds of each
step; the mixtures of the simulated columns return the log-likelihoods of their rows as well.
"""

import time

import numpy as np
from _batch_peers import serve
from _tabular import discrete_names, unpack

_SUITE = ("synth-estimators", "numpy", "pandas")


def _clocked(steps):
    """Run steps in order, each with the result of the one before; return their CPU seconds."""
    seconds, value = {}, None
    for name, step in steps.items():
        start = time.process_time()
        value = step(value)
        seconds[name] = time.process_time() - start
    return seconds


def _encoder(data):
    from synth_estimators.preprocessing import TabularEncoder

    table = unpack(data)

    def call():
        encoder = TabularEncoder(discrete_columns=discrete_names(table), random_state=0)
        return _clocked(
            {
                "fit": lambda _: encoder.fit(table),
                "transform": lambda _: encoder.transform(table),
                "inverse": encoder.inverse_transform,
            }
        )

    return call


def _ctgan(data):
    from ctgan.data_transformer import DataTransformer

    table = unpack(data)

    def call():
        transformer = DataTransformer()
        return _clocked(
            {
                "fit": lambda _: transformer.fit(table, discrete_names(table)),
                "transform": lambda _: transformer.transform(table),
                "inverse": transformer.inverse_transform,
            }
        )

    return call


def mean_log_likelihood(values, weights, means, deviations):
    """Mean log-density of values in a mixture, in nats."""
    total = np.zeros(len(values))
    for weight, mean, deviation in zip(weights, means, deviations, strict=True):
        score = (values - mean) / deviation
        total += weight / deviation * np.exp(-0.5 * score**2)
    return float(np.log(total / np.sqrt(2 * np.pi)).mean())


def _all_columns(data):
    from synth_estimators.preprocessing import TabularEncoder

    X, scored = data["X"], int(data["scored"])

    def call():
        # No spikes: the mixture has to explain every row.
        encoder = TabularEncoder(spike_threshold=2.0, random_state=0)
        seconds = _clocked({"fit": lambda _: encoder.fit(X)})
        mixtures = [coder.codes.mixture for coder in encoder._coders]
        found = [
            mean_log_likelihood(X[:scored, j], m.weights / m.weights.sum(), m.means, m.deviations)
            for j, m in enumerate(mixtures)
        ]
        return {**seconds, "loglik": np.array(found)}

    return call


def _one_by_one(data):
    from sklearn.mixture import BayesianGaussianMixture

    X, scored, n_columns = data["X"], int(data["scored"]), int(data["peer_columns"])

    def call():
        spent, found = 0.0, []
        for values in X.T[:n_columns]:
            mixture = BayesianGaussianMixture(
                n_components=10,
                weight_concentration_prior_type="dirichlet_process",
                weight_concentration_prior=1e-3,
                random_state=0,
            )
            seconds = _clocked({"fit": lambda _, v=values, m=mixture: m.fit(v[:, None])})
            spent += seconds["fit"]
            deviations = np.sqrt(mixture.covariances_[:, 0, 0])
            parameters = (mixture.weights_, mixture.means_[:, 0], deviations)
            found.append(mean_log_likelihood(values[:scored], *parameters))
        return {"fit": spent / n_columns * X.shape[1], "loglik": np.array(found)}

    return call


METHODS = {
    "TabularEncoder": (_encoder, _SUITE),
    "DataTransformer (ctgan)": (_ctgan, ("ctgan", "rdt", "scikit-learn", "numpy", "pandas")),
    "TabularEncoder (all columns)": (_all_columns, _SUITE),
    "BayesianGaussianMixture (one by one)": (_one_by_one, ("scikit-learn", "numpy")),
}

if __name__ == "__main__":
    serve(METHODS)
