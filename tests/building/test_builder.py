from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from prunnet_export.budget import Budget
from prunnet_export.building import Builder, Candidate, _builder
from prunnet_export.datasets import open_dataset
from prunnet_export.patterns import find_pattern
from prunnet_export.prediction import read_workload
from prunnet_export.search._ladder import ladder
from tests._asserts import assert_same_tensors
from tests._inputs import write_folder
from tests.search._exports import MULTIPLE, Workshop


class Counting:
    """Counts the compilations of a builder."""

    def __init__(self, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        compile_it = builder._runtime.compile

        def counted(*args: Any, **kwargs: Any) -> tuple[str, ...]:
            self.times += 1
            return compile_it(*args, **kwargs)

        monkeypatch.setattr(builder._runtime, "compile", counted)


def make_builder(workshop: Workshop) -> Builder:
    return workshop.export(Budget(latency_ms=1.0)).builder


def rung(workshop: Workshop, index: int, pattern: str = "channel") -> Candidate:
    return ladder(workshop.checkpoint.network, find_pattern(pattern, MULTIPLE), "fp32")[index]


def statistics_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer for name, buffer in module.named_buffers() if "running_" in name}


def test_the_same_candidate_is_built_once(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workshop.cache = tmp_path
    first, second = make_builder(workshop), make_builder(workshop)
    counts = [Counting(builder, monkeypatch) for builder in (first, second)]
    build = first.build(rung(workshop, 0), re_estimated=False)
    again = first.build(rung(workshop, 0), re_estimated=False)  # an equal candidate, not the same object
    other = second.build(rung(workshop, 0), re_estimated=False)
    assert build.model.file == again.model.file == other.model.file
    assert [count.times for count in counts] == [1, 0]


def test_a_build_is_a_model_of_its_size(workshop: Workshop) -> None:
    build = make_builder(workshop).build(rung(workshop, 0), re_estimated=False)
    assert build.model.file == build.folder / build.names[0]
    assert build.size_mb == sum((build.folder / name).stat().st_size for name in build.names) / 1e6
    onnx.checker.check_model(onnx.load(build.model.file), full_check=True)
    assert {file.name for file in build.folder.iterdir()} == {*build.names, "files.json"}


def test_a_smaller_capacity_is_a_smaller_file(workshop: Workshop) -> None:
    builder = make_builder(workshop)
    sizes = [builder.build(rung(workshop, index), re_estimated=False).size_mb for index in (0, -1)]
    assert sizes[0] < 0.6 * sizes[1]


def test_the_dense_network_keeps_the_statistics_of_its_checkpoint(workshop: Workshop) -> None:
    builder, dense = make_builder(workshop), rung(workshop, -1)
    own = statistics_of(builder.module(dense, re_estimated=True))
    assert_same_tensors(own, statistics_of(workshop.checkpoint.network.embedder))
    builds = {builder.build(dense, re_estimated=flag).model.file for flag in (False, True)}
    assert len(builds) == 1


def test_the_dense_network_is_one_build_for_all_patterns(workshop: Workshop) -> None:
    builder = make_builder(workshop)
    entries = {
        builder.build(rung(workshop, -1, pattern), re_estimated=True).model.file
        for pattern in ("channel", "unstructured")
    }
    assert len(entries) == 1


def test_a_subnetwork_gets_statistics_of_its_own(workshop: Workshop) -> None:
    builder, small = make_builder(workshop), rung(workshop, 0)
    borrowed = statistics_of(builder.module(small, re_estimated=False))
    own = statistics_of(builder.module(small, re_estimated=True))
    assert own.keys() == borrowed.keys()
    # The norm behind the projector is the dense network's, because the projector was refitted to its outputs.
    assert all(torch.equal(own[name], borrowed[name]) == name.startswith("norm.") for name in own)
    assert builder.build(small, re_estimated=True).model.file != builder.build(small, re_estimated=False).model.file
    assert builder.module(small, re_estimated=True) is builder.module(small, re_estimated=True)


def test_other_images_behind_the_same_name_are_another_build(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.cache = tmp_path / "builds"
    entries = []
    for city, side in (("paris", 32), ("oxford", 48)):
        write_folder(tmp_path / city / "data", side=side)
        monkeypatch.chdir(tmp_path / city)
        workshop.data = open_dataset("data")
        assert workshop.data.name == "folder data"
        entries.append(make_builder(workshop).build(rung(workshop, 0), re_estimated=True).model.file)
    assert entries[0] != entries[1]


def test_all_precisions_share_one_onnx_file(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.cache = tmp_path
    sources, builder = set(), make_builder(workshop)
    compile_it = builder._runtime.compile

    def seen(onnx_file: Path, *args: Any, **kwargs: Any) -> tuple[str, ...]:
        sources.add(onnx_file)
        return compile_it(onnx_file, *args, **kwargs)

    monkeypatch.setattr(builder._runtime, "compile", seen)
    for small in (replace(rung(workshop, 0), precision=precision) for precision in ("fp32", "int8")):
        build = builder.build(small, re_estimated=True)
        assert (build.model.runtime, build.model.precision) == ("onnxruntime", small.precision)
    [source] = sources
    assert build.workload == read_workload(source)


def test_quantised_builds_of_other_images_are_other_builds(workshop: Workshop, tmp_path: Path) -> None:
    workshop.cache = tmp_path
    for precision, count in (("fp32", 1), ("int8", 2)):
        candidate, builds = replace(rung(workshop, 0), precision=precision), set()
        for value in (0.2, 0.8):
            builder = make_builder(workshop)
            builder._calibration = lambda value=value: [torch.full((8, 3, 32, 32), value)]  # type: ignore[misc]
            builds.add(builder.build(candidate, re_estimated=False).model.file)
        assert len(builds) == count


def test_a_compilation_that_fails_leaves_the_onnx_file_alone(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    workshop.cache = tmp_path
    builder = make_builder(workshop)
    monkeypatch.setattr(builder._runtime, "compile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        builder.build(rung(workshop, 0), re_estimated=False)
    [exported] = tmp_path.iterdir()
    assert {file.name for file in exported.iterdir()} == {"subnetwork.onnx", "workload.json", "files.json"}


def test_an_export_that_fails_leaves_nothing(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    workshop.cache = tmp_path
    monkeypatch.setattr(_builder, "export_onnx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_builder(workshop).build(rung(workshop, 0), re_estimated=False)
    assert not list(tmp_path.iterdir())
