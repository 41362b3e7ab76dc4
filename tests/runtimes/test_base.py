from __future__ import annotations

import pytest

from prunnet_export.runtimes import find_runtime


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("pattern", "zeros"),
    [("2:4", "n:m zeros"), ("1:16", "n:m zeros"), ("block", "zero blocks"), ("unstructured", "unst")],
)
def test_zeros_without_gain_are_named(runtime: str, pattern: str, zeros: str) -> None:
    sentence = find_runtime(runtime).ignored(pattern)
    assert sentence is not None
    assert sentence.startswith(f"{runtime} ignores {zeros}")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_channels_are_never_ignored(runtime: str) -> None:
    assert find_runtime(runtime).ignored("channel") is None
