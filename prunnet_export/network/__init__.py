"""The prunable network, its checkpoints and the weights it starts from, and how a cut network is adapted."""

from prunnet_export.network._alignment import adapt, align_projector, fit_projector
from prunnet_export.network._batchnorm import rebase_batchnorm, reestimate_batchnorm, statistics_batches
from prunnet_export.network._checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from prunnet_export.network._embedder import Embedder, Normalised, build_embedder
from prunnet_export.network._fuse import fused
from prunnet_export.network._prunable import PrunableNetwork, fan_in, ranks_in, scores_from
from prunnet_export.network._ridge import LinearMap, RidgeSums
from prunnet_export.network._threads import limit_torch_threads
from prunnet_export.network._weights import load_weights

__all__ = [
    "Checkpoint",
    "Embedder",
    "LinearMap",
    "Normalised",
    "PrunableNetwork",
    "RidgeSums",
    "adapt",
    "align_projector",
    "build_embedder",
    "fan_in",
    "fit_projector",
    "fused",
    "limit_torch_threads",
    "load_checkpoint",
    "load_weights",
    "ranks_in",
    "rebase_batchnorm",
    "reestimate_batchnorm",
    "save_checkpoint",
    "scores_from",
    "statistics_batches",
]
