"""What people do without a network made for cutting: torch-pruning takes channels out of the dense network."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass

import torch

from prunnet_export._errors import UnsupportedPattern
from prunnet_export._imports import require
from prunnet_export._numbers import percent
from prunnet_export.benchmarks.methods._base import Bench, Method, Trained
from prunnet_export.benchmarks.methods.dense import dense_run
from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns import Channel
from prunnet_export.training import allocate_widths


@dataclass(frozen=True)
class Magnitude(Method):
    """The dense network is trained alone; later torch-pruning removes the channels with the smallest weights.

    A channel is as important as the mean squared norm of all weights that go with it (Fang et al., DepGraph, CVPR
    2023). The kept widths are those of our channel cuts, so the methods differ in the choice of the channels and in the
    training. Nothing is trained after the pruning.
    """

    name: str = "magnitude"

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        multiple = bench.settings.channel_multiple
        run = dense_run(bench, seed)
        allocate_widths(run.network, bench.settings.recipe(seed), classes=bench.classes)
        reached = Channel(multiple).reachable(run.network, bench.settings.capacities)
        cuts = {one: prune_by_magnitude(run.network, one, channel_multiple=multiple) for one in reached}
        return Trained(run.network.embedder, {self.name: cuts}, run.seconds, cost=1)


def prune_by_magnitude(network: PrunableNetwork, capacity: float, *, channel_multiple: int) -> Embedder:
    """The network that torch-pruning makes, with the widths of our channel cut.

    Args:
        network: The dense network. It does not change.
        capacity: The share of the prunable weights to keep at most, 0 < capacity < 1.
        channel_multiple: Kept widths are multiples of this.

    Raises:
        InvalidInput: even the narrowest network keeps more.
        MissingExtra: torch-pruning is not installed.
        UnsupportedPattern: torch-pruning cannot make these widths.
    """
    torch_pruning = require("torch_pruning", extra="train")
    channel = Channel(channel_multiple)
    plan, [widths] = channel.plan(network), channel.widths(network, [capacity])
    embedder = deepcopy(network.embedder).eval()
    ratios = {}
    for group, width in zip(plan.groups, widths, strict=True):
        # Half a channel more, because torch-pruning rounds the number that it keeps down.
        ratio = max(0.0, 1 - (width + 0.5) / group.units)
        layers = {axis.tensor.rpartition(".")[0] for axis in group.axes if axis.dim == 0}
        ratios.update({embedder.get_submodule(layer): ratio for layer in layers})
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
        torch_pruning.pruner.BasePruner(
            embedder,
            torch.zeros(1, 3, *network.size),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=0,
            pruning_ratio_dict=ratios,
            ignored_layers=[embedder.projector],
            forward_fn=lambda module, inputs: module(inputs),
        ).step()
    kept = sum(embedder.get_parameter(name).numel() for name in network.prunable_weights())
    if kept != plan.weights_kept(widths):
        raise UnsupportedPattern(
            f"torch-pruning does not cut {type(embedder.backbone).__name__} to {percent(capacity)}",
            hint="leave the method magnitude out",
        )
    return embedder
