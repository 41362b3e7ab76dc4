"""An sshd of our own on the loopback interface, for tests that need a board."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests._tools import needs

SSHD = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
SSH = shutil.which("ssh")
KEYGEN = shutil.which("ssh-keygen")
# Continuous integration has to install it; there, a test that cannot run fails.
needs_sshd = needs("SSHD", there=bool(SSHD and SSH and KEYGEN), reason="sshd not installed")


@dataclass(frozen=True)
class Board:
    """An sshd that runs.

    Attributes:
        folder: All of its files.
        port: Where it listens.
        process: Its listener.
        bin: A folder with an ``ssh`` that leaves the user's own configuration alone, to be first on the PATH.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    bin: Path

    def url(self, python: str | Path = sys.executable) -> str:
        """The address of the board, with this interpreter or another."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}?python={quote(str(python))}"

    def python(self, name: str, *lines: str) -> Path:
        """An interpreter there that runs shell commands before it starts."""
        file = self.folder / name
        file.write_text("\n".join(["#!/bin/sh", *lines, f'exec {shlex.quote(sys.executable)} "$@"', ""]))
        file.chmod(0o755)
        return file

    def left(self) -> list[str]:
        """What lies in the board's cache folder."""
        cache = self.folder / "cache" / "prunnet-export"
        return sorted(file.name for file in cache.iterdir()) if cache.exists() else []

    def sessions(self) -> dict[int, str]:
        """Processes of connections, by id, with their command lines; the listener is none of them."""
        return descendants(self.process.pid)

    def kill_sessions(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Do to the sshd of each connection what a network or an administrator would."""
        for process, command in self.sessions().items():
            if command.startswith("sshd"):
                os.kill(process, how)


def descendants(process: int) -> dict[int, str]:
    """Command lines of the processes that descend from one, by id."""
    table = subprocess.run(
        ["/bin/ps", "-A", "-ww", "-o", "pid=", "-o", "ppid=", "-o", "args="], capture_output=True, check=True, text=True
    ).stdout
    rows = [line.split(None, 2) for line in table.splitlines()]
    found: dict[int, str] = {process: ""}
    grown = True
    while grown:
        new = {int(pid): args[0] if args else "" for pid, parent, *args in rows if int(parent) in found}
        grown = not set(new) <= set(found)
        found |= new
    del found[process]
    return found


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something that happens elsewhere; a test that waits in vain fails."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """An sshd for this user, with keys, cache folder and log of its own."""
    assert SSHD is not None, "sshd not installed"
    assert KEYGEN is not None, "ssh-keygen not installed"
    folder = tmp_path_factory.mktemp("board")
    for name in ("host_key", "key", "stranger"):
        subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root wants an empty folder there, and packages make it late
    config = folder / "sshd_config"
    settings = (
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/key.pub\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"SetEnv XDG_CACHE_HOME={folder}/cache OMP_NUM_THREADS=1"
        f" PYTHONPATH={os.environ.get('PYTHONPATH', '')}\n"  # the board has the package that is tested
    )
    config.write_text(f"{settings}PerSourcePenalties no\n")  # tests kill more connections than it likes
    if subprocess.run([SSHD, "-t", "-f", config], capture_output=True, check=False).returncode:
        config.write_text(settings)  # before OpenSSH 9.8 there were none
    host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (folder / "ssh_config").write_text(
        f"UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile none\nIdentitiesOnly yes\nIdentityAgent none\n"
        f"IdentityFile {folder}/key\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {SSH} -F "${{SSH_CONFIG:-{folder}/ssh_config}}" "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    with subprocess.Popen([SSHD, "-D", "-f", config, "-E", folder / "log"]) as process:
        try:
            wait_until(lambda: _listens(port))
            yield Board(folder, port, process, folder / "bin")
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
