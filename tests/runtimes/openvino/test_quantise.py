from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.runtimes import CompileInputs, Model
from prunnet_export.runtimes.openvino import OpenVino
from prunnet_export.runtimes.openvino._quantise import quantise_openvino
from tests._inputs import images
from tests._tools import needs_vnni
from tests.runtimes._quantised import CROP, IMAGES, INPUTS, cut, transformer

engine = pytest.importorskip("openvino")
pytest.importorskip("nncf")


def compiled(folder: Path, *, pattern: str = "channel", capacity: float = 0.4) -> Path:
    names = OpenVino().compile(cut(pattern, capacity).write(folder), folder, precision="int8", inputs=INPUTS)
    return folder / names[0]


def kinds(model: Any) -> list[str]:
    return [node.get_type_name() for node in model.get_ordered_ops()]


def test_layers_and_sums_are_quantised_and_the_norm_is_not(tmp_path: Path) -> None:
    found = kinds(engine.Core().read_model(compiled(tmp_path)))
    projector = found.index("MatMul")
    assert "FakeQuantize" not in found[projector:]
    # What each of the 22 layers and 8 sums reads, some of them the same.
    assert found.count("FakeQuantize") >= 22


def test_weights_take_a_byte(tmp_path: Path) -> None:
    weights = OpenVino().read_weights(Model(compiled(tmp_path), "openvino"))
    assert {tensor.dtype for tensor in weights.values()} == {np.dtype(np.int8)}
    assert len(weights) == 21 + 1
    # Those that read the image take half the range, so that processors without VNNI do not saturate.
    assert sorted(int(np.abs(tensor).max()) for tensor in weights.values()) == [64, *[127] * 21]


@needs_vnni
def test_grouped_weights_take_a_byte_too(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny_model(size=CROP, width=9))
    weights = model.graph.initializer[0]
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights)[:, :1], weights.name))
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("group", 3))
    onnx.save(model, tmp_path / "grouped.onnx")
    OpenVino().compile(tmp_path / "grouped.onnx", tmp_path, precision="int8", inputs=INPUTS)
    found = OpenVino().read_weights(Model(tmp_path / "model.xml", "openvino")).values()
    assert {(tensor.shape, tensor.dtype.name) for tensor in found} == {((3, 3, 1, 3, 3), "int8"), ((8, 9), "int8")}


def test_the_contract_is_kept(tmp_path: Path) -> None:
    session = OpenVino().open(Model(compiled(tmp_path), "openvino", "int8"), threads=1)
    together = session.run(IMAGES)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    assert (together * cut("channel", 0.4).embeddings()).sum(axis=1).min() > 0.98
    one_by_one = np.concatenate([session.run(image[None]) for image in IMAGES[:4]])
    np.testing.assert_allclose(one_by_one, together[:4], atol=1e-5)


@needs_vnni
def test_only_the_layers_of_a_transformer_are_quantised(tmp_path: Path) -> None:
    OpenVino().compile(transformer().write(tmp_path), tmp_path, precision="int8", inputs=INPUTS)
    readers = {
        port.get_node().get_type_name()
        for node in engine.Core().read_model(tmp_path / "model.xml").get_ops()
        if node.get_type_name() == "FakeQuantize"
        for port in node.output(0).get_target_inputs()
    }
    assert {"Convolution", "MatMul"} <= readers
    assert "Add" not in readers
    found = OpenVino().open(Model(tmp_path / "model.xml", "openvino", "int8"), threads=1).run(IMAGES)
    assert (found * transformer().embeddings()).sum(axis=1).min() > 0.99


def test_a_node_is_kept_in_float(tmp_path: Path) -> None:
    model = engine.Core().read_model(cut("channel", 0.4).write(tmp_path))
    layers = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
    quantised = quantise_openvino(model, [image[None] for image in IMAGES], keep_float=layers[3:5])
    by_name = {node.get_friendly_name(): node for node in quantised.get_ops()}
    reads = {name: by_name[name].input_value(0).get_node().get_type_name() for name in layers}
    assert [name for name, kind in reads.items() if kind != "FakeQuantize"] == layers[3:5]


def test_the_range_is_of_the_brightest_image(tmp_path: Path) -> None:
    # One image in 64 is bright: a range that forgets it would clip it.
    dim = images(64, CROP, seed=3).numpy() * np.float32(0.2)
    dim[-1] *= 5
    file = cut("channel", 0.4).write(tmp_path)
    OpenVino().compile(file, tmp_path, precision="int8", inputs=CompileInputs(images=lambda: [dim]))
    bright = dim[-1:]
    ours = OpenVino().open(Model(tmp_path / "model.xml", "openvino", "int8"), threads=1).run(bright)
    exact = OpenVino().open(Model(file, "openvino"), threads=1).run(bright)
    assert float((ours * exact).sum()) > 0.98


def test_the_same_images_give_the_same_weights(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        compiled(folder)
    assert (first / "model.bin").read_bytes() == (second / "model.bin").read_bytes()


def test_nothing_is_said_and_nothing_is_changed_for_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    disabled = logging.root.manager.disable
    compiled(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == disabled


@pytest.mark.parametrize(
    "samples", [[np.zeros((1, 3, 16, 16), np.float32)] * 8, [np.zeros((1, 1, 32, 32), np.float32)] * 8]
)
def test_images_that_do_not_fit_are_one_line(
    samples: list[npt.NDArray[np.float32]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = engine.Core().read_model(cut("channel", 0.4).write(tmp_path))
    with pytest.raises(InvalidInput, match="cannot be quantised") as caught:
        quantise_openvino(model, samples)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_without_images_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    file = cut("channel", 0.4).write(tmp_path)
    for given in (None, CompileInputs(), CompileInputs(images=lambda: [IMAGES[:2]])):
        with pytest.raises(InvalidInput, match="images"):
            OpenVino().compile(file, folder, precision="int8", inputs=given)
    assert list(folder.iterdir()) == []


def test_a_missing_quantiser_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.import_module

    def without_nncf(name: str) -> ModuleType:
        if name.partition(".")[0] == "nncf":
            raise ModuleNotFoundError(name=name)
        return there(name)

    monkeypatch.setattr(importlib, "import_module", without_nncf)
    with pytest.raises(MissingExtra) as caught:
        compiled(tmp_path)
    assert "prunnet-export[openvino-int8]" in caught.value.hint
    OpenVino().compile(tmp_path / "subnetwork.onnx", tmp_path, precision="bf16")
