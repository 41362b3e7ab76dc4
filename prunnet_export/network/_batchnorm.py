"""BatchNorm statistics of a cut network, measured again on images."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


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
