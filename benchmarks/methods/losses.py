"""Losses of a student's unit vectors, given a teacher's. They need no labels.

A loss is a function of the student's vectors [b, d] and the teacher's vectors [b, d] of the same images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]

_OFFSET = 0.1  # added to the size of the teacher's differences, so that equal similarities do not count most


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - <q, g> of the student's vector q and the teacher's g."""
    return 1 - (student * teacher).sum(1).mean()


class Neighbours:
    """KL(softmax(<g, n_k> / s) || softmax(<q, n_k> / t)) over the K vectors n_k nearest to g.

    Args:
        bank: The teacher's unit vectors [n, d] of training images.
        nearest: K; all of the bank if that is smaller.
        temperature: The student's temperature t.
        teacher_temperature: The teacher's temperature s.
    """

    def __init__(
        self, bank: Tensor, *, nearest: int = 512, temperature: float = 0.1, teacher_temperature: float = 0.1
    ) -> None:
        self._bank, self._nearest = bank, min(nearest, len(bank))
        self._temperature, self._teacher_temperature = temperature, teacher_temperature

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See the module."""
        similar, which = (teacher @ self._bank.T).topk(self._nearest)
        products = torch.einsum("bd,bkd->bk", student, self._bank[which])
        return _divergence(products / self._temperature, similar / self._teacher_temperature)


class Anchors:
    """The divergence of :class:`Neighbours` over a product quantizer's centroids, summed over its subspaces.

    Args:
        codebooks: Centroids [subspaces, k, d / subspaces] of the teacher's unit vectors.
        temperature: The temperature of both.
    """

    def __init__(self, codebooks: Tensor, *, temperature: float = 0.1) -> None:
        self._codebooks, self._temperature = codebooks, temperature

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See the module."""
        parts = len(self._codebooks)
        student_products, teacher_products = (
            torch.einsum("bsd,skd->bsk", vectors.reshape(len(vectors), parts, -1), self._codebooks).flatten(0, 1)
            for vectors in (student, teacher)
        )
        return parts * _divergence(student_products / self._temperature, teacher_products / self._temperature)


def similarities(student: Tensor, teacher: Tensor) -> Tensor:
    """0.75 mse(<q_i, g_j>, <g_i, g_j>) + 0.68 mse(<q_i, q_j>, <g_i, g_j>) over all pairs of a batch.

    These are the relations of RAML (Suma and Tolias, CVPR 2023), with the weights of its authors.
    """
    wanted = teacher @ teacher.T
    return 0.75 * F.mse_loss(student @ teacher.T, wanted) + 0.68 * F.mse_loss(student @ student.T, wanted)


def differences(student: Tensor, teacher: Tensor, *, nearest: int = 10, wrong_order: float = 5.0) -> Tensor:
    """The relative errors of the differences between similarities to the teacher's neighbours.

    The neighbours of an image are the ``nearest`` other images of the batch by the teacher's vectors. For two of them,
    j and k, the teacher's difference is D = <g, g_j> - <g, g_k>, and the student's is d = <q, g_j> - <q, g_k>. The
    error is (d - D) / (0.1 + |D|). The loss of an image is the norm of the errors where d and D have different signs,
    times ``wrong_order``, plus the norm of the others, divided by the number of neighbours. These are the relations of
    D3still (Xie et al., CVPR 2024).
    """
    similar = teacher @ teacher.T
    itself = torch.eye(len(teacher), dtype=torch.bool, device=teacher.device)
    chosen = similar.masked_fill(itself, -torch.inf).topk(min(nearest, len(teacher) - 1)).indices
    wanted, found = (
        one.unsqueeze(1) - one.unsqueeze(2)
        for one in (similar.gather(1, chosen), (student @ teacher.T).gather(1, chosen))
    )
    errors, wrong = (found - wanted) / (_OFFSET + wanted.abs()), found * wanted < 0
    in_wrong_order, in_order = ((errors * mask).flatten(1).norm(dim=1) for mask in (wrong, ~wrong))
    loss: Tensor = (wrong_order * in_wrong_order + in_order).mean() / chosen.shape[1]
    return loss


def codebooks_of(vectors: Tensor, *, seed: int) -> Tensor:
    """Codebooks [subspaces, k, d / subspaces] of a product quantizer of vectors [n, d], with at most 256 centroids."""
    dim = vectors.shape[1]
    subspaces = next(count for count in (8, 4, 2, 1) if dim % count == 0)
    generator = torch.Generator().manual_seed(seed)
    parts = vectors.reshape(len(vectors), subspaces, -1).transpose(0, 1)
    return torch.stack([centroids(part, generator=generator) for part in parts])


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
