"""Networks, data and folders that several tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.artifact import GalleryEntry
from prunnet_export.datasets import RetrievalData
from prunnet_export.network import Embedder, PrunableNetwork, build_embedder, fan_in
from prunnet_export.network_config import BackboneOption, DataSource
from prunnet_export.patterns import Pattern, materialise
from prunnet_export.preprocessing import Preprocessing, Size
from prunnet_export.relevance import Listed, Lists
from prunnet_export.training import Recipe
from prunnet_export.training.data._arrays import ArraySplit

HAS_AVIF = ".avif" in Image.registered_extensions()  # from Pillow 11.3 on

TINY_RESNET: dict[str, BackboneOption] = {"channels": [8, 16, 24, 32]}


def prunable(
    backbone: str = "resnet18",
    *,
    crop: Size = 64,
    dim: int = 16,
    options: dict[str, BackboneOption] | None = None,
    seed: int = 0,
    gain: float = 2,
) -> PrunableNetwork:
    """A prunable network in evaluation mode with nothing at its initial value."""
    torch.manual_seed(seed)
    preprocessing = Preprocessing(crop=crop, resize=crop)
    embedder = build_embedder(backbone, dim=dim, preprocessing=preprocessing, options=options)
    network = PrunableNetwork(embedder, size=preprocessing.size, seed=seed)
    randomise(embedder, seed=seed, gain=gain)
    return network.eval()


def tiny_resnet(*, crop: int = 32, seed: int = 0) -> PrunableNetwork:
    """A ResNet-18 with 8 to 32 channels."""
    return prunable("resnet18", crop=crop, dim=8, options=TINY_RESNET, seed=seed)


@torch.no_grad()
def randomise(module: nn.Module, *, seed: int = 0, gain: float = 2) -> None:
    """Give every tensor values of healthy size: timm starts norms, biases and layer scales at 0, 1 or 1e-6.

    Weights have variance gain^2 / fan_in. With a gain of 2 signals survive the loss of most weights; with the
    square root of 2, the usual one, deep networks amplify rounding less.
    """
    draw = torch.Generator().manual_seed(seed)
    for owner in module.modules():
        for name, tensor in owner.named_parameters(recurse=False):
            if tensor.ndim > 1 and isinstance(owner, nn.Conv2d | nn.Linear):
                tensor.normal_(0, gain / fan_in(tensor) ** 0.5, generator=draw)
            elif name == "weight" or "gamma" in name:  # the scale of a norm or of a layer
                tensor.uniform_(0.5, 1.5, generator=draw)
            else:  # biases, tokens, positions
                tensor.normal_(0, 0.3, generator=draw)
        if isinstance(owner, nn.BatchNorm1d | nn.BatchNorm2d):
            assert owner.running_mean is not None
            assert owner.running_var is not None
            owner.running_mean.normal_(0, 0.3, generator=draw)
            owner.running_var.uniform_(0.5, 1.5, generator=draw)


def images(count: int, crop: Size, *, seed: int = 1) -> Tensor:
    """float32 [count, 3, h, w] in 0..1: coarse blocks of colour, of another brightness in each image."""
    draw, size = torch.Generator().manual_seed(seed), Preprocessing(crop=crop, resize=crop).size
    blocks = F.interpolate(torch.rand(count, 3, 4, 4, generator=draw), size=size)
    brightness = torch.linspace(0.3, 0.9, count).view(-1, 1, 1, 1)
    return blocks * brightness + 0.1 * torch.rand(count, 3, *size, generator=draw)


def array_split(count: int, *, classes: int = 4, side: int = 20, seed: int = 0) -> ArraySplit:
    """Noisy images whose class is a colour, in turn."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    colours = np.linspace(30, 220, classes).astype(np.int64)
    pixels = draw.integers(0, 30, (count, side, side, 3)) + colours[labels][:, None, None, None]
    return ArraySplit(pixels.astype(np.uint8), labels)


def retrieval_data(count: int = 24) -> RetrievalData:
    """A data set in memory."""
    return RetrievalData("in memory", array_split(count), array_split(8, seed=1), array_split(8, seed=2))


def listed_by(kinds: npt.NDArray[np.int64]) -> Listed:
    """Relevance out of a table [queries, gallery]: 1 is relevant, 2 is junk."""
    positives, junk = (Lists.of(np.flatnonzero(row == kind) for row in kinds) for kind in (1, 2))
    return Listed(positives, junk, kinds.shape[1])


def in_memory(embeddings: npt.NDArray[np.float32]) -> GalleryEntry:
    """The facts of a gallery that is whole and in memory."""
    return GalleryEntry(count=len(embeddings), dim=embeddings.shape[1], stored="float32", metric="cosine")


def tiny_recipe(**changed: object) -> Recipe:
    """Two epochs of two steps on a tiny ResNet."""
    fields: dict[str, object] = {
        "data": DataSource(source="in memory"),
        "preprocessing": Preprocessing(crop=16, resize=18),
        "backbone_options": dict(TINY_RESNET),
        "embedding_dim": 8,
        "capacities": (0.6, 0.3),
        "channel_multiple": 4,
        "epochs": 2,
        "batch_size": 12,
        "learning_rate": 0.05,
        "statistics_images": 24,
    }
    return Recipe(**{**fields, **changed})  # type: ignore[arg-type]  # msgspec checks them when it decodes


def write_folder(root: Path, *, per_class: int = 6, side: int = 24) -> Path:
    """``train``, ``query`` and ``gallery`` with two classes of PNG files each; those of ``train`` are others."""
    for seed, (split, count) in enumerate((("train", per_class), ("query", 1), ("gallery", 2))):
        pixels = array_split(2 * count, classes=2, side=side, seed=seed)
        for index, label in enumerate(pixels.labels):
            number = label + 2 if split == "train" else label
            file = root / split / f"class-{number}" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image: Image.Image = pixels.image(index)
            image.save(file)
    return root


def cut(network: PrunableNetwork, capacity: float, pattern: Pattern) -> Embedder:
    """The subnetwork at one (capacity, pattern) as a plain module, with the dense network's BatchNorm statistics."""
    [subnetwork] = pattern.subnetworks(network, [capacity])
    return materialise(network, subnetwork)
