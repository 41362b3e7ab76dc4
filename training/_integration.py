"""Integrating the gradients of the dense network and its subnetworks into one.

In every rule the result is a linear combination of the m gradients, and its coefficients depend only on their inner
products. So a rule gets Gram matrices, and a step needs two batched products over the gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prunnet_export.training._recipe import Rule

Grams = Mapping[str, Tensor]  # float [filters, m, m] by the name of the tensor

# A negative inner product that is smaller than this fraction of the norms is a rounding error, not a conflict.
_RELATIVE_EPSILON = 1e-6
_CONVOLUTION_RANK = 4
_HAVE_SEGMENTS = ("cpu", "cuda")  # torch has no segment_reduce for other devices, e.g. Apple's


class Integration(ABC):
    """A rule that makes one gradient out of m."""

    @abstractmethod
    def coefficients(
        self, weights: Grams, scores: Grams, losses: Tensor, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The coefficients of the gradients in the sum: for weights and for scores, float [filters, m] by tensor.

        Args:
            weights: Inner products of the gradients of each weight; the dense network is the last of the m.
            scores: Inner products of the gradients of each score.
            losses: float32 [m].
            generator: The random generator, with the same state on every rank.
        """


class ConflictAware(Integration):
    """Removes the conflicts between the gradients of each filter, and gives less weight to those that change more.

    Two gradients conflict if their inner product is negative. ``progressive`` projects each g_i onto the plane
    orthogonal to each g_j that it conflicts with, one after another in a random order (PCGrad). ``last-conflict`` tests
    the original gradients and does this only for the last conflicting g_j, as PrunNet's release does. The projected
    gradients are p_i, their weights a_i = ((cos(p_i, g_i) + 1) / 2)^gamma over the whole tensor, and the result is
    m * sum_i (a_i / sum a) p_i (PrunNet, section 3.3). Without conflicts every rule is the plain sum.

    Args:
        rule: The way to resolve conflicts; ``sum`` ignores them.
        gamma: 0.5 for convolutional networks, 1.0 for transformers.
    """

    def __init__(self, rule: Rule, gamma: float) -> None:
        self.rule, self.gamma = rule, gamma

    def coefficients(
        self, weights: Grams, scores: Grams, losses: Tensor, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See :class:`Integration`."""
        grams = [*weights.values(), *scores.values()]
        found = conflict_aware(grams, orders(len(losses), generator), rule=self.rule, gamma=self.gamma)
        for_weights, for_scores = found[: len(weights)], found[len(weights) :]
        return dict(zip(weights, for_weights, strict=True)), dict(zip(scores, for_scores, strict=True))


def as_filters(gradients: Tensor) -> Tensor:
    """Gradients [m, *shape] of one tensor as [m, filters, d]. A linear weight counts as one filter."""
    filters = gradients.shape[1] if gradients.ndim == _CONVOLUTION_RANK + 1 else 1
    return gradients.reshape(len(gradients), filters, -1)


def gram_matrices(gradients: Tensor) -> Tensor:
    """Inner products [filters, m, m] of gradients [m, filters, d]."""
    by_filter = gradients.transpose(0, 1)
    return by_filter @ by_filter.transpose(1, 2)


def combine(gradients: Tensor, coefficients: Tensor) -> Tensor:
    """The sum [filters, d] of gradients [m, filters, d] times coefficients [filters, m]."""
    return (coefficients.unsqueeze(1) @ gradients.transpose(0, 1)).squeeze(1)


def orders(count: int, generator: torch.Generator) -> Tensor:
    """For each of ``count`` gradients a random order of the others: int64 [count, count - 1]."""
    rows = [torch.randperm(count - 1, generator=generator) for _ in range(count)]
    # The numbers 0..count - 2 are mapped to those of the other gradients.
    return torch.stack([row + (row >= index) for index, row in enumerate(rows)]) if rows else torch.empty(0, 0).long()


def conflict_aware(grams: Sequence[Tensor], order: Tensor, *, rule: Rule, gamma: float) -> list[Tensor]:
    """The coefficients of :class:`ConflictAware`, float [filters, m] for each tensor.

    Args:
        grams: The Gram matrices of each tensor, float [filters, m, m].
        order: int64 [m, m - 1], from :func:`orders`.
        rule: The way to resolve conflicts.
        gamma: Exponent of the weights.
    """
    if rule == "sum" or len(order) == 1:
        return [gram.new_ones(gram.shape[:2]) for gram in grams]
    gram, filters = torch.cat(list(grams)), [len(one) for one in grams]
    # All tensors together, because many small operations would take longer than the arithmetic.
    projected = _projected(gram, order, progressive=rule == "progressive")
    weighted = _weighted(projected, gram, torch.tensor(filters, device=gram.device), gamma)
    return list(torch.split(weighted, filters))


def _weighted(coefficients: Tensor, gram: Tensor, filters: Tensor, gamma: float) -> Tensor:
    """The weighted sum [f, m] of the coefficients [f, m, m] of the projected gradients.

    The filters of a tensor follow each other; ``filters`` has their number for each tensor, int64 [tensors].
    """
    count = gram.shape[1]
    products = coefficients @ gram
    # <p_i, g_i>, |p_i|^2 and |g_i|^2 of each filter, and then over the whole tensor.
    by_filter = torch.stack(
        [products.diagonal(dim1=1, dim2=2), (products * coefficients).sum(2), gram.diagonal(dim1=1, dim2=2)], dim=2
    )
    inner, squared, original = _sums(by_filter, filters).unbind(2)
    # The product of the squares can underflow to 0 in single precision, so the roots are taken first.
    norms = squared.clamp(min=0).sqrt() * original.sqrt()
    cosine = torch.where(norms > 0, inner / norms.clamp(min=torch.finfo(norms.dtype).tiny), 1)
    weight = ((cosine.clamp(-1, 1) + 1) / 2) ** gamma
    total = weight.sum(1, keepdim=True)
    alpha = torch.where(total > 0, weight / total, 1 / count)
    return count * torch.einsum("fi,fij->fj", alpha.repeat_interleave(filters, dim=0), coefficients)


def _sums(by_filter: Tensor, filters: Tensor) -> Tensor:
    """The sums [tensors, ...] over the filters of each tensor of values [f, ...]."""
    if by_filter.device.type in _HAVE_SEGMENTS:
        return torch.segment_reduce(by_filter, "sum", lengths=filters)
    return indexed_sums(by_filter, filters)


def indexed_sums(by_filter: Tensor, filters: Tensor) -> Tensor:
    """The same sums from operations that every device has. On a GPU their order, so the last bits, may vary."""
    owner = torch.arange(len(filters), device=filters.device).repeat_interleave(filters)
    return by_filter.new_zeros(len(filters), *by_filter.shape[1:]).index_add_(0, owner, by_filter)


def _projected(gram: Tensor, order: Tensor, *, progressive: bool) -> Tensor:
    """Coefficients [f, m, m] of the projected gradients, from inner products [f, m, m] of the gradients."""
    filters, count, _ = gram.shape
    squares = gram.diagonal(dim1=1, dim2=2).clamp(min=torch.finfo(gram.dtype).tiny)
    lengths = gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    threshold = -_RELATIVE_EPSILON * lengths.unsqueeze(1) * lengths.unsqueeze(2)
    rows = []
    for i in range(count):
        row = torch.zeros(filters, count, dtype=gram.dtype, device=gram.device)
        row[:, i] = 1
        pending = torch.ones(filters, dtype=torch.bool, device=gram.device)
        others: list[int] = order[i].tolist()
        for j in others if progressive else reversed(others):
            inner = (row * gram[:, :, j]).sum(1) if progressive else gram[:, i, j]
            hit = pending & (inner < threshold[:, i, j])
            row[:, j] -= torch.where(hit, inner / squares[:, j], 0)
            if not progressive:
                pending &= ~hit
        rows.append(row)
    return torch.stack(rows, dim=1)
