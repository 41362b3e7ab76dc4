"""Networks with branches for training, built for a runtime."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from prunnet_export.building import BuildCache, Builder, Candidate
from prunnet_export.network import Normalised, PrunableNetwork
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.runtimes import find_runtime
from tests._inputs import images, prunable

CROP = 32
CONVOLUTIONS = 43  # of MobileOne-S0 without branches


@pytest.fixture(scope="module")
def network() -> PrunableNetwork:
    return prunable("mobileone_s0", crop=CROP, gain=2**0.5)


def candidate(network: PrunableNetwork, pattern: str, capacity: float) -> Candidate:
    [subnetwork] = find_pattern(pattern).subnetworks(network, [capacity])
    return Candidate(subnetwork, "fp32")


def builder(network: PrunableNetwork, folder: Path) -> Builder:
    runtime = find_runtime("onnxruntime")
    return Builder(network, runtime, BuildCache(folder), device="here", settle=lambda _: None, calibration=list)


@pytest.mark.parametrize(("pattern", "capacity"), [("channel", 0.4), ("channel", 1.0), ("unstructured", 1.0)])
def test_branches_are_fused_and_the_embeddings_stay(
    pattern: str, capacity: float, network: PrunableNetwork, tmp_path: Path
) -> None:
    chosen = candidate(network, pattern, capacity)
    build = builder(network, tmp_path).build(chosen, re_estimated=True)
    kinds = [node.op_type for node in onnx.load(build.model.file).graph.node]
    assert kinds.count("Conv") == CONVOLUTIONS
    assert "BatchNormalization" not in kinds
    batch = images(4, CROP)
    with torch.no_grad():
        expected = Normalised(materialise(network, chosen.subnetwork)).eval()(batch)
    found = find_runtime("onnxruntime").open(build.model, threads=1).run(batch.numpy())
    assert (torch.from_numpy(found) * expected).sum(dim=1).min() > 0.9999


@pytest.mark.parametrize(("pattern", "capacity"), [("unstructured", 0.4), ("channel+2:4", 0.3)])
def test_branches_with_zeros_stay(pattern: str, capacity: float, network: PrunableNetwork, tmp_path: Path) -> None:
    module = builder(network, tmp_path).module(candidate(network, pattern, capacity), re_estimated=True)
    assert sum(isinstance(part, nn.Conv2d) for part in module.backbone.modules()) > CONVOLUTIONS
