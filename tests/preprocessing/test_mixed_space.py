import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from synth_estimators.preprocessing import MixedSpace


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "x": [0.0, 10.0, 5.0, np.nan],
            "const": [3.0, 3.0, 3.0, 3.0],
            "g": ["a", "b", "a", None],
        }
    )


def test_gower_distances_by_hand(table):
    space = MixedSpace(space="gower").fit(table)
    other = pd.DataFrame({"x": [25.0, np.nan], "const": [3.0, 4.0], "g": ["a", None]})
    # Ranges come from the fitted table; a cell is never further than 1.
    expected = [[1.0, 2.0, 1.0, 2.0], [3.0, 3.0, 3.0, 1.0]]
    np.testing.assert_allclose(space.distances(other, table), np.array(expected) / 3)
    np.testing.assert_array_equal(np.diag(space.distances(table, table)), 0.0)


def test_categories_unknown_to_fit_differ_from_all_others():
    space = MixedSpace(space="gower").fit(pd.DataFrame({"g": ["a", "b"]}))
    one, two = pd.DataFrame({"g": ["q", "r", "a"]}), pd.DataFrame({"g": ["r", "a"]})
    np.testing.assert_array_equal(space.distances(one, two), [[1, 1], [0, 1], [1, 0]])
    indicators = MixedSpace().fit(pd.DataFrame({"g": ["a", "b"]})).transform(one)
    np.testing.assert_array_equal(indicators[:2], 0.0)


def test_standard_space_by_hand(table):
    rows = MixedSpace().fit(table).transform(table)
    # x, const, flag of x, three categories.
    assert rows.shape == (4, 6)
    scale = np.std([0.0, 10.0, 5.0])
    np.testing.assert_allclose(rows[:, 0], [-5 / scale, 5 / scale, 0, 0], atol=1e-15)
    np.testing.assert_array_equal(rows[:, 1], 0.0)
    np.testing.assert_array_equal(rows[:, 2], [0, 0, 0, 1])
    half = np.sqrt(0.5)
    assert {tuple(row) for row in rows[:, 3:]} == {(0, half, 0), (0, 0, half), (half, 0, 0)}


def test_one_mismatch_adds_one_to_the_squared_distance():
    table = pd.DataFrame({"g": ["a", "b", "c"], "h": ["u", "u", "v"]})
    distances = MixedSpace().fit(table).distances(table, table) ** 2
    np.testing.assert_allclose(distances, [[0, 1, 2], [1, 0, 2], [2, 2, 0]], atol=1e-15)


def test_missing_cells_of_a_complete_column_become_its_median():
    space = MixedSpace().fit(np.array([[0.0], [1.0], [5.0]]))
    rows = space.transform(np.array([[np.nan], [1.0]]))
    assert rows.shape == (2, 1)
    assert rows[0] == rows[1]


def test_identity_takes_complete_numbers_only(table):
    values = np.array([[1.0, 2.0], [3.0, 5.0]])
    np.testing.assert_array_equal(MixedSpace(space="identity").fit_transform(values), values)
    with pytest.raises(ValueError, match="'g' is discrete"):
        MixedSpace(space="identity").fit(table)
    with pytest.raises(ValueError, match="'x' has missing cells"):
        MixedSpace(space="identity").fit_transform(table[["x"]])


def test_columns_come_as_in_fit(table):
    space = MixedSpace(space="gower").fit(table)
    with pytest.raises(ValueError, match="same order"):
        space.transform(table[["g", "x", "const"]])
    with pytest.raises(ValueError, match=r"(?s)seen at fit time, yet now missing:.*- g"):
        space.transform(table[["x", "const"]])
    rows = space.transform(table)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        unnamed = space.transform(table.to_numpy(dtype=object))
    np.testing.assert_array_equal(unnamed, rows)


def test_names_of_the_columns_of_the_space(table):
    table = table[["g", "const", "x"]]
    names = {kind: MixedSpace(space=kind).fit(table) for kind in ("standard", "gower")}
    standard = names["standard"].get_feature_names_out()
    assert standard.tolist() == ["const", "x", "x_missing", "g_<NA>", "g_a", "g_b"]
    assert names["gower"].get_feature_names_out().tolist() == ["x", "const", "g"]
    rows = names["standard"].set_output(transform="pandas").transform(table)
    assert rows.columns.tolist() == standard.tolist()
    assert rows["x_missing"].tolist() == [0, 0, 0, 1]
    distances = names["standard"].distances(table, table)
    assert type(distances) is np.ndarray


@pytest.mark.parametrize("kind", ["standard", "gower"])
def test_fitted_space_can_be_pickled_and_cloned(kind, table):
    space = MixedSpace(space=kind).fit(table)
    again = pickle.loads(pickle.dumps(space))
    np.testing.assert_array_equal(again.distances(table, table), space.distances(table, table))
    assert clone(space).get_params() == space.get_params()
    with pytest.raises(NotFittedError):
        clone(space).transform(table)


def test_neighbours_and_names(table):
    space = MixedSpace(space="gower").fit(table)
    distance, index = space.kneighbors(table, table, n_neighbors=2)
    np.testing.assert_array_equal(index[:, 0], np.arange(4))
    assert distance.shape == (4, 2)
    assert space.feature_names_in_.tolist() == ["x", "const", "g"]
    assert space.n_features_in_ == 3
    with pytest.raises(ValueError, match="'space' parameter of MixedSpace"):
        MixedSpace(space="polar").fit(table)


def test_a_gap_in_the_first_row_means_nothing():
    frame = pd.DataFrame({"a": [np.nan, 1.0, 2.0], "b": ["x", "y", None]})
    space = MixedSpace().fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(space.transform(frame)).all()
        # Nor does it matter that these rows lack the category of the first one.
        assert np.isfinite(space.transform(frame[1:2])).all()
