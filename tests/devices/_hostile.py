"""Boards that send what they must not, without sshd: an ``ssh`` of our own is first on the PATH."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export.devices._ssh import SshDevice

Hostile = Callable[[str], SshDevice]

_BEFORE = """#!{python}
import json, os, sys, time
from importlib.metadata import version

host, out = sys.stdin.buffer, sys.stdout.buffer

def send(*parts):
    out.writelines(parts)
    out.flush()

def greet(**fields):
    hello = dict(version=version("prunnet-export"), folder="/tmp/x", **fields)
    send(b"prunnet-export " + json.dumps(hello).encode() + b"\\n")

def asked():
    message = json.loads(host.readline())
    while message["type"] == "put":
        host.read(message["size"])
        send(b"{{}}\\n")
        message = json.loads(host.readline())
    return message

def answer(reply, content=b"", **fields):
    greet()
    asked()
    head = dict(code=0, reply=len(reply), output=len(content)) | fields
    send(json.dumps(head).encode(), b"\\n", reply, content)
    host.read()  # until the host hangs up

def flood(descriptor=1):
    while True:
        os.write(descriptor, bytes(2**20))

"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hostile:
    """Makes a board out of a program that takes the place of ssh."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(program: str) -> SshDevice:
        ssh = folder / "ssh"
        ssh.write_text(_BEFORE.format(python=sys.executable) + program)
        ssh.chmod(0o755)
        return SshDevice("ssh://board")

    return make
