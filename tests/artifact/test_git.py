"""An artifact that is kept in git, which may change the line ends of text."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import load, read_manifest, verify_files

MakeArtifact = Callable[..., Path]
GIT = shutil.which("git") or ""
pytestmark = pytest.mark.skipif(not GIT, reason="needs git")


def git(folder: Path, *words: str) -> None:
    settings = ["core.autocrlf=true", "core.safecrlf=false", "user.name=a", "user.email=a@b", "commit.gpgsign=false"]
    options = [word for one in settings for word in ("-c", one)]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run([GIT, *options, *words], cwd=folder, env=environment, check=True, capture_output=True)


def checked_out(artifact: Path, folder: Path) -> Path:
    """The artifact after a commit and a clone, both with ``core.autocrlf=true``."""
    repository = folder / "repository"
    repository.mkdir()
    git(repository, "init")
    shutil.copytree(artifact, repository / "models" / "tiny")
    (repository / "notes.txt").write_bytes(b"a line\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--message", "an artifact")
    git(folder, "clone", "--quiet", str(repository), "clone")
    assert (folder / "clone" / "notes.txt").read_bytes() == b"a line\r\n"  # the setting has its effect
    return folder / "clone" / "models" / "tiny"


def test_an_artifact_survives_a_checkout_with_other_line_ends(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    artifact = make_artifact()
    place = checked_out(artifact, tmp_path)
    verify_files(place, read_manifest(place))
    for file in artifact.iterdir():
        assert (place / file.name).read_bytes() == file.read_bytes()
    assert load(place).dim == 8


def test_without_the_file_for_git_it_does_not(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    artifact = make_artifact()
    (artifact / ".gitattributes").unlink()
    place = checked_out(artifact, tmp_path)
    with pytest.raises(InvalidInput, match=r"README\.md"):
        verify_files(place, read_manifest(place))


def test_a_copy_without_hidden_files_is_whole(make_artifact: MakeArtifact) -> None:
    artifact = make_artifact()
    (artifact / ".gitattributes").unlink()
    verify_files(artifact, read_manifest(artifact))
    assert load(artifact).dim == 8
