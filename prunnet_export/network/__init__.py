"""The prunable network, its checkpoints, and what is measured again after a cut."""

from prunnet_export.network._alignment import adapt, align_projector
from prunnet_export.network._batchnorm import STATISTICS_IMAGES, reestimate_batchnorm, statistics_batches
from prunnet_export.network._checkpoint import (
    DEMO,
    Checkpoint,
    DataSource,
    NetworkConfig,
    load_checkpoint,
    read_config,
    save_checkpoint,
)
from prunnet_export.network._embedder import BackboneOption, Embedder, Normalised, build_embedder
from prunnet_export.network._prunable import PrunableNetwork, fan_in

__all__ = [
    "DEMO",
    "STATISTICS_IMAGES",
    "BackboneOption",
    "Checkpoint",
    "DataSource",
    "Embedder",
    "NetworkConfig",
    "Normalised",
    "PrunableNetwork",
    "adapt",
    "align_projector",
    "build_embedder",
    "fan_in",
    "load_checkpoint",
    "read_config",
    "reestimate_batchnorm",
    "save_checkpoint",
    "statistics_batches",
]
