from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import Gate, Manifest
from prunnet_export.benchmarks import _check
from prunnet_export.benchmarks._check import _embedded, _expected, _thresholds
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.devices import find_device
from prunnet_export.verification import Thresholds
from tests._cli import assert_error, call
from tests._inputs import array_split

Environment = dict[str, str]


def gate(name: str, value: float, threshold: float | None, n: int = 1) -> Gate:
    return Gate(name=name, value=value, threshold=threshold, comparison=">=", passed=True, n=n)


def test_latency_alone_needs_no_reference(
    make_artifact: Callable[..., Path], environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_artifact()
    ran = call(capfd, bench, environment, "latency", folder, "--threads=1", "--output-format=json")
    assert (ran.code, ran.err) == (0, "")
    [artifact] = json.loads(ran.out)["artifacts"]
    assert artifact["verification"] is None
    assert artifact["latency"]["threads"] == 1
    assert artifact["latency"]["n"] >= 30


def test_several_artifacts_in_one_report(
    make_artifact: Callable[..., Path],
    manifest: Manifest,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tight = msgspec.structs.replace(manifest.budget, latency_ms=1e-6)
    folders = [make_artifact("dist/fits"), make_artifact("dist/slow", budget=tight)]
    ran = call(capfd, bench, environment, "latency", *folders, "--output-format=json")
    assert ran.code == 1
    assert ran.err.startswith("error: slow: latency budget")
    verdicts = {check["name"]: check["passed"] for check in json.loads(ran.out)["checks"]}
    assert verdicts["fits: latency budget"]
    assert not verdicts["slow: latency budget"]


@pytest.mark.parametrize("words", [(), ("check",)])
def test_a_path_is_short_for_check(
    words: tuple[str, ...],
    make_artifact: Callable[..., Path],
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ran = call(capfd, bench, environment, *words, make_artifact())
    assert_error(ran, 2)
    assert "verification.npz is missing" in ran.err  # that is what check looks for, and latency does not


def test_a_command_wins_over_a_folder_of_its_name(
    tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latency").mkdir()
    monkeypatch.chdir(tmp_path)
    ran = call(capfd, bench, environment, "latency")
    assert_error(ran, 2)
    assert "ARTIFACT" in ran.err


def test_images_are_embedded_a_chunk_at_a_time(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []

    def brightness(*args: Any, **_: Any) -> npt.NDArray[np.float32]:
        lengths.append(len(args[3]))
        mean: npt.NDArray[np.float32] = args[3].mean(axis=(2, 3))
        return mean

    monkeypatch.setattr(_check, "embed", brightness)
    monkeypatch.setattr(_check, "_CHUNK", 2)
    split = array_split(5)
    images = [split.encoded(index) for index in range(5)]
    embedded = _embedded(tmp_path, manifest, images, find_device("local"), None)
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
    expected = _expected(gates, "fp32")
    assert expected.elements == elements
    assert abs(expected.zeros - zeros) <= 1


@pytest.mark.parametrize("missing", ["weights shipped", "zeros kept"])
def test_a_manifest_that_does_not_say(missing: str) -> None:
    gates = {name: gate(name, 1, 1) for name in ("weights shipped", "zeros kept") if name != missing}
    with pytest.raises(InvalidInput, match="does not say"):
        _expected(gates, "fp32")
