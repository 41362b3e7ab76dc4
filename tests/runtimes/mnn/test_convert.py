from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes.mnn._convert import Converter
from prunnet_export.runtimes.mnn._file import TINY, Layer, layers
from tests.runtimes.mnn._networks import Weights, draw, in_blocks, scattered, write

pytest.importorskip("MNN")


def read(content: bytes) -> dict[str, Layer]:
    """The layers by name."""
    return {layer.name: layer for layer in layers(content)}


def sparse(content: bytes) -> dict[str, int | None]:
    """What the sparse kernels of the layers multiply, by the layers' names."""
    return {layer.name: layer.multiplied for layer in layers(content) if layer.multiplied is not None}


def test_zeros_in_blocks_run_by_blocks(tmp_path: Path) -> None:
    weights = in_blocks(draw(seed=1), kept=2)
    content = Converter(write(tmp_path / "n.onnx", weights)).sparse()
    kept = int(np.count_nonzero(weights))
    assert kept == 464
    assert sparse(content) == {"x2": kept}
    np.testing.assert_array_equal(read(content)["x2"].weights, weights)


def test_scattered_zeros_run_one_by_one(tmp_path: Path) -> None:
    weights = scattered(draw(seed=1), kept=2)
    content = Converter(write(tmp_path / "n.onnx", weights)).sparse()
    # In blocks of four it would multiply 1 - 0.8^4 of them all, three times as many.
    assert sparse(content) == {"x2": int(np.count_nonzero(weights))}
    np.testing.assert_array_equal(read(content)["x2"].weights, weights)


@pytest.mark.parametrize(
    ("weights", "taken"),
    [
        (in_blocks(draw(seed=1), kept=6), True),
        (in_blocks(draw(seed=1), kept=8), False),
        (scattered(draw(seed=1), kept=3), True),
        (scattered(draw(seed=1), kept=5), False),
        (draw(seed=1), False),
    ],
)
def test_the_share_of_zeros_decides(weights: Weights, taken: bool, tmp_path: Path) -> None:
    converter = Converter(write(tmp_path / "n.onnx", weights))
    assert bool(sparse(converter.sparse())) == taken
    assert sparse(converter.dense()) == {}


def test_a_spared_layer_is_dense_and_keeps_its_zeros(tmp_path: Path) -> None:
    first, second = in_blocks(draw(seed=1), kept=2), in_blocks(draw(seed=2), kept=2)
    converter = Converter(write(tmp_path / "n.onnx", first, second))
    every = read(converter.sparse())
    assert {name for name, layer in every.items() if layer.multiplied} == {"x2", "x3"}
    content = converter.sparse([every["x2"]])
    mixed = read(content)
    assert {name for name, layer in mixed.items() if layer.multiplied} == {"x3"}
    np.testing.assert_array_equal(mixed["x2"].weights, first)
    np.testing.assert_array_equal(mixed["x3"].weights, second)
    assert np.float32(TINY).tobytes() not in content


def test_sparing_a_layer_does_not_change_the_network(tmp_path: Path) -> None:
    converter = Converter(write(tmp_path / "n.onnx", in_blocks(draw(seed=1), kept=2)))
    before = converter.sparse()
    assert converter.sparse([read(before)["x2"]]) != before
    assert converter.sparse() == before


def test_the_same_network_is_the_same_file(tmp_path: Path) -> None:
    one = Converter(write(tmp_path / "a.onnx", draw(seed=1)))
    other = Converter(write(tmp_path / "b.onnx", draw(seed=2)))
    assert one.dense() == one.dense()
    assert one.dense() != other.dense()


def test_a_file_says_nothing_of_where_it_was_made(tmp_path: Path) -> None:
    content = Converter(write(tmp_path / "n.onnx", draw(seed=1))).dense()
    assert not [word for word in (str(tmp_path), os.getcwd(), "/tmp", "n.onnx") if word.encode() in content]  # noqa: PTH109, S108


def test_an_operator_that_mnn_lacks_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    file = write(tmp_path / "n.onnx", draw(seed=1))
    model = onnx.load(file)
    model.graph.node[0].op_type = "Mystery"
    onnx.save(model, file)
    with pytest.raises(InvalidInput, match=r"n\.onnx: mnn cannot convert it .*Not Support: ONNX::Mystery") as caught:
        Converter(file).dense()
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_converter_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "n.onnx", draw(seed=1))
    (tmp_path / "dying.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("prunnet_export.runtimes.mnn._convert._CONVERT", "dying")
    with pytest.raises(InvalidInput, match="died of signal 6"):
        Converter(file).dense()
