"""Smaller copies of an embedder: modules with the shapes of a cut, but without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from prunnet_export.network import Embedder


def shrink(embedder: Embedder, shapes: Mapping[str, tuple[int, ...]]) -> Embedder:
    """A copy of the embedder in which the named tensors have these shapes and undefined values."""
    memo: dict[int, object] = {}
    for name, tensor in [*embedder.named_parameters(), *embedder.named_buffers()]:
        # deepcopy takes these tensors from the memo, so it never copies them at the dense size.
        if name in shapes:
            small = torch.empty(shapes[name], dtype=tensor.dtype, device=tensor.device)
            memo[id(tensor)] = nn.Parameter(small) if isinstance(tensor, nn.Parameter) else small
    copy = deepcopy(embedder, memo)
    # Children first, because an attention reads the new width of its projection.
    for module in reversed(list(copy.modules())):
        _update_attributes(module)
    return copy


def _update_attributes(module: nn.Module) -> None:
    """Set the attributes of a module that depend on the shapes of its tensors."""
    if isinstance(module, nn.Conv2d):
        outputs, inputs_per_group = module.weight.shape[:2]
        if module.groups > 1:
            module.groups = outputs * module.groups // module.out_channels
        module.out_channels, module.in_channels = outputs, inputs_per_group * module.groups
    elif hasattr(module, "conv_kxk") and hasattr(module, "groups"):
        block: Any = module  # timm's MobileOneBlock, which reads it when its branches are fused
        block.groups = _convolution(block.conv_kxk).groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.num_features = _length(module.running_mean, module.weight, default=module.num_features)
    elif isinstance(module, nn.LayerNorm) and module.elementwise_affine:
        module.normalized_shape = tuple(module.weight.shape)
    elif hasattr(module, "qkv") and hasattr(module, "attn_dim"):
        attention: Any = module  # timm's Attention
        attention.attn_dim = attention.proj.in_features
        attention.num_heads = attention.attn_dim // attention.head_dim
    elif hasattr(module, "qkv") and hasattr(module, "relative_position_bias_table"):
        window: Any = module  # Swin's WindowAttention
        window.num_heads = window.relative_position_bias_table.shape[1]


def _convolution(module: nn.Module) -> nn.Conv2d:
    return next(part for part in module.modules() if isinstance(part, nn.Conv2d))


def _length(*tensors: Tensor | None, default: int) -> int:
    return next((len(tensor) for tensor in tensors if tensor is not None), default)
