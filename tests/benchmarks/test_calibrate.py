from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.prediction import Calibration
from tests._cli import Ran, assert_error, call, shell

Environment = dict[str, str]
SMALL = ("--target=x86-onnxruntime", "--backbone=resnet10t", "--crop-px=32", "--threads=1", "--samples=10")


@pytest.fixture(scope="module")
def measured(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """A grid of one capacity by one pattern, and its file."""
    file = tmp_path_factory.mktemp("calibration") / "tables" / "t.json"
    words = (*SMALL, "--pattern=channel", "--capacities=0.2", "--out", str(file), "--output-format=json")
    return shell(environment, "prunnet-bench", "calibrate", *words), file


def test_the_table_is_written_and_is_the_one_that_is_printed(measured: tuple[Ran, Path]) -> None:
    ran, file = measured
    assert ran.code == 0, ran.err
    table = msgspec.json.decode(file.read_bytes(), type=Calibration)
    printed = json.loads(ran.out)
    assert printed.pop("file") == str(file)
    assert msgspec.convert(printed, Calibration) == table
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_the_grid_beside_the_dense_network(measured: tuple[Ran, Path]) -> None:
    table = msgspec.json.decode(measured[1].read_bytes(), type=Calibration)
    assert (table.backbone, table.target, table.crop_px, table.runtime) == (
        "resnet10t",
        "x86-onnxruntime",
        32,
        "onnxruntime",
    )
    assert table.threads == 1
    assert table.source == "measured"
    dense, cut = table.rows
    assert (dense.pattern, dense.capacity, dense.kept, dense.speedup) == ("dense", 1, 1, 1)
    assert (cut.pattern, cut.capacity) == ("channel", 0.2)
    assert cut.kept <= 0.25
    assert cut.size_mb < 0.5 * dense.size_mb
    for row in table.rows:
        assert row.precision == "fp32"
        assert row.n >= 30
        assert 0 < row.p50_ms <= row.p90_ms
        assert row.speedup == pytest.approx(dense.p50_ms / row.p50_ms)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--backbone=resnet_of_doom",), "resnet_of_doom"),
        (("--pattern=chanel",), "did you mean 'channel'?"),
        (("--target=toaster",), "toaster"),
        (("--device=mars",), "mars"),
        (("--capacities=much",), "--capacities"),
        (("--capacities=,",), "--capacities"),
        (("--capacities=0",), "capacity 0"),
        (("--capacities=nan",), "capacity nan"),
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
