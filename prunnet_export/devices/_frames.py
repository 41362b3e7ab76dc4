"""The messages between the host and its process on a board, over one pair of pipes.

A message is a line of JSON, followed by the bytes that it announces. The board sends a greeting, and then one answer to
each message of the host, so the two never wait for each other.
"""

from __future__ import annotations

import msgspec

GREETING = b"prunnet-export "  # the host skips lines of a login script before it


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The board's greeting: its version of this package, and the absolute path of the private folder or an error."""

    version: str | None
    folder: str = ""
    error: str = ""


class Put(msgspec.Struct, frozen=True, kw_only=True, tag="put"):
    """Write a file to a path inside the private folder. Its bytes follow."""

    name: str
    size: int


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Run a worker on one request, then delete the files in ``SCRATCH``.

    Attributes:
        request: The document for the worker's standard input.
        timeout: Seconds until the worker is killed.
        output: Path inside the private folder of the file to send back; None for no file.
    """

    request: msgspec.Raw
    timeout: float
    output: str | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to :class:`Put`: why the file could not be written, empty if it was."""

    error: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to :class:`Ask`. The bytes of reply, errors and output follow, in this order.

    Attributes:
        code: The worker's exit code as in :class:`subprocess.Popen`; None if it was killed after its timeout.
        reply: Number of bytes of its standard output.
        errors: Number of bytes of the end of its standard error.
        output: Number of bytes of the file to send back.
        error: Why no worker could be run; empty if one ran.
    """

    code: int | None = None
    reply: int = 0
    errors: int = 0
    output: int = 0
    error: str = ""


SCRATCH = "scratch"
