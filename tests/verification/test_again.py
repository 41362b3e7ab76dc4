"""What verifying again recovers from a manifest, and how images are embedded for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import Gate, Manifest
from prunnet_export.devices import Device, find_device
from prunnet_export.precision import FP32
from prunnet_export.runtimes import Model, find_runtime
from prunnet_export.verification import Again, Thresholds, _again
from prunnet_export.verification._again import _expected, _thresholds
from tests._inputs import array_split


def gate(name: str, value: float, threshold: float | None, n: int = 1) -> Gate:
    return Gate(name=name, value=value, threshold=threshold, comparison=">=", passed=True, n=n)


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

    monkeypatch.setattr(_again, "embed", brightness)
    monkeypatch.setattr(_again, "_CHUNK", 2)
    split = array_split(5)
    images = [split.encoded(index) for index in range(5)]
    model = Model(tmp_path / "m", "onnxruntime")
    again = Again(manifest, find_runtime("onnxruntime"), model, find_device("local"), None, lambda _: None)
    embedded = again.embedded(images)
    assert lengths == [2, 2, 1]
    np.testing.assert_array_equal(embedded, manifest.preprocessing(images).mean(axis=(2, 3)))


def test_checking_again_asks_for_what_the_export_asked_for() -> None:
    gates = [gate("parity", 1, 0.9), gate("cross-test recall", 1, 0.25), gate("spread", 1, 0.75)]
    asked = _thresholds({one.name: one for one in gates})
    assert asked == Thresholds(parity=0.9, recall=0.25, spread=0.75)


@pytest.mark.parametrize(("elements", "zeros"), [(2500, 0), (11_000_000, 5_500_000), (10_000, 8_000)])
def test_what_was_counted_is_recovered(elements: int, zeros: int) -> None:
    shipped = elements + 6  # mean and std
    gates = {
        "weights shipped": gate("weights shipped", shipped / elements, 1.01, n=shipped),
        "zeros kept": gate("zeros kept", zeros / shipped, zeros / elements * 0.999),
    }
    expected = _expected(gates, FP32, "CPU")
    assert expected.elements == elements
    assert abs(expected.zeros - zeros) <= 1


@pytest.mark.parametrize("missing", ["weights shipped", "zeros kept"])
def test_a_manifest_that_does_not_say(missing: str) -> None:
    gates = {name: gate(name, 1, 1) for name in ("weights shipped", "zeros kept") if name != missing}
    with pytest.raises(InvalidInput, match="does not say"):
        _expected(gates, FP32, "CPU")
