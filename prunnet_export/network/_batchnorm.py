"""BatchNorm statistics of a cut network, measured again on images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from prunnet_export.network_config import STATISTICS_IMAGES

_BATCH = 100


def statistics_batches(images: int, limit: int = STATISTICS_IMAGES) -> list[npt.NDArray[np.intp]]:
    """Which images of a split BatchNorm statistics are taken on, batch by batch.

    They are spread evenly over the split and dealt out like cards: splits are mostly listed class by class, and
    a batch of one class alone would hide the variance between classes. Batches count alike, so they are of one size
    or differ by one image.

    Args:
        images: In the split.
        limit: Images that are taken at most.

    Returns:
        Indices of each batch, of about 100; none where there are fewer than two images, as one has no variance.
    """
    count = min(limit, images)
    if count < 2:  # noqa: PLR2004  # see above
        return []
    chosen = np.arange(count) * images // count
    parts = max(1, round(count / _BATCH))
    return [chosen[part::parts] for part in range(parts)]


def reestimate_batchnorm(module: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every BatchNorm by the cumulative average over the batches.

    Each capacity needs its own statistics; with the dense network's a subnetwork is useless. The cumulative
    average has a lower variance than a running one. Everything but BatchNorm stays in evaluation mode.

    Args:
        module: A network; changed in place, left in evaluation mode.
        batches: Inputs float32 [b, 3, h, w] in 0..1, at least two images each. None at all leaves the
            statistics as they are.

    Returns:
        How many images were seen.
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
