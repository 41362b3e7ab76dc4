"""What the verification gates ask for."""

from __future__ import annotations

import math

import msgspec

from prunnet_export._errors import InvalidInput


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the verification gates ask for.

    Attributes:
        parity: Worst cosine between the exported file and the torch subnetwork; None takes the precision's own.
        recall: Cross-test R@1 as a share of the dense network's self-test R@1.
        overlap: Mean share of the dense query's nearest neighbours, asked for where there are no labels.
        spread: Spread of the embeddings as a share of the dense network's.

    Raises:
        InvalidInput: one is not finite.
    """

    parity: float | None = None
    recall: float = 0.95
    overlap: float = 0.5
    spread: float = 0.5

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            asked = getattr(self, name)
            if asked is not None and not math.isfinite(asked):
                raise InvalidInput(f"the gate for {name} asks for {asked}", hint="give a finite number")

    def with_parity(self, default: float) -> Thresholds:
        """These, with the parity filled in where none was asked for.

        Args:
            default: What the precision allows.
        """
        return self if self.parity is not None else msgspec.structs.replace(self, parity=default)
