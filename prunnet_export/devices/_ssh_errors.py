"""Translates the errors of ssh and of the board's shell into errors of this package."""

from __future__ import annotations

import re
import shlex

from prunnet_export._imports import installed_version
from prunnet_export._text import printable
from prunnet_export.devices._address import Address

_SSH_FAILED = 255
_NOT_FOUND = 127
_MISSING = re.compile(r"No module named '?([\w.]+)")
_MAX_LINE = 160

# Parts of ssh's messages, each with our message and hint. The first that occurs wins. ssh does not translate them.
_SSH = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "the host key of {at} has changed", "if that is right: {forget}"),
    ("Host key verification failed", "the host key of {at} is not known", "connect once by hand: {by_hand}"),
    ("Permission denied", "{at} does not let us in", "a key that needs no password must work for {by_hand}"),
    ("Too many authentication failures", "{at} does not let us in", "name one key: IdentityFile in ~/.ssh/config"),
    ("Could not resolve hostname", "no host is called {host!r}", "check the name, or give an IP address"),
    ("Connection refused", "{at} refuses the connection", "is sshd running there, on this port?"),
    ("timed out", "{at} does not answer", "is it on, and in this network?"),
    ("No route to host", "there is no route to {at}", "is it on, and in this network?"),
    ("Network is unreachable", "there is no route to {at}", "is this machine in a network?"),
)


def explain(address: Address, code: int, errors: str, *, greeted: bool) -> tuple[str, str]:
    """The message and the hint for a connection that ended unexpectedly.

    ``code`` is the exit code of ssh: 255 if ssh failed, else the exit code of the command on the board. ``errors`` is
    the text on ssh's standard error. ``greeted`` says whether the board had sent its greeting.
    """
    words = {
        "at": str(address),
        "host": address.host,
        "by_hand": shlex.join(["ssh", *address.ssh_arguments()]),
        "forget": f"ssh-keygen -R {shlex.quote(_known_hosts_name(address))}",
    }
    last = _last_line(errors)
    if greeted:
        return f"the connection to {address} was lost{last}", "is the board still on? run the same command again"
    if code == _SSH_FAILED:
        for mark, message, hint in _SSH:
            if mark in errors:
                return message.format_map(words), hint.format_map(words)
        return f"ssh cannot connect to {address}{last}", f"does it work by hand? {words['by_hand']}"
    return _explain_command(address, code, errors, last)


def _explain_command(address: Address, code: int, errors: str, last: str) -> tuple[str, str]:
    """The message and the hint if ssh connected, but the command on the board ended without a greeting."""
    python, version = address.python, installed_version("prunnet-export")
    install = f"{shlex.quote(python)} -m pip install 'prunnet-export[RUNTIME]=={version}'"
    if code == _NOT_FOUND:
        return f"there is no {python} on {address}", "name its interpreter: ssh://...?python=/path/to/python"
    missing = _MISSING.search(errors)
    if missing and missing[1] == "prunnet_export":
        return (
            f"prunnet-export is not installed for {python} on {address}",
            f"on the board: {install}, or name another interpreter: ssh://...?python=/path/to/python",
        )
    if missing and missing[1].startswith("prunnet_export."):
        return f"prunnet-export on {address} is older than {version}", f"on the board: {install}"
    if missing:
        return f"prunnet-export on {address} lacks {missing[1]}", f"on the board: {install}"
    return (f"{python} on {address} ended with code {code} and no greeting{last}", f"on the board: {install}")


def _known_hosts_name(address: Address) -> str:
    """The name of the host in ssh's list of known keys."""
    return f"[{address.host}]:{address.port}" if address.port not in {None, 22} else address.host


def _last_line(errors: str) -> str:
    lines = [printable(line).strip() for line in errors.splitlines()]
    lines = [line for line in lines if line]
    return f": {lines[-1][:_MAX_LINE]}" if lines else ""
