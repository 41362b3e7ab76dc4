"""The ``channel+n:m`` patterns, e.g. ``channel+2:4``: fewer channels, and n of m weights in the remaining ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity
from prunnet_export.patterns._masked import ungrouped_scores
from prunnet_export.patterns.channel import Channel
from prunnet_export.patterns.n_m import NM


class SparseChannelSubnetwork(Subnetwork):
    """A channel-cut subnetwork with zeros among its remaining weights.

    ``masks`` is False at the zeros: bool, of the shapes of the cut. Layers without a mask have no zeros.
    """

    def __init__(self, pattern: str, asked: float, cut: Subnetwork, masks: Mapping[str, Tensor]) -> None:
        self.pattern = pattern
        self.asked = asked
        self.structure = cut.structure
        self._cut = cut
        self._masks = dict(masks)
        self.kept = cut.kept - sum(int(torch.count_nonzero(~mask)) for mask in masks.values())
        self.total = cut.total

    def gather(self, tensors: Mapping[str, Tensor], into: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return self._masked(self._cut.gather(tensors, into))

    def scatter(self, gradients: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
        """See :class:`Subnetwork`."""
        self._cut.scatter(self._masked(gradients), out)

    def _masked(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: one * self._masks[name] if name in self._masks else one for name, one in tensors.items()}

    def masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        kept = self._cut.masks()
        inside = {name: torch.zeros(mask.shape, device=mask.device) for name, mask in kept.items()}
        self._cut.scatter({name: mask.float() for name, mask in self._masks.items()}, inside)
        return {name: inside[name] > 0 if name in self._masks else mask for name, mask in kept.items()}

    def cut_masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return dict(self._masks)

    def widths(self) -> dict[str, int] | None:
        """See :class:`Subnetwork`."""
        return self._cut.widths()


class ChannelNM(Pattern):
    """First channels are cut, down to m / n times the capacity; then ``n:m`` is applied to the remaining layers.

    So capacities below n / m are reached with zeros that sparse tensor cores can skip. As in ``n:m``, layers whose
    inputs m does not divide keep all weights, so somewhat more than the capacity is kept.
    """

    def __init__(self, n: int, m: int, multiple: int = 8) -> None:
        self._outer, self._inner = Channel(multiple), NM(n, m)
        self._share = n / m

    @property
    def name(self) -> str:
        """See :class:`Pattern`."""
        return f"{Channel.name}+{self._inner.name}"

    def shares(self, capacities: Sequence[float]) -> list[float]:
        """See :class:`Pattern`; here they are the capacities up to n / m, and 1."""
        possible = self._possible(capacities)
        if capacities and not possible:
            raise InvalidInput(f"{self.name} reaches none of the capacities asked for", hint="give a smaller one")
        return possible

    def _possible(self, capacities: Sequence[float]) -> list[float]:
        for capacity in capacities:
            check_capacity(capacity)
        return [capacity for capacity in capacities if capacity == 1 or capacity <= self._share]

    def reachable(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[float]:
        """See :class:`Pattern`."""
        possible = self._possible(capacities)
        reached = self._outer.reachable(network, [self._channel_capacity(one) for one in possible])
        return [one for one in possible if self._channel_capacity(one) in reached]

    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """See :class:`Pattern`."""
        for capacity in capacities:
            check_capacity(capacity)
            if self._share < capacity < 1:
                raise InvalidInput(
                    f"pattern {self.name} keeps {self._share:g} at most and reaches no capacity of {capacity:g}",
                    hint=f"ask for {self._share:g} or less, or for 1, the dense network",
                )
        cuts = self._outer.subnetworks(network, [self._channel_capacity(one) for one in capacities])
        scores = ungrouped_scores(network)
        return [
            SparseChannelSubnetwork(
                self.name, asked, cut, {} if asked == 1 else self._inner.make_masks(cut.gather(scores))
            )
            for asked, cut in zip(capacities, cuts, strict=True)
        ]

    def _channel_capacity(self, capacity: float) -> float:
        return 1.0 if capacity == 1 else min(1.0, capacity / self._share)
