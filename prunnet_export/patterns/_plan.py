"""The channel groups of one network, and what remains of it at given widths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.network import Embedder, fan_in
from prunnet_export.patterns._base import check_capacity
from prunnet_export.patterns._groups import ChannelGroup
from prunnet_export.patterns._structure import shrink

Widths = tuple[int, ...]
_MAX_STRUCTURES = 16  # in the cache


class ChannelPlan:
    """The channels of an embedder that can be cut, and what remains at given widths: kept units of each group.

    ``weights`` are the names of its prunable weights.
    """

    def __init__(self, embedder: Embedder, weights: Sequence[str], groups: Sequence[ChannelGroup]) -> None:
        self.groups = tuple(groups)
        self.full: Widths = tuple(group.units for group in groups)
        self._embedder, self._weights = embedder, tuple(weights)
        tensors = [*embedder.named_parameters(), *embedder.named_buffers()]
        self._shapes = {name: tuple(tensor.shape) for name, tensor in tensors}
        self.weights_total = self.weights_kept(self.full)
        self._structures: dict[Widths, Embedder] = {}
        self._ranks: dict[str, npt.NDArray[np.int32]] = {}
        self._widest: dict[tuple[float, int], Widths] = {}  # with these ranks

    def weights(self) -> dict[str, nn.Parameter]:
        """The prunable weights by name."""
        return {name: self._embedder.get_parameter(name) for name in self._weights}

    def weights_kept(self, widths: Widths) -> int:
        """The number of prunable weights that remain at these widths."""
        lengths = self._axis_lengths(widths)
        return sum(
            math.prod(lengths.get(name, {}).get(dim, size) for dim, size in enumerate(self._shapes[name]))
            for name in self._weights
        )

    def _axis_lengths(self, widths: Widths) -> dict[str, dict[int, int]]:
        """Length of each axis that a group can make shorter, by tensor and axis."""
        lengths: dict[str, dict[int, int]] = {}
        for group, width in zip(self.groups, widths, strict=True):
            for axis in group.axes:
                tensor_lengths = lengths.setdefault(axis.tensor, {})
                before = tensor_lengths.get(axis.dim, self._shapes[axis.tensor][axis.dim])
                tensor_lengths[axis.dim] = before - (group.units - width) * axis.positions.shape[1]
        return lengths

    def narrowest(self, multiple: int) -> float:
        """The smallest capacity whose widths are multiples of this many channels."""
        return self.weights_kept(self._widths_at(0, multiple)) / self.weights_total

    def widths_for(self, capacity: float, multiple: int) -> Widths:
        """The widest widths, multiples of ``multiple``, that keep at most this fraction of the weights.

        Raises:
            InvalidInput: even the narrowest widths keep more.
        """
        check_capacity(capacity)
        if capacity == 1:
            return self.full
        if (capacity, multiple) not in self._widest:
            self._widest[capacity, multiple] = self._search_widths(capacity, multiple)
        return self._widest[capacity, multiple]

    def use_ranks(self, ranks: Mapping[str, Tensor]) -> None:
        """Drop units in the order of these ranks from now on; see :meth:`PrunableNetwork.unit_ranks`.

        Ranks are compared by their values, because a run that is resumed replaces them.

        Raises:
            InvalidInput: the ranks are not those of all units of these groups.
        """
        arrays = {name: one.cpu().numpy() for name, one in ranks.items()}
        same = arrays.keys() == self._ranks.keys()
        if same and all(np.array_equal(array, self._ranks[name]) for name, array in arrays.items()):
            return
        if arrays:
            self._check_ranks(arrays)
        self._ranks = arrays
        self._widest.clear()

    def _check_ranks(self, arrays: Mapping[str, npt.NDArray[np.int32]]) -> None:
        if {name: array.shape for name, array in arrays.items()} != {g.name: (g.units,) for g in self.groups}:
            raise InvalidInput(
                "the network's unit ranks are of other channel groups than its backbone has",
                hint="cut it with the versions of timm and torch-pruning that it was trained with",
            )
        ascend = all(bool((np.diff(array) > 0).all()) for array in arrays.values())
        if not ascend or not np.array_equal(np.sort(np.concatenate(list(arrays.values()))), np.arange(sum(self.full))):
            raise InvalidInput(
                "the network's unit ranks are not an order of its units", hint="its file is corrupt; copy it again"
            )

    def _search_widths(self, capacity: float, multiple: int) -> Widths:
        narrowest = self.narrowest(multiple)
        if narrowest > capacity:
            raise InvalidInput(
                f"capacity {capacity:g} is below the smallest channel cut of this network, {narrowest:.3g}",
                hint=f"widths are multiples of {multiple}; ask for at least {math.ceil(narrowest * 1000) / 1000:g}",
            )
        low, high = 0.0, 1.0
        for _ in range(40):  # 2**-40 is finer than any difference of widths
            middle = (low + high) / 2
            if self.weights_kept(self._widths_at(middle, multiple)) <= capacity * self.weights_total:
                low = middle
            else:
                high = middle
        return self._widths_at(low, multiple)

    def _widths_at(self, ratio: float, multiple: int) -> Widths:
        """Kept units of each group, rounded to the multiple: this ratio of them, or those in this share of ranks."""
        widths = []
        for group, units in zip(self.groups, self._units_at(ratio), strict=True):
            step = multiple // math.gcd(multiple, group.unit_width)
            widths.append(min(group.units, max(step, round(units / step) * step)))
        return tuple(widths)

    def _units_at(self, ratio: float) -> Sequence[float]:
        if not self._ranks:
            return [ratio * group.units for group in self.groups]
        first = ratio * sum(self.full)
        return [int(np.searchsorted(self._ranks[group.name], first)) for group in self.groups]

    def kept_indices(self, kept_units: Sequence[Tensor]) -> dict[str, dict[int, Tensor]]:
        """The sorted kept indices of each axis that becomes shorter, by tensor and axis."""
        keep: dict[str, dict[int, Tensor]] = {}
        for group, units in zip(self.groups, kept_units, strict=True):
            if len(units) == group.units:
                continue
            dropped = torch.ones(group.units, dtype=torch.bool)
            dropped[units] = False
            for axis in group.axes:
                mask = keep.setdefault(axis.tensor, {}).setdefault(
                    axis.dim, torch.ones(self._shapes[axis.tensor][axis.dim], dtype=torch.bool)
                )
                mask[axis.positions[dropped].flatten()] = False
        device = next(self._embedder.parameters()).device
        return {
            name: {dim: mask.nonzero().flatten().to(device) for dim, mask in axes.items()}
            for name, axes in keep.items()
        }

    def structure(self, widths: Widths) -> Embedder:
        """The module with these widths, from a cache; at full width the embedder itself."""
        if widths == self.full:
            return self._embedder
        if widths not in self._structures:
            while len(self._structures) >= _MAX_STRUCTURES:  # training at random capacities would fill the memory
                self._structures.pop(next(iter(self._structures)))
            shapes = {
                name: tuple(axes.get(dim, size) for dim, size in enumerate(self._shapes[name]))
                for name, axes in self._axis_lengths(widths).items()
            }
            self._structures[widths] = shrink(self._embedder, shapes)
        return self._structures[widths]

    def importance(self, scores: Mapping[str, Tensor]) -> list[Tensor]:
        """The score of each unit, float32 [units] per group: the mean standardised |S| of the weights in the unit.

        |S| is multiplied by sqrt(fan_in), so that the layers of a coupled group have the same scale.
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
                shape = self._shapes[axis.tensor]
                count += axis.positions.shape[1] * math.prod(shape) // shape[axis.dim]
            importance.append(total / max(1, count))
        return importance


def _sums_along(values: Tensor, dim: int) -> Tensor:
    """The sum over all axes except ``dim``, in two steps, because torch is several times slower in one step."""
    if dim > 0:
        values = values.sum(tuple(range(dim)))
    return values.reshape(len(values), -1).sum(1)
