"""What each number of a report is called and how it is defined, in plain words."""

from __future__ import annotations

from typing import NamedTuple

from synth_estimators.metrics import METRICS
from synth_estimators.metrics._panel_groups import is_privacy

__all__ = ["SECTIONS", "Definition", "define", "section_of"]


class Definition(NamedTuple):
    """Title, section and definition of a metric."""

    title: str
    section: str
    text: str


#: Section -> question that its metrics answer, in the order of the page.
SECTIONS = {
    "dependence": "Do the columns belong together as they do in real rows?",
    "privacy": "Do the rows repeat training rows?",
    "columns": "Does every column look right on its own?",
    "rows": "Do whole rows lie where real rows lie?",
    "use": "Do models trained on the rows work on real ones?",
    "expression": "Does the matrix behave as an expression matrix?",
}

_DEFINITIONS = {
    "column_shapes_score": Definition(
        "Column shapes",
        "columns",
        "Mean over columns of 1 minus the largest gap between the two distribution functions "
        "(numbers) or 1 minus half the summed differences of the shares (categories). 1 is ideal.",
    ),
    "missing_value_similarity": Definition(
        "Missing cells",
        "columns",
        "Mean over columns of 1 minus the difference of the shares of missing cells. 1 is ideal.",
    ),
    "category_coverage": Definition(
        "Categories covered",
        "columns",
        "Share of the real categories that occur in the synthetic column. 1 is ideal; rare "
        "categories are missed by fresh real rows too.",
    ),
    "category_adherence": Definition(
        "Categories known",
        "columns",
        "Share of the synthetic cells whose category occurs in the real column. 1 is ideal.",
    ),
    "range_coverage": Definition(
        "Range covered",
        "columns",
        "Share of the range of the real column that the synthetic one reaches. 1 is ideal.",
    ),
    "boundary_adherence": Definition(
        "Within bounds",
        "columns",
        "Share of the synthetic numbers between the real minimum and maximum. 1 is ideal.",
    ),
    "column_pair_trends_score": Definition(
        "Pair trends",
        "dependence",
        "Mean over pairs of columns: 1 minus half the difference of the correlations, or 1 minus "
        "half the summed differences of the joint shares. 1 is ideal.",
    ),
    "correlation_distance": Definition(
        "Correlation distance",
        "dependence",
        "Mean absolute difference of the correlations between numeric columns. 0 is ideal.",
    ),
    "association_distance": Definition(
        "Association distance",
        "dependence",
        "Mean absolute difference of correlation, Cramér's V or correlation ratio over pairs of "
        "columns. 0 is ideal.",
    ),
    "marginal_k_similarity": Definition(
        "Triples of columns",
        "dependence",
        "Mean over sampled triples of columns of 1 minus the total variation distance of their "
        "joint table (numbers in 10 quantile bins). 1 is ideal.",
    ),
    "c2st_auc": Definition(
        "Tree two-sample test",
        "dependence",
        "Boosted trees learn to tell synthetic from held-out real rows; area under the ROC curve "
        "on rows they were not fitted to. 0.5 is ideal (no difference), 1 means every row is "
        "recognised.",
    ),
    "c2st_score": Definition(
        "Indistinguishability",
        "dependence",
        "1 minus twice the excess of the tree two-sample AUC over one half. 1 is ideal.",
    ),
    "pca_c2st_auc": Definition(
        "Tree test on components",
        "expression",
        "The tree two-sample test on the 50 largest principal components of the training rows. "
        "0.5 is ideal.",
    ),
    "energy_distance": Definition(
        "Energy distance",
        "rows",
        "Twice the mean distance between real and synthetic rows minus the mean distances inside "
        "both tables, in standardised space. 0 is ideal.",
    ),
    "sliced_wasserstein_distance": Definition(
        "Sliced Wasserstein",
        "rows",
        "Mean over random directions of the one-dimensional transport distance, in standardised "
        "space. 0 is ideal.",
    ),
    "prdc_precision": Definition(
        "Precision",
        "rows",
        "Share of the synthetic rows inside the neighbourhood (5 nearest) of some real row.",
    ),
    "prdc_recall": Definition(
        "Recall",
        "rows",
        "Share of the real rows inside the neighbourhood (5 nearest) of some synthetic row.",
    ),
    "prdc_density": Definition(
        "Density",
        "rows",
        "How many real neighbourhoods a synthetic row lies in, relative to 5. 1 is ideal.",
    ),
    "prdc_coverage": Definition(
        "Coverage",
        "rows",
        "Share of the real rows with a synthetic row in their neighbourhood (5 nearest). About "
        "0.97 for fresh real rows.",
    ),
    "alpha_precision": Definition(
        "Alpha-precision",
        "rows",
        "Agreement of the shares of rows in balls around the real mean. 1 is ideal.",
    ),
    "beta_recall": Definition(
        "Beta-recall",
        "rows",
        "Share of the held-out rows with a synthetic row as near as their nearest real one, over "
        "balls around the synthetic mean. 0.5 is ideal.",
    ),
    "authenticity": Definition(
        "Authenticity",
        "rows",
        "Share of the synthetic rows whose nearest held-out row has an even nearer held-out row. "
        "Between 0.5 and 0.6 for fresh real rows; higher means further from real rows.",
    ),
    "tstr_score": Definition(
        "Trained on synthetic",
        "use",
        "Score on held-out real rows of boosted trees trained on synthetic rows: ROC AUC for "
        "classes, R2 for a numeric target.",
    ),
    "trtr_score": Definition(
        "Trained on real",
        "use",
        "The same for trees trained on the training rows; stands here for comparison.",
    ),
    "utility_ratio": Definition(
        "Utility ratio",
        "use",
        "Trained on synthetic over trained on real. 1 is ideal.",
    ),
    "utility_gap": Definition(
        "Utility gap",
        "use",
        "Trained on real minus trained on synthetic. 0 is ideal.",
    ),
    "dcr_share": Definition(
        "Nearer to training",
        "privacy",
        "Share of the synthetic rows that lie closer to a training row than to a held-out row, "
        "both tables cut to equal size. 0.5 is ideal, copies give 1.",
    ),
    "dcr_quantile_ratio": Definition(
        "Closest rows",
        "privacy",
        "5 % quantile of the distance from synthetic to training rows over that from held-out to "
        "training rows. 1 is ideal; below 1 rows are closer than fresh ones.",
    ),
    "membership_auc": Definition(
        "Membership",
        "privacy",
        "How well the distance to the nearest synthetic row tells training rows from held-out "
        "rows, as ROC AUC. 0.5 is ideal, 1 means that everyone is recognised.",
    ),
    "exact_copy_share": Definition(
        "Exact copies",
        "privacy",
        "Share of the synthetic rows that equal a training row. The limit is the share among "
        "held-out rows, since real tables hold duplicates.",
    ),
    "beta_recall_train": Definition(
        "Beta-recall (training)",
        "privacy",
        "Share of the training rows with a synthetic row as near as their nearest training row, "
        "over balls around the synthetic mean. Clearly above the limit: rows were copied or "
        "interpolated.",
    ),
    "authenticity_train": Definition(
        "Authenticity (training)",
        "privacy",
        "Share of the synthetic rows whose nearest training row has an even nearer training row. "
        "Clearly below the limit: rows were copied or interpolated.",
    ),
}


def _first_line(name):
    text = (METRICS[name].function.__doc__ or "").strip()
    return text.splitlines()[0] if text else ""


def section_of(name: str) -> str:
    """Name the section of the page that a metric belongs to."""
    return define(name).section


def define(name: str) -> Definition:
    """Look up title, section and definition of a metric.

    Metrics without an entry take the first line of their docstring.
    """
    if name in _DEFINITIONS:
        return _DEFINITIONS[name]
    info = METRICS[name]
    section = "dependence" if info.sees_dependence else "columns"
    if "_expression" in info.function.__module__:
        section = "expression"
    elif is_privacy(name):
        section = "privacy"
    elif {"target", "X_train"} & set(info.needs):
        section = "use"
    title = name.replace("_", " ").capitalize()
    return Definition(title, section, _first_line(name))
