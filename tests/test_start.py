"""Ctrl-C and requests to stop, while a command is still being imported."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prunnet_export import _start

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Sends a signal to itself as soon as a module is imported.
SOURCE = """
import os, signal, sys
if {heeded}:  # the one who runs the tests may ignore it, as nohup does
    signal.signal({number}, signal.SIG_DFL)
class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Sender())
from prunnet_export._start import {command}
sys.argv = ["prunnet-{command}", "--version"]
{command}()
"""


def start(command: str, *, module: str, number: int, heeded: bool = True) -> subprocess.CompletedProcess[str]:
    source = SOURCE.format(command=command, module=module, number=int(number), heeded=heeded)
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "module", "number"),
    [
        ("export", "click", signal.SIGINT),
        ("export", "rich.console", signal.SIGTERM),
        ("train", "msgspec", signal.SIGINT),
        ("bench", "prunnet_export.benchmarks.cli", signal.SIGTERM),
        ("bench", "prunnet_export._console", signal.SIGHUP),
    ],
)
def test_a_signal_during_the_imports_is_one_line(command: str, module: str, number: int) -> None:
    ran = start(command, module=module, number=number)
    assert ran.returncode == 130
    assert ran.stderr == "error: interrupted\nhint: run the same command again\n"
    assert not ran.stdout


def test_a_signal_that_the_shell_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ran = start("export", module="click", number=signal.SIGINT, heeded=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "version" in ran.stdout


def test_without_a_signal_the_command_runs() -> None:
    assert "version" in start("train", module="no such module", number=signal.SIGINT).stdout


def test_the_commands_of_the_package_start_here() -> None:
    file = Path(__file__).parents[1] / "pyproject.toml"
    scripts: dict[str, str] = tomllib.loads(file.read_text("utf-8"))["project"]["scripts"]
    assert len(scripts) == 3
    for name, entry in scripts.items():
        module, _, function = entry.partition(":")
        assert module == _start.__name__
        assert getattr(_start, function).__doc__ == f"``{name}``."
