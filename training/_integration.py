"""Integrating the gradients of the dense network and its subnetworks into one.

Everything is decided in the space of the Gram matrices: with m gradients g_i of a tensor split into filters,
every projected gradient is a combination of the g_j whose coefficients depend on the inner products alone.
So the cost is two batched products over the gradients, whatever the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Rule = Literal["sum", "last-conflict", "progressive"]
RULES: tuple[Rule, ...] = get_args(Rule)

# An inner product below this fraction of the norms is rounding, not a conflict.
_RELATIVE_EPSILON = 1e-6
_CONVOLUTION_RANK = 4


def as_filters(gradients: Sequence[Tensor]) -> Tensor:
    """Gradients of one tensor as [m, filters, d]: a convolution's outputs each, a linear weight as a whole."""
    stacked = torch.stack(list(gradients))
    filters = stacked.shape[1] if stacked.ndim == _CONVOLUTION_RANK + 1 else 1
    return stacked.reshape(len(stacked), filters, -1)


def orders(count: int, generator: torch.Generator) -> Tensor:
    """For each of ``count`` gradients a random order of the others: int64 [count, count - 1]."""
    rows = []
    for index in range(count):
        others = torch.tensor([other for other in range(count) if other != index], dtype=torch.int64)
        rows.append(others[torch.randperm(count - 1, generator=generator)])
    return torch.stack(rows) if rows else torch.empty(0, 0, dtype=torch.int64)


def integrate(gradients: Tensor, order: Tensor, *, rule: Rule, gamma: float) -> Tensor:
    """One gradient out of m, free of the conflicts between them.

    ``progressive`` projects each g_i off every g_j that it conflicts with, one after another in the given
    order (PCGrad). ``last-conflict`` tests the original gradients and projects g_i off the last conflicting
    one only, as PrunNet's release does. Then p = projected, a_i = ((cos(p_i, g_i) + 1) / 2)^gamma on the whole
    tensor, and the result is m * sum_i (a_i / sum a) p_i. Without conflict every rule is the plain sum.

    Args:
        gradients: float32 [m, filters, d].
        order: int64 [m, m - 1], from :func:`orders`.
        rule: How conflicts are resolved.
        gamma: 0.5 for convolutional networks, 1.0 for transformers (PrunNet, section 3.3).

    Returns:
        float32 [filters, d].
    """
    count = len(gradients)
    if rule == "sum" or count == 1:
        return gradients.sum(0)
    by_filter = gradients.transpose(0, 1)
    gram = by_filter @ by_filter.transpose(1, 2)  # [filters, m, m]
    conflict = _progressive if rule == "progressive" else _last_conflict
    coefficients = conflict(gram, order)
    # <p_i, g_i> and |p_i|^2 over the whole tensor, from the Gram matrices.
    along = (coefficients @ gram).diagonal(dim1=1, dim2=2).sum(0)
    squared = (coefficients @ gram @ coefficients.transpose(1, 2)).diagonal(dim1=1, dim2=2).sum(0)
    original = gram.diagonal(dim1=1, dim2=2).sum(0)
    # Roots first: the fourth power of a small gradient's norm is 0 in single precision.
    norms = squared.clamp(min=0).sqrt() * original.sqrt()
    cosine = torch.where(norms > 0, along / norms.clamp(min=torch.finfo(norms.dtype).tiny), torch.ones_like(norms))
    weight = ((cosine.clamp(-1, 1) + 1) / 2) ** gamma
    total = weight.sum()
    alpha = weight / total if total > 0 else torch.full_like(weight, 1 / count)
    mixed = count * torch.einsum("i,fij->fj", alpha, coefficients)  # [filters, m]
    return torch.einsum("fj,jfd->fd", mixed, gradients)


def _threshold(gram: Tensor) -> Tensor:
    lengths = gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    return -_RELATIVE_EPSILON * lengths.unsqueeze(1) * lengths.unsqueeze(2)


def _last_conflict(gram: Tensor, order: Tensor) -> Tensor:
    filters, count, _ = gram.shape
    coefficients = torch.eye(count, dtype=gram.dtype, device=gram.device).repeat(filters, 1, 1)
    conflicts = gram < _threshold(gram)
    for i in range(count):
        pending = torch.ones(filters, dtype=torch.bool, device=gram.device)
        for j in reversed(order[i].tolist()):
            hit = pending & conflicts[:, i, j]
            factor = torch.where(hit, gram[:, i, j] / gram[:, j, j].clamp(min=torch.finfo(gram.dtype).tiny), 0)
            coefficients[:, i, j] = -factor
            pending &= ~hit
    return coefficients


def _progressive(gram: Tensor, order: Tensor) -> Tensor:
    filters, count, _ = gram.shape
    threshold = _threshold(gram)
    rows = []
    for i in range(count):
        row = torch.zeros(filters, count, dtype=gram.dtype, device=gram.device)
        row[:, i] = 1
        for j in order[i].tolist():
            inner = (row * gram[:, :, j]).sum(1)
            hit = inner < threshold[:, i, j]
            row[:, j] -= torch.where(hit, inner / gram[:, j, j].clamp(min=torch.finfo(gram.dtype).tiny), 0)
        rows.append(row)
    return torch.stack(rows, dim=1)
