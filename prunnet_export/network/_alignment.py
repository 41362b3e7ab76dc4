"""Adapting a cut network on unlabelled images, so that its queries match the dense gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from prunnet_export.network._batchnorm import reestimate_batchnorm
from prunnet_export.network._embedder import Embedder

# The ridge strengths to try, as multiples of the mean eigenvalue of the features' scatter matrix.
_RIDGES = tuple(10 ** (exponent / 2) for exponent in range(-12, 5))


Pairs = Iterable[tuple[Tensor, Tensor]]


def adapt(
    module: Embedder,
    dense: Embedder,
    batches: Callable[[], Iterable[Tensor]],
    vectors: Callable[[], Iterable[Tensor]] | None = None,
) -> None:
    """Re-estimate the BatchNorm statistics of a cut network, then refit its projector.

    Args:
        module: The cut network. It is changed in place and left in evaluation mode.
        dense: The network that it was cut from. Its tensors do not change; it is left in evaluation mode.
        batches: Returns the images, the same ones at each call: float32 [b, 3, h, w] in 0..1.
        vectors: Returns a teacher's unit vectors of these images, [b, dim]. None if the dense network made the gallery.
    """
    reestimate_batchnorm(module, batches())
    if vectors is None:
        align_projector(module, dense, batches())
    else:
        module.norm.load_state_dict(dense.norm.state_dict())
        fit_projector(module, zip(batches(), vectors(), strict=True))


def align_projector(module: Embedder, dense: Embedder, batches: Iterable[Tensor]) -> float:
    """Refit the projector of a cut network to the outputs of the dense network's projector; see :func:`_refit`.

    The BatchNorm after the projector becomes a copy of the dense network's. No label and no training is needed.

    Args:
        module: The cut network, with re-estimated BatchNorm statistics. It is changed in place.
        dense: The network that it was cut from.
        batches: Images float32 [b, 3, h, w] in 0..1. Without any batch the projector stays.

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """
    dense.eval()
    pairs = ((images, dense.projector(dense.features(images))) for images in batches)
    ridge = _refit(module, pairs)
    module.norm.load_state_dict(dense.norm.state_dict())
    return ridge


def fit_projector(module: Embedder, pairs: Pairs) -> float:
    """Refit the projector, so that embeddings come near to given vectors; see :func:`_refit`. The norm stays.

    Args:
        module: An embedder. Its projector is changed in place.
        pairs: Images float32 [b, 3, h, w] in 0..1, and the wanted embeddings [b, dim].

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """
    norm, mean, variance = module.norm, module.norm.running_mean, module.norm.running_var
    if mean is None or variance is None:
        raise ValueError("the norm has no running statistics")
    with torch.no_grad():
        # Dimensions that the norm holds constant want nothing.
        inverse = torch.where(norm.weight == 0, 0, (variance + norm.eps).sqrt() / norm.weight)
    return _refit(module, ((images, mean + (wanted - norm.bias) * inverse) for images, wanted in pairs))


def _refit(module: Embedder, pairs: Pairs) -> float:
    """Refit a projector to wanted outputs in closed form.

    With centred features f of the network, wanted outputs z, and the projector W as it was,

        W' = argmin_V sum_i |V f_i - z_i|^2 + ridge |V - W|^2.

    The chosen ridge has the least generalised cross-validation error (Golub, Heath and Wahba, 1979). An infinite
    ridge, which keeps W, is one of the choices. The bias makes the mean output equal to the mean of the z_i.

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """
    moments = _moments(module, pairs)
    if moments is None:
        return float("inf")
    count, mean_features, mean_residual, scatter, cross, squared = moments
    values, vectors = torch.linalg.eigh(scatter)
    values = values.clamp(min=0)
    rotated = vectors.T @ cross
    energy = rotated.square().sum(1)
    scale = float(values.mean())
    best, ridge = count * squared / (count - 1) ** 2 if count > 1 else float("inf"), float("inf")
    for multiple in _RIDGES:
        shrunk = values + multiple * scale
        freedom = count - 1 - float((values / shrunk).sum())
        remaining = squared - float((energy / shrunk * (2 - values / shrunk)).sum())
        error = count * max(remaining, 0.0) / freedom**2 if scale > 0 and freedom > 0 else float("inf")
        if error < best:
            best, ridge = error, multiple
    weight = module.projector.weight.double()
    change = torch.zeros_like(weight)
    if ridge < float("inf"):
        change = (vectors @ (rotated / (values + ridge * scale).unsqueeze(1))).T
    with torch.no_grad():
        module.projector.bias.copy_(mean_residual - change @ mean_features)
        module.projector.weight.copy_(weight + change)
    return ridge


def _moments(module: Embedder, pairs: Pairs) -> tuple[int, Tensor, Tensor, Tensor, Tensor, float] | None:
    """Count, means of features f and residuals r = z - W f, centred sums of f f', f r' and |r|^2; None: no batch."""
    module.eval()
    count, squared = 0, 0.0
    sums: list[Tensor] = []
    with torch.inference_mode():
        for images, wanted in pairs:
            features = module.features(images).double()
            residual = wanted.double() - features @ module.projector.weight.double().T
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
