"""Cutting a subnetwork: it becomes a plain module with its own weights."""

from __future__ import annotations

from copy import deepcopy

import torch

from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns._base import Subnetwork


def materialise(network: PrunableNetwork, subnetwork: Subnetwork) -> Embedder:
    """The subnetwork as a plain module with its own weights, in evaluation mode."""
    module = deepcopy(subnetwork.structure)
    with torch.no_grad():
        gathered = subnetwork.gather(network.tensors())
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            tensor.copy_(gathered[name])
    module.requires_grad_(requires_grad=False)
    return module.eval()
