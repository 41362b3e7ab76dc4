from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from prunnet_export.artifact import read_manifest
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from tests._cli import Ran, assert_error, call, command_file, shell, tree
from tests.devices._sshd import Board, board, needs_sshd, wait_until

__all__ = ["board"]

pytestmark = needs_sshd
Environment = dict[str, str]

# Figures of the clock or the kernel, which differ in each run.
FIGURES = {
    "p50_ms", "p90_ms", "p99_ms", "mean_ms", "percentile_ms", "upper_ms", "cv", "n", "peak_mb", "message",
}  # fmt: skip


def without_figures(value: Any) -> Any:
    """A document without the measured figures."""
    if isinstance(value, dict):
        return {key: without_figures(item) for key, item in value.items() if key not in FIGURES}
    return [without_figures(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def words(tiny_network: Path, tiny_data: Path) -> list[str]:
    """Arguments of an export with budgets that an untrained network meets easily."""
    return [
        "--target=x86-onnxruntime",
        "--budget-ms=50",
        "--precision=fp32",
        f"--network={tiny_network}",
        f"--data={tiny_data}",
        "--min-recall=0",
        "--threads=1",
        "--output-format=json",
    ]


@pytest.fixture
def reaching(board: Board, environment: Environment) -> Environment:
    """The environment with an ssh that reaches the board."""
    return {**environment, "PATH": f"{board.bin}:{environment['PATH']}"}


def test_a_board_that_is_this_machine_says_what_this_machine_says(
    words: list[str], reaching: Environment, board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place, device = tmp_path / "dist", f"--device={board.url()}"
    local = call(capfd, export, reaching, *words, f"--out={place}")
    assert local.code == 0, local.err
    here = read_manifest(place)
    remote = shell(reaching, "prunnet-export", *words, device, f"--out={place}")
    assert remote.code == 0, remote.err
    assert not board.left()
    there = read_manifest(place)
    assert without_figures(json.loads(remote.out)) == without_figures(json.loads(local.out))
    assert there.files["model.onnx"] == here.files["model.onnx"]
    assert there.verification == here.verification
    again = call(capfd, bench, reaching, place, device, "--output-format=json")
    assert again.code == 0, again.err


def test_a_board_that_cannot_be_reached_ends_it_with_nothing_written(
    words: list[str], reaching: Environment, board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for url, code, message in (
        (board.url("/no/python"), 3, "there is no /no/python on ssh://"),
        ("ssh://-oProxyCommand=x", 2, "is no address of a device"),
    ):
        ran = call(capfd, export, reaching, *words, f"--device={url}", f"--out={tmp_path / 'dist'}")
        assert_error(ran, code, in_json=True)
        assert message in ran.err
    assert tree(tmp_path) == []


def test_an_sshd_that_is_killed_in_the_middle_ends_it_with_nothing_left(
    words: list[str], reaching: Environment, board: Board, tmp_path: Path
) -> None:
    line = [command_file("prunnet-export"), *words, f"--device={board.url()}", f"--out={tmp_path / 'dist'}"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=reaching) as running:
        wait_until(lambda: any("_worker" in command for command in board.sessions().values()), 60)
        while running.poll() is None:  # a connection that breaks is made again, so it is not killed once
            board.kill_sessions()
            time.sleep(0.02)
        out, err = running.communicate()
    assert_error(Ran(running.returncode, out, err), 3, in_json=True)
    assert "ssh://" in err
    assert tree(tmp_path) == []
    wait_until(lambda: not board.left())
