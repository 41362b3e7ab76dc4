"""The names that other libraries give to the tensors of an architecture, turned into timm's."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor, nn

_Names = dict[str, Tensor]

# What trainers call averages of weights (EMA, SWA, and DINO's teacher, which is one): an entry of a checkpoint, or the
# start of each name. The first of them are timm's, torchvision's and ema-pytorch's.
AVERAGES = (
    "state_dict_ema", "model_ema", "ema_model", "ema_state_dict", "ema", "ema_model_state_dict",
    "model_ema_state_dict", "model_state_dict_ema", "params_ema", "ema_weights", "ema_net", "net_ema", "ema_network",
    "ema_backbone", "backbone_ema", "ema_encoder", "encoder_ema", "averaged_model", "swa_model", "swa_state_dict",
    "teacher", "teacher_model", "teacher_backbone",
)  # fmt: skip

# Modules of timm keep their converter of foreign checkpoints under one of these names; the first is the usual one.
_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
_POSITIONS = "pos"  # in the names of what timm resamples: pos_embed and relative_position_bias_table

# torchvision's transformers, whose tensors have another order than timm's. The rest of torchvision fits by name or by
# order. For Swin the names are those of its authors, which timm's converter reads.
_MLP = ((r"\.mlp\.(0|linear_1)\.", ".mlp.fc1."), (r"\.mlp\.(3|linear_2)\.", ".mlp.fc2."))
_VIT = (
    (r"^class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"^encoder\.ln\.", "norm."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    *_MLP,
)
_SWIN = (
    (r"^features\.0\.0\.", "patch_embed.proj."),
    (r"^features\.0\.2\.", "patch_embed.norm."),
    *((rf"^features\.{2 * stage + 1}\.", f"layers.{stage}.blocks.") for stage in range(4)),
    *((rf"^features\.{2 * stage + 2}\.", f"layers.{stage}.downsample.") for stage in range(3)),
    *_MLP,
)
_TORCHVISION = {"conv_proj.weight": _VIT, "features.1.0.attn.qkv.weight": _SWIN}


def readings(tensors: Mapping[str, Tensor], backbone: nn.Module) -> Iterator[tuple[str, _Names]]:
    """The tensors under the names that they may have in the backbone, and how the names were found.

    timm's converters also resample position embeddings to the backbone's number of patches.
    """
    yield "by name", dict(tensors)
    convert = _timm_filter(backbone)
    if convert is None:
        return
    for how, named in (("timm converted them", dict(tensors)), ("torchvision's names", _from_torchvision(tensors))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # timm's resampling calls torch in ways that torch warns about
                converted = convert(dict(named))
        except Exception:  # noqa: BLE001, S112  # converters rely on names that this file may not have
            continue
        resampled = any(
            _POSITIONS in name and named[name].shape != converted.get(name, named[name]).shape for name in named
        )
        yield f"by name ({how}{'; positions resampled' if resampled else ''})", converted


def _from_torchvision(tensors: Mapping[str, Tensor]) -> _Names:
    for anchor, rules in _TORCHVISION.items():
        if anchor in tensors:
            return {_renamed(name, rules): tensor for name, tensor in tensors.items()}
    return {}


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _timm_filter(backbone: nn.Module) -> Callable[[_Names], _Names] | None:
    """The converter of foreign checkpoints that timm has for an architecture, if there is one."""
    import timm

    config: Any = getattr(backbone, "pretrained_cfg", None)
    architecture = config.get("architecture") if isinstance(config, Mapping) else None
    if not architecture or not timm.is_model(architecture):
        return None
    module = sys.modules[timm.models.model_entrypoint(architecture).__module__]
    for name in _FILTERS:
        found = getattr(module, name, None)
        if found is not None:
            return partial(found, model=backbone) if "model" in signature(found).parameters else found
    return None
