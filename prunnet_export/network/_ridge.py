"""Ridge regression in closed form, from sums that grow batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# The ridge strengths to try, as multiples of the mean eigenvalue of the features' scatter matrix.
_RIDGES = tuple(10 ** (exponent / 2) for exponent in range(-12, 5))


@dataclass(frozen=True)
class LinearMap:
    """x -> weight x + bias.

    Attributes:
        weight: float64 [d, f].
        bias: float64 [d].
        ridge: The chosen ridge as a multiple of the mean eigenvalue; infinity if the weight is zero.
    """

    weight: Tensor
    bias: Tensor
    ridge: float

    def __call__(self, features: Tensor) -> Tensor:
        """The outputs float64 [n, d] of features [n, f]."""
        return features.double() @ self.weight.T + self.bias


class RidgeSums:
    """The sums over pairs of features f and wanted outputs z from which a ridge regression follows.

    Attributes:
        count: Number of pairs.
    """

    def __init__(self) -> None:
        self.count = 0
        self._squared = 0.0
        self._sums: list[Tensor] = []

    def add(self, features: Tensor, wanted: Tensor) -> None:
        """Add pairs: features [b, f] and wanted outputs [b, d]."""
        f, z = features.double(), wanted.double()
        added = [f.sum(0), z.sum(0), f.T @ f, f.T @ z]
        self._sums = [a + b for a, b in zip(self._sums, added, strict=True)] if self._sums else added
        self._squared += float(z.square().sum())
        self.count += len(features)

    def solve(self) -> LinearMap:
        """argmin_V sum_i |V (f_i - mean f) - (z_i - mean z)|^2 + ridge |V|^2, and the bias that keeps the mean.

        The chosen ridge has the least generalised cross-validation error (Golub, Heath and Wahba, 1979). An infinite
        ridge, which makes V zero, is one of the choices.

        Raises:
            ValueError: there is no pair.
        """
        if not self._sums:
            raise ValueError("a regression without pairs")
        count = self.count
        # Sums that were made in inference mode cannot be changed in place.
        features_sum, wanted_sum, scatter, cross = (tensor.clone() for tensor in self._sums)
        mean_features, mean_wanted = features_sum / count, wanted_sum / count
        scatter -= count * mean_features.outer(mean_features)
        cross -= count * mean_features.outer(mean_wanted)
        squared = self._squared - count * float(mean_wanted.square().sum())
        values, vectors = torch.linalg.eigh(scatter)
        values = values.clamp(min=0)
        rotated = vectors.T @ cross
        scale = float(values.mean())
        ridge = _best_ridge(values, rotated.square().sum(1), squared, count)
        weight = torch.zeros_like(cross.T)
        if ridge < float("inf"):
            weight = (vectors @ (rotated / (values + ridge * scale).unsqueeze(1))).T
        return LinearMap(weight, mean_wanted - weight @ mean_features, ridge)


def _best_ridge(values: Tensor, energy: Tensor, squared: float, count: int) -> float:
    """The ridge with the least generalised cross-validation error, as a multiple of the mean eigenvalue.

    Args:
        values: Eigenvalues [f] of the features' scatter matrix.
        energy: For each eigenvector, the squared length of its product with the wanted outputs, [f].
        squared: Sum of the squared lengths of the centred wanted outputs.
        count: Number of pairs.
    """
    scale = float(values.mean())
    best, ridge = count * squared / (count - 1) ** 2 if count > 1 else float("inf"), float("inf")
    for multiple in _RIDGES:
        shrunk = values + multiple * scale
        freedom = count - 1 - float((values / shrunk).sum())
        remaining = squared - float((energy / shrunk * (2 - values / shrunk)).sum())
        error = count * max(remaining, 0.0) / freedom**2 if scale > 0 and freedom > 0 else float("inf")
        if error < best:
            best, ridge = error, multiple
    return ridge
