import pickle

import pytest

from synth_estimators import metrics
from synth_estimators.metrics import METRICS


def test_every_metric_is_public_and_named_as_in_the_table():
    for name, info in METRICS.items():
        assert getattr(metrics, name) is info.function
        assert info.function.__name__ == name


def test_all_is_sorted_and_complete():
    assert all(hasattr(metrics, name) for name in metrics.__all__)
    assert set(METRICS) <= set(metrics.__all__)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_entries_are_consistent(name):
    info = METRICS[name]
    assert info.low <= info.ideal <= info.high
    keywords = info.function.__kwdefaults__
    accepted = set(info.function.__code__.co_varnames)
    assert {"discrete_columns", "breakdown"} <= set(keywords)
    assert set(info.needs) - {"column"} <= accepted
    assert pickle.loads(pickle.dumps(info)) == info


def test_names_tell_the_direction():
    # A published name: the share of identifiable rows.
    assert not METRICS["identifiability_score"].greater_is_better
    for name, info in METRICS.items():
        if name == "identifiability_score":
            continue
        if name.endswith(("_score", "_complement", "_coverage", "_precision", "_recall")):
            assert info.greater_is_better, name
        if name.endswith(("_distance", "_gap")):
            assert not info.greater_is_better, name
