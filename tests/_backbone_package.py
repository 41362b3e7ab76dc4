"""A package with backbones of its own, registered as an installed one is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._package import on_path

MODULE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)
        self.second = nn.Conv2d(2 * width, width, 1)

    def forward(self, x):
        return x + self.second(torch.relu(self.norm(self.first(x))))

def small(width: int = 16) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 4, stride=4), nn.BatchNorm2d(width), Block(width), Block(width))

def pooled(width: int = 16) -> nn.Module:
    return nn.Sequential(small(width), nn.AdaptiveAvgPool2d(1), nn.Flatten())

class Returns(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layer, self.change = nn.Conv2d(3, 4, 1), change

    def forward(self, x):
        return self.change(self.layer(x))

def no_module(): return "resnet18"
def two_outputs(): return Returns(lambda x: (x, x))
def tokens(): return Returns(lambda x: x.flatten(2))
def joined(): return Returns(lambda x: x.mean((0, 2, 3)).expand(1, 4))
def nan(): return Returns(lambda x: x * float("nan"))
def double(): return Returns(lambda x: x.double())
def fails(): raise OSError("weights.bin is not here")
def crashes(): return Returns(lambda x: x @ x.new_zeros(5, 5))
"""  # fmt: skip
FACTORIES = (
    "small", "pooled", "no_module", "two_outputs", "tokens", "joined", "nan", "double", "fails", "crashes",
)  # fmt: skip


NAMES = {f"our-{name.replace('_', '-')}": name for name in (*FACTORIES, "absent")}


@pytest.fixture
def our_backbones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the package, on the path of this process."""
    yield from on_path(tmp_path, monkeypatch, "backbones", MODULE, NAMES)
