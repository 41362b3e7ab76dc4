"""The loss of a run that answers a teacher's gallery: the distance to the teacher's vectors."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from prunnet_export.training._batches import Batch
from prunnet_export.training._objectives import Objective


class Matching(Objective):
    """1 - cos(q - m, g - m), with the embedding's unit vector q, the teacher's g, and the mean m of the teacher's.

    Vectors of many models share a large mean. A cosine without centring is near 1 for an embedder that gives this mean
    for every image.

    Args:
        mean: Mean of the teacher's unit vectors, [d].
    """

    mean: Tensor

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, embedding: Tensor, batch: Batch, *, dense: bool) -> Tensor:
        """See :class:`Objective`."""
        del dense
        if batch.vectors is None:
            raise ValueError("the batch has no vectors of a teacher")
        student, teacher = F.normalize(embedding, dim=1) - self.mean, batch.vectors - self.mean
        return (1 - F.cosine_similarity(student, teacher)).mean()
