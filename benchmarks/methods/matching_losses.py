"""Losses of students that answer a teacher's gallery. They learn from the teacher's stored vectors, without labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from prunnet_export.benchmarks.methods.distillation import BANK
from prunnet_export.benchmarks.methods.losses import (
    Anchors,
    Loss,
    Neighbours,
    codebooks_of,
    differences,
    similarities,
)
from prunnet_export.training import Batch, Match, Matching, Objective, Recipe, centred_cosines


class Ranking(Objective):
    """A loss of the unit vectors, and the distance to the teacher's vectors that keeps the student in their space.

    Args:
        mean: Mean of the teacher's unit vectors, [d].
        loss: The loss of the unit vectors.
        anchor: A function of the distances [b] of :class:`Matching`, which is added; None adds nothing.
    """

    mean: Tensor

    def __init__(self, mean: Tensor, loss: Loss, anchor: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self._loss, self._anchor = loss, anchor

    def forward(self, embedding: Tensor, batch: Batch, *, dense: bool) -> Tensor:
        """See :class:`Objective`."""
        del dense
        if batch.vectors is None:
            raise ValueError("the batch has no vectors of a teacher")
        loss = self._loss(F.normalize(embedding, dim=1), batch.vectors)
        if self._anchor is None:
            return loss
        return loss + self._anchor(1 - centred_cosines(embedding, batch.vectors, self.mean))


def regression(match: Match, recipe: Recipe) -> Objective:
    """The loss of the nested network: the distance to the teacher's centred vectors."""
    del recipe
    return Matching(torch.from_numpy(match.mean))


def csd(match: Match, recipe: Recipe) -> Objective:
    """Contextual similarity distillation (Wu et al., CVPR 2022) over the 256 nearest training images.

    The paper has no regression beside it.
    """
    del recipe
    loss = Neighbours(bank(match), nearest=256, temperature=1.0, teacher_temperature=0.01)
    return Ranking(torch.from_numpy(match.mean), loss, torch.mean)


def ssp(match: Match, recipe: Recipe) -> Objective:
    """Structure similarity preservation (Wu et al., arXiv 2403.00648).

    The codebooks are smaller than in the paper, where they are made from millions of images.
    """
    return Ranking(torch.from_numpy(match.mean), Anchors(codebooks_of(bank(match), seed=recipe.seed)), None)


def raml(match: Match, recipe: Recipe) -> Objective:
    """The regression and relations of RAML (Suma and Tolias, CVPR 2023), times 10.

    The cosine of the regression is centred here, as in the other losses. The paper changes the size of the images too.
    """
    del recipe
    return Ranking(
        torch.from_numpy(match.mean),
        lambda student, teacher: 10 * similarities(student, teacher),
        lambda distances: 10 * distances.square().mean(),
    )


def d3still(match: Match, recipe: Recipe) -> Objective:
    """Decoupled differential distillation (Xie et al., CVPR 2024), without labels, as in the paper.

    Its regression is 50 times the norm of the distances of a batch, divided by their number. The cosine is centred
    here, as in the other losses.
    """
    del recipe
    return Ranking(torch.from_numpy(match.mean), differences, lambda distances: 50 * distances.norm() / len(distances))


def bank(match: Match) -> Tensor:
    """The teacher's unit vectors [n, d] of images to learn from, spread evenly over the split."""
    rows = match.targets.rows
    count = min(BANK, len(rows))
    chosen = rows[np.arange(count) * len(rows) // count]
    return torch.from_numpy(match.targets.take(chosen, np.zeros(count, np.int64)))
