"""The loss of a run that answers a teacher's gallery: the distance to the teacher's vectors."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.training._batches import Batch
from prunnet_export.training._objectives import Classification, Objective


class Matching(Objective):
    """1 - cos(q - m, g - m), with the embedding's unit vector q, the teacher's g, and the mean m of the teacher's.

    Vectors of many models share a large mean. A cosine without centring is near 1 for an embedder that gives this mean
    for every image.

    Args:
        mean: Mean of the teacher's unit vectors, [d].
        classifier: The classifier of the embedding if labels are used too, else None.
        label_weight: Weight of the classifier's cross-entropy.
    """

    mean: Tensor

    def __init__(self, mean: Tensor, classifier: nn.Linear | None = None, *, label_weight: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.classification = None if classifier is None else Classification(classifier)
        self._label_weight = label_weight

    def forward(self, embedding: Tensor, batch: Batch, *, dense: bool) -> Tensor:
        """See :class:`Objective`."""
        if batch.vectors is None:
            raise ValueError("the batch has no vectors of a teacher")
        loss = (1 - centred_cosines(embedding, batch.vectors, self.mean)).mean()
        if self.classification is not None:
            loss = loss + self._label_weight * self.classification(embedding, batch, dense=dense)
        return loss


def centred_cosines(embedding: Tensor, vectors: Tensor, mean: Tensor) -> Tensor:
    """cos(q - m, g - m) of each image, [b].

    Args:
        embedding: Un-normalised embeddings [b, d]; q are their unit vectors.
        vectors: The teacher's unit vectors g, [b, d].
        mean: Their mean m, [d].
    """
    return F.cosine_similarity(F.normalize(embedding, dim=1) - mean, vectors - mean)
