"""Fitted models as safetensors plus JSON: plain numbers and text, nothing that is executed."""

from __future__ import annotations

import datetime
import hashlib
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
    "LevelCodes": "synth_estimators.tabular._ar_codes",
    "LevelFields": "synth_estimators.tabular._condition_vectors",
    "PrimaryKey": "synth_estimators.tabular._primary_key",
    "ModelTable": "synth_estimators.tabular._ar_table",
    "NumberCodes": "synth_estimators.tabular._ar_codes",
    "TabularEncoder": "synth_estimators.preprocessing._tabular_encoder",
    "EncodedLayout": "synth_estimators.preprocessing._row_codes",
    "Span": "synth_estimators.preprocessing._row_codes",
    "FieldSpec": "synth_estimators.preprocessing._row_codes",
    "LevelCoder": "synth_estimators.preprocessing._column_coders",
    "NumberCoder": "synth_estimators.preprocessing._column_coders",
    "EmptyCoder": "synth_estimators.preprocessing._column_coders",
    "Mixture": "synth_estimators.preprocessing._mode_mixture",
    "Support": "synth_estimators.preprocessing._mode_mixture",
    "ComponentCodes": "synth_estimators.preprocessing._value_codes",
    "ScoreCodes": "synth_estimators.preprocessing._value_codes",
    "NumberField": "synth_estimators.preprocessing._number_fields",
    "TimeField": "synth_estimators.preprocessing._number_fields",
    "DateFormat": "synth_estimators.preprocessing._text_dates",
    "FieldKind": "synth_estimators.preprocessing._field_kinds",
    "NumberColumn": "synth_estimators.preprocessing._numbers",
    "KnownColumns": "synth_estimators.tabular._known_columns",
    "KnownColumn": "synth_estimators.tabular._known_columns",
    "ConstraintSet": "synth_estimators.tabular._constraint_set",
    "Gap": "synth_estimators.tabular._gaps",
    "Inequality": "synth_estimators.tabular._constraints",
    "Range": "synth_estimators.tabular._constraints",
    "Positive": "synth_estimators.tabular._constraints",
    "Negative": "synth_estimators.tabular._constraints",
    "ScalarRange": "synth_estimators.tabular._constraints",
    "FixedCombinations": "synth_estimators.tabular._constraints",
    "OneHot": "synth_estimators.tabular._constraints",
    "Unique": "synth_estimators.tabular._constraints",
    "SamplingReport": "synth_estimators.tabular._rejection",
    "TokenForest": "synth_estimators.tabular._forest_tokens",
    "ColumnTokens": "synth_estimators.tabular._forest_tokens",
    "DonorForest": "synth_estimators.preprocessing._forest",
    "_DonorTree": "synth_estimators.preprocessing._forest",
    "_Encoder": "synth_estimators.preprocessing._forest",
}

# What the splits of a tree need of its nodes.
_NODE_FIELDS = ("left_child", "right_child", "feature", "threshold", "missing_go_to_left")


def _encode(value: Any, arrays: dict, name: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if value is pd.NaT or value is pd.NA:
        return {"__missing__": "NaT" if value is pd.NaT else "NA"}
    if isinstance(value, pd.Timestamp | pd.Timedelta | np.datetime64 | np.timedelta64):
        return {"__time__": _encode(pd.Series([value]), arrays, name)}
    if isinstance(value, datetime.tzinfo):
        return {"__zone__": str(value)}
    if isinstance(value, np.generic):
        return value.item()
    if value is pd.DatetimeIndex or value is pd.TimedeltaIndex:
        return {"__type__": value.__name__}
    if isinstance(value, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return _encode_column(value, arrays, name)
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
        columns = {label: value[label] for label in value.columns}
        return {"__frame__": _encode(columns, arrays, name)}
    if isinstance(value, pd.CategoricalDtype):
        categories = _encode(value.categories.to_numpy(), arrays, f"{name}.categories")
        return {"__categories__": categories, "ordered": bool(value.ordered)}
    if isinstance(value, np.dtype | pd.api.extensions.ExtensionDtype):
        return {"__dtype__": str(value)}
    if type(value).__module__.split(".")[0] == "polars":
        return {"__polars__": str(value)}
    if type(value).__name__ == "Tree":
        return _encode_tree(value, arrays, name)
    if type(value).__name__ in _CLASSES:
        return {"__class__": type(value).__name__, "state": _encode(vars(value), arrays, name)}
    raise TypeError(
        f"{name} holds a {type(value).__name__}, which cannot be written as plain data; use "
        "joblib.dump for this model."
    )


def _encode_column(value, arrays, name):
    """Cells and dtype of a column, and what it was: a Series, an Index or an array."""
    kind = "index" if isinstance(value, pd.Index) else "array"
    kind = "series" if isinstance(value, pd.Series) else kind
    column = pd.Series(value)
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        cells = column.cat.codes.to_numpy()
    elif getattr(dtype, "kind", "O") in "mM":
        cells = column.array.asi8
    elif isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        cells = column.to_numpy()
    else:
        cells = column.astype(object).to_numpy()
    return {
        "__column__": _encode(cells, arrays, name),
        "dtype": _encode(dtype, arrays, f"{name}.dtype"),
        "kind": kind,
    }


def _encode_tree(tree, arrays, name):
    """Splits of a tree of scikit-learn, without what its nodes predict."""
    state = tree.__getstate__()
    nodes = {field: state["nodes"][field] for field in _NODE_FIELDS}
    encoded = {field: _encode(part, arrays, f"{name}.{field}") for field, part in nodes.items()}
    return {"__tree__": encoded, "n_features": tree.n_features, "max_depth": state["max_depth"]}


def _decode_tree(value, arrays):
    from sklearn.tree._tree import NODE_DTYPE, Tree

    parts = {field: _decode(part, arrays) for field, part in value["__tree__"].items()}
    n_nodes, n_features = len(parts["left_child"]), value["n_features"]
    nodes = np.zeros(n_nodes, dtype=NODE_DTYPE)
    for field in _NODE_FIELDS:
        nodes[field] = parts[field]
    inner = nodes["left_child"] >= 0
    children = np.stack([nodes["left_child"], nodes["right_child"]])[:, inner]
    # Trees are walked without a look at their ends, so a damaged file must not come that far.
    beyond = (children <= np.flatnonzero(inner)) | (children >= n_nodes)
    strange = (nodes["feature"][inner] < 0) | (nodes["feature"][inner] >= n_features)
    if not n_nodes or beyond.any() or strange.any():
        raise TypeError("the nodes of a tree do not fit together")
    tree = Tree(n_features, np.ones(1, dtype=np.intp), 1)
    state = {"max_depth": value["max_depth"], "node_count": n_nodes, "nodes": nodes}
    tree.__setstate__({**state, "values": np.zeros((n_nodes, 1, 1))})
    return tree


def _decode_column(value, arrays):
    cells, dtype = _decode(value["__column__"], arrays), _decode(value["dtype"], arrays)
    if isinstance(dtype, pd.CategoricalDtype):
        column = pd.Series(pd.Categorical.from_codes(cells, dtype=dtype))
    elif isinstance(dtype, pd.DatetimeTZDtype):
        moments = pd.DatetimeIndex(cells.view(f"datetime64[{dtype.unit}]")).tz_localize("UTC")
        column = pd.Series(moments.tz_convert(dtype.tz))
    elif getattr(dtype, "kind", "O") in "mM":
        column = pd.Series(np.asarray(cells, dtype=np.int64).view(dtype))
    else:
        column = pd.Series(cells, dtype=dtype)
    if value["kind"] == "series":
        return column
    return pd.Index(column) if value["kind"] == "index" else column.array


def _decode(value: Any, arrays: dict) -> Any:
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        return arrays[value["__array__"]]
    if "__column__" in value:
        return _decode_column(value, arrays)
    if "__time__" in value:
        return _decode(value["__time__"], arrays).iloc[0]
    if "__zone__" in value:
        return pd.DatetimeTZDtype(tz=value["__zone__"]).tz
    if "__missing__" in value:
        return pd.NaT if value["__missing__"] == "NaT" else pd.NA
    if "__type__" in value:
        return {"DatetimeIndex": pd.DatetimeIndex}.get(value["__type__"], pd.TimedeltaIndex)
    if "__tree__" in value:
        return _decode_tree(value, arrays)
    if "__items__" in value:
        items = [_decode(item, arrays) for item in value["__items__"]]
        return np.array(items, dtype=str if value["dtype"] == "str" else object)
    if "__tuple__" in value:
        return tuple(_decode(item, arrays) for item in value["__tuple__"])
    if "__dict__" in value:
        return {_decode(k, arrays): _decode(v, arrays) for k, v in value["__dict__"]}
    if "__frame__" in value:
        return pd.DataFrame(_decode(value["__frame__"], arrays))
    if "__categories__" in value:
        return pd.CategoricalDtype(_decode(value["__categories__"], arrays), value["ordered"])
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
    document = {
        "format": _FORMAT,
        "class": class_name,
        "synth_estimators": __version__,
        "model": encoded,
    }
    # The same word in both files tells that they were written together.
    document["pair"] = hashlib.sha256(json.dumps(encoded).encode()).hexdigest()[:16]
    content = json.dumps(document, indent=1, allow_nan=True)
    parts = [path.with_name(f"{path.name}.part") for path in (weights, text)]
    try:
        # Files of an earlier model stay as they are until the new ones are complete.
        save_file(tensors, parts[0], metadata={"pair": document["pair"]})
        parts[1].write_text(content, encoding="utf-8")
        for part, final in zip(parts, (weights, text), strict=True):
            part.replace(final)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _unfinished(text, pair, path):
    """Text of a save that was killed when it had put only the weights in place."""
    part = text.with_name(f"{text.name}.part")
    document = json.loads(part.read_text(encoding="utf-8")) if part.exists() else {}
    if document.get("pair") != pair:
        raise ValueError(f"{path} is damaged: its two files are of different models.")
    return document


def read(path: Any, class_name: str) -> tuple[dict, dict]:
    """Read what ``write`` wrote, refusing files of another class or a newer format."""
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    weights, text = _paths(path)
    try:
        document = json.loads(text.read_text(encoding="utf-8"))
        tensors = load_file(weights)
        with safe_open(weights, framework="numpy") as file:
            pair = (file.metadata() or {}).get("pair")
        if pair != document.get("pair"):
            document = _unfinished(text, pair, path)
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
