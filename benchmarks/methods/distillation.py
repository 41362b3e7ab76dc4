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
from prunnet_export.benchmarks.methods.one_to_one import Criterion
from prunnet_export.evaluating import embed_in_torch, inputs_of
from prunnet_export.training import Recipe

BANK = 8192  # number of training images that the dense network embeds before the training


class Regression(Criterion):
    """The loss 1 - <q, g> of the student's unit vector q and the teacher's g. ``teacher`` is the frozen embedder."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self._teacher = [teacher]  # in a list, so that its parameters are not among those of this module

    def forward(self, embedding: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Criterion`."""
        del labels
        with torch.no_grad():
            target = F.normalize(self._teacher[0].eval()(images), dim=1)
        return self.loss(F.normalize(embedding, dim=1), target)

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of the student's and the teacher's unit vectors [b, dim]."""
        return 1 - (student * teacher).sum(1).mean()


class Neighbours(Regression):
    """KL(softmax(<g, n_k> / t) || softmax(<q, n_k> / t)) over the K dense embeddings n_k nearest to g.

    ``bank`` has the teacher's unit vectors [n, dim] of training images. K is ``nearest``, and t is ``temperature``.
    """

    def __init__(self, teacher: nn.Module, bank: Tensor, *, nearest: int = 512, temperature: float = 0.1) -> None:
        super().__init__(teacher)
        self._bank, self._nearest, self._temperature = bank, min(nearest, len(bank)), temperature

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :class:`Regression`."""
        similar, which = (teacher @ self._bank.T).topk(self._nearest)
        products = torch.einsum("bd,bkd->bk", student, self._bank[which])
        return _divergence(products / self._temperature, similar / self._temperature)


class Anchors(Regression):
    """The divergence of :class:`Neighbours` over a product quantizer's centroids, summed over its subspaces.

    ``codebooks`` are centroids [subspaces, k, dim / subspaces] of the teacher's unit vectors.
    """

    def __init__(self, teacher: nn.Module, codebooks: Tensor, *, temperature: float = 0.1) -> None:
        super().__init__(teacher)
        self._codebooks, self._temperature = codebooks, temperature

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :class:`Regression`."""
        parts = len(self._codebooks)
        student_products, teacher_products = (
            torch.einsum("bsd,skd->bsk", vectors.reshape(len(vectors), parts, -1), self._codebooks).flatten(0, 1)
            for vectors in (student, teacher)
        )
        return parts * _divergence(student_products / self._temperature, teacher_products / self._temperature)


def regression(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """The baseline of asymmetric metric learning (Budnik and Avrithis, CVPR 2021), see :class:`Regression`.

    The paper adds contrastive, triplet and multi-similarity losses between the student's anchors and the teacher's
    positives and negatives, and a mining of these. This is left out.
    """
    del bench, recipe
    return lambda: Regression(dense.network.embedder)


def neighbours(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Contextual similarity distillation (Wu et al., CVPR 2022), see :class:`Neighbours`.

    The paper also takes neighbours from another, larger set of images, and has different temperatures for student and
    teacher. This is left out.
    """
    vectors = bank(dense, bench, recipe)
    return lambda: Neighbours(dense.network.embedder, vectors)


def anchors(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Structure similarity preservation (Wu et al., arXiv 2403.00648), see :class:`Anchors`.

    The codebooks are smaller than in the paper, where they are made from millions of images.
    """
    vectors = bank(dense, bench, recipe)
    subspaces = next(count for count in (8, 4, 2, 1) if recipe.embedding_dim % count == 0)
    generator = torch.Generator().manual_seed(recipe.seed)
    parts = vectors.reshape(len(vectors), subspaces, -1).transpose(0, 1)
    codebooks = torch.stack([centroids(part, generator=generator) for part in parts])
    return lambda: Anchors(dense.network.embedder, codebooks)


def bank(dense: DenseRun, bench: Bench, recipe: Recipe) -> Tensor:
    """The dense network's unit vectors [n, dim] of training images, spread evenly over the split."""
    train = bench.data.train
    count = min(BANK, len(train))
    images = inputs_of(train, np.arange(count) * len(train) // count, recipe.preprocessing)
    return torch.from_numpy(embed_in_torch(dense.network.embedder, images))


def centroids(vectors: Tensor, *, generator: torch.Generator, most: int = 256, rounds: int = 20) -> Tensor:
    """At most ``most`` centroids [k, d] of vectors [n, d], by Lloyd's k-means from a random choice of the vectors."""
    count = min(most, len(vectors))
    found = vectors[torch.randperm(len(vectors), generator=generator)[:count]]
    for _ in range(rounds):
        nearest = torch.cdist(vectors, found).argmin(1)
        sizes = nearest.bincount(minlength=count).unsqueeze(1)
        sums = torch.zeros_like(found).index_add_(0, nearest, vectors)
        found = torch.where(sizes > 0, sums / sizes.clamp(min=1), found)  # an empty cluster keeps its centroid
    return found


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)
