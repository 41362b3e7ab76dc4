"""What weights cost: their number, and the multiplications of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._base import Subnetwork
from prunnet_export.patterns._plan import ChannelPlan

_LINEAR_RANK = 2


def unit_costs(network: PrunableNetwork, plan: ChannelPlan) -> list[float]:
    """The share of the weights plus the share of the multiplications that a unit of each group has."""
    weights, places = plan.weights(), _places(network)
    counts = {name: weight.numel() * places[name] for name, weight in weights.items()}
    total = sum(counts.values())
    costs = []
    for group in plan.groups:
        cost = 0.0
        for axis in group.axes:
            if axis.tensor in weights:
                share = axis.positions.shape[1] / weights[axis.tensor].shape[axis.dim]
                own = weights[axis.tensor].numel() / plan.weights_total + counts[axis.tensor] / total
                cost += share * own
        costs.append(cost)
    return costs


def multiplications(network: PrunableNetwork, subnetwork: Subnetwork) -> float:
    """The multiplications of a subnetwork's prunable weights, as a share of the dense network's.

    It is 1 if the subnetwork's tensors are not smaller: zeros are multiplied too.
    """
    if subnetwork.widths() is None:
        return 1.0
    weights, places = network.prunable_weights(), _places(network)
    small = subnetwork.gather({name: weight.detach() for name, weight in weights.items()})
    kept, total = (sum(one[name].numel() * places[name] for name in weights) for one in (small, weights))
    return kept / total


def _places(network: PrunableNetwork) -> dict[str, int]:
    """How often an image applies each prunable weight: pixels of a convolution's output, or tokens."""
    places: dict[str, int] = {}
    modules = {name: network.embedder.get_submodule(name.rpartition(".")[0]) for name in network.prunable_weights()}

    def count(name: str, module: nn.Module, output: Tensor) -> None:
        places[name] = places.get(name, 0) + output.numel() // len(module.get_parameter("weight"))

    handles = [
        module.register_forward_hook(lambda module, _inputs, output, name=name: count(name, module, output))
        for name, module in modules.items()
    ]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, *network.size, device=next(network.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
        network.train(training)
    weights = network.prunable_weights()
    # The layers of some attentions are never called, because only their weights are used, with every token.
    tokens = max((count for name, count in places.items() if weights[name].ndim == _LINEAR_RANK), default=1)
    return {name: places.get(name, tokens) for name in weights}
