"""Every command is killed at random moments. What it leaves is whole, and the next run tidies up."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from prunnet_export.artifact import read_manifest, restore, verify_files
from prunnet_export.budget import Budget
from prunnet_export.datasets import open_dataset
from prunnet_export.network import load_checkpoint
from prunnet_export.training._journal import RECIPE_FILE
from prunnet_export.training._state import STATE_FILE
from tests._cli import write_network
from tests._inputs import write_folder
from tests.devices._sshd import wait_until
from tests.search._exports import PREDICTOR, Workshop

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("PRUNNET_KILL_ROUNDS", "300"))  # of all commands together
MARK = "PRUNNET_KILL_MARK"
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TRAIN = (
    "--backbone-option", "channels=8,16,24,32", "--crop-px", "16", "--batch-size", "8",
    "--capacities", "0.6,0.3", "--channel-multiple", "4", "--learning-rate", "0.05", "--epochs", "6", "--resume",
)  # fmt: skip
DIM = ("--embedding-dim", "8")
EXPORT = ("prunnet-export", "--network", "network", "--data", "data", "--pattern", "channel", "--budget-ms", "1000")


def write_teacher(file: Path) -> None:
    """A teacher in ONNX: the mean colour of an image, as eight numbers of unit length."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "weights"], ["g"], transB=1),
        helper.make_node("LpNormalization", ["g"], ["embeddings"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("images", kind, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("embeddings", kind, ["batch", 8])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)


@dataclass(frozen=True)
class Place:
    """A folder with what the commands need, and the environment of the commands."""

    folder: Path
    environment: dict[str, str]

    def start(self, command: tuple[str, ...]) -> subprocess.Popen[str]:
        name = command[0].removeprefix("prunnet-")
        source = f"from prunnet_export._start import {name}; print(flush=True); {name}()"
        process = subprocess.Popen(
            [sys.executable, "-c", source, *command[1:]],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()  # until then Python itself starts, and shows its own traceback of a Ctrl-C
        return process

    def run(self, command: tuple[str, ...]) -> tuple[int, str]:
        """The exit code and the standard error of a command that is not killed."""
        process = self.start(command)
        _, errors = process.communicate(timeout=300)
        return process.returncode, errors

    def temporary(self) -> set[str]:
        """What lies in the folder for temporary files."""
        return {entry.name for entry in Path(self.environment["TMPDIR"]).glob("prunnet-*")}

    def processes(self) -> list[int]:
        """The processes of the commands, without those that have ended."""
        mark = f"{MARK}={self.environment[MARK]}".encode()
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if mark in variables(entry)]


def variables(process: Path) -> list[bytes]:
    """The environment of a process; it has none when it has ended and nobody has waited for it."""
    with suppress(OSError):
        return (process / "environ").read_bytes().split(b"\0")
    return []


def whole(folder: Path) -> None:
    """An artifact is as it was or as it is now, or there is none yet."""
    restore(folder)
    if folder.exists():
        verify_files(folder, read_manifest(folder))


def nothing(_place: Place) -> None:
    """Nothing is left that could be checked."""


def check_run(place: Place) -> None:
    """A training that went on is the training that was never killed, to the byte."""
    if not (place.folder / "whole").exists():
        shutil.move(place.folder / "run", place.folder / "whole")
        return
    for name in ("network.safetensors", "config.json", STATE_FILE, RECIPE_FILE):
        assert (place.folder / "run" / name).read_bytes() == (place.folder / "whole" / name).read_bytes(), name
    shutil.rmtree(place.folder / "run")


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        words: Its words.
        killed: Checks what a killed one has left.
        ended: Checks and removes what one has made that was not killed.
    """

    words: tuple[str, ...]
    killed: Callable[[Place], None] = nothing
    ended: Callable[[Place], None] = nothing


def finished(place: Place) -> None:
    """The artifact is measured; the next one to finish is predicted again."""
    assert read_manifest(place.folder / "predicted").latency.source == "measured"
    shutil.rmtree(place.folder / "predicted")
    shutil.copytree(place.folder / "kept", place.folder / "predicted")


COMMANDS = {
    "train": Command(("prunnet-train", "data", *TRAIN, *DIM, "--out", "run"), ended=check_run),
    "train with workers": Command(
        ("prunnet-train", "data", *TRAIN, *DIM, "--workers", "1", "--out", "run"), ended=check_run
    ),
    "train for a teacher": Command(
        ("prunnet-train", "data", *TRAIN, "--match", "teacher.onnx", "--out", "run"), ended=check_run
    ),
    "export": Command(
        (*EXPORT, "--target", "x86-onnxruntime", "--precision", "fp32", "--min-recall", "0", "--out", "measured"),
        killed=lambda place: whole(place.folder / "measured"),
    ),
    "export with another engine": Command(
        (*EXPORT, "--target", "x86-mnn", "--precision", "fp32", "--min-recall", "0", "--out", "mnn"),
        killed=lambda place: whole(place.folder / "mnn"),
    ),
    "finish": Command(
        ("prunnet-export", "finish", "predicted"),
        killed=lambda place: whole(place.folder / "predicted"),
        ended=finished,
    ),
    "check": Command(("prunnet-bench", "measured"), killed=lambda place: whole(place.folder / "measured")),
    "latency": Command(("prunnet-bench", "latency", "measured")),
    "training cost": Command(
        (
            *("prunnet-bench", "training-cost", "--backbone-option", "channels=8,8,8,8", "--image-size", "32"),
            *("--repeats", "1", "--capacities", "0.6"),
        )
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("killed")
    (folder / "tmp").mkdir()
    write_folder(folder / "data", per_class=12, side=32)
    write_network(folder / "network")
    write_teacher(folder / "teacher.onnx")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CI": "1",
        "TMPDIR": str(folder / "tmp"),
        "PRUNNET_EXPORT_CACHE": str(folder / "cache"),
        MARK: secrets.token_hex(8),
    }
    return Place(folder, environment)


@pytest.fixture(scope="module", autouse=True)
def artifacts(place: Place) -> None:
    """An artifact that was measured, and one that was predicted, in two folders."""
    workshop = Workshop(
        load_checkpoint(place.folder / "network"), open_dataset(str(place.folder / "data")), place.folder / "cache"
    )
    workshop.export(Budget(latency_ms=1e6)).run(place.folder / "measured")
    workshop.export(Budget(latency_ms=1e6), predictor=PREDICTOR).run(place.folder / "predicted")
    shutil.copytree(place.folder / "predicted", place.folder / "kept")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed(name: str, place: Place) -> None:
    command, draw = COMMANDS[name], random.Random(name)  # noqa: S311  # moments, not secrets
    shutil.rmtree(place.folder / "whole", ignore_errors=True)
    began = time.monotonic()
    end_by_itself(command, place)
    seconds = time.monotonic() - began
    rounds = -(-ROUNDS // len(COMMANDS))
    left = [kill(command, place, after=draw.uniform(0, seconds), number=draw.choice(SIGNALS)) for _ in range(rounds)]
    end_by_itself(command, place)
    # Shown by pytest -rP.
    sys.stdout.write(f"{name}: {rounds} rounds; the last process of each ended after {max(left):.2f} s at most\n")


def end_by_itself(command: Command, place: Place) -> None:
    """Run a command to its end. Nothing temporary is left, also of those that were killed before."""
    code, errors = place.run(command.words)
    assert (code, "Traceback" in errors) == (0, False), errors
    assert not place.temporary()
    assert not list(place.folder.glob(".*"))
    command.killed(place)
    command.ended(place)


def kill(command: Command, place: Place, *, after: float, number: signal.Signals) -> float:
    """Start a command, and send a signal to its process alone; returns the seconds until its other processes ended."""
    before = place.temporary()
    process = place.start(command.words)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    moment = f"{number.name} after {after:.2f} s: {errors}"
    assert process.returncode in {0, 130, -number}, moment
    assert number == signal.SIGKILL or process.returncode == -number or "Traceback" not in errors, moment
    ended = time.monotonic()
    wait_until(lambda: not place.processes(), seconds=10)
    left = time.monotonic() - ended
    assert number == signal.SIGKILL or place.temporary() <= before, moment
    command.killed(place)
    if process.returncode == 0:
        command.ended(place)
    return left
