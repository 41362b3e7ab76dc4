"""The statistics of BatchNorm layers on images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from prunnet_export.network_config import LEAST_STATISTICS_IMAGES, STATISTICS_IMAGES

_BATCH = 100


def statistics_batches(images: int, limit: int = STATISTICS_IMAGES) -> list[npt.NDArray[np.intp]]:
    """The indices of the images that BatchNorm statistics are estimated on, batch by batch.

    Most splits are listed class by class, and a batch of one class would hide the variance between classes. So the
    images are spread evenly over the split, and each batch takes every n-th of them. All batches have the same weight
    in the average, so their sizes differ by at most one image.

    Args:
        images: Number of images in the split.
        limit: Largest number of images to take.

    Returns:
        Batches of about 100 indices. There is no batch if there are fewer than two images.
    """
    count = min(limit, images)
    if count < LEAST_STATISTICS_IMAGES:
        return []
    chosen = np.arange(count) * images // count
    parts = max(1, round(count / _BATCH))
    return [chosen[part::parts] for part in range(parts)]


def reestimate_batchnorm(module: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every BatchNorm by the cumulative average over the batches.

    Each capacity needs its own statistics: a subnetwork is useless with those of the dense network. The cumulative
    average has a lower variance than a running one. All other layers stay in evaluation mode.

    Args:
        module: A network. It is changed in place and left in evaluation mode.
        batches: Inputs float32 [b, 3, h, w] in 0..1, at least two images each. Without any batch nothing changes.

    Returns:
        The number of images.
    """
    norms = _norms(module)
    momenta = [norm.momentum for norm in norms]
    module.eval()
    seen = 0
    try:
        with torch.inference_mode():
            for batch in batches:
                if not seen:
                    for norm in norms:
                        norm.reset_running_stats()
                        norm.momentum = None  # cumulative average
                        norm.train()
                module(batch)
                seen += len(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()
    return seen


def rebase_batchnorm(module: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every BatchNorm by those of some images, and keep what the network computes.

    A network that was trained on other images has other running statistics. Training normalises with the statistics
    of a batch, so its outputs would change at once. Here the scale and the shift of each layer make up for the new
    statistics: in evaluation mode the outputs stay, and in training mode they come near to them.

    Args:
        module: A network. It is changed in place and left in evaluation mode.
        batches: Inputs of the network. Without any batch nothing changes.

    Returns:
        The number of images.
    """
    norms = [norm for norm in _norms(module) if norm.affine]
    sums: dict[nn.Module, list[Tensor]] = {}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)  # [channels, positions of all images]
        own = [torch.full_like(values[:, 0], values.shape[1]), values.sum(1), values.square().sum(1)]
        sums[norm] = [a + b for a, b in zip(sums[norm], own, strict=True)] if norm in sums else own

    module.eval()
    handles = [norm.register_forward_pre_hook(add) for norm in norms]
    seen = 0
    try:
        with torch.no_grad():
            for batch in batches:
                module(batch)
                seen += len(batch)
    finally:
        for handle in handles:
            handle.remove()
    for norm in norms:
        if norm in sums:
            count, total, squared = sums[norm]
            mean = total / count
            _rebase(norm, mean, (squared / count - mean.square()).clamp(min=0))
    return seen


def _norms(module: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.track_running_stats]


def _rebase(norm: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Give a layer other statistics [channels], and the scale and shift that keep its outputs."""
    if norm.running_mean is None or norm.running_var is None:
        return
    deviation = (norm.running_var.double() + norm.eps).sqrt()
    scale = norm.weight.double() / deviation
    with torch.no_grad():
        norm.bias.add_(scale * (mean - norm.running_mean))
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
