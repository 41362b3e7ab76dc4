"""Backbones and files of weights, and what loading one into the other has to leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput
from prunnet_export.network import Embedder, build_embedder, load_weights
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_one_line, assert_same_tensors
from tests._inputs import TINY_RESNET, randomise

Named = dict[str, Tensor]
Options = dict[str, Any]


def embedder(backbone: str = "resnet18", options: Options | None = None, *, crop: int = 32) -> Embedder:
    if options is None:
        options = dict(TINY_RESNET) if backbone == "resnet18" else {}
    torch.manual_seed(0)
    made = build_embedder(backbone, dim=8, preprocessing=Preprocessing(crop=crop, resize=crop), options=options)
    return made.eval()


def trained(backbone: str = "resnet18", options: Options | None = None) -> Named:
    """The state of a backbone whose tensors are all away from their initial values, with a head of 5 classes."""
    if options is None:
        options = dict(TINY_RESNET) if backbone == "resnet18" else {}
    module = timm.create_model(backbone, num_classes=5, **options)
    randomise(module, seed=1, gain=2**0.5)
    return dict(module.state_dict())


def saved(tmp_path: Path, tensors: object) -> Path:
    torch.save(tensors, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def learned(tensors: Named) -> Named:
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def assert_loaded(whole: Embedder, source: Named) -> None:
    """The backbone holds the source's tensors to the last bit, and heads are left out."""
    actual = learned(dict(whole.backbone.state_dict()))
    assert_same_tensors(actual, {name: source[name] for name in actual})


def assert_refused(whole: Embedder, file: Path, match: str) -> InvalidInput:
    """A refusal in one line, after which nothing has changed."""
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    with pytest.raises(InvalidInput, match=match) as raised:
        load_weights(whole, file)
    assert_one_line(raised.value)
    assert str(file) in raised.value.message
    assert_same_tensors(whole.state_dict(), before)
    return raised.value
