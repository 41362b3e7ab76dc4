"""The thresholds of the verification gates."""

from __future__ import annotations

import math

import msgspec

from prunnet_export._errors import InvalidInput


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The least values that the verification gates accept.

    The teacher is the model that made the gallery: the dense network itself, or another model.

    Attributes:
        parity: Worst cosine between the exported file and the torch subnetwork; None is the default of the precision.
        recall: Cross-test R@1, as a share of the teacher's self-test R@1; used if there are labels.
        overlap: Mean share of the teacher's nearest neighbours that are found too; used if there are no labels.
        spread: Spread of the embeddings, as a share of the teacher's.

    Raises:
        InvalidInput: a threshold is not finite.
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
        """The same thresholds; a parity of None becomes the default of the precision."""
        return self if self.parity is not None else msgspec.structs.replace(self, parity=default)
