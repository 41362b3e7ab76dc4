from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from prunnet_export.benchmarks import _calibrate_command
from prunnet_export.benchmarks._calibrate import capability_checks
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.prediction import Calibration
from prunnet_export.target import find_target
from tests._cli import Ran, assert_error, call, shell
from tests.prediction._rows import row, table, workload

Environment = dict[str, str]
SMALL = ("--target=x86-onnxruntime", "--backbone=resnet10t", "--crop-px=32", "--threads=1", "--samples=10")


@pytest.fixture(scope="module")
def measured(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """A grid of one capacity by one pattern, and its file."""
    file = tmp_path_factory.mktemp("calibration") / "tables" / "t.json"
    words = (
        *SMALL,
        "--crop-px=48x32",
        "--pattern=channel",
        "--capacities=0.2",
        "--out",
        str(file),
        "--output-format=json",
    )
    return shell(environment, "prunnet-bench", "calibrate", *words), file


def test_the_table_is_written_and_is_the_one_that_is_printed(measured: tuple[Ran, Path]) -> None:
    ran, file = measured
    assert ran.code == 0, ran.err
    table = msgspec.json.decode(file.read_bytes(), type=Calibration)
    printed = json.loads(ran.out)
    assert printed.pop("file") == str(file)
    assert [check["name"] for check in printed.pop("checks")] == ["onnxruntime, channel"]
    assert msgspec.convert(printed, Calibration) == table
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_the_grid_beside_the_dense_network(measured: tuple[Ran, Path]) -> None:
    table = msgspec.json.decode(measured[1].read_bytes(), type=Calibration)
    assert (table.backbone, table.target, table.crop_px, table.runtime) == (
        "resnet10t",
        "x86-onnxruntime",
        (48, 32),
        "onnxruntime",
    )
    assert table.threads == 1
    assert table.source == "measured"
    dense, cut, dense_int8, cut_int8 = table.rows
    assert (dense.pattern, dense.capacity, dense.kept, dense.speedup) == ("dense", 1, 1, 1)
    assert [one.precision for one in table.rows] == ["fp32", "fp32", "int8", "int8"]
    assert (dense_int8.pattern, cut_int8.pattern, cut_int8.kept) == ("dense", "channel", cut.kept)
    assert dense_int8.size_mb < 0.5 * dense.size_mb
    assert (cut.pattern, cut.capacity) == ("channel", 0.2)
    assert cut.kept <= 0.25
    assert cut.size_mb < 0.5 * dense.size_mb
    for one in table.rows:
        assert one.n >= 30
        assert 0 < one.p50_ms <= one.p90_ms
        assert one.speedup == pytest.approx(dense.p50_ms / one.p50_ms)


def test_several_targets_are_measured_in_one_run(
    environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        _calibrate_command, "find_target", lambda name: replace(find_target(name), precisions=("fp32",))
    )
    environment = {**environment, "PRUNNET_EXPORT_CACHE": str(tmp_path)}
    words = ("--target=x86-openvino", "--pattern=channel", "--capacities=0.2", "--output-format=json")
    ran = call(capfd, bench, environment, "calibrate", *SMALL, *words)
    assert ran.code == 0, ran.err
    tables = json.loads(ran.out)["tables"]
    assert [(one["target"], one["runtime"]) for one in tables] == [
        ("x86-onnxruntime", "onnxruntime"),
        ("x86-openvino", "openvino"),
    ]
    for one in tables:
        assert one["rows"][0]["speedup"] == 1
        assert {row["pattern"] for row in one["rows"]} == {"dense", "channel"}
        assert msgspec.json.decode(Path(one["file"]).read_bytes(), type=Calibration).target == one["target"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--backbone=resnet_of_doom",), "resnet_of_doom"),
        (("--pattern=chanel",), "did you mean 'channel'?"),
        (("--device=mars",), "mars"),
        (("--capacities=much",), "--capacities"),
        (("--capacities=,",), "--capacities"),
        (("--capacities=0",), "capacity 0"),
        (("--capacities=nan",), "capacity nan"),
        (("--target=x86-openvino",), "--out is one table"),
    ],
    ids=str,
)
def test_bad_input(
    args: tuple[str, ...],
    told: str,
    environment: Environment,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ran = call(capfd, bench, environment, "calibrate", *SMALL, "--out", tmp_path / "t.json", *args)
    assert_error(ran, 2)
    assert told in ran.err
    assert not list(tmp_path.iterdir())


def test_an_unknown_target(environment: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    ran = call(capfd, bench, environment, "calibrate", "--target=toaster")
    assert_error(ran, 2)
    assert "toaster" in ran.err


@pytest.mark.parametrize(
    ("pattern", "speedup", "holds"),
    [("channel", 3.0, True), ("channel", 1.0, False), ("block", 1.0, True), ("block", 2.0, False)],
)
def test_what_a_runtime_is_said_to_do_is_held_against_what_was_measured(
    pattern: str, speedup: float, holds: bool
) -> None:
    work = workload(10**9)
    dense = row(work, 10, pattern="dense")
    large = msgspec.structs.replace(row(work, 10, pattern=pattern), kept=0.9, speedup=1.0)
    small = msgspec.structs.replace(row(work, 10, pattern=pattern), kept=0.1, speedup=speedup)
    [check] = capability_checks(table([dense, large, small]))
    assert check.passed == holds
    assert f"{speedup:.2f}x" in check.message
