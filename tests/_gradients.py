"""Integration of gradients in one call."""

from __future__ import annotations

from torch import Tensor

from prunnet_export.training._integration import combine, conflict_aware, gram_matrices
from prunnet_export.training._recipe import Rule


def integrate(gradients: Tensor, order: Tensor, *, rule: Rule, gamma: float) -> Tensor:
    """One gradient [filters, d] out of m, [m, filters, d]."""
    [coefficients] = conflict_aware([gram_matrices(gradients)], order, rule=rule, gamma=gamma)
    return combine(gradients, coefficients)
