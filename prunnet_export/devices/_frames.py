"""The messages between the host and its process on a board, over one pair of pipes.

A message is a line of JSON, followed by the bytes that it announces. The board sends a greeting, and then one answer to
each message of the host, so the two never wait for each other. While it works on a message, it sends an empty line from
time to time, so that the host knows that it is there. The host trusts no size: each has a limit.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

GREETING = b"prunnet-export "  # the host skips what a login script prints before it
HEARTBEAT_S = 5.0
LARGEST_REPLY = 2**24
"""The largest reply of a worker, bytes."""

_LARGEST_ERRORS = 2**16
_LARGEST_FILE = 2**40

_Reason = Annotated[str, msgspec.Meta(max_length=1000)]
_FileSize = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_FILE)]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The board's greeting: its version of this package, and the absolute path of the private folder or an error."""

    version: Annotated[str, msgspec.Meta(max_length=100)] | None
    folder: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    error: _Reason = ""


class Put(msgspec.Struct, frozen=True, kw_only=True, tag="put"):
    """Write a file to a path inside the private folder. Its bytes follow."""

    name: str
    size: _FileSize


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

    error: _Reason = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to :class:`Ask`. The bytes of reply, errors and output follow, in this order.

    Attributes:
        code: The worker's exit code as in :class:`subprocess.Popen`; None if it was killed after its timeout.
        reply: Number of bytes of its standard output.
        errors: Number of bytes of the end of its standard error.
        output: Number of bytes of the file to send back.
        error: Why no worker could be run; empty if one ran.
    """

    code: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)] | None = None
    reply: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_REPLY)] = 0
    errors: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_ERRORS)] = 0
    output: _FileSize = 0
    error: _Reason = ""


SCRATCH = "scratch"
