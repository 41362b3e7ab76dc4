"""Damaged artifacts, galleries, settings and boards through the console scripts: a documented end, and no traceback.

``PRUNNET_FUZZ_SEED`` repeats a run, whose seed is in the message of a failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests._cli import command_file, shell
from tests.fuzz._mutators import write_damaged

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is measured by Linux's means"),
]

_ARTIFACTS, _BOARDS, _INPUTS = 120, 40, 40  # 200 in all
_SECONDS = 20
_MEMORY = 2**30  # bytes above the run with nothing damaged
_DOCUMENTED = {0, 1, 2, 3}

# Runs the command that ssh would run on the board, and damages one part of what it sends.
_SSH = """#!{python}
import os, subprocess, sys
sys.path.insert(0, {root!r})
import numpy as np
from tests.fuzz._mutators import MUTATORS

draw = np.random.default_rng([int(os.environ["PRUNNET_FUZZ_BOARD"]), 7])
board = subprocess.Popen(["sh", "-c", sys.argv[-1]], stdin=0, stdout=subprocess.PIPE, cwd="/", bufsize=0)
damaged, number = int(draw.integers(0, 4)), 0
while part := board.stdout.read(65536):
    if number == damaged and draw.random() < 0.95:
        part = bytearray(part)
        MUTATORS[int(draw.integers(len(MUTATORS)))](part, draw)
    number += 1
    while part:
        part = part[os.write(1, part):]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, output, seconds, and its largest memory in bytes."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int


def run(environment: dict[str, str], *words: str | Path, folder: Path, seconds: float) -> Ended:
    """Run a console script; it is killed after its time."""
    out, err = folder / "stdout", folder / "stderr"
    start = time.monotonic()
    with out.open("wb") as to, err.open("wb") as errors:
        process = subprocess.Popen(
            [command_file(str(words[0])), *map(str, words[1:])], stdout=to, stderr=errors, env=environment, cwd=folder
        )
        while time.monotonic() - start < 2 * seconds:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(0.02)
        else:
            process.kill()
            _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    shown, errors_shown = (one.read_text(encoding="utf-8", errors="replace") for one in (out, err))
    return Ended(process.returncode, shown, errors_shown, time.monotonic() - start, usage.ru_maxrss * 1024)


def complaints(ended: Ended, whole: Ended, seconds: float) -> list[str]:
    """What must not happen and did."""
    found = [
        (ended.code not in _DOCUMENTED, f"exit code {ended.code}"),
        ("Traceback" in ended.err, "a traceback"),
        (ended.seconds > seconds, f"{ended.seconds:.0f} s"),
        (ended.memory > whole.memory + _MEMORY, f"{ended.memory / 2**20:.0f} MiB"),
    ]
    return [text + f": {ended.err[-300:]!r}" for is_so, text in found if is_so]


def seed() -> int:
    """The seed of a run."""
    return int(os.environ.get("PRUNNET_FUZZ_SEED") or secrets.randbelow(2**31))


@pytest.fixture(scope="module")
def artifact(
    tiny_network: Path, tiny_data: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An artifact with nothing wrong."""
    place = tmp_path_factory.mktemp("fuzz") / "tiny"
    words = (f"--network={tiny_network}", f"--data={tiny_data}", "--min-recall=0", "--threads=1", "--budget-ms=1000")
    ran = shell(environment, "prunnet-export", "--target=x86-onnxruntime", *words, f"--out={place}")
    assert ran.code == 0, ran.err
    return place


def damage(artifact: Path, draw: np.random.Generator) -> None:
    """Damage one file of an artifact; half of the time its hash and its size are stored again."""
    golden = ["golden/input.png", "golden/pixels.u8", "golden/output.f32"]
    names = ["manifest.json", "model.onnx", "verification.npz", *golden]
    name = names[int(draw.integers(len(names)))]
    file = artifact / name
    write_damaged(file, file.read_bytes(), draw)
    if file.name != names[0] and file.is_file() and draw.random() < 0.5 and file.stat().st_size < 2**30:
        manifest = json.loads((artifact / names[0]).read_bytes())
        content = file.read_bytes()
        manifest["files"][name] |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        (artifact / names[0]).write_text(json.dumps(manifest), encoding="utf-8")


def test_damaged_artifacts(artifact: Path, environment: dict[str, str], tmp_path: Path) -> None:
    start, failures, codes = seed(), {}, []
    whole = run(environment, "prunnet-bench", "check", artifact, folder=tmp_path, seconds=60)
    assert whole.code == 0, whole.err
    for number in range(_ARTIFACTS):
        copy = tmp_path / "copy"
        shutil.copytree(artifact, copy)
        damage(copy, np.random.default_rng([start, number]))
        ended = run(environment, "prunnet-bench", "check", copy, folder=tmp_path, seconds=_SECONDS)
        codes.append(ended.code)
        if found := complaints(ended, whole, _SECONDS):
            failures[number] = found
        shutil.rmtree(copy)
    assert not failures, f"seed {start}: {failures}"
    assert codes.count(2) > _ARTIFACTS // 4


def test_damaged_galleries_and_settings(
    tiny_network: Path, tiny_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Inputs of an export that are refused before it takes long."""
    start, failures = seed(), {}
    rows = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)
    np.savez(tmp_path / "gallery.npz", embeddings=rows, labels=np.arange(30) % 3, names=[f"{i}.png" for i in range(30)])
    sources = {
        "gallery.npz": (tmp_path / "gallery.npz").read_bytes(),
        "config.json": (tiny_network / "config.json").read_bytes(),
        "network.safetensors": (tiny_network / "network.safetensors").read_bytes(),
        "pyproject.toml": b'[tool.prunnet-export]\ntarget = "x86-onnxruntime"\nbudget-ms = 5\n',
    }
    beside = {"gallery.npz", "pyproject.toml"}
    shutil.copytree(tiny_network, tmp_path / "network")
    command = (
        "prunnet-export",
        "--network=network",
        f"--data={tiny_data}",
        "--target=x86-onnxruntime",
        "--budget-ms=5",
    )
    whole = run(environment, *command, folder=tmp_path, seconds=120)
    for number in range(_INPUTS):
        draw = np.random.default_rng([start, number, 1])
        name = sorted(sources)[int(draw.integers(len(sources)))]
        place = tmp_path / name if name in beside else tmp_path / "network" / name
        write_damaged(place, sources[name], draw)
        gallery = ("--gallery=gallery.npz",) if name == "gallery.npz" else ()
        ended = run(environment, *command, *gallery, folder=tmp_path, seconds=120)
        # An input that is still right is exported, which may take long.
        if found := complaints(ended, whole, _SECONDS if ended.code == 2 else 120):
            failures[number] = [name, *found]
        place.unlink()
        if name not in beside:
            place.write_bytes(sources[name])
    assert not failures, f"seed {start}: {failures}"


def test_damaged_boards(artifact: Path, environment: dict[str, str], tmp_path: Path) -> None:
    start, failures, codes = seed(), {}, []
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(_SSH.format(python=sys.executable, root=str(Path(__file__).parents[2])), encoding="utf-8")
    ssh.chmod(0o755)
    device = f"--device=ssh://board?python={sys.executable}"
    around = {**environment, "PATH": f"{ssh.parent}{os.pathsep}{environment['PATH']}"}
    local = run(environment, "prunnet-bench", "check", artifact, folder=tmp_path, seconds=60)
    for number in range(_BOARDS):
        around["PRUNNET_FUZZ_BOARD"] = str(start + number)
        ended = run(around, "prunnet-bench", "check", artifact, device, folder=tmp_path, seconds=_SECONDS)
        codes.append(ended.code)
        if found := complaints(ended, local, _SECONDS):
            failures[number] = found
    assert not failures, f"seed {start}: {failures}"
    assert codes.count(3) > _BOARDS // 4
