"""The place where an export measures: this machine only if it is the target's device, else latencies are predicted."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import InvalidInput, UnknownName, Unreachable, UsageError
from prunnet_export.budget import Budget
from prunnet_export.cli._place import Place, choose_place, predictor_for
from prunnet_export.devices import LocalDevice
from prunnet_export.query import Query
from prunnet_export.runtimes import Runtime, find_runtime
from prunnet_export.target import Target, find_target
from tests.prediction._rows import rows, table

HERE = replace(find_target("x86-onnxruntime"), machines=(platform.machine(),))
ELSEWHERE = replace(HERE, machines=("m68k",), device="home computer")


def place(name: str, target: Target = HERE, runtime: Runtime | None = None, *, require: bool = False) -> Place:
    return choose_place(name, target, runtime or find_runtime("onnxruntime"), require_measured=require)


class Chipless(type(find_runtime("onnxruntime"))):  # type: ignore[misc]  # a class that is found at run time
    """A runtime whose chip this machine lacks."""

    def obstacle(self) -> str:
        return "no such chip"


@pytest.mark.parametrize("name", ["auto", "local"])
def test_a_target_that_is_here_is_measured_here(name: str) -> None:
    found = place(name, require=True)
    assert isinstance(found.device, LocalDevice)
    assert (found.obstacle, found.by_twin) == (None, False)
    assert found.key == found.device.fingerprint().id


@pytest.mark.parametrize("name", ["auto", "local"])
def test_an_emulated_machine_verifies_and_measures_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = msgspec.structs.replace(LocalDevice().fingerprint(), emulator="QEMU")
    monkeypatch.setattr(LocalDevice, "fingerprint", lambda _: machine)
    found = place(name)
    assert found.obstacle is not None
    assert "emulated (QEMU)" in found.obstacle
    assert (found.by_twin, found.key) == (False, "predicted")
    with pytest.raises(Unreachable, match="cannot be measured here"):
        place(name, require=True)


def test_another_processor_is_predicted_and_verified_by_the_runtime_itself() -> None:
    found = place("auto", ELSEWHERE)
    assert found.obstacle is not None
    assert "home computer (m68k)" in found.obstacle
    assert (found.by_twin, found.key) == (False, "predicted")


def test_a_runtime_without_its_chip_is_predicted_and_verified_by_a_twin() -> None:
    found = place("auto", HERE, Chipless())
    assert (found.obstacle, found.by_twin) == ("no such chip", True)


@pytest.mark.parametrize("runtime", [None, Chipless()])
def test_prediction_can_be_asked_for(runtime: Runtime | None) -> None:
    assert place("predicted", HERE, runtime).obstacle == "--device predicted"


@pytest.mark.parametrize("name", ["auto", "local", "predicted"])
def test_what_must_be_measured_is_not_predicted(name: str) -> None:
    with pytest.raises(Unreachable, match="cannot be measured here") as caught:
        place(name, ELSEWHERE, require=True)
    assert caught.value.exit_code == 3
    assert "ssh://user@host" in caught.value.hint


def test_local_means_local() -> None:
    with pytest.raises(Unreachable, match="does not run here: no such chip"):
        place("local", HERE, Chipless())


def test_an_unknown_device() -> None:
    with pytest.raises(UnknownName, match="mars"):
        place("mars")


def test_memory_is_not_predicted() -> None:
    with pytest.raises(UsageError, match="peak memory is not predicted"):
        predictor_for(ELSEWHERE, place("auto", ELSEWHERE), Budget(ram_mb=10), [])


def test_an_end_to_end_latency_is_not_predicted() -> None:
    budget = Budget(latency_ms=10, query=Query(scope="end-to-end", photo_px=(3024, 4032)))
    with pytest.raises(UsageError, match="an end-to-end latency is not predicted") as caught:
        predictor_for(ELSEWHERE, place("auto", ELSEWHERE), budget, [])
    assert caught.value.exit_code == 2
    assert "--scope compute" in caught.value.hint


def test_a_table_of_one_image_is_not_for_batches(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="calibration tables are of one image"):
        predictor_for(ELSEWHERE, place("auto", ELSEWHERE), Budget(10, query=Query(batch_size=8)), [tmp_path / "t.json"])


def test_a_table_is_for_predictions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--calibration"):
        predictor_for(HERE, place("local"), Budget(latency_ms=10), [tmp_path / "t.json"])
    assert predictor_for(HERE, place("local"), Budget(latency_ms=10), []) is None


def test_given_tables_come_before_those_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached, given = table(rows(lambda _: 1.0)), table(rows(lambda _: 2.0))
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "t.json").write_bytes(msgspec.json.encode(cached))
    (tmp_path / "given.json").write_bytes(msgspec.json.encode(given))
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path))
    where, budget = place("predicted"), Budget(latency_ms=10)
    from_cache = predictor_for(HERE, where, budget, [])
    from_file = predictor_for(HERE, where, budget, [tmp_path / "given.json"])
    assert from_cache is not None
    assert from_file is not None
    assert (from_cache.tables, from_file.tables) == ([cached], [given])


def test_a_table_of_another_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(msgspec.json.encode(table([], target="x86-openvino")))
    with pytest.raises(UsageError, match="is a table of x86-openvino"):
        predictor_for(HERE, place("predicted"), Budget(latency_ms=10), [tmp_path / "t.json"])
    with pytest.raises(InvalidInput, match="cannot be read"):
        predictor_for(HERE, place("predicted"), Budget(latency_ms=10), [tmp_path / "none.json"])


def test_a_table_of_other_threads_predicts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "calibration" / "t.json"
    file.parent.mkdir()
    file.write_bytes(msgspec.json.encode(table(rows(lambda _: 1.0))))
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path))
    where, budget = place("predicted"), Budget(latency_ms=10)
    for threads, found in ((2, 1), (1, 0), (None, 1)):
        predictor = predictor_for(HERE, where, budget, [], threads=threads)
        assert predictor is not None
        assert len(predictor.tables) == found
    with pytest.raises(UsageError, match="is a table of 2 threads"):
        predictor_for(HERE, where, budget, [file], threads=1)
