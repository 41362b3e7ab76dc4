"""The embedding network: standardise, backbone, pool, project, normalise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export._errors import InvalidInput
from prunnet_export.network._backbones import BUILD_ERRORS, build_backbone, reason
from prunnet_export.network._building import limited_building
from prunnet_export.network_config import BackboneOption
from prunnet_export.preprocessing import Preprocessing

_IMAGE_RANK = 4
_BLOCK = 16  # channels that oneDNN's widest kernels take together


class Embedder(nn.Module):
    """An image embedder: backbone, global average pool, Linear to ``dim``, BatchNorm1d.

    Args:
        backbone: A module that maps float32 [b, 3, h, w] to features [b, f] or [b, f, h', w'].
        features: The number of features f.
        dim: Length of the embedding.
        preprocessing: The mean and std that are applied to the inputs, which are in 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, *, features: int, dim: int, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)
        self.backbone = backbone
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1):
                module.register_forward_pre_hook(_channels_first)
        self.projector = nn.Linear(features, dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, images: Tensor) -> Tensor:
        """The un-normalised embedding, float32 [b, dim], of images float32 [b, 3, h, w] in 0..1."""
        embedding: Tensor = self.norm(self.projector(self.features(images)))
        return embedding

    def features(self, images: Tensor) -> Tensor:
        """The input of the projector, float32 [b, f], for images float32 [b, 3, h, w] in 0..1."""
        features: Tensor = self.backbone(self.standardised(images))
        return features.mean((2, 3)) if features.ndim == _IMAGE_RANK else features

    def standardised(self, images: Tensor) -> Tensor:
        """The input of the backbone for images float32 [b, 3, h, w] in 0..1."""
        return (images - self.mean) / self.std


def _channels_first(_convolution: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    """Lay a narrow input out in torch's default layout.

    With channels last, oneDNN 3.12 writes beyond its workspace in the gradient of a 1 x 1 kernel with a stride and with
    fewer input channels than a block has: 16 with AVX-512, 8 with AVX2. Gradients are wrong, or the heap is corrupt.
    ResNets have such kernels in their shortcuts. See https://github.com/uxlfoundation/oneDNN/issues/6035

    Other convolutions were examined, with memory protected behind every buffer and with gradients compared with those
    of the default layout: AVX-512, float32 and bfloat16, batches of 16 and 32. Right are kernels of 1 x 1 without a
    stride, and of 2 x 2 to 16 x 16 with and without one, for 1 to 64 channels; stems of 3, 4 and 8 channels at 224 px;
    depthwise, grouped and dilated ones; and a 1 x 1 kernel with a stride for 16 channels or more.
    """
    (images,) = inputs
    if not torch.is_grad_enabled() or images.device.type != "cpu" or images.shape[1] >= _BLOCK:
        return None
    return (images.contiguous(),)


class Normalised(nn.Module):
    """An embedder with L2-normalised output. This is the module that is exported and deployed."""

    def __init__(self, embedder: nn.Module) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors float32 [b, dim] of images float32 [b, 3, h, w] in 0..1."""
        return F.normalize(self.embedder(images), dim=1)


def build_embedder(
    backbone: str, *, dim: int, preprocessing: Preprocessing, options: Mapping[str, BackboneOption] | None = None
) -> Embedder:
    """Build an embedder with random weights, in training mode.

    The embedder is run once on an image of the input's size, to check that it works.

    Args:
        backbone: A timm architecture, e.g. ``"resnet18"``, or ``"resnet18-no-maxpool"``, or the name of a backbone that
            an installed package registered under ``prunnet_export.backbones``.
        dim: Length of the embedding.
        preprocessing: Size of the input, mean and std.
        options: Keyword arguments of the backbone: numbers, booleans and lists of numbers.

    Raises:
        UnknownName: there is no such backbone.
        UsageError: the package of the backbone cannot be imported.
        InvalidInput: the backbone refuses the options or the input's size, or an option is not allowed.
    """
    with limited_building():
        module, features = build_backbone(backbone, size=preprocessing.size, options=options or {})
        embedder = Embedder(module, features=features, dim=dim, preprocessing=preprocessing)
    _check_runs(embedder, backbone, preprocessing)
    return embedder


def _check_runs(embedder: Embedder, backbone: str, preprocessing: Preprocessing) -> None:
    height, width = preprocessing.size
    embedder.eval()  # so that the run changes no statistics and draws no random number
    try:
        with torch.no_grad():
            embedder(torch.zeros(1, 3, height, width))
    except BUILD_ERRORS as error:
        raise InvalidInput(
            f"backbone {backbone} does not run on {height} x {width} px: {reason(error)}",
            hint="choose sides that its patches and windows divide, usually a multiple of 32",
        ) from None
    embedder.train()
