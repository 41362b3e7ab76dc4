"""The losses of an embedding: cross-entropy of a classifier, or the distance to a teacher's vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from prunnet_export.training._batches import Batch


class Objective(nn.Module, ABC):
    """The loss of the un-normalised embeddings of a batch.

    Its parameters, if it has any, are trained too, but only by the loss of the dense network.
    """

    @abstractmethod
    def forward(self, embedding: Tensor, batch: Batch, *, dense: bool) -> Tensor:
        """The mean loss.

        Args:
            embedding: Un-normalised embeddings [b, dim].
            batch: The images, and what belongs to them.
            dense: Whether the dense network made the embeddings. Otherwise this module's parameters get no gradient.
        """


class Classification(Objective):
    """Softmax cross-entropy of a linear classifier of the un-normalised embedding.

    Args:
        classifier: The classifier.
        bfloat16: Use torch's autocast to bfloat16 in the classifier.
    """

    def __init__(self, classifier: nn.Linear, *, bfloat16: bool = False) -> None:
        super().__init__()
        self.classifier = classifier
        self._bfloat16 = bfloat16

    def forward(self, embedding: Tensor, batch: Batch, *, dense: bool) -> Tensor:
        """See :class:`Objective`."""
        named = self.classifier.named_parameters()
        parameters: dict[str, Tensor] = {name: one if dense else one.detach() for name, one in named}
        with torch.autocast(embedding.device.type, torch.bfloat16, enabled=self._bfloat16):
            logits = cast("Tensor", functional_call(self.classifier, parameters, (embedding,)))
        return F.cross_entropy(logits.to(embedding.dtype), batch.labels)
