import numpy as np
import pandas as pd
import pytest

from synth_estimators._distances import nearest_rows
from synth_estimators._mixing import neighbor_weights
from synth_estimators.metrics import kbet_acceptance, lisi


@pytest.fixture
def cloud():
    X = np.random.default_rng(0).normal(size=(400, 3))
    return X, np.tile(["a", "b"], 200)


def test_weights_agree_with_another_implementation():
    X = np.random.default_rng(5).normal(size=(200, 3))
    chance = 0.5 + 0.3 * np.sign(X[:, 0])
    labels = np.where(np.random.default_rng(6).random(200) < chance, "a", "b")
    # harmonypy 0.0.10 takes 89 neighbours, the row itself being the 90th.
    distance, index = nearest_rows(X, X, k=89, exclude_self=True)
    weight = neighbor_weights(distance, 30.0)
    values = 1.0 / sum((weight * (labels[index] == b)).sum(axis=1) ** 2 for b in "ab")
    expected = [1.93463791, 1.88346298, 1.58964796, 1.69428102, 1.30764158]
    np.testing.assert_allclose(values[:5], expected, atol=1e-7)
    assert np.median(values) == pytest.approx(1.713313648649552, abs=1e-7)
    assert lisi(X, labels) == pytest.approx(1.7133, abs=0.01)


def test_weights_have_the_perplexity_asked_for():
    distance = np.sort(np.random.default_rng(0).gamma(2.0, size=(50, 90)), axis=1)
    weight = neighbor_weights(np.vstack([distance * 1e-4, distance * 1e4]), 30.0)
    entropy = -(weight * np.log(np.maximum(weight, 1e-300))).sum(axis=1)
    np.testing.assert_allclose(np.exp(entropy), 30.0, rtol=1e-4)
    np.testing.assert_allclose(neighbor_weights(np.zeros((2, 90)), 30.0), 1 / 90)


def test_mixed_and_separate_batches(cloud):
    X, batch = cloud
    assert 1.9 < lisi(X, batch) <= 2.0
    assert lisi(X, batch, rescale=True) == pytest.approx(lisi(X, batch) - 1.0)
    apart = X + 50.0 * (batch == "a")[:, None]
    assert lisi(apart, batch) == 1.0
    assert lisi(apart, batch, rescale=True) == 0.0
    assert kbet_acceptance(X, batch, n_rows=None) > 0.9
    assert kbet_acceptance(apart, batch, random_state=0) == 0.0


def test_rows_and_labels_may_come_in_any_form(cloud):
    X, batch = cloud
    value = lisi(X, batch)
    assert lisi(pd.DataFrame(X), pd.Series(batch, dtype="category")) == value
    order = np.random.default_rng(1).permutation(400)
    assert lisi(X[order], batch[order]) == pytest.approx(value, abs=1e-9)
    numbers = (batch == "b").astype(float)
    assert lisi(X, numbers) == value
    assert kbet_acceptance(X, numbers, n_rows=None) == kbet_acceptance(X, batch, n_rows=None)
    found = lisi(X, batch, breakdown=True)
    assert found.details["label"].tolist() == batch.tolist()
    assert found.score == found.details["lisi"].median() == found.lisi
    assert found.n_neighbors == 90


def test_unequal_batches_mix_to_fewer_labels(cloud):
    X, _ = cloud
    labels = np.repeat(["a", "b"], [320, 80])
    assert lisi(X, labels) == pytest.approx(1 / (0.8**2 + 0.2**2), abs=0.08)


def test_mixed_tables_need_the_standard_space(cloud):
    X, batch = cloud
    table = pd.DataFrame(X).assign(kind=np.where(X[:, 0] > 0, "x", "y"))
    assert 1.85 < lisi(table, batch, space="standard") <= 2.0
    with pytest.raises(ValueError, match="space='identity' takes numeric columns only"):
        lisi(table, batch)


def test_few_rows_lower_the_perplexity(cloud):
    X, batch = cloud
    with pytest.warns(UserWarning, match="lowered to 13, with 39 neighbours"):
        found = lisi(X[:40], batch[:40], breakdown=True)
    assert 1.7 < found.score <= 2.0
    for n_rows in (3, 4):
        with pytest.warns(UserWarning, match="lowered"):
            assert 1.0 <= lisi(X[:n_rows], batch[:n_rows]) <= 2.0


def test_chi_squared_of_the_neighbourhoods(cloud):
    X, batch = cloud
    found = kbet_acceptance(X, batch, n_neighbors=25, n_rows=None, breakdown=True)
    _, index = nearest_rows(X, X, k=25, exclude_self=True)
    count = (batch[index] == "a").sum(axis=1)
    np.testing.assert_allclose(found.details["chi2"], (count - 12.5) ** 2 / 6.25)
    default = kbet_acceptance(X, batch, random_state=1, breakdown=True)
    assert default.n_neighbors == 50
    assert len(default.details) == 100
    pd.testing.assert_frame_equal(
        default.details, kbet_acceptance(X, batch, random_state=1, breakdown=True).details
    )


def test_copies_of_a_row_are_neighbours_of_each_other():
    X = np.repeat([[0.0], [9.0]], 30, axis=0)
    batch = np.tile(["a", "b"], 30)
    assert kbet_acceptance(X, batch) == 1.0
    assert lisi(X, batch, perplexity=5) > 1.5


@pytest.mark.parametrize("metric", [lisi, kbet_acceptance])
def test_bad_labels_are_named(metric, cloud):
    X, batch = cloud
    with pytest.raises(ValueError, match="the value 'a' only"):
        metric(X, np.full(400, "a"))
    with pytest.raises(ValueError, match="labels has shape"):
        metric(X, batch[:9])
    with pytest.raises(ValueError, match="1 missing values"):
        metric(X, [None, *batch[1:]])
    with pytest.raises(ValueError, match="space='umap'"):
        metric(X, batch, space="umap")
    with pytest.raises(ValueError, match="2 rows"):
        metric(X[:2], batch[:2])


def test_bad_parameters_are_named(cloud):
    with pytest.raises(ValueError, match="perplexity=1"):
        lisi(*cloud, perplexity=1)
    with pytest.raises(ValueError, match="n_rows=0"):
        kbet_acceptance(*cloud, n_rows=0)
    with pytest.raises(ValueError, match="level=2"):
        kbet_acceptance(*cloud, level=2)
