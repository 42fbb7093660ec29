"""Lights, findings and the verdict: the rules by which a report reads its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from synth_estimators.metrics import METRICS
from synth_estimators.report._definitions import define

__all__ = ["LIGHTS", "Finding", "add_lights", "find_traps", "write_verdict"]


class Finding(NamedTuple):
    """Something that a careful reader would object to.

    Attributes
    ----------
    kind : str
        "dependence_lost", "copied_rows", "interpolated_rows", "collapsed_columns",
        "distinguishable", "missing_cells", "nonfinite_cells", "few_rows", "identifiers" or
        "not_judged".

    severity : {"serious", "caution", "note"}
        How much it weighs.

    text : str
        What was found, in words and numbers.
    """

    kind: str
    severity: str
    text: str

    def __str__(self) -> str:
        return self.text


#: Light -> (sign, words for fidelity, words for privacy).
LIGHTS = {
    "good": ("●", "as real rows", "as fresh rows"),
    "fair": ("▲", "somewhat off", "closer than fresh rows"),
    "poor": ("■", "far off", "much closer than fresh rows"),
    "info": ("–", "for comparison", "for comparison"),
    "none": ("–", "no value", "no value"),
}

# Distance from the limit that counts as noise, in units of 1 / sqrt(rows compared): about three
# standard deviations of the difference of two values of fresh rows.
_TOLERANCE = {
    "c2st_auc": 1.5,
    "c2st_score": 3.0,
    "pca_c2st_auc": 1.5,
    "prdc_density": 4.0,
    "beta_recall": 3.0,
    "alpha_precision": 3.0,
    "beta_recall_train": 3.0,
    "authenticity": 3.0,
}
_DEFAULT_TOLERANCE = 2.0
# Means over columns or pairs vary less than one share does.
_MEANS = ("column_shapes_score", "column_pair_trends_score", "missing_value_similarity")
_MEAN_TOLERANCE = 1.5
# Extremes and rare categories vary from sample to sample.
_EXTREMES = ("range_coverage", "category_coverage", "boundary_adherence", "category_adherence")
_EXTREME_TOLERANCE = 0.1

# Shares of the way from the limit to the floor.
_GOOD, _FAIR = 0.1, 0.4
# Absolute losses of metrics without a usable floor.
_GOOD_LOSS, _FAIR_LOSS = 0.03, 0.12

_P_VALUES = ("c2st_test", "mmd_test")
_CONTEXT = ("trtr_score",)
_TWO_SIDED = ("prdc_density", "authenticity")

_RISK_GOOD = 0.03

# Columns count as independent up to this share of the way from the floor to the limit.
_INDEPENDENT = 0.3

# Share of the association between columns from which on they are not called independent.
_KEPT = 0.2

# Copies that chance alone brings less often than this are no chance.
_COPY_CHANCE = 0.01

# Fewer rows than this can only show what is coarse; a verdict needs this many.
_FEW_ROWS, _TOO_FEW_ROWS = 50, 20

_PRIVACY_EXTRA = ("beta_recall_train", "authenticity_train")

#: Direction of the risk of the added rows: beta-recall rises, authenticity falls.
_RISK_SIGN = {"beta_recall_train": 1.0, "authenticity_train": -1.0}

_KEY = ("c2st_auc", "column_pair_trends_score", "column_shapes_score")

_HEADLINES = {
    "good": "The synthetic rows look like fresh real rows",
    "fair": "The synthetic rows resemble real rows, with visible differences",
    "poor": "The synthetic rows differ clearly from real rows",
    "none": "Fidelity could not be judged with the metrics chosen",
}
_PRIVACY_HEADLINES = {
    "good": "They show no sign of repeating training rows",
    "fair": "They lie somewhat closer to training rows than fresh rows do",
    "poor": "They repeat or betray training rows",
    "none": "Whether they repeat training rows could not be judged",
}


def _tolerance(name, n_rows, n_columns):
    if name in _EXTREMES:
        return _EXTREME_TOLERANCE
    if name in _MEANS:
        return _MEAN_TOLERANCE / np.sqrt(n_rows * min(max(n_columns, 1), 9))
    return _TOLERANCE.get(name, _DEFAULT_TOLERANCE) / np.sqrt(n_rows)


def _is_privacy(name):
    return name in _PRIVACY_EXTRA or define(name).section == "privacy"


def _privacy_light(name, value, limit, n_rows):
    if name in _RISK_SIGN:
        risk = _RISK_SIGN[name] * (value - limit)
    else:
        risk = limit - value if METRICS[name].greater_is_better else value - limit
    if name == "dcr_quantile_ratio":
        noise = 0.1 + 4 / np.sqrt(n_rows)
    else:
        noise = max(_RISK_GOOD, _tolerance(name, n_rows, 1))
    if risk <= noise:
        return "good"
    return "fair" if risk <= max(0.1, 2 * noise) else "poor"


def _fidelity_light(name, row, n_rows, n_columns):
    info = METRICS[name]
    value, limit, floor = row["value"], row["limit"], row["floor"]
    if name in _P_VALUES:
        return "good" if value >= 0.05 else "fair" if value >= 0.001 else "poor"
    if name in _TWO_SIDED:
        gap = abs(value - limit)
    else:
        if np.isfinite(info.low) and info.low < info.ideal < info.high:
            # Beyond an ideal inside the range there is nothing to reach; chance gets there.
            bound = min if info.greater_is_better else max
            value, limit = bound(value, info.ideal), bound(limit, info.ideal)
        gap = limit - value if info.greater_is_better else value - limit
    bounded = np.isfinite(info.low) and np.isfinite(info.high)
    if bounded or name == "prdc_density" or define(name).section == "use":
        noise = _tolerance(name, n_rows, n_columns)
    else:
        # Distances without an upper end: most of what real rows show among themselves.
        noise = 0.75 * abs(limit)
    spread = abs(limit - floor)
    usable = np.isfinite(row["calibrated"]) and np.isfinite(spread)
    if usable:
        good, fair = _GOOD * spread, _FAIR * spread
    elif bounded:
        good, fair = _GOOD_LOSS, _FAIR_LOSS
    else:
        good, fair = 0.0, 2 * noise
    if gap <= max(good, noise):
        return "good"
    return "fair" if gap <= max(fair, 2 * noise) else "poor"


def add_lights(table: pd.DataFrame, *, n_rows: int, n_columns: int) -> pd.DataFrame:
    """Add the columns ``light`` and ``reading`` (the light in words) to a table of metrics.

    Parameters
    ----------
    table : DataFrame
        What ``Panel.table`` returns.

    n_rows : int
        Rows compared; sets what counts as noise.

    n_columns : int
        Columns of the tables.
    """
    lights, readings = [], []
    for name, row in table.iterrows():
        privacy = _is_privacy(name)
        if np.isnan(row["value"]):
            light = "none"
        elif name in _CONTEXT:
            light = "info"
        elif privacy:
            light = _privacy_light(name, row["value"], row["limit"], n_rows)
        elif np.isnan(row["limit"]):
            light = "info"
        else:
            light = _fidelity_light(name, row, n_rows, n_columns)
        lights.append(light)
        readings.append(LIGHTS[light][2 if privacy else 1])
    return table.assign(light=lights, reading=readings)


def _value(table, name, column="value"):
    return float(table.loc[name, column]) if name in table.index else float("nan")


def _copied_share(table, sizes):
    """Share of exact copies beyond the duplicates that fresh rows hold; 0 within noise."""
    share, usual = _value(table, "exact_copy_share"), _value(table, "exact_copy_share", "limit")
    if np.isnan(share):
        return 0.0
    usual = 0.0 if np.isnan(usual) else usual
    n, m = sizes["synthetic"], sizes["other"]
    copies, among = round(share * n), round(usual * m)
    # Fisher's exact test: could as many copies fall among the synthetic rows by chance?
    chance = hypergeom.sf(copies - 1, n + m, copies + among, n)
    return share - usual if share - usual > 0.01 and chance < _COPY_CHANCE else 0.0


def _copies(table, copied):
    if not copied:
        return None
    share, usual = _value(table, "exact_copy_share"), _value(table, "exact_copy_share", "limit")
    return Finding(
        "copied_rows",
        "serious",
        f"Copied rows: {share:.1%} of the synthetic rows are exact copies of training rows; among "
        f"fresh real rows it is {usual:.1%}.",
    )


def _closeness(table, sizes, copied):
    """Rows that sit on or between training rows beyond what exact copies explain."""
    if copied > 0.5:
        return None
    n = min(sizes["synthetic"], sizes["train"], sizes["other"])
    # Four standard deviations of a share whose rows depend on three finite tables.
    noise = 4 * 0.5 * np.sqrt(1 / sizes["synthetic"] + 2 / min(sizes["train"], sizes["other"]))
    fresh, signs = 0.5 + 0.5 * copied, []
    share = _value(table, "dcr_share")
    if share > fresh + max(0.05, noise):
        signs.append(f"{share:.0%} of them lie nearer to a training row than to a held-out row")
    member = _value(table, "membership_auc")
    if member > fresh + max(0.05, noise):
        signs.append(f"training rows are recognised by them (membership AUC {member:.2f})")
    recall, usual = (_value(table, "beta_recall_train", key) for key in ("value", "limit"))
    if recall > usual + copied * (1 - usual) + max(0.1, 3 / np.sqrt(n)):
        signs.append(f"beta-recall of the training rows is {recall:.2f} (fresh rows: {usual:.2f})")
    real, usual = (_value(table, "authenticity_train", key) for key in ("value", "limit"))
    if real < usual * (1 - copied) - max(0.1, 3 / np.sqrt(n)):
        signs.append(f"authenticity is {real:.2f} (fresh rows: {usual:.2f})")
    if len(signs) < 2:
        return None
    return Finding(
        "interpolated_rows",
        "serious",
        "Interpolated rows: the synthetic rows hug the training rows, as rows do that are "
        "interpolated between training rows (SMOTE) or copied with a little noise: "
        + "; ".join(signs)
        + ".",
    )


def _dependence(table, rest, kept):
    """Columns that no longer belong together.

    ``rest`` holds the pair trends of the columns that did not collapse; the others would fail for
    that reason alone. ``kept`` measures the share of the dependence that is left, for tables that
    differ from real ones by more than that.
    """
    shapes = table["light"].get("column_shapes_score") == "good"
    keys = ("value", "limit", "floor", "calibrated")
    shown = {}
    for name, text in (("column_pair_trends_score", "pair trends"), ("c2st_auc", "tree test AUC")):
        if name in table.index:
            shown[text] = {key: _value(table, name, key) for key in keys}
    if rest is not None:
        shown = {"pair trends": rest}
    scores = [numbers["calibrated"] for numbers in shown.values()]
    scores = [score for score in scores if not np.isnan(score)]
    pairs = shown.get("pair trends")
    if not scores or max(scores) > _INDEPENDENT:
        return None
    if pairs is not None and rest is None and table["light"]["column_pair_trends_score"] == "good":
        return None
    if kept is not None and kept() > _KEPT:
        return None
    alone = "every column looks right on its own, but " if shapes else ""
    numbers = ", ".join(
        f"{text} {part['value']:.2f} (real rows {part['limit']:.2f}, shuffled columns "
        f"{part['floor']:.2f})"
        for text, part in shown.items()
    )
    return Finding(
        "dependence_lost",
        "serious",
        f"Dependence lost: {alone}columns are (nearly) independent of each other, as if each "
        f"column had been shuffled: {numbers}.",
    )


def _listed(names, limit=5):
    names = [repr(str(name)) for name in names]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _collapse(collapsed):
    if not collapsed:
        return None
    names = list(collapsed)
    shown = "; ".join(f"{str(name)!r} {collapsed[name]}" for name in names[:5])
    more = f"; and {len(names) - 5} more" if len(names) > 5 else ""
    count = "1 column has" if len(names) == 1 else f"{len(names)} columns have"
    return Finding(
        "collapsed_columns",
        "serious",
        f"Collapsed columns: {count} lost nearly all variation: {shown}{more}.",
    )


def _distinguishable(table, columns):
    if table["light"].get("c2st_auc") != "poor":
        return None
    auc = _value(table, "c2st_auc")
    top = columns[columns["importance"] > 0].sort_values("importance", ascending=False)
    by = f" Most telling columns: {_listed(top['column'][:3], 3)}." if len(top) else ""
    return Finding(
        "distinguishable",
        "caution",
        f"Easily told apart: trees tell synthetic from real rows with AUC {auc:.2f} "
        f"(0.5 would be chance).{by}",
    )


def _missing(table):
    if table["light"].get("missing_value_similarity") != "poor":
        return None
    return Finding(
        "missing_cells",
        "caution",
        "Missing cells: the shares of missing cells differ from those of the real rows; see the "
        "columns.",
    )


def _nonfinite(columns):
    bad = columns[columns["n_nonfinite"] > 0]
    if not len(bad):
        return None
    return Finding(
        "nonfinite_cells",
        "caution",
        f"Infinite cells: {int(bad['n_nonfinite'].sum())} synthetic cells are infinite and were "
        f"taken as missing, in {_listed(bad['column'])}.",
    )


def _few_rows(sizes):
    least = min(sizes.values())
    if least >= _FEW_ROWS:
        return None
    return Finding(
        "few_rows",
        "note",
        f"Few rows: the smallest table has {least}. Chance moves every number by so much that only "
        "coarse faults show.",
    )


def _identifiers(names):
    if not names:
        return None
    one = len(names) == 1
    return Finding(
        "identifiers",
        "note",
        f"Identifiers: every row of the training table has another text in {_listed(names)}. "
        "Nothing there can agree, and distances between rows are blurred; leave "
        f"{'this column' if one else 'these columns'} out of all tables.",
    )


def _sizes_note(sizes, has_holdout):
    if not has_holdout:
        return Finding(
            "not_judged",
            "note",
            "No held-out rows were given: fidelity is measured against the training rows, which "
            "rewards copying, and nearness to the training rows cannot be judged against that of "
            "fresh rows.",
        )
    ratio = sizes["train"] / sizes["other"]
    if not 2 / 3 <= ratio <= 3 / 2:
        return Finding(
            "not_judged",
            "note",
            f"There are {sizes['train']} training and {sizes['other']} held-out rows; privacy "
            "numbers are the most telling when both are about as many.",
        )
    return None


def find_traps(
    table: pd.DataFrame,
    columns: pd.DataFrame,
    *,
    collapsed: dict,
    sizes: dict[str, int],
    has_holdout: bool,
    rest: dict | None = None,
    kept: Callable[[], float] | None = None,
    identifiers: Sequence = (),
) -> list[Finding]:
    """List what a careful reader would object to, the gravest first.

    Parameters
    ----------
    table : DataFrame
        Metrics with lights.

    columns : DataFrame
        What ``column_scores`` returned.

    collapsed : dict
        Column -> how it collapsed.

    sizes : dict
        Rows of "train", "synthetic" and "other" (the held-out rows, or else the training rows).

    has_holdout : bool
        Whether held-out rows were given.

    rest : dict or None
        Pair trends of the columns that did not collapse, where some did: ``value``, ``limit``,
        ``floor`` and ``calibrated``.

    kept : callable or None
        Share of the association between columns that the synthetic rows keep; asked for only
        where dependence seems lost.

    identifiers : sequence
        Columns with another text in every training row.
    """
    copied = _copied_share(table, sizes)
    found = [
        _copies(table, copied),
        _closeness(table, sizes, copied),
        _collapse(collapsed),
        _dependence(table, rest, kept),
        _distinguishable(table, columns),
        _missing(table),
        _nonfinite(columns),
        _few_rows(sizes),
        _identifiers(identifiers),
        _sizes_note(sizes, has_holdout),
    ]
    return [finding for finding in found if finding is not None]


def _worst(lights: Any) -> str:
    order = ("poor", "fair", "good")
    present = list(lights)
    return next((light for light in order if light in present), "none")


def write_verdict(
    table: pd.DataFrame, findings: list[Finding], *, has_holdout: bool, n_rows: int
) -> tuple[str, str, str]:
    """Sum a report up in two sentences.

    Fewer than 20 rows (``n_rows`` of the smallest table) bring no good verdict, only a bad one.

    Returns
    -------
    verdict : str
        The sentences.

    fidelity, privacy : {"good", "fair", "poor", "none"}
        The two lights behind it.
    """
    kinds = {finding.kind for finding in findings}
    keys = [table.loc[name, "light"] for name in _KEY if name in table.index]
    seeing = [
        name
        for name in table.index
        if name not in _PRIVACY_EXTRA
        and METRICS[name].sees_dependence
        and define(name).section in ("dependence", "rows", "expression")
    ]
    if len(keys) < 2:
        keys += [table.loc[name, "light"] for name in seeing]
    fidelity = _worst(keys)
    if kinds & {"dependence_lost", "collapsed_columns"}:
        fidelity = "poor"
    private = [table.loc[name, "light"] for name in table.index if _is_privacy(name)]
    if kinds & {"copied_rows", "interpolated_rows"}:
        privacy = "poor"
    elif not has_holdout or not private:
        privacy = "none"
    else:
        # One light alone may be chance; a serious leak shows in a finding.
        privacy = "fair" if private.count("poor") + private.count("fair") > 1 else "good"
    if n_rows < _TOO_FEW_ROWS:
        fidelity = "poor" if kinds & {"dependence_lost", "collapsed_columns"} else "none"
        privacy = privacy if privacy == "poor" else "none"
    headline = _HEADLINES[fidelity]
    if fidelity == "none" and n_rows < _TOO_FEW_ROWS:
        headline = f"With {n_rows} rows in the smallest table fidelity cannot be judged"
    text = f"{headline}. {_PRIVACY_HEADLINES[privacy]}."
    return text, fidelity, privacy
