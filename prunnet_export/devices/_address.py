"""Addresses of boards: ``ssh://[user@]host[:port][?python=PATH]``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import unquote

from prunnet_export._errors import InvalidInput

_URL = re.compile(
    r"ssh://"
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"/?"
    r"(?:\?python=(?P<python>[^#&?]+))?"
)
_PORTS = range(1, 65536)


@dataclass(frozen=True)
class Address:
    """The address of a board, and its Python interpreter.

    Attributes:
        host: Host name, alias of ``~/.ssh/config``, or IP address.
        user: User name; None leaves it to the configuration of ssh.
        port: Port of sshd; None leaves it to the configuration of ssh.
        python: The board's interpreter that has this package: a name on the ``PATH`` of a non-interactive shell, an
            absolute path, or a path relative to the home folder.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}{f':{self.port}' if self.port else ''}"

    def ssh_arguments(self) -> list[str]:
        """The arguments of ssh that name the host. The ``--`` makes sure that ssh reads no option after it."""
        user = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return [*user, *port, "--", self.host]

    def command(self, module: str) -> str:
        """The command line that runs a module on the board, for any login shell.

        It changes to ``/``, because Python would import modules from the folder that it starts in.
        """
        path = self.python.removeprefix("~/")
        home = '"$HOME"/' if "/" in path and not path.startswith("/") else ""
        return f"cd /; exec {home}{shlex.quote(path)} -m {module}"


def parse_address(url: str) -> Address:
    """The address in a URL; raises InvalidInput if it is malformed, has a password, or could be misread by a shell."""
    found = _URL.fullmatch(url)
    port = int(found["port"]) if found and found["port"] else None
    python = unquote(found["python"]) if found and found["python"] else "python3"
    if not found or (port is not None and port not in _PORTS) or python.startswith("-") or not python.isprintable():
        raise InvalidInput(
            f"{url!r} is no address of a device",
            hint="ssh://user@host, ssh://user@host:2222, ssh://host?python=/opt/venv/bin/python",
        )
    return Address(host=found["host"].strip("[]"), user=found["user"], port=port, python=python)
