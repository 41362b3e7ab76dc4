"""File systems that refuse to lock and to sync folders; and the permissions of what is written."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

import pytest

from prunnet_export import _guarantees
from prunnet_export._guarantees import LOCKS, MODES, SYNCS, sync_path, tolerated
from prunnet_export.artifact import load, read_manifest, verify_files
from tests._cli import Ran, command_file, environment, shell, tiny_data, tiny_network, tree
from tests._shims import with_shim

__all__ = ["environment", "tiny_data", "tiny_network"]

TINY = ["--backbone-option=channels=8,16,16,16", "--embedding-dim=8", "--crop-px=32", "--batch-size=4", "--epochs=1"]
TINY += ["--capacities=0.6,0.4"]
EXPORT = ["--target=x86-onnxruntime", "--budget-ms=1000", "--min-recall=0", "--precision=fp32", "--threads=1"]


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guarantees, "_said", set())


def failing(number: int) -> None:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK, errno.ENOSYS])
def test_a_refusal_is_said_once(number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with tolerated(SYNCS, tmp_path):
            failing(number)
        with tolerated(LOCKS, tmp_path):
            failing(number)
    assert caplog.messages == [f"the file system of {tmp_path} {what}" for what in (SYNCS, LOCKS)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_another_error_is_one(number: int, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=os.strerror(number)), tolerated(SYNCS, tmp_path):
        failing(number)


def test_files_and_folders_are_synced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    sync_path(tmp_path / "file")
    sync_path(tmp_path)
    assert not caplog.messages
    with pytest.raises(FileNotFoundError):
        sync_path(tmp_path / "none")


def said(ran: Ran) -> list[str]:
    """What a command that went well says is not guaranteed, in the order of its lines."""
    assert ran.code == 0, ran.err
    lines = [line for line in ran.err.splitlines() if "coefficient of variation" not in line]
    assert all(line.startswith("warning: the file system of ") for line in lines), ran.err
    return [what for line in lines for what in (LOCKS, SYNCS, MODES) if line.endswith(what)]


def test_training_and_exporting_to_a_poor_disk(tiny_data: Path, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()  # other processes lock the folders in the usual one, and these commands cannot
    shimmed = with_shim(environment, "_as_poor_disk", tmp_path / "shim")
    poor = {**shimmed, "TMPDIR": str(tmp_path / "temporary")}
    run, place = tmp_path / "run", tmp_path / "out" / "dist"
    for _ in range(2):  # the second one resumes
        assert said(shell(poor, "prunnet-train", tiny_data, *TINY, f"--out={run}", "--resume")) == [LOCKS]
    for _ in range(2):  # the second one replaces
        ran = shell(poor, "prunnet-export", *EXPORT, f"--network={run}", f"--data={tiny_data}", f"--out={place}")
        assert said(ran) == [LOCKS, SYNCS]
    assert said(shell(poor, "prunnet-bench", place, f"--results={tmp_path / 'results'}")) == []
    verify_files(place, read_manifest(place))
    assert load(place).dim == 8
    hidden = [
        name for name in tree(tmp_path) if name.rpartition("/")[2].startswith(".") and not name.startswith("temporary/")
    ]
    assert hidden == ["out/dist/.gitattributes"]


def test_an_export_has_the_permissions_of_the_umask(
    tiny_network: Path, tiny_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    command = [command_file("prunnet-export"), *EXPORT, f"--network={tiny_network}", f"--data={tiny_data}"]
    script = f"umask 027; exec {shlex.join([*command, f'--out={tmp_path}/out/dist'])}"
    ran = shell(environment, "sh", "-c", script)
    assert ran.code == 0, ran.err
    for file in (tmp_path / "out").rglob("*"):
        assert file.stat().st_mode & 0o777 == (0o750 if file.is_dir() else 0o640), file
