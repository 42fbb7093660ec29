"""Tables to try generators on."""

from synth_estimators.datasets._biomedical import (
    BiomedicalClass,
    BiomedicalMeta,
    CorrelatedCluster,
    InformativeGroup,
    make_biomedical,
)
from synth_estimators.datasets._bulk_counts import BulkCountsMeta, make_bulk_counts
from synth_estimators.datasets._expression import make_expression_counts

__all__ = [
    "BiomedicalClass",
    "BiomedicalMeta",
    "BulkCountsMeta",
    "CorrelatedCluster",
    "InformativeGroup",
    "make_biomedical",
    "make_bulk_counts",
    "make_expression_counts",
]
