from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.building import export_onnx
from prunnet_export.runtimes import CompileInputs, Model
from prunnet_export.runtimes._quantise_onnx import OnnxQuantiser, quantise_onnx
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from tests._tools import needs_vnni
from tests.runtimes._quantised import IMAGES, INPUTS, cut, transformer

onnx = pytest.importorskip("onnx")
engine = pytest.importorskip("onnxruntime")

SAMPLES = [image[None] for image in IMAGES]
CONVOLUTIONS, SUMS = 21, 8
SMALL = np.random.default_rng(1).random((16, 3, 16, 16), np.float32)


def quantised(*, symmetric: bool = False) -> Any:
    return quantise_onnx(onnx.load_from_string(cut("channel", 0.4).content), SAMPLES, symmetric=symmetric)


def constants(model: Any) -> dict[str, npt.NDArray[Any]]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def with_weights(file: Path, weights: npt.NDArray[np.float32]) -> Any:
    """The tiny model with other convolution weights."""
    model = onnx.load(file)
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == "conv.weight"]
    tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
    return model


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), kept=st.floats(0.1, 1), symmetric=st.booleans())
def test_weights_are_rounded_to_127_steps_of_their_channel_and_zeros_stay(
    tiny_model: Callable[..., Path], seed: int, kept: float, *, symmetric: bool
) -> None:
    draw = np.random.default_rng(seed)
    weights = draw.normal(size=(8, 3, 3, 3)) * (draw.random((8, 3, 3, 3)) < kept) * 10.0 ** draw.integers(-2, 2, 8)[0]
    weights[:, 0, 0, 0] = 1  # a channel of zeros alone has no scale to speak of
    weights = weights.astype(np.float32)
    samples = [image[None] for image in SMALL]
    found = constants(quantise_onnx(with_weights(tiny_model(), weights), samples, symmetric=symmetric))
    steps, scale = found["conv.weight_quantized"], found["conv.weight_scale"]
    assert steps.dtype == np.int8
    assert not found["conv.weight_zero_point"].any()
    np.testing.assert_allclose(scale, np.abs(weights).max(axis=(1, 2, 3)) / 127, rtol=1e-5)
    assert not steps[weights == 0].any()
    rounded = steps * scale[:, None, None, None]
    assert (np.abs(rounded - weights) <= 0.5001 * scale[:, None, None, None]).all()


def test_golden_range_of_an_activation(tiny_model: Callable[..., Path]) -> None:
    # The first kernel's middle passes red through, so that the largest activation is the largest red, 0.75.
    weights = np.zeros((8, 3, 3, 3), np.float32)
    weights[:, 0, 1, 1] = 1
    samples = [np.full((1, 3, 16, 16), value, np.float32) for value in (0.25, 0.75, 0.5)]
    found = constants(quantise_onnx(with_weights(tiny_model(), weights), samples, symmetric=False))
    assert found["images_scale"] == pytest.approx(0.75 / 255)
    assert found["r_scale"] == pytest.approx(0.75 / 255)
    assert found["images_zero_point"] == 0
    assert found["images_zero_point"].dtype == np.uint8
    found = constants(quantise_onnx(with_weights(tiny_model(), weights), samples, symmetric=True))
    assert found["images_scale"] == pytest.approx(0.75 / 127.5, rel=1e-2)
    assert found["images_zero_point"].dtype == np.int8


def test_between_the_layers_onnxruntime_leaves_no_float(tmp_path: Path) -> None:
    file = tmp_path / "fused.onnx"
    options = engine.SessionOptions()
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 4
    engine.InferenceSession(quantised().SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(file).graph.node]
    assert not {"Conv", "FusedConv", "Add", "Relu", "Clip", "MaxPool", "Gemm"} & set(kinds[: kinds.index("QGemm")])
    assert kinds.count("QLinearConv") == CONVOLUTIONS
    assert kinds.count("QLinearAdd") == SUMS
    # What follows the embedding is computed in float32.
    assert not [kind for kind in kinds[kinds.index("QGemm") + 1 :] if kind.startswith(("Q", "DequantizeLinear"))]


def test_symmetric_is_what_tensorrt_reads() -> None:
    model = quantised(symmetric=True)
    found = constants(model)
    zero_points = [value for name, value in found.items() if name.endswith("_zero_point")]
    assert {value.dtype for value in zero_points} == {np.dtype(np.int8)}
    assert not any(value.any() for value in zero_points)
    assert {value.dtype for name, value in found.items() if name.endswith("bias")} == {np.dtype(np.float32)}
    assert {node.domain for node in model.graph.node} == {""}
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in {"Conv", "Gemm", "Add"}]
    assert len(layers) == CONVOLUTIONS + SUMS + 1
    for node in layers:
        assert [made_by[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2
    # A rectifier stays where it is, on what its layer or sum gives.
    assert {made_by[node.input[0]] for node in model.graph.node if node.op_type == "Relu"} == {"Conv", "Add"}


@pytest.mark.parametrize("symmetric", [False, pytest.param(True, marks=needs_vnni)])
def test_the_contract_is_kept(*, symmetric: bool) -> None:
    model = quantised(symmetric=symmetric)
    onnx.checker.check_model(model, full_check=True)
    assert {imported.domain for imported in model.opset_import} == {""}
    session = engine.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [source], [result] = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape[1:]) == ("images", "tensor(float)", [3, 32, 32])
    assert (result.name, result.type) == ("embeddings", "tensor(float)")
    together = session.run(None, {"images": IMAGES})[0]
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    assert (together * cut("channel", 0.4).embeddings()).sum(axis=1).min() > 0.98


def cosines(model: Any, expected: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    session = engine.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = (session.run(None, {"images": IMAGES})[0] * expected).sum(axis=1)
    return found


@pytest.mark.parametrize("symmetric", [False, True])
@needs_vnni
def test_the_sums_of_a_transformer_stay_in_float(*, symmetric: bool) -> None:
    model = quantise_onnx(onnx.load_from_string(transformer().content), SAMPLES, symmetric=symmetric)
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    reads = {(node.op_type, made_by.get(node.input[0])) for node in model.graph.node if "Quant" not in node.op_type}
    assert {kind for kind, source in reads if source == "DequantizeLinear"} >= {"Conv", "Gemm", "MatMul"}
    # In 8 bits, an Add would be read by a QuantizeLinear and would read two dequantised values.
    sums = [node for node in model.graph.node if node.op_type == "Add"]
    assert not [node for node in sums if {made_by.get(name) for name in node.input} == {"DequantizeLinear"}]
    assert cosines(model, transformer().embeddings()).min() > 0.98


@pytest.mark.parametrize("symmetric", [False, True])
def test_depthwise_layers_before_silu_stay_in_float_for_tensorrt(tmp_path: Path, *, symmetric: bool) -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3, groups=8), nn.SiLU(), nn.Conv2d(8, 8, 1)]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    export_onnx(module, tmp_path / "m.onnx", size=(32, 32))
    model = quantise_onnx(onnx.load(tmp_path / "m.onnx"), SAMPLES, symmetric=symmetric)
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    reads = [made_by.get(node.input[1]) for node in model.graph.node if node.op_type == "Conv"]
    assert reads == ["DequantizeLinear", None if symmetric else "DequantizeLinear", "DequantizeLinear"]


def test_nodes_are_kept_in_float_and_ranges_are_measured_once() -> None:
    quantiser = OnnxQuantiser(onnx.load_from_string(cut("channel", 0.4).content), iter(SAMPLES), symmetric=False)
    convolutions = [node.name for node in quantiser.prepared.graph.node if node.op_type == "Conv"]
    kept = convolutions[3:5]
    for names in (kept, []):
        model = quantiser.quantise(names)
        made_by = {name: node.op_type for node in model.graph.node for name in node.output}
        by_name = {node.name: node for node in model.graph.node}
        float_ones = [name for name in convolutions if made_by.get(by_name[name].input[1]) != "DequantizeLinear"]
        assert float_ones == names
        assert cosines(model, cut("channel", 0.4).embeddings()).min() > 0.98


def test_the_same_images_give_the_same_bytes() -> None:
    assert quantised().SerializeToString(deterministic=True) == quantised().SerializeToString(deterministic=True)


def test_nothing_is_left_behind_and_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quantised()
    with pytest.raises(InvalidInput):
        quantise_onnx(onnx.load_from_string(cut("channel", 0.4).content), [], symmetric=False)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "samples", [[], [np.zeros((1, 3, 16, 16), np.float32)], [np.zeros((1, 3, 32, 32), np.float64)]]
)
def test_images_that_do_not_fit_are_one_line(samples: list[npt.NDArray[Any]]) -> None:
    with pytest.raises(InvalidInput, match="cannot be quantised") as caught:
        quantise_onnx(onnx.load_from_string(cut("channel", 0.4).content), samples, symmetric=False)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_without_images_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    file = cut("channel", 0.4).write(tmp_path)
    for inputs in (None, CompileInputs(), CompileInputs(images=lambda: [IMAGES[:2]])):
        with pytest.raises(InvalidInput, match="images"):
            OnnxRuntime().compile(file, folder, precision="int8", inputs=inputs)
    assert list(folder.iterdir()) == []


def test_zero_points_are_taken_off_what_is_read(tmp_path: Path) -> None:
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    nodes = [helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["y"])]
    values = {"w": np.array([[0, 128], [130, 255]], np.uint8), "scale": np.float32(0.5), "zero": np.uint8(128)}
    graph = helper.make_graph(
        nodes,
        "one",
        [],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 2])],
        [from_array(np.asarray(value), name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    [found] = OnnxRuntime().read_weights(Model(tmp_path / "m.onnx", "onnxruntime")).values()
    np.testing.assert_array_equal(found, [[-128, 0], [2, 127]])


def test_a_missing_tool_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(MissingExtra) as caught:
        quantise_onnx(None, SAMPLES, symmetric=False)
    assert "prunnet-export[host]" in caught.value.hint


def test_compiled_int8_runs(tmp_path: Path) -> None:
    (name,) = OnnxRuntime().compile(cut("channel", 0.4).write(tmp_path), tmp_path, precision="int8", inputs=INPUTS)
    session = OnnxRuntime().open(Model(tmp_path / name, "onnxruntime", "int8"), threads=1)
    one_by_one = np.concatenate([session.run(image[None]) for image in IMAGES[:4]])
    np.testing.assert_allclose(one_by_one, session.run(IMAGES[:4]), atol=1e-6)
