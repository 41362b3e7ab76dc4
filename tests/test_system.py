"""The device side on a Python that has only what Windows has: loading, embedding, finishing and measuring again."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from prunnet_export.artifact import load, read_manifest
from prunnet_export.budget import Budget
from prunnet_export.datasets import open_dataset
from prunnet_export.network import load_checkpoint
from tests._cli import assert_error, command_file, environment, shell, tiny_data, tiny_network, tree
from tests._shims import with_shim
from tests.search._exports import PREDICTOR, Workshop

__all__ = ["environment", "tiny_data", "tiny_network"]

EMBED = """
import sys
import numpy as np
import prunnet_export
np.save(sys.argv[2], prunnet_export.load(sys.argv[1], threads=1).embed(sys.argv[3:]))
"""


@pytest.fixture
def windows(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a command that runs as on Windows. Its temporary files lie in ``temporary``."""
    (tmp_path / "temporary").mkdir()
    shimmed = with_shim(environment, "_as_windows", tmp_path / "shim")
    return {**shimmed, "TMPDIR": str(tmp_path / "temporary")}


@pytest.fixture(scope="module")
def exported(tiny_network: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose latency is predicted."""
    folder = tmp_path_factory.mktemp("exported")
    workshop = Workshop(load_checkpoint(tiny_network), open_dataset(str(tiny_data)), folder / "builds")
    return workshop.export(Budget(latency_ms=1000), predictor=PREDICTOR).run(folder / "dist").folder


@pytest.fixture
def artifact(exported: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(exported, tmp_path / "dist")


def test_finish_and_bench(artifact: Path, windows: dict[str, str], tmp_path: Path) -> None:
    ran = shell(windows, "prunnet-export", "finish", artifact, "--threads=1", "--output-format=json")
    assert ran.code == 0, ran.err
    assert all("coefficient of variation" in line for line in ran.err.splitlines()), ran.err
    finished = read_manifest(artifact)
    assert (finished.status, finished.latency.source) == ("verified", "measured")
    assert finished.memory is not None
    ran = shell(windows, "prunnet-bench", artifact, f"--results={tmp_path / 'results'}", "--output-format=json")
    assert ran.code == 0, ran.err
    assert all(check["passed"] for check in json.loads(ran.out)["checks"])
    left = {name.partition("/")[0] for name in tree(tmp_path)}
    assert left == {"dist", "results", "shim", "temporary"}
    assert not [name for name in tree(tmp_path / "temporary") if name.startswith("prunnet-")]


def test_load_and_embed(artifact: Path, tiny_data: Path, windows: dict[str, str], tmp_path: Path) -> None:
    images = sorted(tiny_data.glob("query/*/*.png"))
    ran = shell(windows, sys.executable, "-c", EMBED, artifact, tmp_path / "vectors.npy", *images)
    assert ran.code == 0, ran.err
    assert not ran.err
    there = np.load(tmp_path / "vectors.npy", allow_pickle=False)
    np.testing.assert_allclose(there, load(artifact, threads=1).embed(images), atol=1e-6)


def test_a_folder_that_another_process_writes_is_left_alone(artifact: Path, windows: dict[str, str]) -> None:
    source = """
import subprocess, sys
from pathlib import Path
from prunnet_export._lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
code = subprocess.run([sys.argv[2], "finish", sys.argv[1]]).returncode
lock.close()
sys.exit(code)
"""
    ran = shell(windows, sys.executable, "-c", source, artifact, command_file("prunnet-export"))
    assert ran.code == 2
    assert "another process writes to" in ran.err
    assert [entry.name for entry in artifact.parent.glob(".*")] == []


def test_errors_are_as_elsewhere(artifact: Path, windows: dict[str, str]) -> None:
    (artifact / read_manifest(artifact).entry).write_bytes(b"no model")
    assert_error(shell(windows, "prunnet-bench", artifact), 2)
    assert_error(shell(windows, "prunnet-export", "finish", artifact), 2)


def test_the_shim_takes_away_what_it_says(windows: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = """
import os, signal, select, subprocess, sys, ctypes
from prunnet_export._system import WINDOWS
assert WINDOWS and not hasattr(signal, "SIGHUP") and not hasattr(select, "poll")
for attempt in (
    lambda: __import__("fcntl"), lambda: __import__("resource"), lambda: os.open("/", os.O_RDONLY),
    lambda: subprocess.Popen([sys.executable], pass_fds=[1]), lambda: ctypes.CDLL(None),
    lambda: os.link("/x", "/y", follow_symlinks=False),
):
    try:
        attempt()
    except (ImportError, OSError, ValueError, TypeError, NotImplementedError):
        continue
    raise SystemExit("it worked")
with open(sys.argv[1]):
    try:
        os.unlink(sys.argv[1])
    except PermissionError:
        print("kept")
os.unlink(sys.argv[1])
"""
    ran = shell(windows, sys.executable, "-c", source, tmp_path / "file")
    assert (ran.code, ran.out) == (0, "kept\n"), ran.err
