"""One untrained network, one miniature data set, and the commands as a shell and as a test run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import click
import pytest
import torch

from prunnet_export import _interrupts
from prunnet_export._console import run as run_to_the_end
from prunnet_export.cli import print_failure
from prunnet_export.network import PrunableNetwork, build_embedder, save_checkpoint
from prunnet_export.network_config import BackboneOption
from prunnet_export.preprocessing import Preprocessing
from tests._inputs import randomise, write_folder

__all__ = [
    "Ran",
    "assert_error",
    "call",
    "command_file",
    "environment",
    "shell",
    "signals_kept",
    "tiny_data",
    "tiny_network",
    "tree",
]

CROP, DIM = 32, 16
OPTIONS: dict[str, BackboneOption] = {"channels": [8, 16, 16, 16]}
SECONDS = 400  # time limit of a command; machines of build servers may be slow


@dataclass(frozen=True)
class Ran:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def write_network(folder: Path, *, dim: int = DIM, seed: int = 0) -> Path:
    """A checkpoint of an untrained network."""
    torch.manual_seed(seed)
    preprocessing = Preprocessing(crop=CROP, resize=CROP)
    embedder = build_embedder("resnet18", dim=dim, preprocessing=preprocessing, options=OPTIONS)
    network = PrunableNetwork(embedder, size=(CROP, CROP), seed=seed)
    randomise(embedder, seed=seed)
    save_checkpoint(
        folder,
        network.eval(),
        backbone="resnet18",
        backbone_options=OPTIONS,
        preprocessing=preprocessing,
        data=None,
        training={},
    )
    return folder


@pytest.fixture(scope="session")
def tiny_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained network; no test changes it."""
    return write_network(tmp_path_factory.mktemp("networks") / "tiny")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder data set of a few small images; no test changes it."""
    return write_folder(tmp_path_factory.mktemp("data") / "tiny", side=CROP)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell without terminal, with a cache that commands share."""
    kept = {key: value for key, value in os.environ.items() if key not in {"CI", "FORCE_COLOR", "TTY_COMPATIBLE"}}
    cache = folder_of_the_run(tmp_path_factory, "cache")
    return {**kept, "PRUNNET_EXPORT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def folder_of_the_run(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that the processes of one test run share."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


def command_file(name: str) -> str:
    """The console script in the interpreter's folder."""
    return str(Path(sys.executable).with_name(name))


def shell(environment: dict[str, str], *command: str | Path, cwd: Path | None = None) -> Ran:
    """Run a command in a process of its own; the first word may be one of our console scripts."""
    words = [str(word) for word in command]
    if words[0].startswith("prunnet-"):
        words[0] = command_file(words[0])
    done = subprocess.run(words, capture_output=True, check=False, text=True, env=environment, cwd=cwd, timeout=SECONDS)
    return Ran(done.returncode, done.stdout, done.stderr)


def call(
    capfd: pytest.CaptureFixture[str], command: click.Command, environment: dict[str, str], *args: str | Path
) -> Ran:
    """Run a command in this process, from its arguments to its exit code."""
    capfd.readouterr()
    words = [str(arg) for arg in args]
    with (
        patch.object(sys, "argv", ["prunnet", *words]),
        patch.dict(os.environ, environment),
        signals_kept(),
        pytest.raises(SystemExit) as ended,
    ):
        run_to_the_end(command, name="prunnet", extra="host", report=print_failure)
    assert isinstance(ended.value.code, int)
    return Ran(ended.value.code, *capfd.readouterr())


@contextmanager
def signals_kept() -> Iterator[None]:
    """Give the handlers back that a command sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with patch.object(sys, "unraisablehook", sys.unraisablehook), patch.object(_interrupts, "_came", []):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def assert_error(ran: Ran, code: int, *, in_json: bool = False) -> None:
    """Assert the documented exit code, one ``error:`` and one ``hint:`` line, and no other output.

    With ``--output-format json`` the error is also on stdout.
    """
    lines = ran.err.splitlines()
    assert ran.code == code, ran.err
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], ran.err
    assert all(len(line) > len("error: ") for line in lines)
    assert "internal error" not in ran.err
    assert "Traceback" not in ran.err
    if in_json:
        [reported] = json.loads(ran.out)["errors"]
        assert lines == [f"error: {reported['message']}", f"hint: {reported['hint']}"]
    else:
        assert not ran.out


def tree(folder: Path) -> list[str]:
    """Everything below a folder, hidden files too."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*"))
