"""Training of neural generators: data in batches, the epoch loop, callbacks, matrix products."""

from synth_estimators._engine._adversarial import AdversarialEngine
from synth_estimators._engine._callbacks import (
    BestWeights,
    EpochBridge,
    StopTraining,
    check_callbacks,
)
from synth_estimators._engine._machine import fast_matmul, limit_threads_in_workers
from synth_estimators._engine._net import EpochEngine
from synth_estimators._engine._rows import (
    Rows,
    RowStream,
    TensorBatches,
    TrainingRows,
    chunk_rows,
)

__all__ = [
    "AdversarialEngine",
    "BestWeights",
    "EpochBridge",
    "EpochEngine",
    "RowStream",
    "Rows",
    "StopTraining",
    "TensorBatches",
    "TrainingRows",
    "check_callbacks",
    "chunk_rows",
    "fast_matmul",
    "limit_threads_in_workers",
]
