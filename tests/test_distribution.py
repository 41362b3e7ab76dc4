"""What is published: the source, and the wheel that is built from it. Both install into clean environments."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests._distribution import build_distribution
from tests.test_rooms import modules

ROOT = Path(__file__).parents[1]
DATA = {
    "prunnet_export/py.typed",
    "prunnet_export/artifact/manifest.schema.json",
    "prunnet_export/benchmarks/page/page.css",
    "prunnet_export/benchmarks/plan/runs.jsonl",
    "prunnet_export/network/demo/config.json",
    "prunnet_export/network/demo/network.safetensors",
}
PYTHONS = [f"python3.{minor}" for minor in range(10, 15)]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source and the wheel. The wheel is built from the source, and so without the links of this tree."""
    return build_distribution(tmp_path_factory.mktemp("distribution"))


def test_the_wheel_has_every_module_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    code = {file.relative_to(ROOT).as_posix() for file in modules().values()}
    code = {name if name.startswith("prunnet_export/") else f"prunnet_export/{name}" for name in code}
    assert names == code | DATA


def test_the_source_has_what_the_wheel_has_and_no_test(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as source, zipfile.ZipFile(built[1]) as wheel:
        members = source.getmembers()
        packed = {name for name in wheel.namelist() if name.startswith("prunnet_export/")}
    names = {member.name.partition("/")[2] for member in members if member.isfile()}
    assert all(member.isfile() or member.isdir() for member in members)
    assert packed <= names
    own = {name for name in names if not name.startswith(("prunnet_export/", "prunnet_export.egg-info/"))}
    assert own == {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["source", "wheel"])
@pytest.mark.parametrize("python", PYTHONS)
def test_it_installs_into_a_clean_environment(python: str, kind: str, built: tuple[Path, Path], tmp_path: Path) -> None:
    found = shutil.which(python)
    # A version manager may have a command of this name that says it is not chosen.
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{python} is not installed")
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, cwd=tmp_path, env=clean, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(found, "-m", "venv", "venv")
    place = tmp_path / "venv" / "bin"
    run(place / "pip", "install", "--quiet", built[kind == "wheel"])
    assert "version" in run(place / "prunnet-export", "--version")
    assert "x86-onnxruntime" in run(place / "prunnet-export", "--list-targets")
    for command in ("prunnet-bench", "prunnet-train"):
        assert "Usage" in run(place / command, "--help")
    run(
        place / "python",
        "-c",
        "from prunnet_export.network_config import DEMO; assert list(DEMO.glob('*.safetensors'))",
    )
