from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.evaluating._zeros import layers_in_place
from prunnet_export.network import Normalised
from prunnet_export.runtimes.litert._export import convert, quantise
from tests.runtimes._embedders import embedder, inputs, masks
from tests.runtimes._quantised import CROP, IMAGES, transformer
from tests.runtimes.litert._files import graph, in_fp32, in_int8, norm_operators

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_quantizer")


def test_the_norm_is_made_of_operators_that_microcontrollers_have() -> None:
    assert norm_operators()[-2:] == ("MAXIMUM", "DIV")
    assert {"SUM", "SQRT"} <= set(norm_operators()) <= {"ABS", "MUL", "SUM", "SQRT", "RESHAPE", "MAXIMUM", "DIV"}


def test_other_powers_stay() -> None:
    class Cube(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x**2.5

    assert "POW" in graph(convert(Cube().eval(), (1, 4))).operators


def test_weights_are_those_of_torch() -> None:
    found = graph(in_fp32()).weights()
    projector, norm = embedder().projector, embedder().norm
    assert norm.running_var is not None
    folded = (projector.weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None]).numpy()
    assert min(np.abs(tensor - folded).max() for tensor in found.values() if tensor.shape == folded.shape) < 1e-6
    shipped = sum(tensor.numel() for tensor in embedder().state_dict().values() if tensor.ndim > 1)
    constants = 7  # mean, deviation, and what the norm is no smaller than
    assert sum(tensor.size for tensor in found.values()) == shipped + constants


@pytest.mark.parametrize("content", [in_fp32, in_int8])
def test_zeros_stay_in_their_places(content: Callable[[], bytes]) -> None:
    weights = graph(content()).weights()
    places = masks("unstructured", 0.4)
    assert layers_in_place(places, weights.values()) == len(places) > 0


def test_all_layers_are_int8_and_the_boundary_is_float32() -> None:
    operators = graph(in_int8()).operators
    assert operators[0] == "QUANTIZE"
    after = norm_operators()
    assert operators[-len(after) - 2 :] == ("FULLY_CONNECTED", "DEQUANTIZE", *after)
    assert sum(name in {"QUANTIZE", "DEQUANTIZE"} for name in operators) == 2


def test_only_the_layers_of_a_transformer_are_quantised() -> None:
    exact = convert(Normalised(transformer().module).eval(), (1, 3, CROP, CROP))
    file = graph(quantise(exact, [image[None] for image in IMAGES[:16]]))
    in_bytes = {
        name
        for name, operator in zip(file.operators, file.graph.operators, strict=True)
        if name not in {"QUANTIZE", "DEQUANTIZE"}
        if file.graph.tensors[operator.outputs[0]].type == graph(in_int8()).graph.tensors[_quantised_tensor()].type
    }
    assert {"CONV_2D", "FULLY_CONNECTED"} <= in_bytes
    assert not {"ADD", "MUL", "MEAN", "SOFTMAX", "BATCH_MATMUL"} & in_bytes


def _quantised_tensor() -> int:
    """The index of a tensor in 8 bits."""
    file = graph(in_int8())
    index: int = file.graph.operators[0].outputs[0]
    return index


def test_weights_are_rounded_to_127_steps_of_each_output() -> None:
    exact, rounded = graph(in_fp32()).weights(), graph(in_int8()).weights()
    layers = [
        (exact[name].astype(np.float64), rounded[name].astype(np.float64))
        for name in exact
        if name in rounded and exact[name].shape[0] > 1
    ]
    assert len(layers) > 5
    for before, after in layers:
        rows, steps = before.reshape(len(before), -1), after.reshape(len(after), -1)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        scale = np.where(largest > 0, largest, 1) / 127
        np.testing.assert_allclose(steps * scale, rows, atol=float(scale.max()) * 0.51)
        assert np.abs(steps).max() == 127


def test_quantising_is_deterministic_and_silent(capfd: pytest.CaptureFixture[str]) -> None:
    images = [image[None] for image in inputs()]
    assert quantise(in_fp32(), images) == in_int8()
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_converted_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput, match="cannot be converted to LiteRT") as caught:
        convert(nn.Conv2d(5, 4, 3).eval(), (1, 3, 8, 8))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250
    assert capfd.readouterr() == ("", "")


def test_images_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(InvalidInput, match="cannot be quantised") as caught:
        quantise(in_fp32(), [np.zeros((1, 4, 32, 32), np.float32)])
    assert "\n" not in caught.value.message


def test_only_converted_networks_are_quantised() -> None:
    with pytest.raises(InvalidInput, match="not a TFLite model"):
        quantise(b"garbage", [image[None] for image in inputs()])


def test_missing_libraries_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    content, real = in_fp32(), importlib.import_module

    def fail(name: str) -> object:
        if name.startswith(("litert_torch", "ai_edge_quantizer")):
            raise ModuleNotFoundError(name=name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtra) as caught:
        convert(embedder(), (1, 3, 8, 8))
    assert "prunnet-export[litert-export]" in caught.value.hint
    with pytest.raises(MissingExtra) as caught:
        quantise(content, [image[None] for image in inputs()])
    assert "prunnet-export[litert-export]" in caught.value.hint
