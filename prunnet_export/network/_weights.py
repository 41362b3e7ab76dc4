"""Starting a backbone from weights that somebody trained before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export._text import first_of
from prunnet_export.network._embedder import Embedder
from prunnet_export.network._weights_file import read_weights
from prunnet_export.network._weights_match import Match, match_weights

_log = logging.getLogger(__name__)

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_KERNEL_RANK = 4
_MOST_LOGGED = 1000  # names of a file that does not fit; a hostile file can have any number
# The architectures that are compared with a file that does not fit, for the hint.
_COMMON = (
    "resnet18", "resnet34", "resnet50", "resnet101", "mobilenetv2_100", "mobilenetv3_small_100",
    "mobilenetv3_large_100", "efficientnet_b0", "tf_efficientnet_lite0", "regnety_004", "densenet121", "convnext_tiny",
    "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "swin_tiny_patch4_window7_224",
    "vit_small_patch14_dinov2", "vit_base_patch14_dinov2",
)  # fmt: skip


def load_weights(embedder: Embedder, file: Path) -> None:
    """Start the backbone of an embedder from a file of weights. The projector and the norm after it are left alone.

    The file is safetensors, or was written by ``torch.save``. It has the names of timm, of torchvision, of a run of
    this package, or of a library that lists the same tensors in the same order. Averaged weights are preferred to those
    that they are averages of. Heads are left out. Log lines say how the tensors were matched, and what was left out.

    Args:
        embedder: The embedder; its backbone is changed in place, completely or not at all.
        file: The file.

    Raises:
        InvalidInput: the file cannot be read or holds more than tensors, a tensor is missing, unexpected, of another
            shape, not of a floating-point type, or holds NaN or infinity.
    """
    tensors, backbone = read_weights(file), embedder.backbone
    match = match_weights(tensors, backbone)
    if not match.complete:
        raise _does_not_fit(file, match, tensors)
    prepared = {name: _prepared(name, tensor, file) for name, tensor in match.tensors.items()}
    backbone.load_state_dict({**backbone.state_dict(), **prepared})
    below = f", below {match.prefix}" if match.prefix else ""
    left_out = f"; left out: {first_of(list(match.left_out))}" if match.left_out else ""
    _log.info("%s: %d tensors matched %s%s%s", file, len(prepared), match.how, below, left_out)
    if match.averages_left is not None:
        _log.warning("%s: the averaged weights below %s do not fit, so others are taken", file, match.averages_left)
    _compare_standardisation(embedder)


def _prepared(name: str, tensor: Tensor, file: Path) -> Tensor:
    if tensor.dtype not in _DTYPES or tensor.layout != torch.strided or tensor.is_meta:
        kind = "has no values" if tensor.is_meta else f"is {tensor.dtype}, {tensor.layout}"
        raise InvalidInput(
            f"{file}: tensor {name!r} {kind}".replace("torch.", ""), hint="give dense tensors of float32 or float16"
        )
    single = tensor.to(torch.float32)
    if not bool(single.isfinite().all()):
        raise InvalidInput(
            f"{file}: tensor {name!r} holds NaN or infinity", hint="its training diverged; use an earlier checkpoint"
        )
    return single


def _does_not_fit(file: Path, match: Match, tensors: Mapping[str, Tensor]) -> InvalidInput:
    if not (match.missing or match.unexpected):
        [(name, (found, wanted)), *others] = match.other_shapes.items()
        if not others and len(found) == len(wanted) == _KERNEL_RANK and found[1] != wanted[1] == len("RGB"):
            return InvalidInput(
                f"{file}: the first convolution {name!r} reads {found[1]} channel(s), and images have 3",
                hint="sum or repeat its kernels to 3 channels first",
            )
        if all("pos" in name for name in match.other_shapes):
            return InvalidInput(
                f"{file}: {name!r} has shape {found}, expected {wanted}: it is of another image size",
                hint="give the size that the weights were trained at as --crop-px",
            )
    shapes = [f"{name} {found} instead of {wanted}" for name, (found, wanted) in match.other_shapes.items()]
    mismatches = [
        (kind, names)
        for kind, names in (
            ("tensor(s) missing", match.missing),
            ("unexpected", match.unexpected),
            ("of another shape", shapes),
        )
        if names
    ]
    for kind, names in mismatches:  # an error is one line, which has room for a few
        _log.info("%s: %d %s: %s", file, len(names), kind, first_of(names, _MOST_LOGGED))
    parts = [f"{len(names)} {kind} ({first_of(names)})" for kind, names in mismatches]
    fitting = _architectures_that_fit(tensors)
    hint = (
        f"the weights fit --backbone {', '.join(fitting)}"
        if fitting
        else "give the architecture of the weights as --backbone"
    )
    return InvalidInput(f"{file} does not fit the backbone: {', '.join(parts)}", hint=hint)


def _architectures_that_fit(tensors: Mapping[str, Tensor]) -> list[str]:
    """Those of the common architectures that a file fits."""
    import timm

    def fits(name: str) -> bool:
        with torch.device("meta"):  # so that no weight is drawn
            backbone: nn.Module = timm.create_model(name, num_classes=0)
        return match_weights(tensors, backbone).complete

    return [name for name in _COMMON if fits(name)]


def _compare_standardisation(embedder: Embedder) -> None:
    """Say so if timm's weights of the architecture expect another mean or std than the embedder applies."""
    config = getattr(embedder.backbone, "pretrained_cfg", None) or {}
    for name, applied in (("mean", embedder.mean), ("std", embedder.std)):
        usual = config.get(name)
        if usual is not None and not torch.allclose(torch.tensor(usual), applied.flatten(), atol=1e-3):
            numbers = ",".join(f"{number:g}" for number in usual)
            _log.info("timm's own weights of this architecture expect another %s: --%s %s", name, name, numbers)
