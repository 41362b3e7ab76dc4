"""The ``channel`` pattern: whole channels go, tensors become smaller, and every runtime becomes faster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput, UnsupportedPattern
from prunnet_export.network._embedder import Embedder
from prunnet_export.network._prunable import PrunableNetwork, fan_in
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity
from prunnet_export.patterns._groups import ChannelGroup, find_channel_groups
from prunnet_export.patterns._structure import shrink

Widths = tuple[int, ...]
_STRUCTURES = 16  # that are kept to be used again


class ChannelSubnetwork(Subnetwork):
    """A subnetwork with fewer channels.

    Args:
        plan: The network's channel groups.
        asked: The capacity that was asked for.
        kept_units: Sorted int64 indices of the units that stay, per group.
    """

    def __init__(self, plan: ChannelPlan, asked: float, kept_units: Sequence[Tensor]) -> None:
        self.pattern = Channel.name
        self.asked = asked
        self._plan = plan
        self._widths = tuple(len(units) for units in kept_units)
        self.structure = plan.structure(self._widths)
        self.kept, self.total = plan.weights_kept(self._widths), plan.weights_total
        self._index = plan.index(kept_units)

    def gather(self, tensors: Mapping[str, Tensor], into: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """See :class:`Subnetwork`; tensors of other shapes are new ones."""
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
        # Zeros first, and then whatever was kept in one go; selecting axis by axis writes all of it several times.
        rows = torch.zeros(1, dtype=torch.int64, device=out.device)
        for dim in range(max(index) + 1):
            size = out.shape[dim]
            kept = index[dim] if dim in index else torch.arange(size, device=out.device)
            rows = (rows.unsqueeze(1) * size + kept).flatten()
        size = math.prod(out.shape[max(index) + 1 :])
        out.zero_().view(-1, size).index_copy_(0, rows, gradient.reshape(-1, size))

    def masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        weights = self._plan.network_weights()
        kept = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.scatter({name: self._gather_one(name, torch.ones_like(weight)) for name, weight in weights.items()}, kept)
        return {name: one > 0 for name, one in kept.items()}

    def widths(self) -> dict[str, int]:
        """Kept channels of each group, by the name of the group's first layer."""
        return {
            group.name: units * group.unit_width for group, units in zip(self._plan.groups, self._widths, strict=True)
        }


class ChannelPlan:
    """The channel groups of one network, with the arithmetic of widths.

    Args:
        network: The prunable network; traced once, here.
    """

    def __init__(self, network: PrunableNetwork) -> None:
        self.groups: list[ChannelGroup] = find_channel_groups(network.embedder, crop=network.crop)
        tensors = network.tensors()
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        self._network = network
        self._weights = list(network.prunable_weights())
        self.weights_total = sum(math.prod(self.shapes[name]) for name in self._weights)
        self._structures: dict[Widths, Embedder] = {}
        self._widest: dict[tuple[float, int], Widths] = {}

    def network_weights(self) -> dict[str, nn.Parameter]:
        """The network's prunable weights."""
        return self._network.prunable_weights()

    def full(self) -> Widths:
        """All units of every group."""
        return tuple(group.units for group in self.groups)

    def lengths(self, widths: Widths) -> dict[str, dict[int, int]]:
        """Length of each axis that some group runs along, at these widths, by tensor and axis."""
        lengths: dict[str, dict[int, int]] = {}
        for group, width in zip(self.groups, widths, strict=True):
            for axis in group.axes:
                of_tensor = lengths.setdefault(axis.tensor, {})
                before = of_tensor.get(axis.dim, self.shapes[axis.tensor][axis.dim])
                of_tensor[axis.dim] = before - (group.units - width) * axis.positions.shape[1]
        return lengths

    def weights_kept(self, widths: Widths) -> int:
        """How many prunable weights remain at these widths."""
        lengths = self.lengths(widths)
        return sum(
            math.prod(lengths.get(name, {}).get(dim, size) for dim, size in enumerate(self.shapes[name]))
            for name in self._weights
        )

    def widths_at(self, ratio: float, *, channel_multiple: int) -> Widths:
        """Units of each group at a uniform width ratio, as near to it as the channel multiple allows."""
        widths = []
        for group in self.groups:
            step = channel_multiple // math.gcd(channel_multiple, group.unit_width)
            widths.append(min(group.units, max(step, round(ratio * group.units / step) * step)))
        return tuple(widths)

    def widths_for(self, capacity: float, *, channel_multiple: int) -> Widths:
        """The widest uniform widths that keep at most this fraction of the prunable weights.

        Raises:
            InvalidInput: even the narrowest widths keep more.
        """
        check_capacity(capacity)
        if capacity == 1:
            return self.full()
        asked = capacity, channel_multiple
        if asked not in self._widest:
            self._widest[asked] = self._search(capacity, channel_multiple=channel_multiple)
        return self._widest[asked]

    def _search(self, capacity: float, *, channel_multiple: int) -> Widths:
        low, high = 0.0, 1.0
        smallest = self.weights_kept(self.widths_at(low, channel_multiple=channel_multiple)) / self.weights_total
        if smallest > capacity:
            least = math.ceil(smallest * 1000) / 1000
            raise InvalidInput(
                f"capacity {capacity:g} is below the smallest channel cut of this network, {smallest:.3g}",
                hint=f"widths are multiples of {channel_multiple}; ask for at least {least:g}",
            )
        for _ in range(40):  # halving 1 forty times is finer than any width
            middle = (low + high) / 2
            kept = self.weights_kept(self.widths_at(middle, channel_multiple=channel_multiple))
            if kept <= capacity * self.weights_total:
                low = middle
            else:
                high = middle
        return self.widths_at(low, channel_multiple=channel_multiple)

    def check(self) -> None:
        """Cut every group to half its units and run the result once: what was traced has to fit together.

        Where it does not, the groups that do not fit even when they are cut alone stay whole from here on.

        Raises:
            UnsupportedPattern: nothing that can be cut is left.
        """
        everything = range(len(self.groups))
        misfit = self._misfit(everything)
        if misfit is None:
            return
        self.groups = [self.groups[group] for group in everything if self._misfit([group]) is None]
        self._structures.clear()
        self._widest.clear()
        if not self.groups or (misfit := self._misfit(range(len(self.groups)))) is not None:
            raise UnsupportedPattern(
                "this backbone couples its channels in a way that cannot be cut", hint="use --pattern unstructured"
            ) from misfit

    def _misfit(self, chosen: Sequence[int]) -> Exception | None:
        """What is raised when these groups lose half of their units."""
        kept = [
            torch.arange(max(1, group.units // 2) if index in chosen else group.units)
            for index, group in enumerate(self.groups)
        ]
        tensors = self._network.tensors()
        image = torch.zeros(1, 3, self._network.crop, self._network.crop, device=tensors["mean"].device)
        training = self._network.embedder.training
        try:
            half = ChannelSubnetwork(self, 1, kept)
            with torch.no_grad():
                torch.func.functional_call(half.structure.eval(), half.gather(tensors), (image,))
        except Exception as error:  # noqa: BLE001  # any shape can be wrong, and each layer complains in its own way
            return error
        finally:
            self._network.embedder.train(training)  # groups of one unit leave the embedder itself
        return None

    def index(self, kept_units: Sequence[Tensor]) -> dict[str, dict[int, Tensor]]:
        """The sorted indices that stay along each axis that becomes shorter, by tensor and axis."""
        keep: dict[str, dict[int, Tensor]] = {}
        for group, units in zip(self.groups, kept_units, strict=True):
            if len(units) == group.units:
                continue
            dropped = torch.ones(group.units, dtype=torch.bool)
            dropped[units] = False
            for axis in group.axes:
                mask = keep.setdefault(axis.tensor, {}).setdefault(
                    axis.dim, torch.ones(self.shapes[axis.tensor][axis.dim], dtype=torch.bool)
                )
                mask[axis.positions[dropped].flatten()] = False
        device = next(self._network.parameters()).device
        return {
            name: {dim: mask.nonzero().flatten().to(device) for dim, mask in axes.items()}
            for name, axes in keep.items()
        }

    def structure(self, widths: Widths) -> Embedder:
        """The module with these widths, made once; the embedder itself where nothing is cut."""
        if widths == self.full():
            return self._network.embedder
        if widths not in self._structures:
            while len(self._structures) >= _STRUCTURES:  # random capacities would fill the memory
                self._structures.pop(next(iter(self._structures)))
            shapes = {
                name: tuple(axes.get(dim, size) for dim, size in enumerate(self.shapes[name]))
                for name, axes in self.lengths(widths).items()
            }
            self._structures[widths] = shrink(self._network.embedder, shapes)
        return self._structures[widths]

    def importance(self, scores: Mapping[str, Tensor]) -> list[Tensor]:
        """The score of each unit: the mean standardised |S| of the prunable weights that dropping it removes.

        |S| is multiplied by sqrt(fan_in), which brings the layers of a coupled group to one scale.

        Returns:
            float32 [units], per group.
        """
        dims: dict[str, set[int]] = {}
        for group in self.groups:
            for axis in group.axes:
                dims.setdefault(axis.tensor, set()).add(axis.dim)
        profiles: dict[tuple[str, int], Tensor] = {}
        for name, score in scores.items():
            magnitude, scale = score.detach().abs(), math.sqrt(fan_in(score))
            for dim in dims.get(name, ()):
                profiles[name, dim] = (_sums_along(magnitude, dim) * scale).cpu()
        importance = []
        for group in self.groups:
            total = torch.zeros(group.units)
            count = 0
            for axis in group.axes:
                if axis.tensor not in scores:
                    continue
                total += profiles[axis.tensor, axis.dim][axis.positions].sum(1)
                shape = self.shapes[axis.tensor]
                count += axis.positions.shape[1] * math.prod(shape) // shape[axis.dim]
            importance.append(total / max(1, count))
        return importance


def _sums_along(values: Tensor, dim: int) -> Tensor:
    """The sum over all other axes; those before it first, as torch is several times slower at both at once."""
    if dim > 0:
        values = values.sum(tuple(range(dim)))
    return values.reshape(len(values), -1).sum(1)


class Channel(Pattern):
    """Each group of coupled channels keeps its highest-scored units, the same width ratio everywhere.

    Capacity stays the kept fraction of prunable weights, so the width ratio is near its square root. Norms over
    channels (LayerNorm, ConvNeXt V2's GlobalResponseNorm) see the kept ones alone. Groups that the trace misreads stay
    whole.
    """

    name: ClassVar[str] = "channel"

    def plan(self, network: PrunableNetwork) -> ChannelPlan:
        """The network's channel groups, traced at first use.

        Raises:
            UnsupportedPattern: no channel can be cut.
        """
        plan = network.found.get(self.name)
        if not isinstance(plan, ChannelPlan):
            plan = ChannelPlan(network)
            plan.check()
            network.found[self.name] = plan
        return plan

    def reachable(self, network: PrunableNetwork, capacities: Sequence[float], *, channel_multiple: int) -> list[float]:
        """Those that are not below the narrowest cut."""
        plan = self.plan(network)
        narrowest = plan.weights_kept(plan.widths_at(0, channel_multiple=channel_multiple)) / plan.weights_total
        return [capacity for capacity in capacities if capacity >= narrowest]

    def subnetworks(
        self, network: PrunableNetwork, capacities: Sequence[float], *, channel_multiple: int
    ) -> list[Subnetwork]:
        """See :class:`Pattern`."""
        plan = self.plan(network)
        # A stable order of the units by score nests every width in the wider ones.
        orders = [unit.argsort(descending=True, stable=True) for unit in plan.importance(network.scores())]
        subnetworks: list[Subnetwork] = []
        for capacity in capacities:
            widths = plan.widths_for(capacity, channel_multiple=channel_multiple)
            kept = [order[:width].sort().values for order, width in zip(orders, widths, strict=True)]
            subnetworks.append(ChannelSubnetwork(plan, capacity, kept))
        return subnetworks
