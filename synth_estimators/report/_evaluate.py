"""One call that judges synthetic rows."""

from __future__ import annotations

import platform
import warnings
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from synth_estimators._random import spawn_seeds
from synth_estimators.metrics import (
    Panel,
    alpha_precision_beta_recall,
    association_distance,
    column_pair_trends_score,
    column_shapes_score,
)
from synth_estimators.metrics._panel import calibrate, shuffle_columns
from synth_estimators.preprocessing._columns import read_tables
from synth_estimators.report._columns import collapsed_columns, column_scores, summarise_column
from synth_estimators.report._figures import column_figures, distance_figure, embedding_figure
from synth_estimators.report._judgement import add_lights, find_traps, write_verdict
from synth_estimators.report._report import EvaluationReport

__all__ = ["evaluate_synthetic"]

_PACKAGES = ("numpy", "pandas", "scikit-learn", "scipy")

# Pairs kept in the report, and columns that get a section of their own on the page.
_N_PAIRS = 15
_N_SECTIONS = 40

# Different texts in as many rows are no chance.
_LEAST_IDENTIFIERS = 20

# Most columns of which all pairs are looked at once more.
_MAX_PAIRED = 2_000


def _versions():
    from synth_estimators import __version__

    found = {"synth-estimators": __version__, "python": platform.python_version()}
    for name in (*_PACKAGES, "xgboost", "xgboost-cpu"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _duplicates(frame):
    """Share of rows that occur more than once: the copies that are there by nature."""
    return float(frame.round(6).duplicated(keep=False).mean())


def _nearness(panel, synth, holdout, *, max_rows):
    """Beta-recall and authenticity against the training rows, beside those of fresh rows."""
    train = panel.frame("X_train")
    options = {"max_rows": max_rows, "random_state": panel.seed}
    value = alpha_precision_beta_recall(train, synth, **options)
    fresh = {"beta_recall": 0.5, "authenticity": 0.55}
    if holdout is not None:
        n_rows = min(len(synth), len(holdout))
        fresh = alpha_precision_beta_recall(train, holdout.iloc[:n_rows], **options)
    rows = {}
    for name, better in (("beta_recall", False), ("authenticity", True)):
        rows[f"{name}_train"] = {
            "value": float(value[name]),
            "greater_is_better": better,
            "ideal": 0.5 if name == "beta_recall" else 0.55,
            "limit": float(fresh[name]),
            "floor": np.nan,
            "calibrated": np.nan,
            "note": "against the training rows",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _worst_pairs(breakdown):
    details = breakdown.get("details") if breakdown is not None else None
    if details is None or "column_2" not in details:
        names = ["column_1", "column_2", "metric", "score"]
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    worst = details.dropna(subset="score").sort_values("score", kind="stable")
    return worst.head(_N_PAIRS).reset_index(drop=True)


def _importances(breakdown):
    details = breakdown.get("details") if breakdown is not None else None
    if details is None or "importance" not in details:
        return pd.DataFrame(
            {"column": pd.Series(dtype=object), "importance": pd.Series(dtype=float)}
        )
    return details[["column", "importance"]].reset_index(drop=True)


def _figures(tables, columns, panel, measured):
    """Numbers behind the figures of the page."""
    order = {name: place for place, name in enumerate(tables["X_train"].names)}
    real = tables.get("X_holdout", tables["X_train"])
    named = {"training": tables["X_train"]}
    if "X_holdout" in tables:
        named["held-out"] = real
    named["synthetic"] = tables["X_synth"]
    sections = []
    for name in columns["column"].head(_N_SECTIONS):
        place = order[name]
        sections.append(
            {
                "column": name,
                "numbers": summarise_column(named, place),
                "figure": column_figures(real, tables["X_synth"], place),
            }
        )
    closeness = measured.breakdowns.get("dcr_share")
    return {
        "sections": sections,
        "embedding": embedding_figure(real, tables["X_synth"], seed=panel.seed),
        "distances": None if closeness is None else distance_figure(closeness.get("details")),
    }


def evaluate_synthetic(
    X_train: Any,
    X_holdout: Any,
    X_synth: Any,
    *,
    target: Any = None,
    metrics: Any = "standard",
    expression: bool = False,
    discrete_columns: Any = "auto",
    max_rows: int | None = 10_000,
    random_state: Any = 0,
    n_jobs: int | None = None,
) -> EvaluationReport:
    """Judge synthetic rows: how good they are, and how safe.

    Every number stands beside its limit (what fresh real rows reach) and its floor (training rows
    with each column shuffled on its own), and four traps are looked for: columns that lost their
    dependence, copied rows, interpolated rows, collapsed columns.

    Parameters
    ----------
    X_train : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Real rows that the generator was fitted to.

    X_holdout : {array-like, pandas DataFrame} or None
        Real rows that the generator has not seen, best as many as training rows. Without them
        the rows are compared with the training rows, and the report says what that cannot show.

    X_synth : {array-like, pandas DataFrame}
        Synthetic rows with the same columns, from any tool.

    target : column name or int, default=None
        Column that models predict in the utility metrics.

    metrics : {"standard", "fast", "all"} or list of str, default="standard"
        "fast" takes seconds on 10,000 rows, "standard" up to a minute. A list holds names from
        ``METRICS``.

    expression : bool, default=False
        The tables are expression matrices (samples in rows, genes in columns): add their metrics.

    discrete_columns : "auto", list of column names or boolean mask, default="auto"
        "auto" takes text, categories and booleans of the training table as discrete.

    max_rows : int or None, default=10_000
        Most rows of each table in metrics that compare rows or fit models.

    random_state : int, RandomState instance or None, default=0
        Seeds subsamples, folds and models.

    n_jobs : int or None, default=None
        Metrics computed at a time. Numbers do not depend on it.

    Returns
    -------
    report : EvaluationReport
        ``table``, ``warnings``, ``verdict``, ``columns``, ``pairs``, ``importances``, and
        ``to_json``, ``save_html`` to pass it on.

    Raises
    ------
    ValueError
        If the tables do not have the same columns, are empty, or ``target`` is not among them.

    Notes
    -----
    No number here is a guarantee of privacy; only differential privacy is.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators.report import evaluate_synthetic
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(3, 200, 1))
    >>> train, holdout, fresh = x + 0.3 * rng.normal(size=(3, 200, 3))
    >>> report = evaluate_synthetic(train, holdout, fresh, metrics="fast")
    >>> report.warnings
    []
    >>> shuffled = rng.permuted(train, axis=0)
    >>> report = evaluate_synthetic(train, holdout, shuffled, metrics="fast")
    >>> report.warnings[0].kind
    'dependence_lost'
    """
    panel = Panel(
        X_train,
        X_holdout,
        target=target,
        metrics=metrics,
        discrete_columns=discrete_columns,
        expression=expression,
        max_rows=max_rows,
        random_state=random_state,
        n_jobs=n_jobs,
    )
    has_holdout = X_holdout is not None
    given = {"X_train": X_train, "X_holdout": X_holdout, "X_synth": X_synth}
    tables = read_tables(
        {name: table for name, table in given.items() if table is not None},
        discrete_columns=panel.discrete_columns,
    )
    measured = panel.measure(X_synth, breakdown=True)
    panel.warn(measured)
    rows = Bunch(train=panel.frame("X_train"), synthetic=measured.frame, holdout=None)
    if has_holdout:
        rows.holdout = panel.frame("X_holdout")
    sizes = {
        "train": len(rows.train),
        "synthetic": len(rows.synthetic),
        "other": len(rows.holdout if has_holdout else rows.train),
    }
    table = _judged_metrics(panel, measured, rows, sizes)
    columns, collapsed = _judged_columns(measured, rows, tables)
    findings = find_traps(
        table,
        columns,
        collapsed=collapsed,
        sizes=sizes,
        has_holdout=has_holdout,
        rest=_other_pairs(panel, rows, list(collapsed)),
        kept=lambda: _kept_association(panel, rows, list(collapsed)),
        identifiers=_identifiers(rows.train),
    )
    verdict, fidelity, privacy = write_verdict(
        table, findings, has_holdout=has_holdout, n_rows=min(sizes.values())
    )
    return EvaluationReport(
        verdict=verdict,
        warnings=findings,
        table=table,
        columns=columns,
        pairs=_worst_pairs(measured.breakdowns.get("column_pair_trends_score")),
        importances=_importances(measured.breakdowns.get("c2st_auc")),
        n_rows={
            "train": len(rows.train),
            "holdout": len(rows.holdout) if has_holdout else 0,
            "synthetic": len(rows.synthetic),
            "columns": rows.train.shape[1],
        },
        versions=_versions(),
        seed=random_state if isinstance(random_state, int) else panel.seed,
        fidelity=fidelity,
        privacy=privacy,
        settings={
            "metrics": metrics if isinstance(metrics, str) else list(metrics),
            "target": target,
            "expression": expression,
            "max_rows": max_rows,
            "holdout": has_holdout,
            "left_out": panel.left_out,
            "messages": _messages(measured),
        },
        _figures=_figures(tables, columns, panel, measured),
    )


def _judged_metrics(panel, measured, rows, sizes):
    """Table of the panel with nearness to the training rows and lights."""
    table, cap = panel.tabulate(measured), panel.max_rows_compared
    if min(len(rows.train), len(rows.synthetic)) > 1:
        nearness = _nearness(panel, rows.synthetic, rows.holdout, max_rows=cap)
        table = pd.concat([table, nearness])
        table.index.name = "metric"
    if rows.holdout is None and "exact_copy_share" in table.index:
        table.loc["exact_copy_share", "limit"] = _duplicates(rows.train)
    compared = min(*sizes.values(), cap or len(rows.train))
    return add_lights(table, n_rows=compared, n_columns=rows.train.shape[1])


def _judged_columns(measured, rows, tables):
    """Scores of every column, and which columns collapsed and how."""
    real = rows.train if rows.holdout is None else rows.holdout
    value = column_shapes_score(real, rows.synthetic, breakdown=True).details
    value["n_nonfinite"] = measured.n_nonfinite
    limit = None
    if rows.holdout is not None:
        limit = column_shapes_score(real, rows.train, breakdown=True).details
    importance = measured.breakdowns.get("c2st_auc", {}).get("details")
    auc = measured.scores.get("c2st_auc", float("nan"))
    columns = column_scores(value, limit, importance, auc)
    collapsed = collapsed_columns(tables["X_train"], tables["X_synth"])
    columns["collapsed"] = [collapsed.get(name, "") for name in columns["column"]]
    columns.loc[columns["collapsed"] != "", "suspicion"] += 1.0
    columns = columns.sort_values("suspicion", ascending=False, kind="stable", ignore_index=True)
    return columns, collapsed


def _other_pairs(panel, rows, collapsed):
    """Pair trends of the columns that did not collapse, where some did."""
    name = "column_pair_trends_score"
    n_left = rows.train.shape[1] - len(collapsed)
    asked = name in panel.names and rows.holdout is not None
    if not collapsed or not asked or not 2 <= n_left <= _MAX_PAIRED:
        return None
    tables = {
        "value": rows.synthetic,
        "limit": rows.train,
        "floor": shuffle_columns(rows.train, panel.seed),
    }
    real = rows.holdout.drop(columns=collapsed)
    scores = {
        key: column_pair_trends_score(real, table.drop(columns=collapsed))
        for key, table in tables.items()
    }
    return {**scores, "calibrated": calibrate(name, *scores.values())}


def _kept_association(panel, rows, collapsed):
    """Share of the association between columns that is left: 1 as in training rows, 0 none.

    Each table is compared with its own shuffled columns, so that columns that are off do not count.
    """
    n_columns = rows.train.shape[1] - len(collapsed)
    if not 2 <= n_columns <= _MAX_PAIRED:
        return float("nan")
    n_rows = min(len(rows.train), len(rows.synthetic))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train, synth = (
            table.drop(columns=collapsed).iloc[:n_rows].reset_index(drop=True)
            for table in (rows.train, rows.synthetic)
        )
        one, other = (shuffle_columns(train, seed) for seed in spawn_seeds(panel.seed, 2))
        noise = association_distance(one, other)
        found, whole = (
            association_distance(table, shuffle_columns(table, panel.seed)) - noise
            for table in (synth, train)
        )
    return found / whole if whole > noise else float("nan")


def _identifiers(frame):
    """Text columns with another value in every training row."""
    found = []
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if isinstance(column.dtype, pd.CategoricalDtype):
            n = int(column.notna().sum())
            if n >= _LEAST_IDENTIFIERS and column.nunique() == n:
                found.append(name)
    return found


def _messages(measured):
    texts = [text for part in measured.messages.values() for _, text in part]
    return list(dict.fromkeys(texts))
