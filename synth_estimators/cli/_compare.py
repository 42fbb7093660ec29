"""The verb compare: several generators, or several synthetic files, beside the baselines."""

from __future__ import annotations

import argparse
import contextlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth_estimators.cli._commands import check_target, drop_columns, parse_settings
from synth_estimators.cli._io import (
    TABLE_SUFFIXES,
    CliError,
    check_output,
    check_suffix,
    known_names,
    note,
    read_table,
    split_target,
    write_table,
    write_text,
)

if TYPE_CHECKING:
    import pandas as pd

# Metric of the result -> header and decimals, as far as the result has it.
_COLUMNS = {
    "rank": ("rank", 0),
    "score": ("score", 2),
    "score_sd": ("sd", 2),
    "column_shapes_score": ("shapes", 2),
    "column_pair_trends_score": ("trends", 2),
    "c2st_auc": ("tree C2ST", 2),
    "utility_ratio": ("utility", 2),
    "dcr_share": ("DCR share", 2),
    "membership_auc": ("membership", 2),
    "fit_time": ("fit s", 1),
}

_LEVEL = 0.05

_LEGEND = """\
  score       mean of the calibrated metrics: 0 = independent columns, 1 = real rows
  sd          its standard deviation over the folds
  tree C2ST   AUC of boosted trees that tell the rows from held-out ones; ideal 0.5
  utility     score of a model trained on the rows over that of one trained on real ones; ideal 1
  DCR share   share of rows nearer to a training than to a held-out row; ideal 0.5, copies 1
  membership  AUC of telling training from held-out rows by these rows; ideal 0.5, copies 1"""


def run_compare(arguments: argparse.Namespace) -> int:
    """Rank generators on folds of a table, or synthetic files beside each other."""
    for path, suffixes, option in (
        (arguments.json, (".json",), "--json"),
        (arguments.output, TABLE_SUFFIXES, "--output"),
    ):
        if path is not None:
            check_suffix(path, suffixes, option=option)
            check_output(path, force=arguments.force, inputs=_inputs(arguments))
    result = _compare_files(arguments) if arguments.synthetic else _compare_generators(arguments)
    print(_format(result))
    print()
    print(_conclusion(result))
    print()
    print(_LEGEND)
    for text in result._notes():
        note(text)
    if arguments.output is not None:
        table = result.to_frame().rename_axis("generator").reset_index()
        write_table(table, arguments.output, force=arguments.force)
    if arguments.json is not None:
        write_text(result.to_json() + "\n", arguments.json, force=arguments.force)
    return 0


def _inputs(arguments):
    paths = [arguments.data, arguments.train, arguments.holdout]
    paths += [path for _, path in map(_named_path, arguments.synthetic)]
    return [path for path in paths if path is not None]


def _named_path(text: str) -> tuple[str, Path]:
    """Split NAME=FILE; without a name it is that of the file."""
    name, sign, path = text.partition("=")
    if sign and name and path and not Path(text).exists():
        return name, Path(path)
    return Path(text).stem, Path(text)


def _compare_files(arguments: argparse.Namespace) -> Any:
    from synth_estimators.model_selection import compare_tables

    if arguments.train is None or arguments.holdout is None:
        raise CliError("--synthetic needs --train and --holdout, the real rows to compare with.")
    if arguments.data is not None or arguments.generator:
        raise CliError("give either --data and --generator, or --synthetic files, not both.")
    train = drop_columns(read_table(arguments.train, option="--train"), arguments.drop)
    holdout = read_table(arguments.holdout, option="--holdout")
    # Other tables may lack a column that is left out anyway.
    holdout = holdout.drop(columns=arguments.drop, errors="ignore")
    tables: dict[str, pd.DataFrame] = {}
    for name, path in map(_named_path, arguments.synthetic):
        if name in tables:
            raise CliError(f"--synthetic: two tables are called {name!r}; write NAME={path}.")
        table = read_table(path, option="--synthetic")
        tables[name] = table.drop(columns=arguments.drop, errors="ignore")
    target = arguments.target
    if target is not None and target not in train.columns:
        raise CliError(f"--target: no column {target!r}; {known_names(train.columns, target)}")
    return compare_tables(
        tables,
        train,
        holdout,
        target=target,
        discrete_columns=_discrete(train, target),
        **_options(arguments),
    )


def _options(arguments):
    return {
        "metrics": arguments.metrics,
        "baselines": not arguments.no_baselines,
        "n_jobs": arguments.jobs,
        "random_state": arguments.seed,
    }


def _discrete(frame: pd.DataFrame, target: str | None) -> Any:
    """Take a target of few whole numbers as labels, besides text and booleans."""
    from synth_estimators.preprocessing._columns import is_discrete_dtype

    if target is None or not _is_labels(frame[target]):
        return "auto"
    columns = [name for name, dtype in frame.dtypes.items() if is_discrete_dtype(dtype)]
    return [*columns, target] if target not in columns else columns


def _is_labels(column: pd.Series) -> bool:
    try:
        check_target(column)
    except CliError:
        return False
    return True


def _compare_generators(arguments: argparse.Namespace) -> Any:
    from synth_estimators.model_selection import compare_generators

    if arguments.data is None:
        raise CliError("give --data and --generator, or --train, --holdout and --synthetic files.")
    if arguments.train is not None or arguments.holdout is not None:
        raise CliError("--train and --holdout belong to --synthetic; --data is split in folds.")
    frame = read_table(arguments.data, option="--data")
    frame = drop_columns(frame, arguments.drop)
    X, y, target = frame, None, arguments.target
    if target is not None:
        X, y = split_target(frame, target, source=f"--data {arguments.data}")
        if _is_labels(y):
            y, target = check_target(y), None
        else:
            X, y = frame, None
    generators = _generators(arguments, labelled=y is not None)
    with _quiet_folds():
        return compare_generators(
            generators, X, y, cv=arguments.cv, target=target, **_options(arguments)
        )


def _generators(arguments, *, labelled):
    """Read NAME or NAME:KEY=VALUE,KEY=VALUE words."""
    import synth_estimators as se
    from synth_estimators.cli import GENERATORS

    models = {}
    for word in arguments.generator:
        name, _, text = word.partition(":")
        if name not in GENERATORS:
            raise CliError(f"--generator: no generator {name!r}; {known_names(GENERATORS, name)}")
        if name == "CVAE" and not labelled:
            raise CliError("--generator CVAE needs --target with class labels; else use VAE.")
        model = getattr(se, name)()
        model.set_params(**parse_settings([part for part in text.split(",") if part], model))
        if word in models:
            raise CliError(f"--generator: {word!r} is given twice.")
        models[word] = model
    if not models and arguments.no_baselines:
        raise CliError("nothing to compare: name a --generator or leave out --no-baselines.")
    return models


@contextlib.contextmanager
def _quiet_folds():
    """Leave out warnings that every fold of every network would repeat."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("once", UserWarning)
        yield


def _format(result: Any) -> str:
    """Lay out the generators, best first, and the two references below a line."""
    import pandas as pd

    shown = {key: value for key, value in _COLUMNS.items() if key in result.table.columns}
    lines = [["generator", *(header for header, _ in shown.values())]]
    body = pd.concat(
        [
            result.table,
            result.references.rename(
                {"limit": "(real training rows)", "floor": "(columns shuffled)"}
            ),
        ]
    )
    for name, row in body.iterrows():
        cells = [_cell(row.get(key), decimals) for key, (_, decimals) in shown.items()]
        lines.append([str(name), *cells])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, texts))
    n_models = len(result.table)
    return "\n".join([texts[0], rule, *texts[1 : n_models + 1], rule, *texts[n_models + 1 :]])


def _cell(value: Any, decimals: int) -> str:
    import pandas as pd

    return "-" if value is None or pd.isna(value) else f"{value:.{decimals}f}"


def _conclusion(result: Any) -> str:
    """Say in a sentence what can be told apart."""
    ranked = result.table[result.table["score"].notna()]
    if ranked.empty:
        return "No generator could be scored; see the notes."
    clean = ranked[ranked["flag"].astype(str) == ""]
    n_folds = len(result.sizes)
    text = f"Over {n_folds} folds" if n_folds > 1 else "On one split"
    if clean.empty:
        return f"{text}, every table with a score carries a flag; see the notes."
    best = clean.index[0]
    text += f", {best} has the highest score among the rows that do not look like copies."
    if n_folds < 2:
        return text + " One split does not say whether the others differ from it by chance."
    tested = [other for other in clean.index if other != best]
    equals = [
        other
        for other, p in zip(tested, _adjusted(result, best, tested), strict=True)
        if not p < _LEVEL
    ]
    if equals:
        return text + f" Not told apart from it: {', '.join(equals)}."
    return text + f" All others score lower (Holm-adjusted p < {_LEVEL})."


def _adjusted(result, best, others):
    """Holm-adjusted p-values of the best generator against each other one.

    Which one is best was read from the same folds, so the family is that of all pairs.
    """
    from synth_estimators.model_selection._statistics import holm

    if not others:
        return []
    pairs = list(itertools.combinations([best, *others], 2))
    adjusted = holm([result.compare(first, second).pvalue for first, second in pairs])
    return adjusted[: len(others)].tolist()
