"""Rows that meet the clauses of ``--where``, from any generator of whole tables."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from synth_estimators.cli._io import CliError, known_names, note

if TYPE_CHECKING:
    import pandas as pd

_MAX_TRIES = 100


class WhereSampler:
    """Draws rows of a fitted generator that meet clauses.

    A generator whose ``sample`` takes ``where`` does it by itself, others by drawing again.

    Parameters
    ----------
    model : estimator
        Fitted generator of whole tables.

    clauses : list of str
        Such as ``"age>=40"``; rows meet all of them.

    dates : dict
        Column -> ``DateFormat`` of dates that the table holds as text.
    """

    def __init__(self, model: Any, clauses: list[str], dates: dict[str, Any]) -> None:
        from synth_estimators.tabular._conditions import Where

        self.model = model
        self.clauses = clauses
        self._where = Where(clauses=self._read(clauses, dates))

    def _read(self, clauses, dates):
        from synth_estimators.tabular._conditions import WhereClause, where_clause

        names = getattr(self.model, "feature_names_in_", None)
        if names is None:
            names = [f"x{j}" for j in range(self.model.n_features_in_)]
        columns, found = [str(name) for name in names], []
        for text in clauses:
            near = None
            try:
                clause = where_clause(text)
                near = clause.column if clause.column not in columns else None
                clause = where_clause(text, columns)
            except ValueError as exc:
                if near is not None:
                    raise CliError(
                        f"--where {text!r}: no column {near!r}; {known_names(columns, near)}"
                    ) from exc
                raise CliError(f"--where: {exc}") from exc
            if clause.column in dates and clause.value:
                moment = _moment(clause.value, dates[clause.column], clause)
                clause = WhereClause(clause.column, clause.symbol, moment)
            found.append(clause)
        return found

    def chunks(self, n_samples: int, chunk_size: int, seed: int) -> Any:
        """Yield data frames with ``n_samples`` rows in total, or fewer with a note."""
        if "where" in inspect.signature(self.model.sample).parameters:
            try:
                yield from self.model.sample_iter(
                    n_samples, where=self._where.clauses, chunk_size=chunk_size, random_state=seed
                )
            except ValueError as exc:
                # The advice names arguments that the command line lacks.
                what, advice, _ = str(exc).partition(" Raise max_tries")
                end = " Ask for something less rare." if advice else ""
                raise CliError(f"--where: {what}{end}") from exc
            return
        rng = np.random.default_rng(seed)
        for start in range(0, max(1, n_samples), chunk_size):
            yield self._some(min(chunk_size, n_samples - start), rng)

    def _some(self, n_samples: int, rng: np.random.Generator) -> pd.DataFrame:
        from synth_estimators.tabular._rejection import RejectionSampler

        sampler = RejectionSampler(
            lambda rows, rng: self._draw(len(rows), rng),
            lambda frame, rows: self._where(frame),
            max_tries=_MAX_TRIES,
        )
        frame, _ = sampler.sample(n_samples, rng)
        report = sampler.report
        asked = " and ".join(self.clauses)
        if n_samples and not report.accepted:
            raise CliError(
                f"--where: none of {report.drawn} drawn rows meets {asked}; ask for something "
                "less rare."
            )
        if report.accepted < n_samples:
            note(f"only {report.accepted} of {report.drawn} drawn rows meet {asked}.")
        return frame

    def _draw(self, n_samples, rng):
        from synth_estimators.cli._commands import as_frame

        seed = int(rng.integers(2**31 - 1))
        return as_frame(self.model.sample(n_samples, random_state=seed))


def _moment(text, found, clause):
    """A date in the notation of the table, or in any that is clear, as year-month-day."""
    import pandas as pd

    for options in ({"format": found.text}, {}):
        try:
            return str(pd.to_datetime(text, **options))
        except ValueError:
            continue
    raise CliError(f"--where: {clause} needs a date such as those written as {found.text}.")
