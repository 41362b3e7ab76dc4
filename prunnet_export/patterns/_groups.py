"""Groups of channels that can only be dropped together, and the positions of each channel in every tensor.

torch-pruning traces the network once and finds the coupled channels: those of residual sums, depthwise convolutions,
norms, tokens and heads. This module makes index tables from its result, so that a cut needs no further trace.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from prunnet_export._errors import PrunnetError, UnsupportedPattern, is_out_of_memory
from prunnet_export._imports import require
from prunnet_export._text import one_line
from prunnet_export.network import Embedder

_HINT = "use --pattern unstructured"
_CUTTABLE = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.PReLU)


@dataclass(frozen=True)
class Axis:
    """The positions of a group's units along one axis of one tensor.

    Attributes:
        tensor: Name of the parameter or buffer in the embedder.
        dim: Number of the axis.
        positions: int64 [units, k], the k indices of each unit.
    """

    tensor: str
    dim: int
    positions: Tensor


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are kept or dropped together.

    Attributes:
        name: Name of the layer at which the trace of the group begins.
        units: Number of units. A unit is the smallest part that can be dropped alone.
        unit_width: Channels in a unit: 1, or those of one group of a grouped convolution, or of one head.
        axes: All axes that become shorter when a unit is dropped.
    """

    name: str
    units: int
    unit_width: int
    axes: tuple[Axis, ...]


def find_channel_groups(embedder: Embedder, *, size: tuple[int, int]) -> list[ChannelGroup]:
    """The groups of coupled channels of an embedder, in the order of its modules.

    A group with a layer that cannot be made narrower is left out, so it is never cut. ``size`` is the height and
    width of the input image in pixels.

    Raises:
        MissingExtra: torch-pruning is not installed.
        UnsupportedPattern: no channel can be cut, or torch-pruning cannot trace the network.
    """
    attentions = _attentions(embedder)
    own_handling = [attention.qkv for attention in attentions.values()]
    with _trace_errors(embedder):
        traced = _trace(embedder, size=size, ignored=[embedder.projector, embedder.norm, *own_handling])
    named: list[tuple[str, object]] = [*embedder.named_modules(), *embedder.named_parameters()]
    names = {id(thing): name for name, thing in named}
    groups = [group for items in traced if (group := _from_trace(items, names)) is not None]
    groups = _spread_merged_patches(groups, embedder)
    groups = _merge_grouped_convolutions(groups, embedder)
    groups += [_heads(name, attention) for name, attention in attentions.items()]
    order = {name: index for index, name in enumerate(dict(embedder.named_modules()))}
    groups.sort(key=lambda group: order[group.name])
    if not groups:
        raise UnsupportedPattern("no channel of this backbone can be cut", hint=_HINT)
    return groups


@contextmanager
def _trace_errors(embedder: Embedder) -> Iterator[None]:
    """Turn an error of torch-pruning, which does not know every operation, into an UnsupportedPattern."""
    try:
        yield
    except PrunnetError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        backbone = type(embedder.backbone).__name__
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UnsupportedPattern(f"the channels of {backbone} cannot be traced: {reason}", hint=_HINT) from error


def _trace(embedder: Embedder, *, size: tuple[int, int], ignored: list[Any]) -> list[list[Any]]:
    """The groups that torch-pruning finds, without those that begin at an ignored layer."""
    torch_pruning = require("torch_pruning", extra="train")
    training = embedder.training
    embedder.eval()
    device = next(embedder.parameters()).device
    # The trace needs autograd's graph, even if the caller has disabled gradients.
    with warnings.catch_warnings(), torch.inference_mode(mode=False), torch.enable_grad():
        # The warning names class and position tokens; pruning these along their last axis is right.
        warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
        warnings.filterwarnings("ignore", message="Maximum recursive depth reached")  # an error follows
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(
                embedder,
                example_inputs=torch.zeros(1, 3, *size, device=device),
                # Without this function torch-pruning tries two ways to call the module, and its bare `except` would
                # swallow a Ctrl-C in the first.
                forward_fn=lambda module, inputs: module(inputs),
                verbose=False,
            )
        finally:
            embedder.train(training)
    groups = graph.get_all_groups(ignored_layers=ignored, root_module_types=(nn.Conv2d, nn.Linear))
    return [list(group) for group in groups]


def _from_trace(items: list[Any], names: dict[int, str]) -> ChannelGroup | None:
    """Convert one traced group; None if a member cannot be made narrower."""
    root = items[0]
    units = len(root.idxs)
    axes: dict[tuple[str, int], Axis] = {}
    for item in items:
        module = item.dep.target.module
        name = names.get(id(module))
        if name is None:  # the item is an operation without tensors: a sum, a concatenation, a reshape
            continue
        if isinstance(module, nn.Parameter):
            tensors = [(name, max(d for d in range(module.ndim) if module.shape[d] > 1))]
        elif isinstance(module, _CUTTABLE):
            into = "in_channels" in item.dep.handler.__name__
            tensors = _tensors_of(module, name, into=into)
        else:
            return None
        positions = _positions(item.idxs, item.root_idxs, units)
        if positions is None:
            return None
        for tensor, dim in tensors:
            axes[tensor, dim] = Axis(tensor, dim, positions)
    return ChannelGroup(names[id(root.dep.target.module)], units, 1, tuple(axes.values()))


def _tensors_of(module: nn.Module, name: str, *, into: bool) -> list[tuple[str, int]]:
    """The tensors of a module that have an axis of its output channels (``into``: input channels), and that axis."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.out_channels > 1
        if into and not depthwise:
            return [(f"{name}.weight", 1)]
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [(f"{name}.{tensor}", 0) for tensor, value in own if value.ndim > 0]


def _positions(indices: list[int], root_indices: list[int] | None, units: int) -> Tensor | None:
    """int64 [units, k]: the positions of each root channel; None if their numbers differ."""
    index, root = torch.tensor(indices), torch.tensor(indices if root_indices is None else root_indices)
    if len(index) % units or not torch.equal(root.bincount(minlength=units), torch.full((units,), len(index) // units)):
        return None
    return index[root.argsort(stable=True)].reshape(units, -1)


def _spread_merged_patches(groups: list[ChannelGroup], embedder: nn.Module) -> list[ChannelGroup]:
    """The groups with all positions of their channels in the layers where Swin merges patches.

    Such a layer concatenates the channels of four neighbouring patches. The trace finds only those of the first patch.
    """
    from timm.models.swin_transformer import PatchMerging

    mergings = [name for name, module in embedder.named_modules() if isinstance(module, PatchMerging)]
    axes = (("norm.weight", 0), ("norm.bias", 0), ("reduction.weight", 1))
    merged = {(f"{name}.{tensor}", dim) for name in mergings for tensor, dim in axes}

    def spread(axis: Axis) -> Axis:
        if (axis.tensor, axis.dim) not in merged:
            return axis
        offsets = axis.positions.numel() * torch.arange(4)
        return replace(axis, positions=(axis.positions[:, None] + offsets[:, None]).flatten(1))

    return [replace(group, axes=tuple(spread(axis) for axis in group.axes)) for group in groups]


def _attentions(embedder: nn.Module) -> dict[str, nn.Module]:
    from timm.layers.attention import Attention
    from timm.models.swin_transformer import WindowAttention

    return {
        name: module
        for name, module in embedder.named_modules()
        if (
            type(module) is Attention and getattr(module, "gate", None) is None and isinstance(module.norm, nn.Identity)
        )
        or type(module) is WindowAttention
    }


def _heads(name: str, attention: Any) -> ChannelGroup:
    """The heads of a self-attention: rows of q, k and v, columns of the output projection, and a bias for each head."""
    heads = attention.num_heads
    width = attention.proj.in_features // heads
    channels = torch.arange(heads * width).reshape(heads, width)
    stacked = torch.cat([channels + part * heads * width for part in range(3)], dim=1)  # rows of q, then k, then v
    axes = [Axis(f"{name}.qkv.weight", 0, stacked), Axis(f"{name}.proj.weight", 1, channels)]
    if attention.qkv.bias is not None:
        axes.append(Axis(f"{name}.qkv.bias", 0, stacked))
    if hasattr(attention, "relative_position_bias_table"):
        axes.append(Axis(f"{name}.relative_position_bias_table", 1, torch.arange(heads)[:, None]))
    return ChannelGroup(name, heads, width, tuple(axes))


def _merge_grouped_convolutions(groups: list[ChannelGroup], embedder: nn.Module) -> list[ChannelGroup]:
    """Couple the inputs and outputs of each grouped convolution. One group of the convolution becomes one unit."""
    modules = dict(embedder.named_modules())
    for name, module in modules.items():
        if not isinstance(module, nn.Conv2d) or module.groups in (1, module.out_channels):
            continue
        touching = [group for group in groups if any(axis.tensor == f"{name}.weight" for axis in group.axes)]
        groups = [group for group in groups if group not in touching]
        coarse = [_coarsened(group, module.groups) for group in touching]
        sides = [[axis.dim for axis in group.axes if axis.tensor == f"{name}.weight"] for group in touching]
        if len(coarse) == 1 and coarse[0] is not None and set(sides[0]) == {0, 1}:
            groups.append(coarse[0])
        elif all(coarse) and {side[0] for side in sides} == {0, 1}:
            axes = [axis for group in coarse if group for axis in group.axes]
            # A grouped convolution's weight has no axis over all inputs; dropping outputs drops their inputs too.
            axes = [axis for axis in axes if (axis.tensor, axis.dim) != (f"{name}.weight", 1)]
            widest = max(group.unit_width for group in coarse if group)
            groups.append(ChannelGroup(name, module.groups, widest, tuple(axes)))
        # Otherwise the channels of this layer are never cut.
    return groups


def _coarsened(group: ChannelGroup, units: int) -> ChannelGroup | None:
    """The group with ``units`` larger units, each of neighbouring old ones; None if these do not divide evenly."""
    if group.units % units:
        return None
    axes = tuple(Axis(a.tensor, a.dim, a.positions.reshape(units, -1)) for a in group.axes)
    return ChannelGroup(group.name, units, group.unit_width * group.units // units, axes)
