"""Integrating the gradients of the dense network and its subnetworks into one.

Whatever the rule, the result is a linear combination of the m gradients, and its coefficients depend on their inner
products alone. So a rule sees Gram matrices, and a step costs two batched products over the gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prunnet_export.training._recipe import Rule

Grams = Mapping[str, Tensor]  # by tensor, float [filters, m, m]

# An inner product below this fraction of the norms is rounding, not a conflict.
_RELATIVE_EPSILON = 1e-6
_CONVOLUTION_RANK = 4


class Integration(ABC):
    """How m gradients become one."""

    @abstractmethod
    def coefficients(
        self, weights: Grams, scores: Grams, losses: Tensor, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What each gradient is multiplied by before all are added up.

        Args:
            weights: Inner products of the gradients of each weight; the dense network is the last of the m.
            scores: The same of each score.
            losses: float32 [m].
            generator: For what is random; the same on every rank.

        Returns:
            For weights and for scores: by tensor, float [filters, m].
        """


class ConflictAware(Integration):
    """Each filter's gradients are freed of the conflicts between them, and weighted by how much that turned them.

    ``progressive`` projects each g_i off every g_j that it conflicts with, one after another in a random order
    (PCGrad). ``last-conflict`` tests the original gradients and projects g_i off the last conflicting one only, as
    PrunNet's release does. Then p = projected, a_i = ((cos(p_i, g_i) + 1) / 2)^gamma on the whole tensor, and the
    result is m * sum_i (a_i / sum a) p_i (PrunNet, section 3.3). Without conflict every rule is the plain sum.

    Args:
        rule: How conflicts are resolved; ``sum`` does not.
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
        of_weights, of_scores = found[: len(weights)], found[len(weights) :]
        return dict(zip(weights, of_weights, strict=True)), dict(zip(scores, of_scores, strict=True))


def as_filters(gradients: Tensor) -> Tensor:
    """Gradients [m, *shape] of one tensor as [m, filters, d]: a convolution's outputs each, a linear weight whole."""
    filters = gradients.shape[1] if gradients.ndim == _CONVOLUTION_RANK + 1 else 1
    return gradients.reshape(len(gradients), filters, -1)


def gram_matrices(gradients: Tensor) -> Tensor:
    """Inner products [filters, m, m] of gradients [m, filters, d]."""
    by_filter = gradients.transpose(0, 1)
    return by_filter @ by_filter.transpose(1, 2)


def combine(gradients: Tensor, coefficients: Tensor) -> Tensor:
    """Gradients [m, filters, d] times coefficients [filters, m], added up: [filters, d]."""
    return (coefficients.unsqueeze(1) @ gradients.transpose(0, 1)).squeeze(1)


def orders(count: int, generator: torch.Generator) -> Tensor:
    """For each of ``count`` gradients a random order of the others: int64 [count, count - 1]."""
    rows = [torch.randperm(count - 1, generator=generator) for _ in range(count)]
    # What is drawn leaves the gradient itself out.
    return torch.stack([row + (row >= index) for index, row in enumerate(rows)]) if rows else torch.empty(0, 0).long()


def conflict_aware(grams: Sequence[Tensor], order: Tensor, *, rule: Rule, gamma: float) -> list[Tensor]:
    """The coefficients of :class:`ConflictAware`.

    Args:
        grams: Of each tensor, float [filters, m, m].
        order: int64 [m, m - 1], from :func:`orders`.
        rule: How conflicts are resolved.
        gamma: Exponent of the weights.

    Returns:
        Of each tensor, float [filters, m].
    """
    if rule == "sum" or len(order) == 1:
        return [gram.new_ones(gram.shape[:2]) for gram in grams]
    gram, filters = torch.cat(list(grams)), [len(one) for one in grams]
    # All tensors at once: one by one their many small operations cost more than the arithmetic.
    projected = _projected(gram, order, progressive=rule == "progressive")
    weighted = _weighted(projected, gram, torch.tensor(filters, device=gram.device), gamma)
    return list(torch.split(weighted, filters))


def _weighted(coefficients: Tensor, gram: Tensor, filters: Tensor, gamma: float) -> Tensor:
    """Coefficients [f, m, m] of the projected gradients, weighted and added up: [f, m].

    Args:
        coefficients: Of all filters, those of one tensor beside each other.
        gram: Inner products [f, m, m] of the gradients.
        filters: How many filters each tensor has, int64 [tensors].
        gamma: Exponent of the weights.
    """
    count = gram.shape[1]
    products = coefficients @ gram
    # <p_i, g_i>, |p_i|^2 and |g_i|^2 of each filter, and then over the whole tensor.
    of_filters = torch.stack(
        [products.diagonal(dim1=1, dim2=2), (products * coefficients).sum(2), gram.diagonal(dim1=1, dim2=2)], dim=2
    )
    along, squared, original = torch.segment_reduce(of_filters, "sum", lengths=filters).unbind(2)
    # Roots first: the fourth power of a small gradient's norm is 0 in single precision.
    norms = squared.clamp(min=0).sqrt() * original.sqrt()
    cosine = torch.where(norms > 0, along / norms.clamp(min=torch.finfo(norms.dtype).tiny), 1)
    weight = ((cosine.clamp(-1, 1) + 1) / 2) ** gamma
    total = weight.sum(1, keepdim=True)
    alpha = torch.where(total > 0, weight / total, 1 / count)
    return count * torch.einsum("fi,fij->fj", alpha.repeat_interleave(filters, dim=0), coefficients)


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
