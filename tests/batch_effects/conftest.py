"""Tables of expected values for batch effects, read from ``tests/data/batch``."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "data" / "batch"


class BatchData:
    """Reads the tables of expected values by name."""

    def table(self, name):
        """A numeric table, one row a sample."""
        return pd.read_csv(FOLDER / f"{name}.csv", index_col=0, float_precision="round_trip")

    def meta(self, name):
        """Labels of the samples of ``norm``, ``counts`` or ``svasim``."""
        return pd.read_csv(FOLDER / f"{name}_meta.csv", index_col=0)

    def json(self, name):
        """Expected values stored as JSON."""
        return json.loads((FOLDER / f"{name}.json").read_text())

    def bladder(self, name):
        """A table of the bladder cancer set, which is not shipped with the project."""
        root = os.environ.get("SYNTH_ESTIMATORS_DATA")
        if not root:
            pytest.skip("SYNTH_ESTIMATORS_DATA is not set: no bladder cancer set to read")
        path = Path(root) / "batch" / f"bladder_{name}.csv"
        return pd.read_csv(path, index_col=0, float_precision="round_trip")


@pytest.fixture(scope="session")
def batch_data():
    """Reader of the tables of expected values."""
    return BatchData()
