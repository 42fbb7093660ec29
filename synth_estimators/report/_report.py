"""The result of an evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synth_estimators.report._judgement import Finding

__all__ = ["EvaluationReport"]

_COLUMNS_IN_JSON = 1_000


def _plain(value):
    """Turn a value into what JSON knows; NaN and infinities become null."""
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if value is None else str(value)


def _records(frame):
    return [_plain(row) for row in frame.to_dict("records")]


@dataclass(repr=False)
class EvaluationReport:
    """What :func:`evaluate_synthetic` found.

    Attributes
    ----------
    verdict : str
        One sentence on fidelity, one on privacy.

    warnings : list of Finding
        What a careful reader would object to, the gravest first: lost dependence, copied or
        interpolated rows, collapsed columns, ...

    table : pandas DataFrame
        One row a metric: ``value``, ``greater_is_better``, ``ideal``, ``limit`` (what fresh real
        rows reach), ``floor`` (columns shuffled independently), ``calibrated`` (0 at the floor, 1
        at the limit), ``light``, ``reading`` (the light in words) and ``note``.

    columns : pandas DataFrame
        One row a column, the most suspicious first.

    pairs : pandas DataFrame
        The pairs of columns whose dependence differs most.

    importances : pandas DataFrame
        Which columns give the rows away in the tree two-sample test.

    n_rows : dict
        Rows of the tables.

    versions : dict
        Versions of the packages that computed the numbers.

    seed : int
        Seed of subsamples, folds and models.

    fidelity, privacy : {"good", "fair", "poor", "none"}
        The two lights behind the verdict.

    settings : dict
        What was asked for.
    """

    verdict: str
    warnings: list[Finding]
    table: pd.DataFrame
    columns: pd.DataFrame
    pairs: pd.DataFrame
    importances: pd.DataFrame
    n_rows: dict[str, int]
    versions: dict[str, str]
    seed: int
    fidelity: str
    privacy: str
    settings: dict[str, Any] = field(default_factory=dict)
    _figures: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<EvaluationReport: {self.verdict} ({len(self.table)} metrics)>"

    def __str__(self) -> str:
        lines = [self.verdict, *(f"- {finding.text}" for finding in self.warnings), ""]
        shown = self.table[["value", "limit", "floor", "calibrated", "reading"]]
        return "\n".join([*lines, shown.to_string(float_format="{:.3f}".format, na_rep="-")])

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table of metrics.

        Returns
        -------
        table : pandas DataFrame
        """
        return self.table.copy()

    def to_json(self, path: Any = None, *, force: bool = False) -> str:
        """Write everything as plain numbers.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write; None only returns the text.

        force : bool, default=False
            Overwrite an existing file.

        Returns
        -------
        text : str
            JSON; undefined numbers are null.
        """
        content = {
            "verdict": self.verdict,
            "fidelity": self.fidelity,
            "privacy": self.privacy,
            "warnings": [finding._asdict() for finding in self.warnings],
            "n_rows": _plain(self.n_rows),
            "settings": _plain(self.settings),
            "seed": self.seed,
            "versions": self.versions,
            "metrics": {
                str(name): _plain(row) for name, row in self.table.to_dict("index").items()
            },
            "columns": _records(self.columns.head(_COLUMNS_IN_JSON)),
            "pairs": _records(self.pairs),
            "importances": _records(self.importances.head(_COLUMNS_IN_JSON)),
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if path is not None:
            _write(text, path, force=force)
        return text

    def to_html(self) -> str:
        """Render the page.

        Returns
        -------
        html : str
            One document without links to anything outside it.
        """
        from synth_estimators.report._html import render_page

        return render_page(self)

    def save_html(self, path: Any, *, force: bool = False) -> Path:
        """Write the page as one self-contained file.

        Parameters
        ----------
        path : str or path-like
            File to write.

        force : bool, default=False
            Overwrite an existing file.

        Returns
        -------
        path : Path
            The file.

        Raises
        ------
        FileExistsError
            If the file exists and ``force`` is False.

        ImportError
            If jinja2 is not installed.
        """
        return _write(self.to_html(), path, force=force)

    def _repr_html_(self) -> str:
        from synth_estimators.report._html import render_fragment

        return render_fragment(self)


def _write(text, path, *, force):
    """Write a text file whole or not at all."""
    path = Path(path)
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; pass force=True to overwrite it.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # An exclusive create with the usual mode lets the umask decide who may read the result.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
