from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor, nn

from prunnet_export.building import export_onnx
from prunnet_export.network_config import BackboneOption
from prunnet_export.runtimes._kinds import depthwise_with_silu, is_transformer, sums
from tests._inputs import prunable
from tests.runtimes._quantised import cut, transformer

onnx = pytest.importorskip("onnx")


class Gated(nn.Module):
    """A convolution whose channels are weighted by a softmax, without attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.conv(images).mean((2, 3))
        return found.softmax(1) * found


def test_attention_makes_a_transformer() -> None:
    model = onnx.load_from_string(transformer().content)
    kept = [node for node in model.graph.node if node.op_type != "LayerNormalization"]
    assert {"Softmax", "MatMul"} <= {node.op_type for node in kept}
    del model.graph.node[:]
    model.graph.node.extend(kept)
    assert is_transformer(model)


SMALL_CONVNEXT: dict[str, BackboneOption] = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}


def test_layer_norms_make_a_transformer(tmp_path: Path) -> None:
    export_onnx(prunable("convnext_atto", options=SMALL_CONVNEXT).embedder, tmp_path / "m.onnx", size=(64, 64))
    assert is_transformer(onnx.load(tmp_path / "m.onnx"))


def test_convolutional_networks_are_none(tmp_path: Path) -> None:
    assert not is_transformer(onnx.load_from_string(cut("channel", 0.4).content))
    export_onnx(Gated(), tmp_path / "m.onnx", size=(16, 16))
    model = onnx.load(tmp_path / "m.onnx")
    assert "Softmax" in {node.op_type for node in model.graph.node}
    assert not is_transformer(model)


@pytest.mark.parametrize(("activation", "expected"), [(nn.SiLU, ["Conv", "Mul", "Sigmoid"]), (nn.ReLU, [])])
def test_depthwise_layers_with_silu_are_found(activation: type[nn.Module], expected: list[str], tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 6, 1), activation(), nn.Conv2d(6, 6, 3, groups=6), activation(), nn.Conv2d(6, 4, 1)]
    export_onnx(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), tmp_path / "m.onnx", size=(16, 16))
    model = onnx.load(tmp_path / "m.onnx")
    found = depthwise_with_silu(model)
    nodes = [node for node in model.graph.node if node.name in found]
    assert sorted(node.op_type for node in nodes) == expected
    assert all(part.i == 6 for node in nodes for part in node.attribute if part.name == "group")


def test_sums_are_found() -> None:
    model = onnx.load_from_string(transformer().content)
    kinds = {node.name: node.op_type for node in model.graph.node}
    found = sums(model)
    assert {kinds[name] for name in found} == {"Add"}
    assert len(found) == [*kinds.values()].count("Add")
