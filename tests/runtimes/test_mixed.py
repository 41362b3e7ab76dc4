from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunnet_export.runtimes import CompileInputs, FloatLayers, Model, find_runtime, read_float_layers
from prunnet_export.runtimes import _mixed as mixed
from prunnet_export.runtimes._mixed import GOAL, choose_float_layers, quantise_mixed, worst_cosine
from prunnet_export.runtimes._quantise_onnx import OnnxQuantiser
from tests.runtimes._quantised import IMAGES, INPUTS, cut

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SAMPLES = [image[None] for image in IMAGES[:16]]


@pytest.fixture(scope="module")
def quantiser() -> OnnxQuantiser:
    return OnnxQuantiser(harmed(), SAMPLES, symmetric=False)


def harmed() -> Any:
    """A network with a convolution that 8 bits cannot hold: one of its inputs is 3,000 times larger than the others."""
    model = onnx.load_from_string(cut("channel", 0.4).content)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    first, second = [node for node in model.graph.node if node.op_type == "Conv"][1:3]
    for name in first.input[1:]:
        values = onnx.numpy_helper.to_array(tensors[name]).copy()
        values[0] = values[0] * 3000
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    values = onnx.numpy_helper.to_array(tensors[second.input[1]]).copy()
    values[:, 0] /= 3000
    tensors[second.input[1]].CopyFrom(onnx.numpy_helper.from_array(values, second.input[1]))
    return model


def test_nothing_stays_in_float_that_need_not(quantiser: OnnxQuantiser) -> None:
    assert choose_float_layers(lambda: quantiser, SAMPLES, lambda _: GOAL) == ([], FloatLayers())


@pytest.mark.parametrize("needed", [1, 2, 7, 22])
def test_the_fewest_that_reach_the_goal_stay_in_float(
    needed: int, quantiser: OnnxQuantiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed, "_RANKED_LAYERS", 0)  # in the order of the graph
    nodes, record = choose_float_layers(lambda: quantiser, SAMPLES, lambda nodes: 1.0 if len(nodes) >= needed else 0.0)
    assert len(nodes) == len(record.kept) == needed
    assert not record.harmful


def test_the_layers_that_harm_are_named_if_nothing_helps(quantiser: OnnxQuantiser) -> None:
    nodes, record = choose_float_layers(lambda: quantiser, SAMPLES, lambda _: 0.5)
    assert not nodes
    assert not record.kept
    assert len(record.harmful) == 5


def test_a_layer_that_8_bits_cannot_hold_is_ranked_first(quantiser: OnnxQuantiser) -> None:
    nodes, record = choose_float_layers(lambda: quantiser, SAMPLES, lambda nodes: 1.0 if nodes else 0.0)
    convolutions = [node for node in quantiser.prepared.graph.node if node.op_type == "Conv"]
    assert nodes == [convolutions[2].name]  # it reads what the scaled one gives
    assert record.kept == ("backbone.layer1.0.conv2",)


def test_ranking_ends_when_its_time_is_up(quantiser: OnnxQuantiser, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(nodes: Sequence[str]) -> None:
        raise AssertionError(nodes)

    monkeypatch.setattr(mixed, "_RANKED_S", -1.0)
    monkeypatch.setattr(mixed, "worst_cosine_onnx", lambda *_: never)
    _, record = choose_float_layers(lambda: quantiser, SAMPLES, lambda nodes: 1.0 if nodes else 0.0)
    assert len(record.kept) == 1


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "tensorrt"])
def test_a_compiled_model_keeps_its_embeddings(runtime: str, tmp_path: Path) -> None:
    if runtime == "openvino":
        pytest.importorskip("nncf")
    onnx.save(harmed(), tmp_path / "harmed.onnx")
    engine = find_runtime(runtime)
    names = engine.compile(tmp_path / "harmed.onnx", tmp_path, precision="int8", inputs=INPUTS)
    kept = read_float_layers(tmp_path).kept
    assert "backbone.layer1.0.conv2" in kept
    assert mixed.RECORD not in names
    model = Model(tmp_path / names[0], runtime, "int8")
    model = (engine.twin(model) or model) if runtime == "tensorrt" else model
    found = find_runtime(model.runtime).open(model, threads=1).run(IMAGES)
    assert worst_cosine(found, cut("channel", 0.4).embeddings()) > 0.99


def test_a_build_whose_latency_alone_counts_is_all_int8(tmp_path: Path) -> None:
    fast = CompileInputs(images=INPUTS.images, accurate=False)
    quantise_mixed(harmed(), fast, tmp_path, symmetric=False)
    assert read_float_layers(tmp_path) == FloatLayers()
    assert not list(tmp_path.iterdir())


def test_embeddings_that_are_not_finite_are_the_worst() -> None:
    exact = np.eye(2, dtype=np.float32)
    assert worst_cosine(exact, exact) == 1
    assert worst_cosine(exact, exact * np.float32("nan")) == -1
