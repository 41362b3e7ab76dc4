"""Backbones under a name of their own: one of timm's architectures, and a change to it that no option makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Variant:
    """A changed architecture.

    Attributes:
        architecture: Its name in timm.
        change: Applied in place to the module that timm has built.
    """

    architecture: str
    change: Callable[[Any], None]


def _without_maxpool(resnet: Any) -> None:
    resnet.maxpool = nn.Identity()


# The release of PrunNet trained a ResNet-18 without the stem's max-pool: every stage sees twice the side, which is 6.9
# instead of 1.8 GMAC at 224 px.
VARIANTS: Mapping[str, Variant] = MappingProxyType({"resnet18-no-maxpool": Variant("resnet18", _without_maxpool)})
