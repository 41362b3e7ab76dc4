"""What a pattern is to this package: the shape that zeros take, and the subnetworks that have it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from prunnet_export._errors import InvalidInput
from prunnet_export.network import Embedder, PrunableNetwork


class Subnetwork(ABC):
    """What remains of a prunable network at one (capacity, pattern).

    It holds indices or masks, no weights: :meth:`gather` takes them from the dense tensors at every use, so
    training reads the current weights and nothing is copied twice.

    Attributes:
        pattern: Name of the pattern.
        asked: The capacity that was asked for.
        kept: Prunable weights that remain.
        total: Prunable weights of the dense network.
        structure: The module to run; its own tensors mean nothing, see :func:`torch.func.functional_call`.
    """

    pattern: str
    asked: float
    kept: int
    total: int
    structure: Embedder

    @property
    def capacity(self) -> float:
        """The fraction of the prunable weights that is kept."""
        return self.kept / self.total

    @abstractmethod
    def gather(self, tensors: Mapping[str, Tensor], into: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The subnetwork's tensors out of the dense ones, copies all of them.

        Args:
            tensors: The dense tensors, by name.
            into: Memory at the dense shapes that prunable weights may be gathered into; its values are lost.
        """

    @abstractmethod
    def scatter(self, gradients: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
        """Write gradients of gathered prunable weights to ``out``, contiguous at the dense shapes, 0 where cut."""

    @abstractmethod
    def masks(self) -> dict[str, Tensor]:
        """Which prunable weights are kept: bool, at the dense shapes."""

    def cut_masks(self) -> dict[str, Tensor]:
        """Which of the subnetwork's own weights are not zero: bool, at the shapes of :attr:`structure`."""
        return {}

    @abstractmethod
    def widths(self) -> dict[str, int] | None:
        """Kept width of each channel group, for patterns that make tensors smaller."""


class Pattern(ABC):
    """A shape that zeros take."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What ``--pattern`` takes."""

    def shares(self, capacities: Sequence[float]) -> list[float]:
        """What to ask :meth:`subnetworks` for where a list of capacities is wanted of several patterns.

        The capacities themselves; a pattern of one fixed share has that, once, in the place of all below 1.

        Raises:
            InvalidInput: the pattern reaches none of them.
        """
        return list(capacities)

    def reachable(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[float]:
        """The :meth:`shares` of these capacities without those that are out of the pattern's reach.

        Raises:
            UnsupportedPattern: this network cannot be cut like this.
        """
        del network
        return self.shares(capacities)

    @abstractmethod
    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """The subnetworks at the capacities, nested, out of one pass over the scores.

        Args:
            network: The prunable network.
            capacities: Kept fractions, 0 < c <= 1.

        Raises:
            InvalidInput: a capacity is out of range, or smaller than the pattern can reach.
            UnsupportedPattern: this network cannot be cut like this.
        """


def check_capacity(capacity: float) -> None:
    """Refuse a capacity outside (0, 1].

    Raises:
        InvalidInput: it is.
    """
    if not 0 < capacity <= 1:
        raise InvalidInput(f"capacity {capacity} is out of range", hint="a capacity is a kept fraction: 0 < c <= 1")
