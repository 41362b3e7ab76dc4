"""Verifying an artifact again: its thresholds, and the embeddings of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export.artifact import ExpectedWeights, Manifest, VerificationEntry
from prunnet_export.budget import Budget
from prunnet_export.devices import Device, find_device
from prunnet_export.evaluating import ModelOnDevice, _images, _model, artifact_reference, verify_again
from prunnet_export.evaluating._images import inputs_of_files
from prunnet_export.runtimes import Model
from prunnet_export.thresholds import Thresholds
from tests._inputs import array_split
from tests.search._exports import LENIENT, Workshop


def test_images_are_embedded_a_chunk_at_a_time(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []

    def brightness(
        _device: Device, _model: Model, inputs: npt.NDArray[np.float32], **_: Any
    ) -> npt.NDArray[np.float32]:
        lengths.append(len(inputs))
        mean: npt.NDArray[np.float32] = inputs.mean(axis=(2, 3))
        return mean

    monkeypatch.setattr(_model, "embed", brightness)
    monkeypatch.setattr(_images, "_CHUNK", 2)
    split = array_split(5)
    images = [split.encoded(index) for index in range(5)]
    tested = ModelOnDevice(Model(tmp_path / "m", "onnxruntime"), find_device("local"), None)
    embedded = tested.embed(inputs_of_files(images, manifest.preprocessing))
    assert lengths == [2, 2, 1]
    np.testing.assert_array_equal(embedded, manifest.preprocessing(images).mean(axis=(2, 3)))


@pytest.fixture(scope="module")
def exported(tiny_network: Path, tiny_data: Path, build_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a verified artifact, and its manifest."""
    from prunnet_export.datasets import open_dataset
    from prunnet_export.network import load_checkpoint

    workshop = Workshop(load_checkpoint(tiny_network), open_dataset(str(tiny_data)), build_folder)
    outcome = workshop.export(Budget(latency_ms=1e6)).run(tmp_path_factory.mktemp("exported") / "dist")
    return outcome.folder, outcome.manifest


def verified_again(exported: tuple[Path, Manifest], before: VerificationEntry) -> VerificationEntry:
    folder, manifest = exported
    model = Model(folder / manifest.entry, manifest.runtime.name, manifest.subnetwork.precision)
    tested = ModelOnDevice(model, find_device("local"), 1)
    return verify_again(tested, manifest, artifact_reference(folder, manifest), before)


def test_the_same_is_expected_and_asked_for_as_at_the_export(exported: tuple[Path, Manifest]) -> None:
    before = exported[1].verification
    after = verified_again(exported, before)
    assert after.thresholds == before.thresholds == msgspec.structs.replace(LENIENT, parity=0.999)
    assert after.expected == before.expected
    assert before.expected.elements > 0
    asked = {gate.name: gate.threshold for gate in before.gates}
    assert {gate.name: gate.threshold for gate in after.gates} == {name: asked[name] for name in asked}


@pytest.mark.parametrize(
    ("changed", "gate"),
    [
        ({"thresholds": Thresholds(parity=1.5, recall=0, spread=0)}, "parity"),
        ({"expected": ExpectedWeights(elements=10, zeros=0)}, "weights shipped"),
        ({"expected": ExpectedWeights(elements=10_000, zeros=9_000)}, "zeros kept"),
    ],
)
def test_what_is_stored_is_what_is_held_against(
    changed: dict[str, Any], gate: str, exported: tuple[Path, Manifest]
) -> None:
    before = msgspec.structs.replace(exported[1].verification, **changed)
    failed = {one.name for one in verified_again(exported, before).gates if not one.passed}
    assert gate in failed
