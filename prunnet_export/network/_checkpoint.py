"""Checkpoints: ``network.safetensors`` and a readable ``config.json``. Loading one executes no code from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._imports import require
from prunnet_export._limits import WEIGHTS_BYTES
from prunnet_export.network._building import limited_building
from prunnet_export.network._embedder import build_embedder
from prunnet_export.network._prunable import PrunableNetwork, ranks_in
from prunnet_export.network._weights_file import read_safetensors
from prunnet_export.network_config import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    BackboneOption,
    DataSource,
    NetworkConfig,
    TeacherEntry,
    read_config,
)
from prunnet_export.preprocessing import Preprocessing


@dataclass(frozen=True)
class Checkpoint:
    """A prunable network with its configuration.

    Attributes:
        network: The network, in evaluation mode.
        config: The content of ``config.json``.
        extra: Tensors that are not the network's, e.g. those of a classifier.
        folder: The folder that it was read from.
    """

    network: PrunableNetwork
    config: NetworkConfig
    extra: dict[str, Tensor]
    folder: Path


def save_checkpoint(
    folder: Path,
    network: PrunableNetwork,
    *,
    backbone: str,
    backbone_options: Mapping[str, BackboneOption],
    preprocessing: Preprocessing,
    data: DataSource | None,
    training: Mapping[str, bool | int | float | str | list[float | str]],
    teacher: TeacherEntry | None = None,
    extra: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
) -> NetworkConfig:
    """Write a network into a folder. Each file is replaced atomically, the configuration last.

    Args:
        folder: The folder; it is created if it does not exist.
        network: The network.
        backbone: The name of the backbone, as :func:`build_embedder` takes it.
        backbone_options: The keyword arguments of the backbone.
        preprocessing: How an image becomes an input.
        data: The data set of the training.
        training: Facts about the training, for readers of the file.
        teacher: The teacher, if the network answers a gallery that it did not make.
        extra: More tensors to store.
        dtype: Floating-point type on disk.

    Raises:
        InvalidInput: a tensor holds NaN or infinity, or values that are too large for ``dtype``.
        StorageError: the folder cannot be written.
    """
    safetensors = require("safetensors.torch", extra="train")
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"extra.{name}": tensor for name, tensor in (extra or {}).items()}
    stored = {
        name: tensor.detach().cpu().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in tensors.items()
    }
    _check_finite(tensors, folder / WEIGHTS_FILE)
    for name, tensor in stored.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InvalidInput(f"tensor {name!r} is too large for {dtype}", hint="store the checkpoint in float32")
    weights: bytes = safetensors.save(stored)
    config = NetworkConfig(
        backbone=backbone,
        backbone_options=dict(backbone_options),
        embedding_dim=network.embedder.projector.out_features,
        preprocessing=preprocessing,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        data=data,
        training=dict(training),
        teacher=teacher,
    )
    replace_file(folder / WEIGHTS_FILE, weights)
    replace_file(folder / CONFIG_FILE, msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
    return config


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the network in a folder, in evaluation mode, float32.

    Raises:
        InvalidInput: a file is missing, truncated, of another kind, or holds NaN or infinite weights.
        UnknownName: there is no such backbone; the package that brings it may not be installed.
    """
    require("safetensors.torch", extra="train")
    config = read_config(folder)
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        raise InvalidInput(f"{folder} holds no network: {WEIGHTS_FILE} is missing", hint="copy the whole folder")
    raw = read_bytes(file, at_most=WEIGHTS_BYTES)
    if hashlib.sha256(raw).hexdigest() != config.weights_sha256:
        raise InvalidInput(
            f"{file} is not the file that {CONFIG_FILE} describes (sha256 differs)",
            hint="it is truncated or from another network; copy the whole folder again",
        )
    stored = read_safetensors(raw, file, hint="copy the whole folder again")
    _check_finite(stored, file)
    try:
        with limited_building(numbers=2 * sum(tensor.numel() for tensor in stored.values())):
            embedder = build_embedder(
                config.backbone,
                dim=config.embedding_dim,
                preprocessing=config.preprocessing,
                options=config.backbone_options,
            )
    except UnknownName as error:
        error.hint = (
            f"install the package that registers {config.backbone!r} under prunnet_export.backbones, or timm anew"
        )
        raise
    network = PrunableNetwork(embedder, size=config.preprocessing.size)
    _load_weights(network, {n.removeprefix("network."): t for n, t in stored.items() if n.startswith("network.")}, file)
    extra = {name.removeprefix("extra."): tensor for name, tensor in stored.items() if name.startswith("extra.")}
    return Checkpoint(network.eval(), config, extra, folder)


def _check_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InvalidInput(
                f"{file}: tensor {name!r} holds NaN or infinity", hint="the training diverged; use an earlier run"
            )


def _load_weights(network: PrunableNetwork, stored: Mapping[str, Tensor], file: Path) -> None:
    network.set_unit_ranks(ranks_in(stored))
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in stored:
            raise InvalidInput(f"{file}: tensor {name!r} is missing", hint="the file is of another backbone")
        if stored[name].shape != tensor.shape:
            raise InvalidInput(
                f"{file}: tensor {name!r} has shape {tuple(stored[name].shape)}, expected {tuple(tensor.shape)}",
                hint="the file is of another backbone",
            )
    surplus = sorted(stored.keys() - expected.keys())
    if surplus:
        raise InvalidInput(f"{file}: unexpected tensor {surplus[0]!r}", hint="the file is of another backbone")
    network.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in stored.items()})
