from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prunnet_export import _child
from tests.devices._sshd import wait_until

SLEEPER = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text(str(os.getpid()))
{wait}
"""
HOST = """
import subprocess, sys
from prunnet_export._child import child_command, inherited
subprocess.run(child_command("sleeper", sys.argv[1]), pass_fds=inherited())
"""
SPAWNING = """
import multiprocessing, sys
from prunnet_export._child import call_in_child
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=call_in_child, args=("spawned", "run", sys.argv[1]))
    process.start()
    process.join()
"""


def runs(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends_with_its_host(host: str, folder: Path, number: signal.Signals) -> None:
    (folder / "host.py").write_text(host)
    place = folder / "pid"
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen([sys.executable, folder / "host.py", place], cwd=folder, env=environment) as process:
        wait_until(lambda: place.exists() and place.read_text())
        child = int(place.read_text())
        assert runs(child)
        process.send_signal(number)
    wait_until(lambda: not runs(child), seconds=2)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("wait", ["time.sleep(60)", "while True: pass"])
def test_a_child_ends_with_its_host(wait: str, number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER.replace("{wait}", wait))
    ends_with_its_host(HOST, tmp_path, number)


def test_a_child_ends_without_the_help_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER.replace("{wait}", "time.sleep(60)"))
    (tmp_path / "sitecustomize.py").write_text("import ctypes; ctypes.CDLL = lambda _: None")
    ends_with_its_host(HOST, tmp_path, signal.SIGKILL)


def test_a_child_waits_for_the_process_on_windows(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER.replace("{wait}", "time.sleep(60)"))
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes, os, time; del os.fork\n"
        "class OpenProcess:\n"
        "    def __call__(self, right, inherited, number):\n"
        "        assert (right, inherited) == (0x100000, False)\n"
        "        return number\n"
        "class Kernel:\n"
        "    OpenProcess = OpenProcess()\n"
        "    def WaitForSingleObject(self, handle, limit):\n"
        "        assert limit == 2**32 - 1\n"
        "        while os.path.exists(f'/proc/{handle.value}'): time.sleep(0.01)\n"
        "        return 0\n"
        "ctypes.CDLL = lambda name: {'kernel32': Kernel()}[name or 'kernel32']\n"
    )
    ends_with_its_host(HOST, tmp_path, signal.SIGKILL)


def test_a_process_of_multiprocessing_ends_with_its_host(tmp_path: Path) -> None:
    source = SLEEPER.replace("sys.argv[1]", "place").replace("{wait}", "time.sleep(60)")
    body = "".join(f"    {line}\n" for line in source.strip().splitlines())
    (tmp_path / "spawned.py").write_text(f"def run(place):\n{body}")
    ends_with_its_host(SPAWNING, tmp_path, signal.SIGKILL)


def test_a_module_runs_as_a_script_with_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text("import sys; print(__name__, sys.argv[1:])")
    done = subprocess.run(
        _child.child_command("shown", "a", "b"),
        cwd=tmp_path,
        pass_fds=_child.inherited(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "__main__ ['a', 'b']\n"
