"""Making a subnetwork physically: a plain module with its own weights."""

from __future__ import annotations

from copy import deepcopy

import torch

from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns._base import Pattern, Subnetwork


def cut(network: PrunableNetwork, capacity: float, pattern: Pattern) -> Embedder:
    """The subnetwork at one (capacity, pattern) as a plain module in evaluation mode.

    Its BatchNorm statistics are the dense network's: call :func:`prunnet_export.network.adapt` before trusting its
    embeddings.

    Raises:
        InvalidInput: the capacity is out of range, or smaller than the pattern can reach.
        UnsupportedPattern: the network cannot be cut like this.
    """
    [subnetwork] = pattern.subnetworks(network, [capacity])
    return materialise(network, subnetwork)


def materialise(network: PrunableNetwork, subnetwork: Subnetwork) -> Embedder:
    """The subnetwork as a plain module in evaluation mode, with weights of its own."""
    module = deepcopy(subnetwork.structure)
    with torch.no_grad():
        gathered = subnetwork.gather(network.tensors())
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            tensor.copy_(gathered[name])
    module.requires_grad_(requires_grad=False)
    return module.eval()
