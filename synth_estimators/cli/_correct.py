"""The task correct of the verb batch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from synth_estimators.cli._batch import (
    check_outputs,
    columns_of,
    kept_columns,
    merged,
    note_carried,
    numeric_features,
    shown,
    sizes_of,
)
from synth_estimators.cli._batch_options import CORRECTORS
from synth_estimators.cli._commands import parse_settings
from synth_estimators.cli._io import (
    CORRECTION_FORMAT,
    TABLE_SUFFIXES,
    CliError,
    known_names,
    note,
    read_correction,
    read_table,
    write_model,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

_ROLES = ("batch", "covariates", "subject", "protect", "remove")
# Parameters that have a word of their own on the command line.
_WORDS = {
    "batch": "--batch",
    "batch2": "--remove",
    "covariates": "--covariates",
    "design": "--protect",
    "preserve_y": "--protect",
    "reference_batch": "--reference",
    "smooth_terms": "--smooth",
    "subject": "--subject",
    "unseen": "--unseen",
}


def run_correct(arguments: argparse.Namespace) -> int:
    """Remove batch effects from a table."""
    outputs = {"output": TABLE_SUFFIXES, "save_model": (".joblib",)}
    check_outputs(arguments, outputs, ["data", "fit_on", "model"])
    frame = read_table(arguments.data, option="--data")
    if arguments.model is not None:
        correction = _loaded(arguments)
        corrected = _applied(correction, frame, arguments)
    elif arguments.fit_on is not None:
        correction, _ = _fitted(arguments, read_table(arguments.fit_on, option="--fit-on"))
        corrected = _applied(correction, frame, arguments)
    else:
        correction, corrected = _fitted(arguments, frame, apply=True)
        note(
            "fitted on all rows of the table; before judging a model on some of them, fit the "
            "correction without these (--fit-on)."
        )
    features, batch = correction["features"], correction["batch"]
    note_carried(frame, features)
    write_table(merged(frame, features, corrected), arguments.output, force=arguments.force)
    sizes = "; ".join(f"{name!r}: {sizes_of(frame[name])}" for name in batch)
    print(
        f"{len(frame)} rows corrected by {type(correction['model']).__name__} ({sizes}), "
        f"{len(features)} columns; written to {arguments.output}."
    )
    _print_shares(frame, correction, corrected)
    if arguments.save_model is not None:
        write_model(correction, arguments.save_model, force=arguments.force, kind=CORRECTION_FORMAT)
        print(f"Correction saved as {arguments.save_model}.")
    return 0


def _fitted(arguments, frame: pd.DataFrame, *, apply: bool = False) -> tuple[dict[str, Any], Any]:
    """Fit the correction that the words describe; return it with its columns, and its rows."""
    roles = _roles(arguments, frame)
    corrector = _build(arguments, frame, roles)
    used = [name for names in roles.values() for name in names]
    features = numeric_features(frame, [*used, *kept_columns(frame, arguments)])
    design = list(corrector.get_params(deep=False).get("design") or [])
    y = frame[roles["protect"][0]] if roles["protect"] and not design else None
    metadata = [name for role in _ROLES if role != "protect" for name in roles[role]]
    X = frame[features + metadata + design]
    corrected = corrector.fit_transform(X, y) if apply else corrector.fit(X, y) and None
    correction = {
        "model": corrector,
        "features": features,
        "metadata": metadata,
        "batch": roles["batch"],
        "kept_effects": roles["covariates"] + roles["protect"],
        "text": [name for name in metadata if frame[name].dtype.kind not in "iuf"],
    }
    return correction, corrected


def _roles(arguments, frame) -> dict[str, list[str]]:
    """Find the columns that are no features."""
    source = arguments.fit_on or arguments.data
    roles = {
        name: columns_of(frame, getattr(arguments, name), option=f"--{name}", source=source)
        for name in _ROLES
    }
    if not roles["batch"]:
        raise CliError(
            "--batch is missing: name the column with the batch labels; "
            f"{known_names(frame.columns, 'batch')}"
        )
    used = [name for names in roles.values() for name in names]
    if len(set(used)) < len(used):
        twice = next(name for name in used if used.count(name) > 1)
        raise CliError(f"column {twice!r} is named twice; give it one part.")
    return roles


def _build(arguments, frame, roles) -> Any:
    """Return the corrector with the settings of the command line."""
    from synth_estimators import batch_effects

    method = arguments.method or "combat"
    corrector = getattr(batch_effects, CORRECTORS[method])()
    known = corrector.get_params(deep=False)
    batch = roles["batch"]
    if len(batch) > 1 and method != "nested":
        raise CliError(
            f"--batch names {len(batch)} columns; {method} takes one, several need --method nested."
        )
    if method == "longitudinal" and not roles["subject"]:
        raise CliError("--method longitudinal needs --subject, the column with the subjects.")
    values = {
        "batch": batch if method == "nested" else batch[0],
        "unseen": arguments.unseen,
        "subject": next(iter(roles["subject"]), None),
        "smooth_terms": _smooth(arguments, frame, roles),
        "reference_batch": _label(frame[batch[0]], arguments.reference),
    }
    if method == "limma":
        values |= _linear_parts(frame, roles)
    else:
        values |= _kept_effects(method, known, roles)
    for name, value in values.items():
        if value is None:
            continue
        if name not in known:
            raise CliError(f"--method {method} has no use for {_WORDS[name]}; leave it out.")
        corrector.set_params(**{name: value})
    if "random_state" in known:
        corrector.set_params(random_state=arguments.seed)
    settings = parse_settings(arguments.settings, corrector)
    for name in settings:
        if name in _WORDS:
            raise CliError(f"--set {name}: use {_WORDS[name]} instead.")
    if arguments.reference is not None:
        # What a reference is for: the default of these two has none.
        fitting = {"standardize": {"target": "reference"}, "quantile": {"scope": "per_batch"}}
        settings = fitting.get(method, {}) | settings
    return corrector.set_params(**settings)


def _smooth(arguments, frame, roles):
    source = arguments.fit_on or arguments.data
    smooth = columns_of(frame, arguments.smooth, option="--smooth", source=source)
    for name in smooth:
        if name not in roles["covariates"]:
            raise CliError(f"--smooth: {name!r} must be one of --covariates.")
    return smooth or None


def _linear_parts(frame, roles):
    """Sort the columns of limma: a design to keep, further effects to remove."""
    from pandas.api.types import is_numeric_dtype

    if roles["covariates"]:
        raise CliError(
            "--method limma has no use for --covariates; name columns whose effect stays with "
            "--protect, and columns whose effect goes with --remove."
        )
    numbers = [name for name in roles["remove"] if is_numeric_dtype(frame[name].dtype)]
    text = [name for name in roles["remove"] if name not in numbers]
    if len(text) > 1:
        raise CliError(f"--remove takes one column of text beside numbers, got {len(text)}.")
    return {
        "design": roles["protect"] or None,
        "covariates": numbers or None,
        "batch2": next(iter(text), None),
    }


def _kept_effects(method, known, roles):
    if roles["remove"]:
        raise CliError(f"--method {method} has no use for --remove; limma has.")
    if roles["protect"] and "preserve_y" not in known:
        raise CliError(f"--method {method} cannot --protect a column; combat can, or limma.")
    if len(roles["protect"]) > 1:
        raise CliError(f"--method {method} can --protect one column, got {len(roles['protect'])}.")
    return {
        "covariates": roles["covariates"] or None,
        "preserve_y": "fit_only" if roles["protect"] else None,
    }


def _label(labels: pd.Series, text: str | None) -> Any:
    """Find the batch that the user's word names."""
    if text is None:
        return None
    known = labels.dropna().unique().tolist()
    for label in known:
        if str(label) == text:
            return label
    raise CliError(f"--reference: no batch {text!r}; {known_names(map(str, sorted(known)), text)}")


def _loaded(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read a fitted correction; its words were said at the fit."""
    for name in ("method", *_ROLES, "smooth", "reference"):
        if getattr(arguments, name) is not None:
            raise CliError(f"--model is fitted already; leave --{name} out.")
    for name, given in (("set", arguments.settings), ("keep", arguments.keep)):
        if given:
            raise CliError(f"--model is fitted already; leave --{name} out.")
    correction = read_correction(arguments.model)
    if arguments.unseen is not None:
        corrector = correction["model"]
        if "unseen" not in corrector.get_params(deep=False):
            raise CliError(f"--unseen: {type(corrector).__name__} has no use for it; leave it out.")
        corrector.set_params(unseen=arguments.unseen)
    return correction


def _applied(correction, frame: pd.DataFrame, arguments) -> pd.DataFrame:
    """Correct rows that the fit has not seen."""
    needed = correction["features"] + correction["metadata"]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise CliError(
            f"--data {arguments.data} lacks {len(missing)} of the {len(needed)} columns that "
            f"{arguments.model or arguments.fit_on} has, the first is {missing[0]!r}."
        )
    rows = frame[needed]
    # Labels that all look like numbers are read as numbers, even where the fit had text.
    numbers = [name for name in correction["text"] if rows[name].dtype.kind in "iu"]
    rows = rows.assign(**{name: rows[name].astype(str).astype(object) for name in numbers})
    return correction["model"].transform(rows)


def _print_shares(frame, correction, corrected) -> None:
    """Print how much of the variance lies between batches, before and after."""
    features, kept = correction["features"], correction["kept_effects"]
    if list(corrected.columns) != features or bool(frame[features].isna().to_numpy().any()):
        return
    from synth_estimators.batch_effects import batch_variance_fraction

    for name in correction["batch"]:
        n_batches = frame[name].nunique()
        if not 1 < n_batches < len(frame):
            continue
        before, after = (
            batch_variance_fraction(table, frame[name]) for table in (frame[features], corrected)
        )
        print(
            f"Share of the variance that lies between batches of {name!r}: {before:.3f} before, "
            f"{after:.3f} after; labels given by chance would have "
            f"{(n_batches - 1) / (len(frame) - 1):.3f}."
        )
    if kept:
        print(
            f"Where {shown(kept)} differs between batches, its effect was kept and is counted here."
        )
