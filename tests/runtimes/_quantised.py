"""Cuts of a tiny ResNet as ONNX, and images to quantise them with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prunnet_export.building import export_onnx
from prunnet_export.network import Normalised, PrunableNetwork
from prunnet_export.network_config import BackboneOption
from prunnet_export.patterns import Subnetwork, find_pattern, materialise
from prunnet_export.runtimes import Batch, CompileInputs
from tests._inputs import images, prunable

CROP = 32
IMAGES: Batch = images(64, CROP).numpy()
INPUTS = CompileInputs(images=lambda: np.split(IMAGES, 4))


@dataclass(frozen=True)
class Cut:
    """A cut network in torch and as the bytes of an ONNX file."""

    subnetwork: Subnetwork
    module: nn.Module
    content: bytes

    def write(self, folder: Path) -> Path:
        file = folder / "subnetwork.onnx"
        file.write_bytes(self.content)
        return file

    def embeddings(self) -> Batch:
        with torch.inference_mode():
            found: Batch = Normalised(self.module).eval()(torch.from_numpy(IMAGES)).numpy()
        return found

    def weights(self) -> list[npt.NDArray[np.float32]]:
        return [tensor.numpy() for tensor in self.module.state_dict().values() if tensor.ndim > 1]


@cache
def transformer() -> Cut:
    """A small ViT."""
    options: dict[str, BackboneOption] = {"depth": 2, "embed_dim": 48, "num_heads": 3, "patch_size": 8}
    network = prunable("vit_tiny_patch16_224", crop=CROP, dim=16, options=options)
    [dense] = find_pattern("channel").subnetworks(network, [1.0])
    return _exported(network, dense)


@cache
def cut(pattern: str, capacity: float) -> Cut:
    network = prunable("resnet18", crop=CROP, dim=16, options={"channels": [16, 16, 24, 32]}, gain=2**0.5)
    [subnetwork] = find_pattern(pattern).subnetworks(network, [capacity])
    return _exported(network, subnetwork)


def _exported(network: PrunableNetwork, subnetwork: Subnetwork) -> Cut:
    module = materialise(network, subnetwork)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "subnetwork.onnx"
        export_onnx(module, file, size=(CROP, CROP))
        return Cut(subnetwork, module, file.read_bytes())
