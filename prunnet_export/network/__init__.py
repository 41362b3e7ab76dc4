"""The prunable network, its checkpoints, and how a cut network is adapted: BatchNorm statistics and projector."""

from prunnet_export.network._alignment import adapt, align_projector, fit_projector
from prunnet_export.network._batchnorm import reestimate_batchnorm, statistics_batches
from prunnet_export.network._checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from prunnet_export.network._embedder import Embedder, Normalised, build_embedder
from prunnet_export.network._prunable import PrunableNetwork, fan_in

__all__ = [
    "Checkpoint",
    "Embedder",
    "Normalised",
    "PrunableNetwork",
    "adapt",
    "align_projector",
    "build_embedder",
    "fan_in",
    "fit_projector",
    "load_checkpoint",
    "reestimate_batchnorm",
    "save_checkpoint",
    "statistics_batches",
]
