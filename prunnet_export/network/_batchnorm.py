"""Re-estimating the BatchNorm statistics of a cut network on images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from prunnet_export.network_config import STATISTICS_IMAGES

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
    if count < 2:  # noqa: PLR2004  # one image has no variance
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
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.track_running_stats]
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
