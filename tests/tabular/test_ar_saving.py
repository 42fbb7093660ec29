"""What is written of a likelihood model, and what is read again, also after faults."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth_estimators.tabular import TabularAR


@pytest.mark.parametrize("which", ["fitted", "small"])
def test_weights_are_written_and_read(which, tmp_path, mixed, request):
    model = request.getfixturevalue(which)
    model.save_weights(tmp_path / "model")
    read = TabularAR().load_weights(tmp_path / "model")
    assert read.small_table == (which == "small")
    pd.testing.assert_frame_equal(read.sample(200), model.sample(200))
    np.testing.assert_array_equal(read.score_samples(mixed), model.score_samples(mixed))
    proba = model.predict_proba(mixed.head(), "flag")
    np.testing.assert_array_equal(read.predict_proba(mixed.head(), "flag"), proba)
    pd.testing.assert_frame_equal(read.impute(mixed.head(40)), model.impute(mixed.head(40)))
    given = {"group": "b", "when": mixed["when"][0]}
    pd.testing.assert_frame_equal(
        read.sample(20, conditions=given), model.sample(20, conditions=given)
    )


def test_weights_of_a_forest_hold_no_row_of_the_table(small):
    forest = small._mixture["forest"]
    assert all(column.cells is None for column in forest._columns)


def test_damaged_trees_are_refused(tmp_path, small):
    from safetensors.numpy import load_file, save_file

    small.save_weights(tmp_path / "model")
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("left_child") and len(tensors[name]) > 2)
    tensors[name][0] = 10_000
    pair = json.loads((tmp_path / "model.json").read_text())["pair"]
    save_file(tensors, path, metadata={"pair": pair})
    with pytest.raises(ValueError, match=r"is damaged or incomplete: .*tree do not fit together"):
        TabularAR().load_weights(tmp_path / "model")


def test_full_disk_leaves_the_old_files_intact(tmp_path, fitted, small, monkeypatch):
    path = tmp_path / "model"
    fitted.save_weights(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*args, **words):
        raise OSError(28, "No space left on device")

    for place in ("safetensors.numpy.save_file", "pathlib.Path.write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(OSError, match="No space left"):
                small.save_weights(path)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_killed_saves_are_finished_or_told(tmp_path, fitted, small, monkeypatch):
    path = tmp_path / "model"
    fitted.save_weights(path)
    renamed, usual = [], Path.replace

    def killed(self, target):
        if renamed:
            raise SystemExit
        renamed.append(target)
        return usual(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        patch.setattr(Path, "unlink", lambda *args, **words: None)
        with pytest.raises(SystemExit):
            small.save_weights(path)
    # the weights are new, the text is old, and its successor lies beside it
    read = TabularAR().load_weights(path)
    pd.testing.assert_frame_equal(read.sample(20), small.sample(20))
    (tmp_path / "model.json.part").unlink()
    with pytest.raises(ValueError, match="its two files are of different models"):
        TabularAR().load_weights(path)


def test_pickles_sample_the_same_rows(small):
    again = pickle.loads(pickle.dumps(small))
    pd.testing.assert_frame_equal(again.sample(10), small.sample(10))
