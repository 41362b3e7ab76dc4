"""The embedding network: standardise, backbone, pool, project, normalise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export.preprocessing import Preprocessing

BackboneOption = bool | int | float | list[int | float]

# timm would fetch or unpickle weights for these, and a configuration file must not be able to ask for that.
_REFUSED_OPTIONS = frozenset({"pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"})
_IMAGE_RANK = 4


class Embedder(nn.Module):
    """An image embedder: backbone, global average pool, Linear to ``dim``, BatchNorm1d.

    Args:
        backbone: Maps float32 [b, 3, h, w] to features [b, f] or [b, f, h', w'].
        features: f.
        dim: Length of the embedding.
        preprocessing: Its mean and std are applied here, so inputs are in 0..1.

    Calling it gives the embedding float32 [b, dim], not yet L2-normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, *, features: int, dim: int, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)
        self.backbone = backbone
        self.projector = nn.Linear(features, dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, images: Tensor) -> Tensor:
        """The un-normalised embedding, float32 [b, dim], of images float32 [b, 3, h, w] in 0..1."""
        features = self.backbone((images - self.mean) / self.std)
        if features.ndim == _IMAGE_RANK:
            features = features.mean((2, 3))
        embedding: Tensor = self.norm(self.projector(features))
        return embedding


class Normalised(nn.Module):
    """An embedder whose output is L2-normalised: what is exported and deployed."""

    def __init__(self, embedder: nn.Module) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors float32 [b, dim] of images float32 [b, 3, h, w] in 0..1."""
        return F.normalize(self.embedder(images), dim=1)


def build_embedder(
    backbone: str,
    *,
    dim: int,
    preprocessing: Preprocessing,
    options: Mapping[str, BackboneOption] | None = None,
) -> Embedder:
    """An embedder on a backbone from timm, with random weights.

    Args:
        backbone: A timm architecture, e.g. ``"resnet18"``.
        dim: Length of the embedding.
        preprocessing: Input side, mean and std.
        options: Keyword arguments of the architecture: numbers, booleans and lists of numbers.

    Raises:
        UnknownName: timm has no such architecture.
        InvalidInput: the architecture does not take the options, or they ask to fetch weights.
    """
    import timm

    options = dict(options or {})
    refused = sorted(_REFUSED_OPTIONS & options.keys())
    if refused:
        raise InvalidInput(
            f"backbone option {refused[0]!r} is not allowed", hint="weights come from the checkpoint alone"
        )
    if not timm.is_model(backbone):
        raise UnknownName("backbone", backbone, timm.list_models())
    if timm.get_pretrained_cfg_value(backbone, "fixed_input_size"):
        options.setdefault("img_size", preprocessing.crop)
    try:
        module: nn.Module = timm.create_model(
            backbone, pretrained=False, num_classes=0, **cast("dict[str, Any]", options)
        )
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"backbone {backbone} cannot be built with {options}: {reason}", hint="check the backbone options"
        ) from None
    # Where a head has a hidden layer, as MobileNetV3's, timm counts the channels before it as `num_features`.
    hidden = getattr(module, "head_hidden_size", None)
    features = int(hidden or module.num_features)  # type: ignore[arg-type]  # every timm model has it
    return Embedder(module, features=features, dim=dim, preprocessing=preprocessing)
