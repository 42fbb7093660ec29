import numpy as np
import pytest
from scipy.spatial.distance import cdist

from synth_estimators import _distances
from synth_estimators._distances import (
    energy_distance,
    gower_distances,
    nearest_rows,
    row_blocks,
)


def _gower_by_definition(A, B, n_continuous):
    total = np.zeros((len(A), len(B)))
    for j in range(A.shape[1]):
        a, b = A[:, j][:, None], B[:, j][None, :]
        if j < n_continuous:
            part = np.minimum(np.abs(a - b), 1.0)
            one, two = np.isnan(a) ^ np.isnan(b), np.isnan(a) & np.isnan(b)
            part = np.where(two, 0.0, np.where(one, 1.0, part))
        else:
            part = a != b
        total += part
    return total / A.shape[1]


@pytest.mark.parametrize("n_continuous", [0, 3, 5])
def test_gower_distances_follow_the_definition(n_continuous):
    rng = np.random.default_rng(0)
    # Half of the cells lie outside [0, 1], a fifth is missing.
    A, B = rng.uniform(-1, 2, (40, 5)), rng.uniform(0, 1, (30, 5))
    for table in (A, B):
        table[rng.random(table.shape) < 0.2] = np.nan
        table[:, n_continuous:] = rng.integers(0, 3, (len(table), 5 - n_continuous))
    for one, two in ((A, B), (B, A), (A, A)):
        np.testing.assert_allclose(
            gower_distances(one, two, n_continuous=n_continuous),
            _gower_by_definition(one, two, n_continuous),
            atol=1e-14,
        )


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("block", [10**6, 70])
def test_nearest_rows_agree_with_the_full_matrix(k, block, monkeypatch):
    monkeypatch.setattr(_distances, "_BLOCK_ELEMENTS", block)
    A, B = np.random.default_rng(0).normal(size=(2, 35, 3))
    distance, index = nearest_rows(A, B, k=k)
    full = cdist(A, B)
    np.testing.assert_array_equal(index, full.argsort(axis=1)[:, :k])
    np.testing.assert_array_equal(distance, np.sort(full, axis=1)[:, :k])
    own = nearest_rows(A, A, k=k, exclude_self=True)[0]
    np.testing.assert_array_equal(own, np.sort(cdist(A, A), axis=1)[:, 1 : k + 1])


def test_row_blocks_cover_all_rows_once():
    for n_columns, n_parts in ((1_000, 3), (40_000, 16), (1_000_000, 251), (10**8, 1001)):
        parts = list(row_blocks(1001, n_columns))
        rows = np.concatenate([np.arange(1001)[part] for part in parts])
        assert rows.tolist() == list(range(1001))
        assert len(parts) == n_parts


def test_energy_distance_with_weights_is_that_of_repeated_rows():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(15, 3)) + 1
    weight = rng.integers(1, 4, 20)
    repeated = energy_distance(np.repeat(X, weight, axis=0), Y)
    assert energy_distance(X, Y, weight_x=weight) == pytest.approx(repeated)
    with pytest.raises(ValueError, match="weight_y must hold one weight"):
        energy_distance(X, Y, weight_y=[1.0])
