from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import nn

from prunnet_export.network import Embedder, fused
from prunnet_export.network_config import BackboneOption
from tests._inputs import images, prunable, tiny_resnet

CROP = 32
# Small variants, with the same kinds of blocks.
SMALL: dict[str, dict[str, BackboneOption]] = {
    "mobileone_s0": {},
    "repvit_m0_9": {"embed_dim": [16, 16, 24, 32], "depth": [1, 1, 1, 1]},
    "fastvit_t8": {"layers": [1, 1, 1, 1]},
}


def network(name: str) -> Embedder:
    return prunable(name, crop=CROP, options=SMALL.get(name), gain=2**0.5).embedder


def count(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(part, kind) for part in module.modules())


@pytest.mark.parametrize("name", SMALL)
def test_fused_branches_compute_the_same_with_fewer_layers(name: str) -> None:
    before = network(name)
    after = fused(before, size=(CROP, CROP))
    assert after is not before
    assert count(after.backbone, nn.Conv2d) < count(before.backbone, nn.Conv2d)
    assert count(after.backbone, nn.BatchNorm2d) < count(before.backbone, nn.BatchNorm2d)
    with torch.no_grad():
        torch.testing.assert_close(after(images(4, CROP)), before(images(4, CROP)), rtol=1e-2, atol=1e-2)


def test_golden_numbers_of_layers() -> None:
    before = network("repvgg_a0")
    after = fused(before, size=(CROP, CROP))
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    assert [count(before.backbone, kind) for kind in kinds] == [44, 61]
    assert [count(after.backbone, kind) for kind in kinds] == [22, 0]


def test_a_network_without_branches_is_returned_as_it_is() -> None:
    embedder = tiny_resnet().embedder
    assert fused(embedder, size=(32, 32)) is embedder


def wrong(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def broken(_model: nn.Module) -> nn.Module:
    raise ZeroDivisionError("no group")


@pytest.mark.parametrize(("fuse", "said"), [(wrong, "worst cosine"), (broken, "no group")])
def test_a_copy_that_is_not_the_same_is_not_used(
    fuse: Any, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("timm.utils.model.reparameterize_model", fuse)
    embedder = network("repvit_m0_9")
    expected = {name: tensor.clone() for name, tensor in embedder.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        assert fused(embedder, size=(CROP, CROP)) is embedder
    assert said in caplog.text
    assert all(torch.equal(tensor, expected[name]) for name, tensor in embedder.state_dict().items())
