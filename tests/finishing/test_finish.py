"""Finishing on the device: the choice among the predicted candidate and its alternatives."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, Unreachable, UsageError
from prunnet_export._numbers import percent
from prunnet_export.artifact import REFERENCE_FILE, Manifest, SubnetworkEntry, load, read_manifest, verify_files
from prunnet_export.budget import Budget
from prunnet_export.datasets import open_dataset
from prunnet_export.devices import Device
from prunnet_export.evaluating import load_reference
from prunnet_export.finishing import Finish
from prunnet_export.network import load_checkpoint
from prunnet_export.runtimes import Model, find_runtime
from tests.search._exports import PREDICTOR, TableDevice, Workshop, kilobytes, predicted_export


@pytest.fixture(scope="module")
def exported(tiny_network: Path, tiny_data: Path, build_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with a predicted latency, and a budget that about half of the rungs fit."""
    workshop = Workshop(load_checkpoint(tiny_network), open_dataset(str(tiny_data)), build_folder)
    outcome = predicted_export(workshop).run(tmp_path_factory.mktemp("exported") / "dist")
    assert outcome.manifest.status == "verified"
    return outcome.folder


@pytest.fixture
def predicted(exported: Path, tmp_path: Path) -> Path:
    """A copy of the artifact that a test may finish or damage."""
    return shutil.copytree(exported, tmp_path / "dist")


def finisher(folder: Path, device: Device, manifest: Manifest | None = None) -> Finish:
    return Finish(
        folder=folder,
        manifest=manifest or read_manifest(folder),
        runtime=find_runtime("onnxruntime"),
        device=device,
        options={},
        threads=1,
    )


def test_a_predicted_artifact_says_so_and_is_whole(predicted: Path) -> None:
    manifest = read_manifest(predicted)
    verify_files(predicted, manifest)
    assert (manifest.latency.source, manifest.latency.n, manifest.device, manifest.memory) == (
        "predicted",
        0,
        None,
        None,
    )
    assert manifest.dense_latency is not None
    assert manifest.dense_latency.source == "predicted"
    assert manifest.alternatives
    card = (predicted / "README.md").read_text(encoding="utf-8")
    assert "Not measured" in card
    reference = load_reference(predicted / REFERENCE_FILE)
    for other in manifest.alternatives:
        assert all(gate.passed for gate in other.verification.gates)
        own = np.load(predicted / other.reference, allow_pickle=False)
        assert own.shape == reference.subnetwork_queries.shape
        assert not np.array_equal(own, reference.subnetwork_queries)


def test_the_device_picks_the_largest_that_it_measures_inside(predicted: Path) -> None:
    before, vector_before = read_manifest(predicted), (predicted / "golden" / "output.f32").read_bytes()
    sizes = {other.subnetwork.capacity: other.size_mb for other in before.alternatives}
    largest = max(sizes)
    assert largest > before.subnetwork.capacity
    limit = before.budget.latency_ms
    assert limit is not None
    fast = TableDevice(lambda size, _: limit * size / 1e6 / (sizes[largest] * 1.01))
    folder, after = finisher(predicted, fast).run(predicted)
    assert folder == predicted
    assert after.subnetwork.capacity == largest
    assert after.latency.source == "measured"
    assert after.status == "verified"
    assert after.memory is not None
    on_disk = read_manifest(folder)
    verify_files(folder, on_disk)
    assert on_disk.alternatives == []
    assert not (folder / "alternatives").exists()
    reference = load_reference(folder / REFERENCE_FILE)
    golden = on_disk.golden
    assert golden is not None  # of the candidate that was chosen here
    vector = np.fromfile(folder / golden.output, "<f4")
    np.testing.assert_allclose(load(folder).embed([folder / golden.image])[0], vector, atol=1e-5)
    assert not np.allclose(vector, np.frombuffer(vector_before, "<f4"), atol=1e-3)
    embeddings = load(folder).embed(reference.images)
    assert float((embeddings * reference.subnetwork_queries).sum(1).min()) > 0.999


def test_without_the_files_of_the_queries(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1e6), predictor=PREDICTOR, query_images="pixels")
    place = export.run(tmp_path / "dist").folder
    assert load_reference(place / REFERENCE_FILE).pixels
    assert {other.verification.query_images for other in read_manifest(place).alternatives} == {"pixels"}
    _, after = finisher(place, TableDevice(kilobytes)).run(place)
    assert after.status == "verified"
    assert (after.verification.query_images, after.verification.gate("bytes to vector")) == ("pixels", None)
    assert [one.name for one in after.verification.unchecked] == ["bytes to vector"]
    assert load_reference(place / REFERENCE_FILE).pixels


def test_a_slow_device_steps_down(predicted: Path, tmp_path: Path) -> None:
    before = read_manifest(predicted)
    smallest = min(before.alternatives, key=lambda one: one.size_mb)
    limit = before.budget.latency_ms
    assert limit is not None
    slow = TableDevice(lambda size, _: limit * size / 1e6 / (smallest.size_mb * 1.01))
    folder, after = finisher(predicted, slow).run(tmp_path / "finished")
    assert after.subnetwork == smallest.subnetwork
    assert [entry.inside for entry in after.frontier] == [True] + [False] * len(before.alternatives)
    assert folder == tmp_path / "finished"
    assert read_manifest(predicted) == before  # the source does not change


def test_a_device_that_steps_down_below_the_smallest_trained_capacity_warns_before_it_builds(
    predicted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = read_manifest(predicted)
    cuts = [manifest.subnetwork, *(other.subnetwork for other in manifest.alternatives)]
    capacities = sorted(cut.capacity for cut in cuts)
    untrained, trained = capacities[0], capacities[1]
    assert untrained < trained

    def of(entry: SubnetworkEntry) -> SubnetworkEntry:
        return msgspec.structs.replace(entry, smallest_trained=trained)

    others = [msgspec.structs.replace(one, subnetwork=of(one.subnetwork)) for one in manifest.alternatives]
    manifest = msgspec.structs.replace(manifest, subnetwork=of(manifest.subnetwork), alternatives=others)
    with caplog.at_level(logging.INFO):
        finisher(predicted, TableDevice(lambda _size, _: 1e4), manifest).run(tmp_path / "slow")
    said = f"{untrained:.1%} fp32 is below {percent(trained)}, the smallest capacity"
    [warned] = [index for index, line in enumerate(caplog.messages) if "the smallest capacity" in line]
    assert said in caplog.messages[warned]
    built = [line for line in caplog.messages[:warned] if line.startswith("building ")]
    assert len(built) == len(capacities) - 1
    caplog.clear()
    finisher(predicted, TableDevice(lambda _size, _: 1e-4), manifest).run(tmp_path / "fast")
    assert "smallest capacity" not in caplog.text


def test_a_device_that_is_too_slow_for_all_rejects(predicted: Path) -> None:
    folder, after = finisher(predicted, TableDevice(lambda _size, _: 1e4)).run(predicted)
    assert folder.name == "dist.rejected"
    assert after.status == "rejected"
    assert "over the budget" in after.reasons[0]


def test_what_was_measured_here_is_finished(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.export(Budget(latency_ms=1e6)).run(tmp_path / "out").folder
    device, before = TableDevice(kilobytes), read_manifest(folder)
    assert finisher(folder, device).run(folder) == (folder, before)
    assert read_manifest(folder) == before
    with pytest.raises(UsageError, match="was measured when it was exported"):
        finisher(folder, device).run(tmp_path / "elsewhere")
    (folder / before.entry).write_bytes(b"other")
    with pytest.raises(InvalidInput, match="the manifest says"):
        finisher(folder, device).run(folder)


def test_what_was_measured_elsewhere_cannot_be_finished(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.export(Budget(latency_ms=1e6)).run(tmp_path / "out").folder
    manifest = read_manifest(folder)
    assert manifest.device is not None
    other = msgspec.structs.replace(manifest, device=msgspec.structs.replace(manifest.device, id="0" * 12))
    with pytest.raises(UsageError, match="was measured when it was exported"):
        finisher(folder, TableDevice(kilobytes), other).run(folder)


@pytest.mark.parametrize("ms", [1e-3, 1e4])
def test_a_second_finish_tells_what_the_first_did(ms: float, predicted: Path) -> None:
    device = TableDevice(lambda _size, _: ms)
    folder, after = finisher(predicted, device).run(predicted)
    asked = len(device.asked)
    again = finisher(folder, device)
    assert again.run(predicted) == (folder, read_manifest(folder))
    assert len(device.asked) == asked
    assert again.manifest.status == after.status


def test_a_runtime_that_cannot_run_here(predicted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = finisher(predicted, TableDevice(kilobytes))
    monkeypatch.setattr(job.runtime, "obstacle", lambda: "no such chip")
    with pytest.raises(Unreachable, match="does not run here: no such chip"):
        job.run(predicted)


def test_a_damaged_file_is_found_before_anything_is_measured(predicted: Path) -> None:
    (predicted / read_manifest(predicted).alternatives[0].entry).write_bytes(b"other")
    device = TableDevice(kilobytes)
    with pytest.raises(InvalidInput, match="the manifest says"):
        finisher(predicted, device).run(predicted)
    assert not device.asked


def _replacing(artifact: Path, other: Manifest) -> TableDevice:
    """A fast device. While it measures, another artifact is put in the place of the first."""

    def table(_size: int, _request: object) -> float:
        document = msgspec.json.encode(msgspec.structs.replace(other, created="2026-01-01T00:00:00Z"))
        (artifact / "manifest.json").write_bytes(document)
        return 1e-3

    return TableDevice(table)


def test_an_artifact_that_was_replaced_meanwhile_is_not_overwritten(predicted: Path) -> None:
    before = read_manifest(predicted)
    with pytest.raises(InvalidInput, match="was replaced while it was being finished") as caught:
        finisher(predicted, _replacing(predicted, before)).run(predicted)
    assert "again" in caught.value.hint
    assert read_manifest(predicted).latency.source == "predicted"
    assert [entry.name for entry in predicted.parent.iterdir()] == ["dist"]


def test_an_artifact_that_was_replaced_meanwhile_is_finished_elsewhere(
    predicted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, after = finisher(predicted, _replacing(predicted, read_manifest(predicted))).run(tmp_path / "finished")
    verify_files(folder, after := read_manifest(folder))
    assert after.latency.source == "measured"
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"{predicted} was replaced while it was being finished: the result is of the artifact that was there before"
    ]


def test_an_artifact_that_was_replaced_before_is_not_mixed(predicted: Path) -> None:
    other = msgspec.structs.replace(read_manifest(predicted), files={})
    with pytest.raises(InvalidInput, match="replaced just now"):
        finisher(predicted, TableDevice(kilobytes), other).run(predicted)


def test_the_size_of_a_built_engine_is_its_own(predicted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = finisher(predicted, TableDevice(lambda _size, _: 1e-3))

    def build(model: Model, folder: Path, _options: object) -> tuple[str, ...]:
        (folder / "engine.onnx").write_bytes(model.file.read_bytes())
        return ("engine.onnx",)

    monkeypatch.setattr(job.runtime, "finish", build)
    folder, after = job.run(predicted)
    assert after.entry == "engine.onnx"
    assert after.size_mb == (folder / "engine.onnx").stat().st_size / 1e6
    assert (folder / "model.onnx").is_file()
