"""Pilot studies on disk: tables as plain files, models by joblib, checksums of all."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from synth_estimators import __version__

__all__ = ["load", "save"]

_FORMAT = 1
_MANIFEST = "study.json"
_RESULTS = "results.csv"

# From 3.1 on pandas reads floats exactly by default, and deprecates the word.
_PANDAS = tuple(int(part) for part in pd.__version__.split(".")[:2])
_EXACT = {} if _PANDAS >= (3, 1) else {"float_precision": "round_trip"}


def save(study: Any, folder: Path, *, force: bool) -> Path:
    """Write a study beside its final place and rename it when it is whole."""
    if folder.exists():
        if not force:
            raise FileExistsError(f"{folder} exists; pass force=True to replace the study in it.")
        if not (folder / _MANIFEST).is_file():
            raise FileExistsError(f"{folder} exists and holds no pilot study; it is not replaced.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(study, building)
        if folder.exists():
            retired = building.with_name(building.name + "-old")
            os.replace(folder, retired)
            os.replace(building, folder)
            shutil.rmtree(retired)
        else:
            os.replace(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _write(study, folder):
    folder.chmod(0o755)
    # Every digit, so that scores come back as they were.
    study.results.to_csv(folder / _RESULTS, index=False, float_format="%.17g")
    entries = []
    for (size, draw), run in study.runs.items():
        stem = f"size{size}_draw{draw}"
        np.save(folder / f"{stem}_indices.npy", run.indices, allow_pickle=False)
        entry = {"size": int(size), "draw": int(draw), "stem": stem, "table": None, "labels": None}
        if run.X_synth is not None:
            entry["table"] = _write_table(run.X_synth, folder, stem)
            joblib.dump(run.estimator, folder / f"{stem}_estimator.joblib", compress=3)
        if run.y_synth is not None:
            entry["labels"] = _labels_to_json(run.y_synth)
        entries.append(entry)
    files = {path.name: _checksum(path) for path in sorted(folder.iterdir())}
    manifest = {
        "format": _FORMAT,
        "synth_estimators": __version__,
        "results": {name: str(dtype) for name, dtype in study.results.dtypes.items()},
        "runs": entries,
        "files": files,
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _write_table(X, folder, stem):
    """Write a synthetic table and return what is needed to read it back in kind."""
    if not isinstance(X, pd.DataFrame):
        if type(X).__module__.split(".")[0] == "polars":
            entry = _write_table(pd.DataFrame(X.to_dict(as_series=False)), folder, stem)
            return {**entry, "container": "polars"}
        np.save(folder / f"{stem}_rows.npy", np.asarray(X), allow_pickle=False)
        return {"kind": "array"}
    labels = [_label_to_json(label) for label in X.columns]
    # Files name columns by position: labels need not be text.
    frame = X.set_axis([f"c{j}" for j in range(X.shape[1])], axis=1)
    entry = {"kind": "csv", "columns": labels, "dtypes": [_dtype_to_json(d) for d in X.dtypes]}
    if importlib.util.find_spec("pyarrow") is not None:
        entry["kind"] = "parquet"
        frame.to_parquet(folder / f"{stem}_rows.parquet", index=False)
    else:
        frame.to_csv(folder / f"{stem}_rows.csv", index=False, float_format="%.17g")
    return entry


def _label_to_json(label):
    value = label.item() if isinstance(label, np.generic) else label
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(
        f"Column label {label!r} is neither text nor a number and cannot be written; rename the "
        "column."
    )


def _dtype_to_json(dtype):
    if not isinstance(dtype, pd.CategoricalDtype):
        return str(dtype)
    values = dtype.categories
    return {
        "categories": [_label_to_json(value) for value in values.tolist()],
        "of": str(values.dtype),
        "ordered": bool(dtype.ordered),
    }


def _dtype_from_json(entry):
    if isinstance(entry, str):
        return pd.api.types.pandas_dtype(entry)
    categories = pd.Index(entry["categories"], dtype=entry["of"])
    return pd.CategoricalDtype(categories, ordered=entry["ordered"])


def _labels_to_json(labels):
    labels = np.asarray(labels)
    return {"dtype": str(labels.dtype), "values": [_label_to_json(v) for v in labels.tolist()]}


def _labels_from_json(entry):
    dtype = object if entry["dtype"] == "object" else np.dtype(entry["dtype"])
    return np.array(entry["values"], dtype=dtype)


def _checksum(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load(folder: Path, *, estimators: bool) -> tuple[pd.DataFrame, dict]:
    """Read the results and the runs of a saved study, or say what is wrong with its files."""
    path = folder / _MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no pilot study: there is no {_MANIFEST} in it.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] > _FORMAT:
            raise ValueError(
                f"{folder} was written by synth_estimators {manifest['synth_estimators']}; update "
                "the package to read it."
            )
        _check_files(folder, manifest["files"])
        results = _read_results(folder, manifest["results"])
        runs = {
            (entry["size"], entry["draw"]): _read_run(folder, entry, estimators)
            for entry in manifest["runs"]
        }
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as exc:
        raise ValueError(
            f"{path} is damaged ({type(exc).__name__}: {exc}); run the study again."
        ) from exc
    return results, runs


def _check_files(folder, files):
    for name, checksum in files.items():
        # A name with a folder in it would lead out of the study.
        path = folder / Path(name).name
        if not path.is_file():
            raise ValueError(f"{folder} is incomplete: {name} is missing; run the study again.")
        if _checksum(path) != checksum:
            raise ValueError(
                f"{path} is damaged: its checksum is not the one written with it; run the study "
                "again."
            )


def _read_results(folder, dtypes):
    # The reasons of failures are empty text, not missing cells.
    table = pd.read_csv(
        folder / _RESULTS,
        **_EXACT,
        keep_default_na=False,
        na_values={name: [""] for name in dtypes if name != "error"},
    )
    return table.astype({name: dtype for name, dtype in dtypes.items() if name != "error"})


def _read_run(folder, entry, estimators):
    stem = Path(entry["stem"]).name
    run = Bunch(estimator=None, X_synth=None, y_synth=None)
    run.indices = np.load(folder / f"{stem}_indices.npy", allow_pickle=False)
    if entry["table"] is not None:
        run.X_synth = _read_table(entry["table"], folder, stem)
        if estimators:
            run.estimator = joblib.load(folder / f"{stem}_estimator.joblib")
    if entry["labels"] is not None:
        run.y_synth = _labels_from_json(entry["labels"])
    return run


def _read_table(entry, folder, stem):
    if entry["kind"] == "array":
        return np.load(folder / f"{stem}_rows.npy", allow_pickle=False)
    dtypes = [_dtype_from_json(dtype) for dtype in entry["dtypes"]]
    if entry["kind"] == "parquet":
        frame = pd.read_parquet(folder / f"{stem}_rows.parquet")
    else:
        frame = pd.read_csv(folder / f"{stem}_rows.csv", **_EXACT)
    frame = pd.concat(
        [frame[f"c{j}"].astype(dtype) for j, dtype in enumerate(dtypes)], axis=1
    ).set_axis(entry["columns"], axis=1)
    if entry.get("container") == "polars":
        import polars

        return polars.DataFrame(frame.to_dict(orient="list"))
    return frame
