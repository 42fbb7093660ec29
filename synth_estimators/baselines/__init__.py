"""Cheap generators that every deep generator has to beat."""

from synth_estimators.baselines._bootstrap import BootstrapRows
from synth_estimators.baselines._calibrated import CalibratedGaussian
from synth_estimators.baselines._copula import GaussianCopula
from synth_estimators.baselines._independent import IndependentColumns
from synth_estimators.baselines._neighbors import NeighborInterpolation
from synth_estimators.baselines._sequential_cart import SequentialCART

__all__ = [
    "BootstrapRows",
    "CalibratedGaussian",
    "GaussianCopula",
    "IndependentColumns",
    "NeighborInterpolation",
    "SequentialCART",
]
