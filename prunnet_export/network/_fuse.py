"""Fusing branches that only training needs, e.g. in RepVGG and MobileOne: fewer layers compute the same."""

from __future__ import annotations

import logging
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.network._embedder import Embedder
from prunnet_export.precision import FP32

_LOG = logging.getLogger(__name__)

_METHODS = ("fuse", "reparameterize", "switch_to_deploy")  # timm's names
_IMAGES = 4


def fused(embedder: Embedder, *, size: tuple[int, int]) -> Embedder:
    """A copy in evaluation mode whose parallel branches are one convolution each.

    The embedder itself is returned if it has no such branches, or, with a warning, if the copy computes something else.

    Args:
        embedder: The network with its final BatchNorm statistics. It is not changed.
        size: Height and width of the input image, pixels.
    """
    if not any(callable(getattr(module, name, None)) for module in embedder.backbone.modules() for name in _METHODS):
        return embedder
    from timm.utils.model import reparameterize_model

    embedder.eval()
    copy = deepcopy(embedder)
    try:
        copy.backbone = reparameterize_model(copy.backbone).eval().requires_grad_(requires_grad=False)
        worst = _worst_cosine(embedder, copy, size)
    except Exception as error:  # noqa: BLE001  each architecture fuses with code of its own
        _LOG.warning("the branches of the backbone stay as they are, because they cannot be fused (%s)", error)
        return embedder
    if not worst >= FP32.parity:  # also if it is not a number
        _LOG.warning("the branches of the backbone stay as they are: fused, the worst cosine is %.4f", worst)
        return embedder
    return copy


@torch.no_grad()
def _worst_cosine(before: nn.Module, after: nn.Module, size: tuple[int, int]) -> float:
    """The worst cosine between two embedders on random images."""
    images = torch.rand(_IMAGES, 3, *size, generator=torch.Generator().manual_seed(0))
    cosines: Tensor = F.cosine_similarity(before(images), after(images), dim=1)
    return float(cosines.min())
