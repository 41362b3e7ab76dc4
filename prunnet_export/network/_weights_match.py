"""Which tensor of a file belongs to which tensor of a backbone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise

from torch import Tensor, nn

from prunnet_export.network._weights_names import AVERAGES, readings

_AVERAGES = tuple(f"{name}." for name in AVERAGES)
# What trainers, wrappers and larger models put before the names of a backbone.
_PREFIXES = (
    *_AVERAGES,
    "module.", "model.", "backbone.", "encoder.", "_orig_mod.", "visual.", "trunk.", "base_model.",
    "network.", "embedder.", "state_dict.", "online_model.", "student.",
)  # fmt: skip
_LONGEST = 100  # characters of nested prefixes; names in a hostile file may have any length
_MOST_VIEWS = 100  # a hostile file can have any number of nestings
_HEAD = re.compile(
    r"^(_fc|fc|classifier|head|heads|head_dist|last_linear|logits|projection|projector|mlp_head|linear_head"
    r"|projection_head|contrastive_head|dino_head|ibot_head)(\.|$)"
)
# A tensor with one of these names can only stand for one of the same name.
_KINDS = frozenset({"weight", "bias", "running_mean", "running_var"})


@dataclass(frozen=True)
class Match:
    """How the tensors of a file fit a backbone.

    Attributes:
        how: How the names were matched.
        prefix: What the names of the file that fit begin with, e.g. ``ema_model.module.``.
        averages_left: What the names of averaged weights begin with, if the file has some that do not fit.
        tensors: The tensors that fit, by their name in the backbone, of its shapes.
        missing: Names of the backbone that have no tensor.
        unexpected: Names of the file that the backbone does not have, heads aside.
        other_shapes: Shape in the file and shape in the backbone, of those that differ, by the backbone's name.
        left_out: Names of the file that no backbone needs: heads, and what lies outside of the backbone.
    """

    how: str
    tensors: dict[str, Tensor]
    prefix: str = ""
    averages_left: str | None = None
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    other_shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every tensor of the backbone has one, and no other is left."""
        return not (self.missing or self.unexpected or self.other_shapes)


def match_weights(tensors: Mapping[str, Tensor], backbone: nn.Module) -> Match:
    """The first complete match of a file's tensors, else the one in which most tensors fit.

    Names are tried first: as they are, without prefixes, and as timm converts them. If no names fit, the order does,
    if every tensor has the same kind and shape as the one at its place. Averaged weights are tried before those that
    they are averages of. Integers, such as counts of batches, are computed and not learned, so they are ignored.
    """
    expected = {name: tensor for name, tensor in backbone.state_dict().items() if tensor.is_floating_point()}
    best = Match("by name", {}, missing=list(expected), unexpected=list(tensors))
    views = sorted(islice(_views(tensors), _MOST_VIEWS), key=lambda view: not _is_averaged(view[0]))
    for prefix, inside in views:
        outside = [name for name in tensors if not name.startswith(prefix)]
        for how, named in readings(inside, backbone):
            match = _by_name(how, named, expected, outside)
            if match.complete:
                return _chosen(match, prefix, views)
            best = max(best, match, key=lambda one: (len(one.tensors), -len(one.unexpected)))
    for prefix, inside in views:
        paired = _by_order(inside, expected, [name for name in tensors if not name.startswith(prefix)])
        if paired is not None:
            return _chosen(paired, prefix, views)
    return best


def _is_averaged(prefix: str) -> bool:
    return any(f"{part}." in _AVERAGES for part in prefix.split("."))


def _chosen(match: Match, prefix: str, views: Sequence[tuple[str, Mapping[str, Tensor]]]) -> Match:
    passed_over = None if _is_averaged(prefix) else next((one for one, _ in views if _is_averaged(one)), None)
    return replace(match, prefix=prefix, averages_left=passed_over)


def _is_learned(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized


def _views(tensors: Mapping[str, Tensor], prefix: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The tensors, and those below each nesting of prefixes without it; the prefix comes first."""
    yield prefix, dict(tensors)
    for more in _PREFIXES if len(prefix) < _LONGEST else ():
        inside = {name.removeprefix(more): tensor for name, tensor in tensors.items() if name.startswith(more)}
        if inside:
            yield from _views(inside, prefix + more)


def _by_name(how: str, named: Mapping[str, Tensor], expected: Mapping[str, Tensor], outside: list[str]) -> Match:
    surplus = [name for name, tensor in named.items() if name not in expected and _is_learned(tensor)]
    heads = [name for name in surplus if _HEAD.match(name)]
    shapes = {name: (tuple(named[name].shape), tuple(expected[name].shape)) for name in expected if name in named}
    return Match(
        how,
        {name: named[name] for name, (found, wanted) in shapes.items() if found == wanted},
        missing=[name for name in expected if name not in named],
        unexpected=[name for name in surplus if name not in heads],
        other_shapes={name: both for name, both in shapes.items() if both[0] != both[1]},
        left_out=[*heads, *outside],
    )


def _by_order(named: Mapping[str, Tensor], expected: Mapping[str, Tensor], outside: list[str]) -> Match | None:
    """The match of tensors one by one, if each two have the same kind and shape; else None.

    Axes of length 1 do not count, because libraries write 1 x 1 convolutions and linear layers differently. After the
    last one only heads may follow. Modules must begin and end at the same places.
    """
    wanted, names = list(expected), [name for name, tensor in named.items() if _is_learned(tensor)]
    used, rest = names[: len(wanted)], names[len(wanted) :]
    if len(used) < len(wanted) or not all(map(_HEAD.match, rest)) or _module_ends(used) != _module_ends(wanted):
        return None
    pairs = list(zip(used, wanted, strict=True))
    if not all(_alike(one, named[one], other, expected[other]) for one, other in pairs):
        return None
    tensors = {other: named[one].reshape(expected[other].shape) for one, other in pairs}
    return Match("by their order, because the names differ", tensors, left_out=[*rest, *outside])


def _alike(name: str, tensor: Tensor, wanted: str, expected: Tensor) -> bool:
    kinds = {leaf if leaf in _KINDS else "" for leaf in (name.rpartition(".")[2], wanted.rpartition(".")[2])}
    return len(kinds) == 1 and _long_axes(tensor) == _long_axes(expected)


def _long_axes(tensor: Tensor) -> list[int]:
    return [length for length in tensor.shape if length > 1]


def _module_ends(names: list[str]) -> list[bool]:
    return [one.rpartition(".")[0] != other.rpartition(".")[0] for one, other in pairwise(names)]
