"""The signs of an emulated processor, and what becomes of its times."""

from __future__ import annotations

import platform
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from prunnet_export._errors import Unreachable
from prunnet_export.devices import LocalDevice, _cpu_info, _emulator, _fingerprint, fingerprint, measure_latency
from prunnet_export.devices._cpu_info import cpu_facts
from prunnet_export.devices._emulator import emulator
from prunnet_export.devices._protocol import Fingerprint
from prunnet_export.runtimes import Model
from tests.conftest import TinyModel

X86, AARCH64 = 62, 183
RASPBERRY_PI = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\n\nprocessor\t: 1\nCPU part\t: 0xd08\n"
EPYC = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n\n"
TCG = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: QEMU TCG CPU version 2.5+\n\n"


def program(file: Path, instruction_set: int) -> Path:
    """A file with the first bytes of a program in ELF."""
    file.write_bytes(b"\x7fELF" + bytes(14) + instruction_set.to_bytes(2, "little"))
    return file


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /proc: a Raspberry Pi that runs Python."""
    python = program(tmp_path / "python3.11", AARCH64)
    for name, module, attribute in (("shown", _emulator, "_SHOWN"), ("real", _emulator, "_REAL")):
        (tmp_path / name).symlink_to(python)
        monkeypatch.setattr(module, attribute, tmp_path / name)
    (tmp_path / "cpuinfo").write_text(RASPBERRY_PI)
    monkeypatch.setattr(_cpu_info, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    return tmp_path


@pytest.mark.usefixtures("proc")
def test_a_real_machine() -> None:
    assert emulator() is None
    assert fingerprint().emulator is None


def test_this_machine_is_real() -> None:
    assert emulator() is None


def test_another_program_runs_in_fact(proc: Path) -> None:
    (proc / "real").unlink()
    (proc / "real").symlink_to(program(proc / "qemu-aarch64-static", X86))
    assert emulator() == "qemu-aarch64-static"
    assert fingerprint().emulator == "qemu-aarch64-static"


def test_a_program_that_cannot_be_read(proc: Path) -> None:
    (proc / "real").unlink()
    assert emulator() is None


@pytest.mark.parametrize(("text", "machine", "expected"), [
    (EPYC, "x86_64", None),
    (EPYC, "aarch64", "unknown, on AuthenticAMD"),
    (TCG, "x86_64", "QEMU"),
    (EPYC.replace("AuthenticAMD", "VirtualApple"), "x86_64", "Rosetta"),
    ("", "aarch64", None),
])  # fmt: skip
def test_the_processor_gives_it_away(
    text: str, machine: str, expected: str | None, proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (proc / "cpuinfo").write_text(text)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert emulator() == expected


def test_no_facts_without_the_file(proc: Path) -> None:
    (proc / "cpuinfo").unlink()
    assert cpu_facts() == {}
    assert emulator() is None


@pytest.mark.usefixtures("proc")
def test_the_first_value_of_a_fact_counts() -> None:
    assert cpu_facts()["processor"] == "0"
    assert cpu_facts()["CPU part"] == "0xd08"


def test_an_emulated_machine_has_another_fingerprint() -> None:
    real = fingerprint()
    with patch.object(_fingerprint, "emulator", lambda: "QEMU"):
        emulated = fingerprint()
    assert emulated.id != real.id
    assert msgspec.structs.replace(emulated, id=real.id, emulator=None) == real
    assert "emulated (QEMU)" in str(emulated)
    assert "emulat" not in str(real)
    real.require_real()
    with pytest.raises(Unreachable, match=r"emulated \(QEMU\)"):
        emulated.require_real()


class Emulated(LocalDevice):
    """This machine, as if its processor were emulated."""

    def fingerprint(self) -> Fingerprint:
        return msgspec.structs.replace(super().fingerprint(), emulator="QEMU")


def test_times_of_an_emulator_are_not_called_measured(tiny_model: TinyModel) -> None:
    models = [Model(tiny_model(), "onnxruntime")]
    [report] = measure_latency(Emulated(), models, threads=1, runs=1, samples=20)
    assert (report.source, report.limited_ms, report.timed) == ("emulated", None, True)
    assert report.terms().startswith("emulated, n ")
    [real] = measure_latency(LocalDevice(), models, threads=1, runs=1, samples=20)
    assert (real.source, real.limited_ms) == ("measured", real.upper_ms)
