from __future__ import annotations

import errno
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prunnet_export._errors import InvalidInput, StorageError, UnsupportedPrecision, UsageError
from prunnet_export._lock import FolderLock
from prunnet_export.artifact import REFERENCE_FILE, Manifest, load, read_manifest, verify_files
from prunnet_export.budget import Budget
from prunnet_export.building import Build, Candidate
from prunnet_export.cli._context import NetworkChoice
from prunnet_export.cli._export_report import export_report
from prunnet_export.devices._protocol import LatencyRequest
from prunnet_export.evaluating import load_reference
from prunnet_export.runtimes import FloatLayers
from prunnet_export.search import Export, Outcome
from prunnet_export.search._outcome import Measured
from prunnet_export.thresholds import Thresholds
from tests._cli import tree
from tests.search._exports import TableDevice, Workshop, kilobytes

PROBE_RUNS = 3  # a confirmation has more runs
CONFIRM_SECONDS = 20


def rungs(export: Export, pattern: str = "channel") -> list[Candidate]:
    return export.candidates()[pattern, "fp32"]


def size_mb(export: Export, candidate: Candidate) -> float:
    return export.builder.build(candidate, re_estimated=True).size_mb


def between(export: Export, index: int) -> float:
    """A size in MB between those of rung ``index`` and of the next rung."""
    ladder = rungs(export)
    low, high = (size_mb(export, ladder[i]) for i in (index, index + 1))
    assert low < high
    return (low + high) / 2


def chosen(outcome: Outcome) -> float:
    return outcome.manifest.subnetwork.capacity


def assert_nothing_left(folder: Path, *expected: str) -> None:
    assert {entry.name for entry in folder.iterdir()} == set(expected)


def assert_whole(outcome: Outcome) -> Manifest:
    """The artifact on disk is the one that was reported, and can be used."""
    manifest = read_manifest(outcome.folder)
    verify_files(outcome.folder, manifest)
    # The manifest on disk is the outcome's, except the files, which the writer adds.
    assert manifest.created == outcome.manifest.created
    assert manifest.subnetwork == outcome.manifest.subnetwork
    assert manifest.verification == outcome.manifest.verification
    golden = ["golden/input.png", "golden/output.f32", "golden/pixels.u8"]
    assert sorted(manifest.files) == ["README.md", *golden, "model.onnx", REFERENCE_FILE]
    reference = load_reference(outcome.folder / REFERENCE_FILE)
    artifact = load(outcome.folder, allow_rejected=True)
    embeddings = artifact.embed(reference.images)
    assert float((embeddings * reference.subnetwork_queries).sum(1).min()) > 0.999
    return manifest


@pytest.mark.parametrize(("trained", "warned"), [([0.8, 0.3], True), ([0.1], False), (None, False)])
def test_a_cut_below_the_smallest_trained_capacity_is_warned_about_once(
    trained: list[float] | None, warned: bool, workshop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = workshop.checkpoint.config
    training = {} if trained is None else {"patterns": ["channel"], "capacities": trained}
    config = msgspec.structs.replace(config, training=training)
    workshop.checkpoint = replace(workshop.checkpoint, config=config)
    export = workshop.export(Budget(latency_ms=1), select="accuracy")
    smallest = rungs(export)[1]
    assert 0.1 <= smallest.capacity < 0.3
    export.budget = Budget(latency_ms=1000 * between(export, 1))
    export.run(tmp_path / "out")
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    found = [line for line in lines if "below 30%, the smallest capacity that this network was trained at" in line]
    assert len(found) == warned


def test_the_warning_comes_before_accuracies_are_measured(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    training: dict[str, Any] = {"patterns": ["channel"], "capacities": [0.8, 0.3]}
    config = msgspec.structs.replace(workshop.checkpoint.config, training=training)
    workshop.checkpoint = replace(workshop.checkpoint, config=config)
    export = workshop.export(Budget(latency_ms=1), select="accuracy")
    export.budget = Budget(latency_ms=1000 * between(export, 3))
    warned_before: list[bool] = []

    def accuracy(candidate: Candidate) -> float:
        warned_before.append(any("below 30%" in line for line in caplog.messages))
        return candidate.capacity

    monkeypatch.setattr(export, "_accuracy", accuracy)
    manifest = export.run(tmp_path / "out").manifest
    assert warned_before == [True] * len(warned_before) != []
    assert manifest.subnetwork.smallest_trained == 0.3


def test_the_largest_that_fits_is_chosen(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1))
    export.budget = Budget(latency_ms=1000 * between(export, 3))
    outcome = export.run(tmp_path / "out")
    manifest = assert_whole(outcome)
    expected = rungs(export)[3]
    assert chosen(outcome) == expected.capacity
    assert (manifest.status, outcome.folder, outcome.hint) == ("verified", tmp_path / "out", "")
    assert manifest.subnetwork.widths == expected.subnetwork.widths()
    assert manifest.latency.upper_ms == pytest.approx(1000 * size_mb(export, expected))
    assert manifest.dense_latency is not None
    assert manifest.dense_latency.upper_ms == pytest.approx(1000 * size_mb(export, rungs(export)[-1]))
    assert manifest.memory is not None
    assert manifest.memory.peak_mb > 0
    assert_nothing_left(tmp_path, "out")


@pytest.mark.parametrize("asked", [0.99999, None])
def test_too_few_pairs_for_a_threshold_are_said(
    asked: float | None, workshop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export = workshop.export(Budget(latency_ms=1e6), match_threshold=asked)
    export.evidence = export._verifier.evidence = replace(export.evidence, max_queries=5, max_gallery=20)
    outcome = export.run(tmp_path / "out")
    assert outcome.manifest.verification.match_thresholds == []
    assert outcome.no_threshold is not None
    assert "wrong pairs" in outcome.no_threshold
    early = [record.levelname for record in caplog.records if record.getMessage() == outcome.no_threshold]
    assert early == ([] if asked is None else ["WARNING"])
    choice = NetworkChoice(tmp_path, "tiny", "it is the test's")
    assert ("thresholds", f"none: {outcome.no_threshold}") in export_report(outcome, choice).tables[0].rows


def test_an_impossible_threshold_is_refused_before_anything_works(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="--teacher-threshold nan is no similarity of cosine"):
        workshop.export(Budget(latency_ms=1), match_threshold=float("nan"))


def test_the_frontier_is_what_was_measured(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1))
    export.budget = Budget(latency_ms=1000 * between(export, 3))
    device = export.device
    assert isinstance(device, TableDevice)
    manifest = export.run(tmp_path / "out").manifest
    capacities = [entry.capacity for entry in manifest.frontier]
    assert capacities == sorted(set(capacities))
    assert len(capacities) <= 2 + len(rungs(export)).bit_length()
    assert {entry.inside for entry in manifest.frontier} == {True, False}
    for entry in manifest.frontier:
        assert entry.inside == (entry.upper_ms <= (export.budget.latency_ms or 0))
    probes = [request.model for request in device.asked if request.seconds != CONFIRM_SECONDS]
    assert len(probes) == PROBE_RUNS * len(capacities)  # each candidate is measured once


def test_everything_fits(workshop: Workshop, tmp_path: Path) -> None:
    outcome = workshop.export(Budget(latency_ms=1e6)).run(tmp_path / "out")
    assert chosen(outcome) == 1
    verification = outcome.manifest.verification
    assert verification.cross_r1 == verification.teacher_self_r1 == verification.self_r1
    assert len(outcome.manifest.frontier) == 1


def test_nothing_fits(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=0.5))
    outcome = export.run(tmp_path / "out")
    manifest = assert_whole(outcome)
    fastest = rungs(export)[0]
    assert (manifest.status, outcome.folder) == ("rejected", tmp_path / "out.rejected")
    assert chosen(outcome) == fastest.capacity
    assert len(manifest.reasons) == 1
    assert f"no capacity fits p90 <= 0.5 ms; the fastest measured is {fastest}" in manifest.reasons[0]
    assert_nothing_left(tmp_path, "out.rejected")
    found = re.search(r"would fit --budget-ms (\S+)$", outcome.hint)
    assert found
    again = workshop.export(Budget(latency_ms=float(found[1]))).run(tmp_path / "again")
    assert again.manifest.status == "verified"
    assert float(found[1]) < 1.2 * manifest.latency.upper_ms


def test_a_size_budget(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1))
    export.budget = Budget(size_mb=between(export, 2))
    outcome = export.run(tmp_path / "out")
    assert chosen(outcome) == rungs(export)[2].capacity
    assert outcome.manifest.size_mb <= (export.budget.size_mb or 0)


def test_all_budgets_together_name_all_that_are_too_small(workshop: Workshop, tmp_path: Path) -> None:
    device = TableDevice(kilobytes, peak_mb=lambda size: size / 1e4)
    outcome = workshop.export(Budget(latency_ms=0.5, size_mb=1e-4, ram_mb=1e-3), device=device).run(tmp_path / "out")
    assert outcome.manifest.status == "rejected"
    assert re.search(r"would fit --budget-ms \S+ --budget-mb \S+ --budget-ram-mb \S+$", outcome.hint)


def test_a_memory_budget(workshop: Workshop, tmp_path: Path) -> None:
    device = TableDevice(kilobytes, peak_mb=lambda size: size / 1e3)
    export = workshop.export(Budget(latency_ms=1), device=device)
    export.budget = Budget(ram_mb=1e3 * between(export, 1))
    outcome = export.run(tmp_path / "out")
    assert outcome.manifest.status == "verified"
    assert chosen(outcome) == rungs(export)[1].capacity
    assert outcome.manifest.memory is not None
    assert outcome.manifest.memory.source == "table"


def test_memory_that_grows_after_the_search_is_rejected(workshop: Workshop, tmp_path: Path) -> None:
    asked: list[int] = []

    def peak(size: int) -> float:
        asked.append(size)
        return 1 if len(asked) == 1 else 3

    device = TableDevice(kilobytes, peak_mb=peak)
    outcome = workshop.export(Budget(ram_mb=2), device=device).run(tmp_path / "out")
    assert outcome.manifest.status == "rejected"
    assert outcome.manifest.reasons == ["memory: 3.00 MiB, over the budget of 2 MiB"]


def slower_when_confirmed(factor: float) -> TableDevice:
    """A device that is slower in a longer measurement, e.g. because of another load."""

    def table(size: int, request: LatencyRequest) -> float:
        return size / 1000 * (factor if request.seconds == CONFIRM_SECONDS else 1)

    return TableDevice(table)


def test_a_confirmation_that_disagrees_steps_down(
    workshop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="prunnet_export")
    export = workshop.export(Budget(latency_ms=1))
    limit = 1000 * between(export, 3)
    factor = limit / (1000 * between(export, 2))  # in the confirmation, one rung less fits
    export.budget = Budget(latency_ms=limit)
    export.device = slower_when_confirmed(factor)
    outcome = export.run(tmp_path / "out")
    assert outcome.manifest.status == "verified"
    assert chosen(outcome) == rungs(export)[2].capacity
    assert outcome.manifest.latency.upper_ms <= limit
    assert any("is not taken: latency" in line for line in caplog.messages)


def test_a_device_that_never_confirms_is_rejected(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1))
    export.budget = Budget(latency_ms=1000 * between(export, 1))
    export.device = slower_when_confirmed(10)
    outcome = export.run(tmp_path / "out")
    assert outcome.manifest.status == "rejected"
    assert chosen(outcome) == rungs(export)[0].capacity
    assert "latency: p90 is up to" in outcome.manifest.reasons[0]


def test_a_bound_that_is_wide_gets_a_longer_look(workshop: Workshop, tmp_path: Path) -> None:
    calls = 0

    def disturbed_once(size: int, _request: LatencyRequest) -> float:
        nonlocal calls
        calls += 1
        return size / 1000 * (3 if calls == 1 else 1)

    export = workshop.export(Budget(latency_ms=1))
    export.budget = Budget(latency_ms=1000 * size_mb(export, rungs(export)[-1]) * 1.1)
    export.device = device = TableDevice(disturbed_once)
    outcome = export.run(tmp_path / "out")
    assert chosen(outcome) == 1
    # Two models take turns when the choice is confirmed: the candidate and the dense network.
    assert [request.seconds for request in device.asked] == [5] * PROBE_RUNS + [10] * 5 + [CONFIRM_SECONDS] * 10


def test_the_percentile_is_the_one_that_was_asked_for(workshop: Workshop, tmp_path: Path) -> None:
    outcome = workshop.export(Budget(latency_ms=1e6, percentile=99)).run(tmp_path / "out")
    latency = outcome.manifest.latency
    assert (latency.percentile, outcome.manifest.budget.percentile) == (99, 99)
    assert latency.n >= 299  # fewer samples give no bound of p99


def test_the_fastest_of_equals_wins_over_patterns(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1), patterns=("channel", "unstructured"))
    export.budget = Budget(latency_ms=1000 * between(export, 3))
    outcome = export.run(tmp_path / "out")
    # Unstructured zeros stay in the file, so no unstructured candidate is smaller than the dense one.
    assert outcome.manifest.subnetwork.pattern == "channel"
    assert {entry.pattern for entry in outcome.manifest.frontier} == {"channel", "unstructured"}


def test_unstructured_zeros_arrive(workshop: Workshop, tmp_path: Path) -> None:
    export = workshop.export(Budget(latency_ms=1e6), patterns=("unstructured",))
    export._rungs = {("unstructured", "fp32"): rungs(export, "unstructured")[19:20]}
    outcome = export.run(tmp_path / "out")
    manifest = assert_whole(outcome)
    assert manifest.subnetwork.capacity == pytest.approx(0.5, abs=0.02)
    [kept] = [gate for gate in manifest.verification.gates if gate.name == "zeros kept"]
    assert kept.passed
    assert kept.value > 0.4
    assert kept.threshold is not None
    assert kept.threshold > 0.4


def test_select_accuracy_takes_the_best_verified(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = workshop.export(Budget(latency_ms=1), select="accuracy")
    export.budget = Budget(latency_ms=1000 * between(export, 3))
    asked = []

    def accuracy(candidate: Candidate) -> float:
        asked.append(candidate)
        return -candidate.capacity  # the smallest is the best

    monkeypatch.setattr(export, "_accuracy", accuracy)
    outcome = export.run(tmp_path / "out")
    assert chosen(outcome) == min(candidate.capacity for candidate in asked)
    assert len(asked) == sum(entry.inside for entry in outcome.manifest.frontier) > 1


def test_accuracy_is_the_cross_test_or_the_overlap(workshop: Workshop) -> None:
    export = workshop.export(Budget(latency_ms=1e6), select="accuracy")
    candidate = rungs(export)[-1]
    assert 0 <= export._accuracy(candidate) <= 1
    assert export._verifier.side.relevance is not None


@pytest.mark.parametrize(
    ("thresholds", "gate"),
    [
        (Thresholds(recall=0, spread=0, parity=1.5), "parity"),
        (Thresholds(recall=2.0, spread=0), "cross-test recall"),
    ],
)
def test_a_verification_that_fails_is_rejected(
    thresholds: Thresholds, gate: str, workshop: Workshop, tmp_path: Path
) -> None:
    outcome = workshop.export(Budget(latency_ms=1e6), thresholds=thresholds).run(tmp_path / "out")
    manifest = assert_whole(outcome)
    assert outcome.folder == tmp_path / "out.rejected"
    assert any(reason.startswith(f"{gate}: ") for reason in manifest.reasons)
    assert {one.name for one in manifest.verification.gates if not one.passed} >= {gate}
    assert_nothing_left(tmp_path, "out.rejected")


@pytest.mark.parametrize(
    ("error", "seen_as"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (InvalidInput("no", hint="yes"), InvalidInput),
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
    ],
)
def test_an_end_in_the_middle_leaves_nothing(
    error: BaseException,
    seen_as: type[BaseException],
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def fail(*_: object) -> None:
        seen.extend(tree(tmp_path))
        raise error

    monkeypatch.setattr("prunnet_export.search._export.save_reference", fail)
    with pytest.raises(seen_as):
        workshop.export(Budget(latency_ms=1e6)).run(tmp_path / "deep" / "out")
    assert any(".partial-" in name and name.endswith("model.onnx") for name in seen)
    assert not tree(tmp_path / "deep")


def test_a_place_that_is_taken_costs_no_search(workshop: Workshop, tmp_path: Path) -> None:
    device = TableDevice(kilobytes)
    lock = FolderLock(tmp_path / "out")
    lock.acquire()
    with pytest.raises(StorageError, match="another process"):
        workshop.export(Budget(latency_ms=1), device=device).run(tmp_path / "out")
    lock.close()
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StorageError):
        workshop.export(Budget(latency_ms=1), device=device).run(tmp_path / "file")
    assert not device.asked
    assert tree(tmp_path) == ["file"]


def test_the_same_export_again_is_the_same_model(workshop: Workshop, tmp_path: Path) -> None:
    first, second = (workshop.export(Budget(latency_ms=1e6)).run(tmp_path / name) for name in ("a", "b"))
    for name in ("model.onnx", REFERENCE_FILE):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def test_where_nothing_can_be_searched_the_reason_is_told(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = workshop.export(Budget(latency_ms=1), patterns=("channel", "block"))

    def lacking(_candidate: Candidate) -> Measured:
        raise UnsupportedPrecision("this processor has no fp32", hint="use another")

    monkeypatch.setattr(export, "_probe", lacking)
    with pytest.raises(UnsupportedPrecision, match="has no fp32"):
        export.run(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_memory_of_an_engine_that_is_built_later_cannot_be_limited(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = workshop.export(Budget(latency_ms=1e6, ram_mb=100))
    monkeypatch.setattr(export.runtime, "built", lambda _file: False)
    with pytest.raises(UsageError, match="peak memory is not known before onnxruntime has built its engine"):
        export.run(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_accuracy_passes_over_what_cannot_be_verified_here(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = workshop.export(Budget(latency_ms=1), select="accuracy")
    export.budget = Budget(latency_ms=1000 * between(export, 3))
    lacking = {rungs(export)[0]}

    def accuracy(candidate: Candidate) -> float:
        if candidate in lacking:
            raise UnsupportedPrecision("this processor has no fp32", hint="use another")
        return -candidate.capacity

    monkeypatch.setattr(export, "_accuracy", accuracy)
    assert chosen(export.run(tmp_path / "out")) > rungs(export)[0].capacity
    lacking |= set(rungs(export))
    with pytest.raises(UnsupportedPrecision):
        export.run(tmp_path / "none")


def test_int8_that_is_not_faster_is_not_chosen(
    workshop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="prunnet_export")
    for table, expected in ((lambda _size, _request: 1.0, "fp32"), (kilobytes, "int8")):
        export = workshop.export(Budget(latency_ms=1e6), device=TableDevice(table))
        small, large = rungs(export)[-2:]
        export.precisions = ("fp32", "int8")
        # Only INT8 has the larger candidate, so it is tried first.
        export._rungs = {
            ("channel", "fp32"): [small],
            ("channel", "int8"): [replace(one, precision="int8") for one in (small, large)],
        }
        outcome = export.run(tmp_path / expected)
        assert outcome.manifest.subnetwork.precision == expected
        told = [line for line in caplog.messages if "is not faster than fp32 of the same capacity" in line]
        assert len(told) == 1  # of the first export
        assert "p50 1.00 and 1.00 ms" in told[0]


def test_int8_may_be_needed_for_its_size(workshop: Workshop) -> None:
    export = workshop.export(Budget(latency_ms=1e6), device=TableDevice(lambda _size, _request: 1.0))
    export.precisions = ("fp32", "int8")
    build = export.builder.build(replace(rungs(export)[-1], precision="int8"), re_estimated=True)
    assert len(export._not_faster(build)) == 1
    export.budget = Budget(latency_ms=1e6, size_mb=build.size_mb)
    assert export._not_faster(build) == []


def test_layers_in_float_and_layers_that_harm_are_told(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = workshop.export(Budget(latency_ms=1e6), thresholds=Thresholds(recall=0, spread=0, parity=1.5))
    build_it = export.builder.build

    def build(*args: Any, **options: Any) -> Build:
        layers = FloatLayers(kept=("stem", "head"), harmful=("layer1.conv1", "layer2.conv2"))
        return replace(build_it(*args, **options), float_layers=layers)

    monkeypatch.setattr(export.builder, "build", build)
    manifest = export.run(tmp_path / "out").manifest
    assert manifest.subnetwork.float_layers == ["stem", "head"]
    assert manifest.reasons[-1] == "layers that lose most in INT8: layer1.conv1, layer2.conv2"
