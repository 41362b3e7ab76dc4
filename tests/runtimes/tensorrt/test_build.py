from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes.tensorrt._build import MOST_IMAGES, build_engine
from tests._asserts import assert_one_line

engine = pytest.importorskip("tensorrt_rtx")
BUILDER = engine.Builder


class Builder:
    """The engine's builder, and what was asked of it."""

    last: Builder

    def __init__(self, logger: Any) -> None:
        self._builder = BUILDER(logger)
        self.config: Any = None
        self.profile: Any = None
        Builder.last = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def create_network(self, flags: int) -> Any:
        assert flags == 1 << int(engine.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return self._builder.create_network(flags)

    def create_builder_config(self) -> Any:
        self.config = self._builder.create_builder_config()
        return self.config

    def create_optimization_profile(self) -> Any:
        self.profile = self._builder.create_optimization_profile()
        return self.profile


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> type[Builder]:
    monkeypatch.setattr(engine, "Builder", Builder)
    return Builder


@pytest.mark.parametrize(("batch", "shapes"), [("batch", [1, 1, MOST_IMAGES]), (3, [3, 3, 3])])
def test_what_is_asked_of_the_builder(
    batch: int | str, shapes: list[int], builder: type[Builder], tiny_model: Callable[..., Path]
) -> None:
    built = build_engine(engine, tiny_model(batch=batch), capabilities=(engine.ComputeCapability.SM86,))
    asked = builder.last
    assert asked.config.get_flag(engine.BuilderFlag.SPARSE_WEIGHTS)
    assert not asked.config.get_flag(engine.BuilderFlag.TF32)  # fp32 is to be fp32
    assert asked.config.num_compute_capabilities == 1
    assert asked.config.get_compute_capability(0) == engine.ComputeCapability.SM86
    assert asked.config.num_optimization_profiles == 1
    assert [shape[0] for shape in asked.profile.get_shape("images")] == shapes
    assert len(built.content) > 10_000


def test_a_graph_without_nodes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty.onnx"
    file.write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"empty\.onnx: tensorrt_rtx cannot take it") as raised:
        build_engine(engine, file)
    assert_one_line(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.onnx"):
        build_engine(engine, tmp_path / "nothing.onnx")
