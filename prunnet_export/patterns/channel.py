"""The ``channel`` pattern: whole channels are dropped, so tensors become smaller and every runtime becomes faster."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from prunnet_export._errors import UnsupportedPattern
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._base import Pattern, Subnetwork
from prunnet_export.patterns._groups import find_channel_groups
from prunnet_export.patterns._plan import ChannelPlan, Widths

# A plan refers to the embedder, not to the network, so an entry disappears together with its network.
_PLANS: WeakKeyDictionary[PrunableNetwork, ChannelPlan] = WeakKeyDictionary()


class ChannelSubnetwork(Subnetwork):
    """A subnetwork with fewer channels. ``kept_units`` has sorted int64 indices for each group of the plan."""

    def __init__(self, plan: ChannelPlan, asked: float, kept_units: Sequence[Tensor]) -> None:
        self.pattern = Channel.name
        self.asked = asked
        self._plan = plan
        self._widths = tuple(len(units) for units in kept_units)
        self.structure = plan.structure(self._widths)
        self.kept, self.total = plan.weights_kept(self._widths), plan.weights_total
        self._index = plan.kept_indices(kept_units)

    def gather(self, tensors: Mapping[str, Tensor], into: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """See :class:`Subnetwork`; ``into`` is not used, because the shapes differ."""
        del into
        return {name: self._gather_one(name, tensor) for name, tensor in tensors.items()}

    def _gather_one(self, name: str, tensor: Tensor) -> Tensor:
        index = self._index.get(name)
        if index is None:
            return tensor.clone()
        for dim, kept in index.items():
            tensor = tensor.index_select(dim, kept)
        return tensor

    def scatter(self, gradients: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
        """See :class:`Subnetwork`."""
        for name, gradient in gradients.items():
            self._scatter_one(name, gradient, out[name])

    def _scatter_one(self, name: str, gradient: Tensor, out: Tensor) -> None:
        index = self._index.get(name)
        if index is None:
            out.copy_(gradient)
            return
        # One copy for all axes: a selection axis by axis would write the whole tensor several times.
        rows = torch.zeros(1, dtype=torch.int64, device=out.device)
        for dim in range(max(index) + 1):
            size = out.shape[dim]
            kept = index[dim] if dim in index else torch.arange(size, device=out.device)
            rows = (rows.unsqueeze(1) * size + kept).flatten()
        size = math.prod(out.shape[max(index) + 1 :])
        out.zero_().view(-1, size).index_copy_(0, rows, gradient.reshape(-1, size))

    def masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        weights = self._plan.weights()
        kept = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.scatter({name: self._gather_one(name, torch.ones_like(weight)) for name, weight in weights.items()}, kept)
        return {name: one > 0 for name, one in kept.items()}

    def widths(self) -> dict[str, int]:
        """Kept channels of each group, by the name of the group's first layer."""
        return {
            group.name: units * group.unit_width for group, units in zip(self._plan.groups, self._widths, strict=True)
        }


class Channel(Pattern):
    """Each group of coupled channels keeps its units with the highest scores.

    The width ratio is the same in all groups, unless the network has :meth:`PrunableNetwork.unit_ranks`. The capacity
    is the kept fraction of prunable weights, so a uniform ratio is near its square root. Norms over channels
    (LayerNorm, ConvNeXt V2's GlobalResponseNorm) use the kept channels only. A group that the trace gets wrong is not
    cut.

    Args:
        multiple: Kept widths are multiples of this many channels.
    """

    name: ClassVar[str] = "channel"

    def __init__(self, multiple: int = 8) -> None:
        self.multiple = multiple

    def plan(self, network: PrunableNetwork) -> ChannelPlan:
        """The network's channel groups, traced at the first call. They do not depend on the multiple.

        Raises:
            UnsupportedPattern: no channel can be cut.
        """
        if network not in _PLANS:
            _PLANS[network] = _make_plan(network)
        return _PLANS[network]

    def reachable(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[float]:
        """See :class:`Pattern`."""
        narrowest = self.plan(network).narrowest(self.multiple)
        return [capacity for capacity in capacities if capacity >= narrowest]

    def widths(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Widths]:
        """Kept units of each group at each capacity.

        Raises:
            InvalidInput: a capacity is out of range or below the narrowest cut, or the network's ranks are corrupt.
            UnsupportedPattern: no channel can be cut.
        """
        plan = self.plan(network)
        plan.use_ranks(network.unit_ranks())
        return [plan.widths_for(capacity, self.multiple) for capacity in capacities]

    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """See :class:`Pattern`."""
        plan = self.plan(network)
        # All widths use one stable order of the units, so a narrower subnetwork is part of every wider one.
        orders = [unit.argsort(descending=True, stable=True) for unit in plan.importance(network.scores())]
        subnetworks: list[Subnetwork] = []
        for capacity, widths in zip(capacities, self.widths(network, capacities), strict=True):
            kept = [order[:width].sort().values for order, width in zip(orders, widths, strict=True)]
            subnetworks.append(ChannelSubnetwork(plan, capacity, kept))
        return subnetworks


def _make_plan(network: PrunableNetwork) -> ChannelPlan:
    """The plan of the groups that can be cut; to check this, all are cut to half of their units, and the cut is run.

    If that fails, the groups that fail even when they are cut alone are left out.

    Raises:
        UnsupportedPattern: nothing that can be cut is left.
    """
    groups = find_channel_groups(network.embedder, size=network.size)
    plan = ChannelPlan(network.embedder, list(network.prunable_weights()), groups)
    everything = range(len(groups))
    failure = _try_half_cut(network, plan, everything)
    if failure is None:
        return plan
    groups = [group for index, group in enumerate(groups) if _try_half_cut(network, plan, [index]) is None]
    plan = ChannelPlan(network.embedder, list(network.prunable_weights()), groups)
    if groups and _try_half_cut(network, plan, everything) is None:
        return plan
    raise UnsupportedPattern(
        "this backbone couples its channels in a way that cannot be cut", hint="use --pattern unstructured"
    ) from failure


def _try_half_cut(network: PrunableNetwork, plan: ChannelPlan, chosen: Container[int]) -> Exception | None:
    """Run the network with half of the units in the chosen groups; returns the error, if there is one."""
    kept = [
        torch.arange(max(1, group.units // 2) if index in chosen else group.units)
        for index, group in enumerate(plan.groups)
    ]
    tensors = network.tensors()
    image = torch.zeros(1, 3, *network.size, device=tensors["mean"].device)
    training = network.embedder.training
    try:
        half = ChannelSubnetwork(plan, 1, kept)
        with torch.no_grad():
            torch.func.functional_call(half.structure.eval(), half.gather(tensors), (image,))
    except Exception as error:  # noqa: BLE001  # each layer raises another error for a wrong shape
        return error
    finally:
        network.embedder.train(training)  # at full width the structure is the embedder itself
    return None
