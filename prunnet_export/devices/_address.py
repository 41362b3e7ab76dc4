"""Where a board is: ``ssh://[user@]host[:port][?python=PATH]``."""

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
    """A board and its interpreter.

    Attributes:
        host: Name, alias of ``~/.ssh/config``, or IP address.
        user: None leaves it to the configuration of ssh.
        port: None leaves it to the configuration of ssh.
        python: The interpreter there that this package is installed for: a name on the ``PATH`` of a shell that is
            not interactive, an absolute path, or one relative to the home folder.
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
        """What ssh is told about where to go; nothing that follows is taken for an option."""
        user = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return [*user, *port, "--", self.host]

    def command(self, module: str) -> str:
        """The command line that runs a module there, for any login shell.

        It begins in ``/``, because the first place that Python looks for modules in is the folder that it starts in.
        """
        path = self.python.removeprefix("~/")
        home = '"$HOME"/' if "/" in path and not path.startswith("/") else ""
        return f"cd /; exec {home}{shlex.quote(path)} -m {module}"


def parse_address(url: str) -> Address:
    """The address in a URL.

    Raises:
        InvalidInput: it is none, names a password, or holds what a shell or ssh would take for something else.
    """
    found = _URL.fullmatch(url)
    port = int(found["port"]) if found and found["port"] else None
    python = unquote(found["python"]) if found and found["python"] else "python3"
    if not found or (port is not None and port not in _PORTS) or python.startswith("-") or not python.isprintable():
        raise InvalidInput(
            f"{url!r} is no address of a device",
            hint="ssh://user@host, ssh://user@host:2222, ssh://host?python=/opt/venv/bin/python",
        )
    return Address(host=found["host"].strip("[]"), user=found["user"], port=port, python=python)
