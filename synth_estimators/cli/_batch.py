"""The task simulate of the verb batch, and what its tasks share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth_estimators.cli._io import (
    TABLE_SUFFIXES,
    CliError,
    check_output,
    check_suffix,
    known_names,
    note,
    read_table,
    write_table,
    write_text,
)

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_NAMES = 6
_SHOWN_BATCHES = 12
_MOST_SUSPECTS = 5


def check_outputs(
    arguments: argparse.Namespace, outputs: dict[str, tuple[str, ...]], inputs: Iterable[str]
) -> None:
    """Refuse outputs with a wrong suffix or that exist, before any work is done."""
    given = [path for name in inputs if (path := getattr(arguments, name)) is not None]
    for name, suffixes in outputs.items():
        path = getattr(arguments, name)
        if path is not None:
            check_suffix(path, suffixes, option=f"--{name.replace('_', '-')}")
            check_output(path, force=arguments.force, inputs=given)


def columns_of(frame: pd.DataFrame, text: str | None, *, option: str, source: Path) -> list[str]:
    """Read column names with commas between, and find each in the table."""
    if text is None:
        return []
    # A name that holds commas itself is taken as it is.
    names = [text] if text in frame.columns else [part.strip() for part in text.split(",")]
    for name in names:
        if name not in frame.columns:
            raise CliError(
                f"{option}: {source} has no column {name!r}; {known_names(frame.columns, name)}"
            )
    return list(dict.fromkeys(names))


def numeric_features(
    frame: pd.DataFrame, others: Iterable[str], *, purpose: str = "correct"
) -> list[str]:
    """Return the numeric columns that play no other part."""
    import pandas as pd

    others = set(others)
    features = [
        name
        for name, dtype in frame.dtypes.items()
        if name not in others
        and pd.api.types.is_numeric_dtype(dtype)
        and not pd.api.types.is_bool_dtype(dtype)
    ]
    if not features:
        raise CliError(f"no numeric column is left to {purpose}.")
    return features


def shown(names: list[str]) -> str:
    """Write the first names."""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(repr(name) for name in names[:_SHOWN_NAMES]) + more


def note_carried(frame: pd.DataFrame, features: list[str]) -> None:
    """Say which columns stay as they are, and which numbers look like no measurements."""
    import pandas as pd

    known = set(features)
    carried = [name for name in frame.columns if name not in known]
    if carried:
        note(f"left unchanged: {shown(carried)}.")
    whole = [name for name in features if pd.api.types.is_integer_dtype(frame[name].dtype)]
    if 0 < len(whole) <= _MOST_SUSPECTS and 2 * len(whole) < len(features):
        note(
            f"changed like measurements, though whole numbers: {shown(whole)}; labels, outcomes "
            f"and identifiers stay as they are with {' '.join(f'--keep {name}' for name in whole)}."
        )


def merged(frame: pd.DataFrame, features: list[str], changed: pd.DataFrame) -> pd.DataFrame:
    """Put the changed columns in the places of the features, new names at the end."""
    import pandas as pd

    known = set(features)
    others = frame[[name for name in frame.columns if name not in known]]
    table = pd.concat([others, changed], axis=1)
    if list(changed.columns) == features:
        table = table[list(frame.columns)]
    return table


def run_simulate(arguments: argparse.Namespace) -> int:
    """Put batch effects into a table."""
    from synth_estimators.batch_effects import BatchEffectSimulator

    outputs = {"output": TABLE_SUFFIXES, "effects": (".json",)}
    check_outputs(arguments, outputs, ["data"])
    source = arguments.data
    frame = read_table(source, option="--data")
    if arguments.batch in frame.columns:
        raise CliError(
            f"{source} has a column {arguments.batch!r} already; name another with --batch."
        )
    target = columns_of(frame, arguments.target, option="--target", source=source)
    if len(target) > 1:
        raise CliError(f"--target takes one column, got {len(target)}: {shown(target)}.")
    if arguments.confounding > 0 and not target:
        raise CliError("--confounding needs --target, the column with the classes to follow.")
    keep = kept_columns(frame, arguments)
    affected = columns_of(frame, arguments.features, option="--features", source=source)
    features = affected or numeric_features(frame, [*target, *keep], purpose="shift")
    text = [name for name in features if name not in numeric_features(frame, ())]
    if text:
        raise CliError(f"--features: column {text[0]!r} holds no numbers.")
    simulator = BatchEffectSimulator(
        n_batches=arguments.n_batches,
        effect_type=arguments.effect_type,
        effect_strength=arguments.strength,
        effect_granularity="scalar" if arguments.scalar else "per_feature",
        proportions=_proportions(arguments.proportions),
        confounding_with_class=arguments.confounding,
        assignment=arguments.assignment,
        positive_factors=arguments.positive_factors,
        random_state=arguments.seed,
    )
    y = frame[target[0]] if target else None
    changed = simulator.fit_transform(frame[features], y)
    table = merged(frame, features, changed)
    table.insert(table.shape[1], arguments.batch, simulator.labels_)
    note_carried(frame, features)
    write_table(table, arguments.output, force=arguments.force)
    print(
        f"{len(frame)} rows in {arguments.n_batches} batches ({sizes_of(table[arguments.batch])}); "
        f"{len(features)} columns changed, labels in column {arguments.batch!r}; written to "
        f"{arguments.output}."
    )
    if arguments.effects is not None:
        text = json.dumps(_truth(arguments, simulator, features, simulator.labels_)) + "\n"
        write_text(text, arguments.effects, force=arguments.force)
        print(f"True effects written to {arguments.effects}.")
    return 0


def kept_columns(frame: pd.DataFrame, arguments: argparse.Namespace) -> list[str]:
    """Return the columns of ``--keep``."""
    return [
        name
        for text in arguments.keep
        for name in columns_of(frame, text, option="--keep", source=arguments.data)
    ]


def _truth(arguments, simulator, features, labels) -> dict[str, Any]:
    """Return what was done to the table, so that it can be undone: (x - shift) / factor."""
    affected = [features[position] for position in simulator.affected_features_]
    counts = [int((labels == batch).sum()) for batch in simulator.batches_]
    return {
        "data": str(arguments.data),
        "effect_type": arguments.effect_type,
        "effect_strength": arguments.strength,
        "confounding": arguments.confounding,
        "seed": arguments.seed,
        "batch_column": arguments.batch,
        "batches": simulator.batches_.tolist(),
        "n_per_batch": counts,
        "columns": affected,
        "shift": simulator.shifts_.tolist(),
        "factor": simulator.factors_.tolist(),
    }


def _proportions(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise CliError(
            f"--proportions {text!r} must be numbers with commas between, such as 0.5,0.3,0.2."
        ) from None


def sizes_of(labels: pd.Series) -> str:
    """Rows of each batch as text."""
    counts = labels.value_counts().sort_index()
    texts = [f"{label}: {count}" for label, count in counts.items()]
    more = f" and {len(texts) - _SHOWN_BATCHES} more" if len(texts) > _SHOWN_BATCHES else ""
    return ", ".join(texts[:_SHOWN_BATCHES]) + more
