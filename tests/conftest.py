"""Tiny networks that every runtime can load, a manifest, and an artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import settings

from prunnet_export.artifact import (
    ArtifactWriter,
    ExpectedWeights,
    FrontierEntry,
    GalleryEntry,
    Gate,
    Manifest,
    MemoryEntry,
    NetworkEntry,
    RuntimeEntry,
    SubnetworkEntry,
    VerificationEntry,
)
from prunnet_export.artifact._manifest import FileEntry
from prunnet_export.budget import Budget
from prunnet_export.devices import Fingerprint
from prunnet_export.measuring import summarise
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.runtimes import find_runtime
from prunnet_export.thresholds import Thresholds

# A busy machine is no reason for a property to fail.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

TinyModel = Callable[..., Path]
MakeArtifact = Callable[..., Path]


@pytest.fixture
def tiny_model(tmp_path: Path) -> TinyModel:
    """Writes conv -> relu -> pool -> linear -> L2 norm as ONNX, for images of size x size."""
    onnx = pytest.importorskip("onnx")
    helper, to_tensor = onnx.helper, onnx.numpy_helper.from_array

    def build(
        *,
        name: str = "tiny.onnx",
        size: int = 16,
        dim: int = 8,
        width: int = 8,
        batch: int | str = "batch",
        **io: Any,
    ) -> Path:
        draw = np.random.default_rng(0)
        weights = {
            "conv.weight": draw.normal(size=(width, 3, 3, 3)),
            "head.weight": draw.normal(size=(dim, width)),
            "head.bias": draw.normal(size=dim),
        }
        nodes = [
            helper.make_node("Conv", ["images", "conv.weight"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", ["c"], ["r"], "relu"),
            helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
            helper.make_node("Flatten", ["p"], ["f"], "flatten"),
            helper.make_node("Gemm", ["f", "head.weight", "head.bias"], ["g"], "head", transB=1),
            helper.make_node("LpNormalization", ["g"], ["embeddings"], "norm", axis=1, p=2),
        ]
        kind = onnx.TensorProto.FLOAT
        source = io.get("source", [batch, 3, size, size])
        graph = helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("images", kind, source)],
            [helper.make_tensor_value_info("embeddings", kind, [batch, dim])],
            [to_tensor(value.astype(np.float32), key) for key, value in weights.items()],
        )
        file = tmp_path / name
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
        return file

    return build


@pytest.fixture
def manifest() -> Manifest:
    """Every field filled in."""
    return full_manifest()


def full_manifest() -> Manifest:
    """A manifest with every field filled in."""
    latency = summarise(
        [[5.0 + index / 10 for index in range(30)]] * 3,
        percentile_asked=90.0,
        threads=2,
        runtime="onnxruntime",
        runtime_version="1.32.0",
        device="0123456789ab",
    )
    return Manifest(
        status="verified",
        created="2026-11-22T20:00:00Z",
        files={"model.onnx": FileEntry(sha256="0" * 64, bytes=1)},
        entry="model.onnx",
        target="x86",
        runtime=RuntimeEntry(name="onnxruntime", version="1.32.0"),
        network=NetworkEntry(name="demo", sha256="a" * 64, backbone="resnet18", embedding_dim=8),
        subnetwork=SubnetworkEntry(
            pattern="channel",
            capacity=0.39,
            capacity_asked=0.4,
            precision="fp32",
            channel_multiple=8,
            weights_kept=39,
            weights_total=100,
            widths={"layer1.0.conv1": 24},
        ),
        preprocessing=Preprocessing(crop=16, resize=18),
        budget=Budget(latency_ms=15.0, size_mb=12.0, ram_mb=200.0),
        latency=latency,
        dense_latency=latency,
        memory=MemoryEntry(peak_mb=12.5, source="VmHWM"),
        size_mb=1.25,
        verification=VerificationEntry(
            gates=[
                Gate(
                    name="parity",
                    value=0.99999,
                    threshold=0.999,
                    comparison=">=",
                    passed=True,
                    n=64,
                    note="worst image",
                ),
                Gate(name="spread", value=0.8, passed=True, n=64),
            ],
            thresholds=Thresholds(parity=0.999),
            expected=ExpectedWeights(elements=100, zeros=0),
            cross_r1=0.91,
            cross_map=0.8,
            self_r1=0.9,
            self_map=0.79,
            teacher_self_r1=0.93,
            n_queries=1000,
            n_gallery=2000,
            gallery=GalleryEntry(count=2000, dim=8, stored="float32", metric="cosine"),
            data="glyphs, test split",
        ),
        frontier=[
            FrontierEntry(
                pattern="channel",
                capacity=0.39,
                precision="fp32",
                p50_ms=5,
                upper_ms=8,
                size_mb=1.25,
                inside=True,
                n=90,
            )
        ],
        device=Fingerprint(id="0123456789ab", cpu="A CPU", cores=2, arch="x86_64", system="Linux 6.1", python="3.11.7"),
        tools={"numpy": "2.0"},
    )


@pytest.fixture
def make_artifact(tiny_model: Callable[..., Path], manifest: Manifest, tmp_path: Path) -> MakeArtifact:
    """Writes an artifact with a tiny network; keywords replace fields of the manifest."""

    def make(name: str = "dist/tiny", *, runtime: str = "onnxruntime", **fields: object) -> Path:
        engine = find_runtime(runtime)
        with ArtifactWriter(tmp_path / name) as writer:
            entry = engine.compile(tiny_model(), writer.folder, precision="fp32")[0]
            version = RuntimeEntry(name=runtime, version=engine.version())
            return writer.finish(msgspec.structs.replace(manifest, entry=entry, runtime=version, files={}, **fields))

    return make
