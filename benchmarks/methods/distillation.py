"""Criteria of students that learn only from the embeddings of the frozen dense network, without labels.

All embeddings are compared as unit vectors. Teacher and student get the same augmented batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.benchmarks.methods._base import Bench
from prunnet_export.benchmarks.methods.dense import DenseRun
from prunnet_export.benchmarks.methods.losses import Anchors, Loss, Neighbours, codebooks_of, cosine_distance
from prunnet_export.benchmarks.methods.one_to_one import Criterion
from prunnet_export.evaluating import embed_in_torch, inputs_of
from prunnet_export.training import Recipe

BANK = 8192  # number of training images that the teacher embeds before the training


class Distillation(Criterion):
    """A loss of the unit vectors of student and teacher. ``teacher`` is the frozen embedder."""

    def __init__(self, teacher: nn.Module, loss: Loss) -> None:
        super().__init__()
        self._teacher = [teacher]  # in a list, so that its parameters are not among those of this module
        self._loss = loss

    def forward(self, embedding: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Criterion`."""
        del labels
        with torch.no_grad():
            target = F.normalize(self._teacher[0].eval()(images), dim=1)
        return self._loss(F.normalize(embedding, dim=1), target)


def regression(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """The baseline of asymmetric metric learning (Budnik and Avrithis, CVPR 2021): 1 - <q, g>.

    The paper adds contrastive, triplet and multi-similarity losses between the student's anchors and the teacher's
    positives and negatives, and a mining of these. This is left out.
    """
    del bench, recipe
    return lambda: Distillation(dense.network.embedder, cosine_distance)


def neighbours(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Contextual similarity distillation (Wu et al., CVPR 2022), see :class:`Neighbours`.

    The paper also takes neighbours from another, larger set of images, and has different temperatures for student and
    teacher. This is left out.
    """
    vectors = bank(dense, bench, recipe)
    return lambda: Distillation(dense.network.embedder, Neighbours(vectors))


def anchors(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Structure similarity preservation (Wu et al., arXiv 2403.00648), see :class:`Anchors`.

    The codebooks are smaller than in the paper, where they are made from millions of images.
    """
    codebooks = codebooks_of(bank(dense, bench, recipe), seed=recipe.seed)
    return lambda: Distillation(dense.network.embedder, Anchors(codebooks))


def bank(dense: DenseRun, bench: Bench, recipe: Recipe) -> Tensor:
    """The dense network's unit vectors [n, dim] of training images, spread evenly over the split."""
    train = bench.data.train
    count = min(BANK, len(train))
    images = inputs_of(train, np.arange(count) * len(train) // count, recipe.preprocessing)
    return torch.from_numpy(embed_in_torch(dense.network.embedder, images))
