"""Fitted models as safetensors plus JSON: plain numbers and text, nothing that is executed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["read", "write"]

_FORMAT = 1

# The only classes that a file may name, and where they live.
_CLASSES = {
    "GaussianCodes": "synth_estimators.autoencoders._codes",
    "MixtureDensity": "synth_estimators.preprocessing._mixture",
    "CalibratedFrame": "synth_estimators.preprocessing._calibration",
    "LowRankCovariance": "synth_estimators.preprocessing._calibration",
    "QuantileTable": "synth_estimators.preprocessing._margins",
    "MetadataEncoder": "synth_estimators.preprocessing._metadata",
    "TableSchema": "synth_estimators._validation",
}


def _encode(value: Any, arrays: dict, name: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fiub":
            arrays[name] = np.ascontiguousarray(value)
            return {"__array__": name}
        kind = "str" if value.dtype.kind == "U" else "object"
        return {"__items__": [_encode(v, arrays, name) for v in value.tolist()], "dtype": kind}
    if isinstance(value, tuple | list):
        items = [_encode(item, arrays, f"{name}.{i}") for i, item in enumerate(value)]
        return {"__tuple__": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {
            "__dict__": [
                [_encode(k, arrays, name), _encode(v, arrays, f"{name}.{k}")]
                for k, v in value.items()
            ]
        }
    if isinstance(value, pd.DataFrame):
        columns = {str(label): value[label].to_numpy() for label in value.columns}
        return {"__frame__": _encode(columns, arrays, name)}
    if isinstance(value, np.dtype | pd.api.extensions.ExtensionDtype):
        return {"__dtype__": str(value)}
    if type(value).__module__.split(".")[0] == "polars":
        return {"__polars__": str(value)}
    if type(value).__name__ in _CLASSES:
        return {"__class__": type(value).__name__, "state": _encode(vars(value), arrays, name)}
    raise TypeError(
        f"{name} holds a {type(value).__name__}, which cannot be written as plain data; use "
        "joblib.dump for this model."
    )


def _decode(value: Any, arrays: dict) -> Any:
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        return arrays[value["__array__"]]
    if "__items__" in value:
        items = [_decode(item, arrays) for item in value["__items__"]]
        return np.array(items, dtype=str if value["dtype"] == "str" else object)
    if "__tuple__" in value:
        return tuple(_decode(item, arrays) for item in value["__tuple__"])
    if "__dict__" in value:
        return {_decode(k, arrays): _decode(v, arrays) for k, v in value["__dict__"]}
    if "__frame__" in value:
        return pd.DataFrame(_decode(value["__frame__"], arrays))
    if "__dtype__" in value:
        return pd.api.types.pandas_dtype(value["__dtype__"])
    if "__polars__" in value:
        import polars

        return getattr(polars, value["__polars__"])
    module = importlib.import_module(_CLASSES[value["__class__"]])
    restored = object.__new__(getattr(module, value["__class__"]))
    vars(restored).update(_decode(value["state"], arrays))
    return restored


def _paths(path):
    base = Path(path)
    return base.with_name(base.name + ".safetensors"), base.with_name(base.name + ".json")


def write(path: Any, class_name: str, tree: dict, module: dict) -> None:
    """Write a tree of plain values and the state of a module."""
    from safetensors.numpy import save_file

    from synth_estimators import __version__

    arrays: dict = {}
    encoded = _encode(tree, arrays, "model")
    weights, text = _paths(path)
    tensors = {f"module/{name}": np.ascontiguousarray(value) for name, value in module.items()}
    tensors |= {f"state/{name}": value for name, value in arrays.items()}
    save_file(tensors, weights)
    document = {
        "format": _FORMAT,
        "class": class_name,
        "synth_estimators": __version__,
        "model": encoded,
    }
    text.write_text(json.dumps(document, indent=1, allow_nan=True), encoding="utf-8")


def read(path: Any, class_name: str) -> tuple[dict, dict]:
    """Read what ``write`` wrote, refusing files of another class or a newer format."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    weights, text = _paths(path)
    try:
        document = json.loads(text.read_text(encoding="utf-8"))
        tensors = load_file(weights)
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as exc:
        raise ValueError(f"{path} is damaged: {exc}.") from exc
    if document.get("format", 0) > _FORMAT:
        raise ValueError(
            f"{text} was written by synth_estimators {document.get('synth_estimators')}; update "
            "the package to read it."
        )
    if document.get("class") != class_name:
        raise ValueError(f"{text} holds a {document.get('class')}, not a {class_name}.")
    arrays = {k.removeprefix("state/"): v for k, v in tensors.items() if k.startswith("state/")}
    module = {k.removeprefix("module/"): v for k, v in tensors.items() if k.startswith("module/")}
    try:
        return _decode(document["model"], arrays), module
    except (KeyError, AttributeError, TypeError) as exc:
        raise ValueError(f"{path} is damaged or incomplete: {exc!r}.") from exc
