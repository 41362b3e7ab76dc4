"""Files that were exported on x86 run on aarch64, and give the same vectors.

These tests are slow. ``make test-arm`` makes an emulated machine for them; on an Arm machine they run without one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._cores import affinity_cores
from prunnet_export.artifact import read_manifest
from tests._tools import needs
from tests.arm._files import KINDS, Kind, export, images_of, prepare, vectors_of
from tests.arm._machine import HAS_ARM, NATIVE, Machine
from tests.devices._sshd import Board, board, needs_sshd

__all__ = ["board"]

pytestmark = [pytest.mark.slow, needs("ARM", there=HAS_ARM, reason="make test-arm makes the machine")]
FILES = os.environ.get("PRUNNET_TESTS_ARM_FILES")  # that another machine made
emulated_only = pytest.mark.skipif(NATIVE, reason="a real Arm machine has one kind of core and no emulator to find")

CORES = [None] if NATIVE else ["cortex-a72", "cortex-a76", "neoverse-n1"]
EMBED = """
import sys
import numpy as np
import prunnet_export
np.save(sys.argv[2], prunnet_export.load(sys.argv[1], threads=1).embed(sys.argv[3:]))
"""
FINGERPRINT = "from prunnet_export.devices import LocalDevice; print(LocalDevice().fingerprint().emulator)"

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Kind, str | None], Vectors]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that both machines see, with the files of the tests."""
    folder = tmp_path_factory.mktemp("shared")
    if FILES:
        shutil.copytree(FILES, folder / "files")
    else:
        prepare(folder / "files")
    return folder


@pytest.fixture(scope="module")
def files(shared: Path) -> Path:
    """The artifacts, the images, and the vectors of another machine."""
    return shared / "files"


@pytest.fixture(scope="module")
def machine(shared: Path) -> Machine:
    """The Arm machine, with the package of this tree."""
    found = Machine(shared, CORES[0])
    found.install()
    return found


@pytest.fixture(scope="module")
def embed(machine: Machine, files: Path, shared: Path) -> Embed:
    """Embeds the images with an artifact on a core, once."""
    known: dict[tuple[Kind, str | None], Vectors] = {}

    def run(kind: Kind, core: str | None) -> Vectors:
        if (kind, core) not in known:
            place = shared / "vectors.npy"
            there = machine if core is None else machine.with_core(core)
            done = there.run("python", "-c", EMBED, files / str(kind), place, *images_of(files))
            assert done.returncode == 0, done.stderr
            known[kind, core] = np.load(place, allow_pickle=False)
        return known[kind, core]

    return run


@pytest.fixture(scope="module")
def figures(pytestconfig: pytest.Config) -> Iterator[list[str]]:
    """Rows of a table that is printed at the end."""
    rows: list[str] = []
    yield rows
    capture, reporter = map(pytestconfig.pluginmanager.get_plugin, ("capturemanager", "terminalreporter"))
    assert capture is not None
    assert reporter is not None
    with capture.global_and_fixture_disabled():  # pytest hides what a fixture writes at its end
        for row in ("", "| artifact | core | worst cosine to x86 |", "| --- | --- | --- |", *rows):
            reporter.write_line(row)


@pytest.mark.skipif(NATIVE and not FILES, reason="PRUNNET_TESTS_ARM_FILES has to name the vectors of x86")
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_vectors_are_those_of_x86(kind: Kind, core: str | None, embed: Embed, files: Path, figures: list[str]) -> None:
    there, here = embed(kind, core), vectors_of(files, kind)
    assert there.shape == here.shape
    worst = float(np.min(np.sum(there.astype(np.float64) * here, axis=1)))
    figures.append(f"| {kind} | {core or 'this machine'} | {worst:.7f} |")
    assert worst >= (0.99999 if kind.precision == "fp32" else 0.99)


@emulated_only
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.precision == "int8"], ids=str)
def test_two_cores_give_the_same_bits_in_int8(kind: Kind, embed: Embed) -> None:
    np.testing.assert_array_equal(embed(kind, "cortex-a72"), embed(kind, "cortex-a76"))


@emulated_only
@pytest.mark.parametrize("hidden", [True, False])
def test_the_emulator_is_found(machine: Machine, *, hidden: bool) -> None:
    done = machine.with_core("cortex-a72", hidden=hidden).run("python", "-c", FINGERPRINT)
    assert done.stdout.strip() == "qemu-aarch64-static", done.stderr


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_finish_and_bench(kind: Kind, machine: Machine, files: Path, shared: Path) -> None:
    folder = shared / f"finished-{kind}"
    done = machine.run(
        "prunnet-export", "finish", files / str(kind), "--out", folder, "--threads=1", "--output-format=json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    finished = read_manifest(folder)
    source = "measured" if NATIVE else "emulated"
    assert (finished.status, finished.latency.source) == ("verified", source)
    assert all(gate.passed for gate in finished.verification.gates)
    done = machine.run("prunnet-bench", folder, "--output-format=json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert all(check["passed"] for check in document["checks"])
    [artifact] = document["artifacts"]
    assert artifact["latency"]["source"] == source
    assert NATIVE or '"source": "measured"' not in done.stdout


@emulated_only
@needs_sshd
def test_an_export_through_ssh(board: Board, machine: Machine, shared: Path) -> None:
    kind, python = Kind("raspberry-pi-4", "fp32", 1.5), board.folder / "arm-python"
    python.write_text("#!/bin/sh\nexec " + " ".join(machine.command("python")) + ' "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{board.bin}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    written = export(kind, shared / "ssh", "--device", board.url(python), environment=environment)
    assert "latencies are predicted, not measured: no time is a measurement on" in written
    manifest = read_manifest(shared / "ssh")
    assert (manifest.status, manifest.latency.source, manifest.verified_by) == ("verified", "predicted", None)
    with pytest.raises(AssertionError, match="cannot be measured here"):
        export(kind, shared / "other", "--device", board.url(python), "--require-measured", environment=environment)
    assert not (shared / "other").exists()


@emulated_only
def test_the_cores_are_those_of_this_machine(machine: Machine) -> None:
    script = "from prunnet_export._cores import affinity_cores; print(affinity_cores())"
    assert machine.run("python", "-c", script).stdout.strip() == str(affinity_cores())
