"""A compiled model on a device, as a verification observes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prunnet_export.devices import Device, embed, placement
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.runtimes import Model


@dataclass(frozen=True)
class ModelOnDevice:
    """A model and where it runs.

    Attributes:
        model: What the engine opens.
        device: Where it runs.
        threads: Intra-operator threads; None leaves it to the engine.
    """

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
        """How many nodes are on each device of the engine."""
        return placement(self.device, self.model)
