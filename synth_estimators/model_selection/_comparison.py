"""What a comparison of generators returns."""

from __future__ import annotations

import html
import itertools
import json
import math
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from synth_estimators.metrics import METRICS
from synth_estimators.model_selection._statistics import (
    corrected_resampled_ttest,
    correlated_bayesian_ttest,
    holm,
)

__all__ = ["ComparisonResult"]

# Far below independent columns one metric would drown all the others in a mean; above real rows
# lies chance, the more of it the fewer rows are held out.
_LOWEST, _HIGHEST = -1.0, 1.25

_ROPE = 0.01

# Rows are called close to the training rows above these values, where chance does not reach them.
_CLOSE = 0.6
_COPIES = 0.02
_CHANCE = 4.0


class ComparisonResult:
    """Generators beside each other on the same splits.

    Made by ``compare_generators`` and ``compare_tables``.

    Parameters
    ----------
    folds : pandas DataFrame
        One row a (fold, generator, metric): ``value``, ``limit``, ``floor``, ``calibrated``.

    runs : pandas DataFrame
        One row a (fold, generator): times and errors.

    sizes : list of tuple
        Training and held-out rows of every fold.

    warnings : list of str, default=()
        What to know besides the numbers.

    settings : dict, default=None
        Seeds and sizes, for ``to_json``.

    Attributes
    ----------
    table : pandas DataFrame
        One row a generator, best first: ``rank``, ``score`` (mean calibrated score) and
        ``score_sd`` over the folds, ``flag`` (rows that look like copies, or what failed), mean
        and ``_sd`` of every metric, ``fit_time``, ``sample_time`` and ``n_failed`` folds.

    folds, runs : pandas DataFrame
        As above.

    pairwise : pandas DataFrame
        One row a pair of generators: mean ``difference`` of their scores with interval
        (``low``, ``high``), ``statistic`` and ``pvalue`` of the corrected resampled t test,
        ``pvalue_holm``, and the posterior probabilities ``p_better``, ``p_equivalent`` (within
        0.01) and ``p_worse``. NaN with fewer than two folds.

    references : pandas DataFrame
        The metrics of real rows ("limit") and of independent columns ("floor").

    scored_metrics : list of str
        The metrics that the score averages.

    warnings : list of str
        Failures, generators that were fitted by class, missing values.

    Notes
    -----
    The score is the mean of the calibrated metrics (0: columns independent, 1: as good as real
    rows) that could be calibrated on every fold. In it calibrated values below -1 count as -1 and
    those above 1.25 as 1.25. A
    metric that has no value for one generator counts as 0 there, and is listed in ``warnings``.
    Copies of the training rows reach high scores too, so read ``flag`` beside them: it names
    ``dcr_share`` and ``membership_auc`` above 0.6 and above what chance reaches in tables of this
    size (four standard errors), and more exact copies than fresh real rows hold.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.model_selection import compare_tables
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(3, 150, 1))
    >>> train, holdout, fresh = shared + 0.3 * rng.normal(size=(3, 150, 3))
    >>> tables = {"fresh": fresh, "shuffled": rng.permuted(train, axis=0)}
    >>> result = compare_tables(
    ...     tables, train, holdout, metrics=["column_pair_trends_score"], baselines=False
    ... )
    >>> list(result.table.index)
    ['fresh', 'shuffled']
    >>> bool(result.table.loc["fresh", "score"] > 0.9)
    True
    """

    def __init__(
        self,
        folds: pd.DataFrame,
        runs: pd.DataFrame,
        sizes: list[tuple[int, int]],
        *,
        warnings: Any = (),
        settings: dict | None = None,
    ) -> None:
        self.folds = folds
        self.runs = runs
        self.sizes = sizes
        self.settings = dict(settings or {})
        self.warnings = list(warnings)
        self.scored_metrics = self._scored_metrics()
        self._scores = self._fold_scores()
        self.table = self._make_table()
        self.pairwise = self._make_pairwise()
        self.references = (
            folds.groupby("metric", sort=False)[["limit", "floor"]].mean().T.rename_axis(None)
        )

    @property
    def names(self) -> list[str]:
        """Generators, in the order given."""
        return list(dict.fromkeys(self.runs["generator"]))

    def _scored_metrics(self):
        """Metrics that can be calibrated on every fold, for one generator at least."""
        folds = self.folds
        if folds.empty:
            return []
        found = folds.assign(known=folds["calibrated"].notna())
        known = found.groupby(["metric", "fold"], sort=False)["known"].any()
        everywhere = known.groupby("metric", sort=False).all()
        return [name for name, flag in everywhere.items() if flag]

    def _fold_scores(self):
        """Mean calibrated score, folds in rows and generators in columns."""
        n_folds = len(self.sizes)
        scores = pd.DataFrame(np.nan, index=range(n_folds), columns=self.names)
        if self.folds.empty:
            return scores
        if not self.scored_metrics:
            self.warnings.append(
                "No metric could be calibrated on every fold, so there are no scores: real rows "
                "and independent columns are too close, or no metric sees dependence."
            )
            return scores
        kept = self.folds[self.folds["metric"].isin(self.scored_metrics)]
        wide = kept.pivot(index=["fold", "generator"], columns="metric", values="calibrated")
        gaps = wide.isna().groupby("generator").any()
        for name, row in gaps.iterrows():
            missing = list(row.index[row])
            if missing:
                self.warnings.append(
                    f"{name}: {', '.join(missing)} has no value on some fold and counts as 0 in "
                    "the score."
                )
        means = wide.fillna(0.0).clip(lower=_LOWEST, upper=_HIGHEST).mean(axis=1)
        for (fold, name), value in means.items():
            scores.loc[fold, name] = value
        return scores

    def _make_table(self):
        names = self.names
        table = pd.DataFrame(index=pd.Index(names, name="generator"))
        complete = self._scores.notna().all()
        table["score"] = self._scores.mean().where(complete)
        table["score_sd"] = self._scores.std(ddof=1).where(complete)
        metrics = list(dict.fromkeys(self.folds["metric"]))
        grouped = self.folds.groupby(["generator", "metric"], sort=False)["value"]
        mean = grouped.mean().unstack() if len(self.folds) else pd.DataFrame(index=names)
        sd = grouped.std(ddof=1).unstack() if len(self.folds) else pd.DataFrame(index=names)
        columns = {}
        for name in metrics:
            columns[name] = mean[name].reindex(names)
            columns[f"{name}_sd"] = sd[name].reindex(names)
        runs = self.runs.groupby("generator", sort=False)
        columns["fit_time"] = runs["fit_time"].mean()
        columns["sample_time"] = runs["sample_time"].mean()
        columns["n_failed"] = runs["error"].agg(lambda errors: int(errors.notna().sum()))
        table = pd.concat([table, pd.DataFrame(columns)], axis=1)
        table.insert(2, "flag", [self._flag(name, table.loc[name]) for name in names])
        table.insert(0, "rank", table["score"].rank(ascending=False, method="min"))
        table["rank"] = table["rank"].astype("Int64")
        table = table.sort_values("score", ascending=False, na_position="last", kind="stable")
        return table.rename_axis("generator")

    def _flag(self, name, row):
        n_failed, n_folds = int(row["n_failed"]), len(self.sizes)
        parts = []
        if n_failed:
            parts.append(f"failed on {n_failed} of {n_folds} fold{'s' if n_folds > 1 else ''}")
        limits = self.folds.groupby("metric")["limit"].mean()
        least = min(min(size) for size in self.sizes)
        allowed = {
            "dcr_share": max(_CLOSE, 0.5 + _CHANCE * 0.5 / math.sqrt(least)),
            # Standard error of an AUC under equal laws.
            "membership_auc": max(_CLOSE, 0.5 + _CHANCE / math.sqrt(6 * least)),
            # Real tables hold duplicates too.
            "exact_copy_share": _COPIES + limits.get("exact_copy_share", 0.0),
        }
        copies = [
            f"{metric} {row[metric]:.2f}"
            for metric, most in allowed.items()
            if metric in row and row[metric] > most
        ]
        if copies:
            parts.append(f"close to training rows ({', '.join(copies)})")
        return "; ".join(parts)

    def compare(self, first: str, second: str, *, metric: str | None = None) -> Bunch:
        """Test the difference of two generators over the folds.

        Parameters
        ----------
        first, second : str
            Names of the generators.

        metric : str or None, default=None
            Metric whose values are compared; None compares the mean calibrated scores.

        Returns
        -------
        test : Bunch
            Of the corrected resampled t test for ``first`` minus ``second``: ``mean``, ``low``,
            ``high``, ``statistic``, ``pvalue``, ``n_splits``, and of its Bayesian counterpart
            ``p_better``, ``p_equivalent`` (within 0.01) and ``p_worse``, where larger counts as
            better for the score, and what ``METRICS`` says for a metric.
        """
        unknown = [name for name in (first, second) if name not in self.names]
        if unknown:
            raise ValueError(f"Unknown generator {unknown[0]!r}; there are {self.names}.")
        scores = self._scores
        sign = 1
        if metric is not None:
            kept = self.folds[self.folds["metric"] == metric]
            if kept.empty:
                raise ValueError(
                    f"Unknown metric {metric!r}; there are {sorted(set(self.folds['metric']))}."
                )
            scores = kept.pivot(index="fold", columns="generator", values="value")
            scores = scores.reindex(columns=self.names)
            sign = 1 if METRICS[metric].greater_is_better else -1
        return _test((scores[first] - scores[second]).to_numpy(), self.sizes, sign)

    def _make_pairwise(self):
        order = [name for name in self.table.index if not math.isnan(self.table.loc[name, "score"])]
        rows = []
        for first, second in itertools.combinations(order, 2):
            test = self.compare(first, second)
            rows.append(
                {
                    "generator": first,
                    "other": second,
                    "difference": test.mean,
                    **{key: test[key] for key in ("low", "high", "statistic", "pvalue")},
                    "pvalue_holm": np.nan,
                    **{key: test[key] for key in ("p_better", "p_equivalent", "p_worse")},
                }
            )
        columns = ["generator", "other", "difference", "low", "high", "statistic", "pvalue"]
        columns += ["pvalue_holm", "p_better", "p_equivalent", "p_worse"]
        pairwise = pd.DataFrame(rows, columns=columns)
        if len(pairwise):
            pairwise["pvalue_holm"] = holm(pairwise["pvalue"])
        return pairwise

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table, one row a generator.

        Returns
        -------
        table : pandas DataFrame
        """
        return self.table.copy()

    def to_json(self) -> str:
        """Return everything as JSON text: plain numbers, null where there is no value.

        Returns
        -------
        text : str
        """
        from synth_estimators import __version__

        content = {
            "version": __version__,
            "settings": self.settings,
            "sizes": [{"n_train": train, "n_holdout": holdout} for train, holdout in self.sizes],
            "scored_metrics": self.scored_metrics,
            "generators": _records(self.table.reset_index()),
            "references": _records(self.references.rename_axis("row").reset_index()),
            "pairwise": _records(self.pairwise),
            "folds": _records(self.folds),
            "runs": _records(self.runs),
            "warnings": self.warnings,
        }
        return json.dumps(content, indent=2, allow_nan=False)

    def _shown(self):
        """Table for reading: a column a generator, values without their deviations."""
        metrics = list(dict.fromkeys(self.folds["metric"]))
        table = self.table[["rank", "score", "score_sd", *metrics, "fit_time", "sample_time"]]
        references = self.references.rename({"limit": "(real rows)", "floor": "(independent)"})
        return pd.concat([table.astype(object), references.astype(object)]).T

    def _notes(self):
        flags = [f"{name}: {flag}" for name, flag in self.table["flag"].items() if flag]
        return [*flags, *self.warnings]

    def __repr__(self):
        n_folds = len(self.sizes)
        text = self.table[["rank", "score", "score_sd", "fit_time", "sample_time"]].to_string(
            float_format="{:.3f}".format, na_rep="-"
        )
        lines = [f"Comparison over {n_folds} fold{'s' if n_folds > 1 else ''}", text]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self):
        body = self._shown().map(_cell).fillna("").to_html(border=0)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self._notes())
        return (
            f"<p>{len(self.sizes)} folds; score: mean over {len(self.scored_metrics)} calibrated "
            "metrics, 0 for independent columns, 1 for real rows.</p>"
            f"<div style='overflow-x:auto'>{body}</div><ul>{notes}</ul>"
        )


def _cell(value):
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _test(differences, sizes, sign):
    n_train, n_test = (float(np.mean(part)) for part in zip(*sizes, strict=True))
    frequentist = corrected_resampled_ttest(differences, n_train, n_test)
    bayesian = correlated_bayesian_ttest(sign * differences, n_train, n_test, rope=_ROPE)
    posterior = {key: bayesian[key] for key in ("p_better", "p_equivalent", "p_worse")}
    return Bunch(**frequentist, **posterior)


def _records(frame):
    """Rows as dicts of plain Python values."""
    return [
        {str(key): _plain(value) for key, value in zip(frame.columns, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]


def _plain(value):
    if value is None or value is pd.NA:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return str(value)
