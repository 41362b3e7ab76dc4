"""``prunnet-train`` is killed at any moment, alone or beside another process, and goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from prunnet_export.training._journal import METRICS_FILE, RECIPE_FILE
from prunnet_export.training._state import STATE_FILE
from tests._inputs import write_folder

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from prunnet_export.training.cli import main; main()"]
TINY = [
    "--backbone-option", "channels=8,16,24,32", "--embedding-dim", "8", "--crop-px", "16", "--batch-size", "8",
    "--capacities", "0.6,0.3", "--channel-multiple", "4", "--learning-rate", "0.05",
]  # fmt: skip
FILES = {"config.json", METRICS_FILE, "network.safetensors", RECIPE_FILE, STATE_FILE}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "shop", per_class=24)


def start(
    *arguments: str | Path, cwd: Path, start_new_session: bool = False, **variables: str
) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "NO_COLOR": "1", **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=start_new_session,
    )  # fmt: skip


def start_two(*arguments: str | Path, cwd: Path) -> list[subprocess.Popen[str]]:
    """As torchrun does, but nobody watches over them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [
        start(*arguments, cwd=cwd, RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        for rank in ("0", "1")
    ]


def ended(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    """Its stdout, its stderr and its exit code."""
    return *process.communicate(timeout=120), process.returncode


def metrics(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / METRICS_FILE).read_text("utf-8").splitlines()]
    for line in lines:
        line.pop("seconds_per_step")
    return lines


def test_a_run_that_is_killed_again_and_again_ends_at_the_same_bytes(data: Path, tmp_path: Path) -> None:
    options: list[str | Path] = [data, *TINY, "--epochs", "12", "--resume", "--out"]
    began = time.monotonic()
    assert ended(start(*options, "whole", cwd=tmp_path))[2] == 0
    seconds = time.monotonic() - began
    draw = random.Random(0)  # noqa: S311  # moments, not secrets
    for delay in [draw.uniform(0.3, seconds) for _ in range(5)]:
        process = start(*options, "killed", cwd=tmp_path)
        time.sleep(delay)
        process.kill()
        ended(process)
    out, err, code = ended(start(*options, "killed", cwd=tmp_path))
    assert (err, code) == ("", 0)
    assert out.startswith("network: killed\n")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for name in ("network.safetensors", "config.json", STATE_FILE, RECIPE_FILE):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert metrics(killed) == metrics(whole)
    assert {file.name for file in killed.iterdir()} == FILES


def test_a_process_that_has_lost_the_other_says_so(data: Path, tmp_path: Path) -> None:
    processes = start_two(data, *TINY, "--epochs", "500", "--out", "run", cwd=tmp_path)
    lines = tmp_path / "run" / METRICS_FILE
    deadline = time.monotonic() + 100
    while not (lines.exists() and lines.read_bytes()):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    (out, err, code), (_, _, killed) = map(ended, processes)
    assert (code, killed) == (3, -signal.SIGKILL)
    assert err == (
        "error: process 0 of 2 lost another one of the group\n"
        "hint: see how that one ended; then repeat the same command with --resume\n"
    )
    assert out == ""


def test_an_image_that_one_of_two_cannot_read_is_named_once(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "shop")
    broken = data / "train" / "class-3" / "7.png"
    broken.write_bytes(broken.read_bytes()[:60])
    processes = start_two(data, *TINY, "--batch-size", "12", "--epochs", "1", cwd=tmp_path)
    said = [ended(process) for process in processes]
    assert sorted(code for _, _, code in said) == [2, 3]
    [err] = [err for _, err, _ in said if err]
    assert [line.split(":")[0] for line in err.splitlines()] == ["error", "hint"]
    assert str(broken) in err
    assert not any(out for out, _, _ in said)


def test_a_wrong_option_is_named_once(data: Path, tmp_path: Path) -> None:
    processes = start_two(data, "--epochs", "0", cwd=tmp_path)
    (out, err, code), other = (ended(process) for process in processes)
    assert (out, code) == ("", 2)
    assert "--epochs" in err
    assert other == ("", "", 2)


def test_a_terminal_that_interrupts_everybody_while_workers_start(data: Path, tmp_path: Path) -> None:
    process = start(data, *TINY, "--workers", "2", "--out", "run", cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 100
    while not workers_of(process.pid):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    out, err, code = ended(process)
    assert (out, code) == ("", 130), err
    assert [line.split(":")[0] for line in err.splitlines()] == ["error", "hint"], err


def workers_of(parent: int) -> list[str]:
    """The processes that decode images for another one."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    with suppress(FileNotFoundError):  # one that has ended meanwhile
        return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return []
