"""Metrics that share their work, and which metrics a panel takes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch

from synth_estimators._random import draw_seed
from synth_estimators.metrics._manifold import alpha_precision_beta_recall, prdc
from synth_estimators.metrics._registry import METRICS
from synth_estimators.metrics._two_sample import c2st_auc
from synth_estimators.metrics._utility import tstr_score, utility_gap

__all__ = [
    "EXPRESSION",
    "PRESETS",
    "group_names",
    "is_expression",
    "is_privacy",
    "run_group",
    "select_metrics",
]

_FAST = (
    "column_shapes_score",
    "missing_value_similarity",
    "column_pair_trends_score",
    "c2st_auc",
    "tstr_score",
    "trtr_score",
    "utility_ratio",
    "dcr_share",
    "membership_auc",
    "exact_copy_share",
)

_STANDARD = (
    "column_shapes_score",
    "missing_value_similarity",
    "category_coverage",
    "category_adherence",
    "range_coverage",
    "boundary_adherence",
    "column_pair_trends_score",
    "marginal_k_similarity",
    "energy_distance",
    "sliced_wasserstein_distance",
    "prdc_precision",
    "prdc_recall",
    "prdc_density",
    "prdc_coverage",
    "alpha_precision",
    "beta_recall",
    "authenticity",
    "c2st_auc",
    "c2st_score",
    "tstr_score",
    "trtr_score",
    "utility_ratio",
    "utility_gap",
    "dcr_share",
    "dcr_quantile_ratio",
    "membership_auc",
    "exact_copy_share",
)

#: Expression metrics that need nothing but the two tables join a panel with ``expression=True``.
EXPRESSION = (
    "gene_ks_distance",
    "gene_moment_agreement",
    "mean_variance_trend_distance",
    "zero_fraction_distance",
    "library_size_distance",
    "gene_correlation_distance",
    "pca_c2st_auc",
)

#: Name -> metrics, most rows of the metrics that compare rows, most rows of the others.
PRESETS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "fast": (_FAST, 1_500, 1_500),
    "standard": (_STANDARD, 5_000, 10_000),
}

# Cost grows with the number of rows only; these see whole tables.
_CHEAP = (
    "column_shapes_score",
    "missing_value_similarity",
    "category_coverage",
    "category_adherence",
    "range_coverage",
    "boundary_adherence",
    "statistic_similarity",
    "wasserstein_1d",
    "jensen_shannon_distance",
    "column_pair_trends_score",
    "quality_score",
    "exact_copy_share",
    "new_row_score",
)

# Metrics of pairs of columns: seeded columns of wider tables, and no details of every pair.
_PAIRS = (
    "column_pair_trends_score",
    "correlation_similarity",
    "contingency_similarity",
    "quality_score",
    "correlation_distance",
    "association_distance",
)
_MAX_COLUMNS = 2_000
_MAX_DETAILED_COLUMNS = 400

_GROUPS = {
    "prdc": ("prdc_precision", "prdc_recall", "prdc_density", "prdc_coverage"),
    "alpha": ("alpha_precision", "beta_recall", "authenticity"),
    "c2st": ("c2st_auc", "c2st_score"),
    "utility": ("tstr_score", "trtr_score", "utility_ratio", "utility_gap"),
}


def _parameters(name):
    return inspect.signature(METRICS[name].function).parameters


def is_privacy(name: str) -> bool:
    """Whether a metric compares with training rows instead of judging agreement with real ones."""
    first = next(iter(_parameters(name).values()))
    return "X_train" in METRICS[name].needs and first.default is None


def is_expression(name: str) -> bool:
    """Whether a metric reads expression matrices (rows are samples, columns are genes)."""
    return name in EXPRESSION or "_expression" in METRICS[name].function.__module__


def select_metrics(metrics: Any, *, given: Iterable[str], expression: bool) -> list[str]:
    """List the metrics of a preset or check a list of names.

    Parameters
    ----------
    metrics : {"standard", "fast", "all"} or list of str
        What is asked for.

    given : iterable of str
        Keywords that can be served: "X_train", "X_holdout", "target".

    expression : bool
        Add the expression metrics to a preset.
    """
    given = set(given)
    if isinstance(metrics, str):
        if metrics == "all":
            names = [name for name in METRICS if not is_expression(name) or expression]
        elif metrics in PRESETS:
            names = [*PRESETS[metrics][0], *(EXPRESSION if expression else ())]
        else:
            raise ValueError(
                f"metrics={metrics!r} is unknown; use 'fast', 'standard', 'all' or a list of "
                "names from METRICS."
            )
        return [name for name in names if set(METRICS[name].needs) <= given]
    names = list(dict.fromkeys(metrics))
    if not names:
        raise ValueError("metrics is an empty list; name at least one metric.")
    for name in names:
        if name not in METRICS:
            raise ValueError(f"Unknown metric {name!r} in metrics; the known ones are in METRICS.")
        lacking = sorted(set(METRICS[name].needs) - given)
        if lacking == ["column"]:
            raise ValueError(
                f"{name} compares one column; use column_shapes_score for whole tables."
            )
        if lacking:
            raise ValueError(f"{name} needs {', '.join(lacking)}; pass it or leave {name} out.")
    return names


def group_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Put metrics that share their work together; the others stay alone."""
    place = {name: group for group, members in _GROUPS.items() for name in members}
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(place.get(name, name), []).append(name)
    return groups


def _keywords(function, tables, options, *, whole):
    """Keywords that the function knows, and the tables cut where it has no cap of its own."""
    known = inspect.signature(function).parameters
    keywords = {key: tables[key] for key in ("X_train", "X_holdout") if key in known}
    keywords |= {key: options[key] for key in ("target", "task", "random_state") if key in known}
    keywords = {key: value for key, value in keywords.items() if value is not None}
    rows = {"X_real": tables["X_real"], "X_synth": tables["X_synth"]}
    if "max_rows" in known:
        default, cap = known["max_rows"].default, options["max_rows"]
        if "X_train" in known or "X_holdout" in known:
            cap = options["max_rows_privacy"]
        limits = [limit for limit in (default, cap) if isinstance(limit, int)]
        keywords["max_rows"] = min(limits) if limits else None
    elif not whole:
        cap = options["max_rows_models"]
        rows = {key: _head(table, cap, options["random_state"]) for key, table in rows.items()}
        keywords |= {
            key: _head(keywords[key], cap, options["random_state"])
            for key in ("X_train", "X_holdout")
            if key in keywords
        }
    if next(iter(known.values())).default is None:
        rows["X_real"] = None
    return rows, keywords


def _head(table, limit, seed):
    """Cut a data frame to ``limit`` rows by a seeded permutation."""
    if table is None or limit is None or len(table) <= limit:
        return table
    return table.iloc[np.random.default_rng(seed).permutation(len(table))[:limit]]


def _some_columns(tables, seed):
    """Cut wide tables to the same seeded columns."""
    n_columns = tables["X_real"].shape[1]
    if n_columns <= _MAX_COLUMNS:
        return tables
    chosen = np.sort(np.random.default_rng(seed).permutation(n_columns)[:_MAX_COLUMNS])
    return {
        name: None if table is None else table.iloc[:, chosen] for name, table in tables.items()
    }


def _call(function, tables, options, *, whole=False, breakdown=False):
    rows, keywords = _keywords(function, tables, options, whole=whole)
    return function(rows["X_real"], rows["X_synth"], **keywords, breakdown=breakdown)


def _prdc(names, tables, options):
    scores = _call(prdc, tables, options)
    return {name: Bunch(score=scores[name.partition("_")[2]], **scores) for name in _GROUPS["prdc"]}


def _alpha(names, tables, options):
    scores = _call(alpha_precision_beta_recall, tables, options)
    return {name: Bunch(score=scores[name], **scores) for name in _GROUPS["alpha"]}


def _c2st(names, tables, options):
    test = _call(c2st_auc, tables, options, breakdown=True)
    closeness = float((2.0 - 2.0 * np.maximum(0.5, test.fold_auc)).mean())
    return {"c2st_auc": test, "c2st_score": Bunch(**{**test, "score": closeness})}


def _gap(tables, options):
    """Scores of models trained on synthetic and on real rows; the latter may be known."""
    known = options.get("trtr")
    if known is None:
        return _call(utility_gap, tables, options, breakdown=True)
    rows, keywords = _keywords(tstr_score, tables, options, whole=False)
    # The seed that utility_gap gives both of its models.
    keywords["random_state"] = draw_seed(keywords["random_state"])
    found = tstr_score(rows["X_real"], rows["X_synth"], **keywords, breakdown=True)
    return Bunch(**{**found, "score": known - found.score, "tstr": found.score, "trtr": known})


def _utility(names, tables, options):
    gap = _gap(tables, options)
    if gap.trtr > 0:
        ratio = gap.tstr / gap.trtr
    else:
        ratio = float("nan")
        if "utility_ratio" in names:
            warnings.warn(
                "utility_ratio is undefined: the score of real rows is not positive; see "
                "utility_gap.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
    scores = {
        "tstr_score": gap.tstr,
        "trtr_score": gap.trtr,
        "utility_ratio": ratio,
        "utility_gap": gap.score,
    }
    return {name: Bunch(**{**gap, "score": float(score)}) for name, score in scores.items()}


_SHARED = {"prdc": _prdc, "alpha": _alpha, "c2st": _c2st, "utility": _utility}


def run_group(
    group: str,
    names: list[str],
    tables: Mapping[str, Any],
    options: Mapping[str, Any],
    breakdown: bool,
) -> tuple[dict[str, Bunch], list[tuple[type[Warning], str]]]:
    """Compute the metrics of one group.

    Returns
    -------
    results : dict of Bunch
        ``score`` and, if wanted, the details; a metric that refuses the tables has NaN and
        ``refused``.

    messages : list of (category, text)
        Warnings on the way.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if group in _SHARED:
                results = _SHARED[group](names, tables, options)
            else:
                if group in _PAIRS:
                    breakdown &= tables["X_real"].shape[1] <= _MAX_DETAILED_COLUMNS
                    tables = _some_columns(tables, options["random_state"])
                score = _call(
                    METRICS[group].function,
                    tables,
                    options,
                    whole=group in _CHEAP,
                    breakdown=breakdown,
                )
                results = {group: score if isinstance(score, Bunch) else Bunch(score=float(score))}
        except ValueError as exc:
            results = {name: Bunch(score=float("nan"), refused=str(exc)) for name in names}
            warnings.warn(
                f"{', '.join(names)} cannot be computed: {exc}", UndefinedMetricWarning, 2
            )
    messages = [
        (warning.category, str(warning.message))
        for warning in caught
        if issubclass(warning.category, UserWarning)
    ]
    return {name: results[name] for name in names}, list(dict.fromkeys(messages))
