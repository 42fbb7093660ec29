"""A mixed table, and the likelihood model of it in both of its forms."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators.tabular import TabularAR

_SETTINGS = {"hidden": (16, 16), "random_state": 0}


@pytest.fixture(scope="module")
def mixed():
    """600 rows: groups with missing cells, their code, an amount that depends on them, and more."""
    rng = np.random.default_rng(0)
    n = 600
    group = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    table = pd.DataFrame(
        {
            "group": pd.Categorical(group, categories=["c", "b", "a"]),
            "amount": np.round(rng.normal(size=n) + 4.0 * (group == "b"), 2),
            "count": rng.integers(0, 5, n).astype("int16"),
            "flag": rng.random(n) < 0.3,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), "D"),
            "level": rng.normal(size=n),
        }
    )
    table.loc[rng.random(n) < 0.1, "group"] = None
    table["code"] = table["group"].astype(object).map({"a": 1.0, "b": 2.0, "c": 3.0})
    table.loc[rng.random(n) < 0.2, "level"] = np.nan
    return table


@pytest.fixture(scope="module")
def fitted(mixed):
    return TabularAR(**_SETTINGS, max_epochs=60, small_table=False).fit(mixed)


@pytest.fixture(scope="module")
def small(mixed):
    """The same table with networks of folds and a forest."""
    return TabularAR(**_SETTINGS, max_epochs=20, small_table=True).fit(mixed)
