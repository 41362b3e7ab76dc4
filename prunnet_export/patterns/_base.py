"""The interface of a pattern and of its subnetworks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from prunnet_export._errors import InvalidInput
from prunnet_export.network import Embedder, PrunableNetwork


class Subnetwork(ABC):
    """What remains of a prunable network at one (capacity, pattern).

    It holds indices or masks, but no weights. :meth:`gather` reads the dense tensors at every call, so training always
    uses the current weights.

    Attributes:
        pattern: Name of the pattern.
        asked: The requested capacity.
        kept: Number of prunable weights that remain.
        total: Number of prunable weights of the dense network.
        structure: The module to run by :func:`torch.func.functional_call`; its own tensors have no meaning.
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
        """The subnetwork's tensors, copied from the dense ones.

        Args:
            tensors: The dense tensors, by name.
            into: Tensors of the dense shapes that may be overwritten with the gathered prunable weights.
        """

    @abstractmethod
    def scatter(self, gradients: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
        """Write gradients of gathered prunable weights to ``out``, contiguous, of the dense shapes; 0 where cut."""

    @abstractmethod
    def masks(self) -> dict[str, Tensor]:
        """True for each prunable weight that is kept: bool, of the dense shapes."""

    def cut_masks(self) -> dict[str, Tensor]:
        """False for each zero among the subnetwork's own weights: bool, of the shapes in :attr:`structure`."""
        return {}

    @abstractmethod
    def widths(self) -> dict[str, int] | None:
        """Kept width of each channel group, for patterns that make tensors smaller."""


class Pattern(ABC):
    """A shape that zeros take."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name for ``--pattern``."""

    def shares(self, capacities: Sequence[float]) -> list[float]:
        """The capacities to pass to :meth:`subnetworks`, from a list that is meant for several patterns.

        Most patterns return the list itself. A pattern with one fixed capacity returns that one, once, instead of all
        capacities below 1.

        Raises:
            InvalidInput: the pattern reaches none of them.
        """
        return list(capacities)

    def reachable(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[float]:
        """The :meth:`shares` of these capacities that the pattern can reach with this network.

        Raises:
            UnsupportedPattern: this network cannot be cut like this.
        """
        del network
        return self.shares(capacities)

    @abstractmethod
    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """The subnetworks at these capacities, 0 < c <= 1. A smaller one keeps a subset of a larger one's weights.

        Raises:
            InvalidInput: a capacity is out of range, or the pattern cannot reach it.
            UnsupportedPattern: this network cannot be cut like this.
        """


def check_capacity(capacity: float) -> None:
    """Raise InvalidInput if the capacity is not in (0, 1]."""
    if not 0 < capacity <= 1:
        raise InvalidInput(f"capacity {capacity} is out of range", hint="a capacity is a kept fraction: 0 < c <= 1")
