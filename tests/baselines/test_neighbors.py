import numpy as np
import pandas as pd
import pytest

from synth_estimators.baselines import NeighborInterpolation
from synth_estimators.metrics import dcr_share


def test_numbers_lie_on_the_segments_between_neighbours():
    # Three pairs far from each other: the one neighbour of each row is its partner.
    X = np.array([[0.0, 0.0], [1.0, 2.0], [100.0, 0.0], [101.0, 3.0], [0.0, 90.0], [2.0, 91.0]])
    rows = NeighborInterpolation(n_neighbors=1, random_state=0).fit(X / 7).sample(500) * 7
    offsets = []
    for first in (0, 2, 4):
        start, step = X[first], X[first + 1] - X[first]
        share = ((rows - start) @ step) / (step @ step)
        distance = np.linalg.norm(rows - start - share[:, None] * step, axis=1)
        on_it = (distance < 1e-9) & (share > -1e-9) & (share < 1 + 1e-9)
        offsets.append(share[on_it])
    assert sum(map(len, offsets)) == 500
    # Uniform along the segment: mean 0.5 within four standard errors of 500 draws.
    assert np.mean(np.concatenate(offsets)) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 500))


def test_mixed_rows_come_back_in_their_dtypes_and_ranges():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], 60),
            "stage": pd.Categorical(rng.choice(["I", "II"], 60), ["I", "II", "III"]),
            "day": pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 300, 60), "D"),
            "zone": pd.Timestamp("2021-03-01", tz="Europe/Rome")
            + pd.to_timedelta(rng.integers(0, 9000, 60), "s"),
            "wait": pd.to_timedelta(rng.integers(0, 300, 60), "h"),
            "price": rng.integers(0, 999, 60) / 100,
            "count": rng.integers(0, 9, 60).astype(np.int16),
            "dose": pd.array(rng.integers(0, 9, 60), dtype="Int32"),
            "single": rng.normal(size=60).astype(np.float32),
        }
    )
    frame.loc[::3, "dose"] = pd.NA
    frame.loc[1::5, "day"] = pd.NaT
    rows = NeighborInterpolation(random_state=0).fit(frame).sample(300)
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    for name in ("day", "zone", "wait", "price", "count", "single"):
        assert frame[name].min() <= rows[name].min() <= rows[name].max() <= frame[name].max()
    assert (rows["day"].dropna() == rows["day"].dropna().dt.normalize()).all()
    assert np.allclose(rows["price"], rows["price"].round(2), rtol=0, atol=1e-12)
    assert 0.1 < rows["dose"].isna().mean() < 0.6
    assert 0.02 < rows["day"].isna().mean() < 0.5


def test_rows_lie_closer_to_training_rows_than_fresh_rows_do():
    rng = np.random.default_rng(0)
    train, holdout = rng.normal(size=(2, 300, 5))
    rows = NeighborInterpolation(random_state=0).fit(train).sample(300)
    assert dcr_share(X_train=train, X_holdout=holdout, X_synth=rows, random_state=0) > 0.9


def test_fewer_rows_than_neighbours_use_all_others():
    fitted = NeighborInterpolation(5, random_state=0).fit([[0.0], [1.0], [2.0]])
    assert fitted.n_neighbors_ == 2


def test_duplicated_rows_are_no_trouble():
    rows = NeighborInterpolation(2, random_state=0).fit([[1.0, 2.0]] * 4).sample(5)
    np.testing.assert_array_equal(rows, [[1.0, 2.0]] * 5)
