"""Small cut networks with real zeros, and what converters that begin at torch are given of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from prunnet_export.building import export_onnx
from prunnet_export.network import Embedder, Normalised, PrunableNetwork
from prunnet_export.network_config import BackboneOption
from prunnet_export.patterns import Subnetwork, find_pattern, materialise
from prunnet_export.runtimes import Batch, CompileInputs
from tests._inputs import TINY_RESNET, images, prunable

CROP, DIM = 32, 16


@cache
def network() -> PrunableNetwork:
    """A ResNet-10 with 8 to 32 channels, whose rounding errors stay small."""
    options: dict[str, BackboneOption] = {**TINY_RESNET, "layers": [1, 1, 1, 1]}
    return prunable("resnet18", crop=CROP, dim=DIM, options=options, gain=2**0.5)


@cache
def subnetwork(pattern: str = "unstructured", capacity: float = 0.4) -> Subnetwork:
    """The network, cut."""
    [found] = find_pattern(pattern).subnetworks(network(), [capacity])
    return found


@cache
def embedder(pattern: str = "unstructured", capacity: float = 0.4) -> Embedder:
    """The subnetwork as a module. Nobody changes it."""
    return materialise(network(), subnetwork(pattern, capacity))


def inputs(count: int = 40) -> Batch:
    """float32 [count, 3, 32, 32] in 0..1."""
    return images(count, CROP).clamp(0, 1).numpy()


def in_torch(module: Embedder, batch: Batch) -> Batch:
    """What the subnetwork makes of a batch."""
    with torch.no_grad():
        vectors: Batch = Normalised(module).eval()(torch.from_numpy(batch)).numpy()
    return vectors


def compile_inputs(module: Embedder, **options: str) -> CompileInputs:
    """What compiling may ask for."""
    return CompileInputs(images=lambda: [inputs()], module=lambda: Normalised(module).eval(), options=options)


def write_onnx(folder: Path, module: Embedder) -> Path:
    """The ONNX file that compiling begins with."""
    file = folder / "subnetwork.onnx"
    export_onnx(module, file, size=(CROP, CROP))
    return file


def masks(pattern: str, capacity: float) -> list[np.ndarray]:
    """Which weights stay, of each layer with zeros."""
    return [mask.numpy() for mask in subnetwork(pattern, capacity).masks().values() if not bool(mask.all())]
