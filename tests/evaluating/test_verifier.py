"""The verifier compares the zeros of a shipped file with the pattern's masks, and finds a single moved zero."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import onnx
import pytest

from prunnet_export.artifact import Gate
from prunnet_export.budget import Budget
from prunnet_export.building import Build
from prunnet_export.evaluating._verifier import _masks
from prunnet_export.patterns import find_pattern
from prunnet_export.search import Export
from tests.search._exports import Workshop


def built(export: Export) -> Build:
    """The smallest candidate of the export's one pattern, with statistics of its own."""
    [rungs] = export.candidates().values()
    return export.builder.build(rungs[0], re_estimated=True)


def gates(export: Export, build: Build) -> dict[str, Gate]:
    module = export.builder.module(build.candidate, re_estimated=True)
    entry, _ = export._verifier.verify(build, module)
    return {gate.name: gate for gate in entry.gates}


def with_one_zero_moved(build: Build, folder: Path) -> Build:
    """A copy in which a zero and the smallest other value of one weight are swapped."""
    copytree(build.folder, folder)
    model = onnx.load(folder / build.names[0])
    values = {tensor.name: onnx.numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    tensor = max(model.graph.initializer, key=lambda one: int((values[one.name] == 0).sum()))
    flat = values[tensor.name].reshape(-1)
    zero = int(np.flatnonzero(flat == 0)[0])
    other = int(np.where(flat == 0, np.inf, np.abs(flat)).argmin())
    flat[[zero, other]] = flat[[other, zero]]
    tensor.CopyFrom(onnx.numpy_helper.from_array(values[tensor.name], tensor.name))
    onnx.save(model, folder / build.names[0])
    return replace(build, folder=folder)


def test_zeros_in_place(workshop: Workshop) -> None:
    export = workshop.export(Budget(latency_ms=1e6), patterns=("block",))
    build = built(export)
    found = gates(export, build)
    assert all(gate.passed for gate in found.values())
    assert found["zeros in place"].n == len(build.candidate.subnetwork.masks()) > 10


def test_one_zero_that_moved_fails_one_gate(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1e6), patterns=("2:4",))
    found = gates(export, with_one_zero_moved(built(export), tmp_path / "moved"))
    assert {name for name, gate in found.items() if not gate.passed} == {"zeros in place"}
    layers = found["zeros in place"].n
    assert layers > 10
    assert found["zeros in place"].value == pytest.approx(1 - 1 / layers)


def test_what_a_pattern_promises(workshop: Workshop) -> None:
    def promised(pattern: str, capacity: float) -> int:
        [found] = find_pattern(pattern).subnetworks(workshop.checkpoint.network, [capacity])
        return len(_masks(found))

    assert promised("channel", 0.5) == 0  # smaller tensors, no zeros
    assert promised("2:4", 1) == promised("block", 1) == 0
    assert 0 < promised("2:4", 0.5) < promised("block", 0.5)  # the first convolution reads three channels
