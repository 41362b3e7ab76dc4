"""A compiled model on a device, for a verification."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prunnet_export.devices import Device, embed, placement
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.runtimes import Model


@dataclass(frozen=True)
class ModelOnDevice:
    """A compiled model, the device that runs it, and the number of intra-operator threads (None: the engine's)."""

    model: Model
    device: Device
    threads: int | None

    def embed(self, inputs: Iterable[Embeddings]) -> Embeddings:
        """Embeddings float32 [n, d] of batches of inputs.

        Raises:
            PrunnetError: the device does not answer, or the engine refuses the model.
        """
        parts = [embed(self.device, self.model, batch, threads=self.threads) for batch in inputs]
        joined: Embeddings = np.concatenate(parts)
        return joined

    def placement(self) -> dict[str, int]:
        """The number of nodes on each device of the engine."""
        return placement(self.device, self.model)
