"""What is measured again after a cut, on unlabelled images, so that queries match the dense gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from prunnet_export.network._batchnorm import reestimate_batchnorm
from prunnet_export.network._embedder import Embedder

# Ridges that are tried, as multiples of the mean eigenvalue of the features' scatter.
_RIDGES = tuple(10 ** (exponent / 2) for exponent in range(-12, 5))


def adapt(module: Embedder, dense: Embedder, batches: Callable[[], Iterable[Tensor]]) -> None:
    """Give a cut network BatchNorm statistics of its own, and a projector of its own.

    Args:
        module: The cut network; changed in place, left in evaluation mode.
        dense: The network that it was cut from; not changed but left in evaluation mode.
        batches: Gives the images, the same ones each time: float32 [b, 3, h, w] in 0..1.
    """
    reestimate_batchnorm(module, batches())
    align_projector(module, dense, batches())


def align_projector(module: Embedder, dense: Embedder, batches: Iterable[Tensor]) -> float:
    """Refit the projector of a cut network to the dense network's outputs, in closed form.

    With centred features f of the cut network and outputs z of the dense projector,

        W' = argmin_V sum_i |V f_i - z_i|^2 + ridge |V - W|^2,

    a ridge regression that is drawn to the projector W as it was cut. The ridge has the least generalised
    cross-validation error (Golub, Heath and Wahba, 1979); leaving W alone is among the choices. The bias brings the
    mean to the dense one, and the BatchNorm behind it becomes the dense network's. No label is used, and nothing is
    trained: these are second moments, as BatchNorm statistics are first ones.

    Args:
        module: The cut network, its BatchNorm statistics already its own; changed in place.
        dense: The network that it was cut from.
        batches: Images float32 [b, 3, h, w] in 0..1. None at all leaves everything as it is.

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity where W stayed.
    """
    moments = _moments(module, dense, batches)
    if moments is None:
        return float("inf")
    count, mean_features, mean_residual, scatter, cross, squared = moments
    values, vectors = torch.linalg.eigh(scatter)
    values = values.clamp(min=0)
    along = vectors.T @ cross
    energy = along.square().sum(1)
    scale = float(values.mean())
    best, ridge = count * squared / (count - 1) ** 2 if count > 1 else float("inf"), float("inf")
    for multiple in _RIDGES:
        shrunk = values + multiple * scale
        freedom = count - 1 - float((values / shrunk).sum())
        left = squared - float((energy / shrunk * (2 - values / shrunk)).sum())
        error = count * max(left, 0.0) / freedom**2 if scale > 0 and freedom > 0 else float("inf")
        if error < best:
            best, ridge = error, multiple
    weight = module.projector.weight.double()
    change = torch.zeros_like(weight)
    if ridge < float("inf"):
        change = (vectors @ (along / (values + ridge * scale).unsqueeze(1))).T
    with torch.no_grad():
        module.projector.bias.copy_(mean_residual - change @ mean_features)
        module.projector.weight.copy_(weight + change)
        module.norm.load_state_dict(dense.norm.state_dict())
    return ridge


def _moments(
    module: Embedder, dense: Embedder, batches: Iterable[Tensor]
) -> tuple[int, Tensor, Tensor, Tensor, Tensor, float] | None:
    """Count, means of features f and residuals r = z - W f, their centred scatters f f' and f r', and sum |r|^2."""
    module.eval()
    dense.eval()
    count, squared = 0, 0.0
    sums: list[Tensor] = []
    with torch.inference_mode():
        for images in batches:
            features = module.features(images).double()
            target = dense.projector(dense.features(images)).double()
            residual = target - features @ module.projector.weight.double().T
            added = [features.sum(0), residual.sum(0), features.T @ features, features.T @ residual]
            sums = [a + b for a, b in zip(sums, added, strict=True)] if sums else added
            squared += float(residual.square().sum())
            count += len(images)
    if not sums:
        return None
    features_sum, residual_sum, scatter, cross = (tensor.clone() for tensor in sums)
    mean_features, mean_residual = features_sum / count, residual_sum / count
    scatter -= count * mean_features.outer(mean_features)
    cross -= count * mean_features.outer(mean_residual)
    return count, mean_features, mean_residual, scatter, cross, squared - count * float(mean_residual.square().sum())
