"""The verbs fit, sample and evaluate."""

from __future__ import annotations

import argparse
import ast
import sys
import time
from typing import TYPE_CHECKING, Any

from synth_estimators._optional import require
from synth_estimators.cli._io import (
    TABLE_SUFFIXES,
    CliError,
    TableWriter,
    atomic_path,
    check_output,
    check_suffix,
    known_names,
    note,
    read_model,
    read_table,
    split_target,
    write_model,
    write_text,
)
from synth_estimators.cli._progress import epoch_bar, progress
from synth_estimators.cli._schema import print_schema, read_types, write_dates
from synth_estimators.cli._where import WhereSampler

if TYPE_CHECKING:
    import pandas as pd

_CHUNK_ELEMENTS = 2_000_000
_CONDITIONAL = ("CVAE", "CalibratedGaussian")
# Learn the target as a column of the table.
_JOINT = ("SequentialCART", "NeighborInterpolation", "TabularAR", "CTGAN", "ACTGAN", "TVAE")
_WORDS = {"true": True, "false": False, "none": None}


def run_fit(arguments: argparse.Namespace) -> int:
    """Fit a generator to a table and save it."""
    output = arguments.output
    check_suffix(output, (".joblib",), option="--output")
    check_output(output, force=arguments.force, inputs=[arguments.data])
    frame = read_table(arguments.data, option="--data")
    frame = drop_columns(frame, arguments.drop)
    if arguments.drop_missing:
        frame = drop_missing(frame)
    X, y, position, target = frame, None, None, arguments.target
    if target is not None:
        X, y = split_target(frame, target, source=f"--data {arguments.data}")
    name = _generator_name(arguments, X)
    joint = name in _JOINT or (_takes_mixed(name) and _is_mixed(X))
    dates: dict[str, Any] = {}
    if joint:
        X, y, target = frame, None, None
    elif target is not None:
        y = check_target(y)
        position = list(frame.columns).index(target)
    if not joint:
        _check_features(X)
    model, inner = _build_generator(arguments, name, X, has_target=y is not None)
    if joint:
        X, dates = read_types(X, inner, typed=arguments.data.suffix.lower() == ".parquet")
        print_schema(X, inner, dates)
    start = time.perf_counter()
    with epoch_bar(inner, f"fitting {type(inner).__name__}"):
        _fit_or_keep(model, X, y)
    seconds = time.perf_counter() - start
    _forget_callbacks(model)
    bundle = {"model": model, "target": target, "target_position": position, "dates": dates}
    write_model(bundle, output, force=arguments.force)
    print(
        f"{type(inner).__name__} fitted on {len(X)} rows x {X.shape[1]} columns"
        f"{'' if y is None else f', {y.nunique()} classes'} in {seconds:.1f} s; saved as {output}."
    )
    print(f"Next: synth-estimators sample --model {output} --n-samples {len(X)} --output rows.csv")
    return 0


def _fit_or_keep(model, X, y):
    """Fit; a generator that was broken off but has learned something is kept."""
    try:
        model.fit(X, y)
    except KeyboardInterrupt:
        if not (getattr(model, "_mixed", False) and getattr(model, "n_iter_", 0)):
            raise


def _check_features(
    X: pd.DataFrame, *, way_out: str = "take --generator TabularAR or SequentialCART"
) -> None:
    """Refuse text and empty cells in words of the command line, and name a way out."""
    import pandas as pd

    for name, column in X.items():
        if not pd.api.types.is_numeric_dtype(column.dtype):
            example = column.dropna().iloc[0] if column.notna().any() else None
            raise CliError(
                f"column {name!r} holds no numbers (for example {example!r}); name it with "
                f"--target if it holds the labels, leave it out with --drop, or {way_out}."
            )
    empty = X.isna().sum()
    if empty.any():
        name = empty.index[empty.to_numpy() > 0][0]
        raise CliError(
            f"column {name!r} has {empty[name]} empty cells; fill them, leave such rows out "
            f"with --drop-missing, or {way_out}."
        )


def drop_columns(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Leave out columns by name."""
    for name in names:
        if name not in frame.columns:
            raise CliError(f"--drop: no column {name!r}; {known_names(frame.columns, name)}")
    if names and not set(frame.columns) - set(names):
        raise CliError("--drop leaves no column to work with.")
    return frame.drop(columns=names)


def drop_missing(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows with empty or infinite cells and say how many."""
    import numpy as np

    numeric = frame.select_dtypes("number").to_numpy(dtype=np.float64, na_value=np.nan)
    keep = frame.notna().all(axis=1).to_numpy() & ~np.isinf(numeric).any(axis=1)
    if not keep.any():
        raise CliError("every row has an empty cell; nothing is left to work with.")
    if not keep.all():
        note(f"{int((~keep).sum())} of {len(frame)} rows have empty cells; left out.")
        frame = frame[keep].reset_index(drop=True)
    return frame


def check_target(y: pd.Series) -> pd.Series:
    """Refuse targets that are no class labels."""
    import pandas as pd

    n_classes = y.nunique()
    if y.isna().any():
        raise CliError(
            f"target {y.name!r} is empty in {int(y.isna().sum())} rows; fill or remove these rows."
        )
    if n_classes < 2:
        raise CliError(f"target {y.name!r} has one class ({y.iloc[0]!r}); expected at least two.")
    if pd.api.types.is_float_dtype(y.dtype) and (y % 1 != 0).any():
        raise CliError(
            f"target {y.name!r} holds {n_classes} different numbers with decimals; expected class "
            "labels. Group them into classes first."
        )
    if n_classes > max(20, len(y) // 10):
        raise CliError(
            f"target {y.name!r} has {n_classes} different values in {len(y)} rows; expected class "
            "labels. Is it an identifier or a measurement?"
        )
    if pd.api.types.is_float_dtype(y.dtype):
        return y.astype("int64")
    return y if pd.api.types.is_numeric_dtype(y.dtype) else y.astype(str).astype(object)


def parse_settings(settings: list[str], generator: Any) -> dict[str, Any]:
    """Read ``KEY=VALUE`` words; values are Python literals, true, false, none or text."""
    known = generator.get_params(deep=False)
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        key, text = key.strip(), text.strip()
        if not sign or not key or not text:
            raise CliError(f"--set {setting!r} is not KEY=VALUE; for example latent_dim=16.")
        if key not in known:
            raise CliError(
                f"--set: {type(generator).__name__} has no parameter {key!r}; "
                f"{known_names(known, key)}"
            )
        if text.lower() in _WORDS:
            parsed[key] = _WORDS[text.lower()]
            continue
        try:
            parsed[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parsed[key] = text
    return parsed


def _takes_mixed(name):
    import synth_estimators as se

    return getattr(se, name)._mixed


def _is_mixed(X):
    """Whether a table holds more than complete numbers."""
    import pandas as pd

    plain = all(pd.api.types.is_numeric_dtype(dtype) for dtype in X.dtypes)
    return not plain or bool(X.isna().to_numpy().any())


def _generator_name(arguments, X):
    if arguments.generator is not None:
        return arguments.generator
    if _is_mixed(X):
        note("the table holds text or empty cells; using TabularAR.")
        return "TabularAR"
    return "CVAE" if arguments.target is not None else "VAE"


def _build_generator(arguments, name, X, *, has_target):
    """Return the model to fit and the generator inside it."""
    import synth_estimators as se

    if name == "CVAE" and not has_target:
        raise CliError("--generator CVAE needs --target; without labels use VAE.")
    inner = getattr(se, name)()
    if "random_state" in inner.get_params(deep=False):
        inner.set_params(random_state=arguments.seed)
    if arguments.target is not None and "target" in inner.get_params(deep=False):
        inner.set_params(target=arguments.target)
    inner.set_params(**parse_settings(arguments.settings, inner))
    model = inner
    if has_target and name not in _CONDITIONAL:
        model = se.ClassConditionalGenerator(inner, random_state=arguments.seed)
    if arguments.log2:
        if _is_mixed(X) or (name in _JOINT and arguments.target is not None):
            raise CliError(f"--log2 is for tables of numbers; leave it out with {name}.")
        counts = all(dtype.kind in "iub" for dtype in X.dtypes)
        model = se.TransformedGenerator(model, transformer=se.Log2Transformer(round_counts=counts))
    return model, inner


def _forget_callbacks(model):
    """Take the progress bar out of fitted clones, so that it is not saved with them."""
    pending = [model]
    while pending:
        part = pending.pop()
        part.__dict__.pop("_skl_callbacks", None)
        pending += [
            p
            for p in (getattr(part, "generator_", None), getattr(part, "generator", None))
            if p is not None
        ]
        pending += list(getattr(part, "generators_", []))


def run_sample(arguments: argparse.Namespace) -> int:
    """Draw rows from a saved generator, chunk by chunk."""
    output = arguments.output
    check_suffix(output, TABLE_SUFFIXES, option="--output")
    check_output(output, force=arguments.force, inputs=[arguments.model])
    bundle = read_model(arguments.model)
    label = _known_label(bundle["model"], arguments.label)
    n_samples, n_written = arguments.n_samples, 0
    rows = _rows(bundle, n_samples, label=label, where=arguments.where, seed=arguments.seed)
    with (
        atomic_path(output, force=arguments.force) as temporary,
        TableWriter(temporary, output.suffix.lower()) as writer,
        progress(n_samples, unit="row", text="sampling") as bar,
    ):
        for chunk in rows:
            writer.write(chunk)
            bar.update(len(chunk))
            n_written += len(chunk)
    print(f"{n_written} rows written to {output}.")
    return 0


def _known_label(model: Any, text: str | None) -> Any:
    """Find the class that the user's word names."""
    if text is None:
        return None
    classes = getattr(model, "classes_", None)
    if classes is None:
        raise CliError(
            "--label: the model holds no class labels; leave --label out, or ask for values of "
            "any column with --where COLUMN=VALUE."
        )
    for label in classes.tolist():
        if str(label) == text:
            return label
    names = [str(label) for label in classes]
    raise CliError(f"--label: no class {text!r}; {known_names(names, text)}")


def _rows(bundle, n_samples, *, label, where, seed):
    """Yield data frames of rows, as the table that was fitted holds them."""
    model, dates = bundle["model"], bundle.get("dates", {})
    chunk_size = max(1, _CHUNK_ELEMENTS // max(1, getattr(model, "n_features_in_", 1)))
    if where:
        if _is_labelled(model):
            raise CliError(
                "--where: the model draws labels and rows apart; take --label, or fit a generator "
                "of mixed tables such as TabularAR."
            )
        chunks = WhereSampler(model, where, dates).chunks(n_samples, chunk_size, seed)
    else:
        chunks = _chunks(bundle, n_samples, chunk_size, label=label, seed=seed)
    for chunk in chunks:
        yield write_dates(as_frame(chunk), dates)


def _is_labelled(model):
    return hasattr(model, "classes_") and hasattr(model, "sample_labeled")


def _chunks(bundle, n_samples, chunk_size, *, label, seed):
    """Yield tables of rows, the labels in the place of the target."""
    from synth_estimators._random import spawn_seeds

    model, target = bundle["model"], bundle["target"]
    sizes = [chunk_size] * (n_samples // chunk_size)
    if n_samples % chunk_size or n_samples == 0:
        sizes.append(n_samples % chunk_size)
    labelled = _is_labelled(model)
    if not labelled and n_samples > 0 and hasattr(model, "sample_iter"):
        yield from model.sample_iter(n_samples, chunk_size=chunk_size, random_state=seed)
        return
    for size, chunk_seed in zip(sizes, spawn_seeds(seed, len(sizes)), strict=True):
        if not labelled:
            yield model.sample(size, random_state=chunk_seed)
            continue
        if label is None:
            X, y = model.sample_labeled(size, random_state=chunk_seed)
        else:
            X, y = model.sample_labeled(None, class_counts={label: size}, random_state=chunk_seed)
        X = as_frame(X)
        position = bundle["target_position"]
        position = X.shape[1] if position is None else min(position, X.shape[1])
        X.insert(position, target or "label", y)
        yield X


def as_frame(X: Any) -> pd.DataFrame:
    """Rows of any container as a pandas data frame."""
    import pandas as pd

    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "to_pandas"):
        return X.to_pandas()
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Judge a table of synthetic rows."""
    from synth_estimators.cli._scores import format_report

    given = {"train": arguments.train, "holdout": arguments.holdout}
    given |= {"synthetic": arguments.synthetic}
    files = {name: path for name, path in given.items() if path is not None}
    outputs = (("--json", arguments.json, (".json",)), ("--html", arguments.html, (".html",)))
    for option, path, suffixes in outputs:
        if path is not None:
            check_suffix(path, suffixes, option=option)
            check_output(path, force=arguments.force, inputs=files.values())
    if arguments.html is not None:
        require("jinja2", extra="report", purpose="--html")
    train = read_table(arguments.train, option="--train")
    train = drop_columns(train, arguments.drop)
    tables = {
        name: _same_columns(read_table(path, option=f"--{name}"), train, arguments, f"--{name}")
        for name, path in files.items()
        if name != "train"
    }
    if arguments.target is not None:
        split_target(train, arguments.target, source=f"--train {arguments.train}")
    holdout = tables.get("holdout")
    from synth_estimators.report import evaluate_synthetic

    if sys.stderr.isatty():
        note("comparing; 'fast' takes seconds, 'standard' up to a minute.")
    report = evaluate_synthetic(
        train,
        holdout,
        tables["synthetic"],
        target=arguments.target,
        metrics=arguments.metrics,
        random_state=arguments.seed,
    )
    against = "training rows" if holdout is None else f"{len(holdout)} held-out real rows"
    columns = "1 column" if train.shape[1] == 1 else f"{train.shape[1]} columns"
    print(
        f"{len(tables['synthetic'])} synthetic rows against {against} "
        f"({len(train)} training rows, {columns})\n"
    )
    print(format_report(report))
    if arguments.json is not None:
        _write_json(arguments, report, files)
        print(f"Numbers written to {arguments.json}.")
    if arguments.html is not None:
        write_text(report.to_html(), arguments.html, force=arguments.force)
        print(f"Page written to {arguments.html}.")
    return 0


def _same_columns(frame, train, arguments, option):
    path = getattr(arguments, option.lstrip("-"))
    frame = frame.drop(columns=arguments.drop, errors="ignore")
    missing = [name for name in train.columns if name not in frame.columns]
    extra = [name for name in frame.columns if name not in train.columns]
    if missing:
        raise CliError(f"{option} {path} lacks the column {missing[0]!r} of --train.")
    if extra:
        raise CliError(f"{option} {path} has a column {extra[0]!r} that --train lacks.")
    return frame[list(train.columns)]


def _write_json(arguments, report, files):
    import json

    content = json.loads(report.to_json())
    content["files"] = {name: str(path) for name, path in files.items()}
    write_text(json.dumps(content, indent=2) + "\n", arguments.json, force=arguments.force)
