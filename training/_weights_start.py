"""The start of a run from weights that exist."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import statistics_inputs
from prunnet_export.network import PrunableNetwork, rebase_batchnorm
from prunnet_export.patterns import allocate
from prunnet_export.training._recipe import Recipe

_LOG = logging.getLogger(__name__)


def start_from_weights(
    network: PrunableNetwork, recipe: Recipe, data: RetrievalData, device: torch.device | None
) -> None:
    """Prepare a network of a run with labels, in place; see :func:`rebase_batchnorm` and :func:`allocate_channels`.

    Args:
        network: The network. It is left in training mode.
        recipe: The recipe of the run.
        data: The images.
        device: Where the network is; None is the CPU.

    Raises:
        InvalidInput: an image cannot be read.
        UnsupportedPattern: no channel can be cut.
    """
    embedder = network.embedder

    def inputs() -> Iterator[Tensor]:
        batches = statistics_inputs(data.train, recipe.preprocessing, recipe.statistics_images)
        return (images.to(device) for images in batches)

    rebase_batchnorm(embedder.backbone, map(embedder.standardised, inputs()))
    allocate_channels(network, recipe, inputs())
    network.train()


def allocate_channels(network: PrunableNetwork, recipe: Recipe, inputs: Iterable[Tensor]) -> None:
    """Give the channel cuts of weights that exist their widths; see :func:`allocate`.

    Nothing changes if the recipe trains no channel cuts.

    Args:
        network: The network.
        recipe: The recipe.
        inputs: Images float32 [b, 3, h, w] in 0..1, on the network's device.

    Raises:
        UnsupportedPattern: no channel can be cut.
    """
    if recipe.cuts_channels:
        _LOG.info("measuring which channels the weights can do without")
        allocate(network, inputs, seed=recipe.seed)
