"""Files in and out of the command line: read with clear errors, written whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv", ".parquet")
MODEL_FORMAT = "synth-estimators model"
CORRECTION_FORMAT = "synth-estimators batch correction"


class CliError(Exception):
    """What the user reads as one line on stderr."""


def note(message: str) -> None:
    """Tell the user something on stderr, out of the way of results on stdout."""
    print(f"synth-estimators: {message}", file=sys.stderr)


def check_suffix(path: Path, suffixes: Iterable[str], *, option: str) -> None:
    """Refuse a file name whose ending does not say a known format."""
    suffixes = tuple(suffixes)
    if path.suffix.lower() not in suffixes:
        found = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
        raise CliError(f"{option} {path} {found}; expected {' or '.join(suffixes)}.")


def check_output(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output that exists or cannot be created, before any work is done."""
    if path.is_dir():
        raise CliError(f"output {path} is a folder; pass a file name.")
    for given in inputs:
        if path.exists() and given.exists() and path.samefile(given):
            raise CliError(f"output {path} is also an input; choose another name.")
    if path.exists() and not force:
        raise CliError(f"output {path} exists; pass --force to overwrite it.")
    if not path.parent.is_dir():
        raise CliError(f"folder {path.parent} for the output does not exist; create it first.")
    if not os.access(path.parent, os.W_OK):
        raise CliError(f"folder {path.parent} is not writable.")
    try:
        # Permissions do not tell of every folder in which no file can be made.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as exc:
        raise CliError(f"cannot write to folder {path.parent}: {_reason(exc)}.") from exc


@contextmanager
def atomic_path(path: Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary path in the same folder that becomes ``path`` when the block succeeds.

    Readers see the old file or the whole new one. When the block raises, the temporary file is
    removed; a process killed outright leaves at most a hidden ``.tmp`` file, never a part of
    ``path``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # An exclusive create with the usual mode lets the umask decide who may read the result.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        descriptor = os.open(temporary, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if force:
            os.replace(temporary, path)
        else:
            _place_new(temporary, path)
    except OSError as exc:
        raise CliError(f"cannot write {path}: {_reason(exc)}.") from exc
    finally:
        temporary.unlink(missing_ok=True)


def _place_new(temporary: Path, path: Path) -> None:
    """Move into place without overwriting a file that appeared meanwhile."""
    if path.exists():
        raise CliError(f"output {path} exists; pass --force to overwrite it.")
    os.replace(temporary, path)


def _reason(exc: OSError) -> str:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk; free some and run again"
    return (exc.strerror or str(exc)).rstrip(".")


def read_table(path: Path, *, option: str) -> pd.DataFrame:
    """Read a CSV or Parquet file, or say in one line why not."""
    import pandas as pd

    check_suffix(path, TABLE_SUFFIXES, option=option)
    _check_readable(path, option=option)
    if path.suffix.lower() == ".parquet":
        _require_pyarrow()
    try:
        if path.suffix.lower() == ".csv":
            frame = pd.read_csv(path)
        else:
            frame = pd.read_parquet(path, engine="pyarrow")
    except pd.errors.EmptyDataError:
        raise CliError(f"{option} {path} is empty; expected a header and rows.") from None
    except OSError as exc:
        # pyarrow reports a damaged file as OSError without an error number.
        raise CliError(f"cannot read {option} {path}: {_reason(exc)}.") from exc
    except (ValueError, RuntimeError) as exc:
        kind = path.suffix.lower().lstrip(".").upper()
        raise CliError(f"{option} {path} is not a valid {kind} file: {exc}") from exc
    if list(frame.columns[:1]) == ["Unnamed: 0"]:
        note(f"{path}: the first column has no name and is taken for row names; left out.")
        frame = frame.iloc[:, 1:]
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise CliError(
            f"{option} {path} holds {frame.shape[0]} rows and {frame.shape[1]} columns; expected "
            "at least one of each."
        )
    frame.columns = [str(name) for name in frame.columns]
    if not frame.columns.is_unique:
        repeated = frame.columns[frame.columns.duplicated()][0]
        raise CliError(f"{option} {path} has two columns called {repeated!r}; rename one.")
    return frame


def _check_readable(path: Path, *, option: str) -> None:
    if path.is_dir():
        raise CliError(f"{option} {path} is a folder; expected a file.")
    if not path.exists():
        raise CliError(f"{option} {path} does not exist.")
    if not os.access(path, os.R_OK):
        raise CliError(f"{option} {path} cannot be read: permission denied.")


def _require_pyarrow() -> None:
    from synth_estimators._optional import require

    require("pyarrow", extra="parquet", purpose="Reading and writing Parquet files")


def split_target(frame: pd.DataFrame, target: str, *, source: str) -> tuple[pd.DataFrame, Any]:
    """Separate the target column from the features."""
    if target not in frame.columns:
        raise CliError(f"{source} has no column {target!r}; {known_names(frame.columns, target)}")
    if frame.shape[1] == 1:
        raise CliError(f"{source} holds nothing beside the target {target!r}.")
    return frame.drop(columns=target), frame[target]


def known_names(names: Iterable[str], wanted: str) -> str:
    """Offer close matches to a mistyped name, else list the first names there are."""
    import difflib

    names = list(names)
    near = difflib.get_close_matches(wanted, names, n=3)
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near)}?"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"there are {', '.join(repr(name) for name in names[:8])}{more}."


class TableWriter:
    """Writes chunks of rows to one CSV or Parquet file.

    Parameters
    ----------
    path : Path
        File to write.

    suffix : {".csv", ".parquet"}
        The format; the name of a temporary file does not tell.
    """

    def __init__(self, path: Path, suffix: str) -> None:
        self.path = path
        self.suffix = suffix
        self._handle: Any = None
        self._schema: Any = None

    def __enter__(self) -> TableWriter:
        if self.suffix == ".csv":
            self._handle = open(self.path, "w", encoding="utf-8", newline="")
        else:
            _require_pyarrow()
        return self

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        if self.suffix == ".csv":
            frame.to_csv(self._handle, index=False, header=self._handle.tell() == 0)
            return
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
        if self._handle is None:
            self._schema = table.schema
            self._handle = pyarrow.parquet.ParquetWriter(self.path, table.schema)
        self._handle.write_table(table)

    def __exit__(self, *exc_info: object) -> None:
        if self._handle is not None:
            self._handle.close()


def write_table(frame: pd.DataFrame, path: Path, *, force: bool) -> None:
    """Write a whole table, by the suffix of ``path``."""
    with (
        atomic_path(path, force=force) as temporary,
        TableWriter(temporary, path.suffix.lower()) as writer,
    ):
        writer.write(frame)


def write_text(text: str, path: Path, *, force: bool) -> None:
    """Write a text file."""
    with atomic_path(path, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_figure(figure: Any, path: Path, *, force: bool) -> None:
    """Write a matplotlib figure as PNG."""
    with atomic_path(path, force=force) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def write_model(bundle: dict, path: Path, *, force: bool, kind: str = MODEL_FORMAT) -> None:
    """Write a fitted model with what is needed to name and place columns beside the features."""
    import joblib

    with atomic_path(path, force=force) as temporary:
        joblib.dump({"format": kind, **bundle}, temporary, compress=3)


def read_model(path: Path) -> dict:
    """Read a model file; a bare fitted generator saved with joblib is accepted too."""
    writer = "'synth-estimators fit'"
    bundle = _unpickle(path, writer=writer)
    if isinstance(bundle, dict) and bundle.get("format") == MODEL_FORMAT:
        return bundle
    if hasattr(bundle, "sample"):
        return {"model": bundle, "target": None, "target_position": None}
    raise CliError(
        f"--model {path} holds a {type(bundle).__name__}, not a generator; expected a file "
        f"written by {writer}."
    )


def read_correction(path: Path) -> dict:
    """Read a fitted correction of batch effects."""
    writer = "'synth-estimators batch correct --save-model'"
    bundle = _unpickle(path, writer=writer)
    if isinstance(bundle, dict) and bundle.get("format") == CORRECTION_FORMAT:
        return bundle
    raise CliError(f"--model {path} is no correction; expected a file written by {writer}.")


def _unpickle(path: Path, *, writer: str) -> Any:
    import joblib

    _check_readable(path, option="--model")
    try:
        return joblib.load(path)
    except Exception as exc:
        # Unpickling a foreign or damaged file can raise anything.
        raise CliError(
            f"--model {path} cannot be loaded ({type(exc).__name__}: {exc}); expected a file "
            f"written by {writer} with the same package versions."
        ) from exc
