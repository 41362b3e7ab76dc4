"""What the host and the process that keeps a folder for it on a board say to each other, over one pair of pipes.

A message is a line of JSON; the bytes that it announces follow. Each message of the host has one answer, and the
board says nothing unasked but its greeting: so nobody waits for what the other holds back.
"""

from __future__ import annotations

import msgspec

GREETING = b"prunnet-export "  # what a login script prints before it is passed over


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The board's greeting: this package's version there, and the private folder, absolute, or why there is none."""

    version: str | None
    folder: str = ""
    error: str = ""


class Put(msgspec.Struct, frozen=True, kw_only=True, tag="put"):
    """Keep a file at a path inside the private folder; its bytes follow."""

    name: str
    size: int


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Run a worker on one request; the files in ``SCRATCH`` are gone afterwards.

    Attributes:
        request: As it stands on the worker's standard input.
        timeout: Seconds until the worker is killed.
        output: Path inside the private folder of a file that is wanted back.
    """

    request: msgspec.Raw
    timeout: float
    output: str | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to :class:`Put`: why the file could not be kept, if so."""

    error: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to :class:`Ask`; reply, errors and output follow, in this order.

    Attributes:
        code: The worker's exit code as in :class:`subprocess.Popen`; None where it was killed for its timeout.
        reply: Bytes that it wrote to standard output.
        errors: Bytes of the end of its standard error.
        output: Bytes of the file that is wanted back.
        error: Why no worker could be run.
    """

    code: int | None = None
    reply: int = 0
    errors: int = 0
    output: int = 0
    error: str = ""


SCRATCH = "scratch"
