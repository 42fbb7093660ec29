"""Synthetic data as scikit-learn estimators."""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "BaseGenerator": "synth_estimators.base",
    "BootstrapRows": "synth_estimators.baselines",
    "CalibratedGaussian": "synth_estimators.baselines",
    "GaussianCopula": "synth_estimators.baselines",
    "IndependentColumns": "synth_estimators.baselines",
    "NeighborInterpolation": "synth_estimators.baselines",
    "SequentialCART": "synth_estimators.baselines",
    "AE": "synth_estimators.autoencoders",
    "CVAE": "synth_estimators.autoencoders",
    "VAE": "synth_estimators.autoencoders",
    "evaluate_synthetic": "synth_estimators.report",
    "from_spec": "synth_estimators.autoencoders",
    "TabularAR": "synth_estimators.tabular",
    "Log2Transformer": "synth_estimators.preprocessing",
    "MixedSpace": "synth_estimators.preprocessing",
    "NormalScores": "synth_estimators.preprocessing",
    "TabularEncoder": "synth_estimators.preprocessing",
    "BatchEffectSimulator": "synth_estimators.batch_effects",
    "BatchStandardizer": "synth_estimators.batch_effects",
    "ComBat": "synth_estimators.batch_effects",
    "ComBatGAM": "synth_estimators.batch_effects",
    "ComBatSeq": "synth_estimators.batch_effects",
    "CovBat": "synth_estimators.batch_effects",
    "HarmonyEmbedding": "synth_estimators.batch_effects",
    "LimmaBatchRemover": "synth_estimators.batch_effects",
    "LongitudinalComBat": "synth_estimators.batch_effects",
    "NestedComBat": "synth_estimators.batch_effects",
    "QuantileAligner": "synth_estimators.batch_effects",
    "attach_batch": "synth_estimators.batch_effects",
    "ACTGAN": "synth_estimators.tabular",
    "CTGAN": "synth_estimators.tabular",
    "ConstrainedGenerator": "synth_estimators.tabular",
    "TVAE": "synth_estimators.tabular",
    "ClassConditionalGenerator": "synth_estimators.compose",
    "TransformedGenerator": "synth_estimators.compose",
    "SynthesisPipeline": "synth_estimators.pipeline",
    "make_synthesis_pipeline": "synth_estimators.pipeline",
    "compare_generators": "synth_estimators.model_selection",
    "cross_validate_generator": "synth_estimators.model_selection",
    "make_generator_scorer": "synth_estimators.model_selection",
}

_SUBPACKAGES = (
    "autoencoders",
    "baselines",
    "batch_effects",
    "compose",
    "datasets",
    "inspection",
    "metrics",
    "model_selection",
    "pipeline",
    "preprocessing",
    "report",
    "tabular",
    "utils",
)

__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name):
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    if name in _SUBPACKAGES:
        return importlib.import_module(f"synth_estimators.{name}")
    raise AttributeError(f"module 'synth_estimators' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *_SUBPACKAGES})
