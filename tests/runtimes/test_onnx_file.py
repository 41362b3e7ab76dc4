from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes._onnx_file import single_input


@pytest.mark.parametrize("batch", ["batch", 4])
def test_one_image_whatever_the_batch(batch: int | str, tiny_model: Callable[..., Path]) -> None:
    assert single_input(tiny_model(size=24, batch=batch)) == (1, 3, 24, 24)


@pytest.mark.parametrize("source", [["batch", 3, "h", "w"], ["batch", 3, 16, "w"], ["batch", 3]])
def test_open_sides_are_refused(source: list[object], tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match=r"tiny\.onnx"):
        single_input(tiny_model(source=source))


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_file_that_is_no_model_is_one_short_line(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"m\.onnx: (not an ONNX|no such) model") as caught:
        single_input(file)
    assert "\n" not in caught.value.message
