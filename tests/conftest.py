"""Settings and tables that tests share."""

import os
from pathlib import Path

# Tables are small; more threads only compete with each other and with workers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def data_folder():
    """Folder with the real tables of the slow tests."""
    folder = os.environ.get("SYNTH_ESTIMATORS_DATA")
    if not folder:
        pytest.skip(
            "SYNTH_ESTIMATORS_DATA is not set; point it to the folder with the real tables to run "
            "this test"
        )
    if not Path(folder).is_dir():
        pytest.skip(f"SYNTH_ESTIMATORS_DATA={folder!r} is not a folder")
    return Path(folder)


@pytest.fixture
def small_table():
    """80 correlated rows of 6 columns with different centres and spreads."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((80, 2)) @ rng.standard_normal((2, 6))
    noise = 0.5 * rng.standard_normal((80, 6))
    return np.arange(6) * 10.0 + (factors + noise) * np.array([1, 2, 1, 5, 1, 0.5])


@pytest.fixture
def small_labels():
    """Two classes of 48 and 32 rows for ``small_table``."""
    return np.resize(["case", "control", "case", "control", "case"], 80)


@pytest.fixture
def mixed_frame(small_table):
    """``small_table`` as a frame of float, float32 and integer columns, with an index."""
    frame = pd.DataFrame(small_table, columns=["gene", "age", "bmi", "count", "dose", "alpha"])
    frame["age"] = frame["age"].round().astype("int64")
    frame["count"] = frame["count"].round().astype("int32")
    frame["bmi"] = frame["bmi"].astype("float32")
    return frame.set_axis(np.arange(80) * 2 + 7, axis=0)


@pytest.fixture
def small_conditions():
    """One numeric and one categorical condition for each row of ``small_table``."""
    return pd.DataFrame(
        {"stage": np.resize(["I", "II", "III"], 80), "years": np.linspace(30.0, 80.0, 80)}
    )
