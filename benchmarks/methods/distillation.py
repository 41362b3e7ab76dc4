"""Students that learn from the embeddings of the frozen dense network alone, without labels.

All embeddings are compared as unit vectors, and the teacher sees the student's augmented batch.
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

BANK = 8192  # training images that the dense network embeds in advance


class Regression(Criterion):
    """1 - <q, g>: the student's q at the place of the teacher's g.

    Args:
        teacher: The frozen embedder.
    """

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self._teacher = [teacher]  # in a list: its parameters are not to be trained

    def forward(self, embedding: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Criterion`."""
        del labels
        with torch.no_grad():
            target = F.normalize(self._teacher[0].eval()(images), dim=1)
        return self.loss(F.normalize(embedding, dim=1), target)

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of the student's unit vectors [b, dim] and the teacher's."""
        return 1 - (student * teacher).sum(1).mean()


class Neighbours(Regression):
    """KL(softmax(<g, n_k> / t) || softmax(<q, n_k> / t)) over the K dense embeddings n_k nearest to g.

    Args:
        teacher: The frozen embedder.
        bank: Its unit vectors [n, dim] of training images.
        nearest: K.
        temperature: t.
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
    """The same divergence over the centroids of a product quantizer, summed over its subspaces.

    Args:
        teacher: The frozen embedder.
        codebooks: Centroids [subspaces, k, dim / subspaces] of the teacher's unit vectors.
        temperature: Of both softmaxes.
    """

    def __init__(self, teacher: nn.Module, codebooks: Tensor, *, temperature: float = 0.1) -> None:
        super().__init__(teacher)
        self._codebooks, self._temperature = codebooks, temperature

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :class:`Regression`."""
        parts = len(self._codebooks)
        of_student, of_teacher = (
            torch.einsum("bsd,skd->bsk", vectors.reshape(len(vectors), parts, -1), self._codebooks).flatten(0, 1)
            for vectors in (student, teacher)
        )
        return parts * _divergence(of_student / self._temperature, of_teacher / self._temperature)


def regression(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """The baseline of asymmetric metric learning (Budnik and Avrithis, CVPR 2021), see :class:`Regression`.

    Left out: what the paper adds to it, contrastive, triplet and multi-similarity losses between the student's anchors
    and the teacher's positives and negatives, and their mining.
    """
    del bench, recipe
    return lambda: Regression(dense.network.embedder)


def neighbours(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Contextual similarity distillation (Wu et al., CVPR 2022), see :class:`Neighbours`.

    Left out: neighbours from another, larger set of images, and different temperatures of student and teacher.
    """
    vectors = bank(dense, bench, recipe)
    return lambda: Neighbours(dense.network.embedder, vectors)


def anchors(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Structure similarity preservation (Wu et al., arXiv 2403.00648), see :class:`Anchors`.

    Left out: codebooks of the paper's size, which millions of images fill.
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
    """At most ``most`` centroids [k, d] of vectors [n, d]: Lloyd's k-means from a random choice of them."""
    count = min(most, len(vectors))
    found = vectors[torch.randperm(len(vectors), generator=generator)[:count]]
    for _ in range(rounds):
        nearest = torch.cdist(vectors, found).argmin(1)
        sizes = nearest.bincount(minlength=count).unsqueeze(1)
        sums = torch.zeros_like(found).index_add_(0, nearest, vectors)
        found = torch.where(sizes > 0, sums / sizes.clamp(min=1), found)  # an empty cell keeps its centroid
    return found


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)
