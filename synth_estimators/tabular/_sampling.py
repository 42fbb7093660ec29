"""Sampling with conditions, clauses and constraints, for any source of candidate rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from synth_estimators._compat import InvalidParameterError
from synth_estimators._random import local_rng
from synth_estimators._validation import check_n_samples, from_polars, is_polars
from synth_estimators.tabular._conditions import Condition, Where, matches, parse_conditions
from synth_estimators.tabular._known_columns import refuse_unknown_columns
from synth_estimators.tabular._rejection import RejectionSampler, SamplingReport

__all__ = ["ConditionedSamplingMixin"]

_FORCED_CANDIDATES = 20
_ON_FAILURE = ("warn", "raise", "force")


def _check_count(n_samples):
    try:
        return check_n_samples(n_samples)
    except TypeError as exc:
        raise InvalidParameterError(str(exc)) from exc


def _shown(value):
    """A wanted value as the user would write it."""
    if pd.isna(value):
        return "missing"
    return repr(value.item() if isinstance(value, np.generic) else value)


def _total(reports):
    """One report of several requests."""
    return SamplingReport(
        **{name: sum(vars(report)[name] for report in reports) for name in vars(SamplingReport(0))}
    )


class ConditionedSamplingMixin:
    """``sample`` with conditions, ``sample_conditions`` and ``sample_remaining_columns``.

    The estimator sets ``_known`` (``KnownColumns``) and ``_rules`` (``ConstraintSet``) in ``fit``
    and implements ``_candidates``. One whose draws follow conditions says so by ``_steers``.
    """

    if TYPE_CHECKING:
        _known: Any
        _rules: Any
        _sample_seed: int
        _wrap: Any
        _sample_chunks: Any
        _chunk_elements: int
        n_features_in_: int

    #: Whether requested values are written into the rows in place of rejection.
    force_conditioning = False

    def _candidates(self, n_samples: int, rng: np.random.Generator, wanted: Any) -> pd.DataFrame:
        """Draw rows in data units; ``wanted`` is None or a table with one row a candidate."""
        raise NotImplementedError(f"{type(self).__name__} must implement _candidates.")

    def _plain_rows(self, n_samples: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows of which nothing is asked."""
        return self._candidates(n_samples, rng, None)

    def _steers(self, labels: list) -> bool:
        """Whether conditions on these columns change what ``_candidates`` draws."""
        return False

    def _contradictory(self, wanted: pd.DataFrame) -> tuple[np.ndarray, str]:
        """Which rows of conditions cannot be met whatever is drawn, and what they break."""
        bad, broken = np.zeros(len(wanted), dtype=bool), ""
        for rule in self._rules.all:
            columns = set(rule.read_alone())
            if rule.compares_rows or not columns or not columns <= set(wanted.columns):
                continue
            against = ~np.asarray(rule.is_valid(wanted), dtype=bool)
            broken = broken or (str(rule) if against.any() else "")
            bad |= against
        return bad, broken

    def _for_file(self, rows: pd.DataFrame, start: int) -> pd.DataFrame:
        """Rows as a file holds them; ``start`` rows came before."""
        return rows

    def sample(
        self,
        n_samples: int = 1,
        *,
        conditions: Any = None,
        where: Any = None,
        max_tries: int = 100,
        batch_size: int | None = None,
        float_rtol: float = 0.01,
        output_file_path: Any = None,
        random_state: Any = None,
    ) -> Any:
        """Draw new rows, of a given kind if asked.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 0.

        conditions : mapping, DataFrame with n_samples rows or list of Condition, default=None
            Column -> value for all rows, or one value a row. Columns of any type; a missing value
            asks for a missing cell. Levels and whole numbers are met exactly, floats within
            ``float_rtol`` and then set to the wanted value. The entries of a list name the same
            columns; see ``sample_conditions`` for others.

        where : str, callable or list of these, default=None
            Clauses that all rows must meet, such as ``"age>=40"`` or ``"income=>50K"`` (operators
            ``=``, ``!=``, ``>``, ``>=``, ``<``, ``<=``), or functions of a data frame that return
            one bool a row. Clauses with ``=`` count as conditions.

        max_tries : int, default=100
            How often rows are drawn again when some do not meet the request.

        batch_size : int or None, default=None
            Rows of the first try; later ones draw up to ten times as many. None: ``n_samples``.

        float_rtol : float, default=0.01
            Tolerance of conditions on floats, as a share of the wanted value or of a tenth of the
            column's interquartile range, whichever is more; of the whole interquartile range for
            dates.

        output_file_path : str, path-like or None, default=None
            CSV file that accepted rows are appended to try by try; it must not exist.

        random_state : int, RandomState instance or None, default=None
            None uses the estimator's own stream: with an int ``random_state`` in the constructor,
            two calls return the same rows. Pass a value for other rows.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_samples, n_features)
            Rows in the container, column order and dtypes of the table given to ``fit``. Fewer
            than asked for, with a warning, when the tries were not enough.

        Raises
        ------
        ValueError
            For unknown columns, values that training never had, and requests that no drawn row
            met.

        FileExistsError
            When ``output_file_path`` exists.
        """
        check_is_fitted(self)
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        rows = self._sample(
            _check_count(n_samples),
            rng,
            conditions=conditions,
            where=where,
            max_tries=max_tries,
            batch_size=batch_size,
            float_rtol=float_rtol,
            output_file_path=output_file_path,
        )
        return self._wrap(rows)

    def sample_iter(
        self,
        n_samples: int,
        *,
        conditions: Any = None,
        where: Any = None,
        chunk_size: int | None = None,
        random_state: Any = None,
    ) -> Iterator[Any]:
        """Draw rows in chunks, for results that do not fit in memory.

        Parameters
        ----------
        n_samples : int
            Number of rows in total.

        conditions, where
            As in ``sample``.

        chunk_size : int or None, default=None
            Rows a chunk; None keeps a chunk near two million cells.

        random_state : int, RandomState instance or None, default=None
            As in ``sample``. One stream runs through all chunks.

        Yields
        ------
        X_gen : ndarray or data frame of shape (at most chunk_size, n_features)
            Independent rows, in the container ``sample`` would return. With a ``Unique`` constraint
            all of them are drawn before the first chunk.
        """
        check_is_fitted(self)
        clauses = None if where is None else Where.read(where, self._known.labels)
        if conditions is not None and not isinstance(conditions, dict):
            conditions = parse_conditions(conditions, self._known, _check_count(n_samples))
        request = {"conditions": conditions, "where": clauses}
        chunks = self._sample_chunks(n_samples, chunk_size, random_state, **request)
        if self._rules.distinct is None:
            return chunks
        return self._slices(n_samples, chunk_size, random_state, request)

    def _slices(self, n_samples, chunk_size, random_state, request):
        """Chunks of rows that were drawn together, since each of them is compared with all."""
        if chunk_size is None:
            chunk_size = max(1, self._chunk_elements // max(1, self.n_features_in_))
        rows = self.sample(n_samples, random_state=random_state, **request)
        for start in range(0, len(rows), chunk_size):
            part = rows[start : start + chunk_size]
            yield part.reset_index(drop=True) if isinstance(part, pd.DataFrame) else part

    def sample_conditions(
        self,
        conditions: Any,
        *,
        max_tries: int = 100,
        batch_size: int | None = None,
        float_rtol: float = 0.01,
        output_file_path: Any = None,
        random_state: Any = None,
    ) -> Any:
        """Draw the rows that a list of conditions asks for.

        Parameters
        ----------
        conditions : list of Condition
            Each names columns, their values and a number of rows.

        max_tries, batch_size, float_rtol, output_file_path, random_state
            As in ``sample``.

        Returns
        -------
        X_gen : ndarray, pandas DataFrame or polars DataFrame of shape (n_rows, n_features)
            Rows in the order of the conditions.
        """
        check_is_fitted(self)
        conditions = [conditions] if isinstance(conditions, Condition) else list(conditions)
        if not all(isinstance(part, Condition) for part in conditions):
            raise TypeError("conditions must be a list of Condition objects.")
        self._check_options(max_tries, batch_size, float_rtol)
        write = None if output_file_path is None else self._open_file(output_file_path)
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        sets = [frozenset(part.column_values) for part in conditions]
        places = np.repeat(np.arange(len(conditions)), [part.num_rows for part in conditions])
        frames, rows = [self._candidates(0, rng, None)], [np.empty(0, dtype=np.intp)]
        reports, lacking = [], []
        for columns in dict.fromkeys(sets):
            own = [k for k, these in enumerate(sets) if these == columns]
            wanted = parse_conditions([conditions[k] for k in own], self._known, None)
            frame, filled, report = self._fulfil(
                wanted, Where(), len(wanted), rng, max_tries, batch_size, float_rtol, beside=frames
            )
            frames.append(frame)
            rows.append(np.flatnonzero(np.isin(places, own))[filled])
            reports.append(report)
            lacking += self._asked(wanted, Where(), filled)
        self.sampling_report_ = _total(reports)
        self._judge(self.sampling_report_, lacking)
        order = np.argsort(np.concatenate(rows), kind="stable")
        together = pd.concat([part for part in frames if len(part)] or frames, ignore_index=True)
        result = together.iloc[order].reset_index(drop=True)
        if write is not None:
            write(result, None)
        return self._wrap(result)

    def sample_remaining_columns(
        self,
        known: Any,
        *,
        on_failure: str = "warn",
        max_tries: int = 100,
        batch_size: int | None = None,
        float_rtol: float = 0.01,
        output_file_path: Any = None,
        random_state: Any = None,
    ) -> Any:
        """Complete rows of which some columns are known.

        Parameters
        ----------
        known : pandas DataFrame or polars DataFrame of shape (n_rows, n_known)
            Values of some columns. A missing cell asks for a missing cell.

        on_failure : {"warn", "raise", "force"}, default="warn"
            What becomes of rows that were not found: left out with a warning, an error, or the
            best of some candidates with the known values written in.

        max_tries, batch_size, float_rtol, output_file_path, random_state
            As in ``sample``; the file is written when all is done.

        Returns
        -------
        X_gen : data frame or ndarray of shape (n_rows, n_features)
            One row for each row of ``known``, in its order and (pandas) with its index; the known
            values are unchanged.

        Raises
        ------
        ValueError
            For unknown columns or values, and with ``on_failure="raise"`` when rows are missing.
        """
        check_is_fitted(self)
        if on_failure not in _ON_FAILURE:
            raise ValueError(f"on_failure must be one of {_ON_FAILURE}, got {on_failure!r}.")
        known = from_polars(known) if is_polars(known) else known
        if not isinstance(known, pd.DataFrame):
            raise TypeError(
                f"known must be a data frame of the known columns, got {type(known).__name__}."
            )
        refuse_unknown_columns(known.columns, self._known.labels, what="known")
        self._check_options(max_tries, batch_size, float_rtol)
        write = None if output_file_path is None else self._open_file(output_file_path)
        rng = local_rng(random_state, fallback_seed=self._sample_seed)
        wanted = self._known.read(known, None)
        frame, filled, report = self._fulfil(
            wanted, Where(), len(wanted), rng, max_tries, batch_size, float_rtol
        )
        if report is not None:
            self.sampling_report_ = report
        lacking = np.setdiff1d(np.arange(len(wanted)), filled)
        if len(lacking):
            what = (
                f"{len(lacking)} of {len(wanted)} rows of known could not be completed in "
                f"{max_tries} tries, the rows {known.index[lacking[:5]].tolist()} among them; "
                "raise max_tries or float_rtol, or set on_failure='force'."
            )
            if on_failure == "raise":
                raise ValueError(what)
            if on_failure == "warn":
                warnings.warn(what, stacklevel=2)
            else:
                possible = ~self._contradictory(wanted)[0][lacking]
                for rows in filter(len, (lacking[possible], lacking[~possible])):
                    forced = self._forced(wanted.iloc[rows].reset_index(drop=True), rng)
                    frame = pd.concat([frame, forced], ignore_index=True)
                    filled = np.concatenate([filled, rows])
                order = np.argsort(filled, kind="stable")
                frame, filled = frame.iloc[order].reset_index(drop=True), filled[order]
        if write is not None:
            write(frame, None)
        result = self._wrap(frame)
        if isinstance(result, pd.DataFrame):
            result.index = known.index[filled]
        return result

    # The request

    def _sample(self, n_samples, rng, **request):
        conditions, where = request.get("conditions"), request.get("where")
        if not isinstance(where, Where):
            where = Where.read(where, self._known.labels)
        wanted = None
        if conditions is not None:
            wanted = parse_conditions(conditions, self._known, n_samples)
        values, where = where.split(self._known, () if wanted is None else wanted.columns)
        if values:
            more = self._known.read(values, n_samples)
            wanted = more if wanted is None else pd.concat([wanted, more], axis=1)
        write = None
        if request.get("output_file_path") is not None:
            write = self._open_file(request["output_file_path"])
        frame, filled, report = self._fulfil(
            wanted,
            where,
            n_samples,
            rng,
            request.get("max_tries", 100),
            request.get("batch_size"),
            request.get("float_rtol", 0.01),
            write=write,
        )
        if report is not None:
            self.sampling_report_ = report
            self._judge(report, self._asked(wanted, where, filled))
        return frame

    def _fulfil(
        self,
        wanted,
        where,
        n_samples,
        rng,
        max_tries,
        batch_size,
        float_rtol,
        *,
        write=None,
        beside=(),
    ):
        """Return rows in data units, the numbers of the requested rows they fill, and a report.

        The report is None where nothing was asked for. The rows are unlike those of the tables
        ``beside`` if a rule compares rows.
        """
        self._check_options(max_tries, batch_size, float_rtol)
        if wanted is not None and wanted.shape[1] == 0:
            wanted = None
        free = not (where or self._rules.rejecting)
        report, everyone = None, np.arange(n_samples)
        if n_samples == 0 or (free and wanted is None):
            frame = self._plain_rows(n_samples, rng)
        elif free and self.force_conditioning and not self._rules.all:
            steered = wanted if self._steers(list(wanted.columns)) else None
            frame = self._known.write(self._candidates(n_samples, rng, steered), wanted)
            report = SamplingReport(n_samples, n_samples, n_samples, n_samples, tries=1)
        else:
            possible = everyone
            if wanted is not None:
                possible = np.flatnonzero(~self._contradictory(wanted)[0])
            if len(possible) < n_samples:
                wanted = wanted.iloc[possible].reset_index(drop=True)
            sampler = self._rejection(wanted, where, max_tries, batch_size, float_rtol, beside)
            frame, filled = sampler.sample(len(possible), rng, on_batch=write)
            sampler.report.requested = n_samples
            return frame, possible[filled], sampler.report
        if write is not None:
            write(frame, everyone)
        return frame, everyone, report

    def _rejection(self, wanted, where, max_tries, batch_size, float_rtol, beside):
        known, rules = self._known, self._rules
        whole = wanted is not None and set(wanted.columns) == set(known.labels)
        steered = whole or (wanted is not None and self._steers(list(wanted.columns)))
        groups = None
        if wanted is not None:
            by = [wanted[label] for label in wanted.columns]
            keys = pd.DataFrame({k: pd.factorize(column)[0] for k, column in enumerate(by)})
            groups = keys.groupby(list(keys.columns), sort=False).ngroup().to_numpy()

        def draw(rows, rng):
            goal = wanted.iloc[rows].reset_index(drop=True) if steered else None
            return goal[known.labels] if whole else self._candidates(len(rows), rng, goal)

        def accept(frame, rows):
            met = np.ones(len(frame), dtype=bool)
            if wanted is not None:
                if not self.force_conditioning:
                    met &= matches(frame, wanted.iloc[rows], float_rtol, known)
                frame = finish(frame, rows)
            some = np.flatnonzero(met)
            part = frame.iloc[some]
            met[some] = where(part)
            some = np.flatnonzero(met)
            met[some] = rules.is_valid(frame.iloc[some])
            return met

        def finish(frame, rows):
            return frame if wanted is None else known.write(frame, wanted.iloc[rows])

        def distinct(kept, frame):
            parts = [part for part in (*beside, kept) if len(part)]
            return rules.distinct(pd.concat(parts) if parts else kept, frame)

        return RejectionSampler(
            draw,
            accept,
            max_tries=max_tries,
            batch_size=batch_size,
            groups=groups,
            pooled=wanted is not None and not steered,
            finish=finish,
            distinct=None if rules.distinct is None else distinct,
        )

    def _asked(self, wanted, where, filled):
        """What was asked of the rows that were not found, in words; at most two kinds of rows."""
        common = [str(clause) for clause in where.clauses]
        common += ["a callable"] * len(where.predicates)
        common += [str(rule) for rule in self._rules.rejecting]
        if wanted is None:
            return [", ".join(common)]
        lacking = wanted.drop(index=wanted.index[filled]).drop_duplicates().head(2)
        bad, broken = self._contradictory(lacking)
        cells = lacking.astype(object).to_numpy()
        rows = [
            [f"{name}={_shown(value)}" for name, value in zip(lacking.columns, row, strict=True)]
            for row in cells
        ]
        return [
            ", ".join(row) + f" (which break {broken})" if wrong else ", ".join([*row, *common])
            for row, wrong in zip(rows, bad, strict=True)
        ]

    def _judge(self, report, lacking):
        if report.accepted == report.requested:
            return
        what = lacking[0] + (", …" if len(lacking) > 1 else "")
        advice = (
            "Raise max_tries or float_rtol, ask for values that are more frequent in the training "
            "table, or leave a condition out."
        )
        if report.drawn == 0:
            raise ValueError(
                f"Unable to sample any rows with {what}; ask for values that go together, or leave "
                "a condition out."
            )
        if report.accepted == 0:
            raise ValueError(
                f"Unable to sample any rows with {what}: none of {report.drawn} rows drawn in "
                f"{report.tries} tries met the request. {advice}"
            )
        warnings.warn(
            f"Only {report.accepted} of {report.requested} rows were found among {report.drawn} "
            f"rows drawn in {report.tries} tries; lacking are those with {what}. {advice}",
            stacklevel=5,
        )

    def _forced(self, wanted, rng):
        """Return the best of some candidates for each row, with the known values written in.

        Best is one that keeps the rules, and among those the one nearest to the known values.
        """
        rows = np.repeat(np.arange(len(wanted)), _FORCED_CANDIDATES)
        goal = wanted.iloc[rows].reset_index(drop=True)
        steers = self._steers(list(wanted.columns)) and not self._contradictory(wanted)[0].any()
        frame = self._candidates(len(rows), rng, goal if steers else None)
        agree = self._known.agreement(frame, goal, 0.01).mean(axis=1)
        frame = self._known.write(frame, goal)
        fitness = agree + 2.0 * self._rules.is_valid(frame)
        best = fitness.reshape(len(wanted), -1).argmax(axis=1)
        chosen = frame.iloc[best + np.arange(len(wanted)) * _FORCED_CANDIDATES]
        return chosen.reset_index(drop=True)

    @staticmethod
    def _check_options(max_tries, batch_size, float_rtol):
        if check_n_samples(max_tries, name="max_tries") < 1:
            raise ValueError("max_tries must be at least 1, got 0.")
        if batch_size is not None and check_n_samples(batch_size, name="batch_size") < 1:
            raise ValueError("batch_size must be at least 1, got 0.")
        if isinstance(float_rtol, bool) or not isinstance(float_rtol, Real):
            raise TypeError(f"float_rtol must be a number, got {float_rtol!r}.")
        if not float_rtol >= 0:
            raise ValueError(f"float_rtol must be at least 0, got {float_rtol!r}.")

    def _open_file(self, path):
        """Return a function that appends rows to a CSV file that did not exist before."""
        path = Path(path)
        if path.exists():
            raise FileExistsError(
                f"output_file_path {str(path)!r} exists; choose another name or remove the file."
            )
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"The folder of output_file_path {str(path)!r} does not exist; create it first."
            )
        written = []

        def write(frame, rows):
            part = self._for_file(frame, sum(written))
            part.to_csv(path, mode="a", header=not written, index=False)
            written.append(len(frame))

        return write
